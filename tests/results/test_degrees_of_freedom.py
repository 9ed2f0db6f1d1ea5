"""Degrees of freedom against the dense oracle: covariances written out, and derivatives
by differences of them (docs/math.md, section 10).
"""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.golden_cases import load
from oracles.reference import condition, log_likelihood, simulate, with_intercept

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed._estimator import fit_of

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

STEP = 1e-4  # relative, of central differences
# Second differences of a likelihood of some hundreds keep 5 digits at this step, and
# degrees of freedom are made of ratios of them.
DIFFERENCED = 2e-4
METHODS = ("reml", "ml")


def gradient(function, theta):
    """Central differences of a function of a vector, one row for each parameter."""
    rows = []
    for i, value in enumerate(theta):
        step = STEP * max(abs(value), 0.1) * np.eye(len(theta))[i]
        ends = function(theta + step), function(theta - step)
        rows.append((ends[0] - ends[1]) / (2 * step[i]))
    return np.array(rows)


def hessian(function, theta):
    return gradient(lambda t: gradient(function, t), theta)


def satterthwaite(f, g, information):
    """2 f^2 / (g'A g) for every column."""
    return 2 * f**2 / np.sum(g * np.linalg.solve(information, g), axis=0)


class Dense:
    """A model whose variance parameters are theta = [gamma, psi]."""

    def __init__(self, X, y, groups, S, method):
        self.D, self.y, self.groups, self.S = with_intercept(X), y, groups, S
        self.shared = (groups[:, None] == groups).astype(float)
        self.reml = method == "reml"

    def V(self, theta):
        return np.diag(np.exp(self.S @ theta[:-1])) + theta[-1] * self.shared

    def observed(self, theta):
        """Second differences of -log-likelihood."""

        def value(t):
            return -log_likelihood(self.D, self.y, self.V(t), self.reml)

        return hessian(value, theta)

    def expected(self, theta):
        """1/2 tr P V_i P V_k, with V^-1 in the place of P under ML."""
        V, noise = self.V(theta), np.exp(self.S @ theta[:-1])
        P = np.linalg.inv(V)
        if self.reml:
            M = np.linalg.inv(self.D.T @ P @ self.D)
            P = P - P @ self.D @ M @ self.D.T @ P
        slopes = [P @ np.diag(noise * s) for s in self.S.T] + [P @ self.shared]
        return np.array([[0.5 * np.trace(a @ b) for b in slopes] for a in slopes])

    def coefficient_variances(self, theta):
        inverse = np.linalg.inv(self.V(theta))
        return np.diag(np.linalg.inv(self.D.T @ inverse @ self.D))

    def new_variances(self, theta, X, groups):
        """Variances of new observations, without their noise."""
        cross = theta[-1] * (groups[:, None] == self.groups)
        V_new = theta[-1] * np.eye(len(X))
        new = with_intercept(X)
        return np.diag(condition(self.D, self.y, self.V(theta), new, V_new, cross)[1])


def one_variance(method, seed=0, **options):
    X, y, groups = simulate(n=60, seed=seed, **({"group_std": 1.5} | options))
    model = RandomInterceptRegressor(method=method).fit(X, y, groups=groups)
    dense = Dense(X, y, groups, np.ones((len(y), 1)), method)
    theta = np.array([np.log(model.noise_variance_), model.group_variance_])
    return model, dense, theta, X


def row_variances(method, seed=0, n=80):
    X, y, groups = simulate(n=n, n_groups=8, seed=seed, group_std=1.5)
    rng = np.random.default_rng(seed)
    y = y + np.exp(0.7 * X[:, 0]) * rng.normal(size=n)
    model = HeteroscedasticGaussianRegressor(method=method, variance_features=[0, 1])
    model.fit(X, y, groups=groups)
    dense = Dense(X, y, groups, with_intercept(X[:, :2]), method)
    gamma = np.append(model.variance_intercept_, model.variance_coef_[:2])
    return model, dense, np.append(gamma, model.group_variance_), X


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("make", [one_variance, row_variances])
def test_degrees_of_freedom_of_coefficients(make, method):
    """math.md (35) and (35b), with (34) or (31) for the information."""
    model, dense, theta, _ = make(method)
    assert theta[-1] > 0.1
    f = dense.coefficient_variances(theta)
    g = gradient(dense.coefficient_variances, theta)
    expected = satterthwaite(f, g, dense.observed(theta))
    found = model.summary().coefficients["df"]
    assert_allclose(found, expected, rtol=DIFFERENCED)


