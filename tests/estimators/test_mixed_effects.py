"""Any regressor as the mean (docs/math.md, section 15)."""

import pickle
import re
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    ShuffleSplit,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils.estimator_checks import check_estimator

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    MixedEffectsRegressor,
    PopulationPredictionWarning,
    RandomInterceptRegressor,
    inference,
)
from skmixed.datasets import load_hsb82, load_machines, load_sleepstudy
from skmixed.metrics import neg_joint_nll_scorer, neg_nll_scorer
from skmixed.model_selection import cross_validate_groups

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

EXACT = 1e-12  # the same model, up to the rounding of what the regressor finds
SAME = 1e-9  # the same numbers, rounded in other units
TREE = DecisionTreeRegressor(max_leaf_nodes=6, random_state=0)
WEAK = HistGradientBoostingRegressor(max_iter=1, early_stopping=False)


def bent(seed=0, n=300, n_groups=20):
    """Data whose mean is not linear."""
    X, y, groups = simulate(seed, n=n, n_groups=n_groups, group_std=1.5)
    return X, y + 3 * np.sin(2 * X[:, 0]), groups


SIMPLE = bent(n=120, n_groups=12)


def fitted(X, y, groups, regressor=TREE, **parameters):
    model = MixedEffectsRegressor(regressor, random_state=0, verbose=0)
    return model.set_params(**parameters).fit(X, y, groups=groups)


def names_of(calibrator):
    return calibrator.summary().coefficients.names


# --------------------------------------------------------------------------- guarantees


@pytest.mark.parametrize("load", [load_sleepstudy, load_machines, load_hsb82, bent])
@pytest.mark.parametrize(
    "regressor", [LinearRegression(), Ridge(), DummyRegressor()], ids=str
)
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_linear_regressor_adds_nothing(load, regressor, method):
    """Residuals of a linear mixed model have no linear part, math.md (100)."""
    options = {} if load is bent else {"return_X_y_groups": True}
    X, y, groups = load(**options)
    parameters = {"group_level": False, "method": method}
    model = fitted(X, y, groups, regressor, **parameters)
    plain = RandomInterceptRegressor(method=method).fit(X, y, groups=groups)
    assert_allclose(
        model.predict(X, groups=groups, return_std=True),
        plain.predict(X, groups=groups, return_std=True),
        atol=EXACT * np.std(y),
    )
    assert_allclose(model.group_variance_, plain.group_variance_, rtol=SAME)
    assert_allclose(model.random_intercepts_, plain.random_intercepts_, atol=SAME)


def test_a_linear_regressor_adds_nothing_to_weighted_rows():
    X, y, groups = bent()
    weight = np.arange(len(y)) % 3
    model = MixedEffectsRegressor(Ridge(), group_level=False, random_state=0)
    model.fit(X, y, groups=groups, sample_weight=weight)
    plain = RandomInterceptRegressor().fit(X, y, groups=groups, sample_weight=weight)
    assert_allclose(
        model.predict(X, groups=groups, return_std=True),
        plain.predict(X, groups=groups, return_std=True),
        atol=EXACT * np.std(y),
    )


def test_columns_in_single_precision_depend_on_each_other():
    """ses is cses plus meanses: rows that are rounded otherwise were -17,000, not 8."""
    X, y, groups = load_hsb82(return_X_y_groups=True)
    rows = X[:5].round(2)
    predicted = [
        MixedEffectsRegressor(LinearRegression(), random_state=0)
        .fit(X.astype(dtype), y, groups=groups)
        .predict(rows.astype(dtype), groups=groups[:5])
        for dtype in (np.float64, np.float32)
    ]
    assert_allclose(predicted[1], predicted[0], atol=1e-4)  # that of the rows


@pytest.mark.parametrize("regressor", [TREE, LinearRegression(), None], ids=str)
@pytest.mark.parametrize("noise", [None, TREE], ids=str)
def test_other_units_of_y(regressor, noise):
    X, y, groups = bent()
    other = np.where(np.arange(len(y)) % 2, groups, 99)
    model = fitted(X, y, groups, regressor, variance_regressor=noise)
    # Gradients of scikit-learn's boosted trees are rounded to single precision.
    unit = 8.0 if regressor is None else 3.7
    moved = fitted(X, 50 + unit * y, groups, regressor, variance_regressor=noise)
    mean, std = model.predict(X, groups=other, return_std=True)
    far_mean, far_std = moved.predict(X, groups=other, return_std=True)
    scale = unit * y.std()
    assert_allclose(far_mean, 50 + unit * mean, rtol=0, atol=SAME * scale)
    assert_allclose(far_std, unit * std, rtol=0, atol=SAME * scale)


class Spy(RegressorMixin, BaseEstimator):
    """A tree that notes what it was fitted to."""

    notes = []

    def fit(self, X, y):
        self.notes.append((np.array(X), np.array(y)))
        self.tree_ = clone(TREE).fit(X, y)
        self.n_features_in_ = self.tree_.n_features_in_
        return self

    def predict(self, X):
        return self.tree_.predict(X)


def fits_of_a_spy(X, y, groups, **parameters):
    Spy.notes.clear()
    model = fitted(X, y, groups, Spy(), **parameters)
    return model, list(Spy.notes)


def test_a_row_is_not_in_what_predicts_it():
    """Nor is its group where that is new: math.md (100) and (101).

    A fold that changes with y of a row has seen it; the one that predicts it has not.
    """
    X, y, groups = bent()
    moved = y.copy()
    moved[7] += 50
    _, before = fits_of_a_spy(X, y, groups)
    _, after = fits_of_a_spy(X, moved, groups)
    assert len(before) == 10
    same = [
        np.array_equal(a[0], b[0]) and np.array_equal(a[1], b[1])
        for a, b in zip(before, after, strict=True)
    ]
    assert sum(same[:5]) == 1
    assert sum(same[5:]) == 1
    # X of the row is in no fit that did not see its y, nor is its group's in the last.
    for k in np.flatnonzero(same):
        table = before[k][0]
        rows = [7] if k < 5 else np.flatnonzero(groups == groups[7])
        for row in rows:
            assert not (table[:, :3] == X[row]).all(axis=1).any()


def test_what_the_regressor_gets():
    X, y, groups = bent()
    model, fits = fits_of_a_spy(X, y, groups, cv=3, cv_new=4)
    assert [len(f[0]) for f in fits[:3]] == [200] * 3
    assert [f[0].shape[1] for f in fits] == [4] * 3 + [3] * 4
    # y itself where groups are new, what the linear part leaves where they are known.
    assert all(np.isin(f[1], y).all() for f in fits[3:])
    assert not any(np.isin(f[1], y).any() for f in fits[:3])
    # The last column is one level for each group.
    assert len(np.unique(fits[0][0][:, 3])) == 20
    assert (len(model.known_regressors_), len(model.new_regressors_)) == (3, 4)
    _, fits = fits_of_a_spy(X, y, groups, group_level=False)
    assert {f[0].shape[1] for f in fits} == {3}


