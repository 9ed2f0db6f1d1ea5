"""Is any other program's likelihood higher, on the data sets of R's packages?

    python docs/studies/real_data.py [package ...]

Takes every data set of nlme, lme4, mlmRev, MASS, carData, geepack and plm (or of the
packages that are named) that has numbers and labels, makes up to seven models of each
by one rule (`real_data.R`), by REML and ML in turn, and fits them here, by lme4 with
two optimisers, nlme and glmmTMB; and once more with a log-variance that is linear in
the first feature, by glmmTMB.  Exact fits, whose likelihood has no maximum, are left
out.  Prints the models in which another program's log-likelihood is higher, and for
each of those how many of its log-likelihoods are higher and how many are lower.
"""

import csv
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from mixed_optima import HIGHER, print_gaps

from skmixed.formula import from_formula

PACKAGES = ["nlme", "lme4", "mlmRev", "MASS", "carData", "geepack", "plm"]
CONSTANT, MODELLED = ("bobyqa", "nloptwrap", "glmmTMB", "nlme"), ("modelled",)


def log_likelihood(table, row, variance_features):
    """That of this package; None of an exact fit."""
    features = row["x"].split()
    formula = f"{row['y']} ~ {' + '.join(features) or '1'} + {row['terms']}"
    options = {"method": row["method"], "variance_features": variance_features}
    model, X, y, groups = from_formula(formula, table, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, groups=groups)
    exact = any("is fitted exactly" in str(warning.message) for warning in caught)
    return None if exact else model.log_likelihood_


def number(text):
    """NaN where R has NA."""
    return float("nan" if text == "NA" else text)


def has_model(row, program):
    """Whether a program could fit a model; one that failed has NaN."""
    if program == "nlme":
        return "||" not in row["terms"] and "+ (" not in row["terms"]
    return program != "modelled" or bool(row["x"])


def compare(folder):
    """Differences by program; prints where one is above this package."""
    import pandas as pd

    differences = {}
    with open(folder / "peers.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        table = pd.read_csv(folder / f"{row['data']}.csv", keep_default_na=False)
        for programs in (CONSTANT, MODELLED):
            known = {p: number(row[p]) for p in programs if has_model(row, p)}
            if not known:
                continue
            noise = row["x"].split()[:1] if programs is MODELLED else ()
            own = log_likelihood(table, row, noise)
            for program, value in known.items() if own is not None else ():
                differences.setdefault(program, []).append(value - own)
                if value - own > HIGHER:
                    told = (row[name] for name in ("data", "y", "x", "terms", "method"))
                    print(*told, program, f"{value - own:.2g} higher")
    return differences


def main(packages):
    """Fit all, and print who is above whom."""
    with tempfile.TemporaryDirectory() as name:
        script = Path(__file__).with_suffix(".R")
        subprocess.run(["Rscript", str(script), name, *packages], check=True)
        print_gaps(compare(Path(name)))


if __name__ == "__main__":
    main(sys.argv[1:] or PACKAGES)
