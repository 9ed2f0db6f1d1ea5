"""Predictive means and variances by gpboost.

The variances are those of new observations with the coefficients taken as known.
"""

from dataclasses import replace

from adapters import gpboost
from adapters.formulas import design


def prepare(problem, data):
    """The model is fitted before the clock starts."""
    model, D = gpboost.prepare(problem, data)(), design(data)
    return lambda: model.predict(
        group_data_pred=data.codes, X_pred=D, predict_var=True, predict_response=True
    )


ADAPTER = replace(
    gpboost.ADAPTER,
    name="gpboost, predict with variances",
    prepare=prepare,
    estimates=None,
    methods=(),
    note="coefficients taken as known",
)
