"""Data as files give them: the fit of plain arrays, or an error that says why not.

Containers and kinds of labels are in test_groups.py; here is what the readers of files
make of X, y, weights and the column of labels.
"""

import datetime
import enum
import ipaddress
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor
from skmixed._input.labels import index_groups
from skmixed.inspection import PredictiveCalibrationDisplay
from skmixed.metrics import gaussian_nll, neg_nll_scorer, r2_scorer
from skmixed.model_selection import cross_val_predict_groups, cross_validate_groups

CODES = np.array([int(code) for code in "203312031123013220313302"])
N = len(CODES)
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, 2)).round(3)
Y = (X @ [1, -2] + 3 * _rng.normal(size=4)[CODES] + _rng.normal(size=N)).round(3)
WEIGHT = 1.0 + np.arange(N) % 3
NAMES = [f"school {code}" for code in CODES]
FRAME = pd.DataFrame(X, columns=["age", "size"])
TABLE = FRAME.assign(school=NAMES)
COUNTS = np.arange(N) % 7  # integers for columns of them

ESTIMATORS = [RandomInterceptRegressor, HeteroscedasticGaussianRegressor]
ROUNDING = 1e-12  # the same sums, at most in another order
TEXTS = [[repr(value) for value in row] for row in X.tolist()]
LARGE_INT = 10**400  # beyond double precision


def fit(X=X, y=Y, groups=CODES, estimator=RandomInterceptRegressor, **weight):
    return estimator().fit(X, y, groups=groups, **weight)


def predictions(model, X=X, groups=CODES):
    return np.array(model.predict(X, groups=groups, return_std=True))


def codes_among(groups, known):
    index, known = (index_groups(column, len(column)) for column in (groups, known))
    return np.append(index.positions_in(known.labels), -1)[index.codes].tolist()


def frame_of(column, dtype=None):
    return FRAME.assign(extra=pd.Series(column, dtype=dtype))


def arrow_type(name):
    return pd.ArrowDtype(getattr(pa, name)())


# --- X ------------------------------------------------------------------------

BINARY = X > 0
DECIMALS = [[Decimal(text) for text in row] for row in TEXTS]

TABLES = {
    "tuples": (tuple(map(tuple, X)), X),
    "objects": (X.astype(object), X),
    "decimals": (DECIMALS, X),
    "fractions": ([[Fraction(v) for v in row] for row in X], X),
    "text of numbers": (TEXTS, X),
    "frame of text of numbers": (pd.DataFrame(TEXTS, dtype="string"), X),
    "bool": (BINARY, BINARY),
    "boolean": (pd.DataFrame(BINARY).astype("boolean"), BINARY),
    "Float64": (FRAME.astype("Float64"), X),
    "int, Int64, bool": (
        pd.DataFrame({"a": COUNTS, "b": COUNTS**2}).astype({"b": "Int64"}).assign(c=1),
        np.column_stack([COUNTS, COUNTS**2, np.ones(N)]),
    ),
    "category of ints": (
        pd.DataFrame({"a": COUNTS}).astype("category"),
        COUNTS[:, None],
    ),
    "double[pyarrow]": (FRAME.astype("double[pyarrow]"), X),
    "decimal[pyarrow]": (
        pd.DataFrame(DECIMALS).astype(pd.ArrowDtype(pa.decimal128(9, 3))),
        X,
    ),
    "polars": (pl.DataFrame(X, schema=["age", "size"]), X),
    "polars decimals": (pl.DataFrame(DECIMALS, orient="row"), X),
    "arrow": (pa.table({"age": X[:, 0], "size": X[:, 1]}), X),
    "arrow batch": (pa.record_batch({"age": X[:, 0], "size": X[:, 1]}), X),
    "index of zeros": (FRAME.set_index(np.zeros(N, int)), X),
    "index of pairs": (FRAME.set_index([np.arange(N)[::-1]] * 2), X),
    "columns of pairs": (FRAME.set_axis([("a", 1), ("b", 1)], axis=1), X),
    "columns of ints": (pd.DataFrame(X, columns=[7, 3]), X),
    "every other entry": (np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2], X),
    "big-endian": (X.astype(">f8"), X),
    "float16": (X.astype(np.float16), X.astype(np.float16)),
    "longdouble": (X.astype(np.longdouble), X),
    "masked, none of them": (np.ma.masked_array(X, mask=False), X),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_tables(name, estimator):
    table, plain = TABLES[name]
    model = fit(table, estimator=estimator)
    expected = fit(plain.astype(float), estimator=estimator)
    assert_allclose(model.coef_, expected.coef_, rtol=ROUNDING)
    assert_allclose(
        predictions(model, table),
        predictions(expected, plain.astype(float)),
        rtol=ROUNDING,
    )


