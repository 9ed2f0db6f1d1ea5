"""Starts of the search for the parameters of the log-variance (docs/math.md, 9.7).

They are values of theta.  Several optima differ in the rows that tell the mean, and so
do the starts from that of the best constant variance.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.optimize import minimize

from ..._likelihood.heteroscedastic.criterion import gram_at
from ..._likelihood.heteroscedastic.gamma_regression import gamma_regression
from ..._likelihood.random_intercept import RandomIntercept, noise_beside_fixed_effects
from ..._likelihood.random_intercept import evaluate as evaluate_ratio
from ..._rows.gram import Gram
from ..._rows.qr import EPS
from ..ratio import RatioOptimum, best_ratio

# Distance of a start from the constant variance, in standard deviations of a column of
# the log-variance; twice as far from the others is the log-variance of a group that has
# a start of its own.
FAR = 2.0
# Most columns, and most groups, that have starts of their own.
MOST_STARTS = 10
# Least ratio of psi to the noise variance in a start: the slope at psi = 0 only tells
# whether 0 is a local optimum.
LEAST_RATIO = 1e-3


@dataclass(frozen=True)
class Constant:
    """The best constant multiple of given variances.

    Attributes
    ----------
    noise_variance : float
        The multiple.
    ratio : float
    identified : bool
        Whether the data tell the ratio.
    gram : Gram
        Of the rows under weights a / v, v the given variances.
    """

    noise_variance: float
    ratio: float
    identified: bool
    gram: Gram


def best_constant(likelihood, gram, floor, noise_variance=None):
    """Scale and group variance at given variances: the random-intercept search.

    Parameters
    ----------
    gram : Gram
        Of the rows under weights a / v.
    floor : float
        The least scale, of which rounding may leave less.
    noise_variance : float, default=None
        The scale, if it is known.
    """
    criterion = RandomIntercept(
        gram=gram,
        n=likelihood.rows.n,
        reml=likelihood.reml,
        floor=floor,
        penalty=likelihood.penalty,
        logdet_basis=likelihood.rows.mean_columns.logdet_basis,
        noise_variance=noise_variance,
    )
    if likelihood.fixed:
        n_groups, alpha = likelihood.rows.n_groups, likelihood.alpha
        variance = noise_beside_fixed_effects(criterion, n_groups, alpha)
        return Constant(max(variance, floor), 0.0, True, gram)
    found = best_ratio(criterion) if likelihood.random else RatioOptimum(0.0, True, 0)
    variance = evaluate_ratio(criterion, found.ratio).noise_variance
    return Constant(variance, found.ratio, found.identified, gram)


def scaled(likelihood, theta, constant, least_ratio=LEAST_RATIO):
    """theta with its variances multiplied by the best constant, and its ratio.

    Without a level of the log-variance, gamma changes by the combination of columns
    that is closest to a constant.
    """
    n_effects = len(likelihood.free)
    level = np.zeros(len(theta))
    if n_effects and not likelihood.rows.variance_columns.has_constant:
        level[:n_effects] = 1.0
    else:
        level[n_effects : len(likelihood.average)] = likelihood.average[n_effects:]
    theta = theta + np.log(constant.noise_variance) * level
    if likelihood.random:
        psi = constant.ratio * constant.noise_variance
        theta[-1] = max(psi, least_ratio * np.exp(_level(likelihood, theta)))
    return theta


def _level(likelihood, theta, known=0.0):
    """The mean log-variance, less a known part, within the bounds of a row's: slopes of
    columns far from zero may take the mean far beyond.
    """
    return np.clip(likelihood.level(theta) - known, *likelihood.log_bounds)


def constant_start(likelihood, constant, least_ratio=LEAST_RATIO):
    """theta of the best constant variance."""
    flat = np.zeros(len(likelihood.average) + likelihood.random)
    return scaled(likelihood, flat, constant, least_ratio)


def from_squared_residuals(likelihood, point):
    """theta that nearly fits the squared residuals of a point: math.md (31c).

    The information of the regression is about half the weights times the identity, for
    which the mean over the weights has that of BFGS at the start.
    """
    regression, n = gamma_regression(likelihood, point), likelihood.rows.n
    theta = regression.with_effects(point.x)
    gamma = slice(len(likelihood.free), len(likelihood.average))
    # The step whose gain in log-likelihood is less than one is the last.
    options = {"gtol": np.sqrt(2 / n), "norm": 2}
    deviance = partial(regression.deviance, theta)
    theta[gamma] = minimize(deviance, theta[gamma], jac=True, options=options).x
    return regression.with_effects(theta)


def more_starts(likelihood, point, gradient):
    """Starts beside that of the constant variance, at which the gradient is given.

    Along each column of the log-variance, up and down, with the psi that is best there,
    and its scale: of many, those that the squared noise follows most.  With each group
    as the one that tells the mean: of many, those with the least noise.
    """
    theta, n_effects = point.x.copy(), len(likelihood.free)
    spread = np.linalg.norm(likelihood.axes, axis=0)
    # A column without a share in the working columns is constant, or rounding.
    varies = spread > np.sqrt(EPS) * spread.max(initial=0.0)
    axes = likelihood.axes[:, varies] / spread[varies]
    first = np.argsort(-np.abs(gradient[n_effects:][: len(axes)] @ axes), kind="stable")
    for step in np.kron(axes.T[first[:MOST_STARTS]], [[FAR], [-FAR]]):
        # The groups keep their levels beside each other.
        start = theta + np.r_[-likelihood.centres @ step, step, 0.0][: len(theta)]
        gram = gram_at(likelihood, likelihood.trend(start))
        best = best_constant(likelihood, gram, EPS)
        yield scaled(likelihood, start, best) if likelihood.random else start
    if likelihood.random:
        # At a small psi the rows of little noise would be given the mean.
        theta[-1] = max(theta[-1], np.exp(_level(likelihood, theta)))
    # The gradient is 1/2 sum (a - w e2) of each group.
    noise = -gradient[:n_effects] / likelihood.rows.size[likelihood.free]
    for g in np.argsort(noise, kind="stable")[:MOST_STARTS]:
        yield theta - 2 * FAR * np.eye(1, len(theta), g)[0]


def by_ratio(likelihood, point):
    """Starts with another psi, and the scale that goes with it, if the search for the
    variance ratio at the variances of a point does not agree with that.

    A ridge on the log-variance, or the lack of an intercept, may keep the scale.
    """
    level = _level(likelihood, point.x, likelihood.average_offset)
    floor = np.exp(likelihood.log_bounds[0] - level)
    for noise_variance in (None, 1.0):
        other = best_constant(likelihood, point.factor.gram, floor, noise_variance)
        psi = other.ratio * other.noise_variance
        if not np.isclose(psi, point.x[-1], rtol=1e-3, atol=0.0):
            yield scaled(likelihood, point.x, other)
