"""Random problems of linear mixed models: one to three factors, awkward ones above all.

Each has a number, which tells all of it.
"""

import numpy as np
import pandas as pd
import polars
import pyarrow
from scipy import sparse

from oracles import random_problems as rows
from skmixed import LinearMixedRegressor

LARGEST_N, LARGEST_P = 90, 6
# Problems of one series are drawn in the same way.
SERIES = 1
# The levels of a further factor, as the levels of the first lie in it.
RELATIONS = ("crossed", "crossed", "around", "inside", "same", "disconnected")
TABLES = ("frame", "frame", "structured", "array", "polars", "arrow", "list")
# Kinds of labels that are NumPy's.
NUMPY_LABELS = ("int", "negative", "large int", "float", "str", "bytes", "date")
PLAIN = ("int", "negative", "float", "str")
KINDS = {
    "structured": NUMPY_LABELS,
    "array": NUMPY_LABELS,
    "polars": PLAIN,
    "arrow": PLAIN,
    "list": PLAIN,
}
NAMES = ("g0", "g1", "g2")
# Further questions to a fit, by the names of `oracles.mixed_doors`.
DOORS = (
    None, "batches", "iterations", "intervals", "factors", "tests", "updates",
    "profiles", "other models",
)  # fmt: skip


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
    if kind in ("array", "list"):
        table = np.array([np.asarray(c).tolist() for c in plain], dtype=object).T
        return table if kind == "array" else table.tolist()
    if kind in ("polars", "arrow"):
        library = polars.DataFrame if kind == "polars" else pyarrow.table
        return library(dict(zip(NAMES, map(np.asarray, plain), strict=False)))
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


def any_term(rng, p):
    """Columns with slopes, whether there is an intercept, and the bar."""
    columns = some_of(rng, p, 3)
    intercept = not columns or rng.random() < 0.75
    return tuple(columns), intercept, pick(rng, ["|", "|", "||"])


def some_of(rng, p, most):
    """Up to so many of p columns, none among these numbers."""
    return rng.permutation(p)[: rng.integers(min(p, most) + 1)].tolist()


def pick(rng, values):
    """One of some values."""
    return values[rng.integers(len(values))]


def any_options(rng, p):
    """Options of the estimator."""
    options = {
        "method": pick(rng, ["reml", "ml"]),
        "fit_intercept": bool(rng.random() < 0.75),
        "alpha": pick(rng, [0.0, 0.0, 0.0, 0.0, 1.0]),
    }
    if p and rng.random() < 0.06:
        offset = int(rng.integers(p)) if rng.random() < 0.3 else None
        chosen = [j for j in some_of(rng, p, 2) if j != offset]
        options |= {
            "variance_features": pick(rng, [chosen, chosen, "all"]),
            "variance_alpha": pick(rng, [0.0, 0.0, 0.1, 10.0]),
            "variance_offset": offset,
        }
    if p and rng.random() < 0.15:
        options["mean_features"] = some_of(rng, p, p)
    return options


def any_story(rng):
    """The ingredients of a problem."""
    n, p = int(rng.integers(1, LARGEST_N + 1)), int(rng.integers(LARGEST_P + 1))
    n_factors = int(rng.integers(1, 4))
    table = pick(rng, TABLES if n_factors > 1 else ("column", *TABLES))
    kinds = KINDS.get(table, rows.LABELS)
    ordinary = rng.random() < 0.5
    return {
        "n": n,
        "columns": [
            "normal" if ordinary else pick(rng, rows.COLUMNS) for _ in range(p)
        ],
        "target": pick(rng, rows.TARGETS),
        "noise": pick(rng, [1.0, 0.1, 1e-3]),
        "levels": [
            pick(rng, rows.GROUPS[:-1]),
            *(pick(rng, RELATIONS) for _ in range(n_factors - 1)),
        ],
        "n_levels": int(rng.integers(1, max(1, n // 2) + 1)),
        "terms": [any_term(rng, p) for _ in range(n_factors)],
        "weight": pick(rng, rows.WEIGHTS),
        "table": table,
        "door": pick(rng, DOORS),
        "labels": [pick(rng, kinds) for _ in range(n_factors)],
        "container": pick(rng, rows.CONTAINERS),
        "unit": 0 if ordinary else int(rng.integers(-50, 51)),
        "units": [0 if ordinary else int(rng.integers(-50, 51)) for _ in range(p)],
        "seed": int(rng.integers(2**32)),
    }


def any_mixed_problem(number):
    """The problem of a linear mixed model with this number."""
    rng = np.random.default_rng([number, SERIES])
    story = any_story(rng)
    return make(any_options(rng, len(story["columns"])), story)


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
