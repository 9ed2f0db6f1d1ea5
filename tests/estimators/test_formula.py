"""Models from formulas, by formulaic."""

import pickle
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from skmixed import LinearMixedRegressor
from skmixed.datasets import load_sleepstudy
from skmixed.formula import from_formula

pytest.importorskip("formulaic")

WORKED = Path(__file__).parents[1] / "worked"
SLEEP = load_sleepstudy(as_frame=True).frame
# lme4 1.1-31's restricted log-likelihoods are stored to six digits after the point.
PRINTED = 1e-6


def table(name):
    return SLEEP if name == "sleepstudy" else pd.read_csv(WORKED / f"{name}.csv")


@pytest.mark.parametrize(
    "formula, name, expected",
    [
        ("Reaction ~ Days + (Days | Subject)", "sleepstudy", -871.814136),
        ("Reaction ~ Days + (Days || Subject)", "sleepstudy", -871.834647),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", "Penicillin", -165.430294),
        ("strength ~ 1 + (1 | batch/cask)", "Pastes", -123.495373),
        ("score ~ Machine + (Machine | Worker)", "Machines", -104.155609),
        ("rt ~ cond + (cond | subject) + (cond | item)", "rt", -588.833302),
        ("Reaction ~ 1 + (0 + Days | Subject)", "sleepstudy", -894.614490),
        ("angle ~ recipe + temp + (1 | recipe:replicate)", "cake", -846.922156),
    ],
)
def test_formulas_give_lme4s_numbers(formula, name, expected):
    model, X, y, groups = from_formula(formula, table(name))
    model.fit(X, y, groups=groups)
    assert_allclose(model.log_likelihood_, expected, atol=PRINTED)


def test_a_formula_is_a_model_and_its_data():
    found = from_formula("log(Reaction) ~ 0 + Days + (1 | Subject)", SLEEP, method="ml")
    assert (
        found.model.get_params()
        == LinearMixedRegressor(
            "(1 | Subject)", fit_intercept=False, method="ml"
        ).get_params()
    )
    assert list(found.X) == ["Days"]
    assert_allclose(found.y, np.log(SLEEP["Reaction"]))
    assert list(found.groups) == ["Subject"]
    shuffled = SLEEP.sample(frac=1.0, random_state=0)
    again = from_formula("log(Reaction) ~ 0 + Days + (1 | Subject)", shuffled)
    assert again.X.index.equals(shuffled.index)
    assert_allclose(again.y, np.log(shuffled["Reaction"]))
    names = from_formula("score ~ Machine + (0 + Machine | Worker)", table("Machines"))
    assert names.model.mean_features == ["Machine[T.B]", "Machine[T.C]"]
    assert list(names.X)[2:] == ["Machine[A]", "Machine[B]", "Machine[C]"]


RATINGS = pd.DataFrame(
    {
        "score": np.arange(1.0, 13.0),
        "x.1": np.arange(12.0) ** 2 % 7,
        "z": np.arange(12.0) ** 3 % 5,
        "kind": list("aabb") * 3,
        "rater": list("pqr") * 4,
        "place": list("uuvvww") * 2,
    }
)


@pytest.mark.parametrize(
    "response, dotted, written, terms",
    [
        ("np.log(score)", ".", "`x.1` + z + kind + place", "(1 | rater)"),
        ("score", ".", "`x.1` + z + kind", "(1 | rater/place)"),
        ("center(score)", ".", "`x.1` + z + kind + place", "(1 | rater)"),
        ("np.exp(scale(`x.1`) + 2 * z)", ".", "score + kind + place", "(1 | rater)"),
        ("I(score - z)", ".", "`x.1` + kind", "(1 | rater:place)"),
        ("np.log1p(`x.1`)", ". - kind", "score + z", "(1 | rater) + (1 | place)"),
        ("Q('x.1')", ". - rater", "score + z + kind", "(1 | rater:place)"),
        ("score", ". + place", "`x.1` + z + kind + rater + place", "(1 | place)"),
        ("score", ".:z", "`x.1`:z + z + kind:z", "(z | rater) + (1 | place)"),
    ],
)
def test_a_dot_is_every_column_but_the_response_and_the_labels(
    response, dotted, written, terms
):
    found = from_formula(f"{response} ~ {dotted} + {terms}", RATINGS)
    same = from_formula(f"{response} ~ {written} + {terms}", RATINGS)
    pd.testing.assert_frame_equal(found.X, same.X)
    assert str(found.model) == str(same.model)


def test_a_dot_left_of_a_bar_is_the_same_columns():
    found = from_formula("score ~ 1 + (. - kind | rater:place)", RATINGS)
    same = from_formula("score ~ 1 + (`x.1` + z | rater:place)", RATINGS)
    pd.testing.assert_frame_equal(found.X, same.X)
    assert str(found.model) == str(same.model)


