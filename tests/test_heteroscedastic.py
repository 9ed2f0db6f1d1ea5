"""HeteroscedasticGaussianRegressor: equivalences, invariances, and awkward data."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import condition, log_likelihood, with_intercept
from sklearn.linear_model import LinearRegression, Ridge

from skmixed import (
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)

EXACT = 1e-10  # two solutions of one well-conditioned linear system
UNITY = 1e-8  # two searches for one optimum
# Two searches in different coordinates; the error of an optimum is the root of that of
# the criterion.
SEARCHED = 1e-7

SHARED = (
    "coef_",
    "intercept_",
    "coef_covariance_",
    "group_variance_",
    "intraclass_correlation_",
    "random_intercepts_",
    "random_intercepts_std_",
    "random_intercepts_conditional_std_",
    "log_likelihood_",
    "at_boundary_",
)
FIGURES = (
    *SHARED,
    "variance_coef_",
    "variance_intercept_",
    "variance_coef_covariance_",
)
MODES = ("random", "fixed", None)


def simulate(seed=0, n=160, n_groups=12, group_std=0.8, sizes=None):
    """Noise that depends on the first feature; groups that differ in mean and noise."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_groups, size=n)
    groups[: 5 * n_groups] = np.repeat(np.arange(n_groups), 5)
    if sizes is not None:
        groups = np.repeat(np.arange(len(sizes)), sizes)
        n, n_groups = len(groups), len(sizes)
    X = rng.normal(size=(n, 3)) + rng.normal(size=(n_groups, 3))[groups]
    log_variance = 0.6 * X[:, 0] + 0.5 * rng.normal(size=n_groups)[groups]
    y = 2 + X @ [1.0, 2.0, 3.0] + np.exp(log_variance / 2) * rng.normal(size=n)
    return X, y + group_std * rng.normal(size=n_groups)[groups], groups


def fit(X, y, groups=None, sample_weight=None, **kwargs):
    model = HeteroscedasticGaussianRegressor(**kwargs)
    return model.fit(X, y, groups=groups, sample_weight=sample_weight)


def assert_same(one, other, rtol=UNITY, figures=FIGURES):
    for name in figures:
        expected = np.asarray(getattr(other, name), dtype=float)
        scale = np.abs(expected).max(initial=0.0)
        assert_allclose(
            getattr(one, name), expected, rtol=rtol, atol=rtol * scale, err_msg=name
        )


def one_hot(groups):
    return np.eye(int(groups.max()) + 1)[groups]


# ---------------------------------------------------------------- unity of the models


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("alpha", [0.0, 3.0])
@pytest.mark.parametrize("group_std", [0.0, 0.8, 1e6])
@pytest.mark.parametrize("weighted", [False, True])
def test_constant_variance_is_the_random_intercept_model(
    method, alpha, group_std, weighted
):
    X, y, groups = simulate(group_std=group_std)
    weight = np.arange(len(y)) % 4 if weighted else None
    options = {"method": method, "alpha": alpha}
    model = fit(X, y, groups, weight, variance_features=[], **options)
    other = RandomInterceptRegressor(**options)
    other.fit(X, y, groups=groups, sample_weight=weight)
    assert_same(model, other, figures=SHARED)
    noise = np.exp(model.variance_intercept_)
    assert_allclose(noise, other.noise_variance_, rtol=UNITY)
    new = np.append(groups[:5], [98, 99])
    assert_allclose(
        model.predict(X[:7], groups=new, return_std=True),
        other.predict(X[:7], groups=new, return_std=True),
        rtol=UNITY,
    )
    assert_allclose(
        model.log_predictive_density(X, y, groups=groups),
        other.log_predictive_density(X, y, groups=groups),
        rtol=UNITY,
    )


