"""Is there a problem that breaks the linear mixed model?

    python docs/studies/reliability/mixed_properties.py [n_problems n_jobs first_seed]

Draws random problems of one to three factors (tests/oracles/random_terms.py) and checks
on each what has to hold of all of them (tests/oracles/mixed_laws.py); prints every
failure, and how many problems were fitted and how many refused, and why.
"""

import sys

import harness
import properties
from oracles.mixed_laws import check
from oracles.random_terms import any_mixed_problem


def judge(problem):
    """Fitted, or refused with a clear error."""
    found = check(problem)
    return ("fitted", "") if found == "fitted" else ("refused", found)


def chunk(number):
    """Problems whose numbers are told by that of the chunk."""
    first = number * harness.CHUNK
    return [any_mixed_problem(first + k) for k in range(harness.CHUNK)]


def main(n_problems=10_000, n_jobs=2, first_seed=0):
    """Print the failures and the counts."""
    outcomes = harness.campaign(judge, chunk, n_problems, n_jobs, first_seed)
    properties.print_reasons(outcomes)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
