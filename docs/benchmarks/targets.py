"""What the package aims at, each as a figure computed from the results."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Target:
    """A figure, and where it should be.

    Attributes
    ----------
    text : str
    figure : callable
        Of all results; None if it was not measured.
    most, least : float or None
        Bounds of the figure; it is told without judgement where both are None.
    """

    text: str
    figure: Callable
    most: float | None = None
    least: float | None = None

    def verdict(self, value):
        """What the page says of the figure."""
        if value is None:
            return "not measured"
        if self.most is None and self.least is None:
            return ""
        low = self.least is None or value >= self.least
        high = self.most is None or value <= self.most
        return "met" if low and high else "missed"

    def bound(self):
        """The bounds in words."""
        if self.most is not None:
            return f"at most {self.most:g}"
        return "" if self.least is None else f"at least {self.least:g}"


def ratio(problem, adapter, other="linear_regression"):
    """Time of one adapter over that of another."""
    return lambda results: (
        results[problem].ratio(adapter, other) if problem in results else None
    )


def memory(problem, adapter="skmixed"):
    """Extra memory over the size of X in float64."""

    def figure(results):
        peak = results[problem].peak(adapter) if problem in results else None
        return peak and peak / results[problem].X_bytes

    return figure


def fastest_peer(problem):
    """Time of the fastest peer that fits the model over ours."""

    def figure(results):
        if problem not in results:
            return None
        result = results[problem]
        peers = [row["adapter"] for row in result.alone if row["kind"] == "peer"]
        ratios = [result.ratio(peer, "skmixed") for peer in peers]
        return min((ratio for ratio in ratios if ratio is not None), default=None)

    return figure


def growth(adapter):
    """Slope of the logarithm of time in the logarithm of rows."""

    def figure(results):
        family = [r for r in results.values() if r.problem["family"] == "rows"]
        points = [
            (result.problem["n_rows"], result.seconds(adapter))
            for result in family
            if result.seconds(adapter) is not None
        ]
        if len(points) < 3:
            return None
        return np.polyfit(*np.log(np.array(points)).T, 1)[0]

    return figure


MILLION = "1,000,000 x 10, 50,000 groups, REML"
MANY = "10,000,000 x 5, 1,000,000 groups"
VARIANCE = "100,000 x 10 in mean and log-variance, 5,000 groups"
OVER_LEAST_SQUARES = "time over LinearRegression"
TARGETS = [
    Target(f"{MILLION}: {OVER_LEAST_SQUARES}", ratio("million", "skmixed"), most=1),
    Target(f"{MILLION}: fastest peer over ours", fastest_peer("million"), least=8),
    Target(f"{MILLION}: lme4 over ours", ratio("million", "lme4", "skmixed"), least=50),
    Target(f"{MILLION}: extra memory over X", memory("million"), most=0.25),
    Target(f"{MANY}: {OVER_LEAST_SQUARES}", ratio("ten-million", "skmixed"), most=1.5),
    Target(f"{MANY}: extra memory over X", memory("ten-million"), most=1),
    Target(
        f"{VARIANCE}: gpboost over ours, both ML",
        ratio("variance", "gpboost", "skmixed_ml"),
        least=10,
    ),
    Target(
        f"{VARIANCE}: glmmTMB over ours, both REML",
        ratio("variance", "glmmtmb", "skmixed"),
        least=50,
    ),
    Target(
        f"1,000,000 rows, 10 features in the log-variance, ML: {OVER_LEAST_SQUARES}",
        ratio("variance-million-10", "skmixed_ml"),
        most=10,
    ),
    *(
        Target(
            f"1,000,000 rows, {what}: {OVER_LEAST_SQUARES}",
            ratio(f"variance-million-{name}", "skmixed"),
            most=10,
        )
        for name, what in {
            "10": "10 features in the log-variance",
            "5": "5 features in the log-variance",
            "fixed": "fixed effects of groups on mean and log-variance",
        }.items()
    ),
    Target(f"100,000 x 200: {OVER_LEAST_SQUARES}", ratio("wide", "skmixed"), most=3),
    *(
        Target(
            f"{what} as labels: time over integers",
            ratio(f"labels-{name}", "skmixed", "skmixed_integers"),
            most=2,
        )
        for name, what in {
            "strings": "NumPy's strings",
            "objects": "Python's strings",
            "categorical": "a pandas Categorical",
        }.items()
    ),
    Target(
        "10,000 to 10,000,000 rows: exponent of time in rows",
        growth("skmixed"),
        most=1.1,
    ),
    Target(
        "10,000,000 predictions: with standard deviations over without",
        ratio("prediction", "skmixed_predict_std", "skmixed_predict"),
        most=4,
    ),
    Target(
        "10,000,000 predictions with standard deviations: extra memory over X",
        memory("prediction", "skmixed_predict_std"),
    ),
]
