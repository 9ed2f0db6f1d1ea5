"""From the user's columns to working columns and back (docs/math.md, section 2).

Working columns are centred, of full rank, and carry the constant as their first column;
coefficients come back in the user's units.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy.linalg import lapack, qr

from .._input.blocks import row_blocks
from .dependence import find_dependence
from .gram import pool_rows, random_intercept_gram
from .moments import Moments
from .qr import EPS, column_norms, rows_root
from .reduction import SPARSE_TOLERANCE

# The noise standard deviation is never estimated below this fraction of y's own: some
# hundred times the rounding of an exact fit.
NOISE_FLOOR = 1e-13
# A column whose sum of squares is a smaller fraction of the ridge penalty is lost.
LOST = 1e-15
# Rounding errors of a column, and of a sum of some, in units of the precision of X.
COLUMN_ROUNDING = 4
LEVEL_ROUNDING = COLUMN_ROUNDING * EPS
# Squares of figures outside this range overflow or vanish in double precision.
SMALLEST, LARGEST = 1e-140, 1e140


@dataclass(frozen=True)
class Columns:
    """The map between the user's p columns and k working columns.

    A row x becomes [1, (x - shift) @ into], or (x @ into) without a constant; `into`
    leaves out columns that others determine.  The constant is the intercept, or a
    constant column of X in a model without intercept.

    Attributes
    ----------
    shift : ndarray of shape (p,)
    y_shift : float
    has_constant : bool
    into : ndarray of shape (p, r)
    within : ndarray of shape (r,)
        False for the working columns that are constant within groups.
    back : ndarray of shape (p, k)
        User's coefficients = back @ working coefficients: of minimal norm where the
        columns are dependent.  The constant's column is zero for an intercept.
    logdet_basis : float
        log|X'V^-1X| of the user's first independent columns, the intercept before
        them, less that of the working columns.  Under a ridge penalty, in an
        orthonormal basis of the user's row space.
    estimable : ndarray of shape (1 + p,)
        Whether the intercept and each of the coefficients is determined by the data;
        under a ridge penalty all of them are.
    """

    shift: np.ndarray
    y_shift: float
    has_constant: bool
    into: np.ndarray
    within: np.ndarray
    back: np.ndarray
    logdet_basis: float
    estimable: np.ndarray

    @property
    def rank(self):
        """Number of working columns, the constant included."""
        return self.back.shape[1]

    def gram(self, moments):
        """The Gram of the working columns [1, X, y]."""
        return self._gram(moments, self._scatter(moments))

    def _gram(self, moments, within):
        offset = moments.shift - np.append(self.shift, self.y_shift)
        constant = int(self.has_constant)
        mean = np.ones((len(moments.mean), constant + len(self.within) + 1))
        for rows in row_blocks(*moments.mean.shape):
            mean[rows, constant:] = self._work(moments.mean[rows] + offset)
        return random_intercept_gram(moments.size, mean, within)

    def pooled_gram(self, moments):
        """The same, pooled where that pays; then the Gram of all groups is not made."""
        offset = moments.shift - np.append(self.shift, self.y_shift)
        root_size = np.sqrt(moments.size)
        constant = int(self.has_constant)

        def read(groups):
            rows = np.ones((len(groups), constant + len(self.within) + 1))
            some = moments.mean.take(groups, axis=0)  # faster than an index
            some += offset
            rows[:, constant:] = self._work(some)
            rows *= root_size[groups, None]
            return rows

        ones, within = np.broadcast_to(1.0, len(root_size)), self._scatter(moments)
        pooled = pool_rows(read, root_size, ones, within)
        return self._gram(moments, within) if pooled is None else pooled

    def _scatter(self, moments):
        """Root of the scatter of the working columns within groups."""
        constant = int(self.has_constant)
        root = np.zeros((len(moments.within), constant + len(self.within) + 1))
        # A working column that is constant within groups by arithmetic shall be so to
        # the last digit.
        root[:, constant:] = self._work(moments.within)
        root[:, constant:-1] *= self.within
        return root

    def apply(self, X):
        """The working columns of rows of X, dense and without the constant.

        These are those of math.md (5).
        """
        if sparse.issparse(X):
            return X @ self.into - self.shift @ self.into
        return (X - self.shift) @ self.into

    def whitened(self, moments):
        """The same columns, turned so that their scatter is n times the identity.

        Those that vary within groups are made orthogonal in their scatter within
        groups, the others in that of the group means: neither of the two sorts is
        mixed with the other.  `moments` are those that the columns were chosen from.
        """
        between = np.sqrt(moments.size)[:, None] * self._work(
            moments.mean + (moments.shift - np.append(self.shift, self.y_shift))
        )
        within = self._work(moments.within)
        turn = np.zeros((len(self.within), len(self.within)))
        for some, scatter in ((self.within, within), (~self.within, between)):
            k = int(some.sum())
            R = np.linalg.qr(scatter[:, :-1][:, some], mode="r")
            R *= np.sign(np.diag(R))[:, None]  # whatever the order of the rows
            root = np.linalg.solve(R, np.sqrt(moments.n) * np.eye(k))
            turn[np.ix_(some, some)] = root
        back = self.back.copy()
        back[:, self.has_constant :] = back[:, self.has_constant :] @ turn
        logdet = 2 * np.log(np.abs(np.diag(turn))).sum()
        return replace(
            self,
            into=self.into @ turn,
            back=back,
            logdet_basis=self.logdet_basis - logdet,
        )

    def identity(self):
        """The map for rows that `apply` has returned."""
        k = len(self.within)
        back = np.eye(k)
        if self.has_constant:
            back = np.column_stack([np.zeros(k), back])
        return replace(self, shift=np.zeros(k), y_shift=0.0, into=np.eye(k), back=back)

    def centred(self):
        """The map for rows whose y is counted from `y_shift`."""
        return replace(self, y_shift=0.0)

    @cached_property
    def _is_plain(self):
        """Whether the working columns are those of X."""
        p, r = self.into.shape
        return p == r and np.array_equal(self.into, np.eye(p))

    def _work(self, rows):
        if self._is_plain:
            return rows
        return np.column_stack([rows[:, :-1] @ self.into, rows[:, -1]])

    def penalty(self, alpha):
        """Rows P with |P [-beta; 1]|^2 = alpha |user's coefficients|^2, the penalty of
        math.md (22), or None.
        """
        if alpha == 0:
            return None
        rows = np.sqrt(alpha) * np.linalg.qr(self.back, mode="r")
        return np.column_stack([rows, np.zeros(len(rows))])

    def coefficients(self, beta):
        """User's coefficients, math.md (6), and the prediction at `shift`."""
        if not self.has_constant:
            return self.back @ beta, 0.0
        level = np.append(beta[0] + self.y_shift, beta[1:])
        return self.back @ level, level[0]

    def to_user(self, has_intercept):
        """J (1 + p, k) and offset: ``J @ beta + offset`` has the intercept and the
        coefficients of math.md (6).
        """
        J = np.vstack([np.zeros(self.rank), self.back])
        offset, constant = np.zeros(len(J)), np.zeros(self.rank)
        if self.has_constant:
            constant[0] = 1.0
            offset[1:] = self.back[:, 0] * self.y_shift
        if has_intercept:
            J[0] = constant - self.shift @ self.back
            offset[0] = self.has_constant * self.y_shift - self.shift @ offset[1:]
        return J, offset


