"""RandomInterceptRegressor: equivalences, invariances, and ordinary awkward data."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose
from oracles.reference import block_covariance, log_likelihood, simulate, with_intercept
from scipy import sparse
from sklearn.linear_model import LinearRegression, Ridge

from skmixed import GroupsWarning, RandomInterceptRegressor

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

EXACT = 1e-10  # two solutions of one well-conditioned linear system
# Shifts and scales change the rounding of every number, and the optimum of the search
# moves by the root of what rounding does to the criterion's slope.
INVARIANT = 1e-9

FIGURES = (
    "coef_",
    "intercept_",
    "coef_covariance_",
    "noise_variance_",
    "group_variance_",
    "random_intercepts_",
    "random_intercepts_std_",
    "random_intercepts_conditional_std_",
    "log_likelihood_",
)


def fit(X, y, groups=None, sample_weight=None, **kwargs):
    model = RandomInterceptRegressor(**kwargs)
    return model.fit(X, y, groups=groups, sample_weight=sample_weight)


def fit_without_groups(X, y, sample_weight=None, **kwargs):
    with pytest.warns(GroupsWarning, match="No `groups`"):
        return fit(X, y, sample_weight=sample_weight, **kwargs)


def assert_same(one, other, rtol=INVARIANT, figures=FIGURES):
    for name in figures:
        expected = np.asarray(getattr(other, name))
        scale = np.abs(expected).max(initial=0.0)
        assert_allclose(
            getattr(one, name), expected, rtol=rtol, atol=rtol * scale, err_msg=name
        )


# ------------------------------------------------------------------------- equivalences


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_ridge_on_one_hot_groups_is_the_model_at_known_variances(method, fit_intercept):
    """Penalised one-hot columns are the conditional modes of a random intercept.

    Ridge penalises all its columns, so the features are made a million times larger,
    and their coefficients, a million times smaller, cost next to nothing.
    """
    X, y, groups = simulate()
    model = fit(X, y, groups, method=method, fit_intercept=fit_intercept)
    ratio = model.group_variance_ / model.noise_variance_
    D = with_intercept(X) if fit_intercept else X
    free = np.diag(np.r_[np.zeros(D.shape[1]), np.full(12, 1 / ratio)])
    both = np.column_stack([D, np.eye(12)[groups]])
    solution = np.linalg.solve(both.T @ both + free, both.T @ y)
    coef = np.r_[model.intercept_, model.coef_][0 if fit_intercept else 1 :]
    assert_allclose(coef, solution[: D.shape[1]], rtol=EXACT)
    assert_allclose(model.random_intercepts_, solution[-12:], rtol=1e-9, atol=EXACT)
    if not fit_intercept:
        ridge = Ridge(alpha=1 / ratio, fit_intercept=False, solver="cholesky")
        ridge.fit(np.column_stack([1e6 * X, np.eye(12)[groups]]), y)
        assert_allclose(1e6 * ridge.coef_[:3], model.coef_, rtol=EXACT)
        assert_allclose(ridge.coef_[3:], model.random_intercepts_, rtol=1e-9)


@pytest.mark.parametrize("alpha", [0.0, 2.5])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("weighted", [False, True])
def test_without_groups_it_is_ridge_or_least_squares(alpha, fit_intercept, weighted):
    X, y, _ = simulate()
    weight = np.arange(len(y)) % 4 if weighted else None
    model = fit_without_groups(
        X, y, sample_weight=weight, alpha=alpha, fit_intercept=fit_intercept
    )
    linear = Ridge(alpha, fit_intercept=fit_intercept) if alpha else None
    linear = linear or LinearRegression(fit_intercept=fit_intercept)
    linear.fit(X, y, sample_weight=weight)
    assert_allclose(model.coef_, linear.coef_, rtol=EXACT)
    assert_allclose(model.intercept_, linear.intercept_, rtol=EXACT)
    assert model.group_variance_ == 0
    assert model.groups_.shape == model.random_intercepts_.shape == (0,)
    assert not model.at_boundary_


def test_ordinary_least_squares_has_its_textbook_standard_errors():
    X, y, _ = simulate()
    model = fit_without_groups(X, y)
    D = with_intercept(X)
    residual = y - D @ np.linalg.lstsq(D, y, rcond=None)[0]
    variance = residual @ residual / (len(y) - 4)
    expected = variance * np.linalg.inv(D.T @ D)
    assert_allclose(model.noise_variance_, variance, rtol=EXACT)
    assert_allclose(model.coef_covariance_, expected, rtol=1e-9, atol=1e-14)
    assert_allclose(model.coef_std_, np.sqrt(np.diag(expected))[1:], rtol=1e-9)
    assert_allclose(model.intercept_std_, np.sqrt(expected[0, 0]), rtol=1e-9)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_log_likelihood_is_the_dense_density(method):
    X, y, groups = simulate()
    model = fit(X, y, groups, method=method)
    V = block_covariance(groups, model.noise_variance_, model.group_variance_)
    expected = log_likelihood(with_intercept(X), y, V, method == "reml")
    assert_allclose(model.log_likelihood_, expected, rtol=EXACT)
    ratio = model.group_variance_ / (model.group_variance_ + model.noise_variance_)
    assert_allclose(model.intraclass_correlation_, ratio)


def test_balanced_reml_is_analysis_of_variance():
    """One-way layout: noise variance MSW, group variance (MSB - MSW) / n."""
    rng = np.random.default_rng(0)
    y = 3 * rng.normal(size=(8, 1)) + rng.normal(size=(8, 5))
    model = fit(np.empty((40, 0)), y.ravel(), np.repeat(np.arange(8), 5))
    within = y.var(axis=1, ddof=1).mean()
    between = 5 * y.mean(axis=1).var(ddof=1)
    assert_allclose(model.noise_variance_, within, rtol=1e-11)
    assert_allclose(model.group_variance_, (between - within) / 5, rtol=1e-11)
    assert_allclose(model.intercept_, y.mean(), rtol=1e-12)


# -------------------------------------------------------------------------------- ridge


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_alpha_is_continuous_at_zero(method):
    X, y, groups = simulate()
    figures = [name for name in FIGURES if name != "log_likelihood_"]
    none = fit(X, y, groups, method=method)
    assert_same(fit(X, y, groups, method=method, alpha=1e-9), none, 1e-7, figures)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_alpha_to_infinity_is_the_intercept_only_model(method):
    X, y, groups = simulate()
    penalised = fit(X, y, groups, method=method, alpha=1e12)
    alone = fit(np.empty((len(y), 0)), y, groups, method=method)
    assert_allclose(penalised.coef_, 0, atol=1e-9)
    for name in ("noise_variance_", "group_variance_", "intercept_"):
        assert_allclose(getattr(penalised, name), getattr(alone, name), rtol=1e-8)


def test_penalised_reml_uses_effective_degrees_of_freedom():
    X, y, _ = simulate()
    model = fit_without_groups(X, y, alpha=20.0)
    centred = X - X.mean(axis=0)
    hat = centred @ np.linalg.solve(centred.T @ centred + 20 * np.eye(3), centred.T)
    residual = (y - y.mean()) - hat @ (y - y.mean())
    freedom = len(y) - 1 - np.trace(hat)
    assert_allclose(model.noise_variance_, residual @ residual / freedom, rtol=EXACT)


def test_noise_variance_does_not_jump_where_a_proper_prior_would():
    """80 rows, 40 useless features: a prior on them halves the variance at once."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 40)), rng.normal(size=80)
    groups = np.arange(80) // 4
    variances = [
        fit(X, y, groups, alpha=alpha).noise_variance_ for alpha in (0, 1e-8, 1e-4)
    ]
    assert_allclose(variances, variances[0], rtol=1e-4)


