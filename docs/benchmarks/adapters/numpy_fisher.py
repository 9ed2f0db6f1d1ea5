"""The model as users write it in NumPy: least squares and a scoring step in turn."""

import numpy as np

from adapters import Adapter, versions_of

DECREMENT = 1e-6  # twice the gain in log-likelihood that the last step promises


def prepare(problem, data):
    """A matrix with a column of ones."""
    D = np.column_stack([np.ones(len(data.y)), data.X])
    return lambda: _fit(D, data.y)


def _fit(D, y):
    beta = np.linalg.solve(D.T @ D, D.T @ y)
    gamma = np.zeros(D.shape[1])
    gamma[0] = np.log(np.mean((y - D @ beta) ** 2))
    covariance = np.linalg.inv(0.5 * D.T @ D)
    for iteration in range(1, 101):
        w = np.exp(-(D @ gamma))
        weighted = D * w[:, None]
        beta = np.linalg.solve(weighted.T @ D, weighted.T @ y)
        score = 0.5 * D.T @ ((y - D @ beta) ** 2 * w - 1)
        step = covariance @ score
        gamma = gamma + step
        if score @ step < DECREMENT:
            return beta, gamma, iteration
    raise RuntimeError("no convergence")


def estimates(problem, fitted):
    """As the loop left them."""
    coef, log_variance, iterations = fitted
    return {
        "coef": coef,
        "log_variance": log_variance,
        "group_variance": 0.0,
        "iterations": iterations,
    }


ADAPTER = Adapter(
    "NumPy, Fisher scoring",
    "peer",
    versions_of("numpy"),
    prepare,
    estimates,
    ("ml",),
)
