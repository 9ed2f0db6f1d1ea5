"""Group labels: every kind and every container gives the groups it names."""

import array
import datetime
import enum
import importlib.util
import tracemalloc
import uuid
from collections import Counter, UserDict, UserList, deque
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse

from skmixed import (
    GroupsWarning,
    LinearMixedRegressor,
    PopulationPredictionWarning,
    RandomInterceptRegressor,
)
from skmixed._input.label_table import index_columns, known_labels, open_table
from skmixed._input.labels import TABLE_ENTRIES_PER_ROW, index_groups
from skmixed._input.scalars import kinds_of

HAS_ARROW = importlib.util.find_spec("pyarrow") is not None
HAS_STRING_DTYPE = hasattr(np.dtypes, "StringDType")

# Group of each row: unbalanced, and not in order of first appearance.
CODES = np.array([int(code) for code in "203312031123013220313302"])
N = len(CODES)
N_GROUPS = 4

_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, 2))
Y = X @ [1.0, -2.0] + 3.0 * _rng.normal(size=N_GROUPS)[CODES] + _rng.normal(size=N)

EXACT = {"rtol": 0, "atol": 0}  # the same codes give the same operations
REORDERED = 1e-12  # relative: the same sums in another order
MISSING_ROWS = [0, 7]
IS_MISSING = np.isin(np.arange(N), MISSING_ROWS)

UTC = datetime.UTC
EAST = datetime.timezone(datetime.timedelta(hours=2))


def rows_of(labels):
    """The labels, given in sorted order, in the order of the rows."""
    return [labels[code] for code in CODES]


def object_array(values):
    values = list(values)
    result = np.empty(len(values), dtype=object)
    result[:] = values
    return result


def read_only(values):
    result = np.array(values)
    result.flags.writeable = False
    return result


# --- every container of a family holds the same labels ------------------------

INTS = rows_of([3, 5, 8, 100])
STRINGS = rows_of(["", "a", "nan", "é"])
BOOLS = [code > 1 for code in CODES]
DATES = rows_of([datetime.date(2000 + code, 2, 3) for code in range(N_GROUPS)])
MIDNIGHTS = [datetime.datetime(d.year, d.month, d.day) for d in DATES]
STAMPS = [pd.Timestamp(d) for d in MIDNIGHTS]
AWARE = [d.replace(tzinfo=UTC) for d in MIDNIGHTS]
SPANS = rows_of([datetime.timedelta(hours=code) for code in range(N_GROUPS)])

SHUFFLED = np.random.default_rng(1).permutation(N)

NUMBERS = {
    "list": INTS,
    "tuple": tuple(INTS),
    "deque": deque(INTS),
    "UserList": UserList(INTS),
    "array.array": array.array("q", INTS),
    "memoryview": memoryview(array.array("q", INTS)),
    "list of floats": [float(v) for v in INTS],
    "list of NumPy scalars": [np.int16(v) for v in INTS],
    "list of mixed numbers": [(int, float, np.uint8, Decimal)[v % 4](v) for v in INTS],
    "list of fractions": [Fraction(v) for v in INTS],
    "list of one-element lists": [[v] for v in INTS],
    "list of one-element arrays": [np.array([v]) for v in INTS],
    **{
        np.dtype(dtype).name: np.array(INTS, dtype=dtype)
        for dtype in [
            *(np.int8, np.int16, np.int32, np.int64),
            *(np.uint8, np.uint16, np.uint32, np.uint64),
            *(np.float16, np.float32, np.float64),
        ]
    },
    "big-endian int": np.array(INTS, dtype=">i4"),
    "big-endian float": np.array(INTS, dtype=">f8"),
    "object": object_array(INTS),
    "read-only": read_only(INTS),
    "strided": np.repeat(INTS, 3)[::3],
    "(n, 1) array": np.array(INTS)[:, None],
    "(n, 1) object array": object_array(INTS)[:, None],
    "(n, 1) matrix": np.array(INTS)[:, None].view(np.matrix),
    "masked array": np.ma.masked_array(INTS, mask=False),
    "Series": pd.Series(INTS),
    "Series of objects": pd.Series(INTS, dtype=object),
    "Series, duplicated index": pd.Series(INTS, index=np.zeros(N, dtype=int)),
    "Series, shuffled index": pd.Series(INTS, index=SHUFFLED),
    "Series, index of strings": pd.Series(INTS, index=STRINGS),
    "Int64": pd.Series(INTS, dtype="Int64"),
    "UInt8": pd.Series(INTS, dtype="UInt8"),
    "Float64": pd.Series(INTS, dtype="Float64"),
    "Int64 array": pd.array(INTS, dtype="Int64"),
    "sparse Series": pd.Series(pd.arrays.SparseArray(INTS, fill_value=3)),
    "category": pd.Series(INTS, index=SHUFFLED, dtype="category"),
    "category, unused": pd.Series(pd.Categorical(INTS, [9, 100, 8, 5, 3, -1])),
    "category, ordered": pd.Categorical(INTS, [100, 8, 5, 3], ordered=True),
    "category of floats": pd.CategoricalIndex([float(v) for v in INTS]),
    "Index": pd.Index(INTS),
    "frame": pd.DataFrame({"school": INTS}, index=SHUFFLED),
    "polars": pl.Series(INTS),
    "polars UInt8": pl.Series(INTS, dtype=pl.UInt8),
    "polars Float32": pl.Series(INTS, dtype=pl.Float32),
    "polars Decimal": pl.Series([Decimal(v) for v in INTS]),
    "polars frame": pl.DataFrame({"school": INTS}),
}
TEXTS = {
    "list": STRINGS,
    "tuple": tuple(STRINGS),
    "list of NumPy scalars": [np.str_(v) for v in STRINGS],
    "U": np.array(STRINGS),
    "(n, 1) U": np.array(STRINGS)[:, None],
    "object": object_array(STRINGS),
    "masked array": np.ma.masked_array(STRINGS, mask=False),
    "Series": pd.Series(STRINGS, index=SHUFFLED),
    "Series of objects": pd.Series(STRINGS, dtype=object),
    "string": pd.Series(STRINGS, dtype="string"),
    "string array": pd.array(STRINGS, dtype="string"),
    "category": pd.Series(STRINGS, dtype="category"),
    "category, unused": pd.Categorical(STRINGS, ["é", "z", "nan", "", "a"]),
    "Index": pd.Index(STRINGS),
    "frame": pd.DataFrame({"school": STRINGS}),
    "frame of a category": pd.DataFrame({"school": pd.Categorical(STRINGS)}),
    "polars": pl.Series(STRINGS),
    "polars Categorical": pl.Series(STRINGS, dtype=pl.Categorical),
    "polars Enum": pl.Series(STRINGS, dtype=pl.Enum(["é", "z", "nan", "", "a"])),
    "polars frame": pl.DataFrame({"school": STRINGS}),
}
TRUTHS = {
    "list": BOOLS,
    "list of ints": [int(v) for v in BOOLS],
    "list of NumPy scalars": [np.bool_(v) for v in BOOLS],
    "bool": np.array(BOOLS),
    "uint8": np.array(BOOLS, dtype=np.uint8),
    "float64": np.array(BOOLS, dtype=float),
    "object": object_array(BOOLS),
    "Series": pd.Series(BOOLS),
    "boolean": pd.Series(BOOLS, dtype="boolean"),
    "category": pd.Categorical(BOOLS),
    "polars": pl.Series(BOOLS),
}
DATETIMES = {
    "dates": DATES,
    "datetimes": MIDNIGHTS,
    "Timestamps": STAMPS,
    "dates, datetimes, Timestamps": [
        (DATES, MIDNIGHTS, STAMPS)[i % 3][i] for i in range(N)
    ],
    "NumPy scalars of many units": [
        np.datetime64(d, ("D", "s", "ns")[i % 3]) for i, d in enumerate(DATES)
    ],
    **{
        f"datetime64[{unit}]": np.array(DATES, dtype=f"M8[{unit}]")
        for unit in ("D", "h", "s", "ms", "us", "ns")
    },
    "object": object_array(DATES),
    "Series": pd.Series(STAMPS, index=SHUFFLED),
    "Series in ns": pd.Series(np.array(DATES, dtype="M8[ns]")),
    "Series of dates": pd.Series(DATES),
    "category": pd.Series(STAMPS, dtype="category"),
    "DatetimeIndex": pd.DatetimeIndex(DATES),
    "polars Date": pl.Series(DATES),
    "polars Datetime": pl.Series(MIDNIGHTS),
    "polars Datetime in ns": pl.Series(MIDNIGHTS, dtype=pl.Datetime("ns")),
}
INSTANTS = {
    "datetimes": AWARE,
    "other zone": [d.astimezone(EAST) for d in AWARE],
    "Timestamps": [pd.Timestamp(d) for d in AWARE],
    "Series": pd.Series(AWARE, dtype="datetime64[us, UTC]"),
    "Series, other zone": pd.Series(AWARE, dtype="datetime64[ns, UTC]").dt.tz_convert(
        "Europe/Rome"
    ),
    "category": pd.Series(AWARE, dtype="datetime64[us, UTC]").astype("category"),
    "polars": pl.Series(MIDNIGHTS).dt.replace_time_zone("UTC"),
    "polars, other zone": pl.Series(MIDNIGHTS)
    .dt.replace_time_zone("UTC")
    .dt.convert_time_zone("Europe/Rome"),
}
TIMEDELTAS = {
    "list": SPANS,
    "pandas scalars": [pd.Timedelta(v) for v in SPANS],
    "NumPy scalars of two units": [
        np.timedelta64(v, ("h", "s")[i % 2]) for i, v in enumerate(SPANS)
    ],
    "timedelta64[h]": np.array(SPANS, dtype="m8[h]"),
    "timedelta64[ns]": np.array(SPANS, dtype="m8[ns]"),
    "Series": pd.Series(SPANS),
    "polars": pl.Series(SPANS),
}
if HAS_STRING_DTYPE:
    TEXTS["StringDType"] = np.array(STRINGS, dtype=np.dtypes.StringDType())
