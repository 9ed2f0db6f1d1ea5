"""Fits of real and of hard data against reference figures; see golden/README.md."""

from contextlib import nullcontext
from copy import deepcopy

import numpy as np
import pytest
from oracles.golden_cases import case_names, load, matrix, misses, read_case
from scipy import sparse

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
)

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

# How the estimator gets X: the column of ones replaced by fit_intercept=True, as it is,
# or as it is and sparse.
FORMS = ("intercept", "column", "sparse")

HETEROSCEDASTIC = "F_HetOnly"
# A sparse X is reduced by cross-products, which these are too ill-conditioned for.
BEYOND_CROSS_PRODUCTS = ("F_Collin", "F_Cond")


def _has_form(name, form):
    if form == "intercept":
        return "1" in read_case(name)["X"]
    return form == "column" or not name.startswith(BEYOND_CROSS_PRODUCTS)


FITS = [
    (name, form)
    for name in case_names("BEF")
    for form in FORMS
    if not name.startswith(HETEROSCEDASTIC) and _has_form(name, form)
]
# With neither groups nor columns there is nothing to fit.
FITS_WITHOUT_GROUPS = [
    (name, form)
    for name, form in FITS
    if "loglik_no_re" in read_case(name)["expected"]
    and not (form == "intercept" and read_case(name)["X"] == ["1"])
]


def _estimator_and_design(X, meta, form):
    method = meta["method"].lower()
    if form == "intercept":
        X = np.delete(X, meta["X"].index("1"), axis=1)
        return RandomInterceptRegressor(method=method), X
    X = sparse.csr_array(X) if form == "sparse" else X
    return RandomInterceptRegressor(method=method, fit_intercept=False), X


def _positions(names, meta, fit_intercept, key="X"):
    """Where the case's columns are among (intercept, columns of X)."""
    if fit_intercept:
        names = ["1", *(name for name in names if name != "1")]
    else:
        names = [None, *names]
    return [names.index(name) for name in meta[key] or ["1"]]


def _shared_figures(model, X, groups, order):
    """Figures that both estimators have, under the names of the golden cases."""
    X, groups = X[:20], None if groups is None else groups[:20]

    def by_label(values):
        return dict(zip(model.groups_.tolist(), values, strict=True))

    return {
        "beta": np.append(model.intercept_, model.coef_)[order],
        "beta_se": np.append(model.intercept_std_, model.coef_std_)[order],
        "beta_cov": model.coef_covariance_[np.ix_(order, order)],
        "sigma_r": np.sqrt(model.group_variance_),
        "loglik": model.log_likelihood_,
        "blup": by_label(model.random_intercepts_),
        "blup_condvar": by_label(model.random_intercepts_conditional_std_**2),
        "blup_pev": by_label(model.random_intercepts_std_**2),
        "fitted20": model.predict(X, groups=groups),
        "fitted_marginal20": model.predict(X),
        "sd20": model.predict_noise_std(X, groups=groups),
    }


def _figures(model, X, groups, meta):
    """The figures of a fitted random-intercept model."""
    order = _positions(meta["X"], meta, model.fit_intercept)
    return _shared_figures(model, X, groups, order) | {
        "sigma_f": np.sqrt(model.noise_variance_),
        "gamma": [np.log(model.noise_variance_)],
    }


def _criteria(model, summary):
    """Figures of the likelihood: information criteria, the test of no groups."""
    figures = {"aic": summary.aic, "bic": summary.bic}
    if summary.group_test is not None:
        gain = summary.group_test.statistic / 2
        figures["loglik_no_re"] = model.log_likelihood_ - gain
    return figures