def test_slopes_are_kept_in_their_ranges():
    """A useless regressor is dropped, a weak one not stretched: math.md (102)."""
    X, y, groups = bent()
    model = fitted(X, y, groups, WEAK)
    assert model.known_slope_ == 1
    assert model.known_model_.coef_[0] == 0
    assert model.new_slope_ > 1
    assert model.group_variance_ > 0.5
    rng = np.random.default_rng(0)
    nothing = fitted(X, rng.normal(size=len(y)), groups)
    assert nothing.new_slope_ == 0
    assert 0 <= nothing.known_slope_ <= 1


def test_it_is_better_than_a_line_where_the_mean_is_not():
    X, y, groups = bent(n=600)
    models = {
        "trees": MixedEffectsRegressor(random_state=0),
        "line": RandomInterceptRegressor(),
    }
    found = cross_validate_groups(models, X, y, groups=groups, verbose=0).scores
    for kind in ("known", "new"):
        ours, line = found[kind, "trees"], found[kind, "line"]
        assert ours["rmse"].mean() < 0.9 * line["rmse"].mean()
        assert ours["nll"].mean() < line["nll"].mean() - 0.1
        assert 0.85 < ours["coverage"].mean() < 0.95


# ---------------------------------------------------------------------- after the fit


def test_each_row_is_answered_by_its_model():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    labels = groups.astype(float)
    labels[::3] = 77
    labels[1::6] = np.nan
    known = np.isin(labels, groups)
    mean, std = model.predict(X, groups=labels, return_std=True)
    assert_allclose(mean[known], model.predict(X[known], groups=labels[known]))
    inner = np.mean([r.predict(X[~known]) for r in model.new_regressors_], axis=0)
    expected = model.new_model_.predict(
        inner[:, None], groups=labels[~known], return_std=True
    )
    assert_allclose(mean[~known], expected[0], rtol=EXACT)
    assert_allclose(std[~known], expected[1], rtol=EXACT)
    assert_allclose(
        model.predict_noise_std(X, groups=labels)[known],
        np.sqrt(model.noise_variance_),
        rtol=EXACT,
    )
    low, high = model.predict_interval(X, groups=labels).T
    assert_allclose((low + high) / 2, mean, rtol=SAME)
    wider = model.predict_interval(X, groups=labels, distribution="t")
    assert (wider[:, 1] > high).all()


@pytest.mark.parametrize("regressor", [TREE, WEAK], ids=["inside", "at an end"])
def test_joint_distributions(regressor):
    """At an end of the slope's range the predictions are added to the model's mean."""
    X, y, groups = bent()
    model = fitted(X, y, groups, regressor)
    assert (model.known_slope_ == 1) == (regressor is WEAK)
    rows = np.arange(0, 60)
    labels = np.where(rows % 2, groups[rows], 100 + rows % 5)
    arguments = {"groups": labels}
    mean, cov = model.predict(X[rows], return_cov=True, **arguments)
    _, std = model.predict(X[rows], return_std=True, **arguments)
    assert_allclose(np.sqrt(np.diag(cov)), std, rtol=EXACT)
    assert not cov[::2, 1::2].any()
    assert (cov[np.ix_(labels == 100, labels == 100)] > 0).all()
    density = model.log_predictive_density(X[rows], y[rows], **arguments)
    assert_allclose(density, multivariate_normal(mean, cov).logpdf(y[rows]), rtol=SAME)
    draws = model.sample_y(X[rows], n_samples=20_000, **arguments)
    # Four standard errors of a mean, and of a covariance, over 20,000 draws.
    assert_allclose(draws.mean(axis=1), mean, atol=4 * std.max() / 20_000**0.5)
    bound = 4 * np.sqrt((np.outer(std, std) ** 2 + cov**2) / 20_000)
    assert (np.abs(np.cov(draws) - cov) < bound * 1.5).all()


@pytest.mark.parametrize("regressor", [TREE, WEAK], ids=["inside", "at an end"])
def test_distributions_that_count_the_variances(regressor):
    """Those of the two calibrators, with what has a slope of its own on top."""
    X, y, groups = bent(n_groups=8)
    model = fitted(X, y, groups, regressor)
    rows = np.arange(0, 40)
    labels = np.where(rows % 2, groups[rows], 99)
    arguments = {"groups": labels, "distribution": "integrated"}
    low, high = model.predict_interval(X[rows], **arguments).T
    mean, std = model.predict(X[rows], groups=labels, return_std=True)
    assert_allclose((low + high) / 2, mean, atol=0.1 * std.max())
    assert (high - low > 2 * 1.64 * std).all()  # wider than with known variances
    draws = model.sample_y(X[rows], n_samples=4000, **arguments)
    inside = np.mean((low[:, None] < draws) & (draws < high[:, None]), axis=1)
    assert_allclose(inside, 0.9, atol=0.03)  # six standard errors
    whole = model.log_predictive_density(X[rows], y[rows], **arguments)
    known = rows % 2 == 1
    parts = [
        model.log_predictive_density(
            X[part], y[part], groups=labels[part], distribution="integrated"
        )
        for part in (rows[known], rows[~known])
    ]
    assert_allclose(whole, sum(parts), rtol=SAME)
    for part in (known, ~known):
        question = {"groups": labels[part], "average": True}
        low, high = model.predict_interval(X[rows[part]], **question)
        mean, cov = model.predict(X[rows[part]], groups=labels[part], return_cov=True)
        assert_allclose((low + high) / 2, mean.mean(), rtol=SAME)
        half = 1.6448536269514722 * np.sqrt(cov.mean())
        assert_allclose((high - low) / 2, half, rtol=SAME)
    with pytest.raises(ValueError, match="20 rows of known groups and 20 of new"):
        model.predict_interval(X[rows], groups=labels, average=True)


def test_the_expected_value_and_the_population():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    labels = np.where(np.arange(len(y)) % 2, groups, 99)
    mean, std = model.predict_mean(X, groups=labels, return_std=True)
    expected, wide = model.predict(X, groups=labels, return_std=True)
    assert np.array_equal(mean, expected)
    noise = model.predict_noise_std(X, groups=labels)
    assert_allclose(std**2 + noise**2, wide**2, rtol=SAME)
    with pytest.warns(PopulationPredictionWarning) as caught:
        without = model.predict(X)
    assert len(caught) == 1
    assert np.array_equal(without, model.predict(X, groups=np.full(len(y), None)))


def test_score_is_r2():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    mean = model.predict(X, groups=groups)
    expected = 1 - np.sum((y - mean) ** 2) / np.sum((y - y.mean()) ** 2)
    assert_allclose(model.score(X, y, groups=groups), expected)


