"""Floor: ordinary least squares by scikit-learn, which ignores the groups."""

from adapters import Adapter, versions_of


def prepare(problem, data):
    """Least squares on all features."""
    from sklearn.linear_model import LinearRegression

    return lambda: LinearRegression().fit(data.X, data.y)


ADAPTER = Adapter(
    "LinearRegression", "floor", versions_of("scikit-learn", "numpy", "scipy"), prepare
)
