"""Crossed factors with many effects: time, memory, accuracy of the iterative solver.

    python docs/benchmarks/large_crossed.py [--peers PYTHON] [--parts fit ratings ...]

Every fit is one process.  The parts are

    fit        100,000 x 100,000 levels, 2,000,000 rows, beside 200 probes
    ratings    100,000 users and 20,000 items of Zipf popularity, 2,000,000 rows
    seeds      20,000 x 2,000 levels, 200,000 rows: the spread over 20 seeds beside the
               Monte Carlo error that is reported
    direct     the same rows by both solvers: components and predictions
    peer       gpboost's iterative solver on the rows of `fit` (its time counts no start
               of the interpreter, as ours does not)

What is printed is kept in docs/benchmarks/results/large_crossed.txt, for the page of
benchmarks; parts that are not run keep their lines.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import memory
import numpy as np

OUTPUT = Path(__file__).with_name("results") / "large_crossed.txt"
PARTS = ("fit", "ratings", "seeds", "direct", "peer")
# Rows, levels of either factor, exponent of Zipf's law of the second one's popularity.
DESIGNS = {
    "fit": (2_000_000, 100_000, 100_000, 0.0),
    "ratings": (2_000_000, 100_000, 20_000, 1.0),
    "small": (200_000, 20_000, 2_000, 0.0),
}
STD = (1.0, 0.7)
N_FEATURES, N_SEEDS, MANY_PROBES = 3, 20, 200


def make(design):
    """Features, target and the two columns of labels; coefficients are 1."""
    n, n_users, n_items, zipf = DESIGNS[design]
    rng = np.random.default_rng(7)
    weight = (10.0 + np.arange(n_items)) ** -zipf
    items = rng.choice(n_items, n, p=weight / weight.sum())
    users = rng.integers(n_users, size=n)
    users[:n_users], items[:n_items] = np.arange(n_users), np.arange(n_items)
    X = rng.normal(size=(n, N_FEATURES))
    y = X.sum(axis=1) + rng.normal(size=n)
    y += STD[0] * rng.normal(size=n_users)[users]
    y += STD[1] * rng.normal(size=n_items)[items]
    return X, y, np.column_stack([users, items])


def fit_ours(design, solver, seed, probes):
    """A fit: its time, memory and figures, as JSON."""
    from skmixed import LinearMixedRegressor
    from skmixed._likelihood import iterative

    if probes:
        iterative.N_PROBES = probes
    X, y, groups = make(design)
    model = LinearMixedRegressor(solver=solver, random_state=seed)
    start = time.perf_counter()
    _, peak = memory.watch(lambda: model.fit(X, y, groups=groups))
    found = {"seconds": time.perf_counter() - start, "bytes": peak}
    table = model.summary().variance_components
    width = np.log(table["high"] / table["low"]) / (2 * 1.96)
    found |= {"std": table["std"].tolist(), "error": (width * table["std"]).tolist()}
    if "mc_error" in table.columns:
        found["mc_error"] = table["mc_error"].tolist()
        found["std_error"] = model._fit.sampled.std_error
    some = np.random.default_rng(1).choice(len(y), 20_000, replace=False)
    start = time.perf_counter()
    mean, std = model.predict(X[some], groups=groups[some], return_std=True)
    found["predict"] = time.perf_counter() - start
    found |= {"mean": mean.tolist(), "predicted": std.tolist(), "n": model.n_iter_}
    return found


def fit_peer(design):
    """The same by gpboost, whose defaults are iterative methods for such designs."""
    import gpboost

    X, y, groups = make(design)
    columns = np.column_stack([np.ones(len(y)), X])
    start = time.perf_counter()

    def fit():
        model = gpboost.GPModel(
            group_data=groups,
            likelihood="gaussian",
            matrix_inversion_method="iterative",
        )
        return model.fit(y=y, X=columns)

    model, peak = memory.watch(fit)
    seconds = time.perf_counter() - start
    variances = np.ravel(model.get_cov_pars(format_pandas=False))
    order = np.sqrt(variances[[1, 2, 0]]).tolist()
    return {"seconds": seconds, "bytes": peak, "std": order}


def run(python, *arguments):
    """A fit in a process of its own."""
    command = [python, __file__, "--one", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def shown(found):
    """Time, memory and standard deviations of a fit."""
    std = ", ".join(f"{s:.5f}" for s in found["std"])
    return f"{found['seconds']:6.1f} s, {found['bytes'] / 1e6:5.0f} MB, std {std}"


def scaled(found, other, by):
    """Differences of the standard deviations, in units of their errors."""
    errors = np.array(found[by])
    return (np.array(found["std"]) - np.array(other["std"])) / errors


def say_fit(say, design):
    few, many = (run(sys.executable, design, "auto", 0, p) for p in (0, MANY_PROBES))
    say(f"{shown(few)} after {few['n']} evaluations")
    for probes, found in ((20, few), (MANY_PROBES, many)):
        share = np.array(found["mc_error"]) / np.array(found["error"])
        text = ", ".join(f"{s:.5f}" for s in share)
        say(f"  reported error by {probes} probes, in standard errors: {text}")
    text = ", ".join(f"{d:+.5f}" for d in scaled(few, many, "error"))
    say(f"  differences from {MANY_PROBES} probes, in standard errors: {text}")
    say(f"  20,000 predictions with std: {few['predict']:.2f} s")


def say_seeds(say, design):
    fits = [run(sys.executable, "small", "iterative", s, 0) for s in range(N_SEEDS)]
    std = np.array([found["std"] for found in fits])
    reported = np.sqrt(np.mean([np.square(f["mc_error"]) for f in fits], axis=0))
    ratio = std.std(axis=0, ddof=1) / reported
    text = ", ".join(f"{r:.2f}" for r in ratio)
    say(f"spread over {N_SEEDS} seeds, in reported errors: {text}")


def say_direct(say, design):
    solvers = "direct", "iterative"
    exact, ours = (run(sys.executable, "small", s, 0, 0) for s in solvers)
    say(f"direct    {shown(exact)}")
    say(f"iterative {shown(ours)}")
    text = ", ".join(f"{d:+.2f}" for d in scaled(ours, exact, "mc_error"))
    say(f"  differences in reported errors: {text}")
    std = np.array(exact["predicted"])
    moved = np.abs(np.array(ours["mean"]) - np.array(exact["mean"])) / std
    relative = np.array(ours["predicted"]) / std - 1
    say(f"  means of 20,000 predictions differ by {moved.max():.1e} of their std")
    say(
        f"  std differ by {np.sqrt(np.mean(relative**2)):.1e} (root mean square), "
        f"{np.abs(relative).max():.1e} at most; reported {ours['std_error']:.1e}"
    )


def main():
    """Read the command line; run the parts, or one fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="an interpreter that has gpboost")
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        design, solver, seed, probes = options.one
        if solver == "peer":
            found = fit_peer(design)
        else:
            found = fit_ours(design, solver, int(seed), int(probes))
        print(json.dumps(found))
        return
    kept = OUTPUT.read_text() if OUTPUT.exists() else ""
    kept = dict(re.findall(r"^\[(\w+)\] .*?\n((?:.+\n)*)", kept, re.M))
    for part in options.parts:
        lines = []

        def say(line, lines=lines):
            print(line, flush=True)
            lines.append(f"{line}\n")

        if part == "peer":
            if options.peers:
                say(f"gpboost   {shown(run(options.peers, 'fit', 'peer', 0, 0))}")
        else:
            {"seeds": say_seeds, "direct": say_direct}.get(part, say_fit)(say, part)
        kept[part] = "".join(lines)
        write(kept)


def write(kept):
    """Keep the lines of all parts."""
    titles = {part: DESIGNS.get(part, DESIGNS["small"]) for part in PARTS}
    titles["peer"] = DESIGNS["fit"]
    text = [
        f"[{part}] {titles[part][0]:,} rows, {titles[part][1]:,} x {titles[part][2]:,} "
        f"levels\n{kept[part]}"
        for part in PARTS
        if kept.get(part)
    ]
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text("\n".join(text))


if __name__ == "__main__":
    main()
