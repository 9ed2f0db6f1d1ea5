"""The linear mixed model as an estimator: doors, attributes, predictions, results."""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import simulate
from scipy import sparse
from scipy.stats import chi2, multivariate_normal, norm
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import ConvergenceWarning, NotFittedError
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
    LinearMixedRegressor,
    PopulationPredictionWarning,
    RandomEffects,
    RandomInterceptRegressor,
    inference,
    linear_mixed,
)
from skmixed._results.mixed_fit import fit_factors
from skmixed._rows import memory
from skmixed.datasets import load_sleepstudy

SAME_MODEL = 1e-8  # two programs for one model, whose searches end by rounding
EXACT = 1e-12  # the same computation on the same rows
N = 160
RNG = np.random.default_rng(5)
SUBJECT, ITEM = RNG.integers(0, 12, N), RNG.integers(0, 8, N)
X = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N)})
LABELS = pd.DataFrame({"subject": SUBJECT, "item": [f"i{k}" for k in ITEM]})
Y = (
    1.0
    + 2 * X["x"]
    + (1.0 + X["x"]) * RNG.normal(size=12)[SUBJECT]
    + 1.5 * RNG.normal(size=8)[ITEM]
    + RNG.normal(size=N)
).to_numpy()
TEXT = "(x | subject) + (1 | item)"


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture(scope="module")
def fitted():
    return LinearMixedRegressor(TEXT).fit(X, Y, groups=LABELS)


# ------------------------------------------------------------ one factor, one intercept


def figures(model):
    """All that two estimators of one model have in common."""
    one = isinstance(model, RandomInterceptRegressor)
    f = None if one else next(iter(model.groups_))
    found = {
        name: getattr(model, name)
        for name in ("coef_", "intercept_", "coef_std_", "intercept_std_")
    }
    found |= {
        "coef_covariance": model.coef_covariance_,
        "noise": model.noise_variance_,
        "log_likelihood": model.log_likelihood_,
        "at_boundary": float(model.at_boundary_),
    }
    if one:
        return found | {
            "variance": model.group_variance_,
            "groups": model.groups_,
            "modes": model.random_intercepts_,
            "std": model.random_intercepts_std_,
            "conditional": model.random_intercepts_conditional_std_,
        }
    return found | {
        "variance": model.random_effects_covariance_[f][0, 0],
        "groups": model.groups_[f],
        "modes": model.random_effects_[f][:, 0],
        "std": model.random_effects_std_[f][:, 0],
        "conditional": model.random_effects_conditional_std_[f][:, 0],
    }


