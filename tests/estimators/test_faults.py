"""Interrupts, other threads and processes, stored models, memory: a model is in one
state, whatever happens.

docs/studies/faults.py has the tools, and tries more of the same.
"""

import base64
import gc
import importlib.util
import json
import pickle
import random
import sys
import threading
import warnings
import weakref
import zlib
from copy import copy, deepcopy
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from oracles.studies import load
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold

import skmixed
from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of
from skmixed.model_selection import cross_validate_groups

STUDY = load("faults")
OLD, NEW, LATER = STUDY.OLD, STUDY.NEW, STUDY.LATER
FIT, UPDATE = STUDY.fit, STUDY.update
MODELS = {
    "homoscedastic": RandomInterceptRegressor(),
    # One that is fitted fast; the study has the others.
    "heteroscedastic": HeteroscedasticGaussianRegressor(
        method="ml", variance_features=[]
    ),
}
CHANGES = [
    pytest.param(name, change, id=f"{change.__name__} {name}")
    for name, model in MODELS.items()
    for change in STUDY.changes(model)
]
N_POINTS = 20


def fitted(name, rows=OLD):
    return FIT(clone(MODELS[name]), rows)


# ---------------------------------------------------------------- errors, interrupts


@pytest.mark.parametrize("name, change", CHANGES)
def test_an_interrupt_leaves_the_state_before_or_after(name, change):
    """`fit` used to leave attributes of the old fit beside some of the new."""
    rng = np.random.default_rng(0)
    n_lines, n_points, failures = STUDY.interrupted_changes(
        MODELS[name], change, N_POINTS, rng
    )
    assert n_lines > 200
    assert n_points > N_POINTS / 2
    assert not failures


MIXED = {
    name: STUDY.MODELS[name]
    for name in (
        "slopes",
        "crossed",
        "... iterative",
        "modelled noise",
        "any regressor",
    )
}
MIXED_CHANGES = [
    pytest.param(name, change, id=f"{change.__name__} {name}")
    for name, model in MIXED.items()
    for change in STUDY.changes(model)
]
N_MIXED_POINTS = 5


@pytest.mark.parametrize("name, change", MIXED_CHANGES)
def test_an_interrupt_leaves_a_mixed_model_before_or_after(name, change):
    rng = np.random.default_rng(0)
    n_lines, n_points, failures = STUDY.interrupted_changes(
        MIXED[name], change, N_MIXED_POINTS, rng
    )
    assert n_lines > 200
    assert n_points > N_MIXED_POINTS / 2
    assert not failures


# The iterative search has ten times as many lines; the study tries it.
@pytest.mark.parametrize(
    "name, change", [each for each in MIXED_CHANGES if "iterative" not in each.id]
)
def test_a_mixed_model_that_another_thread_changes_is_heard_in_one_state(name, change):
    rng = np.random.default_rng(0)
    model = MIXED[name]
    means = [STUDY.means] if hasattr(model, "predict_mean") else []
    for ask in (STUDY.prediction, STUDY.stored, *means):
        for tried in (STUDY.questions_amid, STUDY.changes_amid):
            _, n_points, failures = tried(model, ask, change, N_MIXED_POINTS, rng)
            assert n_points > N_MIXED_POINTS / 4
            assert not failures


