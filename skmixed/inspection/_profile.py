"""The picture of the likelihood of a group variance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.stats import norm

from .._estimator import fit_of
from .._results.profile import Profile
from .._typing import EstimatorLike, Floats
from ._display import Display, own_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LikelihoodProfileDisplay(Display):
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
        model = own_model(estimator)
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
