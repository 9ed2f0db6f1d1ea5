"""Is any other program's likelihood of a linear mixed model higher?

    python docs/studies/mixed_optima.py [n_problems]

Simulates small problems with slopes, and with nested and crossed factors; about half of
them have a singular covariance.  Every one is fitted here, by REML and ML, and by lme4
with four optimisers, glmmTMB and nlme (`mixed_optima.R`; R with these packages is
needed).  Prints, for each of those, how many of its log-likelihoods are higher and how
many are lower, and the number of evaluations that the fits here took.
"""

import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from skmixed import LinearMixedRegressor

KINDS = [
    "(x0 | g)",
    "(x0 + x1 | g)",
    "(x0 || g)",
    "(1 | g) + (1 | h)",
    "(x0 | g) + (x1 | h)",
    "(1 | g) + (1 | p)",
    "(x0 | g) + (x0 | p)",
]
# Below this many rows the search has nine starts, and with two factors two more.
FEW_ROWS, N_STARTS, N_MORE = 100, 9, 2
HIGHER, LOWER = 1e-6, (1e-5, 1e-3)  # in log-likelihood


def effects(rng, codes, q):
    """Effects of levels (n, q): standard deviations from 0.003 to 5, some of them 0."""
    std = 10.0 ** rng.uniform(-2.5, 0.7, q) * (rng.random(q) > 0.2)
    levels = rng.normal(size=(codes.max() + 1, q)) * std @ rng.normal(size=(q, q))
    return levels[codes]


def simulate(seed):
    """Terms, rows [y x0 x1] and labels [g h p] of one problem."""
    rng, kind = np.random.default_rng(seed), KINDS[seed % len(KINDS)]
    n_levels = rng.integers(8, 25)
    n = int(n_levels * rng.integers(4, 13))
    X = rng.normal(size=(n, 2))
    g = rng.permutation(np.arange(n) % n_levels)
    h, p = rng.permutation(np.arange(n) % rng.integers(5, 12)), g // 3
    columns = np.column_stack([np.ones(n), X])
    y = X.sum(axis=1) + rng.normal(size=n)
    for codes, name in ((g, "g"), (h, "h"), (p, "p")):
        if f"| {name})" in kind:
            y = y + np.sum(effects(rng, codes, 3) * columns, axis=1)
    return kind, np.column_stack([y, X]), np.column_stack([g, h, p])


def fits(n_problems, folder):
    """Log-likelihoods and evaluations, by (problem, method); the data go to files."""
    found, counts = {}, []
    for k in range(n_problems):
        kind, rows, labels = simulate(k)
        lines = ["y,x0,x1,g,h,p"]
        for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
            lines.append(",".join([*map(repr, row), *(f"l{code}" for code in label)]))
        (folder / f"{k}.csv").write_text("\n".join(lines))
        (folder / f"{k}.txt").write_text(kind)
        table = np.empty(len(labels), dtype=[(name, int) for name in "ghp"])
        for name, codes in zip("ghp", labels.T, strict=True):
            table[name] = codes
        for method in ("reml", "ml"):
            model = LinearMixedRegressor(kind, method=method)
            model.fit(rows[:, 1:], rows[:, 0], groups=table)
            found[k, method] = model.log_likelihood_
            n_starts = N_STARTS + N_MORE * (len(model.groups_) > 1)
            counts.append(model.n_iter_ / (n_starts if len(rows) < FEW_ROWS else 1))
    return found, np.array(counts)


def main(n_problems):
    """Fit all, and print who is above whom."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, counts = fits(n_problems, folder)
        script = Path(__file__).with_suffix(".R")
        command = ["Rscript", str(script), name, str(n_problems)]
        subprocess.run(command, check=True)
        with open(folder / "peers.csv", newline="") as file:
            rows = list(csv.DictReader(file))
    print(f"{'':12s} {'fits':>5s} {'higher':>7s}  lower by 1e-5  by 1e-3   most")
    for peer in list(rows[0])[2:]:
        above = np.array(
            [
                float(row[peer]) - found[int(row["problem"]), row["method"]]
                for row in rows
                if row[peer] != "NA"
            ]
        )
        lower = [int(np.sum(above < -limit)) for limit in LOWER]
        print(
            f"{peer:12s} {len(above):5d} {int(np.sum(above > HIGHER)):7d} "
            f"{lower[0]:14d} {lower[1]:8d} {max(-above.min(), 0):6.2f}"
        )
    median, most = np.percentile(counts, [50, 95])
    print(
        f"Evaluations a start: median {median:.0f}, 95 % {most:.0f}, "
        f"at most {counts.max():.0f}."
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 210)
