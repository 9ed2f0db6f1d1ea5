"""The criterion of a linear mixed model with a log-variance that is linear in features,
and its derivatives (docs/math.md, section 16).

    log v_j = log sigma^2 + o_j + s_j'gamma,   sum_j a_j (o_j + s_j'gamma) = 0

This is math.md (110).  At each gamma the criterion is that of constant noise, of rows
divided by their noise standard deviations: sigma^2 is profiled and covariances are in
its units.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.linalg import block_diag

from .._rows.crossed import indicator
from .._rows.mixed_noise import UnevenRows
from .effects_of_rows import covariance_times, modes_of_columns, row_variances
from .factor import transpose
from .mixed import FEW_EFFECTS, Point, Second, evaluate, second

# Noise variances of rows, but for a known part, lie within these multiples of their
# geometric mean.
WIDEST = np.log(1e10)
# A log-variance this close to a bound counts as being at it.
NEXT_TO = 1.0


@dataclass(frozen=True)
class Uneven:
    """The part of the likelihood that is about the log-variance.

    Attributes
    ----------
    rows : UnevenRows
    penalty : ndarray of shape (k, k)
        The ridge on gamma adds gamma' penalty gamma to the deviance.
    """

    rows: UnevenRows
    penalty: np.ndarray

    def at(self, model, gamma, theta=None, Lambdas=None):
        """The point at gamma of a likelihood, whose Gram is another one: math.md (111).

        Raises
        ------
        LinAlgError
            If noise variances are too far apart.
        """
        if not self.rows.spread(gamma).max() <= WIDEST:
            raise np.linalg.LinAlgError("noise variances too far apart")
        model = replace(model, gram=self.rows.gram(gamma))
        Lambdas = model.unpack(theta) if Lambdas is None else Lambdas
        return UnevenPoint(self, gamma, evaluate(model, Lambdas))


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
    """

    w: np.ndarray
    e: np.ndarray
    h: np.ndarray
    uncertain: np.ndarray


@dataclass(frozen=True)
class UnevenPoint:
    """The criterion at one value of gamma and of the covariances.

    Attributes
    ----------
    uneven : Uneven
    gamma : ndarray of shape (k,)
    mixed : Point
        Of the rows divided by their noise standard deviations.
    """

    uneven: Uneven
    gamma: np.ndarray
    mixed: Point

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
        """Those of the covariances."""
        return self.mixed.scores

    @property
    def noise_variance(self):
        """sigma^2."""
        return self.mixed.noise_variance

    @cached_property
    def value(self):
        """The minimised value: the deviance with the penalties."""
        return self.mixed.value + self.gamma @ self.uneven.penalty @ self.gamma

    @property
    def rounding(self):
        """Rounding error of the value."""
        return self.mixed.rounding

    @property
    def x(self):
        """gamma and theta."""
        return np.append(self.gamma, self.mixed.x)

    @property
    def units(self):
        """Units of steps of x."""
        return np.append(np.ones(len(self.gamma)), self.mixed.units)

    def at(self, x):
        """The point at another x."""
        k = len(self.gamma)
        return self.uneven.at(self.model, x[:k], theta=x[k:])

    def moved(self, Lambdas):
        """The point of other covariances."""
        return replace(self, mixed=self.mixed.moved(Lambdas))

    def held(self, noise_variance):
        """The point with a given sigma^2, or with a profiled one for None."""
        return replace(self, mixed=self.mixed.held(noise_variance))

    def pivoted(self):
        """The same point, with Lambdas that are triangular in the order of pivots."""
        mixed = self.mixed.pivoted()
        return self if mixed is self.mixed else replace(self, mixed=mixed)

    @property
    def log_variance(self):
        """The log-variance of each row about that of their geometric mean, (n,)."""
        return self.uneven.rows.log_variance(self.gamma)

    @property
    def n_at_bounds(self):
        """Number of rows whose noise variance is at a bound, or next to it."""
        spread = self.uneven.rows.spread(self.gamma)
        return int(np.count_nonzero(spread > WIDEST - NEXT_TO))

    @cached_property
    def rows(self):
        """The `RowFigures`: math.md (112)."""
        rows, factor = self.uneven.rows, self.mixed.factor
        w = rows.weight * np.exp(-self.log_variance)
        std = np.sqrt(self.noise_variance)
        turn = np.zeros((len(factor.contrast), len(factor.contrast)))
        turn[:, 0] = factor.contrast / std
        turn[:-1, 1:] = factor.root_inverse
        figures = rows.work @ turn
        uncertain = np.zeros(len(w))
        if self.Lambdas:
            modes = modes_of_columns(self.mixed)
            for M, z, code in zip(modes, rows.Z, rows.codes, strict=True):
                figures -= combined(z, M @ turn, code)
            uncertain = row_variances(factor, rows.Z, rows.codes)
        return RowFigures(w, figures[:, 0], figures[:, 1:], uncertain)

    @cached_property
    def noise(self):
        """w times the expected squared noise of each row, in sigma^2, (n,)."""
        found = self.rows
        square = found.e**2 + found.uncertain
        if self.model.reml:
            square += np.einsum("ij,ij->i", found.h, found.h)
        return found.w * square

    def gradient(self):
        """d value / d x: math.md (113)."""
        S = self.uneven.rows.S
        score = self.uneven.rows.weight - self.noise
        of_gamma = score @ S + 2 * self.uneven.penalty @ self.gamma
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
        return found.observed() + bend, found.is_exact


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
    curvature = 2 * point.uneven.penalty
    if found.is_exact:
        S = point.uneven.rows.S
        score = point.uneven.rows.weight - point.noise
        curvature = curvature + S.T @ (score[:, None] * S)
    return curvature


