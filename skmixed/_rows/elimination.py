"""The rows without the effects of one factor (docs/math.md, section 11).

For every level g of a factor, QR of its weighted rows sqrt(w) [Z_g A_g] leaves R_g on
top, and the rows below it are free of the factor's effects.  The columns of Z are among
those of A, a constant and the features: R holds the R11 and the R12 of a `Gram`.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from .._input.blocks import block_rows, cut, map_runs, row_blocks
from .gram import Gram
from .moments import Moments
from .pieces import (
    PieceSums,
    rows_by_group,
    rows_of,
    split_long,
    spread,
    weighted_sums,
)
from .qr import (
    EPS,
    ROOTS_AT_ONCE,
    ROUNDINGS,
    column_norms,
    rows_root,
    stacked_root,
)
from .within import inverse, level_rows

# A column of Z is dependent on those before it, within a level, where these leave less
# than this fraction of it: directions of shorter ones are rounding.
DEPENDENT = 1e-13
# Relative to the level of a column that is counted from 0: what is left of it about its
# mean is rounding of sums over a block of rows.
ROUNDED = 1e-12


@dataclass(frozen=True)
class Elimination:
    """The sums of the rows beside and about the effects of a factor.

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
    upper : tuple of ndarray of shape (K_l, q_l, m), or None
        Of each factor that the first one is nested in: the rows on top of each of its
        levels, after the elimination of the factors before it; None if these leave
        nothing of its columns.
    """

    shift: np.ndarray
    R: np.ndarray
    rest: np.ndarray
    R11: np.ndarray
    positions: np.ndarray
    n: float
    upper: tuple = ()

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
            parts = [self.R[:, 1:].reshape(-1, m), *self._below()]
            root = stacked_root(parts)[:, 1:]
        else:
            size, mean = np.array([self.n]), np.zeros((1, m - 1))
            root = self.total[1:, 1:]
        return Moments(self.shift[1:], size, mean, root)

    @cached_property
    def total(self):
        """Root of the scatter of all columns."""
        m = self.R.shape[2]
        return stacked_root([self.R.reshape(-1, m), *self._below()])

    def _below(self):
        m = self.R.shape[2]
        upper = [E.reshape(-1, m) for E in self.upper if E is not None]
        return [*upper, self.rest]

    def work(self, columns, mean):
        """A function that turns rows of A into rows of the working columns [1, X, y].

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

        return work

    def gram(self, columns, mean):
        """The Gram of the working columns beside Z; parameters as those of `work`."""
        work = self.work(columns, mean)
        rest, R12 = work(self.rest), self._worked(work)
        if self.has_constant:
            # A working column that is constant within levels by arithmetic shall be so
            # to the last digit.
            first = int(columns.has_constant)
            constant = first + np.flatnonzero(~columns.within)
            rest[:, constant] = 0.0
            R12[:, 1:, constant] = 0.0
        upper = [work(E) for E in self.upper if E is not None]
        taken = R12[:, int(self.has_constant) :], *upper, rest[None]
        square = sum(np.einsum("kqm,kqm->m", part, part) for part in taken)
        rest = without_rounding(rest, np.sqrt(square))
        multiplicity = np.broadcast_to(1.0, len(R12))
        return Gram(R11=self.R11, R12=R12, R22=rest, multiplicity=multiplicity)

    def _worked(self, work):
        """R in working columns, some levels at a time, as of `level_last`."""
        K, q, m = self.R.shape
        width = work(self.R[:0]).shape[2]
        R12 = np.empty((K, q, width) if q == 1 else (width, q, K))
        R12 = R12 if q == 1 else R12.T
        for levels in row_blocks(K, q * m):
            R12[levels] = work(self.R[levels])
        return R12


def without_rounding(rest, norm):
    """The rest (k, 1 + r + 1) that effects leave of working columns [1, X, y], whose
    lengths were `norm`.

    A column that effects and the columns before it span leaves rounding.  Kept, it
    would be information about its coefficient where variances are large.
    """
    R = np.linalg.qr(rest, mode="r")
    least = ROUNDINGS * EPS * norm[: len(R)]
    spanned = np.flatnonzero(np.abs(np.diag(R)) <= least)
    spanned = spanned[spanned < rest.shape[1] - 1]
    if not R[spanned, spanned].any():
        return rest
    R[spanned, spanned] = 0.0
    return R


