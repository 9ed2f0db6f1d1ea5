"""The predictive distribution that counts the uncertainty of the variances
(docs/math.md, section 14).

Given a component of the posterior distribution of the variance ratio, every linear
target (a new observation, a random intercept, a mean of several rows, a coefficient) is
t with the location and the squared scale that it has at that ratio, times the
component's noise variance; so it is a mixture of t distributions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import logsumexp

from .mixture import mixture_interval, mixture_log_density, t_log_density
from .posterior import joint_terms, sample, weighted_sums_of
from .ratio_posterior import RatioPosterior

# Numbers of the posteriors at all components that are kept between two questions.
KEPT = 2_000_000


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
        std = np.where(certain, 1.0, self.std)
        ends = mixture_interval(
            self.mean, std, self.probability, self.freedom, coverage
        )
        ends[certain] = (self.probability @ self.mean)[certain, None]
        return ends

    def log_density(self, x):
        """Log-density of each target at x, (n,)."""
        return mixture_log_density(
            x, self.mean, self.std, self.probability, self.freedom
        )


@dataclass(frozen=True)
class Integrated:
    """A model whose variances are integrated over.

    Attributes
    ----------
    over : RatioPosterior
    at : callable
        ``at(ratio)`` is the `Posterior` at a ratio and a noise variance of 1.
    """

    over: RatioPosterior
    at: Callable

    @cached_property
    def _kept(self):
        """Posteriors by their ratios, where they are small enough to be kept."""
        first = self.at(self.over.ratio[-1])
        ratios = np.unique(self.over.ratio)
        if len(ratios) * (first.loading.size + first.coef_root.size) > KEPT:
            return {}
        return {ratio: self.at(ratio) for ratio in ratios}

    def posterior(self, ratio):
        """The `Posterior` at a ratio of the components."""
        known = self._kept.get(ratio)
        return self.at(ratio) if known is None else known

    def each(self, read):
        """``read(posterior)`` at every component: once for those of the same ratio."""
        found, last = [], None
        for ratio in self.over.ratio:
            if ratio != last:
                last, value = ratio, read(self.posterior(ratio))
            found.append(value)
        return found

    def targets(self, read):
        """Targets of which ``read(posterior)`` gives means and variances, (n,) each."""
        means, variances = zip(*self.each(read), strict=True)
        scale = self.over.noise_variance[:, None]
        return Targets(
            np.array(means),
            np.sqrt(scale * np.array(variances)),
            self.over.probability,
            self.over.freedom,
        )

    def observations(self, X, codes):
        """New observations of rows."""
        return self.targets(
            lambda known: (known.mean(X, codes), 1 + known.variance(X, codes))
        )

    def averages(self, weight, X, codes, owner):
        """Weighted sums of new observations, whose weights are the rows of `weight`."""
        noise = np.ones(len(codes))
        return self.targets(
            lambda known: weighted_sums_of(known, weight, X, codes, owner, noise)
        )

    def random_intercepts(self):
        """Random intercepts of the known groups."""
        return self.targets(lambda known: (known.modes, known.modes_std() ** 2))

    def log_density(self, X, y, codes, owner):
        """Joint log-density of new observations."""

        def read(known):
            return joint_terms(known, X, y, codes, owner, np.ones(len(y)))

        squares, logdets = np.array(self.each(read)).T
        noise, n = self.over.noise_variance, len(y)
        densities = t_log_density(
            squares / noise, logdets + n * np.log(noise), n, self.over.freedom
        )
        return float(logsumexp(densities, b=self.over.probability))

    def sample(self, X, codes, owner, n_samples, random_state):
        """Draws (n, n_samples) of new observations from their joint distribution."""
        c, freedom = len(self.over.ratio), self.over.freedom
        component = random_state.choice(c, size=n_samples, p=self.over.probability)
        shrink = np.sqrt(freedom / random_state.chisquare(freedom, size=n_samples))
        draws = np.empty((X.shape[0], n_samples))
        for i in np.unique(component):
            mine, known = component == i, self.posterior(self.over.ratio[i])
            noise = np.ones(X.shape[0])
            some = sample(known, X, codes, owner, noise, int(mine.sum()), random_state)
            mean = known.mean(X, codes)[:, None]
            scale = np.sqrt(self.over.noise_variance[i]) * shrink[mine]
            draws[:, mine] = mean + scale * (some - mean)
        return draws
