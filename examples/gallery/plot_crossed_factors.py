"""
Plates and samples: crossed factors
===================================

Six samples of penicillin were each tried on all of 24 plates (Davies and Goldsmith
1972). Every observation belongs to a plate and to a sample: neither factor is inside
the other, and both have effects. A model with one grouping factor takes one of them for
noise.
"""

# %%
# The diameter of the zone in which a sample kept bacteria from growing, in mm, one row
# a plate. All label columns of a table are factors with a random intercept, if nothing
# else is said.

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from skmixed import LinearMixedRegressor

rows = (
    "27 23 26 23 23 21, 27 23 26 23 23 21, 25 21 25 24 24 20, 26 23 25 23 23 20, "
    "25 22 26 22 23 20, 24 22 25 23 22 19, 24 20 23 21 22 19, 26 22 26 24 24 21, "
    "24 21 24 22 22 20, 24 21 24 23 22 19, 26 23 26 24 24 21, 25 22 26 24 24 20, "
    "26 24 26 24 25 22, 26 23 26 23 23 20, 26 23 25 24 24 22, 25 22 25 23 23 20, "
    "25 21 24 23 23 20, 25 22 24 23 23 19, 24 21 23 21 21 19, 26 23 26 24 24 21, "
    "25 21 24 22 22 18, 25 22 25 22 22 20, 24 21 24 22 24 19, 24 21 24 22 21 18"
)
diameter = np.array([row.split() for row in rows.split(", ")], dtype=float)
labels = pd.DataFrame(
    {"plate": np.repeat(range(1, 25), 6), "sample": np.tile(list("ABCDEF"), 24)}
)
X = np.empty((144, 0))  # an intercept is all that the mean has
model = LinearMixedRegressor().fit(X, diameter.ravel(), groups=labels)
print(model.summary())

# %%
# Effects of both, with two standard deviations of their errors. Those of the samples
# have nearly the same error: what all samples have in common cannot be told from the
# intercept, of which six samples know little.

figure, axes = plt.subplots(
    1, 2, figsize=(8, 5), sharex=True, layout="constrained", width_ratios=[1, 1]
)
for ax, factor in zip(axes, model.groups_, strict=True):
    effect = model.random_effects_[factor][:, 0]
    std = model.random_effects_std_[factor][:, 0]
    order = np.argsort(effect)
    place = np.arange(len(order))
    ax.errorbar(effect[order], place, xerr=2 * std[order], fmt="o", capsize=2)
    ax.set_yticks(place, model.groups_[factor][order])
    ax.axvline(0, color="0.8", zorder=0)
    ax.set(title=factor, xlabel="effect (mm)")

# %%
# With one factor alone, what the other does is noise, and the standard deviation of a
# prediction is that much larger.

for terms in ("(1 | sample)", "(1 | plate)", "(1 | plate) + (1 | sample)"):
    fitted = LinearMixedRegressor(terms).fit(X, diameter.ravel(), groups=labels)
    std = fitted.predict(X[:1], groups=labels[:1], return_std=True)[1][0]
    print(f"{terms:28} std of a prediction {std:.2f} mm")

# %%
# The uncertainty of a new observation depends on whether plate and sample are known.
# "Some sample, nobody knows which" is a missing label. "The average sample" is another
# question: `predict_mean` with the factors that count, which leaves out the variance
# of the others, and the noise.

asked = pd.DataFrame({"plate": [1, 1, None, None], "sample": ["A", None, "A", None]})
names = ["both known", "plate known", "sample known", "neither known"]
mean, std = model.predict(X[:4], groups=asked, return_std=True)
for name, m, s in zip(names, mean, std, strict=True):
    print(f"{name:14} {m:.2f} +- {s:.2f} mm")
mean, std = model.predict_mean(
    X[:1], groups=asked[:1], factors=["plate"], return_std=True
)
print(f"plate 1 with the average sample: {mean[0]:.2f} +- {std[0]:.2f} mm")