if HAS_ARROW:
    import pyarrow as pa

    NUMBERS |= {
        "arrow": pa.array(INTS),
        "arrow chunks": pa.chunked_array([INTS[:5], INTS[5:]]),
        "arrow dictionary": pa.array(INTS).dictionary_encode(),
        "int64[pyarrow]": pd.Series(INTS, dtype="int64[pyarrow]"),
        "double[pyarrow]": pd.Series(INTS, dtype="double[pyarrow]"),
    }
    TEXTS |= {
        "arrow": pa.array(STRINGS),
        "arrow chunks": pa.chunked_array([STRINGS[:5], STRINGS[5:]]),
        "arrow dictionary": pa.array(STRINGS).dictionary_encode(),
        "string[pyarrow]": pd.Series(STRINGS, dtype="string[pyarrow]"),
    }
    TRUTHS |= {"bool[pyarrow]": pd.Series(BOOLS, dtype="bool[pyarrow]")}
    DATETIMES |= {
        "arrow date": pa.array(DATES),
        "arrow timestamp": pa.array(MIDNIGHTS),
        "timestamp[ns][pyarrow]": pd.Series(STAMPS, dtype="timestamp[ns][pyarrow]"),
    }
    INSTANTS |= {"arrow": pa.array(AWARE)}


class Colour(enum.Enum):
    """Members that can be told apart but not sorted."""

    RED, GREEN, BLUE, GREY = range(N_GROUPS)


# Kinds that few users have: one container of each.
OTHERS = {
    "bytes": rows_of([b"", b"a", b"b", b"nan"]),
    "S": np.array(rows_of([b"a", b"b", b"c", b"nan"])),
    "times": rows_of([datetime.time(code) for code in range(N_GROUPS)]),
    "periods": pd.Series(rows_of(list(pd.period_range("2020", periods=4, freq="M")))),
    "intervals": pd.cut(CODES, [-1, 0, 1, 2, 3]),
    "UUIDs": rows_of([uuid.UUID(int=code) for code in range(N_GROUPS)]),
    "decimals": rows_of([Decimal("0.1"), Decimal("0.2"), Decimal("0.3"), Decimal(1)]),
    "infinite": np.array(rows_of([-np.inf, -0.5, 0.25, np.inf])),
    "longdouble": np.array(rows_of([0.1, 0.2, 0.3, 1]), dtype=np.longdouble),
    "beyond 64 bits": rows_of([-(2**70), 0, 2**63, 2**64]),
}

FAMILIES = {
    "numbers": NUMBERS,
    "texts": TEXTS,
    "truths": TRUTHS,
    "datetimes": DATETIMES,
    "instants": INSTANTS,
    "timedeltas": TIMEDELTAS,
}
in_every_container = pytest.mark.parametrize(
    "family, name",
    [(family, name) for family in FAMILIES for name in FAMILIES[family]],
    ids=lambda part: part,
)


