"""Summaries of wrapped models, tests of nested models, and contrasts."""

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import stats
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed.datasets import load_hsb82, load_machines, load_sleepstudy
from skmixed.inference import contrast, likelihood_ratio_test, summary

STORED = json.loads(
    (Path(__file__).parents[1] / "stored" / "lmertest.json").read_text()
)
# lme4 finds the ratio of the standard deviations to some 1e-8, and lmerTest differences
# the deviance numerically for its degrees of freedom.
OPTIMUM, FREEDOM = 1e-6, 1e-5
LOADERS = {
    "sleepstudy": load_sleepstudy,
    "machines": load_machines,
    "hsb82": load_hsb82,
}
SMALLER = {"hsb82": ["cses", "minority", "female"]}
LARGER = {"hsb82": [*SMALLER["hsb82"], "meanses", "catholic"]}

X, Y, GROUPS = simulate(n=120, group_std=1.5)


def data(name):
    frame, y, groups = LOADERS[name](return_X_y_groups=True, as_frame=True)
    return frame[LARGER.get(name, list(frame))], y, groups


def fit(name, columns=None, **options):
    frame, y, groups = data(name)
    frame = frame if columns is None else frame[columns]
    return RandomInterceptRegressor(**options).fit(frame, y, groups=groups)


needs_pandas = pytest.mark.skipif(find_spec("pandas") is None, reason="needs pandas")


# ------------------------------------------------------------ against lmerTest's values


@needs_pandas
@pytest.mark.parametrize("name", LOADERS)
def test_likelihood_ratios_are_those_of_anova(name):
    expected = STORED[name]["mean"]
    larger = fit(name, method="ml")
    smaller = fit(name, SMALLER.get(name, []), method="ml")
    found = likelihood_ratio_test(smaller, larger)
    assert_allclose(found.statistic, expected["statistic"], rtol=OPTIMUM)
    assert_allclose(found.p_value, expected["p"], rtol=1e-4)
    assert found.df == expected["df"]
    assert not found.at_boundary
    assert likelihood_ratio_test(make_pipeline(smaller), larger) == found


@needs_pandas
@pytest.mark.parametrize("name", LOADERS)
def test_the_test_of_a_variance_is_that_of_ranova(name):
    """Halved, which `ranova` leaves to its reader."""
    frame, y, _ = data(name)
    alone = HeteroscedasticGaussianRegressor(mean_groups=None, variance_features=[])
    found = likelihood_ratio_test(alone.fit(frame, y), fit(name))
    expected = STORED[name]["variance"]
    assert_allclose(found.statistic, expected["statistic"], rtol=OPTIMUM)
    assert_allclose(found.p_value, expected["p"], rtol=1e-3)
    assert found.at_boundary
    own = fit(name).summary().group_test
    assert_allclose(found.statistic, own.statistic, rtol=1e-9)
    assert (own.df, own.at_boundary) == (found.df, found.at_boundary) == (1, True)


@needs_pandas
@pytest.mark.parametrize("name", LOADERS)
def test_contrasts_are_those_of_contest(name):
    model = fit(name)
    for expected in STORED[name]["contrasts"]:
        found = contrast(model, expected["L"])
        table = found.estimates
        for key in ("coef", "std", "t"):
            assert_allclose(table[key], expected[key], rtol=OPTIMUM)
        for key in ("df", "low", "high"):
            assert_allclose(table[key], expected[key], rtol=FREEDOM)
        assert_allclose(table["p"], expected["p"], rtol=1e-3)
        assert_allclose(found.f_statistic, expected["F"], rtol=OPTIMUM)
        freedom = expected["numerator"], expected["denominator"]
        assert_allclose(found.df, freedom, rtol=FREEDOM)
        assert_allclose(found.p_value, expected["p_joint"], rtol=1e-3)


@needs_pandas
def test_the_tests_of_terms_are_those_of_anova():
    for name in LOADERS:
        expected, model = STORED[name]["terms"], fit(name)
        columns = [np.atleast_1d(expected[k]) for k in ("names", "F", "denominator")]
        for term, F, denominator in zip(*columns, strict=True):
            found = contrast(model, {term: 1})
            assert_allclose(found.f_statistic, F, rtol=OPTIMUM)
            assert_allclose(found.df[1], denominator, rtol=FREEDOM)


# ---------------------------------------------------------------------------- contrasts


