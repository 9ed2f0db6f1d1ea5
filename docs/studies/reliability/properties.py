"""Is there a problem that breaks an estimator?

    python docs/studies/reliability/properties.py [n_problems n_jobs first_seed]

Draws random problems (tests/oracles/random_problems.py) and checks on each what has to
hold of all of them (tests/oracles/laws.py); prints every failure, and how many problems
were fitted and how many refused, and why.
"""

import re
import sys
from collections import Counter
from functools import partial

import harness
from oracles.laws import check
from oracles.random_problems import any_problem


def judge(problem):
    """Fitted, or refused with a clear error."""
    found = check(problem)
    return ("fitted", "") if found == "fitted" else ("refused", found)


def reason_of(message):
    """The beginning of a message, without its figures."""
    return re.sub(r"[-+\d.]*\d(e[-+]?\d+)?", "#", message)[:60]


def main(n_problems=20_000, n_jobs=2, first_seed=0):
    """Print the failures and the counts."""
    chunk = partial(harness.draw, any_problem)
    outcomes = harness.campaign(judge, chunk, n_problems, n_jobs, first_seed)
    print_reasons(outcomes)


def print_reasons(outcomes):
    """Print how many problems were refused, and why."""
    refused = (each.detail for each in outcomes if each.kind == "refused")
    for reason, count in Counter(map(reason_of, refused)).most_common():
        print(f"{count:6d}  {reason}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
