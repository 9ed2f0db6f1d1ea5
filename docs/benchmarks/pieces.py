"""Where the time of a random-intercept fit goes, piece by piece.

    python docs/benchmarks/pieces.py [--rows 1000 10000 100000 1000000]

Times the steps of the data flow within whole fits, medians of some of them; what is
not in a step (copies of the estimator, messages) is the rest.  Prints a table in
milliseconds of CPU time, which results/pieces.md keeps: run it with one thread of BLAS.
"""

import argparse
import time
from unittest import mock

import numpy as np
from problems import PROBLEMS
from results import RESULTS

import skmixed
from skmixed import _estimator
from skmixed._input import table
from skmixed._results import one_variance
from skmixed._rows import reduction

STEPS = {
    "validation of X and y": (table, "_check_columns"),
    "labels": (table, "index_groups"),
    "order of the rows": (reduction, "rows_by_group"),
    "reduction of the rows": (reduction, "map_runs"),
    "columns, pooling": (one_variance, "state_likelihood"),
    "search": (one_variance, "best_ratio"),
    "posterior": (one_variance, "_posterior"),
    "attributes": (_estimator.GroupedRegressor, "_keep"),
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


def one_fit(data):
    """Seconds of every step, of the rest, and of the whole."""
    spent = dict.fromkeys(STEPS, 0.0)
    patches = [
        mock.patch.object(owner, name, watched(getattr(owner, name), spent, step))
        for step, (owner, name) in STEPS.items()
    ]
    for patch in patches:
        patch.start()
    start = time.process_time()
    skmixed.RandomInterceptRegressor().fit(data.X, data.y, groups=data.groups)
    whole = time.process_time() - start
    for patch in patches:
        patch.stop()
    return [*spent.values(), whole - sum(spent.values()), whole]


def pieces(n_rows):
    """Medians of some fits, in milliseconds."""
    name = {1_000_000: "million"}.get(n_rows, f"rows-{n_rows:.0e}".replace("e+0", "e"))
    data = PROBLEMS[name].make()
    n_fits = int(np.clip(3e6 / n_rows, 4, 40))
    return 1e3 * np.median([one_fit(data) for _ in range(n_fits + 1)][1:], axis=0)


def main():
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--rows", nargs="+", type=int, default=[10**3, 10**4, 10**5, 10**6]
    )
    rows = parser.parse_args().rows
    columns = [pieces(n_rows) for n_rows in rows]
    lines = ["| ms | " + " | ".join(f"{n:,} rows" for n in rows) + " |"]
    lines.append("| --- |" + " ---: |" * len(rows))
    for i, step in enumerate([*STEPS, "rest", "whole fit"]):
        cells = (f"{column[i]:.3g}" for column in columns)
        lines.append(f"| {step} | {' | '.join(cells)} |")
    text = "\n".join(lines)
    print(text)
    (RESULTS / "pieces.md").write_text(text + "\n")


if __name__ == "__main__":
    main()
