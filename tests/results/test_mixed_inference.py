"""Uncertainty of the variances against differences of the dense likelihood."""

import json
import pickle
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles import mixed
from oracles.mixed_fits import at_fit, fit, posterior_of
from scipy.stats import norm

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed._input.table import Data
from skmixed._likelihood.mixed import second
from skmixed._likelihood.mixed_posterior import error_products
from skmixed._likelihood.normal import t_interval
from skmixed._results import mixed_inference
from skmixed._results.hypotheses import contrast_of
from skmixed._results.mixed_inference import (
    component_intervals,
    mixed_uncertainty,
    noise_interval,
    predictive_freedom,
    predictive_uncertainty,
    variance_parameters,
)
from skmixed._rows.term import Term
from skmixed._search.mixed import fit_mixed
from skmixed.datasets import load_machines, load_sleepstudy

STORED = json.loads((Path(__file__).parents[1] / "stored/contest.json").read_text())
# Second derivatives by differences are right to about 1e-7 in units of the parameters;
# ill-conditioned information multiplies that by some hundred.
DIFFERENCES = 2e-5
CASES = [
    ("one", (1,)),
    ("one", (3,)),
    ("nested", (1, 1)),
    ("nested", (2, 1)),
    ("crossed", (1, 1)),
    ("crossed", (2, 1)),
    ("mixed", (1, 1, 1)),
]


@cache
def regular(case, reml=True, diagonal=False, n=110):
    """The first random problem with no covariance at the boundary, and its fit."""
    for seed in range(100):
        at = mixed.random_problem(seed, *case, diagonal=diagonal, n=n)
        found = fit(at, reml)
        correlations = [
            np.linalg.eigvalsh(Psi / np.sqrt(np.outer(np.diag(Psi), np.diag(Psi))))
            for Psi in found.covariances
            if np.diag(Psi).min() > 1e-3
        ]
        if len(correlations) == len(case[1]) and min(map(np.min, correlations)) > 0.02:
            return at, found
    raise AssertionError("no regular problem")


def contrasts(found):
    """The user's coefficients (intercept first) in terms of working ones."""
    into = found.columns.back
    first = -found.columns.shift @ into
    first[0] += 1
    return np.vstack([first, into])


def uncertainty_of(found):
    return mixed_uncertainty(variance_parameters(found.point), contrasts(found))


