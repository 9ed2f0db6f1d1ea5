"""The search for the covariances of linear mixed models, and what a fit says."""

from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles.random_terms import any_mixed_problem
from sklearn.base import clone

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed._input.table import Data
from skmixed._likelihood import iterative, mixed
from skmixed._likelihood.covariance import Covariance
from skmixed._likelihood.crossed import CrossedFactor
from skmixed._likelihood.mixed import evaluate
from skmixed._results.mixed_posterior import make_posterior
from skmixed._rows import by_rows, crossed
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import Term
from skmixed._search import covariances, descent, modelled_noise
from skmixed._search.covariances import (
    are_sums,
    at_noise,
    best_covariances,
    first_points,
    lifted,
    no_variance,
    random_starts,
    settle,
    told_variances,
)
from skmixed._search.descent import (
    Descent,
    Optimum,
    attempt,
    descend,
    escape,
    in_digits,
    search_from,
    snap,
)
from skmixed._search.heteroscedastic.search import best_optimum as best_of_one_factor
from skmixed._search.iterative import _next_length as next_length
from skmixed._search.mixed import fit_mixed, likelihood_of
from skmixed._search.modelled_noise import Noise
from skmixed._search.race import basin_of, creeps_above, race

# Relative: the third derivatives over so small a way.
CURVED = 0.02
# Optima that different roads lead to, in -2 log-likelihood.
SAME = 1e-7
# Relative: what the probes of the iterative solver leave of a variance.
OF_PROBES = 0.2
FULL, DIAGONAL = ((0, 1),), ((0,), (1,))


def term(codes, columns, blocks, name="f"):
    levels, codes = np.unique(codes, return_inverse=True)
    return Term(name, levels, codes.astype(np.int32), np.array(columns), blocks)


def data_of(X, y, weight=None):
    return Data(X, np.arange(X.shape[1]), None, y, weight)


def simulate(seed=0, n=240, n_levels=24, slope=0.7, crossed=0.0, nested=0.0):
    """Rows with effects of a level and a slope in x0, and of two further factors."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 2))
    first = rng.permutation(np.arange(n) % n_levels)
    other, around = rng.permutation(np.arange(n) % 9), first // 4
    y = X.sum(axis=1) + rng.normal(size=n)
    y = y + rng.normal(size=n_levels)[first] * 0.8
    y = y + slope * rng.normal(size=n_levels)[first] * X[:, 0]
    y = y + crossed * rng.normal(size=9)[other]
    y = y + nested * rng.normal(size=n_levels)[around]
    return X, y, first, other, around


def fit(X, y, terms, weight=None, **kwargs):
    return fit_mixed(data_of(X, y, weight), tuple(terms), **kwargs)


def posterior_of(found):
    last = max([*found.mean, *(i for term in found.terms for i in term.columns)])
    return make_posterior(found, last + 1)


def modes_of(found):
    """Conditional modes of every term, (K, q), in the user's units."""
    posterior = posterior_of(found)
    return [posterior.modes(t) for t in range(len(found.terms))]


def model_of(X, y, terms, reml=True, alpha=0.0):
    terms = tuple(terms)
    reduced = reduce_terms(
        data_of(X, y),
        terms,
        np.arange(X.shape[1]),
        fit_intercept=True,
        alpha=alpha,
        n_jobs=None,
    )
    return likelihood_of(reduced, terms, reml, alpha)


def problems():
    """Terms of every kind, regular and singular optima."""
    X, y, first, other, around = simulate(crossed=0.9, nested=0.7)
    slopes = term(first, [-1, 0], FULL)
    yield "slopes", X, y, [slopes]
    yield "diagonal", X, y, [term(first, [-1, 0], DIAGONAL)]
    yield "nested", X, y, [slopes, term(around, [-1], ((0,),))]
    yield "crossed", X, y, [slopes, term(other, [-1, 1], FULL)]
    chain = [term(around, [-1, 0], FULL), term(first, [-1], ((0,),))]
    yield "chain and crossed", X, y, [*chain, term(other, [-1], ((0,),))]
    X, y, first, other, around = simulate(seed=3, slope=0.0)
    slopes = term(first, [-1, 0], FULL)
    yield "singular slopes", X, y, [slopes]
    yield "singular nested", X, y, [slopes, term(around, [-1, 1], FULL)]
    yield "singular crossed", X, y, [slopes, term(other, [-1], ((0,),))]


PROBLEMS = {name: rest for name, *rest in problems()}


@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_no_direction_leads_down_from_the_optimum(name, reml):
    """math.md (49): S Psi = 0, and S >= 0 on the null space of Psi."""
    found = fit(*PROBLEMS[name], reml=reml)
    assert found.converged
    # With several terms the scatter of each alone is a start, and so is one from far.
    assert found.n_iter <= (20 if len(found.terms) == 1 else 80)
    point = found.point
    assert_allclose(point.gradient(), 0, atol=1e-4 * found.reduced.n)
    assert escape(point)[0] is None
    for t, (S, L) in enumerate(zip(point.scores, point.Lambdas, strict=True)):
        S = point.model.covariances[t].project(S) * point.model.resolution(t)
        assert np.linalg.eigvalsh(S)[0] > -1e-5
        assert_allclose(S @ L, 0, atol=1e-5)


@pytest.mark.parametrize("name", PROBLEMS)
def test_other_starts_lead_to_the_same_optimum(name):
    """From no variance at all, and from random covariances."""
    found = fit(*PROBLEMS[name])
    model = found.point.model
    zero = tuple(np.zeros_like(L) for L in found.point.Lambdas)
    starts = [evaluate(model, zero), *list(random_starts(found.point))[:3]]
    for start in starts:
        other = search_from(start, 100)
        assert other.converged
        assert abs(other.point.value - found.point.value) < SAME


def test_optima_that_are_singular_are_so_exactly():
    ranks = {name: fit(*rest).ranks for name, rest in PROBLEMS.items()}
    assert ranks["slopes"] == (2,)
    assert ranks["crossed"] == (2, 2)
    assert ranks["singular slopes"] == (1,)
    assert min(ranks["singular nested"]) < 2
    assert min(ranks["singular crossed"]) < 2


@pytest.mark.parametrize("name", ["nested", "crossed", "singular crossed"])
def test_average_information_leads_to_the_same_optimum(name, monkeypatch):
    exact = fit(*PROBLEMS[name])
    monkeypatch.setattr("skmixed._likelihood.mixed.FEW_EFFECTS", 0)
    average = fit(*PROBLEMS[name])
    assert average.converged
    assert average.n_iter <= 25
    assert abs(average.log_likelihood - exact.log_likelihood) < SAME
    for Psi, other in zip(average.covariances, exact.covariances, strict=True):
        assert_allclose(Psi, other, atol=1e-5)


