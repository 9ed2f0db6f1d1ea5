"""The uncertainty of the variances of a linear mixed model, and of its coefficients and
predictions: degrees of freedom, tests, intervals (docs/math.md, section 13).

The parameters are s = log sigma^2 and coordinates of every Psi / sigma^2 of the rank
that it has: null directions of a singular one stay out.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, qr
from scipy.special import ndtri

from .._input.blocks import short_blocks, slices_of
from .._likelihood.covariance import NULL
from .._likelihood.mixed import coefficient_slopes, evaluate, second
from .._likelihood.mixed_posterior import error_products
from .inference import CoefficientUncertainty

# Parameters are not known along directions of less than this fraction of the largest
# eigenvalue of their information, in units of their standard deviations.
UNKNOWN = 1e-10
# The step of differences of the gradient, in standard deviations of the effects.
STEP = 1e-4
# Numbers of a block of rows, each of which has one of every effect.
AT_ONCE = 4_000_000
# Correlations this close to 1 in size are at the end of their range.
END = 1e-9


@dataclass(frozen=True)
class VarianceParameters:
    """The variance parameters of a fit and their information.

    Attributes
    ----------
    point : MixedPoint
    directions : tuple of ndarray of shape (k_t, q, q)
        d (Psi / sigma^2) / d coordinate of every term.
    information : ndarray of shape (1 + k, 1 + k)
        Second derivatives of -log-likelihood in log sigma^2 and the coordinates.
    covariance : ndarray of shape (1 + k, 1 + k)
        That of the estimates.
    """

    point: object
    directions: tuple
    information: np.ndarray
    covariance: np.ndarray

    @classmethod
    def known_by(cls, point, directions, information):
        """Those whose covariance is the inverse of the information."""
        return cls(point, directions, information, covariance_of(point, information))


def covariance_of(point, information):
    """Covariance of estimates with this information; nothing is said about directions
    of which the data know nothing.
    """
    if point.at_floor:  # nothing is left to tell the variances from
        return np.full(information.shape, np.nan)
    values, vectors = np.linalg.eigh(information)
    known = values > UNKNOWN * values[-1]
    return (vectors[:, known] / values[known]) @ vectors[:, known].T


def variance_parameters(point):
    """The parameters of covariances of the rank that they have at a point, and their
    information: math.md (86).
    """
    roots, directions = coordinates_of(point)
    found = second(point, directions)
    if found.is_exact:
        scores = point.scores if roots else ()
        curvature = block_diag(np.zeros((0, 0)), *map(curvature_of, scores, roots))
        H = 2 * found.squares - found.traces + curvature
    elif point.factor.is_sampled:  # the average information
        H = found.squares + block_diag(*map(curvature_of, point.scores, roots))
    else:
        profiled = _by_differences(point, roots)
        H = profiled + np.outer(found.square, found.square) / point.factor_freedom
    return _parameters(point, directions, found.square, H)


def coordinates_of(point):
    """The `Root`s of every term, and the directions of its coordinates."""
    pairs = zip(point.model.covariances, point.Lambdas, strict=True)
    roots = [
        _roots(c, Lambda, point.model.resolution(t))
        for t, (c, Lambda) in enumerate(pairs)
    ]
    return roots, tuple(_directions(c.q, own) for c, own in _pairs(point, roots))


def all_directions(point):
    """Directions of all entries of every Psi, in units of the data's resolution."""
    return tuple(
        c.symmetric * point.model.resolution(t)
        for t, c in enumerate(point.model.covariances)
    )


def all_variance_parameters(point):
    """The same for variances that may rise from 0.

    At a singular Psi all of its entries are parameters and the information is the
    expected one, since second derivatives there are not those of an optimum.
    """
    parameters = variance_parameters(point)
    directions = all_directions(point)
    if sum(map(len, directions)) == len(parameters.information) - 1:
        return parameters
    found = second(point, directions)
    if not found.is_exact:
        return parameters
    return _parameters(point, directions, found.trace, found.traces)


