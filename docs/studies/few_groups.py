"""How often intervals hold where groups are few.

    python docs/studies/few_groups.py [n_sets n_jobs n_groups ...] [keep=folder]

Figures that were computed before are read from the folder, if one is named, and new
ones are kept there.

Simulates random-intercept data of 5 to 20 groups, fits them, and asks how often the
90 % intervals by the normal distribution, by Student's t and by the distribution that
is integrated over the variances hold a new row of a new group, a row of a known one,
the means of five of either, a random intercept, the intercept and the coefficients of a
feature within and of one between groups; and the 99 % intervals of the last.  Lines
come as cells are done; the counts of all cells stand at the end.

Targets are not drawn.  An interval moves with y along the features of the mean, so that
it depends on nothing but error contrasts; given these, a target is normal with the mean
and variance of its best prediction at the true variances, and the probability that the
interval holds it is exact.  That takes most of the noise out of the figures.  Those of
known groups are means over some groups, those of a random intercept over all.  A cell
has as many sets as make its figures as exact as `n_sets` intervals that are counted.
"""

import sys
from itertools import product
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from scipy import sparse
from scipy.special import ndtr
from scipy.stats import t

from skmixed import RandomInterceptRegressor
from skmixed._estimator import read_new
from skmixed._likelihood.integrated import Targets
from skmixed._results.one_factor_summary import coefficient_targets

