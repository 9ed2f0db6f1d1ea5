"""Profile-likelihood intervals of a random-intercept fit (docs/math.md, section 10).

The deviance, -2 log-likelihood, at sigma^2 and lambda^2 needs three figures of the
factor at lambda^2.  They are traced over a grid once, and are interpolated where a
search asks for a ratio between its points; everything here is a search for one number
on top of that.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.stats import chi2

from .._likelihood.criterion import residual_freedom
from .._likelihood.random_intercept import evaluate
from .._rows.gram import pool
from .._search.ratio import best_ratio, ratio_grid
from .._search.roots import root_between

XTOL = 1e-10  # An end of an interval of a log-parameter is found as exactly as this.
NARROW = 1e-6  # A minimum is found as exactly; its value is then exact to the square.
FIRST_STEP = 0.5  # The first step of the search for an end; each is half as long again.
FARTHEST = 16  # The number of these steps.
LARGEST_LOG = 700.0  # The logarithm of the largest number of double precision, nearly.
# Figures of the factor are analytic in t = log lambda^2 up to an imaginary part of pi,
# so that over two steps of the grid this many Chebyshev nodes give 13 digits.
N_NODES = 16
# A maximum over the ratio is looked for at this many points, then at as many between
# the neighbours of the best one, and so on.
N_POINTS, N_ZOOMS = 33, 5

COMPONENTS = ("group_std", "noise_std", "intraclass_correlation")


def profile_intervals(fit, coverage, parameters):
    """Profile-likelihood intervals of all parameters, or of those that are asked for.

    Parameters
    ----------
    fit : RandomInterceptFit
    coverage : float
    parameters : str, sequence of str or None
        Of `COMPONENTS`, "intercept", "coef", and the names of columns.

    Returns
    -------
    intervals : dict of str to ndarray
    """
    asked = read_parameters(parameters, (*COMPONENTS, "intercept", "coef"), fit.names)
    found = {}
    if set(asked) & set(COMPONENTS):
        found = component_intervals(fit, coverage)
    if set(asked) - set(COMPONENTS):
        coefficients = coefficient_intervals(fit, coverage)
        named = dict(zip(fit.names, coefficients[1:], strict=True))
        named |= {"intercept": coefficients[0], "coef": coefficients[1:]}
        found = named | found
    return {name: found[name] for name in asked}


def read_parameters(parameters, every, columns):
    """The names of parameters that are asked for, `every` one if nothing is said; names
    of columns are those of single coefficients.
    """
    parameters = [parameters] if isinstance(parameters, str) else parameters
    if parameters is not None and not isinstance(parameters, Iterable):
        raise TypeError(
            f"parameters is a name or a list of names, got {parameters!r:.60}."
        )
    asked = every if parameters is None else tuple(parameters)
    unknown = [name for name in asked if name not in (*every, *columns)]
    if unknown:
        raise ValueError(
            f"parameters has {unknown[0]!r}, which is none of {', '.join(every)} and "
            f"no column of X ({', '.join(columns)})."
        )
    return asked


def refuse_profile(alpha):
    """Refuse intervals of a likelihood with a ridge penalty."""
    if alpha:
        raise ValueError(
            f"alpha={alpha}: a penalised likelihood has no confidence intervals. Fit "
            "with alpha=0."
        )


def component_intervals(fit, coverage):
    """Profile-likelihood intervals of standard deviations and their correlation."""
    _, model = fit.likelihood
    if fit.noise <= model.floor:
        return {name: np.full(2, np.nan) for name in COMPONENTS}
    profile = Profile(model, fit.ratio, is_free=fit.is_identified)
    noise, group, ratio = profile.noise_interval(coverage), *np.full((2, 2), np.nan)
    if fit.is_identified:
        group, ratio = profile.group_intervals(coverage)
    with np.errstate(invalid="ignore"):
        correlation = np.where(ratio == np.inf, 1.0, ratio / (1 + ratio))
    figures = np.sqrt(group), np.sqrt(noise), correlation
    return dict(zip(COMPONENTS, figures, strict=True))


def coefficient_intervals(fit, coverage):
    """Profile intervals of (intercept, coefficients), always by maximum likelihood,
    (1 + p, 2); NaN where the coefficients are not estimable.
    """
    columns, model = fit.likelihood
    contrasts, offset = fit.to_user(columns)
    if fit.noise <= model.floor:
        return np.full((len(contrasts), 2), np.nan)
    model = replace(model, reml=False)
    ratio = best_ratio(model).ratio if fit.is_identified else 0.0
    profile = Profile(model, ratio, contrasts, fit.is_identified)
    ends = profile.coefficient_intervals(coverage) + offset[:, None]
    return np.where(fit.estimable[:, None], ends, np.nan)


@dataclass(frozen=True)
class Traced:
    """The figures of the factor that the deviance depends on, at some ratios lambda^2.

    Attributes
    ----------
    ratio, rss, logdet : ndarray of shape (n_ratios,)
        Residual sums of squares in units of V0; the terms of the deviance that depend
        on lambda^2 alone.
    beta : ndarray of shape (n_ratios, n)
        Combinations of coefficients.
    variance : ndarray of shape (n_ratios, n)
        Theirs, in units of sigma^2.
    """

    ratio: np.ndarray
    rss: np.ndarray
    logdet: np.ndarray
    beta: np.ndarray
    variance: np.ndarray


@dataclass(frozen=True)
class Piece:
    """Figures between two log-ratios, from those at the Chebyshev nodes between them.

    Attributes
    ----------
    low, high : float
    nodes : Traced
    """

    low: float
    high: float
    nodes: Traced

    def at(self, t):
        """Interpolated figures at log-ratios (n,), by the barycentric formula."""
        weights = self.weights(t)
        nodes = self.nodes
        figures = (nodes.rss, nodes.logdet, nodes.beta, nodes.variance)
        return Traced(np.exp(t), *(weights @ values for values in figures))

    def of_each(self, t, some):
        """The same of `some` combinations, each at log-ratios of its own, (n, some)."""
        weights, nodes = self.weights(t), self.nodes
        figures = [weights @ values for values in (nodes.rss, nodes.logdet)]
        for values in (nodes.beta, nodes.variance):
            figures.append(np.einsum("ijk,kj->ij", weights, values[:, some]))
        return Traced(np.exp(t), *figures)

    def weights(self, t):
        """Weights of the nodes at log-ratios (...,): an array (..., N_NODES)."""
        angle = np.pi * (np.arange(N_NODES) + 0.5) / N_NODES
        x = (2 * np.asarray(t) - self.low - self.high) / (self.high - self.low)
        distance = x[..., None] - np.cos(angle)
        distance = np.where(distance == 0, np.finfo(float).tiny, distance)
        weights = (-1.0) ** np.arange(N_NODES) * np.sin(angle) / distance
        return weights / weights.sum(axis=-1, keepdims=True)


class Profile:
    """The deviance of a random-intercept model, math.md (32), at its lowest with some
    parameters held.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    contrasts : ndarray of shape (n, k), default=None
        Combinations of the working coefficients.
    is_free : bool, default=True
        Whether the ratio is a parameter at all; else it stays where it is.
    """

    def __init__(self, model, ratio, contrasts=None, is_free=True):
        self.model = replace(model, gram=pool(model.gram))
        k = self.model.gram.R12.shape[2] - 1
        self.contrasts = np.empty((0, k)) if contrasts is None else contrasts
        grid = [0.0, *np.exp(ratio_grid(model.gram))] if is_free else []
        self.grid, self._pieces = self.trace(np.unique([ratio, *grid])), {}
        self.freedom = residual_freedom(self.model, evaluate(self.model, 0.0).factor)
        self.ratio, at = ratio, self.trace([ratio])
        self.noise_variance = at.rss[0] / self.freedom
        self.lowest = self._at_rss(at, at.rss)[0]

    def trace(self, ratios):
        """Figures of the factor at some ratios."""
        model, found = self.model, []
        for ratio in ratios:
            factor = evaluate(model, ratio).factor
            logdet = factor.logdet
            if model.reml:
                logdet += factor.logdet_x + model.logdet_basis
            beta = self.contrasts @ factor.beta
            variance = np.sum((self.contrasts @ factor.root_inverse) ** 2, axis=1)
            found.append((factor.rss, logdet, beta, variance))
        return Traced(np.asarray(ratios), *map(np.array, zip(*found, strict=True)))

    def between(self, t):
        """Figures at log-ratios next to each other, (n,), interpolated on the grid."""
        t = np.atleast_1d(t)
        grid = self.grid.ratio
        i = int(np.searchsorted(grid, np.exp(np.mean(t))))
        if not 1 < i < len(grid):  # below the least ratio above 0, or beyond the grid
            return self.trace(np.exp(t))
        return self._piece(i).at(t)

    def _piece(self, i):
        """Figures between two neighbours on the grid as functions of t, once made."""
        if i not in self._pieces:
            low, high = np.log(self.grid.ratio[i - 1 : i + 1])
            x = np.cos(np.pi * (np.arange(N_NODES) + 0.5) / N_NODES)
            nodes = (low + high) / 2 + (high - low) / 2 * x
            self._pieces[i] = Piece(low, high, self.trace(np.exp(nodes)))
        return self._pieces[i]

    # Deviances at every traced ratio, with one parameter held: math.md (36).

    def _at_noise(self, at, noise_variance):
        """Deviance at every traced ratio, sigma^2 held."""
        constant = self.freedom * (np.log(2 * np.pi) + np.log(noise_variance))
        return constant + at.rss / noise_variance + at.logdet

    def _at_group(self, at, group_variance):
        """Deviance with sigma_b^2 held, so that the ratio gives sigma^2; not at 0."""
        with np.errstate(divide="ignore"):
            return self._at_noise(at, group_variance / at.ratio)

    def _at_rss(self, at, rss):
        """Deviance with sigma^2 at its best."""
        noise_variance = rss / self.freedom
        constant = self.freedom * (np.log(2 * np.pi) + np.log(noise_variance) + 1)
        return constant + at.logdet

    # The rise of the deviance if one parameter is held, a variance by its logarithm,
    # which is -inf for a variance of 0.

    def noise_rise(self, log_variance):
        """Rise of the deviance when log sigma^2 is held."""
        if log_variance == -np.inf:
            return np.inf
        return self._rise(partial(self._at_noise, noise_variance=_exp(log_variance)))

    def group_rise(self, log_variance):
        """Rise of the deviance when log sigma_b^2 is held."""
        if log_variance == -np.inf:
            return self.ratio_rise(log_variance)
        return self._rise(partial(self._at_group, group_variance=_exp(log_variance)))

    def ratio_rise(self, log_ratio):
        """Rise of the deviance when log lambda^2 is held."""
        at = self.trace([0.0]) if log_ratio == -np.inf else self.between(log_ratio)
        return self._at_rss(at, at.rss)[0] - self.lowest

    def _rise(self, deviance):
        """Least `deviance` over the ratio (grid, refined), less the least of all."""
        values = deviance(self.grid)
        values = np.where(np.isnan(values), np.inf, values)
        i = int(np.argmin(values))
        if 0 < i < len(values) - 1:
            first = max(i - 1, 1)  # there is no logarithm of the ratio 0
            refined = minimize_scalar(
                lambda t: deviance(self.between(t))[0],
                bounds=np.log(self.grid.ratio[[first, i + 1]]),
                method="bounded",
                options={"xatol": NARROW},
            )
            return min(values[i], refined.fun) - self.lowest
        return values[i] - self.lowest

    # Intervals: where the deviance has risen by a quantile of chi-squared.

    def noise_interval(self, coverage):
        """Interval of sigma^2, (2,)."""
        level, log_noise = chi2.ppf(coverage, 1), np.log(self.noise_variance)
        return np.exp(_interval(self.noise_rise, log_noise, level, log_noise))

    def group_intervals(self, coverage):
        """Intervals of sigma_b^2 and lambda^2, (2, 2)."""
        level, log_noise = chi2.ppf(coverage, 1), np.log(self.noise_variance)
        with np.errstate(divide="ignore"):
            log_ratio = np.log(self.ratio)
        return np.exp(
            [
                _interval(self.group_rise, log_ratio + log_noise, level, log_noise),
                _interval(self.ratio_rise, log_ratio, level, 0.0),
            ]
        )

    def coefficient_intervals(self, coverage):
        """Intervals of the combinations of coefficients by maximum likelihood, (n, 2).

        At each ratio a combination may be as far from its estimate there as math.md
        (36a) says; the end of its interval is the farthest of all of these.
        """
        level = chi2.ppf(coverage, 1)
        ends = [sign * self._farthest(sign, level) for sign in (-1.0, 1.0)]
        intervals = np.column_stack(ends)
        intervals[self.trace([self.ratio]).variance[0] == 0] = np.nan
        return intervals

    def _farthest(self, sign, level):
        """The highest `_reach` over all ratios: of the grid, then beside its best."""
        reach = self._reach(self.grid, sign, level)
        place, farthest = np.argmax(reach, axis=0), reach.max(axis=0)
        for i in np.unique(place):
            some = np.flatnonzero(place == i)
            for right in (i, i + 1):
                if 1 < right < len(reach):  # there is no logarithm of the ratio 0
                    beside = self._zoom(self._piece(right), some, sign, level)
                    farthest[some] = np.maximum(farthest[some], beside)
        return farthest

    def _zoom(self, piece, some, sign, level):
        """The highest `_reach` in a piece, of each of `some` combinations."""
        middle = np.full(len(some), (piece.low + piece.high) / 2)
        half = (piece.high - piece.low) / 2
        steps = np.linspace(-1, 1, N_POINTS)[:, None]
        for _ in range(N_ZOOMS):
            t = np.clip(middle + half * steps, piece.low, piece.high)
            reach = self._reach(piece.of_each(t, some), sign, level)
            middle = t[np.argmax(reach, axis=0), np.arange(len(some))]
            half *= 2 / (N_POINTS - 1)
        return reach.max(axis=0)

    def _reach(self, at, sign, level):
        """The distance on one side of 0 that combinations may have, math.md (36a);
        -inf at a ratio that the level excludes.
        """
        room = self.lowest + level - self._at_rss(at, at.rss)
        square = at.rss * np.expm1(np.maximum(room, 0.0) / self.freedom)
        square, room = (x.reshape(len(at.beta), -1) for x in (square, room))
        reach = sign * at.beta + np.sqrt(square * at.variance)
        return np.where(room >= 0, reach, -np.inf)


def _interval(rise, best, level, start):
    """Ends around `best` where a rise, a function of a logarithm, crosses a level; -inf
    and inf if it does not.  If `best` is -inf, the search begins at `start`.
    """

    def above(t):
        return rise(t) - level

    low = -np.inf
    if best > -np.inf and above(-np.inf) > 0:
        low = _crossing(above, best, -1.0)
    if best == -np.inf:
        while above(start) > 0:
            start -= 1.0
        best = start
    return low, _crossing(above, best, 1.0)


def _exp(t):
    """The exponential of a logarithm that a search may have taken out of range."""
    return np.exp(np.clip(t, -LARGEST_LOG, LARGEST_LOG)) if t > -np.inf else 0.0


def _crossing(above, start, sign):
    """The zero of a function on one side of where it is negative."""
    near, step = start, FIRST_STEP
    for _ in range(FARTHEST):
        far = near + sign * step
        if above(far) > 0:
            return root_between(above, min(near, far), max(near, far), xtol=XTOL)
        near, step = far, 1.5 * step
    return sign * np.inf
