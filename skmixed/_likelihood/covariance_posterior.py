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
from scipy.optimize import minimize
from scipy.special import chdtri, ndtri
from scipy.stats.qmc import Sobol

from .mixed import LinearMixed, evaluate, second
from .mixed_noise import Uneven, second_of_all
from .mixture import Components

# Nodes of the distribution that is adapted, and of the one that is kept.
N_NODES = 128
# Degrees of freedom of the t distribution of the nodes: its tails are heavier.
TAILS = 5.0
# The nodes are adapted at most so often.
MOST_ROUNDS = 4
# The effective number of nodes, as part of all, from which on they are not adapted.
EFFECTIVE = 0.4
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


@dataclass(frozen=True)
class Pattern:
    """Coordinates of the covariances of all terms: logarithms of standard deviations,
    and Fisher's z of partial correlations.

    Attributes
    ----------
    covariances : tuple of Covariance
    """

    covariances: tuple

    @property
    def size(self):
        """Number of coordinates."""
        return sum(len(c.entries[0]) for c in self.covariances)

    def Lambdas(self, theta):
        """Lambda of every term: math.md (140)."""
        found, start = [], 0
        for covariance in self.covariances:
            Lambda = np.zeros((covariance.q, covariance.q), dtype=theta.dtype)
            for block in map(list, covariance.blocks):
                m = len(block)
                end = start + m * (m + 1) // 2
                Lambda[np.ix_(block, block)] = _root(theta[start:end], m)
                start = end
            found.append(Lambda)
        return tuple(found)

    def directions(self, theta):
        """d (Lambda Lambda') / d theta of every term, (k_t, q, q) each."""
        each = []
        for step in 1j * COMPLEX_STEP * np.eye(len(theta)):
            Lambdas = self.Lambdas(theta + step)
            each.append([(L @ L.T).imag / COMPLEX_STEP for L in Lambdas])
        found, start = [], 0
        for t, covariance in enumerate(self.covariances):
            end = start + len(covariance.entries[0])
            own = np.array([Psis[t] for Psis in each[start:end]])
            found.append(own.reshape(-1, covariance.q, covariance.q))
            start = end
        return found

    def coordinates(self, Psis, least):
        """Coordinates of covariances whose variances are raised to `least`, one for
        each term, and whose correlations are kept from the ends of their range.
        """
        found = []
        for covariance, Psi, smallest in zip(
            self.covariances, Psis, least, strict=True
        ):
            for block in map(list, covariance.blocks):
                variance = np.maximum(np.diag(Psi)[block], smallest)
                corr = Psi[np.ix_(block, block)] / np.sqrt(np.outer(variance, variance))
                corr *= CORRELATED
                np.fill_diagonal(corr, 1.0)
                found += [0.5 * np.log(variance), _partial(np.linalg.cholesky(corr))]
        return np.concatenate([np.empty(0), *found])


def _root(theta, m):
    """The root of a covariance from its coordinates: math.md (140)."""
    std, z = np.exp(theta[:m]), np.tanh(theta[m:])
    L, left = np.eye(m, dtype=theta.dtype), np.ones(m, dtype=theta.dtype)
    k = 0
    for i in range(1, m):
        for j in range(i):
            L[i, j] = z[k] * np.sqrt(left[i])
            left[i] = left[i] * (1 - z[k]) * (1 + z[k])
            k += 1
        L[i, i] = np.sqrt(left[i])
    return std[:, None] * L


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
    """The parameters of a likelihood, but for the coefficients and the noise variance.

    Attributes
    ----------
    model : LinearMixed
        By REML, without a penalty, with the covariances that the data tell.
    uneven : Uneven or None
        Where the log-variance is modelled; its coefficients gamma come first.
    """

    model: LinearMixed
    uneven: Uneven | None = None

    @property
    def pattern(self):
        """Coordinates of the covariances."""
        return Pattern(self.model.covariances)

    @cached_property
    def spread(self):
        """Root mean squares of the columns of the log-variance, (k,)."""
        if self.uneven is None:
            return np.empty(0)
        return np.sqrt(np.mean(self.uneven.rows.S**2, axis=0))

    def start(self, Lambdas, gamma):
        """The parameters at an optimum, variances of 0 raised to what is resolved."""
        least = [self.model.resolution(t) for t in range(len(Lambdas))]
        of_covariances = self.pattern.coordinates([L @ L.T for L in Lambdas], least)
        return np.concatenate([self.spread * gamma, of_covariances])

    def split(self, x):
        """gamma and the coordinates of the covariances."""
        k = len(self.spread)
        return x[:k] / self.spread, x[k:]

    def log_density(self, x):
        """Logarithm of the posterior density, up to a constant, and the point: math.md
        (141).
        """
        gamma, theta = self.split(x)
        Lambdas, directions = (
            self.pattern.Lambdas(theta),
            self.pattern.directions(theta),
        )
        if self.uneven is None:
            point = evaluate(self.model, Lambdas)
            information = second(point, directions).expected()
        else:
            try:
                point = self.uneven.at(self.model, gamma, Lambdas=Lambdas)
            except np.linalg.LinAlgError:  # noise variances too far apart
                return -np.inf, None
            turn = np.append(1 / self.spread, np.ones(len(theta)))
            information = second_of_all(point, directions).expected()
            information *= np.outer(turn, turn)
        sign, logdet = np.linalg.slogdet(information)
        if sign <= 0 or not np.isfinite(logdet):
            return -np.inf, point
        return 0.5 * logdet - 0.5 * point.value, point


