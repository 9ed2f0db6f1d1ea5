"""Rows that are reduced under noise variances of their own, against dense products."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmixed._input.table import Data
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.modelled_noise import modelled_noise_rows
from skmixed._rows.term import Term

# Sums over a hundred rows in another order, and by another root.
SAME = 1e-9
N, GAMMA = 90, np.array([0.8])


def simulate(n_terms):
    """Rows with weights of one factor with a slope, or of two that cross."""
    rng = np.random.default_rng(3)
    X = rng.normal(loc=[5.0, 0.0, -2.0], size=(N, 3))
    y = X.sum(axis=1) + rng.normal(size=N)
    weight = rng.integers(1, 4, size=N).astype(float)
    terms = (
        Term("f", np.arange(8), _codes(rng, 8), np.array([-1, 1]), ((0, 1),)),
        Term("h", np.arange(6), _codes(rng, 6), np.array([-1]), ((0,),)),
    )
    return Data(X, np.arange(3), None, y, weight), terms[:n_terms]


def _codes(rng, n_levels):
    return rng.integers(n_levels, size=N).astype(np.int32)


def rows_of(data, terms):
    """The rows, their equal-variance reduction, and their order."""
    reduced = reduce_terms(
        data, terms, np.arange(3), alpha=0.0, solver=("auto", 0, True)
    )
    columns = SimpleNamespace(apply=lambda X: X - X.mean(axis=0))
    of_variance = columns, np.array([2]), None, 0.0
    rows = modelled_noise_rows(data, terms, np.arange(3), reduced, of_variance)
    order = np.argsort(terms[reduced.order[0]].codes, kind="stable")
    return rows, reduced, order


def working(data, reduced, order):
    """[X y] in working columns, from the user's."""
    J, offset = reduced.columns.to_user(True)
    X = np.column_stack([np.ones(N), data.X])[order]
    return X @ J, data.y[order] - X @ offset


@pytest.mark.parametrize("gamma", [0.0 * GAMMA, GAMMA], ids=["equal", "unequal"])
def test_one_factor(gamma):
    data, terms = simulate(1)
    rows, reduced, order = rows_of(data, terms)
    A = np.column_stack(working(data, reduced, order))
    weight = data.weight[order] * np.exp(-rows.log_variance(gamma))
    assert_allclose(rows.work, A, rtol=SAME, atol=SAME)
    gram = rows.gram(gamma)
    total = np.einsum("gai,gaj->ij", gram.R12, gram.R12) + gram.R22.T @ gram.R22
    assert_allclose(total, A.T * weight @ A, rtol=SAME, atol=SAME)
    for g in range(8):
        here = rows.codes[0] == g
        Z = rows.Z[0][here]
        R11, R12 = gram.R11[g], gram.R12[g]
        assert_allclose(R11.T @ R11, Z.T * weight[here] @ Z, rtol=SAME, atol=SAME)
        expected = Z.T * weight[here] @ A[here]
        assert_allclose(R11.T @ R12, expected, rtol=SAME, atol=SAME)


@pytest.mark.parametrize("gamma", [0.0 * GAMMA, GAMMA], ids=["equal", "unequal"])
def test_factors_that_cross(gamma):
    data, terms = simulate(2)
    rows, reduced, order = rows_of(data, terms)
    X, y = working(data, reduced, order)
    # As those of equal variances, they are counted from a fit on the other effects.
    gram, Z = rows.gram(gamma), rows.beside.toarray()
    A = np.column_stack([X, y - X @ gram.origin]) - Z @ gram.a0
    weight = data.weight[order] * np.exp(-rows.log_variance(gamma))
    total = np.einsum("gai,gaj->ij", gram.R12, gram.R12) + gram.R22.T @ gram.R22
    assert_allclose(total, A.T * weight @ A, rtol=SAME, atol=SAME)
    back = sum(
        M.T @ gram.R12[:, a]
        for a, M in enumerate(gram.links.matrices(gram.links.values))
    )
    assert_allclose(back + gram.W2A, Z.T * weight @ A, rtol=SAME, atol=SAME)
    assert_allclose(
        gram.W22 + gram.links.scatter(gram.links.values),
        Z.T * weight @ Z,
        rtol=SAME,
        atol=SAME,
    )
