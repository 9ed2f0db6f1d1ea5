"""The slope of the random-intercept criterion at many ratios at once
(docs/math.md, section 5).

Groups of equal size share H_g, so that the cross-products of their rows stand for them,
and an evaluation costs a few small products whatever the number of groups.
Cross-products square the condition of the columns: a ratio at which that costs too many
digits is left to `slope`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .._input.blocks import short_blocks
from .criterion import has_freedom
from .random_intercept import RandomIntercept

# The fraction of the square of each column that the others leave at least in a trusted
# inverse: the slope then has some nine digits.
LEAST_PIVOT = 1e-6
# A grid has all its points where the product of ratio and size is above the first for
# the largest group, or below the second for the smallest; beyond, one in so many.
FIRST_PRODUCT, LAST_PRODUCT, STRIDE = 1e-4, 1e4, 8
# A slope next to the first product that is a larger fraction of its positive terms
# keeps its sign below: these and the negative terms change their proportion by less.
UNEQUAL = 10 * FIRST_PRODUCT


@dataclass(frozen=True)
class SizeClasses:
    """Cross-products of the rows of groups of equal size, columns of unit norm.

    Attributes
    ----------
    likelihood : RandomIntercept
    size : ndarray of shape (c,)
    count : ndarray of shape (c,)
        Number of groups.
    scatter : ndarray of shape (c, m * m)
        Of their rows of R12.
    fixed : ndarray of shape (m, m)
        Of R22, and of the rows of the penalty.
    penalty : ndarray of shape (m, m) or None
        Of the rows of the penalty alone.
    y_norm : float
        The unit of y.
    """

    likelihood: RandomIntercept
    size: np.ndarray
    count: np.ndarray
    scatter: np.ndarray
    fixed: np.ndarray
    penalty: np.ndarray | None
    y_norm: float

    def scan(self, grid):
        """`slopes` at those points of a grid of log-ratios that can be next to a root:
        at all points, where `_tells` does not exclude roots between some of them.

        Returns
        -------
        points : ndarray
        value, scale, fit, trusted : ndarray
            As `slopes`.
        """
        ends = np.log([FIRST_PRODUCT / self.size[-1], LAST_PRODUCT / self.size[0]])
        first, stop = np.searchsorted(grid, ends)
        last = len(grid) - 1
        stop = min(stop, last)
        some = [[0], np.arange(first, stop), np.arange(stop, last, STRIDE), [last]]
        points = grid[np.concatenate(some)]
        found = self.slopes(np.exp(points))
        if not self._tells(points, stop - first + 1, *found):
            points, found = grid, self.slopes(np.exp(grid))
        return points, *found

    def _tells(self, t, far, value, scale, fit, trusted):
        """Whether the first interval of log-ratios t, and those from number `far` on,
        have no root: math.md (213).
        """
        is_slope = self.penalty is None or not self.likelihood.reml  # of a function
        if not (is_slope and trusted.all() and abs(value[1]) > UNEQUAL * scale[1]):
            return False
        t, value, scale, fit = t[far:], value[far:], scale[far:], fit[far:]
        most = np.exp(np.diff(t) / 2) * np.maximum(fit[:-1], fit[1:])
        rest = value[:-1] + fit[:-1] - 2 / LAST_PRODUCT * scale[:-1]
        return bool((rest > most).all())

    def slopes(self, ratios):
        """`slope` at many ratios.

        Parameters
        ----------
        ratios : ndarray of shape (n_ratios,)

        Returns
        -------
        value, scale : ndarray of shape (n_ratios,)
            The slope, and the sum of its positive terms.
        fit : ndarray of shape (n_ratios,)
            Of its negative terms that of the residuals.
        trusted : ndarray of shape (n_ratios,)
            False where cross-products cost too many digits, or the noise variance is
            at its floor: the value has to be found by `slope`.
        """
        blocks = short_blocks(len(ratios), self.fixed.size)
        found = [self._slopes(ratios[some]) for some in blocks]
        if len(found) == 1:
            return found[0]
        return tuple(map(np.concatenate, zip(*found, strict=True)))

    @np.errstate(over="ignore", under="ignore", divide="ignore", invalid="ignore")
    def _slopes(self, ratios):
        """The slope of math.md (18), by math.md (170) and (171)."""
        spread = 1 + ratios[:, None] * self.size
        shrink = ratios[:, None] * self.size / spread
        logdet = shrink @ self.count
        information = self._scatter(1 / spread) + self.fixed
        square = np.diagonal(information, axis1=1, axis2=2)
        unit = 1 / np.sqrt(np.where(square > 0, square, 1.0))
        scale = unit[:, :, None] * unit[:, None, :]
        try:
            inverse = np.linalg.inv(information * scale)
        except np.linalg.LinAlgError:
            return logdet, logdet, logdet, np.zeros(len(ratios), dtype=bool)
        beside = np.diagonal(inverse, axis1=1, axis2=2)  # 1 over what the others leave
        trusted = ((beside > 0) & (LEAST_PIVOT * beside < 1)).all(axis=1)
        inverse *= scale
        variance = self._noise_variance(inverse)
        of_y, of_x = _forms(inverse, self._scatter(shrink / spread))
        fit = of_y * self.y_norm**2 / variance
        value = logdet - fit
        if self.likelihood.reml:
            value -= of_x
        trusted &= variance > self.likelihood.floor
        return value, logdet, fit, trusted

    def _scatter(self, weight):
        """Weighted sums (n_ratios, m, m) of the scatter of the classes."""
        return (weight @ self.scatter).reshape(len(weight), *self.fixed.shape)

    def _noise_variance(self, inverse):
        """math.md (17) and (23), not below the floor."""
        likelihood, (n_ratios, m, _) = self.likelihood, inverse.shape
        if likelihood.noise_variance is not None:
            return np.full(n_ratios, max(likelihood.noise_variance, likelihood.floor))
        rss = 1 / inverse[:, -1, -1]
        freedom = likelihood.n - (m - 1) * likelihood.reml
        if self.penalty is not None and likelihood.reml:
            of_y, of_x = _forms(inverse, np.broadcast_to(self.penalty, inverse.shape))
            rss, freedom = rss - of_y, freedom + of_x
        variance = self.y_norm**2 * rss / freedom
        variance = np.where(has_freedom(likelihood, freedom), variance, 0.0)
        return np.maximum(variance, likelihood.floor)


def _forms(inverse, form):
    """r'Gr and the trace of (X'V0^-1X)^-1 G_xx of the forms G (n_ratios, m, m), r being
    [-beta; 1]: the second two terms of math.md (171).
    """
    r = inverse[:, :, -1:] / inverse[:, -1:, -1:]
    of_y = np.einsum("rik,rik->r", r, form @ r)
    trace = np.einsum("rij,rij->r", inverse, form)
    return of_y, trace - of_y * inverse[:, -1, -1]


def size_classes(likelihood):
    """The `SizeClasses` of a likelihood; classes are in the order of sizes."""
    gram, penalty = likelihood.gram, likelihood.penalty
    order = np.argsort(gram.R11[:, 0, 0], kind="stable")
    R11, rows = gram.R11[order, 0, 0], gram.R12[:, 0].take(order, axis=0)
    starts = np.flatnonzero(np.diff(R11, prepend=-1.0))
    bounds = pairwise([*starts.tolist(), len(rows)])
    scatter = np.array([rows[i:j].T @ rows[i:j] for i, j in bounds])
    fixed = [gram.R22] if penalty is None else [gram.R22, penalty]
    squares = [part.T @ part for part in fixed]
    norm = np.sqrt(np.diagonal(scatter.sum(axis=0) + sum(squares)))
    unit = np.where(norm > 0, norm, 1.0)
    units = unit[:, None] * unit
    squares = [square / units for square in squares]
    return SizeClasses(
        likelihood,
        size=R11[starts] ** 2,
        count=np.add.reduceat(gram.multiplicity[order], starts),
        scatter=(scatter / units).reshape(len(starts), -1),
        fixed=sum(squares),
        penalty=None if penalty is None else squares[1],
        y_norm=float(unit[-1]),
    )


def n_sizes(gram):
    """Number of different sizes of groups."""
    return 1 + np.count_nonzero(np.diff(np.sort(gram.R11[:, 0, 0])))
