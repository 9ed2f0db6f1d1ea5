"""What a fitted linear mixed model knows about its effects and about new rows."""

import numpy as np

from .._likelihood.conditional import Conditional
from .._likelihood.mixed_posterior import Effects, MixedPosterior


def condition_mixed(fit, n_features):
    """The posterior of a fit, as a function of all features.

    Parameters
    ----------
    fit : MixedFit
    n_features : int

    Returns
    -------
    MixedPosterior
    """
    coef, level = fit.columns.coefficients(fit.beta)
    root = fit.root
    wide = np.zeros((n_features, 2 + root.shape[1]))
    wide[fit.mean] = np.column_stack([fit.columns.shift, coef, fit.columns.back @ root])
    level_root = root[0] if fit.columns.has_constant else np.zeros(len(root))
    return MixedPosterior(
        shift=wide[:, 0],
        level=float(level),
        coef=wide[:, 1],
        level_root=level_root,
        coef_root=wide[:, 2:],
        terms=tuple(_effects(fit.point, t, term) for t, term in enumerate(fit.terms)),
        order=tuple(range(len(fit.terms))),
        conditional=_conditional(fit.point),
    )


def _effects(point, t, term):
    """The effects of one term, as the search counts them."""
    scale, Lambda = point.noise_variance, point.Lambdas[t]
    basis = point.model.covariances[t].basis
    unit = 1 / np.diag(basis)
    origin = -basis[0] * unit
    origin[0] = 0.0
    Psi = Lambda @ Lambda.T
    _, k = point.pulls[t]
    return Effects(
        columns=term.columns,
        origin=origin,
        unit=unit,
        Psi=scale * Psi,
        modes=point.modes[t],
        loading=np.sqrt(scale) * (Psi @ k),
    )


def _conditional(point):
    """Cov(b | y, beta) at a point."""
    own = tuple(point.noise_variance * C for C in point.factor.conditional)
    sizes = tuple(C.shape[:2] for C in own)
    none = tuple(np.zeros(C.shape) for C in own)
    return Conditional(sizes, own, np.empty((0, 0)), None, None, none)