def without_lost(moments, alpha, *, has_constant):
    """The moments without columns that a ridge penalty leaves nothing of: their
    coefficients would be beyond the digits of everything else.
    """
    if not alpha:
        return moments
    level = 0.0 if has_constant else moments.n * moments.shift**2
    lost = moments.spread**2 + level < LOST * alpha
    lost[-1] = False
    if not lost.any():
        return moments
    left = (moments.shift, moments.mean, moments.within)
    shift, mean, within = (np.where(lost, 0.0, A) for A in left)
    return Moments(shift, moments.size, mean, within)


def choose_columns(moments, *, fit_intercept, alpha, tolerance):
    """Decide the working columns from the moments of [X y].

    Parameters
    ----------
    moments : Moments
    fit_intercept : bool
    alpha : float
        Ridge penalty: where there is one, a constant column of X differs from an
        intercept.
    tolerance : Tolerance
        A column is dependent if its rest beside the others is smaller.
    """
    moments = without_lost(moments, alpha, has_constant=fit_intercept)
    shift, p = moments.shift, len(moments.shift) - 1
    stands_in = None
    if not fit_intercept:
        is_constant = ~moments.total[:, :p].any(axis=0) & (shift[:p] != 0)
        if alpha or not is_constant.any():
            shift = np.zeros(p + 1)
        else:
            stands_in = int(np.argmax(is_constant))
    between = moments.between_root(moments.shift - shift)[:, :p]
    norm = moments.spread[:p] if shift is moments.shift else None
    into, expand, within = _independent(
        moments.within[:, :p], between, *_rests(moments, tolerance), norm
    )
    right = into
    if stands_in is not None:
        expand = np.vstack([shift[:p], expand])
        right = np.column_stack([np.zeros(p), into])
        right[stands_in] = np.append(1, -(shift[:p] @ into)) / shift[stands_in]
    chosen, origin = (into, expand, within), shift[:p] * fit_intercept
    columns = _columns(chosen, right, shift, origin, alpha, fit_intercept)
    return columns if stands_in is None else replace(columns, has_constant=True)


