"""Tables of labels: containers, combinations, missing labels, later rows."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.utils import _safe_indexing

from skmixed._input.factors import read_labels
from skmixed._input.label_table import (
    combine,
    index_columns,
    known_labels,
    open_table,
)
from skmixed._input.notation import read_terms

SCHOOL = [3, 1, 3, 2, 1]
CLASS = ["a", "a", "b", "a", "a"]
FRAME = pd.DataFrame({"school": SCHOOL, "class": CLASS})
NAMED = {
    "pandas": FRAME,
    "pandas, other index": FRAME.set_index(pd.Index([9, 9, 3, 1, 0])),
    "pandas, arrow types": FRAME.convert_dtypes(dtype_backend="pyarrow"),
    "pandas, categories": FRAME.astype("category"),
    "polars": pl.from_pandas(FRAME),
    "pyarrow": pa.Table.from_pandas(FRAME),
    "record batch": pa.RecordBatch.from_pandas(FRAME),
    "rows of pyarrow": pa.RecordBatch.from_pandas(FRAME).to_struct_array(),
    "structured": FRAME.to_records(index=False).view(np.ndarray),
    "records": FRAME.to_records(index=False),
    "masked records": np.ma.array(FRAME.to_records(index=False)),
    "MultiIndex": pd.MultiIndex.from_frame(FRAME),
}
UNNAMED = {
    "array": np.column_stack([np.array(SCHOOL, object), np.array(CLASS, object)]),
    "list of rows": [list(row) for row in zip(SCHOOL, CLASS, strict=True)],
    "MultiIndex": pd.MultiIndex.from_arrays([SCHOOL, CLASS]),
}
ROWS_OF = pytest.mark.parametrize("rows", [slice(None), np.array([4, 2, 0])], ids=str)


def codes(table):
    return [index.codes.tolist() for index in table.columns]


@ROWS_OF
@pytest.mark.parametrize("kind", NAMED)
def test_a_table_is_read_by_name(kind, rows):
    """As it is, and as scikit-learn's tools split it."""
    groups = NAMED[kind]
    n_rows = len(FRAME.iloc[rows])
    if not isinstance(rows, slice):
        groups = _safe_indexing(groups, rows)
    table = read_labels(read_terms("(1 | class:school)"), groups, n_rows)
    assert table.names == ("class", "school")
    expected = FRAME.iloc[rows]
    for name, index in zip(table.names, table.columns, strict=True):
        assert_array_equal(index.labels[index.codes].astype(object), expected[name])
    assert read_labels(None, groups, n_rows).names == ("school", "class")


@ROWS_OF
@pytest.mark.parametrize("kind", UNNAMED)
def test_columns_without_names_are_numbered(kind, rows):
    groups = UNNAMED[kind]
    n_rows = len(FRAME.iloc[rows])
    if not isinstance(rows, slice):
        groups = _safe_indexing(groups, rows)
    table = read_labels(None, groups, n_rows)
    assert table.names == ("g0", "g1")
    assert codes(table) == codes(read_labels(None, FRAME.iloc[rows], n_rows))


ONE = {
    "list": (SCHOOL, "groups"),
    "tuple": (tuple(SCHOOL), "groups"),
    "array": (np.array(SCHOOL), "groups"),
    "array (n, 1)": (np.array(SCHOOL)[:, None], "g0"),
    "list of lists of one": ([[s] for s in SCHOOL], "g0"),
    "series": (FRAME["school"], "school"),
    "series without name": (FRAME["school"].rename(None), "groups"),
    "index": (pd.Index(SCHOOL, name="school"), "school"),
    "frame": (FRAME[["school"]], "school"),
    "polars series": (pl.Series("school", SCHOOL), "school"),
    "polars series without name": (pl.Series(SCHOOL), "groups"),
    "polars frame": (pl.DataFrame({"school": SCHOOL}), "school"),
    "pyarrow": (pa.array(SCHOOL), "groups"),
    "pyarrow table": (pa.table({"school": SCHOOL}), "school"),
    "categorical": (pd.Categorical(SCHOOL), "groups"),
}


@pytest.mark.parametrize("kind", ONE)
def test_one_column_serves_the_one_factor_whatever_it_is_called(kind):
    groups, name = ONE[kind]
    table = read_labels(None, groups, 5)
    assert (table.names, codes(table)) == ((name,), [[2, 0, 2, 1, 0]])
    table = read_labels(read_terms("(1 | person) + (x | person)"), groups, 5)
    assert table.names == ("person",)
    assert table.of_terms == ((0,), (0,))


