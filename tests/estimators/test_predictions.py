"""Predictions of both estimators: expected values, and groups that nobody passed."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import block_covariance, condition, simulate, with_intercept
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    PopulationPredictionWarning,
    RandomInterceptRegressor,
    metrics,
)
from skmixed.datasets import load_sleepstudy
from skmixed.model_selection import cross_val_predict_groups, cross_validate_groups

X, Y, GROUPS = simulate(n=90)
N_GROUPS = 12
MODELS = [
    RandomInterceptRegressor(),
    HeteroscedasticGaussianRegressor(variance_features=[0]),
    HeteroscedasticGaussianRegressor(
        variance_features=[0],
        variance_alpha=1.0,
        mean_groups="fixed",
        variance_groups="fixed",
    ),
]
# The dense oracle's normal equations square condition numbers of some hundreds.
DENSE = 1e-9
# The optimum of lme4's search, which stops at relative 1e-6 of its parameter.
LME4 = 1e-5
STORED = Path(__file__).parents[1] / "stored"


def fitted(model):
    return sklearn.clone(model).fit(X, Y, groups=GROUPS)


# ----------------------------------------------------------------------- predict_mean


@pytest.mark.parametrize("model", MODELS[:2], ids=str)
def test_expected_values_are_those_of_the_dense_oracle(model):
    model = fitted(model)
    labels = np.append(GROUPS[:20], [77, 78, 77])
    rows = X[:23]
    noise = model.predict_noise_std(X, groups=GROUPS) ** 2
    psi = model.group_variance_
    V = np.diag(noise) + block_covariance(GROUPS, 0.0, psi)
    V_new = block_covariance(labels, 0.0, psi)  # without noise
    cross = psi * (labels[:, None] == GROUPS)
    D, D_new = with_intercept(X), with_intercept(rows)
    expected = condition(D, Y, V, D_new, V_new, cross)
    mean, std = model.predict_mean(rows, groups=labels, return_std=True)
    assert_allclose(mean, expected[0], rtol=DENSE)
    assert_allclose(std, np.sqrt(np.diag(expected[1])), rtol=DENSE)


def test_standard_errors_of_expected_values_are_lme4s():
    stored = json.loads((STORED / "mean_std.json").read_text())
    days, reaction, subjects = load_sleepstudy(return_X_y_groups=True)
    model = RandomInterceptRegressor().fit(days, reaction, groups=subjects)
    labels = [-1 if s == "new" else int(s) for s in stored["subject"]]
    rows = np.array(stored["day"])[:, None]
    mean, std = model.predict_mean(rows, groups=labels, return_std=True)
    assert_allclose(mean, stored["mean"], rtol=LME4)
    assert_allclose(std, stored["std"], rtol=LME4)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_noise_is_the_difference_to_a_new_observation(model):
    model = fitted(model)
    labels = np.where(np.arange(90) % 3, GROUPS, 55)
    mean, std = model.predict_mean(X, groups=labels, return_std=True)
    new, new_std = model.predict(X, groups=labels, return_std=True)
    noise_std = model.predict_noise_std(X, groups=labels)
    assert_array_equal(mean, new)
    assert_array_equal(mean, model.predict_mean(X, groups=labels))
    assert_allclose(np.hypot(std, noise_std), new_std, rtol=1e-12)


def test_expected_values_of_dask_arrays():
    array = pytest.importorskip("dask.array")
    model = fitted(MODELS[0])
    rows = array.from_array(X, chunks=(30, 3))
    labels = array.from_array(GROUPS, chunks=30)
    lazy = model.predict_mean(rows, groups=labels, return_std=True)
    expected = model.predict_mean(X, groups=GROUPS, return_std=True)
    for got, figure in zip(lazy, expected, strict=True):
        assert_allclose(got.compute(), figure, rtol=1e-12)


@pytest.mark.parametrize("flag", ["mean", 1, None, np.array([True])])
def test_a_flag_is_true_or_false(flag):
    """`return_std="mean"` was taken for True."""
    model = fitted(MODELS[0])
    for method, name in [
        (model.predict, "return_std"),
        (model.predict, "return_cov"),
        (model.predict_mean, "return_std"),
    ]:
        with pytest.raises(TypeError, match=f"{name} is True or False, got"):
            method(X, groups=GROUPS, **{name: flag})
    mean, std = model.predict(X, groups=GROUPS, return_std=np.True_)
    assert mean.shape == std.shape


# --------------------------------------------------------------- asked without groups

SENTENCE = (
    "Fitted with 12 groups, asked without `groups`: every row is predicted as a new "
    "group of its own. Pass `groups`, or `groups=np.full(len(X), None)` for new "
    "groups. Where a tool of scikit-learn drops them, take the scorers of "
    "skmixed.metrics, the functions of skmixed.model_selection, or a label column in X."
)
QUESTIONS = {
    "predict": lambda model, **groups: model.predict(X, **groups),
    "predict with std": lambda model, **groups: model.predict(
        X, return_std=True, **groups
    ),
    "predict_mean": lambda model, **groups: model.predict_mean(X, **groups),
    "predict_interval": lambda model, **groups: model.predict_interval(
        X, distribution="t", **groups
    ),
    "sample_y": lambda model, **groups: model.sample_y(X, **groups),
    "density": lambda model, **groups: model.log_predictive_density(X, Y, **groups),
    "score": lambda model, **groups: model.score(X, Y, **groups),
}


def population_warnings(call):
    """Warnings of `call`; all of them are about the population's predictions."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PopulationPredictionWarning)
        call()
    assert all(w.category is PopulationPredictionWarning for w in caught)
    assert all(w.filename == __file__ or "sklearn" in w.filename for w in caught)
    return [str(w.message) for w in caught]


