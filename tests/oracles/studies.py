"""The programs under docs/studies, as modules."""

import importlib.util
from pathlib import Path

STUDIES = Path(__file__).parents[2] / "docs" / "studies"


def load(name):
    """The program of that name, imported but not run."""
    spec = importlib.util.spec_from_file_location(name, STUDIES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
