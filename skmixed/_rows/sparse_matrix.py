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
    def transposed(self):
        """Its transpose as a csc_array, of the same arrays."""
        return self.matrix.T

    @cached_property
    def keys(self):
        """Row and column of every entry as one number, which ascend if sorted, and a
        number beyond all of them.
        """
        rows, width = np.arange(self.shape[0]), np.int64(self.shape[1])
        keys = np.repeat(rows, np.diff(self.indptr)) * width + self.indices
        return np.append(keys, self.shape[0] * width)

    def at(self, rows, columns):
        """The entries of a sorted matrix at some places, 0 where there are none."""
        wanted = rows * np.int64(self.shape[1]) + columns
        place = np.searchsorted(self.keys, wanted)
        present = self.keys[place] == wanted
        values = np.zeros(wanted.shape)
        values[present] = self.data[place[present]]
        return values


def as_array(X):
    """X as an array, of a sparse matrix too."""
    return X.toarray() if sparse.issparse(X) else np.asarray(X)


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