def codes_of(family):
    return CODES > 1 if family == "truths" else CODES


def codes_among(groups, known):
    """Codes of the rows in `groups` among the labels of `known`, as in `predict`."""
    index, known = (index_groups(column, len(column)) for column in (groups, known))
    return np.append(index.positions_in(known.labels), -1)[index.codes]


def assert_same(actual, desired):
    np.testing.assert_allclose(actual, desired, **EXACT)


@in_every_container
def test_codes_are_those_of_integer_labels(family, name):
    index = index_groups(FAMILIES[family][name], N)

    assert_array_equal(index.codes, codes_of(family))
    assert index.codes.dtype == np.int32
    assert len(index) == len(index.labels) == codes_of(family).max() + 1


@in_every_container
def test_labels_match_those_of_every_other_container(family, name):
    for other, known in FAMILIES[family].items():
        codes = codes_among(FAMILIES[family][name], known)
        assert_array_equal(codes, codes_of(family), err_msg=f"fitted on {other}")


@in_every_container
def test_fit_and_predict(family, name):
    groups, codes = FAMILIES[family][name], codes_of(family)
    reference = RandomInterceptRegressor().fit(X, Y, groups=codes)
    expected = reference.predict(X, groups=codes)

    model = RandomInterceptRegressor().fit(X, Y, groups=groups)
    assert_same(model.random_intercepts_, reference.random_intercepts_)
    assert_same(model.predict(X, groups=groups), expected)

    first = next(iter(FAMILIES[family].values()))
    model = RandomInterceptRegressor().fit(X, Y, groups=first)
    assert_same(model.predict(X, groups=groups), expected)


def table_with(values):
    """A table of two label columns, of which the labels are the second; None if they
    are no column of a table of their own kind.
    """
    if isinstance(values, pl.Series):
        return pl.DataFrame({"batch": INTS, "school": values})
    if HAS_ARROW and isinstance(values, pa.Array | pa.ChunkedArray):
        return pa.table({"batch": INTS, "school": values})
    if isinstance(values, memoryview) or np.ndim(values) != 1:
        return None
    if isinstance(values, pd.Series):
        values = values.array
    return pd.DataFrame({"batch": INTS}).assign(school=values)


@in_every_container
def test_a_column_of_a_table_is_as_it_is_alone(family, name):
    """The factors of a table are known and new one by one, also in combinations."""
    table = table_with(FAMILIES[family][name])
    if table is None:
        return
    school = codes_of(family)
    read = index_columns(open_table(table, N), (1, 0), N)
    assert_array_equal(read.columns[0].codes, school)
    assert_array_equal(read.columns[1].codes, CODES)
    first = pd.DataFrame(
        {"batch": INTS, "school": list(next(iter(FAMILIES[family].values())))}
    )
    first = index_columns(open_table(first, N), (1, 0), N)
    labels, _ = known_labels(first, ((0,), (0, 1)))
    later = open_table(table, N)
    later = index_columns(later, labels.positions_in(later), N)
    of_school, of_both = labels.locate(later)
    assert_array_equal(of_school[0], school)
    assert_array_equal(of_both[0], CODES)


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds_in_a_table(name):
    """Any kind beside any other: codes of both factors, and of their combinations."""
    for family, containers in FAMILIES.items():
        columns = {"a": list(OTHERS[name]), "b": list(next(iter(containers.values())))}
        table = open_table(pd.DataFrame(columns, dtype=object), N)
        table = index_columns(table, (0, 1), N)
        labels, codes = known_labels(table, ((0,), (1,), (0, 1)))
        assert_array_equal(codes[0], CODES)
        assert_array_equal(codes[1], codes_of(family))
        assert_array_equal(codes[2], CODES)
        for (found, _), expected in zip(labels.locate(table), codes, strict=True):
            assert_array_equal(found, expected)


@pytest.mark.parametrize("name", OTHERS)
def test_other_kinds(name):
    index = index_groups(OTHERS[name], N)
    assert_array_equal(index.codes, CODES)
    assert_array_equal(codes_among(OTHERS[name], OTHERS[name]), CODES)
    assert codes_among(list(OTHERS[name])[:1], OTHERS[name]) == CODES[:1]


def test_rows_are_matched_by_position_not_by_index():
    """The index of a Series would send every label to another row."""
    series = pd.Series(INTS, index=np.arange(N)[::-1])
    frame = pd.DataFrame(X, index=np.arange(N))
    model = RandomInterceptRegressor().fit(frame, Y, groups=series)
    reference = RandomInterceptRegressor().fit(X, Y, groups=CODES)
    assert_same(model.random_intercepts_, reference.random_intercepts_)


@pytest.mark.parametrize(
    "container",
    [
        lambda rows: [[*x, label] for x, label in zip(X.tolist(), rows, strict=True)],
        lambda rows: np.column_stack([object_array(rows)[:, None], X])[:, [1, 2, 0]],
        lambda rows: pd.DataFrame(X, columns=["a", "b"]).assign(school=rows),
        lambda rows: pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "school": rows}),
    ],
    ids=["list", "object array", "pandas", "polars"],
)
@pytest.mark.parametrize(
    "rows", [INTS, STRINGS, DATES, BOOLS], ids=["ints", "strings", "dates", "bools"]
)
def test_label_column_of_x(container, rows):
    """The second door takes what the first takes."""
    columns = container(rows)
    codes = CODES > 1 if rows is BOOLS else CODES
    model = RandomInterceptRegressor(group_feature=2).fit(columns, Y)
    reference = RandomInterceptRegressor().fit(X, Y, groups=codes)
    assert_same(model.predict(columns), reference.predict(X, groups=codes))
    assert model.groups_.tolist() == sorted(set(rows))


@pytest.mark.parametrize(
    "container",
    [
        lambda rows: [[row] for row in rows],
        lambda rows: object_array(rows)[:, None],
        lambda rows: pd.DataFrame({"school": rows}),
        lambda rows: pl.DataFrame({"school": rows}),
    ],
    ids=["list", "object array", "pandas", "polars"],
)
def test_label_column_alone(container):
    model = RandomInterceptRegressor(group_feature=0).fit(container(STRINGS), Y)
    reference = RandomInterceptRegressor().fit(X[:, :0], Y, groups=CODES)
    predicted = model.predict(container(STRINGS))
    assert_same(predicted, reference.predict(X[:, :0], groups=CODES))


