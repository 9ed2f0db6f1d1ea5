"""The criterion of the random-intercept model as a function of one number
(docs/math.md, section 5).

With V = sigma^2 V0 the noise variance sigma^2 has a closed form at each variance ratio
lambda^2 = sigma_b^2 / sigma^2, so the search is over t = log(lambda^2) alone.  All is
computed from a `Gram` and its factor, and nothing from rows.
"""

from dataclasses import dataclass

import numpy as np

from .criterion import Likelihood, has_freedom, profiled_noise
from .factor import BlockCholesky, absorb, factorize, times


class RandomIntercept(Likelihood):
    """The likelihood of a random-intercept model: math.md (1) and (2)."""


@dataclass(frozen=True)
class RandomInterceptPoint:
    """The criterion at one variance ratio.

    Attributes
    ----------
    ratio : float
        lambda^2 = sigma_b^2 / sigma^2.
    factor : BlockCholesky
        At Lambda = lambda.
    noise_variance : float
        sigma^2, known or profiled, not below the floor.
    at_floor : bool
    rss : float
        Residual sum of squares in units of V0, without the penalty.
    """

    ratio: float
    factor: BlockCholesky
    noise_variance: float
    at_floor: bool
    rss: float


def evaluate(likelihood, ratio):
    """Factor and profiled noise variance at one variance ratio."""
    factor = factorize(likelihood.gram, np.sqrt(ratio), likelihood.penalty)
    return RandomInterceptPoint(ratio, factor, *profiled_noise(likelihood, factor))


def slope(likelihood, at):
    """d(-2 log-likelihood) / d log(ratio), and the sum of its positive terms.

    This is math.md (18).  With H_g = C_g^-1 K_g, the three terms of a group are those
    of log|V|, of the residuals and (REML only) of log|X'V^-1X|.
    """
    H, factor = np.swapaxes(at.factor.H, 1, 2), at.factor
    rows = times(H, factor.rows).reshape(-1, factor.rows.shape[2])
    logdet = likelihood.gram.multiplicity @ np.sum(H**2, axis=(1, 2))
    value = logdet - np.sum((rows @ factor.to_residual) ** 2) / at.noise_variance
    if likelihood.reml:
        value -= np.sum((rows[:, :-1] @ factor.root_inverse) ** 2)
    return value, logdet


def noise_beside_fixed_effects(likelihood, n_groups, alpha):
    """The noise variance if the groups have fixed effects, with a ridge of `alpha`."""
    if likelihood.penalty is not None:
        return evaluate(likelihood, 1 / alpha).noise_variance
    factor, freedom = absorb(likelihood.gram), likelihood.n
    if likelihood.reml:
        freedom -= n_groups + len(factor.root) - 1
    return factor.rss / freedom if has_freedom(likelihood, freedom) else 0.0
