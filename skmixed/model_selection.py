"""Cross-validation of models of grouped data: on groups they know, and on new ones.

scikit-learn's `cross_val_predict` does not hand `groups` to `predict`, and its plain
`KFold` on a file sorted by group tests groups that the model has never seen.  What is
here routes the groups by itself, whatever `enable_metadata_routing` says.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import BaseCrossValidator, GroupKFold
from sklearn.utils import check_random_state

from ._evaluation.comparison import GroupsComparison, collect, name_estimators
from ._evaluation.folds import (
    check_estimator,
    check_params,
    complete_splits,
    index_present,
    make_splits,
    n_rows_of,
    predict_fold,
    read_sample,
    run_all,
    score_fold,
    unseen_share,
)
from ._input.parameters import check_coverage, check_flag, check_jobs
from ._typing import ColumnLike, EstimatorLike, Floats, MatrixLike, SplitsLike

__all__ = ["WithinGroupKFold", "cross_val_predict_groups", "cross_validate_groups"]


class WithinGroupKFold(BaseCrossValidator):
    """K-fold cross-validator that spreads every group over the folds.

    The rows of a group, in their order or shuffled, are dealt to the folds in turn.
    So the test rows belong to groups that are in the training rows too, and what is
    estimated is how well a model predicts new rows of groups it knows; `GroupKFold`
    asks how well it predicts new groups.  Folds differ by one row at most, and so do a
    group's shares of them.  The one row of a group of one row cannot be in both.

    Parameters
    ----------
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to deal the rows of a group in random order.
    random_state : int, RandomState instance or None, default=None
        See :term:`random_state`; only with ``shuffle=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmixed.model_selection import WithinGroupKFold
    >>> groups = ["a", "a", "a", "a", "b", "b"]
    >>> for train, test in WithinGroupKFold(2).split(np.zeros((6, 1)), groups=groups):
    ...     print(train, test)
    [1 3 5] [0 2 4]
    [0 2 4] [1 3 5]
    """

    __metadata_request__split = {"groups": True}

    n_splits: int
    shuffle: bool
    random_state: int | np.random.RandomState | None

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        if not isinstance(n_splits, numbers.Integral) or n_splits < 2:
            raise ValueError(f"n_splits is an integer of at least 2, got {n_splits!r}.")
        check_flag(shuffle, "shuffle")
        if random_state is not None and not shuffle:
            raise ValueError(
                f"random_state={random_state!r} has no effect with shuffle=False; "
                "leave it out, or set shuffle=True."
            )
        self.n_splits = int(n_splits)
        self.shuffle = shuffle
        self.random_state = random_state

    def get_n_splits(self, X: Any = None, y: Any = None, groups: Any = None) -> int:
        """Number of folds.

        Parameters
        ----------
        X, y, groups : object
            Ignored; they are here for compatibility.

        Returns
        -------
        n_splits : int
        """
        return self.n_splits

    def split(
        self,
        X: MatrixLike | None,
        y: ColumnLike | None = None,
        groups: ColumnLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Row numbers of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Only its number of rows counts.
        y : array-like of shape (n_rows,), default=None
            Ignored.
        groups : array-like of shape (n_rows,)
            Group labels.

        Yields
        ------
        train : ndarray
            Rows of the training set, ascending.
        test : ndarray
            Rows of the test set, ascending.
        """
        n = len(groups) if X is None and groups is not None else n_rows_of(X)
        codes = _by_appearance(index_present(groups, n).codes)
        if self.n_splits > n:
            raise ValueError(
                f"n_splits={self.n_splits} folds need as many rows; X has {n}."
            )
        rows = np.arange(n)
        if self.shuffle:
            rows = check_random_state(self.random_state).permutation(n)
        in_group_order = rows[np.argsort(codes[rows], kind="stable")]
        fold = np.empty(n, dtype=int)
        fold[in_group_order] = np.arange(n) % self.n_splits
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


@overload
def cross_val_predict_groups(
    estimator: EstimatorLike,
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike,
    cv: SplitsLike | None = None,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    return_std: Literal[False] = False,
    verbose: int = 1,
) -> Floats: ...


