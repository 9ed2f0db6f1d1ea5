"""Any fitted model, ours or foreign, alone or inside a Pipeline or a search: its
predictions of new rows, given their groups.

scikit-learn's tools drop `groups` on the way to `predict` in half of the places
(docs/groups.md has the table), so that here the model is taken out of them.  Metadata
are a dict of all that the caller has, `groups` among it; a tool that requests none is
called with metadata routing off, because a tool that knows no routing may fail when it
is on.
"""

import inspect

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import MetadataRequest, get_routing_for_object
from sklearn.utils.validation import check_is_fitted

from .._input.parameters import population_is_meant, warn
from .._likelihood.normal import normal_nll


def unwrap(estimator, X, metadata):
    """The model inside searches, pipelines and the like, and X as that model sees it.

    Parameters
    ----------
    estimator : fitted estimator
    X : array-like of shape (n_rows, n_features) or None
        None where there are no rows, but only a model to be found.
    metadata : dict
        Of the rows of X, for transformers that request it.

    Returns
    -------
    model : fitted estimator
    X : array-like of shape (n_rows, n_features of the model)
    """
    while (inside := _inside(estimator)) is not None:
        estimator, steps = inside
        # Step by step: a Pipeline asks its last step whether it is fitted, and a
        # transformer without state cannot tell.
        for step in steps if X is not None else ():
            X = _call(step, "transform", X, metadata)
    return estimator, X


def find_model(estimator):
    """The model inside searches, pipelines, transformed targets and the like.

    Returns
    -------
    model : fitted estimator
    names : sequence of str or None
        Names of the columns that it sees, where the steps before it give them.
    is_transformed : bool
        Whether its y is another one than that of the estimator.

    Raises
    ------
    NotFittedError
        If a tool on the way is not fitted.
    """
    names, is_transformed = None, False
    while True:
        if isinstance(estimator, TransformedTargetRegressor):
            check_is_fitted(estimator)
            estimator, is_transformed = estimator.regressor_, True
        elif (inside := _inside(estimator)) is not None:
            estimator, steps = inside
            for step in steps:
                names = _names_after(step, names)
        else:
            return estimator, names, is_transformed


def _inside(estimator):
    """The next estimator inside one, and the fitted transformers before it; None where
    there is nothing to be taken out.
    """
    if hasattr(estimator, "best_estimator_"):
        return estimator.best_estimator_, ()
    if isinstance(estimator, Pipeline):
        before = [step for _, step in estimator.steps[:-1]]
        return estimator[-1], [
            s for s in before if s is not None and s != "passthrough"
        ]
    if isinstance(estimator, RFE):
        return estimator.estimator_, [estimator]
    if isinstance(estimator, FrozenEstimator):
        return estimator.estimator, ()
    return None


def _names_after(step, names):
    """Names of the columns that a transformer makes; None where it does not tell."""
    try:
        return step.get_feature_names_out(names)
    except (AttributeError, ValueError):
        return None


def requested(model, method, metadata):
    """Those of the metadata that a method requests, under the names it takes."""
    request = _requests(model)
    if isinstance(request, MetadataRequest):
        keys = {
            name: name if alias is True else alias
            for name, alias in getattr(request, method).requests.items()
            if alias not in (None, False)
        }
        return {name: metadata[key] for name, key in keys.items() if key in metadata}
    return {name: metadata[name] for name in request.consumes(method, metadata.keys())}


def requested_keys(estimator, metadata):
    """Keys of the metadata that `fit` requests.

    Raises
    ------
    UnsetMetadataPassedError, TypeError
        If something in the estimator takes one of them and does not say whether it
        requests it: it would be left out in silence.
    """
    request = _requests(estimator)
    asked = {name: value for name, value in metadata.items() if name != "groups"}
    if isinstance(request, MetadataRequest):
        unset = [name for name in asked if request.fit.requests.get(name, 0) is None]
        if unset:
            raise TypeError(
                f"{type(estimator).__name__} takes {unset[0]!r} in fit but does not "
                f"say whether it requests it: call set_fit_request({unset[0]}=True), "
                "or False, under enable_metadata_routing=True."
            )
    elif asked:
        request.route_params(caller="fit", params=asked)
    return set(request.consumes("fit", metadata.keys()))


def fit_clone(estimator, X, y, metadata):
    """Fit a clone with those of the metadata that it requests."""
    used = requested(estimator, "fit", metadata)
    with config_context(enable_metadata_routing=bool(used)):
        return clone(estimator).fit(X, y, **used)