def test_a_contrast_of_one_coefficient_is_its_row_of_the_summary():
    for model in (
        RandomInterceptRegressor(),
        HeteroscedasticGaussianRegressor(variance_features=[0]),
    ):
        rows = model.fit(X, Y, groups=GROUPS).summary().coefficients
        found = contrast(model, np.eye(4))
        for key, values in rows.columns.items():
            assert_allclose(found.estimates[key], values, rtol=1e-12)
        assert found.estimates.names == rows.names
        one = contrast(model, {"x1": 1})
        assert_allclose(one.f_statistic, rows["t"][2] ** 2)
        assert_allclose(one.p_value, rows["p"][2])


def test_forms_of_a_contrast():
    model = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    named = contrast(model, {"x0": 1, "x2": -0.5})
    assert named.estimates.names == ("x0 - 0.5 x2",)
    for L in ([0, 1, 0, -0.5], [[0, 1, 0, -0.5]], [{"x0": 1, "x2": -0.5}]):
        assert str(contrast(model, L)) == str(named)
    coef = named.estimates["coef"].item()
    assert_allclose(coef, model.coef_[0] - 0.5 * model.coef_[2])
    variance = np.array([1, 0, -0.5]) @ model.coef_covariance_[1:, 1:] @ [1, 0, -0.5]
    assert_allclose(named.estimates["std"], np.sqrt(variance))
    text = str(contrast(model, [{"x0": 1}, {"intercept": -2}], coverage=0.9))
    assert "- 2 intercept" in text
    assert "F = " in text


@needs_pandas
def test_the_columns_of_a_table_of_combinations_are_read_by_name():
    """By position the first is the weight of the intercept."""
    pd = pytest.importorskip("pandas")
    model = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    weights = {"x1": [1.0, 0.0], "x0": [-1.0, 1.0]}
    expected = contrast(model, [{"x1": 1, "x0": -1}, {"x0": 1}])
    tables = [pd.DataFrame(weights)]
    tables += [pytest.importorskip("polars").DataFrame(weights)]
    tables += [pytest.importorskip("pyarrow").table(weights)]
    tables += [[tables[0].iloc[0], tables[0].iloc[1]]]
    for table in tables:
        assert str(contrast(model, table)) == str(expected)
    one = contrast(model, pd.Series({"x1": 1, "x0": -1}))
    assert str(one) == str(contrast(model, {"x1": 1, "x0": -1}))
    with pytest.raises(ValueError, match="L names a coefficient twice: x1, x1"):
        contrast(model, pd.Series([1.0, 1.0], index=["x1", "x1"]))
    rows = np.eye(1 + X.shape[1])[1:]
    by_position = contrast(model, pd.DataFrame(rows))
    assert str(by_position) == str(contrast(model, rows))


def test_combinations_that_others_determine_count_once():
    model = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    two = contrast(model, [{"x0": 1}, {"x1": 1}])
    more = contrast(model, [{"x0": 1}, {"x1": 1}, {"x0": 1, "x1": 1}, {"x0": 3}])
    assert_allclose(more.f_statistic, two.f_statistic, rtol=1e-9)
    assert more.df[0] == two.df[0] == 2


def test_the_noise_of_many_rows_leaves_a_chi_squared_test():
    x, y, groups = simulate(n=50_100, n_groups=300, group_std=1.5)
    x[:, :2] -= np.array([x[groups == g, :2].mean(axis=0) for g in range(300)])[groups]
    model = HeteroscedasticGaussianRegressor(variance_features=[0])
    found = contrast(model.fit(x, y, groups=groups), [{"x0": 1e-3}, {"x1": 1e-3}])
    assert found.df[1] > 1e6
    assert_allclose(found.p_value, stats.chi2.sf(2 * found.f_statistic, 2), rtol=1e-3)


@pytest.mark.parametrize(
    "L, message",
    [
        ({"x7": 1}, "L names 'x7', which is no coefficient; they are intercept, x0"),
        ([1.0, 2.0], r"L has shape \(1, 2\); it needs rows of 4 weights"),
        (np.ones((2, 2, 4)), "it needs rows of 4 weights"),
        (["x0", "x1"], r"L holds text; it needs .* names to weights: \{'x2': 1\}"),
        ([], "it needs rows of 4 weights"),
        ({"x0": np.nan}, "weights that are not finite"),
        ([{"x0": 1}, [0, 1, 0, 0]], "has dicts of names .* beside rows of weights"),
        ([[0, 1, 0, 0], [0, 1]], "L has rows of 2 to 4 weights"),
        ({"x0": 0}, "have no variance"),
    ],
)
def test_contrasts_that_are_none(L, message):
    model = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match=message):
        contrast(model, L)


