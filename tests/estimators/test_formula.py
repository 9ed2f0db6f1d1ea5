"""Models from formulas, by formulaic."""

import sys
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
        ("Reaction ~ Days ++ (1 | Subject)", "cannot be read"),
        ("Reaction ~ table + (1 | Subject)", "'table' cannot be read"),
        ("Reaction ~ (] ``:`Days`) + (1 | Subject)", "cannot be read"),
        ("Reaction | ~ Days + (1 | Subject)", r"'Reaction \|' .* makes several tables"),
        ("Reaction ~ (Days~ | Subject)", r"'\(Days~ \| Subject\)' .* several tables"),
        ("Reaction + Days ~ 1 + (1 | Subject)", "y is one column of numbers.*gives 2"),
    ],
)
def test_a_wrong_formula_names_its_fault(formula, fault):
    with pytest.raises(ValueError, match=fault) as told:
        from_formula(formula, SLEEP)
    assert "\n" not in str(told.value)


def test_wrong_arguments():
    formula = "Reaction ~ Days + (1 | Subject)"
    with pytest.raises(TypeError, match=r"data is a pandas.DataFrame, got a dict"):
        from_formula(formula, {"Reaction": [1.0]})
    with pytest.raises(TypeError, match="A formula is text such as"):
        from_formula(SLEEP, formula)
    with pytest.raises(TypeError, match="fit_intercept is what the formula says"):
        from_formula(formula, SLEEP, fit_intercept=False)
    missing = SLEEP.assign(Days=SLEEP["Days"].where(SLEEP.index > 0))
    with pytest.raises(ValueError, match=r"'Days' cannot be read.*null values"):
        from_formula(formula, missing)


def test_without_formulaic_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match="Install it with `pip install formulaic`"):
        from_formula("Reaction ~ Days + (1 | Subject)", SLEEP)
