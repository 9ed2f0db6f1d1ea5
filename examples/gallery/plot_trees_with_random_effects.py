"""
Boosted trees with random effects
=================================

Mathematics scores of 7,185 pupils in 160 schools: how well are pupils of known schools
predicted, and those of a new one?  Gradient boosting can be told of the school in three
ways: by the mean of its pupils (target encoding), as a category of its own, or, as in
``MixedEffectsRegressor``, by a random intercept beside the trees.
"""

# %%
# The first two are scikit-learn's own.  They predict a mean only; for an interval they
# would need a standard deviation, which is taken from rows held out: the spread of the
# errors for pupils of known schools.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import TargetEncoder

from skmixed import MixedEffectsRegressor, RandomInterceptRegressor
from skmixed.datasets import load_hsb82
from skmixed.model_selection import cross_validate_groups

X, y, schools = load_hsb82(return_X_y_groups=True, as_frame=True)
X = X.assign(school=schools)


class WithStd(RegressorMixin, BaseEstimator):
    """A regressor, and the spread of its errors for rows held out."""

    def __init__(self, regressor):
        self.regressor = regressor

    def fit(self, X, y):
        folds = KFold(5, shuffle=True, random_state=0)
        unseen = cross_val_predict(self.regressor, X, y, cv=folds)
        self.std_ = np.sqrt(np.mean((y - unseen) ** 2))
        self.regressor_ = clone(self.regressor).fit(X, y)
        return self

    def predict(self, X, return_std=False):
        mean = self.regressor_.predict(X)
        return (mean, np.full(len(mean), self.std_)) if return_std else mean


trees = HistGradientBoostingRegressor(max_leaf_nodes=8, early_stopping=False)
encode = make_column_transformer(
    (TargetEncoder(target_type="continuous"), ["school"]),
    remainder="passthrough",
)
category = clone(trees).set_params(categorical_features=["school"])
models = {
    "target encoding": WithStd(make_pipeline(encode, trees)),
    "category": WithStd(category),
    "random effects": MixedEffectsRegressor(
        trees, group_feature="school", random_state=0
    ),
    "no trees": RandomInterceptRegressor(group_feature="school"),
}
table = cross_validate_groups(models, X, y, groups=schools, cv_known=3, cv_new=3)
print(table)

# %%
# The scores are nearly linear in these features, so that trees have little to find, and
# with random effects beside them nothing is lost by looking.  As a feature, the school
# costs more: the category of its own most of all.  For new schools the difference is in
# the joint likelihood: all pupils of a new school will be better or worse than expected
# together, and only the models with random effects can say so.

names = list(models)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharey=True)
for ax, score, title in (
    (axes[0], "nll", "NLL, row by row"),
    (axes[1], "joint_nll", "NLL of all rows jointly"),
):
    for kind, marker in (("known", "o"), ("new", "s")):
        values = [table.scores[kind, name][score].mean() for name in names]
        ax.plot(values, names, marker, label=f"{kind} schools")
    ax.set(xlabel=f"{title} (nats per pupil)")
axes[0].legend()

# %%
# One fit answers both questions: a school that the model knows, and another one.

model = models["random effects"].fit(X, y)
pupils = X.iloc[:3]
for label, rows in (("known", pupils), ("new", pupils.assign(school=-1))):
    low, high = model.predict_interval(rows).T
    print(
        f"{label:5}", *(f"{a:6.1f} to {b:4.1f}" for a, b in zip(low, high, strict=True))
    )
