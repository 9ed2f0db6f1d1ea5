"""Columns that others determine: the restricted likelihood and what is estimable do not
depend on their coding.  Numbers of lme4 are from tests/stored/dependent.R.
"""

import json
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.reference import block_covariance, log_likelihood, simulate
from scipy import sparse

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of
from skmixed._input.features import EPS, precision_of
from skmixed._rows.dependence import find_dependence, first_independent
from skmixed.datasets import load_hsb82

STORED = json.loads(
    (Path(__file__).parents[1] / "stored" / "dependent.json").read_text()
)
FRAME = pd.DataFrame(STORED["data"])
CODINGS = [
    pytest.param(name, intercept, id=f"{name} {intercept}")
    for name in STORED["sets"]
    for intercept in ("intercept", "none")
]
# The value that was demanded; the two optima agree to 1e-12.
LME4 = 1e-8
KINDS = [
    lambda **options: RandomInterceptRegressor(**options),
    lambda **options: HeteroscedasticGaussianRegressor(variance_features=[], **options),
    lambda **options: LinearMixedRegressor("(1 | group)", **options),
]
every_kind = pytest.mark.parametrize(
    "make", KINDS, ids=["one variance", "row variances", "linear mixed"]
)


@every_kind
@pytest.mark.parametrize("name, intercept", CODINGS)
def test_the_restricted_likelihood_is_lme4s(name, intercept, make):
    model = make(fit_intercept=intercept == "intercept")
    X = FRAME[STORED["sets"][name]]
    expected = STORED[intercept][name]
    for rows in (X, sparse.csr_array(X.to_numpy())):
        model.fit(rows, FRAME["y"], groups=FRAME["group"])
        assert_allclose(model.log_likelihood_, expected, atol=LME4)


def test_a_constant_column_that_stands_in_for_the_intercept():
    X = FRAME[STORED["sets"]["onehot"]].assign(one=3.0)[
        ["kind_a", "one", "kind_b", "kind_c", "x"]
    ]
    model = RandomInterceptRegressor(fit_intercept=False)
    model.fit(X, FRAME["y"], groups=FRAME["group"])
    D = X[["kind_a", "one", "kind_b", "x"]].to_numpy()  # the first independent ones
    V = block_covariance(FRAME["group"], model.noise_variance_, model.group_variance_)
    expected = log_likelihood(D, FRAME["y"].to_numpy(), V, reml=True)
    assert_allclose(model.log_likelihood_, expected, rtol=1e-12)
    assert_array_equal(fit_of(model).estimable[1:], [False] * 4 + [True])


@every_kind
def test_a_summary_names_dependent_columns_and_shows_no_standard_error(make):
    """P values of 4.6e-18 were shown for coefficients that are not estimable."""
    X = FRAME[["x", "kind_a", "kind_b", "kind_c"]]
    model = make().fit(X, FRAME["y"], groups=FRAME["group"])
    summary = model.summary()
    table = summary.coefficients
    told = [name == "x" for name in table.names]
    assert table.names == ("intercept", *X.columns)
    for column in table.columns:
        finite = [True] * 5 if column == "coef" else told
        assert_array_equal(np.isfinite(table[column]), finite)
    sentence = "3 of 4 columns are determined by others: kind_a, kind_b, kind_c. "
    assert any(note.startswith(sentence) for note in summary.notes)
    # Minimal norm, as before.
    assert (model.coef_std_ > 0).all()
    dropped = make().fit(
        X[["x", "kind_b", "kind_c"]], FRAME["y"], groups=FRAME["group"]
    )
    assert_allclose(
        model.predict(X, groups=FRAME["group"]),
        dropped.predict(X[["x", "kind_b", "kind_c"]], groups=FRAME["group"]),
        rtol=1e-10,
    )
    assert_allclose(summary.aic, dropped.summary().aic, atol=LME4)
    assert not any("determined" in note for note in dropped.summary().notes)


def test_a_coefficient_that_others_determine_has_no_profile():
    """The others have that of the fit without the dependent columns."""
    x = FRAME[["x", "kind_b"]]
    y, groups = FRAME["y"], FRAME["group"]
    twice = x.assign(again=x["x"])
    found = RandomInterceptRegressor().fit(twice, y, groups=groups).profile_intervals()
    expected = RandomInterceptRegressor().fit(x, y, groups=groups).profile_intervals()
    assert np.isnan(found["coef"][[0, 2]]).all()
    assert_allclose(found["coef"][1], expected["coef"][1], rtol=1e-7)
    assert_allclose(found["intercept"], expected["intercept"], rtol=1e-7)
    assert_allclose(found["group_std"], expected["group_std"], rtol=1e-7)


