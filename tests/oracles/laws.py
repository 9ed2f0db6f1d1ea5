"""Laws of any problem whatever: a clear error, or a fit that is right.

`check` raises AssertionError with what does not hold.
"""

import copy
import pickle
import traceback
import warnings

import numpy as np
import pandas as pd
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from oracles.profiled import criterion_of
from skmixed import GroupsWarning

# Warnings that users may be given: facts of their data, from this package.
CALM = (GroupsWarning, ConvergenceWarning, UserWarning)
# Rounding of two ways to the same figure.
ROUNDING = 1e-9
# Of a criterion, which is a sum over rows: relative to the sum of weights.
CRITERION = 1e-7
N_RANDOM = 50
FIGURES = (
    "coef_", "intercept_", "coef_covariance_", "coef_std_", "intercept_std_",
    "group_variance_", "intraclass_correlation_", "random_intercepts_",
    "random_intercepts_std_", "random_intercepts_conditional_std_", "log_likelihood_",
    "noise_variance_", "variance_coef_", "variance_intercept_",
    "variance_coef_covariance_", "group_effects_", "group_effects_std_",
    "variance_group_effects_",
)  # fmt: skip


def check(problem):
    """Fit the problem and judge the outcome: "fitted" or the error's message."""
    before = copy.deepcopy(problem.data)
    try:
        model, told = fit(problem)
    except (ValueError, TypeError) as error:
        assert_unchanged(problem.data, before)
        assert_clear(error)
        return str(error)
    assert_unchanged(problem.data, before)
    assert_finite(model, problem)
    predictions = predict(model, problem)
    assert_predictive(predictions)
    for other in (
        fit(problem)[0],
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        copy.copy(model),
    ):
        assert_same_bits(predict(other, problem), predictions)
    if has_maximum(model, told):
        assert_best(model, problem)
    assert_unchanged(problem.data, before)
    return "fitted"


def fit(problem):
    """A fitted clone and what it warned of, which has to be of use to somebody."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = clone(problem.estimator).fit(**problem.data)
    assert_calm(caught)
    return model, " ".join(str(warning.message) for warning in caught)


def predict(model, problem):
    """Everything that is predicted, for known and for new groups."""
    new = None if problem.groups is None else problem.groups[::-1]
    X = problem.X[::-1] if problem.story["container"] == "array" else problem.X
    figures = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind, rows, groups in (
            ("known", problem.X, problem.groups),
            ("another order", X, new),
            ("new", problem.X, None),
        ):
            mean, std = model.predict(rows, groups=groups, return_std=True)
            noise = model.predict_noise_std(rows, groups=groups)
            figures[kind] = np.array([mean, std, noise])
        density = model.log_predictive_density(
            problem.X, problem.y, groups=problem.groups
        )
        figures["density"] = np.array(density)
        figures["draws"] = model.sample_y(problem.X, groups=problem.groups)
    assert_calm(caught)
    return figures


# --------------------------------------------------------------------------- assertions


def assert_calm(caught):
    """No warning but this package's own."""
    for warning in caught:
        message = f"{warning.category.__name__}: {warning.message}"
        assert issubclass(warning.category, CALM), message
        assert not issubclass(warning.category, RuntimeWarning), message


def assert_clear(error):
    """An error that was raised to be read, not one from underneath."""
    assert type(error) in (ValueError, TypeError), repr(error)
    source = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{source.filename}:{source.lineno}: {error}"
    assert "skmixed" in source.filename or "sklearn" in source.filename, place
    assert source.line.startswith("raise"), place
    assert len(str(error)) > 20, repr(error)


def assert_unchanged(data, before):
    """The caller's arguments are what they were."""
    for name, value in data.items():
        for one, other in zip(contents(value), contents(before[name]), strict=True):
            same = one.tolist() == other.tolist()
            assert same or one.tobytes() == other.tobytes(), f"{name} was changed"


def contents(value):
    """The arrays that an argument is made of."""
    if value is None:
        return []
    if sparse.issparse(value):
        return [value.data, value.indices, value.indptr]
    if isinstance(value, list):
        return [np.array(value, dtype=object)]
    if hasattr(value, "num_rows"):
        return [column.to_numpy() for column in value.columns]
    if hasattr(value, "get_columns"):
        return [column.to_numpy() for column in value.get_columns()]
    if isinstance(value, pd.DataFrame):
        return [value.to_numpy(), value.index.to_numpy()]
    if hasattr(value, "codes"):
        return [value.codes]
    if hasattr(value, "to_numpy"):
        return [value.to_numpy(dtype="U"), value.index.to_numpy()]
    return [value]


def assert_finite(model, problem):
    """No NaN, no infinity, no negative variance."""
    for name in FIGURES:
        if hasattr(model, name):
            value = np.asarray(getattr(model, name))
            assert np.isfinite(value).all(), f"{name} is {value}"
            if "std" in name or name in ("group_variance_", "noise_variance_"):
                assert (value >= 0).all(), f"{name} is {value}"
    n_groups = 0 if problem.codes is None else problem.codes.max() + 1
    assert len(model.random_intercepts_) <= n_groups
    assert len(model.coef_) == problem.dense.shape[1]


def assert_predictive(figures):
    """Standard deviations are those of new observations."""
    for kind, values in figures.items():
        assert np.isfinite(values).all(), f"{kind}: {values}"
        if kind not in ("density", "draws"):
            _, std, noise = values
            assert (std > 0).all(), kind
            assert (noise > 0).all(), kind
            assert (std >= noise * (1 - ROUNDING)).all(), kind


def assert_same_bits(one, other):
    """The same figures to the last bit."""
    for kind, values in one.items():
        assert np.array_equal(values, other[kind]), kind


def has_maximum(model, told):
    """Whether the fit claims to be a maximum of a criterion.

    With a penalty under REML there is none (docs/math.md, 7), and where rows are fitted
    exactly it has no maximum.
    """
    if "no maximum" in told or "exactly" in told or not model.converged_:
        return False
    if "is set to 0" in told:  # a group variance that is not identified
        return False
    return model.method == "ml" or not model.alpha


def assert_best(model, problem):
    """No random parameter values have a higher criterion than the fitted ones, but on
    the way to where there is no maximum.
    """
    criterion = criterion_of(model, problem)
    if criterion is None:
        return
    best = criterion.at_fit()
    allowed = CRITERION * (1 + criterion.n)
    rng = np.random.default_rng(problem.story["seed"])
    drawn = [criterion.draw(rng) for _ in range(N_RANDOM)]
    rivals = [criterion.at(*variances) for variances in drawn]
    gain = max(rivals) - best
    if gain > allowed:
        gain = criterion.climb(*drawn[int(np.argmax(rivals))]) - best
    assert gain <= allowed, f"{gain} above {best}, that of the fit"