@pytest.mark.parametrize("regressor", [TREE, WEAK], ids=["inside", "at an end"])
def test_updates_go_to_the_model_that_answers(regressor):
    X, y, groups = bent()
    old = groups != 3
    model = fitted(X[old], y[old], groups[old], regressor)
    new = np.flatnonzero(~old)
    before = model.predict(X[new], groups=groups[new], return_std=True)
    known = model.random_intercepts_.copy()
    same = model.update_random_intercepts(X[new], y[new], groups=groups[new])
    assert same is model
    mean, std = model.predict(X[new], groups=groups[new], return_std=True)
    assert (std < before[1]).all()
    assert np.mean((y[new] - mean) ** 2) < np.mean((y[new] - before[0]) ** 2)
    # The known groups stay as they are, and the new one is known to the other model.
    assert np.array_equal(model.random_intercepts_, known)
    assert 3 not in model.groups_
    assert 3 in model.new_model_.groups_
    rows, place = np.flatnonzero(groups == 4), list(model.groups_).index(4)
    mean, std = model.predict(X[rows], groups=groups[rows], return_std=True)
    shift = np.sum(y[rows] + 5 - mean) / model.noise_variance_
    c = model.random_intercepts_conditional_std_[place] ** 2
    model.update_random_intercepts(X[rows], y[rows] + 5, groups=groups[rows])
    # docs/math.md (21a), with residuals from the mode before.
    shift *= c / (1 + c * len(rows) / model.noise_variance_)
    assert_allclose(model.random_intercepts_[place], known[place] + shift, rtol=SAME)
    again = model.predict(X[rows], groups=groups[rows], return_std=True)[1]
    assert (again < std).all()
    with pytest.raises(ValueError, match="needs a label for every row"):
        model.update_random_intercepts(X[rows], y[rows])


def test_an_update_equals_the_dense_posterior():
    """Rows of a new group condition those to come, by the model of new groups."""
    X, y, groups = bent()
    old = groups != 3
    model = fitted(X[old], y[old], groups[old])
    rows = np.flatnonzero(~old)
    first, later = rows[:6], rows[6:]
    mean, cov = model.predict(X[rows], groups=groups[rows], return_cov=True)
    K, C = cov[:6, :6], cov[6:, :6]
    # The coefficients of the model stay as they are: only the level is learned.
    calibrator = model.new_model_
    b = calibrator.group_variance_
    precision = 6 / calibrator.noise_variance_ + 1 / b
    level = np.sum(y[first] - mean[:6]) / calibrator.noise_variance_ / precision
    model.update_random_intercepts(X[first], y[first], groups=groups[first])
    found = model.predict(X[later], groups=groups[later])
    assert_allclose(found, mean[6:] + level, rtol=SAME)
    # Conditioning on the rows would also learn coefficients, which matters little here.
    exact = mean[6:] + C @ np.linalg.solve(K, y[first] - mean[:6])
    assert_allclose(found, exact, atol=0.3 * np.sqrt(b))


def test_there_is_no_likelihood():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    assert not hasattr(model, "log_likelihood_")
    assert not hasattr(model, "partial_fit")
    for function in (inference.summary, lambda model: inference.contrast(model, [1])):
        with pytest.raises(
            TypeError, match=r"with a linear mean.*known_model_\.summary"
        ):
            function(model)
    with pytest.raises(TypeError, match="a linear mean, nor a tool of scikit-learn"):
        inference.summary(Ridge())


def test_results_are_read_only_and_pickled():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    stored = pickle.loads(pickle.dumps(model))
    for each in (model, stored):
        with pytest.raises(ValueError, match="read-only"):
            each.random_intercepts_[0] = 1.0
    labels = np.where(groups < 5, groups, 99)
    assert np.array_equal(
        stored.predict(X, groups=labels, return_std=True),
        model.predict(X, groups=labels, return_std=True),
    )
    stored.update_random_intercepts(X[:3], y[:3], groups=labels[:3])


def test_clones_and_seeds():
    X, y, groups = bent()
    model = MixedEffectsRegressor(DecisionTreeRegressor(), random_state=3, verbose=0)
    first = clone(model).fit(X, y, groups=groups).predict(X, groups=groups)
    again = clone(model).fit(X, y, groups=groups).predict(X, groups=groups)
    assert np.array_equal(first, again)
    assert model.regressor.random_state is None
    other = clone(model).set_params(random_state=4).fit(X, y, groups=groups)
    assert not np.array_equal(first, other.predict(X, groups=groups))


def test_workers_change_nothing():
    X, y, groups = bent()
    alone = fitted(X, y, groups).predict(X, groups=groups, return_std=True)
    shared = fitted(X, y, groups, n_jobs=2).predict(X, groups=groups, return_std=True)
    assert_allclose(alone, shared, rtol=EXACT)


# ------------------------------------------------------------------------ noise


def modelled_noise(seed=0, n=600):
    X, y, groups = bent(seed, n=n)
    noise = np.exp(X[:, 1]) * np.random.default_rng(seed).normal(size=n)
    return X, y + noise, groups


def test_a_regressor_of_the_noise():
    """math.md (103)."""
    X, y, groups = modelled_noise()
    plain = fitted(X, y, groups)
    model = fitted(X, y, groups, variance_regressor=Ridge())
    labels = np.where(np.arange(len(y)) % 2, groups, 99)
    std = model.predict_noise_std(X, groups=labels)
    truth = np.sqrt(1 + np.exp(2 * X[:, 1]))
    assert np.corrcoef(np.log(std), np.log(truth))[0, 1] > 0.7
    assert isinstance(model.known_model_, HeteroscedasticGaussianRegressor)
    noise = model.known_model_.summary().log_variance
    assert noise.names == ("intercept", "predicted log-variance")
    assert names_of(model.known_model_)[:4] == ("intercept", "prediction", "x0", "x1")
    assert model.known_model_.variance_coef_[-1] > 0
    # A geometric mean over the rows of the fit; predictions average fold models.
    typical = np.exp(np.mean(np.log(model.predict_noise_std(X, groups=groups) ** 2)))
    assert_allclose(model.noise_variance_, typical, rtol=0.05)
    ours, without = (
        m.log_predictive_density(X, y, groups=labels) for m in (model, plain)
    )
    assert ours > without + 20
    stored = pickle.loads(pickle.dumps(model))
    assert np.array_equal(stored.predict_noise_std(X, groups=labels), std)


class Opposite(Ridge):
    """A regressor that predicts the opposite of what it should."""

    def predict(self, X):
        return -super().predict(X)


def test_a_regressor_of_the_noise_that_is_wrong_is_dropped():
    X, y, groups = modelled_noise()
    plain = fitted(X, y, groups)
    model = fitted(X, y, groups, variance_regressor=Opposite())
    assert model.known_model_.variance_coef_[-1] == 0
    assert model.new_model_.variance_coef_[-1] == 0
    labels = np.where(np.arange(len(y)) % 2, groups, 99)
    # The heteroscedastic fit stops by its own rule: agreement to its tolerance.
    assert_allclose(
        model.predict(X, groups=labels, return_std=True),
        plain.predict(X, groups=labels, return_std=True),
        rtol=1e-5,
    )


# --------------------------------------------------------------------- tables and doors


def frame_of(X, groups):
    frame = pd.DataFrame(X, columns=list("abc"))
    kinds = np.array(["north", "south", "west"])[np.arange(len(X)) % 3]
    return frame.assign(kind=pd.Categorical(kinds), school=[f"s{g}" for g in groups])