def test_rows_of_equal_index_stay_one_row_each():
    found = from_formula(
        "score ~ z + (x | rater)", RATINGS.rename(columns={"x.1": "x"})
    )
    twice = RATINGS.rename(columns={"x.1": "x"}, index=lambda row: row // 2)
    again = from_formula("score ~ z + (x | rater)", twice)
    assert_allclose(again.X, found.X)
    assert again.X.index.equals(twice.index)


@pytest.mark.parametrize(
    "formula, fault",
    [
        ("Reaction + Days", "is no formula of one '~'"),
        ("~ Days + (1 | Subject)", "is no formula of one '~'"),
        ("Reaction ~ Days", "has no random effects"),
        ("Reaction ~ Days + Days | Subject", "'Days | Subject' has a bar outside"),
        ("Reaction ~ days + (1 | Subject)", "'days' cannot be read.*columns are Days"),
        ("Reaction ~ Days + (days | Subject)", r"'\(days \| Subject\)' cannot be read"),
        ("Reaction ~ Days + (1 | subject)", "label column 'subject', which is not in"),
        ("Reaction ~ Days + (1 | log(Subject))", r"'log\(Subject\)' is no column name"),
        ("Reaction ~ Days * (1 | Subject)", "is no term in brackets with one bar"),
        ("Reaction ~ (0 | Subject)", "neither a random intercept nor a slope"),
        ("Reaction ~ table + (1 | Subject)", "'table' cannot be read"),
        ("Reaction ~ (] ``:`Days`) + (1 | Subject)", "has a bar outside of brackets"),
        ("Reaction | ~ Days + (1 | Subject)", r"'Reaction \|' cannot be read"),
        ("Reaction:Days ~ 1 + (1 | Subject)", "'Reaction:Days' cannot be read"),
        ("Reaction ~ (Days~ | Subject)", r"'\(Days~ \| Subject\)' .* several tables"),
        ("poly(Days, 2) ~ 1 + (1 | Subject)", "y is one column of numbers.*gives 2"),
    ],
)
def test_a_wrong_formula_names_its_fault(formula, fault):
    with pytest.raises(ValueError, match=fault) as told:
        from_formula(formula, SLEEP)
    assert "\n" not in str(told.value)


def test_wrong_arguments():
    formula = "Reaction ~ Days + (1 | Subject)"
    with pytest.raises(TypeError, match="A formula is text such as"):
        from_formula(SLEEP, formula)
    with pytest.raises(TypeError, match="fit_intercept is what the formula says"):
        from_formula(formula, SLEEP, fit_intercept=False)


@pytest.mark.parametrize(
    "data, advice",
    [
        ({"Reaction": [1.0]}, r"got a dict. Make one by pandas.DataFrame\(data\)\."),
        (
            SLEEP.to_numpy(),
            r"got a numpy.ndarray. Make one by pandas.DataFrame\(data\)\.",
        ),
        (SLEEP["Days"], r"got a pandas.Series. Make one by data.to_frame\(\)\."),
    ],
    ids=["dict", "array", "series"],
)
def test_another_table_is_advised_what_it_has(data, advice):
    with pytest.raises(TypeError, match=f"data is a pandas.DataFrame, {advice}"):
        from_formula("Reaction ~ Days + (1 | Subject)", data)


def test_a_table_of_polars_is_named():
    polars = pytest.importorskip("polars")
    table = polars.DataFrame({"y": [1.0], "g": ["a"]})
    advice = r"got a polars.DataFrame. Make one by data.to_pandas\(\)\."
    with pytest.raises(TypeError, match=advice):
        from_formula("y ~ 1 + (1 | g)", table)
    with pytest.raises(TypeError, match=r"data is a LazyFrame, .* no rows yet"):
        from_formula("y ~ 1 + (1 | g)", table.lazy())


LATE = [10, 20]
MISSING = SLEEP.assign(
    Days=SLEEP["Days"].where(~SLEEP.index.isin(LATE)),
    Kind=SLEEP["Subject"].astype(str).where(SLEEP.index != 30),
).sort_index(ascending=False)


@pytest.mark.parametrize(
    "formula, name, figures, subset",
    [
        ("Reaction ~ Days + (1 | Subject)", "Days", r"2 .* data.iloc\[159\]", "Days"),
        ("Days ~ Reaction + (1|Subject)", "Days", r"2 .* data.iloc\[159\]", "Days"),
        ("Reaction ~ (log(1 + Days) | Subject)", "Days", "2 of 180 rows", "Days"),
        ("Reaction ~ center(Days) + (1 | Subject)", "Days", "2 of 180 rows", "Days"),
        ("Reaction ~ Kind + (1 | Subject)", "Kind", r"1 .* data.iloc\[149\]", "Kind"),
        ("Days ~ Kind + (1 | Subject)", "Days", "2 of 180 rows", "Days', 'Kind"),
    ],
)
def test_missing_values_are_counted_and_can_be_dropped(formula, name, figures, subset):
    with pytest.raises(ValueError, match=f"'{name}' has missing values in {figures}"):
        from_formula(formula, MISSING)
    with pytest.raises(ValueError, match=rf"data.dropna\(subset=\['{subset}'\]\)"):
        from_formula(formula, MISSING)
    dropped = MISSING.dropna(subset=subset.split("', '"))
    assert len(from_formula(formula, dropped).X) == len(dropped)


@pytest.mark.filterwarnings("ignore:invalid value encountered in log:RuntimeWarning")
def test_a_function_without_value_is_no_missing_column():
    fault = (
        r"'Days \+ log\(Days - 1.5\)' has no value in 36 of 180 rows, .* data.iloc\[0\]"
    )
    with pytest.raises(ValueError, match=fault):
        from_formula("Reaction ~ Days + log(Days - 1.5) + (1 | Subject)", SLEEP)
    filled = from_formula("Reaction ~ np.nan_to_num(Days) + (1 | Subject)", MISSING)
    assert filled.X.to_numpy().sum() == np.nansum(MISSING["Days"])


DAY = pd.Timestamp("2020-01-01")


@pytest.mark.parametrize(
    "dates, kind",
    [
        (DAY + pd.to_timedelta(SLEEP["Days"], unit="D"), "datetime64"),
        (pd.to_timedelta(SLEEP["Days"], unit="D"), "timedelta64"),
        (pd.Series(pd.period_range(DAY, periods=180, freq="D")), "period"),
        (pd.Series([DAY.date()] * 180), "date"),
    ],
    ids=["dates", "differences", "periods", "objects"],
)
def test_dates_are_to_be_converted(dates, kind):
    table = SLEEP.assign(when=dates)
    fault = (
        rf"column 'when' holds dates or times \({kind}.*Convert them, such as to days"
    )
    for formula in (
        "Reaction ~ when + (1 | Subject)",
        "Reaction ~ Days:when + (1 | Subject)",
        "Reaction ~ 1 + (when | Subject)",
        "Reaction ~ . + (1 | Subject)",
        "when ~ Days + (1 | Subject)",
    ):
        with pytest.raises(TypeError, match=fault):
            from_formula(formula, table)
    categories = from_formula("Reaction ~ C(when) + (1 | Subject)", table)
    assert categories.X.shape[1] == table["when"].nunique() - 1


def test_dates_in_a_function():
    table = SLEEP.assign(when=pd.to_timedelta(SLEEP["Days"], unit="D"))
    with pytest.raises(
        ValueError, match=r"cannot be read.* 'when' holds dates or times"
    ):
        from_formula("Reaction ~ log(when) + (1 | Subject)", table)
    with pytest.raises(TypeError, match=r"'I\(when\)' holds dates or times"):
        from_formula("Reaction ~ I(when) + (1 | Subject)", table)


@pytest.mark.parametrize("name", ["Reaction", "Days", "Subject"])
def test_a_name_of_two_columns_is_told(name):
    twice = pd.concat([SLEEP, SLEEP[[name]]], axis=1)
    with pytest.raises(ValueError, match=f"2 columns of the table are named '{name}'"):
        from_formula("Reaction ~ Days + (1 | Subject)", twice)
    kept = twice.loc[:, ~twice.columns.duplicated()]
    assert len(from_formula("Reaction ~ Days + (1 | Subject)", kept).X) == len(SLEEP)


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ offset(Days) + (1 | Subject)",
        "Reaction ~ 1 + (offset(log(1 + Days)) | Subject)",
    ],
)
def test_an_offset_is_subtracted_from_the_response(formula):
    with pytest.raises(ValueError, match=r"offset.*not offered.*'I\(y - x\) ~ ...'"):
        from_formula(formula, SLEEP)
    found = from_formula("I(Reaction - Days) ~ 1 + (1 | Subject)", SLEEP)
    assert_allclose(found.y, SLEEP["Reaction"] - SLEEP["Days"])
    column = SLEEP.rename(columns={"Days": "offset"})
    assert list(from_formula("Reaction ~ offset + (1 | Subject)", column).X) == [
        "offset"
    ]


