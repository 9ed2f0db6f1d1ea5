"""The factor of a chain of nested terms (docs/math.md, section 11).

The whitened rows of one factor are rows of the factor around it.  Each factor is the
same reduction once more, and nothing is subtracted.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._input.blocks import slices_of
from .._rows.elimination import swept
from .._rows.nested import NestedGram
from .._rows.pieces import PieceSums
from .._rows.qr import EPS, root_by_difference, stacked_root
from .factor import (
    TriangularSystem,
    bordered,
    known_covariance,
    solve_lower,
    times,
    transpose,
    whitener,
    whole_root,
)

# With more rows than this the sums of squares of variates may cost digits.
MANY_ROWS = 10_000


@dataclass(frozen=True)
class NestedStage:
    """One factor of the chain.

    Attributes
    ----------
    half : ndarray of shape (K, q, q)
        C^-1 R11, C C' = I + K K'.
    whole : ndarray of shape (K, q, width + m)
        C^-1 R12 of the effects of the factors around, and of A.
    width : int
    K : ndarray of shape (K, q, q)
        R11 Lambda.
    Lambda : ndarray of shape (q, q)
    """

    half: np.ndarray
    whole: np.ndarray
    width: int
    K: np.ndarray
    Lambda: np.ndarray

    @property
    def around(self):
        """C^-1 R12 of the effects of the factors around, (K, q, width)."""
        return self.whole[:, :, : self.width]

    @property
    def rows(self):
        """C^-1 R12 of A, (K, q, m)."""
        return self.whole[:, :, self.width :]

    @cached_property
    def own(self):
        """Covariance of the effects given those of the factors around, (K, q, q)."""
        return known_covariance(self.K, self.Lambda)


@dataclass(frozen=True)
class NestedFactor(TriangularSystem):
    """The factor of a chain at some Lambdas.

    Attributes
    ----------
    gram : NestedGram
    Lambdas : tuple of ndarray of shape (q, q)
    stages : tuple of NestedStage
    data_root : ndarray of shape (k, m)
        Of A'V^-1A.
    root : ndarray of shape (m, m)
        The same with the penalty's rows, upper triangular.
    logdet : float
        log|V| - log|R|.
    """

    gram: NestedGram
    Lambdas: tuple
    stages: tuple
    data_root: np.ndarray
    root: np.ndarray
    logdet: float

    @cached_property
    def projections(self):
        """Z'V^-1 A of every term, (K, q, m): math.md (43)."""
        found, effects = [], None
        for at in reversed(range(len(self.stages))):
            stage = self.stages[at]
            rows = stage.rows
            if effects is not None:
                effects = effects[self.gram.parents[at]]
                carried = times(stage.around, effects)
                rows = np.subtract(rows, carried, out=carried)
            projection = times(transpose(stage.half), rows)
            found.insert(0, projection)
            if at == 0:
                break
            Lambda = self.Lambdas[at]
            own = times(Lambda, times(Lambda.T, projection))
            effects = own if effects is None else np.concatenate([own, effects], 1)
        return tuple(found)

    @cached_property
    def carries(self):
        """d b / d (effects around) of every term, (K, q, width)."""
        return tuple(
            times(-Lambda @ Lambda.T, times(transpose(stage.half), stage.around))
            for Lambda, stage in zip(self.Lambdas, self.stages, strict=True)
        )

    @cached_property
    def around(self):
        """Covariance of the effects around every level, (K, width, width)."""
        found = [np.zeros((len(self.stages[-1].rows), 0, 0))]
        for at in reversed(range(1, len(self.stages))):
            joint = self.joint_covariance(at, found[0])
            found.insert(0, joint[self.gram.parents[at - 1]])
        return tuple(found)

    def joint_covariance(self, at, outer):
        """Covariance of the effects of each level of a term and of those around it,
        which is `outer` by itself.
        """
        carry = self.carries[at]
        cross = times(carry, outer)
        own = self.stages[at].own + times(cross, transpose(carry))
        return bordered(own, cross, outer)

    def conditional_of(self, t):
        """Cov(b_g | y) of a term with the coefficients known, (K, q, q)."""
        carry = self.carries[t]
        cross = times(carry, self.around[t])
        return self.stages[t].own + times(cross, transpose(carry))

    @property
    def effects_freedom(self):
        """About as many degrees of freedom as the effects take."""
        pairs = zip(self.stages, self.Lambdas, strict=True)
        return sum(np.sum((stage.half @ Lambda) ** 2) for stage, Lambda in pairs)

    @cached_property
    def spread_sums(self):
        """The sum of the blocks (Z'V^-1 Z)_gg of every term, (q, q)."""
        found = []
        for stage, outer in zip(self.stages, self.around, strict=True):
            F = times(transpose(stage.half), stage.around)
            D = times(transpose(stage.half), stage.half)
            D = D - times(times(F, outer), transpose(F))
            found.append(D.sum(axis=0))
        return tuple(found)

    def products_at_zero(self):
        """Products of N = Z'Z, if no effect has a variance: for terms s and t, s not
        after t, sum_gh N_ga,hb N_gc,hd as an array of (a, c, b, d).
        """
        found, widths = {}, [q for _, q in self.gram.sizes]
        for s, stage in enumerate(self.stages):
            half = transpose(stage.half)
            N = np.concatenate([half @ stage.half, half @ stage.around], axis=2)
            for t, some in enumerate(slices_of(widths[s:]), start=s):
                own = N[:, :, some]
                found[s, t] = np.einsum("gab,gcd->acbd", own, own, optimize=True)
        return found

    def variates(self, xs):
        """f'V^-1 f of the columns f = sum_t Z_t x_t; each x_t is (K, q, k)."""
        gram, width = self.gram, self.gram.widths
        x = xs[-1]
        stacked = [None] * len(xs)  # of the effects around each level, and its own
        stacked[-1] = x
        for at in reversed(range(len(xs) - 1)):
            around = stacked[at + 1][gram.parents[at]]
            stacked[at] = np.concatenate([xs[at], around], axis=1)
        around = stacked[0][:, gram.sizes[0][1] :]
        of_around = gram.R12[:, :, : width[0]]
        A = times(gram.R11, xs[0]) + times(of_around, around)
        upper = [
            None if E is None else E[:, :, : -gram.R22.shape[1]] @ stacked[at + 1]
            for at, E in enumerate(gram.upper)
        ]
        R12 = np.concatenate([of_around, A], axis=2)
        rows = _climb(gram, self.Lambdas, R12, upper, is_variates=True)[1]
        flat = np.vstack(rows)
        return flat.T @ flat


