"""The global search for the variance ratio of a random-intercept model
(docs/math.md, section 5).

The criterion is a function of t = log(lambda^2) alone: a scan of its slope brackets
every local optimum, and optima are compared by value.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.condensed import condense
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

# The criterion depends on the variance ratio through its product with the sizes of the
# groups.  Below this product it is the criterion of ratio 0.
LEAST_PRODUCT = 1e-10
# Above this product doubles cannot tell the ratio from infinity: groups then differ by
# 1e16 times sigma.
MOST_PRODUCT = 1e32
STEP = 1.0  # Step of the grid in log(ratio); two optima are some units apart.
FLAT = 1e-9  # A slope below this part of its terms is rounding.
# A larger gain in -2 log-likelihood shows in a sum over the grid.
CLEAR_GAIN = 1e-3
NO_GAIN = 1e-11  # A smaller gain in -2 log-likelihood is rounding,
NO_GAIN_PER_ROW = 1e-13  # and so is a smaller one per observation.

# Work per evaluation (blocks times columns squared).  Beyond it the scan has groups of
# similar sizes pooled, and optima are polished on the exact criterion.
EXACT_SCAN = 40_000
AT_ONCE = 4_000  # Numbers in the blocks up to which several ratios are scanned at once,
NUMBERS = 32_000  # and numbers in the blocks of all these ratios together.


@dataclass(frozen=True)
class Optimum:
    """The variance ratio at which the criterion is best.

    Attributes
    ----------
    ratio : float
    identified : bool
        False if the criterion does not depend on the ratio; the ratio is then 0.
    n_evaluations : int
    """

    ratio: float
    identified: bool
    n_evaluations: int


def best_ratio(likelihood):
    """The variance ratio at the global optimum of the criterion.

    Every local optimum is bracketed by a scan of the slope, found to full precision,
    and compared by value with the others and with ratio 0.  The slope at 0 would only
    tell whether 0 is a local optimum.
    """
    exact = condense(replace(likelihood, gram=pool(likelihood.gram)))
    at_zero = evaluate(exact, 0.0)
    if not has_freedom(exact, degrees_of_freedom(exact, at_zero.factor)):
        return Optimum(0.0, False, 1)  # nothing but rounding is left of y
    scanned = exact
    resolution = 0.02
    while _work(scanned) > EXACT_SCAN and resolution < 0.5:
        scanned = replace(exact, gram=pool(exact.gram, resolution))
        resolution *= 2
    counter = _CountedSlope(scanned)
    grid = ratio_grid(likelihood.gram)
    values = counter.scan(grid)
    roots = descending_roots(counter, grid, values)
    if counter.flat:
        return Optimum(0.0, False, counter.count)
    if scanned is not exact:
        counter = _CountedSlope(exact, counter.count)
        roots = [polish(counter, root, grid[0], grid[-1]) for root in roots]
    if len(roots) == 1 and _falls_to(roots[0], grid, values):
        return Optimum(float(np.exp(roots[0])), True, counter.count)
    best, best_gain = 0.0, NO_GAIN + NO_GAIN_PER_ROW * likelihood.n
    for root in roots:
        gain = _gain(exact, counter, grid[0], root)
        if gain > best_gain:
            best, best_gain = float(np.exp(root)), gain
    return Optimum(best, True, counter.count)


def _falls_to(root, grid, values):
    """Whether the deviance falls from ratio 0 to a root by more than rounding, and does
    not rise in between: then nothing has to be compared.
    """
    before = values[grid < root]
    falls, rises = -STEP * before.sum(), STEP * before.clip(0).sum()
    return falls > CLEAR_GAIN and rises < CLEAR_GAIN * falls


def _gain(likelihood, slope_at, start, root):
    """The fall of the deviance from ratio 0 to log-ratio `root`.

    A ridge penalty under REML gives estimating equations that are not the gradient of
    one function; optima are then compared by the integral of the slope between them.
    """
    if likelihood.reml and likelihood.penalty is not None:
        return -_integral(slope_at, start, root)
    at_zero, at_root = evaluate(likelihood, 0.0), evaluate(likelihood, np.exp(root))
    return _penalised(likelihood, at_zero) - _penalised(likelihood, at_root)


def _integral(function, start, end):
    """Gauss-Legendre integral with 8 nodes a unit, the scale of the function."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(start, end, int(np.ceil(end - start)) + 1)
    half = (edges[1] - edges[0]) / 2
    values = [function(t + half * x) for t in edges[:-1] + half for x in nodes]
    return half * np.tile(weights, len(edges) - 1) @ values


def _penalised(likelihood, at):
    """The deviance with the penalty, which ML minimises."""
    penalty = at.factor.rss - at.rss
    return deviance(likelihood, at) + penalty / at.noise_variance


class _CountedSlope:
    """The slope as a function of log(ratio), with a count of its evaluations, and
    whether it was flat at all of them.
    """

    def __init__(self, likelihood, count=0):
        self.likelihood, self.count, self.flat = likelihood, count, True

    def __call__(self, t):
        at = evaluate(self.likelihood, np.exp(t))
        value, scale = slope(self.likelihood, at)
        self.count += 1
        # At the floor the criterion only says how little noise there is room for.
        self.flat &= at.at_floor or abs(value) <= FLAT * scale
        return value

    def scan(self, grid):
        """Its values at all points of a grid."""
        likelihood = self.likelihood
        n_numbers = likelihood.gram.R12.size + likelihood.gram.R22.size
        if likelihood.penalty is not None or n_numbers > AT_ONCE:
            return np.array([self(t) for t in grid])
        some = np.array_split(np.exp(grid), -(-len(grid) * n_numbers // NUMBERS))
        found = zip(*(slopes(likelihood, ratios) for ratios in some), strict=True)
        value, scale, at_floor = map(np.concatenate, found)
        rounded = at_floor | (np.abs(value) <= FLAT * scale)
        self.count += int(np.sum(~rounded))
        self.flat &= bool(rounded.all())
        # Signs of rounding have to be those that a search between them will see.
        value[rounded] = [self(t) for t in grid[rounded]]
        return value


def ratio_grid(gram):
    """A grid of the logarithms of all ratios that doubles can tell apart."""
    size = gram.group_size
    largest = size.max()
    # A group with less weight than rounding is of the others' counts for none.
    smallest = max(size.min(), largest / MOST_PRODUCT)
    low, high = np.log(LEAST_PRODUCT / largest), np.log(MOST_PRODUCT / smallest)
    return np.linspace(low, high, int(np.ceil((high - low) / STEP)) + 1)


def _work(likelihood):
    return len(likelihood.gram.R12) * likelihood.gram.R12.shape[2] ** 2