def test_alpha_scales_with_y_and_X():
    X, y, groups = simulate()
    model = fit(X, y, groups, alpha=3.0)
    scaled = fit(10 * X, 7 * y, groups, alpha=300.0)
    assert_allclose(scaled.coef_, 0.7 * model.coef_, rtol=INVARIANT)
    assert_allclose(scaled.noise_variance_, 49 * model.noise_variance_, rtol=INVARIANT)
    assert_allclose(scaled.group_variance_, 49 * model.group_variance_, rtol=INVARIANT)


# -------------------------------------------------------------------------- invariances


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
def test_rows_in_another_order(method, alpha):
    X, y, groups = simulate()
    order = np.random.default_rng(0).permutation(len(y))
    one = fit(X, y, groups, method=method, alpha=alpha)
    other = fit(X[order], y[order], groups[order], method=method, alpha=alpha)
    assert_same(other, one)


def test_groups_with_other_names():
    X, y, groups = simulate()
    names = np.array([f"group {i}" for i in range(12)])[::-1]
    one, other = fit(X, y, groups), fit(X, y, names[groups])
    figures = [name for name in FIGURES if not name.startswith("random")]
    assert_same(other, one, figures=figures)
    by_name = dict(zip(other.groups_, other.random_intercepts_, strict=True))
    expected = dict(zip(names[one.groups_], one.random_intercepts_, strict=True))
    assert_allclose([by_name[n] for n in names], [expected[n] for n in names])


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("alpha", [0.0, 1.5])
@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
def test_integer_weights_are_repeated_rows(method, alpha, form):
    X, y, groups = simulate()
    weight = np.random.default_rng(0).integers(0, 4, len(y))
    weight[groups == 5] = 0  # a group that is not there at all
    rows = np.repeat(np.arange(len(y)), weight)
    one = fit(form(X), y, groups, sample_weight=weight, method=method, alpha=alpha)
    other = fit(form(X[rows]), y[rows], groups[rows], method=method, alpha=alpha)
    assert_same(one, other)
    assert 5 not in one.groups_
    mean, std = one.predict(X, groups=groups, return_std=True)
    expected = other.predict(X, groups=groups, return_std=True)
    assert_allclose([mean, std], expected, rtol=INVARIANT)


