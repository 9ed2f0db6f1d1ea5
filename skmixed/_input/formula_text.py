"""The text of a formula as lme4 writes it: its parts, and its words in Python's."""

import re

from .notation import RandomEffects, parse, shown, split_outside, split_term

EXAMPLE = "y ~ days + (days | subject)"
TOKEN = re.compile(
    r"(?P<quoted>`[^`]*`)|(?P<text>'[^']*'|\"[^\"]*\")|(?P<number>\d[\w.]*)"
    r"|(?P<name>[^\W\d][\w.]*)|(?P<other>.)",
    re.DOTALL,
)
# Another way to quote a name.
QUOTING_CALL = re.compile(r"\bQ\(\s*(['\"])(.*?)\1\s*\)")
FUNCTIONS = {"factor": "C", "as.factor": "C"}
CONSTANTS = {"TRUE": "True", "FALSE": "False"}
# Columns of the table have these names for formulaic, which reads some others (`1`,
# `yield`, `a.b` in a function) in its own way.
ALIAS = re.compile(r"\b_column_(\d+)_\b")


def alias(position):
    """The name of a column for formulaic."""
    return f"_column_{position}_"


def translated(text, aliases):
    """A part of a formula as formulaic reads it.

    Names of columns become their aliases, which are those of a dict, and ``^`` in a
    function, where Python has another meaning for it, a power.
    """
    text, words, calls, before = QUOTING_CALL.sub(r"`\2`", text), [], [], None
    for token in TOKEN.finditer(text):
        kind, word, left = token.lastgroup, token.group(), text[token.end() :].lstrip()
        new = word
        if kind == "quoted":
            new = aliases.get(word[1:-1], word)
        elif kind == "name":
            new = _word(word, left, aliases, bool(calls and calls[-1]))
        elif word in "([{":
            calls.append(word == "{" or before == "name" or any(calls))
        elif word in ")]}" and calls:
            calls.pop()
        elif word == "^" and calls and calls[-1]:
            new = "**"
        words.append(new)
        before = before if word.isspace() else kind
    return "".join(words)


def _word(word, left, aliases, in_call):
    """A word as formulaic reads it; `left` is the text after it."""
    if left.startswith("("):
        if word in FUNCTIONS:
            return FUNCTIONS[word]
    elif in_call and re.match(r"=(?!=)", left):
        return word  # the name of an argument
    elif word in aliases:
        return aliases[word]
    elif word in CONSTANTS:
        return CONSTANTS[word]
    column, dot, rest = word.partition(".")  # a method of a column
    return aliases[column] + dot + rest if dot and column in aliases else word


def parts_of(formula):
    """The text of y, that of the mean, and the terms in brackets with a bar."""
    sides = split_outside(formula, "~")
    if len(sides) != 2 or not all(side.strip() for side in sides):
        raise ValueError(
            f"{shown(formula)} is no formula of one '~', such as {EXAMPLE!r}."
        )
    response, right = (side.strip() for side in sides)
    mean, terms, without = [], [], []
    for piece in map(str.strip, split_outside(right, "+")):
        if len(split_outside(piece, "|")) > 1:
            raise ValueError(
                f"{shown(formula)}: {shown(piece)} has a bar outside of brackets. "
                "Random effects stand in brackets, such as '(days | subject)'."
            )
        first, *rest = split_outside(piece, "-")
        if not _has_bar(piece):
            mean.append(piece)
        elif _has_bar(first) and not any(map(_has_bar, rest)):
            terms.append(first.strip())
            without += rest
        else:
            terms.append(piece)
    if not terms:
        raise ValueError(
            f"{shown(formula)} has no random effects, such as '+ (1 | subject)'. "
            "Without them scikit-learn's LinearRegression is the model, and "
            "LinearMixedRegressor(random_effects='') one with its likelihood."
        )
    mean = " + ".join(mean) or "1"
    return response, " - ".join([mean, *map(str.strip, without)]), terms


def _has_bar(piece):
    return "|" in re.sub(r"`[^`]*`", "", piece)


def sides_of(piece, formula):
    """The effects left of a term's bar, and its random intercepts, several where the
    term is nested.
    """
    left, right, covariance = split_term(piece, f"{shown(formula)}: {shown(piece)}")
    intercepts = parse(f"(1 | {right})")
    terms = [RandomEffects(t.groups, covariance=covariance) for t in intercepts]
    return left.strip() or "1", terms
