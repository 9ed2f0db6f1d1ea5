"""The result of a fit: arrays and numbers, which everything after `fit` reads.

An estimator keeps one `Fit` and copies its public attributes from it.  Predictions,
reports and pictures read the fit, so that all of them are about the same state, and an
update puts another fit in its place.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._input.factors import INTERCEPT
from .._input.messages import count
from .._likelihood.normal import normal_interval
from .._likelihood.posterior import Coefficients, Posterior, make_room, observe

# Rows of the fit that are kept for an integral over the variances that reads them.
MOST_ROWS = 20_000
OTHER = "Use distribution='t' or 'normal'."
PENALISED = (
    "{}={}: the variances of a penalised fit have no distribution. Use "
    "distribution='normal', or fit with alpha=0."
)
UPDATED = (
    "distribution='integrated' is that of the rows of the fit, but the random effects "
    "were updated since. Fit with all rows, or use distribution='normal'."
)


def penalised_or_updated(fit):
    """Why no fit of any kind has an integrated distribution; None if it may have."""
    for name in ("alpha", "variance_alpha"):
        if value := getattr(fit, name):
            return PENALISED.format(name, value)
    return UPDATED if fit.is_updated else None


def no_freedom(n, rank):
    """Why rows, or weights that sum to n, have no integrated distribution beside so
    many coefficients: that of the noise has no integral.  None where it has one.
    """
    if n > rank:
        return None
    return (
        "distribution='integrated' has no answer without degrees of freedom left for "
        f"the noise: {count(n, 'row')}, the sum of their weights, and "
        f"{count(rank, 'coefficient')}. Use distribution='normal'."
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """The results that all estimators have.

    Attributes
    ----------
    names : tuple of str
        Names of the columns of the user's X in tables.
    features : ndarray of shape (p,)
        Positions of the features among those columns.
    method : {"reml", "ml"}
    fit_intercept : bool
    alpha : float
        Ridge penalty of the mean.
    posterior : Coefficients
        Of the features; a subclass says of which kind.
    estimable : ndarray of shape (1 + number of columns,)
        Whether the data determine the intercept and the coefficient of each column: not
        those of a column that others determine.
    at_boundary : bool
        Whether the criterion is best at the end of the range of a variance.
    n_rows : float
        Sum of the weights.
    n_parameters : int
        Coefficients and variance parameters.
    log_likelihood : float
    explained, between, noise : float
        Variances of the features' part of the mean, of the groups and of the noise:
        the weighted geometric mean where that depends on the row.
    n_iter : int
    converged : bool
    response : tuple of float
        Mean and sum of squares of y about it, which tell whether two fits are of the
        same rows; empty where they are not known.
    is_updated : bool
        Whether further rows of groups were observed since the fit.
    """

    names: tuple
    features: np.ndarray
    method: str
    fit_intercept: bool
    alpha: float
    posterior: Coefficients
    estimable: np.ndarray
    at_boundary: bool
    n_rows: float
    n_parameters: int
    log_likelihood: float
    explained: float
    between: float
    noise: float
    n_iter: int
    converged: bool
    response: tuple = ()
    is_updated: bool = False
    # A `LogVariance`, its ridge penalty, and a mask as `estimable`, where the noise is
    # modelled.
    log_variance, variance_alpha, variance_estimable = None, 0.0, None
    fit_variance_intercept = True

    @property
    def random_effects(self):
        """Random effects of the model: numbers of levels by (factor, effect)."""
        raise NotImplementedError

    @property
    def level_sizes(self):
        """Least, median and largest number of rows of a level, by factor as in
        `random_effects`.
        """
        raise NotImplementedError

    @property
    def column_moments(self):
        """(mean, scatter) of features by name, empty where they are not kept."""
        return {}

    def renamed(self, names):
        """The same fit, whose columns of X have other names."""
        return replace(self, names=names)

    @property
    def variance_names(self):
        """Names of the parameters of the log-variance beside its intercept, a set; a
        known part of it is one, as "offset of NAME".
        """
        fitted = self.log_variance
        if fitted is None:
            return set()
        entered = (fitted.coef != 0) | (np.diag(fitted.covariance)[1:] > 0)
        names = {self.names[j] for j in self.features[entered]}
        if fitted.offset is not None:
            names.add(f"offset of {self.names[self.features[fitted.offset]]}")
        return names

    @property
    def variance_coefficients(self):
        """(intercept, coefficients) of the log-variance, as `coefficients`."""
        fitted = self.log_variance
        level = fitted.intercept if self.fit_variance_intercept else 0.0
        return self._wide(level, fitted.coef)

    @property
    def noise_differs_by_group(self):
        """Whether groups have noise variances of their own."""
        return False

    @property
    def coefficients(self):
        """(intercept, coefficients) in the user's units, (1 + number of columns,)."""
        posterior = self.posterior
        level = posterior.level - posterior.shift @ posterior.coef
        return self._wide(level * self.fit_intercept, posterior.coef)

    @property
    def coefficients_root(self):
        """Root L of the covariance L L' of `coefficients`."""
        posterior = self.posterior
        level = posterior.level_root - posterior.shift @ posterior.coef_root
        return self._wide(level * self.fit_intercept, posterior.coef_root)

    @property
    def coefficients_std(self):
        """Standard errors of `coefficients`."""
        return np.linalg.norm(self.coefficients_root, axis=1)

    @property
    def entries(self):
        """Positions of the fitted parameters among `coefficients`."""
        return np.append(0, 1 + self.features)[int(not self.fit_intercept) :]

    def _wide(self, of_intercept, of_features):
        """Figures of the intercept and of all columns of X, 0 for a label column."""
        wide = np.zeros((1 + len(self.names), *of_features.shape[1:]))
        wide[0], wide[1 + self.features] = of_intercept, of_features
        return wide

    @property
    def variance_covariance(self):
        """Covariance of `variance_coefficients`."""
        wide = np.zeros((1 + len(self.names),) * 2)
        places = np.append(0, 1 + self.features)
        wide[np.ix_(places, places)] = self.log_variance.covariance
        return wide

    def coefficient_uncertainty(self):
        """The `CoefficientUncertainty` of `coefficients`; None if it is not known, and
        the normal distribution has to do.
        """
        raise NotImplementedError

    def refuse_penalty(self):
        """Refuse degrees of freedom of a penalised fit."""
        if self.alpha:
            raise ValueError(
                f"alpha={self.alpha}: the degrees of freedom of a penalised fit are "
                'not known. Use distribution="normal", or fit with alpha=0.'
            )

    def noise_variance_of(self, X, codes):
        """Variance of each row's noise, (n_rows,), a new array; `codes` are positions
        of the rows' groups among `labels`, -1 for a new group.
        """
        raise NotImplementedError

    def freedom_of(self, X, codes):
        """Degrees of freedom of the variance of a new y, (n_rows,).

        Raises
        ------
        ValueError
            If the fit is penalised.
        """
        raise NotImplementedError

    def added_variance(self, X, codes):
        """Variance (n_rows,) that Student's t adds to that of a new y where there is no
        integrated distribution.
        """
        return np.zeros(X.shape[0])

    @property
    def why_not_integrated(self):
        """Why `integrated` is not offered, a sentence; None where it is."""
        raise NotImplementedError

    @property
    def most_joint_rows(self):
        """The most rows of which a joint distribution is offered."""
        return np.inf

    @property
    def offers_integrated(self):
        """Whether `integrated` is there."""
        return self.why_not_integrated is None

    @cached_property
    def integrated(self):
        """The distribution that counts the uncertainty of the variances, `Integrated`;
        it is made when it is asked for, kept with the fit, and not stored.

        Raises
        ------
        ValueError
            If it is not offered.
        """
        if not self.offers_integrated:
            raise ValueError(self.why_not_integrated)
        return self._integrate()

    def _integrate(self):
        """Make `integrated`."""
        raise NotImplementedError

    def attributes(self):
        """Public attributes of the estimator."""
        coefficients, std = self.coefficients, self.coefficients_std
        of_noise = {}
        if self.log_variance is not None:
            of_log_variance = self.variance_coefficients
            of_noise = {
                "variance_coef_": of_log_variance[1:],
                "variance_intercept_": float(of_log_variance[0]),
                "variance_coef_covariance_": self.variance_covariance,
            }
        return {
            "coef_": coefficients[1:],
            "intercept_": float(coefficients[0]),
            "coef_std_": std[1:],
            "intercept_std_": float(std[0]),
            "at_boundary_": self.at_boundary,
            "log_likelihood_": self.log_likelihood,
            "n_iter_": self.n_iter,
            "converged_": self.converged,
            **of_noise,
        }