def _uncertainty(model, meta):
    """Of the summary: degrees of freedom, criteria, profile-likelihood intervals."""
    order = _positions(meta["X"], meta, model.fit_intercept)
    first, summary = int(not model.fit_intercept), model.summary()
    df = summary.coefficients["df"]
    figures = _criteria(model, summary)
    figures["df_satt"] = df[np.subtract(order, first)]
    if "profile_ci95" in meta["expected"]:
        intervals = model.profile_intervals()
        coefficients = np.vstack([intervals["intercept"], intervals["coef"]])[order]
        figures["profile_ci95"] = dict(zip(meta["X"], coefficients, strict=True)) | {
            "sigma_r": intervals["group_std"],
            "sigma_f": intervals["noise_std"],
        }
    return figures


def _report(meta, missed, log_likelihood, key):
    lines = [f"{name}: {ratio:.3g} times its tolerance" for name, ratio in missed]
    if key in meta["expected"]:
        gap = log_likelihood - meta["expected"][key]
        lines.append(f"log-likelihood, ours minus expected: {gap:.3g}")
    return "\n    ".join([meta["name"], *lines])


@pytest.mark.parametrize("name, form", FITS)
def test_fit(name, form):
    X, y, groups, meta = load(name)
    model, X = _estimator_and_design(X, meta, form)
    one_group = meta["special"] == "one_group"
    warns = pytest.warns(GroupsWarning, match="There is one group only")

    with warns if one_group else nullcontext() as caught:
        model.fit(X, y, groups=groups)

    assert not one_group or len(caught) == 1
    figures = _figures(model, X, groups, meta)
    if form == "column":
        figures |= _uncertainty(model, meta)
    missed = misses(meta, figures)
    assert not missed, _report(meta, missed, model.log_likelihood_, "loglik")
    assert model.at_boundary_ == meta["boundary"]


@pytest.mark.parametrize("name, form", FITS_WITHOUT_GROUPS)
def test_fit_without_random_intercepts(name, form):
    X, y, _, meta = load(name)
    model, X = _estimator_and_design(X, meta, form)

    with pytest.warns(GroupsWarning, match="No `groups` were given") as caught:
        model.fit(X, y)

    assert len(caught) == 1
    missed = misses(meta, {"loglik_no_re": model.log_likelihood_})
    assert not missed, _report(meta, missed, model.log_likelihood_, "loglik_no_re")


def test_every_figure_is_judged_somewhere():
    X, y, groups, meta = load("B_sleepstudy_reml")
    model, X = _estimator_and_design(X, meta, "intercept")
    figures = _figures(model.fit(X, y, groups=groups), X, groups, meta)

    assert set(figures) <= set(meta["expected"])


@pytest.mark.parametrize("name", case_names())
def test_figures_belong_to_data(name):
    """Some figures follow from expected coefficients and data alone."""
    X, y, groups, meta = load(name)
    expected = meta["expected"]
    got = {}
    if "beta" in expected:
        marginal = "fitted20" if groups is None else "fitted_marginal20"
        got[marginal] = X[:20] @ expected["beta"]
    if "gamma" in expected:
        Z = matrix(meta, meta["X_var"] or ["1"])
        got["sd20"] = np.exp(Z[:20] @ expected["gamma"] / 2)

    assert set(expected.get("blup", {})) <= set([] if groups is None else groups)
    assert misses(meta, got) == []
    assert len(X) == len(y)
    assert set(meta["unit"]) == set(expected)


def _with_error(meta, key, multiple):
    """Expected figures with the last one under `key` off by so many tolerances."""
    figure = deepcopy(meta["expected"][key])
    parent, last = [figure], 0
    unit, floor = meta["unit"][key], meta["floor"].get(key, 0.0)
    while isinstance(parent[last], (dict, list)):
        parent = parent[last]
        last = list(parent)[-1] if isinstance(parent, dict) else -1
        unit = unit[last] if isinstance(unit, (dict, list)) else unit
        floor = floor[last] if isinstance(floor, (dict, list)) else floor
    parent[last] += multiple * (meta["recommended_level"] * unit + floor)
    return figure if isinstance(figure, (dict, list)) else parent[last]


COMPARED = ("B_Penicillin_plate_reml", "D_simD300_ml", "F_Boundary_ml", "F_Collin_reml")


