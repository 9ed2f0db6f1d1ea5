"""Uncertainty beside modelled noise against differences of the dense likelihood."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
import pytest
from oracles import mixed as dense
from scipy.stats import norm, t

from skmixed import LinearMixedRegressor

# Second derivatives by differences of differences, of the dense likelihood.
DIFFERENCES = 1e-4
N_ROWS = 110


@dataclass(frozen=True)
class Fitted:
    """A fit, its rows, and its parameters (log sigma^2, gamma, entries of roots)."""

    model: LinearMixedRegressor
    X: np.ndarray
    y: np.ndarray
    groups: pd.DataFrame
    reml: bool

    @property
    def x(self):
        """The parameters; gamma is that of the only column of the log-variance."""
        L = np.linalg.cholesky(self.model.random_effects_covariance_["a"])
        c = np.sqrt(self.model.random_effects_covariance_["c"][0, 0])
        log_variance = [self.model.variance_intercept_, self.model.variance_coef_[1]]
        return np.array([*log_variance, *L[np.tril_indices(2)], c])

    def at(self, x):
        """The dense problem at parameters."""
        L = np.zeros((2, 2))
        L[np.tril_indices(2)] = x[2:5]
        ones = np.ones(len(self.y))
        Z = np.column_stack([ones, self.X[:, 0]])
        terms = [
            dense.Term(Z, self.groups["a"].to_numpy(), L @ L.T),
            dense.Term(Z[:, :1], self.groups["c"].to_numpy(), x[5:, None] ** 2),
        ]
        noise = np.exp(x[0] + x[1] * self.X[:, 1])
        return dense.problem(np.column_stack([ones, self.X]), self.y, terms, noise)

    @property
    def covariance(self):
        """Covariance of the parameters by differences."""
        H = dense.hessian(
            lambda x: -dense.log_likelihood(self.at(x), self.reml), self.x
        )
        return np.linalg.inv(H)

    def freedom(self, variance):
        """Degrees of freedom of a function of the parameters."""
        g = dense.gradient(variance, self.x)
        spread = np.einsum("ik,ij,jk->k", g, self.covariance, g)
        return 2 * variance(self.x) ** 2 / spread


@cache
def fitted(method):
    rng = np.random.default_rng(4)
    X = rng.normal([1.0, 0.0], size=(N_ROWS, 2))
    a, c = rng.integers(12, size=N_ROWS), rng.integers(6, size=N_ROWS)
    effects = rng.normal(size=(12, 2)) * [1.0, 0.8]
    y = X @ [1.0, -0.5] + effects[a, 0] + effects[a, 1] * X[:, 0]
    y += rng.normal(size=6)[c] + rng.normal(size=N_ROWS) * np.exp(0.4 * X[:, 1])
    groups = pd.DataFrame({"a": a, "c": c})
    model = LinearMixedRegressor(
        "(x0 | a) + (1 | c)", variance_features=[1], method=method
    )
    model = model.fit(X, y, groups=groups)
    assert not model.at_boundary_
    return Fitted(model, X, y, groups, method == "reml")


@pytest.fixture(params=["reml", "ml"])
def case(request):
    return fitted(request.param)


def test_covariance_of_the_log_variance(case):
    """docs/math.md (117)."""
    found = case.model.variance_coef_covariance_[np.ix_([0, 2], [0, 2])]
    np.testing.assert_allclose(found, case.covariance[:2, :2], rtol=DIFFERENCES)


def test_freedom_of_coefficients(case):
    """docs/math.md (117)."""
    expected = case.freedom(lambda x: np.diag(dense.coefficients(case.at(x))[1]))
    found = case.model.summary().coefficients["df"]
    np.testing.assert_allclose(found, expected, rtol=DIFFERENCES)


def test_intervals_of_components(case):
    """The standard deviation of `c`, normal in its logarithm."""
    table, std = case.model.summary().variance_components, case.x[5]
    place = table.names.index("intercept | c")
    half = norm.isf(0.025) * np.sqrt(case.covariance[5, 5]) / std
    np.testing.assert_allclose(table["std"][place], std, rtol=1e-8)
    np.testing.assert_allclose(
        [table["low"][place], table["high"][place]],
        std * np.exp([-half, half]),
        rtol=DIFFERENCES,
    )


def test_t_intervals_of_new_levels(case):
    """docs/math.md (118), in which nothing is left out where levels are new."""
    # So far out that the coefficients' errors matter most.
    new, new_groups = (
        case.X[:3] * [20.0, -5.0],
        pd.DataFrame({"a": [77, 77, 78], "c": [9, 8, 8]}),
    )
    columns = np.column_stack([np.ones(3), new])
    Z = [columns[:, :2], columns[:, :1]]

    def variance(x):
        rows = dense.rows(case.at(x), columns, Z, new_groups.to_numpy().T)
        return np.diag(dense.predict(case.at(x), rows)[1]) + np.exp(
            x[0] + x[1] * new[:, 1]
        )

    how = {"groups": new_groups, "coverage": 0.8}
    low, high = case.model.predict_interval(new, distribution="t", **how).T
    half = np.sqrt(variance(case.x)) * t.isf(0.1, case.freedom(variance))
    np.testing.assert_allclose((high - low) / 2, half, rtol=DIFFERENCES)
    codes = [np.full(3, -1)] * 2
    found = case.model._fit.freedom_of(new, codes)
    np.testing.assert_allclose(found, case.freedom(variance), rtol=DIFFERENCES)