SAME = {
    "reml": {},
    "ml": {"method": "ml"},
    "ridge": {"alpha": 3.0},
    "without intercept": {"fit_intercept": False},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("form", ["dense", "sparse", "boundary", "float32"])
@pytest.mark.parametrize("options", SAME)
def test_the_default_is_the_random_intercept_regressor(options, form, weighted):
    A, y, groups = simulate(n=150, group_std=0.0 if form == "boundary" else 2.0)
    if form == "boundary":  # y has less between its groups than chance gives
        y -= pd.Series(y).groupby(groups).transform("mean").to_numpy()
    A = sparse.csr_array(A) if form == "sparse" else A
    A = A.astype(np.float32) if form == "float32" else A
    weight = np.random.default_rng(0).integers(0, 4, len(y)) if weighted else None
    old, new = (
        kind(**SAME[options]).fit(A, y, groups=groups, sample_weight=weight)
        for kind in (RandomInterceptRegressor, LinearMixedRegressor)
    )
    expected, got = figures(old), figures(new)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert_allclose(
            got[name], value, rtol=SAME_MODEL, atol=SAME_MODEL, err_msg=name
        )
    rows, labels = A[:40], np.where(np.arange(40) % 3, groups[:40], 99)
    for each in ("predict", "predict_interval"):
        assert_allclose(
            getattr(new, each)(rows, groups=labels),
            getattr(old, each)(rows, groups=labels),
            rtol=SAME_MODEL,
        )
    for flag in ("return_std", "return_cov"):
        assert_allclose(
            new.predict(rows, groups=labels, **{flag: True})[1],
            old.predict(rows, groups=labels, **{flag: True})[1],
            rtol=SAME_MODEL,
        )
    assert_allclose(
        new.log_predictive_density(rows, y[:40], groups=labels),
        old.log_predictive_density(rows, y[:40], groups=labels),
        rtol=SAME_MODEL,
    )
    assert_allclose(
        new.summary().coefficients["p"], old.summary().coefficients["p"], rtol=1e-6
    )
    assert_allclose(
        new.score(rows, y[:40], groups=labels), old.score(rows, y[:40], groups=labels)
    )
    if old.group_variance_ > 0:
        old.update_random_intercepts(rows, y[:40], groups=labels)
        new.update_random_effects(rows, y[:40], groups=labels)
        for name, value in figures(old).items():
            assert_allclose(figures(new)[name], value, rtol=SAME_MODEL, atol=SAME_MODEL)


def test_without_groups():
    match = "No `groups` were given.*set `group_features`"
    with pytest.warns(GroupsWarning, match=match) as caught:
        model = LinearMixedRegressor(TEXT).fit(X, Y)
    assert len(caught) == 1
    with pytest.warns(GroupsWarning):
        old = RandomInterceptRegressor().fit(X, Y)
    assert model.groups_ == model.random_effects_ == {}
    assert_allclose(model.coef_, old.coef_, rtol=SAME_MODEL)
    assert_allclose(model.log_likelihood_, old.log_likelihood_, rtol=SAME_MODEL)
    assert_allclose(
        model.predict(X, return_std=True), old.predict(X, return_std=True), rtol=1e-8
    )
    assert len(model.group_names_in_) == 0
    assert "noise" in model.summary().variance_components.names
    with pytest.warns(GroupsWarning, match="Group labels are ignored"):
        model.predict(X, groups=LABELS)
    with pytest.raises(ValueError, match="The model has no random effects"):
        model.update_random_effects(X, Y, groups=LABELS)


@pytest.mark.parametrize("none", ["", (), []])
def test_no_random_effects_are_silent(none):
    model = LinearMixedRegressor(none).fit(X, Y, groups=LABELS)
    with pytest.warns(GroupsWarning):
        expected = LinearMixedRegressor().fit(X, Y)
    assert_array_equal(model.predict(X, groups=LABELS), expected.predict(X))
    assert_array_equal(model.predict(X), expected.predict(X))


# ------------------------------------------------------------------ results, by factor


def test_results_are_dicts_by_factor(fitted):
    factors = ["subject", "item"]
    for name in ("groups_", "random_effects_", "random_effects_covariance_"):
        assert list(getattr(fitted, name)) == factors
    assert fitted.random_effects_["subject"].shape == (12, 2)
    assert fitted.random_effects_covariance_["item"].shape == (1, 1)
    assert list(fitted.random_effects_names_["subject"]) == ["intercept", "x"]
    assert list(fitted.group_names_in_) == factors
    assert fitted.groups_["item"].tolist() == [f"i{k}" for k in range(8)]
    ratio = fitted.random_effects_conditional_std_["subject"]
    assert (ratio < fitted.random_effects_std_["subject"]).all()
    assert not fitted.at_boundary_
    with pytest.raises(ValueError, match="read-only"):
        fitted.random_effects_["subject"][0] = 0.0


def test_a_table_of_effects(fitted):
    table = fitted.random_effects_table("subject")
    assert table.names == tuple(map(str, range(12)))
    assert_array_equal(table["x"], fitted.random_effects_["subject"][:, 1])
    assert_array_equal(table["std(x)"], fitted.random_effects_std_["subject"][:, 1])
    total = fitted.random_effects_table("subject", total=True)
    assert_allclose(total["x"], fitted.coef_[0] + table["x"], rtol=EXACT)
    assert_allclose(
        total["intercept"], fitted.intercept_ + table["intercept"], rtol=EXACT
    )
    # The expected value at x = 0 and its difference to that at x = 1, of one subject.
    rows = pd.DataFrame({"x": [0.0, 1.0], "z": [0.0, 0.0]})
    two = LABELS.iloc[[0, 0]]
    mean, std = fitted.predict_mean(
        rows, groups=two, factors=["subject"], return_std=True
    )
    at = int(LABELS["subject"][0])
    assert_allclose(mean, total["intercept"][at] + [0.0, total["x"][at]], rtol=1e-9)
    assert_allclose(std[0], total["std(intercept)"][at], rtol=1e-9)
    assert total.to_frame().shape == (12, 4)
    with pytest.raises(ValueError, match="no factor 'sub'; it has"):
        fitted.random_effects_table("sub")
    with pytest.raises(TypeError, match="total is True or False"):
        fitted.random_effects_table("subject", total=1)


def test_a_table_of_effects_without_features():
    model = LinearMixedRegressor().fit(np.empty((N, 0)), Y, groups=SUBJECT)
    total = model.random_effects_table("groups", total=True)["intercept"]
    effects = model.random_effects_["groups"][:, 0]
    assert_allclose(total, model.intercept_ + effects, rtol=EXACT)


@pytest.mark.parametrize("unit", [1e-100, 1e100])
def test_a_summary_in_extreme_units(unit):
    """Squares of variances are out of range."""
    model = LinearMixedRegressor(TEXT)
    df = model.fit(X, Y, groups=LABELS).summary().coefficients["df"]
    scaled = model.fit(X, unit * Y, groups=LABELS).summary().coefficients["df"]
    assert_allclose(scaled, df, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("(x | g0)", np.arange(N)),
        ("(1 | g0) + (x | g1)", np.column_stack([SUBJECT, -SUBJECT])),
    ],
    ids=["one row per level", "alike"],
)
def test_a_variance_that_is_not_told_but_covaries(text, labels):
    """It cannot be 0, and has no value of its own."""
    model = LinearMixedRegressor(text)
    labels = labels.reshape(N, -1)
    with pytest.warns(
        GroupsWarning, match="variance of the random intercept of .* many others"
    ):
        model.fit(X, Y, groups=pd.DataFrame(labels).add_prefix("g"))
    Psi = list(model.random_effects_covariance_.values())[-1]
    assert Psi[0, 0] > 0 != Psi[0, 1]
    notes = " ".join(model.summary().notes)
    assert "which is one of many that fit as well" in notes


