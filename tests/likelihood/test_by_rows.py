"""The likelihood by rows against that by effects and a triangular root: docs/math.md,
11.8.
"""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from skmixed._input.table import Data
from skmixed._likelihood import mixed
from skmixed._likelihood.by_rows import RowFactor
from skmixed._likelihood.mixed import evaluate
from skmixed._rows import by_rows
from skmixed._rows.by_rows import are_rows_fewer, row_gram
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import CONSTANT, Term
from skmixed._search.mixed import likelihood_of

# Matrices of a condition of 1e3 at most, in double precision.
SAME = 1e-10
# QR of rows of which the noise is a millionth.
DIGITS = 1e-10
N, MEAN = 70, np.arange(2)
LAMBDAS = (
    np.array([[0.9, 0.0], [0.2, 0.4]]),
    np.array([[0.3, 0.0], [-0.1, 0.5]]),
    np.array([[0.7]]),
)


def simulate(weighted=False):
    """Rows of three crossed factors with slopes, whose effects are more than rows."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 2)) + np.array([3.0, -1.0])
    codes = [rng.permutation(np.arange(N) % K).astype(np.int32) for K in (30, 25, 6)]
    y = X.sum(axis=1) + rng.normal(size=N) + rng.normal(size=6)[codes[2]]
    terms = (
        Term("g", np.arange(30), codes[0], np.array([CONSTANT, 0]), ((0, 1),)),
        Term("h", np.arange(25), codes[1], np.array([CONSTANT, 1]), ((0, 1),)),
        Term("k", np.arange(6), codes[2], np.array([CONSTANT]), ((0,),)),
    )
    weight = rng.uniform(0.5, 2.0, N) if weighted else None
    return Data(X, MEAN, None, y, weight), terms


def models(reml=True, weighted=False, alpha=0.0):
    """The likelihood by effects, and by rows."""
    data, terms = simulate(weighted)
    reduced = reduce_terms(data, terms, MEAN, alpha=alpha)
    model = likelihood_of(reduced, terms, reml, alpha)
    return model, replace(model, gram=row_gram(data, terms, MEAN, reduced))


@pytest.mark.parametrize("ratio", [0.0, 1.0, 30.0])
@pytest.mark.parametrize(
    "reml, weighted, alpha", [(True, True, 0.0), (False, False, 2)]
)
def test_both_forms_are_one_likelihood(reml, weighted, alpha, ratio, monkeypatch):
    """Value, gradient, exact and average information: math.md (218)."""
    Lambdas = tuple(ratio * L for L in LAMBDAS)
    for most in (mixed.FEW_EFFECTS, 0):
        monkeypatch.setattr(mixed, "FEW_EFFECTS", most)
        want, got = (evaluate(m, Lambdas) for m in models(reml, weighted, alpha))
        assert isinstance(got.factor, RowFactor)
        assert_allclose(got.value, want.value, rtol=SAME)
        assert_allclose(got.noise_variance, want.noise_variance, rtol=SAME)
        assert_allclose(got.factor.beta, want.factor.beta, atol=SAME)
        size = max(np.abs(want.gradient()).max(), 1.0)
        assert_allclose(got.gradient(), want.gradient(), atol=SAME * size)
        (H, is_exact), (other, _) = got.hessian(), want.hessian()
        assert is_exact == (most > 0)
        assert_allclose(H, other, atol=SAME * np.abs(other).max())
    for t in range(3):
        pair = (at.factor.conditional_of(t) for at in (got, want))
        assert_allclose(*pair, atol=SAME * max(ratio, 1.0) ** 2)
    assert_allclose(
        got.factor.effects_freedom,
        N - np.trace(np.linalg.inv(got.factor.L @ got.factor.L.T)),
        atol=SAME * N,
    )


def test_products_without_a_variance():
    zero = tuple(np.zeros_like(L) for L in LAMBDAS)
    want, got = (evaluate(m, zero).factor.products_at_zero() for m in models())
    assert set(got) == set(want)
    for key, product in want.items():
        assert_allclose(got[key], product, atol=SAME * np.abs(product).max())


def test_sums_of_squares_keep_their_digits_beside_large_effects():
    """By effects they lose 5e-4 of the noise here: math.md (218)."""
    Lambdas = tuple(1e6 * L for L in LAMBDAS)
    _, model = models()
    gram = model.gram
    triples = zip(gram.Z, gram.sizes, Lambdas, strict=True)
    half = [(Z @ sparse.kron(np.eye(K), L)).toarray() for Z, (K, _), L in triples]
    half = np.hstack(half)
    # |A - half u|^2 + |u|^2 is least at the solution, whose residuals QR leaves last.
    D, m = half.shape[1], gram.A.shape[1]
    rows = np.block([[half, gram.A], [np.eye(D), np.zeros((D, m))]])
    want = np.abs(np.linalg.qr(rows, mode="r")[-1, -1]) ** 2
    assert_allclose(evaluate(model, Lambdas).factor.rss, want, rtol=DIGITS)


def test_rows_are_fewer_than_effects_that_are_solved_for_together(monkeypatch):
    """By cubes, and no small ones: math.md (218)."""
    model, by_row = models()
    assert [effects.shape for effects in model.gram.components] == [(1, 56)]
    assert not are_rows_fewer(model.gram, 55)
    monkeypatch.setattr(by_rows, "FEW_TOGETHER", 55)
    assert are_rows_fewer(model.gram, 55)
    assert not are_rows_fewer(model.gram, 56)
    assert not are_rows_fewer(by_row.gram, 55)
