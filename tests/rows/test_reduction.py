"""Rows against the sums that they are reduced to."""

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from oracles.small import moments_of
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed._input import blocks
from skmixed._rows import reduction
from skmixed._rows.pieces import split_long, weighted_sums
from skmixed._rows.reduction import reduce_in_row_order, reduce_rows, reduce_sparse
from skmixed._rows.within import level_rows

# The same sums in another order.
REORDERED = 1e-12
in_both_orders = pytest.mark.parametrize("reduce", [reduce_rows, reduce_in_row_order])


@in_both_orders
@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_those_of_numpy(weighted, reduce):
    """math.md (8)."""
    X, y, groups = simulate()
    A = np.column_stack([X, y]) + 100
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y)) if weighted else None
    moments = moments_of(A, groups, weight, reduce=reduce)
    a = np.ones(len(y)) if weight is None else weight
    shift = np.average(A, axis=0, weights=a)
    means = np.array([np.average(A[groups == g], 0, a[groups == g]) for g in range(12)])
    deviations = np.sqrt(a)[:, None] * (A - means[groups])
    assert_allclose(moments.shift, shift, rtol=REORDERED)
    assert_allclose(moments.size, np.bincount(groups, a), rtol=REORDERED)
    assert_allclose(moments.mean, means - shift, atol=1e-12)
    assert_allclose(
        moments.within.T @ moments.within, deviations.T @ deviations, rtol=1e-11
    )


def test_pieces_of_groups_are_at_most_so_long():
    bounds, owner = split_long(np.array([0, 7, 10, 13]), 3)
    assert bounds.tolist() == [0, 3, 6, 7, 10, 13]
    assert owner.tolist() == [0, 0, 0, 1, 2]
    bounds, owner = split_long(np.array([0, 3, 4]), 3)
    assert bounds.tolist() == [0, 3, 4]
    assert owner.tolist() == [0, 1]


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_columns_apart_in_memory_are_read_in_row_order(monkeypatch, n_jobs):
    """They are by default from one block on; a giant group far from the others."""
    monkeypatch.setattr(blocks, "BLOCK_SIZE", 2000)
    X, y, groups = simulate(n=3000, n_groups=40)
    groups[1000:] = 3
    X[groups == 3] += 1e6
    reads = []
    monkeypatch.setattr(
        reduction, "level_rows", lambda *a: reads.append(level_rows(*a)) or reads[-1]
    )
    fits = [
        RandomInterceptRegressor(n_jobs=n_jobs).fit(A, y, groups=groups)
        for A in (X, np.asfortranarray(X))
    ]
    assert len(reads) == 1
    for name in ("coef_", "noise_variance_", "log_likelihood_", "random_intercepts_"):
        assert_allclose(*(getattr(fit, name) for fit in fits), rtol=1e-9)


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("n_jobs", [None, 2, 3])
def test_moments_do_not_depend_on_blocks_nor_jobs(monkeypatch, sort, n_jobs):
    """math.md (9): groups of 400 rows are cut into pieces of 60 and joined again."""
    X, y, groups = simulate(n=2000, n_groups=5)
    groups = np.sort(groups) if sort else groups
    A = np.column_stack([X, y])
    whole = moments_of(A, groups)
    monkeypatch.setattr(reduction, "block_rows", lambda m: 60)
    cut = moments_of(A, groups, n_jobs=n_jobs)
    for name in ("shift", "size", "mean"):
        assert_allclose(getattr(cut, name), getattr(whole, name), atol=REORDERED)
    assert_allclose(
        cut.within.T @ cut.within, whole.within.T @ whole.within, rtol=REORDERED
    )


def test_moments_visit_each_row_once(monkeypatch):
    X, y, _ = simulate(n=500)
    seen = np.zeros(500, dtype=int)
    monkeypatch.setattr(reduction, "block_rows", lambda m: 7)

    def read(rows):
        if rows != slice(0, 1):  # the row that means are counted from
            seen[rows] += 1
        return [np.column_stack([X, y])[rows]]

    monkeypatch.setattr(
        reduction, "rows_by_group", lambda *a: (None, np.array([0, 500]))
    )
    reduce_rows(read, np.zeros(500, dtype=int), 1)
    assert (seen == 1).all()


