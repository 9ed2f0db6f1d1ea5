"""Columns of X, in any container: their names, types and positions."""

import numbers

import numpy as np
from scipy import sparse

EPS = float(np.finfo(float).eps)
# That of coarser types, by their names in NumPy, pandas, polars and pyarrow.
SINGLE, HALF = (float(np.finfo(dtype).eps) for dtype in (np.float32, np.float16))
PRECISION = {"float32": SINGLE, "float": SINGLE, "float16": HALF, "halffloat": HALF}


def column_names(X):
    """Names of the columns of a frame; none of anything else."""
    if is_arrow(X):
        return list(getattr(X, "column_names", []))
    return list(getattr(X, "columns", []))


def column_types(values):
    """Types of the columns of a frame, or the one type of anything else."""
    if is_arrow(values):
        return values.schema.types if hasattr(values, "schema") else [values.type]
    if hasattr(values, "dtypes") and len(values.shape) == 2:
        return list(values.dtypes)
    return [values.dtype] if hasattr(values, "dtype") else []


def precision_of(values):
    """Relative precision of the entries of a table, that of its coarsest column."""
    names = (str(dtype).lower().split("[")[0] for dtype in column_types(values))
    return max((PRECISION.get(name, EPS) for name in names), default=EPS)


def is_arrow(values):
    return type(values).__module__.split(".")[0] == "pyarrow"


def as_table(X):
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
    names = [str(name) for name in column_names(X)]
    if isinstance(feature, str):
        if names.count(feature) > 1:
            raise ValueError(
                f"{parameter}={feature!r} names {names.count(feature)} columns of X. "
                "Give the index of the column, or rename the others."
            )
        own = names or [f"x{j}" for j in range(n_columns)]  # as tables call them
        if feature in own:
            return own.index(feature)
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


def offset_position(feature, X, among):
    """Position among the features of the known part of the log-variance, or None;
    `among` is as of `feature_positions`.
    """
    if feature is None:
        return None
    column = feature_position(feature, as_table(X), "variance_offset")
    if column not in among:
        raise ValueError(
            f"variance_offset={feature!r} holds group labels. Give the column of known "
            "log-variances."
        )
    return int(np.searchsorted(among, column))


def check_columns(features, parameter):
    """Refuse a value that is no list of columns, "all" or None."""
    if features is None or (isinstance(features, str) and features == "all"):
        return
    if isinstance(features, str) or not hasattr(features, "__len__"):
        raise TypeError(
            f"{parameter} is a list of names or indices of columns of X, got "
            f"{features!r}."
        )


def are_columns(features, parameter):
    """Whether a list of columns of X, as of `feature_positions`, may have any."""
    check_columns(features, parameter)
    if features is None or isinstance(features, str):
        return True
    return any(features) if _is_mask(features) else len(features) > 0


def _is_mask(features):
    return all(isinstance(f, (bool, np.bool_)) for f in features)


def feature_positions(features, X, among, parameter, offset=None):
    """Positions among the features of a list of columns of X; "all" and None are all of
    them but the known part of the log-variance, `offset`.

    They ascend: the list is a set of columns.

    Parameters
    ----------
    features : "all", None, or array-like of str, int or bool
        Names or indices of columns of X as the user gave it, or a mask of them.
    X : {array-like, sparse matrix}
    among : ndarray of shape (p,)
        Positions of the features among the columns of X.
    parameter : str
        The name of `features` in messages.
    """
    check_columns(features, parameter)
    if features is None or isinstance(features, str):
        return np.setdiff1d(np.arange(len(among)), [] if offset is None else offset)
    X = as_table(X)
    features = list(features)
    if features and _is_mask(features):
        if len(features) != X.shape[1]:
            raise ValueError(
                f"{parameter} is a mask of {len(features)} columns but X has "
                f"{X.shape[1]}."
            )
        columns = np.flatnonzero(features)
    else:
        columns = np.array([feature_position(f, X, parameter) for f in features], int)
    labels = np.setdiff1d(columns, among)
    if len(labels):
        raise ValueError(
            f"{parameter} names column {int(labels[0])} of X, which holds group "
            "labels. Leave it out: groups have parameters of their own."
        )
    if len(np.unique(columns)) < len(columns):
        raise ValueError(f"{parameter} names a column twice: {features!r:.100}.")
    positions = np.searchsorted(among, np.sort(columns))
    if offset is not None and offset in positions:
        raise ValueError(
            f"{parameter} names column {int(among[offset])} of X, which is the "
            "variance_offset: a known part of the log-variance has no coefficient. "
            "Leave it out."
        )
    return positions


def _not_found(feature, names, parameter):
    keep_names = (
        'Transformers keep column names with .set_output(transform="pandas") and '
        "verbose_feature_names_out=False."
    )
    if not names:
        return (
            f"{parameter}={feature!r} but X has no column names; its columns are x0, "
            f"x1 and so on. Give one of these, or an index such as -1. {keep_names}"
        )
    suffixed = [name for name in names if name.endswith(f"__{feature}")]
    instead = f"Did you mean {suffixed[0]!r}? " if suffixed else ""
    return (
        f"{parameter}={feature!r} is not among the columns of X, {names}. {instead}"
        f"{keep_names}"
    )
