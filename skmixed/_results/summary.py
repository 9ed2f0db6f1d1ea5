"""The summary of a fit: figures, and the same figures as text, HTML and DataFrames."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from .._input.messages import count
from .._input.typing import Floats

if TYPE_CHECKING:
    import pandas

WIDTH = 79  # of the sentences of a summary
DIGITS = 5
SMALLEST_P = 1e-4  # smaller ones are written with an exponent
STYLE = "text-align: right; padding: 0.1em 0.6em"


@dataclass(frozen=True, eq=False)
class Table:
    """Figures in named rows and columns.

    Attributes
    ----------
    names : tuple of str
        Of the rows.
    columns : dict of str to ndarray of shape (n_rows,)
    """

    names: tuple[str, ...]
    columns: dict[str, Floats] = field(repr=False)

    def __getitem__(self, column: str) -> Floats:
        try:
            return self.columns[column]
        except KeyError:
            raise KeyError(
                f"{column!r} is no column; they are {', '.join(self.columns)}. Rows "
                "are found by name in to_frame()."
            ) from None

    def __len__(self) -> int:
        return len(self.names)

    def to_frame(self) -> pandas.DataFrame:
        """The table as a DataFrame.

        Returns
        -------
        frame : pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("`names` and `columns`, a dict of arrays")
        return pandas.DataFrame(self.columns, index=list(self.names))

    def cells(self) -> list[list[str]]:
        """The head and the rows as text, names first."""
        texts = [[_text(v, c) for v in values] for c, values in self.columns.items()]
        names = [" ".join(name.split()) for name in self.names]
        return [["", *self.columns], *map(list, zip(names, *texts, strict=True))]

    def __str__(self) -> str:
        cells = self.cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = []
        for name, *texts in cells:
            aligned = [t.rjust(w) for t, w in zip(texts, widths[1:], strict=True)]
            lines.append("  ".join([name.ljust(widths[0]), *aligned]).rstrip())
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        head, *rows = self.cells()
        return (
            f"<table><thead>{_html_row(head, 'th')}</thead>"
            f"<tbody>{''.join(_html_row(row, 'td') for row in rows)}</tbody></table>"
        )


@dataclass(frozen=True)
class LikelihoodRatioTest:
    """A test of a model against a larger one.

    Attributes
    ----------
    statistic : float
        Twice the gain in log-likelihood, at least 0.
    p_value : float
        By chi-squared on `df` degrees of freedom.  If `at_boundary`, and with many
        groups, one half of all samples has one degree of freedom less under the
        hypothesis (Self and Liang 1987, Journal of the American Statistical Association
        82, 605-610).  With few groups it is more than half, and the p value is on the
        safe side.
    df : int
        Number of parameters that the larger model has and the smaller has not.
    at_boundary : bool
        Whether one of them is a variance, whose value of 0 is the end of its range.
    """

    statistic: float
    p_value: float
    df: int = 1
    at_boundary: bool = True

    def __str__(self) -> str:
        unit = "degree" if self.df == 1 else "degrees"
        text = f"likelihood ratio {self.statistic:.4g} on {self.df} {unit} of freedom"
        if self.at_boundary:
            text += " (a variance at 0)"
        return f"{text}: {p_sentence(self.p_value)}"


@dataclass(frozen=True, eq=False, repr=False)
class BaseSummary:
    """The figures and tables of every summary, as text and as HTML.

    A subclass has the method `lines`.
    """

    title: str
    n_rows: float
    log_likelihood: float
    n_parameters: int
    aic: float
    bic: float
    r2_marginal: float
    r2_conditional: float
    coefficients: Table
    log_variance: Table | None
    variance_components: Table
    notes: tuple[str, ...]

    heading_of_log_variance = "Log-variance"

    def sections(self) -> dict[str, Table]:
        """Headings and tables."""
        named = {
            "Coefficients": self.coefficients,
            self.heading_of_log_variance: self.log_variance,
            "Variance components": self.variance_components,
        }
        return {name: table for name, table in named.items() if table is not None}

    def __str__(self) -> str:
        parts = [self.title, "\n".join(self.lines())]
        parts += [f"{name}\n{table}" for name, table in self.sections().items()]
        notes = "\n".join(textwrap.fill(note, WIDTH) for note in self.notes)
        return "\n\n".join([*parts, notes]).rstrip()

    __repr__ = __str__

    def _repr_html_(self):
        parts = [f"<b>{escape(self.title)}</b>"]
        parts.append("<br>".join(map(escape, self.lines())))
        for name, table in self.sections().items():
            parts.append(f"<i>{escape(name)}</i>{table._repr_html_()}")
        parts.append("<br>".join(map(escape, self.notes)))
        return "".join(f"<div>{part}</div>" for part in parts)


