"""The distribution that is integrated over the variance ratio, against brute force."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.integrated import components, probability_below
from scipy import sparse
from scipy.stats import t

from skmixed import GroupsWarning, LinearMixedRegressor, RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood import integrated
from skmixed._likelihood.criterion import deviance
from skmixed._likelihood.mixture import (
    Components,
    mixture_log_density,
    mixture_quantiles,
    t_log_density,
)
from skmixed._likelihood.random_intercept import RandomIntercept, evaluate
from skmixed._likelihood.ratio_posterior import integrate_ratio
from skmixed._rows.gram import random_intercept_gram
from skmixed.model_selection import cross_validate_groups

# In probability, of an interval's end; the nodes are good for some 1e-7.
PROBABILITY = 1e-5
DESIGNS = {
    "balanced": [5] * 6,
    "unbalanced": [2, 3, 8, 4, 5, 1, 9],
    "more rows": [12, 9, 10, 14, 11],
}
INTEGRATED = {"distribution": "integrated"}
RIDGE = "RandomInterceptRegressor 2"  # the second model of a list


def simulate(sizes, seed=1, group_std=0.5):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    x = rng.normal(size=len(groups))
    y = 1 + x + group_std * rng.normal(size=len(sizes))[groups]
    return x[:, None], y + rng.normal(size=len(groups)), groups


def with_intercept(X):
    return np.column_stack([np.ones(len(X)), X])


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("group_std", [0.0, 0.5, 20.0])
def test_intervals_are_those_of_brute_force(design, group_std):
    """math.md (70) to (72) and (142), with n x n matrices on a fine grid."""
    X, y, groups = simulate(DESIGNS[design], group_std=group_std)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    found = components(with_intercept(X), y, groups)
    n_groups, x = len(DESIGNS[design]), np.array([1.0, 0.7])
    first, nobody = np.eye(n_groups)[0], np.zeros(n_groups)
    options = {"coverage": 0.9, "distribution": "integrated"}
    rows = [[0.7]] * 5
    known, new = model.predict_interval(rows[:2], groups=[0, 99], **options)
    of_mean = model.predict_interval(rows, groups=[99] * 5, average=True, **options)
    of_b = model.random_intercepts_interval(0.9)[0]
    table = model.summary(0.9, distribution="integrated").coefficients
    of_slope = table["low"][1], table["high"][1]
    targets = [
        (known, (x, first, 0.0, 1.0)),
        (new, (x, nobody, 1.0, 1.0)),
        (of_mean, (x, nobody, 1.0, 0.2)),
        (of_slope, (np.array([0.0, 1.0]), nobody, 0.0, 0.0)),
    ]
    if group_std:  # else much of the probability of b is at 0
        targets.append((of_b, (0 * x, first, 0.0, 0.0)))
    for interval, target in targets:
        for end, level in zip(interval, (0.05, 0.95), strict=True):
            below = probability_below(end, with_intercept(X), y, groups, target, found)
            assert abs(below - level) < PROBABILITY


def test_weights_are_repetitions():
    X, y, groups = simulate(DESIGNS["unbalanced"])
    weight = np.random.default_rng(0).integers(1, 4, size=len(y))
    repeated = [np.repeat(v, weight, axis=0) for v in (X, y, groups)]
    weighted = RandomInterceptRegressor().fit(
        X, y, groups=groups, sample_weight=weight.astype(float)
    )
    plain = RandomInterceptRegressor().fit(*repeated[:2], groups=repeated[2])
    ends = [
        model.predict_interval(X, groups=groups, distribution="integrated")
        for model in (weighted, plain)
    ]
    assert_allclose(*ends, rtol=1e-9)


def test_ml_and_reml_fits_have_the_same():
    X, y, groups = simulate(DESIGNS["unbalanced"])
    ends = [
        RandomInterceptRegressor(method=method)
        .fit(X, y, groups=groups)
        .predict_interval(X, distribution="integrated", groups=groups)
        for method in ("ml", "reml")
    ]
    assert_allclose(*ends, rtol=1e-12)


def test_units_of_y_do_not_matter():
    X, y, groups = simulate(DESIGNS["unbalanced"])
    ends = [
        RandomInterceptRegressor()
        .fit(X, scale * y, groups=groups)
        .predict_interval(X, distribution="integrated", groups=groups)
        / scale
        for scale in (1.0, 1e50)
    ]
    assert_allclose(*ends, rtol=1e-9)


def test_density_draws_and_intervals_agree():
    X, y, groups = simulate(DESIGNS["balanced"])
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    options = {"groups": [99], "distribution": "integrated"}
    (low, high), *_ = model.predict_interval([[0.7]], **options)
    grid, weight = np.polynomial.legendre.leggauss(12)
    grid, weight = low + 0.5 * (high - low) * (1 + grid), 0.5 * (high - low) * weight
    density = [model.log_predictive_density([[0.7]], [v], **options) for v in grid]
    assert_allclose(weight @ np.exp(density), 0.9, atol=1e-6)
    draws = model.sample_y([[0.7]], n_samples=20_000, **options)
    inside = np.mean((low < draws) & (draws < high))
    assert abs(inside - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 20_000)


def test_rows_of_a_new_group_are_drawn_and_judged_together():
    X, y, groups = simulate(DESIGNS["balanced"], group_std=3.0)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    rows, options = [[0.7]] * 3, {"distribution": "integrated"}
    draws = model.sample_y(rows, groups=[9, 9, 8], n_samples=4000, **options)
    same, other = np.corrcoef(draws)[0, 1:]
    assert same > 0.6 > 0.3 > abs(other)
    together, apart = (
        model.log_predictive_density(rows, [5.0, 5.1, 0.0], groups=labels, **options)
        for labels in ([9, 9, 8], [9, 7, 8])
    )
    assert together > apart + 0.5


def test_the_density_of_two_rows_integrates_to_that_of_one():
    X, y, groups = simulate(DESIGNS["balanced"])
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    options, rows = {"distribution": "integrated"}, [[0.7], [0.1]]
    grid, weight = np.polynomial.legendre.leggauss(120)
    both = [
        model.log_predictive_density(rows, [0.4, v], groups=[9, 9], **options)
        for v in 20 * grid
    ]
    one = model.log_predictive_density(rows[:1], [0.4], groups=[9], **options)
    # Beyond 20, some 15 standard deviations, there is less than that.
    assert_allclose(20 * weight @ np.exp(both), np.exp(one), rtol=1e-6)


def test_many_groups_leave_the_plug_in_width():
    X, y, groups = simulate([6] * 1000)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    width = [
        np.diff(model.predict_interval([[0.7]], groups=[5000], distribution=name))
        for name in ("normal", "integrated")
    ]
    assert_allclose(*width, rtol=2e-3)
    assert width[1] > width[0]


def test_few_groups_have_wider_intervals():
    X, y, groups = simulate(DESIGNS["balanced"])
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    normal = model.random_intercepts_interval(distribution="normal")
    integrated = model.random_intercepts_interval()
    assert (np.diff(integrated) > 1.1 * np.diff(normal)).all()


@pytest.mark.parametrize(
    "labels",
    [np.zeros(20), np.arange(20)],
    ids=["one group", "one row per group"],
)
def test_a_ratio_that_nothing_tells_is_zero(labels):
    X, y, _ = simulate([20])
    with pytest.warns(GroupsWarning):
        model = RandomInterceptRegressor().fit(X, y, groups=labels)
    over = fit_of(model).integrated.over
    assert_allclose(over.keys, 0)
    ends = model.predict_interval([[0.7]], groups=[5], distribution="integrated")
    A = with_intercept(X)
    inverse = np.linalg.inv(A.T @ A)
    beta, x = inverse @ A.T @ y, np.array([1, 0.7])
    std = np.sqrt(np.sum((y - A @ beta) ** 2) / 18 * (1 + x @ inverse @ x))
    assert_allclose(ends[0], x @ beta + t.ppf([0.05, 0.95], 18) * std, rtol=1e-7)


def test_two_groups_and_a_feature_between_them():
    X, y, groups = simulate([10, 10])
    X = np.column_stack([X, groups])
    with pytest.warns(GroupsWarning):
        model = RandomInterceptRegressor().fit(X, y, groups=groups)
    ends = model.predict_interval(X, groups=groups, distribution="integrated")
    assert np.isfinite(ends).all()


def test_an_exact_fit_is_its_own_interval():
    X, _, groups = simulate(DESIGNS["balanced"])
    y = 2 * X[:, 0] + groups
    with pytest.warns(UserWarning, match="fitted exactly"):
        model = RandomInterceptRegressor().fit(X, y, groups=groups)
    ends = model.predict_interval(X, groups=groups, distribution="integrated")
    assert_allclose(ends, np.column_stack([y, y]), atol=1e-9)


def test_as_many_coefficients_as_rows():
    """Intervals were NaN, and draws SciPy's error about degrees of freedom."""
    X, y = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 4.0]]), np.array([1.0, 3.0, 2.0])
    with pytest.warns(UserWarning, match="no degrees of freedom"):
        model = RandomInterceptRegressor().fit(X, y, groups=[0, 0, 1])
    asked = {"groups": [0, 0, 1], "distribution": "integrated"}
    assert_allclose(model.predict_interval(X, **asked), np.transpose([y, y]), atol=1e-9)
    assert np.isfinite(model.log_predictive_density(X, y, **asked)).all()
    light = RandomInterceptRegressor(method="ml")
    X, y, groups = simulate(DESIGNS["balanced"])
    weight = np.full(len(y), 1.5 / len(y))
    light.fit(X, y, groups=groups, sample_weight=weight)
    with pytest.raises(ValueError, match=r"1\.5 rows, the sum.* and 2 coefficients"):
        light.predict_interval(X, groups=groups, distribution="integrated")


