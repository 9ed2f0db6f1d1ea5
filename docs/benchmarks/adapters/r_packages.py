"""Fits by R packages: the rows go through a file, and R holds the clock and the gauge.

Only the call of the fitting function is timed, neither reading the rows nor R's start.
"""

import subprocess
import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from adapters import Adapter

FIT = Path(__file__).parent / "fit.R"


def r_adapter(name, package, program, **fields):
    """The adapter of an R package.

    Parameters
    ----------
    name, package : str
    program : str
        R code that defines ``fit(d)`` and ``estimates(m)``; fit.R tells what it may
        use.  Figures have the names of `Adapter.estimates`.
    **fields
        Others of `Adapter`.
    """
    return Adapter(
        name,
        "peer",
        versions=partial(_versions, package),
        prepare=partial(_prepare, program),
        estimates=lambda problem, found: found,
        elsewhere=True,
        **fields,
    )


def _versions(package):
    code = (
        f'cat(as.character(packageVersion("{package}")), '
        "paste(R.version$major, R.version$minor, sep = '.'), "
        "basename(extSoftVersion()['BLAS']), sep = '\\n')"
    )
    command = ["Rscript", "-e", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ModuleNotFoundError(f"{package} is not installed")
    values = done.stdout.split("\n")
    return dict(zip((package, "R", "R's BLAS"), values, strict=False))


def _prepare(program, problem, data):
    folder = tempfile.TemporaryDirectory()
    path = Path(folder.name)
    small = problem.small()
    _write(path / "small", small.make())
    _write(path / "rows", data)
    sizes = (
        problem.n_features,
        problem.n_variance_features,
        problem.n_groups > 0,
        problem.method == "reml",
        small.n_rows,
        problem.n_rows,
    )
    (path / "sizes").write_text(" ".join(str(int(size)) for size in sizes))
    (path / "random").write_text("\n".join([problem.random, *data.labels]))
    (path / "adapter.R").write_text(program)
    return partial(_run, folder)


def _write(path, data):
    with path.open("wb") as file:
        for column in data.X.T:
            np.ascontiguousarray(column).tofile(file)
        data.y.tofile(file)
        for labels in data.labels.values():
            labels.astype(float).tofile(file)


def _run(folder):
    command = ["Rscript", str(FIT), folder.name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr[done.stderr.rfind("Error") :].split("Calls:")[0]
        said = " ".join(said.split()) or f"Rscript ended with code {done.returncode}"
        raise RuntimeError(said)
    lines = (Path(folder.name) / "found").read_text().splitlines()
    found = {name: list(map(float, values)) for name, *values in map(str.split, lines)}
    lists = ("coef", "log_variance")
    return {
        name: values if name in lists else values[0] for name, values in found.items()
    }
