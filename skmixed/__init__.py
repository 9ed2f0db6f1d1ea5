"""Predictive models for grouped data."""

from ._groups import GroupsWarning
from .random_intercept import RandomInterceptRegressor

__all__ = ["GroupsWarning", "RandomInterceptRegressor"]
__version__ = "0.1.0.dev0"
