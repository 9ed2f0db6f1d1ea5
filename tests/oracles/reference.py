"""The dense oracle: every covariance written out, n x n, and nothing clever."""

import numpy as np


def block_covariance(groups, noise_variance, group_variance):
    """V = noise_variance I + group_variance 11' within groups."""
    groups = np.asarray(groups)
    shared = groups[:, None] == groups
    return noise_variance * np.eye(len(groups)) + group_variance * shared


def with_intercept(X):
    return np.column_stack([np.ones(len(X)), X])


def generalised_least_squares(X, y, V, penalty=None):
    """(beta, inverse information); penalty is added to X'V^-1X."""
    root = np.linalg.cholesky(V)
    white, right = np.linalg.solve(root, X), np.linalg.solve(root, y)
    if penalty is not None:
        values, vectors = np.linalg.eigh(penalty)
        rows = np.sqrt(values.clip(0))[:, None] * vectors.T
        white = np.vstack([white, rows])
        right = np.concatenate([right, np.zeros(len(rows))])
    # Not X'V^-1X, whose condition is the square: that of the rows may be 1e5.
    Q, R = np.linalg.qr(white)
    inverse = np.linalg.inv(R)
    return inverse @ (Q.T @ right), inverse @ inverse.T


def log_likelihood(X, y, V, reml, beta=None):
    """Log-density of y at beta (default: its estimate), restricted or not."""
    if beta is None:
        beta, _ = generalised_least_squares(X, y, V)
    root = np.linalg.cholesky(V)  # SciPy's density refuses variances 1e10 apart
    white = np.linalg.solve(root, y - X @ beta)
    value = -0.5 * (white @ white + len(y) * np.log(2 * np.pi))
    value -= np.sum(np.log(np.diag(root)))
    if reml:
        information = X.T @ np.linalg.solve(V, X)
        value += 0.5 * X.shape[1] * np.log(2 * np.pi)
        value -= 0.5 * np.linalg.slogdet(information)[1]
    return value


def condition(X, y, V, X_new, V_new, cross, penalty=None):
    """Mean and covariance of new observations given y, flat prior on beta.

    `V_new` is their covariance and `cross` (n_new, n) that with y.
    """
    beta, covariance = generalised_least_squares(X, y, V, penalty)
    gain = np.linalg.solve(V, cross.T).T
    mean = X_new @ beta + gain @ (y - X @ beta)
    lever = X_new - gain @ X
    return mean, V_new - gain @ cross.T + lever @ covariance @ lever.T


def simulate(seed=0, n=80, p=3, n_groups=12, group_std=0.8):
    """Unbalanced random data; features vary within groups and between them."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n)
    groups[:n_groups] = np.arange(n_groups)
    X = rng.normal(size=(n, p)) + rng.normal(size=(n_groups, p))[groups]
    y = 2 + X @ np.arange(1, p + 1) + rng.normal(size=n)
    return X, y + group_std * rng.normal(size=n_groups)[groups], groups
