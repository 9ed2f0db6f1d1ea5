"""The search for the parameters of the log-variance: its starts and what it decides."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmixed import HeteroscedasticGaussianRegressor
from skmixed._likelihood.heteroscedastic.criterion import evaluate
from skmixed._likelihood.heteroscedastic.derivatives import derivatives, metric
from skmixed._search.heteroscedastic.search import (
    Search,
    _decide_psi,
    _leads_to,
    best_optimum,
)
from skmixed._search.heteroscedastic.starts import (
    by_ratio,
    constant_start,
    from_squared_residuals,
    more_starts,
)
from skmixed._search.trust_region import Minimum
from skmixed.heteroscedastic import read_problem


def search_of(likelihood):
    return Search(likelihood, kappa=None, tol=1e-10, max_iter=100)


def data(seed=0, n=60, n_groups=7):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + 1
    groups = rng.integers(n_groups, size=n)
    groups[:n_groups] = np.arange(n_groups)
    noise = np.exp(0.3 * X[:, 0]) * rng.normal(size=n)
    return X, X.sum(axis=1) + noise + rng.normal(size=n_groups)[groups], groups


def state(estimator, X, y, groups=None):
    """The likelihood of data, and its best constant variance."""
    _, problem = read_problem(estimator, X, y, groups)
    return problem.model, problem.constant


def log_variances(likelihood, theta):
    (part,) = likelihood.rows.parts.values
    return likelihood.trend(theta).at(part.variance_rows(slice(None)), part.codes)


# --------------------------------------------------------------------- the anchored one


@pytest.mark.parametrize("share", [0.2, 1.0, 5.0])
def test_the_anchored_criterion_has_its_derivatives(share):
    """math.md (31f): under REML with a ridge, at its kappa and far from it."""
    X, y, groups = data()
    likelihood, constant = state(
        HeteroscedasticGaussianRegressor(alpha=2.0), X, y, groups
    )
    theta = constant_start(likelihood, constant)
    theta = theta + 0.1 * np.random.default_rng(2).random(len(theta))
    kappa = share * likelihood.kappa(theta)
    search = Search(likelihood, kappa=kappa, tol=1e-10, max_iter=100)
    point = search.evaluate(theta)
    anchor = point.value - evaluate(likelihood, theta, kappa).value
    assert anchor == 0 if share == 1 else anchor > 1
    found = search.expand(point)
    step = 1e-5

    def value(theta):
        return search.evaluate(theta).value

    differences = [
        (value(theta + e) - value(theta - e)) / (2 * step)
        for e in step * np.eye(len(theta))
    ]
    assert_allclose(found.gradient, differences, rtol=1e-6, atol=1e-6)


def test_the_ridge_is_that_of_its_own_optimum():
    """math.md (31g): the variances imply the kappa that they were found at."""
    X, y, groups = data()
    problem = state(HeteroscedasticGaussianRegressor(alpha=2.0), X, y, groups)
    found = best_optimum(*problem, False, tol=1e-10, max_iter=100)
    assert found.converged
    implied = problem[0].kappa(found.point.x)
    assert 60 * np.log(found.point.kappa / implied) ** 2 < 1e-10


# --------------------------------------------------------------------------- the metric


@pytest.mark.parametrize("variance_alpha", [0.0, 2.0])
@pytest.mark.parametrize("mean_groups", ["random", "fixed", None])
@pytest.mark.parametrize("variance_groups", ["fixed", None])
def test_a_step_is_as_long_as_the_log_variances_move(
    mean_groups, variance_groups, variance_alpha
):
    """math.md (31d): of rows, and of the means of groups."""
    X, y, groups = data()
    estimator = HeteroscedasticGaussianRegressor(
        mean_groups=mean_groups,
        variance_groups=variance_groups,
        variance_alpha=variance_alpha,
    )
    likelihood, constant = state(estimator, X, y, groups)
    theta = constant_start(likelihood, constant)
    point = evaluate(likelihood, theta)
    step = 1e-6 * np.random.default_rng(1).normal(size=len(theta))
    M = metric(likelihood, point)
    change = log_variances(likelihood, theta + step) - log_variances(likelihood, theta)
    expected = np.mean(change**2)
    if len(likelihood.free) and variance_alpha:  # the level is in gamma as well
        gamma = step[len(likelihood.free) : len(likelihood.average)]
        (part,) = likelihood.rows.parts.values
        means = np.bincount(part.codes, change) / np.bincount(part.codes)
        expected = np.mean(means[part.codes] ** 2) + gamma @ gamma
    if likelihood.random:
        S = point.factor.gram.R11[:, 0, 0] ** 2
        of_means = np.log(theta[-1] + step[-1] + 1 / S) - np.log(theta[-1] + 1 / S)
        expected += np.mean(of_means**2)
    assert_allclose(step @ (M @ step), expected, rtol=1e-4)
    assert M.is_positive_definite()


# --------------------------------------------------------------------------- the starts


def test_starts_along_columns_keep_the_levels_of_groups():
    X, y, groups = data()
    for options in (
        {},
        {"variance_groups": "fixed"},
        {"fit_variance_intercept": False},
        {"mean_groups": None, "variance_groups": "fixed"},
    ):
        estimator = HeteroscedasticGaussianRegressor(**options)
        likelihood, constant = state(estimator, X, y, groups)
        point = evaluate(likelihood, constant_start(likelihood, constant))
        gradient, _ = derivatives(likelihood, point)
        starts = list(more_starts(likelihood, point, gradient))
        assert len(starts) == 6 + len(likelihood.free)
        base = log_variances(likelihood, point.x)
        for start in starts[:6]:
            change = log_variances(likelihood, start) - base
            if len(likelihood.free):
                (part,) = likelihood.rows.parts.values
                means = np.bincount(part.codes, change) / np.bincount(part.codes)
                # Beside a psi all groups have its scale.
                level = means[0] if likelihood.random else 0.0
                assert_allclose(means, level, atol=1e-12)
            if "fit_variance_intercept" not in options:
                # Two standard deviations of the column, within groups beside effects.
                assert_allclose(np.std(change), 2.0, rtol=1e-9)


def test_columns_start_with_the_psi_that_is_best_there():
    """From the psi of the constant variance all searches came to psi = 0, at -68.95."""
    rng = np.random.default_rng(248)
    X, groups = rng.normal(size=(40, 1)), rng.integers(20, size=40)
    y = np.exp(-X[:, 0]) * rng.normal(size=40) + rng.normal(size=20)[groups]
    model = HeteroscedasticGaussianRegressor(method="ml").fit(X, y, groups=groups)
    assert model.group_variance_ > 0
    assert model.log_likelihood_ > -67.2


def test_a_group_of_little_noise_that_differs_from_the_others():
    """The likelihood has an optimum with psi = 0, at which the variance of group 1 is
    large, and a better one, at which it is small and the groups differ.  Starts with a
    psi next to 0 gave the mean to that group, and came back to the first.
    """
    sizes = 14, 4, 5, 13, 4
    rng = np.random.default_rng(0)
    deviations = [rng.normal(size=size) for size in sizes]
    means, stds = (1.5, 2.75, 1.65, 1.45, 1.75), (1.1, 0.27, 1.15, 0.95, 1.15)
    y = [
        mean + std * (e - e.mean()) / e.std(ddof=1)
        for mean, std, e in zip(means, stds, deviations, strict=True)
    ]
    groups = np.repeat(np.arange(5), sizes)
    model = HeteroscedasticGaussianRegressor(variance_groups="fixed")
    model.fit(np.empty((40, 0)), np.concatenate(y), groups=groups)
    noise = model.predict_noise_std(np.empty((5, 0)), groups=np.arange(5))
    assert model.group_variance_ > 0.1
    assert noise[1] < 0.4 < noise[[0, 2, 3, 4]].min()


def test_a_mean_log_variance_far_beyond_its_bounds_is_no_overflow():
    """Slopes of columns a million from zero took it to -760; a warning is an error."""
    likelihood, constant = state(HeteroscedasticGaussianRegressor(), *data())
    theta = constant_start(likelihood, constant)
    theta[:-1] -= 800 * likelihood.average / (likelihood.average @ likelihood.average)
    starts = list(by_ratio(likelihood, evaluate(likelihood, theta)))
    assert np.isfinite(starts).all()


def test_further_starts_share_the_steps_of_two_searches(monkeypatch):
    """Without a regular optimum each of thirty took all of its steps: a minute for 500
    rows and 100 columns.  A start without a factor takes none.
    """

    def descend(search, start, known):
        if start % 2:
            raise np.linalg.LinAlgError
        return Minimum(start, 40, 0.0, False, None)

    monkeypatch.setattr(Search, "descend", descend)
    found = ["the first"]
    search_of(None).extend(found, iter(range(100)))
    assert [end.point for end in found[1:]] == [0, 2, 4, 6, 8]


def test_with_many_columns_starts_follow_the_noise():
    rng = np.random.default_rng(5)
    X = rng.normal(size=(300, 18))
    y = np.exp(0.4 * X[:, 15]) * rng.normal(size=300)
    estimator = HeteroscedasticGaussianRegressor(mean_groups=None)
    likelihood, constant = state(estimator, X, y)
    point = evaluate(likelihood, constant_start(likelihood, constant))
    gradient, _ = derivatives(likelihood, point)
    starts = list(more_starts(likelihood, point, gradient))
    assert len(starts) == 20
    values = log_variances(likelihood, starts[0])
    assert abs(np.corrcoef(values, X[:, 15])[0, 1]) > 0.999


@pytest.mark.parametrize(
    "mean_groups, method",
    [("random", "reml"), ("random", "ml"), ("fixed", "reml"), (None, "ml")],
)
def test_with_many_rows_the_search_starts_beside_the_optimum(mean_groups, method):
    """math.md (31c). Nearly as close as estimates are to the truth: twice what there is
    to gain is of the order of the number of parameters. After an M-step of EM it is
    some 900.
    """
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(20_000, 2)), np.arange(20_000) // 5
    y = np.exp(X @ [0.35, -0.25]) * rng.normal(size=20_000)
    y += rng.normal(size=4000)[groups]
    estimator = HeteroscedasticGaussianRegressor(method=method, mean_groups=mean_groups)
    _, problem = read_problem(estimator, X, y, groups)
    model, constant = problem.model, problem.constant
    point = evaluate(model, constant_start(model, constant))
    start = from_squared_residuals(model, point)
    gradient, information = derivatives(model, evaluate(model, start))
    assert gradient @ information.solve(gradient) < 30


@pytest.mark.filterwarnings("ignore::skmixed.GroupsWarning")  # of small groups
@pytest.mark.parametrize("mean_groups", ["fixed", None])
def test_with_many_rows_effects_start_at_the_means_of_their_groups(mean_groups):
    """From the constant variance the search of this took 10 steps, and now 4."""
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(60_000, 2)), rng.integers(3000, size=60_000)
    log_variance = 0.8 * X[:, 0] + 1.5 * rng.normal(size=3000)[groups]
    y = X @ [1, 2] + np.exp(0.5 * log_variance) * rng.normal(size=60_000)
    options = {"mean_groups": mean_groups, "variance_groups": "fixed", "method": "ml"}
    model = HeteroscedasticGaussianRegressor(**options).fit(X, y, groups=groups)
    assert model.n_iter_ <= 5


def test_with_many_rows_the_search_starts_well_for_a_category_of_three():
    """Their unbiased noise may be negative in all; from there it took 24 steps."""
    rng = np.random.default_rng(6)
    X, rare = rng.normal(size=(60_000, 3)), np.zeros((60_000, 2))
    for n_rows, column in zip((3, 4), rare.T, strict=True):
        column[rng.choice(60_000, n_rows, replace=False)] = 1
    X = np.hstack([X, rare])
    groups = rng.integers(12_000, size=60_000)
    noise = np.exp(0.3 * X[:, 0] - 0.2 * X[:, 1]) * rng.normal(size=60_000)
    y = X @ [1, 2, 0, 1, 1] + noise
    y += np.sqrt(0.3) * rng.normal(size=60_000)[groups]
    model = HeteroscedasticGaussianRegressor(mean_groups="fixed")
    assert model.fit(X, y, groups=groups).n_iter_ <= 8


def test_a_few_groups_and_many_rows_take_few_steps(monkeypatch):
    """Ten columns between twelve groups: 12 steps, if the information of psi were that
    for known coefficients.
    """
    rng = np.random.default_rng(0)
    groups = rng.integers(12, size=2000)
    X = rng.normal(size=(2000, 11))
    X[:, 1:] = rng.normal(size=(12, 10))[groups]
    y = X.sum(axis=1) + rng.normal(size=12)[groups]
    y += np.exp(0.3 * X[:, 0]) * rng.normal(size=2000)
    monkeypatch.setattr("skmixed._search.heteroscedastic.search.MANY_ROWS", 100)
    model = HeteroscedasticGaussianRegressor(variance_features=[0])
    assert model.fit(X, y, groups=groups).n_iter_ <= 7


# ------------------------------------------------------------------- what it decides by


def minimum_at(likelihood, constant, psi):
    """The end of a search that stopped at some psi, the rest being optimal."""
    without = replace(likelihood, random=False)
    start = constant_start(without, constant)
    found = search_of(without).descend(start)
    search = search_of(likelihood)
    point = search.evaluate(np.append(found.point.x, psi))
    return Minimum(point, 3, 0.0, True, search.expand(point))


@pytest.mark.parametrize("thorough", [True, False])
@pytest.mark.parametrize("between, inside", [(0.0, False), (5.0, True)])
@pytest.mark.parametrize("psi", [0.0, 0.5])
def test_psi_is_decided_by_value(between, inside, psi, thorough):
    X, y, groups = data()
    members = np.eye(7)[groups]
    size = members.sum(axis=0)
    within = y - members @ (members.T @ y / size)
    shift = between * np.random.default_rng(0).normal(size=7)
    demeaned = X - members @ (members.T @ X / size[:, None])
    estimator = HeteroscedasticGaussianRegressor()
    problem = state(estimator, demeaned, within + shift[groups], groups)
    wrong, search = minimum_at(*problem, psi), search_of(problem[0])
    found = [wrong]
    without = _decide_psi(search, found, thorough)
    best = min(found, key=search.merit)
    assert best.point.value <= wrong.point.value
    assert (best.point.x[-1] > 0) == inside
    at_zero = minimum_at(*problem, 0.0)
    if without is not None:
        assert_allclose(without, at_zero.point.value)


def test_what_rows_gain_by_being_fitted_exactly_is_no_merit(monkeypatch):
    def gained(likelihood, point):
        return point.gain

    monkeypatch.setattr(
        "skmixed._search.heteroscedastic.search.gain_by_exact_rows", gained
    )

    def merit(value, converged=True, gain=0.0):
        point = SimpleNamespace(value=value, gain=gain, kinked=gain > 0)
        likelihood = SimpleNamespace(log_bounds=(-20.0, 20.0))
        return search_of(likelihood).merit(Minimum(point, 1, 0.0, converged, None))

    regular = merit(0.0)
    for other in (merit(-9.0, gain=0.5), merit(-9.0, False), merit(1.0)):
        assert regular < other
    for lower in (merit(-1.0), merit(-21.0, gain=1.0)):
        assert lower < regular


@pytest.mark.parametrize(
    "way, step, expected",
    [
        ([4.0, 0.0], [-3.2, 0.0], True),
        ([4.0, 0.0], [-3.2, 0.9], False),  # it passes by
        ([4.0, 0.0], [-1.0, 0.0], False),  # it goes there, but not far
        ([0.1, 0.0], [0.5, 0.0], False),  # it leads away
    ],
)
def test_a_search_is_left_where_it_leads_to_a_known_optimum(way, step, expected):
    x = np.array([1.0, 2.0])
    model = SimpleNamespace(length=np.linalg.norm)
    known = SimpleNamespace(point=SimpleNamespace(x=x), model=model, converged=True)
    at = SimpleNamespace(x=x + way)
    assert _leads_to([known], at, np.array(step)) == expected
    assert not _leads_to([], at, np.array(step))
