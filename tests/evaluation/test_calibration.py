"""Calibrators, and the target of a regressor of the noise."""

import numpy as np
from numpy.testing import assert_allclose
from oracles.reference import block_covariance, simulate, with_intercept

from skmixed import RandomInterceptRegressor
from skmixed._evaluation.calibration import (
    LOG_CHI2,
    calibrate,
    in_single,
    join_features,
    log_noise,
)
from skmixed._input.any_table import table_reader

EXACT = 1e-9  # dense algebra on well conditioned data


def read(X, y, groups, weight=None):
    return table_reader(X, None, None).read_fit(X, y, groups, weight)


def test_the_target_of_the_noise_counts_leverage():
    """math.md (103): E r^2 = v^2 P_jj, P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1."""
    X, y, groups = simulate(n=60)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    v = model.noise_variance_
    V = block_covariance(groups, v, model.group_variance_)
    A = with_intercept(X)
    W = np.linalg.inv(V)
    P = W - W @ A @ np.linalg.solve(A.T @ W @ A, A.T @ W)
    residual = v * P @ y
    assert_allclose(y - model.predict(X, groups=groups), residual, rtol=1e-6)
    expected = np.log(residual**2 / (v * np.diag(P))) + LOG_CHI2
    found = log_noise(model, X, read(X, y, groups), np.zeros(60))
    assert_allclose(found, expected, atol=1e-6)


def test_the_target_of_the_noise_is_unbiased():
    """-1.27 is the mean of the logarithm of chi-squared on one degree of freedom."""
    X, y, groups = simulate(n=4000, n_groups=40)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    found = log_noise(model, X, read(X, y, groups), np.zeros(4000))
    # The std of log chi^2_1 is 2.2: four standard errors of a mean of 4,000.
    assert abs(found.mean() - np.log(model.noise_variance_)) < 4 * 2.2 / 4000**0.5


def test_an_offset_is_part_of_y():
    X, y, groups = simulate(n=60)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    rows, far = read(X, y, groups), read(X, y + 5, groups)
    expected = log_noise(model, X, rows, np.zeros(60))
    assert_allclose(log_noise(model, X, far, np.full(60, 5.0)), expected, atol=1e-6)


def test_residuals_of_zero_do_not_outweigh_the_others():
    X, y, groups = simulate(n=60)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    fitted = model.predict(X, groups=groups)
    fitted[1:] = y[1:]
    found = log_noise(model, X, read(X, fitted, groups), np.zeros(60))
    assert found.min() > found[1:].mean() - 15
    nothing = model.predict(X, groups=groups)
    assert not log_noise(model, X, read(X, nothing, groups), np.zeros(60)).any()


def test_a_slope_at_an_end_is_the_model_of_the_rest():
    X, y, groups = simulate(n=200)
    signal = X @ [1, 2, 3]
    rows = read(X, y, groups)
    free = calibrate(RandomInterceptRegressor(), signal, rows, (0, np.inf))
    assert free[0] == 0
    assert_allclose(free[1].coef_, [1.0], atol=0.2)
    half = calibrate(RandomInterceptRegressor(), signal, rows, (0, 0.5))
    rest = RandomInterceptRegressor().fit(
        np.empty((200, 0)), y - 0.5 * signal, groups=groups
    )
    assert half[0] == 0.5
    assert half[1].coef_[0] == 0
    assert_allclose(half[1].group_variance_, rest.group_variance_, rtol=EXACT)
    assert_allclose(half[1].random_intercepts_, rest.random_intercepts_, rtol=EXACT)
    none = calibrate(RandomInterceptRegressor(), -signal, rows, (0, 1), X=X)
    plain = RandomInterceptRegressor().fit(X, y, groups=groups)
    assert none[0] in (0, 1)
    assert_allclose(none[1].noise_variance_, plain.noise_variance_, rtol=EXACT)


def test_features_stand_in_their_order():
    columns = np.arange(3.0), np.arange(6.0).reshape(3, 2), -np.arange(3.0)
    joined = join_features(*columns)
    assert joined.shape == (3, 4)
    assert np.array_equal(joined[:, 0], columns[0])
    assert np.array_equal(joined[:, 3], columns[2])
    assert join_features(columns[0]).shape == (3, 1)


def test_features_beyond_single_precision_stay_in_double():
    some = np.array([[1.0, 2.5], [0.0, 1e30]])
    assert in_single(some).dtype == np.float32
    for far in (1e39, 1e-46):
        features = np.where(some == 2.5, far, some)
        assert in_single(features) is features
