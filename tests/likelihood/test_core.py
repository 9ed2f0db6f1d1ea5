"""Moments, Gram, factor and criterion against dense matrices and finite differences."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import (
    block_covariance,
    generalised_least_squares,
    log_likelihood,
    simulate,
    with_intercept,
)

from skmixed import _blocks
from skmixed._likelihood.factor import factorize
from skmixed._likelihood.one_variance import (
    RandomIntercept,
    deviance,
    evaluate,
    slope,
    slopes,
)
from skmixed._rows import reduction
from skmixed._rows.gram import Gram, pool, random_intercept_gram
from skmixed._rows.reduction import reduce_rows, reduce_sparse, weighted_sums
from skmixed._search.ratio import best_ratio
from skmixed._search.roots import descending_roots, polish

# The dense oracle solves with matrices of condition up to 1e3, in double precision.
DENSE = 1e-10
# Central differences with this step, of a function of order 100.
STEP, DIFFERENCES = 1e-5, 2e-6
# The same sums in another order.
REORDERED = 1e-12


def reader(A):
    return lambda rows: np.array(A[rows], dtype=float)


def moments_of(A, groups, weight=None, n_jobs=None):
    return reduce_rows(reader(A), groups, groups.max() + 1, weight, n_jobs)


def gram_of(X, y, groups, weight=None):
    """Gram of [1, X, y]."""
    A = np.column_stack([with_intercept(X), y])
    moments = moments_of(A, groups, weight)
    return random_intercept_gram(
        moments.size, moments.mean + moments.shift, moments.within
    )


def model_of(X, y, groups, reml, **kwargs):
    kwargs = {"floor": 1e-20, **kwargs}
    return RandomIntercept(gram_of(X, y, groups), len(y), reml, **kwargs)


# ------------------------------------------------------------------------------ moments


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_those_of_numpy(weighted):
    X, y, groups = simulate()
    A = np.column_stack([X, y]) + 100
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y)) if weighted else None
    moments = moments_of(A, groups, weight)
    a = np.ones(len(y)) if weight is None else weight
    shift = np.average(A, axis=0, weights=a)
    means = np.array([np.average(A[groups == g], 0, a[groups == g]) for g in range(12)])
    deviations = np.sqrt(a)[:, None] * (A - means[groups])
    assert_allclose(moments.shift, shift, rtol=REORDERED)
    assert_allclose(moments.size, np.bincount(groups, a), rtol=REORDERED)
    assert_allclose(moments.mean, means - shift, atol=1e-12)
    assert_allclose(
        moments.within.T @ moments.within, deviations.T @ deviations, rtol=1e-11
    )


@pytest.mark.parametrize("sort", [False, True])
@pytest.mark.parametrize("n_jobs", [None, 2, 3])
def test_moments_do_not_depend_on_blocks_nor_jobs(monkeypatch, sort, n_jobs):
    """Groups of up to 400 rows are cut into pieces of 60 and joined again."""
    X, y, groups = simulate(n=2000, n_groups=5)
    groups = np.sort(groups) if sort else groups
    A = np.column_stack([X, y])
    whole = moments_of(A, groups)
    monkeypatch.setattr(reduction, "block_rows", lambda m: 60)
    cut = moments_of(A, groups, n_jobs=n_jobs)
    for name in ("shift", "size", "mean"):
        assert_allclose(getattr(cut, name), getattr(whole, name), atol=REORDERED)
    assert_allclose(
        cut.within.T @ cut.within, whole.within.T @ whole.within, rtol=REORDERED
    )


def test_moments_visit_each_row_once(monkeypatch):
    X, y, _ = simulate(n=500)
    seen = np.zeros(500, dtype=int)
    monkeypatch.setattr(reduction, "block_rows", lambda m: 7)

    def read(rows):
        if rows != slice(0, 1):  # the row that means are counted from
            seen[rows] += 1
        return np.column_stack([X, y])[rows]

    monkeypatch.setattr(
        reduction, "rows_by_group", lambda *a: (None, np.array([0, 500]))
    )
    reduce_rows(read, np.zeros(500, dtype=int), 1)
    assert (seen == 1).all()


def test_an_offset_of_1e12_costs_no_digits():
    """Sums of squares about an offset that leaves 1e-4 of each number (NIST's SmLs)."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(9), 21)
    deviations = rng.integers(-500, 500, size=(189, 1)) / 1024.0  # exact in binary
    near, far = moments_of(deviations, groups), moments_of(deviations + 1e12, groups)
    assert_allclose(far.mean, near.mean, atol=1e-4)  # the common shift is rounded
    assert_allclose(np.diff(far.mean[:, 0]), np.diff(near.mean[:, 0]), rtol=1e-11)
    assert_allclose(np.abs(far.within), np.abs(near.within), rtol=1e-13)


def test_a_spread_between_groups_of_1e9_costs_no_digits():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    within = rng.integers(-4, 5, size=(300, 1)).astype(float)
    between = 1e9 * rng.integers(-9, 10, size=(30, 1))[groups]
    near, far = moments_of(within, groups), moments_of(within + between, groups)
    assert_allclose(np.abs(far.within), np.abs(near.within), rtol=1e-14)


def test_what_is_constant_is_exactly_zero():
    groups = np.repeat(np.arange(3), 4)
    column = np.full(12, 0.1)
    by_group = np.array([0.1, 0.7, 1e5 / 3])[groups]
    moments = moments_of(np.column_stack([column, by_group]), groups)
    assert (moments.mean[:, 0] == 0).all()
    assert (moments.within == 0).all()


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_moments_are_the_dense_ones(weighted):
    from scipy import sparse

    X, y, groups = simulate()
    X[np.abs(X) < 1] = 0
    weight = np.random.default_rng(0).uniform(0.1, 3, len(y)) if weighted else None
    dense = moments_of(np.column_stack([X, y]), groups, weight)
    thin = reduce_sparse(sparse.csr_array(X), y, groups, 12, weight)
    for name in ("shift", "size", "mean"):
        assert_allclose(getattr(thin, name), getattr(dense, name), atol=1e-12)
    scatter = dense.within.T @ dense.within
    assert_allclose(thin.within.T @ thin.within, scatter, atol=1e-12 * scatter.max())


def test_runs_cover_all_rows():
    bounds = np.cumsum([0, 3, 1, 1, 90, 2, 2, 2])
    cuts = _blocks.cut(bounds, 5)
    assert cuts[0] == 0
    assert cuts[-1] == 7
    rows = np.diff(bounds[cuts])
    assert rows.sum() == bounds[-1]
    assert sorted(rows)[-2] <= 5 < max(rows)  # only the long piece exceeds the limit


# ------------------------------------------------------------------------------- factor


@pytest.mark.parametrize("ratio", [0.0, 1e-3, 0.7, 1e4])
def test_factor_equals_dense_algebra(ratio):
    X, y, groups = simulate()
    factor = factorize(gram_of(X, y, groups), np.array([[np.sqrt(ratio)]]))
    V, D = block_covariance(groups, 1.0, ratio), with_intercept(X)
    beta, covariance = generalised_least_squares(D, y, V)
    residual = y - D @ beta
    Z = np.eye(12)[groups]
    gain = ratio * np.linalg.solve(V, Z).T
    assert_allclose(factor.logdet, np.linalg.slogdet(V)[1], rtol=DENSE, atol=DENSE)
    assert_allclose(factor.beta, beta, rtol=DENSE)
    assert_allclose(factor.rss, residual @ np.linalg.solve(V, residual), rtol=DENSE)
    assert_allclose(factor.logdet_x, -np.linalg.slogdet(covariance)[1], rtol=DENSE)
    assert_allclose(factor.root_inverse @ factor.root_inverse.T, covariance, rtol=1e-9)
    assert_allclose(factor.modes()[:, 0], gain @ residual, rtol=1e-9, atol=1e-12)
    modes_covariance = ratio * np.eye(12) - gain @ (ratio * Z)
    expected = np.diag(modes_covariance)
    assert_allclose(factor.modes_covariance()[:, 0, 0], expected, rtol=1e-6)
    assert_allclose(
        factor.modes_slope(np.eye(4))[:, 0], gain @ D, rtol=1e-9, atol=1e-12
    )


def test_two_random_effects_equal_dense_algebra():
    """The factor is written for q columns: intercept and slope, with correlation."""
    X, y, groups = simulate(n=100)
    z = np.column_stack([np.ones(100), X[:, 0]])
    A = np.column_stack([with_intercept(X), y])
    weight = np.random.default_rng(1).uniform(0.5, 2, 100)
    R11, R12, below = [], [], []
    for g in range(12):
        rows = groups == g
        both = np.sqrt(weight[rows])[:, None] * np.hstack([z[rows], A[rows]])
        R = np.zeros((7, 7))
        R_rows = np.linalg.qr(both, mode="r")
        R[: len(R_rows)] = R_rows
        R11.append(R[:2, :2])
        R12.append(R[:2, 2:])
        below.append(R[2:, 2:])
    R22 = np.linalg.qr(np.vstack(below), mode="r")
    gram = Gram(np.array(R11), np.array(R12), R22, np.ones(12))
    Lambda = np.array([[1.3, 0.0], [-0.4, 0.6]])
    factor = factorize(gram, Lambda)

    Psi = Lambda @ Lambda.T
    V = np.diag(1 / weight) + (z @ Psi @ z.T) * (groups[:, None] == groups)
    D = with_intercept(X)
    beta, covariance = generalised_least_squares(D, y, V)
    residual = y - D @ beta
    logdet = np.linalg.slogdet(V)[1] + np.sum(np.log(weight))
    assert_allclose(factor.logdet, logdet, rtol=DENSE)
    assert_allclose(factor.beta, beta, rtol=DENSE)
    assert_allclose(factor.rss, residual @ np.linalg.solve(V, residual), rtol=DENSE)
    assert_allclose(factor.logdet_x, -np.linalg.slogdet(covariance)[1], rtol=DENSE)
    for g in range(12):
        rows = groups == g
        gain = Psi @ z[rows].T @ np.linalg.inv(V[np.ix_(rows, rows)])
        assert_allclose(factor.modes()[g], gain @ residual[rows], rtol=1e-9)
        assert_allclose(factor.modes_covariance()[g], Psi - gain @ z[rows] @ Psi)
        assert_allclose(
            factor.modes_slope(np.eye(D.shape[1]))[g],
            gain @ D[rows],
            rtol=1e-9,
            atol=1e-12,
        )

    for reml in (True, False):
        value = deviance_of(gram, Lambda, 100, reml) - np.sum(np.log(weight))
        sigma2 = deviance_variance(gram, Lambda, 100, reml)
        assert_allclose(value, -2 * log_likelihood(D, y, sigma2 * V, reml), rtol=DENSE)
        check_slope_of_scale(gram, Lambda, reml)


def q_model(gram, n, reml):
    return RandomIntercept(gram, n, reml, floor=1e-20)


def evaluate_q(model, Lambda):
    """`evaluate` at a matrix in place of the root of a ratio."""
    factor = factorize(model.gram, Lambda)
    at = evaluate(q_model(random_intercept_gram(*trivial(model)), model.n, True), 0.0)
    freedom = model.n - (len(factor.root) - 1 if model.reml else 0)
    return replace(
        at, factor=factor, noise_variance=factor.rss / freedom, rss=factor.rss
    )


def trivial(model):
    m = model.gram.R12.shape[2]
    return np.ones(1), np.ones((1, m)), np.eye(m)


def deviance_of(gram, Lambda, n, reml):
    model = q_model(gram, n, reml)
    return deviance(model, evaluate_q(model, Lambda))


def deviance_variance(gram, Lambda, n, reml):
    return evaluate_q(q_model(gram, n, reml), Lambda).noise_variance


def check_slope_of_scale(gram, Lambda, reml):
    """The slope is that in t where Lambda is scaled by exp(t / 2)."""
    up, down = (
        deviance_of(gram, Lambda * np.exp(s * STEP / 2), 100, reml) for s in (1, -1)
    )
    model = q_model(gram, 100, reml)
    value, _ = slope(model, evaluate_q(model, Lambda))
    assert_allclose(value, (up - down) / (2 * STEP), rtol=DIFFERENCES, atol=1e-6)


def test_no_digit_is_lost_at_a_huge_group_variance():
    """Ratio 1e24, where A22 - L21'L21 of cross-products is not even positive."""
    X, y, groups = simulate(n=300, n_groups=20)
    y = y + 1e6 * np.random.default_rng(5).normal(size=20)[groups]
    factor = factorize(gram_of(X, y, groups), np.array([[1e12]]))
    A = np.column_stack([X, y])
    Z = np.eye(20)[groups]
    within = A - Z @ np.linalg.lstsq(Z, A, rcond=None)[0]
    fixed = np.linalg.lstsq(within[:, :3], within[:, 3], rcond=None)[0]
    assert_allclose(factor.beta[1:], fixed, rtol=1e-9)


@pytest.mark.parametrize("ratio", [0.0, 0.3, 50.0])
def test_pooling_groups_of_equal_size_is_exact(ratio):
    X, y, groups = simulate(n=400, n_groups=100)
    gram = gram_of(X, y, groups)
    pooled = pool(gram)
    assert len(pooled.R11) < 60 < len(gram.R11)
    Lambda = np.array([[np.sqrt(ratio)]])
    one, many = factorize(gram, Lambda), factorize(pooled, Lambda)
    assert_allclose(many.logdet, one.logdet, rtol=1e-13)
    assert_allclose(np.abs(many.root), np.abs(one.root), rtol=1e-11)
    for reml in (True, False):
        models = (RandomIntercept(g, 400, reml, 1e-20) for g in (gram, pooled))
        ours, theirs = (slope(m, evaluate(m, ratio)) for m in models)
        assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("bounds", [[0, 2, 2, 5, 7], [0, 7], [0, 0, 7, 7]])
def test_weighted_sums_of_pieces(bounds):
    rng = np.random.default_rng(0)
    a, A = rng.normal(size=(3, 7)), rng.normal(size=(7, 2))
    pieces = [slice(*ends) for ends in pairwise(bounds)]
    expected = [[w[some] @ A[some] for some in pieces] for w in a]
    found = weighted_sums(a, np.array(bounds)) @ A
    assert_allclose(found.reshape(3, -1, 2), expected, atol=1e-14)
    assert_allclose(weighted_sums(a[0], np.array(bounds)) @ A, expected[0], atol=1e-14)


def test_pooling_similar_sizes_is_close():
    X, y, groups = simulate(n=4000, n_groups=1000)
    weight = np.random.default_rng(0).uniform(1, 2, 4000)
    gram = gram_of(X, y, groups, weight)
    pooled = pool(gram, resolution=0.1)
    assert len(pooled.R11) < 0.2 * len(gram.R11)
    one, many = (factorize(g, np.array([[0.8]])) for g in (gram, pooled))
    assert_allclose(many.logdet, one.logdet, rtol=1e-3)
    assert_allclose(np.abs(many.root), np.abs(one.root), rtol=1e-2, atol=0.1)


# ---------------------------------------------------------------------------- criterion


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 1e-4, 0.4, 30.0])
def test_deviance_is_the_dense_normal_density(reml, ratio):
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    at = evaluate(model, ratio)
    V = block_covariance(groups, at.noise_variance, ratio * at.noise_variance)
    expected = log_likelihood(with_intercept(X), y, V, reml)
    assert_allclose(deviance(model, at), -2 * expected, rtol=DENSE)


