"""Group labels: from whatever the user passes to integer codes, and back.

`index_groups` is the only reader of user labels; every later step sees the codes of
a `GroupIndex`.  Labels are compared by value and never converted to strings, and
missing labels are found before any conversion (``np.asarray(["a", nan])`` would make
a group called ``'nan'``).
"""

import datetime
import numbers
from dataclasses import dataclass, field

import numpy as np

ONE_FACTOR = (
    "the model has one grouping factor. Join the columns into one label per row, "
    "e.g. [f'{a}/{b}' for a, b in zip(school, room)]."
)

# A table over the whole range of the labels is the fastest encoder; it is used while
# it stays within this many entries per row.
TABLE_ENTRIES_PER_ROW = 4


class GroupsWarning(UserWarning):
    """Group labels are absent, ignored, or cannot tell a group from the noise."""


@dataclass(frozen=True)
class GroupIndex:
    """Who belongs to whom.

    Attributes
    ----------
    labels : ndarray of shape (n_groups,)
        The distinct labels, sorted where they can be sorted, else in order of first
        appearance.
    codes : ndarray of shape (n_rows,)
        Position of each row's label in `labels`; -1 where the label is missing.
    kinds : frozenset of str
        What the labels are: 'number', 'string', 'datetime' or the name of a type.
    """

    labels: np.ndarray
    codes: np.ndarray
    kinds: frozenset = field(default=frozenset())

    def __len__(self):
        return len(self.labels)

    def take(self, rows):
        """The index of some of the rows; labels that lose all their rows are gone."""
        codes = self.codes[rows]
        used = np.bincount(codes[codes >= 0], minlength=len(self.labels)) > 0
        rank = np.append(np.cumsum(used, dtype=np.int32) - 1, np.int32(-1))
        return GroupIndex(self.labels[used], rank[codes], self.kinds)

    def positions_in(self, known, known_kinds):
        """Position of each of `labels` in the labels `known`, -1 where it is new."""
        if self.kinds and known_kinds and not self.kinds & known_kinds:
            raise ValueError(
                f"The labels in `groups` are of kind {_and(self.kinds)}, those of the "
                f"fit were of kind {_and(known_kinds)}; they can never match. Convert "
                "them to the kind used in fit."
            )
        if np.array_equal(self.labels, known):
            return np.arange(len(known))
        mine, theirs = _comparable(self.labels, known)
        position = {label: i for i, label in enumerate(theirs)}
        found = [position.get(label, -1) for label in mine]
        return np.array(found, dtype=np.intp)


def index_groups(groups, n_rows):
    """Index the labels of `n_rows` rows.

    Parameters
    ----------
    groups : array-like of shape (n_rows,) or (n_rows, 1)
        One scalar label per row: numbers, strings, datetimes or any hashable scalars,
        as list, array, Series, Categorical, masked or nullable array.
    n_rows : int
        The number of rows of X.

    Returns
    -------
    GroupIndex

    Raises
    ------
    TypeError
        If `groups` is not a column of labels (a string, a dict, a scalar).
    ValueError
        If it has another length than X, more than one column, or labels that are not
        scalars.
    """
    groups = _one_column(groups)
    if len(groups) != n_rows:
        raise ValueError(f"`groups` has {len(groups)} labels but X has {n_rows} rows.")
    categorical = _categories(groups)
    if categorical is not None:
        return _index_categories(*categorical)
    values, masked = _values(groups)
    if getattr(values, "dtype", np.dtype(object)).kind in "biufmM":
        return _index_array(values, masked)
    return _index_objects(values, masked)


def _one_column(groups):
    """`groups` as something with one entry per row, or the error that says why not."""
    is_column = hasattr(groups, "__len__") and hasattr(groups, "__getitem__")
    if isinstance(groups, (str, bytes, dict)) or not is_column:
        raise TypeError(
            "`groups` must be a column with one label per row, got "
            f"{groups!r:.60} of type {type(groups).__name__}. Pass the column, e.g. "
            "groups=df['school'], or name it with `group_feature='school'`."
        )
    shape = getattr(groups, "shape", None)
    if shape is None:
        if len(groups) and isinstance(groups[0], (list, np.ndarray)):
            groups = np.array(groups, dtype=object)
        shape = np.shape(groups) if isinstance(groups, np.ndarray) else (len(groups),)
    if len(shape) == 0:
        raise TypeError("`groups` is a scalar; pass a column with one label per row.")
    if len(shape) == 1:
        return groups
    if len(shape) > 2 or shape[1] != 1:
        raise ValueError(f"`groups` has shape {tuple(shape)}, but {ONE_FACTOR}")
    return groups.iloc[:, 0] if hasattr(groups, "iloc") else groups[:, 0]


def _categories(groups):
    """(codes, categories) of a pandas categorical, else None."""
    if str(getattr(groups, "dtype", "")) != "category":
        return None
    categorical = getattr(groups, "cat", groups)
    return np.asarray(categorical.codes), categorical.categories


def _index_categories(codes, categories):
    """Index a categorical through its categories; unused ones do not count."""
    index = index_groups(categories, len(categories))
    rank = np.append(index.codes, np.int32(-1))  # the last is for code -1
    return GroupIndex(index.labels, rank[codes], index.kinds).take(slice(None))


