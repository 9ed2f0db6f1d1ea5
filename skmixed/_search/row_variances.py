"""The search for the best parameters of the heteroscedastic criterion
(docs/math.md, 9.6 to 9.8): Newton's method from several starts, and psi by value.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .._likelihood.derivatives import derivatives, metric
from .._likelihood.residuals import gain_by_exact_rows
from .._likelihood.row_variances import evaluate
from .._rows.gram import scale
from .ratio import NO_GAIN, NO_GAIN_PER_ROW
from .starts import (
    LONG_WAY,
    best_constant,
    constant_start,
    from_squared_residuals,
    more_starts,
    scaled,
    with_level_of_groups,
)
from .trust_region import MOST_TRIALS, Minimum, Quadratic, minimise

# Up to so many rows several starts are searched, and psi = 0 always: several optima are
# a matter of few rows.
MANY_ROWS = 50_000
# With many rows, psi = 0 is out of the question where the log-likelihood falls by this
# much for every parameter, with the others where they are.
FAR_FROM_ZERO = 100.0
# A search is left where Newton's step leads to an optimum that is known: it ends within
# this part of the way there, and within a unit of the metric.
NEARBY = 0.7
# Rows per coefficient of the mean from which on the information for known coefficients
# is nearly the whole one.
MANY_ROWS_PER_COEFFICIENT = 10
KAPPA_TOL = 1e-12  # Tolerance of log kappa.
# Weight, per row, of the quadratic penalty that keeps kappa and alpha / vbar together.
ANCHOR = 2.0


@dataclass(frozen=True)
class Optimum:
    """The best optimum of a search.

    Attributes
    ----------
    point : Point
        Its theta has psi = 0 where that is best.
    information : Arrow
        The observed information there.
    n_iter, decrement, converged
        As in `Minimum`.
    without : float or None
        The least value of the criterion at psi = 0; None if it is not known.
    many_rows : bool
        Whether there were too many rows for a second start.
    """

    point: object
    information: object
    n_iter: int
    decrement: float
    converged: bool
    without: float | None
    many_rows: bool


def _evaluate(likelihood, theta, kappa, gram=None):
    """The criterion; under REML with a ridge at a given kappa, and drawn to the
    variances that imply it.

    A ridge in absolute units makes an optimum of little noise and small coefficients,
    or of much noise and large ones, where the one that agrees with its kappa is a
    saddle between both.  There the anchor is 0 (docs/math.md, 9.8).
    """
    point = evaluate(likelihood, theta, kappa, gram)
    if kappa is None:
        return point
    gap = likelihood.rows.n * _kappa_gap(likelihood, point) ** 2
    return replace(point, value=point.value + 0.5 * ANCHOR * gap)


def _kappa_gap(likelihood, point):
    """Logarithm of the kappa that the variances imply over that of the ridge."""
    return np.log(likelihood.kappa(point.x) / point.kappa)


def _expand(likelihood, kappa, point, near):
    """The quadratic model of the criterion about a point.

    Far from the optimum its information is that for known coefficients of the mean
    where rows are many; with a ridge, or an effect of every group, too much would be
    left out.
    """
    plain = likelihood.penalty is None and not len(likelihood.free)
    n_coefficients = len(point.factor.root) - 1
    many = likelihood.rows.n_rows >= MANY_ROWS_PER_COEFFICIENT * n_coefficients
    known = plain and many and not near
    gradient, information = derivatives(likelihood, point, known_coefficients=known)
    if kappa is not None:
        average = np.append(likelihood.average, np.zeros(int(likelihood.random)))
        strength = ANCHOR * likelihood.rows.n
        gradient = gradient - strength * _kappa_gap(likelihood, point) * average
        information = information.coupled(average, strength)
    return Quadratic(gradient, information, metric(likelihood, point), not known)


def descend(likelihood, theta, kappa, *, tol, max_iter, leave=None):
    """A local optimum from a start."""
    return minimise(
        partial(_evaluate, likelihood, kappa=kappa),
        partial(_expand, likelihood, kappa),
        theta,
        tol=tol,
        max_iter=max_iter,
        lower=0.0 if likelihood.random else None,
        leave=leave,
    )


def best_optimum(likelihood, constant, exact, *, tol, max_iter):
    """The best optimum: from several starts, psi = 0 among them.

    Parameters
    ----------
    likelihood : Heteroscedastic
    constant : Constant
        Of constant variances.  This is the optimum if there is no other variance.
    exact : bool
        Whether it fits y exactly, so that nothing is left to tell a variance from.
    tol, max_iter : float, int
        As of `minimise`, from each start.

    Returns
    -------
    Optimum
    """
    columns = likelihood.rows.variance_columns
    one_variance = columns.has_constant and columns.rank == 1
    if exact or (one_variance and not likelihood.fixed and not len(likelihood.free)):
        theta = constant_start(likelihood, constant, least_ratio=0.0)
        point = _evaluate_towards(likelihood, theta)
        return _optimum(likelihood, Minimum(point, 0, 0.0, True))
    kappa = None
    if likelihood.reml and likelihood.penalty is not None:
        kappa = likelihood.kappa(constant_start(likelihood, constant))
    options = {"kappa": kappa, "tol": tol, "max_iter": max_iter}
    few = likelihood.rows.n_rows <= MANY_ROWS
    best, without = _best_of_starts(likelihood, constant, few, **options), None
    if likelihood.random:
        best, without = _decide_psi(likelihood, best, constant, few, **options)
    if kappa is not None:
        best = _settle(likelihood, best, np.log(kappa), tol=tol, max_iter=max_iter)
        best = replace(best, model=None)  # which has the anchor
    return _optimum(likelihood, best, without, not few)


def _optimum(likelihood, best, without=None, many_rows=False):
    """The optimum with its information; with many rows, that before the last step, in
    which it hardly changes.
    """
    if many_rows and best.model is not None and best.model.exact:
        information = best.model.hessian
    else:
        _, information = derivatives(likelihood, best.point)
    return Optimum(
        best.point,
        information,
        best.n_iter,
        best.decrement,
        best.converged,
        without,
        many_rows,
    )


def _evaluate_towards(likelihood, theta):
    """The criterion at theta, or on the way to it if its variances are so far apart
    that there is no factor, as a sparse X may have it where y is fitted exactly.
    """
    for part in (1.0, 0.5, 0.25):
        with suppress(np.linalg.LinAlgError):
            return evaluate(likelihood, part * theta)
    return evaluate(likelihood, 0.0 * theta)


def _best_of_starts(likelihood, constant, few, *, kappa, **options):
    """The best of the optima that the starts lead to."""
    theta, gram = constant_start(likelihood, constant), None
    if likelihood.rows.variance_columns.has_constant:
        gram = scale(constant.gram, 1 / constant.noise_variance)
    point = _evaluate(likelihood, theta, kappa, gram)
    if few or len(likelihood.free):
        gradient = _expand(likelihood, kappa, point, False).gradient
        theta = with_level_of_groups(likelihood, point, gradient)
    else:
        theta = from_squared_residuals(likelihood, point)
    found = [descend(likelihood, theta, kappa, **options)]
    if few:
        leave = partial(_leads_to, found)
        for start in more_starts(likelihood, constant, point, gradient):
            with suppress(np.linalg.LinAlgError):  # variances too far apart to begin
                other = descend(likelihood, start, kappa, leave=leave, **options)
                found += [] if other is None else [other]
    return min(found, key=partial(_merit, likelihood))


def _leads_to(found, at, step):
    """Whether Newton's step from a point leads to an optimum that is known."""
    for known in found:
        if not known.converged:
            continue
        way = at.x - known.point.x
        before, after = map(known.model.length, (way, way + step))
        if after <= min(1.0, NEARBY * before):
            return True
    return False


