"""Fits of linear mixed models: their optimum, and what a fit says of it."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.searches import (
    DIAGONAL,
    FULL,
    SAME,
    fit,
    model_of,
    modes_of,
    posterior_of,
    simulate,
    term,
)

from skmixed import RandomInterceptRegressor
from skmixed._likelihood import mixed
from skmixed._likelihood.crossed import CrossedFactor
from skmixed._likelihood.mixed import evaluate
from skmixed._rows import by_rows, crossed
from skmixed._search.covariances import (
    best_covariances,
    no_variance,
)
from skmixed._search.descent import (
    attempt,
    in_digits,
)
from skmixed._search.modelled_noise import Noise


@pytest.mark.parametrize("alpha", [0.0, 4.0])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_one_variance_is_that_of_the_random_intercept_model(reml, alpha):
    """By the global search, and by Newton's method."""
    X, y, first, *_ = simulate()
    terms = [term(first, [-1], ((0,),))]
    method = "reml" if reml else "ml"
    expected = RandomInterceptRegressor(method=method, alpha=alpha)
    expected.fit(X, y, groups=first)
    found = fit(X, y, terms, reml=reml, alpha=alpha)
    same = {"rtol": 1e-8, "atol": 1e-12}
    assert_allclose(found.log_likelihood, expected.log_likelihood_, **same)
    assert_allclose(found.noise_variance, expected.noise_variance_, **same)
    assert_allclose(found.covariances[0][0, 0], expected.group_variance_, **same)
    posterior = posterior_of(found)
    assert_allclose(posterior.modes(0)[:, 0], expected.random_intercepts_, **same)
    std = expected.random_intercepts_conditional_std_
    conditional = posterior.conditional_covariance(0)
    assert_allclose(conditional[:, 0, 0], std**2, **same)
    J, offset = found.columns.to_user(True)
    beta = np.append(expected.intercept_, expected.coef_)
    assert_allclose(J @ found.point.factor.beta + offset, beta, **same)
    root = np.sqrt(found.noise_variance) * J @ found.point.factor.root_inverse
    assert_allclose(root @ root.T, expected.coef_covariance_, **same)
    by_newton = best_covariances(no_variance(model_of(X, y, terms, reml, alpha))).point
    assert_allclose(by_newton.noise_variance, found.noise_variance, rtol=1e-7)


def test_a_ridge_under_reml_divides_by_the_freedom_that_is_left():
    """(23), with slopes and two factors."""
    X, y, first, other, _ = simulate(crossed=0.9)
    terms = [term(first, [-1, 0], FULL), term(other, [-1], ((0,),))]
    found = fit(X, y, terms, alpha=30.0)
    point = found.point
    assert found.converged
    P = point.model.penalty[:, :-1] @ point.factor.root_inverse
    edf = 3 - np.sum(P**2)
    assert edf < 2.9
    assert_allclose(found.noise_variance, point.rss / (len(y) - edf), rtol=1e-10)
    assert_allclose(point.gradient(), 0, atol=1e-4)


@pytest.mark.parametrize("factor", [1e-100, 1e-8, 1e100])
def test_units_of_y_change_nothing_else(factor):
    X, y, first, other, _ = simulate(crossed=0.9)
    terms = [term(first, [-1, 0], FULL), term(other, [-1], ((0,),))]
    for some in (terms[:1], terms):
        plain, scaled = fit(X, y, some), fit(X, factor * y, some)
        for Psi, other_Psi in zip(plain.covariances, scaled.covariances, strict=True):
            assert_allclose(other_Psi / factor / factor, Psi, rtol=1e-6)
        modes = modes_of(scaled)[0] / factor
        assert_allclose(modes, modes_of(plain)[0], rtol=1e-6, atol=1e-6)


def test_an_offset_of_a_slope_is_another_basis_of_the_same_model():
    """The effects at x = 0 are those at the mean, moved: math.md (38)."""
    X, y, first, *_ = simulate()
    plain = fit(X, y, [term(first, [-1, 0], FULL)])
    far = fit(X + 1e6, y, [term(first, [-1, 0], FULL)])
    assert_allclose(far.log_likelihood, plain.log_likelihood, rtol=1e-10)
    T = np.array([[1.0, -1e6], [0.0, 1.0]])
    expected = T @ plain.covariances[0] @ T.T
    assert_allclose(far.covariances[0], expected, rtol=1e-4)
    assert_allclose(modes_of(far)[0][:, 1], modes_of(plain)[0][:, 1], atol=1e-5)


