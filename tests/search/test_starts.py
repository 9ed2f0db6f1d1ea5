"""The starts of the search, and the optima that they lead to."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor
from skmixed.heteroscedastic import read_problem


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


def test_starts_along_columns_whose_units_are_a_googol_apart():
    """The pseudoinverse of a matrix of such units lost some of the columns."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(70, 2)) * [1e100, 1e-98], rng.normal(size=70)
    estimator = HeteroscedasticGaussianRegressor(mean_groups=None)
    _, problem = read_problem(estimator, X, y, None)
    assert (np.abs(problem.model.axes).max(axis=0) > 0.1).all()


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
