"""Floor: predictions by ordinary least squares."""

from dataclasses import replace

from adapters import linear_regression


def prepare(problem, data):
    """The model is fitted before the clock starts."""
    model = linear_regression.prepare(problem, data)()
    return lambda: model.predict(data.X)


ADAPTER = replace(
    linear_regression.ADAPTER, name="LinearRegression, predict", prepare=prepare
)