def test_no_integral_where_there_is_no_likelihood_of_all_rows():
    X, y, groups = simulate(DESIGNS["balanced"])
    ridge = RandomInterceptRegressor(alpha=1.0).fit(X, y, groups=groups)
    with pytest.raises(ValueError, match=r"alpha=1\.0: the variances of a penalised"):
        ridge.predict_interval(X, groups=groups, distribution="integrated")
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    model.update_random_intercepts(X[:2], y[:2], groups=groups[:2])
    with pytest.raises(ValueError, match="were updated since"):
        model.sample_y(X, groups=groups, distribution="integrated")
    with pytest.raises(ValueError, match="'normal', 't' or 'integrated', got 'beta'"):
        model.predict_interval(X, groups=groups, distribution="beta")
    with pytest.raises(ValueError, match="A sum of observations has no degrees"):
        model.predict_interval(X, groups=groups, distribution="t", average=True)


def test_an_average_is_that_of_the_joint_covariance():
    X, y, groups = simulate(DESIGNS["unbalanced"])
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    labels = np.where(groups < 3, groups, 50 + groups % 2)
    mean, covariance = model.predict(X, groups=labels, return_cov=True)
    low, high = model.predict_interval(X, groups=labels, average=True)
    assert_allclose(0.5 * (low + high), mean.mean())
    std = np.sqrt(covariance.mean())
    assert_allclose(high - low, 2 * 1.6448536269514722 * std)


