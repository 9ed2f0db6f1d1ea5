"""Steps to an optimum of the covariances, and its boundary (docs/math.md, 11.6)."""

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

from skmixed._likelihood.covariance import Covariance
from skmixed._likelihood.mixed import evaluate
from skmixed._search import descent
from skmixed._search.descent import (
    LONGEST,
    Descent,
    descend,
    escape,
    snap,
)


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


class Narrow:
    """A value that falls with one variance as far as a millionth of its resolution, as
    beside a modelled noise (a glmmTMB fit of Gcsemv was higher by 1e-4).
    """

    rounding, resolution = 1e-12, staticmethod(lambda t: 0.25)
    covariances = (Covariance(1, ((0,),)),)

    def __init__(self, Lambdas):
        self.model, self.Lambdas = self, Lambdas
        psi = float(Lambdas[0][0, 0] ** 2)
        self.value = 1e-4 * (psi / 1e-6 - 1) ** 2
        self.scores = [np.array([[200.0 * (psi / 1e-6 - 1)]])]
        self.moved = Narrow


class Valley:
    """The value 1e4 (x - 3)^2 / 2 with a Hessian of which only rounding is left, far
    too large.
    """

    rounding, units = 1e-12, np.ones(1)

    def __init__(self, x):
        self.x, self.model = np.array(x, dtype=float), SimpleNamespace(n=100)
        self.value = float(1e4 * (self.x[0] - 3.0) ** 2 / 2)

    def pivoted(self):
        return self

    def hessian(self):
        return np.array([[1e8]]), True

    def gradient(self):
        return 1e4 * (self.x - 3.0)

    def at(self, x):
        return Valley(x)

    straight = at


def test_steps_that_second_derivatives_without_digits_make_too_short_are_doubled():
    """Else the distance falls by 1e-4 of it in a step."""
    search = Descent(Valley([0.0]))
    for _ in range(8):
        search = search.next()
    assert abs(search.point.x[0] - 3.0) < 0.1
    assert 0.0 < Descent(Valley([0.0])).next().point.x[0] <= LONGEST


def test_the_boundary_is_left_by_ever_smaller_variances():
    found, count = escape(Narrow((np.zeros((1, 1)),)))
    assert found.value < 1e-4
    # From ten times the resolution, 2.5, a tenth at a time, to less than 2e-6.
    assert count == 8


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