@pytest.mark.parametrize("alpha", [0.0, 2.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_without_groups_constant_variance_is_least_squares(alpha, fit_intercept):
    X, y, _ = simulate()
    linear = Ridge(alpha, fit_intercept=fit_intercept) if alpha else None
    linear = linear or LinearRegression(fit_intercept=fit_intercept)
    linear.fit(X, y)
    model = fit(
        X, y, mean_groups=None, variance_features=[], alpha=alpha,
        fit_intercept=fit_intercept,
    )  # fmt: skip
    assert_allclose(model.coef_, linear.coef_, rtol=EXACT)
    assert_allclose(model.intercept_, linear.intercept_, rtol=EXACT)
    if not alpha:
        rss = np.sum((y - linear.predict(X)) ** 2)
        freedom = len(y) - 3 - fit_intercept
        assert_allclose(np.exp(model.variance_intercept_), rss / freedom, rtol=EXACT)


@pytest.mark.parametrize("variance_groups", ["fixed", None])
@pytest.mark.parametrize("mean_groups", ["fixed", None])
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.filterwarnings("ignore:.*fewer than 10 rows:skmixed.GroupsWarning")
def test_fixed_effects_are_explicit_one_hot_columns(
    mean_groups, variance_groups, method, penalised
):
    X, y, groups = simulate()
    columns, G = np.column_stack([X, one_hot(groups)]), 12
    options = {"method": method}
    if penalised:
        options |= {"alpha": 2.0, "variance_alpha": 0.7}
    model = fit(
        X, y, groups,
        mean_groups=mean_groups, variance_groups=variance_groups,
        variance_features=[0, 1], **options,
    )  # fmt: skip
    explicit = fit(
        columns, y,
        mean_groups=None,
        mean_features=range(3 + G * (mean_groups == "fixed")),
        variance_features=[0, 1, *range(3, 3 + G * (variance_groups == "fixed"))],
        **options,
    )  # fmt: skip
    assert_allclose(model.coef_, explicit.coef_[:3], rtol=SEARCHED)
    assert_allclose(model.intercept_, explicit.intercept_, rtol=SEARCHED)
    assert_allclose(model.coef_std_, explicit.coef_std_[:3], rtol=SEARCHED)
    assert_allclose(model.intercept_std_, explicit.intercept_std_, rtol=SEARCHED)
    assert_allclose(model.variance_coef_, explicit.variance_coef_[:3], atol=SEARCHED)
    assert_allclose(
        model.variance_intercept_, explicit.variance_intercept_, atol=SEARCHED
    )
    assert_allclose(
        model.variance_coef_covariance_,
        explicit.variance_coef_covariance_[:4, :4],
        rtol=1e-5,  # a second derivative at optima that differ by SEARCHED
        atol=1e-9,
    )
    if mean_groups == "fixed":
        assert_allclose(model.group_effects_, explicit.coef_[3:], atol=SEARCHED)
        assert_allclose(model.group_effects_std_, explicit.coef_std_[3:], rtol=1e-6)
        assert abs(model.group_effects_.sum()) < 1e-9
    if variance_groups == "fixed":
        assert_allclose(
            model.variance_group_effects_, explicit.variance_coef_[3:], atol=SEARCHED
        )
        assert abs(model.variance_group_effects_.sum()) < 1e-9
    assert_allclose(
        model.predict(X, groups=groups, return_std=True),
        explicit.predict(columns, return_std=True),
        rtol=SEARCHED,
    )
    unseen = np.column_stack([X, np.zeros((len(X), G))])
    assert_allclose(
        model.predict(X, return_std=True),
        explicit.predict(unseen, return_std=True),
        rtol=SEARCHED,
    )


@pytest.mark.filterwarnings("ignore:.*within groups:skmixed.GroupsWarning")
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_columns_constant_within_groups_share_as_one_hot_columns_do(fit_intercept):
    X, y, groups = simulate()
    X[:, 1] = np.arange(12)[groups]
    X = np.column_stack([X, X[:, 0] - X[:, 1], np.sin(X[:, 1])])
    columns = np.column_stack([X, one_hot(groups)])
    linear = LinearRegression(fit_intercept=fit_intercept).fit(columns, y)
    model = fit(
        X, y, groups, mean_groups="fixed", variance_features=[],
        fit_intercept=fit_intercept,
    )  # fmt: skip
    assert_allclose(model.coef_, linear.coef_[:5], rtol=1e-8, atol=1e-9)
    assert_allclose(model.intercept_, linear.intercept_, atol=1e-9)
    assert_allclose(model.group_effects_, linear.coef_[5:], rtol=1e-8, atol=1e-9)
    assert_allclose(
        model.predict(X, groups=groups), linear.predict(columns), rtol=EXACT
    )
    unseen = np.column_stack([X, np.zeros((len(X), 12))])
    assert_allclose(model.predict(X), linear.predict(unseen), rtol=1e-8, atol=1e-9)
    explicit = fit(
        columns, y, mean_groups=None, variance_features=[], fit_intercept=fit_intercept
    )
    std = explicit.predict(unseen, return_std=True)[1]
    assert_allclose(model.predict(X, return_std=True)[1], std, rtol=1e-7)
    std = explicit.predict(columns, return_std=True)[1]
    assert_allclose(model.predict(X, groups=groups, return_std=True)[1], std, rtol=1e-7)


# ---------------------------------------------------------------- the dense density


def dense_covariance(model, X, groups):
    noise = model.predict_noise_std(X, groups=groups) ** 2
    shared = groups[:, None] == groups
    return np.diag(noise) + model.group_variance_ * shared


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("mean_groups", MODES)
@pytest.mark.parametrize("variance_groups", ["fixed", None])
@pytest.mark.filterwarnings("ignore:.*fewer than 10 rows:skmixed.GroupsWarning")
def test_log_likelihood_is_the_dense_density(method, mean_groups, variance_groups):
    X, y, groups = simulate()
    model = fit(
        X, y, groups,
        method=method, mean_groups=mean_groups, variance_groups=variance_groups,
    )  # fmt: skip
    V = dense_covariance(model, X, groups)
    fixed = mean_groups == "fixed"
    D = np.column_stack([one_hot(groups), X]) if fixed else with_intercept(X)
    expected = log_likelihood(D, y, V, method == "reml")
    assert_allclose(model.log_likelihood_, expected, rtol=EXACT)


@pytest.mark.parametrize("variance_groups", ["fixed", None])
def test_predictions_are_the_dense_conditional_distribution(variance_groups):
    X, y, groups = simulate()
    model = fit(X, y, groups, variance_groups=variance_groups)
    V = dense_covariance(model, X, groups)
    new = np.array([0, 0, 3, 98, 98, 99])
    X_new = np.random.default_rng(1).normal(size=(6, 3))
    noise = np.diag(model.predict_noise_std(X_new, groups=new) ** 2)
    V_new = noise + model.group_variance_ * (new[:, None] == new)
    cross = model.group_variance_ * (new[:, None] == groups)
    D, D_new = with_intercept(X), with_intercept(X_new)
    mean, covariance = condition(D, y, V, D_new, V_new, cross)
    assert_allclose(model.predict(X_new, groups=new), mean, rtol=1e-9)
    _, got = model.predict(X_new, groups=new, return_cov=True)
    assert_allclose(got, covariance, rtol=1e-8, atol=1e-10)
    _, std = model.predict(X_new, groups=new, return_std=True)
    assert_allclose(std**2, np.diag(covariance), rtol=1e-9)


def test_noise_is_a_part_of_the_predictive_standard_deviation():
    X, y, groups = simulate()
    for estimator in (
        HeteroscedasticGaussianRegressor(variance_groups="fixed"),
        RandomInterceptRegressor(),
    ):
        model = estimator.fit(X, y, groups=groups)
        noise = model.predict_noise_std(X, groups=groups)
        known = model.predict(X, groups=groups, return_std=True)[1]
        new = model.predict(X, return_std=True)[1]
        assert noise.shape == y.shape
        assert (noise < known).all()
        assert (model.predict_noise_std(X) ** 2 + model.group_variance_ < new**2).all()


def test_the_effect_of_a_feature_on_the_log_variance():
    X, y, groups = simulate()
    model = fit(X, y, groups, variance_groups="fixed")
    at = model.predict_noise_std([[0, 0, 0], [1, 0, 0]], groups=[4, 4])
    expected = model.variance_intercept_ + model.variance_group_effects_[4]
    assert_allclose(2 * np.log(at[0]), expected)
    assert_allclose(2 * np.log(at[1] / at[0]), model.variance_coef_[0])
    assert_allclose(
        2 * np.log(model.predict_noise_std([[0, 0, 0]])), model.variance_intercept_
    )
