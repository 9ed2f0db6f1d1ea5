"""Rows for any regressor: the table that it reads, and the columns of a linear part.

A frame stays a frame, so that a regressor finds its columns by name and type; all else
becomes an array.
"""

import numbers
from dataclasses import dataclass, replace
from decimal import Decimal

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from .features import (
    as_table,
    column_names,
    column_types,
    feature_position,
    feature_positions,
    is_arrow,
)
from .scalars import is_missing
from .table import (
    Data,
    check_table,
    check_weight,
    read_fit_data,
    read_new_data,
    second_door,
)

LEVEL = "group_level"  # name of the column that holds the levels of the groups
NUMBERS = "biuf"  # kinds of NumPy's types that hold numbers
OTHER_NUMBERS = ("bool", "int", "uint", "float", "halffloat", "double", "decimal")
# Words of errors about columns that hold no numbers.
NO_NUMBERS = ("NaN", "missing value", "not a number")


@dataclass(frozen=True)
class AnyRows:
    """Validated rows.

    Attributes
    ----------
    table : frame or ndarray of shape (n, n_columns)
        The columns that a regressor reads: all but the labels.
    data : Data
        Columns of the linear part, labels, y and weights.
    kept : ndarray of shape (n_user,)
        Which of the user's rows these are: those whose weight is not 0.
    """

    table: object
    data: Data
    kept: np.ndarray

    @property
    def labels(self):
        """The label of each row, or None."""
        index = self.data.index
        return None if index is None else index.labels[index.codes]

    @property
    def codes(self):
        """Position of each row's group among the labels; 0 without labels."""
        index = self.data.index
        return np.zeros(self.data.n_rows, int) if index is None else index.codes


class LinearPart(BaseEstimator):
    """The linear part of a model, for scikit-learn's checks of its columns.

    Parameters
    ----------
    group_feature : int or None
        Position of the labels among the columns that are read.
    """

    def __init__(self, group_feature=None):
        self.group_feature = group_feature


@dataclass(frozen=True)
class TableReader:
    """The columns of labels and of features of X.

    Attributes
    ----------
    labels : ndarray of shape (0,) or (1,)
        Position of the labels among the columns of X.
    others : ndarray
        Positions of all other columns.
    linear : ndarray
        Those of the columns of the linear part.
    """

    labels: np.ndarray
    others: np.ndarray
    linear: np.ndarray

    def read_fit(self, X, y, groups, sample_weight):
        """`AnyRows` of a fit, X being a checked table."""
        data = self._read(read_fit_data, X, y, groups, sample_weight)
        weight = check_weight(sample_weight, X.shape[0])
        kept = np.ones(X.shape[0], dtype=bool) if weight is None else weight > 0
        table = self._table(X, data)
        if len(kept) > data.n_rows and table is not data.X:
            table = take_rows(table, np.flatnonzero(kept))
        return AnyRows(table, data, kept)

    def read_new(self, X, groups, y=None):
        """`AnyRows` of a prediction."""
        data = self._read(read_new_data, X, groups, y)
        return AnyRows(self._table(X, data), data, np.ones(data.n_rows, dtype=bool))

    def _read(self, read, X, *arguments):
        """`Data` of the linear part."""
        columns = np.append(self.linear, self.labels)
        # Without columns scikit-learn's checks refuse the rest as well.
        some = take_columns(X, columns) if len(columns) else np.zeros((X.shape[0], 1))
        part = LinearPart(-1 if len(self.labels) else None)
        validate_data(part, some, skip_check_array=True)  # notes names of columns
        try:
            data = read(part, some, *arguments)
        except (TypeError, ValueError) as error:
            if any(text in str(error) for text in NO_NUMBERS):
                error.add_note(
                    "The linear part of the model needs numbers without missing "
                    "values. Leave columns that only the regressor reads out of "
                    "linear_features, such as with linear_features=[]."
                )
            raise
        if len(self.linear):
            return data
        return replace(data, X=data.X[:, :0], features=data.features[:0])

    def _table(self, X, data):
        if is_frame(X) or not np.array_equal(self.others, self.linear):
            return take_columns(X, self.others)
        return data.X


def check_any_table(estimator, X, *, reset):
    """X as a frame or an array, with the columns that it had in `fit`."""
    check_table(X)
    X = as_table(X)
    if not is_frame(X):
        X = check_array(
            X,
            dtype=None,
            ensure_all_finite=False,
            estimator=estimator,
            input_name="X",
        )
    if reset and not X.shape[1]:
        raise ValueError(
            "X has 0 feature(s), while a minimum of 1 is required by "
            f"{type(estimator).__name__}, whose regressor reads them. Use "
            "RandomInterceptRegressor for a mean without features."
        )
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    if reset and X.shape[0] < 2:
        raise ValueError(
            f"X has {X.shape[0]} sample, but cross-fitting needs 2 or more: a fold is "
            "predicted by a model that was fitted to the others."
        )
    return X