@pytest.mark.parametrize(
    "model",
    [
        RandomInterceptRegressor(),
        HeteroscedasticGaussianRegressor(variance_features=[0]),
        LinearMixedRegressor("(x0 | groups)"),
    ],
    ids=lambda model: type(model).__name__,
)
def test_what_predictions_do_not_depend_on_is_no_contrast(model):
    """One-hot columns beside an intercept, and a column in other units: differences of
    the categories are estimable, their levels are not.
    """
    kind = np.arange(120) % 3
    onehot = np.eye(3)[kind]
    model.fit(np.column_stack([X[:, 0], onehot, 1e5 * X[:, 0]]), Y, groups=GROUPS)
    full_rank = clone(model).fit(
        np.column_stack([X[:, 0], onehot[:, 1:]]), Y, groups=GROUPS
    )
    found = contrast(model, [{"x2": 1, "x1": -1}, {"x3": 1, "x1": -1}])
    expected = contrast(full_rank, [{"x1": 1}, {"x2": 1}])
    for key in ("coef", "std", "df"):
        assert_allclose(found.estimates[key], expected.estimates[key], rtol=1e-5)
    level = contrast(model, {"intercept": 1, "x1": 1}).estimates
    assert_allclose(level["coef"], full_rank.intercept_, rtol=1e-6)
    # The coefficient of x0 alone is that of both columns: (1, 1e5) in the row space.
    both = contrast(model, {"x0": 1, "x4": 1e5}).estimates["coef"] / (1 + 1e10)
    assert_allclose(both, full_rank.coef_[0] / (1 + 1e10), rtol=1e-4)
    for L, name in (
        ({"x1": 1}, "x1"),
        ({"intercept": 1}, "intercept"),
        ({"x0": 1}, "x0"),
    ):
        with pytest.raises(ValueError, match=f"'{name}' is not estimable"):
            contrast(model, L)


def test_models_whose_contrasts_are_not_known():
    for model in (
        RandomInterceptRegressor(alpha=1.0),
        HeteroscedasticGaussianRegressor(mean_groups="fixed"),
    ):
        with pytest.raises(ValueError, match="has no degrees of freedom"):
            contrast(model.fit(X, Y, groups=GROUPS), {"x0": 1})
    level = RandomInterceptRegressor(fit_intercept=False).fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match="the intercept, which the model has not"):
        contrast(level, {"intercept": 1})
    with pytest.raises(TypeError, match="LinearRegression is not a model of this"):
        contrast(LinearRegression().fit(X, Y), {"x0": 1})


# --------------------------------------------------------------- likelihood-ratio tests


def test_a_variance_beside_coefficients_takes_a_mixture():
    larger = RandomInterceptRegressor(method="ml").fit(X, Y, groups=GROUPS)
    smaller = HeteroscedasticGaussianRegressor(
        method="ml", mean_groups=None, variance_features=[]
    ).fit(X[:, :1], Y)
    found = likelihood_ratio_test(smaller, larger)
    gain = larger.log_likelihood_ - smaller.log_likelihood_
    assert_allclose(found.statistic, 2 * gain)
    expected = stats.chi2.sf(2 * gain, [2, 3]).mean()
    assert_allclose(found.p_value, expected)
    assert (found.df, found.at_boundary) == (3, True)


def test_variance_features_are_compared_by_reml_too():
    smaller = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    larger = HeteroscedasticGaussianRegressor(variance_features=[0, 1])
    larger.fit(X, Y, groups=GROUPS)
    found = likelihood_ratio_test(smaller, larger)
    gain = larger.log_likelihood_ - smaller.log_likelihood_
    assert_allclose(found.p_value, stats.chi2.sf(2 * gain, 2))
    assert "on 2 degrees of freedom: p" in str(found)


def refused(smaller, larger, message):
    with pytest.raises(ValueError, match=message):
        likelihood_ratio_test(smaller, larger)


