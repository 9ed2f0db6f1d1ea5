"""Example datasets with grouped observations."""

from ._base import load_hsb82, load_machines, load_sleepstudy

__all__ = ["load_hsb82", "load_machines", "load_sleepstudy"]
