"""Loaders of the example datasets."""

from __future__ import annotations

import csv
from collections.abc import Callable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch

from .._input.typing import Floats

if TYPE_CHECKING:
    import pandas


class Loader(Protocol):
    """A function that loads a dataset."""

    @overload
    def __call__(
        self, *, return_X_y_groups: Literal[False] = False, as_frame: bool = False
    ) -> Bunch: ...

    @overload
    def __call__(
        self, *, return_X_y_groups: Literal[True], as_frame: Literal[False] = False
    ) -> tuple[Floats, Floats, NDArray[np.int64]]: ...

    @overload
    def __call__(
        self, *, return_X_y_groups: Literal[True], as_frame: Literal[True]
    ) -> tuple[pandas.DataFrame, pandas.Series, pandas.Series]: ...


def loader(function: Callable[..., Any]) -> Loader:
    """The function itself, to type checkers a `Loader`."""
    return cast(Loader, function)


def _import_pandas(name):
    # pandas is optional, hence not imported at the top of the module.
    try:
        import pandas
    except ImportError as exc:
        raise ImportError(
            f"load_{name} with as_frame=True requires pandas. Install it with "
            "`pip install pandas`, or use as_frame=False to get NumPy arrays."
        ) from exc
    return pandas


def _read_csv(path, feature_names, target_name, group_name):
    rows = list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
    data = np.array([[float(row[name]) for name in feature_names] for row in rows])
    target = np.array([float(row[target_name]) for row in rows])
    # The default integer of NumPy 1 is 32 bits wide on Windows.
    groups = np.array([int(row[group_name]) for row in rows], dtype=np.int64)
    return data, target, groups


def _to_pandas(pd, data, target, groups, feature_names, target_name, group_name):
    data = pd.DataFrame(data, columns=feature_names)
    target = pd.Series(target, name=target_name)
    groups = pd.Series(groups, name=group_name)
    return pd.concat([data, target, groups], axis=1), data, target, groups


def _load(name, feature_names, target_name, group_name, return_X_y_groups, as_frame):
    """Make a dataset from ``data/{name}.csv`` and ``descr/{name}.rst``."""
    folder = files("skmixed.datasets")
    filename = f"{name}.csv"
    columns = (feature_names, target_name, group_name)
    frame, arrays = None, _read_csv(folder / "data" / filename, *columns)
    if as_frame:
        frame, *arrays = _to_pandas(_import_pandas(name), *arrays, *columns)

    data, target, groups = arrays
    if return_X_y_groups:
        return data, target, groups
    return Bunch(
        data=data,
        target=target,
        groups=groups,
        frame=frame,
        feature_names=feature_names,
        target_name=target_name,
        group_name=group_name,
        DESCR=(folder / "descr" / f"{name}.rst").read_text(encoding="utf-8"),
        filename=filename,
    )


@loader
def load_sleepstudy(*, return_X_y_groups: bool = False, as_frame: bool = False) -> Any:
    """Load and return the sleep deprivation dataset (regression).

    The average reaction time of 18 subjects on each of the first 10 days of a
    sleep restriction study.

    ==============   =========================
    Samples total    180
    Dimensionality   1
    Features         integer 0 - 9, in days
    Targets          real 194 - 466, in ms
    Groups           18 subjects, 10 rows each
    ==============   =========================

    Parameters
    ----------
    return_X_y_groups : bool, default=False
        If True, returns ``(data, target, groups)`` instead of a Bunch object.
        See below for more information about these objects.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame, and `target` and `groups` are
        pandas Series. This needs pandas to be installed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (180, 1)
            The day of the study, `Days`. Sleep was restricted after day 2.
        target : {ndarray, Series} of shape (180,)
            The average reaction time of the day, in milliseconds.
        groups : {ndarray, Series} of shape (180,)
            The subject of each row, as an integer label.
        frame : DataFrame of shape (180, 3) or None
            The columns of `data`, `target` and `groups` side by side. None
            unless `as_frame=True`.
        feature_names : list of str
            The names of the columns of `data`.
        target_name : str
            The name of the target, 'Reaction'.
        group_name : str
            The name of the grouping variable, 'Subject'.
        DESCR : str
            The full description of the dataset.
        filename : str
            The name of the CSV file that holds the data.

    (data, target, groups) : tuple if ``return_X_y_groups`` is True
        The three objects described above.

    Examples
    --------
    >>> import numpy as np
    >>> from skmixed.datasets import load_sleepstudy
    >>> sleepstudy = load_sleepstudy()
    >>> sleepstudy.data.shape
    (180, 1)
    >>> sleepstudy.target[:3]
    array([249.56  , 258.7047, 250.8006])
    >>> np.unique(sleepstudy.groups).size
    18
    """
    return _load(
        "sleepstudy",
        feature_names=["Days"],
        target_name="Reaction",
        group_name="Subject",
        return_X_y_groups=return_X_y_groups,
        as_frame=as_frame,
    )


