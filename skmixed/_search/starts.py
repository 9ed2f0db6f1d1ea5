"""Where the search for the best parameters starts (docs/math.md, 9.7)."""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.factor import absorb
from .._likelihood.one_variance import RandomIntercept
from .._likelihood.one_variance import evaluate as evaluate_ratio
from .._likelihood.residuals import expected_noise, spread_within_groups, unbiased_noise
from .._likelihood.row_variances import evaluate, gram_at
from .._rows.gram import Gram, scale
from .._rows.grouped import Trend
from .ratio import best_ratio

# From so many rows on there is one start: several optima are a matter of few rows.
MANY_ROWS = 50_000
# Up to so many, groups that have variances of their own make starts as well.
FEW_ROWS = 10_000
AXIS_START = 2.0  # of the log-variance, in standard deviations of a column
# How much less the log-variance of a group is that tells the mean: its own follows.
GROUP_START = 5.0
FARTHEST_START = 46.0  # of the log-variance of a row: as far apart as bounds are
MOST_AXES = 10  # columns, and groups, that starts are made along
LEAST_SPREAD = 1e-8  # of a column, relative to its size, less is constant
# Where the ratio search finds no group variance, Newton's method starts from this part
# of the noise variance: from 0 it could only tell whether 0 is a local optimum.
LEAST_RATIO = 1e-3
FAR_APART = 1e4  # group variance, in units of the noise
UNBOUNDED = (-np.inf, np.inf)
# Of the fit to squared residuals, which only makes a start.
MOST_SCORINGS, LONGEST_SCORING, SCORING_TOL = 5, 2.0, 1e-1


@dataclass(frozen=True)
class Constant:
    """The best constant multiple of given variances.

    Attributes
    ----------
    trend : Trend
        The logarithms of the given variances.
    noise_variance : float
        Their multiple.
    ratio : float
    identified : bool
        Whether the data tell the ratio.
    gram : Gram
        Of the rows under weights a / v, v the given variances.
    """

    trend: Trend
    noise_variance: float
    ratio: float
    identified: bool
    gram: Gram


def best_constant(model, trend, floor=None, gram=None, noise_variance=None):
    """Scale and group variance at given variances: the random-intercept search.

    Parameters
    ----------
    floor : float, default=None
        The least scale, of which rounding may leave less; by default that of the bounds
        on the log-variance, for variances that are about 1.
    gram : Gram, default=None
        Of the rows under weights a / v, if it is known.
    noise_variance : float, default=None
        The scale, if it is known.
    """
    floor = np.exp(model.log_bounds[0]) if floor is None else floor
    if gram is None:
        gram = gram_at(model, trend)
    criterion = replace(_of_ratio(model, gram, floor), noise_variance=noise_variance)
    if model.fixed:
        variance = max(_fixed_noise(model, criterion), floor)
        return Constant(trend, variance, 0.0, True, gram)
    ratio, identified = 0.0, True
    if model.random:
        optimum = best_ratio(criterion)
        ratio, identified = optimum.ratio, optimum.identified
    variance = evaluate_ratio(criterion, ratio).noise_variance
    return Constant(trend, variance, ratio, identified, gram)


def _of_ratio(model, gram, floor):
    """The criterion of the ratio at given variances."""
    return RandomIntercept(
        gram=gram,
        n=model.rows.n,
        reml=model.reml,
        floor=floor,
        penalty=model.penalty,
        logdet_basis=model.rows.mean_columns.logdet_basis,
    )


