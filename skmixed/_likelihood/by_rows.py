"""The factor of crossed terms whose effects outnumber the rows (docs/math.md, 11.8).

V0 itself is factored.  Sums of squares at the solution keep the digits that its inverse
has lost.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_solve, cholesky, lapack, solve_triangular

from .._rows.by_rows import RowGram
from .._rows.link_pairs import mirror
from .._rows.qr import stacked_root
from .._rows.threads import products_of
from .crossed import products_of_columns
from .factor import TriangularSystem, times, whole_root


@dataclass(frozen=True)
class RowFactor(TriangularSystem):
    """The factor of all rows at some Lambdas.

    Attributes
    ----------
    gram : RowGram
    Lambdas : tuple of ndarray of shape (q, q)
    L : ndarray of shape (n, n)
        Lower triangular: L L' = V0.
    solved : ndarray of shape (n, m)
        V0^-1 A.
    data_root : ndarray of shape (k, m)
        Of A'V0^-1A.
    root : ndarray of shape (m, m)
        The same with the penalty's rows, upper triangular.
    """

    gram: RowGram
    Lambdas: tuple
    L: np.ndarray
    solved: np.ndarray
    data_root: np.ndarray
    root: np.ndarray

    @property
    def logdet(self):
        """log|V0 W|."""
        return 2 * np.log(np.diag(self.L)).sum()

    @property
    def lost(self):
        """Rounding error of the determinants in units of that of 1."""
        return np.einsum("ij,ij->i", self.L, self.L).max()

    @cached_property
    def projections(self):
        """Z'V0^-1 A of every term, (K, q, m)."""
        pairs = zip(self.gram.Z, self.gram.sizes, strict=True)
        return tuple((Z.T @ self.solved).reshape(*size, -1) for Z, size in pairs)

    @cached_property
    def blocks(self):
        """(Z'V0^-1 Z)_gg of every level of every term, (K, q, q)."""
        rows = np.arange(len(self.L))
        with products_of(len(self.L)):
            inverse, _ = lapack.dpotri(self.L, lower=1)
        inverse, found = mirror(inverse.T), []
        for Z, z, codes, (K, q) in zip(*self.gram.parts, strict=True):
            D = np.empty((K, q, q))
            for b in range(q):
                of_row = (Z[:, b::q].T @ inverse)[codes, rows]
                for a in range(q):
                    D[:, a, b] = np.bincount(codes, z[:, a] * of_row, K)
            found.append((D + np.swapaxes(D, 1, 2)) / 2)
        return found

    @cached_property
    def spread_sums(self):
        """The sum of `blocks` of every term, (q, q)."""
        return tuple(D.sum(axis=0) for D in self.blocks)

    @property
    def effects_freedom(self):
        """About as many degrees of freedom as the effects take."""
        pairs = zip(self.Lambdas, self.spread_sums, strict=True)
        return sum(np.trace(L.T @ D @ L) for L, D in pairs)

    def conditional_of(self, t):
        """Cov(b_g | y) of a term with the coefficients known, (K, q, q)."""
        L = self.Lambdas[t]
        left = np.eye(len(L)) - times(times(L.T, self.blocks[t]), L)
        return times(times(L, left), L.T)

    def products_at_zero(self):
        """As that of `CrossedFactor`."""
        found, (Zs, *parts) = {}, self.gram.parts
        for t, (z, code, (K, q)) in enumerate(zip(*parts, strict=True)):
            own = np.empty((K, q, q))
            for a, b in np.ndindex(q, q):
                own[:, a, b] = np.bincount(code, z[:, a] * z[:, b], K)
            found[t, t] = np.einsum("gab,gcd->acbd", own, own)
            for s, (_, r) in enumerate(self.gram.sizes[:t]):
                N = sparse.csc_array(Zs[s].T @ Zs[t])
                columns = [[N[c::r][:, a::q] for a in range(q)] for c in range(r)]
                found[s, t] = products_of_columns(columns)
        return found

    def variates(self, xs):
        """f'V0^-1 f of the columns f = sum_t Z_t x_t; each x_t is (K, q, k)."""
        k, Zs = xs[0].shape[2], self.gram.Z
        f = sum(Z @ x.reshape(-1, k) for Z, x in zip(Zs, xs, strict=True))
        white = solve_triangular(self.L, f, lower=True, check_finite=False)
        return white.T @ white


def factorize_rows(gram, Lambdas, penalty):
    """Factor A'V0^-1A of all rows: math.md (218).

    Parameters
    ----------
    gram : RowGram
    Lambdas : tuple of ndarray of shape (q, q)
    penalty : ndarray of shape (k, m) or None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.

    Returns
    -------
    RowFactor
    """
    triples = zip(gram.Z, gram.sizes, Lambdas, strict=True)
    half = [Z @ sparse.kron(sparse.eye_array(K), L) for Z, (K, _), L in triples]
    half = sparse.hstack(half, format="csr")
    V = (half @ half.T).toarray()
    V[np.diag_indices_from(V)] += 1.0
    with products_of(len(V)):
        L = cholesky(V.T, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve((L, True), gram.A, check_finite=False)
    u = half.T @ solved
    data_root = stacked_root([gram.A - half @ u, u])
    root = whole_root([data_root], penalty, gram.origin)
    return RowFactor(gram, Lambdas, L, solved, data_root, root)