def _merit(likelihood, minimum):
    """The figures by which optima are compared, less being better.

    Searches that converged come first; then the value counts, as if rows at the lower
    bound had a typical variance.  The gain of fitting a row exactly is no merit.
    """
    point, (low, high) = minimum.point, likelihood.log_bounds
    gained = gain_by_exact_rows(likelihood, point) if point.kinked else 0.0
    return not minimum.converged, point.value + 0.5 * (high - low) * gained


def _decide_psi(likelihood, best, constant, few, *, kappa, **options):
    """The best of psi > 0 and psi = 0, by value, and the value of the latter."""
    theta, without = best.point.x, replace(likelihood, random=False)
    if not few and theta[-1] > 0:
        gram = best.point.factor.gram
        point = _evaluate(likelihood, np.append(theta[:-1], 0.0), kappa, gram)
        if point.value - best.point.value > FAR_FROM_ZERO * len(theta):
            return best, None
    zeros = [descend(without, theta[:-1], kappa, **options)]
    if few:
        start, leave = constant_start(without, constant), partial(_leads_to, zeros[:1])
        zeros.append(descend(without, start, kappa, leave=leave, **options))
    merit = partial(_merit, likelihood)
    at_zero = min(filter(None, zeros), key=merit)
    point = _evaluate(likelihood, np.append(at_zero.point.x, 0.0), kappa)
    at_zero = replace(at_zero, point=point, model=None)
    (failed, value), rounding = (
        merit(at_zero),
        NO_GAIN + NO_GAIN_PER_ROW * likelihood.rows.n,
    )
    bases = [at_zero] if (failed, value - rounding) <= merit(best) else [best]
    if best.point.kinked:  # there may be a regular optimum that no start leads to
        bases = [best, at_zero]
    found = [*bases]
    for base in bases:
        for start in _by_ratio(likelihood, base):
            with suppress(np.linalg.LinAlgError):
                found.append(descend(likelihood, start, kappa, **options))
    return min(found, key=merit), point.value


