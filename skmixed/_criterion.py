"""The criterion of the random-intercept model as a function of one number
(docs/math.md, section 5).

With V = sigma^2 V0 the noise variance sigma^2 has a closed form at each variance ratio
lambda^2 = sigma_b^2 / sigma^2, so the search is over t = log(lambda^2) alone.  Only
`Gram` and its factor are used here; there is no row in sight.
"""

from dataclasses import dataclass, replace

import numpy as np

from ._block_cholesky import BlockCholesky, factorize
from ._gram import Gram, pool
from ._optimize import descending_roots, polish

# The variance ratio times the size of a group tells whether the criterion still
# depends on it: below the first figure it is that of ratio 0, and the second is the
# largest ratio that doubles can tell from infinity (a group spread of 1e16 sigma).
SMALLEST, LARGEST = 1e-10, 1e32
STEP = 1.0  # of log(ratio): two optima are never closer than a few units
FLAT = 1e-9  # a slope below this part of its terms is rounding
# A gain in -2 log-likelihood below this, absolute or per observation, is rounding.
NO_GAIN, NO_GAIN_PER_ROW = 1e-11, 1e-13

# Degrees of freedom, per observation, that rounding leaves of none.
LEAST_FREEDOM = 1e-12

# Work per evaluation (blocks times columns squared) up to which the exact criterion is
# scanned; above it group sizes are binned for the scan, and optima polished exactly.
EXACT_SCAN = 40_000
# Numbers in the blocks up to which several ratios are scanned at once, and the numbers
# in all of these together.
AT_ONCE, NUMBERS = 4_000, 32_000


@dataclass(frozen=True)
class RandomIntercept:
    """One random-intercept likelihood.

    Attributes
    ----------
    gram : Gram
        Of the working columns [X y], unweighted by the variance.
    n : float
        Number of observations, the sum of the sample weights.
    reml : bool
    floor : float
        The least noise variance, in the squared units of y.
    penalty : ndarray of shape (k, m) or None
        Rows of the ridge penalty, sqrt(alpha) times the coefficients in user's units.
    logdet_basis : float
        What to add to log|X'V^-1X| of the working columns for that of the user's.
    noise_variance : float or None
        None if it is not known, and profiled.
    """

    gram: Gram
    n: float
    reml: bool
    floor: float
    penalty: np.ndarray | None = None
    logdet_basis: float = 0.0
    noise_variance: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """The criterion at one variance ratio.

    Attributes
    ----------
    ratio : float
        lambda^2 = sigma_b^2 / sigma^2.
    factor : BlockCholesky
        At Lambda = lambda.
    noise_variance : float
        sigma^2, known or profiled, not below the floor.
    at_floor : bool
    rss : float
        Residual sum of squares in units of V0, without the penalty.
    """

    ratio: float
    factor: BlockCholesky
    noise_variance: float
    at_floor: bool
    rss: float


@dataclass(frozen=True)
class Optimum:
    """Where the criterion is best.

    Attributes
    ----------
    ratio : float
    identified : bool
        False where the criterion does not depend on the ratio; the ratio is then 0.
    n_evaluations : int
    """

    ratio: float
    identified: bool
    n_evaluations: int


def evaluate(model, ratio):
    """Factor and profiled noise variance at one variance ratio."""
    factor = factorize(model.gram, np.array([[np.sqrt(ratio)]]), model.penalty)
    rss = factor.rss
    if model.penalty is not None:
        data_rows = [model.gram.R22 @ factor.contrast, factor.rows @ factor.contrast]
        rss = sum(np.sum(rows**2) for rows in data_rows)
    variance = model.noise_variance
    if variance is None:
        total = rss if model.reml else factor.rss
        freedom = degrees_of_freedom(model, factor)
        variance = total / freedom if _has_freedom(model, freedom) else 0.0
    at_floor = not variance > model.floor
    variance = max(variance, model.floor)
    return Evaluation(ratio, factor, variance, at_floor, rss)


