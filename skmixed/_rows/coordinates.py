"""The coordinates of the effects of a term in a search (docs/math.md, section 11)."""

from dataclasses import dataclass

import numpy as np

from .columns import LEVEL_ROUNDING


@dataclass(frozen=True)
class Coordinates:
    """Centred and scaled columns of a term's effects.

    Attributes
    ----------
    change : ndarray of shape (q, q)
        Columns of Z that are counted from their means, times `change`, are those of the
        search: (z - origin) / unit, of unit mean square.
    origin, unit : ndarray of shape (q,)
        The origin is 0 where another one would change the model.
    present : ndarray of shape (q,)
        Whether anything is left of a column; of a constant one, counted from its mean,
        there is nothing.
    """

    change: np.ndarray
    origin: np.ndarray
    unit: np.ndarray
    present: np.ndarray

    def apply(self, Z):
        """The columns of the search of rows with columns Z (n, q)."""
        return (Z - self.origin) / self.unit

    @property
    def basis(self):
        """See `basis_of`."""
        return basis_of(self.origin, self.unit)

    def to_user(self, Psi):
        """A covariance of the effects of the search, in the user's units."""
        return _symmetric(self.basis @ Psi @ self.basis.T)

    def covariance(self, root):
        """root root' in the user's units.

        The root is taken there first: between squares a variance of nothing may be
        left negative.
        """
        half = self.basis @ root
        return _symmetric(half @ half.T)


def basis_of(origin, unit):
    """The effects in the user's units are this matrix times those that are counted for
    (z - origin) / unit: math.md (38).
    """
    back = np.eye(len(unit))
    back[0] -= origin
    return back / unit


def _symmetric(found):
    """Covariances that are symmetric to the last bit."""
    return 0.5 * (found + np.swapaxes(found, -1, -2))


def choose_coordinates(Z, shift, blocks, n):
    """Coordinates of a term.

    Parameters
    ----------
    Z : ndarray of shape (k, q)
        Rows whose scatter is that of the columns of Z, counted from `shift`.
    shift : ndarray of shape (q,)
        0 for a random intercept.  Without one, all are 0.
    blocks : tuple of tuples
        Partition of ``range(q)``: effects of one block covary freely.
    n : float
        Sum of the weights.
    """
    q = len(shift)
    # A column may be centred where its effect covaries freely with the random
    # intercept; elsewhere that would be another model.
    free = np.isin(np.arange(q), next(block for block in blocks if 0 in block))
    change = np.eye(q)
    change[0] += np.where(free, 0.0, shift)
    size = np.linalg.norm(Z @ change, axis=0) / np.sqrt(n)
    # A constant is not always its own mean to the last digit.
    size[size <= LEVEL_ROUNDING * np.abs(shift) * free] = 0.0
    unit = np.where(size > 0, size, 1.0)
    return Coordinates(change / unit, np.where(free, shift, 0.0), unit, size > 0)
