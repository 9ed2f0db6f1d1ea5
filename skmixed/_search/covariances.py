"""The search for the covariances of a linear mixed model (docs/math.md, section 11).

From effects taken as free coefficients one step of Fisher scoring in Psi, then Newton's
method in the entries of Lambda, which reaches singular covariances as it does others.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from .._likelihood.criterion import NO_INFORMATION, UNTOLD
from .._likelihood.mixed import (
    FEW_EFFECTS,
    along,
    evaluate,
    information_at_zero,
    second_of_several,
    traces_at_zero,
)
from .._rows.by_rows import RowGram
from .._rows.crossed import CrossedGram
from .._rows.iterative import IterativeGram
from .descent import TINY, Optimum, attempt, search_from
from .race import race

# Few levels tell a variance if they do so as well as fewer than this fraction of all;
# then so many random starts compete.
UNEVEN, N_UNEVEN = 0.3, 2
# The variance, in noise variances, at which effects are as good as free coefficients;
# where factors cross, digits are lost in proportion, and by rows of all that is left.
FREE, FREE_CROSSED, FREE_BY_ROWS = 1e16, 1e8, 1e6
# Free effects tell the noise if they leave more degrees of freedom than this.
LEAST_FREEDOM = 0.5
# Effects with a variance below this, in noise variances, are not far larger.
MODERATE = 100.0
# A level tells about its effects where these have less than this fraction of that
# variance.
TOLD = 1e-3
# Fisher's step leaves at least this fraction of any variance.
LEAST_LEFT = 0.1
# A step from no variance at all leaves at least this fraction to the noise.
LEAST_NOISE = 0.01
# Eigenvalues of the expected information below this fraction of the largest count as
# none.
FLAT = 1e-10
# The tolerance of the weights by which a variance is a sum of others, in units of the
# roots of their informations.
SPANNED = 1e-6
# The error to which the logarithm of a consistent noise variance is found.
CONSISTENT = 1e-11
# The least slope of the secants that find it, and their longest step.
LEAST_SLOPE, FARTHEST = 0.01, 10.0
# Searches after the first have no more evaluations together than so many of the longest
# one, and each no more than this part of it.
MOST_SETTLING, AGAIN = 2, 0.5
# Below this an error that the next secant does not reduce to this fraction is that of
# the searches themselves.
SETTLED, FASTER = 1e-6, 0.25
# An exact fit of less than this fraction of the rows may have led past other optima.
MOST_ROWS = 0.5
# A noise variance below this many times that of an exact fit is on the way there.
NEAR_EXACT = 1e6
# With fewer rows than this for each effect, or few effects, several optima are looked
# for, from the scatter of each term alone, and below so many rows from random starts.
ROWS_PER_EFFECT, FEW_ROWS, N_STARTS = 5, 100, 8
# Beside few effects searches from random starts are begun so often, as long as the last
# ones, or those from other starts beside them, led to a better optimum.
MOST_RACES = 2
# Logarithms of standard deviations of random starts have these standard deviations, far
# from the optimum that is known and near it, where there are so many at most.
WIDE, NARROW, N_NEAR = 1.5, 0.5, 16
# The races of a search whose end is but a start, or with another pattern of variances
# than one whose optimum is known, have this share of the steps of others.
SHARE = 0.5
# With more effects than this there are fewer random starts, and fewer steps of all but
# the first search, but no fewer than these: a step costs the cube of effects.
MANY_EFFECTS, LEAST_STEPS = 200, 5


def best_covariances(zero, max_iter=100, simpler=None, settled=True):
    """The covariances at the best optimum that is found from a point of no variance, or
    from that and the optimum of a simpler model, in which some effects have none.

    Under REML a ridge penalty leaves estimating equations that are not the gradient of
    one function of the covariances and sigma^2; they are at each sigma^2, so that the
    search is for the one that its own optimum implies, or at the first that is tried,
    if it need not be `settled`: its end only begins another search, and races are
    shorter.
    """
    model = zero.model
    if not any(c.blocks for c in model.covariances):
        return Optimum(zero, 1, True)
    share = 1.0 if settled else SHARE
    best_at = partial(best_of_starts, max_iter=max_iter, simpler=simpler, share=share)
    if model.reml and model.penalty is not None:
        return _consistent(zero, best_at, max_iter, simpler, settled)
    return best_at(zero)


def _consistent(zero, best_at, max_iter, simpler, settled):
    first, spent = simpler, 0
    if simpler is None:
        (first, *_), _, spent, _ = first_points(zero)

    def search(noise_variance, known):
        if known is None:
            held = replace(zero.model, noise_variance=noise_variance)
            return best_at(no_variance(held))
        return search_again(known, noise_variance, max_iter)

    if settled:
        best = settle(search, first.noise_variance, max_iter)
    else:
        best = search(first.noise_variance, None)
        best = replace(best, point=best.point.held(None), converged=best.is_exact)
    return replace(best, n_evaluations=best.n_evaluations + spent)


def settle(search, noise_variance, max_iter):
    """The optimum that implies the noise variance at which it was searched for: secants
    in the logarithm of that.

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
    most = np.inf
    for _ in range(max_iter):
        known = None if best is None else best.point
        best = search(float(np.exp(logs[-1])), known)
        profiled = best.point.held(None)
        spent += best.n_evaluations + 1
        most = spent + MOST_SETTLING * max_iter if known is None else most
        gaps.append(np.log(profiled.noise_variance) - logs[-1])
        if _is_settled(gaps):
            break
        if not best.converged and best.is_exact:  # no search will come to an optimum
            break
        slope = -1.0
        if len(gaps) > 1 and logs[-1] != logs[-2]:
            slope = min((gaps[-1] - gaps[-2]) / (logs[-1] - logs[-2]), -LEAST_SLOPE)
        logs.append(logs[-1] - np.clip(gaps[-1] / slope, -FARTHEST, FARTHEST))
        if spent > most:
            break
    return Optimum(profiled, spent, best.converged and _is_settled(gaps))


