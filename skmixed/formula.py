"""Models from formulas of lme4's form, by formulaic, the extra `formula`."""

from __future__ import annotations

from collections.abc import Collection
from functools import reduce
from numbers import Integral
from typing import TYPE_CHECKING, Any, NamedTuple

from ._input.formula_columns import check_data, check_labels, listed
from ._input.formula_table import FormulaTable
from ._input.formula_text import parts_of, sides_of
from ._input.notation import RandomEffects, shown
from .linear_mixed import LinearMixedRegressor

if TYPE_CHECKING:
    import pandas

__all__ = ["FormulaModel", "FormulaRows", "from_formula"]

# The formula itself says these.
TAKEN = ("random_effects", "fit_intercept", "mean_features", "group_features")


class FormulaRows(NamedTuple):
    """The arguments of predictions for other rows.

    Attributes
    ----------
    X : pandas.DataFrame of shape (n_rows, n_features)
    groups : pandas.DataFrame of shape (n_rows, n_columns), or None
        The label columns; None if the table has none of them.
    """

    X: pandas.DataFrame
    groups: pandas.DataFrame | None


class _ModelAndData(NamedTuple):
    model: LinearMixedRegressor
    X: pandas.DataFrame
    y: pandas.Series
    groups: pandas.DataFrame


class FormulaModel(_ModelAndData):
    """A model that is not fitted yet, and the data that it is fitted to: a tuple
    ``(model, X, y, groups)``.

    Attributes
    ----------
    model : LinearMixedRegressor
    X : pandas.DataFrame of shape (n_rows, n_features)
        The columns of the mean and of the random slopes, without the intercept.
    y : pandas.Series of shape (n_rows,)
    groups : pandas.DataFrame of shape (n_rows, n_columns)
        The label columns.
    """

    _table: FormulaTable

    def new_rows(self, data: pandas.DataFrame) -> FormulaRows:
        """X and groups of other rows, by the categories, the means and the bases of
        polynomials of the rows that the model was made from.

        Parameters
        ----------
        data : pandas.DataFrame
            The columns that the formula names, but for y; all label columns, or none
            where only the mean is predicted.

        Returns
        -------
        rows : FormulaRows
            A tuple ``(X, groups)``.

        Raises
        ------
        TypeError, ValueError
            If it is no such table, has missing values, text in the place of numbers,
            or a category that the rows of the fit have not; or if the formula has a
            function of a whole column that is not remembered, such as ``x.mean()``.

        Examples
        --------
        >>> import pandas as pd
        >>> from skmixed.datasets import load_sleepstudy
        >>> from skmixed.formula import from_formula
        >>> d = load_sleepstudy(as_frame=True).frame
        >>> made = from_formula("Reaction ~ poly(Days, 2) + (1 | Subject)", d)
        >>> model = made.model.fit(made.X, made.y, groups=made.groups)
        >>> new = pd.DataFrame({"Days": [5, 7, 9, 11], "Subject": 308})
        >>> X, groups = made.new_rows(new)
        >>> model.predict(X, groups=groups).round(1)
        array([341.8, 364.8, 390.4, 418.8])
        """
        check_data(data)
        X = reduce(_joined, self._table.of_new(data))
        there = [label for label in self.groups if label in data]
        if there:
            check_labels(self.groups, "groups", data)
        groups = data[list(self.groups)] if there else None
        return FormulaRows(X[list(self.X)].set_axis(data.index), groups)


