"""The fit of a random-intercept model, from the statistics of its rows."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .._input.labels import GroupsWarning
from .._input.messages import NO_GROUPS, exact_fit_message, why_not_identified
from .._likelihood.criterion import (
    check_freedom,
    deviance,
    is_exact,
    residual_freedom,
)
from .._likelihood.integrated import Integrated
from .._likelihood.posterior import condition, condition_at, of_groups
from .._likelihood.random_intercept import RandomIntercept, evaluate
from .._likelihood.ratio_posterior import integrate_ratio, roots
from .._rows.columns import choose_columns, noise_floor, rank_tolerance
from .._rows.statistics import Statistics
from .._search.ratio import RatioOptimum, best_ratio
from .fit import (
    GroupedFit,
    moments_by_name,
    no_freedom,
    penalised_or_updated,
    response_of,
    sizes_of,
    variance_of,
    wide_mask,
)
from .inference import one_variance_uncertainty, predictive_freedom


@dataclass(frozen=True, eq=False, kw_only=True)
class RandomInterceptFit(GroupedFit):
    """A fitted random-intercept model.

    Attributes
    ----------
    statistics : Statistics
        Of all rows of the fit.
    ratio : float
        lambda^2 = group_variance / noise.
    """

    statistics: Statistics
    ratio: float

    @property
    def group_sizes(self):
        """See `GroupedFit`."""
        size = self.statistics.moments.size
        return () if self.statistics.labels is None else sizes_of(size)

    @property
    def column_moments(self):
        """See `Fit`."""
        moments, names = self.statistics.moments, [self.names[j] for j in self.features]
        return moments_by_name(names, moments.shift[:-1], moments.spread[:-1] ** 2)

    @property
    def gain(self):
        """See `GroupedFit`."""
        if self.alpha or not self.is_identified:
            return None
        model = self.likelihood[1]
        return self.log_likelihood + 0.5 * float(deviance(model, evaluate(model, 0.0)))

    @cached_property
    def likelihood(self):
        """Working columns, and the likelihood in them, whose groups are pooled; kept
        with the fit, and not stored.
        """
        options = {"fit_intercept": self.fit_intercept, "alpha": self.alpha}
        return make_likelihood(self.statistics, method=self.method, **options)

    def to_user(self, columns):
        """(intercept, coefficients of all columns of X) as ``J @ beta + offset`` of the
        working coefficients beta: J (1 + p, k), offset (1 + p,).
        """
        J, offset = columns.to_user(self.fit_intercept)
        return self._wide(J[0], J[1:]), self._wide(offset[0], offset[1:])

    def coefficient_uncertainty(self):
        """See `Fit`."""
        if self.alpha:
            return None
        columns, model = self.likelihood
        return one_variance_uncertainty(model, self.ratio, self.to_user(columns)[0])

    def noise_variance_of(self, X, codes):
        """See `Fit`."""
        return np.full(X.shape[0], self.noise)

    def freedom_of(self, X, codes):
        """See `Fit`."""
        self.refuse_penalty()
        posterior, std = self.posterior, np.sqrt(self.noise)
        return predictive_freedom(
            self.likelihood[1],
            self.ratio,
            posterior.coefficient_rows(X, codes) / std,
            posterior.intercept_variance(codes) / self.noise,
            of_groups(posterior.loading, codes, 0.0) / std,
        )

    @property
    def why_not_integrated(self):
        """See `Fit`."""
        why_not = penalised_or_updated(self)
        if why_not is None:
            columns, model = self.likelihood
            if not is_exact(self.noise, model.floor):
                why_not = no_freedom(model.n, columns.rank)
        return why_not

    def _integrate(self):
        columns, model = self.likelihood

        def at(ratios):
            if len(ratios) > 1:
                ratios = np.array(ratios)
                gram = columns.gram(self.statistics.moments)
                groups = gram.group_size[None], gram.R12[None, :, 0] / gram.R11[:, 0]
                return condition_at(
                    columns, *groups, ratios, roots(model.gram, ratios)[1]
                )
            unit = replace(evaluate(model, ratios[0]), noise_variance=1.0)
            return [_posterior(self.statistics, columns, unit)]

        return Integrated(integrate_ratio(model), at, self.posterior.n_numbers)

    def attributes(self):
        """See `Fit`."""
        return super().attributes() | {"noise_variance_": self.noise}


def make_likelihood(statistics, *, method, fit_intercept, alpha):
    """Working columns, and the likelihood in them, whose groups are pooled."""
    moments = statistics.moments
    n_rows, n_features = statistics.n_rows, len(statistics.features)
    columns = choose_columns(
        moments,
        fit_intercept=fit_intercept,
        alpha=alpha,
        tolerance=rank_tolerance(n_rows, n_features, statistics),
    )
    return columns, RandomIntercept(
        gram=columns.pooled_gram(moments),
        n=moments.n,
        reml=method == "reml",
        floor=noise_floor(moments, columns.has_constant),
        penalty=columns.penalty(alpha),
        logdet_basis=columns.logdet_basis,
    )


def fit_statistics(statistics, names, *, method, fit_intercept, alpha):
    """Fit by (restricted) maximum likelihood.

    Parameters
    ----------
    statistics : Statistics
    names : tuple of str
        Names of the columns of the user's X.
    method : {"reml", "ml"}
    fit_intercept : bool
    alpha : float

    Returns
    -------
    fit : RandomInterceptFit
    messages : list of (str, category of warning)
        Whatever the data could not tell: at most one about groups.
    """
    options = {"method": method, "fit_intercept": fit_intercept, "alpha": alpha}
    columns, model = make_likelihood(statistics, **options)
    penalised = None if model.penalty is None else evaluate(model, 0.0).factor
    check_freedom(model.n, model.n - residual_freedom(model, penalised))
    grouped = statistics.labels is not None
    optimum = best_ratio(model) if grouped else RatioOptimum(0.0, False, 0)
    at = evaluate(model, optimum.ratio)
    posterior = _posterior(statistics, columns, at)
    fit = RandomInterceptFit(
        names=names,
        features=statistics.features,
        **options,
        **_figures(statistics, posterior, at),
        statistics=statistics,
        ratio=optimum.ratio,
        uses_groups=True,
        posterior=posterior,
        estimable=wide_mask(columns.estimable, statistics.features, len(names)),
        is_random=True,
        is_identified=optimum.identified,
        at_boundary=bool(optimum.identified and not optimum.ratio),
        n_parameters=columns.rank + 1 + grouped,
        log_likelihood=float(-0.5 * deviance(model, at)),
        n_iter=optimum.n_evaluations,
        converged=True,
    )
    return fit, list(_messages(statistics, columns, model, at, optimum))


def _posterior(statistics, columns, at):
    moments, labels = statistics.moments, statistics.labels
    n_groups = 0 if labels is None else len(labels)

    def part(groups):  # of a pooled factor; made as it is needed: there may be many
        return at.factor.of(columns.gram(moments.part(groups)))

    is_pooled = len(at.factor.C) < n_groups
    part = part if is_pooled else None
    return condition(columns, at.factor, at.noise_variance, n_groups, part)


def _figures(statistics, posterior, at):
    """Fields of the fit with the parts of the variance of y, and the groups."""
    moments, labels = statistics.moments, statistics.labels
    explained = moments.total[:, : len(statistics.features)] @ posterior.coef
    return {
        "labels": np.empty(0) if labels is None else labels,
        "n_rows": moments.n,
        "response": response_of(moments),
        "n_groups": 0 if labels is None else len(labels),
        "explained": variance_of(explained, moments.n),
        "between": posterior.group_variance,
        "noise": float(at.noise_variance),
    }


def _messages(statistics, columns, model, at, optimum):
    labels, exact = statistics.labels, is_exact(at.noise_variance, model.floor)
    if exact:
        std = np.sqrt(at.noise_variance)
        yield exact_fit_message(model.n, columns.rank, std), UserWarning
    if labels is None:
        yield NO_GROUPS, GroupsWarning
    elif not exact and (len(labels) == 1 or not optimum.identified):
        message = why_not_identified(labels, statistics.n_rows, columns)
        if message:
            yield message, GroupsWarning