def _is_settled(gaps):
    """Whether the last error is as small as it comes.  Where it is small and secants
    make it no smaller, or of the other sign and hardly smaller, it is what is left by
    searches.
    """
    last, before = gaps[-1], gaps[-2] if len(gaps) > 2 else np.inf
    if max(abs(last), abs(before)) >= SETTLED:
        return abs(last) < CONSISTENT
    hardly = last * before < 0 and abs(last) > FASTER * abs(before)
    return hardly or abs(last) >= abs(before) or abs(last) < CONSISTENT


def search_again(known, noise_variance, max_iter):
    """The optimum at a given sigma^2, from that at another one."""
    steps = max(1, int(AGAIN * max_iter))
    return search_from(at_noise(known, noise_variance), steps, 2)


def at_noise(point, noise_variance):
    """The point of the same Psi at a given sigma^2, or of the same Psi / sigma^2 where
    the former is beyond double precision.
    """
    as_before = point.held(noise_variance)
    scale = np.sqrt(point.noise_variance / noise_variance)
    new = attempt(as_before.moved, tuple(scale * L for L in point.Lambdas))
    return as_before if new is None else new


def best_of_starts(zero, max_iter, simpler, share):
    """The best optimum of one function of the covariances; `simpler` is as of
    `best_covariances`, and `share` is that of the steps of a race.
    """
    if simpler is not None:
        point = lifted(evaluate(zero.model, simpler.Lambdas))
        if zero.model.n_effects > FEW_EFFECTS:
            return search_from(point, max_iter, 2)
    first = first_points(zero)
    best = search_from(first.points[0], max_iter, first.count)
    if not _is_regular(best, zero):
        best = _regular(best, zero, max_iter)
    if simpler is not None:
        other = search_from(point, max_iter, best.n_evaluations + 2)
        best = min(best, other, key=lambda optimum: optimum.point.value)
        best = replace(best, n_evaluations=other.n_evaluations)
    if best.is_exact:
        return best
    n_effects = zero.model.n_effects
    part = (MANY_EFFECTS / max(n_effects, MANY_EFFECTS)) ** 3
    share *= (FEW_EFFECTS / max(n_effects, FEW_EFFECTS)) ** 3
    share *= 1.0 if simpler is None else min(SHARE / part, 1.0)
    starts = _more_starts(zero, first)
    if first.free is not None and first.free.value < best.point.value:
        starts.append(first.free)
    most = max(LEAST_STEPS, int(part * max_iter))
    n_starts = n_random_starts(best.point, part, first.few_tell)
    return _best_of_races(zero, best, starts, n_starts, (most, share))