REFUSED = {
    "dict": (
        {"school": SCHOOL, "class": CLASS},
        TypeError,
        "`groups` is a dict, which scikit-learn hands to every fold whole. Pass "
        r"pandas.DataFrame\(groups\) or another table with one row per row of X.",
    ),
    "list of columns": (
        [SCHOOL, CLASS],
        TypeError,
        "`groups` is a list of 2 columns, which scikit-learn takes for 2 rows. Pass a "
        r"DataFrame, or numpy.column_stack\(\[...\]\).",
    ),
    "tuple of series": (
        (FRAME["school"], FRAME["class"]),
        TypeError,
        "is a list of 2 columns",
    ),
    "list of arrays": ([np.array(SCHOOL)] * 3, TypeError, "is a list of 3 columns"),
    "tuples": (
        list(zip(SCHOOL, CLASS, strict=True)),
        ValueError,
        r"`groups` holds tuples such as \(3, 'a'\), which may be labels or rows of",
    ),
    "series of tuples": (
        pd.Series(list(zip(SCHOOL, CLASS, strict=True))),
        ValueError,
        r"The group label \(3, 'a'\) is compound",
    ),
    "no columns": (FRAME[[]], ValueError, "`groups` is a table without columns"),
    "no array columns": (np.empty((5, 0)), ValueError, "is a table without columns"),
    "twice": (
        pd.concat([FRAME, FRAME], axis=1),
        ValueError,
        "`groups` has 2 columns called 'school'",
    ),
    "fractions": (
        FRAME.assign(score=[1.0, 2.0, 3.0, 4.0, 0.5]),
        ValueError,
        "Column 'score' of `groups` holds numbers with fractions, such as 0.5, and .* "
        r"Name the factors in random_effects, e.g. '\(1 \| school\)'.",
    ),
    "short": (FRAME[:4], ValueError, "`groups` has 4 labels but X has 5 rows"),
    "three dimensions": (
        np.ones((5, 2, 2)),
        TypeError,
        r"a table of such columns, got shape \(5, 2, 2\) of type ndarray. Pass",
    ),
    "sparse": (
        sparse.csr_array(np.ones((5, 2))),
        TypeError,
        r"a table of such columns, got shape \(5, 2\) of type csr_array",
    ),
    "text": ("school", TypeError, "a table of such columns, got 'school' of type str"),
    "lazy": (pl.from_pandas(FRAME).lazy(), TypeError, "LazyFrame"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_table(kind):
    groups, error, match = REFUSED[kind]
    with pytest.raises(error, match=match):
        read_labels(None, groups, 5)


def test_what_is_named_has_to_be_there():
    with pytest.raises(
        ValueError,
        match="random_effects names the label column 'room', which is not among those "
        r"of `groups`, \['school', 'class'\].",
    ):
        read_labels(read_terms("(1 | room)"), FRAME, 5)
    with pytest.raises(ValueError, match="not among those of group_features"):
        read_labels(read_terms("(1 | room)"), FRAME, 5, ["school", "class"])
    with pytest.raises(ValueError, match="names label column 2, but there are 2"):
        read_labels(read_terms("(1 | [2])"), FRAME, 5)
    twice = pd.concat([FRAME, FRAME], axis=1)
    with pytest.raises(ValueError, match="which `groups` has 2 times"):
        read_labels(read_terms("(1 | school)"), twice, 5)
    with pytest.raises(
        ValueError,
        match="`groups` is one column but random_effects names 2: "
        r"\['subject', 'item'\]. Pass a table of them, e.g. "
        r"groups=df\[\['subject', 'item'\]\].",
    ):
        read_labels(read_terms("(1 | subject) + (1 | item)"), SCHOOL, 5)
    with pytest.raises(ValueError, match="names label column 1, but there are 1"):
        read_labels(read_terms("(1 | [1])"), SCHOOL, 5)


def test_columns_by_number():
    table = read_labels(read_terms("(1 | [-1]) + (1 | [0])"), FRAME, 5)
    assert (table.names, table.of_terms) == (("class", "school"), ((0,), (1,)))
    one = read_labels(read_terms("(1 | [0]) + (x | [-1])"), SCHOOL, 5)
    assert (one.names, one.of_terms) == (("groups",), ((0,), (0,)))
    with pytest.raises(ValueError, match="combines a label column with itself"):
        read_labels(read_terms("(1 | school:[0])"), FRAME, 5)


def test_a_column_that_no_term_names_is_not_read():
    groups = FRAME.assign(other=[None, {}, [], 1.5, "x"])
    assert codes(read_labels(read_terms("(1 | school)"), groups, 5)) == [
        [2, 0, 2, 1, 0]
    ]
    assert read_labels((), groups, 5).columns == ()


def test_missing_labels_are_counted_by_column():
    groups = FRAME.assign(school=[3, None, 3, None, 1])
    table = read_labels(read_terms("(1 | school/class)"), groups, 5)
    with pytest.raises(ValueError, match="2 of 5 labels of 'school' are missing"):
        table.check_present()
    table.take(np.array([True, False, True, False, True])).check_present()


def test_combinations_are_those_that_occur():
    found = np.array([[1, 2, 0], [0, 5, 0], [-1, 2, 0], [1, 2, 0], [0, -1, 1]])
    levels, level_codes = combine(found, [2, 6, 2])
    assert levels.tolist() == [[0, 5, 0], [1, 2, 0]]
    assert level_codes.tolist() == [1, 0, -1, 1, -1]


def test_many_combinations_do_not_overflow():
    rng = np.random.default_rng(0)
    found = rng.integers(0, 10**9, size=(1000, 5))
    levels, level_codes = combine(found, [10**9] * 5)
    assert_array_equal(levels[level_codes], found)


@pytest.mark.parametrize("third", [False, True])
def test_nested_labels_are_combined_as_all_others(third):
    """Without a sort of the rows, and in the same order."""
    rng = np.random.default_rng(0)
    inner = rng.integers(0, 40, size=300)
    outer = rng.integers(0, 7, size=50)[inner]
    found = np.column_stack([outer, inner, *([inner // 2 + 3] if third else [])])
    levels, level_codes = combine(found, [9, 50, 30][: found.shape[1]])
    expected, position = np.unique(found, axis=0, return_inverse=True)
    assert_array_equal(levels, expected)
    assert_array_equal(level_codes, position.ravel())


KNOWN, CODES = known_labels(
    read_labels(read_terms("(1 | school/class) + (1 | class)"), FRAME, 5),
    ((0,), (0, 1), (1,)),
)


def test_labels_of_levels():
    assert KNOWN.labels_of(0).tolist() == [1, 2, 3]
    assert KNOWN.labels_of(1).tolist() == [(1, "a"), (2, "a"), (3, "a"), (3, "b")]
    assert KNOWN.labels_of(2).tolist() == ["a", "b"]
    assert [list(c) for c in CODES] == [
        [2, 0, 2, 1, 0],
        [2, 0, 3, 1, 0],
        [0, 0, 1, 0, 0],
    ]


def read_later(rows):
    columns = open_table(pd.DataFrame(rows, columns=["school", "class"]), len(rows))
    return index_columns(columns, KNOWN.positions_in(columns), len(rows))


def same(owner):
    """Who shares with whom, numbered by first appearance."""
    return pd.factorize(np.asarray(owner))[0].tolist()


def test_later_rows_are_known_and_new_factor_by_factor():
    rows = [(1, "a"), (9, "a"), (9, "q"), (None, "a"), (1, "q"), (9, "q"), (3, None)]
    school, combination, room = KNOWN.locate(read_later(rows))
    assert school[0].tolist() == [0, -1, -1, -1, 0, -1, 2]
    assert same(school[1]) == [0, 1, 1, 2, 0, 1, 3]
    assert combination[0].tolist() == [0] + [-1] * 6
    assert same(combination[1]) == [0, 1, 2, 3, 4, 2, 5]
    assert room[0].tolist() == [0, 0, -1, 0, -1, -1, -1]
    assert same(room[1]) == [0, 0, 1, 0, 1, 1, 2]
    for codes, owner in (school, combination, room):
        assert_array_equal(owner[codes >= 0], codes[codes >= 0])


def test_missing_labels_are_a_level_of_their_own_each():
    school, combination, _ = KNOWN.locate(read_later([(None, "a")] * 3))
    assert same(school[1]) == [0, 1, 2]
    assert same(combination[1]) == [0, 1, 2]


def test_later_rows_join():
    joined, moved, level_codes = KNOWN.join(read_later([(0, "b"), (3, "b"), (2, "b")]))
    assert joined.labels_of(0).tolist() == [0, 1, 2, 3]
    assert joined.labels_of(1).tolist() == [
        (0, "b"),
        (1, "a"),
        (2, "a"),
        (2, "b"),
        (3, "a"),
        (3, "b"),
    ]
    assert [m.tolist() for m in moved] == [[1, 2, 3], [1, 2, 4, 5], [0, 1]]
    assert [c.tolist() for c in level_codes] == [[0, 3, 2], [0, 5, 3], [1, 1, 1]]


def test_what_later_tables_have_to_have():
    later = open_table(FRAME[["school"]].assign(other=1), 5)
    with pytest.raises(
        ValueError,
        match=r"`groups` has no column 'class', which the model uses, but \['school', "
        r"'other'\]. For rows whose class is not known, give missing labels: "
        r"groups.assign\(class=None\).",
    ):
        KNOWN.positions_in(later)
    unnamed = open_table(FRAME[["school", "class"]].to_numpy(), 5)
    with pytest.raises(ValueError, match=r"uses, but \['g0', 'g1'\]"):
        KNOWN.positions_in(unnamed)
    with pytest.raises(ValueError, match="`groups` is one column but the model uses 2"):
        KNOWN.positions_in(open_table(SCHOOL, 5))
    wrong = read_later([("x", "a")])
    with pytest.raises(ValueError, match="Label column 'school': The group labels are"):
        KNOWN.locate(wrong)
    with pytest.raises(ValueError, match="Label column 'school': The group labels are"):
        KNOWN.join(wrong)


def test_instants_in_combinations_keep_nanoseconds():
    day = np.array(["2020-01-01T00:00:00.000000001", "2020-01-02"], dtype="M8[ns]")
    groups = pd.DataFrame({"day": day, "room": [1, 2]})
    table = read_labels(None, groups, 2)
    known, _ = known_labels(table, ((0, 1),))
    assert known.labels_of(0)[0][0] == day[0]
