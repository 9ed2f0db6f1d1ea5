"""Rows in the order of their levels, in pieces that fit a block."""

import numpy as np
from scipy import sparse

# Up to so many rows the codes of their groups fit 16 bits, which NumPy sorts by counts.
MOST_16_BITS = 2**16


def rows_of(X, rows):
    """Some rows of X, the slice or row numbers `rows`, in whichever way is fastest."""
    if isinstance(rows, slice):
        return X[rows]
    if X.flags.f_contiguous:  # indexing, or `take` of rows, is 20 times slower
        return X.T.take(rows, axis=1).T
    return X.take(rows, axis=0)


def rows_by_group(codes, n_groups):
    """Row numbers in the order of their groups, and the beginning of each group.

    The order is None where the rows are in it already.
    """
    n, is_sorted = len(codes), bool((codes[1:] >= codes[:-1]).all())
    if is_sorted or n <= MOST_16_BITS:
        ends = np.cumsum(np.bincount(codes, minlength=n_groups))
        order = None
        if not is_sorted:  # NumPy sorts numbers of 16 bits by counting, too
            order = np.argsort(codes.astype(np.uint16), kind="stable")
        return order, np.concatenate([[0], ends])
    # Converting a matrix with one entry per row from rows to columns is a counting
    # sort, ten times as fast as argsort.
    entries = np.ones(n, dtype=np.int8)
    starts = np.arange(n + 1, dtype=np.int32 if n < 2**31 - 1 else np.int64)
    indicator = sparse.csr_array((entries, codes, starts), shape=(n, n_groups))
    members = indicator.tocsc()
    return members.indices, members.indptr.astype(np.intp)


def split_long(bounds, max_rows):
    """Bounds and owners of the pieces of at most `max_rows` rows of all groups."""
    length = np.diff(bounds)
    if length.max() <= max_rows:
        return bounds, np.arange(len(length))
    n_pieces = np.maximum(-(-length // max_rows), 1)
    owner = np.repeat(np.arange(len(length)), n_pieces)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(n_pieces) - n_pieces, n_pieces)
    return np.append(bounds[owner] + within * max_rows, bounds[-1]), owner


def weighted_sums(a, bounds):
    """The matrix of weighted sums over consecutive pieces of n rows, (pieces, n).

    Of several weights for each row, `a` (k, n), it has the sums by the first ones, then
    those by the second, (k pieces, n).
    """
    a = np.atleast_2d(a)
    if len(bounds) == 2:
        return a
    k, n = a.shape
    columns = np.tile(np.arange(n, dtype=np.int32), k)
    starts = n * np.arange(k, dtype=np.int32)[:, None] + bounds[:-1].astype(np.int32)
    entries = a.ravel(), columns, np.append(starts.ravel(), np.int32(k * n))
    return sparse.csr_array(entries, shape=(k * (len(bounds) - 1), n))


class PieceSums:
    """Weighted sums over consecutive pieces of rows, by any weights.

    Parameters
    ----------
    bounds : ndarray of shape (n_pieces + 1,)
        Where the pieces begin, and the end.
    """

    def __init__(self, bounds):
        self.matrix = weighted_sums(np.ones(bounds[-1]), bounds)

    def __call__(self, a, A):
        """The sums of the rows of A, or the numbers A, by weights a (n,)."""
        if not sparse.issparse(self.matrix):
            return a[None] @ A
        self.matrix.data = a
        return self.matrix @ A


def spread(figures, length):
    """Figures of pieces, repeated for each of their rows."""
    return figures if len(length) == 1 else np.repeat(figures, length, axis=0)
