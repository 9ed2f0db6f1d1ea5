"""From validated input to its moments, and how to speak of it (docs/math.md, 3).

What the fits of both estimators begin with.
"""

import numpy as np
from scipy import sparse

from ._gram import EPS, SPARSE_TOLERANCE, reduce_rows, reduce_sparse, rows_of

NO_GROUPS = (
    "No `groups` were given, so the model has no group effects: pass `groups=` (inside "
    "scikit-learn's tools with enable_metadata_routing=True) or set `group_feature`."
)

# A noise variance of up to this many floors, 1e-11 of y in standard deviation, is what
# rounding leaves of an exact fit.
EXACT_FIT = 1e4


def reduce_data(data, n_jobs):
    """Moments of [X y]; without groups all rows are one block."""
    n, p = data.X.shape
    if data.index is None:
        codes, n_groups = np.zeros(n, dtype=np.int32), 1
    else:
        codes, n_groups = data.index.codes, len(data.index)
    if sparse.issparse(data.X):
        return reduce_sparse(data.X, data.y, codes, n_groups, data.weight)

    def read(rows):
        block = np.empty((len(data.y[rows]), p + 1))
        block[:, :p] = rows_of(data.X, rows)
        block[:, p] = data.y[rows]
        return block

    return reduce_rows(read, codes, n_groups, data.weight, n_jobs)


def rank_tolerance(n_rows, n_features, is_sparse):
    """How much the other columns must leave of a column that is independent."""
    return SPARSE_TOLERANCE if is_sparse else 8 * max(n_rows, n_features) * EPS


def column_name(estimator, features, j):
    """What to call column j of [X y] in a message."""
    if j == len(features):
        return "y"
    position = features[j]
    names = getattr(estimator, "feature_names_in_", None)
    return f"Column {int(position) if names is None else names[position]!r} of X"


def count(number, noun):
    """'1 row', '2 rows'."""
    return f"{number:g} {noun}" if number == 1 else f"{number:g} {noun}s"


def check_freedom(n, used):
    """Refuse REML with weights that sum to less than the coefficients it allows for."""
    if n - used < -1e-8 * n:
        raise ValueError(
            f"The weights sum to {n:g}, fewer than the {used:g} coefficients that REML "
            "has to allow for. Weights count repetitions of a row: multiply them, e.g. "
            "so that they sum to the number of rows."
        )


def is_exact(noise_variance, floor):
    """Whether the noise is what rounding leaves of an exact fit."""
    return noise_variance <= EXACT_FIT * floor


def exact_fit_message(n, rank, noise_std):
    """What to say of an exact fit."""
    cause = "y is fitted exactly"
    if n <= rank:
        cause = (
            f"{count(n, 'row')}, {count(rank, 'coefficient')}: no degrees of freedom "
            "left for the variance"
        )
    return (
        f"{cause}. What is left as the standard deviation of the noise, "
        f"{noise_std:.2g}, is the rounding of y, and intervals mean nothing. Use more "
        "rows, fewer features or a larger alpha."
    )


def why_not_identified(labels, n_rows, columns):
    """Why the group variance cannot be told from the noise; None if it is no news."""
    if len(labels) == 1:
        if not columns.has_constant:
            return None
        return (
            f"There is one group only, {labels.tolist()[0]!r}: its random intercept "
            "duplicates the intercept, and the group variance is set to 0. Use two "
            "groups or more."
        )
    if len(labels) == n_rows:
        return (
            f"All {len(labels)} groups have one row each: their variance cannot be "
            "told from the noise, and is set to 0. Use coarser groups."
        )
    return (
        f"The features explain all differences between the {len(labels)} groups: "
        "nothing is left for the group variance, which is set to 0. Leave out features "
        "that are constant within groups."
    )
