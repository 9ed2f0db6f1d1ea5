"""Average information, corrected by gradients."""

from types import SimpleNamespace

import numpy as np
from numpy.testing import assert_allclose

from skmixed._search.secant import secant

H = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -0.2], [0.5, -0.2, 2.0]])
INFORMATION = np.diag([3.0, 3.5, 1.0])
UNITS = np.array([0.1, 1.0, 30.0])


def point(x, covariances="some"):
    """Of a quadratic function."""
    return SimpleNamespace(
        x=x,
        units=UNITS,
        known=lambda: np.zeros((len(x), len(x))),
        gradient=lambda: H @ x,
        model=SimpleNamespace(covariances=covariances),
    )


def test_the_corrected_information_explains_the_gradients_of_the_last_step():
    """math.md (187)."""
    rng, before = np.random.default_rng(0), None
    for _ in range(3):
        at = point(rng.normal(size=3))
        found = secant(at, INFORMATION, before)
        if before is not None:
            step = at.x - before.x
            assert_allclose(found.hessian @ step, H @ step, rtol=1e-12)
            assert_allclose(found.hessian, found.hessian.T, rtol=1e-13)
        before = found


def test_without_a_step_in_the_same_parameters_there_is_no_correction():
    first = secant(point(np.zeros(3)), INFORMATION)
    other = secant(point(np.ones(3), "others"), INFORMATION, first)
    for found in (first, other):
        assert_allclose(found.hessian, INFORMATION, atol=0)


def test_far_from_the_optimum_gradients_tell_no_second_derivatives():
    first = secant(point(np.zeros(3)), INFORMATION)
    assert_allclose(
        secant(point(np.ones(3)), INFORMATION, first, False).hessian, INFORMATION
    )


def test_near_the_optimum_all_that_is_known_joins_the_information():
    known = np.diag([0.5, -0.25, 1.0])
    at = point(np.zeros(3))
    at.known = lambda: known
    found = secant(at, INFORMATION).sharpened(at)
    assert_allclose(found.hessian, INFORMATION + known, atol=0)
    assert found.sharpened(at) is found


def test_second_derivatives_ahead_change_as_they_did_along_the_last_step():
    """math.md (211), which is exact where a step goes on in a straight line, and second
    derivatives are linear there.
    """
    slope = np.array([[1.0, 0.3, 0.0], [0.3, -0.5, 0.2], [0.0, 0.2, 0.4]])
    before, direction = np.array([0.5, -1.0, 2.0]), np.array([0.2, 0.1, 3.0])
    first = secant(point(before), INFORMATION)
    now = secant(point(before + direction), INFORMATION + slope, first, False)
    assert_allclose(first.ahead(direction), INFORMATION)
    for part in (-0.25, 0.5):
        mean = INFORMATION + (1 + part / 2) * slope
        assert_allclose(now.ahead(part * direction), mean, rtol=1e-13)
