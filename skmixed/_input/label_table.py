"""Tables of group labels: one column for each label column of the user's.

`open_table` takes any container apart into columns, `index_columns` reads some of
them, `KnownLabels` is kept by a fit and finds later rows.  The levels of a combination
of columns are pairs, triples, ... of labels; a pair is missing where a part of it is.
"""

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from .features import is_arrow
from .labels import check_present, index_groups, is_column, join_labels, unique
from .messages import count
from .parameters import warn_of_rounding
from .table import refuse_lazy

NO_NAME = "groups"  # of a column that has none
# Labels of a column, per row, up to which tables of them are made.
MOST_LABELS_PER_ROW = 4


@dataclass(frozen=True)
class LabelColumns:
    """Label columns as they were passed, none of them read yet.

    Attributes
    ----------
    names : tuple of str
    values : tuple of array-like
        One column each.
    parameter : str
        The name of all of them in messages.
    is_table : bool
        Whether columns have to be told apart by their names; a single column serves
        whatever it is called.
    """

    names: tuple
    values: tuple
    parameter: str
    is_table: bool

    def position(self, column, parameter):
        """Position of a column given by its name or by its position."""
        if not isinstance(column, str):
            n = len(self.names)
            if -n <= column < n:
                return column % n
            raise ValueError(
                f"{parameter} names label column {column}, but there are {n}: "
                f"{list(self.names)}."
            )
        if self.names.count(column) > 1:
            raise ValueError(
                f"{parameter} names the label column {column!r}, which "
                f"{self.parameter} has {self.names.count(column)} times. Rename them."
            )
        if column not in self.names:
            raise ValueError(
                f"{parameter} names the label column {column!r}, which is not among "
                f"those of {self.parameter}, {list(self.names)}."
            )
        return self.names.index(column)


@dataclass(frozen=True)
class LabelTable:
    """Labels of rows, column by column.

    Attributes
    ----------
    names : tuple of str
        Names of the label columns.
    columns : tuple of GroupIndex
    of_terms : tuple of tuple of int
        Positions of the label columns of each term.
    """

    names: tuple
    columns: tuple
    of_terms: tuple = ()

    def take(self, rows):
        """The table of some of the rows."""
        return replace(self, columns=tuple(c.take(rows) for c in self.columns))

    def check_present(self):
        """Refuse missing labels."""
        for name, index in zip(self.names, self.columns, strict=True):
            check_present(index, name)


def open_table(groups, n_rows, names=None):
    """Take a container of labels apart into columns.

    Parameters
    ----------
    groups : array-like of shape (n_rows,) or table of shape (n_rows, n_columns)
        One label per row, or a table: a frame of pandas, polars or pyarrow, a
        structured array, a MultiIndex, or a plain array, whose columns are g0, g1, ...
    n_rows : int
        The number of rows of X.
    names : sequence of str, default=None
        The labels are columns of X with these names.

    Returns
    -------
    LabelColumns

    Raises
    ------
    TypeError
        If `groups` is a dict or a list of columns.
    ValueError
        If it holds tuples, or has no columns.
    """
    if isinstance(groups, Mapping):
        raise TypeError(
            "`groups` is a dict, which scikit-learn hands to every fold whole. Pass "
            "pandas.DataFrame(groups) or another table with one row per row of X."
        )
    refuse_lazy(groups, "`groups`")
    if isinstance(groups, (list, tuple)):
        groups = _of_lists(groups, n_rows)
    found, values = _take_apart(groups)
    if not values:
        raise ValueError("`groups` is a table without columns; it needs labels.")
    return LabelColumns(
        tuple(map(str, found if names is None else names)),
        tuple(values),
        "`groups`" if names is None else "group_features",
        is_table=len(values) > 1 or names is not None,
    )


def _of_lists(groups, n_rows):
    """A list of rows as an array; a list of columns, or of tuples, is refused."""
    first = groups[0] if groups else None
    if isinstance(first, tuple):
        raise ValueError(
            f"`groups` holds tuples such as {first!r:.60}, which may be labels or rows "
            "of a table. Pass a DataFrame, or numpy.array(groups, dtype=object) of "
            "rows; random_effects='(1 | a:b)' combines the columns a and b."
        )
    if not all(isinstance(v, list) or len(np.shape(v)) == 1 for v in groups):
        return groups
    lengths = set(map(len, groups))
    if len(groups) != n_rows and lengths == {n_rows}:
        raise TypeError(
            f"`groups` is a list of {count(len(groups), 'column')}, which scikit-learn "
            f"takes for {count(len(groups), 'row')}. Pass a DataFrame, or "
            "numpy.column_stack([...])."
        )
    if len(lengths) > 1 or not groups:
        return groups
    rows = np.empty((len(groups), *lengths), dtype=object)
    rows[:] = [list(row) for row in groups]
    return rows