def test_what_cannot_be_compared():
    def model(columns=slice(None), rows=slice(None), y=Y, **options):
        x = X[rows, columns]
        return RandomInterceptRegressor(**options).fit(x, y[rows], groups=GROUPS[rows])

    ml = {"method": "ml"}
    refused(model(slice(1)), model(), "differ in the mean and are fitted by REML")
    refused(model(slice(1)), model(**ml), "method='reml', the larger by 'ml'")
    few = model(slice(1), slice(100), **ml)
    refused(few, model(**ml), "fitted to 100 rows, the larger to 120")
    refused(model(slice(1), y=Y + 1, **ml), model(**ml), "fitted to different y")
    refused(model(**ml), model(**ml), "4|there is nothing to test")
    refused(model(**ml), model(slice(1), **ml), "and the larger 4: .* smaller first")
    refused(model(slice(1), alpha=1.0, **ml), model(**ml), "ridge penalty of 1")
    steep = HeteroscedasticGaussianRegressor(variance_alpha=2.0, **ml)
    refused(model(**ml), steep.fit(X, Y, groups=GROUPS), "ridge penalty of 2")
    alone = HeteroscedasticGaussianRegressor(mean_groups=None, **ml).fit(X, Y)
    refused(model(**ml), alone, r"random effects \(intercept\) that the larger has not")
    other = RandomInterceptRegressor(**ml).fit(
        np.column_stack([X[:, 0], np.sin(X)]), Y, groups=GROUPS
    )
    refused(model(**ml), other, "Column 'x1' of X has other values in the larger")
    with pytest.raises(ValueError, match="The larger model has a log-likelihood of"):
        likelihood_ratio_test(model(**ml), other, assume_nested=True)


@needs_pandas
def test_random_slopes_are_tested_by_a_mixture():
    frame, y, groups = data("sleepstudy")
    smaller = fit("sleepstudy")
    larger = LinearMixedRegressor("(Days | Subject)").fit(frame, y, groups=groups)
    found = likelihood_ratio_test(smaller, larger)
    gain = larger.log_likelihood_ - smaller.log_likelihood_
    assert_allclose(found.statistic, 2 * gain)
    assert_allclose(found.p_value, stats.chi2.sf(2 * gain, [1, 2]).mean())
    assert (found.df, found.at_boundary) == (2, True)
    same = LinearMixedRegressor().fit(frame, y, groups=groups)
    assert_allclose(likelihood_ratio_test(same, larger).statistic, 2 * gain, rtol=1e-6)
    refused(larger, same, "nothing to test. Pass the smaller first")
    without = LinearMixedRegressor("").fit(frame, y)
    assert_allclose(
        likelihood_ratio_test(without, same).statistic,
        STORED["sleepstudy"]["variance"]["statistic"],
        rtol=OPTIMUM,
    )
    other = LinearMixedRegressor("(Days | Subject)").fit(frame, y + 1, groups=groups)
    refused(smaller, other, "fitted to different y")


@needs_pandas
@pytest.mark.parametrize("n", [50, 100, 150])
def test_a_fit_in_batches_has_the_rows_of_one_in_memory(n):
    """Sums of weights that differ by rounding, of 50 and 150, were refused."""
    frame, y, groups = (each[:n] for each in data("sleepstudy"))
    batches = LinearMixedRegressor().partial_fit(frame, y, groups=groups)
    smaller = LinearMixedRegressor().fit(frame, y, groups=groups)
    larger = LinearMixedRegressor("(Days | Subject)").fit(frame, y, groups=groups)
    assert_allclose(
        likelihood_ratio_test(batches, larger).statistic,
        likelihood_ratio_test(smaller, larger).statistic,
        rtol=OPTIMUM,
    )


def test_rows_of_two_numbers_are_told_to_the_last():
    """1,234,567 rows and 1,234,568 were both 1.23457e+06."""
    weight = np.ones(120)
    weight[0] = 1_234_448
    fits = [
        RandomInterceptRegressor(method="ml").fit(X, Y, groups=GROUPS, sample_weight=w)
        for w in (weight, 2 * weight)
    ]
    assert "1234567 rows" in str(fits[0].summary())
    refused(*fits, "to 1234567 rows, the larger to 2469134")