@pytest.mark.parametrize(
    "model",
    [
        HeteroscedasticGaussianRegressor(mean_features=["x"]),
        LinearMixedRegressor(
            "(1 | group)", mean_features=["x"], variance_features="all"
        ),
    ],
    ids=["one factor", "linear mixed"],
)
def test_so_does_that_of_the_log_variance(model):
    X = FRAME[["x", "kind_a", "kind_b", "kind_c"]]
    model.fit(X, FRAME["y"], groups=FRAME["group"])
    table = model.summary().log_variance
    told = [name == "x" for name in table.names]
    assert_array_equal(np.isfinite(table["std"]), told)
    assert np.isfinite(model.summary().coefficients["std"]).all()
    sentence = "3 of 4 columns of the log-variance are determined by others: kind_a,"
    assert any(note.startswith(sentence) for note in model.summary().notes)


def test_a_column_that_is_constant_within_groups_beside_fixed_effects():
    X = FRAME[["x", "site_t", "kind_b"]]
    model = HeteroscedasticGaussianRegressor(mean_groups="fixed", variance_features=[])
    with pytest.warns(GroupsWarning, match="Constant within groups"):
        model.fit(X, FRAME["y"], groups=FRAME["group"])
    summary = model.summary()
    assert summary.coefficients.names == ("intercept", *X.columns)
    told = [False, True, False, True]
    assert_array_equal(np.isfinite(summary.coefficients["p"]), told)
    assert any("1 of 3 columns is determined" in note for note in summary.notes)
    without = HeteroscedasticGaussianRegressor(
        mean_groups="fixed", variance_features=[]
    ).fit(X[["x", "kind_b"]], FRAME["y"], groups=FRAME["group"])
    assert_allclose(model.log_likelihood_, without.log_likelihood_, atol=LME4)
    # A contrast of the same coding beside fixed effects.
    both = X.assign(x1000=1000 * X["x"])
    with pytest.warns(GroupsWarning, match="Constant within groups"):
        model.fit(both, FRAME["y"], groups=FRAME["group"])
    assert_allclose(model.log_likelihood_, without.log_likelihood_, atol=LME4)


def test_a_ridge_determines_all_coefficients():
    X = FRAME[["x", "kind_a", "kind_b", "kind_c"]]
    model = RandomInterceptRegressor(alpha=1.0).fit(
        X, FRAME["y"], groups=FRAME["group"]
    )
    assert np.isfinite(model.summary().coefficients["std"]).all()
    assert not any("determined" in note for note in model.summary().notes)


def test_scaled_copies_of_centred_columns_leave_the_intercept_estimable():
    """The means of centred columns are rounding, and no level."""
    X, y, groups = simulate()
    X = X - X.mean(axis=0)
    model = RandomInterceptRegressor().fit(np.hstack([X, 2 * X]), y, groups=groups)
    assert_array_equal(fit_of(model).estimable, [True] + 6 * [False])


@pytest.mark.parametrize("seed", range(20))
def test_the_first_independent_columns_and_what_is_estimable(seed):
    """Against ranks of all the leading columns, and null vectors."""
    rng = np.random.default_rng(seed)
    k, p = 4, 7
    X = rng.integers(-1, 2, size=(30, k)) @ rng.integers(-1, 2, size=(k, p))
    units = 10.0 ** rng.integers(-3, 4, size=p)
    X, shift = X * units, rng.integers(-1, 2, size=p) * units
    scatter = X - X.mean(axis=0)
    _, size, right = np.linalg.svd(scatter / units, full_matrices=False)
    rank = int((size > 1e-9 * size[0]).sum())
    into_user = size[:rank, None] * right[:rank] * units
    norm = np.abs(into_user).max(axis=0)
    first = first_independent(into_user / np.where(norm > 0, norm, 1.0))
    estimable, logdet = find_dependence(into_user, shift)
    ranks = [
        np.linalg.matrix_rank(scatter[:, : j + 1] / units[: j + 1]) for j in range(p)
    ]
    assert_array_equal(first, np.flatnonzero(np.diff(ranks, prepend=0)))
    _, _, full = np.linalg.svd(scatter / units, full_matrices=True)
    null = full[rank:] / units
    assert_array_equal(estimable[1:], np.abs(null * units).max(axis=0) < 1e-9)
    assert estimable[0] == (np.abs(null @ shift).max() < 1e-9)
    of_first = into_user[:, first]
    assert_allclose(logdet, 2 * np.linalg.slogdet(of_first)[1], atol=1e-9)


def test_a_column_far_from_zero_is_independent_of_constants():
    """In units of its level, 1e44, nothing was left of its scatter: the matrix of two
    constants and no third column was singular.
    """
    into_user = np.zeros((5, 6))
    into_user[0] = [-3.2e-11, 5.6e14, 3.7e-27, 3.7e-21, 6.6e43, 3.6e-12]
    into_user[[1, 2, 3, 4], [0, 1, 4, 5]] = 1.0
    estimable, logdet = find_dependence(into_user, np.zeros(6))
    assert_array_equal(estimable, [True, True, True, False, False, True, True])
    assert_allclose(logdet, 2 * np.log(3.7e-27))