def from_formula(
    formula: str, data: pandas.DataFrame, **parameters: Any
) -> FormulaModel:
    """A linear mixed model, its X, y and groups, from a formula and a table.

    Left of ``~`` stands y, by any arithmetic; right of it the mean, as formulaic [1]_
    reads it, and random effects in brackets, as lme4 writes them: ``(days | subject)``,
    ``(1 | school/class)``.  Columns of text, categories or truth values become dummy
    variables of the levels that occur, left of a bar too; so does a condition in
    ``I(x > 2)``.  ``^`` in a function is a power, as in ``I(x^2)``.  A ``.`` stands for
    all columns of the table but those that the response is made of and those of labels,
    right of a bar.

    Parameters
    ----------
    formula : str
        Such as ``"rt ~ cond * len + (cond | subject) + (1 | item)"``.
    data : pandas.DataFrame
        The columns that the formula names.
    **parameters
        Parameters of `LinearMixedRegressor` that the formula does not say, such as
        ``method="ml"``.  Columns that `variance_features` and `variance_offset` name
        are those that the formula makes, or others of the table, which are in the
        log-variance alone; a category has its dummy variables there.

    Returns
    -------
    model : FormulaModel
        A tuple ``(model, X, y, groups)``; the model is not fitted.  Its `new_rows`
        makes X and groups of other rows.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    TypeError, ValueError
        If the formula is none, has no random effects, names columns that are not in
        the table, are there twice, are dates or have missing values, makes two columns
        of one name or polynomials that the data do not determine, or a parameter is
        given that it says itself, or that names a column of the log-variance that
        neither the formula nor the table has.

    Notes
    -----
    Functions of a whole column, such as ``center(x)`` or ``poly(x, 2)``, see all rows
    of the table, and so do the levels of categories.  `new_rows` applies what
    ``center``, ``scale``, ``poly``, splines and categories have seen to other rows, and
    refuses other functions of a whole column; for cross-validation make columns by
    transformers in a Pipeline, which are fitted in every fold.

    Dummy variables left of ``||`` are independent of each other, as by `zerocorr` of
    MixedModels.jl; lme4 leaves those of one category correlated.

    References
    ----------
    .. [1] https://matthewwardrop.github.io/formulaic

    Examples
    --------
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.formula import from_formula
    >>> d = load_sleepstudy(as_frame=True).frame
    >>> model, X, y, groups = from_formula("Reaction ~ Days + (Days | Subject)", d)
    >>> model
    LinearMixedRegressor(random_effects='(Days | Subject)')
    >>> print(f"{model.fit(X, y, groups=groups).log_likelihood_:.4f}")
    -871.8141
    """
    reader = FormulaTable(formula, data)
    for name in TAKEN:
        if name in parameters:
            raise TypeError(
                f"{name} is what the formula says; it is no parameter here."
            )
    response, mean, pieces = parts_of(formula)
    lefts, nested = zip(*[sides_of(piece, formula) for piece in pieces], strict=True)
    labels = dict.fromkeys(
        c for terms in nested for t in terms for c in t.label_columns
    )
    check_labels(labels, formula, data)
    of_y = reader.response(response)
    reader.leave_out([*of_y.variables, *map(str, labels)])
    of_mean = reader.parse(mean, mean)
    of_terms = [reader.parse(*side) for side in zip(lefts, pieces, strict=True)]
    y = _column_of_y(reader, of_y, f"{shown(formula)}: y", shown(response))
    X, intercept = reader.columns(of_mean)
    options = {} if intercept else {"fit_intercept": False}
    names, terms = list(X.columns), []
    for part, several in zip(of_terms, nested, strict=True):
        slopes, intercept = reader.columns(part)
        terms += [_term(t, slopes, intercept, part.where) for t in several]
        X = _joined(X, slopes)
    X, of_variance = _with_variance(X, parameters, reader)
    if len(names) < X.shape[1]:
        known = parameters.get("variance_offset")
        if isinstance(known, Integral) and -X.shape[1] <= known < X.shape[1]:
            known = X.columns[known]
        options["mean_features"] = [name for name in names if name != known]
    options |= parameters | of_variance
    model = LinearMixedRegressor(" + ".join(map(str, terms)), **options)
    y = y.rename(response).set_axis(data.index)
    found = FormulaModel(model, X.set_axis(data.index), y, data[list(labels)])
    found._table = reader
    return found


def _column_of_y(reader, part, of_y, written):
    """The column of y; `of_y` and `written` begin messages."""
    y, _ = reader.columns(part)
    reader.parts.clear()  # new rows need no y
    if y.shape[1] != 1:
        raise ValueError(
            f"{of_y} is one column of numbers, but {written} gives {y.shape[1]} "
            f"({listed(y)})."
        )
    return y.iloc[:, 0]


def _term(term, slopes, intercept, where):
    """The term with these slopes."""
    if not intercept and not slopes.shape[1]:
        raise ValueError(f"{where} has neither a random intercept nor a slope.")
    form = {"intercept": intercept, "covariance": term.covariance}
    return RandomEffects(term.groups, slopes.columns, **form)


def _with_variance(X, parameters, reader):
    """X with those columns of the log-variance that the formula does not make, and the
    parameters whose names of columns are others for that.
    """
    found, features = {}, parameters.get("variance_features")
    if isinstance(features, Collection) and not isinstance(features, str):
        X, names = _named(X, features, reader, "variance_features")
        if names != list(features):
            found["variance_features"] = names
    offset = parameters.get("variance_offset")
    X, names = _named(X, [offset], reader, "variance_offset")
    if names != [offset]:
        raise ValueError(
            f"variance_offset is one column of numbers, but {offset!r} of the table "
            f"is a category ({', '.join(names)})."
        )
    return X, found


def _named(X, columns, reader, parameter):
    """X with the columns that a parameter names, those of the table joined to it, and
    the names that they have there.
    """
    names = []
    for name in columns:
        made = None
        if isinstance(name, str) and (name not in X or name in reader.names):
            made = reader.named(name, parameter)
            X = _joined(X, made)
        names += [name] if made is None else list(made)
    return X, names


def _joined(X, columns):
    """X and those of the columns that it has not; two that differ have no one name."""
    for name in columns:
        if name in X and not X[name].equals(columns[name]):
            raise ValueError(
                f"Two columns are named {name!r}: one of the table, or of another "
                "category, and one that the formula makes. Rename that of the table."
            )
    return X.join(columns[[name for name in columns if name not in X]])