def ungrouped(moments, *, absorbed, has_constant):
    """The moments of rows whose groups do not matter, as those of one group.

    Parameters
    ----------
    moments : Moments
    absorbed : bool
        Whether every group has an effect of its own, so that only the deviations from
        the group means count.
    has_constant : bool
        Whether the constant is a column of its own; where nothing takes its place, the
        scatter is that about zero.
    """
    shift, root = moments.shift, moments.within if absorbed else moments.total
    if not absorbed and not has_constant:
        root = np.vstack([root, np.sqrt(moments.n) * shift])
        shift = np.zeros(len(shift))
    size, mean = np.array([moments.n]), np.zeros((1, len(shift)))
    return Moments(shift, size, mean, root)


def choose_within(moments, norm, *, has_constant, tolerance, alpha=0.0):
    """Working columns from `ungrouped` moments; parameters as in `choose_columns`.

    The rest of a column counts relative to `norm`, that of its whole scatter, to which
    its rounding errors are relative.
    """
    p = len(moments.shift) - 1
    none = np.empty((0, p))
    root = moments.within[:, :p]
    norm = np.maximum(norm, column_norms(root))
    chosen = _independent(root, none, *_rests(moments, tolerance), norm)
    shift = moments.shift
    return _columns(chosen, chosen[0], shift, shift[:p], alpha, has_constant)


def _columns(chosen, right, shift, origin, alpha, has_constant):
    """The `Columns` of what `_independent` has chosen.

    Parameters
    ----------
    chosen : tuple
    right : ndarray of shape (p, k)
        A right inverse of the map from the working columns to those of X.
    shift : ndarray of shape (p + 1,)
        Where the columns of [X y] are counted from.
    origin : ndarray of shape (p,)
        As `shift` of `find_dependence`.
    alpha : float
    has_constant : bool
        Whether an intercept stands before the other working columns.
    """
    (into, expand, within), p = chosen, len(origin)
    back, logdet_basis = _minimal_norm(expand, right)
    estimable = np.ones(1 + p, dtype=bool)
    if len(expand) < p and not alpha:
        estimable, logdet_basis = find_dependence(expand, origin)
    if has_constant:
        back = np.column_stack([np.zeros(p), back])
    return Columns(
        shift=shift[:p],
        y_shift=float(shift[p]),
        has_constant=has_constant,
        into=into,
        within=within,
        back=back,
        logdet_basis=float(logdet_basis),
        estimable=estimable,
    )


def _rests(moments, tolerance):
    """The fraction of a dependent column that is left of it at most, and the length of
    the rounding errors of each column, which are relative to its level.
    """
    level = np.sqrt(moments.n) * np.abs(moments.shift[:-1])
    return tolerance.of_spread, tolerance.of_level * level


