"""Newton's method in the entries of Lambda, which reaches singular covariances as it
does others (docs/math.md, 11.6).
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.criterion import is_exact
from .secant import Secant, secant

# The longest step, in standard deviations of the effects and their resolution.
LONGEST = 1.5
# The parts of a step that are tried: derivatives that promise a thousand times what
# there is have lost their digits, and are tried less often.
PARTS = np.append(0.5 ** np.arange(10), 0.1 ** np.arange(3, 9))
# A step is too short if it leaves more than this part of the slope along it.
STEEP = 0.75
# Eigenvalues of the scaled Hessian below this fraction of the largest count as flat.
FLAT = 1e-10
# A step falls by no less than this part of what the slope promises.
LEAST_PART = 0.01
# A decrement below this many rounding errors of the value is none, and one below the
# second figure is as low as rounding lets the value come.
NOTHING, STALLED = 1e-4, 1e3
# A step with a decrement below this is short: gradients at its ends tell derivatives,
# and covariances may go where their roots do not.
SHORT = 0.1
# Decrements that are alike up to this fraction, for so many steps, are those of a value
# that falls with the logarithm of Lambda, as on the way to an exact fit.
ALIKE, STEADY = 0.1, 4
# So many steps at once, and effects so far above the noise, are beyond double
# precision.
FEW_DOUBLINGS, BEYOND = 10, 1e16
# A step with a decrement below this is the last one, if the next decrement is expected
# to be below the second figure.
NEAR, ENOUGH = 1e-7, 1e-12
# After so many steps in a row that gain no more than rounding, the value is as low as
# it comes: lowest, unless the decrement promises more than derivatives can hold.
PATIENCE = 3
# A variance below the first fraction of the resolution is tried at 0; one below the
# second is none.  Beside effects that are nearly the same data resolve far less.
SMALL, TINY = 1e-4, 1e-8
# The largest variance with which the boundary is left, in units of the resolution, and
# the least fall of the value, by the slope there, for which it is.
LARGEST, LEAST_FALL = 10.0, 1e-6


@dataclass(frozen=True)
class Optimum:
    """The point at which a search has ended.

    Attributes
    ----------
    point : MixedPoint
    n_evaluations : int
    converged : bool
    """

    point: object
    n_evaluations: int
    converged: bool

    @property
    def is_exact(self):
        """Whether the noise is the rounding of an exact fit."""
        return is_exact(self.point.noise_variance, self.point.model.floor)


@dataclass(frozen=True)
class Descent:
    """A search under way, by steps that never raise the value.

    Attributes
    ----------
    point : MixedPoint
    n_steps : int
        From the start.
    decrement : float
        Of the last step.
    n_stuck : int
        Number of last steps that gained no more than rounding.
    n_steady : int
        Number of last steps whose decrements were alike.
    secant : Secant or None
        The second derivatives at the last step, if they are not exact.
    ended, converged : bool
        Whether no step is left, and whether the point is an optimum.
    """

    point: object
    n_steps: int = 0
    decrement: float = np.inf
    n_stuck: int = 0
    n_steady: int = 0
    secant: Secant | None = None
    ended: bool = False
    converged: bool = False

    def next(self):
        """The search after one more step."""
        point = self.point.pivoted()
        (step, decrement), found = self._best_step(point)
        if decrement <= NOTHING * point.rounding:
            return replace(self, point=point, ended=True, converged=True)
        # The average information leaves the same part of every decrement at most.
        left = 0.0 if found is None else decrement**2 / self.decrement
        last = decrement <= NEAR and left <= ENOUGH
        new = _along(point, step, decrement, STALLED if last else 1.0)
        if new is None:
            lowest = bool(decrement <= STALLED * point.rounding)
            return replace(self, point=point, ended=True, converged=lowest)
        steady = self.n_steady + 1 if self._is_alike(decrement) else 0
        if steady >= STEADY:
            new = _farther(point, new)
        stuck = self.n_stuck + 1 if point.value - new.value <= point.rounding else 0
        lowest = bool(last or decrement <= STALLED * point.rounding)
        ended = bool(last or stuck == PATIENCE)
        converged = ended and lowest
        n_steps, counts = self.n_steps + 1, (stuck, steady)
        return Descent(new, n_steps, decrement, *counts, found, ended, converged)

    def _is_alike(self, decrement):
        """Whether a step promises what the one before did, which is much."""
        change = abs(decrement - self.decrement)
        much = decrement > self.point.model.n / 2
        return much and change <= ALIKE * self.decrement < np.inf

    def _best_step(self, point):
        """`newton_step` from a point, and its `Secant` if second derivatives are not
        exact: near the optimum with all that is known of them.
        """
        H, exact = point.hessian()
        if exact:
            return newton_step(point, H), None
        found = secant(point, H, self.secant, self.decrement <= SHORT)
        step, decrement = newton_step(point, found.hessian)
        if decrement > SHORT:
            return (step, decrement), found
        found = found.sharpened(point)
        return newton_step(point, found.ahead(step)), found


def descend(point, max_iter, least=0.0):
    """The optimum to which steps from a point lead; below the least noise variance they
    are given up.
    """
    search = Descent(point)
    while not search.ended and search.n_steps < max_iter:
        search = search.next()
        if search.point.noise_variance < least:
            break
    return Optimum(search.point, search.n_steps, search.converged)


def search_from(start, max_iter, spent=0, least=0.0):
    """The optimum that is reached from a point, escapes from the boundary included;
    `least` is as of `descend`.
    """
    best = descend(start, max_iter, least)
    spent += best.n_evaluations
    while True:
        point, away, count = leave_boundary(best.point)
        spent += count
        if away is None:
            return replace(best, point=point, n_evaluations=spent)
        best = descend(away, max_iter, least)
        spent += best.n_evaluations


def leave_boundary(point):
    """The end of a search at the boundary, if it is next to that; a better point off
    the boundary, or None; and the number of evaluations.
    """
    point, count = snap(point)
    away, more = escape(point)
    return point, away, count + more


def attempt(function, argument):
    """A point that a function gives; None where it is too far for double precision."""
    try:
        point = function(argument)
    except np.linalg.LinAlgError:
        return None
    return point if np.isfinite(point.value) else None


def in_digits(function, Lambdas):
    """The point that a function gives of Lambdas, or of a part of them that is not too
    far for double precision: rows in another form may have fewer digits beside the
    effects of an exact fit.
    """
    for part in 0.1 ** np.arange(30):
        point = attempt(function, tuple(part * L for L in Lambdas))
        if point is not None:
            return point
    return None


def newton_step(point, H):
    """A step of theta and its decrement, within the longest step.

    The Hessian has the absolute values of its eigenvalues, in units of the effects'
    standard deviations and of the data's resolution of them.
    """
    unit = point.units
    values, vectors = np.linalg.eigh(H * np.outer(unit, unit))
    size = np.abs(values)
    g = vectors.T @ (unit * point.gradient())
    size = np.maximum(size, FLAT * size.max())
    step = g / np.where(size > 0, size, 1.0)
    decrement = g @ step
    length = np.linalg.norm(step)
    return -unit * (vectors @ step) * min(1.0, LONGEST / max(length, 1e-300)), decrement


def _along(point, step, decrement, slack):
    """The first point along a step, ever more of it left out, that is lower as the
    slope promises, up to so many rounding errors; None if there is none before a part
    that gains less than one of them.
    """
    x, least = point.x, min(point.rounding, decrement)
    slope, highest = point.gradient() @ step, point.value + slack * point.rounding
    ways = [point.at, point.straight] if decrement <= SHORT else [point.at]
    for part in PARTS:
        if part * decrement < least / 2:
            break
        for way in ways:
            new = attempt(way, x + part * step)
            if new is not None and new.value <= highest + LEAST_PART * part * slope:
                return new if part < 1 else _as_far(point, new, way, step)
    return None


def _as_far(point, new, way, step):
    """The point after a step, or after doubled ones within the longest, as long as the
    slope is hardly less than at the start: second derivatives whose digits are lost, or
    negative ones, tell no length.
    """
    steep = STEEP * point.gradient() @ step
    length = np.linalg.norm(step / point.units)
    while 2 * length <= LONGEST and new.gradient() @ step < steep:
        step, steep, length = 2 * step, 2 * steep, 2 * length
        farther = attempt(way, point.x + step)
        if farther is None or farther.value > new.value + LEAST_PART * steep:
            break
        new = farther
    return new


def _farther(point, new):
    """The point after ever more steps like that from one point to a new one, which
    multiply standard deviations, as long as they lower the value as that does: math.md
    (219).
    """
    fall, found = point.value - new.value, new
    if fall <= point.rounding:
        return new
    growth = [_growth(*pair) for pair in zip(point.Lambdas, new.Lambdas, strict=True)]
    for more in 2 ** np.arange(FEW_DOUBLINGS):
        pairs = zip(growth, new.Lambdas, strict=True)
        with np.errstate(over="ignore", invalid="ignore"):
            Lambdas = tuple(g**more * L for g, L in pairs)
        if not all((np.abs(L) < BEYOND).all() for L in Lambdas):
            break
        farther = attempt(new.moved, Lambdas)
        if farther is None or new.value - farther.value < (1 - ALIKE) * more * fall:
            break
        found = farther
    return found


def _growth(before, after):
    """The factor of the standard deviation of each effect, (q, 1)."""
    old, new = (np.linalg.norm(L, axis=1, keepdims=True) for L in (before, after))
    some = old > 0
    return np.where(some, new, 1.0) / np.where(some, old, 1.0)


# ----------------------------------------------------------------------------- boundary


def snap(point):
    """The point without the variances that are next to nothing, unless that is worse,
    and the number of evaluations.
    """
    count, tried = 0, 0
    for least in (SMALL, TINY):
        Lambdas, n_lost = _without(point, least)
        if n_lost in (0, tried):
            continue
        new, count, tried = attempt(point.moved, Lambdas), count + 1, n_lost
        if new is not None and new.value <= point.value + point.rounding:
            return new, count
    return point, count


def _without(point, least):
    """Lambdas without the variances below this fraction of the resolution, and the
    number of these.
    """
    Lambdas, n_lost = [], 0
    for t, covariance in enumerate(point.model.covariances):
        L = point.Lambdas[t]
        values, vectors = _axes(L)
        kept = values > least * point.model.resolution(t)
        half = vectors * np.sqrt(np.where(kept, values, 0.0))
        Psi = covariance.project(half @ half.T)
        Lambdas.append(L if kept.all() else covariance.root(Psi))
        n_lost += np.count_nonzero(values[~kept])
    return tuple(Lambdas), n_lost


def escape(point):
    """A better point off the boundary, where math.md (49) fails, or None, and the
    number of evaluations.
    """
    model, count = point.model, 0
    for t, covariance in enumerate(model.covariances):
        v, slope = _steepest_null(model, point, t)
        if v is None:
            continue
        Psi = point.Lambdas[t] @ point.Lambdas[t].T
        tau = LARGEST * model.resolution(t)
        while -slope * tau > LEAST_FALL:
            Lambda = covariance.root(Psi + tau * np.outer(v, v))
            Lambdas = list(point.Lambdas)
            Lambdas[t] = Lambda
            new, count = attempt(point.moved, tuple(Lambdas)), count + 1
            worth = point.value - STALLED * point.rounding
            if new is not None and new.value < worth:
                return new, count
            tau /= 10
    return None, count


def _steepest_null(model, point, t):
    """The direction in the null space of Psi along which the value falls most, and its
    slope there; None if Psi is regular.
    """
    best, steepest = None, 0.0
    Lambda = point.Lambdas[t]
    for block in map(list, model.covariances[t].blocks):
        some = np.ix_(block, block)
        values, vectors = _axes(Lambda[some])
        null = vectors[:, values <= TINY * model.resolution(t)]
        if not null.shape[1]:
            continue
        slopes, turned = np.linalg.eigh(null.T @ point.scores[t][some] @ null)
        if slopes[0] < steepest:
            best, steepest = np.zeros(len(Lambda)), slopes[0]
            best[block] = null @ turned[:, 0]
    return best, steepest


def _axes(Lambda):
    """Eigenvalues and eigenvectors of Psi by its root: beside a variance of 1e10 its
    square has lost those of next to nothing.
    """
    axes, std, _ = np.linalg.svd(Lambda)
    return std**2, axes
