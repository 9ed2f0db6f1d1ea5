"""Cross-validation on known and on new groups."""

import sys
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import simulate
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import VotingRegressor
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.linear_model import BayesianRidge, LinearRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    BaseCrossValidator,
    GridSearchCV,
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedGroupKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, TargetEncoder

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed._evaluation import folds
from skmixed._evaluation.comparison import GroupsComparison
from skmixed.datasets import load_hsb82
from skmixed.metrics import (
    interval_coverage,
    neg_crps_scorer,
    neg_joint_nll_scorer,
    neg_nll_scorer,
    neg_rmse_scorer,
    r2_scorer,
)
from skmixed.model_selection import (
    NewGroupsKFold,
    WithinGroupKFold,
    cross_val_predict_groups,
    cross_validate_groups,
)

EXACT = 1e-12  # the same computation on the same rows
X, Y, GROUPS = simulate(n=150, group_std=3.0)
WITH_LABEL = np.column_stack([X, GROUPS])
NAMES = np.array([f"school {code}" for code in GROUPS], dtype=object)


# -------------------------------------------------------------------- WithinGroupKFold


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("n_splits", [2, 3, 7])
def test_every_group_is_spread_over_the_folds(n_splits, shuffle):
    cv = WithinGroupKFold(
        n_splits, shuffle=shuffle, random_state=0 if shuffle else None
    )
    groups = np.random.default_rng(0).integers(9, size=101) ** 2
    tests = []
    for train, test in cv.split(np.zeros((101, 1)), groups=groups):
        assert_array_equal(np.sort(np.append(train, test)), np.arange(101))
        assert np.isin(groups[test], groups[train]).all()
        tests.append(test)
    assert_array_equal(np.sort(np.concatenate(tests)), np.arange(101))
    assert np.ptp([len(test) for test in tests]) <= 1
    for label in np.unique(groups):
        assert np.ptp([np.sum(groups[test] == label) for test in tests]) <= 1


def test_folds_do_not_depend_on_labels():
    cv = WithinGroupKFold(3, shuffle=True, random_state=1)
    expected = [test for _, test in cv.split(X, Y, GROUPS)]
    for groups in (NAMES, pd.Series(NAMES, index=Y).astype("category"), list(-GROUPS)):
        for (_, test), same in zip(cv.split(X, Y, groups), expected, strict=True):
            assert_array_equal(test, same)
    other = WithinGroupKFold(3, shuffle=True, random_state=2)
    assert any(
        not np.array_equal(test, one)
        for (_, test), one in zip(other.split(X, Y, GROUPS), expected, strict=True)
    )
    plain = WithinGroupKFold(3)
    assert (
        str(plain) == "WithinGroupKFold(n_splits=3, random_state=None, shuffle=False)"
    )
    assert plain.get_n_splits() == 3


def test_the_order_of_rows_in_a_group_decides_without_shuffle():
    groups = ["b", "a", "b", "a", "b", "a"]
    splits = WithinGroupKFold(3).split(np.zeros(6), groups=groups)
    assert [test.tolist() for _, test in splits] == [[0, 1], [2, 3], [4, 5]]


def test_the_share_of_unseen_rows_is_that_of_all_test_rows():
    """And not the mean of the shares of folds, which here is one half."""
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    splits = [(np.arange(1, 8), np.array([0])), (np.arange(5), np.array([5, 6, 7]))]
    assert folds.unseen_share(splits, [groups]) == 3 / 4


def test_plain_k_fold_on_a_sorted_file_tests_unseen_groups():
    """97 % of the rows of hsb82, which is sorted by school; ours none."""
    X, y, schools = load_hsb82(return_X_y_groups=True)
    sample = folds.read_sample(X, y, schools, None)

    def unseen(cv):
        codes = sample.factors["groups"]
        return folds.unseen_share(folds.make_splits(cv, sample), [codes])

    assert round(unseen(KFold(5)), 2) == 0.97
    assert unseen(WithinGroupKFold(5)) == 0
    assert unseen(GroupKFold(5)) == 1


@pytest.mark.parametrize("n_splits", [1, 0, 2.5, "3"])
def test_refused_number_of_splits(n_splits):
    with pytest.raises(ValueError, match="n_splits is an integer of at least 2"):
        WithinGroupKFold(n_splits)


def test_refused_splits():
    with pytest.raises(ValueError, match="random_state=0 has no effect"):
        WithinGroupKFold(random_state=0)
    with pytest.raises(ValueError, match="n_splits=200 folds need as many rows"):
        next(WithinGroupKFold(200).split(X, groups=GROUPS))
    with pytest.raises(ValueError, match="`groups` is None"):
        next(WithinGroupKFold().split(X))
    with pytest.raises(ValueError, match="2 of 150 group labels are missing"):
        next(WithinGroupKFold().split(X, groups=[None, None, *GROUPS[2:]]))
    with pytest.raises(ValueError, match="`groups` has 3 labels"):
        next(WithinGroupKFold().split(X, groups=[1, 2, 3]))


