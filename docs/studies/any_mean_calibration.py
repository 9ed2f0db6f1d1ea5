"""Do intervals of MixedEffectsRegressor hold what they promise?

    python docs/studies/any_mean_calibration.py [n_sets first_seed]

Draws the simulated sets of `any_mean.py` again and again, fits boosted trees beside a
random intercept, with one noise variance and with a modelled one, and counts how often
90 % intervals hold rows of known groups and of groups that were not in the fit.  Prints
percentages and their Monte Carlo errors, from the spread between sets, after every set.
"""

import sys

import any_mean
import numpy as np

NAMES = "linear", "smooth", "friedman", "slopes", "between", "noise", "many small"
SHAPES = {"many small": (500, 3)}
COMMON = 80, 15  # groups, rows of each on average
METHODS = any_mean.OURS, "skmixed, modelled noise"


def cover(name, seed):
    """Shares of the rows of a set that are covered, by (question, method)."""
    one = any_mean.simulated_set(name, seed, *SHAPES.get(name, COMMON))
    scores = any_mean.compare(list(any_mean.make_tasks([one], 1)), METHODS)
    return {key: score["cover"] for key, score in scores.items()}


def main(n_sets=20, first_seed=100):
    """Print the percentages."""
    found = {}
    for seed in range(first_seed, first_seed + n_sets):
        for name in NAMES:
            for key, share in cover(name, seed).items():
                found.setdefault(key, []).append(100 * share)
        print(f"{seed - first_seed + 1} sets of each", flush=True)
        for (question, name, method), shares in sorted(found.items()):
            error = np.std(shares) / np.sqrt(max(len(shares) - 1, 1))
            line = f"{np.mean(shares):8.1f} +- {error:.1f}"
            print(f"{question:7}{name:12}{method:28}{line}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