def _best_of_races(zero, best, starts, n_starts, steps):
    """The best of an optimum and of those that the starts and random ones lead to: as
    long as these are better, others are drawn about them.  An end at the least noise is
    one of a way without bound, unless it is regular.  `steps` are as of `race`.
    """
    few = best.point.model.n_effects <= FEW_EFFECTS
    for turn in range(MOST_RACES if few else 1):
        starts = [*starts, *random_starts(best.point, n_starts, turn)]
        if not starts:
            break
        found, spent = race(best, starts, *steps)
        value = best.point.value - best.point.rounding
        ends = (
            end for end in found if not end.point.at_floor or _is_regular(end, zero)
        )
        better = [end for end in ends if end.point.value < value]
        spent += best.n_evaluations
        best = min([best, *better], key=lambda optimum: optimum.point.value)
        best = replace(best, n_evaluations=spent)
        if not better or best.is_exact:
            break
        starts = []
    return best


def _more_starts(zero, first):
    """Starts that compete with the best of the `First` points."""
    model, covariances = zero.model, zero.model.covariances
    few = model.n_effects <= FEW_EFFECTS
    some = few or model.n_rows < ROWS_PER_EFFECT * model.n_effects
    starts = [*map(lifted, first.points[1:])] if some else []
    if first.few_tell:
        starts += with_one_std(model, 1.0)
    if few and len(covariances) > 1:
        starts += from_far(model)
    is_uncorrelated = [len(c.blocks) > 1 for c in covariances] == [True]
    if is_uncorrelated or _has_few_slopes(model):  # free effects may be opposite
        starts.append(lifted(zero))
    return starts


def _is_regular(end, zero):
    """Whether a search ended no higher than no variance does, and in an exact fit only
    if that is one of most rows: each lowers the value by the logarithm below.
    """
    fall = zero.value - end.point.value
    if not end.is_exact:
        return fall >= 0
    of_row = np.log(zero.noise_variance / end.point.noise_variance)
    return fall >= MOST_ROWS * zero.model.n * of_row


def _regular(end, zero, max_iter):
    """The better of the end of a search and of that from next to no variance.

    Where large variances leave a few rows without noise, the likelihood rises on its
    way to an exact fit of these rows, from wherever the search has come.  An exact fit
    is not looked for again.
    """
    least = NEAR_EXACT * end.point.noise_variance if end.is_exact else 0.0
    other = search_from(lifted(zero), max_iter, end.n_evaluations + 1, least)
    best = min(end, other, key=lambda optimum: optimum.point.value)
    return replace(best, n_evaluations=other.n_evaluations)


def told_variances(zero, order, found=None):
    """Which variances the data can tell, by the rank of the expected information:
    math.md (48).

    Parameters
    ----------
    zero : MixedPoint
        Without any variance; the rank is the same at any other.
    order : sequence of int
        Positions of the terms among the user's.
    found : Second, default=None
        Along the coefficients of a log-variance, then the entries of all covariances;
        None is without the former.

    Returns
    -------
    told : list of ndarray of shape (q,)
        By terms of the likelihood.  A variance counts as told if it is so beside the
        noise, its log-variance and all variances before it, in the user's order of
        terms.
    """
    covariances = zero.model.covariances
    parameters = [
        (order[t], i != j, t, i)
        for t, c in enumerate(covariances)
        for i, j in zip(*c.entries, strict=True)
    ]
    how = _information(zero, found)
    return _told_in_turn(*how, parameters, [c.q for c in covariances])


