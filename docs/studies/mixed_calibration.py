"""Do predictive intervals of models with several factors hold what they promise?

    python docs/studies/mixed_calibration.py [n_sets first_seed]

Simulates sets of a crossed design, half of the cells of 30 subjects by 30 items, and of
a nested one, 30 schools of three classes of four pupils; fits each by REML, and counts
how often the 90 % intervals of ``predict_interval(distribution="t")`` and the normal
ones hold a new observation: of labels that are known or new, factor by factor.  In a
crossed design that is known/known, known/new, new/known and new/new; a new school has
no known class.  Prints percentages and their Monte Carlo errors after every 100 sets,
from the spread between sets.
"""

import sys

import numpy as np
import pandas as pd
from scipy.stats import norm

from skmixed import LinearMixedRegressor

COVERAGE = 0.9
BETA = np.array([1.0, 0.5])
N_LEVELS = 30
# Standard deviations of the outer or first factor, of the other, and of the noise.
STD = 1.0, 0.7, 1.0
N_CLASSES, N_PUPILS = 3, 4
EVERY = 100  # sets between two printouts


def observe(rng, first, second, levels):
    """Features and target of rows, given positions of their levels."""
    x = rng.normal(size=len(first))
    effects = levels[0][first] + levels[1][second]
    y = BETA[0] + BETA[1] * x + effects + STD[2] * rng.normal(size=len(first))
    return x[:, None], y


def crossed(rng):
    """Terms, levels, rows of the fit, and rows to predict by kind."""
    levels = [std * rng.normal(size=2 * N_LEVELS) for std in STD[:2]]
    cells = rng.permutation(N_LEVELS**2)[: N_LEVELS**2 // 2]
    known, new = np.arange(N_LEVELS), N_LEVELS + np.arange(N_LEVELS)
    rows = {
        "known/known": (known, rng.permutation(N_LEVELS)),
        "known/new": (known, new),
        "new/known": (new, known),
        "new/new": (new, new),
    }
    fitted = cells // N_LEVELS, cells % N_LEVELS
    return "(1 | first) + (1 | second)", levels, fitted, rows


def nested(rng):
    """The same; the second factor counts the classes of all schools."""
    n_schools = 2 * N_LEVELS
    n_classes = 2 * N_CLASSES
    sizes = n_schools, n_schools * n_classes
    levels = [std * rng.normal(size=n) for std, n in zip(STD[:2], sizes, strict=True)]
    school = np.repeat(np.arange(N_LEVELS), N_CLASSES * N_PUPILS)
    number = np.tile(np.repeat(np.arange(N_CLASSES), N_PUPILS), N_LEVELS)
    known, new = np.arange(N_LEVELS), N_LEVELS + np.arange(N_LEVELS)
    rows = {
        "known/known": (known, known * n_classes),
        "known/new": (known, known * n_classes + N_CLASSES),
        "new/new": (new, new * n_classes),
    }
    fitted = school, school * n_classes + number
    return "(1 | first/second)", levels, fitted, rows


DESIGNS = {"crossed": crossed, "nested": nested}


def judge(design, seed):
    """Shares that the intervals hold, {kind: (by t, by normal)}."""
    rng = np.random.default_rng([seed, len(design)])
    terms, levels, fitted, rows = DESIGNS[design](rng)
    X, y = observe(rng, *fitted, levels)
    model = LinearMixedRegressor(terms).fit(X, y, groups=table(fitted))
    shares = {}
    for kind, some in rows.items():
        X, y = observe(rng, *some, levels)
        asked = {"groups": table(some)}
        low, high = model.predict_interval(
            X, coverage=COVERAGE, distribution="t", **asked
        ).T
        mean, std = model.predict(X, return_std=True, **asked)
        half = norm.isf(0.5 - COVERAGE / 2) * std
        by_t = np.mean((low <= y) & (y <= high))
        shares[kind] = by_t, np.mean(np.abs(y - mean) <= half)
    return shares


def table(labels):
    """A table of labels, which are numbers."""
    return pd.DataFrame(dict(zip(("first", "second"), labels, strict=True)))


def report(design, shares):
    """Print the coverage of each kind."""
    n_sets = len(shares)
    for kind in shares[0]:
        values = 100 * np.array([each[kind] for each in shares])
        error = values.std(axis=0, ddof=1) / np.sqrt(n_sets)
        cells = [
            f"{m:9.2f} +- {e:.2f}" for m, e in zip(values.mean(0), error, strict=True)
        ]
        print(f"{design:8} {kind:12}{n_sets:6d} sets" + "".join(cells), flush=True)


def main(n_sets=1000, first_seed=0):
    """Print the percentages of both designs."""
    print(
        f"{COVERAGE:.0%} intervals" + " " * 21 + "by t".rjust(16) + "normal".rjust(17)
    )
    found = {design: [] for design in DESIGNS}
    for number in range(n_sets):
        for design, shares in found.items():
            shares.append(judge(design, first_seed + number))
        if (number + 1) % EVERY == 0 or number + 1 == n_sets:
            for design, shares in found.items():
                report(design, shares)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
