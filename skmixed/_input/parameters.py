"""The checks of constructor and method parameters, and the package's warnings."""

import inspect
import numbers
import warnings
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from .labels import (
    GroupsWarning,
    PopulationPredictionWarning,
    join_labels,
    rounded_labels,
)
from .messages import forgotten_message

METHODS = "reml", "ml"

PACKAGE = __name__.split(".")[0]


def warn(message, category=GroupsWarning):
    """Warn, with the line that called the package as the place of the warning."""
    frame, level = inspect.currentframe(), 1
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] == PACKAGE:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def warn_all(messages):
    """Warn of each (message, category) once."""
    for message, category in dict.fromkeys(messages):
        warn(message, category)


def warn_of_rounding(labels, column=None):
    """Warn where labels are integers that their type has rounded."""
    message = rounded_labels(labels, column)
    if message is not None:
        warn(message)


def warn_of_forgotten(known, fitted, update):
    """Warn of labels that updates, by a method of that name, had made known, and that
    are not among those of the rows of a fit; both are by label columns.
    """
    pairs = zip(known, fitted, strict=True)
    n_lost = [len(join_labels(b, a, any_kind=True)[0]) - len(b) for a, b in pairs]
    if any(n_lost):
        warn(forgotten_message(max(n_lost), update))


_population_is_meant = ContextVar("population_is_meant", default=False)


@contextmanager
def population_is_meant():
    """Predictions inside are silent where they get no `groups`: whoever asks for them
    has said so, or says it by another warning.
    """
    token = _population_is_meant.set(True)
    try:
        yield
    finally:
        _population_is_meant.reset(token)


def warn_of_population(n_groups, names=()):
    """Warn that a model that knows groups, by label columns of these names, is asked
    without `groups`.
    """
    missing = "`groups=np.full(len(X), None)`"
    if len(names) > 1:
        missing = f"a table whose columns {', '.join(map(repr, names))} are None"
    if n_groups and not _population_is_meant.get():
        warn(
            f"Fitted with {n_groups} group{'s' * (n_groups > 1)}, asked without "
            "`groups`: every row is predicted as a new group of its own. Pass "
            f"`groups`, or {missing} for new groups. Where a tool "
            "of scikit-learn drops them, take the scorers of skmixed.metrics, the "
            "functions of skmixed.model_selection, or a label column in X.",
            PopulationPredictionWarning,
        )


def check_coverage(coverage):
    """Refuse a value that is no probability between 0 and 1."""
    real = isinstance(coverage, numbers.Real) and not isinstance(coverage, bool)
    if not real or not 0 < coverage < 1 or 0.5 + coverage / 2 == 1:
        raise ValueError(
            f"coverage is a probability between 0 and 1, got {coverage!r}."
        )


def check_choice(value, name, offered):
    """Refuse a value that is none of those that are offered, text or None."""
    is_one = value is None or isinstance(value, str)
    if not is_one or value not in offered:
        names = f"{', '.join(map(repr, offered[:-1]))} or {offered[-1]!r}"
        raise ValueError(f"{name} is {names}, got {value!r:.60}.")


def check_distribution(distribution, offered):
    """One of the distributions that are offered."""
    check_choice(distribution, "distribution", offered)


def check_common(estimator):
    """Refuse wrong values of the parameters that every linear model has."""
    check_choice(estimator.method, "method", METHODS)
    check_flag(estimator.fit_intercept, "fit_intercept")
    check_nonnegative(estimator.alpha, "alpha")
    check_jobs(estimator.n_jobs)


def check_nonnegative(value, name):
    """`value` as a float; refuses all but finite numbers of at least 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value < np.inf:
        raise ValueError(f"{name} is a finite number of at least 0, got {value!r}.")
    return float(value)


def check_flag(value, name):
    """Refuse a value that is neither True nor False."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is True or False, got {value!r}.")


def check_jobs(n_jobs):
    """Refuse a value that is neither None nor a whole number other than 0."""
    whole = isinstance(n_jobs, numbers.Integral) and not isinstance(n_jobs, bool)
    if n_jobs is not None and not (whole and n_jobs != 0):
        raise ValueError(f"n_jobs is None or an integer other than 0, got {n_jobs!r}.")


def check_count(value, name):
    """A positive whole number."""
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or value < 1:
        raise ValueError(f"{name} is a positive integer, got {value!r}.")


def check_group_features(value):
    """None or a list of names or indices of columns."""
    if value is None:
        return
    if isinstance(value, (str, bytes, dict)) or not hasattr(value, "__len__"):
        raise TypeError(
            "group_features is a list of names or indices of columns of X, got "
            f"{value!r:.60}."
        )
    if not len(value):
        raise ValueError(
            "group_features is empty; None means that labels are passed as `groups`."
        )
