"""The criterion with a noise variance of its own for every row (docs/math.md, 9.2).

    log v_j = s_j'gamma + delta_g,    V = diag(v / a) + psi ZZ'

a are the weights.  One evaluation reduces the rows, weighted by a / v, to a `Gram`; the
factor and all that follows from it are those of the random-intercept model.  The
parameters are one vector, theta = [delta, gamma, psi].
"""

from dataclasses import dataclass

import numpy as np

from ..._rows.grouped import Rows, Trend
from ..._rows.moments import Moments, join_moments
from ..._rows.parts import join_groups
from ..criterion import BOUND_MARGIN
from ..factor import BlockCholesky, absorb, factorize
from ..posterior import Posterior, condition

LOG_2PI = np.log(2 * np.pi)
ROUNDING = 1e-13  # Rounding error of the criterion, relative to the sum of its terms.


@dataclass(frozen=True)
class Heteroscedastic:
    """The likelihood of a heteroscedastic model: math.md (24) and (25).

    Attributes
    ----------
    rows : Rows
    reml : bool
    random : bool
        Whether the mean has random intercepts: psi is then a parameter.
    fixed : bool
        Whether the mean has fixed effects of the groups.
    free : ndarray of shape (n_effects,)
        Groups with an effect delta_g of their own on the log-variance.  The other
        groups have the average of these; no effects at all if it is empty.
    average : ndarray of shape (n_effects + k,)
        The weighted mean of the log-variance as a function of [delta, gamma].
    centres : ndarray of shape (n_effects, k)
        Weighted means of the columns of the log-variance over the rows of these groups.
    farthest : ndarray of shape (k,)
        The largest absolute value of each column of the log-variance.
    axes : ndarray of shape (k, p)
        The user's columns of the log-variance, centred, as combinations of the working
        ones.
    log_bounds : tuple of float
        Least and largest log-variance of a row.
    alpha : float
    penalty : ndarray of shape (k, m) or None
        Rows P with |P [-beta; 1]|^2 = alpha |coefficients in user's units|^2.
    variance_penalty : ndarray of shape (k, k)
        The ridge on gamma: gamma' variance_penalty gamma.
    effect_penalty : float
        The ridge on delta.
    average_offset : float
        Weighted mean of the known part of the log-variance, which the bounds and the
        parameters leave out.
    """

    rows: Rows
    reml: bool
    random: bool
    fixed: bool
    free: np.ndarray
    average: np.ndarray
    centres: np.ndarray
    farthest: np.ndarray
    axes: np.ndarray
    log_bounds: tuple
    alpha: float
    penalty: np.ndarray | None
    variance_penalty: np.ndarray
    effect_penalty: float
    average_offset: float = 0.0

    @property
    def integrated(self):
        """Whether the groups' effects are integrated out of the likelihood."""
        return self.random or (self.fixed and self.reml)

    def split(self, theta):
        """delta of all groups (None without effects), gamma, psi."""
        n_effects, k = len(self.free), len(self.variance_penalty)
        delta = None
        if n_effects:
            delta = np.full(self.rows.n_groups, theta[:n_effects].mean())
            delta[self.free] = theta[:n_effects]
        gamma = theta[n_effects : n_effects + k]
        return delta, gamma, float(theta[-1]) if self.random else 0.0

    def trend(self, theta):
        """The log-variance at theta, within the model's bounds."""
        delta, gamma, _ = self.split(theta)
        return Trend(gamma, delta, bounds=self.log_bounds)

    def level(self, theta):
        """The weighted mean of the log-variance."""
        return self.average @ theta[: len(self.average)] + self.average_offset

    def kappa(self, theta):
        """The ridge penalty in units of the mean precision."""
        with np.errstate(over="ignore"):  # a far step has no factor then
            return self.alpha and self.alpha * np.exp(-self.level(theta))


@dataclass(frozen=True)
class HeteroscedasticPoint:
    """The criterion at one theta.

    Attributes
    ----------
    theta : ndarray
    factor : BlockCholesky
    posterior : Posterior
        In working columns.
    kappa : float
    shrinkage : float
        The addition of the ridge on the mean to the residual sum of squares.
    log_likelihood : float
        Constants included, penalties left out, of the rows that count.
    left_out : float
        The log-likelihood of the other rows, which tell no variance.
    value : float
        The criterion that is minimised: minus the penalised log-likelihood.
    n_at_bounds : int
        Number of rows whose log-variance is at one of its bounds, or next to it.
    rounding : float
        How far rounding may have taken `value` from where it should be.
    """

    theta: np.ndarray
    factor: BlockCholesky
    posterior: Posterior
    kappa: float
    shrinkage: float
    log_likelihood: float
    left_out: float
    value: float
    n_at_bounds: int
    rounding: float

    @property
    def x(self):
        """theta, as the search calls its variable."""
        return self.theta

    @property
    def kinked(self):
        """Whether a row's log-variance is at one of its bounds, or next to it."""
        return self.n_at_bounds > 0


@dataclass(frozen=True)
class Measured:
    """Sums over the rows at one log-variance.

    Attributes
    ----------
    groups : ndarray of shape (g,)
        Groups that have rows.
    moments : Moments or None
        Of [X y] under the weights a / v.
    log_v, left_out : float
        Sums of log v, weighted by the parts of the weights that count, and that do not.
    n_at_bounds : int
        Number of rows at a bound of the log-variance, or next to it.
    """

    groups: np.ndarray
    moments: Moments | None
    log_v: float
    left_out: float
    n_at_bounds: int

    def __add__(self, other):
        groups, positions = join_groups(self.groups, other.groups)
        moments = self.moments
        if moments is not None:
            moments = join_moments(moments, other.moments, positions)
        return Measured(
            groups,
            moments,
            self.log_v + other.log_v,
            self.left_out + other.left_out,
            self.n_at_bounds + other.n_at_bounds,
        )


