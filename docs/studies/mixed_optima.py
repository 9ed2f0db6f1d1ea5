"""Is any other program's likelihood of a linear mixed model higher?

    python docs/studies/mixed_optima.py [n_problems] [without_r]

Simulates small problems with slopes, and with nested and crossed factors; about half of
them have a singular covariance.  Every one is fitted here, by REML and ML, by lme4 with
four optimisers, glmmTMB and nlme (`mixed_optima.R`; R with these packages is needed,
but for `without_r`), and by those of the Python packages mixedlm and glmm that can be
imported.  Prints, for each of those, how many of its log-likelihoods are
higher and how many are lower, how many of its fits failed, and the number of
evaluations that the fits here took.
"""

import csv
import io
import subprocess
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from importlib.util import find_spec
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
# Below this many rows the search has eight starts more; with two factors three more,
# and with uncorrelated effects of one factor one more.
FEW_ROWS, N_RANDOM, N_MORE = 100, 8, 3
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
            counts.append(model.n_iter_ / starts_of(model, kind, len(rows)))
    return found, np.array(counts)


def starts_of(model, kind, n_rows):
    """The number of starts that the search had."""
    more = N_MORE * (len(model.groups_) > 1) + ("||" in kind)
    return 1 + N_RANDOM * (n_rows < FEW_ROWS) + more


def by_mixedlm(rows, labels, kind, reml):
    """The log-likelihood of mixedlm, an implementation of lme4 in Python."""
    import mixedlm

    return mixedlm.lmer(
        f"y ~ x0 + x1 + {kind}", frame(rows, labels), REML=reml
    ).logLik()


def by_glmm(rows, labels, kind, reml):
    """The log-likelihood of glmm."""
    import glmm

    return glmm.fit(frame(rows, labels), f"y ~ x0 + x1 + {kind}", reml=reml).loglik


PYTHON = {"mixedlm": by_mixedlm, "glmm": by_glmm}


def frame(rows, labels):
    """A table of the rows, labels as text."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=["y", "x0", "x1"])
    for name, codes in zip("ghp", labels.T, strict=True):
        table[name] = [f"l{code}" for code in codes]
    return table


def python_peers(n_problems):
    """(package, problem, method, log-likelihood) of Python packages; NaN is a failure.

    A model that a package does not have is left out.
    """
    for name in filter(find_spec, PYTHON):
        for k in range(n_problems):
            kind, rows, labels = simulate(k)
            if name == "glmm" and "||" in kind:
                continue
            for method in ("reml", "ml"):
                try:
                    with redirect_stdout(io.StringIO()), warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        value = PYTHON[name](rows, labels, kind, method == "reml")
                except Exception:
                    value = np.nan
                yield name, k, method, float(value)


def r_peers(folder, n_problems):
    """The same of the packages of R."""
    script = Path(__file__).with_suffix(".R")
    command = ["Rscript", str(script), str(folder), str(n_problems)]
    subprocess.run(command, check=True)
    with open(folder / "peers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for peer in list(rows[0])[2:]:
        for row in rows:
            kind = simulate(int(row["problem"]))[0]
            if peer == "nlme" and kind not in ("(x0 | g)", "(x0 + x1 | g)"):
                continue
            value = np.nan if row[peer] == "NA" else float(row[peer])
            yield peer, int(row["problem"]), row["method"], value


def print_gaps(differences):
    """A line for each program: its log-likelihoods less those of this package."""
    print(f"{'':12s}  fits  failed  higher  lower by 1e-5  by 1e-3   most")
    for peer, gaps in differences.items():
        gaps = np.array(gaps)
        known = gaps[np.isfinite(gaps)]
        lower = [int(np.sum(known < -limit)) for limit in LOWER]
        print(
            f"{peer:12s} {len(gaps):5d} {len(gaps) - len(known):7d} "
            f"{int(np.sum(known > HIGHER)):7d} {lower[0]:14d} {lower[1]:8d} "
            f"{max(-known.min(initial=0.0), 0):6.2f}"
        )


def main(n_problems, with_r=True):
    """Fit all, and print who is above whom."""
    differences = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found, counts = fits(n_problems, folder)
        others = [*r_peers(folder, n_problems)] if with_r else []
        for peer, k, method, value in [*others, *python_peers(n_problems)]:
            differences.setdefault(peer, []).append(value - found[k, method])
    print_gaps(differences)
    median, most = np.percentile(counts, [50, 95])
    print(
        f"Evaluations a start: median {median:.0f}, 95 % {most:.0f}, "
        f"at most {counts.max():.0f}."
    )


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 210, "without_r" not in given)
