"""From what the user passes to arrays: labels from one of the two doors, features,
weights.  Every complaint about input is made here, before any work.
"""

import numbers
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length, column_or_1d
from sklearn.utils.validation import check_X_y, validate_data

from .labels import GroupIndex, check_present, index_groups, is_missing

# How types of dates and times begin, in pandas, polars and pyarrow alike.
DATES = ("date", "time", "duration")

# Why an entry cannot be read, and what to do about it.
NO_NUMBER, MISSING = "not a number", "a missing value"
TOO_LARGE = "too large for double precision"
REMEDIES = {
    NO_NUMBER: "Leave it out or encode it, e.g. with OneHotEncoder.",
    MISSING: "Impute it, or drop its row.",
    TOO_LARGE: "Rescale.",
}


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
        None where all weights are 1.
    """

    X: object
    features: np.ndarray
    index: GroupIndex | None
    y: np.ndarray | None = None
    weight: np.ndarray | None = None

    @property
    def n_rows(self):
        """Number of rows."""
        return self.X.shape[0]

    @property
    def labels(self):
        """Group labels, (n_groups,), or None."""
        return None if self.index is None else self.index.labels

    def take(self, rows):
        """The rows of a boolean mask; groups that lose all their rows are gone."""
        index = None if self.index is None else self.index.take(rows)
        return Data(self.X[rows], self.features, index, self.y[rows], self.weight[rows])


def _read_column(labels, n_rows, names=None):
    """The labels of the one factor of most models."""
    return index_groups(labels, n_rows)


def read_fit_data(
    estimator,
    X,
    y,
    groups,
    sample_weight,
    need_labels=True,
    reset=True,
    read_labels=_read_column,
):
    """Validate the input of `fit`; rows of weight zero are gone.

    Without `need_labels` there is no index of the groups, and they may be missing.
    Without `reset` the columns are those of an earlier fit.  ``read_labels(labels,
    n_rows, names)`` reads the labels of several factors, `names` being those of columns
    of X, or None.
    """
    data = _read(estimator, X, groups, y=y, reset=reset, read_labels=read_labels)
    weight = check_weight(sample_weight, len(data.y))
    data = Data(data.X, data.features, data.index, data.y, weight)
    if not need_labels:
        data = replace(data, index=None)
    if weight is not None and not weight.all():
        data = data.take(weight > 0)
    if isinstance(data.index, GroupIndex):
        check_present(data.index)
    return data


def read_new_data(estimator, X, groups, y=None, read_labels=_read_column):
    """Validate the input of `predict` (and of what scores predictions, with y)."""
    return _read(estimator, X, groups, y=y, reset=None, read_labels=read_labels)


def second_door(estimator):
    """Name and value of the parameter that names label columns of X."""
    several = hasattr(estimator, "group_features")
    parameter = "group_features" if several else "group_feature"
    return parameter, getattr(estimator, parameter)


def _read(estimator, X, groups, *, y, reset, read_labels):
    """Validated input; `reset` is None where it is not to be fitted."""
    parameter, door = second_door(estimator)
    if door is not None and groups is not None:
        raise ValueError(
            f"Both doors for groups are open: {parameter}={door!r} takes the labels "
            "from X, and `groups` was passed as well. Use one of them."
        )
    check_table(X)
    refuse_lazy(y, "y")
    refuse_masked(y, "y")
    _refuse_types(y, "y holds")
    if hasattr(X, "columns") and not X.shape[1]:
        X = np.empty(X.shape)  # a frame without columns has no type to check
    labels, columns, features, names = groups, X, None, None
    if door is not None:
        labels, columns, features, names = _split(estimator, X, bool(reset))
    _check_types(columns)
    checks = {
        "accept_sparse": "csr",
        "dtype": [np.float64, np.float32],
        "ensure_min_features": int(reset is not None and labels is None),
    }
    try:
        columns, y = _check_columns(estimator, columns, y, features, reset, checks)
    except (TypeError, ValueError, OverflowError) as error:
        _explain(error, columns, features, y, grouped=labels is not None)
        raise
    if features is None:
        features = np.arange(columns.shape[1])
    index = None
    if labels is not None:
        index = read_labels(labels, columns.shape[0], names)
    return Data(columns, features, index, y)


def _check_columns(estimator, X, y, features, reset, checks):
    """Features and y as arrays, with scikit-learn's own checks and messages."""
    fitting = reset is not None
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
    if y is not None:
        # Also after the checks of a fit, which find nothing missing among objects.
        y = check_array(
            column_or_1d(y), ensure_2d=False, dtype=np.float64, input_name="y"
        )
        check_consistent_length(X, y)
    return X, y


