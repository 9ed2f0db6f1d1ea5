"""Group labels: from the containers that users pass to integer codes, and back.

`index_groups` is the only reader of user labels; every later step sees the codes of
a `GroupIndex`.  Labels are compared by value and never converted to strings, and
missing labels are found before any conversion (``np.asarray(["a", nan])`` would make
a group called ``'nan'``).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress, count
from operator import itemgetter

import numpy as np

from .blocks import row_blocks, short_blocks
from .scalars import (
    COMPOUND,
    ONE_FACTOR,
    are_missing,
    by_value,
    check_scalars,
    common_unit,
    comparable,
    exactly_in_unit,
    hide_values,
    kinds_of,
    label_array,
)

# A table over the whole range of the labels is the fastest encoder; it is used while
# it stays within this many entries per row.
TABLE_ENTRIES_PER_ROW = 4
# A string is found by bisection in the time in which a dictionary takes so many.
PER_BISECTION = 20
# Blocks of labels are sized as if a label were so many numbers,
PER_LABEL = 8
# and a label that is a Python object, which is far larger than its pointer, so many.
PER_OBJECT = 96


class GroupsWarning(UserWarning):
    """Group labels are absent, ignored, or cannot tell a group from the noise."""


class PopulationPredictionWarning(GroupsWarning):
    """A model that knows groups was asked without `groups`."""


@dataclass(frozen=True)
class GroupIndex:
    """The labels of the groups, and the group of each row.

    Attributes
    ----------
    labels : ndarray of shape (n_groups,)
        The distinct labels, sorted; those that cannot be sorted in order of first
        appearance.
    codes : ndarray of shape (n_rows,)
        Position of each row's label in `labels`; -1 for a missing label.
    """

    labels: np.ndarray
    codes: np.ndarray

    def __len__(self):
        return len(self.labels)

    def take(self, rows):
        """The index of some of the rows; labels that lose all their rows are gone."""
        codes = self.codes[rows]
        used = np.bincount(codes[codes >= 0], minlength=len(self.labels)) > 0
        rank = np.append(np.cumsum(used, dtype=np.int32) - 1, np.int32(-1))
        return GroupIndex(self.labels[used], rank[codes])

    def positions_in(self, known, any_kind=False):
        """Position of each of `labels` in the labels `known`, -1 for a new label."""
        if not any_kind:
            remedy = f"; for a new group pass None or {_new_label(known)}"
            check_kinds(self.labels, known, remedy)
        # Across types NumPy compares rounded numbers.
        if self.labels.dtype == known.dtype and np.array_equal(self.labels, known):
            return np.arange(len(known))
        if _is_sorted_alike(self.labels, known):
            place = np.searchsorted(known, self.labels).clip(max=len(known) - 1)
            return np.where(known[place] == self.labels, place, -1)
        mine, theirs = comparable(self.labels, known)
        wanted = set(mine)
        position = {label: i for i, label in enumerate(theirs) if label in wanted}
        found = np.array([position.get(label, -1) for label in mine], dtype=np.intp)
        check_precision(self.labels, known)
        return found


def _is_sorted_alike(labels, known):
    """Whether a few labels are found by bisection: both are of one type of NumPy's, or
    strings, whose order is known.
    """
    if not len(known) or labels.dtype != known.dtype:
        return False
    if known.dtype.kind != "O":
        return True
    few = len(labels) * PER_BISECTION < len(known)
    return few and set(map(type, known)) == {str} >= set(map(type, labels))


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
        If `groups` is not a column of labels (a string, a dict, a scalar), or a label
        is not a scalar.
    ValueError
        If it has another length than X, more than one column, or labels that are
        tuples, complex numbers, or times that would lose nanoseconds.
    """
    groups = _one_column(groups)
    if len(groups) != n_rows:
        raise ValueError(
            f"`groups` has {len(groups)} labels but X has {n_rows} rows; it needs one "
            "label per row."
        )
    return _index(groups)


def join_labels(first, second, any_kind=False):
    """Sorted distinct labels of both, and the positions of each of the two among them.

    With `any_kind` they need not be of a kind that can match.
    """
    if not any_kind:
        check_kinds(second, first)
    check_precision(second, first)
    if first.dtype.kind in "mM" and second.dtype.kind == first.dtype.kind:
        unit = common_unit(first, second)
        first, second = exactly_in_unit(first, unit), exactly_in_unit(second, unit)
    if first.dtype == second.dtype and first.dtype.kind != "O":
        labels, codes = unique(np.concatenate([first, second]))
    else:  # across types NumPy compares rounded numbers
        index = _index_objects(first.tolist() + second.tolist())
        labels, codes = index.labels, index.codes
    return labels, (codes[: len(first)], codes[len(first) :])