@pytest.mark.parametrize("name", ["nested", "crossed"])
def test_average_information_beside_a_modelled_noise(name, monkeypatch):
    """Crossed factors have no traces for free there."""
    X, y, terms = PROBLEMS[name]
    noise = Noise(np.array([0]), None, 0.0)
    how = {"fit_intercept": True, "noise": noise}
    exact = fit_mixed(data_of(X, y), tuple(terms), **how)
    monkeypatch.setattr("skmixed._likelihood.modelled_noise.FEW_EFFECTS", 0)
    monkeypatch.setattr("skmixed._likelihood.mixed.FEW_EFFECTS", 0)
    average = fit_mixed(data_of(X, y), tuple(terms), **how)
    assert average.converged
    assert abs(average.log_likelihood - exact.log_likelihood) < SAME


def crossed_with_columns(n, n_levels, k):
    """Rows, their terms and a log-variance of k columns."""
    rng = np.random.default_rng(0)
    codes, X = [rng.integers(K, size=n) for K in n_levels], rng.normal(size=(n, k))
    y = sum(rng.normal(size=n)[code] for code in codes)
    y = y + np.exp(X[:, 0]) * rng.normal(size=n)
    terms = [
        term(code, [-1], ((0,),), name) for code, name in zip(codes, "fh", strict=True)
    ]
    return data_of(X, y), tuple(terms), Noise(np.arange(k), None, 0.0)


def test_columns_that_outnumber_rows_over_effects_have_no_matrix_each(monkeypatch):
    """math.md (215): 525 rows, 100 columns and 350 effects took 0.6 s a step."""

    def none(*_):
        raise AssertionError

    data, terms, noise = crossed_with_columns(60, (10, 8), 20)
    monkeypatch.setattr("skmixed._likelihood.modelled_noise._products", none)
    mean = np.array([0])
    assert fit_mixed(data, terms, mean=mean, noise=noise, fit_intercept=True)


@pytest.mark.parametrize(
    ("n_levels", "k", "n_starts"),
    [((10, 8), 10, 21), ((150, 140), 10, 7), ((10, 8), 80, 11)],
    ids=["few", "effects", "columns"],
)
def test_fewer_starts_where_a_step_is_dear(n_levels, k, n_starts, monkeypatch):
    """math.md, 16: a step costs the cube of columns and crossed effects, and the
    product of rows and pairs of columns.
    """
    given = []

    def no_race(known, starts, max_iter, share):
        given.append((len(starts), max_iter, share))
        return [], 0

    monkeypatch.setattr("skmixed._search.modelled_noise.race", no_race)
    data, terms, noise = crossed_with_columns(600, n_levels, k)
    mean = np.array([0])
    fit_mixed(data, terms, mean=mean, noise=noise, fit_intercept=True, search=(50, 0))
    ((found, max_iter, share),) = given
    assert found == n_starts
    if n_starts == 21:
        assert (max_iter, share) == (50, 1)
    else:
        assert 5 <= max_iter < 50
        assert 0 < share < 1


def test_steps_are_as_long_as_effects_leave_them_beside_an_outlier():
    """math.md (220): average information alone came to no optimum in 100 steps, each
    halved until it gained a thousandth of its promise.
    """
    data, terms, noise = crossed_with_columns(600, (300, 250), 8)
    y = data.y.copy()
    y[0] = 1e4
    optimum = fit_mixed(
        replace(data, y=y), terms, mean=np.array([0]), noise=noise, fit_intercept=True
    )
    start = optimum.noise_point.noise.at(
        optimum.point.model, np.zeros(8), Lambdas=optimum.point.Lambdas
    )
    found = descend(start.held(start.noise_variance), 100)
    assert found.converged
    assert found.n_evaluations < 30


def noisy_slopes(n_levels):
    """Rows of two factors, and a constant column, whose slope has no variance."""
    data, terms, noise = crossed_with_columns(600, n_levels, 3)
    data.X[:, 1] = 1.0
    return data, (terms[0], term(terms[1].codes, [-1, 1], FULL, "h")), noise


def test_a_pattern_whose_optimum_is_known_is_not_searched_again(monkeypatch):
    """The variance of a slope of a constant is not told by any noise."""
    races = []

    def one_more(*arguments):
        races.append(arguments)
        return race(*arguments)

    monkeypatch.setattr("skmixed._search.modelled_noise.race", one_more)
    data, terms, noise = noisy_slopes((10, 8))
    optimum = fit_mixed(
        data, terms, mean=np.array([0]), noise=noise, fit_intercept=True
    )
    assert not all(told.all() for told in optimum.identified)
    assert len(races) == 1


def test_variances_that_noise_tells_are_searched_for_from_where_steps_have_ended():
    """Levels of one row each, whose variance equal noise does not tell."""
    rng, n = np.random.default_rng(0), 2_100
    X, first = rng.normal(size=(n, 2)), rng.integers(10, size=n)
    y = rng.normal(size=10)[first] + 2 * rng.normal(size=n)
    y = y + np.exp(1.5 * X[:, 0]) * rng.normal(size=n)
    terms = [term(first, [-1], ((0,),)), term(np.arange(n), [-1], ((0,),), "h")]
    how = {"mean": np.array([0]), "fit_intercept": True}
    noise = Noise(np.arange(2), None, 0.0)
    found = fit(X, y, terms, noise=noise, search=(3, 0), **how)
    assert not found.converged
    assert all(told.all() for told in found.identified)
    assert found.covariances[1][0, 0] > 2


def one_factor(k):
    """Rows of one factor, and a log-variance of k columns."""
    rng, n = np.random.default_rng(0), 300
    codes, X = rng.integers(20, size=n), rng.normal(size=(n, k))
    y = rng.normal(size=20)[codes] + np.exp(0.5 * X[:, 0]) * rng.normal(size=n)
    how = {"mean": np.array([0]), "fit_intercept": True}
    terms = [term(codes, [-1], ((0,),))]
    return partial(fit, X, y, terms, noise=Noise(np.arange(k), None, 0.0), **how)


def test_an_optimum_at_a_bound_of_the_log_variance_is_none(monkeypatch):
    """Newton's steps go on from there."""
    searched, original = [], modelled_noise.search_noise

    def at_bound(*arguments, **options):
        found = best_of_one_factor(*arguments, **options)
        assert found.converged
        return replace(found, point=replace(found.point, n_at_bounds=1))

    def one_more(*arguments, **options):
        searched.append(arguments)
        return original(*arguments, **options)

    monkeypatch.setattr(modelled_noise, "search_noise", one_more)
    within = one_factor(1)()
    assert not searched
    monkeypatch.setattr(modelled_noise, "best_of_one_factor", at_bound)
    other = one_factor(1)()
    assert len(searched) == 2
    assert_allclose(other.log_likelihood, within.log_likelihood, rtol=1e-9)


@pytest.mark.parametrize(("k", "expected"), [(3, 100), (120, 46)])
def test_columns_of_the_log_variance_leave_one_factor_fewer_steps(
    k, expected, monkeypatch
):
    """300 k^2 pairs, of which two million have all steps."""
    given = []

    def no_optimum(*arguments, max_iter, **options):
        given.append(max_iter)
        found = best_of_one_factor(*arguments, max_iter=1, **options)
        return replace(found, converged=True, point=replace(found.point, n_at_bounds=0))

    monkeypatch.setattr(modelled_noise, "best_of_one_factor", no_optimum)
    one_factor(k)()
    assert given == [expected]