def test_equal_weights_scale_information_not_estimates():
    X, y, groups = simulate()
    weight = np.full(len(y), 2.0)
    doubled = fit(X, y, groups, sample_weight=weight, method="ml")
    twice = np.tile(np.arange(len(y)), 2)
    assert_same(doubled, fit(X[twice], y[twice], groups[twice], method="ml"))
    assert_same(fit(X, y, groups, sample_weight=1.0), fit(X, y, groups), rtol=0)


@pytest.mark.parametrize("method", ["reml", "ml"])
def test_y_and_X_shifted_and_scaled(method):
    X, y, groups = simulate()
    scale, shift = np.array([1e-3, 10.0, 1e4]), np.array([-5.0, 1e4, 3.0])
    one = fit(X, y, groups, method=method)
    other = fit(X * scale + shift, 50 * y + 1e5, groups, method=method)
    assert_allclose(other.coef_, 50 * one.coef_ / scale, rtol=INVARIANT)
    assert_allclose(other.coef_std_, 50 * one.coef_std_ / scale, rtol=1e-8)
    assert_allclose(other.noise_variance_, 2500 * one.noise_variance_, rtol=1e-8)
    assert_allclose(other.group_variance_, 2500 * one.group_variance_, rtol=1e-8)
    change = (len(y) - (4 if method == "reml" else 0)) * np.log(50)
    change += np.log(scale).sum() if method == "reml" else 0
    assert_allclose(other.log_likelihood_, one.log_likelihood_ - change, rtol=1e-8)
    assert_allclose(
        other.predict(X * scale + shift, groups=groups),
        50 * one.predict(X, groups=groups) + 1e5,
        rtol=INVARIANT,
    )


