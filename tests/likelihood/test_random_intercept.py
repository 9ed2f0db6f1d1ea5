"""The criterion and its slope against dense densities and finite differences."""

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
from oracles.small import model_of

from skmixed._likelihood.criterion import deviance
from skmixed._likelihood.random_intercept import evaluate, slope

# The dense oracle solves with matrices of condition up to 1e3, in double precision.
DENSE = 1e-10
# Central differences with this step, of a function of order 100.
STEP, DIFFERENCES = 1e-5, 2e-6


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 1e-4, 0.4, 30.0])
def test_deviance_is_the_dense_normal_density(reml, ratio):
    """math.md (1) to (4)."""
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    at = evaluate(model, ratio)
    V = block_covariance(groups, at.noise_variance, ratio * at.noise_variance)
    expected = log_likelihood(with_intercept(X), y, V, reml)
    assert_allclose(deviance(model, at), -2 * expected, rtol=DENSE)


@pytest.mark.parametrize("reml", [True, False])
def test_the_noise_variance_is_profiled(reml):
    """math.md (17). No other noise variance at the same ratio has a higher density."""
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    at = evaluate(model, 0.4)
    values = [
        log_likelihood(with_intercept(X), y, block_covariance(groups, v, 0.4 * v), reml)
        for v in at.noise_variance * np.array([0.999, 1, 1.001])
    ]
    assert np.argmax(values) == 1


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("log_ratio", [-9.0, -1.0, 0.5, 4.0])
def test_slope_is_the_derivative(reml, log_ratio):
    """math.md (18)."""
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    up, down = (
        deviance(model, evaluate(model, np.exp(log_ratio + s * STEP))) for s in (1, -1)
    )
    value, _ = slope(model, evaluate(model, np.exp(log_ratio)))
    assert_allclose(value, (up - down) / (2 * STEP), rtol=DIFFERENCES, atol=1e-6)


def test_slope_of_the_penalised_likelihood():
    """math.md (18) and (22). ML: d(n log sigma^2 + log|V0|), sigma^2 from the penalised
    sum of squares.
    """
    X, y, groups = simulate()
    penalty = np.sqrt(5.0) * np.eye(5)[1:4]
    model = model_of(X, y, groups, False, penalty=penalty)

    def objective(log_ratio):
        at = evaluate(model, np.exp(log_ratio))
        return len(y) * np.log(at.noise_variance) + at.factor.logdet

    value, _ = slope(model, evaluate(model, np.exp(-1.0)))
    expected = (objective(-1 + STEP) - objective(-1 - STEP)) / (2 * STEP)
    assert_allclose(value, expected, rtol=DIFFERENCES, atol=1e-6)


def test_slope_of_penalised_reml_is_the_estimating_equation():
    """math.md (23). Written out densely: traces of V^-1 ZZ' with the penalised
    projection.
    """
    X, y, groups = simulate()
    penalty = np.sqrt(5.0) * np.eye(5)[1:4]
    model = model_of(X, y, groups, True, penalty=penalty)
    ratio = 0.3
    at = evaluate(model, ratio)
    V, D = block_covariance(groups, 1.0, ratio), with_intercept(X)
    P = penalty[:, :4].T @ penalty[:, :4]
    beta, covariance = generalised_least_squares(D, y, V, P)
    residual = y - D @ beta
    inverse = np.linalg.inv(V)
    hat = D @ covariance @ D.T @ inverse
    freedom = len(y) - np.trace(hat)
    sigma2 = residual @ inverse @ residual / freedom
    ZZ = (groups[:, None] == groups).astype(float)
    expected = ratio * (
        np.trace(inverse @ ZZ)
        - residual @ inverse @ ZZ @ inverse @ residual / sigma2
        - np.trace(covariance @ D.T @ inverse @ ZZ @ inverse @ D)
    )
    assert_allclose(at.noise_variance, sigma2, rtol=DENSE)
    assert_allclose(slope(model, at)[0], expected, rtol=1e-8)