@overload
def cross_val_predict_groups(
    estimator: EstimatorLike,
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike,
    cv: SplitsLike | None = None,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    return_std: Literal[True],
    verbose: int = 1,
) -> tuple[Floats, Floats]: ...


@overload
def cross_val_predict_groups(
    estimator: EstimatorLike,
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike,
    cv: SplitsLike | None = None,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    return_std: bool,
    verbose: int = 1,
) -> Floats | tuple[Floats, Floats]: ...


def cross_val_predict_groups(
    estimator: EstimatorLike,
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike,
    cv: SplitsLike | None = None,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    return_std: bool = False,
    verbose: int = 1,
) -> Floats | tuple[Floats, Floats]:
    """Predict every row by a model fitted without it, group effects included.

    scikit-learn's `cross_val_predict` does not hand `groups` to `predict`, and so
    returns the population's predictions.

    Parameters
    ----------
    estimator : estimator
        A model, or a Pipeline or search around one; it may be one that knows no groups.
    X : array-like of shape (n_rows, n_features)
        Features.
    y : array-like of shape (n_rows,)
        Target.
    groups : array-like of shape (n_rows,)
        Group labels: for the split, and for an estimator that requests them.
    cv : int, cross-validator or iterable of (train, test), default=None
        An int is the number of folds of a shuffled `WithinGroupKFold` (None: 5), which
        predicts groups that the model knows.  Use `GroupKFold` to predict new ones.
    params : dict, default=None
        Further metadata for `fit` of those who request them, such as
        ``{"sample_weight": w}``; what has one entry per row is split with the rows.
    n_jobs : int, default=None
        Number of folds that are fitted at a time.
    return_std : bool, default=False
        Whether to return the standard deviations as well.
    verbose : int, default=1
        0 silences the progress that long work reports on the standard error output.

    Returns
    -------
    y_mean : ndarray of shape (n_rows,)
        Predictions, in the units of y.
    y_std : ndarray of shape (n_rows,)
        Standard deviation of a new observation, in the units of y.  Only if
        ``return_std=True``.

    Raises
    ------
    ValueError
        If the test sets of `cv` do not hold every row once.
    TypeError
        If ``return_std=True`` and the estimator gives no standard deviation.

    Examples
    --------
    >>> import numpy as np
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.model_selection import cross_val_predict_groups
    >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
    >>> mean, std = cross_val_predict_groups(
    ...     RandomInterceptRegressor(), X, y, groups=subjects, return_std=True
    ... )
    >>> bool(np.corrcoef(mean, y)[0, 1] > 0.8)
    True
    """
    check_jobs(n_jobs)
    check_flag(return_std, "return_std")
    check_estimator(estimator, return_std)
    sample = read_sample(X, y, groups, params)
    cv = _within_groups(cv)
    check_params(sample, [estimator], [cv])
    splits = complete_splits(cv, sample)
    tested = np.concatenate([test for _, test in splits])
    tasks = [(estimator, sample, *split, return_std) for split in splits]
    predicted = np.concatenate(run_all(predict_fold, tasks, n_jobs, verbose), axis=-1)
    ordered = np.empty_like(predicted)
    ordered[..., tested] = predicted
    return tuple(ordered) if return_std else ordered


