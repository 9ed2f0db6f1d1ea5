"""The one reduction of n rows to figures of groups (docs/math.md, section 3).

No other module makes `Moments` of rows: dense ones a block at a time, sparse ones by
cross-products.
"""

from dataclasses import replace
from itertools import pairwise

import numpy as np
from scipy import sparse

from .._input.blocks import block_rows, cut, map_runs, row_blocks, slices_of
from .elimination import Reader
from .memory import check_memory
from .moments import merge_pieces, moments_about_mean, sparse_means
from .pieces import rows_by_group, rows_of, split_long, spread
from .qr import EPS, ROOTS_AT_ONCE, ROUNDINGS, root_by_difference, rows_root
from .within import level_rows

# Cross-products square the condition number, so that a sparse X can tell dependent or
# constant columns only to about the root of double precision.
SPARSE_TOLERANCE = 1e-7
# Rounding errors of a sum over n rows are as large as so many roots of n, in units of
# double precision, as in a random walk.
OF_SUMS = 2.0
# Means of groups of a sparse X are kept sparse where less than this share of them is
# not 0: an entry of a sparse matrix takes half as much again as one of an array.
DENSE = 0.5
# Arrays of the size of the cross-products, and of their root, that are there at a time.
SQUARES = 5


def reduce_data(data, n_jobs):
    """Moments of [X y]; without groups all rows are one block."""
    n, p = data.X.shape
    if data.index is None:
        codes, n_groups = np.zeros(n, dtype=np.int32), 1
    else:
        codes, n_groups = data.index.codes, len(data.index)
    if sparse.issparse(data.X):
        _check_sparse(n, p, n_groups)
    if sparse.issparse(data.X) and n >= p:
        return reduce_sparse(data.X, data.y, codes, n_groups, data.weight)

    if _is_scattered(data.X, codes):
        read = Reader(data.X, data.y).parts
        return reduce_in_row_order(read, codes, n_groups, data.weight, n_jobs)

    def read(rows):
        y = np.array(data.y[rows])[:, None]
        if sparse.issparse(data.X):
            return data.X[rows].toarray().astype(float, copy=False), y
        X = rows_of(data.X, rows)
        if X.base is not None or not X.flags.c_contiguous or X.dtype != y.dtype:
            X = np.array(X, dtype=float, order="C")
        return X, y

    return reduce_rows(read, codes, n_groups, data.weight, n_jobs)


def _is_scattered(X, codes):
    """Whether the rows of a group are far apart in memory, in columns of their own."""
    if sparse.issparse(X) or X.flags.c_contiguous or not X.flags.f_contiguous:
        return False
    return len(codes) > block_rows(X.shape[1]) and bool((codes[1:] < codes[:-1]).any())


def _check_sparse(n, p, n_groups):
    """Refuse a sparse X whose dense figures do not fit into memory."""
    side = min(n, p) + 1
    needed = 8 * (SQUARES * side * (p + 1) + n_groups * side)
    check_memory(
        needed,
        f"A sparse X of {n} rows and {p} columns with {n_groups} groups",
        "Use fewer columns, such as a coarser encoding, or fewer groups.",
    )


def reduce_rows(read, codes, n_groups, weight=None, n_jobs=None, origins=None):
    """Reduce dense rows to `Moments` in one pass.

    The rows are visited group by group, a block at a time.  Means of groups are taken
    off within the block, so that neither an offset nor a spread between groups costs
    digits, and the deviations go into a running QR.

    Parameters
    ----------
    read : callable
        ``read(rows)`` gives those rows of [X y] as float64 arrays of some columns each,
        new ones if there are no `origins`; `rows` is a slice or an array of row
        numbers.
    codes : ndarray of shape (n,)
        The group of each row, 0 to ``n_groups - 1``, each at least once.
    n_groups : int
    weight : ndarray of shape (n,), default=None
        Positive weights; None means 1.
    n_jobs : int, default=None
        See `skmixed._input.blocks.map_runs`.
    origins : ndarray of shape (n_groups, m), default=None
        The row of each group, or close to it, from which `read` counts its rows; None
        means that it does not.
    """
    order, bounds = rows_by_group(codes, n_groups)
    first = np.concatenate(read(slice(0, 1)), axis=1)[0]
    bounds, owner = split_long(bounds, block_rows(len(first)))
    origin = first if origins is None else None

    def reduce_run(run):
        return _reduce_run(read, order, run, origin, len(first), weight)

    size, mean, within = _join(map_runs(reduce_run, bounds, n_jobs))
    order = None  # frees its memory
    size, mean, within = merge_pieces(size, mean, within, owner, n_groups)
    if origins is None:
        return moments_about_mean(first, size, mean, within)
    mean += origins
    return moments_about_mean(np.zeros(len(first)), size, mean, within)


