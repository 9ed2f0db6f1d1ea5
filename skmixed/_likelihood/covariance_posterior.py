"""The posterior distribution of the covariances of a linear mixed model, on nodes
(docs/math.md, section 14.1).

With several variances the integral has more than one dimension.  Its nodes are
quasi-random points of a t distribution that is like the posterior, and a node's
probability is the ratio of the two densities (importance sampling).  The points are
always the same ones, so that an interval has no noise of its own.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from itertools import combinations

import numpy as np
from scipy.special import chdtri, ndtri
from scipy.stats.qmc import Sobol

from .._input.blocks import slices_of
from .._rows.gram import Gram
from .._rows.modelled_noise import ModelledNoiseRows
from .mixed import LinearMixed, evaluate, second
from .mixture import Components
from .modelled_noise import WIDEST, ModelledNoise, second_of_all
from .node_densities import log_densities_of_one
from .noise_densities import log_densities, whole_rows

# Nodes of the distribution that is adapted, and of the one that is kept.
N_NODES = 128
# Degrees of freedom of the t distribution of the nodes: its tails are heavier.
TAILS = 5.0
# The nodes are adapted at most so often.
MOST_ROUNDS = 4
# The effective fraction of the nodes from which on they are not adapted.
EFFECTIVE = 0.4
# Newton's steps to the mode.
MOST_STEPS = 30
# Parts of a step that are tried.
SHARES = 0.5 ** np.arange(8)
# A step changes no coordinate by more.
LONGEST = 3.0
# The mode is known where a step promises less than half of this in the log-density: it
# is the centre of nodes, and no more.
CLOSE = 1e-3
# Step of second differences, of the order of the root of a posterior variance.
STEP = 0.1
# The least curvature of the log-density in a direction: its standard deviation is not
# more than 3, of a log-variance or of Fisher's z.
LEAST_CURVATURE = 1 / 9
# Coordinates are kept within so much of the start: exp(30) is as good as infinite.
FARTHEST = 30.0
# The largest size of a correlation at the start of the search for the mode.
CORRELATED = 0.9
# Components of less probability than this are left out.
NEGLIGIBLE = 1e-7
# Step of a complex derivative, whose error is its square.
COMPLEX_STEP = 1e-20
# More dimensions would need more nodes.
MOST_PARAMETERS = 10
NOWHERE = (
    "distribution='integrated' has no answer: the information about the variances is "
    "singular at all values that were tried, as where the weights sum to hardly more "
    "than the number of coefficients. Use distribution='normal'."
)


def _root(theta, m):
    """The root of covariances from their coordinates (..., k): math.md (140)."""
    std, z = np.exp(theta[..., :m]), np.tanh(theta[..., m:])
    L = np.zeros((*theta.shape[:-1], m, m), dtype=theta.dtype)
    k = 0
    for i in range(m):
        left = np.ones_like(theta[..., 0])
        for j in range(i):
            L[..., i, j] = z[..., k] * np.sqrt(left)
            left = left * (1 - z[..., k]) * (1 + z[..., k])
            k += 1
        L[..., i, i] = np.sqrt(left)
    return std[..., None] * L


def _partial(L):
    """Fisher's z of the partial correlations of a correlation matrix L L'."""
    found = []
    for i in range(1, len(L)):
        left = 1.0
        for j in range(i):
            found.append(np.arctanh(L[i, j] / np.sqrt(left)))
            left -= L[i, j] ** 2
    return np.array(found)


@dataclass(frozen=True)
class Parameters:
    """The parameters of a likelihood, but for the coefficients and the noise variance:
    gamma, logarithms of standard deviations, and Fisher's z of partial correlations.

    Attributes
    ----------
    model : LinearMixed
        By REML, without a penalty, with the covariances that the data tell.
    noise : ModelledNoise or None
        Where the log-variance is modelled; its coefficients gamma come first.
    """

    model: LinearMixed
    noise: ModelledNoise | None = None

    @cached_property
    def spread(self):
        """Root mean squares of the columns of the log-variance, (k,)."""
        if self.noise is None:
            return np.empty(0)
        rows = self.noise.rows
        return np.sqrt(np.average(rows.S**2, axis=0, weights=rows.weight))

    def start(self, Lambdas, gamma):
        """The parameters at an optimum, variances of 0 raised to what is resolved."""
        least = [self.model.resolution(t) for t in range(len(Lambdas))]
        of_covariances = self.coordinates([L @ L.T for L in Lambdas], least)
        return np.concatenate([self.spread * gamma, of_covariances])

    def split(self, x):
        """gamma and the coordinates of the covariances."""
        k = len(self.spread)
        return x[:k] / self.spread, x[k:]

    def Lambdas(self, theta):
        """Lambda of every term, (..., q, q), of coordinates (..., k): math.md (140)."""
        found, start, stack = [], 0, theta.shape[:-1]
        for covariance in self.model.covariances:
            Lambda = np.zeros((*stack, covariance.q, covariance.q), dtype=theta.dtype)
            for block in map(np.array, covariance.blocks):
                m = len(block)
                end = start + m * (m + 1) // 2
                rows, columns = block[:, None], block
                Lambda[..., rows, columns] = _root(theta[..., start:end], m)
                start = end
            found.append(Lambda)
        return tuple(found)

    def directions(self, theta):
        """d (Lambda Lambda') / d theta of every term, (..., k_t, q, q) each."""
        steps = theta[..., None, :] + 1j * COMPLEX_STEP * np.eye(theta.shape[-1])
        found, own = [], slices_of(len(c.entries[0]) for c in self.model.covariances)
        for t, some in enumerate(own):
            L = self.Lambdas(steps[..., some, :])[t]
            found.append((L @ np.swapaxes(L, -1, -2)).imag / COMPLEX_STEP)
        return found

    def coordinates(self, Psis, least):
        """Coordinates of covariances whose variances are raised to `least`, one for
        each term, and whose correlations are kept from the ends of their range.
        """
        found = []
        triples = zip(self.model.covariances, Psis, least, strict=True)
        for covariance, Psi, smallest in triples:
            for block in map(list, covariance.blocks):
                variance = np.maximum(np.diag(Psi)[block], smallest)
                corr = Psi[np.ix_(block, block)] / np.sqrt(np.outer(variance, variance))
                corr *= CORRELATED
                np.fill_diagonal(corr, 1.0)
                found += [0.5 * np.log(variance), _partial(np.linalg.cholesky(corr))]
        return np.concatenate([np.empty(0), *found])

    def log_densities(self, nodes):
        """Logarithms of the posterior density, up to a constant, (n,), and the noise
        variances there: math.md (141).
        """
        one = len(self.model.covariances) == 1 and type(self.model.gram) is Gram
        if self.noise is None and one:
            (Lambda,), (directions,) = self.Lambdas(nodes), self.directions(nodes)
            return log_densities_of_one(self.model, Lambda, directions)
        if self._rows is not None:
            gamma, theta = np.split(nodes, [len(self.spread)], axis=1)
            gamma = np.column_stack([np.zeros(len(nodes)), gamma / self.spread])
            # psi is exp(2 theta), and the density is that of theta.
            return self._of_rows(gamma, np.exp(2 * theta[:, 0]))
        return tuple(np.array([self._log_density(x) for x in nodes]).T)

    @cached_property
    def _rows(self):
        """The `GroupedRows` of a random intercept beside a log-variance, else None."""
        covariances = self.model.covariances
        if self.noise is None or [c.blocks for c in covariances] != [((0,),)]:
            return None
        rows = self.noise.rows
        here = type(rows) is ModelledNoiseRows and type(self.model.gram) is Gram
        if not here or covariances[0].q > 1 or (rows.Z[0] != 1).any():
            return None
        noise = rows.S, rows.weight, rows.offset
        return whole_rows(rows.work, rows.codes[0], *noise)

    def _of_rows(self, gamma, psi):
        """The same of a random intercept beside a log-variance."""
        rows = self._rows
        far = np.abs(gamma @ rows.S.T).max(axis=1) > WIDEST
        gamma[far] = 0.0  # their weights may be 0 or infinite
        values, rss = rows.in_chunks(log_densities, gamma, psi)
        values[far] = -np.inf
        return values, np.maximum(rss / rows.freedom, self.model.floor)

    def _log_density(self, x):
        """The same of one node."""
        gamma, theta = self.split(x)
        Lambdas, directions = self.Lambdas(theta), self.directions(theta)
        try:
            if self.noise is None:
                point = evaluate(self.model, Lambdas)
            else:
                point = self.noise.at(self.model, gamma, Lambdas=Lambdas)
        except np.linalg.LinAlgError:  # variances too far apart
            return -np.inf, np.nan
        if self.noise is None:
            information = second(point, directions).expected()
        else:
            turn = np.append(1 / self.spread, np.ones(len(theta)))
            information = second_of_all(point, directions).expected()
            information *= np.outer(turn, turn)
        sign, logdet = np.linalg.slogdet(information)
        if sign <= 0 or not np.isfinite(logdet):
            return -np.inf, np.nan
        return 0.5 * logdet - 0.5 * point.value, point.noise_variance


def integrate_covariances(model, Lambdas, noise=None, gamma=()):
    """The posterior distribution of the covariances, on nodes.

    Parameters
    ----------
    model, noise
        See `Parameters`.
    Lambdas : tuple of ndarray of shape (q, q)
        At the optimum.
    gamma : ndarray of shape (k,)
        Coefficients of the log-variance there.

    Returns
    -------
    over : Components
        Their keys are positions among the nodes.
    nodes : list of (tuple of ndarray, ndarray)
        Lambdas and gamma of each.
    """
    parameters = Parameters(model, noise)
    start = parameters.start(Lambdas, np.array(gamma))
    found = importance_nodes(parameters.log_densities, start)
    nodes, noise_variances, probability = found
    freedom = evaluate(model, Lambdas).factor_freedom
    over = Components(
        np.arange(len(nodes)), noise_variances, probability, float(freedom)
    )
    split = map(parameters.split, nodes)
    return over, [(parameters.Lambdas(theta), gamma) for gamma, theta in split]


def importance_nodes(log_densities, start):
    """Nodes of an importance sampler.

    Parameters
    ----------
    log_densities : callable
        ``log_densities(nodes)`` gives the logarithms of a density at nodes (n, k), up
        to a constant, and an array of whatever else is to be kept of each.
    start : ndarray of shape (k,)
        Near its mode; it counts as 0 far from here.

    Returns
    -------
    nodes : ndarray of shape (n, k)
    kept : ndarray of shape (n,)
        Of every node, what else `log_densities` gives.
    probability : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If the density is 0 at the best value that is found.
    """

    def densities(nodes):
        values, kept = log_densities(np.clip(nodes, start - FARTHEST, start + FARTHEST))
        far = np.abs(nodes - start).max(axis=1) > FARTHEST
        return np.where(far, -np.inf, values), kept

    centre, root = _normal_at_the_mode(lambda nodes: densities(nodes)[0], start)
    z, log_proposal = _t_points(len(start))
    for _ in range(MOST_ROUNDS):
        nodes = centre + z @ root.T
        values, kept = densities(nodes)
        weight = values - log_proposal
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        if 1 / np.sum(weight**2) > EFFECTIVE * len(weight):
            break
        centre = weight @ nodes
        root = _spread(nodes - centre, weight)
    some = np.flatnonzero(weight > NEGLIGIBLE)
    return nodes[some], kept[some], weight[some] / weight[some].sum()


def _spread(errors, weight):
    """Root of a covariance of the nodes that is not singular; where one node has all
    the weight it is that of a step of differences.
    """
    covariance = (weight * errors.T) @ errors
    floor = np.trace(covariance) * 1e-3 / len(covariance) or STEP**2
    return np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))


