"""The search for the best parameters of the heteroscedastic criterion
(docs/math.md, 9.6 to 9.8).

Newton's method from several starts, and the boundary psi = 0 decided by value.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from ._block_cholesky import absorb
from ._criterion import NO_GAIN, NO_GAIN_PER_ROW, RandomIntercept, best_ratio
from ._criterion import evaluate as evaluate_ratio
from ._gram import Gram, scale
from ._heteroscedastic_criterion import evaluate
from ._information import derivatives, expected_noise
from ._optimize import Minimum, newton

# Several optima are a matter of few rows, and many starts of much time with many.
MANY_STARTS = 50_000  # rows
AXIS_START = 2.0  # of the log-variance, in standard deviations of a column
# Where the ratio search finds no group variance, Newton's method starts from this part
# of the noise variance: from 0 it could only tell whether 0 is a local optimum.
LEAST_RATIO = 1e-3
# With many rows, psi = 0 is out of the question where the log-likelihood falls by this
# much for every parameter, with the others where they are.
FAR_FROM_ZERO = 100.0
LONGEST_STEP = 5.0  # of any row's log-variance
# Of the fit to expected squared noise, which only makes a start.
MOST_M_STEPS, LONGEST_M_STEP, M_STEP_TOL = 5, 2.0, 1e-1
# A Newton step of a group's log-variance above this part of the way to infinity, in
# units of the precision, is cut.
MOST_OF_PRECISION = 0.9
# When the ridge's kappa agrees with the variances, relatively; and tries to get there.
KAPPA_TOL, NEARLY_KAPPA, MOST_SECANTS = 1e-12, 1e-8, 25


@dataclass(frozen=True)
class Constant:
    """The best constant multiple of given variances.

    Attributes
    ----------
    log_variance : ndarray of shape (n,)
    noise_variance : float
        Its multiple.
    ratio : float
    identified : bool
        Whether the data tell the ratio.
    gram : Gram
        Of the rows under weights a / v, v the given variances.
    """

    log_variance: np.ndarray
    noise_variance: float
    ratio: float
    identified: bool
    gram: Gram


def best_constant(model, log_variance, floor=0.0, gram=None):
    """Scale and group variance at given variances: the random-intercept search.

    `gram` is that of the rows under weights a / v, if it is known.
    """
    rows = model.rows
    if gram is None:
        moments = rows.moments(rows.weight * np.exp(-log_variance), model.n_jobs)
        gram = rows.mean_columns.gram(moments)
    criterion = RandomIntercept(
        gram=gram,
        n=rows.n,
        reml=model.reml,
        floor=floor,
        penalty=model.penalty,
        logdet_basis=rows.mean_columns.logdet_basis,
    )
    if model.fixed:
        variance = max(_fixed_noise(model, criterion), floor)
        return Constant(log_variance, variance, 0.0, True, gram)
    ratio, identified = 0.0, True
    if model.random:
        optimum = best_ratio(criterion)
        ratio, identified = optimum.ratio, optimum.identified
    variance = evaluate_ratio(criterion, ratio).noise_variance
    return Constant(log_variance, variance, ratio, identified, gram)


def _fixed_noise(model, criterion):
    """Noise variance beside fixed effects of the groups."""
    if model.penalty is None:
        factor, free = absorb(criterion.gram), criterion.n
        if model.reml:
            free -= model.rows.n_groups + len(factor.root) - 1
        return factor.rss / free if free > 1e-12 * criterion.n else 0.0
    return evaluate_ratio(criterion, 1 / model.alpha).noise_variance


def start_at(model, constant, least_ratio=LEAST_RATIO):
    """theta at the best constant multiple of given variances."""
    rows, n_effects = model.rows, len(model.free)
    eta = constant.log_variance + np.log(constant.noise_variance)
    has_constant = rows.variance_columns.has_constant
    absorbed = n_effects > 0 and not has_constant
    effects = np.zeros(n_effects)
    if absorbed:
        eta, level = _within(rows, eta)
        effects = level[model.free]
    gamma = _project(model, eta)
    if absorbed:
        effects = effects - _within(rows, rows.log_variance(gamma))[1][model.free]
    theta = [effects, gamma]
    if model.random:
        psi = max(constant.ratio, least_ratio) * constant.noise_variance
        theta.append([psi])
    return np.concatenate(theta)


def _within(rows, values):
    """Values without the means of their groups, and those means."""
    size = np.bincount(rows.codes, rows.weight, rows.n_groups)
    mean = np.bincount(rows.codes, rows.weight * values, rows.n_groups) / size
    return values - mean[rows.codes], mean


def _project(model, eta):
    """gamma whose S gamma is closest to eta; the columns are orthonormal, times n."""
    rows, gamma = model.rows, np.zeros(len(model.variance_penalty))
    for _, slices in rows.runs(len(gamma)):
        for some in slices:
            gamma += rows.variance_rows(some).T @ (rows.weight[some] * eta[some])
    return gamma / rows.n


def _improved(model, theta, kappa, constant):
    """A start from the squared noise that the parameters `theta` leave.

    With its expectation held fixed, the log-variance is fitted to it: the M-step of an
    EM algorithm, by Fisher scoring.  It visits the columns of the log-variance only.
    The columns' part is for many rows, where it saves visits; elsewhere starts differ
    on purpose.
    """
    n_effects, n_variance = len(model.free), len(model.average)
    columns = len(model.rows.y) > MANY_STARTS
    if not (n_effects or columns):
        return theta
    gram = None
    has_constant = model.rows.variance_columns.has_constant
    if has_constant and np.ptp(constant.log_variance) == 0:  # theta is this constant
        gram = scale(constant.gram, 1 / constant.noise_variance)
    noise = expected_noise(model, evaluate(model, theta, kappa, gram))
    theta = theta.copy()
    for _ in range(MOST_M_STEPS if columns else 1):
        if n_effects:
            theta[:n_effects] += _effects_step(model, theta, noise)
        if not columns:
            break
        step = _columns_step(model, theta, noise)
        theta[n_effects:n_variance] += step
        if step @ step * model.rows.n < M_STEP_TOL:
            break
    return theta


def _effects_step(model, theta, noise):
    """To the effects on the log-variance that the noise calls for."""
    rows = model.rows
    ratio = noise * np.exp(-model.log_variance(theta))
    noise = np.bincount(rows.codes, ratio, rows.n_groups)[model.free]
    size = np.bincount(rows.codes, model.counted, rows.n_groups)[model.free]
    shrunk = size / (size + 2 * model.effect_penalty)
    return np.log(np.clip(noise / size, 1e-8, 1e8)) * shrunk


def _columns_step(model, theta, noise):
    """Fisher's step of gamma, short enough for no row to move far."""
    rows, gamma = model.rows, model.split(theta)[1]
    score = noise * np.exp(-model.log_variance(theta)) - model.counted
    gradient = np.zeros(len(gamma))
    for _, slices in rows.runs(len(gamma)):
        for some in slices:
            gradient += score[some] @ rows.variance_rows(some)
    information = 0.5 * rows.n * np.eye(len(gamma)) + model.variance_penalty
    right = 0.5 * gradient - model.variance_penalty @ gamma
    step = np.linalg.solve(information, right)
    longest = np.abs(rows.log_variance(step)).max()
    return step * min(1.0, LONGEST_M_STEP / max(longest, 1e-300))


