"""LinearMixedRegressor with a log-variance that depends on features."""

import pickle
import warnings
from copy import deepcopy

import numpy as np
import pandas as pd
import pytest
from oracles import mixed as dense
from scipy import sparse
from sklearn.base import clone

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
)
from skmixed.datasets import load_sleepstudy
from skmixed.inference import contrast, likelihood_ratio_test

# The same search is behind both, and its figures go through other formulas.
SAME = {"rtol": 1e-8, "atol": 1e-12}
CROSSED = "(x0 | a) + (1 | c)"


def crossed_data(n=240, seed=0):
    """Two crossed factors, a slope in one of them, noise that follows x1."""
    rng = np.random.default_rng(seed)
    X = rng.normal([1.0, 0.0], size=(n, 2))
    a, c = rng.integers(15, size=n), rng.integers(8, size=n)
    effects = rng.normal(size=(15, 2)) * [1.0, 0.5]
    y = X @ [1.0, -0.5] + effects[a, 0] + effects[a, 1] * X[:, 0]
    y += 0.7 * rng.normal(size=8)[c] + rng.normal(size=n) * np.exp(0.4 * X[:, 1])
    return X, y, pd.DataFrame({"a": a, "c": c})


def fit_crossed(X, y, groups, **options):
    options = {"variance_features": [1]} | options
    return LinearMixedRegressor(CROSSED, **options).fit(X, y, groups=groups)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("weighted", [False, True])
