"""The block-Cholesky factor of the mixed-model equations at one value of the
random-effects covariance (docs/math.md, section 4).

V = R + Z Psi Z', Psi = Lambda Lambda' for every group, A = [X y].  With the blocks of a
`Gram` and K_g = R11_g Lambda_g,

    C_g C_g' = I + K_g K_g'           log|V| - log|R| = sum_g log|C_g C_g'|
    rows_g   = C_g^-1 R12_g           A'V^-1A = R22'R22 + sum_g rows_g' rows_g

so that R22 and all the rows together have a triangular `root` of A'V^-1A, and with it
come the coefficients, the residual sum of squares and log|X'V^-1X|.  All is added and
nothing subtracted: the factor keeps its digits however large the group variance is.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import lapack

from .._input.blocks import row_blocks, slices_of
from .._rows.gram import Gram
from .._rows.qr import is_level_last, rows_in_memory, stacked_root
from .level_sums import sums_of_levels


class TriangularSystem:
    """Least squares from the upper triangular `root` of A'V^-1A, A = [X y].

    These are the figures of math.md (13).
    """

    root: np.ndarray
    lost = 0.0  # the rounding error of the determinants, beside that of their size
    is_sampled = False  # whether traces are estimated, and there is no determinant

    @cached_property
    def rss(self):
        """(y - X beta)'V^-1(y - X beta), plus the penalty at beta."""
        return self.root[-1, -1] ** 2

    @property
    def data_rss(self):
        """The residual sum of squares without the penalty."""
        return np.sum((self.data_root @ self.to_residual) ** 2)

    @cached_property
    def logdet_x(self):
        """log|X'V^-1X|."""
        return 2 * np.log(np.abs(np.diag(self.root)[:-1])).sum()

    @cached_property
    def beta(self):
        """Generalised least squares coefficients, (m - 1,)."""
        return self.gram.origin - self.to_residual[:-1]

    @cached_property
    def root_inverse(self):
        """T with T T' = (X'V^-1X)^-1, (m - 1, m - 1)."""
        return self._solve(lapack.dtrtri)[:-1, :-1]

    @cached_property
    def to_residual(self):
        """[origin - beta; 1], which turns a row of A into a residual."""
        return self._solve(lapack.dtrtrs, np.eye(len(self.root))[-1])

    def _solve(self, routine, *right):
        """By a routine of LAPACK for triangles, with the root of X and y of unit norm
        beside it, which there is even where there is no X.
        """
        root = self.root.copy()
        root[-1, -1] = 1.0
        solution, singular = routine(root, *right)
        if singular:
            raise np.linalg.LinAlgError("columns of X are dependent")
        return solution


