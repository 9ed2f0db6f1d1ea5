"""Terms become factors: effects, blocks, names, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest

from skmixed._input.factors import Factor, merge_terms, read_labels
from skmixed._input.notation import RandomEffects, read_terms

LABELS = pd.DataFrame({"s": [1, 1, 2], "i": [1, 2, 2], "s:i": [0, 0, 0]})
NAMES = ["x", "y", "z"]


def merge(random_effects, names=NAMES, features=(0, 1, 2), labels=LABELS):
    terms = read_terms(random_effects)
    table = read_labels(terms, labels, 3)
    return merge_terms(terms, table, np.array(features), names, len(NAMES))


def test_notation_of_one_factor_are_one():
    (factor,) = merge("(0 + y | s) + (1 | s) + (x + z || s)".replace("x + z", "0 + x"))
    assert factor == Factor(
        name="s",
        labels=(0,),
        columns=(-1, 1, 0),
        effects=("intercept", "y", "x"),
        blocks=((0,), (1,), (2,)),
    )
    assert merge("(1 | s) + (0 + x | s)") == merge("(x || s)")
    assert merge(["(1 | s)", "(0 + x | s)"]) == merge("(x || s)")
    (factor,) = merge("(0 + z + x | s) + (1 | s)")
    assert (factor.columns, factor.blocks) == ((-1, 2, 0), ((0,), (1, 2)))


def test_the_order_is_that_of_the_terms():
    found = merge("(x | i) + (1 | s) + (0 + y | i)")
    assert [factor.name for factor in found] == ["i", "s"]
    assert found[0].blocks == ((0, 1), (2,))
    assert [factor.name for factor in merge("(1 | s/i)")] == ["s", "s:i"]
    both = merge("(1 | i:s) + (0 + x | s:i)")
    assert [(factor.name, factor.effects) for factor in both] == [
        ("i:s", ("intercept", "x"))
    ]


def test_without_terms_every_label_column_is_a_factor():
    found = merge(None, labels=LABELS[["i", "s"]])
    assert [(f.name, f.columns) for f in found] == [("i", (-1,)), ("s", (-1,))]
    assert merge("") == merge(()) == ()


def test_positions_are_among_the_features():
    """Column 1 of X holds labels."""
    features = (0, 2)
    (factor,) = merge("(z + x | s)", features=features)
    assert (factor.columns, factor.effects) == ((-1, 1, 0), ("intercept", "z", "x"))
    assert merge(RandomEffects("s", [2, 0]), features=features) == (factor,)
    assert merge(RandomEffects("s", [-1, -3]), features=features) == (factor,)
    (masked,) = merge(RandomEffects("s", [True, False, True]), features=features)
    assert masked.columns == (-1, 0, 1)
    (unnamed,) = merge("(x2 | s)", None, features)
    assert (unnamed.columns, unnamed.effects) == ((-1, 1), ("intercept", "x2"))


ENCODED = ["num__len", "cat__cond_b"]
REFUSED = [
    (
        "(1 | s) + (x | s)",
        NAMES,
        "'s' has two random intercepts, which no data can tell apart. '(x | s)' has "
        "one already; for an uncorrelated one write '(x || s)'.",
    ),
    ("(1 | s) + (1 | s)", NAMES, "'s' has two random intercepts"),
    (
        "(x | s) + (0 + x || s)",
        NAMES,
        "'s' has two random slopes of 'x', which no data can tell apart. '(x | s)' has",
    ),
    ("(1 | s:i) + (1 | i:s)", NAMES, "'s:i' has two random intercepts"),
    ("(1 | s/i) + (1 | `s:i`)", NAMES, "Two factors are called 's:i'"),
    (
        "(days | s)",
        None,
        "random_effects names 'days', but X has no column names; its columns are x0, "
        "x1, x2. Write '(x0 | s)', or keep names with "
        '.set_output(transform="pandas").',
    ),
    (
        "(len | s)",
        [*ENCODED, "z"],
        "random_effects names 'len', which is not among the columns of X, ['num__len', "
        "'cat__cond_b', 'z']. Did you mean 'num__len'?",
    ),
    (
        "(kind_rare | s)",
        ["kind_b", "y", "z"],
        "random_effects names 'kind_rare', which is not among the columns of X, "
        "['kind_b', 'y', 'z']. If a fold lacks the category, give OneHotEncoder its "
        "categories.",
    ),
    ("(dayz | s)", ["days", "y", "z"], "Did you mean 'days'?"),
    (
        "(kind | s)",
        ["kind_b", "one__kind_c", "z"],
        " Did you mean its columns, 'kind_b + one__kind_c'?",
    ),
    ("(x | s)", ["x", "x", "z"], "names 'x', which X has 2 times"),
    (
        "(intercept | s)",
        ["intercept", "y", "z"],
        "A column of X with random slopes is called 'intercept', as the random "
        "intercept of 's' is in all results. Rename the column.",
    ),
    (RandomEffects("s", [3]), NAMES, "names column 3, but X has 3 columns"),
    (RandomEffects("s", [0, -3]), NAMES, "names a column of X twice"),
    (RandomEffects("s", [True]), NAMES, "has a mask of 1 columns, but X has 3"),
]


@pytest.mark.parametrize("terms, names, message", REFUSED, ids=str)
def test_what_is_refused(terms, names, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        merge(terms, names)


@pytest.mark.parametrize("names, shown", [(NAMES, "'y'"), (None, "'x1'")])
def test_a_label_column_has_no_slope(names, shown):
    with pytest.raises(ValueError, match=f"has a slope of column {shown} of X, which"):
        merge(RandomEffects("s", [1]), names, features=(0, 2))