def test_one_random_intercept_is_the_heteroscedastic_model(method, weighted):
    X, y, subjects = load_sleepstudy(return_X_y_groups=True)
    weight = np.arange(len(y)) % 3 + 1.0 if weighted else None
    rows = {"groups": subjects, "sample_weight": weight}
    one = HeteroscedasticGaussianRegressor(method=method).fit(X, y, **rows)

    model = LinearMixedRegressor(variance_features="all", method=method)
    model = model.fit(X, y, **rows)

    for name in ("coef_", "intercept_", "coef_covariance_", "log_likelihood_"):
        np.testing.assert_allclose(getattr(model, name), getattr(one, name), **SAME)
    for name in ("variance_coef_", "variance_intercept_", "variance_coef_covariance_"):
        np.testing.assert_allclose(getattr(model, name), getattr(one, name), **SAME)
    (effects,) = model.random_effects_.values()
    np.testing.assert_allclose(effects[:, 0], one.random_intercepts_, **SAME)
    (std,) = model.random_effects_std_.values()
    np.testing.assert_allclose(std[:, 0], one.random_intercepts_std_, **SAME)
    (psi,) = model.random_effects_covariance_.values()
    np.testing.assert_allclose(psi[0, 0], one.group_variance_, **SAME)
    new = {"groups": [subjects[0], -1, -1]}
    for call in ("predict_interval", "predict_noise_std"):
        found, expected = (getattr(m, call)(X[:3], **new) for m in (model, one))
        np.testing.assert_allclose(found, expected, **SAME)
    tables = model.summary().coefficients, one.summary().coefficients
    np.testing.assert_allclose(tables[0]["df"], tables[1]["df"], rtol=1e-7)
    # The noise of the rows of known groups has a part in their effects, which the
    # degrees of freedom leave out in two ways; these hardly matter.
    found, expected = (
        m.predict_interval(X[:3], distribution="t", **new) for m in (model, one)
    )
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def rows_with_effects_of_their_own(n_values, n=400):
    """One row for each label, and noise that follows a feature of some values."""
    rng = np.random.default_rng(0)
    x = np.linspace(-2.0, 2.0, n_values)[np.arange(n) % n_values]
    y = x + rng.normal(size=n) + rng.normal(size=n) * np.exp((1.5 * x - 1.0) / 2)
    return x[:, None], y


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("n_values", [2, 3, 400])
def test_noise_that_differs_tells_the_variance_of_single_rows(n_values, method):
    """math.md (214): three sums of variances tell psi from two parameters of the noise,
    and two do not; it was set to 0 for any, since equal noise tells none.
    """
    X, y = rows_with_effects_of_their_own(n_values)
    labels, options = np.arange(len(y)), {"method": method, "variance_features": "all"}
    models = (
        HeteroscedasticGaussianRegressor(**options),
        LinearMixedRegressor("(1 | g)", **options),
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        one, model = (each.fit(X, y, groups=labels) for each in models)
    psi = model.random_effects_covariance_["g"][0, 0]
    np.testing.assert_allclose(psi, one.group_variance_, **SAME)
    np.testing.assert_allclose(model.log_likelihood_, one.log_likelihood_, **SAME)
    if n_values == 2:
        assert [each.category for each in caught] == [GroupsWarning] * 2
        assert all("cannot be told from the noise" in str(w.message) for w in caught)
        assert psi == 0
    else:
        assert not caught
        assert 0.6 < psi < 1.4
        without = LinearMixedRegressor("", **options).fit(X, y)
        assert model.log_likelihood_ > without.log_likelihood_ + 2


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_single_rows_beside_other_factors(method):
    """The first of two factors that divide the rows alike takes the variance."""
    X, y = rows_with_effects_of_their_own(400)
    h, each = np.arange(len(y)) % 20, np.arange(len(y))
    y = y + np.random.default_rng(1).normal(size=20)[h]
    table = pd.DataFrame({"g": each, "same": each[::-1], "h": h})
    options = {"method": method, "variance_features": "all"}
    model = LinearMixedRegressor("(1 | h) + (1 | g)", **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, y, groups=table)
    assert 0.6 < model.random_effects_covariance_["g"][0, 0] < 1.4
    assert model.converged_
    without = LinearMixedRegressor("(1 | h)", **options).fit(X, y, groups=table)
    assert model.log_likelihood_ > without.log_likelihood_ + 2

    twice = LinearMixedRegressor("(1 | h) + (1 | g) + (1 | same)", **options)
    with pytest.warns(GroupsWarning, match="'same' divides the rows exactly as 'g'"):
        twice.fit(X, y, groups=table)
    assert twice.random_effects_covariance_["same"][0, 0] == 0
    np.testing.assert_allclose(twice.log_likelihood_, model.log_likelihood_, rtol=1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_no_random_effects(method):
    X, y, _ = crossed_data()
    one = HeteroscedasticGaussianRegressor(mean_groups=None, method=method).fit(X, y)
    model = LinearMixedRegressor("", variance_features="all", method=method).fit(X, y)
    np.testing.assert_allclose(model.variance_coef_, one.variance_coef_, **SAME)
    np.testing.assert_allclose(model.log_likelihood_, one.log_likelihood_, **SAME)


def test_ridges_are_those_of_the_heteroscedastic_model():
    X, y, groups = crossed_data()
    options = {"alpha": 5.0, "variance_alpha": 3.0}
    one = HeteroscedasticGaussianRegressor(**options).fit(X, y, groups=groups["a"])
    model = LinearMixedRegressor(variance_features="all", **options)
    model = model.fit(X, y, groups=groups["a"])
    np.testing.assert_allclose(model.coef_, one.coef_, rtol=1e-7)
    np.testing.assert_allclose(model.variance_coef_, one.variance_coef_, rtol=1e-7)


def test_ridges_of_any_terms():
    """A term of one level that has no effect changes neither model nor search."""
    X, y, groups = crossed_data()
    options = {"alpha": 5.0, "variance_alpha": 3.0, "variance_features": "all"}
    one = LinearMixedRegressor("(1 | a)", **options).fit(X, y, groups=groups)
    table = groups.assign(d=np.arange(len(y)) % 2)
    two = LinearMixedRegressor("(1 | a) + (1 | d)", **options)
    two = two.fit(X, y, groups=table)
    assert two.random_effects_covariance_["d"][0, 0] == 0
    np.testing.assert_allclose(two.coef_, one.coef_, rtol=1e-6)
    np.testing.assert_allclose(two.variance_coef_, one.variance_coef_, rtol=1e-6)
    np.testing.assert_allclose(two.log_likelihood_, one.log_likelihood_, rtol=1e-9)


@pytest.mark.parametrize("none", [(), [], np.empty(0, dtype=int)])
def test_no_features_are_constant_noise(none):
    X, y, groups = crossed_data()
    usual = LinearMixedRegressor(CROSSED).fit(X, y, groups=groups)
    model = fit_crossed(X, y, groups, variance_features=none)
    assert model.noise_variance_ == usual.noise_variance_
    assert not hasattr(model, "variance_coef_")


def test_modelled_noise_has_no_constant_variance():
    model = fit_crossed(*crossed_data())
    assert not hasattr(model, "noise_variance_")
    assert model.variance_coef_[0] == 0
    assert model.variance_coef_covariance_[1, 1] == 0


def test_columns_of_an_array_are_named_as_in_terms_and_tables():
    rng, groups = np.random.default_rng(0), np.arange(80) % 10
    X = rng.normal(size=(80, 3))
    y = X[:, 0] + rng.normal(size=10)[groups] + rng.normal(size=80)
    named, by_position = (
        LinearMixedRegressor("(x0 | g)", mean_features=f, variance_features=f[:1])
        for f in (["x0", "x2"], [0, 2])
    )
    found = named.fit(X, y, groups=groups)
    expected = by_position.fit(X, y, groups=groups)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-12)
    np.testing.assert_allclose(
        found.variance_coef_, expected.variance_coef_, rtol=1e-12
    )


def test_a_constant_feature_changes_nothing():
    X, y, groups = crossed_data()
    X = np.column_stack([X, np.ones(len(y))])
    usual = LinearMixedRegressor(CROSSED, mean_features=[0, 1])
    usual = usual.fit(X, y, groups=groups)
    model = fit_crossed(X, y, groups, mean_features=[0, 1], variance_features=[2])
    assert model.log_likelihood_ == pytest.approx(usual.log_likelihood_, abs=1e-9)
    expected = np.full(3, np.sqrt(usual.noise_variance_))
    np.testing.assert_allclose(model.predict_noise_std(X[:3]), expected)


def test_known_parts_may_be_further_apart_than_estimated_ones():
    X, _, groups = crossed_data()
    rng, known = np.random.default_rng(1), np.where(np.arange(len(X)) % 3, 20.0, -18.0)
    y = X.sum(axis=1) + rng.normal(size=15)[groups["a"]]
    y += rng.normal(size=len(X)) * np.exp(known / 2)
    X = np.column_stack([X, known])
    model = LinearMixedRegressor("(x0 | a)", variance_offset=2, mean_features=[0, 1])
    model = model.fit(X, y, groups=groups)
    np.testing.assert_allclose(model.coef_[:2], 1.0, atol=1e-3)  # by precise rows
    assert model.variance_intercept_ == pytest.approx(0.0, abs=0.5)


def test_a_known_part_of_the_log_variance():
    """Weights as precisions of lme4: the variance of a row is divided by them."""
    X, y, groups = crossed_data()
    w = np.random.default_rng(1).uniform(0.3, 3.0, len(y))
    known = np.column_stack([X, -np.log(w)])
    model = LinearMixedRegressor(CROSSED, variance_offset=2)
    model = model.fit(known, y, groups=groups)
    sigma2 = np.exp(model.variance_intercept_)
    np.testing.assert_allclose(
        model.predict_noise_std(known, groups=groups) ** 2, sigma2 / w
    )
    assert not model.variance_coef_.any()
    at = dense_problem(model, known, y, groups, [0, 1])
    expected = dense.log_likelihood(at, reml=True)
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-10)