N_NEW = 5  # rows in a mean of new observations
N_KNOWN = 4  # known groups with new rows
OWNER = np.repeat(np.arange(-1, N_KNOWN), N_NEW)  # groups of new rows; -1 is a new one
# The first row of every group, and the mean of all of its rows.
WEIGHTS = np.repeat(np.eye(1 + N_KNOWN), N_NEW, axis=1)
WEIGHTS = np.vstack([WEIGHTS * (np.arange(len(OWNER)) % N_NEW == 0), WEIGHTS / N_NEW])
FIRST = np.arange(0, len(OWNER), N_NEW)
BLOCK = 20  # sets after which it is asked whether they are enough
COVERAGES = (0.9, 0.99)
METHODS = ("normal", "t", "integrated")
TARGETS = ("new", "known", "new, 5", "known, 5", "b", "intercept")
TARGETS += ("within", "between")
# The kind of target of every row of `WEIGHTS`.
KINDS_OF_SUMS = np.repeat(np.arange(4), [1, N_KNOWN] * 2)
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
    """Rows of a design and the standard deviations of b and of the noise.

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
    return (X, y, groups), group_std, noise_std


def one_set(cell, seed):
    """Probabilities that intervals hold what they are of, (coverages, methods,
    targets).
    """
    G, *_, n_features = cell
    rng = np.random.default_rng([seed, list(cells()).index(cell)])
    (X, y, groups), group_std, noise_std = simulate(cell, rng)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    new = rng.normal(size=(len(OWNER), n_features))
    if n_features > 1:
        first = np.flatnonzero(np.diff(groups, prepend=-1))
        new[:, 1] = np.append(X[first, 1], rng.normal())[OWNER]
    rows = read_new(model, new, OWNER)
    n_coefficients = min(1 + n_features, 3)
    eye = np.eye(G + 1)
    truth = best_predictions(
        (with_constant(X), eye[groups], y),
        (with_constant(new), eye[OWNER], G, n_coefficients),
        np.full(G + 1, group_std**2),
        (np.full(len(y), noise_std**2), np.full(len(OWNER), noise_std**2)),
    )
    kinds = np.repeat(np.arange(4, 5 + n_coefficients), [G] + [1] * n_coefficients)
    found = np.full((len(COVERAGES), len(METHODS), len(TARGETS)), np.nan)
    for j, method in enumerate(METHODS):
        figures = distributions(rows, method, n_coefficients)
        found[:, j] = held(
            figures, truth, np.append(KINDS_OF_SUMS, kinds), len(TARGETS)
        )
    return found


def with_constant(X):
    """The columns of the mean."""
    return np.column_stack([np.ones(len(X)), X])


def best_predictions(rows, targets, effect_variance, noise_variance):
    """Means and standard deviations of targets, given the data and the true variances.

    Parameters
    ----------
    rows : (A, Z, y)
        Columns of the mean and of the random effects, and the observations.
    targets : (A, Z, n_effects, n_coefficients)
        Columns of the new rows whose sums are targets; the first effects and
        coefficients are targets too.
    effect_variance : ndarray
    noise_variance : (ndarray, ndarray)
        Of the rows and of the new rows.
    """
    A, Z, y = rows
    A_new, Z_new, n_effects, n_coefficients = targets
    p, q = A.shape[1], Z.shape[1]
    fixed = np.vstack([WEIGHTS @ A_new, np.zeros((n_effects, p)), np.eye(p)])
    random = np.vstack([WEIGHTS @ Z_new, np.eye(q)[:n_effects], np.zeros((p, q))])
    n = len(WEIGHTS) + n_effects + n_coefficients
    fixed, random = fixed[:n], random[:n]
    weighted = np.column_stack([A, y, Z]) / noise_variance[0][:, None]
    of_mean, of_effects = np.column_stack([A, y]).T @ weighted, Z.T @ weighted
    # The covariance of the effects, the coefficients known.
    K = np.linalg.solve(
        np.eye(q) + effect_variance[:, None] * of_effects[:, p + 1 :],
        np.diag(effect_variance),
    )
    left = of_mean[:, : p + 1] - of_effects[:, : p + 1].T @ K @ of_effects[:, : p + 1]
    inverse = np.linalg.inv(left[:p, :p])
    beta, pull = inverse @ left[:p, p], random @ K
    errors = fixed - pull @ of_effects[:, :p]
    mean = fixed @ beta + pull @ (of_effects[:, p] - of_effects[:, :p] @ beta)
    variance = np.sum(pull * random, axis=1) + np.sum(
        (errors @ inverse) * errors, axis=1
    )
    variance[: len(WEIGHTS)] += WEIGHTS**2 @ noise_variance[1]
    return mean, np.sqrt(variance)


def held(figures, truth, kinds, n):
    """Probabilities that intervals of both coverages hold normal values, means of the
    targets of each kind, (coverages, n); NaN where there are none.
    """
    mean, std = truth
    certain = std == 0
    scale, found = np.where(certain, 1.0, std), []
    for coverage in COVERAGES:
        low, high = intervals(*figures, coverage)
        chance = ndtr((high - mean) / scale) - ndtr((low - mean) / scale)
        inside = np.where(np.isnan(low), np.nan, (low <= mean) & (mean <= high))
        chance = np.where(certain, inside, chance)
        with np.errstate(invalid="ignore"):
            found.append(
                np.bincount(kinds, chance, n) / np.bincount(kinds, minlength=n)
            )
    return np.array(found)


def distributions(rows, method, n_coefficients):
    """Means, standard deviations, probabilities of components, and degrees of freedom
    of all targets; those without Student's t have NaN.
    """
    fit = rows.fit
    where = sparse.csr_array(WEIGHTS), rows.X, rows.codes, rows.owner
    if method == "integrated":
        parts = [fit.integrated.averages(*where), fit.integrated.random_intercepts()]
        parts.append(coefficient_targets(fit))
        n = sum(part.mean.shape[1] for part in parts[:2]) + n_coefficients
        mean, std = (
            np.hstack([p.mean for p in parts]),
            np.hstack([p.std for p in parts]),
        )
        over = fit.integrated.over
        return mean[:, :n], std[:, :n], over.probability, over.freedom
    some = slice(n_coefficients)
    mean, variance = fit.posterior.weighted_sums_of(*where, rows.noise_variance)
    b, b_std = fit.posterior.modes, fit.posterior.modes_std()
    mean = np.concatenate([mean, b, fit.coefficients[some]])
    std = np.concatenate([np.sqrt(variance), b_std, fit.coefficients_std[some]])
    freedom = np.full(len(mean), np.inf)
    if method == "t":
        freedom[:] = np.nan
        freedom[: len(FIRST)] = fit.freedom_of(rows.X[FIRST], rows.codes[FIRST])
        uncertainty = fit.coefficient_uncertainty()
        all_of_them = uncertainty.freedom(np.eye(len(fit.coefficients)))
        freedom[-n_coefficients:] = all_of_them[some]
    return mean, std, None, freedom


def intervals(mean, std, probability, freedom, coverage):
    """Lower and upper ends."""
    if probability is not None:
        return Targets(mean, std, probability, freedom).interval(coverage).T
    half = t.isf(0.5 - coverage / 2, freedom) * std
    return mean - half, mean + half


def sets_of(one, cell, n_sets, keep=None):
    """The figures ``one(cell, seed)`` of as many sets as are needed."""
    found = []
    for first in range(0, n_sets, BLOCK):
        seeds = range(first, min(first + BLOCK, n_sets))
        found.append(block_of(one, cell, seeds, keep))
        if is_exact(np.concatenate(found), n_sets):
            break
    return np.concatenate(found)


def block_of(one, cell, seeds, keep):
    """The same of some seeds, which a folder `keep` has if they were asked before."""
    name = "_".join(map(str, (*cell, seeds.start, seeds.stop))).replace(" ", "-")
    path = None if keep is None else Path(keep) / f"{name}.npy"
    if path is not None and path.exists():
        return np.load(path)
    found = np.array([one(cell, seed) for seed in seeds])
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, found)
    return found


def take_keep(arguments):
    """Arguments without ``keep=folder``, and the folder, None without one."""
    folders = [a.removeprefix("keep=") for a in arguments if a.startswith("keep=")]
    others = [a for a in arguments if not a.startswith("keep=")]
    return others, folders[-1] if folders else None


def is_exact(found, n_sets):
    """Whether no figure of the integrated distribution, or of Student's t where there
    is none, has a larger Monte Carlo error than if `n_sets` intervals of 90 % had been
    counted.
    """
    method = 1 if np.isnan(found[:, 0, 2]).all() else 2
    error = found[:, 0, method].std(axis=0) / np.sqrt(len(found))
    return not np.nanmax(error, initial=0.0) > np.sqrt(0.9 * 0.1 / n_sets)


def run(one, cells, names, n_sets, n_jobs, keep=None):
    """Print a line for each cell as it is done, and then how many cells hold what."""
    tasks = (delayed(sets_of)(one, cell, n_sets, keep) for cell in cells)
    done, every = Parallel(n_jobs, return_as="generator")(tasks), []
    for cell, found in zip(cells, done, strict=True):
        share, error = found.mean(axis=0), found.std(axis=0) / np.sqrt(len(found))
        every.append((share, error))
        line = "".join(f"{_text(some):>12}" for some in share[0].T)
        none = np.isnan(share[1, 2]).all()
        least = "-" if none else f"{np.nanmin(share[1, 2]):.1%}"
        print(f"{_name(cell)}{line}{least:>9}{len(found):6}", flush=True)
    shares, errors = (np.array(figures) for figures in zip(*every, strict=True))
    report([_name(cell) for cell in cells], names, shares, errors)


def report(cells, targets, shares, errors):
    """How many cells hold what, and which do not.

    An asterisk is at figures that miss by more than two Monte Carlo errors.
    """
    print("\nShare of 90 % intervals in cells: below 88 %, below 85 %, above 96 %")
    for method, found in zip(METHODS, np.moveaxis(shares[:, 0], 1, 0), strict=True):
        found = found[~np.isnan(found)]
        if not len(found):  # no cell offers it
            continue
        print(
            f"{method:>10}: {np.mean(found < 0.88):6.1%} {np.mean(found < 0.85):6.1%} "
            f"{np.mean(found > 0.96):6.1%} of {len(found)}; least {found.min():.1%}"
        )
    if np.isnan(shares[:, :, 2]).all():
        return
    print(f"99 % intervals, integrated: least {np.nanmin(shares[:, 1, 2]):.1%}\n")
    for title, i, bound, sign in (
        ("Integrated, below 88 %:", 0, 0.88, -1),
        ("Integrated, above 96 %:", 0, 0.96, 1),
        ("Integrated, 99 % intervals below 98 %:", 1, 0.98, -1),
    ):
        print(title)
        for cell, share, error in zip(
            cells, shares[:, i, 2], errors[:, i, 2], strict=True
        ):
            beyond = sign * (share - bound)
            found = [
                f"{targets[j]} {share[j]:.1%}{'*' * int(beyond[j] > 2 * error[j])}"
                for j in np.flatnonzero(beyond > 0)
            ]
            if found:
                print(f"{cell}  {', '.join(found)}")


def main(n_sets=1000, n_jobs=1, *n_groups, keep=None):
    """Print shares of intervals that hold, and how many cells hold what."""
    head = "".join(f"{target:>12}" for target in TARGETS)
    print(f"90 % intervals, as of {n_sets} sets: normal / t / integrated\n")
    head = f"{'groups':>6} {'rows':>8} {'ICC':>5} {'features':>8}{head}"
    print(f"{head}     99 %  sets", flush=True)
    chosen = [cell for cell in cells() if not n_groups or cell[0] in n_groups]
    run(one_set, chosen, TARGETS, n_sets, n_jobs, keep)


def _name(cell):
    """The cell in columns."""
    return " ".join(f"{x:>{w}}" for x, w in zip(cell, (6, 8, 5, 8), strict=False))


def _text(shares):
    return "/".join("-" if np.isnan(s) else f"{100 * s:.0f}" for s in shares)


if __name__ == "__main__":
    figures, folder = take_keep(sys.argv[1:])
    main(*map(int, figures), keep=folder)
