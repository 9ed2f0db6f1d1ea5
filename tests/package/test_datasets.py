"""Tests of the example datasets."""

import re
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import skmixed.datasets
from skmixed.datasets import (
    load_grunfeld,
    load_hsb82,
    load_machines,
    load_oxboys,
    load_sleepstudy,
)

LOADERS = [load_sleepstudy, load_machines, load_hsb82, load_oxboys, load_grunfeld]

all_loaders = pytest.mark.parametrize("load", LOADERS)

GRUNFELD_FEATURES = ["value", "capital", "year"]
HSB82_FEATURES = ["ses", "cses", "meanses", "minority", "female", "catholic"]


def _columns(bunch):
    """Features and target by name."""
    columns = dict(zip(bunch.feature_names, bunch.data.T, strict=True))
    return columns | {bunch.target_name: bunch.target}


def test_public_names():
    assert sorted(skmixed.datasets.__all__) == sorted(f.__name__ for f in LOADERS)


@pytest.mark.parametrize(
    "load, n_samples, feature_names, target_name, group_name, filename",
    [
        (load_sleepstudy, 180, ["Days"], "Reaction", "Subject", "sleepstudy.csv"),
        (load_machines, 54, ["Mach_B", "Mach_C"], "score", "Worker", "machines.csv"),
        (load_hsb82, 7185, HSB82_FEATURES, "mAch", "school", "hsb82.csv"),
        (load_oxboys, 234, ["age"], "height", "boy", "oxboys.csv"),
        (load_grunfeld, 220, GRUNFELD_FEATURES, "invest", "firm", "grunfeld.csv"),
    ],
)
def test_bunch(load, n_samples, feature_names, target_name, group_name, filename):
    bunch = load()

    for array in (bunch.data, bunch.target, bunch.groups):
        assert type(array) is np.ndarray
    assert bunch.data.shape == (n_samples, len(feature_names))
    assert bunch.target.shape == (n_samples,)
    assert bunch.groups.shape == (n_samples,)
    assert bunch.data.dtype == np.float64
    assert bunch.target.dtype == np.float64
    assert bunch.groups.dtype == np.int64
    assert bunch.frame is None
    assert bunch.feature_names == feature_names
    assert bunch.target_name == target_name
    assert bunch.group_name == group_name
    assert bunch.filename == filename


@pytest.mark.parametrize(
    "load, n_groups, min_size, max_size, min_label, max_label",
    [
        (load_sleepstudy, 18, 10, 10, 308, 372),
        (load_machines, 6, 9, 9, 1, 6),
        (load_hsb82, 160, 14, 67, 1224, 9586),
        (load_oxboys, 26, 9, 9, 1, 26),
        (load_grunfeld, 11, 20, 20, 1, 11),
    ],
)
def test_groups(load, n_groups, min_size, max_size, min_label, max_label):
    labels, sizes = np.unique(load().groups, return_counts=True)
    assert len(labels) == n_groups
    assert (sizes.min(), sizes.max()) == (min_size, max_size)
    assert (labels[0], labels[-1]) == (min_label, max_label)


# Exact sums of the CSV text, and the first and the last row of each file.
@pytest.mark.parametrize(
    "load, target_sum, group_sum, first, last",
    [
        (load_sleepstudy, 53731.4205, 61430, (249.56, 308), (364.1236, 372)),
        (load_machines, 3221.1, 189, (52.0, 1), (60.5, 6)),
        (load_hsb82, 91593.321, 37921696, (5.876, 1224), (22.733, 9586)),
        (load_oxboys, 34987.54, 3159, (140.5, 1), (143.1, 26)),
        (load_grunfeld, 29328.618, 1320, (317.6, 1), (6.281, 11)),
    ],
)
def test_target_and_groups_values(load, target_sum, group_sum, first, last):
    bunch = load()
    assert_allclose(bunch.target.sum(), target_sum, rtol=1e-12)
    assert bunch.groups.sum() == group_sum
    assert (bunch.target[0], bunch.groups[0]) == first
    assert (bunch.target[-1], bunch.groups[-1]) == last


def test_sleepstudy_design():
    bunch = load_sleepstudy()
    for subject in np.unique(bunch.groups):
        assert_array_equal(bunch.data[bunch.groups == subject, 0], np.arange(10))

    # Fixed effects that Bates et al. (2015) print for the full data; the design
    # is balanced, so least squares gives the same.
    slope, intercept = np.polyfit(bunch.data[:, 0], bunch.target, 1)
    assert_allclose([intercept, slope], [251.405, 10.467], atol=5e-4)


