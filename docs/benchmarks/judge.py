"""One judge for all: the likelihood of estimates, whoever made them.

Packages differ in constants and approximations, and some report no likelihood.  So the
estimates themselves are judged, by a formula that shares no code with any package.
"""

import numpy as np


def log_likelihood(data, estimates, *, reml):
    """(Restricted) log-likelihood at given coefficients and variances.

    Parameters
    ----------
    data : Data
    estimates : dict
        ``coef`` and ``log_variance``, intercepts first, and ``group_variance``.
    reml : bool

    Returns
    -------
    log_likelihood : float
        Constants included.  Under REML that of y without the coefficients, in which
        those given stand for the best.
    """
    coef = np.asarray(estimates["coef"], dtype=float)
    gamma = np.asarray(estimates["log_variance"], dtype=float)
    ratio = float(estimates["group_variance"])
    n, p = data.X.shape
    log_v = gamma[0] + data.X[:, : len(gamma) - 1] @ gamma[1:]
    w = np.exp(-log_v)
    codes = np.zeros(n, dtype=int) if data.codes is None else data.codes
    residual = data.y - coef[0] - data.X @ coef[1:]
    spread = 1 + ratio * np.bincount(codes, w)
    sums = np.bincount(codes, w * residual)
    square = w @ residual**2 - np.sum(ratio / spread * sums**2)
    value = np.sum(log_v) + np.sum(np.log(spread)) + square + n * np.log(2 * np.pi)
    if reml:
        logdet = np.linalg.slogdet(_information(data.X, w, codes, ratio, spread))[1]
        value += logdet - (1 + p) * np.log(2 * np.pi)
    return float(-0.5 * value)


def _information(X, w, codes, ratio, spread):
    """Of the intercept and the coefficients: D' V^-1 D with D = (1, X)."""
    p = X.shape[1]
    within = np.empty((1 + p, 1 + p))
    sums = np.empty((len(spread), 1 + p))
    within[0, 0], sums[:, 0] = w.sum(), np.bincount(codes, w, len(spread))
    weighted = X * w[:, None]
    within[0, 1:] = within[1:, 0] = weighted.sum(axis=0)
    within[1:, 1:] = weighted.T @ X
    for j in range(p):
        sums[:, 1 + j] = np.bincount(codes, weighted[:, j], len(spread))
    return within - sums.T @ (sums * (ratio / spread)[:, None])
