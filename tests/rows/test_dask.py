"""Rows in partitions, on a real cluster of two processes."""

import os
import signal
import subprocess
import sys
from operator import add
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import simulate
from scipy import sparse
from sklearn.base import clone

import skmixed
from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    PopulationPredictionWarning,
    RandomInterceptRegressor,
)

da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")
distributed = pytest.importorskip("distributed")
import dask  # noqa: E402

from skmixed._rows import dask as lazy_dask  # noqa: E402

CLOSES = (2026, 1)  # a version that has closed all clusters of these tests
SAME = 1e-12  # partitions sum in another order
SEVERAL = 1e-8  # as SAME, after a search that ends by rounding of the value
FIGURES = [
    "coef_",
    "intercept_",
    "coef_covariance_",
    "group_variance_",
    "noise_variance_",
    "log_likelihood_",
    "random_intercepts_",
    "random_intercepts_std_",
]
X, Y, GROUPS = simulate(n=300, group_std=2.0)
LABELS = np.array([f"s{group:02d}" for group in GROUPS], dtype=object)
TABLE = pd.DataFrame(X, columns=list("abc")).assign(y=Y, school=LABELS)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(**options, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        yield client


def assert_same(model, expected):
    assert_array_equal(model.groups_, expected.groups_)
    assert model.n_features_in_ == expected.n_features_in_
    for name in FIGURES:
        value = getattr(expected, name)
        scale = np.abs(value).max()
        assert_allclose(
            getattr(model, name), value, rtol=SAME, atol=SAME * scale, err_msg=name
        )


def arrays(chunk=70):
    return (
        da.from_array(X, chunks=(chunk, 2)),
        da.from_array(Y, chunks=chunk),
        da.from_array(GROUPS, chunks=50),
    )


def frame(n=5):
    return dd.from_pandas(TABLE, npartitions=n)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"method": "ml", "alpha": 1.0}, {"fit_intercept": False}],
    ids=str,
)
def test_arrays(parameters):
    expected = RandomInterceptRegressor(**parameters).fit(X, Y, groups=GROUPS)
    lazy_X, lazy_y, lazy_groups = arrays()
    model = RandomInterceptRegressor(**parameters)
    assert_same(model.fit(lazy_X, lazy_y, groups=lazy_groups), expected)
    # Columns in memory are cut as X is.
    assert_same(clone(model).fit(lazy_X, Y, groups=GROUPS), expected)


def test_weights():
    weight = (np.arange(300) % 3).astype(float)
    weight[:70] = 0  # a whole partition
    expected = RandomInterceptRegressor()
    expected.fit(X, Y, groups=GROUPS, sample_weight=weight)
    lazy_X, lazy_y, lazy_groups = arrays()
    model = RandomInterceptRegressor().fit(
        lazy_X, lazy_y, groups=lazy_groups, sample_weight=weight
    )
    assert_same(model, expected)


def test_dataframes_of_which_every_partition_has_labels_of_its_own():
    table = TABLE.sort_values("school", kind="stable")
    lazy = dd.from_pandas(table.reset_index(drop=True), npartitions=6)
    expected = RandomInterceptRegressor()
    expected.fit(TABLE[list("abc")], Y, groups=LABELS)
    model = RandomInterceptRegressor()
    model.fit(lazy[list("abc")], lazy["y"], groups=lazy["school"])
    assert_same(model, expected)
    assert_array_equal(model.feature_names_in_, list("abc"))
    categories = lazy["school"].astype("category")
    model.fit(lazy[list("abc")], lazy["y"], groups=categories)
    assert_same(model, expected)


def test_the_second_door():
    columns = [*"abc", "school"]
    expected = RandomInterceptRegressor(group_feature="school")
    expected.fit(TABLE[columns], Y)
    lazy = frame()
    model = clone(expected).fit(lazy[columns], lazy["y"])
    assert_same(model, expected)
    assert_allclose(model.predict(lazy[columns]), expected.predict(TABLE[columns]))


