"""The summary of a model with one column of labels, from its frozen fit."""

from dataclasses import replace

import numpy as np
from scipy import stats

from .._input.messages import count
from .heteroscedastic.fit import HeteroscedasticFit
from .hypotheses import ratio_test
from .profile import component_intervals
from .summary import (
    Summary,
    Table,
    coefficient_table,
    figures_of,
)

MOST_NAMES = 20  # of columns in a note
METHODS = {"reml": "restricted maximum likelihood", "ml": "maximum likelihood"}
NOT_IDENTIFIED = "The data do not tell the group variance, which is set to 0."
# Below this many groups the uncertainty of the variances matters for intervals.
FEW_GROUPS = 20
FEW = 'With fewer than 20 groups, distribution="integrated" is recommended.'
AT_BOUNDARY = (
    "The group variance is 0, the end of its range: groups differ no more than the "
    "noise explains, and predictions are those of a model without groups."
)


def summarize_fit(fit, coverage, distribution="t"):
    """The summary of a fit, with intervals of this coverage."""
    title, components, notes = "Random-intercept model", _components, _notes
    if isinstance(fit, HeteroscedasticFit):
        title = "Heteroscedastic Gaussian regression"
        components, notes = _heteroscedastic_components, _heteroscedastic_notes
    gain = fit.gain
    summary = Summary(
        title=f"{title} fitted by {METHODS[fit.method]}",
        **figures_of(fit),
        n_groups=fit.n_groups,
        group_sizes=fit.group_sizes,
        intraclass_correlation=fit.intraclass_correlation,
        coefficients=coefficients_of(fit, coverage, fit.coefficient_uncertainty()),
        log_variance=log_variance_table(fit, coverage),
        variance_components=components(fit, coverage),
        group_test=None if gain is None else ratio_test(gain),
        notes=(
            *notes(fit, coverage),
            *notes_on_columns(fit),
            *_notes_on_groups(fit),
        ),
    )
    return _integrated(summary, fit, coverage) if distribution != "t" else summary


def _integrated(summary, fit, coverage):
    """The same summary, with intervals of the integrated distribution."""
    over = fit.integrated.over
    ratios = fit.integrated.each(lambda known, key: known.group_variance)
    multiples = {"groups": np.array(ratios)}
    names, noise = summary.variance_components.names, np.ones(len(over.keys))
    of_components = np.sqrt(
        [over.variance_interval(multiples.get(n, noise), coverage) for n in names]
    )
    notes = (
        *notes_on_columns(fit),
        *(note for note in _notes_on_groups(fit) if note != FEW),
    )
    return with_integrated(summary, fit, coverage, of_components, notes)


def with_integrated(summary, fit, coverage, of_components, notes):
    """The summary with intervals of the integrated distribution, of coefficients and of
    variance components, and these notes beside the kind of the intervals.
    """
    kind = f"Intervals: {coverage:.4g}, of the distribution integrated over variances"
    if summary.log_variance is not None:
        kind += "; normal for the log-variance"
    of_coefficients = coefficient_targets(fit).interval(coverage)[fit.entries]
    of_coefficients[~fit.estimable[fit.entries]] = np.nan
    return replace(
        summary,
        coefficients=_with_ends(summary.coefficients, of_coefficients),
        variance_components=_with_ends(summary.variance_components, of_components),
        notes=(f"{kind}.", *notes),
    )


def _with_ends(table, ends):
    """The table with other intervals, (n_rows, 2)."""
    columns = table.columns | {"low": ends[:, 0], "high": ends[:, 1]}
    return replace(table, columns=columns)


def coefficient_targets(fit):
    """(intercept, coefficients) as targets of the integrated distribution."""

    def read(posterior, key):
        known = replace(fit, posterior=posterior)
        return known.coefficients, known.coefficients_std**2

    return fit.integrated.targets(read)


def coefficients_of(fit, coverage, uncertainty):
    """The table of (intercept, coefficients), by their `CoefficientUncertainty`."""
    names, some = np.array(["intercept", *fit.names], dtype=object), fit.entries
    coef, std = fit.coefficients[some], fit.coefficients_std[some]
    df = None
    if uncertainty is not None:
        df = uncertainty.freedom(np.eye(len(names))[some])
    std = np.where(fit.estimable[some], std, np.nan)
    return coefficient_table(names[some], coef, std, coverage, df)