def cross_validate_groups(
    estimators: EstimatorLike | Sequence[EstimatorLike] | Mapping[str, EstimatorLike],
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike,
    cv_known: SplitsLike | None = 5,
    cv_new: SplitsLike | None = 5,
    coverage: float = 0.9,
    params: Mapping[str, Any] | None = None,
    n_jobs: int | None = None,
    verbose: int = 1,
) -> GroupsComparison:
    """Score models on groups that they know, and on groups that are new to them.

    One call for the two questions that grouped data raise.  R^2, RMSE, negative
    log-likelihood, joint negative log-likelihood, CRPS and the coverage of prediction
    intervals, for one or several models; those that know no groups or give no standard
    deviation may be among them.

    Parameters
    ----------
    estimators : estimator, list of estimators, or dict of str to estimator
        Models, or Pipelines or searches around them.
    X : array-like of shape (n_rows, n_features)
        Features, the same for all models; a Pipeline can drop what a model must not
        see.
    y : array-like of shape (n_rows,)
        Target.
    groups : array-like of shape (n_rows,)
        Group labels: for the splits, and for the estimators that request them.
    cv_known : int, cross-validator or iterable of (train, test), default=5
        How test rows of known groups are chosen; an int is the number of folds of a
        shuffled `WithinGroupKFold`.
    cv_new : int, cross-validator or iterable of (train, test), default=5
        How new groups are chosen; an int is the number of folds of a `GroupKFold`.
    coverage : float, default=0.9
        Nominal probability of the intervals whose coverage is measured.
    params : dict, default=None
        Further metadata for `fit` of those who request them, such as
        ``{"sample_weight": w}``; what has one entry per row is split with the rows.
    n_jobs : int, default=None
        Number of fits that run at a time.
    verbose : int, default=1
        0 silences the progress that long work reports on the standard error output.

    Returns
    -------
    comparison : GroupsComparison
        Prints as a table; `to_frame` gives the same as a DataFrame, and `scores` every
        fold.  A dash (NaN) stands where a model gives no standard deviation.

    Notes
    -----
    Scores are means over folds.  Both likelihoods are per row, in nats.  The joint one
    uses what a model says about all test rows together (`log_predictive_density`, or
    the covariance of its predictions); a model that has neither leaves the rows
    independent, and its two likelihoods are equal.

    Examples
    --------
    >>> from sklearn.linear_model import LinearRegression
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.model_selection import cross_validate_groups
    >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
    >>> models = [LinearRegression(), RandomInterceptRegressor()]
    >>> print(cross_validate_groups(models, X, y, groups=subjects))
    known groups: WithinGroupKFold(n_splits=5, random_state=0, shuffle=True)
    0.0% of the test rows are of groups not in the training rows
                                   R^2      RMSE       NLL joint NLL      CRPS 90% cover
    LinearRegression             0.256     47.65         -         -         -         -
    RandomInterceptRegressor     0.653     32.45    4.9087    4.9118     17.76     89.4%
    <BLANKLINE>
    new groups: GroupKFold(n_splits=5, random_state=None, shuffle=False)
    100.0% of the test rows are of groups not in the training rows
                                   R^2      RMSE       NLL joint NLL      CRPS 90% cover
    LinearRegression             0.092     49.58         -         -         -         -
    RandomInterceptRegressor     0.092     49.58    5.3308    5.0746     27.71     87.7%
    """
    check_coverage(coverage)
    check_jobs(n_jobs)
    models = name_estimators(estimators)
    for model in models.values():
        check_estimator(model)
    sample = read_sample(X, y, groups, params)
    cvs = {"known": _within_groups(cv_known), "new": _between_groups(cv_new)}
    check_params(sample, models.values(), cvs.values())
    splits = {kind: make_splits(cv, sample) for kind, cv in cvs.items()}
    keys = [(kind, name) for kind in cvs for name in models]
    tasks = {
        f"{name!r}, {kind} groups, fold {k} of {len(splits[kind])}": (
            models[name],
            sample,
            *split,
            coverage,
        )
        for kind, name in keys
        for k, split in enumerate(splits[kind], start=1)
    }
    folds = iter(run_all(score_fold, tasks.values(), n_jobs, verbose, tasks))
    scores = {key: [next(folds) for _ in splits[key[0]]] for key in keys}
    return GroupsComparison(
        scores={key: collect(of_folds) for key, of_folds in scores.items()},
        unseen={kind: unseen_share(splits[kind], sample) for kind in cvs},
        splitters={kind: _describe(cv) for kind, cv in cvs.items()},
        coverage=coverage,
    )


def _by_appearance(codes):
    """Groups in order of first appearance, so that folds do not depend on labels."""
    first = np.unique(codes, return_index=True)[1]
    return np.argsort(np.argsort(first))[codes]


def _within_groups(cv):
    """A cross-validator that tests known groups where `cv` is a number of folds."""
    if cv is None or isinstance(cv, numbers.Integral):
        return WithinGroupKFold(5 if cv is None else cv, shuffle=True, random_state=0)
    return cv


def _between_groups(cv):
    """A cross-validator that tests new groups where `cv` is a number of folds."""
    if cv is None or isinstance(cv, numbers.Integral):
        return GroupKFold(5 if cv is None else cv)
    return cv


def _describe(cv):
    return str(cv) if hasattr(cv, "split") else "given splits"
