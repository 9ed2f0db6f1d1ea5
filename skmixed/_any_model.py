"""Any fitted model, ours or foreign, alone or inside a Pipeline or a search: what it
says about new rows, given their groups.

scikit-learn's tools drop `groups` on the way to `predict` in half of the places
(docs/groups.md has the table), so that here the model is taken out of them.
"""

import inspect

import numpy as np
from scipy.stats import multivariate_normal
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object

from ._base import warn


def unwrap(estimator, X, groups=None):
    """The model inside searches, pipelines and the like, and X as that model sees it.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like of shape (n_rows, n_features)
    groups : array-like of shape (n_rows,), default=None
        For transformers that request it.

    Returns
    -------
    model : fitted estimator
    X : array-like of shape (n_rows, n_features of the model)
    """
    while True:
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif isinstance(estimator, Pipeline):
            if len(estimator) > 1:
                X = _call(estimator[:-1], "transform", X, groups)
            estimator = estimator[-1]
        elif isinstance(estimator, RFE):
            X, estimator = estimator.transform(X), estimator.estimator_
        elif isinstance(estimator, FrozenEstimator):
            estimator = estimator.estimator
        else:
            return estimator, X


def takes_groups(model, method="predict"):
    """Whether a method of the model requests `groups`, under whatever alias."""
    request = get_routing_for_object(model)
    if isinstance(request, MetadataRequest):
        return getattr(request, method).requests.get("groups") not in (None, False)
    return bool(request.consumes(method, {"groups"}))


def warn_of_lost_labels(model, groups):
    """Warn where group effects of an unwrapped model are left out of its predictions.

    That is where nobody passed `groups`, or a tool around the model drops them.
    """
    takes, known = takes_groups(model), len(getattr(model, "groups_", ()))
    if groups is None and known and takes:
        warn(
            f"The model knows {known} groups but the scorer got no `groups`, so that "
            "every row is scored as one of a new group: pass `groups` as metadata with "
            "enable_metadata_routing=True, or set `group_feature`."
        )
    if groups is not None and not takes and _routes(model, "fit"):
        warn(
            f"{type(model).__name__} hands `groups` to fit but not to predict, so that "
            "every row is scored as one of a new group: set `group_feature` on the "
            "model inside it."
        )


def gives_std(model):
    """Whether an unwrapped model's `predict` has `return_std`."""
    return _has_flag(model, "return_std")


def predict_mean(model, X, groups=None):
    """Predictions (n,) of an unwrapped model, with its groups if it takes them."""
    return _call(model, "predict", X, groups)


def predict_distribution(model, X, groups=None):
    """Mean and standard deviation (n,) of an unwrapped model's new observations.

    Raises
    ------
    TypeError
        If its `predict` has no `return_std`: nothing is made up.
    """
    if not gives_std(model):
        raise TypeError(
            f"{type(model).__name__} gives no standard deviation: its predict has no "
            "`return_std`. Score its mean, with r2_scorer or neg_rmse_scorer, or use "
            "a model that gives one."
        )
    return _call(model, "predict", X, groups, return_std=True)


def joint_log_density(model, X, y, groups=None):
    """Joint log-density of y under an unwrapped model, as the model itself tells it.

    By its `log_predictive_density`, else by the covariance of its predictions; None if
    it has neither, so that it leaves its rows independent.
    """
    if hasattr(model, "log_predictive_density"):
        used = groups if takes_groups(model) else None
        return model.log_predictive_density(X, y, groups=used)
    if _has_flag(model, "return_cov"):
        mean, cov = _call(model, "predict", X, groups, return_cov=True)
        return multivariate_normal(mean, cov, allow_singular=True).logpdf(y)
    return None


def fit_clone(estimator, X, y, metadata):
    """Fit a clone with those of the metadata that it requests.

    Whoever requests nothing is fitted with metadata routing off, because a tool that
    knows no routing may fail when it is on.
    """
    used = get_routing_for_object(estimator).consumes("fit", metadata.keys())
    with config_context(enable_metadata_routing=bool(used)):
        return clone(estimator).fit(X, y, **{name: metadata[name] for name in used})


def _routes(model, method):
    """Whether the model is a tool that hands `groups` on to another."""
    is_consumer = isinstance(get_routing_for_object(model), MetadataRequest)
    return not is_consumer and takes_groups(model, method)


def _has_flag(model, flag):
    return flag in inspect.signature(model.predict).parameters


def _call(model, method, X, groups, **flags):
    """Call a method with `groups` if it takes them; metadata are routed only then."""
    takes = takes_groups(model, method)
    if takes and groups is not None:
        flags["groups"] = groups
    with config_context(enable_metadata_routing=takes):
        return getattr(model, method)(X, **flags)


def take_rows(array, rows):
    """The rows of an array, a sparse matrix, a list, or a frame, by position."""
    if hasattr(array, "iloc"):
        return array.iloc[rows]
    if isinstance(array, (list, tuple)):
        return [array[row] for row in rows]
    return (np.asarray(array) if not hasattr(array, "shape") else array)[rows]