# ------------------------------------------------------------ cross_val_predict_groups


def by_hand(model, cv, **fit_arguments):
    """Out-of-fold mean and std, (2, n)."""
    predicted = np.empty((2, len(Y)))
    for train, test in cv.split(X, Y, GROUPS):
        fold = clone(model).fit(X[train], Y[train], groups=GROUPS[train])
        predicted[:, test] = fold.predict(X[test], groups=GROUPS[test], return_std=True)
    return predicted


@pytest.mark.parametrize("enabled", [True, False], ids=["routing on", "routing off"])
@pytest.mark.parametrize("cv", [GroupKFold(3), WithinGroupKFold(3)], ids=str)
@pytest.mark.parametrize(
    "model", [RandomInterceptRegressor(), HeteroscedasticGaussianRegressor()], ids=str
)
def test_predictions_are_those_of_folds_by_hand(model, cv, enabled):
    expected = by_hand(model, cv)
    with sklearn.config_context(enable_metadata_routing=enabled):
        mean = cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=cv)
        both = cross_val_predict_groups(
            model, X, Y, groups=GROUPS, cv=cv, return_std=True, n_jobs=2
        )
    assert_allclose(mean, expected[0], rtol=EXACT)
    assert_allclose(both, expected, rtol=EXACT)
    assert mean.shape == both[0].shape == both[1].shape == (150,)


def test_an_integer_predicts_known_groups():
    model = RandomInterceptRegressor()
    expected = by_hand(model, WithinGroupKFold(3, shuffle=True, random_state=0))
    got = cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=3)
    assert_allclose(got, expected[0], rtol=EXACT)
    five = cross_val_predict_groups(model, X, Y, groups=GROUPS)
    assert r2_score(Y, five) > 0.9


def test_a_pipeline_a_search_and_the_second_door():
    cv = WithinGroupKFold(3)
    expected = by_hand(RandomInterceptRegressor(), cv)
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    grid = {"randominterceptregressor__alpha": [0.0]}
    models = {
        "pipeline": (pipe, X),
        "search": (GridSearchCV(pipe, grid, cv=GroupKFold(3)), X),
        "column": (RandomInterceptRegressor(group_feature=-1), WITH_LABEL),
    }
    for model, features in models.values():
        got = cross_val_predict_groups(
            model, features, Y, groups=NAMES, cv=cv, return_std=True
        )
        assert_allclose(got, expected, rtol=1e-9)


def test_kinds_of_input():
    cv = WithinGroupKFold(3)
    model = RandomInterceptRegressor()
    expected = by_hand(model, cv)[0]
    frame = pd.DataFrame(X, columns=list("abc"), index=Y)
    tables = [
        frame,
        pl.DataFrame(X),
        X.tolist(),
        sparse.csr_array(X),
        sparse.coo_array(X),
    ]
    targets = [pd.Series(Y, index=X[:, 0]), pl.Series(Y), Y.tolist(), Y, Y]
    labels = [
        pd.Series(NAMES),
        pl.Series(NAMES.tolist()),
        GROUPS.tolist(),
        GROUPS,
        NAMES,
    ]
    for table, target, groups in zip(tables, targets, labels, strict=True):
        got = cross_val_predict_groups(model, table, target, groups=groups, cv=cv)
        assert_allclose(got, expected, rtol=1e-7)


def test_further_metadata_are_split_with_the_rows():
    weight = np.arange(len(Y)) % 3
    cv = WithinGroupKFold(3)
    with sklearn.config_context(enable_metadata_routing=True):
        model = RandomInterceptRegressor().set_fit_request(sample_weight=True)
    got = cross_val_predict_groups(
        model, X, Y, groups=GROUPS, cv=cv, params={"sample_weight": weight}
    )
    for train, test in cv.split(X, Y, GROUPS):
        fold = RandomInterceptRegressor().fit(
            X[train], Y[train], groups=GROUPS[train], sample_weight=weight[train]
        )
        assert_allclose(got[test], fold.predict(X[test], groups=GROUPS[test]))


@pytest.mark.parametrize("wrapped", [False, True])
def test_weights_that_a_model_does_not_request_are_not_left_out_in_silence(wrapped):
    with sklearn.config_context(enable_metadata_routing=True):
        ours = RandomInterceptRegressor().set_fit_request(sample_weight=True)
        silent = LinearRegression()
        other = make_pipeline(StandardScaler(), silent) if wrapped else silent
        options = {"groups": GROUPS, "params": {"sample_weight": np.ones(150)}}
        with pytest.raises(TypeError if not wrapped else UnsetMetadataPassedError):
            cross_validate_groups([ours, other], X, Y, **options)
        silent.set_fit_request(sample_weight=False)
        if wrapped:
            other[0].set_fit_request(sample_weight=True)
    cross_validate_groups([ours, other], X, Y, **options)


