"""Starts of the search for the parameters of the log-variance (docs/math.md, 9.7).

They are values of theta.  Several optima differ in the rows that tell the mean, and so
do the starts from that of the best constant variance.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.arrow import Arrow
from .._likelihood.factor import absorb
from .._likelihood.one_variance import RandomIntercept
from .._likelihood.one_variance import evaluate as evaluate_ratio
from .._likelihood.residuals import spread_within_groups, unbiased_noise
from .._rows.gram import Gram
from .._rows.grouped import Trend
from .._rows.qr import EPS
from .ratio import best_ratio
from .trust_region import MOST_TRIALS, Quadratic, minimise

# Length of a start along a column of the log-variance, in standard deviations of it.
ALONG_COLUMN = 2.0
# A long way for the logarithm of a variance: by it the one of a group is less than the
# others' in a start of its own, and by it at most the search for kappa goes at a time.
LONG_WAY = 5.0
# Most columns, and most groups, that have starts of their own.
MOST_STARTS = 10
# Least ratio of psi to the noise variance in a start: the slope at psi = 0 only tells
# whether 0 is a local optimum.  At its inverse groups differ far more than the noise.
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
    criterion = replace(
        _of_ratio(likelihood, gram, floor), noise_variance=noise_variance
    )
    if likelihood.fixed:
        variance = max(_fixed_noise(likelihood, criterion), floor)
        return Constant(variance, 0.0, True, gram)
    ratio, identified = 0.0, True
    if likelihood.random:
        optimum = best_ratio(criterion)
        ratio, identified = optimum.ratio, optimum.identified
    variance = evaluate_ratio(criterion, ratio).noise_variance
    return Constant(variance, ratio, identified, gram)


def _of_ratio(likelihood, gram, floor):
    """The criterion of the ratio at given variances."""
    return RandomIntercept(
        gram=gram,
        n=likelihood.rows.n,
        reml=likelihood.reml,
        floor=floor,
        penalty=likelihood.penalty,
        logdet_basis=likelihood.rows.mean_columns.logdet_basis,
    )


def _fixed_noise(likelihood, criterion):
    """Noise variance beside fixed effects of the groups."""
    if likelihood.penalty is None:
        factor, free = absorb(criterion.gram), criterion.n
        if likelihood.reml:
            free -= likelihood.rows.n_groups + len(factor.root) - 1
        return factor.rss / free if free > 1e-12 * criterion.n else 0.0
    return evaluate_ratio(criterion, 1 / likelihood.alpha).noise_variance


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
        gamma = slice(n_effects, len(likelihood.average))
        level[gamma] = likelihood.average[gamma]
    theta = theta + np.log(constant.noise_variance) * level
    if likelihood.random:
        psi, noise = constant.ratio * constant.noise_variance, likelihood.level(theta)
        theta[-1] = max(psi, least_ratio * np.exp(noise))
    return theta


def constant_start(likelihood, constant, least_ratio=LEAST_RATIO):
    """theta of the best constant variance."""
    flat = np.zeros(len(likelihood.average) + likelihood.random)
    return scaled(likelihood, flat, constant, least_ratio)


def with_level_of_groups(likelihood, point, gradient):
    """theta with the effects on the log-variance that the expected noise calls for: an
    M-step of EM, from the gradient, which is 1/2 sum (a - w e2) of each group.
    """
    theta, n_effects = point.x.copy(), len(likelihood.free)
    size = likelihood.rows.size[likelihood.free]
    noise = 1 - 2 * gradient[:n_effects] / size
    shrunk = size / (size + 2 * likelihood.effect_penalty)
    theta[:n_effects] += np.log(np.clip(noise, 1e-8, 1e8)) * shrunk
    return theta


def from_squared_residuals(likelihood, point):
    """theta whose gamma nearly fits the squared residuals of a point: math.md (31c).

    The residuals are held fixed.  This is a gamma regression, by scoring, which visits
    the columns of the log-variance only.
    """
    rows, gamma = likelihood.rows, slice(len(likelihood.average))
    noise, penalty = unbiased_noise(likelihood, point), likelihood.variance_penalty
    metric = Arrow.dense(np.eye(len(penalty)))

    def evaluate(x):
        value, counted, *score = rows.reduce(_gamma_deviance, Trend(x), noise)
        value = 0.5 * (value + x @ penalty @ x)
        return GammaPoint(x, value, np.array(score), counted)

    def expand(at, near):
        information = 0.5 * at.counted * np.eye(len(penalty)) + penalty
        gradient = 0.5 * at.score + penalty @ at.x
        return Quadratic(gradient, Arrow.dense(information), metric)

    found = minimise(evaluate, expand, point.x[gamma], tol=1.0, max_iter=MOST_TRIALS)
    return np.append(found.point.x, point.x[gamma.stop :])


@dataclass(frozen=True)
class GammaPoint:
    """Twice the criterion of the regression of squared residuals, and its slope."""

    x: np.ndarray
    value: float
    score: np.ndarray
    counted: float
    rounding: float = 0.0
    kinked: bool = False


def _gamma_deviance(part, trend, told):
    (noise, counted), score, value = told, np.zeros(len(trend.gamma)), 0.0
    for rows, S, eta in part.visit(trend):
        scaled_noise = noise[rows] * np.exp(-eta)
        score += (counted[rows] - scaled_noise) @ S
        value += counted[rows] @ eta + scaled_noise.sum()
    return np.array([value, counted.sum(), *score])


def more_starts(likelihood, constant, point, gradient):
    """Starts beside that of the constant variance, at which the gradient is given.

    Along each column of the log-variance, up and down: of many, those that the squared
    noise follows most.  With each group as the one that tells the mean: of many, those
    whose rows are most alike.  With groups that differ as much as all rows do.
    """
    theta, n_effects = point.x, len(likelihood.free)
    gamma = slice(n_effects, len(likelihood.average))
    spread = np.linalg.norm(likelihood.axes, axis=0)
    # A column without a share in the working columns is constant, or rounding.
    varies = spread > np.sqrt(EPS) * spread.max(initial=0.0)
    axes = likelihood.axes[:, varies] / spread[varies]
    pull = np.abs(gradient[gamma] @ axes)
    for axis in axes.T[np.argsort(-pull, kind="stable")[:MOST_STARTS]]:
        for length in (ALONG_COLUMN, -ALONG_COLUMN):
            start = theta.copy()
            start[gamma] += length * axis
            # The groups keep their levels.
            start[:n_effects] -= likelihood.centres @ (length * axis)
            yield start
    if n_effects:
        spread = spread_within_groups(likelihood, point)[likelihood.free]
        for g in np.argsort(spread, kind="stable")[:MOST_STARTS]:
            start = theta.copy()
            start[g] -= LONG_WAY
            yield start
    if likelihood.random:
        yield constant_start(likelihood, _far_apart(likelihood, constant))


def _far_apart(likelihood, constant):
    """Groups that differ as much as all rows do; the noise is that within them."""
    floor = np.exp(likelihood.log_bounds[0])
    criterion = _of_ratio(likelihood, constant.gram, floor)
    total = evaluate_ratio(criterion, 0.0).noise_variance
    within = evaluate_ratio(criterion, 1 / LEAST_RATIO).noise_variance
    return replace(constant, noise_variance=within, ratio=total / within)
