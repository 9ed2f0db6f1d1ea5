"""The Gaussian model whose mean and variance both depend on the features."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Literal, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ._estimator import LinearGroupedRegressor, fit_of
from ._input.features import feature_positions, offset_position
from ._input.labels import GroupsWarning
from ._input.messages import (
    NO_GROUPS,
    NOISY,
    at_bounds_message,
    column_name,
    count,
    exact_fit_message,
    noisy_message,
)
from ._input.parameters import (
    check_choice,
    check_common,
    check_count,
    check_coverage,
    check_distribution,
    check_flag,
    check_nonnegative,
)
from ._input.table import read_fit_data
from ._input.typing import ColumnLike, Floats, MatrixLike
from ._likelihood.criterion import RANGE, check_freedom, is_exact
from ._likelihood.heteroscedastic.assembly import Structure
from ._likelihood.heteroscedastic.criterion import count_noisy
from ._results.group_messages import group_messages
from ._results.heteroscedastic.fit import HeteroscedasticFit, fit_optimum
from ._results.one_factor_summary import summarize_fit
from ._results.summary import Summary
from ._rows.columns import check_range
from ._rows.dask import is_partitioned, read_partitions, table_like
from ._rows.statistics import sample_in_memory
from ._rows.threads import one_blas_thread
from ._search.heteroscedastic.problem import make_problem
from ._search.heteroscedastic.search import best_optimum


class HeteroscedasticGaussianRegressor(LinearGroupedRegressor):
    """Linear regression whose noise variance depends on the features too.

    The model of observation j of group g is ::

        y_gj = intercept + x_gj'coef + b_g + e_gj,    e_gj ~ N(0, v_gj)
        log v_gj = variance_intercept + x_gj'variance_coef + d_g

    fitted by the Gaussian (restricted) likelihood.  `mean_groups` and `variance_groups`
    choose the kinds of b_g and d_g:

    - ``mean_groups="random"``: b_g ~ N(0, group_variance) is a random intercept.
      Observations of a group are correlated; the covariance of a group is the block
      ``diag(v) + group_variance * 11'``.  With ``variance_features=[]`` this is the
      model of :class:`RandomInterceptRegressor`.
    - ``"fixed"``: an effect of each group, as if the groups were one-hot encoded into
      the features of the mean, or of the log-variance.
    - ``None``: no difference between groups.  With ``method="ml"`` the loss is then
      the Gaussian negative log-likelihood of deep learning.  It leaves
      observations independent: a variance for each row does not make a random effect.

    Parameters
    ----------
    method : {"reml", "ml"}, default="reml"
        Restricted maximum likelihood, whose variances allow for the estimation of the
        coefficients and of fixed effects in the mean, or maximum likelihood.
    fit_intercept : bool, default=True
        Whether to fit an intercept of the mean.
    fit_variance_intercept : bool, default=True
        Whether to fit an intercept of the log-variance.  Without it the fit depends on
        the units of y.
    alpha : float, default=0.0
        Ridge penalty on the coefficients of the mean, and on its fixed effects: adds
        ``alpha / (2 v) * sum(coef ** 2)`` to the negative log-likelihood, v being the
        weighted geometric mean of the noise variances.
    variance_alpha : float, default=0.0
        Ridge penalty on the coefficients of the log-variance, and on its fixed effects:
        adds ``variance_alpha / 2 * sum(variance_coef ** 2)``.
    mean_features : array-like of str, int or bool, default=None
        The columns of X that the mean depends on: names, indices or a mask.  None means
        all of them, the label column excepted.
    variance_features : array-like of str, int or bool, default=None
        The same for the log-variance.
    mean_groups : {"random", "fixed", None}, default="random"
        How the mean depends on the group.
    variance_groups : {"fixed", None}, default=None
        How the log-variance depends on the group.
    variance_offset : str or int, default=None
        Name or index of a column of X that is a known part of the log-variance: it has
        the coefficient 1, and does not enter the mean.  Known variances of rows, as of
        a meta-analysis, are their logarithm here with ``variance_features=[]`` and
        ``fit_variance_intercept=False``; precision weights w of other programs are
        -log(w) with the intercept.  Keep a scaler from it.
    group_feature : str or int, default=None
        Name or index of the column of X that holds the group labels, for tools that
        cannot route `groups`; -1 is the last column.  None means that labels are passed
        as `groups`.
    max_iter : int, default=100
        Most iterations of Newton's method from one start; further starts together may
        take twice as many.
    tol : float, default=1e-10
        The iterations end with the step whose Newton decrement (twice the gain in
        log-likelihood that it promises) is at most this.
    n_jobs : int, default=None
        How many workers reduce the rows of a dense X; see :term:`n_jobs`.  It is meant
        for a memory-mapped X on a slow disk: a fit of rows in memory takes longer by
        several workers than by one, so leave it at None there.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients of the mean, in units of y per unit of the feature; 0 for columns
        that do not enter.  Where columns are linearly dependent, of minimal norm.
    intercept_ : float
        Intercept of the mean, in the units of y.
    coef_covariance_ : ndarray of shape (1 + n_features, 1 + n_features)
        Covariance of the estimated (intercept, coefficients).
    coef_std_ : ndarray of shape (n_features,)
        Standard errors of `coef_`.
    intercept_std_ : float
        Standard error of `intercept_`, in the units of y.
    variance_coef_ : ndarray of shape (n_features,)
        Coefficients of the log-variance, per unit of the feature; 0 for columns that do
        not enter.
    variance_intercept_ : float
        Intercept of the log-variance: the logarithm of squared units of y.
    variance_coef_covariance_ : ndarray of shape (1 + n_features, 1 + n_features)
        Covariance of (`variance_intercept_`, `variance_coef_`): the inverse observed
        information (the expected one where the first is not positive definite).
    group_variance_ : float
        Variance of random intercepts, in squared units of y; 0 unless
        ``mean_groups="random"``.
    intraclass_correlation_ : float
        ``group_variance_ / (group_variance_ + v)``, v being the weighted geometric mean
        of the noise variances.
    at_boundary_ : bool
        Whether the criterion is best at a group variance of 0, the end of its range.
        False beside a group variance of 0 that the data do not determine: with one
        group, with groups of one row each whose noise does not differ from row to row,
        where y is fitted exactly, and unless ``mean_groups="random"``.
    groups_ : ndarray of shape (n_groups,)
        The group labels, sorted if they can be sorted, else in order of appearance;
        empty if the model has no groups.
    random_intercepts_ : ndarray of shape (n_groups,)
        Conditional modes of random intercepts, in the units of y; 0 unless
        ``mean_groups="random"``.
    random_intercepts_std_ : ndarray of shape (n_groups,)
        Standard deviation of their prediction error, in the units of y.  The variances
        count as known: with few groups an interval of 1.96 of them holds b in less than
        95 % of cases, and at a group variance of 0 all of them are 0.
    random_intercepts_conditional_std_ : ndarray of shape (n_groups,)
        The same with the coefficients taken as known.
    group_effects_ : ndarray of shape (n_groups,)
        Fixed effects of the groups on the mean, in the units of y; they sum to zero
        (with an intercept).  0 unless ``mean_groups="fixed"``.
    group_effects_std_ : ndarray of shape (n_groups,)
        Their standard errors.
    variance_group_effects_ : ndarray of shape (n_groups,)
        Fixed effects of the groups on the log-variance; they sum to zero (with an
        intercept).  0 unless ``variance_groups="fixed"``.
    log_likelihood_ : float
        The maximised criterion, constants included, penalties left out.
    n_iter_ : int
        Iterations of Newton's method from the start that led to the optimum; under REML
        with `alpha`, those of the search for the penalty's units included.
    converged_ : bool
    n_features_in_ : int
        Number of columns of X, the label column included.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if all of them are strings.

    See Also
    --------
    RandomInterceptRegressor : One noise variance for all rows; needs no iterations.

    Notes
    -----
    The likelihood of a variance model can have several optima.  Up to 50,000 rows the
    search starts from the constant variance and from two points along each column of
    the log-variance, ten columns at most.  Optima are compared as if rows that are
    fitted exactly had a typical noise variance.

    Nothing keeps the likelihood of such a model from growing without bound where rows
    can be fitted exactly.  The noise variance of a row is kept within 1e-10 and 1e10
    times that of the same model with one noise variance, in `fit` and in `predict`; a
    `UserWarning` counts the rows that end there.  (Without an intercept of the
    log-variance the range includes 1e-10 to 1e10 as well.)  With fixed effects in the
    log-variance, a group whose rows are all alike (one row, say) has the average of the
    other groups' log-variances.

    A group that was not seen in `fit` has, under "fixed", the effect of an average
    group: its standard deviation has no part for differences between groups.  For
    predictions of new groups use ``mean_groups="random"``.  Standard deviations treat
    the variances as known.

    `sample_weight` counts repetitions.  docs/math.md derives all formulas.

    References
    ----------
    .. [1] G. K. Smyth (1989), "Generalized linear models with varying dispersion",
       Journal of the Royal Statistical Society B 51, 47-60.
    .. [2] G. K. Smyth (2002), "An efficient algorithm for REML in heteroscedastic
       regression", Journal of Computational and Graphical Statistics 11, 836-847.

    Examples
    --------
    >>> from skmixed import HeteroscedasticGaussianRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> model = HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)
    >>> print(f"{model.variance_coef_[0]:.3f} per day")
    0.165 per day

    The noise of day 0 and of day 9, and the standard deviations for a new subject:

    >>> model.predict_noise_std([[0], [9]]).round(1)
    array([20.9, 43.9])
    >>> mean, std = model.predict([[0], [9]], groups=[-1, -2], return_std=True)
    >>> std.round(1)
    array([39.1, 55.1])
    """

    _fit_kind = HeteroscedasticFit
    variance_coef_: Floats
    variance_intercept_: float
    variance_coef_covariance_: Floats
    group_effects_: Floats
    group_effects_std_: Floats
    variance_group_effects_: Floats

    def __init__(
        self,
        *,
        method: Literal["reml", "ml"] = "reml",
        fit_intercept: bool = True,
        fit_variance_intercept: bool = True,
        alpha: float = 0.0,
        variance_alpha: float = 0.0,
        mean_features: ColumnLike | None = None,
        variance_features: ColumnLike | None = None,
        mean_groups: Literal["random", "fixed"] | None = "random",
        variance_groups: Literal["fixed"] | None = None,
        variance_offset: str | int | None = None,
        group_feature: str | int | None = None,
        max_iter: int = 100,
        tol: float = 1e-10,
        n_jobs: int | None = None,
    ) -> None:
        self.method = method
        self.fit_intercept = fit_intercept
        self.fit_variance_intercept = fit_variance_intercept
        self.alpha = alpha
        self.variance_alpha = variance_alpha
        self.mean_features = mean_features
        self.variance_features = variance_features
        self.mean_groups = mean_groups
        self.variance_groups = variance_groups
        self.variance_offset = variance_offset
        self.group_feature = group_feature
        self.max_iter = max_iter
        self.tol = tol
        self.n_jobs = n_jobs

    def fit(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Fit by (restricted) maximum likelihood.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_rows, n_features)
            Features; the label column among them if `group_feature` is set.  Of a dense
            X the columns of the mean and of the log-variance are copied once each.  A
            sparse X is made dense some rows at a time, never as a whole, but its sums
            over groups are dense, (n_groups, n_features).  Partitions of a Dask array
            or dataframe stay where they are (up to 4 million numbers are fetched), and
            y, groups and weights are collections with the same partitions.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,), default=None
            One label per row: numbers, strings, dates or other scalars.  Labels are
            positional: the index of a Series is ignored.  Ignored altogether if neither
            the mean nor the variance depends on groups.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.

        Returns
        -------
        self : HeteroscedasticGaussianRegressor

        Raises
        ------
        ValueError
            If a parameter is out of its range or names a column that is not there; if
            the input is of the wrong length or shape, not finite, or out of the range
            in which squares are representable; if labels are missing; if both doors for
            groups are used; if under REML the weights sum to less than the number of
            coefficients.
        TypeError
            If `groups` is not a column of labels.
        MemoryError
            If a sparse X has more columns or groups than free memory can hold the
            figures of.  After any error, and if it is interrupted, the model stays as
            it was.

        Warns
        -----
        GroupsWarning
            If there are no labels where the model needs them, or the data cannot tell
            what a group is.
        UserWarning
            If rows are fitted exactly, or the fitted noise of some is far beyond y's
            spread.
        ConvergenceWarning
            If the iterations end before the optimum.
        """
        return self._become(*self._fitted(X, y, groups, sample_weight))

    def summary(
        self,
        coverage: float = 0.95,
        distribution: Literal["t", "integrated"] = "t",
    ) -> Summary:
        """Estimates, their uncertainty, and how well the model describes the data.

        Coefficients of the mean have t tests and intervals with Satterthwaite's degrees
        of freedom (z with fixed effects of groups or a ridge penalty, for which these
        are not known; the noise counts as known where there are more than 50,000 rows).
        Those of the log-variance have z and normal intervals, the standard deviation of
        random intercepts an interval that is normal in its logarithm: no rows are left
        to profile the likelihood with.

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.
        distribution : {"t", "integrated"}, default="t"
            That of the intervals of the mean and of the standard deviations: as said
            above, or the distribution that is integrated over the variances, as in
            `predict_interval`.  Those of the log-variance are normal in either case.

        Returns
        -------
        summary : Summary
            Prints as text, and as HTML in a notebook; its figures are attributes, and
            its tables give DataFrames by `to_frame`.

        Raises
        ------
        ValueError
            If `coverage` is no probability; if `distribution` is "integrated" and the
            model offers none.

        Examples
        --------
        >>> from skmixed import HeteroscedasticGaussianRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = HeteroscedasticGaussianRegressor().fit(X, y, groups=groups)
        >>> model.summary().log_variance
                      coef       std       z         p       low     high
        intercept   6.0829   0.25533  23.823  1.9e-125    5.5825   6.5834
        x0         0.16472  0.051257  3.2137    0.0013  0.064262  0.26518
        """
        fit = fit_of(self)
        check_coverage(coverage)
        check_distribution(distribution, ("t", "integrated"))
        return summarize_fit(fit, coverage, distribution)

    @one_blas_thread
    def _fitted(self, X, y, groups=None, sample_weight=None):
        """A fitted copy, and the warnings about it."""
        new = copy(self)
        read, problem = read_problem(new, X, y, groups, sample_weight)
        # Noise that is known is not fitted, however well another would fit.
        estimated = problem.variance_columns.rank or problem.structure.effects
        exact = bool(estimated) and is_exact(
            problem.constant.noise_variance, problem.floor
        )
        optimum = best_optimum(
            problem.model, problem.constant, exact, tol=new.tol, max_iter=new.max_iter
        )
        uses_groups = _depends_on_groups(new)
        fit = fit_optimum(problem, optimum, read, new._names(), uses_groups, exact)
        return new._keep(fit), list(_messages(new, read, problem, optimum, exact))