def check_table(X):
    """Refuse what has no rows and columns that could be read, or masked entries."""
    refuse_lazy(X, "X")
    no_table = isinstance(X, (str, bytes, Mapping, Set, Iterator))
    if no_table and not sparse.issparse(X):  # one of SciPy's formats is a dict
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
    refuse_lazy(values, shown)
    refuse_masked(values, shown)
    _refuse_types(values, f"{shown} holds")
    try:
        return check_array(values, ensure_2d=False, dtype=np.float64, input_name=name)
    except (TypeError, ValueError, OverflowError) as error:
        value, why = _first_unreadable(values)
        if why is None:
            raise
        remedy = "" if why == NO_NUMBER else f" {REMEDIES[why]}"
        explanation = f"{shown} holds {value!r:.60}, which is {why}.{remedy}"
        _raise(error, value, why, explanation)
        raise


def refuse_masked(array, name):
    """Refuse a masked array with masked entries."""
    if isinstance(array, np.ma.MaskedArray) and np.ma.is_masked(array):
        raise ValueError(
            f"{name} is a masked array with {np.ma.count_masked(array)} masked "
            "entries, which would be read as numbers. Impute them or drop their rows."
        )


def _check_types(X):
    """Refuse columns of types that NumPy would read as other numbers."""
    for j, (name, dtype) in enumerate(zip(_names(X), _types(X), strict=False)):
        _refuse_type(dtype, f"Column {name!r} of X holds")
        if str(dtype) == "category" and hasattr(X, "iloc"):
            missing = int((X.iloc[:, j].cat.codes < 0).sum())
            if missing:  # which pandas casts to the least integer
                raise ValueError(
                    f"Column {name!r} of X has {missing} missing values. Impute them, "
                    "or drop their rows."
                )
    if not _names(X):
        _refuse_types(X, "X holds")


def refuse_lazy(values, name):
    if type(values).__name__ == "LazyFrame":
        raise TypeError(
            f"{name} is a LazyFrame, which has no rows yet. Pass the result of its "
            "collect()."
        )


def _refuse_types(values, holds):
    for dtype in _types(values):
        _refuse_type(dtype, holds)


def _refuse_type(dtype, holds):
    """Refuse dates, whose numbers depend on their unit, and what NumPy lacks."""
    text = str(dtype)
    if getattr(dtype, "kind", "") in ("m", "M") or text.lower().startswith(DATES):
        raise TypeError(
            f"{holds} dates or times ({text}), which are no numbers. Convert them, "
            "such as to days since the first, or to hours."
        )
    if text.endswith("Int128"):
        raise TypeError(
            f"{holds} integers of type {text}, which NumPy lacks. Cast them to Int64 "
            "or Float64."
        )


def _types(values):
    """Types of the columns of a frame, or the one type of anything else."""
    if is_arrow(values):
        return values.schema.types if hasattr(values, "schema") else [values.type]
    if hasattr(values, "dtypes") and len(values.shape) == 2:
        return list(values.dtypes)
    return [values.dtype] if hasattr(values, "dtype") else []


def _names(X):
    """Names of the columns of a frame; none of anything else."""
    if is_arrow(X):
        return list(getattr(X, "column_names", []))
    return list(getattr(X, "columns", []))


def is_arrow(values):
    return type(values).__module__.split(".")[0] == "pyarrow"


def _split(estimator, X, reset):
    """Labels, the other columns, and the positions and names of both."""
    X = _as_table(X)
    if len(X.shape) != 2 or not X.shape[1]:
        check_array(X, accept_sparse=True)  # raises, in scikit-learn's words
    validate_data(estimator, X, reset=reset, skip_check_array=True)
    parameter, door = second_door(estimator)
    several = parameter == "group_features"
    features = door if several else [door]
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
    own = _names(X) or [f"x{j}" for j in range(X.shape[1])]
    return labels, columns, others, [own[j] for j in np.atleast_1d(at)]


def _as_table(X):
    """X as a frame, a sparse matrix or an array, whose columns may differ in type."""
    if hasattr(X, "columns") or sparse.issparse(X):
        return X
    if isinstance(X, (list, tuple)):
        # One type for all would make text of numbers, and round integer labels.
        return np.array(X, dtype=object)
    return np.asarray(X)


def feature_position(feature, X, parameter):
    """Position in X of a column given by name or by (possibly negative) index."""
    n_columns = X.shape[1]
    names = [str(name) for name in _names(X)]
    if isinstance(feature, str):
        if names.count(feature) > 1:
            raise ValueError(
                f"{parameter}={feature!r} names {names.count(feature)} columns of X. "
                "Give the index of the column, or rename the others."
            )
        if feature in names:
            return names.index(feature)
        raise ValueError(_not_found(feature, names, parameter))
    if isinstance(feature, bool) or not isinstance(feature, numbers.Integral):
        raise TypeError(
            f"{parameter} is the name or the index of a column of X, got {feature!r}."
        )
    if not -n_columns <= feature < n_columns:
        raise ValueError(
            f"{parameter}={feature} but X has {n_columns} columns; indices run from "
            f"{-n_columns} to {n_columns - 1}."
        )
    return int(feature) % n_columns


