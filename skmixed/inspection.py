"""Intervals and pictures of any fitted model: what its groups are like, and whether its
predictive distribution keeps what it promises.

Models may be inside a Pipeline or a search.  Pictures are in the form of scikit-learn's
displays and need matplotlib, the extra `plots`.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, chi2, norm
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.validation import check_is_fitted

from ._estimator import GroupedRegressor, fit_of, read_new
from ._evaluation.any_model import (
    predict_distribution,
    requested,
    unwrap,
    warn_of_lost_labels,
)
from ._input.parameters import check_coverage
from ._input.table import read_column
from ._likelihood.normal import normal_cdf, normal_interval
from ._results.profile import Profile
from ._typing import ColumnLike, EstimatorLike, Floats, MatrixLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "LikelihoodProfileDisplay",
    "PredictiveCalibrationDisplay",
    "RandomInterceptsDisplay",
    "ResidualScaleDisplay",
    "predict_interval",
]

KNOWN, NEW, ALL = "known groups", "new groups", "all rows"
COLOURS = {KNOWN: "C0", NEW: "C1", ALL: "C0"}
LONGEST_LABEL = 24  # characters
LABELS_PER_INCH = 7.5  # of the height of the axes, still readable
MOST_BARS = 100  # of which each can be told from the next
NARROWEST_BIN = 0.02  # of predicted standard deviations, relative to them


def predict_interval(
    estimator: EstimatorLike,
    X: MatrixLike,
    *,
    groups: ColumnLike | None = None,
    coverage: float = 0.9,
    distribution: Literal["normal", "t"] = "normal",
) -> Floats:
    """Predict the interval that holds a new observation with a given probability.

    Works with any fitted model whose `predict` has `return_std`, wherever it is: the
    groups reach it inside a Pipeline or a search as well, whatever the setting of
    metadata routing.  Bounds of a ``TransformedTargetRegressor`` come back through its
    inverse function, which a mean and a standard deviation cannot: what such a model
    predicts is the median of y, and not its mean.

    Parameters
    ----------
    estimator : fitted estimator
        A model, or a Pipeline, a search or a ``TransformedTargetRegressor`` around one.
    X : array-like of shape (n_rows, n_features)
        Features, as the outermost estimator takes them.
    groups : array-like of shape (n_rows,), default=None
        Group labels, as in the model's `predict`.
    coverage : float, default=0.9
        Probability of the interval, above 0 and below 1.
    distribution : {"normal", "t"}, default="normal"
        As in `predict_interval` of the models of this package: Student's t allows for
        the estimation of the variances.

    Returns
    -------
    interval : ndarray of shape (n_rows, 2)
        Lower and upper bound, in the units of y: central, of a transformed y in the
        probabilities on both sides.

    Raises
    ------
    TypeError
        If the model gives no standard deviation, or no degrees of freedom for
        ``distribution="t"``.
    ValueError
        If `coverage` is no probability, or `distribution` has another value.

    Notes
    -----
    The function that transforms y has to rise everywhere, or to fall, as the logarithm
    does; the square of a bound that is negative is no bound of a square.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import predict_interval
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> pipe = make_pipeline(StandardScaler(), RandomInterceptRegressor())
    >>> pipe = pipe.fit(X, y, randominterceptregressor__groups=groups)
    >>> predict_interval(pipe, [[10.0]], groups=[308]).round()
    array([[343., 451.]])
    """
    check_coverage(coverage)
    if distribution not in ("normal", "t"):
        raise ValueError(f"distribution is 'normal' or 't', got {distribution!r}.")
    metadata = {} if groups is None else {"groups": groups}
    model, X = unwrap(estimator, X, metadata)
    options = {"coverage": coverage, "distribution": distribution}
    if isinstance(model, TransformedTargetRegressor):
        check_is_fitted(model)
        bounds = predict_interval(model.regressor_, X, groups=groups, **options)
        column = np.reshape(bounds, (-1, 1))
        bounds = np.reshape(model.transformer_.inverse_transform(column), (-1, 2))
        return np.sort(bounds, axis=1)  # a falling function turns them round
    warn_of_lost_labels(model, metadata)
    if distribution == "t":
        if not hasattr(model, "predict_interval"):
            raise TypeError(
                f"{type(model).__name__} gives no degrees of freedom; use "
                'distribution="normal", or a model of this package.'
            )
        used = requested(model, "predict", metadata)
        return model.predict_interval(X, **used, **options)
    mean, std = predict_distribution(model, X, metadata)
    return np.column_stack(normal_interval(mean, std, coverage))


class _Display:
    """A picture: data, `plot`, and afterwards `ax_` and `figure_`."""

    ax_: Axes
    figure_: Figure

    def _begin(self, ax):
        plt = _pyplot()
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        return ax


class RandomInterceptsDisplay(_Display):
    """Predicted random intercepts with their intervals, in order of size.

    With few groups each has its label; with many, where labels would be on top of each
    other, the intervals are a band.

    Parameters
    ----------
    labels : ndarray of shape (n_groups,)
    intercepts : ndarray of shape (n_groups,)
        In the units of y.
    std : ndarray of shape (n_groups,)
        Standard deviation of their prediction errors.
    coverage : float, default=0.95
        Probability of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import RandomInterceptsDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> display = RandomInterceptsDisplay.from_estimator(model)
    """

    def __init__(
        self,
        *,
        labels: NDArray[Any],
        intercepts: Floats,
        std: Floats,
        coverage: float = 0.95,
    ) -> None:
        self.labels = labels
        self.intercepts = intercepts
        self.std = std
        self.coverage = coverage

    @classmethod
    def from_estimator(
        cls, estimator: EstimatorLike, *, coverage: float = 0.95, ax: Axes | None = None
    ) -> Self:
        """Draw the random intercepts of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            One of this package, or a Pipeline or a search around one.
        coverage : float, default=0.95
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : RandomInterceptsDisplay

        Raises
        ------
        TypeError, ValueError
            If it is another model, or has no random intercepts.
        """
        check_coverage(coverage)
        model = _own_model(estimator)
        if not fit_of(model).has_random_intercepts:
            raise ValueError(
                f"The {type(model).__name__} has no random intercepts: it was fitted "
                "without `groups`, or with other effects of them."
            )
        display = cls(
            labels=model.groups_,
            intercepts=model.random_intercepts_,
            std=model.random_intercepts_std_,
            coverage=coverage,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure, higher the more groups there are to be named.

        Returns
        -------
        self : RandomInterceptsDisplay
        """
        n_groups = len(self.labels)
        if ax is None:
            height = max(1.2 + 0.18 * n_groups, 2.4)
            height = height if height < 9 else 4.8
            _, ax = _pyplot().subplots(figsize=(6.4, height), layout="constrained")
        ax = self._begin(ax)
        order = np.argsort(self.intercepts, kind="stable")
        modes, place = np.asarray(self.intercepts)[order], np.arange(n_groups)
        half = norm.isf(0.5 - self.coverage / 2) * np.asarray(self.std)[order]
        ax.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
        interval = f"{self.coverage:.4g} interval"
        if n_groups <= MOST_BARS:
            style = {"fmt": "o", "markersize": 4, "linewidth": 1.2}
            ax.errorbar(modes, place, xerr=half, label=interval, **style)
        else:
            band = {"color": "C0", "alpha": 0.3, "linewidth": 0, "step": "mid"}
            ax.fill_betweenx(place, modes - half, modes + half, label=interval, **band)
            ax.plot(modes, place, color="C0", linewidth=1.5, label="prediction")
        height = ax.get_position().height * ax.figure.get_size_inches()[1]
        if n_groups <= max(height * LABELS_PER_INCH, 1):
            size = "medium" if n_groups <= height * LABELS_PER_INCH / 2 else "small"
            labels = [_short(self.labels[i]) for i in order]
            ax.set_yticks(place, labels, fontsize=size)
            ax.set_ylabel("group")
        else:
            ax.yaxis.get_major_locator().set_params(integer=True)
            ax.set_ylabel("groups, in order")
        ax.set_ylim(-0.7, n_groups - 0.3)
        ax.set_xlabel("random intercept (units of y)")
        ax.set_title(f"Random intercepts of {n_groups} groups")
        ax.legend(loc="best")
        return self


