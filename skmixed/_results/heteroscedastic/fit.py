"""The fit of a heteroscedastic model, from the optimum of its likelihood."""

from dataclasses import dataclass, field, replace

import numpy as np

from ..._likelihood.heteroscedastic.criterion import typical_noise
from ..._likelihood.heteroscedastic.residuals import groups_at
from ..._likelihood.posterior import condition, of_groups, widen
from ..fit import GroupedFit, response_of, sizes_of, variance_of, wide_mask
from ..inference import (
    CoefficientUncertainty,
    row_variance_uncertainty,
    slope_in_group_variance,
)
from ..log_variance import (
    LogVariance,
    information_at,
    log_variance,
)
from ..log_variance import widen as widen_variance
from .fixed_groups import fixed_posterior, penalised_posterior
from .integrated import (
    Likelihood,
    integrate_heteroscedastic,
    likelihood_kept,
    why_not_integrated,
)


@dataclass(frozen=True, eq=False, kw_only=True)
class HeteroscedasticFit(GroupedFit):
    """A fitted heteroscedastic model.

    Attributes
    ----------
    group_sizes : tuple of float
    gain : float or None
        See `GroupedFit`.
    fit_variance_intercept : bool
    variance_alpha : float
        Ridge penalty of the log-variance.
    log_variance : LogVariance
        As a function of the features.
    coefficient_slope : ndarray of shape (k, k)
        C of docs/math.md, 9.4: the change of the coefficients' covariance with psi.
    uncertainty : CoefficientUncertainty or None
        See `coefficient_uncertainty`.
    effects, effects_std : ndarray of shape (n_groups,)
        Fixed effects of groups on the mean and their standard errors; 0 without.
    variance_estimable : ndarray of shape (1 + number of columns,)
        As `estimable`, of the log-variance.
    likelihood : Likelihood or None
        The rows of the fit, if they are few; not stored.
    """

    group_sizes: tuple
    gain: float | None
    fit_variance_intercept: bool
    variance_alpha: float
    log_variance: LogVariance
    coefficient_slope: np.ndarray
    uncertainty: CoefficientUncertainty | None
    effects: np.ndarray
    effects_std: np.ndarray
    variance_estimable: np.ndarray
    likelihood: Likelihood | None = field(default=None, metadata={"stored": False})

    @property
    def noise_differs_by_group(self):
        """See `Fit`."""
        return len(self.log_variance.effects) > 0

    @property
    def variance_names(self):
        """See `Fit`."""
        names = super().variance_names
        return names | {"effects of groups"} if self.noise_differs_by_group else names

    @property
    def variance_effects(self):
        """Fixed effects of groups on the log-variance, (n_groups,); 0 without."""
        effects = self.log_variance.effects
        return effects if len(effects) else np.zeros(len(self.labels))

    @property
    def psi_std(self):
        """Standard error of the group variance."""
        return np.sqrt(self.log_variance.joint[-1, -1])

    def coefficient_uncertainty(self):
        """See `Fit`; of models without fixed effects of groups."""
        return self.uncertainty

    def noise_variance_of(self, X, codes):
        """See `Fit`."""
        return self.log_variance.variance(X, codes)

    def freedom_of(self, X, codes):
        """See `Fit`."""
        self.refuse_penalty()
        posterior, noise = self.posterior, self.log_variance.variance(X, codes)
        h = posterior.coefficient_rows(X, codes)
        intercept_variance = posterior.intercept_variance(codes)
        slope = slope_in_group_variance(
            self.group_variance,
            h,
            intercept_variance,
            of_groups(posterior.loading, codes, 0.0),
            self.coefficient_slope,
        )
        variance = noise + intercept_variance + np.sum(h**2, axis=1)
        doubt = self.log_variance.doubt(X, noise, slope)
        with np.errstate(divide="ignore"):
            return 2 * variance**2 / doubt

    @property
    def why_not_integrated(self):
        """See `Fit`."""
        return why_not_integrated(self)

    def _integrate(self):
        return integrate_heteroscedastic(self)

    def observed(self, X, y, codes, labels, known):
        """See `Fit`; a group that is new has no fixed effects."""
        new = super().observed(X, y, codes, labels, known)
        wide = {}
        for name in ("effects", "effects_std", "variance_effects"):
            wide[name] = np.zeros(len(labels))
            wide[name][known] = getattr(self, name)
        of_variance, fitted = wide.pop("variance_effects"), self.log_variance
        if len(fitted.effects):
            fitted = replace(fitted, effects=of_variance)
        return replace(new, log_variance=fitted, **wide)

    def attributes(self):
        """See `Fit`."""
        return super().attributes() | {
            "group_effects_": self.effects,
            "group_effects_std_": self.effects_std,
            "variance_group_effects_": self.variance_effects,
        }


