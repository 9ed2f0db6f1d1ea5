"""A log-variance beside any random effects: the criterion against the dense covariance,
its derivatives against differences (docs/math.md, section 16).
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles import mixed as dense
from oracles.modelled_noise import STRUCTURES, random_noise_problem

from skmixed._likelihood import effects_of_rows, modelled_noise
from skmixed._likelihood.effects_of_rows import covariance_times, effect_variances

# Differences of a criterion of some hundreds with steps of 1e-5.
DIFFERENCES = 1e-7
STEP = 1e-5


def differences(function, x):
    """Central differences of a function of any shape."""
    steps = STEP * np.eye(len(x))
    return np.array([(function(x + e) - function(x - e)) / (2 * STEP) for e in steps])


def settings():
    return pytest.mark.parametrize(
        ("reml", "alpha"), [(True, 0.0), (False, 0.0), (False, 3.0)]
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@settings()
def test_value_is_that_of_the_dense_covariance(structure, reml, alpha):
    """docs/math.md (110) and (111)."""
    problem = random_noise_problem(structure, reml=reml, alpha=alpha)
    point = problem.point

    at = problem.dense()

    expected = -2 * dense.log_likelihood(at, reml)
    ridge = point.gamma @ point.noise.penalty @ point.gamma
    beta = dense.coefficients(at)[0]
    ridge += beta @ at.penalty @ beta
    assert point.value == pytest.approx(expected + ridge, rel=1e-11)


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize("structure", STRUCTURES)
@settings()
def test_score_and_information_are_derivatives(
    structure, reml, alpha, by_rows, monkeypatch
):
    """docs/math.md (113), (114), (116) and (215)."""
    monkeypatch.setattr(modelled_noise, "_are_rows_fewer", lambda _: by_rows)
    point = random_noise_problem(structure, reml=reml, alpha=alpha).point

    gradient = differences(lambda x: point.at(x).value, point.x)
    hessian = differences(lambda x: point.at(x).gradient(), point.x)
    H, is_exact = point.hessian()

    assert is_exact
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(point.gradient(), gradient, atol=DIFFERENCES * scale)
    scale = np.abs(hessian).max()
    np.testing.assert_allclose(H, hessian, atol=DIFFERENCES * scale)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_average_information_is_that_of_dense_products(structure, monkeypatch):
    """docs/math.md (115)."""
    monkeypatch.setattr(modelled_noise, "FEW_EFFECTS", 0)
    problem = random_noise_problem(structure)
    point, at = problem.point, problem.dense()
    covariances = point.model.covariances
    directions = [
        c.directions(L) for c, L in zip(covariances, point.Lambdas, strict=True)
    ]

    found = modelled_noise.second_of_all(point, directions)

    V_inverse = np.linalg.inv(at.V)
    covariance = np.linalg.inv(at.X.T @ V_inverse @ at.X)
    P = V_inverse - V_inverse @ at.X @ covariance @ at.X.T @ V_inverse
    variates = [V @ P @ at.y for V in problem.slopes_of_V(directions)]
    expected = np.array([[f @ P @ g for g in variates] for f in variates])
    assert not found.is_exact
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.squares, expected, atol=1e-10 * scale)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("spread", [0.1, 1.0])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
def test_bend_of_the_effects_is_that_of_dense_rows(structure, spread, reml):
    """docs/math.md (220), where residuals are smaller than the noise and elsewhere."""
    problem = random_noise_problem(structure, reml=reml)
    point = problem.point.held(problem.point.noise_variance / spread**2)
    problem = replace(problem, point=point)
    at, S = problem.dense(), point.noise.rows.S

    found = modelled_noise.bend_of_effects(point)

    V_inverse = np.linalg.inv(at.V)
    covariance = np.linalg.inv(at.X.T @ V_inverse @ at.X)
    P = V_inverse - V_inverse @ at.X @ covariance @ at.X.T @ V_inverse
    a = problem.data.weight
    noise = point.noise_variance * np.exp(problem.spread) / a
    of_traces = P if reml else V_inverse
    part, of_all = ((1 - noise * np.diag(A)) / a for A in (of_traces, P))
    bend = part * a * (1 - part) - of_all * noise * (P @ at.y) ** 2
    values, vectors = np.linalg.eigh(S.T @ (bend[problem.order][:, None] * S))
    expected = (vectors * np.maximum(values, 0.0)) @ vectors.T
    assert (values > 0).all() if spread < 1 else (values < 0).any()
    np.testing.assert_allclose(found, expected, atol=1e-10 * np.abs(values).max())


@pytest.mark.parametrize("structure", STRUCTURES)
def test_rows_have_the_residuals_and_variances_of_the_posterior(structure):
    """docs/math.md (112)."""
    problem = random_noise_problem(structure)
    point, at = problem.point, problem.dense()

    (figures,) = point.figures.values

    beta, _ = dense.coefficients(at)
    gain = np.linalg.solve(at.V, dense.shared(at.terms, at.terms)).T
    residual = at.y - at.X @ beta
    e = (residual - gain @ residual)[problem.order]
    left = dense.shared(at.terms, at.terms)
    c = np.diag(left - gain @ left)[problem.order]
    std = np.sqrt(point.noise_variance)
    np.testing.assert_allclose(figures.e, e / std, atol=1e-10)
    np.testing.assert_allclose(figures.uncertain, c / std**2, atol=1e-10)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_covariances_of_effects_agree_with_each_other(structure):
    """Products with the covariance of the effects give the variances of rows."""
    point = random_noise_problem(structure).point
    rows, sizes = point.noise.rows, point.model.gram.sizes
    some = np.arange(0, rows.n_rows, 17)
    parts = []
    for z, code, (K, q) in zip(rows.Z, rows.codes, sizes, strict=True):
        part = np.zeros((K, q, len(some)))
        part[code[some], :, np.arange(len(some))] = z[some]
        parts.append(part)

    products = covariance_times(point.mixed.factor, parts)

    variance = sum(
        np.sum(part * product, axis=(0, 1))
        for part, product in zip(parts, products, strict=True)
    )
    expected = effect_variances(point.mixed.factor, rows.Z, rows.codes)[some]
    np.testing.assert_allclose(variance, expected, rtol=1e-10)


def test_variances_that_are_too_far_apart_have_no_value():
    point = random_noise_problem("crossed").point
    steep = replace(point, gamma=point.gamma * 1e3)
    with pytest.raises(np.linalg.LinAlgError, match="too far apart"):
        point.at(steep.x)


def test_the_covariance_of_the_coefficients_moves_with_gamma():
    problem = random_noise_problem("crossed")
    point = problem.point
    root = np.linalg.inv(point.mixed.factor.root_inverse)

    def covariance(x):
        inverse = point.at(x).mixed.factor.root_inverse
        return root @ inverse @ inverse.T @ root.T

    k = len(point.gamma)
    expected = differences(covariance, point.x)[:k]
    found = modelled_noise.coefficient_slopes_of_gamma(point)
    np.testing.assert_allclose(found, expected, atol=DIFFERENCES)


@pytest.mark.parametrize("structure", ["crossed", "three"])
def test_levels_are_worked_on_some_at_a_time(structure, monkeypatch):
    point = random_noise_problem(structure).point
    rows, factor = point.noise.rows, point.mixed.factor
    expected = effect_variances(factor, rows.Z, rows.codes)
    monkeypatch.setattr(effects_of_rows, "AT_ONCE", 3 * len(factor.covariance))
    found = effect_variances(factor, rows.Z, rows.codes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
