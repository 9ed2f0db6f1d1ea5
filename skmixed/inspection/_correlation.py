"""The picture of how two random effects of a factor go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from .._input.parameters import check_coverage
from .._input.typing import EstimatorLike, Floats
from ._display import Display, own_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_NAMED = 30  # levels whose labels can be read


class EffectsCorrelationDisplay(Display):
    """Two random effects of every level of a factor, one against the other.

    A point is the prediction for a level, with bars of a standard deviation of its
    errors.  The ellipse holds a new level with the probability of `coverage`, by the
    estimated covariance; it is a line where the correlation is 1 or -1.  Predictions
    are drawn together, so that they lie closer than the ellipse says.

    Parameters
    ----------
    labels : ndarray of shape (n_levels,)
    effects : ndarray of shape (n_levels, 2)
    std : ndarray of shape (n_levels, 2)
        Standard deviations of their prediction errors.
    covariance : ndarray of shape (2, 2)
    names : tuple of str
        Of the effects.
    factor : str, default="groups"
    coverage : float, default=0.9

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skmixed import LinearMixedRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.inspection import EffectsCorrelationDisplay
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True, as_frame=True)
    >>> model = LinearMixedRegressor("(Days | Subject)").fit(X, y, groups=groups)
    >>> display = EffectsCorrelationDisplay.from_estimator(model)
    >>> print(f"{display.correlation:.3f}")
    0.066
    """

    labels: NDArray[Any]
    effects: Floats
    std: Floats
    covariance: Floats
    names: tuple[str, str]
    factor: str = "groups"
    coverage: float = 0.9

    @property
    def correlation(self) -> float:
        """The estimated correlation; NaN where an effect has no variance."""
        std = np.sqrt(np.diag(self.covariance))
        with np.errstate(invalid="ignore", divide="ignore"):
            return float(self.covariance[0, 1] / (std[0] * std[1]))

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        factor: str | None = None,
        *,
        effects: Sequence[str] | None = None,
        coverage: float = 0.9,
        ax: Axes | None = None,
    ) -> Self:
        """Draw two effects of a fitted `LinearMixedRegressor`.

        Parameters
        ----------
        estimator : fitted estimator
            A `LinearMixedRegressor`, or a Pipeline or a search around one.
        factor : str, default=None
            Name of the factor; the first one with two effects by default.
        effects : two str, default=None
            Names of the effects; the first two of the factor by default.
        coverage : float, default=0.9
            Probability of the ellipse.
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : EffectsCorrelationDisplay

        Raises
        ------
        TypeError, ValueError
            If it is another model, or has no two such effects.
        """
        check_coverage(coverage)
        model = own_model(estimator)
        known = getattr(model, "random_effects_names_", {})
        if factor is None:
            factor = next((name for name in known if len(known[name]) > 1), None)
        if factor is None:
            raise ValueError(
                f"This {type(model).__name__} has no factor with two random effects, "
                "of which a picture could be. Fit LinearMixedRegressor with a random "
                "slope, as in random_effects='(1 + x | g)'."
            )
        every = list(known.get(factor, []))
        names = every[:2] if effects is None else list(effects)
        if len(names) != 2 or len(set(names) & set(every)) != 2:
            there = {name: list(each) for name, each in known.items()}
            raise ValueError(
                f"The picture is of two random effects of one factor, got {names} of "
                f"{factor!r}; the model's are {there}."
            )
        two = [every.index(name) for name in names]
        display = cls(
            labels=model.groups_[factor],
            effects=model.random_effects_[factor][:, two],
            std=model.random_effects_std_[factor][:, two],
            covariance=model.random_effects_covariance_[factor][np.ix_(two, two)],
            names=(names[0], names[1]),
            factor=factor,
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
        self : EffectsCorrelationDisplay
        """
        ax = self._begin(ax)
        x, y = np.asarray(self.effects).T
        bars = {"fmt": "o", "markersize": 4, "elinewidth": 0.6, "ecolor": "0.7"}
        x_bar, y_bar = np.asarray(self.std).T
        ax.errorbar(x, y, xerr=x_bar, yerr=y_bar, label="predictions", **bars)
        ellipse = self._ellipse()
        label = f"{self.coverage:.4g} of new levels"
        ax.plot(*ellipse, color="C1", linewidth=1.4, label=label)
        for level in (ax.axhline, ax.axvline):
            level(0.0, color="0.8", linewidth=0.8, zorder=0)
        if len(self.labels) <= MOST_NAMED:
            for label, *place in zip(self.labels, x, y, strict=True):
                offset = {"xytext": (4, 3), "textcoords": "offset points"}
                ax.annotate(str(label), place, fontsize="x-small", **offset)
        ax.set_xlabel(f"{self.names[0]} | {self.factor}")
        ax.set_ylabel(f"{self.names[1]} | {self.factor}")
        ax.set_title(f"Correlation {self.correlation:.2f}")
        ax.legend(loc="best")
        return self

    def _ellipse(self):
        """Points of the ellipse, (2, n)."""
        values, vectors = np.linalg.eigh(np.asarray(self.covariance))
        angle = np.linspace(0, 2 * np.pi, 181)
        radius = np.sqrt(chi2.ppf(self.coverage, 2) * values.clip(0))
        return (vectors * radius) @ np.vstack([np.cos(angle), np.sin(angle)])
