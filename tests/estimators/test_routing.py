"""Who hands `groups` to whom: the table of docs/groups.md, door by door.

"First door": `groups` as metadata, routing on.  "Second door": a column of X,
`group_feature`, routing off.  What scikit-learn cannot do is here as well, so that the
table is known to be wrong when that changes.
"""

import pickle
import threading
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import sparse
from scipy.stats import multivariate_normal
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    HistGradientBoostingRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SequentialFeatureSelector
from sklearn.frozen import FrozenEstimator
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.inspection import partial_dependence, permutation_importance
from sklearn.linear_model import BayesianRidge, LassoCV, LinearRegression, RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
    validation_curve,
)
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    OneHotEncoder,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)
from skmixed.metrics import (
    gaussian_crps,
    gaussian_nll,
    interval_score,
    joint_gaussian_nll,
    make_distribution_scorer,
    neg_crps_scorer,
    neg_joint_nll_scorer,
    neg_nll_scorer,
    neg_rmse_scorer,
    pit_values,
    r2_scorer,
)
from skmixed.model_selection import WithinGroupKFold

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

EXACT = 1e-12  # the same computation on the same rows
MODELS = [
    RandomInterceptRegressor(),
    HeteroscedasticGaussianRegressor(variance_features=[0]),
]
CVS = [GroupKFold(3), WithinGroupKFold(3)]
SCORERS = [
    neg_nll_scorer,
    neg_crps_scorer,
    neg_joint_nll_scorer,
    r2_scorer,
    neg_rmse_scorer,
    make_distribution_scorer(interval_score, coverage=0.5),
]

X, Y, GROUPS = simulate(n=150, group_std=3.0)
DISTRICT = GROUPS // 3
WITH_LABEL = np.column_stack([X, GROUPS])
METADATA = {"groups": GROUPS}
COLUMN = RandomInterceptRegressor(group_feature=-1)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def expected_score(scorer, model, X, y, groups):
    """The score that the scorer stands for, without it."""
    mean, std = model.predict(X, groups=groups, return_std=True)
    if scorer is neg_nll_scorer:
        z = (y - mean) / std
        return np.mean(-0.5 * np.log(2 * np.pi) - np.log(std) - 0.5 * z**2)
    if scorer is neg_joint_nll_scorer:
        return model.log_predictive_density(X, y, groups=groups) / len(y)
    if scorer is neg_crps_scorer:
        return -gaussian_crps(y, mean, std)
    if scorer is r2_scorer:
        return r2_score(y, mean)
    if scorer is neg_rmse_scorer:
        return -np.sqrt(np.mean((y - mean) ** 2))
    return -interval_score(y, mean, std, coverage=0.5)


def fold_scores(scorer, model, cv, split_by=GROUPS, scaled=False):
    """Scores of folds fitted and predicted by hand, through the first door."""
    scores = []
    for train, test in cv.split(X, Y, split_by):
        X_train, X_test = X[train], X[test]
        if scaled:
            center, width = X_train.mean(axis=0), X_train.std(axis=0)
            X_train, X_test = (X_train - center) / width, (X_test - center) / width
        fold = clone(model).fit(X_train, Y[train], groups=GROUPS[train])
        scores.append(expected_score(scorer, fold, X_test, Y[test], GROUPS[test]))
    return np.array(scores)


def second_door(model):
    return clone(model).set_params(group_feature=-1)


# ----------------------------------------------------------------------------- scorers


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("cv", CVS, ids=str)
@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_scorers_in_cross_val_score(model, scorer, cv):
    got = cross_val_score(
        model, X, Y, cv=cv, scoring=scorer, params=METADATA, error_score="raise"
    )
    assert_allclose(got, fold_scores(scorer, model, cv), rtol=EXACT)


@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_second_door_with_routing_off(model, scorer):
    cv = GroupKFold(3)
    got = cross_val_score(
        second_door(model), WITH_LABEL, Y, cv=cv, groups=GROUPS, scoring=scorer
    )
    assert_allclose(got, fold_scores(scorer, model, cv), rtol=EXACT)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_the_second_door_beside_another_grouping_of_the_splitter(model, scorer):
    cv = GroupKFold(3)
    got = cross_val_score(
        second_door(model),
        WITH_LABEL,
        Y,
        cv=cv,
        scoring=scorer,
        params={"groups": DISTRICT},
        error_score="raise",
    )
    expected = fold_scores(scorer, model, cv, split_by=DISTRICT)
    assert_allclose(got, expected, rtol=EXACT)


