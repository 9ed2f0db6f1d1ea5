"""Predictions of a linear mixed model with its variances integrated out."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.stats import t as student_t

from skmixed import GroupsWarning, LinearMixedRegressor


def test_an_interval_of_a_row_is_the_same_alone_and_among_others():
    rng = np.random.default_rng(0)
    groups, X = np.arange(48) % 6, rng.normal(size=(48, 2))
    intercepts, slopes = rng.normal(size=(2, 6))
    y = X.sum(axis=1) + intercepts[groups] + slopes[groups] * X[:, 0]
    y = y + 0.5 * rng.normal(size=48)
    model = LinearMixedRegressor("(x0 | g)").fit(X, y, groups=groups)
    rows, labels = X[:5], np.array([0, 1, 2, 97, 98])
    asked = {"coverage": 0.9, "distribution": "integrated"}
    found = model.predict_interval(rows, groups=labels, **asked)
    normal = model.predict_interval(rows, groups=labels, coverage=0.9)
    # Six groups tell two variances badly: a new one may be far off.
    assert (np.diff(found, axis=1) > np.diff(normal, axis=1))[3:].all()
    for i in range(5):
        one = model.predict_interval(rows[i : i + 1], groups=labels[i : i + 1], **asked)
        # Quantiles are searched for.
        assert_allclose(one[0], found[i], rtol=1e-6)


def test_weights_that_sum_to_less_than_the_coefficients_are_refused():
    """Student's t had degrees of freedom below 0, and a logarithm of these."""
    rng = np.random.default_rng(0)
    groups, X = np.arange(24) % 6, rng.normal(size=(24, 3))
    data = {"groups": groups, "sample_weight": np.full(24, 0.125)}
    model = LinearMixedRegressor(method="ml").fit(X, rng.normal(size=24), **data)
    with pytest.raises(ValueError, match=r"degrees of freedom left .* 3 rows.* 4 coef"):
        model.summary(distribution="integrated")


def test_a_known_log_variance_without_told_variances_leaves_student_t():
    """There is nothing to integrate over but the noise: this was an error of NumPy."""
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(32, 3)), np.zeros(32, dtype=int)
    y = X @ np.ones(3) + np.exp(X[:, 2] / 2) * rng.normal(size=32)
    model = LinearMixedRegressor(
        "(0 + x1 + x0 || g)", variance_features=[], variance_offset=2
    )
    with pytest.warns(GroupsWarning, match="one"):
        model.fit(X, y, groups=groups)
    known = {"X": X, "groups": groups}
    mean, std = model.predict(**known, return_std=True)
    quantile = student_t.ppf(0.9, 32 - 3)
    found = model.predict_interval(**known, coverage=0.8, distribution="integrated")
    expected = [mean - quantile * std, mean + quantile * std]
    assert_allclose(np.transpose(found), expected, rtol=1e-10)


def test_weights_are_repetitions_beside_a_modelled_noise():
    """Nodes were placed by unweighted squares of the columns of the log-variance."""
    rng = np.random.default_rng(0)
    groups, X = rng.integers(8, size=120), rng.normal(size=(120, 2))
    y = X[:, 0] + rng.normal(size=8)[groups]
    y = y + np.exp(0.3 * X[:, 1]) * rng.normal(size=120)
    weight, found = rng.integers(1, 4, size=120), []
    for many, counts in ((weight, None), (np.ones(120, dtype=int), weight)):
        model = LinearMixedRegressor("(1 | g)", variance_features="all")
        rows = np.repeat(np.arange(120), many)
        model.fit(X[rows], y[rows], groups=groups[rows], sample_weight=counts)
        how = {"groups": [0, 1, 99, 98], "distribution": "integrated"}
        found.append(model.predict_interval(X[:4], **how))
    assert_allclose(found[0], found[1], rtol=1e-9)
