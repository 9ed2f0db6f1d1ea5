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

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ._gram import Gram, rows_root


@dataclass(frozen=True)
class BlockCholesky:
    """The factor at one Lambda.

    Attributes
    ----------
    gram : Gram
    Lambda : ndarray of shape (q, q), or (K, q, q) where groups differ
    H : ndarray of shape (K, q, q)
        C_g^-1 K_g; H_g H_g' is how far the group's means are shrunk out of A'V^-1A.
    rows : ndarray of shape (K, q, m)
    root : ndarray of shape (m, m)
        Upper triangular; of A'V^-1A, with the penalty's rows if there are any.
    logdet : float
        log|V| - log|R|.
    """

    gram: Gram
    Lambda: np.ndarray
    H: np.ndarray
    rows: np.ndarray
    root: np.ndarray
    logdet: float

    @cached_property
    def rss(self):
        """(y - X beta)'V^-1(y - X beta), plus the penalty at beta."""
        return self.root[-1, -1] ** 2

    @cached_property
    def logdet_x(self):
        """log|X'V^-1X|."""
        return 2 * np.log(np.abs(np.diag(self.root)[:-1])).sum()

    @cached_property
    def beta(self):
        """Generalised least squares coefficients, (m - 1,)."""
        return np.linalg.solve(self.root[:-1, :-1], self.root[:-1, -1])

    @cached_property
    def root_inverse(self):
        """T with T T' = (X'V^-1X)^-1, (m - 1, m - 1)."""
        return np.linalg.solve(self.root[:-1, :-1], np.eye(len(self.root) - 1))

    @cached_property
    def contrast(self):
        """[-beta; 1], which turns a row of A into a residual."""
        return np.append(-self.beta, 1.0)

    def modes(self):
        """Conditional modes of the random effects, E(b_g | y), (K, q)."""
        residual = (self.rows @ self.contrast)[:, :, None]
        return _times(self.Lambda, _times(_transpose(self.H), residual))[:, :, 0]

    def modes_covariance(self):
        """Cov(b_g | y) with the coefficients taken as known, (K, q, q)."""
        K = _times(self.gram.R11, self.Lambda)
        C = _cholesky(_times(_transpose(K), K))
        half = _solve_lower(C, _transpose(self.Lambda))
        return _times(_transpose(half), half)

    def modes_slope(self):
        """-d b_g / d beta, (K, q, m - 1): what an error in beta does to the modes."""
        return _times(self.Lambda, _times(_transpose(self.H), self.rows[:, :, :-1]))

    def projection(self):
        """Z_g'V_g^-1 A_g, (K, q, m)."""
        K = _times(self.gram.R11, self.Lambda)
        C = _cholesky(_times(K, _transpose(K)))
        half = _solve_lower(C, self.gram.R11)
        return _times(_transpose(half), self.rows)


class FixedGroups(BlockCholesky):
    """The factor where the groups' effects are free: the limit Lambda -> infinity.

    Nothing is left of a group's mean in A'V^-1A, so that `rows` is empty; `logdet` is
    that of the effects' information, log|Z'R^-1Z|.
    """

    def modes(self):
        """Estimated effects of the groups, (K, q)."""
        return self._effects() @ self.contrast

    def modes_covariance(self):
        """Covariance of the effects with the coefficients taken as known, (K, q, q)."""
        inverse = _solve_lower(self.gram.R11, np.eye(self.gram.R11.shape[-1]))
        return _times(inverse, _transpose(inverse))

    def modes_slope(self):
        """-d b_g / d beta, (K, q, m - 1): what an error in beta does to the effects."""
        return self._effects()[:, :, :-1]

    def _effects(self):
        return _solve_lower(self.gram.R11, self.gram.R12)


def factorize(gram, Lambda, penalty=None):
    """Factor A'V^-1A at one Lambda, in O(K m^2), whatever the number of rows.

    Parameters
    ----------
    gram : Gram
    Lambda : ndarray of shape (q, q) or (K, q, q)
        Left root of the random effects' covariance, in units in which R = W^-1.
    penalty : ndarray of shape (k, m), default=None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.

    Returns
    -------
    BlockCholesky
    """
    K = _times(gram.R11, Lambda)
    C = _cholesky(_times(K, _transpose(K)))
    rows = _solve_lower(C, gram.R12)
    root = _root(gram, rows, penalty)
    logdet = _logdet(gram, C)
    return BlockCholesky(gram, Lambda, _solve_lower(C, K), rows, root, logdet)


def absorb(gram):
    """The factor of fixed group effects, which are solved for with the coefficients.

    Returns
    -------
    FixedGroups
    """
    q, m = gram.R12.shape[1:]
    rows = np.empty((0, q, m))
    root = _root(gram, rows)
    Lambda = np.full((q, q), np.inf)
    H = np.empty((0, q, q))
    return FixedGroups(gram, Lambda, H, rows, root, _logdet(gram, gram.R11))


def _root(gram, rows, penalty=None):
    """Upper triangular root (m, m) of A'V^-1A and the penalty."""
    m = gram.R22.shape[1]
    parts = [gram.R22, rows.reshape(-1, m)]
    R = rows_root(np.vstack(parts if penalty is None else [*parts, penalty]))
    root = np.zeros((m, m))
    root[: len(R)] = R
    return root


def _logdet(gram, C):
    """sum_g log|C_g C_g'| of triangular C_g."""
    diagonal = np.abs(np.diagonal(C, axis1=1, axis2=2))
    return 2 * gram.multiplicity @ np.log(diagonal).sum(axis=1)


def _transpose(A):
    return np.swapaxes(A, -1, -2)


def _times(A, B):
    """A_g B_g; an elementwise product where q = 1."""
    return A * B if A.shape[-1] == A.shape[-2] == 1 else A @ B


def _cholesky(A):
    """Cholesky factors of I + A_g, (K, q, q); a square root where q = 1."""
    A = A + np.eye(A.shape[-1])
    return np.sqrt(A) if A.shape[-1] == 1 else np.linalg.cholesky(A)


def _solve_lower(C, B):
    """C_g^-1 B_g; a division where q = 1."""
    if C.shape[-1] == 1:
        return B / C
    # NumPy 1 takes a B with one dimension less than C for a stack of vectors.
    return np.linalg.solve(C, np.broadcast_to(B, (*C.shape[:-1], B.shape[-1])))