def second_of_all(point, directions, at_end=False):
    """`Second` in gamma and along directions of the covariances, (k_t, q, q) by terms.

    It is exact where the effects are few, and with `at_end` where they are of one term.
    """
    sizes, k = point.model.gram.sizes, len(point.gamma)
    mixed = second(point.mixed, directions)
    squares = np.zeros((k + len(mixed.square),) * 2)
    squares[k:, k:] = mixed.squares
    if k:
        squares[:k] = _squares_of_gamma(point, directions)
        squares[:, :k] = squares[:k].T
    found, S = point.rows, point.uneven.rows.S
    of_gamma = (found.w * found.e**2) @ S
    square = np.append(of_gamma, mixed.square)
    left = point.uneven.rows.weight - (point.noise - found.w * found.e**2)
    trace = np.append(left @ S, mixed.trace)
    traces = None
    few, one = sum(K * q for K, q in sizes) <= FEW_EFFECTS, len(point.Lambdas) == 1
    if few or (at_end and one):
        how = _traces_of_one if one else _traces
        traces = how(point, directions, mixed.traces)
    return Second(traces, squares, trace, square, point.mixed.freedom)


def _squares_of_gamma(point, directions):
    """f'P f for the working variates of gamma, with each other and with those of the
    covariances, (k, k + ...): math.md (115).
    """
    found, rows, mixed = point.rows, point.uneven.rows, point.mixed
    f = found.e[:, None] * rows.S
    left, sums = found.w[:, None] * f, []
    if point.Lambdas:
        sizes = mixed.model.gram.sizes
        triples = list(zip(rows.Z, rows.codes, sizes, strict=True))
        right = [sums_by_level(z, left, c, K) for z, c, (K, _) in triples]
        for b, (z, code, _) in zip(
            covariance_times(mixed.factor, right), triples, strict=True
        ):
            left = left - found.w[:, None] * combined(z, b, code)
        sums = [sums_by_level(z, left, c, K) for z, c, (K, _) in triples]
    of_h = found.h.T @ (found.w[:, None] * f)
    parts = [f.T @ left - of_h.T @ of_h]
    for E, (u, loading), of_term in zip(directions, mixed.pulls, sums, strict=True):
        x = np.einsum("kab,gb->gak", E, u).reshape(u.size, len(E))
        of_x = loading.reshape(u.size, -1).T @ x
        of_term = of_term.reshape(u.size, of_term.shape[2])
        parts.append(of_term.T @ x - of_h.T @ of_x)
    return np.hstack(parts)


def _traces(point, directions, of_covariances):
    """tr P V_i P V_j of all parameters, P without coefficients under ML: math.md
    (116).
    """
    rows, found, sizes = point.uneven.rows, point.rows, point.model.gram.sizes
    k, reml = len(point.gamma), point.model.reml
    Z, C = _all_effects(point, sizes)
    h = found.h if reml else found.h[:, :0]
    n_effects, size = len(C), len(C) + h.shape[1]
    C = block_diag(C, np.eye(h.shape[1]))
    products = [_scatter(Z, h, found.w * s) for s in rows.S.T]
    turned = [C @ G for G in products]
    L = np.eye(n_effects, size) - _scatter(Z, h, found.w)[:n_effects] @ C
    total = np.zeros((k + len(of_covariances),) * 2)
    total[k:, k:] = of_covariances
    uncertain = found.uncertain + np.einsum("ij,ij->i", h, h)
    weight = rows.weight - 2 * found.w * uncertain
    total[:k, :k] = rows.S.T @ (weight[:, None] * rows.S)
    for i in range(k):
        for j in range(k):
            total[i, j] += np.sum(turned[i] * turned[j].T)
        mixed = _along(L @ products[i] @ L.T, directions, sizes)
        total[i, k:] = total[k:, i] = mixed
    return total