def _values(groups):
    """Labels as a typed array or a list of objects, and the mask of a masked array."""
    if isinstance(groups, np.ma.MaskedArray):
        return _values(groups.data)[0], np.ma.getmaskarray(groups)
    if isinstance(groups, (list, tuple)):
        return list(groups), None
    if not isinstance(groups, np.ndarray):
        convert = getattr(groups, "to_numpy", None)
        groups = convert() if convert is not None else np.asarray(groups)
    if groups.dtype.kind in "biufmM":
        return groups, None
    if groups.dtype.kind in "cV":
        raise ValueError(f"Labels of type {groups.dtype} cannot name groups.")
    return groups.tolist(), None


def _index_array(values, masked):
    """Index numbers, datetimes and time differences without leaving NumPy."""
    kind = {"M": "datetime", "m": "timedelta"}.get(values.dtype.kind, "number")
    missing = values != values if values.dtype.kind in "fmM" else None
    if masked is not None:
        missing = masked if missing is None else masked | missing
    if missing is None or not missing.any():
        labels, codes = _unique(values)
    else:
        labels, present = _unique(values[~missing])
        codes = np.full(len(values), -1, dtype=np.int32)
        codes[~missing] = present
    return GroupIndex(labels, codes, frozenset([kind] if len(labels) else []))


def _unique(values):
    """Sorted distinct values and the int32 position of each value among them."""
    integers = _as_integers(values)
    if integers is not None and len(integers):
        low, high = int(integers.min()), int(integers.max())
        if high - low < TABLE_ENTRIES_PER_ROW * len(integers) + 1024:
            offsets = integers - low if low else integers
            present = np.zeros(high - low + 1, dtype=bool)
            present[offsets] = True
            labels = (np.flatnonzero(present) + low).astype(values.dtype)
            return labels, (np.cumsum(present, dtype=np.int32) - 1)[offsets]
    labels, codes = np.unique(values, return_inverse=True)
    return labels, codes.astype(np.int32, copy=False)


def _as_integers(values):
    """The values as int64 where that is exact, else None."""
    if values.dtype.kind in "mM":
        return None
    if values.dtype.kind == "f":
        if (
            not (np.abs(values) < 2.0**53).all()
            or not (values == np.rint(values)).all()
        ):
            return None
    elif values.dtype == np.uint64 and len(values) and values.max() > 2**63 - 1:
        return None
    return values.astype(np.int64, copy=False)


def _index_objects(values, masked):
    """Index a list of Python scalars through a dictionary."""
    if masked is not None:
        values = [None if m else v for v, m in zip(values, masked, strict=True)]
    distinct = _distinct(values)
    present = [value for value in distinct if not _is_missing(value)]
    kinds = frozenset(_kind(value) for value in present)
    labels = _label_array(present, kinds)
    try:
        order = np.argsort(labels, kind="stable")
    except TypeError:  # labels that cannot be sorted keep their order of appearance
        order = np.arange(len(labels))
    position = dict.fromkeys(distinct, -1)
    position.update((present[i], rank) for rank, i in enumerate(order))
    codes = np.fromiter(map(position.__getitem__, values), np.int32, len(values))
    return GroupIndex(labels[order], codes, kinds)


def _distinct(values):
    try:
        distinct = list(dict.fromkeys(values))
    except TypeError:
        distinct = next(v for v in values if getattr(v, "__hash__", None) is None)
        raise TypeError(
            f"The label {distinct!r:.60} in `groups` is a {type(distinct).__name__}; "
            "labels are scalars such as numbers, strings or dates."
        ) from None
    compound = [v for v in distinct if isinstance(v, (tuple, frozenset))]
    if compound:
        raise ValueError(f"The label {compound[0]!r:.60} is compound, but {ONE_FACTOR}")
    return distinct


def _is_missing(value):
    if value is None or value is np.ma.masked:
        return True
    try:
        return bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True


def _kind(value):
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        raise ValueError(f"The label {value!r} is complex and cannot name a group.")
    if isinstance(value, (numbers.Number, np.bool_)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (datetime.date, np.datetime64)):
        aware = getattr(value, "tzinfo", None) is not None
        return "datetime with time zone" if aware else "datetime"
    return type(value).__name__


def _label_array(present, kinds):
    """The distinct labels as the array that will be `groups_`."""
    if kinds == {"number"}:
        labels = np.array(present)
        if labels.dtype.kind in "biu" or (
            labels.dtype.kind == "f" and labels.tolist() == present
        ):
            return labels
    if kinds == {"datetime"}:
        stamps = [
            v.to_datetime64() if hasattr(v, "to_datetime64") else np.datetime64(v)
            for v in present
        ]
        return np.array(stamps)
    labels = np.empty(len(present), dtype=object)
    labels[:] = present
    return labels


def _comparable(mine, theirs):
    """Two label arrays as lists of Python scalars that compare by value."""
    if mine.dtype.kind == theirs.dtype.kind == "M":
        unit = np.promote_types(mine.dtype, theirs.dtype)
        mine, theirs = (a.astype(unit).astype(np.int64) for a in (mine, theirs))
    return mine.tolist(), theirs.tolist()


def _and(kinds):
    return " and ".join(sorted(kinds))
