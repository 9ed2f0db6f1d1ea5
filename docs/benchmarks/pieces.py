"""Where the time of a fit goes, piece by piece: random intercepts, and slopes.

    python docs/benchmarks/pieces.py [--rows 1000 10000 100000 1000000]

Times the steps of the data flow within whole fits, medians of some of them; what is
not in a step (copies of the estimator, messages) is the rest.  Prints a table in
milliseconds of CPU time, which results/pieces.md keeps: run it with one thread of BLAS.
Labels, order and the one sweep over the rows are the floor of any fit.
"""

import argparse
import time
from unittest import mock

import adapters
import numpy as np
from problems import PROBLEMS
from results import RESULTS

from skmixed import _estimator, linear_mixed
from skmixed._input import table
from skmixed._results import mixed_fit, random_intercept
from skmixed._rows import elimination, reduction
from skmixed._search import mixed

STEPS = {
    "validation of X and y": (table, "_check_columns"),
    "labels": (table, "index_groups"),
    "order of the rows": (reduction, "rows_by_group"),
    "reduction of the rows": (reduction, "map_runs"),
    "columns, pooling": (random_intercept, "make_likelihood"),
    "search": (random_intercept, "best_ratio"),
    "posterior": (random_intercept, "_posterior"),
    "attributes": (_estimator.GroupedRegressor, "_keep"),
}


SLOPES = {
    "validation of X and y": (table, "_check_columns"),
    "labels": (linear_mixed, "read_labels"),
    "reduction of the rows": (elimination, "_eliminate_few"),
    "search": (mixed, "best_optimum"),
    "posterior": (mixed_fit, "make_posterior"),
}


def watched(function, spent, step):
    """The function, which adds its time to `spent[step]`."""

    def run(*args, **kwargs):
        start = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[step] += time.process_time() - start

    return run


def one_fit(fit, steps):
    """Seconds of every step, of the rest, and of the whole."""
    spent = dict.fromkeys(steps, 0.0)
    patches = [
        mock.patch.object(owner, name, watched(getattr(owner, name), spent, step))
        for step, (owner, name) in steps.items()
    ]
    for patch in patches:
        patch.start()
    start = time.process_time()
    fit()
    whole = time.process_time() - start
    for patch in patches:
        patch.stop()
    return [*spent.values(), whole - sum(spent.values()), whole]


def pieces(name, steps):
    """Medians of some fits of a problem, in milliseconds."""
    problem = PROBLEMS[name]
    fit = adapters.load("skmixed").prepare(problem, problem.make())
    n_fits = int(np.clip(3e6 / problem.n_rows, 4, 40))
    found = [one_fit(fit, steps) for _ in range(n_fits + 1)]
    return 1e3 * np.median(found[1:], axis=0)


def table_of(steps, heads, columns):
    """The table, as the page shows it."""
    lines = ["| ms | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for i, step in enumerate([*steps, "rest", "whole fit"]):
        cells = (f"{column[i]:.3g}" for column in columns)
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main():
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rows", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6]
    )
    columns, heads = [], []
    for n_rows in parser.parse_args().rows:
        name = f"rows-{n_rows:.0e}".replace("e+0", "e")
        name = {1_000_000: "million"}.get(n_rows, name)
        columns.append(pieces(name, STEPS))
        heads.append(f"{n_rows:,} rows")
    of_slopes = pieces("slopes", SLOPES)
    text = table_of(STEPS, heads, columns) + "\n\n"
    text += table_of(SLOPES, ["1,000,000 rows, intercepts and slopes"], [of_slopes])
    print(text)
    (RESULTS / "pieces.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