def check_kinds(labels, known, remedy=""):
    """Refuse labels of a kind that can never match those of the fit."""
    theirs = kinds_of(known)
    others = kinds_of(labels) - theirs
    if others and theirs:
        raise ValueError(
            f"The group labels are of kind {_and(others)}, those of the fit were of "
            f"kind {_and(theirs)}; they can never match. Convert them to the kind "
            f"used in fit{remedy}."
        )


def _new_label(known):
    """A description of labels that stand for new groups."""
    kinds = sorted(kinds_of(known))
    return f"a {kinds[0] if len(kinds) == 1 else 'label'} that was not in the data"


def check_precision(labels, known):
    """Refuse fractions that differ from those of the fit by their precision alone."""
    if labels.dtype == known.dtype or not labels.dtype.kind == known.dtype.kind == "f":
        return
    coarse = min(labels.dtype, known.dtype, key=lambda dtype: dtype.itemsize)
    # In double precision: NumPy 1 compares an array with scalars in the array's own.
    found = np.isin(labels.astype(np.float64), known.astype(np.float64))
    new = labels[~found & (labels != np.rint(labels))]
    with np.errstate(over="ignore"):
        same = np.isin(new.astype(coarse), known.astype(coarse))
    if same.any():
        raise ValueError(
            f"The group labels are {labels.dtype}, those of the fit were "
            f"{known.dtype}: {new[same][0]!s} is not among them, but becomes one of "
            f"them when rounded to {coarse}. Convert both to one type, or use integers "
            "or strings as labels."
        )


def rounded_labels(labels, column=None):
    """A warning about integers that their type has rounded, or None: a table makes
    floats of identifiers where some are missing.
    """
    if labels.dtype.kind != "f":
        return None
    bits = np.finfo(labels.dtype).nmant + 1
    n_large = int(np.sum(np.isfinite(labels) & (np.abs(labels) >= 2.0**bits)))
    if not n_large:
        return None
    where = "`groups`" if column is None else f"Label column {column!r}"
    return (
        f"{where} has {n_large} label{'s' * (n_large > 1)} of 2**{bits} or more as "
        f"{labels.dtype}, which rounds integers of that size: groups may have been "
        "merged, or taken for others. Read them as integers (pandas: dtype='Int64') or "
        "as strings."
    )


def check_present(index, column=None):
    """Refuse missing labels; `column` is the name of one of several label columns."""
    if index.codes.min(initial=0) < 0:
        missing = int(np.sum(index.codes < 0))
        labels = "group labels" if column is None else f"labels of {column!r}"
        raise ValueError(
            f"{missing} of {len(index.codes)} {labels} are missing. Drop those "
            "rows, or give them a label of their own."
        )


def _one_column(groups):
    """`groups` as a list or an array with one entry per row."""
    if hasattr(groups, "to_pylist"):  # pyarrow, whose to_numpy can lose missing labels
        groups = _of_arrow(groups)
    if not is_column(groups):
        raise TypeError(
            "`groups` must be a column with one label per row, got "
            f"{groups!r:.60} of type {type(groups).__name__}. Pass the column, e.g. "
            "groups=df['school'], or name it with group_feature='school'."
        )
    if isinstance(groups, memoryview):
        groups = np.asarray(groups)
    if isinstance(groups, Sequence):
        groups = list(groups)
        is_nested = bool(groups) and isinstance(groups[0], (list, np.ndarray))
        if not is_nested or groups[0] is np.ma.masked:  # which is an array, too
            return groups
        groups = np.array(groups, dtype=object)
    elif isinstance(groups, np.matrix) or not hasattr(groups, "shape"):
        groups = np.asarray(groups)
    shape = tuple(groups.shape)
    if len(shape) == 1:
        return groups
    if len(shape) > 2 or shape[1] != 1:
        raise ValueError(f"`groups` has shape {shape}, but the model has {ONE_FACTOR}")
    return groups.iloc[:, 0] if hasattr(groups, "iloc") else groups[:, 0]


def _of_arrow(groups):
    """Labels of pyarrow as a list; nanoseconds are lost in none."""
    labels = groups.to_pylist()
    if str(getattr(groups, "type", "")) == "time64[ns]":
        _check_whole_microseconds(groups.cast("int64").to_pylist())
    return labels