class PredictiveCalibrationDisplay(_Display):
    """Whether the predictive distribution is calibrated, for known and new groups.

    ``kind="pit"`` is the histogram of the probability integral transform, the predicted
    distribution function at what was observed: level if the distribution is right,
    a U if it is too narrow, a hump if it is too wide.  ``kind="coverage"`` is the share
    of observations inside central intervals against their nominal probability.

    Parameters
    ----------
    pit : ndarray of shape (n_rows,)
        Values of the transform.
    known : ndarray of bool of shape (n_rows,), default=None
        Whether the model knows the group of a row; None draws all rows together.
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

    def __init__(
        self,
        *,
        pit: Floats,
        known: ColumnLike | None = None,
        kind: Literal["pit", "coverage"] = "pit",
    ) -> None:
        self.pit = pit
        self.known = known
        self.kind = kind

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
        groups : array-like of shape (n_rows,), default=None
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
        known, mean, std = _distribution(estimator, X, groups)
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
        known : array-like of bool of shape (n_rows,), default=None
        kind : {"pit", "coverage"}, default="pit"
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : PredictiveCalibrationDisplay
        """
        y_true, y_mean, y_std = _predictions(y_true, y_mean, y_std)
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
        if self.kind not in ("pit", "coverage"):
            raise ValueError(f"kind is 'pit' or 'coverage', got {self.kind!r}.")
        ax = self._begin(ax)
        sets = _by_kind(np.asarray(self.pit), self.known)
        fewest = min(len(values) for values in sets.values())
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
        for name, values in sets.items():
            density, edges = np.histogram(values, n_bins, (0, 1), density=True)
            label = f"{name} ({len(values)} rows)"
            ax.stairs(density, edges, color=COLOURS[name], linewidth=1.6, label=label)
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
        for name, values in sets.items():
            inside = np.sort(2 * np.abs(values - 0.5))
            share = np.searchsorted(inside, nominal, side="right") / len(inside)
            label = f"{name} ({len(values)} rows)"
            ax.plot(nominal, share, color=COLOURS[name], linewidth=1.6, label=label)
        ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        ax.set_xlabel("nominal probability of the interval")
        ax.set_ylabel("share of observations inside")
        ax.set_title("Coverage of predictive intervals")


