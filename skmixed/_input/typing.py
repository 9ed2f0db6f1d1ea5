"""Types that the public signatures name.

Annotations are for type checkers and readers; nothing is checked by them at run time.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray


class HasShape(Protocol):
    """An array, frame, series or sparse matrix of any library."""

    @property
    def shape(self) -> tuple[Any, ...]:
        """Number of rows, and of columns."""


class Splitter(Protocol):
    """A cross-validator, in the form of scikit-learn's."""

    def split(self, *args: Any, **kwargs: Any) -> Any:
        """Row numbers of training and test rows, one pair for each fold."""


# NumPy's `ArrayLike` leaves out frames, sparse matrices, and labels that are dates or
# missing.
MatrixLike: TypeAlias = Sequence[Any] | HasShape  # one row per observation
ColumnLike: TypeAlias = Sequence[Any] | HasShape  # one value per observation
SplitsLike: TypeAlias = int | Splitter | Iterable[tuple[ColumnLike, ColumnLike]]
EstimatorLike: TypeAlias = Any  # scikit-learn's convention has no type

Floats: TypeAlias = NDArray[np.float64]