@in_both_orders
def test_an_offset_of_1e12_costs_no_digits(reduce):
    """Sums of squares about an offset that leaves 1e-4 of each number (NIST's SmLs)."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(9), 21)
    deviations = rng.integers(-500, 500, size=(189, 1)) / 1024.0  # exact in binary
    near = moments_of(deviations, groups, reduce=reduce)
    far = moments_of(deviations + 1e12, groups, reduce=reduce)
    assert_allclose(far.mean, near.mean, atol=1e-4)  # the common shift is rounded
    assert_allclose(np.diff(far.mean[:, 0]), np.diff(near.mean[:, 0]), rtol=1e-11)
    assert_allclose(np.abs(far.within), np.abs(near.within), rtol=1e-13)


@in_both_orders
def test_a_spread_between_groups_of_1e9_costs_no_digits(reduce):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    within = rng.integers(-4, 5, size=(300, 1)).astype(float)
    between = 1e9 * rng.integers(-9, 10, size=(30, 1))[groups]
    near = moments_of(within, groups, reduce=reduce)
    far = moments_of(within + between, groups, reduce=reduce)
    assert_allclose(np.abs(far.within), np.abs(near.within), rtol=1e-14)


@in_both_orders
def test_what_is_constant_is_exactly_zero(reduce):
    groups = np.repeat(np.arange(3), 4)
    column = np.full(12, 0.1)
    by_group = np.array([0.1, 0.7, 1e5 / 3])[groups]
    moments = moments_of(np.column_stack([column, by_group]), groups, reduce=reduce)
    assert (moments.mean[:, 0] == 0).all()
    assert (moments.within == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_moments_are_the_dense_ones(weighted):
    from scipy import sparse

    X, y, groups = simulate()
    X[np.abs(X) < 1] = 0
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y)) if weighted else None
    dense = moments_of(np.column_stack([X, y]), groups, weight)
    thin = reduce_sparse(sparse.csr_array(X), y, groups, 12, weight)
    for name in ("shift", "size", "mean"):
        assert_allclose(getattr(thin, name), getattr(dense, name), atol=1e-12)
    scatter = dense.within.T @ dense.within
    assert_allclose(thin.within.T @ thin.within, scatter, atol=1e-12 * scatter.max())


def test_runs_cover_all_rows():
    bounds = np.cumsum([0, 3, 1, 1, 90, 2, 2, 2])
    cuts = blocks.cut(bounds, 5)
    assert cuts[0] == 0
    assert cuts[-1] == 7
    rows = np.diff(bounds[cuts])
    assert rows.sum() == bounds[-1]
    assert sorted(rows)[-2] <= 5 < max(rows)  # only the long piece exceeds the limit


@pytest.mark.parametrize("bounds", [[0, 2, 2, 5, 7], [0, 7], [0, 0, 7, 7]])
def test_weighted_sums_of_pieces(bounds):
    rng = np.random.default_rng(0)
    a, A = rng.normal(size=(3, 7)), rng.normal(size=(7, 2))
    pieces = [slice(*ends) for ends in pairwise(bounds)]
    expected = [[w[some] @ A[some] for some in pieces] for w in a]
    found = weighted_sums(a, np.array(bounds)) @ A
    assert_allclose(found.reshape(3, -1, 2), expected, atol=1e-14)
    assert_allclose(weighted_sums(a[0], np.array(bounds)) @ A, expected[0], atol=1e-14)


def test_a_sparse_column_far_from_zero():
    """Cross-products kept nothing of what varies: a singular matrix."""
    rng = np.random.default_rng(1)
    X = rng.normal(loc=[1e7, 1e7, 0, 0], size=(60, 4))
    y, weight = 1 + rng.normal(size=60), rng.random(60)
    model = HeteroscedasticGaussianRegressor(method="ml", mean_groups=None)
    dense = model.fit(X, y, sample_weight=weight).variance_coef_
    found = model.fit(sparse.csr_array(X), y, sample_weight=weight).variance_coef_
    assert_allclose(found, dense, rtol=1e-6)


def test_a_large_sparse_column_beside_a_small_target():
    """The square of the column, times the inverse of a variance, overflowed."""
    rng = np.random.default_rng(0)
    X, y = 1e100 * rng.normal(size=(40, 1)), 1e-57 * rng.normal(size=40)
    model = HeteroscedasticGaussianRegressor(mean_groups=None)
    dense = model.fit(X, y).predict(X)
    assert_allclose(model.fit(sparse.csr_array(X), y).predict(X), dense, rtol=1e-6)


def test_a_target_that_is_constant_within_groups_of_sparse_rows():
    """Its rounding within groups was taken for scatter, of which the products with X
    made no positive matrix, and what they lacked went to other columns.
    """
    rng = np.random.default_rng(0)
    groups = np.arange(80) // 2
    weight = rng.random(80) * (rng.random(80) < 0.8)
    X = np.column_stack([rng.normal(size=80), rng.normal(size=40)[groups]])
    X[:, 1] += 1e-3 * rng.normal(size=80)
    y = rng.normal(size=40)[groups]
    model = RandomInterceptRegressor()
    dense = model.fit(X, y, groups=groups, sample_weight=weight).summary()
    csr = sparse.csr_array(X)
    found = model.fit(csr, y, groups=groups, sample_weight=weight).summary()
    for name in ("coef", "std"):
        expected = dense.coefficients[name]
        assert_allclose(found.coefficients[name], expected, rtol=1e-6)