def _parameters(point, directions, border, H):
    """Parameters with second derivatives H of the deviance in the coordinates, and
    those with log sigma^2 in the border.
    """
    information = with_noise(point.factor_freedom, border, H)
    return VarianceParameters.known_by(point, directions, information)


def with_noise(freedom, border, H):
    """Half of second derivatives H of the deviance, with log sigma^2 in the border."""
    corner = np.array([[freedom]])
    return np.block([[corner, border[None]], [border[:, None], H]]) / 2


def _pairs(point, roots):
    return zip(point.model.covariances, roots, strict=True)


@dataclass(frozen=True)
class Root:
    """Psi / sigma^2 = L L' of one block, L of full column rank and its top triangular,
    after a permutation of the rows.

    Attributes
    ----------
    block : ndarray of shape (m,)
        Positions of the effects among those of the term.
    L : ndarray of shape (m, r)
    rows, columns : ndarray
        The entries of L that are coordinates; units are the rows' standard deviations.
    """

    block: np.ndarray
    L: np.ndarray
    rows: np.ndarray
    columns: np.ndarray

    @property
    def units(self):
        """The unit of every coordinate."""
        return np.linalg.norm(self.L, axis=1)[self.rows]


def _roots(covariance, Lambda, resolution):
    """The `Root` of every block of one term."""
    roots = []
    for block in map(sorted, covariance.blocks):
        block = np.array(block)
        values, vectors = np.linalg.eigh((Lambda @ Lambda.T)[np.ix_(block, block)])
        # So has one with less than this fraction of the variance that a level resolves.
        kept = values > NULL * max(values[-1], resolution)
        half = vectors[:, kept] * np.sqrt(values[kept])
        R, order = half.T, np.arange(len(block))
        if kept.any():  # SciPy 1.13 refuses a matrix without rows
            _, R, order = qr(half.T, mode="economic", pivoting=True)
        L = np.empty(half.shape)
        L[order] = R.T
        free = np.ones(L.shape, dtype=bool)
        for j in range(L.shape[1]):
            free[order[:j], j] = False
        free &= np.linalg.norm(L, axis=1)[:, None] > 0
        roots.append(Root(block, L, *np.nonzero(free)))
    return roots


def _directions(q, roots):
    """d (L L') / d coordinate of all blocks of a term, (k, q, q)."""
    parts = [np.zeros((0, q, q))]
    for root in roots:
        number = np.arange(len(root.rows))
        half = np.zeros((len(number), q, q))
        column = root.units[:, None] * root.L[:, root.columns].T
        half[number[:, None], root.block[root.rows][:, None], root.block] = column
        parts.append(half + np.swapaxes(half, 1, 2))
    return np.concatenate(parts)


def curvature_of(S, roots):
    """Second derivatives of tr(S L L') in a term's coordinates: 2 S_ac delta_bd."""
    parts = [np.zeros((0, 0))]
    for root in roots:
        rows = root.block[root.rows]
        same = root.columns[:, None] == root.columns
        parts.append(
            2 * S[np.ix_(rows, rows)] * same * np.outer(root.units, root.units)
        )
    return block_diag(*parts)


def _by_differences(point, roots):
    """Second derivatives of the profiled value by differences of its gradient, where
    exact ones cost too much.
    """
    sizes = [[len(root.rows) for root in own] for own in roots]
    k = sum(map(sum, sizes))

    def gradient(x):
        Lambdas, moved, start = [], [], 0
        for (covariance, own), lengths in zip(_pairs(point, roots), sizes, strict=True):
            Psi = np.zeros((covariance.q, covariance.q))
            moved.append([])
            for root, length in zip(own, lengths, strict=True):
                L = root.L.copy()
                L[root.rows, root.columns] += root.units * x[start : start + length]
                Psi[np.ix_(root.block, root.block)] = L @ L.T
                moved[-1].append(L)
                start += length
            Lambdas.append(covariance.root(Psi))
        at = evaluate(point.model, tuple(Lambdas))
        g = [np.empty(0)]
        for S, own, halves in zip(at.scores, roots, moved, strict=True):
            for root, L in zip(own, halves, strict=True):
                slope = 2 * S[np.ix_(root.block, root.block)] @ L
                g.append(root.units * slope[root.rows, root.columns])
        return np.concatenate(g)

    steps = STEP * np.eye(k)
    H = np.array([(gradient(e) - gradient(-e)) / (2 * STEP) for e in steps])
    H = H.reshape(k, k)
    return (H + H.T) / 2


