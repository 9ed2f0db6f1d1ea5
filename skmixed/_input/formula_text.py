"""The text of a formula as lme4 writes it: its parts, and its words in Python's."""

import re
from typing import NamedTuple

from .notation import RandomEffects, parse, shown, split_outside, split_term

EXAMPLE = "y ~ days + (days | subject)"
TOKEN = re.compile(
    r"(?P<quoted>`[^`]*`)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>\.?\d[\w.]*)"
    r"|(?P<name>\.?[^\W\d][\w.]*)|(?P<other>.)",
    re.DOTALL,
)
QUOTED_TEXT = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"")
# Another way to quote a name.
QUOTING_CALL = re.compile(r"\bQ\(\s*(['\"])(.*?)\1\s*\)")
# a %in% b has the terms of a:b in R.
WITHIN = re.compile(r"%\s*in\s*%")
WITHIN_BRACKETS = re.compile(r"\)\s*%\s*in|in\s*%\s*\(")
LEVELS, FUNCTIONS = "C", {"factor": "C", "as.factor": "C"}
CONSTANTS = {"TRUE": "True", "FALSE": "False"}
SHORT = {"T": "True", "F": "False"}  # as arguments, unless these are columns
INTERCEPTS = ("0", "1")
# Columns of the table have these names for formulaic, which reads some others (`1`,
# `yield`, `a.b` in a function) in its own way.
ALIAS = re.compile(r"\b_(?:column|number|truth)_(\d+)_\b")
OPENING, CLOSING = {"(", "[", "{"}, {")", "]", "}"}
# In these calls truth values stay such, unless they are calculated with.
CONDITIONS, ARITHMETIC = ("C", "I"), re.compile(r"[-+*/^%]")


def alias(position, kind="column"):
    """The name of a column for formulaic; of the kind "number" in double precision, of
    the kind "truth" as truth values.
    """
    return f"_{kind}_{position}_"


class Aliases(NamedTuple):
    """The names of a column for formulaic: by itself, in calculations, in conditions,
    and as levels.
    """

    bare: str
    number: str
    truth: str
    levels: str

    def among(self, word, calls):
        """The one of a word within some calls, the innermost last."""
        if not calls:
            return self.bare
        name, argument = calls[-1]
        if name == LEVELS and split_outside(argument, ",")[0].strip() == word:
            return self.levels
        is_condition = name in CONDITIONS and not ARITHMETIC.search(argument)
        return self.truth if is_condition else self.number


def translated(text, aliases):
    """A part of a formula as formulaic reads it.

    Names of columns become their `Aliases`, which are those of a dict, and ``^`` in a
    function, where Python has another meaning for it, a power.
    """
    text = WITHIN.sub(":", QUOTING_CALL.sub(r"`\2`", text))
    words, brackets, before = [], [], ""
    for token in TOKEN.finditer(text):
        kind, word, left = token.lastgroup, token.group(), text[token.end() :]
        calls = [call for call in brackets if call[0]]
        new = word
        if kind == "quoted" and word[1:-1] in aliases:
            new = aliases[word[1:-1]].among(word, calls)
        elif kind == "name":
            new = _word(word, left.lstrip(), aliases, calls)
        elif word in "([{":
            brackets.append(("I" if word == "{" else before, _argument(left)))
        elif word in ")]}" and brackets:
            brackets.pop()
        elif word == "^" and calls:
            new = "**"
        words.append(new)
        if not word.isspace():
            before = new if kind == "name" else ""
    return "".join(words)


def _argument(text):
    """The text before the bracket that closes one which is open."""
    depth = 0
    for token in TOKEN.finditer(text):
        depth += (token.group() in OPENING) - (token.group() in CLOSING)
        if depth < 0:
            return text[: token.start()]
    return text


def _word(word, left, aliases, calls):
    """A word as formulaic reads it; `left` is the text after it."""
    if left.startswith("("):
        if word in FUNCTIONS:
            return FUNCTIONS[word]
    elif calls and re.match(r"=(?!=)", left):
        return word  # the name of an argument
    elif word in aliases:
        return aliases[word].among(word, calls)
    elif word in CONSTANTS:
        return CONSTANTS[word]
    elif calls and word in SHORT:
        return SHORT[word]
    column, dot, rest = word.partition(".")  # a method of a column
    if dot and column in aliases:
        return aliases[column].among(word, calls) + dot + rest
    return word