# --- groups_ ------------------------------------------------------------------


@pytest.mark.parametrize(
    "groups, expected, dtype",
    [
        ([9, 1, 9, 5], [1, 5, 9], int),
        ([9, 1, 9, 0.5], [0.5, 1, 9], np.float64),
        ([True, False, True, 2], [0, 1, 2], int),
        ([True, False, True, True], [False, True], bool),
        (np.array([9, 1, 9, 5], dtype=np.uint8), [1, 5, 9], np.uint8),
        (np.array([9, 1, 9, 5], dtype=np.float32), [1, 5, 9], np.float32),
        (["b", "", "b", "a"], ["", "a", "b"], object),
        (np.array(["b", "", "b", "a"]), ["", "a", "b"], object),
        (pd.Categorical(list("baba"), list("cba"), ordered=True), ["a", "b"], object),
        (pd.Categorical([2, 1, 2, 1], [3, 2, 1]), [1, 2], int),
        ([Decimal(2), 1, 2, 1], [1, 2], object),
        ([2**64, 1, 2**64, 0], [0, 1, 2**64], object),
        ([2**60 + 1, 0.5, 2**60, 0.5], [0.5, 2**60, 2**60 + 1], object),
        ([np.int64(2**60 + 1), 0.5, 2**60, 0.5], [0.5, 2**60, 2**60 + 1], object),
        (DATES, sorted(set(DATES)), "M8[D]"),
        (np.array(DATES, dtype="M8[s]"), sorted(set(MIDNIGHTS)), "M8[s]"),
        (AWARE, sorted(set(AWARE)), object),
        # Without an order among them: by first appearance.
        ([1, "a", 1, 0], [1, "a", 0], object),
        (["b", 1, "a", 1], ["b", 1, "a"], object),
        ([AWARE[0], MIDNIGHTS[1], AWARE[0], 1], [AWARE[0], MIDNIGHTS[1], 1], object),
        (
            [pd.Period("2021", "Y"), pd.Period("2020-01", "M")] * 2,
            [pd.Period("2021", "Y"), pd.Period("2020-01", "M")],
            object,
        ),
        (
            [Colour.GREEN, Colour.RED, Colour.GREEN, Colour.RED],
            [Colour.GREEN, Colour.RED],
            object,
        ),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else f"{value[:2]}",
)
def test_groups_attribute(groups, expected, dtype):
    n = len(groups)
    model = RandomInterceptRegressor().fit(X[:n, :1], Y[:n], groups=groups)
    assert model.groups_.tolist() == expected
    assert model.groups_.dtype == dtype
    assert_array_equal(
        index_groups(groups, n).codes, [expected.index(label) for label in groups]
    )


def test_intercepts_follow_groups():
    """Labels whose order differs from that of the codes."""
    labels = ["d", "c", "b", "a"]
    model = RandomInterceptRegressor().fit(X, Y, groups=rows_of(labels))
    reference = RandomInterceptRegressor().fit(X, Y, groups=CODES)
    assert model.groups_.tolist() == labels[::-1]
    np.testing.assert_allclose(
        model.random_intercepts_[::-1], reference.random_intercepts_, rtol=REORDERED
    )


# --- matching by value --------------------------------------------------------

BIG = 2**60


@pytest.mark.parametrize(
    "groups",
    [
        [BIG, BIG + 1, None],
        np.array([BIG, BIG + 1]),
        np.array([BIG, BIG + 1], dtype=np.uint64),
        object_array([BIG, BIG + 1, None]),
        np.ma.masked_array([BIG, BIG + 1, 0], mask=[0, 0, 1]),
        pd.array([BIG, BIG + 1, None], dtype="Int64"),
        pd.Series([BIG, BIG + 1, None], dtype="UInt64"),
        pd.Categorical([BIG, BIG + 1, None]),
        pl.Series([BIG, BIG + 1, None]),
        pl.Series([BIG, BIG + 1, None], dtype=pl.UInt64),
        *([pa.array([BIG, BIG + 1, None])] if HAS_ARROW else []),
    ],
    ids=lambda groups: f"{type(groups).__name__} {getattr(groups, 'dtype', '')}",
)
def test_large_integers_are_not_rounded(groups):
    expected = [0, 1, -1][: len(groups)]
    assert_array_equal(index_groups(groups, len(groups)).codes, expected)
    assert_array_equal(codes_among(groups, [BIG, BIG + 1]), expected)
    only_first = [0, -1, -1][: len(groups)]
    assert_array_equal(codes_among(groups, [float(BIG)]), only_first)


@pytest.mark.parametrize("scalar", [pd.Timestamp, pd.Timedelta])
def test_nanoseconds_are_not_rounded(scalar):
    groups = [scalar(BIG), scalar(BIG + 1)]
    assert_array_equal(index_groups(groups, 2).codes, [0, 1])
    assert_array_equal(codes_among(groups, pd.Series(groups[1:])), [-1, 0])


@pytest.mark.parametrize(
    "groups, known, expected",
    [
        (np.array([BIG + 1]), np.array([float(BIG)]), [-1]),
        (np.array([float(BIG)]), np.array([BIG + 1]), [-1]),
        (np.array([float(BIG)]), np.array([BIG]), [0]),
        ([float(BIG)], np.array([BIG + 1]), [-1]),
        (np.array([2**63 + 1], dtype=np.uint64), np.array([2.0**63]), [-1]),
        (np.array([2**63], dtype=np.uint64), np.array([2.0**63]), [0]),
        (np.array([2**63], dtype=np.uint64), [2**63 + 1, 2**63], [0]),
        (np.array([2**64 - 1], dtype=np.uint64), np.array([-1]), [-1]),
        (np.array([2**63], dtype=np.uint64), np.array([-(2**63)]), [-1]),
        (np.array([3], dtype=np.uint64), np.array([3], dtype=np.int8), [0]),
        (np.array([0.5], dtype=np.float32), np.array([0.5]), [0]),
        (np.array([-0.0, 0.5]), [0], [0, -1]),
        ([True, False], [0.0, 1.0], [1, 0]),
        ([1.5], [Fraction(3, 2)], [0]),
        ([2**70], [2.0**70], [0]),
        (["1"], ["1.0"], [-1]),
        (["a "], ["a"], [-1]),
        # In ns, the year 9999 overflows to 1815.
        (
            [datetime.date(9999, 1, 2)],
            np.array(["1815-04-01T05:56:08.066277376"], dtype="M8[ns]"),
            [-1],
        ),
        (
            np.array(["1815-04-01T05:56:08.066277376", "2000-01-01"], dtype="M8[ns]"),
            [datetime.date(9999, 1, 2), datetime.date(2000, 1, 1)],
            [-1, 0],
        ),
        (np.array(["2000-01"], dtype="M8[M]"), [datetime.date(2000, 1, 1)], [0]),
        (np.array(["2000-01-01T12"], dtype="M8[h]"), [datetime.date(2000, 1, 1)], [-1]),
    ],
)
def test_matching_by_value(groups, known, expected):
    assert_array_equal(codes_among(groups, known), expected)


ONLY_TEXT_USED = pd.Categorical(["a", "b"], ["a", "b", 7])


@pytest.mark.parametrize(
    "groups, known",
    [
        (["1"], [1]),
        ([1], ["1"]),
        ([True], ["True"]),
        ([b"a"], ["a"]),
        (["2020-01-01"], DATES),
        ([20200101], DATES),
        (DATES, AWARE),
        (AWARE, MIDNIGHTS),
        (INSTANTS["polars"], DATETIMES["polars Datetime"]),
        (SPANS, [3600]),
        ([0], SPANS),
        ([np.timedelta64(0, "s")], [0]),
        ([uuid.UUID(int=1)], [1]),
        (pd.period_range("2020", periods=2, freq="M"), DATES),
        ([datetime.time(1)], SPANS),
        ([7], ONLY_TEXT_USED),
        (ONLY_TEXT_USED, [7]),
        (["a", None], [1]),
        ([1, "2"], [1, 2]),
        ([2, "new"], [1, 2]),
        ([1, "1", True, 1.0, b"1"], [1, "1"]),
        ([DATES[0], AWARE[0]], DATES),
    ],
    ids=lambda side: f"{side[0]!s:.20}",
)
def test_kinds_that_can_never_match(groups, known):
    """Alone or beside labels that do match."""
    with pytest.raises(ValueError, match="can never match"):
        codes_among(groups, known)


@pytest.mark.parametrize(
    "known, remedy",
    [
        ([1, 2], "a number that was not in the data"),
        (DATES, "a datetime that was not in the data"),
        ([1, "a"], "a label that was not in the data"),
    ],
    ids=["number", "datetime", "both"],
)
def test_labels_for_new_groups_are_named(known, remedy):
    with pytest.raises(ValueError, match=f"for a new group pass None or {remedy}"):
        codes_among([b"fake"], known)


THIRDS = np.arange(1.0, 4.0) / 3


@pytest.mark.parametrize("precision", [np.float16, np.float32])
@pytest.mark.parametrize(
    "kind", [np.asarray, list, pd.Series, pl.Series], ids=lambda kind: kind.__name__
)
def test_fractions_of_another_precision_are_refused(precision, kind):
    """They were new groups, silently."""
    rounded = THIRDS.astype(precision)
    if kind is pl.Series and precision is np.float16:
        pytest.skip("polars' half precision is unstable")
    for groups, known in ((THIRDS, kind(rounded)), (kind(rounded), THIRDS)):
        with pytest.raises(ValueError, match="when rounded to float"):
            codes_among(groups, known)
    assert_array_equal(codes_among(kind(rounded), kind(rounded)), [0, 1, 2])
    assert_array_equal(codes_among(kind(rounded[2:]), THIRDS), [2])
    assert_array_equal(codes_among(kind(rounded), THIRDS + 7), [-1, -1, -1])


def test_a_batch_of_another_precision_is_refused():
    groups = np.tile(THIRDS, 4)
    X, y = np.arange(12.0)[:, None] % 5, np.arange(12.0) % 7
    model = RandomInterceptRegressor().fit(X, y, groups=groups.astype(np.float32))
    with pytest.raises(ValueError, match="when rounded to float32"):
        model.partial_fit(X, y, groups=groups)


def test_long_labels_of_numpy_need_their_memory_once():
    """Hashing and comparing them took three times the array that holds them."""
    labels = np.array([f"{i:04d}" * 5000 for i in range(200)])
    tracemalloc.start()
    try:
        index = index_groups(labels, 200)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(index) == 200
    assert peak < labels.nbytes / 2  # a Python string has one byte for each of these


@pytest.mark.parametrize(
    "groups",
    [
        [None, None],
        [np.nan, np.nan],
        pd.Categorical([None, None], ["a", "b"]),
        pl.Series([None, None]),
        np.ma.masked_array(["a", "b"], mask=True),
    ],
    ids=["None", "NaN", "category", "polars", "masked"],
)
def test_labels_that_are_all_missing_have_no_kind(groups):
    for known in (["a", "b"], [1, 2], DATES):
        assert_array_equal(codes_among(groups, known), [-1, -1])


@pytest.mark.parametrize(
    "groups, kinds",
    [
        (INTS, ["number"]),
        ([1, "a", None], ["number", "string"]),
        ([np.timedelta64(1, "s"), 2], ["number", "timedelta"]),
        (DATES, ["datetime"]),
        ([*AWARE[:1], *MIDNIGHTS[:1]], ["datetime", "datetime with time zone"]),
        ([Colour.RED], ["Colour"]),
        ([np.bytes_(b"a"), b"b"], ["bytes"]),
    ],
    ids=lambda value: str(value)[:20],
)
def test_kinds(groups, kinds):
    assert sorted(kinds_of(index_groups(groups, len(groups)).labels)) == kinds


# --- missing labels -----------------------------------------------------------


def with_missing(rows, missing):
    return [missing if IS_MISSING[i] else row for i, row in enumerate(rows)]


MISSING = {
    "None": with_missing(INTS, None),
    "None among strings": with_missing(STRINGS, None),
    "NaN": with_missing(INTS, np.nan),
    "NaN among strings": with_missing(STRINGS, np.nan),
    "NaN in a deque": deque(with_missing(STRINGS, np.nan)),
    "decimal NaN": with_missing(INTS, Decimal("NaN")),
    "pandas.NA": with_missing(STRINGS, pd.NA),
    "NaT": with_missing(STAMPS, pd.NaT),
    "NumPy NaT": with_missing(DATES, np.datetime64("NaT")),
    "masked": with_missing(STRINGS, np.ma.masked),
    "several": [
        (None, np.nan, pd.NA, pd.NaT)[i % 4] if IS_MISSING[i] else label
        for i, label in enumerate(STRINGS)
    ],
    "list of a masked array": list(np.ma.masked_array(INTS, mask=IS_MISSING)),
    "object array": object_array(with_missing(STRINGS, None)),
    "masked in an object array": object_array(with_missing(STRINGS, np.ma.masked)),
    "float array": np.array(with_missing(INTS, np.nan)),
    "float32 column": np.array(with_missing(INTS, np.nan), dtype="f4")[:, None],
    "datetime64": np.array(with_missing(DATES, "NaT"), dtype="M8[s]"),
    "timedelta64": np.array(with_missing(SPANS, "NaT"), dtype="m8[s]"),
    "masked ints": np.ma.masked_array(INTS, mask=IS_MISSING),
    "masked floats and NaN": np.ma.masked_array(
        with_missing(INTS, np.nan), mask=np.arange(N) == MISSING_ROWS[0]
    ),
    "masked strings": np.ma.masked_array(STRINGS, mask=IS_MISSING),
    "masked column": np.ma.masked_array(INTS, mask=IS_MISSING)[:, None],
    "Series of floats": pd.Series(with_missing(INTS, None), index=SHUFFLED),
    "Series of strings": pd.Series(with_missing(STRINGS, None)),
    "Series of datetimes": pd.Series(with_missing(STAMPS, None)),
    "Series of instants": pd.Series(with_missing(AWARE, None)),
    "Int64": pd.Series(with_missing(INTS, None), dtype="Int64"),
    "Float64": pd.Series(with_missing(INTS, None), dtype="Float64"),
    "string": pd.Series(with_missing(STRINGS, None), dtype="string"),
    "category": pd.Series(with_missing(STRINGS, None), dtype="category"),
    "category of ints": pd.Categorical(with_missing(INTS, None), [9, 100, 8, 5, 3]),
    "Index": pd.Index(with_missing(STRINGS, None)),
    "frame": pd.DataFrame({"school": with_missing(STRINGS, None)}),
    "polars ints": pl.Series(with_missing(INTS, None)),
    "polars NaN": pl.Series([float(v) for v in with_missing(INTS, np.nan)]),
    "polars strings": pl.Series(with_missing(STRINGS, None)),
    "polars Categorical": pl.Series(with_missing(STRINGS, None), dtype=pl.Categorical),
    "polars Enum": pl.Series(
        with_missing(STRINGS, None), dtype=pl.Enum(sorted(set(STRINGS)))
    ),
    "polars Date": pl.Series(with_missing(DATES, None)),
    "polars instants": pl.Series(with_missing(MIDNIGHTS, None)).dt.replace_time_zone(
        "UTC"
    ),
}
if HAS_STRING_DTYPE:
    MISSING["StringDType"] = np.array(
        with_missing(STRINGS, None), dtype=np.dtypes.StringDType(na_object=None)
    )
if HAS_ARROW:
    MISSING |= {
        "arrow ints": pa.array(with_missing(INTS, None)),
        "arrow strings": pa.array(with_missing(STRINGS, None)),
        "arrow dictionary": pa.chunked_array(
            [pa.array(with_missing(STRINGS, None)).dictionary_encode()]
        ),
        "int64[pyarrow]": pd.Series(with_missing(INTS, None), dtype="int64[pyarrow]"),
        "string[pyarrow]": pd.Series(
            with_missing(STRINGS, None), dtype="string[pyarrow]"
        ),
    }
with_every_missing_label = pytest.mark.parametrize("name", MISSING)


@with_every_missing_label
def test_missing_labels_are_found(name):
    index = index_groups(MISSING[name], N)
    assert_array_equal(index.codes, np.where(IS_MISSING, -1, CODES))
    assert len(index) == N_GROUPS


@with_every_missing_label
def test_missing_labels_are_refused_in_fit(name):
    with pytest.raises(ValueError, match=f"2 of {N} group labels are missing"):
        RandomInterceptRegressor().fit(X, Y, groups=MISSING[name])


@with_every_missing_label
def test_missing_labels_of_rows_without_weight_are_no_error(name):
    weight = np.where(IS_MISSING, 0.0, 1.0)
    model = RandomInterceptRegressor().fit(
        X, Y, groups=MISSING[name], sample_weight=weight
    )
    present = RandomInterceptRegressor().fit(
        X[~IS_MISSING], Y[~IS_MISSING], groups=CODES[~IS_MISSING]
    )
    assert_same(model.random_intercepts_, present.random_intercepts_)
    assert len(model.groups_) == N_GROUPS


@with_every_missing_label
def test_missing_labels_are_new_groups_in_predict(name):
    family = next(
        family
        for family, containers in FAMILIES.items()
        if kinds_of(index_groups(MISSING[name], N).labels)
        == kinds_of(index_groups(next(iter(containers.values())), N).labels)
    )
    known = next(iter(FAMILIES[family].values()))
    model = RandomInterceptRegressor().fit(X, Y, groups=known)
    mean, std = model.predict(X, groups=MISSING[name], return_std=True)
    known_mean, known_std = model.predict(X, groups=known, return_std=True)
    with pytest.warns(PopulationPredictionWarning):
        new_mean, new_std = model.predict(X, return_std=True)

    assert_same(mean, np.where(IS_MISSING, new_mean, known_mean))
    assert_same(std, np.where(IS_MISSING, new_std, known_std))
    assert (new_std > known_std).all()


def test_new_labels_share_an_intercept_and_missing_ones_do_not():
    model = RandomInterceptRegressor().fit(X, Y, groups=STRINGS)
    rows = X[[0, 0, 0, 0, 0]]
    groups = ["new", "new", "newer", None, None]
    _, cov = model.predict(rows, groups=groups, return_cov=True)
    shared = np.full((5, 5), cov[0, 2])
    shared[0, 1] = shared[1, 0] = cov[0, 2] + model.group_variance_
    np.fill_diagonal(shared, cov[0, 0])
    np.testing.assert_allclose(cov, shared, rtol=REORDERED)


def test_labels_that_look_missing_are_labels():
    labels = rows_of(["", "None", "nan", "null"])
    index = index_groups(labels, N)
    assert index.labels.tolist() == ["", "None", "nan", "null"]
    assert_array_equal(index.codes, CODES)


def test_groups_that_lose_all_their_rows_are_gone():
    weight = np.where(CODES == 1, 0.0, 1.0)
    model = RandomInterceptRegressor().fit(X, Y, groups=INTS, sample_weight=weight)
    assert model.groups_.tolist() == [3, 8, 100]


def test_take_keeps_the_labels_in_use():
    index = index_groups(["b", "a", None, "c", "b"], 5)
    some = index.take(np.array([True, False, True, False, True]))
    assert some.labels.tolist() == ["b"]
    assert some.codes.tolist() == [0, -1, 0]
    assert index.take(np.array([3, 1])).codes.tolist() == [1, 0]
    assert index.take(np.array([2])).labels.tolist() == []


def test_kinds_of_a_take_are_those_of_its_labels():
    index = index_groups([1, "a"], 2)
    assert kinds_of(index.take(np.array([1])).labels) == {"string"}


# --- encoding -----------------------------------------------------------------


@pytest.mark.parametrize("spread", [0, 1, 10, 10**6, 10**17, 2**62])
@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.float64])
def test_large_random_codes_equal_those_of_unique(dtype, spread):
    """Compact labels go through a table, others through np.unique."""
    rng = np.random.default_rng(spread % 97)
    values = rng.integers(-spread, spread, size=200_000, endpoint=True)
    if dtype is np.uint64:
        values = values.astype(np.int64).view(np.uint64)  # half of them above 2**63
    values = values.astype(dtype)
    labels, codes = np.unique(values, return_inverse=True)

    index = index_groups(values, len(values))
    assert_array_equal(index.labels, labels, strict=True)
    assert_array_equal(index.codes, codes)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, bool, np.float32])
