"""Make models.json: fitted models as pickles, and what they predict.

python models.py >models.json           (with the oldest supported versions)
python models.py >models_newest.json    (with the newest)

The labels are of several kinds, the models of all structures, two have seen updates.
"""

import base64
import json
import pickle
import warnings
import zlib

import numpy as np
import pandas as pd
import sklearn
from scipy import sparse

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)

PROTOCOL = 4
N, N_GROUPS = 24, 4


def rows():
    """(X, y, groups) without random numbers, which may change."""
    i = np.arange(N)
    X = np.column_stack([np.sin(i), np.cos(3 * i * i)])
    groups = i % N_GROUPS
    y = X @ [1.0, -0.5] + 2 * np.sin(5 * groups) + np.exp(X[:, 0] / 2) * np.sin(7 * i)
    return X, y, groups


def labels():
    """The same groups, as labels of several kinds."""
    groups = rows()[2]
    names = np.array([f"school {g}" for g in groups], dtype=object)
    return {
        "integers": groups,
        "strings": names.astype(str),
        "objects": names,
        "categories": pd.Categorical(names),
        "dates": np.datetime64("2026-01-01") + groups,
        "mixed": np.where(groups % 2, groups.astype(object), names),
    }


def random_intercept_models():
    """(name, model, X, groups) of the simpler estimator."""
    X, y, groups = rows()
    for kind, some in labels().items():
        yield kind, RandomInterceptRegressor().fit(X, y, groups=some), X, some
    csr = sparse.csr_array(X)
    model = RandomInterceptRegressor(method="ml", alpha=1.0)
    yield "sparse", model.fit(csr, y, groups=groups), csr, groups
    table = pd.DataFrame(X, columns=["a", "b"]).assign(school=labels()["objects"])
    model = RandomInterceptRegressor(group_feature="school").fit(table, y)
    yield "label column", model, table, None
    model = RandomInterceptRegressor().fit(X[:12], y[:12], groups=groups[:12])
    model.partial_fit(X[12:18], y[12:18], groups=groups[12:18])
    model.update_random_intercepts(X[18:], y[18:], groups=groups[18:] + 2)
    yield "batches and an update", model, X, groups + 2
    yield "no groups", RandomInterceptRegressor().fit(X, y), X, None


def heteroscedastic_models():
    """(name, model, X, groups) of the other estimator."""
    X, y, groups = rows()
    for mean in ("random", "fixed", None):
        for variance in ("fixed", None):
            model = HeteroscedasticGaussianRegressor(
                mean_groups=mean, variance_groups=variance, variance_features=[0]
            )
            name = f"mean {mean}, variance {variance}"
            yield name, model.fit(X, y, groups=groups), X, groups
    model = HeteroscedasticGaussianRegressor(variance_features=[0])
    model.fit(X[:18], y[:18], groups=groups[:18])
    model.update_random_intercepts(X[18:], y[18:], groups=groups[18:] + 2)
    yield "updated", model, X, groups + 2


def mixed_models():
    """(name, model, X, groups) of linear mixed models."""
    X, y, groups = rows()
    other = np.arange(N) // 4 % 3
    y = y + np.sin(11 * other) + X[:, 0] * np.cos(3 * groups)
    tables = {
        "(x0 || g0)": groups,
        "(1 | g0) + (1 | g1)": np.column_stack([groups, other]),
        "(1 | g0/g1)": np.column_stack([groups, other]),
    }
    for terms, table in tables.items():
        model = LinearMixedRegressor(terms).fit(X, y, groups=table)
        yield f"terms {terms}", model, X, table
    model = LinearMixedRegressor("(1 | g0)", method="ml")
    model.partial_fit(X[:12], y[:12], groups=groups[:12])
    model.partial_fit(X[12:18], y[12:18], groups=groups[12:18])
    model.update_random_effects(X[18:], y[18:], groups=groups[18:] + 2)
    yield "terms, batches and an update", model, X, groups + 2
    model = LinearMixedRegressor("(1 | g0)", variance_features=[0])
    yield "terms, modelled noise", model.fit(X, y, groups=groups), X, groups


def any_regressor_models():
    """(name, model, X, groups) of any regressor: of this package, since scikit-learn's
    own are read by the version alone that stored them.
    """
    X, y, groups = rows()
    mean = HeteroscedasticGaussianRegressor(mean_groups=None, variance_features=[0])
    options = {"cv": 3, "random_state": 0, "verbose": 0}
    for name, variance in (("any regressor", None), ("any regressor, two", mean)):
        model = MixedEffectsRegressor(mean, variance_regressor=variance, **options)
        model.fit(X[:18], y[:18], groups=groups[:18])
        model.update_random_intercepts(X[18:], y[18:], groups=groups[18:] + 2)
        yield name, model, X, groups + 2


def models():
    """All of them."""
    yield from random_intercept_models()
    yield from heteroscedastic_models()
    yield from mixed_models()
    yield from any_regressor_models()


def main():
    """Print the pickles, and the predictions."""
    warnings.simplefilter("ignore", GroupsWarning)  # one has no groups, by intent
    stored = {}
    for name, model, X, groups in models():
        mean, std = model.predict(X, groups=groups, return_std=True)
        packed = zlib.compress(pickle.dumps(model, protocol=PROTOCOL), 9)
        stored[name] = {
            "pickle": base64.b64encode(packed).decode(),
            "mean": mean[:N_GROUPS].tolist(),
            "std": std[:N_GROUPS].tolist(),
        }
    versions = {"numpy": np.__version__, "scikit-learn": sklearn.__version__}
    print(json.dumps({"versions": versions, "models": stored}, indent=0))


if __name__ == "__main__":
    main()
