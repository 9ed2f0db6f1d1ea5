"""Floor: the matrix product that any fit of these coefficients contains."""

from adapters import Adapter, versions_of


def prepare(problem, data):
    """X'X by BLAS."""
    return lambda: data.X.T @ data.X


ADAPTER = Adapter("X.T @ X", "floor", versions_of("numpy"), prepare)
