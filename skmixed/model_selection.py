"""Cross-validation of models of grouped data: on groups they know, and on new ones.

scikit-learn's `cross_val_predict` does not hand `groups` to `predict`, and its plain
`KFold` on a file sorted by group tests groups that the model has never seen.  The
functions here route the groups by themselves, whatever `enable_metadata_routing` says.
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
from ._evaluation.deal import check_splits, deal_labels, deal_rows
from ._evaluation.folds import (
    check_estimator,
    check_params,
    complete_splits,
    factor_codes,
    index_present,
    label_table,
    make_splits,
    n_rows_of,
    predict_fold,
    read_sample,
    run_all,
    score_fold,
    unseen_share,
)
from ._input.messages import count
from ._input.parameters import (
    check_coverage,
    check_distribution,
    check_flag,
    check_jobs,
)
from ._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike, SplitsLike

__all__ = [
    "NewGroupsKFold",
    "WithinGroupKFold",
    "cross_val_predict_groups",
    "cross_validate_groups",
]


class _LabelsKFold(BaseCrossValidator):
    """A cross-validator that deals labelled rows to so many folds."""

    __metadata_request__split = {"groups": True}

    n_splits: int
    shuffle: bool
    random_state: int | np.random.RandomState | None

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


class WithinGroupKFold(_LabelsKFold):
    """K-fold cross-validator that spreads every group over the folds.

    The rows of a group, in their order or shuffled, are dealt to the folds in turn.
    So the test rows belong to groups that are in the training rows too, and the scores
    tell how well a model predicts new rows of groups it knows; `GroupKFold`
    asks how well it predicts new groups.  Folds differ by one row at most, and so do a
    group's shares of them.  The one row of a group of one row cannot be in both.  Of a
    table of labels the groups of every column are spread, as evenly as they let each
    other.

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

    def __init__(
        self,
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.n_splits = check_splits(n_splits, shuffle, random_state)
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self,
        X: MatrixLike | None,
        y: ColumnLike | None = None,
        groups: ColumnLike | MatrixLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Row numbers of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Only its number of rows counts.
        y : array-like of shape (n_rows,), default=None
            Ignored.
        groups : array-like of shape (n_rows,) or table of shape (n_rows, n_columns)
            Group labels.

        Yields
        ------
        train : ndarray
            Rows of the training set, ascending.
        test : ndarray
            Rows of the test set, ascending.
        """
        n = n_rows_of(groups if X is None else X)
        table = None if groups is None else label_table(groups, n)
        codes = None if table else _by_appearance(index_present(groups, n).codes)
        if self.n_splits > n:
            raise ValueError(
                f"n_splits={self.n_splits} folds need as many rows; X has {n}."
            )
        rows = np.arange(n)
        if self.shuffle:
            rows = check_random_state(self.random_state).permutation(n)
        fold = np.empty(n, dtype=int)
        if table:
            columns = [column.codes[rows] for column in table.columns]
            fold[rows] = deal_rows(columns, self.n_splits)
        else:
            in_group_order = rows[np.argsort(codes[rows], kind="stable")]
            fold[in_group_order] = np.arange(n) % self.n_splits
        for k in range(self.n_splits):
            yield np.flatnonzero(fold != k), np.flatnonzero(fold == k)


class NewGroupsKFold(_LabelsKFold):
    """K-fold cross-validator that tests new labels of some factors of a table.

    The labels of a factor are dealt to the folds, so that they share the rows evenly;
    the rows of a fold's labels are tested by a model that has not seen these labels,
    whatever it has seen of the other factors.  `GroupKFold` does so for a single column
    of labels.

    Parameters
    ----------
    new : str or list of str
        Name of the label column whose labels are to be new, or a combination such as
        ``"school:class"``.  Of several, all are new to a test row: the folds of their
        labels are drawn together, rows in between are in neither part, and about one
        ``n_splits``-th of the rows is tested in all.
    n_splits : int, default=5
        Number of folds, at least 2.
    shuffle : bool, default=False
        Whether to deal labels in random order.
    random_state : int, RandomState instance or None, default=None
        See :term:`random_state`; only with ``shuffle=True``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmixed.model_selection import NewGroupsKFold
    >>> table = np.array([[s, i] for s in range(4) for i in range(2)])
    >>> for train, test in NewGroupsKFold("g0", 2).split(table, groups=table):
    ...     print(train, test)
    [2 3 6 7] [0 1 4 5]
    [0 1 4 5] [2 3 6 7]
    >>> for train, test in NewGroupsKFold(["g0", "g1"], 2).split(table, groups=table):
    ...     print(train, test)
    [3 7] [0 4]
    [0 4] [3 7]
    """

    new: str | list[str]

    def __init__(
        self,
        new: str | list[str],
        n_splits: int = 5,
        *,
        shuffle: bool = False,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        names = [new] if isinstance(new, str) else new
        is_list = isinstance(names, (list, tuple)) and len(names) > 0
        if not is_list or not all(isinstance(name, str) for name in names):
            raise TypeError(f"new is a name or a list of names, got {new!r}.")
        self.n_splits = check_splits(n_splits, shuffle, random_state)
        self.new = new
        self.shuffle = shuffle
        self.random_state = random_state

    def split(
        self,
        X: MatrixLike | None,
        y: ColumnLike | None = None,
        groups: ColumnLike | MatrixLike | None = None,
    ) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
        """Row numbers of training and test rows.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Only its number of rows counts.
        y : array-like of shape (n_rows,), default=None
            Ignored.
        groups : array-like of shape (n_rows,) or table of shape (n_rows, n_columns)
            Group labels.  A single column serves, whatever it is called.

        Yields
        ------
        train : ndarray
            Rows of the training set, ascending.
        test : ndarray
            Rows of the test set, ascending.
        """
        n = n_rows_of(groups if X is None else X)
        rng = check_random_state(self.random_state) if self.shuffle else None
        folds = [
            deal_labels(codes, self.n_splits, name, rng)
            for name, codes in _codes_of(self.new, groups, n).items()
        ]
        for k in range(self.n_splits):
            in_fold = np.array([fold == k for fold in folds])
            test = np.flatnonzero(in_fold.all(axis=0))
            if not len(test):
                raise ValueError(
                    f"Fold {k + 1} of {self} has no row whose labels are all new to "
                    "it. Use fewer folds, or shuffle=True."
                )
            yield np.flatnonzero(~in_fold.any(axis=0)), test


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
        ``{"sample_weight": w}``; entries per row are split with the rows.
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
    calls = [(predict_fold, estimator, sample, *split, return_std) for split in splits]
    predicted = np.concatenate(run_all(calls, n_jobs, verbose), axis=-1)
    ordered = np.empty_like(predicted)
    ordered[..., tested] = predicted
    return tuple(ordered) if return_std else ordered


def cross_validate_groups(
    estimators: EstimatorLike | Sequence[EstimatorLike] | Mapping[str, EstimatorLike],
    X: MatrixLike,
    y: ColumnLike,
    *,
    groups: ColumnLike | MatrixLike,
    cv_known: SplitsLike | None = 5,
    cv_new: SplitsLike | None = 5,
    new: Sequence[str | list[str]] | None = None,
    coverage: float = 0.9,
    distribution: Literal["normal", "integrated"] = "normal",
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
        Features, the same for all models; a Pipeline can drop columns that a model must
        not see.
    y : array-like of shape (n_rows,)
        Target.
    groups : array-like of shape (n_rows,) or table of shape (n_rows, n_columns)
        Group labels: for the splits, and for the estimators that request them.  Of a
        table of several factors the questions are known groups, then each factor alone
        new, then all of them.
    cv_known : int, cross-validator or iterable of (train, test), default=5
        How test rows of known groups are chosen; an int is the number of folds of a
        shuffled `WithinGroupKFold`.
    cv_new : int, cross-validator or iterable of (train, test), default=5
        How new groups are chosen; an int is the number of folds of a `GroupKFold`, or
        of a `NewGroupsKFold` for each question about a table.
    new : list of (str or list of str), default=None
        The questions about new labels of a table, such as ``["subject", ["subject",
        "item"]]``: each is an argument of `NewGroupsKFold`.
    coverage : float, default=0.9
        Nominal probability of the intervals whose coverage is measured.
    distribution : {"normal", "integrated"}, default="normal"
        The distribution whose likelihoods and coverage are measured, as in
        `predict_interval` of the models of this package: "integrated" for the models
        that offer it, and the normal one for all others.  CRPS is that of the normal
        distribution in either case.
    params : dict, default=None
        Further metadata for `fit` of those who request them, such as
        ``{"sample_weight": w}``; entries per row are split with the rows.
    n_jobs : int, default=None
        Number of fits that run at a time.
    verbose : int, default=1
        0 silences the progress that long work reports on the standard error output.

    Returns
    -------
    comparison : GroupsComparison
        Prints as a table; `to_frame` gives the same as a DataFrame, and `scores` every
        fold.  A dash (NaN) stands where a model gives no standard deviation, or no
        joint distribution of so many rows (by the iterative solver of 1,000 at most).

    Notes
    -----
    Scores are means over folds.  Both likelihoods are per row, in nats.  The joint one
    uses the joint distribution that a model gives of all test rows
    (`log_predictive_density`, or the covariance of its predictions); a model that has
    neither leaves the rows independent, and its two likelihoods are equal.

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
    check_distribution(distribution, ("normal", "integrated"))
    check_jobs(n_jobs)
    models = name_estimators(estimators)
    for model in models.values():
        check_estimator(model)
    sample = read_sample(X, y, groups, params)
    cvs = {"known": _within_groups(cv_known), **_questions(cv_new, new, sample)}
    check_params(sample, models.values(), cvs.values())
    splits = {kind: make_splits(cv, sample) for kind, cv in cvs.items()}
    keys = [(kind, name) for kind in cvs for name in models]
    calls = {
        f"{name!r}, {kind} groups, fold {k} of {len(splits[kind])}": (
            score_fold,
            models[name],
            sample,
            *split,
            coverage,
            distribution,
        )
        for kind, name in keys
        for k, split in enumerate(splits[kind], start=1)
    }
    folds = iter(run_all(calls.values(), n_jobs, verbose, calls))
    scores = {key: [next(folds) for _ in splits[key[0]]] for key in keys}
    columns = list(sample.factors.values())
    return GroupsComparison(
        scores={key: collect(of_folds) for key, of_folds in scores.items()},
        unseen={kind: unseen_share(splits[kind], columns) for kind in cvs},
        unseen_by_factor=_unseen_by_factor(sample, groups, cvs, splits),
        splitters={kind: _describe(cv) for kind, cv in cvs.items()},
        coverage=coverage,
    )


def _codes_of(new, groups, n_rows):
    """Codes of the rows' labels by factor, of those that are to be new."""
    names = _names_of(new)
    table = None if groups is None else label_table(groups, n_rows)
    if table:
        return {name: factor_codes(table, name) for name in names}
    if len(names) > 1:
        raise ValueError(
            f"`groups` is one column but new names {len(names)}: {names}. Pass a "
            "table of labels."
        )
    return {names[0]: index_present(groups, n_rows).codes}


def _by_appearance(codes):
    """Groups in order of first appearance, so that folds do not depend on labels."""
    first = np.unique(codes, return_index=True)[1]
    return np.argsort(np.argsort(first))[codes]


def _within_groups(cv):
    """A cross-validator that tests known groups where `cv` is a number of folds."""
    if cv is None or isinstance(cv, numbers.Integral):
        return WithinGroupKFold(5 if cv is None else cv, shuffle=True, random_state=0)
    return cv


def _questions(cv, new, sample):
    """Cross-validators that test new groups, by the question that each asks."""
    if not (cv is None or isinstance(cv, numbers.Integral)):
        return {"new": cv}
    n_splits = 5 if cv is None else cv
    if not sample.is_table:
        if new is not None:
            raise ValueError(f"new={new!r} names factors, but `groups` is one column.")
        (codes,) = sample.factors.values()
        n_groups = int(codes.max()) + 1
        if n_groups < n_splits:
            remedy = f"Pass cv_new={n_groups}" if n_groups > 1 else "Pass more groups"
            raise ValueError(
                f"cv_new={n_splits} folds hold out groups as new ones, but there are "
                f"{count(n_groups, 'group')}. {remedy}, or use "
                "sklearn.model_selection.cross_validate for known groups alone."
            )
        return {"new": GroupKFold(n_splits)}
    if new is None:
        new = [*sample.factors, list(sample.factors)]
    if isinstance(new, str):
        raise TypeError(f"new is a list of questions, got {new!r}; write [{new!r}].")
    splitters = [NewGroupsKFold(question, n_splits) for question in new]
    return {f"new {', '.join(_names_of(cv.new))}": cv for cv in splitters}


def _names_of(new):
    return [new] if isinstance(new, str) else list(new)


def _unseen_by_factor(sample, groups, cvs, splits):
    """Shares of unseen rows by factor, of each question; empty with one factor."""
    if not sample.is_table:
        return {}
    table, factors = label_table(groups, len(sample.y)), dict(sample.factors)
    for cv in cvs.values():
        for name in _names_of(getattr(cv, "new", [])):
            factors[name] = factor_codes(table, name)
    return {
        kind: {name: unseen_share(splits[kind], [c]) for name, c in factors.items()}
        for kind in cvs
    }


def _describe(cv):
    return str(cv) if hasattr(cv, "split") else "given splits"
