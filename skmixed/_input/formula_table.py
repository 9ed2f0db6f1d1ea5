"""The columns that the parts of a formula make of a table, by formulaic."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .formula_text import ALIAS, EXAMPLE, alias, translated
from .messages import count
from .notation import shown, split_outside
from .table import refuse_lazy
from .unreadable import DATES, DATES_OR_TIMES

# Methods of tables of other packages that make one of pandas.
TO_PANDAS = "to_pandas", "compute", "to_frame"
# R's functions that formulaic has not.
FUNCTIONS = {
    name: getattr(np, name)
    for name in ("sqrt", "sin", "cos", "tan", "abs", "floor", "log1p", "expm1", "pi")
} | {"ceiling": np.ceil}


@dataclass(frozen=True)
class Part:
    """A part of a formula.

    Attributes
    ----------
    spec : formulaic.ModelSpec
        After columns have been made: as these rows make it, categories, means and bases
        of polynomials included.
    variables : list of str
        The columns of the table that it names.
    where : str
        The beginning of a message: the formula, and the part as the user wrote it.
    """

    spec: Any
    variables: list
    where: str


class FormulaTable:
    """Makes the columns of the parts of a formula.

    Parameters
    ----------
    formula : str
    data : pandas.DataFrame
    """

    def __init__(self, formula, data):
        try:
            from formulaic import ModelSpec
        except ImportError as error:
            raise ImportError(
                "from_formula requires formulaic. Install it with `pip install "
                "formulaic`."
            ) from error
        if not isinstance(formula, str):
            raise TypeError(
                f"A formula is text such as {EXAMPLE!r}, got {formula!r:.60}."
            )
        check_data(data)
        self._from_spec, self._formula = ModelSpec.from_spec, formula
        self.names = list(map(str, data.columns))
        self._aliases = {name: alias(k) for k, name in enumerate(self.names)}
        self._table = _prepared(data)
        self._free, self._named, self.parts = list(self._table), {}, []

    def leave_out(self, columns):
        """From here on '.' does not stand for these columns."""
        without = {self._aliases[name] for name in columns}
        self._free = [name for name in self._free if name not in without]

    def response(self, text):
        """The part of y, which is one column by any arithmetic."""
        name = translated(text, self._aliases).strip()
        return self.parse(name if ALIAS.fullmatch(name) else f"I({text})", text, "0 + ")

    def parse(self, text, written, before=""):
        """The part of this text; `written` is the text in messages."""
        where = f"{shown(self._formula)}: {shown(written)}"
        text = before + translated(text, self._aliases)
        if re.search(r"\boffset\s*\(", text):
            raise ValueError(
                f"{where} has an offset, a column of the mean with the coefficient 1, "
                "which is not offered. Subtract it from the response, as in "
                "'I(y - x) ~ ...', and add it to predictions."
            )
        # The columns of '.', by formulaic's name for them.
        context = {"__formulaic_variables_available__": self._free}
        try:
            spec = self._from_spec(text, context=context, na_action="drop")
        except MemoryError:
            raise
        except Exception as error:  # brackets that do not match have no one class
            raise ValueError(self._unreadable(where, error)) from error
        if not hasattr(spec, "formula"):
            raise ValueError(
                f"{where} cannot be read. A '|' or '~' in it makes several tables of "
                "it, where one is needed."
            )
        texts = {factor.expr for term in spec.formula for factor in term.factors}
        positions = {int(k) for text in texts for k in ALIAS.findall(text)}
        variables = [self.names[k] for k in sorted(positions)]
        _check_unique(variables, self.names, where)
        bare = [name for name in variables if self._aliases[name] in texts]
        _refuse_dates(self._pairs(bare), where)
        self._named.update(dict.fromkeys(variables))
        return Part(spec, variables, where)

    def named(self, name, parameter):
        """The columns of one column of the table, which a parameter names."""
        if name not in self._aliases:
            raise ValueError(
                f"{shown(self._formula)}: {parameter} names {name!r}, which is no "
                "column of the table, nor does the formula make it. The columns are "
                f"{listed(self.names)}."
            )
        part = self.parse(f"`{name}`", f"{parameter}={name!r}")
        return self.columns(part)[0]

    def columns(self, part):
        """The columns of a part but the intercept, a DataFrame with rows numbered from
        0, and whether there is an intercept.
        """
        columns = self._matrix(part, self._table)
        self.parts.append(replace(part, spec=columns.model_spec))
        return self._renamed(columns, part)

    def of_new(self, data):
        """For every part whose columns were made the same columns of other rows."""
        known = dict.fromkeys(name for part in self.parts for name in part.variables)
        missing = [name for name in known if name not in map(str, data.columns)]
        if missing:
            raise ValueError(
                f"The new rows have no column {missing[0]!r}, which the formula "
                f"{shown(self._formula)} names."
            )
        at = list(map(str, data.columns))
        _check_unique(known, at, f"new rows of {shown(self._formula)}")
        table = _prepared(data)[[alias(at.index(name)) for name in known]]
        table.columns = [self._aliases[name] for name in known]
        for part in self.parts:
            self._check_categories(part, table)
            yield self._renamed(self._matrix(part, table), part)[0]

    def _check_categories(self, part, table):
        """Refuse labels of a category that the fit has not seen, which formulaic takes
        for the first one.
        """
        for text, (_, state) in part.spec.encoder_state.items():
            if "categories" not in state or table.empty:
                continue
            inside = text[2:-1] if text.startswith("C(") else text
            alone = self._from_spec(f"0 + C({split_outside(inside, ',')[0]})")
            found = alone.get_model_matrix(table, context=FUNCTIONS).model_spec
            ((_, own),) = found.encoder_state.values()
            other = [c for c in own["categories"] if c not in state["categories"]]
            if other:
                label = other[0].item() if hasattr(other[0], "item") else other[0]
                raise ValueError(
                    f"New rows have {label!r} as {self._shown(text)}, which no row "
                    "of the fit has, so that its effect is not known. Leave these rows "
                    "out, or fit the model with others like them."
                )

    def _matrix(self, part, table):
        columns, fault, dropped = None, None, set()
        try:
            columns = part.spec.get_model_matrix(
                table, context=FUNCTIONS, drop_rows=dropped
            )
        except MemoryError:
            raise
        except Exception as error:  # as of any function in the formula
            fault = error
        if dropped:
            raise ValueError(self._missing(part, table, sorted(dropped))) from fault
        if fault is not None:
            sentences = [self._unreadable(part.where, fault)]
            sentences += _dates(self._pairs(part.variables))
            raise ValueError(" ".join(sentences)) from fault
        return columns

    def _renamed(self, columns, part):
        """Columns but the intercept, named by those of the table, and whether it is
        there.
        """
        intercept = "Intercept" in columns
        columns = columns.drop(columns="Intercept", errors="ignore")
        columns = columns.set_axis([self._shown(name) for name in columns], axis=1)
        _refuse_dates(columns.items(), part.where)
        return columns, intercept

    def _shown(self, text):
        """A text of formulaic's with the names of the table."""
        return ALIAS.sub(lambda found: self.names[int(found[1])], str(text))

    def _pairs(self, names):
        """Names of columns of the table, and the columns."""
        return ((name, self._table[self._aliases[name]]) for name in names)

    def _unreadable(self, where, error):
        fault = self._shown(error).split("\n")[0]  # the rest is a drawing of the place
        known = listed(self.names)
        return f"{where} cannot be read. {fault:.200} The columns are {known}."

    def _missing(self, part, table, rows):
        """A sentence about the rows in which a part has no value."""
        names = {name: self._aliases[name] for name in self._named}
        table = table[[a for a in names.values() if a in table]]
        of_part = table.loc[rows, [names[name] for name in part.variables]].isna()
        if not of_part.any(axis=None):
            return (
                f"{part.where} has no value in {len(rows)} of "
                f"{count(len(table), 'row')}, the first data.iloc[{rows[0]}], where "
                "its columns have one. Drop these rows, or take a function that is "
                "defined there."
            )
        column = of_part.any().idxmax()
        missing = table[column].isna().to_numpy()
        incomplete = [self._shown(c) for c in table if table[c].isna().any()]
        return (
            f"{part.where}: column {self._shown(column)!r} has missing values in "
            f"{missing.sum()} of {count(len(table), 'row')}, the first in "
            f"data.iloc[{missing.argmax()}]. Drop the rows, by data.dropna(subset="
            f"{incomplete}), or impute."
        )