def _independent(within, between, tolerance, rounding, norm=None):
    """Columns that span X.

    `into` (p, r) makes them, `expand` (r, p) takes them back to X, and a mask (r,) says
    which of them vary within groups.

    Columns whose deviations within groups are independent come first.  The rest of the
    others beside them is constant within groups, and its independent part is kept too.
    Columns of the two sorts are told apart because at a large group variance
    the second carry vanishingly little information, which rounding in a mixture of
    both would drown.
    """
    p = within.shape[1]
    norm = column_norms(np.vstack([within, between])) if norm is None else norm.copy()
    norm[norm == 0] = 1.0
    rounding = rounding / norm
    if _clearly_independent(within / norm, max(tolerance, rounding.sum())):
        return np.eye(p), np.eye(p), np.ones(p, dtype=bool)
    _, spanned = _select(np.vstack([within, between]) / norm, tolerance, rounding, p)
    rank = len(spanned)  # all columns together have it: no more are selected below
    chosen, from_within = _select(within / norm, tolerance, rounding, rank)
    left = (between / norm) - (between[:, chosen] / norm[chosen]) @ from_within
    also, from_between = _select(left, tolerance, rounding, rank - len(chosen))
    kept = np.concatenate([chosen, also])
    expand = np.vstack([from_within, from_between])
    if not np.delete(expand, kept, axis=1).any() and not from_within[:, also].any():
        kept = np.sort(kept)  # all other columns are zero
        selection = _selection(p, kept)
        return selection, selection.T, np.isin(kept, chosen)
    into = _selection(p, kept)
    into[chosen, len(chosen) :] = -from_within[:, also]
    return into / norm[:, None], expand * norm, np.isin(kept, chosen)


def _clearly_independent(A, least):
    """Whether the rest of any column of A beside the others is longer than `least`,
    in whichever order they are taken.
    """
    if not 0 < A.shape[1] <= len(A):
        return False
    R = rows_root(A)
    if np.abs(R.diagonal()).min() <= least:
        return False
    return np.linalg.norm(lapack.dtrtri(R)[0]) * least < 1


def _selection(p, kept):
    """The columns `kept` of the identity (p, p), which may be far larger."""
    selection = np.zeros((p, len(kept)))
    selection[kept, np.arange(len(kept))] = 1.0
    return selection


def _select(A, tolerance, rounding, most):
    """At most so many independent columns of A, and all as combinations of them.

    The rest of a column counts if it is longer than `tolerance`, and than the
    `rounding` (p,) of the column and of those before it.
    """
    p = A.shape[1]
    if not A.any():
        return np.empty(0, dtype=int), np.zeros((0, p))
    root, candidates = np.linalg.qr(A, mode="r"), np.arange(p)
    while True:
        R, order = qr(root[:, candidates], mode="r", pivoting=True)
        order = candidates[order]
        left = np.abs(np.diag(R))
        counts = left > np.maximum(tolerance, rounding[order[: len(left)]])
        rank = len(left) if counts.all() else int(np.argmin(counts))
        # Column i less the combination of those before it: coefficients -R_ii R^-1_i.
        inverse = np.linalg.inv(R[:rank, :rank])
        drowned = rounding[order[:rank]] @ np.abs(np.triu(inverse, 1)) >= 1
        rank = int(np.argmax(drowned)) if drowned.any() else rank
        if not counts[rank + 1 :].any():
            break
        candidates = np.delete(candidates, np.flatnonzero(candidates == order[rank]))
    chosen = order[: min(rank, most)]
    others = np.delete(np.arange(p), chosen)
    Q, R = np.linalg.qr(root[:, chosen])
    combination = np.zeros((len(chosen), p))
    combination[:, chosen] = np.eye(len(chosen))
    shares = np.linalg.solve(R, Q.T @ root[:, others])
    # A share of rounding is none: in far smaller units it would be a column of its own.
    error = np.maximum(rounding[others], rounding[chosen] @ np.abs(shares))
    shares[np.abs(shares) <= np.maximum(tolerance, error)] = 0.0
    combination[:, others] = shares
    return chosen, combination


def _minimal_norm(expand, right):
    """Pseudo-inverse of `expand` (r, p) of full row rank, and log of its determinant
    squared; ``expand @ right`` is the identity.
    """
    if np.array_equal(expand @ expand.T, np.eye(len(expand))):
        return expand.T, 0.0
    if len(expand) == expand.shape[1]:
        # The only inverse, and a triangle in some order: nothing is lost, in any units.
        return right, -2 * np.linalg.slogdet(right)[1]
    try:
        return _pseudo_inverse(expand)
    except np.linalg.LinAlgError:  # units differ by more than double precision holds
        some = np.flatnonzero(right.any(axis=1))
        if len(some) != len(expand):
            raise
    # Solved for the columns that `right` goes back to, each of these is one row's.
    reduced = right[some] @ expand
    reduced[:, some] = np.eye(len(some))
    back, logdet = _pseudo_inverse(reduced)
    return back @ right[some], logdet - 2 * np.linalg.slogdet(right[some])[1]