def far_apart(model, constant):
    """Groups that differ as much as all rows do; the noise is what is left in them."""
    criterion = _of_ratio(model, constant.gram, np.exp(model.log_bounds[0]))
    total = evaluate_ratio(criterion, 0.0).noise_variance
    within = evaluate_ratio(criterion, FAR_APART).noise_variance
    return replace(constant, noise_variance=within, ratio=total / within)


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
    rows, n_effects, trend = model.rows, len(model.free), constant.trend
    trend = replace(trend, offset=trend.offset + np.log(constant.noise_variance))
    absorbed = n_effects > 0 and not rows.variance_columns.has_constant
    effects = np.zeros(n_effects)
    if absorbed:
        level = group_means(rows, trend)
        trend, effects = trend.around(level), level[model.free]
    elif n_effects and trend.delta is not None:
        trend, effects = replace(trend, delta=None), trend.delta[model.free]
    gamma = rows.reduce(_projection, trend) / rows.n
    if absorbed:
        effects = effects - group_means(rows, Trend(gamma))[model.free]
    theta = [effects, gamma]
    if model.random:
        psi = max(constant.ratio, least_ratio) * constant.noise_variance
        theta.append([psi])
    return np.concatenate(theta)


def group_means(rows, trend):
    """Weighted mean of a log-variance in every group."""
    return rows.reduce(_group_sums, trend).values / rows.size


def _group_sums(part, trend):
    value = np.empty(len(part.y))
    for rows, _, eta in part.visit(trend):
        value[rows] = part.weight[rows] * eta
    return part.by_group(value)


def _projection(part, trend):
    """n gamma whose S gamma is closest to the trend; S has orthonormal columns, times
    n.
    """
    total = np.zeros(len(trend.gamma))
    for rows, S, eta in part.visit(trend):
        total += S.T @ (part.weight[rows] * eta)
    return total


def largest(part, trend):
    """The largest absolute value of a log-variance."""
    return max(np.abs(eta).max() for _, _, eta in part.visit(trend))


def improved(model, theta, kappa, constant):
    """A start from the squared residuals that the parameters `theta` leave.

    With these held fixed, the log-variance is fitted to them, by Fisher scoring, which
    visits the columns of the log-variance only.  The columns' part is for many rows,
    where it saves visits; elsewhere starts differ on purpose.
    """
    n_effects, n_variance = len(model.free), len(model.average)
    columns = model.rows.n_rows > MANY_ROWS
    if not (n_effects or columns):
        return theta
    gram = None
    has_constant = model.rows.variance_columns.has_constant
    if has_constant and constant.trend.is_constant:  # theta is this constant
        gram = scale(constant.gram, 1 / constant.noise_variance)
    told = _told_of_noise(model, evaluate(model, theta, kappa, gram))
    theta = theta.copy()
    for _ in range(MOST_SCORINGS if columns else 1):
        if n_effects:
            theta[:n_effects] += _effects_step(model, theta, told)
        if not columns:
            break
        step = _columns_step(model, theta, told)
        theta[n_effects:n_variance] += step
        if step @ step * model.rows.n < SCORING_TOL:
            break
    return theta


def _told_of_noise(model, point):
    """What `unbiased_noise` has of every row; with effects of groups, whose rows have
    other variances than those at the point, the expected noise and its weight, such
    that a step to what that calls for is an M-step of EM.
    """
    if not len(model.free):
        return unbiased_noise(model, point)
    reml = model.reml and model.rows.n_rows <= MANY_ROWS
    return model.rows.map(_beside_counted, expected_noise(model, point, reml))


def _beside_counted(part, noise):
    return noise, part.counted(slice(None))


def _effects_step(model, theta, told):
    """To the effects on the log-variance that the noise calls for."""
    rows, trend = model.rows, model.trend(theta, UNBOUNDED)
    noise = rows.reduce(_noise_ratio, trend, told).values[model.free]
    size = rows.reduce(_counted_size).values[model.free]
    shrunk = size / (size + 2 * model.effect_penalty)
    return np.log(np.clip(noise / size, 1e-8, 1e8)) * shrunk


def _noise_ratio(part, trend, told):
    noise, _ = told
    ratio = np.empty(len(noise))
    for rows, _, eta in part.visit(trend):
        ratio[rows] = noise[rows] * np.exp(-eta)
    return part.by_group(ratio)


