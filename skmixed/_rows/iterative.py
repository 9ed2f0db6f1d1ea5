"""Crossed factors with too many effects for a dense matrix (docs/math.md, section 19).

Nothing is eliminated: the products of the columns of all effects are kept, sparse where
they are about two factors, for a solver that multiplies by them.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import sparse

from .crossed import search_columns
from .sparse_matrix import SparseMatrix, sparse_matrix

# Posterior draws that standard deviations of predictions are taken from.
N_DRAWS = 32


@dataclass(frozen=True)
class IterativeGram:
    """Products of the columns of crossed terms and of A = [X y].

    y is counted from its fit on X.

    Attributes
    ----------
    own : tuple of ndarray of shape (K, q, q)
        Z_t'W Z_t of every level.
    pairs : tuple of SparseMatrix of shape (K_s q_s, K_t q_t)
        Z_s'W Z_t of all s < t, s = 0 first.
    products : tuple of ndarray of shape (K, q, m)
        Z_t'W A.
    root : ndarray of shape (k, m)
        Root of A'W A.
    origin : ndarray of shape (m - 1,)
        The coefficients that y is counted from.
    errors : tuple of ndarray of shape (N_DRAWS, K q)
        Draws of Z_t'W^1/2 eps, eps ~ N(0, I) of all rows.
    seed : int
        Of the probes.
    """

    own: tuple
    pairs: tuple[SparseMatrix, ...]
    products: tuple
    root: np.ndarray
    origin: np.ndarray
    errors: tuple
    seed: int

    @property
    def sizes(self):
        """Number of levels and of effects of every term."""
        return tuple(own.shape[:2] for own in self.own)

    def between(self):
        """Positions s < t of two terms, with their products."""
        places = combinations(range(len(self.own)), 2)
        return zip(places, self.pairs, strict=True)


def iterative_gram(data, terms, elimination, columns, mean, seed):
    """The products of crossed terms, and the coordinates of each of them.

    Parameters
    ----------
    data : Data
    terms : sequence of Term
        The largest first.
    elimination : Elimination
        Of the first term.
    columns : Columns
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among those of A.
    seed : int

    Returns
    -------
    gram : IterativeGram
    coordinates : tuple of Coordinates
    """
    found = [search_columns(data, term) for term in terms]
    coordinates = tuple(c for _, c in found)
    Zs = [Z for Z, _ in found]
    work = elimination.work(columns, mean)
    products = [
        work(_products(data, term, Z, elimination.shift))
        for term, Z in zip(terms, Zs, strict=True)
    ]
    root = work(elimination.total)
    start = np.linalg.lstsq(root[:, :-1], root[:, -1], rcond=None)[0]
    for A in (root, *products):
        A[..., -1] -= A[..., :-1] @ start
    own = [_own(term, Z, data.weight) for term, Z in zip(terms, Zs, strict=True)]
    both = combinations(zip(terms, Zs, strict=True), 2)
    pairs = [_pairs(*first_and_second, data.weight) for first_and_second in both]
    errors = _errors(data, terms, Zs, seed)
    parts = (tuple(own), tuple(pairs), tuple(products), root, start)
    return IterativeGram(*parts, errors, seed), coordinates


def _level_sums(term, values):
    return np.bincount(term.codes, values, term.n_levels)


def _weighted(values, weight):
    return values if weight is None else values * weight


def _products(data, term, Z, shift):
    """Z'W A of every level, (K, q, m), A counted from `shift`."""
    K, q, m = term.n_levels, term.n_columns, len(shift)
    found = np.empty((K, q, m))
    is_sparse = sparse.issparse(data.X)
    for a in range(q):
        z = _weighted(Z[:, a], data.weight)
        found[:, a, 0] = _level_sums(term, z)
        found[:, a, -1] = _level_sums(term, z * (data.y - shift[-1]))
        if is_sparse:
            starts = np.arange(len(z) + 1)
            Q = sparse.csc_array((z, term.codes, starts), shape=(K, len(z)))
            found[:, a, 1:-1] = (Q @ data.X).toarray()
            found[:, a, 1:-1] -= found[:, a, :1] * shift[1:-1]
            continue
        for j in range(m - 2):
            found[:, a, 1 + j] = _level_sums(term, z * (data.X[:, j] - shift[1 + j]))
    return found


def _own(term, Z, weight):
    """Z'W Z of every level, (K, q, q)."""
    q = term.n_columns
    found = np.empty((term.n_levels, q, q))
    for a in range(q):
        for b in range(a + 1):
            product = _weighted(Z[:, a] * Z[:, b], weight)
            found[:, a, b] = found[:, b, a] = _level_sums(term, product)
    return found


def _pairs(first, second, weight):
    """Z_s'W Z_t of two terms with their columns."""
    (one, Z), (other, Z_other) = first, second
    q, r = one.n_columns, other.n_columns
    shape = one.n_levels * q, other.n_levels * r
    parts = []
    for a in range(q):
        for b in range(r):
            entries = _weighted(Z[:, a] * Z_other[:, b], weight)
            where = q * one.codes + a, r * other.codes + b
            parts.append(sparse.coo_array((entries, where), shape=shape).tocsr())
    return sparse_matrix(sum(parts[1:], start=parts[0]), is_sorted=True)


def _errors(data, terms, Zs, seed):
    """Draws of Z'W^1/2 eps of every term, in single precision."""
    rng = np.random.default_rng([seed, 1])
    root = None if data.weight is None else np.sqrt(data.weight)
    sizes = [(term.n_levels, term.n_columns) for term in terms]
    found = tuple(np.empty((N_DRAWS, K, q), dtype=np.float32) for K, q in sizes)
    for k in range(N_DRAWS):
        eps = _weighted(rng.standard_normal(data.n_rows), root)
        for draws, term, Z in zip(found, terms, Zs, strict=True):
            for a in range(term.n_columns):
                draws[k, :, a] = _level_sums(term, eps * Z[:, a])
    return tuple(draws.reshape(N_DRAWS, -1) for draws in found)
