"""The rows without the effects of one of several factors that cross (docs/math.md, 11).

The other factors' effects, d in all, are coupled to those of a level of the first where
rows have both: sparse `Links`, and a dense matrix of sums of the eliminated rows.
"""

from copy import copy
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve
from scipy.sparse.csgraph import connected_components

from .coordinates import choose_coordinates
from .elimination import Reader, eliminate_beside, origin_of
from .link_pairs import link_pairs, mirror
from .memory import check_memory
from .qr import EPS, ROUNDINGS, as_rows
from .reduction import root_of_scatter
from .sparse_rows import SparseRows
from .term import effect_columns
from .threads import products_of

# Random effects beside those of the largest factor: their matrix is dense and has 200
# megabytes at this size, and there are a few of them.
MOST_CROSSED = 5_000
# Matrices of that size that a fit holds at a time.
MATRICES = 6
# A column of Z_2 of which the first factor leaves less than this fraction is in its
# span.
SPANNED = 1e-12
# Pairs of links that are worked on at once.
PAIRS_AT_ONCE = 2**18
# Links are worked on as dense rows of d numbers where products of these cost less: one
# takes this fraction of the time of a pair of links.
DENSE = 1 / 20
# Links with so few entries, most of them 0, are made a dense matrix for products.
FEW_ENTRIES = 20_000
# Added to the unit diagonal of a singular matrix that is solved with twice.
RIDGE = 1e-10


