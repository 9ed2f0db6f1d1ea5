"""Figures of groups: sizes, means and the scatter within (docs/math.md, section 3).

All that a likelihood ever needs of the rows is in a `Moments`; those of several batches
of rows, and of pieces of one group, join exactly.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse

from .qr import EPS, ROUNDINGS, column_norms, stacked_root


@dataclass(frozen=True, eq=False)
class SparseMeans:
    """Means of groups as a sparse matrix (n_groups, m) plus the same row for each.

    It stands for a dense array where that would be the largest of a fit.  Rows of it
    are dense; so are results of arithmetic, but for a shift or a scale of columns.

    Attributes
    ----------
    data, indices, indptr : ndarray
        Of the sparse matrix, by rows.
    offset : ndarray of shape (m,)
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    offset: np.ndarray

    __array_ufunc__ = None  # NumPy leaves `array @ means` to `__rmatmul__`

    @property
    def shape(self):
        """(n_groups, m)."""
        return len(self.indptr) - 1, len(self.offset)

    @property
    def matrix(self):
        """The sparse matrix."""
        entries = self.data, self.indices, self.indptr
        return sparse.csr_array(entries, shape=self.shape)

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, tuple):
            rows, columns = key
            if rows != slice(None):
                raise IndexError("Rows and columns are taken one after the other.")
            return sparse_means(self.matrix[:, columns], self.offset[columns])
        return self.matrix[key].toarray() + self.offset

    def take(self, rows, axis):
        """Some rows, dense."""
        return self[rows]

    def __array__(self, dtype=None, copy=None):
        return self[:].astype(dtype or float)

    def __add__(self, other):
        return self[:] + other

    def __isub__(self, row):
        return replace(self, offset=self.offset - row)

    def __mul__(self, scale):
        return sparse_means(self.matrix * scale[None, :], self.offset * scale)

    def __matmul__(self, other):
        return self.matrix @ other + self.offset @ other

    def __rmatmul__(self, other):
        return other @ self.matrix + other.sum() * self.offset


def sparse_means(matrix, offset):
    """`SparseMeans` of a sparse matrix and a row."""
    matrix = sparse.csr_array(matrix)
    return SparseMeans(matrix.data, matrix.indices, matrix.indptr, offset)


@dataclass(frozen=True)
class Moments:
    """Sizes, means and scatter of m columns [X y], group by group: math.md (8).

    Attributes
    ----------
    shift : ndarray of shape (m,)
        The weighted mean of every column; `mean` is counted from here.
    size : ndarray of shape (n_groups,)
        S_g, the sum of the weights of a group.
    mean : {ndarray, SparseMeans} of shape (n_groups, m)
        Weighted mean of a group, minus `shift`.
    within : ndarray of shape (k, m)
        Root of the within-group scatter: within' within = sum_gj w (a - mean_g)(...)'.
    """

    shift: np.ndarray
    size: np.ndarray
    mean: np.ndarray | SparseMeans
    within: np.ndarray

    @cached_property
    def n(self):
        """Sum of the weights."""
        return float(self.size.sum())

    def columns(self, positions):
        """The moments of some of the columns."""
        return Moments(
            self.shift[positions],
            self.size,
            self.mean[:, positions],
            self.within[:, positions],
        )

    def part(self, groups):
        """The moments of some groups, a slice, with the scatter within all of them."""
        return Moments(self.shift, self.size[groups], self.mean[groups], self.within)

    @cached_property
    def total(self):
        """Rows (k, m) whose cross-products are the scatter about `shift`."""
        return np.vstack([self.within, self.between])

    @cached_property
    def spread(self):
        """Roots of the sums of squares about `shift`, (m,)."""
        return column_norms(self.total)

    @cached_property
    def between(self):
        """Root of the scatter of the group means about `shift`."""
        return stacked_root([self.mean], weight=self.size)

    def between_root(self, offset):
        """Root of the scatter of the group means about `shift` - `offset`."""
        if not np.any(offset):
            return self.between
        return stacked_root([self.mean], weight=self.size, offset=offset)


def moments_about_mean(origin, size, mean, within):
    """Moments about the weighted mean, from means that are counted from `origin` and
    are overwritten.
    """
    # Deviations of a column that is constant within groups are rounding; kept, they
    # would be information about its coefficient where the group variance is large.
    rounding = ROUNDINGS * EPS * np.sqrt(size.sum())
    norm = column_norms(within)
    kept = norm > rounding * _peak(mean)
    if not kept.all():
        size_of_mean = column_norms(stacked_root([mean], weight=size))
        kept = norm > ROUNDINGS * EPS * size_of_mean
        within = np.where(kept, within, 0.0)
    shift = origin + size @ mean / size.sum()
    mean -= shift - origin
    return Moments(shift, size, mean, within)


def _peak(mean):
    """At least the largest absolute value of each column."""
    if isinstance(mean, SparseMeans):
        return abs(mean.matrix).max(axis=0).toarray().ravel() + np.abs(mean.offset)
    return np.maximum(mean.max(axis=0), -mean.min(axis=0))


def merge_pieces(size, mean, within, owner, n_groups):
    """Join pieces of groups: a piece is a row that weighs as much as its rows.

    This is math.md (9), the update of Chan, Golub and LeVeque (1983, The American
    Statistician 37, 242-247) for any number of pieces: the scatter between the means of
    a group's pieces is part of its scatter within.
    """
    if len(owner) == n_groups:
        return size, mean, within
    shape = (n_groups, len(owner))
    pieces = sparse.csc_array((size, owner, np.arange(len(owner) + 1)), shape=shape)
    total = np.bincount(owner, size, n_groups)
    joined = pieces @ mean / total[:, None]
    between = np.sqrt(size)[:, None] * (mean - joined[owner])
    split = np.bincount(owner, minlength=n_groups)[owner] > 1
    return total, joined, stacked_root([within, between[split]])


def join_moments(first, second, positions):
    """The moments of the rows of both, whose groups may overlap.

    Parameters
    ----------
    first, second : Moments
        Of the same columns.
    positions : pair of ndarray
        Positions of the groups of each of them among the joined groups.
    """
    owner = np.concatenate(positions)
    size = np.concatenate([first.size, second.size])
    moved = second.mean + (second.shift - first.shift)
    mean = np.concatenate([first.mean, moved])
    within = np.vstack([first.within, second.within])
    n_groups = int(owner.max()) + 1
    # `merge_pieces` leaves pieces alone if no group has two: they have to be in order.
    order = np.argsort(owner, kind="stable")
    pieces = size[order], mean[order], within, owner[order]
    return moments_about_mean(first.shift, *merge_pieces(*pieces, n_groups))
