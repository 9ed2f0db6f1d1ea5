"""From X, y, labels and weights as users pass them to arrays, with labels from one of
the two doors.  Input is refused here, before any work.
"""

import numbers
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_X_y, validate_data

from .features import (
    EPS,
    as_table,
    column_names,
    column_types,
    feature_position,
    is_arrow,
    precision_of,
)
from .labels import GroupIndex, check_present, index_groups
from .parameters import warn_of_rounding
from .unreadable import (
    NO_NUMBER,
    REMEDIES,
    explain,
    first_unreadable,
    raise_explained,
    refuse_type,
)

# Containers that have no entry for each row in order.
NO_COLUMN = (str, bytes, Mapping, Set, Iterator)
# A row with a smaller share of the largest weight counts as absent.  This is the square
# of the rounding error, beyond which no ratio of variances can be told.
LEAST_WEIGHT = 1e-32


@dataclass(frozen=True)
class Data:
    """Validated input.

    Attributes
    ----------
    X : ndarray or CSR array of shape (n, p)
        The features alone, float64 or float32.
    features : ndarray of shape (p,)
        Their positions among the columns of the user's X.
    index : GroupIndex or None
    y : ndarray of shape (n,) or None
    weight : ndarray of shape (n,) or None
        None if all weights are 1.
    from_sparse : bool
        Whether X stands for rows of a sparse matrix.
    stands_for : int or None
        Number of rows that these have the sums of; None if these are the rows.
    precision : float
        Relative precision of the entries of X.
    """

    X: object
    features: np.ndarray
    index: GroupIndex | None
    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    from_sparse: bool = False
    stands_for: int | None = None
    precision: float = EPS

    @property
    def is_sparse(self):
        """Whether the digits of X are those of a sparse matrix."""
        return self.from_sparse or sparse.issparse(self.X)

    @property
    def n_rows(self):
        """Number of rows."""
        return self.X.shape[0]

    @property
    def n_observed(self):
        """Number of rows that were observed."""
        return self.n_rows if self.stands_for is None else self.stands_for

    @property
    def weights(self):
        """The weight of each row, 1 where none are given, (n_rows,)."""
        return np.ones(self.n_rows) if self.weight is None else self.weight

    @property
    def labels(self):
        """Group labels, (n_groups,), or None."""
        return None if self.index is None else self.index.labels

    def take(self, rows):
        """Some of the rows; groups that lose all their rows are gone."""
        index = None if self.index is None else self.index.take(rows)
        weight = None if self.weight is None else self.weight[rows]
        return replace(self, X=self.X[rows], index=index, y=self.y[rows], weight=weight)


def _read_column(labels, n_rows, names):
    """The labels of a model with one factor."""
    index = index_groups(labels, n_rows)
    warn_of_rounding(index.labels)
    return index


def read_fit_data(
    estimator,
    X,
    y,
    groups,
    sample_weight,
    need_labels=True,
    reset=True,
    read_labels=None,
):
    """Validate the input of `fit`; rows of weight zero are gone.

    Without `need_labels` there is no index of the groups, and they may be missing.
    Without `reset` the columns are those of an earlier fit.  ``read_labels(labels,
    n_rows, names)`` reads the labels of several factors, `names` being those of columns
    of X, or None.
    """
    data = _read(estimator, X, groups, y=y, reset=reset, read_labels=read_labels)
    weight = check_weight(sample_weight, len(data.y))
    data = replace(data, weight=weight)
    if not need_labels:
        data = replace(data, index=None)
    if weight is not None and not weight.all():
        data = data.take(weight > 0)
    if isinstance(data.index, GroupIndex):
        check_present(data.index)
    return data


def read_new_data(estimator, X, groups, y=None, read_labels=None):
    """Validate the input of `predict`, or with y that of a score of predictions."""
    return _read(estimator, X, groups, y=y, reset=None, read_labels=read_labels)


def second_door(estimator):
    """Name and value of the parameter that names label columns of X."""
    several = hasattr(estimator, "group_features")
    parameter = "group_features" if several else "group_feature"
    return parameter, getattr(estimator, parameter)


