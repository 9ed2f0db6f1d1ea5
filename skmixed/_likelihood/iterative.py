"""The factor of crossed terms by conjugate gradients (docs/math.md, section 19).

Lambda'Z'WZ Lambda + I is not formed: the first term is eliminated level by level, and
the others are solved for by products with sparse matrices.  Traces are estimated by
probes that stay the same at all covariances; only few effects have a determinant.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import cho_factor, cho_solve, hadamard

from .._input.blocks import slices_of
from .._rows.iterative import IterativeGram
from .._rows.reduction import root_of_scatter
from .crossed import products_of_columns
from .factor import TriangularSystem, on_diagonal, places_of_terms, times, whole_root

# Probes of +-1 that traces are estimated from, and the least number of sets of them.
N_PROBES, LEAST_SETS = 20, 2
# Relative errors at which the conjugate gradients of columns of A, of working variates
# and of probes end, in the norm of the preconditioner.
OF_COLUMNS, OF_VARIATES, OF_PROBES, OF_DRAWS = 1e-10, 1e-8, 1e-7, 1e-6
# Iterations after which a solution is given up, and those for each vector of unknowns
# that the preconditioner leaves: as many as these would do without rounding.
MOST_ITERATIONS, OF_UNKNOWN = 2_000, 5
# S is its own preconditioner where the products of the first term's columns with the
# others', dense, have no more entries than this: 16 megabytes, and less than a second.
MOST_ENTRIES = 2_000_000


@dataclass(frozen=True)
class Equations:
    """C = I + Lambda'Z'WZ Lambda, as products.

    Vectors of all effects are lists of arrays (K q,), one for each term.

    Attributes
    ----------
    gram : IterativeGram
    Lambdas : tuple of ndarray of shape (q, q)
    """

    gram: IterativeGram
    Lambdas: tuple

    @cached_property
    def blocks(self):
        """The diagonal blocks of C of every term, (K, q, q)."""
        pairs = zip(self.Lambdas, self.gram.own, strict=True)
        return [np.eye(len(L)) + times(times(L.T, own), L) for L, own in pairs]

    @cached_property
    def inverses(self):
        """Inverses of the diagonal blocks of every term, (K, q, q)."""
        return [1 / C if C.shape[1] == 1 else np.linalg.inv(C) for C in self.blocks]

    @cached_property
    def conditioners(self):
        """Inverses of the diagonal blocks of S of each of its terms, (K, q, q)."""
        first, L = self.inverses[0], self.Lambdas[0]
        M, found = times(times(L, first), L.T), []
        for (s, t), pairs in self.gram.between():
            if s == 0:
                L, own = self.Lambdas[t], _schur_blocks(pairs, M, len(self.Lambdas[t]))
                found.append(self.blocks[t] - times(times(L.T, own), L))
        return [1 / S if S.shape[1] == 1 else np.linalg.inv(S) for S in found]

    @cached_property
    def whole(self):
        """The Cholesky factor of S where that is small and has one in double precision,
        or else None.
        """
        (K, q), *others = self.gram.sizes
        d = sum(K * q for K, q in others)
        if K * q * d > MOST_ENTRIES:
            return None
        W, G, places = np.zeros((d, d)), np.zeros((K * q, d)), places_of_terms(others)
        for own, here in zip(self.gram.own[1:], places, strict=True):
            W[here, here] = on_diagonal(own).toarray()
        for (s, t), pairs in self.gram.between():
            some = pairs.matrix.toarray()
            if s == 0:
                G[:, places[t - 1]] = some
            else:
                W[places[s - 1], places[t - 1]] = some
                W[places[t - 1], places[s - 1]] = some.T
        L = self.Lambdas[0]
        M = times(times(L, self.inverses[0]), L.T)
        W -= G.T @ (on_diagonal(M) @ G)
        scale = [
            sparse.kron(sparse.eye_array(K), L)
            for (K, _), L in zip(others, self.Lambdas[1:], strict=True)
        ]
        scale = sparse.block_diag(scale, format="csr")
        S = scale.T @ (scale.T @ W).T  # of a symmetric W
        S[np.diag_indices(d)] += 1.0
        try:
            return cho_factor(S, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            return None

    def scaled(self, x):
        """Lambda x."""
        return [_by(L, one) for L, one in zip(self.Lambdas, x, strict=True)]

    def back(self, b):
        """Lambda'b."""
        return [_by(L.T, one) for L, one in zip(self.Lambdas, b, strict=True)]

    def weigh(self, b):
        """Z'WZ b."""
        found = [_levels(own, x) for own, x in zip(self.gram.own, b, strict=True)]
        for (s, t), pairs in self.gram.between():
            found[s] += pairs.matrix @ b[t]
            found[t] += pairs.transposed @ b[s]
        return found

    def schur(self, x):
        """S x of the effects beside the first term's, and what is passed on to these:
        math.md (151).
        """
        rest = [_by(L, one) for L, one in zip(self.Lambdas[1:], x, strict=True)]
        found = [_levels(G, b) for G, b in zip(self.gram.own[1:], rest, strict=True)]
        first = np.zeros(self.gram.own[0].shape[0] * len(self.Lambdas[0]))
        for (s, t), pairs in self.gram.between():
            if s == 0:
                first += pairs.matrix @ rest[t - 1]
            else:
                found[s - 1] += pairs.matrix @ rest[t - 1]
                found[t - 1] += pairs.transposed @ rest[s - 1]
        passed = _levels(self.inverses[0], _by(self.Lambdas[0].T, first))
        own = _by(self.Lambdas[0], passed)
        for (s, t), pairs in self.gram.between():
            if s == 0:
                found[t - 1] -= pairs.transposed @ own
        parts = zip(x, self.Lambdas[1:], found, strict=True)
        return [one + _by(L.T, b) for one, L, b in parts], passed

    def solve(self, right, tolerance, near=None):
        """C^-1 of a vector, and whether that was found; `near` is a start."""
        passed = _levels(self.inverses[0], right[0])
        own = _by(self.Lambdas[0], passed)
        rest = [one.copy() for one in right[1:]]
        for (s, t), pairs in self.gram.between():
            if s == 0:
                rest[t - 1] -= _by(self.Lambdas[t].T, pairs.transposed @ own)
        x, found = self.solve_rest(rest, tolerance, near)
        return [passed - self.schur(x)[1], *x], found

    def solve_rest(self, right, tolerance, near):
        """S^-1 of a vector, by conjugate gradients preconditioned by S itself where it
        is small, or by the blocks of its levels, and whether that was found.
        """
        x = [np.zeros_like(one) for one in right]
        r = [one.copy() for one in right]
        goal = tolerance**2 * _product(right, self._condition(right))
        if near is not None:
            x = [one.copy() for one in near]
            r = [a - b for a, b in zip(r, self.schur(x)[0], strict=True)]
        z = self._condition(r)
        p, rz = [one.copy() for one in z], _product(r, z)
        n_unknown = 1 if self.whole is not None else sum(map(len, right))
        for _ in range(min(MOST_ITERATIONS, OF_UNKNOWN * n_unknown)):
            if rz <= goal:
                return x, True
            q, _ = self.schur(p)
            step = rz / _product(p, q)
            for one, a, b, c in zip(x, r, p, q, strict=True):
                one += step * b
                a -= step * c
            z = self._condition(r)
            before, rz = rz, _product(r, z)
            for one, b in zip(p, z, strict=True):
                one *= rz / before
                one += b
        return x, False

    def _condition(self, r):
        if self.whole is not None:
            found = cho_solve(self.whole, np.concatenate(r), check_finite=False)
            return [found[some] for some in slices_of(map(len, r))]
        pairs = zip(self.conditioners, r, strict=True)
        return [_levels(inverse, one) for inverse, one in pairs]