def test_frames_reach_the_regressor_as_frames():
    X, y, groups = bent()
    frame = frame_of(X, groups)
    y = y + 2.0 * (frame["kind"] == "west")
    frame.loc[::7, "b"] = np.nan
    trees = HistGradientBoostingRegressor(
        max_leaf_nodes=8, early_stopping=False, categorical_features="from_dtype"
    )
    model = fitted(
        frame, y, None, trees, group_feature="school", linear_features=["a", "c"]
    )
    names = ["a", "b", "c", "kind"]
    assert list(model.new_regressors_[0].feature_names_in_) == names
    known = [*names, "group_level"]
    assert list(model.known_regressors_[0].feature_names_in_) == known
    assert model.known_model_.n_features_in_ == 3
    assert names_of(model.known_model_) == ("intercept", "prediction", "a", "c")
    assert names_of(model.new_model_) == ("intercept", "prediction")
    assert model.score(frame, y) > 0.8
    west = frame["kind"] == "west"
    mean = model.predict(frame.assign(school="new"))
    assert mean[west].mean() > mean[~west].mean() + 1
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_columns_that_only_the_regressor_reads():
    X, y, groups = bent()
    frame = frame_of(X, groups).drop(columns="school")
    encode = make_column_transformer(
        (OneHotEncoder(), ["kind"]), remainder="passthrough"
    )
    model = fitted(frame, y, groups, make_pipeline(encode, Ridge()))
    # By default those of numeric types are the linear part.
    assert model.known_model_.n_features_in_ == 4
    none = fitted(frame, y, groups, make_pipeline(encode, Ridge()), linear_features=[])
    assert none.known_model_.n_features_in_ == 1
    missing = frame.assign(a=frame["a"].where(frame["a"] < 1))
    with pytest.raises(ValueError, match=r"NaN|missing") as caught:
        fitted(missing, y, groups, None)
    assert "linear_features=[]" in caught.value.__notes__[-1]
    X[::5, 0] = np.nan
    model = fitted(X, y, groups, None, linear_features=[1, 2])
    assert np.isfinite(model.predict(X, groups=groups)).all()
    with pytest.raises(ValueError, match="linear_features"):
        fitted(X, y, groups, None, linear_features=["a"])


def test_both_doors_lead_to_the_same_model():
    X, y, groups = bent()
    labels = np.where(groups < 10, groups, 99)
    expected = fitted(X, y, groups).predict(X, groups=labels, return_std=True)
    wide = np.column_stack([X[:, 0], groups, X[:, 1:]])
    inner = fitted(wide, y, None, group_feature=1)
    new = np.column_stack([X[:, 0], labels, X[:, 1:]])
    assert_allclose(inner.predict(new, return_std=True), expected, rtol=EXACT)
    for table in (pd.DataFrame, pl.DataFrame):
        frame = table({**dict(zip("abc", X.T, strict=True)), "g": groups})
        inner = fitted(frame, y, None, group_feature="g")
        new = table({**dict(zip("abc", X.T, strict=True)), "g": labels})
        assert_allclose(inner.predict(new, return_std=True), expected, rtol=EXACT)
    with pytest.raises(ValueError, match="Both doors"):
        inner.predict(frame, groups=groups)


def test_frames_of_other_libraries():
    """By default the linear part is of the numbers, and the regressor sees the rest."""
    pyarrow = pytest.importorskip("pyarrow")
    X, y, groups = bent()
    columns = dict(zip("abc", X.T, strict=True)) | {"flag": X[:, 0] > 0}
    kinds = np.array(["north", "south"])[np.arange(len(X)) % 2]
    encode = make_column_transformer(
        (OneHotEncoder(), ["kind"]), remainder="passthrough"
    )
    named = pl.DataFrame(columns | {"kind": kinds})
    model = fitted(named, y, groups, make_pipeline(encode, Ridge()))
    assert model.known_model_.n_features_in_ == 1 + 4
    assert np.isfinite(model.predict(named, groups=groups)).all()
    numbers = fitted(pyarrow.table(columns), y, groups, Ridge())
    expected = fitted(pd.DataFrame(columns), y, groups, Ridge())
    assert_allclose(
        numbers.predict(pyarrow.table(columns), groups=groups),
        expected.predict(pd.DataFrame(columns), groups=groups),
        rtol=EXACT,
    )


def test_a_frame_whose_names_are_numbers():
    X, y, groups = bent()
    model = fitted(pd.DataFrame(X), y, groups)
    expected = fitted(X, y, groups).predict(X, groups=groups)
    assert_allclose(model.predict(pd.DataFrame(X), groups=groups), expected)


def plain_frame():
    X, y, groups = SIMPLE
    return pd.DataFrame(X[:, :2], columns=["a", "b"]), y, groups


DATES = pd.date_range("2020", periods=120)
TOWNS = np.array(["oslo", "bergen"] * 60)


UNREADABLE = {
    "dates": (DATES, TypeError, r"holds dates or times \(datetime64"),
    "objects": (
        pd.Series(DATES, dtype=object),
        TypeError,
        "holds .*which is not a number",
    ),
    "text": (TOWNS, ValueError, "holds 'oslo', which is not a number"),
    "categories": (pd.Categorical(TOWNS), ValueError, "holds 'oslo', which is not"),
}


@pytest.mark.parametrize("regressor", [None, Ridge(), make_pipeline(Ridge())], ids=str)
@pytest.mark.parametrize("columns", [["a", "d"], ["d", "a", "b"]], ids=str)
@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_column_that_the_regressor_cannot_read_is_named(regressor, columns, kind):
    frame, y, groups = plain_frame()
    values, error, message = UNREADABLE[kind]
    frame = frame.assign(d=values)[columns]
    if kind == "categories" and regressor is None:
        fitted(frame, y, groups, regressor)  # which reads them
        return
    name = "HistGradientBoostingRegressor" if regressor is None else ""
    name = name or type(regressor).__name__
    message = f"{name} cannot read X: column 'd' of X {message}"
    with pytest.raises(error) as caught:
        fitted(frame, y, groups, regressor)
    # The error of float() about an object is clear but for the column: a note.
    said = caught.value.__notes__[0] if kind == "objects" else str(caught.value)
    assert re.match(message, said)
    assert caught.value.__notes__[-1] == "This happened in fold 1."


@pytest.mark.parametrize("library", [pl.DataFrame, pa.table], ids=["pl", "pa"])
def test_columns_of_other_libraries_are_named_too(library):
    frame, y, groups = plain_frame()
    table = library({"a": frame["a"].to_numpy(), "d": TOWNS})
    with pytest.raises(ValueError, match=r"Ridge cannot read X: column 'd' .*'oslo'"):
        fitted(table, y, groups, Ridge())