def dense_problem(model, X, y, groups, mean):
    """The fitted model with its covariance written out."""
    terms = []
    for factor, columns in (("a", [None, 0]), ("c", [None])):
        Z = [np.ones(len(y)) if j is None else X[:, j] for j in columns]
        Psi = model.random_effects_covariance_[factor]
        terms.append(dense.Term(np.column_stack(Z), groups[factor].to_numpy(), Psi))
    noise = model.predict_noise_std(X, groups=groups) ** 2
    ones = np.ones(len(y))
    return dense.problem(np.column_stack([ones, X[:, mean]]), y, terms, noise)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_the_fit_is_that_of_the_dense_covariance(method):
    X, y, groups = crossed_data()
    model = fit_crossed(X, y, groups, method=method)
    at = dense_problem(model, X, y, groups, [0, 1])
    expected = dense.log_likelihood(at, method == "reml")
    beta, covariance = dense.coefficients(at)
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose([model.intercept_, *model.coef_], beta, rtol=1e-8)
    np.testing.assert_allclose(model.coef_covariance_, covariance, rtol=1e-8)


def test_predictions_are_those_of_the_dense_covariance():
    X, y, groups = crossed_data()
    model = fit_crossed(X, y, groups)
    new_groups = pd.DataFrame({"a": [0, 0, 77, 77], "c": [1, 88, 1, 88]})
    new = X[:4] * 1.5
    mean, covariance = model.predict(new, groups=new_groups, return_cov=True)
    at = dense_problem(model, X, y, groups, [0, 1])
    ones = np.ones((4, 1))
    Z = [np.column_stack([ones, new[:, 0]]), ones]
    codes = [new_groups[f].to_numpy() for f in ("a", "c")]
    rows = dense.rows(at, np.column_stack([ones, new]), Z, codes)
    expected = dense.predict(at, rows)
    noise = model.predict_noise_std(new, groups=new_groups)
    np.testing.assert_allclose(mean, expected[0], rtol=1e-8)
    np.testing.assert_allclose(
        covariance, expected[1] + np.diag(noise**2), rtol=1e-8, atol=1e-10
    )
    std = model.predict(new, groups=new_groups, return_std=True)[1]
    np.testing.assert_allclose(std, np.sqrt(np.diag(covariance)))
    draws = model.sample_y(new, groups=new_groups, n_samples=4000, random_state=0)
    np.testing.assert_allclose(draws.std(axis=1), std, rtol=0.1)


