"""Rows that are visited again, in the order of their groups."""

import warnings

import numpy as np
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor


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
