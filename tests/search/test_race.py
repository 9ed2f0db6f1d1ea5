"""Searches from several starts that take turns (docs/math.md, 11.6)."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.searches import PROBLEMS, SAME, fit

from skmixed._search.covariances import (
    no_variance,
    random_starts,
)
from skmixed._search.descent import (
    Descent,
    Optimum,
    search_from,
)
from skmixed._search.race import basin_of, creeps_above, race

# Relative: the third derivatives over so small a way.
CURVED = 0.02


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
