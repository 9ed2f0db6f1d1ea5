"""Conditional covariances of random effects, as far as rows need them (docs/math.md,
16): products with it, and the variance of each row's combination of effects.

The factor is of one term, of nested or of crossed ones; terms are in the order of
elimination.  All is with the coefficients known, in units of sigma^2.
"""

import numpy as np

from .._rows.around import sums_by
from .crossed import CrossedFactor
from .factor import BlockCholesky, by_terms, times, transpose
from .nested import NestedFactor

# Numbers of a dense block of levels by crossed effects that are at hand at once.
AT_ONCE = 2**22


def modes_of_columns(point):
    """Modes of the effects for every column of A, (K, q, m) by terms; of crossed
    factors but the first, less what A has been counted from.
    """
    factor, found = point.factor, []
    if isinstance(factor, CrossedFactor):
        Lambda = point.Lambdas[0]
        first = times(Lambda, times(Lambda.T, factor.projections[0]))
        return [first, *by_terms(factor.change, factor.gram.sizes[1:])]
    for Lambda, projection in zip(point.Lambdas, factor.projections, strict=False):
        found.append(times(Lambda, times(Lambda.T, projection)))
    return found


def covariance_times(factor, parts):
    """Cov(b | y, beta) times columns (K, q, k) of every term, likewise by terms."""
    if isinstance(factor, BlockCholesky):
        return [times(factor.conditional_of(0), parts[0])]
    if isinstance(factor, NestedFactor):
        return _nested_times(factor, parts)
    return _crossed_times(factor, parts)


def _nested_times(factor, parts):
    """Upwards what every level tells about those around it, and downwards again."""
    gram, n_terms = factor.gram, len(parts)
    around, own = None, []
    for at in range(n_terms):
        q = gram.sizes[at][1]
        right = parts[at]
        if around is not None:
            right, around = right + around[:, :q], around[:, q:]
        own.append(times(factor.stages[at].own, right))
        if at < n_terms - 1:
            told = transpose(factor.carries[at]) @ right
            told = told if around is None else told + around
            around = sums_by(gram.parents[at], told, gram.sizes[at + 1][0])
    found, outer = [None] * n_terms, None
    for at in reversed(range(n_terms)):
        b = own[at]
        if outer is not None:
            outer = outer[gram.parents[at]]
            b = b + factor.carries[at] @ outer
        found[at] = b
        outer = b if outer is None else np.concatenate([b, outer], axis=1)
    return found


def _crossed_times(factor, parts):
    gram = factor.gram
    k = parts[0].shape[2]
    right = np.vstack([part.reshape(-1, k) for part in parts[1:]])
    rest = factor.covariance @ (right + gram.links.back(factor.carry, parts[0]))
    first = times(factor.own, parts[0]) + gram.links.forth(factor.carry, rest)
    return [first, *by_terms(rest, gram.sizes[1:])]


def effect_variances(factor, Z, codes):
    """Variance of each row's combination of effects, (n,).

    Parameters
    ----------
    Z : sequence of ndarray of shape (n, q)
        The columns of the effects of every term.
    codes : sequence of ndarray of shape (n,)
        The level of each row.
    """
    if isinstance(factor, BlockCholesky):
        return _forms(factor.conditional_of(0), Z[0], codes[0])
    if isinstance(factor, NestedFactor):
        joint = factor.joint_covariance(0, factor.around[0])
        return _forms(joint, np.hstack(Z), codes[0])
    return _crossed_forms(factor, Z, codes)


def _forms(A, Z, codes):
    """z'A_g z of each row, A symmetric, (K, q, q)."""
    total = np.zeros(len(Z))
    for i in range(Z.shape[1]):
        for j in range(i + 1):
            product = Z[:, i] * Z[:, j] * A[:, i, j].take(codes)
            total += product if i == j else 2 * product
    return total


def _crossed_forms(factor, Z, codes):
    sizes, covariance = factor.gram.sizes, factor.covariance
    total = _forms(factor.conditional_of(0), Z[0], codes[0])
    starts = np.cumsum([0, *(K * q for K, q in sizes[1:])])
    columns = [
        starts[t] + codes[t + 1] * sizes[t + 1][1] + a
        for t in range(len(sizes) - 1)
        for a in range(sizes[t + 1][1])
    ]
    z = [column for part in Z[1:] for column in part.T]
    flat, d = covariance.ravel(), len(covariance)
    for i in range(len(z)):
        for j in range(i + 1):
            product = z[i] * z[j] * flat.take(columns[i] * d + columns[j])
            total += product if i == j else 2 * product
    for rows, cross in _with_others(factor, codes[0]):
        level = codes[0][rows] - codes[0][rows.start]
        for i, column in enumerate(columns):
            weight = 2 * z[i][rows]
            place = level * d + column[rows]
            for a, C in enumerate(cross):
                total[rows] += weight * Z[0][rows, a] * C.ravel().take(place)
    return total


def _with_others(factor, codes):
    """Covariances of the effects of the first term with all others, dense (levels, d)
    for each of the q effects, some levels at a time, and the slice of their rows.
    """
    K, _ = factor.gram.sizes[0]
    carry = factor.gram.links.matrices(factor.carry)
    step = max(AT_ONCE // len(factor.covariance), 1)
    for start in range(0, K, step):
        first, last = np.searchsorted(codes, [start, min(start + step, K)])
        some = slice(start, start + step)
        yield slice(first, last), [C[some] @ factor.covariance for C in carry]
