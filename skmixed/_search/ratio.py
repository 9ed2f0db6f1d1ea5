"""The global search for the variance ratio of a random-intercept model
(docs/math.md, section 5).

The criterion is a function of t = log(lambda^2) alone: a scan of its slope brackets
every local optimum, and optima are compared by value.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.integrate import quad

from .._likelihood.condensed import condense
from .._likelihood.criterion import has_freedom, penalised_deviance, residual_freedom
from .._likelihood.random_intercept import evaluate, slope
from .._likelihood.size_classes import n_sizes, size_classes
from .._rows.gram import pool
from .._rows.qr import EPS
from .roots import bracket_points, brackets, interpolated_root, root_between

# The criterion depends on the variance ratio through its product with the sizes of the
# groups.  Below this product it is the criterion of ratio 0.
LEAST_PRODUCT = 1e-10
# Above this product doubles cannot tell the ratio from infinity: groups then differ by
# 1e16 times sigma.
MOST_PRODUCT = 1e32
STEP = 1.0  # Step of the grid in log(ratio); two optima are some units apart.
FLAT = 1e-9  # A slope below this fraction of its terms is rounding.
# A gain in -2 log-likelihood below this times (n + 100) is rounding.
NO_GAIN = 1e-13

# A Newton step (in log(ratio)) that is the last one, and the most of them.
CLOSE, MOST_STEPS = np.sqrt(EPS), 20
# A slope below this fraction of its positive terms is evaluated exactly in the scan, so
# that signs next to roots, and what counts as flat, are those of the exact criterion.
SMALL = 1e-6
# Numbers in the cross-products of all sizes of groups.  Beyond it the scan has groups
# of similar sizes pooled.
EXACT_SCAN = 40_000


@dataclass(frozen=True)
class RatioOptimum:
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
    factor = None if exact.penalty is None else evaluate(exact, 0.0).factor
    if not has_freedom(exact, residual_freedom(exact, factor)):
        return RatioOptimum(0.0, False, 1)  # nothing but rounding is left of y
    slope_at = _Slope(exact)
    grid, values = slope_at.scan(ratio_grid(likelihood.gram))
    roots = [slope_at.root(*ends) for ends in brackets(slope_at, grid, values)]
    if slope_at.flat:
        return RatioOptimum(0.0, False, slope_at.count)
    gains = {0.0: NO_GAIN * (100 + likelihood.n)}
    before = STEP * values[grid < min(roots, default=0.0)]
    if len(roots) == 1 and (before < 0).all() and -before.sum() > gains[0.0]:
        # The criterion falls from ratio 0 to this one: there is nothing to compare.
        return RatioOptimum(float(np.exp(roots[0])), True, slope_at.count)
    gains |= {float(np.exp(t)): _gain(exact, slope_at, grid[0], t) for t in roots}
    return RatioOptimum(max(gains, key=gains.get), True, slope_at.count)


def _gain(likelihood, slope_at, start, root):
    """The fall of the deviance from ratio 0 to log-ratio `root`.

    A ridge penalty under REML gives estimating equations that are not the gradient of
    one function; optima are then compared by the integral of the slope between them.
    """
    if likelihood.reml and likelihood.penalty is not None:
        return -quad(slope_at, start, root, full_output=1)[0]
    ends = (evaluate(likelihood, ratio) for ratio in (0.0, np.exp(root)))
    at_zero, at_root = (penalised_deviance(likelihood, at) for at in ends)
    return at_zero - at_root


class _Slope:
    """The slope as a function of log(ratio), with a count of its evaluations, and
    whether it was flat at all of them.

    `scan` takes many ratios at once, from cross-products of groups of equal size, or of
    similar size where sizes are many.
    """

    def __init__(self, likelihood):
        self.likelihood, self.count, self.flat = likelihood, 0, True
        gram, resolution = likelihood.gram, 0.02
        while n_sizes(gram) * gram.R12.shape[2] ** 2 > EXACT_SCAN and resolution < 0.5:
            gram, resolution = pool(likelihood.gram, resolution), 2 * resolution
        self.classes = size_classes(replace(likelihood, gram=gram))

    def __call__(self, t):
        at = evaluate(self.likelihood, np.exp(t))
        value, scale = slope(self.likelihood, at)
        self.count += 1
        # At the floor the criterion only says how little noise there is room for.
        self.flat &= at.at_floor or abs(value) <= FLAT * scale
        return value

    def scan(self, grid):
        """The points of a grid that can be next to a root, or all, and its values."""
        grid, value, scale, _, trusted = self.classes.scan(grid)
        trusted &= np.abs(value) > SMALL * scale
        self.count += int(trusted.sum())
        self.flat &= not trusted.any()
        value[~trusted] = [self(t) for t in grid[~trusted]]
        return grid, value

    def root(self, low, high):
        """The root between two neighbours on the grid, or next to them, to full
        precision.
        """
        points = bracket_points(low, high)
        values, *_, trusted = self.classes.slopes(np.exp(points))
        self.count += len(points)
        found = interpolated_root(values, low, high) if trusted.all() else None
        if found is not None:  # the root is next to it, with a derivative as good
            t, derivative = found
            for _ in range(MOST_STEPS):
                near = low - STEP < t < high + STEP
                step = self(t) / derivative if near else np.nan
                t -= step
                if abs(step) <= CLOSE:
                    return t
        return root_between(self, low, high)


def ratio_grid(gram):
    """A grid of the logarithms of all ratios that doubles can tell apart."""
    size = gram.group_size
    largest = size.max()
    # A group with less weight than rounding is of the others' counts for none.
    smallest = max(size.min(), largest / MOST_PRODUCT)
    low, high = np.log(LEAST_PRODUCT / largest), np.log(MOST_PRODUCT / smallest)
    return np.arange(low, high + STEP, STEP)
