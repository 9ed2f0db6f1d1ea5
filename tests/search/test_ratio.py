"""The global search for the variance ratio."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from oracles.small import gram_of, model_of
from scipy.integrate import quad
from scipy.optimize import brentq

from skmixed._likelihood.criterion import deviance
from skmixed._likelihood.random_intercept import RandomIntercept, evaluate
from skmixed._rows.gram import Gram, random_intercept_gram
from skmixed._search import ratio
from skmixed._search.ratio import best_ratio


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


def with_ridge():
    """A feature that is constant within two groups."""
    return RandomIntercept(
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


@pytest.mark.parametrize(("gain", "is_zero"), [(0.9, True), (1.1, False)])
def test_a_gain_that_is_rounding_leaves_no_variance(gain, is_zero, monkeypatch):
    """Of 63 rows it is 163e-13."""
    monkeypatch.setattr(ratio, "_gain", lambda *_: 163e-13 * gain)
    assert (best_ratio(with_ridge()).ratio == 0) == is_zero


def test_penalised_ml_compares_optima_with_the_penalty():
    """The feature costs the penalty at ratio 0, where the likelihood is higher, and
    next to nothing where the groups take it over.
    """
    model = with_ridge()

    def objective(ratio):
        at = evaluate(model, ratio)
        return 63 * np.log(at.noise_variance) + at.factor.logdet

    best = best_ratio(model).ratio
    ratios = np.exp(np.linspace(-20, 20, 401))
    assert best > 100
    assert objective(best) <= min(map(objective, ratios))
    assert objective(best) < objective(0.0) - 1


def two_kinds_of_groups(y, columns=None, n_large=40, size=1000.0, **options):
    """Many large groups that hardly differ, and few pairs that differ much: the first
    are best described by a small ratio, the others by a large one.
    """
    n_pairs = len(y) - n_large
    S = np.r_[np.full(n_large, size), np.full(n_pairs, 2.0)]
    mean = np.column_stack(
        [np.ones(len(y)), *(() if columns is None else [columns]), y]
    )
    within = np.zeros((1, mean.shape[1]))
    within[0, -1] = np.sqrt(S.sum() - len(y))
    gram = random_intercept_gram(S, mean.copy(), within)
    return RandomIntercept(gram, S.sum(), floor=1e-20, **options), S, mean


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("apart, is_large", [(8.0, False), (10.0, True)])
def test_the_higher_of_two_interior_optima(apart, is_large, reml):
    y = np.r_[0.06 * (-1.0) ** np.arange(40), [apart, -apart]]
    model, *_ = two_kinds_of_groups(y, reml=reml)
    ratios = np.exp(np.linspace(-20, 5, 501))
    values = np.array([deviance(model, evaluate(model, r)) for r in ratios])
    inner = values[1:-1]
    minima = np.flatnonzero((inner < values[:-2]) & (inner < values[2:]))
    assert len(minima) == 2
    assert values[minima].max() < deviance(model, evaluate(model, 0.0))
    best = best_ratio(model).ratio
    assert (best > 1) == is_large
    assert deviance(model, evaluate(model, best)) <= values.min()


def test_penalised_reml_compares_optima_by_the_integral_of_the_slope():
    """math.md (18) with (23) is the slope of no function: the deviance that it is
    nearest to is higher at the better one of these two optima.
    """
    place = np.arange(1, 49)
    X = np.cos(np.outer(place, np.arange(1, 9)))
    X[40:] *= 3
    y = np.r_[0.13 * (-1.0) ** np.arange(40), 3.6284 * (-1.0) ** np.arange(8)]
    penalty = np.sqrt(1000.0) * np.eye(10)[1:9]
    model, S, mean = two_kinds_of_groups(y, X, size=200.0, reml=True, penalty=penalty)
    ridge = penalty[:, :9].T @ penalty[:, :9]

    def slope(t):
        ratio, D, A = np.exp(t), mean[:, :9], mean[:, 9]
        weight = S / (1 + ratio * S)
        M = D.T @ (weight[:, None] * D)
        inverse = np.linalg.inv(M + ridge)
        residual = A - D @ (inverse @ D.T @ (weight * A))
        rss = S.sum() - len(S) + weight @ residual**2
        variance = rss / (S.sum() - np.trace(inverse @ M))
        pulled = D * weight[:, None]
        traces = weight.sum() - np.trace(inverse @ pulled.T @ pulled)
        return ratio * (traces - np.sum((weight * residual) ** 2) / variance)

    small = brentq(slope, -4, -3)
    large = brentq(slope, -0.4, 0.2)
    assert quad(slope, small, large)[0] < -0.05
    ends = [evaluate(model, np.exp(t)) for t in (small, large)]
    lower, higher = (deviance(model, at) + penalised(at) for at in ends)
    assert higher > lower + 0.05
    assert_allclose(best_ratio(model).ratio, np.exp(large), rtol=1e-6)


def penalised(at):
    """The penalty in the deviance."""
    return (at.factor.rss - at.rss) / at.noise_variance


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


@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("group_std", [0.0, 0.8, 1e4])
def test_a_scan_by_cross_products_finds_what_exact_slopes_do(
    reml, group_std, monkeypatch
):
    X, y, groups = simulate(group_std=group_std)
    model = model_of(X, y, groups, reml)
    by_classes = best_ratio(model)
    monkeypatch.setattr("skmixed._likelihood.size_classes.LEAST_PIVOT", np.inf)
    one_by_one = best_ratio(model)
    assert_allclose(by_classes.ratio, one_by_one.ratio, rtol=1e-11)
    assert by_classes.identified == one_by_one.identified
    assert by_classes.n_evaluations != one_by_one.n_evaluations or not group_std