@dataclass(frozen=True)
class BlockCholesky(TriangularSystem):
    """The factor at one Lambda.

    Attributes
    ----------
    gram : Gram
    Lambda : ndarray of shape (q, q), or (K, q, q) where groups differ
    C : ndarray of shape (K, q, q)
        Lower triangular.
    root : ndarray of shape (m, m)
        Upper triangular; of A'V^-1A, with the penalty's rows if there are any.
    logdet : float
        log|V| - log|R|.
    """

    gram: Gram
    Lambda: np.ndarray
    C: np.ndarray
    root: np.ndarray
    logdet: float

    @cached_property
    def H(self):
        """C_g^-1 K_g, (K, q, q): H_g H_g' shrinks the group means."""
        return solve_lower(self.C, times(self.gram.R11, self.Lambda))

    @cached_property
    def half(self):
        """C_g^-1 R11_g, (K, q, q): half'half is Z_g'V_g^-1 Z_g."""
        return solve_lower(self.C, self.gram.R11)

    @cached_property
    def rows(self):
        """C_g^-1 R12_g, (K, q, m)."""
        return solve_lower(self.C, self.gram.R12)

    def level_sums(self, residual):
        """Sums over the levels of products of their blocks of Z'V^-1 [r X], the
        residuals being A `residual` (m,): see `LevelSums`.
        """
        gram, whole = self.gram, None
        columns = np.zeros((len(residual), len(residual)))
        columns[:, 0] = residual
        columns[:-1, 1:] = self.root_inverse
        for groups in row_blocks(len(self.C), 2 * gram.R12[0].size):
            half = solve_lower(self.C[groups], gram.R11[groups])
            rows = solve_lower(self.C[groups], gram.R12[groups])
            half, rows = half.transpose(1, 2, 0), rows.transpose(2, 1, 0)
            sums = sums_of_levels(half, np.ascontiguousarray(rows), columns)
            whole = sums if whole is None else whole + sums
        return whole

    @property
    def data_rss(self):
        """The residual sum of squares without the penalty."""
        parts = [self.gram.R22 @ self.to_residual, self.rows @ self.to_residual]
        return sum(np.sum(part**2) for part in parts)

    def part(self, groups):
        """The factor as far as it is about some groups, a slice."""
        if groups == slice(0, len(self.C)):
            return self
        gram, Lambda = self.gram.take(groups), self.Lambda
        Lambda = Lambda[groups] if Lambda.ndim == 3 else Lambda
        return replace(self, gram=gram, Lambda=Lambda, C=self.C[groups])

    def of(self, gram):
        """The same factor with the groups of another Gram, which are some of those that
        `root` and `logdet` are still about.
        """
        C = whitener(times(gram.R11, self.Lambda))
        return replace(self, gram=gram, C=C)

    def modes(self):
        """Conditional modes of the random effects, E(b_g | y), (K, q): math.md (14)."""
        return self.effects_of(self.to_residual[:, None])[:, :, 0]

    def modes_covariance(self):
        """Cov(b_g | y) with the coefficients known, (K, q, q): math.md (15)."""
        return known_covariance(times(self.gram.R11, self.Lambda), self.Lambda)

    def effects(self, root):
        """The modes and, beside them, (-d b_g / d beta) root, (K, q, 1 + k), the slope
        of math.md (16): an error root u in beta moves b by minus this times u.
        """
        padded = np.vstack([root, np.zeros((1, root.shape[1]))])
        columns = np.column_stack([self.to_residual, padded])
        K, q, m = self.gram.R12.shape
        found = np.empty((K, q, columns.shape[1]))
        for groups in row_blocks(K, 2 * q * m):
            found[groups] = self.part(groups).effects_of(columns)
        return found

    def effects_of(self, columns):
        """E(b_g | A) columns, (K, q, k), of `columns` (m, k)."""
        turned = solve_lower(self.C, self._turned(columns))
        return times(self.Lambda, times(transpose(self.H), turned))

    def _turned(self, columns):
        K, q, m = self.gram.R12.shape
        if is_level_last(self.gram.R12):
            rows = rows_in_memory(self.gram.R12).T
            return (columns.T @ rows).reshape(-1, q, K).T
        return (self.gram.R12.reshape(-1, m) @ columns).reshape(K, q, -1)

    def projection(self):
        """Z_g'V_g^-1 A_g, (K, q, m)."""
        return times(transpose(self.half), self.rows)

    @cached_property
    def projections(self):
        """Z'V^-1 A of every term, (K, q, m)."""
        return (self.projection(),)

    def conditional_of(self, t):
        """Cov(b_g | y) of a term with the coefficients known, (K, q, q)."""
        return self.modes_covariance()

    @property
    def effects_freedom(self):
        """Degrees of freedom that the effects take, with the coefficients known."""
        return np.sum(self.H**2)

    @cached_property
    def spread(self):
        """The blocks (Z'V^-1 Z)_gg, (K, q, q)."""
        return times(transpose(self.half), self.half)

    @cached_property
    def spread_sums(self):
        """The sum of the blocks (Z'V^-1 Z)_gg of every term, (q, q)."""
        return (self.spread.sum(axis=0),)


class FixedGroups(BlockCholesky):
    """The factor where the groups' effects are free: the limit Lambda -> infinity.

    Nothing is left of a group's mean in A'V^-1A; C is R11, and `logdet` that of the
    effects' information, log|Z'R^-1Z|.
    """

    def modes_covariance(self):
        """Covariance of the effects with the coefficients taken as known, (K, q, q)."""
        inverse = solve_lower(self.C, np.eye(self.C.shape[-1]))
        return times(inverse, transpose(inverse))

    def effects_of(self, columns):
        """Estimates of the groups' effects, math.md (26), where A columns is y."""
        return solve_lower(self.C, self._turned(columns))


def factorize(gram, Lambda, penalty=None):
    """Factor A'V^-1A at one Lambda, in O(K m^2), whatever the number of rows.

    Parameters
    ----------
    gram : Gram
    Lambda : ndarray of shape (q, q) or (K, q, q), or a float
        Left root of the random effects' covariance, in units in which R = W^-1; a
        number is that of a random intercept.
    penalty : ndarray of shape (k, m), default=None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.

    Returns
    -------
    BlockCholesky
    """
    Lambda = np.atleast_2d(Lambda)
    C = _whiteners(gram.R11, Lambda)
    root = _root(gram, C, penalty)
    return BlockCholesky(gram, Lambda, C, root, _logdet(gram, C))


def absorb(gram):
    """The factor of fixed group effects, which are solved for with the coefficients.

    Returns
    -------
    FixedGroups
    """
    q = gram.R11.shape[1]
    Lambda = np.full((q, q), np.inf)
    root = _root(gram, gram.R11[:0])
    return FixedGroups(gram, Lambda, gram.R11, root, _logdet(gram, gram.R11))


def _whiteners(R11, Lambda):
    """C_g of all levels, some levels at a time."""
    K, q = R11.shape[:2]
    if q == 1:
        return whitener(times(R11, Lambda))
    C = np.empty((q, q, K)).T
    for groups in row_blocks(K, 4 * q * q):
        own = Lambda[groups] if Lambda.ndim == 3 else Lambda
        C[groups] = whitener(times(R11[groups], own))
    return C


def _root(gram, C, penalty=None):
    """Upper triangular root (m, m) of A'V^-1A and the penalty: math.md (12)."""
    q, m = gram.R12.shape[1:]
    parts = [gram.R22] if penalty is None else [gram.R22, penalty]
    for groups in row_blocks(len(C), q * m):
        parts.append(rows_in_memory(solve_lower(C[groups], gram.R12[groups])))
        if len(parts) > 2:
            parts = [stacked_root(parts)]
    return whole_root(parts)