def test_a_splitter_with_groups_of_its_own():
    district = GROUPS // 4
    with sklearn.config_context(enable_metadata_routing=True):
        cv = GroupKFold(3).set_split_request(groups="district")
    model = RandomInterceptRegressor()
    got = cross_val_predict_groups(
        model, X, Y, groups=GROUPS, cv=cv, params={"district": district}
    )
    splits = list(GroupKFold(3).split(X, Y, district))
    expected = cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=splits)
    assert_array_equal(got, expected)
    with pytest.raises(ValueError, match="requests 'district' as its groups"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=cv)


def test_an_aliased_model_gets_its_own_groups():
    district = GROUPS // 4
    with sklearn.config_context(enable_metadata_routing=True):
        model = RandomInterceptRegressor()
        model.set_fit_request(groups="school").set_predict_request(groups="school")
    cv = GroupKFold(3)
    splits = list(cv.split(X, Y, district))
    expected = cross_val_predict_groups(
        RandomInterceptRegressor(), X, Y, groups=GROUPS, cv=splits
    )
    for aliased in (model, make_pipeline(StandardScaler(), model)):
        got = cross_val_predict_groups(
            aliased, X, Y, groups=district, cv=cv, params={"school": GROUPS}
        )
        assert_allclose(got, expected, rtol=1e-9)


class OwnSplitter(BaseCrossValidator):
    """A user's splitter, which needs groups and requests nothing."""

    def get_n_splits(self, X=None, y=None, groups=None):
        return 2

    def split(self, X, y=None, groups=None):
        odd = np.asarray(groups) % 2 == 1
        yield ~odd, odd
        yield odd, ~odd


def test_masks_and_splitters_without_requests():
    model = RandomInterceptRegressor()
    odd = np.flatnonzero(GROUPS % 2)
    even = np.flatnonzero(GROUPS % 2 == 0)
    expected = cross_val_predict_groups(
        model, X, Y, groups=GROUPS, cv=[(even, odd), (odd, even)]
    )
    got = cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=OwnSplitter())
    assert_array_equal(got, expected)


def test_labels_of_several_kinds():
    groups = [label if label % 2 else f"s{label}" for label in GROUPS.tolist()]
    expected = cross_val_predict_groups(
        RandomInterceptRegressor(), X, Y, groups=groups, cv=4
    )
    assert r2_score(Y, expected) > 0.9
    new = cross_val_predict_groups(
        RandomInterceptRegressor(), X, Y, groups=groups, cv=GroupKFold(3)
    )
    assert r2_score(Y, new) < 0.9


class Column(RegressorMixin, BaseEstimator):
    """A user's model that predicts a column."""

    def fit(self, X, y):
        self.mean_ = np.mean(y)
        return self

    def predict(self, X):
        return np.full((len(X), 1), self.mean_)


def test_predictions_in_a_column():
    assert cross_val_predict_groups(Column(), X, Y, groups=GROUPS).shape == (150,)


def test_a_backend_that_returns_all_at_once():
    with joblib.parallel_config(backend="multiprocessing", n_jobs=2):
        got = cross_val_predict_groups(Column(), X, Y, groups=GROUPS)
    assert_array_equal(got, cross_val_predict_groups(Column(), X, Y, groups=GROUPS))


def test_refused_predictions():
    model = RandomInterceptRegressor()
    with pytest.raises(TypeError, match="return_std is True or False, got 'mean'"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, return_std="mean")
    with pytest.raises(ValueError, match="tests every row once"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=ShuffleSplit(2))
    with pytest.raises(TypeError, match="gives no standard deviation"):
        cross_val_predict_groups(
            LinearRegression(), X, Y, groups=GROUPS, return_std=True
        )
    with pytest.raises(TypeError, match="params has 'weight', which no model"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, params={"weight": Y})
    with pytest.raises(TypeError, match=r"call set_fit_request\(sample_weight=True"):
        cross_val_predict_groups(
            model, X, Y, groups=GROUPS, params={"sample_weight": np.ones(150)}
        )
    with pytest.raises(TypeError, match="pass them as groups="):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, params={"groups": GROUPS})
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        cross_val_predict_groups(model, X, Y[:9], groups=GROUPS)
    masked = np.ma.masked_greater(Y, 0)
    with pytest.raises(ValueError, match="y is a masked array"):
        cross_val_predict_groups(model, X, masked, groups=GROUPS)
    with pytest.raises(ValueError, match="Input y contains NaN"):
        cross_val_predict_groups(model, X, [np.nan, *Y[1:]], groups=GROUPS)
    with pytest.raises(TypeError, match="A cv is a number of folds"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, cv="5")
    with pytest.raises(ValueError, match="cv has no splits"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, cv=[])
    with pytest.raises(ValueError, match="n_jobs is None or an integer"):
        cross_val_predict_groups(model, X, Y, groups=GROUPS, n_jobs=1.5)


