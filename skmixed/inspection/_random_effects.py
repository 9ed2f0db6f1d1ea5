"""Pictures of the groups of a fitted model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from .._estimator import fit_of
from .._input.parameters import check_coverage
from .._typing import EstimatorLike, Floats
from ._display import Display, own_model, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
            _, ax = pyplot().subplots(figsize=(6.4, height), layout="constrained")
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


def _short(label):
    """A label without its middle, if it is long: labels often differ at their ends."""
    text = str(label)
    if len(text) <= LONGEST_LABEL:
        return text
    half = LONGEST_LABEL // 2
    return f"{text[: half - 1]}\u2026{text[-half:]}"