def factorize_nested(gram, Lambdas, penalty):
    """Factor A'V^-1A of a chain of nested terms, in O(K m): math.md (39).

    Parameters
    ----------
    gram : NestedGram
    Lambdas : tuple of ndarray of shape (q, q)
    penalty : ndarray of shape (k, m) or None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.

    Returns
    -------
    NestedFactor
    """
    m = gram.R22.shape[1]
    upper = [None if E is None else E[:, :, -m:] for E in gram.upper]
    stages, rows, logdet = _climb(gram, Lambdas, gram.R12, upper)
    data_root = stacked_root([gram.R22, *rows])
    root = whole_root([data_root], penalty)
    return NestedFactor(gram, Lambdas, stages, data_root, root, logdet)


def _climb(gram, Lambdas, R12, of_upper, is_variates=False):
    """The stages of some columns A, all their rows in V^-1/2 A but for those in which
    no effect has a part, and log|V| - log|R|.

    Parameters
    ----------
    gram : NestedGram
    Lambdas : tuple of ndarray of shape (q, q)
    R12 : ndarray of shape (K, q, width + k)
        Of the first factor, with A in the place of the columns of the model.
    of_upper : list of ndarray, or None
        Of the upper factors, in the place of `gram.upper`.
    is_variates : bool, default=False
        Whether A are columns of the average information.
    """
    stages, finished, logdet = [], [], 0.0
    R11, m = gram.R11, R12.shape[2] - gram.widths[0]
    pending, level = np.empty((0, R12.shape[2])), np.empty(0, dtype=np.intp)
    for at, Lambda in enumerate(Lambdas):
        width = gram.widths[at]
        if at:
            q = gram.sizes[at][1]
            left = pending, level, of_upper, is_variates
            R, pending, level = _next(gram, at, stages[-1], *left)
            R11, R12 = R[:, :, :q], R[:, :, q:]
            pending = pending[:, q:]
            if gram.closed[at]:
                finished.append(pending[:, width:])
                pending, level = pending[:0], level[:0]
        K = times(R11, Lambda)
        C = whitener(K)
        logdet += 2 * np.log(np.diagonal(C, axis1=1, axis2=2)).sum()
        whole = solve_lower(C, R12)
        stages.append(NestedStage(solve_lower(C, R11), whole, width, K, Lambda))
    finished.append(stages[-1].rows.reshape(-1, m))
    finished.append(pending)
    return tuple(stages), finished, logdet