@pytest.mark.parametrize(
    "model", [RandomInterceptRegressor(method="ml"), LinearMixedRegressor(method="ml")]
)
def test_columns_and_labels_are_the_same_under_one_name(model):
    """Two arrays of other columns, both called x0, passed with p = 1e-34."""

    def fitted(columns, groups=GROUPS):
        return clone(model).fit(X[:, columns], Y, groups=groups)

    refused(fitted([2]), fitted([0, 1]), "'x0' of X has other values in the larger")
    refused(fitted([0], GROUPS[::-1] // 2), fitted([0, 1]), "The smaller model has")
    sizes = np.bincount(GROUPS)
    other = np.repeat(np.arange(len(sizes)), sizes + np.resize([3, -3], len(sizes)))
    refused(fitted([0], other), fitted([0, 1]), "The labels are others in the larger")
    assert likelihood_ratio_test(fitted([0]), fitted([0, 1])).df == 1
    found = likelihood_ratio_test(fitted([0]), fitted([0, 1]), assume_nested=True)
    assert found.df == 1
    far = (2010 + 5 * X[:, :1]).astype(np.float32)
    single = clone(model).fit(far, Y, groups=GROUPS)
    double = clone(model).fit(np.hstack([2010 + 5 * X[:, :1], X]), Y, groups=GROUPS)
    assert likelihood_ratio_test(single, double).df > 1


def test_an_exact_fit_has_no_tests():
    """That of a heteroscedastic model had t tests of the rounding of y."""
    y = 3 + 2 * X[:, 0]
    for model in (RandomInterceptRegressor(), HeteroscedasticGaussianRegressor()):
        with pytest.warns(UserWarning, match="fitted exactly"):
            model.fit(X, y, groups=GROUPS)
        found = contrast(model, {"x0": 1})
        assert np.isnan(found.p_value)
        assert str(found).endswith("on 1 and - df, p = -")
        assert np.isnan(model.summary().coefficients["p"]).all()


def test_a_p_value_below_all_numbers_has_one_sign():
    y = 1e3 * X[:, 0] + 1e-3 * Y
    model = RandomInterceptRegressor().fit(
        np.tile(X, (9, 1)), np.tile(y, 9), groups=np.tile(GROUPS, 9)
    )
    assert str(contrast(model, {"x0": 1})).endswith("df, p < 1e-300")


@needs_pandas
def test_a_column_that_is_called_intercept():
    frame, y, groups = data("sleepstudy")
    frame = frame.set_axis(["intercept"], axis=1)
    model = RandomInterceptRegressor().fit(frame, y, groups=groups)
    with pytest.raises(ValueError, match="is the intercept and a column of X"):
        contrast(model, {"intercept": 1})
    without = RandomInterceptRegressor(fit_intercept=False)
    without.fit(frame, y, groups=groups)
    found = contrast(without, {"intercept": 1})
    assert found.estimates["coef"][0] == without.coef_[0]


def test_a_column_of_labels_has_no_coefficient():
    table = np.column_stack([X, GROUPS])
    model = RandomInterceptRegressor(group_feature=-1).fit(table, Y)
    with pytest.raises(ValueError, match="weight of 'x3', a column of labels"):
        contrast(model, {"x0": 1, "x3": 1})
    assert contrast(model, [0, 1, 0, 0, 0]).df[0] == 1


def test_other_labels_are_not_nested():
    """The same rows in 5 groups and in 12, which passed with p = 7e-47."""
    rng, ml = np.random.default_rng(0), {"method": "ml"}
    first, other = np.repeat(np.arange(12), 10), np.arange(120) % 5
    X = rng.normal(size=(120, 2))
    y = X @ [1, 2] + rng.normal(size=12)[first] + rng.normal(size=120)
    smaller = RandomInterceptRegressor(**ml).fit(X[:, :1], y, groups=other)
    larger = RandomInterceptRegressor(**ml).fit(X, y, groups=first)
    message = r"random effects \(intercept of 5 labels\) that the larger has not"
    refused(smaller, larger, message)
    table = np.column_stack([first, other])
    both = LinearMixedRegressor("(1 | g0) + (1 | g1)", **ml).fit(X, y, groups=table)
    assert likelihood_ratio_test(smaller, both).df == 2
    renamed = np.column_stack([other, first])
    both = LinearMixedRegressor("(1 | g0) + (1 | g1)", **ml).fit(X, y, groups=renamed)
    three = np.column_stack([first, other, rng.integers(4, size=120)])
    three = LinearMixedRegressor("(1 | g0) + (1 | g1) + (1 | g2)", **ml).fit(
        X, y, groups=three
    )
    refused(both, three, r"intercept \| g0 of 5 labels, intercept \| g1 of 12 labels")
    halves = RandomInterceptRegressor(**ml).fit(X[:, :1], y, groups=first // 2)
    refused(halves, three, r"random effects \(intercept\) that the larger has not")


@needs_pandas
def test_models_that_are_nested_under_other_names():
    """A line is a polynomial, and levels inside groups are slopes of their dummies."""
    frame, y, groups = data("sleepstudy")
    days, ml = frame["Days"], {"method": "ml"}
    basis = np.linalg.qr(np.vander(days, 3, increasing=True))[0][:, 1:]
    polynomial = frame[[]].assign(first=basis[:, 0], second=basis[:, 1])
    square = frame.assign(second=days**2)
    line, by_name, other = (
        RandomInterceptRegressor(**ml).fit(X, y, groups=groups)
        for X in (frame, square, polynomial)
    )
    message = (
        "has Days, that of the larger has not: as far as can be told, .* assume_nested"
    )
    refused(line, other, message)
    found = likelihood_ratio_test(line, other, assume_nested=True)
    assert_allclose(found.p_value, likelihood_ratio_test(line, by_name).p_value)
    refused(line, line, "there is nothing to test")
    inside = np.column_stack([groups, days > 4])
    nested = LinearMixedRegressor("(1 | g0/g1)").fit(days.to_frame(), y, groups=inside)
    both = frame.assign(early=days <= 4.0, late=days > 4.0).astype(float)
    slopes = LinearMixedRegressor("(0 + early + late | g)", mean_features=["Days"])
    slopes = slopes.fit(both, y, groups=groups)
    refused(nested, slopes, r"random effects \(.*\) that the larger has not")
    found = likelihood_ratio_test(nested, slopes, assume_nested=True)
    assert not found.at_boundary
    assert_allclose(found.p_value, stats.chi2.sf(found.statistic, 1))


def test_effects_of_named_factors_are_nested_by_name():
    rng = np.random.default_rng(0)
    table = rng.integers(6, size=(120, 2))
    one = LinearMixedRegressor("(1 | g0)").fit(X, Y, groups=table)
    both = LinearMixedRegressor("(1 | g0) + (1 | g1)").fit(X, Y, groups=table)
    slope = LinearMixedRegressor("(x0 | g1)").fit(X, Y, groups=table)
    assert likelihood_ratio_test(one, both).df == 1
    refused(both, slope, r"random effects \(intercept \| g0, intercept \| g1\)")


@needs_pandas
def test_contrasts_of_random_slopes_are_those_of_contest():
    frame, y, groups = data("sleepstudy")
    model = LinearMixedRegressor("(Days | Subject)").fit(frame, y, groups=groups)
    expected = json.loads(
        (Path(__file__).parents[1] / "stored" / "contest.json").read_text()
    )["sleepstudy_both"]
    found = contrast(model, np.eye(2))
    # The stored figures are of numerical derivatives and 10 digits.
    assert_allclose(found.f_statistic, expected["statistic"], rtol=1e-5)
    freedom = expected["numerator"], expected["denominator"]
    assert_allclose(found.df, freedom, rtol=1e-4)


# ---------------------------------------------------------------------------- summaries


def names_of(estimator):
    return summary(estimator).coefficients.names


@needs_pandas
def test_names_are_those_of_the_steps_before():
    frame, y, groups = load_machines(return_X_y_groups=True, as_frame=True)
    machine = frame.assign(
        Machine=np.array(["A", "B", "C"])[(frame @ [1, 2]).astype(int)]
    )
    columns = ColumnTransformer([("m", OneHotEncoder(drop="first"), ["Machine"])])
    pipe = make_pipeline(columns, RandomInterceptRegressor())
    pipe.fit(machine, y, randominterceptregressor__groups=groups)
    expected = ("intercept", "m__Machine_B", "m__Machine_C")
    assert names_of(pipe) == expected
    assert names_of(FrozenEstimator(pipe)) == expected
    assert names_of(pipe[-1]) == ("intercept", "x0", "x1")
    found = contrast(pipe, {"m__Machine_C": 1, "m__Machine_B": -1})
    assert_allclose(found.estimates["coef"], 5.95)
    whole = summary(pipe)
    assert str(whole.variance_components) == str(pipe[-1].summary().variance_components)
    nested = make_pipeline(FunctionTransformer(), pipe)
    nested.fit(
        machine, y, pipeline__randominterceptregressor__groups=groups
    )  # the function keeps no names, the transformer has its own
    assert names_of(nested) == expected


@needs_pandas
def test_names_that_the_model_has_are_kept():
    frame, y, groups = load_hsb82(return_X_y_groups=True, as_frame=True)
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    pipe.set_output(transform="pandas")
    pipe.fit(frame, y, randominterceptregressor__groups=groups)
    assert names_of(pipe)[1:] == tuple(frame)


@needs_pandas
def test_summaries_of_searches_and_selections():
    frame, y, groups = load_hsb82(return_X_y_groups=True, as_frame=True)
    table = frame.assign(school=groups)[:800]
    model = RandomInterceptRegressor(group_feature="school")
    search = GridSearchCV(model, {"method": ["reml", "ml"]}, cv=2).fit(table, y[:800])
    assert names_of(search) == ("intercept", *frame)
    assert str(summary(search)) == str(search.best_estimator_.summary())
    alone = HeteroscedasticGaussianRegressor(mean_groups=None, variance_features=[])
    chosen = RFE(alone, n_features_to_select=2).fit(frame, y)
    kept = frame.columns[chosen.support_]
    assert names_of(chosen) == ("intercept", *kept)


@needs_pandas
def test_the_summary_of_a_wrapped_mixed_model_names_its_slopes():
    frame, y, groups = data("sleepstudy")
    model = LinearMixedRegressor("(x0 | Subject)")
    pipe = make_pipeline(StandardScaler(), model)
    pipe.fit(frame, y, linearmixedregressor__groups=groups)
    found = summary(pipe)
    assert found.coefficients.names == ("intercept", "Days")
    assert "corr(intercept, Days | Subject)" in found.variance_components.names
    own = pipe[-1].summary()
    for key, values in own.variance_components.columns.items():
        assert_allclose(found.variance_components[key], values)


def test_the_summary_of_a_transformed_target_says_so():
    model = RandomInterceptRegressor(group_feature=-1)
    table, y = np.column_stack([X, GROUPS]), np.exp(Y / 10)
    whole = TransformedTargetRegressor(model, func=np.log, inverse_func=np.exp)
    found = summary(make_pipeline(whole).fit(table, y))
    direct = RandomInterceptRegressor().fit(X, Y / 10, groups=GROUPS).summary()
    assert_allclose(found.coefficients["coef"], direct.coefficients["coef"], rtol=1e-9)
    assert "as TransformedTargetRegressor transforms it" in found.notes[-1]
    assert found.notes[:-1] == direct.notes


def test_a_wrapped_summary_of_the_integrated_distribution():
    pipe = make_pipeline(FunctionTransformer(), RandomInterceptRegressor())
    pipe.fit(X, Y, randominterceptregressor__groups=GROUPS)
    expected = str(pipe[-1].summary(distribution="integrated"))
    assert str(summary(pipe, distribution="integrated")) == expected
    mixed = make_pipeline(FunctionTransformer(), LinearMixedRegressor())
    mixed.fit(X, Y, linearmixedregressor__groups=GROUPS)
    low = summary(mixed, distribution="integrated").coefficients["low"]
    assert_allclose(low, pipe[-1].summary(0.95, "integrated").coefficients["low"])
    modelled = HeteroscedasticGaussianRegressor().fit(X, Y, groups=GROUPS)
    found = summary(modelled, distribution="integrated")
    assert str(found) == str(modelled.summary(distribution="integrated"))
    assert "normal for the log-variance" in found.notes[0]
    ridge = HeteroscedasticGaussianRegressor(alpha=1.0).fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match=r"^alpha=1\.0: the variances of a penalised"):
        summary(ridge, distribution="integrated")
    with pytest.raises(ValueError, match="distribution is 't' or 'integrated', got"):
        summary(pipe, distribution="normal")


def test_what_has_no_summary():
    with pytest.raises(TypeError, match="LinearRegression is not a model of this"):
        summary(make_pipeline(StandardScaler(), LinearRegression()).fit(X, Y))
    model = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match="coverage is a probability"):
        summary(model, coverage=2)