def test_sleepstudy_descr_states_the_spread_of_the_lines():
    bunch = load_sleepstudy()
    lines = {}
    for subject in np.unique(bunch.groups):
        rows = bunch.groups == subject
        lines[subject] = np.polyfit(bunch.data[rows, 0], bunch.target[rows], 1)
    text = " ".join(bunch.DESCR.split())
    for coefficient, unit in enumerate(["ms per day", "ms"]):
        values = {subject: line[coefficient] for subject, line in lines.items()}
        for subject in (min(values, key=values.get), max(values, key=values.get)):
            assert f"{values[subject]:.2f} {unit} (subject {subject})" in text


def test_machines_design():
    bunch = load_machines()
    mach_b, mach_c = bunch.data.T
    machine = mach_b + 2 * mach_c
    assert_array_equal(np.unique(machine), [0, 1, 2])

    cells, sizes = np.unique([bunch.groups, machine], axis=1, return_counts=True)
    assert cells.shape == (2, 18)
    assert set(sizes) == {3}

    means = [bunch.target[machine == k].mean() for k in range(3)]
    assert_allclose(means, [52.355556, 60.322222, 66.272222], atol=5e-7)


def test_hsb82_columns():
    bunch = load_hsb82()
    columns = _columns(bunch)
    assert_array_equal(columns["cses"], columns["ses"] - columns["meanses"])
    for school in np.unique(bunch.groups):
        rows = bunch.groups == school
        mean = columns["ses"][rows].mean()
        assert_allclose(columns["meanses"][rows], mean, rtol=0, atol=1e-14)
        assert np.ptp(columns["catholic"][rows]) == 0

    counts = {"minority": 1974, "female": 3795, "catholic": 3543}
    for name, count in counts.items():
        assert set(columns[name]) == {0.0, 1.0}
        assert columns[name].sum() == count
    catholic_schools = np.unique(bunch.groups[columns["catholic"] == 1])
    assert len(catholic_schools) == 70
    assert_allclose(columns["ses"].sum(), 1.03, atol=1e-9)


def test_oxboys_descr_states_the_spread_of_the_lines():
    bunch = load_oxboys()
    rows = [bunch.groups == boy for boy in range(1, 27)]
    lines = np.array([np.polyfit(bunch.data[r, 0], bunch.target[r], 1) for r in rows])
    text = " ".join(bunch.DESCR.split())
    for values in lines.T:
        for boy in (values.argmin(), values.argmax()):
            assert f"{values[boy]:.2f} cm (boy {boy + 1})" in text


def test_grunfeld_design():
    bunch = load_grunfeld()
    for firm in range(1, 12):
        rows = bunch.groups == firm
        assert_array_equal(bunch.data[rows, 2], np.arange(1935, 1955))
    means = [bunch.target[bunch.groups == firm].mean() for firm in (1, 10)]
    text = " ".join(bunch.DESCR.split())
    assert f"between {means[1]:.2f} (firm 10) and {means[0]:.2f} (firm 1)" in text
    # Kleiber and Zeileis (2010), table 3: least squares on ten firms.
    ten = bunch.groups < 11
    X = np.column_stack([np.ones(ten.sum()), bunch.data[ten, :2]])
    coef = np.linalg.lstsq(X, bunch.target[ten], rcond=None)[0]
    assert_allclose(coef, [-42.714, 0.116, 0.231], atol=6e-4)


@all_loaders
def test_return_X_y_groups(load):
    bunch = load()
    result = load(return_X_y_groups=True)
    assert isinstance(result, tuple)
    assert len(result) == 3
    for array, name in zip(result, ["data", "target", "groups"], strict=True):
        assert type(array) is np.ndarray
        assert_array_equal(array, bunch[name])


@all_loaders
def test_as_frame(load):
    pd = pytest.importorskip("pandas")
    arrays, frames = load(), load(as_frame=True)

    data, target, groups = frames.data, frames.target, frames.groups
    assert isinstance(data, pd.DataFrame)
    assert isinstance(target, pd.Series)
    assert isinstance(groups, pd.Series)
    assert list(data.columns) == arrays.feature_names
    assert target.name == arrays.target_name
    assert groups.name == arrays.group_name
    assert set(data.dtypes) == {np.dtype("float64")}
    assert target.dtype == np.float64
    assert groups.dtype == np.int64
    for name in ("data", "target", "groups"):
        assert_array_equal(frames[name].to_numpy(), arrays[name])


