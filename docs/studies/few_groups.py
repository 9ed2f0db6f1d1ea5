"""How often intervals hold where groups are few.

    python docs/studies/few_groups.py [n_sets n_jobs]

Simulates random-intercept data of 5 to 20 groups, fits them, and counts how often the
90 % intervals by the normal distribution, by Student's t and by the distribution that
is integrated over the variances hold a new row of a new group, a row of a known one,
the means of five of either, a random intercept, the intercept and the coefficients of a
feature within and of one between groups; and the 99 % intervals of the last.
"""

import sys
from itertools import product

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t

from skmixed import RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._results.report import coefficient_targets

N_NEW = 5  # rows in a mean of new observations
COVERAGES = (0.9, 0.99)
METHODS = ("normal", "t", "integrated")
TARGETS = ("row, new", "mean, new", "row, known", "mean, known", "b", "intercept")
TARGETS += ("within", "between")


def cells():
    """Designs: number of groups, rows of each, intraclass correlation, features."""
    sizes = {
        "2": lambda rng, G: np.full(G, 2),
        "6": lambda rng, G: np.full(G, 6),
        "30": lambda rng, G: np.full(G, 30),
        "2 to 30": lambda rng, G: rng.integers(2, 31, size=G),
    }
    for G, name, correlation in product((5, 6, 8, 12, 20), sizes, (0.0, 0.3, 0.95)):
        n_features = 1 + (G + len(name)) % 3  # 1 to 3, and one between groups
        if G > 5:
            yield G, name, sizes[name], correlation, n_features
        else:
            yield G, name, sizes[name], correlation, 1


def one_set(cell, seed):
    """Whether each interval holds its target, (coverages, methods, targets)."""
    G, name, size, correlation, n_features = cell
    rng = np.random.default_rng([seed, G, len(name), int(100 * correlation)])
    groups = np.repeat(np.arange(G), size(rng, G))
    X = rng.normal(size=(len(groups), 1 + n_features))
    X[:, 0] = rng.normal(size=G)[groups]  # between groups
    group_std, noise_std = np.sqrt(correlation), np.sqrt(1 - correlation)
    b = group_std * rng.normal(size=G)
    y = X.sum(axis=1) + b[groups] + noise_std * rng.normal(size=len(groups))
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    new = rng.normal(size=(N_NEW, X.shape[1]))
    new[:, 0] = rng.normal()
    known = new.copy()
    known[:, 0] = X[0, 0]
    truth = new.sum(axis=1) + noise_std * rng.normal(size=N_NEW)
    truth_new = truth + group_std * rng.normal()
    truth_known = truth - new[:, 0] + known[:, 0] + b[0]
    rows = (new, np.full(N_NEW, -1), truth_new), (known, np.zeros(N_NEW), truth_known)
    found = np.full((len(COVERAGES), len(METHODS), len(TARGETS)), np.nan)
    for j, method in enumerate(METHODS):
        found[0, j] = holds(model, rows, b[0], COVERAGES[0], method)
    found[1, -1] = holds(model, rows, b[0], COVERAGES[1], METHODS[-1])
    return found


def holds(model, rows, b, coverage, method):
    """For one kind of interval; NaN where there is none."""
    found = []
    options = {"coverage": coverage, "distribution": method}
    for X, groups, truth in rows:
        low, high = model.predict_interval(X[:1], groups=groups[:1], **options)[0]
        found.append(low <= truth[0] <= high)
        if method == "t":
            found.append(np.nan)
            continue
        mean = {**options, "average": True}
        low, high = model.predict_interval(X, groups=groups, **mean)
        found.append(low <= truth.mean() <= high)
    if method == "t":
        found.append(np.nan)
    else:
        low, high = model.random_intercepts_interval(coverage, method)[0]
        found.append(low <= b <= high)
    return found + holds_coefficients(fit_of(model), coverage, method)


def holds_coefficients(fit, coverage, method):
    """Whether the intercept 0 and the first two coefficients 1 are held."""
    if method == "integrated":
        low, high = coefficient_targets(fit).interval(coverage)[:3].T
    else:
        freedom = np.inf
        if method == "t":
            freedom = fit.coefficient_uncertainty().freedom(
                np.eye(len(fit.coefficients))
            )[:3]
        half = t.isf(0.5 - coverage / 2, freedom) * fit.coefficients_std[:3]
        low, high = fit.coefficients[:3] - half, fit.coefficients[:3] + half
    intercept, between, within = (low <= [0, 1, 1]) & (high >= [0, 1, 1])
    return [intercept, within, between]


def main(n_sets=1000, n_jobs=1):
    """Print shares of intervals that hold, and how many cells hold what."""
    shares = []
    head = "".join(f"{target:>15}" for target in TARGETS)
    print(f"90 % intervals of {n_sets} sets: normal / t / integrated\n")
    print(f"{'groups':>6} {'rows':>8} {'ICC':>5} {'features':>8}{head}")
    for cell in cells():
        sets = Parallel(n_jobs)(delayed(one_set)(cell, s) for s in range(n_sets))
        share = np.mean(sets, axis=0)
        shares.append(share)
        G, name, _, correlation, n_features = cell
        text = "".join(f"{_text(share[0, :, j]):>15}" for j in range(len(TARGETS)))
        print(f"{G:6} {name:>8} {correlation:5} {1 + n_features:8}{text}", flush=True)
    shares = np.array(shares)
    print("\nCells of 90 % intervals below 88 %, below 85 %, and the least; above 96 %")
    for method, found in zip(METHODS, np.moveaxis(shares[:, 0], 1, 0), strict=True):
        found = found[~np.isnan(found)]
        print(
            f"{method:>10}: {np.mean(found < 0.88):6.1%} {np.mean(found < 0.85):6.1%} "
            f"{found.min():6.1%}; {np.mean(found > 0.96):6.1%} of {len(found)}"
        )
    print(f"integrated, 99 %: least {shares[:, 1, 2].min():.1%}")


def _text(shares):
    return "/".join("-" if np.isnan(s) else f"{100 * s:.0f}" for s in shares)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
