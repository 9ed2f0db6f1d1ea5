"""Do intervals of models with slopes and several factors hold what they promise?

    python docs/studies/mixed_calibration.py [n_sets first_seed n_levels ...]

Simulates sets of a crossed design, half of the cells of 30 subjects by 30 items (or as
many as are given), of a nested one, 30 schools of three classes of four pupils, and of
30 groups of eight rows with a slope.  Fits each by REML, and counts how often the 90 %
intervals of ``predict_interval(distribution="t")`` and the normal ones hold a new
observation: of labels that are known or new, factor by factor.  In a crossed design
that is known/known, known/new, new/known and new/new; a new school has no known class.
Counts as well how often the intervals of `summary` hold coefficients and components.
Prints percentages and their Monte Carlo errors after every 100 sets, from the spread
between sets.
"""

import sys

import numpy as np
import pandas as pd
from scipy.stats import norm

from skmixed import LinearMixedRegressor
from skmixed._estimator import fit_of

COVERAGE = 0.9
BETA = np.array([1.0, 0.5])
N_LEVELS = 30
# New labels of each factor in the rows to predict.
N_NEW = 30
# Standard deviations of the outer or first factor, of the other (or the slope), and of
# the noise.
STD = 1.0, 0.7, 1.0
N_CLASSES, N_PUPILS = 3, 4
N_ROWS = 8
EVERY = 100  # sets between two printouts


def observe(rng, first, second, levels, has_slope=False):
    """Features and target of rows, given positions of their levels."""
    x = rng.normal(size=len(first))
    second = levels[1][second] * (x if has_slope else 1.0)
    y = BETA[0] + BETA[1] * x + levels[0][first] + second
    return x[:, None], y + STD[2] * rng.normal(size=len(first))


def crossed(rng, n):
    """Terms, levels, rows of the fit, and rows to predict by kind."""
    levels = [std * rng.normal(size=n + N_NEW) for std in STD[:2]]
    cells = rng.permutation(n**2)[: n**2 // 2]
    fitted = cells // n, cells % n
    known, second = map(np.unique, fitted)
    new, number = n + np.arange(N_NEW), len(known)
    others, again = np.resize(rng.permutation(second), number), np.arange(number)
    rows = {
        "known/known": (known, others),
        "known/new": (known, new[again % N_NEW]),
        "new/known": (new[again % N_NEW], np.resize(second, number)),
        "new/new": (new, new),
    }
    return "(1 | first) + (1 | second)", levels, fitted, rows


def nested(rng, n):
    """The same; the second factor counts the classes of all schools."""
    n_schools = n + N_NEW
    n_classes = 2 * N_CLASSES
    sizes = n_schools, n_schools * n_classes
    levels = [std * rng.normal(size=n) for std, n in zip(STD[:2], sizes, strict=True)]
    school = np.repeat(np.arange(n), N_CLASSES * N_PUPILS)
    number = np.tile(np.repeat(np.arange(N_CLASSES), N_PUPILS), n)
    known, new = np.arange(n), n + np.arange(N_NEW)
    rows = {
        "known/known": (known, known * n_classes),
        "known/new": (known, known * n_classes + N_CLASSES),
        "new/new": (new, new * n_classes),
    }
    fitted = school, school * n_classes + number
    return "(1 | first/second)", levels, fitted, rows


def slopes(rng, n):
    """The same; the second column of labels is that of the first."""
    levels = [std * rng.normal(size=n + N_NEW) for std in STD[:2]]
    group = np.repeat(np.arange(n), N_ROWS)
    known, new = np.arange(n), n + np.arange(N_NEW)
    rows = {"known": (known, known), "new": (new, new)}
    return "(x0 | first)", levels, (group, group), rows


DESIGNS = {"crossed": crossed, "nested": nested, "slopes": slopes}


def judge(design, seed, n_levels=N_LEVELS):
    """Shares that the intervals hold, {kind: (by t, by normal)}."""
    rng = np.random.default_rng([seed, len(design)])
    terms, levels, fitted, rows = DESIGNS[design](rng, n_levels)
    has_slope = design == "slopes"
    X, y = observe(rng, *fitted, levels, has_slope)
    model = LinearMixedRegressor(terms).fit(X, y, groups=table(fitted))
    shares = {}
    for kind, some in rows.items():
        X, y = observe(rng, *some, levels, has_slope)
        asked = {"groups": table(some)}
        low, high = model.predict_interval(
            X, coverage=COVERAGE, distribution="t", **asked
        ).T
        mean, std = model.predict(X, return_std=True, **asked)
        half = norm.isf(0.5 - COVERAGE / 2) * std
        by_t = np.mean((low <= y) & (y <= high))
        shares[kind] = by_t, np.mean(np.abs(y - mean) <= half)
    return shares | judge_parameters(model, has_slope)


def judge_parameters(model, has_slope):
    """The same of coefficients and components; components have one kind."""
    summary, fit = model.summary(COVERAGE), fit_of(model)
    estimate, std = fit.coefficients, np.append(model.intercept_std_, model.coef_std_)
    by_t = holds(summary.coefficients, BETA)
    by_normal = np.abs(estimate - BETA) <= norm.isf(0.5 - COVERAGE / 2) * std
    shares = dict(
        zip(
            ("intercept", "coefficient"), zip(by_t, by_normal, strict=True), strict=True
        )
    )
    truth = [*STD[:2], 0.0, STD[2]] if has_slope else [*STD[:2], STD[2]]
    names = ["std 1", "std 2", "correlation", "noise"]
    names = names if has_slope else [*names[:2], names[3]]
    inside = holds(summary.variance_components, np.array(truth))
    return shares | {
        name: (one, np.nan) for name, one in zip(names, inside, strict=True)
    }


def holds(intervals, truth):
    """Which intervals of a table hold the truth; an end that is not there is none."""
    low, high = np.array(intervals["low"]), np.array(intervals["high"])
    return ~((low > truth) | (high < truth))


def table(labels):
    """A table of labels, which are numbers."""
    return pd.DataFrame(dict(zip(("first", "second"), labels, strict=True)))


def report(design, n_levels, shares):
    """Print the coverage of each kind."""
    n_sets = len(shares)
    for kind in shares[0]:
        values = 100 * np.array([each[kind] for each in shares])
        error = values.std(axis=0, ddof=1) / np.sqrt(n_sets)
        cells = [
            f"{m:9.2f} +- {e:.2f}" if m == m else ""
            for m, e in zip(values.mean(0), error, strict=True)
        ]
        name = f"{design:8}{n_levels:4d} {kind:12}{n_sets:6d} sets"
        print(name + "".join(cells), flush=True)


def main(n_sets=1000, first_seed=0, *some):
    """Print the percentages of all designs, for some numbers of levels."""
    print(
        f"{COVERAGE:.0%} intervals" + " " * 24 + "by t".rjust(16) + "normal".rjust(17)
    )
    found = {(design, n): [] for n in some or (N_LEVELS,) for design in DESIGNS}
    for number in range(n_sets):
        for (design, n_levels), shares in found.items():
            shares.append(judge(design, first_seed + number, n_levels))
        if (number + 1) % EVERY == 0 or number + 1 == n_sets:
            for key, shares in found.items():
                report(*key, shares)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
