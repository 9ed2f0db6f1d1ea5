"""How often intervals hold where groups are few and there are several variances.

    python docs/studies/few_groups_variances.py [n_sets n_jobs kind ...]

Random slopes, two crossed factors, and a random intercept beside a noise that depends
on a feature; 6, 12 and 30 groups of 3 to 12 rows.  Counts how often 90 % intervals by
the normal distribution, by Student's t and by the distribution that is integrated over
the variances hold a new row of a new group, a row of a known one, the means of five of
either, a random intercept, another effect, the intercept and the coefficients.
"""

import sys
from itertools import islice

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from scipy.stats import t

from skmixed import LinearMixedRegressor
from skmixed._estimator import read_new
from skmixed._likelihood.mixture import mixture_interval
from skmixed._results.report import coefficient_targets

N_NEW = 5  # rows in a mean of new observations
BLOCK = 20  # sets that a worker does at a time
COVERAGES = (0.9, 0.99)
METHODS = ("normal", "t", "integrated")
TARGETS = ("new", "known", "new, 5", "known, 5", "b")
TARGETS += ("b, other", "intercept", "x0", "x1")
KINDS = ("slopes", "crossed", "noise")
N_GROUPS = (6, 12, 30)
STDS = {"weak": 0.2, "strong": 1.0}  # of the effects; that of the noise is 1
ROWS = (3, 12)  # least and most rows of a group
N_OTHER = 8  # levels of the other factor
FIRST = [0, N_NEW]  # the first new row of a new group, and of a known one
OF_NEW = np.arange(2 * N_NEW) < N_NEW
WEIGHTS = np.vstack([np.eye(2 * N_NEW)[FIRST], OF_NEW / N_NEW, ~OF_NEW / N_NEW])


def one_set(kind, G, strength, seed):
    """Whether each interval holds its target, (coverages, methods, targets)."""
    place = KINDS.index(kind), G, list(STDS).index(strength)
    rng = np.random.default_rng([seed, *place])
    sizes = rng.integers(ROWS[0], ROWS[1] + 1, size=G)
    g = np.append(np.repeat(np.arange(G), sizes), np.repeat([G, 0], N_NEW))
    n, std = len(g) - 2 * N_NEW, STDS[strength]
    X = rng.normal(size=(len(g), 2))
    h = rng.integers(0, N_OTHER, size=len(g))
    h[n:] = np.repeat([N_OTHER, h[0]], N_NEW)
    noise = np.exp(0.5 * X[:, 1]) if kind == "noise" else 1.0
    b, other = std * rng.normal(size=G + 1), std * rng.normal(size=max(G, N_OTHER) + 1)
    effects = {"slopes": other[g] * X[:, 0], "crossed": other[h], "noise": 0.0}
    mean = X.sum(axis=1) + b[g] + effects[kind]
    y = mean + noise * rng.normal(size=len(g))
    table = pd.DataFrame({"g": g, "h": h})
    model = fitted(kind, X[:n], y[:n], table[:n])
    groups = table[["g", "h"][: 1 + (kind == "crossed")]][n:]
    rows = read_new(model, X[n:], groups)
    has_other = kind != "noise"
    other = [other[h[0] if kind == "crossed" else 0]] * has_other
    targets = np.concatenate([WEIGHTS @ y[n:], b[:1], other, [0.0, 1.0, 1.0]])
    which = [True] * 5 + [has_other] + [True] * 3
    found = np.full((len(COVERAGES), len(METHODS), len(TARGETS)), np.nan)
    for j, method in enumerate(METHODS):
        if method == "integrated" and not rows.offers_integrated:
            continue
        figures = distributions(rows, method, kind, h[0])
        for i, coverage in enumerate(COVERAGES[: 1 + (method == "integrated")]):
            low, high = intervals(*figures, coverage)
            inside = (low <= targets) & (targets <= high)
            found[i, j, which] = np.where(np.isnan(low), np.nan, inside)
    return found


def fitted(kind, X, y, table):
    """The model of a kind."""
    if kind == "noise":
        model = LinearMixedRegressor("(1 | g)", variance_features=[1])
        return model.fit(X, y, groups=table[["g"]])
    if kind == "slopes":
        return LinearMixedRegressor("(x0 | g)").fit(X, y, groups=table[["g"]])
    return LinearMixedRegressor("(1 | g) + (1 | h)").fit(X, y, groups=table)


