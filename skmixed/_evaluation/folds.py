"""Folds of a cross-validation: rows, splits, and the work of one fold.

Groups go where they are asked for, whatever `enable_metadata_routing` says.
"""

import sys
import time
from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import column_or_1d, indexable
from sklearn.utils.metadata_routing import get_routing_for_object
from sklearn.utils.parallel import Parallel, delayed

from .._estimator import GaussianRegressor, fit_of, read_new
from .._input.any_table import take_rows
from .._input.label_table import combine, index_columns, open_table
from .._input.labels import check_present, index_groups
from .._input.parameters import population_is_meant
from .._input.table import check_table, read_column
from .._likelihood.normal import nll_per_row, normal_covers, normal_crps, normal_nll
from .any_model import (
    check_gives_std,
    fit_clone,
    gives_std,
    joint_log_density,
    predict_distribution,
    predict_mean,
    requested,
    requested_keys,
    unwrap,
    warn_of_lost_labels,
)
from .comparison import SCORES

REPORT_EVERY = 10.0  # seconds
ONE_FACTOR = "groups"  # the name of the factor where there is one


@dataclass(frozen=True)
class Observations:
    """Rows of a cross-validation.

    Attributes
    ----------
    X : array-like of shape (n_rows, n_features)
        As the user passed it.
    y : ndarray of shape (n_rows,)
    metadata : dict
        All that `fit` may request, `groups` among it.
    factors : dict of str to ndarray of shape (n_rows,)
        Codes of the rows' labels, by factor; one factor is called "groups".
    """

    X: object
    y: np.ndarray
    metadata: dict
    factors: dict = field(default_factory=dict)

    @property
    def is_table(self):
        """Whether there are several factors."""
        return len(self.factors) > 1

    def take(self, rows):
        """Some of the rows, by position."""
        n = len(self.y)
        metadata = {
            name: take_rows(value, rows) if _is_per_row(value, n) else value
            for name, value in self.metadata.items()
        }
        factors = {name: codes[rows] for name, codes in self.factors.items()}
        return Observations(take_rows(self.X, rows), self.y[rows], metadata, factors)


def read_sample(X, y, groups, params):
    """The rows that the user passed, as `Observations`."""
    check_table(X)
    X, y = indexable(X, column_or_1d(read_column(y, "y")))
    if params and "groups" in params:
        raise TypeError("params has 'groups'; pass them as groups=, not in params.")
    if groups is not None and (table := label_table(groups, len(y))):
        codes = {name: factor_codes(table, name) for name in table.names}
        return Observations(X, y, {"groups": groups, **(params or {})}, codes)
    index = index_present(groups, len(y))
    metadata = {"groups": index.labels[index.codes], **(params or {})}
    return Observations(X, y, metadata, {ONE_FACTOR: index.codes})


def label_table(groups, n_rows):
    """A `LabelTable` of labels none of which is missing; None of a single column."""
    shape, first = getattr(groups, "shape", ()), None
    if isinstance(groups, list) and groups:
        first = groups[0]
    has_columns = any(hasattr(groups, name) for name in ("columns", "column_names"))
    is_wide = len(shape) == 2 or getattr(groups, "nlevels", 1) > 1
    fields = getattr(getattr(groups, "dtype", None), "names", None)
    if not (has_columns or is_wide or fields or isinstance(first, list)):
        return None
    columns = open_table(groups, n_rows)
    if not columns.is_table:
        return None
    table = index_columns(columns, range(len(columns.names)), n_rows)
    table.check_present()
    return table


def factor_codes(table, factor):
    """Codes (n_rows,) of a column of a table, or of a combination such as "a:b"."""
    names = [factor] if factor in table.names else factor.split(":")
    unknown = [name for name in names if name not in table.names]
    if unknown:
        raise ValueError(
            f"new={factor!r} names the label column {unknown[0]!r}, which is not among "
            f"those of `groups`, {list(table.names)}."
        )
    columns = [table.columns[table.names.index(name)] for name in names]
    codes = np.column_stack([column.codes for column in columns])
    return combine(codes, [len(column) for column in columns])[1]


def index_present(groups, n_rows):
    """The index of labels none of which is missing."""
    if groups is None:
        raise ValueError("`groups` is None; the split needs one label per row.")
    index = index_groups(groups, n_rows)
    check_present(index)
    return index


def n_rows_of(X):
    """Number of rows of an array, a sparse matrix, a list, or a frame."""
    return X.shape[0] if hasattr(X, "shape") else len(X)