@pytest.mark.parametrize("make", [one_variance, row_variances])
def test_degrees_of_freedom_of_known_and_of_new_groups(make):
    """math.md (35a): the gradient has the row's noise, and psi in all the rest."""
    model, dense, theta, X = make("reml")
    known, new = dense.groups[:4], np.full(4, 99)
    X, labels = np.vstack([X[:4], X[:4]]), np.append(known, new)
    S = with_intercept(X)[:, : dense.S.shape[1]]
    noise, k = np.exp(S @ theta[:-1]), len(theta) - 1
    f = dense.new_variances(theta, X, labels)
    g = gradient(partial(dense.new_variances, X=X, groups=labels), theta)
    if make is row_variances:
        g[:k] = 0.0  # the coefficients' covariance is taken as that of known noise
    g[:k] += noise * S.T
    f = f + noise
    expected = satterthwaite(f, g, dense.observed(theta))
    codes = np.append(np.searchsorted(model.groups_, known), np.full(4, -1))
    found = fit_of(model).freedom_of(X, codes)
    assert_allclose(found, expected, rtol=DIFFERENCED)


def boundary_fits(make):
    """Fits whose group variance is 0, with their dense models."""
    rng, found = np.random.default_rng(0), []
    groups = np.repeat(np.arange(5), 5)
    while len(found) < 3:
        X = rng.normal(size=(25, 2))
        y = X[:, 0] + rng.normal(size=25)
        model = make().fit(X, y, groups=groups)
        if model.at_boundary_:
            found.append((model, X, y, groups))
    return found


def test_at_the_boundary_the_expected_information_counts():
    """math.md (34a), of a new group; the observed information of these fits gives
    other degrees of freedom, and may give any.
    """
    for model, X, y, groups in boundary_fits(RandomInterceptRegressor):
        dense = Dense(X, y, groups, np.ones((25, 1)), "reml")
        theta = np.array([np.log(model.noise_variance_), 0.0])
        label, noise = np.array([99]), model.noise_variance_
        of_new = gradient(partial(dense.new_variances, X=X[:1], groups=label), theta)
        h2 = dense.new_variances(theta, X[:1], label)
        g = np.array([h2 + noise, of_new[1]])
        expected = satterthwaite(h2 + noise, g, dense.expected(theta))
        found = fit_of(model).freedom_of(X[:1], np.array([-1]))
        assert_allclose(found, expected, rtol=DIFFERENCED)
        wrong = satterthwaite(h2 + noise, g, dense.observed(theta))
        assert not np.allclose(found, wrong, rtol=0.01)


def test_a_heteroscedastic_boundary_fit_counts_the_group_variance_too():
    def make():
        return HeteroscedasticGaussianRegressor(variance_features=[0])

    for model, X, y, groups in boundary_fits(make):
        dense = Dense(X, y, groups, with_intercept(X[:, :1]), "reml")
        theta = np.r_[model.variance_intercept_, model.variance_coef_[0], 0.0]
        label, S = np.array([99]), with_intercept(X[:1, :1])
        noise = np.exp(S @ theta[:-1])
        f = dense.new_variances(theta, X[:1], label) + noise
        of_psi = gradient(partial(dense.new_variances, X=X[:1], groups=label), theta)
        g = np.vstack([noise * S.T, of_psi[-1:]])
        expected = satterthwaite(f, g, dense.expected(theta))
        found = fit_of(model).freedom_of(X[:1], np.array([-1]))
        assert_allclose(found, expected, rtol=DIFFERENCED)


def test_t_intervals_of_boundary_fits_do_not_explode():
    """With five groups of five rows the observed information of one fit in fifty is as
    good as singular, and gives intervals of any width.
    """
    rng, groups, wider = np.random.default_rng(1), np.repeat(np.arange(5), 5), []
    for _ in range(300):
        X = rng.normal(size=(25, 3))
        y = 0.2 * rng.normal(size=5)[groups] + rng.normal(size=25)
        model = RandomInterceptRegressor().fit(X, y, groups=groups)
        widths = [
            np.ptp(model.predict_interval(X[:1], groups=[g], distribution=name))
            for name in ("t", "normal")
            for g in (0, 99)
        ]
        wider += [widths[0] / widths[2], widths[1] / widths[3]]
    assert 1 < min(wider) < max(wider) < 1.5


def test_a_boundary_of_a_real_data_set():
    X, y, groups, _ = load("B_Dyestuff2_reml")
    model = RandomInterceptRegressor(fit_intercept=False).fit(X, y, groups=groups)
    normal, t = (
        np.diff(model.predict_interval(X[:1], distribution=name)).item()
        for name in ("normal", "t")
    )
    assert 1.0 < t / normal < 1.1


def test_noise_of_many_rows_counts_as_known():
    X, y, groups = simulate(n=50_100, n_groups=6, group_std=1.5)
    X[:, 2] = groups % 3
    model = HeteroscedasticGaussianRegressor(variance_features=[0])
    table = model.fit(X, y, groups=groups).summary().coefficients
    plain = RandomInterceptRegressor().fit(X, y, groups=groups).summary().coefficients
    between = [0, 3]
    assert_allclose(table["df"][between], plain["df"][between], rtol=1e-2)
    assert (table["df"][[1, 2]] > 1e6).all()