@dataclass(frozen=True)
class Nest:
    """A factor that the first one, and all between, are nested in.

    Attributes
    ----------
    owner : ndarray of shape (K,)
        The level of this factor that each level of the first one belongs to.
    n_levels : int
    positions : ndarray of shape (q,)
        The columns of its effects among those of A.
    """

    owner: np.ndarray
    n_levels: int
    positions: np.ndarray


def eliminate(read, codes, n_levels, positions, weight=None, n_jobs=None, upper=()):
    """Eliminate the effects of one factor from dense rows, in one pass: math.md (37).

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
        See `skmixed._input.blocks.map_runs`.
    upper : sequence of Nest, default=()
        Factors that this one is nested in, from the inside out.  The levels of each
        factor are in the order of those of the next.

    Returns
    -------
    Elimination
    """
    origin = origin_of(read, positions, upper)
    R, rest, of_upper = eliminate_about(
        origin, read, codes, n_levels, positions, weight, n_jobs, upper
    )
    n = float(len(codes) if weight is None else weight.sum())
    return about_mean(origin, R, rest, positions, n, of_upper)


def eliminate_about(origin, read, codes, n_levels, positions, weight, n_jobs, upper):
    """`R`, `rest` and `upper` of an `Elimination`, of columns counted from `origin`,
    (m,); the other parameters are those of `eliminate`.
    """
    left_over = [not set(nest.positions) <= set(positions) for nest in upper]
    some = [nest for nest, left in zip(upper, left_over, strict=True) if left]
    how = read, codes, n_levels, positions, origin, weight, n_jobs
    has_few = positions[0] == 0 and len(positions) <= 2
    if has_few and isinstance(read, Reader) and not some:
        return *_eliminate_few(*how), (None,) * len(upper)
    R, left, rest, pieces = _visit(*how, some)
    merged, rest = _merge_upper(some, pieces, left, rest)
    merged = iter(merged)
    return R, rest, tuple(next(merged) if left else None for left in left_over)


def origin_of(read, positions, upper=()):
    """The row that columns are counted from: the first one, but 0 for the constant, and
    for the columns of effects that are swept before a random intercept is, of this
    factor or of those that it is nested in.
    """
    origin = read(slice(0, 1))[0]
    origin[0] = 0.0
    for some in (positions, *(nest.positions for nest in upper)):
        if some[0] == 0:
            break
        origin[some] = 0.0
    return origin


def about_mean(origin, R, rest, positions, n, upper=()):
    """An elimination about the weighted means, of columns counted from `origin`; R is
    overwritten.
    """
    # Deviations of a column that is constant within levels are rounding; kept, they
    # would be information about its coefficient where the variance is large.
    long = column_norms(R[:, 0]) * (positions[0] == 0)
    rest = np.where(column_norms(rest) > ROUNDINGS * EPS * long, rest, 0.0)
    R = np.ascontiguousarray(R)
    upper = tuple(None if E is None else E.copy() for E in upper)
    rows = [E.reshape(-1, len(origin)) for E in (R, rest, *upper) if E is not None]
    raw = R[:, :, positions]
    shift = origin.astype(float)
    # The first mean of columns counted from 0 has lost digits of their level.
    for _ in range(1 + (positions[0] != 0)):
        mean = sum(part[:, 0] @ part for part in rows) / n
        mean[0] = 0.0
        shift += mean
        for part in rows:
            for some in row_blocks(*part.shape):
                part[some] -= part[some, :1] * mean
    if positions[0] != 0:
        norm = np.sqrt(sum(column_norms(part) ** 2 for part in rows))
        lost = (norm <= ROUNDED * np.sqrt(n) * np.abs(shift)) & (origin == 0)
        lost[-1] = False  # y is counted from its first row, which may be 0
        for part in rows:
            part[:, lost] = 0.0
    R11 = R[:, :, positions] if positions[0] == 0 else raw
    return Elimination(shift, R, rest, R11, positions, n, upper)