def test_small_types_over_their_whole_range(dtype):
    rng = np.random.default_rng(0)
    values = rng.integers(-(2**15), 2**15, size=50_000).astype(dtype)
    labels, codes = np.unique(values, return_inverse=True)
    index = index_groups(values, len(values))
    assert_array_equal(index.labels, labels, strict=True)
    assert_array_equal(index.codes, codes)


def test_table_and_unique_agree_at_their_border():
    """The widest range that a table covers, and one more."""
    n = 500
    for excess in (-1, 0, 1):
        values = np.random.default_rng(0).integers(0, 1024, size=n)
        values[:2] = [-7, TABLE_ENTRIES_PER_ROW * n + 1024 - 7 + excess]
        labels, codes = np.unique(values, return_inverse=True)
        index = index_groups(values, n)
        assert_array_equal(index.labels, labels, strict=True)
        assert_array_equal(index.codes, codes)


@pytest.mark.parametrize("shift", [0, -(2**63), 2**63 - 100, 10**12])
def test_compact_labels_far_from_zero(shift):
    values = np.array([shift + int(label) - 3 for label in INTS[:20]])
    values = values if shift >= 0 else values + 3
    labels, codes = np.unique(values, return_inverse=True)
    index = index_groups(values, len(values))
    assert_array_equal(index.labels, labels, strict=True)
    assert_array_equal(index.codes, codes)


