"""The criterion of a linear mixed model with a log-variance that is linear in features,
and its derivatives (docs/math.md, section 16).

    log v_j = log sigma^2 + o_j + s_j'gamma,   sum_j a_j (o_j + s_j'gamma) = 0

This is math.md (110).  At each gamma the criterion is that of constant noise, of rows
divided by their noise standard deviations: sigma^2 is profiled and covariances are in
its units.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from operator import add

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from .._input.blocks import short_blocks, slices_of
from .._rows.crossed import indicator
from .._rows.modelled_noise import ModelledNoiseRows
from .._rows.qr import as_rows
from .criterion import BOUND_MARGIN, RANGE, generic_log_variance
from .effects_of_rows import covariance_times, effect_variances, modes_of_columns
from .factor import blocks_of_terms, by_terms, transpose
from .mixed import FEW_EFFECTS, MixedPoint, Second, along, evaluate, second

# The largest distance of a row's log-variance from its average, but for a known part.
WIDEST = np.log(RANGE)


@dataclass(frozen=True)
class ModelledNoise:
    """The part of the likelihood that is about the log-variance.

    Attributes
    ----------
    rows : ModelledNoiseRows
    penalty : ndarray of shape (k, k)
        The ridge on gamma adds gamma' penalty gamma to the deviance.
    """

    rows: ModelledNoiseRows
    penalty: np.ndarray

    def at(self, model, gamma, theta=None, Lambdas=None):
        """The point at gamma of a likelihood, whose Gram is another one: math.md (111).

        Raises
        ------
        LinAlgError
            If noise variances are too far apart.
        """
        if not self.rows.parts.reduce(_farthest, gamma, join=max) <= WIDEST:
            raise np.linalg.LinAlgError("noise variances too far apart")
        model = replace(model, gram=self.rows.gram(gamma))
        Lambdas = model.unpack(theta) if Lambdas is None else Lambdas
        return ModelledNoisePoint(self, gamma, evaluate(model, Lambdas))

    def generic(self):
        """A gamma that tells variances like almost any other."""
        farthest = partial(self.rows.parts.reduce, _farthest, join=max)
        return generic_log_variance(len(self.penalty), farthest)


@dataclass(frozen=True)
class RowFigures:
    """Figures of each row, in units of sigma where they have one.

    Attributes
    ----------
    w : ndarray of shape (n,)
        a sigma^2 / v.
    e : ndarray of shape (n,)
        Conditional residual.
    h : ndarray of shape (n, p)
    uncertain : ndarray of shape (n,)
        Variance of the row's effects, the coefficients known.
    noise : ndarray of shape (n,)
        w times the expected squared noise.
    """

    w: np.ndarray
    e: np.ndarray
    h: np.ndarray
    uncertain: np.ndarray
    noise: np.ndarray


@dataclass(frozen=True)
class ModelledNoisePoint:
    """The criterion at one value of gamma and of the covariances.

    Attributes
    ----------
    noise : ModelledNoise
    gamma : ndarray of shape (k,)
    mixed : MixedPoint
        Of the rows divided by their noise standard deviations.
    """

    noise: ModelledNoise
    gamma: np.ndarray
    mixed: MixedPoint

    @property
    def model(self):
        """The likelihood of the rows as they are divided."""
        return self.mixed.model

    @property
    def Lambdas(self):
        """Psi / sigma^2 = Lambda Lambda' of every term."""
        return self.mixed.Lambdas

    @property
    def scores(self):
        """d value / d (Psi / sigma^2) of every term."""
        return self.mixed.scores

    @property
    def noise_variance(self):
        """sigma^2."""
        return self.mixed.noise_variance

    @cached_property
    def value(self):
        """The minimised value: the deviance with the penalties."""
        return self.mixed.value + self.gamma @ self.noise.penalty @ self.gamma

    @property
    def rounding(self):
        """Rounding error of the value."""
        return self.mixed.rounding

    @property
    def x(self):
        """gamma and theta."""
        return np.append(self.gamma, self.mixed.x)

    def place(self, other):
        """x of another point, as this point has its Lambdas."""
        return np.append(other.gamma, self.mixed.place(other.mixed))

    @property
    def units(self):
        """Units of steps of x (docs/math.md, section 16): a column of the log-variance
        has one in which rows and ridge together tell no more than the rows do.
        """
        of_ridge = 2 * np.diag(self.noise.penalty) / self.model.n
        return np.append(1 / np.sqrt(1 + of_ridge), self.mixed.units)

    def at(self, x):
        """The point at another x."""
        k = len(self.gamma)
        return self.noise.at(self.model, x[:k], theta=x[k:])

    def straight(self, x):
        """The point at another x, nearly: every Psi moves on a straight line."""
        k = len(self.gamma)
        Lambdas = self.model.straight(self.mixed.Lambdas, x[k:])
        return self.noise.at(self.model, x[:k], Lambdas=Lambdas)

    def moved(self, Lambdas):
        """The point of other covariances."""
        return replace(self, mixed=self.mixed.moved(Lambdas))

    def known(self):
        """Second derivatives less the average information, as far as they are free: 0,
        as every variance of a row moves all traces.
        """
        return np.zeros((len(self.x),) * 2)

    def held(self, noise_variance):
        """The point with a given sigma^2, or with a profiled one for None."""
        return replace(self, mixed=self.mixed.held(noise_variance))

    def pivoted(self):
        """The same point, with Lambdas that are triangular in the order of pivots."""
        mixed = self.mixed.pivoted()
        return self if mixed is self.mixed else replace(self, mixed=mixed)

    @property
    def n_at_bounds(self):
        """Number of rows whose noise variance is at a bound, or next to it."""
        return self.noise.rows.parts.reduce(_at_bounds, self.gamma)

    def n_above(self, log_variance):
        """Number of rows whose log-variance is farther than this above its mean."""
        return self.noise.rows.parts.reduce(_above, self.gamma, log_variance)

    @cached_property
    def figures(self):
        """The `RowFigures` of every part of the rows."""
        return self.noise.rows.parts.map(figures_of_rows, self.gamma, self.mixed)

    def sum_rows(self, function, *arguments, join=add):
        """The sum over the parts of ``function(part, figures of its rows, ...)``."""
        figures = self.figures.as_argument()
        return self.noise.rows.parts.reduce(function, figures, *arguments, join=join)

    def gradient(self):
        """d value / d x: math.md (113)."""
        of_gamma = self.sum_rows(_score) + 2 * self.noise.penalty @ self.gamma
        return np.append(of_gamma, self.mixed.gradient())

    def hessian(self):
        """Second derivatives of the value in x, or the average information for them,
        and whether they are exact: math.md (114).
        """
        covariances = self.model.covariances
        pairs = list(zip(covariances, self.Lambdas, strict=True))
        found = second_of_all(self, [c.directions(Lambda) for c, Lambda in pairs])
        bend = block_diag(
            curvature_of_gamma(self, found),
            *(c.curvature(S) for c, S in zip(covariances, self.scores, strict=True)),
        )
        if not found.is_exact:
            k = len(self.gamma)
            bend[:k, :k] += bend_of_effects(self)
        return found.observed() + bend, found.is_exact


