"""The summary of a linear mixed model, and tables of its effects."""

import numpy as np

from .mixed_inference import component_intervals, noise_interval
from .one_factor_summary import (
    FEW,
    FEW_GROUPS,
    METHODS,
    coefficients_of,
    log_variance_table,
    notes_on_columns,
    with_integrated,
)
from .summary import MixedSummary, Table, figures_of


def summarize_mixed(fit, coverage, distribution="t"):
    """The summary of a fit, with intervals of this coverage."""
    parameters = None
    if not fit.alpha and not fit.is_exact:
        parameters = fit.variance_parameters()
    uncertainty = fit.coefficient_uncertainty(parameters)
    names = fit.names_of_factors
    summary = MixedSummary(
        title=f"Linear mixed model fitted by {METHODS[fit.method]}",
        **figures_of(fit),
        n_levels=dict(zip(names, fit.n_levels, strict=True)),
        level_sizes=dict(zip(names, fit.group_sizes, strict=True)),
        coefficients=coefficients_of(fit, coverage, uncertainty),
        log_variance=log_variance_table(fit, coverage),
        variance_components=_components(fit, parameters, coverage),
        notes=(*_notes(fit, coverage), *_recommended(fit), *fit.facts),
    )
    return _integrated(summary, fit, coverage) if distribution != "t" else summary


def _integrated(summary, fit, coverage):
    """The same summary, with intervals of the integrated distribution."""
    ends = []
    for t, factor in enumerate(fit.factors):
        of_effects, of_pairs = _component_ends(fit, t, factor.pairs, coverage)
        ends += [*of_effects, *of_pairs]
    over = fit.integrated.over
    ends.append(np.sqrt(over.variance_interval(np.ones(len(over.keys)), coverage)))
    notes = *list(_notes(fit, coverage))[1:], *fit.facts
    return with_integrated(summary, fit, coverage, np.array(ends), notes)


def _component_ends(fit, t, pairs, coverage):
    """Intervals of the standard deviations of the effects of a factor, and of the
    correlations of pairs.
    """
    over, Psi = fit.integrated.over, fit.integrated.covariances(fit.order.index(t))
    variance = np.diagonal(Psi, axis1=1, axis2=2)
    yield [np.sqrt(over.variance_interval(v, coverage)) for v in variance.T]
    with np.errstate(invalid="ignore", divide="ignore"):
        corr = Psi / np.sqrt(variance[:, :, None] * variance[:, None])
    yield [over.point_interval(corr[:, i, j], coverage) for i, j in pairs]


def _recommended(fit):
    """The recommendation of the integrated distribution, where levels are few."""
    few = [1 < n < FEW_GROUPS for n in fit.n_levels]
    return [FEW] if fit.offers_integrated and any(few) else []


def _components(fit, parameters, coverage):
    """The table of standard deviations, correlations and the noise."""
    names, rows = [], []
    for t, factor in enumerate(fit.factors):
        stds, corr = _of_factor(fit, parameters, t, coverage)
        for i, effect in enumerate(factor.effects):
            names.append(f"{effect} | {factor.name}")
            rows.append([stds[0][i], np.nan, stds[1][i], stds[2][i]])
        for i, j in factor.pairs:
            names.append(factor.correlation_name(i, j))
            rows.append([np.nan, *(figure[i, j] for figure in corr)])
    noise, ends = np.sqrt(fit.noise), [np.nan, np.nan]
    if parameters is not None and fit.noise_model is None:
        _, *ends = map(float, noise_interval(parameters, coverage))
    names.append("noise" if fit.noise_model is None else "noise (geometric mean)")
    rows.append([noise, np.nan, *ends])
    figures = np.array(rows).T
    columns = dict(zip(("std", "corr", "low", "high"), figures, strict=True))
    errors = fit.probe_errors()
    if errors is not None:
        columns["mc_error"] = np.array(_in_rows(fit, *errors))
    return Table(tuple(names), columns)


def _in_rows(fit, of_factors, of_noise):
    """Errors of standard deviations and correlations in the order of the table."""
    rows = []
    for factor, (std, corr) in zip(fit.factors, of_factors, strict=True):
        rows += [*std, *(corr[i, j] for i, j in factor.pairs)]
    return [*rows, of_noise]


def _of_factor(fit, parameters, t, coverage):
    """Standard deviations (3, q) and correlations (3, q, q), with their intervals."""
    if parameters is not None:
        return component_intervals(parameters, fit, t, coverage)
    std = np.sqrt(np.diag(fit.covariances[t]))
    with np.errstate(invalid="ignore", divide="ignore"):
        corr = fit.covariances[t] / np.outer(std, std)
    nan = np.full(corr.shape, np.nan)
    return (std, nan[0], nan[0]), (corr, nan, nan)


def _notes(fit, coverage):
    """The kind of the intervals, the penalties, and oddities of columns and factors."""
    if fit.alpha:
        yield f"Intervals: {coverage:.4g}, normal. Ridge penalty {fit.alpha:g}."
    else:
        yield (
            f"Intervals: {coverage:.4g}; Student's t with Satterthwaite's degrees of "
            "freedom; of standard deviations normal for the logarithm, of correlations "
            "for Fisher's z."
        )
    if fit.noise_model is not None:
        yield "Intervals of the log-variance are normal."
    if fit.variance_alpha:
        yield f"Ridge penalty of the log-variance {fit.variance_alpha:g}."
    yield from notes_on_columns(fit)
    if fit.sampled is not None:
        yield (
            "Solver: iterative. Traces are estimated by random probes; mc_error is the "
            "standard error that their choice adds. Standard deviations of predictions "
            f"come from draws, with an error of {fit.sampled.std_error:.1g} of them"
            f"{_effect_errors(fit)}. There is no log-likelihood."
        )
    yield from _notes_on_factors(fit)


def _notes_on_factors(fit):
    """Variances that the data do not tell, and covariances that are singular."""
    for t, (factor, rank) in enumerate(zip(fit.factors, fit.ranks, strict=True)):
        told, variance = fit.identified[t], np.diag(fit.covariances[t])
        for i in np.flatnonzero(~told):
            verb = "is one of many that fit as well" if variance[i] else "is set to 0"
            yield (
                f"The data do not tell the variance of {factor.effects[i]} | "
                f"{factor.name}, which {verb}."
            )
        if told.all() and not rank:
            yield (
                f"Every variance of {factor.name} is 0, the end of its range: levels "
                "differ no more than the noise explains."
            )
        elif told.all() and rank < len(told):
            yield (
                f"The covariance of {factor.name} is singular, of rank {rank} of "
                f"{len(told)}: the likelihood is highest at the end of the range of "
                "its variances and correlations."
            )


def _effect_errors(fit):
    """Errors of the standard deviations of the effects, by factors, as text."""
    pairs = zip(fit.factors, fit.sampled.effect_errors, strict=False)
    some = ", ".join(f"{e:.1g} ({factor.name})" for factor, e in pairs)
    return f", those of random effects of {some}" if some else ""


def effects_table(fit, t, total):
    """The effects of the levels of the t-th factor, with standard deviations.

    With `total` they include the coefficients of the same columns.
    """
    effects = fit.factors[t].effects
    values, std = fit.totals(t) if total else fit.effects(t)
    columns = {}
    for i, effect in enumerate(effects):
        columns[effect] = values[:, i]
        columns[f"std({effect})"] = std[:, i]
    labels = fit.known.labels_of(t)
    return Table(tuple(map(str, labels.tolist())), columns)