@pytest.mark.parametrize("question", QUESTIONS)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_question_without_groups_warns_once(model, question):
    model, ask = fitted(model), QUESTIONS[question]
    assert population_warnings(lambda: ask(model)) == [SENTENCE]
    assert population_warnings(lambda: ask(model, groups=None)) == [SENTENCE]
    for missing in (np.full(90, None), np.full(90, np.nan), [None] * 90, GROUPS):
        assert not population_warnings(lambda some=missing: ask(model, groups=some))


def test_an_interval_of_missing_labels_is_that_of_no_labels():
    model = fitted(MODELS[0])
    with pytest.warns(PopulationPredictionWarning):
        without = model.predict(X, return_std=True)
    missing = model.predict(X, groups=np.full(90, None), return_std=True)
    assert_array_equal(without, missing)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_noise_is_asked_for_without_groups_where_it_is_the_same(model):
    depends = model.get_params().get("variance_groups") == "fixed"
    model = fitted(model)
    found = population_warnings(lambda: model.predict_noise_std(X))
    assert found == [SENTENCE] * depends


def test_a_model_that_knows_no_groups_is_silent():
    with pytest.warns(GroupsWarning, match="No `groups` were given"):
        without = RandomInterceptRegressor().fit(X, Y)
    independent = HeteroscedasticGaussianRegressor(mean_groups=None, method="ml")
    independent.fit(X, Y, groups=GROUPS)
    column = RandomInterceptRegressor(group_feature=-1)
    column.fit(np.column_stack([X, GROUPS]), Y)
    for model, rows in [
        (without, X),
        (independent, X),
        (column, np.column_stack([X, GROUPS])),
    ]:
        assert not population_warnings(lambda m=model, r=rows: m.predict(r))


def test_one_group_is_one_group():
    with pytest.warns(GroupsWarning, match="one group only"):
        model = RandomInterceptRegressor().fit(X, Y, groups=np.zeros(90))
    (message,) = population_warnings(lambda: model.predict(X))
    assert message.startswith("Fitted with 1 group, asked")


def test_it_can_be_filtered_alone():
    assert issubclass(PopulationPredictionWarning, GroupsWarning)


N_FOLDS = 3
PIPE = make_pipeline(StandardScaler(), RandomInterceptRegressor())
GRID = {"randominterceptregressor__method": ["reml", "ml"]}
TOOLS = {
    "cross_val_predict": lambda: cross_val_predict(
        PIPE, X, Y, params={"groups": GROUPS}, cv=KFold(N_FOLDS)
    ),
    "cross_val_score": lambda: cross_val_score(
        PIPE, X, Y, params={"groups": GROUPS}, cv=GroupKFold(N_FOLDS), scoring="r2"
    ),
    "cross_validate": lambda: cross_validate(
        PIPE, X, Y, params={"groups": GROUPS}, cv=KFold(N_FOLDS), scoring="r2"
    ),
    "GridSearchCV": lambda: GridSearchCV(
        PIPE,
        {"randominterceptregressor__alpha": [0.0]},
        scoring="r2",
        cv=KFold(N_FOLDS),
    ).fit(X, Y, groups=GROUPS),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_that_drop_groups_warn_once_per_fold(tool):
    """They were silent, with an R^2 of 0.21 where it was 0.98."""
    with sklearn.config_context(enable_metadata_routing=True):
        found = population_warnings(TOOLS[tool])
    assert len(found) == N_FOLDS
    assert all("asked without `groups`" in message for message in found)


READY = [
    metrics.neg_nll_scorer,
    metrics.neg_crps_scorer,
    metrics.neg_joint_nll_scorer,
    metrics.neg_rmse_scorer,
    metrics.r2_scorer,
]


@pytest.mark.parametrize("scorer", READY, ids=str)
def test_ready_scorers_never_warn_of_the_population(scorer):
    """Without labels they say that themselves, by a GroupsWarning of their own."""
    with sklearn.config_context(enable_metadata_routing=True):
        options = {"params": {"groups": GROUPS}, "cv": KFold(N_FOLDS)}
        assert not population_warnings(
            lambda: cross_val_score(PIPE, X, Y, scoring=scorer, **options)
        )
        assert not population_warnings(
            lambda: learning_curve(
                PIPE, X, Y, scoring=scorer, train_sizes=[0.8], **options
            )
        )
        search = GridSearchCV(PIPE, GRID, scoring=scorer, cv=KFold(N_FOLDS))
        assert not population_warnings(lambda: search.fit(X, Y, groups=GROUPS))
    with pytest.warns(GroupsWarning, match="got no `groups`") as caught:
        scorer(fitted(MODELS[0]), X, Y)
    assert [w.category for w in caught] == [GroupsWarning]


def test_our_own_comparisons_are_silent():
    models = {"a": PIPE, "b": HeteroscedasticGaussianRegressor(variance_features=[])}
    assert not population_warnings(
        lambda: cross_validate_groups(models, X, Y, groups=GROUPS)
    )
    assert not population_warnings(
        lambda: cross_val_predict_groups(PIPE, X, Y, groups=GROUPS)
    )


def test_a_dask_collection_without_groups_warns_once():
    array = pytest.importorskip("dask.array")
    model, rows = fitted(MODELS[0]), array.from_array(X, chunks=(30, 3))
    assert population_warnings(lambda: model.predict(rows).compute()) == [SENTENCE]