def test_columns_that_the_regressor_can_read_are_its_own_business():
    """Dates and text in columns for which a Pipeline has a transformer."""
    frame, y, groups = plain_frame()
    frame = frame.assign(d=DATES, town=TOWNS)
    days = FunctionTransformer(lambda X: X.apply(lambda x: x.dt.month))
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["town"]),
        (days, ["d"]),
        remainder="passthrough",
    )
    regressor = make_pipeline(encode, StandardScaler(), Ridge())
    model = fitted(frame, y, groups, regressor)
    assert np.isfinite(model.predict(frame, groups=groups)).all()
    assert model.known_model_.n_features_in_ == 1 + 2
    # Where it cannot read another one, that one is named.
    with pytest.raises(ValueError, match=r"Pipeline cannot .* column 'other' .*'u'"):
        fitted(frame.assign(other="u"), y, groups, regressor)
    # Of columns that begin alike both may be meant.
    alike = frame.assign(other=TOWNS[0])
    names = r"columns 'town', 'other' of X: one of these holds 'oslo'"
    with pytest.raises(ValueError, match=f"Pipeline cannot read X: {names}"):
        fitted(alike, y, groups, regressor)


def test_an_error_of_a_regressor_about_something_else_stays_as_it_is():
    frame, y, groups = plain_frame()
    frame = frame.assign(town=TOWNS)
    encode = make_column_transformer((OneHotEncoder(), ["town"]))
    with pytest.raises(ValueError, match=r"^alpha|^The 'alpha' parameter"):
        fitted(frame, y, groups, make_pipeline(encode, Ridge(alpha="oslo")))


@pytest.mark.parametrize("regressor", [Ridge(), None], ids=str)
def test_objects_that_are_numbers_are_numbers(regressor):
    """As to the other estimators."""
    frame, y, groups = plain_frame()
    objects = frame.assign(
        a=frame["a"].map(Decimal).astype(object), flag=frame["b"] > 0
    ).astype(object)
    model = fitted(objects, y, groups, regressor)
    floats = frame.assign(flag=(frame["b"] > 0).astype(float))
    expected = fitted(floats, y, groups, regressor)
    assert names_of(model.known_model_) == names_of(expected.known_model_)
    assert_allclose(
        model.predict(objects, groups=groups),
        expected.predict(floats, groups=groups),
        rtol=EXACT,
    )
    objects.loc[3, "a"] = None  # as in a column of floats
    with pytest.raises(ValueError, match="missing") as caught:
        fitted(objects, y, groups, regressor)
    assert "linear_features=[]" in caught.value.__notes__[-1]


def test_objects_that_are_no_numbers_are_left_to_the_regressor():
    frame, y, groups = plain_frame()
    mixed = np.array([1.0] * 119 + ["oslo"], dtype=object)
    columns = {"digits": np.array(["1", "2"] * 60, dtype=object), "mixed": mixed}
    columns["grade"] = pd.Categorical([1, 2] * 60)
    frame = frame.assign(**columns, none=np.full(120, None))
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), ["digits"]), ("passthrough", ["a"])
    )
    model = fitted(frame, y, groups, make_pipeline(encode, Ridge()))
    assert names_of(model.known_model_) == ("intercept", "prediction", "a", "b")


NAMES = {
    "pairs": pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("b", "x")]),
    "triples": pd.MultiIndex.from_tuples([(1, 2, 3), (1, 2, 4), (2, 1, 1)]),
    "dates": pd.date_range("2020", periods=3),
    "periods": pd.period_range("2020", periods=3, freq="D"),
    "intervals": pd.interval_range(0, 3),
    "numbers": pd.Index([0.5, 3.0, 2.0]),
    "categories": pd.CategoricalIndex([3, 1, 2]),
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("regressor", [Ridge(), None], ids=str)
def test_names_of_columns_that_are_no_strings(names, regressor):
    X, y, groups = SIMPLE
    frame = pd.DataFrame(X, columns=NAMES[names])
    model = fitted(frame, y, groups, regressor)
    expected = fitted(X, y, groups, regressor).predict(X, groups=groups)
    assert_allclose(model.predict(frame, groups=groups), expected, rtol=EXACT)


def test_the_level_has_a_place_among_names_of_several_parts():
    X, y, groups = SIMPLE
    names = pd.MultiIndex.from_tuples([("a", "x"), ("a", "y"), ("group_level", "")])
    with pytest.raises(ValueError, match=r"has a column \('group_level', ''\)"):
        fitted(pd.DataFrame(X, columns=names), y, groups)


@pytest.mark.parametrize("table", [np.array, pd.DataFrame], ids=["array", "frame"])
def test_a_table_without_columns_is_refused(table):
    _, y, groups = SIMPLE
    message = "0 feature.* a minimum of 1 is required by MixedEffectsRegressor"
    with pytest.raises(ValueError, match=message):
        MixedEffectsRegressor(Refuses()).fit(
            table(np.empty((120, 0))), y, groups=groups
        )


def test_the_name_of_the_level_is_taken():
    X, y, groups = bent()
    frame = pd.DataFrame(X, columns=["a", "b", "group_level"])
    with pytest.raises(ValueError, match="has a column 'group_level'"):
        fitted(frame, y, groups)
    fitted(frame, y, groups, group_level=False)


# ---------------------------------------------------------------- scikit-learn's tools


CHECKED = [
    MixedEffectsRegressor(Ridge()),
    MixedEffectsRegressor(),
    MixedEffectsRegressor(Ridge(), linear_features=[]),
    MixedEffectsRegressor(Ridge(), variance_regressor=Ridge()),
    MixedEffectsRegressor(Ridge(), group_feature=-1, cv=2),
]
# Scikit-learn's trees have a least number of rows in a leaf, which counts rows and not
# weights.
OF_THE_TREES = {"check_sample_weight_equivalence_on_dense_data": "rows of a leaf"}