def test_an_update_without_variances_warns():
    noise = X["x"] + np.where(np.arange(N) % 2, 1.0, -1.0)
    model = LinearMixedRegressor().fit(X, noise, groups=np.arange(N) // 20)
    assert model.random_effects_covariance_["groups"] == 0
    with pytest.raises(GroupsWarning):  # warnings are errors here
        model.update_random_effects(X[:3], Y[:3], groups=[0, 0, 99])
    assert 99 not in model.groups_["groups"]
    with pytest.warns(GroupsWarning, match="nothing can be learned"):
        model.update_random_effects(X[:3], Y[:3], groups=[0, 0, 99])
    assert 99 in model.groups_["groups"]


def test_a_column_of_text_may_be_labels():
    door = r"say so with group_features=\['item'\] or pass it as `groups`"
    with pytest.raises(ValueError, match=door):
        LinearMixedRegressor().fit(X.assign(item=LABELS["item"]), Y)


def test_columns_out_of_range_are_an_error_without_warnings():
    with pytest.raises(ValueError, match=r"'x' of X is of order .*e\+200"):
        LinearMixedRegressor("(x | subject)").fit(1e200 * X, Y, groups=SUBJECT)


def test_a_column_without_name_is_groups():
    model = LinearMixedRegressor().fit(X, Y, groups=SUBJECT)
    assert list(model.groups_) == ["groups"]
    model = LinearMixedRegressor("(1 | person)").fit(X, Y, groups=SUBJECT)
    assert list(model.groups_) == ["person"]


def test_columns_that_are_not_in_the_mean(fitted):
    model = LinearMixedRegressor(TEXT, mean_features=["z"]).fit(X, Y, groups=LABELS)
    assert model.coef_[0] == 0 != model.coef_[1]
    assert np.count_nonzero(model.coef_covariance_) == 4
    assert model.summary().coefficients.names == ("intercept", "z")
    some = LinearMixedRegressor(TEXT, mean_features=[True, True])
    assert_array_equal(some.fit(X, Y, groups=LABELS).coef_, fitted.coef_)
    alone = LinearMixedRegressor(TEXT, mean_features=[])
    assert not alone.fit(X, Y, groups=LABELS).coef_.any()


def test_a_pickle_and_a_clone(fitted):
    other = pickle.loads(pickle.dumps(fitted))
    for got, expected in zip(
        other.predict(X, groups=LABELS, return_cov=True),
        fitted.predict(X, groups=LABELS, return_cov=True),
        strict=True,
    ):
        assert_array_equal(got, expected)
    assert str(other.summary()) == str(fitted.summary())
    terms = [RandomEffects("subject", ["x"]), "(1 | item)"]
    model = clone(LinearMixedRegressor(terms, group_features=["subject", "item"]))
    assert model.get_params() == clone(model).get_params()
    assert model.random_effects == terms


def test_the_signature():
    with pytest.raises(TypeError):
        LinearMixedRegressor(TEXT, "ml")
    assert LinearMixedRegressor(TEXT).random_effects == TEXT
    assert repr(
        LinearMixedRegressor(TEXT)
    ) == f"LinearMixedRegressor({TEXT!r})".replace("(", "(random_effects=", 1)
    with pytest.raises(NotFittedError):
        LinearMixedRegressor().predict(X)


# ------------------------------------------------------------------------- predictions


def test_known_and_new_are_told_factor_by_factor(fitted):
    """Both known, one of them, neither: less and less is known."""
    rows = X.iloc[[0] * 4]
    labels = pd.DataFrame(
        {
            "subject": [SUBJECT[0], SUBJECT[0], 99, 99],
            "item": ["i1", "new", "i1", "new"],
        }
    )
    mean, std = fitted.predict(rows, groups=labels, return_std=True)
    assert (std[0] < std[1:]).all()
    assert (std[3] > std[:3]).all()
    assert_allclose(mean[0] + mean[3], mean[1] + mean[2], rtol=EXACT)
    psi, z = fitted.random_effects_covariance_, np.array([1.0, X["x"][0]])
    _, mean_std = fitted.predict_mean(rows, groups=labels, factors=[], return_std=True)
    whole = mean_std[3] ** 2 + fitted.noise_variance_ + psi["item"][0, 0]
    assert_allclose(std[3] ** 2, whole + z @ psi["subject"] @ z, rtol=EXACT)


def test_missing_labels_are_new_levels_of_their_own(fitted):
    rows = X.iloc[[0] * 4]
    labels = pd.DataFrame(
        {"subject": [99, 99, None, None], "item": ["i1", "i1", "i1", None]}
    )
    cov = fitted.predict(rows, groups=labels, return_cov=True)[1]
    z, psi = np.array([1.0, X["x"][0]]), fitted.random_effects_covariance_["subject"]
    assert_allclose(cov[0, 1] - cov[0, 2], z @ psi @ z, rtol=1e-9)
    assert_allclose(cov[0, 2], cov[1, 2], rtol=EXACT)
    shuffled = labels[["item", "subject"]].assign(other=1)
    assert_array_equal(fitted.predict(rows, groups=shuffled, return_cov=True)[1], cov)


def test_the_joint_distribution_is_one(fitted):
    rows, y = X[:30], Y[:30]
    labels = LABELS[:30].assign(subject=np.where(np.arange(30) % 4, SUBJECT[:30], 77))
    mean, cov = fitted.predict(rows, groups=labels, return_cov=True)
    std = fitted.predict(rows, groups=labels, return_std=True)[1]
    assert_allclose(np.diag(cov), std**2, rtol=1e-10)
    expected = multivariate_normal(mean, cov).logpdf(y)
    got = fitted.log_predictive_density(rows, y, groups=labels)
    assert_allclose(got, expected, rtol=1e-9)
    draws = fitted.sample_y(rows, groups=labels, n_samples=20_000, random_state=1)
    # 20,000 draws know a covariance to some 4 standard errors of 1 %.
    scale = np.outer(std, std)
    assert np.abs((np.cov(draws) - cov) / scale).max() < 0.04
    assert_allclose(
        fitted.predict_noise_std(rows, groups=labels), fitted.noise_variance_**0.5
    )
    normal = fitted.predict_interval(rows, groups=labels)
    wider = fitted.predict_interval(rows, groups=labels, distribution="t")
    assert (np.diff(wider) > np.diff(normal)).all()


def test_the_interval_of_an_average(fitted):
    rows = X[:30]
    labels = LABELS[:30].assign(subject=np.where(np.arange(30) % 4, SUBJECT[:30], 77))
    mean, cov = fitted.predict(rows, groups=labels, return_cov=True)
    got = fitted.predict_interval(rows, groups=labels, coverage=0.8, average=True)
    expected = norm(mean.mean(), np.sqrt(cov.mean())).interval(0.8)
    assert_allclose(got, expected, rtol=1e-9)


def test_expected_values(fitted):
    mean = fitted.predict_mean(X, groups=LABELS)
    assert_array_equal(mean, fitted.predict(X, groups=LABELS))
    both, std = fitted.predict_mean(
        X, groups=LABELS, factors=["item", "subject"], return_std=True
    )
    assert_array_equal(both, mean)
    full = fitted.predict(X, groups=LABELS, return_std=True)[1]
    assert_allclose(std**2 + fitted.noise_variance_, full**2, rtol=EXACT)
    population, std = fitted.predict_mean(X, factors=[], return_std=True)
    assert_allclose(population, X @ fitted.coef_ + fitted.intercept_, rtol=1e-9)
    rows = np.column_stack([np.ones(N), X])
    variance = np.einsum("ij,jk,ik->i", rows, fitted.coef_covariance_, rows)
    assert_allclose(std**2, variance, rtol=1e-8)
    one = fitted.predict_mean(X, groups=LABELS["subject"], factors=["subject"])
    named = fitted.predict_mean(X, groups=LABELS[["subject"]], factors=["subject"])
    assert_array_equal(one, named)
    assert_array_equal(one, fitted.predict_mean(X, groups=LABELS, factors=["subject"]))
    with pytest.raises(ValueError, match="no factor 'school'; it has"):
        fitted.predict_mean(X, factors=["school"])
    with pytest.raises(TypeError, match="factors is a list of names"):
        fitted.predict_mean(X, factors="subject")


def test_predictions_without_labels_warn(fitted):
    with pytest.warns(PopulationPredictionWarning, match="Fitted with 12 groups"):
        got = fitted.predict(X)
    assert_array_equal(got, fitted.predict_mean(X, factors=[]))
    nobody = pd.DataFrame({"subject": [None] * N, "item": [None] * N})
    assert_array_equal(fitted.predict(X, groups=nobody), got)
    with pytest.warns(PopulationPredictionWarning):
        fitted.predict_mean(X, factors=["item"])


def test_updates(fitted):
    new = LABELS[:20].assign(subject=np.where(np.arange(20) % 2, SUBJECT[:20], 55))
    parts = (slice(0, 9), slice(9, 20))
    both = pickle.loads(pickle.dumps(fitted))
    both.update_random_effects(X[:20], Y[:20], groups=new)
    assert 55 in both.groups_["subject"]
    assert_array_equal(both.coef_, fitted.coef_)
    for order in (parts, parts[::-1]):
        model = pickle.loads(pickle.dumps(fitted))
        for rows in order:
            model.update_random_effects(X[rows], Y[rows], groups=new[rows])
        for factor, effects in both.random_effects_.items():
            assert_allclose(
                model.random_effects_[factor], effects, rtol=1e-8, atol=1e-9
            )
        assert_allclose(
            model.predict(X, groups=new.iloc[[0] * N], return_cov=True)[1],
            both.predict(X, groups=new.iloc[[0] * N], return_cov=True)[1],
            rtol=1e-8,
            atol=1e-9,
        )
    # A new row of a subject moves the items that it met.
    assert (both.random_effects_["item"] != fitted.random_effects_["item"]).any()
    before = pickle.dumps(both)
    with pytest.raises(ValueError, match="1 of 20 labels of 'item' are missing"):
        both.update_random_effects(
            X[:20], Y[:20], groups=new.assign(item=[None, *new["item"][1:]])
        )
    with pytest.raises(ValueError, match="An update needs a label"):
        both.update_random_effects(X[:20], Y[:20])
    assert pickle.dumps(both) == before


def test_an_update_that_breaks_nesting_beyond_memory_is_refused(monkeypatch):
    labels = pd.DataFrame({"class": np.arange(N) % 40, "school": np.arange(N) % 8})
    effects = np.random.default_rng(0).normal(scale=3.0, size=(2, 40))
    y = Y + effects[0][labels["class"]] + effects[1][labels["school"]]
    model = LinearMixedRegressor("(1 | class) + (1 | school)").fit(X, y, groups=labels)
    before, crossing = pickle.dumps(model), labels[:1].assign(school=5)
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda: 1e3)
        with pytest.raises(MemoryError, match="couple 8 random effects, needs about"):
            model.update_random_effects(X[:1], y[:1], groups=crossing)
    assert pickle.dumps(model) == before
    model.update_random_effects(X[:1], y[:1], groups=crossing)
    assert pickle.dumps(model) != before