def measure(part, trend, with_moments=True):
    """`Measured` of the rows of one part."""
    low, high = trend.bounds
    w, log_v, left_out = np.empty(len(part.y)), 0.0, 0.0
    n_at_bounds = 0
    for rows, _, eta in part.visit(trend):
        counted = part.counted(rows)
        if not (eta.min() >= low + BOUND_MARGIN and eta.max() <= high - BOUND_MARGIN):
            beside = (eta < low + BOUND_MARGIN) | (eta > high - BOUND_MARGIN)
            n_at_bounds += int(np.sum(beside))
            np.clip(eta, low, high, out=eta)
        w[rows] = np.exp(-eta)
        w[rows] *= part.known_precision(rows)
        log_variance = eta if part.offset is None else eta + part.offset[rows]
        log_v += counted @ log_variance
        if part.share is not None:
            left_out += (part.weight[rows] - counted) @ log_variance
    moments = part.moments(w) if with_moments else None
    return Measured(part.groups, moments, log_v, left_out, n_at_bounds)


def gram_at(model, trend):
    """The Gram of the rows under the weights a / v."""
    rows = model.rows
    return rows.mean_columns.gram(rows.reduce(measure, trend).moments)


def evaluate(model, theta, kappa=None, gram=None):
    """The criterion at theta: math.md (27) and (28).

    `kappa` is a constant under REML, whose ridge is not a function of theta; by default
    it is that of theta.  `gram` is that of the rows under the weights a / v of theta,
    if it is known.
    """
    rows = model.rows
    kappa = model.kappa(theta) if kappa is None else kappa
    measured = rows.reduce(measure, model.trend(theta), gram is None)
    if gram is None:
        gram = rows.mean_columns.gram(measured.moments)
    factor = _factor(model, gram, theta, kappa)
    posterior = condition(rows.mean_columns, factor, 1.0, rows.n_groups)
    shrinkage = _shrinkage(model, factor, posterior, kappa)
    deviance = measured.log_v + rows.n * LOG_2PI + factor.rss - shrinkage
    deviance += _logdet(model, factor, kappa)
    delta, gamma, _ = model.split(theta)
    ridge = gamma @ model.variance_penalty @ gamma
    if delta is not None:
        ridge += model.effect_penalty * np.sum(delta**2)
    return HeteroscedasticPoint(
        theta=theta,
        factor=factor,
        posterior=posterior,
        kappa=kappa,
        shrinkage=shrinkage,
        log_likelihood=-0.5 * deviance,
        left_out=-0.5 * measured.left_out,
        value=0.5 * (deviance + shrinkage + ridge),
        n_at_bounds=measured.n_at_bounds,
        rounding=ROUNDING * (rows.n + abs(measured.log_v) + factor.rss),
    )


def typical_noise(model, point):
    """Weighted geometric mean of the noise variances of the rows."""
    trend = model.trend(point.theta)
    return float(np.exp(model.rows.reduce(_log_noise_sum, trend) / model.rows.n))


def _log_noise_sum(part, trend):
    return sum(
        part.weight[rows] @ _log_noise(part, trend, rows, eta)
        for rows, _, eta in part.visit(trend)
    )


def count_noisy(model, point, log_variance):
    """Number of rows whose log-variance is larger than this one."""
    return int(model.rows.reduce(_n_above, model.trend(point.theta), log_variance))


def _n_above(part, trend, log_variance):
    return sum(
        np.count_nonzero(_log_noise(part, trend, rows, eta) > log_variance)
        for rows, _, eta in part.visit(trend)
    )


def _log_noise(part, trend, rows, eta):
    """Log-variance of rows, of which `eta` is the estimated part."""
    value = np.clip(eta, *trend.bounds)
    return value if part.offset is None else value + part.offset[rows]


def _factor(model, gram, theta, kappa):
    penalty = model.penalty
    if not kappa < np.inf:
        raise np.linalg.LinAlgError("the ridge is beyond double precision")
    if penalty is not None:
        penalty = np.sqrt(kappa / model.alpha) * penalty
    if model.fixed and penalty is None:
        return absorb(gram)
    # Penalised effects are random intercepts of variance 1 / kappa.
    psi = 1 / kappa if model.fixed else model.split(theta)[2]
    return factorize(gram, np.sqrt(psi), penalty)


def _shrinkage(model, factor, posterior, kappa):
    if model.penalty is None:
        return 0.0
    squares = np.sum((model.penalty @ factor.to_residual) ** 2) / model.alpha
    if model.fixed:
        squares += np.sum(posterior.modes**2)
    return kappa * squares


def _logdet(model, factor, kappa):
    """log|V| - log|R|, and the terms of REML for coefficients and fixed effects."""
    value = factor.logdet if model.integrated else 0.0
    if not model.reml:
        return value
    n_groups = model.rows.n_groups
    rank = len(factor.root) - 1 + n_groups * model.fixed
    if model.fixed and model.penalty is not None:
        value += n_groups * np.log(kappa)
    basis = model.rows.mean_columns.logdet_basis
    return value + factor.logdet_x + basis - rank * LOG_2PI