def _schur_blocks(pairs, M, q):
    """The diagonal blocks (K, q, q) of G'M G; M has blocks of the rows of G."""
    r, G = M.shape[1], pairs.matrix
    rows = np.repeat(np.arange(G.shape[0]), np.diff(pairs.indptr))
    if q == r == 1:
        weight = pairs.data**2 * M[rows, 0, 0]
        return np.bincount(pairs.indices, weight, G.shape[1])[:, None, None]
    G, MG = G.tocsc(), (on_diagonal(M) @ G).tocsc()
    found = np.empty((G.shape[1] // q, q, q))
    for i in range(q):
        for j in range(q):
            found[:, i, j] = G[:, i::q].multiply(MG[:, j::q]).sum(axis=0)
    return found


def _by(M, x):
    """M times the effects of every level, x (K q,)."""
    return M[0, 0] * x if len(M) == 1 else (x.reshape(-1, len(M)) @ M.T).ravel()


def _levels(M, x):
    """M_g (K, q, q) times the effects of every level, x (K q,)."""
    q = M.shape[1]
    if q == 1:
        return M[:, 0, 0] * x
    return np.einsum("gab,gb->ga", M, x.reshape(-1, q)).ravel()


def _product(x, y):
    return float(sum(a @ b for a, b in zip(x, y, strict=True)))


@dataclass(frozen=True)
class IterativeFactor(TriangularSystem):
    """The factor of crossed terms at some Lambdas.

    Attributes
    ----------
    equations : Equations
    data_root : ndarray of shape (k, m)
        Of A'V^-1A.
    root : ndarray of shape (m, m)
        The same with the penalty's rows, upper triangular.
    solutions : list
        C^-1 Lambda'Z'WA, a vector for each column of A.
    projections : tuple of ndarray of shape (K, q, m)
        Z'V^-1 A of every term.
    near : list or None
        `probed` at covariances close by.
    converged : bool
    """

    equations: Equations
    data_root: np.ndarray
    root: np.ndarray
    solutions: list
    projections: tuple
    near: list | None
    converged: bool

    is_sampled = True
    logdet = np.nan

    @property
    def gram(self):
        """The products."""
        return self.equations.gram

    @property
    def is_zero(self):
        """Whether no effect has a variance."""
        return not any(L.any() for L in self.equations.Lambdas)

    @property
    def logdet_of_few(self):
        """log|V0| where S is small enough to be formed, and has a root, else NaN."""
        if self.equations.whole is None:
            return np.nan
        root, _ = self.equations.whole
        _, of_first = np.linalg.slogdet(self.equations.blocks[0])
        return np.sum(of_first) + 2 * np.sum(np.log(np.diag(root)))

    @property
    def n_in_set(self):
        """The number of probes in a set, a power of 2 that is no less than that of the
        effects of a row beside the first term's.
        """
        return 1 << (sum(q for _, q in self.gram.sizes[1:]) - 1).bit_length()

    @cached_property
    def probes(self):
        """Vectors of +-1 of the effects beside the first term's, in sets: the signs of
        levels times those of effects, which are orthogonal in a set: math.md (198).
        """
        rng, sizes = np.random.default_rng([self.gram.seed, 2]), self.gram.sizes[1:]
        ends, found = np.cumsum([q for _, q in sizes]), []
        for _ in range(max(LEAST_SETS, -(-N_PROBES // self.n_in_set))):
            signs = [2.0 * rng.integers(0, 2, K) - 1.0 for K, _ in sizes]
            for row in hadamard(self.n_in_set)[:, : ends[-1]]:
                pairs = zip(signs, np.split(row, ends[:-1]), strict=True)
                found.append([np.outer(sign, part).ravel() for sign, part in pairs])
        return found

    @cached_property
    def probed(self):
        """S^-1 of the probes."""
        starts = [None] * len(self.probes) if self.near is None else self.near
        return [
            self.equations.solve_rest(z, OF_PROBES, near)[0]
            for z, near in zip(self.probes, starts, strict=True)
        ]

    @cached_property
    def sampled_spreads(self):
        """Estimates of `spread_sums` by each set of probes, (n_sets, q, q) for each
        term: math.md (153).
        """
        gram, eq, size = self.gram, self.equations, self.n_in_set
        n_sets = len(self.probes) // size
        if self.is_zero:
            return [np.tile(own.sum(axis=0), (n_sets, 1, 1)) for own in gram.own]
        q = len(eq.Lambdas[0])
        exact = np.sum(np.eye(q) - eq.inverses[0], axis=0)
        left = [np.tile(exact, (n_sets, 1, 1))]
        left += [np.zeros((n_sets, r, r)) for _, r in gram.sizes[1:]]
        for k, (z, x) in enumerate(zip(self.probes, self.probed, strict=True)):
            gone = map(np.subtract, x, z)
            pairs = [(eq.schur(x)[1], eq.schur(z)[1]), *zip(gone, z, strict=True)]
            for part, (one, other) in zip(left, pairs, strict=True):
                r = part.shape[1]
                product = one.reshape(-1, r).T @ other.reshape(-1, r)
                part[k // size] -= (product + product.T) / (2 * size)
        inverses = [np.linalg.pinv(L) for L in eq.Lambdas]
        return [i.T @ part @ i for part, i in zip(left, inverses, strict=True)]

    @cached_property
    def spread_sums(self):
        """The sum of the blocks (Z'V^-1 Z)_gg of every term, (q, q)."""
        return tuple(part.mean(axis=0) for part in self.sampled_spreads)

    def products_at_zero(self):
        """As that of `CrossedFactor`."""
        own, found = self.gram.own, {}
        for t, G in enumerate(own):
            found[t, t] = np.einsum("gab,gcd->acbd", G, G)
        for (s, t), pairs in self.gram.between():
            (_, q), (_, r) = self.gram.sizes[s], self.gram.sizes[t]
            M = pairs.matrix
            parts = [[M[a::q][:, b::r] for b in range(r)] for a in range(q)]
            found[s, t] = products_of_columns(parts)
        return found

    def variates(self, xs):
        """f'V^-1 f of the columns f = sum_t Z_t x_t; each x_t is (K, q, k)."""
        eq, columns = self.equations, range(xs[0].shape[2])
        xs = [[np.ascontiguousarray(x[:, :, j]).ravel() for x in xs] for j in columns]
        weighed = [eq.weigh(x) for x in xs]
        rights = [eq.back(b) for b in weighed]
        solved = [eq.solve(right, OF_VARIATES)[0] for right in rights]
        whole = np.array([[_product(x, b) for b in weighed] for x in xs])
        part = np.array([[_product(right, u) for u in solved] for right in rights])
        return whole - (part + part.T) / 2


def factorize_iterative(gram, Lambdas, penalty, near):
    """Factor A'V^-1A of crossed terms without their determinant: math.md (152).

    Parameters
    ----------
    gram : IterativeGram
    Lambdas : tuple of ndarray of shape (q, q)
    penalty : ndarray of shape (k, m) or None
        Rows P that add |P [-beta; 1]|^2 to the residual sum of squares.
    near : IterativeFactor or None
        At covariances close by.

    Returns
    -------
    IterativeFactor
    """
    eq, m = Equations(gram, Lambdas), gram.root.shape[1]
    columns = [
        [np.ascontiguousarray(A[:, :, j]).ravel() for A in gram.products]
        for j in range(m)
    ]
    starts = [None] * m if near is None else [u[1:] for u in near.solutions]
    rights = [eq.back(column) for column in columns]
    pairs = zip(rights, starts, strict=True)
    solved = [eq.solve(right, OF_COLUMNS, start) for right, start in pairs]
    solutions = [u for u, _ in solved]
    weighed = [eq.weigh(eq.scaled(u)) for u in solutions]
    left = [
        list(map(np.subtract, *both)) for both in zip(columns, weighed, strict=True)
    ]
    # The sum of squares at the solutions: their errors enter it squared.
    products = np.array([[_product(r, u) for u in solutions] for r in rights])
    passed = map(eq.back, weighed)
    of_C = [list(map(np.add, *both)) for both in zip(solutions, passed, strict=True)]
    fitted = np.array([[_product(c, u) for u in solutions] for c in of_C])
    scatter = gram.root.T @ gram.root - products - products.T + (fitted + fitted.T) / 2
    data_root = root_of_scatter(scatter, np.sqrt(np.sum(gram.root**2, axis=0)))
    return IterativeFactor(
        equations=eq,
        data_root=data_root,
        root=whole_root([data_root], penalty, gram.origin),
        solutions=solutions,
        projections=_by_levels(left, gram.sizes),
        near=None if near is None or near.is_zero else near.probed,
        converged=all(found for _, found in solved),
    )


def _by_levels(vectors, sizes):
    """Vectors of all effects as arrays (K, q, number of vectors), by terms."""
    return tuple(
        np.stack([x[t].reshape(K, q) for x in vectors], axis=2)
        for t, (K, q) in enumerate(sizes)
    )