def test_a_tool_that_drops_groups_is_loud():
    tool = VotingRegressor([("ours", RandomInterceptRegressor())])
    with pytest.warns(GroupsWarning, match="VotingRegressor hands `groups` to fit but"):
        cross_val_predict_groups(tool, X, Y, groups=GROUPS, cv=2)


def test_a_tool_around_a_pipeline_that_drops_groups_is_loud():
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    tool = VotingRegressor([("ours", pipe)])
    with pytest.warns(GroupsWarning, match="VotingRegressor hands `groups` to fit but"):
        cross_val_predict_groups(tool, X, Y, groups=GROUPS, cv=2)


def test_an_arrow_table_is_split_by_rows():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(dict(zip("abc", X.T, strict=True)))
    model = RandomInterceptRegressor()
    found = cross_val_predict_groups(model, table, Y, groups=GROUPS)
    expected = cross_val_predict_groups(model, X, Y, groups=GROUPS)
    assert_allclose(found, expected, rtol=EXACT)


class Truncated(LinearRegression):
    """A model whose fit has an option that is no column of rows."""

    __metadata_request__fit = {"limits": True}

    def fit(self, X, y, limits=None):
        self.limits_ = limits
        low, high = limits["low"], limits["high"]
        return super().fit(X, np.clip(y, low, high))


def test_metadata_that_are_no_rows_go_to_every_fold_whole():
    limits = {"low": -1.0, "high": 1.0}
    found = cross_val_predict_groups(
        Truncated(), X, Y, groups=GROUPS, params={"limits": limits}
    )
    clipped = np.clip(Y, -1.0, 1.0)
    expected = cross_val_predict_groups(LinearRegression(), X, clipped, groups=GROUPS)
    assert_allclose(found, expected, rtol=EXACT)


def test_a_model_whose_predict_does_not_tell_its_arguments():
    """As compiled ones: it is asked for the mean alone."""

    class Compiled(DummyRegressor):
        predict = min  # without a signature

    with pytest.raises(TypeError, match="Compiled gives no standard deviation"):
        cross_val_predict_groups(Compiled(), X, Y, groups=GROUPS, return_std=True)


def test_a_tool_that_knows_no_routing_is_not_disturbed_by_it():
    """TargetEncoder of scikit-learn 1.9 fails when routing is on."""
    model = make_pipeline(TargetEncoder(), LinearRegression())
    with sklearn.config_context(enable_metadata_routing=True):
        got = cross_val_predict_groups(model, GROUPS[:, None], Y, groups=GROUPS)
    assert np.isfinite(got).all()


# --------------------------------------------------------------- cross_validate_groups


MODELS = {
    "least squares": LinearRegression(),
    "bayesian": make_pipeline(StandardScaler(), BayesianRidge()),
    "ours": RandomInterceptRegressor(),
    "dummy": DummyRegressor(),
}
SCORERS = {
    "r2": (1, r2_scorer),
    "rmse": (-1, neg_rmse_scorer),
    "nll": (-1, neg_nll_scorer),
    "joint_nll": (-1, neg_joint_nll_scorer),
    "crps": (-1, neg_crps_scorer),
}


@pytest.fixture(scope="module")
def comparison():
    return cross_validate_groups(
        MODELS, X, Y, groups=NAMES, cv_known=3, cv_new=4, coverage=0.5
    )


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["known", "new"])
def test_scores_are_those_of_the_scorers(comparison, kind, name):
    cv = GroupKFold(4)
    if kind == "known":
        cv = WithinGroupKFold(3, shuffle=True, random_state=0)
    without_std = name in ("least squares", "dummy")  # a dummy's std is 0
    signs = {key: sign for key, (sign, _) in SCORERS.items()}
    scorers = {key: scorer for key, (_, scorer) in SCORERS.items()}
    if without_std:
        scorers = {key: scorers[key] for key in ("r2", "rmse")}
    with sklearn.config_context(enable_metadata_routing=True):
        expected = cross_validate(
            MODELS[name], X, Y, cv=cv, params={"groups": NAMES}, scoring=scorers
        )
    got = comparison.scores[kind, name]
    for key in scorers:
        assert_allclose(got[key], signs[key] * expected[f"test_{key}"], rtol=EXACT)
    assert np.isnan(got["nll"]).all() == without_std
    assert np.isnan(got["coverage"]).all() == without_std


def test_coverage_is_that_of_the_intervals(comparison):
    model, cv = RandomInterceptRegressor(), GroupKFold(4)
    expected = []
    for train, test in cv.split(X, Y, NAMES):
        fold = clone(model).fit(X[train], Y[train], groups=NAMES[train])
        mean, std = fold.predict(X[test], groups=NAMES[test], return_std=True)
        expected.append(interval_coverage(Y[test], mean, std, coverage=0.5))
    assert_allclose(comparison.scores["new", "ours"]["coverage"], expected, rtol=EXACT)


