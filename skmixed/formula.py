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
    of a bar too.

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
    read = _reader(formula, data)
    for name in TAKEN:
        if name in parameters:
            raise TypeError(
                f"{name} is what the formula says; it is no parameter here."
            )
    response, mean, pieces = _parts(formula)
    y = read(f"0 + {response}", response)
    if y.shape[1] != 1:
        raise ValueError(
            f"{shown(formula)}: y is one column of numbers, but {shown(response)} "
            f"gives {y.shape[1]} ({', '.join(map(str, y.columns))})."
        )
    of_mean = read(mean, mean)
    X = of_mean.drop(columns="Intercept", errors="ignore")
    names, terms = list(X.columns), []
    for piece in pieces:
        columns, found = _term(piece, read, formula)
        new = [name for name in columns.columns if name not in X.columns]
        X = X.join(columns[new])
        terms += found
    labels = list(dict.fromkeys(c for term in terms for c in term.label_columns))
    _check_labels(labels, formula, data)
    options = {} if len(names) == X.shape[1] else {"mean_features": names}
    if "Intercept" not in of_mean:
        options["fit_intercept"] = False
    text = " + ".join(map(str, terms))
    model = LinearMixedRegressor(text, **options, **parameters)
    return FormulaModel(model, X, y.iloc[:, 0].rename(response), data[labels])


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


def _term(piece, read, formula):
    """The columns of one term's slopes, and the term, several where it is nested."""
    left, right, covariance = split_term(piece, f"{shown(formula)}: {shown(piece)}")
    columns = read(left.strip() or "1", piece)
    slopes = columns.drop(columns="Intercept", errors="ignore")
    form = {"intercept": "Intercept" in columns, "covariance": covariance}
    if not form["intercept"] and not slopes.shape[1]:
        raise ValueError(
            f"{shown(formula)}: {shown(piece)} has neither a random intercept nor a "
            "slope."
        )
    nested = parse(f"(1 | {right})")
    return slopes, [RandomEffects(t.groups, slopes.columns, **form) for t in nested]


def _reader(formula, data):
    """A function that makes the columns of a part of a formula.

    Its second argument is the part as the user wrote it.
    """
    try:
        from formulaic import model_matrix
    except ImportError as error:
        raise ImportError(
            "from_formula requires formulaic. Install it with `pip install formulaic`."
        ) from error
    if not isinstance(formula, str):
        raise TypeError(f"A formula is text such as {EXAMPLE!r}, got {formula!r:.60}.")
    if not hasattr(data, "iloc") or not hasattr(data, "columns"):
        raise TypeError(
            f"data is a pandas.DataFrame, got a {type(data).__name__}. Make one, e.g. "
            "by pandas.DataFrame(data) or data.to_pandas()."
        )
    table = data.reset_index(drop=True)

    def read(part, written):
        try:
            columns = model_matrix(part, table, context={}, na_action="raise")
        except MemoryError:
            raise
        except Exception as error:  # brackets that do not match have no one class
            known = ", ".join(map(str, data.columns))
            fault = str(error).split("\n")[0]  # the rest is a drawing of the place
            raise ValueError(
                f"{shown(formula)}: {shown(written)} cannot be read. {fault:.200} "
                f"The columns are {known}."
            ) from error
        if not hasattr(columns, "columns"):
            raise ValueError(
                f"{shown(formula)}: {shown(written)} cannot be read. A '|' or '~' in "
                "it makes several tables of it, where one is needed."
            )
        return columns.set_axis(data.index)

    return read


def _check_labels(labels, formula, data) -> None:
    for label in labels:
        if label not in data.columns:
            known = ", ".join(map(str, data.columns))
            raise ValueError(
                f"{shown(formula)} names the label column {shown(label)}, which is not "
                f"in the table. The columns are {known}."
            )