def degrees_of_freedom(model, factor):
    """n for ML; for REML n less the effective number of coefficients.

    That number is the trace of the hat matrix: all the coefficients, less what the
    penalty's own rows take of them.
    """
    if not model.reml:
        return model.n
    free = model.n - (len(factor.root) - 1)
    if model.penalty is not None:
        free += np.sum((model.penalty[:, :-1] @ factor.root_inverse) ** 2)
    return free


def _has_freedom(model, freedom):
    return freedom > LEAST_FREEDOM * model.n


def slope(model, at):
    """d(-2 log-likelihood) / d log(ratio), and the sum of its positive terms.

    With H_g = C_g^-1 K_g, the three terms of a group are those of log|V|, of the
    residuals and (REML only) of log|X'V^-1X|.
    """
    H, factor = np.swapaxes(at.factor.H, 1, 2), at.factor
    rows = (H @ factor.rows).reshape(-1, factor.rows.shape[2])
    logdet = model.gram.multiplicity @ np.sum(H**2, axis=(1, 2))
    value = logdet - np.sum((rows @ factor.contrast) ** 2) / at.noise_variance
    if model.reml:
        value -= np.sum((rows[:, :-1] @ factor.root_inverse) ** 2)
    return value, logdet


def slopes(model, ratios):
    """`slope` at many ratios, all at once: where groups are few, calls cost most.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratios : ndarray of shape (n_ratios,)

    Returns
    -------
    value, scale, at_floor : ndarray of shape (n_ratios,)
        The last is whether the noise variance is at its floor.
    """
    gram, m = model.gram, model.gram.R12.shape[2]
    K = np.sqrt(ratios)[:, None] * gram.R11[:, 0, 0]
    C = np.sqrt(1 + K**2)
    H, rows = K / C, gram.R12[:, 0] / C[:, :, None]
    missing = max(m - len(gram.R12) - len(gram.R22), 0)  # for a square root
    fixed = np.vstack([gram.R22, np.zeros((missing, m))])
    fixed = np.broadcast_to(fixed, (len(ratios), *fixed.shape))
    root = np.linalg.qr(np.concatenate([fixed, rows], axis=1), mode="r")
    beta = np.linalg.solve(root[:, :-1, :-1], root[:, :-1, -1:])
    freedom = model.n - (m - 1) * model.reml
    variance = np.full(len(ratios), model.noise_variance or 0.0)
    if model.noise_variance is None and _has_freedom(model, freedom):
        variance = root[:, -1, -1] ** 2 / freedom
    pulled = H[:, :, None] * rows
    residual = pulled[:, :, -1] - (pulled[:, :, :-1] @ beta)[:, :, 0]
    logdet = H**2 @ gram.multiplicity
    value = logdet - np.sum(residual**2, axis=1) / np.maximum(variance, model.floor)
    if model.reml:
        # NumPy 1 takes a matrix beside a stack of them for a stack of vectors.
        eye = np.broadcast_to(np.eye(m - 1), (len(ratios), m - 1, m - 1))
        inverse = np.linalg.solve(root[:, :-1, :-1], eye)
        value -= np.sum((pulled[:, :, :-1] @ inverse) ** 2, axis=(1, 2))
    return value, logdet, ~(variance > model.floor)


def deviance(model, at):
    """-2 log-likelihood at one ratio, constants and user's units included.

    The penalty is left out; under REML the coefficients' information includes it.
    """
    log_variance = np.log(at.noise_variance)
    value = model.n * (np.log(2 * np.pi) + log_variance) + at.factor.logdet
    value += at.rss / at.noise_variance
    if model.reml:
        rank = len(at.factor.root) - 1
        value -= rank * (np.log(2 * np.pi) + log_variance)
        value += at.factor.logdet_x + model.logdet_basis
    return value