def test_the_table(comparison):
    text = str(comparison)
    assert repr(comparison) == text
    known, new = text.split("\n\n")
    assert known.splitlines()[0] == (
        "known groups: WithinGroupKFold(n_splits=3, random_state=0, shuffle=True)"
    )
    assert known.splitlines()[1].startswith("0.0% of the test rows are of groups not")
    assert new.splitlines()[1].startswith("100.0% of the test rows are of groups not")
    assert known.splitlines()[2].split() == (
        ["R^2", "RMSE", "NLL", "joint", "NLL", "CRPS", "50%", "cover"]
    )
    for block, kind in ((known, "known"), (new, "new")):
        assert len({len(line) for line in block.splitlines()[2:]}) == 1  # aligned
        rows = {line[:13].strip(): line[13:].split() for line in block.splitlines()[3:]}
        assert list(rows) == list(MODELS)
        assert rows["least squares"][2:] == rows["dummy"][2:] == ["-"] * 4
        ours = comparison.scores[kind, "ours"]
        assert float(rows["ours"][0]) == round(ours["r2"].mean(), 3)
        assert float(rows["ours"][3]) == round(ours["joint_nll"].mean(), 4)


def test_the_frame(comparison):
    frame = comparison.to_frame()
    assert frame.index.names == ["groups", "model"]
    assert list(frame.columns) == [*SCORERS, "coverage", "unseen"]
    assert frame.loc[("known", "ours"), "r2"] > frame.loc[("new", "ours"), "r2"]
    assert frame["unseen"].unstack("groups").eq([0.0, 1.0]).all(axis=None)
    assert np.isnan(frame.loc[("new", "dummy"), "nll"])
    html = comparison._repr_html_()
    assert html.count("<tr") >= 8
    assert "<td>-</td>" in html


def test_without_pandas_there_is_the_text(comparison, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="to_frame requires pandas"):
        comparison.to_frame()
    assert comparison._repr_html_() is None
    assert "known groups" in str(comparison)


def test_only_the_joint_likelihood_sees_what_rows_of_a_group_share():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(150), 8)
    X = rng.normal(size=(1200, 1))
    y = X[:, 0] + rng.normal(size=150)[groups] + rng.normal(size=1200)
    models = {"independent": BayesianRidge(), "block": RandomInterceptRegressor()}
    scores = cross_validate_groups(models, X, y, groups=groups).scores
    independent, block = (scores["new", name] for name in models)
    assert_allclose(independent["nll"].mean(), block["nll"].mean(), atol=0.005)
    assert block["joint_nll"].mean() < independent["joint_nll"].mean() - 0.1


def test_names_of_models():
    def names(estimators):
        scores = cross_validate_groups(
            estimators, X, Y, groups=GROUPS, cv_known=2, cv_new=2
        ).scores
        return [name for kind, name in scores if kind == "known"]

    pipe = make_pipeline(StandardScaler(), LinearRegression())
    assert names(LinearRegression()) == ["LinearRegression"]
    assert names([LinearRegression(), pipe, BayesianRidge(), pipe]) == [
        "LinearRegression",
        "LinearRegression 2",
        "BayesianRidge",
        "LinearRegression 3",
    ]


def test_named_pairs_and_default_splitters():
    pairs = [("one", LinearRegression()), ("two", BayesianRidge())]
    comparison = cross_validate_groups(
        pairs, X, Y, groups=GROUPS, cv_known=None, cv_new=None
    )
    assert [name for _, name in comparison.scores] == ["one", "two"] * 2
    assert comparison.unseen == {"known": 0.0, "new": 1.0}


def test_scores_that_do_not_fit_a_column_or_do_not_exist():
    scores = {key: np.array([-1.23456789e9]) for key in (*SCORERS, "coverage")}
    scores["r2"] = np.array([np.nan])
    comparison = GroupsComparison(
        {("new", "m"): scores}, {"new": 1.0}, {"new": ""}, 0.9
    )
    *_, line = str(comparison).splitlines()
    assert line.split()[:3] == ["m", "nan", "-1.23e+09"]
    one_row_each = LeaveOneOut()
    table = cross_validate_groups(
        LinearRegression(),
        X[:9],
        Y[:9],
        groups=GROUPS[:9],
        cv_new=one_row_each,
        cv_known=3,
    )
    assert np.isnan(table.scores["new", "LinearRegression"]["r2"]).all()


def test_splitters_of_the_users_choice():
    comparison = cross_validate_groups(
        LinearRegression(),
        X,
        Y,
        groups=GROUPS,
        cv_known=KFold(3),
        cv_new=LeaveOneGroupOut(),
    )
    assert len(comparison.scores["new", "LinearRegression"]["r2"]) == 12
    assert comparison.unseen["new"] == 1
    assert "LeaveOneGroupOut()" in str(comparison)


def test_n_jobs_and_the_setting_do_not_matter(comparison):
    with sklearn.config_context(enable_metadata_routing=True):
        other = cross_validate_groups(
            MODELS, X, Y, groups=NAMES, cv_known=3, cv_new=4, coverage=0.5, n_jobs=2
        )
    for key, scores in comparison.scores.items():
        for name, values in scores.items():
            assert_allclose(other.scores[key][name], values, rtol=EXACT)