def test_an_update_counts_rows_by_their_noise():
    X, y, groups = crossed_data()
    old = np.arange(len(y)) < 200
    model = fit_crossed(X[old], y[old], groups[old])
    at = dense_problem(model, X[old], y[old], groups[old], [0, 1])
    noise = model.predict_noise_std(X[~old], groups=groups[~old]) ** 2
    more = dense.rows(
        at,
        np.column_stack([np.ones(40), X[~old]]),
        [np.column_stack([np.ones(40), X[~old, 0]]), np.ones((40, 1))],
        [groups[f][~old].to_numpy() for f in ("a", "c")],
    )
    both = dense.stack(at, more, y[~old], noise)
    expected = dense.random_effects(at, 0, np.arange(15), after=both)[0]
    model = model.update_random_effects(X[~old], y[~old], groups=groups[~old])
    np.testing.assert_allclose(model.random_effects_["a"], expected, rtol=1e-7)


def test_sparse_and_dense_rows_are_the_same_fit():
    X, y, groups = crossed_data()
    usual = fit_crossed(X, y, groups)
    model = fit_crossed(sparse.csr_array(X), y, groups)
    np.testing.assert_allclose(model.variance_coef_, usual.variance_coef_, rtol=1e-6)
    np.testing.assert_allclose(model.log_likelihood_, usual.log_likelihood_)


def test_weights_are_repetitions():
    X, y, groups = crossed_data()
    times = np.arange(len(y)) % 3
    weighted = LinearMixedRegressor(CROSSED, variance_features=[1])
    weighted = weighted.fit(X, y, groups=groups, sample_weight=times)
    repeated = fit_crossed(
        X.repeat(times, axis=0),
        y.repeat(times),
        groups.loc[groups.index.repeat(times)],
    )
    for name in ("coef_", "variance_coef_", "variance_coef_covariance_"):
        np.testing.assert_allclose(
            getattr(weighted, name), getattr(repeated, name), rtol=1e-6
        )