CONTAINERS = {
    "fortran": np.asfortranarray,
    "float32": lambda a: np.asarray(a, dtype=np.float32),
    "list": lambda a: a.tolist(),
    "frame": lambda a: (
        pd.DataFrame(a, index=np.arange(len(a))[::-1])
        if a.ndim > 1
        else pd.Series(a, index=np.arange(len(a))[::-1])
    ),
    "nullable": lambda a: (
        pd.DataFrame(a).astype("Float64")
        if a.ndim > 1
        else pd.Series(a).astype("Float64")
    ),
    "polars": lambda a: (
        pl.DataFrame(a, schema=["a", "b", "c"]) if a.ndim > 1 else pl.Series(a)
    ),
    "view": lambda a: np.repeat(a, 2, axis=0)[::2],
    "memory map": lambda a: a,
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(container, tmp_path):
    X, y, groups = simulate()
    X, y = X.astype(np.float32).astype(float), y.astype(np.float32).astype(float)
    convert = CONTAINERS[container]
    X_in = convert(X)
    if container == "memory map":
        np.save(tmp_path / "X.npy", X)
        X_in = np.load(tmp_path / "X.npy", mmap_mode="r")
    model = fit(X_in, convert(y), convert(groups))
    assert_same(model, fit(X, y, groups), rtol=1e-12)
    got = model.predict(X_in, groups=convert(groups))
    assert_allclose(got, fit(X, y, groups).predict(X, groups=groups), rtol=1e-12)


def test_neither_arrays_nor_parameters_are_changed():
    X, y, groups = simulate()
    weight = np.arange(len(y)) % 3 * 1.0
    copies = [a.copy() for a in (X, y, groups, weight)]
    for a in (X, y, groups, weight):
        a.setflags(write=False)
    model = RandomInterceptRegressor(alpha=1, group_feature=None)
    before = model.get_params()
    model.fit(X, y, groups=groups, sample_weight=weight)
    model.predict(X, groups=groups, return_std=True)
    assert model.get_params() == before
    for now, then in zip((X, y, groups, weight), copies, strict=True):
        assert (now == then).all()


def test_refitting_gives_the_same_bits():
    X, y, groups = simulate()
    assert_same(fit(X, y, groups), fit(X, y, groups), rtol=0)


@pytest.mark.parametrize("n_jobs", [1, 2, -1])
def test_jobs_do_not_matter(n_jobs):
    X, y, groups = simulate(n=60_000, n_groups=300)
    one = fit(X, y, groups)
    assert_same(fit(X, y, groups, n_jobs=n_jobs), one, rtol=1e-12)


# --------------------------------------------------------------------- rank and columns


def test_dependent_columns_share_as_in_linear_regression():
    """math.md (5) and (6)."""
    X, y, _ = simulate()
    X = np.column_stack([X, 1000 * X[:, 0] - X[:, 1], X[:, 2], np.full(len(y), 5.0)])
    model, linear = fit_without_groups(X, y), LinearRegression().fit(X, y)
    assert_allclose(model.coef_, linear.coef_, rtol=1e-8, atol=1e-12)
    assert_allclose(model.intercept_, linear.intercept_, rtol=1e-8)
    assert model.coef_[5] == 0


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("method", ["reml", "ml"])
def test_dependent_columns_change_nothing_that_is_identified(form, method):
    X, y, groups = simulate()
    wide = np.column_stack([X, X[:, 0] + X[:, 1], np.ones(len(y)), X[:, 2]])
    one, other = (
        fit(X, y, groups, method=method),
        fit(form(wide), y, groups, method=method),
    )
    for name in ("noise_variance_", "group_variance_", "random_intercepts_"):
        assert_allclose(getattr(other, name), getattr(one, name), rtol=1e-7)
    for got, expected in zip(
        other.predict(form(wide), groups=groups, return_std=True),
        one.predict(X, groups=groups, return_std=True),
        strict=True,
    ):
        assert_allclose(got, expected, rtol=1e-7)
    if method == "ml":
        assert_allclose(other.log_likelihood_, one.log_likelihood_, rtol=1e-9)


@pytest.mark.parametrize("position", [0, 2])
def test_a_constant_column_stands_in_for_the_intercept(position):
    """As in design matrices from R and statsmodels, with all the intercept's digits."""
    X, y, groups = simulate()
    X, y = X + np.array([0, 1e6, -1e3]), y + 1e9
    model = fit(X, y, groups)
    D = np.insert(X, position, 4.0, axis=1)
    explicit = fit(D, y, groups, fit_intercept=False)
    assert explicit.intercept_ == 0
    others = np.delete(np.arange(4), position)
    assert_allclose(explicit.coef_[others], model.coef_, rtol=1e-9)
    assert_allclose(4 * explicit.coef_[position], model.intercept_, rtol=1e-12)
    assert_allclose(explicit.group_variance_, model.group_variance_, rtol=1e-9)
    assert_allclose(explicit.coef_std_[others], model.coef_std_, rtol=1e-9)
    assert_allclose(4 * explicit.coef_std_[position], model.intercept_std_, rtol=1e-9)
    shift = np.log(4.0) if model.method == "reml" else 0.0
    assert_allclose(explicit.log_likelihood_, model.log_likelihood_ - shift, rtol=1e-9)
    for got, expected in zip(
        explicit.predict(D, groups=groups, return_std=True),
        model.predict(X, groups=groups, return_std=True),
        strict=True,
    ):
        assert_allclose(got, expected, rtol=1e-9)
    doubled = D[:1].copy()
    doubled[0, position] = 8.0
    assert_allclose(explicit.predict(doubled), doubled @ explicit.coef_, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("constant", [1.0, 0.1, 1 / 3, 1e6])
def test_a_constant_column_of_a_sparse_matrix_is_constant(constant, weighted):
    X, y, groups = simulate()
    weight = np.random.default_rng(0).uniform(0.1, 2, len(y)) if weighted else None
    wide = sparse.csr_array(np.column_stack([np.full(len(y), constant), X]))
    one, other = fit(X, y, groups, weight), fit(wide, y, groups, weight)
    assert other.coef_[0] == 0
    assert_allclose(other.coef_[1:], one.coef_, rtol=1e-9)
    assert_allclose(other.noise_variance_, one.noise_variance_, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:y is fitted exactly:UserWarning")  # some are
@pytest.mark.parametrize("n", [6, 8, 12])
def test_the_rank_of_few_rows_is_that_of_linear_regression(n):
    """One group's deviations leave rounding of a dependent column."""
    for seed in range(60):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(n, 3))
        X = np.column_stack([X, 3 * X[:, 0] - 0.7 * X[:, 1]])
        y, groups = X[:, 0] + rng.normal(size=n), rng.integers(3, size=n)
        model = fit(X, y, groups, method="ml")
        assert np.abs(model.coef_).max() < 1e4


def test_hardly_any_penalty_on_more_columns_than_rows_is_saturated():
    rng = np.random.default_rng(0)
    X, y = 1e15 * rng.normal(size=(12, 20)), rng.normal(size=12)
    model, message = fit_quietly(X, y, np.arange(12) // 3, 1, alpha=1e-3)
    assert "12 rows, 12 coefficients: no degrees of freedom" in message
    assert model.group_variance_ == 0
    assert model.noise_variance_ < 1e-20


def test_sparse_is_dense():
    X, y, groups = simulate(n=200)
    X[np.abs(X) < 1] = 0
    for form in (sparse.csr_array, sparse.csc_array, sparse.coo_matrix):
        assert_same(fit(form(X), y, groups), fit(X, y, groups), rtol=1e-8)


# ------------------------------------------------------------ ordinary but awkward data


def finite(model, X, groups):
    for name in (*FIGURES, "coef_std_", "intraclass_correlation_"):
        assert np.isfinite(getattr(model, name)).all(), name
    for labels in (groups, None):
        mean, std = model.predict(X, groups=labels, return_std=True)
        assert np.isfinite(mean).all()
        assert (std > 0).all()
        assert (std >= np.sqrt(model.noise_variance_)).all()
    return model


def fit_quietly(X, y, groups, at_most=0, **kwargs):
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        model = fit(X, y, groups, **kwargs)
    messages = [str(w.message) for w in record]
    assert len(record) <= at_most, messages
    return finite(model, X, groups), " ".join(messages)


both_methods = pytest.mark.parametrize("method", ["reml", "ml"])


@both_methods
def test_one_group(method):
    X, y, _ = simulate()
    model, message = fit_quietly(X, y, ["only"] * len(y), 1, method=method)
    assert "one group only, 'only'" in message
    assert model.group_variance_ == 0
    assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=EXACT)


@both_methods
def test_one_group_beside_no_intercept_is_identified(method):
    X, y, _ = simulate()
    model, _ = fit_quietly(X, y, [1] * len(y), method=method, fit_intercept=False)
    assert model.group_variance_ > 0


@both_methods
def test_all_singletons(method):
    X, y, _ = simulate()
    model, message = fit_quietly(X, y, np.arange(len(y)), 1, method=method)
    assert "All 80 groups have one row each" in message
    assert model.group_variance_ == 0
    assert not model.at_boundary_
    assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=EXACT)


@both_methods
@pytest.mark.parametrize("groups", [["a", "a"], ["a", "b"]])
@pytest.mark.parametrize("p", [0, 1, 5])
def test_two_rows(method, groups, p):
    X = np.arange(2.0 * p).reshape(2, p) ** 2
    model, message = fit_quietly(X, [1.0, 3.0], groups, 1, method=method)
    if p:
        assert "no degrees of freedom left" in message
        assert_allclose(model.predict(X), [1, 3], rtol=1e-9)


@both_methods
def test_one_row(method):
    model, _ = fit_quietly(np.ones((1, 2)), [4.0], ["a"], 1, method=method)
    assert model.intercept_ == 4


@both_methods
@pytest.mark.parametrize("level", [0.0, -7.0, 1e-30])
def test_constant_y(method, level):
    X, _, groups = simulate()
    model, message = fit_quietly(X, np.full(80, level), groups, 1, method=method)
    assert "fitted exactly" in message
    assert_allclose(model.predict(X, groups=groups), level, rtol=1e-12)
    assert model.group_variance_ == 0
    assert_allclose(model.noise_variance_**0.5, 1e-13 * (abs(level) or 1), rtol=1e-9)


@both_methods
def test_y_constant_within_groups(method):
    X, _, groups = simulate()
    effects = np.random.default_rng(3).normal(size=12)
    model, message = fit_quietly(X, effects[groups], groups, 1, method=method)
    assert "fitted exactly" in message
    assert_allclose(model.predict(X, groups=groups), effects[groups], rtol=1e-9)
    freedom = 11 if method == "reml" else 12
    expected = np.sum((effects - effects.mean()) ** 2) / freedom
    assert_allclose(model.group_variance_, expected, rtol=1e-6)


@both_methods
@pytest.mark.parametrize("alpha", [0.0, 1e-3])
def test_y_constant_within_groups_far_from_zero_without_intercept(method, alpha):
    """The groups take up the level, which is far larger than y's standard deviation."""
    X, _, groups = simulate()
    effects = 1e8 + np.random.default_rng(3).normal(size=12)
    model, message = fit_quietly(
        X, effects[groups], groups, 1, method=method, alpha=alpha, fit_intercept=False
    )
    assert "fitted exactly" in message
    assert_allclose(model.predict(X, groups=groups), effects[groups], rtol=1e-12)


@both_methods
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_more_columns_than_rows(method, alpha):
    rng = np.random.default_rng(0)
    X, y, groups = rng.normal(size=(20, 50)), rng.normal(size=20), np.arange(20) // 4
    model, message = fit_quietly(X, y, groups, 1, method=method, alpha=alpha)
    if alpha:
        assert not message
        assert 1e-3 < model.noise_variance_ < 3
    else:
        assert "20 rows, 20 coefficients" in message
        assert_allclose(model.predict(X), y, rtol=1e-8)
        assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=1e-8)