@pytest.mark.parametrize(("reml", "diagonal"), [(True, False), (False, True)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_satterthwaite(case, diagonal, reml):
    """math.md (86) and (87)."""
    at, found = regular(case, reml, diagonal)
    got = uncertainty_of(found).freedom(np.eye(4))
    expected = mixed.satterthwaite(at_fit(at, found), reml)
    assert_allclose(got, expected, rtol=DIFFERENCES)
    assert np.ptp(got) > 1


@cache
def singular(q):
    """A problem of one factor with effects in one direction only, and its fit."""
    at = mixed.random_problem(6, "one", q, n=100)
    codes = at.terms[0].codes
    for seed in range(100):
        rng = np.random.default_rng(seed)
        b = rng.normal(size=12) * (q > 1)
        y = at.X @ np.ones(4) + b[codes] * (1 + at.X[:, 1] / 2)
        flat = mixed.replace(at, y=y + rng.normal(size=100))
        found = fit(flat)
        if np.linalg.eigvalsh(found.covariances[0])[0] < 1e-14:
            return flat, found
    raise AssertionError("no singular problem")


@pytest.mark.parametrize("q", [1, 2, 3])
def test_satterthwaite_of_singular_covariances(q):
    """Null directions are no parameters."""
    at, found = singular(q)
    got = uncertainty_of(found).freedom(np.eye(4))
    expected = mixed.satterthwaite(at_fit(at, found), True)
    assert_allclose(got, expected, rtol=DIFFERENCES)


def test_predictive_freedom_without_variance_is_that_of_a_random_intercept():
    """How a variance of 0 may rise counts."""
    at, found = singular(1)
    X, groups = at.X[:, 1:], at.terms[0].codes
    model = RandomInterceptRegressor().fit(X, at.y, groups=groups)
    assert model.at_boundary_
    expected = model.predict_interval(X, groups=groups, distribution="t")
    posterior = posterior_of(found, 3)
    freedom = predictive_freedom(
        predictive_uncertainty(found.point), posterior, X, [groups]
    )
    std = np.sqrt(posterior.variance(X, [groups]) + found.noise_variance)
    bounds = t_interval(posterior.mean(X, [groups]), std, 0.9, freedom)
    assert_allclose(np.column_stack(bounds), expected, rtol=1e-8)


@pytest.mark.parametrize(("reml", "diagonal"), [(True, False), (False, True)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_predictive_freedom(case, reml, diagonal):
    """math.md (89)."""
    at, found = regular(case, reml, diagonal)
    here = at_fit(at, found)
    new = mixed.random_rows(here, n=6)
    codes = [
        np.where(row.codes <= term.codes.max(), row.codes, -1)
        for row, term in zip(new.terms, at.terms, strict=True)
    ]

    def variance(at):
        terms = [
            mixed.replace(row, Psi=term.Psi)
            for row, term in zip(new.terms, at.terms, strict=True)
        ]
        rows = mixed.Rows(new.X, tuple(terms))
        return np.diag(mixed.predict(at, rows)[1]) + at.noise[0]

    posterior = posterior_of(found, 3)
    got = predictive_freedom(
        predictive_uncertainty(found.point), posterior, new.X[:, 1:], codes
    )
    expected = mixed.satterthwaite(here, reml, variance)
    assert_allclose(got, expected, rtol=DIFFERENCES)


def natural(at):
    """Coordinates of every variance: log sigma, log std and Fisher's z of each term."""
    x = [np.log(at.noise[0]) / 2]
    for term in at.terms:
        std = np.sqrt(np.diag(term.Psi))
        corr = term.Psi / np.outer(std, std)
        x.extend(np.log(std))
        if len(term.blocks) == 1:
            x.extend(np.arctanh(corr[np.tril_indices(len(std), -1)]))
    return np.array(x)


def from_natural(at, x):
    psi, start = [], 1
    for term in at.terms:
        q = len(term.Psi)
        std, start = np.exp(x[start : start + q]), start + q
        corr, lower = np.eye(q), np.tril_indices(q, -1)
        if len(term.blocks) == 1:
            corr[lower] = np.tanh(x[start : start + len(lower[0])])
            start += len(lower[0])
        corr += np.tril(corr, -1).T
        psi.append(corr * np.outer(std, std))
    return mixed.with_psi(at, psi, np.exp(2 * x[0]))


@pytest.mark.parametrize(("reml", "diagonal"), [(True, False), (False, True)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_intervals_of_components(case, diagonal, reml):
    """math.md (90)."""
    at, found = regular(case, reml, diagonal)
    here = at_fit(at, found)
    x = natural(here)

    def value(x):
        return -mixed.log_likelihood(from_natural(here, x), reml)

    std = np.sqrt(np.diag(np.linalg.inv(mixed.hessian(value, x))))
    quantile = norm.ppf(0.95)
    low, high = x - quantile * std, x + quantile * std
    parameters = variance_parameters(found.point)
    _, *ends = noise_interval(parameters, 0.9)
    assert_allclose(ends, np.exp([low[0], high[0]]), rtol=1e-5)
    start = 1
    for t, term in enumerate(at.terms):
        q = len(term.Psi)
        stds, corr = component_intervals(parameters, found, t, 0.9)
        some, start = slice(start, start + q), start + q
        assert_allclose(stds[0], np.exp(x[some]), rtol=1e-9)
        assert_allclose(stds[1:], np.exp([low[some], high[some]]), rtol=1e-4)
        lower = np.tril_indices(q, -1)
        if diagonal:
            assert np.isnan(corr[1][lower]).all()
            continue
        some, start = slice(start, start + len(lower[0])), start + len(lower[0])
        estimate, *ends = (figure[lower] for figure in corr)
        assert_allclose(estimate, np.tanh(x[some]), rtol=1e-9)
        assert_allclose(ends, np.tanh([low[some], high[some]]), atol=1e-4)


@pytest.mark.parametrize("name", list(STORED))
def test_f_tests_are_those_of_lmer_test(name):
    """Values stored by tests/stored/contest.R; math.md (88)."""
    load = load_sleepstudy if name.startswith("sleepstudy") else load_machines
    X, y, groups = load(return_X_y_groups=True)
    codes = np.unique(groups, return_inverse=True)[1].astype(np.int32)
    effects = np.arange(-1, 0 if name == "machines_levels" else X.shape[1])
    term = Term("g", np.unique(groups), codes, effects, (tuple(range(len(effects))),))
    found = fit_mixed(Data(X, np.arange(X.shape[1]), None, y), (term,))
    wanted = {
        "machines_levels": [[0, 1, 0], [0, 0, 1]],
        "machines_slopes": [[0, 1, 0], [0, 0, 1]],
        "machines_redundant": [[0, 1, 0], [0, 0, 1], [0, 1, -1]],
        "sleepstudy_both": [[1, 0], [0, 1]],
    }[name]
    expected = STORED[name]
    test = contrast_of(Coefficients(found), ["a"] * len(wanted), np.array(wanted), 0.9)
    # lmerTest differentiates numerically: some 4 digits.
    assert test.df[0] == expected["numerator"]
    assert_allclose(test.df[1], expected["denominator"], rtol=1e-4)
    assert_allclose(test.f_statistic, expected["statistic"], rtol=1e-5)
    assert_allclose(test.p_value, expected["p"], rtol=1e-3)


class Coefficients:
    """A fit as far as contrasts look at it."""

    def __init__(self, found):
        self.uncertainty = uncertainty_of(found)
        self.posterior = posterior_of(found, len(found.mean))
        self.features = found.mean
        coef, level = found.columns.coefficients(found.point.factor.beta)
        self.coefficients = np.append(level - found.columns.shift @ coef, coef)

    def coefficient_uncertainty(self):
        return self.uncertainty


def test_differences_of_the_gradient_stand_for_exact_second_derivatives(monkeypatch):
    for _, found in (regular(("one", (3,))), singular(2), regular(("crossed", (2, 1)))):
        exact = variance_parameters(found.point)
        monkeypatch.setattr(mixed_inference, "second", without_traces)
        other = variance_parameters(found.point)
        monkeypatch.undo()
        size = np.sqrt(np.diag(exact.information))
        difference = (other.information - exact.information) / np.outer(size, size)
        assert np.abs(difference).max() < 1e-6


def without_traces(point, directions):
    """Second derivatives where their traces cost too much."""
    return mixed.replace(second(point, directions), traces=None)


def test_intervals_at_the_boundary():
    """No interval for what has none: a variance of 0, a correlation of 1."""
    _, found = singular(2)
    stds, corr = component_intervals(variance_parameters(found.point), found, 0, 0.9)
    assert (np.diff([stds[1], stds[0], stds[2]], axis=0) > 0).all()
    assert_allclose(np.abs(corr[0]), 1.0)
    assert np.isnan(corr[1]).all()
    _, found = singular(1)
    (_, low, high), _ = component_intervals(
        variance_parameters(found.point), found, 0, 0.9
    )
    assert low == 0
    assert np.isnan(high)


def test_intervals_of_next_to_no_information():
    """Ends that are beyond the range of double precision are not known."""
    _, found = singular(2)
    parameters = variance_parameters(found.point)
    size = len(parameters.information)
    parameters = mixed.replace(parameters, covariance=1e8 * np.eye(size))
    stds, _ = component_intervals(parameters, found, 0, 0.9)
    for _, low, high in (stds, noise_interval(parameters, 0.9)):
        assert (low == 0).all()
        assert np.isnan(high).all()


@pytest.mark.parametrize("case", [("one", (2,)), ("crossed", (1, 1))], ids=str)
def test_an_exact_fit_tells_nothing_about_its_variances(case):
    at = mixed.random_problem(6, *case)
    effects = np.arange(at.terms[0].codes.max() + 1) ** 2
    at = mixed.replace(at, y=at.X @ np.ones(4) + effects[at.terms[0].codes])
    found = fit(at)
    assert found.point.at_floor
    uncertainty = uncertainty_of(found)
    assert np.isnan(uncertainty.freedom(np.eye(4))).all()
    parameters = variance_parameters(found.point)
    assert np.isnan(noise_interval(parameters, 0.9)[1])
    (*_, high), _ = component_intervals(parameters, found, 0, 0.9)
    assert np.isnan(high).all()
    X, codes = at.X[:, 1:], [term.codes for term in at.terms]
    freedom = predictive_freedom(
        predictive_uncertainty(found.point), posterior_of(found, 3), X, codes
    )
    assert np.isinf(freedom).all()


def test_rows_are_asked_some_at_a_time(monkeypatch):
    """Crossed factors of 4,128 effects took 7 GB for 73,421 rows."""
    rng = np.random.default_rng(0)
    groups = pd.DataFrame({"a": rng.integers(30, size=200), "b": np.arange(200) % 20})
    y = rng.normal(size=30)[groups["a"]] + rng.normal(size=20)[groups["b"]]
    model = LinearMixedRegressor().fit(
        np.empty((200, 0)), y + rng.normal(size=200), groups=groups
    )
    how = {"groups": groups, "distribution": "t"}
    expected, sizes = model.predict_interval(np.empty((200, 0)), **how), []

    def products(posterior, X, codes):
        sizes.append(len(X))
        return error_products(posterior, X, codes)

    monkeypatch.setattr(mixed_inference, "AT_ONCE", 400)
    monkeypatch.setattr("skmixed._input.blocks.BLOCK_SIZE", 1)
    monkeypatch.setattr(mixed_inference, "error_products", products)
    found = model.predict_interval(np.empty((200, 0)), **how)
    assert max(sizes) == 400 // 50
    assert_allclose(found, expected, rtol=1e-12)


def test_the_likelihood_is_factored_once_for_intervals_of_predictions(monkeypatch):
    """Every call took as long as the summary."""
    X, y, groups = load_sleepstudy(return_X_y_groups=True)
    model = LinearMixedRegressor("(1 + x0 | groups)")
    model.fit(np.asarray(X), y, groups=groups)
    before = pickle.dumps(model)
    expected = model.predict_interval(X, groups=groups, distribution="t")
    assert pickle.dumps(model) == before
    monkeypatch.setattr(mixed_inference, "second", None)
    found = model.predict_interval(X, groups=groups, distribution="t")
    assert_allclose(found, expected, rtol=0)