def _information(zero, found=None):
    """The expected information about the noise, the coefficients of its log-variance if
    there are any, and the entries of all covariances, in units of the resolution of an
    average level, and what rounding may leave of each; `found` is as of
    `told_variances`.
    """
    model, found = zero.model, found or zero.in_psi
    F, of_V = found.traces, found.trace
    free, least = zero.factor_freedom, NO_INFORMATION
    if zero.factor.is_sampled:
        F, of_V, free = _beside_coefficients(zero)
    elif not found.is_exact:
        F, of_V = found.squares, found.square
    pairs = list(zip(model.covariances, model.gram.sizes, strict=True))
    K = np.array([K for c, (K, _) in pairs for _ in c.entries[0]])
    k = len(F) - len(K)
    few = found.is_exact and model.n_effects <= FEW_EFFECTS
    if few and np.any(np.diag(F)[k:] <= least * model.n**2):
        F, least = F.copy(), UNTOLD**2  # N has its rounding before it is squared
        bases = [c.symmetric for c in model.covariances]
        F[k:, k:] = second_of_several(zero, bases).traces
    of_rows = np.ones(1 + k)  # the noise and its log-variance
    scale = np.append(of_rows, K / model.n)
    F = np.block([[free, of_V], [of_V[:, None], F]]) * np.outer(scale, scale)
    # Weights below 1 leave fewer degrees of freedom than there are rows to tell by.
    more = max(model.n_rows - model.n, 0.0) * of_rows
    F = F + np.diag(np.pad(more, (0, len(K))))
    return F, np.append(NO_INFORMATION * F[0, 0] * of_rows, least * K**2.0)


def are_sums(zero, told, found=None):
    """Whether every variance that is not told may go to the noise and to variances that
    are: math.md (196).  Then the model is the same without it.  Parameters are those of
    `told_variances`, and what that returns.
    """
    model, found = zero.model, found or zero.in_psi
    if model.penalty is not None or not found.is_exact:
        return False
    F, rounding = _information(zero, found)
    size = np.diag(F)
    nothing = size <= rounding
    k = len(F) - sum(len(c.entries[0]) for c in model.covariances)
    kept, alone = [True] * k, True
    # A log-variance takes no part of a variance, which it would leave no longer.
    mixed = [False, *[True] * (k - 1)]
    for c, some in zip(model.covariances, told, strict=True):
        rows, columns = c.entries
        kept += [*(some[rows] & some[columns])]
        mixed += [*(rows != columns)]
        free = some.copy()
        np.logical_or.at(free, rows, nothing[len(kept) - len(rows) : len(kept)])
        alone &= all(len(block) == 1 or free[list(block)].all() for block in c.blocks)
    kept, mixed = np.array(kept), np.array(mixed)
    unit = np.where(nothing, 0.0, 1 / np.sqrt(np.where(nothing, 1.0, size)))
    F = F * np.outer(unit, unit)
    among, across = F[np.ix_(kept, kept)], F[np.ix_(kept, ~kept)]
    parts, *_ = np.linalg.lstsq(among, across, rcond=None)
    low, high = -SPANNED, np.where(mixed[kept], SPANNED, np.inf)[:, None]
    return bool(alone and np.all((parts >= low) & (parts <= high)))


def _beside_coefficients(zero):
    """The expected information of a model without coefficients, in the covariances and
    in part of the noise, and the degrees of freedom.
    """
    bases = [c.symmetric for c in zero.model.covariances]
    trace = along(bases, zero.factor.spread_sums)
    return traces_at_zero(zero, bases), trace, zero.model.n


def _told_in_turn(F, rounding, parameters, sizes):
    """Variances of which the information F, of the noise and then of `parameters`,
    leaves something beside those before them.
    """
    told, size = [np.zeros(q, dtype=bool) for q in sizes], np.diag(F).copy()
    order = sorted(range(len(parameters)), key=lambda k: parameters[k][:2])
    first = len(F) - len(parameters)
    for k in [*range(first), *(first + k for k in order)]:
        if F[k, k] <= max(UNTOLD * size[k], rounding[k]):
            continue
        F = F - np.outer(F[:, k], F[k]) / F[k, k]
        if k >= first:
            _, mixed, t, i = parameters[k - first]
            told[t][i] |= not mixed
    return told


# ------------------------------------------------------------------------------- starts


def reach(model, Lambdas):
    """The point at some covariances, or None as of `attempt`."""
    if isinstance(model.gram, IterativeGram):  # whose value may be unknown
        return evaluate(model, Lambdas)
    return attempt(partial(evaluate, model), Lambdas)


def no_variance(model):
    """The point at which no effect has a variance."""
    return evaluate(model, tuple(np.zeros((c.q, c.q)) for c in model.covariances))


