"""Degrees of freedom, profile-likelihood intervals, and summaries.

The golden cases judge them too (test_golden): degrees of freedom, intervals, criteria.
"""

from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.golden_cases import load
from oracles.reference import log_likelihood, simulate, with_intercept
from scipy.optimize import minimize, minimize_scalar
from scipy.stats import chi2, t

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood.criterion import deviance
from skmixed._likelihood.posterior import condition, of_groups
from skmixed._likelihood.random_intercept import evaluate
from skmixed._results.inference import curvature, slope_in_group_variance
from skmixed._results.profile import Profile, _interval
from skmixed.datasets import load_sleepstudy

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

# Second differences of a deviance of some hundreds, step 1e-3: rounding is 1e-7.
STEP, DIFFERENCED = 1e-3, 1e-5
INTERPOLATED = 1e-11  # between Chebyshev nodes, relative and absolute
SEARCHED = 1e-7  # an optimum found without derivatives, relative
METHODS = ("reml", "ml")


def fit(method="reml", seed=0, n=120, **options):
    X, y, groups = simulate(n=n, seed=seed, group_std=1.5)
    model = RandomInterceptRegressor(method=method, **options)
    return model.fit(X, y, groups=groups), X, y, groups


def deviance_at(model, at, log_noise, ratio):
    """-2 log-likelihood at any sigma^2 and lambda^2."""
    other = evaluate(model, ratio)
    return deviance(model, replace(other, noise_variance=np.exp(log_noise)))


