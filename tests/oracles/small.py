"""Moments, Gram and likelihood of small sets of data, as a fit makes them."""

import numpy as np

from oracles.reference import with_intercept
from skmixed._likelihood.random_intercept import RandomIntercept
from skmixed._rows.gram import random_intercept_gram
from skmixed._rows.reduction import reduce_rows


def reader(A):
    return lambda rows: [np.array(A[rows], dtype=float)]


def moments_of(A, groups, weight=None, n_jobs=None, reduce=reduce_rows):
    return reduce(reader(A), groups, groups.max() + 1, weight, n_jobs)


def gram_of(X, y, groups, weight=None):
    """Gram of [1, X, y]."""
    A = np.column_stack([with_intercept(X), y])
    moments = moments_of(A, groups, weight)
    return random_intercept_gram(
        moments.size, moments.mean + moments.shift, moments.within
    )


def model_of(X, y, groups, reml, weight=None, **kwargs):
    kwargs = {"floor": 1e-20, **kwargs}
    n = len(y) if weight is None else weight.sum()
    return RandomIntercept(gram_of(X, y, groups, weight), n, reml, **kwargs)
