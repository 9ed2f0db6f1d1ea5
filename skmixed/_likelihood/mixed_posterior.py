"""The distribution of new rows, by a fitted model with any number of factors
(docs/math.md, section 13).

Given the variance components, a new observation is y = x'beta + sum_t z_t'b_t + e with

    mean      level + (x - shift)'coef + sum over known levels of z_t'modes_t
    variance  noise(x) + |h|^2 + Var(z'b | beta) of the known levels
                       + z_t'Psi_t z_t of every new level
    h         level_root + (x - shift)'coef_root - sum of z_t'loading_t

Codes of levels are arrays, one for each term in the order of `terms`; -1 is a level
that the model does not know.  Where rows have an `owner` too, those of equal owner
share the level.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag, cho_solve, cholesky
from scipy.sparse.linalg import splu

from .._input.blocks import row_blocks
from .._rows.coordinates import basis_of
from .._rows.term import effect_columns
from .conditional import Conditional, root_of, rows_of_effects, semidefinite_root
from .covariance import NULL
from .factor import by_terms
from .posterior import Coefficients, of_groups
from .sampled_conditional import SampledConditional

# Columns that are solved for at once where the density of many rows is taken.
COLUMNS_AT_ONCE = 64


@dataclass(frozen=True)
class Effects:
    """The random effects of one factor.

    They are counted for z = (x - origin) / unit, x being the columns of the effects.

    Attributes
    ----------
    columns : ndarray of shape (q,)
        Positions among the features; -1 is the random intercept, the first if any.
    origin, unit : ndarray of shape (q,)
        0 and 1 for a random intercept; without one all origins are 0.
    Psi : ndarray of shape (q, q)
        Covariance of the effects of a level.
    modes : ndarray of shape (K, q)
        Conditional modes.
    loading : ndarray of shape (K, q, k)
        - d modes / d beta times the root of the covariance of beta.
    """

    columns: np.ndarray
    origin: np.ndarray
    unit: np.ndarray
    Psi: np.ndarray
    modes: np.ndarray
    loading: np.ndarray

    @property
    def basis(self):
        """The effects in the user's units are `basis` times these, (q, q)."""
        return basis_of(self.origin, self.unit)

    def rows(self, X):
        """z of each row, (n, q)."""
        return (effect_columns(X, self.columns) - self.origin) / self.unit


