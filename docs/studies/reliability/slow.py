"""Is there a small input whose fit takes long?

    python docs/studies/reliability/slow.py [n_problems n_jobs first_seed]

Fits problems of up to 2,000 rows and 100 columns, many of them with fewer than five
rows for each column, with every option of the estimators; then as many of the mixed
models, of one to three factors, with slopes and modelled noise.  Prints how many fits
took longer than some bounds, and those that took the most CPU time.
"""

import sys
import time
import warnings
from dataclasses import replace

import harness  # noqa: F401  # It puts the tests on the path.
import numpy as np
from joblib import Parallel, delayed
from oracles import random_terms
from oracles.random_problems import COLUMNS, GROUPS, TARGETS, make
from sklearn.linear_model import Ridge

from skmixed import (
    HeteroscedasticGaussianRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)

LARGEST_N, LARGEST_P = 2000, 100
BOUNDS = (1, 3, 10)  # Seconds of CPU.
N_WORST = 10


def draw(seed):
    """A random problem, and its story in a line."""
    rng = np.random.default_rng(seed)
    story, line = any_story(rng)
    story |= {
        "groups": rng.choice(np.array(GROUPS, dtype=object)),
        "n_groups": int(rng.integers(1, story["n"])),
        "weight": rng.choice(np.array([None, "counts", "ratio"], dtype=object)),
        "labels": "int",
        "container": str(rng.choice(["array", "csr"])),
        "seed": seed,
    }
    return make(any_estimator(rng, len(story["columns"])), story), line


def any_story(rng):
    """The ingredients of a problem of any estimator, and its columns in words."""
    n = int(np.exp(rng.uniform(np.log(10), np.log(LARGEST_N))))
    p = min(int(n * np.exp(rng.uniform(np.log(0.02), np.log(2)))), LARGEST_P)
    plain = rng.random() < 0.5
    story = {
        "n": n,
        "columns": ["normal"] * p if plain else list(rng.choice(COLUMNS, size=p)),
        "target": str(rng.choice(TARGETS)),
        "noise": float(rng.choice([1.0, 0.1, 1e-3])),
        "unit": 0,
        "units": [0] * p,
    }
    return story, f"{p} columns, plain: {plain}, "


def draw_mixed(seed):
    """A random problem of a mixed model, and its story in a line."""
    rng = np.random.default_rng([seed, 1])
    story, line = any_story(rng)
    n, p = story["n"], len(story["columns"])
    n_factors = int(rng.integers(1, 4))
    relations = rng.choice(random_terms.RELATIONS, size=n_factors - 1)
    story |= {
        "levels": [str(rng.choice(["random", "pairs", "giant"])), *map(str, relations)],
        "n_levels": int(rng.integers(1, max(2, n // 2))),
        "terms": [any_term(rng, p) for _ in range(n_factors)],
        "weight": rng.choice(np.array([None, "counts", "ratio"], dtype=object)),
        "table": "frame",
        "labels": ["int"] * n_factors,
        "container": str(rng.choice(["array", "csr"])),
        "seed": seed,
    }
    options = {
        "method": str(rng.choice(["reml", "ml"])),
        "alpha": float(rng.choice([0.0, 0.0, 1e-6, 1.0])),
    }
    if rng.random() < 0.3:
        options["variance_features"] = (
            "all" if rng.random() < 0.5 else [*range(min(p, 2))]
        )
    problem = random_terms.make(options, story)
    if n_factors == 1 and rng.random() < 0.2:
        any_mean = MixedEffectsRegressor(Ridge())
        dense, groups = problem.dense, problem.codes[0]
        problem = replace(problem, estimator=any_mean, X=dense, groups=groups)
    return problem, line


def any_term(rng, p):
    """Columns with slopes, whether there is an intercept, and the bar."""
    columns = rng.choice(p, size=min(p, int(rng.integers(0, 3))), replace=False)
    intercept = len(columns) == 0 or bool(rng.random() < 0.75)
    return tuple(map(int, columns)), intercept, str(rng.choice(["|", "|", "||"]))


def any_estimator(rng, p):
    """One estimator with random options; most are heteroscedastic."""
    options = {
        "method": str(rng.choice(["reml", "ml"])),
        "alpha": float(rng.choice([0.0, 0.0, 1e-6, 1.0])),
    }
    if rng.random() < 0.2:
        return RandomInterceptRegressor(**options)
    few = list(range(min(p, 2)))
    return HeteroscedasticGaussianRegressor(
        **options,
        fit_variance_intercept=bool(rng.random() < 0.8),
        variance_alpha=float(rng.choice([0.0, 0.0, 0.1])),
        mean_features=few if rng.random() < 0.2 else None,
        variance_features=few if rng.random() < 0.3 else None,
        mean_groups=rng.choice(np.array(["random", "random", "fixed", None])),
        variance_groups=rng.choice(np.array([None, None, "fixed"])),
    )


def seconds_of(draw_problem, seed):
    """Seconds of CPU that a fit takes, and its problem in a line."""
    problem, line = draw_problem(seed)
    start, kind = time.process_time(), "fitted"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            problem.estimator.fit(**problem.data)
        except ValueError:
            kind = "refused"
    seconds = time.process_time() - start
    told = "n", "target", "noise", "groups", "n_groups", "levels", "n_levels"
    told = (*told, "weight", "container")
    line += ", ".join(
        f"{key} {problem.story[key]}" for key in told if key in problem.story
    )
    estimator = " ".join(repr(problem.estimator).split())
    return seconds, f"seed {seed}, {kind}: {estimator} on {line}"


def main(n_problems=2_000, n_jobs=2, first_seed=0):
    """Print the counts and the worst, of either kind of problems."""
    for draw_problem in (draw, draw_mixed):
        print_times(draw_problem, range(first_seed, first_seed + n_problems), n_jobs)


def print_times(draw_problem, seeds, n_jobs):
    """Print the counts and the worst of some seeds."""
    found = []
    for one in Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(seconds_of)(draw_problem, seed) for seed in seeds
    ):
        found.append(one)
        if one[0] > BOUNDS[-1]:
            print(f"{one[0]:8.2f} s  {one[1]}", flush=True)
    seconds = np.array([one[0] for one in found])
    kind, total = draw_problem.__name__, seconds.sum()
    print(f"{len(found)} problems by {kind}, {total:.0f} s of CPU")
    for bound in BOUNDS:
        print(f"    longer than {bound} s: {np.sum(seconds > bound)}")
    for one in sorted(found, reverse=True)[:N_WORST]:
        print(f"{one[0]:8.2f} s  {one[1]}", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
