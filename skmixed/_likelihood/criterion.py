"""The criterion of any model whose noise variance has a closed form (docs/math.md,
sections 5 and 11): that of a random intercept, or of any terms.

Its factor has the residual sum of squares and the log-determinants.
"""

from dataclasses import dataclass

import numpy as np

from .._rows.gram import Gram

# Degrees of freedom per observation: fewer are the rounding of 0.
LEAST_FREEDOM = 1e-12
# A noise variance up to this multiple of the floor is the rounding of an exact fit: its
# standard deviation is 1e-11 of that of y.
EXACT_FIT = 1e4
# Information about a variance counts as none below this fraction of its own value
# before other parameters take their share; and what the coefficients leave of effects,
# of which it is the square, below this fraction of the effects.
UNTOLD = 1e-11
# Rounding of sums of squares over rows or levels, in units of their largest value.
NO_INFORMATION = 1e-15
# The largest log-variance of a row where the noise is generic.
GENERIC = 2.0
# A log-variance this close to a bound counts as being at it.
BOUND_MARGIN = 1.0
# The noise variance of a row, but for a known part, lies within this factor of that of
# the same model with one noise variance, or of the rows' geometric mean: a thousandth
# of a percent to 100,000 times in standard deviation.
RANGE = 1e10


@dataclass(frozen=True)
class Likelihood:
    """A likelihood whose noise variance has a closed form.

    Attributes
    ----------
    gram : Gram
        Of the working columns [X y] and the effects, whatever the variances.
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


def profiled_noise(likelihood, factor):
    """The noise variance that is best for a factor, whether that is at the floor, and
    the residual sum of squares without the penalty: math.md (17) and (23).
    """
    rss = factor.rss if likelihood.penalty is None else factor.data_rss
    variance = likelihood.noise_variance
    if variance is None:
        total = rss if likelihood.reml else factor.rss
        freedom = residual_freedom(likelihood, factor)
        variance = total / freedom if has_freedom(likelihood, freedom) else 0.0
    at_floor = not variance > likelihood.floor
    return max(variance, likelihood.floor), at_floor, rss


def generic_log_variance(k, farthest):
    """Coefficients (k,) of a log-variance that tells variances like almost any other:
    all columns have a part in it.

    ``farthest(coefficients)`` is the largest log-variance of a row, or more.
    """
    gamma = np.random.default_rng(0).normal(size=k)
    return gamma * (GENERIC / max(farthest(gamma), np.finfo(float).tiny))


def residual_freedom(likelihood, factor):
    """n for ML; for REML n less the effective number of coefficients: math.md (23).

    That number is the trace of the hat matrix: all the coefficients, less the part of
    them that the rows of the penalty determine.  Of a random intercept without a
    penalty `factor` may be None.
    """
    if not likelihood.reml:
        return likelihood.n
    m = likelihood.gram.R12.shape[2] if factor is None else len(factor.root)
    free = likelihood.n - (m - 1)
    if likelihood.penalty is not None:
        free += np.sum((likelihood.penalty[:, :-1] @ factor.root_inverse) ** 2)
    return free


def has_freedom(likelihood, freedom):
    return freedom > LEAST_FREEDOM * likelihood.n


def deviance(likelihood, at, logdet=None):
    """-2 log-likelihood at a point, with all constants and in the user's units.

    It is that of math.md (3) and (4), for ML and REML.  The penalty is left out; under
    REML the coefficients' information includes it.  `logdet` is log|V0| if the factor
    itself does not tell it.
    """
    log_variance = np.log(at.noise_variance)
    logdet = at.factor.logdet if logdet is None else logdet
    value = likelihood.n * (np.log(2 * np.pi) + log_variance) + logdet
    value += at.rss / at.noise_variance
    if likelihood.reml:
        rank = len(at.factor.root) - 1
        value -= rank * (np.log(2 * np.pi) + log_variance)
        value += at.factor.logdet_x + likelihood.logdet_basis
    return value


def penalised_deviance(likelihood, at, logdet=None):
    """The deviance with the penalty, which ML minimises."""
    penalty = at.factor.rss - at.rss
    return deviance(likelihood, at, logdet) + penalty / at.noise_variance


def check_freedom(n, used, sums=None):
    """Refuse REML with weights that sum to less than the coefficients it allows for;
    `sums` are the sums that the message has, if they are not n.
    """
    if n - used < -1e-8 * n:
        sums = sums or f"{n:g}"
        raise ValueError(
            f"The weights sum to {sums}, fewer than the {used:g} coefficients that "
            "REML has to allow for. Weights count repetitions of a row: multiply them, "
            "e.g. so that they sum to the number of rows."
        )


def is_exact(noise_variance, floor):
    """Whether the noise is the rounding of an exact fit."""
    return noise_variance <= EXACT_FIT * floor
