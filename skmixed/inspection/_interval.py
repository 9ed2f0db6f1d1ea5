"""Intervals of new observations of any fitted model."""

from __future__ import annotations

from typing import Literal

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils.validation import check_is_fitted

from .._evaluation.any_model import (
    predict_distribution,
    requested,
    unwrap,
    warn_of_lost_labels,
)
from .._input.parameters import (
    check_coverage,
    check_distribution,
    population_is_meant,
)
from .._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from .._likelihood.normal import normal_interval

# Values between two bounds whose images are compared.
N_BETWEEN = 65


def predict_interval(
    estimator: EstimatorLike,
    X: MatrixLike,
    *,
    groups: ColumnLike | None = None,
    coverage: float = 0.9,
    distribution: Literal["normal", "t", "integrated"] = "normal",
) -> Floats:
    """Predict the interval that holds a new observation with a given probability.

    Works with any fitted model whose `predict` has `return_std`, wherever it is: the
    groups reach it inside a Pipeline or a search as well, whatever the setting of
    metadata routing.  Bounds of a ``TransformedTargetRegressor`` come back through its
    inverse function, which a mean and a standard deviation cannot: the prediction of
    such a model is the median of y, and not its mean.

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
    distribution : {"normal", "t", "integrated"}, default="normal"
        As in `predict_interval` of the models of this package: the last two allow for
        the estimation of the variances.

    Returns
    -------
    interval : ndarray of shape (n_rows, 2)
        Lower and upper bound, in the units of y: central, of a transformed y in the
        probabilities on both sides.

    Raises
    ------
    TypeError
        If the model gives no standard deviation, or is none of this package and
        `distribution` is not "normal".
    ValueError
        If `coverage` is no probability, or `distribution` has another value; if the
        model does not offer the distribution.

    Notes
    -----
    An interval of a transformed y is that of all values between the bounds.  Where the
    inverse function neither rises nor falls throughout, as the square of a negative and
    of a positive bound does not, it holds more than `coverage`.

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
    check_distribution(distribution, ("normal", "t", "integrated"))
    metadata = {} if groups is None else {"groups": groups}
    model, X = unwrap(estimator, X, metadata)
    options = {"coverage": coverage, "distribution": distribution}
    if isinstance(model, TransformedTargetRegressor):
        check_is_fitted(model)
        bounds = predict_interval(model.regressor_, X, groups=groups, **options)
        return _inverse_of(model.transformer_, bounds)
    warn_of_lost_labels(model, metadata)
    if distribution != "normal":
        if not hasattr(model, "predict_interval"):
            raise TypeError(
                f"{type(model).__name__} gives no degrees of freedom; use "
                'distribution="normal", or a model of this package.'
            )
        used = requested(model, "predict", metadata)
        with population_is_meant():
            return model.predict_interval(X, **used, **options)
    mean, std = predict_distribution(model, X, metadata)
    return np.column_stack(normal_interval(mean, std, coverage))


def _inverse_of(transformer, bounds):
    """The interval of what a transformer gives back of all values between bounds."""

    def back(values):
        column = np.reshape(values, (-1, 1))
        return np.reshape(transformer.inverse_transform(column), values.shape)

    ends = np.sort(back(bounds), axis=1)  # a falling function turns them round
    with np.errstate(all="ignore"):  # an end may be out of the range of y
        again = np.reshape(transformer.transform(ends.reshape(-1, 1)), ends.shape)
    turned = ~np.isclose(np.sort(again, axis=1), bounds).all(axis=1)
    turned &= np.isfinite(bounds).all(axis=1)
    if turned.any():
        low, high = bounds[turned].T
        between = np.linspace(low, high, N_BETWEEN, axis=1)
        zero = np.clip(np.zeros((len(low), 1)), low[:, None], high[:, None])
        images = back(np.hstack([between, zero]))
        ends[turned] = np.column_stack([images.min(axis=1), images.max(axis=1)])
    return ends
