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
    numbers and truth values in several views.
    """
    from pandas import DataFrame

    columns = {}
    for k in range(data.shape[1]):
        of_column = views(data.iloc[:, k].reset_index(drop=True))
        columns |= {alias(k, kind): view for kind, view in of_column.items()}
    return DataFrame(columns, index=range(len(data)))


def aliases_of(position, table):
    """The `Aliases` of a column."""
    column, number, truth = (alias(position, k) for k in ("column", "number", "truth"))
    if truth in table:
        return Aliases(column, number, truth, column)
    if number in table:
        return Aliases(number, number, number, column)
    return Aliases(column, column, column, column)


def views(column):
    """Views of a column by kind: text as text, categories as those that occur; numbers
    in double precision too; truth values as a category, as numbers and as they are.
    """
    from pandas.api.types import infer_dtype, is_string_dtype

    if is_category(column):
        return {"column": column.cat.remove_unused_categories()}
    kind = infer_dtype(column)
    if kind == "boolean":
        return _views_of_truth(column)
    if kind in NUMBERS:
        try:
            number = column.to_numpy(dtype=float, na_value=np.nan)
            return {"column": column, "number": number}
        except OverflowError:  # integers beyond double precision
            return {"column": column}
    is_string = column.dtype != object and is_string_dtype(column.dtype)
    return {"column": column.astype(object) if is_string else column}


def _views_of_truth(column):
    number = column.to_numpy(dtype=float, na_value=np.nan)
    truth = column.astype(object)
    as_is = truth if column.isna().any() else truth.astype(bool)
    return {"column": truth.astype("category"), "number": number, "truth": as_is}


def views_like(column, kinds, name):
    """Views of a column of new rows, which have to be those of the fit.

    Parameters
    ----------
    column : Series
    kinds : collection of str
        Of the views of the fit.
    name : str
        The column's in messages.
    """
    if "truth" in kinds:
        return _views_of_truth(_truth(column, name))
    found = views(column)
    if "number" in kinds and "number" not in found:
        raise ValueError(
            f"New rows have {name!r} of type {column.dtype}, where the rows of the fit "
            "have numbers. Convert the column, e.g. by pandas.to_numeric."
        )
    if "number" not in kinds and not is_category(found["column"]):
        found["column"] = column.astype("category")  # numbers may be its labels
    return {kind: found[kind] for kind in kinds}


def _truth(column, name):
    """A column of truth values, from these or from 0 and 1."""
    values = column.astype(object)
    known = values.dropna()
    if not known.isin([True, False]).all():
        other = next(v for v in known if v not in (True, False))
        raise ValueError(
            f"New rows have {other!r} as {name!r}, where the rows of the fit have "
            "truth values. Convert the column to True and False."
        )
    return values.where(values.isna(), values.map({True: True, False: False}))


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
    """Refuse names of label columns that are not in the table, or are there twice."""
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