class Failing(RegressorMixin, BaseEstimator):
    def fit(self, X, y):
        raise RuntimeError("no luck")


def test_a_failure_says_whose_it_is():
    with pytest.raises(RuntimeError, match="no luck") as failure:
        cross_validate_groups({"unlucky": Failing()}, X, Y, groups=GROUPS)
    assert "'unlucky', known groups, fold 1 of 5" in failure.value.__notes__[0]


@pytest.mark.parametrize("verbose", [0, 1])
def test_long_work_reports_its_progress(monkeypatch, capsys, verbose):
    monkeypatch.setattr(folds, "REPORT_EVERY", 0.0)
    cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS, verbose=verbose)
    printed = capsys.readouterr()
    assert printed.out == ""
    lines = printed.err.splitlines()
    assert len(lines) == 9 * verbose  # none after the last of ten
    assert all("of 10 fits done, about" in line for line in lines)


def test_nothing_is_printed_by_short_work(capsys):
    cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS, n_jobs=2)
    assert capsys.readouterr().err == ""


def test_no_argument_is_changed():
    model = RandomInterceptRegressor()
    before = X.copy(), Y.copy(), GROUPS.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cross_validate_groups(model, X, Y, groups=GROUPS)
    assert not hasattr(model, "coef_")
    for array, copy in zip((X, Y, GROUPS), before, strict=True):
        assert_array_equal(array, copy)


def test_refused_comparisons():
    with pytest.raises(ValueError, match="coverage is a probability"):
        cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS, coverage=90)
    with pytest.raises(ValueError, match="`groups` is None"):
        cross_validate_groups(LinearRegression(), X, Y, groups=None)
    for estimators in ([], {1: LinearRegression()}):
        with pytest.raises(TypeError, match="estimators is an estimator, a list of"):
            cross_validate_groups(estimators, X, Y, groups=GROUPS)
    for estimator in (None, "ridge", LinearRegression):
        with pytest.raises(TypeError, match="An estimator is an object with fit"):
            cross_validate_groups([estimator], X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match=r"there are 3 groups. Pass cv_new=3, or"):
        cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS % 3)
    with pytest.raises(ValueError, match=r"there are 1 group. Pass more groups, or"):
        cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS * 0)


def test_three_groups_are_new_by_three_folds():
    found = cross_validate_groups(LinearRegression(), X, Y, groups=GROUPS % 3, cv_new=3)
    assert found.unseen["new"] == 1


def test_within_group_folds_in_scikit_learns_own_tools():
    with sklearn.config_context(enable_metadata_routing=True):
        got = cross_val_score(
            RandomInterceptRegressor(),
            X,
            Y,
            cv=WithinGroupKFold(3),
            params={"groups": GROUPS},
            error_score="raise",
        )
    mean = by_hand(RandomInterceptRegressor(), WithinGroupKFold(3))[0]
    splits = WithinGroupKFold(3).split(X, Y, GROUPS)
    assert_allclose(got, [r2_score(Y[test], mean[test]) for _, test in splits])


# -------------------------------------------------------------------- tables of labels


def crossed(n_subjects=12, n_items=10, seed=0):
    """Every subject with every item, once, and a y in which both have effects."""
    rng = np.random.default_rng(seed)
    subject, item = np.divmod(np.arange(n_subjects * n_items), n_items)
    x = rng.normal(size=(len(item), 1))
    y = x[:, 0] + rng.normal(size=n_subjects)[subject] + rng.normal(size=n_items)[item]
    table = pd.DataFrame({"subject": subject, "item": item})
    return x, y + 0.3 * rng.normal(size=len(y)), table