def test_unknown_lengths_and_empty_partitions():
    some = frame()[frame()["a"] > 0]
    some = dd.concat([some, frame()[frame()["a"] > 99]])
    chosen = TABLE[TABLE["a"] > 0]
    features = some[list("abc")].to_dask_array()
    assert np.isnan(features.chunks[0]).all()
    expected = RandomInterceptRegressor()
    expected.fit(chosen[list("abc")].to_numpy(), chosen["y"], groups=chosen["school"])
    target = some["y"].to_dask_array()
    model = RandomInterceptRegressor().fit(features, target, groups=some["school"])
    assert_same(model, expected)
    predicted = model.predict(features, groups=some["school"]).compute()
    wanted = expected.predict(chosen[list("abc")].to_numpy(), groups=chosen["school"])
    assert_allclose(predicted, wanted, rtol=1e-10)
    with pytest.raises(TypeError, match="partitions have unknown lengths"):
        model.fit(features, chosen["y"], groups=some["school"])


@pytest.mark.parametrize(
    "model", [RandomInterceptRegressor(), HeteroscedasticGaussianRegressor()], ids=str
)
def test_predictions_are_lazy_and_the_same(model):
    model = clone(model).fit(X, Y, groups=GROUPS)
    lazy_X, _, lazy_groups = arrays()
    mean, std = model.predict(lazy_X, groups=lazy_groups, return_std=True)
    assert isinstance(mean, da.Array)
    assert mean.shape == std.shape == (300,)
    expected = model.predict(X, groups=GROUPS, return_std=True)
    assert_allclose(dask.compute(mean, std), expected, rtol=1e-13)
    with pytest.warns(PopulationPredictionWarning):
        population = [model.predict(lazy_X), model.predict(X)]
    assert_allclose(*population, rtol=1e-13)


METHODS = [
    ("predict_interval", False),
    ("predict_noise_std", False),
    ("sample_y", False),
    ("log_predictive_density", True),
    ("score", True),
]


@pytest.mark.parametrize("method, has_y", METHODS, ids=[name for name, _ in METHODS])
def test_columns_keep_their_names_in_every_method(method, has_y):
    """scikit-learn reads no names of Dask's: columns in another order went unseen."""
    rows, columns = dd.from_pandas(TABLE, npartitions=3), list("abc")
    model = LinearMixedRegressor().fit(TABLE[columns], Y, groups=LABELS)
    call, groups = getattr(model, method), rows["school"]
    y = [rows["y"]] if has_y else []
    found = call(rows[columns], *y, groups=groups)
    near = call(TABLE[columns], *([Y] if has_y else []), groups=LABELS)
    assert_allclose(found, near, rtol=SAME)
    with pytest.raises(ValueError, match="feature names should match"):
        call(rows[columns[::-1]], *y, groups=groups)


def test_a_partition_is_a_batch():
    lazy_X, lazy_y, lazy_groups = arrays()
    model = RandomInterceptRegressor().fit(X[:100], Y[:100], groups=GROUPS[:100])
    rest = lazy_X[100:], lazy_y[100:]
    model.partial_fit(*rest, groups=lazy_groups[100:])
    assert_same(model, RandomInterceptRegressor().fit(X, Y, groups=GROUPS))


def test_errors_say_where():
    lazy_X, lazy_y, lazy_groups = arrays()
    labels = [None, *GROUPS[1:].tolist()]
    labels = da.from_array(np.array(labels, dtype=object), chunks=70)
    with pytest.raises(ValueError, match="1 of 70 group labels are missing") as error:
        RandomInterceptRegressor().fit(lazy_X, lazy_y, groups=labels)
    assert "partition 0 of 5" in error.value.__notes__[0]
    with pytest.raises(ValueError, match="X has 300 rows and another argument 9"):
        RandomInterceptRegressor().fit(lazy_X, Y[:9], groups=lazy_groups)
    with pytest.raises(ValueError, match="have no rows of weight"):
        RandomInterceptRegressor().fit(
            lazy_X, lazy_y, groups=lazy_groups, sample_weight=np.zeros(300)
        )