def reduce_in_row_order(read, codes, n_groups, weight=None, n_jobs=None):
    """Reduce dense rows to `Moments` as `reduce_rows` does, in the order in which they
    come: entries of columns that are apart in memory take twice as long in any other.

    The scatter within is by a difference, or by a second pass where this would cost
    digits.  `read` may give views.
    """
    rows = level_rows(read, codes, n_groups, weight)
    size, ((mean,), scatter) = rows.totals(), rows.sums(n_jobs=n_jobs)
    length = np.sqrt(size)
    mean /= size[:, None]
    within = rows.root_beside(scatter, [length[:, None] * mean], [length])
    first = rows.own[codes[0]]
    mean += rows.own - first  # exact where both are far from zero
    return moments_about_mean(first, size, mean, within)


def _join(parts):
    if len(parts) == 1:
        return parts[0]
    size, mean, within = zip(*parts, strict=True)
    return np.concatenate(size), np.concatenate(mean), rows_root(np.vstack(within))


def _reduce_run(read, order, bounds, origin, m, weight):
    """Sizes, means and root of the scatter within of consecutive pieces: math.md (8).

    Means are counted from the row `origin`, or as the rows are if it is None.
    """
    size, mean = np.empty(len(bounds) - 1), np.empty((len(bounds) - 1, m))
    roots = []
    for i, j in pairwise(cut(bounds, block_rows(m))):
        rows = slice(bounds[i], bounds[j])
        rows = rows if order is None else order[rows]
        columns = read(rows)
        pieces, length = bounds[i : j + 1] - bounds[i], np.diff(bounds[i : j + 1])
        if origin is not None:
            # Counted from a row of its own group, a row has lost the offset of the data
            # and the spread between groups, and all its own digits are left.
            own = [A[pieces[:-1]] for A in columns]
            for A, first in zip(columns, own, strict=True):
                A -= spread(first, length)
        a = None if weight is None else weight[rows]
        size[i:j] = length if a is None else np.add.reduceat(a, pieces[:-1])
        weighted = columns if a is None else [a[:, None] * A for A in columns]
        sums = [np.add.reduceat(A, pieces[:-1], axis=0) for A in weighted]
        mean[i:j] = np.concatenate(sums, axis=1) / size[i:j, None]
        roots.append(_root_within(columns, a, mean[i:j], size[i:j], length))
        if origin is not None:
            mean[i:j] += np.concatenate(own, axis=1) - origin
        columns = None  # frees their memory before the next block is read
        if len(roots) > ROOTS_AT_ONCE or j == len(size):
            roots = [roots[0] if len(roots) == 1 else rows_root(np.vstack(roots))]
    return size, mean, roots[0]


@np.errstate(over="ignore", under="ignore", invalid="ignore")
def _root_within(columns, a, mean, size, length):
    """Root of the scatter of pieces of rows about their means.

    From rows that are counted from one of their own piece the scatter of the means is
    subtracted: where it is the larger part, so that digits would be lost, the means are
    taken off the rows.
    """
    n, m = len(columns[0]), mean.shape[1]
    between = np.sqrt(size)[:, None] * mean
    if n > m:
        root = root_by_difference(_scatter(columns, a), between.T @ between)
        if root is not None:
            return root
    A = np.concatenate(columns, axis=1) - spread(mean, length)
    return rows_root(A if a is None else A * np.sqrt(a)[:, None])


def _scatter(columns, a):
    """Weighted cross-products of columns that are in several arrays."""
    places = slices_of(A.shape[1] for A in columns)
    scatter = np.empty((places[-1].stop,) * 2)
    for i, (A, mine) in enumerate(zip(columns, places, strict=True)):
        weighted = A if a is None else a[:, None] * A
        for B, other in zip(columns[i:], places[i:], strict=True):
            scatter[mine, other] = weighted.T @ B
            scatter[other, mine] = scatter[mine, other].T
    return scatter


