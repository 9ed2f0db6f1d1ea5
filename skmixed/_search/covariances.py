"""The search for the covariances of a linear mixed model (docs/math.md, section 11).

From effects taken as free coefficients one step of Fisher scoring in Psi, then Newton's
method in the entries of Lambda, which reaches singular covariances as it does others.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import chain

import numpy as np

from .._likelihood.mixed import evaluate, information_at_zero, traces_at_zero
from .._rows.crossed import CrossedGram
from .._rows.iterative import IterativeGram
from .secant import secant

# The variance, in noise variances, at which effects are as good as free coefficients;
# where factors cross, digits are lost in proportion.
FREE, FREE_CROSSED = 1e16, 1e8
# Free effects tell the noise if they leave more degrees of freedom than this.
LEAST_FREEDOM = 0.5
# Effects with a variance below this, in noise variances, are not far larger.
MODERATE = 100.0
# A level tells about its effects where these have less than this part of that variance.
TOLD = 1e-3
# The longest step, in standard deviations of the effects and their resolution.
LONGEST = 1.5
# Fisher's step leaves at least this part of any variance.
LEAST_LEFT = 0.1
# A step from no variance at all leaves at least this part to the noise.
LEAST_NOISE = 0.01
# Eigenvalues of the scaled Hessian below this part of the largest count as flat.
FLAT = 1e-10
# A decrement below this many rounding errors of the value is none, and one below the
# second figure is as low as rounding lets the value come.
NOTHING, STALLED = 1e-4, 1e3
# A step with a decrement below this is short: gradients at its ends tell derivatives.
SHORT = 0.1
# A step with a decrement below this is the last one, if the next decrement is expected
# to be below the second figure.
NEAR, ENOUGH = 1e-8, 1e-12
# After so many steps in a row that gain no more than rounding, the value is lowest.
PATIENCE = 3
# A variance below this part of the resolution is tried at 0.
TINY = 1e-8
# Information about a variance counts as none below this, in units of the resolution of
# an average level, or of its own value before other parameters take their share.
UNTOLD = 1e-11
# The logarithm of a noise variance is found up to this error.
CONSISTENT = 1e-11
# Below this many rows several optima are looked for, from so many random starts besides
# others.
FEW_ROWS, N_STARTS = 100, 8
# With more effects than this there are fewer of them: a step costs the cube of effects.
MANY_EFFECTS = 200


@dataclass(frozen=True)
class Optimum:
    """The point at which a search has ended.

    Attributes
    ----------
    point : Point
    n_evaluations : int
    converged : bool
    """

    point: object
    n_evaluations: int
    converged: bool


def best_covariances(zero, max_iter=100):
    """The covariances at the best optimum that is found from a point of no variance.

    Under REML a ridge penalty leaves estimating equations that are not the gradient of
    one function of the covariances and sigma^2; they are at each sigma^2, so that the
    search is for the one that its own optimum implies.
    """
    model = zero.model
    if not any(c.blocks for c in model.covariances):
        return Optimum(zero, 1, True)
    if model.reml and model.penalty is not None:
        return _consistent(zero, max_iter)
    return best_of_starts(zero, max_iter)


def _consistent(zero, max_iter):
    (first, *_), spent = first_points(zero)

    def search(noise_variance, known):
        if known is None:
            return best_of_starts(
                no_variance(first.held(noise_variance).model), max_iter
            )
        return search_from(known.held(noise_variance), max_iter, 1)

    best = settle(search, first.noise_variance, max_iter)
    return replace(best, n_evaluations=best.n_evaluations + spent)


def settle(search, noise_variance, max_iter):
    """The optimum at the noise variance that it implies: secants in its logarithm.

    Parameters
    ----------
    search : callable
        ``search(noise_variance, known)`` is the optimum at this noise variance; `known`
        is that at another one, or None.
    noise_variance : float
        The first one.
    max_iter : int
    """
    best, logs, gaps, spent = None, [np.log(noise_variance)], [], 0
    for _ in range(max_iter):
        known = None if best is None else best.point
        best = search(float(np.exp(logs[-1])), known)
        free = best.point.held(None)
        spent += best.n_evaluations + 1
        gaps.append(np.log(free.noise_variance) - logs[-1])
        if abs(gaps[-1]) < CONSISTENT:
            break
        slope = -1.0
        if len(gaps) > 1 and logs[-1] != logs[-2]:
            slope = min((gaps[-1] - gaps[-2]) / (logs[-1] - logs[-2]), -0.1)
        logs.append(logs[-1] - gaps[-1] / slope)
    converged = best.converged and abs(gaps[-1]) < CONSISTENT
    return Optimum(free, spent, converged)


def best_of_starts(zero, max_iter):
    """The best optimum of one function of the covariances."""
    (start, *others), spent = first_points(zero)
    best = search_from(start, max_iter, spent)
    n_effects = sum(K * q for K, q in zero.model.gram.sizes)
    if n_effects >= start.factor_freedom or zero.model.n < FEW_ROWS:
        part = (MANY_EFFECTS / max(n_effects, MANY_EFFECTS)) ** 3
        random = random_starts(best.point, max(1, int(part * N_STARTS)))
        for other_start in chain(others, random):
            other = search_from(other_start, max_iter, 1)
            total = best.n_evaluations + other.n_evaluations
            if other.point.value < best.point.value - best.point.rounding:
                best = other
            best = replace(best, n_evaluations=total)
    return best


def search_from(start, max_iter, spent=0):
    """The optimum that is reached from a point, escapes from the boundary included."""
    best = descend(start, max_iter)
    spent += best.n_evaluations
    while True:
        point, count = snap(best.point)
        away, more = escape(point)
        spent += count + more
        if away is None:
            return replace(best, point=point, n_evaluations=spent)
        best = descend(away, max_iter)
        spent += best.n_evaluations


def told_variances(zero, order):
    """Which variances the data can tell, by the rank of the expected information:
    math.md (48).

    Parameters
    ----------
    zero : Point
        Without any variance; the rank is the same at any other.
    order : sequence of int
        Positions of the terms among the user's.

    Returns
    -------
    told : list of ndarray of shape (q,)
        By terms of the likelihood.  A variance counts as told if it is so beside the
        noise and all variances before it, in the user's order of terms.
    """
    model, found = zero.model, zero.in_psi
    pairs = list(enumerate(model.covariances))
    F, of_V = found.traces, found.trace
    free = zero.factor_freedom
    if zero.factor.is_sampled:
        F, of_V, free = _beside_coefficients(zero)
    elif not found.is_exact:
        F, of_V = found.squares, found.square
    parameters = [
        (order[t], i != j, t, i)
        for t, c in pairs
        for i, j in zip(*c.entries, strict=True)
    ]
    unit = np.array([model.resolution(t) for _, _, t, _ in parameters])
    scale = np.append(1.0, unit)
    F = np.block([[free, of_V], [of_V[:, None], F]])
    F *= np.outer(scale, scale)
    return _told_in_turn(F, parameters, [c.q for _, c in pairs])


def _beside_coefficients(zero):
    """The expected information of a model without coefficients, in the covariances and
    in part of the noise, and the degrees of freedom.
    """
    bases = [c.symmetric for c in zero.model.covariances]
    pairs = zip(bases, zero.factor.spread_sums, strict=True)
    trace = np.concatenate([np.einsum("kab,ab->k", E, N) for E, N in pairs])
    return traces_at_zero(zero, bases), trace, zero.model.n


def _told_in_turn(F, parameters, sizes):
    """Variances of which the information F, of the noise and of `parameters`, leaves
    something beside those before them.
    """
    told, size = [np.zeros(q, dtype=bool) for q in sizes], np.diag(F).copy()
    order = sorted(range(len(parameters)), key=lambda k: parameters[k][:2])
    for k in [0, *(k + 1 for k in order)]:
        if F[k, k] <= UNTOLD * max(size[k], 1.0):
            continue
        F = F - np.outer(F[:, k], F[k]) / F[k, k]
        if k:
            _, mixed, t, i = parameters[k - 1]
            told[t][i] |= not mixed
    return told


# ------------------------------------------------------------------------------- starts


def attempt(function, argument):
    """A point that a function gives; None where it is too far for double precision."""
    try:
        point = function(argument)
    except np.linalg.LinAlgError:
        return None
    return point if np.isfinite(point.value) else None


def reach(model, Lambdas):
    """The point at some covariances, or None as of `attempt`."""
    if isinstance(model.gram, IterativeGram):  # it has no value
        return evaluate(model, Lambdas)
    return attempt(partial(evaluate, model), Lambdas)


def no_variance(model):
    """The point at which no effect has a variance."""
    return evaluate(model, tuple(np.zeros((c.q, c.q)) for c in model.covariances))


def first_points(zero):
    """Points from which to search, the best one first, and the number of evaluations.

    If derivatives are cheap the effects are taken as free coefficients, all together
    for the noise, and those of one term at a time for their scatter; a step of Fisher
    scoring leads on from the best.  Else that step is made from no variance at all, and
    so it is where the data leave no degree of freedom beside the effects; it leads far
    enough unless effects are far larger than the noise.
    """
    model, count = zero.model, 1
    near = None if zero.in_psi.is_exact else fisher_step(zero)
    if near is not None and _largest(near) < MODERATE:
        return [near], count
    free = reach(model, _free(model, range(len(model.covariances))))
    points, more = ([], 0) if free is None else _within(free)
    if points:
        return [fisher_step(points[0]), *points[1:]], count + more + 1
    return [fisher_step(zero) if near is None else near], count + more + 1


def _within(free):
    """Points of the scatter of free effects, the best one first, and the number of
    evaluations: all terms together, and each alone, since what is far from everything
    else may be the effect of any of them.  There are none if the data do not tell the
    scatter.
    """
    model, n_terms = free.model, len(free.model.covariances)
    alone = [free]
    if n_terms > 1:
        alone = [reach(model, _free(model, [t])) for t in range(n_terms)]
    together, points = [], []
    for t, point in enumerate(alone):
        Lambda = None if point is None else _scatter_of_term(point, t, _noise(free))
        together.append(Lambda)
        if n_terms > 1 and Lambda is not None:
            Lambdas = [np.zeros_like(L) for L in point.Lambdas]
            Lambdas[t] = Lambda * np.sqrt(_noise(free) / _noise(point))
            points.append(reach(model, tuple(Lambdas)))
    if _left(free) > LEAST_FREEDOM and all(Lambda is not None for Lambda in together):
        points.append(reach(model, tuple(together)))
    count = len(points) + (len(alone) if n_terms > 1 else 0)
    found = [point for point in points if point is not None]
    return sorted(found, key=lambda point: point.value), count


def _left(free):
    """Degrees of freedom that free effects leave to the noise."""
    return free.factor_freedom - free.factor.effects_freedom


def _noise(free):
    """The noise variance that free effects leave."""
    return max(free.factor.rss / max(_left(free), LEAST_FREEDOM), free.model.floor)


def _largest(point):
    """The largest variance of an effect, in noise variances."""
    return max(np.sum(Lambda**2, axis=1).max() for Lambda in point.Lambdas)


def _free(model, terms):
    """Lambdas of terms whose effects are free coefficients; the others have none."""
    crossed = isinstance(model.gram, CrossedGram)
    std = np.sqrt(FREE_CROSSED if crossed else FREE)
    return tuple(
        std * (t in terms) * covariance.root(np.eye(covariance.q))
        for t, covariance in enumerate(model.covariances)
    )


def _scatter_of_term(free, t, noise_variance):
    """Lambda of one term from its free effects; None if no level tells them."""
    covariance = free.model.covariances[t]
    some = covariance.effects
    Lambda = np.zeros((covariance.q, covariance.q))
    if not len(some):
        return Lambda
    noise = free.factor.conditional_of(t)[:, some[:, None], some]
    trace = np.einsum("gii->g", noise)
    told = trace < TOLD * free.Lambdas[t].max() ** 2
    if not told.any():
        return None
    weight = told / (trace + np.median(trace[told])) ** 2
    weight /= weight.sum()
    modes = free.modes[t][:, some] / np.sqrt(noise_variance)
    spread = np.einsum("g,gij->ij", weight, noise)
    Psi = (weight[:, None] * modes).T @ modes - spread / 2
    half = np.linalg.cholesky(spread)
    inverse = np.linalg.inv(half)
    values, vectors = np.linalg.eigh(inverse @ Psi @ inverse.T)
    share = 1 / min(len(free.model.covariances), 2)  # others have a part in it
    half = half @ vectors * np.sqrt(np.maximum(share * values, 0.25))
    Lambda[np.ix_(some, some)] = half @ half.T
    return covariance.root(covariance.project(Lambda))


def random_starts(point, n_starts=N_STARTS):
    """Points with standard deviations that differ widely, between the resolution of the
    data and those of a given point.
    """
    random, model = np.random.default_rng(point.model.seed), point.model
    for _ in range(n_starts):
        Lambdas = []
        for t, covariance in enumerate(model.covariances):
            least = np.sqrt(model.resolution(t))
            std = np.maximum(np.linalg.norm(point.Lambdas[t], axis=1), least)
            std = least * (std / least) ** random.uniform(0.5, 1.0, covariance.q)
            std *= np.exp(random.normal(0.0, 1.5, covariance.q))
            A = random.normal(size=(covariance.q, 2 * covariance.q))
            A *= (std / np.linalg.norm(A, axis=1))[:, None]
            Lambdas.append(covariance.root(covariance.project(A @ A.T)))
        start = attempt(point.moved, tuple(Lambdas))
        if start is not None:
            yield start


def fisher_step(point):
    """The point after one step of Fisher scoring in the entries of Psi."""
    model, at_zero = point.model, not any(Lambda.any() for Lambda in point.Lambdas)
    bases = [c.symmetric for c in model.covariances]
    F = point.in_psi.expected()
    if at_zero and not point.in_psi.is_exact:
        F = information_at_zero(point, bases)
    g = np.concatenate(
        [np.einsum("kab,ab->k", E, S) for E, S in zip(bases, point.scores, strict=True)]
    )
    size = np.diag(F)
    unit = np.where(size > 0, 1 / np.sqrt(np.where(size > 0, size, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(F * np.outer(unit, unit))
    kept = values > FLAT * values[-1]
    step = -unit * (vectors[:, kept] / values[kept] @ (vectors[:, kept].T @ (unit * g)))
    if at_zero:  # these variances are in units of that of y; the rest is noise
        explained = point.in_psi.trace @ step / max(point.factor_freedom, 1.0)
        step = step / max(1.0 - explained, LEAST_NOISE)
    for part in 0.1 ** np.arange(30):
        new = reach(model, _changed(model, point, bases, part * step))
        if new is not None:
            return new
    return point


def _changed(model, point, bases, step):
    """Lambdas after a step in the entries of every Psi."""
    Lambdas, start = [], 0
    for t, E in enumerate(bases):
        change = np.einsum("k,kab->ab", step[start : start + len(E)], E)
        start += len(E)
        Lambdas.append(_moved(model, point, t, change))
    return tuple(Lambdas)


def _moved(model, point, t, change):
    """Lambda of Psi + change, or as far as it leaves a part of every variance."""
    covariance, Lambda = model.covariances[t], point.Lambdas[t]
    if not Lambda.any():
        values, vectors = np.linalg.eigh(change)
        least = LEAST_LEFT * model.resolution(t)
        Psi = (vectors * np.maximum(values, least)) @ vectors.T
        return covariance.root(covariance.project(Psi))
    some = np.ix_(covariance.effects, covariance.effects)
    axes, std, _ = np.linalg.svd(Lambda[some])
    whiten = axes.T / np.sqrt(std**2 + TINY * model.resolution(t))[:, None]
    relative = np.linalg.eigvalsh(whiten @ change[some] @ whiten.T)
    part = min(1.0, (1 - LEAST_LEFT) / max(-relative[0], 1e-300))
    return covariance.root(Lambda @ Lambda.T + part * change)


# ------------------------------------------------------------------------------ descent


def descend(point, max_iter):
    """Newton's method in the entries of Lambda, by steps that never raise the value."""
    decrement, stuck, found = np.inf, 0, None
    for n_iter in range(max_iter):
        point = point.pivoted()
        H, exact = point.hessian()
        if not exact:
            found = secant(point, H, found if decrement <= SHORT else None)
            H = found.hessian
        before, (step, decrement) = decrement, newton_step(point, H)
        if decrement <= NOTHING * point.rounding:
            return Optimum(point, n_iter, True)
        # The average information leaves the same part of every decrement at most.
        left = 0.0 if exact else decrement**2 / before
        last = decrement <= NEAR and left <= ENOUGH
        new = _along(point, step, STALLED if last else 1.0)
        if new is None:
            return Optimum(point, n_iter, decrement <= STALLED * point.rounding)
        stuck = stuck + 1 if point.value - new.value <= point.rounding else 0
        point = new
        if last or stuck == PATIENCE:
            return Optimum(point, n_iter + 1, True)
    return Optimum(point, max_iter, False)


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


