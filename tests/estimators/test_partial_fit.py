"""Rows that come later: `partial_fit` against `fit`, updates against the oracle."""

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import generalised_least_squares, simulate, with_intercept
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.metadata_routing import get_routing_for_object

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
    random_intercept,
)
from skmixed._estimator import fit_of
from skmixed._results import fit as fit_module
from skmixed._results import random_intercept as of_one_variance

# Batches sum in another order; the first figure is for data near 0, the second for
# batches 1e6 apart, which rounds what is between them at 1e6 times as much.
SAME, SAME_FAR = 1e-12, 1e-10
FIGURES = [
    "coef_",
    "intercept_",
    "coef_covariance_",
    "group_variance_",
    "noise_variance_",
    "log_likelihood_",
    "random_intercepts_",
    "random_intercepts_std_",
    "random_intercepts_conditional_std_",
]
X, Y, GROUPS = simulate(n=200, group_std=2.0)


def in_batches(model, batches, X=X, y=Y, groups=GROUPS, **weights):
    for rows in batches:
        some = {name: values[rows] for name, values in weights.items()}
        labels = {} if groups is None else {"groups": groups[rows]}
        model.partial_fit(X[rows], y[rows], **labels, **some)
    return model


def random_batches(n_batches, n=200, seed=0):
    order = np.random.default_rng(seed).permutation(n)
    return np.array_split(order, n_batches)


def assert_same(model, expected, rtol=SAME):
    assert_array_equal(model.groups_, expected.groups_)
    for name in FIGURES:
        value = getattr(expected, name)
        scale = np.abs(value).max(initial=0)
        assert_allclose(
            getattr(model, name), value, rtol=rtol, atol=rtol * scale, err_msg=name
        )


@pytest.mark.parametrize("n_batches", [1, 2, 7, 100])
@pytest.mark.parametrize(
    "parameters",
    [{}, {"method": "ml"}, {"fit_intercept": False}, {"alpha": 2.0}],
    ids=str,
)
# A batch of two rows is saturated.
@pytest.mark.filterwarnings("ignore:.*no degrees of freedom left:UserWarning")
@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
@pytest.mark.filterwarnings("ignore:.*have one row each:skmixed.GroupsWarning")
def test_batches_in_any_order_are_one_fit(parameters, n_batches):
    expected = RandomInterceptRegressor(**parameters).fit(X, Y, groups=GROUPS)
    model = RandomInterceptRegressor(**parameters)
    for seed in range(2):
        fresh = in_batches(clone(model), random_batches(n_batches, seed=seed))
        assert_same(fresh, expected)


@pytest.mark.parametrize("shared", [True, False], ids=["groups in all", "groups apart"])
def test_batches_a_million_apart(shared):
    batch = np.arange(200) % 5 if shared else GROUPS % 5
    far = X + 1e6 * np.outer(batch == 1, [1, 0, 0])
    y = Y + 1e6 * (batch == 2)
    expected = RandomInterceptRegressor().fit(far, y, groups=GROUPS)
    batches = [np.flatnonzero(batch == b) for b in (1, 0, 2, 4, 3)]
    model = in_batches(RandomInterceptRegressor(), batches, X=far, y=y)
    assert_same(model, expected, SAME_FAR)


def test_groups_that_come_one_by_one():
    """Every batch is a group, among which the constant cannot be told at first."""
    expected = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    model = RandomInterceptRegressor()
    batches = [np.flatnonzero(g == GROUPS) for g in (5, 3, 11, 0, 1, 2, 4, 6, 7, 8)]
    with pytest.warns(GroupsWarning, match="one group only"):
        in_batches(model, batches[:1])
    in_batches(model, batches[1:])
    in_batches(model, [np.flatnonzero(np.isin(GROUPS, (9, 10)))])
    assert_same(model, expected)


def test_a_fit_can_be_continued_and_begun_anew():
    first, second = random_batches(2)
    model = RandomInterceptRegressor().fit(X[first], Y[first], groups=GROUPS[first])
    stored = pickle.loads(pickle.dumps(model))
    expected = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    assert_same(in_batches(model, [second]), expected)
    assert_same(in_batches(stored, [second]), expected)
    again = model.fit(X[first], Y[first], groups=GROUPS[first])
    assert_same(in_batches(again, [second]), expected)


