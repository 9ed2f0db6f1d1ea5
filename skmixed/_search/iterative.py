"""The search for the covariances where the likelihood's value is not known, or only at
its ends (docs/math.md, 19).

The score is estimated by probes that stay the same, so that it is a function with a
root: Newton's method with the average information finds that.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from time import perf_counter

import numpy as np

from .._likelihood.criterion import penalised_deviance
from .._likelihood.mixed import evaluate
from .covariances import fisher_step, from_far, no_variance, told_variances
from .descent import Optimum, newton_step

LOG = logging.getLogger("skmixed")
# The search ends at a decrement below this: the covariances are then within a
# thousandth of their standard errors.
CONVERGED = 1e-6
# So does it after a step below this, in standard deviations of the effects and their
# resolution, had it not been shortened: variances at the least value below stay there.
STILL = 1e-6
# A step after which the score points back by more than this fraction of what it was
# before was too far.
BACK = 0.5
# No variance along any direction is less than this fraction of the resolution while the
# search lasts, and one below the second figure is 0 at its end.
LEAST, NONE = 1e-8, 1e-6


def best_iterative(zero, order, max_iter):
    """The root of the score, the better one of two where the value tells which, and
    which variances the data can tell.

    Parameters
    ----------
    zero : MixedPoint
        Without any variance.
    order : tuple of int
        Positions of the terms among the user's.
    max_iter : int

    Returns
    -------
    optimum : Optimum
    identified : list of ndarray of shape (q,)
    """
    told = told_variances(zero, order)
    if not all(some.all() for some in told):
        zero = no_variance(zero.model.only(told))
    if not any(c.blocks for c in zero.model.covariances):
        return Optimum(zero, 1, zero.factor.converged), told
    found, spent = [_root_of_score(fisher_step(zero), max_iter)], 1
    if np.isfinite(_value(found[0].point)):
        spent += 1
        with suppress(np.linalg.LinAlgError):  # a start beyond double precision
            found += [_root_of_score(start, max_iter) for start in from_far(zero.model)]
    best = min(found, key=lambda root: (not root.converged, _value(root.point)))
    spent += sum(root.n_evaluations for root in found)
    return replace(best, n_evaluations=spent), told


def _value(point):
    """The deviance, NaN unless effects beside the first term's are few."""
    return penalised_deviance(point.model, point, point.factor.logdet_of_few)


def _root_of_score(point, max_iter):
    """The `Optimum` at the root of the score that steps from a point lead to."""
    start = perf_counter()
    length, fall, step = 1.0, 0.0, None
    for n_iter in range(max_iter):
        if step is not None:
            length = _next_length(length, fall, point.gradient() @ step)
        point = point.pivoted()
        (H, _), units = point.hessian(), point.units
        step, decrement = newton_step(point, H)
        fall = -(point.gradient() @ step)
        LOG.info(
            "evaluation %d: decrement %.2g, noise variance %.6g, %.1f s",
            n_iter + 2,
            decrement,
            point.noise_variance,
            perf_counter() - start,
        )
        if decrement <= CONVERGED:
            return Optimum(_ended(point), n_iter + 1, point.factor.converged)
        theta = point.model.pack(point.Lambdas) + length * step
        Lambdas = _raised(point.model, point.model.unpack(theta), LEAST)
        moved = (point.model.pack(Lambdas) - point.model.pack(point.Lambdas)) / units
        new = _at(point, Lambdas)
        if new is None:
            return Optimum(_ended(point), n_iter + 2, False)
        point = new
        still = np.linalg.norm(moved) <= STILL * length
        if still or not point.factor.converged:  # beyond which nothing is solved for
            return Optimum(_ended(point), n_iter + 2, point.factor.converged)
    return Optimum(_ended(point), max_iter, False)


def _next_length(length, fall, rise):
    """The part of the next step: less after one that went too far, by the slopes along
    it, down at its beginning and up at its end.
    """
    return length / 2 if rise > BACK * fall else min(1.0, 2 * length)


def _at(point, Lambdas):
    """The next point; None where the effects leave nothing of a column of X in double
    precision, as on the way to an exact fit, whose noise vanishes beside them.
    """
    try:
        new = evaluate(point.model, Lambdas, point.factor)
        return new if np.isfinite(new.factor.root_inverse).all() else None
    except np.linalg.LinAlgError:
        return None


def _raised(model, Lambdas, least, to=None):
    """Lambdas whose variances along all directions are at least a part of what the data
    resolve; smaller ones are set to that, or to the part `to`.
    """
    found = []
    for t, (covariance, Lambda) in enumerate(
        zip(model.covariances, Lambdas, strict=True)
    ):
        some = np.ix_(covariance.effects, covariance.effects)
        values, vectors = np.linalg.eigh((Lambda @ Lambda.T)[some])
        low = values < least * model.resolution(t)
        if not low.any():
            found.append(Lambda)
            continue
        values[low] = (least if to is None else to) * model.resolution(t)
        Psi = np.zeros_like(Lambda)
        Psi[some] = (vectors * values) @ vectors.T
        found.append(covariance.root(covariance.project(Psi)))
    return tuple(found)


def _ended(point):
    """The point without the variances that are next to nothing."""
    Lambdas = _raised(point.model, point.Lambdas, NONE, 0.0)
    pairs = zip(Lambdas, point.Lambdas, strict=True)
    if all(new is old for new, old in pairs):
        return point
    return evaluate(point.model, Lambdas, point.factor)
