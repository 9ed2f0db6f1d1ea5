"""Marginal and conditional R^2 of linear mixed models."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy


def test_sleepstudy_has_the_shares_of_r():
    """performance::r2_nakagawa prints 0.279 and 0.799 of this model."""
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=groups)
    summary = model.summary()
    assert round(summary.r2_marginal, 3) == 0.279
    assert round(summary.r2_conditional, 3) == 0.799
    assert "R^2 0.279 by the features, 0.799 with the random effects" in str(summary)


def test_light_weights_have_the_shares_of_the_random_intercept_model():
    """Weights that sum to 1.5; the two models divided by other numbers."""
    X, y, groups = load_sleepstudy(return_X_y_groups=True)
    data = {"groups": groups, "sample_weight": np.full(len(y), 1.5 / len(y))}
    one, other = (
        model.fit(X, y, **data).summary()
        for model in (
            RandomInterceptRegressor(method="ml"),
            LinearMixedRegressor(method="ml"),
        )
    )
    assert_allclose(one.r2_marginal, other.r2_marginal, rtol=1e-6)
    assert_allclose(one.r2_conditional, other.r2_conditional, rtol=1e-6)


@pytest.mark.parametrize("terms", ["(x0 | a) + (1 | b)", "(x0 || a/b)", "(0 + x1 | b)"])
def test_shares_are_those_of_the_dense_covariance(terms):
    """The random part is the mean of the diagonal of Z Psi Z' (Johnson 2014)."""
    rng = np.random.default_rng(2)
    labels = pd.DataFrame({"a": np.arange(90) % 9, "b": rng.integers(5, size=90)})
    X = rng.normal(size=(90, 2)) + 3
    effects = rng.normal(size=(9, 2))
    y = X[:, 0] * (1 + effects[labels["a"], 0]) + effects[labels["a"], 1]
    y += rng.normal(size=5)[labels["b"]] * X[:, 1] + rng.normal(size=90)
    weight = rng.integers(1, 3, size=90)
    model = LinearMixedRegressor(terms)
    model.fit(X, y, groups=labels, sample_weight=weight)
    random = np.zeros(90)
    columns = {"intercept": np.ones(90), "x0": X[:, 0], "x1": X[:, 1]}
    for factor, Psi in model.random_effects_covariance_.items():
        names = model.random_effects_names_[factor]
        Z = np.column_stack([columns[name] for name in names])
        random += np.diag(Z @ Psi @ Z.T)
    n = weight.sum()
    features = np.cov(X @ model.coef_, fweights=weight)
    between, noise = weight @ random / n, model.noise_variance_
    summary = model.summary()
    total = features + between + noise
    assert_allclose(summary.r2_marginal, features / total, rtol=1e-10)
    assert_allclose(summary.r2_conditional, (features + between) / total, rtol=1e-10)
