"""The search by the iterative solver (docs/math.md, section 19)."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles.random_terms import any_mixed_problem
from oracles.searches import fit, simulate, term
from sklearn.base import clone

from skmixed import LinearMixedRegressor
from skmixed._likelihood import iterative
from skmixed._search import iterative as search

# Relative: what the probes of the iterative solver leave of a variance.
OF_PROBES = 0.2


def test_a_step_that_went_too_far_halves_the_next_one():
    """By the slope at its end, which rises by more than half of the fall before."""
    assert search._next_length(1.0, fall=4.0, rise=2.1) == 0.5
    assert search._next_length(1.0, fall=4.0, rise=1.9) == 1.0
    assert search._next_length(0.25, fall=0.5, rise=-1.0) == 0.5
    assert search._next_length(0.25, fall=0.5, rise=0.3) == 0.125


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


def test_the_iterative_solver_ends_where_no_step_moves_it(monkeypatch):
    X, y, first, other, _ = simulate(crossed=1.0)
    terms = [term(first, [-1], ((0,),)), term(other, [-1], ((0,),), "h")]
    here = fit(X, y, terms, solver=("iterative",)).point.Lambdas
    monkeypatch.setattr(search, "CONVERGED", -1.0)
    monkeypatch.setattr(search, "_raised", lambda *_: here)
    found = fit(X, y, terms, solver=("iterative",))
    assert found.converged
    assert found.n_iter < 12


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
