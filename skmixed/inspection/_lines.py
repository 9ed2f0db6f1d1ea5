"""The picture of lines that groups have of their own and by a model."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_consistent_length

from .._input.table import read_column
from .._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from ._display import Display, pyplot
from ._effects import ChangedFeature, groups_of_lines, knows_groups, read_feature

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_PANELS, MOST_COLUMNS = 12, 4
PANEL = 2.3  # inches


class GroupLinesDisplay(Display):
    """Rows of groups, a line through each group's own rows, and that of the model.

    One panel for each group: its rows, the least-squares line through these alone
    (dashed), the mean prediction of the model for its rows with the feature set to one
    value after the other, and the same for a new group (grey).  A mixed model draws the
    own line of a group towards that of the population, the more so the fewer rows the
    group has.

    Parameters
    ----------
    rows : list of ndarray of shape (n_rows, 2)
        Feature and observation of the rows of every group.
    own : list of ndarray of shape (n_points, 2)
        Points of the least-squares lines; none where the feature has one value.
    lines : list of ndarray of shape (n_points, 2)
        Points of the predictions.
    population : list of ndarray of shape (n_points, 2), default=None
        Points of the predictions for a new group.
    labels : ndarray of shape (n_groups,)
    feature : str, default="feature"

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_groups,)
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skmixed import LinearMixedRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import GroupLinesDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=groups)
    >>> display = GroupLinesDisplay.from_estimator(model, X, y, "Days", groups=groups)
    >>> len(display.lines)
    12
    """

    axes_: NDArray[Any] = field(init=False)
    rows: list[Floats]
    own: list[Floats]
    lines: list[Floats]
    labels: NDArray[Any]
    population: list[Floats] | None = None
    feature: str = "feature"

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        X: MatrixLike,
        y: ColumnLike,
        feature: str | int,
        *,
        groups: ColumnLike | MatrixLike | None = None,
        by: ColumnLike | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the lines of groups.

        Parameters
        ----------
        estimator : fitted estimator
            Any model, or a Pipeline or a search around one.
        X : array-like of shape (n_rows, n_features)
            Features, as the outermost estimator takes them: a frame or a dense array.
        y : array-like of shape (n_rows,)
            Observations.
        feature : str or int
            Name or position of a numeric column of X.
        groups : array-like of shape (n_rows,) or table, default=None
            Group labels, a table of them for a model of several factors.  None for one
            that reads them from X.
        by : array-like of shape (n_rows,), default=None
            Labels that say which rows a panel is about; by default `groups`, or the
            labels in X, of several columns the first.
        ax : sequence of matplotlib Axes, default=None
            As many as there are to be panels; None makes a new figure of up to 12.
            Where there are more groups, those drawn are spread evenly over their
            numbers of rows, so that small and large ones are among them.

        Returns
        -------
        display : GroupLinesDisplay

        Raises
        ------
        TypeError
            If X is sparse or no table.
        ValueError
            If X has no such column, or labels are missing.
        """
        position, name, column = read_feature(X, feature)
        y = read_column(y, "y").ravel()
        check_consistent_length(y, column)
        table = ChangedFeature(estimator, X, position, column, groups)
        codes, labels = groups_of_lines(table, by)
        n_panels = MOST_PANELS if ax is None else np.size(ax)
        drawn = _spread(np.bincount(codes, minlength=len(labels)), n_panels)
        values = np.column_stack([column, y])
        members = [np.flatnonzero(codes == g) for g in drawn]
        population = None
        if knows_groups(estimator):
            new = table.of_new_groups()
            population = [np.column_stack(new.line(some)) for some in members]
        display = cls(
            rows=[values[some] for some in members],
            own=[_own_line(values[some]) for some in members],
            lines=[np.column_stack(table.line(some)) for some in members],
            labels=labels[drawn],
            population=population,
            feature=name,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : sequence of matplotlib Axes, default=None
            One for each group; None makes a new figure.

        Returns
        -------
        self : GroupLinesDisplay
        """
        n = len(self.labels)
        axes = _panels(n) if ax is None else np.atleast_1d(np.array(ax, dtype=object))
        if len(axes) != n:
            raise ValueError(f"ax has {len(axes)} axes for {n} groups.")
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        for i, panel in enumerate(axes):
            self._draw(panel, i)
        axes[0].legend(loc="best", fontsize="small")
        self.figure_.supxlabel(self.feature)
        self.figure_.supylabel("y")
        return self

    def _draw(self, ax: Axes, i: int) -> None:
        ax.scatter(*self.rows[i].T, s=12, color="0.5", linewidths=0)
        if self.population is not None:
            ax.plot(*self.population[i].T, color="0.7", label="new group")
        ax.plot(*self.own[i].T, color="C1", linestyle="--", label="own rows alone")
        ax.plot(*self.lines[i].T, color="C0", linewidth=1.6, label="model")
        ax.set_title(str(self.labels[i]), fontsize="medium")


def _spread(sizes, most):
    """Positions of groups from the smallest to the largest, in the order of labels."""
    order = np.argsort(sizes, kind="stable")
    n = min(len(sizes), most)
    return np.sort(order[np.linspace(0, len(sizes) - 1, n).round().astype(int)])


def _own_line(rows):
    """Two points of the least-squares line through rows; none if there is none."""
    x, y = rows.T
    centred = x - x.mean()
    scatter = centred @ centred
    if not scatter > 0:
        return np.empty((0, 2))
    ends = np.array([x.min(), x.max()])
    return np.column_stack([ends, y.mean() + centred @ y / scatter * (ends - x.mean())])


def _panels(n):
    """Axes of n panels with common scales, in a new figure."""
    n_columns = min(MOST_COLUMNS, n)
    n_rows = -(-n // n_columns)
    figure, axes = pyplot().subplots(
        n_rows,
        n_columns,
        figsize=(PANEL * n_columns + 0.6, PANEL * n_rows + 0.4),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for left in axes.ravel()[n:]:
        figure.delaxes(left)
    return axes.ravel()[:n]
