"""Models from formulas of lme4's form, by formulaic, the extra `formula`."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

from ._input.messages import count
from ._input.notation import RandomEffects, parse, shown, split_outside, split_term
from ._input.table import refuse_lazy
from ._input.unreadable import DATES, DATES_OR_TIMES
from .linear_mixed import LinearMixedRegressor

if TYPE_CHECKING:
    import pandas

__all__ = ["FormulaModel", "from_formula"]

EXAMPLE = "y ~ days + (days | subject)"
# The name of a column in an expression, where it is no name of Python's.
QUOTED = re.compile(r"`([^`]*)`")
# Methods of tables of other packages that make one of pandas.
TO_PANDAS = "to_pandas", "compute", "to_frame"
# The formula itself says these.
TAKEN = ("random_effects", "fit_intercept", "mean_features", "group_features")


class FormulaModel(NamedTuple):
    """A model that is not fitted yet, and the data that it is fitted to.

    Attributes
    ----------
    model : LinearMixedRegressor
    X : pandas.DataFrame of shape (n_rows, n_features)
        The columns of the mean and of the random slopes, without the intercept.
    y : pandas.Series of shape (n_rows,)
    groups : pandas.DataFrame of shape (n_rows, n_columns)
        The label columns.
    """

    model: LinearMixedRegressor
    X: pandas.DataFrame
    y: pandas.Series
    groups: pandas.DataFrame


def from_formula(
    formula: str, data: pandas.DataFrame, **parameters: Any
) -> FormulaModel:
    """A linear mixed model, its X, y and groups, from a formula and a table.

    Left of ``~`` stands y; right of it the mean, as formulaic [1]_ reads it, and
    random effects in brackets, as lme4 writes them: ``(days | subject)``,
    ``(1 | school/class)``.  Columns of text or categories become dummy variables, left
    of a bar too.  A ``.`` stands for all columns of the table but those that the
    response is made of and those of labels, right of a bar.

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
        A tuple ``(model, X, y, groups)``; the model is not fitted.

    Raises
    ------
    ImportError
        If formulaic is not installed.
    TypeError, ValueError
        If the formula is none, has no random effects, names columns that are not in
        the table, are there twice, are dates or have missing values, or a parameter is
        given that it says itself, or that names a column of the log-variance that
        neither the formula nor the table has.

    Notes
    -----
    Functions of a whole column, such as ``center(x)`` or ``scale(x)``, see all rows of
    the table, and so do the levels of categories: for cross-validation make columns by
    transformers in a Pipeline, which are fitted in every fold.  Columns of new rows
    have to be made as those of the fit: make both from one table, and split X, y and
    groups afterwards.

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
    reader = _Reader(formula, data)
    for name in TAKEN:
        if name in parameters:
            raise TypeError(
                f"{name} is what the formula says; it is no parameter here."
            )
    response, mean, pieces = _parts(formula)
    lefts, nested = zip(*[_sides(piece, formula) for piece in pieces], strict=True)
    labels = dict.fromkeys(
        c for terms in nested for t in terms for c in t.label_columns
    )
    _check_labels(labels, formula, data)
    of_y = reader.parse(f"0 + {response}", response)
    reader.leave_out([*of_y.variables, *labels])
    of_mean = reader.parse(mean, mean)
    of_terms = [reader.parse(*side) for side in zip(lefts, pieces, strict=True)]
    y = reader.columns(of_y)
    if y.shape[1] != 1:
        raise ValueError(
            f"{shown(formula)}: y is one column of numbers, but {shown(response)} "
            f"gives {y.shape[1]} ({', '.join(map(str, y.columns))})."
        )
    X, intercept = _without_intercept(reader.columns(of_mean))
    options = {} if intercept else {"fit_intercept": False}
    names, terms = list(X.columns), []
    for part, several in zip(of_terms, nested, strict=True):
        slopes, intercept = _without_intercept(reader.columns(part))
        terms += [_term(t, slopes, intercept, part.where) for t in several]
        X = _joined(X, slopes)
    X, of_variance = _with_variance(X, parameters, reader)
    if len(names) < X.shape[1]:
        known_part = parameters.get("variance_offset")
        options["mean_features"] = [name for name in names if name != known_part]
    options |= parameters | of_variance
    model = LinearMixedRegressor(" + ".join(map(str, terms)), **options)
    y = y.iloc[:, 0].rename(response).set_axis(data.index)
    return FormulaModel(model, X.set_axis(data.index), y, data[list(labels)])


