"""RandomEffects of linearmodels: the estimator of econometrics, by moments."""

import numpy as np

from adapters import Adapter, versions_of


def prepare(problem, data):
    """A DataFrame by entity and time; time is the position of a row in its group."""
    import pandas as pd
    from linearmodels import RandomEffects

    time = pd.Series(data.codes).groupby(data.codes).cumcount()
    index = pd.MultiIndex.from_arrays([data.codes, time], names=["group", "time"])
    names = ["constant", *(f"x{j}" for j in range(problem.n_features))]
    D = np.column_stack([np.ones(len(data.y)), data.X])
    frame, y = pd.DataFrame(D, index, names), pd.Series(data.y, index, name="y")
    return lambda: RandomEffects(y, frame).fit()


def estimates(problem, result):
    """From the results object."""
    return {
        "coef": result.params.to_numpy(),
        "log_variance": np.log([result.variance_decomposition["Residual"]]),
        "group_variance": result.variance_decomposition["Effects"],
    }


ADAPTER = Adapter(
    "linearmodels RandomEffects",
    "peer",
    versions_of("linearmodels", "numpy", "scipy", "pandas"),
    prepare,
    estimates,
    ("moments",),
    "variances by the method of moments: no search, no likelihood",
)
