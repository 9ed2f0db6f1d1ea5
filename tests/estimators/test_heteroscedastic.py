"""HeteroscedasticGaussianRegressor: equivalences, invariances, and awkward data."""

import tracemalloc
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles.reference import condition, log_likelihood, with_intercept
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, Ridge

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)
from skmixed._likelihood.heteroscedastic.criterion import evaluate
from skmixed._likelihood.heteroscedastic.derivatives import derivatives
from skmixed.heteroscedastic import read_problem

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

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


# ------------------------------------------------------------------ unity of the models


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


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_penalised_effects_are_penalised_one_hot_columns(fit_intercept):
    X, y, groups = simulate()
    columns = np.column_stack([X, one_hot(groups)])
    options = {"alpha": 3.0, "fit_intercept": fit_intercept, "variance_features": []}
    explicit = fit(columns, y, mean_groups=None, **options)
    model = fit(X, y, groups, mean_groups="fixed", **options)
    assert_allclose(model.coef_, explicit.coef_[:3], rtol=1e-8)
    assert_allclose(model.intercept_, explicit.intercept_, rtol=1e-8, atol=1e-9)
    assert_allclose(model.group_effects_, explicit.coef_[3:], rtol=1e-7, atol=1e-9)
    expected = explicit.coef_std_[3:]
    assert_allclose(model.group_effects_std_, expected, rtol=1e-7)
    std = explicit.predict(columns, return_std=True)[1]
    assert_allclose(model.predict(X, groups=groups, return_std=True)[1], std, rtol=1e-7)


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


@pytest.mark.filterwarnings("ignore:.*within groups:skmixed.GroupsWarning")
@pytest.mark.parametrize("variance_intercept", [True, False])
def test_so_do_columns_of_the_log_variance(variance_intercept):
    X, y, groups = simulate()
    X[:, 1] = np.arange(12)[groups] / 6
    X = np.column_stack([X, X[:, 0] - X[:, 1]])
    columns = np.column_stack([X, one_hot(groups)])
    options = {
        "mean_groups": None,
        "mean_features": [0, 2],
        "fit_variance_intercept": variance_intercept,
    }
    model = fit(
        X, y, groups, variance_groups="fixed", variance_features=[0, 1, 3], **options
    )
    explicit = fit(columns, y, variance_features=[0, 1, 3, *range(4, 16)], **options)
    assert_allclose(model.variance_coef_, explicit.variance_coef_[:4], atol=1e-6)
    assert_allclose(model.variance_intercept_, explicit.variance_intercept_, atol=1e-6)
    assert_allclose(
        model.variance_group_effects_, explicit.variance_coef_[4:], atol=1e-6
    )
    assert_allclose(
        model.variance_coef_covariance_,
        explicit.variance_coef_covariance_[:5, :5],
        atol=1e-6,
    )


# -------------------------------------------------------------------- the dense density


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


# -------------------------------------------------------------------------- invariances

STRUCTURES = [
    pytest.param(
        {"mean_groups": mean, "variance_groups": variance}, id=f"{mean}/{variance}"
    )
    for mean in MODES
    for variance in ("fixed", None)
]
EFFECTS = ("group_effects_", "group_effects_std_", "variance_group_effects_")


@pytest.mark.parametrize("structure", STRUCTURES)
def test_row_order_and_labels_do_not_matter(structure):
    X, y, groups = simulate()
    model = fit(X, y, groups, **structure)
    order = np.random.default_rng(1).permutation(len(y))
    assert_same(fit(X[order], y[order], groups[order], **structure), model, SEARCHED)
    names = np.array([f"group {chr(122 - g)}" for g in groups])  # in reverse order
    renamed = fit(X, y, names, **structure)
    per_group = (name for name in FIGURES if np.ndim(getattr(model, name)) < 1)
    assert_same(renamed, model, SEARCHED, figures=tuple(per_group))
    if structure["mean_groups"] or structure["variance_groups"]:
        for name in (*EFFECTS, "random_intercepts_"):
            assert_allclose(
                getattr(renamed, name)[::-1], getattr(model, name), atol=SEARCHED
            )
    assert_allclose(
        renamed.predict(X, groups=names, return_std=True),
        model.predict(X, groups=groups, return_std=True),
        rtol=SEARCHED,
    )


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("penalty", [0.0, 0.5])
def test_weights_are_repetitions(structure, penalty):
    X, y, groups = simulate()
    weight = np.random.default_rng(0).integers(0, 4, size=len(y))
    weight[:60] = np.maximum(weight[:60], 1)
    rows = np.repeat(np.arange(len(y)), weight)
    options = structure | {"alpha": penalty, "variance_alpha": penalty}
    model = fit(X, y, groups, weight, **options)
    repeated = fit(X[rows], y[rows], groups[rows], **options)
    assert_same(model, repeated, SEARCHED, figures=(*FIGURES, *EFFECTS))


