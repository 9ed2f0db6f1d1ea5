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

from .._rows.qr import column_norms
from .one_variance import RandomIntercept, has_freedom

# The least square of a pivot, relative to that of its column, of a trusted root: the
# slope then has some nine digits.
LEAST_PIVOT = 1e-6
# Numbers in the matrices of the ratios that are treated together: they stay in cache.
NUMBERS = 50_000


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
        Of R22.
    penalty : ndarray of shape (m, m) or None
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
        n_chunks = -(-len(ratios) * self.fixed.size // NUMBERS)
        chunks = np.array_split(ratios, min(n_chunks, len(ratios)))
        found = zip(*(self._slopes(some) for some in chunks), strict=True)
        return tuple(map(np.concatenate, found))

    def _slopes(self, ratios):
        """The slope of math.md (18), by math.md (170) and (171)."""
        m = len(self.fixed)
        spread = 1 + ratios[:, None] * self.size
        shrink = ratios[:, None] * self.size / spread
        logdet = shrink @ self.count
        information = ((1 / spread) @ self.scatter).reshape(-1, m, m) + self.fixed
        if self.penalty is not None:
            information += self.penalty
        try:
            root = np.linalg.cholesky(information)
        except np.linalg.LinAlgError:
            return logdet, logdet, np.zeros(len(ratios), dtype=bool)
        whitener = np.linalg.inv(root)
        pivots = np.diagonal(root, axis1=1, axis2=2) ** 2
        lost = pivots < LEAST_PIVOT * np.diagonal(information, axis1=1, axis2=2)
        pulled = ((shrink / spread) @ self.scatter).reshape(-1, m, m)
        shares = np.sum((whitener @ pulled) * whitener, axis=2)
        variance = self._noise_variance(whitener, pivots[:, -1])
        value = logdet - shares[:, -1] * pivots[:, -1] * self.y_norm**2 / variance
        if self.likelihood.reml:
            value -= shares[:, :-1].sum(axis=1)
        trusted = ~lost.any(axis=1) & (variance > self.likelihood.floor)
        return value, logdet, trusted

    def _noise_variance(self, whitener, rss):
        """math.md (17) and (23), not below the floor."""
        likelihood, m = self.likelihood, len(self.fixed)
        if likelihood.noise_variance is not None:
            return np.full(len(rss), max(likelihood.noise_variance, likelihood.floor))
        freedom = np.full(len(rss), float(likelihood.n - (m - 1) * likelihood.reml))
        if self.penalty is not None and likelihood.reml:
            shares = np.sum((whitener @ self.penalty) * whitener, axis=2)
            freedom += shares[:, :-1].sum(axis=1)
            rss = rss - shares[:, -1] * rss
        variance = self.y_norm**2 * rss / np.where(freedom > 0, freedom, np.inf)
        variance[~has_freedom(likelihood, freedom)] = 0.0
        return np.maximum(variance, likelihood.floor)


def size_classes(likelihood):
    """The `SizeClasses` of a likelihood; classes are in the order of sizes."""
    gram, penalty = likelihood.gram, likelihood.penalty
    order = np.argsort(gram.R11[:, 0, 0], kind="stable")
    R11, rows = gram.R11[order, 0, 0], gram.R12[order, 0]
    norm = np.maximum(column_norms(rows), column_norms(gram.R22))
    if penalty is not None:
        norm = np.maximum(norm, column_norms(penalty))
    unit = np.where(norm > 0, norm, 1.0)
    rows, R22 = rows / unit, gram.R22 / unit
    starts = np.flatnonzero(np.diff(R11, prepend=-1.0))
    bounds = pairwise(np.append(starts, len(rows)))
    scatter = [(rows[i:j].T @ rows[i:j]).ravel() for i, j in bounds]
    return SizeClasses(
        likelihood,
        size=R11[starts] ** 2,
        count=np.add.reduceat(gram.multiplicity[order], starts),
        scatter=np.array(scatter),
        fixed=R22.T @ R22,
        penalty=None if penalty is None else (penalty / unit).T @ (penalty / unit),
        y_norm=float(unit[-1]),
    )


def n_sizes(gram):
    """Number of different sizes of groups."""
    return len(np.unique(gram.R11[:, 0, 0]))