@pytest.mark.parametrize(
    "parameters", [{"variance_features": ["x", "z"]}, {"variance_offset": "z"}]
)
def test_columns_of_the_log_variance_are_those_of_the_table(parameters):
    """One that the formula does not make is in the log-variance alone."""
    data = RATINGS.rename(columns={"x.1": "x"}).set_index(RATINGS.index[::-1])
    model, X, y, groups = from_formula("score ~ x + (1 | rater)", data, **parameters)
    assert list(X) == ["x", "z"]
    same = LinearMixedRegressor("(1 | rater)", mean_features=["x"], **parameters)
    same.fit(data[["x", "z"]], y, groups=groups)
    model.fit(X, y, groups=groups)
    assert_allclose(model.log_likelihood_, same.log_likelihood_)


def test_a_category_has_its_dummy_variables_in_the_log_variance():
    data = RATINGS.assign(kind=np.resize(["a", "b", "c"], len(RATINGS)))
    parameters = {"variance_features": ["kind", "z"]}
    dummies = ["kind[T.b]", "kind[T.c]"]
    model, X, *_ = from_formula("score ~ 1 + (1 | rater)", data, **parameters)
    assert model.variance_features == [*dummies, "z"] == list(X)
    assert model.mean_features == []
    model, X, *_ = from_formula("score ~ kind + (1 | rater)", data, **parameters)
    assert model.variance_features == [*dummies, "z"] == list(X)
    assert model.mean_features == dummies
    assert parameters == {"variance_features": ["kind", "z"]}
    for column in ("kind", "two"):
        two = data.assign(two=data["kind"] == "a").astype({"two": str})
        with pytest.raises(ValueError, match=rf"'{column}' of the table is a category"):
            from_formula("score ~ 1 + (1 | rater)", two, variance_offset=column)


