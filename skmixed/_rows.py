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

from ._blocks import block_rows, cut, row_blocks
from ._design import Columns
from ._gram import reduce_rows, reduce_sparse, rows_by_group, rows_of


@dataclass(frozen=True)
class Rows:
    """The rows of a fit.

    Attributes
    ----------
    X : ndarray of shape (n, r) or CSR array of shape (n, p)
        Columns of the mean: working columns, or those of the user where X is sparse.
    y : ndarray of shape (n,)
        Target, from the working origin.
    S : ndarray of shape (n, k) or CSR array of shape (n, p_variance)
        Columns of the log-variance; as X.
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
    S: object
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

    def variance_rows(self, rows):
        """Working columns of the log-variance, the constant first, (len(rows), k)."""
        if not sparse.issparse(self.S):
            return self.S[rows]
        S = self.variance_columns.apply(self.S[rows])
        if self.variance_columns.has_constant:
            S = np.column_stack([np.ones(len(S)), S])
        return S

    def log_variance(self, gamma):
        """S gamma for every row."""
        if not sparse.issparse(self.S):
            return self.S @ gamma
        value = np.empty(len(self.y))
        for rows in row_blocks(len(self.y), len(gamma)):
            value[rows] = self.variance_rows(rows) @ gamma
        return value

    def moments(self, weight, n_jobs=None):
        """Moments of [X y] under other weights."""
        if sparse.issparse(self.X):
            return reduce_sparse(self.X, self.y, self.codes, self.n_groups, weight)
        r = self.X.shape[1]

        def read(rows):
            block = np.empty((len(self.y[rows]), r + 1))
            block[:, :r], block[:, r] = self.X[rows], self.y[rows]
            return block

        return reduce_rows(read, self.codes, self.n_groups, weight, n_jobs)

    def runs(self, n_columns) -> Iterator[tuple[slice, list[slice]]]:
        """Consecutive groups, and their rows in slices that fit the cache."""
        step = block_rows(n_columns)
        for i, j in pairwise(cut(self.bounds, step)):
            first, last = self.bounds[i], self.bounds[j]
            starts = range(first, last, step)
            yield slice(i, j), [slice(k, min(k + step, last)) for k in starts]


def arrange(X, S, y, weight, codes, n_groups, mean_columns, variance_columns):
    """Put rows in the order of their groups and into working columns.

    Parameters
    ----------
    X, S : {ndarray, CSR array} of shapes (n, p), (n, p_variance)
        The user's columns of the mean and of the log-variance.
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None
    codes : ndarray of shape (n,)
    n_groups : int
    mean_columns, variance_columns : Columns
    """
    order, bounds = rows_by_group(codes, n_groups)
    order = slice(None) if order is None else order
    weight = np.ones(len(y)) if weight is None else weight[order]
    y = y[order] - mean_columns.y_shift
    mean_columns = mean_columns.centred()
    if sparse.issparse(X):
        X, S = X[order], S[order]
    else:
        X = _apply(mean_columns, X, order, constant=False)
        S = _apply(variance_columns, S, order, constant=variance_columns.has_constant)
        mean_columns = mean_columns.identity()
        variance_columns = variance_columns.identity()
    return Rows(X, y, S, weight, codes[order], bounds, mean_columns, variance_columns)


def _apply(columns, X, order, constant):
    """Working columns of all rows, in order; with the constant first if asked for."""
    n, k = X.shape[0], columns.into.shape[1]
    working = np.ones((n, constant + k))
    for rows in row_blocks(n, X.shape[1]):
        source = rows if isinstance(order, slice) else order[rows]
        working[rows, constant:] = columns.apply(rows_of(X, source))
    return working
