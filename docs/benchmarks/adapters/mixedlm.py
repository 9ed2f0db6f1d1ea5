"""lmer of the Python package mixedlm, with its defaults."""

import numpy as np

from adapters import Adapter, formulas, versions_of


def prepare(problem, data):
    """A DataFrame with categorical labels, and a formula."""
    import mixedlm

    table, formula = formulas.frame(data), formulas.formula(problem)
    return lambda: mixedlm.lmer(formula, table, REML=problem.method == "reml")


def estimates(problem, model):
    """From the methods that it shares with lme4."""
    return {
        "coef": np.array(list(model.fixef().values())),
        "log_variance": np.log([model.sigma**2]),
        "group_variance": float(model.theta[0] ** 2 * model.sigma**2),
        "log_likelihood": float(model.logLik()),
    }


ADAPTER = Adapter(
    "mixedlm",
    "peer",
    versions_of("mixedlm", "numpy", "scipy", "pandas"),
    prepare,
    estimates,
    ("reml", "ml"),
)