def _traces_of_one(point, directions, of_covariances):
    """`_traces` of one term, level by level."""
    rows, found, k = point.uneven.rows, point.rows, len(point.gamma)
    h = found.h if point.model.reml else found.h[:, :0]
    own = point.mixed.factor.conditional_of(0)
    M, M_h, _ = _level_scatter(rows, h, found.w)
    A, M_h = np.eye(M.shape[1]) - M @ own, transpose(M_h)
    G = [_level_scatter(rows, h, found.w * s) for s in rows.S.T]
    turned = [(own @ of_Z, own @ of_both) for of_Z, of_both, _ in G]
    total = np.zeros((k + len(of_covariances),) * 2)
    total[k:, k:] = of_covariances
    uncertain = found.uncertain + np.einsum("ij,ij->i", h, h)
    weight = rows.weight - 2 * found.w * uncertain
    total[:k, :k] = rows.S.T @ (weight[:, None] * rows.S)
    for i, (of_Z, of_both, of_h) in enumerate(G):
        for j in range(k):
            total[i, j] += np.sum(turned[i][0] * transpose(turned[j][0]))
            total[i, j] += 2 * np.sum(turned[i][1] * G[j][1]) + np.sum(of_h * G[j][2])
        mixed = A @ of_both @ M_h
        N = A @ of_Z @ transpose(A) - mixed - transpose(mixed)
        N += transpose(M_h) @ of_h @ M_h
        found_i = np.einsum("kab,ab->k", directions[0], N.sum(axis=0))
        total[i, k:] = total[k:, i] = found_i
    return total


def _level_scatter(rows, h, weight):
    """[Z_g h]' diag(weight) [Z_g h] of every level: (K, q, q), (K, q, p), and (p, p) of
    all rows.
    """
    (z,), (codes,), ((K, _), *_) = rows.Z, rows.codes, rows.even.sizes
    of_h = weight[:, None] * h
    of_Z = sums_by_level(z, weight[:, None] * z, codes, K)
    return of_Z, sums_by_level(z, of_h, codes, K), h.T @ of_h


def _all_effects(point, sizes):
    """The columns Z (n, D) of all effects, sparse, and Cov(b | y, beta), (D, D)."""
    rows = point.uneven.rows
    if not point.Lambdas:
        return sparse.csr_array((rows.n_rows, 0)), np.zeros((0, 0))
    n_effects = sum(K * q for K, q in sizes)
    triples = list(zip(rows.codes, sizes, rows.Z, strict=True))
    Z = sparse.hstack([indicator(c, K, z) for c, (K, _), z in triples], format="csr")
    eye, parts, start = np.eye(n_effects), [], 0
    for K, q in sizes:
        parts.append(eye[start : start + K * q].reshape(K, q, n_effects))
        start += K * q
    C = covariance_times(point.mixed.factor, parts)
    return Z, np.vstack([c.reshape(-1, n_effects) for c in C])


def _scatter(Z, h, weight):
    """[Z h]' diag(weight) [Z h], dense."""
    weighted = weight[:, None] * h
    of_both = Z.T @ weighted
    return np.block(
        [
            [(Z.T @ (Z * weight[:, None])).toarray(), of_both],
            [of_both.T, h.T @ weighted],
        ]
    )


def _along(N, directions, sizes):
    """sum_g tr N_gg E along directions of all terms, N of all effects."""
    found, start = [np.zeros(0)], 0
    for E, (K, q) in zip(directions, sizes, strict=False):
        own = slice(start, start + K * q)
        start += K * q
        blocks = N[own, own].reshape(K, q, K, q)
        D = blocks[np.arange(K), :, np.arange(K)].sum(axis=0)
        found.append(np.einsum("kab,ab->k", E, D))
    return np.concatenate(found)


def coefficient_slopes_of_gamma(point):
    """R d(X'V^-1 X)^-1 R' in gamma, (k, p, p)."""
    found, S = point.rows, point.uneven.rows.S
    return np.array(
        [found.h.T @ ((found.w * s)[:, None] * found.h) for s in S.T]
    ).reshape(S.shape[1], found.h.shape[1], found.h.shape[1])
