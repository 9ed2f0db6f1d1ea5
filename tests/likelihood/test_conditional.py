"""The covariance of effects given data, after further rows."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse

from skmixed._likelihood.conditional import root_of, with_reach


@pytest.mark.parametrize("q", [1, 2])
@pytest.mark.parametrize("is_dense", [False, True])
def test_rows_so_precise_that_what_inner_levels_leave_is_rounding(q, is_dense):
    """The information that was left of outer levels was below -1 and had no root:
    math.md (85) has a covariance that does not grow.
    """
    rng = np.random.default_rng(0)
    inner, outer, n = 60, 12, 60 * q
    own = [np.broadcast_to(np.eye(q), (K, q, q)) for K in (inner, outer)]
    links = np.kron(np.eye(outer), np.ones((inner // outer, 1)))
    blocks = [np.kron(M, np.ones((q, q))) for M in (np.eye(inner), links)]
    Z = np.hstack(blocks) * rng.normal(size=(n, (inner + outer) * q))
    if is_dense:
        reach = sparse.csr_array(np.zeros((inner * q, outer * q)))
        parts = own[:1], np.eye(outer * q), None, reach
    else:
        parts = own, np.empty((0, 0)), sparse.eye_array((inner + outer) * q), None
    before = with_reach([(inner, q), (outer, q)], *parts)
    rows, precision = sparse.csr_array(Z), np.full(n, 1e22)
    after, moved = before.observed(rows, precision, np.ones((n, 1)))
    assert np.isfinite(moved).all()
    found = after.dense if is_dense else after.own[1]
    values = np.linalg.eigvalsh(found)
    assert (values >= 0).all()
    assert (values <= 1 + 1e-12).all()


def test_a_row_so_precise_that_its_square_is_singular_tells_one_direction():
    """math.md (212): the inverse of I and the square of the row could not be made."""
    parts = np.empty((0, 0)), None, None
    before = with_reach([(3, 2)], [np.tile(np.eye(2), (3, 1, 1))], *parts)
    row = sparse.csr_array(([1.0, 2.0], ([0, 0], [2, 3])), shape=(1, 6))
    after, _ = before.observed(row, np.array([1e22]), np.ones((1, 1)))
    across = np.array([2.0, -1.0])
    assert_allclose(after.own[0][1] @ across, across, rtol=1e-12)
    assert_array_equal(after.own[0][[0, 2]], before.own[0][[0, 2]])


def test_an_effect_without_a_variance_has_none_after_an_update():
    """Beside slopes in far different units an eigenvector had its rounding there, which
    a column far from zero made a variance of the intercept.
    """
    vary = np.array([[5.3e-2, -1.65], [-1.65, 52.1]])
    C = np.zeros((1, 3, 3))
    C[np.ix_([0], [0, 2], [0, 2])] = vary * np.array([[1.0, 1e12], [1e12, 1e24]])
    L = root_of(C)
    assert not L[0, 1].any()
    # Relative to their own sizes.
    unit = np.sqrt(np.einsum("ii->i", C[0])) + (np.arange(3) == 1)
    gap = (L @ np.swapaxes(L, 1, 2) - C)[0] / np.outer(unit, unit)
    assert_allclose(gap, 0, atol=1e-15)
