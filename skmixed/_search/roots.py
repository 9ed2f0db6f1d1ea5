"""Roots of a function of one variable: no statistics, and no warnings."""

from functools import partial

import numpy as np
from scipy.optimize import brentq, minimize_scalar

XTOL = 1e-14
# A slope that falls below this part of its neighbours is a dip, which is searched for a
# root; a smaller fall is the rounding of a level stretch.
DIP = 0.7
# A secant step of this length is the last one: its error is a small part of it.
LAST_STEP = 1e-9
# A longer step means that the approximation is none.
LONGEST_STEP = 0.5
SECANT_STEPS = 6
# Points of a bracket for the interpolation of an analytic function: in one of width 1,
# 12 points leave an error of 1e-14 if the nearest pole is at a distance of pi.
N_POINTS = 12


def root_between(function, low, high, xtol=XTOL):
    """The root between two points at which a function has different signs.

    If it has the same sign at both (the signs that speak for a root may have been
    computed in another way, with other rounding), the point at which it is closer to 0.

    The function is released at the end: SciPy's wrapper of a function refers to itself,
    and would keep the figures of all groups until the next garbage collection.
    """
    held, ends = [function], {t: function(t) for t in (low, high)}
    if np.sign(ends[low]) * np.sign(ends[high]) > 0:
        return min(ends, key=lambda t: abs(ends[t]))
    try:
        return brentq(
            lambda t: ends[t] if t in ends else held[0](t), low, high, xtol=xtol
        )
    finally:
        held.clear()


def descending_roots(slope, grid, values=None, refine=None):
    """The points at which `slope` rises through zero: local minima of its integral.

    Sign changes between the points of `grid` are refined to full precision.  If the
    slope approaches zero and leaves it again without a change of sign, its closest
    approach is looked up, so that a pair of roots within one step is found too.

    Parameters
    ----------
    slope : callable
        A function of one number.
    grid : array-like of shape (n,)
        Points in order.
    values : ndarray of shape (n,), default=None
        The slope at these points, if it is known.
    refine : callable, default=None
        ``refine(low, high)`` finds a root between two points with slopes of different
        signs; `root_between` does by default.
    """
    grid = np.asarray(grid)
    if values is None:
        values = np.array([slope(t) for t in grid])
    grid, values = _with_approaches(slope, grid, values)
    refine = refine or partial(root_between, slope)
    return [
        refine(grid[i], grid[i + 1])
        for i in np.flatnonzero((values[:-1] < 0) & (values[1:] >= 0))
    ]


def _with_approaches(slope, grid, values):
    """Grid and values with the crossings that hide inside a step added."""
    size, sign = np.abs(values), np.sign(values)
    same = (sign[:-2] == sign[1:-1]) & (sign[1:-1] == sign[2:])
    lowest = (size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])
    dips = same & lowest & (size[1:-1] < DIP * np.maximum(size[:-2], size[2:]))
    for i in np.flatnonzero(dips) + 1:
        closest = minimize_scalar(
            lambda t, sign=sign[i]: sign * slope(t),
            bounds=(grid[i - 1], grid[i + 1]),
            method="bounded",
        )
        if closest.fun < 0:
            grid, values = (
                np.append(grid, closest.x),
                np.append(values, slope(closest.x)),
            )
    order = np.argsort(grid)
    return grid[order], values[order]


def polish(slope, near, low, high, steepness=0.0):
    """The root of `slope` next to `near`, the root of an approximation of it.

    Secant steps find it from the derivative of the approximation, `steepness`; where
    they do not, or it is not known, a bracket that widens.
    """
    root = _secant(slope, near, steepness) if steepness > 0 else np.nan
    if abs(root - near) < high - low and low <= root <= high:
        return root
    width = 0.01
    while width < high - low:
        left, right = max(near - width, low), min(near + width, high)
        if slope(left) < 0 <= slope(right):
            return root_between(slope, left, right)
        width *= 2
    return near


def _secant(slope, near, steepness):
    """The root by secant steps; NaN if they do not converge to one."""
    value = slope(near)
    for _ in range(SECANT_STEPS):
        step = -value / steepness
        if abs(step) <= LAST_STEP:
            return near + step
        if abs(step) > LONGEST_STEP:
            break
        before, near, value = value, near + step, slope(near + step)
        steepness = (value - before) / step
        if not steepness > 0:
            break
    return np.nan


def bracket_points(low, high):
    """The points of `interpolated_root`, from `high` to `low`."""
    return low + 0.5 * (high - low) * (1 + np.cos(_ANGLES))


def interpolated_root(values, low, high):
    """The rising root between two points of an analytic function, and its derivative
    there, by Chebyshev interpolation; None if it rises through 0 nowhere, or more than
    once.

    Parameters
    ----------
    values : ndarray of shape (N_POINTS,)
        At the `bracket_points`.
    """
    rising = np.flatnonzero((values[:-1] >= 0) & (values[1:] < 0))
    if len(rising) != 1:
        return None
    (i,) = rising
    coefficients = 2 / N_POINTS * np.cos(np.outer(_ORDERS, _ANGLES)) @ values
    coefficients[0] /= 2
    share = values[i] / (values[i] - values[i + 1])
    angle = _ANGLES[i] + share * (_ANGLES[i + 1] - _ANGLES[i])
    for _ in range(4):  # Newton's method, from an error of some thousandths
        value = coefficients @ np.cos(_ORDERS * angle)
        change = -coefficients @ (_ORDERS * np.sin(_ORDERS * angle))
        angle -= value / change
    if not _ANGLES[i] <= angle <= _ANGLES[i + 1]:
        return None
    derivative = -2 * change / (np.sin(angle) * (high - low))
    return low + 0.5 * (high - low) * (1 + np.cos(angle)), derivative


_ORDERS = np.arange(N_POINTS)
_ANGLES = np.pi * (_ORDERS + 0.5) / N_POINTS
