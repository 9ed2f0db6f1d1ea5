"""MixedLM of the Python package mixedlm-rs, with its defaults: a compiled engine."""

import numpy as np

from adapters import Adapter, formulas, versions_of


def prepare(problem, data):
    """Arrays, which it is faster with than with formulas; one factor only."""
    import mixedlm_rs

    D = formulas.design(data)
    Z = D[:, :2].copy() if "x0" in problem.random else None
    ((_, labels),) = data.labels.items()
    reml = problem.method == "reml"
    return lambda: mixedlm_rs.MixedLM(data.y, D, groups=labels, exog_re=Z).fit(
        reml=reml
    )


def estimates(problem, result):
    """From the results object."""
    return {
        "coef": np.asarray(result.fe_params),
        "log_variance": np.log([result.scale]),
        "group_variance": float(result.cov_re[0, 0]),
        "log_likelihood": float(result.llf),
    }


ADAPTER = Adapter(
    "mixedlm-rs",
    "peer",
    versions_of("mixedlm-rs", "numpy", "scipy"),
    prepare,
    estimates,
    ("reml", "ml"),
)
