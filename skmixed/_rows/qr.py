"""Triangular roots of rows: R of a QR factorisation, a block of rows at a time."""

import numpy as np
from scipy.linalg import blas, lapack

from .._input.blocks import block_rows, row_blocks

EPS = np.finfo(float).eps

# Rounding errors of sums of products of rows, in units of the last digit of their sum.
ROUNDINGS = 16
# Cholesky's factor is taken if the other columns leave at least this fraction of a
# column of unit norm: the rounding error grows with the square of its inverse.
CHOLESKY_LIMIT = 0.1
# Roots of blocks that are joined in one step: fewer and larger calls of LAPACK.
ROOTS_AT_ONCE = 16
# A scatter serves while it is at most so many times what the effects leave of it (twice
# on average); beyond it the difference loses digits.
CANCELLED = 16.0


def rows_root(A):
    """Upper triangular root of A'A, with at most m rows.

    By Cholesky where that costs no more than two digits, else by QR.
    """
    root = None
    if len(A) > A.shape[1]:
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            root = scatter_root(A.T @ A)
    return np.linalg.qr(A, mode="r") if root is None else root


def as_rows(stack):
    """A stack (K, q, m) as rows (K q, m); ``reshape(-1, m)`` refuses an m of 0."""
    K, q, m = stack.shape
    return stack.reshape(K * q, m)


def rows_in_memory(stack):
    """The same rows in whichever order needs no copy, (K q, m)."""
    K, q, m = stack.shape
    return stack.T.reshape(m, q * K).T if is_level_last(stack) else as_rows(stack)


def level_last(stack):
    """A stack (K, q, m) whose levels are next to each other in memory, so that products
    of small matrices are elementwise products of long arrays; for q = 1 they are that
    in any order.
    """
    return stack if stack.shape[1] == 1 else np.ascontiguousarray(stack.T).T


def is_level_last(stack):
    """Whether a stack (K, q, m) is in the order of `level_last`."""
    return stack.ndim == 3 and stack.strides[0] == stack.itemsize < stack.strides[2]


def stacked_root(parts, weight=None, offset=0.0):
    """Root of the rows of all parts, a block at a time.

    With `weight`, one figure for each row of every part, it is the root of the weighted
    rows, `offset` having been added to each.
    """
    m = parts[0].shape[1]
    pending = []
    for part in parts:
        for rows in row_blocks(len(part), m):
            block = part[rows]
            if weight is not None:
                block = np.sqrt(weight[rows])[:, None] * (block + offset)
            pending.append(block)
            if sum(map(len, pending)) > block_rows(m):
                pending = [rows_root(np.vstack(pending))]
    return rows_root(np.vstack(pending) if pending else np.empty((0, m)))


def scatter_root(scatter):
    """Upper triangular root of cross-products (m, m); None where one is not finite, or
    columns of unit norm are too close.
    """
    norm = np.sqrt(scatter.diagonal())
    root, failed = lapack.dpotrf(scatter)
    if failed and not norm.all():
        is_zero = norm == 0
        root, failed = lapack.dpotrf(scatter + np.diag(is_zero))
        root[:, is_zero] = 0.0
    left = root.diagonal() - CHOLESKY_LIMIT * norm  # not a number, where one is not
    return root if not failed and (left >= 0).all() else None


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def root_by_difference(scatter, spanned, gone=()):
    """The root of what is left of a scatter (m, m) beside columns that have `spanned`
    of it; None where the difference would cost digits.  Of the columns `gone` nothing
    is left.
    """
    total, left = np.diag(scatter).copy(), scatter - spanned
    some = list(gone)
    left[some] = left[:, some] = total[some] = 0.0
    if (total <= CANCELLED * np.diag(left)).all():
        return scatter_root(left)
    return None


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def scatter_roots(scatter):
    """Upper triangular roots of cross-products (..., m, m) from columns of unit norm,
    and whether these are far enough from each other for them.
    """
    norm = np.sqrt(np.diagonal(scatter, axis1=-2, axis2=-1))
    known = (norm < np.inf).all(axis=-1)
    if not (known.all() and norm.all()):
        eye = np.eye(norm.shape[-1])
        scatter = np.where(known[..., None, None], scatter, eye)
        scatter = scatter + eye * (norm == 0)[..., None]  # a root with a column of 0
        unit = np.where(known[..., None] & (norm > 0), norm, 1.0)
    else:
        unit = norm
    scatter = scatter / unit[..., None] / unit[..., None, :]
    try:
        root = np.linalg.cholesky(scatter)
    except np.linalg.LinAlgError:
        return scatter, np.zeros(known.shape, dtype=bool)
    diagonal = np.diagonal(root, axis1=-2, axis2=-1)
    is_exact = known & (diagonal.min(axis=-1) > CHOLESKY_LIMIT)
    return np.swapaxes(root, -1, -2) * norm[..., None, :], is_exact


def column_norms(A):
    """Euclidean norms of columns, even of those whose squares would overflow."""
    if not A.size:
        return np.zeros(A.shape[1])
    return np.array([blas.dnrm2(column) for column in A.T])
