"""Interrupts, and other threads, at every line of the package: is a model ever left
between two states?

    python docs/studies/faults.py [points]        (default 100 of each case)

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

import numpy as np

import skmixed
from skmixed import HeteroscedasticGaussianRegressor, RandomInterceptRegressor

PACKAGE = str(Path(skmixed.__file__).parent)
ESTIMATORS = ("_estimator.py", "random_intercept.py", "heteroscedastic.py")


def at_line(number, act, call, visited=None):
    """What `call` returns; at its line `number` in the package, `act` is called.

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


def fit(model, rows):
    """`fit` to rows."""
    return model.fit(*rows[:2], groups=rows[2])


def partial_fit(model, rows):
    """`partial_fit` to rows."""
    return model.partial_fit(*rows[:2], groups=rows[2])


def update(model, rows):
    """`update_random_intercepts` with rows."""
    return model.update_random_intercepts(*rows[:2], groups=rows[2])


def prediction(model):
    """Means and standard deviations of rows of known and of new groups."""
    return np.array(model.predict(LATER[0], groups=LATER[2], return_std=True))


def draws(model):
    """Draws of the same rows."""
    return model.sample_y(LATER[0], groups=LATER[2])


def density(model):
    """The joint density of the same rows."""
    return model.log_predictive_density(LATER[0], LATER[1], groups=LATER[2])


def stored(model):
    """A prediction of the model that comes back from a pickle."""
    return prediction(pickle.loads(pickle.dumps(model)))


def covariance(model):
    """The joint prediction of the same rows."""
    mean, cov = model.predict(LATER[0], groups=LATER[2], return_cov=True)
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
}


def changes(model):
    """What can change a model."""
    yield fit
    if hasattr(model, "partial_fit"):
        yield partial_fit
    if getattr(model, "mean_groups", "random") == "random":
        yield update


def questions(model):
    """What can be asked of a model."""
    yield from (prediction, covariance, draws, density, stored, summary)
    if hasattr(model, "profile_intervals") and not model.alpha:
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
    fitted = fit(deepcopy(model), OLD)
    before, after = state(fitted), state(change(deepcopy(fitted), NEW))
    told = prediction(fitted)
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: change(one, NEW), n_points, rng)
    failures = []
    for point in points:
        one = deepcopy(fitted)
        with suppress(error):
            at_line(point, fault(error), partial(change, one, NEW))
            raise AssertionError(f"The fault at line {point} went unnoticed.")
        now = state(one)
        if now == after:
            continue
        right = now == before and np.array_equal(prediction(one), told)
        if not right or state(change(one, NEW)) != after:
            failures.append(point)
    return n_lines, len(points), failures


def interrupted_questions(model, ask, n_points, rng, error=KeyboardInterrupt):
    """The same of questions, which change nothing."""
    fitted = fit(deepcopy(model), OLD)
    before, told = state(fitted), ask(deepcopy(fitted))
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
    fitted = fit(deepcopy(model), OLD)
    told = ask(fitted), ask(change(deepcopy(fitted), NEW))
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: change(one, NEW), n_points, rng)
    failures = []
    for point in points:
        one, heard = deepcopy(fitted), []
        at_line(point, partial(hear, heard, ask, one), partial(change, one, NEW))
        if not any(np.array_equal(heard[0], answer) for answer in told):
            failures.append(point)
    return n_lines, len(points), failures


def changes_amid(model, ask, change, n_points, rng):
    """Lines, points and failures of changes in the midst of a question."""
    fitted = fit(deepcopy(model), OLD)
    told = ask(fitted), ask(change(deepcopy(fitted), NEW))
    one = deepcopy(fitted)
    n_lines, points = some_lines(lambda: ask(one), n_points, rng)
    failures = []
    for point in points:
        one = deepcopy(fitted)
        try:
            heard = at_line(point, partial(change, one, NEW), partial(ask, one))
        except (AttributeError, IndexError, KeyError, RuntimeError, ValueError):
            heard = None
        if not any(np.array_equal(heard, answer) for answer in told):
            failures.append(point)
    return n_lines, len(points), failures


def cases(n_points, rng):
    """(what, model, counts) of all cases."""
    for name, model in MODELS.items():
        for change in changes(model):
            for error in (KeyboardInterrupt, MemoryError):
                label = f"{error.__name__} in {change.__name__}"
                yield (
                    label,
                    name,
                    interrupted_changes(model, change, n_points, rng, error),
                )
            for ask in (prediction, stored, summary):
                label = f"{ask.__name__} amid {change.__name__}"
                yield label, name, questions_amid(model, ask, change, n_points, rng)
            for ask in questions(model):
                label = f"{change.__name__} amid {ask.__name__}"
                yield label, name, changes_amid(model, ask, change, n_points, rng)
        for ask in questions(model):
            label = f"KeyboardInterrupt in {ask.__name__}"
            yield label, name, interrupted_questions(model, ask, n_points, rng)


def main(n_points):
    """Print a table of all cases."""
    print(f"{'':38}{'':20}{'lines':>7}{'tried':>7}{'failures':>10}")
    total = np.zeros(2, int)
    for label, name, (n_lines, tried, failures) in cases(
        n_points, np.random.default_rng(0)
    ):
        total += tried, len(failures)
        print(f"{label:38}{name:20}{n_lines:7}{tried:7}{len(failures):10}", flush=True)
    print(f"{'all':65}{total[0]:7}{total[1]:10}")


if __name__ == "__main__":
    warnings.simplefilter("error")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
