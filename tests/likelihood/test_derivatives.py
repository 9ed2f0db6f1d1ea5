"""Score and information of the heteroscedastic criterion, and arrow-shaped systems."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.laws import check
from oracles.random_problems import make
from oracles.reference import log_likelihood, with_intercept
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor
from skmixed._input.table import read_fit_data
from skmixed._likelihood.arrow import Arrow, assemble_arrow
from skmixed._likelihood.heteroscedastic.criterion import evaluate
from skmixed._likelihood.heteroscedastic.derivatives import derivatives
from skmixed._likelihood.heteroscedastic.gamma_regression import (
    gamma_regression,
    unbiased_noise,
)
from skmixed._likelihood.heteroscedastic.residuals import gain_by_exact_rows
from skmixed._rows.parts import Parts
from skmixed._rows.statistics import Sample, join, sample_in_memory, summarize
from skmixed._search.heteroscedastic.problem import make_problem
from skmixed.heteroscedastic import read_problem

# Central differences of fourth order, step 1e-3: truncation and rounding are both some
# 1e-12 of the function.
STEP, DIFFERENCED = 1e-3, 1e-8
EXACT = 1e-10

MODES = [
    pytest.param(mean, variance, id=f"{mean}/{variance}")
    for mean, variance in product(("random", "fixed", None), ("fixed", None))
]


def data(seed=0, n=60, n_groups=7):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) + 1
    groups = rng.integers(n_groups, size=n)
    groups[:n_groups] = np.arange(n_groups)
    noise = np.exp(0.3 * X[:, 0]) * rng.normal(size=n)
    y = X.sum(axis=1) + noise + rng.normal(size=n_groups)[groups]
    return X, y, groups, rng.integers(1, 4, size=n).astype(float)


def model_of(singles=0, weighted=True, **options):
    """The likelihood of random data, some of it in groups of one row."""
    X, y, groups, weight = data()
    groups[:singles] = 7 + np.arange(singles)
    estimator = HeteroscedasticGaussianRegressor(variance_features=[0, 1], **options)
    weight = weight if weighted else None
    return read_problem(estimator, X, y, groups, weight)[1].model


def part_of(model):
    """All rows of a model in memory."""
    (part,) = model.rows.parts.values
    return part


def log_variance_of(model, theta):
    """Of every row, within the bounds or not."""
    part = part_of(model)
    return model.trend(theta).at(part.variance_rows(slice(None)), part.codes)


def random_theta(model, seed=1):
    rng = np.random.default_rng(seed)
    theta = 0.3 * rng.normal(size=len(model.average))
    return np.append(theta, 0.7) if model.random else theta


def difference(function, x):
    """Jacobian by central differences."""
    columns = []
    for step in STEP * np.eye(len(x)):
        near = function(x + step) - function(x - step)
        far = function(x + 2 * step) - function(x - 2 * step)
        columns.append((8 * near - far) / (12 * STEP))
    return np.array(columns).T


@pytest.mark.parametrize("mean_groups, variance_groups", MODES)
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("alpha, variance_alpha", [(0, 0), (3.0, 0.5)])
@pytest.mark.parametrize("singles", [0, 3])
@pytest.mark.parametrize("variance_intercept", [True, False])
def test_derivatives_are_those_of_the_criterion(
    mean_groups, variance_groups, method, alpha, variance_alpha, singles,
    variance_intercept,
):  # fmt: skip
    """math.md (29) to (31)."""
    model = model_of(
        singles,
        method=method, mean_groups=mean_groups, variance_groups=variance_groups,
        alpha=float(alpha), variance_alpha=float(variance_alpha),
        fit_variance_intercept=variance_intercept,
    )  # fmt: skip
    theta = random_theta(model)
    # Under REML the ridge is held at one kappa.
    kappa = model.kappa(theta) if method == "reml" else None
    gradient, information = derivatives(model, evaluate(model, theta, kappa))

    expected = difference(lambda x: evaluate(model, x, kappa).value, theta)
    scale = np.abs(expected).max()
    assert_allclose(gradient, expected, rtol=DIFFERENCED, atol=DIFFERENCED * scale)
    expected = difference(
        lambda x: derivatives(model, evaluate(model, x, kappa))[0], theta
    )
    scale = np.abs(expected).max()
    assert_allclose(
        information.toarray(), expected, rtol=DIFFERENCED, atol=DIFFERENCED * scale
    )


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_derivatives_where_groups_do_not_matter(method):
    X, y, _, _ = data()
    estimator = HeteroscedasticGaussianRegressor(
        method=method, mean_groups=None, variance_groups="fixed"
    )
    model = read_problem(estimator, X, y, np.arange(len(y)))[1].model
    assert not len(model.free)
    theta = random_theta(model)
    information = derivatives(model, evaluate(model, theta))[1].toarray()
    expected = difference(lambda x: derivatives(model, evaluate(model, x))[0], theta)
    scale = np.abs(expected).max()
    assert_allclose(information, expected, rtol=DIFFERENCED, atol=DIFFERENCED * scale)


def test_derivatives_leave_out_rows_at_the_bounds():
    model = model_of(mean_groups="random")
    theta = random_theta(model)
    log_variance = np.sort(log_variance_of(model, theta))
    bounds = (log_variance[19:21].mean(), log_variance[49:51].mean())
    model = replace(model, log_bounds=bounds)
    point = evaluate(model, theta)
    assert point.n_at_bounds >= 30
    gradient, information = derivatives(model, point)
    expected = difference(lambda x: evaluate(model, x).value, theta)
    assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)
    expected = difference(lambda x: derivatives(model, evaluate(model, x))[0], theta)
    assert_allclose(information.toarray(), expected, rtol=1e-6, atol=1e-6)


# Sums over the same rows in another order.
REORDERED = 1e-11


def in_parts(estimator, X, y, groups, weight, n_parts):
    """The likelihood of rows that are held in parts over which groups are scattered."""
    data = read_fit_data(estimator, X, y, groups, weight)
    whole = sample_in_memory(data)
    member = np.arange(len(y)) * 7 % n_parts
    parts, positions = [], []
    for number in range(n_parts):
        rows = member == number
        parts.append(replace(data, weight=np.asarray(weight)).take(rows))
        positions.append(np.unique(data.index.codes[rows]))
    statistics = summarize(parts[0])
    for part in parts[1:]:
        statistics = join(statistics, summarize(part))
    assert_array_equal(statistics.labels, whole.statistics.labels)
    sample = Sample(statistics, Parts(parts), tuple(positions))
    problem = read_problem(estimator, X, y, groups, weight)[1]
    return make_problem(sample, problem.structure).model


@pytest.mark.parametrize("mean_groups, variance_groups", MODES)
@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("is_sparse", [False, True])
def test_rows_in_parts_say_what_they_say_together(
    mean_groups, variance_groups, method, is_sparse
):
    X, y, groups, weight = data()
    groups[:3] = 7 + np.arange(3)
    estimator = HeteroscedasticGaussianRegressor(
        variance_features=[0, 1],
        method=method, mean_groups=mean_groups, variance_groups=variance_groups,
    )  # fmt: skip
    if mean_groups is None and variance_groups is None:
        groups[:] = 0
    X = sparse.csr_array(X) if is_sparse else X
    model = read_problem(estimator, X, y, groups, weight)[1].model
    theta = random_theta(model)
    at = evaluate(model, theta)
    kinds = list(product((False, True), repeat=2))  # expected, known coefficients
    expected = [derivatives(model, at, *kind) for kind in kinds]
    narrow = replace(model, log_bounds=(model.level(theta), 50.0))
    gain = gain_by_exact_rows(narrow, evaluate(narrow, theta))
    one = part_of(model)
    others = [
        in_parts(estimator, X, y, groups, weight, 4),
        replace(model, rows=replace(model.rows, parts=Parts(one.divide(5)))),
    ]
    for other in others:
        point = evaluate(other, theta)
        assert_allclose(point.value, at.value, rtol=REORDERED)
        for kind, (gradient, information) in zip(kinds, expected, strict=True):
            found, arrow = derivatives(other, point, *kind)
            scale = np.abs(gradient).max()
            assert_allclose(found, gradient, rtol=REORDERED, atol=REORDERED * scale)
            wanted = information.toarray()
            scale = np.abs(wanted).max()
            assert_allclose(arrow.toarray(), wanted, atol=REORDERED * scale)
        narrow = replace(other, log_bounds=(model.level(theta), 50.0))
        found = gain_by_exact_rows(narrow, evaluate(narrow, theta))
        assert_allclose(found, gain, rtol=1e-9)


@pytest.mark.parametrize("is_sparse", [False, True])
def test_rows_of_a_group_may_differ_between_parts_only(is_sparse):
    """Each of two parts has one row of every group; those of group 0 are alike, those
    of group 1 differ in X alone.
    """
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(16, 3)), rng.normal(size=16), np.arange(16) // 2
    X[1], y[1], y[3] = X[0], y[0], y[2]
    X = sparse.csr_array(X) if is_sparse else X
    estimator = HeteroscedasticGaussianRegressor(
        method="ml", variance_features=[], variance_groups="fixed"
    )
    model = in_parts(estimator, X, y, groups, np.ones(16), 2)
    assert_array_equal(model.free, np.arange(1, 8))


N_DRAWS = 400


@pytest.mark.parametrize("variance_groups", ["fixed", None])
@pytest.mark.parametrize(
    "method, mean_groups",
    [("reml", "random"), ("reml", "fixed"), ("reml", None), ("ml", "random")],
)
def test_expected_information_is_the_mean_of_observed_ones(
    method, mean_groups, variance_groups
):
    """Over y drawn from the model.

    ML's expected information takes the coefficients as known, so that it is tried
    without any.
    """
    columns = {"mean_features": [], "fit_intercept": False} if method == "ml" else {}
    model = model_of(
        weighted=False,
        method=method, mean_groups=mean_groups, variance_groups=variance_groups,
        **columns,
    )  # fmt: skip
    theta = random_theta(model)
    expected = derivatives(model, evaluate(model, theta), expected=True)[1].toarray()
    observed = [_drawn_information(model, theta, seed) for seed in range(N_DRAWS)]
    error = np.std(observed, axis=0) / np.sqrt(N_DRAWS)
    # 4.5 standard errors: one in 100,000 for each of some hundred figures.
    difference = np.abs(np.mean(observed, axis=0) - expected)
    assert (difference <= 4.5 * error + 1e-10).all()


def _drawn_information(model, theta, seed):
    rng, part = np.random.default_rng(seed), part_of(model)
    y = np.exp(log_variance_of(model, theta) / 2) * rng.normal(size=len(part.y))
    if model.random:
        y += np.sqrt(theta[-1]) * rng.normal(size=part.n_groups)[part.codes]
    A = np.column_stack([part.A[:, :-1], y])
    origins = np.column_stack([part.origins[:, :-1], np.zeros(part.n_groups)])
    part = replace(part, A=A, origins=origins)
    model = replace(model, rows=replace(model.rows, parts=Parts([part])))
    return derivatives(model, evaluate(model, theta))[1].toarray()


@pytest.mark.parametrize("variance_groups", ["fixed", None])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_expected_information_is_the_dense_trace(method, variance_groups):
    """1/2 tr(P V_i P V_j); P is V^-1 under ML."""
    model = model_of(method=method, weighted=False, variance_groups=variance_groups)
    theta = random_theta(model)
    rows = part_of(model)
    shared = (rows.codes[:, None] == rows.codes).astype(float)
    v = np.exp(log_variance_of(model, theta))
    V = np.diag(v) + theta[-1] * shared
    P = np.linalg.inv(V)
    if method == "reml":
        D = np.column_stack([np.ones(len(v)), rows.X + rows.origins[rows.codes, :-1]])
        P -= P @ D @ np.linalg.solve(D.T @ P @ D, D.T @ P)
    columns = list(rows.variance_rows(slice(None)).T)
    if variance_groups == "fixed":
        columns = [*(rows.codes == g for g in range(rows.n_groups)), *columns]
    slopes = [*(np.diag(v * s) for s in columns), shared]
    expected = [[0.5 * np.trace(P @ A @ P @ B) for A in slopes] for B in slopes]
    got = derivatives(model, evaluate(model, theta), expected=True)[1].toarray()
    assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variance_groups", ["fixed", None])
def test_information_for_known_coefficients_is_the_dense_one(variance_groups):
    model = model_of(method="ml", weighted=False, variance_groups=variance_groups)
    theta = random_theta(model)
    rows = part_of(model)
    origins = rows.origins[rows.codes]
    D = np.column_stack([np.ones(len(rows.y)), rows.X + origins[:, :-1]])
    y = rows.y + origins[:, -1]
    shared = (rows.codes[:, None] == rows.codes).astype(float)
    columns = list(rows.variance_rows(slice(None)).T)
    if variance_groups == "fixed":
        columns = [*(rows.codes == g for g in range(rows.n_groups)), *columns]

    def covariance(theta):
        v = np.exp(log_variance_of(model, theta))
        return v, np.linalg.inv(np.diag(v) + theta[-1] * shared)

    precision = covariance(theta)[1]
    r = y - D @ np.linalg.solve(D.T @ precision @ D, D.T @ precision @ y)

    def gradient(theta):
        v, P = covariance(theta)
        slopes = [*(np.diag(v * s) for s in columns), shared]
        return np.array([np.trace(P @ A) - r @ P @ A @ P @ r for A in slopes]) / 2

    expected = difference(gradient, theta)
    point = evaluate(model, theta)
    # That of psi alone costs nothing, and is whole.
    expected[-1, -1] = derivatives(model, point)[1].toarray()[-1, -1]
    found, information = derivatives(model, point, known_coefficients=True)
    assert_allclose(found, gradient(theta))
    scale = np.abs(expected).max()
    assert_allclose(
        information.toarray(), expected, rtol=DIFFERENCED, atol=DIFFERENCED * scale
    )


@pytest.mark.parametrize("expected", [False, True])
def test_information_of_psi_is_whole_where_coefficients_count_as_known(expected):
    model = model_of(method="reml")
    point = evaluate(model, random_theta(model))
    whole, known = (derivatives(model, point, expected, k)[1] for k in (False, True))
    assert_allclose(known.toarray()[-1, -1], whole.toarray()[-1, -1])
    assert np.abs(known.toarray() - whole.toarray()).max() > 0.1


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("weighted", [False, True])
def test_criterion_is_the_dense_density(method, weighted):
    """math.md (24) to (28). Repetition weights are repeated rows."""
    model = model_of(method=method, weighted=weighted)
    theta = random_theta(model)
    point = evaluate(model, theta)
    X, y, groups, weight = data()
    order = np.argsort(groups, kind="stable")
    if weighted:
        order = np.repeat(order, weight[order].astype(int))
    log_v = log_variance_of(model, theta)
    if weighted:
        log_v = np.repeat(log_v, part_of(model).weight.astype(int))
    shared = groups[order][:, None] == groups[order]
    V = np.diag(np.exp(log_v)) + theta[-1] * shared
    D = with_intercept(X[order])
    expected = log_likelihood(D, y[order], V, method == "reml")
    assert_allclose(point.log_likelihood, expected, rtol=EXACT)
    assert_allclose(point.value, -expected, rtol=EXACT)


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("mean_groups, variance_groups", MODES)
def test_what_exact_rows_gain_is_what_a_lower_bound_gives(
    mean_groups, variance_groups, method, monkeypatch
):
    """math.md (31a)."""
    margin = "skmixed._likelihood.heteroscedastic.residuals.BOUND_MARGIN"
    monkeypatch.setattr(margin, 0.0)
    model = model_of(
        method=method, mean_groups=mean_groups, variance_groups=variance_groups
    )
    theta, average = random_theta(model), model.average
    # More noise than there is, so that it would gain by having less.
    theta[: len(average)] += 4 * average / (average @ average)
    low = log_variance_of(model, theta).mean()

    def at(low):
        bounded = replace(model, log_bounds=(low, low + 50.0))
        return bounded, evaluate(bounded, theta)

    expected = difference(lambda x: np.array([at(x[0])[1].value]), np.array([low]))
    # No row is so close to the bound that the differences change its side.
    beside = np.abs(log_variance_of(model, theta) - low)
    assert beside.min() > 2 * STEP
    assert expected > 1
    assert_allclose(gain_by_exact_rows(*at(low)), expected[0, 0], rtol=1e-7)


@pytest.mark.parametrize("mean_groups", ["random", "fixed", None])
def test_unbiased_noise_is_unbiased_whatever_the_variance_of_the_row(
    mean_groups, monkeypatch
):
    """math.md (31b). Each row, one of several where it has a weight, has three times
    the variance that the point has for it, in turn.
    """
    monkeypatch.setattr(
        "skmixed._likelihood.heteroscedastic.gamma_regression.MOST_LEVERAGE", np.inf
    )
    model = model_of(singles=2, mean_groups=mean_groups)
    point = evaluate(model, random_theta(model))
    (told,) = unbiased_noise(model, point).values
    X, y, groups, weight = data()
    groups[:2] = 7, 8
    if mean_groups is None:  # all rows are one
        groups[:] = 0
    order = np.argsort(groups, kind="stable")
    copies = weight[order].astype(int)
    noise, counted, v = (
        np.repeat(figures, copies)
        for figures in (*(told / copies), np.exp(log_variance_of(model, point.theta)))
    )
    rows = np.repeat(order, copies)
    # A fixed effect is a random one whose variance is 1e6, not infinite.
    psi = {"random": point.theta[-1], "fixed": 1e6, None: 0.0}[mean_groups]
    tolerance = 1e-4 if mean_groups == "fixed" else EXACT
    V = np.diag(v) + psi * (groups[rows][:, None] == groups[rows])
    M = v[:, None] * np.linalg.inv(V)
    D = X[rows] if mean_groups == "fixed" else with_intercept(X[rows])
    Vi_D = np.linalg.solve(V, D)
    e = M @ (y[rows] - D @ np.linalg.solve(D.T @ Vi_D, Vi_D.T @ y[rows]))
    for j in range(len(e)):
        of_e = M[j] @ V @ M[j] + 2 * v[j] * M[j, j] ** 2
        expected = noise[j] - e[j] ** 2 + of_e
        assert_allclose(expected, 3 * v[j] * counted[j], atol=tolerance)


def test_a_level_of_the_variance_that_nothing_tells():
    """Of its information, rounding was left, whose sign made variances negative."""
    story = {
        "n": 9, "target": "model", "noise": 1.0, "groups": "random", "n_groups": 6,
        "columns": [
            "one row", "sum", "duplicate", "binary", "nearly of groups", "normal",
            "nearly of groups", "nearly of groups", "nearly of groups",
        ],
        "weight": None, "labels": "float", "container": "fortran", "unit": 0,
        "units": [0] * 9, "seed": 0,
    }  # fmt: skip
    problem = make(HeteroscedasticGaussianRegressor(variance_alpha=0.1), story)
    assert check(problem) == "fitted"


# ------------------------------------------------------------------------------- arrows


def random_arrow(n_groups=9, q=3, k=2, seed=0):
    rng = np.random.default_rng(seed)
    corner = rng.normal(size=(q, q))
    return Arrow(
        diagonal=rng.uniform(1, 2, size=n_groups),
        border=0.3 * rng.normal(size=(n_groups, q)),
        corner=corner @ corner.T + 3 * np.eye(q),
        U=0.3 * rng.normal(size=(n_groups + q, k)),
        B=np.diag([-1.0, 0.5][:k]),
    )


@pytest.mark.parametrize("n_groups", [0, 1, 9])
@pytest.mark.parametrize("k", [0, 2])
def test_an_arrow_is_the_matrix_that_it_stands_for(n_groups, k):
    arrow = random_arrow(n_groups, k=k)
    dense = arrow.toarray()
    x = np.random.default_rng(1).normal(size=(len(dense), 2))
    assert_allclose(arrow @ x[:, 0], dense @ x[:, 0], rtol=EXACT, atol=EXACT)
    assert_allclose(arrow.solve(x), np.linalg.solve(dense, x), rtol=1e-9, atol=EXACT)
    solved = np.linalg.solve(dense, x[:, 0])
    assert_allclose(arrow.solve(x[:, 0]), solved, rtol=1e-9, atol=EXACT)
    assert arrow.is_positive_definite() == (np.linalg.eigvalsh(dense).min() > 0)
    keep = np.arange(len(dense) - 1)
    assert_allclose(arrow.without_last().toarray(), dense[np.ix_(keep, keep)])


@pytest.mark.parametrize("seed", range(40))
def test_an_arrow_knows_whether_it_is_positive_definite(seed):
    arrow = random_arrow(seed=seed)
    rng = np.random.default_rng(seed)
    arrow = replace(arrow, B=arrow.B * rng.uniform(0.1, 20))
    if seed % 4 == 0:
        arrow = replace(arrow, diagonal=arrow.diagonal - 1.2)
    smallest = np.linalg.eigvalsh(arrow.toarray()).min()
    # A negative pivot on the diagonal may be made good by a coupling; no is then safe.
    if (arrow.diagonal > 0).all() or smallest < 0:
        assert arrow.is_positive_definite() == (smallest > 0)


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_an_arrow_beyond_double_precision_is_not_positive_definite():
    arrow = Arrow(
        np.array([1e-300]), np.array([[1e200]]), np.eye(1), np.empty((2, 0)), np.eye(0)
    )
    assert not arrow.is_positive_definite()


@pytest.mark.parametrize("n_groups", [1, 9])
def test_couplings_may_be_written_out(n_groups):
    arrow = random_arrow(n_groups)
    q = n_groups + 3
    couplings = [(arrow.U[:, [i]], arrow.B[i : i + 1, i : i + 1]) for i in range(2)]
    joined = assemble_arrow(arrow.diagonal, arrow.border, arrow.corner, couplings)
    assert len(joined.diagonal) == (0 if n_groups < 2 else n_groups)
    assert_allclose(joined.toarray(), arrow.toarray(), atol=EXACT)
    assert joined.toarray().shape == (q, q)


def test_a_ridge_beyond_double_precision_has_no_factor():
    """Times the zeros of the penalty it was not a number, which NumPy warned of."""
    model = model_of(alpha=1.0, method="ml")
    theta = -1e3 * np.append(model.average, 0.0)
    with pytest.raises(np.linalg.LinAlgError, match="beyond double precision"):
        evaluate(model, theta)


@pytest.mark.parametrize("far", [0.3, 1e4], ids=["near", "beyond the bounds"])
def test_a_regression_of_squared_residuals_has_a_value_everywhere(far):
    """Far steps with few rows overflowed, which NumPy warned of: math.md (31c)."""
    model = model_of(mean_groups=None, variance_groups="fixed", method="ml")
    theta = np.zeros(len(model.average))
    regression = gamma_regression(model, evaluate(model, theta))
    theta = regression.with_effects(theta)
    gamma = far * np.ones(len(theta) - len(model.free))
    value, score = regression.deviance(theta, gamma)
    assert np.isfinite([value, *score]).all()
    ends = [
        [regression.deviance(theta, gamma + sign * step)[0] for sign in (1, -1)]
        for step in STEP * np.eye(len(gamma))
    ]
    differences = np.subtract(*np.transpose(ends)) / (2 * STEP)
    assert_allclose(score, differences, rtol=1e-4)  # of central differences