@dataclass(frozen=True)
class Reader:
    """A function that reads rows of A = [1 X y] of dense X.

    Attributes
    ----------
    X : ndarray of shape (n, p)
    y : ndarray of shape (n,)
    """

    X: np.ndarray
    y: np.ndarray

    def __call__(self, rows):
        of_y = self.y[rows]
        A = np.empty((len(of_y), self.X.shape[1] + 2))
        A[:, 0] = 1.0
        A[:, 1:-1] = rows_of(self.X, rows)
        A[:, -1] = of_y
        return A

    def parts(self, rows):
        """X and y (n, 1) of these rows, which are not to be changed."""
        return rows_of(self.X, rows), self.y[rows][:, None]


@np.errstate(over="ignore", invalid="ignore")  # `check_range` says it of the moments
def _eliminate_few(read, codes, n_levels, positions, origin, weight, n_jobs):
    """R and the root of the rest, of a random intercept and at most one slope: math.md
    (185).
    """
    rows, q = level_rows(read.parts, codes, n_levels, weight), len(positions)
    root_size, column, gone = np.sqrt(rows.totals()), None, positions[1:] - 1
    lengths = [root_size]
    if q == 2:
        column, length = _slope_column(rows, read, root_size, positions[1], origin)
        lengths.append(length)
    on, scatter = rows.sums(column, n_jobs)
    for part, length in zip(on, lengths, strict=True):
        part *= inverse(length)[:, None]
    root = rows.root_beside(scatter, on, lengths, column, gone)
    column, R = None, np.zeros((n_levels, q, len(origin)))
    for j in reversed(range(q)):
        R[:, j, 1:] = on.pop()
    R[:, 0, 0] = root_size
    R[:, 0, 1:] += root_size[:, None] * (rows.own - origin[1:])
    if q == 2:
        R[:, 1, positions[1]] = lengths[1]
    return R, np.column_stack([np.zeros(len(root)), root])


def _slope_column(rows, read, root_size, position, origin):
    """The column of a slope, counted from the means of its levels, and its lengths."""
    codes, at = rows.codes, position - 1
    own = rows.own[:, at].copy()
    z = np.array(read.X[:, at], dtype=float)

    def take_off(figures):
        for some in row_blocks(len(z), 1):
            z[some] -= figures.take(codes[some])

    take_off(own)
    mean = rows.totals(z) / root_size**2
    take_off(mean)
    square = rows.totals(z * z)
    norm = np.sqrt(square + (root_size * (mean + own - origin[position])) ** 2)
    length = replace(rows, weight=None).totals()
    return z, pivots(square, norm, 1, length)


def _visit(read, codes, n_levels, positions, origin, weight, n_jobs, upper):
    """R of all levels; the rows that remain of pieces of long ones, and the level of
    each; the root of the rest; and of every run the pieces of the upper factors.
    """
    order, bounds = rows_by_group(codes, n_levels)
    bounds, owner = split_long(bounds, block_rows(len(origin)))

    def run(bounds):
        block = _Block(read, order, origin, positions, weight)
        return _visit_run(block, bounds, codes, upper)

    R, rest, pieces = zip(*map_runs(run, bounds, n_jobs), strict=True)
    R = R[0] if len(R) == 1 else np.concatenate(R)
    R, left = join_pieces(R, owner, n_levels, positions)
    return R, left, stacked_root(list(rest)), pieces


def eliminate_beside(read, codes, n_levels, positions, origin, weight, beside, n_jobs):
    """Eliminate the effects of one factor, beside columns Z_2 of other factors.

    Parameters
    ----------
    read, codes, n_levels, positions, weight, n_jobs
        As those of `eliminate`.
    origin : ndarray of shape (m,)
        Where the columns of A are counted from; see `origin_of`.
    beside : csr_array of shape (n, d)
        The columns Z_2.

    Returns
    -------
    R : ndarray of shape (K, q, m)
    rest : ndarray of shape (k, m)
        Root of the rows after the elimination.
    axes : ndarray of shape (n, q)
        Q, the orthonormal columns that span Z: R = Q'W^1/2 A within levels.
    product : ndarray of shape (d, m)
        Z_2'W^1/2 times the rows W^1/2 A after the elimination.
    """
    order, bounds = rows_by_group(codes, n_levels)
    axes = np.empty((len(codes), len(positions)))
    block = _Block(read, order, origin, positions, weight, axes)

    def run(bounds):
        return _visit_run(block, bounds, codes, (), beside)

    found = map_runs(run, bounds, n_jobs, writes=True)  # into `axes`
    R, rest, _, products = zip(*found, strict=True)
    return np.concatenate(R), stacked_root(list(rest)), axes, sum(products)