@pytest.mark.parametrize("structure", STRUCTURES)
def test_units_do_not_matter(structure):
    X, y, groups = simulate()
    model = fit(X, y, groups, **structure)
    scale = np.array([1e-3, 1.0, 1e4])
    other = fit(X * scale + 7 * scale, 50 * y - 1e4, groups, **structure)
    assert_allclose(other.coef_ * scale, 50 * model.coef_, rtol=1e-6)
    assert_allclose(other.coef_std_ * scale, 50 * model.coef_std_, rtol=1e-6)
    assert_allclose(other.variance_coef_ * scale, model.variance_coef_, atol=1e-6)
    assert_allclose(other.group_variance_, 2500 * model.group_variance_, rtol=1e-6)
    mean, std = model.predict(X, groups=groups, return_std=True)
    got = other.predict(X * scale + 7 * scale, groups=groups, return_std=True)
    assert_allclose(got[0], 50 * mean - 1e4, rtol=1e-7)
    assert_allclose(got[1], 50 * std, rtol=1e-6)


def test_an_offset_of_a_billion_costs_no_digits():
    X, y, groups = simulate()
    X, y = np.round(X * 2**20) / 2**20, np.round(y * 2**20) / 2**20  # exact with offset
    model, other = fit(X, y, groups), fit(X, y + 2.0**30, groups)
    figures = tuple(name for name in FIGURES if name != "intercept_")
    assert_same(other, model, 1e-6, figures=figures)
    assert_allclose(other.intercept_ - 2.0**30, model.intercept_, rtol=1e-6)


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.filterwarnings("ignore:.*fewer than 10 rows:skmixed.GroupsWarning")
def test_sparse_is_dense(structure, method):
    X, y, groups = simulate()
    X = X * (np.abs(X) > 0.7)
    dense = fit(X, y, groups, method=method, **structure)
    model = fit(sparse.csr_array(X), y, groups, method=method, **structure)
    assert_same(model, dense, SEARCHED, figures=(*FIGURES, *EFFECTS))
    assert_allclose(
        model.predict(sparse.csr_array(X), groups=groups, return_std=True),
        dense.predict(X, groups=groups, return_std=True),
        rtol=SEARCHED,
    )


def test_long_groups_are_read_in_pieces(monkeypatch):
    X, y, groups = simulate()
    expected = [fit(X, y, groups, variance_groups=v) for v in ("fixed", None)]
    monkeypatch.setattr("skmixed._rows.grouped.block_rows", lambda n_columns: 7)
    monkeypatch.setattr("skmixed._rows.reduction.block_rows", lambda n_columns: 7)
    for variance_groups, model in zip(("fixed", None), expected, strict=True):
        other = fit(X, y, groups, variance_groups=variance_groups)
        assert_same(other, model, SEARCHED)


def test_workers_and_memory_layout_do_not_matter(monkeypatch):
    X, y, groups = simulate()
    model = fit(X, y, groups)
    monkeypatch.setattr("skmixed._rows.grouped.ROWS_PER_WORKER", 30)
    assert_same(fit(X, y, groups, n_jobs=2), model, 1e-9)
    assert_same(fit(np.asfortranarray(X), y, groups), model, 1e-9)
    X32 = X.astype(np.float32)
    assert_same(fit(X32, y, groups), fit(X32.astype(float), y, groups), SEARCHED)


