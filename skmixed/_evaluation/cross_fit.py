"""Regressors fitted to folds, each of which predicts the rows that it has not seen
(docs/math.md, section 13).
"""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.base import clone

from .._input.any_table import add_level, take_rows
from .._input.table import Data
from .._results.one_variance import fit_statistics
from .._rows.sample import summarize


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
        total = 0.0
        for k, regressor in enumerate(self.regressors):
            total = total + predict_rows(regressor, self.table(k, table, codes))
        return total / len(self.regressors)

    def table(self, k, table, codes):
        """The table as the regressor of fold k reads it."""
        if self.levels is None:
            return table
        return add_level(table, self.levels[k][codes])


def known_target(data, train, method):
    """Levels of all groups, and what the rows differ by from a linear mixed model.

    The model is that of a random intercept, fitted to the training rows; a group that
    is not among them has the level 0.

    Returns
    -------
    levels : ndarray of shape (n_groups,)
    residual : ndarray of shape (n,)
        Of the training rows; 0 of the others.
    """
    index, weight = data.index.take(train), data.weight
    part = Data(
        data.X[train],
        data.features,
        index,
        data.y[train],
        None if weight is None else weight[train],
    )
    fit, _ = fit_statistics(
        summarize(part), (), method=method, fit_intercept=True, alpha=0.0
    )
    levels, residual = np.zeros(len(data.index)), np.zeros(data.n_rows)
    levels[np.unique(data.index.codes[train])] = fit.posterior.modes
    residual[train] = part.y - fit.posterior.mean(part.X, index.codes)
    return levels, residual


def fit_known_fold(regressor, rows, params, method, group_level, train, test):
    """Fit a regressor to what a linear mixed model of the training rows leaves.

    Returns
    -------
    levels : ndarray of shape (n_groups,)
    fitted : regressor
    predicted : ndarray of shape (n_test,)
    """
    levels, residual = known_target(rows.data, train, method)
    table = rows.table
    if group_level:
        table = add_level(table, levels[rows.codes])
    return levels, *fit_fold(regressor, table, residual, params, train, test)


def fit_new_fold(regressor, rows, params, train, test):
    """Fit a regressor to y itself; as `fit_known_fold`, without levels."""
    return None, *fit_fold(regressor, rows.table, rows.data.y, params, train, test)


def fit_fold(regressor, table, target, params, train, test):
    """The fitted regressor, and its predictions of the test rows."""
    params = {name: take_rows(value, train) for name, value in params.items()}
    fitted = clone(regressor).fit(take_rows(table, train), target[train], **params)
    return fitted, predict_rows(fitted, take_rows(table, test))


def predict_rows(regressor, table):
    """Predictions (n,), all of them finite."""
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
    return predicted.ravel()


def collect_folds(folds, splits, n_rows):
    """The regressors of all folds, and each row's prediction by that which has not seen
    it.
    """
    levels, regressors, predicted = zip(*folds, strict=True)
    out_of_fold = np.empty(n_rows)
    for (_, test), values in zip(splits, predicted, strict=True):
        out_of_fold[test] = values
    has_levels = levels[0] is not None
    return FoldRegressors(regressors, levels if has_levels else None), out_of_fold
