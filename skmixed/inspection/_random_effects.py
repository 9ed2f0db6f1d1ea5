"""Pictures of the groups of a fitted model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .._estimator import fit_of
from .._input.factors import INTERCEPT
from .._input.parameters import check_coverage
from .._typing import EstimatorLike, Floats
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
    std : ndarray of shape (n_groups,)
        Standard deviation of their prediction errors.
    coverage : float, default=0.95
        Probability of the intervals.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Notes
    -----
    The intervals take the variances as known, which makes them too narrow where the
    groups are few: where the group variance is estimated as 0 they have no width.

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
            size = (6.4, _height(n_groups))
            _, ax = pyplot().subplots(figsize=size, layout="constrained")
        ax = self._begin(ax)
        order = np.argsort(self.intercepts, kind="stable")
        _draw_caterpillar(ax, self.intercepts, self.std, order, self.coverage)
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
    std : dict of str to ndarray of shape (n_levels,)
        Standard deviations of their prediction errors.
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
    The intervals take the variances as known, which makes them too narrow where the
    levels are few.

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

    axes_: NDArray[Any]

    def __init__(
        self,
        *,
        labels: NDArray[Any],
        effects: dict[str, Floats],
        std: dict[str, Floats],
        factor: str = "groups",
        coverage: float = 0.95,
    ) -> None:
        self.labels = labels
        self.effects = effects
        self.std = std
        self.factor = factor
        self.coverage = coverage

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        factor: str | None = None,
        *,
        effects: Sequence[str] | None = None,
        coverage: float = 0.95,
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
        found = _effects_of(own_model(estimator))
        factor = next(iter(found), None) if factor is None else factor
        if factor not in found:
            known = ", ".join(map(repr, found)) or "none"
            raise ValueError(
                f"The model has no random effects of factor {factor!r}; its factors "
                f"are: {known}."
            )
        labels, values, std = found[factor]
        names = list(values) if effects is None else list(effects)
        unknown = [name for name in names if name not in values]
        if unknown or not names:
            raise ValueError(
                f"effects={names} of {factor!r}; its random effects are {list(values)}."
            )
        display = cls(
            labels=labels,
            effects={name: values[name] for name in names},
            std={name: std[name] for name in names},
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
            _draw_caterpillar(one, values, self.std[name], order, self.coverage)
            one.set_xlabel(name)
            one.set_title(f"{name} | {self.factor}")
        _name_groups(axes[0], self.labels, order)
        axes[0].legend(loc="best")
        return self


def _effects_of(model):
    """Labels, random effects and their standard deviations by factor."""
    if not hasattr(model, "random_effects_"):
        if not fit_of(model).has_random_intercepts:
            return {}
        values, std = model.random_intercepts_, model.random_intercepts_std_
        return {ONE: (model.groups_, {INTERCEPT: values}, {INTERCEPT: std})}
    found = {}
    for factor, names in model.random_effects_names_.items():
        values, std = model.random_effects_[factor], model.random_effects_std_[factor]
        columns = [
            dict(zip(names, figures.T, strict=True)) for figures in (values, std)
        ]
        found[factor] = (model.groups_[factor], *columns)
    return found


def _height(n_groups):
    """The height of a picture in which so many groups can be named, in inches."""
    height = max(1.2 + 0.18 * n_groups, 2.4)
    return height if height < 9 else 4.8


def _draw_caterpillar(ax, values, std, order, coverage):
    """Effects with their intervals, from the bottom to the top."""
    modes, place = np.asarray(values)[order], np.arange(len(order))
    half = norm.isf(0.5 - coverage / 2) * np.asarray(std)[order]
    ax.axvline(0.0, color="0.6", linewidth=0.8, zorder=0)
    interval = f"{coverage:.4g} interval"
    if len(order) <= MOST_BARS:
        style = {"fmt": "o", "markersize": 4, "linewidth": 1.2}
        ax.errorbar(modes, place, xerr=half, label=interval, **style)
        return
    band = {"color": "C0", "alpha": 0.3, "linewidth": 0, "step": "mid"}
    ax.fill_betweenx(place, modes - half, modes + half, label=interval, **band)
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
