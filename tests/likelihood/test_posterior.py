"""Predictions against the joint normal distribution, conditioned densely."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import block_covariance, condition, simulate, with_intercept
from scipy import sparse
from scipy.stats import multivariate_normal, norm
from sklearn.base import clone

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

DENSE = 1e-10  # the dense oracle solves with matrices of condition up to 1e3
# Known, known and repeated, unseen, unseen and repeated, missing twice.
LABELS = [3, 0, 3, 77, 88, 77, None, None]
OWNERS = [3, 0, 3, 77, 88, 77, "first missing", "second missing"]

MODELS = [
    RandomInterceptRegressor(),
    HeteroscedasticGaussianRegressor(variance_groups="fixed"),
    HeteroscedasticGaussianRegressor(mean_groups="fixed"),
    HeteroscedasticGaussianRegressor(mean_groups="fixed", alpha=1.0),
    HeteroscedasticGaussianRegressor(mean_groups=None),
]


def new_features(seed=1, p=3):
    return np.random.default_rng(seed).normal(size=(len(LABELS), p))


def dense_prediction(model, X, y, groups, X_new, owners):
    """The oracle at the model's own variances."""
    everyone = np.array([*groups.tolist(), *owners], dtype=object)
    joint = block_covariance(everyone, model.noise_variance_, model.group_variance_)
    n = len(y)
    D, D_new, penalty = X, X_new, np.eye(X.shape[1])
    if model.fit_intercept:
        D, D_new = with_intercept(X), with_intercept(X_new)
        penalty = np.diag(np.r_[0.0, np.ones(X.shape[1])])
    penalty *= model.alpha / model.noise_variance_
    return condition(D, y, joint[:n, :n], D_new, joint[n:, n:], joint[n:, :n], penalty)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_mean_std_and_covariance(method, fit_intercept, alpha):
    """math.md (19) to (21)."""
    X, y, groups = simulate()
    model = RandomInterceptRegressor(
        method=method, fit_intercept=fit_intercept, alpha=alpha
    ).fit(X, y, groups=groups)
    assert model.group_variance_ > 0.1
    X_new = new_features()
    mean, covariance = dense_prediction(model, X, y, groups, X_new, OWNERS)
    assert_allclose(model.predict(X_new, groups=LABELS), mean, rtol=DENSE)
    _, std = model.predict(X_new, groups=LABELS, return_std=True)
    assert_allclose(std**2, np.diag(covariance), rtol=DENSE)
    _, cov = model.predict(X_new, groups=LABELS, return_cov=True)
    assert_allclose(cov, covariance, rtol=1e-8, atol=DENSE)


def test_without_labels_every_row_is_a_new_group_of_its_own():
    X, y, groups = simulate()
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    X_new = new_features()
    owners = [f"row {i}" for i in range(len(X_new))]
    mean, covariance = dense_prediction(model, X, y, groups, X_new, owners)
    assert_allclose(model.predict(X_new), mean, rtol=DENSE)
    assert_allclose(model.predict(X_new, return_cov=True)[1], covariance, atol=DENSE)
    assert_allclose(
        model.predict(X_new, return_std=True)[1], np.sqrt(np.diag(covariance))
    )


def test_a_prior_on_all_coefficients_is_plain_conditioning():
    """No intercept and alpha > 0: beta ~ N(0, noise variance / alpha)."""
    X, y, groups = simulate()
    model = RandomInterceptRegressor(fit_intercept=False, alpha=2.0)
    model.fit(X, y, groups=groups)
    X_new, n = new_features(), len(y)
    everyone = np.array([*groups.tolist(), *OWNERS], dtype=object)
    both = np.vstack([X, X_new])
    joint = block_covariance(everyone, model.noise_variance_, model.group_variance_)
    joint += model.noise_variance_ / 2.0 * both @ both.T
    gain = np.linalg.solve(joint[:n, :n], joint[:n, n:]).T
    covariance = joint[n:, n:] - gain @ joint[:n, n:]
    mean, cov = model.predict(X_new, groups=LABELS, return_cov=True)
    assert_allclose(mean, gain @ y, rtol=1e-9)
    assert_allclose(cov, covariance, rtol=1e-7, atol=1e-9)


