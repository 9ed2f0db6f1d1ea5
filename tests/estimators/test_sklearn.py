"""The estimator as a citizen of scikit-learn."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.metadata_routing import get_routing_for_object

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)

EXACT = 1e-12  # the same computation on the same rows


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def data():
    return simulate(n=200, group_std=3.0)


CHECKED = [
    RandomInterceptRegressor(),
    RandomInterceptRegressor(group_feature=-1),
    RandomInterceptRegressor(method="ml", alpha=1.0),
    HeteroscedasticGaussianRegressor(),
    HeteroscedasticGaussianRegressor(group_feature=-1),
    HeteroscedasticGaussianRegressor(method="ml", alpha=1.0, variance_alpha=1.0),
    HeteroscedasticGaussianRegressor(variance_groups="fixed"),
    *(
        HeteroscedasticGaussianRegressor(mean_groups=mean, variance_groups=variance)
        for mean in ("fixed", None)
        for variance in ("fixed", None)
    ),
]


# The checks fit without groups, and tiny data.
@pytest.mark.filterwarnings("ignore:No `groups` were given:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.*have one row each:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
@pytest.mark.filterwarnings("ignore:.*no degrees of freedom left:UserWarning")
@pytest.mark.filterwarnings("ignore:.*have a noise variance at the bounds:UserWarning")
@pytest.mark.filterwarnings("ignore:.*a fitted noise standard deviation:UserWarning")
@pytest.mark.filterwarnings(
    "ignore:Newton's method stopped:sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input")
@pytest.mark.parametrize(
    "estimator, enabled",
    [(estimator, False) for estimator in CHECKED]
    + [(estimator, True) for estimator in CHECKED[:5]],
    ids=str,
)
def test_check_estimator(estimator, enabled):
    with sklearn.config_context(enable_metadata_routing=enabled):
        results = check_estimator(estimator, on_fail=None)
    outcome = {result["check_name"]: result["status"] for result in results}
    assert len(outcome) > 40
    # The array API is not supported, so that its check has nothing to look at.
    assert set(outcome.values()) <= {"passed", "skipped"}, outcome
    skipped = [name for name, status in outcome.items() if status == "skipped"]
    assert set(skipped) <= {"check_array_api_input"}


def test_requests_need_not_be_set():
    request = get_routing_for_object(RandomInterceptRegressor())
    assert request.consumes("fit", ["groups", "sample_weight"]) == {"groups"}
    assert request.consumes("score", ["groups"]) == {"groups"}
    flags = {"groups", "return_std", "return_cov"}
    assert request.consumes("predict", flags) == flags


def test_the_second_door_does_not_request_groups():
    model = RandomInterceptRegressor(group_feature=-1)
    request = get_routing_for_object(model)
    for method in ("fit", "score", "predict"):
        assert "groups" not in request.consumes(method, ["groups"])
    assert request.consumes("predict", ["return_std"]) == {"return_std"}


def with_labels(X, groups):
    return pd.DataFrame(X, columns=list("abc")).assign(school=groups)


def second_door_inputs(X, groups):
    names = np.array([f"s{g}" for g in groups], dtype=object)
    return {
        "frame, strings": (with_labels(X, names), "school"),
        "frame, category": (with_labels(X, names).astype({"school": "category"}), 3),
        "frame, first": (with_labels(X, names)[["school", "a", "b", "c"]], 0),
        "array": (np.column_stack([X, groups]), -1),
        "object array": (np.column_stack([X.astype(object), names]), -1),
        "list": ([[*row, g] for row, g in zip(X.tolist(), names, strict=True)], 3),
        "sparse": (sparse.csr_array(np.column_stack([groups + 1, X])), 0),
    }


@pytest.mark.parametrize("kind", second_door_inputs(np.zeros((1, 3)), np.zeros(1)))
def test_both_doors_lead_to_the_same_model(kind, data):
    X, y, groups = data
    X_labelled, door = second_door_inputs(X, groups)[kind]
    expected = RandomInterceptRegressor().fit(X, y, groups=groups)
    model = RandomInterceptRegressor(group_feature=door).fit(X_labelled, y)
    others = np.delete(np.arange(4), door if isinstance(door, int) else 3)
    assert model.n_features_in_ == 4
    assert_allclose(model.coef_[others], expected.coef_, rtol=1e-9)
    assert np.count_nonzero(model.coef_) == 3
    assert model.coef_covariance_.shape == (5, 5)
    assert np.count_nonzero(model.coef_covariance_) == 16
    assert_allclose(
        model.predict(X_labelled, return_std=True),
        expected.predict(X, groups=groups, return_std=True),
        rtol=1e-9,
    )
    assert_allclose(model.score(X_labelled, y), expected.score(X, y, groups=groups))


def test_a_frame_tells_its_names(data):
    X, y, groups = data
    frame = with_labels(X, groups)
    model = RandomInterceptRegressor(group_feature="school").fit(frame, y)
    named = dict(zip(model.feature_names_in_, model.coef_, strict=True))
    assert named["school"] == 0
    assert_allclose([named[c] for c in "abc"], [1, 2, 3], atol=0.5)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_not_fitted():
    with pytest.raises(NotFittedError):
        RandomInterceptRegressor().predict([[1.0]])


def test_clone_and_parameters():
    model = RandomInterceptRegressor(method="ml", alpha=2.0, group_feature="g")
    assert clone(model).get_params() == model.get_params()
    assert clone(model).set_params(alpha=0).alpha == 0


@pytest.mark.usefixtures("routing")
def test_pipeline_routes_groups_and_the_std(data):
    X, y, groups = data
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    pipe.fit(X, y, groups=groups)
    alone = RandomInterceptRegressor().fit(X, y, groups=groups)
    got = pipe.predict(X, groups=groups, return_std=True)
    assert_allclose(got, alone.predict(X, groups=groups, return_std=True), rtol=1e-9)
    score = pipe.score(X, y, groups=groups)
    assert_allclose(score, alone.score(X, y, groups=groups), rtol=1e-9)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_a_search_over_what_groups_are(data, n_jobs):
    X, y, groups = data
    name = "heteroscedasticgaussianregressor"
    grid = {
        f"{name}__mean_groups": ["random", "fixed", None],
        f"{name}__variance_groups": ["fixed", None],
    }
    pipe = make_pipeline(
        StandardScaler(), HeteroscedasticGaussianRegressor(variance_features=[0])
    )
    cv = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(pipe, grid, cv=cv, n_jobs=n_jobs, error_score="raise")
    search.fit(X, y, groups=groups)
    assert search.best_params_[f"{name}__mean_groups"] is not None
    best = search.best_estimator_.predict(X[:3], groups=groups[:3], return_std=True)
    assert (best[1] > 0).all()


def test_one_instance_forgets_its_last_fit(data):
    X, y, groups = data
    model = HeteroscedasticGaussianRegressor(variance_groups="fixed")
    model.fit(X, y, groups=groups)
    model.set_params(mean_groups=None, variance_groups=None).fit(X[:, :2], y)
    fresh = clone(model).fit(X[:, :2], y)
    for name, value in vars(fresh).items():
        if name.endswith("_") and not name.startswith("_"):
            assert np.array_equal(getattr(model, name), value), name
    assert set(vars(model)) == set(vars(fresh))


def test_a_pickle_predicts_the_same(data):
    X, y, groups = data
    for structure in ("random", "fixed"):
        model = HeteroscedasticGaussianRegressor(mean_groups=structure)
        model.fit(X, y, groups=groups)
        other = pickle.loads(pickle.dumps(model))
        assert np.array_equal(
            other.predict(X, groups=groups, return_std=True),
            model.predict(X, groups=groups, return_std=True),
        )
        # Figures of groups and columns, not of rows.
        assert len(pickle.dumps(model)) < 30_000


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("cv", [GroupKFold(4), KFold(4, shuffle=True, random_state=0)])
def test_cross_val_score_equals_folds_by_hand(data, cv):
    X, y, groups = data
    model = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    scores = cross_val_score(
        model, X, y, cv=cv, params={"groups": groups}, error_score="raise"
    )
    expected = []
    by_group = groups if isinstance(cv, GroupKFold) else None
    for train, test in cv.split(X, y, by_group):
        fold = clone(model).fit(X[train], y[train], groups=groups[train])
        expected.append(fold.score(X[test], y[test], groups=groups[test]))
    assert_allclose(scores, expected, rtol=EXACT)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [None, 2])
def test_grid_search_over_a_pipeline(data, n_jobs):
    X, y, groups = data
    grid = {"randominterceptregressor__alpha": [0.0, 1.0, 1e6]}
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    search = GridSearchCV(pipe, grid, cv=GroupKFold(4), n_jobs=n_jobs)
    search.fit(X, y, groups=groups)
    assert search.best_params_["randominterceptregressor__alpha"] < 1e6
    best = search.best_estimator_.predict(X[:3], groups=groups[:3], return_std=True)
    assert (best[1] > 0).all()


def test_the_second_door_needs_no_routing(data):
    X, y, groups = data
    frame = with_labels(X, [f"s{g}" for g in groups])
    model = RandomInterceptRegressor(group_feature="school")
    cv = KFold(4, shuffle=True, random_state=0)
    predicted = cross_val_predict(model, frame, y, cv=cv)
    expected = np.empty(len(y))
    for train, test in cv.split(X):
        fold = RandomInterceptRegressor().fit(X[train], y[train], groups=groups[train])
        expected[test] = fold.predict(X[test], groups=groups[test])
    assert_allclose(predicted, expected, rtol=1e-9)
    keep = ColumnTransformer(
        [("scale", StandardScaler(), ["a", "b", "c"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    scores = cross_val_score(make_pipeline(keep, model), frame, y, cv=cv, scoring="r2")
    known = y - predicted
    assert scores.mean() > 1 - known.var() / y.var() - 0.05


@pytest.mark.usefixtures("routing")
def test_the_second_door_beside_a_splitter_with_groups_of_its_own(data):
    X, y, groups = data
    frame = with_labels(X, groups)
    district = groups // 3
    model = RandomInterceptRegressor(group_feature="school")
    cv = GroupKFold(3)
    scores = cross_val_score(
        model, frame, y, cv=cv, params={"groups": district}, error_score="raise"
    )
    expected = [
        clone(model).fit(frame.iloc[train], y[train]).score(frame.iloc[test], y[test])
        for train, test in cv.split(X, y, district)
    ]
    assert_allclose(scores, expected, rtol=EXACT)


def test_a_search_with_routing_off_is_loud(data):
    """It hands groups to the splitter alone; every fold says so, in one sentence."""
    X, y, groups = data
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        cross_val_score(
            RandomInterceptRegressor(), X, y, groups=groups, cv=GroupKFold(4)
        )
    assert [w.category for w in record] == [GroupsWarning] * 4
    assert len({str(w.message) for w in record}) == 1