def _pseudo_inverse(expand):
    """`_minimal_norm` by orthogonal columns."""
    # Rows in falling order and pivoting keep the digits of each row, in any units (Cox
    # and Higham 1998, SIAM Journal on Matrix Analysis and Applications 19).
    rows = np.argsort(-np.abs(expand).max(axis=0, initial=0.0), kind="stable")
    basis, R, order = qr(expand.T[rows], mode="economic", pivoting=True)
    back = np.empty_like(basis)
    back[np.ix_(rows, order)] = np.linalg.solve(R, basis.T).T
    return back, 2 * np.log(np.abs(np.diag(R))).sum()


def noise_floor(moments, has_constant):
    """Least noise variance, in the squared units of y.

    Relative to y's standard deviation (about 0 in a model without a constant), else to
    its level, else to 1.
    """
    deviation = moments.spread[-1] / np.sqrt(moments.n)
    level = abs(moments.shift[-1])
    scale = deviation if has_constant else np.hypot(deviation, level)
    return (NOISE_FLOOR * (scale or level or 1.0)) ** 2


def check_range(moments, names, fourth_powers=False):
    """Refuse columns whose squares, or whose coefficient's square, leave the range of
    double precision; ``names(j)`` is the name of column j.

    With `fourth_powers` those of the deviations of y need to be in range (of y itself,
    if it is constant).
    """
    spread = moments.spread
    root = np.sqrt(LARGEST)
    of_y = spread[-1] or abs(moments.shift[-1])
    if fourth_powers and of_y and not 1 / root < of_y < root:
        verb = "varies by" if spread[-1] else "is of order"
        raise ValueError(
            f"{names(len(spread) - 1)} {verb} {of_y:.0e}; the information of "
            f"its variance, a fourth power, leaves the range of double precision "
            f"beyond {1 / root:.0e} to {root:.0e}. Rescale it."
        )
    norm = np.maximum(spread, np.abs(moments.shift))
    bad = ~((norm == 0) | ((norm > SMALLEST) & (norm < LARGEST)))
    if bad.any():
        j = int(np.argmax(bad))
        of_row = max(spread[j] / np.sqrt(moments.n), abs(moments.shift[j]))
        raise ValueError(_out_of_range(names(j), norm[j], of_row, moments.n))
    varying = np.flatnonzero(spread[:-1])
    steep = varying[spread[-1] > LARGEST * spread[varying]]
    if len(steep):
        raise ValueError(
            f"{names(len(norm) - 1)} is of order {spread[-1]:.0e} and "
            f"{names(steep[0])} of order {spread[steep[0]]:.0e}; the square of a "
            "coefficient between them leaves the range of double precision. Rescale "
            "one of them."
        )


def _out_of_range(name, norm, of_row, n):
    """The message about a column, weighted, whose squares have no doubles; the weights
    are at fault if those of a row have.
    """
    figure, remedy = f"{name} is of order {norm:.0e}", "it"
    if SMALLEST < of_row < LARGEST:
        weighted = f"{name}, weighted, is of order {norm:.0e}"
        figure = f"The weights in `sample_weight` sum to {n:.0e}, so that {weighted}"
        remedy = "the weights"
    return (
        f"{figure}; squares of figures beyond {SMALLEST:.0e} to {LARGEST:.0e} leave "
        f"the range of double precision. Rescale {remedy}."
    )


class Tolerance(NamedTuple):
    """The most that rounding leaves of a column that depends on others.

    Attributes
    ----------
    of_spread : float
        A fraction of what the column varies by.
    of_level : float
        A fraction of its level, in each row.
    """

    of_spread: float
    of_level: float


def rank_tolerance(n_rows, n_features, rows):
    """The `Tolerance` of columns of X in `rows`, a `Data` or `Statistics`: a sum of
    others that is rounded to single precision is no sum of them in double precision.
    """
    rest = SPARSE_TOLERANCE if rows.is_sparse else 8 * max(n_rows, n_features) * EPS
    of_level = COLUMN_ROUNDING * rows.precision
    return Tolerance(max(rest, of_level), of_level)