@dataclass(frozen=True)
class MixedPosterior(Coefficients):
    """Figures per level and per column; no row of the data.

    Attributes beside those of `Coefficients`
    ------------------------------------------
    terms : tuple of Effects
        In the order of the user.
    order : tuple of int
        Positions of the terms in the order of elimination.
    conditional : Conditional or SampledConditional
        Cov(b | y, beta) of all effects, in the order of elimination.
    """

    terms: tuple[Effects, ...]
    order: tuple[int, ...]
    conditional: Conditional | SampledConditional

    @property
    def n_numbers(self):
        """About the number of numbers that it holds."""
        of_terms = sum(term.loading.size for term in self.terms)
        return of_terms + self.coef_root.size + self.conditional.dense.size

    def row_map(self):
        """The mean of a row's y, and the independent errors of it, as linear forms:
        math.md (205).  None unless there is one factor.
        """
        if len(self.terms) != 1 or len(self.conditional.dense):
            return None
        (term,), own = self.terms, self.conditional.level_covariance(0)
        own = np.concatenate([own, term.Psi[None]])
        roots = root_of(own)
        levels = np.zeros((len(own), term.modes.shape[1], 1 + term.loading.shape[2]))
        levels[:-1, :, 0], levels[:-1, :, 1:] = term.modes, -term.loading
        population = self.population_map(roots.shape[2])
        return population, np.concatenate([levels, roots], axis=2)

    def map_columns(self, X):
        """(1, x - shift) and z of rows."""
        u = np.hstack([np.ones((len(X), 1)), X - self.shift])
        return u, self.terms[0].rows(X)

    def mean(self, X, codes, factors=None):
        """Mean of each row's y, (n,).

        `factors` are the positions of the terms that count (None: all); the effects of
        the others are 0 and known to be.
        """
        mean = np.empty(X.shape[0])
        for rows in row_blocks(*X.shape):
            mean[rows] = self.population_mean(X[rows])
            Z, some = self._effects(X[rows], self.of_rows(codes, rows), factors)
            for term, z, code in zip(self.terms, Z, some, strict=True):
                mean[rows] += _products(z, term.modes, code)
        return mean

    def variance(self, X, codes, factors=None):
        """Variance of each row's y without its noise, (n,): math.md (82)."""
        variance = np.empty(X.shape[0])
        for rows in row_blocks(X.shape[0], sum(self.coef_root.shape)):
            Z, some = self._effects(X[rows], self.of_rows(codes, rows), factors)
            h = self._h(X[rows], Z, some)
            variance[rows] = np.einsum("ij,ij->i", h, h)
            variance[rows] += self._new_variance(Z, some, len(h))
        # Pairs of levels are computed once for each block, so that these are longer.
        for rows in row_blocks(X.shape[0], 1):
            Z, some = self._effects(X[rows], self.of_rows(codes, rows), factors)
            ordered = self._ordered(Z, some)
            variance[rows] += self.conditional.variance(*ordered, X[rows].shape[0])
        return variance

    def variance_error(self, X, codes):
        """Standard error of `variance` where that comes from draws, (n,)."""
        Z, codes = self._ordered(*self._effects(X, codes))
        return self.conditional.variance_error(Z, codes, X.shape[0])

    def _new_variance(self, Z, codes, n):
        """Variance that the levels add which are not known, (n,)."""
        total = np.zeros(n)
        for term, z, code in zip(self.terms, Z, codes, strict=True):
            new = np.flatnonzero(code < 0)
            total[new] += np.sum((z[new] @ root_of(term.Psi)) ** 2, axis=1)
        return total

    def coefficient_rows(self, X, codes):
        """The rows h, (n, k)."""
        return self._h(X, *self._effects(X, codes))

    def conditional_covariance(self, t):
        """Covariance of each level's effects with beta known, (K, q, q)."""
        covariance = self.conditional.level_covariance(self.order.index(t))
        return _in_basis(covariance, self.terms[t].basis)

    def error_covariance(self, t):
        """Covariance of the prediction errors of each level's effects, (K, q, q)."""
        term = self.terms[t]
        loading = np.swapaxes(term.loading, 1, 2)
        errors = np.swapaxes(loading, 1, 2) @ loading
        errors += self.conditional.level_covariance(self.order.index(t))
        return _in_basis(errors, term.basis)

    def error_variance_error(self, t):
        """Standard errors of the diagonals of `error_covariance` where these come from
        draws, (K, q).
        """
        position, basis = self.order.index(t), self.terms[t].basis
        return self.conditional.level_variance_error(position, basis)

    def modes(self, t):
        """Conditional modes of a term in the user's units, (K, q)."""
        return self.terms[t].modes @ self.terms[t].basis.T

    def _effects(self, X, codes, factors=None):
        """z and the codes of every term; 0 and -1 of those that do not count."""
        Z, some = [term.rows(X) for term in self.terms], list(map(np.asarray, codes))
        if factors is not None:
            for t in set(range(len(Z))) - set(factors):
                Z[t], some[t] = np.zeros(Z[t].shape), np.full(len(some[t]), -1)
        return Z, some

    def _h(self, X, Z, codes):
        h = self.population_rows(X)
        for term, z, code in zip(self.terms, Z, codes, strict=True):
            h -= _products(z, term.loading, code)
        return h

    def _ordered(self, *lists):
        """Lists over the terms in the order of elimination."""
        return [[values[t] for t in self.order] for values in lists]

    @staticmethod
    def of_rows(codes, rows):
        """The codes of some rows, factor by factor."""
        return [of_factor[rows] for of_factor in codes]

    @staticmethod
    def of_one_factor(codes):
        """The codes of the only factor."""
        (only,) = codes
        return only

    def joint_covariance(self, X, codes, owners, noise_variance):
        """Covariance (n, n) of new observations."""
        return _covariance(
            self.conditional, joint_rows(self, X, codes, owners, noise_variance)
        )

    def weighted_sums_of(self, weight, X, codes, owners, noise_variance):
        """Mean and variance of sums of new y, weighted by rows of a sparse array."""
        rows = joint_rows(self, X, codes, owners, noise_variance)
        weights = [weight @ W for W in self.conditional.weights(rows.Z)]
        variance = np.sum((weight @ rows.h) ** 2, axis=1)
        variance += weight.power(2) @ noise_variance
        variance += np.diag(self.conditional.covariance(*weights))
        for half in rows.new:
            variance += (weight @ half).power(2).sum(axis=1)
        return weight @ rows.mean, variance

    def sample(self, X, codes, owners, noise_variance, n_samples, random_state):
        """Draws (n, n_samples) from the joint normal distribution."""
        rows = joint_rows(self, X, codes, owners, noise_variance)
        normal = random_state.standard_normal
        draws = rows.h @ normal((rows.h.shape[1], n_samples))
        weights = self.conditional.weights(rows.Z)
        draws += self.conditional.draws(*weights, n_samples, random_state)
        for half in rows.new:
            draws += half @ normal((half.shape[1], n_samples))
        draws += np.sqrt(noise_variance)[:, None] * normal(draws.shape)
        draws += rows.mean[:, None]
        return draws

    def joint_terms(self, X, y, codes, owners, noise_variance):
        """r'S^-1 r and log|S| of the residuals r and joint covariance S of y.

        Few rows have them from their covariance matrix; many from the effects: those of
        the first terms are eliminated by a sparse factor, which has no fill where they
        are nested, and the rest is dense: math.md (84).
        """
        rows = joint_rows(self, X, codes, owners, noise_variance)
        residual, n = y - rows.mean, len(y)
        if n <= self.conditional.few_rows:
            logdet, rss = _few_rows(self.conditional, rows, residual)
        else:
            logdet, rss = _many_rows(self.conditional, rows, residual)
        return rss, logdet


