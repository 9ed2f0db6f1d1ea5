"""The summaries of both estimators, from what their fits have kept."""

from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from .._likelihood.one_variance import deviance, evaluate
from .._search.ratio import best_ratio
from .inference import Profile, satterthwaite
from .summary import (
    Summary,
    Table,
    coefficient_table,
    criteria,
    group_variance_test,
    shares_of_variance,
    sizes_of,
)

METHODS = {"reml": "restricted maximum likelihood", "ml": "maximum likelihood"}
NOT_IDENTIFIED = "The data do not tell the group variance, which is set to 0."
AT_BOUNDARY = (
    "The group variance is 0, the end of its range: groups differ no more than the "
    "noise explains, and predictions are those of a model without groups."
)


def _contrasts(estimator, columns):
    """(intercept, coefficients of all columns of X), as `Columns.to_user` has them."""
    J, offset = columns.to_user(estimator._fitted_parameters["fit_intercept"])
    places = np.append(0, 1 + estimator._statistics.features)
    wide = np.zeros((1 + estimator.n_features_in_, J.shape[1]))
    wide[places] = J
    return wide, np.bincount(places, offset, len(wide))


def component_intervals(estimator, coverage):
    """Profile-likelihood intervals of standard deviations and their correlation."""
    _, model = estimator._state()
    names = ("group_std", "noise_std", "intraclass_correlation")
    if estimator.noise_variance_ <= model.floor:
        return {name: np.full(2, np.nan) for name in names}
    is_free = estimator._is_identified and len(estimator.groups_) > 0
    profile = Profile(model, estimator._ratio, is_free=is_free)
    noise, group, ratio = profile.noise_interval(coverage), *np.full((2, 2), np.nan)
    if is_free:
        group, ratio = profile.group_intervals(coverage)
    with np.errstate(invalid="ignore"):
        correlation = np.where(ratio == np.inf, 1.0, ratio / (1 + ratio))
    figures = np.sqrt(group), np.sqrt(noise), correlation
    return dict(zip(names, figures, strict=True))


def coefficient_intervals(estimator, coverage):
    """Those of (intercept, coefficients) by maximum likelihood, (1 + p, 2)."""
    columns, model = estimator._state()
    contrasts, offset = _contrasts(estimator, columns)
    if estimator.noise_variance_ <= model.floor:
        return np.full((len(contrasts), 2), np.nan)
    model = replace(model, reml=False)
    is_free = estimator._is_identified and len(estimator.groups_) > 0
    ratio = best_ratio(model).ratio if is_free else 0.0
    profile = Profile(model, ratio, contrasts, is_free)
    return np.array(
        [
            profile.coefficient_interval(number, coverage) + offset[number]
            for number in range(len(contrasts))
        ]
    )


def random_intercept_summary(estimator, coverage):
    """The summary of a fitted `RandomInterceptRegressor`."""
    read, (columns, model) = estimator._statistics, estimator._state()
    fitted, sizes = estimator._fitted_parameters, read.moments.size
    grouped, p = read.labels is not None, len(read.features)
    explained = read.moments.total[:, :p] @ estimator.coef_[read.features]
    noise = estimator.noise_variance_
    shares = shares_of_variance(
        _variance(explained, model.n), estimator.group_variance_, noise
    )
    n_parameters = columns.rank + 1 + grouped
    aic, bic = criteria(estimator.log_likelihood_, n_parameters, model.n)
    test = None
    if grouped and estimator._is_identified and not fitted["alpha"]:
        without = -0.5 * deviance(model, evaluate(model, 0.0))
        test = group_variance_test(estimator.log_likelihood_ - without)
    return Summary(
        title=f"Random-intercept model fitted by {METHODS[fitted['method']]}",
        n_rows=model.n,
        n_groups=len(sizes) if grouped else 0,
        group_sizes=sizes_of(sizes) if grouped else (),
        log_likelihood=estimator.log_likelihood_,
        n_parameters=n_parameters,
        aic=aic,
        bic=bic,
        intraclass_correlation=estimator.intraclass_correlation_,
        r2_marginal=shares[0],
        r2_conditional=shares[1],
        coefficients=_coefficients(estimator, columns, model, coverage),
        log_variance=None,
        variance_components=_components(estimator, coverage),
        group_test=test,
        notes=tuple(_notes(estimator, coverage)),
    )


