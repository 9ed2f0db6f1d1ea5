"""Interrupts, and other threads, at every line of the package: is a model ever left
between two states?

    python docs/studies/faults.py [points model ...]        (default 100 of each case)

A tracer counts the lines that a call executes inside skmixed.  At the k-th one it
raises KeyboardInterrupt (or MemoryError), or does what another thread could do just
then: predict from the model that is being changed, change the model that predicts.
The tables say how many lines there are, at how many of them this was tried, and how
often something was neither as before the call nor as after it.
"""

import pickle
import sys
import warnings
from contextlib import suppress
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LinearRegression

import skmixed
from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomInterceptRegressor,
)

PACKAGE = str(Path(skmixed.__file__).parent)
ESTIMATORS = (
    "_estimator.py",
    "random_intercept.py",
    "heteroscedastic.py",
    "linear_mixed.py",
    "mixed_effects.py",
)


def at_line(number, act, call, visited=None):
    """The result of `call`; at its line `number` in the package, `act` is called.

    `visited` collects the places of all lines before.
    """
    lines = 0

    def on_line(frame, event, argument):
        nonlocal lines
        if event == "line":
            lines += 1
            if visited is not None:
                visited.append((frame.f_code.co_filename, frame.f_lineno))
            if lines == number:
                act()
        return on_line

    def on_call(frame, event, argument):
        return on_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        return call()
    finally:
        sys.settrace(before)


def some_lines(call, n_points, rng):
    """How many lines `call` executes, and the numbers of some of them.

    Half of these are drawn from the last visits to every line of the estimators, which
    hold the state; the others from all lines, and the last five are always there.
    """
    visited = []
    at_line(None, None, call, visited)
    n_lines = len(visited)
    if n_lines <= n_points:
        return n_lines, range(1, n_lines + 1)
    last = {
        place: number
        for number, place in enumerate(visited, 1)
        if place[0].endswith(ESTIMATORS)
    }
    last = rng.permutation(list(last.values()))[: n_points // 2]
    rest = rng.integers(1, n_lines + 1, max(n_points - len(last) - 5, 0))
    end = range(n_lines - 4, n_lines + 1)
    return n_lines, sorted({*last.tolist(), *rest.tolist(), *end})


def simulate(n_groups=6, n=60, seed=0):
    """Rows (X, y, groups) of a random-intercept model."""
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.arange(n) % n_groups)
    X = rng.normal(size=(n, 2))
    y = X.sum(axis=1) + 2 * rng.normal(size=n_groups)[groups] + rng.normal(size=n)
    return X, y, groups


OLD, NEW, LATER = simulate(), simulate(8, 50, seed=1), simulate(9, 30, seed=2)


class Sets(NamedTuple):
    """Rows of the first fit, of a change, and of a prediction."""

    old: tuple
    new: tuple
    later: tuple


FEW = Sets(OLD, NEW, LATER)
# A search of 100 rows or more has one start.
MORE = Sets(simulate(n=110), simulate(8, 100, seed=1), LATER)


def crossing(rows):
    """Rows with labels of two factors that cross."""
    X, y, groups = rows
    return X, y, np.column_stack([groups, np.arange(len(y)) % 5])


def sets_of(model):
    """The rows that a model is tried with."""
    if not isinstance(model, LinearMixedRegressor):
        return FEW
    if "g1" in model.random_effects:
        return Sets(*map(crossing, MORE))
    return MORE


def fit(model, rows):
    """`fit` to rows."""
    return model.fit(*rows[:2], groups=rows[2])


def partial_fit(model, rows):
    """`partial_fit` to rows."""
    return model.partial_fit(*rows[:2], groups=rows[2])


def update(model, rows):
    """`update_random_intercepts` or `update_random_effects` with rows."""
    if isinstance(model, LinearMixedRegressor):
        return model.update_random_effects(*rows[:2], groups=rows[2])
    return model.update_random_intercepts(*rows[:2], groups=rows[2])


