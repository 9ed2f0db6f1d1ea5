"""The joint likelihood as a loss of predictions, math.md (60) to (63)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from skmixed import HeteroscedasticGaussianRegressor
from skmixed.metrics import joint_gaussian_nll, joint_gaussian_nll_gradient

EXACT = 1e-12  # the same formula with the covariance written out
DIFFERENCES = 1e-7  # central differences of a smooth function
STEP = 1e-5  # of central differences: the error is of its square


def predictions(seed=0, n=40, n_groups=7):
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n)
    psi = rng.uniform(0.1, 3.0, size=n_groups)[groups]
    y, mean, log_v = rng.normal(size=(3, n))
    return y, mean, log_v, np.log(psi), groups


def covariance(v, psi, groups):
    return np.diag(v) + np.where(groups[:, None] == groups, psi[:, None], 0.0)


def test_the_value_is_the_density_of_the_whole():
    """math.md (61)."""
    y, mean, log_v, log_psi, groups = predictions()
    v, psi = np.exp(log_v), np.exp(log_psi)
    loss, *_ = joint_gaussian_nll_gradient(y, mean, v, psi, groups)
    V = covariance(v, psi, groups)
    assert_allclose(loss, -multivariate_normal(mean, V).logpdf(y), rtol=EXACT)
    assert loss == joint_gaussian_nll(y, mean, v, psi, groups)


def test_the_gradient_is_that_of_differences():
    """math.md (62), for a variance that differs between groups."""
    y, mean, log_v, log_psi, groups = predictions()

    def loss(mean, log_v, log_psi):
        v, psi = np.exp(log_v), np.exp(log_psi)
        return joint_gaussian_nll(y, mean, v, psi, groups)

    point = [mean, log_v, log_psi]
    v, psi = np.exp(log_v), np.exp(log_psi)
    _, *gradient = joint_gaussian_nll_gradient(y, mean, v, psi, groups)
    for k in range(3):
        for j in range(len(y)):
            # The rows of a group share its variance, and its derivative.
            rows = groups == groups[j] if k == 2 else np.arange(len(y)) == j
            ends = []
            for sign in (1, -1):
                moved = [values.copy() for values in point]
                moved[k][rows] += sign * STEP
                ends.append(loss(*moved))
            difference = (ends[0] - ends[1]) / (2 * STEP)
            assert_allclose(gradient[k][rows].sum(), difference, atol=DIFFERENCES)


def test_one_variance_for_all_groups():
    y, mean, log_v, _, groups = predictions()
    v = np.exp(log_v)
    by_group = joint_gaussian_nll_gradient(y, mean, v, 0.7, groups)[3]
    ends = [
        joint_gaussian_nll(y, mean, v, 0.7 * np.exp(step), groups)
        for step in (STEP, -STEP)
    ]
    difference = (ends[0] - ends[1]) / (2 * STEP)
    assert_allclose(by_group.sum(), difference, atol=DIFFERENCES)


def test_second_derivatives():
    """math.md (63), the expected one being 1/2 (v_j (V^-1)_jj)^2."""
    y, mean, log_v, log_psi, groups = predictions()
    v, psi = np.exp(log_v), np.exp(log_psi)
    arguments = y, mean, v, psi, groups
    *_, by_mean, by_noise = joint_gaussian_nll_gradient(*arguments, return_hessian=True)
    precision = np.diag(np.linalg.inv(covariance(v, psi, groups)))
    assert_allclose(by_mean, precision, rtol=EXACT)
    assert_allclose(by_noise, 0.5 * (v * precision) ** 2, rtol=EXACT)


def test_mini_batches_of_whole_groups_add_up():
    y, mean, log_v, log_psi, groups = predictions()
    v, psi = np.exp(log_v), np.exp(log_psi)
    whole = joint_gaussian_nll_gradient(y, mean, v, psi, groups)
    total, parts = 0.0, np.empty((3, len(y)))
    for batch in (groups < 3, groups >= 3):
        loss, *gradient = joint_gaussian_nll_gradient(
            y[batch], mean[batch], v[batch], psi[batch], groups[batch]
        )
        total += loss
        parts[:, batch] = gradient
    assert_allclose(total, whole[0], rtol=EXACT)
    assert_allclose(parts, whole[1:], rtol=EXACT)


def test_rows_without_a_label_are_groups_of_their_own():
    y, mean, log_v, _, _ = predictions()
    v = np.exp(log_v)
    alone = joint_gaussian_nll_gradient(y, mean, v, 2.0, None)
    labels = joint_gaussian_nll_gradient(y, mean, v, 2.0, np.arange(len(y)))
    missing = joint_gaussian_nll_gradient(y, mean, v, 2.0, [None] * len(y))
    for other in (labels, missing):
        assert alone[0] == other[0]
        assert np.array_equal(alone[1:], other[1:])
    independent = joint_gaussian_nll_gradient(y, mean, v, 0.0, None)
    assert_allclose(independent[1], (mean - y) / v, rtol=EXACT)
    assert_allclose(independent[2], 0.5 * (1 - (y - mean) ** 2 / v), rtol=EXACT)
    assert not independent[3].any()


def test_a_large_level_of_a_group_keeps_the_digits_of_the_others():
    """With a huge group variance a common shift of a group's rows says nothing."""
    y, mean, log_v, _, groups = predictions()
    y, mean = np.round(1024 * y) / 1024, np.round(1024 * mean) / 1024
    v, far = np.exp(log_v), np.where(groups == 2, 2.0**30, 0.0)  # y + far is exact
    near = joint_gaussian_nll_gradient(y, mean, v, 1e30, groups)
    moved = joint_gaussian_nll_gradient(y + far, mean, v, 1e30, groups)
    # Counted from 0, the rows would be rounded at 2^30 eps = 2.4e-7.
    assert_allclose(moved[1], near[1], atol=1e-10)
    assert_allclose(moved[2], near[2], atol=1e-10)