def _normal_at_the_mode(values, start):
    """Mode of a log-density, and the root of the inverse of its curvature there: by
    Newton's method, whose differences are all taken at once.
    """
    mode, at = start, values(start[None])[0]
    for _ in range(MOST_STEPS):
        slope, curvature, vectors = _parabola(values, mode)
        along = vectors.T @ slope
        if along @ (along / curvature) < CLOSE:
            break
        step = vectors @ (along / curvature)
        step *= min(1.0, LONGEST / np.abs(step).max())
        tried = mode + SHARES[:, None] * step
        found = values(tried)
        best = np.argmax(found)
        if not found[best] > at:
            break
        mode, at = tried[best], found[best]
    if at == -np.inf:
        raise ValueError(NOWHERE)
    return mode, vectors / np.sqrt(curvature)


def _parabola(values, x):
    """Slope of a log-density at x, and the curvatures of its logarithm, which are not
    less than the least one, and their directions.
    """
    k, eye = len(x), STEP * np.eye(len(x))
    pairs = np.array(list(combinations(range(k), 2)), dtype=int).reshape(-1, 2)
    both = eye[pairs[:, 0]] + eye[pairs[:, 1]]
    found = values(x + np.vstack([np.zeros(k), eye, -eye, both, -both]))
    at, up, down, ahead, back = np.split(found, np.cumsum([1, k, k, len(pairs)]))
    with np.errstate(invalid="ignore"):
        H = np.diag(2 * at - up - down)
        own = (up + down)[pairs].sum(axis=1) - 2 * at
        H[pairs[:, 0], pairs[:, 1]] = H[pairs[:, 1], pairs[:, 0]] = (
            own - ahead - back
        ) / 2
        slope = (up - down) / (2 * STEP)
    curvature, vectors = np.linalg.eigh(np.where(np.isfinite(H), H, 0.0) / STEP**2)
    slope = np.where(np.isfinite(slope), slope, 0.0)
    return slope, np.maximum(curvature, LEAST_CURVATURE), vectors


@cache
def _t_points(k):
    """Quasi-random points of the t distribution of k dimensions, and the logarithms of
    its density there.
    """
    points = Sobol(k + 1, scramble=False).random(N_NODES) + 0.5 / N_NODES
    stretch = np.sqrt(TAILS / chdtri(TAILS, points[:, k]))
    z = ndtri(points[:, :k]) * stretch[:, None]
    return z, -0.5 * (TAILS + k) * np.log1p(np.sum(z**2, axis=1) / TAILS)
