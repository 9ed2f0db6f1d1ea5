"""Criteria of fewer columns against those of all, and the time that they save."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import block_covariance, log_likelihood, with_intercept

from skmixed import RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood import condensed
from skmixed._likelihood.criterion import deviance, residual_freedom
from skmixed._likelihood.random_intercept import evaluate, slope

# Sums of squares in another order, of columns with condition numbers of some hundreds.
SAME = 1e-9
OPTIONS = [{}, {"method": "ml"}, {"alpha": 2.0}, {"alpha": 2.0, "method": "ml"}]


def wide(n=80, p=20, n_groups=6, seed=0):
    """More columns than groups, some of them constant within groups."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(n) % n_groups)
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-3, 4, size=p)
    X[:, ::7] = X[:n_groups, ::7][groups]
    y = X[:, 1] / X[:, 1].std() + rng.normal(size=n_groups)[groups] + rng.normal(size=n)
    return X, y, groups


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_criterion_differs_by_a_constant(options, fit_intercept, monkeypatch):
    """math.md (18a): value, slope, degrees of freedom and noise variance."""
    monkeypatch.setattr(condensed, "FEWEST_COLUMNS", 1)
    X, y, groups = wide()
    estimator = RandomInterceptRegressor(fit_intercept=fit_intercept, **options)
    _, model = fit_of(estimator.fit(X, y, groups=groups)).likelihood
    other = condensed.condense(model)
    assert other.gram.R12.shape[2] <= 12 < model.gram.R12.shape[2]
    differences = []
    for ratio in (0.0, 1e-6, 0.1, 1.0, 30.0, 1e12):
        at, also = evaluate(model, ratio), evaluate(other, ratio)
        assert_allclose(also.noise_variance, at.noise_variance, rtol=SAME)
        freedom = [
            residual_freedom(*pair)
            for pair in ((other, also.factor), (model, at.factor))
        ]
        assert_allclose(*freedom, rtol=SAME)
        for got, expected in zip(slope(other, also), slope(model, at), strict=True):
            assert_allclose(got, expected, rtol=SAME, atol=SAME)
        differences.append(deviance(other, also) - deviance(model, at))
    if not (options.get("alpha") and options.get("method") != "ml"):
        assert_allclose(differences, differences[0], rtol=SAME, atol=1e-7)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_fit_by_fewer_columns_is_that_by_all(options, monkeypatch):
    X, y, groups = wide()
    monkeypatch.setattr(condensed, "FEWEST_COLUMNS", 10**6)
    expected = RandomInterceptRegressor(**options).fit(X, y, groups=groups)
    monkeypatch.setattr(condensed, "FEWEST_COLUMNS", 1)
    model = RandomInterceptRegressor(**options).fit(X, y, groups=groups)
    assert_allclose(model.group_variance_, expected.group_variance_, rtol=1e-7)
    assert_allclose(model.log_likelihood_, expected.log_likelihood_, rtol=1e-12)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-6, atol=1e-9)


def test_few_columns_and_those_that_are_hardly_independent_stay():
    X, y, groups = wide()
    fit = fit_of(RandomInterceptRegressor().fit(X, y, groups=groups))
    _, model = fit.likelihood
    assert condensed.condense(model) is model
    R22 = model.gram.R22.copy()
    R22[:, 3] = R22[:, 2] * (1 + 1e-12)
    near = replace(model, gram=replace(model.gram, R22=R22))
    assert not condensed._is_well_conditioned(R22[:, 1:4], 3)
    assert condensed.condense(near) is near


def test_more_columns_than_rows():
    """Nothing is as large as the square of the columns."""
    rng = np.random.default_rng(0)
    groups = np.arange(50) % 10
    X = rng.normal(size=(50, 20_000))
    y = X[:, 0] + rng.normal(size=10)[groups] + rng.normal(size=50)
    model = RandomInterceptRegressor(alpha=1e4).fit(X, y, groups=groups)
    # The same ridge by the kernel of the rows, n x n.
    scale = model.noise_variance_ / 1e4
    V = block_covariance(groups, model.noise_variance_, model.group_variance_)
    V = V + scale * X @ X.T
    ones = np.ones((50, 1))
    weights = np.linalg.solve(V, np.column_stack([ones, y]))
    level = ones[:, 0] @ weights[:, 1] / (ones[:, 0] @ weights[:, 0])
    coef = scale * X.T @ (weights[:, 1] - level * weights[:, 0])
    assert_allclose(model.intercept_, level, rtol=1e-8)
    assert_allclose(model.coef_, coef, rtol=1e-6, atol=1e-12)
    assert np.isfinite(model.predict(X[:3], groups=groups[:3], return_std=True)).all()


def test_many_columns_against_the_dense_oracle():
    rng = np.random.default_rng(1)
    groups = rng.integers(8, size=150)
    X = rng.normal(size=(150, 40))
    y = X[:, 0] + rng.normal(size=8)[groups] + rng.normal(size=150)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    best = model.log_likelihood_
    for noise, group in [(1, 1), (1.01, 1), (1, 1.01), (0.99, 1), (1, 0.99)]:
        V = block_covariance(
            groups, noise * model.noise_variance_, group * model.group_variance_
        )
        value = log_likelihood(with_intercept(X), y, V, reml=True)
        assert value <= best + 1e-9
        if noise == group == 1:
            assert_allclose(value, best, rtol=1e-12)


def test_roots_that_are_not_solved_for():
    """Fewer rows than columns, and a column that the others nearly determine."""
    assert condensed._is_well_conditioned(np.eye(3), 2)
    assert not condensed._is_well_conditioned(np.eye(3)[:1], 2)
    assert not condensed._is_well_conditioned(np.array([[1.0, 1.0], [0.0, 1e-9]]), 2)
