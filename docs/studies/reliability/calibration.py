"""Do predictive intervals hold what they are made to hold?

    python docs/studies/reliability/calibration.py [n_sets n_jobs [n_groups ...]]

Simulates sets over numbers of groups, intraclass correlations, balanced and unbalanced
groups, one noise variance and one that depends on a feature; fits each by REML; and
counts how often intervals of 50, 90 and 99 % hold: a new observation of a known group
and of a new one, by normal quantiles and by Student's t; the mean of five new
observations of a group, known or new, from their joint covariance; and coefficients of
a feature that varies within groups and of one that is constant in them, by the
intervals of `summary`.  Prints a table for each probability; figures that are off by
more than two points, and by more than two Monte Carlo errors, have a star.  A table of
the least and the most of them, over correlations and balance, comes last.
"""

import sys
import warnings
from itertools import product

import numpy as np
from joblib import Parallel, delayed
from scipy import stats

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of

LEVELS = (0.5, 0.9, 0.99)
N_GROUPS = (6, 12, 30, 100, 500)
CORRELATIONS = (0.0, 0.1, 0.5, 0.9, 0.99)
SLOW_GROUPS = (6, 30, 100)  # of the heteroscedastic model
BETA, SLOPE = np.array([1.0, 0.5]), 0.8
N_NEW, N_MEAN = 20, 5
KINDS = (
    "known",
    "known, t",
    "new",
    "new, t",
    "mean, known",
    "mean, new",
    "within",
    "between",
)
SIZES = {"balanced": (5, 5), "unbalanced": (1, 15)}
OFF = 0.02


def scenarios():
    """(number of groups, correlation, sizes, heteroscedastic)."""
    plain = product(N_GROUPS, CORRELATIONS, SIZES, [False])
    return [*plain, *product(SLOW_GROUPS, CORRELATIONS, SIZES, [True])]


def observe(rng, groups, of_groups, levels, correlation, steep):
    """Features and target of rows of some groups."""
    X = np.column_stack([rng.normal(size=len(groups)), of_groups[groups]])
    noise = np.sqrt(1 - correlation) * rng.normal(size=len(groups))
    if steep:
        noise *= np.exp(SLOPE * X[:, 0] / 2)
    return X, X @ BETA + np.sqrt(correlation) * levels[groups] + noise


def holds(low, high, value):
    """Share of the values inside."""
    return np.mean((low <= value) & (value <= high))