def _coefficients(estimator, columns, model, coverage):
    """The table of (intercept, coefficients)."""
    fitted = estimator._fitted_parameters
    some = np.append(0, 1 + estimator._statistics.features)
    some = some[int(not fitted["fit_intercept"]) :]
    coef = np.append(estimator.intercept_, estimator.coef_)[some]
    std = np.append(estimator.intercept_std_, estimator.coef_std_)[some]
    df = None
    if not fitted["alpha"]:
        contrasts, _ = _contrasts(estimator, columns)
        df = satterthwaite(model, estimator._ratio, contrasts[some])
    names = np.array(["intercept", *estimator._column_names()], dtype=object)
    return coefficient_table(names[some], coef, std, coverage, df)


def _components(estimator, coverage):
    """The table of variance components."""
    names = ("groups", "noise") if len(estimator.groups_) else ("noise",)
    variances = [estimator.group_variance_, estimator.noise_variance_][-len(names) :]
    figures = {"variance": np.array(variances), "std": np.sqrt(variances)}
    if not estimator._fitted_parameters["alpha"]:
        found = component_intervals(estimator, coverage)
        ends = [found["group_std"], found["noise_std"]][-len(names) :]
        figures |= {"low": np.array(ends)[:, 0], "high": np.array(ends)[:, 1]}
    return Table(names, figures)


def _notes(estimator, coverage):
    """What the intervals are, and what is out of the ordinary."""
    alpha = estimator._fitted_parameters["alpha"]
    if alpha:
        yield f"Intervals: {coverage:.4g}, normal. Ridge penalty {alpha:g}."
    else:
        yield (
            f"Intervals: {coverage:.4g}; Student's t with Satterthwaite's degrees of "
            "freedom, profile likelihood of the standard deviations."
        )
    if estimator.at_boundary_:
        yield AT_BOUNDARY
    elif len(estimator.groups_) and not estimator._is_identified:
        yield NOT_IDENTIFIED


# ------------------------------------------------------------- a variance for each row


@dataclass(frozen=True)
class Facts:
    """What a summary needs to know of a heteroscedastic fit beside its attributes.

    Attributes
    ----------
    n_rows : float
        Sum of the weights.
    n_groups : int
    group_sizes : tuple of float
        As in `Summary`.
    n_parameters : int
    is_random, is_identified : bool
        Whether there are random intercepts, and whether the data tell their variance.
    explained, between : float
        Variances of the features' part of the mean, and of groups.
    noise : float
        Average noise variance.
    psi_std : float
        Standard error of the group variance.
    gain : float or None
        In log-likelihood, by the group variance.
    """

    n_rows: float
    n_groups: int
    group_sizes: tuple
    n_parameters: int
    is_random: bool
    is_identified: bool
    explained: float
    between: float
    noise: float
    psi_std: float
    gain: float | None


def heteroscedastic_facts(problem, optimum, coef, between, noise, psi_std):
    """`Facts` of a fit with these coefficients, of the columns of the mean."""
    structure, rows = problem.structure, problem.model.rows
    explained = problem.mean_moments.total[:, :-1] @ coef
    gain = None
    if optimum.without is not None and not (
        structure.alpha or structure.variance_alpha
    ):
        gain = optimum.without - optimum.point.value
    variances = problem.variance_columns.rank + len(problem.model.free)
    grouped = structure.random or structure.fixed or structure.effects
    return Facts(
        n_rows=rows.n,
        n_groups=rows.n_groups if grouped else 0,
        group_sizes=sizes_of(rows.size) if grouped else (),
        is_random=structure.random,
        is_identified=problem.model.random,
        n_parameters=problem.rank + variances + structure.random,
        explained=_variance(explained, rows.n),
        between=between,
        noise=noise,
        psi_std=psi_std,
        gain=gain,
    )