def test_a_start_from_expected_noise_leads_to_the_same_optimum(monkeypatch):
    X, y, groups = simulate(n=400)
    for structure in STRUCTURES:
        (options,) = structure.values
        model = fit(X, y, groups, **options)
        monkeypatch.setattr("skmixed._search.heteroscedastic.search.MANY_ROWS", 100)
        other = fit(X, y, groups, **options)
        monkeypatch.undo()
        figures = [name for name in FIGURES if name != "variance_coef_covariance_"]
        assert_same(other, model, 1e-6, figures=figures)
        assert_allclose(
            other.variance_coef_covariance_, model.variance_coef_covariance_, rtol=1e-3
        )


def test_figures_whose_fourth_power_is_out_of_range_are_refused():
    X, y, groups = simulate()
    model = fit(X, y, groups)
    for scale in (1e-60, 1e60):
        other = fit(X, scale * y, groups)
        assert_allclose(other.group_variance_, scale**2 * model.group_variance_)
    for scale in (1e-80, 1e100):
        with pytest.raises(ValueError, match="a fourth power"):
            fit(X, scale * y, groups)


def test_refitting_gives_the_same_bits_and_changes_nothing():
    X, y, groups = simulate()
    copies = X.copy(), y.copy(), groups.copy()
    model, other = fit(X, y, groups), fit(X, y, groups)
    for name in FIGURES:
        assert np.array_equal(getattr(model, name), getattr(other, name)), name
    for array, copy in zip((X, y, groups), copies, strict=True):
        assert np.array_equal(array, copy)
    assert model.get_params() == HeteroscedasticGaussianRegressor().get_params()


# ------------------------------------------------------------------------- the features


def test_features_by_name_by_index_or_by_mask():
    X, y, groups = simulate()
    frame = pd.DataFrame(X, columns=list("abc")).assign(school=groups)
    expected = fit(X[:, [0, 1]], y, groups, mean_features=[0, 1], variance_features=[0])
    ways = [
        ({"mean_features": ["a", "b"], "variance_features": ["a"]}, frame),
        ({"mean_features": [1, -4], "variance_features": np.array([0])}, frame),
        (
            {
                "mean_features": np.array([True, True, False, False]),
                "variance_features": [True, False, False, False],
            },
            frame,
        ),
    ]
    for options, data in ways:
        model = fit(data, y, group_feature="school", **options)
        named = dict(zip(model.feature_names_in_, model.coef_, strict=True))
        assert named["c"] == named["school"] == 0
        assert_allclose([named["a"], named["b"]], expected.coef_, rtol=SEARCHED)
        assert_allclose(model.variance_coef_[0], expected.variance_coef_[0], rtol=1e-6)
        assert not model.variance_coef_[1:].any()
        assert model.variance_coef_covariance_.shape == (5, 5)
        assert np.count_nonzero(model.variance_coef_covariance_) == 4
        assert np.count_nonzero(model.coef_covariance_) == 9
        assert_allclose(
            model.predict(data, return_std=True),
            expected.predict(X[:, :2], groups=groups, return_std=True),
            rtol=SEARCHED,
        )


def test_no_features_at_all():
    X, y, groups = simulate()
    model = fit(X, y, groups, mean_features=[], variance_features=[])
    other = RandomInterceptRegressor().fit(np.empty((len(y), 0)), y, groups=groups)
    assert_allclose(model.log_likelihood_, other.log_likelihood_, rtol=UNITY)
    assert not model.coef_.any()
    assert not model.variance_coef_.any()
    empty = fit(np.empty((len(y), 0)), y, groups, variance_groups="fixed")
    assert empty.coef_.shape == (0,)
    assert np.isfinite(empty.predict(np.empty((3, 0)), return_std=True)).all()


