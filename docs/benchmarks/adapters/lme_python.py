"""lmer of the Python package lme-python, with its defaults: a compiled engine."""

import numpy as np

from adapters import Adapter, formulas, versions_of


def prepare(problem, data):
    """A polars DataFrame with strings as labels, which it asks for, and a formula."""
    import lme_python
    import polars as pl

    columns = {f"x{j}": x for j, x in enumerate(data.X.T)} | {"y": data.y}
    labels = {factor: codes.astype(str) for factor, codes in data.labels.items()}
    table, formula = pl.DataFrame(columns | labels), formulas.formula(problem)
    reml = problem.method == "reml"
    return lambda: lme_python.lmer(formula, data=table, reml=reml)


def estimates(problem, fit):
    """As it reports them."""
    return {
        "coef": np.asarray(fit.coefficients),
        "log_variance": np.log([fit.sigma2]),
        "group_variance": float(fit.theta[0] ** 2 * fit.sigma2),
        "log_likelihood": float(fit.log_likelihood),
    }


ADAPTER = Adapter(
    "lme-python",
    "peer",
    versions_of("lme-python", "polars", "numpy"),
    prepare,
    estimates,
    ("reml", "ml"),
)