def _prepared(data):
    """The table with rows numbered from 0 and columns named by their aliases: objects
    that are numbers are numbers, text is text, and categories are those that occur.
    """
    from pandas import DataFrame

    columns = {}
    for k in range(data.shape[1]):
        columns[alias(k)] = _plain(data.iloc[:, k]).reset_index(drop=True)
    return DataFrame(columns, index=range(len(data)))


def _plain(column):
    from pandas.api.types import infer_dtype, is_string_dtype

    if _is_category(column):
        return column.cat.remove_unused_categories()
    if column.dtype != object:
        return column.astype(object) if is_string_dtype(column.dtype) else column
    numbers = "integer", "floating", "mixed-integer-float", "decimal"
    return column.astype(float) if infer_dtype(column) in numbers else column


def _is_category(column):
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
    _check_unique(labels, data.columns, shown(formula))


def _check_unique(names, columns, where) -> None:
    n_columns = Counter(columns)
    for name in names:
        if n_columns[name] > 1:
            raise ValueError(
                f"{where}: {n_columns[name]} columns of the table are named {name!r}, "
                "and which is meant cannot be told. Rename them, or keep the first by "
                "data.loc[:, ~data.columns.duplicated()]."
            )


def _refuse_dates(pairs, where) -> None:
    for sentence in _dates(pairs):
        raise TypeError(f"{where}: {sentence}")


def _dates(pairs):
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
