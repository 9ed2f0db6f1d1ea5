"""What is said after a fit of a linear mixed model, against the dense oracle at the
fitted variances.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import mixed
from oracles.mixed_fits import at_fit, fit

from skmixed._results.linear_mixed import condition_mixed

# Figures of order 1; the oracle solves with matrices of condition up to 1e4.
DENSE = 1e-8

CASES = [
    ("one", (1,)),
    ("one", (3,)),
    ("nested", (1, 1)),
    ("nested", (2, 2)),
    ("nested3", (1, 2, 1)),
    ("crossed", (1, 1)),
    ("crossed", (2, 2)),
    ("crossed3", (1, 2, 1)),
    ("mixed", (1, 1, 1)),
    ("mixed", (2, 1, 2)),
]


@pytest.mark.parametrize(
    ("diagonal", "reml", "alpha"), [(False, True, 0.0), (True, False, 2.0)]
)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_posterior_of_a_fit(case, diagonal, reml, alpha):
    at = mixed.random_problem(5, *case, diagonal=diagonal, weights=True, n=120)
    found = fit(at, reml, alpha)
    here = at_fit(at, found, alpha)
    posterior = condition_mixed(found, 3)
    new = mixed.random_rows(here)
    codes = [
        np.where(row.codes <= term.codes.max(), row.codes, -1)
        for row, term in zip(new.terms, at.terms, strict=True)
    ]
    mean, covariance = mixed.predict(here, new)
    X = new.X[:, 1:]
    assert_allclose(posterior.mean(X, codes), mean, rtol=DENSE)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)
    for t, term in enumerate(at.terms):
        modes, known, error = mixed.random_effects(here, t, range(term.codes.max() + 1))
        assert_allclose(posterior.modes(t), modes, rtol=DENSE, atol=DENSE)
        got = posterior.conditional_covariance(t)
        assert_allclose(got, known, rtol=DENSE, atol=DENSE)
        assert_allclose(posterior.error_covariance(t), error, rtol=DENSE, atol=DENSE)
