"""The criterion of the random-intercept model as a function of one number
(docs/math.md, section 5).

With V = sigma^2 V0 the noise variance sigma^2 has a closed form at each variance ratio
lambda^2 = sigma_b^2 / sigma^2, so the search is over t = log(lambda^2) alone.  All is
computed from a `Gram` and its factor, and nothing from rows.
"""

from dataclasses import dataclass

import numpy as np

from .._rows.gram import Gram
from .criterion import has_freedom, profiled_noise
from .factor import BlockCholesky, absorb, factorize, times


@dataclass(frozen=True)
class RandomIntercept:
    """The likelihood of a random-intercept model: math.md (1) and (2).

    Attributes
    ----------
    gram : Gram
        Of the working columns [X y], unweighted by the variance.
    n : float
        Number of observations, the sum of the sample weights.
    reml : bool
    floor : float
        The least noise variance, in the squared units of y.
    penalty : ndarray of shape (k, m) or None
        Rows of the ridge penalty, sqrt(alpha) times the coefficients in user's units.
    logdet_basis : float
        log|X'V^-1X| of the user's columns less that of the working columns.
    noise_variance : float or None
        None if it is unknown, and profiled.
    """

    gram: Gram
    n: float
    reml: bool
    floor: float
    penalty: np.ndarray | None = None
    logdet_basis: float = 0.0
    noise_variance: float | None = None


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