def test_a_search_at_another_noise_variance_starts_from_the_same_psi():
    """Where effects are far larger than the noise; else with the better of two."""
    X, y, terms = PROBLEMS["crossed"]
    at = fit(X, 1e3 * y, terms).point
    for noise_variance in at.noise_variance * np.array([0.01, 100.0]):
        start = at_noise(at, noise_variance)
        assert start.noise_variance == noise_variance
        assert start.value <= at.held(noise_variance).value
    effects = np.random.default_rng(1).normal(size=(2, 24))
    _, _, first, other, _ = simulate()
    at = fit(X, y + 1e3 * (effects[0][first] + effects[1][other]), terms).point
    start = at_noise(at, at.noise_variance / 100)
    for L, before in zip(start.Lambdas, at.Lambdas, strict=True):
        assert_allclose(L, 10 * before)


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
    assert_allclose(J @ found.beta + offset, beta, **same)
    covariance = J @ found.root @ found.root.T @ J.T
    assert_allclose(covariance, expected.coef_covariance_, **same)
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


def test_the_better_of_several_optima_is_found():
    """Eighteen rows: starts of its own do not reach what twenty random ones reach."""
    worse = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, g = rng.normal(size=(18, 1)), np.arange(18) % 6
        y = rng.standard_t(1.5, size=18)
        model = model_of(x, y, [term(g, [-1, 0], FULL)])
        best = best_covariances(no_variance(model))
        for scale in 10.0 ** rng.uniform(-1, 2, size=20):
            A = scale * rng.normal(size=(2, 2))
            L = model.covariances[0].root(A @ A.T)
            other = search_from(evaluate(model, (L,)), 100)
            worse += other.point.value < best.point.value - 1e-4
    assert not worse


def panel(seed):
    """Units over years: features with a trend, y with another one."""
    rng = np.random.default_rng(seed)
    n_years, n_units = rng.integers(6, 20, 2)
    p, n = rng.integers(1, 4), n_years * n_units
    year = np.repeat(np.arange(n_years), n_units)
    unit = np.tile(np.arange(n_units), n_years)
    X = rng.uniform(0, 0.2, p) * year[:, None] + rng.normal(size=(n_units, p))[unit]
    X = X + 10 ** rng.uniform(-1.5, 0) * rng.normal(size=(n, p))
    y = X @ rng.normal(size=p) + rng.uniform(0.3, 3) * rng.normal(size=n_units)[unit]
    y = y + 0.2 * rng.normal() * year
    y = y + 10 ** rng.uniform(-2, -0.5) * rng.normal(size=n_years)[year]
    return X, y + 0.1 * rng.normal(size=n), year, unit


@pytest.mark.parametrize("seed", [3261, 3097, 6310])
def test_years_beside_features_with_a_trend_have_their_variance(seed):
    """The mean may explain years, so that no variance and one far from it are optima.

    The first one was found, 6.7, 3.1 and 11.2 lower in log-likelihood.
    """
    X, y, year, unit = panel(seed)
    terms = [term(year, [-1], ((0,),), "year"), term(unit, [-1], ((0,),), "unit")]
    best = fit(X, y, terms, reml=False).point
    for year_std in (0.1, 1.0, 10.0, 100.0):
        for unit_std in (1.0, 10.0, 100.0):
            Lambdas = tuple(std * np.eye(1) for std in (year_std, unit_std))
            other = search_from(evaluate(best.model, Lambdas), 100)
            assert best.value < other.point.value + SAME


def calendar(seed):
    """Levels and slopes of units in years AD, which differ from unit to unit."""
    rng = np.random.default_rng(seed)
    n_units, n_years = rng.integers(6, 60), rng.integers(4, 15)
    unit = np.repeat(np.arange(n_units), n_years)
    year = np.tile(np.arange(n_years), n_units) + rng.integers(0, 10, n_units)[unit]
    level = 10 ** rng.uniform(-1, 0.5) * rng.normal(size=n_units)
    slope = 10 ** rng.uniform(-2, 0) * rng.normal(size=n_units)
    y = 0.3 * year + level[unit] + slope[unit] * (year - year.mean())
    return 1990.0 + year[:, None], y + 0.5 * rng.normal(size=len(y)), unit


@pytest.mark.parametrize("seed", [5, 48, 192])
def test_uncorrelated_effects_of_a_column_far_from_zero(seed):
    """Free effects of the year 0 and of a year are nearly opposite; their scatter is
    far too large for both: an optimum near there was taken, 17, 50 and 200 lower.
    """
    X, y, unit = calendar(seed)
    best = fit(X, y, [term(unit, [-1, 0], DIAGONAL)]).point
    for std in 10.0 ** np.array([[-1, -1], [0, -1], [-1, 0], [1, 1], [2, 0], [0, 2]]):
        other = search_from(evaluate(best.model, (np.diag(std),)), 100)
        assert best.value < other.point.value + SAME


@pytest.mark.parametrize("seed", [52, 1008])
def test_a_slope_of_a_column_that_is_nearly_the_mean_of_its_level(seed):
    """Free effects of it tell little, and led to optima 0.25 and 7.7 lower."""
    rng = np.random.default_rng(seed)
    n, K = rng.integers(60, 600), rng.integers(5, 40)
    g = np.arange(n) % K
    x = rng.normal(size=K)[g] + 10 ** rng.uniform(-2, -0.3) * rng.normal(size=n)
    intercepts, slopes = (
        10 ** rng.uniform(-1, 1) * rng.normal(size=K)[g] for _ in range(2)
    )
    y = x + intercepts + slopes * x + 0.3 * rng.normal(size=n)
    best = fit(x[:, None], y, [term(g, [-1, 0], FULL)], reml=False).point
    for std in (0.1, 0.2, 1.0, 10.0):
        other = search_from(evaluate(best.model, (std * np.eye(2),)), 100)
        assert best.value < other.point.value + SAME


@pytest.mark.parametrize("seed", [31, 33])
def test_effects_that_are_told_exactly_are_added_up_in_the_best_way(seed):
    """Each level but one has a single row, which effects a thousand times the noise may
    explain in several ways.  The search ended 1.9 and 0.3 lower in log-likelihood.
    """
    rng, n, K = np.random.default_rng(seed), 60, 12
    g = np.concatenate([np.arange(K), np.zeros(n - K, dtype=int)])
    X = rng.normal(size=(n, 2))
    Z, root = np.column_stack([np.ones(n), X]), rng.normal(size=(3, 3))
    effects = rng.normal(size=(K, 3)) @ root
    y = np.sum(Z * effects[g], axis=1) + 1e-3 * rng.normal(size=n)
    best = fit(X, y, [term(g, [-1, 0, 1], ((0, 1, 2),))]).point
    for _ in range(40):
        root = 1e3 * rng.normal(size=(3, 3))
        L = best.model.covariances[0].root(root @ root.T)
        other = search_from(evaluate(best.model, (L,)), 100)
        assert best.value < other.point.value + 1e-3  # the next ones are 0.5 away