@pytest.mark.parametrize("reml", [True, False])
def test_the_noise_variance_is_profiled(reml):
    """No other noise variance at the same ratio has a higher density."""
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    at = evaluate(model, 0.4)
    values = [
        log_likelihood(with_intercept(X), y, block_covariance(groups, v, 0.4 * v), reml)
        for v in at.noise_variance * np.array([0.999, 1, 1.001])
    ]
    assert np.argmax(values) == 1


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("log_ratio", [-9.0, -1.0, 0.5, 4.0])
def test_slope_is_the_derivative(reml, log_ratio):
    X, y, groups = simulate()
    model = model_of(X, y, groups, reml)
    up, down = (
        deviance(model, evaluate(model, np.exp(log_ratio + s * STEP))) for s in (1, -1)
    )
    value, _ = slope(model, evaluate(model, np.exp(log_ratio)))
    assert_allclose(value, (up - down) / (2 * STEP), rtol=DIFFERENCES, atol=1e-6)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("floor", [1e-20, 1.0])
def test_slopes_at_once_are_those_one_by_one(reml, floor):
    """Within the rounding of the sum that a slope is the difference of; for few rows
    and for no columns as well.
    """
    X, y, groups = simulate()
    ratios = np.array([0.0, 1e-9, 0.4, 1e3, 1e25])
    whole = model_of(X, y, groups, reml, floor=floor)
    few = model_of(X[:6], y[:6], np.arange(6) // 2, reml, floor=floor)
    gram = whole.gram
    bare = replace(gram, R12=gram.R12[:, :, -1:], R22=gram.R22[:, -1:])
    for model in (whole, few, replace(whole, gram=bare)):
        at = [evaluate(model, ratio) for ratio in ratios]
        values, scales = np.transpose([slope(model, one) for one in at])
        found = slopes(model, ratios)
        assert_allclose(found[1], scales, rtol=1e-12)
        assert_allclose(found[0], values, rtol=1e-9, atol=1e-11 * scales.max())
        assert found[2].tolist() == [one.at_floor for one in at]


def test_slope_of_the_penalised_likelihood():
    """ML: d(n log sigma^2 + log|V0|), sigma^2 from the penalised sum of squares."""
    X, y, groups = simulate()
    penalty = np.sqrt(5.0) * np.eye(5)[1:4]
    model = model_of(X, y, groups, False, penalty=penalty)

    def objective(log_ratio):
        at = evaluate(model, np.exp(log_ratio))
        return len(y) * np.log(at.noise_variance) + at.factor.logdet

    value, _ = slope(model, evaluate(model, np.exp(-1.0)))
    expected = (objective(-1 + STEP) - objective(-1 - STEP)) / (2 * STEP)
    assert_allclose(value, expected, rtol=DIFFERENCES, atol=1e-6)


def test_slope_of_penalised_reml_is_the_estimating_equation():
    """Written out densely: traces of V^-1 ZZ' with the penalised projection."""
    X, y, groups = simulate()
    penalty = np.sqrt(5.0) * np.eye(5)[1:4]
    model = model_of(X, y, groups, True, penalty=penalty)
    ratio = 0.3
    at = evaluate(model, ratio)
    V, D = block_covariance(groups, 1.0, ratio), with_intercept(X)
    P = penalty[:, :4].T @ penalty[:, :4]
    beta, covariance = generalised_least_squares(D, y, V, P)
    residual = y - D @ beta
    inverse = np.linalg.inv(V)
    hat = D @ covariance @ D.T @ inverse
    freedom = len(y) - np.trace(hat)
    sigma2 = residual @ inverse @ residual / freedom
    ZZ = (groups[:, None] == groups).astype(float)
    expected = ratio * (
        np.trace(inverse @ ZZ)
        - residual @ inverse @ ZZ @ inverse @ residual / sigma2
        - np.trace(covariance @ D.T @ inverse @ ZZ @ inverse @ D)
    )
    assert_allclose(at.noise_variance, sigma2, rtol=DENSE)
    assert_allclose(slope(model, at)[0], expected, rtol=1e-8)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("seed", range(30))
def test_no_ratio_is_better_than_the_optimum(seed, reml):
    """Small unbalanced sets: several optima, optima at 0, optima at huge ratios."""
    rng = np.random.default_rng(seed)
    n_groups = int(rng.integers(2, 7))
    group_std = 10.0 ** rng.integers(-2, 4)
    X, y, groups = simulate(seed, n=24, p=1, n_groups=n_groups, group_std=group_std)
    model = model_of(X, y, groups, reml)
    best = deviance(model, evaluate(model, best_ratio(model).ratio))
    ratios = np.concatenate([[0.0], np.exp(np.linspace(-25, 25, 1001))])
    others = np.array([deviance(model, evaluate(model, ratio)) for ratio in ratios])
    assert best <= others.min() + 1e-9


def test_penalised_ml_compares_optima_with_the_penalty():
    """A feature that is constant within two groups costs the penalty at ratio 0, where
    the likelihood is higher, and next to nothing where the groups take it over."""
    model = RandomIntercept(
        Gram(
            R11=np.array([6.4, 4.7])[:, None, None],
            R12=np.array([[[6.4, -0.95, 13.8]], [[4.7, 1.29, -18.9]]]),
            R22=np.array([[0.0, 0.0, 0.177], [0.0, 0.0, 1.172]]),
            multiplicity=np.ones(2),
        ),
        n=63,
        reml=False,
        floor=1e-24,
        penalty=np.array([[0.0, 0.0925, 0.0]]),
    )

    def objective(ratio):
        at = evaluate(model, ratio)
        return 63 * np.log(at.noise_variance) + at.factor.logdet

    best = best_ratio(model).ratio
    ratios = np.exp(np.linspace(-20, 20, 401))
    assert best > 100
    assert objective(best) <= min(map(objective, ratios))
    assert objective(best) < objective(0.0) - 1


def test_binned_scan_finds_the_exact_optimum(monkeypatch):
    """Many distinct sizes: scanned in bins, polished on the exact criterion."""
    X, y, groups = simulate(n=3000, n_groups=600)
    weight = np.random.default_rng(0).uniform(0.5, 2, 3000)
    gram = gram_of(X, y, groups, weight)
    model = RandomIntercept(gram, weight.sum(), True, 1e-20)
    exact = best_ratio(model)
    monkeypatch.setattr("skmixed._search.ratio.EXACT_SCAN", 3000)
    binned = best_ratio(model)
    assert binned.n_evaluations != exact.n_evaluations
    assert_allclose(binned.ratio, exact.ratio, rtol=1e-10)


# ------------------------------------------------------------------------------ optimum


def test_roots_are_the_rising_ones():
    roots = descending_roots(np.sin, np.arange(-1.0, 14.0, 1.0))
    assert_allclose(roots, [0, 2 * np.pi, 4 * np.pi], atol=1e-12)


@pytest.mark.parametrize("near", [0.995, 1.05, 0.2, 1.7])
def test_a_root_is_found_however_far_the_approximation_is(near):
    """In steps that double; the root of the approximation may be off by any number."""
    assert_allclose(polish(lambda t: t**3 - 1.0, near, -2.0, 2.0), 1.0, rtol=1e-12)


def test_an_approximation_without_a_root_nearby_stays():
    assert polish(lambda t: -1.0, 0.3, -2.0, 2.0) == 0.3


def test_two_roots_within_one_step_are_found():
    """sin(x) - 0.999 is positive only on 0.09 around pi / 2."""
    roots = descending_roots(lambda x: np.sin(x) - 0.999, np.arange(0.0, 4.0, 1.0))
    assert_allclose(roots, [np.arcsin(0.999)], atol=1e-10)


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("group_std", [0.0, 0.8, 1e4])
def test_a_scan_at_once_finds_what_one_ratio_at_a_time_does(
    reml, group_std, monkeypatch
):
    X, y, groups = simulate(group_std=group_std)
    model = model_of(X, y, groups, reml)
    at_once = best_ratio(model)
    monkeypatch.setattr("skmixed._search.ratio.AT_ONCE", 0)
    one_by_one = best_ratio(model)
    assert_allclose(at_once.ratio, one_by_one.ratio, rtol=1e-9)
    assert at_once.identified == one_by_one.identified
    assert abs(at_once.n_evaluations - one_by_one.n_evaluations) <= 2
