"""Failures that random problems found, each as small as it gets.

docs/reliability.md counts them.
"""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.dense import compare
from oracles.laws import check
from oracles.random_problems import make
from oracles.reference import (
    block_covariance,
    generalised_least_squares,
    with_intercept,
)
from scipy import sparse

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)
from skmixed.heteroscedastic import read_problem


def test_columns_may_be_listed_in_any_order():
    """All columns in another order were taken for all columns in theirs."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    groups = np.arange(60) % 6
    y = X[:, 0] + rng.normal(size=6)[groups] + np.exp(X[:, 1]) * rng.normal(size=60)
    fits = [
        HeteroscedasticGaussianRegressor(mean_features=order, variance_features=order)
        .fit(X, y, groups=groups)
        .predict(X, groups=groups, return_std=True)
        for order in ([0, 1, 2], [2, 0, 1])
    ]
    assert np.array_equal(*fits)


def test_a_start_is_no_further_than_the_bounds_of_a_variance():
    """exp overflowed along a column that is 0 but in a row of little weight."""
    rng = np.random.default_rng(0)
    X = np.eye(30)[:, :2]
    y, weight = rng.normal(size=30), np.r_[1e-5, np.ones(29)]
    model = HeteroscedasticGaussianRegressor(mean_features=[1], mean_groups=None)
    dense = model.fit(X, y, sample_weight=weight).variance_coef_
    found = model.fit(sparse.csr_array(X), y, sample_weight=weight).variance_coef_
    assert np.isfinite(dense).all()
    # The other column has a row of its own, and no maximum.
    assert_allclose(found[0], dense[0], rtol=1e-6)


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


def test_starts_along_columns_whose_units_are_a_googol_apart():
    """The pseudoinverse of a matrix of such units lost some of the columns."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 2)) * [1e100, 1e-98], rng.normal(size=70)
    estimator = HeteroscedasticGaussianRegressor(mean_groups=None)
    _, problem = read_problem(estimator, X, y, None)
    assert (np.abs(problem.model.axes).max(axis=0) > 0.1).all()


def test_a_sparse_column_far_from_zero():
    """Cross-products kept nothing of what varies: a singular matrix."""
    rng = np.random.default_rng(1)
    X = rng.normal(loc=[1e7, 1e7, 0, 0], size=(60, 4))
    y, weight = 1 + rng.normal(size=60), rng.random(60)
    model = HeteroscedasticGaussianRegressor(method="ml", mean_groups=None)
    dense = model.fit(X, y, sample_weight=weight).variance_coef_
    found = model.fit(sparse.csr_array(X), y, sample_weight=weight).variance_coef_
    assert_allclose(found, dense, rtol=1e-6)


@pytest.mark.parametrize("offset", [1e5, 1e9])
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]])
def test_a_column_and_itself_with_an_offset_count_as_one(offset, order):
    """The rounding of the offset counted as a column of its own."""
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=50), np.arange(50) % 5
    y = x + rng.normal(size=50)
    X = np.column_stack([x, x + offset, 2 * x + offset / 3])[:, order]
    expected = RandomInterceptRegressor().fit(x[:, None], y, groups=groups)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    ours, theirs = (m.noise_variance_ for m in (model, expected))
    # Of x + offset the last digits are lost.
    assert_allclose(ours, theirs, rtol=1e-14 * offset)