@pytest.mark.filterwarnings("ignore:No `groups` were given:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.*have one row each:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:The features explain all:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
@pytest.mark.filterwarnings("ignore:.*no degrees of freedom left:UserWarning")
@pytest.mark.filterwarnings("ignore:.*have a noise variance at the bounds:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Newton's method stopped:sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.filterwarnings("ignore:Singular matrix:scipy.linalg.LinAlgWarning")
@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input")
@pytest.mark.parametrize("estimator", CHECKED, ids=str)
def test_check_estimator(estimator):
    expected = OF_THE_TREES if estimator.regressor is None else {}
    results = check_estimator(
        estimator, on_fail=None, expected_failed_checks=dict(expected)
    )
    outcome = {result["check_name"]: result["status"] for result in results}
    assert len(outcome) > 40
    bad = {
        name: status
        for name, status in outcome.items()
        if status not in ("passed", "skipped")
    }
    assert bad == dict.fromkeys(expected, "xfail")
    skipped = [name for name, status in outcome.items() if status == "skipped"]
    assert set(skipped) <= {"check_array_api_input"}


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.usefixtures("routing")
def test_a_nested_search_over_the_leaves():
    X, y, groups = bent()
    trees = HistGradientBoostingRegressor(max_iter=20, early_stopping=False)
    model = MixedEffectsRegressor(trees, cv=2, random_state=0)
    search = GridSearchCV(
        model,
        {"regressor__max_leaf_nodes": [2, 8]},
        scoring=neg_nll_scorer,
        cv=GroupKFold(2),
        n_jobs=2,
        error_score="raise",
    )
    scores = cross_val_score(
        search,
        X,
        y,
        params={"groups": groups},
        scoring=neg_joint_nll_scorer,
        cv=GroupKFold(2),
        error_score="raise",
    )
    assert np.isfinite(scores).all()
    search.fit(X, y, groups=groups)
    best = search.best_estimator_
    assert best.known_regressors_[0].max_leaf_nodes in (2, 8)
    assert len(best.groups_) == 20


@pytest.mark.usefixtures("routing")
def test_in_a_pipeline_after_a_column_transformer():
    X, y, groups = bent()
    frame = frame_of(X, groups).drop(columns="school")
    keep = ColumnTransformer(
        [
            ("scale", StandardScaler(), ["a", "b"]),
            ("rest", "passthrough", ["c", "kind"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    trees = HistGradientBoostingRegressor(max_leaf_nodes=8, max_iter=20)
    pipe = make_pipeline(keep, MixedEffectsRegressor(trees, cv=2, random_state=0))
    pipe.fit(frame, y, groups=groups)
    assert list(pipe[-1].feature_names_in_) == ["a", "b", "c", "kind"]
    std = pipe.predict(frame, groups=groups, return_std=True)[1]
    assert (std > 0).all()
    assert pipe.score(frame, y, groups=groups) > 0.6
    scores = cross_val_score(
        pipe,
        frame,
        y,
        params={"groups": groups},
        cv=KFold(2, shuffle=True, random_state=0),
        error_score="raise",
    )
    assert (scores > 0.4).all()


class Takes(Ridge):
    """A regressor that notes its metadata."""

    notes = []

    def fit(self, X, y, sample_weight=None, clinic=None, flag=None):
        self.notes.append((len(y), sample_weight, clinic, flag))
        return super().fit(X, y, sample_weight)


@pytest.mark.usefixtures("routing")
def test_metadata_go_where_they_are_requested():
    X, y, groups = bent()
    weight, clinic = np.arange(len(y)) % 3, groups % 4
    inner = Takes().set_fit_request(sample_weight=True, clinic=True, flag=True)
    Takes.notes.clear()
    model = MixedEffectsRegressor(inner, random_state=0).fit(
        X, y, groups=groups, sample_weight=weight, clinic=clinic, flag="x"
    )
    assert len(Takes.notes) == 10
    for n, w, c, flag in Takes.notes:
        assert len(w) == len(c) == n < len(y)
        assert set(w) == {1.0, 2.0}  # rows of weight 0 are absent
        assert flag == "x"
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        MixedEffectsRegressor(Takes()).fit(X, y, groups=groups, sample_weight=weight)
    with pytest.raises(TypeError, match="unknown"):
        model.fit(X, y, groups=groups, unknown=clinic)
    # Through another tool the estimator itself has to request weights as well.
    cv = {"cv": GroupKFold(2), "params": {"groups": groups, "sample_weight": weight}}
    only_inner = MixedEffectsRegressor(Ridge().set_fit_request(sample_weight=True))
    with pytest.raises(UnsetMetadataPassedError, match="MixedEffectsRegressor"):
        cross_val_score(only_inner, X, y, error_score="raise", **cv)
    both = only_inner.set_fit_request(sample_weight=True).set_score_request(
        sample_weight=True
    )
    assert np.isfinite(cross_val_score(both, X, y, error_score="raise", **cv)).all()
    default = MixedEffectsRegressor(cv=2, random_state=0)
    default.fit(X, y, groups=groups, sample_weight=weight)


@pytest.mark.usefixtures("routing")
def test_groups_of_an_inner_search_have_a_name_of_their_own():
    X, y, groups = bent()
    inner = GridSearchCV(
        Ridge(), {"alpha": [1, 10]}, cv=GroupKFold(2).set_split_request(groups="clinic")
    )
    model = MixedEffectsRegressor(inner, cv=2, random_state=0)
    model.fit(X, y, groups=groups, clinic=groups % 4)
    assert model.known_regressors_[0].best_params_["alpha"] in (1, 10)
    with pytest.raises(ValueError, match="groups"):
        model.fit(X, y, groups=groups)


def test_without_routing_only_weights_reach_the_regressor():
    X, y, groups = bent()
    with pytest.raises(TypeError, match="'clinic', which can reach a regressor only"):
        MixedEffectsRegressor(Takes()).fit(X, y, groups=groups, clinic=groups)
    pipe = make_pipeline(StandardScaler(), Ridge())
    with pytest.raises(TypeError, match="regressor is a Pipeline, whose fit takes no"):
        MixedEffectsRegressor(pipe).fit(X, y, groups=groups, sample_weight=y**2)


# ------------------------------------------------------------------------ awkward data


def test_few_groups():
    X, y, groups = bent(n_groups=6)
    model = fitted(X, y, groups)
    labels = np.where(groups < 3, groups, 99)
    mean, std = model.predict(X, groups=labels, return_std=True)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    two = fitted(X, y, groups % 2)
    assert len(two.new_regressors_) == 2


def test_groups_of_one_row():
    X, y, _ = bent()
    with pytest.warns(GroupsWarning, match="have one row each") as caught:
        model = fitted(X, y, np.arange(len(y)))
    assert len(caught) == 1  # though two models say it
    assert model.group_variance_ == 0
    assert np.isfinite(model.predict(X, groups=np.arange(len(y)))).all()


def test_one_group():
    X, y, _ = bent()
    with pytest.warns(GroupsWarning, match="There is one group only") as caught:
        model = fitted(X, y, np.zeros(len(y)))
    assert len(caught) == 1
    for labels in (np.zeros(len(y)), np.ones(len(y))):
        mean, std = model.predict(X, groups=labels, return_std=True)
        assert np.isfinite(mean).all()
        assert (std > 0).all()


def test_no_groups():
    """Rows are held out, and one model answers all."""
    X, y, _ = bent()
    with pytest.warns(GroupsWarning, match="No `groups` were given") as caught:
        model = fitted(X, y, None, cv=3)
    assert len(caught) == 1
    assert model.known_model_ is model.new_model_
    assert len(model.new_regressors_) == 3
    assert len(model.groups_) == 0
    assert model.group_variance_ == 0
    with pytest.warns(GroupsWarning, match="Group labels are ignored"):
        model.predict(X, groups=np.zeros(len(y)))
    with pytest.raises(ValueError, match="no random intercepts"):
        model.update_random_intercepts(X, y, groups=np.zeros(len(y)))


@pytest.mark.parametrize("regressor", [TREE, Ridge(), None], ids=str)
@pytest.mark.parametrize("noise", [None, Ridge()], ids=str)
def test_constant_y(regressor, noise):
    X, _, groups = bent()
    with pytest.warns(UserWarning, match="y is fitted exactly"):
        model = fitted(
            X, np.full(300, 7.0), groups, regressor, variance_regressor=noise
        )
    labels = np.where(groups < 10, groups, 99)
    mean, std = model.predict(X, groups=labels, return_std=True)
    assert_allclose(mean, 7.0, rtol=SAME)
    assert (std < 1e-6).all()
    assert np.isfinite(std).all()


def test_a_regressor_that_finds_nothing():
    X, y, groups = bent()
    model = fitted(X, y, groups, DummyRegressor())
    assert model.new_slope_ == 0
    plain = RandomInterceptRegressor().fit(X, y, groups=groups)
    mean = model.predict(X, groups=groups)
    expected = plain.predict(X, groups=groups)
    assert_allclose(mean, expected, atol=EXACT * np.std(y))
    empty = RandomInterceptRegressor().fit(np.empty((300, 0)), y, groups=groups)
    labels = np.full(300, 99)
    assert_allclose(
        model.predict(X, groups=labels, return_std=True),
        empty.predict(np.empty((300, 0)), groups=labels, return_std=True),
        rtol=SAME,
    )


def test_a_fold_without_a_group_that_it_needs():
    """A group all of whose rows are in one fold is a new one to the others."""
    X, y, groups = bent()
    fold = np.arange(len(y)) % 3
    fold[groups == 5] = 0
    splits = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(3)]
    model, fits = fits_of_a_spy(X, y, groups, cv=splits)
    assert len(np.unique(fits[0][0][:, 3])) == 19
    assert np.isfinite(model.predict(X, groups=groups)).all()
    # In a prediction by that fold the level of the group is 0.
    assert model.predict(X[groups == 5], groups=groups[groups == 5]).shape == (
        np.sum(groups == 5),
    )


def test_splits():
    X, y, groups = bent()
    with pytest.raises(ValueError, match="tests every row once"):
        fitted(X, y, groups, cv=ShuffleSplit(3))
    with pytest.raises(ValueError, match="tests every row once"):
        fitted(X, y, groups, cv_new=[(np.arange(100), np.arange(100, 300))])
    for cv in (1, True, 0):
        with pytest.raises(ValueError, match="two folds are the least"):
            fitted(X, y, groups, cv=cv)
    with pytest.raises(TypeError, match="A cv is"):
        fitted(X, y, groups, cv="all")
    model = fitted(X, y, groups, cv=KFold(2), cv_new=GroupKFold(3))
    assert (len(model.known_regressors_), len(model.new_regressors_)) == (2, 3)
    # With fewer rows than folds there are as many folds as rows.
    few = fitted(X[:4], y[:4], [0, 0, 1, 1], Ridge(), linear_features=[])
    assert len(few.known_regressors_) == 4


def test_given_splits_are_of_all_rows_those_of_weight_0_too():
    X, y, groups = bent()
    weight = (np.arange(len(y)) % 4 > 0).astype(float)
    splits, of_groups = list(KFold(3).split(X)), list(GroupKFold(3).split(X, y, groups))
    parameters = {"cv": splits, "cv_new": of_groups, "random_state": 0}
    model = MixedEffectsRegressor(TREE, **parameters)
    model.fit(X, y, groups=groups, sample_weight=weight)
    some = np.flatnonzero(weight)
    place = np.cumsum(weight > 0) - 1
    fewer, fewer_of_groups = (
        [
            (place[np.intersect1d(train, some)], place[np.intersect1d(test, some)])
            for train, test in each
        ]
        for each in (splits, of_groups)
    )
    parameters = {"cv": fewer, "cv_new": fewer_of_groups, "random_state": 0}
    other = MixedEffectsRegressor(TREE, **parameters)
    other.fit(X[some], y[some], groups=groups[some])
    assert_allclose(
        model.predict(X, groups=groups), other.predict(X, groups=groups), rtol=EXACT
    )


def test_errors_of_the_regressor_say_what_it_was_given():
    """Two columns were three, and y that is positive was below 0, without a word."""
    X, y, groups = bent()
    model = MixedEffectsRegressor(
        HistGradientBoostingRegressor(loss="poisson"), cv=2, random_state=0
    )
    with pytest.raises(ValueError, match="requires non-negative y") as told:
        model.fit(X, np.exp(y), groups=groups)
    assert "residuals" in told.value.__notes__[0]
    assert "group_level=False" in told.value.__notes__[0]
    with pytest.raises(ValueError, match="requires non-negative y") as told:
        model.set_params(group_level=False).fit(X, np.exp(y), groups=groups)
    assert "group_level" not in told.value.__notes__[0]


def test_splits_for_the_other_question_are_told():
    """Intervals of new groups held 53 % for 90 % by KFold, without a word."""
    X, y, groups = bent()
    shuffled, by_groups = KFold(3, shuffle=True, random_state=0), GroupKFold(3)
    with pytest.warns(GroupsWarning, match=r"cv_new holds out 100\.0% .* narrow"):
        MixedEffectsRegressor(Ridge(), cv_new=shuffled).fit(X, y, groups=groups)
    with pytest.warns(GroupsWarning, match=r"cv holds out 100% of .* too uncertain"):
        MixedEffectsRegressor(Ridge(), cv=by_groups).fit(X, y, groups=groups)
    right = MixedEffectsRegressor(Ridge(), cv=shuffled, cv_new=by_groups)
    right.fit(X, y, groups=groups)
    everything = np.arange(len(y))
    known = [(everything, test) for _, test in shuffled.split(X)]
    with pytest.raises(ValueError, match=r"tests \d+ rows that it is trained on"):
        right.set_params(cv=known).fit(X, y, groups=groups)


def test_rows_of_weight_0_are_absent_from_frames_too():
    X, y, groups = bent()
    frame = frame_of(X, groups).drop(columns="school")
    weight = (np.arange(len(y)) % 4 > 0).astype(float)
    some = np.flatnonzero(weight)
    encode = make_column_transformer(
        (OneHotEncoder(), ["kind"]), remainder="passthrough"
    )
    model = MixedEffectsRegressor(make_pipeline(encode, TREE), random_state=0)
    other = clone(model).fit(frame.iloc[some], y[some], groups=groups[some])
    with sklearn.config_context(enable_metadata_routing=True):
        routed = clone(model)
        routed.regressor[-1].set_fit_request(sample_weight=True)
        routed.fit(frame, y, groups=groups, sample_weight=weight)
    assert_allclose(
        routed.predict(frame, groups=groups),
        other.predict(frame, groups=groups),
        rtol=EXACT,
    )


class Refuses(Ridge):
    """A regressor that must not be fitted."""

    def fit(self, X, y, sample_weight=None):
        raise AssertionError("fitted")


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"y": np.append(np.nan, np.zeros(299))}, ValueError, "NaN|missing"),
        ({"y": None}, ValueError, "y"),
        ({"y": np.zeros(10)}, ValueError, "inconsistent|samples"),
        ({"X": np.zeros(300)}, ValueError, "Expected 2D"),
        ({"X": sparse.eye_array(300, format="csr")}, TypeError, "[Ss]parse"),
        ({"groups": np.zeros(10)}, ValueError, "10 labels"),
        ({"groups": "school"}, TypeError, "group_feature"),
        ({"groups": np.zeros((300, 9))}, ValueError, "but the model has one grouping"),
        ({"groups": np.append(np.nan, np.zeros(299))}, ValueError, "missing"),
        ({"sample_weight": -np.ones(300)}, ValueError, "negative"),
    ],
    ids=str,
)
def test_bad_input_is_refused_before_any_fit(change, error, message):
    X, y, groups = bent()
    arguments = {"X": X, "y": y, "groups": groups, **change}
    model = MixedEffectsRegressor(Refuses())
    with pytest.raises(error, match=message):
        model.fit(**arguments)
    assert not hasattr(model, "groups_")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "change, parameters, message",
    [
        ({"y": 1e-200}, {}, "^y is of order .*e-20.; squares of figures"),
        ({"y": 1e200}, {}, "^y is of order .*e.20.; squares of figures"),
        ({"y": 1e110}, {}, "^y varies by .*e.11.; squares of predictions"),
        ({"y": 1e-110}, {}, "^y varies by .*e-10.; squares of predictions"),
        ({"y": 1e80}, {"variance_regressor": Ridge()}, "^y varies by .* a fourth"),
        ({"y": 1e90}, {"regressor": None}, "^y varies by .* single precision"),
        ({"y": 1e-90}, {"regressor": None}, "^y varies by .* single precision"),
        ({"X": [1, 1, 1e200]}, {}, "^Column 2 of X is of order .*e.20"),
        ({"X": [1e-200, 1, 1]}, {"group_feature": 0}, "^Column 1 of X is of order"),
    ],
    ids=str,
)
def test_figures_out_of_range_are_refused_before_any_fit(change, parameters, message):
    """By the column at fault, and without a warning of NumPy."""
    X, y, groups = SIMPLE
    X, y = X * np.asarray(change.get("X", 1.0)), y * change.get("y", 1.0)
    model = MixedEffectsRegressor(Refuses()).set_params(**parameters)
    if "group_feature" in parameters:
        X, groups = np.column_stack([groups, X]), None
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "regressor, unit",
    [
        (Ridge(), 1e-98),
        (Ridge(), 1e96),
        (TREE, 1e96),
        (None, 2.0**-92),
        (None, 2.0**92),
    ],
    ids=str,
)
def test_units_of_y_far_from_one(regressor, unit):
    # Gradients of scikit-learn's boosted trees are rounded to single precision.
    X, y, groups = SIMPLE
    model = fitted(X, y, groups, regressor, group_level=False)
    far = fitted(X, y * unit, groups, regressor, group_level=False)
    labels = np.where(groups < 6, groups, 99)
    for found, expected in zip(
        far.predict(X, groups=labels, return_std=True),
        model.predict(X, groups=labels, return_std=True),
        strict=True,
    ):
        assert_allclose(found / unit, expected, rtol=0, atol=SAME * y.std())


