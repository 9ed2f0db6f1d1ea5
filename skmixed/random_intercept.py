"""The Gaussian random-intercept model."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import Literal, Self

from ._estimator import LinearGroupedRegressor, fit_of
from ._input.messages import column_name
from ._input.parameters import (
    check_common,
    check_coverage,
    check_distribution,
    warn_of_forgotten,
)
from ._input.table import read_fit_data
from ._input.typing import ColumnLike, Floats, MatrixLike
from ._results.one_factor_summary import summarize_fit
from ._results.profile import profile_intervals, refuse_profile
from ._results.random_intercept import RandomInterceptFit, fit_statistics
from ._results.summary import Summary
from ._rows.columns import check_range
from ._rows.dask import is_partitioned, summarize_partitions
from ._rows.statistics import join, summarize
from ._rows.threads import one_blas_thread


class RandomInterceptRegressor(LinearGroupedRegressor):
    """Linear regression with a random intercept for every group.

    The model of observation j of group g is ::

        y_gj = intercept + x_gj'coef + b_g + e_gj
        b_g ~ N(0, group_variance),   e_gj ~ N(0, noise_variance)

    All observations of a group share b_g, so they are correlated: their covariance is
    the block ``noise_variance * I + group_variance * 11'``.  The variances maximise the
    (restricted) likelihood, found by a global search to full precision; coefficients
    are generalised least squares, and `random_intercepts_` are the conditional modes of
    b_g, shrunk towards 0 the more, the fewer observations a group has.

    Parameters
    ----------
    method : {"reml", "ml"}, default="reml"
        Restricted maximum likelihood, whose variances allow for the estimation of the
        coefficients, or maximum likelihood.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    alpha : float, default=0.0
        Ridge penalty: adds ``alpha / (2 noise_variance) * sum(coef ** 2)`` to the
        negative log-likelihood.  The intercept and the random intercepts are not
        penalised.  Without groups the coefficients are those of
        :class:`~sklearn.linear_model.Ridge`.
    group_feature : str or int, default=None
        Name or index of the column of X that holds the group labels, for tools that
        cannot route `groups`; -1 is the last column.  None means that labels are passed
        as `groups`.
    n_jobs : int, default=None
        How many workers read the rows of a dense X; see :term:`n_jobs`.  It is meant
        for a memory-mapped X on a slow disk: a fit of rows in memory is no faster by
        several workers than by one, so leave it at None there.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients, in units of y per unit of the feature; 0 for the label column.
        Where columns of X are linearly dependent, those of minimal norm.
    intercept_ : float
        Intercept, in the units of y: the prediction for an average group at x = 0.
    coef_covariance_ : ndarray of shape (1 + n_features, 1 + n_features)
        Covariance of the estimated (intercept, coefficients).
    coef_std_ : ndarray of shape (n_features,)
        Standard errors of `coef_`.
    intercept_std_ : float
        Standard error of `intercept_`, in the units of y.
    noise_variance_ : float
        Variance of e, in squared units of y.
    group_variance_ : float
        Variance of b, in squared units of y.
    intraclass_correlation_ : float
        ``group_variance_ / (group_variance_ + noise_variance_)``: the correlation of
        two observations of one group.
    at_boundary_ : bool
        Whether the criterion is best at a group variance of 0, the end of its range.
        This is a result: groups differ no more than the noise makes them.  False beside
        a group variance of 0 that the data do not determine: with one group, with
        groups of one row each, and where y is fitted exactly.
    groups_ : ndarray of shape (n_groups,)
        The group labels, sorted if they can be sorted, else in order of appearance;
        empty if the model was fitted without groups.
    random_intercepts_ : ndarray of shape (n_groups,)
        Conditional modes of b, in the order of `groups_` and the units of y.
    random_intercepts_std_ : ndarray of shape (n_groups,)
        Standard deviation of the prediction error of `random_intercepts_`, in the units
        of y.  The variances count as known: with few groups an interval of 1.96 of them
        holds b in less than 95 % of cases, and at a group variance of 0 all of them
        are 0.
    random_intercepts_conditional_std_ : ndarray of shape (n_groups,)
        The same with the coefficients taken as known.
    log_likelihood_ : float
        The maximised criterion, constants included, the ridge penalty left out.  REML
        criteria are comparable only between models with the same features.
    n_iter_ : int
        Number of evaluations of the criterion in the search.
    converged_ : bool
        Always True: the search is exact.
    n_features_in_ : int
        Number of columns of X, the label column included.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if all of them are strings.

    See Also
    --------
    sklearn.linear_model.Ridge : With penalised one-hot columns of the groups and
        ``alpha = noise_variance / group_variance`` it is this model at known variances.

    Notes
    -----
    `sample_weight` counts repetitions: a weight of 2 is the same as the row twice, and
    rows of weight 0 are absent.  (The weights of lme4 and GPBoost are precisions.)

    One group, or groups of one row each, cannot tell the group variance from the rest:
    it is then 0, with a `GroupsWarning`.  Where the model leaves no residual (constant
    y, as many coefficients as rows) the noise standard deviation is set to 1e-13 times
    that of y, or of its mean if y is constant, with a warning.

    The restricted likelihood is that of Patterson and Thompson [1]_; prediction error
    variances are Henderson's [2]_.  docs/math.md derives all formulas.

    References
    ----------
    .. [1] H. D. Patterson and R. Thompson (1971), "Recovery of inter-block information
       when block sizes are unequal", Biometrika 58, 545-554.
    .. [2] C. R. Henderson (1975), "Best linear unbiased estimation and prediction under
       a selection model", Biometrics 31, 423-447.

    Examples
    --------
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
    >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
    >>> print(f"{model.coef_[0]:.3f} ms per day")
    10.467 ms per day
    >>> print(f"{model.group_variance_:.1f} {model.noise_variance_:.1f}")
    1378.2 960.5

    Day 10 of subject 308, who was in the data, and of somebody who was not:

    >>> mean, std = model.predict([[10], [10]], groups=[308, 1], return_std=True)
    >>> for m, s in zip(mean, std):
    ...     print(f"{m:.1f} +- {s:.1f} ms")
    396.9 +- 32.7 ms
    356.1 +- 49.4 ms
    """

    __metadata_request__partial_fit = {"groups": True}
    _fit_kind = RandomInterceptFit

    noise_variance_: float

    def __init__(
        self,
        *,
        method: Literal["reml", "ml"] = "reml",
        fit_intercept: bool = True,
        alpha: float = 0.0,
        group_feature: str | int | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.method = method
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.group_feature = group_feature
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
            Features; the label column among them if `group_feature` is set.  float32
            is read block by block.  A sparse X is never made dense, but its sums over
            groups are, (n_groups, n_features), and it is reduced by cross-products,
            which find columns dependent from a relative 1e-7 on.  Partitions of a Dask
            array or dataframe are reduced where they are, and y, groups and weights
            are collections with the same partitions.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,), default=None
            One label per row: numbers, strings, dates or other scalars.  Labels are
            positional: the index of a Series is ignored.  Without labels no random
            intercepts are fitted, with a `GroupsWarning`.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.

        Returns
        -------
        self : RandomInterceptRegressor

        Raises
        ------
        ValueError
            If the input is of the wrong length or shape, not finite, or out of the
            range in which squares are representable; if labels are missing; if both
            doors for groups are used; if under REML the weights sum to less than the
            number of coefficients.
        TypeError
            If `groups` is not a column of labels.
        MemoryError
            If a sparse X has more columns or groups than free memory can hold the
            figures of.  After any error, and if it is interrupted, the model stays as
            it was.
        """
        return self._become(*self._fitted(X, y, groups, sample_weight))

    def partial_fit(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Fit to these rows and all that were fitted before.

        Exact: after any sequence of batches, in whatever order and with groups spread
        over them, the model is that of `fit` on all the rows.  The model keeps one
        figure per group and column of the rows, and the products of the columns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `fit`.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,), default=None
            One label per row; either all batches have labels, or none.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.

        Returns
        -------
        self : RandomInterceptRegressor

        Raises
        ------
        ValueError
            As `fit`, or if the columns or the kind of labels are not those of the
            rows before.  Then, and if it is interrupted, the model stays as it was.

        Warns
        -----
        GroupsWarning
            If groups that `update_random_intercepts` made known have no rows in any
            fit: rows of updates do not count, unless they are passed here as well.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor()
        >>> for rows in (slice(0, 50), slice(50, 180)):
        ...     model = model.partial_fit(X[rows], y[rows], groups=groups[rows])
        >>> print(f"{model.coef_[0]:.3f} {model.group_variance_:.1f}")
        10.467 1378.2
        """
        check_common(self)
        return self._become(*self._fitted_further(X, y, groups, sample_weight))

    def summary(
        self,
        coverage: float = 0.95,
        distribution: Literal["t", "integrated"] = "t",
    ) -> Summary:
        """Estimates, their uncertainty, and how well the model describes the data.

        Coefficients have t tests and intervals with Satterthwaite's degrees of freedom,
        variance components profile-likelihood intervals; with a ridge penalty there is
        z and no interval of the components.

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.
        distribution : {"t", "integrated"}, default="t"
            The intervals of coefficients and standard deviations: Student's t and the
            profile likelihood, or the distribution that is integrated over the
            variances, as in `predict_interval`; it is recommended where groups are
            fewer than 20.

        Returns
        -------
        summary : Summary
            Prints as text, and as HTML in a notebook; its figures are attributes, and
            its tables give DataFrames by `to_frame`.

        Raises
        ------
        ValueError
            If `coverage` is no probability.

        References
        ----------
        .. [1] A. Kuznetsova, P. B. Brockhoff, R. H. B. Christensen (2017), "lmerTest
           package: tests in linear mixed effects models", Journal of Statistical
           Software 82(13).

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
        >>> model.summary().coefficients
                     coef      std       t     df        p     low    high
        intercept  251.41   9.7467  25.794  22.81  2.2e-18  231.23  271.58
        x0         10.467  0.80422  13.015    161  6.4e-27  8.8791  12.055
        """
        fit = fit_of(self)
        check_coverage(coverage)
        check_distribution(distribution, ("t", "integrated"))
        return summarize_fit(fit, coverage, distribution)

    def profile_intervals(
        self, coverage: float = 0.95, parameters: str | Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """Profile-likelihood intervals.

        The values of a parameter that the likelihood, at its best over all other
        parameters, does not reject at the level ``1 - coverage``.  Those of the
        variances are of the likelihood that was maximised; those of the coefficients
        always of the full one, as in lme4: restricted likelihoods of different
        coefficients cannot be compared.

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.
        parameters : str or sequence of str, default=None
            Those of the parameters below that are asked for; the name of a column of X
            (x0, x1, ... where they have none) asks for its coefficient alone.  None
            means all but single columns.

        Returns
        -------
        intervals : dict of str to ndarray
            `group_std` and `noise_std` (in the units of y), `intraclass_correlation`
            and `intercept`, of shape (2,); `coef` of shape (n_features, 2).  An end
            that the data do not give is 0, or infinite (1 for the correlation); NaN
            where there is no such parameter, or the coefficient is not estimable.

        Raises
        ------
        ValueError
            If `coverage` is no probability, if `parameters` has a name that is not
            known, or if the model has a ridge penalty.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
        >>> model.profile_intervals(parameters="group_std")["group_std"].round(2)
        array([26.01, 52.94])
        """
        fit = fit_of(self)
        check_coverage(coverage)
        refuse_profile(fit.alpha)
        return profile_intervals(fit, coverage, parameters)

    def _summarize(self, X, y, groups, sample_weight, reset=True):
        """The statistics of the rows, on which everything else depends."""
        if is_partitioned(X):
            return summarize_partitions(self, X, y, groups, sample_weight, reset)
        data = read_fit_data(self, X, y, groups, sample_weight, reset=reset)
        return summarize(data, self.n_jobs)

    @one_blas_thread
    def _fitted(self, X, y, groups=None, sample_weight=None):
        """A fitted copy, and the warnings about it."""
        check_common(self)
        new = copy(self)
        return new._estimate(new._summarize(X, y, groups, sample_weight))

    @one_blas_thread
    def _fitted_further(self, X, y, groups, sample_weight):
        """A copy that is fitted to these rows and those before, and the warnings."""
        new = copy(self)
        before = getattr(new, "_fit", None)
        statistics = new._summarize(X, y, groups, sample_weight, reset=before is None)
        if before is not None:
            statistics = join(before.statistics, statistics)
            if before.is_updated:
                labels = [before.labels], [statistics.labels]
                warn_of_forgotten(*labels, "update_random_intercepts")
        return new._estimate(statistics)

    def _estimate(self, statistics):
        """The estimator with the fit of these statistics, and the warnings about it."""
        names = partial(column_name, self, statistics.features)
        check_range(statistics.moments, names)
        fit, messages = fit_statistics(
            statistics,
            self._names(),
            method=self.method,
            fit_intercept=self.fit_intercept,
            alpha=float(self.alpha),
        )
        return self._keep(fit), messages
