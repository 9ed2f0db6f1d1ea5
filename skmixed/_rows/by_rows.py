"""The rows themselves, for crossed factors with more effects than rows (docs/math.md,
11.8): a matrix of rows costs less than one of effects.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .crossed import CrossedGram, indicator
from .term import effect_columns

# The cube of so many effects that are solved for together costs next to nothing.
FEW_TOGETHER = 400


@dataclass(frozen=True)
class RowGram:
    """Rows in working columns, times the roots of their weights.

    Attributes
    ----------
    A : ndarray of shape (n, m)
        [X y], y counted from its fit on X.
    z : tuple of ndarray of shape (n, q)
        The columns of the effects of the search of every term.
    codes : tuple of ndarray of shape (n,)
        The level of each row.
    origin : ndarray of shape (m - 1,)
        The coefficients that y is counted from.
    sizes : tuple of (int, int)
        Number of levels and of effects of every term.
    """

    A: np.ndarray
    z: tuple
    codes: tuple
    origin: np.ndarray
    sizes: tuple

    @cached_property
    def Z(self):
        """The columns of all effects of every term, csr_array (n, K q)."""
        triples = zip(self.codes, self.sizes, self.z, strict=True)
        return [indicator(codes, K, z) for codes, (K, _), z in triples]

    @property
    def parts(self):
        """Z, z, codes and sizes of the terms."""
        return self.Z, self.z, self.codes, self.sizes


def are_rows_fewer(gram, n):
    """Whether n rows are fewer than the effects of a Gram that are solved for together:
    by the cubes that their matrices cost.
    """
    if not isinstance(gram, CrossedGram):
        return False
    shapes = [effects.shape for effects in gram.components]
    cubes = sum(count * size**3 for count, size in shapes)
    return max(n, FEW_TOGETHER) ** 3 < cubes


def row_gram(data, terms, mean, reduced):
    """The rows of a reduction whose factors cross.

    Parameters
    ----------
    data : Data
    terms : tuple of Term
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    reduced : Reduced
        Of these rows.
    """
    columns, origin = reduced.columns, reduced.gram.origin
    root, n = np.sqrt(data.weights)[:, None], data.X.shape[0]
    X = [np.ones((n, int(columns.has_constant))), columns.apply(data.X[:, mean])]
    A = np.column_stack([*X, data.y - columns.y_shift])
    A[:, -1] -= A[:, :-1] @ origin
    ordered = [terms[t] for t in reduced.order]
    pairs = zip(ordered, reduced.coordinates, strict=True)
    z = tuple(root * c.apply(effect_columns(data.X, t.columns)) for t, c in pairs)
    codes = tuple(term.codes for term in ordered)
    return RowGram(root * A, z, codes, origin, reduced.gram.sizes)