@dataclass(frozen=True)
class _Block:
    """A reader of blocks of rows that eliminates the effects of a factor from them."""

    read: object
    order: np.ndarray | None
    origin: np.ndarray
    positions: np.ndarray
    weight: np.ndarray | None
    axes: np.ndarray | None = None

    def rows(self, start, end):
        """The numbers of some rows in the order of the levels."""
        rows = slice(start, end)
        return rows if self.order is None else self.order[rows]

    def eliminate(self, rows, bounds):
        """R of pieces of rows, and the rows after the elimination."""
        A = self.read(rows)
        a = None if self.weight is None else self.weight[rows]
        axes = np.empty((len(A), len(self.positions)))
        R = _eliminate_block(A, a, bounds, self.origin, self.positions, axes)
        if self.axes is not None:
            self.axes[rows] = axes
        return R, A


@np.errstate(over="ignore", invalid="ignore")  # `check_range` says it of the moments
def _visit_run(block, bounds, codes, upper, beside=None):
    """R and the root of the rest, of consecutive pieces of levels, and lists of owners
    and rows of every upper factor; and `product` of `eliminate_beside`.
    """
    m, positions = len(block.origin), block.positions
    R = np.zeros((len(bounds) - 1, len(positions), m))
    kept = np.arange(m) if upper else np.setdiff1d(np.arange(m), positions)
    roots, of_upper, product = [np.empty((0, len(kept)))], [[] for _ in upper], 0.0
    for i, j in pairwise(cut(bounds, block_rows(m))):
        rows, pieces = block.rows(bounds[i], bounds[j]), bounds[i : j + 1] - bounds[i]
        R[i:j], A = block.eliminate(rows, pieces)
        if beside is not None:
            a = 1.0 if block.weight is None else np.sqrt(block.weight[rows])[:, None]
            product = product + beside[rows].T @ (a * A)
        level = codes[rows][pieces[:-1]] if upper else None
        for nest, found in zip(upper, of_upper, strict=True):
            found.append(_sweep_levels(A, nest.owner[level], pieces, nest.positions))
        roots.append(rows_root(A[:, kept]))
        A = None  # before the next block is read
        if len(roots) > ROOTS_AT_ONCE:
            roots = [rows_root(np.vstack(roots))]
    root = rows_root(np.vstack(roots))
    rest = np.zeros((len(root), m))
    rest[:, kept] = root
    return (R, rest, of_upper) if beside is None else (R, rest, of_upper, product)


def _sweep_levels(A, owner, bounds, positions):
    """Owners and rows on top of the runs of pieces with the same owner; A is replaced
    by the rows after the elimination.
    """
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    R = np.zeros((len(starts), len(positions), A.shape[1]))
    sweep(A, np.append(bounds[starts], bounds[-1]), positions, R)
    return owner[starts], R


def _eliminate_block(A, a, bounds, origin, positions, axes):
    """R of the pieces of some rows A, which are replaced by the rows after the
    elimination; `axes` is to be filled in as in `sweep`.
    """
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
        axes[:, 0] = spread(1 / np.sqrt(size), length) * (1 if a is None else a**0.5)
    else:
        A -= origin
    if a is not None:
        A *= np.sqrt(a)[:, None]
    sweep(A, bounds, positions, R, done, axes)
    return R