def test_an_empty_column_of_a_sparse_matrix_is_no_column():
    """The rounding of eigenvectors made a column of it."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)) * [1, 0, 1, 1]
    estimator = HeteroscedasticGaussianRegressor(mean_groups=None)
    _, problem = read_problem(estimator, sparse.csc_array(X), rng.normal(size=50), None)
    assert problem.variance_columns.rank == 4
    assert not problem.variance_columns.back[1].any()


def test_a_constant_target_whose_fourth_power_is_out_of_range():
    """The square of a variance that is relative to its level overflowed."""
    model = HeteroscedasticGaussianRegressor(alpha=1e-6, mean_groups="fixed")
    with pytest.raises(ValueError, match="y is of order 1e"):
        model.fit([[1.0], [2.0]], [1e103, 1e103], groups=[0, 1])


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


def test_a_large_sparse_column_beside_a_small_target():
    """The square of the column, times the inverse of a variance, overflowed."""
    rng = np.random.default_rng(0)
    X, y = 1e100 * rng.normal(size=(40, 1)), 1e-57 * rng.normal(size=40)
    model = HeteroscedasticGaussianRegressor(mean_groups=None)
    dense = model.fit(X, y).predict(X)
    assert_allclose(model.fit(sparse.csr_array(X), y).predict(X), dense, rtol=1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        RandomInterceptRegressor(alpha=1e8),
        HeteroscedasticGaussianRegressor(alpha=1e8, variance_alpha=1e8),
    ],
)
def test_a_ridge_on_dependent_columns_whose_units_are_far_apart(estimator):
    """What small ones share with a large one was lost in the digits of that, and
    Newton's method went on and on.
    """
    rng = np.random.default_rng(0)
    x, z, w = rng.normal(size=(3, 60))
    groups = np.arange(60) % 6
    y = x + z + rng.normal(size=6)[groups] + np.exp(z / 2) * rng.normal(size=60)
    # The ridge leaves nothing of z and w alone, and all of their sum.
    free = np.column_stack([1e52 * x, 1e52 * (z + w)])
    apart = np.column_stack([1e52 * x, z, 1e-94 * w, 1e95 * (x + z + w)])
    expected, found = (
        estimator.fit(X, y, groups=groups).predict(X, groups=groups, return_std=True)
        for X in (free, apart)
    )
    assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


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
def test_a_group_variance_is_found_in_any_units():
    """The way from a group variance of 0 began at variances in the units of y, and the
    least multiple of them, in those units too, was far above 1 where y was large.
    """
    rng = np.random.default_rng(102)
    X, groups = rng.normal(size=(30, 3)), rng.integers(4, size=30)
    y = 0.1 * rng.normal(size=4)[groups]
    y += np.exp(2 * X.sum(axis=1)) * rng.normal(size=30)
    model = HeteroscedasticGaussianRegressor(method="ml")
    expected = model.fit(X, y, groups=groups).log_likelihood_
    found = model.fit(X, 1e6 * y, groups=groups).log_likelihood_
    assert_allclose(found + 30 * np.log(1e6), expected, rtol=1e-9)


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


@pytest.mark.parametrize("variance_alpha", [0.0, 0.1])
def test_each_group_may_be_the_one_that_tells_the_mean(variance_alpha):
    """Each of them is at an optimum; only that of the largest was looked for."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(4), [9, 8, 8, 8])
    noise = 10.0 ** rng.uniform(-4, -1, 4)
    y = rng.normal(size=4)[groups] + noise[groups] * rng.normal(size=33)
    model = HeteroscedasticGaussianRegressor(
        method="ml",
        mean_groups=None,
        variance_groups="fixed",
        variance_alpha=variance_alpha,
    )
    model.fit(np.empty((33, 0)), y, groups=groups)
    assert model.log_likelihood_ > 13.6  # -21.9 where the first tells it


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


def test_rounding_of_a_dependent_column_is_no_column_in_smaller_units():
    """What rounding left of a duplicate took the place of a column of order 1e-42,
    whose coefficient it made shorter: the likelihood was that of other variances.
    """
    story = {
        "n": 260, "target": "model", "noise": 1.0, "groups": "pairs", "n_groups": 120,
        "columns": [
            "duplicate", "offset", "duplicate", "duplicate", "of groups", "offset",
            "zero", "offset", "binary", "normal", "of groups",
        ],
        "weight": "real", "labels": "string", "container": "array", "unit": 0,
        "units": [0, -100, 0, 9, 0, -37, 0, -48, 0, -68, 96], "seed": 948,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        alpha=1e-6, mean_groups=None, method="ml", variance_features=[2, 7, 8, 3]
    )
    assert check(make(estimator, story)) == "fitted"


def test_variances_that_are_as_far_apart_as_the_bounds():
    """The way from a group variance of 0 took them without bounds, and overflowed."""
    story = {
        "n": 90, "columns": ["normal", "normal"], "target": "outlier", "noise": 0.1,
        "groups": "giant", "n_groups": 2, "weight": None, "labels": "negative",
        "container": "frame", "unit": 0, "units": [0, 0], "seed": 1,
    }  # fmt: skip
    assert check(make(HeteroscedasticGaussianRegressor(), story)) == "fitted"


def test_a_constant_column_in_any_unit_beside_effects_of_groups():
    """Its coefficient was rounding, and 1e77 times that is no rounding."""
    story = {
        "n": 109, "target": "model", "noise": 0.1, "groups": "giant", "n_groups": 1,
        "columns": [
            "one row", "one row", "constant", "duplicate", "of groups", "normal",
            "offset", "offset", "normal", "sum", "normal",
        ],
        "weight": None, "labels": "large int", "container": "csr", "unit": 0,
        "units": [-19, 0, 0, 77, -18, 0, 0, 0, 9, 0, -24], "seed": 213,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        alpha=1e6, method="ml", variance_groups="fixed"
    )
    problem = make(estimator, story)
    assert check(problem) == "fitted"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupsWarning)
        model = estimator.fit(**problem.data)
    assert (model.variance_coef_[[2, 3]] == 0).all()