@pytest.mark.parametrize("method", METHODS)
def test_curvature_is_that_of_the_deviance(method):
    """math.md (32) to (34)."""
    estimator, *_ = fit(method)
    _, model = fit_of(estimator).likelihood
    at = evaluate(model, fit_of(estimator).ratio)
    found, _, _ = curvature(model, at)
    theta = np.array([np.log(at.noise_variance), at.ratio])
    expected = np.empty((2, 2))
    steps = STEP * np.eye(2) * [1, at.ratio]
    for i, a in enumerate(steps):
        for j, b in enumerate(steps):
            corners = [
                sign * deviance_at(model, at, *(theta + k * a + m * b))
                for k, m, sign in [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
            ]
            expected[i, j] = 0.5 * sum(corners) / (4 * a.sum() * b.sum())
    assert_allclose(found, expected, rtol=DIFFERENCED)


def test_degrees_of_freedom_of_a_balanced_design_are_the_textbook_ones():
    """A column within groups has those of the rest, the mean those of the groups."""
    groups = np.repeat(np.arange(8), 5)
    rng = np.random.default_rng(0)
    x = np.tile([-2.0, -1.0, 0.0, 1.0, 2.0], 8)
    y = 3 * rng.normal(size=8)[groups] + x + rng.normal(size=40)
    model = RandomInterceptRegressor().fit(x[:, None], y, groups=groups)
    df = model.summary().coefficients["df"]
    assert_allclose(df, [7, 40 - 8 - 1], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_degrees_of_freedom_do_not_depend_on_units(scale):
    model, X, y, groups = fit()
    other = RandomInterceptRegressor().fit(X, scale * y, groups=groups)
    df = model.summary().coefficients["df"]
    assert_allclose(other.summary().coefficients["df"], df, rtol=1e-7)


def test_a_contrast_of_nothing_has_no_degrees_of_freedom():
    estimator, *_ = fit()
    uncertainty = fit_of(estimator).coefficient_uncertainty()
    assert np.isnan(uncertainty.freedom(np.zeros((1, 4)))).all()


# ---------------------------------------------------------------------------- intervals


def dense_profile(X, y, groups, name, value, reml):
    """The highest dense log-likelihood with one parameter held."""
    shared = (groups[:, None] == groups).astype(float)
    D = with_intercept(X)
    start = {"group_std": 1.0, "noise_std": 1.0, "intraclass_correlation": 0.5}
    free = [key for key in ("group_std", "noise_std") if key != name]
    offset = 0.0
    if name == "coef":
        offset, D = value * X[:, 0], np.delete(D, 1, axis=1)

    def negative(logs):
        stds = {**start, **dict(zip(free, np.exp(logs), strict=True))}
        if name in stds:
            stds[name] = value
        if name == "intraclass_correlation":
            stds["group_std"] = stds["noise_std"] * np.sqrt(value / (1 - value))
        V = stds["noise_std"] ** 2 * np.eye(len(y)) + stds["group_std"] ** 2 * shared
        return -log_likelihood(D, y - offset, V, reml)

    if name == "intraclass_correlation":
        free = ["noise_std"]
    options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    found = minimize(
        negative, np.zeros(len(free)), method="Nelder-Mead", options=options
    )
    return -found.fun


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("coverage", [0.5, 0.95])
def test_the_likelihood_at_the_ends_is_lower_by_the_quantile(method, coverage):
    """math.md (36)."""
    estimator, X, y, groups = fit(method, n=60)
    intervals = estimator.profile_intervals(coverage)
    drop = chi2.ppf(coverage, 1) / 2
    for name in ("group_std", "noise_std", "intraclass_correlation"):
        for end in intervals[name]:
            found = dense_profile(X, y, groups, name, end, method == "reml")
            assert_allclose(found, estimator.log_likelihood_ - drop, rtol=SEARCHED)
    best = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
    for end in intervals["coef"][0]:
        found = dense_profile(X, y, groups, "coef", end, False)
        assert_allclose(found, best.log_likelihood_ - drop, rtol=SEARCHED)


def test_intervals_hold_the_estimate_and_grow_with_the_coverage():
    estimator, *_ = fit("ml")
    estimates = {
        "group_std": np.sqrt(estimator.group_variance_),
        "noise_std": np.sqrt(estimator.noise_variance_),
        "intraclass_correlation": estimator.intraclass_correlation_,
        "intercept": estimator.intercept_,
        "coef": estimator.coef_,
    }
    narrow, wide = (estimator.profile_intervals(c) for c in (0.1, 0.99))
    for name, estimate in estimates.items():
        ends = [wide[name][..., 0], narrow[name][..., 0], np.asarray(estimate)]
        ends += [narrow[name][..., 1], wide[name][..., 1]]
        assert (np.diff(ends, axis=0) > 0).all()


@pytest.mark.parametrize("offset, scale", [(1e4, 1.0), (0.0, 1e-5)])
def test_intervals_move_with_the_units(offset, scale):
    estimator, X, y, groups = fit()
    intervals = estimator.profile_intervals()
    other = RandomInterceptRegressor().fit(X, scale * y + offset, groups=groups)
    moved = other.profile_intervals()
    for name in ("group_std", "noise_std", "coef"):
        assert_allclose(moved[name], scale * intervals[name], rtol=1e-6)
    expected = scale * intervals["intercept"] + offset
    assert_allclose(moved["intercept"], expected, rtol=1e-6)
    name = "intraclass_correlation"
    assert_allclose(moved[name], intervals[name], rtol=1e-6)


def test_intervals_of_a_variance_at_its_boundary():
    X, y, groups, _ = load("B_Dyestuff2_reml")
    model = RandomInterceptRegressor(fit_intercept=False).fit(X, y, groups=groups)
    assert model.at_boundary_
    intervals = model.profile_intervals()
    assert intervals["group_std"][0] == intervals["intraclass_correlation"][0] == 0
    assert 0 < intervals["group_std"][1] < 5
    summary = model.summary()
    assert summary.group_test.statistic == 0
    assert summary.group_test.p_value == 1
    assert "end of its range" in str(summary)


def test_profiles_of_some_parameters():
    estimator, *_ = fit()
    every = estimator.profile_intervals()
    assert list(every) == [
        "group_std",
        "noise_std",
        "intraclass_correlation",
        "intercept",
        "coef",
    ]
    some = estimator.profile_intervals(parameters=["x1", "noise_std"])
    assert list(some) == ["x1", "noise_std"]
    assert_allclose(some["x1"], every["coef"][1])
    assert_allclose(some["noise_std"], every["noise_std"])
    assert list(estimator.profile_intervals(parameters="coef")) == ["coef"]
    assert estimator.profile_intervals(parameters=[]) == {}
    with pytest.raises(ValueError, match=r"parameters has 'x9', .* \(x0, x1, x2\)"):
        estimator.profile_intervals(parameters=["x9"])
    with pytest.raises(TypeError, match="parameters is a name or a list of names"):
        estimator.profile_intervals(parameters=3)


def test_interpolated_figures_are_those_of_the_factor():
    """Between two points of the grid, and beyond it."""
    estimator, *_ = fit()
    columns, model = fit_of(estimator).likelihood
    contrasts = np.eye(columns.rank)
    profile = Profile(model, fit_of(estimator).ratio, contrasts)
    for log_ratio in (-3.3, 0.0, 0.7, 5.1, -40.0, 90.0):
        found, exact = profile.between(log_ratio), profile.trace([np.exp(log_ratio)])
        for name in ("rss", "logdet", "beta", "variance"):
            ours, theirs = getattr(found, name)[0], getattr(exact, name)[0]
            assert_allclose(ours, theirs, rtol=INTERPOLATED, atol=INTERPOLATED)


def highest_over_ratios(D, y, groups):
    """The full log-likelihood at its best over all ratios, by brute force."""
    shared = (groups[:, None] == groups).astype(float)

    def negative(t):
        V = np.eye(len(y)) + np.exp(t) * shared
        beta = np.linalg.solve(D.T @ np.linalg.solve(V, D), D.T @ np.linalg.solve(V, y))
        rss = (y - D @ beta) @ np.linalg.solve(V, y - D @ beta)
        return -log_likelihood(D, y, rss / len(y) * V, False)

    grid = np.linspace(-15, 10, 51)
    near = grid[np.argmin([negative(t) for t in grid])]
    found = minimize_scalar(negative, bounds=(near - 0.5, near + 0.5), method="bounded")
    return -found.fun


@pytest.mark.parametrize("name", ["F_Bimodal1_ml", "F_Bimodal2_ml"])
def test_ends_of_coefficients_where_the_likelihood_has_two_optima(name):
    """math.md (36a) takes the farthest of all ratios, beside whichever optimum."""
    X, y, groups, _ = load(name)
    model = RandomInterceptRegressor(method="ml", fit_intercept=False)
    model.fit(X, y, groups=groups)
    for coverage in (0.5, 0.99):
        lowest = model.log_likelihood_ - chi2.ppf(coverage, 1) / 2
        ends = model.profile_intervals(coverage, "coef")["coef"]
        for j, pair in enumerate(ends):
            for end in pair:
                rest = y - end * X[:, j]
                found = highest_over_ratios(np.delete(X, j, axis=1), rest, groups)
                assert_allclose(found, lowest, rtol=SEARCHED)


def test_what_the_data_do_not_tell_has_no_interval():
    X, y, _ = simulate(n=30)
    with pytest.warns(UserWarning, match="one row each"):
        model = RandomInterceptRegressor().fit(X, y, groups=np.arange(30))
    intervals = model.profile_intervals()
    assert np.isnan(intervals["group_std"]).all()
    assert model.summary().group_test is None
    with pytest.warns(UserWarning, match="No `groups`"):
        alone = RandomInterceptRegressor(method="ml").fit(X, y)
    assert_allclose(alone.profile_intervals()["coef"], _least_squares(X, y), rtol=1e-8)
    assert alone.summary().n_groups == 0
    zero = np.column_stack([X, np.zeros(30)])
    model.fit(zero, y, groups=np.arange(30) % 5)
    assert np.isnan(model.profile_intervals()["coef"][-1]).all()
    assert np.isnan(model.summary().coefficients["t"][-1])


def _least_squares(X, y):
    """Profile-likelihood intervals of independent errors, in closed form."""
    D, n = with_intercept(X), len(y)
    coef, rss = np.linalg.lstsq(D, y, rcond=None)[:2]
    variance = np.diag(np.linalg.inv(D.T @ D)) * rss
    half = np.sqrt(variance * np.expm1(chi2.ppf(0.95, 1) / n))
    return np.column_stack([coef - half, coef + half])[1:]


def test_where_the_likelihood_never_falls_there_is_no_end():
    ends = _interval(lambda t: np.minimum(t, 0.0) ** 2, 0.0, level=4.0, start=0.0)
    assert_allclose(ends, [-2.0, np.inf])


def test_an_exact_fit_has_no_intervals():
    X, _, groups = simulate(n=40)
    with pytest.warns(UserWarning, match="fitted exactly"):
        model = RandomInterceptRegressor().fit(X, X @ [1.0, 2.0, 3.0], groups=groups)
    intervals = model.profile_intervals()
    assert intervals["coef"].shape == (3, 2)
    for ends in intervals.values():
        assert np.isnan(ends).all()


def test_a_penalised_fit_has_no_profile():
    model, *_ = fit(alpha=1.0)
    with pytest.raises(ValueError, match="no confidence intervals"):
        model.profile_intervals()
    summary = model.summary()
    assert "z" in summary.coefficients.columns
    assert "low" not in summary.variance_components.columns


# ---------------------------------------------------------------------------- summaries


def test_the_tables_are_the_attributes():
    model, *_ = fit()
    summary = model.summary(coverage=0.9)
    table = summary.coefficients
    assert table.names == ("intercept", "x0", "x1", "x2")
    assert_allclose(table["coef"], [model.intercept_, *model.coef_])
    assert_allclose(table["std"], [model.intercept_std_, *model.coef_std_])
    assert_allclose(table["p"], 2 * t.sf(np.abs(table["t"]), table["df"]))
    half = t.ppf(0.95, table["df"]) * table["std"]
    assert_allclose(table["high"], table["coef"] + half)
    assert_allclose(table["low"], table["coef"] - half)
    ends = model.profile_intervals(0.9)
    components = summary.variance_components
    assert_allclose(components["low"], [ends["group_std"][0], ends["noise_std"][0]])
    assert summary.group_sizes == (12, 12, 12) or summary.group_sizes[0] >= 1
    assert summary.n_rows == 120


def test_explained_variance_is_that_of_the_rows():
    model, X, _, _ = fit()
    features = np.var(X @ model.coef_, ddof=1)
    total = features + model.group_variance_ + model.noise_variance_
    summary = model.summary()
    assert_allclose(summary.r2_marginal, features / total)
    expected = (features + model.group_variance_) / total
    assert_allclose(summary.r2_conditional, expected)


@pytest.mark.parametrize("mean_groups", ["random", "fixed", None])
@pytest.mark.parametrize("variance_groups", ["fixed", None])
def test_the_heteroscedastic_summary(mean_groups, variance_groups):
    X, y, groups = simulate(n=200, group_std=1.5)
    model = HeteroscedasticGaussianRegressor(
        mean_groups=mean_groups,
        variance_groups=variance_groups,
        variance_features=[0],
    ).fit(X, y, groups=groups)
    summary = model.summary()
    assert summary.log_variance.names == ("intercept", "x0")
    std = np.sqrt(np.diag(model.variance_coef_covariance_)[:2])
    assert_allclose(summary.log_variance["std"], std)
    noise = model.predict_noise_std(X, groups=groups) ** 2
    components = summary.variance_components
    typical = np.exp(np.log(noise).mean())
    assert_allclose(components["variance"][-1], typical)
    assert (summary.group_test is None) == (mean_groups != "random")
    assert (components.names[0] == "groups") == (mean_groups == "random")
    for text in (str(summary), summary._repr_html_()):
        assert "Log-variance" in text


def test_the_test_of_no_group_variance_compares_two_fits():
    X, y, groups = simulate(n=200, group_std=1.5)
    options = {"variance_features": [0]}
    model = HeteroscedasticGaussianRegressor(**options).fit(X, y, groups=groups)
    without = HeteroscedasticGaussianRegressor(mean_groups=None, **options).fit(X, y)
    test = model.summary().group_test
    gain = model.log_likelihood_ - without.log_likelihood_
    assert_allclose(test.statistic, 2 * gain, rtol=1e-9)
    assert_allclose(test.p_value, chi2.sf(2 * gain, 1) / 2)


def test_a_summary_prints():
    X, y, groups = load_sleepstudy(return_X_y_groups=True)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    text = str(model.summary())
    for piece in ("180 rows, 18 groups of 10 rows", "-893.2325", "22.81", "groups"):
        assert piece in text
    assert max(map(len, text.splitlines()[:-1])) <= 88
    html = model.summary()._repr_html_()
    assert html.count("<table>") == 2
    assert "22.81" in html


@pytest.mark.skipif(find_spec("pandas") is None, reason="pandas is not installed")
def test_a_table_is_as_long_as_its_names():
    table = fit()[0].summary().coefficients
    assert len(table) == len(table.names) == len(table["coef"]) == 4


def test_a_table_names_its_columns_where_a_row_is_asked_for():
    table = fit()[0].summary().coefficients
    with pytest.raises(KeyError, match=r"'x0' is no column; they are coef, std, t, df"):
        table["x0"]


def test_names_and_frames():
    frame, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    model = RandomInterceptRegressor(fit_intercept=False).fit(frame, y, groups=groups)
    table = model.summary().coefficients.to_frame()
    assert table.index.tolist() == list(frame.columns)
    assert_allclose(table["coef"], model.coef_)


def test_the_coverage_is_checked():
    model, *_ = fit()
    for call in (model.summary, model.profile_intervals):
        with pytest.raises(ValueError, match="coverage is a probability"):
            call(1.5)


def test_a_profile_finds_the_global_optimum_at_every_value():
    """The grid sees both optima of a likelihood that has two."""
    estimator, *_ = fit("ml")
    profile = Profile(fit_of(estimator).likelihood[1], fit_of(estimator).ratio)
    assert_allclose(profile.noise_rise(np.log(estimator.noise_variance_)), 0, atol=1e-9)
    assert_allclose(profile.group_rise(np.log(estimator.group_variance_)), 0, atol=1e-9)


def test_a_fit_without_freedom_has_a_summary():
    X, y, _ = simulate(n=12)
    with pytest.warns(UserWarning, match="no degrees of freedom left"):
        model = RandomInterceptRegressor().fit(X[:4], y[:4], groups=[0, 0, 1, 1])
    table = model.summary().coefficients
    assert np.isnan(table["df"]).all()
    assert np.isnan(table["p"]).all()


def test_a_summary_is_of_the_fit_and_not_of_later_parameters():
    model, X, y, groups = fit()
    expected = str(model.summary())
    ends = model.profile_intervals()
    model.set_params(method="ml", alpha=2.0, fit_intercept=False)
    assert str(model.summary()) == expected
    assert_allclose(model.profile_intervals()["group_std"], ends["group_std"])
    modelled = HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)
    expected = str(modelled.summary())
    modelled.set_params(method="ml", fit_intercept=False, variance_alpha=3.0)
    assert str(modelled.summary()) == expected


def test_updates_do_not_change_what_the_fit_says():
    for estimator in (RandomInterceptRegressor(), HeteroscedasticGaussianRegressor()):
        X, y, groups = simulate(n=100, n_groups=30)
        model = estimator.fit(X, y, groups=groups)
        expected = str(model.summary())
        model.update_random_intercepts(X[:9], y[:9], groups=groups[:9] + 100)
        assert str(model.summary()) == expected


def test_labels_are_no_feature_of_the_table():
    X, y, groups = simulate(n=100)
    table = np.column_stack([groups, X])
    for model in (
        RandomInterceptRegressor(group_feature=0),
        HeteroscedasticGaussianRegressor(group_feature=0),
    ):
        names = model.fit(table, y).summary().coefficients.names
        assert tuple(names) == ("intercept", "x1", "x2", "x3")


def test_no_interval_is_nan():
    X, y, _ = simulate(n=30)
    with pytest.warns(UserWarning, match="one group only"):
        model = RandomInterceptRegressor().fit(X, y, groups=np.zeros(30))
    intervals = model.profile_intervals()
    assert np.isnan(intervals["intraclass_correlation"]).all()
    assert "1 group of 30 rows" in str(model.summary())


def test_notes_of_the_heteroscedastic_summary():
    X, y, groups = simulate(n=100, group_std=0.0)
    model = HeteroscedasticGaussianRegressor(variance_alpha=2.0)
    text = " ".join(str(model.fit(X, y, groups=groups).summary()).split())
    assert "Ridge penalties: 0 (mean), 2 (log-variance)" in text
    assert ("end of its range" in text) == model.at_boundary_
    alone = HeteroscedasticGaussianRegressor(mean_groups=None).fit(X, y)
    assert "standard deviation" not in str(alone.summary())
    fixed = HeteroscedasticGaussianRegressor(mean_groups="fixed")
    text = str(fixed.fit(X, y, groups=groups).summary())
    assert "with the groups" in text
    assert "intraclass" not in text
    with pytest.warns(UserWarning, match="one group only"):
        single = HeteroscedasticGaussianRegressor().fit(X, y, groups=np.zeros(100))
    text = " ".join(str(single.summary()).split())
    assert "do not tell the group variance" in text


# ------------------------------------------------------- variances of new observations


@pytest.mark.parametrize("n_groups, n_rows", [(6, 4), (30, 3)])
def test_degrees_of_freedom_of_a_new_group_are_the_textbook_ones(n_groups, n_rows):
    """In a balanced design its variance is a sum of two mean squares."""
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(n_groups), n_rows)
    y = 2 * rng.normal(size=n_groups)[groups] + rng.normal(size=len(groups))
    model = RandomInterceptRegressor().fit(np.empty((len(y), 0)), y, groups=groups)
    means = y.reshape(n_groups, n_rows).mean(axis=1)
    between = (1 + 1 / n_groups) * means.var(ddof=1)
    n_within = len(y) - n_groups
    within = (1 - 1 / n_rows) * np.sum((y - means[groups]) ** 2) / n_within
    expected = (between + within) ** 2
    expected /= between**2 / (n_groups - 1) + within**2 / n_within
    half = np.sqrt(between + within) * t.ppf(0.95, expected)
    low, high = model.predict_interval(np.empty((1, 0)), distribution="t")[0]
    assert_allclose(high - low, 2 * half, rtol=1e-9)


