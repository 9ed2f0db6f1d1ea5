"""Pictures of the groups of a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from .._estimator import fit_of
from .._input.factors import INTERCEPT
from .._input.parameters import check_coverage, check_distribution
from .._input.typing import EstimatorLike, Floats
from ._display import Display, own_model, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ONE = "groups"  # the name of the factor of a model that has one
LONGEST_LABEL = 24  # characters
LABELS_PER_INCH = 7.5  # of the height of the axes, still readable
MOST_BARS = 100  # of which each can be told from the next


class RandomInterceptsDisplay(Display):
    """Predicted random intercepts with their intervals, in order of size.

    With few groups each has its label; with many, where labels would be on top of each
    other, the intervals are a band.

    Parameters
    ----------
    labels : ndarray of shape (n_groups,)
    intercepts : ndarray of shape (n_groups,)
        In the units of y.
    interval : ndarray of shape (n_groups, 2)
        Lower and upper ends.
    coverage : float, default=0.95
        Probability of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    Intervals of the normal distribution take the variances as known, which makes them
    too narrow where the groups are few: where the group variance is estimated as 0 they
    have no width.  The integrated distribution counts that uncertainty.

    Examples
    --------
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import RandomInterceptsDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> display = RandomInterceptsDisplay.from_estimator(model)
    """

    labels: NDArray[Any]
    intercepts: Floats
    interval: Floats
    coverage: float = 0.95

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        *,
        coverage: float = 0.95,
        distribution: Literal["integrated", "normal"] | None = None,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the random intercepts of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            One of this package, or a Pipeline or a search around one.
        coverage : float, default=0.95
        distribution : {"integrated", "normal"}, default=None
            That of the intervals, as in `predict_interval`; None is the integrated one
            where the model offers it.
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
        _check_distribution(distribution)
        model = own_model(estimator)
        if hasattr(model, "random_effects_"):
            raise ValueError(
                f"The {type(model).__name__} may have several factors and effects: "
                "draw them by RandomEffectsDisplay."
            )
        if not fit_of(model).has_random_intercepts:
            raise ValueError(
                f"The {type(model).__name__} has no random intercepts: it was fitted "
                "without `groups`, or with other effects of them."
            )
        display = cls(
            labels=model.groups_,
            intercepts=model.random_intercepts_,
            interval=_intercepts_interval(model, coverage, distribution),
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
            size = (6.4, _height(n_groups))
            _, ax = pyplot().subplots(figsize=size, layout="constrained")
        ax = self._begin(ax)
        order = np.argsort(self.intercepts, kind="stable")
        _draw_caterpillar(ax, self.intercepts, self.interval, order, self.coverage)
        _name_groups(ax, self.labels, order)
        ax.set_xlabel("random intercept (units of y)")
        ax.set_title(f"Random intercepts of {n_groups} groups")
        ax.legend(loc="best")
        return self


class RandomEffectsDisplay(Display):
    """Predicted random effects of a factor with their intervals, one picture an effect.

    The levels are in the order of the first effect in all pictures.  With few levels
    each has its label; with many, the intervals are a band.

    Parameters
    ----------
    labels : ndarray of shape (n_levels,)
    effects : dict of str to ndarray of shape (n_levels,)
        Predictions by the name of the effect, in units of y per unit of its column.
    interval : dict of str to ndarray of shape (n_levels, 2)
        Lower and upper ends.
    factor : str, default="groups"
    coverage : float, default=0.95
        Probability of the intervals.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_effects,)
    ax_ : matplotlib Axes
        The first of them.
    figure_ : matplotlib Figure

    Notes
    -----
    Intervals of the normal distribution take the variances as known, which makes them
    too narrow where the levels are few.  The integrated distribution counts that
    uncertainty.

    Examples
    --------
    >>> from skmixed import LinearMixedRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import RandomEffectsDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=groups)
    >>> display = RandomEffectsDisplay.from_estimator(model)
    >>> list(display.effects)
    ['intercept', 'Days']
    """

    axes_: NDArray[Any] = field(init=False)
    labels: NDArray[Any]
    effects: dict[str, Floats]
    interval: dict[str, Floats]
    factor: str = "groups"
    coverage: float = 0.95

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        factor: str | None = None,
        *,
        effects: Sequence[str] | None = None,
        coverage: float = 0.95,
        distribution: Literal["integrated", "normal"] | None = None,
        ax: Any = None,
    ) -> Self:
        """Draw the random effects of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            One of this package, or a Pipeline or a search around one.
        factor : str, default=None
            Name of the factor; the first one by default.
        effects : list of str, default=None
            Names of the effects to be drawn; all of the factor by default.
        coverage : float, default=0.95
        distribution : {"integrated", "normal"}, default=None
            That of the intervals, as in `predict_interval`; None is the integrated one
            where the model offers it.
        ax : matplotlib Axes or sequence of them, default=None
            One for each effect.

        Returns
        -------
        display : RandomEffectsDisplay

        Raises
        ------
        TypeError, ValueError
            If it is another model, or has no such random effects.
        """
        check_coverage(coverage)
        _check_distribution(distribution)
        found = _effects_of(own_model(estimator))
        factor = next(iter(found), None) if factor is None else factor
        if factor not in found:
            known = ", ".join(map(repr, found)) or "none"
            raise ValueError(
                f"The model has no random effects of factor {factor!r}; its factors "
                f"are: {known}."
            )
        labels, values, read = found[factor]
        names = list(values) if effects is None else list(effects)
        unknown = [name for name in names if name not in values]
        if unknown or not names:
            raise ValueError(
                f"effects={names} of {factor!r}; its random effects are {list(values)}."
            )
        interval = read(coverage, distribution)
        display = cls(
            labels=labels,
            effects={name: values[name] for name in names},
            interval={name: interval[name] for name in names},
            factor=factor,
            coverage=coverage,
        )
        return display.plot(ax=ax)

    def plot(self, ax: Any = None) -> Self:
        """Draw.

        Parameters
        ----------
        ax : matplotlib Axes or sequence of them, default=None
            One for each effect; None makes a new figure.

        Returns
        -------
        self : RandomEffectsDisplay
        """
        n = len(self.effects)
        if ax is None:
            size = (1.6 + 3.8 * n, _height(len(self.labels)))
            options = {"figsize": size, "sharey": True, "layout": "constrained"}
            _, ax = pyplot().subplots(1, n, **options)
        axes = np.atleast_1d(np.array(ax, dtype=object))
        if len(axes) != n:
            raise ValueError(f"ax has {len(axes)} axes for {n} effects.")
        self.axes_, self.ax_, self.figure_ = axes, axes[0], axes[0].figure
        order = np.argsort(next(iter(self.effects.values())), kind="stable")
        for one, (name, values) in zip(axes, self.effects.items(), strict=True):
            _draw_caterpillar(one, values, self.interval[name], order, self.coverage)
            one.set_xlabel(name)
            one.set_title(f"{name} | {self.factor}")
        _name_groups(axes[0], self.labels, order)
        axes[0].legend(loc="best")
        return self


def _effects_of(model):
    """Labels, random effects and a function that gives their intervals, by factor."""
    fit = fit_of(model)
    if not hasattr(model, "random_effects_"):
        if not fit.has_random_intercepts:
            return {}

        def of_intercepts(*options):
            return {INTERCEPT: _intercepts_interval(model, *options)}

        values = {INTERCEPT: model.random_intercepts_}
        return {ONE: (model.groups_, values, of_intercepts)}
    found = {}
    for t, (factor, names) in enumerate(model.random_effects_names_.items()):
        values = dict(zip(names, model.random_effects_[factor].T, strict=True))
        read = partial(_effects_intervals, fit, t, names)
        found[factor] = (model.groups_[factor], values, read)
    return found


def _check_distribution(distribution):
    if distribution is not None:
        check_distribution(distribution, ("integrated", "normal"))


def _is_integrated(fit, distribution):
    """Whether the integrated distribution is meant."""
    if distribution is None:
        return fit.offers_integrated
    return distribution == "integrated"


def _intercepts_interval(model, coverage, distribution):
    """Intervals (n_groups, 2) of random intercepts."""
    fit = fit_of(getattr(model, "known_model_", model))  # of any regressor as the mean
    return fit.intercepts_interval(coverage, _is_integrated(fit, distribution))


def _effects_intervals(fit, t, names, coverage, distribution):
    """Intervals (n_levels, 2) of the random effects of a factor, by their names."""
    ends = fit.effects_interval(t, coverage, _is_integrated(fit, distribution))
    return {name: ends[:, i] for i, name in enumerate(names)}


def _height(n_groups):
    """The height of a picture in which so many groups can be named, in inches."""
    height = max(1.2 + 0.18 * n_groups, 2.4)
    return height if height < 9 else 4.8


def _draw_caterpillar(ax, values, interval, order, coverage):
    """Effects with their intervals, from the bottom to the top."""
    modes, place = np.asarray(values)[order], np.arange(len(order))
    low, high = np.asarray(interval)[order].T
    ax.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    label = f"{coverage:.4g} interval"
    if len(order) <= MOST_BARS:
        ax.hlines(place, low, high, color="C0", linewidth=1.2, label=label)
        ax.plot(modes, place, "o", color="C0", markersize=4)
        return
    band = {"color": "C0", "alpha": 0.3, "linewidth": 0, "step": "mid"}
    ax.fill_betweenx(place, low, high, label=label, **band)
    ax.plot(modes, place, color="C0", linewidth=1.5, label="prediction")


def _name_groups(ax, labels, order):
    """Name the groups at the vertical axis, as far as there is room."""
    n_groups = len(order)
    height = ax.get_position().height * ax.figure.get_size_inches()[1]
    if n_groups <= max(height * LABELS_PER_INCH, 1):
        size = "medium" if n_groups <= height * LABELS_PER_INCH / 2 else "small"
        names = [_short(labels[i]) for i in order]
        ax.set_yticks(np.arange(n_groups), names, fontsize=size)
        ax.set_ylabel("group")
    else:
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set_ylabel("groups, in order")
    ax.set_ylim(-0.7, n_groups - 0.3)


def _short(label):
    """A label without its middle, if it is long: labels often differ at their ends."""
    text = str(label)
    if len(text) <= LONGEST_LABEL:
        return text
    half = LONGEST_LABEL // 2
    return f"{text[: half - 1]}\u2026{text[-half:]}"
