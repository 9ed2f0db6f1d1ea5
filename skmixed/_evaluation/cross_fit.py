"""Regressors fitted to folds, each of which predicts the rows that it has not seen
(docs/math.md, section 15).
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone

from .._input.any_table import add_level, take_rows
from .._input.unreadable import columns_named
from .._results.random_intercept import fit_statistics
from .._rows.statistics import summarize
from .folds import Observations

# Predictions of less than this share of what they predict are 0: the slope that would
# make something of them is out of range, as are the squares of some of them.
LEAST_SHARE = 1e-30
LARGEST = 1e130  # Squares of larger predictions, summed, are out of range.
# Notes of errors of a regressor, which shows by them what it was given.
OF_RESIDUALS = (
    "The regressor was fitted to residuals of a linear mixed model, which are about 0: "
    "it needs a loss that takes any number."
)
OF_LEVELS = (
    " It was given the columns of X and the level of the row's group after them; "
    "group_level=False leaves that out."
)


@dataclass(frozen=True)
class FoldRegressors:
    """Regressors of all folds, which together predict by their mean.

    Attributes
    ----------
    regressors : tuple of fitted regressors
        One for each fold.
    levels : tuple of ndarray of shape (n_groups,), or None
        For each fold, the levels of the groups that its regressor reads beside X; None
        where it reads X alone.
    """

    regressors: tuple
    levels: tuple | None

    def predict(self, table, codes):
        """Mean prediction of each row, (n,); `codes` are positions of its group."""
        total = np.zeros(len(codes))
        for k, regressor in enumerate(self.regressors):
            levels = None if self.levels is None else self.levels[k]
            seen = table if levels is None else add_level(table, levels[codes])
            total += predict_rows(regressor, seen)
        return total / len(self.regressors)


def known_target(data, train, method):
    """Levels of all groups, and the residuals of all rows from a linear mixed model.

    The model is that of a random intercept, fitted to the training rows; a group that
    is not among them has the level 0.

    Returns
    -------
    levels : ndarray of shape (n_groups,)
    residual : ndarray of shape (n,)
        Of the training rows; 0 of the others.
    """
    p = data.X.shape[1]
    part = replace(data.take(train), features=np.arange(p))
    fit, _ = fit_statistics(
        summarize(part), ("",) * p, method=method, fit_intercept=True, alpha=0.0
    )
    levels, residual = np.zeros(len(data.index)), np.zeros(data.n_rows)
    levels[np.unique(data.index.codes[train])] = fit.posterior.modes
    residual[train] = part.y - fit.posterior.mean(part.X, part.index.codes)
    return levels, residual


def fit_known_fold(regressor, rows, params, split, method, group_level):
    """Fit a regressor to the residuals of a linear mixed model of the training rows.

    Returns
    -------
    levels : ndarray of shape (n_groups,), or None without `group_level`
    fitted : regressor
    predicted : ndarray of shape (n_test,)
    """
    levels, residual = known_target(rows.data, split[0], method)
    levels = levels if group_level else None
    try:
        return fit_fold(regressor, rows, residual, params, split, levels)
    except (TypeError, ValueError) as error:
        error.add_note(OF_RESIDUALS + (OF_LEVELS if group_level else ""))
        raise


def fit_fold(regressor, rows, target, params, split, levels=None):
    """Fit a regressor to `target` of the training rows and predict the test rows;
    returns what `fit_known_fold` does.
    """
    train, test = split
    table = rows.table if levels is None else add_level(rows.table, levels[rows.codes])
    part = Observations(table, target, params).take(train)
    with columns_named(type(regressor).__name__, part.X):
        fitted = clone(regressor).fit(part.X, part.y, **part.metadata)
    return levels, fitted, predict_rows(fitted, take_rows(table, test))


def predict_rows(regressor, table):
    """Predictions (n,), all of them finite."""
    with columns_named(type(regressor).__name__, table):
        predicted = np.asarray(regressor.predict(table), dtype=float)
    if predicted.shape not in ((table.shape[0],), (table.shape[0], 1)):
        raise ValueError(
            f"{type(regressor).__name__} predicted an array of shape "
            f"{predicted.shape} for {table.shape[0]} rows; it has to give one number "
            "for each."
        )
    if not np.isfinite(predicted).all():
        raise ValueError(
            f"{type(regressor).__name__} predicted {np.sum(~np.isfinite(predicted))} "
            f"values of {len(predicted)} that are not finite numbers."
        )
    size = np.abs(predicted).max(initial=0.0)
    if size > LARGEST:
        raise ValueError(
            f"{type(regressor).__name__} predicted values of order {size:.0e}, whose "
            f"squares leave the range of double precision beyond {LARGEST:.0e}."
        )
    return predicted.ravel()


def collect_folds(folds, splits, target):
    """The regressors of all folds, and the out-of-fold prediction of each row of a
    target, as far as it counts beside that.
    """
    levels, regressors, predicted = zip(*folds, strict=True)
    out_of_fold = np.empty(len(target))
    for (_, test), values in zip(splits, predicted, strict=True):
        out_of_fold[test] = values
    least = LEAST_SHARE * (np.ptp(target) or abs(target[0]) or 1.0)
    out_of_fold[np.abs(out_of_fold) < least] = 0.0
    levels = None if levels[0] is None else levels
    return FoldRegressors(regressors, levels), out_of_fold