@loader
def load_machines(*, return_X_y_groups: bool = False, as_frame: bool = False) -> Any:
    """Load and return the machine productivity dataset (regression).

    The productivity scores of 6 workers who operated each of 3 machines 3
    times.

    ==============   ===============================
    Samples total    54
    Dimensionality   2
    Features         0 or 1
    Targets          real 43 - 72.1, in score points
    Groups           6 workers, 9 rows each
    ==============   ===============================

    Parameters
    ----------
    return_X_y_groups : bool, default=False
        If True, returns ``(data, target, groups)`` instead of a Bunch object.
        See below for more information about these objects.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame, and `target` and `groups` are
        pandas Series. This needs pandas to be installed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (54, 2)
            Indicators of the machines B and C, `Mach_B` and `Mach_C`. Both are 0
            for machine A, the baseline.
        target : {ndarray, Series} of shape (54,)
            The productivity score, in points of a scale without a physical unit.
        groups : {ndarray, Series} of shape (54,)
            The worker of each row, as an integer label.
        frame : DataFrame of shape (54, 4) or None
            The columns of `data`, `target` and `groups` side by side. None
            unless `as_frame=True`.
        feature_names : list of str
            The names of the columns of `data`.
        target_name : str
            The name of the target, 'score'.
        group_name : str
            The name of the grouping variable, 'Worker'.
        DESCR : str
            The full description of the dataset.
        filename : str
            The name of the CSV file that holds the data.

    (data, target, groups) : tuple if ``return_X_y_groups`` is True
        The three objects described above.

    Examples
    --------
    >>> from skmixed.datasets import load_machines
    >>> machines = load_machines()
    >>> machines.data.shape
    (54, 2)
    >>> machines.feature_names
    ['Mach_B', 'Mach_C']
    >>> machines.target[:3]
    array([52. , 52.8, 53.1])
    """
    return _load(
        "machines",
        feature_names=["Mach_B", "Mach_C"],
        target_name="score",
        group_name="Worker",
        return_X_y_groups=return_X_y_groups,
        as_frame=as_frame,
    )


@loader
def load_hsb82(*, return_X_y_groups: bool = False, as_frame: bool = False) -> Any:
    """Load and return the High School and Beyond 1982 dataset (regression).

    The mathematics achievement of 7185 students in 160 schools of the United
    States.

    ==============   ===================================
    Samples total    7185
    Dimensionality   6
    Features         real and 0 or 1
    Targets          real -2.83 - 24.99, in score points
    Groups           160 schools, 14 to 67 rows each
    ==============   ===================================

    .. note::
       `ses` is the sum of `cses` and `meanses`: a linear model can estimate
       separate coefficients for any two of these three columns, not for all.

    Parameters
    ----------
    return_X_y_groups : bool, default=False
        If True, returns ``(data, target, groups)`` instead of a Bunch object.
        See below for more information about these objects.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame, and `target` and `groups` are
        pandas Series. This needs pandas to be installed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (7185, 6)
            `ses`, `cses` and `meanses` in units of the socio-economic scale;
            `minority`, `female` and `catholic` are 0 or 1.
        target : {ndarray, Series} of shape (7185,)
            The mathematics achievement score, in points of the test.
        groups : {ndarray, Series} of shape (7185,)
            The school of each row, as an integer label.
        frame : DataFrame of shape (7185, 8) or None
            The columns of `data`, `target` and `groups` side by side. None
            unless `as_frame=True`.
        feature_names : list of str
            The names of the columns of `data`.
        target_name : str
            The name of the target, 'mAch'.
        group_name : str
            The name of the grouping variable, 'school'.
        DESCR : str
            The full description of the dataset.
        filename : str
            The name of the CSV file that holds the data.

    (data, target, groups) : tuple if ``return_X_y_groups`` is True
        The three objects described above.

    Examples
    --------
    >>> from skmixed.datasets import load_hsb82
    >>> hsb82 = load_hsb82()
    >>> hsb82.data.shape
    (7185, 6)
    >>> hsb82.feature_names
    ['ses', 'cses', 'meanses', 'minority', 'female', 'catholic']
    >>> hsb82.target[:3]
    array([ 5.876, 19.708, 20.349])
    """
    return _load(
        "hsb82",
        feature_names=["ses", "cses", "meanses", "minority", "female", "catholic"],
        target_name="mAch",
        group_name="school",
        return_X_y_groups=return_X_y_groups,
        as_frame=as_frame,
    )


