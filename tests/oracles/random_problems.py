"""Random problems, awkward ones above all: designs, labels, weights, units, options.

Hypothesis draws what a problem is made of, a seeded generator the numbers in it, so
that a failure shrinks to the fewest rows, columns and oddities that still fail.
"""

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from scipy import sparse

from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor

LARGEST_N, LARGEST_P = 300, 12
COLUMNS = (
    "normal", "normal", "normal", "constant", "zero", "duplicate", "sum",
    "of groups", "nearly of groups", "binary", "offset", "one row",
)  # fmt: skip
TARGETS = (
    "model", "model", "model", "constant", "exact", "of groups", "binary", "outlier",
)  # fmt: skip
GROUPS = ("random", "random", "one", "singles", "pairs", "giant", None)
WEIGHTS = (None, None, "counts", "real", "equal", "small", "ratio")
LABELS = (
    "int", "negative", "large int", "float", "str", "object", "bytes", "date",
    "category", "string", "Int64",
)  # fmt: skip
CONTAINERS = ("array", "fortran", "float32", "frame", "csr", "csc")
# Exponents of units; most problems have ordinary ones.
EXPONENTS = st.one_of(st.just(0), st.just(0), st.integers(-100, 100))


@dataclass(frozen=True)
class Problem:
    """An estimator and what it is to be fitted to.

    Attributes
    ----------
    estimator : RandomInterceptRegressor or HeteroscedasticGaussianRegressor
        Not fitted.
    X : {ndarray, DataFrame, sparse matrix} of shape (n, p)
    dense : ndarray of shape (n, p)
        The numbers of X.
    y : ndarray of shape (n,)
    codes : ndarray of shape (n,) or None
        Which group a row is in.
    groups : array-like of shape (n,) or None
        The labels.
    weight : ndarray of shape (n,) or None
    story : dict
        The choices that the problem was drawn by.
    """

    estimator: object
    X: object
    dense: np.ndarray
    y: np.ndarray
    codes: object
    groups: object
    weight: object
    story: dict = field(default_factory=dict)

    @property
    def data(self):
        """The arguments of `fit`."""
        return {
            "X": self.X,
            "y": self.y,
            "groups": self.groups,
            "sample_weight": self.weight,
        }

    def __repr__(self):
        story = ", ".join(f"{key}={value!r}" for key, value in self.story.items())
        return f"{self.estimator!r} on {story}"


# ------------------------------------------------------------------------------ numbers


def make_codes(kind, n, n_groups, rng):
    """Which group each of n rows is in."""
    if kind is None:
        return None
    codes = {
        "random": lambda: rng.integers(n_groups, size=n),
        "one": lambda: np.zeros(n, dtype=int),
        "singles": lambda: rng.permutation(n),
        "pairs": lambda: rng.permutation(np.arange(n) // 2),
        "giant": lambda: np.where(rng.random(n) < 0.8, 0, rng.integers(n, size=n)),
    }[kind]()
    return np.unique(codes, return_inverse=True)[1]


def make_column(kind, X, codes, rng):
    """A column beside the columns of X."""
    n, p = X.shape
    of_groups = rng.normal(size=n)[0 if codes is None else codes]
    column = {
        "normal": lambda: rng.normal(size=n),
        "constant": lambda: np.full(n, 3.7),
        "zero": lambda: np.zeros(n),
        "duplicate": lambda: X[:, -1].copy() if p else rng.normal(size=n),
        "sum": lambda: X.sum(axis=1) if p else rng.normal(size=n),
        "of groups": lambda: of_groups,
        "nearly of groups": lambda: of_groups + 1e-3 * rng.normal(size=n),
        "binary": lambda: rng.integers(2, size=n),
        "offset": lambda: 1e6 + rng.normal(size=n),
        "one row": lambda: np.arange(n) == n // 2,
    }[kind]()
    return np.zeros(n) + column


def make_design(kinds, n, codes, rng):
    """All columns."""
    X = np.empty((n, 0))
    for kind in kinds:
        X = np.column_stack([X, make_column(kind, X, codes, rng)])
    return X


def make_target(kind, X, codes, noise, rng):
    """y of order 1, or what is asked for."""
    n, p = X.shape
    centred = X - X.mean(axis=0)
    spread = centred.std(axis=0)
    centred /= np.where(spread > 0, spread, 1)
    mean = 1.5 + centred @ rng.normal(size=p) / np.sqrt(max(p, 1))
    level = np.zeros(n) if codes is None else rng.normal(size=n)[codes]
    slope = rng.normal() * centred[:, 0] if p else 0.0
    e = noise * np.exp(0.5 * np.clip(slope, -3, 3)) * rng.normal(size=n)
    return {
        "model": lambda: mean + level + e,
        "constant": lambda: np.full(n, 2.5),
        "exact": lambda: mean,
        "of groups": lambda: level,
        "binary": lambda: (mean + e > 1.5).astype(float),
        "outlier": lambda: np.where(np.arange(n) == 0, 1e6, mean + level + e),
    }[kind]()


def make_weight(kind, n, rng):
    """Weights of rows."""
    if kind is None:
        return None
    return {
        "counts": lambda: rng.integers(0, 4, size=n).astype(float),
        "real": lambda: rng.random(n) * (rng.random(n) < 0.8),
        "equal": lambda: np.full(n, 2.0),
        "small": lambda: np.full(n, 1e-6),
        "ratio": lambda: 10.0 ** rng.integers(-4, 5, size=n),
    }[kind]()


def make_labels(kind, codes):
    """Labels whose order is that of the codes."""
    if codes is None:
        return None
    names = np.array([f"group {code:04d}" for code in range(codes.max() + 1)])
    return {
        "int": lambda: codes,
        "negative": lambda: codes - 5,
        "large int": lambda: codes + 2**60,
        "float": lambda: codes / 8,
        "str": lambda: names[codes],
        "object": lambda: names[codes].astype(object),
        "bytes": lambda: names.astype(bytes)[codes],
        "date": lambda: np.datetime64("2020-01-01") + codes,
        "category": lambda: pd.Categorical.from_codes(codes, [*names, "unused"]),
        "string": lambda: pd.Series(names[codes], dtype="string", index=codes),
        "Int64": lambda: pd.Series(codes, dtype="Int64"),
    }[kind]()


def put_into(container, X):
    """The numbers of X in a container."""
    return {
        "array": lambda: X,
        "fortran": lambda: np.asfortranarray(X),
        "float32": lambda: X.astype(np.float32),
        "frame": lambda: pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])]),
        "csr": lambda: sparse.csr_array(X),
        "csc": lambda: sparse.csc_matrix(X),
    }[container]()