TABLES = {
    "pandas": lambda frame: frame,
    "polars": pl.DataFrame,
    "array": lambda frame: frame.to_numpy(),
    "structured": lambda frame: frame.to_records(index=False),
    "multi-index": pd.MultiIndex.from_frame,
    "lists": lambda frame: frame.to_numpy().tolist(),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("shuffle", [True, False])
def test_one_factor_is_new_and_the_other_known(kind, shuffle):
    x, _, frame = crossed()
    options = {"shuffle": shuffle, "random_state": 0 if shuffle else None}
    table, name = TABLES[kind](frame), "g1" if kind in ("array", "lists") else "item"
    splits = list(NewGroupsKFold(name, 5, **options).split(x, groups=table))
    assert_array_equal(np.sort(np.concatenate([b for _, b in splits])), np.arange(120))
    for train, test in splits:
        assert_array_equal(np.sort(np.append(train, test)), np.arange(120))
        assert len(test) == 24
        items, subjects = frame["item"].to_numpy(), frame["subject"].to_numpy()
        assert not np.isin(items[test], items[train]).any()
        assert np.isin(subjects[test], subjects[train]).all()


def test_several_factors_are_new_together():
    x, _, frame = crossed()
    splits = list(NewGroupsKFold(["subject", "item"], 3).split(x, groups=frame))
    for train, test in splits:
        for codes in (frame["subject"].to_numpy(), frame["item"].to_numpy()):
            assert not np.isin(codes[test], codes[train]).any()
    n_tested = sum(len(test) for _, test in splits)
    assert abs(n_tested / len(x) - 1 / 3) < 0.05


def test_a_combination_is_new_where_its_parts_are_known():
    frame = pd.DataFrame({"school": [0, 0, 0, 0, 1, 1, 1, 1], "room": [0, 1] * 4})
    splits = NewGroupsKFold("school:room", 2).split(frame, groups=frame)
    for train, test in splits:
        pairs = frame.apply(tuple, axis=1)
        assert not pairs[test].isin(pairs[train]).any()
        assert frame["school"][test].isin(frame["school"][train]).all()


def test_labels_share_the_rows_evenly():
    groups = np.repeat(np.arange(7), [10, 1, 1, 1, 1, 4, 4])
    splits = NewGroupsKFold("g", 2).split(groups[:, None], groups=groups)
    assert [len(test) for _, test in splits] == [11, 11]
    seeds = [
        [b.tolist() for _, b in NewGroupsKFold(
            "g", 3, shuffle=True, random_state=seed
        ).split(None, groups=np.arange(30))]
        for seed in (0, 0, 1)
    ]  # fmt: skip
    assert seeds[0] == seeds[1] != seeds[2]


@pytest.mark.parametrize("shuffle", [True, False])
def test_known_labels_of_a_table(shuffle):
    """The items of one subject are in the order of their labels, so that dealing by
    subjects would test the same items in every fold.
    """
    x, _, frame = crossed()
    options = {"shuffle": shuffle, "random_state": 0 if shuffle else None}
    for train, test in WithinGroupKFold(5, **options).split(x, groups=frame):
        assert abs(len(test) - 24) <= 1
        for codes in frame.to_numpy().T:
            assert np.isin(codes[test], codes[train]).all()
            assert np.ptp(np.bincount(codes[test])) <= 2


def test_what_a_splitter_of_tables_refuses():
    x, y, frame = crossed()
    with pytest.raises(TypeError, match="new is a name or a list of names, got 3"):
        NewGroupsKFold(3)
    with pytest.raises(TypeError, match="new is a name or a list of names, got"):
        NewGroupsKFold([])
    with pytest.raises(ValueError, match="n_splits is an integer of at least 2"):
        NewGroupsKFold("item", 1)

    def split(new, groups=frame, **options):
        return list(NewGroupsKFold(new, **options).split(x, groups=groups))

    with pytest.raises(ValueError, match="'clinic', which is not among those of"):
        split("clinic")
    with pytest.raises(ValueError, match="need as many labels of 'item'; there are 10"):
        split("item", n_splits=11)
    with pytest.raises(ValueError, match="`groups` is one column but new names 2"):
        split(["subject", "item"], groups=frame["item"])
    with pytest.raises(ValueError, match="missing"):
        split("item", groups=frame.assign(item=np.nan))
    same = pd.DataFrame({"a": [0, 1, 2], "b": [1, 2, 0]})
    with pytest.raises(ValueError, match="has no row whose labels are all new to it"):
        list(NewGroupsKFold(["a", "b"], 3).split(same, groups=same[::-1]))
    model = LinearRegression()
    with pytest.raises(ValueError, match=r"GroupKFold splits by one column, but `gro"):
        cross_validate_groups(model, x, y, groups=frame, cv_new=GroupKFold(3))
    with pytest.raises(ValueError, match=r"Say which: NewGroupsKFold\('subject'\)"):
        cross_val_predict_groups(model, x, y, groups=frame, cv=GroupKFold(3))
    with pytest.raises(ValueError, match="names factors, but `groups` is one column"):
        cross_validate_groups(model, x, y, groups=frame["item"], new=["item"])
    with pytest.raises(TypeError, match=r"new is a list of questions, got 'item'"):
        cross_validate_groups(model, x, y, groups=frame, new="item")


def test_questions_about_a_table():
    x, y, frame = crossed()
    found = cross_validate_groups(LinearRegression(), x, y, groups=frame)
    kinds = ["known", "new subject", "new item", "new subject, item"]
    assert list(found.unseen) == kinds
    assert list(found.unseen.values()) == [0.0, 1.0, 1.0, 1.0]
    assert found.unseen_by_factor["new subject"] == {"subject": 1.0, "item": 0.0}
    assert found.unseen_by_factor["new subject, item"] == {"subject": 1.0, "item": 1.0}
    text = str(found)
    assert "known groups: WithinGroupKFold" in text
    assert "new item: NewGroupsKFold(n_splits=5, new='item'" in text
    assert "100.0% of the test rows have a new subject, 0.0% a new item" in text
    frame_of = found.to_frame()
    assert len(frame_of) == 4
    some = cross_validate_groups(
        LinearRegression(), x, y, groups=frame, new=["subject:item", ["item"]], cv_new=3
    )
    assert list(some.unseen) == ["known", "new subject:item", "new item"]
    assert some.unseen_by_factor["known"]["subject:item"] == 1.0
    assert some.unseen_by_factor["new subject:item"]["item"] == 0.0


def test_a_splitter_of_tables_is_routed_its_groups():
    x, y, frame = crossed()
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            LinearRegression(),
            x,
            y,
            cv=NewGroupsKFold("item"),
            params={"groups": frame},
        )
        alias = cross_val_score(
            LinearRegression(),
            x,
            y,
            cv=GroupKFold(5).set_split_request(groups="item"),
            params={"item": frame["item"]},
        )
    assert len(scores) == len(alias) == 5


