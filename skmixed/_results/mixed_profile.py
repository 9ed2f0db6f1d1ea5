"""Profile-likelihood intervals of a linear mixed model (docs/math.md, section 18).

A parameter is held at one value after the other, the likelihood being maximised over
all others, until it has fallen by a quantile of chi-squared.  Nothing but the figures
that the fit keeps is needed.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.stats import norm

from .._likelihood.arrow import Arrow
from .._likelihood.covariance import Covariance
from .._likelihood.held import HeldPoint, Roots, derivatives, evaluate_held
from .._search.descent import STALLED
from .._search.mixed import best_optimum
from .._search.roots import root_between
from .._search.trust_region import Quadratic, minimise
from .profile import read_parameters

# A step whose decrement is below this, in units of the deviance, is the last one, and
# so is one after which rounding lets the value come no lower.
TOL = 1e-9
MAX_ITER = 200
# Entries of a root start at least at this fraction of what the data resolve: a search
# that starts at 0 would stay there by symmetry.
NUDGE = 0.1
# The end of an interval is found up to this fraction of its distance from the estimate.
XTOL = 1e-8
# The first step from the estimate, in the parameter's unit, and how much farther each
# may lead; after so many steps there is no end.
FIRST_STEP, FARTHER, N_STEPS = 0.3, 4.0, 12
# A coefficient is held by a penalty that makes it known so many times as exactly as
# the data do.
EXACT = 1e5
# Units of steps are no farther from 1, so that their squares are numbers.
FARTHEST = 1e150


@dataclass(frozen=True)
class Parameter:
    """A parameter that can be held.

    Attributes
    ----------
    estimate : float
    unit : float
        Of the first step of a search.
    low, high : float
        The ends of its range.
    hold : callable
        ``hold(value)`` is the likelihood and its `Roots`.
    optimum : HeldPoint
        Where nothing is held.
    resolved : tuple of float
        By terms: the standard deviation of an effect of the search that an average
        level tells no better than its own noise.
    positive : tuple of int
        Positions of two free parameters that are standard deviations: where one of
        them is negative, another value is held.
    ceiling : float
        The deviance where one of these is 0, whatever value is held.
    """

    estimate: float
    unit: float
    low: float
    high: float
    hold: object
    optimum: HeldPoint
    resolved: tuple
    positive: tuple = ()
    ceiling: float = np.inf


@dataclass(frozen=True)
class Entries:
    """Free entries of the root of one term's covariance, along `_axes`.

    Attributes
    ----------
    rows, columns : ndarray of shape (k,)
    A : ndarray of shape (k, q, q)
        The derivatives of the root in the effects of the search.
    """

    rows: np.ndarray
    columns: np.ndarray
    A: np.ndarray

    def place(self, row, column):
        """The position of an entry."""
        return int(np.flatnonzero((self.rows == row) & (self.columns == column))[0])

    def without(self, *places):
        """The other entries."""
        figures = self.rows, self.columns, self.A
        return Entries(*(np.delete(each, places, axis=0) for each in figures))


def mixed_profile_intervals(fit, coverage, parameters):
    """Intervals of all parameters, or of those that are asked for.

    Parameters
    ----------
    fit : LinearMixedFit
        Without a penalty.
    coverage : float
    parameters : str, sequence of str or None
        Of `names_of_components`, "intercept", "coef", and the names of columns.

    Returns
    -------
    intervals : dict of str to ndarray of shape (2,), or (n_features, 2) for "coef"
    """
    every = (*names_of_components(fit), "intercept", "coef")
    asked = read_parameters(parameters, every, fit.names)
    found = {name: np.full(2, np.nan) for name in (*every, *fit.names)}
    for name, (make, lowest, offset) in parameters_of(fit, asked).items():
        found[name] = interval(make(), lowest, coverage) + offset
    found["coef"] = np.array([found[name] for name in fit.names]).reshape(-1, 2)
    return {name: found[name] for name in asked}


def profile_curve(fit, name, values):
    """The estimate of a parameter, and the rise of the deviance from its least where it
    is held at some values (n,), which are in its range; NaN of what is not told.
    """
    values = np.asarray(values, dtype=float)
    found = parameters_of(fit, [name])
    if name not in found:
        return np.nan, np.full(len(values), np.nan)
    make, lowest, offset = found[name]
    parameter = make()
    solved, rises = {parameter.estimate: parameter.optimum}, np.empty(len(values))
    for i in np.argsort(np.abs(values - offset - parameter.estimate)):
        rises[i] = _rise(parameter, solved, lowest, values[i] - offset)
    return parameter.estimate + offset, rises


def parameters_of(fit, asked):
    """Those of the parameters that the data tell: a dict of names to a function that
    makes the `Parameter`, the least deviance, and its origin.
    """
    if fit.is_exact:  # nothing is left to tell anything from
        return {}
    point, components = fit.point(), set(names_of_components(fit))
    found = {
        name: (make, point.value, 0.0)
        for name, make in _components(fit, point)
        if name in asked
    }
    coefficients = {*asked} - components
    if "coef" in asked:
        coefficients |= set(fit.names)
    return found | dict(_coefficients(fit, point, coefficients))


def refuse_modelled_noise(fit):
    """Refuse a fit whose likelihood needs the rows."""
    if fit.noise_model is not None:
        raise ValueError(
            "A fit with variance_features or variance_offset keeps no rows, without "
            "which its likelihood cannot be profiled. `summary()` has intervals by "
            "the information."
        )


def names_of_components(fit):
    """The names of the standard deviations, the correlations and the noise."""
    names = []
    for factor in fit.factors:
        names += map(factor.std_name, range(factor.n_columns))
        names += [factor.correlation_name(i, j) for i, j in factor.pairs]
    return [*names, "noise_std"]


# -------------------------------------------------------------------------- components


def _components(fit, point):
    """Names and functions that make a `Parameter`, of what the data tell."""
    for t, factor in enumerate(fit.factors):
        told = fit.identified[t]
        for i in np.flatnonzero(told):
            yield factor.std_name(i), partial(_std, fit, point, t, i)
        for i, j in factor.pairs:
            if told[i] and told[j]:
                make = partial(_correlation, fit, point, t, i, j)
                yield factor.correlation_name(i, j), make
    yield "noise_std", partial(_noise, fit, point)


def _std(fit, point, t, i):
    """The standard deviation of effect i of term t."""
    p = fit.order.index(t)
    entries, optimum, resolved = _entries_of(fit, point, {t: (i,)})
    (row,), (size,) = _of_effects(fit, p, [i], optimum)
    place = entries[p].place(i, i)
    A = entries[p].A[place] / size
    entries[p] = entries[p].without(place)
    roots, estimate = _roots(entries), float(np.linalg.norm(row))

    def hold(value):
        fixed = list(roots.fixed)
        fixed[p] = value * A
        return point.model, replace(roots, fixed=tuple(fixed))

    unit = float(np.hypot(estimate, size * resolved[p]))
    return Parameter(estimate, unit, 0.0, np.inf, hold, optimum, resolved)


def _correlation(fit, point, t, i, j):
    """The correlation of effects i and j of term t."""
    p = fit.order.index(t)
    entries, optimum, resolved = _entries_of(fit, point, {t: (i, j)})
    (_, row), _ = _of_effects(fit, p, [i, j], optimum)
    size = np.linalg.norm(row)
    estimate = float(np.clip(row[i] / size, -1, 1)) if size > 0 else 0.0
    # One entry, the standard deviation of effect j, is in the place of two.
    along, across = entries[p].place(j, i), entries[p].place(j, j)
    A, B = entries[p].A[along], entries[p].A[across]
    entries[p] = entries[p].without(across)
    roots, before = _roots(entries), sum(len(each.A) for each in entries[:p])

    def hold(value):
        free = list(roots.free)
        free[p] = free[p].copy()
        free[p][along] = value * A + np.sqrt(1 - value**2) * B
        return point.model, replace(roots, free=tuple(free))

    none = [_std(fit, point, t, effect) for effect in (i, j)]
    return Parameter(
        *(estimate, 1.0, -1.0, 1.0, hold, optimum, resolved),
        positive=(before + entries[p].place(i, i), before + along),
        ceiling=min(_best(std, 0.0, optimum).value for std in none),
    )


def _noise(fit, point):
    """The standard deviation of the noise."""
    entries, *known = _entries_of(fit, point, {})
    roots = _roots(entries)

    def hold(value):
        return point.model, replace(roots, noise_variance=value**2)

    std = float(np.sqrt(point.noise_variance))
    least = float(np.sqrt(point.model.floor))
    return Parameter(std, std, least, np.inf, hold, *known)


def _of_effects(fit, p, effects, optimum):
    """Rows of the root of the user's effects of the term at position p, and the sizes
    of these effects in those of the search.
    """
    root = optimum.roots.fixed[p]
    F = fit.reduced.coordinates[p].basis[effects] * _kept(fit, p, root)
    return F @ root, np.linalg.norm(F, axis=1)


def _kept(fit, p, root):
    """Which effects of the search have a variance: not those whose variance is 0
    because the data do not tell it.
    """
    return fit.identified[fit.order[p]] | root.any(axis=1)


def _entries_of(fit, point, first):
    """The `Entries` of all terms in the order of elimination, the user's effects
    `first[t]` of term t being first in their block; and `optimum` and `resolved` of a
    `Parameter`.
    """
    std, found, fixed = np.sqrt(point.noise_variance), [], []
    terms = fit.order[: len(fit.factors)]
    for p, t in enumerate(terms):
        root = std * point.Lambdas[p]
        covariance = _ordered(fit.factors[t], first.get(t, ()), _kept(fit, p, root))
        axes, turned = np.eye(len(root)), root.copy()
        for block in map(list, covariance.blocks):
            ahead = [i for i in first.get(t, ()) if i in block]
            F = fit.reduced.coordinates[p].basis[np.ix_(ahead, block)]
            some = np.ix_(block, block)
            axes[some], turned[some] = _axes(F, root[some])
        rows, columns = covariance.entries
        A = np.zeros((len(rows), *root.shape))
        A[np.arange(len(rows)), :, columns] = axes.T[rows]
        found.append(Entries(rows, columns, A))
        fixed.append(turned)
    none = tuple(np.empty((0, *M.shape)) for M in fixed)
    resolved = tuple(
        std * np.sqrt(point.model.resolution(p)) for p in range(len(terms))
    )
    return found, HeldPoint(np.empty(0), Roots(tuple(fixed), none), point), resolved


def _axes(F, root):
    """Axes (columns) of the effects of a block, and its root, which is lower triangular
    along them: math.md (216).

    The user's effects with rows F (m, q), scaled, are the first coordinates; the others
    are principal axes of the rest.
    """
    m = len(F)
    F = F / np.linalg.norm(F, axis=1)[:, None]
    Q, R = np.linalg.qr(F.T, mode="complete")
    held, rest = Q[:, :m] @ np.linalg.inv(R[:m]).T, Q[:, m:]
    left = np.linalg.qr((np.vstack([F, rest.T]) @ root).T, mode="r").T[m:, m:]
    rest = rest @ np.linalg.svd(left)[0]
    lower = np.linalg.qr((np.vstack([F, rest.T]) @ root).T, mode="r").T
    axes = np.hstack([held, rest])
    return axes, axes @ (lower * np.where(np.diag(lower) < 0, -1.0, 1.0))


def _ordered(factor, first, kept):
    """The pattern of a factor's covariance, some effects being first in their block,
    without those that are not `kept`.
    """
    blocks = []
    for block in factor.blocks:
        ahead = [i for i in first if i in block]
        blocks.append((*ahead, *(i for i in block if kept[i] and i not in ahead)))
    return Covariance(len(kept), tuple(filter(None, blocks)))


def _roots(entries):
    """Roots of which these entries are free and all others are 0."""
    free = tuple(each.A for each in entries)
    return Roots(tuple(np.zeros(A.shape[1:]) for A in free), free)


# ------------------------------------------------------------------------ coefficients


def _coefficients(fit, point, asked):
    """The entries of `parameters_of` of coefficients that are estimable, by maximum
    likelihood, whatever the fit is by: math.md (134).
    """
    names = np.array(["intercept", *fit.names], dtype=object)[fit.entries]
    told = fit.estimable[fit.entries]
    wanted = [k for k, name in enumerate(names) if told[k] and name in asked]
    if not wanted:
        return
    if point.model.reml:
        model = replace(point.model, reml=False)
        best = best_optimum(model, fit.order, MAX_ITER)[0]
        if best.is_exact:
            return
        point = best.point
    J, offset = fit.columns.to_user(fit.fit_intercept)
    J, offset = J[int(not fit.fit_intercept) :], offset[int(not fit.fit_intercept) :]
    for k in wanted:
        make = partial(_coefficient, fit, point, J[k])
        yield names[k], (make, point.value, offset[k])


def _coefficient(fit, point, c):
    """The combination c'beta of the working coefficients."""
    entries, *known = _entries_of(fit, point, {})
    roots = _roots(entries)
    std = float(
        np.sqrt(point.noise_variance) * np.linalg.norm(c @ point.factor.root_inverse)
    )
    weight = EXACT * np.sqrt(point.noise_variance) / std

    def hold(value):
        row = weight * np.append(c, value)
        return replace(point.model, penalty=row[None]), roots

    estimate = float(c @ point.factor.beta)
    return Parameter(estimate, std, -np.inf, np.inf, hold, *known)


