"""The integrated predictive distribution by brute force: n x n matrices on a fine grid
of the variance ratio.
"""

import numpy as np
from scipy.stats import t as student

# Points of each of the two grids, below and above 0.
N_POINTS = 300


def components(X, y, groups):
    """Ratios, squared scales of the noise and probabilities, and degrees of freedom.

    The prior of the ratio r is the root of its REML information; ratios go down to
    where I + r ZZ' is singular, and one half of what is below 0 is put at 0.  The
    other half takes its ratio from those above 0, but not its noise variance.
    """
    Z = (groups[:, None] == np.unique(groups)).astype(float)
    most, least = Z.sum(axis=0).max(), Z.sum(axis=0).min()
    above = np.linspace(-13 - np.log(most), 30 - np.log(least), N_POINTS)
    u, width = np.polynomial.legendre.leggauss(N_POINTS)
    u, width = 15 * (1 + u), 15 * width
    found_above = [_density(X, y, Z, np.exp(t)) for t in above]
    found_below = [_density(X, y, Z, np.expm1(-v) / most) for v in u]
    log_above = np.array([f[0] for f in found_above]) + above
    log_below = np.array([f[0] for f in found_below]) - u + np.log(width / most)
    top = max(log_above.max(), log_below.max())
    p_above = np.exp(log_above - top) * (above[1] - above[0])
    p_below = np.exp(log_below - top)
    moved = 0.5 * p_below.sum() / p_above.sum()
    probability = np.concatenate([0.5 * p_below, (1 + moved) * p_above])
    rss_below, rss_above = (
        np.array([f[1] for f in g]) for g in (found_below, found_above)
    )
    typical = np.exp(np.average(np.log(rss_below), weights=p_below))
    rss_above = (rss_above + moved * typical) / (1 + moved)
    rss = np.concatenate([rss_below, rss_above])
    freedom = len(y) - X.shape[1]
    ratio = np.concatenate([np.zeros(N_POINTS), np.exp(above)])
    probability /= probability.sum()
    kept = probability > 1e-10
    return ratio[kept], rss[kept] / freedom, probability[kept], freedom


def _density(X, y, Z, r):
    V = np.eye(len(y)) + r * Z @ Z.T
    inverse = np.linalg.inv(V)
    information = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(information, X.T @ inverse)
    inner, freedom = Z.T @ P @ Z, len(y) - X.shape[1]
    prior = 0.5 * (np.sum(inner**2) - np.trace(inner) ** 2 / freedom)
    rss = y @ P @ y
    value = 0.5 * np.log(max(prior, 1e-300)) - 0.5 * freedom * np.log(rss)
    value -= 0.5 * np.linalg.slogdet(V)[1] + 0.5 * np.linalg.slogdet(information)[1]
    return value, rss


def probability_below(at, X, y, groups, target, found):
    """Probability that a target is below `at`.

    Parameters
    ----------
    target : tuple
        Weights of the columns of X, of the random intercept of each known group, of
        that of a new one, and of the noise: the target is
        ``x'beta + a'b + new * b_new + e``, the variance of e in units of a noise.
    found : tuple
        The `components`.
    """
    x, of_groups, of_new, of_noise = target
    Z = (groups[:, None] == np.unique(groups)).astype(float)
    below, last = 0.0, None
    for ratio, scale, probability in zip(*found[:3], strict=True):
        if ratio != last:
            last = ratio
            inverse = np.linalg.inv(np.eye(len(y)) + ratio * Z @ Z.T)
            information = X.T @ inverse @ X
            beta = np.linalg.solve(information, X.T @ inverse @ y)
            c = ratio * Z @ of_groups
            mean = x @ beta + c @ inverse @ (y - X @ beta)
            d = x - X.T @ inverse @ c
            variance = ratio * (of_groups @ of_groups + of_new**2) - c @ inverse @ c
            variance += of_noise + d @ np.linalg.solve(information, d)
        std = max(np.sqrt(scale * max(variance, 0.0)), 1e-12)
        below += probability * student.cdf((at - mean) / std, found[3])
    return below


def log_density_of(X, y, V0, slopes):
    """Log-density of parameters of V0, up to a constant, and the residual sum of
    squares: the prior is the root of the determinant of their REML information.

    Parameters
    ----------
    V0 : ndarray of shape (n, n)
    slopes : list of ndarray of shape (n, n)
        Derivatives of V0 in each parameter.
    """
    inverse = np.linalg.inv(V0)
    information = X.T @ inverse @ X
    P = inverse - inverse @ X @ np.linalg.solve(information, X.T @ inverse)
    products, freedom = [P @ slope for slope in slopes], len(y) - X.shape[1]
    trace = np.array([np.trace(A) for A in products])
    prior = np.array([[np.sum(A * B.T) for A in products] for B in products])
    prior -= np.outer(trace, trace) / freedom
    rss = y @ P @ y
    value = np.linalg.slogdet(prior)[1] - freedom * np.log(rss)
    value -= np.linalg.slogdet(V0)[1] + np.linalg.slogdet(information)[1]
    return value / 2, rss


def conditional_t(X, y, V0, cross, own, x):
    """Location and squared scale, in units of the noise, of a target with coefficients
    x, covariance `cross` with y and variance `own`.
    """
    inverse = np.linalg.inv(V0)
    information = X.T @ inverse @ X
    beta = np.linalg.solve(information, X.T @ inverse @ y)
    d = x - X.T @ inverse @ cross
    variance = own - cross @ inverse @ cross + d @ np.linalg.solve(information, d)
    return x @ beta + cross @ inverse @ (y - X @ beta), variance