@pytest.mark.usefixtures("routing")
def test_another_grouping_of_the_splitter_through_its_alias():
    cv = GroupKFold(3)
    got = cross_val_score(
        MODELS[0],
        X,
        Y,
        cv=GroupKFold(3).set_split_request(groups="district"),
        scoring=neg_joint_nll_scorer,
        params={"groups": GROUPS, "district": DISTRICT},
        error_score="raise",
    )
    expected = fold_scores(neg_joint_nll_scorer, MODELS[0], cv, split_by=DISTRICT)
    assert_allclose(got, expected, rtol=EXACT)


@pytest.mark.usefixtures("routing")
def test_aliases_of_model_and_scorer():
    model = RandomInterceptRegressor()
    model.set_fit_request(groups="school").set_predict_request(groups="school")
    cv = GroupKFold(3)
    got = cross_val_score(
        make_pipeline(StandardScaler(), model),
        X,
        Y,
        cv=cv,
        scoring=neg_nll_scorer.set_score_request(groups="school"),
        params={"groups": DISTRICT, "school": GROUPS},
        error_score="raise",
    )
    expected = fold_scores(neg_nll_scorer, MODELS[0], cv, DISTRICT, scaled=True)
    assert_allclose(got, expected, rtol=EXACT)


@pytest.mark.usefixtures("routing")
def test_several_metrics_at_once():
    scorers = {repr(scorer): scorer for scorer in SCORERS}
    got = cross_validate(
        make_pipeline(StandardScaler(), MODELS[0]),
        X,
        Y,
        cv=CVS[1],
        scoring=scorers,
        params=METADATA,
        error_score="raise",
    )
    for name, scorer in scorers.items():
        expected = fold_scores(scorer, MODELS[0], CVS[1], scaled=True)
        assert_allclose(got[f"test_{name}"], expected, rtol=EXACT)


def test_scorers_survive_a_pickle_and_a_clone():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    for scorer in SCORERS:
        expected = scorer(model, X, Y, groups=GROUPS)
        assert pickle.loads(pickle.dumps(scorer))(model, X, Y, groups=GROUPS) == (
            expected
        )
        search = clone(GridSearchCV(MODELS[0], {}, scoring=scorer))
        assert search.scoring(model, X, Y, groups=GROUPS) == expected


def test_a_ready_scorer_cannot_be_changed():
    other = neg_nll_scorer.set_score_request(groups="school")
    assert other.requests["groups"] == "school"
    assert neg_nll_scorer.requests["groups"] is True
    with pytest.raises(AttributeError):
        neg_nll_scorer.sign = 1
    with pytest.raises(TypeError, match="takes groups and sample_weight, not weight"):
        neg_nll_scorer.set_score_request(weight=True)


def test_scorers_tell_what_they_are():
    assert repr(neg_crps_scorer) == "distribution scorer(-gaussian_crps)"
    assert "coverage=0.5" in repr(SCORERS[-1])
    assert len({repr(scorer) for scorer in SCORERS}) == len(SCORERS)


def test_scorers_are_keys_and_go_into_other_estimators():
    assert len({*SCORERS, neg_nll_scorer}) == len(SCORERS)
    model = HistGradientBoostingRegressor(
        max_iter=3, early_stopping=True, scoring=neg_rmse_scorer
    )
    assert model.fit(X, Y).n_iter_ == 3


def test_a_loss_is_checked_when_the_scorer_is_made():
    for loss, options in (
        ("crps", {}),
        (joint_gaussian_nll, {}),
        (gaussian_crps, {"coverge": 0.5}),
    ):
        with pytest.raises(TypeError, match="loss"):
            make_distribution_scorer(loss, **options)
    with pytest.raises(TypeError, match="greater_is_better is True or False"):
        make_distribution_scorer(gaussian_crps, greater_is_better="no")
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    with pytest.raises(TypeError, match=r"loss of shape \(150,\)"):
        make_distribution_scorer(pit_values)(model, X, Y, groups=GROUPS)
    with pytest.raises(TypeError, match="takes no sample_weight"):
        neg_joint_nll_scorer(model, X, Y, groups=GROUPS, sample_weight=abs(Y))


@pytest.mark.usefixtures("routing")
def test_weights_of_fit_and_score():
    weight = np.arange(len(Y)) % 3
    model = RandomInterceptRegressor().set_fit_request(sample_weight=True)
    got = cross_val_score(
        model,
        X,
        Y,
        cv=CVS[1],
        scoring=neg_crps_scorer.set_score_request(sample_weight=True),
        params={"groups": GROUPS, "sample_weight": weight},
        error_score="raise",
    )
    expected = []
    for train, test in CVS[1].split(X, Y, GROUPS):
        train, test = (np.repeat(rows, weight[rows]) for rows in (train, test))
        fold = RandomInterceptRegressor().fit(X[train], Y[train], groups=GROUPS[train])
        score = expected_score(neg_crps_scorer, fold, X[test], Y[test], GROUPS[test])
        expected.append(score)
    assert_allclose(got, expected, rtol=1e-9)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("scorer", SCORERS, ids=repr)
