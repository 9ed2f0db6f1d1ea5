"""Terms of random effects: the notation, the objects, and what is refused."""

import copy
import pickle
import re
import sys
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from oracles import random_texts

from skmixed._input.notation import RandomEffects, parse, read_terms

INTERCEPT = RandomEffects("s")
READ = {
    "": (),
    "  ": (),
    "(1 | s)": (INTERCEPT,),
    "(1|s)": (INTERCEPT,),
    "(x | s)": (RandomEffects("s", ["x"]),),
    "(1 + x | s)": (RandomEffects("s", ["x"]),),
    "(x + y || s)": (RandomEffects("s", ["x", "y"], covariance="diagonal"),),
    "(0 + x | s)": (RandomEffects("s", ["x"], intercept=False),),
    "(x + 0 | s)": (RandomEffects("s", ["x"], intercept=False),),
    "(1 | a:b)": (RandomEffects(("a", "b")),),
    "(1 | a/b/c)": tuple(map(RandomEffects, ["a", ("a", "b"), ("a", "b", "c")])),
    "(1 | a:b/c)": tuple(map(RandomEffects, [("a", "b"), ("a", "b", "c")])),
    "(x | s) + (1 | i)": (RandomEffects("s", ["x"]), RandomEffects("i")),
    "(`a b` | `c|d`)": (RandomEffects("c|d", ["a b"]),),
    "(`a``(b` + `1` | `~`)": (RandomEffects("~", ["a`(b", "1"]),),
    "(x.1 + 2x | größe_2)": (RandomEffects("größe_2", ["x.1", "2x"]),),
    "([0] + [-1] | [1])": (RandomEffects(1, [0, -1]),),
    "([True] + [False] | s)": (RandomEffects("s", [True, False]),),
}


@pytest.mark.parametrize("text", READ)
def test_what_a_text_says(text):
    assert parse(text) == READ[text]


TERMS = dict.fromkeys(term for terms in READ.values() for term in terms)


@pytest.mark.parametrize("term", TERMS, ids=str)
def test_a_term_is_its_text(term):
    assert parse(str(term)) == (term,)
    for other in (copy.deepcopy(term), pickle.loads(pickle.dumps(term))):
        assert other == term
        assert hash(other) == hash(term)


def test_canonical_texts():
    assert str(RandomEffects("s", ["x"])) == "(x | s)"
    assert str(RandomEffects("s")) == "(1 | s)"
    assert str(RandomEffects("s", ["1"], intercept=False)) == "(0 + `1` | s)"
    assert str(RandomEffects(("a", "b c"), covariance="diagonal")) == "(1 || a:`b c`)"


def test_every_letter_of_unicode_needs_no_backticks():
    """Names of columns are words of any script, vowel signs and accents included."""
    letters = [c for c in map(chr, range(sys.maxunicode + 1)) if c.isalpha()]
    names = ["".join(letters[i : i + 64]) for i in range(0, len(letters), 64)]
    words = ["दिन", unicodedata.normalize("NFD", "größe_é"), "วันที่", "x²", "ẋ.1"]
    for name in names + words:
        term = RandomEffects(name, [name])
        assert str(term) == f"({name} | {name})"
        assert parse(str(term)) == (term,)
    # A mark without a letter, or a digit of another script, would be taken apart.
    for name in ("\u0301", "\u0301a", "१", "1\u0301"):
        assert str(RandomEffects(name)) == f"(1 | `{name}`)"


def test_a_mask_is_no_list_of_indices():
    mask, indices = RandomEffects("s", [True, False]), RandomEffects("s", [1, 0])
    assert mask != indices
    assert {mask: "mask"}.get(indices) is None
    assert RandomEffects("s", [1]) != "([1] | s)"


def test_containers_of_names_are_tuples():
    expected = RandomEffects("s", ("x", "y"))
    assert RandomEffects(("s",), np.array(["x", "y"])) == expected
    assert RandomEffects(np.str_("s"), iter(["x", "y"])) == expected
    assert RandomEffects("s", np.array([0, 2])).features == (0, 2)
    assert type(RandomEffects("s", np.array([0, 2])).features[0]) is int
    with pytest.raises(AttributeError):
        expected.features = ()


def test_lists_join():
    joined = parse("(x | s) + (1 | i)")
    assert read_terms("(x | s) + (1 | i)") == joined
    assert read_terms(["(x | s)", RandomEffects("i")]) == joined
    assert read_terms(RandomEffects("i")) == (RandomEffects("i"),)
    assert read_terms(None) is None
    for none in ("", (), [], [""]):
        assert read_terms(none) == ()