def test_an_exact_fit_of_sparse_rows_without_a_level_of_the_variance():
    """One variance at the floor beside one of 1 were too far apart for a factor."""
    X = sparse.csc_array([[0.0, 1.0], [0.0, 0.0]])
    model = HeteroscedasticGaussianRegressor(
        fit_variance_intercept=False, mean_groups=None, method="ml"
    )
    with pytest.warns(UserWarning, match="y is fitted exactly"):
        model.fit(X, [2.8, 0.7], sample_weight=[1.0, 3.0])
    assert_allclose(model.predict(X), [2.8, 0.7], rtol=1e-6)


def test_columns_between_groups_whose_units_are_far_apart():
    """How effects of groups are shared with them was solved for by cross-products."""
    story = {
        "n": 260, "target": "model", "noise": 1.0, "groups": "pairs", "n_groups": 203,
        "columns": ["binary", "binary", "zero", "sum", "sum", "nearly of groups"],
        "weight": "equal", "labels": "date", "container": "csr", "unit": 0,
        "units": [0, 16, 0, 0, 0, -29], "seed": 2220595,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        variance_features=[4, 2, 5, 3, 1, 0], variance_groups="fixed"
    )
    assert check(make(estimator, story)) == "fitted"


def test_a_target_that_is_constant_within_groups_of_sparse_rows():
    """Its rounding within groups was taken for scatter, of which the products with X
    made no positive matrix, and what they lacked went to other columns.
    """
    rng = np.random.default_rng(0)
    groups = np.arange(80) // 2
    weight = rng.random(80) * (rng.random(80) < 0.8)
    X = np.column_stack([rng.normal(size=80), rng.normal(size=40)[groups]])
    X[:, 1] += 1e-3 * rng.normal(size=80)
    y = rng.normal(size=40)[groups]
    model = RandomInterceptRegressor()
    dense = model.fit(X, y, groups=groups, sample_weight=weight).summary()
    csr = sparse.csr_array(X)
    found = model.fit(csr, y, groups=groups, sample_weight=weight).summary()
    for name in ("coef", "std"):
        expected = dense.coefficients[name]
        assert_allclose(found.coefficients[name], expected, rtol=1e-6)


def test_a_sign_that_rounding_turned_between_scan_and_search():
    """Weights over five orders and 6 rows, next to an exact fit: the scan saw the slope
    change its sign, the search between the two points did not, and SciPy raised.
    """
    story = {
        "n": 6, "target": "model", "noise": 1.0, "groups": "random", "n_groups": 6,
        "columns": [
            "nearly of groups", "binary", "nearly of groups", "binary", "sum", "zero",
        ],
        "weight": "ratio", "labels": "large int", "container": "float32", "unit": 0,
        "units": [0] * 6, "seed": 681504,
    }  # fmt: skip
    assert check(make(RandomInterceptRegressor(method="ml"), story)) == "fitted"


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


def test_a_level_of_the_variance_that_nothing_tells():
    """Of its information, rounding was left, whose sign made variances negative."""
    story = {
        "n": 9, "target": "model", "noise": 1.0, "groups": "random", "n_groups": 6,
        "columns": [
            "one row", "sum", "duplicate", "binary", "nearly of groups", "normal",
            "nearly of groups", "nearly of groups", "nearly of groups",
        ],
        "weight": None, "labels": "float", "container": "fortran", "unit": 0,
        "units": [0] * 9, "seed": 0,
    }  # fmt: skip
    problem = make(HeteroscedasticGaussianRegressor(variance_alpha=0.1), story)
    assert check(problem) == "fitted"


def test_sparse_rows_of_which_one_is_far_more_precise():
    """Cross-products with weights 1e6 apart and more lost the digits of other rows."""
    rng = np.random.default_rng(4)
    X, groups = rng.standard_t(2, size=(1000, 2)), rng.integers(100, size=1000)
    y = X.sum(axis=1) + 30 * rng.normal(size=100)[groups]
    y += np.exp(0.4 * np.clip(X[:, 0], -20, 20)) * rng.normal(size=1000)
    model = HeteroscedasticGaussianRegressor(mean_groups="fixed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows at the bounds
        dense = model.fit(X, y, groups=groups).variance_coef_
        found = model.fit(sparse.csr_array(X), y, groups=groups).variance_coef_
    assert_allclose(found, dense, atol=1e-9)