def sweep(A, bounds, positions, R, done=0, axes=None):
    """Sweep columns of pieces of rows, one after the other: modified Gram-Schmidt.

    Parameters
    ----------
    A : ndarray of shape (n, m)
        The rows; they are replaced by the rows after the sweep.
    bounds : ndarray of shape (n_pieces + 1,)
        Where the pieces begin, and the end.
    positions : ndarray of shape (q,)
        The columns to sweep.
    R : ndarray of shape (n_pieces, q, m)
        To be filled in: the rows on top of each piece.
    done : int
        How many of the positions have been swept already.
    axes : ndarray of shape (n, q), default=None
        To be filled in: the orthonormal columns that R is made with.
    """
    length, total = np.diff(bounds), PieceSums(bounds)
    for j in range(done, len(positions)):
        column = positions[j]
        z = A[:, column].copy()
        for i in range(j if axes is not None else 0):  # once more, for the digits
            left = total(z, axes[:, i])
            R[:, i, column] += left
            z -= axes[:, i] * spread(left, length)
        before = R[:, :j, column]
        square = total(z, z)
        norm = np.sqrt(square + np.sum(before**2, axis=1))
        used = np.count_nonzero(R[:, range(j), positions[:j]], axis=1)
        pivot = pivots(square, norm, used, length)
        z *= spread(inverse(pivot), length)
        if axes is not None:
            axes[:, j] = z
        R[:, j] = total(z, A)
        A -= z[:, None] * spread(R[:, j], length)
        A[:, column] = 0.0
        R[:, j, column] = pivot
        R[:, j, positions[:j]] = 0.0


def swept(A, bounds, positions):
    """R (n_pieces, q, m) of `sweep`, a block of rows at a time, so that it stays in the
    cache; A is replaced by the rows after the sweep.
    """
    R = np.zeros((len(bounds) - 1, len(positions), A.shape[1]))
    for i, j in pairwise(cut(bounds, block_rows(A.shape[1]))):
        some = slice(bounds[i], bounds[j])
        sweep(A[some], bounds[i : j + 1] - bounds[i], positions, R[i:j])
    return R


def pivots(square, norm, used, length):
    """The lengths of a column in pieces of rows, 0 where nothing but rounding is left
    of its whole length `norm`: there are as many pivots before as rows, or the rest is
    too short.
    """
    pivot = np.sqrt(square)
    pivot[(pivot <= DEPENDENT * norm) | (used >= length)] = 0.0
    return pivot


def join_pieces(R, owner, n_levels, positions):
    """R of the levels, whose pieces are rows once more; the rows that remain of these,
    and the level of each.
    """
    q, m = R.shape[1:]
    if len(owner) == n_levels:
        return R, (np.empty((0, m)), np.empty(0, dtype=int))
    counts = np.bincount(owner, minlength=n_levels)
    several = counts[owner] > 1
    merged = np.empty((n_levels, q, m))
    merged[counts == 1] = R[~several]
    rows = R[several].reshape(-1, m)
    bounds = q * np.concatenate([[0], np.cumsum(counts[counts > 1])])
    merged[counts > 1] = swept(rows, bounds, positions)
    return merged, (rows, np.repeat(owner[several], q))


def _merge_upper(upper, pieces, left, rest):
    """The rows of every upper factor from those of its pieces, and the root of the rows
    that remain of these and of the pieces of the first factor.
    """
    rows, level = left
    merged = []
    for at, nest in enumerate(upper):
        parts = [part for run in pieces for part in run[at]]
        q, m = parts[0][1].shape[1:]
        owner = np.concatenate([np.repeat(own, q) for own, _ in parts])
        owner = np.append(owner, nest.owner[level])
        rows = np.vstack([*(R.reshape(-1, m) for _, R in parts), rows])
        order = np.argsort(owner, kind="stable")
        rows, owner = rows[order], owner[order]
        R = np.zeros((nest.n_levels, q, m))
        bounds = np.append(np.flatnonzero(np.diff(owner, prepend=-1)), len(owner))
        R[owner[bounds[:-1]]] = swept(rows, bounds, nest.positions)
        merged.append(R)
        # Any level of the first factor serves: those above do not tell them apart.
        first = np.zeros(nest.n_levels, dtype=int)
        first[nest.owner] = np.arange(len(nest.owner))
        level = first[owner]
    return merged, stacked_root([rest, rows])