def has_batches(model):
    """Whether `partial_fit` is there, and the noise not modelled."""
    return hasattr(model, "partial_fit") and not getattr(model, "variance_features", ())


def begun(model):
    """A copy that is fitted to the first rows, so that batches can be added."""
    first = partial_fit if has_batches(model) else fit
    return first(deepcopy(model), sets_of(model).old)


def prediction(model):
    """Means and standard deviations of rows of known and of new groups."""
    X, _, groups = sets_of(model).later
    return np.array(model.predict(X, groups=groups, return_std=True))


def means(model):
    """Expected y of the same rows, and its standard deviation."""
    X, _, groups = sets_of(model).later
    return np.array(model.predict_mean(X, groups=groups, return_std=True))


def draws(model):
    """Draws of the same rows."""
    X, _, groups = sets_of(model).later
    return model.sample_y(X, groups=groups)


def density(model):
    """The joint density of the same rows."""
    X, y, groups = sets_of(model).later
    return model.log_predictive_density(X, y, groups=groups)


def stored(model):
    """A prediction of the model that comes back from a pickle."""
    return prediction(pickle.loads(pickle.dumps(model)))


def covariance(model):
    """The joint prediction of the same rows."""
    X, _, groups = sets_of(model).later
    mean, cov = model.predict(X, groups=groups, return_cov=True)
    return np.vstack([mean, cov])


def summary(model):
    """The text of the summary."""
    return str(model.summary())


def intervals(model):
    """Profile-likelihood intervals."""
    return np.vstack([np.atleast_2d(v) for v in model.profile_intervals().values()])


MODELS = {
    "random intercept": RandomInterceptRegressor(),
    "... ridge, ML": RandomInterceptRegressor(method="ml", alpha=1.0),
    "heteroscedastic": HeteroscedasticGaussianRegressor(),
    "... both fixed": HeteroscedasticGaussianRegressor(
        mean_groups="fixed", variance_groups="fixed"
    ),
    "... random, fixed": HeteroscedasticGaussianRegressor(variance_groups="fixed"),
    "slopes": LinearMixedRegressor("(x0 | g0)"),
    "crossed": LinearMixedRegressor("(1 | g0) + (1 | g1)"),
    "... iterative": LinearMixedRegressor("(1 | g0) + (1 | g1)", solver="iterative"),
    "modelled noise": LinearMixedRegressor("(1 | g0)", variance_features=[0]),
    "any regressor": MixedEffectsRegressor(LinearRegression(), cv=3, random_state=0),
}


def changes(model):
    """Calls that change a model."""
    yield fit
    if has_batches(model):
        yield partial_fit
    if getattr(model, "mean_groups", "random") == "random":
        yield update


def questions(model):
    """Questions to a model."""
    yield from (prediction, stored, covariance, draws, density)
    if hasattr(model, "predict_mean"):
        yield means
    if hasattr(model, "summary"):
        yield summary
    if isinstance(model, RandomInterceptRegressor) and not model.alpha:
        yield intervals


def state(model):
    """All that a stored model keeps, bit by bit."""
    kept = model.__getstate__()
    return {name: pickle.dumps(value) for name, value in kept.items()}


def fault(error):
    """A function that raises."""

    def act():
        raise error

    return act


def hear(answers, ask, model):
    """Note the answer to a question."""
    answers.append(ask(model))


def interrupted_changes(model, change, n_points, rng, error=KeyboardInterrupt):
    """Lines, points and failures of changes that are interrupted, then done again."""
    fitted = begun(model)
    # A copy is pickled with fewer references than what is shared in the original.
    before = state(deepcopy(fitted))
    after = state(change(deepcopy(fitted), sets_of(model).new))
    told = prediction(fitted)
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: change(one, sets_of(model).new), n_points, rng)
    failures = []
    for point in points:
        one = deepcopy(fitted)
        with suppress(error):
            at_line(point, fault(error), partial(change, one, sets_of(model).new))
            raise AssertionError(f"The fault at line {point} went unnoticed.")
        now = state(one)
        if now == after:
            continue
        right = now == before and np.array_equal(prediction(one), told)
        if not right or state(change(one, sets_of(model).new)) != after:
            failures.append(point)
    return n_lines, len(points), failures


