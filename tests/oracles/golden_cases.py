"""Read the golden cases and compare fits with them; golden/README.md describes both."""

import csv
import gzip
import json
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden"
# Data that the package ships are read from there.
SHIPPED = {
    "Hsb82.csv": "hsb82.csv",
    "Machines.csv": "machines.csv",
    "sleepstudy.csv": "sleepstudy.csv",
}


def case_names(parts="BCDEF"):
    """Names of the cases of these parts, sorted."""
    names = {path.name.partition(".")[0] for path in (GOLDEN / "cases").iterdir()}
    return sorted(name for name in names if name[0] in parts)


@cache
def read_case(name):
    """The case's file: model, expected figures and their tolerances."""
    return json.loads(read_text("cases", f"{name}.json"))


def load(name):
    """X, y, groups and the case's file; groups are strings, or None."""
    meta = read_case(name)
    X = matrix(meta, meta["X"])
    (y,) = matrix(meta, [meta["response"]]).T
    groups = None
    if meta["group"] is not None:
        groups = np.array(text_of(meta["data"])[meta["group"]])
    return X, y, groups, meta


def matrix(meta, names):
    """Columns of the case's data side by side; "1" is a column of ones."""
    columns = text_of(meta["data"])
    n = len(columns[meta["response"]])
    return np.column_stack(
        [
            np.ones(n) if name == "1" else list(map(float, columns[name]))
            for name in names
        ]
    )


def misses(meta, got, level=None):
    """Figures that are further from the expected ones than they may be.

    Parameters
    ----------
    meta : dict
        The case's file.
    got : dict
        Figures under the keys of ``meta["expected"]``: numbers, arrays, or dicts from
        labels to either.  Keys for which the case has no figure are not judged.
    level : float, default=None
        None means the case's own.

    Returns
    -------
    misses : list of (key, ratio)
        The worst error in units of its tolerance, ``level * unit + floor``: above 1,
        and infinite where the figure is not finite, not complete or of another shape.
    """
    level = meta["recommended_level"] if level is None else level
    judged = [key for key in meta["expected"] if key in got]
    ratios = [(key, _worst_ratio(meta, key, got[key], level)) for key in judged]
    return [(key, ratio) for key, ratio in ratios if ratio > 1]


def _worst_ratio(meta, key, got, level):
    expected, unit = meta["expected"][key], meta["unit"][key]
    floor = meta["floor"].get(key, 0.0)
    labels = list(expected) if isinstance(expected, dict) else None
    if labels and not set(labels) <= set(got):
        return np.inf
    expected, got, unit, floor = (
        np.array(
            [figure[label] for label in labels] if isinstance(figure, dict) else figure
        )
        for figure in (expected, got, unit, floor)
    )
    if got.shape != expected.shape:
        return np.inf
    worst = float(np.max(np.abs(got - expected) / (level * unit + floor)))
    return np.inf if np.isnan(worst) else worst


@lru_cache(maxsize=4)
def text_of(filename):
    """Column name -> list of strings."""
    header, *rows = csv.reader(read_text("data", filename).splitlines())
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def read_text(folder, filename):
    if folder == "data" and filename in SHIPPED:
        shipped = resources.files("skmixed.datasets") / "data" / SHIPPED[filename]
        return shipped.read_text(encoding="utf-8")
    path = GOLDEN / folder / filename
    if path.exists():
        return path.read_text(encoding="utf-8")
    packed = path.with_name(f"{filename}.gz").read_bytes()
    return gzip.decompress(packed).decode("utf-8")