SPARSE = X * (np.abs(X) > 0.5)


def with_duplicates(matrix):
    """Every entry as two halves, out of order."""
    rows, columns, values = sparse.find(matrix)
    order = np.concatenate([np.argsort(values)[::-1], np.argsort(rows)])
    coo = sparse.coo_array((values[order] / 2, (rows[order], columns[order])), (N, 2))
    indptr = np.append(0, np.cumsum(np.bincount(coo.row, minlength=N)))
    by_row = np.argsort(coo.row, kind="stable")
    return coo, sparse.csr_array((coo.data[by_row], coo.col[by_row], indptr), (N, 2))


@pytest.mark.parametrize("kind", ["array", "matrix"])
@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "dok", "lil", "bsr", "dia"])
def test_sparse_layouts(layout, kind):
    model = fit(getattr(sparse, f"{layout}_{kind}")(SPARSE))
    assert_allclose(predictions(model), predictions(fit(SPARSE)), rtol=ROUNDING)
    table = getattr(sparse, f"{layout}_{kind}")(np.column_stack([CODES, SPARSE]))
    model = RandomInterceptRegressor(group_feature=0).fit(table, Y)
    assert_allclose(model.predict(table), fit(SPARSE).predict(SPARSE, groups=CODES))


@pytest.mark.parametrize("layout", [0, 1], ids=["coo", "csr"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_duplicated_and_unsorted_sparse_entries(layout, estimator):
    table = with_duplicates(SPARSE)[layout]
    before = table.data.copy(), np.copy(table.nonzero())
    model = fit(table, estimator=estimator)
    plain = fit(sparse.csr_array(SPARSE), estimator=estimator)
    # Newton's method ends where rounding lets it.
    assert_allclose(model.coef_, plain.coef_, rtol=1e-9)
    assert_array_equal(table.data, before[0])
    assert_array_equal(table.nonzero(), before[1])


def test_explicit_zeros():
    table = sparse.csr_array(X)
    table.data[np.abs(table.data) <= 0.5] = 0
    assert_allclose(fit(table).coef_, fit(SPARSE).coef_, rtol=ROUNDING)


DAY = datetime.date(2020, 2, 1)
DATES = {
    "datetime64": np.full((N, 1), DAY, dtype="M8[D]"),
    "NaT": np.full((N, 1), "NaT", dtype="M8[D]"),
    "timedelta64": np.ones((N, 1), dtype="m8[h]"),
    "frame": pd.DataFrame({"extra": [pd.Timestamp(DAY)] * N}),
    "mixed frame": frame_of([pd.Timestamp(DAY)] * N),
    "zone": frame_of([pd.Timestamp(DAY, tz="UTC")] * N),
    "time differences": pd.DataFrame({"extra": pd.to_timedelta(np.ones(N), unit="h")}),
    "periods": frame_of(pd.period_range(DAY, periods=N, freq="D")),
    "timestamp[pyarrow]": frame_of([pd.Timestamp(DAY)] * N, "timestamp[us][pyarrow]"),
    "date32[pyarrow]": frame_of([DAY] * N, "date32[pyarrow]"),
    "polars Date": pl.DataFrame({"age": X[:, 0], "extra": [DAY] * N}),
    "polars Duration": pl.DataFrame({"extra": [datetime.timedelta(1)] * N}),
    "arrow": pa.table({"age": X[:, 0], "extra": [DAY] * N}),
}


@pytest.mark.parametrize("name", DATES)
def test_dates_are_not_read_as_numbers_of_some_unit(name):
    """Most were, without a word, and NaT was -9.2e18."""
    table = DATES[name]
    column = "X" if isinstance(table, np.ndarray) else "Column 'extra' of X"
    with pytest.raises(TypeError, match=f"{column} holds dates or times .* Convert"):
        fit(table)
    with pytest.raises(TypeError, match=r"holds dates or times"):
        fit(np.ones((N, 1))).predict(table)


NOT_READABLE = {
    "missing in a category of ints": (  # was read as the least integer
        frame_of(pd.Categorical([None, *COUNTS[1:]], range(7))),
        "Column 'extra' of X has 1 missing values. Impute them",
    ),
    "NA among objects": (
        frame_of([pd.NA, *COUNTS[1:]], object),
        "Column 'extra' of X holds <NA>, which is a missing value. Impute it",
    ),
    "NA among text": (
        frame_of([pd.NA, *(str(count) for count in COUNTS[1:])], "string"),
        "Column 'extra' of X holds <NA>, which is a missing value. Impute it",
    ),
    "NA": (frame_of([pd.NA, *COUNTS[1:]], "Int64"), "Input X contains NaN"),
    "null of arrow": (frame_of([None] * N, "double[pyarrow]"), "Input X contains NaN"),
    "null of polars": (pl.DataFrame({"a": [None, *COUNTS[1:]]}), "X contains NaN"),
    "infinity": (np.where(X > 1, np.inf, X), "Input X contains infinity"),
    "sparse infinity": (sparse.csr_array(X * np.inf), "infinity"),
    "a large integer": (
        [[LARGE_INT, 1]] * N,
        "Column 0 of X holds 1000.* which is too large for double precision. Rescale",
    ),
    "text of arrow": (
        pa.table({"age": X[:, 0], "school": NAMES}),
        "Column 'school' of X holds 'school 2', which is not a number",
    ),
}


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("name", NOT_READABLE)
def test_entries_that_are_no_numbers(name):
    table, message = NOT_READABLE[name]
    with pytest.raises(ValueError, match=message):
        fit(table)


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"age": X[:, 0], "extra": [[1.0, 2.0]] * N}),
        pl.DataFrame({"age": X[:, 0], "extra": [{"a": 1.0}] * N}),
        frame_of([[1.0, 2.0]] * N, pd.ArrowDtype(pa.list_(pa.float64()))),
    ],
    ids=["list", "struct", "arrow list"],
)
def test_compound_entries_are_named(table):
    with pytest.raises(ValueError, match="sequence") as caught:
        fit(table)
    (note,) = caught.value.__notes__
    assert "Column 'extra' of X holds" in note


