"""The criterion of a linear mixed model with constant noise, and its derivatives in
the covariances of its terms (docs/math.md, section 11).

No row is in sight: a model has the blocks that are left of them, or hides rows behind
a Gram where effects outnumber them (11.8).
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import block_diag

from .._input.blocks import row_blocks, slices_of
from .._rows.by_rows import RowGram
from .._rows.crossed import CrossedGram
from .._rows.iterative import IterativeGram
from .._rows.nested import NestedGram
from .._rows.qr import EPS, as_rows
from .by_rows import factorize_rows
from .criterion import (
    Likelihood,
    penalised_deviance,
    profiled_noise,
    residual_freedom,
)
from .crossed import CrossedFactor, factorize_crossed
from .factor import BlockCholesky, by_terms, factorize, places_of_terms
from .iterative import factorize_iterative
from .nested import factorize_nested

# Up to so many random effects of several factors the Hessian is exact: all of Z'PZ is
# formed.
FEW_EFFECTS = 400


@dataclass(frozen=True, kw_only=True)
class LinearMixed(Likelihood):
    """One likelihood of a linear mixed model.

    Attributes beside those of `Likelihood`
    ---------------------------------------
    covariances : tuple of Covariance
        One for each term.
    seed : int
        Of the random starts of a search.
    n_rows : int
        Number of rows, whatever their weights: a search of few rows has more starts.
    """

    covariances: tuple
    seed: int = 0
    n_rows: int = 0

    @property
    def n_effects(self):
        """Number of random effects, those without a variance included."""
        return sum(K * q for K, q in self.gram.sizes)

    def resolution(self, t):
        """The variance of an effect of term t, in noise variances, that an average
        level tells no better than its own noise.
        """
        return self.gram.sizes[t][0] / self.n

    def only(self, told):
        """The likelihood in which those effects alone have variances that `told` says,
        by terms.
        """
        pairs = zip(self.covariances, told, strict=True)
        patterns = (c.without(np.flatnonzero(~some)) for c, some in pairs)
        return replace(self, covariances=tuple(patterns))

    def unpack(self, theta):
        """Lambda of every term from all their free entries."""
        sizes = [len(c.entries[0]) for c in self.covariances]
        parts = np.split(theta, np.cumsum(sizes))[:-1]
        return tuple(
            c.unpack(part) for c, part in zip(self.covariances, parts, strict=True)
        )

    def straight(self, Lambdas, theta):
        """Lambda of every term after a step to theta along which its Psi moves on a
        straight line: math.md (222).
        """
        terms = zip(self.covariances, Lambdas, self.unpack(theta), strict=True)
        return tuple(c.straight(old, new - old) for c, old, new in terms)

    def pack(self, Lambdas):
        """All free entries of the Lambdas."""
        pairs = zip(self.covariances, Lambdas, strict=True)
        return np.concatenate([np.empty(0), *(c.pack(L) for c, L in pairs)])


@dataclass(frozen=True)
class MixedPoint:
    """The criterion at one value of the covariances.

    Attributes
    ----------
    model : LinearMixed
    Lambdas : tuple of ndarray of shape (q, q)
        Psi / sigma^2 = Lambda Lambda' of every term.
    factor : BlockCholesky
    noise_variance : float
        sigma^2, known or profiled, not below the floor.
    at_floor : bool
    rss : float
        Residual sum of squares in units of V0, without the penalty.
    """

    model: LinearMixed
    Lambdas: tuple
    factor: BlockCholesky
    noise_variance: float
    at_floor: bool
    rss: float

    @cached_property
    def value(self):
        """The minimised value: the deviance, with the penalty if there is one."""
        return penalised_deviance(self.model, self)

    @property
    def factor_freedom(self):
        """Degrees of freedom beside the coefficients."""
        return residual_freedom(self.model, self.factor)

    @property
    def freedom(self):
        """Divisor of the profiled noise variance; None if that is held."""
        held = self.at_floor or self.model.noise_variance is not None
        return None if held else self.factor_freedom

    @cached_property
    def rounding(self):
        """Rounding error of the value."""
        terms = abs(self.value) + abs(self.factor.logdet) + self.model.n
        return EPS * (16 * terms + self.factor.lost + self._of_residuals)

    @property
    def _of_residuals(self):
        """The error of what residuals, which lose as much in digits as y is longer, add
        to the value, in units of the relative error of y: of n log rss, or of rss over
        a noise variance that is held.
        """
        y = self.factor.root[:, -1]
        rows = y[-1] ** 2 / self.noise_variance
        rows = rows if self.freedom is None else self.model.n
        return rows * np.linalg.norm(y) / abs(y[-1])

    @property
    def has_one_term(self):
        """Whether one factor is all that there is."""
        return len(self.Lambdas) == 1 and isinstance(self.factor, BlockCholesky)

    @cached_property
    def residual_pulls(self):
        """u (K, q) = Z'V0^-1 r / sigma of every term, in the order of the terms."""
        to_residual = self.factor.to_residual / np.sqrt(self.noise_variance)
        some = self.factor.projections[: len(self.Lambdas)]
        return [(as_rows(A) @ to_residual).reshape(A.shape[:2]) for A in some]

    @cached_property
    def loadings(self):
        """Sums over the levels of products of k of every term, (p, q, p, q)."""
        if self.has_one_term:
            return [self.level_sums.loadings]
        found, T = [], self.factor.root_inverse
        for projection in self.factor.projections[: len(self.Lambdas)]:
            (K, q, m), total = projection.shape, 0.0
            for levels in row_blocks(K, q * m):  # a square of T would cost digits
                rows = as_rows(projection[levels])
                k = (rows[:, :-1] @ T).reshape(len(rows) // q, q * len(T))
                total = total + k.T @ k
            found.append(total.reshape(q, len(T), q, len(T)).transpose(1, 0, 3, 2))
        return found

    @cached_property
    def coefficient_pulls(self):
        """k (K, q, p) = Z'V0^-1 X R^-1 of every term, in the order of the terms."""
        found = []
        for projection in self.factor.projections[: len(self.Lambdas)]:
            flat = projection.reshape(-1, projection.shape[2])
            k = flat[:, :-1] @ self.factor.root_inverse
            found.append(k.reshape(*projection.shape[:2], -1))
        return found

    @cached_property
    def level_sums(self):
        """The `LevelSums` of the only term."""
        return self.factor.level_sums(
            self.factor.to_residual / np.sqrt(self.noise_variance)
        )

    @cached_property
    def traces(self):
        """sum_g N_gg of every term, (q, q)."""
        if self.has_one_term:
            spreads = [self.level_sums.spread]
        else:
            spreads = self.factor.spread_sums[: len(self.Lambdas)]
        of_x = [np.einsum("iaib->ab", A) * self.model.reml for A in self.loadings]
        return [D - A for D, A in zip(spreads, of_x, strict=True)]

    @cached_property
    def scores(self):
        """d value / d (Psi / sigma^2) of every term, (q, q): S of math.md (42)."""
        if self.has_one_term:
            return [self.traces[0] - self.level_sums.squares]
        pairs = zip(self.traces, self.residual_pulls, strict=True)
        return [N - u.T @ u for N, u in pairs]

    @cached_property
    def modes(self):
        """Conditional modes of the effects of the search of every term, (K, q)."""
        if self.has_one_term:
            return [self.factor.modes()]
        pairs = zip(self.Lambdas, self.residual_pulls, strict=True)
        std = np.sqrt(self.noise_variance)
        return [std * (u @ Lambda) @ Lambda.T for Lambda, u in pairs]

    @cached_property
    def in_psi(self):
        """Second derivatives in the entries of Psi / sigma^2 of all terms."""
        return second(self, [c.symmetric for c in self.model.covariances])

    @cached_property
    def in_theta(self):
        """Second derivatives of the value but for what Lambda Lambda' itself has."""
        pairs = zip(self.model.covariances, self.Lambdas, strict=True)
        return second(self, [c.directions(Lambda) for c, Lambda in pairs])

    def pivoted(self):
        """The same point, with Lambdas that are triangular in the order of pivots."""
        pairs = list(zip(self.model.covariances, self.Lambdas, strict=True))
        covariances = tuple(c.pivoted(L @ L.T) for c, L in pairs)
        if covariances == self.model.covariances:
            return self
        model = replace(self.model, covariances=covariances)
        Lambdas = tuple(
            new if c == old else c.root(L @ L.T)
            for c, (old, L), new in zip(covariances, pairs, self.Lambdas, strict=True)
        )
        return replace(self, model=model, Lambdas=Lambdas)

    @property
    def x(self):
        """theta."""
        return self.model.pack(self.Lambdas)

    def place(self, other):
        """theta of another point, as this point has its Lambdas."""
        pairs = zip(self.model.covariances, other.Lambdas, strict=True)
        return self.model.pack([c.root(L @ L.T) for c, L in pairs])

    @property
    def units(self):
        """Units of steps of theta: the standard deviation of each effect, and the part
        of it that the data resolve.
        """
        found = [np.empty(0)]
        pairs = zip(self.model.covariances, self.Lambdas, strict=True)
        for t, (covariance, Lambda) in enumerate(pairs):
            of_rows = np.sqrt(np.sum(Lambda**2, axis=1) + self.model.resolution(t))
            found.append(of_rows[covariance.entries[0]])
        return np.concatenate(found)

    def at(self, x):
        """The point at another theta."""
        return evaluate(self.model, self.model.unpack(x))

    def straight(self, x):
        """The point at another theta, nearly: every Psi moves on a straight line."""
        return self.moved(self.model.straight(self.Lambdas, x))

    def moved(self, Lambdas):
        """The point of other covariances."""
        return evaluate(self.model, Lambdas)

    def held(self, noise_variance):
        """The point with a given noise variance, or with a profiled one for None."""
        model = replace(self.model, noise_variance=noise_variance)
        return evaluate(model, self.Lambdas)

    def hessian(self):
        """Second derivatives of the value in theta, or the average information in their
        place, and whether they are exact: math.md (46).
        """
        found = self.in_theta
        pairs = zip(self.model.covariances, self.scores, strict=True)
        curvatures = [c.curvature(S) for c, S in pairs]
        return found.observed() + block_diag(*curvatures), found.is_exact

    def known(self):
        """Second derivatives in theta less the average information, where traces are
        free, else 0, (n_theta, n_theta): math.md (210).
        """
        found = np.zeros((len(self.x),) * 2)
        if not isinstance(self.factor, CrossedFactor):
            return found
        n_rest = len(self.factor.rest[0])
        if any(len(c.entries[0]) != 1 for c in self.model.covariances[-n_rest:]):
            return found
        loadings = [np.zeros((K, 0)) for K, _ in self.model.gram.sizes[-n_rest:]]
        if self.model.reml:
            loadings = [k[:, 0] for k in self.coefficient_pulls[-n_rest:]]
        traces = self.factor.traces_of_rest(loadings)
        if traces is not None:
            slopes = 2 * self.x[-n_rest:]
            traces = traces * np.outer(slopes, slopes)
            left = self.in_theta.squares[-n_rest:, -n_rest:] - traces
            found[-n_rest:, -n_rest:] = np.where(np.isnan(traces), 0.0, left)
        return found

    def gradient(self):
        """d value / d theta: math.md (46)."""
        triples = zip(self.model.covariances, self.scores, self.Lambdas, strict=True)
        parts = [c.pack(2 * S @ L) for c, S, L in triples]
        return np.concatenate([np.empty(0), *parts])


def evaluate(model, Lambdas, near=None):
    """Factor and profiled noise variance at one value of the covariances; `near` is a
    factor that an iterative solver may start from.
    """
    gram = model.gram
    if isinstance(gram, IterativeGram):
        factor = factorize_iterative(gram, Lambdas, model.penalty, near)
    elif isinstance(gram, NestedGram):
        factor = factorize_nested(gram, Lambdas, model.penalty)
    elif isinstance(gram, RowGram):
        factor = factorize_rows(gram, Lambdas, model.penalty)
    elif isinstance(gram, CrossedGram):
        factor = factorize_crossed(gram, Lambdas, model.penalty)
    else:
        Lambda = Lambdas[0] if Lambdas else np.zeros((1, 1))
        factor = factorize(gram, Lambda, model.penalty)
    return MixedPoint(model, Lambdas, factor, *profiled_noise(model, factor))


@dataclass(frozen=True)
class Second:
    """Second derivatives of the value in Psi / sigma^2, along some directions.

    Attributes
    ----------
    traces : ndarray of shape (k, k) or None
        tr(N E_i N E_j); None where they cost too much.
    squares : ndarray of shape (k, k)
        x_i'N x_j, x_i = E_i u.
    trace, square : ndarray of shape (k,)
        tr(N E_i) and u'E_i u.
    freedom : float or None
        The divisor of the profiled noise variance; None where that is held.
    """

    traces: np.ndarray | None
    squares: np.ndarray
    trace: np.ndarray
    square: np.ndarray
    freedom: float | None

    @property
    def is_exact(self):
        """Whether the traces are there."""
        return self.traces is not None

    def observed(self):
        """The second derivatives, or the average information: math.md (45)."""
        profiled = self._profiled(self.square)
        if self.is_exact:
            return 2 * self.squares - self.traces - profiled
        return self.squares - profiled

    def expected(self):
        """The expected second derivatives, or the average information."""
        if self.is_exact:
            return self.traces - self._profiled(self.trace)
        return self.observed()

    def _profiled(self, of_noise):
        if self.freedom is None:
            return 0.0
        return np.outer(of_noise, of_noise) / self.freedom


def second(point, directions):
    """Second derivatives along directions: for each term (k, q, q), symmetric each."""
    if len(directions) == 1:
        return _second_of_one(point, *directions)
    if not directions:
        none = np.zeros((0, 0))
        return Second(none, none, np.zeros(0), np.zeros(0), point.freedom)
    return second_of_several(point, directions)


def along(directions, figures):
    """tr(E A) of the directions E of every term and a symmetric A (q, q) of it."""
    pairs = zip(directions, figures, strict=True)
    parts = [np.einsum("kab,ab->k", E, A) for E, A in pairs]
    return np.concatenate([np.empty(0), *parts])


def second_of_several(point, directions):
    """`second` of several terms.  The traces tr(N E_i N E_j) need all of Z'PZ, which is
    formed where the effects are few; else they are left out.
    """
    model, n = point.model, sum(map(len, directions))
    sizes, own = model.gram.sizes, slices_of(map(len, directions))
    n_effects = sum(K * q for K, q in sizes)
    if n_effects <= FEW_EFFECTS and not point.factor.is_sampled:
        N_x, k = whole(point)
        N = N_x if point.model.reml else N_x + k @ k.T  # of the traces
        X = np.zeros((n_effects, n))
        products = []
        for t, here in enumerate(places_of_terms(sizes)):
            (K, q), E = sizes[t], directions[t]
            x = np.einsum("kab,gb->gak", E, point.residual_pulls[t])
            X[here, own[t]] = x.reshape(K * q, -1)
            columns = N[:, here].reshape(n_effects, K, q)
            products += [((columns @ e).reshape(n_effects, -1), here) for e in E]
        traces = np.zeros((n, n))
        trace = np.zeros(n)
        for i, (A, here) in enumerate(products):
            trace[i] = np.trace(A[here])
            for j, (B, there) in enumerate(products[: i + 1]):
                traces[i, j] = traces[j, i] = np.sum(A[there] * B[here].T)
        squares = X.T @ N_x @ X
    else:
        traces, squares = None, _squares(point, directions, own)
        trace = along(directions, point.traces)
    square = along(directions, [u.T @ u for u in point.residual_pulls])
    return Second(traces, squares, trace, square, point.freedom)


def whole(point):
    """Z'PZ (D, D) and Z'V0^-1X R^-1 (D, p) of all effects, term by term."""
    sizes = point.model.gram.sizes
    k = np.vstack([as_rows(k) for k in point.coefficient_pulls])
    if point.has_one_term:
        return block_diag(*point.factor.spread) - k @ k.T, k
    xs = by_terms(np.eye(len(k)), sizes)
    return point.factor.variates(xs) - k @ k.T, k


def _squares(point, directions, own):
    """x_i'N x_j of all directions, (n, n); `own` are the places of each term's."""
    n = own[-1].stop
    if not n:
        return np.zeros((0, 0))
    xs, w, T = [], 0.0, point.factor.root_inverse
    for t, E in enumerate(directions):
        u, projection = point.residual_pulls[t], point.factor.projections[t]
        x = np.zeros((*u.shape, n))
        x[:, :, own[t]] = np.einsum("kab,gb->gak", E, u)
        flat = as_rows(projection)
        w = w + T.T @ (flat.T @ x.reshape(len(flat), -1))[:-1]
        xs.append(x)
    return point.factor.variates(xs) - w.T @ w


def _second_of_one(point, directions):
    """math.md (45) by (186)."""
    sums, q = point.level_sums, directions.shape[1]

    def turned(products):
        """A matrix of (ab, cd) from sum_g A_da B_bc."""
        return np.einsum("dabc->abcd", products).reshape(q * q, q * q)

    E = directions.reshape(-1, q * q)
    # The part of the coefficients in x_i is sum_g k_g'E_i u_g.
    w = np.einsum("kab,iab->ki", directions, sums.mixed)
    squares = E @ turned(sums.of_u) @ E.T - w @ w.T
    traces = E @ turned(sums.of_spread) @ E.T
    trace = E @ sums.spread.ravel()
    if point.model.reml:
        C = coefficient_slopes(point, [directions])
        traces += np.einsum("ipr,jrp->ij", C, C) - 2 * E @ turned(sums.of_k) @ E.T
        trace = trace - np.einsum("ipp->i", C)
    return Second(traces, squares, trace, E @ sums.squares.ravel(), point.freedom)


def sampled_gradients(point, directions):
    """Slopes of the value along directions by each set of probes, less their mean,
    (n_sets, k): the error of an estimated trace is that of a mean of these.
    """
    parts = [
        np.einsum("kab,pab->pk", E, N)
        for E, N in zip(directions, point.factor.sampled_spreads, strict=True)
    ]
    slopes = np.concatenate(parts, axis=1)
    return slopes - slopes.mean(axis=0)


def information_at_zero(point, directions):
    """The expected information where no effect has a variance, but for the part of the
    coefficients in the traces of products: MINQUE(0).
    """
    traces = traces_at_zero(point, directions)
    trace = along(directions, point.traces)
    return traces - np.outer(trace, trace) / point.factor_freedom


def traces_at_zero(point, directions):
    """tr(Z'Z E_i Z'Z E_j) of all effects, (k, k)."""
    products, found = point.factor.products_at_zero(), {}
    for (s, t), T in products.items():
        found[s, t] = np.einsum("iac,acbd,jbd->ij", directions[s], T, directions[t])
        found[t, s] = found[s, t].T
    terms = range(len(directions))
    return np.block([[found[s, t] for t in terms] for s in terms])


def coefficient_slopes(point, directions):
    """R d(X'V0^-1 X)^-1 R' along directions, (k, p, p): math.md (47)."""
    found = [np.zeros((0, *point.factor.root_inverse.shape))]
    for loadings, some in zip(point.loadings, directions, strict=True):
        found.append(np.einsum("kab,iajb->kij", some, loadings))
    return np.concatenate(found)