def _parts(formula):
    """The text of y, that of the mean, and the terms in brackets with a bar."""
    sides = split_outside(formula, "~")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise ValueError(
            f"{shown(formula)} is no formula of one '~', such as {EXAMPLE!r}."
        )
    response, right = (side.strip() for side in sides)
    mean, terms = [], []
    for piece in map(str.strip, split_outside(right, "+")):
        if len(split_outside(piece, "|")) > 1:
            raise ValueError(
                f"{shown(formula)}: {shown(piece)} has a bar outside of brackets. "
                "Random effects stand in brackets, such as '(days | subject)'."
            )
        is_term = "|" in re.sub(r"`[^`]*`", "", piece)
        (terms if is_term else mean).append(piece)
    if not terms:
        raise ValueError(
            f"{shown(formula)} has no random effects, such as '+ (1 | subject)'. "
            "Without them scikit-learn's LinearRegression is the model."
        )
    return response, " + ".join(mean) or "1", terms


def _sides(piece, formula):
    """The effects left of a term's bar, and its random intercepts, several where the
    term is nested.
    """
    left, right, covariance = split_term(piece, f"{shown(formula)}: {shown(piece)}")
    intercepts = parse(f"(1 | {right})")
    terms = [RandomEffects(t.groups, covariance=covariance) for t in intercepts]
    return left.strip() or "1", terms


def _term(term, slopes, intercept, where):
    """The term with these slopes."""
    if not intercept and not slopes.shape[1]:
        raise ValueError(f"{where} has neither a random intercept nor a slope.")
    form = {"intercept": intercept, "covariance": term.covariance}
    return RandomEffects(term.groups, slopes.columns, **form)


def _without_intercept(columns):
    """The columns but the intercept, and whether there is one."""
    return columns.drop(columns="Intercept", errors="ignore"), "Intercept" in columns


class _Part(NamedTuple):
    """A part of a formula.

    Attributes
    ----------
    spec : formulaic.ModelSpec
    variables : list of str
        The columns of the table that it names.
    where : str
        The beginning of a message: the formula, and the part as the user wrote it.
    """

    spec: Any
    variables: list[str]
    where: str


