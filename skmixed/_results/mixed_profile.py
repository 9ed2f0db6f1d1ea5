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
from .._likelihood.held import Roots, derivatives, evaluate_held
from .._search.mixed import best_optimum
from .._search.roots import root_between
from .._search.trust_region import Quadratic, minimise
from .profile import read_parameters

# A step whose decrement is below this, in units of the deviance, is the last one.
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
    start : ndarray of shape (n,)
        The free parameters at the optimum.
    scale : ndarray of shape (n,)
        Units in which a step of these is neither tiny nor huge.
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
    start: np.ndarray
    scale: np.ndarray
    positive: tuple = ()
    ceiling: float = np.inf


@dataclass(frozen=True)
class Entries:
    """Free entries of the root of one term's covariance, in the user's units.

    Attributes
    ----------
    rows, columns : ndarray of shape (k,)
    A : ndarray of shape (k, q, q)
        The derivatives of the root in the effects of the search.
    x, scale : ndarray of shape (k,)
        Values at the optimum, and units.
    """

    rows: np.ndarray
    columns: np.ndarray
    A: np.ndarray
    x: np.ndarray
    scale: np.ndarray

    def place(self, row, column):
        """The position of an entry."""
        return int(np.flatnonzero((self.rows == row) & (self.columns == column))[0])

    def without(self, *places):
        """The other entries."""
        figures = self.rows, self.columns, self.A, self.x, self.scale
        return Entries(*(np.delete(each, places, axis=0) for each in figures))