def test_a_foreign_model_gets_no_groups(scorer):
    """A joint scorer takes the word of a model with a std for each row alone."""
    model = make_pipeline(StandardScaler(), BayesianRidge())
    got = cross_val_score(
        model, X, Y, cv=CVS[0], scoring=scorer, params=METADATA, error_score="raise"
    )
    expected = []
    by_row = neg_nll_scorer if scorer is neg_joint_nll_scorer else scorer
    for train, test in CVS[0].split(X, Y, GROUPS):
        fold = clone(model).fit(X[train], Y[train])
        fold.predict = lambda X, groups, return_std, fold=fold: fold[-1].predict(
            fold[:-1].transform(X), return_std=return_std
        )
        expected.append(expected_score(by_row, fold, X[test], Y[test], None))
    assert_allclose(got, expected, rtol=1e-10)


def test_a_foreign_joint_distribution_is_taken_as_it_is():
    model = GaussianProcessRegressor(RBF() + WhiteKernel(), optimizer=None).fit(X, Y)
    got = neg_joint_nll_scorer(model, X[:9], Y[:9])
    mean, cov = model.predict(X[:9], return_cov=True)
    assert_allclose(got, multivariate_normal(mean, cov).logpdf(Y[:9]) / 9, rtol=1e-9)


def test_a_singular_joint_distribution_has_no_density():
    model = GaussianProcessRegressor(optimizer=None).fit(X[:20], Y[:20])
    with pytest.raises(ValueError, match="not positive definite"):
        neg_joint_nll_scorer(model, np.zeros((5, 3)), Y[:5])


def test_a_joint_distribution_of_large_condition_keeps_its_directions():
    x = np.linspace(0, 1, 40)[:, None]
    kernel = 1e8 * RBF(1.0) + WhiteKernel(1e-4)
    model = GaussianProcessRegressor(kernel, optimizer=None, alpha=1e-12)
    model.fit(x[::20], np.sin(x[::20, 0]))
    y = model.sample_y(x, random_state=0)[:, 0]
    _, cov = model.predict(x, return_cov=True)
    # The density at a draw is the entropy, up to chance.
    expected = -0.5 * (np.linalg.slogdet(2 * np.pi * cov)[1] + 40) / 40
    assert_allclose(neg_joint_nll_scorer(model, x, y), expected, atol=0.5)


class DropLast(TransformerMixin, BaseEstimator):
    """A transformer without state, which cannot tell whether it is fitted."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X[:, :-1]


def test_a_transformer_without_state():
    pipe = make_pipeline(DropLast(), BayesianRidge()).fit(WITH_LABEL, Y)
    expected = BayesianRidge().fit(X, Y).score(X, Y)
    assert_allclose(r2_scorer(pipe, WITH_LABEL, Y), expected, rtol=1e-10)


@pytest.mark.parametrize(
    "model",
    [
        RidgeCV(),
        AdaBoostRegressor(BayesianRidge(), n_estimators=2, random_state=0),
        StackingRegressor([("one", BayesianRidge())]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_that_cannot_tell_their_requests(model):
    model = make_pipeline(StandardScaler(), model).fit(X, Y)
    got = r2_scorer(model, X, Y, groups=GROUPS)
    assert_allclose(got, r2_score(Y, model.predict(X)), rtol=1e-12)


@pytest.mark.usefixtures("routing")
def test_an_alias_inside_a_tool_that_hands_it_on():
    inner = RandomInterceptRegressor()
    inner.set_fit_request(groups="school").set_predict_request(groups="school")
    tool = TransformedTargetRegressor(inner).fit(X, Y, school=GROUPS)
    scorer = r2_scorer.set_score_request(groups="school")
    expected = r2_score(Y, tool.predict(X, school=GROUPS))
    assert_allclose(scorer(tool, X, Y, groups=GROUPS), expected, rtol=EXACT)


def test_no_std_is_made_up():
    model = LinearRegression().fit(X, Y)
    message = "LinearRegression gives no standard deviation.*r2_scorer"
    for scorer in (neg_nll_scorer, neg_joint_nll_scorer):
        with pytest.raises(TypeError, match=message):
            scorer(model, X, Y)
    assert_allclose(r2_scorer(model, X, Y), model.score(X, Y), rtol=1e-14)


# ---------------------------------------------------------------------- silent traps


def only_message(record):
    assert {w.category for w in record} == {GroupsWarning}
    (message,) = {str(w.message) for w in record}
    assert message.count(". ") == 0  # one sentence
    return message


def test_a_scorer_without_labels_is_loud():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    with pytest.warns(GroupsWarning) as record:
        got = neg_nll_scorer(model, X, Y)
    assert "knows 12 groups but got no `groups`" in only_message(record)
    assert_allclose(got, expected_score(neg_nll_scorer, model, X, Y, None))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", GroupsWarning)  # one filter is enough
        neg_nll_scorer(model, X, Y)


class TakesGroups(RegressorMixin, BaseEstimator):
    """A user's estimator, which has not said that it requests groups."""

    def fit(self, X, y, groups=None):
        self.coef_ = 1.0
        return self

    def predict(self, X, groups=None):
        return np.zeros(len(X)) if groups is None else np.asarray(groups, float)


