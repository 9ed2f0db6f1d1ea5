"""Random texts where terms of random effects, or a whole formula, are expected.

`judge` and `judge_formula` raise AssertionError with what does not hold of a text.
"""

import sys
import time
import unicodedata

import pandas as pd
from hypothesis import strategies as st

from oracles import laws
from skmixed._input.notation import RandomEffects, parse
from skmixed.formula import from_formula

# Seconds of CPU that 100,000 characters may take, and characters of a message.
LONGEST, MESSAGE = 1.0, 1000
SIGNS = ["(", ")", "|", "||", "+", "/", ":", "`", "``", "[", "]", "~", " ", "0", "1"]
TERMS = ["(1 | s)", "(x | s)", "(0 + x || a/b)", "([0] | [-1])", "(`a b` | a:b)"]
# A null byte, a lone surrogate, marks that turn the direction, an accent of its own, a
# ligature, a fraction, the signs for ohm and kelvin, digits of other scripts, and other
# spaces: names that are equal after NFKC, and those that are not.
ODD = [
    *"\0\ud800\udfff\u200f\u202e\u0301\u200d\ufb01\xbd\u2126\u212a\uff12\u0663\xb2",
    *"\xa0\u3000\u2028\x1c\x85\n\t\ufeff\U0001f469\U000e0041",
    "fi", "a\u030a", "\xe5", "\u2126", "x\u200b", "True", "None", "lambda",
]  # fmt: skip
CATEGORIES = sorted({unicodedata.category(chr(i)) for i in range(sys.maxunicode + 1)})
CHARACTERS = st.sampled_from(CATEGORIES).flatmap(
    lambda category: st.characters(categories=[category])
)
PIECES = st.one_of(
    *map(st.sampled_from, [SIGNS, SIGNS, TERMS, ODD]), CHARACTERS, st.text(max_size=4)
)
TEXTS = st.lists(PIECES, max_size=14).map("".join)
NAMES = st.lists(PIECES, max_size=4).map("".join) | st.text(max_size=8)
COLUMNS = NAMES | st.integers(-99, 99)


@st.composite
def any_term(draw):
    """A `RandomEffects` with names of any characters."""
    groups = draw(st.lists(COLUMNS, min_size=1, max_size=3, unique=True))
    slopes = st.lists(COLUMNS, max_size=3, unique=True)
    features = draw(slopes | st.lists(st.booleans(), max_size=3))
    intercept = draw(st.booleans()) or not features
    covariance = draw(st.sampled_from(["full", "diagonal"]))
    return RandomEffects(groups, features, intercept=intercept, covariance=covariance)


@st.composite
def mutated_terms(draw):
    """Terms as they are printed, and then changed at a few places."""
    text = " + ".join(map(str, draw(st.lists(any_term(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 4))):
        at, length = draw(st.integers(0, len(text))), draw(st.integers(0, 3))
        some = text[at : at + length]
        text = text[:at] + draw(PIECES | st.just(2 * some)) + text[at + length :]
    return text


@st.composite
def any_formula(draw):
    """A formula of a table with the columns of `FRAME`, changed at a few places."""
    names = st.sampled_from(["y", "x", "z", "s", "`a b`", "`\ufb01`", "fi", "1", "0"])
    left, right = draw(names), draw(st.lists(names, max_size=3))
    terms = [f"({draw(names)} | {draw(names)})"]
    if draw(st.integers(0, 3)) == 0:
        terms.append(draw(mutated_terms()))
    text = f"{left} ~ {' + '.join([*right, *terms])}"
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(PIECES) + text[at + draw(st.integers(0, 2)) :]
    return text


FRAME = pd.DataFrame(
    {name: range(4) for name in ("y", "x", "z", "s", "a b", "\ufb01", "fi", "\0")}
).assign(s=list("abab"))


def judge(text):
    """ "terms" that print and parse back to themselves, or "refused" clearly."""
    start = time.process_time()
    try:
        terms = parse(text)
    except (ValueError, TypeError) as error:
        assert_clear(error, start, len(text))
        return "refused"
    assert_quick(start, len(text))
    assert parse(" + ".join(map(str, terms))) == terms
    assert all(parse(str(term)) == (term,) for term in terms)
    return "terms"


def judge_formula(text):
    """ "model" whose terms print and parse back, or "refused" clearly."""
    start = time.process_time()
    try:
        model, X, y, groups = from_formula(text, FRAME)
    except (ValueError, TypeError) as error:
        assert_clear(error, start, len(text))
        return "refused"
    terms = parse(model.random_effects)
    assert terms
    assert " + ".join(map(str, terms)) == model.random_effects
    assert {c for t in terms for c in t.label_columns} <= set(groups.columns)
    assert {c for t in terms for c in t.features} <= set(X.columns)
    assert len(X) == len(y) == len(groups) == len(FRAME)
    return "model"


def assert_clear(error, start, length):
    """A message that this package gives, short and soon."""
    assert_quick(start, length)
    laws.assert_clear(error)
    assert len(str(error)) < MESSAGE, len(str(error))


def assert_quick(start, length):
    """Time that grows no faster than the text, but for what a call takes anyway."""
    seconds = time.process_time() - start
    assert seconds < LONGEST * (0.5 + length / 100_000), f"{seconds} s for {length}"