def parts_of(formula):
    """The text of y, that of the mean, and the terms in brackets with a bar."""
    sides = split_outside(formula, "~")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise ValueError(
            f"{shown(formula)} is no formula of one '~', such as {EXAMPLE!r}."
        )
    response, right = (side.strip() for side in sides)
    mean, terms = [], []
    for sign, piece in _sum(right):
        if len(split_outside(piece, "|")) > 1:
            raise ValueError(
                f"{shown(formula)}: {shown(piece)} has a bar outside of brackets. "
                "Random effects stand in brackets, such as '(days | subject)'."
            )
        if _has_bar(piece):
            terms.append(piece if sign == "+" else f"- {piece}")
        else:
            mean.append((sign, piece))
    if not terms:
        raise ValueError(
            f"{shown(formula)} has no random effects, such as '+ (1 | subject)'. "
            "Without them scikit-learn's LinearRegression is the model, and "
            "LinearMixedRegressor(random_effects='') one with its likelihood."
        )
    return response, effects_of(mean, formula), terms


def effects_of(pieces, formula):
    """The text of signed pieces of a sum, after a check of what R reads otherwise."""
    for _, piece in pieces:
        if WITHIN_BRACKETS.search(piece):
            raise ValueError(
                f"{shown(formula)}: {shown(piece)} has %in% beside brackets. Write its "
                "terms out, with ':' between columns."
            )
        if piece not in INTERCEPTS and (number := _loose_number(piece)):
            raise ValueError(
                f"{shown(formula)}: {shown(piece)} has the number {number} in a "
                "product or in brackets. 0, 1 and -1 are about the intercept, and "
                "stand by themselves in a sum; numbers to calculate with in I(...)."
            )
    if not pieces or pieces[0][0] == "-":
        pieces = [("+", "1"), *pieces]
    return _joined(pieces)


def _joined(pieces):
    return " ".join(f"{sign} {piece}" for sign, piece in pieces).removeprefix("+ ")


def _sum(text):
    """(sign, piece) of a sum.  Brackets around random effects are taken away, and what
    is said of the intercept in other ones is put before these.
    """
    pieces = []
    for piece in split_outside(text, "+"):
        first, *rest = map(str.strip, split_outside(piece, "-"))
        pieces += [*_inside(first), *(("-", each) for each in rest)]
    return [(sign, piece) for sign, piece in pieces if piece]


def _inside(piece):
    """(sign, piece) of a piece that is added."""
    is_sum = _is_in_brackets(piece) and len(split_outside(piece[1:-1], "|")) == 1
    if not is_sum:
        return [("+", piece)]
    pieces = _sum(piece[1:-1])
    if _has_bar(piece):
        return pieces
    of_intercept = [each for each in pieces if each[1] in INTERCEPTS]
    others = [each for each in pieces if each[1] not in INTERCEPTS]
    return [*of_intercept, ("+", f"({_joined(others)})" if others else "")]


def _is_in_brackets(piece):
    """Whether the first bracket is the one that the last character closes."""
    if not piece.startswith("(") or not piece.endswith(")"):
        return False
    opened = QUOTED_TEXT.sub("", piece)[1:-1]
    return all(
        opened[:k].count(")") <= opened[:k].count("(") for k in range(len(opened))
    )


def _loose_number(piece):
    """The first number of a piece that is neither in a function nor a power."""
    brackets, before = [], ""
    for token in TOKEN.finditer(piece.replace("**", "^")):
        kind, word = token.lastgroup, token.group()
        if kind == "number" and not any(brackets) and before != "^":
            return word
        if word in "([{":
            brackets.append(word == "{" or before == "name")
        elif word in ")]}" and brackets:
            brackets.pop()
        if not word.isspace():
            before = word if kind == "other" else kind
    return None


def _has_bar(piece):
    return "|" in QUOTED_TEXT.sub("", piece)


def sides_of(piece, formula):
    """The effects left of a term's bar, and its random intercepts, several where the
    term is nested.
    """
    left, right, covariance = split_term(piece, f"{shown(formula)}: {shown(piece)}")
    intercepts = parse(f"(1 | {right})")
    terms = [RandomEffects(t.groups, covariance=covariance) for t in intercepts]
    return effects_of(_sum(left), formula), terms
