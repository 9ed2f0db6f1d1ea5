"""The search for a log-variance beside random effects (docs/math.md, section 16)."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.searches import (
    DIAGONAL,
    FULL,
    PROBLEMS,
    SAME,
    data_of,
    fit,
    term,
)

from skmixed import LinearMixedRegressor
from skmixed._search import modelled_noise
from skmixed._search.descent import (
    descend,
)
from skmixed._search.heteroscedastic.search import best_optimum as best_of_one_factor
from skmixed._search.mixed import fit_mixed
from skmixed._search.modelled_noise import Noise
from skmixed._search.race import race


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