def test_compact_and_wide_labels_give_the_same_fit():
    compact = RandomInterceptRegressor().fit(X, Y, groups=CODES)
    wide = RandomInterceptRegressor().fit(X, Y, groups=CODES * 10**15)
    assert_same(wide.random_intercepts_, compact.random_intercepts_)
    assert_array_equal(wide.groups_, compact.groups_ * 10**15)


def test_many_random_strings():
    rng = np.random.default_rng(0)
    values = rng.integers(5000, size=20_000).astype(str)
    labels, codes = np.unique(values, return_inverse=True)
    index = index_groups(values, len(values))
    assert index.labels.tolist() == labels.tolist()
    assert_array_equal(index.codes, codes)
    assert_array_equal(codes_among(values[:100], values), codes[:100])


def many_objects():
    """More than one block of Python's strings and of NumPy's, none of them twice the
    same object, a missing label after all others, and the codes.
    """
    codes = np.random.default_rng(0).integers(50, size=5000)
    types = (str, np.str_, type("Name", (str,), {}))
    labels = [types[i % 3](f"group {code:03d}") for i, code in enumerate(codes)]
    return [*labels, None], np.append(codes, -1)


@pytest.mark.parametrize(
    "container", [list, object_array, lambda labels: pd.Series(labels, dtype=object)]
)
def test_many_strings_of_several_types(container):
    labels, codes = many_objects()
    index = index_groups(container(labels), len(labels))
    assert index.labels.tolist() == [f"group {code:03d}" for code in range(50)]
    assert_array_equal(index.codes, codes)


