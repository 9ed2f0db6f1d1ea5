"""One file per adapter, each with an `ADAPTER`; the file's name is the adapter's key.

One call of the function that `prepare` returns is measured.  Bringing the data
into the form that a package likes best is done before, so it is not counted.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version


@dataclass(frozen=True)
class Adapter:
    """How to fit a problem with one package.

    Attributes
    ----------
    name : str
        Its name in tables.
    kind : {"ours", "peer", "floor"}
        A floor is less than any fit has to do.
    versions : callable
        Maps the packages used to their versions; raises ModuleNotFoundError or
        FileNotFoundError where one is not installed.
    prepare : callable
        Of a problem and its data; returns a function without arguments, the fit.
    estimates : callable or None
        Of the problem and what the fit returned; a dict with some of

        - ``coef``: intercept and coefficients of the mean,
        - ``log_variance``: intercept and coefficients of the log of the noise variance,
        - ``group_variance``: in squared units of y,
        - ``log_likelihood``: as the package reports it,
        - ``iterations``,
        - ``seconds`` and ``peak_bytes``, where `elsewhere`.
    methods : tuple of str
        Criteria that it can maximise, "reml" or "ml"; "moments" if it does neither.
    note : str
        A remark for readers of the table.
    elsewhere : bool
        Whether the fit runs in another process, which warms up and measures by itself.
    """

    name: str
    kind: str
    versions: Callable
    prepare: Callable
    estimates: Callable | None = None
    methods: tuple = ()
    note: str = ""
    elsewhere: bool = False

    def method(self, problem):
        """The criterion that it maximises: that of the problem, if it can."""
        if not self.methods or problem.method in self.methods:
            return problem.method if self.methods else ""
        return self.methods[0]


def load(key):
    """The adapter in the file of that name."""
    return importlib.import_module(f"{__name__}.{key}").ADAPTER


def versions_of(*distributions):
    """A function that tells the versions of installed distributions."""
    return lambda: {name: version(name) for name in distributions}
