"""Pictures of residuals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from scipy.stats import beta, chi2, norm
from sklearn.utils import check_consistent_length, column_or_1d

from .._input.parameters import check_choice
from .._input.table import read_column
from .._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from ._display import (
    Display,
    by_kind,
    distribution_of,
    noise_of,
    read_predictions,
)
from ._effects import read_feature

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NARROWEST_BIN = 0.02  # of predicted standard deviations, relative to them
ROWS_OF_A_TREND = 40  # from which on means of bins are drawn through residuals
MOST_BINS = 12  # of these means
FULL_DOTS = 200  # rows that are drawn in full colour; more are paler


class ResidualsDisplay(Display):
    """Residuals against fitted values, a feature, or quantiles of the normal
    distribution.

    Residuals are divided by the standard deviation that the model has for the noise of
    each row, so that they should scatter by 1 everywhere: a fan says that the noise
    depends on more than it may, a bend that the mean does.  Against a feature that is
    not in the model, a slope says that it belongs there.

    Parameters
    ----------
    fitted : ndarray of shape (n_rows,)
        Predicted means, in the units of y.
    residual : ndarray of shape (n_rows,)
        Standardised residuals.
    known : ndarray of bool or str of shape (n_rows,), default=None
        Whether the model knows the group of a row; None draws all rows together.
    kind : {"fitted", "quantiles"}, default="fitted"
    feature : ndarray of shape (n_rows,), default=None
        Values that residuals are drawn against in place of the fitted ones.
    feature_name : str, default="feature"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    Rows of the fit are fitted with the effects of their groups, so that their residuals
    scatter by a little less than 1, as those of least squares do.  Residuals of new
    groups have the group's own deviation in them.  The grey band of ``"quantiles"``
    holds the k-th smallest of so many independent normal figures with a probability of
    0.95, point by point.

    Examples
    --------
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import ResidualsDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> display = ResidualsDisplay.from_estimator(model, X, y, groups=groups)
    >>> round(float(display.residual.std()), 2)
    0.95
    """

    fitted: Floats
    residual: Floats
    known: ColumnLike | None = None
    kind: Literal["fitted", "quantiles"] = "fitted"
    feature: Floats | None = None
    feature_name: str = "feature"

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        kind: Literal["fitted", "quantiles"] = "fitted",
        feature: str | int | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the residuals of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            A model, or a Pipeline or a search around one.  One that gives no standard
            deviation has its residuals divided by their root mean square.
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        groups : array-like of shape (n_rows,), default=None
        kind : {"fitted", "quantiles"}, default="fitted"
        feature : str or int, default=None
            Name or position of a numeric column of X, a frame or a dense array, that
            residuals are drawn against in place of the fitted values.  It need not be
            one that the model uses.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ResidualsDisplay

        Raises
        ------
        ValueError
            If X has no such column.
        """
        name, column = "feature", None
        if feature is not None:
            _, name, column = read_feature(X, feature)
        known, mean, std = noise_of(estimator, X, groups)
        fitted, residual = _standardised(y, mean, std)
        display = cls(
            fitted=fitted,
            residual=residual,
            known=known,
            kind=kind,
            feature=column,
            feature_name=name,
        )
        return display.plot(ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ColumnLike,
        y_mean: ColumnLike,
        y_std: ColumnLike | None = None,
        *,
        known: ColumnLike | None = None,
        kind: Literal["fitted", "quantiles"] = "fitted",
        feature: ColumnLike | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the residuals of predictions.

        Parameters
        ----------
        y_true, y_mean : array-like of shape (n_rows,)
            Observations, and the means predicted for them.
        y_std : array-like of shape (n_rows,), default=None
            Standard deviations of their noise; None is the root mean square of the
            residuals.
        known : array-like of bool or str of shape (n_rows,), default=None
        kind : {"fitted", "quantiles"}, default="fitted"
        feature : array-like of shape (n_rows,), default=None
            Values that residuals are drawn against in place of `y_mean`; the name of a
            Series is written below them.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ResidualsDisplay
        """
        fitted, residual = _standardised(y_true, y_mean, y_std)
        name = str(getattr(feature, "name", None) or "feature")
        if feature is not None:
            feature = column_or_1d(read_column(feature, "feature"))
            check_consistent_length(fitted, feature)
        display = cls(
            fitted=fitted,
            residual=residual,
            known=known,
            kind=kind,
            feature=feature,
            feature_name=name,
        )
        return display.plot(ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : ResidualsDisplay
        """
        check_choice(self.kind, "kind", ("fitted", "quantiles"))
        if self.kind == "quantiles" and self.feature is not None:
            raise ValueError(
                f"Quantiles of residuals do not depend on {self.feature_name}: leave "
                "out `kind`, or `feature`."
            )
        ax = self._begin(ax)
        across = self.fitted if self.feature is None else self.feature
        rows = np.column_stack([across, self.residual])
        draw = self._draw_fitted if self.kind == "fitted" else self._draw_quantiles
        draw(ax, by_kind(rows, self.known))
        for handle in ax.legend(loc="best").legend_handles:
            handle.set_alpha(1.0)
        return self

    def _draw_fitted(self, ax, sets):
        ax.axhline(0.0, color="0.5", linewidth=0.8, zorder=0)
        for level in (-2.0, 2.0):
            ax.axhline(level, color="0.5", linewidth=0.8, linestyle=":", zorder=0)
        for name, rows, colour in sets:
            label = f"{name} ({len(rows)} rows)"
            ax.plot(*rows.T, label=label, color=colour, **_dots(len(rows)))
            if len(rows) >= ROWS_OF_A_TREND:
                trend = {"color": colour, "linewidth": 1.6, "marker": "o"}
                ax.plot(*_binned_means(*rows.T), markeredgecolor="white", **trend)
        is_fitted = self.feature is None
        ax.set_xlabel("fitted value (units of y)" if is_fitted else self.feature_name)
        ax.set_ylabel("standardised residual")
        ax.set_title("Residuals")

    @staticmethod
    def _draw_quantiles(ax, sets):
        ends = np.zeros(2)
        for name, rows, colour in sets:
            n, label = len(rows), f"{name} ({len(rows)} rows)"
            rank = np.arange(1, n + 1)
            expected = norm.ppf((rank - 0.5) / n)
            low, high = norm.ppf(beta.interval(0.95, rank, n + 1 - rank))
            ax.fill_between(expected, low, high, color="0.9", linewidth=0, zorder=0)
            residual = np.sort(rows[:, 1])
            ax.plot(expected, residual, label=label, color=colour, **_dots(n))
            ends = [min(ends[0], expected[0]), max(ends[1], expected[-1])]
        ax.plot(ends, ends, color="0.5", linewidth=0.8, label="normal", zorder=1)
        ax.set_xlabel("quantile of the normal distribution")
        ax.set_ylabel("standardised residual")
        ax.set_title("Quantiles of residuals")


class ResidualScaleDisplay(Display):
    """Whether residuals are as large as the predicted standard deviations say.

    Rows are put into bins of equal numbers by predicted standard deviation; each point
    is the root of the mean squared residual of a bin, with an interval of probability
    0.95 for independent normal rows.

    Parameters
    ----------
    residual : ndarray of shape (n_rows,)
        Observation minus predicted mean.
    std : ndarray of shape (n_rows,)
        Predicted standard deviation.
    known : ndarray of bool or str of shape (n_rows,), default=None
        Whether the model knows the group of a row; None draws all rows together.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    residual: Floats
    std: Floats
    known: ColumnLike | None = None

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        n_bins: int = 10,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the residuals of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            A model whose `predict` has `return_std`, or a Pipeline or a search around.
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        groups : array-like of shape (n_rows,), default=None
        n_bins : int, default=10
            Most bins.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ResidualScaleDisplay

        Raises
        ------
        TypeError
            If the model gives no standard deviation.
        """
        known, mean, std = distribution_of(estimator, X, groups)
        return cls.from_predictions(y, mean, std, known=known, n_bins=n_bins, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ColumnLike,
        y_mean: ColumnLike,
        y_std: ColumnLike,
        *,
        known: ColumnLike | None = None,
        n_bins: int = 10,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the residuals of normal predictions.

        Parameters
        ----------
        y_true, y_mean, y_std : array-like of shape (n_rows,)
            Observations, and the means and standard deviations predicted for them.
        known : array-like of bool or str of shape (n_rows,), default=None
        n_bins : int, default=10
            Most bins.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ResidualScaleDisplay
        """
        y_true, y_mean, y_std = read_predictions(y_true, y_mean, y_std)
        display = cls(residual=y_true - y_mean, std=y_std, known=known)
        return display.plot(ax=ax, n_bins=n_bins)

    def plot(self, ax: Axes | None = None, *, n_bins: int = 10) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
        n_bins : int, default=10
            Most bins; there are fewer where standard deviations are equal.

        Returns
        -------
        self : ResidualScaleDisplay
        """
        ax = self._begin(ax)
        rows = np.column_stack([self.std, self.residual])
        ends = []
        for name, values, colour in by_kind(rows, self.known):
            std, scale, low, high = _binned_scale(*values.T, n_bins)
            ends += [std.min(), std.max()]
            bars = [scale - low, high - scale]
            ax.errorbar(
                std, scale, yerr=bars, fmt="o", markersize=5, color=colour,
                label=f"{name} ({len(values)} rows)",
            )  # fmt: skip
        ends = np.array([0.95 * min(ends), 1.05 * max(ends)])
        ax.plot(ends, ends, color="0.5", linewidth=0.8, label="as predicted", zorder=0)
        ax.set_xlabel("predicted standard deviation (units of y)")
        ax.set_ylabel("root mean squared residual")
        ax.set_title("Size of residuals")
        ax.legend(loc="best")
        return self


def _standardised(y_true, y_mean, y_std):
    """Means and residuals in units of the std, or of their root mean square."""
    if y_std is None:
        y_true, y_mean = read_predictions(y_true, y_mean)
        y_std = np.sqrt(np.mean((y_true - y_mean) ** 2)) or 1.0
    else:
        y_true, y_mean, y_std = read_predictions(y_true, y_mean, y_std)
    return y_mean, (y_true - y_mean) / y_std


def _dots(n_rows):
    """The style of so many points."""
    shade = float(np.clip(np.sqrt(FULL_DOTS / n_rows), 0.15, 0.8))
    style = {"linestyle": "none", "marker": ".", "markersize": 6}
    return style | {"markeredgewidth": 0, "alpha": shade}


def _binned_means(across, residual):
    """Means of the values across and of residuals: at each of few values, or else in
    bins of equal numbers of rows.
    """
    values, place = np.unique(across, return_inverse=True)
    if len(values) <= MOST_BINS:
        return values, np.bincount(place, residual) / np.bincount(place)
    order = np.argsort(across, kind="stable")
    n_bins = min(MOST_BINS, len(order) // (ROWS_OF_A_TREND // 4))
    bins = np.array_split(order, n_bins)
    means = [(across[some].mean(), residual[some].mean()) for some in bins]
    return np.transpose(means)


def _binned_scale(std, residual, n_bins):
    """Root mean square of the predicted std and of residuals in bins, with intervals of
    the latter.
    """
    edges = [0.0]
    for edge in np.quantile(std, np.linspace(0, 1, n_bins + 1))[1:-1]:
        if edge > (1 + NARROWEST_BIN) * max(edges[-1], std.min()):
            edges.append(edge)
    member = np.searchsorted(edges[1:], std, side="left")
    count = np.bincount(member)
    used = count > 0
    predicted = np.bincount(member, std**2)[used] / count[used]
    mean_square = np.bincount(member, residual**2)[used] / count[used]
    # The share of the predicted variance that a mean of so many squares may be.
    low, high = chi2.interval(0.95, count[used])
    scale = np.sqrt(mean_square)
    return (
        np.sqrt(predicted),
        scale,
        scale * np.sqrt(count[used] / high),
        scale * np.sqrt(count[used] / low),
    )
