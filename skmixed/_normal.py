"""Closed forms of the normal distribution N(mean, std^2), value by value."""

import numpy as np
from scipy.special import ndtr, ndtri


def normal_interval(mean, std, coverage):
    """Lower and upper bound of the central interval of probability `coverage`."""
    with np.errstate(over="ignore"):
        half = ndtri(0.5 + coverage / 2) * std
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
