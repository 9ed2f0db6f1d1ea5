"""Starts of the search for covariances, and which of these the data tell."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.searches import (
    DIAGONAL,
    FULL,
    PROBLEMS,
    SAME,
    calendar,
    fit,
    model_of,
    simulate,
    term,
)

from skmixed import RandomInterceptRegressor
from skmixed._likelihood.mixed import evaluate
from skmixed._search import covariances
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
    Optimum,
    search_from,
)


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


# Log-likelihoods of lme4 1.1-31 by bobyqa and nloptwrap: lmer(y ~ x + (x | g)).
ONE_GIANT = {False: -1417.56895983, True: -1420.40004767}
# That of the fit agrees to the digits to which lme4 ends.
AS_LME4 = 1e-6


def one_giant_level(n_rows=1000, n_single=200):
    """A level of many rows beside others of one, which slopes fit exactly."""
    rng = np.random.default_rng([n_rows, n_single, 1, 1])
    codes = np.append(np.zeros(n_rows, int), np.arange(1, n_single + 1))
    x = rng.normal(size=len(codes))
    y = 1 + x + rng.normal(size=n_single + 1)[codes]
    y += 0.5 * rng.normal(size=n_single + 1)[codes] * x
    y += 0.7 * rng.normal(size=len(codes))
    return x[:, None], y, [term(codes.astype(np.int32), [-1, 0], FULL)]


@pytest.mark.parametrize("reml", [False, True])
def test_one_giant_level_does_not_decide_for_all(reml):
    """Its effects were all of the scatter from which the search began: 28 too low."""
    found = fit(*one_giant_level(), reml=reml)
    assert_allclose(found.log_likelihood, ONE_GIANT[reml], rtol=0, atol=AS_LME4)


@pytest.mark.parametrize("sizes, few_tell", [((1000, 200), True), ((1, 200), False)])
def test_few_levels_tell_a_variance_if_their_effective_number_is_small(sizes, few_tell):
    """math.md (223), beside its own sum over levels."""
    X, y, terms = one_giant_level(*sizes)
    zero = no_variance(model_of(X, y, terms, reml=False))
    assert first_points(zero).few_tell is few_tell
    rows = np.bincount(terms[0].codes)
    number = rows.sum() ** 2 / np.sum(rows**2)
    assert bool(number < covariances.UNEVEN * len(rows)) is few_tell


def test_where_few_levels_tell_unit_covariances_compete():
    zero = no_variance(model_of(*one_giant_level()))
    first = first_points(zero)
    for few_tell in (False, True):
        starts = covariances._more_starts(zero, first._replace(few_tell=few_tell))
        unit = [np.array_equal(start.Lambdas[0], np.eye(2)) for start in starts]
        assert sum(unit) == few_tell


def test_a_search_at_another_noise_variance_starts_from_the_same_psi():
    X, y, terms = PROBLEMS["crossed"]
    at = fit(X, 1e3 * y, terms).point
    for ratio in (0.01, 100.0):
        start = at_noise(at, ratio * at.noise_variance)
        assert start.noise_variance == ratio * at.noise_variance
        for L, before in zip(start.Lambdas, at.Lambdas, strict=True):
            assert_allclose(L, before / np.sqrt(ratio))


def test_a_psi_that_is_none_beside_so_little_noise_is_made_smaller(monkeypatch):
    at = fit(*PROBLEMS["crossed"]).point
    monkeypatch.setattr(covariances, "attempt", lambda *_: None)
    start = at_noise(at, 1e-9)
    for L, before in zip(start.Lambdas, at.Lambdas, strict=True):
        assert_allclose(L, before)


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


@pytest.mark.parametrize("noise_variance", [1e-3, 4.0])
def test_a_way_to_an_exact_fit_is_not_gone_again(noise_variance, monkeypatch):
    """The other search is given up a million noise variances above such an end."""
    given, point = [], fit(*PROBLEMS["crossed"]).point
    zero = no_variance(point.model)

    def search(start, max_iter, spent, least):
        given.append(least)
        return Optimum(zero, spent, True)

    monkeypatch.setattr(covariances, "search_from", search)
    end = replace(point, noise_variance=noise_variance)
    for floor, expected in ((1e-9, 0.0), (10.0, 1e6 * noise_variance)):
        at_end = replace(end, model=replace(end.model, floor=floor))
        covariances._regular(Optimum(at_end, 1, True), zero, 100)
        assert given.pop() == expected


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


def test_random_starts_without_random_effects():
    """There is no largest variance of none: this was an error."""
    X, y, *_ = simulate()
    zero = no_variance(model_of(X, y, ()))
    assert len(list(random_starts(zero))) > 0