def test_nodes_cover_several_optima():
    """Many large groups that hardly differ, and two small ones that differ much."""
    y = np.r_[0.06 * (-1.0) ** np.arange(40), [9.0, -9.0]]
    S = np.r_[np.full(40, 1000.0), [2.0, 2.0]]
    within = np.array([[0.0, np.sqrt(S.sum() - len(y))]])
    gram = random_intercept_gram(S, np.column_stack([np.ones(len(y)), y]), within)
    model = RandomIntercept(gram, S.sum(), reml=True, floor=1e-20)
    over = integrate_ratio(model)
    grid = np.linspace(-20, 8, 4001)
    values = np.exp(grid)
    density = grid - 0.5 * np.log(S.sum())
    for i, r in enumerate(values):
        at = evaluate(model, r)
        k = at.factor.projection()[:, 0, :-1] @ at.factor.root_inverse
        shrunk, length = S / (1 + r * S), np.sum(k**2, axis=1)
        trace = shrunk.sum() - length.sum()
        square = np.sum(shrunk**2 - 2 * shrunk * length) + np.sum((k.T @ k) ** 2)
        density[i] += 0.5 * np.log(square - trace**2 / (S.sum() - 1))
        density[i] -= 0.5 * deviance(model, at)
    p = np.exp(density - density.max())
    peaks = np.flatnonzero((p[1:-1] > p[:-2]) & (p[1:-1] > p[2:]))
    assert len(peaks) == 2
    for figure in (np.log, lambda r: 1 / (1 + 2 * r), lambda r: r > 0.1):
        expected = p @ figure(values) / p.sum()
        assert_allclose(over.probability @ figure(over.keys), expected, atol=0.02)


