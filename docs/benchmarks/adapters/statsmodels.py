"""MixedLM of statsmodels, with its default optimisers."""

import numpy as np

from adapters import Adapter, versions_of


def prepare(problem, data):
    """Arrays, with a column of ones; sorting the rows by group is part of the fit."""
    import statsmodels.api as sm

    D = sm.add_constant(data.X)
    reml = problem.method == "reml"
    return lambda: sm.MixedLM(data.y, D, data.codes).fit(reml=reml)


def estimates(problem, result):
    """From the results object."""
    return {
        "coef": result.fe_params,
        "log_variance": np.log([result.scale]),
        "group_variance": result.cov_re[0, 0],
        "log_likelihood": result.llf,
    }


ADAPTER = Adapter(
    "statsmodels MixedLM",
    "peer",
    versions_of("statsmodels", "numpy", "scipy", "pandas"),
    prepare,
    estimates,
    ("reml", "ml"),
)