class First(NamedTuple):
    """Points from which to search.

    Attributes
    ----------
    points : list of MixedPoint
        The best one first.
    free : MixedPoint or None
        That of free effects, if they tell no scatter.
    count : int
        Number of evaluations.
    few_tell : bool
        Whether few levels tell most of what is told of a variance.
    """

    points: list
    free: object
    count: int
    few_tell: bool


def first_points(zero):
    """The `First` points.

    If derivatives are cheap the effects are taken as free coefficients, all together
    for the noise, and those of one term at a time for their scatter; a step of Fisher
    scoring leads on from the best.  Else that step is made from no variance at all, and
    so it is where the data leave no degree of freedom beside the effects; it leads far
    enough unless effects are far larger than the noise.
    """
    model, count = zero.model, 1
    few_tell = _few_tell(zero)
    near = None if zero.in_psi.is_exact else fisher_step(zero)
    if near is not None and largest_variance(near) < MODERATE:
        return First([near], None, count, few_tell)
    free = reach(model, _free(model, range(len(model.covariances))))
    points, more = ([], 0) if free is None else _within(free)
    if points:
        points[0] = fisher_step(points[0])
        if _has_few_slopes(model):
            points.append(fisher_step(zero))
            points.sort(key=lambda point: point.value)
        return First(points, None, count + more + len(points), few_tell)
    points = [fisher_step(zero) if near is None else near]
    return First(points, free, count + more + 1, few_tell)


def _has_few_slopes(model):
    """Whether a model has a single factor, with several effects that are few: a slope
    of a column that is nearly the mean of its level tells little by free effects.
    """
    (K, q), *more = model.gram.sizes
    return q > 1 and K * q <= FEW_EFFECTS and not more


def from_far(model):
    """A step of Fisher scoring from variances of all effects that are far above the
    noise, none where it cannot be made: a factor that the first points leave without a
    variance may have one beside other coefficients.
    """
    return [fisher_step(far) for far in with_one_std(model, np.sqrt(MODERATE))]


def with_one_std(model, std):
    """The point at which all effects have one standard deviation, in that of the noise;
    none where it cannot be reached.
    """
    Lambdas = [np.zeros((c.q, c.q)) for c in model.covariances]
    for Lambda, covariance in zip(Lambdas, model.covariances, strict=True):
        Lambda[covariance.effects, covariance.effects] = std
    point = reach(model, tuple(Lambdas))
    return [] if point is None else [point]


def _few_tell(zero):
    """Whether few levels tell most of what is told of a variance, by their effective
    number, math.md (223): the optimum that these lead to need not be that of all.
    """
    covariances, found = zero.model.covariances, zero.in_psi
    bases = [c.symmetric for c in covariances]
    F = found.traces if found.is_exact else traces_at_zero(zero, bases)
    sums = along(bases, zero.traces) ** 2
    n_levels = [
        K * np.equal(*c.entries)
        for c, (K, _) in zip(covariances, zero.model.gram.sizes, strict=True)
    ]
    return bool(np.any(sums < UNEVEN * np.concatenate(n_levels) * np.diag(F)))


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


def largest_variance(point):
    """The largest variance of an effect, in noise variances; 0 of no effect."""
    sizes = (np.sum(Lambda**2, axis=1).max() for Lambda in point.Lambdas)
    return max(sizes, default=0.0)


def _free(model, terms):
    """Lambdas of terms whose effects are free coefficients; the others have none."""
    of_kind = {RowGram: FREE_BY_ROWS, CrossedGram: FREE_CROSSED}
    free = [free for kind, free in of_kind.items() if isinstance(model.gram, kind)]
    std = np.sqrt(min(free, default=FREE))
    return tuple(
        std * (t in terms) * covariance.root(np.eye(covariance.q))
        for t, covariance in enumerate(model.covariances)
    )


