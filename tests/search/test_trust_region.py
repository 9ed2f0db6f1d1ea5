"""Newton's method in a trust region, on functions whose minimum is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess

from skmixed._likelihood.arrow import Arrow
from skmixed._search.trust_region import (
    Quadratic,
    bounded_step,
    minimise,
    region_step,
)

OPTIONS = {"tol": 1e-10, "max_iter": 100}


def point(x, value, kinked=False):
    return SimpleNamespace(x=x, value=value, rounding=1e-14, kinked=kinked)


def expand_rosenbrock(at, near):
    identity = Arrow.dense(np.eye(len(at.x)))
    return Quadratic(rosen_der(at.x), Arrow.dense(rosen_hess(at.x)), identity)


@pytest.mark.parametrize("start", [[-1.2, 1.0], [3.0, -1.0, 3.0, -4.0, 5.0]])
def test_the_valley_of_rosenbrock(start):
    found = minimise(
        lambda x: point(x, rosen(x)), expand_rosenbrock, np.array(start), **OPTIONS
    )
    assert found.converged
    assert_allclose(found.point.x, 1.0, atol=1e-8)
    assert found.n_iter < 60


def random_quadratic(seed, n=5, curvature=0.0):
    rng = np.random.default_rng(seed)
    H, M = rng.normal(size=(2, n, n))
    H, M = H + H.T + curvature * np.eye(n), M @ M.T + np.eye(n)
    return Quadratic(3 * rng.normal(size=n), Arrow.dense(H), Arrow.dense(M)), H, M


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("curvature", [0.0, 20.0])
def test_a_step_is_the_minimum_within_the_region(seed, curvature):
    """math.md (31e). Of an indefinite model and of a convex one, by the multiplier of
    the constraint: the damped Hessian has no negative eigenvalue, and the step solves
    its system.
    """
    model, H, M = random_quadratic(seed, curvature=curvature)
    for radius in (1e-3, 0.3, 1e3):
        step, whole = region_step(model, radius)
        length = np.sqrt(step @ M @ step)
        assert length <= 1.1 * radius
        if whole:
            assert_allclose(step, -np.linalg.solve(H, model.gradient))
            continue
        assert length >= 0.9 * radius
        Ms = M @ step
        damping = -((model.gradient + H @ step) @ Ms) / (Ms @ Ms)
        assert damping > 0
        # The step is the solution of its own system only if the damping is right.
        assert_allclose(H @ step + damping * Ms, -model.gradient, atol=1e-6)
        assert np.linalg.eigvalsh(H + damping * M).min() > 0


def test_the_hard_case_takes_few_trials():
    """The gradient has nothing along the direction of negative curvature: at the least
    damping, 1e3, the length jumps from 0.7 to infinity.
    """
    tried = []

    class Counted(Arrow):
        def plus(self, other, times):
            tried.append(times)
            return super().plus(other, times)

    H = Counted.dense(np.diag([-1e3, 1e3, 2e3]))
    gradient = np.array([0.0, 1.4e3, 0.0])
    step, whole = region_step(Quadratic(gradient, H, Arrow.dense(np.eye(3))), 1.0)
    assert not whole
    assert_allclose(step, [0.0, -0.7, 0.0], rtol=0.02)
    assert len(tried) <= 20


@pytest.mark.parametrize("seed", range(20))
def test_a_step_beside_a_bound_is_nearly_the_best_one(seed):
    model, _, M = random_quadratic(seed, n=3, curvature=4.0)
    at, radius = np.array([0.0, 0.0, 0.2]), 2.0
    step, _ = bounded_step(model, at, radius, lower=0.0)
    assert at[-1] + step[-1] >= 0
    assert model.length(step) <= 1.1 * radius
    best = minimize(
        lambda s: -model.promised(s), step, method="SLSQP",
        bounds=[(None, None), (None, None), (-0.2, None)],
        constraints={"type": "ineq", "fun": lambda s: 1.21 * radius**2 - s @ M @ s},
    )  # fmt: skip
    assert model.promised(step) >= 0.8 * -best.fun


def test_a_bound_that_holds_the_last_coordinate():
    def evaluate(x):
        return point(x, (x[0] - 1) ** 2 + (x[1] + 2) ** 2 + x[0] * x[1])

    def expand(at, near):
        x, y = at.x
        gradient = np.array([2 * (x - 1) + y, 2 * (y + 2) + x])
        H = np.array([[2.0, 1.0], [1.0, 2.0]])
        return Quadratic(gradient, Arrow.dense(H), Arrow.dense(np.eye(2)))

    found = minimise(evaluate, expand, np.array([5.0, 3.0]), lower=0.0, **OPTIONS)
    assert found.converged
    assert_allclose(found.point.x, [1.0, 0.0], atol=1e-10)
    free = minimise(evaluate, expand, np.array([5.0, 3.0]), **OPTIONS)
    assert_allclose(free.point.x, [8 / 3, -10 / 3])


@pytest.mark.parametrize("beyond", [np.nan, np.inf, 1e300, None])
def test_a_step_into_what_has_no_value_is_shortened(beyond):
    def evaluate(x):
        if abs(x[0]) < 5:
            return point(x, float(np.log(1 + x[0] ** 2)))
        if beyond is None:
            raise np.linalg.LinAlgError
        return point(x, beyond)

    def expand(at, near):
        x = at.x[0]
        slope, curvature = 2 * x / (1 + x * x), 2 * (1 - x * x) / (1 + x * x) ** 2
        H = Arrow.dense(np.array([[curvature]]))
        return Quadratic(np.array([slope]), H, Arrow.dense(1e-6 * np.eye(1)))

    found = minimise(evaluate, expand, np.array([4.0]), **OPTIONS)
    assert found.converged
    assert_allclose(found.point.x, 0.0, atol=1e-6)


def test_a_kink_ends_the_search():
    """Of |x - 1| + (y - 1)^2, no decrement ever tells that x has arrived."""

    def evaluate(x):
        return point(x, abs(x[0] - 1) + (x[1] - 1) ** 2, kinked=True)

    def expand(at, near):
        gradient = np.array([np.sign(at.x[0] - 1), 2 * (at.x[1] - 1)])
        H = np.diag([1e-8, 2.0])
        return Quadratic(gradient, Arrow.dense(H), Arrow.dense(np.eye(2)))

    found = minimise(evaluate, expand, np.array([3.3, 4.2]), **OPTIONS)
    assert found.converged
    assert found.n_iter < 40
    assert_allclose(found.point.value, 0.0, atol=0.02)


def test_a_search_ends_where_derivatives_have_no_digits():
    """Of a coordinate that moves nothing, of which rounding says that it does: damped
    steps of less than the tolerance went on until all were taken.
    """

    def evaluate(x):
        found = point(x, x[0] ** 2 / 2)
        found.rounding = 1e-10
        return found

    def expand(at, near):
        H, gradient = np.diag([1.0, -1.0]), np.array([at.x[0], 1e-8])
        return Quadratic(gradient, Arrow.dense(H), Arrow.dense(np.eye(2)))

    found = minimise(evaluate, expand, np.array([3.0, 1.0]), tol=1e-6, max_iter=100)
    assert found.n_iter < 30
    assert_allclose(found.point.value, 0.0, atol=1e-6)


@pytest.mark.parametrize("wrong", [0.5, 3.0])
def test_near_the_optimum_the_exact_hessian_is_asked_for(wrong):
    asked = []

    def expand(at, near):
        asked.append(near)
        exact = expand_rosenbrock(at, near)
        if near:
            return exact
        return replace(exact, hessian=Arrow.dense(wrong * rosen_hess(at.x)))

    found = minimise(
        lambda x: point(x, rosen(x)), expand, np.array([0.9, 0.8]), **OPTIONS
    )
    assert found.converged
    assert not asked[0]
    assert asked[-1]
    assert_allclose(found.point.x, 1.0, atol=1e-8)


def test_a_search_that_is_of_no_use_is_left():
    left = minimise(
        lambda x: point(x, rosen(x)), expand_rosenbrock, np.array([0.9, 0.8]),
        leave=lambda at, step: np.abs(at.x + step - 1).max() < 0.05, **OPTIONS,
    )  # fmt: skip
    assert not left.converged
    assert left.n_iter < 5


def test_too_few_steps():
    found = minimise(
        lambda x: point(x, rosen(x)), expand_rosenbrock, np.array([-1.2, 1.0]),
        tol=1e-10, max_iter=3,
    )  # fmt: skip
    assert not found.converged
    assert found.n_iter == 3
    assert found.decrement > 1e-3


@pytest.mark.parametrize("size", [1e200, 1e300])
def test_slopes_whose_squares_are_out_of_range(size):
    """Warnings are errors here; the step goes down as far as it may."""
    quadratic, _, M = random_quadratic(0)
    model = replace(quadratic, gradient=size * quadratic.gradient)
    step, _ = region_step(model, 1.0)
    assert np.isfinite(step).all()
    assert 0.5 <= np.sqrt(step @ M @ step) <= 1.1
    assert model.gradient @ step < 0
