"""Rows in the order of their groups, in working columns (docs/math.md, section 9.1).

With a noise variance of its own for every row, the figures per group depend on the
variances, and the rows are visited at every step of the search.  They are put in order
and centred once.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import sparse

from ._blocks import BLOCK_SIZE, block_rows, cut, row_blocks
from ._design import Columns
from ._gram import (
    reduce_centred,
    reduce_rows,
    reduce_sparse,
    rows_by_group,
    rows_of,
)


@dataclass(frozen=True)
class Rows:
    """The rows of a fit.

    Attributes
    ----------
    X : ndarray of shape (n, r) or CSR array of shape (n, p)
        Columns of the mean: working columns, counted from the first row of the group,
        or those of the user where X is sparse.
    y : ndarray of shape (n,)
        Target, from the working origin; where X is dense, from the group's first row
        (the origin if there is one group only).
    A : ndarray of shape (n, 1 + r + 1) or None
        [1 X y] if X is dense.
    origins : ndarray of shape (n_groups, r + 1)
        The first row [X y] of each group; zeros where rows are not counted from it.
    S : ndarray of shape (n, k) or CSR array of shape (n, p_variance)
        Columns of the log-variance; as X.  Behind a column of ones for `effects`.
    effects : bool
        Whether groups have effects on the log-variance.
    weight : ndarray of shape (n,)
    codes : ndarray of shape (n,)
        Group of each row, ascending.
    bounds : ndarray of shape (n_groups + 1,)
        Where each group begins.
    mean_columns : Columns
        From X to working columns.
    variance_columns : Columns
        From S to working columns; the identity where S holds them.
    """

    X: object
    y: np.ndarray
    A: np.ndarray | None
    origins: np.ndarray
    S: object
    effects: bool
    weight: np.ndarray
    codes: np.ndarray
    bounds: np.ndarray
    mean_columns: Columns
    variance_columns: Columns

    @property
    def n_groups(self):
        return len(self.bounds) - 1

    @property
    def n(self):
        """Sum of the weights."""
        return float(self.weight.sum())

    def variance_rows(self, rows, own=False):
        """Working columns of the log-variance, the constant first, (len(rows), k).

        With `own` there is one more constant in front, for effects of the groups.
        """
        if not sparse.issparse(self.S):
            return self.S[rows, int(self.effects and not own) :]
        S = self.variance_columns.apply(self.S[rows])
        n_constant = self.variance_columns.has_constant + own
        return np.column_stack([np.ones((len(S), n_constant)), S])

    def log_variance(self, gamma):
        """S gamma for every row."""
        if not sparse.issparse(self.S):
            return self.S[:, int(self.effects) :] @ gamma
        value = np.empty(len(self.y))
        for rows in row_blocks(len(self.y), len(gamma)):
            value[rows] = self.variance_rows(rows) @ gamma
        return value

    def moments(self, weight, n_jobs=None):
        """Moments of [X y] under other weights."""
        if sparse.issparse(self.X):
            return reduce_sparse(self.X, self.y, self.codes, self.n_groups, weight)
        if self.n_groups == 1:
            return reduce_centred(self.A, weight)

        def read(rows):
            return self.A[rows, 1:].copy()

        return reduce_rows(
            read, self.codes, self.n_groups, weight, n_jobs, self.origins
        )

    def runs(self, n_columns, per_group=1) -> Iterator[tuple[slice, list[slice]]]:
        """Consecutive groups, and their rows in slices that fit the cache.

        `n_columns` numbers are at hand for a row, and `per_group` for a group.
        """
        step = block_rows(n_columns)
        most_groups = max(BLOCK_SIZE // max(per_group, 1), 1)
        for i, j in pairwise(cut(self.bounds, step, most_groups)):
            first, last = self.bounds[i], self.bounds[j]
            starts = range(first, last, step)
            yield slice(i, j), [slice(k, min(k + step, last)) for k in starts]


def arrange(data, codes, n_groups, structure, mean_columns, variance_columns):
    """Put rows in the order of their groups and into working columns.

    Parameters
    ----------
    data : Data
    codes : ndarray of shape (n,)
    n_groups : int
    structure : object
        `mean` and `variance` are the positions among the features of the columns of the
        mean and the log-variance, `effects` tells whether groups have effects on the
        latter.
    mean_columns, variance_columns : Columns
        From those to working columns.
    """
    order, bounds = rows_by_group(codes, n_groups)
    every = slice(None) if order is None else order
    weight = np.ones(len(codes)) if data.weight is None else data.weight[every]
    y, codes = data.y[every] - mean_columns.y_shift, codes[every]
    mean_columns, A = mean_columns.centred(), None
    if sparse.issparse(data.X):
        origins = np.zeros((n_groups, len(structure.mean) + 1))
        X = data.X if order is None else data.X[order]
        X, S = X[:, structure.mean], X[:, structure.variance]
    else:
        starts = bounds[:-1] if order is None else order[bounds[:-1]]
        first = rows_of(data.X, starts).astype(float)[:, structure.mean]
        first_y = y[bounds[:-1]]
        if n_groups == 1:
            first, first_y = mean_columns.shift[None], np.zeros(1)
        A, S = _working(
            data.X, order, first, codes, structure, mean_columns, variance_columns
        )
        A[:, -1] = y - first_y[codes]
        X, y = A[:, 1:-1], A[:, -1]
        origins = np.column_stack([mean_columns.apply(first), first_y])
        mean_columns = mean_columns.identity()
        variance_columns = variance_columns.identity()
    return Rows(
        X, y, A, origins, S, structure.effects, weight, codes, bounds,
        mean_columns, variance_columns,
    )  # fmt: skip


def _working(X, order, first, codes, structure, mean_columns, variance_columns):
    """[1 X y] but for y, X in working columns from the row `first` of the group; and
    those of the log-variance behind their constants.
    """
    n, p = X.shape
    n_constant = variance_columns.has_constant + structure.effects
    A = np.empty((n, 1 + mean_columns.into.shape[1] + 1))
    S = np.empty((n, n_constant + variance_columns.into.shape[1]))
    A[:, 0] = 1.0
    S[:, :n_constant] = 1.0
    for rows in row_blocks(n, p):
        block = rows_of(X, rows if order is None else order[rows])
        origin = first if len(first) == 1 else first[codes[rows]]
        deviation = _some(block, structure.mean) - origin
        A[rows, 1:-1] = deviation @ mean_columns.into
        S[rows, n_constant:] = variance_columns.apply(_some(block, structure.variance))
    return A, S


def _some(block, columns):
    return block if len(columns) == block.shape[1] else block[:, columns]