def test_parameters_may_change_between_batches():
    model = in_batches(RandomInterceptRegressor(), random_batches(3)[:2])
    model.set_params(method="ml", alpha=1.0)
    in_batches(model, random_batches(3)[2:])
    expected = RandomInterceptRegressor(method="ml", alpha=1.0)
    assert_same(model, expected.fit(X, Y, groups=GROUPS))


def test_weights_sparse_rows_and_float32():
    weight = np.arange(200) % 3
    options = {"groups": GROUPS, "sample_weight": weight}
    expected = RandomInterceptRegressor().fit(X, Y, **options)
    batches = random_batches(4)
    got = in_batches(RandomInterceptRegressor(), batches, sample_weight=weight)
    assert_same(got, expected)
    csr = in_batches(RandomInterceptRegressor(), batches, X=sparse.csr_array(X))
    assert_same(csr, RandomInterceptRegressor().fit(X, Y, groups=GROUPS), 1e-8)
    single = X.astype(np.float32)
    got = in_batches(RandomInterceptRegressor(), batches, X=single)
    assert_same(got, RandomInterceptRegressor().fit(single, Y, groups=GROUPS))


def test_without_groups():
    expected = RandomInterceptRegressor()
    model = RandomInterceptRegressor()
    with pytest.warns(GroupsWarning, match="No `groups` were given"):
        expected.fit(X, Y)
    with pytest.warns(GroupsWarning, match="No `groups` were given"):
        in_batches(model, random_batches(3), groups=None)
    assert_same(model, expected)


