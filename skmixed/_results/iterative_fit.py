"""The figures that a fit by the iterative solver keeps in the place of its likelihood
(docs/math.md, section 19).
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.mixed import MixedPoint, coefficient_slopes, sampled_gradients
from .mixed_inference import (
    VarianceParameters,
    component_intervals,
    noise_interval,
    variance_parameters,
)

# Rows of the fit whose standard deviations say how far the draws can be trusted.
N_ROWS = 500
# The coverage of one standard error to either side of a normal distribution.
ONE_STD = 0.6826894921370859


@dataclass(frozen=True)
class SampledFit:
    """Uncertainty at the optimum, and the part of it that comes from the probes.

    Attributes
    ----------
    information : ndarray of shape (1 + k, 1 + k)
        Average information in log sigma^2 and the coordinates of the covariances.
    directions : tuple of ndarray of shape (k_t, q, q)
        As those of `VarianceParameters`.
    probes : ndarray of shape (1 + k, 1 + k)
        Covariance of the same parameters by which random probes were drawn.
    slopes : ndarray of shape (1 + k, p, p)
        As those of `CoefficientUncertainty`.
    std_error : float
        Median over rows of the fit of the relative error, by the draws, of the
        standard deviation of a prediction.
    effect_errors : tuple of float
        By factors, the median over levels and effects of that of `random_effects_std_`;
        0 for a factor whose few effects were solved for.
    """

    information: np.ndarray
    directions: tuple
    probes: np.ndarray
    slopes: np.ndarray
    std_error: float
    effect_errors: tuple = ()


def keep_sampled(point, posterior, X, codes):
    """The `SampledFit` of an optimum that the iterative solver has found.

    Parameters
    ----------
    point : MixedPoint
    posterior : MixedPosterior
    X : {ndarray, CSR array} of shape (n, p)
        Of the rows of the fit.
    codes : list of ndarray of shape (n,)

    Returns
    -------
    SampledFit
    """
    parameters = variance_parameters(point)
    slopes = coefficient_slopes(point, parameters.directions)
    return SampledFit(
        information=parameters.information,
        directions=parameters.directions,
        probes=_of_probes(point, parameters),
        slopes=np.concatenate([np.eye(slopes.shape[1])[None], slopes]),
        std_error=_std_error(posterior, point.noise_variance, X, codes),
        effect_errors=tuple(
            _effect_error(posterior, t) for t in range(len(posterior.terms))
        ),
    )


def _of_probes(point, parameters):
    """Covariance of the parameters by which random probes were drawn: math.md (156)."""
    gradients = sampled_gradients(point, parameters.directions) / 2
    n = len(gradients)
    V = np.zeros(parameters.information.shape)
    V[1:, 1:] = gradients.T @ gradients / (n * (n - 1))
    return parameters.covariance @ V @ parameters.covariance


def _std_error(posterior, noise_variance, X, codes):
    """The median relative error of standard deviations of rows of the fit."""
    n = X.shape[0]
    some = np.unique(np.linspace(0, n - 1, N_ROWS).astype(int))
    X, codes = X[some], [code[some] for code in codes]
    variance = posterior.variance(X, codes) + noise_variance
    error = posterior.variance_error(X, codes)
    return float(np.median(error / (2 * variance)))


def _effect_error(posterior, t):
    """The median relative error of the standard deviations of a factor's effects."""
    error = posterior.error_variance_error(t)
    variance = np.diagonal(posterior.error_covariance(t), axis1=1, axis2=2)
    told = variance > 0
    return float(np.median(error[told] / (2 * variance[told]))) if told.any() else 0.0


def kept_parameters(sampled, model, Lambdas, noise_variance):
    """The `VarianceParameters` of a fit."""
    point = MixedPoint(model, Lambdas, None, noise_variance, False, np.nan)
    known = sampled.directions, sampled.information
    return VarianceParameters.known_by(point, *known)


def probe_errors(fit):
    """Standard errors, by the random probes, of standard deviations (q,) and
    correlations (q, q) of every factor, and of the noise.
    """
    # The error by the probes is in the place of that by the data.
    by_probes = replace(fit.variance_parameters(), covariance=fit.sampled.probes)
    factors = []
    for t in range(len(fit.factors)):
        std, corr = component_intervals(by_probes, fit, t, ONE_STD)
        factors.append((_half(std), _half(corr)))
    return factors, float(_half(noise_interval(by_probes, ONE_STD)))


def _half(interval):
    _, low, high = interval
    return (high - low) / 2
