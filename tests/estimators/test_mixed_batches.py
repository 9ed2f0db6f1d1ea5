"""Batches of the linear mixed model: `partial_fit` against `fit`, math.md (150)."""

import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone

from skmixed import GroupsWarning, LinearMixedRegressor
from skmixed._input.label_table import LabelTable
from skmixed._input.labels import GroupIndex
from skmixed._input.table import Data
from skmixed._rows.cells import equivalent_rows, join_cells, sum_cells

# Sums in another order: of one factor, and of several, or far apart, where the search
# ends by rounding of the value, at which its arguments are known to the root of that.
SAME, SAME_SEVERAL = 1e-10, 1e-8
N = 240
RNG = np.random.default_rng(4)
GROUPS = pd.DataFrame({"s": RNG.integers(0, 12, N), "i": RNG.integers(0, 7, N)})
GROUPS["class"] = GROUPS["s"] // 4
GROUPS["item"] = [f"i{k}" for k in GROUPS["i"]]
X = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N)})
Y = 1 + 2 * X["x"] + (1 + X["x"]) * RNG.normal(size=12)[GROUPS["s"]]
Y += (
    RNG.normal(size=7)[GROUPS["i"]] * (1 + X["z"]) + RNG.normal(size=3)[GROUPS["class"]]
)
Y = (Y + RNG.normal(size=N)).to_numpy()
BATCH = RNG.integers(0, 5, N)
ONE = ["(x | s)", "(x || s)", "(0 + x | s)", "(1 | s)"]
SEVERAL = ["(1 | s) + (1 | item)", "(x | s) + (z | item)", "(x | class/s)"]


# The feature z and y jump by so much from batch to batch: doubles tell a deviation of
# unit size from it to 1e-10, and figures of the fit to a hundred of these.
FAR = 1e6
AS_DOUBLES_TELL = 1e-8
STORED = Path(__file__).parents[1] / "stored" / "far_batches.json"


def far_apart():
    return X.assign(z=X["z"] + FAR * BATCH), Y + FAR * BATCH


def in_batches(model, X=X, y=Y, groups=GROUPS, order=(3, 1, 0, 4, 2), **weights):
    for number in order:
        rows = np.flatnonzero(number == BATCH)
        some = {name: values[rows] for name, values in weights.items()}
        part = X.iloc[rows] if hasattr(X, "iloc") else X[rows]
        model.partial_fit(part, y[rows], groups=groups.iloc[rows], **some)
    return model


