"""Terms of random effects: lme4's notation and the same as objects.

A text is cut at ``+``, ``|``, ``/`` and ``:`` wherever they stand outside of brackets
and backticks; whatever is left between them has to be a name.
"""

import numbers
import re
import reprlib
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Literal, NoReturn

import numpy as np

from .parameters import check_choice, check_flag

EXAMPLE = "(days | subject)"
# A name in backticks holds a backtick as two; an index or an entry of a mask is bare
# in square brackets.
QUOTES = "`'\""
QUOTED = re.compile(r"`((?:[^`]|``)*)`")
PLAIN = re.compile(r"(?![\d.]+\Z)[\w.]+")
BRACKETED = re.compile(r"\[(-?\d{1,18}|True|False)\]", re.ASCII)
BARS = {"full": "|", "diagonal": "||"}
# The term that a whole formula holds, for the message that refuses it.
TERM = re.compile(r"\([^()|]*\|[^()]*\)")
# Each of so many factors at most is nested in those before it, whose names it repeats.
MOST_NESTED = 1000
# Texts are cut in messages beyond so many characters.
SHORT = reprlib.Repr()
SHORT.maxstring = 200
shown = SHORT.repr


@dataclass(frozen=True, init=False, eq=False)
class RandomEffects:
    """Random effects of a grouping factor, one term of a model.

    The same as a term of text, for indices of columns and for names that a program
    makes: ``str(term)`` is the text.  Terms are immutable, and equal if their parts
    are, in the same order.

    Parameters
    ----------
    groups : str, int or tuple of these
        Name of the label column, or its position among the label columns; a tuple of
        several is their combination, whose levels are the combinations of labels that
        occur.
    features : list of str, int or bool, default=()
        Names or indices of the columns of X that have random slopes, or a mask of them.
    intercept : bool, default=True
        Whether there is a random intercept.
    covariance : {"full", "diagonal"}, default="full"
        Whether the effects of a level covary freely, or not at all.

    Raises
    ------
    TypeError, ValueError
        If a parameter is of the wrong type or value, if a column is named twice, or if
        there is neither an intercept nor a slope.

    See Also
    --------
    LinearMixedRegressor : Takes terms as `random_effects`.

    Examples
    --------
    >>> from skmixed import RandomEffects
    >>> print(RandomEffects("subject", ["days"]))
    (days | subject)
    >>> print(RandomEffects(("school", "class"), intercept=False, features=["age now"]))
    (0 + `age now` | school:class)
    >>> RandomEffects("subject", ["days"]) == RandomEffects("subject", ("days",))
    True
    """

    groups: str | int | tuple[str | int, ...]
    features: tuple[str | int, ...]
    intercept: bool
    covariance: Literal["full", "diagonal"]

    def __init__(
        self,
        groups: str | int | Iterable[str | int],
        features: Iterable[Any] = (),
        *,
        intercept: bool = True,
        covariance: Literal["full", "diagonal"] = "full",
    ) -> None:
        check_flag(intercept, "intercept")
        check_choice(covariance, "covariance", tuple(BARS))
        columns = (groups,) if _is_one(groups) else _columns(groups, "groups")
        slopes = _columns(features, "features")
        if not columns:
            raise ValueError("groups is an empty list; it names one column or more.")
        if any(isinstance(column, bool) for column in columns):
            raise TypeError(f"groups is a name or an index, got {groups!r}.")
        if not intercept and not slopes:
            raise ValueError(
                "A term with intercept=False and no features has no effects."
            )
        one = len(columns) == 1
        values = columns[0] if one else columns, slopes, bool(intercept), covariance
        for name, value in zip(self.__dataclass_fields__, values, strict=True):
            object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        """Whether the texts are equal: of tuples, a mask would equal indices."""
        if not isinstance(other, RandomEffects):
            return NotImplemented
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def label_columns(self) -> tuple[str | int, ...]:
        """The label columns, several for a combination."""
        return self.groups if isinstance(self.groups, tuple) else (self.groups,)

    def __str__(self) -> str:
        first = [] if self.intercept and self.features else [str(int(self.intercept))]
        left = " + ".join([*first, *map(as_text, self.features)])
        right = ":".join(map(as_text, self.label_columns))
        return f"({left} {BARS[self.covariance]} {right})"


def read_terms(random_effects):
    """The terms that a user wrote, a tuple of `RandomEffects`; None for None."""
    if random_effects is None:
        return None
    if isinstance(random_effects, str):
        return parse(random_effects)
    if isinstance(random_effects, RandomEffects):
        return (random_effects,)
    if isinstance(random_effects, (list, tuple)):
        if all(isinstance(term, (str, RandomEffects)) for term in random_effects):
            return tuple(t for term in random_effects for t in read_terms(term))
        random_effects = next(
            term
            for term in random_effects
            if not isinstance(term, (str, RandomEffects))
        )
    kind = type(random_effects).__name__
    raise TypeError(
        "random_effects is text such as '(cond | subject) + (1 | item)', a "
        f"RandomEffects or a list of them, got {'an' if kind[0] in 'aeiou' else 'a'} "
        f"{kind}."
    )