@pytest.mark.parametrize("seed", [0, 1])
def test_linear_heads_lead_to_the_heteroscedastic_fit(seed):
    X, y, groups = simulate(seed, n=300, n_groups=30)
    y = y + np.exp(0.5 * X[:, 0]) * np.random.default_rng(seed).normal(size=300)
    wide = np.column_stack([np.ones(len(y)), X])
    p = wide.shape[1]

    def objective(theta):
        mean, v = wide @ theta[:p], np.exp(wide @ theta[p:-1])
        psi = np.exp(theta[-1])
        loss, by_mean, by_noise, by_group = joint_gaussian_nll_gradient(
            y, mean, v, psi, groups
        )
        gradient = [wide.T @ by_mean, wide.T @ by_noise, [by_group.sum()]]
        return loss, np.concatenate(gradient)

    options = {"gtol": 1e-7, "maxiter": 1000}
    start = np.zeros(2 * p + 1)
    found = minimize(objective, start, jac=True, method="BFGS", options=options).x
    model = HeteroscedasticGaussianRegressor(method="ml").fit(X, y, groups=groups)
    expected = [
        model.intercept_,
        *model.coef_,
        model.variance_intercept_,
        *model.variance_coef_,
        np.log(model.group_variance_),
    ]
    assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    "noise, group, message",
    [
        (0.0, 1.0, "not positive"),
        (1.0, -1.0, "not at least 0"),
        (1.0, [1.0, 2.0, 1.0], "share one variance"),
        (1e-200, 1.0, "range of double precision"),
    ],
)
def test_what_is_refused(noise, group, message):
    with pytest.raises(ValueError, match=message):
        joint_gaussian_nll_gradient([1.0, 2.0, 3.0], 0.0, noise, group, [0, 0, 1])


def test_the_flag_is_a_flag():
    with pytest.raises(TypeError, match="return_hessian is True or False"):
        joint_gaussian_nll_gradient([1.0], 0.0, 1.0, 1.0, [0], return_hessian=1)