def _farthest(rows, gamma):
    return rows.spread(gamma).max()


def _at_bounds(rows, gamma):
    return int(np.count_nonzero(rows.spread(gamma) > WIDEST - BOUND_MARGIN))


def _above(rows, gamma, log_variance):
    return int(np.count_nonzero(rows.log_variance(gamma) > log_variance))


def figures_of_rows(rows, gamma, mixed):
    """The `RowFigures` of some rows at a point: math.md (112)."""
    factor = mixed.factor
    w = rows.weight * np.exp(-rows.log_variance(gamma))
    turn = np.zeros((len(factor.to_residual), len(factor.to_residual)))
    turn[:, 0] = factor.to_residual / np.sqrt(mixed.noise_variance)
    turn[:-1, 1:] = factor.root_inverse
    figures, uncertain = rows.work @ turn, np.zeros(len(w))
    if mixed.Lambdas:
        modes = modes_of_columns(mixed)
        for M, z, code in zip(modes, rows.Z, rows.codes, strict=True):
            figures -= combined(z, M @ turn, code)
        uncertain = effect_variances(factor, rows.Z, rows.codes)
    e, h = figures[:, 0], figures[:, 1:]
    square = e**2 + uncertain
    if mixed.model.reml:
        square += np.einsum("ij,ij->i", h, h)
    return RowFigures(w, e, h, uncertain, w * square)


def _score(rows, found):
    return (rows.weight - found.noise) @ rows.S


def combined(z, figures, codes):
    """z'figures of each row's level, (n, k); figures are (K, q, k)."""
    total = z[:, :1] * figures[:, 0].take(codes, axis=0)
    for a in range(1, z.shape[1]):
        total += z[:, a : a + 1] * figures[:, a].take(codes, axis=0)
    return total