def check_params(sample, estimators, cvs):
    """Refuse metadata that nobody requests."""
    used = {"groups"} | {_split_key(cv) for cv in cvs}
    for estimator in estimators:
        used |= requested_keys(estimator, sample.metadata)
    unused = sorted(sample.metadata.keys() - used)
    if unused:
        raise TypeError(
            f"params has {', '.join(map(repr, unused))}, which no model requests; say "
            "who takes it, such as with set_fit_request(sample_weight=True) under "
            "enable_metadata_routing=True."
        )


def check_estimator(estimator, return_std=False):
    """Refuse an estimator that cannot be fitted, or gives no standard deviation."""
    if isinstance(estimator, type) or not hasattr(estimator, "fit"):
        raise TypeError(
            f"An estimator is an object with fit and predict, got {estimator!r:.60}"
            + (": make one, with ()." if isinstance(estimator, type) else ".")
        )
    while isinstance(estimator, Pipeline):
        estimator = estimator[-1]
    is_plain = not hasattr(estimator, "get_params") or not any(
        hasattr(value, "fit") for value in estimator.get_params().values()
    )
    if return_std and is_plain:  # else its predictions tell
        check_gives_std(estimator)


def make_splits(cv, sample):
    """List of (train, test) row numbers; the splitter gets the groups it asks for."""
    if isinstance(cv, str) or not (hasattr(cv, "split") or hasattr(cv, "__iter__")):
        raise TypeError(
            "A cv is a number of folds, a cross-validator, or pairs of (train, test), "
            f"got {cv!r}."
        )
    key = _split_key(cv)
    if key not in sample.metadata:
        raise ValueError(
            f"The cross-validator requests {key!r} as its groups; pass them with "
            f"params={{{key!r}: ...}}."
        )
    groups, takes_groups = sample.metadata[key], _takes_groups(cv)
    if key == "groups" and sample.is_table:
        _check_splits_tables(cv, takes_groups, sample)
    elif key == "groups" and not _can_be_sorted(groups):
        groups = index_groups(groups, len(sample.y)).codes
    cv = check_cv(cv)
    if not takes_groups:
        groups = None
    splits = list(cv.split(sample.X, sample.y, groups))
    if not splits:
        raise ValueError("cv has no splits.")
    return [(_row_numbers(train), _row_numbers(test)) for train, test in splits]


def complete_splits(cv, sample):
    """List of (train, test) row numbers whose test rows are every row once."""
    splits = make_splits(cv, sample)
    tested = np.concatenate([test for _, test in splits])
    n = len(sample.y)
    if not np.array_equal(np.sort(tested), np.arange(n)):
        raise ValueError(
            f"The test sets of cv hold {len(tested)} rows, {len(np.unique(tested))} of "
            f"them different, of {n}; use a cv that tests every row once."
        )
    known = max(np.isin(test, train).sum() for train, test in splits)
    if known:
        raise ValueError(
            f"A fold of cv tests {known} rows that it is trained on, whose predictions "
            "are no held-out ones. Leave the test rows out of the training rows."
        )
    return splits


def unseen_share(splits, columns):
    """Share of the test rows with a label that is not in the training rows, given the
    codes of the labels of each factor.
    """
    unseen = [
        np.any([~np.isin(codes[test], codes[train]) for codes in columns], axis=0)
        for train, test in splits
    ]
    return float(np.mean(np.concatenate(unseen)))


def predict_fold(estimator, sample, train, test, return_std):
    """Predictions (n_test,) of the model fitted without them, or (2, n_test)."""
    model, new = _fit_fold(estimator, sample, train, test)
    predict = predict_distribution if return_std else predict_mean
    return predict(model, new.X, new.metadata)


def score_fold(estimator, sample, train, test, coverage, distribution="normal"):
    """All scores of one fold, a dict; NaN without a standard deviation."""
    model, new = _fit_fold(estimator, sample, train, test)
    y, std = new.y, None
    if gives_std(model):
        mean, std = predict_distribution(model, new.X, new.metadata)
    else:
        mean = predict_mean(model, new.X, new.metadata)
    scores = dict.fromkeys(SCORES, np.nan)
    scores["r2"] = r2_score(y, mean) if len(y) > 1 else np.nan
    scores["rmse"] = root_mean_squared_error(y, mean)
    if std is not None and (std > 0).all():  # a dummy's zeros are no distribution
        scores["nll"] = float(np.mean(normal_nll(y, mean, std)))
        if _gives_joint(model, len(y)):
            density = joint_log_density(model, new.X, y, new.metadata)
            scores["joint_nll"] = nll_per_row(density, len(y))
        scores["crps"] = float(np.mean(normal_crps(y, mean, std)))
        scores["coverage"] = float(np.mean(normal_covers(y, mean, std, coverage)))
    if distribution == "integrated" and isinstance(model, GaussianRegressor):
        scores |= _integrated_scores(model, new, coverage)
    return scores