def _read(estimator, X, groups, *, y, reset, read_labels):
    """Validated input; `reset` is None if nothing is fitted to it."""
    X, groups, y = in_memory(X), in_memory(groups), in_memory(y)
    parameter, door = second_door(estimator)
    if door is not None and groups is not None:
        raise ValueError(
            f"Both doors for groups are open: {parameter}={door!r} takes the labels "
            "from X, and `groups` was passed as well. Use one of them."
        )
    check_table(X)
    if reset is not None:
        _refuse_scalar(y)
    _check_column(y, "y")
    if hasattr(X, "columns") and not X.shape[1]:
        X = np.empty(X.shape)  # a frame without columns has no type to check
    labels, columns, features, names = groups, X, None, None
    if door is not None:
        labels, columns, features, names = _split(estimator, X, bool(reset))
    _check_types(columns)
    precision = EPS if reset is None else precision_of(columns)
    checks = {
        "accept_sparse": "csr",
        "dtype": [np.float64, np.float32],
        "ensure_min_features": int(reset is not None and labels is None),
    }
    try:
        columns, y = _check_columns(estimator, columns, y, features, reset, checks)
    except (TypeError, ValueError, OverflowError) as error:
        explain(error, columns, features, y, parameter if labels is None else None)
        raise
    if features is None:
        features = np.arange(columns.shape[1])
    if not reset:
        _check_door(estimator, features)
    index = None
    if labels is not None:
        read_labels = read_labels or _read_column
        index = read_labels(labels, columns.shape[0], names)
    return Data(columns, features, index, y, precision=precision)


def _check_door(estimator, features):
    """Refuse a second door that leaves other features than that of the fit."""
    fit = getattr(estimator, "_fit", None)
    if fit is None or np.array_equal(features, fit.features):
        return
    (parameter, door), n_columns = second_door(estimator), estimator.n_features_in_
    labels = np.setdiff1d(np.arange(n_columns), fit.features)
    names = ", ".join(repr(fit.names[j]) for j in labels)
    before = f"labels in X ({names})" if names else "labels in `groups`"
    raise ValueError(
        f"{parameter} is {door!r}, but the model was fitted with {before}. Set it "
        "back, or fit anew."
    )


def in_memory(values):
    """The rows of a Dask collection, with the names of its columns, which scikit-learn
    does not read; other values as they are.
    """
    is_lazy = hasattr(values, "__dask_graph__") and hasattr(values, "compute")
    return values.compute() if is_lazy else values


def _check_columns(estimator, X, y, features, reset, checks):
    """Features and y as arrays, with scikit-learn's own checks and messages."""
    fitting = reset is not None
    if _is_ready(X, 2) and (_is_ready(y, 1, len(X)) if fitting else y is None):
        if features is None and not reset:
            validate_data(estimator, X, reset=False, skip_check_array=True)
        elif features is None:  # an array has no names
            estimator.n_features_in_ = X.shape[1]
            vars(estimator).pop("feature_names_in_", None)
        return X, y
    is_checked = fitting and getattr(y, "dtype", None) == np.float64
    if fitting:
        checks = {**checks, "y_numeric": True}
        if features is None:
            X, y = validate_data(estimator, X, y, reset=reset, **checks)
        else:
            X, y = check_X_y(X, y, estimator=estimator, **checks)
    elif features is None:
        X = validate_data(estimator, X, reset=False, **checks)
    else:
        X = check_array(X, estimator=estimator, input_name="X", **checks)
    if y is not None and not is_checked:
        # Also after the checks of a fit, which find nothing missing among objects.
        y = check_array(
            column_or_1d(y), ensure_2d=False, dtype=np.float64, input_name="y"
        )
        check_consistent_length(X, y)
    return X, y


@np.errstate(over="ignore", invalid="ignore")
def _is_ready(values, ndim, n_rows=None):
    """Whether the checks would find nothing to convert or to refuse: an array of finite
    doubles, of `n_rows` if they are known.  Where the sum overflows, the checks decide.
    """
    if type(values) is not np.ndarray or values.dtype != np.float64:
        return False
    if values.ndim != ndim or not values.size or len(values) != (n_rows or len(values)):
        return False
    return bool(np.isfinite(values.sum()))


def check_table(X):
    """Refuse containers without rows and columns, and masked entries."""
    refuse_lazy(X, "X")
    if isinstance(X, NO_COLUMN) and not sparse.issparse(
        X
    ):  # one of SciPy's formats is a dict
        raise TypeError(
            f"X is of type {type(X).__name__}, which is no table that could be read. "
            "Pass an array or a DataFrame, such as pandas.DataFrame(X) of a dict."
        )
    if getattr(getattr(X, "dtype", None), "names", None):
        raise TypeError(
            f"X is a structured array with the fields {X.dtype.names}, not a table of "
            "numbers. Pass pandas.DataFrame(X), or stack the fields with "
            "numpy.lib.recfunctions.structured_to_unstructured(X)."
        )
    refuse_masked(X, "X")


def read_column(values, name):
    """One finite number per row as a float64 array, of (n,), or as it was given."""
    shown = name if name == "y" else f"`{name}`"
    _check_column(values, shown)
    try:
        return check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    except (TypeError, ValueError, OverflowError) as error:
        value, why = first_unreadable(values)
        if why is None:
            raise
        remedy = "" if why == NO_NUMBER else f" {REMEDIES[why]}"
        explanation = f"{shown} holds {value!r:.60}, which is {why}.{remedy}"
        raise_explained(error, value, why, explanation)
        raise