def sums_by_level(z, columns, codes, n_levels):
    """Z'columns of a term, (K, q, k)."""
    found = np.empty((n_levels, z.shape[1], columns.shape[1]))
    for a in range(z.shape[1]):
        for i in range(columns.shape[1]):
            product = z[:, a] * columns[:, i]
            found[:, a, i] = np.bincount(codes, product, n_levels)
    return found


def curvature_of_gamma(point, found):
    """The part of the second derivatives in gamma that is not of first derivatives of
    the variances: that of the penalty, and where others are exact that of exp.
    """
    curvature = 2 * point.noise.penalty
    if found.is_exact:
        curvature = curvature + point.sum_rows(_bend)
    return curvature


def _bend(rows, found):
    return rows.S.T @ ((rows.weight - found.noise)[:, None] * rows.S)


def bend_of_effects(point):
    """The positive part of a term for steps in gamma, where traces are left out:
    math.md (220).
    """
    values, vectors = np.linalg.eigh(point.sum_rows(_rows_beside_effects))
    return (vectors * np.maximum(values, 0.0)) @ vectors.T


def _rows_beside_effects(rows, found):
    square = found.w * found.e**2
    part = (found.noise - square) / rows.weight
    of_all = found.uncertain + np.einsum("ij,ij->i", found.h, found.h)
    bend = part * (1 - part) * rows.weight - found.w / rows.weight * of_all * square
    return rows.S.T @ (bend[:, None] * rows.S)


def second_of_all(point, directions, at_end=False):
    """`Second` in gamma and along directions of the covariances, (k_t, q, q) by terms.

    It is exact where the effects are few, and with `at_end` where they are of one term.
    """
    sizes, k = point.model.gram.sizes, len(point.gamma)
    mixed = second(point.mixed, directions)
    squares = np.pad(mixed.squares, ((k, 0), (k, 0)))
    if k:
        squares[:k] = _squares_of_gamma(point, directions)
        squares[:, :k] = squares[:k].T
    of_gamma = point.sum_rows(_squares)
    square = np.append(of_gamma, mixed.square)
    trace = np.append(point.sum_rows(_score) + of_gamma, mixed.trace)
    traces = None
    few, one = sum(K * q for K, q in sizes) <= FEW_EFFECTS, len(point.Lambdas) == 1
    if few or (at_end and one):
        how = _traces_of_one if one else _traces
        if _are_rows_fewer(point):
            how = _traces_of_rows
        traces = how(point, directions, mixed.traces)
    return Second(traces, squares, trace, square, point.mixed.freedom)


def _squares(rows, found):
    return (found.w * found.e**2) @ rows.S


def _squares_of_gamma(point, directions):
    """f'P f for the working variates of gamma, with each other and with those of the
    covariances, (k, k + ...): math.md (115).
    """
    mixed, sizes, modes = point.mixed, point.model.gram.sizes, []
    if point.Lambdas:
        right = point.sum_rows(_right, sizes, join=add_each)
        modes = covariance_times(mixed.factor, right)
    of_f, of_h, *sums = point.sum_rows(_left, modes, sizes, join=add_each)
    parts = [of_f - of_h.T @ of_h]
    pulls = zip(mixed.residual_pulls, mixed.coefficient_pulls, strict=True)
    for E, (u, loading), of_term in zip(directions, pulls, sums, strict=True):
        x = np.einsum("kab,gb->gak", E, u).reshape(u.size, len(E))
        of_x = loading.reshape(u.size, -1).T @ x
        of_term = of_term.reshape(u.size, of_term.shape[2])
        parts.append(of_term.T @ x - of_h.T @ of_x)
    return np.hstack(parts)


def add_each(first, second):
    """Sums of several kinds, each added."""
    return [a + b for a, b in zip(first, second, strict=True)]


def _right(rows, found, sizes):
    """Z'W f of every term, f being the working variates of gamma."""
    left = (found.w * found.e)[:, None] * rows.S
    return _by_level(rows, left, sizes)


def _left(rows, found, modes, sizes):
    """f'P f and h'W f, P without coefficients, and Z'P f of every term."""
    f = found.e[:, None] * rows.S
    left = found.w[:, None] * f
    of_h = found.h.T @ left
    for b, z, code in zip(modes, rows.Z, rows.codes, strict=bool(modes)):
        left = left - found.w[:, None] * combined(z, b, code)
    sums = _by_level(rows, left, sizes) if modes else []
    return [f.T @ left, of_h, *sums]