def interrupted_questions(model, ask, n_points, rng, error=KeyboardInterrupt):
    """The same of questions, which change nothing."""
    fitted = begun(model)
    before, told = state(deepcopy(fitted)), ask(deepcopy(fitted))
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: ask(one), n_points, rng)
    failures = []
    for point in points:
        one = deepcopy(fitted)
        with suppress(error):
            at_line(point, fault(error), partial(ask, one))
            raise AssertionError(f"The fault at line {point} went unnoticed.")
        if state(one) != before or not np.array_equal(ask(one), told):
            failures.append(point)
    return n_lines, len(points), failures


def questions_amid(model, ask, change, n_points, rng):
    """Lines, points and failures of questions in the midst of a change."""
    fitted = begun(model)
    # A copy does not keep the rows that integrated distributions read.
    told = ask(deepcopy(fitted)), ask(change(deepcopy(fitted), sets_of(model).new))
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: change(one, sets_of(model).new), n_points, rng)
    failures = []
    for point in points:
        one, heard = deepcopy(fitted), []
        at_line(
            point,
            partial(hear, heard, ask, one),
            partial(change, one, sets_of(model).new),
        )
        if not any(np.array_equal(heard[0], answer) for answer in told):
            failures.append(point)
    return n_lines, len(points), failures


def changes_amid(model, ask, change, n_points, rng):
    """Lines, points and failures of changes in the midst of a question."""
    fitted = begun(model)
    # A copy does not keep the rows that integrated distributions read.
    told = ask(deepcopy(fitted)), ask(change(deepcopy(fitted), sets_of(model).new))
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: ask(one), n_points, rng)
    failures = []
    for point in points:
        one = deepcopy(fitted)
        try:
            heard = at_line(
                point, partial(change, one, sets_of(model).new), partial(ask, one)
            )
        except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):
            heard = None
        if not any(np.array_equal(heard, answer) for answer in told):
            failures.append(point)
    return n_lines, len(points), failures


def cases(n_points, rng, names):
    """(what, model, counts) of all cases of some models."""
    for name in names:
        model = MODELS[name]
        for change in changes(model):
            for error in (KeyboardInterrupt, MemoryError):
                label = f"{error.__name__} in {change.__name__}"
                yield (
                    label,
                    name,
                    interrupted_changes(model, change, n_points, rng, error),
                )
            for ask in [
                q for q in questions(model) if q in (prediction, stored, summary)
            ]:
                label = f"{ask.__name__} amid {change.__name__}"
                yield label, name, questions_amid(model, ask, change, n_points, rng)
            for ask in questions(model):
                label = f"{change.__name__} amid {ask.__name__}"
                yield label, name, changes_amid(model, ask, change, n_points, rng)
        for ask in questions(model):
            label = f"KeyboardInterrupt in {ask.__name__}"
            yield label, name, interrupted_questions(model, ask, n_points, rng)


def main(n_points=100, *names):
    """Print a table of all cases, of some models or all of them."""
    print(f"{'':38}{'':20}{'lines':>7}{'tried':>7}{'failures':>10}")
    total = np.zeros(2, int)
    for label, name, (n_lines, tried, failures) in cases(
        n_points, np.random.default_rng(0), names or MODELS
    ):
        total += tried, len(failures)
        print(f"{label:38}{name:20}{n_lines:7}{tried:7}{len(failures):10}", flush=True)
    print(f"{'all':65}{total[0]:7}{total[1]:10}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(*map(int, sys.argv[1:2]), *sys.argv[2:])