@pytest.mark.parametrize("name", MIXED)
def test_two_threads_that_fit_one_model_leave_the_fit_of_one(name):
    old, new, _ = STUDY.sets_of(MIXED[name])
    told = [STUDY.prediction(FIT(clone(MIXED[name]), rows)) for rows in (old, new)]
    model, interval = clone(MIXED[name]), sys.getswitchinterval()
    threads = [threading.Thread(target=FIT, args=(model, rows)) for rows in (old, new)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert any(np.array_equal(STUDY.prediction(model), answer) for answer in told)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ask", [STUDY.prediction, STUDY.summary])
def test_an_interrupted_question_leaves_no_trace(name, ask):
    rng = np.random.default_rng(0)
    _, _, failures = STUDY.interrupted_questions(MODELS[name], ask, 10, rng)
    assert not failures
    model = fitted(name)
    before = pickle.dumps(model)
    ask(model)
    assert pickle.dumps(model) == before


@pytest.mark.parametrize("name", MODELS)
def test_a_first_fit_that_fails_leaves_no_fitted_model(name):
    """The number of columns used to be there, and the model passed for fitted."""
    model = clone(MODELS[name])
    before = set(vars(model))
    X, y, groups = OLD
    with pytest.raises(ValueError, match="missing"):
        model.fit(X, y, groups=[None] * len(y))
    with pytest.raises(KeyboardInterrupt):
        STUDY.at_line(
            1000, STUDY.fault(KeyboardInterrupt), lambda: model.fit(X, y, groups=groups)
        )
    with pytest.raises(GroupsWarning, match="No `groups` were given"):
        model.fit(X, y)  # a warning that is an error here
    assert set(vars(model)) == before
    with pytest.raises(NotFittedError):
        model.predict(X)


BAD = {
    "NaN in X": {"X": np.where(NEW[0] > 2, np.nan, NEW[0]) * [1, np.nan]},
    "three columns": {"X": np.column_stack([NEW[0], NEW[1]])},
    "text in y": {"y": np.array(["a"] * 50)},
    "short y": {"y": NEW[1][:-1]},
    "missing label": {"groups": [None, *NEW[2][1:]]},
    "labels in two columns": {"groups": np.column_stack([NEW[2], NEW[2]])},
    "masked X": {"X": np.ma.masked_less(NEW[0], 0)},
    "out of range": {"X": 1e200 * NEW[0]},
}
BAD_AS_WELL = {
    "labels of another kind": {"groups": NEW[2].astype(str)},
    "negative weight": {"sample_weight": np.linspace(-1, 1, 50)},
    "infinite weight": {"sample_weight": np.full(50, np.inf)},
}


@pytest.mark.parametrize("what", [*BAD, *BAD_AS_WELL])
def test_a_bad_batch_changes_nothing_whichever_it_is(what):
    arguments = dict(zip(("X", "y", "groups"), NEW, strict=True))
    arguments |= (BAD | BAD_AS_WELL)[what]
    later = {"three columns", "labels of another kind"}  # a first batch may have them
    model = RandomInterceptRegressor()
    for number, rows in enumerate((OLD, NEW, LATER)):
        before = STUDY.state(model)
        if number or what not in later:
            with pytest.raises((TypeError, ValueError)):
                model.partial_fit(**arguments)
        assert STUDY.state(model) == before
        STUDY.partial_fit(model, rows)
    expected = RandomInterceptRegressor()
    for rows in (OLD, NEW, LATER):
        STUDY.partial_fit(expected, rows)
    assert STUDY.state(model) == STUDY.state(expected)


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("name", MODELS)
def test_bad_rows_change_nothing(name, what):
    model = fitted(name)
    before = STUDY.state(model)
    arguments = dict(zip(("X", "y", "groups"), NEW, strict=True)) | BAD[what]
    changes = [model.update_random_intercepts]
    if what != "three columns":
        changes.append(model.fit)
    for change in changes:
        if change == model.update_random_intercepts and what == "out of range":
            continue  # an update only adds residuals
        with pytest.raises((TypeError, ValueError)):
            change(**arguments)
        assert STUDY.state(model) == before


# --------------------------------------------------------------- threads, processes


@pytest.mark.parametrize("name, change", CHANGES)
def test_a_question_in_the_midst_of_a_change_hears_one_state(name, change):
    """Predictions used to mix the attributes of two fits."""
    rng = np.random.default_rng(0)
    for ask in (STUDY.prediction, STUDY.stored):
        _, n_points, failures = STUDY.questions_amid(MODELS[name], ask, change, 16, rng)
        assert n_points > N_POINTS / 4
        assert not failures


@pytest.mark.parametrize("name, change", CHANGES)
def test_a_change_in_the_midst_of_a_question_does_not_show(name, change):
    """Predictions used to mix codes of the old groups with figures of the new."""
    rng = np.random.default_rng(0)
    ridge = clone(MODELS[name]).set_params(alpha=1.0)  # whose summary is short
    for ask in (STUDY.prediction, STUDY.density, STUDY.summary):
        _, _, failures = STUDY.changes_amid(ridge, ask, change, N_POINTS // 2, rng)
        assert not failures


def test_threads_that_predict_while_another_changes_the_model():
    model = fitted("homoscedastic")
    told = [STUDY.prediction(FIT(model, rows)) for rows in (NEW, OLD)]
    heard, done = [], threading.Event()

    def listen():
        while not done.is_set():
            heard.append(STUDY.prediction(model))

    interval = sys.getswitchinterval()
    listeners = [threading.Thread(target=listen) for _ in range(4)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in listeners:
            thread.start()
        for _ in range(5):
            FIT(model, NEW)
            FIT(model, OLD)
    finally:
        done.set()
        for thread in listeners:
            thread.join()
        sys.setswitchinterval(interval)
    assert len(heard) >= 4
    for answer in heard:
        assert any(np.array_equal(answer, one) for one in told)


@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_parallel_fits_within_parallel_searches(backend):
    X, y, groups = STUDY.simulate(20, 4000)
    grid, cv = {"alpha": [0.0, 1.0]}, GroupKFold(2)
    with sklearn.config_context(enable_metadata_routing=True):
        one = GridSearchCV(RandomInterceptRegressor(), grid, cv=cv)
        one.fit(X, y, groups=groups)
        two = GridSearchCV(RandomInterceptRegressor(n_jobs=2), grid, cv=cv, n_jobs=2)
        with joblib.parallel_config(backend=backend):
            two.fit(X, y, groups=groups)
    # Sums over blocks in another order.
    assert_allclose(two.best_estimator_.coef_, one.best_estimator_.coef_, rtol=1e-12)


@pytest.mark.parametrize("name, method", [("heteroscedastic", "forkserver")])
def test_a_model_fitted_in_a_child_goes_on_here(name, method):
    X, y, groups = OLD
    with get_context(method).Pool(1) as pool:
        model = pool.apply(clone(MODELS[name]).fit, (X, y), {"groups": groups})
        expected = fitted(name)
        assert_array_equal(STUDY.prediction(model), STUDY.prediction(expected))
        UPDATE(model, NEW)
        there = pool.apply(model.predict, LATER[:1], {"groups": LATER[2]})
    UPDATE(expected, NEW)
    assert_array_equal(STUDY.prediction(model), STUDY.prediction(expected))
    assert_array_equal(there, STUDY.prediction(expected)[0])


def test_no_filter_of_the_process_is_touched():
    """Before Python 3.14 `catch_warnings` in one thread undoes filters of others."""
    for path in Path(skmixed.__file__).parent.rglob("*.py"):
        assert "catch_warnings" not in path.read_text(), path


def test_splitters_hear_of_groups_only_if_they_use_them():
    """Their warning used to be silenced by a filter of the whole process."""
    X, y, groups = OLD
    seen = []

    class Own(KFold):
        def split(self, X, y=None, groups=None):
            seen.append(groups)
            return super().split(X, y)

    for cv in (3, KFold(3), Own(3)):
        model = {"model": RandomInterceptRegressor()}
        cross_validate_groups(model, X, y, groups=groups, cv_new=cv)
    assert_array_equal(seen, [groups])


# ------------------------------------------------------------------- the caller's state


@pytest.mark.parametrize("name", STUDY.MODELS)
def test_nothing_global_is_changed(name):
    def globals_now():
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002
        numpy = (np.geterr(), np.get_printoptions(), kind, keys.tolist(), rest)
        return numpy, random.getstate(), list(warnings.filters), gc.isenabled()

    before = globals_now()
    model = STUDY.begun(STUDY.MODELS[name])
    for ask in STUDY.questions(model):
        ask(model)
    assert globals_now() == before


@pytest.mark.parametrize("scale", [1e-65, 1e-3, 1e60], ids=str)
@pytest.mark.parametrize("name", STUDY.MODELS)
def test_floating_point_errors_that_are_raised_do_not_stop_a_fit(name, scale):
    """Squares of shrunken coefficients of a tiny y used to underflow in the summary."""
    X, y, groups = STUDY.sets_of(STUDY.MODELS[name]).old
    X = min(scale, 1.0) * X
    with np.errstate(all="raise"):
        model = clone(STUDY.MODELS[name]).fit(X, scale * y, groups=groups)
        for ask in STUDY.questions(model):
            ask(model)


@pytest.mark.parametrize("name", STUDY.MODELS)
def test_what_is_printed_is_ascii(name):
    model = STUDY.begun(STUDY.MODELS[name])
    if hasattr(model, "summary"):
        assert str(model.summary()).isascii()
        assert model.summary()._repr_html_().isascii()
    for one in (model, clone(model)):
        assert type(model).__name__ in one._repr_html_()


def test_data_may_go_after_the_fit(tmp_path):
    X, y, groups = OLD
    path = tmp_path / "X"
    mapped = np.memmap(path, dtype=float, mode="w+", shape=X.shape)
    mapped[:] = X
    frame, target, labels = pd.DataFrame(X, columns=["a", "b"]), y.copy(), groups.copy()
    models = [clone(model) for model in MODELS.values()]
    for model in models:
        model.fit(mapped, target, groups=labels)
    named = RandomInterceptRegressor().fit(frame, target, groups=labels)
    del mapped
    path.unlink()
    target[:], labels[:] = 0, 0
    del frame["a"]
    for name, model in zip(MODELS, models, strict=True):
        assert STUDY.state(model).keys() == STUDY.state(fitted(name)).keys()
        assert_array_equal(STUDY.prediction(model), STUDY.prediction(fitted(name)))
    assert_array_equal(named.feature_names_in_, ["a", "b"])
    assert_array_equal(named.coef_, fitted("homoscedastic").coef_)


@pytest.mark.parametrize("name", MODELS)
def test_parameters_set_after_the_fit_wait_for_the_next(name):
    model = fitted(name)
    told = STUDY.prediction(model), STUDY.summary(model)
    model.set_params(alpha=9.0, method="ml", fit_intercept=False)
    assert_array_equal(STUDY.prediction(model), told[0])
    assert STUDY.summary(model) == told[1]


# --------------------------------------------------------------------------- memory


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


class Watched(np.ndarray):
    """An array that takes weak references."""


@pytest.mark.parametrize("form", ["array", "frame", "sparse"])
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("no_collection")
def test_no_row_is_kept(name, form):
    make = {"array": lambda X: X.view(Watched), "frame": pd.DataFrame}
    make["sparse"] = sparse.csr_array

    def ends(call):
        X, y, groups = OLD
        rows = make[form](X), y.copy().view(Watched), groups.copy().view(Watched)
        call(model, rows)
        return [weakref.ref(each) for each in rows]

    def refused(model, rows):
        with pytest.raises(ValueError, match="missing"):
            model.fit(*rows[:2], groups=np.where(rows[2] == 0, np.nan, rows[2]))

    def interrupted(model, rows):
        with pytest.raises(KeyboardInterrupt):
            STUDY.at_line(99, STUDY.fault(KeyboardInterrupt), lambda: FIT(model, rows))

    model = clone(MODELS[name])
    calls = [*STUDY.changes(model), refused, interrupted]
    calls.append(lambda model, rows: model.predict(rows[0], groups=rows[2]))
    for call in calls:
        assert not any(reference() is not None for reference in ends(call))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.usefixtures("no_collection")
def test_figures_of_groups_go_without_the_garbage_collector(name):
    """A wrapper of SciPy that refers to itself used to keep them."""
    model = fitted(name)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    FIT(model, NEW)
    for ask in STUDY.questions(model):
        ask(model)
    gc.collect()
    kept = [each for each in gc.garbage if type(each).__module__.startswith("skmixed")]
    assert not kept


def test_the_same_groups_again_do_not_make_a_model_larger():
    model, sizes = fitted("homoscedastic"), []
    for rows in [NEW, LATER] * 20:
        STUDY.partial_fit(model, rows)
        UPDATE(model, rows)
        sizes.append(len(pickle.dumps(model)))
    assert max(sizes[2:]) - min(sizes[2:]) < 20  # of the row count's digits


# --------------------------------------------------------------------- stored models


# Of a stored model: one of any regressor has the regressors of all folds, each a model.
MOST_BYTES = {
    RandomInterceptRegressor: 5_000,
    HeteroscedasticGaussianRegressor: 5_000,
    LinearMixedRegressor: 10_000,
    MixedEffectsRegressor: 50_000,
}
COPIES = {
    "copy": copy,
    "deepcopy": deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("name, change", CHANGES)
def test_a_copy_and_its_original_go_their_own_ways(name, change, how):
    model = fitted(name)
    before, told = STUDY.state(model), STUDY.prediction(model)
    other = COPIES[how](model)
    change(other, NEW)
    assert STUDY.state(model) == before
    third = COPIES[how](model)
    change(model, NEW)
    assert_array_equal(STUDY.prediction(third), told)
    assert_array_equal(STUDY.prediction(model), STUDY.prediction(other))


@pytest.mark.parametrize("name, change", CHANGES)
def test_a_model_in_a_memory_map_is_like_any_other(name, change, tmp_path):
    path = tmp_path / "model.joblib"
    joblib.dump(fitted(name), path)
    mapped = joblib.load(path, mmap_mode="r")
    assert_array_equal(STUDY.prediction(mapped), STUDY.prediction(fitted(name)))
    change(mapped, NEW)
    expected = STUDY.prediction(change(fitted(name), NEW))
    assert_array_equal(STUDY.prediction(mapped), expected)
    again = STUDY.prediction(joblib.load(path))
    assert_array_equal(again, STUDY.prediction(fitted(name)))


@pytest.fixture(scope="module", params=["models.json", "models_newest.json"])
def stored_models(request):
    return list(read_stored_models(request.param))


def read_stored_models(file):
    path = Path(__file__).parents[1] / "stored" / "models.py"
    spec = importlib.util.spec_from_file_location("models", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    stored = json.loads(path.with_name(file).read_text())["models"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GroupsWarning)
        made = {name: rest for name, *rest in module.models()}
    assert stored.keys() == made.keys()
    for name, (fresh, X, groups) in made.items():
        packed = zlib.decompress(base64.b64decode(stored[name]["pickle"]))
        yield name, packed, stored[name], fresh, X, groups


@pytest.mark.filterwarnings("ignore::skmixed.GroupsWarning")  # one without groups
def test_models_stored_by_other_versions_are_read(stored_models):
    """tests/stored/models.py made them, with the oldest versions of everything, and
    with those that were the newest: each reads what the other has stored.  A state
    that cannot be read any more needs another `STATE_FORMAT`, and models made anew.
    """
    for name, packed, expected, made, X, groups in stored_models:
        model = pickle.loads(packed)
        # As it is stored: without the rows that integrated distributions read.
        fresh = pickle.loads(pickle.dumps(made))
        mean, std = model.predict(X, groups=groups, return_std=True)
        # Products of matrices are summed in the order of another BLAS.
        first = slice(len(expected["mean"]))
        assert_allclose(mean[first], expected["mean"], rtol=1e-14, err_msg=name)
        assert_allclose(std[first], expected["std"], rtol=1e-14, err_msg=name)
        # Optima of the same likelihood, to Newton's tolerance.
        assert_allclose(mean, fresh.predict(X, groups=groups), rtol=1e-6, err_msg=name)
        if hasattr(model, "summary"):
            assert str(model.summary()) == str(fresh.summary()), name
        changed = []
        for one in (model, fresh):
            rows = {} if groups is None else {"groups": groups}
            if isinstance(one, LinearMixedRegressor):  # batches begin by partial_fit
                one.update_random_effects(X, mean, **rows)
                changed.append(one.predict(X, **rows))
                continue
            if hasattr(one, "partial_fit"):
                one.partial_fit(X, mean, **rows)
            if fit_of(one).has_random_intercepts:
                one.update_random_intercepts(X, mean, **rows)
            changed.append(one.predict(X, **rows))
        assert_allclose(*changed, rtol=1e-6, err_msg=name)


def test_what_is_stored_is_small_and_knows_no_machine(stored_models):
    for _, packed, _, fresh, _, _ in stored_models:
        for each in (packed, pickle.dumps(fresh, protocol=4)):
            assert str(Path.home()).encode() not in each
            assert b".py" not in each
            assert len(each) < MOST_BYTES[type(fresh)]


def test_a_model_of_another_format_is_refused():
    """It used to be read, and to fail with an AttributeError later."""
    model = fitted("homoscedastic")
    for found in (None, 0, 99):
        state = {**model.__getstate__(), "_state_format": found}
        if found is None:
            del state["_state_format"]
        with pytest.raises(ValueError, match=f"has format {found}, this version reads"):
            RandomInterceptRegressor().__setstate__(state)


@pytest.mark.parametrize("name", MIXED)
def test_a_mixed_model_of_another_format_is_refused(name):
    model = STUDY.begun(MIXED[name])
    for found in (None, 0, 99):
        state = {**model.__getstate__(), "_state_format": found}
        if found is None:
            del state["_state_format"]
        with pytest.raises(ValueError, match=f"has format {found}, this version reads"):
            clone(model).__setstate__(state)


def test_sizes_grow_with_groups():
    sizes = [
        len(pickle.dumps(FIT(RandomInterceptRegressor(), STUDY.simulate(g, 1000))))
        for g in (10, 20, 40, 80)
    ]
    steps = np.array([b - a for a, b in pairwise(sizes)]) / [10, 20, 40]
    assert_allclose(steps, steps[0], rtol=0.05)  # labels' names and digits


# ------------------------------------------------------------------- several workers


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing"])
@pytest.mark.parametrize("name", MODELS)
def test_a_fit_by_workers_of_any_kind(name, backend):
    """Those of "multiprocessing" could not pickle a local function."""
    rng = np.random.default_rng(0)
    groups = rng.integers(40, size=45_000)  # more rows than one worker is worth
    X = rng.normal(size=(45_000, 2))
    y = X.sum(axis=1) + rng.normal(size=40)[groups] + rng.normal(size=45_000)
    expected = clone(MODELS[name]).fit(X, y, groups=groups)
    with joblib.parallel_config(backend=backend):
        model = clone(MODELS[name]).set_params(n_jobs=2).fit(X, y, groups=groups)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-9)
    assert_allclose(model.log_likelihood_, expected.log_likelihood_, rtol=1e-12)