@dataclass(frozen=True, eq=False, kw_only=True)
class GroupedFit(Fit):
    """The fit of a model with one grouping factor.

    A subclass keeps or computes `group_sizes`, a tuple of the least, median and largest
    sum of the weights of a group, empty without groups, and `gain` in log-likelihood by
    the group variance, None where there is nothing to test.

    Attributes
    ----------
    uses_groups : bool
        Whether a model of this kind depends on groups where it gets them.
    labels : ndarray of shape (n_groups,)
        Group labels; empty if the model has no groups.
    posterior : Posterior
        Of the features.
    is_random : bool
        Whether the modes of the posterior are those of random intercepts.
    is_identified : bool
        Whether the data tell the group variance.
    n_groups : int
        Number of groups of the fit, without those of later updates.
    """

    posterior: Posterior
    uses_groups: bool
    labels: np.ndarray
    is_random: bool
    is_identified: bool
    n_groups: int

    @property
    def has_random_intercepts(self):
        """Whether there are random intercepts, those of a variance of 0 included."""
        return self.is_random and len(self.labels) > 0

    @property
    def random_effects(self):
        """See `Fit`; a single factor has no name."""
        return {(None, INTERCEPT): self.n_groups} if self.has_random_intercepts else {}

    @property
    def level_sizes(self):
        """See `Fit`."""
        return {None: self.group_sizes} if self.has_random_intercepts else {}

    @property
    def group_variance(self):
        """Variance of random intercepts."""
        return self.posterior.group_variance

    @property
    def intraclass_correlation(self):
        """The share of the groups in the variance of y that the features leave."""
        return float(self.group_variance / (self.group_variance + self.noise))

    def intercepts_interval(self, coverage, is_integrated):
        """Intervals (n_groups, 2) of the random intercepts, normal or integrated over
        the variances.
        """
        if is_integrated:
            return self.integrated.random_intercepts().interval(coverage)
        modes, std = self.posterior.modes, self.posterior.modes_std()
        return np.column_stack(normal_interval(modes, std, coverage))

    def observed(self, X, y, codes, labels, known):
        """The fit after further rows, whose groups are `codes` among `labels`, and
        `known` the places of the groups that it knows.
        """
        before = np.full(len(labels), -1)
        before[known] = np.arange(len(known))
        noise_variance = self.noise_variance_of(X, before[codes])
        posterior = make_room(self.posterior, known, len(labels))
        posterior = observe(posterior, X, y, codes, noise_variance)
        return replace(self, labels=labels, posterior=posterior, is_updated=True)

    def attributes(self):
        """See `Fit`."""
        posterior, zero = self.posterior, np.zeros(len(self.posterior.modes))
        random, variance = self.is_random, posterior.modes_variance
        return super().attributes() | {
            "group_variance_": self.group_variance,
            "intraclass_correlation_": self.intraclass_correlation,
            "groups_": self.labels,
            "random_intercepts_": posterior.modes if random else zero,
            "random_intercepts_std_": posterior.modes_std() if random else zero,
            "random_intercepts_conditional_std_": np.sqrt(variance) if random else zero,
        }


def response_of(moments):
    """`Fit.response` of the moments of [X y]."""
    with np.errstate(under="ignore"):
        return float(moments.shift[-1]), float(np.sum(moments.total[:, -1] ** 2))


def moments_by_name(names, mean, scatter):
    """`Fit.column_moments` of columns with these names."""
    pairs = np.column_stack([mean, scatter]).tolist()
    return dict(zip(names, map(tuple, pairs), strict=True))


def wide_mask(of_features, positions, n_columns):
    """Whether the intercept and the coefficients of all columns of X are estimable,
    from those of the columns at `positions`; others, which do not enter, are.
    """
    wide = np.ones(1 + n_columns, dtype=bool)
    wide[np.append(0, 1 + positions)] = of_features
    return wide


def variance_of(root, n):
    """Variance over n rows of a figure whose scatter has this root."""
    with np.errstate(under="ignore"):  # a square that vanishes beside the others
        return float(root @ root / (n - 1 if n > 1 else n))


def sizes_of(sums):
    """Least, median and largest."""
    return float(np.min(sums)), float(np.median(sums)), float(np.max(sums))