def test_random_intercepts_and_their_standard_deviations():
    X, y, groups = simulate()
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    D = with_intercept(X)
    V = block_covariance(groups, model.noise_variance_, model.group_variance_)
    cross = model.group_variance_ * (np.arange(12)[:, None] == groups)
    own = model.group_variance_ * np.eye(12)
    mean, covariance = condition(D, y, V, np.zeros((12, 4)), own, cross)
    known = own - cross @ np.linalg.solve(V, cross.T)
    assert_allclose(model.random_intercepts_, mean, rtol=1e-9)
    assert_allclose(model.random_intercepts_std_, np.sqrt(np.diag(covariance)))
    assert_allclose(model.random_intercepts_conditional_std_, np.sqrt(np.diag(known)))
    assert_allclose(model.groups_, np.arange(12))


@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_log_predictive_density_is_that_of_mean_and_covariance(estimator):
    X, y, groups = simulate()
    model = clone(estimator).fit(X, y, groups=groups)
    X_new = new_features()
    y_new = np.random.default_rng(2).normal(scale=5, size=len(X_new))
    for labels in (LABELS, None):
        mean, cov = model.predict(X_new, groups=labels, return_cov=True)
        density = model.log_predictive_density(X_new, y_new, groups=labels)
        assert isinstance(density, float)
        assert_allclose(density, multivariate_normal(mean, cov).logpdf(y_new))


@pytest.mark.parametrize("case", ["boundary", "no groups", "noise only", "huge groups"])
def test_log_predictive_density_at_the_ends(case):
    X, y, groups = simulate(group_std=1e5 if case == "huge groups" else 0.0)
    labels = None if case == "no groups" else groups
    if case == "noise only":
        X = np.empty((len(y), 0))
    if case == "no groups":
        with pytest.warns(UserWarning, match="No `groups`"):
            model = RandomInterceptRegressor().fit(X, y)
    else:
        model = RandomInterceptRegressor().fit(X, y, groups=labels)
    first = None if labels is None else labels[:9]
    mean, cov = model.predict(X[:9], groups=first, return_cov=True)
    density = model.log_predictive_density(X[:9], y[:9], groups=first)
    assert_allclose(density, multivariate_normal(mean, cov).logpdf(y[:9]), rtol=1e-8)


@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_samples_have_the_predicted_mean_and_covariance(estimator):
    X, y, groups = simulate()
    model = clone(estimator).fit(X, y, groups=groups)
    X_new, n = new_features(), 40_000
    draws = model.sample_y(X_new, groups=LABELS, n_samples=n)
    assert draws.shape == (len(LABELS), n)
    mean, cov = model.predict(X_new, groups=LABELS, return_cov=True)
    std = np.sqrt(np.diag(cov))
    # Five standard errors of a mean and of a covariance of normal draws.
    assert (np.abs(draws.mean(axis=1) - mean) < 5 * std / np.sqrt(n)).all()
    error = np.abs(np.cov(draws) - cov)
    assert (error < 5 * np.sqrt(2 / n) * np.outer(std, std)).all()


@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_samples_are_reproducible(estimator):
    X, y, groups = simulate()
    model = clone(estimator).fit(X, y, groups=groups)
    again = [model.sample_y(X, groups=groups, random_state=s) for s in (0, 0, 1)]
    assert (again[0] == again[1]).all()
    assert (again[0] != again[2]).all()
    assert again[0].shape == (len(y), 1)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_interval_holds_its_probability(coverage, estimator):
    X, y, groups = simulate()
    model = clone(estimator).fit(X, y, groups=groups)
    interval = model.predict_interval(X, groups=groups, coverage=coverage)
    mean, std = model.predict(X, groups=groups, return_std=True)
    assert interval.shape == (len(y), 2)
    inside = np.diff(norm.cdf(interval, mean[:, None], std[:, None]), axis=1)
    assert_allclose(inside, coverage, rtol=1e-12)
    assert_allclose(interval.mean(axis=1), mean)


