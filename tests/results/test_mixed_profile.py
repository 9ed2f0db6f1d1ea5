"""Profile-likelihood intervals of linear mixed models (docs/math.md, section 18)."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from oracles import mixed
from oracles.mixed_fits import at_fit, fit
from scipy.stats import chi2

from skmixed import GroupsWarning, LinearMixedRegressor, RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood.held import derivatives, evaluate_held
from skmixed._results import mixed_profile
from skmixed.datasets import load_sleepstudy

TESTS = Path(__file__).parents[1]
STORED = json.loads((TESTS / "stored" / "profile_intervals.json").read_text())
# lme4 interpolates its profiles: on a fine grid to 8 digits, on the default one to 5.
FINE, DEFAULT = 1e-7, 1e-4
# An end is found to 1e-8 of its distance from the estimate.
FOUND = 1e-6
NAMES = {
    "sd_(Intercept)|Subject": "std(intercept | Subject)",
    "sd_Days|Subject": "std(Days | Subject)",
    "cor_Days.(Intercept)|Subject": "corr(intercept, Days | Subject)",
    "sd_(Intercept)|plate": "std(intercept | plate)",
    "sd_(Intercept)|sample": "std(intercept | sample)",
    "sd_(Intercept)|recipe:replicate": "std(intercept | recipe:replicate)",
    "sd_age|Subject": "std(age | Subject)",
    "cor_age.(Intercept)|Subject": "corr(intercept, age | Subject)",
    "sigma": "noise_std",
    "(Intercept)": "intercept",
}


def worked(name):
    return pd.read_csv(TESTS / "worked" / f"{name}.csv")


def sleepstudy(**options):
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    return LinearMixedRegressor("(Days | Subject)", **options).fit(X, y, groups=groups)


def orthodont(**options):
    d = worked("Orthodont")
    d["age:female"] = d["age"] * d["female"]
    model = LinearMixedRegressor("(age | Subject)", **options)
    X = d[["age", "female", "age:female"]]
    return model.fit(X, d["distance"], groups=d["Subject"])


def penicillin(**options):
    d = worked("Penicillin")
    model = LinearMixedRegressor(**options)
    X = np.empty((len(d), 0))
    return model.fit(X, d["diameter"], groups=d[["plate", "sample"]])


def cake(**options):
    d = worked("cake")
    X = d[["temp"]].assign(
        recipeB=(d["recipe"] == "B") * 1.0, recipeC=(d["recipe"] == "C") * 1.0
    )
    model = LinearMixedRegressor("(1 | recipe:replicate)", **options)
    return model.fit(X, d["angle"], groups=d[["recipe", "replicate"]])


MODELS = {
    "sleepstudy": sleepstudy,
    "Penicillin": penicillin,
    "cake": cake,
    "Orthodont": orthodont,
}


@pytest.mark.parametrize("name", MODELS)
def test_intervals_are_lme4s(name):
    grid, tolerance = ("fine", FINE) if name in STORED["fine"] else ("default", DEFAULT)
    stored = STORED[grid][name]
    names = [NAMES.get(theirs, theirs) for theirs in stored]
    found = MODELS[name](method="ml").profile_intervals(parameters=names)
    for ours, ends in zip(names, stored.values(), strict=True):
        if name == "Orthodont" and ours in ("std(intercept | Subject)", "noise_std"):
            continue  # lme4's splines are bad: the next test has its deviance
        assert_allclose(found[ours], ends, rtol=tolerance, err_msg=ours)


def test_ends_are_those_of_lme4s_own_deviance():
    """math.md (133), of a covariance that is singular over a part of its profiles."""
    intervals = orthodont(method="ml").profile_intervals()
    held = [each["value"] for each in STORED["held"]]
    assert_allclose(intervals["noise_std"], held[:2], rtol=FOUND)
    assert_allclose(intervals["std(intercept | Subject)"], held[2:4], rtol=FOUND)
    assert_allclose(intervals["std(age | Subject)"], held[4:], rtol=FOUND)
    quantile = chi2.ppf(0.95, 1)
    rises = np.delete(STORED["rise"], 4)
    assert_allclose(rises, quantile, rtol=FOUND)
    assert STORED["rise"][4] < quantile  # so that the standard deviation ends at 0


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_intervals_of_one_random_intercept(method):
    """math.md (36), whose search is another one."""
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    one = RandomInterceptRegressor(method=method).fit(X, y, groups=groups)
    expected = one.profile_intervals(0.9)
    model = LinearMixedRegressor(method=method).fit(X, y, groups=groups)
    found = model.profile_intervals(0.9)
    names = {"std(intercept | Subject)": "group_std"}
    assert next(iter(found)) == "std(intercept | Subject)"
    for name, ends in found.items():
        assert_allclose(ends, expected[names.get(name, name)], rtol=FOUND)


def _parameters(estimator):
    """Every kind of parameter."""
    fitted = fit_of(estimator)
    point = fitted.point()
    yield mixed_profile._std(fitted, point, 0, 0)
    yield mixed_profile._noise(fitted, point)
    if len(fitted.factors[0].effects) > 1:
        yield mixed_profile._std(fitted, point, 0, 1)
        yield mixed_profile._correlation(fitted, point, 0, 0, 1)
    if point.model.reml:
        return
    J, _ = fitted.columns.to_user(True)
    yield mixed_profile._coefficient(fitted, point, J[-1])


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("terms", ["(x0 | a)", "(x0 | a) + (1 | b)", "(x0 | a/b)"])
def test_derivatives_with_a_parameter_held(terms, method):
    """math.md (130) to (132), away from the optimum."""
    rng = np.random.default_rng(5)
    labels = pd.DataFrame({"a": np.arange(60) % 6, "b": rng.integers(4, size=60)})
    X = rng.normal(size=(60, 2))
    y = X[:, 0] * (1 + rng.normal(size=6)[labels["a"]]) + rng.normal(size=60)
    estimator = LinearMixedRegressor(terms, method=method).fit(X, y, groups=labels)
    for parameter in _parameters(estimator):
        model, roots = parameter.hold(parameter.estimate * 0.9)
        known = parameter.optimum, parameter.resolved
        start, scale = mixed_profile.start_at(roots, *known)
        x = start + 0.2 * scale * rng.uniform(size=len(start))

        def value(x, model=model, roots=roots):
            return evaluate_held(model, roots, x).value

        def slope(x, model=model, roots=roots):
            return derivatives(evaluate_held(model, roots, x))[0]

        gradient, hessian = derivatives(evaluate_held(model, roots, x))
        steps = 1e-5 * np.diag(scale)
        differences = [(value(x + h) - value(x - h)) / 2e-5 for h in steps]
        atol = 1e-6 * np.abs(gradient * scale).max() + 1e-6
        assert_allclose(gradient * scale, differences, rtol=1e-5, atol=atol)
        differences = [(slope(x + h) - slope(x - h)) / 2e-5 for h in steps]
        expected = np.array(differences) * scale
        scaled = hessian * np.outer(scale, scale)
        assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6 * np.abs(expected).max())


@pytest.mark.parametrize("structure", ["one", "crossed"])
def test_a_coefficient_is_held_as_by_an_offset(structure):
    """math.md (134): the fit of y less the column times the end, without the column."""
    at = mixed.random_problem(3, structure, q=1 + (structure == "one"))
    model, columns, labels = _as_user(at)
    model.fit(columns, at.y, groups=labels)
    best = mixed.log_likelihood(at_fit(at, fit(at, reml=False)), reml=False)
    assert_allclose(best, model.log_likelihood_, rtol=1e-8)
    others = list(range(1, columns.shape[1]))
    without = LinearMixedRegressor(
        model.random_effects, method="ml", mean_features=others
    )
    for end in model.profile_intervals(parameters="x0")["x0"]:
        without.fit(columns, at.y - end * columns[:, 0], groups=labels)
        rise = 2 * (best - without.log_likelihood_)
        assert_allclose(rise, chi2.ppf(0.95, 1), rtol=1e-6)


def _as_user(at):
    """A random problem of three columns, a constant first, as a user fits it."""
    labels = np.column_stack([term.codes for term in at.terms])
    terms = [
        f"({'x0' if len(term.Psi) > 1 else '1'} | g{k})"
        for k, term in enumerate(at.terms)
    ]
    model = LinearMixedRegressor(" + ".join(terms), method="ml")
    return model, at.X[:, 1:], labels


def test_a_variance_of_0_and_a_correlation_of_1():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 5)
    x = np.tile(np.arange(5.0), 8)
    level = rng.normal(size=8)
    y = 10 + level[groups] * (1 + 0.5 * x) + 0.3 * rng.normal(size=40)
    model = LinearMixedRegressor("(x0 | g0)").fit(x[:, None], y, groups=groups[:, None])
    ends = model.profile_intervals()["corr(intercept, x0 | g0)"]
    assert 0.5 < ends[0] < 1
    assert ends[1] == 1
    noise = rng.normal(size=40)
    noise -= np.repeat(noise.reshape(8, 5).mean(axis=1), 5)  # groups differ less than 0
    model.fit(x[:, None], noise, groups=groups[:, None])
    assert model.at_boundary_
    intervals = model.profile_intervals()
    assert intervals["std(intercept | g0)"][0] == 0
    assert 0 < intervals["std(intercept | g0)"][1] < 2
    assert_allclose(intervals["corr(intercept, x0 | g0)"], [-1, 1])


def test_intervals_do_not_depend_on_units():
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=groups)
    before = model.profile_intervals()
    model.fit(1e-4 * X, 1e3 * y + 1e7, groups=groups)
    after = model.profile_intervals()
    factors = dict.fromkeys(before, 1e3) | {"corr(intercept, Days | Subject)": 1.0}
    factors |= {"std(Days | Subject)": 1e7, "coef": 1e7}
    for name, ends in before.items():
        shift = 1e7 * (name == "intercept")
        assert_allclose(after[name] - shift, factors[name] * ends, rtol=1e-5)


def test_intervals_of_some_parameters():
    model = sleepstudy()
    every = model.profile_intervals(0.8)
    assert list(every) == [
        "std(intercept | Subject)",
        "std(Days | Subject)",
        "corr(intercept, Days | Subject)",
        "noise_std",
        "intercept",
        "coef",
    ]
    stored = pickle.loads(pickle.dumps(model))
    some = stored.profile_intervals(0.8, ["Days", "noise_std"])
    assert list(some) == ["Days", "noise_std"]
    assert_allclose(some["Days"], every["coef"][0])
    assert_allclose(some["noise_std"], every["noise_std"])
    with pytest.raises(ValueError, match="parameters has 'days', which is none of std"):
        model.profile_intervals(parameters="days")
    with pytest.raises(ValueError, match="penalised likelihood"):
        sleepstudy(alpha=1.0).profile_intervals()
    with pytest.raises(ValueError, match="coverage"):
        model.profile_intervals(1.5)
    with pytest.raises(ValueError, match="keeps no rows"):
        sleepstudy(variance_features="all").profile_intervals()


def test_no_interval_of_what_is_not_told():
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    rows = X.assign(row=np.arange(len(X)), Subject=groups)
    model = LinearMixedRegressor("(1 | Subject) + (1 | row)", mean_features=[])
    with pytest.warns(GroupsWarning, match="180 labels in 180 rows"):
        model.fit(X, y, groups=rows[["Subject", "row"]])
    intervals = model.profile_intervals()
    assert np.isnan(intervals["std(intercept | row)"]).all()
    assert np.isfinite(intervals["std(intercept | Subject)"]).all()
    assert np.isnan(intervals["coef"]).all()
    assert intervals["coef"].shape == (1, 2)
    alone = LinearMixedRegressor("", method="ml").fit(X, y)
    found = alone.profile_intervals()
    assert list(found) == ["noise_std", "intercept", "coef"]
    n, std = len(y), np.sqrt(alone.noise_variance_)
    for end in found["noise_std"]:  # n (v / w - 1 + log(w / v)) is the rise
        ratio = (std / end) ** 2
        assert_allclose(n * (ratio - 1 - np.log(ratio)), chi2.ppf(0.95, 1), rtol=1e-6)


def test_a_fit_in_batches_has_the_same_profiles():
    """They need the figures that a fit keeps, and no rows."""
    X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    names = ["std(Days | Subject)", "noise_std", "Days"]
    expected = sleepstudy(method="ml").profile_intervals(parameters=names)
    model = LinearMixedRegressor("(Days | Subject)", method="ml")
    for rows in (slice(0, 75), slice(75, 180)):
        model.partial_fit(X[rows], y[rows], groups=groups[rows])
    found = model.profile_intervals(parameters=names)
    for name, ends in expected.items():
        assert_allclose(found[name], ends, rtol=FOUND)


def test_a_variance_that_the_data_do_not_tell_is_held_at_zero():
    """A small step of it, in its own unit, was a huge one of the likelihood."""
    rng = np.random.default_rng(0)
    groups, X = np.arange(60) % 10, np.column_stack([rng.normal(size=60), np.ones(60)])
    X[:, 1] *= 1e-20
    y = rng.normal(size=10)[groups] + X[:, 0] + rng.normal(size=60)
    asked = "noise_std", "std(intercept | g)"
    found = []
    for terms in ("(1 | g)", "(1 + x1 | g)"):
        model = LinearMixedRegressor(terms, mean_features=[0])
        if "x1" in terms:
            with pytest.warns(GroupsWarning, match="cannot tell the random slope"):
                model.fit(X, y, groups=groups)
        else:
            model.fit(X, y, groups=groups)
        intervals = model.profile_intervals(parameters=asked)
        found.append(np.array([intervals[name] for name in asked]))
    assert_allclose(found[1], found[0], rtol=FOUND)


def _singular_slopes(shift, monkeypatch):
    """Intervals and the number of all steps, the first column being counted from
    elsewhere; the three effects of a group are multiples of each other.
    """
    rng, groups = np.random.default_rng(1), np.arange(48) % 6
    X, level = rng.normal(size=(48, 2)), rng.normal(size=6)
    y = 20 * level[groups] * (1 + 0.5 * X[:, 0]) + 0.3 * rng.normal(size=48)
    X[:, 0] += shift
    model = LinearMixedRegressor("(x0 + x1 | g0)", method="ml")
    model.fit(X, y, groups=groups[:, None])
    minimise, steps = mixed_profile.minimise, []

    def counted(*args, **kwargs):
        found = minimise(*args, **kwargs)
        steps.append(found.n_iter)
        return found

    monkeypatch.setattr(mixed_profile, "minimise", counted)
    names = ["std(x0 | g0)", "std(x1 | g0)", "noise_std", "x0", "x1"]
    ends = np.array([*model.profile_intervals(parameters=names).values()])
    monkeypatch.undo()
    return ends, steps


def test_steps_do_not_depend_on_where_a_column_is_counted_from(monkeypatch):
    """Along entries of the root of the user's effects a search took 200 steps and came
    to no end, where the intercept is nearly a multiple of a slope: math.md (216).
    """
    ends, steps = _singular_slopes(0.0, monkeypatch)
    shifted, more = _singular_slopes(1e6, monkeypatch)
    assert_allclose(shifted, ends, rtol=FOUND)
    assert max(more) <= 40
    assert sum(more) <= 1.1 * sum(steps)


def test_a_start_keeps_the_regression_on_the_effect_that_is_held():
    """math.md (217)."""
    fitted = fit_of(sleepstudy())
    for i in range(2):
        parameter = mixed_profile._std(fitted, fitted.point(), 0, i)
        _, roots = parameter.hold(3 * parameter.estimate)
        known = parameter.optimum
        x, scale = mixed_profile.start_at(roots, known, parameter.resolved)
        (M,), (expected,) = roots.at(x), known.M
        column = np.flatnonzero(roots.fixed[0].any(axis=0))
        expected = expected.copy()
        expected[:, column] *= 3
        assert_allclose(M, expected, rtol=1e-12, atol=1e-12 * np.abs(M).max())
        std = parameter.resolved[0]
        assert_allclose(scale[0] ** 2, std**2 + x[0] ** 2 + x[1] ** 2, rtol=1e-12)


def test_no_interval_of_coefficients_that_maximum_likelihood_fits_exactly():
    """REML leaves a degree of freedom to the noise."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3, 2)), rng.normal(size=3)
    terms = "(1 | g0) + (x0 + x1 | g1)"
    model = LinearMixedRegressor(terms, fit_intercept=False)
    groups = np.array([[0, 0], [1, 0], [2, 0]])
    with pytest.warns(GroupsWarning):
        model.fit(X, y, groups=groups)
    intervals = model.profile_intervals()
    assert np.isfinite(intervals["noise_std"]).all()
    assert np.isnan(intervals["coef"]).all()


def test_a_profile_without_derivatives_is_that_of_the_optimum(monkeypatch):
    """Where they are beyond double precision no step leads on: deviances are those of
    other parameters that stay, and the interval is too narrow, not without an end.
    """

    def none(at):
        raise np.linalg.LinAlgError

    names = ["corr(intercept, Days | Subject)"]
    model = sleepstudy()
    ((low, high),) = model.profile_intervals(parameters=names).values()
    monkeypatch.setattr(mixed_profile, "derivatives", none)
    ((inner_low, inner_high),) = model.profile_intervals(parameters=names).values()
    assert low < inner_low < inner_high < high
