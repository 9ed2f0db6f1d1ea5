"""Answers of a fitted linear mixed model, against the dense oracle at the
fitted variances.
"""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import mixed
from oracles.mixed_fits import at_fit, fit, posterior_of
from scipy.stats import multivariate_normal

from skmixed import LinearMixedRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood.mixed_posterior import (
    MixedPosterior,
    observe,
)
from skmixed._results.state import from_plain, read_only, to_plain

# Figures of order 1; the oracle solves with matrices of condition up to 1e4.
DENSE = 1e-8

CASES = [
    ("one", (1,)),
    ("one", (3,)),
    ("nested", (1, 1)),
    ("nested", (2, 2)),
    ("nested3", (1, 2, 1)),
    ("crossed", (1, 1)),
    ("crossed", (2, 2)),
    ("crossed3", (1, 2, 1)),
    ("mixed", (1, 1, 1)),
    ("mixed", (2, 1, 2)),
]


@pytest.mark.parametrize(
    ("diagonal", "reml", "alpha"), [(False, True, 0.0), (True, False, 2.0)]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_posterior_of_a_fit(case, diagonal, reml, alpha):
    at = mixed.random_problem(5, *case, diagonal=diagonal, weights=True, n=120)
    found = fit(at, reml, alpha)
    here = at_fit(at, found, alpha)
    posterior = posterior_of(found, 3)
    new = mixed.random_rows(here)
    codes = [
        np.where(row.codes <= term.codes.max(), row.codes, -1)
        for row, term in zip(new.terms, at.terms, strict=True)
    ]
    mean, covariance = mixed.predict(here, new)
    X = new.X[:, 1:]
    assert_allclose(posterior.mean(X, codes), mean, rtol=DENSE)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)
    for t, term in enumerate(at.terms):
        modes, known, error = mixed.random_effects(here, t, range(term.codes.max() + 1))
        assert_allclose(posterior.modes(t), modes, rtol=DENSE, atol=DENSE)
        got = posterior.conditional_covariance(t)
        assert_allclose(got, known, rtol=DENSE, atol=DENSE)
        assert_allclose(posterior.error_covariance(t), error, rtol=DENSE, atol=DENSE)


@pytest.mark.parametrize("case", [("nested", (2, 1)), ("crossed", (1, 2))], ids=str)
def test_a_posterior_is_stored_as_arrays(case):
    """And predicts, learns and draws from arrays that nobody may write into."""
    at = mixed.random_problem(5, *case)
    posterior = posterior_of(fit(at), 3)
    plain = to_plain(posterior)
    stored = pickle.dumps(plain)
    assert b"skmixed" not in stored
    assert b"scipy" not in stored
    back = read_only(from_plain(MixedPosterior, pickle.loads(stored)))
    X, codes = at.X[:, 1:], [term.codes for term in at.terms]
    assert (back.mean(X, codes) == posterior.mean(X, codes)).all()
    assert (back.variance(X, codes) == posterior.variance(X, codes)).all()
    noise = np.ones(len(X))
    density = [
        p.joint_log_density(X, at.y, codes, codes, noise) for p in (back, posterior)
    ]
    assert density[0] == density[1]
    learnt = [observe(p, X, at.y, codes, noise) for p in (back, posterior)]
    assert (learnt[0].variance(X, codes) == learnt[1].variance(X, codes)).all()


def test_predictions_of_several_threads_are_those_of_one():
    at = mixed.random_problem(5, "crossed", (1, 2), n=500)
    X, codes = at.X[:, 1:], [term.codes for term in at.terms]
    expected = posterior_of(fit(at), 3).variance(X, codes)
    posterior = posterior_of(fit(at), 3)  # with nothing computed yet
    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(posterior.variance, X, codes) for _ in range(32)]
    assert all((call.result() == expected).all() for call in calls)


def test_without_factors():
    at = mixed.random_problem(5, "one", 1)
    at = mixed.replace(at, terms=())
    posterior = posterior_of(fit(at), 3)
    new = np.random.default_rng(0).normal(size=(200, 3))
    mean, covariance = mixed.predict(
        at_fit(at, fit(at)), mixed.Rows(np.column_stack([np.ones(200), new]), ())
    )
    assert_allclose(posterior.mean(new, []), mean, rtol=DENSE)
    assert_allclose(posterior.variance(new, []), np.diag(covariance), rtol=DENSE)
    noise, y = np.ones(200), np.zeros(200)
    got = posterior.joint_log_density(new, y, [], [], noise)
    expected = multivariate_normal(mean, covariance + np.eye(200)).logpdf(y)
    assert_allclose(got, expected, rtol=1e-9)
    draws = posterior.sample(new, [], [], noise, 3, np.random.RandomState(0))
    assert draws.shape == (200, 3)


@pytest.mark.parametrize(
    "case",
    [("one", (2,)), ("nested", (2, 1)), ("crossed", (1, 1)), ("crossed", (2, 1))],
)
def test_effects_of_ten_thousand_standard_deviations_of_the_noise(case):
    at = mixed.random_problem(5, *case, n=60)
    rng = np.random.default_rng(1)
    y = at.X @ np.ones(4) + rng.normal(size=60)
    for term in at.terms:
        effects = 1e4 * rng.normal(size=(term.codes.max() + 1, term.Z.shape[1]))
        y += np.sum(term.Z * effects[term.codes], axis=1)
    at = mixed.replace(at, y=y)
    found = fit(at)
    here, posterior = at_fit(at, found), posterior_of(found, 3)
    X, codes = at.X[:, 1:], [term.codes for term in at.terms]
    mean, covariance = mixed.predict(here, mixed.Rows(at.X, here.terms))
    # The oracle solves with matrices of condition 1e9.
    assert_allclose(posterior.mean(X, codes), mean, atol=1e-6)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=1e-5)
    noise = np.full(60, found.noise_variance)
    learnt = observe(posterior, X[::2], y[::2] + 1, [c[::2] for c in codes], noise[::2])
    more = mixed.Rows(
        at.X[::2],
        tuple(mixed.replace(t, Z=t.Z[::2], codes=t.codes[::2]) for t in here.terms),
    )
    rows = mixed.Rows(at.X, here.terms)
    mean, covariance = mixed.predict_after(here, more, y[::2] + 1, noise[0], rows)
    assert_allclose(learnt.mean(X, codes), mean, atol=1e-5)
    assert_allclose(learnt.variance(X, codes), np.diag(covariance), rtol=1e-4)


def test_totals_of_coefficients_and_effects():
    """The line of a level, and its standard errors: rows that are unit vectors."""
    at = mixed.random_problem(5, "crossed", (2, 1), n=120)
    groups = np.column_stack([term.codes for term in at.terms])
    terms = "(x0 | g0) + (1 | g1)"
    model = LinearMixedRegressor(terms).fit(at.X[:, 1:], at.y, groups=groups)
    Psi = model.random_effects_covariance_.values()
    here = mixed.with_psi(at, Psi, model.noise_variance_)
    for t in range(2):
        values, std = fit_of(model).totals(t)
        K, q = values.shape
        for j in range(q):
            X, none = np.tile(np.eye(4)[j], (K, 1)), -np.ones(K, dtype=int)
            Z = [np.zeros((K, 2)), np.zeros((K, 1))]
            Z[t] = X[:, :q]
            codes = [np.arange(K) if s == t else none for s in range(2)]
            mean, covariance = mixed.predict(here, mixed.rows(here, X, Z, codes))
            assert_allclose(values[:, j], mean, rtol=DENSE)
            assert_allclose(std[:, j] ** 2, np.diag(covariance), rtol=DENSE)
