"""What the likelihood of a random-intercept model says besides its optimum: degrees of
freedom of coefficients, profile-likelihood intervals (docs/math.md, section 10).

The deviance, -2 log-likelihood, at sigma^2 and lambda^2 needs three figures of the
factor at lambda^2.  They are `traced` over a grid once; everything here is a search for
one number on top of that.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from .._likelihood.one_variance import degrees_of_freedom, evaluate
from .._rows.gram import pool
from .._search.ratio import ratio_grid
from .._search.roots import root_between

# Of the logarithm of a parameter (a coefficient in standard errors): how exactly an end
# of an interval is found, and a minimum, whose value is then exact to the square.
XTOL, NARROW = 1e-10, 1e-6
# Of the search for an end: steps, each half as long again.
FIRST_STEP, FARTHEST = 0.5, 16
LARGEST_LOG = 700.0


@dataclass(frozen=True)
class Curvature:
    """How the criterion and the coefficients' covariance change with the variances.

    Attributes
    ----------
    information : ndarray of shape (2, 2)
        Second derivatives of -log-likelihood in log sigma^2 and lambda^2.
    C : ndarray of shape (k, k)
        d (X'V0^-1X)^-1 / d lambda^2 is T C T', T the factor's inverse root.
    """

    information: np.ndarray
    C: np.ndarray


def curvature(model, at):
    """The curvature at an evaluation of the criterion (without a penalty)."""
    gram, factor = model.gram, at.factor
    multiplicity, S = gram.multiplicity, gram.R11[:, 0, 0] ** 2
    projection = factor.projection()[:, 0]
    shrunk = S / (1 + S * at.ratio)
    u, k = projection @ factor.contrast, projection[:, :-1] @ factor.root_inverse
    C, pulled = k.T @ k, u @ k
    slope_rss = -np.sum(u**2)
    second = 2 * np.sum(u**2 * shrunk) - 2 * np.sum(pulled**2)
    second = second / at.noise_variance - multiplicity @ shrunk**2
    if model.reml:
        second += 2 * np.sum(k**2 * shrunk[:, None]) - np.sum(C**2)
    mixed = -slope_rss / at.noise_variance
    freedom = degrees_of_freedom(model, factor)
    return Curvature(0.5 * np.array([[freedom, mixed], [mixed, second]]), C)


def satterthwaite(model, ratio, contrasts):
    """Degrees of freedom of linear combinations of the coefficients.

    2 f^2 / (g'A g), f the variance of the combination, g its gradient in the variance
    parameters, A their asymptotic covariance: the degrees of freedom of a chi-squared
    variable with the same mean and variance as the estimate of f (Satterthwaite 1946;
    Kuznetsova, Brockhoff and Christensen 2017, Journal of Statistical Software 82).

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    contrasts : ndarray of shape (n, k)
        In working coefficients.  NaN comes back for a row of zeros.
    """
    model = replace(model, gram=pool(model.gram))
    at = evaluate(model, ratio)
    if at.at_floor:  # nothing is left to tell the variance from
        return np.full(len(contrasts), np.nan)
    found = curvature(model, at)
    half = contrasts @ at.factor.root_inverse
    f = np.sum(half**2, axis=1)
    g = np.column_stack([f, np.sum((half @ found.C) * half, axis=1)])
    information = found.information
    # At 0 the variance is flat in sigma_b, and only sigma^2 is uncertain.
    if not ratio or np.linalg.det(information) <= 0:
        g, information = g[:, :1], information[:1, :1]
    spread = np.einsum("ij,ji->i", g, np.linalg.solve(information, g.T))
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * f**2 / spread


def slope_in_group_variance(psi, h, variance, loading, C):
    """d (c_g + |h|^2) / d psi, of each row; arguments as in `predictive_freedom`, but
    psi in the units of `variance`.

    d c / d psi is 1 / D_g^2, and h changes by -k_g / D_g besides what C says.
    """
    if not psi:  # all k_g are 0 in `loading`, where they are not: then this is more
        return 1 + np.sum((h @ C) * h, axis=1)
    shrunk, k = variance / psi, loading / psi
    return shrunk**2 + np.sum((h @ C - 2 * shrunk[:, None] * k) * h, axis=1)


def predictive_freedom(model, ratio, h, variance, loading):
    """Degrees of freedom of the variance of new observations (docs/math.md, 10).

    Satterthwaite's, as above, of f = sigma^2 (1 + c + |h|^2).

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    h : ndarray of shape (n, k)
        Rows whose squared lengths are what the coefficients leave uncertain.
    variance : ndarray of shape (n,)
        c of each row's group: lambda^2 for a new one.
    loading : ndarray of shape (n, k)
        - d b_g / d beta of each row's group, in the basis of h; 0 for a new one.

    All of them in units of sigma.
    """
    at = evaluate(model, ratio)
    if at.at_floor:
        return np.full(len(h), np.inf)
    found = curvature(model, at)
    f = 1 + variance + np.sum(h**2, axis=1)
    slope = slope_in_group_variance(ratio, h, variance, loading, found.C)
    g, information = np.column_stack([f, slope]), found.information
    if np.linalg.det(information) <= 0 or information[1, 1] <= 0:
        g, information = g[:, :1], information[:1, :1]
    return 2 * f**2 / np.einsum("ij,ji->i", g, np.linalg.solve(information, g.T))


@dataclass(frozen=True)
class Traced:
    """What the deviance needs of the factor, at some ratios lambda^2.

    Attributes
    ----------
    ratio, rss, logdet : ndarray of shape (n_ratios,)
        Residual sums of squares in units of V0; the terms of the deviance that depend
        on lambda^2 alone.
    beta : ndarray of shape (n_ratios, n)
        Combinations of coefficients.
    variance : ndarray of shape (n_ratios, n)
        Theirs, in units of sigma^2.
    """

    ratio: np.ndarray
    rss: np.ndarray
    logdet: np.ndarray
    beta: np.ndarray
    variance: np.ndarray


class Profile:
    """The deviance of a random-intercept model, as low as it gets at given parameters.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    contrasts : ndarray of shape (n, k), default=None
        Combinations of the working coefficients.
    is_free : bool, default=True
        Whether the ratio is a parameter at all; else it stays where it is.
    """

    def __init__(self, model, ratio, contrasts=None, is_free=True):
        self.model = replace(model, gram=pool(model.gram))
        k = self.model.gram.R12.shape[2] - 1
        self.contrasts = np.empty((0, k)) if contrasts is None else contrasts
        grid = [0.0, *np.exp(ratio_grid(model.gram))] if is_free else []
        self.grid = self.trace(np.unique([ratio, *grid]))
        self.freedom = degrees_of_freedom(self.model, evaluate(self.model, 0.0).factor)
        self.ratio, at = ratio, self.trace([ratio])
        self.noise_variance = at.rss[0] / self.freedom
        self.lowest = self._at_rss(at, at.rss)[0]

    def trace(self, ratios):
        """Figures of the factor at some ratios."""
        model, found = self.model, []
        for ratio in ratios:
            factor = evaluate(model, ratio).factor
            logdet = factor.logdet
            if model.reml:
                logdet += factor.logdet_x + model.logdet_basis
            beta = self.contrasts @ factor.beta
            variance = np.sum((self.contrasts @ factor.root_inverse) ** 2, axis=1)
            found.append((factor.rss, logdet, beta, variance))
        return Traced(np.asarray(ratios), *map(np.array, zip(*found, strict=True)))

    # Deviances at every traced ratio, with one parameter held.

    def _at_noise(self, at, noise_variance):
        """With sigma^2 held."""
        constant = self.freedom * (np.log(2 * np.pi) + np.log(noise_variance))
        return constant + at.rss / noise_variance + at.logdet

    def _at_group(self, at, group_variance):
        """With sigma_b^2 held, and so sigma^2 given by the ratio; not at ratio 0."""
        with np.errstate(divide="ignore"):
            return self._at_noise(at, group_variance / at.ratio)

    def _at_rss(self, at, rss):
        """With sigma^2 free."""
        noise_variance = rss / self.freedom
        constant = self.freedom * (np.log(2 * np.pi) + np.log(noise_variance) + 1)
        return constant + at.logdet

    # How much the deviance rises when one parameter is held; of variances the
    # logarithm, -inf being a variance of 0.

    def noise_rise(self, log_variance):
        """By holding log sigma^2."""
        if log_variance == -np.inf:
            return np.inf
        return self._rise(partial(self._at_noise, noise_variance=_exp(log_variance)))

    def group_rise(self, log_variance):
        """By holding log sigma_b^2."""
        if log_variance == -np.inf:
            return self.ratio_rise(log_variance)
        return self._rise(partial(self._at_group, group_variance=_exp(log_variance)))

    def ratio_rise(self, log_ratio):
        """By holding log lambda^2."""
        at = self.trace([_exp(log_ratio)])
        return self._at_rss(at, at.rss)[0] - self.lowest

    def coefficient_rise(self, value, number):
        """By holding a combination of coefficients; under maximum likelihood."""

        def deviance(at):
            moved = (value - at.beta[:, number]) ** 2 / at.variance[:, number]
            return self._at_rss(at, at.rss + moved)

        return self._rise(deviance)

    def _rise(self, deviance):
        """From the lowest of all to the lowest over the ratio: of the grid, refined."""
        values = deviance(self.grid)
        values = np.where(np.isnan(values), np.inf, values)
        i = int(np.argmin(values))
        if 0 < i < len(values) - 1:
            first = max(i - 1, 1)  # there is no logarithm of the ratio 0
            refined = minimize_scalar(
                lambda t: deviance(self.trace([np.exp(t)]))[0],
                bounds=np.log(self.grid.ratio[[first, i + 1]]),
                method="bounded",
                options={"xatol": NARROW},
            )
            return min(values[i], refined.fun) - self.lowest
        return values[i] - self.lowest

    # Intervals: where the deviance has risen by a quantile of chi-squared.

    def noise_interval(self, coverage):
        """Interval of sigma^2, (2,)."""
        level, log_noise = chi2.ppf(coverage, 1), np.log(self.noise_variance)
        return np.exp(_interval(self.noise_rise, log_noise, level, log_noise))

    def group_intervals(self, coverage):
        """Intervals of sigma_b^2 and lambda^2, (2, 2)."""
        level, log_noise = chi2.ppf(coverage, 1), np.log(self.noise_variance)
        with np.errstate(divide="ignore"):
            log_ratio = np.log(self.ratio)
        return np.exp(
            [
                _interval(self.group_rise, log_ratio + log_noise, level, log_noise),
                _interval(self.ratio_rise, log_ratio, level, 0.0),
            ]
        )

    def coefficient_interval(self, number, coverage):
        """Interval of a combination of coefficients, (2,)."""
        at, level = self.trace([self.ratio]), chi2.ppf(coverage, 1)
        best = at.beta[0, number]
        scale = np.sqrt(at.variance[0, number] * self.noise_variance)
        if not scale:
            return np.full(2, np.nan)

        def above(distance):
            return self.coefficient_rise(best + distance * scale, number) - level

        return best + scale * np.array([_crossing(above, 0.0, s) for s in (-1.0, 1.0)])


def _interval(rise, best, level, start):
    """Where a rise, a function of a logarithm, crosses a level on both sides of `best`;
    -inf and inf where it does not.  If `best` is -inf, it is looked for around `start`.
    """

    def above(t):
        return rise(t) - level

    low = -np.inf
    if best > -np.inf and above(-np.inf) > 0:
        low = _crossing(above, best, -1.0)
    if best == -np.inf:
        while above(start) > 0:
            start -= 1.0
        best = start
    return low, _crossing(above, best, 1.0)


def _exp(t):
    """Of a logarithm that a search may have taken out of range."""
    return np.exp(np.clip(t, -LARGEST_LOG, LARGEST_LOG)) if t > -np.inf else 0.0


def _crossing(above, start, sign):
    """The zero of a function on one side of where it is negative."""
    near, step = start, FIRST_STEP
    for _ in range(FARTHEST):
        far = near + sign * step
        if above(far) > 0:
            return root_between(above, min(near, far), max(near, far), xtol=XTOL)
        near, step = far, 1.5 * step
    return sign * np.inf