def judge_set(scenario, seed):
    """Shares that hold, (levels, kinds), in one set."""
    n_groups, correlation, sizes, steep = scenario
    rng = np.random.default_rng([seed, n_groups, int(100 * correlation), steep])
    low, high = SIZES[sizes]
    groups = np.repeat(np.arange(n_groups), rng.integers(low, high + 1, n_groups))
    of_groups, levels = rng.normal(size=(2, n_groups + N_NEW))
    world = of_groups, levels, correlation, steep
    X, y = observe(rng, groups, *world)
    estimator = RandomInterceptRegressor()
    if steep:
        estimator = HeteroscedasticGaussianRegressor(variance_features=[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupsWarning)
        model = estimator.fit(X, y, groups=groups)
    shares = np.empty((len(LEVELS), len(KINDS)))
    for i, some in enumerate((np.arange(n_groups), n_groups + np.arange(N_NEW))):
        shares[:, 2 * i : 2 * i + 2] = judge_rows(model, rng, some, world)
        shares[:, 4 + i] = judge_means(model, rng, some[:N_NEW], world)
    shares[:, 6:] = judge_coefficients(model, steep)
    return shares


def judge_rows(model, rng, some, world):
    """Shares of single rows that hold, (levels, 2): by normal quantiles, by t."""
    X, y = observe(rng, some, *world)
    mean, std = model.predict(X, groups=some, return_std=True)
    z = stats.norm.isf(0.5 - np.array(LEVELS) / 2)
    normal = [holds(mean - q * std, mean + q * std, y) for q in z]
    by_t = [
        model.predict_interval(X, groups=some, coverage=level, distribution="t")
        for level in LEVELS
    ]
    return np.column_stack([normal, [holds(*ends.T, y) for ends in by_t]])


def judge_means(model, rng, some, world):
    """Shares of means of rows of a group that hold, (levels,)."""
    rows = np.repeat(some, N_MEAN)
    X, y = observe(rng, rows, *world)
    mean, covariance = model.predict(X, groups=rows, return_cov=True)
    blocks = covariance.reshape(len(some), N_MEAN, len(some), N_MEAN)
    std = np.sqrt(np.einsum("giGj->gG", blocks).diagonal()) / N_MEAN
    error = (y - mean).reshape(len(some), N_MEAN).mean(axis=1)
    quantiles = stats.norm.isf(0.5 - np.array(LEVELS) / 2)
    return [holds(-z * std, z * std, error) for z in quantiles]


def judge_coefficients(model, steep):
    """Which coefficients the intervals of `summary` hold, (levels, 2).

    Its degrees of freedom, without the profile likelihood that it looks into too.
    """
    freedom = fit_of(model).coefficient_uncertainty().freedom(np.eye(3)[1:])
    quantiles = stats.t.ppf(0.5 + np.array(LEVELS)[:, None] / 2, freedom)
    return np.abs(model.coef_ - BETA) <= quantiles * model.coef_std_


def judge_scenario(scenario, n_sets):
    """Coverage and its Monte Carlo error, (levels, kinds)."""
    shares = np.array([judge_set(scenario, seed) for seed in range(n_sets)])
    return shares.mean(axis=0), shares.std(axis=0, ddof=1) / np.sqrt(n_sets)


def report(all_scenarios, coverage, error):
    """Print a table for each level."""
    for k, level in enumerate(LEVELS):
        print(f"\n{level:.0%} intervals" + "".join(f"{kind:>13}" for kind in KINDS))
        for scenario, shares, errors in zip(
            all_scenarios, coverage[:, k], error[:, k], strict=True
        ):
            n_groups, correlation, sizes, steep = scenario
            off = np.abs(shares - level) > OFF
            off &= np.abs(shares - level) > 2 * errors
            cells = [
                f"{100 * share:12.1f}" + " *"[int(star)]
                for share, star in zip(shares, off, strict=True)
            ]
            name = f"{n_groups:3d} {correlation:4.2f} {sizes[:5]}{' h' * steep}"
            print(f"{name:18}" + "".join(cells))


def report_ranges(all_scenarios, coverage):
    """Print the least and the most of each kind over correlations and balance."""
    keys = sorted({(level, *scenario[::3]) for level in range(len(LEVELS))
                   for scenario in all_scenarios})  # fmt: skip
    print("\nleast and most" + "".join(f"{kind:>13}" for kind in KINDS))
    for k, n_groups, steep in keys:
        some = [scenario[::3] == (n_groups, steep) for scenario in all_scenarios]
        ends = 100 * np.sort(coverage[some, k], axis=0)[[0, -1]]
        cells = [f"{low:.0f} to {high:.0f}" for low, high in ends.T]
        name = f"{LEVELS[k]:.0%} {n_groups:3d}{' h' * steep}"
        print(f"{name:14}" + "".join(f"{cell:>13}" for cell in cells))


def main(n_sets=1000, n_jobs=2, *n_groups):
    """Print the tables, for some numbers of groups or all of them."""
    some = [each for each in scenarios() if each[0] in (n_groups or N_GROUPS)]
    tasks = (delayed(judge_scenario)(scenario, n_sets) for scenario in some)
    coverage, error = zip(*Parallel(n_jobs=n_jobs)(tasks), strict=True)
    print(
        f"{n_sets} sets each; groups, intraclass correlation, balance, h: noise that "
        "depends on a feature"
    )
    report(some, np.array(coverage), np.array(error))
    report_ranges(some, np.array(coverage))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