def test_effects_that_others_nearly_determine_come_last():
    """An order of pivots with a small one first would take fifty evaluations."""
    rng = np.random.default_rng(0)
    X, g = rng.normal(size=(192, 2)), np.arange(192) % 24
    a, b = rng.normal(size=(2, 24))
    slope = 1.5 * a + 0.02 * rng.normal(size=24)
    y = rng.normal(size=192) + a[g] + slope[g] * X[:, 0] + 2 * b[g] * X[:, 1]
    found = fit(X, y, [term(g, [-1, 0, 1], ((0, 1, 2),))])
    assert found.converged
    assert found.n_iter <= 22  # from three starts
    assert found.point.model.covariances[0].blocks[0][-1] != 2


def told(found):
    return [some.tolist() for some in found.identified]


def test_what_the_data_cannot_tell_goes_to_the_noise_or_the_earlier_term():
    """math.md (48)."""
    X, y, _, other, _ = simulate(crossed=0.9)
    each = np.arange(len(y))
    intercept = ((0,),)
    alone = fit(X, y, [term(each, [-1], intercept)])
    assert told(alone) == [[False]]
    assert alone.covariances[0][0, 0] == 0
    beside = fit(X, y, [term(each, [-1], intercept), term(other, [-1], intercept)])
    assert told(beside) == [[False], [True]]
    assert beside.covariances[0][0, 0] == 0
    one = fit(X, y, [term(other, [-1], intercept)])
    assert_allclose(beside.noise_variance, one.noise_variance, rtol=1e-6)
    for order in ([0, 1], [1, 0]):
        terms = [term(other, [-1, 0], FULL), term(8 - other, [-1, 0], FULL)]
        twice = fit(X, y, [terms[k] for k in order])
        assert told(twice) == [[True, True], [False, False]]
        assert not twice.covariances[1].any()
    slopes = fit(X, y, [term(each, [-1, 0], FULL)])  # its variance depends on x0
    assert told(slopes) == [[False, True]]
    assert slopes.covariances[0][0, 1] != 0  # nor can that of the intercept be 0
    assert slopes.covariances[0][1, 1] > 0


@pytest.mark.parametrize("columns", [[-1], [-1, 0]], ids=str)
@pytest.mark.parametrize("largest", [0.3, 1.0])
def test_weights_below_1_hide_no_variance(columns, largest):
    """math.md (48): what rows tell does not depend on the unit of their weights, of
    which those below 1 left less information about the noise than that of the rows.
    """
    rng = np.random.default_rng(0)
    X, codes = rng.normal(size=(64, 2)), np.arange(64) // 2
    y = 3 * rng.normal(size=32)[codes] + rng.normal(size=64)
    weight = largest * rng.random(64)
    terms = [term(codes, columns, ((0, 1)[: len(columns)],))]
    found = fit(X, y, terms, weight)
    assert found.identified[0].all()


# The first two need a bound that no noise information enters, the others traces of N.
@pytest.mark.parametrize("seed", [2, 3, 13, 25])
def test_far_weights_that_leave_little_of_a_level_hide_no_variance(seed):
    """math.md (48): the mean leaves 1e-8 of what levels tell, whose square passed for
    rounding, so that fits ended thousands too low.
    """
    rng, intercept = np.random.default_rng(seed), ((0,),)
    X, y, codes = rng.normal(size=(9, 6)), rng.normal(size=9), np.arange(9) % 2
    weight = 10.0 ** rng.integers(-4, 5, size=9)
    known = RandomInterceptRegressor().fit(X, y, groups=codes, sample_weight=weight)
    alone = [term(codes, [-1], intercept)]
    beside = [term(0 * codes, [-1], intercept), *alone]
    for terms, expected in ((alone, [[True]]), (beside, [[False], [True]])):
        found = fit(X, y, terms, weight)
        assert told(found) == expected
        assert_allclose(found.log_likelihood, known.log_likelihood_, rtol=1e-7)


def test_a_column_that_says_nothing_has_no_variance():
    X, y, first, *_ = simulate()
    X = np.column_stack([X, np.zeros(len(y)), 2 * X[:, 0]])
    nothing = fit(X, y, [term(first, [-1, 2], FULL)])
    assert told(nothing) == [[True, False]]
    again = fit(X, y, [term(first, [-1, 0, 3], ((0, 1, 2),))])
    assert told(again) == [[True, True, False]]
    plain = fit(X, y, [term(first, [-1, 0], FULL)])
    assert_allclose(again.log_likelihood, plain.log_likelihood, rtol=1e-10)


def is_finite(found):
    posterior, terms = posterior_of(found), range(len(found.terms))
    errors = [posterior.error_covariance(t) for t in terms]
    arrays = (*modes_of(found), *errors, *found.covariances, found.beta, found.root)
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


def test_an_exact_fit_is_looked_for_once(monkeypatch):
    """A fuller model, whose further variances the data do not tell, was searched after
    an exact fit, and the way from no variance to an exact fit was gone to its end: four
    searches of 25 s for two factors inside a third.
    """
    _, _, first, *_ = simulate()
    ends = []

    def search(*args, **kwargs):
        ends.append(search_from(*args, **kwargs))
        return ends[-1]

    monkeypatch.setattr(covariances, "search_from", search)
    y = np.random.default_rng(2).normal(size=24)[first]
    terms = [term(first, [-1], ((0,),)), term(first, [-1], ((0,),), "g")]
    found = fit(np.arange(240.0)[:, None], y, terms, reml=False, alpha=1.0)
    assert found.exact
    assert [end.is_exact for end in ends] == [True]


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


def steps_to(noise, monkeypatch):
    """The ends of a search from unit covariances for effects so far above the noise,
    one with steps that go on while they gain the same, and one without.
    """
    rng, (X, *_, first, other, _) = np.random.default_rng(0), simulate()
    y = rng.normal(size=24)[first] + rng.normal(size=9)[other]
    y = y + noise * rng.normal(size=len(y))
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),), "h")]
    start = evaluate(model_of(X, y, terms), (np.eye(1), np.eye(1)))
    with_longer = descend(start, 100)
    monkeypatch.setattr(descent, "STEADY", 100)
    return with_longer, descend(start, 100)


def test_the_way_to_an_exact_fit_is_short(monkeypatch):
    """Each step multiplied effects by less than 2: 89 of them beside an outlier of a
    million: math.md (219).
    """
    got, want = steps_to(0.0, monkeypatch)
    assert got.is_exact
    assert got.n_evaluations <= 0.7 * want.n_evaluations
    assert got.point.value <= want.point.value + 1.0


@pytest.mark.parametrize("noise", [1e-1, 1e-3])
def test_no_optimum_is_passed_by_longer_steps(noise, monkeypatch):
    got, want = steps_to(noise, monkeypatch)
    assert got.converged
    assert got.n_evaluations <= want.n_evaluations
    assert_allclose(got.point.value, want.point.value, atol=1e-6)


