"""Where the search for the best parameters starts (docs/math.md, 9.7)."""

from dataclasses import dataclass

import numpy as np

from ._block_cholesky import absorb
from ._criterion import RandomIntercept, best_ratio
from ._criterion import evaluate as evaluate_ratio
from ._gram import Gram, scale
from ._heteroscedastic_criterion import evaluate
from ._information import expected_noise

# From so many rows on there is one start: several optima are a matter of few rows.
MANY_ROWS = 50_000
AXIS_START = 2.0  # of the log-variance, in standard deviations of a column
MOST_AXES = 10  # columns that starts are made along
LEAST_SPREAD = 1e-8  # of a column, relative to its size, less is constant
# Where the ratio search finds no group variance, Newton's method starts from this part
# of the noise variance: from 0 it could only tell whether 0 is a local optimum.
LEAST_RATIO = 1e-3
# Of the fit to expected squared noise, which only makes a start.
MOST_M_STEPS, LONGEST_M_STEP, M_STEP_TOL = 5, 2.0, 1e-1


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


def improved(model, theta, kappa, constant):
    """A start from the squared noise that the parameters `theta` leave.

    With its expectation held fixed, the log-variance is fitted to it: the M-step of an
    EM algorithm, by Fisher scoring.  It visits the columns of the log-variance only.
    The columns' part is for many rows, where it saves visits; elsewhere starts differ
    on purpose.
    """
    n_effects, n_variance = len(model.free), len(model.average)
    columns = len(model.rows.y) > MANY_ROWS
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
    """Variances that change along one column of the log-variance, up or down.

    Of many columns, those that the squared noise of the constant model follows most.
    """
    rows, found = model.rows, []
    for axis in model.axes.T:
        s = rows.log_variance(axis)
        deviation = s - np.average(s, weights=rows.weight)
        spread = np.sqrt(np.average(deviation**2, weights=rows.weight))
        if spread > LEAST_SPREAD * np.abs(s).max(initial=0.0):
            found.append(deviation / spread)
    if len(found) > MOST_AXES:
        point = evaluate(model, start_at(model, constant))
        noise = expected_noise(model, point) * point.w / rows.weight - model.counted
        order = np.argsort([-abs(s @ noise) for s in found], kind="stable")
        found = [found[i] for i in order[:MOST_AXES]]
    for s in found:
        yield AXIS_START * s
        yield -AXIS_START * s