@pytest.mark.parametrize(
    "table, message",
    [
        (FRAME.to_dict("list"), "X is of type dict, which is no table"),
        (iter(X), "X is of type .*iterator, which is no table"),
        ("file.csv", "X is of type str, which is no table"),
        (pl.LazyFrame({"age": X[:, 0]}), r"X is a LazyFrame.* collect\(\)"),
        (FRAME.to_records(), "X is a structured array with the fields"),
    ],
    ids=["dict", "iterator", "path", "lazy", "structured"],
)
def test_what_is_no_table(table, message):
    """These ended in errors and warnings of the libraries underneath."""
    for call in (
        lambda: fit(table),
        lambda: RandomInterceptRegressor(group_feature=0).fit(table, Y),
        lambda: fit().predict(table),
        lambda: cross_val_predict_groups(fit(), table, Y, groups=CODES),
    ):
        with pytest.raises(TypeError, match=message):
            call()


# --- y ------------------------------------------------------------------------

TARGETS = {
    "Series, index reversed": pd.Series(Y, index=np.arange(N)[::-1]),
    "Series, index of zeros": pd.Series(Y, index=np.zeros(N)),
    "objects": Y.astype(object),
    "decimals": [Decimal(repr(value)) for value in Y.tolist()],
    "text of numbers": pd.Series([repr(value) for value in Y.tolist()], dtype="string"),
    "Float64": pd.array(Y, dtype="Float64"),
    "double[pyarrow]": pd.Series(Y, dtype="double[pyarrow]"),
    "category": pd.Categorical(Y),
    "sparse Series": pd.Series(pd.arrays.SparseArray(Y)),
    "polars": pl.Series(Y),
    "arrow": pa.chunked_array([Y[:5], Y[5:]]),
    "big-endian": Y.astype(">f8"),
    "generic index of strings": pd.Series(Y, index=["columns", "dtypes", *NAMES[2:]]),
}
BAD_TARGETS = {
    "None": ([None, *Y[1:]], ValueError, "NaN|missing value"),
    "infinity among objects": ([np.inf, *Y[1:].tolist(), None][:N], ValueError, "inf"),
    "NA": ([pd.NA, *Y[1:]], ValueError, "holds <NA>, which is a missing value"),
    "NA among text": (
        pd.array([None, *Y[1:].astype(str)], dtype="string"),
        ValueError,
        "holds <NA>, which is a missing value|NaN",
    ),
    "null": (pa.array([None, *Y[1:]]), ValueError, "NaN"),
    "NaT": (np.full(N, "NaT", "m8[h]"), TypeError, "holds dates or times"),
    "time differences": (pd.to_timedelta(Y, unit="h"), TypeError, "dates or times"),
    "Duration": (
        pl.Series([datetime.timedelta(1)] * N),
        TypeError,
        "holds dates or times",
    ),
    "dates": (pd.Series([pd.Timestamp(DAY)] * N), TypeError, "holds dates or times"),
    "text": (NAMES, ValueError, "holds 'school 2', which is not a number"),
    "a large integer": ([LARGE_INT] * N, ValueError, "too large for double precision"),
    "Int128": (pl.Series([1] * N, dtype=pl.Int128), TypeError, "Cast them to Int64"),
    "lazy": (pl.LazyFrame({"y": Y}), TypeError, r"is a LazyFrame.* collect\(\)"),
}