def feature_positions(features, X, read, parameter):
    """Positions among the features of a list of columns of X, None being all of them.

    They ascend: the list is a set of columns.

    Parameters
    ----------
    features : None, or array-like of str, int or bool
        Names or indices of columns of X as the user gave it, or a mask of them.
    X : {array-like, sparse matrix}
    read : Data or Statistics
    parameter : str
        What to call `features` in a message.
    """
    if features is None:
        return np.arange(len(read.features))
    if isinstance(features, str) or not hasattr(features, "__len__"):
        raise TypeError(
            f"{parameter} is a list of names or indices of columns of X, got "
            f"{features!r}."
        )
    X = _as_table(X)
    features = list(features)
    if features and all(isinstance(f, (bool, np.bool_)) for f in features):
        if len(features) != X.shape[1]:
            raise ValueError(
                f"{parameter} is a mask of {len(features)} columns but X has "
                f"{X.shape[1]}."
            )
        columns = np.flatnonzero(features)
    else:
        columns = np.array([feature_position(f, X, parameter) for f in features], int)
    labels = np.setdiff1d(columns, read.features)
    if len(labels):
        raise ValueError(
            f"{parameter} names column {int(labels[0])} of X, which holds group "
            "labels. Leave it out: groups have parameters of their own."
        )
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{parameter} names a column twice: {features!r:.100}.")
    return np.searchsorted(read.features, np.sort(columns))


def _not_found(feature, names, parameter):
    keep_names = (
        'Transformers keep column names with .set_output(transform="pandas") and '
        "verbose_feature_names_out=False."
    )
    if not names:
        return (
            f"{parameter}={feature!r} but X has no column names. Give the index of the "
            f"column, such as -1. {keep_names}"
        )
    suffixed = [name for name in names if name.endswith(f"__{feature}")]
    instead = f"Did you mean {suffixed[0]!r}? " if suffixed else ""
    return (
        f"{parameter}={feature!r} is not among the columns of X, {names}. {instead}"
        f"{keep_names}"
    )


def _explain(error, X, features, y, grouped):
    """Name the column of X, or y, that made a conversion to float fail."""
    about_text = "could not convert string to float" in str(error)
    about_lists = "setting an array element with a sequence" in str(error)
    if not (about_text or about_lists) and type(error) is ValueError:
        return
    found = [_explain_columns(X, features, grouped), _explain_target(y)]
    found = [explained for explained in found if explained is not None]
    if found:
        _raise(error, *min(found, key=_is_of_missing))


def _is_of_missing(explained):
    return explained[1] == MISSING


def _raise(error, value, why, explanation):
    """Raise the explanation of an error, or note it where the error says enough."""
    if why != NO_NUMBER or isinstance(value, str):
        raise ValueError(explanation) from error
    error.add_note(explanation)


def _explain_columns(X, features, grouped):
    """The first entry of X that is no number, why, and what to do about it, or None.

    One that is missing only where there is no other.
    """
    names = _names(X)
    array = np.asarray(X, dtype=object)
    found = []
    for j in range(array.shape[1] if array.ndim == 2 else 0):
        value, why = _first_unreadable(array[:, j])
        if why is None:
            continue
        position = j if features is None else int(features[j])
        feature = names[j] if names else position
        remedy = REMEDIES[why]
        if why == NO_NUMBER and not grouped:
            remedy = (
                f"If it names the groups, say so with group_feature={feature!r} or "
                "pass it as `groups`; otherwise encode it, e.g. with OneHotEncoder."
            )
        holds = f"Column {feature!r} of X holds {value!r:.60}, which is {why}."
        found.append((value, why, f"{holds} {remedy}"))
    return min(found, key=_is_of_missing, default=None)


def _explain_target(y):
    value, why = _first_unreadable(y)
    if why is None:
        return None
    holds = f"y holds {value!r:.60}, which is {why}; a regression needs a numeric "
    return value, why, holds + "target."


def _first_unreadable(values):
    """The first entry that is no finite number, and why; (None, None) without one.

    One that is missing only where there is no other.
    """
    missing = None, None
    entries = [] if sparse.issparse(values) else np.asarray(values, dtype=object)
    for value in np.ravel(entries):
        if np.ndim(value):
            return value, NO_NUMBER
        try:
            float(value)
        except (TypeError, ValueError):
            if not is_missing(value):
                return value, NO_NUMBER
            missing = value, MISSING
        except OverflowError:
            return value, TOO_LARGE
    return missing


def check_weight(sample_weight, n_rows):
    """Weights as a float64 array, or None where all of them are 1."""
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
    return None if (weight == 1).all() else weight
