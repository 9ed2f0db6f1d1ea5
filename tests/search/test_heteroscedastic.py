"""The search for variances of rows, on small problems that were once too hard."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.dense import compare
from oracles.laws import check
from oracles.random_problems import make
from oracles.reference import (
    block_covariance,
    generalised_least_squares,
    with_intercept,
)
from sklearn.base import clone

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed._search.heteroscedastic import search


@pytest.mark.parametrize("mean_groups", ["random", "fixed"])
def test_a_ridge_that_costs_more_than_the_noise_under_reml(mean_groups):
    """There was no penalty in absolute units whose optimum agreed with it: the fit
    ended with coefficients of one and variances of another.
    """
    rng = np.random.default_rng(1)
    X = rng.normal(size=(40, 1))
    groups = np.arange(40) % 4
    y = X[:, 0] + rng.normal(size=4)[groups] + 1e-3 * rng.normal(size=40)
    model = HeteroscedasticGaussianRegressor(alpha=1.0, mean_groups=mean_groups)
    model.fit(X, y, groups=groups)
    assert model.converged_
    noise = model.predict_noise_std(X, groups=groups) ** 2
    V = np.diag(noise) + block_covariance(groups, 0.0, model.group_variance_)
    penalty = np.exp(-np.mean(np.log(noise))) * np.diag([0.0, 1.0])
    D = with_intercept(X)
    if mean_groups == "fixed":
        D = np.column_stack([D, np.eye(4)[groups]])
        penalty = penalty[1, 1] * np.diag([0.0, 1, 1, 1, 1, 1])
    beta, _ = generalised_least_squares(D, y, V, penalty)
    assert_allclose(model.coef_, beta[1:2], rtol=1e-8)


@pytest.mark.filterwarnings("ignore:.*fewer than 10 rows:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.*rows have a noise variance at:UserWarning")
def test_a_group_that_can_be_fitted_exactly_does_not_hide_the_group_variance():
    """With it there was no maximum on the way from the starts; the model without a
    group variance has one, and was preferred, 200 lower in log-likelihood.
    """
    rng = np.random.default_rng(0)
    groups = np.arange(80) % 30
    X = rng.normal(size=(80, 1))
    y = X[:, 0] + 10 * rng.normal(size=40)[groups] + 0.1 * rng.normal(size=80)
    model = HeteroscedasticGaussianRegressor(
        method="ml", variance_features=[], variance_groups="fixed"
    )
    model.fit(X, y, groups=groups)
    assert model.group_variance_ > 50


def test_variances_too_far_apart_for_an_inverse_are_a_step_too_far():
    """A singular matrix ended the search."""
    story = {
        "n": 11, "target": "model", "noise": 0.1, "groups": "random", "n_groups": 1,
        "columns": [
            "binary", "offset", "normal", "binary", "duplicate", "binary", "of groups",
            "one row", "normal", "duplicate", "normal",
        ],
        "weight": "ratio", "labels": "str", "container": "frame", "unit": -15,
        "units": [0] * 11, "seed": 4476,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        fit_intercept=False, fit_variance_intercept=False
    )
    assert check(make(estimator, story)) == "fitted"


@pytest.mark.filterwarnings("ignore:.*rows have a noise variance at:UserWarning")
def test_rows_that_gain_nothing_by_an_exact_fit_hide_no_group_variance():
    """Three rows of a group and three coefficients: an exact fit, for which REML pays,
    but which counted as if nobody did, so that there was no group variance.
    """
    story = {
        "n": 26, "columns": ["normal"] * 4, "target": "model", "noise": 0.1,
        "groups": "random", "n_groups": 4, "weight": None, "labels": "string",
        "container": "array", "unit": 0, "units": [0] * 4, "seed": 217,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        mean_features=[0, 3, 2], variance_features=[], variance_groups="fixed"
    )
    problem = make(estimator, story)
    model = estimator.fit(**problem.data)
    assert model.group_variance_ > 0.1
    assert model.log_likelihood_ > -1.6  # -19.4 without


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_the_way_to_a_group_variance_is_the_same_in_all_units(scale):
    """It began with a ratio that was the least one only for variances about 1."""
    rng = np.random.default_rng(287)
    X, groups = rng.normal(size=(20, 2)), rng.integers(4, size=20)
    y = 0.1 * rng.normal(size=4)[groups]
    y += np.exp(2 * X.sum(axis=1)) * rng.normal(size=20)
    model = HeteroscedasticGaussianRegressor(method="ml")
    found = model.fit(X, scale * y, groups=groups).log_likelihood_
    assert_allclose(
        found + 20 * np.log(scale), -31.3075, atol=1e-4
    )  # -33.05 at psi = 0


@pytest.mark.filterwarnings("ignore:.*rows have a noise variance at:UserWarning")
def test_steps_where_the_information_says_next_to_nothing():
    """They were cut short along a direction in which there was nothing to gain: a
    hundred tiny steps from each of twenty starts.
    """
    story = {
        "n": 9, "target": "model", "noise": 0.001, "groups": "giant", "n_groups": 9,
        "columns": [
            "offset", "sum", "offset", "duplicate", "of groups", "normal", "normal",
            "normal", "sum",
        ],
        "weight": None, "labels": "object", "container": "frame", "unit": 0,
        "units": [0] * 9, "seed": 9,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(alpha=1e-6, mean_groups="fixed")
    model = estimator.fit(**make(estimator, story).data)
    assert np.isfinite(model.log_likelihood_)


def test_variances_that_are_as_far_apart_as_the_bounds():
    """The way from a group variance of 0 took them without bounds, and overflowed."""
    story = {
        "n": 90, "columns": ["normal", "normal"], "target": "outlier", "noise": 0.1,
        "groups": "giant", "n_groups": 2, "weight": None, "labels": "negative",
        "container": "frame", "unit": 0, "units": [0, 0], "seed": 1,
    }  # fmt: skip
    assert check(make(HeteroscedasticGaussianRegressor(), story)) == "fitted"


def test_a_group_variance_that_takes_off():
    """Where variances of rows are 1e100 apart one step took psi to 1e205 times what it
    had been, where the information overflows.
    """
    story = {
        "n": 102, "target": "model", "noise": 1.0, "groups": "pairs", "n_groups": 45,
        "columns": [
            "normal", "constant", "one row", "one row", "of groups", "zero",
            "nearly of groups",
        ],
        "weight": "ratio", "labels": "str", "container": "array", "unit": -54,
        "units": [0] * 7, "seed": 576022173,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        fit_intercept=False, fit_variance_intercept=False
    )
    assert check(make(estimator, story)) == "fitted"


def test_a_way_that_is_straight():
    """Where a ridge was far from its kappa the function fell as the slope said, and the
    information promised half of that: a hundred steps ended nowhere near the optimum.
    """
    story = {
        "n": 41, "target": "model", "noise": 1e-3, "groups": "random", "n_groups": 4,
        "columns": ["normal"] * 3, "weight": None, "labels": "category",
        "container": "array", "unit": 0, "units": [0] * 3, "seed": 239739,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        alpha=1.0,
        fit_variance_intercept=False,
        mean_groups="fixed",
        variance_groups="fixed",
    )
    compare(make(estimator, story))


def test_a_group_variance_beside_a_scale_that_a_ridge_keeps():
    """The best psi was looked for with the scale that is best without the ridge."""
    story = {
        "n": 31, "target": "model", "noise": 1e-3, "groups": "giant", "n_groups": 10,
        "columns": ["normal"] * 2, "weight": "counts", "labels": "int",
        "container": "array", "unit": 0, "units": [0] * 2, "seed": 34689,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        alpha=1.0,
        fit_variance_intercept=False,
        method="ml",
        variance_alpha=10.0,
        variance_features=[],
        variance_groups="fixed",
    )
    assert compare(make(estimator, story)) < 1e-10


@pytest.mark.parametrize(
    "estimator",
    [
        RandomInterceptRegressor(),
        HeteroscedasticGaussianRegressor(),
        HeteroscedasticGaussianRegressor(mean_groups="fixed", variance_groups="fixed"),
    ],
    ids=str,
)
def test_weights_of_a_group_that_vanish_beside_the_others(estimator):
    """A Gaussian kernel far out, say: their logarithms were no grid to search."""
    rng = np.random.default_rng(0)
    groups = np.arange(120) // 10
    X = rng.normal(size=(120, 2))
    y = X.sum(axis=1) + rng.normal(size=12)[groups] + rng.normal(size=120)
    others = groups != 3
    weight = np.where(others, 1.0, 1e-290)
    copy = weight.copy()
    model = clone(estimator).fit(X, y, groups=groups, sample_weight=weight)
    expected = clone(estimator).fit(X[others], y[others], groups=groups[others])
    assert_allclose(model.log_likelihood_, expected.log_likelihood_)
    assert_allclose(model.coef_, expected.coef_)
    assert list(model.groups_) == list(expected.groups_)
    assert_array_equal(weight, copy)


def test_a_column_of_rounding_makes_no_start():
    """Its direction had a length of 1e-106 beside the others, and was made one of 2."""
    story = {
        "n": 105, "target": "exact", "noise": 0.1, "groups": "one", "n_groups": 46,
        "columns": [
            "one row", "constant", "normal", "one row", "sum", "nearly of groups",
            "zero", "one row", "sum",
        ],
        "weight": None, "labels": "int", "container": "fortran", "unit": -54,
        "units": [71, 0, 0, -53, 0, 0, 0, 0, -42], "seed": 65535,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        alpha=1e6,
        fit_intercept=False,
        method="ml",
        variance_features=[0, 7, 1, 4, 8, 3, 5],
    )
    assert check(make(estimator, story)) == "fitted"


def test_variances_without_a_factor_are_approached(monkeypatch):
    """Half of the way, then a quarter, then none of it."""
    tried = []

    def fails(likelihood, theta):
        tried.append(theta)
        if theta.any():
            raise np.linalg.LinAlgError
        return "a point"

    monkeypatch.setattr(search, "evaluate", fails)
    theta = np.array([4.0, -8.0])
    assert search._evaluate_towards(None, theta) == "a point"
    assert_array_equal(tried, np.outer([1.0, 0.5, 0.25, 0.0], theta))
