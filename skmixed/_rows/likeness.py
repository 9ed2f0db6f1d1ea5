"""Groups whose rows are all alike, which tell nothing about a variance of their own
(docs/math.md, 9.6).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .parts import join_groups


@dataclass(frozen=True)
class Likeness:
    """Whether the rows of each group differ: rows that are all the same, or one row,
    leave nothing beside an effect of the group on the mean.

    Attributes
    ----------
    groups : ndarray of shape (g,)
    differs : ndarray of shape (g,)
    X, y : {ndarray, sparse matrix} of shape (g, p), ndarray of shape (g,)
        A row of each group, columns of the mean.
    """

    groups: np.ndarray
    differs: np.ndarray
    X: object
    y: np.ndarray

    def __add__(self, other):
        groups, (mine, theirs) = join_groups(self.groups, other.groups)
        differs = np.zeros(len(groups), dtype=bool)
        differs[mine] = self.differs
        differs[theirs] |= other.differs
        row = np.empty(len(groups), dtype=int)
        row[theirs] = len(mine) + np.arange(len(theirs))
        row[mine] = np.arange(len(mine))
        stack = sparse.vstack if sparse.issparse(self.X) else np.vstack
        X, y = stack([self.X, other.X])[row], np.append(self.y, other.y)[row]
        differs[theirs] |= (y[theirs] != other.y) | _unequal(X[theirs], other.X)
        return Likeness(groups, differs, X, y)


def likeness(data, groups, mean):
    """`Likeness` of the rows of one part; `mean` are the columns of the mean."""
    n_rows, n_groups = len(data.y), len(groups)
    codes = np.zeros(n_rows, int) if data.index is None else data.index.codes
    size, first = np.bincount(codes, minlength=n_groups), np.empty(n_groups, np.intp)
    first[codes[::-1]] = np.arange(n_rows)[::-1]
    tells = np.bincount(codes, data.y != data.y[first][codes], n_groups) > 0
    rows = np.flatnonzero((~tells & (size > 1))[codes])
    if len(rows):
        X, of_first = data.X[rows][:, mean], data.X[first[codes[rows]]][:, mean]
        tells[codes[rows[_unequal(X, of_first)]]] = True
    return Likeness(groups, tells, data.X[first][:, mean], data.y[first])


def _unequal(A, B):
    """Which rows of two matrices are not the same."""
    return np.asarray((A != B).sum(axis=1)).ravel() > 0
