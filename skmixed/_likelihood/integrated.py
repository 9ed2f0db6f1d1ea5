"""The predictive distribution that counts the uncertainty of the variances
(docs/math.md, section 14).

Given a component of the posterior distribution of the variances, every linear target
(a new observation, a random intercept, a mean of several rows, a coefficient) is t with
the location and the squared scale that it has at those variances, times the component's
noise variance; so it is a mixture of t distributions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import issparse
from scipy.special import logsumexp

from .mixture import (
    Components,
    mixture_log_density,
    mixture_quantiles,
    t_log_density,
)
from .row_maps import row_maps

# Numbers of the posteriors at all components that are kept between two questions.
KEPT = 2_000_000
# Rows whose intervals are found at once, where posteriors are kept.
AT_ONCE = 10_000
# The least chi-square of a draw, in units of its degrees of freedom: with next to none
# of these most are less than the least double, and the draw is the largest as good.
LEAST = 1e-280


@dataclass(frozen=True)
class Targets:
    """Locations and scales of n targets, given each of c components.

    Attributes
    ----------
    mean, std : ndarray of shape (c, n)
        In the units of the targets.
    probability : ndarray of shape (c,)
    freedom : float
    """

    mean: np.ndarray
    std: np.ndarray
    probability: np.ndarray
    freedom: float

    def interval(self, coverage):
        """Central intervals, (n, 2); a target without uncertainty is its own."""
        certain = ~(self.std > 0).any(axis=0)
        std = np.where(certain, 1.0, self.std) if certain.any() else self.std
        levels = 0.5 - coverage / 2, 0.5 + coverage / 2
        how = self.probability, self.freedom, levels
        ends = mixture_quantiles(self.mean, std, *how)
        ends[certain] = (self.probability @ self.mean)[certain, None]
        return ends

    def log_density(self, x):
        """Log-density of each target at x, (n,)."""
        return mixture_log_density(
            x, self.mean, self.std, self.probability, self.freedom
        )


def no_structure(key, X, codes):
    """The noise of rows that all have the noise variance of the component."""
    return np.ones(X.shape[0])


@dataclass(frozen=True)
class Integrated:
    """A model whose variances are integrated over.

    Attributes
    ----------
    over : Components
    at : callable
        ``at(keys)`` is a list of the `Posterior` of components of these keys, at a
        noise variance of 1.
    n_numbers : int
        About the number of numbers that one of them holds.
    noise : callable
        ``noise(key, X, codes)`` is the noise of new rows, in noise variances of the
        component.
    """

    over: Components
    at: Callable
    n_numbers: int
    noise: Callable = no_structure

    @cached_property
    def _kept(self):
        """Posteriors by their keys, where they are small enough to be kept."""
        keys = list(dict.fromkeys(self.over.keys.tolist()))
        if len(keys) * self.n_numbers > KEPT:
            return {}
        return dict(zip(keys, self.at(keys), strict=True))

    def posterior(self, key):
        """The `Posterior` of components of this key."""
        known = self._kept.get(key)
        return self.at([key])[0] if known is None else known

    def each(self, read):
        """``read(posterior, key)`` at every component: once for those of one key."""
        found, last = [], None
        for key in self.over.keys.tolist():
            if key != last:
                last, value = key, read(self.posterior(key), key)
            found.append(value)
        return found

    def targets(self, read):
        """Targets of which ``read(posterior, key)`` gives means and variances, (n,)."""
        means, variances = zip(*self.each(read), strict=True)
        scale = self.over.noise_variance[:, None]
        return Targets(
            np.array(means),
            np.sqrt(scale * np.array(variances)),
            self.over.probability,
            self.over.freedom,
        )

    @cached_property
    def _maps(self):
        """See `row_maps`, for all keys; None where they are many, or have several
        factors.
        """
        return row_maps(list(self._kept.values()))

    def observations(self, X, codes):
        """New observations of rows."""
        if self._maps is not None and not issparse(X):
            return self._mapped(X, codes)

        def read(known, key):
            variance = known.variance(X, codes) + self.noise(key, X, codes)
            return known.mean(X, codes), variance

        return self.targets(read)

    def _mapped(self, X, codes):
        """New observations of rows at all components at once."""
        known = list(self._kept)
        place = {key: i for i, key in enumerate(known)}
        only = self._kept[known[0]].of_one_factor(codes)
        mean, variance = self._maps(X, only)
        if self.noise is no_structure:
            variance += 1.0
        else:
            for of_key, key in zip(variance, known, strict=True):
                of_key += self.noise(key, X, codes)
        keys = [place[key] for key in self.over.keys.tolist()]
        if keys != list(range(len(known))):
            mean, variance = mean[keys], variance[keys]
        variance *= self.over.noise_variance[:, None]
        std = np.sqrt(variance, out=variance)
        return Targets(mean, std, self.over.probability, self.over.freedom)

    def interval(self, X, codes, coverage):
        """Central intervals of new observations of rows, (n, 2), some at a time."""
        if not self._kept:
            return self.observations(X, codes).interval(coverage)
        any_of_them, ends = next(iter(self._kept.values())), np.empty((X.shape[0], 2))
        for start in range(0, len(ends), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            some = any_of_them.of_rows(codes, rows)
            ends[rows] = self.observations(X[rows], some).interval(coverage)
        return ends

    def averages(self, weight, X, codes, owner):
        """Weighted sums of new observations, whose weights are the rows of `weight`."""

        def read(known, key):
            rows = X, codes, owner, self.noise(key, X, codes)
            return known.weighted_sums_of(weight, *rows)

        return self.targets(read)

    def random_intercepts(self):
        """Random intercepts of the known groups."""
        return self.targets(lambda known, key: (known.modes, known.modes_std() ** 2))

    def random_effects(self, t):
        """Random effects of the known levels of term t, level by level."""

        def read(known, key):
            variance = np.diagonal(known.error_covariance(t), axis1=1, axis2=2)
            return known.modes(t).ravel(), variance.clip(0).ravel()

        return self.targets(read)

    def log_density(self, X, y, codes, owner):
        """Joint log-density of new observations."""

        def read(known, key):
            return known.joint_terms(X, y, codes, owner, self.noise(key, X, codes))

        squares, logdets = np.array(self.each(read)).T
        noise, n = self.over.noise_variance, len(y)
        densities = t_log_density(
            squares / noise, logdets + n * np.log(noise), n, self.over.freedom
        )
        return float(logsumexp(densities, b=self.over.probability))

    def sample(self, X, codes, owner, n_samples, random_state):
        """Draws (n, n_samples) of new observations from their joint distribution."""
        keys, freedom = self.over.keys.tolist(), self.over.freedom
        component = random_state.choice(
            len(keys), size=n_samples, p=self.over.probability
        )
        square = random_state.chisquare(freedom, size=n_samples)
        shrink = np.sqrt(freedom / np.maximum(square, LEAST * freedom))
        draws = np.empty((X.shape[0], n_samples))
        for i in np.unique(component):
            mine, known = component == i, self.posterior(keys[i])
            rows = X, codes, owner, self.noise(keys[i], X, codes)
            some = known.sample(*rows, int(mine.sum()), random_state)
            mean = known.mean(X, codes)[:, None]
            scale = np.sqrt(self.over.noise_variance[i]) * shrink[mine]
            draws[:, mine] = mean + scale * (some - mean)
        return draws
