"""Means and variances of rows given each of many components (docs/math.md, 14).

With one factor both are linear forms of u = (1, x - shift) and of z, so that the rows
at all components are products of matrices: math.md (205).
"""

from functools import partial

import numpy as np

# Numbers that are worked on at once: they stay in the cache.
AT_ONCE = 16_384


def row_maps(posteriors):
    """`_mean_and_variance` at all posteriors at once, as a function of rows; None where
    several factors share a row.
    """
    found = [posterior.row_map() for posterior in posteriors]
    if not found or found[0] is None:
        return None
    population, levels = (np.stack(each, axis=-1) for each in zip(*found, strict=True))
    levels = np.moveaxis(levels, 1, 0)
    return partial(
        _mean_and_variance,
        posteriors[0].map_columns,
        population,
        np.ascontiguousarray(levels).reshape(*levels.shape[:2], -1),
    )


def _mean_and_variance(of_row, population, levels, X, codes):
    """Mean and variance (c, n) of rows at c components.

    Parameters
    ----------
    of_row : callable
        ``of_row(X)`` gives u and z of rows.
    population : ndarray of shape (1 + p, w, c)
        The maps of u: the mean, and the independent errors of it.
    levels : ndarray of shape (q, K + 1, w * c)
        The maps of z of every level; the last one is that of new levels.
    X : ndarray of shape (n, p)
    codes : ndarray of shape (n,)
        -1 for a new level.
    """
    n, (width, c) = len(X), population.shape[1:]
    mean, variance = np.empty((n, c)), np.empty((n, c))
    population = population.reshape(len(population), -1)
    step = max(AT_ONCE // (width * c), 1)
    order = np.argsort(codes, kind="stable")  # levels are read in turn
    for start in range(0, n, step):
        some = order[start : start + step]
        u, z = of_row(X[some])
        H = u @ population
        for i, of_effect in enumerate(z.T):
            of_levels = levels[i].take(codes[some], axis=0, mode="wrap")
            of_levels *= of_effect[:, None]
            H += of_levels
        H = H.reshape(len(H), -1, c)
        mean[some] = H[:, 0]
        errors = H[:, 1:]
        errors *= errors
        variance[some] = errors.sum(axis=1)
    return mean.T, variance.T