def _check_whole_microseconds(nanoseconds):
    """Refuse labels that Python's own dates and times would merge."""
    rounded = sum(ns is not None and ns % 1000 > 0 for ns in nanoseconds)
    if rounded:
        raise ValueError(
            f"{rounded} group labels are times with fractions of a microsecond, which "
            "would be lost, and labels merged. Use their integers as labels, or round "
            "them to microseconds."
        )


def is_column(groups):
    if isinstance(groups, (str, bytes, bytearray)):
        return False
    if isinstance(groups, Sequence):
        return True
    return hasattr(groups, "__array__") and getattr(groups, "shape", None) != ()


def _index(groups):
    """Index a list or array with one entry per row."""
    if isinstance(groups, np.ma.MaskedArray) and not groups.dtype.names:
        return _index_present(groups.data, ~np.ma.getmaskarray(groups))
    if str(getattr(groups, "dtype", "")) == "category":
        categorical = getattr(groups, "cat", groups)
        return _index_coded(categorical.categories, categorical.codes)
    if hasattr(groups, "factorize") and _is_of_python(groups.dtype):
        return _index_objects(groups.to_numpy(object))  # pandas 2 ends them at a NUL
    if hasattr(groups, "factorize") and getattr(groups.dtype, "kind", "O") == "O":
        try:
            codes, distinct = groups.factorize()  # pandas' hash table
        except (TypeError, NotImplementedError):  # pyarrow's error is of the second
            return _index_objects(list(groups))  # raises an error that says why
        if hide_values(distinct):
            return _index_objects(list(groups))
        return _index_coded(distinct, codes)
    if isinstance(groups, np.ndarray) and groups.dtype.kind in "US" and groups.nbytes:
        return _index_fixed_width(groups)
    if isinstance(groups, np.ndarray) and groups.dtype.kind == "O":
        return _index_objects(groups)
    values = _values(groups)
    if isinstance(values, list):
        return _index_objects(values)
    if values.dtype.kind in "biu":
        return GroupIndex(*unique(values))
    present = values == values  # all but NaN and NaT
    if present.all():
        return GroupIndex(*unique(values))
    return _index_present(values, present)


def _is_of_python(dtype):
    """Whether a column of pandas holds Python's objects."""
    return str(dtype) == "object" or getattr(dtype, "storage", "") == "python"


def _index_present(groups, present):
    """Index the rows where the mask `present` is set; the others have no label."""
    index = _index(groups[present])
    codes = np.full(len(present), -1, dtype=np.int32)
    codes[present] = index.codes
    return GroupIndex(index.labels, codes)


def _index_coded(values, codes):
    """Index rows that are coded already, -1 for none; unused values do not count."""
    index = _index_objects(list(values)) if values.dtype.kind == "O" else _index(values)
    rank = np.append(index.codes, np.int32(-1))  # the last is for code -1
    return GroupIndex(index.labels, rank[np.asarray(codes)]).take(slice(None))


def _values(groups):
    """Labels as an array of numbers, datetimes or time differences, else as a list."""
    if isinstance(groups, list) or _is_numeric(groups):
        return groups
    dtype = getattr(groups, "dtype", None)
    if str(dtype).endswith("Int128"):  # of polars; NumPy has none
        return groups.to_list()
    zone = getattr(dtype, "time_zone", None)
    if str(dtype) == "Time" or (zone and dtype.time_unit == "ns"):
        _check_whole_microseconds(groups.to_physical().to_list())
    values = groups.to_numpy() if hasattr(groups, "to_numpy") else np.asarray(groups)
    if not _is_numeric(values):
        return values.tolist()
    # Frames turn integers beside missing ones into floats, which rounds large ones;
    # polars drops time zones, and spreads compound labels over columns.
    rounded = values.dtype.kind == "f" and "float" not in str(dtype).lower()
    return list(groups) if rounded or zone or values.ndim > 1 else values


def _is_numeric(values):
    """Whether values are an array of numbers, datetimes or time differences."""
    return isinstance(values, np.ndarray) and values.dtype.kind in "biufmM"


def unique(values):
    """Sorted distinct values and the int32 position of each value among them."""
    integers = _as_integers(values)
    if integers is not None and len(integers):
        low, high = int(integers.min()), int(integers.max())
        if high - low < TABLE_ENTRIES_PER_ROW * len(integers) + 1024:
            present = np.zeros(high - low + 1, dtype=bool)
            for rows in row_blocks(len(integers), PER_LABEL):
                present[integers[rows] - low] = True
            labels = (np.flatnonzero(present) + low).astype(values.dtype)
            position = np.cumsum(present, dtype=np.int32) - 1
            codes = np.empty(len(integers), dtype=np.int32)
            for rows in row_blocks(len(integers), PER_LABEL):
                codes[rows] = position[integers[rows] - low]
            return labels, codes
    labels, codes = np.unique(values, return_inverse=True)
    return labels, codes.astype(np.int32, copy=False)