class ResidualScaleDisplay(_Display):
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
    known : ndarray of bool of shape (n_rows,), default=None
        Whether the model knows the group of a row; None draws all rows together.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self, *, residual: Floats, std: Floats, known: ColumnLike | None = None
    ) -> None:
        self.residual = residual
        self.std = std
        self.known = known

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
        known, mean, std = _distribution(estimator, X, groups)
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
        known : array-like of bool of shape (n_rows,), default=None
        n_bins : int, default=10
            Most bins.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : ResidualScaleDisplay
        """
        y_true, y_mean, y_std = _predictions(y_true, y_mean, y_std)
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
        for name, values in _by_kind(rows, self.known).items():
            std, scale, low, high = _binned_scale(*values.T, n_bins)
            ends += [std.min(), std.max()]
            bars = [scale - low, high - scale]
            ax.errorbar(
                std, scale, yerr=bars, fmt="o", markersize=5, color=COLOURS[name],
                label=f"{name} ({len(values)} rows)",
            )  # fmt: skip
        ends = np.array([0.95 * min(ends), 1.05 * max(ends)])
        ax.plot(ends, ends, color="0.5", linewidth=0.8, label="as predicted", zorder=0)
        ax.set_xlabel("predicted standard deviation (units of y)")
        ax.set_ylabel("root mean squared residual")
        ax.set_title("Size of residuals")
        ax.legend(loc="best")
        return self


class LikelihoodProfileDisplay(_Display):
    """The likelihood as a function of the groups' standard deviation.

    At every value it is the highest over all other parameters, and counted from its
    maximum; the interval is where it is not lower than a quantile of chi-squared says.

    Parameters
    ----------
    group_std : ndarray of shape (n_points,)
        In the units of y.
    log_likelihood : ndarray of shape (n_points,)
        From the maximum, at most 0.
    best : float
        The estimate.
    interval : ndarray of shape (2,)
    coverage : float
        Probability of the interval.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        group_std: Floats,
        log_likelihood: Floats,
        best: float,
        interval: Floats,
        coverage: float = 0.95,
    ) -> None:
        self.group_std = group_std
        self.log_likelihood = log_likelihood
        self.best = best
        self.interval = interval
        self.coverage = coverage

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        *,
        coverage: float = 0.95,
        n_points: int = 101,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the profile of a fitted `RandomInterceptRegressor`.

        Parameters
        ----------
        estimator : fitted estimator
            A `RandomInterceptRegressor`, or a Pipeline or a search around one.
        coverage : float, default=0.95
        n_points : int, default=101
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LikelihoodProfileDisplay

        Raises
        ------
        TypeError, ValueError
            If it is another model; if it has a ridge penalty, or the data do not tell
            the group variance.
        """
        model = _own_model(estimator)
        if not hasattr(model, "profile_intervals"):
            raise TypeError(
                f"{type(model).__name__} keeps nothing that its likelihood could be "
                "profiled with; a RandomInterceptRegressor does."
            )
        interval = model.profile_intervals(coverage)["group_std"]
        if np.isnan(interval).any():
            raise ValueError(
                "There is no likelihood to draw: the model has no groups, y is fitted "
                "exactly, or the data cannot tell groups from noise. The warning that "
                "`fit` gave says which, and what to do."
            )
        fit = fit_of(model)
        profile, best = Profile(fit.likelihood()[1], fit.ratio), fit.group_variance
        end = interval[1] if np.isfinite(interval[1]) else 4 * np.sqrt(best)
        group_std = np.unique(np.append(np.linspace(0, 1.3 * end, n_points), best**0.5))
        with np.errstate(divide="ignore"):
            rise = [profile.group_rise(2 * np.log(std)) for std in group_std]
        display = cls(
            group_std=group_std,
            log_likelihood=-0.5 * np.array(rise),
            best=float(np.sqrt(best)),
            interval=interval,
            coverage=coverage,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Axes | None = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes, default=None

        Returns
        -------
        self : LikelihoodProfileDisplay
        """
        ax = self._begin(ax)
        drop = -0.5 * norm.isf(0.5 - self.coverage / 2) ** 2
        label = f"{self.coverage:.4g} interval: {self.interval[0]:.4g} to "
        label += f"{self.interval[1]:.4g}"
        ends = np.clip(self.interval, 0, self.group_std[-1])
        ax.axvspan(*ends, color="0.9", zorder=0, label=label)
        ax.plot(self.group_std, self.log_likelihood, color="C0", linewidth=1.6)
        ax.axhline(drop, color="0.5", linewidth=0.8)
        estimate = f"estimate: {self.best:.4g}"
        ax.axvline(self.best, color="C1", linewidth=1.2, label=estimate)
        ax.set_ylim(4 * drop, -0.15 * drop)
        ax.set_xlim(0, self.group_std[-1])
        ax.set_xlabel("standard deviation of groups (units of y)")
        ax.set_ylabel("log-likelihood from its maximum")
        ax.set_title("Profile of the likelihood")
        ax.legend(loc="lower center")
        return self


