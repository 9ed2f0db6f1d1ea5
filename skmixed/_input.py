"""From what the user passes to arrays: labels from one of the two doors, features,
weights.  Every complaint about input is made here, before any work.
"""

import numbers
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.utils import check_array, check_consistent_length
from sklearn.utils.validation import check_X_y, validate_data

from ._groups import GroupIndex, index_groups


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

    def take(self, rows):
        """The rows of a boolean mask; groups that lose all their rows are gone."""
        index = None if self.index is None else self.index.take(rows)
        return Data(self.X[rows], self.features, index, self.y[rows], self.weight[rows])


def read_fit_data(estimator, X, y, groups, sample_weight):
    """Validate the input of `fit`; rows of weight zero are gone."""
    data = _read(estimator, X, groups, y=y, fitting=True)
    weight = _check_weight(sample_weight, len(data.y))
    data = Data(data.X, data.features, data.index, data.y, weight)
    if weight is not None and not weight.all():
        data = data.take(weight > 0)
    if data.index is not None:
        missing = int(np.sum(data.index.codes < 0))
        if missing:
            raise ValueError(
                f"{missing} of {len(data.y)} labels in `groups` are missing. Drop "
                "those rows, or give them a label of their own."
            )
    return data


def read_new_data(estimator, X, groups, y=None):
    """Validate the input of `predict` (and of what scores predictions, with y)."""
    return _read(estimator, X, groups, y=y, fitting=False)


def _read(estimator, X, groups, *, y, fitting):
    if estimator.group_feature is not None and groups is not None:
        raise ValueError(
            f"Both doors for groups are open: group_feature="
            f"{estimator.group_feature!r} takes the labels from X, and `groups` was "
            "passed as well. Use one of them."
        )
    _refuse_masked(X)
    if hasattr(X, "columns") and not X.shape[1]:
        X = np.empty(X.shape)  # a frame without columns has no type to check
    if estimator.group_feature is None:
        labels, columns, features = groups, X, None
    else:
        labels, columns, features = _split(estimator, X, fitting)
    grouped = labels is not None or not getattr(estimator, "n_features_in_", 1)
    checks = {
        "accept_sparse": "csr",
        "dtype": [np.float64, np.float32],
        "ensure_min_features": 0 if grouped or not fitting else 1,
    }
    try:
        columns, y = _check_columns(estimator, columns, y, features, fitting, checks)
    except ValueError as error:
        _explain_strings(columns, error)
        raise
    if features is None:
        features = np.arange(columns.shape[1])
    index = None if labels is None else index_groups(labels, columns.shape[0])
    return Data(columns, features, index, y)


def _check_columns(estimator, X, y, features, fitting, checks):
    """Features and y as arrays, with scikit-learn's own checks and messages."""
    if fitting:
        checks = {**checks, "y_numeric": True}
        if features is None:
            X, y = validate_data(estimator, X, y, **checks)
        else:
            X, y = check_X_y(X, y, estimator=estimator, **checks)
    elif features is None:
        X = validate_data(estimator, X, reset=False, **checks)
    else:
        X = check_array(X, estimator=estimator, input_name="X", **checks)
    if y is not None and not fitting:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        y = y.reshape(len(y))
        check_consistent_length(X, y)
    return X, None if y is None else y.astype(np.float64, copy=False)


def _refuse_masked(X):
    if np.ma.is_masked(X):
        raise ValueError(
            f"X is a masked array with {np.ma.count_masked(X)} masked entries, which "
            "would be read as numbers. Impute them or drop their rows."
        )


def _split(estimator, X, fitting):
    """Labels, the other columns, and the positions of those, of the second door."""
    if not hasattr(X, "columns") and not sparse.issparse(X):
        array = np.asarray(X)
        if array.dtype.kind in "US" and not isinstance(X, np.ndarray):
            array = np.array(X, dtype=object)  # numbers beside text labels
        X = array
    if len(X.shape) != 2 or not X.shape[1]:
        check_array(X, accept_sparse=True)  # raises, in scikit-learn's words
    validate_data(estimator, X, reset=fitting, skip_check_array=True)
    n_columns = X.shape[1]
    j = feature_position(estimator.group_feature, X, "group_feature")
    others = np.delete(np.arange(n_columns), j)
    # A slice is a view where a list of columns would be a copy.
    rest = slice(0, j) if j == n_columns - 1 else others
    if hasattr(X, "iloc"):
        return X.iloc[:, j], X.iloc[:, rest], others
    if hasattr(X, "columns"):
        return X[:, j], X[:, others.tolist()], others
    if sparse.issparse(X):
        X = X.tocsc()
        return X[:, [j]].toarray().ravel(), X[:, others], others
    return X[:, j], X[:, rest], others


def feature_position(feature, X, parameter):
    """Position in X of a column given by name or by (possibly negative) index."""
    n_columns = X.shape[1]
    names = [str(name) for name in getattr(X, "columns", [])]
    if isinstance(feature, str):
        if feature in names:
            return names.index(feature)
        raise ValueError(_not_found(feature, names, parameter))
    if isinstance(feature, bool) or not isinstance(feature, numbers.Integral):
        raise TypeError(
            f"{parameter} is the name or the index of a column of X, got {feature!r}."
        )
    if not -n_columns <= feature < n_columns:
        raise ValueError(f"{parameter}={feature} but X has {n_columns} columns.")
    return int(feature) % n_columns


def _not_found(feature, names, parameter):
    to_frame = (
        'Let the step before return a frame: .set_output(transform="pandas"), with '
        "verbose_feature_names_out=False to keep the names"
    )
    if not names:
        return (
            f"{parameter}={feature!r} but X has no column names. {to_frame}; or give "
            "the index of the column, such as -1."
        )
    suffixed = [name for name in names if name.endswith(f"__{feature}")]
    if suffixed:
        return (
            f"{parameter}={feature!r} is not among the columns of X, {names}. Did you "
            f"mean {suffixed[0]!r}? {to_frame}."
        )
    return (
        f"{parameter}={feature!r} is not among the columns of X, {names}. {to_frame}."
    )


def _explain_strings(X, error):
    """Name the column of text that made a conversion to float fail."""
    if "could not convert string to float" not in str(error):
        return
    names = list(getattr(X, "columns", []))
    array = np.asarray(X, dtype=object)
    for j in range(array.shape[1] if array.ndim == 2 else 0):
        texts = [v for v in array[:, j] if isinstance(v, str) and not _is_number(v)]
        if texts:
            feature = names[j] if names else j
            raise ValueError(
                f"Column {feature!r} of X holds text such as {texts[0]!r}. If it names "
                f"the groups, say so with group_feature={feature!r} or pass it as "
                "`groups`; otherwise encode it, e.g. with OneHotEncoder."
            ) from error


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_weight(sample_weight, n_rows):
    """Weights as a float64 array, or None where all of them are 1."""
    if sample_weight is None:
        return None
    if isinstance(sample_weight, numbers.Real):
        sample_weight = np.full(n_rows, float(sample_weight))
    weight = check_array(
        sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
    )
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