def test_columns_that_are_hardly_independent_are_found_last():
    """There are as many as the rank says, whatever is left of the first ones."""
    A = np.array([[1.0, 1.0, 0.0], [0.0, 1e-9, 1.0]])
    assert_array_equal(first_independent(A), [0, 2])
    assert_array_equal(first_independent(A[:, :2]), [0, 1])


# A log-likelihood of 7,185 rows of double precision, and of rows that are rounded to
# single precision, which move y by 1e-7 of the noise.
AS_DENSE, AS_DOUBLE = 1e-7, 1e-5
SEVERAL = [
    *KINDS,
    lambda **options: HeteroscedasticGaussianRegressor(**options),
    lambda **options: LinearMixedRegressor("(1 | g)", variance_features=[0], **options),
]


@pytest.mark.parametrize("make", SEVERAL)
def test_columns_of_many_sparse_rows_depend_on_each_other(make):
    """ses is cses plus meanses.  Rounding of sums grows with the root of the number of
    rows: a third column was made of it, and a log-variance went to 6e-5 beside 6.
    """
    X, y, groups = load_hsb82(return_X_y_groups=True)
    fits = [make().fit(A, y, groups=groups) for A in (X, sparse.csr_array(X))]
    dense, other = (fit.log_likelihood_ for fit in fits)
    assert_allclose(other, dense, rtol=0, atol=AS_DENSE)
    assert_allclose(fits[1].coef_, fits[0].coef_, atol=AS_DENSE)


def assert_same_as_double(model, make):
    """The fit is that of the rows in double precision."""
    X, y, groups = load_hsb82(return_X_y_groups=True)
    expected = make().fit(X, y, groups=groups)
    assert_allclose(model.log_likelihood_, expected.log_likelihood_, atol=AS_DOUBLE)
    assert_allclose(model.coef_, expected.coef_, atol=AS_DOUBLE)


@pytest.mark.parametrize("make", SEVERAL)
@pytest.mark.parametrize("kind", ["array", "frame", "sparse"])
def test_columns_in_single_precision_depend_on_each_other(make, kind):
    """A sum that is rounded to single precision was a column of its own, with
    coefficients of 1.7e6, and predictions of rows that are rounded otherwise were
    -17,000 where y is 13.
    """
    X, y, groups = load_hsb82(return_X_y_groups=True)
    single = X.astype(np.float32)
    names = [f"x{j}" for j in range(X.shape[1])]
    some = pd.DataFrame(single, columns=names).astype({"x1": float})
    of_kind = {"array": single, "frame": some, "sparse": sparse.csr_array(single)}
    assert_same_as_double(make().fit(of_kind[kind], y, groups=groups), make)


@pytest.mark.parametrize("make", [KINDS[0], KINDS[2]])
def test_batches_in_single_precision_have_columns_that_depend_on_each_other(make):
    X, y, groups = load_hsb82(return_X_y_groups=True)
    model, single = make(), X.astype(np.float32)
    for rows in (slice(0, 4000), slice(4000, None)):
        model.partial_fit(single[rows], y[rows], groups=groups[rows])
    assert_same_as_double(model, make)


@pytest.mark.parametrize("make", KINDS)
def test_the_level_of_a_column_has_the_rounding_of_single_precision(make):
    """The rest of the sum is 1e-4 of what it varies by, and 6e-8 of its level."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 300)) + np.array([[0.0], [2000.0]])
    groups = np.arange(300) % 20
    X = np.column_stack([a, b, a + b]).astype(np.float32)
    y = a + rng.normal(size=20)[groups] + rng.normal(size=300)
    model = make().fit(X, y, groups=groups)
    assert not fit_of(model).estimable[1:].any()
    assert np.abs(model.coef_).max() < 2


@pytest.mark.parametrize("make", SEVERAL)
def test_dask_arrays_in_single_precision_have_columns_that_depend(make):
    X, y, groups = load_hsb82(return_X_y_groups=True)
    rows = [da.from_array(A, chunks=4000) for A in (X.astype(np.float32), y, groups)]
    with dask.config.set(scheduler="synchronous"):
        model = make().fit(rows[0], rows[1], groups=rows[2])
    assert_same_as_double(model, make)


def test_the_precision_of_a_table_is_that_of_its_coarsest_column():
    single, half = (float(np.finfo(t).eps) for t in (np.float32, np.float16))
    frame = pd.DataFrame({"a": [1.0], "b": np.ones(1, np.float32), "c": [1]})
    assert precision_of(frame) == precision_of(pl.from_pandas(frame)) == single
    assert precision_of(pa.Table.from_pandas(frame)) == single
    assert precision_of(frame[["a", "c"]]) == precision_of([[1.0]]) == EPS
    assert precision_of(np.ones((2, 2), np.float16)) == half