def test_columns_of_the_log_variance_that_are_nowhere():
    for parameters in ({"variance_features": ["no"]}, {"variance_offset": "no"}):
        with pytest.raises(ValueError, match=r"names 'no', which is no column of the"):
            from_formula("score ~ 1 + (1 | rater)", RATINGS, **parameters)
    holes = RATINGS.assign(z=RATINGS["z"].mask(RATINGS.index == RATINGS.index[1]))
    with pytest.raises(ValueError, match=r"='z'.*column 'z' has missing values in 1"):
        from_formula("score ~ 1 + (1 | rater)", holes, variance_features=["z"])


def test_a_known_log_variance_in_the_formula_is_not_in_the_mean():
    data = RATINGS.rename(columns={"x.1": "x"})
    for formula in ("score ~ x + z + (1 | rater)", "score ~ z + (x | rater)"):
        model, X, y, groups = from_formula(formula, data, variance_offset="z")
        model.fit(X, y, groups=groups)
        assert model.coef_[list(X).index("z")] == 0.0


def test_positions_of_the_log_variance_are_those_of_the_formula():
    data = RATINGS.rename(columns={"x.1": "x"})
    formula = "score ~ x + (z | rater)"
    by_name, *_ = from_formula(formula, data, variance_offset="x")
    by_position, *_ = from_formula(formula, data, variance_offset=0)
    assert by_position.mean_features == by_name.mean_features == []
    beyond, X, y, groups = from_formula(formula, data, variance_offset=7)
    with pytest.raises(ValueError, match="variance_offset=7 but X has 2 columns"):
        beyond.fit(X, y, groups=groups)
    model, X, *_ = from_formula(formula, data, variance_features=[1])
    assert model.variance_features == [1]
    assert list(X) == ["x", "z"]


@pytest.mark.parametrize(
    "response, same",
    [
        ("distance - age", lambda d: d["distance"] - d["age"]),
        ("log(distance) - log(age)", lambda d: np.log(d["distance"] / d["age"])),
        ("distance^2", lambda d: d["distance"] ** 2),
        ("(distance - 20)", lambda d: d["distance"] - 20),
        ("distance / 10", lambda d: d["distance"] / 10),
        ("distance + age", lambda d: d["distance"] + d["age"]),
        ("-distance", lambda d: -d["distance"]),
    ],
)
def test_the_response_is_any_arithmetic(response, same):
    """``distance - age`` was distance, and ``distance^2`` was distance."""
    d = SLEEP.rename(columns={"Reaction": "distance", "Days": "age"})
    d["age"] += 1
    found = from_formula(f"{response} ~ . + (1 | Subject)", d)
    assert_allclose(found.y, same(d))
    assert found.y.name == response
    assert "distance" not in found.X


@pytest.mark.parametrize(
    "written, same",
    [
        ("I(Days^2)", lambda x: x**2),
        ("I((Days - 4)^2)", lambda x: (x - 4) ** 2),
        ("log(1 + Days^2)", lambda x: np.log(1 + x**2)),
        ("sqrt(Days)", np.sqrt),
        ("sin(2 * pi * Days / 7)", lambda x: np.sin(2 * np.pi * x / 7)),
        ("np.sqrt(`Days`)", np.sqrt),
        ("scale(Days, scale = FALSE)", lambda x: x - x.mean()),
        ("Days.clip(2, 5)", lambda x: x.clip(2, 5)),
        ("I(1e-2 * Days)", lambda x: 0.01 * x),
    ],
)
@pytest.mark.parametrize("kind", [int, float])
def test_functions_are_rs(written, same, kind):
    """``^`` was the exclusive or of integers, without a word."""
    d = SLEEP.astype({"Days": kind})
    found = from_formula(f"Reaction ~ {written} + ({written} | Subject)", d)
    assert found.X.shape[1] == 1
    assert_allclose(found.X.iloc[:, 0], same(SLEEP["Days"]))
    assert "column" not in found.X.columns[0]


