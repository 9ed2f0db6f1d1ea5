"""The covariance of all random effects given the data and beta (docs/math.md, 13).

The terms stand in the order in which their effects are eliminated.  The first ones are
conditionally independent from level to level, given all terms after them; the last ones
are `dense`.  With eps the errors that are left at each step,

    b = N eps,   Cov(eps | y, beta) = blockdiag(own of the first terms, dense)

N is unit upper triangular and sparse: a level reaches those effects that its rows met.
A single factor has N = I and no dense effects; nested factors have no dense ones; of
crossed factors all but the largest, and those that are nested around it, are dense.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag, lapack, solve_triangular

from .._rows.memory import check_memory
from .._rows.sparse_matrix import SparseMatrix, sparse_matrix
from .factor import diagonal_blocks, on_diagonal, places_of_terms

# As many rows as this have their joint density from their covariance matrix.
FEW_ROWS = 100
# Numbers at hand when sums over pairs of sparse entries are taken: a few megabytes.
PAIRS_AT_ONCE = 2**20
# A product with a dense row takes this fraction of that of a pair, a number.
PRODUCT = 1 / 32
# Cross-products of rows keep half of the digits where the variance of effects times the
# rows' information about them is no more than this.
LARGE = 1e8
# Matrices of all coupled effects that are there at a time.
MATRICES = 4
# A pivot of a covariance that is smaller than this share of the largest is rounding.
PIVOT = 1e-14


@dataclass(frozen=True)
class Conditional:
    """Cov(b | y, beta) in the factored form math.md (81).

    Attributes
    ----------
    sizes : tuple of (int, int)
        Levels K and columns q of every term, in the order of elimination.
    own : tuple of ndarray of shape (K, q, q)
        Cov(eps) of each level of the first terms.
    dense : ndarray of shape (d, d)
        Cov(eps) of the effects of all other terms, level by level.
    chain : SparseMatrix of shape (E, E) or None
        N among the E effects of the first terms; None is the identity.
    reach : SparseMatrix of shape (E, d) or None
        N from the first terms to the dense effects; None where there are none.
    spread : tuple of ndarray of shape (K, q, q)
        reach dense reach' of each level of the first terms.
    """

    sizes: tuple[tuple[int, int], ...]
    own: tuple[np.ndarray, ...]
    dense: np.ndarray
    chain: SparseMatrix | None
    reach: SparseMatrix | None
    spread: tuple[np.ndarray, ...]

    @property
    def few_rows(self):
        """So many rows have their joint density from their covariance matrix."""
        return max(FEW_ROWS, len(self.dense))

    @property
    def n_sparse(self):
        """Number of the terms that are not dense."""
        return len(self.own)

    @cached_property
    def places(self):
        """The places of each term's effects among all E + d, slices."""
        return places_of_terms(self.sizes)

    @property
    def E(self):
        """Number of effects of the first terms."""
        return sum(K * q for K, q in self.sizes[: self.n_sparse])

    # Rows with weights z on the levels `codes` of every term.

    def rows(self, Z, codes, n):
        """The weights of the effects in each row, csr_array (n, E + d).

        Parameters
        ----------
        Z : list of ndarray of shape (n, q)
            One for each term.
        codes : list of ndarray of shape (n,)
            Levels; -1 for a level that is not known, which adds nothing.
        n : int
        """
        starts = [here.start for here in self.places]
        return rows_of_effects(Z, codes, starts, (n, self.E + len(self.dense)))

    def weights(self, rows):
        """The weights of eps in rows z'b, Z (n, E + d): of those of the first terms
        (n, E), and of the dense effects (n, d).
        """
        first, rest = rows[:, : self.E], rows[:, self.E :]
        if self.reach is not None:
            rest = rest + first @ self.reach.matrix
        return first if self.chain is None else first @ self.chain.matrix, rest

    @property
    def N(self):
        """N of all effects, (E + d, E + d)."""
        E, d = self.E, len(self.dense)
        chain = sparse.eye_array(E) if self.chain is None else self.chain.matrix
        none = sparse.csr_array((E, d))
        reach = none if self.reach is None else self.reach.matrix
        below = sparse.hstack([sparse.csr_array((d, E)), sparse.eye_array(d)])
        return sparse.vstack([sparse.hstack([chain, reach]), below]).tocsr()

    def variance(self, Z, codes, n):
        """Variance (n,) of z'b of each row; arguments as those of `rows`."""
        total = np.zeros(n)
        for t, (row, level, w) in enumerate(self._own_weights(Z, codes)):
            form = _forms(w, self.own[t].take(level, axis=0), w)
            total += form if row is None else np.bincount(row, form, n)
        if len(self.dense):
            self._add_dense(total, Z, codes)
        # A level with fewer rows than effects leaves a direction open, beside which
        # the variance of a row may be less than rounding.
        return np.maximum(total, 0.0)

    def _own_weights(self, Z, codes):
        """Rows (None for all, each once), levels and weights (rows, q) of eps, for each
        of the first terms.
        """
        if self.chain is None:
            for z, code in zip(Z[: self.n_sparse], codes, strict=False):
                known = None if (code >= 0).all() else np.flatnonzero(code >= 0)
                some = slice(None) if known is None else known
                yield known, code[some], z[some]
            return
        k = self.n_sparse
        starts = [here.start for here in self.places[:k]]
        W = rows_of_effects(Z[:k], codes[:k], starts, (len(codes[0]), self.E))
        W = W @ self.chain.matrix
        for here, (_, q) in zip(self.places[:k], self.sizes, strict=False):
            yield _blocks(W[:, here], q)

    def _add_dense(self, total, Z, codes):
        """Add the part of the variance that the dense effects have, pair by pair:
        math.md (83).
        """
        for t, z in enumerate(Z):
            for s in range(t, len(Z)):
                both = np.flatnonzero((codes[t] >= 0) & (codes[s] >= 0))
                if not len(both):
                    continue
                C = self.dense_covariance(t, s, codes[t][both], codes[s][both])
                form = _forms(z[both], C, Z[s][both])
                total[both] += form if s == t else 2 * form

    def dense_covariance(self, t, s, i, j):
        """Covariance (n, q_t, q_s), by the dense effects, of levels i of term t with
        levels j of term s.
        """
        if s == t and (i == j).all():
            return self._dense_blocks(t).take(i, axis=0)
        K = self.sizes[s][0]
        pairs, member = np.unique(i.astype(np.int64) * K + j, return_inverse=True)
        i, j = np.divmod(pairs, K)
        (_, q), (_, r) = self.sizes[t], self.sizes[s]
        C = np.empty((len(pairs), q, r))
        (A, first), (B, second) = self._reach_of(t), self._reach_of(s)
        for a, b in np.ndindex(q, r):
            rows = first + i * q + a, second + j * r + b
            C[:, a, b] = _bilinear(A, rows[0], B, rows[1], self.dense)
        return C.take(member, axis=0)

    def _reach_of(self, t):
        """The rows of N from a term to the dense effects, and where they begin."""
        start = self.places[t].start
        if t < self.n_sparse:
            return self.reach.matrix, start
        return sparse.eye_array(len(self.dense), format="csr"), start - self.E

    def _dense_blocks(self, t):
        """`dense_covariance` of every level of a term with itself, (K, q, q)."""
        if t < self.n_sparse:
            return self.spread[t]
        k = self.n_sparse
        here = places_of_terms(self.sizes[k:])[t - k]
        return diagonal_blocks(self.dense[here, here], self.sizes[t][1])

    def level_covariance(self, t):
        """Cov(b_g | y, beta) of each level of a term, (K, q, q)."""
        if t >= self.n_sparse:
            return self._dense_blocks(t)
        if self.chain is None:
            return self.own[t] + self.spread[t]
        rows, q = self.chain.matrix[self.places[t]], self.sizes[t][1]
        if all(C.shape[1] == 1 for C in self.own):
            own = np.concatenate([C[:, 0, 0] for C in self.own])
            return self.spread[t] + (rows.power(2) @ own)[:, None, None]
        half = rows @ _block_diagonal(map(root_of, self.own))
        total = self.spread[t].copy()
        for a in range(q):
            for b in range(a + 1):
                product = half[a::q].multiply(half[b::q]).sum(axis=1)
                total[:, a, b] += product
                if a != b:
                    total[:, b, a] += product
        return total

    def roots(self, W):
        """Roots of Cov(eps) of the first terms, of the levels alone that have a weight
        in some row of W (n, E): for each term a csr_array (E, effects of these levels).
        """
        touched, E = np.unique(W.indices), W.shape[1]
        for t, C in enumerate(self.own):
            here, q = self.places[t], C.shape[1]
            inside = (touched >= here.start) & (touched < here.stop)
            levels = np.unique((touched[inside] - here.start) // q)
            root = root_of(C.take(levels, axis=0))
            rows = here.start + q * levels[:, None] + np.arange(q)
            columns = np.arange(len(levels) * q).reshape(-1, 1, q)
            where = np.repeat(rows, q), np.broadcast_to(columns, root.shape).ravel()
            shape = E, len(levels) * q
            yield sparse.csr_array((root.ravel(), where), shape=shape)

    def with_rows(self, W, W_dense):
        """Covariances of the effects of every term with rows of these weights: for each
        term (K q, n), dense if there are dense effects, else sparse.
        """
        k = self.n_sparse
        first = _block_diagonal(self.own) @ W.T
        first = first if self.chain is None else self.chain.matrix @ first
        rest = self.dense @ W_dense.T
        if len(self.dense):
            reach = 0.0 if self.reach is None else self.reach.matrix @ rest
            first = first.toarray() + reach
        yield from (first[here] for here in self.places[:k])
        yield from (rest[here] for here in places_of_terms(self.sizes[k:]))

    def covariance(self, W, W_dense):
        """Covariance (n, n) of rows with these weights."""
        total = W_dense @ (W_dense @ self.dense).T
        for root in self.roots(W):
            half = W @ root
            total += (half @ half.T).toarray()
        return total

    def draws(self, W, W_dense, n_samples, random_state):
        """Draws (n, n_samples) of z'b of rows with these weights, about 0."""
        total = np.zeros((W.shape[0], n_samples))
        for root in self.roots(W):
            normal = random_state.standard_normal((root.shape[1], n_samples))
            total += W @ (root @ normal)
        touched = np.unique(W_dense.indices)
        root = semidefinite_root(self.dense[np.ix_(touched, touched)])
        normal = random_state.standard_normal((root.shape[1], n_samples))
        return total + W_dense[:, touched] @ (root @ normal)

    def extended(self, positions, sizes, Psi):
        """The covariance of the effects of further levels too, which have no rows yet.

        Parameters
        ----------
        positions : list of ndarray
            Where each term's levels are among those of the result.
        sizes : list of (int, int)
        Psi : list of ndarray of shape (q, q)
        """
        k, places = self.n_sparse, []
        for (_, q), place in zip(sizes, positions, strict=True):
            places.append((q * place[:, None] + np.arange(q)).ravel())
        own, lengths = [], [K * q for K, q in sizes]
        for C, place, (K, _), prior in zip(
            self.own, positions, sizes, Psi, strict=False
        ):
            wide = np.tile(prior, (K, 1, 1))
            wide[place] = C
            own.append(wide)
        first, E = _joined(places[:k], lengths[:k])
        rest, d = _joined(places[k:], lengths[k:])
        pairs = zip(Psi[k:], sizes[k:], strict=True)
        priors = [np.kron(np.eye(K), prior) for prior, (K, _) in pairs]
        dense = block_diag(np.zeros((0, 0)), *priors)
        dense[np.ix_(rest, rest)] = self.dense
        chain, reach = self.chain, None
        if chain is not None:
            chain = _moved(
                chain.matrix - sparse.eye_array(len(first)), first, first, (E, E)
            )
            chain = (chain + sparse.eye_array(E)).tocsr()
        if d and E:
            reach = sparse.csr_array((E, d))
            if self.reach is not None:
                reach = _moved(self.reach.matrix, first, rest, (E, d))
        return with_reach(sizes, own, dense, chain, reach)

    def observed(self, Z, precision, right):
        """Condition on further rows z'b + e, e ~ N(0, 1 / precision): math.md (85).

        Parameters
        ----------
        Z : csr_array of shape (n, E + d)
            As `Conditional.rows` gives it.
        precision : ndarray of shape (n,)
        right : ndarray of shape (n, m)
            Values of the rows, m sets of them.

        Returns
        -------
        after : Conditional
        moved : ndarray of shape (E + d, m)
            E(b) given the rows, for each set of values.
        """
        E, d = self.E, len(self.dense)
        own, pulls, dense, moved = _turned(self, Z, precision, right)
        if dense is None:  # a level has met two levels of a term that it was nested in
            return as_dense(self, len(own)).observed(Z, precision, right)
        N = (self.N @ _unwind(pulls, d)).tocsr()
        chain = None if self.chain is None else N[:E, :E]
        reach = N[:E, E:] if d and E else None
        return with_reach(self.sizes, own, dense, chain, reach), moved


def conditional_of_chain(own, carries, parents):
    """The covariance of nested terms, from the inside out.

    Parameters
    ----------
    own : list of ndarray of shape (K, q, q)
        Cov(b_g | effects around, y, beta).
    carries : list of ndarray of shape (K, q, width)
        d b_g / d (effects of the next term's level, of the one after, ...).
    parents : list of ndarray of shape (K,)
        The level of the next term that each level belongs to; none of the last one.
    """
    sizes = [C.shape[:2] for C in own]
    chain = _unwind(_pulls(sizes, carries, parents), 0) if len(own) > 1 else None
    return with_reach(sizes, own, np.empty((0, 0)), chain, None)


def _pulls(sizes, carries, parents):
    """The matrices (K q, effects of the terms after) of nested terms for `_unwind`."""
    pulls = []
    for t, (K, q) in enumerate(sizes[:-1]):
        level, start, effects = np.arange(K), 0, []
        for s in range(t + 1, len(sizes)):
            level = parents[s - 1][level]
            n_levels, width = sizes[s]
            effects.append(start + width * level[:, None] + np.arange(width))
            start += n_levels * width
        columns = np.repeat(np.concatenate(effects, axis=1), q, axis=0)
        length = columns.shape[1]
        bounds = np.arange(0, columns.size + 1, max(length, 1))
        entries = -carries[t].ravel(), columns.ravel(), bounds
        pulls.append(sparse.csr_array(entries, shape=(K * q, start)))
    K, q = sizes[-1]
    return [*pulls, sparse.csr_array((K * q, 0))]


def conditional_of_crossed(sizes, stages, dense, first, scale):
    """The covariance of crossed terms, of which the first is eliminated, and then those
    that are nested around it.

    Parameters
    ----------
    sizes : sequence of (int, int)
        Of all terms.
    stages : sequence of Stage
        Of the eliminated ones, from the inside out, in units of the noise.
    dense : ndarray of shape (d, d)
        Covariance of the effects of the others, likewise.
    first : ndarray of shape (K, q, q) or None
        Cov(b_g | y, beta) of every level of the only eliminated term, likewise; of
        several it is a difference of large figures (math.md (202)), and not needed.
    scale : float
        The noise variance.
    """
    n = len(stages)
    own = tuple(scale * stage.own for stage in stages)
    reaches = [_reach(stage.links, stage.carry) for stage in stages]
    chain, reach = None, reaches[0]
    if n > 1:
        carries = [stage.carry_around for stage in stages]
        parents = [stage.outside.parent for stage in stages[:-1]]
        chain = _unwind(_pulls(sizes[:n], carries, parents), 0)
        reach = chain @ sparse.vstack(reaches, format="csr")
    if first is None:
        return with_reach(sizes, own, scale * dense, chain, reach)
    parts = tuple(sizes), own, scale * dense, None, sparse_matrix(reach)
    return Conditional(*parts, (scale * first - own[0],))


def _reach(links, carry):
    """Figures (E, q) of links as a csr_array (K q, d)."""
    q = carry.shape[1]
    rows = q * links.group[:, None] + np.arange(q)
    where = rows.ravel(), np.repeat(links.column, q)
    shape = q * links.shape[0], links.shape[1]
    return sparse.csr_array((carry.ravel(), where), shape=shape)


def _unwind(pulls, d):
    """N with b_s = eps_s - pull_s b of the effects after it, the last d being dense."""
    N = sparse.eye_array(d, format="csr")
    for pull in reversed(pulls):
        E = pull.shape[0]
        top = sparse.hstack([sparse.eye_array(E), -(pull @ N)])
        below = sparse.hstack([sparse.csr_array((N.shape[0], E)), N])
        N = sparse.vstack([top, below]).tocsr()
    return N


def with_reach(sizes, own, dense, chain, reach):
    """A `Conditional` from its matrices, its spread computed."""
    parts = tuple(sizes), tuple(own), dense, sparse_matrix(chain), sparse_matrix(reach)
    bare, spread = Conditional(*parts, ()), []
    for t, C in enumerate(own):
        K, q = sizes[t]
        total, start = np.zeros(C.shape), bare.places[t].start
        if reach is not None:
            rows, matrix = start + np.arange(K) * q, bare.reach.matrix
            for a in range(q):
                for b in range(a + 1):
                    product = _bilinear(matrix, rows + a, matrix, rows + b, dense)
                    total[:, a, b] = total[:, b, a] = product
        spread.append(total)
    return Conditional(*parts, tuple(spread))


def _joined(places, lengths):
    """Places of the effects of several terms one after the other, and their number."""
    starts = np.cumsum([0, *lengths])
    moved = [p + start for p, start in zip(places, starts, strict=False)]
    return np.concatenate([np.empty(0, dtype=np.int64), *moved]), int(starts[-1])


def _moved(A, rows, columns, shape):
    """The entries of a sparse matrix at other rows and columns."""
    A = A.tocoo()
    where = rows[A.coords[0]], columns[A.coords[1]]
    return sparse.csr_array((A.data, where), shape=shape)


def _turned(before, Z, precision, right):
    """The new `own`, the pulls of the first terms, the new `dense` and E(b) given the
    rows; None for both of these where a level meets two levels of a term that it was
    nested in.

    N turns the rows and their values, and not their cross-products, of which sums that
    are 0 would be the rounding of figures as large as a variance of effects over that
    of the noise: math.md (80), (212) and (212a).
    """
    scale, N = np.sqrt(precision)[:, None], before.N
    rest, right = (Z * scale @ N).tocsr(), scale * right
    own, pulls, shifts = [], [], []
    for C in before.own:
        length, (_, q, _) = C.shape[0] * C.shape[1], C.shape
        L = root_of(C)
        half, later = rest[:, :length] @ _block_diagonal([L]), rest[:, length:]
        turn, root = _beside_unit(half, q)
        if turn is None:
            return own, pulls, None, None
        L = L @ root
        own.append(L @ np.swapaxes(L, 1, 2))
        follow, told = (turn.T @ later).tocsr(), turn.T @ right
        of_levels, below = _block_diagonal([L]), -_block_diagonal([root])
        pulls.append((of_levels @ follow).tocsr())
        shifts.append(of_levels @ told)
        rest = sparse.vstack([later - turn @ follow, below @ follow], format="csr")
        some = np.diff(rest.indptr) > 0
        rest = rest[some]
        right = np.vstack([right - turn @ told, below @ told])[some]
    dense, modes = _dense_beside_unit(before, rest, right)
    for pull, shift in zip(reversed(pulls), reversed(shifts), strict=True):
        modes = np.vstack([shift - pull @ modes, modes])
    return own, pulls, dense, N @ modes


def _beside_unit(half, q):
    """Q of the rows [half; I], q columns for every level, without those of I, (n, K q),
    and the inverse of R, (K, q, q); None for both where a row has two levels.
    """
    half.eliminate_zeros()
    row, level, values = _blocks(half, q)
    if len(np.unique(row)) < len(row):
        return None, None
    K, order = half.shape[1] // q, np.argsort(level, kind="stable")
    row, level, values = row[order], level[order], values[order]
    counts, root = np.bincount(level, minlength=K), np.tile(np.eye(q), (K, 1, 1))
    for count in np.unique(counts[level]):
        some = counts[level] == count
        rows = values[some].reshape(-1, count, q)
        unit = np.broadcast_to(np.eye(q), (len(rows), q, q))
        Q, R = np.linalg.qr(np.concatenate([rows, unit], axis=1))
        values[some] = Q[:, :count].reshape(-1, q)
        root[counts == count] = np.linalg.inv(R)
    effects = q * level[:, None] + np.arange(q)
    entries = values.ravel(), (np.repeat(row, q), effects.ravel())
    return sparse.csr_array(entries, shape=half.shape), root


def _dense_beside_unit(before, rest, right):
    """The new `dense` and the modes of these effects, from rows (n, d) of them and
    their values (n, m), both in units of the noise.

    Many rows have their cross-products where these keep half of the digits.
    """
    d, m = len(before.dense), right.shape[1]
    if not before.dense.any():  # of an empty one, too
        return before.dense, np.zeros((d, m))
    L, S = semidefinite_root(before.dense), (rest.T @ rest).toarray()
    largest = np.diag(before.dense).max() * np.diag(S).max()
    if rest.shape[0] > before.few_rows and largest <= LARGE:
        B = np.eye(L.shape[1]) + L.T @ (S @ L)
        half = solve_triangular(np.linalg.cholesky(B), L.T, lower=True)
        return half.T @ half, half.T @ (half @ (rest.T @ right))
    R = np.zeros((0, L.shape[1] + m))
    for start in range(0, rest.shape[0], before.few_rows):
        some = slice(start, start + before.few_rows)
        R = np.linalg.qr(np.vstack([R, np.hstack([rest[some] @ L, right[some]])]), "r")
    unit = np.eye(L.shape[1], R.shape[1])
    R = np.linalg.qr(np.vstack([R, unit]), mode="r")
    R, told = np.split(R[: L.shape[1]], [L.shape[1]], axis=1)
    half = solve_triangular(R, L.T, trans="T")
    return half.T @ half, half.T @ told


def as_dense(before, first):
    """The same covariance, the terms from number `first` on being dense."""
    _check_dense(before, first)
    E, whole = before.places[first].start, before.N
    N = whole[E:, E:]
    own = [_block_diagonal(before.own[first:]), sparse.csr_array(before.dense)]
    dense = (N @ sparse.block_diag(own) @ N.T).toarray()
    chain = whole[:E, :E] if first > 1 else None
    # The dense errors are now the effects themselves, not N^-1 of them.
    tail, links = N.toarray(), whole[:E, E:].toarray()
    reach = solve_triangular(tail.T, links.T, lower=True, unit_diagonal=True).T
    return with_reach(before.sizes, before.own[:first], dense, chain, reach)


def _check_dense(before, first):
    """Refuse dense matrices of all effects but those of the first terms that memory
    cannot hold.
    """
    lengths = [K * q for K, q in before.sizes]
    inner, size = sum(lengths[:first]), sum(lengths[first:])
    check_memory(
        8 * size * (MATRICES * size + inner),
        "An update by rows in which a level has met two levels of a factor that it was "
        f"nested in, which couple {size:,} random effects,",
        "Fit anew with these rows and those of the fit.",
    )


def _forms(left, C, right):
    """left_n'C_n right_n of every row; a product where q = 1."""
    if C.shape[1] == C.shape[2] == 1:
        return left[:, 0] * C[:, 0, 0] * right[:, 0]
    return np.einsum("ni,nij,nj->n", left, C, right)


def _bilinear(A, i, B, j, C):
    """A[i_k] C B[j_k]' for every k, by the entries of both rows alone, or by B C of the
    rows of B that there are where that is less work.
    """
    in_A, in_B = (np.diff(M.indptr).astype(np.int64) for M in (A, B))
    n_A, n_B = in_A[i], in_B[j]
    if in_B[np.unique(j)].sum() * len(C) * PRODUCT + n_A.sum() < n_A @ n_B:
        return _bilinear_by_rows(A, i, B, j, C)
    ends = np.cumsum(n_A * n_B, dtype=np.int64)
    total, first = np.zeros(len(i)), 0
    while first < len(i):
        done = ends[first - 1] if first else 0
        last = max(np.searchsorted(ends, done + PAIRS_AT_ONCE, side="right"), first + 1)
        some = slice(first, last)
        owner = np.repeat(np.arange(last - first), (n_A * n_B)[some])
        local = done + np.arange(len(owner)) - np.append(0, ends)[some][owner]
        left, right = np.divmod(local, n_B[some][owner])
        left += A.indptr[i[some]][owner]
        right += B.indptr[j[some]][owner]
        product = A.data[left] * C[A.indices[left], B.indices[right]] * B.data[right]
        total[some] = np.bincount(owner, product, last - first)
        first = last
    return total


def _bilinear_by_rows(A, i, B, j, C):
    """`_bilinear`, some rows of B at a time."""
    total, order = np.zeros(len(i)), np.argsort(j, kind="stable")
    rows, starts = np.unique(j[order], return_index=True)
    starts, step = np.append(starts, len(j)), max(PAIRS_AT_ONCE // max(len(C), 1), 1)
    for first in range(0, len(rows), step):
        some = rows[first : first + step]
        product = B[some] @ C
        at = order[starts[first] : starts[min(first + step, len(rows))]]
        counts = np.diff(A.indptr)[i[at]]
        owner, ends = np.repeat(np.arange(len(at)), counts), np.cumsum(counts)
        entry = np.arange(len(owner)) + (A.indptr[i[at]] - ends + counts)[owner]
        place = np.searchsorted(some, j[at])[owner]
        values = A.data[entry] * product[place, A.indices[entry]]
        total[at] = np.bincount(owner, values, len(at))
    return total


def rows_of_effects(Z, codes, starts, shape):
    """The sparse matrix whose rows have z at the effects of their levels."""
    rows, columns, values = [], [], []
    for z, code, start in zip(Z, codes, starts, strict=True):
        known, q = np.flatnonzero(code >= 0), z.shape[1]
        effects = start + q * code[known].astype(np.int64)[:, None] + np.arange(q)
        rows.append(np.repeat(known, q))
        columns.append(effects.ravel())
        values.append(z[known].ravel())
    if not rows:
        return sparse.csr_array(shape)
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(entries, shape=shape)


def _blocks(W, q):
    """The entries of a sparse matrix in blocks of q columns: (row, block, values)."""
    W = W.tocoo()
    block, place = np.divmod(W.coords[1], q)
    key = W.coords[0].astype(np.int64) * (W.shape[1] // q) + block
    keys, member = np.unique(key, return_inverse=True)
    values = np.zeros((len(keys), q))
    values[member, place] = W.data
    row, block = np.divmod(keys, max(W.shape[1] // q, 1))
    return row, block, values


def _block_diagonal(stacks):
    """The sparse matrix with the blocks of all stacks (K, q, q) on its diagonal."""
    parts = [on_diagonal(C) for C in stacks]
    if not parts:
        return sparse.csr_array((0, 0))
    return sparse.block_diag(parts, format="csr")


def root_of(C):
    """H with H H' = C for a covariance, or each of a stack, that may be singular.

    In units of the standard deviations an effect without a variance has a row of zeros,
    and others keep their digits, whatever their units.
    """
    std = np.sqrt(np.maximum(np.einsum("...ii->...i", C), 0.0))
    if C.shape[-1] == 1:
        return std[..., None]
    unit = np.where(std > 0, std, 1.0)
    values, vectors = np.linalg.eigh(C / unit[..., :, None] / unit[..., None, :])
    return std[..., :, None] * vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def semidefinite_root(C):
    """L (d, rank) with L L' = C, by Cholesky with pivoting."""
    if not len(C):
        return np.empty((0, 0))
    L, pivots, rank, _ = lapack.dpstrf(C, lower=1, tol=PIVOT * np.diag(C).max())
    root = np.empty((len(C), rank))
    root[pivots - 1] = np.tril(L)[:, :rank]
    return root