def test_a_search_over_structures_asks_about_new_subjects():
    x, y, frame = crossed()
    pipe = make_pipeline(StandardScaler(), LinearMixedRegressor())
    structures = ["(1 | subject)", "(1 | subject) + (1 | item)", ""]
    search = GridSearchCV(
        pipe,
        {"linearmixedregressor__random_effects": structures},
        scoring=neg_joint_nll_scorer,
        cv=NewGroupsKFold("subject", 4),
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(x, y, groups=frame)
    best = search.best_params_["linearmixedregressor__random_effects"]
    assert best == "(1 | subject) + (1 | item)"
    scores = []
    for train, test in NewGroupsKFold("subject", 4).split(x, groups=frame):
        model = LinearMixedRegressor().fit(x[train], y[train], groups=frame.iloc[train])
        density = model.log_predictive_density(
            x[test], y[test], groups=frame.iloc[test]
        )
        scores.append(density / len(test))
    assert_allclose(search.best_score_, np.mean(scores), rtol=1e-6)


def test_models_of_several_factors_are_compared():
    x, y, frame = crossed()
    models = {
        "both": LinearMixedRegressor(),
        "subjects": LinearMixedRegressor("(1 | subject)"),
        "least squares": LinearRegression(),
    }
    found = cross_validate_groups(models, x, y, groups=frame, new=["subject"])
    scores = found.to_frame()["joint_nll"]
    assert scores["known", "both"] < scores["known", "subjects"]
    assert scores["new subject", "both"] < scores["new subject", "subjects"]
    assert np.isnan(scores["known", "least squares"])
    mean, std = cross_val_predict_groups(
        LinearMixedRegressor(), x, y, groups=frame, return_std=True
    )
    assert np.corrcoef(mean, y)[0, 1] > 0.9
    assert (std > 0).all()
    for train, test in WithinGroupKFold(5, shuffle=True, random_state=0).split(
        x, groups=frame
    ):
        model = LinearMixedRegressor().fit(x[train], y[train], groups=frame.iloc[train])
        expected = model.predict(x[test], groups=frame.iloc[test])
        assert_allclose(mean[test], expected, rtol=1e-6)


def test_splitters_of_scikit_learn_take_one_column():
    """A table gives errors, or folds that are wrong, as docs/groups.md says."""
    table = np.array([[a, b] for a in range(6) for b in range(4)])
    x, y = np.zeros((24, 1)), np.arange(24) % 2
    for cv in (GroupKFold(3), LeaveOneGroupOut(), StratifiedGroupKFold(3)):
        with pytest.raises((ValueError, IndexError, TypeError)):
            list(cv.split(x, y, table))
    beyond = GroupShuffleSplit(2, random_state=0).split(x, y, table)
    assert max(test.max() for _, test in beyond) >= 24
    silent = GroupKFold(3, shuffle=True, random_state=0).split(x, y, table)
    assert sum(len(test) for _, test in silent) > 24
    ours = NewGroupsKFold("g0", 3).split(x, y, table)
    assert sum(len(test) for _, test in ours) == 24


def test_many_rows_without_a_joint_distribution_have_a_dash(monkeypatch):
    """By the iterative solver each row would be a solution; it was an error, and the
    scores of all models were lost.
    """
    monkeypatch.setattr("skmixed._results.mixed_fit.MOST_JOINT", 50)
    rng, n = np.random.default_rng(0), 240
    table = np.column_stack([np.arange(n) % 12, rng.integers(8, size=n)])
    X, effects = rng.normal(size=(n, 1)), rng.normal(size=(2, 12))
    y = X[:, 0] + effects[0, table[:, 0]] + effects[1, table[:, 1]] + rng.normal(size=n)
    models = {
        "iterative": LinearMixedRegressor(solver="iterative", random_state=0),
        "direct": LinearMixedRegressor(),
    }
    cv = {"cv_known": 2, "cv_new": 2, "new": ["g0"], "verbose": 0}
    found = cross_validate_groups(models, X, y, groups=table, **cv)
    for (_, model), scores in found.scores.items():
        assert np.isnan(scores["joint_nll"]).all() == (model == "iterative")
        assert np.isfinite(scores["nll"]).all()
