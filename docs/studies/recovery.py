"""Does HeteroscedasticGaussianRegressor find what the data were made from?

    python docs/studies/recovery.py [n_sets n_jobs]

Simulates sets of 60 groups with known coefficients, fits each by REML and by ML, and
prints for every parameter the bias, its Monte Carlo standard error and their ratio, and
how often 90 % prediction intervals hold a new observation, of known and of new groups.
"""

import sys

import numpy as np
from joblib import Parallel, delayed

from skmixed import HeteroscedasticGaussianRegressor

N_GROUPS, GROUP_SIZES = 60, (4, 16)
TRUTH = {
    "intercept": 1.0,
    "beta 1": 0.5,
    "beta 2": -1.0,
    "log-variance intercept": -0.5,
    "gamma 1": 0.6,
    "gamma 2": -0.3,
    "group variance": 0.8,
}
METHODS = ("reml", "ml")
COVERAGE = 0.9


def simulate(rng, groups, intercepts):
    """Features and target of rows of the given groups."""
    X = rng.normal(size=(len(groups), 2))
    intercept, *beta, level, gamma_1, gamma_2, _ = TRUTH.values()
    std = np.exp((level + X @ [gamma_1, gamma_2]) / 2)
    noise = std * rng.normal(size=len(groups))
    return X, intercept + X @ beta + intercepts[groups] + noise


def fit_one(seed):
    """Estimates, (methods, parameters), and coverages, (methods, known and new)."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(*GROUP_SIZES, endpoint=True, size=N_GROUPS)
    intercepts = np.sqrt(TRUTH["group variance"]) * rng.normal(size=2 * N_GROUPS)
    groups = np.repeat(np.arange(N_GROUPS), sizes)
    X, y = simulate(rng, groups, intercepts)
    known = np.arange(N_GROUPS)
    tests = [(g, *simulate(rng, g, intercepts)) for g in (known, known + N_GROUPS)]
    estimates, covered = [], []
    for method in METHODS:
        model = HeteroscedasticGaussianRegressor(method=method)
        model.fit(X, y, groups=groups)
        estimates.append(
            [
                model.intercept_,
                *model.coef_,
                model.variance_intercept_,
                *model.variance_coef_,
                model.group_variance_,
            ]
        )
        covered.append([_coverage(model, *test) for test in tests])
    return np.array(estimates), np.array(covered)


def _coverage(model, groups, X, y):
    low, high = model.predict_interval(X, groups=groups, coverage=COVERAGE).T
    return np.mean((low <= y) & (y <= high))


def recover(n_sets, n_jobs=1, first_seed=0):
    """Estimates (sets, methods, parameters) and coverages (sets, methods, 2)."""
    seeds = range(first_seed, first_seed + n_sets)
    results = Parallel(n_jobs=n_jobs)(delayed(fit_one)(seed) for seed in seeds)
    estimates, covered = zip(*results, strict=True)
    return np.array(estimates), np.array(covered)


def main(n_sets=2000, n_jobs=2):
    """Print the table."""
    estimates, covered = recover(n_sets, n_jobs)
    truth = np.array(list(TRUTH.values()))
    bias = estimates.mean(axis=0) - truth
    error = estimates.std(axis=0, ddof=1) / np.sqrt(n_sets)
    print(f"{n_sets} sets of {N_GROUPS} groups; bias, Monte Carlo error, their ratio")
    for m, method in enumerate(METHODS):
        print(f"\n{method.upper()}")
        for p, name in enumerate(TRUTH):
            ratio = bias[m, p] / error[m, p]
            print(f"{name:>24} {bias[m, p]:9.5f} {error[m, p]:9.5f} {ratio:7.2f}")
        for j, kind in enumerate(("known", "new")):
            share, spread = covered[:, m, j].mean(), covered[:, m, j].std(ddof=1)
            error_of_share = 100 * spread / np.sqrt(n_sets)
            print(
                f"90 % intervals, {kind:>5} groups: {100 * share:.2f} % "
                f"+- {error_of_share:.2f}"
            )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
