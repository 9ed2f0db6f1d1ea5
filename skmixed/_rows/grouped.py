"""Rows in the order of their groups, in working columns (docs/math.md, section 9.1).

With a noise variance of its own for every row, the figures per group depend on the
variances, and the rows are visited at every step of the search.  They are put in order
and centred once, in one part or in several, and a step asks for sums over the parts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from operator import add

import numpy as np
from scipy import sparse

from .._input.blocks import BLOCK_SIZE, block_rows, cut, row_blocks
from .columns import Columns
from .parts import ByGroup, Parts
from .pieces import rows_by_group, rows_of
from .reduction import reduce_centred, reduce_rows, reduce_sparse
from .sparse_matrix import as_array

# Below this many rows per worker the overhead of a call exceeds its work.
ROWS_PER_WORKER = 20_000
# Cross-products of a sparse X are taken up to this ratio of the largest to the least
# weight: they lose the digits of rows beside one that is far more precise.
MOST_UNLIKE = 1e6


@dataclass(frozen=True)
class Trend:
    """A log-variance: s'gamma + delta_g for a row with columns s of group g.

    This is that of math.md (24).

    Attributes
    ----------
    gamma : ndarray of shape (k,)
    delta : ndarray of shape (n_groups,) or None
        None if groups have no effect.
    bounds : tuple of float
        The least and the largest log-variance.
    """

    gamma: np.ndarray
    delta: np.ndarray | None = None
    bounds: tuple = (-np.inf, np.inf)

    def at(self, S, codes):
        """The log-variance of rows, which may be out of bounds."""
        value = S @ self.gamma
        if self.delta is not None:
            value += self.delta.take(codes)
        return value

    def part(self, groups):
        """The trend for rows of some groups only."""
        if self.delta is None:
            return self
        return replace(self, delta=self.delta[groups])


@dataclass(frozen=True)
class Part:
    """Some of the rows of a fit, in the order of their groups.

    Attributes
    ----------
    weight : ndarray of shape (n,)
    codes : ndarray of shape (n,)
        Group of each row among those of this part, ascending.
    bounds : ndarray of shape (g + 1,)
        The first row of each group, and the end.
    groups : ndarray of shape (g,)
        Positions of these groups among those of the fit.
    split : ndarray of shape (g,) or None
        Mask of the groups that have rows in other parts as well; None for none.
    share : ndarray of shape (g,) or None
        Share of each group's weight that carries information about variances; None
        for 1.
    complete : bool
        Whether these groups are all of the fit's, in order.
    effects : bool
        Whether groups have effects on the log-variance.
    variance_columns : Columns
        From `S` to working columns; the identity if `S` holds them.
    S : ndarray of shape (n, k) or CSR array of shape (n, p_variance)
        Columns of the log-variance.
    offset : ndarray of shape (n,) or None
        Known part of the log-variance; None for 0.
    """

    weight: np.ndarray
    codes: np.ndarray
    bounds: np.ndarray
    groups: np.ndarray
    split: np.ndarray | None
    share: np.ndarray | None
    complete: bool
    effects: bool
    variance_columns: Columns
    S: object
    offset: np.ndarray | None

    @property
    def n_groups(self):
        return len(self.groups)

    @property
    def n_variance_columns(self):
        """Number of working columns of the log-variance."""
        return self.variance_columns.rank

    def counted(self, rows):
        """The weights of some rows, times the share that counts for variances."""
        if self.share is None:
            return self.weight[rows]
        return self.weight[rows] * self.share[self.codes[rows]]

    def known_precision(self, rows):
        """The weights of some rows over the known part of their variances."""
        if self.offset is None:
            return self.weight[rows]
        return self.weight[rows] * np.exp(-self.offset[rows])

    def blocks(self, n_columns):
        """Slices of rows that fit the cache, with `n_columns` numbers for a row."""
        return row_blocks(len(self.codes), n_columns)

    def visit(self, trend):
        """Blocks of rows: slice, columns of the log-variance, and their `trend`."""
        for rows in self.blocks(len(trend.gamma)):
            S = self.variance_rows(rows)
            yield rows, S, trend.at(S, self.codes[rows])

    def by_group(self, figures):
        """Sums of one figure for each row over groups."""
        return ByGroup(self.groups, np.bincount(self.codes, figures, self.n_groups))

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

    def divide(self, n_parts):
        """The same rows in several parts, which are views if X is dense."""
        cuts = np.unique(np.linspace(0, len(self.codes), n_parts + 1).astype(int))
        return [self._between(*ends) for ends in pairwise(cuts)]

    def _between(self, first, last):
        """The part of these rows; `last` is the first that is not in it."""
        rows = slice(first, last)
        groups = slice(self.codes[first], self.codes[last - 1] + 1)
        ends = self.bounds[groups.start : groups.stop + 1]
        bounds = np.clip(ends, first, last)
        split = (bounds != ends)[:-1] | (bounds != ends)[1:]
        return replace(
            self,
            weight=self.weight[rows],
            offset=None if self.offset is None else self.offset[rows],
            codes=self.codes[rows] - groups.start,
            bounds=bounds - first,
            groups=self.groups[groups],
            split=split if split.any() else None,
            share=None if self.share is None else self.share[groups],
            complete=self.complete and groups == slice(0, self.n_groups),
            **self._cut(rows, groups),
        )


@dataclass(frozen=True)
class DensePart(Part):
    """Rows in working columns, each counted from a row of its group.

    Attributes
    ----------
    A : ndarray of shape (n, 1 + r + 1)
        [1 X y]; if the fit has one group only, counted from the working origin.
    origins : ndarray of shape (g, r + 1)
        The row [X y] from which those of each group are counted.
    is_centred : bool
        Whether all rows are counted from the working origin.
    """

    A: np.ndarray
    origins: np.ndarray
    is_centred: bool

    @property
    def X(self):
        """Working columns of the mean, (n, r)."""
        return self.A[:, 1:-1]

    @property
    def y(self):
        """Target, (n,)."""
        return self.A[:, -1]

    def variance_rows(self, rows, own=False):
        """Working columns of the log-variance, the constant first, (len(rows), k).

        With `own` there is one more constant in front, for effects of the groups.
        """
        return self.S[rows, int(self.effects and not own) :]

    def moments(self, weight):
        """Moments of [X y] under other weights."""
        if self.is_centred:
            return reduce_centred(self.A, weight)

        def read(rows):
            return [self.A[rows, 1:]]

        return reduce_rows(
            read, self.codes, self.n_groups, weight, origins=self.origins
        )

    def _cut(self, rows, groups):
        origins = self.origins[groups]
        return {"S": self.S[rows], "A": self.A[rows], "origins": origins}


@dataclass(frozen=True)
class SparsePart(Part):
    """Rows in the user's columns.

    Attributes
    ----------
    X : CSR array of shape (n, p)
    y : ndarray of shape (n,)
        Target, counted from the working origin.
    """

    X: object
    y: np.ndarray

    @property
    def origins(self):
        """Rows [X y] from which groups are counted: the origin, (g, p + 1)."""
        return np.zeros((self.n_groups, self.X.shape[1] + 1))

    def variance_rows(self, rows, own=False):
        """Working columns of the log-variance, as those of a `DensePart`."""
        S = self.variance_columns.apply(self.S[rows])
        n_constant = self.variance_columns.has_constant + own
        return np.column_stack([np.ones((len(S), n_constant)), S])

    def moments(self, weight):
        """Moments of [X y] under other weights."""
        if weight.max() <= MOST_UNLIKE * weight.min():
            return reduce_sparse(self.X, self.y, self.codes, self.n_groups, weight)

        def read(rows):
            return self.X[rows].toarray(), self.y[rows][:, None].copy()

        return reduce_rows(read, self.codes, self.n_groups, weight)

    def _cut(self, rows, groups):
        return {"S": self.S[rows], "X": self.X[rows], "y": self.y[rows]}


@dataclass(frozen=True)
class Rows:
    """All rows of a fit.

    Attributes
    ----------
    parts : Parts
        Each is a `Part`; they are in memory, or on a cluster.
    size : ndarray of shape (n_groups,)
        Sums of the weights.
    n_rows : int
    mean_columns : Columns
        From `Part.X` to working columns.
    variance_columns : Columns
        The working columns of the log-variance.
    """

    parts: Parts
    size: np.ndarray
    n_rows: int
    mean_columns: Columns
    variance_columns: Columns

    @property
    def n_groups(self):
        return len(self.size)

    @property
    def n(self):
        """Sum of the weights."""
        return float(self.size.sum())

    def reduce(self, function, *arguments, join=add):
        """The sum of ``function(part, *arguments)``.

        An argument with figures of groups is cut down to the groups of the part.
        """
        return self.parts.reduce(_call, function, *arguments, join=join)

    def map(self, function, *arguments):
        """Values ``function(part, *arguments)`` of all parts, as an argument."""
        return self.parts.map(_call, function, *arguments).as_argument()

    def divided(self):
        """The same rows in one part for every worker, if they are in memory."""
        n_parts = min(self.parts.n_workers, self.n_rows // ROWS_PER_WORKER)
        if n_parts <= 1:
            return self
        (part,) = self.parts.values
        return replace(self, parts=Parts(part.divide(n_parts), self.parts.n_jobs))


def _call(part, function, *arguments):
    if not part.complete:
        arguments = [
            argument.part(part.groups) if hasattr(argument, "part") else argument
            for argument in arguments
        ]
    return function(part, *arguments)


def arrange(data, groups, split, share, structure, columns, n_groups, is_sparse):
    """Put rows in the order of their groups and into working columns.

    Parameters
    ----------
    data : Data
    groups, split, share
        The same of the part.
    structure : object
        `mean` and `variance` are the positions among the features of the columns of the
        mean and the log-variance, `offset` that of a known part of the latter or None,
        `effects` tells whether groups have effects on the log-variance.
    columns : pair of Columns
        From those of the mean, and of the log-variance, to working columns.
    n_groups : int
        Of the fit.
    is_sparse : bool
    """
    codes = np.zeros(len(data.y), np.int32) if data.index is None else data.index.codes
    order, bounds = rows_by_group(codes, len(groups))
    every = slice(None) if order is None else order
    codes, y = codes[every], data.y[every] - columns[0].y_shift
    shared = {
        "weight": data.weights[every],
        "codes": codes,
        "bounds": bounds,
        "groups": groups,
        "split": split,
        "share": share,
        "complete": np.array_equal(groups, np.arange(n_groups)),
        "effects": structure.effects,
        "variance_columns": columns_of_parts(columns, is_sparse)[1],
        "offset": None,
    }
    if structure.offset is not None:
        offset = as_array(data.X[:, [structure.offset]])
        shared["offset"] = offset[every, 0].astype(float)
    if is_sparse:
        X = sparse.csr_array(data.X)
        X = X if order is None else X[order]
        S = X[:, structure.variance]
        return SparsePart(**shared, S=S, X=X[:, structure.mean], y=y)
    starts = bounds[:-1] if order is None else order[bounds[:-1]]
    first = rows_of(data.X, starts).astype(float)[:, structure.mean]
    first_y = y[bounds[:-1]]
    if n_groups == 1:
        first, first_y = columns[0].shift[None], np.zeros(1)
    A, S = _working(data.X, order, first, codes, structure, *columns)
    A[:, -1] = y - first_y[codes]
    origins = np.column_stack([columns[0].apply(first), first_y])
    return DensePart(**shared, S=S, A=A, origins=origins, is_centred=n_groups == 1)


def columns_of_parts(columns, is_sparse):
    """Maps from the columns of parts to working columns, of mean and variance."""
    mean_columns, variance_columns = columns
    mean_columns = mean_columns.centred()
    if is_sparse:
        return mean_columns, variance_columns
    return mean_columns.identity(), variance_columns.identity()


def _working(X, order, first, codes, structure, mean_columns, variance_columns):
    """[1 X y] with y not set, X in working columns from the row `first` of the group;
    and the columns of the log-variance behind their constants.
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
