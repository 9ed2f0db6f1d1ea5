"""The picture of the likelihood of one parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.stats import norm

from .._estimator import fit_of
from .._input.typing import EstimatorLike, Floats
from .._results.mixed_fit import LinearMixedFit
from .._results.mixed_profile import names_of_components, profile_curve
from .._results.profile import Profile
from ._display import Display, own_model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GROUP_STD = "group_std"  # the parameter of a model of one random intercept


class LikelihoodProfileDisplay(Display):
    """The likelihood as a function of one parameter.

    At every value it is the highest over all other parameters, and counted from its
    maximum; the interval is where it is not lower than a quantile of chi-squared says.

    Parameters
    ----------
    values : ndarray of shape (n_points,)
        Of the parameter.
    log_likelihood : ndarray of shape (n_points,)
        From the maximum, at most 0.
    best : float
        The estimate.
    interval : ndarray of shape (2,)
    coverage : float
        Probability of the interval.
    parameter : str, default="group_std"
        Its name, as in `profile_intervals`.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    values: Floats
    log_likelihood: Floats
    best: float
    interval: Floats
    coverage: float = 0.95
    parameter: str = GROUP_STD

    @classmethod
    def from_estimator(
        cls,
        estimator: EstimatorLike,
        parameter: str | None = None,
        *,
        coverage: float = 0.95,
        n_points: int = 101,
        ax: Axes | None = None,
    ) -> Self:
        """Draw the profile of a parameter of a fitted model.

        Parameters
        ----------
        estimator : fitted estimator
            A `RandomInterceptRegressor` or `LinearMixedRegressor`, or a Pipeline or a
            search around one.
        parameter : str, default=None
            Of a `LinearMixedRegressor` any parameter of its `profile_intervals`, the
            first one by default, or a column of X; else the standard deviation of the
            groups, "group_std".
        coverage : float, default=0.95
        n_points : int, default=101
        ax : matplotlib Axes, default=None

        Returns
        -------
        display : LikelihoodProfileDisplay

        Raises
        ------
        TypeError, ValueError
            If it is another model, or has no such parameter; if it has a ridge penalty
            or a modelled noise, or the data do not tell the parameter.
        """
        model = own_model(estimator)
        if not hasattr(model, "profile_intervals"):
            raise TypeError(
                f"{type(model).__name__} keeps nothing that its likelihood could be "
                "profiled with; RandomInterceptRegressor and LinearMixedRegressor do."
            )
        fit, name, trace = fit_of(model), GROUP_STD, _trace_one
        if isinstance(fit, LinearMixedFit):
            name, trace = parameter or names_of_components(fit)[0], _trace_mixed
        if parameter not in (None, name) or name == "coef":
            raise ValueError(
                f"parameter={parameter!r}: the picture is of one parameter, such as "
                f"{GROUP_STD!r} of a RandomInterceptRegressor or a column of X of a "
                "LinearMixedRegressor."
            )
        interval = model.profile_intervals(coverage, name)[name]
        if np.isnan(interval).any():
            raise ValueError(
                "There is no likelihood to draw: the model has no groups, y is fitted "
                "exactly, or the data cannot tell groups from noise. The warning that "
                "`fit` gave says which, and what to do."
            )
        values, rise, best = trace(fit, name, interval, n_points)
        display = cls(
            values=values,
            log_likelihood=-0.5 * rise,
            best=float(best),
            interval=interval,
            coverage=coverage,
            parameter=name,
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
        ends = np.clip(self.interval, self.values[0], self.values[-1])
        ax.axvspan(*ends, color="0.9", zorder=0, label=label)
        ax.plot(self.values, self.log_likelihood, color="C0", linewidth=1.6)
        ax.axhline(drop, color="0.5", linewidth=0.8)
        estimate = f"estimate: {self.best:.4g}"
        ax.axvline(self.best, color="C1", linewidth=1.2, label=estimate)
        ax.set_ylim(4 * drop, -0.15 * drop)
        ax.set_xlim(self.values[0], self.values[-1])
        is_one = self.parameter == GROUP_STD
        text = "standard deviation of groups (units of y)"
        ax.set_xlabel(text if is_one else self.parameter)
        ax.set_ylabel("log-likelihood from its maximum")
        ax.set_title("Profile of the likelihood")
        ax.legend(loc="lower center")
        return self


def _trace_one(fit, name, interval, n_points):
    """Values of the groups' standard deviation, the rise there, and the estimate."""
    profile, best = Profile(fit.likelihood[1], fit.ratio), fit.group_variance
    end = interval[1] if np.isfinite(interval[1]) else 4 * np.sqrt(best)
    values = np.unique(np.append(np.linspace(0, 1.3 * end, n_points), best**0.5))
    with np.errstate(divide="ignore"):
        rise = [profile.group_rise(2 * np.log(std)) for std in values]
    return values, np.array(rise), np.sqrt(best)


def _trace_mixed(fit, name, interval, n_points):
    """The same of a parameter of a linear mixed model."""
    best, _ = profile_curve(fit, name, [])
    low, high = interval
    high = high if np.isfinite(high) else 4 * max(best, low)
    margin = 0.3 * (high - low)
    first, last = low - margin, high + margin
    if name.startswith("std("):
        first = max(first, 0.0)
    elif name == "noise_std":
        first = max(first, low / 2)
    elif name.startswith("corr("):
        first, last = max(first, -1.0), min(last, 1.0)
    values = np.unique(np.append(np.linspace(first, last, n_points), best))
    return values, profile_curve(fit, name, values)[1], best
