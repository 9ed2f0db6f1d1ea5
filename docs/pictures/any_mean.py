"""Boosted trees with a random intercept: two known groups and a new one."""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from skmixed import MixedEffectsRegressor

rng = np.random.default_rng(0)
group = np.repeat(np.arange(40), 25)
x = rng.uniform(-3, 3, len(group))
level = 1.5 * rng.normal(size=40)
y = 2 * np.sin(x) + level[group] + 0.5 * rng.normal(size=len(group))
trees = HistGradientBoostingRegressor(max_leaf_nodes=8, early_stopping=False)
model = MixedEffectsRegressor(trees, random_state=0).fit(x[:, None], y, groups=group)

at = np.linspace(-3, 3, 121)
low, high = np.argsort(level)[[4, -5]]
figure, axes = plt.subplots(
    1, 3, figsize=(9, 3.2), layout="constrained", sharex=True, sharey=True
)
names = f"group {low}, in the data", f"group {high}, in the data", "a new group"
for axis, name, label in zip(axes, names, (low, high, 99), strict=True):
    asked = {"groups": np.full(len(at), label)}
    ends = model.predict_interval(at[:, None], coverage=0.9, **asked)
    axis.plot(x, y, ".", color="0.8", ms=2)
    axis.plot(x[group == label], y[group == label], ".", color="C3")
    axis.fill_between(at, *ends.T, color="C0", alpha=0.25, lw=0)
    axis.plot(at, model.predict(at[:, None], **asked), color="C0")
    axis.set_title(name, fontsize=10)
axes[0].set_ylabel("y, and 90 % intervals")