@pytest.mark.parametrize(
    "options, error, message",
    [
        ({"mean_features": "a"}, TypeError, "mean_features is a list"),
        ({"variance_features": 1}, TypeError, "variance_features is a list"),
        (
            {"variance_features": ["z"]},
            ValueError,
            "variance_features='z' is not among",
        ),
        ({"mean_features": [7]}, ValueError, "mean_features=7 but X has 4 columns"),
        ({"mean_features": [0, 0]}, ValueError, "names a column twice"),
        ({"mean_features": [True]}, ValueError, "mask of 1 columns but X has 4"),
        ({"mean_features": ["school"]}, ValueError, "holds group labels"),
        ({"variance_features": [-1]}, ValueError, "holds group labels"),
        ({"mean_groups": "Random"}, ValueError, "mean_groups is 'random', 'fixed'"),
        ({"variance_groups": "random"}, ValueError, "variance_groups is 'fixed' or"),
        ({"method": "REML"}, ValueError, "method is 'reml' or 'ml'"),
        ({"alpha": -1}, ValueError, "alpha is a finite number of at least 0"),
        ({"variance_alpha": np.nan}, ValueError, "variance_alpha is a finite"),
        ({"tol": -1e-3}, ValueError, "tol is a finite"),
        ({"max_iter": 0}, ValueError, "max_iter is a positive integer"),
        ({"max_iter": 1.5}, ValueError, "max_iter is a positive integer"),
        ({"fit_intercept": 1}, TypeError, "fit_intercept is True or False"),
        ({"fit_variance_intercept": None}, TypeError, "fit_variance_intercept is"),
        ({"n_jobs": 0}, ValueError, "n_jobs is None or"),
    ],
)
def test_bad_parameters(options, error, message):
    X, y, groups = simulate()
    frame = pd.DataFrame(X, columns=list("abc")).assign(school=groups)
    with pytest.raises(error, match=message):
        fit(frame, y, group_feature="school", **options)


@pytest.mark.parametrize("mean_groups", ["random", "fixed"])
def test_bad_input_is_refused_as_by_the_first_estimator(mean_groups):
    X, y, groups = simulate()
    missing = groups.astype(float)
    missing[3] = np.nan
    bad = [
        (groups[:-1], None, "`groups` has 159 labels but X has 160 rows"),
        (missing, None, "1 of 160 group labels are missing"),
        (groups, -np.ones(160), "160 negative weights"),
        (groups, np.full(160, 1e-2), "weights sum to 1.6"),
    ]
    for labels, weight, message in bad:
        with pytest.raises(ValueError, match=message):
            fit(X, y, labels, weight, mean_groups=mean_groups)
    with pytest.raises(TypeError, match="must be a column"):
        fit(X, y, "school", mean_groups=mean_groups)


# --------------------------------------------------------------------------- the groups


@pytest.mark.parametrize("structure", STRUCTURES)
def test_without_labels(structure):
    X, y, groups = simulate()
    plain = fit(X, y, mean_groups=None)
    if structure == {"mean_groups": None, "variance_groups": None}:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model = fit(X, y, **structure)
            model.predict(X, groups=groups)
            missing = np.where(groups == 1, np.nan, groups)
            assert_same(fit(X, y, missing, **structure), plain, 1e-12)
    else:
        with pytest.warns(GroupsWarning, match="No `groups` were given") as caught:
            model = fit(X, y, **structure)
        assert len(caught) == 1
        with pytest.warns(GroupsWarning, match="Group labels are ignored"):
            model.predict(X, groups=groups)
    assert_same(model, plain, 1e-12)
    assert model.groups_.shape == model.random_intercepts_.shape == (0,)


def test_one_group_duplicates_the_intercept():
    X, y, _ = simulate()
    with pytest.warns(GroupsWarning, match="one group only") as caught:
        model = fit(X, y, np.zeros(len(y)))
    assert len(caught) == 1
    plain = fit(X, y, mean_groups=None)
    assert_allclose(model.log_likelihood_, plain.log_likelihood_, rtol=UNITY)
    assert model.group_variance_ == 0


def test_groups_of_one_row_have_no_variance():
    """math.md (214): two values of a feature tell two sums of variances."""
    X, y, _ = simulate()
    X[:, 0] = X[:, 0] > 0
    two = {"variance_features": [0]}
    with pytest.warns(
        GroupsWarning, match="All 160 groups have one row each"
    ) as caught:
        model = fit(X, y, np.arange(160), **two)
    assert len(caught) == 1
    plain = fit(X, y, mean_groups=None, **two)
    assert_same(model, plain, SEARCHED, figures=("coef_", "variance_coef_"))


