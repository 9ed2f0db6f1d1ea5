"""Pictures of the calibration of predictive distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from scipy.stats import binom

from .._input.parameters import check_choice
from .._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from .._likelihood.normal import normal_cdf
from ._display import Display, by_kind, distribution_of, read_predictions

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class PredictiveCalibrationDisplay(Display):
    """Whether the predictive distribution is calibrated, for known and new groups.

    ``kind="pit"`` is the histogram of the probability integral transform, the predicted
    distribution function at the observation: level if the distribution is right,
    a U if it is too narrow, a hump if it is too wide.  ``kind="coverage"`` is the share
    of observations inside central intervals against their nominal probability.

    Parameters
    ----------
    pit : ndarray of shape (n_rows,)
        Values of the transform.
    known : ndarray of bool or str of shape (n_rows,), default=None
        Whether the model knows the group of a row, or a text for every row, such as
        "known subject, new item" of a model with several factors: rows of each kind are
        drawn apart.  None draws all rows together.
    kind : {"pit", "coverage"}, default="pit"

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    The grey band holds the figure of independent rows with a probability of 0.95.  Rows
    of one new group share its random intercept, so that with few new groups theirs may
    well be outside.
    """

    pit: Floats
    known: ColumnLike | None = None
    kind: Literal["pit", "coverage"] = "pit"

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        kind: Literal["pit", "coverage"] = "pit",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the calibration of a fitted model on rows that it was not fitted to.

        Parameters
        ----------
        estimator : fitted estimator
            A model whose `predict` has `return_std`, or a Pipeline or a search around.
        X : array-like of shape (n_rows, n_features)
        y : array-like of shape (n_rows,)
        groups : array-like of shape (n_rows,) or table, default=None
            Group labels; those of several factors give a figure for each combination of
            known and new that occurs.
        kind : {"pit", "coverage"}, default="pit"
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PredictiveCalibrationDisplay

        Raises
        ------
        TypeError
            If the model gives no standard deviation.
        """
        known, mean, std = distribution_of(estimator, X, groups)
        return cls.from_predictions(y, mean, std, known=known, kind=kind, ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ColumnLike,
        y_mean: ColumnLike,
        y_std: ColumnLike,
        *,
        known: ColumnLike | None = None,
        kind: Literal["pit", "coverage"] = "pit",
        ax: Axes | None = None,
    ) -> Self:
        """Draw the calibration of normal predictions.

        Parameters
        ----------
        y_true, y_mean, y_std : array-like of shape (n_rows,)
            Observations, and the means and standard deviations predicted for them.
        known : array-like of bool or str of shape (n_rows,), default=None
        kind : {"pit", "coverage"}, default="pit"
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PredictiveCalibrationDisplay
        """
        y_true, y_mean, y_std = read_predictions(y_true, y_mean, y_std)
        pit = normal_cdf(y_true, y_mean, y_std)
        return cls(pit=pit, known=known, kind=kind).plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : PredictiveCalibrationDisplay
        """
        check_choice(self.kind, "kind", ("pit", "coverage"))
        ax = self._begin(ax)
        sets = by_kind(np.asarray(self.pit), self.known)
        fewest = min(len(values) for _, values, _ in sets)
        draw = self._draw_pit if self.kind == "pit" else self._draw_coverage
        draw(ax, sets, fewest)
        ax.legend(loc="best")
        return self

    @staticmethod
    def _draw_pit(ax, sets, fewest):
        n_bins = int(np.clip(np.sqrt(fewest) / 2, 5, 20))
        low, high = binom.interval(0.95, fewest, 1 / n_bins)
        per_bin = fewest / n_bins
        ax.axhspan(low / per_bin, high / per_bin, color="0.9", zorder=0)
        ax.axhline(1.0, color="0.5", linewidth=0.8, label="calibrated")
        for name, values, colour in sets:
            density, edges = np.histogram(values, n_bins, (0, 1), density=True)
            label = f"{name} ({len(values)} rows)"
            ax.stairs(density, edges, color=colour, linewidth=1.6, label=label)
        ax.set(xlim=(0, 1), xlabel="predicted probability of less than was observed")
        ax.set_ylim(0, None)
        ax.set_ylabel("density")
        ax.set_title("Probability integral transform")

    @staticmethod
    def _draw_coverage(ax, sets, fewest):
        nominal = np.linspace(0.01, 0.99, 99)
        low, high = binom.interval(0.95, fewest, nominal)
        ax.fill_between(
            nominal, low / fewest, high / fewest, color="0.9", linewidth=0, zorder=0
        )
        ax.plot([0, 1], [0, 1], color="0.5", linewidth=0.8, label="calibrated")
        for name, values, colour in sets:
            inside = np.sort(2 * np.abs(values - 0.5))
            share = np.searchsorted(inside, nominal, side="right") / len(inside)
            label = f"{name} ({len(values)} rows)"
            ax.plot(nominal, share, color=colour, linewidth=1.6, label=label)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set_xlabel("nominal probability of the interval")
        ax.set_ylabel("share of observations inside")
        ax.set_title("Coverage of predictive intervals")
