"""The picture of how a prediction depends on a feature, group by group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_consistent_length

from .._estimator import GaussianRegressor
from .._evaluation.any_model import (
    count_groups,
    find_model,
    predict_mean,
    unwrap,
    warn_of_lost_labels,
)
from .._input.any_table import (
    label_positions,
    take_columns,
    take_rows,
    without_labels,
)
from .._input.features import column_names, feature_position, is_arrow
from .._input.labels import index_groups
from .._input.table import read_column
from .._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from ._display import Display

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Rows of one call of `predict`.
ROWS_AT_ONCE = 100_000
N_POINTS = 20  # of each line
MOST_LINES = 50  # of the groups with the most rows
MOST_NAMED = 10  # lines that have a colour and a name each


class GroupEffectsDisplay(Display):
    """The prediction as a function of a feature, one line for each group.

    A line is the mean prediction for the rows of a group, with the feature set to one
    value after the other between the least and the largest that the group has, and all
    else as it is: with random intercepts the lines of a linear model are parallel, with
    random slopes they are not.  At most 50 lines are drawn, of the groups with the most
    rows; to choose others, pass their rows only.

    Parameters
    ----------
    values : list of ndarray of shape (n_points,)
        Values of the feature, of each group.
    means : list of ndarray of shape (n_points,)
        Mean predictions there, in the units of y.
    labels : ndarray of shape (n_groups,)
    population : tuple of two ndarrays of shape (n_points,), default=None
        Values of the feature and mean predictions for all rows without their labels.
    rows : tuple of (ndarray, ndarray, ndarray), default=None
        Feature, observation and position in `labels` of the rows of these groups.
    feature : str, default="feature"
    n_groups : int, default=None
        Number of all groups, of which these have the most rows; None if these are all.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import GroupEffectsDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> display = GroupEffectsDisplay.from_estimator(
    ...     model, X, "Days", groups=groups, y=y
    ... )
    >>> len(display.means)
    18
    """

    values: list[Floats]
    means: list[Floats]
    labels: NDArray[Any]
    population: tuple[Floats, Floats] | None = None
    rows: tuple[Floats, Floats, NDArray[np.intp]] | None = None
    feature: str = "feature"
    n_groups: int | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        X: MatrixLike,
        feature: str | int,
        *,
        groups: ColumnLike | MatrixLike | None = None,
        by: ColumnLike | None = None,
        y: ColumnLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the effect of a feature in a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            Any model, or a Pipeline or a search around one.
        X : array-like of shape (n_rows, n_features)
            Features, as the outermost estimator takes them: a frame or a dense array.
        feature : str or int
            Name or position of a numeric column of X.
        groups : array-like of shape (n_rows,), default=None
            Group labels, for a model that asks for them; a table of them for one with
            several factors.  None for one that reads them from X.
        by : array-like of shape (n_rows,), default=None
            Labels that say which rows a line is about, none of them missing; by default
            `groups`, or the labels in X, of several columns the first.
        y : array-like of shape (n_rows,), default=None
            Observations, to be drawn as points.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : GroupEffectsDisplay

        Raises
        ------
        TypeError
            If X is sparse or no table.
        ValueError
            If X has no such column, or labels are missing.
        """
        position, name, column = read_feature(X, feature)
        table = ChangedFeature(estimator, X, position, column, groups)
        codes, labels = groups_of_lines(table, by)
        size = np.bincount(codes, minlength=len(labels))
        drawn = np.sort(np.argsort(-size, kind="stable")[:MOST_LINES])
        lines = [table.line(np.flatnonzero(codes == g)) for g in drawn]
        population = rows = None
        if knows_groups(estimator):
            population = table.of_new_groups().line(np.arange(len(column)))
        if y is not None:
            y = read_column(y, "y").ravel()
            check_consistent_length(y, column)
            some = np.isin(codes, drawn)
            rows = column[some], y[some], np.searchsorted(drawn, codes[some])
        display = cls(
            values=[values for values, _ in lines],
            means=[means for _, means in lines],
            labels=labels[drawn],
            population=population,
            rows=rows,
            feature=name,
            n_groups=len(labels),
        )
        return display.plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : GroupEffectsDisplay
        """
        ax = self._begin(ax)
        named = len(self.labels) <= MOST_NAMED
        if self.rows is not None:
            self._draw_rows(ax, named)
        style = {"linewidth": 1.4} if named else {"linewidth": 0.9, "alpha": 0.6}
        lines = zip(self.values, self.means, self.labels, strict=True)
        some = f"{len(self.labels)}"
        if self.n_groups is not None and self.n_groups > len(self.labels):
            some += f" of {self.n_groups}"
        for i, (values, means, label) in enumerate(lines):
            name = str(label) if named else f"{some} groups"
            colour = f"C{i}" if named else "C0"
            name = name if named or not i else None
            ax.plot(values, means, color=colour, label=name, **style)
        if self.population is not None:
            ax.plot(*self.population, color="k", linewidth=2.2, label="population")
        ax.set_xlabel(self.feature)
        ax.set_ylabel("mean prediction (units of y)")
        ax.set_title(f"Effect of {self.feature} by group")
        ax.legend(loc="best")
        return self

    def _draw_rows(self, ax, named):
        values, y, member = self.rows
        colours = [f"C{i}" for i in member] if named else "0.7"
        style = {"s": 9, "alpha": 0.5, "linewidths": 0, "zorder": 0}
        ax.scatter(values, y, c=colours, **style)


def read_feature(X, feature):
    """The position of a column of a table, its name, and its numbers (n,)."""
    if sparse.issparse(X) or not (hasattr(X, "shape") and len(X.shape) == 2):
        raise TypeError(
            f"X is a {type(X).__name__}; the picture needs a frame or a dense array."
        )
    at, names = feature_position(feature, X, "feature"), column_names(X)
    name = str(names[at]) if names else f"x{at}"
    try:
        column = read_column(take_columns(X, np.array([at])), f"column {name!r} of X")
        return at, name, np.ravel(column)
    except ValueError as error:
        if "NaN" in str(error):
            error.add_note(
                "A row without the feature has no place in the picture: pass the rows "
                "that have it, with their y and labels."
            )
        raise


def _with_column(X, at, values):
    """The same table with other values in the column at a position."""
    if is_arrow(X):
        return X.set_column(at, X.column_names[at], [values])
    if hasattr(X, "with_columns"):  # polars
        name = X.columns[at]
        return X.with_columns(type(X[name])(name, values))
    if hasattr(X, "columns"):
        X = X.copy()
        X.isetitem(at, values)
        return X
    X = X.astype(float if X.dtype.kind in "biu" else X.dtype)
    X[:, at] = values
    return X


@dataclass(frozen=True)
class ChangedFeature:
    """A model, the rows that it is asked about, and the feature that is changed: its
    position, and its values.
    """

    estimator: Any
    X: Any
    position: int
    column: Any
    groups: Any
    is_new: bool = False

    def line(self, rows):
        """Values of the feature, and mean predictions for some rows with each."""
        values = np.unique(self.column[rows])
        if len(values) > N_POINTS:
            values = np.linspace(values[0], values[-1], N_POINTS)
        n_blocks = min(len(values), -(-len(values) * len(rows) // ROWS_AT_ONCE))
        blocks = np.array_split(values, n_blocks)
        return values, np.concatenate([self._means(rows, some) for some in blocks])

    def _means(self, rows, values):
        """Mean predictions for the rows with each of some values."""
        at, metadata = np.tile(rows, len(values)), {}
        if self.groups is not None:
            metadata = {"groups": take_rows(self.groups, at)}
        column = np.repeat(values, len(rows))
        changed = _with_column(take_rows(self.X, at), self.position, column)
        model, X = unwrap(self.estimator, changed, metadata)
        warn_of_lost_labels(model, metadata)
        if self.is_new:
            X = without_labels(X, label_positions(model, X))
        found = predict_mean(model, X, metadata)
        return np.reshape(found, (len(values), -1)).mean(axis=1)

    def of_new_groups(self):
        """The same rows, as rows of new groups."""
        return replace(self, groups=_all_missing(self.groups), is_new=True)

    def labels(self):
        """The labels of the rows: `groups`, or what the model reads from X; or None."""
        labels = self.groups
        if labels is None:
            model, X = unwrap(self.estimator, self.X, {})
            is_ours = isinstance(model, GaussianRegressor)
            positions = label_positions(model, X) if is_ours else []
            if not positions:
                return None
            labels = take_columns(X, np.array(positions))
        is_table = len(getattr(labels, "shape", ())) == 2
        return take_columns(labels, np.array([0])) if is_table else labels


def _all_missing(groups):
    """A column or a table of labels, all of them missing, with the names it has."""
    if groups is None:
        return None
    n, names = len(groups), getattr(groups, "column_names", None)
    if names is None and hasattr(groups, "columns"):
        names = list(groups.columns)
    if names is not None:
        make = getattr(type(groups), "from_pydict", type(groups))
        return make({name: [None] * n for name in names})
    fields = getattr(getattr(groups, "dtype", None), "names", None)
    if fields:
        return np.full(n, None, dtype=[(name, object) for name in fields])
    return np.full(np.shape(groups), None)


def groups_of_lines(table, by):
    """Codes (n,) and labels of the groups that lines are about."""
    labels, n_rows = table.labels() if by is None else by, len(table.column)
    if labels is None:
        raise ValueError(
            "`groups` and `by` are None; a line is about rows of one group."
        )
    index = index_groups(labels, n_rows)
    if (index.codes < 0).any():
        raise ValueError(
            f"{np.sum(index.codes < 0)} labels are missing; a line is about rows of "
            "one group."
        )
    return index.codes, index.labels


def knows_groups(estimator):
    """Whether the model has a population beside its groups."""
    model, *_ = find_model(estimator)
    return isinstance(model, GaussianRegressor) and bool(count_groups(model))
