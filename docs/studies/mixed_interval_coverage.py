"""Do the intervals of a model with random slopes hold the truth, with 12 and 30 groups?

    python docs/studies/mixed_interval_coverage.py [n_sets n_groups first_seed]

Simulates sets of groups of 4 to 12 rows with random intercepts and slopes that are
correlated, a feature that varies within groups and has the slope, one that varies
within groups and has none, and one that is constant in groups.  Fits each by REML, and
counts how often 95 % intervals hold the truth: Satterthwaite's t intervals of the
coefficients (from `summary`), the intervals of `summary` for the components, and
profile-likelihood intervals of all of them, which hold the truth if the deviance with
the truth held is above its least by less than the quantile.  Prints percentages and
their Monte Carlo errors after every 100 sets.
"""

import sys
import time

import numpy as np
from scipy.stats import chi2

from skmixed import LinearMixedRegressor
from skmixed._estimator import fit_of
from skmixed._results.mixed_profile import names_of_components, profile_curve

COVERAGE = 0.95
GROUP_SIZES = (4, 12)
BETA = np.array([1.0, 0.5, -0.5, -1.0])  # intercept, slope, within, between groups
STDS, CORRELATION, NOISE_STD = np.array([0.8, 0.5]), 0.3, 1.0
COEFFICIENTS = "intercept", "slope", "within groups", "between groups"
COMPONENTS = "std of intercepts", "std of slopes", "correlation", "std of noise"
ROWS = [
    *(f"t, {name}" for name in COEFFICIENTS),
    *(f"summary, {name}" for name in COMPONENTS),
    *(f"profile, {name}" for name in (*COEFFICIENTS, *COMPONENTS)),
]
EVERY = 100  # sets between two printouts
# A share within so many Monte Carlo errors of this range is as it should be.
RANGE, ERRORS = (0.93, 0.97), 2.0


def simulate(seed, n_groups):
    """Features, target, groups."""
    rng = np.random.default_rng([seed, n_groups])
    sizes = rng.integers(*GROUP_SIZES, endpoint=True, size=n_groups)
    groups = np.repeat(np.arange(n_groups), sizes)
    X = np.column_stack(
        [rng.normal(size=(len(groups), 2)), rng.normal(size=n_groups)[groups]]
    )
    effects = rng.normal(size=(n_groups, 2))
    effects[:, 1] *= np.sqrt(1 - CORRELATION**2)
    effects[:, 1] += CORRELATION * effects[:, 0]
    effects *= STDS
    y = BETA[0] + X @ BETA[1:] + effects[groups, 0] + effects[groups, 1] * X[:, 0]
    return X, y + NOISE_STD * rng.normal(size=len(groups)), groups


def covered(seed, n_groups):
    """Which of the intervals of one set hold the truth, in the order of `ROWS`."""
    X, y, groups = simulate(seed, n_groups)
    model = LinearMixedRegressor("(x0 | g)").fit(X, y, groups=groups)
    summary, fit = model.summary(COVERAGE), fit_of(model)
    tables = summary.coefficients, summary.variance_components
    found = [np.column_stack([table["low"], table["high"]]) for table in tables]
    # A standard deviation of 0 has no upper end there, and a correlation of 1 none.
    found[1] = np.where(np.isnan(found[1]), [-np.inf, np.inf], found[1])
    truth = [*BETA, *STDS, CORRELATION, NOISE_STD]
    low, high = np.vstack(found).T
    names = "intercept", *fit.names, *names_of_components(fit)
    rises = [
        profile_curve(fit, name, [value])[1]
        for name, value in zip(names, truth, strict=True)
    ]
    inside = np.concatenate(rises) <= chi2.ppf(COVERAGE, 1)
    return np.append((low <= truth) & (truth <= high), inside)


def report(n_groups, shares, start):
    """Print the coverage of each interval."""
    share = np.mean(shares, axis=0)
    error = np.sqrt(share * (1 - share) / len(shares))
    off = (share < RANGE[0] - ERRORS * error) | (share > RANGE[1] + ERRORS * error)
    print(f"{len(shares)} sets of {n_groups} groups, nominal {COVERAGE:.0%}")
    for name, *figures, star in zip(ROWS, share, error, off, strict=True):
        print(
            f"{name:32}{figures[0]:8.1%} +- {figures[1]:.1%}{' *' * bool(star)}",
            flush=True,
        )
    spent = time.monotonic() - start
    print(f"after {spent:.0f} s", file=sys.stderr, flush=True)


def main(n_sets=1000, n_groups=12, first_seed=0):
    """Print the percentages."""
    shares, start = [], time.monotonic()
    for number in range(n_sets):
        shares.append(covered(first_seed + number, n_groups))
        if (number + 1) % EVERY == 0 or number + 1 == n_sets:
            report(n_groups, shares, start)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