@pytest.mark.parametrize(
    ("last", "error", "message"),
    [(("a", 1), ValueError, "compound"), (["a"], TypeError, "labels are scalars")],
)
def test_the_last_of_many_objects_is_checked(last, error, message):
    labels, _ = many_objects()
    labels[-1] = last
    for groups in (labels, object_array(labels)):
        with pytest.raises(error, match=message):
            index_groups(groups, len(groups))


def test_equal_hashes_are_no_equal_labels():
    class Label(str):
        __slots__ = ()

        def __hash__(self):
            return 1

        def __eq__(self, other):
            return str(self) == str(other)

    groups = [Label(code % 7) for code in range(3000)]
    index = index_groups(groups, len(groups))
    assert_array_equal(index.codes, np.arange(3000) % 7)


# --- what is no column of labels ----------------------------------------------

FRAME = pd.DataFrame({"school": STRINGS, "room": INTS})

NOT_A_COLUMN = {
    "string": "school",
    "NumPy string": np.str_("school"),
    "bytes": b"school",
    "bytearray": bytearray(N),
    "int": 3,
    "NumPy int": np.int64(3),
    "0-d array": np.array(3),
    "Timestamp": pd.Timestamp("2020-01-01"),
    "dict": dict(enumerate(INTS)),
    "UserDict": UserDict(enumerate(INTS)),
    "Counter": Counter(range(N)),
    "dict values": dict(enumerate(INTS)).values(),
    "set": set(range(N)),
    "generator": (label for label in INTS),
    "type": int,
    "slice": slice(N),
    "groupby": FRAME.groupby("room"),
    "groupby of a column": FRAME.groupby("room")["school"],
    "lazy frame": pl.LazyFrame({"school": STRINGS}),
    "sparse column": sparse.csr_array(np.array(INTS)[:, None]),
    "sparse matrix": sparse.csc_matrix(np.array(INTS)[:, None]),
}
NOT_ONE_COLUMN = {
    "two columns": np.ones((N, 2)),
    "one row": np.ones((1, N)),
    "no column": np.ones((N, 0)),
    "three dimensions": np.ones((N, 1, 1)),
    "frame": FRAME,
    "polars frame": pl.DataFrame({"school": STRINGS, "room": INTS}),
    "list of pairs": [[1, label] for label in INTS],
    "tuples": list(zip(STRINGS, INTS, strict=True)),
    "tuples that do not hash": [(label, [1]) for label in INTS],
    "Series of tuples": pd.Series(list(zip(STRINGS, INTS, strict=True))),
    "MultiIndex": pd.MultiIndex.from_frame(FRAME),
    "structured array": np.zeros(N, dtype=[("school", int), ("room", int)]),
    "frozensets": [frozenset([label]) for label in INTS],
}
NOT_SCALARS = {
    "ragged lists": [[1], *([1, 2] for _ in INTS[1:])],
    "dicts": [{"school": label} for label in INTS],
    "sets": object_array({label} for label in INTS),
    "a list among strings": [*STRINGS[:-1], ["a"]],
    "Series": [pd.Series([label]) for label in INTS],
    "polars List": pl.Series([[label] for label in INTS]),
    "polars Array": pl.Series([[1, label] for label in INTS], dtype=pl.Array(int, 2)),
    "polars Struct": pl.Series([{"school": label} for label in INTS]),
    "Series of lists": pd.Series([[label] for label in INTS]),
}
if HAS_ARROW:
    NOT_SCALARS["arrow table"] = pa.table({"school": STRINGS})