def test_no_variance_between_groups_is_a_result():
    X, y, groups = simulate(group_std=0.0)
    members = one_hot(groups)
    X, y = (a - members @ np.linalg.lstsq(members, a, rcond=None)[0] for a in (X, y))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = fit(X, y, groups)
    assert model.group_variance_ == 0
    assert model.at_boundary_
    assert model.converged_
    plain = fit(X, y, mean_groups=None)
    figures = ("coef_", "variance_coef_", "log_likelihood_")
    assert_same(model, plain, SEARCHED, figures=figures)


# ---------------------------------------------------------------- where there is no end


def assert_finite(model, X, groups):
    """Every figure is finite, and standard deviations are positive."""
    for name in (*FIGURES, *EFFECTS):
        assert np.isfinite(getattr(model, name)).all(), name
    for labels in (groups, None):
        mean, std = model.predict(X, groups=labels, return_std=True)
        assert np.isfinite(mean).all()
        assert np.isfinite(std).all()
        assert (std > 0).all()


def test_a_group_of_one_row_has_the_average_log_variance():
    sizes = [1, 8, 9, 10, 1, 12, 2]
    X, y, groups = simulate(sizes=sizes)
    X[-1], y[-1] = X[-2], y[-2]  # two rows that are one
    for method in ("reml", "ml"):
        with pytest.warns(GroupsWarning) as caught:
            model = fit(
                X, y, groups, method=method, mean_groups="fixed",
                variance_groups="fixed", variance_features=[0],
            )  # fmt: skip
        messages = [str(warning.message) for warning in caught]
        assert messages[0].startswith(
            "3 of 7 groups have one row, or rows that are all"
        )
        assert len(messages) == (1 if method == "reml" else 2)
        assert_allclose(model.variance_group_effects_[[0, 4, 6]], 0, atol=1e-12)
        assert_finite(model, X, groups)
        if method == "reml":  # such groups tell nothing at all
            others = ~np.isin(groups, [0, 4, 6])
            without = fit(
                X[others], y[others], groups[others], mean_groups="fixed",
                variance_groups="fixed", variance_features=[0],
            )  # fmt: skip
            assert_allclose(model.variance_coef_, without.variance_coef_, atol=SEARCHED)
            assert_allclose(model.coef_, without.coef_, atol=SEARCHED)


@pytest.mark.parametrize("mean_groups", MODES)
def test_a_group_fitted_exactly(mean_groups):
    X, y, groups = simulate()
    y[groups == 3] = 7.0
    X[groups == 3] = 0.5
    X[np.flatnonzero(groups == 3)[0]] += 1e-3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(
            X, y, groups, mean_groups=mean_groups, variance_groups="fixed",
            variance_features=[],
        )  # fmt: skip
    assert len(caught) <= 1
    assert all("at the bounds" in str(w.message) for w in caught)
    assert_finite(model, X, groups)


@pytest.mark.parametrize("variance_groups", ["fixed", None])
def test_pairs_under_maximum_likelihood(variance_groups):
    X, y, groups = simulate(sizes=[2] * 40)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(
            X, y, groups, method="ml", mean_groups="fixed",
            variance_groups=variance_groups,
        )  # fmt: skip
    messages = " ".join(str(warning.message) for warning in caught)
    assert len(caught) <= 2
    expected = "at the bounds", "fewer than 10 rows"
    assert all(any(e in str(w.message) for e in expected) for w in caught)
    if variance_groups == "fixed":
        assert "40 of 40 groups have fewer than 10 rows" in messages
    assert_finite(model, X, groups)
    reml = fit(X, y, groups, mean_groups="fixed")
    assert np.abs(reml.variance_coef_).max() < 2


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("mean_groups", MODES)
def test_a_feature_that_is_constant_in_all_but_one_row(method, mean_groups):
    X, y, groups = simulate()
    X[:, 2] = 0.0
    X[5, 2] = 1.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fit(X, y, groups, method=method, mean_groups=mean_groups)
    assert len(caught) <= 1
    assert all("at the bounds" in str(w.message) for w in caught)
    assert_finite(model, X, groups)
    new = [[0.0, 0.0, 1e6], [1e6, 1e6, -1e6]]
    assert np.isfinite(model.predict(new, return_std=True)).all()