def notes_on_columns(fit):
    """Columns that others determine, of the mean and of the log-variance."""
    masks = {"": fit.estimable, " of the log-variance": fit.variance_estimable}
    for of_what, mask in masks.items():
        if mask is None:
            continue
        names = [n for n, told in zip(fit.names, mask[1:], strict=True) if not told]
        if names:
            more = ", ..." if len(names) > MOST_NAMES else ""
            verb = "is" if len(names) == 1 else "are"
            yield (
                f"{len(names)} of {count(len(fit.features), 'column')}{of_what} {verb} "
                f"determined by others: {', '.join(names[:MOST_NAMES])}{more}. Such "
                "coefficients are those of minimal norm, and have no standard errors."
            )


def _notes_on_groups(fit):
    """Notes on a group variance that is 0 or not told, and on few groups."""
    notes = []
    if fit.at_boundary:
        notes.append(AT_BOUNDARY)
    elif fit.has_random_intercepts and not fit.is_identified:
        notes.append(NOT_IDENTIFIED)
    if fit.offers_integrated and 1 < fit.n_groups < FEW_GROUPS:
        notes.append(FEW)
    return notes


# -------------------------------------------------------------- one noise variance


def _components(fit, coverage):
    """The table of variance components."""
    names = ("groups", "noise") if len(fit.labels) else ("noise",)
    variances = [fit.group_variance, fit.noise][-len(names) :]
    figures = {"variance": np.array(variances), "std": np.sqrt(variances)}
    if not fit.alpha:
        found = component_intervals(fit, coverage)
        ends = [found["group_std"], found["noise_std"]][-len(names) :]
        figures |= {"low": np.array(ends)[:, 0], "high": np.array(ends)[:, 1]}
    return Table(names, figures)


def _notes(fit, coverage):
    """The kind of the intervals."""
    if fit.alpha:
        yield f"Intervals: {coverage:.4g}, normal. Ridge penalty {fit.alpha:g}."
    else:
        yield (
            f"Intervals: {coverage:.4g}; Student's t with Satterthwaite's degrees of "
            "freedom, profile likelihood of the standard deviations."
        )


# -------------------------------------------------------------- a variance for each row


def log_variance_table(fit, coverage):
    """The table of the log-variance: of its intercept and the columns that enter; None
    where the noise is constant.
    """
    if fit.log_variance is None:
        return None
    names = np.array(["intercept", *fit.names], dtype=object)
    coef = fit.variance_coefficients
    std = np.sqrt(np.diag(fit.variance_covariance).clip(0))
    enters = (coef != 0) | (std > 0)
    enters[0] = fit.fit_variance_intercept
    std = np.where(fit.variance_estimable, std, np.nan)
    return coefficient_table(names[enters], coef[enters], std[enters], coverage)


def _heteroscedastic_components(fit, coverage):
    """The group variance, with an interval that is symmetric in its logarithm, and the
    geometric mean of the noise variances.
    """
    names, nan = ["noise (geometric mean)"], np.nan
    variances, ends = [fit.noise], [(nan, nan)]
    if fit.has_random_intercepts:
        variance = fit.group_variance
        names, variances = ["groups", *names], [variance, *variances]
        spread = nan
        if variance > 0:
            spread = stats.norm.isf(0.5 - coverage / 2) * fit.psi_std / variance
        with np.errstate(over="ignore"):
            factors = np.exp(np.array([-0.5, 0.5]) * spread)
        ends = [np.sqrt(variance) * factors, *ends]
    low, high = np.array(ends, dtype=float).T
    figures = {"variance": np.array(variances), "std": np.sqrt(variances)}
    return Table(tuple(names), figures | {"low": low, "high": high})


def _heteroscedastic_notes(fit, coverage):
    """The kind of the intervals, and the penalties."""
    text = f"Intervals: {coverage:.4g}, normal"
    if fit.coefficient_uncertainty() is not None:
        text = f"Intervals: {coverage:.4g}; Student's t with Satterthwaite's degrees "
        text += "of freedom for the mean, normal for the log-variance"
    if fit.has_random_intercepts:
        text += "; of the groups' standard deviation, normal for its logarithm, which "
        text += "cannot reach 0 (the likelihood ratio can)"
    yield text + "."
    if fit.coefficient_uncertainty() is None:
        yield (
            "z takes the variances as known: it is too sure of coefficients that few "
            "rows or groups tell."
        )
    if fit.alpha or fit.variance_alpha:
        yield (
            f"Ridge penalties: {fit.alpha:g} (mean), "
            f"{fit.variance_alpha:g} (log-variance)."
        )