@pytest.mark.parametrize("name", NOT_A_COLUMN)
def test_not_a_column(name):
    with pytest.raises(TypeError, match="must be a column with one label per row"):
        index_groups(NOT_A_COLUMN[name], N)


@pytest.mark.parametrize("name", NOT_ONE_COLUMN)
def test_not_one_column(name):
    with pytest.raises(ValueError, match="one grouping factor"):
        index_groups(NOT_ONE_COLUMN[name], len(NOT_ONE_COLUMN[name]))


@pytest.mark.parametrize("name", NOT_SCALARS)
def test_not_scalars(name):
    with pytest.raises(TypeError, match="labels are scalars"):
        index_groups(NOT_SCALARS[name], N)


def test_labels_that_refuse_to_be_compared_say_so_themselves():
    class Stubborn:
        def __hash__(self):
            return 1

        def __eq__(self, other):
            raise TypeError("not comparable")

    with pytest.raises(TypeError, match="not comparable"):
        index_groups([Stubborn(), Stubborn()], 2)


@pytest.mark.parametrize(
    "groups",
    [np.array([1j, 2]), [1j, 2], [np.complex64(1), "a"]],
    ids=["array", "list", "scalar"],
)
def test_complex_labels(groups):
    with pytest.raises(ValueError, match="complex"):
        index_groups(groups, 2)


@pytest.mark.parametrize("groups", [[], INTS[1:], pd.Series(INTS * 2), np.ones((3, 1))])
def test_other_length_than_x(groups):
    with pytest.raises(ValueError, match=f"{len(groups)} labels but X has {N} rows"):
        index_groups(groups, N)


@pytest.mark.parametrize(
    ("labels", "n", "bits"),
    [
        (10.0**17 + np.arange(40), 3, 53),
        (np.float32(2**24 + np.arange(40)), 21, 24),
        (np.where(np.arange(40) < 38, np.arange(40.0), 2.0**60), 1, 53),
    ],
)
def test_integers_that_floats_have_rounded_are_told(labels, n, bits):
    """Of forty identifiers three were left, and a label was taken for another's."""
    X = np.arange(40.0)[:, None]
    message = rf"`groups` has {n} labels? of 2\*\*{bits} or more as float"
    with pytest.warns(GroupsWarning, match=message):
        model = RandomInterceptRegressor().fit(X, X[:, 0] % 7, groups=labels)
    with pytest.warns(GroupsWarning, match=message):
        model.predict(X, groups=labels)
    table = pd.DataFrame({"id": labels})
    with pytest.warns(GroupsWarning, match="'id' has"):
        LinearMixedRegressor().fit(X, X[:, 0] % 7, groups=table)


@pytest.mark.parametrize("labels", [[0.5, -np.inf], 2.0**53 - np.arange(1.0, 3.0)])
def test_fractions_and_smaller_integers_are_not_rounded(labels):
    X = np.arange(40.0)[:, None]
    RandomInterceptRegressor().fit(X, X[:, 0] % 7, groups=np.tile(labels, 20))


LABELS = {
    "integers": np.arange(0, 2000, 2),
    "fractions": np.arange(0, 1000) / 8,
    "days": np.datetime64("2020-01-01") + np.arange(0, 2000, 2),
    "strings": np.array(sorted(f"shop {i}" for i in range(1000)), dtype=object),
}


NEW_LABELS = {
    "integers": [-1, 3, 5000],
    "fractions": [-1.0, 0.2, 5000.0],
    "days": ["2019-12-31", "2020-01-02", "2050-01-01"],
    "strings": ["a", "shop 5000", "shops"],
}


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("n_rows", [1, 999])
def test_labels_of_any_number_of_rows_are_found(kind, n_rows):
    """Few rows by bisection, which a dictionary of all labels took 100 times as long
    for; a label before the first, between two, or after the last is new.
    """
    known = LABELS[kind]
    some = np.random.default_rng(n_rows).permutation(1000)[:n_rows]
    for labels in (known[some], known[[0, -1]]):
        index = index_groups(labels, len(labels))
        places = index.positions_in(known)
        assert_array_equal(known[places][index.codes], labels)
    new = np.array(NEW_LABELS[kind], dtype=known.dtype)
    index = index_groups(new, len(new))
    assert (index.positions_in(known) == -1).all()


def test_labels_that_have_no_order_are_found():
    """Those of mixed kinds are in the order of their appearance."""
    mixed = [label for i in range(50) for label in (50 - i, f"shop {50 - i}")]
    known = index_groups(mixed, 100).labels
    assert known.tolist() == mixed
    for label in (1, "shop 1", "shop 50"):
        found = index_groups([label], 1).positions_in(known)
        assert found.tolist() == [mixed.index(label)]
    assert index_groups(["shop 51"], 1).positions_in(known).tolist() == [-1]
