"""The distribution of a linear mixed model that counts the uncertainty of its variances
(docs/math.md, section 14).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.covariance_posterior import (
    MOST_PARAMETERS,
    integrate_covariances,
)
from .._likelihood.integrated import Integrated, no_structure
from .._likelihood.mixed import FEW_EFFECTS, evaluate
from .._likelihood.mixture import Components
from .._likelihood.ratio_posterior import integrate_ratio
from .._search.mixed import likelihood_of, one_ratio
from .fit import MOST_ROWS, OTHER, no_freedom, penalised_or_updated
from .mixed_posterior import make_posterior


@dataclass(frozen=True, kw_only=True)
class IntegratedMixed(Integrated):
    """A linear mixed model whose variances are integrated over.

    Attributes beside those of `Integrated`
    ---------------------------------------
    to_user : list of callable
        Covariances of the effects of the search in the user's units, by the order of
        elimination.
    node : callable
        ``node(key)`` are the Lambdas of components of this key, in that order, and the
        coefficients of the log-variance, None where the noise is constant.
    """

    to_user: list
    node: Callable

    def covariances(self, position):
        """Psi / sigma^2 of the term at a position of the order of elimination, in the
        user's units, given each component.
        """
        to_user = self.to_user[position]
        halves = [self.node(key)[0][position] for key in self.over.keys.tolist()]
        return np.array([to_user(half @ half.T) for half in halves])


def why_not_integrated(fit):
    """Why a `LinearMixedFit` has no integrated distribution; None where it has."""
    common = penalised_or_updated(fit)
    if common is not None:
        return common
    if fit.sampled is not None:
        return (
            "distribution='integrated' needs the likelihood, which a fit by "
            "solver='iterative' does not have. Use 'normal'."
        )
    if fit.noise_model is not None and fit.noise_rows is None:
        return (
            "distribution='integrated' beside a modelled noise reads the rows of the "
            f"fit, which are kept up to {MOST_ROWS} of them, and not stored. Fit anew, "
            f"or: {OTHER}"
        )
    lacks = None if fit.is_exact else no_freedom(fit.reduced.n, fit.columns.rank)
    return _too_large(fit) or _not_told(fit) or lacks


def _too_large(fit):
    """Why a model of too many parameters, or random effects, has none; else None."""
    n_parameters = sum(factor.n_parameters for factor in fit.factors)
    if fit.noise_model is not None:
        n_parameters += fit.noise_model.n_working
    if n_parameters > MOST_PARAMETERS:
        return (
            f"distribution='integrated' is offered for up to {MOST_PARAMETERS} "
            "variances, covariances and coefficients of the log-variance, but the "
            f"model has {n_parameters}. {OTHER}"
        )
    pairs = zip(fit.n_levels, fit.factors, strict=True)
    n_effects = sum(n * len(factor.columns) for n, factor in pairs)
    several = len(fit.factors) > 1 or fit.noise_model is not None
    if several and n_effects > FEW_EFFECTS:
        return (
            f"distribution='integrated' is offered for up to {FEW_EFFECTS} random "
            "effects of several factors, or beside a modelled noise, but there are "
            f"{n_effects}, whose distribution each of its nodes would need. {OTHER}"
        )
    return None


def _not_told(fit):
    """Why one with a variance that the data do not tell has none; else None."""
    of_factors = zip(fit.factors, fit.identified, fit.covariances, strict=True)
    for factor, told, Psi in of_factors:
        if np.diag(Psi)[~told].any():
            return (
                "distribution='integrated' has no answer where the data do not tell a "
                f"variance, here one of {factor.name}. Leave that effect out, or use "
                "distribution='normal'."
            )
    return None


def integrate_mixed(fit):
    """The integrated distribution of a `LinearMixedFit`, `IntegratedMixed`."""
    model = likelihood_of(fit.reduced, fit.factors, True, 0.0)
    model = model.only([fit.identified[t] for t in fit.order])
    over, node = _components(fit, model)

    def read(key):
        point = replace(_point(fit, model, *node(key)), noise_variance=1.0)
        where = fit.mean, fit.features.size
        return make_posterior(point, fit.reduced, fit.factors, *where)

    def at(keys):
        return list(map(read, keys))

    def modelled(key, X, codes):
        return fit.noise_at(node(key)[1], X, codes)

    return IntegratedMixed(
        over=over,
        at=at,
        n_numbers=fit.posterior.n_numbers,
        noise=no_structure if fit.noise_model is None else modelled,
        to_user=[coordinates.to_user for coordinates in fit.reduced.coordinates],
        node=node,
    )


def _point(fit, model, Lambdas, gamma):
    """The likelihood at a node."""
    if gamma is None:
        return evaluate(model, Lambdas)
    return fit.noise_rows.at(model, gamma, Lambdas=Lambdas).mixed


def _components(fit, model):
    """Components, and a function that gives the node of a key."""
    n_parameters = sum(len(c.entries[0]) for c in model.covariances)
    gamma = None if fit.noise_model is None else fit.noise_model.gamma
    if gamma is not None:
        n_parameters += len(gamma)
    if fit.is_exact or not n_parameters:
        freedom = max(model.n - fit.columns.rank, 1.0)
        Lambdas = fit.Lambdas if fit.is_exact else [0 * L for L in fit.Lambdas]
        node, known = (tuple(Lambdas), gamma), np.array([fit.noise])
        if not fit.is_exact:
            known = np.array([_point(fit, model, *node).noise_variance])
        over = Components(np.zeros(1), known, np.ones(1), float(freedom))
        return over, lambda key: node
    if gamma is None and [c.q for c in model.covariances] == [1]:
        over = integrate_ratio(one_ratio(model))
        return over, lambda key: ((np.array([[np.sqrt(key)]]),), None)
    if gamma is None:
        over, nodes = integrate_covariances(model, fit.Lambdas)
        return over, lambda key: (nodes[int(key)][0], None)
    over, nodes = integrate_covariances(model, fit.Lambdas, fit.noise_rows, gamma)
    return over, lambda key: nodes[int(key)]
