"""Matrices of factors around each other and of effects that cross them, as wholes."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed._input.table import Data
from skmixed._rows import around, crossed, memory
from skmixed._rows.around import (
    Nesting,
    backward,
    eliminate_around,
    forward,
    joined,
    products_at,
)
from skmixed._rows.crossed import indicator, link
from skmixed._rows.mixed import arrange_terms, reduce_terms
from skmixed._rows.term import Term

# Sums of some hundred products of order 1.
SAME = 1e-12
N, D = 120, 9
RNG = np.random.default_rng(3)
FIRST = RNG.permutation(np.arange(N) % 24)
MIDDLE, OUTER = FIRST // 3, FIRST // 9


@pytest.fixture(params=[(1, 1), (2, 3)], ids=str)
def matrix(request):
    """W22 of two factors around the first, and of others, sparse in parts and whole."""
    q, r = request.param
    rng = np.random.default_rng(q)
    Z = [
        indicator(MIDDLE, 8, rng.normal(size=(N, q))),
        indicator(OUTER, 3, rng.normal(size=(N, r))),
        indicator(rng.integers(0, D, N), D, rng.normal(size=(N, 1))),
    ]
    Z = sparse.hstack(Z, format="csr")
    axes = np.ones((N, 1)) / np.sqrt(5)
    links = link(FIRST, 24, axes, Z, None)
    product = np.ones((Z.shape[1], 2))
    found, size = Nesting(((8, q), (3, r))).left(Z, None, links, product)
    same = (FIRST[:, None] == FIRST) / 5
    whole = Z.toarray().T @ (np.eye(N) - same) @ Z.toarray()
    assert_allclose(size, np.sum(Z.toarray() ** 2, axis=0), rtol=SAME)
    return found, whole


def test_parts_are_those_of_the_whole_matrix(matrix):
    found, whole = matrix
    D = len(whole)
    assert_allclose(found @ np.eye(D), whole, atol=SAME)
    assert_allclose(found.diagonal(), np.diag(whole), atol=SAME)
    unit = np.linspace(1, 3, D)
    changed = found.scaled(unit).raised(unit)
    expected = whole / unit / unit[:, None] + np.diag(unit)
    assert_allclose(changed @ np.eye(D), expected, atol=SAME)
    assert_allclose(found @ np.eye(D), whole, atol=SAME)


def test_an_elimination_solves(matrix):
    """math.md (200) and (201)."""
    found, whole = matrix
    whole = whole + 2 * np.eye(len(whole))
    right = np.random.default_rng(0).normal(size=(len(whole), 3))
    raised = found.scaled(np.ones(len(whole))).raised(np.full(len(whole), 2.0))

    def turn(_, own):
        C = np.linalg.cholesky(own)
        return C, np.linalg.inv(C)

    links = [stage.links for stage in found.outer]
    steps, dense = eliminate_around(raised, links, turn)
    parts, rest = forward(steps, right)
    rest = np.linalg.solve(dense, rest)
    solution = joined(backward(steps, parts, rest)[0], rest)
    assert_allclose(solution, np.linalg.solve(whole, right), atol=SAME)
    diagonals = [np.diagonal(step.C, axis1=1, axis2=2) for step in steps]
    logdet = sum(2 * np.log(d).sum() for d in diagonals)
    logdet += np.linalg.slogdet(dense)[1]
    assert_allclose(logdet, np.linalg.slogdet(whole)[1], rtol=SAME)


@pytest.mark.parametrize("cost", [0.0, np.inf], ids=["dense", "sparse"])
def test_products_at_the_places_of_links(matrix, cost, monkeypatch):
    monkeypatch.setattr(around, "DENSE", cost)
    monkeypatch.setattr(around, "PAIRS_AT_ONCE", 3 * D)
    found, _ = matrix
    C = np.cov(np.random.default_rng(0).normal(size=(D, 20)))
    for stage in found.outer:
        links, values = replace(stage.links), stage.links.values
        assert links.is_dense == (cost == 0)
        expected = [(M @ C)[links.group, links.column] for M in links.matrices(values)]
        got = products_at(links, values, C)
        assert_allclose(got, np.column_stack(expected), atol=SAME)


def term(codes, columns=(-1,), name="f"):
    levels, codes = np.unique(codes, return_inverse=True)
    blocks = (tuple(range(len(columns))),)
    return Term(name, levels, codes.astype(np.int32), np.array(columns), blocks)


def data_of(is_sparse=False):
    X = np.random.default_rng(2).normal(size=(N, 4))
    X = sparse.csr_array(X) if is_sparse else X
    return Data(X, np.arange(4), None, RNG.normal(size=N), None)


def test_the_chain_is_that_which_leaves_the_fewest_effects():
    """Its first factor has most levels, but need not have most effects."""
    cross, other = term(np.arange(N) % 7), term(np.arange(N) % 11 // 2)
    first, middle, outer = term(FIRST), term(MIDDLE), term(OUTER)
    wide = term(MIDDLE, (-1, 0, 1, 2))
    cases = [
        ((cross, outer, first, middle), (2, 3, 1, 0), 2),
        ((wide, cross, first), (2, 0, 1), 1),
        ((cross, first), (1, 0), 0),
        ((other, cross, first), (2, 1, 0), 0),
        ((cross, first, first), (1, 2, 0), 1),
    ]
    for terms, order, n_around in cases:
        found = arrange_terms(terms, data_of())
        assert (found[0], found[2]) == (order, n_around)
    assert arrange_terms((wide, cross, first), data_of(), dense=True)[2] == 0
    # All are nested: the effects of sparse rows that the first does not span cross it.
    nested = first, middle, term(OUTER, (-1, 1))
    assert arrange_terms(nested, data_of(is_sparse=True))[2] == 1


@pytest.mark.parametrize("level, n_around", [(0.0, 1), (1e2, 1), (1e6, 0), (-1e6, 0)])
def test_few_effects_of_columns_far_from_zero_are_no_differences(level, n_around):
    """Of a slope without a random intercept, a million from zero, 1e-12 is left beside
    the intercept of a factor around it: log-likelihoods were off by 0.014 and by 18
    (numbers 4502406 and 3004664 of the random problems).
    """
    X = level + np.random.default_rng(3).normal(size=(N, 1))
    data = Data(X, np.arange(1), None, RNG.normal(size=N), None)
    terms = term(FIRST, (0,), "s"), term(MIDDLE, name="m"), term(np.arange(N) % 7)
    reduced = reduce_terms(data, terms, np.arange(1), alpha=0.0)
    assert len(getattr(reduced.gram, "outer", ())) == n_around


def test_links_that_memory_cannot_hold_are_refused_before(monkeypatch):
    terms = term(FIRST), term(MIDDLE), term(np.arange(N) % 7, name="rater")
    # Every class may reach the 7 raters: 24 * 7 numbers with their places.
    monkeypatch.setattr(crossed, "MATRICES", 1)
    monkeypatch.setattr(memory, "free_memory", lambda: 24 * 7 * 12)
    with pytest.raises(MemoryError, match=r"chain of 2 nested .* 7 random .*iterative"):
        reduce_terms(data_of(), terms, np.arange(4), alpha=0.0)
