"""Example datasets with grouped observations."""

from ._base import (
    load_grunfeld,
    load_hsb82,
    load_machines,
    load_oxboys,
    load_sleepstudy,
)

__all__ = [
    "load_grunfeld",
    "load_hsb82",
    "load_machines",
    "load_oxboys",
    "load_sleepstudy",
]
