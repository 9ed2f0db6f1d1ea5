"""Slopes at many ratios by cross-products against those one by one."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from oracles.small import model_of

from skmixed._likelihood.random_intercept import evaluate, slope
from skmixed._likelihood.size_classes import LAST_PRODUCT, n_sizes, size_classes

RATIOS = np.array([1e-9, 1e-3, 0.4, 1e3, 1e25])


def one_by_one(model):
    """The exact slopes and the sums of their positive terms."""
    found = [slope(model, evaluate(model, ratio)) for ratio in RATIOS]
    return np.transpose(found)


@pytest.mark.parametrize("penalised", [False, True])
@pytest.mark.parametrize("variance", [None, 0.7])
@pytest.mark.parametrize("reml", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_slopes_are_those_one_by_one(reml, variance, penalised, weighted):
    """math.md (170) and (171), with few sizes and with one for each group."""
    X, y, groups = simulate()
    weight = np.random.default_rng(0).uniform(0.5, 2, len(y)) if weighted else None
    penalty = np.sqrt(5.0) * np.eye(5)[1:4] if penalised else None
    model = model_of(X, y, groups, reml, weight=weight, penalty=penalty)
    model = replace(model, noise_variance=variance)
    classes = size_classes(model)
    assert len(classes.size) == n_sizes(model.gram)
    assert (len(classes.size) == len(np.unique(groups))) == weighted
    value, scale, _, trusted = classes.slopes(RATIOS)
    assert trusted.all()
    expected, scales = one_by_one(model)
    assert_allclose(scale, scales, rtol=1e-12)
    assert_allclose(value, expected, rtol=1e-8, atol=1e-11 * scales.max())


def test_columns_may_be_missing():
    X, y, groups = simulate()
    model = model_of(X, y, groups, True)
    gram = replace(model.gram, R12=model.gram.R12[..., -1:], R22=model.gram.R22[:, -1:])
    model = replace(model, gram=gram)
    value, *_, trusted = size_classes(model).slopes(RATIOS)
    assert trusted.all()
    assert_allclose(value, one_by_one(model)[0], rtol=1e-8, atol=1e-9)


def test_what_cross_products_cannot_tell_is_not_trusted():
    """Of y all but 1e-5 is explained; a square has lost half of its digits then."""
    X, y, groups = simulate()
    model = model_of(X, 1e-5 * y + X[:, 0], groups, True)
    assert not size_classes(model).slopes(RATIOS)[-1].any()
    assert size_classes(model_of(X, y, groups, True)).slopes(RATIOS)[-1].all()


def test_an_exact_fit_and_a_noise_variance_at_its_floor_are_not_trusted():
    X, y, groups = simulate()
    exact = model_of(X, X @ np.ones(X.shape[1]), groups, True)
    assert not size_classes(exact).slopes(RATIOS)[-1].any()
    at_floor = model_of(X, y, groups, True, floor=1e6)
    assert not size_classes(at_floor).slopes(RATIOS)[-1].any()


def far_and_near(seed):
    """A likelihood by REML or ML with groups that differ by nothing to 1e6 times the
    noise, and features that may be constant within groups, and its fine grid.
    """
    rng = np.random.default_rng(seed)
    n_groups, p = int(rng.integers(2, 30)), int(rng.integers(1, 4))
    std = 10.0 ** rng.integers(-2, 7)
    X, y, groups = simulate(seed, n=90, p=p, n_groups=n_groups, group_std=std)
    if seed % 3 == 0 and n_groups > p + 2:
        X[:, 0] = rng.normal(size=n_groups)[groups]
    model = model_of(X, y, groups, reml=bool(seed % 2))
    size = model.gram.group_size
    return model, np.arange(*np.log([1e-10 / size.max(), 1e32 / size.min()]))


def test_no_root_is_between_points_that_a_scan_leaves_out():
    """math.md (213): on a grid ten times as fine the slope keeps its sign there."""
    n_few = 0
    for seed in range(60):
        model, grid = far_and_near(seed)
        classes = size_classes(model)
        points = classes.scan(grid)[0]
        n_few += len(points) < len(grid) / 2
        for i in np.flatnonzero(np.diff(points) > 1.5):
            fine = np.linspace(*points[i : i + 2], 100)
            value, *_, trusted = classes.slopes(np.exp(fine))
            assert trusted.all()
            assert (np.sign(value) == np.sign(value[0])).all()
    assert 20 < n_few < 60  # there are others, too


def test_between_two_points_the_slope_is_above_its_bound():
    """math.md (213)."""
    for seed in range(30):
        model, grid = far_and_near(seed)
        t = grid[(np.exp(grid) * model.gram.group_size.min() > LAST_PRODUCT)][:9:4]
        classes = size_classes(model)
        value, scale, fit, _ = classes.slopes(np.exp(t))
        growth = np.exp(np.diff(t) / 2) * np.maximum(fit[:-1], fit[1:])
        least = value[:-1] + fit[:-1] - 2 / LAST_PRODUCT * scale[:-1] - growth
        between = classes.slopes(np.exp((t[:-1] + t[1:]) / 2))[0]
        assert (between >= least - 1e-9 * scale[:-1]).all()
