"""How often intervals hold where groups are few.

    python docs/studies/few_groups.py [n_sets n_jobs]

Simulates random-intercept data of 5 to 20 groups, fits them, and counts how often the
90 % intervals by the normal distribution, by Student's t and by the distribution that
is integrated over the variances hold a new row of a new group, a row of a known one,
the means of five of either, a random intercept, the intercept and the coefficients of a
feature within and of one between groups; and the 99 % intervals of the last.  Lines
come as cells are done; the counts of all cells stand at the end.
"""

import sys
from itertools import islice, product

import numpy as np
from joblib import Parallel, delayed
from scipy.stats import t

from skmixed import RandomInterceptRegressor
from skmixed._estimator import read_new
from skmixed._likelihood.mixture import mixture_interval
from skmixed._likelihood.posterior import weighted_sums_of
from skmixed._results.report import coefficient_targets

N_NEW = 5  # rows in a mean of new observations
FIRST = [0, N_NEW]  # the first new row of a new group, and of a known one
OF_NEW = np.arange(2 * N_NEW) < N_NEW
WEIGHTS = np.vstack([np.eye(2 * N_NEW)[FIRST], OF_NEW / N_NEW, ~OF_NEW / N_NEW])
BLOCK = 50  # sets that a worker does at a time
COVERAGES = (0.9, 0.99)
METHODS = ("normal", "t", "integrated")
TARGETS = ("new", "known", "new, 5", "known, 5", "b", "intercept")
TARGETS += ("within", "between")
N_GROUPS = (5, 6, 8, 12, 20)
CORRELATIONS = (0.0, 0.1, 0.4, 0.95)
SIZES = {  # (least, most) rows of a group
    "2": (2, 2),
    "6": (6, 6),
    "30": (30, 30),
    "2 to 30": (2, 30),
}


def cells():
    """Designs: groups, rows of each, intraclass correlation, features (1 to 4).

    The numbers of features go round, so that every other figure meets all of them.
    """
    axes = (enumerate(N_GROUPS), enumerate(SIZES), enumerate(CORRELATIONS))
    for (i, G), (j, name), (k, correlation) in product(*axes):
        yield G, name, correlation, 1 + (i + j + k) % 4


def simulate(cell, rng):
    """Rows of a design, the effects b, and the standard deviations of b and noise.

    All coefficients are 1.  The first feature varies within groups, the second between
    them, further ones within.
    """
    G, name, correlation, n_features = cell
    least, most = SIZES[name]
    groups = np.repeat(np.arange(G), rng.integers(least, most + 1, size=G))
    X = rng.normal(size=(len(groups), n_features))
    if n_features > 1:
        X[:, 1] = rng.normal(size=G)[groups]
    group_std, noise_std = np.sqrt(correlation), np.sqrt(1 - correlation)
    b = group_std * rng.normal(size=G)
    y = X.sum(axis=1) + b[groups] + noise_std * rng.normal(size=len(groups))
    return (X, y, groups), b, group_std, noise_std


def one_set(cell, seed):
    """Whether each interval holds its target, (coverages, methods, targets)."""
    i = list(cells()).index(cell)
    rng = np.random.default_rng([seed, i])
    (X, y, groups), b, group_std, noise_std = simulate(cell, rng)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    new = rng.normal(size=(2 * N_NEW, X.shape[1]))  # of a new group, then of the first
    if X.shape[1] > 1:
        new[:N_NEW, 1], new[N_NEW:, 1] = rng.normal(), X[0, 1]
    truth = new.sum(axis=1) + noise_std * rng.normal(size=2 * N_NEW)
    truth += np.repeat([group_std * rng.normal(), b[0]], N_NEW)
    rows = read_new(model, new, np.repeat([-1, 0], N_NEW))
    targets = np.concatenate([WEIGHTS @ truth, b[:1], [0.0, 1.0, 1.0]])
    found = np.full((len(COVERAGES), len(METHODS), len(TARGETS)), np.nan)
    for j, method in enumerate(METHODS):
        figures = distributions(rows, method)
        for i, coverage in enumerate(COVERAGES[: 1 + (method == "integrated")]):
            low, high = intervals(*figures, coverage)
            inside = (low <= targets[: len(low)]) & (targets[: len(low)] <= high)
            found[i, j, : len(low)] = np.where(np.isnan(low), np.nan, inside)
    return found


