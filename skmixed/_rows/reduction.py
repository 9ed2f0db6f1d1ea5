"""From validated input to its moments, and how to speak of it (docs/math.md, 3).

What the fits of both estimators begin with.
"""

import numpy as np
from scipy import sparse

from .gram import reduce_rows, reduce_sparse, rows_of


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