def _gives_joint(model, n_rows):
    """Whether a model offers a joint distribution of so many rows."""
    fit = fit_of(model) if isinstance(model, GaussianRegressor) else None
    return n_rows <= getattr(fit, "most_joint_rows", np.inf)


def _integrated_scores(model, new, coverage):
    """Scores of the distribution that is integrated over the variances; none of a model
    that offers no such distribution.
    """
    used = requested(model, "predict", new.metadata)
    with population_is_meant():
        rows = read_new(model, new.X, used.get("groups"), new.y)
    if not rows.offers_integrated:
        return {}
    low, high = rows.integrated_interval(coverage).T
    y, n = rows.data.y, len(new.y)
    return {
        "nll": -float(np.mean(rows.integrated_row_density(y))),
        "joint_nll": nll_per_row(rows.integrated_log_density(y), n),
        "coverage": float(np.mean((low <= y) & (y <= high))),
    }


def run_all(calls, n_jobs, verbose, names=None):
    """``[function(*arguments) for function, *arguments in calls]``, several at a time;
    long work reports.

    An error gets a note with the call's name.
    """
    names = names or [f"fold {k}" for k in range(1, len(calls) + 1)]
    try:
        parallel = Parallel(n_jobs=n_jobs, return_as="generator")
    except ValueError:  # a backend that returns all at once
        parallel = Parallel(n_jobs=n_jobs)
    start = last = time.monotonic()
    results = []
    jobs = zip(names, calls, strict=True)
    for result in parallel(delayed(_run)(*job) for job in jobs):
        results.append(result)
        now = time.monotonic()
        left = (now - start) / len(results) * (len(calls) - len(results))
        if verbose and min(now - last, left) > REPORT_EVERY:
            last = now
            print(
                f"{len(results)} of {len(calls)} fits done, about {left:.0f} s left",
                file=sys.stderr,
            )
    return results


def _run(name, call):
    function, *arguments = call
    try:
        return function(*arguments)
    except Exception as error:
        error.add_note(f"This happened in {name}.")
        raise


def _fit_fold(estimator, sample, train, test):
    """The model fitted to the training rows, and the test rows as it sees them."""
    part, new = sample.take(train), sample.take(test)
    fitted = fit_clone(estimator, part.X, part.y, part.metadata)
    model, X = unwrap(fitted, new.X, new.metadata)
    warn_of_lost_labels(model, new.metadata)
    return model, replace(new, X=X)


def _split_key(cv):
    """Under which name a cross-validator requests its groups."""
    if not hasattr(cv, "get_metadata_routing"):
        return "groups"
    alias = get_routing_for_object(cv).split.requests.get("groups")
    return alias if isinstance(alias, str) else "groups"


def _can_be_sorted(labels):
    try:
        np.unique(labels)
    except (TypeError, ValueError):  # members of an Enum; numbers beside strings
        return False
    return True


def _check_splits_tables(cv, takes_groups, sample):
    """Refuse a splitter of scikit-learn, which splits by one column."""
    ours = type(cv).__module__.split(".")[0] != "sklearn"
    if takes_groups and not ours and hasattr(cv, "split"):
        name, first = type(cv).__name__, next(iter(sample.factors))
        raise ValueError(
            f"{name} splits by one column, but `groups` has {len(sample.factors)}. Say "
            f"which: NewGroupsKFold({first!r}), or {name}().set_split_request("
            f"groups={first!r}) with params={{{first!r}: ...}}."
        )


def _takes_groups(cv):
    """Whether to hand groups to a splitter: those of scikit-learn that have no use for
    them warn, which only a filter of the whole process, all threads, could silence.
    """
    split = getattr(type(cv), "split", None)
    module = getattr(split, "__module__", None) or ""
    if split is BaseCrossValidator.split or module.split(".")[0] != "sklearn":
        return True
    return "groups" in get_routing_for_object(cv).split.requests


def _row_numbers(rows):
    rows = np.asarray(rows)
    return np.flatnonzero(rows) if rows.dtype == bool else rows


def _is_per_row(value, n_rows):
    if isinstance(value, (str, dict)) or np.ndim(value) == 0:
        return False
    return n_rows_of(value) == n_rows
