"""Mixtures of Student's t distributions with the same degrees of freedom, value by
value (docs/math.md, section 14).

Component i of value j has the location ``mean[i, j]``, the scale ``std[i, j]`` and the
probability ``probability[i]``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc, chdtri, gammaln, logsumexp, stdtr, stdtrit

# The distribution function of t is read off a table in w = z / (1 + |z|), with an error
# of some 1e-9.
TABLE = np.linspace(-1.0, 1.0, 20_001)
# Values from which on a table pays.
MANY = 100_000
# Error in probability of a quantile.
EXACT = 1e-8
# The narrowest component, relative to the widest.
NARROW = 1e-9
# Probability of a tail that is not told from 0.
TINY = 1e-15
# Newton steps for a quantile, of which three to five are needed; then every second
# step halves the interval.
NEWTON = 8
# Steps for a quantile.
MOST_STEPS = 120
# Degrees of freedom with which Student's t is normal.
NORMAL_FREEDOM = 1e10


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
        chi-squared variable.
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
            low = np.log(scale[positive].min()) - np.log(far.max()) - 1
            high = np.log(scale[positive].max()) - np.log(far.min()) + 1
            ends.append(np.exp(brentq(lambda t, p=level: below(t) - p, low, high)))
        return np.array(ends)

    def point_interval(self, value, coverage):
        """Central interval (2,) of a figure that a component determines, (c,)."""
        order = np.argsort(value)
        p = self.probability[order]
        levels = 0.5 - coverage / 2, 0.5 + coverage / 2
        return np.interp(levels, np.cumsum(p) - 0.5 * p, value[order])


def mixture_interval(mean, std, probability, freedom, coverage):
    """Central intervals of the mixtures, (n, 2)."""
    ends = [
        mixture_quantile(mean, std, probability, freedom, 0.5 + half)
        for half in (-coverage / 2, coverage / 2)
    ]
    return np.column_stack(ends)


def mixture_quantile(mean, std, probability, freedom, level):
    """The quantile of every mixture, (n,).

    Newton's method in z(x) = T^-1(F(x)), F the distribution function of the mixture and
    T that of Student's t, in which z is nearly a straight line; between the quantiles
    of the components, which are on both sides of it.
    """
    freedom = min(freedom, NORMAL_FREEDOM)
    narrow = NARROW * std.max(axis=0)
    std = np.maximum(std, narrow)  # a component may be a point
    goal = stdtrit(freedom, level)
    t = _Table(freedom) if mean.size > MANY else _Exact(freedom)
    ends = mean + std * goal
    low, high = ends.min(axis=0), ends.max(axis=0)
    x = np.clip(probability @ ends, low, high)
    active = np.flatnonzero(low < high)
    for step in range(MOST_STEPS):
        at = x[active]
        some = mean[:, active], std[:, active]
        below, density = t.mixture(at, *some, probability)
        low[active] = np.where(below < level, at, low[active])
        high[active] = np.where(below < level, high[active], at)
        left = np.abs(below - level) > EXACT
        left &= high[active] - low[active] > narrow[active]
        active, at, below, density = (v[left] for v in (active, at, below, density))
        if not len(active):
            break
        z = stdtrit(freedom, np.clip(below, TINY, 1 - TINY))
        new = at - (z - goal) * t.density(z) / density
        inside = (low[active] < new) & (new < high[active])
        inside &= step < NEWTON or step % 2 == 0  # else it may creep along a bend
        x[active] = np.where(inside, new, 0.5 * (low[active] + high[active]))
    return x


def mixture_cdf(x, mean, std, probability, freedom):
    """Distribution function of every mixture at x, (n,): math.md (72)."""
    return probability @ stdtr(min(freedom, NORMAL_FREEDOM), (x - mean) / std)


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

    def both(self, z):
        """Distribution function and density at z."""
        return stdtr(self.freedom, z), self.density(z)

    def mixture(self, x, mean, std, probability):
        """Distribution function and density of every mixture at x."""
        below, density = self.both((x - mean) / std)
        return probability @ below, probability @ (density / std)


class _Table(_Exact):
    """The same, read off tables."""

    def __init__(self, freedom):
        super().__init__(freedom)
        with np.errstate(divide="ignore"):
            z = TABLE / (1 - np.abs(TABLE))
        self.values, self.densities = stdtr(freedom, z), self.density(z)
        self.values[[0, -1]] = 0.0, 1.0
        self.rises = np.diff(self.values, append=1.0)
        self.changes = np.diff(self.densities, append=0.0)

    def both(self, z):
        """Distribution function and density at z."""
        position = (len(TABLE) // 2) * (1 + z / (1 + np.abs(z)))
        index = position.astype(np.intp)
        position -= index
        below = self.values[index] + position * self.rises[index]
        return below, self.densities[index] + position * self.changes[index]
