"""Read the golden cases with general terms and compare fits with them.

``golden2/README.md`` describes the files.  Data that the first set of golden cases or
the package has are read from there.
"""

import csv
import gzip
import json
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from .golden_cases import read_text

GOLDEN2 = Path(__file__).parents[1] / "golden2"


@dataclass(frozen=True)
class Case:
    """Data of a case, and of the rows to predict."""

    X: pd.DataFrame
    y: np.ndarray
    groups: pd.DataFrame
    new_rows: pd.DataFrame
    new_groups: pd.DataFrame
    meta: dict


def case_names():
    """Names of all cases, sorted."""
    return sorted(path.name.split(".")[0] for path in (GOLDEN2 / "cases").iterdir())


@cache
def read_case(name):
    """The case's file: model, expected figures and their tolerances."""
    packed = (GOLDEN2 / "cases" / f"{name}.json.gz").read_bytes()
    return json.loads(gzip.decompress(packed))


def load(name):
    """The case with the columns of the mean, the effects and the noise, in a frame."""
    meta = read_case(name)
    columns = _columns(meta["data"].removesuffix(".gz"))
    wanted = [*meta["X"], *(c for term in meta["terms"] for c in term["columns"])]
    wanted += meta.get("X_var", [])
    used = [c for c in dict.fromkeys(wanted) if c != "1"]
    n = meta["n_obs"]
    X = pd.DataFrame({c: list(map(float, columns[c])) for c in used}, index=range(n))
    factors = list(dict.fromkeys(term["factor"] for term in meta["terms"]))
    groups = pd.DataFrame({f: columns[f] for f in factors})
    new = [row["row"] for row in meta["new_rows"]]
    labels = [row["levels"] for row in meta["new_rows"]]
    return Case(
        X=X,
        y=np.array(list(map(float, columns[meta["response"]]))),
        groups=groups,
        new_rows=X.iloc[new],
        new_groups=pd.DataFrame(labels)[factors],
        meta=meta,
    )


def misses(meta, got, level=None):
    """Figures that are further from the expected ones than they may be.

    Parameters
    ----------
    meta : dict
        The case's file.
    got : dict
        Figures under the keys of ``meta["expected"]``, in the same nested form; a NaN
        in a matrix stands for an entry that is not judged.
    level : float, default=None
        None means the case's own.

    Returns
    -------
    list of (key, ratio)
        The worst error in units of its tolerance, ``level * unit + floor``: above 1,
        and infinite where a figure is not finite or not there.
    """
    level = meta["recommended_level"] if level is None else level
    found = []
    for key, expected in meta["expected"].items():
        if key in got and expected is not None:
            unit, floor = meta["unit"][key], meta["floor"].get(key, 0.0)
            worst = _worst(expected, got[key], unit, floor, level)
            found += [(key, worst)] if not worst <= 1 else []
    return found


def _worst(expected, got, unit, floor, level):
    """The largest error of nested figures in units of the tolerance."""
    if isinstance(expected, dict):
        entries = [
            _worst(value, got[key], _of(unit, key), _of(floor, key), level)
            if key in got
            else np.inf
            for key, value in expected.items()
        ]
        return max(entries, default=0.0)
    expected, unit, floor = (np.array(v, dtype=float) for v in (expected, unit, floor))
    got = np.asarray(got, dtype=float)
    if got.shape != expected.shape:
        return np.inf
    judged = np.isfinite(expected) & ~(np.isnan(got) & _off_diagonal(got))
    ratio = np.abs(got - expected) / (level * unit + floor + np.finfo(float).tiny)
    worst = np.where(judged, ratio, 0.0).max(initial=0.0)
    return np.inf if np.isnan(worst) else float(worst)


def _of(tolerance, key):
    return tolerance[key] if isinstance(tolerance, dict) else tolerance


def _off_diagonal(figure):
    """Entries that may be left open: those of a matrix beside its diagonal."""
    if figure.ndim < 2:
        return np.zeros(figure.shape, dtype=bool)
    return ~np.eye(*figure.shape, dtype=bool)


@lru_cache(maxsize=4)
def _columns(filename):
    """Column name -> list of strings."""
    header, *rows = csv.reader(_read_data(filename).splitlines())
    return dict(zip(header, zip(*rows, strict=True), strict=True))


def _read_data(filename):
    path = GOLDEN2 / "data" / filename
    packed = path.with_name(f"{filename}.gz")
    if path.exists():
        return path.read_text(encoding="utf-8")
    if packed.exists():
        return gzip.decompress(packed.read_bytes()).decode("utf-8")
    return read_text("data", filename)
