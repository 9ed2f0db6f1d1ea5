"""This package: the estimator that the problem asks for."""

import numpy as np

from adapters import Adapter, versions_of


def versions():
    """Its own, which need not be installed as a distribution, and what it rests on."""
    import skmixed

    own = {"skmixed": skmixed.__version__}
    return own | versions_of("numpy", "scipy", "scikit-learn")()


def model_of(problem):
    """The estimator, unfitted."""
    import skmixed

    if problem.task == "mixed":
        return skmixed.LinearMixedRegressor(
            problem.random,
            method=problem.method,
            variance_features=range(problem.n_variance_features),
        )
    if problem.task != "variance":
        return skmixed.RandomInterceptRegressor(method=problem.method)
    return skmixed.HeteroscedasticGaussianRegressor(
        method=problem.method,
        variance_features=range(problem.n_variance_features),
        mean_groups=problem.mean_groups,
        variance_groups=problem.variance_groups,
    )


def prepare(problem, data):
    """The labels as they come: reading them is part of the fit."""
    if problem.task == "mixed":
        import pandas as pd

        names = [f"x{j}" for j in range(problem.n_features)]
        X, labels = pd.DataFrame(data.X, columns=names), pd.DataFrame(data.labels)
        return lambda: model_of(problem).fit(X, data.y, groups=labels)
    return lambda: model_of(problem).fit(data.X, data.y, groups=data.groups)


def estimates(problem, model):
    """From the attributes of a fitted model."""
    if problem.task == "mixed":
        variances = model.random_effects_covariance_[problem.factors[0][0]]
        if problem.n_variance_features:
            log_variance = np.append(model.variance_intercept_, model.variance_coef_)
        else:
            log_variance = np.log([model.noise_variance_])
        return {
            "log_variance": log_variance,
            "group_variance": float(variances[0, 0]),
            "log_likelihood": model.log_likelihood_,
            "iterations": model.n_iter_,
        }
    if problem.task == "variance":
        coef = model.variance_coef_[: problem.n_variance_features]
        log_variance = np.append(model.variance_intercept_, coef)
    else:
        log_variance = np.log([model.noise_variance_])
    return {
        "coef": np.append(model.intercept_, model.coef_),
        "log_variance": log_variance,
        "group_variance": model.group_variance_,
        "log_likelihood": model.log_likelihood_,
        "iterations": model.n_iter_,
    }


ADAPTER = Adapter("skmixed", "ours", versions, prepare, estimates, ("reml", "ml"))
