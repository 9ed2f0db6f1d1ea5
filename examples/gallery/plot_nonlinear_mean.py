"""
A mean that is not linear
=========================

The model is linear in its columns, and the columns can be anything: splines of one
feature, or a kernel map of many. The rest is as simple as ever: the random intercept,
the standard deviations and the joint distribution are those of the model behind the
transformer.
"""

# %%
# Growth curves of 50 plants, made up: a common course, and a level of each plant.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skmixed import RandomInterceptRegressor
from skmixed.inspection import predict_interval
from skmixed.model_selection import cross_validate_groups

rng = np.random.default_rng(0)
plants = np.repeat(np.arange(50), 6)
week = rng.uniform(0, 12, size=300)
height = 30 / (1 + np.exp(6 - week)) + 3 * rng.normal(size=50)[plants]
height += rng.normal(size=300)
X = week[:, None]

models = {
    "line": RandomInterceptRegressor(),
    "splines": make_pipeline(
        SplineTransformer(n_knots=8, include_bias=False),
        RandomInterceptRegressor(alpha=0.1),
    ),
    "Nystroem": make_pipeline(
        Nystroem(gamma=0.1, n_components=30, random_state=0),
        RandomInterceptRegressor(alpha=0.01),
    ),
}
print(cross_validate_groups(models, X, height, groups=plants))

# %%
# The intervals come out of the Pipeline by ``skmixed.inspection.predict_interval``,
# with the groups at hand: a new plant, and one that was measured six times.

splines = models["splines"]
splines.fit(X, height, randominterceptregressor__groups=plants)
highest = splines[-1].groups_[np.argmax(splines[-1].random_intercepts_)]
grid = np.linspace(0, 12, 100)[:, None]
figure, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 4), layout="constrained")
for ax, label in zip(axes, (None, highest), strict=True):
    labels = np.full(100, -1 if label is None else label)
    low, high = predict_interval(splines, grid, groups=labels).T
    ax.plot(week, height, ".", color="0.75")
    ax.fill_between(grid[:, 0], low, high, alpha=0.25, label="90 % interval")
    if label is not None:
        own = plants == label
        ax.plot(week[own], height[own], "o", color="C3", label="this plant")
    ax.set(xlabel="week", title="a new plant" if label is None else f"plant {label}")
    ax.legend(loc="upper left")
axes[0].set_ylabel("height")