def _by_level(rows, columns, sizes):
    """Z'columns of every term."""
    triples = zip(rows.Z, rows.codes, sizes, strict=True)
    return [sums_by_level(z, columns, code, K) for z, code, (K, _) in triples]


def _are_rows_fewer(point):
    """Whether pairs of rows are fewer than the entries of G_i of all columns of the
    log-variance: math.md (116).  Rows of several parts have no pairs.
    """
    rows, p = point.noise.rows, len(point.mixed.factor.root_inverse)
    sizes, p = point.model.gram.sizes if point.Lambdas else (), p * point.model.reml
    n_entries = (sum(K * q for K, q in sizes) + p) ** 2
    if len(sizes) == 1:
        ((K, q),) = sizes
        n_entries = K * q * (q + p) + p**2
    is_one_part = isinstance(rows, ModelledNoiseRows)
    return is_one_part and rows.n_rows**2 <= len(point.gamma) * n_entries


def _traces_of_rows(point, directions, of_covariances):
    """`_traces` by pairs of rows, all of which are at hand: math.md (215)."""
    k = len(point.gamma)
    total = np.pad(of_covariances, ((k, 0), (k, 0)))
    of_S, of_both = point.sum_rows(_of_pairs, point.mixed, directions)
    total[:k, :k], total[:k, k:], total[k:, :k] = of_S, of_both, of_both.T
    return total


def _of_pairs(rows, found, mixed, directions):
    """The traces of the log-variance's columns with each other and with directions."""
    h = found.h if mixed.model.reml else found.h[:, :0]
    of_S, T, sizes = _of_columns(rows, found, h), h @ h.T, mixed.model.gram.sizes
    triples = zip(rows.Z, rows.codes, sizes, strict=False)
    Z = [indicator(code, K, z) for z, code, (K, _) in triples]
    if Z:
        pairs = zip(Z, sizes, strict=True)
        right = [z.T.toarray().reshape(K, q, -1) for z, (K, q) in pairs]
        for z, part in zip(Z, covariance_times(mixed.factor, right), strict=True):
            T += z @ as_rows(part)
    of_w = found.w[:, None] * T
    of_both = np.zeros((len(h), sum(map(len, directions))))
    own = slices_of(map(len, directions))
    for z, E, some, (_, q) in zip(Z, directions, own, sizes, strict=False):
        L = (z.T.toarray() - z.T @ of_w).reshape(-1, q, len(h))
        squares = np.einsum("gan,gbn->nab", L, L)
        of_both[:, some] = np.einsum("kab,nab->nk", E, squares)
    weighted = found.w[:, None] * rows.S
    return [of_S + weighted.T @ (T**2 @ weighted), weighted.T @ of_both]


def _traces(point, directions, of_covariances):
    """tr P V_i P V_j of all parameters, P without coefficients under ML: math.md
    (116).
    """
    k, sizes = len(point.gamma), point.model.gram.sizes if point.Lambdas else ()
    C = _covariance_of_effects(point, sizes)
    n_effects = len(C)
    of_S, G = point.sum_rows(_products, sizes, point.model.reml, join=add_each)
    size = G.shape[1]
    C = block_diag(C, np.eye(size - n_effects))
    turned = C @ G[1:]
    L = np.eye(n_effects, size) - G[0, :n_effects] @ C
    total = np.pad(of_covariances, ((k, 0), (k, 0)))
    total[:k, :k] = of_S
    # One product of matrices for all pairs, whose number is the square of the columns.
    total[:k, :k] += np.tensordot(turned, turned, axes=([1, 2], [2, 1]))
    for i in range(k):
        blocks = blocks_of_terms(L @ G[1 + i] @ L.T, sizes)
        mixed = along(directions, [N.sum(axis=0) for N in blocks])
        total[i, k:] = total[k:, i] = mixed
    return total


def _products(rows, found, sizes, reml):
    """Products of the log-variance's columns, and `_scatters` for w and for w times
    each of these columns.
    """
    h = found.h if reml else found.h[:, :0]
    triples = zip(rows.Z, rows.codes, sizes, strict=bool(sizes))
    parts = [indicator(code, K, z) for z, code, (K, _) in triples]
    Z = sparse.hstack([sparse.csr_array((len(h), 0)), *parts], format="csr")
    weights = found.w * np.vstack([np.ones(len(h)), rows.S.T])
    return [_of_columns(rows, found, h), _scatters(Z, h, weights)]


def _of_columns(rows, found, h):
    uncertain = found.uncertain + np.einsum("ij,ij->i", h, h)
    weight = rows.weight - 2 * found.w * uncertain
    return rows.S.T @ (weight[:, None] * rows.S)