@pytest.mark.parametrize(
    "written, n_columns",
    [
        ("C(kind, contr.sum)", 2),
        ("C(kind, contr.poly)", 2),
        ('C(kind, contr.treatment("b"))', 2),
        ("as.factor(kind)", 2),
        ("cr(Days, df = 4)", 4),
        ("bs(Days, df = 4)", 4),
        ("log2(1 + Days)", 1),
        ("abs(Days - 4)", 1),
        ("I(Days > 4)", 1),
        ("Days * kind", 5),
    ],
)
def test_the_words_of_the_guide_are_read(written, n_columns):
    d = SLEEP.assign(kind=np.resize(["a", "b", "c"], len(SLEEP)))
    X = from_formula(f"Reaction ~ {written} + (1 | Subject)", d).X
    assert X.shape[1] == n_columns
    assert np.isfinite(X.to_numpy(float)).all()


def test_the_name_of_an_argument_is_no_column():
    d = SLEEP.assign(degree=1.0)
    found = from_formula("Reaction ~ poly(Days, degree=2) + (1 | Subject)", d)
    assert found.X.shape[1] == 2


def test_powers_of_a_sum_are_interactions():
    found = from_formula("Reaction ~ (Days + z)^2 + (1 | Subject)", SLEEP.assign(z=1.0))
    assert list(found.X) == ["Days", "z", "Days:z"]


def test_factors_and_raw_polynomials():
    days = SLEEP.astype({"Days": int})
    found = from_formula("Reaction ~ as.factor(Days) + (1 | Subject)", days)
    assert list(found.X) == [f"C(Days)[T.{k}]" for k in range(1, 10)]
    found = from_formula("Reaction ~ poly(Days, 2, raw=TRUE) + (1 | Subject)", SLEEP)
    assert_allclose(found.X.iloc[:, 1], SLEEP["Days"] ** 2)


@pytest.mark.parametrize(
    "name", ["1", "yield", "Intercept", "a.b", "a b", "C", "é", ""]
)
def test_any_name_is_that_of_a_column(name):
    """``1`` was the intercept and vanished, ``yield`` is a word of Python's."""
    d = SLEEP.rename(columns={"Days": name})
    plain = from_formula("Reaction ~ log(1 + Days) + (Days | Subject)", SLEEP)
    for written in (f"`{name}`", ".", name if name.isidentifier() else "."):
        found = from_formula(f"Reaction ~ 1 + {written} + (1 | Subject)", d)
        assert list(found.X) == [name]
    found = from_formula(f"Reaction ~ log(1 + `{name}`) + (`{name}` | Subject)", d)
    assert list(found.X) == [f"log(1 + {name})", name]
    assert_allclose(found.X, plain.X)
    found = from_formula("Reaction ~ 1 + (1 | Subject)", d, variance_features=[name])
    assert list(found.X) == [name]
    assert found.model.variance_features == [name]


def test_columns_that_are_named_by_numbers():
    d = SLEEP.rename(columns={"Days": 7})
    assert list(from_formula("Reaction ~ . + (1 | Subject)", d).X) == ["7"]


@pytest.mark.parametrize("dtype", ["category", "string", "object", "string[pyarrow]"])
def test_text_of_any_kind_is_dummy_variables_of_the_levels_that_occur(dtype):
    """A level that no row had left the coefficients of the others untold."""
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    machines = table("Machines")
    machines["Machine"] = machines["Machine"].astype(dtype)
    some = machines[machines["Machine"] != "A"]
    found = from_formula("score ~ Machine + (Machine | Worker)", some)
    assert list(found.X) == ["Machine[T.C]"]
    assert_allclose(found.X.iloc[:, 0], some["Machine"] == "C")


@pytest.mark.parametrize("kind", [float, Decimal])
def test_objects_that_are_numbers_are_numbers(kind):
    d = SLEEP.assign(
        Days=[kind(int(x)) for x in SLEEP["Days"]],
        Reaction=[kind(float(x)) for x in SLEEP["Reaction"]],
    ).astype(object)
    found = from_formula("Reaction ~ Days + (1 | Subject)", d)
    assert list(found.X) == ["Days"]
    assert_allclose(found.y, SLEEP["Reaction"])


def test_what_is_left_out_after_a_term():
    found = from_formula("Reaction ~ Days + (1 | Subject) - 1", SLEEP)
    assert not found.model.fit_intercept
    assert list(found.X) == ["Days"]


NEW = pd.DataFrame(
    {"Days": [5, 7, 9, 11], "Subject": 308, "kind": list("baab")}, index=list("wxyz")
)