def readings_of_target(model, y):
    return {
        "fit": lambda: fit(y=y).coef_,
        "noise of both": lambda: (
            fit(y=y, estimator=HeteroscedasticGaussianRegressor).coef_
        ),
        "density": lambda: model.log_predictive_density(X, y, groups=CODES),
        "score": lambda: model.score(X, y, groups=CODES),
        "scorer": lambda: neg_nll_scorer(model, X, y, groups=CODES),
        "r2_scorer": lambda: r2_scorer(model, X, y, groups=CODES),
        "loss": lambda: gaussian_nll(y, 0.0, 1.0),
        "folds": lambda: cross_val_predict_groups(model, X, y, groups=CODES),
    }


@pytest.mark.parametrize("name", TARGETS)
def test_targets(name):
    model = fit()
    expected = readings_of_target(model, Y)
    for use, reading in readings_of_target(model, TARGETS[name]).items():
        assert_allclose(reading(), expected[use](), rtol=ROUNDING, err_msg=use)


@pytest.mark.parametrize("name", BAD_TARGETS)
def test_targets_that_are_no_numbers(name):
    """None passed the check of fit, and NaT every check, as -9.2e18."""
    y, error, message = BAD_TARGETS[name]
    model = fit()
    uses = readings_of_target(model, y)
    uses["update"] = lambda: model.update_random_intercepts(X, y, groups=CODES)
    uses["picture"] = lambda: PredictiveCalibrationDisplay.from_estimator(
        model, X, y, groups=CODES
    )
    for reading in uses.values():
        with pytest.raises(error, match=message):
            reading()


# --- weights ------------------------------------------------------------------


@pytest.mark.parametrize(
    "weight",
    [
        pd.Series(WEIGHT, index=np.arange(N)[::-1]),
        pd.array(WEIGHT, dtype="Int64"),
        pd.Series(WEIGHT, dtype="double[pyarrow]"),
        pl.Series(WEIGHT),
        [Decimal(str(w)) for w in WEIGHT],
    ],
    ids=["index reversed", "Int64", "arrow", "polars", "decimals"],
)
def test_weights(weight):
    model, plain = fit(sample_weight=weight), fit(sample_weight=WEIGHT)
    assert_allclose(predictions(model), predictions(plain), rtol=ROUNDING)
    options = {"groups": CODES, "sample_weight": WEIGHT}
    expected = plain.score(X, Y, **options)
    assert_allclose(plain.score(X, Y, **options | {"sample_weight": weight}), expected)


