"""Products of the columns of crossed effects against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed._input.table import Data
from skmixed._rows.crossed import search_columns
from skmixed._rows.iterative import N_DRAWS
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import Term

# Sums over a hundred rows in another order.
SAME = 1e-10
N = 90
SOLVER = "iterative", 0


def simulate(weighted):
    """Rows of two factors that cross, the first with a slope."""
    rng = np.random.default_rng(3)
    X = rng.normal(loc=[5.0, 0.0, -2.0], size=(N, 3))
    y = X.sum(axis=1) + rng.normal(size=N)
    weight = rng.integers(1, 4, size=N).astype(float) if weighted else None
    first, second = rng.integers(8, size=N), rng.integers(6, size=N)
    terms = tuple(
        Term(name, np.arange(c.max() + 1), c.astype(np.int32), np.array(j), blocks)
        for name, c, j, blocks in (
            ("f", first, [-1, 1], ((0, 1),)),
            ("h", second, [-1], ((0,),)),
        )
    )
    return Data(X, np.arange(3), None, y, weight), terms


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
def test_products_are_those_of_dense_columns(form, weighted):
    data, terms = simulate(weighted)
    given, mean = replace(data, X=form(data.X)), np.arange(3)
    reduced = reduce_terms(given, terms, mean, alpha=0.0, solver=SOLVER)
    gram = reduced.gram
    J, offset = reduced.columns.to_user(True)
    X = np.column_stack([np.ones(N), data.X])
    # y is counted from a fit on X.
    A = np.column_stack([X @ J, data.y - X @ offset - X @ J @ gram.origin])
    weight = np.ones(N) if data.weight is None else data.weight
    ordered = [terms[t] for t in reduced.order]
    Zs = []
    for term in ordered:
        Z = search_columns(data, term)[0]
        onehot = np.eye(term.n_levels)[term.codes]
        Zs.append((onehot[:, :, None] * Z[:, None]).reshape(N, -1))
    for Z, own, product, (K, q) in zip(
        Zs, gram.own, gram.products, gram.sizes, strict=True
    ):
        whole = (Z.T * weight @ Z).reshape(K, q, K, q)
        blocks = whole[np.arange(K), :, np.arange(K)]
        assert_allclose(own, blocks, rtol=SAME, atol=SAME)
        expected = (Z.T * weight @ A).reshape(K, q, -1)
        assert_allclose(product, expected, rtol=SAME, atol=SAME)
    for (s, t), pairs in gram.between():
        expected = Zs[s].T * weight @ Zs[t]
        assert_allclose(pairs.matrix.toarray(), expected, rtol=SAME, atol=SAME)
    assert_allclose(gram.root.T @ gram.root, A.T * weight @ A, rtol=SAME, atol=SAME)
    assert_errors_have_the_covariance_of_products(gram)


def assert_errors_have_the_covariance_of_products(gram):
    for draws, own, (K, q) in zip(gram.errors, gram.own, gram.sizes, strict=True):
        assert draws.shape == (N_DRAWS, K * q)
        variance = np.einsum("gii->gi", own).ravel()
        # 5 standard errors of a mean of squares of N_DRAWS normal draws.
        ratio = np.mean(draws.astype(float) ** 2, axis=0) / variance
        assert np.abs(ratio - 1).max() < 5 * np.sqrt(2 / N_DRAWS)


def test_entries_of_pairs_at_some_places():
    data, terms = simulate(False)
    reduced = reduce_terms(data, terms, np.arange(3), alpha=0.0, solver=SOLVER)
    ((_, pairs),) = reduced.gram.between()
    rows, columns = np.indices(pairs.shape).reshape(2, -1)
    expected = pairs.matrix.toarray().ravel()
    assert (expected == 0).any()
    assert_allclose(pairs.at(rows, columns), expected)