def read_problem(estimator, X, y, groups=None, sample_weight=None):
    """The statistics of the rows, and the likelihood that is maximised on them.

    Returns
    -------
    statistics : Statistics
    problem : Problem
    """
    _check_parameters(estimator)
    with_groups = _depends_on_groups(estimator)
    if is_partitioned(X):
        sample = read_partitions(estimator, X, y, groups, sample_weight, with_groups)
        X = table_like(X)
    else:
        data = read_fit_data(estimator, X, y, groups, sample_weight, with_groups)
        sample = sample_in_memory(data, estimator.n_jobs)
    read = sample.statistics
    structure = _structure(estimator, X, read)
    names = partial(column_name, estimator, read.features)
    check_range(read.moments, names, fourth_powers=True)
    problem = make_problem(sample, structure)
    _check_freedom(problem)
    return read, problem


def _depends_on_groups(estimator):
    return not (estimator.mean_groups is None and estimator.variance_groups is None)


def _check_parameters(estimator):
    check_common(estimator)
    check_flag(estimator.fit_variance_intercept, "fit_variance_intercept")
    check_nonnegative(estimator.variance_alpha, "variance_alpha")
    check_nonnegative(estimator.tol, "tol")
    check_count(estimator.max_iter, "max_iter")
    check_choice(estimator.mean_groups, "mean_groups", ("random", "fixed", None))
    check_choice(estimator.variance_groups, "variance_groups", ("fixed", None))