@dataclass(frozen=True, eq=False, repr=False)
class Summary(BaseSummary):
    """The results of a fit, in tables.

    It prints as text, and as HTML in a notebook.

    Attributes
    ----------
    title : str
    n_rows : float
        Sum of the weights.
    n_groups : int
    group_sizes : tuple of float
        Least, median and largest sum of the weights of a group; empty without groups.
    log_likelihood : float
        Constants included; of REML where the model was fitted by it.
    n_parameters : int
        Coefficients and variance parameters, as lme4 counts them.
    aic, bic : float
        2 (n_parameters - log_likelihood); log(n_rows) n_parameters - 2 log_likelihood.
    intraclass_correlation : float
    r2_marginal, r2_conditional : float
        The shares of the variance that the features, and the features and groups
        together, explain (Nakagawa and Schielzeth 2013, Methods in Ecology and
        Evolution 4, 133-142).
    coefficients : Table
        Of the mean: `coef`, `std`, `t` or `z`, `df`, `p`, and the interval, `low` and
        `high`.
    log_variance : Table or None
        The same of the log-variance, where the model has one.
    variance_components : Table
        `variance`, `std` and the interval of the latter.
    group_test : LikelihoodRatioTest or None
        None where there is no random intercept to test.
    notes : tuple of str
        Sentences about the kind of the intervals, and about oddities of the fit.
    """

    n_groups: int
    group_sizes: tuple[float, ...]
    intraclass_correlation: float
    group_test: LikelihoodRatioTest | None

    heading_of_log_variance = "Log-variance of the noise"

    def lines(self) -> list[str]:
        """The figures that are in no table, in sentences."""
        rows = count(self.n_rows, "row")
        if self.n_groups:
            rows += f", {levels_text(self.n_groups, 'group', self.group_sizes)}"
        fit = fit_text(self)
        shares = f"R^2 {self.r2_marginal:.3f} by the features"
        if self.n_groups:
            shares += f", {self.r2_conditional:.3f} with the groups"
        if "groups" in self.variance_components.names:
            shares += f"; intraclass correlation {self.intraclass_correlation:.3f}"
        lines = [rows, fit, shares]
        if self.group_test is not None:
            test = self.group_test
            lines.append(
                f"group variance 0: likelihood ratio {test.statistic:.4g}, "
                f"{p_sentence(test.p_value)}"
            )
        return lines


@dataclass(frozen=True, eq=False, repr=False)
class MixedSummary(BaseSummary):
    """The figures of a fitted linear mixed model.

    It prints as text, and as HTML in a notebook.

    Attributes
    ----------
    title : str
    n_rows : float
        Sum of the weights.
    n_levels : dict of str to int
        Number of levels of each factor in the rows of the fit.
    level_sizes : dict of str to tuple of float
        Least, median and largest sum of the weights of a level.
    log_likelihood : float
        Constants included; of REML where the model was fitted by it.
    n_parameters : int
        Coefficients and variance parameters, as lme4 counts them.
    aic, bic : float
        2 (n_parameters - log_likelihood); log(n_rows) n_parameters - 2 log_likelihood.
    r2_marginal, r2_conditional : float
        The shares of the variance that the features, and the features and random
        effects together, explain (Nakagawa, Johnson and Schielzeth 2017, Journal of the
        Royal Society Interface 14, 20170213; with slopes the effects' part is the mean
        of their variance over the rows: Johnson 2014, Methods in Ecology and Evolution
        5, 944-946).
    coefficients : Table
        `coef`, `std`, `t` or `z`, `df`, `p`, and the interval, `low` and `high`.
    log_variance : Table or None
        Of the log-variance, as of `coefficients` with `z`; None where the noise is
        constant.
    variance_components : Table
        `std` of every effect and of the noise, `corr` of the effects that covary, and
        the interval of either, `low` and `high`.  The noise is the geometric mean of
        that of the rows, without an interval, where it is modelled.  By the iterative
        solver also `mc_error`, the standard error by the choice of its random probes.
    notes : tuple of str
        The kind of the intervals, whatever is out of the ordinary, and how factors lie
        to each other.
    """

    n_levels: dict[str, int]
    level_sizes: dict[str, tuple[float, ...]]

    def lines(self) -> list[str]:
        """The figures that are in no table, in sentences."""
        shares = f"R^2 {self.r2_marginal:.3f} by the features"
        if self.n_levels:
            shares += f", {self.r2_conditional:.3f} with the random effects"
        levels = [
            f"{name}: {levels_text(n, 'level', self.level_sizes[name])}"
            for name, n in self.n_levels.items()
        ]
        return [count(self.n_rows, "row"), *levels, fit_text(self), shares]