def predictive_variance(estimator, ratio, X, codes):
    """In units of sigma^2, at any ratio."""
    columns, model = fit_of(estimator).likelihood
    at = evaluate(model, ratio)
    posterior = condition(columns, at.factor, 1.0, len(estimator.groups_))
    return posterior, posterior.variance(X, codes)


def test_the_slope_of_predictive_variances_in_the_group_variance():
    estimator, X, *_ = fit()
    ratio, codes = fit_of(estimator).ratio, np.array([0, 3, -1, -1])
    _, model = fit_of(estimator).likelihood
    posterior, _ = predictive_variance(estimator, ratio, X[:4], codes)
    found = slope_in_group_variance(
        ratio,
        posterior.coefficient_rows(X[:4], codes),
        posterior.intercept_variance(codes),
        of_groups(posterior.loading, codes, 0.0),
        curvature(model, evaluate(model, ratio))[2],
    )
    ends = [
        predictive_variance(estimator, ratio * (1 + step), X[:4], codes)[1]
        for step in (-STEP, STEP)
    ]
    assert_allclose(found, (ends[1] - ends[0]) / (2 * STEP * ratio), rtol=DIFFERENCED)


def test_t_intervals_are_wider_the_fewer_the_groups():
    wider = []
    for n in (60, 240, 960):
        X, y, groups = simulate(n=n, n_groups=n // 12, group_std=1.5)
        for estimator in (
            RandomInterceptRegressor(),
            HeteroscedasticGaussianRegressor(variance_features=[]),
        ):
            model = estimator.fit(X, y, groups=groups)
            normal, other = (
                np.diff(model.predict_interval(X[:1], distribution=name))
                for name in ("normal", "t")
            )
            wider.append((other / normal).item())
    wider = np.array(wider).reshape(3, 2)
    assert (np.diff(wider, axis=0) < 0).all()
    assert (wider > 1).all()
    # Both know the same but for the covariance of noise and coefficients.
    assert_allclose(*wider.T, rtol=0.02)


def test_t_intervals_need_degrees_of_freedom():
    model, X, y, groups = fit(alpha=1.0)
    with pytest.raises(ValueError, match="degrees of freedom of a penalised fit"):
        model.predict_interval(X, groups=groups, distribution="t")
    with pytest.raises(ValueError, match="'t' or 'integrated', got 'z'"):
        model.predict_interval(X, groups=groups, distribution="z")
    penalised = HeteroscedasticGaussianRegressor(alpha=1.0)
    with pytest.raises(ValueError, match="degrees of freedom of a penalised fit"):
        penalised.fit(X, y, groups=groups).predict_interval(X, distribution="t")


@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
def test_t_intervals_of_an_exact_fit_are_the_normal_ones():
    X, _, groups = simulate()
    model = RandomInterceptRegressor().fit(X, X[:, 0], groups=groups)
    intervals = [
        model.predict_interval(X, distribution=name) for name in ("normal", "t")
    ]
    assert_allclose(*intervals, rtol=1e-9)


def test_the_integrated_summary_does_not_recommend_itself():
    X, y, groups = simulate(n=100, n_groups=12)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    recommended = 'distribution="integrated" is recommended'
    assert recommended in str(model.summary())
    assert recommended not in str(model.summary(distribution="integrated"))