def heteroscedastic_summary(estimator, coverage):
    """The summary of a fitted `HeteroscedasticGaussianRegressor`."""
    facts, fitted = estimator._facts, estimator._fitted_parameters
    aic, bic = criteria(estimator.log_likelihood_, facts.n_parameters, facts.n_rows)
    shares = shares_of_variance(facts.explained, facts.between, facts.noise)
    some = np.append(0, 1 + estimator._features)[int(not fitted["fit_intercept"]) :]
    names = np.array(["intercept", *estimator._column_names()], dtype=object)
    coef = np.append(estimator.intercept_, estimator.coef_)
    std = np.append(estimator.intercept_std_, estimator.coef_std_)
    return Summary(
        title="Heteroscedastic Gaussian regression fitted by "
        f"{METHODS[fitted['method']]}",
        n_rows=facts.n_rows,
        n_groups=facts.n_groups,
        group_sizes=facts.group_sizes,
        log_likelihood=estimator.log_likelihood_,
        n_parameters=facts.n_parameters,
        aic=aic,
        bic=bic,
        intraclass_correlation=estimator.intraclass_correlation_,
        r2_marginal=shares[0],
        r2_conditional=shares[1],
        coefficients=coefficient_table(names[some], coef[some], std[some], coverage),
        log_variance=_log_variance_table(estimator, names, coverage),
        variance_components=_heteroscedastic_components(estimator, coverage),
        group_test=None if facts.gain is None else group_variance_test(facts.gain),
        notes=tuple(_heteroscedastic_notes(estimator, coverage)),
    )


def _log_variance_table(estimator, names, coverage):
    """The table of the log-variance: of its intercept and the columns that enter."""
    coef = np.append(estimator.variance_intercept_, estimator.variance_coef_)
    std = np.sqrt(np.diag(estimator.variance_coef_covariance_).clip(0))
    enters = (coef != 0) | (std > 0)
    enters[0] = estimator._fitted_parameters["fit_variance_intercept"]
    return coefficient_table(names[enters], coef[enters], std[enters], coverage)


def _heteroscedastic_components(estimator, coverage):
    """The group variance, with an interval that is symmetric in its logarithm, and the
    average noise variance.
    """
    facts, names, nan = estimator._facts, ["average noise"], np.nan
    variances, ends = [facts.noise], [(nan, nan)]
    if facts.is_random:
        variance = estimator.group_variance_
        names, variances = ["groups", *names], [variance, *variances]
        spread = nan
        if variance > 0:
            spread = stats.norm.isf(0.5 - coverage / 2) * facts.psi_std / variance
        with np.errstate(over="ignore"):
            factors = np.exp(np.array([-0.5, 0.5]) * spread)
        ends = [np.sqrt(variance) * factors, *ends]
    low, high = np.array(ends, dtype=float).T
    figures = {"variance": np.array(variances), "std": np.sqrt(variances)}
    return Table(tuple(names), figures | {"low": low, "high": high})


def _heteroscedastic_notes(estimator, coverage):
    """What the intervals are, and what is out of the ordinary."""
    facts, fitted = estimator._facts, estimator._fitted_parameters
    text = f"Intervals: {coverage:.4g}, normal"
    if facts.is_random:
        text += "; of the groups' standard deviation, normal for its logarithm, which "
        text += "cannot reach 0 (the likelihood ratio can)"
    yield text + "."
    if fitted["alpha"] or fitted["variance_alpha"]:
        yield (
            f"Ridge penalties: {fitted['alpha']:g} (mean), "
            f"{fitted['variance_alpha']:g} (log-variance)."
        )
    if estimator.at_boundary_:
        yield AT_BOUNDARY
    elif facts.is_random and not facts.is_identified:
        yield NOT_IDENTIFIED


def _variance(root, n):
    """Variance over n rows of a figure whose scatter has this root."""
    with np.errstate(under="ignore"):  # a square that vanishes beside the others
        return float(root @ root / (n - 1 if n > 1 else n))
