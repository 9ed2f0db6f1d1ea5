"""The gamma regression of squared residuals that are held fixed (docs/math.md, 9.7).

It visits the columns of the log-variance only, and is nearly as good an estimate of its
parameters as that by maximum likelihood.
"""

from dataclasses import dataclass

import numpy as np

from ..._rows.parts import ByGroup
from .residuals import groups_at, local_posterior, residuals

# A row with at most this share of the information about a parameter of the log-variance
# is one of many like it.
MOST_LEVERAGE = 0.01
# The log of the least mean of a group, in units of its variance at the point.
LEAST_MEAN = -4.0


@dataclass(frozen=True)
class GammaRegression:
    """The regression of the squared residuals of one point.

    Attributes
    ----------
    model : Heteroscedastic
    noise : Parts
        The two figures of every row of `unbiased_noise`.
    """

    model: object
    noise: object

    def with_effects(self, theta):
        """theta with effects of the groups that make the mean of each fit."""
        theta, n_effects = theta.copy(), len(self.model.free)
        if n_effects:
            trend = self.model.trend(theta)
            sums = self.model.rows.reduce(_sums_of_groups, trend, self.noise).values
            means = (sums[:, 0] / sums[:, 1])[self.model.free]
            theta[:n_effects] += np.log(np.maximum(means, np.exp(LEAST_MEAN)))
        return theta

    def deviance(self, theta, gamma):
        """Half the deviance for a row, up to a constant, and its derivatives in gamma,
        put in the place of that of theta: the left side of math.md (31c), negative.
        """
        model, theta = self.model, theta.copy()
        theta[len(model.free) : len(model.average)] = gamma
        found = model.rows.reduce(_deviance_of_part, model.trend(theta), self.noise)
        value, *score = found / model.rows.n
        shrunk = 2 * model.variance_penalty @ gamma / model.rows.n
        return value + 0.5 * (gamma @ shrunk), score + shrunk


def gamma_regression(model, point):
    """`GammaRegression` of the squared residuals of a point."""
    return GammaRegression(model, unbiased_noise(model, point))


def unbiased_noise(model, point):
    """Two figures of every row: the first has the expectation of its variance times the
    second, math.md (31b).

    This holds for any variance of the row, if the variances at the point are right for
    the rest of its group.  The coefficients count as known, and so do fixed effects
    under ML.  The first figure may be negative.  Rows with much of the information
    about a parameter of the log-variance have the expected noise, which is positive.
    """
    groups, trend = groups_at(model, point), model.trend(point.theta)
    most = MOST_LEVERAGE * model.rows.n
    return model.rows.map(_unbiased_of_part, trend, groups, point.posterior, most)


def _unbiased_of_part(part, trend, groups, posterior, most):
    local = local_posterior(part, posterior)
    noise, counted = np.empty((2, len(part.y)))
    for rows, S, eta in part.visit(trend):
        found = residuals(part, rows, eta, trend, groups, local, reml=False)
        a, c = part.weight[rows], found.uncertain
        left = 1.0 - c * found.w / np.maximum(a, 1.0)  # a row that counts a times
        many = np.einsum("ij,ij->i", S, S) <= most
        square = np.where(many, found.e**2 - left * c, found.square)
        noise[rows] = part.known_precision(rows) * square
        counted[rows] = found.counted * np.where(many, left**2, 1.0)
    return noise, counted


def _deviance_of_part(part, trend, found):
    (noise, counted), score, value = found, np.zeros(len(trend.gamma)), 0.0
    for rows, S, eta in part.visit(trend):
        log_variance = np.clip(eta, *trend.bounds)
        scaled_noise = noise[rows] * np.exp(-log_variance)
        score += ((log_variance == eta) * (counted[rows] - scaled_noise)) @ S
        value += counted[rows] @ log_variance + scaled_noise.sum()
    return np.array([value, *score])


def _sums_of_groups(part, trend, found):
    """Sums over groups of both figures, the first one over the variances, (G, 2)."""
    noise, counted = found
    scaled_noise = np.empty_like(noise)
    for rows, _, eta in part.visit(trend):
        scaled_noise[rows] = noise[rows] * np.exp(-np.clip(eta, *trend.bounds))
    sums = [part.by_group(figures).values for figures in (scaled_noise, counted)]
    return ByGroup(part.groups, np.transpose(sums))