@pytest.mark.parametrize("scale", [1e-10, 1e10])
def test_units_of_y(scale):
    X, y, groups = crossed_data()
    usual = fit_crossed(X, y, groups)
    model = fit_crossed(X, scale * y, groups)
    np.testing.assert_allclose(model.variance_coef_, usual.variance_coef_, rtol=1e-6)
    np.testing.assert_allclose(model.coef_, scale * usual.coef_, rtol=1e-7)
    moved = usual.variance_intercept_ + 2 * np.log(scale)
    assert model.variance_intercept_ == pytest.approx(moved, abs=1e-6)


def test_a_variance_of_zero_is_a_result():
    X, y, groups = crossed_data()
    y = np.random.default_rng(5).normal(size=len(y)) * np.exp(0.4 * X[:, 1])
    model = fit_crossed(X, y, groups)
    assert model.at_boundary_
    assert model.converged_
    table = model.summary().variance_components
    assert table.names[-1] == "noise (geometric mean)"
    interval = model.predict_interval(X[:5], groups=groups[:5], distribution="t")
    assert np.isfinite(interval).all()


def test_stored_models_predict_as_before():
    X, y, groups = crossed_data()
    model = fit_crossed(X, y, groups)
    for other in (pickle.loads(pickle.dumps(model)), deepcopy(model)):
        for distribution in ("normal", "t"):
            how = {"groups": groups[:5], "distribution": distribution}
            np.testing.assert_array_equal(
                other.predict_interval(X[:5], **how),
                model.predict_interval(X[:5], **how),
            )
        tables = other.summary().sections(), model.summary().sections()
        assert str(tables[0]) == str(tables[1])
        with pytest.raises(ValueError, match="read-only"):
            other.variance_coef_[0] = 1.0
    assert clone(model).variance_features == [1]


def test_summary_has_a_table_of_the_log_variance():
    X, y, groups = crossed_data()
    model = fit_crossed(pd.DataFrame(X, columns=["x0", "v"]), y, groups)
    summary = model.summary()
    table = summary.log_variance
    assert table.names == ("intercept", "v")
    std = np.sqrt(np.diag(model.variance_coef_covariance_))[[0, 2]]
    coef = np.array([model.variance_intercept_, model.variance_coef_[1]])
    np.testing.assert_allclose(table["coef"], coef)
    np.testing.assert_allclose(table["z"], coef / std)
    assert "Log-variance" in str(summary)
    assert summary.aic == pytest.approx(2 * (9 - model.log_likelihood_))


def test_likelihood_ratio_and_contrasts():
    X, y, groups = crossed_data()
    constant = LinearMixedRegressor(CROSSED).fit(X, y, groups=groups)
    model = fit_crossed(X, y, groups)
    test = likelihood_ratio_test(constant, model)
    gain = model.log_likelihood_ - constant.log_likelihood_
    assert test.statistic == pytest.approx(2 * gain)
    assert (test.df, test.at_boundary) == (1, False)
    with pytest.raises(ValueError, match="log-variance of one model has x1"):
        likelihood_ratio_test(model, fit_crossed(X, y, groups, variance_features=[0]))
    known = np.column_stack([X, X[:, 0]])
    offset = fit_crossed(known, y, groups, variance_offset=2, mean_features=[0, 1])
    with pytest.raises(ValueError, match="offset of x2"):
        likelihood_ratio_test(constant, offset)
    found = contrast(model, {"x0": 1.0})
    df = model.summary().coefficients["df"][1]
    assert found.estimates["df"][0] == pytest.approx(df)


