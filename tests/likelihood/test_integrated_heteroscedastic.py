"""The integrated distribution of heteroscedastic models, against brute force."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.integrated import conditional_t, log_density_of
from scipy import sparse
from scipy.stats import t as student

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
)
from skmixed._estimator import fit_of
from skmixed._likelihood.heteroscedastic.criterion import evaluate
from skmixed._likelihood.heteroscedastic.derivatives import derivatives

# In probability, of the end of an interval by 128 quasi-random nodes.
NODES = 0.01
INTEGRATED = {"distribution": "integrated"}


def simulate(n_groups=6, n_rows=6, seed=1):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), n_rows)
    X = rng.normal(size=(len(groups), 2))
    y = 1 + X[:, 0] + 0.7 * rng.normal(size=n_groups)[groups]
    y += np.exp(0.4 * X[:, 1]) * rng.normal(size=len(groups))
    return X, y, groups


def fitted(**options):
    X, y, groups = simulate()
    return HeteroscedasticGaussianRegressor(**options).fit(X, y, groups=groups)


def dense(x, s, groups):
    """V0 and its slopes, at a coefficient of the centred column s and a log-ratio."""
    same = (groups[:, None] == groups).astype(float)
    noise, ratio = np.exp(x[0] * (s - s.mean())), np.exp(2 * x[1])
    return np.diag(noise) + ratio * same, [
        np.diag(noise * (s - s.mean())),
        2 * ratio * same,
    ]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"mean_groups": None},
        {"fit_intercept": False},
        {"variance_features": [1]},
        {"variance_features": []},
    ],
)
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array])
def test_densities_and_information_are_those_of_the_likelihood(options, kind):
    """math.md (206), with weights and with columns that are hardly independent."""
    X, y, groups = simulate()
    X = kind(np.column_stack([X, X[:, 0] + 0.01 * X[:, 1]]))
    w = 1.0 + np.arange(len(y)) % 3
    model = HeteroscedasticGaussianRegressor(**options)
    likelihood = fit_of(model.fit(X, y, groups=groups, sample_weight=w)).likelihood
    rng = np.random.default_rng(0)
    nodes = likelihood.start + 0.5 * rng.normal(size=(5, likelihood.size))
    expected = []
    for gamma, psi in zip(*likelihood.split(nodes), strict=True):
        theta = np.append(gamma, psi) if likelihood.model.random else gamma
        point = evaluate(likelihood.model, theta)
        information = derivatives(likelihood.model, point, expected=True)[1]
        rss, half = point.factor.rss, 0.5 * likelihood.freedom
        value = 0.5 * np.linalg.slogdet(information.toarray())[1] - half * np.log(rss)
        value += 0.5 * rss - point.value + (np.log(psi) if psi else 0.0)
        expected.append((value, rss))
    values, rss = likelihood.log_densities(nodes)
    value, wanted = np.transpose(expected)
    assert_allclose(np.diff(values), np.diff(value), rtol=1e-8, atol=1e-8)
    assert_allclose(rss, wanted, rtol=1e-9)
    if len(likelihood.split(nodes)[0][0]) > 1:  # noise variances beyond all bounds
        nodes[0, 0] = 1e4
        values_beside = likelihood.log_densities(nodes)[0]
        assert values_beside[0] == -np.inf
        assert_allclose(values_beside[1:], values[1:])


def test_the_density_is_that_of_dense_matrices():
    """math.md (141)."""
    X, y, groups = simulate()
    likelihood = fit_of(fitted(variance_features=[1], method="ml")).likelihood
    s, A = X[:, 1], np.column_stack([np.ones(len(X)), X])
    points = np.random.default_rng(0).normal(scale=0.6, size=(4, 2))
    found = likelihood.log_densities(points)[0]
    unit = likelihood.problem.variance_columns.back[0, 1]  # of the working column
    expected = [
        log_density_of(A, y, *dense(x * [unit, 1], s, groups))[0] for x in points
    ]
    assert_allclose(np.diff(found), np.diff(expected), rtol=1e-8)


def test_intervals_are_those_of_brute_force():
    """math.md (141), on a grid of both coordinates with n x n matrices."""
    X, y, groups = simulate()
    model = fitted(variance_features=[1])
    A, s, first = np.column_stack([np.ones(len(X)), X]), X[:, 1], groups == 0
    x, noise_at = np.array([1.0, 0.8, 0.5]), 0.5 - s.mean()
    components = []
    for gamma in np.linspace(-1.5, 2.0, 25):
        for log_ratio in np.linspace(-4.5, 2.5, 25):
            V0, slopes = dense((gamma, log_ratio), s, groups)
            value, rss = log_density_of(A, y, V0, slopes)
            ratio, noise = np.exp(2 * log_ratio), np.exp(gamma * noise_at)
            targets = [
                conditional_t(A, y, V0, ratio * first, ratio + noise, x),
                conditional_t(A, y, V0, 0 * first, ratio + noise, x),
                conditional_t(A, y, V0, ratio * first, ratio, 0 * x),
                conditional_t(A, y, V0, 0 * first, 0.0, np.array([0.0, 1.0, 0.0])),
            ]
            components.append((value, rss, *np.ravel(targets)))
    value, rss, *targets = np.array(components).T
    p, freedom = np.exp(value - value.max()), len(y) - 3
    ends = model.predict_interval([[0.8, 0.5]] * 2, groups=[0, 99], **INTEGRATED)
    table = model.summary(0.9, "integrated").coefficients
    of_slope = table["low"][1], table["high"][1]
    intervals = [*ends, model.random_intercepts_interval()[0], of_slope]
    for k, interval in enumerate(intervals):
        mean, std = targets[2 * k], np.sqrt(rss / freedom * targets[2 * k + 1])
        for end, level in zip(interval, (0.05, 0.95), strict=True):
            below = p @ student.cdf((end - mean) / std, freedom) / p.sum()
            assert abs(below - level) < NODES


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_that_of_the_mixed_model(method, weighted):
    X, y, groups = simulate()
    w = 1.0 + np.arange(len(y)) % 3 if weighted else None
    options = {"variance_features": [1], "method": method}
    one = HeteroscedasticGaussianRegressor(**options)
    one.fit(X, y, groups=groups, sample_weight=w)
    mixed = LinearMixedRegressor("(1 | g)", **options)
    mixed.fit(X, y, groups=groups, sample_weight=w)
    found, new = [], {"groups": [0, 0, 1, 99, 99], **INTEGRATED}
    for model in (one, mixed):
        table = model.summary(0.9, "integrated")
        found.append(
            [
                model.predict_interval(X[:5], **new),
                model.predict_interval(X[:5], average=True, **new),
                model.log_predictive_density(X[:5], y[:5], **new),
                np.concatenate([table.coefficients["low"], table.coefficients["high"]]),
                table.variance_components["high"],
            ]
        )
    # The nodes differ by rounding of the search for the mode.
    for first, second in zip(*found, strict=True):
        assert_allclose(first, second, atol=3e-3)
    of_b = mixed.random_effects_interval("g")[:, 0]
    assert_allclose(one.random_intercepts_interval(), of_b, atol=3e-3)


def test_density_draws_and_intervals_agree():
    model, row, where = fitted(), [[0.7, 0.1]], {"groups": [0], **INTEGRATED}
    low, high = model.predict_interval(row, **where)[0]
    grid, weight = np.polynomial.legendre.leggauss(12)
    grid, weight = low + 0.5 * (high - low) * (1 + grid), 0.5 * (high - low) * weight
    density = [model.log_predictive_density(row, [v], **where) for v in grid]
    assert_allclose(weight @ np.exp(density), 0.9, atol=1e-6)
    draws = model.sample_y(row, n_samples=4000, **where)
    inside = np.mean((low < draws) & (draws < high))
    assert abs(inside - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


@pytest.mark.parametrize("options", [{"mean_groups": None}, {"variance_features": []}])
def test_models_with_one_coordinate_or_none(options):
    X, y, _ = simulate()
    model = fitted(**options)
    rows = {"X": X[:4], "groups": [0, 1, 99, 99]}
    normal = np.ptp(model.predict_interval(**rows), axis=1)
    found = np.ptp(model.predict_interval(**rows, **INTEGRATED), axis=1)
    assert ((found > 1.005 * normal) & (found < 1.6 * normal)).all()
    plain = HeteroscedasticGaussianRegressor(mean_groups=None, variance_features=[])
    ends = plain.fit(X, y).predict_interval(X[:1], **INTEGRATED)[0]
    A = np.column_stack([np.ones(len(X)), X])
    inverse = np.linalg.inv(A.T @ A)
    beta, x, freedom = inverse @ A.T @ y, A[0], len(y) - 3
    scale = np.sum((y - A @ beta) ** 2) / freedom * (1 + x @ inverse @ x)
    expected = x @ beta + student.ppf([0.05, 0.95], freedom) * np.sqrt(scale)
    assert_allclose(ends, expected, rtol=1e-7)


def test_a_group_variance_of_zero_has_finite_intervals():
    X, _, groups = simulate()
    y = X[:, 0] + np.exp(0.3 * X[:, 1]) * np.random.default_rng(5).normal(size=len(X))
    model = HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)
    assert model.at_boundary_
    width = np.ptp(model.random_intercepts_interval(), axis=1)
    assert ((width > 0.01) & (width < 5)).all()
    assert (model.random_intercepts_interval(distribution="normal") == 0).all()


@pytest.mark.parametrize("n_groups", [1, 36])
def test_groups_that_tell_no_variance(n_groups):
    X, y, _ = simulate()
    X[:, 0] = X[:, 0] > 0  # two noise variances
    groups = np.arange(len(y)) % n_groups
    model = HeteroscedasticGaussianRegressor(variance_features=[0])
    with pytest.warns(GroupsWarning):
        model.fit(X, y, groups=groups)
    ends = model.predict_interval(X[:9], groups=groups[:9], **INTEGRATED)
    assert np.isfinite(ends).all()
    assert (np.ptp(ends, axis=1) < 20).all()


def test_it_is_kept_with_the_fit_and_not_stored():
    model, X = fitted(), simulate()[0]
    before = len(pickle.dumps(model))
    model.predict_interval(X[:2], groups=[0, 1], **INTEGRATED)
    assert fit_of(model).integrated is fit_of(model).integrated
    assert len(pickle.dumps(model)) == before
    again = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match=r"kept up to 20000 of them.* and not stored"):
        again.predict_interval(X[:2], groups=[0, 1], **INTEGRATED)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"alpha": 1.0}, r"^alpha=1\.0: the variances of a penalised fit"),
        ({"variance_alpha": 1.0}, r"^variance_alpha=1\.0: the variances of a pen"),
        ({"mean_groups": "fixed"}, "not offered beside fixed effects of the groups"),
        ({"variance_groups": "fixed"}, "not offered beside fixed effects of the gro"),
        ({"fit_variance_intercept": False}, "needs an intercept of the log-variance"),
    ],
)
def test_fits_without_it(options, message):
    model = fitted(**options)
    with pytest.raises(ValueError, match=message):
        model.predict_interval([[0.0, 0.0]], groups=[0], **INTEGRATED)


@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")
@pytest.mark.filterwarnings("ignore:.*no degrees of freedom left:UserWarning")
@pytest.mark.filterwarnings("ignore::skmixed.GroupsWarning")
@pytest.mark.parametrize("variance_features", ["all", []])
def test_rows_that_leave_nothing_to_the_noise_have_none(variance_features):
    """Two rows of weight 2 and two coefficients: NumPy's error about a matrix."""
    rng, how = np.random.default_rng(0), {"variance_features": variance_features}
    X, y, weight = rng.normal(size=(3, 2)), rng.normal(size=3), np.array([2.0, 0, 2])
    model = HeteroscedasticGaussianRegressor(fit_intercept=False, **how)
    model.fit(X, y, groups=[0, 0, 0], sample_weight=weight)
    with pytest.raises(ValueError, match="has no answer: the information about"):
        model.predict_interval(X, groups=[0, 0, 0], **INTEGRATED)
    model.fit(X, y, groups=[0, 0, 0], sample_weight=weight / 2)
    with pytest.raises(ValueError, match=r"2 rows, the sum.* and 2 coefficients"):
        model.predict_interval(X, groups=[0, 0, 0], **INTEGRATED)


def test_updated_effects_have_none():
    X, y, groups = simulate()
    model = fitted().update_random_intercepts(X[:3], y[:3], groups=groups[:3])
    with pytest.raises(ValueError, match="effects were updated since"):
        model.predict_interval(X[:2], groups=[0, 1], **INTEGRATED)
    fixed = fitted(mean_groups="fixed")
    with pytest.raises(ValueError, match="has no random intercepts, but other"):
        fixed.random_intercepts_interval(distribution="normal")