def parse(text):
    """Terms of a text such as ``(days | subject) + (1 | item)``, a tuple."""
    if not text.strip():
        return ()
    if len(split_outside(text, "~")) > 1:
        term = TERM.search(text)
        example = shown(term[0] if term else EXAMPLE)
        raise ValueError(
            f"random_effects={shown(text)} is a whole formula. Only its terms "
            f"with a bar go here, such as {example}; the columns of the mean are those "
            "of X."
        )
    terms = [_parse_term(piece.strip(), text) for piece in split_outside(text, "+")]
    return tuple(term for expanded in terms for term in expanded)


def as_text(column):
    """A name as it is written in a term; an index in brackets."""
    if not isinstance(column, str):
        return f"[{column}]"
    quoted = f"`{column.replace('`', '``')}`"
    return column if _is_plain(column) else quoted


def _parse_term(piece, text):
    """The terms of ``(left | right)``: several where the right side is nested."""
    where = f"random_effects={shown(text)}: {shown(piece)}"
    left, right, covariance = split_term(piece, where)
    effects = [effect.strip() for effect in split_outside(left, "+")]
    slopes = [_name(effect, piece) for effect in effects if effect not in ("0", "1")]
    nested = [
        [_name(label.strip(), piece) for label in split_outside(combination, ":")]
        for combination in split_outside(right, "/")
    ]
    if len(effects) - len(slopes) > 1 or ("0" in effects and not slopes):
        raise ValueError(
            f"{shown(piece)}: left of the bar stand columns of X, after '0 +' "
            "where there is no random intercept; '1' alone is a random intercept."
        )
    if len(nested) > MOST_NESTED:
        raise ValueError(
            f"{shown(piece)} nests {len(nested)} factors; {MOST_NESTED} at most "
            "are nested. Make a column of the combined labels."
        )
    form = {"intercept": "0" not in effects, "covariance": covariance}
    outer = accumulate(nested)
    try:
        return [RandomEffects(labels, slopes, **form) for labels in outer]
    except (TypeError, ValueError) as error:
        raise type(error)(f"{shown(piece)}: {error}") from None


def split_term(piece, where):
    """The text left of the bar, that right of it, and the covariance of the effects;
    an error begins with `where`.
    """
    if "|" not in QUOTED.sub("", piece):
        raise ValueError(
            f"{where} has no bar. Columns of the mean are those of X (or "
            "mean_features); terms are such as '(cond | subject)'."
        )
    sides = split_outside(piece[1:-1], "|")
    uncorrelated = len(sides) == 3 and not sides[1]
    in_brackets = (
        piece[0] == "(" and piece[-1] == ")" and len(split_outside(piece, "|")) == 1
    )
    if not in_brackets or not (len(sides) == 2 or uncorrelated):
        raise ValueError(
            f"{where} is no term in brackets with one bar, such as '{EXAMPLE}', or "
            "with '||' for effects that are not correlated."
        )
    return sides[0], sides[-1], "diagonal" if uncorrelated else "full"


def split_outside(text, separator):
    """The pieces of a text between separators outside of brackets and quotes."""
    pieces, start, depth, quote = [], 0, 0, ""
    for i, character in enumerate(text):
        if quote or character in QUOTES:
            quote = {"": character, character: ""}.get(quote, quote)
            continue
        depth += (character in "([{") - (character in ")]}")
        if character == separator and not depth:
            pieces.append(text[start:i])
            start = i + 1
    return [*pieces, text[start:]]


def _name(text, piece):
    """A column as it is written in a term: a name, or an index in brackets."""
    if not text:
        raise ValueError(
            f"{shown(piece)}: a name is missing; a term is such as '{EXAMPLE}'."
        )
    if _is_plain(text):
        return text
    if quoted := QUOTED.fullmatch(text):
        return quoted[1].replace("``", "`")
    if bracketed := BRACKETED.fullmatch(text):
        value = bracketed[1]
        return value == "True" if value in ("True", "False") else int(value)
    raise ValueError(
        f"{shown(piece)}: {shown(text)} is no column name. Make the "
        "column by a transformer before the model; names with spaces or signs go in "
        "backticks."
    )


def _is_plain(name):
    """Whether a name needs no backticks: letters, digits, dots and underscores.  Vowels
    and accents that are characters of their own belong to the letter before them.
    """
    letters = [c for c in name if not unicodedata.category(c).startswith("M")]
    return letters[:1] == [*name[:1]] and bool(PLAIN.fullmatch("".join(letters)))


def _is_one(value):
    return isinstance(value, (str, numbers.Integral, np.bool_))


def _columns(values, parameter):
    """Names, indices or a mask as a tuple of Python's own str, int and bool."""
    if isinstance(values, (str, bytes, dict)) or not isinstance(values, Iterable):
        _refuse(values, parameter)
    columns = tuple(v.item() if isinstance(v, np.generic) else v for v in values)
    mask = [isinstance(column, bool) for column in columns]
    if (any(mask) and not all(mask)) or not all(map(_is_one, columns)):
        _refuse(values, parameter)
    columns = tuple(str(c) if isinstance(c, str) else c for c in columns)
    if len(set(columns)) < len(columns) and not any(mask):
        twice = Counter(columns).most_common(1)[0][0]
        raise ValueError(f"{parameter} names {shown(twice)} twice.")
    return columns


def _refuse(values, parameter) -> NoReturn:
    raise TypeError(
        f"{parameter} is a list of names or indices of columns, got {values!r:.100}."
    )
