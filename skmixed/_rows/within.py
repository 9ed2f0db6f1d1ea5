"""Rows counted from one of their own level: sums of the levels, and the scatter that
these leave (docs/math.md, sections 3 and 11.1).

The rows are read in the order in which they come: entries of columns that are apart in
memory take ten times as long in the order of the levels.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._input.blocks import block_rows, map_jobs, n_workers, row_blocks, slices_of
from .qr import ROOTS_AT_ONCE, root_by_difference, rows_root

# A block of rows is read in so many shares, beside which what is taken off is small.
SHARES = 4


@dataclass(frozen=True)
class LevelRows:
    """Rows A of the levels of a factor, counted from one row of their own level.

    Such a row has lost the offset of the data and the spread between levels, and has
    all its own digits.

    Attributes
    ----------
    read : callable
        ``read(rows)`` gives those rows as arrays of some columns each, which are not
        changed; `rows` is a slice or an array of row numbers.
    codes : ndarray of shape (n,)
        The level of each row, 0 to ``n_levels - 1``, each at least once.
    n_levels : int
    weight : ndarray of shape (n,), or None
        Positive weights; None means 1.
    own : ndarray of shape (n_levels, m)
        The row of each level that its rows are counted from.
    """

    read: object
    codes: np.ndarray
    n_levels: int
    weight: np.ndarray | None
    own: np.ndarray

    @property
    def m(self):
        """Number of columns."""
        return self.own.shape[1]

    def parts(self, start=0, end=None):
        """Slices of rows: blocks, but of a row for each level or a quarter of all:
        sums of each slice have figures for all levels.
        """
        n = len(self.codes)
        end = n if end is None else end
        step = max(block_rows(self.m), min(self.n_levels, -(-n // 4)))
        return [slice(i, min(i + step, end)) for i in range(start, end, step)]

    def rows_into(self, A, some):
        """Write the rows of a slice into A (n, m)."""
        _side_by_side(self.read(some), A)
        A -= self.own.take(self.codes[some], axis=0)

    def weighted(self, A, some):
        """Rows of a slice times the roots of their weights."""
        if self.weight is None:
            return A
        return np.sqrt(self.weight[some])[:, None] * A

    def totals(self, figures=None):
        """Sums of figures of the rows (n,), or of 1, times weights, (n_levels,)."""
        total = np.zeros(self.n_levels)
        for some in self.parts():
            a = None if self.weight is None else self.weight[some]
            if figures is not None:
                a = figures[some] if a is None else a * figures[some]
            total += np.bincount(self.codes[some], a, self.n_levels)
        return total

    def sums(self, column=None, n_jobs=None):
        """Sums over the rows of every level, and over all of them, in one pass.

        Parameters
        ----------
        column : ndarray of shape (n,), default=None
            Figures of the rows that their second sums are weighted by.
        n_jobs : int, default=None
            See `skmixed._input.blocks.map_jobs`.

        Returns
        -------
        sums : list of ndarray of shape (n_levels, m)
            Z'WA of a constant, and of the column.
        scatter : ndarray of shape (m, m), or 0.0
            A'WA; 0.0 if there are no more rows than columns.
        """
        n = len(self.codes)
        step = -(-n // n_workers(n_jobs))
        runs = [(i, min(i + step, n), column) for i in range(0, n, step)]
        (sums, scatter), *others = map_jobs(self._sums_of_run, runs, n_jobs)
        for more, further in others:
            scatter = scatter + further
            for total, some in zip(sums, more, strict=True):
                total += some
        return sums, scatter

    @np.errstate(over="ignore", under="ignore", invalid="ignore")  # said of the moments
    def _sums_of_run(self, start, end, column):
        parts, m, n_sums = self.parts(start, end), self.m, 1 + (column is not None)
        sums = [np.zeros((self.n_levels, m)) for _ in range(n_sums)]
        rows, scatter = np.empty((parts[0].stop - start, m)), 0.0
        for part in parts:
            A = rows[: part.stop - part.start]
            scatter = scatter + self._scatter_of(part, A)
            a = np.ones(len(A)) if self.weight is None else self.weight[part]
            sums[0] += self._by_level(part, a) @ A
            if column is not None:
                sums[1] += self._by_level(part, a * column[part]) @ A
        return sums, scatter

    def _by_level(self, part, factor):
        """The matrix that sums the rows of each level times factors, (n_levels, n)."""
        ends = np.arange(len(factor) + 1, dtype=np.int32)
        shape = self.n_levels, len(factor)
        return sparse.csc_array((factor, self.codes[part], ends), shape=shape)

    def _scatter_of(self, part, A):
        """A'WA of a slice of rows, which are written into A; 0 where it is not used."""
        m, scatter = A.shape[1], 0.0
        step = max(block_rows(m) // SHARES, 1)
        for i in range(0, len(A), step):
            block = A[i : i + step]
            some = slice(part.start + i, part.start + i + len(block))
            self.rows_into(block, some)
            if len(self.codes) > m:
                weighted = self.weighted(block, some)
                scatter = scatter + weighted.T @ weighted
        return scatter

    def root_beside(self, scatter, on, lengths, column=None, gone=()):
        """Root of the scatter that is left beside effects of the levels.

        By the difference of sums, math.md (185), or from the rows without the effects
        where it would cost digits.

        Parameters
        ----------
        scatter : ndarray of shape (m, m), or 0.0
            A'WA; not used if there are no more rows than columns.
        on : list of ndarray of shape (n_levels, m)
            Products of A with orthonormal columns that span the effects: those of a
            constant, and of `column`.
        lengths : list of ndarray of shape (n_levels,)
            The lengths of these two, by which they are divided; 0 for a column of
            rounding.
        column : ndarray of shape (n,), default=None
        gone : sequence of int, default=()
            Columns of A that the effects leave nothing of.
        """
        n, m = len(self.codes), self.m
        kept = np.delete(np.arange(m), gone)  # rounding would have a row of its own
        if n > m:
            spanned = sum(part.T @ part for part in on)
            root = root_by_difference(scatter, spanned, gone)
            if root is not None:
                return root[kept]
        roots = [np.empty((0, len(kept)))]
        for some in row_blocks(n, m):
            codes = self.codes[some]
            A = np.empty((len(codes), m))
            self.rows_into(A, some)
            factors = [1.0] if column is None else [1.0, column[some]]
            for factor, part, length in zip(factors, on, lengths, strict=True):
                axis = factor * inverse(length).take(codes)
                A -= axis[:, None] * part.take(codes, axis=0)
            roots.append(rows_root(self.weighted(A[:, kept], some)))
            if len(roots) > ROOTS_AT_ONCE:
                roots = [rows_root(np.vstack(roots))]
        root = np.zeros((min(sum(map(len, roots)), len(kept)), m))
        root[:, kept] = rows_root(np.vstack(roots))
        return root


def level_rows(read, codes, n_levels, weight=None):
    """`LevelRows`, counted from any row of each level."""
    some = np.empty(n_levels, dtype=np.intp)
    for rows in row_blocks(len(codes), 1):
        some[codes[rows]] = np.arange(rows.start, rows.stop)
    parts = read(some)
    own = np.empty((n_levels, sum(part.shape[1] for part in parts)))
    _side_by_side(parts, own)
    return LevelRows(read, codes, n_levels, weight, own)


def _side_by_side(parts, A):
    """Write arrays (n, ...) of some columns each into A."""
    places = slices_of(part.shape[1] for part in parts)
    for part, some in zip(parts, places, strict=True):
        A[:, some] = part


def inverse(lengths):
    """1 / lengths, and 0 for 0."""
    return np.divide(1.0, lengths, where=lengths > 0, out=np.zeros_like(lengths))