class Tiny(Ridge):
    """A regressor in units of its own."""

    def __init__(self, unit=1.0):
        super().__init__()
        self.unit = unit

    def predict(self, X):
        return super().predict(X) * self.unit


def test_predictions_in_units_of_their_own():
    X, y, groups = SIMPLE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny = fitted(X, y, groups, Tiny(1e-150))
        nothing = fitted(X, y, groups, DummyRegressor(strategy="constant", constant=0))
        assert tiny.new_slope_ == 0
        assert_allclose(tiny.random_intercepts_, nothing.random_intercepts_, rtol=EXACT)
        with pytest.raises(ValueError, match="Tiny predicted values of order"):
            fitted(X, y, groups, Tiny(1e150))


@pytest.mark.parametrize(
    "weight, message",
    [
        (1e-3, "^The weights sum to 0.12, fewer than the 5 coefficients"),
        (0.05, "^The weights sum to 6, in the rows of a fold to 3, fewer than the 4"),
    ],
    ids=str,
)
def test_weights_that_are_no_counts_are_refused_before_any_fit(weight, message):
    X, y, groups = SIMPLE
    weights = np.full(len(y), weight)
    model = MixedEffectsRegressor(Refuses(), cv=2, random_state=0)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y, groups=groups, sample_weight=weights)
    # Maximum likelihood allows for no coefficients.
    model = MixedEffectsRegressor(Ridge(), cv=2, random_state=0, method="ml")
    model.fit(X, y, groups=groups, sample_weight=weights)
    # Dependent columns count once: 3 training rows' weights do for 3 coefficients.
    twice = np.column_stack([X[:, :2], X[:, 0]])
    model = MixedEffectsRegressor(Ridge(), cv=2, random_state=0)
    model.fit(twice, y, groups=groups, sample_weight=np.full(len(y), 0.0501))