def reduce_centred(A, weight):
    """Reduce rows of one group to `Moments`.

    `A` (n, 1 + m) is [1 X y], X and y centred, though not by these weights: the root of
    its cross-products has the weighted means in its first row.
    """
    roots = [np.empty((0, A.shape[1]))]
    for rows in row_blocks(*A.shape):
        roots.append(rows_root(A[rows] * np.sqrt(weight[rows])[:, None]))
    root = rows_root(np.vstack(roots))
    size, mean = root[0, 0] ** 2, root[0, 1:] / root[0, 0]
    return moments_about_mean(
        np.zeros(len(mean)), np.array([size]), mean[None], root[1:, 1:]
    )


def reduce_sparse(X, y, codes, n_groups, weight=None):
    """Reduce a CSR matrix X and y to `Moments`, by cross-products.

    X is never made dense; its cross-products (n_features, n_features) are.
    """
    if weight is None:
        return _reduce_sparse(X, y, codes, n_groups, np.ones(len(y)))
    unit = weight.max()  # squares of X times weights in their own unit may overflow
    moments = _reduce_sparse(X, y, codes, n_groups, weight / unit)
    within = np.sqrt(unit) * moments.within
    return replace(moments, size=unit * moments.size, within=within)


def _reduce_sparse(X, y, codes, n_groups, a):
    n, p = X.shape
    X, first = without_offsets(X)
    members = sparse.csc_array((a, codes, np.arange(n + 1)), shape=(n_groups, n))
    size = np.asarray(members.sum(axis=1)).ravel()
    mean_X = sparse.csr_array(members @ X) * (1 / size)[:, None]
    deviation = y - y[0]
    rounding = ROUNDINGS * EPS * np.sqrt(a @ deviation**2)
    mean_y = members @ deviation / size
    deviation = deviation - mean_y[codes]
    rest = members @ deviation / size
    mean_y += rest
    deviation -= rest[codes]
    if np.sqrt(a @ deviation**2) <= rounding:  # its products with X are no scatter
        deviation[:] = 0.0
    scatter = np.empty((p + 1, p + 1))
    weighted = X.multiply(a[:, None]).tocsr()
    between = mean_X * np.sqrt(size)[:, None]
    scatter[:p, :p] = (X.T @ weighted).toarray()
    scatter[:p, :p] -= (between.T @ between).toarray()
    scatter[:p, p] = scatter[p, :p] = weighted.T @ deviation
    scatter[p, p] = np.sum(a * deviation**2)
    square_sum = X.multiply(weighted).sum(axis=0)
    scale = np.sqrt(np.append(np.asarray(square_sum).ravel(), scatter[p, p]))
    mean = sparse.hstack([mean_X, sparse.csr_array(mean_y[:, None])])
    dense = mean.nnz > DENSE * n_groups * p
    mean = mean.toarray() if dense else sparse_means(mean, np.zeros(p + 1))
    moments = moments_about_mean(
        np.append(first, y[0]), size, mean, root_of_scatter(scatter, scale, n)
    )
    varies = moments.spread > SPARSE_TOLERANCE * scale
    varies[p] = True
    return replace(moments, mean=moments.mean * varies, within=moments.within * varies)


def without_offsets(X):
    """X and the first entries of the columns without zeros, from which these columns
    are counted: squares of an offset would cost the digits of the deviations.
    """
    first = np.zeros(X.shape[1])
    full = np.bincount(X.indices, minlength=X.shape[1]) == X.shape[0]
    if full.any() and X.has_canonical_format:
        first[full] = X[:1].toarray()[0, full]
        X = sparse.csr_array((X.data - first[X.indices], X.indices, X.indptr), X.shape)
    return X, first


def root_of_scatter(scatter, scale, n_rows=1):
    """Root of a cross-product matrix whose rounding errors are relative to `scale`, and
    those of sums over so many rows to the root of their number.
    """
    unit, of_sums = np.where(scale > 0, scale, 1.0), OF_SUMS * np.sqrt(n_rows) * EPS
    # A column of X whose scatter is rounding is constant: so is its product with y.
    rounding = np.diag(scatter)[:-1] <= max(64 * EPS, of_sums) * unit[:-1] ** 2
    constant = np.append(rounding, False)
    scatter = np.where(constant | constant[:, None], 0.0, scatter)
    values, vectors = np.linalg.eigh(scatter / np.outer(unit, unit))
    noise = (len(scale) * EPS + of_sums) * max(values.max(initial=0.0), 1.0)
    values = np.where(values > noise, values, 0.0)
    return (np.sqrt(values)[:, None] * vectors.T) * scale
