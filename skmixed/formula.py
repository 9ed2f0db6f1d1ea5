"""Models from formulas of lme4's form, by formulaic, the extra `formula`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from ._input.notation import RandomEffects, parse, shown, split_outside, split_term
from .linear_mixed import LinearMixedRegressor

if TYPE_CHECKING:
    import pandas

__all__ = ["FormulaModel", "from_formula"]

EXAMPLE = "y ~ days + (days | subject)"
# The signs around the name of a column in an expression.
QUOTES = "`(.*?)`", "'(.*?)'", '"(.*?)"'
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
        ``method="ml"``.

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
        the table or have missing values, or a parameter is given that it says itself.

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
        X = X.join(slopes[[name for name in slopes if name not in X]])
    if len(names) < X.shape[1]:
        options["mean_features"] = names
    model = LinearMixedRegressor(" + ".join(map(str, terms)), **options, **parameters)
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
        if not hasattr(data, "iloc") or not hasattr(data, "columns"):
            raise TypeError(
                f"data is a pandas.DataFrame, got a {type(data).__name__}. Make one, "
                "e.g. by pandas.DataFrame(data) or data.to_pandas()."
            )
        self._from_spec = ModelSpec.from_spec
        self._formula, self._table = formula, data.reset_index(drop=True)
        self._free = list(self._table)

    def leave_out(self, columns):
        """From here on '.' does not stand for these columns."""
        self._free = [name for name in self._free if name not in columns]

    def parse(self, text, written):
        """The part of this text; `written` is the text in messages."""
        where = f"{shown(self._formula)}: {shown(written)}"
        context = {"__formulaic_variables_available__": self._free}
        try:
            spec = self._from_spec(text, context=context, na_action="raise")
        except MemoryError:
            raise
        except Exception as error:  # brackets that do not match have no one class
            raise ValueError(self._unreadable(where, error)) from error
        if not hasattr(spec, "formula"):
            raise ValueError(
                f"{where} cannot be read. A '|' or '~' in it makes several tables of "
                "it, where one is needed."
            )
        factors = [factor for term in spec.formula for factor in term.factors]
        return _Part(spec, _variables(factors, self._table.columns), where)

    def columns(self, part):
        """The columns of a part, a DataFrame with rows numbered from 0."""
        try:
            return part.spec.get_model_matrix(self._table, context={})
        except MemoryError:
            raise
        except Exception as error:  # as of any function in the formula
            raise ValueError(self._unreadable(part.where, error)) from error

    def _unreadable(self, where, error):
        known = ", ".join(map(str, self._table))
        fault = str(error).split("\n")[0]  # the rest is a drawing of the place
        return f"{where} cannot be read. {fault:.200} The columns are {known}."


def _variables(factors, columns):
    """The columns that factors name, bare or in an expression."""
    bare = {factor.expr for factor in factors if factor.eval_method.value == "lookup"}
    code = [factor for factor in factors if factor.eval_method.value == "python"]
    bare.update(*(factor.required_variables for factor in code))
    # formulaic cuts names at a dot, which in an expression stand in quotes.
    text = " ".join(factor.expr for factor in code)
    quoted = {name for signs in QUOTES for name in re.findall(signs, text)}
    return [name for name in dict.fromkeys(columns) if name in bare | quoted]


def _check_labels(labels, formula, data) -> None:
    for label in labels:
        if label not in data.columns:
            known = ", ".join(map(str, data.columns))
            raise ValueError(
                f"{shown(formula)} names the label column {shown(label)}, which is not "
                f"in the table. The columns are {known}."
            )