def _products(z, figures, codes):
    """z'figures of each row's level, (n,) or (n, k); 0 where it is not known."""
    own = of_groups(figures, codes, 0.0)
    if z.shape[1] == 1:
        return (z if own.ndim == 3 else z[:, 0]) * own[:, 0]
    return np.einsum("ni,ni...->n...", z, own)


def _in_basis(covariance, basis):
    K, q = covariance.shape[:2]
    twice = np.kron(basis, basis)
    return (covariance.reshape(K, q * q) @ twice.T).reshape(K, q, q)


def make_room(posterior, positions, n_levels):
    """The same posterior with further levels, of which nothing is known.

    Parameters
    ----------
    posterior : MixedPosterior
    positions : list of ndarray
        Where the levels that each term knows are among its new ones.
    n_levels : list of int
    """
    terms = []
    for term, place, K in zip(posterior.terms, positions, n_levels, strict=True):
        modes, loading = (
            np.zeros((K, *old.shape[1:])) for old in (term.modes, term.loading)
        )
        modes[place], loading[place] = term.modes, term.loading
        terms.append(replace(term, modes=modes, loading=loading))
    sizes = [term.modes.shape for term in terms]
    ordered = posterior._ordered(positions, sizes, [term.Psi for term in terms])
    conditional = posterior.conditional.extended(*ordered)
    return replace(posterior, terms=tuple(terms), conditional=conditional)


def observe(posterior, X, y, codes, noise_variance):
    """The posterior of the random effects after further rows (docs/math.md, 13).

    Variance components, coefficients and their covariance stay as they are.  A level
    that is missing (-1) adds its variance to the noise of the row.
    """
    Z, codes = posterior._effects(X, codes)
    variance = noise_variance + posterior._new_variance(Z, codes, len(y))
    right = np.column_stack([y - posterior.mean(X, codes), posterior._h(X, Z, codes)])
    rows = posterior.conditional.rows(*posterior._ordered(Z, codes), len(y))
    after, moved = posterior.conditional.observed(rows, 1 / variance, right)
    terms = list(posterior.terms)
    changes = by_terms(moved, [terms[t].modes.shape for t in posterior.order])
    for t, change in zip(posterior.order, changes, strict=True):
        term = terms[t]
        terms[t] = replace(
            term,
            modes=term.modes + change[:, :, 0],
            loading=term.loading + change[:, :, 1:],
        )
    return replace(posterior, terms=tuple(terms), conditional=after)


