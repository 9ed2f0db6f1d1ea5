"""Closed forms of the normal distribution N(mean, std^2), value by value."""

import numpy as np
from scipy.special import ndtr, ndtri, stdtrit

NORMAL_FREEDOM = 1e10  # degrees of freedom with which Student's t is normal


def normal_interval(mean, std, coverage):
    """Lower and upper bound of the central interval of probability `coverage`."""
    return _interval(mean, std, ndtri(0.5 + coverage / 2))


def normal_covers(y, mean, std, coverage):
    """Whether y is inside the central interval of probability `coverage`."""
    low, high = normal_interval(mean, std, coverage)
    return (low <= y) & (y <= high)


def nll_per_row(log_density, n_rows):
    """Joint negative log-likelihood per row, from the joint log-density of the rows."""
    return -log_density / n_rows


def t_interval(mean, std, coverage, freedom):
    """Lower and upper bound of Student's t with the scale `std`."""
    freedom = np.minimum(freedom, NORMAL_FREEDOM)
    return _interval(mean, std, stdtrit(freedom, 0.5 + coverage / 2))


def _interval(mean, std, quantile):
    with np.errstate(over="ignore"):
        half = quantile * std
        return mean - half, mean + half


def normal_nll(y, mean, std):
    """Negative logarithm of the density at y."""
    with np.errstate(over="ignore"):  # a value may be infinitely improbable
        z = (y - mean) / std
        return 0.5 * np.log(2 * np.pi) + np.log(std) + 0.5 * z**2


def normal_cdf(y, mean, std):
    """Probability of a value below y."""
    with np.errstate(over="ignore"):
        return ndtr((y - mean) / std)


def normal_crps(y, mean, std):
    """Continuous ranked probability score at y; std = 0 is a point mass.

    The form is that of Gneiting and Raftery (2007, Journal of the American Statistical
    Association 102), their equation (21).
    """
    certain = std == 0
    with np.errstate(over="ignore"):
        z = np.abs(y - mean) / np.where(certain, 1.0, std)
        z = np.minimum(z, 40.0)  # beyond 40 the tails are 0 in double precision
        tails = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi) - z * ndtr(-z)
        return np.abs(y - mean) + std * (2 * tails - 1 / np.sqrt(np.pi))
