"""A term of the model: one factor, its effects, and how they covary (docs/math.md, 11).

All that a user writes about one factor is one term, so that several factors are data
and not branches.
"""

from dataclasses import dataclass

import numpy as np

from .._input.factors import CONSTANT
from .sparse_matrix import as_array


@dataclass(frozen=True)
class Term:
    """A grouping factor with random effects.

    Attributes
    ----------
    name : str
        Of the factor, such as "subject" or "school:class".
    labels : sequence of length K
        The levels, in the order of the codes.
    codes : ndarray of shape (n,)
        Position of each row's level among the labels; every level has a row.
    columns : ndarray of shape (q,)
        Position of each effect's column among the features, `CONSTANT` for the random
        intercept, which comes first if there is one.
    blocks : tuple of tuples
        Partition of ``range(q)``: effects of one block covary freely, those of
        different blocks not at all.
    """

    name: str
    labels: object
    codes: np.ndarray
    columns: np.ndarray
    blocks: tuple

    @property
    def n_levels(self):
        """Number of levels, K."""
        return len(self.labels)

    @property
    def n_columns(self):
        """Number of effects of a level, q."""
        return len(self.columns)

    @property
    def size(self):
        """Number of random effects, K q."""
        return self.n_levels * self.n_columns

    @property
    def has_constant(self):
        """Whether one of the effects is a random intercept."""
        return bool(self.columns[0] == CONSTANT)


def effect_columns(X, columns):
    """Columns (n, q) of the effects of a term at these positions: features of X, which
    may be sparse, and ones.
    """
    Z = np.ones((X.shape[0], len(columns)))
    features = columns != CONSTANT
    Z[:, features] = as_array(X[:, columns[features]])
    return Z
