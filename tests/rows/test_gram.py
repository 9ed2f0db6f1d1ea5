"""Pooled groups against all of them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from oracles.small import gram_of

from skmixed._likelihood.factor import factorize
from skmixed._likelihood.random_intercept import RandomIntercept, evaluate, slope
from skmixed._rows.gram import pool


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("ratio", [0.0, 0.3, 50.0])
def test_pooling_groups_of_equal_size_is_exact(ratio, close, monkeypatch):
    """With columns that are too close for cross-products, too."""
    X, y, groups = simulate(n=1600, n_groups=400)
    X[:, 1] = X[:, 0] + 0.01 * X[:, 1] if close else X[:, 1]
    gram = gram_of(X, y, groups)
    assert pool(gram) is gram  # few groups are as soon evaluated as pooled
    monkeypatch.setattr("skmixed._rows.gram.FEW_NUMBERS", 0)
    monkeypatch.setattr("skmixed._input.blocks.BLOCK_SIZE", 1)
    pooled = pool(gram)
    assert len(pooled.R11) < 60 < len(gram.R11)
    Lambda = np.array([[np.sqrt(ratio)]])
    one, many = factorize(gram, Lambda), factorize(pooled, Lambda)
    assert_allclose(many.logdet, one.logdet, rtol=1e-13)
    assert_allclose(np.abs(many.root), np.abs(one.root), rtol=1e-11)
    for reml in (True, False):
        models = (RandomIntercept(g, 1600, reml, 1e-20) for g in (gram, pooled))
        ours, theirs = (slope(m, evaluate(m, ratio)) for m in models)
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_pooling_similar_sizes_is_close():
    X, y, groups = simulate(n=4000, n_groups=1000)
    weight = np.random.default_rng(0).uniform(1, 2, 4000)
    gram = gram_of(X, y, groups, weight)
    pooled = pool(gram, resolution=0.1)
    assert len(pooled.R11) < 0.2 * len(gram.R11)
    one, many = (factorize(g, np.array([[0.8]])) for g in (gram, pooled))
    assert_allclose(many.logdet, one.logdet, rtol=1e-3)
    assert_allclose(np.abs(many.root), np.abs(one.root), rtol=1e-2, atol=0.1)