def best_ratio(model):
    """The variance ratio at the global optimum of the criterion.

    Every local optimum is bracketed by a scan of the slope, found to full precision,
    and compared by value with the others and with ratio 0, where the slope only tells
    whether 0 is a local optimum.
    """
    exact = replace(model, gram=pool(model.gram))
    if not _has_freedom(model, degrees_of_freedom(model, evaluate(exact, 0.0).factor)):
        return Optimum(0.0, False, 1)  # nothing but rounding is left of y
    scanned = exact
    resolution = 0.02
    while _work(scanned) > EXACT_SCAN and resolution < 0.5:
        scanned = replace(model, gram=pool(exact.gram, resolution))
        resolution *= 2
    counter = _CountedSlope(scanned)
    grid = ratio_grid(model.gram)
    roots = descending_roots(counter, grid, counter.scan(grid))
    if counter.flat:
        return Optimum(0.0, False, counter.count)
    if scanned is not exact:
        counter = _CountedSlope(exact, counter.count)
        roots = [polish(counter, root, grid[0], grid[-1]) for root in roots]
    best, best_gain = 0.0, NO_GAIN + NO_GAIN_PER_ROW * model.n
    for root in roots:
        gain = _gain(exact, counter, grid[0], root)
        if gain > best_gain:
            best, best_gain = float(np.exp(root)), gain
    return Optimum(best, True, counter.count)


def _gain(model, slope_at, start, root):
    """How much lower the deviance is at log-ratio `root` than at ratio 0.

    A ridge penalty under REML gives estimating equations that are not the gradient of
    one function; optima are then compared by the integral of the slope between them.
    """
    if model.reml and model.penalty is not None:
        return -_integral(slope_at, start, root)
    at_zero, at_root = evaluate(model, 0.0), evaluate(model, np.exp(root))
    return _penalised(model, at_zero) - _penalised(model, at_root)


def _integral(function, start, end):
    """Gauss-Legendre integral with 8 nodes a unit, the scale of the function."""
    nodes, weights = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(start, end, int(np.ceil(end - start)) + 1)
    half = (edges[1] - edges[0]) / 2
    values = [function(t + half * x) for t in edges[:-1] + half for x in nodes]
    return half * np.tile(weights, len(edges) - 1) @ values


def _penalised(model, at):
    """The deviance with the penalty that ML minimises."""
    penalty = at.factor.rss - at.rss
    return deviance(model, at) + penalty / at.noise_variance


class _CountedSlope:
    """The slope as a function of log(ratio), which remembers what it has seen."""

    def __init__(self, model, count=0):
        self.model, self.count, self.flat = model, count, True

    def __call__(self, t):
        at = evaluate(self.model, np.exp(t))
        value, scale = slope(self.model, at)
        self.count += 1
        # At the floor the criterion only says how little noise there is room for.
        self.flat &= at.at_floor or abs(value) <= FLAT * scale
        return value

    def scan(self, grid):
        """Its values at all points of a grid."""
        model = self.model
        n_numbers = model.gram.R12.size + model.gram.R22.size
        if model.penalty is not None or n_numbers > AT_ONCE:
            return np.array([self(t) for t in grid])
        some = np.array_split(np.exp(grid), -(-len(grid) * n_numbers // NUMBERS))
        found = zip(*(slopes(model, ratios) for ratios in some), strict=True)
        value, scale, at_floor = map(np.concatenate, found)
        rounded = at_floor | (np.abs(value) <= FLAT * scale)
        self.count += int(np.sum(~rounded))
        self.flat &= bool(rounded.all())
        # Signs of rounding have to be those that a search between them will see.
        value[rounded] = [self(t) for t in grid[rounded]]
        return value


def ratio_grid(gram):
    """Logarithms of all ratios that doubles can tell apart, with a step of `STEP`."""
    size = gram.R11[:, 0, 0] ** 2
    low, high = np.log(SMALLEST / size.max()), np.log(LARGEST / size.min())
    return np.linspace(low, high, int(np.ceil((high - low) / STEP)) + 1)


def _work(model):
    return len(model.gram.R12) * model.gram.R12.shape[2] ** 2
