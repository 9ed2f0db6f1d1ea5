"""The table of a comparison of models on known and on new groups."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
from sklearn.pipeline import Pipeline

from .._input.typing import Floats
from .._results.summary import import_pandas

if TYPE_CHECKING:
    import pandas

WIDTH = 10  # of a column
# Name of each score: its heading, and how it is written.
SCORES = {
    "r2": ("R^2", "{:.3f}"),
    "rmse": ("RMSE", "{:#.4g}"),
    "nll": ("NLL", "{:.4f}"),
    "joint_nll": ("joint NLL", "{:.4f}"),
    "crps": ("CRPS", "{:#.4g}"),
    "coverage": ("{:.0%} cover", "{:.1%}"),
}


@dataclass(frozen=True, eq=False)
class GroupsComparison:
    """Scores of models on groups that they know, and on new ones.

    It prints as a table of means over folds.

    Attributes
    ----------
    scores : dict of (str, str) to dict of str to ndarray of shape (n_folds,)
        By ``(question, model)`` and score: `r2`, `rmse`, `nll`, `joint_nll`, `crps`,
        `coverage`; NaN where a model gives no standard deviation.  The question is
        ``"known"`` or ``"new"``; of a table of labels ``"known"``, and such as ``"new
        subject"``.
    unseen : dict of str to float
        For each question, the share of test rows that have a label which is not in the
        training rows: near 0 for known groups, and near 1 for new ones.
    splitters : dict of str to str
        The cross-validator of each question.
    coverage : float
        Nominal probability of the intervals.
    unseen_by_factor : dict of str to dict of str to float
        The shares of `unseen` for each factor of a table of labels; else empty.
    """

    scores: dict[tuple[str, str], dict[str, Floats]] = field(repr=False)
    unseen: dict[str, float]
    splitters: dict[str, str]
    coverage: float
    unseen_by_factor: dict[str, dict[str, float]] = field(default_factory=dict)

    def to_frame(self) -> pandas.DataFrame:
        """Means over folds as a DataFrame.

        Returns
        -------
        frame : pandas.DataFrame
            A row for every (groups, model), a column for every score, and `unseen`,
            the share of test rows whose group is not in the training rows.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("`scores`, a dict of arrays")
        index = pandas.MultiIndex.from_tuples(self.scores, names=["groups", "model"])
        rows = [
            {name: values.mean() for name, values in of_folds.items()}
            for of_folds in self.scores.values()
        ]
        frame = pandas.DataFrame(rows, index=index)
        frame["unseen"] = [self.unseen[kind] for kind, _ in self.scores]
        return frame

    def __str__(self) -> str:
        width = max(len(name) for _, name in self.scores)
        heads = [title.format(self.coverage) for title, _ in SCORES.values()]
        heading = " " * width + "".join(head.rjust(WIDTH) for head in heads)
        lines = []
        for kind, share in self.unseen.items():
            said = (
                f"{share:.1%} of the test rows are of groups not in the training rows"
            )
            if kind in self.unseen_by_factor:
                said = _shares(self.unseen_by_factor[kind])
            question = kind if kind.startswith("new ") else f"{kind} groups"
            lines += [f"{question}: {self.splitters[kind]}", said, heading]
            for (of_kind, name), of_folds in self.scores.items():
                if of_kind == kind:
                    cells = [_cell(of_folds[score], score) for score in SCORES]
                    lines.append(name.ljust(width) + "".join(cells))
            lines.append("")
        return "\n".join(lines[:-1])

    __repr__ = __str__

    def _repr_html_(self):
        """The frame in a notebook, where pandas is installed."""
        try:
            frame = self.to_frame()
        except ImportError:
            return None
        return frame.to_html(na_rep="-", float_format="{:.4g}".format)


def _shares(by_factor):
    """Such as "100.0% of the test rows have a new subject, 0.0% a new item"."""
    if not by_factor:
        return None
    (name, share), *others = by_factor.items()
    text = f"{share:.1%} of the test rows have a new {name}"
    return text + "".join(f", {share:.1%} a new {name}" for name, share in others)


def collect(of_folds):
    """A dict of arrays from the dicts of several folds."""
    return {name: np.array([fold[name] for fold in of_folds]) for name in SCORES}


def name_estimators(estimators):
    """A dict of estimators; those without a name are called after their class."""
    if hasattr(estimators, "items"):
        named = dict(estimators)
    elif isinstance(estimators, (list, tuple)):
        named = {}
        for estimator in estimators:
            is_pair = isinstance(estimator, tuple) and len(estimator) == 2
            name, model = estimator if is_pair else (_class_name(estimator), estimator)
            named[_unused(name, named)] = model
    else:
        named = {_class_name(estimators): estimators}
    if not named or not all(isinstance(name, str) for name in named):
        raise TypeError(
            "estimators is an estimator, a list of them, or a dict of their names to "
            f"them, got {estimators!r:.60}."
        )
    return named


def _class_name(estimator):
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    return type(estimator).__name__


def _unused(name, names):
    candidates = (f"{name} {k}" if k > 1 else name for k in count(1))
    return next(candidate for candidate in candidates if candidate not in names)


def _cell(values, score):
    mean = values.mean()
    text = SCORES[score][1].format(mean)
    if np.isnan(mean):
        text = "nan" if score in ("r2", "rmse") else "-"
    elif len(text) > WIDTH - 1:
        text = f"{mean:.2e}"
    return text.rjust(WIDTH)
