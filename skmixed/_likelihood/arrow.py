"""Symmetric systems with one unknown per group and few others (docs/math.md, 9.6).

    A = [ diag(diagonal)  border ]  +  U B U'
        [ border'         corner ]

With G groups, q other unknowns and a U of rank k everything costs O(G (q + k)^2): an
"arrow", and a coupling of all groups through few columns.  G may be 0.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag


@dataclass(frozen=True)
class Arrow:
    """The matrix A; vectors are [those of the groups, the others].

    Attributes
    ----------
    diagonal : ndarray of shape (G,)
    border : ndarray of shape (G, q)
    corner : ndarray of shape (q, q)
    U : ndarray of shape (G + q, k)
    B : ndarray of shape (k, k)
        Symmetric and invertible.
    """

    diagonal: np.ndarray
    border: np.ndarray
    corner: np.ndarray
    U: np.ndarray
    B: np.ndarray

    @property
    def size(self):
        """Number of unknowns."""
        return sum(self.border.shape)

    def __matmul__(self, x):
        n_groups = len(self.diagonal)
        top = self.diagonal * x[:n_groups] + self.border @ x[n_groups:]
        rest = self.border.T @ x[:n_groups] + self.corner @ x[n_groups:]
        return np.concatenate([top, rest]) + self.U @ (self.B @ (self.U.T @ x))

    @classmethod
    def dense(cls, matrix):
        """The arrow of an ordinary symmetric matrix: all unknowns are "others"."""
        n = len(matrix)
        none = np.empty(0), np.empty((0, n))
        return cls(*none, matrix, np.empty((n, 0)), np.empty((0, 0)))

    @cached_property
    def _reduced(self):
        """Schur complement of the groups in the others and in -B^-1, and the coupling
        of these with the groups.
        """
        n_groups, q = self.border.shape
        wide = np.hstack([self.border, self.U[:n_groups]])
        schur = np.zeros((wide.shape[1], wide.shape[1]))
        schur[:q, :q] = self.corner
        schur[:q, q:] = self.U[n_groups:]
        schur[q:, :q] = self.U[n_groups:].T
        schur[q:, q:] = -np.linalg.inv(self.B)
        return schur - wide.T @ (wide.T / self.diagonal).T, wide

    def solve(self, right):
        """A^-1 right, for a vector or the columns of a matrix."""
        n_groups, q = self.border.shape
        schur, wide = self._reduced
        # The unknowns of the small system are the others and B U'x.
        small = np.zeros((len(schur), *right.shape[1:]))
        small[:q] = right[n_groups:]
        scaled = (right[:n_groups].T / self.diagonal).T
        z = np.linalg.solve(schur, small - wide.T @ scaled)
        return np.concatenate([scaled - (wide.T / self.diagonal).T @ z, z[:q]])

    def solve_definite(self, right):
        """A^-1 right, or None if A is not positive definite."""
        if not self.is_positive_definite():
            return None
        found = self.solve(right)
        return found if np.isfinite(found).all() else None

    def is_positive_definite(self):
        """Whether all eigenvalues are positive, by their number in each pivot."""
        if not (self.diagonal > 0).all():
            return False
        schur, _ = self._reduced
        if not np.isfinite(schur).all():
            return False
        scale = np.sqrt(np.abs(np.diag(schur)))
        scale[scale == 0] = 1.0
        values = np.linalg.eigvalsh(schur / np.outer(scale, scale))
        tiny = 1e-13 * np.abs(values).max(initial=0.0)
        of_B = int(np.sum(np.linalg.eigvalsh(self.B) > 0))
        return int(np.sum(values < -tiny)) == of_B and bool(
            (np.abs(values) > tiny).all()
        )

    def plus(self, other, times):
        """A + times * other, where `other` has no U, and no groups if A has none."""
        if not times:
            return self
        if len(self.diagonal) < len(other.diagonal):
            other = Arrow.dense(other.toarray())
        return replace(
            self,
            diagonal=self.diagonal + times * other.diagonal,
            border=self.border + times * other.border,
            corner=self.corner + times * other.corner,
        )

    def with_diagonal(self, added):
        """A + diag(added)."""
        n_groups = len(self.diagonal)
        diagonal = self.diagonal + added[:n_groups]
        corner = self.corner + np.diag(added[n_groups:])
        return replace(self, diagonal=diagonal, corner=corner)

    def coupled(self, u, b):
        """A + b u u'."""
        B = block_diag(self.B, b)
        return replace(self, U=np.column_stack([self.U, u]), B=B)

    def without_last(self):
        """A without its last row and column, which is one of the others."""
        corner = self.corner[:-1, :-1]
        return Arrow(self.diagonal, self.border[:, :-1], corner, self.U[:-1], self.B)

    def toarray(self):
        """A written out."""
        n_groups = len(self.diagonal)
        dense = self.U @ self.B @ self.U.T
        dense[:n_groups, :n_groups] += np.diag(self.diagonal)
        dense[:n_groups, n_groups:] += self.border
        dense[n_groups:, :n_groups] += self.border.T
        dense[n_groups:, n_groups:] += self.corner
        return dense


def assemble_arrow(diagonal, border, corner, couplings):
    """The arrow with all couplings added, pairs (U, B) that stand for U B U'.

    B may be a number, for that number times the identity; U may have rows for the
    others only.  Where there are fewer groups than columns in the couplings, or none,
    the matrix is small enough to be written out: all unknowns are then "others".
    """
    n_groups, q = border.shape
    corner, low_rank = corner.copy(), []
    for U, B in couplings:
        if len(U) == q:
            corner += _product(U, B)
        else:
            low_rank.append((U, B))
    n_columns = sum(U.shape[1] for U, _ in low_rank)
    no_U, no_B = np.empty((n_groups + q, 0)), np.empty((0, 0))
    if n_groups > n_columns:
        square = [B * np.eye(U.shape[1]) if np.ndim(B) == 0 else B for U, B in low_rank]
        U = np.hstack([no_U, *(U for U, _ in low_rank)])
        return Arrow(diagonal, border, corner, U, block_diag(no_B, *square))
    dense = Arrow(diagonal, border, corner, no_U, no_B).toarray()
    for U, B in low_rank:
        dense += _product(U, B)
    return Arrow.dense(dense)


def _product(U, B):
    return B * (U @ U.T) if np.ndim(B) == 0 else U @ B @ U.T
