"""Linear mixed models that random problems broke, one test each."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import mixed_laws
from oracles.random_terms import make
from scipy import sparse

from skmixed import GroupsWarning, LinearMixedRegressor
from skmixed._rows.coordinates import Coordinates

# Options of the estimator, and how the problem is drawn.
STORIES = {
    "an outlier that is the effect of its own level: 14 lower": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 24,
            "columns": ["normal"],
            "target": "outlier",
            "noise": 0.1,
            "levels": ["random", "inside"],
            "n_levels": 9,
            "terms": [((), True, "|"), ((0,), False, "|")],
            "weight": "real",
            "table": "structured",
            "labels": ["bytes", "float"],
            "container": "fortran",
            "unit": 0,
            "units": [0],
            "seed": 98685599,
        },
    ),
    "an outlier among many rows: 13 lower": (
        {"method": "ml", "fit_intercept": False, "alpha": 0.0},
        {
            "n": 79,
            "columns": ["one row", "zero", "zero", "normal"],
            "target": "outlier",
            "noise": 0.001,
            "levels": ["giant", "disconnected"],
            "n_levels": 5,
            "terms": [((), True, "|"), ((), True, "|")],
            "weight": "counts",
            "table": "structured",
            "labels": ["float", "int"],
            "container": "frame",
            "unit": 13,
            "units": [-44, 16, -9, -32],
            "seed": 37,
        },
    ),
    "a deviance that hardly rises: profiles came to deviations of 1e160": (
        {"method": "ml", "fit_intercept": False, "alpha": 0.0},
        {
            "n": 66,
            "columns": [],
            "target": "binary",
            "noise": 0.1,
            "levels": ["giant", "inside", "same"],
            "n_levels": 10,
            "terms": [((), True, "||"), ((), True, "|"), ((), True, "||")],
            "weight": "small",
            "table": "frame",
            "door": "profiles",
            "labels": ["negative", "string", "large int"],
            "container": "csr",
            "unit": 42,
            "units": [],
            "seed": 844402243,
        },
    ),
    "a constant slope, whose variance moved at will: 111 lower": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 40,
            "columns": ["one row", "constant", "of groups"],
            "target": "outlier",
            "noise": 0.1,
            "levels": ["singles", "same", "same"],
            "n_levels": 9,
            "terms": [
                ((0, 2, 1), False, "||"),
                ((2,), True, "|"),
                ((0, 2, 1), True, "|"),
            ],
            "weight": "real",
            "table": "array",
            "labels": ["str", "str", "date"],
            "container": "csr",
            "unit": 26,
            "units": [17, 19, 26],
            "seed": 354,
        },
    ),
    "the covariance of the rows is singular to rounding": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 77,
            "columns": ["normal", "normal"],
            "target": "of groups",
            "noise": 0.001,
            "levels": ["giant"],
            "n_levels": 31,
            "terms": [((0, 1), True, "|")],
            "weight": "ratio",
            "table": "column",
            "labels": ["Int64"],
            "container": "fortran",
            "unit": 0,
            "units": [0, 0],
            "seed": 58099,
        },
    ),
    "a level with fewer rows than effects: variances of rows below 0": (
        {"method": "reml", "fit_intercept": False, "alpha": 0.0},
        {
            "n": 41,
            "columns": ["one row", "constant", "normal", "zero"],
            "target": "model",
            "noise": 0.001,
            "levels": ["singles"],
            "n_levels": 1,
            "terms": [((2, 3, 0), True, "|")],
            "weight": "counts",
            "table": "frame",
            "labels": ["negative"],
            "container": "array",
            "unit": 21,
            "units": [-33, -5, -34, 5],
            "seed": 50635,
        },
    ),
    "columns that the first factor nearly spans": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 14,
            "columns": ["nearly of groups", "normal"],
            "target": "of groups",
            "noise": 0.1,
            "levels": ["random", "crossed", "crossed"],
            "n_levels": 7,
            "terms": [
                ((1, 0), False, "||"),
                ((1, 0), False, "||"),
                ((1, 0), False, "|"),
            ],
            "weight": "ratio",
            "table": "structured",
            "labels": ["float", "str", "large int"],
            "container": "array",
            "unit": 49,
            "units": [9, 15],
            "seed": 3,
        },
    ),
    "a first step too far for double precision": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 22,
            "columns": ["constant", "nearly of groups", "normal"],
            "target": "model",
            "noise": 0.1,
            "levels": ["giant", "crossed", "disconnected"],
            "n_levels": 1,
            "terms": [
                ((2, 0, 1), True, "|"),
                ((1, 0, 2), False, "|"),
                ((1, 0), True, "|"),
            ],
            "weight": None,
            "table": "array",
            "labels": ["large int", "float", "date"],
            "container": "frame",
            "unit": 5,
            "units": [-46, -6, -20],
            "seed": 0,
        },
    ),
    "a search that begins at a singular covariance": (
        {"method": "reml", "fit_intercept": False, "alpha": 1.0},
        {
            "n": 66,
            "columns": ["sum"],
            "target": "constant",
            "noise": 0.1,
            "levels": ["one", "disconnected"],
            "n_levels": 12,
            "terms": [((0,), True, "|"), ((), True, "|")],
            "weight": "ratio",
            "table": "polars",
            "labels": ["float", "negative"],
            "container": "csr",
            "unit": 6,
            "units": [16],
            "seed": 2042289447,
        },
    ),
    "weights that sum to hardly more than the coefficients, integrated over": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 11,
            "columns": ["normal", "normal", "normal"],
            "target": "model",
            "noise": 0.1,
            "levels": ["random", "inside"],
            "n_levels": 4,
            "terms": [((), True, "|"), ((1, 2, 0), False, "||")],
            "weight": "real",
            "table": "frame",
            "door": "tests",
            "labels": ["Int64", "Int64"],
            "container": "frame",
            "unit": 0,
            "units": [0, 0, 0],
            "seed": 3913516351,
        },
    ),
    "an effect of which the data know nothing, in units 1e49 apart": (
        {"method": "ml", "fit_intercept": True, "alpha": 1.0},
        {
            "n": 35,
            "columns": ["sum", "binary", "one row", "one row", "binary", "normal"],
            "target": "binary",
            "noise": 0.001,
            "levels": ["singles", "inside", "crossed"],
            "n_levels": 13,
            "terms": [((), True, "||"), ((2, 0), True, "|"), ((5, 2, 3), True, "|")],
            "weight": "real",
            "table": "array",
            "labels": ["large int", "str", "int"],
            "container": "csr",
            "unit": 26,
            "units": [0, 0, 49, -12, -4, 38],
            "seed": 251127,
        },
    ),
    "what a first factor leaves of others is rounding, no Cholesky root": (
        {
            "method": "reml",
            "fit_intercept": True,
            "alpha": 1.0,
            "mean_features": [4, 1],
        },
        {
            "n": 60,
            "columns": ["normal", "normal", "normal", "normal", "normal"],
            "target": "constant",
            "noise": 1.0,
            "levels": ["pairs", "crossed"],
            "n_levels": 11,
            "terms": [((), True, "||"), ((2, 1, 4), True, "||")],
            "weight": "ratio",
            "table": "frame",
            "door": "intervals",
            "labels": ["Int64", "date"],
            "container": "array",
            "unit": 0,
            "units": [0, 0, 0, 0, 0],
            "seed": 1816229935,
        },
    ),
    "a slope in one row, which its coefficient fits: 3.6 higher in batches": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 51,
            "columns": ["one row"],
            "target": "model",
            "noise": 0.001,
            "levels": ["random"],
            "n_levels": 9,
            "terms": [((0,), False, "|")],
            "weight": "equal",
            "table": "structured",
            "door": "batches",
            "labels": ["float"],
            "container": "csr",
            "unit": -16,
            "units": [-21],
            "seed": 1571814092,
        },
    ),
    "a profile beside three times the same factor: a product out of range": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 25,
            "columns": ["normal", "normal", "zero"],
            "target": "of groups",
            "noise": 1.0,
            "levels": ["random", "same", "same"],
            "n_levels": 9,
            "terms": [((), True, "|"), ((2, 1, 0), True, "|"), ((0, 2), True, "|")],
            "weight": "real",
            "table": "arrow",
            "door": "profiles",
            "labels": ["str", "int", "str"],
            "container": "float32",
            "unit": -5,
            "units": [41, -34, -35],
            "seed": 776452697,
        },
    ),
    "levels of one row, in others: no entry is left of any": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 27,
            "columns": ["normal", "normal", "normal"],
            "target": "model",
            "noise": 0.001,
            "levels": ["singles", "inside", "same"],
            "n_levels": 13,
            "terms": [((), True, "|"), ((1,), True, "|"), ((0,), True, "|")],
            "weight": None,
            "table": "frame",
            "door": None,
            "labels": ["int", "object", "negative"],
            "container": "csr",
            "unit": 0,
            "units": [0, 0, 0],
            "seed": 3382818588,
        },
    ),
    "few rows whose weights sum to many: 2.6 lower": (
        {
            "method": "ml",
            "fit_intercept": True,
            "alpha": 0.0,
            "mean_features": [1, 0],
        },
        {
            "n": 56,
            "columns": ["normal", "normal", "normal"],
            "target": "binary",
            "noise": 0.001,
            "levels": ["giant", "inside"],
            "n_levels": 6,
            "terms": [((2,), True, "||"), ((2,), False, "|")],
            "weight": "ratio",
            "table": "array",
            "door": None,
            "labels": ["float", "date"],
            "container": "csc",
            "unit": 0,
            "units": [0, 0, 0],
            "seed": 3330307921,
        },
    ),
    "an update of an exact fit: what no row tells became less known": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0, "mean_features": []},
        {
            "n": 90,
            "columns": ["normal"] * 5,
            "target": "model",
            "noise": 1.0,
            "levels": ["singles", "crossed", "crossed"],
            "n_levels": 23,
            "terms": [((), True, "|"), ((2,), True, "||"), ((0, 3), True, "||")],
            "weight": "equal",
            "table": "structured",
            "door": "updates",
            "labels": ["negative", "large int", "str"],
            "container": "csr",
            "unit": 0,
            "units": [0] * 5,
            "seed": 3026431948,
        },
    ),
    "all starts had next to no variance of a factor that had none at the first one": (
        {"method": "ml"},
        {
            "n": 70,
            "columns": ["normal"] * 3,
            "target": "model",
            "noise": 0.1,
            "levels": ["giant", "around"],
            "n_levels": 34,
            "terms": [((2, 1), True, "|"), ((), True, "|")],
            "weight": "equal",
            "table": "list",
            "door": "tests",
            "labels": ["int", "float"],
            "container": "frame",
            "unit": 0,
            "units": [0] * 3,
            "seed": 3340616109,
        },
    ),
    "an integral over effects so large that the likelihood has no value": (
        {"method": "ml"},
        {
            "n": 6,
            "columns": [],
            "target": "outlier",
            "noise": 0.001,
            "levels": ["pairs", "crossed", "crossed"],
            "n_levels": 1,
            "terms": [((), True, "||"), ((), True, "|"), ((), True, "|")],
            "weight": "ratio",
            "table": "array",
            "door": "intervals",
            "labels": ["float", "float", "float"],
            "container": "frame",
            "unit": 0,
            "units": [],
            "seed": 3540675376,
        },
    ),
    "rows of new groups beside slopes that cancel had a negative variance": (
        {"method": "ml"},
        {
            "n": 41,
            "columns": ["nearly of groups", "sum"],
            "target": "binary",
            "noise": 0.1,
            "levels": ["singles"],
            "n_levels": 10,
            "terms": [((0, 1), True, "|")],
            "weight": "counts",
            "table": "column",
            "door": "factors",
            "labels": ["date"],
            "container": "frame",
            "unit": -30,
            "units": [-7, -30],
            "seed": 3022869857,
        },
    ),
    "an exact fit with equal noise, beyond the digits of other noise": (
        {
            "method": "ml",
            "fit_intercept": True,
            "alpha": 0.0,
            "variance_features": [1],
            "variance_alpha": 0.0,
            "variance_offset": None,
        },
        {
            "n": 45,
            "columns": ["sum", "normal"],
            "target": "model",
            "noise": 0.1,
            "levels": ["random", "crossed"],
            "n_levels": 20,
            "terms": [((1,), True, "|"), ((1, 0), True, "|")],
            "weight": "ratio",
            "table": "structured",
            "door": "other models",
            "labels": ["str", "date"],
            "container": "array",
            "unit": 38,
            "units": [17, -45],
            "seed": 23488049,
        },
    ),
    "starts beside a variance that the data do not tell: 0.2 lower": (
        {"method": "reml", "fit_intercept": False, "alpha": 0.0},
        {
            "n": 40,
            "columns": ["normal", "normal", "normal"],
            "target": "of groups",
            "noise": 1.0,
            "levels": ["singles", "crossed"],
            "n_levels": 9,
            "terms": [((0, 2, 1), True, "|"), ((0, 2, 1), True, "||")],
            "weight": None,
            "table": "frame",
            "labels": ["negative", "int"],
            "container": "csr",
            "unit": 0,
            "units": [0, 0, 0],
            "seed": 377243591,
        },
    ),
    "little is told by what columns of the mean leave of an effect: 1.0 lower": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 41,
            "columns": [
                "normal",
                "of groups",
                "duplicate",
                "nearly of groups",
                "one row",
            ],
            "target": "model",
            "noise": 1.0,
            "levels": ["random", "around"],
            "n_levels": 2,
            "terms": [((2, 1, 3), True, "||"), ((1,), True, "||")],
            "weight": None,
            "table": "list",
            "labels": ["float", "int"],
            "container": "array",
            "unit": 3,
            "units": [-27, -2, -12, -10, -33],
            "seed": 4103910845,
        },
    ),
    "one level tells no covariance, which moved at will: 2.1 lower": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 36,
            "columns": ["offset", "duplicate", "normal", "binary"],
            "target": "model",
            "noise": 0.001,
            "levels": ["one"],
            "n_levels": 12,
            "terms": [((0, 2), True, "|")],
            "weight": None,
            "table": "list",
            "labels": ["int"],
            "container": "fortran",
            "unit": -43,
            "units": [19, -49, -22, -16],
            "seed": 2246180917,
        },
    ),
    "a start far from the best optimum is behind for many turns: 0.7 lower": (
        {"method": "ml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 83,
            "columns": ["one row", "normal", "nearly of groups"],
            "target": "model",
            "noise": 0.1,
            "levels": ["giant", "around"],
            "n_levels": 6,
            "terms": [((1, 0), True, "|"), ((1, 2), True, "|")],
            "weight": "counts",
            "table": "structured",
            "labels": ["int", "date"],
            "container": "float32",
            "unit": -8,
            "units": [26, -36, 40],
            "seed": 374727189,
        },
    ),
    "a constant slope that is not its own mean to the last digit: 14 lower": (
        {
            "method": "reml",
            "fit_intercept": True,
            "alpha": 0.0,
            "mean_features": [1, 2, 0],
        },
        {
            "n": 79,
            "columns": ["normal", "constant", "normal"],
            "target": "model",
            "noise": 0.001,
            "levels": ["random", "around", "inside"],
            "n_levels": 7,
            "terms": [((), True, "|"), ((2, 1, 0), True, "|"), ((1, 0, 2), False, "|")],
            "weight": "counts",
            "table": "frame",
            "labels": ["bytes", "string", "int"],
            "container": "array",
            "unit": -42,
            "units": [-5, -10, -36],
            "seed": 1277608452,
        },
    ),
    "an exact fit by iterations, whose noise vanished until X did: an error": (
        {"method": "reml", "fit_intercept": True, "alpha": 0.0},
        {
            "n": 20,
            "columns": ["of groups"],
            "target": "of groups",
            "noise": 0.1,
            "levels": ["random", "crossed", "crossed"],
            "n_levels": 10,
            "terms": [((), True, "|"), ((0,), True, "||"), ((0,), True, "||")],
            "weight": "equal",
            "table": "structured",
            "door": "iterations",
            "labels": ["large int", "large int", "negative"],
            "container": "csc",
            "unit": 13,
            "units": [46],
            "seed": 518671097,
        },
    ),
}


def crossed(n=40, seed=0):
    """y and two crossed columns of labels, with an effect of each."""
    rng = np.random.default_rng(seed)
    groups = np.column_stack([np.arange(n) % 6, rng.integers(5, size=n)])
    y = rng.normal(size=6)[groups[:, 0]] + rng.normal(size=5)[groups[:, 1]]
    return y + rng.normal(size=n), groups


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("container", [np.asarray, sparse.csr_array])
def test_crossed_factors_without_columns_of_x(container, fit_intercept):
    """Arrays of no columns could not be reshaped."""
    y, groups = crossed()
    X = container(np.empty((len(y), 0)))
    model = LinearMixedRegressor(fit_intercept=fit_intercept).fit(X, y, groups=groups)
    assert model.converged_
    assert model.predict(X, groups=groups).std() > 0.1


def test_covariances_are_symmetric_to_the_last_bit():
    rng = np.random.default_rng(2)
    y, groups = crossed()
    X = rng.normal([5.0, -3.0, 1.0], size=(len(y), 3))
    model = LinearMixedRegressor("(x0 + x1 + x2 | g0)").fit(X, y, groups=groups[:, :1])
    Psi = model.random_effects_covariance_["g0"]
    assert_array_equal(Psi, Psi.T)


def test_iterations_without_a_variance_that_the_data_tell():
    """A step in no parameter at all was an IndexError."""
    y, groups = crossed()
    X = np.zeros((len(y), 1))
    terms = "(0 + x0 | g0) + (0 + x0 | g1)"
    model = LinearMixedRegressor(terms, solver="iterative", random_state=0)
    with pytest.warns(GroupsWarning, match="cannot tell"):
        model = model.fit(X, y, groups=groups)
    assert all((Psi == 0).all() for Psi in model.random_effects_covariance_.values())


@pytest.mark.parametrize("terms", ["(1 | g0)", "(x0 | g0)", "(1 | g0) + (1 | g1)"])
def test_integrated_intervals_without_coefficients(terms):
    """Sums over levels of no coefficient could not be reshaped."""
    y, groups = crossed()
    X = np.random.default_rng(0).normal(size=(len(y), 1))
    model = LinearMixedRegressor(terms, fit_intercept=False, mean_features=[])
    groups = groups[:, : terms.count("|")]
    model = model.fit(X, y, groups=groups)
    low, high = model.predict_interval(X, groups=groups, distribution="integrated").T
    assert (low < high).all()


def test_variances_of_nothing_are_not_negative():
    """An intercept that a slope determines, counted where it has no effect."""
    rng = np.random.default_rng(0)
    for _ in range(200):
        origin, slope = rng.normal(size=2)
        of_search = Coordinates(np.eye(2), np.array([0.0, origin]), np.ones(2), None)
        root = np.array([[0.0, origin * slope], [0.0, slope]])
        Psi = of_search.covariance(root)
        assert_allclose(Psi, [[0, 0], [0, slope**2]], atol=1e-14 * slope**2)
        assert Psi[0, 0] >= 0


@pytest.mark.parametrize("name", STORIES)
def test_laws_hold(name):
    """All of `oracles.mixed_laws`, the best of random covariances among them."""
    options, story = STORIES[name]
    assert mixed_laws.check(make(options, story)) == "fitted"
