"""The factor lambda^2 n / (1 + lambda^2 n) by which a mean residual is shrunk."""

import matplotlib.pyplot as plt
import numpy as np

n_rows = np.arange(1, 31)
figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
for correlation in (0.05, 0.2, 0.5, 0.8):
    ratio = correlation / (1 - correlation)
    factor = ratio * n_rows / (1 + ratio * n_rows)
    (line,) = axis.plot(n_rows, factor, "o-", ms=3)
    axis.annotate(
        f"{correlation}", (30.4, factor[-1]), va="center", color=line.get_color()
    )
axis.set_title("by the intraclass correlation, at the right", fontsize=10)
axis.set(xlabel="rows of the group", ylabel="share of its mean residual", ylim=(0, 1))
axis.spines[["top", "right"]].set_visible(False)