@dataclass(frozen=True)
class Links:
    """R12 of the columns of other factors' effects, where it is not zero.

    Attributes
    ----------
    group : ndarray of shape (E,)
        The level of the first factor of each link, in ascending order.
    column : ndarray of shape (E,)
        The effect of another factor, 0 to ``d - 1``, that rows of the level have.
    values : ndarray of shape (E, q)
        R12 of this level and column.
    shape : tuple of int
        (K, d).
    """

    group: np.ndarray
    column: np.ndarray
    values: np.ndarray
    shape: tuple

    def with_values(self, values):
        """The same links with other values; the pairs of links are not looked for
        again.
        """
        links = copy(self)
        object.__setattr__(links, "values", values)
        links.__dict__.pop("products", None)
        return links

    @cached_property
    def bounds(self):
        """The first link of each level, and the end."""
        counts = np.bincount(self.group, minlength=self.shape[0])
        return np.concatenate([[0], np.cumsum(counts)])

    @cached_property
    def partners(self):
        """Number of links of the same level that are not before each link, (E,)."""
        return self.bounds[self.group + 1] - np.arange(len(self.group))

    @cached_property
    def second(self):
        """The second link of each pair of links of a level: for each link in turn, this
        itself and all after it.
        """
        starts = np.cumsum(self.partners) - self.partners
        move = np.arange(len(self.group)) - starts
        second = np.arange(int(self.partners.sum()), dtype=np.int32)
        second += np.repeat(move.astype(np.int32), self.partners)
        return second

    @cached_property
    def places(self):
        """The place of each pair in a (d, d) matrix, flat; the column is not after the
        row of the transpose.
        """
        n_columns = self.shape[1]
        whole = np.int32 if n_columns**2 <= np.iinfo(np.int32).max else np.int64
        column = self.column.astype(whole)
        places = np.repeat(column * n_columns, self.partners)
        places += column[self.second]
        return places

    def blocks(self):
        """Slices of links, and of their pairs, that fit into the cache."""
        ends = np.cumsum(self.partners)
        start, before = 0, 0
        while start < len(ends):
            end = np.searchsorted(ends, before + PAIRS_AT_ONCE, side="right")
            end = max(int(end), start + 1)
            yield slice(start, end), slice(before, int(ends[end - 1]))
            start, before = end, int(ends[end - 1])

    @cached_property
    def is_dense(self):
        """Whether dense rows cost less than pairs of links."""
        n_levels, d = self.shape
        return n_levels * d**2 * DENSE < self.partners.sum()

    @property
    def is_plain(self):
        """Whether `products` of pairs stand for those of all values that are a figure
        of the level times `values`.
        """
        return self.values.shape[1] == 1 and not self.is_dense

    @cached_property
    def pairs(self):
        """The `LinkPairs`."""
        return link_pairs(self.group, self.column, self.partners, self.shape)

    @cached_property
    def products(self):
        """The products of the values of each pair, for q = 1: of `LinkPairs`."""
        return self.pairs.products(self.values[:, 0])

    def add_scatter(self, A, weight):
        """A (d, d) with values'W values added to its upper triangle, in place; W is
        diagonal with the `weight` of levels (K,), and the links are plain.
        """
        return self.pairs.add_scatter(A, self.products, weight)

    def plain_forms(self, C, scale):
        """`forms` of the values of plain links times the `scale` of their columns, (d,)
        or a number, by the upper triangle of C; (K,).
        """
        scale = np.broadcast_to(scale, self.shape[1])
        return self.pairs.forms(self.products, C, scale)

    def dense_blocks(self, values):
        """Dense rows (q, k, d) of some levels, and a slice of these."""
        n_levels, d = self.shape
        step = max(PAIRS_AT_ONCE // d, 1)
        for start in range(0, n_levels, step):
            levels = slice(start, min(start + step, n_levels))
            some = slice(self.bounds[start], self.bounds[levels.stop])
            rows = np.zeros((values.shape[1], levels.stop - start, d))
            rows[:, self.group[some] - start, self.column[some]] = values[some].T
            yield rows, levels

    def scatter(self, values):
        """values'values (d, d), of other `values` in these places."""
        d = self.shape[1]
        if self.is_dense:
            blocks = (rows.reshape(-1, d) for rows, _ in self.dense_blocks(values))
            return sum(A.T @ A for A in blocks)
        product = np.empty(len(self.second))
        for links, pairs in self.blocks():
            left = np.repeat(values[links], self.partners[links], axis=0)
            right = values.take(self.second[pairs], axis=0)
            np.einsum("ia,ia->i", left, right, out=product[pairs])
        return mirror(np.bincount(self.places, product, d * d).reshape(d, d))

    def forms(self, values, C):
        """values C values' of every level, (K, q, q), for a symmetric C (d, d)."""
        n_levels, q = self.shape[0], values.shape[1]
        found, flat = np.zeros((n_levels, q, q)), C.ravel()
        if self.is_dense:
            for A, levels in self.dense_blocks(values):
                found[levels] = np.einsum("agi,bgi->gab", A @ C, A, optimize=True)
            return found
        for links, pairs in self.blocks():
            left = np.repeat(values[links], self.partners[links], axis=0)
            right = values.take(self.second[pairs], axis=0)
            right *= flat.take(self.places[pairs])[:, None]
            group = np.repeat(self.group[links], self.partners[links])
            start = group[0]
            for a in range(q):
                for b in range(q):
                    form = np.bincount(group - start, left[:, a] * right[:, b])
                    found[start : start + len(form), a, b] += form
        return found + np.swapaxes(found, 1, 2) - self._own_forms(values, C)

    def form_sum(self, values, C):
        """The sum of `forms` over all levels, (q, q)."""
        q, flat = values.shape[1], C.ravel()
        if self.is_dense:
            return self.forms(values, C).sum(axis=0)
        total = np.zeros((q, q))
        for links, pairs in self.blocks():
            right = values.take(self.second[pairs], axis=0)
            right *= flat.take(self.places[pairs])[:, None]
            left = np.repeat(values[links], self.partners[links], axis=0)
            total += left.T @ right
        own = (values * np.diag(C)[self.column][:, None]).T @ values
        return total + total.T - own

    def _own_forms(self, values, C):
        """The part of `forms` of each link with itself."""
        n_levels, q = self.shape[0], values.shape[1]
        weight, found = np.diag(C)[self.column], np.empty((n_levels, q, q))
        for a in range(q):
            for b in range(q):
                product = values[:, a] * values[:, b] * weight
                found[:, a, b] = np.bincount(self.group, product, n_levels)
        return found

    def matrices(self, values):
        """One csr_array (K, d) for each of the q columns of `values`."""
        return [
            sparse.csr_array((v, self.column, self.bounds), shape=self.shape)
            for v in np.ascontiguousarray(values.T)
        ]

    def back(self, values, rows):
        """values'rows (d, k), rows being (K, q, k)."""
        if self._are_few(values):
            return self._whole(values).T @ as_rows(rows)
        return sum(M.T @ rows[:, a] for a, M in enumerate(self.matrices(values)))

    def forth(self, values, x):
        """Values x (K, q, k), x being (d, k)."""
        if self._are_few(values):
            sizes = self.shape[0], values.shape[1], x.shape[1]
            return (self._whole(values) @ x).reshape(sizes)
        return np.stack([M @ x for M in self.matrices(values)], axis=1)

    def _are_few(self, values):
        """Whether a product with a dense matrix takes less time than it takes to make
        a sparse one.
        """
        return self.shape[0] * values.shape[1] * self.shape[1] <= FEW_ENTRIES

    def _whole(self, values):
        """The links with some values as dense rows, (K q, d)."""
        whole = np.zeros((self.shape[0], values.shape[1], self.shape[1]))
        whole[self.group, :, self.column] = values
        return as_rows(whole)


@dataclass(frozen=True)
class CrossedGram:
    """Blocks of several factors, the first one eliminated.

    A~ = A - Z_2 a0 has been counted from its fit on the effects of the other factors
    within the levels of the first, and y from its fit on X.

    Attributes
    ----------
    R11 : ndarray of shape (K, q, q)
        Of the first factor.
    R12 : ndarray of shape (K, q, m)
        Of A~.
    R22 : ndarray of shape (k, m)
        Root of A~ after the elimination of the first factor.
    links : Links
        R12 of the columns Z_2 of all other effects.
    W22 : ndarray of shape (d, d)
        Z_2'Z_2 after the elimination.
    W2A : ndarray of shape (d, m)
        Z_2'A~ after the elimination.
    a0 : ndarray of shape (d, m)
    origin : ndarray of shape (m - 1,)
        The coefficients that y is counted from.
    sizes : tuple of (int, int)
        Number of levels and of effects of every factor.
    """

    R11: np.ndarray
    R12: np.ndarray
    R22: np.ndarray
    links: Links
    W22: np.ndarray
    W2A: np.ndarray
    a0: np.ndarray
    origin: np.ndarray
    sizes: tuple

    outer = ()  # of a `AroundGram`

    @cached_property
    def components(self):
        """The effects of the factors that cross, apart where no rows connect them: for
        each size of such a component the effects of those of this size, (n, size).
        """
        outer, links = self.outer, self.links
        links = outer[-1].links if outer else links
        of_rest = self.sizes[1 + len(outer) :]
        q = np.repeat([q for _, q in of_rest], [K for K, _ in of_rest])
        level = np.repeat(np.arange(len(q)), q)
        places = links.group, level[links.column]
        met = sparse.coo_array((np.ones(len(links.group)), places))
        met.resize(links.shape[0], len(q))
        _, label = connected_components(
            sparse.block_array([[None, met], [met.T, None]])
        )
        _, label = np.unique(label[links.shape[0] :][level], return_inverse=True)
        effects, size = np.argsort(label, kind="stable"), np.bincount(label)
        size_of = size[label[effects]]
        return [effects[size_of == s].reshape(-1, s) for s in np.unique(size)]

    @cached_property
    def W2_whole(self):
        """Z_2'A after the elimination, (d, m): not counted from a0."""
        return self.W2A + self.W22_times(self.a0)

    def W22_times(self, x):
        """W22 x of some columns, (d, m)."""
        return (x.T @ self.W22).T  # twice as fast in this order

    @property
    def W22_diagonal(self):
        """The diagonal of W22, (d,)."""
        return np.diag(self.W22)


@dataclass(frozen=True)
class Pattern:
    """The places of links, and the entries of Z_2 that make them.

    Attributes
    ----------
    group, column : ndarray of shape (E,)
    shape : tuple of int
        These are those of `Links`.
    row : ndarray of shape (e,)
        The row of each entry of Z_2.
    entry : ndarray of shape (e,)
    place : ndarray of shape (e,)
        The link that the entry belongs to.
    """

    group: np.ndarray
    column: np.ndarray
    shape: tuple
    row: np.ndarray
    entry: np.ndarray
    place: np.ndarray

    def values(self, axes, weight):
        """R12 of the links, for rows with Q in `axes` (n, q)."""
        entry = self.entry
        if weight is not None:
            entry = entry * np.sqrt(weight)[self.row]
        values = np.empty((len(self.group), axes.shape[1]))
        for a, axis in enumerate(axes.T):
            product = axis[self.row] * entry
            values[:, a] = np.bincount(self.place, product, len(values))
        return values


def pattern(codes, n_levels, Z):
    """The pattern of columns Z (n, d), sparse."""
    Z = sparse.csr_array(Z)
    d = Z.shape[1]
    row = np.repeat(np.arange(len(codes)), np.diff(Z.indptr))
    key = codes[row].astype(np.int64) * d + Z.indices
    present, place = np.unique(key, return_inverse=True)
    return Pattern(*np.divmod(present, d), (n_levels, d), row, Z.data, place.ravel())


def link(codes, n_levels, axes, Z, weight):
    """The links of columns Z (n, d), sparse, of rows with Q in `axes` (n, q)."""
    found = pattern(codes, n_levels, Z)
    values = found.values(axes, weight)
    return Links(found.group, found.column, values, found.shape)


def indicator(codes, n_levels, Z):
    """Columns of the effects of one factor, csr_array (n, K q), level by level."""
    n, q = Z.shape
    columns = codes[:, None].astype(np.int64) * q + np.arange(q)
    starts = np.arange(0, n * q + 1, q)
    return sparse.csr_array((Z.ravel(), columns.ravel(), starts), (n, n_levels * q))


def is_large(terms):
    """Whether terms have more effects than a dense matrix should."""
    return sum(term.size for term in terms) > MOST_CROSSED


def check_size(terms):
    """Refuse a dense matrix of the effects of terms that memory cannot hold."""
    size = sum(term.size for term in terms)
    names = ", ".join(f"{term.name} ({term.size:,})" for term in terms)
    check_memory(
        8 * MATRICES * size**2,
        f"solver='direct' with {size:,} random effects beside those of the largest "
        f"factor ({names})",
        "Use solver='iterative', or 'auto'.",
    )


class Dense:
    """The matrices of the effects beside those of the first factor, and a fit of them:
    one dense matrix of all.
    """

    def left(self, Z, weight, links, product):
        """See `left_of_effects`."""
        return left_of_effects(Z, weight, links, product)

    def fit(self, W22, size, W2A):
        """Nearly a solution of W22 a = W2A; W22 may be singular, and has the rounding
        of the difference that it is, of columns whose squares are `size`.
        """
        unit = np.sqrt(np.maximum(np.diag(W22), 0.0))
        unit = np.where(unit > 0, unit, 1.0)
        scaled = W22 / unit
        scaled /= unit[:, None]
        rounding = ROUNDINGS * len(W22) * EPS * size / unit**2
        scaled[np.diag_indices_from(scaled)] += RIDGE + rounding
        with products_of(len(scaled)):
            factor = cho_factor(scaled, overwrite_a=True, check_finite=False)
        a = np.zeros_like(W2A)
        for _ in range(2):  # once more for the ridge
            left = (W2A - W22 @ a) / unit[:, None]
            a += cho_solve(factor, left, check_finite=False) / unit[:, None]
        return a

    def gram(self, links, W22, **parts):
        """The Gram."""
        return CrossedGram(links=links, W22=W22, **parts)


def crossed_gram(data, terms, elimination, gram, columns, mean, n_jobs, matrices):
    """The blocks of crossed factors, and the coordinates of all terms but the first.

    The rows are read once more: counted from their fit on the effects of the others,
    within the levels of the first factor, they keep their digits in sums of squares.

    Parameters
    ----------
    data : Data
    terms : sequence of Term
        The first one is that of `elimination`.
    elimination : Elimination
    gram : Gram
        Of the first term and the working columns.
    columns : Columns
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among those of A.
    n_jobs : int, default=None
        See `skmixed._input.blocks.map_runs`.
    matrices : Dense or Nesting
        The matrices of all effects but those of the first factor.

    Returns
    -------
    gram : CrossedGram
    coordinates : tuple of Coordinates
    """
    first, *others = terms
    pairs = [search_columns(data, term) for term in others]
    columns_of = [
        indicator(term.codes, term.n_levels, Z)
        for term, (Z, _) in zip(others, pairs, strict=True)
    ]
    Z = sparse.hstack(columns_of, format="csr")
    if sparse.issparse(data.X):
        beside = _BesideSparse(data, first, Z)
    else:
        beside = _Beside(data, first, Z, n_jobs)
    links, W22, a0 = beside.fit(matrices)
    rest, W2A = beside.count(a0)
    mean_of_A = elimination.shift - beside.origin
    work_columns = elimination.work(columns, mean)

    def work(A):
        return work_columns(A - A[..., :1] * mean_of_A)

    W2A, a0 = work(W2A), work(a0)
    R22 = _counted_root(gram, W22, a0) if rest is None else work(rest)
    if first.has_constant:
        constant = np.flatnonzero(~columns.within) + int(columns.has_constant)
        R22[:, constant] = W2A[:, constant] = a0[:, constant] = 0.0
    R12 = gram.R12 - links.forth(links.values, a0)
    stack = np.vstack([gram.R22, gram.R12.reshape(-1, R12.shape[2])])
    start = np.linalg.lstsq(stack[:, :-1], stack[:, -1], rcond=None)[0]
    for A in (R22, R12, W2A, a0):
        A[..., -1] -= A[..., :-1] @ start
    parts = {"R11": gram.R11, "R12": R12, "R22": R22, "W2A": W2A, "a0": a0}
    sizes = tuple((term.n_levels, term.n_columns) for term in terms)
    found = matrices.gram(links, W22, origin=start, sizes=sizes, **parts)
    return found, tuple(coordinates for _, coordinates in pairs)


class _Beside:
    """The rows, the first factor, and the columns Z (n, d) of the others' effects."""

    def __init__(self, data, first, Z, n_jobs):
        self.read, self.weight = Reader(data.X, data.y), data.weight
        self.first, self.Z, self.n_jobs = first, Z, n_jobs
        self.positions = first.columns + 1
        self.origin = origin_of(self.read, self.positions)

    def eliminate(self, read, positions, origin):
        """`eliminate_beside` of some columns."""
        first = self.first
        how = (positions, origin, self.weight, self.Z, self.n_jobs)
        return eliminate_beside(read, first.codes, first.n_levels, *how)

    def fit(self, matrices):
        """Links, W22 and a0."""
        Z, weight = self.Z, self.weight
        *_, axes, product = self.eliminate(self.read, self.positions, self.origin)
        links = link(self.first.codes, self.first.n_levels, axes, Z, weight)
        W22, size = matrices.left(Z, weight, links, product)
        return links, W22, matrices.fit(W22, size, product)

    def count(self, a0):
        """Root of A - Z a0 after the elimination, and its product with Z."""
        m, positions = len(self.origin), self.positions
        slopes = positions[positions > 0]

        def read(rows):
            A = self.read(rows)
            own = A[:, slopes]
            A -= self.Z[rows] @ a0
            return np.hstack([A, own])

        among = np.concatenate([positions[positions == 0], m + np.arange(len(slopes))])
        origin = np.concatenate([self.origin, self.origin[slopes]])
        _, rest, _, product = self.eliminate(read, among, origin)
        return rest[:, :m], product[:, :m]


class _BesideSparse:
    """The same for sparse rows: A is counted in cross-products."""

    def __init__(self, data, first, Z):
        how = (first.codes, first.n_levels, first.columns + 1)
        self.rows = SparseRows(data.X, data.y, data.weight, *how)
        self.Z, self.origin = Z, self.rows.origin

    def fit(self, matrices):
        """Links, W22 and a0."""
        rows, Z = self.rows, self.Z
        links = link(rows.codes, rows.n_levels, rows.dense[1], Z, rows.weight)
        product = rows.product_with(Z, links)
        W22, size = matrices.left(Z, rows.weight, links, product)
        self.left = W22, product
        return links, W22, matrices.fit(W22, size, product)

    def count(self, a0):
        """The rest of the product with Z; the root is that of cross-products."""
        W22, product = self.left
        return None, product - W22 @ a0


def left_of_effects(Z, weight, links, product):
    """W22, and the squares of the columns of Z; where the first factor spans a column,
    nothing of that is left, and `product` is 0 too.
    """
    weighted = Z if weight is None else Z.multiply(weight[:, None]).tocsr()
    whole = (Z.T @ weighted).toarray(order="C")
    size = np.diag(whole).copy()
    if links.is_plain:
        mirror(links.add_scatter(whole, np.full(links.shape[0], -1.0)))
    else:
        whole -= links.scatter(links.values)
    W22 = whole
    spanned = np.diag(W22) <= SPANNED * size
    W22[spanned] = W22[:, spanned] = product[spanned] = 0.0
    return W22, size


def _counted_root(gram, W22, a0):
    """Root of A - Z a0 after the elimination, from that of A: a column of X has the
    rounding of what was eliminated, too.
    """
    R22 = gram.R22
    squares = np.sum(R22**2, axis=0)
    squares[:-1] += np.sum(gram.R12[..., :-1] ** 2, axis=(0, 1))
    return root_of_scatter(R22.T @ R22 - a0.T @ (W22 @ a0), np.sqrt(squares))


def search_columns(data, term):
    """Columns (n, q) of a term's effects in the search, and their coordinates."""
    Z = effect_columns(data.X, term.columns)
    weight, shift = data.weights, np.zeros(term.n_columns)
    if term.has_constant:
        shift[1:] = Z[0, 1:] + weight @ (Z[:, 1:] - Z[0, 1:]) / weight.sum()
        Z -= shift
    rows = np.sqrt(weight)[:, None] * Z
    found = choose_coordinates(rows, shift, term.blocks, weight.sum())
    return Z @ found.change, found
