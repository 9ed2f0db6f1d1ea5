"""Roots of a function of one variable: no statistics, and no warnings."""

import numpy as np
from scipy.optimize import brentq, minimize_scalar

XTOL = 1e-14
# A slope that falls below this fraction of its neighbours is a dip, which is searched
# for a root; a smaller fall is the rounding of a level stretch.
DIP = 0.7
# Points of a bracket for the interpolation of an analytic function: in one of width 1,
# 12 points leave an error of 1e-14 if the nearest pole is at a distance of pi.
N_POINTS = 12


def root_between(function, low, high, xtol=XTOL):
    """The root between two points at which a function has different signs.

    If it has the same sign at both (the signs that speak for a root may have been
    computed in another way, with other rounding), the point at which it is closer to 0.
    """
    ends = {t: function(t) for t in (low, high)}
    if np.sign(ends[low]) * np.sign(ends[high]) > 0:
        return min(ends, key=lambda t: abs(ends[t]))
    # SciPy's wrapper of a function refers to itself: what the function holds, such as
    # the figures of all groups, is an argument, so that it is given back at once.
    return brentq(_at, low, high, args=(function, ends), xtol=xtol)


def _at(t, function, known):
    return known[t] if t in known else function(t)


def brackets(slope, grid, values):
    """Pairs of neighbours on a grid between which `slope` rises through zero: there
    its integral has a local minimum.

    If the slope approaches zero and leaves it again without a change of sign, its
    closest approach is added to the grid, so that a pair of roots within one step is
    found too.

    Parameters
    ----------
    slope : callable
        A function of one number.
    grid : ndarray of shape (n,)
        Points in order.
    values : ndarray of shape (n,)
        The slope at these points.
    """
    size, sign = np.abs(values), np.sign(values)
    lowest = (size[1:-1] <= size[:-2]) & (size[1:-1] <= size[2:])
    for i in np.flatnonzero(lowest) + 1:
        three = slice(i - 1, i + 2)
        if np.ptp(sign[three]) or size[i] >= DIP * size[three].max():
            continue
        ends = grid[i - 1], grid[i + 1]
        closest = minimize_scalar(
            lambda t, sign=sign[i]: sign * slope(t), bounds=ends, method="bounded"
        )
        grid, values = np.append(grid, closest.x), np.append(values, slope(closest.x))
    order = np.argsort(grid)
    grid, rises = grid[order], values[order] >= 0
    return [(grid[i], grid[i + 1]) for i in np.flatnonzero(~rises[:-1] & rises[1:])]


def bracket_points(low, high):
    """The points of `interpolated_root`, from `high` to `low`."""
    return low + (high - low) * NODES


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
    first, last = ANGLES[rising[0]], ANGLES[rising[0] + 1]
    share = values[rising[0]] / (values[rising[0]] - values[rising[0] + 1])
    angle, coefficients = first + share * (last - first), TO_COEFFICIENTS @ values
    of_slope = ORDERS * coefficients
    for _ in range(3):  # Newton's method, from an error of some thousandths
        phases = ORDERS * angle
        slope = of_slope @ np.sin(phases)
        angle += coefficients @ np.cos(phases) / slope
    if not first <= angle <= last:
        return None
    half = 0.5 * (high - low)
    return low + half * (1 + np.cos(angle)), slope / (half * np.sin(angle))


ORDERS = np.arange(N_POINTS)
ANGLES = np.pi * (ORDERS + 0.5) / N_POINTS
NODES = 0.5 * (1 + np.cos(ANGLES))
# The coefficients of the Chebyshev polynomials from the values at the points.
TO_COEFFICIENTS = np.cos(np.outer(ORDERS, ANGLES)) * 2 / N_POINTS
TO_COEFFICIENTS[0] /= 2