def _scatter_of_term(free, t, noise_variance):
    """Lambda of one term from its free effects; None if no level tells them, or not in
    double precision.
    """
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
    try:
        half = np.linalg.cholesky(spread)
    except np.linalg.LinAlgError:
        return None
    inverse = np.linalg.inv(half)
    values, vectors = np.linalg.eigh(inverse @ Psi @ inverse.T)
    share = 1 / min(len(free.model.covariances), 2)  # others have a part in it
    half = half @ vectors * np.sqrt(np.maximum(share * values, 0.25))
    Lambda[np.ix_(some, some)] = half @ half.T
    return covariance.root(covariance.project(Lambda))


def lifted(point):
    """A point with a little variance of all effects: where one has none, the gradient
    does not tell whether it should have some.
    """
    model, Lambdas = point.model, []
    for t, (covariance, Lambda) in enumerate(
        zip(model.covariances, point.Lambdas, strict=True)
    ):
        least = np.sqrt(LEAST_LEFT * model.resolution(t))
        none = ~Lambda.any(axis=1)
        Lambdas.append(Lambda + least * covariance.root(np.diag(none.astype(float))))
    new = attempt(point.moved, tuple(Lambdas))
    return point if new is None else new


def n_random_starts(point, part, few_tell=False):
    """Number of `random_starts` that are far: a part of them, or one, where rows are
    few, twice as many where the effects fit all rows, some where few levels tell,
    and none elsewhere.
    """
    model = point.model
    fit_all = model.n_effects >= point.factor_freedom
    if model.n_rows >= FEW_ROWS and not fit_all:
        return max(1, int(part * N_UNEVEN)) if few_tell else 0
    return max(1, int(part * N_STARTS * (2 if fit_all else 1)))


def random_starts(point, n_starts=N_STARTS, turn=0):
    """Points with standard deviations that differ widely, between the resolution of the
    data and the largest of any effect at a given point: what one factor explains there
    another may explain elsewhere.  If none has a variance there, they are far from it.

    Where effects that covary are far larger than the noise, 16 more have the standard
    deviations of the point, nearly, and other correlations: so exactly told, effects of
    few levels may be added up in several ways; fewer if there are fewer of the others.
    `turn` tells draws apart.
    """
    model, largest = point.model, np.sqrt(largest_variance(point) or MODERATE)
    random = np.random.default_rng([model.seed, turn])
    covary = any(len(block) > 1 for c in model.covariances for block in c.blocks)
    n_near = min(2 * n_starts, N_NEAR) if covary and largest**2 > MODERATE else 0
    for k in range(n_starts + n_near):
        Lambdas = []
        for t, covariance in enumerate(model.covariances):
            q, least = covariance.q, np.sqrt(model.resolution(t))
            if k < n_starts:
                ratio = max(largest / least, 1.0)
                std = least * ratio ** random.uniform(0.5, 1.0, q)
                std *= np.exp(random.normal(0.0, WIDE, q))
            else:
                std = np.sqrt(np.sum(point.Lambdas[t] ** 2, axis=1) + least**2)
                std *= np.exp(random.normal(0.0, NARROW, q))
            A = random.normal(size=(q, 2 * q))
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
    g = along(bases, point.scores)
    size = np.diag(F)
    unit = np.where(size > 0, 1 / np.sqrt(np.where(size > 0, size, 1.0)), 0.0)
    values, vectors = np.linalg.eigh(F * np.outer(unit, unit))
    kept = values > FLAT * values[-1]
    step = -unit * (vectors[:, kept] / values[kept] @ (vectors[:, kept].T @ (unit * g)))
    if at_zero:  # these variances are in units of that of y; the rest is noise
        explained = point.in_psi.trace @ step / max(point.factor_freedom, 1.0)
        step = step / max(1.0 - explained, LEAST_NOISE)
    for part in 0.1 ** np.arange(30):
        new = reach(model, _changed(point, bases, part * step))
        if new is not None:
            return new
    return point


def _changed(point, bases, step):
    """Lambdas after a step in the entries of every Psi."""
    Lambdas, start = [], 0
    for t, E in enumerate(bases):
        change = np.einsum("k,kab->ab", step[start : start + len(E)], E)
        start += len(E)
        Lambdas.append(_moved(point, t, change))
    return tuple(Lambdas)


def _moved(point, t, change):
    """Lambda of Psi + change, or as far as it leaves a part of every variance."""
    model, Lambda = point.model, point.Lambdas[t]
    covariance = model.covariances[t]
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