def _check_column(values, name):
    """Refuse containers that are no column of numbers, and types that are no number."""
    if isinstance(values, NO_COLUMN):
        raise TypeError(
            f"{name} is of type {type(values).__name__}, which is no column of "
            "numbers. Pass one number per row as a list, an array or a Series, such as "
            "list(...) of a generator."
        )
    refuse_lazy(values, name)
    refuse_masked(values, name)
    for dtype in column_types(values):
        refuse_type(dtype, f"{name} holds")


def _refuse_scalar(y):
    if isinstance(y, numbers.Number) or getattr(y, "shape", None) == ():
        raise TypeError(
            f"y is the number {y!r:.60}. Pass a column, one number per row."
        )


def refuse_masked(array, name):
    """Refuse a masked array with masked entries."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(array)} masked "
            "entries, which would be read as numbers. Impute them or drop their rows."
        )


def _check_types(X):
    """Refuse columns of types that NumPy would read as other numbers."""
    pairs = zip(column_names(X), column_types(X), strict=False)
    for j, (name, dtype) in enumerate(pairs):
        refuse_type(dtype, f"Column {name!r} of X holds")
        if str(dtype) == "category" and hasattr(X, "iloc"):
            missing = int((X.iloc[:, j].cat.codes < 0).sum())
            if missing:  # which pandas casts to the least integer
                raise ValueError(
                    f"Column {name!r} of X has {missing} missing values. Impute them, "
                    "or drop their rows."
                )
    if not column_names(X):
        for dtype in column_types(X):
            refuse_type(dtype, "X holds")


def refuse_lazy(values, name):
    if type(values).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} is a LazyFrame, which has no rows yet. Pass the result of its "
            "collect()."
        )


def _split(estimator, X, reset):
    """Labels, the other columns, and the positions and names of both."""
    X = as_table(X)
    if len(X.shape) != 2 or not X.shape[1]:
        check_array(X, accept_sparse=True)  # raises, in scikit-learn's words
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    parameter, door = second_door(estimator)
    several = parameter == "group_features"
    features = door if several else [door]
    if X.shape[1] < len(features) or np.iscomplexobj(X):
        minimum = {"ensure_all_finite": False, "ensure_min_features": len(features)}
        check_array(X, accept_sparse=True, dtype=None, **minimum)  # raises
    at = np.array([feature_position(f, X, parameter) for f in features], dtype=int)
    others = np.setdiff1d(np.arange(X.shape[1]), at)
    if len(others) + len(at) > X.shape[1]:
        raise ValueError(f"{parameter} names a column twice: {features!r:.100}.")
    # A slice is a view where a list of columns would be a copy.
    first = slice(0, len(others))
    rest = first if np.array_equal(others, np.arange(len(others))) else others
    at = at if several else int(at[0])
    if hasattr(X, "iloc"):
        labels, columns = X.iloc[:, at], X.iloc[:, rest]
    elif is_arrow(X):
        labels = X.select(at.tolist()) if several else X.column(at)
        columns = X.select(others.tolist())
    elif hasattr(X, "columns"):
        labels = X[:, at.tolist() if several else at]
        columns = X[:, others.tolist()]
    elif sparse.issparse(X):
        X = X.tocsc()
        labels, columns = X[:, np.atleast_1d(at)].toarray(), X[:, others]
    else:
        labels, columns = X[:, at], X[:, rest]
    if not len(others):
        columns = np.empty((X.shape[0], 0))  # as in `_read`
    own = column_names(X) or [f"x{j}" for j in range(X.shape[1])]
    return labels, columns, others, [own[j] for j in np.atleast_1d(at)]


def check_weight(sample_weight, n_rows):
    """Weights as a float64 array, or None if all of them are 1."""
    if sample_weight is None:
        return None
    is_array_scalar = getattr(sample_weight, "shape", None) == ()
    if is_array_scalar or isinstance(sample_weight, numbers.Real):
        sample_weight = np.full(n_rows, float(sample_weight))
    weight = read_column(sample_weight, "sample_weight")
    if weight.shape != (n_rows,):
        raise ValueError(
            f"`sample_weight` has shape {weight.shape} but X has {n_rows} rows; it "
            "needs one weight per row."
        )
    if (weight < 0).any():
        raise ValueError(
            f"`sample_weight` has {np.sum(weight < 0)} negative weights; weights count "
            "repetitions of a row and are at least 0."
        )
    if not weight.any():
        raise ValueError("All weights in `sample_weight` are zero: there is no data.")
    # Beside the largest weight, rows with less than this share of it are rounding.
    weight = np.where(weight < LEAST_WEIGHT * weight.max(), 0.0, weight)
    return None if (weight == 1).all() else weight
