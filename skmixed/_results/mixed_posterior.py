"""The distribution of coefficients, effects and new rows at the optimum of a linear
mixed model.
"""

import numpy as np

from .._likelihood.conditional import conditional_of_chain, conditional_of_crossed
from .._likelihood.crossed import CrossedFactor
from .._likelihood.iterative import IterativeFactor
from .._likelihood.mixed_posterior import Effects, MixedPosterior
from .._likelihood.nested import NestedFactor
from .._likelihood.posterior import coefficients_of, widen
from .._likelihood.sampled_conditional import sample_conditional


def make_posterior(point, reduced, terms, mean, n_features):
    """The posterior at a point, as a function of all features.

    Parameters
    ----------
    point : MixedPoint
    reduced : Reduced
    terms : sequence of Term or Factor
        In the user's order.
    mean : ndarray of shape (k,)
        Positions of the columns of the mean among the features.
    n_features : int

    Returns
    -------
    MixedPosterior
    """
    effects, factor = [None] * len(terms), point.factor
    for position, t in enumerate(reduced.order):
        effects[t] = _effects(point, reduced, position, terms[t].columns)
    root = np.sqrt(point.noise_variance) * factor.root_inverse
    posterior = MixedPosterior(
        **coefficients_of(reduced.columns, factor.beta, root),
        terms=tuple(effects),
        order=tuple(reduced.order),
        conditional=_conditional(point, reduced.places),
    )
    return widen(posterior, mean, n_features)


def _effects(point, reduced, position, columns):
    """The effects of the term at a position of the order of elimination."""
    coordinates, Lambda = reduced.coordinates[position], point.Lambdas[position]
    place = reduced.places[position]
    modes, loading = _modes(point, position)
    return Effects(
        columns=np.asarray(columns),
        origin=coordinates.origin,
        unit=coordinates.unit,
        Psi=point.noise_variance * (Lambda @ Lambda.T),
        modes=_at(modes, place),
        loading=_at(loading, place),
    )


def _at(figures, places):
    """Figures of the levels at some places; no copy where these are all in turn."""
    in_turn = len(places) == len(figures) and (np.diff(places) == 1).all()
    return figures if in_turn else figures[places]


def _modes(point, position):
    """Modes (K, q) and loading (K, q, k) of the term at a position."""
    factor, std = point.factor, np.sqrt(point.noise_variance)
    if point.has_one_term:
        found = factor.effects(std * factor.root_inverse)
        return found[:, :, 0].copy(), found[:, :, 1:]
    if isinstance(factor, CrossedFactor) and position:
        of_columns = factor.modes_of_others[position - 1]
        slopes = of_columns[:, :, :-1] @ (std * factor.root_inverse)
        return of_columns @ factor.to_residual, slopes
    Lambda, k = point.Lambdas[position], point.coefficient_pulls[position]
    return point.modes[position], std * (Lambda @ Lambda.T @ k)


def _conditional(point, places):
    """Cov(b | y, beta), the levels in the order of the user."""
    if not places:
        return conditional_of_chain([], [], [])
    factor, scale = point.factor, point.noise_variance
    if isinstance(factor, IterativeFactor):
        return sample_conditional(factor, scale)
    if isinstance(factor, CrossedFactor):
        first = factor.conditional_of(0) if len(factor.stages) == 1 else None
        some = factor.gram.sizes, factor.stages, factor.covariance, first
        return conditional_of_crossed(*some, scale)
    if isinstance(factor, NestedFactor):
        own = [
            scale * stage.own[p] for stage, p in zip(factor.stages, places, strict=True)
        ]
        carries = [c[p] for c, p in zip(factor.carries, places, strict=True)]
        return conditional_of_chain(own, carries, _parents(factor.gram, places))
    own = scale * _at(factor.conditional_of(0), places[0])
    return conditional_of_chain([own], [None], [None])


def _parents(gram, places):
    """The level of the next factor that each level belongs to, as the user counts."""
    parents = []
    for parent, inner, outer in zip(gram.parents, places, places[1:], strict=False):
        back = np.empty(len(outer), dtype=np.intp)
        back[outer] = np.arange(len(outer))
        parents.append(back[parent[inner]])
    return parents
