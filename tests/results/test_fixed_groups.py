"""Free effects of groups in the user's terms."""

from oracles.laws import check
from oracles.random_problems import make

from skmixed import HeteroscedasticGaussianRegressor


def test_columns_between_groups_whose_units_are_far_apart():
    """How effects of groups are shared with them was solved for by cross-products."""
    story = {
        "n": 260, "target": "model", "noise": 1.0, "groups": "pairs", "n_groups": 203,
        "columns": ["binary", "binary", "zero", "sum", "sum", "nearly of groups"],
        "weight": "equal", "labels": "date", "container": "csr", "unit": 0,
        "units": [0, 16, 0, 0, 0, -29], "seed": 2220595,
    }  # fmt: skip
    estimator = HeteroscedasticGaussianRegressor(
        variance_features=[4, 2, 5, 3, 1, 0], variance_groups="fixed"
    )
    assert check(make(estimator, story)) == "fitted"
