"""Roots of functions of one variable."""

import numpy as np
from numpy.testing import assert_allclose
from oracles.laws import check
from oracles.random_problems import make

from skmixed import RandomInterceptRegressor
from skmixed._search.roots import bracket_points, brackets, interpolated_root


def rising(function, grid):
    return np.array(brackets(function, grid, function(grid)))


def test_brackets_are_those_of_rising_roots():
    found = rising(np.sin, np.arange(-1.0, 14.0, 1.0))
    assert_allclose(found, [[-1, 0], [6, 7], [12, 13]])


def test_interpolation_finds_a_root_of_an_analytic_function():
    """Its poles are at a distance of pi, as those of the criterion."""
    low, high = 2.0, 3.0
    points = bracket_points(low, high)
    root, slope = interpolated_root(np.tanh((points - 2.3) / 2), low, high)
    assert_allclose(root, 2.3, rtol=1e-13)
    assert_allclose(slope, 0.5, rtol=1e-10)
    assert interpolated_root(np.tanh((2.3 - points) / 2), low, high) is None
    assert interpolated_root(np.sin(40 * points), low, high) is None


def test_two_roots_within_one_step_are_found():
    """sin(x) - 0.999 is positive only on 0.09 around pi / 2."""
    ((low, high),) = rising(lambda x: np.sin(x) - 0.999, np.arange(0.0, 4.0, 1.0))
    assert low < np.arcsin(0.999) < high


def test_a_sign_that_rounding_turned_between_scan_and_search():
    """Weights over five orders and 6 rows, next to an exact fit: the scan saw the slope
    change its sign, the search between the two points did not, and SciPy raised.
    """
    story = {
        "n": 6, "target": "model", "noise": 1.0, "groups": "random", "n_groups": 6,
        "columns": [
            "nearly of groups", "binary", "nearly of groups", "binary", "sum", "zero",
        ],
        "weight": "ratio", "labels": "large int", "container": "float32", "unit": 0,
        "units": [0] * 6, "seed": 681504,
    }  # fmt: skip
    assert check(make(RandomInterceptRegressor(method="ml"), story)) == "fitted"
