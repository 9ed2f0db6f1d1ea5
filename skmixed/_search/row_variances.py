"""The search for the best parameters of the heteroscedastic criterion
(docs/math.md, 9.6 to 9.8).

Newton's method from several starts, and the boundary psi = 0 decided by value.
"""

from contextlib import suppress
from dataclasses import replace
from functools import partial

import numpy as np

from .._likelihood.derivatives import complete_information, derivatives
from .._likelihood.residuals import gain_by_exact_rows
from .._likelihood.row_variances import evaluate
from .._rows.grouped import Trend
from .newton import Minimum, newton
from .ratio import NO_GAIN, NO_GAIN_PER_ROW
from .starts import (
    FEW_ROWS,
    MANY_ROWS,
    axis_starts,
    best_constant,
    far_apart,
    group_starts,
    improved,
    largest,
    start_at,
)

# With many rows, psi = 0 is out of the question where the log-likelihood falls by this
# much for every parameter, with the others where they are.
FAR_FROM_ZERO = 100.0
LONGEST_STEP = 5.0  # of the logarithm of a row's variance, of psi, of a secant's kappa
FARTHEST_KAPPA = 100.0  # from where the search for it begins, in logarithms
DAMPINGS = 10.0 ** np.arange(-9, 4, 3)  # of the information where it is not the Hessian
# A Newton step of a group's log-variance above this part of the way to infinity, in
# units of the precision, is cut.
MOST_OF_PRECISION = 0.9
# When the ridge's kappa agrees with the variances, relatively; and tries to get there.
KAPPA_TOL, NEARLY_KAPPA, MOST_SECANTS = 1e-12, 1e-8, 40
# How much the average log-variance is drawn to that of kappa, for every row: some times
# the 1/2 that the likelihood itself has.
ANCHOR = 2.0


def evaluate_anchored(model, theta, kappa, gram=None):
    """The criterion at a given kappa, drawn to the variances that imply it.

    A ridge in absolute units makes an optimum of little noise and small coefficients,
    or of much noise and large ones, where the one that agrees with its kappa is a
    saddle between both.  There the anchor is 0 (docs/math.md, 9.8).
    """
    point = evaluate(model, theta, kappa, gram)
    if kappa is None:
        return point
    anchor = 0.5 * ANCHOR * model.rows.n * _kappa_gap(model, point) ** 2
    return replace(point, value=point.value + anchor)


def _kappa_gap(model, point):
    """How far the kappa of the variances is above that of the ridge, in logarithms."""
    return np.log(model.kappa(point.theta) / point.kappa)


def _anchored(model, at, gradient, information):
    """Gradient and information with those of the anchor."""
    average = np.append(model.average, np.zeros(int(model.random)))
    strength = ANCHOR * model.rows.n
    gradient = gradient - strength * _kappa_gap(model, at) * average
    return gradient, information.coupled(average, strength)


def _direction(model, kappa, at, near):
    """Newton's step, or that of the expected information where it does not descend.

    Of many rows, and far from the optimum, the information is that for known
    coefficients of the mean; with a ridge, or an effect of every group, what that
    leaves out would no longer be little.
    """
    plain = model.penalty is None and not len(model.free)
    known = model.rows.n_rows > MANY_ROWS and plain and not near
    for expected, step_of in ((False, _bounded_step), (True, _damped_step)):
        gradient, information = derivatives(model, at, expected, known)
        curvature = information
        if kappa is not None:
            gradient, curvature = _anchored(model, at, gradient, information)
        step = step_of(model, at, gradient, curvature)
        if step is not None and np.isfinite(step).all() and gradient @ step <= 0:
            break
    else:
        step = -gradient
    return step, -(gradient @ step), None if known or expected else information


def _damped_step(model, at, gradient, information):
    """A step that takes no row farther than it may go, for which there is more on the
    diagonal of the information (Levenberg 1944); the shortest if all go farther, and
    None if there is none.

    Where the information says next to nothing, a step would be endless, and cut short
    it would go where there is next to nothing to gain.
    """
    n_effects, n_variance = len(model.free), len(model.average)
    diagonal, shortest = complete_information(model, at), None
    for damping in DAMPINGS:
        damped = information.with_diagonal(damping * diagonal)
        step = _bounded_step(model, at, gradient, damped)
        if step is None or not np.isfinite(step).all():
            continue
        shortest = step
        longest = np.abs(step[:n_effects]).max(initial=0.0)
        if max(longest, _longest(model, step[n_effects:n_variance])) <= LONGEST_STEP:
            break
    return shortest


