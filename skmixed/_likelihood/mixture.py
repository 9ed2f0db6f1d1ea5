"""Mixtures of Student's t distributions with the same degrees of freedom, value by
value (docs/math.md, section 14).

Component i of value j has the location ``mean[i, j]``, the scale ``std[i, j]`` and the
probability ``probability[i]``.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, gammaln, logsumexp, stdtr, stdtrit

from .normal import NORMAL_FREEDOM

# The distribution function of t is read off a table in w = z / (1 + |z|), with an error
# of some 1e-9.
TABLE = np.linspace(-1.0, 1.0, 20_001)
# Values from which on a table pays.
MANY = 100_000
# Numbers of means that are worked on at once: they stay in the cache.
AT_ONCE = 32_768
# A Newton step that begins so close to a quantile, as a fraction of the probability
# beyond it, ends there within some 1e-8 of probability.
CLOSE = 5e-5
# The narrowest component, relative to the widest.
NARROW = 1e-9
# Probability of a tail that is not told from 0.
TINY = 1e-15
# Part of the values from which on the others are no longer worked on: it takes time to
# take them apart.
FEW = 0.5
# Newton steps for a quantile, of which three to five are needed; then every second
# step halves the interval.
NEWTON = 8
# Steps for a quantile.
MOST_STEPS = 120
LARGEST_LOG = np.log(np.finfo(float).max)


@dataclass(frozen=True)
class Components:
    """Points of the posterior distribution of variances; given one, any linear target
    is t.

    Attributes
    ----------
    keys : ndarray of shape (c,)
        Of equal keys are components with the same covariance matrix V0; those of one
        key stand together.
    noise_variance : ndarray of shape (c,)
        rss / freedom, the squared scale of the noise, in squared units of y.
    probability : ndarray of shape (c,)
    freedom : float
        Degrees of freedom of every component, N - p.
    """

    keys: np.ndarray
    noise_variance: np.ndarray
    probability: np.ndarray
    freedom: float

    def variance_interval(self, multiple, coverage):
        """Central interval (2,) of sigma^2 times `multiple`, a number for each
        component: math.md (74).

        Given a component, sigma^2 is its noise variance times `freedom` over a
        chi-squared variable.  An end beyond double precision, as with hardly any
        freedom, is infinite.
        """
        scale = multiple * self.noise_variance * self.freedom
        positive = scale > 0
        zero = self.probability[~positive].sum()

        def below(log_value):
            inside = chdtrc(self.freedom, scale[positive] * np.exp(-log_value))
            return zero + self.probability[positive] @ inside

        ends = []
        for level in (0.5 - coverage / 2, 0.5 + coverage / 2):
            if zero >= level:
                ends.append(0.0)
                continue
            far = chdtri(self.freedom, np.array([0.5 * level, 1 - 0.5 * (1 - level)]))
            far = np.log(np.maximum(far, np.finfo(float).tiny))
            low = np.log(scale[positive].min()) - far.max() - 1
            high = min(np.log(scale[positive].max()) - far.min() + 1, LARGEST_LOG)
            if below(high) < level:
                ends.append(np.inf)
                continue
            ends.append(np.exp(brentq(lambda t, p=level: below(t) - p, low, high)))
        return np.array(ends)

    def point_interval(self, value, coverage):
        """Central interval (2,) of a figure that a component determines, (c,)."""
        order = np.argsort(value)
        p = self.probability[order]
        levels = 0.5 - coverage / 2, 0.5 + coverage / 2
        return np.interp(levels, np.cumsum(p) - 0.5 * p, value[order])


def mixture_quantiles(mean, std, probability, freedom, levels):
    """Quantiles of every mixture, (n, levels): so many values at once as the cache
    holds.
    """
    freedom, (c, n) = min(freedom, NORMAL_FREEDOM), mean.shape
    found, step = np.empty((n, len(levels))), max(AT_ONCE // c, 1)
    t = _Table(freedom, c * step) if mean.size > MANY else _Exact(freedom)
    for start in range(0, n, step):
        some = slice(start, start + step)
        means, stds = (np.ascontiguousarray(A[:, some]) for A in (mean, std))
        # A component may be a point.
        stds = np.maximum(stds, NARROW * stds.max(axis=0))
        for j, level in enumerate(levels):
            found[some, j] = _quantile(t, means, stds, probability, level)
    return found


def _quantile(t, mean, std, probability, level):
    """The quantile of every mixture, (n,).

    Newton's method in z(x) = T^-1(F(x)), F the distribution function of the mixture and
    T that of Student's t, in which z is nearly a straight line; between the quantiles
    of the components, which are on both sides of it.
    """
    goal = stdtrit(t.freedom, level)
    ends = mean + std * goal
    low, high = ends.min(axis=0), ends.max(axis=0)
    narrow, close = NARROW * std.max(axis=0), CLOSE * min(level, 1 - level)
    x = np.clip(probability @ ends, low, high)
    active = np.flatnonzero(low < high)
    some = mean, 1 / std
    if len(active) < len(x):
        some = tuple(A[:, active] for A in some)
    for step in range(MOST_STEPS):
        at = x[active]
        below, density = t.mixture(at, *some, probability)
        low[active] = np.where(below < level, at, low[active])
        high[active] = np.where(below < level, high[active], at)
        z = t.inverse(np.clip(below, TINY, 1 - TINY))
        new = at - (z - goal) * t.density(z) / density
        left = np.abs(below - level) > close
        left &= high[active] - low[active] > narrow[active]
        inside = (low[active] < new) & (new < high[active])
        inside &= step < NEWTON or step % 2 == 0  # else it may creep along a bend
        halves = 0.5 * (low[active] + high[active])
        last = np.clip(new, low[active], high[active])
        x[active] = np.where(left & ~inside, halves, last)
        if not left.any():
            break
        if left.mean() < FEW:
            active, some = active[left], tuple(A[:, left] for A in some)
    return x


def mixture_log_density(x, mean, std, probability, freedom):
    """Logarithm of the density of every mixture at x, (n,)."""
    freedom = min(freedom, NORMAL_FREEDOM)
    z = (x - mean) / std
    log_kernel = -0.5 * (freedom + 1) * np.log1p(z**2 / freedom) - np.log(std)
    return _log_constant(freedom) + logsumexp(
        log_kernel, axis=0, b=probability[:, None]
    )


def t_log_density(squares, logdet, n, freedom):
    """Log-density of n values that are jointly t, r'S^-1 r being `squares` and `logdet`
    log|S|, S their squared scale: math.md (73).
    """
    constant = gammaln(0.5 * (freedom + n)) - gammaln(0.5 * freedom)
    constant -= 0.5 * n * np.log(np.pi * freedom)
    return constant - 0.5 * (logdet + (freedom + n) * np.log1p(squares / freedom))


def _log_constant(freedom):
    """Logarithm of the density of t at 0."""
    ratio = gammaln(0.5 * (freedom + 1)) - gammaln(0.5 * freedom)
    return ratio - 0.5 * np.log(np.pi * freedom)


class _Exact:
    """Distribution function and density of t."""

    def __init__(self, freedom):
        self.freedom = freedom

    def density(self, z):
        """The density at z."""
        log_kernel = -0.5 * (self.freedom + 1) * np.log1p(z**2 / self.freedom)
        return np.exp(_log_constant(self.freedom) + log_kernel)

    def inverse(self, below):
        """The quantile of a probability."""
        return stdtrit(self.freedom, below)

    def mixture(self, x, mean, precision, probability):
        """Distribution function, math.md (72), and density of every mixture at x,
        `precision` being one over the scales.
        """
        z = (x - mean) * precision
        density = self.density(z) * precision
        return probability @ stdtr(self.freedom, z), probability @ density


class _Table(_Exact):
    """The same, read off a table; a density is the slope of the values there.

    Numbers are worked on in memory that is kept: to ask for it takes more time than
    the arithmetic.
    """

    def __init__(self, freedom, most):
        super().__init__(freedom)
        self.table = _table(freedom)
        self.work = np.empty((4, most))
        self.index = np.empty(most, dtype=np.intp)

    def inverse(self, below):
        """The quantile of a probability."""
        w = np.interp(below, self.table[0], TABLE)
        return w / (1 - np.abs(w))

    def mixture(self, x, mean, precision, probability):
        """See `_Exact`."""
        shape, (values, rises) = mean.shape, self.table
        z, shrink, slope, value = (w[: mean.size].reshape(shape) for w in self.work)
        index = self.index[: mean.size].reshape(shape)
        np.subtract(x, mean, out=z)
        z *= precision
        np.abs(z, out=shrink)
        shrink += 1.0
        np.reciprocal(shrink, out=shrink)
        z *= shrink
        z += 1.0
        z *= len(TABLE) // 2
        index[:] = z
        z -= index
        np.take(rises, index, out=slope, mode="clip")
        np.take(values, index, out=value, mode="clip")
        z *= slope
        z += value
        shrink *= shrink  # dw/dz
        slope *= shrink
        slope *= precision
        return probability @ z, len(TABLE) // 2 * (probability @ slope)


@lru_cache(maxsize=8)
def _table(freedom):
    """T(z) and its rises, at the points of `TABLE`."""
    with np.errstate(divide="ignore"):
        values = stdtr(freedom, TABLE / (1 - np.abs(TABLE)))
    values[[0, -1]] = 0.0, 1.0
    return values, np.diff(values, append=1.0)