@loader
def load_oxboys(*, return_X_y_groups: bool = False, as_frame: bool = False) -> Any:
    """Load and return the heights of boys in Oxford dataset (regression).

    The heights of 26 boys on nine occasions over two years.

    ==============   ==========================
    Samples total    234
    Dimensionality   1
    Features         real -1.00 - 1.01
    Targets          real 126.2 - 174.8, in cm
    Groups           26 boys, 9 rows each
    ==============   ==========================

    Parameters
    ----------
    return_X_y_groups : bool, default=False
        If True, returns ``(data, target, groups)`` instead of a Bunch object.
        See below for more information about these objects.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame, and `target` and `groups` are
        pandas Series. This needs pandas to be installed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (234, 1)
            The standardised age, `age`: its zero is the middle of the study and
            its unit about one year.
        target : {ndarray, Series} of shape (234,)
            The height, in centimetres.
        groups : {ndarray, Series} of shape (234,)
            The boy of each row, as an integer label.
        frame : DataFrame of shape (234, 3) or None
            The columns of `data`, `target` and `groups` side by side. None
            unless `as_frame=True`.
        feature_names : list of str
            The names of the columns of `data`.
        target_name : str
            The name of the target, 'height'.
        group_name : str
            The name of the grouping variable, 'boy'.
        DESCR : str
            The full description of the dataset.
        filename : str
            The name of the CSV file that holds the data.

    (data, target, groups) : tuple if ``return_X_y_groups`` is True
        The three objects described above.

    Examples
    --------
    >>> from skmixed.datasets import load_oxboys
    >>> oxboys = load_oxboys()
    >>> oxboys.data.shape
    (234, 1)
    >>> oxboys.target[:3]
    array([140.5, 143.4, 144.8])
    """
    return _load(
        "oxboys",
        feature_names=["age"],
        target_name="height",
        group_name="boy",
        return_X_y_groups=return_X_y_groups,
        as_frame=as_frame,
    )


@loader
def load_grunfeld(*, return_X_y_groups: bool = False, as_frame: bool = False) -> Any:
    """Load and return the Grunfeld investment dataset (regression).

    The yearly investment of eleven large firms of the United States.

    ==============   ==========================================
    Samples total    220
    Dimensionality   3
    Features         real, and integer 1935 - 1954
    Targets          real 0.93 - 1486.7, in millions of dollars
    Groups           11 firms, 20 rows each
    ==============   ==========================================

    Parameters
    ----------
    return_X_y_groups : bool, default=False
        If True, returns ``(data, target, groups)`` instead of a Bunch object.
        See below for more information about these objects.

    as_frame : bool, default=False
        If True, `data` is a pandas DataFrame, and `target` and `groups` are
        pandas Series. This needs pandas to be installed.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        Dictionary-like object, with the following attributes.

        data : {ndarray, DataFrame} of shape (220, 3)
            `value` and `capital` in millions of dollars of 1947, and `year`.
        target : {ndarray, Series} of shape (220,)
            The gross investment, in millions of dollars of 1947.
        groups : {ndarray, Series} of shape (220,)
            The firm of each row, as an integer label.
        frame : DataFrame of shape (220, 5) or None
            The columns of `data`, `target` and `groups` side by side. None
            unless `as_frame=True`.
        feature_names : list of str
            The names of the columns of `data`.
        target_name : str
            The name of the target, 'invest'.
        group_name : str
            The name of the grouping variable, 'firm'.
        DESCR : str
            The full description of the dataset.
        filename : str
            The name of the CSV file that holds the data.

    (data, target, groups) : tuple if ``return_X_y_groups`` is True
        The three objects described above.

    Examples
    --------
    >>> from skmixed.datasets import load_grunfeld
    >>> grunfeld = load_grunfeld()
    >>> grunfeld.data.shape
    (220, 3)
    >>> grunfeld.feature_names
    ['value', 'capital', 'year']
    >>> grunfeld.target[:3]
    array([317.6, 391.8, 410.6])
    """
    return _load(
        "grunfeld",
        feature_names=["value", "capital", "year"],
        target_name="invest",
        group_name="firm",
        return_X_y_groups=return_X_y_groups,
        as_frame=as_frame,
    )