def _next(gram, at, stage, pending, level, of_upper, is_variates):
    """R of a factor from the rows that are left to it, the rows that it leaves, and the
    levels of this factor that they belong to.
    """
    parent, E = gram.parents[at - 1], gram.upper[at - 1]
    K, q, width = *stage.half.shape[:2], stage.width
    n_levels, q_next = gram.sizes[at]
    rows = stage.whole.reshape(K * q, -1)
    bounds, owner = q * gram.bounds[at - 1], None
    if not len(pending) and E is None and q_next == 1 and gram.closed[at]:
        R, root = _eliminate_one(rows, bounds, width, is_variates)
        if root is not None:
            return R, root, np.zeros(len(root), dtype=np.intp)
    owner = np.repeat(parent, q)
    if len(pending) or E is not None:
        parts, owners = [rows, pending], [owner, parent[level]]
        if E is not None:
            of_A = of_upper[at - 1]
            whole = np.concatenate([E[:, :, :width], of_A], axis=2)
            parts.append(whole.reshape(-1, rows.shape[1]))
            owners.append(np.repeat(np.arange(len(E)), E.shape[1]))
        owner = np.concatenate(owners)
        order = np.argsort(owner, kind="stable")
        rows, owner = np.vstack(parts)[order], owner[order]
        bounds = np.searchsorted(owner, np.arange(n_levels + 1))
    else:
        rows = rows.copy()  # the stage keeps its own
    R = swept(rows, bounds, np.arange(q_next))  # `rows` are what it leaves
    return R, rows, owner


def _eliminate_one(rows, bounds, width, is_variates):
    """R of the levels of a factor with one effect, the first of the columns, and the
    root of the rows that it leaves; None where the sums would cost digits.  Of the
    `width` first columns nothing is left, nor of a constant in the place of the next.
    Of many rows of variates, of which only the information of a search is made, the
    sums may cost digits.
    """
    total, z = PieceSums(bounds), rows[:, 0]
    pivot = np.sqrt(total(z, z))
    axis = z * np.repeat(1 / np.where(pivot > 0, pivot, 1.0), np.diff(bounds))
    R = total(axis, rows)
    R[:, 0] = pivot
    A, on = rows[:, width:], R[:, width:]
    if is_variates:
        root = None
        if len(rows) > MANY_ROWS:
            values, vectors = np.linalg.eigh(A.T @ A - on.T @ on)
            root = (vectors * np.sqrt(values.clip(0))).T
    else:
        is_constant = (np.abs(rows[:, width] - z) <= 64 * EPS * np.abs(z)).all()
        gone = [0] if is_constant else []
        root = root_by_difference(A.T @ A, on.T @ on, gone)
    if root is not None:
        root = np.column_stack([np.zeros((len(root), width)), root])
    return R[:, None], root
