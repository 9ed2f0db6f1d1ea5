"""Fits of real and of hard data with general terms against reference figures; see
golden2/README.md.
"""

from copy import deepcopy

import numpy as np
import pytest
from oracles.golden2_cases import case_names, load, misses, read_case

from skmixed import LinearMixedRegressor, RandomEffects


def terms_of(meta):
    """The terms of a case as objects."""
    return [
        RandomEffects(
            term["factor"],
            [column for column in term["columns"] if column != "1"],
            intercept="1" in term["columns"],
            covariance="diagonal" if term["cov"] == "diag" else "full",
        )
        for term in meta["terms"]
    ]


def fit(case):
    """The model of a case."""
    meta = case.meta
    model = LinearMixedRegressor(
        terms_of(meta),
        method=meta["method"].lower(),
        fit_intercept="1" in meta["X"],
        mean_features=[column for column in meta["X"] if column != "1"],
        variance_features=[c for c in meta.get("X_var", []) if c != "1"],
    )
    return model.fit(case.X, case.y, groups=case.groups)


def fixed_effects(model, meta):
    """Figures of the mean, in the order of the case's columns."""
    names = ["1", *getattr(model, "feature_names_in_", [])]
    order = [names.index(column) for column in meta["X"]]
    summary = model.summary()
    rows = [("intercept" if c == "1" else c) for c in meta["X"]]
    places = [summary.coefficients.names.index(row) for row in rows]
    return {
        "beta": np.append(model.intercept_, model.coef_)[order],
        "beta_se": np.append(model.intercept_std_, model.coef_std_)[order],
        "beta_cov": model.coef_covariance_[np.ix_(order, order)],
        "df_satt": summary.coefficients["df"][places],
        **noise(model, meta),
        "aic": summary.aic,
        "bic": summary.bic,
    }


def noise(model, meta):
    """Figures of the noise."""
    if "X_var" not in meta:
        variance = model.noise_variance_
        return {"sigma_f": np.sqrt(variance), "gamma": [np.log(variance)]}
    names = ["1", *model.feature_names_in_]
    gamma = np.append(model.variance_intercept_, model.variance_coef_)
    return {"gamma": gamma[[names.index(column) for column in meta["X_var"]]]}


def random_effects(model, meta):
    """Figures of the effects, by the case's terms."""
    figures = {key: {} for key in ("psi", "psi_sd", "psi_corr", "ranef")}
    figures |= {"condvar": {}, "pev": {}}
    for term in meta["terms"]:
        factor, label = term["factor"], term["label"]
        names = list(model.random_effects_names_[factor])
        wanted = ["intercept" if c == "1" else c for c in term["columns"]]
        at = [names.index(name) for name in wanted]
        psi = model.random_effects_covariance_[factor][np.ix_(at, at)]
        sd = np.sqrt(np.diag(psi))
        with np.errstate(invalid="ignore", divide="ignore"):
            corr = psi / np.outer(sd, sd)
        figures["psi"][label], figures["psi_sd"][label] = psi, sd
        figures["psi_corr"][label] = corr[np.tril_indices(len(at), -1)]
        levels = model.groups_[factor].tolist()
        modes = model.random_effects_[factor][:, at]
        figures["ranef"][label] = dict(zip(levels, modes, strict=True))
        for key, std in (
            ("condvar", model.random_effects_conditional_std_),
            ("pev", model.random_effects_std_),
        ):
            variances = std[factor][:, at] ** 2
            # Covariances within a level are not published: NaN is not judged.
            nan = np.full((len(at), len(at)), np.nan)
            matrices = [
                np.where(np.eye(len(at), dtype=bool), np.diag(v), nan)
                for v in variances
            ]
            figures[key][label] = dict(zip(levels, matrices, strict=True))
    return figures


def predictions(model, case):
    """Figures of rows of the data and of new rows."""
    first, labels = case.X[:20], case.groups[:20]
    new = {"groups": case.new_groups}
    mean, covariance = model.predict(case.new_rows, **new, return_cov=True)
    return {
        "sd20": model.predict_noise_std(first, groups=labels),
        "loglik": model.log_likelihood_,
        "fitted20": model.predict(first, groups=labels),
        "fitted_marginal20": model.predict_mean(first, groups=labels, factors=[]),
        "new_mean": mean,
        "new_cov": covariance,
        "new_sd": model.predict(case.new_rows, **new, return_std=True)[1],
        "new_sd_mean": model.predict_mean(case.new_rows, **new, return_std=True)[1],
    }


@pytest.mark.parametrize("name", case_names())
def test_fit(name):
    case = load(name)
    meta = case.meta

    model = fit(case)

    figures = fixed_effects(model, meta) | random_effects(model, meta)
    figures |= predictions(model, case)
    assert set(meta["expected"]) <= set(figures)
    missed = misses(meta, figures)
    gap = model.log_likelihood_ - meta["expected"]["loglik"]
    assert not missed, f"{missed}, log-likelihood off by {gap:.3g}"
    assert model.at_boundary_ == bool(meta["singular"])
    assert model.converged_


def moved(meta, key, multiple):
    """Expected figures with one under `key` off by so many tolerances."""
    figure = deepcopy(meta["expected"])
    parent, last = figure, key
    unit, floor = meta["unit"][key], meta["floor"].get(key, 0.0)
    while isinstance(parent[last], (dict, list)):
        parent = parent[last]
        last = list(parent)[-1] if isinstance(parent, dict) else len(parent) - 1
        unit = unit[last] if isinstance(unit, (dict, list)) else unit
        floor = floor[last] if isinstance(floor, (dict, list)) else floor
    parent[last] += multiple * (meta["recommended_level"] * unit + floor)
    return {key: figure[key]}


@pytest.mark.parametrize("name", ["sleepstudy_full_reml", "simCross_diag_ml"])
def test_misses_reports_errors_above_tolerance_only(name):
    meta = read_case(name)
    assert misses(meta, meta["expected"]) == []
    for key, expected in meta["expected"].items():
        if expected is None:
            continue
        assert misses(meta, moved(meta, key, 0.9)) == []
        assert misses(meta, moved(meta, key, -10)) == [
            (key, pytest.approx(10, rel=1e-3))
        ]


def test_misses_reports_what_is_not_a_figure():
    meta = read_case("sleepstudy_full_reml")
    expected = meta["expected"]
    incomplete = dict(list(expected["ranef"]["Subject"].items())[1:])
    for got in (
        {"loglik": np.nan},
        {"beta": expected["beta"][:1]},
        {"psi": {"Subject": np.full((2, 2), np.nan)}},
        {"ranef": {"Subject": incomplete}},
        {"ranef": {}},
    ):
        (key,) = got
        assert misses(meta, got) == [(key, np.inf)]
