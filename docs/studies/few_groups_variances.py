"""How often intervals hold where groups are few and there are several variances.

    python docs/studies/few_groups_variances.py [n_sets n_jobs kind ...] [keep=folder]

Random slopes, two crossed factors, and a random intercept beside a noise that depends
on a feature; 6, 12 and 30 groups of 3 to 12 rows.  A fourth kind, "many", is random
slopes of four features, whose 15 variances and covariances are not integrated over:
Student's t adds the variance of estimated weights there.  The program asks how often
90 % intervals by the normal distribution, by Student's t and by the distribution that
is integrated over the variances hold a new row of a new group, a row of a known one,
the means of five of either, a random intercept, another effect, the intercept and the
coefficients, in the way of `few_groups.py`.
"""

import sys

import numpy as np
import pandas as pd
from few_groups import (
    COVERAGES,
    FIRST,
    KINDS_OF_SUMS,
    METHODS,
    OWNER,
    WEIGHTS,
    best_predictions,
    held,
    run,
    take_keep,
    with_constant,
)
from scipy import sparse

from skmixed import LinearMixedRegressor
from skmixed._estimator import read_new
from skmixed._results.one_factor_summary import coefficient_targets

TARGETS = ("new", "known", "new, 5", "known, 5", "b")
TARGETS += ("b, other", "intercept", "x0", "x1")
KINDS = ("slopes", "crossed", "noise", "many")
N_GROUPS = (6, 12, 30)
STDS = {"weak": 0.2, "strong": 1.0}  # of the effects; that of the noise is 1
ROWS = (3, 12)  # least and most rows of a group
N_OTHER = 8  # levels of the other factor


def one_set(cell, seed):
    """Probabilities that intervals hold what they are of, (coverages, methods,
    targets).
    """
    kind, G, strength = cell
    place = KINDS.index(kind), G, list(STDS).index(strength)
    rng = np.random.default_rng([seed, *place])
    sizes = rng.integers(ROWS[0], ROWS[1] + 1, size=G)
    g = np.append(np.repeat(np.arange(G), sizes), OWNER)
    n, known = len(g) - len(OWNER), np.arange(len(g)) < len(g) - len(OWNER)
    X = rng.normal(size=(len(g), 4 if kind == "many" else 2))
    h = rng.integers(0, N_OTHER, size=len(g))
    h[n:] = np.where(OWNER < 0, -1, h[0])
    Z, counts = effects_of(kind, G, g, h, X)
    noise = np.exp(X[:, 1]) if kind == "noise" else np.ones(len(g))
    variance = np.full(Z.shape[1], STDS[strength] ** 2)
    b = np.sqrt(variance) * rng.normal(size=len(variance))
    y = (X.sum(axis=1) + Z @ b + np.sqrt(noise) * rng.normal(size=len(g)))[:n]
    table = pd.DataFrame({"g": g, "h": h})
    model = fitted(kind, X[:n], y, table[:n])
    rows = read_new(model, X[n:], table[["g", "h"][: 1 + (kind == "crossed")]][n:])
    A = with_constant(X)
    truth = best_predictions(
        (A[known], Z[known], y),
        (A[~known], Z[~known], sum(counts), 3),
        variance,
        (noise[known], noise[~known]),
    )
    kinds = np.append(KINDS_OF_SUMS, np.repeat(np.arange(4, 9), [*counts, 1, 1, 1]))
    found = np.full((len(COVERAGES), len(METHODS), len(TARGETS)), np.nan)
    for j, method in enumerate(METHODS):
        if method != "integrated" or rows.offers_integrated:
            found[:, j] = held(distributions(rows, method, kind), truth, kinds, 9)
    return found


def effects_of(kind, G, g, h, X):
    """Columns of the random effects, those of known levels first, and the number of
    known intercepts and of known other effects.
    """
    first = np.eye(G + 1)[g]
    if kind == "noise":
        return first, (G, 0)
    if kind == "crossed":
        others = [(h[:, None] == np.append(np.unique(h[h >= 0]), -1)).astype(float)]
    else:
        others = [first * x[:, None] for x in (X.T if kind == "many" else X.T[:1])]
    each = [first, *others]
    columns = [Z[:, :-1] for Z in each] + [Z[:, -1:] for Z in each]
    return np.hstack(columns), (G, others[0].shape[1] - 1)


def fitted(kind, X, y, table):
    """The model of a kind."""
    if kind == "noise":
        model = LinearMixedRegressor("(1 | g)", variance_features=[1])
        return model.fit(X, y, groups=table[["g"]])
    if kind in ("slopes", "many"):
        names = (
            " + ".join(f"x{j}" for j in range(X.shape[1])) if kind == "many" else "x0"
        )
        return LinearMixedRegressor(f"({names} | g)").fit(X, y, groups=table[["g"]])
    return LinearMixedRegressor("(1 | g) + (1 | h)").fit(X, y, groups=table)


def distributions(rows, method, kind):
    """Means, standard deviations, probabilities of components, and degrees of freedom
    of all targets; those without Student's t have NaN.
    """
    weight = sparse.csr_array(WEIGHTS)
    fit, where = rows.fit, (weight, rows.X, rows.codes, rows.owner)
    factors = range(1 + (kind == "crossed"))
    if method == "integrated":
        parts = [fit.integrated.averages(*where)]
        found = [fit.integrated.random_effects(t) for t in factors]
        pairs = [(f.mean[:, i::2], f.std[:, i::2]) for f in found for i in range(2)]
        if kind != "slopes":
            pairs = [(f.mean, f.std) for f in found]
        targets = [parts[0], coefficient_targets(fit)]
        first, last = [(target.mean, target.std) for target in targets]
        mean, std = (np.hstack(p) for p in zip(first, *pairs, last, strict=True))
        over = fit.integrated.over
        return mean, std, over.probability, over.freedom
    sums = fit.posterior.weighted_sums_of(*where, rows.noise_variance)
    effects = [np.array(fit.effects(t)) for t in factors]  # (2, levels, q) each
    effects = [e[:, :, :2] for e in effects]  # of the intercept, and of one slope
    effects = np.hstack([np.hstack(list(np.moveaxis(e, 2, 0))) for e in effects])
    if method == "t":
        some = [code[FIRST] for code in rows.codes]
        sums[1][: len(FIRST)] += fit.added_variance(rows.X[FIRST], some)
    mean = np.concatenate([sums[0], effects[0], fit.coefficients[:3]])
    std = np.concatenate([np.sqrt(sums[1]), effects[1], fit.coefficients_std[:3]])
    freedom = np.full(len(mean), np.inf)
    if method == "t":
        freedom[:] = np.nan
        freedom[: len(FIRST)] = rows.freedom()[FIRST]
        uncertainty = fit.coefficient_uncertainty()
        freedom[-3:] = uncertainty.freedom(np.eye(len(fit.coefficients))[:3])
    return mean, std, None, freedom


def main(n_sets=500, n_jobs=1, *kinds, keep=None):
    """Print shares of intervals that hold."""
    cells = [(k, G, s) for k in kinds or KINDS[:3] for G in N_GROUPS for s in STDS]
    head = "".join(f"{target:>12}" for target in TARGETS)
    print(f"90 % intervals, as of {n_sets} sets: normal / t / integrated\n")
    head = f"{'kind':>6} {'groups':>8} {'effects':>5}{head}"
    print(f"{head}     99 %  sets", flush=True)
    run(one_set, cells, TARGETS, n_sets, n_jobs, keep)


if __name__ == "__main__":
    words, folder = take_keep(sys.argv[1:])
    main(*map(int, words[:2]), *words[2:], keep=folder)
