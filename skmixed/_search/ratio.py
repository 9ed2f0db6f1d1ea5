"""The global search for the variance ratio of a random-intercept model
(docs/math.md, section 5).

The criterion is a function of t = log(lambda^2) alone: a scan of its slope brackets
every local optimum, and optima are compared by value.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.one_variance import (
    degrees_of_freedom,
    deviance,
    evaluate,
    has_freedom,
    slope,
    slopes,
)
from .._rows.gram import pool
from .roots import descending_roots, polish

# The variance ratio times the size of a group tells whether the criterion still
# depends on it: below the first figure it is that of ratio 0, and the second is the
# largest ratio that doubles can tell from infinity (a group spread of 1e16 sigma).
SMALLEST, LARGEST = 1e-10, 1e32
STEP = 1.0  # of log(ratio): two optima are never closer than a few units
FLAT = 1e-9  # a slope below this part of its terms is rounding
# A gain in -2 log-likelihood below this, absolute or per observation, is rounding.
NO_GAIN, NO_GAIN_PER_ROW = 1e-11, 1e-13

# Work per evaluation (blocks times columns squared) up to which the exact criterion is
# scanned; above it group sizes are binned for the scan, and optima polished exactly.
EXACT_SCAN = 40_000
# Numbers in the blocks up to which several ratios are scanned at once, and the numbers
# in all of these together.
AT_ONCE, NUMBERS = 4_000, 32_000


@dataclass(frozen=True)
class Optimum:
    """Where the criterion is best.

    Attributes
    ----------
    ratio : float
    identified : bool
        False where the criterion does not depend on the ratio; the ratio is then 0.
    n_evaluations : int
    """

    ratio: float
    identified: bool
    n_evaluations: int


def best_ratio(model):
    """The variance ratio at the global optimum of the criterion.

    Every local optimum is bracketed by a scan of the slope, found to full precision,
    and compared by value with the others and with ratio 0, where the slope only tells
    whether 0 is a local optimum.
    """
    exact = replace(model, gram=pool(model.gram))
    if not has_freedom(model, degrees_of_freedom(model, evaluate(exact, 0.0).factor)):
        return Optimum(0.0, False, 1)  # nothing but rounding is left of y
    scanned = exact
    resolution = 0.02
    while _work(scanned) > EXACT_SCAN and resolution < 0.5:
        scanned = replace(model, gram=pool(exact.gram, resolution))
        resolution *= 2
    counter = _CountedSlope(scanned)
    grid = ratio_grid(model.gram)
    roots = descending_roots(counter, grid, counter.scan(grid))
    if counter.flat:
        return Optimum(0.0, False, counter.count)
    if scanned is not exact:
        counter = _CountedSlope(exact, counter.count)
        roots = [polish(counter, root, grid[0], grid[-1]) for root in roots]
    best, best_gain = 0.0, NO_GAIN + NO_GAIN_PER_ROW * model.n
    for root in roots:
        gain = _gain(exact, counter, grid[0], root)
        if gain > best_gain:
            best, best_gain = float(np.exp(root)), gain
    return Optimum(best, True, counter.count)


def _gain(model, slope_at, start, root):
    """How much lower the deviance is at log-ratio `root` than at ratio 0.

    A ridge penalty under REML gives estimating equations that are not the gradient of
    one function; optima are then compared by the integral of the slope between them.
    """
    if model.reml and model.penalty is not None:
        return -_integral(slope_at, start, root)
    at_zero, at_root = evaluate(model, 0.0), evaluate(model, np.exp(root))
    return _penalised(model, at_zero) - _penalised(model, at_root)


def _integral(function, start, end):
    """Gauss-Legendre integral with 8 nodes a unit, the scale of the function."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(start, end, int(np.ceil(end - start)) + 1)
    half = (edges[1] - edges[0]) / 2
    values = [function(t + half * x) for t in edges[:-1] + half for x in nodes]
    return half * np.tile(weights, len(edges) - 1) @ values


def _penalised(model, at):
    """The deviance with the penalty that ML minimises."""
    penalty = at.factor.rss - at.rss
    return deviance(model, at) + penalty / at.noise_variance


class _CountedSlope:
    """The slope as a function of log(ratio), which remembers what it has seen."""

    def __init__(self, model, count=0):
        self.model, self.count, self.flat = model, count, True

    def __call__(self, t):
        at = evaluate(self.model, np.exp(t))
        value, scale = slope(self.model, at)
        self.count += 1
        # At the floor the criterion only says how little noise there is room for.
        self.flat &= at.at_floor or abs(value) <= FLAT * scale
        return value

    def scan(self, grid):
        """Its values at all points of a grid."""
        model = self.model
        n_numbers = model.gram.R12.size + model.gram.R22.size
        if model.penalty is not None or n_numbers > AT_ONCE:
            return np.array([self(t) for t in grid])
        some = np.array_split(np.exp(grid), -(-len(grid) * n_numbers // NUMBERS))
        found = zip(*(slopes(model, ratios) for ratios in some), strict=True)
        value, scale, at_floor = map(np.concatenate, found)
        rounded = at_floor | (np.abs(value) <= FLAT * scale)
        self.count += int(np.sum(~rounded))
        self.flat &= bool(rounded.all())
        # Signs of rounding have to be those that a search between them will see.
        value[rounded] = [self(t) for t in grid[rounded]]
        return value


def ratio_grid(gram):
    """Logarithms of all ratios that doubles can tell apart, with a step of `STEP`."""
    size = gram.R11[:, 0, 0] ** 2
    low, high = np.log(SMALLEST / size.max()), np.log(LARGEST / size.min())
    return np.linspace(low, high, int(np.ceil((high - low) / STEP)) + 1)


def _work(model):
    return len(model.gram.R12) * model.gram.R12.shape[2] ** 2