def distributions(rows, method):
    """Means, standard deviations, probabilities of components, and degrees of freedom
    of all targets; those without Student's t have NaN.
    """
    fit = rows.fit
    where = WEIGHTS, rows.X, rows.codes, rows.owner
    if method == "integrated":
        parts = fit.integrated.averages(*where), fit.integrated.random_intercepts()
        parts = *parts, coefficient_targets(fit)
        figures = [[p.mean, p.std] for p in parts]
        mean, std = (
            np.hstack([f[k] if i != 1 else f[k][:, :1] for i, f in enumerate(figures)])
            for k in (0, 1)
        )
        over = fit.integrated.over
        return mean[:, :8], std[:, :8], over.probability, over.freedom
    mean, variance = weighted_sums_of(fit.posterior, *where, rows.noise_variance)
    b, b_std = fit.posterior.modes[0], fit.posterior.modes_std()[0]
    mean = np.concatenate([mean, [b], fit.coefficients])[:8]
    std = np.concatenate([np.sqrt(variance), [b_std], fit.coefficients_std])[:8]
    freedom = np.full(len(mean), np.inf)
    if method == "t":
        freedom[:2] = fit.freedom_of(rows.X[FIRST], rows.codes[FIRST])
        freedom[2:5] = np.nan
        uncertainty = fit.coefficient_uncertainty()
        freedom[5:] = uncertainty.freedom(np.eye(len(fit.coefficients)))[:3]
    return mean, std, None, freedom


def intervals(mean, std, probability, freedom, coverage):
    """Lower and upper ends."""
    if probability is not None:
        return mixture_interval(mean, std, probability, freedom, coverage).T
    half = t.isf(0.5 - coverage / 2, freedom) * std
    return mean - half, mean + half


def block(cell, seeds):
    """Shares of the intervals of some sets that hold."""
    return np.mean([one_set(cell, seed) for seed in seeds], axis=0)


def main(n_sets=1000, n_jobs=1):
    """Print shares of intervals that hold, and how many cells hold what."""
    blocks = [range(n_sets)[i : i + BLOCK] for i in range(0, n_sets, BLOCK)]
    every = list(cells())
    tasks = (delayed(block)(cell, seeds) for cell in every for seeds in blocks)
    done = Parallel(n_jobs, return_as="generator")(tasks)
    head = "".join(f"{target:>10}" for target in TARGETS)
    print(f"90 % intervals of {n_sets} sets: normal / t / integrated\n")
    print(f"{'groups':>6} {'rows':>8} {'ICC':>5} {'features':>8}{head}")
    shares = []
    for cell in every:
        some = list(islice(done, len(blocks)))
        share = np.average(some, axis=0, weights=[len(seeds) for seeds in blocks])
        shares.append(share)
        text = "".join(f"{_text(share[0, :, j]):>10}" for j in range(len(TARGETS)))
        print(_name(cell) + text, flush=True)
    report(every, np.array(shares))


def report(every, shares):
    """How many cells hold what, and which do not."""
    print("\nShare of 90 % intervals in cells: below 88 %, below 85 %, above 96 %")
    for method, found in zip(METHODS, np.moveaxis(shares[:, 0], 1, 0), strict=True):
        found = found[~np.isnan(found)]
        print(
            f"{method:>10}: {np.mean(found < 0.88):6.1%} {np.mean(found < 0.85):6.1%} "
            f"{np.mean(found > 0.96):6.1%} of {len(found)}; least {found.min():.1%}"
        )
    least = np.nanmin(shares[:, 1, 2])
    print(f"99 % intervals, integrated: least {least:.1%}\n")
    for title, chosen in {
        "Integrated, below 88 %:": shares[:, 0, 2] < 0.88,
        "Integrated, above 96 %:": shares[:, 0, 2] > 0.96,
        "Integrated, 99 % intervals below 98 %:": shares[:, 1, 2] < 0.98,
    }.items():
        print(title)
        coverage = int("99" in title)
        for cell, share, some in zip(
            every, shares[:, coverage, 2], chosen, strict=True
        ):
            found = [f"{TARGETS[j]} {share[j]:.1%}" for j in np.flatnonzero(some)]
            if found:
                print(f"{_name(cell)}  {', '.join(found)}")


def _name(cell):
    G, name, correlation, n_features = cell
    return f"{G:6} {name:>8} {correlation:5} {n_features:8}"


def _text(shares):
    return "/".join("-" if np.isnan(s) else f"{100 * s:.0f}" for s in shares)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