@pytest.mark.parametrize(
    "formula",
    [
        "Reaction ~ Days + (Days | Subject)",
        "Reaction ~ scale(Days) * kind + (0 + kind | Subject)",
        "log(Reaction) ~ poly(Days, 2) + (poly(Days, 2) || Subject)",
        "Reaction ~ . + (1 | Subject)",
    ],
)
def test_new_rows_have_the_columns_of_the_fit(formula):
    """Columns made from the new rows alone had other means, bases and categories."""
    d = SLEEP.assign(kind=np.resize(["a", "b", "c"], len(SLEEP)))
    made = from_formula(formula, d, variance_features=["kind"])
    again, groups = made.new_rows(d.iloc[7:3:-1].drop(columns="Reaction"))
    assert_allclose(again, made.X.iloc[7:3:-1])
    assert again.index.equals(groups.index)
    X, groups = made.new_rows(NEW)
    assert list(X) == list(made.X)
    assert list(X.index) == list("wxyz")
    assert groups.equals(NEW[["Subject"]])
    X, groups = made.new_rows(NEW[["kind", "Days"]])
    assert groups is None
    assert_allclose(X, made.new_rows(NEW).X)


def test_new_rows_that_have_no_columns():
    d = SLEEP.assign(kind=np.resize(["a", "b", "c"], len(SLEEP)))
    made = from_formula("Reaction ~ Days + kind + (1 | Subject/kind)", d)
    for new, fault in [
        (NEW.drop(columns="Days"), "The new rows have no column 'Days'"),
        (NEW.drop(columns="Subject"), "names the label column 'Subject', which is not"),
        (NEW.assign(kind=list("baxx")), "New rows have 'x' as kind, which no row of"),
        (NEW.assign(Days=[1.0, 2.0, np.nan, 3.0]), "'Days' has missing values in 1 of"),
        (
            pd.concat([NEW, NEW[["Days"]]], axis=1),
            "2 columns of the table are named",
        ),
    ]:
        with pytest.raises(ValueError, match=fault):
            made.new_rows(new)
    with pytest.raises(TypeError, match=r"data is a pandas.DataFrame, got a dict"):
        made.new_rows(NEW.to_dict())
    assert pickle.loads(pickle.dumps(made)).new_rows(NEW).X.equals(made.new_rows(NEW).X)


@pytest.mark.parametrize(
    "written, unseen",
    [
        ("C(Days)", 12),
        ("C(Days, contr.sum)", 12),
        ("C(Days, contr.poly)", 12),
        ("C(np.minimum(Days, 8) // 2)", None),
        ("C(Days > 4)", None),
    ],
)
def test_an_unseen_level_is_not_the_first_one(written, unseen):
    days = SLEEP.astype({"Days": int})
    made = from_formula(f"Reaction ~ {written} + (1 | Subject)", days)
    new = pd.DataFrame({"Days": [3, 12], "Subject": 308})
    assert_allclose(made.new_rows(new[:1]).X, made.X[days["Days"] == 3][:1])
    if unseen is None:
        assert len(made.new_rows(new).X) == 2
    else:
        with pytest.raises(ValueError, match=rf"New rows have {unseen} as C\(Days"):
            made.new_rows(new)


TYPES = pd.DataFrame(
    {
        "y": np.random.default_rng(1).normal(size=24),
        "x": np.linspace(0.5, 3.5, 24),
        "b": np.arange(24) % 3 == 0,
        "c": np.arange(24) % 4 < 2,
        "u": (np.arange(24, dtype="uint8") * 10),
        "k": np.arange(24) % 4 + 1,
        "s": np.array(list("abc"))[np.arange(24) % 3],
        "g": np.arange(24) % 6,
    }
)


@pytest.mark.parametrize(
    "effects, columns, intercept",
    [
        ("b", ["b[T.True]"], True),
        ("0 + b", ["b[False]", "b[True]"], False),
        ("b:x", ["b[False]:x", "b[True]:x"], True),
        ("b/x", ["b[T.True]", "b[False]:x", "b[True]:x"], True),
        ("I(x > 2):x", ["I(x > 2)[False]:x", "I(x > 2)[True]:x"], True),
        ("factor(k)", ["C(k)[T.2]", "C(k)[T.3]", "C(k)[T.4]"], True),
        ("C(`k`)", ["C(k)[T.2]", "C(k)[T.3]", "C(k)[T.4]"], True),
        ("C(u * 128 > 256)", ["C(u * 128 > 256)[T.True]"], True),
        ("C(b + c)", ["C(b + c)[T.1.0]", "C(b + c)[T.2.0]"], True),
        ("I(b & ~c)", ["I(b & ~c)[T.True]"], True),
        ("0 + I(b)", ["I(b)[False]", "I(b)[True]"], False),
        ("I(x^.5)", ["I(x ** 0.5)"], True),
        ("x %in% s", ["x:s[a]", "x:s[b]", "x:s[c]"], True),
        ("(0 + x)", ["x"], False),
        ("(x - 1)", ["x"], False),
        ("k + (x - k)", ["k", "x"], True),
        ("(x + k)^2 - k", ["x", "x:k"], True),
        ("x - x + k", ["k"], True),
        ("1 + {x + 1}", ["x + 1"], True),
        (
            "poly(x, 2, raw=T)",
            ["poly(x, 2, raw=True)[0]", "poly(x, 2, raw=True)[1]"],
            1,
        ),
    ],
)
def test_the_mean_has_the_columns_of_r(effects, columns, intercept):
    """Truth values are factors; 0 and 1 are about the intercept within brackets too."""
    for formula in (f"y ~ {effects} + (1 | g)", f"y ~ (1 | g) + {effects}"):
        model, X, *_ = from_formula(formula, TYPES)
        assert list(X) == columns
        assert model.fit_intercept == intercept