# ------------------------------------------------------------------------ coefficients


def mixed_uncertainty(parameters, to_user):
    """The uncertainty of the covariance of the coefficients: math.md (87).

    Parameters
    ----------
    parameters : VarianceParameters
        At the optimum, without a penalty.
    to_user : ndarray of shape (1 + p, k)
        From working coefficients to (intercept, coefficients).

    Returns
    -------
    CoefficientUncertainty
    """
    point = parameters.point
    root = np.sqrt(point.noise_variance) * to_user @ point.factor.root_inverse
    slopes = coefficient_slopes(point, parameters.directions)
    slopes = np.concatenate([np.eye(root.shape[1])[None], slopes])
    return CoefficientUncertainty(root, slopes, parameters.covariance)


# ------------------------------------------------------------------------- predictions


@dataclass(frozen=True)
class PredictiveUncertainty:
    """The uncertainty of the variances that predictions depend on.

    Attributes
    ----------
    directions : tuple of ndarray of shape (k_t, q, q)
        Those of the coordinates of every term.
    slopes : ndarray of shape (k, p, p)
        Derivatives of the covariance of the working coefficients along them.
    covariance : ndarray
        That of the estimates of all variance parameters, log sigma^2 the first.
    noise_variance : float
        sigma^2.
    """

    directions: tuple
    slopes: np.ndarray
    covariance: np.ndarray
    noise_variance: float

    @classmethod
    def at(cls, point, directions, covariance):
        """That of an optimum, a `MixedPoint` without a penalty."""
        slopes = coefficient_slopes(point, directions)
        return cls(directions, slopes, covariance, point.noise_variance)

    def freedom(self, variance, slopes):
        """Satterthwaite's degrees of freedom of estimated variances: math.md (87).

        Parameters
        ----------
        variance : ndarray of shape (n,)
            In units of sigma^2.
        slopes : ndarray of shape (n, k)
            Their derivatives in all parameters but log sigma^2.
        """
        g = np.column_stack([variance, slopes])
        spread = np.einsum("ni,ij,nj->n", g, self.covariance, g)
        with np.errstate(invalid="ignore", divide="ignore"):
            return 2 * variance**2 / spread


def predictive_uncertainty(point):
    """The `PredictiveUncertainty` of an optimum, a `MixedPoint` without a penalty; None
    where an exact fit leaves nothing to tell the variances from.
    """
    if point.at_floor:
        return None
    found = all_variance_parameters(point)
    return PredictiveUncertainty.at(point, found.directions, found.covariance)


def predictive_freedom(known, posterior, X, codes):
    """Degrees of freedom of the variance of new observations, (n,): math.md (89).

    Parameters
    ----------
    known : PredictiveUncertainty or None
        Degrees of freedom without one are infinite.
    posterior : MixedPosterior
        Of this fit, and of further rows perhaps.
    X : {ndarray, CSR array} of shape (n, p)
    codes : list of ndarray of shape (n,)
    """
    if known is None:
        return np.full(X.shape[0], np.inf)

    def read(rows, variance, slopes, h):
        return known.freedom(1 + variance, slopes)

    return over_rows(known, posterior, X, codes, read)