def test_an_estimator_that_does_not_request_its_groups_is_loud():
    model = TakesGroups().fit(X, Y)
    with pytest.warns(GroupsWarning) as record:
        r2_scorer(model, X, Y, groups=GROUPS)
    assert "takes `groups` in predict but does not request" in only_message(record)
    with sklearn.config_context(enable_metadata_routing=True):
        model.set_predict_request(groups=True)
    expected = r2_score(Y, GROUPS)
    assert_allclose(r2_scorer(model, X, Y, groups=GROUPS), expected)


@pytest.mark.usefixtures("routing")
def test_groups_for_a_splitter_inside_a_model_are_no_reason_to_warn():
    model = LassoCV(cv=GroupKFold(3)).fit(X, Y, groups=GROUPS)
    assert r2_scorer(model, X, Y, groups=GROUPS) == model.score(X, Y)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("tool", [VotingRegressor, MultiOutputRegressor])
def test_a_tool_that_drops_groups_is_loud_in_a_scorer(tool):
    inner = [("model", MODELS[0])] if tool is VotingRegressor else MODELS[0]
    y = Y if tool is VotingRegressor else np.column_stack([Y, Y])
    model = tool(inner).fit(X, y, groups=GROUPS)
    with pytest.warns(GroupsWarning) as record:
        r2_scorer(model, X, y, groups=GROUPS)
    message = only_message(record)
    assert f"{tool.__name__} hands `groups` to fit but not to predict" in message


def test_routing_off_loses_the_groups_loudly():
    """At fit: the search hands them to the splitter alone."""
    search = GridSearchCV(MODELS[0], {}, cv=GroupKFold(3), scoring=neg_nll_scorer)
    with pytest.warns(GroupsWarning) as record:
        search.fit(X, Y, groups=GROUPS)
    assert "No `groups` were given" in only_message(record)
    with pytest.warns(GroupsWarning, match="fitted without `groups`"):
        search.best_estimator_.predict(X, groups=GROUPS)


def test_routing_is_a_setting_of_one_thread():
    """So that in a thread of the user's a Pipeline's score drops the groups."""
    scores = []
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(StandardScaler(), MODELS[0]).fit(X, Y, groups=GROUPS)
        thread = threading.Thread(
            target=lambda: scores.append(pipe.score(X, Y, groups=GROUPS))
        )
        thread.start()
        thread.join()
        assert pipe.score(X, Y, groups=GROUPS) > scores[0] + 0.1
    # Scorers of ours do not depend on it.
    assert_allclose(
        r2_scorer(pipe, X, Y, groups=GROUPS),
        pipe[-1].score(pipe[:-1].transform(X), Y, groups=GROUPS),
    )


# ---------------------------------------------------------------------------- Pipeline


def frame(kind=pd):
    columns = dict(zip("abc", X.T, strict=True))
    columns["ward"] = [f"w{code}" for code in DISTRICT % 3]
    columns["school"] = [f"s{code}" for code in GROUPS]
    return kind.DataFrame(columns)


def transformer(kind, **options):
    return {
        "scaled": lambda: StandardScaler(),
        "sparse one-hot": lambda: ColumnTransformer(
            [("ward", OneHotEncoder(drop="first"), ["ward"])],
            remainder="passthrough",
            sparse_threshold=1.0,
            **options,
        ),
        "splines": lambda: ColumnTransformer(
            [("a", SplineTransformer(n_knots=4), ["a"])],
            remainder="passthrough",
            verbose_feature_names_out=False,
            **options,
        ),
        "union": lambda: FeatureUnion(
            [("scale", StandardScaler()), ("spline", SplineTransformer(n_knots=3))]
        ),
    }[kind]()


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("model", MODELS, ids=str)
@pytest.mark.parametrize("output", ["default", "pandas", "polars"])
@pytest.mark.parametrize("kind", ["scaled", "sparse one-hot", "splines", "union"])
def test_first_door_through_a_pipeline(kind, output, model):
    columns = list("abc") + (["ward"] if kind == "sparse one-hot" else [])
    table = frame()[columns]
    steps = transformer(kind)
    if kind != "sparse one-hot":
        steps = steps.set_output(transform=output)
    pipe = make_pipeline(steps, clone(model)).fit(table, Y, groups=GROUPS)
    Z = clone(steps).fit_transform(table)
    if kind == "sparse one-hot":
        assert sparse.issparse(Z)
    alone = clone(model).fit(Z, Y, groups=GROUPS)
    got = pipe.predict(table, groups=GROUPS, return_std=True)
    assert_allclose(got, alone.predict(Z, groups=GROUPS, return_std=True), rtol=EXACT)
    expected = alone.score(Z, Y, groups=GROUPS)
    assert_allclose(pipe.score(table, Y, groups=GROUPS), expected, rtol=EXACT)