def table_reader(X, group_feature, linear_features):
    """The `TableReader` of a checked table.

    Parameters
    ----------
    X : frame or ndarray
    group_feature : str, int or None
        Name or position of the label column.
    linear_features : array-like of str, int or bool, or None
        Columns of the linear part; None means all that `is_numeric` finds.
    """
    others, labels = np.arange(X.shape[1]), np.empty(0, dtype=int)
    if group_feature is not None:
        labels = np.array([feature_position(group_feature, X, "group_feature")])
        others = np.delete(others, labels)
        if not len(others):
            raise ValueError(
                "X has 1 feature(s), the group labels, while a regressor needs a "
                "feature beside them."
            )
    if linear_features is None:
        linear = np.array([j for j in others if is_numeric(X, j)], dtype=int)
    else:
        chosen = feature_positions(linear_features, X, others, "linear_features")
        linear = others[chosen]
    return TableReader(labels, others, linear)


def is_frame(X):
    """Whether X is a frame, of whatever library."""
    return hasattr(X, "columns")


def is_numeric(X, j):
    """Whether column j is of a numeric type, or of objects that are numbers; all those
    of an object array may be.
    """
    if not is_frame(X):
        return True
    dtype = column_types(X)[j]
    kind = getattr(dtype, "kind", None)
    if kind == "O" and isinstance(dtype, np.dtype):
        return are_numbers(np.ravel(take_columns(X, np.array([j]))))
    if kind is not None:
        return kind in NUMBERS
    return str(dtype).lower().startswith(OTHER_NUMBERS)


def are_numbers(values):
    """Whether all objects that are not missing are numbers, and some are."""
    found = False
    for value in values:
        if isinstance(value, (numbers.Real, Decimal, np.bool_)):
            found = True
        elif np.ndim(value) or not is_missing(value):
            return False
    return found


def take_columns(X, positions):
    """Some columns of a frame or an array."""
    if is_arrow(X):
        return X.select(positions.tolist())
    if hasattr(X, "iloc"):
        return X.iloc[:, positions]
    if is_frame(X):
        return X[:, positions.tolist()]
    return X[:, positions]


def label_positions(estimator, X):
    """Positions of the columns of X from which an estimator reads labels."""
    parameter, door = second_door(estimator)
    if door is None:
        return []
    features = door if parameter == "group_features" else [door]
    return [feature_position(feature, X, parameter) for feature in features]


def without_labels(X, positions):
    """A copy of X with all labels missing, so that each row is of a new group."""
    if is_arrow(X):
        for j in positions:
            missing = X.column(j).take([None] * len(X))
            X = X.set_column(j, X.column_names[j], missing)
        return X
    if is_frame(X):
        if hasattr(X, "with_columns"):  # polars
            names = [X.columns[j] for j in positions]
            return X.with_columns(X[name].clear(len(X)) for name in names)
        X = X.copy()
        for j in positions:
            X.isetitem(j, None)
        return X
    if sparse.issparse(X):
        X = X.astype(float).tolil()
        X[:, positions] = np.nan
        return X.tocsr()
    X = X.astype(float if X.dtype.kind in NUMBERS else object)
    X[:, positions] = np.nan if X.dtype.kind == "f" else None
    return X


def take_rows(array, rows):
    """The rows of an array, a sparse matrix, a list, or a frame, by position."""
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if hasattr(array, "column_names") and hasattr(array, "take"):  # pyarrow
        return array.take(rows)
    if isinstance(array, (list, tuple)):
        return [array[row] for row in rows]
    return (array if hasattr(array, "shape") else np.asarray(array))[rows]


def add_level(table, level):
    """The table with a last column, which in a frame of strings is called `LEVEL`.

    Raises
    ------
    ValueError
        If the frame has such a column.
    """
    if not is_frame(table):
        return np.column_stack([table, level])
    names = column_names(table)
    name = _level_name(names)
    if name in names:
        raise ValueError(
            f"X has a column {name!r}, which is the name of the column that the "
            "regressor gets beside those of X. Rename it, or set group_level=False."
        )
    if is_arrow(table):
        return table.append_column(LEVEL, [level])
    if hasattr(table, "assign"):
        if name == LEVEL:
            return table.assign(**{LEVEL: level})
        wider = table.set_axis(range(len(names)), axis=1)
        wider[len(names)] = level
        return wider.set_axis([*names, name], axis=1)
    return table.hstack(type(table)({LEVEL: level}))  # polars


def _level_name(names):
    """A name for the column of levels: of the type of the others, as scikit-learn asks
    for where some are strings, and of as many parts.
    """
    if all(isinstance(name, str) for name in names):
        return LEVEL
    if all(isinstance(name, tuple) for name in names):
        return (LEVEL, *[""] * (len(names[0]) - 1))
    are_numbers = all(isinstance(name, numbers.Real) for name in names)
    return max(names) + 1 if are_numbers else len(names)