def test_log_variance_that_runs_to_infinity():
    X, y, _ = simulate()
    X[:, 2] = y > np.median(y)
    y = np.where(X[:, 2] > 0, y, 1.0)  # half of the rows without noise
    with pytest.warns(UserWarning, match=r"\d+ of 160 rows have a noise variance at"):
        model = fit(X, y, mean_groups=None, method="ml")
    assert_finite(model, X, None)
    constant = fit(X, y, mean_groups=None, method="ml", variance_features=[])
    lowest = model.predict_noise_std(X).min() ** 2
    assert_allclose(lowest, 1e-10 * np.exp(constant.variance_intercept_), rtol=1e-6)


@pytest.mark.filterwarnings("ignore:.*have a noise variance at the bounds:UserWarning")
def test_an_outlier_of_a_million():
    X, y, groups = simulate()
    y[7] = 1e6
    for mean_groups in MODES:
        assert_finite(fit(X, y, groups, mean_groups=mean_groups), X, groups)


@pytest.mark.parametrize("structure", STRUCTURES)
def test_constant_target_and_too_few_rows(structure):
    X, y, groups = simulate()
    with pytest.warns(UserWarning, match="y is fitted exactly") as caught:
        model = fit(X, np.full(len(y), 3.0), groups, **structure)
    assert len(caught) == 1
    assert_finite(model, X, groups)
    assert_allclose(model.predict(X), 3.0)
    X, y, groups = X[:4], y[:4], groups[:4]
    with pytest.warns(UserWarning, match="4 coefficients: no degrees of freedom left"):
        model = fit(X, y, np.arange(4) // 2, **(structure | {"method": "ml"}))
    assert_finite(model, X, groups)


def test_an_iteration_is_not_enough():
    X, y, groups = simulate()
    with pytest.warns(ConvergenceWarning, match="stopped after 1 iteration with a"):
        model = fit(X, y, groups, max_iter=1)
    assert not model.converged_
    assert model.n_iter_ == 1
    assert_finite(model, X, groups)


# -------------------------------------------------------------------------------- ridge


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.filterwarnings("ignore:.*fewer than 10 rows:skmixed.GroupsWarning")
def test_a_ridge_goes_from_all_to_nothing(method, structure):
    X, y, groups = simulate()
    options = structure | {"method": method}
    model = fit(X, y, groups, **options)
    tiny = fit(X, y, groups, alpha=1e-9, variance_alpha=1e-9, **options)
    for name in (
        "coef_",
        "variance_coef_",
        "group_effects_",
        "variance_group_effects_",
    ):
        assert_allclose(getattr(tiny, name), getattr(model, name), atol=1e-5)
    huge = fit(X, y, groups, alpha=1e12, variance_alpha=1e12, **options)
    assert np.abs(huge.coef_).max() < 1e-6
    assert np.abs(huge.variance_coef_).max() < 1e-6
    assert (np.abs(huge.variance_group_effects_) < 1e-6).all()
    alone = fit(X, y, groups, mean_features=[], variance_features=[], **options)
    if structure["mean_groups"] != "fixed" and not structure["variance_groups"]:
        assert_allclose(huge.intercept_, alone.intercept_, rtol=1e-5)
        assert_allclose(huge.variance_intercept_, alone.variance_intercept_, atol=1e-5)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_a_ridge_scales_with_the_units_of_y(method):
    X, y, groups = simulate()
    options = {"method": method, "alpha": 5.0, "variance_alpha": 0.3}
    model = fit(X, y, groups, **options)
    other = fit(X, 1e3 * y, groups, **options)
    assert_allclose(other.coef_, 1e3 * model.coef_, rtol=SEARCHED)
    assert_allclose(other.variance_coef_, model.variance_coef_, atol=SEARCHED)
    assert_allclose(other.group_variance_, 1e6 * model.group_variance_, rtol=1e-6)


def test_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 60))
    y = X[:, 0] + rng.normal(size=40)
    groups = np.arange(40) % 8
    for method in ("reml", "ml"):
        model = fit(
            X, y, groups, method=method, alpha=10.0, variance_alpha=10.0,
            variance_features=[0, 1],
        )  # fmt: skip
        assert_finite(model, X, groups)
        assert model.converged_


