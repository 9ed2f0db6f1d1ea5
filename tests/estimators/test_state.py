"""The state of a fitted model: one frozen fit, plain when stored, and read-only."""

import ast
import io
import pickle
from copy import copy, deepcopy
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from oracles.reference import simulate
from sklearn.base import clone

import skmixed
from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of
from skmixed._results.one_factor_summary import summarize_fit

X, Y, GROUPS = simulate(n=60)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
NAMES = np.array([f"school {g}" for g in GROUPS])
MODELS = [
    RandomInterceptRegressor(),
    RandomInterceptRegressor(alpha=1.0, method="ml"),
    HeteroscedasticGaussianRegressor(variance_features=[0]),
    HeteroscedasticGaussianRegressor(
        variance_features=np.array([0]), mean_groups="fixed", variance_groups="fixed"
    ),
]
# NumPy builds arrays by these; the last two are protocol 2's way to write bytes.
ALLOWED = {"numpy", "_codecs", "__builtin__"}
ROUTES = {
    "fit": lambda model: model,
    "copy": copy,
    "deepcopy": deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "pickle 2": lambda model: pickle.loads(pickle.dumps(model, protocol=2)),
}


def fitted(model):
    model = copy(model).fit(FRAME, Y, groups=NAMES)
    if fit_of(model).has_random_intercepts:
        model.update_random_intercepts(FRAME[:5], Y[:5], groups=NAMES[:5])
    return model


class Recorder(pickle.Unpickler):
    """A reader of pickles that notes everything that it is asked to import."""

    def __init__(self, pickled):
        super().__init__(io.BytesIO(pickled))
        self.wanted = set()

    def find_class(self, module, name):
        self.wanted.add((module, name))
        return super().find_class(module, name)


def classes_in(pickled):
    """(module, name) of everything that a pickle imports."""
    reader = Recorder(pickled)
    reader.load()
    return reader.wanted


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_stored_model_names_no_private_class(model, protocol):
    wanted = set(classes_in(pickle.dumps(fitted(model), protocol=protocol)))
    own = {entry for entry in wanted if entry[0].split(".")[0] == "skmixed"}
    kind = type(model)
    assert own == {(kind.__module__, kind.__name__)}
    assert not kind.__module__.split(".")[-1].startswith("_")
    others = {module.split(".")[0] for module, _ in wanted - own}
    assert others <= ALLOWED, others


def test_a_private_class_in_a_pickle_would_be_found():
    pickled = pickle.dumps(fit_of(fitted(MODELS[0])), protocol=4)
    modules = {module for module, _ in classes_in(pickled)}
    assert "skmixed._results.random_intercept" in modules


def arrays_of(model):
    """(name, array) of every public fitted attribute that is an array."""
    names = [name for name in dir(model) if name.endswith("_") and name[0] != "_"]
    for name in names:
        value = getattr(model, name)
        if isinstance(value, np.ndarray):
            yield name, value


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_fitted_arrays_are_read_only(model, route):
    model = ROUTES[route](fitted(model))
    before = model.predict(FRAME, groups=NAMES, return_std=True)
    found = dict(arrays_of(model))
    assert {"coef_", "groups_", "random_intercepts_", "feature_names_in_"} <= set(found)
    for name, array in found.items():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = array
        assert not array.flags.writeable, name
    assert_array_equal(model.predict(FRAME, groups=NAMES, return_std=True), before)


def test_a_model_from_a_file_is_read_only(tmp_path):
    joblib.dump(fitted(MODELS[0]), tmp_path / "model.joblib")
    model = joblib.load(tmp_path / "model.joblib")
    assert not any(array.flags.writeable for _, array in arrays_of(model))


def test_a_fit_leaves_no_attributes_of_the_one_before():
    """A log-variance and `noise_variance_` belong to different models."""
    model = LinearMixedRegressor(variance_features=[0])
    for features in ([0], [], [0], "all", []):
        model = model.set_params(variance_features=features)
        model.fit(X, Y, groups=GROUPS)
        new = clone(model).fit(X, Y, groups=GROUPS)
        assert vars(model).keys() == vars(new).keys()
        assert hasattr(model, "noise_variance_") == (features == [])
        assert hasattr(model, "variance_coef_") == (features != [])


def test_arrays_of_the_user_stay_writable():
    X, y, groups = simulate(n=60)
    weight, mask = np.ones(60), np.array([0])
    model = HeteroscedasticGaussianRegressor(variance_features=mask)
    model.fit(X, y, groups=groups, sample_weight=weight)
    for array in (X, y, groups, weight, mask):
        array[0] = array[0]


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_predictions_come_from_the_fit(model):
    """An attribute that is put in the place of another changes no prediction."""
    model = fitted(model)
    before = model.predict(FRAME, groups=NAMES, return_std=True)
    for name, value in vars(model).copy().items():
        if name.endswith("_") and not name.endswith("_in_"):
            setattr(model, name, np.zeros_like(value))
    assert_array_equal(model.predict(FRAME, groups=NAMES, return_std=True), before)


@pytest.mark.parametrize("model", MODELS, ids=str)
def test_a_summary_is_of_the_fit_alone(model):
    model = fitted(model)
    fit = fit_of(model)
    assert str(summarize_fit(fit, 0.95)) == str(model.summary())
    renamed = summarize_fit(replace(fit, names=("u", "v", "w")), 0.95)
    assert renamed.coefficients.names == ("intercept", "u", "v", "w")


def test_nobody_reads_private_attributes_of_an_estimator():
    """`fit_of` and `read_new` of `_estimator` are the way to what an estimator keeps.

    Attributes of `self`, `cls` and `new` (an estimator's copy of itself) are its own.
    """
    package = Path(skmixed.__file__).parent
    estimators = {
        "_estimator.py",
        "heteroscedastic.py",
        "linear_mixed.py",
        "mixed_effects.py",
        "random_intercept.py",
    }
    own = {name for kind in map(type, MODELS) for name in dir(kind)} | {"_fit"}
    own = {
        name for name in own if name[0] == "_" and not name.startswith(("__", "_repr"))
    }
    for path in package.rglob("*.py"):
        if path.name in estimators:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and node.attr in own:
                owner = getattr(node.value, "id", None)
                assert owner in ("self", "cls"), f"{path.name}: {node.attr}"
