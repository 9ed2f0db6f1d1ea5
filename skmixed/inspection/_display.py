"""The form that all pictures have, and the models and rows that they are drawn of."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, dataclass_transform

import numpy as np
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from .._estimator import GaussianRegressor, read_new
from .._evaluation.any_model import (
    count_groups,
    gives_std,
    predict_distribution,
    predict_mean,
    requested,
    unwrap,
    warn_of_lost_labels,
)
from .._input.parameters import population_is_meant
from .._input.table import read_column

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KNOWN, NEW, ALL = "known groups", "new groups", "all rows"


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(field,))
class Display:
    """A picture: its data, which are the fields of each subclass and the arguments of
    its constructor, `plot`, and afterwards `ax_` and `figure_`.
    """

    ax_: Axes
    figure_: Figure

    def __init_subclass__(cls):
        dataclass(kw_only=True, eq=False, repr=False)(cls)

    def _begin(self, ax):
        plt = pyplot()
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


def pyplot():
    """Matplotlib's pyplot, or an error that says how to install it."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays require matplotlib. Install it with `pip install matplotlib`."
        ) from error
    return plt


def own_model(estimator):
    """The model of this package inside an estimator."""
    model, _ = unwrap(estimator, None, {})
    if not isinstance(model, GaussianRegressor):
        raise TypeError(
            f"{type(model).__name__} is not a model of this package: nothing is known "
            "of its random effects."
        )
    check_is_fitted(model)
    return copy(model)  # which no other thread changes


def distribution_of(estimator, X, groups):
    """Whether the model knows the group of each row (None where it has no groups; of
    several factors a text that says which are known), and the means and standard
    deviations that it predicts.
    """
    metadata = {} if groups is None else {"groups": groups}
    model, X = unwrap(estimator, X, metadata)
    warn_of_lost_labels(model, metadata)
    mean, std = predict_distribution(model, X, metadata)
    return _knows(model, X, groups), mean, std


def _knows(model, X, groups):
    """Whether a model knows the group of each row; of several factors a text for each
    row, such as "known subject, new item"; None where it has no groups.
    """
    if not isinstance(model, GaussianRegressor) or not count_groups(model):
        return None
    with population_is_meant():
        codes = read_new(model, X, groups).codes
    if not isinstance(codes, (list, tuple)):
        return codes >= 0
    known = np.column_stack(codes) >= 0
    if len(codes) == 1:
        return known[:, 0]
    kinds, place = np.unique(known, axis=0, return_inverse=True)
    names = np.array([_kind_text(kind, model.groups_) for kind in kinds], dtype=object)
    return names[place.ravel()]


def _kind_text(known, factors):
    """Such as "known subject, new item"."""
    pairs = zip(known, factors, strict=True)
    return ", ".join(f"{'known' if each else 'new'} {name}" for each, name in pairs)


def noise_of(estimator, X, groups):
    """Whether groups are known, the mean, and the standard deviation of the noise; of a
    foreign model the standard deviation that it predicts, or None.
    """
    metadata = {} if groups is None else {"groups": groups}
    model, inner = unwrap(estimator, X, metadata)
    if isinstance(model, GaussianRegressor):
        known, mean, _ = distribution_of(model, inner, groups)
        used = requested(model, "predict", metadata)
        with population_is_meant():
            return known, mean, model.predict_noise_std(inner, **used)
    if gives_std(model):
        return distribution_of(model, inner, groups)
    warn_of_lost_labels(model, metadata)
    return None, predict_mean(model, inner, metadata), None


def read_predictions(y_true, y_mean, y_std=None):
    """Two or three columns of finite numbers, equally long."""
    given = {"y_true": y_true, "y_mean": y_mean}
    if y_std is not None:
        given["y_std"] = y_std
    columns = [column_or_1d(read_column(c, name)) for name, c in given.items()]
    check_consistent_length(*columns)
    if y_std is not None and (columns[2] <= 0).any():
        raise ValueError(
            f"y_std has {np.sum(columns[2] <= 0)} entries that are not positive."
        )
    return columns


def by_kind(values, known):
    """Rows of known and of new groups apart, as far as there are any, or rows of each
    text of `known`: their name, the rows and a colour.
    """
    if known is None:
        return [(ALL, values, "C0")]
    known = np.asarray(known)
    check_consistent_length(values, known)
    if any(isinstance(kind, str) for kind in known[:1].tolist()):
        kinds = sorted(set(known.tolist()), key=lambda kind: (kind.count("new"), kind))
        return [(k, values[known == k], f"C{i}") for i, k in enumerate(kinds)]
    known = known.astype(bool)
    sets = (KNOWN, values[known], "C0"), (NEW, values[~known], "C1")
    return [(name, rows, colour) for name, rows, colour in sets if len(rows)]