def mixed_profile_intervals(fit, coverage, parameters=None):
    """Intervals of all parameters, or of those that are asked for.

    Parameters
    ----------
    fit : LinearMixedFit
        Without a penalty.
    coverage : float
    parameters : str or sequence of str, default=None
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
    solved, rises = {parameter.estimate: parameter.start}, np.empty(len(values))
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
    p, entries = fit.order.index(t), _entries_of(fit, point, {t: (i,)})
    place = entries[p].place(i, i)
    A, estimate = entries[p].A[place], float(entries[p].x[place])
    entries[p] = entries[p].without(place)
    roots = _roots(entries)

    def hold(value):
        fixed = list(roots.fixed)
        fixed[p] = value * A
        return point.model, replace(roots, fixed=tuple(fixed))

    unit = max(estimate, float(_resolved(fit, point, p)[i]))
    return Parameter(estimate, unit, 0.0, np.inf, hold, *_start(entries, point))


def _correlation(fit, point, t, i, j):
    """The correlation of effects i and j of term t."""
    p, entries = fit.order.index(t), _entries_of(fit, point, {t: (i, j)})
    own = entries[p]
    along, across = own.place(j, i), own.place(j, j)
    A, B = own.A[along], own.A[across]
    size = float(np.hypot(own.x[along], own.x[across]))
    estimate = float(np.clip(own.x[along] / size, -1, 1)) if size > 0 else 0.0
    # One entry, the standard deviation of effect j, is in the place of the two.
    x, rest = own.x.copy(), own.without(across)
    x[along] = size
    entries[p] = replace(rest, x=np.delete(x, across))
    roots, before = _roots(entries), sum(len(each.x) for each in entries[:p])

    def hold(value):
        free = list(roots.free)
        free[p] = free[p].copy()
        free[p][along] = value * A + np.sqrt(1 - value**2) * B
        return point.model, replace(roots, free=tuple(free))

    none = [_std(fit, point, t, effect) for effect in (i, j)]
    return Parameter(
        *(estimate, 1.0, -1.0, 1.0, hold, *_start(entries, point)),
        positive=(before + rest.place(i, i), before + along),
        ceiling=min(_best(std, 0.0, std.start).value for std in none),
    )


def _noise(fit, point):
    """The standard deviation of the noise."""
    entries = _entries_of(fit, point, {})
    roots, (x, scale) = _roots(entries), _start(entries, point)

    def hold(value):
        return point.model, replace(roots, noise_variance=value**2)

    std = float(np.sqrt(point.noise_variance))
    least = float(np.sqrt(point.model.floor))
    return Parameter(std, std, least, np.inf, hold, x[:-1], scale[:-1])


def _entries_of(fit, point, first):
    """The `Entries` of all terms in the order of elimination; the effects `first[t]` of
    term t are the first ones of their block.  Effects whose variance is 0 because the
    data do not tell it have none.
    """
    found = []
    for p, t in enumerate(fit.order[: len(fit.factors)]):
        kept = fit.identified[t] | (np.diag(fit.covariances[t]) > 0)
        covariance = _ordered(fit.factors[t], first.get(t, ()), kept)
        coordinates, Lambda = fit.reduced.coordinates[p], point.Lambdas[p]
        rows, columns = covariance.entries
        A = np.zeros((len(rows), covariance.q, covariance.q))
        A[np.arange(len(rows)), rows, columns] = 1.0
        Psi = point.noise_variance * coordinates.covariance(Lambda)
        M = covariance.root(Psi)
        scale = np.hypot(_resolved(fit, point, p), np.linalg.norm(M, axis=1))
        A = np.linalg.inv(coordinates.basis) @ A
        entries = Entries(rows, columns, A, covariance.pack(M), scale[rows])
        found.append(entries.without(np.flatnonzero(~kept[rows])))
    return found


def _ordered(factor, first, kept):
    """The pattern of a factor's covariance, some effects being first in their block and
    those that are not `kept` last.
    """
    blocks = []
    for block in factor.blocks:
        ahead = tuple(i for i in first if i in block)
        rest = sorted(set(block) - set(ahead), key=lambda i: (not kept[i], i))
        blocks.append((*ahead, *rest))
    return Covariance(len(factor.effects), tuple(blocks))


def _resolved(fit, point, p):
    """The standard deviations of the effects of the term at position p, in the user's
    units, that an average level tells no better than its own noise.
    """
    of_search = np.sqrt(point.noise_variance * point.model.resolution(p))
    return of_search * np.linalg.norm(fit.reduced.coordinates[p].basis, axis=1)


def _roots(entries):
    """Roots of which these entries are free and all others are 0."""
    free = tuple(each.A for each in entries)
    return Roots(tuple(np.zeros(A.shape[1:]) for A in free), free)


def _start(entries, point):
    """The free parameters at the optimum, log sigma^2 the last, and their units."""
    x = [*(each.x for each in entries), [np.log(point.noise_variance)]]
    scale = [*(each.scale for each in entries), [1.0]]
    return np.concatenate(x), np.concatenate(scale)


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
        point = best_optimum(model, fit.order, MAX_ITER)[0].point
    J, offset = fit.columns.to_user(fit.fit_intercept)
    J, offset = J[int(not fit.fit_intercept) :], offset[int(not fit.fit_intercept) :]
    for k in wanted:
        make = partial(_coefficient, fit, point, J[k])
        yield names[k], (make, point.value, offset[k])


def _coefficient(fit, point, c):
    """The combination c'beta of the working coefficients."""
    entries = _entries_of(fit, point, {})
    roots = _roots(entries)
    std = float(
        np.sqrt(point.noise_variance) * np.linalg.norm(c @ point.factor.root_inverse)
    )
    weight = EXACT * np.sqrt(point.noise_variance) / std

    def hold(value):
        row = weight * np.append(c, value)
        return replace(point.model, penalty=row[None]), roots

    estimate, start = float(c @ point.factor.beta), _start(entries, point)
    return Parameter(estimate, std, -np.inf, np.inf, hold, *start)


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
    solved = {near: parameter.start}

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
        solved[value] = found.x
    return max(min(deviance, parameter.ceiling) - lowest, 0.0)


def _best(parameter, value, start):
    """The lowest deviance with a parameter held."""
    model, roots = parameter.hold(value)
    scale = parameter.scale
    metric = Arrow.dense(np.diag(1 / scale**2))

    def expand(at, near):
        gradient, hessian = derivatives(at)
        return Quadratic(gradient, Arrow.dense(hessian), metric)

    start = np.where(np.abs(start) < NUDGE * scale, NUDGE * scale, start)
    evaluate = partial(evaluate_held, model, roots)
    if not len(start):  # all that a model without random effects has is held
        return evaluate(start)
    return minimise(evaluate, expand, start, tol=TOL, max_iter=MAX_ITER).point
