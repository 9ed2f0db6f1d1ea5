"""The columns of a table that formulas are about: their kinds, and their faults."""

from __future__ import annotations

from collections import Counter

import numpy as np

from .formula_text import Aliases, alias
from .notation import shown
from .table import refuse_lazy
from .unreadable import DATES, DATES_OR_TIMES

# Methods of tables of other packages that make one of pandas.
TO_PANDAS = "to_pandas", "compute", "to_frame"
# Kinds of columns, as pandas infers them, that are numbers.
NUMBERS = "integer", "floating", "mixed-integer-float", "decimal", "empty", "integer-na"


def prepared(data):
    """The table with rows numbered from 0 and columns named by their aliases, those of
    numbers twice: as they are, and in double precision.
    """
    from pandas import DataFrame

    columns = {}
    for k in range(data.shape[1]):
        column, number = views(data.iloc[:, k].reset_index(drop=True))
        columns[alias(k)] = column
        if number is not None:
            columns[alias(k, "number")] = number
    return DataFrame(columns, index=range(len(data)))


def aliases_of(position, table):
    """The `Aliases` of a column: truth values are levels by themselves, and numbers in
    a function.
    """
    column, number = alias(position), alias(position, "number")
    if number not in table:
        return Aliases(column, column, column)
    return Aliases(column if is_category(table[column]) else number, number, column)


def views(column):
    """A column, whose text is text and whose categories are those that occur; and in
    double precision, None if it is not of numbers or truth values.
    """
    from pandas.api.types import infer_dtype, is_string_dtype

    if is_category(column):
        return column.cat.remove_unused_categories(), None
    kind = infer_dtype(column)
    if kind in NUMBERS:
        return column, column.to_numpy(dtype=float, na_value=np.nan)
    if kind == "boolean":
        number = column.to_numpy(dtype=float, na_value=np.nan)
        return column.astype(object).astype("category"), number
    is_string = column.dtype != object and is_string_dtype(column.dtype)
    return column.astype(object) if is_string else column, None


def is_category(column):
    from pandas import CategoricalDtype

    return isinstance(column.dtype, CategoricalDtype)


def check_data(data) -> None:
    """Refuse what is no table of pandas."""
    import pandas

    if isinstance(data, pandas.DataFrame):
        return
    refuse_lazy(data, "data")
    kind = type(data)
    package = kind.__module__.split(".")[0]
    name = kind.__name__ if package == "builtins" else f"{package}.{kind.__name__}"
    methods = (f"data.{method}()" for method in TO_PANDAS if hasattr(data, method))
    remedy = next(methods, "pandas.DataFrame(data)")
    raise TypeError(f"data is a pandas.DataFrame, got a {name}. Make one by {remedy}.")


def check_labels(labels, formula, data) -> None:
    """Refuse names of label columns that the table has not, or twice."""
    for label in labels:
        if label not in data.columns:
            raise ValueError(
                f"{shown(formula)} names the label column {shown(label)}, which is not "
                f"in the table. The columns are {listed(data)}."
            )
    check_unique(labels, data.columns, shown(formula))


def check_unique(names, columns, where) -> None:
    n_columns = Counter(columns)
    for name in names:
        if n_columns[name] > 1:
            raise ValueError(
                f"{where}: {n_columns[name]} columns of the table are named {name!r}, "
                "and which is meant cannot be told. Rename them, or keep the first by "
                "data.loc[:, ~data.columns.duplicated()]."
            )


def refuse_dates(pairs, where) -> None:
    for sentence in dates_of(pairs):
        raise TypeError(f"{where}: {sentence}")


def dates_of(pairs):
    """A sentence for each column of dates or times, of names and columns."""
    from pandas.api.types import infer_dtype, is_numeric_dtype

    for name, column in pairs:
        kind = "" if is_numeric_dtype(column) else infer_dtype(column)
        if kind.startswith(DATES):
            dtype = kind if column.dtype == object else column.dtype
            yield f"column {name!r} holds {DATES_OR_TIMES.format(dtype)}"


def listed(table):
    """Names of columns in a message."""
    return ", ".join(map(str, table)) or "no columns"
