"""Newton's method in a trust region (Moré and Sorensen 1983): no statistics.

The method needs two functions. ``evaluate(x)`` is a point with the attributes `x`,
`value`, `rounding` (the error that rounding may have made in the value) and `kinked`
(whether the function has a kink there). It raises `LinAlgError`, or its value is a NaN,
where there is none. ``expand(point, near)`` is the `Quadratic` about a point: gradient,
Hessian and metric. The metric measures steps; in its unit a step of length 1 should be
neither tiny nor huge. Matrices are `Arrow` systems, and ``Arrow.dense(A)`` is that of
an ordinary matrix A::

    def evaluate(x):
        return SimpleNamespace(x=x, value=f(x), rounding=1e-13, kinked=False)

    def expand(point, near):
        H, M = Arrow.dense(hessian(point.x)), Arrow.dense(np.eye(len(point.x)))
        return Quadratic(gradient(point.x), H, M)

    minimum = minimise(evaluate, expand, start, tol=1e-10, max_iter=100)

The Hessian may be indefinite: every step is a minimum of the quadratic model within the
region.  A point whose gradient is exactly zero ends the search, a saddle too; a start
should not be at one by symmetry.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from .._likelihood.arrow import Arrow
from .._rows.qr import EPS

# A decrement below this multiple of the rounding error of the value is none: the step
# moves a variable by less than rounding does.
TINY = np.sqrt(EPS)
# Below this decrement, in units of the value, a step is near the optimum: an exact
# Hessian is worth its price, and at a kink, where decrements do not fall to nothing,
# the search ends.
NEAR = 1e-2
# Trials of a search for one number, such as the damping of a step, each of which
# narrows its interval.
MOST_TRIALS = 40


@dataclass(frozen=True)
class Quadratic:
    """The quadratic model of a function about a point.

    Attributes
    ----------
    gradient : ndarray of shape (n,)
    hessian : Arrow
    metric : Arrow
        Positive definite: step'metric step is the squared length of a step.
    """

    gradient: np.ndarray
    hessian: Arrow
    metric: Arrow

    def length(self, step):
        return np.sqrt(step @ (self.metric @ step))

    def promised(self, step):
        """The decrease of the model by a step."""
        return -(self.gradient @ step + 0.5 * (step @ (self.hessian @ step)))


@dataclass(frozen=True)
class Minimum:
    """The end of a search.

    Attributes
    ----------
    point : object
        The result of `evaluate` there.
    n_iter : int
        Number of steps that were tried.
    decrement : float
        Of the last step: twice the decrease that its model promised.
    converged : bool
    model : Quadratic or None
        From which the last step was made; None if the search ended early.
    """

    point: object
    n_iter: int
    decrement: float
    converged: bool
    model: Quadratic | None


def minimise(evaluate, expand, start, *, tol, max_iter, lower=None, leave=None):
    """A local minimum.

    Parameters
    ----------
    evaluate, expand : callable
        See above; `near` tells that the last step's decrement was below `NEAR`.
        Elsewhere an approximate Hessian will do.
    start : ndarray of shape (n,)
    tol : float
        The step whose decrement is at most this is the last one; its error is of the
        order of the square.  So is a Newton step after which the next one, as
        decrements fall quadratically, would have none.  A damped step is the last one
        only if it breaks its promise, which is then of digits that are lost.
    max_iter : int
        Most steps that are tried.
    lower : float, default=None
        A bound of the last coordinate.
    leave : callable, default=None
        ``leave(point, step)`` tells that the search is of no use; the step is the
        Newton step.

    Returns
    -------
    Minimum
        It has not converged if `leave` said so.
    """
    at, model, radius, decrement = evaluate(start), None, 1.0, np.inf
    for n_iter in range(max_iter):
        if model is None:
            model, last = expand(at, decrement <= NEAR), decrement
        step, whole = bounded_step(model, at.x, radius, lower)
        decrement = 2 * model.promised(step)
        if decrement <= (NEAR if at.kinked else TINY * at.rounding):
            return Minimum(at, n_iter, decrement, True, model)
        if whole and leave is not None and leave(at, step):
            return Minimum(at, n_iter + 1, decrement, False, None)
        new, gained = None, -np.inf
        with suppress(np.linalg.LinAlgError):
            new = evaluate(at.x + step)
            gained = at.value - new.value
        ratio = (gained + at.rounding) / (decrement / 2 + at.rounding)
        radius = _next_radius(radius, model.length(step), ratio)
        accepted = ratio > 0
        following = decrement * (decrement / last) ** 2 if last <= NEAR else np.inf
        none_follows = accepted and following <= TINY * at.rounding
        is_last = decrement <= tol or none_follows
        if is_last and (whole or not ratio >= 0.25):
            return Minimum(new if accepted else at, n_iter + 1, decrement, whole, model)
        if accepted:
            at, model = new, None
    return Minimum(at, max_iter, decrement, False, None)


def _next_radius(radius, length, ratio):
    """The textbook's rule: a quarter after a bad step, or one to where the function has
    no value, twice after a good one.
    """
    if not ratio >= 0.25:
        return length / 4
    return max(radius, 2 * length) if ratio > 0.75 else radius


def bounded_step(model, x, radius, lower):
    """The best step of the quadratic model within the region, and whether it is
    Newton's: no damping was needed.

    If it takes the last coordinate below its bound, this goes to the bound, and the
    others to where they are best beside it.
    """
    step, whole = region_step(model, radius)
    if lower is None or x[-1] + step[-1] >= lower:
        return step, whole
    fixed = np.append(np.zeros(len(x) - 1), lower - x[-1])
    pushed = (model.gradient + model.hessian @ fixed)[:-1]
    rest = Quadratic(pushed, model.hessian.without_last(), model.metric.without_last())
    left = max(radius**2 - model.length(fixed) ** 2, EPS * radius**2)
    fixed[:-1], whole = region_step(rest, np.sqrt(left))
    return fixed, whole


def region_step(model, radius):
    """The minimum of the quadratic model over steps of length up to `radius`, within a
    tenth, and whether this is Newton's step.  In the hard case, where the length jumps
    at the least damping, half of the radius is enough.

    The step is that of math.md (31e).  Its damping d is searched for by Newton's method
    in 1 / length, kept between one that is too small and one that is too large.
    """
    low, high, best, damping = 0.0, np.inf, np.zeros(len(model.gradient)), 0.0
    for _ in range(MOST_TRIALS):
        system = model.hessian.plus(model.metric, damping)
        step, proposal = system.solve_definite(-model.gradient), np.nan
        length = np.inf if step is None else model.length(step)
        if length <= 1.1 * radius:
            best, high = step, damping
            least = 0.9 * radius if high > 1.01 * low else 0.5 * radius
            if damping == 0 or length >= least:
                return best, damping == 0
        else:
            low = damping
        if step is not None:
            scaled = model.metric @ step
            change = scaled @ system.solve_definite(scaled) / length**2
            if change > 0:  # else the step is longer than any number that counts
                proposal = damping + (length / radius - 1) / change
        if not low < proposal < high:
            proposal = _between(model, radius, low, high)
        damping = proposal
    return best, False


def _between(model, radius, low, high):
    """A damping between `low`, whose step is too long, and `high`, whose step is not.

    Within a known interval it is about the geometric mean.  While `high` is infinite it
    is the bound |gradient| / radius, in the metric, at which the step of any convex
    model is short enough; the step of an indefinite model may need far more, and each
    further trial is 1000 times as large.
    """
    if high < np.inf:
        return np.sqrt(max(low, high / 1e6)) * np.sqrt(high)
    size = np.abs(model.gradient).max(initial=np.finfo(float).tiny)
    slope = model.gradient / size  # whose square is in the range of double precision
    convex = size * np.sqrt(slope @ model.metric.solve(slope)) / radius
    return max(1000 * low, convex)