def effect_rows(posterior, X, codes):
    """The weights of all known effects in each row, csr_array (n, E + d), in the order
    of elimination.
    """
    Z, codes = posterior._effects(X, codes)
    return posterior.conditional.rows(*posterior._ordered(Z, codes), X.shape[0])


def error_products(posterior, X, codes):
    """Derivatives of the variance of each row's prediction in the covariances, without
    the part of the errors of the coefficients: math.md (89).

    Returns
    -------
    products : list of ndarray of shape (n, q, q)
        For each term, G with d variance = tr(G dPsi), Psi being that of `Effects`.
    """
    Z, codes = posterior._effects(X, codes)
    h, conditional = posterior._h(X, Z, codes), posterior.conditional
    rows = conditional.rows(*posterior._ordered(Z, codes), X.shape[0])
    W, W_dense = conditional.weights(rows)
    products = [None] * len(Z)
    for t, A in zip(posterior.order, conditional.with_rows(W, W_dense), strict=True):
        term, z, q = posterior.terms[t], Z[t], Z[t].shape[1]
        inverse = np.linalg.pinv(term.Psi, rcond=NULL, hermitian=True)
        null = z @ (np.eye(q) - inverse @ term.Psi)
        A = (
            _level_products(inverse, A)
            + rows_of_effects([null], [codes[t]], [0], A.shape[::-1]).T
        )
        parts, k = [A[i::q] for i in range(q)], inverse @ term.loading
        G = np.where((codes[t] < 0)[:, None, None], z[:, :, None] * z[:, None], 0.0)
        for i in range(q):
            for j in range(q):
                G[:, i, j] += (parts[i] * parts[j]).sum(axis=0)
                shared = np.sum((parts[i].T @ k[:, j]) * h, axis=1)
                G[:, i, j] -= shared
                G[:, j, i] -= shared
        products[t] = G
    return products


