"""The rows without the effects of one factor (docs/math.md, section 11).

For every level g of a factor, QR of its weighted rows sqrt(w) [Z_g A_g] leaves R_g on
top, and the rows below it are free of the factor's effects.  The columns of Z are among
those of A, a constant and the features: R holds the R11 and the R12 of a `Gram`.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .._blocks import block_rows, cut, map_runs
from .gram import Gram
from .moments import Moments
from .qr import EPS, column_norms, rows_root, stacked_root
from .reduction import (
    ROOTS_AT_ONCE,
    rows_by_group,
    rows_of,
    split_long,
    spread,
    weighted_sums,
)

# A column of Z is dependent on those before it, within a level, where these leave less
# than this part of it: directions of shorter ones are rounding.
DEPENDENT = 1e-10


@dataclass(frozen=True)
class Elimination:
    """What the rows say beside and about the effects of a factor.

    The columns are A = [1 X y], X and y counted from `shift`.

    Attributes
    ----------
    shift : ndarray of shape (m,)
        The weighted mean of every column; 0 for the constant.
    R : ndarray of shape (K, q, m)
        The rows on top of each level.
    rest : ndarray of shape (k, m)
        Root of all rows below: rest'rest is their scatter.
    R11 : ndarray of shape (K, q, q)
        The columns of Z of these rows: counted from `shift` if one of the effects is a
        random intercept, else as they are.
    positions : ndarray of shape (q,)
        Which of the columns are those of Z.
    n : float
        Sum of the weights.
    """

    shift: np.ndarray
    R: np.ndarray
    rest: np.ndarray
    R11: np.ndarray
    positions: np.ndarray
    n: float

    @property
    def has_constant(self):
        """Whether one of the effects is a random intercept."""
        return bool(self.positions[0] == 0)

    def moments(self):
        """The moments of [X y]: of the levels, if one of the effects is a random
        intercept, else of all rows as of one group.
        """
        m = self.R.shape[2]
        if self.has_constant:
            size = self.R[:, 0, 0] ** 2
            mean = self.R[:, 0, 1:] / self.R[:, 0, :1]
            parts = [self.R[:, 1:, 1:].reshape(-1, m - 1), self.rest[:, 1:]]
        else:
            size, mean = np.array([self.n]), np.zeros((1, m - 1))
            root = stacked_root([self.R.reshape(-1, m), self.rest])
            parts = [root[1:, 1:]]
        return Moments(self.shift[1:], size, mean, stacked_root(parts))

    def gram(self, columns, mean):
        """The Gram of the working columns [1, X, y] beside Z.

        Parameters
        ----------
        columns : Columns
        mean : ndarray of shape (p,)
            Positions of the columns of the mean among those of A.
        """
        kept = np.concatenate([mean, [len(self.shift) - 1]])
        move = self.shift[kept] - np.append(columns.shift, columns.y_shift)

        def work(R):
            rows = R[..., kept] + R[..., :1] * move
            into = rows[..., :-1] @ columns.into
            ones = R[..., : int(columns.has_constant)]
            return np.concatenate([ones, into, rows[..., -1:]], axis=-1)

        rest, R12 = work(self.rest), work(self.R)
        if self.has_constant:
            # Where a working column is constant within levels by arithmetic, it shall
            # be so to the last digit.
            first = int(columns.has_constant)
            constant = first + np.flatnonzero(~columns.within)
            rest[:, constant] = 0.0
            R12[:, 1:, constant] = 0.0
        multiplicity = np.broadcast_to(1.0, len(R12))
        return Gram(R11=self.R11, R12=R12, R22=rest, multiplicity=multiplicity)


def eliminate(read, codes, n_levels, positions, weight=None, n_jobs=None):
    """Eliminate the effects of one factor from dense rows, in one pass.

    Parameters
    ----------
    read : callable
        ``read(rows)`` gives those rows of A = [1 X y] as a new (len(rows), m) float64
        array; `rows` is a slice or an array of row numbers.
    codes : ndarray of shape (n,)
        The level of each row, 0 to ``n_levels - 1``, each at least once.
    n_levels : int
    positions : ndarray of shape (q,)
        The columns of Z among those of A; the constant, 0, first if it is one of them.
    weight : ndarray of shape (n,), default=None
        Positive weights; None means 1.
    n_jobs : int, default=None
        See `skmixed._blocks.map_runs`.

    Returns
    -------
    Elimination
    """
    order, bounds = rows_by_group(codes, n_levels)
    origin = read(slice(0, 1))[0]
    origin[0] = 0.0
    if positions[0] != 0:
        origin[positions] = 0.0
    bounds, owner = split_long(bounds, block_rows(len(origin)))

    def eliminate_run(run):
        return _eliminate_run(read, order, run, origin, positions, weight)

    runs = map_runs(eliminate_run, bounds, n_jobs)
    R, rest = (np.concatenate(parts) for parts in zip(*runs, strict=True))
    R, left = _merge_pieces(R, owner, n_levels, positions)
    rest = stacked_root([rest, left])
    n = float(len(codes) if weight is None else weight.sum())
    return about_mean(origin, R, rest, positions, n)


def about_mean(origin, R, rest, positions, n):
    """An elimination about the weighted means, of columns counted from `origin`."""
    # Deviations of a column that is constant within levels are rounding; kept, they
    # would be information about its coefficient where the variance is large.
    long = column_norms(R[:, 0]) * (positions[0] == 0)
    rest = np.where(column_norms(rest) > 16 * EPS * long, rest, 0.0)
    mean = (np.einsum("gi,gij->j", R[:, :, 0], R) + rest[:, 0] @ rest) / n
    mean[0] = 0.0
    raw = R[:, :, positions]
    R = R - R[:, :, :1] * mean
    rest = rest - rest[:, :1] * mean
    R11 = R[:, :, positions] if positions[0] == 0 else raw
    return Elimination(origin + mean, R, rest, R11, positions, n)


def reader(X, y):
    """A function that reads rows of A = [1 X y] of dense X."""
    p = X.shape[1]

    def read(rows):
        of_y = y[rows]
        A = np.empty((len(of_y), p + 2))
        A[:, 0] = 1.0
        A[:, 1:-1] = rows_of(X, rows)
        A[:, -1] = of_y
        return A

    return read


def _eliminate_run(read, order, bounds, origin, positions, weight):
    """R and the root of the rest, of consecutive pieces of levels."""
    m = len(origin)
    R = np.zeros((len(bounds) - 1, len(positions), m))
    kept = np.setdiff1d(np.arange(m), positions)
    roots = [np.empty((0, len(kept)))]
    for i, j in pairwise(cut(bounds, block_rows(m))):
        rows = slice(bounds[i], bounds[j])
        rows = rows if order is None else order[rows]
        A = read(rows)
        a = None if weight is None else weight[rows]
        pieces = bounds[i : j + 1] - bounds[i]
        R[i:j] = _eliminate_block(A, a, pieces, origin, positions)
        roots.append(rows_root(A[:, kept]))
        A = None  # before the next block is read
        if len(roots) > ROOTS_AT_ONCE:
            roots = [rows_root(np.vstack(roots))]
    root = rows_root(np.vstack(roots))
    rest = np.zeros((len(root), m))
    rest[:, kept] = root
    return R, rest


def _eliminate_block(A, a, bounds, origin, positions):
    """R of the pieces of some rows A, which become what is left of them."""
    length = np.diff(bounds)
    R = np.zeros((len(length), len(positions), A.shape[1]))
    done = int(positions[0] == 0)
    if done:
        # Counted from a row of its own level, a row has lost the offset of the data and
        # the spread between levels, and all its own digits are left.
        own = A[bounds[:-1]]
        A -= spread(own, length)
        sums = weighted_sums(np.ones(len(A)) if a is None else a, bounds)
        size = sums.sum(axis=1)
        mean = sums @ A / size[:, None]
        A -= spread(mean, length)
        R[:, 0] = np.sqrt(size)[:, None] * (mean + own - origin)
    else:
        A -= origin
    if a is not None:
        A *= np.sqrt(a)[:, None]
    sweep(A, bounds, positions, R, done)
    return R


def sweep(A, bounds, positions, R, done=0):
    """Sweep columns of pieces of rows, one after the other: modified Gram-Schmidt.

    Parameters
    ----------
    A : ndarray of shape (n, m)
        What is left of the rows in the end.
    bounds : ndarray of shape (n_pieces + 1,)
        Where the pieces begin, and the end.
    positions : ndarray of shape (q,)
        The columns to sweep.
    R : ndarray of shape (n_pieces, q, m)
        To be filled in: the rows on top of each piece.
    done : int
        How many of the positions have been swept already.
    """
    length = np.diff(bounds)
    for j in range(done, len(positions)):
        column = positions[j]
        z = A[:, column].copy()
        ones = weighted_sums(z, bounds)
        before = R[:, :j, column]
        square = (ones @ z).reshape(-1)
        norm = np.sqrt(square + np.sum(before**2, axis=1))
        pivot = np.sqrt(square)
        # As many pivots as rows: nothing but rounding is left.
        used = np.count_nonzero(R[:, range(j), positions[:j]], axis=1)
        pivot[(pivot <= DEPENDENT * norm) | (used >= length)] = 0.0
        inverse = np.divide(1.0, pivot, where=pivot > 0, out=np.zeros_like(pivot))
        z *= spread(inverse, length)
        R[:, j] = weighted_sums(z, bounds) @ A
        A -= z[:, None] * spread(R[:, j], length)
        A[:, column] = 0.0
        R[:, j, column] = pivot
        R[:, j, positions[:j]] = 0.0


def _merge_pieces(R, owner, n_levels, positions):
    """R of the levels, whose pieces are rows once more, and what is left of these."""
    q, m = R.shape[1:]
    if len(owner) == n_levels:
        return R, np.empty((0, m))
    counts = np.bincount(owner, minlength=n_levels)
    several = counts[owner] > 1
    merged = np.empty((n_levels, q, m))
    merged[counts == 1] = R[~several]
    rows = R[several].reshape(-1, m)
    bounds = q * np.concatenate([[0], np.cumsum(counts[counts > 1])])
    joined = np.zeros((len(bounds) - 1, q, m))
    sweep(rows, bounds, positions, joined)
    merged[counts > 1] = joined
    return merged, rows
