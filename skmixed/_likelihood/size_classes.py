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

from .._blocks import short_blocks
from .._rows.qr import column_norms
from .criterion import has_freedom
from .one_variance import RandomIntercept

# The part of the square of each column that the others leave at least in a trusted
# inverse: the slope then has some nine digits.
LEAST_PIVOT = 1e-6


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

    def slopes(self, ratios):
        """`slope` at many ratios.

        Parameters
        ----------
        ratios : ndarray of shape (n_ratios,)

        Returns
        -------
        value, scale : ndarray of shape (n_ratios,)
            The slope, and the sum of its positive terms.
        trusted : ndarray of shape (n_ratios,)
            False where cross-products cost too many digits, or the noise variance is
            at its floor: the value has to be found by `slope`.
        """
        blocks = short_blocks(len(ratios), self.fixed.size)
        found = zip(*(self._slopes(ratios[some]) for some in blocks), strict=True)
        return tuple(map(np.concatenate, found))

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
            return logdet, logdet, np.zeros(len(ratios), dtype=bool)
        beside = np.diagonal(inverse, axis1=1, axis2=2)  # 1 over what the others leave
        trusted = ((beside > 0) & (LEAST_PIVOT * beside < 1)).all(axis=1)
        inverse *= scale
        variance = self._noise_variance(inverse)
        of_y, of_x = _forms(inverse, self._scatter(shrink / spread))
        value = logdet - of_y * self.y_norm**2 / variance
        if self.likelihood.reml:
            value -= of_x
        trusted &= variance > self.likelihood.floor
        return value, logdet, trusted

    def _scatter(self, weight):
        """Weighted sums (n_ratios, m, m) of the scatter of the classes."""
        return (weight @ self.scatter).reshape(len(weight), *self.fixed.shape)

    def _noise_variance(self, inverse):
        """math.md (17) and (23), not below the floor."""
        likelihood, (n_ratios, m, _) = self.likelihood, inverse.shape
        if likelihood.noise_variance is not None:
            return np.full(n_ratios, max(likelihood.noise_variance, likelihood.floor))
        rss = 1 / inverse[:, -1, -1]
        freedom = np.full(n_ratios, float(likelihood.n - (m - 1) * likelihood.reml))
        if self.penalty is not None and likelihood.reml:
            of_y, of_x = _forms(inverse, self.penalty)
            rss, freedom = rss - of_y, freedom + of_x
        variance = self.y_norm**2 * rss / np.where(freedom > 0, freedom, np.inf)
        variance[~has_freedom(likelihood, freedom)] = 0.0
        return np.maximum(variance, likelihood.floor)


def _forms(inverse, form):
    """r'Gr and the trace of (X'V0^-1X)^-1 G_xx of the forms G (n_ratios, m, m), r being
    [-beta; 1]: the second two terms of math.md (171).
    """
    r = inverse[:, :, -1:] / inverse[:, -1:, -1:]
    of_y = np.einsum("rik,rik->r", r, form @ r)
    trace = np.einsum("rij,rij->r", inverse, np.broadcast_to(form, inverse.shape))
    return of_y, trace - of_y * inverse[:, -1, -1]


def size_classes(likelihood):
    """The `SizeClasses` of a likelihood; classes are in the order of sizes."""
    gram, penalty = likelihood.gram, likelihood.penalty
    order = np.argsort(gram.R11[:, 0, 0], kind="stable")
    R11, rows = gram.R11[order, 0, 0], gram.R12[:, 0].take(order, axis=0)
    fixed = [gram.R22] if penalty is None else [gram.R22, penalty]
    norm = column_norms(np.vstack([rows, *fixed]))
    unit = np.where(norm > 0, norm, 1.0)
    rows /= unit
    starts = np.flatnonzero(np.diff(R11, prepend=-1.0))
    bounds = pairwise([*starts.tolist(), len(rows)])
    scatter = [(rows[i:j].T @ rows[i:j]).ravel() for i, j in bounds]
    squares = [(part / unit).T @ (part / unit) for part in fixed]
    return SizeClasses(
        likelihood,
        size=R11[starts] ** 2,
        count=np.add.reduceat(gram.multiplicity[order], starts),
        scatter=np.array(scatter),
        fixed=sum(squares),
        penalty=None if penalty is None else squares[1],
        y_norm=float(unit[-1]),
    )


def n_sizes(gram):
    """Number of different sizes of groups."""
    return 1 + np.count_nonzero(np.diff(np.sort(gram.R11[:, 0, 0])))