def fit_optimum(problem, optimum, statistics, names, uses_groups, exact):
    """The fit at an optimum of the likelihood.

    Parameters
    ----------
    problem : Problem
    optimum : HeteroscedasticOptimum
    statistics : Statistics
    names : tuple of str
        Names of the columns of the user's X.
    uses_groups : bool
        See `Fit`.
    exact : bool
        As of `best_optimum`.
    """
    structure, point, labels = problem.structure, optimum.point, statistics.labels
    mean = _mean(problem, point, statistics)
    information = information_at(problem, point, optimum.information)
    fitted = log_variance(problem, point, information)
    n_features, offset = len(statistics.features), structure.offset
    fitted = widen_variance(fitted, structure.variance, n_features, offset)
    fit = HeteroscedasticFit(
        names=names,
        features=statistics.features,
        method="reml" if structure.reml else "ml",
        fit_intercept=structure.fit_intercept,
        alpha=structure.alpha,
        fit_variance_intercept=structure.fit_variance_intercept,
        variance_alpha=structure.variance_alpha,
        uses_groups=uses_groups,
        labels=np.empty(0) if labels is None else labels,
        **_estimable(problem, statistics.features, len(names)),
        is_random=structure.random,
        is_identified=problem.model.random,
        at_boundary=bool(problem.model.random and point.theta[-1] == 0),
        log_likelihood=float(point.log_likelihood + point.left_out),
        n_iter=optimum.n_iter,
        converged=bool(optimum.converged),
        log_variance=fitted,
        coefficient_slope=_slope_in_psi(problem, point, mean["posterior"]),
        uncertainty=None,
        likelihood=likelihood_kept(problem, optimum),
        **mean,
        **_figures(problem, optimum, mean),
    )
    if structure.fixed or structure.effects or fit.alpha or fit.variance_alpha:
        return fit
    root, with_noise = fit.coefficients_root, not optimum.many_rows
    if exact:
        return replace(fit, uncertainty=CoefficientUncertainty.untold(root))
    how = problem.model, point, root, information.solve(np.eye(information.size))
    uncertainty = row_variance_uncertainty(*how, with_noise=with_noise)
    return replace(fit, uncertainty=uncertainty)


def _slope_in_psi(problem, point, posterior):
    """Derivative of the covariance of the coefficients in psi, (k, k)."""
    if not problem.model.random:
        return np.zeros((len(posterior.level_root),) * 2)
    k = groups_at(problem.model, point).k
    return k.T @ k


def _estimable(problem, features, n_columns):
    """Fields of the fit about columns that others determine."""
    structure = problem.structure
    mean, variance = problem.mean_columns, problem.variance_columns
    return {
        "estimable": wide_mask(mean.estimable, features[structure.mean], n_columns),
        "variance_estimable": wide_mask(
            variance.estimable, features[structure.variance], n_columns
        ),
    }


def _mean(problem, point, statistics):
    """Fields of the fit about the mean."""
    structure, columns = problem.structure, problem.mean_columns
    n_groups = 0 if statistics.labels is None else len(statistics.labels)
    effects, effects_std = np.zeros(n_groups), np.zeros(n_groups)
    if not structure.fixed:
        posterior = condition(columns, point.factor, 1.0, n_groups)
    elif structure.alpha:
        posterior, effects_std = penalised_posterior(
            columns, point.factor, n_groups, structure.fit_intercept
        )
    else:
        posterior, effects_std = fixed_posterior(
            columns, point.factor, problem.mean_moments, structure.fit_intercept
        )
    posterior = widen(posterior, structure.mean, len(statistics.features))
    if structure.fixed:
        effects = posterior.modes
    return {"posterior": posterior, "effects": effects, "effects_std": effects_std}


def _figures(problem, optimum, mean):
    """Fields of the fit with the parts of the variance of y, and the groups."""
    structure, model = problem.structure, problem.model
    rows, variance = model.rows, mean["posterior"].group_variance
    coef = mean["posterior"].coef[structure.mean]
    explained = problem.mean_moments.total[:, :-1] @ coef
    gain = None
    if optimum.without is not None and not (
        structure.alpha or structure.variance_alpha
    ):
        gain = optimum.without - optimum.point.value
    n_variances = problem.variance_columns.rank + len(model.free)
    grouped = structure.random or structure.fixed or structure.effects
    typical = typical_noise(model, optimum.point)
    between = 0.0
    if structure.fixed:
        between = _spread(mean["effects"], rows.size)
    return {
        "n_rows": rows.n,
        "response": response_of(problem.mean_moments),
        "n_groups": rows.n_groups if grouped else 0,
        "group_sizes": sizes_of(rows.size) if grouped else (),
        "n_parameters": problem.rank + n_variances + structure.random,
        "explained": variance_of(explained, rows.n),
        "between": variance + between,
        "noise": typical,
        "gain": gain,
    }


def _spread(effects, size):
    """Variance of effects of groups, each as often as the group has rows."""
    deviation = effects - size @ effects / size.sum()
    return float(size @ deviation**2 / size.sum())
