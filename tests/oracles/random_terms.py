"""Random problems of linear mixed models: one to three factors, awkward ones above all.

Hypothesis draws what a problem is made of, as in `oracles.random_problems`.
"""

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

from oracles import random_problems as rows
from skmixed import LinearMixedRegressor

LARGEST_N, LARGEST_P = 90, 6
# The levels of a further factor, as the levels of the first lie in it.
RELATIONS = ("crossed", "crossed", "around", "inside", "same", "disconnected")
TABLES = ("frame", "frame", "structured", "array")
NUMPY_LABELS = ("int", "negative", "large int", "float", "str", "bytes", "date")
NAMES = ("g0", "g1", "g2")


def make_levels(kinds, n, n_levels, rng):
    """Codes of every row, factor by factor: kind of the first, relations of others."""
    first = rows.make_codes(kinds[0], n, n_levels, rng)
    codes = [first]
    for relation in kinds[1:]:
        codes.append(np.unique(_relate(relation, first, rng), return_inverse=True)[1])
    return codes


def _relate(relation, first, rng):
    n, K = len(first), first.max() + 1
    across = rng.integers(max(2, K // 2), size=n)
    return {
        "crossed": lambda: across,
        "around": lambda: rng.permutation(K)[first] // 3,
        "inside": lambda: 2 * first + rng.integers(2, size=n),
        "same": lambda: rng.permutation(K)[first],
        "disconnected": lambda: 2 * across + first % 2,
    }[relation]()


def make_table(kind, labels, codes):
    """A table of labels, or the only column of it."""
    columns = [rows.make_labels(k, c) for k, c in zip(labels, codes, strict=True)]
    if kind == "column":
        return columns[0]
    plain = [getattr(c, "array", c) for c in columns]
    if kind == "frame":
        return pd.DataFrame(dict(zip(NAMES, plain, strict=False)))
    if kind == "array":
        return np.array([np.asarray(c).tolist() for c in plain], dtype=object).T
    dtype = [(name, c.dtype) for name, c in zip(NAMES, plain, strict=False)]
    table = np.empty(len(plain[0]), dtype=dtype)
    for name, column in zip(NAMES, plain, strict=False):
        table[name] = column
    return table


def with_effects(y, X, codes, terms, noise, rng):
    """The target and random effects of all terms, of any size down to none."""
    centred = X - X.mean(axis=0)
    spread = centred.std(axis=0)
    Z = np.column_stack([np.ones(len(y)), centred / np.where(spread > 0, spread, 1)])
    for (columns, _, _), c in zip(terms, codes, strict=True):
        q = 1 + len(columns)
        std = noise * 10.0 ** rng.uniform(-2, 1.5, q) * (rng.random(q) > 0.25)
        effects = rng.normal(size=(c.max() + 1, q)) * std @ rng.normal(size=(q, q))
        y = y + np.sum(effects[c] * Z[:, [0, *(j + 1 for j in columns)]], axis=1)
    return y


def notation(terms):
    """The terms as lme4 writes them."""
    texts = []
    for (columns, intercept, bar), name in zip(terms, NAMES, strict=False):
        left = " + ".join(["1" if intercept else "0", *(f"x{j}" for j in columns)])
        texts.append(f"({left} {bar} {name})")
    return " + ".join(texts)


@st.composite
def any_term(draw, p):
    """Columns with slopes, whether there is an intercept, and the bar."""
    columns = (
        draw(st.lists(st.sampled_from(range(p)), max_size=3, unique=True)) if p else []
    )
    intercept = not columns or draw(st.sampled_from([True, True, True, False]))
    return tuple(columns), intercept, draw(st.sampled_from(["|", "|", "||"]))


@st.composite
def any_mixed_problem(draw, largest_n=LARGEST_N):
    """A problem of a linear mixed model."""
    n, p = draw(st.integers(1, largest_n)), draw(st.integers(0, LARGEST_P))
    n_factors = draw(st.integers(1, 3))
    relations = [draw(st.sampled_from(RELATIONS)) for _ in range(n_factors - 1)]
    table = draw(st.sampled_from(TABLES if n_factors > 1 else ("column", *TABLES)))
    kinds = NUMPY_LABELS if table in ("structured", "array") else rows.LABELS
    ordinary = draw(st.booleans())
    story = {
        "n": n,
        "columns": ["normal"] * p
        if ordinary
        else draw(st.lists(st.sampled_from(rows.COLUMNS), min_size=p, max_size=p)),
        "target": draw(st.sampled_from(rows.TARGETS)),
        "noise": draw(st.sampled_from([1.0, 0.1, 1e-3])),
        "levels": [draw(st.sampled_from(rows.GROUPS[:-1])), *relations],
        "n_levels": draw(st.integers(1, max(1, n // 2))),
        "terms": [draw(any_term(p)) for _ in range(n_factors)],
        "weight": draw(st.sampled_from(rows.WEIGHTS)),
        "table": table,
        "labels": [draw(st.sampled_from(kinds)) for _ in range(n_factors)],
        "container": draw(st.sampled_from(rows.CONTAINERS)),
        "unit": 0 if ordinary else draw(st.integers(-50, 50)),
        "units": [0 if ordinary else draw(st.integers(-50, 50)) for _ in range(p)],
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    options = {
        "method": draw(st.sampled_from(["reml", "ml"])),
        "fit_intercept": draw(st.sampled_from([True, True, True, False])),
        "alpha": draw(st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0])),
    }
    if draw(st.integers(0, 3)) == 3:
        columns = st.lists(st.sampled_from(range(p)), max_size=2, unique=True)
        options["variance_features"] = draw(columns) if p else "all"
    return make(options, story)


def make(options, story):
    """The problem that a story tells of."""
    rng = np.random.default_rng(story["seed"])
    n, terms = story["n"], story["terms"]
    codes = make_levels(story["levels"], n, story["n_levels"], rng)
    X = rows.make_design(story["columns"], n, codes[0], rng)
    y = rows.make_target(story["target"], X, codes[0], story["noise"], rng)
    if story["target"] == "model":
        y = with_effects(y, X, codes, terms, story["noise"], rng)
    exponents = np.array(story["units"], dtype=float)
    if story["container"] == "float32":  # its range
        exponents = np.clip(exponents, -30, 30)
    X = rows.put_into(story["container"], X * 10.0**exponents)
    return rows.Problem(
        estimator=LinearMixedRegressor(notation(terms), **options),
        X=X,
        dense=X.toarray() if sparse.issparse(X) else np.asarray(X, dtype=float),
        y=y * 10.0 ** story["unit"],
        codes=codes,
        groups=make_table(story["table"], story["labels"], codes),
        weight=rows.make_weight(story["weight"], n, rng),
        story=story,
    )