def test_partitions_that_do_not_fit_together():
    frames = dd.from_pandas(TABLE, npartitions=3)
    others = dd.from_pandas(TABLE, npartitions=2)
    with pytest.raises(ValueError, match="X has 3 partitions and another argument 2"):
        RandomInterceptRegressor().fit(
            frames[["a", "b"]], others["y"], groups=frames["school"]
        )
    parts = [dask.delayed(TABLE[list(names)]) for names in ("abc", "ab")]
    ragged = dd.from_delayed(parts, meta=TABLE[["a", "b"]], verify_meta=False)
    y = dd.from_delayed([dask.delayed(TABLE["y"])] * 2, meta=TABLE["y"])
    labels = dd.from_delayed([dask.delayed(TABLE["school"])] * 2, meta=TABLE["school"])
    with pytest.raises(ValueError, match="Partitions of X have 3 and 2 columns"):
        RandomInterceptRegressor().fit(ragged, y, groups=labels)


# Of a search whose steps are the same, but for the rounding of sums in another order.
SEARCHED = 1e-10
SEARCHED_FIGURES = [
    "coef_",
    "intercept_",
    "coef_covariance_",
    "variance_coef_",
    "variance_intercept_",
    "variance_coef_covariance_",
    "group_variance_",
    "random_intercepts_",
    "random_intercepts_std_",
    "group_effects_",
    "group_effects_std_",
    "variance_group_effects_",
    "log_likelihood_",
]


def assert_same_search(model, expected):
    assert_array_equal(model.groups_, expected.groups_)
    for name in SEARCHED_FIGURES:
        value = getattr(expected, name)
        scale = np.abs(value).max(initial=0)
        assert_allclose(
            getattr(model, name), value, atol=SEARCHED * scale, rtol=0, err_msg=name
        )


@pytest.fixture
def many_rows(monkeypatch):
    """Search as where there are many rows: there is one start, and they stay."""
    monkeypatch.setattr("skmixed._rows.dask.FITS_IN_MEMORY", 0)
    monkeypatch.setattr("skmixed._search.heteroscedastic.search.MANY_ROWS", 100)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"method": "ml", "alpha": 1.0, "variance_alpha": 0.1},
        {"mean_groups": None, "mean_features": [0, 1], "variance_features": [2]},
        {"mean_groups": "fixed", "variance_groups": "fixed"},
        {"variance_groups": "fixed", "variance_features": [0]},
    ],
    ids=str,
)
def test_the_heteroscedastic_search_visits_the_partitions(parameters, many_rows):
    expected = HeteroscedasticGaussianRegressor(**parameters)
    expected.fit(X, Y, groups=GROUPS)
    lazy_X, lazy_y, lazy_groups = arrays()
    model = HeteroscedasticGaussianRegressor(**parameters)
    assert_same_search(model.fit(lazy_X, lazy_y, groups=lazy_groups), expected)


def test_the_heteroscedastic_search_with_weights(many_rows):
    weight = (np.arange(300) % 3).astype(float)
    weight[:70] = 0  # a whole partition
    options = {"mean_groups": "fixed", "variance_groups": "fixed"}
    expected = HeteroscedasticGaussianRegressor(**options)
    model = clone(expected)
    lazy_X, lazy_y, lazy_groups = arrays()
    expected.fit(X, Y, groups=GROUPS, sample_weight=weight)
    model.fit(lazy_X, lazy_y, groups=lazy_groups, sample_weight=weight)
    assert_same_search(model, expected)


def test_a_heteroscedastic_fit_of_dataframes(many_rows):
    """Names, labels that differ by partition, unknown lengths, partitions without
    rows.
    """
    chosen = TABLE[TABLE["a"] > 0].sort_values("school", kind="stable")
    lazy = dd.from_pandas(TABLE.sort_values("school"), npartitions=6, sort=False)
    lazy = dd.concat([lazy[lazy["a"] > 0], lazy[lazy["a"] > 99]])
    options = {"variance_features": ["a", "b"], "group_feature": "school"}
    columns = [*"abc", "school"]
    expected = HeteroscedasticGaussianRegressor(**options)
    expected.fit(chosen[columns], chosen["y"])
    model = HeteroscedasticGaussianRegressor(**options)
    model.fit(lazy[columns], lazy["y"])
    assert_same_search(model, expected)
    assert_array_equal(model.feature_names_in_, columns)