def _traces_of_one(point, directions, of_covariances):
    """`_traces` of one term, level by level."""
    k, ((n_levels, _), *_) = len(point.gamma), point.model.gram.sizes
    how = n_levels, point.model.reml
    of_S, *sums = point.sum_rows(_products_of_one, *how, join=add_each)
    own = point.mixed.factor.conditional_of(0)
    M, M_h, _ = sums[:3]
    A, M_h = np.eye(M.shape[1]) - M @ own, transpose(M_h)
    G = [np.array(sums[at::3]) for at in (3, 4, 5)]
    total = np.pad(of_covariances, ((k, 0), (k, 0)))
    total[:k, :k] = of_S
    for i, (G_Z, G_both, G_h) in enumerate(zip(*G, strict=True)):
        total[i, :k] += np.tensordot(G[0], transpose(own @ G_Z @ own), 3)
        total[i, :k] += 2 * np.tensordot(G[1], own @ G_both, 3)
        total[i, :k] += np.tensordot(G[2], G_h, 2)
        mixed = A @ G_both @ M_h
        N = A @ G_Z @ transpose(A) - mixed - transpose(mixed)
        N += transpose(M_h) @ G_h @ M_h
        found_i = np.einsum("kab,ab->k", directions[0], N.sum(axis=0))
        total[i, k:] = total[k:, i] = found_i
    return total


def _products_of_one(rows, found, n_levels, reml):
    """Products of the log-variance's columns, and `_level_scatter` for w and for w
    times each of these columns.
    """
    h = found.h if reml else found.h[:, :0]
    sums = [_of_columns(rows, found, h)]
    for weight in (found.w, *(found.w * s for s in rows.S.T)):
        sums += _level_scatter(rows, h, weight, n_levels)
    return sums


def _level_scatter(rows, h, weight, n_levels):
    """[Z_g h]' diag(weight) [Z_g h] of every level: (K, q, q), (K, q, p), and (p, p) of
    all rows.
    """
    (z,), (codes,) = rows.Z, rows.codes
    of_h = weight[:, None] * h
    of_Z = sums_by_level(z, weight[:, None] * z, codes, n_levels)
    return of_Z, sums_by_level(z, of_h, codes, n_levels), h.T @ of_h


def _covariance_of_effects(point, sizes):
    """Cov(b | y, beta), (D, D)."""
    n_effects = sum(K * q for K, q in sizes)
    if not n_effects:
        return np.zeros((0, 0))
    C = covariance_times(point.mixed.factor, by_terms(np.eye(n_effects), sizes))
    return np.vstack([c.reshape(-1, n_effects) for c in C])


def _scatters(Z, h, weights):
    """[Z h]' diag(weight) [Z h] of every weight (k, n), dense.

    Every row has as many effects, r.  Entries of Z' diag(weight) Z are sums over rows
    of products of two of these, so that one sparse matrix of the products, (d^2, rows),
    times all weights is all of them.
    """
    (n, d), p = Z.shape, h.shape[1]
    r = Z.nnz // max(n, 1)
    places, values = Z.indices.reshape(n, r), Z.data.reshape(n, r)
    sums = np.zeros((d * d, len(weights)))
    for some in short_blocks(n, r * r, sums.size):
        pairs = places[some, :, None].astype(np.int64) * d + places[some, None]
        products = values[some, :, None] * values[some, None]
        starts = np.arange(len(products) + 1) * r * r
        shape = d * d, len(products)
        of_pairs = sparse.csc_array((products.ravel(), pairs.ravel(), starts), shape)
        sums += of_pairs @ weights[:, some].T
    found, back = np.empty((len(weights), d + p, d + p)), Z.T.tocsr()
    found[:, :d, :d] = sums.T.reshape(len(weights), d, d)
    for one, weight in zip(found, weights, strict=True):
        weighted = weight[:, None] * h
        one[:d, d:] = back @ weighted
        one[d:, :d], one[d:, d:] = one[:d, d:].T, h.T @ weighted
    return found


def coefficient_slopes_of_gamma(point):
    """R d(X'V^-1 X)^-1 R' in gamma, (k, p, p)."""
    return point.sum_rows(_slopes_in_gamma)


def _slopes_in_gamma(rows, found):
    h = found.h
    slopes = [h.T @ ((found.w * s)[:, None] * h) for s in rows.S.T]
    return np.array(slopes).reshape(len(slopes), h.shape[1], h.shape[1])