def _structure(estimator, X, read):
    """The `Structure` of the model, with columns by position."""
    grouped = read.labels is not None
    offset = offset_position(estimator.variance_offset, X, read.features)
    mean, variance = (
        feature_positions(getattr(estimator, name), X, read.features, name, offset)
        for name in ("mean_features", "variance_features")
    )
    return Structure(
        reml=estimator.method == "reml",
        random=grouped and estimator.mean_groups == "random",
        fixed=grouped and estimator.mean_groups == "fixed",
        effects=grouped and estimator.variance_groups == "fixed",
        mean=mean,
        variance=variance,
        offset=offset,
        fit_intercept=estimator.fit_intercept,
        fit_variance_intercept=estimator.fit_variance_intercept,
        alpha=float(estimator.alpha),
        variance_alpha=float(estimator.variance_alpha),
    )


def _check_freedom(problem):
    """Refuse REML with weights that sum to less than the number of coefficients."""
    structure = problem.structure
    if structure.reml and not structure.alpha:
        check_freedom(problem.model.rows.n, problem.rank)


def _noise_messages(n_rows, problem, point):
    """Rows whose fitted noise is far beyond the spread of y, counted."""
    moments = problem.mean_moments
    spread = moments.spread[-1] / np.sqrt(moments.n)
    if not spread:
        return
    n_noisy = count_noisy(problem.model, point, 2 * np.log(NOISY * spread))
    if n_noisy:
        yield noisy_message(n_noisy, n_rows), UserWarning


