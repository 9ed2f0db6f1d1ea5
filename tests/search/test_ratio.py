"""The global search for the variance ratio."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from oracles.small import gram_of, model_of

from skmixed._likelihood.one_variance import RandomIntercept, deviance, evaluate
from skmixed._rows.gram import Gram
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
