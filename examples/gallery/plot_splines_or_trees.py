"""
Splines or trees?
=================

A mean that is not linear can be had in two ways: columns that bend (splines) in a mixed
model that is fitted by its likelihood, or trees beside random intercepts.  Splines give
an exact likelihood, standard errors and tests, and are smooth; each feature has a curve
of its own.  Trees find interactions that nobody has named.
"""

# %%
# Two made-up truths: a sum of curves, and one in which two features act together.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from skmixed import MixedEffectsRegressor, RandomInterceptRegressor
from skmixed.model_selection import cross_validate_groups

rng = np.random.default_rng(0)
groups = np.repeat(np.arange(80), 12)
X = rng.uniform(-2, 2, size=(960, 4))
shared = rng.normal(size=80)[groups] + rng.normal(size=960)
truths = {
    "curves": 2 * np.sin(1.5 * X[:, 0]) + X[:, 1] ** 2 + shared,
    "together": 2 * np.sin(1.5 * X[:, 0] * X[:, 1]) + X[:, 2] + shared,
}
models = {
    "line": RandomInterceptRegressor(),
    "splines": make_pipeline(
        SplineTransformer(n_knots=6, include_bias=False),
        RandomInterceptRegressor(alpha=1.0),
    ),
    "trees": MixedEffectsRegressor(random_state=0),
}
tables = {
    name: cross_validate_groups(models, X, y, groups=groups, cv_known=3, cv_new=3)
    for name, y in truths.items()
}
for name, table in tables.items():
    print(name, table, sep="\n", end="\n\n")

# %%
# Where the truth is a sum of curves, splines are a little better than trees, and give
# the likelihood of a model that can be compared and tested.  Where features act
# together, they see no more than a line does.

figure, axes = plt.subplots(1, 2, figsize=(9, 3), layout="constrained", sharey=True)
for ax, (name, table) in zip(axes, tables.items(), strict=True):
    for kind, marker in (("known", "o"), ("new", "s")):
        values = [table.scores[kind, model]["rmse"].mean() for model in models]
        ax.plot(values, list(models), marker, label=f"{kind} groups")
    ax.set(xlabel="RMSE", title=name)
axes[0].legend()

# %%
# Trees cost little where they find nothing.  Their predictions for rows held out are of
# no use then, y hardly follows them, and what is left for known groups is the mixed
# model of the linear part.

straight = 2 * X[:, 0] + shared
model = MixedEffectsRegressor(random_state=0).fit(X, straight, groups=groups)
print(f"slope of the predictions: {model.known_slope_:.2f}")
