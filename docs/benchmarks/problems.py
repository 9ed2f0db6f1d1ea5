"""The problems: sizes, and data made from a seed.

A problem says which adapters are measured on it, and which pairs of adapters take turns
within one process, so that a ratio does not depend on what the machine does meanwhile.
"""

from dataclasses import dataclass, replace

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
    """What an adapter is given.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_features)
    y : ndarray of shape (n_rows,)
    groups : array of shape (n_rows,) or None
        Labels of the kind that the problem asks for.
    codes : ndarray of shape (n_rows,) or None
        The same groups as integers.
    """

    X: np.ndarray
    y: np.ndarray
    groups: object
    codes: np.ndarray | None


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
    task : {"intercept", "variance", "prediction"}
        A random intercept; a log-variance linear in the first `n_variance_features`
        besides; or predictions of all rows by a model with a random intercept.
    method : {"reml", "ml"}
        Of those adapters that offer both.
    mean_groups, variance_groups : {"random", "fixed", None}
        What groups are to the mean and to the log-variance.
    labels : {"integers", "strings", "objects", "categorical"}
        Strings of NumPy, strings of Python in an object array, or a pandas Categorical.
    grouped_rows : bool
        Whether the rows of a group follow one another; else groups are in random order.
    layout : {"C", "F"}
        Whether rows or columns of X are contiguous.
    family : str
        Problems of one family are drawn in one plot.
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

    def shrunk(self, factor):
        """The same problem with fewer rows and groups."""
        n_groups = self.n_groups and max(self.n_groups // factor, self._least_groups())
        n_rows = max(self.n_rows // factor, GROUP_SIZE * self._least_groups())
        return replace(self, n_rows=n_rows, n_groups=n_groups)

    def small(self):
        """A problem of the same kind to warm up with."""
        least = self._least_groups()
        n_groups = self.n_groups and least
        return replace(self, n_rows=GROUP_SIZE * least, n_groups=n_groups)

    def _least_groups(self):
        """Enough for all adapters: some need more groups than features."""
        return 30 + 2 * self.n_features

    def make(self, seed=0):
        """Data: normal features, groups and noise of unit variance, coefficients 1.

        Where there is a log-variance, it is -0.5 plus coefficients from 0.3 to -0.3.
        """
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(self.n_rows, self.n_features))
        y = rng.normal(size=self.n_rows)
        q = self.n_variance_features
        if q:
            y *= np.exp((X[:, :q] @ np.linspace(0.3, -0.3, q) - 0.5) / 2)
        y += X.sum(axis=1)
        codes = groups = None
        if self.n_groups:
            codes = rng.integers(self.n_groups, size=self.n_rows)
            if self.grouped_rows:
                codes.sort()
            y += rng.normal(size=self.n_groups)[codes]
            groups = LABELS[self.labels](codes)
        return Data(np.asarray(X, order=self.layout), y, groups, codes)


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
    ]
}
