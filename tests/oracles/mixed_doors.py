"""Laws of everything that is asked of a fitted linear mixed model.

A door is one kind of question or of use.  Each may be refused, by an error that is
raised to be read; else what it gives is finite, and agrees with the fit.
"""

import copy
import warnings

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.dummy import DummyRegressor

from oracles import laws
from oracles.mixed_criterion import criterion_of, is_unbounded
from skmixed import LinearMixedRegressor, MixedEffectsRegressor
from skmixed.inference import contrast, likelihood_ratio_test

# In log-likelihood, for each row: what sums of rows may lose.
OF_SUMS = 1e-6
# The same, as a fraction of the variance of y in units of that of the noise.
OF_Y = 1e-15
# Relative: two ways to the same standard deviation.
SAME_STD = 1e-5
# Of the largest variance: what rounding may leave of it where it is taken away.
OF_VARIANCES = 1e-13
# In log-likelihood: what the probes of the iterative solver may cost.
OF_PROBES = 2.0
# They tell the traces where there are so many rows for each effect.
FEW_EFFECTS = 3


def check(name, model, problem, told):
    """Whatever goes through one door, with warnings of this package only.

    `told` is the text of the warnings of the fit.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        DOORS[name](model, problem, told)
    laws.assert_calm(caught)


def asked(question, *args, **kwargs):
    """The answer, or None where it is refused clearly."""
    try:
        return question(*args, **kwargs)
    except (ValueError, TypeError) as error:
        laws.assert_clear(error)
        return None


def some_rows(table, rows):
    """Some rows of anything that has rows; None of None."""
    if table is None:
        return None
    if isinstance(table, list):
        return [table[j] for j in rows]
    if hasattr(table, "iloc"):
        return table.iloc[rows]
    if sparse.issparse(table):
        return table.tocsr()[rows].asformat(table.format)
    if hasattr(table, "take") and not isinstance(table, np.ndarray):
        return table.take(rows)
    return table[rows]


def assert_finite(**figures):
    """All these arrays are finite."""
    for name, values in figures.items():
        assert np.isfinite(values).all(), f"{name}: {values}"


def has_maximum(model, told):
    """Whether the fit claims to be a maximum of a criterion: REML with a ridge has none
    (docs/math.md, section 11.6).
    """
    words = "exactly", "no maximum", "beyond", "no degrees of freedom"
    if any(some in told for some in words):
        return False
    return model.converged_ and not (model.alpha and model.method == "reml")


def has_more_rows_than_parameters(model, problem):
    """Else there are many optima, and rounding decides to which of them a way leads."""
    n_parameters = 1 + len(model.coef_) + int(model.fit_intercept)
    for Psi in model.random_effects_covariance_.values():
        n_parameters += len(Psi) * (len(Psi) + 1) // 2
    return len(problem.y) > n_parameters


def variances_of_effects(model, problem):
    """Sizes of the columns of every factor's effects, and the largest variance that one
    of all these effects adds to a row: ({factor: (q,)}, float).
    """
    sizes, largest = {}, 0.0
    terms = zip(problem.story["terms"], model.random_effects_covariance_, strict=True)
    for (columns, intercept, _), factor in terms:
        size = np.abs(problem.dense[:, list(columns)]).max(axis=0, initial=0)
        sizes[factor] = size = np.append(np.ones(int(intercept)), size)
        variance = np.diag(model.random_effects_covariance_[factor]) * size * size
        largest = max(largest, variance.max())
    return sizes, largest


def rounding_of_effects(model, problem):
    """The error that rounding may leave in a conditional variance, {factor: (q,)}.

    Where levels coincide, an effect is what is left of others that may be far larger.
    """
    sizes, largest = variances_of_effects(model, problem)
    return {
        factor: OF_VARIANCES * largest / np.where(size > 0, size, np.inf) ** 2
        for factor, size in sizes.items()
    }


# -------------------------------------------------------------------------------- doors


def by_batches(model, problem, told):
    """Random batches give the fit of all rows."""
    rng = np.random.default_rng(problem.story["seed"])
    rows, batched = rng.permutation(len(problem.y)), clone(problem.estimator)
    for batch in np.array_split(rows, rng.integers(1, 5)):
        if not len(batch):
            continue
        data = {name: some_rows(value, batch) for name, value in problem.data.items()}
        if asked(batched.partial_fit, **data) is None:
            return
    assert batched.n_features_in_ == model.n_features_in_
    known = {"X": problem.X, "groups": problem.groups}
    mean, std = batched.predict(**known, return_std=True)
    assert_finite(mean=mean, std=std)
    assert (std > 0).all()
    gap = batched.log_likelihood_ - model.log_likelihood_
    regular = has_maximum(model, told) and has_more_rows_than_parameters(model, problem)
    regular = regular and batched.converged_ and not loses_digits(problem)
    # Beside a way without bound there are many optima, and rounding decides.
    if regular and not is_unbounded(criterion_of(model, problem)[0]):
        n = 1 + np.sum(problem.weight if problem.weight is not None else len(rows))
        # Sums have the digits of y, whose effects may be 1e12 times the noise.
        scale = np.var(problem.y / np.sqrt(model.noise_variance_))
        most = max(OF_SUMS, OF_Y * scale) * max(n, len(rows))
        assert abs(gap) <= most, f"batches are {gap:.3g} higher"


def loses_digits(problem):
    """Whether columns far from zero are counted in cross-products of rows."""
    return "offset" in problem.story["columns"]


def by_iterations(model, problem, _):
    """The iterative solver ends near the optimum, and its predictions are finite."""
    estimator = clone(problem.estimator).set_params(solver="iterative")
    other = asked(estimator.fit, **problem.data)
    if other is None:
        return
    known = {"X": problem.X, "groups": problem.groups}
    for groups in (problem.groups, None):
        figures = other.predict(problem.X, groups=groups, return_std=True)
        assert_finite(predictions=figures)
        assert (figures[1] > 0).all()
    assert_finite(draws=other.sample_y(**known))
    str(other.summary())
    ordinary = not any(problem.story["units"]) and problem.story["target"] == "model"
    if np.isfinite(other.log_likelihood_) or not (ordinary and other.converged_):
        return
    effects = model.random_effects_.values()
    n_effects = sum(modes.size for modes in effects)
    if FEW_EFFECTS * n_effects > len(problem.y):  # probes tell next to nothing
        return
    # Without values it takes any root of the score, of which there are several where
    # levels are no more than their effects.
    if any(len(modes) <= modes.shape[1] for modes in effects):
        return
    if model.alpha and model.method == "reml":
        return
    criterion, roots, gamma = criterion_of(model, problem)
    if criterion.Q.shape[1] >= len(criterion.y):
        return
    gap = criterion.exactly(roots, gamma)[0]
    gap -= criterion.exactly(criterion_of(other, problem)[1], gamma)[0]
    assert gap <= OF_PROBES, f"the iterative solver is {gap:.3g} lower"


def by_intervals(model, problem, told):
    """Intervals of observations of every distribution, and sums of them.

    Two ways to a variance agree to the rounding of that of the effects, but of an exact
    fit, of which the data leave nothing else, and of a search that came to no end.
    """
    known = {"X": problem.X, "groups": problem.groups}
    mean, std = model.predict(**known, return_std=True)
    for distribution in ("normal", "t", "integrated"):
        for coverage in (0.5, 0.999):
            how = {"coverage": coverage, "distribution": distribution}
            ends = asked(model.predict_interval, **known, **how)
            if ends is None:
                continue
            # With a hundredth of a degree of freedom an end is beyond double precision.
            assert not np.isnan(ends).any(), distribution
            if distribution == "normal":
                assert_finite(normal=ends)
            low, high = ends.T
            assert (low <= high).all(), distribution
            if distribution != "integrated":
                assert (low <= mean).all(), distribution
                assert (mean <= high).all(), distribution
            sums = asked(model.predict_interval, **known, **how, average=True)
            assert sums is None or sums[0] <= sums[1]
    for factor in model.random_effects_:
        for distribution in ("normal", "integrated"):
            ends = asked(
                model.random_effects_interval, factor, distribution=distribution
            )
            if ends is not None:
                assert_finite(ends=ends)
                assert (ends[..., 0] <= ends[..., 1]).all()
        model.random_effects_table(factor, total=True).to_frame()
    draws = asked(model.sample_y, **known, distribution="integrated")
    assert draws is None or np.isfinite(draws).all()
    density = {"y": problem.y, "distribution": "integrated"}
    value = asked(model.log_predictive_density, **known, **density)
    assert value is None or not np.isnan(value)
    covariance = asked(model.predict, **known, return_cov=True)
    if covariance is not None:
        lost = OF_VARIANCES * variances_of_effects(model, problem)[1]
        gap = np.abs(np.diag(covariance[1]) - std**2)
        near = (gap <= 2 * SAME_STD * std**2 + lost).all()
        assert "exactly" in told or not model.converged_ or near, gap.max()


def by_factors(model, problem, _):
    """Means of some factors: all of them are the mean, and none is the population."""
    known = {"X": problem.X, "groups": problem.groups}
    names = list(model.random_effects_)
    every = model.predict_mean(**known, factors=names, return_std=True)
    default = model.predict_mean(**known, return_std=True)
    assert np.array_equal(every, default)
    mean, std = model.predict_mean(problem.X, factors=[], return_std=True)
    assert_finite(mean=mean, std=std)
    for k in range(len(names)):
        figures = model.predict_mean(**known, factors=names[k:], return_std=True)
        assert_finite(figures=figures)
        assert (figures[1] >= 0).all()


def by_tests(model, problem, _):
    """Summaries and contrasts."""
    rng = np.random.default_rng(problem.story["seed"])
    p = 1 + model.n_features_in_
    for coverage in (0.5, 0.99):
        summary = asked(model.summary, coverage)
        if summary is not None:
            assert "nan" not in str(summary.coefficients).lower()
            summary.coefficients.to_frame(), summary.variance_components.to_frame()
            summary._repr_html_()
    asked(model.summary, distribution="integrated")
    for L in (np.eye(p)[rng.integers(p)], rng.normal(size=(min(2, p), p))):
        L = L * np.append(model.fit_intercept, np.ones(p - 1))
        found = asked(contrast, model, L)
        if found is not None:
            str(found)
            assert not np.isnan(found.f_statistic), found
            assert np.isnan(found.p_value) or 0 <= found.p_value <= 1, found
    none = clone(problem.estimator).set_params(random_effects="")
    smaller = asked(none.fit, **problem.data)
    if smaller is not None:
        found = asked(likelihood_ratio_test, smaller, model)
        assert found is None or 0 <= found.p_value <= 1


def by_updates(model, problem, told):
    """Further rows of the same levels: what is known of them does not become less, but
    of an exact fit, beside whose noise all that is left of variances is rounding.
    """
    updated = copy.copy(model)
    data = {"X": problem.X, "groups": problem.groups}
    if asked(updated.update_random_effects, y=problem.y, **data) is None:
        return
    lost = {f: np.sqrt(v) for f, v in rounding_of_effects(model, problem).items()}
    for factor, after in updated.random_effects_conditional_std_.items():
        assert_finite(after=after)
        known = np.isin(updated.groups_[factor], model.groups_[factor])
        before = model.random_effects_conditional_std_[factor]
        most = before * (1 + SAME_STD) + SAME_STD * before.max() + lost[factor]
        assert "exactly" in told or (after[known] <= most).all(), factor
    mean, std = updated.predict(**data, return_std=True)
    assert_finite(mean=mean, std=std)
    assert (std > 0).all()


def by_profiles(model, problem, _):
    """Profile intervals hold the estimates."""
    names = ["noise_std", "intercept"] if model.fit_intercept else ["noise_std"]
    found = asked(model.profile_intervals, parameters=names)
    if found is None:
        return
    low, high = found["noise_std"]
    estimate = np.sqrt(model.noise_variance_)
    assert np.isnan(low) or low <= estimate * (1 + SAME_STD), (low, estimate)
    assert np.isnan(high) or estimate <= high * (1 + SAME_STD), (high, estimate)


def by_other_models(model, problem, _):
    """A regressor that finds nothing leaves the model with a random intercept."""
    labels = problem.story["table"] == "column"
    if not labels or model.alpha or not hasattr(model, "noise_variance_"):
        return
    linear = LinearMixedRegressor(method=model.method)
    linear = asked(linear.fit, **problem.data)
    mixed = MixedEffectsRegressor(
        DummyRegressor(),
        group_level=False,
        cv=2,
        method=model.method,
        random_state=0,
        verbose=0,
    )
    mixed = asked(mixed.fit, **problem.data)
    if linear is None or mixed is None:
        return
    known = {"X": problem.X, "groups": problem.groups}
    figures = np.array(mixed.predict(**known, return_std=True))
    assert_finite(figures=figures)
    assert_finite(new=mixed.predict(problem.X, return_std=True))
    if not any(problem.story["units"]) and problem.story["target"] == "model":
        expected = np.array(linear.predict(**known, return_std=True))
        scale = expected[1].max() + np.abs(expected[0]).max()
        # Groups without weight are new, and the regressor knows nothing of these.
        (codes,), n = problem.codes, len(problem.y)
        weight = np.ones(n) if problem.weight is None else problem.weight
        told = np.bincount(codes, weight)[codes] > 0
        worst = np.abs(figures - expected)[:, told].max() / scale
        assert worst < 1e-3, f"differs from the linear mixed model by {worst:.2g}"


DOORS = {
    "batches": by_batches,
    "iterations": by_iterations,
    "intervals": by_intervals,
    "factors": by_factors,
    "tests": by_tests,
    "updates": by_updates,
    "profiles": by_profiles,
    "other models": by_other_models,
}
