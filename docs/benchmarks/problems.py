"""The problems: sizes, and data made from a seed.

A problem says which adapters are measured on it, and which pairs of adapters take turns
within one process, so that a ratio does not depend on what the machine does meanwhile.
"""

import io
import subprocess
from dataclasses import dataclass, field, replace

import numpy as np

FLOORS = ("linear_regression", "cross_product", "sum_x")
PEERS = (
    "statsmodels",
    "gpboost",
    "mixedlm",
    "linearmodels",
    "lme4",
    "lme4_no_derivatives",
    "nlme",
    "glmmtmb",
    "glmmtmb_ml",
)
OURS = ("skmixed", "skmixed_ml")
BESIDE_LEAST_SQUARES = (("skmixed", "linear_regression"),)
BOTH_BESIDE_LEAST_SQUARES = tuple((ours, "linear_regression") for ours in OURS)
GROUP_SIZE = 20  # rows, on average


@dataclass(frozen=True)
class Data:
    """The data that an adapter is given.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
    groups : array of shape (n_rows,) or None
        Labels of the kind that the problem asks for.
    codes : ndarray of shape (n_rows,) or None
        The same groups as integers.
    labels : dict of str to ndarray of shape (n_rows,)
        Integer labels of every factor of the problem.
    """

    X: np.ndarray
    y: np.ndarray
    groups: object
    codes: np.ndarray | None
    labels: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Problem:
    """One row of rows, features, groups; what is fitted to them, and by whom.

    Attributes
    ----------
    name, about : str
        How it is called on the command line, and what the page says of it.
    n_rows, n_features, n_groups : int
        No groups where n_groups is 0.
    adapters : tuple of str
        Each is measured alone, in processes of its own.
    pairs : tuple of (str, str)
        Adapters that take turns within one process; times of the first are divided by
        those of the second.
    task : {"intercept", "variance", "prediction", "mixed"}
        A random intercept; a log-variance linear in the first `n_variance_features`
        besides; predictions of all rows by a model with a random intercept; or the
        random effects `random`.
    method : {"reml", "ml"}
        Of those adapters that offer both.
    mean_groups, variance_groups : {"random", "fixed", None}
        The kind of effect that groups have on the mean and on the log-variance.
    labels : {"integers", "strings", "objects", "categorical"}
        Strings of NumPy, strings of Python in an object array, or a pandas Categorical.
    grouped_rows : bool
        Whether the rows of a group follow one another; else groups are in random order.
    layout : {"C", "F"}
        Whether rows or columns of X are contiguous.
    family : str
        Problems of one family are drawn in one plot.
    random : str
        Random effects, in the notation of lme4.
    factors : tuple of (str, int, str)
        Name and number of levels of every factor of `random`, and the factor that has
        each of its levels, or "".
    source : {"", "InstEval"}
        Real data in place of simulated ones: ratings of lectures, as R's lme4 has them.
    """

    name: str
    about: str
    n_rows: int
    n_features: int
    n_groups: int
    adapters: tuple = ()
    pairs: tuple = ()
    task: str = "intercept"
    n_variance_features: int = 0
    method: str = "reml"
    mean_groups: str | None = "random"
    variance_groups: str | None = None
    labels: str = "integers"
    grouped_rows: bool = False
    layout: str = "C"
    family: str = ""
    random: str = "(1 | group)"
    factors: tuple = ()
    source: str = ""

    def shrunk(self, factor):
        """The same problem with fewer rows and groups."""
        if self.factors:
            some = self._with_levels(lambda levels: max(levels // factor, 10))
            return replace(some, n_rows=max(self.n_rows // factor, 2_000))
        n_groups = self.n_groups and max(self.n_groups // factor, self._least_groups())
        n_rows = max(self.n_rows // factor, GROUP_SIZE * self._least_groups())
        return replace(self, n_rows=n_rows, n_groups=n_groups)

    def small(self):
        """A problem of the same kind to warm up with."""
        if self.factors:
            some = self._with_levels(lambda levels: min(levels, 30))
            return replace(some, n_rows=2_000, source="")
        least = self._least_groups()
        n_groups = self.n_groups and least
        return replace(self, n_rows=GROUP_SIZE * least, n_groups=n_groups)

    def _with_levels(self, change):
        factors = tuple((f, change(levels), of) for f, levels, of in self.factors)
        return replace(self, factors=factors, n_groups=factors[0][1])

    def _make_mixed(self, seed):
        """Effects of unit variance, half of that for slopes of the first factor."""
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(self.n_rows, self.n_features))
        y = X.sum(axis=1) + self._noise(rng, X)
        labels = {}
        for name, levels, _ in self.factors:
            labels[name] = rng.integers(levels, size=self.n_rows)
        for name, levels, parent in self.factors:
            if parent:  # every level of the parent has some of these levels
                of = rng.integers(labels[parent].max() + 1, size=levels)
                labels[parent] = of[labels[name]]
        for name, levels, _ in self.factors:
            y += rng.normal(size=levels)[labels[name]]
        if "x0" in self.random:
            name, levels, _ = self.factors[0]
            y += 0.5 * rng.normal(size=levels)[labels[name]] * X[:, 0]
        return Data(X, y, None, None, labels)

    def _noise(self, rng, X):
        """Normal, with the log-variance that `make` tells of."""
        noise, q = rng.normal(size=self.n_rows), self.n_variance_features
        if q:
            noise *= np.exp((X[:, :q] @ np.linspace(0.3, -0.3, q) - 0.5) / 2)
        return noise

    def _least_groups(self):
        """Enough for all adapters: some need more groups than features."""
        return 30 + 2 * self.n_features

    def make(self, seed=0):
        """Data: normal features, groups and noise of unit variance, coefficients 1.

        Where there is a log-variance, it is -0.5 plus coefficients from 0.3 to -0.3.
        """
        if self.source:
            return insteval()
        if self.factors:
            return self._make_mixed(seed)
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(self.n_rows, self.n_features))
        y = self._noise(rng, X)
        y += X.sum(axis=1)
        codes = groups = None
        if self.n_groups:
            codes = rng.integers(self.n_groups, size=self.n_rows)
            if self.grouped_rows:
                codes.sort()
            y += rng.normal(size=self.n_groups)[codes]
            groups = LABELS[self.labels](codes)
        labels = {} if codes is None else {"group": codes}
        return Data(np.asarray(X, order=self.layout), y, groups, codes, labels)


def insteval():
    """73,421 ratings of lectures, read from the R package lme4."""
    code = "suppressMessages(library(lme4)); write.csv(InstEval, row.names = FALSE)"
    done = subprocess.run(["Rscript", "-e", code], capture_output=True, check=True)
    text = done.stdout.decode().replace('"', "").splitlines()
    names = text[0].split(",")
    table = np.loadtxt(io.StringIO("\n".join(text[1:])), delimiter=",")
    columns = dict(zip(names, table.T, strict=True))
    service = columns["service"]
    labels = {
        "student": columns["s"].astype(int),
        "lecturer": columns["d"].astype(int),
        "course": (2 * columns["dept"] + service).astype(int),
    }
    return Data(service[:, None], columns["y"], None, None, labels)


def _categorical(codes):
    import pandas as pd

    values, codes = np.unique(codes, return_inverse=True)
    names = pd.Index([f"group {value:07d}" for value in values])
    return pd.Series(pd.Categorical.from_codes(codes, names))


def _strings(codes):
    return np.char.add("group ", np.char.zfill(codes.astype(str), 7))


LABELS = {
    "integers": lambda codes: codes,
    "strings": _strings,
    "objects": lambda codes: _strings(codes).astype(object),
    "categorical": _categorical,
}


def _rows(n_rows):
    few = n_rows <= 1_000_000
    name = f"rows-{n_rows:.0e}".replace("e+0", "e")
    return Problem(
        name="million" if n_rows == 1_000_000 else name,
        about="Random intercept, groups of 20 rows on average, rows in random order.",
        n_rows=n_rows,
        n_features=10,
        n_groups=n_rows // GROUP_SIZE,
        adapters=OURS + PEERS * few + FLOORS,
        pairs=BESIDE_LEAST_SQUARES,
        family="rows",
    )


SIZES = [10**4, 3 * 10**4, 10**5, 3 * 10**5, 10**6, 3 * 10**6, 10**7]

MILLION = _rows(1_000_000)
TEN_MILLION = Problem(
    name="ten-million",
    about="Random intercept, many groups of 10 rows.",
    n_rows=10_000_000,
    n_features=5,
    n_groups=1_000_000,
    adapters=("skmixed", "gpboost", "mixedlm", "linearmodels", *FLOORS),
    pairs=BESIDE_LEAST_SQUARES,
)
WIDE = Problem(
    name="wide",
    about="Random intercept, many features.",
    n_rows=100_000,
    n_features=200,
    n_groups=5_000,
    adapters=("skmixed", "gpboost", "mixedlm", "linearmodels", "lme4", *FLOORS),
    pairs=BESIDE_LEAST_SQUARES,
)


def _variant(name, about, beside="linear_regression", **changes):
    changes |= {"adapters": ("skmixed", "linear_regression"), "family": ""}
    changes |= {"pairs": (("skmixed", beside),)}
    return replace(MILLION, name=name, about=about, **changes)


VARIANTS = [
    _variant(
        "labels-strings",
        "The million rows with strings of NumPy as labels.",
        "skmixed_integers",
        labels="strings",
    ),
    _variant(
        "labels-objects",
        "The million rows with Python's strings, in an object array, as labels.",
        "skmixed_integers",
        labels="objects",
    ),
    _variant(
        "labels-categorical",
        "The million rows with a pandas Categorical of strings as labels.",
        "skmixed_integers",
        labels="categorical",
    ),
    _variant(
        "grouped-rows",
        "The million rows, those of a group following one another.",
        grouped_rows=True,
    ),
    _variant(
        "fortran",
        "The million rows in column-major order, as a DataFrame keeps them.",
        layout="F",
    ),
]

VARIANCE = Problem(
    name="variance",
    about="Log-variance linear in all features, and a random intercept.",
    n_rows=100_000,
    n_features=10,
    n_groups=5_000,
    n_variance_features=10,
    adapters=(*OURS, "gpboost", "glmmtmb", "glmmtmb_ml", *FLOORS),
    pairs=BOTH_BESIDE_LEAST_SQUARES,
    task="variance",
)
VARIANCE_MILLION = replace(
    VARIANCE,
    name="variance-million-10",
    about="The same with a million rows.",
    n_rows=1_000_000,
    n_groups=50_000,
    adapters=OURS + FLOORS,
)
VARIANCES = [
    VARIANCE,
    VARIANCE_MILLION,
    replace(
        VARIANCE_MILLION,
        name="variance-million-5",
        about="A million rows, five of the features in the log-variance.",
        n_variance_features=5,
    ),
    replace(
        VARIANCE_MILLION,
        name="variance-million-fixed",
        pairs=BESIDE_LEAST_SQUARES,
        about="A million rows, fixed effects of the groups on mean and log-variance.",
        n_variance_features=5,
        method="ml",
        mean_groups="fixed",
        variance_groups="fixed",
        adapters=("skmixed", *FLOORS),
    ),
    replace(
        VARIANCE,
        name="variance-independent",
        pairs=BESIDE_LEAST_SQUARES,
        about="Log-variance linear in all features, no groups: the Gaussian negative "
        "log-likelihood of deep learning, with linear heads.",
        n_groups=0,
        method="ml",
        mean_groups=None,
        adapters=(
            "skmixed",
            "numpy_fisher",
            "pytorch",
            "gpboost",
            "mgcv",
            "glmmtmb",
            *FLOORS,
        ),
    ),
]
PREDICTION = replace(
    TEN_MILLION,
    name="prediction",
    about="Predictions of the ten million rows that a model was fitted to.",
    task="prediction",
    adapters=("skmixed_predict", "skmixed_predict_std", "linear_regression_predict"),
    pairs=(
        ("skmixed_predict_std", "skmixed_predict"),
        ("skmixed_predict", "linear_regression_predict"),
    ),
)
PREDICTION_STD = replace(
    MILLION,
    name="prediction-std",
    about="Predictions, with standard deviations, of the million rows that a model was "
    "fitted to.",
    task="prediction",
    method="ml",
    adapters=("skmixed_predict_std", "gpboost_predict_std"),
    pairs=(),
    family="",
)
COMPILED = ("glmm", "lme_python", "mixedlm", "mixedlm_rs")


def _small(n_rows):
    return replace(
        _rows(n_rows),
        name=f"rows-{n_rows:.0e}".replace("e+0", "e"),
        n_features=5 if n_rows <= 1_000 else 10,
        n_groups=n_rows // GROUP_SIZE,
        family="",
    )


def _mixed(name, about, n_rows, n_features, random, factors, programs, **fields):
    return Problem(
        name=name,
        about=about,
        n_rows=n_rows,
        n_features=n_features,
        n_groups=factors[0][1],
        adapters=("skmixed", *programs, "linear_regression"),
        task="mixed",
        random=random,
        factors=factors,
        **fields,
    )


MIXED = [
    _mixed(
        "slopes",
        "A random intercept and a random slope.",
        1_000_000,
        10,
        "(x0 | group)",
        (("group", 50_000, ""),),
        COMPILED,
    ),
    _mixed(
        "nested",
        "Two nested factors.",
        1_000_000,
        5,
        "(1 | parent) + (1 | child)",
        (("child", 200_000, "parent"), ("parent", 20_000, "")),
        ("glmm", "mixedlm"),
    ),
    _mixed(
        "crossed",
        "Two crossed factors.",
        1_000_000,
        5,
        "(1 | group) + (1 | item)",
        (("group", 50_000, ""), ("item", 2_000, "")),
        ("glmm",),
    ),
    _mixed(
        "insteval",
        "Ratings of lectures by students: three crossed factors.",
        73_421,
        1,
        "(1 | student) + (1 | lecturer) + (1 | course)",
        (("student", 2_972, ""), ("lecturer", 1_128, ""), ("course", 28, "")),
        ("glmm", "mixedlm"),
        source="InstEval",
    ),
    _mixed(
        "noise-crossed",
        "Log-variance linear in two features, beside two crossed factors.",
        20_000,
        5,
        "(1 | group) + (1 | item)",
        (("group", 500, ""), ("item", 100, "")),
        ("skmixed_ml", "glmmtmb", "glmmtmb_ml"),
        n_variance_features=2,
    ),
]
PROBLEMS = {
    problem.name: problem
    for problem in [
        MILLION,
        TEN_MILLION,
        *VARIANCES,
        WIDE,
        *VARIANTS,
        *(_rows(n_rows) for n_rows in SIZES if n_rows != MILLION.n_rows),
        PREDICTION,
        PREDICTION_STD,
        _small(100),
        _small(1_000),
        *MIXED,
    ]
}