@pytest.mark.parametrize("kind", [pd, pl], ids=["pandas", "polars"])
def test_second_door_through_a_pipeline(kind):
    table = frame(kind)[["a", "b", "c", "school"]]
    steps = ColumnTransformer(
        [("scale", StandardScaler(), ["a", "b", "c"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=kind.__name__)
    model = RandomInterceptRegressor(group_feature="school")
    pipe = make_pipeline(steps, model).fit(table, Y)
    scaled = StandardScaler().fit_transform(X)
    expected = clone(MODELS[0]).fit(scaled, Y, groups=GROUPS)
    assert_allclose(
        pipe.predict(table, return_std=True),
        expected.predict(scaled, groups=GROUPS, return_std=True),
        rtol=1e-10,  # the features' columns come in another order in memory
    )
    assert_allclose(
        neg_joint_nll_scorer(pipe, table, Y),
        expected.log_predictive_density(scaled, Y, groups=GROUPS) / len(Y),
        rtol=1e-10,
    )


def test_first_door_through_a_pipeline_with_routing_off():
    name = "randominterceptregressor__groups"
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    pipe.fit(X, Y, **{name: GROUPS})
    scaled = StandardScaler().fit_transform(X)
    alone = clone(MODELS[0]).fit(scaled, Y, groups=GROUPS)
    got = pipe.predict(X, groups=GROUPS, return_std=True)
    expected = alone.predict(scaled, groups=GROUPS, return_std=True)
    assert_allclose(got, expected, rtol=EXACT)
    # Silently the population's score: the table says so.
    assert_allclose(pipe.score(X, Y, groups=GROUPS), alone.score(scaled, Y))


@pytest.mark.usefixtures("routing")
def test_weights_in_a_pipeline():
    """The recipe of docs/groups.md."""
    weight = 1.0 + np.arange(len(Y)) % 3
    pipe = make_pipeline(
        StandardScaler().set_fit_request(sample_weight=True),
        RandomInterceptRegressor().set_fit_request(sample_weight=True),
    ).fit(X, Y, groups=GROUPS, sample_weight=weight)
    scaler = StandardScaler().fit(X, sample_weight=weight)
    alone = RandomInterceptRegressor().fit(
        scaler.transform(X), Y, groups=GROUPS, sample_weight=weight
    )
    assert_allclose(pipe[-1].coef_, alone.coef_, rtol=EXACT)


# ----------------------------------------------------------------------------- searches

GRID = {"randominterceptregressor__alpha": [0.0, 3.0]}


def pipeline():
    return make_pipeline(StandardScaler(), RandomInterceptRegressor())


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("scorer", SCORERS[:4], ids=repr)
def test_grid_search_as_it_is_written(scorer, n_jobs):
    search = GridSearchCV(
        make_pipeline(StandardScaler(), RandomInterceptRegressor()),
        {"randominterceptregressor__alpha": [0.0, 3.0]},
        scoring=scorer,
        cv=GroupKFold(),
        n_jobs=n_jobs,
    ).fit(X, Y, groups=GROUPS)
    for i, alpha in enumerate([0.0, 3.0]):
        model = RandomInterceptRegressor(alpha=alpha)
        expected = fold_scores(scorer, model, GroupKFold(), scaled=True)
        got = [search.cv_results_[f"split{k}_test_score"][i] for k in range(5)]
        assert_allclose(got, expected, rtol=EXACT)
    scaled = StandardScaler().fit_transform(X)
    best = search.best_params_["randominterceptregressor__alpha"]
    whole = RandomInterceptRegressor(alpha=best).fit(scaled, Y, groups=GROUPS)
    expected = expected_score(scorer, whole, scaled, Y, GROUPS)
    assert_allclose(search.score(X, Y, groups=GROUPS), expected, rtol=EXACT)
    assert_allclose(scorer(search, X, Y, groups=GROUPS), expected, rtol=EXACT)


@pytest.mark.parametrize("scorer", SCORERS[:4], ids=repr)
def test_grid_search_through_the_second_door(scorer):
    search = GridSearchCV(COLUMN, {"alpha": [0.0, 3.0]}, cv=GroupKFold(3))
    search.set_params(scoring=scorer).fit(WITH_LABEL, Y, groups=GROUPS)
    for i, alpha in enumerate([0.0, 3.0]):
        model = RandomInterceptRegressor(alpha=alpha)
        got = [search.cv_results_[f"split{k}_test_score"][i] for k in range(3)]
        expected = fold_scores(scorer, model, GroupKFold(3))
        assert_allclose(got, expected, rtol=EXACT)
    expected = search.best_estimator_.predict(WITH_LABEL)
    assert_allclose(search.predict(WITH_LABEL), expected)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("cv", CVS, ids=str)
def test_randomized_search(cv):
    search = RandomizedSearchCV(
        pipeline(), GRID, n_iter=2, scoring=neg_joint_nll_scorer, cv=cv, random_state=0
    ).fit(X, Y, groups=GROUPS)
    for i, params in enumerate(search.cv_results_["params"]):
        model = RandomInterceptRegressor(alpha=params[next(iter(GRID))])
        expected = fold_scores(neg_joint_nll_scorer, model, cv, scaled=True)
        got = search.cv_results_["mean_test_score"][i]
        assert_allclose(got, expected.mean(), rtol=EXACT)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("cv", CVS, ids=str)
def test_halving_search(cv):
    search = HalvingGridSearchCV(
        pipeline(),
        GRID,
        scoring=neg_nll_scorer,
        cv=cv,
        min_resources=len(Y),  # one round on all rows, to compare by hand
        factor=2,
    ).fit(X, Y, groups=GROUPS)
    model = RandomInterceptRegressor(alpha=0.0)
    expected = fold_scores(neg_nll_scorer, model, cv, scaled=True)
    assert_allclose(search.cv_results_["mean_test_score"][0], expected.mean())


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("n_jobs", [None, 2])
@pytest.mark.parametrize("scorer", [neg_joint_nll_scorer, None], ids=repr)
def test_nested_search(scorer, n_jobs):
    search = GridSearchCV(pipeline(), GRID, scoring=neg_nll_scorer, cv=GroupKFold(3))
    got = cross_val_score(
        search,
        X,
        Y,
        cv=CVS[1],
        scoring=scorer,
        params=METADATA,
        n_jobs=n_jobs,
        error_score="raise",
    )
    expected = []
    for train, test in CVS[1].split(X, Y, GROUPS):
        inner = clone(search).fit(X[train], Y[train], groups=GROUPS[train])
        scaler, model = inner.best_estimator_
        expected.append(
            expected_score(
                neg_nll_scorer if scorer is None else scorer,
                model,
                scaler.transform(X[test]),
                Y[test],
                GROUPS[test],
            )
        )
    assert_allclose(got, expected, rtol=EXACT)


# -------------------------------------------------------------------- curves and others


@pytest.mark.usefixtures("routing")
def test_curves():
    options = {"cv": CVS[1], "params": METADATA, "scoring": neg_nll_scorer}
    expected = fold_scores(neg_nll_scorer, MODELS[0], CVS[1])
    *_, learned = learning_curve(MODELS[0], X, Y, train_sizes=[1.0], **options)
    assert_allclose(learned[0], expected, rtol=EXACT)
    _, validated = validation_curve(
        MODELS[0], X, Y, param_name="alpha", param_range=[0.0], **options
    )
    assert_allclose(validated[0], expected, rtol=EXACT)
    score, *_ = permutation_test_score(MODELS[0], X, Y, n_permutations=2, **options)
    assert_allclose(score, expected.mean(), rtol=EXACT)


@pytest.mark.usefixtures("routing")
def test_feature_selection():
    model = RFE(MODELS[0], n_features_to_select=2).fit(X, Y, groups=GROUPS)
    kept = model.get_support()
    alone = clone(MODELS[0]).fit(X[:, kept], Y, groups=GROUPS)
    for scorer in SCORERS:
        expected = expected_score(scorer, alone, X[:, kept], Y, GROUPS)
        assert_allclose(scorer(model, X, Y, groups=GROUPS), expected, rtol=EXACT)
    cv = {"cv": CVS[1], "scoring": neg_nll_scorer}
    search = RFECV(MODELS[0], **cv).fit(X, Y, groups=GROUPS)
    expected = fold_scores(neg_nll_scorer, MODELS[0], CVS[1])
    assert_allclose(search.cv_results_["mean_test_score"][-1], expected.mean())
    forward = SequentialFeatureSelector(MODELS[0], n_features_to_select=1, **cv)
    assert forward.fit(X, Y, groups=GROUPS).get_support().tolist() == [0, 0, 1]


def test_a_frozen_model():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    for scorer in SCORERS:
        got = scorer(FrozenEstimator(model), X, Y, groups=GROUPS)
        assert got == scorer(model, X, Y, groups=GROUPS)


@pytest.mark.usefixtures("routing")
def test_tools_that_hand_groups_to_predict_but_not_to_score():
    target = TransformedTargetRegressor(MODELS[0])
    bagged = BaggingRegressor(MODELS[0], n_estimators=3, random_state=0)
    for tool in (target, bagged):
        tool.fit(X, Y, groups=GROUPS)
        r2 = r2_score(Y, tool.predict(X, groups=GROUPS))
        assert r2 > 0.9
        assert_allclose(r2_scorer(tool, X, Y, groups=GROUPS), r2, rtol=EXACT)
        with pytest.raises(TypeError):
            tool.score(X, Y, groups=GROUPS)
        message = "gives no standard deviation|standard deviation does not come back"
        with pytest.raises(TypeError, match=message):
            neg_nll_scorer(tool, X, Y, groups=GROUPS)


def test_the_final_model_of_a_stack_has_its_labels_in_the_last_column():
    """It gets arrays, whatever the others get: the column is named by its index."""
    frame = pd.DataFrame(np.column_stack([X, GROUPS])).rename(columns=str)
    base, name = [("least squares", LinearRegression())], frame.columns[-1]
    final = RandomInterceptRegressor(group_feature=-1)
    tool = StackingRegressor(base, final, passthrough=True).fit(frame, Y)
    assert len(tool.final_estimator_.groups_) == len(np.unique(GROUPS))
    final = RandomInterceptRegressor(group_feature=name)
    for stack in (
        StackingRegressor(base, final, passthrough=True),
        StackingRegressor(base, final, passthrough=True).set_output(transform="pandas"),
    ):
        with pytest.raises(ValueError, match="but X has no column names"):
            stack.fit(frame, Y)


@pytest.mark.usefixtures("routing")
def test_stacking():
    """It hands `groups` to the last fit whether that takes them or not."""
    base = [("ours", clone(MODELS[0])), ("theirs", LinearRegression())]
    with pytest.raises(TypeError, match="groups"):
        StackingRegressor(base).fit(X, Y, groups=GROUPS)
    tool = StackingRegressor(base, final_estimator=RandomInterceptRegressor())
    tool.fit(X, Y, groups=GROUPS)
    assert r2_scorer(tool, X, Y, groups=GROUPS) > 0.9


@pytest.mark.usefixtures("routing")
def test_permutation_importance_through_a_closure():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)

    def score(model, X, y):
        return neg_nll_scorer(model, X, y, groups=GROUPS)

    result = permutation_importance(model, X, Y, scoring=score, random_state=0)
    assert np.argmax(result.importances_mean) == 2


# ---------------------------------------------------------- what scikit-learn cannot do


@pytest.mark.usefixtures("routing")
def test_population_scores_in_silence():
    """Of `cross_val_predict` and of scikit-learn's own scorers: the table says so."""
    options = {"cv": CVS[1], "params": METADATA}
    population, own = [], []
    for train, test in CVS[1].split(X, Y, GROUPS):
        fold = clone(MODELS[0]).fit(X[train], Y[train], groups=GROUPS[train])
        population.append(fold.score(X[test], Y[test]))
        own.append(fold.score(X[test], Y[test], groups=GROUPS[test]))
    r2 = cross_val_score(MODELS[0], X, Y, scoring="r2", **options)
    assert_allclose(r2, population, rtol=EXACT)
    assert np.min(own) > np.max(population)
    predicted = cross_val_predict(MODELS[0], X, Y, **options)
    scores = [r2_score(Y[t], predicted[t]) for _, t in CVS[1].split(X, Y, GROUPS)]
    assert_allclose(scores, population, rtol=EXACT)


@pytest.mark.usefixtures("routing")
def test_tools_that_do_not_take_groups_in_predict():
    search = GridSearchCV(MODELS[0], {}, cv=CVS[1]).fit(X, Y, groups=GROUPS)
    voting = VotingRegressor([("ours", MODELS[0])]).fit(X, Y, groups=GROUPS)
    for tool in (search, voting):
        with pytest.raises(TypeError, match="groups"):
            tool.predict(X, groups=GROUPS)
    frozen = FrozenEstimator(search.best_estimator_)
    with pytest.raises(TypeError, match="groups"):
        make_pipeline(StandardScaler(), frozen).fit(X, Y).predict(X, groups=GROUPS)


def test_partial_dependence_through_the_first_door_is_the_populations():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    curve = partial_dependence(model, X, [2], grid_resolution=2)
    low = X.copy()
    low[:, 2] = curve["grid_values"][0][0]
    assert_allclose(curve["average"][0, 0], model.predict(low).mean(), rtol=1e-9)


@pytest.mark.skipif(not sklearn.__version__.startswith("1.9."), reason="only in 1.9")
@pytest.mark.usefixtures("routing")
def test_target_encoder_needs_routing_off():
    with pytest.raises(KeyError, match="groups"):
        TargetEncoder().fit_transform(GROUPS[:, None], Y)


@pytest.mark.usefixtures("routing")
def test_tools_that_do_not_take_groups_in_fit():
    with pytest.raises(TypeError, match="groups"):
        AdaBoostRegressor(MODELS[0]).fit(X, Y, groups=GROUPS)


# --------------------------------------------------------- the second door goes further


def second_door_tools():
    base = [("ours", COLUMN), ("theirs", BayesianRidge())]
    return [
        TransformedTargetRegressor(COLUMN, func=np.negative, inverse_func=np.negative),
        StackingRegressor(base, final_estimator=RidgeCV()),
        VotingRegressor([("ours", COLUMN)]),
        BaggingRegressor(COLUMN, n_estimators=5, random_state=0),
        AdaBoostRegressor(COLUMN, n_estimators=5, random_state=0),
        GridSearchCV(COLUMN, {"alpha": [0.0, 1.0]}, cv=3, scoring="r2"),
        HalvingGridSearchCV(COLUMN, {"alpha": [0.0, 1.0]}, cv=3, scoring="r2"),
        FrozenEstimator(clone(COLUMN).fit(WITH_LABEL, Y)),
    ]


@pytest.mark.parametrize("tool", second_door_tools(), ids=lambda t: type(t).__name__)
def test_second_door_tools_know_the_groups(tool):
    population = LinearRegression().fit(X, Y).score(X, Y)
    known = cross_val_score(tool, WITH_LABEL, Y, groups=GROUPS, cv=CVS[1], scoring="r2")
    assert known.min() > population + 0.1
    predicted = cross_val_predict(tool, WITH_LABEL, Y, groups=GROUPS, cv=CVS[1])
    assert r2_score(Y, predicted) > population + 0.1


def test_the_second_door_with_several_targets():
    both = MultiOutputRegressor(COLUMN).fit(WITH_LABEL, np.column_stack([Y, -Y]))
    expected = clone(COLUMN).fit(WITH_LABEL, Y).predict(WITH_LABEL)
    predicted = both.predict(WITH_LABEL)
    assert_allclose(predicted, np.column_stack([expected, -expected]), rtol=1e-10)


def test_the_second_door_in_curves():
    options = {"cv": WithinGroupKFold(3), "groups": GROUPS, "scoring": "r2"}
    *_, learned = learning_curve(COLUMN, WITH_LABEL, Y, train_sizes=[1.0], **options)
    expected = fold_scores(r2_scorer, MODELS[0], CVS[1])
    assert_allclose(learned[0], expected, rtol=EXACT)
    _, validated = validation_curve(
        COLUMN, WITH_LABEL, Y, param_name="alpha", param_range=[0.0], **options
    )
    assert_allclose(validated[0], expected, rtol=EXACT)


def test_feature_selection_would_drop_the_label():
    table = frame()[["a", "b", "c"]].assign(school=GROUPS)
    model = RandomInterceptRegressor(group_feature="school")
    with pytest.raises(ValueError, match="group_feature='school'"):
        RFE(model, n_features_to_select=2).fit(table, Y)
    with pytest.raises(ValueError, match="group_feature='school'"):
        SequentialFeatureSelector(model).fit(table, Y)


def test_second_door_inspection():
    model = clone(COLUMN).fit(WITH_LABEL, Y)
    result = permutation_importance(model, WITH_LABEL, Y, random_state=0)
    assert result.importances_mean[3] > 0.2  # of the group
    curve = partial_dependence(model, WITH_LABEL, [2], grid_resolution=2)
    low, high = curve["average"][0]
    step = np.diff(curve["grid_values"][0])[0]
    assert_allclose((high - low) / step, model.coef_[2], rtol=1e-9)


def test_gaussian_nll_is_what_the_scorer_negates():
    model = clone(MODELS[0]).fit(X, Y, groups=GROUPS)
    mean, std = model.predict(X, groups=GROUPS, return_std=True)
    expected = -gaussian_nll(Y, mean, std)
    assert_allclose(neg_nll_scorer(model, X, Y, groups=GROUPS), expected, rtol=1e-14)