@pytest.mark.parametrize(
    "parameters, error",
    [
        ({"method": "REML"}, ValueError),
        ({"group_level": 1}, TypeError),
        ({"n_jobs": 0}, ValueError),
        ({"regressor": Ridge}, TypeError),
        ({"regressor": "trees"}, TypeError),
        ({"variance_regressor": 1.0}, TypeError),
        ({"linear_features": "a"}, TypeError),
        ({"linear_features": 3}, TypeError),
        ({"group_feature": 9}, ValueError),
    ],
    ids=str,
)
def test_bad_parameters_are_refused(parameters, error):
    X, y, groups = bent()
    model = MixedEffectsRegressor(Refuses()).set_params(**parameters)
    with pytest.raises(error):
        model.fit(X, y, groups=None if "group_feature" in parameters else groups)


class Predicts(Ridge):
    """A regressor that predicts something else."""

    def __init__(self, what=np.nan):
        super().__init__()
        self.what = what

    def predict(self, X):
        mean = super().predict(X)
        if self.what == "column":
            return mean[:, None]
        if self.what == "two":
            return np.column_stack([mean, mean])
        return mean * self.what


def test_what_a_regressor_predicts():
    X, y, groups = bent()
    column = fitted(X, y, groups, Predicts("column"))
    plain = fitted(X, y, groups, Predicts(1.0))
    assert_allclose(column.predict(X, groups=groups), plain.predict(X, groups=groups))
    for what, message in (
        (np.nan, "60 values of 60 that are not finite"),
        ("two", "shape"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted(X, y, groups, Predicts(what))


def test_a_failed_fit_leaves_the_model_as_it_was():
    X, y, groups = bent()
    model = fitted(X, y, groups)
    before = model.predict(X, groups=groups)
    model.set_params(regressor=Predicts())
    with pytest.raises(ValueError, match="not finite"):
        model.fit(X[:, :2], y, groups=groups)
    assert np.array_equal(model.predict(X, groups=groups), before)


def test_the_callers_arrays_are_not_changed():
    X, y, groups = bent()
    frame = frame_of(X, groups).drop(columns=["kind", "school"])
    copies = frame.copy(), y.copy(), groups.copy()
    for array in (X, y, groups):
        array.flags.writeable = False
    model = fitted(frame, y, groups)
    model.update_random_intercepts(frame, y, groups=groups)
    pd.testing.assert_frame_equal(frame, copies[0])
    assert np.array_equal(y, copies[1])


def test_nothing_is_warned_of_in_an_ordinary_fit():
    X, y, groups = bent()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fitted(X, y, groups, None)
        model.predict(X, groups=np.full(len(y), None))
