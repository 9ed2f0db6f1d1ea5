"""The parameters of a model with a variance for each row."""

import numpy as np
import pytest
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


def test_an_exact_fit_of_sparse_rows_without_a_level_of_the_variance():
    """One variance at the floor beside one of 1 were too far apart for a factor."""
    X = sparse.csc_array([[0.0, 1.0], [0.0, 0.0]])
    model = HeteroscedasticGaussianRegressor(
        fit_variance_intercept=False, mean_groups=None, method="ml"
    )
    with pytest.warns(UserWarning, match="y is fitted exactly"):
        model.fit(X, [2.8, 0.7], sample_weight=[1.0, 3.0])
    assert_allclose(model.predict(X), [2.8, 0.7], rtol=1e-6)
