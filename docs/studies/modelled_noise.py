"""Is any other program's likelihood higher where the noise is modelled too?

    python docs/studies/modelled_noise.py [n_problems]
    python docs/studies/modelled_noise.py speed

The first simulates small problems with slopes, nested and crossed factors, and a
log-variance that is linear in one or two features, fits each here, by REML or ML in
turns, and by glmmTMB and nlme (`modelled_noise.R`; R with these packages is needed).
It prints, for each of those, how many of the log-likelihoods are higher, equal and
lower, for fits that converged by their own account and for others, and the number of
evaluations that the fits here took.  The second times one crossed design
of 800 x 60 levels, 20,000 rows and three features of the log-variance, here and by
glmmTMB, each in a process of its own that has fitted a small model before.
"""

import csv
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from mixed_optima import KINDS, effects

from skmixed import LinearMixedRegressor

EQUAL = 1e-6  # in log-likelihood
LOWER = 1e-3
SCRIPT = Path(__file__).with_suffix(".R")


def simulate(seed):
    """Terms, features of the log-variance, rows [y x0 x1], labels [g h p], method."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    n_levels = rng.integers(8, 25)
    n = int(n_levels * rng.integers(4, 13))
    X = rng.normal(size=(n, 2))
    g = rng.permutation(np.arange(n) % n_levels)
    h, p = rng.permutation(np.arange(n) % rng.integers(5, 12)), g // 3
    columns = np.column_stack([np.ones(n), X])
    features = [[0], [1], [0, 1]][rng.integers(3)]
    log_std = X[:, features] @ rng.normal(0.0, 0.5, len(features))
    y = X.sum(axis=1) + rng.normal(size=n) * np.exp(log_std)
    for codes, name in ((g, "g"), (h, "h"), (p, "p")):
        if f"| {name})" in kind:
            y = y + np.sum(effects(rng, codes, 3) * columns, axis=1)
    rows, labels = np.column_stack([y, X]), np.column_stack([g, h, p])
    return kind, features, rows, labels, ("reml", "ml")[seed // len(KINDS) % 2]


def write(path, rows, labels):
    """A table for R."""
    lines = ["y," + ",".join(f"x{j}" for j in range(rows.shape[1] - 1)) + ",g,h,p"]
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        lines.append(",".join([*map(repr, row), *(f"l{code}" for code in label)]))
    path.write_text("\n".join(lines))


def fit(kind, features, rows, labels, method):
    """The model, fitted here."""
    table = np.empty(len(labels), dtype=[(name, int) for name in "ghp"])
    for name, codes in zip("ghp", labels.T, strict=True):
        table[name] = codes
    model = LinearMixedRegressor(kind, method=method, variance_features=features)
    return model.fit(rows[:, 1:], rows[:, 0], groups=table)


def fits(n_problems, folder):
    """Log-likelihoods and evaluations; the data go to files."""
    found, counts = {}, []
    for k in range(n_problems):
        kind, features, rows, labels, method = simulate(k)
        write(folder / f"{k}.csv", rows, labels)
        dispersion = " + ".join(f"x{j}" for j in features)
        (folder / f"{k}.txt").write_text(f"{kind}\n{dispersion}\n{method}")
        model = fit(kind, features, rows, labels, method)
        found[k] = model.log_likelihood_
        counts.append(model.n_iter_)
    return found, np.array(counts)


def compare(n_problems):
    """Fit all, and print who is above whom."""
    with tempfile.TemporaryDirectory() as name:
        found, counts = fits(n_problems, Path(name))
        command = ["Rscript", str(SCRIPT), "fits", name, str(n_problems)]
        subprocess.run(command, check=True)
        with open(Path(name) / "peers.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    print(f"{'':16s}  fits  higher  equal  lower  by 1e-3   most")
    for peer in list(dict.fromkeys(row["peer"] for row in rows)):
        for converged in ("TRUE", "FALSE"):
            above = np.array(
                [
                    float(row["loglik"]) - found[int(row["problem"])]
                    for row in rows
                    if row["peer"] == peer
                    and row["converged"] == converged
                    and row["loglik"] != "NA"
                ]
            )
            if not len(above):
                continue
            label = peer if converged == "TRUE" else f"{peer}, not"
            higher, lower = np.sum(above > EQUAL), np.sum(above < -EQUAL)
            print(
                f"{label:16s} {len(above):5d} {higher:7d} "
                f"{len(above) - higher - lower:6d} {lower:6d} "
                f"{int(np.sum(above < -LOWER)):8d} {max(-above.min(), 0):6.2f}"
            )
    median, most = np.percentile(counts, [50, 95])
    print(f"Evaluations: median {median:.0f}, 95 % {most:.0f}, at most {counts.max()}.")


def crossed(n_rows=20_000, n_first=800, n_second=60):
    """A crossed design with three features of the log-variance."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 3))
    g, h = rng.integers(n_first, size=n_rows), rng.integers(n_second, size=n_rows)
    y = X @ [1.0, 0.5, 0.0] + rng.normal(size=n_first)[g]
    y += 0.7 * rng.normal(size=n_second)[h]
    y += rng.normal(size=n_rows) * np.exp(0.5 * (X @ [0.5, -0.3, 0.2]))
    return np.column_stack([y, X]), np.column_stack([g, h, g])


def speed():
    """Time one fit here and one of glmmTMB, by REML."""
    rows, labels = crossed()
    fit("(1 | g) + (1 | h)", "all", rows[:500], labels[:500], "reml")
    start = np.array([time.perf_counter(), time.process_time()])
    model = fit("(1 | g) + (1 | h)", "all", rows, labels, "reml")
    ours = np.array([time.perf_counter(), time.process_time()]) - start
    with tempfile.TemporaryDirectory() as name:
        write(Path(name) / "crossed.csv", rows, labels)
        command = ["Rscript", str(SCRIPT), "speed", name]
        printed = subprocess.run(command, check=True, capture_output=True, text=True)
    *theirs, loglik = map(float, printed.stdout.split())
    for clock, here, there in zip(("elapsed", "CPU"), ours, theirs, strict=True):
        print(
            f"{clock:8s} skmixed {here:.3f} s, glmmTMB {there:.2f} s, "
            f"ratio {there / here:.0f}"
        )
    print(f"log-likelihood less glmmTMB's: {model.log_likelihood_ - loglik:.1e}")


if __name__ == "__main__":
    if sys.argv[1:] == ["speed"]:
        speed()
    else:
        compare(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