def _take_apart(groups):
    """Names and columns of a container with one row per row of X."""
    fields = getattr(getattr(groups, "dtype", None), "names", None)
    if fields:  # a structured array
        return fields, [groups[name] for name in fields]
    if is_arrow(groups) and hasattr(groups, "column_names"):
        return groups.column_names, groups.columns
    if is_arrow(groups) and hasattr(groups, "flatten") and len(groups.flatten()) > 1:
        return [field.name for field in groups.type], groups.flatten()  # of a batch
    if hasattr(groups, "columns") and len(groups.shape) == 2:
        names, columns = groups.columns, range(groups.shape[1])
        at = getattr(groups, "iloc", groups)
        return names, [at[:, j] for j in columns]
    if getattr(groups, "nlevels", 1) > 1:  # a MultiIndex
        names = [
            f"g{j}" if name is None else name for j, name in enumerate(groups.names)
        ]
        return names, [groups.get_level_values(j) for j in range(groups.nlevels)]
    shape = getattr(groups, "shape", ())
    if isinstance(groups, np.ndarray) and len(shape) == 2:
        array = groups.view(np.ndarray) if isinstance(groups, np.matrix) else groups
        return [f"g{j}" for j in range(shape[1])], list(array.T)
    if len(shape) > 1 or not (is_column(groups) or is_arrow(groups)):
        got = f"shape {shape}" if len(shape) > 1 else f"{groups!r:.60}"
        raise TypeError(
            "`groups` is a column with one label per row, or a table of such columns, "
            f"got {got} of type {type(groups).__name__}. Pass e.g. "
            "groups=df[['school', 'class']]."
        )
    name = getattr(groups, "name", None)
    return [name if isinstance(name, str) and name else NO_NAME], [groups]


def index_columns(columns, positions, n_rows):
    """Read some of the columns.

    Returns
    -------
    LabelTable
    """
    names = tuple(columns.names[j] for j in positions)
    read = [index_groups(columns.values[j], n_rows) for j in positions]
    for name, index in zip(names, read, strict=True):
        warn_of_rounding(index.labels, name)
    return LabelTable(names, tuple(read))


# --------------------------------------------------------------- levels of the factors


def combine(codes, n_labels):
    """Combinations of the labels of several columns.

    Parameters
    ----------
    codes : ndarray of shape (n_rows, n_columns)
        Positions of labels; -1 where one is missing.
    n_labels : sequence of int
        Number of labels of each column.

    Returns
    -------
    levels : ndarray of shape (n_levels, n_columns)
        The combinations that occur, in the order of their labels.
    level_codes : ndarray of shape (n_rows,)
        Position of each row's combination; -1 where a label is missing.
    """
    present = (codes >= 0).all(axis=1)
    rows = codes[present].astype(np.int64)
    found = rows[:, 0]
    for column, n in zip(rows.T[1:], n_labels[1:], strict=True):
        nested = _nested(found, column, n)
        found = unique(found)[1] * np.int64(n) + column if nested is None else nested
    first_of, level = _first_rows(found)
    level_codes = np.full(len(codes), -1, dtype=np.int32)
    level_codes[present] = level
    return rows[first_of], level_codes


def _nested(outer, inner, n):
    """Numbers of the combinations of two codes, in their order, where every inner one
    has one outer one: without a sort of the rows.  None where it has several.
    """
    if n > MOST_LABELS_PER_ROW * len(inner):
        return None
    of = np.full(n, -1, dtype=np.int64)
    of[inner] = outer
    if (of[inner] != outer).any():
        return None
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(of, kind="stable")] = np.arange(n)
    return rank[inner]


def _first_rows(values):
    """A row of each of the sorted distinct values, and the position of each value."""
    distinct, position = unique(values)
    row = np.empty(len(distinct), dtype=np.intp)
    row[position] = np.arange(len(values))
    return row, position