# ------------------------------------------------------------------------------- doors


CONTAINERS = {
    "pandas": LABELS,
    "polars": pl.from_pandas(LABELS),
    "pyarrow": pa.Table.from_pandas(LABELS),
    "structured": LABELS.to_records(index=False),
    "more columns": LABELS.assign(note="text", score=0.5),
    "MultiIndex": pd.MultiIndex.from_frame(LABELS),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_of_labels(kind, fitted):
    groups = CONTAINERS[kind]
    model = LinearMixedRegressor(TEXT).fit(X, Y, groups=groups)
    assert_array_equal(model.coef_, fitted.coef_)
    assert_array_equal(
        model.predict(X, groups=groups), fitted.predict(X, groups=LABELS)
    )
    assert_array_equal(
        fitted.predict(X, groups=groups), fitted.predict(X, groups=LABELS)
    )


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("kind", CONTAINERS)
def test_containers_are_split_with_the_rows(kind):
    cv = KFold(3, shuffle=True, random_state=0)
    scores = cross_val_score(
        LinearMixedRegressor(TEXT),
        X,
        Y,
        cv=cv,
        params={"groups": CONTAINERS[kind]},
        error_score="raise",
    )
    expected = [
        LinearMixedRegressor(TEXT)
        .fit(X.iloc[train], Y[train], groups=LABELS.iloc[train])
        .score(X.iloc[test], Y[test], groups=LABELS.iloc[test])
        for train, test in cv.split(X)
    ]
    assert_allclose(scores, expected, rtol=EXACT)


WHOLE = pd.concat([LABELS, X], axis=1)
SECOND_DOOR = {
    "names": (WHOLE, ["subject", "item"], TEXT),
    "indices": (WHOLE, [0, -3], TEXT),
    "last": (WHOLE[["x", "z", "subject", "item"]], [-2, -1], TEXT),
    "polars": (pl.from_pandas(WHOLE), ["subject", "item"], TEXT),
    "object array": (
        WHOLE[["x", "z", "subject", "item"]].to_numpy(dtype=object),
        [-2, -1],
        "(x0 | x2) + (1 | x3)",
    ),
    "list": (
        WHOLE[["x", "z", "subject", "item"]].to_numpy(dtype=object).tolist(),
        [-2, -1],
        [RandomEffects(0, [0]), RandomEffects(1)],
    ),
    "sparse": (
        sparse.csr_array(np.column_stack([X, SUBJECT, ITEM])),
        [2, 3],
        [RandomEffects(0, [0]), RandomEffects(-1)],
    ),
}


@pytest.mark.parametrize("kind", SECOND_DOOR)
def test_both_doors_lead_to_the_same_model(kind, fitted):
    A, door, terms = SECOND_DOOR[kind]
    model = LinearMixedRegressor(terms, group_features=door).fit(A, Y)
    assert model.n_features_in_ == 4
    names = getattr(model, "feature_names_in_", ["x", "z", "subject", "item"])
    coef = dict(zip(names, model.coef_, strict=True))
    assert coef["subject"] == coef["item"] == 0
    assert_allclose([coef["x"], coef["z"]], fitted.coef_, rtol=1e-7)
    got = model.predict(A, return_std=True)
    expected = fitted.predict(X, groups=LABELS, return_std=True)
    assert_allclose(got, expected, rtol=1e-7)
    assert_allclose(model.score(A, Y), fitted.score(X, Y, groups=LABELS), rtol=1e-7)


def test_one_door_at_a_time():
    model = LinearMixedRegressor(TEXT, group_features=["subject", "item"])
    with pytest.raises(ValueError, match="Both doors for groups are open: group_feat"):
        model.fit(WHOLE, Y, groups=LABELS)
    request = get_routing_for_object(model)
    for method in ("fit", "score", "predict"):
        assert "groups" not in request.consumes(method, ["groups"])
    request = get_routing_for_object(LinearMixedRegressor(TEXT))
    for method in ("fit", "score", "predict"):
        assert "groups" in request.consumes(method, ["groups"])


def test_the_second_door_needs_no_routing():
    model = LinearMixedRegressor(TEXT, group_features=["subject", "item"])
    cv = KFold(3, shuffle=True, random_state=0)
    keep = ColumnTransformer(
        [("scale", StandardScaler(), ["x", "z"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    got = cross_val_predict(make_pipeline(keep, model), WHOLE, Y, cv=cv)
    expected = np.empty(N)
    for train, test in cv.split(X):
        fold = LinearMixedRegressor(TEXT)
        fold.fit(X.iloc[train], Y[train], groups=LABELS.iloc[train])
        expected[test] = fold.predict(X.iloc[test], groups=LABELS.iloc[test])
    assert_allclose(got, expected, rtol=1e-6)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_search_over_structures(library):
    pipe = make_pipeline(StandardScaler(), LinearMixedRegressor())
    pipe.set_output(transform=library)
    structures = ["", "(1 | subject)", TEXT, "(x || subject) + (1 | item)"]
    name = "linearmixedregressor__random_effects"
    cv = GroupKFold(3).set_split_request(groups="by")
    search = GridSearchCV(pipe, {name: structures}, cv=cv, error_score="raise")
    search.fit(X, Y, groups=LABELS, by=LABELS["subject"])
    scores = pd.DataFrame(search.cv_results_).groupby(f"param_{name}")
    assert set(scores["mean_test_score"].mean().index) == set(structures)
    # Nothing tells a new subject; items are known.
    assert search.best_params_[name] not in ("", "(1 | subject)")
    assert search.score(X, Y, groups=LABELS) > 0.5
    outer = cross_val_score(
        search.set_params(param_grid={name: structures[1:3]}),
        X,
        Y,
        params={"groups": LABELS, "by": LABELS["subject"]},
        cv=2,
        error_score="raise",
    )
    assert (outer > 0).all()


# -------------------------------------------------------------------- errors, warnings


ERRORS = {
    "formula": ({"random_effects": "y ~ x + (1 | item)"}, {}, "is a whole formula"),
    "method": ({"method": "REML"}, {}, "method is 'reml' or 'ml'"),
    "alpha": ({"alpha": -1}, {}, "alpha is a finite number"),
    "max_iter": ({"max_iter": 0}, {}, "max_iter is a positive integer"),
    "n_jobs": ({"n_jobs": 0}, {}, "n_jobs is None or an integer"),
    "seed": ({"random_state": -1}, {}, "Seed must be between 0"),
    "no door": ({"group_features": []}, {}, "group_features is empty"),
    "twice": ({"group_features": ["x", 0]}, {}, "group_features names a column twice"),
    "no column": ({"group_features": ["school"]}, {}, "'school' is not among the col"),
    "mean": ({"mean_features": ["w"]}, {}, "mean_features='w' is not among the"),
    "slope": ({"random_effects": "(w | item)"}, {}, "names 'w', which is not among"),
    "labels": ({"random_effects": "(1 | room)"}, {}, "names the label column 'room'"),
    "one column": ({}, {"groups": SUBJECT}, "`groups` is one column but random_eff"),
    "missing": (
        {},
        {"groups": LABELS.assign(item=[None, *LABELS["item"][1:]])},
        "1 of 160 labels of 'item' are missing",
    ),
    "short": ({}, {"groups": LABELS[:-1]}, "`groups` has 159 labels but X has 160"),
    "weights": ({}, {"sample_weight": np.zeros(N)}, "All weights in `sample_weight`"),
}


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_leave_the_model_as_it_was(kind):
    parameters, arguments, match = ERRORS[kind]
    model = LinearMixedRegressor(TEXT).fit(X, Y, groups=LABELS)
    before = pickle.dumps(model._fit.covariances)
    model.set_params(**parameters)
    if "group_features" not in parameters:
        arguments = {"groups": LABELS} | arguments
    with pytest.raises(ValueError, match=match):
        model.fit(X, Y, **arguments)
    assert pickle.dumps(model._fit.covariances) == before


@pytest.mark.parametrize(
    "parameters, arguments, match",
    [
        ({"random_effects": {"subject": ["x"]}}, {}, "random_effects is text such as"),
        ({"group_features": "subject"}, {}, "group_features is a list of names"),
        ({"fit_intercept": 1}, {}, "fit_intercept is True or False"),
        ({}, {"groups": {"subject": SUBJECT}}, "`groups` is a dict"),
        ({}, {"groups": [SUBJECT, ITEM]}, "`groups` is a list of 2 columns"),
    ],
    ids=str,
)
def test_types(parameters, arguments, match):
    model = LinearMixedRegressor(TEXT).set_params(**parameters)
    with pytest.raises(TypeError, match=match):
        model.fit(X, Y, **arguments)


def test_what_predict_needs(fitted):
    with pytest.raises(ValueError, match="`groups` has no column 'item', which the"):
        fitted.predict(X, groups=LABELS[["subject"]].assign(other=1))
    with pytest.raises(ValueError, match=r"no column 'item'.*assign\(item=None\)"):
        fitted.predict(X, groups=LABELS[["subject"]])
    with pytest.raises(ValueError, match="is one column but the model uses 2"):
        fitted.predict(X, groups=SUBJECT)
    with pytest.raises(ValueError, match=r"Label column 'subject': .* kind string"):
        fitted.predict(X, groups=LABELS.assign(subject="a"))
    with pytest.raises(TypeError, match="`groups` is a dict"):
        fitted.predict(X, groups={"subject": SUBJECT, "item": ITEM})


def test_a_label_column_is_no_feature():
    model = LinearMixedRegressor("(subject | item)", group_features=["subject", "item"])
    with pytest.raises(ValueError, match="has a slope of column 'subject' of X"):
        model.fit(WHOLE, Y)
    model = LinearMixedRegressor(group_features=["item"], mean_features=["item"])
    with pytest.raises(ValueError, match="which holds group labels"):
        model.fit(WHOLE, Y)


# ----------------------------------------------------------------------------- summary


SLEEP = """\
Linear mixed model fitted by restricted maximum likelihood

180 rows
Subject: 18 levels of 10 rows
log-likelihood -871.8141, AIC 1755.63, BIC 1774.79 (6 parameters)
R^2 0.279 by the features, 0.799 with the random effects

Coefficients
             coef     std       t  df        p     low    high
intercept  251.41  6.8246  36.838  17  1.2e-17  237.01   265.8
Days       10.467  1.5458  6.7715  17  3.3e-06   7.206  13.729

Variance components
                                    std      corr       low    high
intercept | Subject               24.74         -    15.582  39.283
Days | Subject                   5.9221         -    3.9183  8.9508
corr(intercept, Days | Subject)       -  0.065551  -0.51839  0.6078
noise                            25.592         -      22.8  28.725

Intervals: 0.95; Student's t with Satterthwaite's degrees of freedom; of
standard deviations normal for the logarithm, of correlations for Fisher's z.
With fewer than 20 groups, distribution="integrated" is recommended."""


def test_the_summary_of_sleepstudy():
    d = load_sleepstudy(as_frame=True).frame
    model = LinearMixedRegressor("(Days | Subject)")
    model.fit(d[["Days"]], d["Reaction"], groups=d["Subject"])
    assert str(model.summary()) == SLEEP
    html = model.summary()._repr_html_()
    assert "corr(intercept, Days | Subject)" in html


FACTS = [
    (
        {"batch": list("AABBCC"), "cask": list("ababab")},
        None,
        "cask: 2 labels, each in 3 labels of batch (crossed, 6 of 6 combinations). "
        "If cask a of one batch is not cask a of another, write batch/cask.",
    ),
    (
        {"plate": list("aabbccdde"), "sample": list("ABABACABA")},
        None,
        "sample: 3 labels, each in 1 to 5 labels of plate (crossed, 9 of 15 comb",
    ),
    (
        {"batch": list("AABBCC"), "sample": list("abcdef")},
        None,
        "sample: 6 labels, each in one batch (nested).",
    ),
    (
        {"batch": list("AABBCC"), "cask": list("ababab")},
        "(1 | batch/cask)",
        "batch:cask: 6 labels, each in one batch (nested).",
    ),
    (
        {"a": list("AABBCC"), "b": list("xxyyzz")},
        None,
        "a and b divide the rows in the same way.",
    ),
]


@pytest.mark.parametrize("labels, terms, fact", FACTS, ids=[f[2][:20] for f in FACTS])
def test_facts_about_pairs_of_factors(labels, terms, fact):
    labels = pd.DataFrame({name: column * 6 for name, column in labels.items()})
    y = np.random.default_rng(0).normal(size=len(labels))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupsWarning)
        model = LinearMixedRegressor(terms)
        model.fit(np.empty((len(y), 0)), y, groups=labels)
    assert any(note.startswith(fact) for note in model.summary().notes)


def test_a_singular_covariance_is_said():
    groups = np.repeat(np.arange(8), 6)
    y = np.random.default_rng(3).normal(size=48)
    y -= pd.Series(y).groupby(groups).transform("mean").to_numpy()
    model = LinearMixedRegressor().fit(np.empty((48, 0)), y, groups=groups)
    assert model.at_boundary_
    notes = " ".join(model.summary().notes)
    assert "Every variance of groups is 0, the end of its range: levels differ" in notes


def test_a_ridge_penalty_has_no_degrees_of_freedom():
    model = LinearMixedRegressor(TEXT, alpha=2.0).fit(X, Y, groups=LABELS)
    summary = model.summary()
    assert "z" in summary.coefficients.columns
    assert np.isnan(summary.variance_components["low"]).all()
    assert "Ridge penalty 2" in summary.notes[0]
    with pytest.raises(ValueError, match="degrees of freedom of a penalised fit"):
        model.predict_interval(X, groups=LABELS, distribution="t")


# ---------------------------------------------------------------------- scikit-learn's


CHECKED = [
    LinearMixedRegressor(),
    LinearMixedRegressor(RandomEffects(0, [0])),
    LinearMixedRegressor(RandomEffects(0, [0]), group_features=[-1]),
    LinearMixedRegressor(group_features=[-1]),
    LinearMixedRegressor(group_features=[-2, -1]),
]


# The checks fit without groups, and tiny data with labels that are all different.
@pytest.mark.filterwarnings("ignore:No `groups` were given:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.* is set to 0:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.* are set to 0:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:.* many others fit as well:skmixed.GroupsWarning")
@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
@pytest.mark.filterwarnings("ignore:.*no degrees of freedom left:UserWarning")
@pytest.mark.filterwarnings("ignore:Skipping check check_array_api_input")
# A slope in levels of one row each lets the variance of a row go to 0.
@pytest.mark.filterwarnings(
    "ignore:The search stopped:sklearn.exceptions.ConvergenceWarning"
)
@pytest.mark.parametrize("estimator", CHECKED, ids=str)
def test_check_estimator(estimator):
    results = check_estimator(estimator, on_fail=None)
    failed = {
        r["check_name"]: r["exception"] for r in results if r["status"] == "failed"
    }
    assert not failed
    skipped = {r["check_name"] for r in results if r["status"] == "skipped"}
    assert skipped <= {"check_array_api_input"}


def test_a_search_that_stops_says_so_beside_a_variance_that_is_not_told(monkeypatch):
    """The sentence about the variance was the only one."""

    def stopped(*args, **options):
        fit, found = fit_factors(*args, **options)
        return fit, replace(found, converged=False)

    monkeypatch.setattr(linear_mixed, "fit_factors", stopped)
    labels = LABELS.assign(again=LABELS["subject"])
    model = LinearMixedRegressor("(x | subject) + (1 | again)")
    with (
        pytest.warns(GroupsWarning, match="exactly as 'subject' does"),
        pytest.warns(ConvergenceWarning, match=r"The search stopped .* Raise max_iter"),
    ):
        model.fit(X, Y, groups=labels)


# -------------------------------------------------------- statements about the model


def test_statements_of_the_inference_module(fitted):
    pipe = make_pipeline(StandardScaler(), LinearMixedRegressor("(x0 | subject)"))
    pipe.fit(X, Y, linearmixedregressor__groups=LABELS)
    assert inference.summary(pipe).coefficients.names == ("intercept", "x", "z")
    assert str(inference.summary(fitted)) == str(fitted.summary())
    table = fitted.summary().coefficients
    found = inference.contrast(fitted, {"z": 1})
    assert_allclose(found.estimates["df"], table["df"][2:], rtol=1e-9)
    assert_allclose(found.p_value, table["p"][2], rtol=1e-9)


def test_likelihood_ratio_tests_of_terms():
    terms = ["", "(1 | subject)", "(x | subject)", TEXT, "(1 | item)"]
    none, levels, slopes, both, items = (
        LinearMixedRegressor(term, method="ml").fit(X, Y, groups=LABELS)
        for term in terms
    )
    test = inference.likelihood_ratio_test(none, levels)
    assert (test.df, test.at_boundary) == (1, True)
    test = inference.likelihood_ratio_test(levels, slopes)
    assert (test.df, test.at_boundary) == (2, True)
    gain = 2 * (slopes.log_likelihood_ - levels.log_likelihood_)
    assert_allclose(test.statistic, gain, rtol=EXACT)
    expected = 0.5 * (chi2.sf(gain, 1) + chi2.sf(gain, 2))
    assert_allclose(test.p_value, expected, rtol=1e-10)
    test = inference.likelihood_ratio_test(levels, both)
    assert test.df == 3
    old = RandomInterceptRegressor(method="ml").fit(X, Y, groups=SUBJECT)
    assert_allclose(
        inference.likelihood_ratio_test(old, slopes).statistic, gain, rtol=1e-6
    )
    with pytest.raises(ValueError, match="not nested"):
        inference.likelihood_ratio_test(items, slopes)


# ------------------------------------------------------------ what the data cannot tell


NOT_TOLD = [
    (
        "(1 | item)",
        "'item' has 120 labels in 120 rows, so that its random intercept cannot be "
        "told from the noise; its variance is set to 0.",
    ),
    (
        "(1 | cask/batch)",
        "'cask:batch' divides the rows exactly as 'cask' does; its variance is set to "
        "0. Did you mean 'batch/cask'?",
    ),
    (
        "(1 | week) + (1 | turn)",
        "'turn' divides the rows exactly as 'week' does; its variance is set to 0. "
        "Leave one out.",
    ),
    (
        "(x | one)",
        "'one' has one label only, 0, so that its random intercept and random slope of "
        "'x' cannot be told from the mean; their variances are set to 0.",
    ),
]


@pytest.mark.parametrize("terms, message", NOT_TOLD)
def test_variances_that_the_data_cannot_tell(terms, message):
    row = np.arange(120)
    labels = {"item": row, "cask": row // 4, "batch": row // 12, "one": 0 * row}
    labels |= {"week": row // 10, "turn": -(row // 10)}
    rng = np.random.default_rng(0)
    A = pd.DataFrame({"x": rng.normal(size=120)})
    y = rng.normal(size=120) + rng.normal(size=30)[row // 4]
    model = LinearMixedRegressor(terms)
    with pytest.warns(GroupsWarning) as caught:
        model.fit(A, y, groups=pd.DataFrame(labels))
    assert [str(warning.message) for warning in caught] == [message]
    *told, last = model.random_effects_covariance_
    assert not model.random_effects_covariance_[last].any()
    assert all(model.random_effects_covariance_[factor].any() for factor in told)
    notes = " ".join(model.summary().notes)
    assert f"| {last}, which is set to 0" in notes


def test_labels_that_are_a_column_of_X_are_not_a_feature():
    """As the data of lme4 are; the model had no random effects."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=40), "s": np.arange(40) % 8})
    y = table["x"] + rng.normal(size=40)
    with pytest.raises(ValueError, match=r"names 's', which is a column of X.*\['s'\]"):
        LinearMixedRegressor("(1 | s)").fit(table, y)
    by_column = LinearMixedRegressor("(1 | s)", group_features=["s"]).fit(table, y)
    by_groups = LinearMixedRegressor("(1 | s)").fit(table[["x"]], y, groups=table["s"])
    assert by_column.log_likelihood_ == by_groups.log_likelihood_


def test_new_groups_of_several_columns_are_a_table_of_missing_labels():
    rng = np.random.default_rng(0)
    X, labels = rng.normal(size=(40, 1)), pd.DataFrame({"s": np.arange(40) % 8})
    labels["t"] = np.arange(40) % 5
    model = LinearMixedRegressor().fit(X, rng.normal(size=40), groups=labels)
    message = "a table whose columns 's', 't' are None for new groups"
    with pytest.warns(PopulationPredictionWarning, match=message):
        found = model.predict(X)
    assert_allclose(model.predict(X, groups=labels.assign(s=None, t=None)), found)
