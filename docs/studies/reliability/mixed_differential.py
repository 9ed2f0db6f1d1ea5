"""Do fits of linear mixed models agree with the dense oracle, and is there a better?

    python docs/studies/reliability/mixed_differential.py [n_problems n_jobs first_seed]

Fits random small problems of one to three factors, with slopes, weights and a noise
that is constant or modelled; compares likelihood, coefficients, random effects, their
standard errors, the joint distribution of new rows whose labels are known or new factor
by factor, and that after an update, with n x n matrices; then searches the likelihood
from a few other covariances (tests/oracles/mixed_dense.py).  Prints every failure, and
how far the best of the optima found by brute force is above the fit.
"""

import sys

import differential
import harness
from oracles.mixed_dense import compare, ordinary_mixed_problem


def chunk(number):
    """Problems whose numbers are told by that of the chunk."""
    first = number * harness.CHUNK
    return [ordinary_mixed_problem(first + k) for k in range(harness.CHUNK)]


if __name__ == "__main__":
    differential.main(*map(int, sys.argv[1:]), compare=compare, chunk=chunk)