@pytest.mark.parametrize(
    "weight, error, message",
    [
        ([pd.NA, *WEIGHT[1:]], ValueError, "<NA>, which is a missing value"),
        (pd.array([None, *WEIGHT[1:]], dtype="Int64"), ValueError, "<NA>|NaN"),
        ([np.inf, *WEIGHT[1:]], ValueError, "infinity"),
        (-WEIGHT, ValueError, "24 negative weights"),
        (0 * WEIGHT, ValueError, "All weights in `sample_weight` are zero"),
        (NAMES, ValueError, "`sample_weight` holds 'school 2', which is not a number"),
        ([LARGE_INT] * N, ValueError, "`sample_weight` holds 1000.* too large"),
        (pd.to_timedelta(WEIGHT, unit="D"), TypeError, "holds dates or times"),
    ],
    ids=["NA", "Int64", "inf", "negative", "zero", "text", "large", "time"],
)
def test_weights_that_are_none(weight, error, message):
    """Scores with weights of zero were a ZeroDivisionError."""
    options = {"groups": CODES, "sample_weight": weight}
    for call in (
        lambda: fit(sample_weight=weight),
        lambda: fit().score(X, Y, **options),
        lambda: r2_scorer(fit(), X, Y, **options),
        lambda: gaussian_nll(Y, 0.0, 1.0, sample_weight=weight),
    ):
        with pytest.raises(error, match=message):
            call()


# --- labels -------------------------------------------------------------------

ROME = ZoneInfo("Europe/Rome")
# Clocks go from 3:00 back to 2:00: an hour apart, with the same face.
TWICE = [datetime.datetime(2020, 10, 25, 2, 30, tzinfo=ROME, fold=f) for f in (0, 1)]
INSTANTS = [d.astimezone(datetime.UTC) for d in TWICE]
NAIVE = [d.replace(tzinfo=None) for d in INSTANTS]


@pytest.mark.parametrize(
    "labels",
    [
        TWICE,
        pd.Series(TWICE, dtype=object),
        pd.Series(INSTANTS).dt.tz_convert("Europe/Rome"),
        pl.Series(NAIVE)
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone("Europe/Rome"),
        pa.array(INSTANTS, pa.timestamp("us", "Europe/Rome")),
    ],
    ids=["list", "objects", "pandas", "polars", "arrow"],
)
def test_instants_where_clocks_are_set_back(labels):
    """To Python they are equal to each other, and unequal to themselves in UTC."""
    assert codes_among(labels, INSTANTS) == [0, 1]
    assert codes_among(INSTANTS, labels) == [0, 1]
    assert index_groups(labels, 2).labels.tolist() == INSTANTS


def test_instants_at_the_end_of_the_calendar():
    east = datetime.timezone(datetime.timedelta(hours=2))
    first = datetime.datetime(1, 1, 1, tzinfo=east)  # before the year 1 in UTC
    assert codes_among([first, *INSTANTS], [first]) == [0, -1, -1]


@pytest.mark.parametrize("dtype", [object, "string", "string[pyarrow]"])
def test_strings_that_differ_after_a_nul(dtype):
    """The hash table of pandas 2.2 ends them there: two labels became one."""
    labels = ["a", "a\0", "a\0b", None]
    assert index_groups(pd.Series(labels, dtype=dtype), 4).codes.tolist() == [
        0,
        1,
        2,
        -1,
    ]


def test_scalars_of_arrow():
    """As iterating over a column gives them; a missing one was a group."""
    column = pa.chunked_array([[5, None], [3, 5]])
    assert codes_among(list(column), [3, 5]) == [1, -1, 0, 1]
    with pytest.raises(ValueError, match="1 of 24 group labels are missing"):
        fit(groups=[pa.scalar(None), *pa.array(CODES[1:])])


NANOSECONDS = np.array([1, 2], dtype="M8[ns]")


@pytest.mark.parametrize(
    "labels",
    [
        pl.Series(NANOSECONDS).dt.replace_time_zone("UTC"),
        pl.Series([1, 2]).cast(pl.Time),
        pa.array([1, 2]).cast(pa.time64("ns")),
    ],
    ids=["polars Datetime", "polars Time", "arrow time"],
)
def test_nanoseconds_that_would_be_lost(labels):
    """Two labels became one."""
    with pytest.raises(ValueError, match="2 group labels are times with fractions"):
        index_groups(labels, 2)
    micro = pl.Series([1000, None, 2000]).cast(pl.Time)
    assert index_groups(micro, 3).codes.tolist() == [0, -1, 1]


