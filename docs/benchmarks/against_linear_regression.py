"""A random-intercept fit beside ordinary least squares on the same rows.

    python docs/benchmarks/against_linear_regression.py [n_rows n_features n_groups]

Alternates the two fits in one process, and prints each pair, the median ratio, and the
peak of the memory that a fit allocates beside its data.
"""

import sys
import time
import tracemalloc

import numpy as np
from sklearn.linear_model import LinearRegression

from skmixed import RandomInterceptRegressor

PAIRS = 5


def simulate(n_rows, n_features, n_groups, seed=0):
    """Groups in random order, integer labels, float64 features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features))
    groups = rng.integers(n_groups, size=n_rows)
    y = X.sum(axis=1) + rng.normal(size=n_groups)[groups] + rng.normal(size=n_rows)
    return X, y, groups


def seconds(function):
    """Wall time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main(n_rows=1_000_000, n_features=10, n_groups=50_000):
    """Print the comparison."""
    X, y, groups = simulate(n_rows, n_features, n_groups)

    def least_squares():
        LinearRegression().fit(X, y)

    def random_intercept():
        RandomInterceptRegressor().fit(X, y, groups=groups)

    print(f"{n_rows} rows, {n_features} features, {n_groups} groups")
    least_squares(), random_intercept()  # warm up
    ratios = []
    for _ in range(PAIRS):
        base, ours = seconds(least_squares), seconds(random_intercept)
        ratios.append(ours / base)
        print(f"LinearRegression {base:.3f} s   random intercept {ours:.3f} s")
    print(f"median ratio {np.median(ratios):.2f}")
    tracemalloc.start()
    random_intercept()
    peak = tracemalloc.get_traced_memory()[1]
    print(f"peak of extra memory {peak / 1e6:.0f} MB; X has {X.nbytes / 1e6:.0f} MB")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
