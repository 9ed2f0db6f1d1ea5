"""Statements about fitted models: summaries, tests of nested models, contrasts.

Models may be inside a Pipeline, a search or another tool of scikit-learn that wraps
one; the names of columns are those that the model sees, as the steps before it call
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ._estimator import LinearMean, fit_of
from ._evaluation.any_model import find_model
from ._input.parameters import check_coverage, check_distribution
from ._input.typing import EstimatorLike, MatrixLike
from ._results.hypotheses import Contrast, compare_fits, contrast_of
from ._results.mixed_fit import LinearMixedFit
from ._results.mixed_summary import summarize_mixed
from ._results.one_factor_summary import summarize_fit
from ._results.summary import LikelihoodRatioTest, MixedSummary, Summary

# Models with a linear mean inside one with any regressor as the mean.
INSIDE = (
    " Its calibrators are such models: call known_model_.summary() or "
    "new_model_.summary(), or pass known_model_ or new_model_."
)

__all__ = ["contrast", "likelihood_ratio_test", "summary"]


def summary(
    estimator: EstimatorLike,
    coverage: float = 0.95,
    distribution: Literal["t", "integrated"] = "t",
) -> Summary | MixedSummary:
    """Summary of a fitted model, wherever it is.

    Parameters
    ----------
    estimator : fitted estimator
        One of this package, or a Pipeline, a search, or another tool around one.
    coverage : float, default=0.95
        Probability of the intervals.
    distribution : {"t", "integrated"}, default="t"
        As in the model's own `summary`; "integrated" counts the uncertainty of the
        variances where the model has such a distribution.

    Returns
    -------
    summary : Summary or MixedSummary
        That of the model's own `summary`, with the names of the columns that the steps
        of a Pipeline before it give (`get_feature_names_out`).  Of a
        ``TransformedTargetRegressor`` it is about y as that transforms it, and says so.

    Raises
    ------
    TypeError
        If there is no model of this package in the estimator.
    ValueError
        If `coverage` is no probability, or the model does not offer `distribution`.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inference import summary
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    >>> pipe = pipe.fit(X, y, randominterceptregressor__groups=groups)
    >>> summary(pipe).coefficients
                 coef     std       t   df        p     low    high
    intercept  298.51  9.0499  32.985   17  7.5e-17  279.41   317.6
    Days       30.065    2.31  13.015  161  6.4e-27  25.503  34.627
    """
    check_coverage(coverage)
    check_distribution(distribution, ("t", "integrated"))
    fit, is_transformed = _named_fit(estimator)
    summarize = summarize_mixed if isinstance(fit, LinearMixedFit) else summarize_fit
    found = summarize(fit, coverage, distribution)
    if is_transformed:
        note = "All figures are of y as TransformedTargetRegressor transforms it."
        found = replace(found, notes=(*found.notes, note))
    return found


def likelihood_ratio_test(
    smaller: EstimatorLike, larger: EstimatorLike, *, assume_nested: bool = False
) -> LikelihoodRatioTest:
    """Test a fitted model against a larger one that contains it.

    Twice the difference of the log-likelihoods is compared with chi-squared on as many
    degrees of freedom as the larger model has parameters more.  Where one of these is
    the variance of a random effect, whose value of 0 is the end of its range, half of
    the probability is that of one degree of freedom less.  (With several such variances
    this is on the safe side.)

    Parameters
    ----------
    smaller, larger : fitted estimator
        Models of this package, or a Pipeline, a search, or another tool around one,
        fitted to the same rows.  Models that differ in the mean are fitted with
        ``method="ml"``: restricted likelihoods of different means cannot be compared.
    assume_nested : bool, default=False
        Whether the larger model contains the smaller one though other names do not show
        it: a factor contains a line in the same numbers, slopes of all dummy variables
        contain a nested factor.

    Returns
    -------
    test : LikelihoodRatioTest
        `statistic`, `df`, `p_value`, and `at_boundary`, whether a variance is tested.

    Raises
    ------
    TypeError
        If there is no model of this package in an estimator.
    ValueError
        If the models are fitted to other rows or another y, by different methods, with
        a ridge penalty, or by REML and differ in the mean; if they are seen not to be
        nested: by the names of their columns, their random intercepts, the number of
        their parameters or their likelihoods.  Models may be not nested and pass.

    Examples
    --------
    Do reactions depend on the day, and subjects on nothing but chance?

    >>> from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inference import likelihood_ratio_test
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> model = RandomInterceptRegressor(method="ml")
    >>> larger = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
    >>> smaller = RandomInterceptRegressor(method="ml").fit(X[[]], y, groups=groups)
    >>> print(likelihood_ratio_test(smaller, larger))
    likelihood ratio 116.5 on 1 degree of freedom: p = 3.8e-27
    >>> alone = HeteroscedasticGaussianRegressor(
    ...     method="ml", mean_groups=None, variance_features=[]
    ... ).fit(X, y)
    >>> print(likelihood_ratio_test(alone, larger))
    likelihood ratio 106.2 on 1 degree of freedom (a variance at 0): p = 3.3e-25
    """
    fits = _named_fit(smaller)[0], _named_fit(larger)[0]
    return compare_fits(*fits, assume_nested)


def contrast(
    estimator: EstimatorLike,
    L: Mapping[str, float] | Sequence[Mapping[str, float]] | MatrixLike,
    coverage: float = 0.95,
) -> Contrast:
    """Estimate and test linear combinations of the coefficients of the mean.

    Each combination has a t test with Satterthwaite's degrees of freedom, and all of
    them together an F test, as those of lmerTest's `contest` [1]_.

    Parameters
    ----------
    estimator : fitted estimator
        One of this package, or a Pipeline, a search, or another tool around one.
    L : dict, list of dicts, or array-like of shape (n_combinations, 1 + n_features)
        Combinations by names, such as ``{"x1": 1, "x2": -1}`` for the difference of two
        coefficients ("intercept" is that of the intercept, columns without names are
        x0, x1, ...), or rows of weights, the intercept's first.  One row may be
        one-dimensional.  The columns of a table are read by name.
    coverage : float, default=0.95
        Probability of the intervals.

    Returns
    -------
    contrast : Contrast
        `estimates`, a table with a row for each combination, and `f_statistic`, `df`
        and `p_value` of the F test.

    Raises
    ------
    TypeError
        If there is no model of this package in the estimator.
    ValueError
        If a name is unknown, a row of another length, a weight not finite, or a
        combination without variance; if the model has no degrees of freedom for its
        coefficients, because of a ridge penalty or fixed effects of groups.

    References
    ----------
    .. [1] A. Kuznetsova, P. B. Brockhoff, R. H. B. Christensen (2017), "lmerTest
       package: tests in linear mixed effects models", Journal of Statistical
       Software 82(13).

    Examples
    --------
    Do the machines differ, and B from C?

    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_machines
    >>> from skmixed.inference import contrast
    >>> X, y, groups = load_machines(return_X_y_groups=True, as_frame=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> contrast(model, {"Mach_C": 1, "Mach_B": -1})
                     coef     std       t  df        p     low    high
    Mach_C - Mach_B  5.95  1.0539  5.6458  46  9.8e-07  3.8286  8.0714
    F = 31.87 on 1 and 46 df, p = 9.8e-07
    >>> contrast(model, [{"Mach_B": 1}, {"Mach_C": 1}])
              coef     std       t  df        p     low    high
    Mach_B  7.9667  1.0539  7.5594  46  1.3e-09  5.8453  10.088
    Mach_C  13.917  1.0539  13.205  46  2.9e-17  11.795  16.038
    F = 87.8 on 2 and 46 df, p = 2.0e-16
    """
    check_coverage(coverage)
    fit, _ = _named_fit(estimator)
    names, rows = _combinations(L, ("intercept", *fit.names), fit.fit_intercept)
    labels = np.setdiff1d(np.arange(len(fit.names)), fit.features)
    for j in labels[rows[:, 1 + labels].any(axis=0)]:
        raise ValueError(
            f"L has a weight of {fit.names[j]!r}, a column of labels, which has no "
            "coefficient. Leave it out, or give it 0."
        )
    return contrast_of(fit, names, rows, coverage)


def _named_fit(estimator):
    """The fit inside an estimator, its columns named by the steps before it, and
    whether it is of a transformed y.
    """
    model, names, is_transformed = find_model(estimator)
    if not isinstance(model, LinearMean):
        raise TypeError(
            f"{type(model).__name__} is not a model of this package with a "
            "linear mean, nor a tool of scikit-learn around one."
            + (INSIDE if hasattr(model, "known_model_") else "")
        )
    fit = fit_of(model)
    is_named = hasattr(model, "feature_names_in_") or names is None
    if not is_named and len(names) == len(fit.names):
        fit = fit.renamed(tuple(map(str, names)))
    return fit, is_transformed


def _combinations(L, names, has_intercept):
    """Names (n,) and rows (n, 1 + p) of combinations of (intercept, coefficients)."""
    L = _by_names(L)
    if isinstance(L, Mapping):
        L = [L]
    of_names = [isinstance(row, Mapping) for row in L] if _is_list(L) else []
    if any(of_names) and not all(of_names):
        raise ValueError(
            "L has dicts of names to weights beside rows of weights. Give all "
            "combinations in one of the two ways."
        )
    if any(of_names):
        rows = np.array([_row_of(weights, names, has_intercept) for weights in L])
    else:
        rows = np.atleast_2d(_as_array(L))
    is_text = rows.dtype.kind in "US"
    if is_text or rows.ndim != 2 or not len(rows) or rows.shape[1] != len(names):
        found = "holds text" if is_text else f"has shape {rows.shape}"
        raise ValueError(
            f"L {found}; it needs rows of {len(names)} weights, of "
            f"{', '.join(names)}, or a dict of names to weights: {{{names[-1]!r}: 1}}."
        )
    rows = rows.astype(float)
    if not np.isfinite(rows).all():
        raise ValueError("L has weights that are not finite.")
    if not has_intercept and rows[:, 0].any():
        raise ValueError("L has a weight of the intercept, which the model has not.")
    return [_name_of(row, names) for row in rows], rows


def _is_list(L):
    return isinstance(L, (list, tuple))


def _as_array(L):
    """Rows of weights; lists of several lengths are told."""
    lengths = {np.size(row) for row in L} if _is_list(L) else {0}
    if len(lengths) > 1:
        raise ValueError(
            f"L has rows of {min(lengths)} to {max(lengths)} weights. Give each "
            "combination a weight of every coefficient, 0 of those it leaves out."
        )
    return np.asarray(L)


def _by_names(L):
    """Dicts in the place of a table or of Series whose names are text."""
    if _is_list(L):
        return [_by_names(row) for row in L]
    for method in ("to_dicts", "to_pylist"):  # of polars and of pyarrow
        if hasattr(L, method):
            return getattr(L, method)()
    names = getattr(L, "columns", getattr(L, "index", ()))
    if not hasattr(L, "to_dict") or not all(isinstance(name, str) for name in names):
        return L
    if len(set(names)) < len(names):
        raise ValueError(f"L names a coefficient twice: {', '.join(names)}.")
    return L.to_dict("records") if hasattr(L, "columns") else L.to_dict()


def _row_of(weights, names, has_intercept):
    row = np.zeros(len(names))
    for name, weight in weights.items():
        if has_intercept and names.count(name) > 1:
            raise ValueError(
                f"L names {name!r}, which is the intercept and a column of X. Rename "
                "the column, or give rows of weights."
            )
        if name not in names:
            raise ValueError(
                f"L names {name!r}, which is no coefficient; they are "
                f"{', '.join(names)}."
            )
        column = names[1:].index(name) + 1 if name in names[1:] else 0
        row[column] = weight
    return row


def _name_of(row, names):
    """Such as "Mach_C - Mach_B"."""
    text = ""
    positive_first = sorted(zip(row, names, strict=True), key=lambda pair: pair[0] < 0)
    for weight, name in positive_first:
        if weight:
            sign = "-" if weight < 0 else "+"
            size = "" if abs(weight) == 1 else f"{abs(weight):.4g} "
            text += f" {sign} {size}{name}"
    return text.removeprefix(" + ").removeprefix(" ") or "0"
