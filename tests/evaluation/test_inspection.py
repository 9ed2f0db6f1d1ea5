"""Displays and intervals of any fitted model."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import sparse
from scipy.stats import chi2, norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)
from skmixed._input.any_table import label_positions, without_labels
from skmixed.datasets import load_sleepstudy
from skmixed.inspection import (
    EffectsCorrelationDisplay,
    GroupEffectsDisplay,
    GroupLinesDisplay,
    LikelihoodProfileDisplay,
    PredictiveCalibrationDisplay,
    RandomEffectsDisplay,
    RandomInterceptsDisplay,
    ResidualScaleDisplay,
    ResidualsDisplay,
    predict_interval,
)
from skmixed.metrics import neg_joint_nll_scorer, neg_nll_scorer

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

X, Y, GROUPS = simulate(n=300, group_std=1.5)
MODEL = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
PIPE = make_pipeline(StandardScaler(), RandomInterceptRegressor())
PIPE.fit(X, Y, randominterceptregressor__groups=GROUPS)
LABELS = np.where(GROUPS < 3, GROUPS + 100, GROUPS)  # some groups are new


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_intervals_are_those_of_the_model_wherever_it_is():
    expected = MODEL.predict_interval(X, groups=LABELS, coverage=0.8)
    found = predict_interval(MODEL, X, groups=LABELS, coverage=0.8)
    assert_allclose(found, expected)
    assert_allclose(
        predict_interval(PIPE, X, groups=LABELS, coverage=0.8), expected, rtol=1e-9
    )
    second = RandomInterceptRegressor(group_feature=-1)
    search = GridSearchCV(second, {"method": ["reml"]}, cv=3)
    search.fit(np.column_stack([X, GROUPS]), Y)
    found = predict_interval(search, np.column_stack([X, LABELS]), coverage=0.8)
    assert_allclose(found, expected, rtol=1e-9)
    ridge = BayesianRidge().fit(X, Y)
    mean, std = ridge.predict(X, return_std=True)
    half = norm.ppf(0.9) * std
    found = predict_interval(ridge, X, coverage=0.8)
    assert_allclose(found, np.column_stack([mean - half, mean + half]))


def test_t_intervals_are_those_of_the_model_wherever_it_is():
    options = {"groups": LABELS, "distribution": "integrated"}
    integrated = MODEL.predict_interval(X, **options)
    assert_allclose(predict_interval(PIPE, X, **options), integrated, rtol=1e-6)
    expected = MODEL.predict_interval(X, groups=LABELS, distribution="t")
    normal = MODEL.predict_interval(X, groups=LABELS)
    assert (np.diff(expected) > np.diff(normal)).all()
    for estimator in (MODEL, PIPE):
        found = predict_interval(estimator, X, groups=LABELS, distribution="t")
        assert_allclose(found, expected, rtol=1e-9)
    with pytest.raises(TypeError, match="BayesianRidge gives no degrees of freedom"):
        predict_interval(BayesianRidge().fit(X, Y), X, distribution="t")
    with pytest.raises(ValueError, match="'t' or 'integrated', got 'z'"):
        predict_interval(MODEL, X, groups=LABELS, distribution="z")


@pytest.mark.parametrize("distribution", ["normal", "t"])
@pytest.mark.parametrize(
    "func, inverse",
    [(np.log, np.exp), (np.negative, np.negative)],
    ids=["rising", "falling"],
)
def test_intervals_come_back_through_the_inverse_function(func, inverse, distribution):
    y, table = inverse(Y / 10), np.column_stack([X, GROUPS])
    model = RandomInterceptRegressor(group_feature=-1)
    whole = TransformedTargetRegressor(model, func=func, inverse_func=inverse)
    whole = make_pipeline(FunctionTransformer(), whole).fit(table, y)
    inner = model.fit(table, Y / 10)
    options = {"coverage": 0.8, "distribution": distribution}
    expected = np.sort(inverse(inner.predict_interval(table, **options)), axis=1)
    assert_allclose(predict_interval(whole, table, **options), expected, rtol=1e-9)
    first = TransformedTargetRegressor(MODEL, func=func, inverse_func=inverse)
    with sklearn.config_context(enable_metadata_routing=True):
        first = first.fit(X, y, groups=GROUPS)
    found = predict_interval(first, X, groups=GROUPS, **options)
    assert_allclose(found, expected, rtol=1e-9)


def test_an_interval_is_that_of_all_values_between_its_bounds():
    """Squares of a negative bound and of a positive one left out the zeros between
    them, 45 of 100 counts.
    """
    rng = np.random.default_rng(0)
    y = rng.poisson(np.exp(0.4 * X[:, 0] - 0.3))
    root = RandomInterceptRegressor()
    counts = TransformedTargetRegressor(root, func=np.sqrt, inverse_func=np.square)
    with sklearn.config_context(enable_metadata_routing=True):
        counts = counts.fit(X, y, groups=GROUPS)
    low, high = predict_interval(counts, X, groups=GROUPS).T
    bounds = counts.regressor_.predict_interval(X, groups=GROUPS)
    across = (bounds[:, 0] < 0) & (bounds[:, 1] > 0)
    assert across.any()
    assert_allclose(low, np.where(across, 0.0, bounds[:, 0] ** 2))
    assert_allclose(high, np.square(bounds).max(axis=1))


def test_no_std_comes_back_through_an_inverse_function():
    whole = TransformedTargetRegressor(MODEL, func=np.log, inverse_func=np.exp)
    with sklearn.config_context(enable_metadata_routing=True):
        whole = whole.fit(X, np.exp(Y / 10), groups=GROUPS)
        for ask in (
            lambda: neg_nll_scorer(whole, X, Y, groups=GROUPS),
            lambda: neg_joint_nll_scorer(whole, X, Y, groups=GROUPS),
            lambda: PredictiveCalibrationDisplay.from_estimator(
                whole, X, Y, groups=GROUPS
            ),
        ):
            with pytest.raises(TypeError, match=r"call skmixed.inspection.predict_int"):
                ask()
        with pytest.raises(AttributeError, match=r"call skmixed\.inspection"):
            whole.predict(X, groups=GROUPS, return_std=True)
    pair = MODEL.predict(X, groups=GROUPS, return_std=True)
    assert isinstance(pair, tuple)
    assert np.ndim(pair) == 2
    with pytest.raises(NotFittedError):
        predict_interval(TransformedTargetRegressor(MODEL), X)


def test_what_cannot_give_intervals_says_so():
    with pytest.raises(TypeError, match="gives no standard deviation"):
        predict_interval(LinearRegression().fit(X, Y), X)
    with pytest.raises(ValueError, match="coverage is a probability"):
        predict_interval(MODEL, X, groups=GROUPS, coverage=2)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: predict_interval(MODEL, X),
        lambda: predict_interval(MODEL, X, distribution="t"),
        lambda: PredictiveCalibrationDisplay.from_estimator(MODEL, X, Y),
        lambda: ResidualsDisplay.from_estimator(MODEL, X, Y),
    ],
    ids=["interval", "interval t", "calibration", "residuals"],
)
def test_without_labels_there_is_one_warning(ask):
    """There were two, and one of them of a scorer that nobody had asked."""
    with pytest.warns(GroupsWarning) as caught:
        ask()
    (message,) = [str(w.message) for w in caught]
    assert message.startswith("The model knows 12 groups but got no `groups`, so that")


@pytest.mark.parametrize("estimator", [MODEL, PIPE], ids=["model", "pipeline"])
def test_random_intercepts_are_drawn_in_order(estimator):
    display = RandomInterceptsDisplay.from_estimator(estimator)
    ax = display.ax_
    assert_allclose(
        ax.lines[1].get_xdata(), np.sort(MODEL.random_intercepts_), rtol=1e-9
    )
    labels = [text.get_text() for text in ax.get_yticklabels()]
    order = np.argsort(MODEL.random_intercepts_)
    assert labels == [str(label) for label in MODEL.groups_[order]]
    ends = [segment[:, 0] for segment in ax.collections[0].get_segments()]
    expected = MODEL.random_intercepts_interval(0.95)[order]
    assert_allclose(ends, expected, rtol=1e-6, atol=1e-9)
    plain = RandomInterceptsDisplay.from_estimator(estimator, distribution="normal")
    segments = plain.ax_.collections[0].get_segments()
    widths = 2 * norm.ppf(0.975) * MODEL.random_intercepts_std_[order]
    assert_allclose([np.ptp(s[:, 0]) for s in segments], widths, rtol=1e-9)
    with pytest.raises(ValueError, match="distribution is"):
        RandomInterceptsDisplay.from_estimator(estimator, distribution="t")


def test_random_intercepts_of_any_regressor():
    mean = MixedEffectsRegressor(LinearRegression(), random_state=0)
    mean.fit(X, Y, groups=GROUPS)
    display = RandomInterceptsDisplay.from_estimator(mean)
    expected = mean.known_model_.random_intercepts_interval(0.95)
    assert_allclose(display.interval, expected)
    assert_allclose(display.intercepts, mean.random_intercepts_)
    effects = RandomEffectsDisplay.from_estimator(mean)
    assert_allclose(effects.interval["intercept"], expected)


def test_many_random_intercepts_are_a_band():
    n = 2000
    names = np.array([f"a long name of a group, {i}" for i in range(n)])
    display = RandomInterceptsDisplay(
        labels=names,
        intercepts=np.linspace(-1, 1, n),
        interval=np.linspace(-1, 1, n)[:, None] + [-0.5, 0.5],
    ).plot()
    assert len(display.ax_.collections) == 1
    assert len(display.ax_.collections[0].get_paths()) == 1
    texts = [text.get_text() for text in display.ax_.get_yticklabels()]
    assert not any("name" in text for text in texts)
    few = RandomInterceptsDisplay(
        labels=names[:10],
        intercepts=np.arange(10.0),
        interval=np.arange(10.0)[:, None] + [-1, 1],
    ).plot()
    texts = [text.get_text() for text in few.ax_.get_yticklabels()]
    assert all(len(text) <= 24 for text in texts)
    assert len(set(texts)) == 10


def test_random_intercepts_of_models_that_have_none():
    fixed = HeteroscedasticGaussianRegressor(mean_groups="fixed", method="reml")
    with pytest.raises(ValueError, match="has no random intercepts"):
        RandomInterceptsDisplay.from_estimator(fixed.fit(X, Y, groups=GROUPS))
    with pytest.raises(TypeError, match="not a model of this package"):
        RandomInterceptsDisplay.from_estimator(LinearRegression().fit(X, Y))


def test_calibration_of_known_and_new_groups_apart():
    ax = plt.figure().add_subplot()
    display = PredictiveCalibrationDisplay.from_estimator(
        PIPE, X, Y, groups=LABELS, ax=ax
    )
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    mean, std = MODEL.predict(X, groups=LABELS, return_std=True)
    assert_allclose(display.pit, norm.cdf(Y, mean, std), rtol=1e-6)
    assert np.array_equal(display.known, GROUPS >= 3)
    n_known = int(np.sum(GROUPS >= 3))
    labels = ax.get_legend_handles_labels()[1]
    assert f"known groups ({n_known} rows)" in labels
    assert f"new groups ({300 - n_known} rows)" in labels
    for step in ax.patches:
        values = getattr(step, "get_data", lambda: None)()
        if values is not None:
            assert_allclose(values.values.mean(), 1.0)


def test_coverage_is_the_share_inside():
    rng = np.random.default_rng(0)
    y, std = rng.normal(size=500), np.ones(500)
    display = PredictiveCalibrationDisplay.from_predictions(
        y, np.zeros(500), 2 * std, kind="coverage"
    )
    line = display.ax_.lines[-1]
    nominal, share = line.get_data()
    half = norm.ppf(0.5 + nominal / 2) * 2
    expected = np.mean(np.abs(y)[:, None] <= half, axis=0)
    assert_allclose(share, expected, atol=1 / 500)
    assert "all rows (500 rows)" in display.ax_.get_legend_handles_labels()[1]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (([0.0, 1.0], [0.0, 1.0], [1.0, 0.0]), "1 entries that are not positive"),
        (([0.0, np.nan], [0.0, 1.0], [1.0, 1.0]), "y_true contains NaN"),
        (([0.0], [0.0, 1.0], [1.0, 1.0]), "inconsistent numbers of samples"),
    ],
)
def test_predictions_are_checked(arguments, message):
    for display in (PredictiveCalibrationDisplay, ResidualScaleDisplay):
        with pytest.raises(ValueError, match=message):
            display.from_predictions(*arguments)


def test_the_kind_of_calibration_is_checked():
    with pytest.raises(ValueError, match="'pit' or 'coverage'"):
        PredictiveCalibrationDisplay.from_predictions([0.0], [0.0], [1.0], kind="x")


# matplotlib 3.8 on one error bar
@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
def test_residuals_in_bins():
    rng = np.random.default_rng(0)
    std = np.repeat([1.0, 2.0, 4.0], 200)
    y = 3 * std * rng.normal(size=600)
    display = ResidualScaleDisplay.from_predictions(y, np.zeros(600), std, n_bins=3)
    (bars,) = display.ax_.containers
    predicted, scale = bars.lines[0].get_data()
    assert_allclose(predicted, [1, 2, 4])
    assert_allclose(scale, np.sqrt(np.mean(y.reshape(3, 200) ** 2, axis=1)))
    (segments,) = bars.lines[2]
    low, high = segments.get_segments()[0][:, 1]
    ends = np.sqrt(200 / np.array(chi2.interval(0.95, 200))[::-1]) * scale[0]
    assert_allclose([low, high], ends)
    for width in (1, 50):  # equal predictions make one point, however many bins
        display = ResidualScaleDisplay.from_predictions(
            y, np.zeros(600), np.ones(600), n_bins=width
        )
        assert len(display.ax_.containers[0].lines[0].get_xdata()) == 1


@pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")
def test_residuals_of_a_model_are_those_of_its_predictions():
    display = ResidualScaleDisplay.from_estimator(MODEL, X, Y, groups=LABELS, n_bins=4)
    mean, std = MODEL.predict(X, groups=LABELS, return_std=True)
    assert_allclose(display.residual, Y - mean)
    assert_allclose(display.std, std)
    assert display.known.tolist() == np.isin(LABELS, MODEL.groups_).tolist()
    points = [len(bars.lines[0].get_xdata()) for bars in display.ax_.containers]
    assert len(points) == 2
    assert 1 <= max(points) <= 4
    with pytest.raises(TypeError, match="gives no standard deviation"):
        ResidualScaleDisplay.from_estimator(LinearRegression().fit(X, Y), X, Y)


def test_a_picture_goes_where_it_is_told():
    figure, ax = plt.subplots()
    display = RandomInterceptsDisplay.from_estimator(MODEL, ax=ax)
    assert display.ax_ is ax
    assert display.figure_ is figure
    assert len(plt.get_fignums()) == 1


def test_without_matplotlib_a_picture_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        RandomInterceptsDisplay.from_estimator(MODEL)


def test_the_profile_of_the_likelihood():
    display = LikelihoodProfileDisplay.from_estimator(PIPE)
    assert_allclose(display.interval, MODEL.profile_intervals()["group_std"], rtol=1e-6)
    assert_allclose(display.log_likelihood.max(), 0, atol=1e-8)
    best = np.argmax(display.log_likelihood)
    assert_allclose(display.values[best], np.sqrt(MODEL.group_variance_), rtol=1e-6)
    at_end = np.interp(display.interval, display.values, display.log_likelihood)
    assert_allclose(at_end, -chi2.ppf(0.95, 1) / 2, atol=0.05)


def sleepstudy():
    """A model whose covariance is regular."""
    days, reaction, subjects = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    model = LinearMixedRegressor("(Days | Subject)")
    return model.fit(days, reaction, groups=subjects)


@pytest.mark.parametrize(
    "name",
    ["std(Days | Subject)", "corr(intercept, Days | Subject)", "noise_std", "Days"],
)
def test_the_profile_of_any_parameter(name):
    model = sleepstudy()
    display = LikelihoodProfileDisplay.from_estimator(model, name, n_points=25)
    assert_allclose(display.interval, model.profile_intervals(parameters=name)[name])
    assert_allclose(display.log_likelihood.max(), 0, atol=1e-8)
    assert_allclose(display.values[np.argmax(display.log_likelihood)], display.best)
    at_end = np.interp(display.interval, display.values, display.log_likelihood)
    assert_allclose(at_end, -chi2.ppf(0.95, 1) / 2, atol=0.05)
    assert display.ax_.get_xlabel() == name
    with pytest.raises(ValueError, match="the picture is of one parameter"):
        LikelihoodProfileDisplay.from_estimator(model, "coef")


def test_what_has_no_profile_says_so():
    modelled = HeteroscedasticGaussianRegressor().fit(X, Y, groups=GROUPS)
    with pytest.raises(TypeError, match="keeps nothing"):
        LikelihoodProfileDisplay.from_estimator(modelled)
    with pytest.warns(GroupsWarning, match="one row each"):
        single = RandomInterceptRegressor().fit(X, Y, groups=np.arange(300))
    with pytest.raises(ValueError, match="no likelihood to draw"):
        LikelihoodProfileDisplay.from_estimator(single)


# ---------------------------------------------------------------------------- residuals


def test_residuals_are_standardised_by_the_noise():
    modelled = HeteroscedasticGaussianRegressor().fit(X, Y, groups=GROUPS)
    for estimator in (MODEL, PIPE, modelled):
        model = estimator if estimator is modelled else MODEL
        display = ResidualsDisplay.from_estimator(estimator, X, Y, groups=LABELS)
        mean = model.predict(X, groups=LABELS)
        std = model.predict_noise_std(X, groups=LABELS)
        assert_allclose(display.fitted, mean, rtol=1e-9)
        assert_allclose(display.residual, (Y - mean) / std, rtol=1e-6, atol=1e-9)
        assert np.array_equal(display.known, GROUPS >= 3)


def test_residuals_of_any_model():
    ridge = BayesianRidge().fit(X, Y)
    mean, std = ridge.predict(X, return_std=True)
    display = ResidualsDisplay.from_estimator(ridge, X, Y)
    assert_allclose(display.residual, (Y - mean) / std)
    plain = LinearRegression().fit(X, Y)
    ax = plt.figure().add_subplot()
    display = ResidualsDisplay.from_estimator(plain, X, Y, ax=ax)
    assert display.ax_ is ax
    assert_allclose(np.mean(display.residual**2), 1.0)
    assert display.known is None
    exact = ResidualsDisplay.from_predictions(Y, Y)
    assert_allclose(exact.residual, 0.0)
    with pytest.raises(ValueError, match="kind is 'fitted' or 'quantiles', got 'qq'"):
        ResidualsDisplay.from_predictions(Y, Y, kind="qq")


def test_residuals_against_fitted_values_have_a_trend():
    rng = np.random.default_rng(0)
    fitted = np.linspace(-1, 1, 400)
    bent = fitted**2 + 0.1 * rng.normal(size=400)
    ax = ResidualsDisplay(fitted=fitted, residual=bent).plot().ax_
    dots, trend = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert_allclose(dots.get_ydata(), bent)
    assert_allclose(trend.get_ydata(), np.square(trend.get_xdata()), atol=0.1)
    assert len(trend.get_xdata()) == 12
    few = ResidualsDisplay(fitted=fitted[:30], residual=bent[:30]).plot().ax_
    assert sum(len(line.get_xdata()) > 2 for line in few.lines) == 1


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_residuals_against_a_feature(make):
    """The residuals are the same; the means are those of the values, where few."""
    step = np.arange(300) % 7.0
    table = make({"a": X[:, 0], "step": step}) if make is not np.asarray else None
    table = np.column_stack([X[:, 0], step]) if table is None else table
    model = RandomInterceptRegressor().fit(table, Y, groups=GROUPS)
    name = 1 if make is np.asarray else "step"
    asked = {"groups": GROUPS, "feature": name}
    display = ResidualsDisplay.from_estimator(model, table, Y, **asked)
    plain = ResidualsDisplay.from_estimator(model, table, Y, groups=GROUPS)
    assert_allclose(display.residual, plain.residual)
    assert display.ax_.get_xlabel() == ("x1" if name == 1 else name)
    dots, trend = [line for line in display.ax_.lines if len(line.get_xdata()) > 2]
    assert_allclose(dots.get_xdata(), step)
    assert_allclose(trend.get_xdata(), np.arange(7))
    expected = [display.residual[step == value].mean() for value in range(7)]
    assert_allclose(trend.get_ydata(), expected)


def test_features_that_residuals_cannot_be_drawn_against():
    show = ResidualsDisplay.from_estimator
    with pytest.raises(ValueError, match="feature=5 but X has 3 columns"):
        show(MODEL, X, Y, groups=GROUPS, feature=5)
    with pytest.raises(ValueError, match="do not depend on x1: leave out `kind`"):
        show(MODEL, X, Y, groups=GROUPS, feature=1, kind="quantiles")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        ResidualsDisplay.from_predictions(Y, Y + 1, feature=X[:9, 0])


def test_quantiles_of_residuals_are_those_of_the_order_statistics():
    residual = np.random.default_rng(0).normal(size=99)
    display = ResidualsDisplay.from_predictions(residual, np.zeros(99), np.ones(99))
    display.kind = "quantiles"
    ax = display.plot().ax_
    dots = ax.lines[0]
    assert_allclose(dots.get_ydata(), np.sort(residual))
    assert_allclose(dots.get_xdata()[49], 0.0, atol=1e-12)
    assert_allclose(norm.cdf(dots.get_xdata()), (np.arange(99) + 0.5) / 99)
    (band,) = ax.collections
    corners = band.get_paths()[0].vertices
    # The smallest of n is above x with probability (1 - cdf(x))^n.
    lowest = norm.ppf(1 - 0.975 ** (1 / 99))
    assert_allclose(corners[:, 1].min(), lowest, rtol=1e-9)
    known = np.arange(99) < 40
    both = ResidualsDisplay(
        fitted=residual, residual=residual, known=known, kind="quantiles"
    ).plot()
    labels = both.ax_.get_legend_handles_labels()[1]
    assert labels == ["known groups (40 rows)", "new groups (59 rows)", "normal"]


# ------------------------------------------------------------------------ group effects


def test_lines_of_random_intercepts_are_parallel():
    display = GroupEffectsDisplay.from_estimator(PIPE, X, 1, groups=GROUPS, y=Y)
    for values, means, label in zip(
        display.values, display.means, display.labels, strict=True
    ):
        rows = label == GROUPS
        assert_allclose([values[0], values[-1]], [X[rows, 1].min(), X[rows, 1].max()])
        at = X[rows].mean(axis=0)[None].repeat(len(values), axis=0)
        at[:, 1] = values
        expected = MODEL.predict(at, groups=np.full(len(values), label))
        assert_allclose(means, expected, rtol=1e-9)
    values, means = display.population
    at = np.column_stack([X[:, [0]].mean() + 0 * values, values])
    at = np.column_stack([at, 0 * values + X[:, 2].mean()])
    assert_allclose(means, MODEL.predict(at, groups=np.full(len(at), None)), rtol=1e-9)
    assert display.feature == "x1"
    assert len(display.rows[0]) == 300


def test_lines_need_a_y_for_each_row():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        GroupLinesDisplay.from_estimator(MODEL, X, Y[:9], 0, groups=GROUPS)


def test_group_effects_of_any_table_and_model():
    names = ["a", "b", "c"]
    plain = GroupEffectsDisplay.from_estimator(MODEL, X, 0, groups=GROUPS)
    before = X.copy()
    frames = [pd.DataFrame(X, columns=names), pl.DataFrame(X, names)]
    frames.append(pa.Table.from_pandas(frames[0]))
    for frame in frames:
        model = RandomInterceptRegressor().fit(frame, Y, groups=GROUPS)
        for feature in ("a", 0, -3):
            how = {"feature": feature, "groups": GROUPS}
            found = GroupEffectsDisplay.from_estimator(model, frame, **how)
            assert found.feature == "a"
            assert_allclose(np.hstack(found.means), np.hstack(plain.means), rtol=1e-9)
            assert_allclose(np.asarray(frame), before)
    assert_allclose(X, before)
    second = RandomInterceptRegressor(group_feature=-1)
    second.fit(np.column_stack([X, GROUPS]), Y)
    table = np.column_stack([X, GROUPS])
    for labels in (GROUPS, None):
        found = GroupEffectsDisplay.from_estimator(second, table, 0, by=labels)
        assert_allclose(np.hstack(found.means), np.hstack(plain.means), rtol=1e-9)
        assert_allclose(found.population, plain.population, rtol=1e-9)
    foreign = LinearRegression().fit(X, Y)
    labels = np.arange(300) // 4
    labels[::4] = 200  # seventy-five groups of three rows, and one of seventy-five
    found = GroupEffectsDisplay.from_estimator(foreign, X, 0, by=labels)
    assert found.population is None
    assert found.labels.tolist() == [*range(49), 200]


def table_of(make, labels):
    """Features and labels in one table, of whatever kind."""
    if make in (np.asarray, sparse.csr_array):
        return make(np.column_stack([X, labels]))
    return make({f"x{j}": X[:, j] for j in range(3)} | {"g0": labels})


@pytest.mark.parametrize(
    "make, labels, feature, group",
    [
        (np.asarray, GROUPS, 1, "x3"),
        (pd.DataFrame, GROUPS, "x1", "g0"),
        (pd.DataFrame, GROUPS.astype(str), "x1", "g0"),
        (pl.DataFrame, GROUPS, "x1", "g0"),
        (pl.DataFrame, GROUPS.astype(str), "x1", "g0"),
    ],
    ids=["array", "pandas", "pandas-text", "polars", "polars-text"],
)
def test_lines_of_labels_in_X_are_those_of_labels_beside_it(
    make, labels, feature, group
):
    """Lines of groups, of the population and of new groups are the same."""
    table = table_of(make, labels)
    inside = LinearMixedRegressor(f"(x0 | {group})", group_features=[-1])
    inside.fit(table, Y)
    beside = slopes(labels)
    found = GroupEffectsDisplay.from_estimator(inside, table, feature)
    expected = GroupEffectsDisplay.from_estimator(beside, X, 1, groups=labels[:, None])
    assert_allclose(found.population, expected.population, rtol=1e-6)
    ax = plt.figure().subplots(3)
    found = GroupLinesDisplay.from_estimator(inside, table, Y, feature, ax=ax)
    expected = GroupLinesDisplay.from_estimator(beside, X, Y, 1, groups=labels, ax=ax)
    for kind in ("lines", "population"):
        pairs = zip(getattr(found, kind), getattr(expected, kind), strict=True)
        assert all(np.allclose(one, other, rtol=1e-6) for one, other in pairs)


def test_labels_are_taken_away_in_a_copy():
    for make in (np.asarray, pd.DataFrame, pl.DataFrame, sparse.csr_array):
        table = table_of(make, GROUPS)
        model = RandomInterceptRegressor(group_feature=-1).fit(table, Y)
        mean = model.predict(without_labels(table, label_positions(model, table)))
        assert_allclose(mean, MODEL.predict(X), rtol=1e-9)
        assert_allclose(model.predict(table), MODEL.predict(X, groups=GROUPS))
    whole = np.arange(60).reshape(30, 2)  # of integers, which have no NaN
    model = RandomInterceptRegressor(group_feature=1)
    model.fit(whole // [1, 10], Y[:30])
    display = GroupEffectsDisplay.from_estimator(model, whole // [1, 10], 0)
    assert len(display.population[0]) == 20
    steps = np.diff(display.population[1])
    assert_allclose(steps, steps[0], rtol=1e-9)


def test_few_lines_have_names():
    some = GROUPS < 4
    display = GroupEffectsDisplay.from_estimator(
        MODEL, X[some], 0, groups=GROUPS[some], y=Y[some]
    )
    texts = display.ax_.get_legend_handles_labels()[1]
    assert texts == [*map(str, display.labels), "population"]
    many = GroupEffectsDisplay.from_estimator(MODEL, X, 0, groups=GROUPS)
    assert many.ax_.get_legend_handles_labels()[1] == ["12 groups", "population"]
    by = np.arange(300) // 3
    most = GroupEffectsDisplay.from_estimator(MODEL, X, 0, groups=GROUPS, by=by)
    texts = most.ax_.get_legend_handles_labels()[1]
    assert texts == ["50 of 100 groups", "population"]


def test_what_has_no_group_effects():
    show = GroupEffectsDisplay.from_estimator
    with pytest.raises(ValueError, match="feature=7 but X has 3 columns"):
        show(MODEL, X, 7, groups=GROUPS)
    with pytest.raises(ValueError, match="1 labels are missing"):
        show(MODEL, X, 0, groups=np.where(np.arange(300) == 5, np.nan, GROUPS))
    with pytest.raises(ValueError, match="`groups` and `by` are None"):
        show(MODEL, X, 0)
    with pytest.raises(TypeError, match="needs a frame or a dense array"):
        show(MODEL, X.tolist(), 0, groups=GROUPS)
    gaps = np.where(np.arange(300)[:, None] % 9 == 0, np.nan, X)
    with pytest.raises(ValueError, match="contains NaN") as error:
        show(MODEL, gaps, 0, groups=GROUPS)
    assert "pass the rows that have it" in error.value.__notes__[0]


# ---------------------------------------------------------------------- several effects


def slopes(groups=GROUPS):
    model = LinearMixedRegressor("(x0 | g0)")
    return model.fit(X, Y, groups=np.asarray(groups)[:, None])


def test_random_effects_are_drawn_in_the_order_of_the_first():
    model = slopes()
    display = RandomEffectsDisplay.from_estimator(model)
    factor, (first, second) = display.factor, display.axes_
    order = np.argsort(model.random_effects_[factor][:, 0])
    ends = model.random_effects_interval(factor, 0.95)[order]
    for ax, j in ((first, 0), (second, 1)):
        values = model.random_effects_[factor][order, j]
        assert_allclose(ax.lines[1].get_xdata(), values)
        found = [s[:, 0] for s in ax.collections[0].get_segments()]
        assert_allclose(found, ends[:, j], rtol=1e-9)
    normal = RandomEffectsDisplay.from_estimator(model, distribution="normal")
    std = model.random_effects_std_[factor][:, 0]
    half = np.ptp(normal.interval["intercept"], axis=1) / 2
    assert_allclose(half, norm.ppf(0.975) * std, rtol=1e-9)
    texts = [text.get_text() for text in first.get_yticklabels()]
    assert texts == [str(model.groups_[factor][i]) for i in order]
    assert second.get_title() == f"x0 | {factor}"
    ax = plt.figure().add_subplot()
    one = RandomEffectsDisplay.from_estimator(model, factor, effects=["x0"], ax=ax)
    assert one.ax_ is ax
    assert list(one.effects) == ["x0"]


def test_random_effects_of_one_factor_are_its_intercepts():
    display = RandomEffectsDisplay.from_estimator(PIPE)
    assert_allclose(display.effects["intercept"], MODEL.random_intercepts_, rtol=1e-9)
    assert display.factor == "groups"
    many = RandomEffectsDisplay(
        labels=np.arange(500),
        effects={"intercept": np.arange(500.0)},
        interval={"intercept": np.arange(500.0)[:, None] + [-1, 1]},
    ).plot()
    assert len(many.ax_.lines) == 2


def test_random_effects_that_are_not_there():
    model = slopes()
    show = RandomEffectsDisplay.from_estimator
    with pytest.raises(ValueError, match="no random effects of factor 'item'; its fac"):
        show(model, "item")
    with pytest.raises(ValueError, match=r"its random effects are \['intercept', 'x0'"):
        show(model, effects=["x1"])
    with pytest.raises(ValueError, match="ax has 1 axes for 2 effects"):
        show(model, ax=plt.figure().add_subplot())
    fixed = HeteroscedasticGaussianRegressor(mean_groups="fixed")
    with pytest.raises(ValueError, match="its factors are: none"):
        show(fixed.fit(X, Y, groups=GROUPS))
    with pytest.raises(ValueError, match="draw them by RandomEffectsDisplay"):
        RandomInterceptsDisplay.from_estimator(model)


def test_pictures_of_several_factors():
    """Rows of each combination of known and new stand apart."""
    table = np.column_stack([GROUPS, np.arange(300) % 7])
    model = LinearMixedRegressor().fit(X, Y, groups=table)
    asked = table.copy()
    asked[:50, 0], asked[25:75, 1] = 99, 99
    display = PredictiveCalibrationDisplay.from_estimator(model, X, Y, groups=asked)
    kinds = ["new g0, known g1", "new g0, new g1", "known g0, new g1"]
    expected = np.repeat([*kinds, "known g0, known g1"], [25, 25, 25, 225])
    assert display.known.tolist() == expected.tolist()
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[1:] == [
        "known g0, known g1 (225 rows)",
        "known g0, new g1 (25 rows)",
        "new g0, known g1 (25 rows)",
        "new g0, new g1 (25 rows)",
    ]
    residuals = ResidualsDisplay.from_estimator(model, X, Y, groups=asked)
    mean = model.predict(X, groups=asked)
    assert_allclose(residuals.residual, (Y - mean) / np.sqrt(model.noise_variance_))
    effects = GroupEffectsDisplay.from_estimator(model, X, 0, groups=table, by=GROUPS)
    assert len(effects.labels) == 12
    assert effects.population is not None
    first = GroupEffectsDisplay.from_estimator(model, X, 0, groups=table)
    assert_allclose(np.hstack(first.means), np.hstack(effects.means))
    with pytest.warns(GroupsWarning, match="knows 19 groups"):
        predict_interval(model, X)
    expected = model.predict_interval(X, groups=asked, distribution="t")
    found = predict_interval(model, X, groups=asked, distribution="t")
    assert_allclose(found, expected)


@pytest.mark.parametrize("make", [np.asarray, pd.DataFrame, pl.DataFrame])
def test_lines_of_groups_of_their_own_and_by_a_model(make):
    """The own line is least squares, and the model's lies between it and that of a new
    group where nothing else is in the model.
    """
    table = np.column_stack([GROUPS, np.arange(300) % 7])
    if make is not np.asarray:
        table = make({"g0": table[:, 0], "g1": table[:, 1]})
    model = LinearMixedRegressor("(x0 | g0) + (1 | g1)", mean_features=[0])
    model.fit(X[:, :1], Y, groups=table)
    asked = {"groups": table, "by": GROUPS, "ax": plt.figure().subplots(5)}
    display = GroupLinesDisplay.from_estimator(model, X[:, :1], Y, 0, **asked)
    assert len(display.axes_) == len(display.lines) == 5
    for label, rows, own in zip(display.labels, display.rows, display.own, strict=True):
        some = label == GROUPS
        assert_allclose(rows, np.column_stack([X[some, 0], Y[some]]))
        slope, level = np.polyfit(*rows.T, 1)
        assert_allclose(own[:, 1], level + slope * own[:, 0], rtol=1e-8)
    line, new = display.lines[0], display.population[0]
    slopes = model.coef_[0] + model.random_effects_["g0"][:, 1]
    place = model.groups_["g0"].tolist().index(display.labels[0])
    found = np.polyfit(*line.T, 1)[0], np.polyfit(*new.T, 1)[0]
    assert_allclose(found, [slopes[place], model.coef_[0]], rtol=1e-8)


def test_lines_of_any_model():
    least_squares = LinearRegression().fit(X, Y)
    axes = plt.figure().subplots(2)
    constant = np.where(GROUPS[0] == GROUPS, 1.0, X[:, 0])
    shown = np.column_stack([constant, X[:, 1:]])
    some = np.isin(GROUPS, np.unique(GROUPS)[[0, 1]]) | (GROUPS[0] == GROUPS)
    display = GroupLinesDisplay.from_estimator(
        least_squares, shown[some], Y[some], 0, groups=GROUPS[some], ax=axes
    )
    assert display.population is None
    assert display.ax_ is axes[0]
    assert [len(own) for own in display.own].count(0) <= 1
    with pytest.raises(ValueError, match="ax has 1 axes for 2 groups"):
        display.plot(plt.figure().add_subplot())


def test_correlation_of_effects():
    model = sleepstudy()
    display = EffectsCorrelationDisplay.from_estimator(model)
    (factor,) = model.groups_
    assert_allclose(display.effects, model.random_effects_[factor])
    Psi = model.random_effects_covariance_[factor]
    assert_allclose(display.correlation, Psi[0, 1] / np.sqrt(Psi[0, 0] * Psi[1, 1]))
    points = display._ellipse()
    squares = np.einsum("ij,ik,kj->j", points, np.linalg.inv(Psi), points)
    assert_allclose(squares, chi2.ppf(0.9, 2), rtol=1e-6)
    ax = plt.figure().add_subplot()
    turned = EffectsCorrelationDisplay.from_estimator(
        model, factor, effects=["Days", "intercept"], ax=ax
    )
    assert turned.ax_ is ax
    assert_allclose(turned.effects, display.effects[:, ::-1])
    for estimator in (MODEL, LinearMixedRegressor().fit(X, Y, groups=GROUPS)):
        with pytest.raises(ValueError, match="has no factor with two random effects"):
            EffectsCorrelationDisplay.from_estimator(estimator)
    for wrong in ({"effects": ["Days", "Days"]}, {"factor": "no"}):
        with pytest.raises(ValueError, match="two random effects of one factor, got"):
            EffectsCorrelationDisplay.from_estimator(model, **wrong)


def test_lines_are_the_same_in_blocks_of_rows(monkeypatch):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    model = RandomInterceptRegressor().fit(frame, Y, groups=GROUPS)
    whole, *blocks = (
        lines_of(model, frame, monkeypatch, n_rows) for n_rows in (100_000, 50, 1)
    )
    for other in blocks:
        assert_allclose(other, whole, rtol=1e-12)


def lines_of(model, frame, monkeypatch, n_rows):
    monkeypatch.setattr("skmixed.inspection._effects.ROWS_AT_ONCE", n_rows)
    display = GroupEffectsDisplay.from_estimator(model, frame, "a", groups=GROUPS)
    return np.hstack(display.means)