def test_the_second_door_and_names():
    frame = pd.DataFrame(X, columns=list("abc")).assign(school=GROUPS)
    model = RandomInterceptRegressor(group_feature="school")
    expected = clone(model).fit(frame, Y)
    for rows in random_batches(4):
        model.partial_fit(frame.iloc[rows], Y[rows])
    assert_same(model, expected)
    assert_array_equal(model.feature_names_in_, frame.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        model.partial_fit(frame.rename(columns={"a": "z"}), Y)


@pytest.mark.parametrize("door", ["a", None, 0])
def test_another_door_than_that_of_the_fit_is_refused(door):
    """Another column was read as labels, or the labels as a feature, in silence."""
    frame = pd.DataFrame(X, columns=list("abc")).assign(school=GROUPS)
    model = RandomInterceptRegressor(group_feature="school").fit(frame, Y)
    before = model.predict(frame)
    model.set_params(group_feature=door)
    for ask in (model.predict, model.predict_mean):
        with pytest.raises(ValueError, match=r"fitted with labels in X \('school'\)"):
            ask(frame)
    for change in (model.partial_fit, model.update_random_intercepts):
        with pytest.raises(ValueError, match=r"labels in X|groups. is None"):
            change(frame, Y)
    for same in ("school", -1, 3):
        model.set_params(group_feature=same)
        assert_array_equal(model.predict(frame), before)
    other = RandomInterceptRegressor().fit(X, Y, groups=GROUPS)
    with pytest.raises(ValueError, match="fitted with labels in `groups`"):
        other.set_params(group_feature=0).predict(X)


LABELS = {
    "strings": np.array([f"s{g}" for g in GROUPS], dtype=object),
    "dates": np.datetime64("2026-01-01") + GROUPS,
    "large integers": 2**60 + GROUPS,
    "floats": GROUPS / 4,
    "mixed": np.array([g if g % 2 else f"s{g}" for g in GROUPS.tolist()], dtype=object),
}


@pytest.mark.parametrize("kind", LABELS)
def test_kinds_of_labels(kind):
    labels = LABELS[kind]
    expected = RandomInterceptRegressor().fit(X, Y, groups=labels)
    model = in_batches(RandomInterceptRegressor(), random_batches(4), groups=labels)
    order = [list(model.groups_).index(label) for label in expected.groups_]
    assert len(model.groups_) == len(expected.groups_)
    assert_allclose(
        model.random_intercepts_[order], expected.random_intercepts_, rtol=1e-9
    )
    assert_allclose(
        model.predict(X, groups=labels, return_std=True),
        expected.predict(X, groups=labels, return_std=True),
        rtol=1e-10,
    )


def test_labels_that_match_by_value_across_batches():
    first, second = random_batches(2)
    model = RandomInterceptRegressor()
    model.partial_fit(X[first], Y[first], groups=GROUPS[first].astype(float))
    model.partial_fit(X[second], Y[second], groups=GROUPS[second])
    assert len(model.groups_) == 12
    days = LABELS["dates"]
    model = RandomInterceptRegressor()
    model.partial_fit(X[first], Y[first], groups=days[first].astype("M8[s]"))
    model.partial_fit(X[second], Y[second], groups=days[second])
    assert_array_equal(model.groups_.astype("M8[D]"), np.unique(days))


@pytest.mark.parametrize("late", [0, 1])
def test_dates_of_batches_that_no_unit_holds_are_refused(late):
    """Nanoseconds and the year 3000, whichever comes first."""
    labels = [GROUPS.astype("M8[ns]"), np.datetime64("3000-01-01", "s") + GROUPS]
    model = RandomInterceptRegressor().fit(X, Y, groups=labels[late])
    before = state_of(model)
    with pytest.raises(ValueError, match="out of the range that datetime64"):
        model.partial_fit(X, Y, groups=labels[1 - late])
    assert state_of(model) == before


def state_of(model):
    return pickle.dumps(model)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"groups": None}, "Only the earlier rows have `groups`"),
        ({"groups": LABELS["strings"]}, "can never match"),
        ({"X": X[:, :2]}, "X has 2 features"),
        ({"y": np.full(200, np.nan)}, "contains NaN"),
        ({"groups": GROUPS[:9]}, "`groups` has 9 labels"),
        ({"X": 1e200 * X}, "Rescale it"),
        ({"sample_weight": np.zeros(200)}, "All weights"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_batch_changes_nothing(arguments, message):
    model = in_batches(RandomInterceptRegressor(), random_batches(2)[:1])
    before, kept = state_of(model), fit_of(model)
    arguments = {"X": X, "y": Y, "groups": GROUPS} | arguments
    with pytest.raises(ValueError, match=message):
        model.partial_fit(**arguments)
    assert state_of(model) == before
    assert fit_of(model) is kept


@pytest.mark.parametrize(
    "module, function",
    [
        (random_intercept, "summarize"),
        (random_intercept, "join"),
        (of_one_variance, "best_ratio"),
        (of_one_variance, "condition"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_interrupted_batch_changes_nothing(module, function, monkeypatch):
    model = in_batches(RandomInterceptRegressor(), random_batches(2)[:1])
    before, kept = state_of(model), fit_of(model)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, function, interrupted)
        with pytest.raises(KeyboardInterrupt):
            in_batches(model, random_batches(2)[1:])
    assert state_of(model) == before
    assert fit_of(model) is kept
    in_batches(model, random_batches(2)[1:])
    assert_same(model, RandomInterceptRegressor().fit(X, Y, groups=GROUPS))


def test_what_is_kept_does_not_grow_with_rows():
    rng = np.random.default_rng(0)
    model, sizes = RandomInterceptRegressor(), []
    for _ in range(4):
        groups = rng.integers(50, size=5000)
        Z = rng.normal(size=(5000, 4))
        y = Z.sum(axis=1) + rng.normal(size=50)[groups] + rng.normal(size=5000)
        sizes.append(len(pickle.dumps(model.partial_fit(Z, y, groups=groups))))
    assert sizes[-1] <= sizes[0] + 50  # of the row count's digits


@pytest.mark.parametrize(
    "model, update",
    [
        (RandomInterceptRegressor(), "update_random_intercepts"),
        (LinearMixedRegressor("(1 | g)"), "update_random_effects"),
    ],
)
def test_groups_that_updates_alone_made_known_are_told_of(model, update, recwarn):
    """They were new again, in silence."""
    late = np.isin(GROUPS, GROUPS[:1])
    old = ~late
    model = clone(model).partial_fit(X[old], Y[old], groups=GROUPS[old])
    getattr(model, update)(X[late], Y[late], groups=GROUPS[late])
    later = pickle.loads(pickle.dumps(model))
    assert not recwarn.list
    model.partial_fit(X[late], Y[late], groups=GROUPS[late])
    assert not recwarn.list
    with pytest.warns(GroupsWarning, match=f"1 group .* by {update} alone had no rows"):
        later.partial_fit(X[old], Y[old], groups=GROUPS[old])


@pytest.mark.parametrize("kind", [RandomInterceptRegressor, LinearMixedRegressor])
def test_requests_of_partial_fit(kind):
    request = get_routing_for_object(kind())
    assert request.consumes("partial_fit", ["groups"]) == {"groups"}
    own = {"group_features": [-1]}
    if kind is RandomInterceptRegressor:
        own = {"group_feature": -1}
    column = get_routing_for_object(kind(**own))
    assert not column.consumes("partial_fit", ["groups"])
    with sklearn.config_context(enable_metadata_routing=True):
        aliased = kind().set_partial_fit_request(groups="school")
    request = get_routing_for_object(aliased)
    assert request.consumes("partial_fit", ["school"]) == {"school"}


# ------------------------------------------------------------ update_random_intercepts


MODELS = [
    RandomInterceptRegressor(),
    RandomInterceptRegressor(fit_intercept=False, method="ml"),
    HeteroscedasticGaussianRegressor(variance_features=[0]),
    HeteroscedasticGaussianRegressor(variance_groups="fixed"),
]
OLD = np.isin(GROUPS, (10, 11), invert=True) & (np.arange(200) % 4 > 0)
NEW = ~OLD  # rows of groups that were in the fit, and of two that were not


def fit_old(model):
    return clone(model).fit(X[OLD], Y[OLD], groups=GROUPS[OLD])


def dense_update(model):
    """Modes and joint covariance of errors by dense algebra, n x n.

    Coefficients and their covariance are those of the old rows; the modes are the
    conditional means of the intercepts given all rows, at those coefficients.
    """
    D = with_intercept(X) if model.fit_intercept else X
    noise = model.predict_noise_std(X, groups=GROUPS) ** 2
    Z = np.eye(12)[GROUPS]
    V = np.diag(noise) + model.group_variance_ * Z @ Z.T
    beta, covariance = generalised_least_squares(D[OLD], Y[OLD], V[np.ix_(OLD, OLD)])
    gain = model.group_variance_ * np.linalg.solve(V, Z).T
    conditional = model.group_variance_ * (np.eye(12) - gain @ Z)
    lever = gain @ D
    return gain @ (Y - D @ beta), conditional, lever, covariance, noise, D


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_update_is_the_dense_joint_distribution(model):
    """math.md (21a)."""
    model = fit_old(model)
    before = clone(model), model.coef_.copy(), model.coef_covariance_.copy()
    modes, conditional, lever, covariance, noise, D = dense_update(model)
    model.update_random_intercepts(X[NEW], Y[NEW], groups=GROUPS[NEW])
    assert_array_equal(model.coef_, before[1])
    assert_array_equal(model.coef_covariance_, before[2])
    assert_array_equal(model.groups_, np.arange(12))
    assert_allclose(model.random_intercepts_, modes, rtol=1e-8, atol=1e-10)
    std = np.sqrt(np.diag(conditional))
    assert_allclose(model.random_intercepts_conditional_std_, std, rtol=1e-8)
    error = conditional + lever @ covariance @ lever.T
    assert_allclose(model.random_intercepts_std_, np.sqrt(np.diag(error)), rtol=1e-8)
    of_rows = D - lever[GROUPS]
    expected = of_rows @ covariance @ of_rows.T + np.diag(noise)
    expected += conditional[np.ix_(GROUPS, GROUPS)]
    mean, cov = model.predict(X, groups=GROUPS, return_cov=True)
    assert_allclose(cov, expected, rtol=1e-7, atol=1e-9)
    _, std = model.predict(X, groups=GROUPS, return_std=True)
    assert_allclose(std, np.sqrt(np.diag(cov)), rtol=1e-10)
    coefficients = np.append(model.intercept_, model.coef_)[-D.shape[1] :]
    assert_allclose(mean, D @ coefficients + modes[GROUPS], rtol=1e-7)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_updates_add_up(model):
    once, twice = fit_old(model), fit_old(model)
    rows = np.flatnonzero(NEW)
    once.update_random_intercepts(X[rows], Y[rows], groups=GROUPS[rows])
    for some in np.array_split(np.random.default_rng(0).permutation(rows), 9):
        twice.update_random_intercepts(X[some], Y[some], groups=GROUPS[some])
    assert_array_equal(once.groups_, twice.groups_)
    for name in FIGURES[-3:]:
        assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-10)
    assert_allclose(
        twice.predict(X, groups=GROUPS, return_std=True),
        once.predict(X, groups=GROUPS, return_std=True),
        rtol=1e-10,
    )


def test_the_same_rows_twice_count_twice():
    rows = np.flatnonzero(GROUPS == 10)
    double = np.tile(rows, 2)
    one = fit_old(MODELS[0])
    for _ in range(2):
        one.update_random_intercepts(X[rows], Y[rows], groups=GROUPS[rows])
    other = fit_old(MODELS[0])
    other.update_random_intercepts(X[double], Y[double], groups=GROUPS[double])
    assert_allclose(one.random_intercepts_std_, other.random_intercepts_std_)


def test_an_update_with_many_rows_finds_the_level():
    model = fit_old(MODELS[0])
    rng = np.random.default_rng(0)
    Z = rng.normal(size=(20_000, 3))
    level = 5 * np.sqrt(model.group_variance_)
    y = model.intercept_ + Z @ model.coef_ + level + rng.normal(size=20_000)
    model.update_random_intercepts(Z, y, groups=np.full(20_000, 77))
    assert_array_equal(model.groups_[-1:], [77])
    assert_allclose(model.random_intercepts_[-1], level, atol=0.05)


def test_an_update_at_the_boundary_learns_nothing():
    X, y, groups = simulate(group_std=0.0, seed=2)
    y = y - np.bincount(groups, y - y.mean())[groups] / np.bincount(groups)[groups]
    model = RandomInterceptRegressor().fit(X[:, :0], y, groups=groups)
    assert model.at_boundary_
    with pytest.warns(GroupsWarning, match="nothing can be learned from these rows"):
        model.update_random_intercepts(X[:, :0], y + 5, groups=groups + 6)
    assert len(model.groups_) == 18
    assert not model.random_intercepts_.any()


def test_an_update_in_a_pipeline_and_through_the_second_door():
    pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    with sklearn.config_context(enable_metadata_routing=True):
        pipe.fit(X[OLD], Y[OLD], groups=GROUPS[OLD])
    pipe[-1].update_random_intercepts(
        pipe[:-1].transform(X[NEW]), Y[NEW], groups=GROUPS[NEW]
    )
    column = RandomInterceptRegressor(group_feature=-1)
    table = np.column_stack([X, GROUPS])
    column.fit(table[OLD], Y[OLD]).update_random_intercepts(table[NEW], Y[NEW])
    plain = fit_old(MODELS[0])
    plain.update_random_intercepts(X[NEW], Y[NEW], groups=GROUPS[NEW])
    expected = plain.predict(X, groups=GROUPS, return_std=True)
    assert_allclose(column.predict(table, return_std=True), expected, rtol=1e-10)
    got = pipe.predict(X, groups=GROUPS, return_std=True)
    assert_allclose(got, expected, rtol=1e-8)


def test_a_later_batch_knows_nothing_of_updates():
    model = fit_old(MODELS[0])
    model.update_random_intercepts(X[:9], Y[:9] + 100, groups=GROUPS[:9])
    model.partial_fit(X[NEW], Y[NEW], groups=GROUPS[NEW])
    assert_same(model, RandomInterceptRegressor().fit(X, Y, groups=GROUPS))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"groups": None}, "`groups` is None. An update needs a label for every row"),
        ({"groups": [None] * 200}, "200 of 200 group labels are missing"),
        ({"groups": LABELS["strings"]}, "can never match"),
        ({"X": X[:, :1]}, "X has 1 features"),
        ({"y": None}, "y is None; an update needs observations"),
        ({"y": Y[:5]}, "inconsistent numbers of samples"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refused_update_changes_nothing(arguments, message):
    for model in (MODELS[0], MODELS[2]):
        fitted = fit_old(model)
        before = pickle.dumps(fitted)
        with pytest.raises(ValueError, match=message):
            fitted.update_random_intercepts(
                **{"X": X, "y": Y, "groups": GROUPS} | arguments
            )
        assert pickle.dumps(fitted) == before


def test_an_update_needs_random_intercepts():
    fixed = fit_old(HeteroscedasticGaussianRegressor(mean_groups="fixed"))
    with pytest.warns(GroupsWarning):
        without = RandomInterceptRegressor().fit(X, Y)
    for model in (fixed, without):
        with pytest.raises(ValueError, match="The model has no random intercepts"):
            model.update_random_intercepts(X, Y, groups=GROUPS)
    with pytest.raises(NotFittedError):
        RandomInterceptRegressor().update_random_intercepts(X, Y, groups=GROUPS)


def test_an_interrupted_update_changes_nothing(monkeypatch):
    model = fit_old(MODELS[3])
    before = pickle.dumps(model)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fit_module, "observe", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.update_random_intercepts(X, Y, groups=GROUPS)
    assert pickle.dumps(model) == before