def _bounded_step(model, at, gradient, information):
    """The minimum of the quadratic model over psi >= 0; None if it has none."""
    held = model.random and at.theta[-1] == 0 and gradient[-1] >= 0
    if not held:
        if not information.is_positive_definite():
            return None
        step = -information.solve(gradient)
        if not model.random or at.theta[-1] + step[-1] >= 0:
            return step
    step = np.zeros(len(gradient))
    step[-1] = -at.theta[-1]
    pushed = gradient + information @ step
    others = information.without_last()
    if not others.is_positive_definite():
        return None
    step[:-1] = -others.solve(pushed[:-1])
    return step


def _move(model, at, step, t):
    """theta at part t of a step.

    A group's level, the log-variance at the mean of its rows, moves as its precision
    does in a Newton step of its own, which is where it would go if it depended on
    nothing else: -log(1 - d) = d + O(d^2).  psi grows from itself and the mean noise,
    whichever is more, by no more than a row's variance does.
    """
    n_effects, n_variance = len(model.free), len(model.average)
    gamma_step = step[n_effects:n_variance]
    t = t * min(1.0, LONGEST_STEP / max(_longest(model, t * gamma_step), 1e-300))
    theta = at.theta + t * step
    moved = t * model.centres @ gamma_step
    level = np.minimum(t * step[:n_effects] + moved, MOST_OF_PRECISION)
    theta[:n_effects] = at.theta[:n_effects] - np.log1p(-level) - moved
    if model.random:
        S = at.factor.gram.R11[:, 0, 0] ** 2
        most = np.exp(LONGEST_STEP) * (at.theta[-1] + model.rows.n / S.sum())
        theta[-1] = min(max(theta[-1], 0.0), most)
    return theta


def _longest(model, gamma):
    """How far S gamma goes, from the mean of the group where that has an effect; or a
    bound that is close enough.
    """
    bound = model.farthest @ np.abs(gamma)
    mean = np.zeros(model.rows.n_groups)
    if len(model.free):
        mean[model.free] = model.centres @ gamma
        bound += np.abs(mean).max()
    if bound <= LONGEST_STEP:
        return bound
    trend = Trend(gamma) if not len(model.free) else Trend(gamma, -mean)
    return model.rows.reduce(largest, trend, join=max)


def descend(model, theta, kappa, *, tol, max_iter):
    """A local optimum from a start."""
    return newton(
        partial(evaluate_anchored, model, kappa=kappa),
        partial(_direction, model, kappa),
        partial(_move, model),
        theta,
        tol=tol,
        max_iter=max_iter,
    )


# -------------------------------------------------------------------- the whole search


def best_optimum(model, constant, exact, *, tol, max_iter):
    """The best optimum: from several starts, psi = 0 among them.

    Parameters
    ----------
    model : Heteroscedastic
    constant : Constant
        Of constant variances.  This is the optimum if there is no other variance.
    exact : bool
        Whether it fits y exactly, so that nothing is left to tell a variance from.
    tol, max_iter : float, int
        As of `newton`, from each start.

    Returns
    -------
    Minimum
        Its point's theta has psi = 0 where that is best.
    """
    columns = model.rows.variance_columns
    one_variance = columns.has_constant and columns.rank == 1
    if exact or (one_variance and not model.fixed and not len(model.free)):
        theta = start_at(model, constant, least_ratio=0.0)
        return Minimum(_evaluate_towards(model, theta), 0, 0.0, True)
    kappa = None
    if model.reml and model.penalty is not None:
        kappa = model.kappa(start_at(model, constant))
    run = partial(_from_start, kappa=kappa, tol=tol, max_iter=max_iter)
    best = run(model, constant)
    if model.rows.n_rows <= MANY_ROWS:
        for start in _more_starts(model, constant):
            with suppress(np.linalg.LinAlgError):  # variances too far apart to begin
                best = _better(model, best, run(model, start))
    if model.random:
        best = _at_boundary(model, best, constant, kappa, tol=tol, max_iter=max_iter)
    if kappa is not None:
        best = _settle(model, best, kappa, tol=tol, max_iter=max_iter)
    return best


def _evaluate_towards(model, theta):
    """The criterion at theta, or on the way to it if its variances are so far apart
    that there is no factor, as a sparse X may have it where y is fitted exactly.
    """
    for part in (1.0, 0.5, 0.25):
        with suppress(np.linalg.LinAlgError):
            return evaluate(model, part * theta)
    return evaluate(model, 0.0 * theta)


def _more_starts(model, constant):
    trends = [*axis_starts(model, constant)]
    if len(model.free) and model.rows.n_rows <= FEW_ROWS:
        trends += group_starts(model, constant)
    for trend in trends:
        with suppress(np.linalg.LinAlgError):
            yield best_constant(model, trend)
    if model.random:
        yield far_apart(model, constant)


