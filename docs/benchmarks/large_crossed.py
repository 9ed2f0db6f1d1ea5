"""Crossed factors with many effects: time, memory, accuracy of the iterative solver.

    python docs/benchmarks/large_crossed.py [--peers PYTHON] [--parts fit ratings ...]
        [--seeds 20]

Every fit is one process.  The parts are

    fit          100,000 x 100,000 levels, 2,000,000 rows
    peer         gpboost's iterative solver on the same rows (its time counts no start
                 of the interpreter, as ours does not)
    ratings      100,000 users and 20,000 items of Zipf popularity, 2,000,000 rows
    probes       the rows of `fit` with 20 probes and with 200
    seeds        the rows of `fit`: the spread over 20 seeds of the probes beside the
                 Monte Carlo error that is reported
    seeds_small  the same of 20,000 x 2,000 levels, 200,000 rows
    direct       these rows by both solvers: components and predictions
    chain        50,000 classes in 5,000 schools, and 200 raters, 1,000,000 rows, by
                 both solvers; the third standard deviation is that of schools

The output is kept in docs/benchmarks/results/large_crossed.txt, for the page of
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
from scipy.stats import chi2

OUTPUT = Path(__file__).with_name("results") / "large_crossed.txt"
# Rows, levels of either factor, exponent of Zipf's law of the second one's popularity.
DESIGNS = {
    "fit": (2_000_000, 100_000, 100_000, 0.0),
    "ratings": (2_000_000, 100_000, 20_000, 1.0),
    "small": (200_000, 20_000, 2_000, 0.0),
    "chain": (1_000_000, 50_000, 200, 0.0),
}
STD = (1.0, 0.7)
# The design with factors around the first: levels of it in one, standard deviation.
AROUND, STD_AROUND = 10, 0.5
N_FEATURES, FEW_PROBES, MANY_PROBES = 3, 20, 200


def make(design):
    """Features, target and the columns of labels; coefficients are 1."""
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
    if design != "chain":
        return X, y, np.column_stack([users, items])
    around = users // AROUND
    y += STD_AROUND * rng.normal(size=n_users // AROUND)[around]
    return X, y, np.column_stack([users, items, around])


def fit_ours(design, solver, seed, probes):
    """A fit: its time, memory and figures, as JSON."""
    from skmixed import LinearMixedRegressor
    from skmixed._likelihood import iterative

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
    some = np.random.default_rng(1).choice(len(y), 20_000, replace=False)
    start = time.perf_counter()
    mean, std = model.predict(X[some], groups=groups[some], return_std=True)
    found["predict"] = time.perf_counter() - start
    found |= {"mean": mean.tolist(), "predicted": std.tolist(), "n": model.n_iter_}
    if "mc_error" in table.columns:
        codes = list(groups[some].T)  # all labels occur
        error = model._fit.posterior.variance_error(X[some], codes) / (2 * std)
        found["predicted_error"] = error.tolist()
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


def say_fit(say, design, options):
    found = run(sys.executable, design, "auto", 0, FEW_PROBES)
    say(f"{shown(found)} after {found['n']} evaluations")
    say(f"20,000 predictions with std: {found['predict']:.2f} s")


def say_peer(say, design, options):
    if options.peers:
        say(f"gpboost {shown(run(options.peers, design, 'peer', 0, 0))}")


def say_probes(say, design, options):
    fits = [
        run(sys.executable, design, "auto", 0, probes)
        for probes in (FEW_PROBES, MANY_PROBES)
    ]
    for probes, found in zip((FEW_PROBES, MANY_PROBES), fits, strict=True):
        share = np.array(found["mc_error"]) / np.array(found["error"])
        say(f"error by {probes} probes, in standard errors: {_listed(share, '.5f')}")
    moved = scaled(*fits, "error")
    say(f"differences between the two, in standard errors: {_listed(moved, '+.5f')}")


def say_seeds(say, design, options):
    fits = []
    for seed in range(options.seeds):
        fits.append(run(sys.executable, design, "iterative", seed, FEW_PROBES))
        print(f"seed {seed}: {fits[-1]['std']} {fits[-1]['mc_error']}", flush=True)
    std = np.array([found["std"] for found in fits])
    reported = np.sqrt(np.mean([np.square(f["mc_error"]) for f in fits], axis=0))
    spread = std.std(axis=0, ddof=1)
    rows = ("spread of the std", spread), ("reported error", reported)
    for name, values in rows:
        say(f"{name + ',':18} {len(fits)} seeds: " + _listed(values, ".2e"))
    low, high = np.sqrt(chi2.ppf([0.025, 0.975], len(fits) - 1) / (len(fits) - 1))
    say(
        f"spread in reported errors: {_listed(spread / reported, '.2f')} "
        f"(where these are right, 95 % of ratios are from {low:.2f} to {high:.2f})"
    )


def _listed(values, form):
    return ", ".join(f"{v:{form}}" for v in values)


def say_direct(say, design, options):
    solvers = "direct", "iterative"
    exact, ours = (run(sys.executable, design, s, 0, FEW_PROBES) for s in solvers)
    say(f"direct    {shown(exact)}")
    say(f"iterative {shown(ours)}")
    text = ", ".join(f"{d:+.2f}" for d in scaled(ours, exact, "mc_error"))
    say(f"  differences in reported errors: {text}")
    std = np.array(exact["predicted"])
    moved = np.abs(np.array(ours["mean"]) - np.array(exact["mean"])) / std
    say(f"  means of 20,000 predictions differ by {moved.max():.1e} of their std")
    errors = np.array(ours["predicted_error"])
    moved = np.abs(np.array(ours["predicted"]) - std)
    found, reported = (np.sqrt(np.mean((e / std) ** 2)) for e in (moved, errors))
    say(
        f"  their std differ by {found:.1e} of themselves (root mean square; reported "
        f"{reported:.1e}): {np.mean(moved <= errors):.0%} of them within the reported "
        f"error, {np.mean(moved <= 2 * errors):.0%} within two"
    )


def say_chain(say, design, options):
    for solver in ("auto", "iterative"):
        found = run(sys.executable, design, solver, 0, FEW_PROBES)
        name = "direct" if solver == "auto" else solver
        say(f"{name:9} {shown(found)} after {found['n']} evaluations")
        say(f"20,000 predictions with std: {found['predict']:.2f} s")


# The function that says the lines of each part, and the design in its title.
PARTS = {
    "fit": (say_fit, "fit"),
    "peer": (say_peer, "fit"),
    "ratings": (say_fit, "ratings"),
    "probes": (say_probes, "fit"),
    "seeds": (say_seeds, "fit"),
    "seeds_small": (say_seeds, "small"),
    "direct": (say_direct, "small"),
    "chain": (say_chain, "chain"),
}


def main():
    """Read the command line; run the parts, or one fit."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", help="an interpreter that has gpboost")
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--seeds", type=int, default=20, help="number of seeds")
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
    for part in options.parts:
        lines = []

        def say(line, lines=lines):
            print(line, flush=True)
            lines.append(f"{line}\n")

        function, design = PARTS[part]
        function(say, design, options)
        keep(part, "".join(lines))


def keep(part, lines):
    """Replace the lines of a part in the file."""
    kept = OUTPUT.read_text() if OUTPUT.exists() else ""
    kept = dict(re.findall(r"^\[(\w+)\] .*?\n((?:.+\n)*)", kept, re.M))
    kept[part] = lines
    titles = {part: DESIGNS[design] for part, (_, design) in PARTS.items()}
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
