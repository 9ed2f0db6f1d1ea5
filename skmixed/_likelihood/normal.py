"""Closed forms of the normal distribution N(mean, std^2), value by value."""

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

NORMAL_FREEDOM = 1e10  # degrees of freedom with which Student's t is normal


def normal_interval(mean, std, coverage):
    """Lower and upper bound of the central interval of probability `coverage`."""
    return _interval(mean, std, ndtri(0.5 + coverage / 2))


def t_interval(mean, std, coverage, freedom):
    """The same of Student's t, `std` being the scale."""
    freedom = np.minimum(freedom, NORMAL_FREEDOM)
    return _interval(mean, std, stdtrit(freedom, 0.5 + coverage / 2))


def _interval(mean, std, quantile):
    with np.errstate(over="ignore"):
        half = quantile * std
        return mean - half, mean + half


def normal_nll(y, mean, std):
    """-log density at y."""
    with np.errstate(over="ignore"):  # infinitely improbable
        z = (y - mean) / std
        return 0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 * z**2


def normal_cdf(y, mean, std):
    """Probability of a value below y."""
    with np.errstate(over="ignore"):
        return ndtr((y - mean) / std)


def normal_crps(y, mean, std):
    """Continuous ranked probability score at y, of a point mass where std is 0.

    Gneiting and Raftery (2007), equation (21).
    """
    certain = std == 0
    with np.errstate(over="ignore"):
        z = np.abs(y - mean) / np.where(certain, 1.0, std)
        z = np.minimum(z, 40.0)  # beyond it the tails are 0 in doubles
        tails = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) - z * ndtr(-z)
        return np.abs(y - mean) + std * (2 * tails - 1 / np.sqrt(np.pi))