def test_partitions_may_have_labels_of_different_kinds():
    order = np.argsort(GROUPS, kind="stable")
    labels = np.array([int(g) if g % 2 else f"s{g}" for g in GROUPS], dtype=object)
    sizes = tuple(np.bincount(GROUPS).tolist())  # a group in each
    lazy = [
        da.from_array(values[order], chunks=(sizes, *values.shape[1:]))
        for values in (X, Y, labels)
    ]
    expected = RandomInterceptRegressor().fit(X, Y, groups=labels)
    model = RandomInterceptRegressor().fit(*lazy[:2], groups=lazy[2])
    assert set(model.groups_) == set(expected.groups_)
    assert_allclose(model.log_likelihood_, expected.log_likelihood_, rtol=SAME)
    assert_allclose(model.predict(X, groups=labels), expected.predict(X, groups=labels))


@pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler")
@pytest.mark.parametrize("cluster_is_near", [True, False])
def test_a_heteroscedastic_fit_without_a_cluster(monkeypatch, cluster_is_near):
    def no_client():
        raise ValueError("No clients found")

    if not cluster_is_near:
        monkeypatch.setattr(distributed, "default_client", no_client)
    lazy_X, lazy_y, lazy_groups = arrays()
    expected = HeteroscedasticGaussianRegressor().fit(X, Y, groups=GROUPS)
    with dask.config.set(scheduler="threads"):
        model = HeteroscedasticGaussianRegressor()
        model.fit(lazy_X, lazy_y, groups=lazy_groups)
    assert_same_search(model, expected)


@pytest.mark.parametrize(
    "kind",
    ["dense", "sparse", "weighted", "partly weighted", "second door", "no groups"],
)
def test_few_rows_are_fetched(kind, monkeypatch):
    """The search makes no round trip, and ends with the same bits but for the order."""

    def reduced(*_, **__):
        raise AssertionError("a round trip")

    monkeypatch.setattr("skmixed._rows.dask.LazyParts.reduce", reduced)
    weight = None
    lazy_X, lazy_y, lazy_groups = arrays()
    here = X
    if kind == "sparse":
        here = sparse.csr_array(X)
        # Dask does not join sparse blocks that divide the columns.
        lazy_X = lazy_X.rechunk({1: -1}).map_blocks(sparse.csr_array)
    if kind == "weighted":
        weight = 1.0 + np.arange(300) % 3
    if kind == "partly weighted":
        weight = np.ones(300)  # of the first partitions, as if there were none
        weight[150:] = np.arange(150) % 3
    if kind == "second door":
        model = HeteroscedasticGaussianRegressor(group_feature="school")
        expected = clone(model).fit(TABLE[[*"abc", "school"]], Y)
        model.fit(frame()[[*"abc", "school"]], frame()["y"])
    elif kind == "no groups":
        model = HeteroscedasticGaussianRegressor(mean_groups=None)
        expected = clone(model).fit(here, Y)
        model.fit(lazy_X, lazy_y)
    else:
        model = HeteroscedasticGaussianRegressor()
        expected = clone(model).fit(here, Y, groups=GROUPS, sample_weight=weight)
        model.fit(lazy_X, lazy_y, groups=lazy_groups, sample_weight=weight)
        found = model.predict(lazy_X, groups=lazy_groups).compute()
        assert_allclose(found, expected.predict(here, groups=GROUPS), rtol=1e-9)
    assert_same_search(model, expected)


