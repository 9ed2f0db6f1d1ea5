"""Roots of functions of one variable."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.laws import check
from oracles.random_problems import make

from skmixed import RandomInterceptRegressor
from skmixed._search.roots import (
    bracket_points,
    descending_roots,
    interpolated_root,
    polish,
)


def test_roots_are_the_rising_ones():
    roots = descending_roots(np.sin, np.arange(-1.0, 14.0, 1.0))
    assert_allclose(roots, [0, 2 * np.pi, 4 * np.pi], atol=1e-12)


@pytest.mark.parametrize("near", [0.995, 1.05, 0.2, 1.7])
def test_a_root_is_found_however_far_the_approximation_is(near):
    """In steps that double; the root of the approximation may be off by any number."""
    assert_allclose(polish(lambda t: t**3 - 1.0, near, -2.0, 2.0), 1.0, rtol=1e-12)


def test_secant_steps_find_a_root_from_a_derivative():
    """Few of them; a wrong derivative only costs more."""
    calls = []

    def function(t):
        calls.append(t)
        return t**3 - 1.0

    assert_allclose(polish(function, 1.02, -2, 2, 3.0), 1.0, rtol=1e-14)
    assert len(calls) <= 6
    for steepness in (1.0, 40.0, 1e-9):
        assert_allclose(polish(function, 1.02, -2, 2, steepness), 1.0, rtol=1e-14)


def test_interpolation_finds_a_root_of_an_analytic_function():
    """Its poles are at a distance of pi, as those of the criterion."""
    low, high = 2.0, 3.0
    points = bracket_points(low, high)
    root, slope = interpolated_root(np.tanh((points - 2.3) / 2), low, high)
    assert_allclose(root, 2.3, rtol=1e-13)
    assert_allclose(slope, 0.5, rtol=1e-10)
    assert interpolated_root(np.tanh((2.3 - points) / 2), low, high) is None
    assert interpolated_root(np.sin(40 * points), low, high) is None


def test_an_approximation_without_a_root_nearby_stays():
    assert polish(lambda t: -1.0, 0.3, -2.0, 2.0) == 0.3


def test_two_roots_within_one_step_are_found():
    """sin(x) - 0.999 is positive only on 0.09 around pi / 2."""
    roots = descending_roots(lambda x: np.sin(x) - 0.999, np.arange(0.0, 4.0, 1.0))
    assert_allclose(roots, [np.arcsin(0.999)], atol=1e-10)


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
