"""A sparse matrix as arrays, which can be stored."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class SparseMatrix:
    """A sparse matrix in compressed rows.

    Attributes
    ----------
    data, indices, indptr : ndarray
    shape : tuple of int
    """

    data: np.ndarray
    indices: np.ndarray
    indptr: np.ndarray
    shape: tuple[int, int]

    @cached_property
    def matrix(self):
        """The same as a csr_array."""
        entries = self.data, self.indices, self.indptr
        return sparse.csr_array(entries, shape=self.shape)

    @cached_property
    def keys(self):
        """Row and column of every entry as one number, which ascend if sorted."""
        rows = np.repeat(np.arange(self.shape[0]), np.diff(self.indptr))
        return rows * np.int64(self.shape[1]) + self.indices

    def at(self, rows, columns):
        """The entries of a sorted matrix at some places, 0 where there are none."""
        wanted = rows * np.int64(self.shape[1]) + columns
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        return np.where(self.keys[place] == wanted, self.data[place], 0.0)


def sparse_matrix(matrix, is_sorted=False):
    """The `SparseMatrix` of another sparse one, its rows sorted if that is asked for;
    None of None.
    """
    if matrix is None:
        return None
    matrix = sparse.csr_array(matrix)
    if is_sorted:
        matrix.sort_indices()
    return SparseMatrix(matrix.data, matrix.indices, matrix.indptr, matrix.shape)
