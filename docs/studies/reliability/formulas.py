"""Have random formulas the terms that R reads in them?

    python docs/studies/reliability/formulas.py [n_formulas seed]

Draws sums, differences, products, powers, nestings and brackets of four columns, before
and after a random intercept, and compares the columns of the mean and its intercept
with `terms` of R, which has to be installed with lme4.  Prints the formulas whose terms
differ, and how many are read alike, by one of the two, or by none.
"""

import subprocess
import sys
from collections import Counter

import harness  # noqa: F401  # It puts the tests on the path.
import numpy as np
import pandas as pd

from skmixed.formula import from_formula

COLUMNS = list("abcd")
# Formulas beyond this many characters are drawn again, and brackets beyond this depth.
LONGEST, DEEPEST = 60, 3
TERMS = """
formulas <- readLines(file("stdin"))
for (text in formulas) {
  found <- tryCatch({
    of_mean <- terms(lme4::nobars(as.formula(text)))
    labels <- gsub(" %in% ", ":", attr(of_mean, "term.labels"))
    paste(c(attr(of_mean, "intercept"), labels), collapse = " ")
  }, error = function(error) "refused")
  cat(found, "\\n", sep = "")
}
"""


def any_mean(rng, depth=0):
    """A random expression of the mean."""
    kind = rng.random()
    if depth > DEEPEST or kind < 0.3:
        return str(rng.choice(COLUMNS))
    if kind < 0.33:
        return str(rng.choice(["0", "1"]))
    one, other = (any_mean(rng, depth + 1) for _ in range(2))
    forms = {
        0.5: f"{one} + {other}",
        0.6: f"{one} - {other}",
        0.7: f"{one}:{other}",
        0.8: f"{one} * {other}",
        0.85: f"({one}) / {other}",
        0.88: " %in% ".join(rng.choice(COLUMNS, size=2)),
        0.95: f"({one})^{rng.integers(1, 4)}",
        1.0: f"({one} {rng.choice(['+', '-'])} {other})",
    }
    return next(form for share, form in forms.items() if kind < share)


def any_formula(rng):
    """A random formula with one random intercept."""
    while len(mean := any_mean(rng)) > LONGEST:
        pass
    first, last = rng.choice(COLUMNS, size=2)
    forms = (
        f"y ~ {mean} + (1 | g)",
        f"y ~ (1 | g) + {mean}",
        f"y ~ {first} + (1 | g) - {last} + {mean}",
    )
    return forms[rng.choice(3, p=[0.7, 0.15, 0.15])]


def terms_here(formula, data):
    """The intercept and the terms, or None if the formula is refused."""
    try:
        made = from_formula(formula, data)
    except (ValueError, TypeError):
        return None
    return read(f"{int(made.model.fit_intercept)} {' '.join(made.X)}")


def read(line):
    """The intercept and the terms of a line, or None."""
    if line == "refused":
        return None
    intercept, *terms = line.split()
    return intercept, {frozenset(term.split(":")) for term in terms}


def shown(found):
    """An intercept and terms as text, always in the same order."""
    intercept, terms = found
    return " + ".join([intercept, *sorted(":".join(sorted(term)) for term in terms)])


def main(n_formulas=1500, seed=0):
    """Print the differences, and the counts."""
    rng = np.random.default_rng(seed)
    data = pd.DataFrame({name: rng.normal(size=9) for name in [*COLUMNS, "y"]})
    data["g"] = np.arange(9) % 3
    formulas, counts = [any_formula(rng) for _ in range(n_formulas)], Counter()
    found = subprocess.run(
        ["Rscript", "-e", TERMS],
        input="\n".join(formulas),
        capture_output=True,
        text=True,
        check=True,
    )
    for formula, line in zip(formulas, found.stdout.splitlines(), strict=True):
        ours, theirs = terms_here(formula, data), read(line)
        if ours is None or theirs is None:
            by = "none" if ours == theirs else "R" if ours is None else "skmixed"
            counts[f"read by {by}"] += 1
        else:
            counts["alike" if ours == theirs else "different"] += 1
            if ours != theirs:
                print(f"{formula}\n    here {shown(ours)}\n    R    {shown(theirs)}")
    print(dict(counts))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
