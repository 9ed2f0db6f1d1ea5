"""Laws of any fit of a linear mixed model.

`check` raises AssertionError with what does not hold.
"""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np

from oracles import laws, mixed_doors
from oracles.mixed_criterion import criterion_of, has_few_rows, is_unbounded

N_RANDOM = 50
# In log-likelihood, for each row by its weight: what rounding may hide, and what the
# search leaves.
CRITERION = 1e-7
# Rounding, for each row by its weight, and each multiple of what is left of y that y
# is.
ROUNDING = 1e-15
NUMBERS = (
    "coef_", "intercept_", "coef_covariance_", "coef_std_", "intercept_std_",
    "noise_variance_", "log_likelihood_", "variance_coef_", "variance_intercept_",
)  # fmt: skip
DICTIONARIES = (
    "random_effects_", "random_effects_std_", "random_effects_conditional_std_",
    "random_effects_covariance_",
)  # fmt: skip


def check(problem):
    """Fit the problem and judge the outcome: "fitted" or the error's message."""
    before = copy.deepcopy(problem.data)
    try:
        model, told = laws.fit(problem)
    except (ValueError, TypeError) as error:
        laws.assert_unchanged(problem.data, before)
        laws.assert_clear(error)
        return str(error)
    assert_finite(model)
    try:
        predictions = predict(model, problem)
    except ValueError as error:  # of rows that have no weight in the fit
        if "which are no logarithms of variances" not in str(error):
            raise
        return str(error)
    assert_predictive(predictions)
    for other in (laws.fit(problem)[0], pickle.loads(pickle.dumps(model))):
        laws.assert_same_bits(predict(other, problem), predictions)
    if mixed_doors.has_maximum(model, told) and not loses_digits(problem):
        assert_best(model, problem)
    if (door := problem.story.get("door")) is not None:
        mixed_doors.check(door, model, problem, told)
    laws.assert_unchanged(problem.data, before)
    return "fitted"


def assert_finite(model):
    """No NaN, no infinity, no negative variance."""
    values = {name: getattr(model, name) for name in NUMBERS if hasattr(model, name)}
    for name in DICTIONARIES:
        for factor, value in getattr(model, name).items():
            values[f"{name}[{factor!r}]"] = value
    for name, value in values.items():
        assert np.isfinite(value).all(), f"{name} is {value}"
        if "std" in name or name == "noise_variance_":
            assert (np.asarray(value) >= 0).all(), f"{name} is {value}"
    for factor, Psi in model.random_effects_covariance_.items():
        assert np.array_equal(Psi, Psi.T), factor
        assert (np.diag(Psi) >= 0).all(), factor


def predict(model, problem):
    """Everything that is predicted, for known and for new levels."""
    figures = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for kind, groups in (("known", problem.groups), ("new", None)):
            figures[kind] = np.array(
                model.predict(problem.X, groups=groups, return_std=True)
            )
            figures[f"{kind}, mean"] = np.array(
                model.predict_mean(problem.X, groups=groups, return_std=True)
            )
        data = {"X": problem.X, "groups": problem.groups}
        figures["density"] = np.array(model.log_predictive_density(y=problem.y, **data))
        figures["draws"] = model.sample_y(**data)
        str(model.summary())
    laws.assert_calm(caught)
    return figures


def assert_predictive(figures):
    """Standard deviations are those of new observations, and above those of means."""
    for kind, values in figures.items():
        assert np.isfinite(values).all(), f"{kind}: {values}"
    for kind in ("known", "new"):
        mean, std = figures[kind]
        assert (std > 0).all(), kind
        expected, error = figures[f"{kind}, mean"]
        assert (std >= error * (1 - laws.ROUNDING)).all(), kind
        assert np.allclose(mean, expected, rtol=laws.ROUNDING, atol=1e-9 * std.max())


def loses_digits(problem):
    """Whether columns far from zero are counted in the cross-products of a sparse X."""
    return "cs" in problem.story["container"] and "offset" in problem.story["columns"]


def of_columns(model, problem):
    """The rounding of the columns of X in the mean, in noise standard deviations:
    beyond one of them the noise is that rounding, and every sum over rows has another.
    """
    part = np.abs(problem.dense * model.coef_).max(initial=0.0)
    noise = getattr(model, "noise_variance_", np.inf)
    return np.finfo(float).eps / 2 * part / np.sqrt(noise)


def assert_best(model, problem):
    """Neither random covariances nor unit ones have a higher criterion than the fitted
    ones, and no optimum that the best of them leads to, nor that of the same rows in a
    dense X; a way to none has points that are higher.  Where the likelihood has no
    bound, no variance and equal noise have none that is higher.
    """
    criterion, roots, gamma = criterion_of(model, problem)
    n = len(criterion.y)
    if criterion.Q.shape[1] >= n:  # fitted exactly by any covariance
        return
    if has_few_rows(criterion) or not criterion.tells_columns_apart:
        return
    if of_columns(model, problem) > 1:
        return
    best, loss = criterion.exactly(roots, gamma)
    rows = 1 + max(n, criterion.freedom)
    # The covariances that are reported have their own rounding, in noise variances.
    lost = np.finfo(float).eps * max(np.sum(L**2, axis=1).max() for L in roots)
    lost += of_columns(model, problem) + ROUNDING * loss * criterion.condition
    allowed = (CRITERION + lost) * rows
    rng = np.random.default_rng(problem.story["seed"])
    unit = criterion.identity
    drawn = [criterion.draw(rng) for _ in range(N_RANDOM)]
    rivals = [unit, drawn[int(np.argmax([criterion.at(x) for x in drawn]))]]
    if is_unbounded(criterion):  # an optimum beside the way there
        rivals = [np.zeros_like(unit)]
    values = [criterion.exactly(*criterion.unpack(x))[0] for x in rivals]
    if len(rivals) > 1:
        values += [criterion.highest(rivals), of_dense(model, problem)]
    gain = max(value for value in values if value is not None) - best
    if gain > allowed and is_unbounded(criterion, thorough=True):
        gain = criterion.exactly(*criterion.unpack(np.zeros_like(unit)))[0] - best
    assert gain <= allowed, f"{gain:.3g} above {best:.10g}, that of the fit"


def of_dense(model, problem):
    """The criterion at the fit of a dense X, if that of the problem is sparse and there
    are more rows than parameters; None elsewhere.
    """
    sparse = "cs" in problem.story["container"]
    if not sparse or not mixed_doors.has_more_rows_than_parameters(model, problem):
        return None
    other, told = laws.fit(replace(problem, X=problem.dense))
    if not mixed_doors.has_maximum(other, told):
        return None
    criterion, roots, gamma = criterion_of(other, problem)
    return criterion.exactly(roots, gamma)[0]