def test_uncorrelated_slopes_depend_on_the_origin():
    X, y, first, *_ = simulate()
    plain = fit(X, y, [term(first, [-1, 0], DIAGONAL)])
    far = fit(X + 3, y, [term(first, [-1, 0], DIAGONAL)])
    assert plain.log_likelihood - far.log_likelihood > 0.5


@pytest.mark.parametrize("ratio", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("structure", ["slopes", "nested"])
def test_effects_far_larger_than_the_noise(structure, ratio):
    X, _, first, _, around = simulate()
    rng = np.random.default_rng(1)
    noise, a, b = rng.normal(size=len(X)), *rng.normal(size=(2, 24))
    if structure == "slopes":
        effects = a[first] + b[first] * X[:, 0]
        terms = [term(first, [-1, 0], FULL)]
    else:
        effects = a[first] + 10 * b[around]
        terms = [term(first, [-1], ((0,),)), term(around, [-1], ((0,),))]
    found = fit(X, noise + ratio * effects, terms)
    exact = fit(X, noise + 1e2 * effects, terms)
    assert found.converged
    assert_allclose(found.noise_variance, exact.noise_variance, rtol=2e-3)
    for Psi, other in zip(found.covariances, exact.covariances, strict=True):
        assert_allclose(Psi / ratio**2, other / 1e4, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("slopes", [None, [-1], [-1, 0]], ids=str)
def test_crossed_effects_ten_thousand_times_the_noise(slopes):
    """Of two factors, and of one around the first too, with slopes or without."""
    X, _, first, other, around = simulate()
    rng = np.random.default_rng(1)
    effects = rng.normal(size=24)[first] + rng.normal(size=9)[other]
    noise = rng.normal(size=len(X))
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),))]
    if slopes is not None:
        by_level = rng.normal(size=(6, 2)) * [1, len(slopes) - 1]
        effects += by_level[around, 0] + by_level[around, 1] * X[:, 0]
        terms.append(term(around, slopes, (tuple(range(len(slopes))),)))
    found, exact = (fit(X, noise + r * effects, terms) for r in (1e4, 1e2))
    assert found.converged
    assert_allclose(found.noise_variance, exact.noise_variance, rtol=1e-3)


def is_finite(found):
    posterior, terms = posterior_of(found), range(len(found.terms))
    errors = [posterior.error_covariance(t) for t in terms]
    arrays = (
        *modes_of(found),
        *errors,
        *found.covariances,
        found.point.factor.beta,
        found.point.factor.root_inverse,
    )
    return all(np.isfinite(A).all() for A in arrays)


