"""Failures that random problems found, each as small as it gets.

docs/reliability.md counts them.
"""

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor


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