def axis_starts(model, constant):
    """Variances that change along one column of the log-variance, up or down."""
    rows = model.rows
    columns = rows.variance_columns
    has_constant = columns.has_constant
    S = np.vstack([rows.variance_rows(s) for _, ss in rows.runs(1) for s in ss])
    S = S[:, has_constant:] @ np.linalg.pinv(columns.back[:, has_constant:])
    for s in S.T:
        deviation = s - np.average(s, weights=rows.weight)
        scale = np.sqrt(np.average(deviation**2, weights=rows.weight))
        if scale > 1e-8 * np.abs(s).max(initial=0.0):
            for sign in (1, -1):
                yield sign * AXIS_START * deviation / scale


# --------------------------------------------------------------------- Newton's method


def _direction(model, at):
    """Newton's step, or that of the expected information where it does not descend."""
    for expected in (False, True):
        gradient, information = derivatives(model, at, expected)
        if expected:
            information = padded(information)
        step = _bounded_step(model, at, gradient, information)
        if step is not None and np.isfinite(step).all() and gradient @ step <= 0:
            break
    else:
        step = -gradient
    return step, -(gradient @ step), information


def padded(information):
    """With something on the diagonal of parameters that have no information."""
    scale = np.abs(np.diag(information.corner)).max(initial=0.0) or 1.0
    corner = information.corner + 1e-9 * scale * np.eye(len(information.corner))
    diagonal = np.where(information.diagonal > 0, information.diagonal, 1.0)
    return replace(information, corner=corner, diagonal=diagonal)