@pytest.mark.parametrize("name", COMPARED)
def test_misses_reports_errors_above_tolerance_only(name):
    meta = read_case(name)

    assert misses(meta, meta["expected"]) == []
    for key in meta["expected"]:
        assert misses(meta, {key: _with_error(meta, key, 0.9)}) == []
        for multiple in (10, -10):
            got = {key: _with_error(meta, key, multiple)}
            assert misses(meta, got) == [(key, pytest.approx(10, rel=1e-3))]


def test_misses_reports_what_is_not_a_figure():
    meta = read_case("B_sleepstudy_reml")
    expected = meta["expected"]
    incomplete = dict(list(expected["blup"].items())[1:])
    for got in (
        {"loglik": np.nan},
        {"loglik": np.inf},
        {"beta": expected["beta"][:1]},
        {"sd20": expected["sigma_f"]},
        {"blup": incomplete},
        {"blup": expected["blup"] | {"308": np.nan}},
    ):
        (key,) = got
        assert misses(meta, got) == [(key, np.inf)]


# -------------------------------------------------------------- a variance for each row

HETEROSCEDASTIC_CASES = [
    name
    for name in case_names("CDF")
    if name[0] in "CD" or name.startswith(HETEROSCEDASTIC)
]
MOST_ITERATIONS = 20


def _heteroscedastic_fit(meta, X, y, groups, form):
    """A model of all columns of the case, and X with those."""
    variance = meta["X_var"] or ["1"]
    names = [*meta["X"], *(name for name in variance if name not in meta["X"])]
    X = matrix(meta, names)
    mean_intercept = form == "intercept" and "1" in meta["X"]
    variance_intercept = form == "intercept" and "1" in variance
    model = HeteroscedasticGaussianRegressor(
        method=meta["method"].lower(),
        fit_intercept=mean_intercept,
        fit_variance_intercept=variance_intercept,
        mean_features=_entering(names, meta["X"], mean_intercept),
        variance_features=_entering(names, variance, variance_intercept),
        mean_groups=None if groups is None else "random",
    )
    X = sparse.csr_array(X) if form == "sparse" else X
    return model.fit(X, y, groups=groups), X, names


def _entering(names, wanted, intercept):
    return [names.index(name) for name in wanted if not (intercept and name == "1")]


def _heteroscedastic_figures(model, X, groups, meta, names):
    def order(key, intercept):
        wanted = meta[key] or ["1"]
        return [
            0 if intercept and name == "1" else 1 + names.index(name) for name in wanted
        ]

    in_mean = order("X", model.fit_intercept)
    in_variance = order("X_var", model.fit_variance_intercept)
    gamma = np.append(model.variance_intercept_, model.variance_coef_)
    gamma_std = np.sqrt(np.diag(model.variance_coef_covariance_))
    figures = _shared_figures(model, X, groups, in_mean)
    figures |= {"gamma": gamma[in_variance], "gamma_se_obs": gamma_std[in_variance]}
    if not model.variance_coef_.any():
        figures["sigma_f"] = np.exp(gamma[in_variance][0] / 2)
    if model.group_variance_ > 0:
        components, quantile = model.summary().variance_components, 1.959963984540054
        ends = np.log(components["high"][0] / components["low"][0])
        figures["log_sigma_r_se_obs"] = ends / (2 * quantile)
    return figures | _criteria(model, model.summary())


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", HETEROSCEDASTIC_CASES)
def test_heteroscedastic_fit(name, form):
    X, y, groups, meta = load(name)

    model, X, names = _heteroscedastic_fit(meta, X, y, groups, form)

    figures = _heteroscedastic_figures(model, X, groups, meta, names)
    # Cross-products of a sparse X, weighted by variances that differ, lose a digit.
    level = meta["recommended_level"] * (10 if form == "sparse" else 1)
    missed = misses(meta, figures, level)
    assert not missed, _report(meta, missed, model.log_likelihood_, "loglik")
    assert model.n_iter_ <= MOST_ITERATIONS
    assert model.converged_
    assert model.at_boundary_ == meta["boundary"]
