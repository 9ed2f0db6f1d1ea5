"""A known part of the log-variance of rows: precision weights, known variances."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles.reference import log_likelihood, with_intercept
from scipy import sparse
from scipy.optimize import minimize, minimize_scalar
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixed import HeteroscedasticGaussianRegressor
from skmixed.datasets import load_sleepstudy

# Two searches for one optimum, of which that of the reference stops earlier.
SEARCHED = 1e-6
KNOWN = {"variance_features": [], "fit_variance_intercept": False}


def simulate(seed=0, n=80, n_groups=10):
    """Features, the known log-variance, y, groups."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) % n_groups
    X, offset = rng.normal(size=(n, 2)), 1.5 * rng.normal(size=n) + 2
    y = X.sum(axis=1) + rng.normal(size=n_groups)[groups]
    return X, offset, y + np.exp(offset / 2) * rng.normal(size=n), groups


def fit(X, offset, y, groups, weight=None, **options):
    model = HeteroscedasticGaussianRegressor(variance_offset=-1, **options)
    X = np.column_stack([X, offset])
    return model.fit(X, y, groups=groups, sample_weight=weight)


# Coefficients, their standard errors, group variance, noise at v = 1 and log-likelihood
# by lme4's weights; nlme's varFixed agrees (tests/stored/variance_offset.R).
SLEEPSTUDY = {
    "reml": (
        [254.210228987, 9.84392503997],
        [7.49604208773, 0.763319250378],
        875.618658972,
        218.757790411,
        -894.605732294,
    ),
    "ml": (
        [254.210228987, 9.84392503996],
        [7.29634428189, 0.76095968051],
        823.284882675,
        217.407434076,
        -898.140761426,
    ),
}


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_precision_weights_are_those_of_lme4(method):
    X, y, groups = load_sleepstudy(return_X_y_groups=True)
    days = np.asarray(X, dtype=float)[:, 0]
    options = {"method": method, "variance_features": []}
    model = fit(days[:, None], np.log(1 + days), y, groups, **options)
    coef, std, between, noise, log_likelihood_ = SLEEPSTUDY[method]
    found = [model.intercept_, model.coef_[0]]
    assert_allclose(found, coef, rtol=SEARCHED)
    found = [model.intercept_std_, model.coef_std_[0]]
    assert_allclose(found, std, rtol=SEARCHED)
    assert_allclose(model.group_variance_, between, rtol=SEARCHED)
    assert_allclose(np.exp(model.variance_intercept_), noise, rtol=SEARCHED)
    assert_allclose(model.log_likelihood_, log_likelihood_, rtol=1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("free", [True, False])
def test_known_variances_against_the_dense_density(method, free):
    """A meta-analysis with moderators, where nothing of the noise is free."""
    X, offset, y, groups = simulate()
    options = {"method": method, "variance_features": []}
    model = fit(X, offset, y, groups, fit_variance_intercept=free, **options)

    def value(theta):
        noise = np.exp(offset + (theta[1] if free else 0.0))
        V = np.diag(noise) + np.exp(theta[0]) * (groups[:, None] == groups)
        return -log_likelihood(with_intercept(X), y, V, method == "reml")

    start = np.zeros(1 + free)
    found = minimize(value, start, method="BFGS", options={"gtol": 1e-7})
    assert_allclose(model.log_likelihood_, -found.fun, rtol=1e-10)
    # The error of an optimum is the root of that of the criterion.
    assert_allclose(np.log(model.group_variance_), found.x[0], atol=1e-5)
    level = model.variance_intercept_
    assert_allclose(level, found.x[1] if free else 0.0, atol=1e-5)
    noise = model.predict_noise_std(np.column_stack([X, offset]))
    assert_allclose(noise, np.exp((offset + level) / 2))


def test_a_fixed_effect_meta_analysis_in_closed_form():
    """The mean with weights 1 / v, whose variance is 1 / sum(1 / v)."""
    _, offset, y, _ = simulate()
    model = fit(np.empty((80, 0)), offset, y, None, mean_groups=None, **KNOWN)
    w = np.exp(-offset)
    assert_allclose(model.intercept_, w @ y / w.sum())
    assert_allclose(model.intercept_std_, w.sum() ** -0.5)
    assert model.converged_
    assert not model.variance_coef_.any()


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_random_effects_meta_analysis_of_one_row_a_study(method):
    """Known variances tell the study's variance from the noise, with a row for each."""
    y = np.array([0.28, -0.03, 0.45, 0.61, 0.19, 0.54, 0.08, 0.39])
    v = np.array([0.15, 0.1, 0.16, 0.1, 0.11, 0.17, 0.11, 0.18]) ** 2
    options = {"method": method, **KNOWN}
    model = fit(np.empty((8, 0)), np.log(v), y, np.arange(8), **options)

    def value(log_tau2):
        V = np.diag(v + np.exp(log_tau2))
        return -log_likelihood(np.ones((8, 1)), y, V, method == "reml")

    found = minimize_scalar(value, bounds=(-10, 2), method="bounded")
    assert_allclose(model.log_likelihood_, -found.fun, rtol=1e-10)
    assert_allclose(np.log(model.group_variance_), found.x, atol=1e-5)
    w = 1 / (v + model.group_variance_)
    assert_allclose(model.intercept_, w @ y / w.sum())
    assert_allclose(model.intercept_std_, w.sum() ** -0.5)


STRUCTURES = [
    {},
    {"mean_groups": None},
    {"mean_groups": "fixed"},
    {"variance_groups": "fixed"},
    {"mean_groups": "fixed", "variance_groups": "fixed"},
    {"alpha": 2.0, "variance_alpha": 0.5},
    {"method": "ml", "alpha": 2.0},
]


@pytest.mark.parametrize("options", STRUCTURES, ids=str)
def test_what_is_known_of_the_log_variance_is_not_estimated(options):
    """Where a column is a feature of the log-variance, its coefficient falls by what is
    known to depend on it, and the fit is the same.
    """
    X, _, y, groups = simulate(n=240)
    options = {"variance_features": [0, 1]} | options
    if options.get("variance_alpha"):  # a penalty on a coefficient is not on the rest
        options["variance_features"] = [1]
    plain = HeteroscedasticGaussianRegressor(mean_features=[0, 1], **options)
    plain.fit(X, y, groups=groups)
    slope = 0.7 if 0 in options["variance_features"] else 0.0
    offset = 0.3 + slope * X[:, 0]
    model = fit(X, offset, y, groups, **options)
    assert_allclose(model.log_likelihood_, plain.log_likelihood_, rtol=1e-9)
    assert_allclose(model.coef_[:2], plain.coef_, rtol=SEARCHED)
    expected = plain.variance_coef_ - [slope, 0.0]
    assert_allclose(model.variance_coef_[:2], expected, atol=SEARCHED)
    assert model.coef_[2] == model.variance_coef_[2] == 0
    assert_allclose(model.group_variance_, plain.group_variance_, rtol=1e-5)
    icc = plain.intraclass_correlation_
    assert_allclose(model.intraclass_correlation_, icc, rtol=1e-5)
    X_offset = np.column_stack([X, offset])
    for labels in (groups, np.full(240, None)):
        got = model.predict(X_offset, groups=labels, return_std=True)
        wanted = plain.predict(X, groups=labels, return_std=True)
        assert_allclose(got, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("options", STRUCTURES[:5], ids=str)
def test_in_parts_sparse_and_weighted(options):
    X, offset, y, groups = simulate(n=200)
    weight = np.random.default_rng(1).integers(1, 4, size=200)
    model = fit(X, offset, y, groups, weight, variance_features=[0], **options)
    rows = np.repeat(np.arange(200), weight)
    data = X[rows], offset[rows], y[rows], groups[rows]
    repeated = fit(*data, variance_features=[0], **options)
    lazy = HeteroscedasticGaussianRegressor(
        variance_offset=2, variance_features=[0], **options
    )
    csr = sparse.csr_array(np.column_stack([X, offset]))
    lazy.fit(csr, y, groups=groups, sample_weight=weight)
    for other in (repeated, lazy):
        assert_allclose(other.log_likelihood_, model.log_likelihood_, rtol=1e-9)
        assert_allclose(other.coef_, model.coef_, rtol=1e-5)
        assert_allclose(other.variance_coef_, model.variance_coef_, atol=1e-6)
    found = lazy.predict_noise_std(csr, groups=groups)
    wanted = model.predict_noise_std(csr.toarray(), groups=groups)
    assert_allclose(found, wanted, rtol=1e-6)


def test_a_column_that_a_pipeline_passes_through():
    X, offset, y, groups = simulate()
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(log_variance=offset)
    scaled = ColumnTransformer(
        [("scaled", StandardScaler(), ["a", "b"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = HeteroscedasticGaussianRegressor(variance_offset="log_variance", **KNOWN)
    pipeline = make_pipeline(scaled, model)
    pipeline.fit(frame, y, heteroscedasticgaussianregressor__groups=groups)
    direct = fit(X, offset, y, groups, **KNOWN)
    found = pipeline[-1]
    assert_allclose(found.group_variance_, direct.group_variance_, rtol=1e-5)
    new = scaled.transform(frame), np.column_stack([X, offset])
    predicted = [
        model.predict(each, groups=groups)
        for model, each in zip((found, direct), new, strict=True)
    ]
    assert_allclose(*predicted, rtol=1e-5, atol=1e-6)
    found = found.predict_noise_std(scaled.transform(frame))
    assert_allclose(found, np.exp(offset / 2))


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"variance_offset": "z"}, ValueError, "variance_offset='z' is not among"),
        ({"variance_offset": 9}, ValueError, "variance_offset=9 but X has 4 columns"),
        ({"variance_offset": 0.5}, TypeError, "variance_offset is the name or the"),
        (
            {"variance_offset": "school", "group_feature": "school"},
            ValueError,
            "holds group labels",
        ),
        (
            {"variance_offset": "c", "mean_features": ["a", "c"]},
            ValueError,
            "mean_features names column 2 of X, which is the variance_offset",
        ),
        (
            {"variance_offset": "c", "variance_features": ["c"]},
            ValueError,
            "variance_features names column 2",
        ),
        ({"variance_offset": "large"}, ValueError, "up to 1e.05 in size"),
    ],
)
def test_what_is_no_offset(options, error, message):
    X, offset, y, groups = simulate()
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(c=offset, school=groups)
    if options["variance_offset"] == "large":
        frame["school"] = 1e5
        frame = frame.rename(columns={"school": "large"})
    labels = None if "group_feature" in options else groups
    with pytest.raises(error, match=message):
        HeteroscedasticGaussianRegressor(**options).fit(frame, y, groups=labels)