def test_longer_steps_end_where_squares_overflow():
    """NumPy warned of what has no value or no derivatives, and is left out."""
    rng, (X, *_, first, other, _) = np.random.default_rng(0), simulate()
    y = rng.normal(size=24)[first] + rng.normal(size=9)[other]
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),), "h")]
    model = model_of(X, y, terms)
    point, new = (evaluate(model, (s * np.eye(1), np.eye(1))) for s in (1e-200, 1))
    assert descent._farther(point, new).value <= new.value


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


def test_noise_beside_effects_that_fit_all_rows_alone():
    """Bounds of the log-variance were about the constant noise beside these effects,
    which is next to none, and predictions were cut off at them.
    """
    rng = np.random.default_rng(4)
    X, groups = rng.normal(size=(12, 2)), np.arange(12) // 2
    intercepts, slopes = rng.normal(size=(2, 6))
    noise = np.exp(X[:, 1]) * rng.normal(size=12)
    y = X.sum(axis=1) + intercepts[groups] + X[:, 0] * slopes[groups] + noise
    model = LinearMixedRegressor(
        "(x0 + x1 | g)", method="ml", alpha=1.0, variance_features=[1]
    )
    model.fit(X, y, groups=groups)
    line = model.variance_intercept_ + X @ model.variance_coef_
    # Rounding of a logarithm of order 10.
    assert_allclose(2 * np.log(model.predict_noise_std(X)), line, atol=1e-12)


def test_levels_of_one_row_take_no_noise_away_that_a_log_variance_explains():
    """Beside a known part of the noise, equal variances had all noise as an effect of
    such levels, and so had covariances that were best for any other log-variance: the
    fit was 6 below the one without that term, and 13 below the best.
    """
    rng, each = np.random.default_rng(10), np.arange(50)
    X, known = rng.normal(size=(50, 2)), rng.normal(size=50)
    y = X[:, 0] + 0.7 * rng.normal(size=8)[each % 8]
    y = y + rng.normal(size=50) * np.exp(X[:, 0] - known / 2)
    rows, slopes = term(each, [-1], ((0,),)), term(each % 8, [-1, 0], FULL, "h")
    how = {"mean": np.array([0, 1]), "noise": Noise(np.array([0, 1]), 2, 0.1)}
    X = np.column_stack([X, known])
    without, found = fit(X, y, [slopes], **how), fit(X, y, [rows, slopes], **how)
    assert found.log_likelihood > without.log_likelihood + 1