def _bounded_step(model, at, gradient, information):
    """The step that minimises the quadratic model over psi >= 0; None if it has none."""
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
    others = information.without(information.border.shape[1] - 1)
    if not others.is_positive_definite():
        return None
    step[:-1] = -others.solve(pushed[:-1])
    return step


def _move(model, at, step, t):
    """theta at part t of a step.

    A group's effect moves as its precision does in a Newton step of its own, which is
    where it would go if it depended on nothing else: -log(1 - d) = d + O(d^2).
    """
    n_effects, n_variance = len(model.free), len(model.average)
    step = t * step
    longest = np.abs(model.rows.log_variance(step[n_effects:n_variance])).max()
    step = step * min(1.0, LONGEST_STEP / max(longest, 1e-300))
    theta = at.theta + step
    cut = np.minimum(step[:n_effects], MOST_OF_PRECISION)
    theta[:n_effects] = at.theta[:n_effects] - np.log1p(-cut)
    if model.random:
        theta[-1] = max(theta[-1], 0.0)
    return theta


def descend(model, theta, kappa, *, tol, max_iter):
    """A local optimum from a start."""
    return newton(
        partial(evaluate, model, kappa=kappa),
        partial(_direction, model),
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
        point = evaluate(model, start_at(model, constant, least_ratio=0.0))
        return Minimum(point, 0, 0.0, True)
    kappa = None
    if model.reml and model.penalty is not None:
        kappa = model.kappa(start_at(model, constant))
    run = partial(_from_start, kappa=kappa, tol=tol, max_iter=max_iter)
    best = run(model, constant)
    if len(model.rows.y) <= MANY_STARTS:
        for log_variance in axis_starts(model, constant):
            best = _better(best, run(model, best_constant(model, log_variance)))
    if model.random:
        best = _at_boundary(model, best, constant, kappa, tol=tol, max_iter=max_iter)
    if kappa is not None:
        best = _settle(model, best, kappa, tol=tol, max_iter=max_iter)
    return best


def _from_start(model, constant, *, kappa, tol, max_iter):
    theta = _improved(model, start_at(model, constant), kappa, constant)
    return descend(model, theta, kappa, tol=tol, max_iter=max_iter)


def _better(one, other):
    """The lower of two optima; a regular one, off the bounds, if there is one."""

    def rank(minimum):
        regular = minimum.converged and not minimum.point.kinked
        return not regular, minimum.point.value

    return other if rank(other) < rank(one) else one


def _at_boundary(model, best, constant, kappa, **options):
    """Decide by value between psi > 0 and psi = 0."""
    run = partial(_from_start, kappa=kappa, **options)
    theta = best.point.theta
    if theta[-1] == 0:
        log_variance = model.log_variance(theta)
        inside = best_constant(model, log_variance)
        return _better(best, run(model, inside)) if inside.ratio > 0 else best
    point = evaluate(model, np.append(theta[:-1], 0.0), kappa)
    far = point.value - best.point.value > FAR_FROM_ZERO * len(theta)
    if far and len(model.rows.y) > MANY_STARTS:
        return best
    without = replace(model, random=False)
    at_zero = _better(
        descend(without, theta[:-1], kappa, **options),
        run(without, best_constant(without, constant.log_variance)),
    )
    point = evaluate(model, np.append(at_zero.point.theta, 0.0), kappa)
    at_zero = replace(at_zero, point=point)
    gain = point.value - best.point.value
    if 0 <= gain <= NO_GAIN + NO_GAIN_PER_ROW * model.rows.n:
        return at_zero
    return _better(best, at_zero)


def _settle(model, best, kappa, *, tol, max_iter):
    """Let kappa be that of its own optimum (REML with a ridge).

    The ridge is then not the gradient of one function: at each kappa the criterion has
    an optimum, and the secant method finds the kappa that this optimum implies.
    """
    n_iter, past = best.n_iter, None
    for _ in range(MOST_SECANTS):
        gap = np.log(model.kappa(best.point.theta) / kappa)
        if abs(gap) <= KAPPA_TOL or not best.converged or best.point.kinked:
            break
        step = gap
        if past is not None and gap != past[1]:
            step = -gap * past[0] / (gap - past[1])
        step = float(np.clip(step, -LONGEST_STEP, LONGEST_STEP))
        past = step, gap
        kappa = kappa * np.exp(step)
        best = descend(model, best.point.theta, kappa, tol=tol, max_iter=max_iter)
        n_iter += best.n_iter
    converged = best.converged and abs(gap) <= NEARLY_KAPPA
    return replace(best, n_iter=n_iter, converged=converged)
