"""The factor against dense matrices."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import (
    block_covariance,
    generalised_least_squares,
    log_likelihood,
    simulate,
    with_intercept,
)
from oracles.small import gram_of

from skmixed._likelihood.criterion import deviance
from skmixed._likelihood.factor import factorize
from skmixed._likelihood.random_intercept import RandomIntercept, evaluate, slope
from skmixed._rows.gram import Gram, random_intercept_gram

# The dense oracle solves with matrices of condition up to 1e3, in double precision.
DENSE = 1e-10
# Central differences with this step, of a function of order 100.
STEP, DIFFERENCES = 1e-5, 2e-6


@pytest.mark.parametrize("ratio", [0.0, 1e-3, 0.7, 1e4])
def test_factor_equals_dense_algebra(ratio):
    """math.md (10) to (16)."""
    X, y, groups = simulate()
    factor = factorize(gram_of(X, y, groups), np.array([[np.sqrt(ratio)]]))
    V, D = block_covariance(groups, 1.0, ratio), with_intercept(X)
    beta, covariance = generalised_least_squares(D, y, V)
    residual = y - D @ beta
    Z = np.eye(12)[groups]
    gain = ratio * np.linalg.solve(V, Z).T
    assert_allclose(factor.logdet, np.linalg.slogdet(V)[1], rtol=DENSE, atol=DENSE)
    assert_allclose(factor.beta, beta, rtol=DENSE)
    assert_allclose(factor.rss, residual @ np.linalg.solve(V, residual), rtol=DENSE)
    assert_allclose(factor.logdet_x, -np.linalg.slogdet(covariance)[1], rtol=DENSE)
    assert_allclose(factor.root_inverse @ factor.root_inverse.T, covariance, rtol=1e-9)
    assert_allclose(factor.modes()[:, 0], gain @ residual, rtol=1e-9, atol=1e-12)
    modes_covariance = ratio * np.eye(12) - gain @ (ratio * Z)
    expected = np.diag(modes_covariance)
    assert_allclose(factor.modes_covariance()[:, 0, 0], expected, rtol=1e-6)
    assert_allclose(
        factor.effects(np.eye(4))[:, 0, 1:], gain @ D, rtol=1e-9, atol=1e-12
    )


def test_two_random_effects_equal_dense_algebra():
    """math.md (7), and (10) to (16). The factor is written for q columns: intercept and
    slope, with correlation.
    """
    X, y, groups = simulate(n=100)
    z = np.column_stack([np.ones(100), X[:, 0]])
    A = np.column_stack([with_intercept(X), y])
    weight = np.random.default_rng(1).uniform(0.5, 2, 100)
    R11, R12, below = [], [], []
    for g in range(12):
        rows = groups == g
        both = np.sqrt(weight[rows])[:, None] * np.hstack([z[rows], A[rows]])
        R = np.zeros((7, 7))
        R_rows = np.linalg.qr(both, mode="r")
        R[: len(R_rows)] = R_rows
        R11.append(R[:2, :2])
        R12.append(R[:2, 2:])
        below.append(R[2:, 2:])
    R22 = np.linalg.qr(np.vstack(below), mode="r")
    gram = Gram(np.array(R11), np.array(R12), R22, np.ones(12))
    Lambda = np.array([[1.3, 0.0], [-0.4, 0.6]])
    factor = factorize(gram, Lambda)

    Psi = Lambda @ Lambda.T
    V = np.diag(1 / weight) + (z @ Psi @ z.T) * (groups[:, None] == groups)
    D = with_intercept(X)
    beta, covariance = generalised_least_squares(D, y, V)
    residual = y - D @ beta
    logdet = np.linalg.slogdet(V)[1] + np.sum(np.log(weight))
    assert_allclose(factor.logdet, logdet, rtol=DENSE)
    assert_allclose(factor.beta, beta, rtol=DENSE)
    assert_allclose(factor.rss, residual @ np.linalg.solve(V, residual), rtol=DENSE)
    assert_allclose(factor.logdet_x, -np.linalg.slogdet(covariance)[1], rtol=DENSE)
    for g in range(12):
        rows = groups == g
        gain = Psi @ z[rows].T @ np.linalg.inv(V[np.ix_(rows, rows)])
        assert_allclose(factor.modes()[g], gain @ residual[rows], rtol=1e-9)
        assert_allclose(factor.modes_covariance()[g], Psi - gain @ z[rows] @ Psi)
        assert_allclose(
            factor.effects(np.eye(D.shape[1]))[g, :, 1:],
            gain @ D[rows],
            rtol=1e-9,
            atol=1e-12,
        )

    for reml in (True, False):
        value = deviance_of(gram, Lambda, 100, reml) - np.sum(np.log(weight))
        sigma2 = deviance_variance(gram, Lambda, 100, reml)
        assert_allclose(value, -2 * log_likelihood(D, y, sigma2 * V, reml), rtol=DENSE)
        check_slope_of_scale(gram, Lambda, reml)


def q_model(gram, n, reml):
    return RandomIntercept(gram, n, reml, floor=1e-20)


def evaluate_q(model, Lambda):
    """`evaluate` at a matrix in place of the root of a ratio."""
    factor = factorize(model.gram, Lambda)
    at = evaluate(q_model(random_intercept_gram(*trivial(model)), model.n, True), 0.0)
    freedom = model.n - (len(factor.root) - 1 if model.reml else 0)
    return replace(
        at, factor=factor, noise_variance=factor.rss / freedom, rss=factor.rss
    )


def trivial(model):
    m = model.gram.R12.shape[2]
    return np.ones(1), np.ones((1, m)), np.eye(m)


def deviance_of(gram, Lambda, n, reml):
    model = q_model(gram, n, reml)
    return deviance(model, evaluate_q(model, Lambda))


def deviance_variance(gram, Lambda, n, reml):
    return evaluate_q(q_model(gram, n, reml), Lambda).noise_variance


def check_slope_of_scale(gram, Lambda, reml):
    """The slope is that in t where Lambda is scaled by exp(t / 2)."""
    up, down = (
        deviance_of(gram, Lambda * np.exp(s * STEP / 2), 100, reml) for s in (1, -1)
    )
    model = q_model(gram, 100, reml)
    value, _ = slope(model, evaluate_q(model, Lambda))
    assert_allclose(value, (up - down) / (2 * STEP), rtol=DIFFERENCES, atol=1e-6)


def test_no_digit_is_lost_at_a_huge_group_variance():
    """Ratio 1e24, where A22 - L21'L21 of cross-products is not even positive."""
    X, y, groups = simulate(n=300, n_groups=20)
    y = y + 1e6 * np.random.default_rng(5).normal(size=20)[groups]
    factor = factorize(gram_of(X, y, groups), np.array([[1e12]]))
    A = np.column_stack([X, y])
    Z = np.eye(20)[groups]
    within = A - Z @ np.linalg.lstsq(Z, A, rcond=None)[0]
    fixed = np.linalg.lstsq(within[:, :3], within[:, 3], rcond=None)[0]
    assert_allclose(factor.beta[1:], fixed, rtol=1e-9)