def levels_text(n_levels, noun, sizes):
    """So many levels, and of how many rows."""
    least, median, most = sizes
    rows = count(most, "row")
    if least < most:
        rows = f"{least:.12g} to {rows} (median {median:.12g})"
    return f"{count(n_levels, noun)} of {rows}"


def fit_text(summary):
    """The criteria of a fit."""
    if np.isnan(summary.log_likelihood):
        return f"no log-likelihood ({summary.n_parameters} parameters)"
    return (
        f"log-likelihood {summary.log_likelihood:.4f}, AIC {summary.aic:.2f}, "
        f"BIC {summary.bic:.2f} ({summary.n_parameters} parameters)"
    )


def import_pandas(instead):
    """pandas, for a `to_frame`; without it the error names the alternative."""
    try:
        import pandas
    except ImportError as error:
        raise ImportError(
            "to_frame requires pandas. Install it with `pip install pandas`, or use "
            f"{instead}."
        ) from error
    return pandas


def coefficient_table(names, coef, std, coverage, df=None):
    """Estimates with their tests against 0 and intervals.

    Parameters
    ----------
    names : sequence of str
    coef, std : ndarray of shape (n,)
        A std of NaN is that of a coefficient that is not estimable, and of which the
        table has no other figure either.
    coverage : float
    df : ndarray of shape (n,), default=None
        Degrees of freedom of Student's t; without them, the normal distribution.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(std > 0, coef / std, np.nan)
    if df is None:
        tail = stats.norm.sf(np.abs(ratio))
        quantile = stats.norm.isf(0.5 - coverage / 2)
        columns = {"coef": coef, "std": std, "z": ratio}
    else:
        df = np.where(np.isnan(std), np.nan, df)
        tail = stats.t.sf(np.abs(ratio), df)
        quantile = stats.t.isf(0.5 - coverage / 2, df)
        columns = {"coef": coef, "std": std, "t": ratio, "df": df}
    known = np.where(std > 0, std, np.nan)
    low, high = coef - quantile * known, coef + quantile * known
    return Table(tuple(names), columns | {"p": 2 * tail, "low": low, "high": high})


def figures_of(fit):
    """The figures of a fit that every summary has: criteria and shares of variance."""
    deviance, n_parameters = -2 * fit.log_likelihood, fit.n_parameters
    total = fit.explained + fit.between + fit.noise  # the noise has a floor above 0
    return {
        "n_rows": fit.n_rows,
        "log_likelihood": fit.log_likelihood,
        "n_parameters": n_parameters,
        "aic": float(deviance + 2 * n_parameters),
        "bic": float(deviance + np.log(fit.n_rows) * n_parameters),
        "r2_marginal": float(fit.explained / total),
        "r2_conditional": float((fit.explained + fit.between) / total),
    }


def _text(value, column):
    return p_text(value) if column == "p" else number_text(value)


def number_text(value, digits=DIGITS):
    """A figure as it is printed, a dash where there is none."""
    return "-" if np.isnan(value) else f"{value:.{digits}g}"


def p_text(p):
    """A p value as it is printed."""
    if np.isnan(p):
        return "-"
    if p == 0:
        return "< 1e-300"
    return f"{p:.4f}" if p >= SMALLEST_P else f"{p:.1e}"


def p_sentence(p):
    """A p value with its sign."""
    return f"p {'' if p == 0 else '= '}{p_text(p)}"


def _html_row(cells, tag):
    name, *others = map(escape, cells)
    row = "".join(f'<{tag} style="{STYLE}">{cell}</{tag}>' for cell in others)
    return f'<tr><th style="text-align: left">{name}</th>{row}</tr>'
