"""Sentences about variances that the data cannot tell."""

import numpy as np
import pytest

from skmixed._results.factor_facts import _why, facts
from skmixed._rows.term import CONSTANT, Term

CODES = np.array([0, 0, 1, 1, 2, 2])


def term(name, codes, columns=(CONSTANT,)):
    return Term(
        name,
        [f"l{code}" for code in range(max(codes) + 1)],
        np.array(codes),
        np.array(columns),
        (tuple(range(len(columns))),),
    )


@pytest.mark.parametrize(
    "terms, lost, sentence",
    [
        (
            [term("cask", CODES), term("cask:batch", CODES)],
            ["intercept"],
            "'cask:batch' divides the rows exactly as 'cask' does; its variance is set "
            "to 0. Did you mean 'batch/cask'?",
        ),
        (
            [term("cask", CODES), term("box", CODES)],
            ["intercept"],
            "'box' divides the rows exactly as 'cask' does; its variance is set to 0. "
            "Leave one out.",
        ),
        (
            [term("item", range(6))],
            ["intercept"],
            "'item' has 6 labels in 6 rows, so that its random intercept cannot be "
            "told from the noise; its variance is set to 0.",
        ),
        (
            [term("item", [0] * 6, (CONSTANT, 0))],
            ["intercept", "x"],
            "'item' has one label only, l0, so that its random intercept and random "
            "slope of 'x' cannot be told from the mean; their variances are set to 0.",
        ),
        (
            [term("cask", CODES), term("box", CODES, (CONSTANT, 0))],
            ["x"],
            "The data cannot tell the random slope of 'x' of 'box' from the rest of "
            "the model; its variance is set to 0.",
        ),
    ],
    ids=["turned", "alike", "rows", "one label", "slope"],
)
def test_a_variance_that_is_not_told_has_its_reason(terms, lost, sentence):
    assert _why(len(terms) - 1, terms, lost, 6) == sentence


def sentence_of(first, second):
    """The one fact about two factors."""
    (sentence,) = facts([term("a", first), term("b", second)])
    return sentence


@pytest.mark.parametrize(
    "first, second, sentence",
    [
        ([0, 1, 1, 0], [1, 0, 0, 1], "a and b divide the rows in the same way."),
        ([0, 1, 2, 3], [0, 0, 1, 1], "a: 4 labels, each in one b (nested)."),
        ([0, 0, 1, 1], [0, 1, 2, 3], "b: 4 labels, each in one a (nested)."),
        # The factor of fewer labels is the inner one, the second if both have as many.
        ([0, 0, 0, 1], [0, 1, 2, 0], "a: 2 labels, each in 1 to 3 labels of b"),
        ([0, 1, 2, 0], [0, 0, 0, 1], "b: 2 labels, each in 1 to 3 labels of a"),
        ([0, 0, 1, 1], [0, 1, 0, 1], "b: 2 labels, each in 2 labels of a"),
    ],
)
def test_factors_nest_or_cross(first, second, sentence):
    assert sentence_of(first, second).startswith(sentence)


def test_crossed_factors_say_how_many_combinations_there_are():
    sentence = sentence_of([0, 0, 0, 1], [0, 1, 2, 0])
    assert "(crossed, 4 of 6 combinations)." in sentence
    assert "If a l0 of one b is not a l0 of another, write b/a." in sentence
