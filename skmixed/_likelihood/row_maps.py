"""Means and variances of rows given each of many components (docs/math.md, 14).

With one factor both are linear forms of u = (1, x - shift) and of z, so that the rows
at all components are products of matrices: math.md (205).
"""

from dataclasses import dataclass

import numpy as np

# Numbers that are worked on at once: they stay in the cache.
AT_ONCE = 16_384


@dataclass(frozen=True)
class RowMaps:
    """The maps of c components.

    Attributes
    ----------
    of_row : callable
        ``of_row(X)`` gives u, (n, 1 + p), and z, (n, q).
    population : ndarray of shape (1 + p, r c)
        Of u: the mean, and the r - 1 independent errors.
    levels : ndarray of shape (q, K + 1, r c)
        Of z, of every level; that of a new one is the last.
    c : int
    """

    of_row: object
    population: np.ndarray
    levels: np.ndarray
    c: int

    def rows(self, X, codes):
        """Mean and variance (c, n) of rows of dense X; -1 is a new level."""
        n, width = len(X), self.population.shape[1]
        mean, variance = np.empty((n, self.c)), np.empty((n, self.c))
        step = max(AT_ONCE // width, 1)
        order = np.argsort(codes, kind="stable")  # levels are read in turn
        for start in range(0, n, step):
            some = order[start : start + step]
            u, z = self.of_row(X[some])
            H = u @ self.population
            for i, of_effect in enumerate(z.T):
                of_levels = self.levels[i].take(codes[some], axis=0, mode="wrap")
                of_levels *= of_effect[:, None]
                H += of_levels
            H = H.reshape(len(H), -1, self.c)
            mean[some] = H[:, 0]
            errors = H[:, 1:]
            errors *= errors
            variance[some] = errors.sum(axis=1)
        return mean.T, variance.T


def row_maps(posteriors):
    """The `RowMaps` of posteriors; None where several factors share a row."""
    found = [posterior.row_map() for posterior in posteriors]
    if not found or found[0] is None:
        return None
    population, levels = (np.stack(each, axis=-1) for each in zip(*found, strict=True))
    levels = np.moveaxis(levels.reshape(*levels.shape[:2], -1), 1, 0)
    return RowMaps(
        posteriors[0].map_columns,
        population.reshape(len(population), -1),
        np.ascontiguousarray(levels),
        len(found),
    )
