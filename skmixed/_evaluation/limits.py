"""Rows that cross-fitting cannot do with, which are refused before a regressor is
fitted: figures out of range, weights that are no counts.
"""

from dataclasses import replace

import numpy as np

from .._likelihood.criterion import check_freedom
from .._results.random_intercept import make_likelihood
from .._rows.columns import check_range
from .._rows.statistics import summarize

# Deviations of y are within 1 / this and this: predictions of y may be rounding beside
# them, or far larger, and their squares have to be in the range of double precision.
LARGEST = 1e100
# The same for boosted trees of scikit-learn, whose gradients are in single precision.
LARGEST_SINGLE = 1e30


def check_scale(data, names, *, fourth_powers, single):
    """Refuse columns of the linear part, and y, whose figures are out of range.

    Parameters
    ----------
    data : Data
    names : callable
        ``names(j)`` is the name of column j of [X y].
    fourth_powers : bool
        Whether those of the deviations of y need to be in range.
    single : bool
        Whether the regressor computes in single precision.
    """
    moments = summarize(data).moments
    check_range(moments, names, fourth_powers)
    size = moments.spread[-1] or abs(moments.shift[-1])
    of, largest = "squares of predictions of y, which may be far from it,", LARGEST
    kind = "double"
    if single:
        of, largest, kind = "gradients of the boosted trees", LARGEST_SINGLE, "single"
    if size and not 1 / largest < size < largest:
        verb = "varies by" if moments.spread[-1] else "is of order"
        raise ValueError(
            f"y {verb} {size:.0e}; {of} leave the range of {kind} precision beyond "
            f"{1 / largest:.0e} to {largest:.0e}. Rescale it."
        )


def check_weights(data, splits):
    """Refuse weights that sum to less than the coefficients that REML allows for, of
    the calibrators or of the linear mixed model of the training rows of a fold.
    """
    if data.weight is None:
        return
    p, total = data.X.shape[1], data.weight.sum()
    if total < 2 + p:
        check_freedom(total, min(1 + _rank(data), data.n_rows))
    for train, _ in splits:
        of_fold = data.weight[train].sum()
        if of_fold < 1 + p:
            sums = f"{total:g}, in the rows of a fold to {of_fold:g}"
            check_freedom(of_fold, _rank(data.take(train)), sums)


def _rank(data):
    """Number of independent columns of the linear part, the constant included."""
    p = data.X.shape[1]
    statistics = summarize(replace(data, features=np.arange(p)))
    options = {"method": "reml", "fit_intercept": True, "alpha": 0.0}
    return make_likelihood(statistics, **options)[0].rank