def distributions(rows, method, kind, level):
    """Means, standard deviations, probabilities of components, and degrees of freedom
    of all targets; those without Student's t have NaN.

    `level` is that of the other factor.
    """
    fit, where = rows.fit, (WEIGHTS, rows.X, rows.codes, rows.owner)
    if method == "integrated":
        parts = [fit.integrated.averages(*where), *of_effects(fit, kind, level)]
        parts.append(coefficient_targets(fit))
        mean, std = (np.hstack([p[k] for p in map(both, parts)]) for k in (0, 1))
        over = fit.integrated.over
        return mean, std, over.probability, over.freedom
    sums = rows.joint.weighted_sums_of(fit.posterior, *where, rows.noise_variance)
    effects = modes(fit, kind, level)
    mean = np.concatenate([sums[0], effects[0], fit.coefficients])
    std = np.concatenate([np.sqrt(sums[1]), effects[1], fit.coefficients_std])
    freedom = np.full(len(mean), np.inf)
    if method == "t":
        freedom[:2] = rows.freedom()[FIRST]
        freedom[2:-3] = np.nan
        uncertainty = fit.coefficient_uncertainty()
        freedom[-3:] = uncertainty.freedom(np.eye(len(fit.coefficients)))
    return mean, std, None, freedom


def both(targets):
    """Means and standard deviations of `Targets` or of a pair."""
    return targets if isinstance(targets, tuple) else (targets.mean, targets.std)


def of_effects(fit, kind, level):
    """Means and standard deviations of the effects that are targets."""
    found = fit.integrated.random_effects(0)
    if kind != "crossed":
        some = slice(0, 1 + (kind == "slopes"))
        return [(found.mean[:, some], found.std[:, some])]
    other, i = fit.integrated.random_effects(1), place_of(fit, level)
    pairs = (found, slice(0, 1)), (other, slice(i, i + 1))
    return [(f.mean[:, some], f.std[:, some]) for f, some in pairs]


def modes(fit, kind, level):
    """The same by the estimated variances."""
    if kind != "crossed":
        return [figures[0] for figures in fit.effects(0)]
    i = place_of(fit, level)
    return [
        np.append(first[0], other[i])
        for first, other in zip(fit.effects(0), fit.effects(1), strict=True)
    ]


def place_of(fit, level):
    """Position of a level of the other factor."""
    return int(np.flatnonzero(fit.known.labels_of(1) == level)[0])


def intervals(mean, std, probability, freedom, coverage):
    """Lower and upper ends."""
    if probability is not None:
        return mixture_interval(mean, std, probability, freedom, coverage).T
    half = t.isf(0.5 - coverage / 2, freedom) * std
    return mean - half, mean + half


def block(kind, G, strength, seeds):
    """Shares of the intervals of some sets that hold."""
    return np.mean([one_set(kind, G, strength, seed) for seed in seeds], axis=0)


def main(n_sets=500, n_jobs=1, *kinds):
    """Print shares of intervals that hold."""
    blocks = [range(n_sets)[i : i + BLOCK] for i in range(0, n_sets, BLOCK)]
    cells = [(k, G, s) for k in kinds or KINDS for G in N_GROUPS for s in STDS]
    tasks = (delayed(block)(*cell, seeds) for cell in cells for seeds in blocks)
    done = Parallel(n_jobs, return_as="generator")(tasks)
    head = "".join(f"{target:>10}" for target in TARGETS)
    print(f"90 % intervals of {n_sets} sets: normal / t / integrated\n")
    print(f"{'kind':>8} {'groups':>6} {'effects':>8}{head}    99 %", flush=True)
    shares = []
    for kind, G, strength in cells:
        some = list(islice(done, len(blocks)))
        share = np.average(some, axis=0, weights=[len(seeds) for seeds in blocks])
        shares.append(share)
        text = "".join(f"{_text(share[0, :, j]):>10}" for j in range(len(TARGETS)))
        told = share[1, 2][~np.isnan(share[1, 2])]
        least = f"{told.min():.1%}" if len(told) else "-"
        print(f"{kind:>8} {G:6} {strength:>8}{text}   {least}", flush=True)
    print("\nShare of 90 % intervals in cells: below 88 %, below 85 %, above 96 %")
    of_methods = np.moveaxis(np.array(shares)[:, 0], 1, 0)
    for method, found in zip(METHODS, of_methods, strict=True):
        found = found[~np.isnan(found)]
        print(
            f"{method:>10}: {np.mean(found < 0.88):6.1%} {np.mean(found < 0.85):6.1%} "
            f"{np.mean(found > 0.96):6.1%} of {len(found)}; least {found.min():.1%}"
        )


def _text(shares):
    return "/".join("-" if np.isnan(s) else f"{100 * s:.0f}" for s in shares)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]), *sys.argv[3:])
