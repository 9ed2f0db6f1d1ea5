"""fit of the Python package glmm, with its defaults: a compiled engine."""

import numpy as np

from adapters import Adapter, formulas, versions_of


def prepare(problem, data):
    """A DataFrame with categorical labels, and a formula."""
    import glmm

    table, formula = formulas.frame(data), formulas.formula(problem)
    reml = problem.method == "reml"
    return lambda: glmm.fit(table, formula, reml=reml)


def estimates(problem, fit):
    """As it reports them."""
    found = {"coef": np.asarray(fit.beta), "log_likelihood": float(fit.loglik)}
    found["log_variance"] = np.log([fit.dispersion])
    return found | {"group_variance": float(fit.tau2[0])}


ADAPTER = Adapter(
    "glmm",
    "peer",
    versions_of("glmm", "numpy"),
    prepare,
    estimates,
    ("reml", "ml"),
)