NO_TERM = "is no term in brackets with one bar, such as '(days | subject)', or with"
LEFT = "left of the bar stand columns of X, after '0 +' where there is no random "
REFUSED = {
    "rt ~ cond + (cond | subject)": (
        "random_effects='rt ~ cond + (cond | subject)' is a whole formula. Only its "
        "terms with a bar go here, such as '(cond | subject)'; the columns of the mean "
        "are those of X."
    ),
    "y ~ x": "is a whole formula. Only its terms with a bar go here, such as '(days |",
    "cond + (cond | subject)": (
        "random_effects='cond + (cond | subject)': 'cond' has no bar. Columns of the "
        "mean are those of X (or mean_features); terms are such as '(cond | subject)'."
    ),
    "(x + y)": "'(x + y)' has no bar",
    "(1 | s) +": "'' has no bar",
    "(log(len) | subject)": (
        "'(log(len) | subject)': 'log(len)' is no column name. Make the column by a "
        "transformer before the model; names with spaces or signs go in backticks."
    ),
    "(a * b | s)": "'(a * b | s)': 'a * b' is no column name",
    "(x - 1 | s)": "'(x - 1 | s)': 'x - 1' is no column name",
    "(1 | a + b)": "'(1 | a + b)': 'a + b' is no column name",
    "(2 | s)": "'(2 | s)': '2' is no column name",
    "([x] | s)": "'([x] | s)': '[x]' is no column name",
    "(| s)": "'(| s)': a name is missing",
    "(1 | a/)": "'(1 | a/)': a name is missing",
    "x | s": f"random_effects='x | s': 'x | s' {NO_TERM}",
    "ar1(x | s)": f"'ar1(x | s)' {NO_TERM}",
    "(x | y | s)": f"'(x | y | s)' {NO_TERM}",
    "(x | | s)": f"'(x | | s)' {NO_TERM}",
    "((1 | s)": f"'((1 | s)' {NO_TERM}",
    "(`a | s)": f"'(`a | s)' {NO_TERM}",
    "(0 | s)": LEFT,
    "(1 + 0 + x | s)": LEFT,
    "(x + x | s)": "'(x + x | s)': features names 'x' twice.",
    "(1 | a/a)": "'(1 | a/a)': groups names 'a' twice.",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_term(text):
    with pytest.raises(ValueError, match=re.escape(REFUSED[text])):
        parse(text)


@pytest.mark.parametrize(
    "value, kind",
    [
        ({"subject": ["cond"]}, "a dict"),
        (1, "an int"),
        (b"(1 | s)", "a bytes"),
        (["(1 | s)", None], "a NoneType"),
        (np.array(["(1 | s)"]), "a ndarray"),
    ],
    ids=str,
)
def test_what_is_of_another_type(value, kind):
    with pytest.raises(TypeError) as caught:
        read_terms(value)
    assert str(caught.value) == (
        "random_effects is text such as '(cond | subject) + (1 | item)', a "
        f"RandomEffects or a list of them, got {kind}."
    )


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        (([],), ValueError, "groups is an empty list"),
        ((None,), TypeError, "groups is a list of names or indices"),
        ((True,), TypeError, "groups is a name or an index"),
        ((("a", "a"),), ValueError, "groups names 'a' twice"),
        (("s", "days"), TypeError, "features is a list of names or indices"),
        (("s", 0), TypeError, "features is a list of names or indices"),
        (("s", {"x": 1}), TypeError, "features is a list of names or indices"),
        (("s", [0.5]), TypeError, "features is a list of names or indices"),
        (("s", [True, 1]), TypeError, "features is a list of names or indices"),
        (("s", [1, 1]), ValueError, "features names 1 twice"),
    ],
    ids=str,
)
def test_what_is_no_object(arguments, error, match):
    with pytest.raises(error, match=match):
        RandomEffects(*arguments)


def test_what_is_no_form_of_an_object():
    with pytest.raises(ValueError, match="covariance is 'full' or 'diagonal'"):
        RandomEffects("s", covariance="ar1")
    with pytest.raises(TypeError, match="intercept is True or False"):
        RandomEffects("s", ["x"], intercept=0)
    with pytest.raises(ValueError, match="has no effects"):
        RandomEffects("s", intercept=False)


LONG = 200_000
TEXTS_OF_ANY_LENGTH = {
    "name": f"({'x' * LONG} | s)",
    "quoted": f"(`{'`` |' * LONG}` | s)",
    "terms": " + ".join(f"(1 | s{i})" for i in range(LONG // 20)),
    "nested": f"(1 | {'/'.join(f's{i}' for i in range(200))})",
    "brackets": "(" * LONG,
    "bars": f"y ~ ({'|' * LONG}",
    "backticks": "`" * LONG + "`",
    "no name": f"({'x ' * LONG} | s)",
    "twice": f"({' + '.join(f'x{i % (LONG // 20)}' for i in range(LONG // 10))} | s)",
    "nests 10000 factors": f"(1 | {'/'.join(f's{i}' for i in range(LONG // 20))})",
}


LONG_TERMS = "name", "quoted", "terms", "nested"
REFUSED_IF_LONG = [kind for kind in TEXTS_OF_ANY_LENGTH if kind not in LONG_TERMS]


@pytest.mark.parametrize("kind", LONG_TERMS)
def test_long_texts_are_terms(kind):
    terms = parse(TEXTS_OF_ANY_LENGTH[kind])
    assert parse(" + ".join(map(str, terms))) == terms


@pytest.mark.parametrize("kind", REFUSED_IF_LONG)
def test_long_texts_are_refused_in_a_short_message(kind):
    """Searches whose time grows with the square of the length would take minutes."""
    with pytest.raises(ValueError, match=r"\.\.\.") as caught:
        parse(TEXTS_OF_ANY_LENGTH[kind])
    assert len(str(caught.value)) < 1000


FEW = settings(derandomize=True, max_examples=300, deadline=None)


@FEW
@given(random_texts.TEXTS | random_texts.mutated_terms())
def test_any_text_is_terms_or_a_clear_error(text):
    random_texts.judge(text)


@settings(FEW, max_examples=60)
@given(random_texts.any_formula())
def test_any_formula_is_a_model_or_a_clear_error(text):
    random_texts.judge_formula(text)


@FEW
@given(random_texts.any_term())
def test_any_term_prints_and_parses_back(term):
    assert parse(str(term)) == (term,)
