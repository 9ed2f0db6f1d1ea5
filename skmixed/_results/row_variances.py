"""The fit of a heteroscedastic model, from the optimum of its likelihood."""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.posterior import condition, of_groups, widen
from .._likelihood.row_variances import average_noise
from .._search.starts import MANY_ROWS
from .fit import Fit, variance_of
from .fixed_groups import fixed_posterior, penalised_posterior
from .inference import slope_in_group_variance
from .log_variance import LogVariance, log_variance
from .log_variance import widen as widen_variance
from .summary import sizes_of


@dataclass(frozen=True, eq=False, kw_only=True)
class HeteroscedasticFit(Fit):
    """A fitted heteroscedastic model.

    Attributes
    ----------
    fit_variance_intercept : bool
    variance_alpha : float
        Ridge penalty of the log-variance.
    log_variance : LogVariance
        As a function of the features.
    coefficient_slope : ndarray of shape (k, k)
        C of docs/math.md, 9.4: the change of the coefficients' covariance with psi.
    effects, effects_std : ndarray of shape (n_groups,)
        Fixed effects of groups on the mean and their standard errors; 0 without.
    variance_effects : ndarray of shape (n_groups,)
        Those on the log-variance.
    psi_std : float
        Standard error of the group variance; NaN where there is none.
    """

    fit_variance_intercept: bool
    variance_alpha: float
    log_variance: LogVariance
    coefficient_slope: np.ndarray
    effects: np.ndarray
    effects_std: np.ndarray
    variance_effects: np.ndarray
    psi_std: float

    @property
    def variance_coefficients(self):
        """(intercept, coefficients) of the log-variance, as `Fit.coefficients`."""
        fitted = self.log_variance
        level = fitted.intercept if self.fit_variance_intercept else 0.0
        return self._wide(level, fitted.coef)

    @property
    def variance_covariance(self):
        """Covariance of `variance_coefficients`."""
        wide = np.append(0, 1 + self.features)
        covariance = np.zeros((1 + len(self.names),) * 2)
        covariance[np.ix_(wide, wide)] = self.log_variance.covariance
        return covariance

    def noise_variance_of(self, X, codes):
        """See `Fit`."""
        return self.log_variance.variance(X, codes)

    def freedom_of(self, X, codes):
        """See `Fit`."""
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

    def observed(self, X, y, codes, labels, known):
        """See `Fit`; a group that is new has no fixed effects."""
        new = super().observed(X, y, codes, labels, known)
        wide = {}
        for name in ("effects", "effects_std", "variance_effects"):
            wide[name] = np.zeros(len(labels))
            wide[name][known] = getattr(self, name)
        fitted = self.log_variance
        if len(fitted.effects):
            fitted = replace(fitted, effects=wide["variance_effects"])
        return replace(new, log_variance=fitted, **wide)

    def attributes(self):
        """See `Fit`."""
        coefficients = self.variance_coefficients
        return super().attributes() | {
            "variance_coef_": coefficients[1:],
            "variance_intercept_": float(coefficients[0]),
            "variance_coef_covariance_": self.variance_covariance,
            "group_effects_": self.effects,
            "group_effects_std_": self.effects_std,
            "variance_group_effects_": self.variance_effects,
        }


def fit_optimum(problem, optimum, statistics, names, uses_groups):
    """The fit at an optimum of the likelihood.

    Parameters
    ----------
    problem : Problem
    optimum : Optimum
    statistics : Statistics
    names : tuple of str
        Names of the columns of the user's X.
    uses_groups : bool
        See `Fit`.
    """
    structure, point, labels = problem.structure, optimum.point, statistics.labels
    mean = _mean(problem, point, statistics)
    n_groups = len(mean["effects"])
    fitted = _log_variance(problem, optimum, statistics)
    effects = fitted.effects if len(fitted.effects) else np.zeros(n_groups)
    k = mean["posterior"].loading / (mean["posterior"].group_variance or np.inf)
    return HeteroscedasticFit(
        names=names,
        features=statistics.features,
        method="reml" if structure.reml else "ml",
        fit_intercept=structure.fit_intercept,
        alpha=structure.alpha,
        fit_variance_intercept=structure.fit_variance_intercept,
        variance_alpha=structure.variance_alpha,
        uses_groups=uses_groups,
        labels=np.empty(0) if labels is None else labels,
        is_random=structure.random,
        is_identified=problem.model.random,
        at_boundary=bool(problem.model.random and point.theta[-1] == 0),
        log_likelihood=float(point.log_likelihood + point.left_out),
        n_iter=optimum.n_iter,
        converged=bool(optimum.converged),
        log_variance=fitted,
        coefficient_slope=k.T @ k,
        variance_effects=effects,
        psi_std=float(np.sqrt(fitted.psi_covariance[-1] or np.nan)),
        **mean,
        **_figures(problem, optimum, mean),
    )


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


def _log_variance(problem, optimum, statistics):
    """The log-variance as a function of all features."""
    # With many rows the information hardly changes in a last, tiny step.
    many = statistics.n_rows > MANY_ROWS and optimum.converged
    information = optimum.curvature if many else None
    fitted = log_variance(problem, optimum.point, information)
    return widen_variance(fitted, problem.structure.variance, len(statistics.features))


def _figures(problem, optimum, mean):
    """Fields of the fit that say what the variance of y is made of, and of whom."""
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
    typical = np.exp(model.level(optimum.point.theta))
    between = 0.0
    if structure.fixed:
        between = _spread(mean["effects"], rows.size)
    return {
        "n_rows": rows.n,
        "n_groups": rows.n_groups if grouped else 0,
        "group_sizes": sizes_of(rows.size) if grouped else (),
        "n_parameters": problem.rank + n_variances + structure.random,
        "explained": variance_of(explained, rows.n),
        "between": variance + between,
        "noise": average_noise(model, optimum.point),
        "gain": gain,
        "intraclass_correlation": float(variance / (variance + typical)),
    }


def _spread(effects, size):
    """Variance of effects of groups, each as often as the group has rows."""
    deviation = effects - size @ effects / size.sum()
    return float(size @ deviation**2 / size.sum())