def test_a_process_is_killed_during_the_search(many_rows, monkeypatch):
    """The cluster computes again what only this process had."""
    monkeypatch.setattr("skmixed._search.modelled_noise.SOME_ROWS", 0)
    modelled = HeteroscedasticGaussianRegressor()
    mixed = LinearMixedRegressor("(x0 | g)", variance_features=[1])
    expected = [clone(model).fit(X, Y, groups=GROUPS) for model in (modelled, mixed)]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    reduce, calls = lazy_dask.LazyParts.reduce, []
    with (
        distributed.LocalCluster(**options, dashboard_address=":0") as local,
        distributed.Client(local, set_as_default=True) as client,
    ):

        def reduce_or_kill(self, function, *arguments, join=add):
            calls.append(1)
            if len(calls) == 5:
                pids = client.run(os.getpid)
                os.kill(next(iter(pids.values())), signal.SIGKILL)
            return reduce(self, function, *arguments, join=join)

        monkeypatch.setattr(lazy_dask.LazyParts, "reduce", reduce_or_kill)
        lazy_X, lazy_y, lazy_groups = arrays()
        for model in (modelled, mixed):
            calls.clear()
            model.fit(lazy_X, lazy_y, groups=lazy_groups)
            assert len(calls) > 5
    assert_same_search(modelled, expected[0])
    for name in ("coef_", "variance_coef_", "log_likelihood_"):
        got, want = (getattr(model, name) for model in (mixed, expected[1]))
        assert_allclose(got, want, atol=1e-8 * np.abs(want).max())


# ------------------------------------------------------------- the linear mixed model

MIXED = "(a | school) + (1 | item)"
ITEMS = TABLE.assign(item=[f"i{k}" for k in np.arange(300) * 7 % 11])
SAME_MIXED = 1e-8  # the search of several factors ends by rounding of the value
SAME_ONE_FACTOR = 1e-10


def assert_same_mixed(model, expected, tolerance=SAME_MIXED):
    for name in ("coef_", "intercept_", "coef_covariance_", "log_likelihood_"):
        value = getattr(expected, name)
        scale = tolerance * np.abs(value).max()
        assert_allclose(getattr(model, name), value, rtol=0, atol=scale)
    for factor in expected.groups_:
        assert_array_equal(model.groups_[factor], expected.groups_[factor])
        value = expected.random_effects_[factor]
        scale = tolerance * np.abs(value).max()
        assert_allclose(model.random_effects_[factor], value, atol=scale)


@pytest.fixture(scope="module")
def mixed():
    expected = LinearMixedRegressor(MIXED)
    return expected.fit(ITEMS[list("abc")], Y, groups=ITEMS[["school", "item"]])


def test_a_mixed_model_of_dataframes_with_labels_that_differ_by_partition(mixed):
    table = ITEMS.sort_values("school", kind="stable").reset_index(drop=True)
    lazy = dd.from_pandas(table, npartitions=6)
    lazy = dd.concat([lazy, lazy[lazy["a"] > 99]])  # without rows
    X, groups = lazy[list("abc")], lazy[["school", "item"]]
    model = LinearMixedRegressor(MIXED).fit(X, lazy["y"], groups=groups)
    assert_same_mixed(model, mixed)
    mean, std = model.predict(X, groups=groups, return_std=True)
    want = mixed.predict(table[list("abc")], groups=table, return_std=True)
    assert_allclose(mean.compute(), want[0], atol=SAME_MIXED * 10)
    assert_allclose(std.compute(), want[1], rtol=SAME_MIXED)
    mean = model.predict_mean(X, groups=groups, factors=["item"])
    want = mixed.predict_mean(table[list("abc")], groups=table, factors=["item"])
    assert_allclose(mean.compute(), want, atol=SAME_MIXED * 10)
    with pytest.warns(PopulationPredictionWarning):
        model.predict(X)