# ----------------------------------------------------------------------------- the ends


def interval(parameter, lowest, coverage):
    """The ends of the interval of a parameter: math.md (133).

    Parameters
    ----------
    parameter : Parameter
    lowest : float
        The deviance at the optimum.
    coverage : float
    """
    quantile = norm.isf(0.5 - coverage / 2)
    if parameter.ceiling - lowest <= quantile**2:
        return np.array([parameter.low, parameter.high])
    return np.array([_end(parameter, lowest, quantile, sign) for sign in (-1.0, 1.0)])


def _end(parameter, lowest, quantile, sign):
    """The value on one side of the estimate where the root of the rise of the deviance
    is the quantile, or the end of the range.
    """
    last = parameter.high if sign > 0 else parameter.low
    near, step = parameter.estimate, FIRST_STEP * parameter.unit
    solved = {near: parameter.optimum}

    def excess(value):
        return np.sqrt(_rise(parameter, solved, lowest, value)) - quantile

    if near == last:
        return last
    for _ in range(N_STEPS):
        far = near + sign * step
        far = last if (far - last) * sign >= 0 else far
        above, gone = excess(far), abs(far - parameter.estimate)
        if above >= 0:
            return root_between(excess, *sorted([near, far]), xtol=XTOL * gone)
        if far == last:
            return last
        left = -1.1 * gone * above / max(above + quantile, quantile / 100)
        near, step = far, float(np.clip(left, gone / 10, FARTHER * gone))
    return sign * np.inf


