"""The stores of the page: a table of six models, and predictions as weeks come in."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, TargetEncoder

from skmixed import (
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)
from skmixed.model_selection import cross_validate_groups


def make_stores():
    """The data frame of the page, and the levels of its stores."""
    rng = np.random.default_rng(1)
    store = np.repeat([f"store {k:02}" for k in range(40)], 12)
    stores = pd.DataFrame({"store": store, "price": rng.normal(10, 1, 480)})
    stores["promotion"] = rng.integers(0, 2, 480)
    level, effect = rng.normal(200, 30, 40), rng.normal(25, 25, 40)
    stores["sales"] = np.repeat(level, 12)
    stores["sales"] += np.repeat(effect, 12) * stores["promotion"]
    stores["sales"] += -8 * (stores["price"] - 10) + rng.normal(0, 12, 480)
    return stores


def encoded(encoder, regressor):
    """The regressor behind an encoder of the store."""
    columns = make_column_transformer((encoder, ["store"]), remainder="passthrough")
    return make_pipeline(columns, regressor)


stores = make_stores()
X, y = stores[["store", "price", "promotion"]], stores["sales"]
np.random.seed(0)  # noqa: NPY002 - TargetEncoder deals its folds by it
target = TargetEncoder(target_type="continuous")
slopes = LinearMixedRegressor("(promotion | store)", group_features=["store"])
models = {
    "one-hot columns": encoded(
        OneHotEncoder(handle_unknown="ignore"), LinearRegression()
    ),
    "target encoding": encoded(target, LinearRegression()),
    "boosted trees": encoded(target, HistGradientBoostingRegressor(random_state=0)),
    "trees, level": MixedEffectsRegressor(
        HistGradientBoostingRegressor(random_state=0),
        group_feature="store",
        random_state=0,
        verbose=0,
    ),
    "level": RandomInterceptRegressor(group_feature="store"),
    "level, effect": slopes,
}
table = cross_validate_groups(models, X, y, groups=X["store"], verbose=0)
print(table)
known = [float(np.mean(table.scores["known", name]["rmse"])) for name in models]

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
left.barh(list(models), known, color=["0.7"] * 3 + ["C0"] * 3)
left.invert_yaxis()
left.bar_label(left.containers[0], fmt="%.1f", padding=3)
left.set(title="weeks of known stores: error", xlabel="root mean squared error")
left.margins(x=0.12)

week = pd.DataFrame({"store": ["store 40"], "price": 10.0, "promotion": 1})
model = slopes.fit(X, y)
sold = [251.0, 262.0, 247.0, 270.0, 255.0]
for n_weeks in range(len(sold) + 1):
    mean, std = model.predict(week, return_std=True)
    right.errorbar(n_weeks, mean, 1.645 * std, fmt="o", color="C0", capsize=4)
    if n_weeks < len(sold):
        new = week.assign(promotion=n_weeks % 2)
        model = model.update_random_effects(new, sold[n_weeks : n_weeks + 1])
right.set(title="a new store: 90 % interval", xlabel="weeks that are known")
right.set_ylabel("sales of a week with promotion")
for axis in (left, right):
    axis.spines[["top", "right"]].set_visible(False)