def _as_integers(values):
    """The values as int64 if they are numbers and that is exact, else None."""
    if values.dtype.kind not in "biuf":
        return None
    if values.dtype.kind == "f":
        small = np.abs(values) < np.float64(2**53)
        if not small.all() or not (values == np.rint(values)).all():
            return None
    elif values.dtype == np.uint64 and len(values) and values.max() > 2**63 - 1:
        return None
    return values.astype(np.int64, copy=False)


def _index_fixed_width(values):
    """Index an array of NumPy's strings, without converting them to Python's.

    The characters of a row are hashed to a slot of a table.  A row that is equal to the
    first row in its slot points to it; the other rows are hashed again, in another way.
    """
    n, rng = len(values), np.random.default_rng(0)
    character = np.uint32 if values.dtype.kind == "U" else np.uint8
    characters = np.ascontiguousarray(values).view(character).reshape(n, -1)
    like = np.empty(n, dtype=np.int32)
    rows = np.arange(n, dtype=np.int32)
    while len(rows):
        slot = _slots(characters, rows, rng)
        first = np.empty(slot.max() + 1, dtype=np.int32)
        first[slot[::-1]] = rows[::-1]
        found = first[slot]
        same = np.empty(len(rows), dtype=bool)
        for some in short_blocks(len(rows), characters.shape[1]):
            same[some] = values[found[some]] == values[rows[some]]
        like[rows[same]] = found[same]
        rows = rows[~same]
    present = like == np.arange(n)
    position = np.cumsum(present, dtype=np.int32) - 1
    rows, distinct = np.flatnonzero(present), []
    for some in short_blocks(len(rows), characters.shape[1]):
        distinct += values[rows[some]].tolist()
    labels, rank = _sorted(label_array(distinct))
    return GroupIndex(labels, rank[position[like]].astype(np.int32, copy=False))


def _slots(characters, rows, rng):
    """Slots of rows in a table of at least twice as many slots."""
    multipliers = rng.integers(2**63, size=characters.shape[1], dtype=np.uint64) * 2 + 1
    bits = int(2 * len(rows)).bit_length()
    slot = np.empty(len(rows), dtype=np.int32)
    for some in short_blocks(len(rows), 2 * characters.shape[1]):
        hashed = characters[rows[some]].astype(np.uint64) @ multipliers
        slot[some] = hashed >> np.uint64(64 - bits)
    return slot


def _index_objects(values):
    """Index a list or an array of Python scalars through a dictionary."""
    position, codes = _positions(values)
    if hide_values(position):
        position, codes = _positions([by_value(value) for value in values])
    distinct = list(position)
    present = ~are_missing(distinct)
    labels, order = _sorted(label_array(list(compress(distinct, present))))
    rank = np.full(len(distinct), -1, dtype=np.int32)
    rank[present] = order
    return GroupIndex(labels, rank[codes])


def _positions(values):
    """A dictionary of distinct scalars to their places, and the place of each row."""
    position = defaultdict(count().__next__)
    codes = np.empty(len(values), dtype=np.int32)
    try:
        for rows in row_blocks(len(values), PER_OBJECT):
            labels = values[rows] if isinstance(values, list) else values[rows].tolist()
            codes[rows] = itemgetter(*labels)(position)
    except TypeError:
        if any(value is np.ma.masked for value in values):
            return _positions([None if v is np.ma.masked else v for v in values])
        check_scalars(values)
        raise
    if any(issubclass(label_type, COMPOUND) for label_type in set(map(type, position))):
        check_scalars(position)
    return position, codes


def _sorted(labels):
    """Distinct labels, sorted if they can be, and the new position of each of them."""
    if labels.dtype.kind != "O":
        return unique(labels)
    values = labels.tolist()
    try:  # a sort of objects by Python takes a fifth of the time of NumPy's
        order = np.array(sorted(range(len(values)), key=values.__getitem__), np.intp)
    except (TypeError, ValueError):
        return labels, np.arange(len(labels))  # in order of appearance
    rank = np.empty(len(labels), dtype=np.int32)
    rank[order] = np.arange(len(labels))
    return labels[order], rank


def _and(kinds):
    return " and ".join(sorted(kinds))