def test_a_ridge_on_nearly_equal_columns_of_the_log_variance():
    """A ridge of 1e17 on the difference of two made all other second derivatives count
    as flat, so that searches ended where they began, without an optimum.  Two such
    columns have half the ridge of one.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=80)
    X = np.column_stack([x, x + 1e-8 * rng.normal(size=80), np.ones(80)])
    codes = np.arange(80) % 20
    y = rng.normal(size=20)[codes] * x + rng.normal(size=80) * np.exp(x)
    terms = [term(codes, [2, 0], DIAGONAL)]
    found = [
        fit(X, y, terms, mean=np.array([0]), noise=Noise(np.arange(k), None, 5.0 * k))
        for k in (1, 2)
    ]
    assert found[1].converged
    assert_allclose(found[1].log_likelihood, found[0].log_likelihood, atol=1e-6)


def test_starts_are_the_scatter_of_free_effects():
    """Of all factors together and of each alone, where effects are far larger than the
    noise; the best of them is near the optimum.
    """
    X, y, first, other, _ = simulate()
    effects = np.random.default_rng(1).normal(size=(2, 24))
    y = y + 100 * effects[0][first] + 30 * effects[1][other]
    terms = term(first, [-1], ((0,),), "f"), term(other, [-1], ((0,),), "h")
    zero = no_variance(model_of(X, y, terms))
    (start, *others), *_ = first_points(zero)
    best = best_covariances(zero).point
    assert len(others) == 2
    assert zero.value - best.value > 1000
    assert start.value - best.value < 1


def test_free_effects_without_digits_tell_no_scatter():
    """By rows that are fewer than effects the covariance of free ones is a difference,
    which rounding may leave without a root.
    """
    X, y, first, *_ = simulate()
    model = model_of(X, y, [term(first, [-1, 0], FULL)])
    free = covariances.reach(model, covariances._free(model, [0]))
    assert covariances._scatter_of_term(free, 0, 1.0) is not None
    lost = np.tile(np.diag([1.0, -1e-9]), (24, 1, 1))
    stub = SimpleNamespace(
        model=model,
        Lambdas=free.Lambdas,
        modes=free.modes,
        factor=SimpleNamespace(conditional_of=lambda _: lost),
    )
    assert covariances._scatter_of_term(stub, 0, 1.0) is None


def test_free_effects_that_are_better_than_the_optimum_are_a_start():
    """Effects that span all rows tell no scatter, and the best optimum, at variances of
    a million times the noise, was missed by 1.2 in log-likelihood.
    """
    rng, pairs = np.random.default_rng(600), np.arange(10) // 2
    X, y = rng.normal(size=(10, 5)), 1.0 * (rng.random(10) < 0.5)
    how = {"reml": False, "alpha": 1.0, "fit_intercept": False}
    found = fit(X, y, [term(pairs, [-1, 1], DIAGONAL)], **how)
    large = evaluate(found.point.model, (300.0 * np.eye(2),))
    assert found.converged
    assert found.point.value < large.value


class Implied:
    """A point whose noise variance does not depend on the one that is held."""

    noise_variance = 3.0

    def held(self, noise_variance):
        return self


def test_a_noise_variance_that_no_search_moves_is_found_by_two():
    given = []

    def search(noise_variance, known):
        given.append(noise_variance)
        return Optimum(Implied(), 1, True)

    found = settle(search, 0.5, 100)
    assert found.converged
    assert_allclose(given, [0.5, 3.0])


@pytest.mark.parametrize(("noise_variance", "n_searches"), [(1e-9, 1), (1e9, 5)])
def test_an_exact_fit_that_is_no_optimum_ends_the_secants(noise_variance, n_searches):
    """Searches at ever less noise followed it, of 1.4 s each."""
    given = []

    def search(held, known):
        given.append(held)
        point = Implied()
        point.noise_variance = noise_variance * 10.0 ** len(given)
        point.model = SimpleNamespace(floor=1.0)
        return Optimum(point, 1, False)

    assert not settle(search, 0.5, 5).converged
    assert len(given) == n_searches


@pytest.mark.parametrize("max_iter", [1, 2, 9])
def test_searches_at_other_noise_variances_have_half_the_steps(max_iter, monkeypatch):
    given, point = [], fit(*PROBLEMS["crossed"]).point
    monkeypatch.setattr(covariances, "search_from", lambda *how: given.append(how))
    covariances.search_again(point, 2.0, max_iter)
    ((start, n_steps, _),) = given
    assert start.model.noise_variance == 2.0
    assert n_steps == max(1, max_iter // 2)


def test_errors_that_searches_leave_end_the_secants_and_slow_ones_do_not():
    """Secants went on for as long as they might: 16 searches where 6 say all."""
    noise = [-9e-2, -3e-3, -3e-5, -9e-8, 2e-8, -1e-8, -5e-9, 6e-10]
    ends = [covariances._is_settled(noise[:k]) for k in range(1, len(noise) + 1)]
    assert ends.index(True) == 5
    slow = [-1e-2, *(-8e-7 * 0.8**k for k in range(9))]
    assert not any(covariances._is_settled(slow[:k]) for k in range(1, 10))
    assert covariances._is_settled([-1e-12])
    assert not covariances._is_settled([-1e-3, -1e-3, -9e-7])


@pytest.mark.parametrize("name", ["slopes", "crossed", "singular slopes"])
def test_distances_from_an_optimum_are_rises_of_the_value(name):
    """math.md (197), whatever the signs and the order of the roots."""
    point = fit(*PROBLEMS[name]).point.pivoted()
    basin, rng = basin_of(Optimum(point, 0, True)), np.random.default_rng(0)
    for _ in range(5):
        x = point.x + 0.003 * point.units * rng.normal(size=len(point.x))
        near = point.at(x)
        turned = near.moved(tuple(-L[:, ::-1] for L in near.Lambdas))
        for other in (near, turned):
            rise = other.value - point.value
            assert_allclose(basin.distance(other) ** 2, 2 * rise, rtol=CURVED)


@pytest.mark.parametrize("name", ["slopes", "crossed", "singular nested"])
def test_searches_that_come_to_a_known_optimum_are_given_up(name):
    point = fit(*PROBLEMS[name]).point
    starts = list(random_starts(point))
    whole = sum(search_from(start, 100, 1).n_evaluations for start in starts)
    found, spent = race(Optimum(point, 0, True), starts, 100)
    assert not found
    assert spent < 0.7 * whole


@pytest.mark.parametrize(
    ("value", "decrements", "given_up"),
    [
        (5e-4, (1e-5, 1e-5), True),
        (2.8, (1e-5, 1e-5), True),
        (-1e-12, (1e-7, 1e-7), True),
        (5e-4, (1e-3, 1e-5), False),
        (5e-4, (2e-4, 2e-4), False),
        (80.0, (1e-2, 1e-2), False),
        (5e-4, (np.inf, 1e-5), False),
        (2e-5, (1e-5, 1e-5), False),
        (-1e-6, (1e-7, 1e-7), False),
    ],
)
def test_searches_that_creep_above_a_known_optimum_are_given_up(
    value, decrements, given_up
):
    """math.md (221): factors with the same levels have a valley of nearly one value,
    whose end is at the boundary; 207 of `draw_mixed` crept there from 35 starts.
    """
    before, after = (
        Descent(SimpleNamespace(value=value, rounding=1e-11), decrement=decrement)
        for decrement in decrements
    )
    assert creeps_above(before, after, 0.0) == given_up
    assert not creeps_above(before, after, np.inf)


def test_a_search_that_creeps_has_no_end(monkeypatch):
    monkeypatch.setattr("skmixed._search.race.creeps_above", lambda *_: True)
    best = fit(*PROBLEMS["slopes"]).point
    starts = list(random_starts(best, 3))
    assert race(Optimum(best, 0, True), starts, 100)[0] == []


def test_a_search_that_creeps_at_the_boundary_leaves_it(monkeypatch):
    """No step of its own leads from a slope without a variance to one with it."""
    best = fit(*PROBLEMS["slopes"]).point
    start, known = best.moved((np.diag([1.0, 0.0]),)), Optimum(best, 0, True)
    monkeypatch.setattr(
        "skmixed._search.race.creeps_above",
        lambda before, *_: before.point is start,
    )
    monkeypatch.setattr("skmixed._search.race.Basin.draws", lambda *_: False)
    found, _ = race(known, [start], 100)
    assert_allclose([end.point.value for end in found], [best.value], atol=SAME)


def test_a_better_optimum_than_the_known_one_is_found():
    """The known one is a saddle: no variance at all."""
    X, y, terms = PROBLEMS["slopes"]
    best = fit(X, y, terms).point
    saddle = Optimum(no_variance(best.model), 0, False)
    found, _ = race(saddle, list(random_starts(best)), 100)
    assert_allclose(min(other.point.value for other in found), best.value, atol=1e-6)


def test_where_one_search_comes_to_no_optimum_others_have_half_the_steps(monkeypatch):
    monkeypatch.setattr(
        "skmixed._search.race.search_from", lambda point, _: Optimum(point, 0, False)
    )
    point = fit(*PROBLEMS["crossed"]).point
    starts, spent = list(random_starts(point)), []
    for converged, share in ((True, 0.5), (False, 0.5), (False, 1.0), (True, 0.01)):
        known = Optimum(no_variance(point.model), 0, converged)
        spent.append(race(known, starts, 8, share)[1] - len(starts))
    assert spent == [32, 16, 32, 16]


def test_the_lowest_search_that_is_left_goes_on_alone(monkeypatch):
    lone = []

    def alone(point, max_iter):
        lone.append((point.value, max_iter))
        return Optimum(point, 0, False)

    monkeypatch.setattr("skmixed._search.race.search_from", alone)
    point = fit(*PROBLEMS["crossed"]).point
    starts, known = list(random_starts(point)), no_variance(point.model)
    assert sum(start.value < known.value for start in starts) > 1
    race(Optimum(known, 0, False), starts, 1, 1.0)
    ((value, max_iter),) = lone
    assert value <= min(start.value for start in starts)
    assert max_iter == 20


@pytest.mark.parametrize(
    ("simpler", "settled", "expected"),
    [(False, True, 1.0), (True, True, 0.5), (False, False, 0.5)],
)
def test_races_are_shorter_where_there_are_others(
    simpler, settled, expected, monkeypatch
):
    """Of a pattern of variances beside one whose optimum is known, and for a start."""
    shares = []

    def no_race(known, starts, max_iter, share):
        shares.append(share)
        return [], 0

    monkeypatch.setattr(covariances, "race", no_race)
    X, y, terms = PROBLEMS["crossed"]
    zero = no_variance(model_of(X, y, terms))
    point = fit(X, y, terms).point if simpler else None
    shares.clear()
    assert covariances.best_covariances(zero, 100, point, settled).converged
    assert shares == [expected]


def test_an_exact_fit_is_regular_if_it_is_one_of_half_of_the_rows():
    """Each row that is fitted exactly lowers the value by the logarithm of the noise
    variances.
    """
    model = SimpleNamespace(n=40.0, floor=1e-6)
    zero = SimpleNamespace(value=100.0, noise_variance=1.0, model=model)
    for rows, expected in ((19.9, False), (20.1, True)):
        value = 100.0 - rows * np.log(1e6)
        end = SimpleNamespace(value=value, noise_variance=1e-6, model=model)
        assert covariances._is_regular(Optimum(end, 1, True), zero) == expected
    for value, expected in ((100.1, False), (99.9, True)):
        end = SimpleNamespace(value=value, noise_variance=0.5, model=model)
        assert covariances._is_regular(Optimum(end, 1, True), zero) == expected


@pytest.mark.parametrize("at_floor", [False, True])
@pytest.mark.parametrize("regular", [False, True])
def test_an_end_at_the_least_noise_is_taken_if_it_is_regular(
    at_floor, regular, monkeypatch
):
    point = fit(*PROBLEMS["crossed"]).point
    lower = SimpleNamespace(value=point.value - 9.0, at_floor=at_floor)
    end = Optimum(lower, 3, True)
    monkeypatch.setattr(Optimum, "is_exact", property(lambda self: True))
    monkeypatch.setattr(covariances, "race", lambda *_: ([end], 3))
    monkeypatch.setattr(covariances, "_is_regular", lambda *_: regular)
    best = Optimum(point, 1, True)
    how = no_variance(point.model), best, [point], 1, (100, 1.0)
    found = covariances._best_of_races(*how).point
    assert found is (point if at_floor and not regular else lower)


def test_random_starts_are_far_from_an_optimum_of_no_variance():
    """They were all next to it, so that one was 22 lower in log-likelihood."""
    zero = no_variance(model_of(*PROBLEMS["slopes"]))
    std = [np.linalg.norm(start.Lambdas[0], axis=1) for start in random_starts(zero)]
    least = np.sqrt(zero.model.resolution(0))
    assert np.median(std) > 5 * least
    assert np.max(std) > 10.0


@pytest.mark.parametrize("seed", range(6))
def test_steps_do_not_go_back_and_forth(seed):
    """The value is the same at Lambda and -Lambda: steps of twice Lambda fell by ever
    less, and ended in no optimum, up to 0.25 too high.
    """
    rng, first = np.random.default_rng(seed), np.arange(120) % 30
    second = np.append((first[0] + 1) % 30, first[1:])
    X = rng.normal(size=(120, 1))
    y = X[:, 0] + 10 * rng.normal(size=30)[first] + rng.normal(size=120)
    terms = [term(codes, [-1], ((0,),)) for codes in (first, second)]
    start = evaluate(model_of(X, y, terms), (np.array([[9.0]]), np.array([[3.0]])))
    found = descend(start, 100)
    none = descend(start.moved((np.array([[9.0]]), np.zeros((1, 1)))), 100)
    assert found.converged
    assert found.point.value < none.point.value + SAME


def test_covariances_go_straight_along_a_valley():
    """math.md (222): the variances of a level and of a slope in years AD, which do not
    covary, can be exchanged.  Roots took 81 to 95 evaluations.
    """
    X, y, unit = calendar(7)
    for reml in (False, True):
        assert fit(X, y, [term(unit, [-1, 0], DIAGONAL)], reml=reml).n_iter < 50


@pytest.mark.parametrize("seed", [0, 10, 13, 20, 26])
def test_the_boundary_is_left_beside_a_variance_far_above_the_noise(seed):
    """Eigenvalues of Psi lose what is nothing beside 1e10: of thirty slopes these five
    were taken to leave some variance, and nobody asked whether there should be more.
    """
    X, y, first, *_ = simulate()
    y = y + 1e5 * np.random.default_rng(1).normal(size=24)[first] * (1 - X[:, 0] / 2)
    slope = np.random.default_rng(seed).uniform(0.2, 2)
    Lambda = 1e5 * np.array([[1.0, 0.0], [-slope, 0.0]])
    point = evaluate(model_of(X, y, [term(first, [-1, 0], FULL)]), (Lambda,))
    assert escape(point)[0].value < point.value - 1


@pytest.mark.parametrize("seed", [1, 20])
def test_a_variance_is_none_where_none_is_as_good(seed):
    """Beside a random intercept the data resolve a slope in years a million times less
    than alone: 2e-16 was reported, with an interval of that size.
    """
    rng, first = np.random.default_rng(seed), np.repeat(np.arange(12), 10)
    year = 2000.0 + np.arange(120) % 10
    y = 0.2 * year + rng.normal(size=12)[first] + 0.3 * rng.normal(size=120)
    found = fit(year[:, None], y, [term(first, [-1, 0], DIAGONAL)])
    assert found.covariances[0][1, 1] == 0
    assert found.converged


def test_starts_have_some_variance_of_all_effects():
    zero = no_variance(fit(*PROBLEMS["crossed"]).point.model)
    for L in lifted(zero).Lambdas:
        assert (np.diag(L @ L.T) > 0).all()
    point = fit(*PROBLEMS["slopes"]).point
    for old, new in zip(point.Lambdas, lifted(point).Lambdas, strict=True):
        assert_allclose(new, old)


def sums(columns, *terms):
    """Whether variances are told, and whether the others are sums of these."""
    y = np.random.default_rng(2).normal(size=len(columns))
    zero = no_variance(model_of(columns, y, terms))
    told = told_variances(zero, range(len(terms)))
    return [some.tolist() for some in told], are_sums(zero, told)


def test_variances_that_others_can_take_the_place_of():
    """math.md (196): the noise, an earlier factor; not their difference."""
    rng, n = np.random.default_rng(1), 40
    x = rng.permutation(np.arange(n) % 2).astype(float)
    columns, each, g = np.column_stack([x, 1 - x]), np.arange(n), np.arange(n) % 8
    intercept = ((0,),)
    noise = term(each, [-1], intercept, "f")
    assert sums(columns, noise) == ([[False]], True)
    first, again = term(g, [-1], intercept, "f"), term(7 - g, [-1], intercept, "h")
    assert sums(columns, first, again) == ([[True], [False]], True)
    one, rest = term(each, [0], intercept, "f"), term(each, [1], intercept, "h")
    assert sums(columns, one, rest) == ([[True], [False]], False)
    both = term(each, [-1, 0], ((0, 1),), "f")  # the noise, but for the covariance
    assert sums(columns, both)[1] is False
    apart = term(each, [-1, 0], DIAGONAL, "f")
    assert sums(columns, apart) == ([[False, True]], True)


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


@pytest.mark.parametrize("n", [30, 160])
def test_a_way_to_an_exact_fit_of_one_row_is_left_for_a_higher_optimum(n):
    """A row with no slope is fitted exactly where the slopes of all others, one row
    each, have any variance; with 160 rows that way ended 100 lower than no variance.
    """
    rng, each = np.random.default_rng(0), np.arange(n)
    x = rng.normal(size=n)
    x[0] = 0.0
    y = 1 + 0.5 * x + 0.7 * rng.normal(size=n)[each // 3] * x + rng.normal(size=n)
    slope = fit(x[:, None], y, [term(each, [0], ((0,),))], reml=False)
    both = fit(x[:, None], y, [term(each, [-1, 0], DIAGONAL)], reml=False)
    assert not both.exact
    assert_allclose(both.log_likelihood, slope.log_likelihood, atol=1e-6)


def test_the_scatter_of_one_term_alone_is_a_start_with_many_rows_too():
    """Where two factors are roundings of nearly one variable, the likelihood of 130
    rows has two optima, and the start of all terms together led to the lower one.
    """
    rng = np.random.default_rng(13)
    z = rng.standard_normal(130)
    w = 0.9 * z + 0.45 * rng.standard_normal(130)
    g, h = np.round(12 * np.exp(z)).astype(int), np.round(8 * np.exp(w)).astype(int)
    y = np.exp(z) * (5 + 0.5 * rng.standard_normal(130))
    terms = [term(g, [-1], ((0,),), "g"), term(h, [-1], ((0,),), "h")]
    found = fit(np.empty((130, 0)), y, terms)
    others = [search_from(x, 100) for x in random_starts(found.point)]
    lowest = min(other.point.value for other in others)
    assert_allclose(found.point.value, lowest, atol=1e-6)


class Narrow:
    """A value that falls with one variance as far as a millionth of its resolution, as
    beside a modelled noise (a glmmTMB fit of Gcsemv was higher by 1e-4).
    """

    rounding, resolution = 1e-12, staticmethod(lambda t: 1.0)
    covariances = (Covariance(1, ((0,),)),)

    def __init__(self, Lambdas):
        self.model, self.Lambdas = self, Lambdas
        psi = float(Lambdas[0][0, 0] ** 2)
        self.value = 1e-4 * (psi / 1e-6 - 1) ** 2
        self.scores = [np.array([[200.0 * (psi / 1e-6 - 1)]])]
        self.moved = Narrow


def test_the_boundary_is_left_by_ever_smaller_variances():
    found, count = escape(Narrow((np.zeros((1, 1)),)))
    assert found.value < 1e-4
    assert count <= 8


def test_a_step_that_went_too_far_halves_the_next_one():
    """By the slope at its end, which rises by more than half of the fall before."""
    assert next_length(1.0, fall=4.0, rise=2.1) == 0.5
    assert next_length(1.0, fall=4.0, rise=1.9) == 1.0
    assert next_length(0.25, fall=0.5, rise=-1.0) == 0.5
    assert next_length(0.25, fall=0.5, rise=0.3) == 0.125


def test_the_iterative_solver_goes_on_to_effects_far_larger_than_the_noise():
    """On the way the score rises and no step is too far: steps were halved until they
    were so short that this was taken for the root, 300 lower in log-likelihood.
    """
    rng = np.random.default_rng(0)
    n = 120
    first = np.where(rng.random(n) < 0.8, 0, rng.integers(1, 20, size=n))
    other = rng.integers(7, size=n)
    y = rng.normal(size=20)[first] + 4e-3 * rng.normal(size=7)[other]
    y = y + 1e-3 * rng.normal(size=n)
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),), "h")]
    X = np.empty((n, 0))
    direct = fit(X, y, terms, reml=False, solver=("direct",))
    found = fit(X, y, terms, reml=False, solver=("iterative",))
    assert found.converged
    assert_allclose(found.noise_variance, direct.noise_variance, rtol=OF_PROBES)
    for one, other in zip(found.covariances, direct.covariances, strict=True):
        assert_allclose(one, other, rtol=OF_PROBES)


def test_the_better_one_of_two_roots_is_that_of_the_iterative_solver():
    """From no variance it came to a root of the score at which slopes of 0.6, with a
    noise of 0.001, had none: 208 lower in log-likelihood.
    """
    problem = any_mixed_problem(3000890)
    direct = clone(problem.estimator).fit(**problem.data)
    found = clone(problem.estimator).set_params(solver="iterative").fit(**problem.data)
    assert found.converged_
    expected = direct.random_effects_covariance_["g1"][1, 1]
    assert expected > 1e5 * direct.noise_variance_
    got = found.random_effects_covariance_["g1"][1, 1]
    assert_allclose(got, expected, rtol=OF_PROBES)


def test_the_iterative_solver_ends_at_singular_covariances_of_slopes():
    """Errors of the probes were multiplied by the ratio of standard deviations, and the
    search ended nowhere: 101 steps.
    """
    rng, n = np.random.default_rng(1), 200
    X, codes = rng.normal(size=(n, 2)), [rng.integers(K, size=n) for K in (12, 8)]
    y = rng.normal(size=n) + 2 * rng.normal(size=12)[codes[0]]
    blocks = ((0, 1, 2),)
    terms = [term(code, [-1, 0, 1], blocks, f"g{t}") for t, code in enumerate(codes)]
    found = fit(X, y, terms, solver=("iterative",))
    assert found.converged
    assert found.n_iter <= 30


def test_a_boundary_beyond_the_digits_of_a_point_is_not_gone_to(monkeypatch):
    """Beside effects far larger than the noise a smaller variance may leave a matrix
    that has no Cholesky root: this was an error.
    """
    X, y, first, other, _ = simulate(crossed=1.0)
    terms = [term(first, [-1, 0], FULL), term(other, [-1], ((0,),), "h")]
    model = model_of(X, y, terms)
    point = evaluate(model, (np.diag([1.0, 1e-9]), np.eye(1)))
    assert snap(point)[0] is not point

    def beyond(*_):
        raise np.linalg.LinAlgError

    monkeypatch.setattr(type(point), "moved", beyond)
    assert snap(point) == (point, 1)


def test_random_starts_without_random_effects():
    """There is no largest variance of none: this was an error."""
    X, y, *_ = simulate()
    zero = no_variance(model_of(X, y, ()))
    assert len(list(random_starts(zero))) > 0


@pytest.mark.parametrize("seed", range(3))
def test_the_iterative_solver_ends_where_a_penalised_root_is_singular(seed):
    """Effects that explain y exactly leave nothing of a constant, and the part of the
    penalty in the residual sum of squares was an error: "columns of X are dependent".
    """
    rng = np.random.default_rng(seed)
    groups, other = np.arange(22) // 2 % 7, rng.integers(2, size=22)
    y, weight = rng.normal(size=7)[groups], 10.0 ** rng.integers(-4, 5, size=22)
    labels = pd.DataFrame({"g": groups, "h": other})
    model = LinearMixedRegressor(
        "(1 | g) + (1 | h)", alpha=1.0, method="ml", solver="iterative"
    )
    with pytest.warns(UserWarning, match="y is fitted exactly"):
        model.fit(np.zeros((22, 1)), y, groups=labels, sample_weight=weight)


def test_the_iterative_solver_ends_where_nothing_is_solved_for(monkeypatch):
    """On the way to an exact fit it took all iterations for all probes of all steps,
    more than two minutes for 83 rows.
    """
    X, y, first, other, _ = simulate(crossed=1.0)
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),), "h")]
    monkeypatch.setattr(iterative, "MOST_ITERATIONS", 1)
    monkeypatch.setattr(iterative, "MOST_ENTRIES", 0)
    found = fit(X, y, terms, solver=("iterative",))
    assert not found.converged
    assert found.n_iter < 10
