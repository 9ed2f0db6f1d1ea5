"""Working columns of dependent and badly scaled columns."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.laws import check
from oracles.random_problems import make
from oracles.random_terms import any_mixed_problem
from scipy import sparse

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)
from skmixed._rows.columns import (
    LEVEL_ROUNDING,
    Tolerance,
    _minimal_norm,
    choose_columns,
)
from skmixed._rows.moments import Moments
from skmixed.heteroscedastic import read_problem


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


@pytest.mark.parametrize(
    "estimator",
    [
        RandomInterceptRegressor(alpha=1e8),
        HeteroscedasticGaussianRegressor(alpha=1e8, variance_alpha=1e8),
    ],
)
def test_a_ridge_on_dependent_columns_whose_units_are_far_apart(estimator):
    """The part of small ones in a large one was lost in the digits of that, and
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


def test_rounding_of_a_dependent_column_is_no_column_in_smaller_units():
    """The rounding of a duplicate took the place of a column of order 1e-42,
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


def test_independent_columns_have_the_working_columns_themselves_as_inverse():
    """A QR decomposition of the shares loses digits where units are far apart, and in
    a random problem all of them: its triangle was singular.
    """
    problem = any_mixed_problem(250199)
    with pytest.warns(GroupsWarning):
        assert len(problem.estimator.fit(**problem.data).coef_) == 5
    rng = np.random.default_rng(0)
    unit = 10.0 ** np.array([-10, 13, 33, 44, 13])
    X = rng.normal(size=(65, 5)) * unit
    X[:, 4] = 3 * unit[4] + X[:, :4] @ (unit[4] / unit[:4])
    mean = np.append(X.mean(axis=0), 1.0)
    within = np.column_stack([X - mean[:5], rng.normal(size=65)])
    moments = Moments(mean, np.array([65]), np.zeros((1, 6)), within)
    tolerance = Tolerance(1e-13, LEVEL_ROUNDING)
    how = {"fit_intercept": False, "alpha": 0.0, "tolerance": tolerance}
    columns = choose_columns(moments, **how)
    assert columns.estimable.all()
    assert (columns.back == columns.into).all()
    work = columns.apply(X)
    R = [np.linalg.qr(A / size, mode="r") for A, size in ((X, unit), (work, 1.0))]
    logs = [2 * np.log(np.abs(np.diag(A))).sum() for A in R]
    expected = logs[0] - logs[1] + 2 * np.log(unit).sum()
    assert_allclose(columns.logdet_basis, expected, rtol=1e-12)


def test_the_inverse_of_rows_whose_units_differ_by_more_than_doubles_hold():
    """A column of 1e47 beside one of 5e-39 left the root of the others singular."""
    first = np.array([-1.7e4, 5.4e-39, 0.0, -1.2e47, 1.4e22, 0.7])
    expand, right = np.zeros((5, 6)), np.zeros((6, 5))
    expand[0], others = first, [1, 3, 4, 5]
    expand[1:, others] = np.eye(4)
    right[0, 0], right[0, 1:] = 1 / first[0], -first[others] / first[0]
    right[others, 1:] = np.eye(4)
    back, logdet = _minimal_norm(expand, right)
    # Nothing is in column 2, so that there is one inverse of the others.
    assert_allclose(back, right, rtol=1e-14)
    assert_allclose(logdet, 2 * np.log(-first[0]), rtol=1e-14)
