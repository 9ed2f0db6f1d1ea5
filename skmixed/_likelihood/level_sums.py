"""Sums over the levels of one factor that its derivatives need (docs/math.md, 11.4).

Blocks of levels are arrays whose last axis is that of the levels.
"""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class LevelSums:
    """Sums over levels g of products of D = Z_g'V^-1 Z_g, u = Z_g'V^-1 r / sigma and
    k = Z_g'V^-1 X R^-1: math.md (186).

    Attributes
    ----------
    spread, squares : ndarray of shape (q, q)
        D and u u'.
    loadings : ndarray of shape (p, q, p, q)
        k_ai k_bj of coefficients i and j, [i, a, j, b].
    mixed : ndarray of shape (p, q, q)
        k_ai u_b, [i, a, b].
    of_u, of_spread, of_k : ndarray of shape (q, q, q, q)
        u_a u_b D_cd, D_ab D_cd, and (k k')_ab D_cd.
    """

    spread: np.ndarray
    squares: np.ndarray
    loadings: np.ndarray
    mixed: np.ndarray
    of_u: np.ndarray
    of_spread: np.ndarray
    of_k: np.ndarray

    def __add__(self, other):
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return LevelSums(*(a + b for a, b in pairs))


def sums_of_levels(half, rows, columns):
    """The sums over some levels.

    Parameters
    ----------
    half : ndarray of shape (q, q, n_levels)
        C^-1 R11: half'half = D.
    rows : ndarray of shape (m, q, n_levels)
        C^-1 R12.
    columns : ndarray of shape (m, 1 + p)
        Columns of A that are r / sigma and X R^-1.
    """
    q, n_levels = half.shape[1:]
    pulled = np.einsum("abn,man->mbn", half, rows).reshape(len(rows), q * n_levels)
    pulled = (columns.T @ pulled).reshape(-1, q, n_levels)
    u, own, p = pulled[0], pulled[1:], len(pulled) - 1
    D = np.einsum("abn,acn->bcn", half, half)
    uu, kk = u[:, None] * u, np.einsum("ian,ibn->abn", own, own)
    k, flat = own.reshape(p * q, n_levels), D.reshape(q * q, n_levels)

    def products(A):
        """sum_g A_ab D_cd."""
        return (A.reshape(-1, n_levels) @ flat.T).reshape(4 * (q,))

    return LevelSums(
        spread=D.sum(axis=2),
        squares=u @ u.T,
        loadings=(k @ k.T).reshape(p, q, p, q),
        mixed=(k @ u.T).reshape(p, q, q),
        of_u=products(uu),
        of_spread=products(D),
        of_k=products(kk),
    )