def _pyplot():
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "Displays require matplotlib. Install it with `pip install matplotlib`."
        ) from error
    return plt


def _own_model(estimator):
    """The model of this package inside an estimator."""
    model, _ = unwrap(estimator, None, {})
    if not isinstance(model, GroupedRegressor):
        raise TypeError(
            f"{type(model).__name__} is not a model of this package: nothing is known "
            "of its random intercepts."
        )
    check_is_fitted(model)
    return copy(model)  # which no other thread changes


def _distribution(estimator, X, groups):
    """Whether the model knows the group of each row (None where it has no groups), and
    the means and standard deviations that it predicts.
    """
    metadata = {} if groups is None else {"groups": groups}
    model, X = unwrap(estimator, X, metadata)
    warn_of_lost_labels(model, metadata)
    mean, std = predict_distribution(model, X, metadata)
    known = None
    if isinstance(model, GroupedRegressor) and len(model.groups_):
        known = read_new(model, X, groups).codes >= 0
    return known, mean, std


def _predictions(y_true, y_mean, y_std):
    """Three columns of finite numbers, equally long."""
    given = {"y_true": y_true, "y_mean": y_mean, "y_std": y_std}
    columns = [column_or_1d(read_column(c, name)) for name, c in given.items()]
    check_consistent_length(*columns)
    if (columns[2] <= 0).any():
        raise ValueError(
            f"y_std has {np.sum(columns[2] <= 0)} entries that are not positive."
        )
    return columns


def _by_kind(values, known):
    """Rows of known and of new groups apart, as far as there are any."""
    if known is None:
        return {ALL: values}
    known = np.asarray(known, dtype=bool)
    check_consistent_length(values, known)
    sets = {KNOWN: values[known], NEW: values[~known]}
    return {name: rows for name, rows in sets.items() if len(rows)}


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


def _short(label):
    """A label without its middle, if it is long: labels often differ at their ends."""
    text = str(label)
    if len(text) <= LONGEST_LABEL:
        return text
    half = LONGEST_LABEL // 2
    return f"{text[: half - 1]}\u2026{text[-half:]}"
