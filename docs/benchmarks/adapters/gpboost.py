"""GPModel of gpboost, likelihood "gaussian" or "gaussian_heteroscedastic"."""

import numpy as np

from adapters import Adapter, versions_of


def prepare(problem, data):
    """Its defaults; the log-variance always has all features of the mean."""
    import gpboost

    D = np.column_stack([np.ones(len(data.y)), data.X])
    variance = problem.task == "variance"
    if variance and problem.n_variance_features != problem.n_features:
        raise ValueError("gpboost has the same features in mean and log-variance")
    likelihood = "gaussian_heteroscedastic" if variance else "gaussian"
    given = {"num_data": len(data.y)}
    if problem.n_groups:
        given = {"group_data": data.codes}

    def fit():
        model = gpboost.GPModel(likelihood=likelihood, **given)
        model.fit(y=data.y, X=D)
        return model

    return fit


def estimates(problem, model):
    """From its getters: the error variance comes first, if there is one."""
    coef = np.ravel(model.get_coef(format_pandas=False))
    variances = np.ravel(model.get_cov_pars(format_pandas=False))
    if problem.task == "variance":
        coef, log_variance = np.split(coef, 2)
    else:
        log_variance = np.log(variances[:1])
    return {
        "coef": coef,
        "log_variance": log_variance,
        "group_variance": variances[-1] if problem.n_groups else 0.0,
        "log_likelihood": -model.get_current_neg_log_likelihood(),
    }


ADAPTER = Adapter(
    "gpboost",
    "peer",
    versions_of("gpboost", "numpy"),
    prepare,
    estimates,
    ("ml",),
    "offers no REML",
)