@pytest.mark.parametrize("kept", [0, 1 << 20])
def test_blocks_and_posteriors_that_are_not_kept(kept, monkeypatch):
    X, y, groups = simulate(DESIGNS["unbalanced"])
    one = RandomInterceptRegressor().fit(X, y, groups=groups)
    mixed = LinearMixedRegressor().fit(X, y, groups=groups)
    ends = one.predict_interval(X, groups=groups, **INTEGRATED)
    monkeypatch.setattr(integrated, "KEPT", kept)
    monkeypatch.setattr(integrated, "AT_ONCE", 7)
    for model in (one, mixed):
        model.fit(X, y, groups=groups)
        found = model.predict_interval(X, groups=groups, **INTEGRATED)
        assert_allclose(found, ends, rtol=1e-8)
        assert bool(fit_of(model).integrated._kept) == bool(kept)


@pytest.mark.parametrize("name", ["normal", "integrated"])
def test_weights_of_sums(name):
    X, y, groups = simulate(DESIGNS["unbalanced"])
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    options = {"groups": [0, 0, 99], "distribution": name}
    rows, weight = X[:3], [[1, 0, 0], [1 / 3] * 3, [1, -1, 0]]
    first, mean, difference = model.predict_interval(rows, average=weight, **options)
    assert_allclose(first, model.predict_interval(rows, **options)[0], rtol=1e-6)
    whole = model.predict_interval(rows, average=True, **options)
    assert_allclose(mean, whole, rtol=1e-6)
    for kind in (sparse.csr_array, sparse.coo_matrix):
        found = model.predict_interval(rows, average=kind(weight), **options)
        assert_allclose(found, [first, mean, difference], rtol=1e-12)
    draws = model.sample_y(rows, n_samples=40_000, **options)
    sums = (draws.mean(axis=0), mean), (draws[0] - draws[1], difference)
    below = [[np.mean(total < end) for end in ends] for total, ends in sums]
    chance = 4 * np.sqrt(0.05 * 0.95 / 40_000)
    assert_allclose(below, [(0.05, 0.95)] * 2, atol=chance)
    wrong_sparse = sparse.csr_array([[1.0, np.nan, 0.0]])
    for wrong in ([1, 2, 3], [[1, 2]], [[1, np.inf, 0]], wrong_sparse):
        with pytest.raises(ValueError, match="weights of sums of rows are finite"):
            model.predict_interval(rows, average=wrong, **options)


def test_cross_validation_by_the_integrated_distribution():
    X, y, groups = simulate([6] * 5, group_std=2.0)
    models = [RandomInterceptRegressor(), RandomInterceptRegressor(alpha=1.0)]
    options = {"groups": groups, "cv_known": 2, "cv_new": 5}
    normal, found = (
        cross_validate_groups(models, X, y, distribution=name, **options).scores
        for name in ("normal", "integrated")
    )
    ours, ridge = found["new", "RandomInterceptRegressor"], ("new", RIDGE)
    assert_allclose(found[ridge]["nll"], normal[ridge]["nll"])  # offers none
    test = groups == 4
    model = RandomInterceptRegressor().fit(X[~test], y[~test], groups=groups[~test])
    rows = {"groups": groups[test], "distribution": "integrated"}
    joint = -model.log_predictive_density(X[test], y[test], **rows) / test.sum()
    each = [
        -model.log_predictive_density(X[[i]], y[[i]], groups=[4], **INTEGRATED)
        for i in np.flatnonzero(test)
    ]
    low, high = model.predict_interval(X[test], **rows).T
    inside = np.mean((low <= y[test]) & (y[test] <= high))
    assert np.isclose(ours["joint_nll"], joint).any()
    assert np.isclose(ours["nll"], np.mean(each)).any()
    assert np.isclose(ours["coverage"], inside).any()