def assert_same(model, expected, tolerance):
    names = ["coef_", "intercept_", "coef_covariance_", "noise_variance_"]
    pairs = [(getattr(model, name), getattr(expected, name)) for name in names]
    pairs.append((model.log_likelihood_, expected.log_likelihood_))
    for factor, labels in expected.groups_.items():
        assert_array_equal(model.groups_[factor], labels)
        for name in ("", "_std", "_conditional_std", "_covariance"):
            of_both = [getattr(m, f"random_effects{name}_") for m in (model, expected)]
            pairs.append(tuple(found[factor] for found in of_both))
    for got, want in pairs:
        scale = np.abs(want).max(initial=0)
        assert_allclose(got, want, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("far", [0.0, 1e6])
@pytest.mark.parametrize("terms", ONE + SEVERAL)
@pytest.mark.filterwarnings("ignore::skmixed.GroupsWarning")  # of small batches
@pytest.mark.filterwarnings("ignore:The search stopped")
def test_batches_in_any_order_are_one_fit(terms, far):
    near = X.assign(x=X["x"] + far * (BATCH == 1), z=X["z"] - far)
    y, tolerance = Y + far, SAME if terms in ONE and not far else SAME_SEVERAL
    model = LinearMixedRegressor(terms)
    expected = clone(model).fit(near, y, groups=GROUPS)
    in_batches(model, near, y)
    assert_same(model, expected, tolerance)
    assert str(model.summary()) == str(expected.summary())
    mean, std = model.predict(near, groups=GROUPS, return_std=True)
    want_mean, want_std = expected.predict(near, groups=GROUPS, return_std=True)
    assert_allclose(mean - far, want_mean - far, atol=1e-16 * far + tolerance * 10)
    assert_allclose(std, want_std, rtol=tolerance)


@pytest.mark.parametrize("terms", ONE)
def test_batches_far_apart_are_as_exact_as_rows_in_memory(terms):
    """Both beside the optimum to 20 digits, by tests/stored/far_batches.py."""
    truth = json.loads(STORED.read_text())["fits"][terms]
    near, y = far_apart()
    one = LinearMixedRegressor(terms).fit(near, y, groups=GROUPS)
    for model in (one, in_batches(clone(one), near, y)):
        for name, want in truth.items():
            got = getattr(model, name)
            got = got["s"] if isinstance(got, dict) else got
            scale = AS_DOUBLES_TELL * np.abs(want).max()
            assert_allclose(got, want, rtol=0, atol=scale, err_msg=name)


@pytest.mark.parametrize("terms", ONE + SEVERAL)
@pytest.mark.filterwarnings("ignore::skmixed.GroupsWarning")  # of small batches
@pytest.mark.filterwarnings("ignore:The search stopped")
def test_batches_of_which_each_has_labels_of_its_own(terms):
    model = LinearMixedRegressor(terms)
    expected = clone(model).fit(X, Y, groups=GROUPS)
    own = np.unique(GROUPS["s"]).reshape(4, 3)
    for order in ((0, 1, 2, 3), (2, 0, 3, 1)):
        got = clone(model)
        for number in order:
            rows = np.flatnonzero(GROUPS["s"].isin(own[number]))
            got.partial_fit(X.iloc[rows], Y[rows], groups=GROUPS.iloc[rows])
        assert_same(got, expected, SAME if terms in ONE else SAME_SEVERAL)


def test_factors_that_are_nested_at_first():
    first = GROUPS.assign(i=GROUPS["s"] // 5)
    groups = pd.concat([first[:100], GROUPS[100:]])
    model = LinearMixedRegressor("(x | s) + (1 | i)")
    for rows in (slice(0, 100), slice(100, N)):
        model.partial_fit(X[rows], Y[rows], groups=groups[rows])
    expected = LinearMixedRegressor("(x | s) + (1 | i)").fit(X, Y, groups=groups)
    assert_same(model, expected, SAME_SEVERAL)


def test_weights_sparse_rows_and_the_second_door():
    weight = (np.arange(N) % 3).astype(float)
    model = LinearMixedRegressor("(x0 | s)", method="ml", alpha=0.5)
    options = {"groups": GROUPS, "sample_weight": weight}
    expected = clone(model).fit(X.to_numpy(), Y, **options)
    got = in_batches(clone(model), X.to_numpy(), sample_weight=weight)
    assert_same(got, expected, SAME)
    rows = sparse.csr_array(X.to_numpy())
    assert_same(in_batches(clone(model), rows, sample_weight=weight), expected, SAME)
    model = LinearMixedRegressor("(x | s)", group_features=["s"])
    both, table = X.assign(s=GROUPS["s"]), GROUPS[[]]
    for number in range(5):
        rows = np.flatnonzero(number == BATCH)
        model.partial_fit(both.iloc[rows], Y[rows])
    assert table.shape == (N, 0)
    assert_same(model, clone(model).fit(both, Y), SAME)


def test_batches_without_labels():
    model = LinearMixedRegressor("(1 | s)")
    with pytest.warns(GroupsWarning, match="No `groups` were given"):
        expected = clone(model).fit(X, Y)
    for rows in (slice(0, 100), slice(100, N)):
        with pytest.warns(GroupsWarning, match="No `groups` were given"):
            model.partial_fit(X[rows], Y[rows])
    assert_allclose(model.coef_, expected.coef_, rtol=SAME)
    assert_allclose(model.log_likelihood_, expected.log_likelihood_, rtol=SAME)


def test_a_fit_of_batches_is_continued_with_other_parameters():
    model = in_batches(LinearMixedRegressor("(x | s)"), order=(0, 1))
    stored = pickle.loads(pickle.dumps(model)).set_params(method="ml")
    expected = LinearMixedRegressor("(x | s)", method="ml").fit(X, Y, groups=GROUPS)
    assert_same(in_batches(stored, order=(2, 3, 4)), expected, SAME)


def test_a_label_per_row_is_said_of_batches_too():
    labels = np.arange(N)
    model = LinearMixedRegressor()
    message = f"{N} labels in {N} rows"
    with pytest.warns(GroupsWarning, match=message):
        model.fit(X, Y, groups=labels)
    with pytest.warns(GroupsWarning, match=message):
        clone(model).partial_fit(X, Y, groups=labels)


def test_batches_that_do_not_fit_together_leave_the_model():
    model = in_batches(LinearMixedRegressor("(x | s)"), order=(0, 1))
    before = model.coef_
    with pytest.raises(ValueError, match="can never match"):
        model.partial_fit(X, Y, groups=GROUPS["s"].astype(str))
    with pytest.raises(ValueError, match="label columns of the earlier rows are s, "):
        model.partial_fit(X, Y)
    with pytest.raises(ValueError, match="slopes of other columns"):
        model.set_params(random_effects="(z | s)").partial_fit(X, Y, groups=GROUPS)
    assert model.coef_ is before


def test_batches_after_a_fit_in_memory_begin_anew():
    model = LinearMixedRegressor("(x | s)").fit(X[:100], Y[:100], groups=GROUPS[:100])
    rest = slice(100, N)
    with pytest.warns(GroupsWarning, match="keeps no sums of its rows"):
        model.partial_fit(X[rest], Y[rest], groups=GROUPS[rest])
    expected = LinearMixedRegressor("(x | s)").fit(
        X[rest], Y[rest], groups=GROUPS[rest]
    )
    assert_same(model, expected, SAME)


def test_equivalent_rows_have_the_moments_of_each_cell():
    """Sums of all products of columns, within every cell and in all: math.md (150)."""
    weight = RNG.uniform(0.5, 2, N)
    labels, codes = np.unique(GROUPS["s"], return_inverse=True)
    table = LabelTable(("s",), (GroupIndex(labels, codes),), ((0,),))
    data = Data(X.to_numpy(), np.arange(2), table, Y, weight)
    few = equivalent_rows(sum_cells(data, np.array([0])))
    assert few.n_rows < N / 4
    assert few.n_observed == N
    cells = sum_cells(few, np.array([0]))
    assert equivalent_rows(join_cells(cells, cells)).n_observed == 2 * N

    def moments(data, some, columns=slice(None)):
        A = np.column_stack([np.ones(data.n_rows), data.X[:, 0], data.y, data.X[:, 1]])
        return (A[some].T * data.weight[some]) @ A[some][:, columns]

    assert_allclose(*(moments(each, slice(None)) for each in (few, data)), atol=1e-10)
    for g in range(len(labels)):
        some = [each.index.columns[0].codes == g for each in (few, data)]
        pairs = zip([few, data], some, strict=True)
        assert_allclose(*(moments(*pair, slice(2)) for pair in pairs), rtol=1e-10)