class _Reader:
    """Makes the columns of the parts of a formula."""

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
        _check_data(data)
        self._from_spec = ModelSpec.from_spec
        self._formula, self._table = formula, data.reset_index(drop=True)
        self._free, self._named = list(self._table), {}

    def leave_out(self, columns):
        """From here on '.' does not stand for these columns."""
        self._free = [name for name in self._free if name not in columns]

    def parse(self, text, written):
        """The part of this text; `written` is the text in messages."""
        where = f"{shown(self._formula)}: {shown(written)}"
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
        factors = {factor for term in spec.formula for factor in term.factors}
        names, functions = map(set.union, *map(_names, factors), (set(), set()))
        _refuse_offset(functions, where)
        variables = [name for name in dict.fromkeys(self._table) if name in names]
        _check_unique(variables, self._table, where)
        bare = {factor.expr for factor in factors}
        _refuse_dates(self._pairs(v for v in variables if v in bare), where)
        self._named.update(dict.fromkeys(variables))
        return _Part(spec, variables, where)

    def columns(self, part):
        """The columns of a part, a DataFrame with rows numbered from 0."""
        columns, fault, dropped = None, None, set()
        try:
            columns = part.spec.get_model_matrix(
                self._table, context={}, drop_rows=dropped
            )
        except MemoryError:
            raise
        except Exception as error:  # as of any function in the formula
            fault = error
        if dropped:
            raise ValueError(self._missing(part, sorted(dropped))) from fault
        if fault is not None:
            sentences = [self._unreadable(part.where, fault)]
            sentences += _dates(self._pairs(part.variables))
            raise ValueError(" ".join(sentences)) from fault
        _refuse_dates(columns.items(), part.where)
        return columns

    def named(self, name, parameter):
        """The columns of one column of the table, which a parameter names."""
        if name not in self._table:
            raise ValueError(
                f"{shown(self._formula)}: {parameter} names {name!r}, which is no "
                "column of the table, nor does the formula make it. The columns are "
                f"{_listed(self._table)}."
            )
        part = self.parse(f"`{name}`", f"{parameter}={name!r}")
        return _without_intercept(self.columns(part))[0]

    def _pairs(self, names):
        """Names of columns of the table, and the columns."""
        return ((name, self._table[name]) for name in names)

    def _unreadable(self, where, error):
        fault = str(error).split("\n")[0]  # the rest is a drawing of the place
        known = _listed(self._table)
        return f"{where} cannot be read. {fault:.200} The columns are {known}."

    def _missing(self, part, rows):
        """A sentence about the rows in which a part has no value."""
        table = self._table[list(self._named)]
        of_part = table.loc[rows, part.variables].isna().any()
        if not of_part.any():
            return (
                f"{part.where} has no value in {len(rows)} of "
                f"{count(len(table), 'row')}, the first data.iloc[{rows[0]}], where "
                "its columns have one, so that no model can be fitted. Drop these "
                "rows, or take a function that is defined there."
            )
        name = of_part.idxmax()
        missing = table[name].isna().to_numpy()
        incomplete = [column for column in table if table[column].isna().any()]
        return (
            f"{part.where}: column {name!r} has missing values in {missing.sum()} of "
            f"{count(len(table), 'row')}, the first in data.iloc[{missing.argmax()}], "
            "so that no model can be fitted. Drop the rows, by data.dropna(subset="
            f"{incomplete}), or impute."
        )


def _names(factor):
    """The names in a factor: those of variables, and those of functions.

    formulaic's own variables of ``center(x)`` are none, and those of ``log(`a.b`)`` are
    the part before the dot.
    """
    if factor.eval_method.value == "lookup":
        return {factor.expr}, set()
    try:
        tree = ast.parse(QUOTED.sub("_", factor.expr), mode="eval")
    except (SyntaxError, ValueError, RecursionError):  # which formulaic refuses as well
        return set(), set()
    nodes = list(ast.walk(tree))
    called = {node.func for node in nodes if isinstance(node, ast.Call)}
    names = {node for node in nodes if isinstance(node, ast.Name)}
    values = {node.value for node in nodes if isinstance(node, ast.Constant)}
    texts = {value for value in values if isinstance(value, str)}  # as in Q("a b")
    variables = {node.id for node in names - called}
    functions = {node.id for node in names & called}
    return variables | texts | set(QUOTED.findall(factor.expr)), functions


def _check_data(data) -> None:
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


def _check_unique(names, data, where) -> None:
    n_columns = Counter(data.columns)
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
            f"gives {len(names)} ({', '.join(names)})."
        )
    return X, found


def _named(X, columns, reader, parameter):
    """X with the columns that a parameter names, those of the table joined to it, and
    the names that they have there.
    """
    names = []
    for name in columns:
        made = None
        if isinstance(name, str) and name not in X:
            made = reader.named(name, parameter)
            X = _joined(X, made)
        names += [name] if made is None else list(made)
    return X, names


def _joined(X, columns):
    """X and those of the columns that it has not."""
    return X.join(columns[[name for name in columns if name not in X]])


def _refuse_offset(functions, where) -> None:
    """Refuse R's offset(x), a column of the mean whose coefficient is 1."""
    if "offset" in functions:
        raise ValueError(
            f"{where} has an offset, a column of the mean with the coefficient 1, "
            "which is not offered. Subtract it from the response, as in "
            "'I(y - x) ~ ...', and add it to predictions."
        )


def _listed(table):
    return ", ".join(map(str, table)) or "no columns"


def _check_labels(labels, formula, data) -> None:
    for label in labels:
        if label not in data.columns:
            raise ValueError(
                f"{shown(formula)} names the label column {shown(label)}, which is not "
                f"in the table. The columns are {_listed(data)}."
            )
    _check_unique(labels, data, shown(formula))
