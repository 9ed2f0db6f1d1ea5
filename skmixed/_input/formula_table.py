"""The columns that the parts of a formula make of a table, by formulaic."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .formula_columns import (
    aliases_of,
    check_data,
    check_unique,
    dates_of,
    listed,
    prepared,
    refuse_dates,
    views_like,
)
from .formula_text import ALIAS, EXAMPLE, alias, translated
from .messages import count
from .notation import shown, split_outside

KINDS = "column", "number", "truth"
# Rounding of a function of a row, as a part of the largest value in its column.
BY_ROW = 1e-9
COMPARISON = re.compile(r"[<>&|~]|[=!]=")
POLYNOMIAL = re.compile(r"poly\((\w+),\s*(?:degree\s*=\s*)?(\d+)")
# The function that makes numbers of a response, of truth values too.
AS_NUMBER = "_as_number"
# R's functions that formulaic has not.
FUNCTIONS = {
    name: getattr(np, name)
    for name in ("sqrt", "sin", "cos", "tan", "abs", "floor", "log1p", "expm1", "pi")
} | {"ceiling": np.ceil}


def _identity(values):
    """R's I: truth values are a factor."""
    from pandas import Series

    is_truth = getattr(getattr(values, "dtype", None), "kind", "") == "b"
    return Series(np.asarray(values)).astype("category") if is_truth else values


def _as_number(values):
    return np.asarray(values, dtype=float)


def _log(values, base=np.e):
    return np.log(values) if base is np.e else np.log(values) / np.log(base)