def _along(point, step, slack):
    """The first point along a step, ever more of it left out, that is not higher by
    more than so many rounding errors; None if there is none.
    """
    x = point.x
    for part in 0.5 ** np.arange(30):
        new = attempt(point.at, x + part * step)
        if new is not None and new.value <= point.value + slack * point.rounding:
            return new
    return None


# ----------------------------------------------------------------------------- boundary


def snap(point):
    """The point without the variances that are next to nothing, unless that is worse,
    and the number of evaluations.
    """
    model, Lambdas = point.model, []
    for t, covariance in enumerate(model.covariances):
        L = point.Lambdas[t]
        values, vectors = np.linalg.eigh(L @ L.T)
        kept = values > TINY * model.resolution(t)
        half = vectors * np.sqrt(np.where(kept, values, 0.0))
        Psi = covariance.project(half @ half.T)
        Lambdas.append(L if kept.all() else covariance.root(Psi))
    if all(L is old for L, old in zip(Lambdas, point.Lambdas, strict=True)):
        return point, 0
    new = point.moved(tuple(Lambdas))
    return (new if new.value <= point.value + point.rounding else point), 1


def escape(point):
    """A better point off the boundary, where math.md (49) fails, or None, and the
    number of evaluations.
    """
    model, count = point.model, 0
    for t, covariance in enumerate(model.covariances):
        v, slope = _steepest_null(model, point, t)
        if v is None or -slope * model.resolution(t) < 1e-6:
            continue
        Psi = point.Lambdas[t] @ point.Lambdas[t].T
        for part in 10.0 ** np.arange(1, -4, -1):
            tau = part * model.resolution(t)
            Lambda = covariance.root(Psi + tau * np.outer(v, v))
            Lambdas = list(point.Lambdas)
            Lambdas[t] = Lambda
            new, count = attempt(point.moved, tuple(Lambdas)), count + 1
            worth = point.value - STALLED * point.rounding
            if new is not None and new.value < worth:
                return new, count
    return None, count


def _steepest_null(model, point, t):
    """The direction in the null space of Psi along which the value falls most, and its
    slope there; None if Psi is regular.
    """
    best, steepest = None, 0.0
    Psi = point.Lambdas[t] @ point.Lambdas[t].T
    for block in map(list, model.covariances[t].blocks):
        some = np.ix_(block, block)
        values, vectors = np.linalg.eigh(Psi[some])
        null = vectors[:, values <= TINY * model.resolution(t)]
        if not null.shape[1]:
            continue
        slopes, turned = np.linalg.eigh(null.T @ point.scores[t][some] @ null)
        if slopes[0] < steepest:
            best, steepest = np.zeros(len(Psi)), slopes[0]
            best[block] = null @ turned[:, 0]
    return best, steepest
