"""Do fits agree with the dense oracle, and does brute force find anything better?

    python docs/studies/reliability/differential.py [n_problems n_jobs first_seed]

Fits random small problems of full rank, with every option, and compares likelihood,
coefficients, standard errors and the joint distribution of predictions with n x n
matrices; then searches the likelihood from several random variances by BFGS
(tests/oracles/dense.py).  Prints every failure, and how far the best of the optima
found by brute force is above the fit.
"""

import sys
from functools import partial

import harness
from oracles import laws
from oracles.dense import compare
from oracles.random_problems import ordinary_problem

# In log-likelihood: one point above which another optimum counts as missed.
MISSED = 1e-4
GRID = (1e-4, 1e-6, 1e-8, 1e-10)


def judge(compare, problem):
    """Searched, missed, or compared without a search, where there is no maximum."""
    try:
        gain = compare(problem)
    except ValueError as error:
        laws.assert_clear(error)  # one of the oracle's is no refusal
        return "refused", str(error)
    if gain is None:
        return "not searched", ""
    if gain > MISSED:
        print(f"\nmissed by {gain:.3g}: {problem}", flush=True)
        return "missed", str(gain)
    return "searched", str(gain)


def main(n_problems=5_000, n_jobs=2, first_seed=0, *, compare=compare, chunk=None):
    """Print the failures and the distribution of the differences."""
    chunk = chunk or partial(harness.draw, ordinary_problem)
    outcomes = harness.campaign(
        partial(judge, compare), chunk, n_problems, n_jobs, first_seed
    )
    gains = [float(each.detail) for each in outcomes if each.kind == "searched"]
    print("brute force above the fit, in log-likelihood:")
    for bound in GRID:
        print(f"    by more than {bound:.0e}: {sum(gain > bound for gain in gains)}")
    below = sum(gain < -MISSED for gain in gains)
    print(f"brute force below the fit by more than {MISSED:.0e}: {below}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