@both_methods
def test_zero_group_variance_is_a_result(method):
    """Group means closer to each other than the noise allows: least squares."""
    X, y, groups = simulate(n=120)
    Z = np.eye(12)[groups]
    y = X @ [1, 2, 3] + np.random.default_rng(1).normal(size=120)
    y -= Z @ np.linalg.lstsq(Z, y - X @ [1, 2, 3], rcond=None)[0]
    model, _ = fit_quietly(X, y, groups, method=method)
    assert model.at_boundary_
    assert model.group_variance_ == 0
    assert (model.random_intercepts_ == 0).all()
    assert_allclose(model.coef_, LinearRegression().fit(X, y).coef_, rtol=EXACT)


@both_methods
@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_y_of_extreme_scale(method, scale):
    X, y, groups = simulate()
    one = fit(X, y, groups, method=method)
    model, _ = fit_quietly(X, scale * y, groups, method=method)
    assert_allclose(model.coef_ / scale, one.coef_, rtol=INVARIANT)
    assert_allclose(model.group_variance_ / scale / scale, one.group_variance_)
    change = (80 - (4 if method == "reml" else 0)) * np.log(scale)
    assert_allclose(model.log_likelihood_, one.log_likelihood_ - change, rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_X_of_extreme_scale(scale):
    X, y, groups = simulate()
    one, (model, _) = fit(X, y, groups), fit_quietly(scale * X, y, groups)
    assert_allclose(model.coef_ * scale, one.coef_, rtol=INVARIANT)
    assert_allclose(
        model.predict(scale * X, groups=groups, return_std=True),
        one.predict(X, groups=groups, return_std=True),
        rtol=INVARIANT,
    )


@both_methods
def test_groups_a_billion_times_the_noise(method):
    """The noise variance is that of the residuals within groups, to 1e-9."""
    X, y, groups = simulate(n=400, group_std=0.0)
    Z = np.eye(12)[groups]
    far = 1e9 * np.random.default_rng(0).integers(-50, 50, 12)
    model, _ = fit_quietly(X, y + far[groups], groups, method=method)
    D = np.column_stack([X, Z])
    y = (y + far[groups]) - far[groups]  # what is left of y in double precision
    residual = y - D @ np.linalg.lstsq(D, y, rcond=None)[0]
    freedom = 400 - 15 if method == "reml" else 400 - 12
    assert_allclose(model.noise_variance_, residual @ residual / freedom, rtol=1e-9)


def test_a_giant_group_beside_many_singletons():
    rng = np.random.default_rng(0)
    groups = np.concatenate([np.zeros(1_000_000, int), np.arange(1, 100_001)])
    X = rng.normal(size=(len(groups), 1))
    y = X[:, 0] + rng.normal(size=100_001)[groups] + rng.normal(size=len(groups))
    model, _ = fit_quietly(X, y, groups)
    # The singletons alone tell the sum of the variances, the giant the noise's.
    assert_allclose(model.noise_variance_, 1, atol=0.01)
    assert_allclose(model.group_variance_, 1, atol=0.05)


def test_an_intercept_alone():
    _, y, groups = simulate()
    model = fit(np.empty((80, 0)), y, groups)
    assert model.coef_.shape == (0,)
    assert model.coef_covariance_.shape == (1, 1)
    assert model.n_features_in_ == 0
    assert model.predict(np.empty((3, 0)), groups=[0, 99, None]).shape == (3,)
    frame = pd.DataFrame(index=range(80))
    assert_allclose(fit(frame, y, groups).intercept_, model.intercept_)
    with pytest.raises(ValueError, match="0 feature"):
        fit(np.empty((80, 0)), y)
