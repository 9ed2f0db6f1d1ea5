"""A criterion of many columns as one of as many columns as there are groups
(docs/math.md, section 5).

K groups tell K combinations of the columns apart.  In columns of which the scatter that
does not depend on the variance ratio is the identity, the others are rotated out: their
share in y is the same at every ratio.
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import solve_triangular

from .._rows.gram import Gram
from .._rows.qr import rows_root

# Columns from which on it pays; below, an evaluation takes a fraction of a millisecond.
FEWEST_COLUMNS = 32
# The least diagonal of the root of the fixed scatter, of columns of unit norm:
# solutions by a smaller one have lost half of their digits.
LEAST_DIAGONAL = 1e-8


def condense(likelihood):
    """The same likelihood, up to a constant, with fewer columns: math.md (18a).

    Parameters
    ----------
    likelihood : RandomIntercept

    Returns
    -------
    RandomIntercept
        The likelihood itself where it has no more columns than blocks of groups.
    """
    gram, penalty = likelihood.gram, likelihood.penalty
    if gram.R12.shape[2] <= FEWEST_COLUMNS:
        return likelihood
    fixed = gram.R22 if penalty is None else np.vstack([gram.R22, penalty])
    some = fixed[:, :-1].any(axis=0)
    k = int(some.sum())
    if k < FEWEST_COLUMNS or k <= len(gram.R12):
        return likelihood
    root = rows_root(fixed[:, np.append(some, True)])
    if not _is_well_conditioned(root, k):
        return likelihood
    F = root[:k, :k]
    lead, _ = np.linalg.qr(_over(gram.R12[:, 0, :-1][:, some], F).T)
    rest = root[:k, k] - lead @ (lead.T @ root[:k, k])  # its coefficients, at any ratio
    others = np.append(~some, True)

    def turned(rows):
        own = _over(rows[:, :-1][:, some], F)
        turned = np.hstack([rows[:, others][:, :-1], own @ lead, rows[:, -1:]])
        return turned, own

    R12, _ = turned(gram.R12[:, 0])
    R22, own = turned(gram.R22)
    R22[:, -1] -= own @ rest
    n_fixed = k - lead.shape[1]
    if penalty is not None:
        penalty, own = turned(penalty)
        penalty[:, -1] -= own @ rest
        n_fixed -= np.sum(own**2) - np.sum((own @ lead) ** 2)
        penalty = rows_root(penalty)
    gram = Gram(gram.R11, R12[:, None, :], rows_root(R22), gram.multiplicity)
    n = likelihood.n - n_fixed if likelihood.reml else likelihood.n
    return replace(likelihood, gram=gram, penalty=penalty, n=n)


def _is_well_conditioned(root, k):
    if len(root) < k:
        return False
    norm = np.linalg.norm(root[:k, :k], axis=0)
    return (np.abs(np.diag(root)[:k]) > LEAST_DIAGONAL * norm).all()


def _over(rows, F):
    """rows F^-1 of a triangular F."""
    return solve_triangular(F, rows.T, trans="T").T