def over_rows(known, posterior, X, codes, read):
    """A figure of each row, some rows at a time.

    Parameters
    ----------
    known : PredictiveUncertainty
    posterior, X, codes
        As those of `predictive_freedom`.
    read : callable
        ``read(rows, variance, slopes, h)`` is the figure; `variance` is that of the
        rows without their noise and `slopes` its derivatives along the directions, in
        units of sigma^2, and `h` the rows of the errors of the coefficients.
    """
    figure, places = np.empty(X.shape[0]), slices_of(map(len, known.directions))
    scale, width = known.noise_variance, sum(t.modes.size for t in posterior.terms)
    wide = width if len(posterior.terms) > 1 else posterior.coef_root.shape[1]
    for rows in short_blocks(X.shape[0], wide, AT_ONCE):
        some = [code[rows] for code in codes]
        variance = posterior.variance(X[rows], some) / scale
        h = posterior.coefficient_rows(X[rows], some) / np.sqrt(scale)
        slopes = np.einsum("ni,kij,nj->nk", h, known.slopes, h)
        products = error_products(posterior, X[rows], some)
        along = zip(known.directions, posterior.order, places, strict=True)
        for E, t, own in along:
            slopes[:, own] += np.einsum("kab,nab->nk", E, products[t])
        figure[rows] = read(rows, variance, slopes, h)
    return figure


# -------------------------------------------------------------------------- components


def noise_interval(parameters, coverage):
    """The standard deviation of the noise and its ends, normal in its logarithm."""
    std = np.sqrt(parameters.point.noise_variance)
    half = ndtri(0.5 + coverage / 2) * np.sqrt(parameters.covariance[0, 0]) / 2
    return std, *_log_normal(std, half)


def _log_normal(std, half):
    """The ends of intervals of standard deviations, of so much to either side of their
    logarithms: from 0 to NaN where they are 0 or as good as unknown.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        high = std * np.exp(half)
    told = (std > 0) & ~np.isinf(high)
    return np.where(told, std * np.exp(-half), 0.0), np.where(told, high, np.nan)


def component_intervals(parameters, fit, t, coverage):
    """Standard deviations (q,) of the effects of term t, and their correlations (q, q),
    in the user's units, with the low and high ends of their intervals: math.md (90).

    The first are normal in their logarithm, the others in Fisher's z.  A standard
    deviation of 0, and one of which the data tell nothing, has the interval from 0 to
    NaN; a correlation of 1 or -1, or of an effect without variance, and one that is 0
    by the model, that of NaN to NaN.
    """
    point, quantile = parameters.point, ndtri(0.5 + coverage / 2)
    position = fit.order.index(t)
    covariance, Lambda = point.model.covariances[position], point.Lambdas[position]
    to_user = fit.reduced.coordinates[position].to_user
    Psi = to_user(Lambda @ Lambda.T)
    E = np.zeros((len(parameters.information) - 1, *Psi.shape))
    own = slices_of(map(len, parameters.directions))[position]
    E[own] = to_user(parameters.directions[position])
    variance = np.diag(Psi)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        std = np.sqrt(point.noise_variance * variance)
        relative = np.einsum("kaa->ak", E) / variance[:, None] / 2
        slopes = np.column_stack([np.full(len(std), 0.5), relative])
        low, high = _log_normal(std, quantile * _std(slopes, parameters.covariance))
        scale = np.sqrt(np.outer(variance, variance))
        corr = Psi / scale
        change = np.moveaxis(E, 0, -1) / scale[..., None]
        change -= corr[..., None] * (relative[:, None] + relative)
        inside = np.abs(corr) < 1 - END
        inside &= covariance.symmetric.any(axis=0) & ~np.eye(len(Psi), dtype=bool)
        corr = np.where(np.eye(len(Psi), dtype=bool), 1.0, corr)
        slopes = np.concatenate([0 * change[..., :1], change], axis=-1)
        z, half = np.arctanh(corr), quantile * _std(slopes, parameters.covariance)
        half = np.where(inside, half / (1 - corr**2), np.nan)
    return (std, low, high), (corr, np.tanh(z - half), np.tanh(z + half))


def _std(slopes, covariance):
    """Standard deviations of figures with these slopes in the parameters."""
    return np.sqrt(np.einsum("...i,ij,...j->...", slopes, covariance, slopes))
