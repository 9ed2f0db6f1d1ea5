"""Which columns of X others determine (docs/math.md, section 2)."""

import numpy as np

# A column is dependent on those before it where less than this fraction of it is left:
# the tolerance of R's `lm` and lme4.
LEFT = 1e-7
# A figure that is smaller than this fraction of the terms that it is a sum of is 0.
CANCELLED = 1e-8
# Rounding of the mean of a centred column, in units of its norm.
OF_MEAN = 1e-13


def find_dependence(into_user, shift):
    """The dependent columns of X.

    Parameters
    ----------
    into_user : ndarray of shape (k, p)
        Of rank k: X less `shift` is the working columns times this.
    shift : ndarray of shape (p,)
        Beside an intercept, where the columns of X are counted from; else 0.

    Returns
    -------
    estimable : ndarray of shape (1 + p,)
        Whether the intercept and the coefficient of each column are the same in all
        solutions: those of a column that others determine are not.
    logdet : float
        log|B'B|, B being the first independent columns of the map from working columns
        to X.
    """
    p = into_user.shape[1]
    norm = np.abs(into_user).max(axis=0, initial=0.0)
    norm[norm == 0] = 1.0
    A, shift = into_user / norm, shift / norm
    # A working column may be far smaller than the level of the column that it is.
    size = np.abs(A).max(axis=1, initial=0.0)
    size[size == 0] = 1.0
    A = A / size[:, None]
    first = first_independent(A)
    rest = np.delete(np.arange(p), first)
    inverse = np.linalg.inv(A[:, first])
    shares = inverse @ A[:, rest]
    of_terms = np.abs(inverse) @ np.abs(A[:, rest])
    shares[np.abs(shares) <= CANCELLED * of_terms] = 0.0
    # A combination of columns that is 0 takes its level from the intercept.
    level = shift[rest] - shift[first] @ shares
    of_terms = np.abs(shift[rest]) + np.abs(shift[first]) @ np.abs(shares)
    estimable = np.ones(1 + p, dtype=bool)
    estimable[0] = not (np.abs(level) > CANCELLED * of_terms + OF_MEAN).any()
    estimable[1 + rest] = False
    estimable[1 + first[shares.any(axis=1)]] = False
    logdet = np.linalg.slogdet(A[:, first])[1]
    logdet += np.log(norm[first]).sum() + np.log(size).sum()
    return estimable, float(2 * logdet)


def first_independent(A):
    """Positions of the first columns of A (k, p), of unit size, that span the others.

    There are k of them: where fewer are longer than `LEFT` beside those before them,
    the longest of the remaining columns join them.
    """
    k, p = A.shape
    Q, left = np.zeros((k, k)), np.array(A)
    chosen = []
    for j in range(p):
        if len(chosen) == k:
            break
        if np.linalg.norm(left[:, j]) > LEFT * np.linalg.norm(A[:, j]):
            _take(Q, left, chosen, j)
    while len(chosen) < k:
        _take(Q, left, chosen, int(np.argmax(np.linalg.norm(left, axis=0))))
    return np.sort(np.array(chosen, dtype=int))


def _take(Q, left, chosen, j):
    """Add column j to the `chosen`, and take its direction off all that is left."""
    q = left[:, j] - Q @ (Q.T @ left[:, j])  # once more, against rounding
    q /= np.linalg.norm(q)
    Q[:, len(chosen)] = q
    left -= np.outer(q, q @ left)
    left[:, j] = 0.0
    chosen.append(j)