def _level_products(M, A):
    """M (q, q) times the q rows of every level in A (K q, n), sparse or dense."""
    levels = sparse.eye_array(A.shape[0] // len(M))
    return sparse.kron(levels, M, format="csr") @ A


# ------------------------------------------------------ several rows, jointly normal


@dataclass(frozen=True)
class JointRows:
    """New rows as sums of independent errors, but for their means.

    Attributes
    ----------
    mean : ndarray of shape (n,)
    h : ndarray of shape (n, k)
        Weights of the coefficients' errors, which are N(0, I).
    Z : csr_array of shape (n, E + d)
        Weights of the effects of known levels.
    new : list of csr_array
        For each term in the order of elimination, weights of the effects of levels that
        are not known, which are N(0, I).
    noise_variance : ndarray of shape (n,)
    """

    mean: np.ndarray
    h: np.ndarray
    Z: sparse.csr_array
    new: list
    noise_variance: np.ndarray


def joint_rows(posterior, X, codes, owners, noise_variance):
    """The rows as sums of independent errors."""
    Z, codes = posterior._effects(X, codes)
    new = []
    for t in posterior.order:
        term, unknown = posterior.terms[t], codes[t] < 0
        levels, member = np.unique(owners[t][unknown], return_inverse=True)
        half = Z[t][unknown] @ root_of(term.Psi)
        q = half.shape[1]
        columns = q * member[:, None] + np.arange(q)
        where = np.repeat(np.flatnonzero(unknown), q), columns.ravel()
        shape = len(unknown), q * len(levels)
        new.append(sparse.csr_array((half.ravel(), where), shape=shape))
    return JointRows(
        posterior.mean(X, codes),
        posterior._h(X, Z, codes),
        posterior.conditional.rows(*posterior._ordered(Z, codes), X.shape[0]),
        new,
        noise_variance,
    )


def _covariance(conditional, rows):
    covariance = rows.h @ rows.h.T
    covariance += conditional.covariance(*conditional.weights(rows.Z))
    for half in rows.new:
        covariance += (half @ half.T).toarray()
    covariance[np.diag_indices(len(covariance))] += rows.noise_variance
    return covariance


def _few_rows(conditional, rows, residual):
    """log|V| and r'V^-1r by V itself.

    In units of the noise its eigenvalues are 1 or more, but for rounding.
    """
    scale = 1 / np.sqrt(rows.noise_variance)
    V = _covariance(conditional, rows) * np.outer(scale, scale)
    values, vectors = np.linalg.eigh(V)
    values = np.maximum(values, 1.0)
    logdet = np.sum(np.log(values)) + np.sum(np.log(rows.noise_variance))
    return logdet, np.sum((vectors.T @ (scale * residual)) ** 2 / values)


def _many_rows(conditional, rows, residual):
    """log|V| and r'V^-1r of rows as sums of independent errors."""
    scale = 1 / np.sqrt(rows.noise_variance)
    columns = sparse.hstack([rows.Z, *rows.new, sparse.csr_array(rows.h)])
    columns = (columns * scale[:, None]).tocsr()
    r, S = scale * residual, (columns.T @ columns).tocsr()
    first, rest = _errors(conditional, rows)
    B = sparse.eye_array(first.shape[1]) + first.T @ S @ first
    solve, logdet = _sparse_factor(B.tocsc())
    links = (first.T @ (S @ rest)).tocsc()
    M = (rest.T @ (S @ rest)).toarray()
    for start in range(0, M.shape[1], COLUMNS_AT_ONCE):
        some = slice(start, start + COLUMNS_AT_ONCE)
        M[:, some] -= links.T @ solve(links[:, some].toarray())
    root = semidefinite_root(conditional.dense)
    L = block_diag(root, np.eye(len(M) - len(root)))
    C = cholesky(np.eye(L.shape[1]) + L.T @ M @ L, lower=True)
    logdet += 2 * np.sum(np.log(np.diag(C)))
    right = columns.T @ r
    left = first.T @ right
    v = cho_solve((C, True), L.T @ (rest.T @ right - links.T @ solve(left)))
    u = solve(left - links @ (L @ v))
    r = r - columns @ (first @ u + rest @ (L @ v))
    return np.sum(np.log(rows.noise_variance)) + logdet, r @ r + u @ u + v @ v


def _errors(conditional, rows):
    """Two sparse matrices that make of independent errors the effects of known levels,
    those of new levels and the coefficients' errors: first @ u + rest @ v.

    u is N(0, I), in the order of elimination.  v begins with the dense effects, which
    have the covariance `conditional.dense`; all others are N(0, 1).
    """
    k, N = conditional.n_sparse, conditional.N
    E, d = conditional.E, len(conditional.dense)
    sizes = [half.shape[1] for half in rows.new] + [rows.h.shape[1]]
    ends = np.cumsum([E + d, *sizes])
    eye = sparse.eye_array(ends[-1], format="csc")
    own = [eye[:, i:j] for i, j in pairwise(ends)]
    below = sparse.csr_array((ends[-1] - E - d, E + d))
    N = sparse.vstack([N, below]).tocsc()
    W, _ = conditional.weights(rows.Z)
    roots = [N[:, :E] @ root for root in conditional.roots(W)]
    pairs = zip(roots, own[:k], strict=True)
    first = [part for pair in pairs for part in pair] or [eye[:, :0]]
    return sparse.hstack(first).tocsc(), sparse.hstack([N[:, E:], *own[k:]]).tocsc()


def _sparse_factor(B):
    """A function that solves with a sparse B, positive definite, and log|B|.

    Its columns are in the order in which nested effects have no fill.
    """
    if not B.shape[0]:
        return lambda right: right, 0.0
    factor = splu(
        B, permc_spec="NATURAL", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
    )
    return factor.solve, np.sum(np.log(np.abs(factor.U.diagonal())))