def test_mistakes_have_clear_errors():
    X, y, groups = crossed_data()
    for options, message in [
        ({"variance_features": ["age"]}, "variance_features='age'"),
        ({"variance_features": "age"}, "variance_features is a list"),
        ({"variance_features": [1], "variance_offset": 1}, "is the variance_offset"),
        ({"variance_alpha": -1.0}, "variance_alpha"),
        ({"variance_offset": 7}, "variance_offset=7"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            fit_crossed(X, y, groups, **options)
    with pytest.raises(ValueError, match="logarithms of variances"):
        fit_crossed(X * [1.0, 1e3], y, groups, variance_features=[], variance_offset=1)
    known = fit_crossed(X, y, groups, variance_features=[], variance_offset=1)
    with pytest.raises(ValueError, match=r"e\+12 in size, which are no logarithms"):
        known.predict(X * [1.0, 1e12], groups=groups, return_std=True)
    model = LinearMixedRegressor(CROSSED, variance_features=[1])
    with pytest.raises(ValueError, match="need all rows at once"):
        model.partial_fit(X, y, groups=groups)
    for none in ([], [False, False]):
        model.set_params(variance_features=none).partial_fit(X, y, groups=groups)
    with pytest.raises(TypeError, match=r"variance_features is a list .* got 3"):
        model.set_params(variance_features=3).partial_fit(X, y, groups=groups)


def test_an_exact_fit_is_said():
    X, _, groups = crossed_data()
    with pytest.warns(UserWarning, match="fitted exactly"):
        model = fit_crossed(X, X @ [1.0, 2.0], groups)
    assert not model.variance_coef_.any()


def test_without_groups_the_noise_is_modelled_all_the_same():
    X, y, _ = crossed_data()
    with pytest.warns(GroupsWarning, match="No `groups`"):
        model = LinearMixedRegressor(variance_features=[1]).fit(X, y)
    one = HeteroscedasticGaussianRegressor(mean_groups=None, variance_features=[1])
    np.testing.assert_allclose(
        model.variance_coef_, one.fit(X, y).variance_coef_, **SAME
    )


def test_rows_of_steep_noise_are_counted():
    X, y, groups = crossed_data()
    y += np.random.default_rng(1).normal(size=len(y)) * np.exp(0.8 * X[:, 1])
    X[0, 1] = 12.0
    with pytest.warns(UserWarning, match=r"of 240 rows ha\w+ a fitted noise"):
        fit_crossed(X, y, groups)


def test_a_constant_y_has_no_spread_to_compare_with():
    """The logarithm of its scatter was taken: NumPy's warning.

    Random intercepts that are all 2 fit it exactly, as the fit may say.
    """
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(57, 5)), rng.integers(19, size=57)
    model = LinearMixedRegressor(
        "(1 + x0 + x1 | g)", fit_intercept=False, method="ml", variance_features=[3]
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "y is fitted exactly", UserWarning)
        model.fit(X, np.full(57, 2.0), groups=groups)
    assert np.isfinite(model.log_likelihood_)


def test_a_likelihood_without_a_maximum_is_said():
    """Groups do not differ, and the row with a variance of its own has no residual."""
    rng = np.random.default_rng(0)
    groups = pd.DataFrame({"a": np.arange(100) % 10, "c": np.arange(100) // 10})
    e = rng.normal(size=(10, 10))
    e -= e.mean(axis=0)
    e -= e.mean(axis=1, keepdims=True)
    own = np.arange(100) == 5
    y = np.where(own, 0.0, e.ravel())
    X = own[:, None].astype(float)
    model = LinearMixedRegressor(
        "(1 | a) + (1 | c)", method="ml", mean_features=[], variance_features=[0]
    )
    with pytest.warns(UserWarning, match="have a noise variance at the bounds"):
        model.fit(X, y, groups=groups)


def test_many_groups_have_the_observed_information_too():
    rng = np.random.default_rng(2)
    X, g = rng.normal(size=(1500, 1)), rng.integers(450, size=1500)
    y = (
        X[:, 0]
        + rng.normal(size=450)[g]
        + rng.normal(size=1500) * np.exp(0.3 * X[:, 0])
    )
    one = HeteroscedasticGaussianRegressor().fit(X, y, groups=g)
    model = LinearMixedRegressor(variance_features="all").fit(X, y, groups=g)
    found, expected = model.variance_coef_covariance_, one.variance_coef_covariance_
    np.testing.assert_allclose(found, expected, rtol=1e-7)
