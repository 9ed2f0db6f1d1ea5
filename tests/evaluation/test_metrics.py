"""Losses against independent references."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import integrate
from scipy.stats import multivariate_normal, norm
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.pipeline import make_pipeline

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed.metrics import (
    gaussian_crps,
    gaussian_nll,
    interval_coverage,
    interval_score,
    joint_gaussian_nll,
    make_distribution_scorer,
    neg_crps_scorer,
    neg_joint_nll_scorer,
    neg_nll_scorer,
    neg_rmse_scorer,
    pit_values,
    r2_scorer,
)

SAME = 1e-10  # another way to the same figure
STORED = Path(__file__).parents[1] / "stored" / "torch_gaussian_nll.json"
LOSSES = [gaussian_nll, gaussian_crps, interval_coverage, interval_score]


def predictions(n=20, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = rng.normal(size=n), rng.uniform(0.2, 3.0, size=n)
    return mean + 1.5 * std * rng.normal(size=n), mean, std


@pytest.mark.parametrize("case", json.loads(STORED.read_text())["cases"], ids=str)
def test_nll_is_that_of_pytorch(case):
    options = {"eps": case["eps"]} if "eps" in case else {}
    got = gaussian_nll(case["y"], case["mean"], case["std"], **options)
    assert_allclose(got, case["loss"], rtol=1e-14)


def test_nll_is_the_normal_density():
    y, mean, std = predictions()
    expected = -norm.logpdf(y, mean, std)
    assert_allclose(gaussian_nll(y, mean, std), expected.mean(), rtol=SAME)
    # Without eps the units of y cost a constant, however small they make the variance.
    scaled = gaussian_nll(1e-200 * y, 1e-200 * mean, 1e-200 * std, eps=0)
    assert_allclose(scaled - np.log(1e-200), expected.mean(), rtol=SAME)


@pytest.mark.parametrize("z", [0.0, 1e-6, -0.3, 1.0, -2.5, 6.0, 38.0, -200.0])
@pytest.mark.parametrize("std", [1.0, 1e-8, 1e6])
def test_crps_is_its_integral(z, std):
    """Of (F(x) - [x >= y])^2, in units of the std; far off it is a straight line."""

    def below(x):
        return norm.cdf(x) ** 2

    reach = 40.0
    left = integrate.quad(below, -reach, min(z, reach), epsabs=1e-13, limit=200)[0]
    right = integrate.quad(below, -reach, min(-z, reach), epsabs=1e-13, limit=200)[0]
    beyond = max(abs(z) - reach, 0.0)
    expected = std * (left + right + beyond)
    got = gaussian_crps([3 * std + z * std], 3 * std, std)
    # y and mean are rounded to their size, which z std may be far below.
    assert_allclose(got, expected, rtol=SAME, atol=1e-15 * std)


def test_crps_of_a_point_mass_is_the_absolute_error():
    assert gaussian_crps([1.0, 5.0], [1.0, 2.0], [0.0, 0.0]) == 1.5
    assert_allclose(gaussian_crps([5.0], [2.0], [1e-300]), 3.0)


@pytest.mark.parametrize("coverage", [0.5, 0.9, 0.99])
def test_intervals(coverage):
    y, mean, std = predictions(200)
    low, high = norm.interval(coverage, mean, std)
    inside = (low <= y) & (y <= high)
    assert 0 < inside.mean() < 1
    assert interval_coverage(y, mean, std, coverage=coverage) == inside.mean()
    alpha = 1 - coverage
    score = (high - low) + 2 / alpha * np.where(y < low, low - y, 0)
    score += 2 / alpha * np.where(y > high, y - high, 0)
    got = interval_score(y, mean, std, coverage=coverage)
    assert_allclose(got, score.mean(), rtol=SAME)


def test_pit():
    y, mean, std = predictions()
    assert_allclose(pit_values(y, mean, std), norm.cdf(y, mean, std), rtol=SAME)


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_are_repetitions(loss):
    y, mean, std = predictions()
    times = np.arange(len(y)) % 3
    repeated = loss(*(np.repeat(values, times) for values in (y, mean, std)))
    assert_allclose(loss(y, mean, std, sample_weight=times), repeated, rtol=1e-14)


@pytest.mark.parametrize("loss", LOSSES)
def test_kinds_of_columns(loss):
    y, mean, std = predictions()
    expected = loss(y, mean, std)
    assert type(expected) is float
    assert loss(y.tolist(), pd.Series(mean, index=y), std[:, None]) == expected
    assert loss(y, 0.5, 2) == loss(y, np.full(20, 0.5), np.full(20, 2.0))


@pytest.mark.parametrize("loss", [gaussian_crps, interval_score])
def test_losses_in_the_units_of_y(loss):
    y, mean, std = predictions()
    scaled = loss(7 + 1e3 * y, 7 + 1e3 * mean, 1e3 * std)
    assert_allclose(scaled, 1e3 * loss(y, mean, std), rtol=1e-12)


# --------------------------------------------------------------------- the joint loss


def joint_case(n=40, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(7, size=n)
    return rng.normal(size=n), rng.normal(size=n), rng.uniform(0.1, 2, size=n), groups


def dense_nll(y, mean, noise_variance, group_variance, owner):
    covariance = np.diag(np.broadcast_to(noise_variance, len(y)).astype(float))
    owner = np.array(owner, dtype=object)
    covariance += group_variance * (owner[:, None] == owner)
    return -multivariate_normal(mean, covariance).logpdf(y)


@pytest.mark.parametrize("group_variance", [0.0, 1e-3, 1.0, 1e4])
def test_joint_nll_is_the_dense_density(group_variance):
    y, mean, noise, groups = joint_case()
    expected = dense_nll(y, mean, noise, group_variance, groups)
    got = joint_gaussian_nll(y, mean, noise, group_variance, groups)
    assert_allclose(got, expected, rtol=SAME)
    labels = np.array([f"g{g}" for g in groups])
    assert_allclose(joint_gaussian_nll(y, mean, noise, group_variance, labels), got)
    per_row = joint_gaussian_nll(y, mean, noise, group_variance, groups, normalize=True)
    assert_allclose(per_row, got / len(y), rtol=1e-14)


def test_group_variances_may_differ_between_groups():
    y, mean, noise, groups = joint_case()
    variance = np.linspace(0, 2, 7)[groups]
    root = np.sqrt(variance)
    covariance = np.diag(noise) + np.outer(root, root) * (groups[:, None] == groups)
    expected = -multivariate_normal(mean, covariance).logpdf(y)
    got = joint_gaussian_nll(y, mean, noise, variance, groups)
    assert_allclose(got, expected, rtol=SAME)


def test_rows_without_label_are_groups_of_their_own():
    y, mean, noise, groups = joint_case()
    labels = [None if g == 0 else int(g) for g in groups]
    assert 1 < labels.count(None) < 40
    owner = [f"row {i}" if g is None else g for i, g in enumerate(labels)]
    expected = dense_nll(y, mean, noise, 1.5, owner)
    assert_allclose(joint_gaussian_nll(y, mean, noise, 1.5, labels), expected)
    alone = joint_gaussian_nll(y, mean, noise, 1.5, None)
    total = -norm.logpdf(y, mean, np.sqrt(noise + 1.5)).sum()
    assert_allclose(alone, total, rtol=SAME)


def test_joint_nll_without_group_variance_is_the_sum_over_rows():
    y, mean, noise, groups = joint_case()
    rows = gaussian_nll(y, mean, np.sqrt(noise))
    got = joint_gaussian_nll(y, mean, noise, 0, groups, normalize=True)
    assert_allclose(got, rows, rtol=1e-13)


def test_joint_nll_does_not_depend_on_the_order_of_rows():
    y, mean, noise, groups = joint_case()
    order = np.random.default_rng(1).permutation(len(y))
    got = joint_gaussian_nll(y[order], mean[order], noise[order], 1.0, groups[order])
    assert_allclose(got, joint_gaussian_nll(y, mean, noise, 1.0, groups), rtol=1e-13)


def test_joint_nll_keeps_its_digits_where_groups_are_far_apart():
    """A billion standard deviations: subtracting squares would leave nothing."""
    y, mean, noise, groups = joint_case()
    far = y + 1e9 * groups
    got = joint_gaussian_nll(far, mean, noise, 1e18, groups)
    size = np.bincount(groups, 1 / noise)
    average = np.bincount(groups, (far - mean) / noise) / size
    within = np.sum((far - mean - average[groups]) ** 2 / noise)
    between = np.sum(average**2 / (1e18 + 1 / size))
    logdet = np.sum(np.log(noise)) + np.sum(np.log1p(1e18 * size))
    expected = 0.5 * (len(y) * np.log(2 * np.pi) + logdet + within + between)
    assert_allclose(got, expected, rtol=1e-9)


def test_joint_nll_where_noise_variances_differ_by_all_of_double_precision():
    y, mean, noise, groups = joint_case()
    noise = np.where(np.arange(40) % 2, 1e-12, 1e12) * noise
    rows = -norm.logpdf(y, mean, np.sqrt(noise)).sum()
    assert_allclose(joint_gaussian_nll(y, mean, noise, 0.0, groups), rows, rtol=1e-12)


def test_only_the_joint_nll_tells_blocks_from_independent_errors():
    """The same std for every row of new groups, and so the same row by row loss."""
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(2000), 10)
    y = rng.normal(size=2000)[groups] + rng.normal(size=20_000)
    rows = gaussian_nll(y, 0.0, np.sqrt(2))
    independent = joint_gaussian_nll(y, 0.0, 2.0, 0.0, groups, normalize=True)
    block = joint_gaussian_nll(y, 0.0, 1.0, 1.0, groups, normalize=True)
    assert_allclose(independent, rows, rtol=1e-12)
    # The information that the rows of a group have of one another, up to chance.
    assert_allclose(rows - block, 0.5 * (np.log(2) - np.log(11) / 10), atol=0.03)


def test_joint_nll_of_a_model_of_ours():
    """With the coefficients known, of new groups, it is log_predictive_density."""
    rng = np.random.default_rng(0)
    groups = rng.integers(300, size=3000)
    X = rng.normal(size=(3000, 1))
    y = X[:, 0] + rng.normal(size=300)[groups] + rng.normal(size=3000)
    model = RandomInterceptRegressor().fit(X, y, groups=groups)
    new = groups[:50] + 1000
    mean = model.predict(X[:50], groups=new)
    got = joint_gaussian_nll(
        y[:50], mean, model.noise_variance_, model.group_variance_, new
    )
    density = model.log_predictive_density(X[:50], y[:50], groups=new)
    assert_allclose(got, -density, rtol=1e-2)


# -------------------------------------------------------------------------- bad input


@pytest.mark.parametrize("loss", [*LOSSES, pit_values])
@pytest.mark.parametrize(
    "arguments, message",
    [
        (([1.0, np.nan], 0.0, 1.0), "Input y_true contains NaN"),
        (([1.0, 2.0], [0.0, np.inf], 1.0), "Input mean contains infinity"),
        (([1.0, 2.0], [0.0], 1.0), "`mean` has 1 values but y_true has 2"),
        (([1.0, 2.0], 0.0, [1.0, -1.0]), "`std` has 1 values that are not"),
        (([[1.0, 2.0]], 0.0, 1.0), r"`y_true` has shape \(1, 2\)"),
        ((np.ma.masked_equal([1.0, 2.0], 2.0), 0.0, 1.0), "`y_true` is a masked array"),
        (([], 0.0, 1.0), "0 sample"),
    ],
)
def test_refused(loss, arguments, message):
    with pytest.raises(ValueError, match=message):
        loss(*arguments)


@pytest.mark.parametrize("loss", [pit_values, lambda *a: gaussian_nll(*a, eps=0)])
def test_a_std_of_zero_has_no_density(loss):
    with pytest.raises(ValueError, match="`std` has 2 values that are not positive"):
        loss([1.0, 2.0], 0.0, [0.0, 0.0])


@pytest.mark.parametrize("loss", LOSSES)
def test_refused_weights(loss):
    with pytest.raises(ValueError, match="1 negative weights"):
        loss([1.0, 2.0], 0.0, 1.0, sample_weight=[1, -1])
    with pytest.raises(ValueError, match="has shape"):
        loss([1.0, 2.0], 0.0, 1.0, sample_weight=[1])


@pytest.mark.parametrize("loss", [interval_coverage, interval_score])
def test_refused_coverage(loss):
    with pytest.raises(ValueError, match="coverage is a probability"):
        loss([1.0], 0.0, 1.0, coverage=90)
    with pytest.raises(ValueError, match="coverage is a probability"):
        loss([1.0], 0.0, 0.0, coverage=np.nextafter(1.0, 0.0))


def test_a_compiled_loss_need_not_tell_its_arguments():
    """`inspect` knows no signature of `max`, which takes what a loss gets."""
    assert str(make_distribution_scorer(max)).startswith("distribution scorer(-max")


def test_refused_options():
    with pytest.raises(ValueError, match="eps is a finite number of at least 0"):
        gaussian_nll([1.0], 0.0, 1.0, eps=-1)
    with pytest.raises(ValueError, match="is 1 and 2 within group 'a'"):
        joint_gaussian_nll([1.0, 2.0], 0.0, 1.0, [1.0, 2.0], ["a", "a"])
    with pytest.raises(ValueError, match="The variances range from 1e-310"):
        joint_gaussian_nll([1.0, 2.0], 0.0, 1e-310, 1.0, ["a", "a"])
    with pytest.raises(TypeError, match="normalize is True or False"):
        joint_gaussian_nll([1.0, 2.0], 0.0, 1.0, 1.0, ["a", "a"], normalize="no")
    with pytest.raises(ValueError, match="`noise_variance` has 2 values that are not"):
        joint_gaussian_nll([1.0, 2.0], 0.0, 0.0, 1.0, ["a", "a"])
    with pytest.raises(ValueError, match="`groups` has 1 labels"):
        joint_gaussian_nll([1.0, 2.0], 0.0, 1.0, 1.0, ["a"])


@pytest.mark.parametrize("wrapped", [False, True])
def test_scorers_take_tables_of_labels(wrapped):
    """Known and new labels, factor by factor."""
    rng = np.random.default_rng(4)
    labels = pd.DataFrame({"a": np.arange(120) % 8, "b": rng.integers(5, size=120)})
    X = rng.normal(size=(120, 2))
    y = X[:, 0] + rng.normal(size=8)[labels["a"]] + rng.normal(size=5)[labels["b"]]
    y += 0.5 * rng.normal(size=120)
    model = LinearMixedRegressor("(1 | a) + (x0 | b)").fit(X, y, groups=labels)
    asked = labels.assign(a=labels["a"].where(np.arange(120) > 40, 99))
    estimator = model
    if wrapped:
        estimator = make_pipeline(FrozenEstimator(model))
    mean, std = model.predict(X, groups=asked, return_std=True)
    density = model.log_predictive_density(X, y, groups=asked)
    expected = {
        neg_nll_scorer: -gaussian_nll(y, mean, std),
        neg_crps_scorer: -gaussian_crps(y, mean, std),
        neg_joint_nll_scorer: density / 120,
        r2_scorer: r2_score(y, mean),
        neg_rmse_scorer: -root_mean_squared_error(y, mean),
    }
    for scorer, value in expected.items():
        found = scorer(estimator, X, y, groups=asked)
        assert_allclose(found, value, rtol=SAME)
