"""Fits with two factors, nested or crossed, against reference figures; see part G of
golden/README.md.
"""

import numpy as np
import pandas as pd
import pytest
from oracles.golden_cases import case_names, matrix, misses, read_case, text_of

from skmixed import LinearMixedRegressor


def load(name):
    """Features, y, labels and the case's file."""
    meta = read_case(name)
    features = [column for column in meta["X"] if column != "1"]
    X = pd.DataFrame(matrix(meta, features), columns=features) if features else None
    (y,) = matrix(meta, [meta["response"]]).T
    X = pd.DataFrame(index=range(len(y))) if X is None else X
    text = text_of(meta["data"])
    return X, y, pd.DataFrame({factor: text[factor] for factor in meta["group"]}), meta


def figures_of(model, X, groups, meta):
    """All figures of a case."""
    names = ["1", *X.columns]
    order = [names.index(column) for column in meta["X"]]
    summary = model.summary()
    stds = {f: np.sqrt(model.random_effects_covariance_[f][0, 0]) for f in groups}
    modes = {
        f: dict(zip(model.groups_[f], model.random_effects_[f][:, 0], strict=True))
        for f in groups
    }
    return {
        "beta": np.append(model.intercept_, model.coef_)[order],
        "beta_se": np.append(model.intercept_std_, model.coef_std_)[order],
        "beta_cov": model.coef_covariance_[np.ix_(order, order)],
        "sigma_f": np.sqrt(model.noise_variance_),
        "sigma_r": [stds[f] for f in meta["group"]],
        "loglik": model.log_likelihood_,
        "aic": summary.aic,
        "bic": summary.bic,
        "fitted20": model.predict(X[:20], groups=groups[:20]),
        "fitted_marginal20": model.predict_mean(X[:20], groups=groups[:20], factors=[]),
    }, modes


@pytest.mark.parametrize("name", case_names("G"))
def test_fit(name):
    X, y, groups, meta = load(name)
    terms = " + ".join(f"(1 | {factor})" for factor in meta["group"])
    model = LinearMixedRegressor(terms, method=meta["method"].lower())

    figures, modes = figures_of(model.fit(X, y, groups=groups), X, groups, meta)

    assert set(meta["expected"]) == {*figures, "blup"}
    missed = misses(meta, figures)
    for factor, expected in meta["expected"]["blup"].items():
        one = {"expected": {"blup": expected}, "unit": meta["unit"], "floor": {}}
        missed += misses(
            one | {"recommended_level": meta["recommended_level"]},
            {"blup": modes[factor]},
        )
    assert not missed
    assert not model.at_boundary_


def test_there_are_twelve():
    assert len(case_names("G")) == 12