# ----------------------------------------------------------------------------- problems


@st.composite
def estimators(draw, p):
    """Either estimator, any options."""
    options = {
        "method": draw(st.sampled_from(["reml", "ml"])),
        "fit_intercept": draw(st.sampled_from([True, True, False])),
        "alpha": draw(st.sampled_from([0.0, 0.0, 0.0, 1e-6, 1.0, 1e6])),
    }
    if draw(st.booleans()):
        return RandomInterceptRegressor(**options)
    columns = st.one_of(
        st.none(),
        st.lists(st.sampled_from(range(p)), unique=True) if p else st.just([]),
    )
    return HeteroscedasticGaussianRegressor(
        **options,
        fit_variance_intercept=draw(st.sampled_from([True, True, True, False])),
        variance_alpha=draw(st.sampled_from([0.0, 0.0, 0.0, 0.1, 10.0])),
        mean_features=draw(columns),
        variance_features=draw(columns),
        mean_groups=draw(st.sampled_from(["random", "random", "fixed", None])),
        variance_groups=draw(st.sampled_from([None, None, "fixed"])),
    )


@st.composite
def problems(draw, ordinary=False, largest_n=LARGEST_N, largest_p=LARGEST_P):
    """A problem; an `ordinary` one has full rank, common units and plain containers."""
    n = draw(st.integers(12 if ordinary else 1, largest_n))
    p = draw(st.integers(0, min(largest_p, n // 6) if ordinary else largest_p))
    kinds = draw(st.lists(st.sampled_from(COLUMNS), min_size=p, max_size=p))
    story = {
        "n": n,
        "columns": ["normal"] * p if ordinary else kinds,
        "target": "model" if ordinary else draw(st.sampled_from(TARGETS)),
        "noise": draw(st.sampled_from([1.0, 0.1, 1e-3])),
        "groups": draw(st.sampled_from(["random", "giant"] if ordinary else GROUPS)),
        "n_groups": draw(st.integers(2 if ordinary else 1, n // 3 if ordinary else n)),
        "weight": draw(st.sampled_from(WEIGHTS[:3] if ordinary else WEIGHTS)),
        "labels": draw(st.sampled_from(LABELS)),
        "container": "array" if ordinary else draw(st.sampled_from(CONTAINERS)),
        "unit": 0 if ordinary else draw(EXPONENTS),
        "units": [0] * p if ordinary else draw(_units(p)),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    return make(draw(estimators(p)), story)


def _units(p):
    ordinary, any_ = st.just([0] * p), st.lists(EXPONENTS, min_size=p, max_size=p)
    return st.one_of(ordinary, ordinary, any_)


def make(estimator, story):
    """The problem that a story tells of."""
    rng = np.random.default_rng(story["seed"])
    n = story["n"]
    codes = make_codes(story["groups"], n, story["n_groups"], rng)
    X = make_design(story["columns"], n, codes, rng)
    y = make_target(story["target"], X, codes, story["noise"], rng)
    y = y * 10.0 ** story["unit"]
    exponents = np.array(story["units"], dtype=float)
    if story["container"] == "float32":  # its range
        exponents = np.clip(exponents, -30, 30)
    X = put_into(story["container"], X * 10.0**exponents)
    dense = X.toarray() if sparse.issparse(X) else np.asarray(X, dtype=float)
    return Problem(
        estimator=estimator,
        X=X,
        dense=dense,
        y=y,
        codes=codes,
        groups=make_labels(story["labels"], codes),
        weight=make_weight(story["weight"], n, rng),
        story=story,
    )


def any_problem():
    """The strategy of all problems."""
    return problems()


def ordinary_problem():
    """The strategy of small problems of full rank, in common units."""
    return problems(ordinary=True, largest_n=60, largest_p=4)