def test_the_interval_of_the_group_variance_is_that_of_draws():
    """math.md (74)."""
    X, y, groups = simulate(DESIGNS["unbalanced"], group_std=1.5)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    over = fit_of(model).integrated.over
    rng = np.random.default_rng(0)
    i = rng.choice(len(over.keys), size=100_000, p=over.probability)
    noise = over.noise_variance[i] * over.freedom / rng.chisquare(over.freedom, len(i))
    components = model.summary(0.9, distribution="integrated").variance_components
    ends = np.column_stack([components["low"], components["high"]]) ** 2
    for draws, (low, high) in zip((over.keys[i] * noise, noise), ends, strict=True):
        below = np.mean(draws < low), np.mean(draws < high)
        # Four standard errors of a share of 100,000.
        assert_allclose(below, (0.05, 0.95), atol=4 * np.sqrt(0.05 * 0.95 / 100_000))


# ------------------------------------------------------------------------- mixtures


def mixture_cdf(x, mean, std, probability, freedom):
    """The distribution function of every mixture at x: math.md (72)."""
    return probability @ t.cdf((x - mean) / std, freedom)


def mixtures(n=50, c=7, seed=0):
    rng = np.random.default_rng(seed)
    probability = rng.dirichlet(np.ones(c))
    mean, std = rng.normal(size=(c, n)), np.exp(rng.normal(size=(c, n)))
    return mean, std, probability


@pytest.mark.parametrize("freedom", [1.0, 3.5, 40.0, 1e12])
@pytest.mark.parametrize("n", [50, 20_000])
def test_quantiles_invert_the_distribution_function(freedom, n):
    mean, std, probability = mixtures(n)
    for level in (0.005, 0.3, 0.95):
        x = mixture_quantiles(mean, std, probability, freedom, [level])[:, 0]
        below = mixture_cdf(x, mean, std, probability, freedom)
        # A table adds some 1e-8 where there are many values.
        assert_allclose(below, level, atol=3e-8)


def test_a_component_may_be_a_point():
    mean, std, probability = mixtures()
    std[:, ::2] *= np.arange(7)[:, None] > 3  # the first four are points
    ends = mixture_quantiles(mean, std, probability, 10.0, [0.05, 0.95])
    below = mixture_cdf(ends[:, 1], mean, np.maximum(std, 1e-12), probability, 10.0)
    before = ends[:, 1] - 1e-6
    less = mixture_cdf(before, mean, np.maximum(std, 1e-12), probability, 10.0)
    assert ((less <= 0.95 + 1e-6) & (below >= 0.95 - 1e-6)).all()


def test_the_density_is_the_slope_of_the_distribution_function():
    mean, std, probability = mixtures()
    x, h = np.linspace(-2, 2, 50), 1e-5
    up, down = (mixture_cdf(x + s, mean, std, probability, 5.0) for s in (h, -h))
    density = np.exp(mixture_log_density(x, mean, std, probability, 5.0))
    assert_allclose((up - down) / (2 * h), density, rtol=1e-6)


def test_joint_t_of_one_value_is_t():
    """math.md (73)."""
    found = t_log_density(1.3**2 / 4, np.log(4.0), 1, 7.0)
    assert_allclose(found, t.logpdf(1.3, 7.0, scale=2.0))


def test_draws_beside_weights_that_sum_to_next_to_nothing():
    """Draws of a t distribution with so few degrees of freedom were infinite."""
    rng = np.random.default_rng(0)
    model = LinearMixedRegressor("(1 | g)")
    groups = np.arange(12) % 3
    data = np.empty((12, 0)), rng.normal(size=12)
    model.set_params(fit_intercept=False)
    model.fit(*data, groups=groups, sample_weight=np.full(12, 1e-6))
    draws = model.sample_y(data[0], groups=groups, distribution="integrated")
    assert np.isfinite(draws).all()


def test_ends_of_a_variance_may_be_beyond_double_precision():
    """The search for such an end did not converge: RuntimeError."""
    over = Components(np.zeros(1), np.array([1e-78]), np.ones(1), freedom=0.005)
    low, high = over.variance_interval(np.ones(1), 0.95)
    assert low < 1e-75
    assert high == np.inf