def test_singles_beside_penalised_effects_keep_their_noise():
    """With a ridge, rows of one-row groups leave residuals, and count."""
    rng = np.random.default_rng(0)
    groups = np.r_[np.repeat(np.arange(20), 20), 20 + np.arange(400)]
    y = rng.normal(size=800)
    X = np.zeros((800, 1))
    for method in ("reml", "ml"):
        with pytest.warns(GroupsWarning) as caught:
            model = fit(
                X, y, groups, method=method, alpha=1e8, mean_groups="fixed",
                variance_groups="fixed",
            )  # fmt: skip
        assert str(caught[0].message).startswith("400 of 420 groups have one row")
        noise = model.predict_noise_std(X, groups=groups)
        assert_allclose(np.mean(noise**2), 1.0, atol=0.15)


def test_all_groups_of_one_row_have_no_effects():
    X, y, _ = simulate(n=60)
    with pytest.warns(GroupsWarning, match="no effects of groups") as caught:
        model = fit(X, y, np.arange(60), mean_groups=None, variance_groups="fixed")
    assert len(caught) == 1
    plain = fit(X, y, mean_groups=None)
    assert_same(model, plain, SEARCHED, figures=("coef_", "variance_coef_"))


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("mean_groups", MODES)
@pytest.mark.filterwarnings("ignore:There is one group:skmixed.GroupsWarning")
def test_nothing_but_groups(method, mean_groups):
    X, y, groups = simulate()
    nothing = {"mean_features": [], "variance_features": []}
    for intercepts in (True, False):
        for labels in (groups, np.zeros(len(y))):
            model = fit(
                X, y, labels, method=method, mean_groups=mean_groups,
                fit_intercept=intercepts, fit_variance_intercept=intercepts,
                alpha=float(intercepts), **nothing,
            )  # fmt: skip
            assert_finite(model, X, labels)


def test_wide_data_stay_within_memory():
    """Not the squares of the squares of the number of columns."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 80))
    groups = np.arange(600) // 2
    y = X[:, 0] + rng.normal(size=600)
    _, problem = read_problem(
        HeteroscedasticGaussianRegressor(variance_features=range(40)), X, y, groups
    )
    theta = np.append(np.zeros(len(problem.model.average)), 1.0)
    point = evaluate(problem.model, theta)
    tracemalloc.start()
    derivatives(problem.model, point)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # C has 41 * 80 * 80 numbers; a handful of copies of it is all there should be.
    assert peak < 10 * 8 * 41 * 80**2


@pytest.mark.parametrize("mean_groups", MODES)
@pytest.mark.parametrize("ratio", [30.0, 1e3, 1e6])
def test_a_feature_that_varies_mostly_between_groups(mean_groups, ratio):
    """Beside effects of the groups only what varies within them counts."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 12)
    deviation = rng.normal(size=120)
    deviation -= one_hot(groups) @ (one_hot(groups).T @ deviation / 12)
    y = deviation + np.exp(0.3 * deviation) * rng.normal(size=120)
    x = ratio * rng.normal(size=10)[groups] + deviation
    options = {
        "mean_groups": mean_groups, "variance_groups": "fixed",
        "mean_features": [0], "variance_features": [1],
    }  # fmt: skip
    within = fit(np.column_stack([deviation, deviation]), y, groups, **options)
    model = fit(np.column_stack([deviation, x]), y, groups, **options)
    assert model.converged_
    assert model.n_iter_ < 12
    assert_allclose(model.log_likelihood_, within.log_likelihood_, atol=1e-8)
    assert_allclose(model.variance_coef_[1], within.variance_coef_[1], atol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-6])