@dataclass(frozen=True)
class KnownLabels:
    """The labels of a fit.

    Attributes
    ----------
    names : tuple of str
        Names of the label columns.
    labels : tuple of ndarray
        Distinct labels of each column, as `GroupIndex.labels`.
    factors : tuple of tuple of int
        Positions of the label columns of each factor.
    levels : tuple of ndarray of shape (n_levels, n_columns)
        Levels of each factor, as positions of the labels of its columns.
    """

    names: tuple
    labels: tuple
    factors: tuple
    levels: tuple

    def positions_in(self, columns):
        """Positions of the label columns among those of later rows."""
        if not columns.is_table and len(self.names) == 1:
            return [0]
        if not columns.is_table and columns.names[0] not in self.names:
            raise ValueError(
                f"`groups` is one column but the model uses {len(self.names)}: "
                f"{list(self.names)}. Pass a table of them, with missing labels where "
                "one is not known."
            )
        for name in self.names:
            if name not in columns.names:
                raise ValueError(
                    f"{columns.parameter} has no column {name!r}, which the model "
                    f"uses, but {list(columns.names)}. For rows whose {name} is not "
                    f"known, give missing labels: groups.assign({name}=None)."
                )
        return [columns.position(name, "The model") for name in self.names]

    def of(self, factors):
        """The labels of some factors, given by number, without columns of others."""
        at = [self.factors[f] for f in factors]
        used = sorted({j for positions in at for j in positions})
        return KnownLabels(
            names=tuple(self.names[j] for j in used),
            labels=tuple(self.labels[j] for j in used),
            factors=tuple(tuple(map(used.index, positions)) for positions in at),
            levels=tuple(self.levels[f] for f in factors),
        )

    def labels_of(self, factor):
        """Labels of the levels of the n-th factor; tuples for a combination."""
        positions, levels = self.factors[factor], self.levels[factor]
        parts = [self.labels[j][levels[:, i]] for i, j in enumerate(positions)]
        if len(parts) == 1:
            return parts[0]
        labels = np.empty(len(levels), dtype=object)
        labels[:] = list(zip(*map(_as_list, parts), strict=True))
        return labels

    def locate(self, table):
        """The levels of the rows of a table, a list of pairs, one for each factor.

        Returns
        -------
        codes : ndarray of shape (n_rows,)
            Positions among the levels of the fit; -1 for a new level.
        owner : ndarray of shape (n_rows,)
            Rows with the same owner share the effects of one level, known or new.
        """
        codes, n_labels = [], []
        for name, known, index in zip(
            self.names, self.labels, table.columns, strict=True
        ):
            with about(name, self.names):
                position = index.positions_in(known)
            new = position < 0
            position[new] = len(known) + np.arange(new.sum())
            codes.append(np.append(position, -1)[index.codes])
            n_labels.append(len(known) + int(new.sum()))
        factors = zip(self.factors, self.levels, strict=True)
        return [_members(levels, codes, n_labels, at) for at, levels in factors]

    def join(self, table):
        """The labels after the rows of a table, none of them missing.

        Returns
        -------
        joined : KnownLabels
        moved : list of ndarray of shape (n_levels,)
            Where the levels of each factor have gone.
        codes : list of ndarray of shape (n_rows,)
            The level of each row.
        """
        labels, places, codes = [], [], []
        for name, known, index in zip(
            self.names, self.labels, table.columns, strict=True
        ):
            with about(name, self.names):
                both, (theirs, mine) = join_labels(known, index.labels)
            labels.append(both)
            places.append(theirs)
            codes.append(mine[index.codes])
        levels, moved, level_codes = [], [], []
        for at, known in zip(self.factors, self.levels, strict=True):
            before = np.column_stack([places[j][known[:, i]] for i, j in enumerate(at)])
            rows = np.column_stack([codes[j] for j in at])
            all_rows = np.vstack([before, rows])
            found, where = combine(all_rows, [len(labels[j]) for j in at])
            levels.append(found)
            moved.append(where[: len(known)])
            level_codes.append(where[len(known) :])
        joined = replace(self, labels=tuple(labels), levels=tuple(levels))
        return joined, moved, level_codes


def known_labels(table, factors):
    """The labels that a fit keeps, and the level of each of its rows by factor."""
    found = [_levels([table.columns[j] for j in at]) for at in factors]
    labels = tuple(index.labels for index in table.columns)
    levels = tuple(levels for levels, _ in found)
    known = KnownLabels(table.names, labels, tuple(factors), levels)
    return known, [codes for _, codes in found]


def _levels(columns):
    """As `combine`, of columns without missing labels."""
    if len(columns) == 1:
        return np.arange(len(columns[0]))[:, None], columns[0].codes
    codes = np.column_stack([index.codes for index in columns])
    return combine(codes, [len(index) for index in columns])


@contextmanager
def about(name, names):
    """Name the label column in errors, where there are several."""
    try:
        yield
    except ValueError as error:
        if len(names) == 1:
            raise
        raise ValueError(f"Label column {name!r}: {error}") from error


def _members(levels, codes, n_labels, at):
    """See `KnownLabels.locate`; of a factor of one column the labels are the levels."""
    if len(at) == 1:
        code, n_known = codes[at[0]], len(levels)
        alone = n_labels[at[0]] + np.arange(len(code))
        return np.where(code < n_known, code, -1), np.where(code < 0, alone, code)
    rows = np.column_stack([codes[j] for j in at])
    found, where = combine(np.vstack([levels, rows]), [n_labels[j] for j in at])
    n_known = len(levels)
    position = np.full(len(found) + 1, -1, dtype=np.int32)  # the last is for code -1
    position[where[:n_known]] = np.arange(n_known)
    where = where[n_known:]
    known = position[where]
    alone = n_known + len(found) + np.arange(len(rows))
    owner = np.where(where < 0, alone, np.where(known < 0, n_known + where, known))
    return known, owner


def _as_list(labels):
    """Labels as Python's scalars; instants as NumPy's, which keep nanoseconds."""
    return list(labels) if labels.dtype.kind in "mM" else labels.tolist()