@pytest.mark.parametrize(
    "effects, columns, terms",
    [
        ("x + ((0 + x) | g)", ["x"], "(0 + x | g)"),
        ("x + (-1 + x | g)", ["x"], "(0 + x | g)"),
        ("x + ((1 | g))", ["x"], "(1 | g)"),
        ("(x + (1 | g))", ["x"], "(1 | g)"),
        ("((1 | g) + (1 | s)) + x", ["x"], "(1 | g) + (1 | s)"),
        ("k + (1 | g) - x + x", ["k", "x"], "(1 | g)"),
        (
            "x + (0 + b | g)",
            ["x", "b[False]", "b[True]"],
            "(0 + `b[False]` + `b[True]` | g)",
        ),
        ("x + I(s != 'a|c') + (1 | g)", ["x"], "(1 | g)"),
    ],
)
def test_random_effects_are_those_of_r(effects, columns, terms):
    model, X, *_ = from_formula(f"y ~ {effects}", TYPES)
    assert list(X) == columns
    assert model.random_effects == terms


def test_an_intercept_that_is_given_back_is_there():
    for formula, expected in (
        ("x + (1 | g) - 1 + 1", True),
        ("x + (1 | g) - 1", False),
    ):
        model, *_ = from_formula(f"y ~ {formula}", TYPES)
        assert model.fit_intercept == expected


@pytest.mark.parametrize("effects", ["x:1", "1*x", "(x + 0)*k", "(1 + x):k"])
def test_numbers_in_products_are_told(effects):
    with pytest.raises(
        ValueError, match=r"the number [01] in a product or in brackets"
    ):
        from_formula(f"y ~ {effects} + (1 | g)", TYPES)


@pytest.mark.parametrize(
    "effect, expected",
    [
        ("I(u^2)", lambda d: d["u"].astype(float) ** 2),
        ("u:k", lambda d: d["u"].astype(float) * d["k"]),
        ("I(u - k)", lambda d: d["u"].astype(float) - d["k"]),
        ("I(k^40)", lambda d: d["k"].astype(float) ** 40),
        ("I(k^-1)", lambda d: 1 / d["k"]),
        ("log(1 + u, 2)", lambda d: np.log2(1 + d["u"].astype(float))),
        ("I(b + c)", lambda d: d["b"].astype(float) + d["c"]),
        ("I(b - c)", lambda d: d["b"].astype(float) - d["c"]),
    ],
)
def test_arithmetic_is_in_double_precision(effect, expected):
    """Small integers overflowed, and the sum of truth values was their or."""
    X = from_formula(f"y ~ {effect} + (1 | g)", TYPES).X
    assert_allclose(X.iloc[:, 0], expected(TYPES), rtol=1e-14)
    y = from_formula(f"{effect.replace(':', '*')} ~ x + (1 | g)", TYPES).y
    assert_allclose(y, expected(TYPES), rtol=1e-14)


def test_in_beside_brackets_is_refused():
    """R has one interaction of all their columns."""
    with pytest.raises(ValueError, match="has %in% beside brackets"):
        from_formula("y ~ (x + k) %in% s + (1 | g)", TYPES)


def test_a_condition_may_be_the_response():
    for response in ("b", "I(x > 2)"):
        made = from_formula(f"{response} ~ u + (1 | g)", TYPES)
        assert_allclose(made.y, TYPES.eval(response.strip("I()")).astype(float))


@pytest.mark.parametrize(
    "formula",
    [
        "y ~ I(x > 2) + (1 | g)",
        "y ~ C(x > 2) + (1 | g)",
        "I(x > 2) ~ k + (1 | g)",
        "y ~ k + (I(x != 2) | g)",
    ],
)
def test_a_missing_value_in_a_comparison_is_missing(formula):
    """It was False in silence, in the fit and in new rows."""
    missing = TYPES.assign(x=TYPES["x"].where(TYPES.index != 5))
    with pytest.raises(ValueError, match=r"'x' has missing values in 1 of 24 rows"):
        from_formula(formula, missing)
    made = from_formula(formula, TYPES)
    if "x" in formula.partition("~")[2]:
        with pytest.raises(ValueError, match=r"'x' has missing values in 1 of 24 rows"):
            made.new_rows(missing)


