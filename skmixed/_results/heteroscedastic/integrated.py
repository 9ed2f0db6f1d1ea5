"""The distribution of a heteroscedastic model that counts the uncertainty of its
variances (docs/math.md, section 14.1).

Its coordinates are the coefficients of the log-variance, but for the level, and the
logarithm of the groups' standard deviation over the geometric mean of the noise.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..._likelihood.covariance_posterior import (
    MOST_PARAMETERS,
    NOWHERE,
    importance_nodes,
)
from ..._likelihood.criterion import BOUND_MARGIN
from ..._likelihood.heteroscedastic.criterion import HeteroscedasticPoint
from ..._likelihood.integrated import Integrated
from ..._likelihood.mixture import Components
from ..._likelihood.noise_densities import GroupedRows, log_densities, reduce_nodes
from ..._likelihood.posterior import condition_at, widen
from ..._rows.grouped import DensePart
from ..._rows.parts import Parts
from ..._search.heteroscedastic.problem import Problem
from ..fit import MOST_ROWS, OTHER, no_freedom, penalised_or_updated

# A group variance that is estimated at 0 begins at this fraction of the variance of the
# mean of a typical group's rows.
RAISED = 0.1


@dataclass(frozen=True)
class Likelihood:
    """The likelihood of a fit, and its optimum.

    Attributes
    ----------
    problem : Problem
    optimum : HeteroscedasticPoint
    """

    problem: Problem
    optimum: HeteroscedasticPoint

    @property
    def model(self):
        """The `Heteroscedastic` by REML, whatever the fit was by."""
        return replace(self.problem.model, reml=True)

    @property
    def freedom(self):
        """N - p."""
        return self.problem.model.rows.n - self.problem.rank

    @property
    def unit(self):
        """Geometric mean of the noise variances at the optimum; all points have it."""
        return float(np.exp(self.model.level(self.optimum.theta)))

    @property
    def size(self):
        """Number of coordinates."""
        return self.problem.variance_columns.rank - 1 + self.problem.model.random

    @property
    def start(self):
        """The coordinates at the optimum."""
        theta = self.optimum.theta
        if not self.problem.model.random:
            return theta[1:].copy()
        least = RAISED / np.median(self.optimum.factor.gram.group_size)
        return np.append(theta[1:-1], 0.5 * np.log(max(theta[-1], least) / self.unit))

    @cached_property
    def rows(self):
        """The `GroupedRows`."""
        rows = self.problem.model.rows
        (part,), columns = rows.parts.values, rows.mean_columns
        every, constant = slice(None), int(columns.has_constant)
        A = np.zeros((len(part.y), constant + len(columns.within) + 1))
        A[:, constant:-1] = columns.apply(part.X)
        A[:, -1] = part.y - columns.y_shift
        origins = np.zeros((part.n_groups, A.shape[1]))
        origins[:, :constant] = 1.0
        if isinstance(part, DensePart):
            origins[:, constant:] = part.origins
            A[:, constant:-1] *= columns.within
        return GroupedRows(
            A=A,
            origins=origins,
            starts=part.bounds[:-1],
            S=part.variance_rows(every),
            precision=part.known_precision(every),
            counted=part.counted(every),
            random=self.model.random,
        )

    def split(self, nodes):
        """Coefficients of the log-variance, and group variances, of nodes."""
        first = np.full((len(nodes), 1), self.optimum.theta[0])
        if not self.model.random:
            return np.hstack([first, nodes]), np.zeros(len(nodes))
        gamma = np.hstack([first, nodes[:, :-1]])
        return gamma, self.unit * np.exp(2 * nodes[:, -1])

    def log_densities(self, nodes):
        """Logarithms of the posterior density at nodes, up to a constant, and residual
        sums of squares: math.md (141).  Rows at a bound of the noise variance have
        none.
        """
        gamma, psi = self.split(nodes)
        low, high = self.model.log_bounds
        log_v = gamma @ self.rows.S.T
        inside = (log_v >= low + BOUND_MARGIN) & (log_v <= high - BOUND_MARGIN)
        inside = inside.all(axis=1)
        # Weights of nodes that do not count may be 0 or infinite.
        gamma[~inside] = self.split(self.start[None])[0]
        values, rss = self.rows.in_chunks(log_densities, gamma, psi)
        return np.where(inside, values, -np.inf), rss

    def posteriors(self, nodes, columns):
        """The `Posterior` at each node, in units of `unit`."""
        psi = self.split(nodes)[1]
        size, means, roots = self.rows.in_chunks(reduce_nodes, *self.split(nodes))
        return condition_at(columns, size, means, psi, roots, 1 / self.unit)


def likelihood_kept(problem, optimum):
    """The `Likelihood` of a fit; None where its rows are many, or not in memory, or
    where the noise variance of one is not told.
    """
    rows = problem.model.rows
    here = type(rows.parts) is Parts and rows.n_rows <= MOST_ROWS
    if not here or optimum.point.n_at_bounds:
        return None
    return Likelihood(problem, optimum.point)


def why_not_integrated(fit):
    """Why a `HeteroscedasticFit` has no integrated distribution; None where it has."""
    common = penalised_or_updated(fit)
    if common is not None:
        return common
    if fit.noise_differs_by_group or not (fit.is_random or not len(fit.labels)):
        return (
            "distribution='integrated' is not offered beside fixed effects of the "
            "groups, on the mean or on the log-variance. Use mean_groups='random' and "
            "variance_groups=None, or distribution='normal'."
        )
    if not fit.fit_variance_intercept:
        return (
            "distribution='integrated' needs an intercept of the log-variance, over "
            f"which it integrates. Use fit_variance_intercept=True. Or: {OTHER}"
        )
    if fit.likelihood is None:
        return (
            "distribution='integrated' reads the rows of the fit, which are kept up to "
            f"{MOST_ROWS} of them, not of Dask collections, not where noise variances "
            "are at their bounds, and not stored. Fit anew in memory, or: " + OTHER
        )
    if fit.likelihood.size > MOST_PARAMETERS:
        return (
            f"distribution='integrated' is offered for up to {MOST_PARAMETERS} "
            "coefficients of the log-variance and group variances, but the model has "
            f"{fit.likelihood.size}. {OTHER}"
        )
    problem = fit.likelihood.problem
    return no_freedom(problem.model.rows.n, problem.rank)


def integrate_heteroscedastic(fit):
    """The integrated distribution of a `HeteroscedasticFit`."""
    likelihood, n_features = fit.likelihood, len(fit.features)
    problem, unit = likelihood.problem, likelihood.unit
    if likelihood.size:
        found = importance_nodes(likelihood.log_densities, likelihood.start)
        nodes, rss, probability = found
    else:
        nodes, probability = likelihood.start[None], np.ones(1)
        (density,), rss = likelihood.log_densities(nodes)
        if density == -np.inf:
            raise ValueError(NOWHERE)
    over = Components(
        np.arange(len(nodes)),
        unit * rss / likelihood.freedom,
        probability,
        float(likelihood.freedom),
    )

    def at(keys):
        found = likelihood.posteriors(nodes[keys], problem.mean_columns)
        n_groups = slice(len(fit.labels))
        return [
            widen(posterior.part(n_groups), problem.structure.mean, n_features)
            for posterior in found
        ]

    def noise(key, X, codes):
        level, *gamma = likelihood.split(nodes[[key]])[0][0]
        coef = np.zeros(n_features)
        back = problem.variance_columns.back
        coef[problem.structure.variance] = back[:, 1:] @ np.array(gamma)
        bounds = tuple(bound - np.log(unit) for bound in fit.log_variance.bounds)
        level -= np.log(unit)
        fitted = replace(fit.log_variance, level=level, coef=coef, bounds=bounds)
        return fitted.variance(X, codes)

    return Integrated(over, at, fit.posterior.n_numbers, noise=noise)