def warn_of_lost_labels(model, metadata):
    """Warn where group effects of an unwrapped model are left out of its predictions.

    That is where nobody passed `groups`, where a tool around the model drops them, or
    where the model takes them but does not ask.
    """
    name, used = type(model).__name__, requested(model, "predict", metadata)
    request = _requests(model)
    if not isinstance(request, MetadataRequest):
        inner = model.get_params().values() if hasattr(model, "get_params") else ()
        dropped = any(hasattr(part, "predict") and _wants(part) for part in inner)
        if dropped and not used and metadata:
            warn(
                f"{name} hands `groups` to fit but not to predict, so that every row "
                "is scored as one of a new group: set `group_feature` on the model "
                "inside it."
            )
    elif _wants(model) and not used and (n_groups := count_groups(model)):
        warn(
            f"The model knows {n_groups} groups but got no `groups`, so that every row "
            "counts as one of a new group: pass `groups`, to tools of scikit-learn as "
            "metadata with enable_metadata_routing=True, or set `group_feature`."
        )
    elif metadata and request.predict.requests.get("groups", False) is None:
        warn(
            f"{name} takes `groups` in predict but does not request them, so that "
            "they are left out: call set_predict_request(groups=True) and "
            "set_fit_request(groups=True)."
        )


def count_groups(model):
    """Number of groups that a fitted model knows, of all its factors together."""
    groups = getattr(model, "groups_", ())
    return sum(map(len, groups.values())) if isinstance(groups, dict) else len(groups)


def gives_std(model):
    """Whether an unwrapped model's `predict` has `return_std`."""
    return _has_flag(model, "return_std")


def predict_mean(model, X, metadata):
    """Predictions (n,) of an unwrapped model, with its groups if it takes them."""
    return _column(_call(model, "predict", X, metadata))


def predict_distribution(model, X, metadata):
    """Mean and standard deviation (n,) of an unwrapped model's new observations.

    Raises
    ------
    TypeError
        If its `predict` has no `return_std`: nothing is made up.
    """
    check_gives_std(model)
    mean, std = _call(model, "predict", X, metadata, return_std=True)
    return _column(mean), _column(std)


def check_gives_std(model):
    """Refuse a model that gives no standard deviation."""
    if isinstance(model, TransformedTargetRegressor):
        raise TypeError(
            "A standard deviation does not come back through the inverse function of "
            "TransformedTargetRegressor: call skmixed.inspection.predict_interval for "
            "bounds in the units of y, or score the model inside, `regressor_`, on the "
            "transformed y."
        )
    if not gives_std(model):
        raise TypeError(
            f"{type(model).__name__} gives no standard deviation: its predict has no "
            "`return_std`. Score its mean, with r2_scorer or neg_rmse_scorer, or use "
            "a model that gives one."
        )


def joint_log_density(model, X, y, metadata):
    """Joint log-density of y under an unwrapped model, as the model itself tells it.

    By its `log_predictive_density`, else by the covariance of its predictions, else of
    independent rows with the std of each.  NaN if the covariance is singular.
    """
    if hasattr(model, "log_predictive_density"):
        used = requested(model, "predict", metadata)
        with population_is_meant():
            return model.log_predictive_density(X, y, **used)
    if _has_flag(model, "return_cov"):
        mean, cov = _call(model, "predict", X, metadata, return_cov=True)
        return _normal_log_density(_column(y) - _column(mean), cov)
    mean, std = predict_distribution(model, X, metadata)
    return -np.sum(normal_nll(_column(y), mean, std))


def _normal_log_density(residual, covariance):
    try:
        factor = cho_factor(covariance, lower=True)
    except LinAlgError:
        return np.nan
    logdet = 2 * np.sum(np.log(np.diag(factor[0])))
    rss = residual @ cho_solve(factor, residual)
    return -0.5 * (len(residual) * np.log(2 * np.pi) + logdet + rss)


def _requests(model):
    """The metadata requests of a model; none where it cannot tell them."""
    try:
        return get_routing_for_object(model)
    except (NotImplementedError, RecursionError):
        # Tools without routing, and RidgeCV, whose default scorer is its own.
        return get_routing_for_object(None)


def _wants(model):
    """Whether `predict` of the model requests `groups`, under whatever alias."""
    request = _requests(model)
    if isinstance(request, MetadataRequest):
        return request.predict.requests.get("groups") not in (None, False)
    return bool(request.consumes("predict", {"groups"}))


def _has_flag(model, flag):
    try:
        return flag in inspect.signature(model.predict).parameters
    except ValueError:  # of a function that does not tell
        return False


def _call(model, method, X, metadata, **flags):
    """Call a method with the metadata that it requests; they are routed only then.

    `warn_of_lost_labels` says that groups are missing, once.
    """
    used = requested(model, method, metadata)
    with config_context(enable_metadata_routing=bool(used)), population_is_meant():
        return getattr(model, method)(X, **used, **flags)


def _column(values):
    """Predictions, which some models give as a column (n, 1)."""
    values = np.asarray(values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