def whole_root(parts, penalty=None, origin=None):
    """Upper triangular root (m, m) of the cross-products of all rows of the parts, and
    of those of the penalty.

    The rows of the penalty are about beta itself, while y may be counted from the
    coefficients `origin`.
    """
    if penalty is not None:
        if origin is not None:
            of_y = penalty[:, -1] - penalty[:, :-1] @ origin
            penalty = np.column_stack([penalty[:, :-1], of_y])
        parts = [*parts, penalty]
    R = stacked_root(parts)
    root = np.zeros((R.shape[1], R.shape[1]))
    root[: len(R)] = R
    return root


def _logdet(gram, C):
    """sum_g log|C_g C_g'| of triangular C_g: math.md (11)."""
    diagonal = np.abs(np.diagonal(C, axis1=1, axis2=2))
    return 2 * gram.multiplicity @ np.log(diagonal).sum(axis=1)


def known_covariance(K, Lambda):
    """Lambda (I + K_g'K_g)^-1 Lambda', (K, q, q): math.md (15)."""
    half = solve_lower(whitener(transpose(K)), transpose(Lambda))
    return times(transpose(half), half)


def bordered(A, across, B):
    """The symmetric matrices [A_g across_g; across_g' B_g]."""
    above = np.concatenate([A, across], axis=2)
    below = np.concatenate([transpose(across), B], axis=2)
    return np.concatenate([above, below], axis=1)


# The effects of several terms, of `sizes` (K, q), are counted level by level, one term
# after the other.


def places_of_terms(sizes):
    """The places of the effects of each term among all of them, slices."""
    return slices_of(K * q for K, q in sizes)


def by_terms(A, sizes):
    """The rows of A (D, k) by terms, (K, q, k) each."""
    pairs = zip(places_of_terms(sizes), sizes, strict=True)
    return [A[here].reshape(K, q, -1) for here, (K, q) in pairs]


def blocks_of_terms(A, sizes):
    """The blocks (K, q, q) of the levels of each term on the diagonal of A (D, D)."""
    pairs = zip(places_of_terms(sizes), sizes, strict=True)
    return [diagonal_blocks(A[here, here], q) for here, (_, q) in pairs]


def diagonal_blocks(A, q):
    """The blocks (K, q, q) on the diagonal of A (K q, K q)."""
    first, within = np.arange(0, len(A), q)[:, None, None], np.arange(q)
    return A[first + within[:, None], first + within]


def on_diagonal(M):
    """The sparse matrix (K q, K q) with the blocks M (K, q, q) on its diagonal."""
    K, q, _ = M.shape
    columns = q * np.arange(K)[:, None, None] + np.arange(q)
    columns = np.broadcast_to(columns, M.shape).ravel()
    starts = np.arange(0, q * q * K + 1, q)
    return sparse.csr_array((M.ravel(), columns, starts), shape=(K * q,) * 2)


def transpose(A):
    return np.swapaxes(A, -1, -2)


def times(A, B):
    """A_g B_g; an elementwise product where q = 1, a sum of such where the levels are
    the last axis in memory.
    """
    if A.shape[-1] == A.shape[-2] == 1:
        return A * B
    if not (is_level_last(A) or is_level_last(B)):
        return A @ B
    terms = (A[..., :, i, None] * B[..., i, None, :] for i in range(A.shape[-1]))
    total = next(terms)
    for term in terms:
        total += term
    return total


def whitener(K):
    """Lower triangular C_g with C_g C_g' = I + K_g K_g', (K, q, q): math.md (10).

    It is the root of the rows [I; K_g'], by modified Gram-Schmidt: no square is formed,
    so that rows of K in far different units keep their digits.
    """
    q, stack = K.shape[-2], K.shape[:-2]
    if q == 1:
        return np.sqrt(1.0 + times(K, transpose(K)))
    rows = np.empty((q, 2 * q, *stack))
    rows[:, :q] = np.eye(q).reshape(q, q, *(1 for _ in stack))
    rows[:, q:] = np.moveaxis(K, (-2, -1), (0, 1))
    C = np.zeros((q, q, *stack))
    for i in range(q):
        C[i, i] = pivot = np.sqrt(_inner(rows[i], rows[i]))
        axis = rows[i] / pivot
        for j in range(i + 1, q):
            C[j, i] = share = _inner(axis, rows[j])
            rows[j] -= share * axis
    return np.moveaxis(C, (0, 1), (-2, -1))


def _inner(a, b):
    """Inner products along the first axis."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def solve_lower(C, B):
    """C_g^-1 B_g by forward substitution; a division where q = 1."""
    q = C.shape[-1]
    if q == 1:
        return B / C
    X = np.array(np.broadcast_to(B, (*C.shape[:-1], B.shape[-1])), dtype=float)
    for i in range(q):
        for j in range(i):
            X[..., i, :] -= C[..., i, j, None] * X[..., j, :]
        X[..., i, :] /= C[..., i, i, None]
    return X