def _rise(parameter, solved, lowest, value):
    """The rise of the deviance where a value is held; the search starts from the
    nearest value of those that are `solved`.
    """
    near = min(solved, key=lambda known: abs(known - value))
    found = _best(parameter, value, solved[near])
    deviance = found.value
    if np.prod(np.sign(found.x[list(parameter.positive)])) < 0:
        deviance = parameter.ceiling
    else:
        solved[value] = found
    return max(min(deviance, parameter.ceiling) - lowest, 0.0)


def _best(parameter, value, known):
    """The lowest deviance with a parameter held, from a known `HeldPoint`."""
    model, roots = parameter.hold(value)
    start, scale = start_at(roots, known, parameter.resolved)
    metric = Arrow.dense(np.diag(1 / scale**2))

    def expand(at, near):
        try:
            gradient, hessian = derivatives(at)
        except np.linalg.LinAlgError:  # no step can be told: the search ends here
            return Quadratic(np.zeros(len(start)), metric, metric)
        return Quadratic(gradient, Arrow.dense(hessian), metric)

    evaluate = partial(evaluate_held, model, roots)
    if not len(start):  # all that a model without random effects has is held
        return evaluate(start)
    tol = max(TOL, STALLED * known.rounding)
    return minimise(evaluate, expand, start, tol=tol, max_iter=MAX_ITER).point


