"""lmer of the Python package mixedlm, with its defaults."""

import numpy as np

from adapters import Adapter, versions_of


def prepare(problem, data):
    """A DataFrame with the groups as a categorical column, and a formula."""
    import mixedlm
    import pandas as pd

    names = [f"x{j}" for j in range(problem.n_features)]
    frame = pd.DataFrame(data.X, columns=names)
    frame["y"], frame["group"] = data.y, pd.Categorical(data.codes)
    formula = f"y ~ {' + '.join(names)} + (1 | group)"
    return lambda: mixedlm.lmer(formula, frame, REML=problem.method == "reml")


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