def _by_ratio(likelihood, base):
    """Starts with another psi, and the scale that goes with it, if the search for the
    variance ratio at the variances of an optimum does not agree with that.

    A ridge on the log-variance, or the lack of an intercept, may keep the scale.
    """
    gram, theta = base.point.factor.gram, base.point.x
    level = likelihood.level(theta) - likelihood.average_offset
    floor = np.exp(likelihood.log_bounds[0] - level)
    for noise_variance in (None, 1.0):
        other = best_constant(likelihood, gram, floor, noise_variance)
        psi = other.ratio * other.noise_variance
        if abs(psi - theta[-1]) > 1e-3 * max(psi, theta[-1]):
            yield scaled(likelihood, theta, other)


def _settle(likelihood, best, log_kappa, **options):
    """Let kappa be that of its own optimum (REML with a ridge).

    The ridge is then not the gradient of one function: at each kappa the criterion has
    an optimum, and the kappa is found that this optimum implies, by secants between a
    kappa that is too small and one that is too large.
    """
    n_iter, low, high, past = best.n_iter, -np.inf, np.inf, None
    for _ in range(MOST_TRIALS):
        gap = _kappa_gap(likelihood, best.point)
        if abs(gap) <= KAPPA_TOL or not best.converged or best.point.kinked:
            break
        low, high = (log_kappa, high) if gap > 0 else (low, log_kappa)
        step = gap
        if past is not None and gap != past[1]:
            step = gap * (log_kappa - past[0]) / (past[1] - gap)
        past = log_kappa, gap
        log_kappa += np.clip(step, -LONG_WAY, LONG_WAY)
        if not low < log_kappa < high:
            outward = past[0] + np.copysign(LONG_WAY, gap)
            log_kappa = (low + high) / 2 if np.isfinite(high - low) else outward
        best = descend(likelihood, best.point.x, np.exp(log_kappa), **options)
        n_iter += best.n_iter
    agrees = abs(gap) <= np.sqrt(KAPPA_TOL)
    return replace(best, n_iter=n_iter, converged=best.converged and agrees)