@np.errstate(over="ignore")
def start_at(roots, known, resolved):
    """The free parameters nearest to a known `HeldPoint`, none of them next to 0, and
    units in which a step is neither tiny nor huge: math.md (217).
    """
    x, scale = [], []
    terms = zip(known.M, roots.fixed, roots.free, resolved, strict=True)
    for M, fixed, A, least in terms:
        size = np.linalg.norm(A, axis=(1, 2))
        A = A / size[:, None, None]
        square, along = np.sum(fixed**2, axis=0), np.sum(fixed * M, axis=0)
        M = M * np.divide(square, along, out=np.ones(len(M)), where=along > 0)
        along_A = A.reshape(len(A), M.size).T
        found, *_ = np.linalg.lstsq(along_A, (M - fixed).ravel(), rcond=None)
        x.append(np.where(np.abs(found) < NUDGE * least, NUDGE * least, found) / size)
        std = np.linalg.norm(np.swapaxes(A, 1, 2) @ M, axis=(1, 2))
        scale.append(np.hypot(std, least) / size)
    if roots.noise_variance is None:
        x.append([np.log(known.point.noise_variance)])
        scale.append([1.0])
    scale = np.clip(np.concatenate(scale or [[]]), 1 / FARTHEST, FARTHEST)
    return np.concatenate(x or [[]]), scale
