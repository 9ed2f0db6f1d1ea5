"""Rows without the effects of a factor: against dense projections, dense and sparse."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed._input.table import Data
from skmixed._rows import within
from skmixed._rows.crossed import Links
from skmixed._rows.elimination import Reader, eliminate, eliminate_beside
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.nested import nest
from skmixed._rows.sparse_rows import SparseRows
from skmixed._rows.term import Term

# Sums in another order, of figures of order 1 to 100.
REORDERED = 1e-10
# Rounding errors of sums of some hundred terms.
EXACT = 1e-13
N, LEVELS = 90, 13


def rows(seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(LEVELS, size=N).astype(np.int32)
    codes[:LEVELS] = np.arange(LEVELS)
    X = rng.normal(size=(N, 3)) + 5
    X[rng.random(N) < 0.6, 2] = 0.0
    return X, X.sum(axis=1) + rng.normal(size=N), codes


def dense_parts(A, Z, codes, weight):
    """Scatter of rows A on and off the span of Z within levels."""
    root = np.sqrt(weight)[:, None]
    columns = np.hstack([Z * (codes == g)[:, None] for g in range(LEVELS)]) * root
    U, size, _ = np.linalg.svd(columns, full_matrices=False)
    U = U[:, size > 1e-8]
    on = U @ (U.T @ (root * A))
    return on.T @ on, (root * A - on).T @ (root * A - on)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("positions", [[0], [0, 1], [0, 3, 2], [1], [2, 3]], ids=str)
def test_rows_are_split_by_the_span_of_the_effects(positions, weighted, kind):
    """math.md (37)."""
    X, y, codes = rows()
    positions = np.array(positions)
    weight = np.random.default_rng(1).uniform(0.5, 3, N) if weighted else None
    a = np.ones(N) if weight is None else weight
    if kind == "sparse":
        how = (sparse.csr_array(X), y, weight, codes, LEVELS, positions)
        found = SparseRows(*how).eliminate()
    else:
        found = eliminate(Reader(X, y), codes, LEVELS, positions, weight)
    A = np.column_stack([np.ones(N), X, y])
    shift = np.average(A, axis=0, weights=a)
    shift[0] = 0.0
    assert_allclose(found.shift, shift, rtol=1e-12)
    on, off = dense_parts(A - shift, A[:, positions], codes, a)
    flat = found.R.reshape(-1, A.shape[1])
    tolerance = REORDERED * np.abs(on + off).max()
    assert_allclose(flat.T @ flat, on, atol=tolerance)
    assert_allclose(found.rest.T @ found.rest, off, atol=tolerance)
    moments = found.moments()
    centred = (A - shift)[:, 1:]
    total = centred.T @ (a[:, None] * centred)
    assert_allclose(moments.total.T @ moments.total, total, atol=tolerance)


def test_levels_with_fewer_rows_than_effects_have_as_many_pivots_as_rows():
    X, y, codes = rows()
    codes = np.arange(N, dtype=np.int32) // 2
    found = eliminate(Reader(X, y), codes, N // 2, np.array([0, 1, 2]))
    pivots = np.diagonal(found.R11, axis1=1, axis2=2) > 0
    assert pivots.sum(axis=1).max() == 2
    assert not found.R[:, 2].any()


def test_a_slope_that_is_constant_within_a_level_has_no_pivot():
    X, y, codes = rows()
    X[codes == 4, 0] = 0.1 + 0.2
    found = eliminate(Reader(X, y), codes, LEVELS, np.array([0, 1]))
    assert found.R11[4, 1, 1] == 0
    assert (np.delete(found.R11[:, 1, 1], 4) > 0).all()


def test_products_of_sparse_columns_with_rounding_of_y_are_no_scatter():
    """A y that is constant within levels left its rounding errors, in whose units its
    products with X made the scatter of X larger by some percent.
    """
    rng, codes = np.random.default_rng(0), np.arange(N, dtype=np.int32) // 3
    X, y = rng.normal(size=(N, 8)), rng.normal(size=N)[codes]
    how = (y, None, codes, N // 3, np.array([0]))
    found = SparseRows(sparse.csr_array(X), *how).eliminate()
    dense = eliminate(Reader(X, y), codes, N // 3, np.array([0]))
    expected = dense.rest.T @ dense.rest
    assert_allclose(found.rest.T @ found.rest, expected, atol=REORDERED)


def test_sparse_rows_are_not_counted_from_an_outlier():
    """The slope of its level takes all of an outlier.  y was counted from that, in the
    first row: its squares left 1e-4 of rounding in those of all others.
    """
    X, y, codes = rows()
    codes[0], y[0] = LEVELS, 1e6
    how = codes, LEVELS + 1, np.array([1])
    found = SparseRows(sparse.csr_array(X), y, None, *how).eliminate()
    dense = eliminate(Reader(X, y), *how)
    kept = [0, 2, 3, 4]
    left = [np.linalg.qr(part.rest[:, kept], mode="r") for part in (found, dense)]
    assert_allclose(abs(left[0][-1, -1]), abs(left[1][-1, -1]), rtol=REORDERED)


def test_slopes_of_a_column_far_from_zero_and_of_its_sum_with_a_constant():
    """The second one has 1e-12 of its length left, and was taken for the first, so that
    the mean had a column more than its rank: sums of the two are equal to theirs.
    """
    X, y, codes = rows()
    X[:, 0] += 1e6
    X[:, 1] = X[:, 0] + 3.7
    found = eliminate(Reader(X, y), codes, LEVELS, np.array([1, 2]))
    deviations = found.total[:, [1, 2]]
    assert_allclose(deviations[:, 0], deviations[:, 1], atol=1e-8)


def test_axes_of_columns_that_are_nearly_equal_are_orthogonal():
    """A second slope that was the first one in single precision had an axis with a part
    of 1e-8 in that of the first, so that what crossed factors left was not a square.
    """
    X, y, codes = rows()
    X[:, 1] = X[:, 0].astype(np.float32)
    how = np.array([1, 2]), np.zeros(5), None, sparse.csr_array((N, 1)), None
    *_, axes, _ = eliminate_beside(Reader(X, y), codes, LEVELS, *how)
    for g in range(LEVELS):
        own = axes[codes == g]
        assert_allclose(own.T @ own, np.eye(2), atol=EXACT)


def test_nested_levels_come_in_the_order_of_those_around():
    rng = np.random.default_rng(0)
    inner = rng.permutation(np.repeat(np.arange(30), 4))
    around, outer = rng.permutation(30)[inner] // 4, None
    around = np.unique(around, return_inverse=True)[1]
    outer = around % 3
    terms = [
        Term("f", range(codes.max() + 1), codes.astype(np.int32), np.array([-1]), ())
        for codes in (inner, around, outer)
    ]
    chain = nest(terms)
    for nested in chain.nests:
        assert (np.diff(nested.owner) >= 0).all()
    for term, place, new in zip(terms, chain.places, chain.terms, strict=True):
        assert (place[term.codes] == new.codes).all()
    owners = chain.nests[1].owner[chain.terms[0].codes]
    assert (owners == chain.terms[2].codes).all()
    crossing = replace(terms[1], codes=rng.permutation(terms[1].codes))
    assert nest([terms[0], crossing]) is None


@pytest.mark.parametrize("q", [1, 3])
def test_links_add_up_as_dense_matrices_do(q, monkeypatch):
    monkeypatch.setattr("skmixed._rows.crossed.PAIRS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    K, d = 6, 9
    met = rng.random((K, d)) < 0.5
    group, column = np.nonzero(met)
    values = rng.normal(size=(len(group), q))
    links = Links(group, column, values, (K, d))
    whole = np.zeros((K, q, d))
    whole[group, :, column] = values
    flat = whole.reshape(-1, d)
    assert_allclose(links.scatter(values), flat.T @ flat, atol=1e-12)
    C = rng.normal(size=(d, d))
    C = C + C.T
    forms = whole @ C @ np.swapaxes(whole, 1, 2)
    assert_allclose(links.forms(values, C), forms, atol=1e-12)
    assert_allclose(links.form_sum(values, C), forms.sum(axis=0), atol=1e-12)


def test_effects_that_the_first_factor_spans_are_told_apart_from_it():
    """Their rest is exactly 0, not rounding."""
    X, y, codes = rows()
    other = np.random.default_rng(3).integers(4, size=N)
    around = codes // 5
    terms = [
        Term("f", range(c.max() + 1), c.astype(np.int32), np.array([-1]), ((0,),))
        for c in (codes, around, other)
    ]
    reduced = reduce_terms(
        Data(X, np.arange(3), None, y),
        tuple(terms),
        np.arange(3),
        fit_intercept=True,
        alpha=0.0,
        n_jobs=None,
    )
    left = np.diag(reduced.gram.W22)
    assert np.count_nonzero(left) == 4


@pytest.mark.parametrize("slopes", [[1], [1, 2]], ids=str)
def test_rounding_of_a_column_that_effects_and_others_span_is_gone(slopes):
    """A likelihood was 191 too low: with weights that sum to 52,000, and a variance of
    1e30 times the noise, y was regressed on the rounding of x beside slopes of x.
    """
    for seed in range(5):
        X, y, codes = rows(seed)
        X[:, 0] = 3 * X[:, slopes].sum(axis=1)
        blocks = (tuple(range(len(slopes))),)
        term = Term("f", range(LEVELS), codes, np.array(slopes), blocks)
        weight = 10.0 ** np.random.default_rng(seed).integers(-4, 5, size=N)
        data = Data(X, np.arange(3), None, y, weight)
        reduced = reduce_terms(data, (term,), np.array([0]), alpha=0.0)
        R22 = np.linalg.qr(reduced.gram.R22, mode="r")
        assert R22[1, 1] == 0, seed


@pytest.mark.parametrize("positions", [[1, 2], [2, 1]], ids=str)
@pytest.mark.parametrize("level", [0.1, 0.73e20])
def test_rounding_of_a_constant_that_has_a_slope_is_no_column(positions, level):
    """Beside slopes and no random intercept it was a column of the mean whose 5 eps
    (87 rows) to 700 eps (a million) were rounding.
    """
    n = 10**5
    X = np.random.default_rng(0).normal(size=(n, 2))
    X[:, 0] = level
    y, codes = X[:, 1].copy(), np.arange(n) % 5
    found = eliminate(Reader(X, y), codes, 5, np.array(positions))
    assert not found.total[:, 1].any()
    assert_allclose(found.shift[1], level, rtol=1e-12)
    X[::2, 0] *= 1 + 1e-9
    found = eliminate(Reader(X, y), codes, 5, np.array(positions))
    spread = np.linalg.norm(found.total[:, 1]) / np.sqrt(n)
    assert_allclose(spread, 0.5e-9 * level, rtol=1e-3)


@pytest.mark.parametrize("outer", [[0], [1, 0], [-1, 0]], ids=str)
def test_rows_of_a_chain_hold_the_effects_of_the_outer_factor(outer):
    """In the columns of the search, whose origin is 0 without a random intercept."""
    X, y, codes = rows()
    around = codes // 5
    terms = tuple(
        Term("f", range(c.max() + 1), c.astype(np.int32), np.array(columns), ((0, 1),))
        for c, columns in ((codes, [-1]), (around, outer))
    )
    data = Data(X, np.arange(3), None, y)
    reduced = reduce_terms(data, terms, np.arange(3), alpha=0.0)
    Z = np.column_stack([np.ones(N), X])[:, np.array(outer) + 1]
    of_outer = reduced.coordinates[1]
    assert of_outer.origin.any() == (outer[0] == -1 and len(outer) > 1)
    Z = (Z - of_outer.origin) / of_outer.unit
    gram, q = reduced.gram, len(outer)
    scatter = np.zeros((around.max() + 1, q, q))
    inner = gram.R12[..., :q]
    np.add.at(scatter, gram.parents[0], np.swapaxes(inner, 1, 2) @ inner)
    left = gram.upper[0][..., :q]
    scatter += np.swapaxes(left, 1, 2) @ left
    for h, found in enumerate(scatter):
        own = Z[around == h]
        assert_allclose(found, own.T @ own, atol=REORDERED)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_sums_of_levels_are_those_of_any_slices_and_jobs(monkeypatch, weighted, n_jobs):
    """Slices have as many rows as there are levels, the last one a single row, and are
    read in blocks.
    """
    X, y, codes = (figures[: 6 * LEVELS + 1] for figures in rows())
    rng = np.random.default_rng(1)
    weight = rng.uniform(0.5, 3, len(y)) if weighted else None
    column, a = rng.normal(size=len(y)), np.ones(len(y)) if weight is None else weight
    monkeypatch.setattr(within, "block_rows", lambda m: 8)
    read = Reader(X, y).parts
    counted = within.level_rows(read, codes, LEVELS, weight)
    (first, second), scatter = counted.sums(column, n_jobs)
    A, of_level = np.column_stack([X, y]), codes == np.arange(LEVELS)[:, None]
    A = A - counted.own[codes]
    assert (A == 0).all(axis=1).sum() >= LEVELS
    assert_allclose(first, (of_level * a) @ A, atol=EXACT * len(y))
    assert_allclose(second, (of_level * a * column) @ A, atol=EXACT * len(y))
    expected = A.T @ (a[:, None] * A)
    assert_allclose(scatter, expected, atol=EXACT * np.abs(expected).max())


def test_rows_are_counted_from_one_of_their_level():
    """An offset of 1e9 of each level, exact in binary, costs no digits."""
    _, _, codes = rows()
    rng = np.random.default_rng(0)
    X, y = rng.integers(-64, 64, (N, 2)) / 64, rng.integers(-64, 64, N) / 64
    far = 2.0**30 * rng.integers(-9, 10, LEVELS)[codes]
    near = eliminate(Reader(X, y), codes, LEVELS, np.array([0, 1]))
    found = eliminate(Reader(X + far[:, None], y + far), codes, LEVELS, near.positions)
    assert_allclose(np.abs(found.rest), np.abs(near.rest), atol=EXACT * N)
    assert_allclose(found.R[:, 1, 2:], near.R[:, 1, 2:], atol=EXACT * N)


@pytest.mark.parametrize("steep", [0.0, 1e3], ids=["plain", "steep slopes"])
@pytest.mark.parametrize("positions", [[0], [0, 2]], ids=str)
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_differences_of_sums_are_the_rows_that_are_swept(weighted, positions, steep):
    """math.md (185).  Steep slopes leave too little of their sums."""
    X, y, codes = rows()
    y = y + steep * np.random.default_rng(1).normal(size=LEVELS)[codes] * X[:, 1]
    weight = np.random.default_rng(2).uniform(0.5, 3, N) if weighted else None
    reader, positions = Reader(X, y), np.array(positions)
    found = eliminate(reader, codes, LEVELS, positions, weight)
    swept = eliminate(lambda some: reader(some), codes, LEVELS, positions, weight)
    for name in ("R", "R11", "shift"):
        unit = np.abs(getattr(swept, name)).max()
        assert_allclose(getattr(found, name), getattr(swept, name), atol=EXACT * unit)
    left = swept.rest.T @ swept.rest
    unit = np.sqrt(np.outer(np.diag(left), np.diag(left)))
    assert_allclose(found.rest.T @ found.rest, left, atol=EXACT * unit.max(), rtol=0)
    told = np.diag(left) > 0
    ratio = (found.rest.T @ found.rest - left)[np.ix_(told, told)]
    assert np.abs(ratio / unit[np.ix_(told, told)]).max() < EXACT
