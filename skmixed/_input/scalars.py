"""Single labels: their kind and value, and whether one is missing."""

import datetime
import numbers

import numpy as np

ONE_FACTOR = (
    "one grouping factor. Use LinearMixedRegressor(), or one column; '(1 | a/b)' there "
    "is for nested labels. (Joining the columns into one label per row takes the rooms "
    "of one school for independent, and standard errors between schools are too small.)"
)

# The kinds of labels, by their types; any other type is a kind of its own.
KINDS = {
    # NumPy counts time differences as numbers, so that they come first.
    "timedelta": (datetime.timedelta, np.timedelta64),
    "datetime": (datetime.date, np.datetime64),
    "number": (numbers.Number, np.bool_),
    "string": str,
    "bytes": bytes,
}
COMPLEX = (complex, np.complexfloating)
COMPOUND = (tuple, frozenset)
NEVER_MISSING = {str, bytes, int, bool}  # Types of which no value means "missing".


def kinds_of(labels):
    """The kinds of labels, a frozenset of 'number', 'string', 'datetime', ..."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind != "O":
        labels = labels[:1]  # all have the same type
    types = set(map(type, labels))
    zoned = {(label_type, False) for label_type in types}
    if any(hasattr(label_type, "tzinfo") for label_type in types):
        zoned = {(type(v), getattr(v, "tzinfo", None) is not None) for v in labels}
    return frozenset(_kind(label_type, has_zone) for label_type, has_zone in zoned)


def _kind(label_type, has_zone):
    of_type = (kind for kind, types in KINDS.items() if issubclass(label_type, types))
    kind = next(of_type, label_type.__name__)
    if issubclass(label_type, COMPLEX):
        raise ValueError(
            "The group labels are complex numbers. Use real numbers, strings or dates."
        )
    return f"{kind} with time zone" if has_zone else kind


def is_missing(value):
    """Whether a scalar stands for no value: None, NaN, NaT or pandas.NA."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True


def are_missing(values):
    """Mask of the scalars that stand for no value."""
    if set(map(type, values)) <= NEVER_MISSING:
        return np.zeros(len(values), dtype=bool)
    return np.fromiter(map(is_missing, values), bool, len(values))


def hide_values(labels):
    """Whether Python would not compare some of the labels by their value."""
    types = set(map(type, labels))
    if any(issubclass(t, datetime.datetime) or hasattr(t, "as_py") for t in types):
        return any(by_value(label) is not label for label in labels)
    return False


def by_value(label):
    """A label in a form that Python compares by value.

    When clocks are set back, two datetimes of one zone that are an hour apart are equal
    to it, and unequal to the same instants in another zone.  pyarrow's scalars hide
    missing values.
    """
    if hasattr(label, "as_py"):
        label = label.as_py()
    if isinstance(label, datetime.datetime) and label.tzinfo is not None:
        if label.tzinfo is datetime.UTC:
            return label
        try:
            return label.astimezone(datetime.UTC)
        except OverflowError:  # the first and the last hours of the calendar
            return label
    return label


def check_scalars(values):
    """Refuse labels that are no scalars."""
    for value in values:
        if isinstance(value, COMPOUND):
            raise ValueError(
                f"The group label {value!r:.60} is compound, but the model has "
                f"{ONE_FACTOR}"
            )
        try:
            hash(value)
        except TypeError:
            raise TypeError(
                f"The group label {value!r:.60} is of type {type(value).__name__}; "
                "labels are scalars such as numbers, strings or dates."
            ) from None


def label_array(present):
    """The distinct labels as an array, typed where that keeps their values."""
    kinds = kinds_of(present)
    if kinds == {"number"}:
        types = set(map(type, present))
        if len(types) == 1 and issubclass(*types, np.floating):
            return np.array(present)  # float32 stays so, for `check_precision`
        # NumPy's own scalars equal numbers that they round to.
        present = [v.item() if isinstance(v, np.generic) else v for v in present]
        labels = np.array(present)
        whole = labels.dtype.kind in "biu"
        if whole or (labels.dtype.kind == "f" and labels.tolist() == present):
            return labels
    if kinds == {"datetime"}:
        return _instants(present, np.datetime64)
    if kinds == {"timedelta"}:
        return _instants(present, np.timedelta64)
    labels = np.empty(len(present), dtype=object)
    labels[:] = present
    return labels


def _instants(present, scalar):
    """Datetimes or time differences as an array in the finest unit among them."""
    to = f"to_{scalar.__name__}"  # pandas' scalars have it; they may count nanoseconds
    instants = [getattr(v, to)() if hasattr(v, to) else scalar(v) for v in present]
    labels = np.array(instants)
    for label, instant in zip(labels, instants, strict=True):
        if label.astype(instant.dtype) != instant:
            raise ValueError(
                f"The group label {instant} is out of the range that {labels.dtype} "
                "holds, the finest unit among the labels. Round them to a coarser unit."
            )
    return labels


def comparable(mine, theirs):
    """Two label arrays as lists of Python scalars that compare by value."""
    if mine.dtype.kind == theirs.dtype.kind and mine.dtype.kind in "mM":
        unit = common_unit(mine, theirs)
        mine, theirs = _in_unit(mine, unit), _in_unit(theirs, unit)
    return mine.tolist(), theirs.tolist()


def common_unit(first, second):
    try:
        return np.promote_types(first.dtype, second.dtype)
    except TypeError as error:
        raise ValueError(
            f"Group labels are {first.dtype} and {second.dtype}, which have no unit in "
            "common: months differ in length. Convert them to one unit."
        ) from error


def exactly_in_unit(instants, unit):
    converted = instants.astype(unit)
    lost = converted.astype(instants.dtype) != instants
    if lost.any():
        raise ValueError(
            f"The group label {instants[lost][0]} is out of the range that {unit} "
            "holds, the finest unit among the labels. Round them to a coarser unit."
        )
    return converted


def _in_unit(instants, unit):
    """Instants as integers in a finer unit; NaT if they are out of its range."""
    converted = instants.astype(unit)
    converted[converted.astype(instants.dtype) != instants] = "NaT"
    return converted.astype(np.int64)