def test_integers_of_128_bits():
    labels = pl.Series([2**100, 2**100 + 1, None], dtype=pl.Int128)
    assert codes_among(labels, [2**100 + 1]) == [-1, 0, -1]


def test_columns_of_a_memory_view():
    assert codes_among(memoryview(CODES[:, None]), CODES) == CODES.tolist()


def test_masked_structured_labels():
    pairs = np.ma.zeros(N, dtype=[("school", int), ("room", int)])
    with pytest.raises(ValueError, match="one grouping factor"):
        index_groups(pairs, N)


def test_time_differences_without_a_common_unit():
    months, days = np.array([1], "m8[M]"), np.array([30], "m8[D]")
    with pytest.raises(ValueError, match="no unit in common"):
        codes_among(months, days)


class Size(enum.Enum):
    SMALL, MEDIUM, LARGE, HUGE = range(4)


class Code(enum.IntEnum):
    NONE, ONE = range(2)


ONE, OTHER = "\u00e9", "e\u0301"  # the same letter in two normal forms


@pytest.mark.parametrize(
    "labels, known, expected",
    [
        # A file read twice: integers are floats where one is missing.
        (pd.Series([1, None, 3]), pd.Series([1, 2, 3]), [0, -1, 2]),
        (pd.Series([1, None], dtype="Int64"), pd.Series([1.0, 2.5]), [0, -1]),
        (pd.Series(["1", "x"]), pd.Series([1, "x"], dtype=object), [-1, 1]),
        (["1.0", "1"], ["1"], [-1, 0]),
        (pd.Categorical(["b", "c"], ["c", "b"]), pd.Categorical(list("abc")), [1, 2]),
        (pl.Series(["b"], dtype=pl.Enum(["b", "a"])), pl.Series(["a", "b"]), [1]),
        # A dictionary of arrow may name a value twice, and hold missing ones.
        (
            pa.DictionaryArray.from_arrays([0, 1, 2, None], ["a", "a", None]),
            ["a"],
            [0, 0, -1, -1],
        ),
        ([1, "1", True, 1.0], [1, "1"], [0, 1, 0, 0]),
        ([Code.ONE, Size.LARGE], [1, Size.LARGE], [0, 1]),
        ([ipaddress.ip_address("10.0.0.1")], [ipaddress.ip_address("10.0.0.1")], [0]),
        (["a\0", "a ", " a", "a"], ["a"], [-1, -1, -1, 0]),
        ([b"a\0", b"a"], [b"a"], [-1, 0]),
        ([ONE, OTHER], [ONE], [0, -1]),
        (["x" * 10**5 + "y"], ["x" * 10**5 + "y", "x" * 10**5], [1]),
        ([-0.0, 0.0, 0], [0], [0, 0, 0]),
        (pa.array([-0.0, 0.0]).dictionary_encode(), [0.0], [0, 0]),
        ([0.1 + 0.2], [0.3], [-1]),
        (pd.Series([2**53 + 1, 2.0**53], dtype=object), [2**53], [-1, 0]),
        (pd.Series([2**60 + 1, None], dtype="int64[pyarrow]"), [2**60 + 1], [0, -1]),
        (["nan", float("nan"), "<NA>", pd.NA], ["nan"], [0, -1, -1, -1]),
    ],
)
def test_labels_by_value(labels, known, expected):
    assert codes_among(labels, known) == expected


@pytest.mark.parametrize("later", [[str(code) for code in CODES], pd.Series(NAMES)])
def test_text_in_the_place_of_numbers(later):
    with pytest.raises(ValueError, match=r"kind string.* Convert them to the kind"):
        fit().predict(X, groups=later)


def test_labels_that_cannot_be_sorted_can_be_split():
    """Members of one Enum ended in a TypeError of NumPy, inside the splitter."""
    members = [list(Size)[code] for code in CODES]
    options = {"cv_new": 2, "verbose": 0}
    compared = cross_validate_groups(fit(), X, Y, groups=members, **options)
    by_code = cross_validate_groups(fit(), X, Y, groups=CODES, **options)
    pd.testing.assert_frame_equal(compared.to_frame(), by_code.to_frame())


