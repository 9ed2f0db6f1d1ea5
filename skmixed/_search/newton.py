"""Roots of a function of one variable, and Newton's method for several.

Knows no statistics and warns nobody.
"""

from contextlib import suppress
from dataclasses import dataclass

import numpy as np

# Of Newton's method: how many times the rounding of the value a decrement is that is as
# good as none, and one where no step lowers the value any more; the shortest part of a
# step that is tried, and how much it is shortened at a time; and a decrement after
# which the next is small enough to be last.
NOTHING_TO_GAIN, STALLED, SHORTEST, SHORTEN, NEAR = 1e-7, 1e3, 1e-9, 0.1, 1.0
LITTLE = 1e-2  # gain at a kink
STRAIGHT = 0.8  # part of what the slope promises, of which a parabola keeps half


@dataclass(frozen=True)
class Minimum:
    """Where Newton's method stopped.

    Attributes
    ----------
    point : object with a `value`
    n_iter : int
    decrement : float
        Of the last step: twice what its quadratic model promised to gain.
    converged : bool
    curvature : object
        The function's own, from where the last step was made; None if that step had
        another's.
    without : float
        The least value in a model that has one parameter less; None if it is not known.
    """

    point: object
    n_iter: int
    decrement: float
    converged: bool
    curvature: object = None
    without: float | None = None


def newton(evaluate, direction, move, start, *, tol, max_iter):
    """Minimise a function by steps that never raise it.

    Parameters
    ----------
    evaluate : callable
        ``evaluate(x)`` is a point with a `value`, the `rounding` error of that, and
        `kinked`, whether the function has a kink there.
    direction : callable
        ``direction(point, near)`` is a step, its decrement, gradient' step with the
        sign turned, and the curvature that it comes from, if it is the function's own.
        `near` tells that this may be the last one.
    move : callable
        ``move(point, step, t)`` is the x at part t of the step.
    start : ndarray
    tol : float
        The step whose decrement is at most this is the last one; its error is of the
        order of the square.  So is one by the function's own curvature, not the first
        near the optimum, after which the next, as decrements fall quadratically there,
        would be as good as none, and its root, the length of the step in standard
        errors, no more than rounding.  At kinks, where a decrement means nothing, small
        gains in a row end the search.
    max_iter : int
    """
    at, decrement, curvature, stuck = evaluate(start), np.inf, None, 0
    for n_iter in range(max_iter):
        last = decrement
        step, decrement, curvature = direction(at, near=last <= NEAR)
        if decrement <= NOTHING_TO_GAIN * at.rounding:
            return Minimum(at, n_iter, decrement, True, curvature)
        new, whole = _descend(evaluate, move, at, step, decrement)
        if new is None:
            converged = decrement <= STALLED * at.rounding
            return Minimum(at, n_iter, decrement, converged, curvature)
        stuck = stuck + 1 if _gains_little(at, new) else 0
        at = new
        quadratic = last <= NEAR and curvature is not None and whole and not new.kinked
        left = decrement * (decrement / last) ** 2 if quadratic else np.inf
        none = left <= min(NOTHING_TO_GAIN, at.rounding) * at.rounding
        if decrement <= tol or none or stuck == 3:
            return Minimum(at, n_iter + 1, decrement, True, curvature)
    return Minimum(at, max_iter, decrement, False, curvature)


def _gains_little(at, new):
    return (at.kinked or new.kinked) and at.value - new.value < LITTLE


def _descend(evaluate, move, at, step, decrement):
    """The first point along the step that is not higher, if any, and whether the step
    was made as a whole.

    What is tried next is where the parabola through the slope at 0, minus the
    decrement, and the last value has its minimum, within limits.
    """
    t = 1.0
    while t > SHORTEST:
        part = 0.5
        # Too far for double precision, it may have no value.
        with suppress(np.linalg.LinAlgError):
            new = evaluate(move(at, step, t))
            if new.value <= at.value + at.rounding:
                return _stretch(evaluate, move, at, step, decrement, new, t), t == 1
            promised = decrement * t
            part = 0.5 * promised / (new.value - at.value + promised)
        t *= min(max(SHORTEN, part), 0.5)  # in this order a NaN counts as the least
    return None, False


def _stretch(evaluate, move, at, step, decrement, new, t):
    """The best of ever longer steps, from part t, as long as the function falls nearly
    as the slope at the beginning says: it has less curvature there than the step was
    made with, of which so small steps would go on for ever.  What rounding gains says
    nothing.
    """
    while at.value - new.value > STRAIGHT * t * decrement + at.rounding:
        t *= 2
        try:
            farther = evaluate(move(at, step, t))
        except np.linalg.LinAlgError:
            return new
        if not farther.value < new.value:
            return new
        new = farther
    return new