def integrate_covariances(model, Lambdas, uneven=None, gamma=()):
    """The posterior distribution of the covariances, on nodes.

    Parameters
    ----------
    model, uneven
        See `Parameters`.
    Lambdas : tuple of ndarray of shape (q, q)
        At the optimum.
    gamma : ndarray of shape (k,)
        Coefficients of the log-variance there.

    Returns
    -------
    over : Components
        Their keys are positions among the nodes.
    points : list of Point or UnevenPoint
        Of the nodes.
    """
    parameters = Parameters(model, uneven)
    start = parameters.start(Lambdas, np.array(gamma))
    _, points, weights = importance_nodes(parameters.log_density, start)
    mixed = points[0] if uneven is None else points[0].mixed
    over = Components(
        np.arange(len(points)),
        np.array([point.noise_variance for point in points]),
        weights,
        float(mixed.factor_freedom),
    )
    return over, points


def importance_nodes(log_density, start):
    """Nodes of an importance sampler.

    Parameters
    ----------
    log_density : callable
        ``log_density(theta)`` gives the logarithm of a density, up to a constant, and
        whatever else is to be kept.
    start : ndarray of shape (k,)
        Near its mode; it counts as 0 far from here.

    Returns
    -------
    nodes : ndarray of shape (n, k)
    kept : list
        Of every node, what else `log_density` gives.
    probability : ndarray of shape (n,)

    Raises
    ------
    ValueError
        If the density is 0 at the best value that is found.
    """

    def density(theta):
        if np.abs(theta - start).max() > FARTHEST:
            return -np.inf, None
        return log_density(theta)

    centre, root = _normal_at_the_mode(lambda theta: density(theta)[0], start)
    z, log_proposal = _t_points(len(start))
    for _ in range(MOST_ROUNDS):
        nodes = centre + z @ root.T
        found = [density(theta) for theta in nodes]
        weight = np.array([value for value, _ in found]) - log_proposal
        weight = np.exp(weight - weight.max())
        weight /= weight.sum()
        if 1 / np.sum(weight**2) > EFFECTIVE * len(weight):
            break
        centre = weight @ nodes
        root = _spread(nodes - centre, weight)
    some = np.flatnonzero(weight > NEGLIGIBLE)
    probability = weight[some] / weight[some].sum()
    return nodes[some], [found[i][1] for i in some], probability


def _spread(errors, weight):
    """Root of a covariance of the nodes that is not singular."""
    covariance = (weight * errors.T) @ errors
    floor = np.trace(covariance) * 1e-3 / len(covariance)
    return np.linalg.cholesky(covariance + floor * np.eye(len(covariance)))


def _normal_at_the_mode(value, start):
    """Mode of a log-density, and the root of the inverse of its curvature there."""
    options = {"maxiter": 30, "gtol": 1e-2}
    found = minimize(lambda x: -max(value(x), -1e300), start, options=options)
    mode = found.x
    if value(mode) == -np.inf:
        raise ValueError(NOWHERE)
    eye = STEP * np.eye(len(mode))
    at, up, down = (
        np.array([value(mode + e) for e in steps]) for steps in ([0 * mode], eye, -eye)
    )
    H = np.diag(2 * at - up - down)
    for i, j in combinations(range(len(mode)), 2):
        both = value(mode + eye[i] + eye[j]) + value(mode - eye[i] - eye[j])
        beside = up[i] + down[i] + up[j] + down[j] - 2 * at[0]
        if np.isfinite(beside):
            H[i, j] = H[j, i] = (beside - both) / 2
    values, vectors = np.linalg.eigh(np.where(np.isfinite(H), H, 0.0) / STEP**2)
    return mode, vectors / np.sqrt(np.maximum(values, LEAST_CURVATURE))


@cache
def _t_points(k):
    """Quasi-random points of the t distribution of k dimensions, and the logarithms of
    its density there.
    """
    points = Sobol(k + 1, scramble=False).random(N_NODES) + 0.5 / N_NODES
    stretch = np.sqrt(TAILS / chdtri(TAILS, points[:, k]))
    z = ndtri(points[:, :k]) * stretch[:, None]
    return z, -0.5 * (TAILS + k) * np.log1p(np.sum(z**2, axis=1) / TAILS)
