"""Entries and types of X and y that are no finite numbers: where they are, and why."""

from contextlib import contextmanager

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from .features import column_names, column_types
from .messages import count
from .scalars import is_missing

# The reasons for which an entry cannot be read, and their remedies.
NO_NUMBER, MISSING = "not a number", "a missing value"
TOO_LARGE = "too large for double precision"
REMEDIES = {
    NO_NUMBER: "Leave it out or encode it, e.g. with OneHotEncoder.",
    MISSING: "Impute it, or drop its row.",
    TOO_LARGE: "Rescale.",
}

# Words of errors about an entry that is no number.
NOT_READ = "could not convert string to float", "float() argument must be"
# The first letters of types of dates and times, in pandas, polars and pyarrow alike.
DATES = ("date", "time", "duration", "period")
DATES_OR_TIMES = (
    "dates or times ({}), which are no numbers. Convert them, such as to days since "
    "the first, or to hours."
)


def refuse_type(dtype, holds):
    """Refuse dates, whose numbers depend on their unit, and types that NumPy lacks."""
    kind = getattr(dtype, "kind", "")
    if kind == "f":
        return
    text = str(dtype)
    if kind in ("m", "M") or text.lower().startswith(DATES):
        raise TypeError(f"{holds} {DATES_OR_TIMES.format(text)}")
    if text.endswith("Int128"):
        raise TypeError(
            f"{holds} integers of type {text}, which NumPy lacks. Cast them to Int64 "
            "or Float64."
        )


@contextmanager
def columns_named(reader, X):
    """Name the column of X that a regressor, the `reader`, cannot read as numbers.

    Other errors pass: a Pipeline may have transformers of dates and text, so that X is
    asked only where the regressor has refused a type or a value, and for that alone.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        begin = f"{reader} cannot read X: column"
        if isinstance(error, np.exceptions.DTypePromotionError):
            for name, dtype in zip(column_names(X), column_types(X), strict=False):
                refuse_type(dtype, f"{begin} {name!r} of X holds")
        text = str(error)
        if any(words in text for words in NOT_READ):
            _explain_refused(error, text, X, begin)
        raise


def _explain_refused(error, text, X, begin):
    """Name the columns whose first entry that is no number is in an error's text: where
    several begin alike, a Pipeline may read all but one of them.
    """
    array, found = np.asarray(X, dtype=object), {}
    for j in range(array.shape[1]):
        value, why = first_unreadable(array[:, j])
        kind = type(value).__name__  # some types are shown with their module
        shown = repr(str(value)), f"not '{kind}'", f".{kind}'"
        if why == NO_NUMBER and any(each in text for each in shown):
            found[_feature(X, None, j)] = value
    if not found:
        return
    (name, value), *others = found.items()
    column = f"{name!r} of X"
    if others:
        column = f"{', '.join(map(repr, found))} of X: one of these"
    holds = f"{column} holds {value!r:.60}, which is {NO_NUMBER}"
    plural = "s" if others else ""
    raise_explained(
        error, value, NO_NUMBER, f"{begin}{plural} {holds}. {REMEDIES[NO_NUMBER]}"
    )


def explain(error, X, features, y, door):
    """Name the column of X, or y, whose entries made scikit-learn's checks fail.

    Parameters
    ----------
    error : Exception
        The error of the checks, which has to be raised after this call.
    X, y
        As the user passed them, X without label columns; y is None where there is none.
    features : ndarray of shape (p,) or None
        Positions of the columns of X among all that were passed, None for their order.
    door : str or None
        The parameter that names label columns of X, where there are no labels.
    """
    for word in ("NaN", "infinity"):
        if str(error).startswith(f"Input X contains {word}"):
            raise ValueError(_explain_infinite(word, X, features)) from error
        if y is not None and str(error).startswith(f"Input y contains {word}"):
            raise ValueError(_explain_infinite_target(word, y)) from error
    about_text = "could not convert string to float" in str(error)
    about_lists = "setting an array element with a sequence" in str(error)
    if not (about_text or about_lists) and type(error) is ValueError:
        return
    found = [_explain_columns(X, features, door)]
    found += [] if y is None else [_explain_target(y)]
    found = [explained for explained in found if explained is not None]
    if found:
        raise_explained(error, *min(found, key=_is_of_missing))


def _explain_infinite(word, X, features):
    """A sentence that names the first column of X with NaN, or with infinity."""
    accept = {"accept_sparse": "coo", "ensure_all_finite": False}
    X_read = check_array(X, dtype=[np.float64, np.float32], **accept)
    is_word = np.isnan if word == "NaN" else np.isinf
    if sparse.issparse(X_read):
        at = is_word(X_read.data)
        rows, columns = X_read.row[at], X_read.col[at]
    else:
        rows, columns = np.nonzero(is_word(X_read))
    j = columns.min()
    others = len(np.unique(columns)) - 1
    rows = np.sort(rows[columns == j])
    more = f" and {count(others, 'other column')} too" if others else ""
    name, n_rows = _feature(X, features, j), count(X_read.shape[0], "row")
    return (
        f"Input X contains {word}: column {name!r} in {len(rows)} of {n_rows}, first "
        f"in row {rows[0]}{more}. {REMEDIES[MISSING]}"
    )


def _explain_infinite_target(word, y):
    """A sentence that tells the rows of y with NaN, or with infinity."""
    values = check_array(y, ensure_2d=False, dtype=None, ensure_all_finite=False)
    values = values.ravel().astype(float)
    rows = np.flatnonzero(np.isnan(values) if word == "NaN" else np.isinf(values))
    return (
        f"Input y contains {word} in {len(rows)} of {count(len(values), 'row')}, first "
        f"in row {rows[0]}. Drop these rows."
    )


def _feature(X, features, j):
    """Name of column j of X, or its position among all columns that were passed."""
    names = column_names(X)
    return names[j] if names else int(j if features is None else features[j])


def _is_of_missing(explained):
    return explained[1] == MISSING


def raise_explained(error, value, why, explanation):
    """Raise the explanation of an error, or add it as a note to one that is clear."""
    if why != NO_NUMBER or isinstance(value, str):
        raise ValueError(explanation) from error
    error.add_note(explanation)


def _explain_columns(X, features, door):
    """The first entry of X that is no number, the reason and the remedy, or None.

    An entry that is missing comes after all other ones.
    """
    array = np.asarray(X, dtype=object)
    found = []
    for j in range(array.shape[1] if array.ndim == 2 else 0):
        value, why = first_unreadable(array[:, j])
        if why is None:
            continue
        feature = _feature(X, features, j)
        remedy = REMEDIES[why]
        if why == NO_NUMBER and door is not None:
            named = [feature] if door == "group_features" else feature
            remedy = (
                f"If it names the groups, say so with {door}={named!r} or "
                "pass it as `groups`; otherwise encode it, e.g. with OneHotEncoder."
            )
        holds = f"Column {feature!r} of X holds {value!r:.60}, which is {why}."
        found.append((value, why, f"{holds} {remedy}"))
    return min(found, key=_is_of_missing, default=None)


def _explain_target(y):
    value, why = first_unreadable(y)
    if why is None:
        return None
    holds = f"y holds {value!r:.60}, which is {why}; a regression needs a numeric "
    return value, why, holds + "target."


def first_unreadable(values):
    """The first entry that is no finite number, and the reason; (None, None) if there
    is none.

    An entry that is missing comes after all other ones.
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
