"""Roots of a function of one variable: no statistics, and no warnings."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

XTOL = 1e-14
# A slope that falls below this part of its neighbours is a dip, which is searched for a
# root; a smaller fall is the rounding of a level stretch.
DIP = 0.7


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


def descending_roots(slope, grid, values=None):
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
    """
    grid = np.asarray(grid)
    if values is None:
        values = np.array([slope(t) for t in grid])
    grid, values = _with_approaches(slope, grid, values)
    return [
        root_between(slope, grid[i], grid[i + 1])
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


def polish(slope, near, low, high):
    """The root of `slope` next to `near`, the root of an approximation of it."""
    width = 0.01
    while width < high - low:
        left, right = max(near - width, low), min(near + width, high)
        if slope(left) < 0 <= slope(right):
            return root_between(slope, left, right)
        width *= 2
    return near