@pytest.mark.parametrize(
    "name, parameters",
    [
        ("y ~ `x:k` + (0 + x:k | g)", {}),
        ("y ~ `x:k` + x:k + (1 | g)", {}),
        ("y ~ x:k + (1 | g)", {"variance_features": ["x:k"]}),
        ("y ~ t + (0 + t | g)", {}),
    ],
)
def test_two_columns_of_one_name_are_told(name, parameters):
    """One of the two was in the place of the other."""
    levels = np.array(["a", "b", "T.b"])[np.arange(24) % 3]
    data = TYPES.assign(**{"x:k": np.arange(24) ** 2.0, "t": levels})
    with pytest.raises(ValueError, match=r"named '.*Rename that of the table"):
        from_formula(name, data, **parameters)


def test_a_polynomial_that_numbers_do_not_determine_is_refused():
    for degree, refused in ((3, False), (4, True)):
        formula = f"y ~ poly(k, degree={degree}) + (1 | g)"
        if refused:
            with pytest.raises(ValueError, match=r"has the degree 4.* has 4 values"):
                from_formula(formula, TYPES)
        else:
            assert from_formula(formula, TYPES).X.shape[1] == 3


@pytest.mark.parametrize(
    "function",
    [
        "I(x - x.mean())",
        "I(x / np.max(x))",
        "x.rank()",
        "I(x > x.mean())",
        "x.clip(lower=x.quantile(0.2), upper=x.quantile(0.8))",
    ],
)
def test_new_rows_need_functions_of_a_row_or_remembered_ones(function):
    """They had other values than the same rows in the fit."""
    for data in (TYPES, TYPES.assign(x=1e-12 * TYPES["x"])):
        made = from_formula(f"y ~ {function} + (1 | g)", data)
        with pytest.raises(ValueError, match=r"depends on all rows of the table"):
            made.new_rows(data[:3])


@pytest.mark.parametrize("kind", [object, float, "boolean", "Int64"])
def test_truth_values_of_another_type_are_read(kind):
    made = from_formula("y ~ b * x + (1 | g)", TYPES)
    new = made.new_rows(TYPES.astype({"b": kind}))
    pd.testing.assert_frame_equal(new.X, made.X)
    with pytest.raises(ValueError, match="'b' has missing values in 24 of 24"):
        made.new_rows(TYPES.assign(b=None))


@pytest.mark.parametrize("value", [2, "True"])
def test_what_is_no_truth_value_is_told(value):
    made = from_formula("y ~ b + (1 | g)", TYPES)
    column = [value] + [True] * 23
    with pytest.raises(ValueError, match=rf"have {value!r} as 'b', .* truth values"):
        made.new_rows(TYPES.assign(b=column))


@pytest.mark.parametrize("kind", ["category", object])
def test_new_labels_of_a_category_may_be_plain_numbers(kind):
    """The number itself stood in every dummy variable."""
    data = TYPES.assign(n=TYPES["k"].astype("category"))
    made = from_formula("y ~ n + (1 | g)", data)
    new = made.new_rows(TYPES.assign(n=TYPES["k"].astype(kind)))
    pd.testing.assert_frame_equal(new.X, made.X)
    assert_allclose(made.new_rows(TYPES.assign(n=TYPES["k"])).X, made.X)
    with pytest.raises(ValueError, match="New rows have 9 as n, which no row"):
        made.new_rows(TYPES.assign(n=9))


def test_columns_that_no_formula_names_are_of_any_kind():
    beyond = TYPES.assign(n=pd.Series([10**400] * 24, dtype=object))
    assert list(from_formula("y ~ x + (1 | g)", beyond).X) == ["x"]
    parts = TYPES.assign(n=pd.cut(TYPES["x"], 3))
    assert from_formula("y ~ I(n) + (1 | g)", parts).X.shape[1] == 2
    with pytest.raises(ValueError, match="data has no rows"):
        from_formula("y ~ x + (1 | g)", TYPES[:0])


def test_text_in_the_place_of_numbers_is_told():
    made = from_formula("y ~ x + (1 | g)", TYPES)
    with pytest.raises(ValueError, match=r"'x' of type .*, where .* have numbers"):
        made.new_rows(TYPES.astype({"x": str}))
    assert len(made.new_rows(TYPES[:0]).X) == 0


def test_without_formulaic_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match="Install it with `pip install formulaic`"):
        from_formula("Reaction ~ Days + (1 | Subject)", SLEEP)
