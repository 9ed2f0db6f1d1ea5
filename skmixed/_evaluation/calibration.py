"""A random-intercept model of y on regressors' predictions of rows that they have not
seen (docs/math.md, section 15).

It tells how far their predictions can be trusted: it gives their scale, the variances,
and the random intercepts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .._estimator import fit_of, fitted_copy, new_rows
from .._input.features import SINGLE
from .._input.table import Data
from .cross_fit import FoldRegressors

# E log chi^2 with one degree of freedom is minus this.
LOG_CHI2 = np.euler_gamma + np.log(2)
# Squared residuals are at least this fraction of their mean: the logarithm of a
# residual that happens to be 0 would outweigh all others.
SMALLEST_SQUARE = 1e-6
# A residual that keeps less of its noise is that of a row which is fitted exactly.
SMALLEST_SHARE = 1e-6


@dataclass(frozen=True)
class Calibrated:
    """Regressors, and the model of y on their predictions: the calibrator.

    Attributes
    ----------
    regressors : FoldRegressors
    noise_regressors : FoldRegressors or None
        Those that predict the log-variance of the noise.
    linear : bool
        Whether the columns of the linear part are among the calibrator's features.
    slope : float
        The slope of the predictions where it is at an end of its range, else 0: the
        model is one of y less the predictions times this slope.
    model : RandomInterceptRegressor or HeteroscedasticGaussianRegressor
        Of [predictions, linear part, predicted log-variance], those that there are.
    """

    regressors: FoldRegressors
    noise_regressors: FoldRegressors | None
    linear: bool
    slope: float
    model: Any

    @property
    def total_slope(self):
        """The slope of y in the predictions of the regressor."""
        return self.slope + float(self.model.coef_[0])

    def features(self, table, X, codes):
        """The calibrator's features, and the part of y that has a slope of its own."""
        predicted = self.regressors.predict(table, codes)
        noise = None
        if self.noise_regressors is not None:
            noise = self.noise_regressors.predict(table, codes)
        columns = join_features(predicted, X if self.linear else None, noise)
        return columns, self.slope * predicted


def join_features(predicted, X=None, noise=None):
    """[predictions, linear part, predicted log-variance], (n, p)."""
    columns = [part for part in (predicted, X, noise) if part is not None]
    return np.column_stack(columns).astype(float, copy=False)


def in_single(features):
    """Features in single precision if it holds them all: where columns of the linear
    part are, sums of them are no sums in double precision.
    """
    with np.errstate(over="ignore", under="ignore"):
        single = features.astype(np.float32)
    error = np.abs(single - features)
    return single if (error <= SINGLE * np.abs(features)).all() else features


def calibrate(model, predicted, rows, slopes, **others):
    """Fit a model of predictions and others, with a slope of the first in a range.

    Where the best slope is outside, the nearer end is taken: the model is then fitted
    to the rest of y, with zeros in place of the predictions.

    Parameters
    ----------
    model : RandomInterceptRegressor or HeteroscedasticGaussianRegressor
    predicted : ndarray of shape (n,)
    rows : AnyRows
    slopes : tuple of float
        Ends of the range.
    **others : arrays
        As in `join_features`.

    Returns
    -------
    slope : float
        The end that was taken, or 0.
    fitted : estimator
    messages : list of (str, category of warning)
    """
    y, rest = rows.data.y, {"groups": rows.labels, "sample_weight": rows.data.weight}
    read = in_single if rows.data.precision >= SINGLE else np.asarray
    features = read(join_features(predicted, **others))
    fitted, messages = fitted_copy(model, features, y, **rest)
    slope = min(max(fitted.coef_[0], slopes[0]), slopes[1])
    if slope == fitted.coef_[0]:
        return 0.0, fitted, messages
    features = read(join_features(np.zeros(len(y)), **others))
    return slope, *fitted_copy(model, features, y - slope * predicted, **rest)


def log_noise(model, features, rows, offset):
    """The target of a regressor of the log-variance: math.md (103)."""
    data = Data(features, np.arange(features.shape[1]), rows.data.index)
    new = new_rows(fit_of(model), data)
    noise = new.noise_variance
    left = 1 - (new.std() ** 2 - noise) / noise
    square = (rows.data.y - offset - new.mean()) ** 2
    square = square / np.maximum(left, SMALLEST_SHARE)
    average = np.average(square, weights=rows.data.weight)
    if not average > 0:
        return np.zeros(len(square))
    return np.log(np.maximum(square, SMALLEST_SQUARE * average)) + LOG_CHI2