def _messages(estimator, read, problem, optimum, exact):
    """Warnings about the fit, (message, category) each."""
    if read.labels is None and _depends_on_groups(estimator):
        yield NO_GROUPS, GroupsWarning
    if exact:
        std = np.sqrt(problem.constant.noise_variance)
        message = exact_fit_message(problem.model.rows.n, problem.rank, std)
        yield message, UserWarning
        return
    name = partial(column_name, estimator, read.features)
    for message in group_messages(read, problem, name):
        yield message, GroupsWarning
    at_bounds = optimum.point.n_at_bounds
    if at_bounds:
        where = at_bounds, read.n_rows, RANGE
        remedy = "that of a model with one noise variance", "coarser groups"
        yield at_bounds_message(*where, *remedy), UserWarning
        return
    yield from _noise_messages(read.n_rows, problem, optimum.point)
    if not optimum.converged:
        yield (
            f"Newton's method stopped after {count(optimum.n_iter, 'iteration')} with "
            f"a decrement of {optimum.decrement:.1g} (tol={estimator.tol:.1g}): the "
            f"log-likelihood may be some {optimum.decrement / 2:.1g} below its "
            "optimum. Increase max_iter, use fewer variance features, or a larger "
            "variance_alpha.",
            ConvergenceWarning,
        )
