"""Rows that are visited again, in the order of their groups."""

import warnings

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor
from skmixed._rows.grouped import DensePart


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


def test_rows_are_divided_into_parts():
    """Each part has the groups of its rows, and knows which of them it shares."""
    rng = np.random.default_rng(0)
    sizes = np.array([3, 2, 5, 1])
    n, codes = sizes.sum(), np.repeat(np.arange(4), sizes)
    whole = DensePart(
        weight=rng.random(n),
        codes=codes,
        bounds=np.append(0, np.cumsum(sizes)),
        groups=np.array([4, 7, 9, 12]),
        split=None,
        share=rng.random(4),
        complete=True,
        effects=False,
        variance_columns=None,
        S=rng.random((n, 2)),
        offset=rng.random(n),
        A=rng.random((n, 3)),
        origins=rng.random((4, 2)),
        is_centred=False,
    )
    parts = whole.divide(3)  # rows 0 to 2, 3 to 6 and 7 to 10
    assert [len(part.codes) for part in parts] == [3, 4, 4]
    assert [part.groups.tolist() for part in parts] == [[4], [7, 9], [9, 12]]
    assert [part.split is None or part.split.tolist() for part in parts] == [
        True,
        [False, True],
        [True, False],
    ]
    for name in ("weight", "S", "offset", "A"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        assert_array_equal(joined, getattr(whole, name))
    for name in ("groups", "share", "origins"):
        joined = [getattr(part, name)[part.codes] for part in parts]
        assert_array_equal(np.concatenate(joined), getattr(whole, name)[codes])
    for part in parts:
        assert_array_equal(np.diff(part.bounds), np.bincount(part.codes))
        assert not part.complete
    (same,) = whole.divide(1)
    assert same.complete
    assert same.split is None