def test_awkward_rows_have_finite_answers():
    X, y, first, other, _ = simulate(n=60, n_levels=12)
    slopes, crossing = term(first, [-1, 0], FULL), term(other, [-1], ((0,),))
    constant = X.copy()
    constant[:, 0] = np.random.default_rng(0).normal(size=12)[first]
    cases = [
        (X, y, [term(np.arange(60) // 2, [-1, 0, 1], ((0, 1, 2),))]),
        (X, y, [term(np.zeros(60), [-1, 0], FULL)]),
        (constant, y, [slopes]),
        (X, np.ones(60), [slopes, crossing]),
        (X, X.sum(axis=1), [slopes]),
        (X, X[:, 0] * first + other, [slopes, crossing]),
        (X[:3], y[:3], [term(first[:3] % 2, [-1, 0], FULL)]),
        (X[:, :0], y, [term(first, [-1], ((0,),)), crossing]),
        (X, y, []),
    ]
    for case in cases:
        found = fit(*case)
        assert is_finite(found)
        assert np.isfinite(found.log_likelihood)
        assert found.converged


def test_rows_that_are_explained_exactly_are_told_so():
    X, _, first, *_ = simulate()
    a, b = np.random.default_rng(2).normal(size=(2, 24))
    found = fit(X, a[first] + b[first] * X[:, 0], [term(first, [-1, 0], FULL)])
    assert found.exact
    observed = np.column_stack([a, b])
    means = [a.mean(), b.mean()]
    assert_allclose(modes_of(found)[0] + means, observed, atol=1e-6)


def test_an_exact_fit_by_slopes_beside_which_noise_is_rounding_is_told():
    """Searches that gained nothing, though their decrement was 30, were said to have
    converged, at a noise variance of 1e-19 and without a warning.
    """
    rng = np.random.default_rng(0)
    X, inside = rng.normal(size=(30, 4)), rng.integers(0, 9, size=30)
    terms = [
        term(inside, [-1], ((0,),)),
        term(inside // 3, [3, 1, 0], ((0, 1, 2),), "g"),
        term(inside, [2], ((0,),), "h"),
    ]
    found = fit(X, X @ rng.normal(size=4), terms, mean=np.array([], dtype=int))
    assert found.exact
    assert not found.converged


def count_factors_of_effects(monkeypatch):
    """A list that grows with every factor of crossed effects."""
    found, factorize = [], mixed.factorize_crossed

    def counted(*args):
        found.append(args)
        return factorize(*args)

    monkeypatch.setattr(mixed, "factorize_crossed", counted)
    return found


@pytest.mark.parametrize("with_noise", [False, True])
def test_effects_that_outnumber_rows_are_searched_for_by_rows(with_noise, monkeypatch):
    """By effects, 2,700 of 1,371 rows, a step took 2.2 s, by rows 0.1 s; the optimum
    is one, and in the end there is a factor of effects.
    """
    rng = np.random.default_rng(4)
    X, codes = rng.normal(size=(80, 2)), [rng.integers(K, size=80) for K in (40, 30)]
    codes.append(rng.integers(30, size=80))
    y = rng.normal(size=80) + sum(rng.normal(size=40)[code] for code in codes)
    terms = [term(code, [-1, 0], DIAGONAL, f"g{t}") for t, code in enumerate(codes)]
    noise = {"noise": Noise(np.array([0]), None, 0.0)} if with_noise else {}
    factors = count_factors_of_effects(monkeypatch)
    want = fit(X, y, terms, reml=False, search=(5, 0), **noise)
    n_by_effects = len(factors)
    monkeypatch.setattr(by_rows, "FEW_TOGETHER", 0)
    got = fit(X, y, terms, reml=False, search=(5, 0), **noise)
    assert isinstance(got.point.factor, CrossedFactor)
    n_by_rows = len(factors) - n_by_effects
    # All are of the log-variance, half of whose searches equal noise has as well.
    assert n_by_rows <= (0.8 * n_by_effects if with_noise else 1)
    assert_allclose(got.log_likelihood, want.log_likelihood, atol=1e-6)
    for one, other in zip(got.covariances, want.covariances, strict=True):
        assert_allclose(one, other, atol=1e-4)


def test_effects_beyond_the_digits_of_another_form_are_made_smaller():
    X, y, first, other, _ = simulate(crossed=1.0)
    terms = [term(first, [-1, 0], FULL), term(other, [-1], ((0,),), "h")]
    at = partial(evaluate, model_of(X, y, terms))
    Lambdas = (np.eye(2), np.eye(1))
    assert in_digits(at, Lambdas).Lambdas[0][0, 0] == 1.0
    beyond = tuple(1e12 * L for L in Lambdas)
    assert attempt(at, beyond) is None
    assert 1e3 < in_digits(at, beyond).Lambdas[0][0, 0] < 1e12


def test_disconnected_designs_and_one_row_per_cell():
    rng = np.random.default_rng(4)
    half = np.arange(80) < 40
    first = np.where(half, np.arange(80) % 5, 5 + np.arange(80) % 4)
    other = np.where(half, np.arange(80) // 5 % 4, 4 + np.arange(80) // 4 % 5)
    X = rng.normal(size=(80, 1))
    y = rng.normal(size=80) + rng.normal(size=9)[first] + rng.normal(size=9)[other]
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),))]
    assert fit(X, y, terms).converged
    cells = [
        term(np.arange(81) % 9, [-1, 0], FULL),
        term(np.arange(81) // 9, [-1], ((0,),)),
    ]
    X = rng.normal(size=(81, 1))
    found = fit(X, rng.normal(size=81), cells)
    assert found.converged
    assert found.ranks[1] == 0


def test_the_order_of_terms_and_rows_does_not_matter():
    X, y, first, other, around = simulate(crossed=0.9, nested=0.7)
    terms = [
        term(first, [-1, 0], FULL),
        term(other, [-1], ((0,),)),
        term(around, [-1], ((0,),)),
    ]
    some = fit(X, y, terms)
    order = np.random.default_rng(0).permutation(len(y))
    turned = [term(t.codes[order], t.columns, t.blocks) for t in reversed(terms)]
    other_way = fit(X[order], y[order], turned)
    assert_allclose(other_way.log_likelihood, some.log_likelihood, rtol=1e-11)
    turned_back = modes_of(other_way)[::-1]
    for one, other in zip(turned_back, modes_of(some), strict=True):
        assert_allclose(one, other, atol=1e-5)


def test_weights_are_repetitions():
    X, y, first, other, _ = simulate(n=90)
    weight = np.random.default_rng(0).integers(1, 4, size=90)
    repeated = np.repeat(np.arange(90), weight)
    for codes in ([first], [first, other]):
        terms = [term(c, [-1, 0], FULL) for c in codes]
        weighted = fit(X, y, terms, weight.astype(float))
        rows = [term(c[repeated], [-1, 0], FULL) for c in codes]
        plain = fit(X[repeated], y[repeated], rows)
        assert_allclose(weighted.log_likelihood, plain.log_likelihood, rtol=1e-9)
        pairs = zip(modes_of(weighted), modes_of(plain), strict=True)
        for modes, other_modes in pairs:
            assert_allclose(modes, other_modes, atol=1e-5)


def test_more_crossed_effects_than_memory_holds_are_refused(monkeypatch):
    monkeypatch.setattr(crossed, "MATRICES", 10**12)
    X, y, first, other, _ = simulate()
    terms = [term(first, [-1], ((0,),), "a"), term(other, [-1], ((0,),), "item")]
    with pytest.raises(MemoryError, match=r"9 random effects .*item \(9\).*iterative"):
        fit(X, y, terms)


def test_workers_change_nothing(monkeypatch):
    X, y, first, other, around = simulate()
    for terms in (
        [term(first, [-1, 0], FULL)],
        [term(first, [-1], ((0,),)), term(around, [-1, 0], FULL)],
        [term(first, [-1], ((0,),)), term(other, [-1], ((0,),))],
    ):
        one, two = fit(X, y, terms), fit(X, y, terms, n_jobs=2)
        assert_allclose(two.log_likelihood, one.log_likelihood, rtol=1e-12)


def test_a_variance_that_is_hardly_told_does_not_make_the_fit_worse():
    """A slope of a column a million from zero differs by a millionth from the random
    intercept, which was taken in its place and is 2e-4 lower.
    """
    rng, g = np.random.default_rng(3), np.arange(60) // 4
    x = 1e6 + rng.normal(size=(60, 1))
    y = 40 * rng.normal(size=15)[g] + rng.normal(size=60)
    both = fit(x, y, [term(g, [-1, 0], DIAGONAL)])
    assert_allclose(both.identified, [[True, False]])
    for column in (-1, 0):
        alone = fit(x, y, [term(g, [column], ((0,),))])
        assert both.log_likelihood > alone.log_likelihood - 1e-6


@pytest.mark.parametrize("columns", [[0], [0, 1]])
def test_a_variance_that_alone_is_hardly_told_does_not_make_the_fit_worse(columns):
    """Each level has one row, so that a slope of a column a million from zero has next
    to no part but that of the noise; the rest of it, 1e-5, was left to nobody.
    """
    rng, n = np.random.default_rng(0), 21
    X = np.column_stack([1e6 + rng.normal(size=n), np.zeros(n)])
    y = X[:, 0] + rng.normal(size=n)
    y[3] += 1e3
    found = fit(X, y, [term(np.arange(n), columns, tuple((j,) for j in columns))])
    assert not np.any(found.identified)
    zero = no_variance(found.point.model)
    for std in (1e-3, 1e-2, 1.0, 100.0):
        Lambda = np.diag(np.arange(len(columns)) == 0) * std
        assert found.point.value < zero.moved((Lambda,)).value + SAME