def test_a_mixed_model_of_arrays(mixed):
    lazy_X, lazy_y, _ = arrays()
    terms = "(x0 | school) + (1 | item)"
    model = LinearMixedRegressor(terms)
    model.fit(lazy_X, lazy_y, groups=ITEMS[["school", "item"]])
    assert_same_mixed(model, mixed)
    labels = ITEMS[["school", "item"]].to_numpy(dtype=object)
    lazy_groups = da.from_array(labels, chunks=(50, 1))
    model = LinearMixedRegressor("(x0 | g0) + (1 | g1)")
    model.fit(lazy_X, lazy_y, groups=lazy_groups)
    assert_allclose(model.coef_, mixed.coef_, atol=SAME_MIXED)
    labels[3, 1] = None
    with pytest.raises(ValueError, match="missing") as caught:
        model.fit(lazy_X, lazy_y, groups=labels)
    assert "partition 0 of 5" in caught.value.__notes__[0]


def lethal(marker):
    """Features that kill the process which computes them, as long as a file is there;
    with None, always.
    """

    def kill(block):  # within a function: workers cannot import this module
        if marker is None or marker.exists():
            if marker is not None:
                marker.unlink(missing_ok=True)  # another process may have been first
            os.kill(os.getpid(), signal.SIGKILL)
        return block

    return arrays()[0].map_blocks(kill, dtype=float, meta=X[:0])