def _counted_size(part):
    return part.by_group(part.counted(slice(None)))


def _columns_step(model, theta, told):
    """Fisher's step of gamma, short enough for no row to move far."""
    rows, gamma = model.rows, model.split(theta)[1]
    trend = model.trend(theta, UNBOUNDED)
    *gradient, counted = rows.reduce(_noise_score, trend, told)
    information = 0.5 * counted * np.eye(len(gamma)) + model.variance_penalty
    right = 0.5 * np.array(gradient) - model.variance_penalty @ gamma
    step = np.linalg.solve(information, right)
    longest = model.farthest @ np.abs(step)  # at most
    if longest > LONGEST_SCORING:
        longest = rows.reduce(largest, Trend(step), join=max)
    return step * min(1.0, LONGEST_SCORING / max(longest, 1e-300))


def _noise_score(part, trend, told):
    (noise, counted), total = told, np.zeros(len(trend.gamma))
    for rows, S, eta in part.visit(trend):
        total += (noise[rows] * np.exp(-eta) - counted[rows]) @ S
    return np.append(total, counted.sum())


def axis_starts(model, constant):
    """Variances that change along one column of the log-variance, up or down.

    Of many columns, those that the squared noise of the constant model follows most.
    """
    rows, axes = model.rows, model.axes
    mean = rows.reduce(_axis_sums, axes) / rows.n
    spread = np.sqrt(rows.reduce(_axis_squares, axes, mean) / rows.n)
    largest = rows.reduce(_axis_extremes, axes, join=np.maximum)
    varies = spread > LEAST_SPREAD * largest
    axes, mean = axes[:, varies] / spread[varies], mean[varies] / spread[varies]
    farthest = largest[varies] / spread[varies] + np.abs(mean)
    order = np.arange(len(mean))
    if len(order) > MOST_AXES:
        point = evaluate(model, start_at(model, constant))
        noise = expected_noise(model, point, model.reml)
        trend = model.trend(point.theta)
        pull = np.abs(rows.reduce(_axis_pull, trend, noise, axes, mean))
        order = np.argsort(-pull, kind="stable")[:MOST_AXES]
    for i in order:
        reach = min(AXIS_START, FARTHEST_START / farthest[i])
        for length in (reach, -reach):
            yield Trend(length * axes[:, i], offset=-length * mean[i])


def group_starts(model, constant):
    """Variances of which one group has little, so that it tells the mean: of many
    groups, those whose rows are most alike.
    """
    point = evaluate(model, start_at(model, constant))
    spread = spread_within_groups(model, point)[model.free]
    for i in np.argsort(spread, kind="stable")[:MOST_AXES]:
        delta = np.zeros(model.rows.n_groups)
        delta[model.free[i]] = -GROUP_START
        yield Trend(np.zeros(len(model.farthest)), delta)


def _axis_sums(part, axes):
    total = np.zeros(axes.shape[1])
    for rows in part.blocks(len(axes)):
        total += part.weight[rows] @ (part.variance_rows(rows) @ axes)
    return total


def _axis_squares(part, axes, mean):
    total = np.zeros(axes.shape[1])
    for rows in part.blocks(len(axes)):
        total += part.weight[rows] @ (part.variance_rows(rows) @ axes - mean) ** 2
    return total


def _axis_extremes(part, axes):
    largest = np.zeros(axes.shape[1])
    for rows in part.blocks(len(axes)):
        values = np.abs(part.variance_rows(rows) @ axes)
        largest = np.maximum(largest, values.max(axis=0))
    return largest


def _axis_pull(part, trend, noise, axes, mean):
    total = np.zeros(axes.shape[1])
    for rows, S, eta in part.visit(trend):
        score = noise[rows] * np.exp(-np.clip(eta, *trend.bounds)) - part.counted(rows)
        total += score @ (S @ axes - mean)
    return total