FUNCTIONS |= {"I": _identity, AS_NUMBER: _as_number, "log": _log}


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
    texts : set of str
        Columns of the table and functions of them, as formulaic reads them.
    where : str
        The beginning of a message: the formula, and the part as the user wrote it.
    """

    spec: Any
    variables: list
    texts: set
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
        if not len(data):
            raise ValueError("data has no rows; a formula makes columns of some.")
        self._from_spec, self._formula = ModelSpec.from_spec, formula
        self.names = list(map(str, data.columns))
        self._table = prepared(data)
        self._aliases = {
            name: aliases_of(k, self._table) for k, name in enumerate(self.names)
        }
        self._free = [each.bare for each in self._aliases.values()]
        self._named, self.parts, self._are_by_row = {}, [], False

    def leave_out(self, columns):
        """From here on '.' does not stand for these columns."""
        without = {self._aliases[name].bare for name in columns}
        self._free = [name for name in self._free if name not in without]

    def response(self, text):
        """The part of y, which is one column by any arithmetic."""
        of_column = ALIAS.fullmatch(translated(text, self._aliases).strip())
        if not of_column:
            return self.parse(f"{AS_NUMBER}({text})", text, "0 + ")
        name = self.names[int(of_column[1])]
        return self.parse(self._aliases[name].number, text, "0 + ")

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
        check_unique(variables, self.names, where)
        bare = [name for name in variables if texts & {*self._aliases[name]}]
        refuse_dates(self._pairs(bare), where)
        self._named.update(dict.fromkeys(variables))
        return Part(spec, variables, texts, where)

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
        self._check_degrees(part)
        columns = self._matrix(part, self._table)
        self.parts.append(replace(part, spec=columns.model_spec))
        return self._renamed(columns, part)

    def _check_degrees(self, part):
        """Refuse polynomials that numbers do not determine, which would be rounding."""
        for text in part.texts:
            found = POLYNOMIAL.match(text)
            if found and found[1] in self._table:
                n_values = self._table[found[1]].nunique()
                if n_values <= int(found[2]):
                    raise ValueError(
                        f"{part.where}: {self._shown(text)} has the degree {found[2]}, "
                        f"but the column has {count(n_values, 'value')}. Take a degree "
                        "below that."
                    )

    def of_new(self, data):
        """For every part whose columns were made the same columns of other rows."""
        self._check_by_row()
        known = dict.fromkeys(name for part in self.parts for name in part.variables)
        at = list(map(str, data.columns))
        missing = [name for name in known if name not in at]
        if missing:
            raise ValueError(
                f"The new rows have no column {missing[0]!r}, which the formula "
                f"{shown(self._formula)} names."
            )
        check_unique(known, at, f"new rows of {shown(self._formula)}")
        new = {name: data.iloc[:, at.index(name)] for name in known}
        table = self._like_the_fit(new)
        for part in self.parts:
            self._check_categories(part, table)
            yield self._renamed(self._matrix(part, table), part)[0]

    def _check_by_row(self):
        """Refuse functions of a whole column that formulaic does not remember: the ends
        of the table, or its halves, have other values by themselves.
        """
        n = len(self._table)
        if self._are_by_row or not n:
            return
        some = slice(0, 1), slice(n - 1, n), slice(0, n // 2), slice(n // 2, n)
        for part in self.parts:
            if not any("(" in text for text in part.texts):
                continue
            whole = self._matrix(part, self._table).to_numpy(float)
            rounding = BY_ROW * np.abs(whole).max(axis=0)
            for rows in some:
                alone = self._matrix(part, self._table[rows].reset_index(drop=True))
                if (np.abs(alone.to_numpy(float) - whole[rows]) > rounding).any():
                    raise ValueError(
                        f"{part.where} depends on all rows of the table, so that new "
                        "rows would have other values than those of the fit. Take "
                        "center(), scale(), poly() or bs(), which are remembered, or "
                        "make the column in the table."
                    )
        self._are_by_row = True

    def _like_the_fit(self, columns):
        """The table of new columns, by name, of the types of those of the fit."""
        from pandas import DataFrame

        found = {}
        for name, column in columns.items():
            k = self.names.index(name)
            kinds = [kind for kind in KINDS if alias(k, kind) in self._table]
            new = views_like(column.reset_index(drop=True), kinds, name)
            found |= {alias(k, kind): view for kind, view in new.items()}
        return DataFrame(found)

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
        dropped |= self._compared_missing(part, table)
        if dropped:
            raise ValueError(self._missing(part, table, sorted(dropped))) from fault
        if fault is not None:
            sentences = [self._unreadable(part.where, fault)]
            sentences += dates_of(self._pairs(part.variables))
            raise ValueError(" ".join(sentences)) from fault
        return columns

    def _compared_missing(self, part, table):
        """Rows in which a comparison is about a missing value, which makes it False."""
        texts = filter(COMPARISON.search, part.texts)
        columns = [found[0] for text in texts for found in ALIAS.finditer(text)]
        missing = table[[*dict.fromkeys(columns)]].isna().any(axis=1)
        return {*np.flatnonzero(missing).tolist()}

    def _renamed(self, columns, part):
        """Columns but the intercept, named by those of the table, and whether it is
        there.
        """
        intercept = "Intercept" in columns
        columns = columns.drop(columns="Intercept", errors="ignore")
        columns = columns.set_axis([self._shown(name) for name in columns], axis=1)
        twice = [name for name, n in Counter(columns).items() if n > 1]
        if twice:
            raise ValueError(
                f"{part.where} makes two columns that are named {twice[0]!r}. Rename "
                "that of the table."
            )
        refuse_dates(columns.items(), part.where)
        return columns, intercept

    def _shown(self, text):
        """A text of formulaic's with the names of the table."""
        return ALIAS.sub(lambda found: self.names[int(found[1])], str(text))

    def _pairs(self, names):
        """Names of columns of the table, and the columns."""
        return ((name, self._table[self._aliases[name].levels]) for name in names)

    def _unreadable(self, where, error):
        fault = self._shown(error).split("\n")[0]  # the rest is a drawing of the place
        known = listed(self.names)
        return f"{where} cannot be read. {fault:.200} The columns are {known}."

    def _missing(self, part, table, rows):
        """A sentence about the rows in which a part has no value."""
        names = {name: self._aliases[name].levels for name in self._named}
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