def test_a_process_is_killed_while_it_sums(mixed, tmp_path):
    """The cluster computes again what it had, in every fit by sums of partitions."""
    marker = tmp_path / "alive"
    one = LinearMixedRegressor("(x0 | school)")
    cases = [
        (RandomInterceptRegressor(), GROUPS),
        (one, ITEMS["school"]),
        (LinearMixedRegressor("(x0 | school) + (1 | item)"), ITEMS[["school", "item"]]),
    ]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True}
    with (
        distributed.LocalCluster(**options, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        for model, labels in cases:
            marker.touch()
            model.fit(lethal(marker), Y, groups=labels)
            assert not marker.exists()
        # A cluster that is closed while a worker begins anew may wait for ever.
        client.wait_for_workers(2, timeout=60)
    assert_same(cases[0][0], RandomInterceptRegressor().fit(X, Y, groups=GROUPS))
    expected = clone(one).fit(X, Y, groups=ITEMS["school"])
    assert_same_mixed(one, expected, SAME_ONE_FACTOR)
    assert_same_mixed(cases[2][0], mixed)


@pytest.mark.skipif(
    tuple(map(int, distributed.__version__.split(".")[:2])) < CLOSES,
    reason="this distributed waits for ever where it closes a worker that begins anew",
)
def test_processes_that_are_always_killed_are_one_error():
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": True}
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(**options, dashboard_address=":0") as local,
        distributed.Client(local) as client,
    ):
        for model in (RandomInterceptRegressor(), LinearMixedRegressor()):
            with pytest.raises(distributed.KilledWorker, match="died"):
                model.fit(lethal(None), Y, groups=GROUPS)
            assert not hasattr(model, "coef_")
        # A cluster that is closed while a worker begins anew may wait for ever.
        client.wait_for_workers(1, timeout=60)


@pytest.mark.parametrize("terms", ["(a | school)", "(1 | school)", "(a || school)"])
def test_one_factor_with_labels_that_differ_by_partition(terms):
    table = ITEMS.sort_values("school", kind="stable").reset_index(drop=True)
    lazy = dd.from_pandas(table, npartitions=6)
    backwards = dd.concat([lazy.partitions[k] for k in (5, 2, 4, 0, 3, 1)])
    expected = LinearMixedRegressor(terms)
    expected.fit(ITEMS[list("abc")], Y, groups=ITEMS["school"])
    for some in (lazy, backwards):
        model = LinearMixedRegressor(terms)
        model.fit(some[list("abc")], some["y"], groups=some["school"])
        assert_same_mixed(model, expected, SAME_ONE_FACTOR)


def test_a_fit_leaves_the_configuration_of_dask_alone():
    """Also where `distributed` is imported by nothing but the fit itself."""
    code = """
import dask, numpy as np
import dask.array as da
from skmixed import RandomInterceptRegressor
rng = np.random.default_rng(0)
X = da.from_array(rng.normal(size=(40, 1)), chunks=10)
y = da.from_array(rng.normal(size=40), chunks=10)
groups = da.from_array(np.arange(40) % 5, chunks=10)
model = RandomInterceptRegressor().fit(X, y, groups=groups)
assert dask.config.get("distributed.comm.timeouts.connect")
model.predict(X, groups=groups).compute()
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(skmixed.__file__).parents[1])}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


N = 300
RNG = np.random.default_rng(8)
FRAME = pd.DataFrame(RNG.normal(size=(N, 2)), columns=["x", "z"])
FRAME["s"], FRAME["i"] = RNG.integers(0, 9, N), RNG.integers(0, 5, N)
FRAME["class"] = FRAME["s"] // 3
FRAME["weight"] = RNG.integers(0, 3, N)
FRAME["y"] = (1 + FRAME["x"]) * RNG.normal(size=9)[FRAME["s"]] + FRAME["x"]
FRAME["y"] += RNG.normal(size=5)[FRAME["i"]]
FRAME["y"] += np.exp(0.4 * FRAME["z"]) * RNG.normal(size=N)
ONE_NOISE = {"random_effects": "(x | s)", "variance_features": ["z", "x"]}
OF_TERMS = {
    "one factor": ONE_NOISE,
    "offset": ONE_NOISE | {"variance_features": ["z"], "variance_offset": "x"},
    "ridges": ONE_NOISE | {"method": "ml", "alpha": 1.0, "variance_alpha": 1.0},
    "nested": ONE_NOISE | {"random_effects": "(x | class/s)"},
    "crossed": ONE_NOISE | {"random_effects": "(x | s) + (z | i)"},
    "no effects": ONE_NOISE | {"random_effects": ()},
}


def noisy_rows(table):
    """The arguments of a fit with weights."""
    rows = {"groups": table[["s", "i", "class"]], "sample_weight": table["weight"]}
    return (table[["x", "z"]], table["y"]), rows


# Older versions of Dask wonder about a scheduler of this process beside a cluster.
@pytest.mark.filterwarnings("ignore:Running on a single-machine scheduler:UserWarning")
@pytest.mark.parametrize("parameters", OF_TERMS.values(), ids=OF_TERMS)
@pytest.mark.parametrize("fetched", [False, True])
def test_a_modelled_noise_of_partitions(parameters, fetched, monkeypatch):
    """Rows that workers hold, and those that are few enough to be fetched."""
    if not fetched:
        monkeypatch.setattr("skmixed._rows.dask.FITS_IN_MEMORY", 0)
        # Round trips are slow: there is one start, as where there are many rows.
        monkeypatch.setattr("skmixed._search.modelled_noise.SOME_ROWS", 0)
    parts = [FRAME[:100], FRAME[100:220], FRAME[220:]]
    lazy = dd.from_delayed(list(map(dask.delayed, parts)), meta=FRAME[:0])
    rows, others = noisy_rows(FRAME)
    expected = LinearMixedRegressor(**parameters).fit(*rows, **others)
    rows, others = noisy_rows(lazy)
    on_cluster = parameters is OF_TERMS["crossed"]
    with dask.config.set({} if on_cluster else {"scheduler": "synchronous"}):
        model = LinearMixedRegressor(**parameters).fit(*rows, **others)
    names = ["coef_", "coef_covariance_", "variance_coef_", "log_likelihood_"]
    names += ["variance_coef_covariance_"]
    pairs = [(getattr(model, name), getattr(expected, name)) for name in names]
    pairs += [
        (model.random_effects_covariance_[factor], covariance)
        for factor, covariance in expected.random_effects_covariance_.items()
    ]
    groups = FRAME[["s", "i", "class"]]
    X, how = FRAME[["x", "z"]], {"groups": groups, "return_std": True}
    pairs += zip(model.predict(X, **how), expected.predict(X, **how), strict=True)
    for got, want in pairs:
        assert_allclose(got, want, atol=SEVERAL * np.abs(want).max(), rtol=0)
    lines = str(expected.summary()).splitlines()
    if not fetched:  # rows of which the integrated distribution needs in memory
        lines = [line for line in lines if "distribution=" not in line]
    assert str(model.summary()).splitlines() == lines