def test_columns_dependent_through_one_that_is_constant_within_groups(scale):
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(6), 6)
    a, b, y = (
        scale * rng.normal(size=36),
        rng.normal(size=6)[groups],
        rng.normal(size=36),
    )
    for variance_groups in ("fixed", None):
        with pytest.warns(GroupsWarning, match="Constant within groups"):
            model = fit(
                np.column_stack([a, b, a + b]), y, groups, mean_groups="fixed",
                variance_groups=variance_groups, variance_features=[],
            )  # fmt: skip
        plain = fit(
            a[:, None], y, groups, mean_groups="fixed",
            variance_groups=variance_groups, variance_features=[],
        )  # fmt: skip
        assert_allclose(model.log_likelihood_, plain.log_likelihood_, atol=20)
        known = model.predict(np.column_stack([a, b, a + b]), groups=groups)
        assert_allclose(known, plain.predict(a[:, None], groups=groups), atol=1e-6)


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_an_unseen_group_without_an_intercept_of_the_log_variance(unit):
    X, y, groups = simulate()
    model = fit(
        X, unit * y, groups, variance_groups="fixed", fit_variance_intercept=False
    )
    expected = np.exp(X[:5] @ model.variance_coef_ / 2)
    assert_allclose(model.predict_noise_std(X[:5]), expected, rtol=1e-9)


def test_the_intraclass_correlation_is_that_of_the_geometric_mean_of_the_noise():
    X, y, groups = simulate()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y))
    model = HeteroscedasticGaussianRegressor()
    model.fit(X, y, groups=groups, sample_weight=weight)
    noise = model.predict_noise_std(X, groups=groups) ** 2
    typical = np.exp(np.average(np.log(noise), weights=weight))
    between = model.group_variance_
    assert_allclose(model.intraclass_correlation_, between / (between + typical))
    assert np.average(noise, weights=weight) > 1.05 * typical


# ------------------------------------------------------------------ noise far beyond y


def steep_problem():
    """A feature with extremes, along which the log-variance is extrapolated."""
    rng = np.random.default_rng(1)
    groups = rng.integers(20, size=400)
    X = rng.standard_t(2, size=(400, 4))
    y = rng.exponential(size=400) * np.exp(0.5 * np.tanh(X[:, 0]))
    return X, y + rng.normal(size=20)[groups], groups


@pytest.mark.parametrize("sparse_rows", [False, True])
def test_noise_far_beyond_the_spread_of_y_is_told_with_counts(sparse_rows):
    """Stds of up to 294,361 where y was at most 41 came without a word."""
    X, y, groups = steep_problem()
    estimator = HeteroscedasticGaussianRegressor(mean_features=[0])
    rows = sparse.csr_array(X) if sparse_rows else X
    message = "1 of 400 rows has a fitted noise standard deviation of more than 100 "
    with pytest.warns(UserWarning, match=message) as caught:
        model = estimator.fit(rows, y, groups=groups)
    assert len(caught) == 1
    assert np.sum(model.predict_noise_std(X, groups=groups) > 100 * y.std()) == 1
    estimator.set_params(variance_alpha=1e3).fit(rows, y, groups=groups)  # silent


def test_the_figures_of_a_summary_average_the_noise_in_the_same_way():
    """R^2 was 0.001 beside an intraclass correlation of 0.936."""
    X, y, groups = steep_problem()
    with pytest.warns(UserWarning, match="fitted noise standard deviation"):
        model = fit(X, y, groups, mean_features=[0])
    summary, psi = model.summary(), model.group_variance_
    log_v = 2 * np.log(model.predict_noise_std(X, groups=groups))
    typical = np.exp(log_v.mean())
    assert typical < 0.1 * np.exp(log_v).mean()  # so that the means are told apart
    assert_allclose(model.intraclass_correlation_, psi / (psi + typical), rtol=1e-9)
    share = summary.r2_conditional - summary.r2_marginal
    by_groups = share / (1 - summary.r2_marginal)
    assert_allclose(by_groups, model.intraclass_correlation_, rtol=1e-9)
    components = summary.variance_components
    assert components.names == ("groups", "noise (geometric mean)")
    assert_allclose(components["variance"][1], typical, rtol=1e-9)