@pytest.mark.parametrize("estimator", MODELS[:4], ids=str)
def test_score_is_r2_of_the_routed_prediction(estimator):
    X, y, groups = simulate(group_std=5.0)
    model = clone(estimator).fit(X, y, groups=groups)
    residual = y - model.predict(X, groups=groups)
    expected = 1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2)
    assert_allclose(model.score(X, y, groups=groups), expected)
    assert model.score(X, y) < expected - 0.1
    weight = np.arange(len(y)) % 3
    mean = np.average(y, weights=weight)
    expected = 1 - weight @ residual**2 / (weight @ (y - mean) ** 2)
    got = model.score(X, y, groups=groups, sample_weight=weight)
    assert_allclose(got, expected)


@pytest.mark.parametrize("kind", ["dense", "csr", "csc", "float32", "fortran"])
@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_prediction_in_blocks_is_prediction_at_once(monkeypatch, kind, estimator):
    X, y, groups = simulate(n=300)
    model = clone(estimator).fit(X, y, groups=groups)
    X_new = {
        "dense": X,
        "csr": sparse.csr_array(X),
        "csc": sparse.csc_matrix(X),
        "float32": X.astype(np.float32),
        "fortran": np.asfortranarray(X),
    }[kind]
    mean, std = model.predict(X, groups=groups, return_std=True)
    monkeypatch.setattr("skmixed._input.blocks.block_rows", lambda _: 13)
    blocks = model.predict(X_new, groups=groups, return_std=True)
    tolerance = 1e-6 if kind == "float32" else 1e-13
    assert_allclose(blocks[0], mean, rtol=tolerance, atol=tolerance)
    assert_allclose(blocks[1], std, rtol=tolerance)
    assert {blocks[0].dtype, blocks[1].dtype} == {np.dtype(float)}


@pytest.mark.parametrize("estimator", MODELS, ids=str)
def test_predictions_come_back_in_the_given_order(estimator):
    X, y, groups = simulate()
    model = clone(estimator).fit(X, y, groups=groups)
    order = np.random.default_rng(0).permutation(len(y))
    for flag in ({}, {"return_std": True}):
        straight = np.atleast_2d(model.predict(X, groups=groups, **flag))
        shuffled = np.atleast_2d(model.predict(X[order], groups=groups[order], **flag))
        assert_allclose(shuffled, straight[:, order], rtol=1e-14)


def test_std_contains_noise_group_and_coefficients():
    X, y, groups = simulate()
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    _, known = model.predict(X[:1], groups=[groups[0]], return_std=True)
    _, new = model.predict(X[:1], groups=[77], return_std=True)
    noise, total = model.noise_variance_, model.noise_variance_ + model.group_variance_
    assert noise < known[0] ** 2 < total < new[0] ** 2
    _, far = model.predict(1e6 * np.ones((1, 3)), groups=[groups[0]], return_std=True)
    x = np.r_[1, 1e6 * np.ones(3)]
    expected = np.sqrt(x @ model.coef_covariance_ @ x)
    assert_allclose(far[0], expected, rtol=1e-5)


def test_a_model_comes_back_from_a_pickle_small_and_the_same():
    rng = np.random.default_rng(0)
    groups = rng.integers(50, size=20_000)
    X = rng.normal(size=(20_000, 5))
    y = X.sum(axis=1) + rng.normal(size=50)[groups] + rng.normal(size=20_000)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    stored = pickle.dumps(model)
    # 50 groups and 6 coefficients: 50 * (6 + 8) numbers of 8 bytes, and the names.
    assert len(stored) < 12_000
    back = pickle.loads(stored)
    for got, expected in zip(
        back.predict(X, groups=groups, return_std=True),
        model.predict(X, groups=groups, return_std=True),
        strict=True,
    ):
        assert (got == expected).all()