# --- the column of labels -----------------------------------------------------


def arrow_table():
    return pa.table({"age": X[:, 0], "school": NAMES, "size": X[:, 1]})


COLUMNS = {
    "category": TABLE.astype({"school": "category"}),
    "string": TABLE.convert_dtypes(),
    "all of arrow": TABLE.convert_dtypes(dtype_backend="pyarrow"),
    "index of zeros": TABLE.set_index(np.zeros(N, int)),
    "polars Categorical": pl.DataFrame(
        {"age": X[:, 0], "school": pl.Series(NAMES, dtype=pl.Categorical)}
    ).with_columns(size=X[:, 1]),
    "polars Int128": pl.DataFrame(
        {"school": pl.Series(CODES, dtype=pl.Int128), "age": X[:, 0], "size": X[:, 1]}
    ),
    "arrow": arrow_table(),
    "arrow batch": arrow_table().to_batches()[0],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_column_of_labels(name):
    """pyarrow's tables had no names, and Int128 was an error of polars."""
    model = RandomInterceptRegressor(group_feature="school").fit(COLUMNS[name], Y)
    actual = predictions(model, COLUMNS[name], groups=None)
    assert_allclose(actual, predictions(fit()), rtol=ROUNDING)


def test_column_of_labels_by_index():
    model = RandomInterceptRegressor(group_feature=1).fit(arrow_table(), Y)
    assert_allclose(model.predict(arrow_table()), fit().predict(X, groups=CODES))


def test_large_integers_in_a_list_of_rows():
    """NumPy made floats of them, and one group of two."""
    labels = np.array([2**53, 2**53 + 1, 5, 7])[CODES]
    rows = [[*x, int(label)] for x, label in zip(X.tolist(), labels, strict=True)]
    model = RandomInterceptRegressor(group_feature=2).fit(rows, Y)
    assert model.groups_.tolist() == [5, 7, 2**53, 2**53 + 1]


def test_a_name_of_two_columns():
    """The first of them was taken, or scikit-learn complained."""
    table = pd.DataFrame(np.column_stack([X, CODES]), columns=["age", "id", "id"])
    with pytest.raises(ValueError, match=r"'id' names 2 columns|unique column names"):
        RandomInterceptRegressor(group_feature="id").fit(table, Y)


@pytest.mark.parametrize("output", ["pandas", "polars"])
@pytest.mark.parametrize("name", ["category", "polars Categorical"])
def test_categories_through_a_column_transformer(output, name):
    scale = ColumnTransformer(
        [("scale", StandardScaler(), ["age", "size"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform=output)
    model = RandomInterceptRegressor(group_feature="school")
    pipe = make_pipeline(scale, model).fit(COLUMNS[name], Y)
    expected = fit().predict(X, groups=CODES)
    assert_allclose(pipe.predict(COLUMNS[name]), expected, rtol=1e-10)  # scaled columns


@pytest.mark.parametrize(
    "table, message",
    [
        (TABLE[["size", "age", "school"]], "must be in the same order"),
        (TABLE[["age", "school"]], "yet now missing:\n- size"),
        (TABLE[["age", "size"]], "yet now missing:\n- school"),
        (TABLE.assign(school=CODES), "can never match"),
        (TABLE.astype({"age": object}).replace({"age": X[0, 0]}, pd.NA), "missing"),
    ],
    ids=["reordered", "no feature", "no labels", "other labels", "missing"],
)
def test_other_tables_after_fit(table, message):
    model = RandomInterceptRegressor(group_feature="school").fit(TABLE, Y)
    with pytest.raises(ValueError, match=message):
        model.predict(table)


@pytest.mark.parametrize("name", ["category", "string", "all of arrow"])
def test_frames_are_only_read(name):
    table = COLUMNS[name].copy(deep=True)
    model = RandomInterceptRegressor(group_feature="school").fit(table, Y)
    model.predict(table)
    pd.testing.assert_frame_equal(table, COLUMNS[name])