def _from_start(model, constant, *, kappa, tol, max_iter):
    theta = improved(model, start_at(model, constant), kappa, constant)
    return descend(model, theta, kappa, tol=tol, max_iter=max_iter)


def _better(model, one, other):
    """The better of two optima, as if rows at the lower bound had a typical variance:
    what is gained by fitting a row exactly is no merit.  The first if they are equal.
    """
    low, high = model.log_bounds

    def merit(minimum):
        point = minimum.point
        gained = gain_by_exact_rows(model, point) if point.kinked else 0.0
        return point.value + 0.5 * (high - low) * gained

    if one.converged != other.converged:
        return one if one.converged else other
    return other if merit(other) < merit(one) - one.point.rounding else one


def _at_boundary(model, best, constant, kappa, **options):
    """Decide by value between psi > 0 and psi = 0."""
    run = partial(_from_start, kappa=kappa, **options)
    theta = best.point.theta
    if theta[-1] == 0:
        found = _away_from_zero(model, best, kappa, **options)
        return replace(found, without=best.point.value)
    gram = best.point.factor.gram
    point = evaluate_anchored(model, np.append(theta[:-1], 0.0), kappa, gram)
    far = point.value - best.point.value > FAR_FROM_ZERO * len(theta)
    if far and model.rows.n_rows > MANY_ROWS:
        return best
    without = replace(model, random=False)
    at_zero = _better(
        without,
        descend(without, theta[:-1], kappa, **options),
        run(without, best_constant(without, constant.trend)),
    )
    point = evaluate_anchored(model, np.append(at_zero.point.theta, 0.0), kappa)
    at_zero = replace(at_zero, point=point, curvature=None)
    gain = point.value - best.point.value
    found = _better(model, best, at_zero)
    if 0 <= gain <= NO_GAIN + NO_GAIN_PER_ROW * model.rows.n:
        found = at_zero
    elif best.point.kinked:  # there may be a regular one that no start leads to
        inside = _away_from_zero(model, at_zero, kappa, **options)
        found = _better(model, found, inside)
    return replace(found, without=point.value)


def _away_from_zero(model, at_zero, kappa, **options):
    """The optimum that the variances at psi = 0 lead to with a psi, if it is better.

    Their scale is what is best with a psi, and what it is: a ridge, or the lack of an
    intercept, may keep it there.
    """
    theta, (low, high) = at_zero.point.theta, model.log_bounds
    level, best = model.level(theta), at_zero
    trend = replace(model.trend(theta, (low - level, high - level)), offset=-level)
    free = best_constant(model, trend)
    held = best_constant(model, trend, gram=free.gram, noise_variance=np.exp(level))
    if free.ratio > 0:
        best = _better(model, best, _from_start(model, free, kappa=kappa, **options))
    if held.ratio > 0:
        inside = np.append(theta[:-1], held.ratio * held.noise_variance)
        best = _better(model, best, descend(model, inside, kappa, **options))
    return best


def _settle(model, best, kappa, *, tol, max_iter):
    """Let kappa be that of its own optimum (REML with a ridge).

    The ridge is then not the gradient of one function: at each kappa the criterion has
    an optimum, and the kappa is found that this optimum implies.  Secants, kept between
    a kappa that is too small and one that is too large.
    """
    n_iter, past, low, high, reach = best.n_iter, None, -np.inf, np.inf, 0.0
    at = np.log(kappa)
    for _ in range(MOST_SECANTS):
        gap = _kappa_gap(model, best.point)
        if abs(gap) <= KAPPA_TOL or not best.converged or best.point.kinked:
            break
        low, high = (at, high) if gap > 0 else (low, at)
        step = gap
        if past is not None and gap != past[1]:
            step = -gap * (at - past[0]) / (gap - past[1])
        past = at, gap
        at = at + float(np.clip(step, -LONGEST_STEP, LONGEST_STEP))
        if not low < at < high and np.isfinite(high - low):
            at = (low + high) / 2
        elif not low < at < high:  # farther each time
            reach = max(abs(gap), 2 * reach)
            at = past[0] + np.copysign(reach, gap)
        if abs(at - np.log(kappa)) > FARTHEST_KAPPA:
            break
        theta = best.point.theta
        best = descend(model, theta, np.exp(at), tol=tol, max_iter=max_iter)
        n_iter += best.n_iter
    converged = best.converged and abs(gap) <= NEARLY_KAPPA
    return replace(best, n_iter=n_iter, converged=converged)