@all_loaders
def test_as_frame_frame(load):
    pd = pytest.importorskip("pandas")
    bunch = load(as_frame=True)
    names = [*bunch.feature_names, bunch.target_name, bunch.group_name]
    assert isinstance(bunch.frame, pd.DataFrame)
    assert list(bunch.frame.columns) == names
    pd.testing.assert_frame_equal(bunch.frame[bunch.feature_names], bunch.data)
    pd.testing.assert_series_equal(bunch.frame[bunch.target_name], bunch.target)
    pd.testing.assert_series_equal(bunch.frame[bunch.group_name], bunch.groups)


@all_loaders
def test_return_X_y_groups_as_frame(load):
    pd = pytest.importorskip("pandas")
    bunch = load(as_frame=True)
    data, target, groups = load(return_X_y_groups=True, as_frame=True)
    pd.testing.assert_frame_equal(data, bunch.data)
    pd.testing.assert_series_equal(target, bunch.target)
    pd.testing.assert_series_equal(groups, bunch.groups)


@all_loaders
def test_calls_share_nothing(load):
    first, second = load(), load()
    for name in ("data", "target", "groups"):
        before = second[name].copy()
        first[name][:] = -1
        assert_array_equal(second[name], before)
        assert_array_equal(load()[name], before)
    first.feature_names.clear()
    assert load().feature_names == second.feature_names != []


@all_loaders
def test_frame_shares_nothing_with_its_parts(load):
    pytest.importorskip("pandas")
    bunch = load(as_frame=True)
    before = bunch.frame.copy()
    bunch.data.iloc[0, 0] = -1.0
    bunch.target.iloc[0] = -1.0
    bunch.groups.iloc[0] = -1
    assert bunch.frame.equals(before)


@all_loaders
def test_without_pandas(load, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert load().frame is None
    message = rf"{load.__name__} with as_frame=True requires pandas.*pip install pandas"
    with pytest.raises(ImportError, match=message):
        load(as_frame=True)


def test_import_does_not_need_pandas():
    # A new process, because pandas may already be imported in this one.
    code = """
import sys
sys.modules["pandas"] = None
from skmixed.datasets import load_machines
load_machines()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@all_loaders
def test_arguments_are_keyword_only(load):
    with pytest.raises(TypeError, match="positional argument"):
        load(True)


@pytest.mark.parametrize(
    "load, phrases",
    [
        (
            load_sleepstudy,
            [
                ":Number of Instances: 180 (18 subjects, 10 rows each)",
                "Belenky, G.",
                "(2003)",
                "Journal of Sleep Research, 12, 1-12",
                "milliseconds (ms)",
                "Days 0 and 1 were adaptation and training, and day 2 was the baseline",
                "The subjects differ in slope as well as in level",
            ],
        ),
        (
            load_machines,
            [
                ":Number of Instances: 54 (6 workers, 9 rows each)",
                'Milliken, G. A. and Johnson, D. E. (1984) "Analysis of Messy Data',
                "Pinheiro, J. C. and Bates, D. M. (2000)",
                "in points of a scale without a physical unit",
                "Machine A is the baseline",
                "`Mach_A` of the CSV file, is left out",
            ],
        ),
        (
            load_hsb82,
            [
                ":Number of Instances: 7185 (160 schools, 14 to 67 rows each)",
                "National Center for Education Statistics",
                "Raudenbush, S. W. and Bryk, A. S. (2002)",
                "2nd edition, Sage (chapter 4)",
                "in points of the test",
                "in units of the scale of `ses`",
                "1 if Catholic, 0 if public",
            ],
        ),
        (
            load_oxboys,
            [
                ":Number of Instances: 234 (26 boys, 9 rows each)",
                "Goldstein, H. (1987)",
                "Pinheiro, J. C. and Bates, D. M. (2000)",
                "in centimetres (cm)",
                "The package is under the GPL",
            ],
        ),
        (
            load_grunfeld,
            [
                ":Number of Instances: 220 (11 firms, 20 rows each)",
                "Kleiber, C. and Zeileis, A. (2010)",
                "in millions of dollars of 1947",
                "in the public domain",
            ],
        ),
    ],
)
def test_descr_phrases(load, phrases):
    text = " ".join(load().DESCR.split())
    for phrase in [*phrases, "A group is one", ".. rubric:: References"]:
        assert phrase in text


@all_loaders
def test_descr_statistics(load):
    bunch = load()
    for name, values in _columns(bunch).items():
        row = re.search(rf"^{name} +(-?\d.*)$", bunch.DESCR, flags=re.MULTILINE)
        stated = [float(number) for number in row[1].split()]
        actual = [values.min(), values.max(), values.mean(), values.std(ddof=1)]
        assert_allclose(stated, actual, rtol=0, atol=0.00501)
