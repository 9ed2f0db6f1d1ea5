"""The covariance of nine rows in three groups: independent, in blocks, with a slope."""

import matplotlib.pyplot as plt
import numpy as np

sizes = (2, 4, 3)
group = np.repeat(range(3), sizes)
same = group[:, None] == group
day = np.concatenate([np.arange(n) for n in sizes])
slopes = same * (1.0 + 0.5 * np.outer(day, day))
matrices = {
    "independent rows: $\\sigma^2 I$": np.eye(9),
    "random intercept: $\\sigma^2 I + \\sigma_b^2 ZZ'$": np.eye(9) + same,
    "random intercept and slope": np.eye(9) + slopes,
}
figure, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for axis, (title, matrix) in zip(axes, matrices.items(), strict=True):
    axis.imshow(np.where(matrix > 0, matrix, np.nan), cmap="Blues", vmin=0)
    axis.set_title(title, fontsize=10)
    axis.set(xticks=[], yticks=[], xlabel="rows", ylabel="rows")
    for edge in np.cumsum(sizes)[:-1] - 0.5:
        axis.axhline(edge, color="0.8", lw=0.8)
        axis.axvline(edge, color="0.8", lw=0.8)
