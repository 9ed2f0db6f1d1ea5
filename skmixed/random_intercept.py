"""The Gaussian random-intercept model."""

from __future__ import annotations

from copy import copy
from functools import partial
from typing import Literal, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._estimator import GroupedRegressor
from ._input.parameters import (
    check_coverage,
    check_flag,
    check_jobs,
    check_method,
    check_nonnegative,
    warn,
)
from ._input.table import read_fit_data
from ._likelihood.one_variance import (
    RandomIntercept,
    check_freedom,
    degrees_of_freedom,
    deviance,
    evaluate,
    is_exact,
)
from ._likelihood.posterior import condition, of_groups
from ._messages import NO_GROUPS, column_name, exact_fit_message, why_not_identified
from ._results.inference import predictive_freedom
from ._results.report import (
    coefficient_intervals,
    component_intervals,
    random_intercept_summary,
)
from ._results.summary import Summary
from ._rows.columns import check_range, choose_columns, noise_floor, rank_tolerance
from ._rows.dask import is_partitioned, summarize_partitions
from ._rows.gram import pool
from ._rows.sample import join, summarize
from ._search.ratio import Optimum, best_ratio
from ._typing import ColumnLike, Floats, MatrixLike


class RandomInterceptRegressor(GroupedRegressor):
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
        How many workers read the rows of a dense X; see :term:`n_jobs`.

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
        This is a result: groups differ no more than the noise makes them.
    groups_ : ndarray of shape (n_groups,)
        The group labels, sorted if they can be sorted, else in order of appearance;
        empty if the model was fitted without groups.
    random_intercepts_ : ndarray of shape (n_groups,)
        Conditional modes of b, in the order of `groups_` and the units of y.
    random_intercepts_std_ : ndarray of shape (n_groups,)
        Standard deviation of the prediction error of `random_intercepts_`, in the units
        of y: what an interval for b needs.
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
            If `groups` is not a column of labels.  After any error, and if it is
            interrupted, the model stays as it was.
        """
        self._check_parameters()
        new = copy(self)
        new._statistics = new._summarize(X, y, groups, sample_weight)
        return self._become(new._estimate())

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
        over them, the model is that of `fit` on all the rows.  What is kept of the
        rows is one figure per group and column, and the square of the columns.

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
        self._check_parameters()
        new = copy(self)
        before = getattr(new, "_statistics", None)
        first = before is None
        statistics = new._summarize(X, y, groups, sample_weight, reset=first)
        new._statistics = statistics if first else join(before, statistics)
        return self._become(new._estimate())

    def summary(self, coverage: float = 0.95) -> Summary:
        """Estimates, their uncertainty, and how well the model describes the data.

        Coefficients have t tests and intervals with Satterthwaite's degrees of freedom,
        variance components profile-likelihood intervals; with a ridge penalty there is
        z and no interval of the components.

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.

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
        check_is_fitted(self)
        check_coverage(coverage)
        return random_intercept_summary(copy(self), coverage)

    def profile_intervals(self, coverage: float = 0.95) -> dict[str, Floats]:
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

        Returns
        -------
        intervals : dict of str to ndarray
            `group_std` and `noise_std` (in the units of y), `intraclass_correlation`
            and `intercept`, of shape (2,); `coef` of shape (n_features, 2).  An end
            that the data do not give is 0, or infinite (1 for the correlation); NaN
            where there is no such parameter.

        Raises
        ------
        ValueError
            If `coverage` is no probability, or the model has a ridge penalty.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
        >>> model.profile_intervals()["group_std"].round(2)
        array([26.01, 52.94])
        """
        check_is_fitted(self)
        check_coverage(coverage)
        fitted = copy(self)
        alpha = fitted._fitted_parameters["alpha"]
        if alpha:
            raise ValueError(
                f"alpha={alpha}: a penalised likelihood has no confidence "
                "intervals. Fit with alpha=0."
            )
        components = component_intervals(fitted, coverage)
        coefficients = coefficient_intervals(fitted, coverage)
        return components | {"intercept": coefficients[0], "coef": coefficients[1:]}

    def _summarize(self, X, y, groups, sample_weight, reset=True):
        """All that is kept of rows: what follows depends on groups and columns only."""
        if is_partitioned(X):
            return summarize_partitions(self, X, y, groups, sample_weight, reset)
        data = read_fit_data(self, X, y, groups, sample_weight, reset=reset)
        return summarize(data, self.n_jobs)

    def _check_parameters(self):
        check_method(self.method)
        check_flag(self.fit_intercept, "fit_intercept")
        check_nonnegative(self.alpha, "alpha")
        check_jobs(self.n_jobs)

    def _state(self):
        """Working columns, and the likelihood of the statistics in them, whose groups
        are pooled.
        """
        read, fitted = self._statistics, self._fitted_parameters
        moments, alpha = read.moments, float(fitted["alpha"])
        check_range(moments, partial(column_name, self, read.features))
        columns = choose_columns(
            moments,
            fit_intercept=fitted["fit_intercept"],
            alpha=alpha,
            tolerance=rank_tolerance(read.n_rows, len(read.features), read.is_sparse),
        )
        return columns, RandomIntercept(
            gram=pool(columns.gram(moments)),
            n=moments.n,
            reml=fitted["method"] == "reml",
            floor=noise_floor(moments, columns.has_constant),
            penalty=columns.penalty(alpha),
            logdet_basis=columns.logdet_basis,
        )

    def _estimate(self):
        """Set all attributes from the statistics."""
        self._fitted_parameters = self.get_params(deep=False)
        labels = self._statistics.labels
        grouped = labels is not None
        columns, model = self._state()
        free = degrees_of_freedom(model, evaluate(model, 0.0).factor)
        check_freedom(model.n, model.n - free)
        optimum = best_ratio(model) if grouped else Optimum(0.0, True, 0)
        at = evaluate(model, optimum.ratio)
        n_groups = len(labels) if grouped else 0
        moments = self._statistics.moments

        def part(groups):  # made as it is needed: there may be many
            return at.factor.of(columns.gram(moments.part(groups)))

        posterior = condition(columns, at.factor, at.noise_variance, n_groups, part)
        self._set_posterior(posterior, self._statistics.features, labels)
        self.noise_variance_ = float(at.noise_variance)
        total_variance = self.group_variance_ + self.noise_variance_
        self.intraclass_correlation_ = self.group_variance_ / total_variance
        self.log_likelihood_ = float(-0.5 * deviance(model, at))
        self.at_boundary_ = bool(grouped and optimum.identified and not optimum.ratio)
        self._ratio, self._is_identified = optimum.ratio, optimum.identified
        self.n_iter_ = optimum.n_evaluations
        self.converged_ = True
        _warn(self._statistics, columns, model, at, optimum)
        return self

    def _noise_variance(self, data, codes):
        return np.full(data.X.shape[0], self.noise_variance_)

    def _predictive_freedom(self, X, codes):
        alpha = self._fitted_parameters["alpha"]
        if alpha:
            raise ValueError(
                f"alpha={alpha}: the degrees of freedom of a penalised fit are not "
                'known. Use distribution="normal", or fit with alpha=0.'
            )
        posterior, std = self._posterior, np.sqrt(self.noise_variance_)
        return predictive_freedom(
            self._state()[1],
            self._ratio,
            posterior.coefficient_rows(X, codes) / std,
            posterior.intercept_variance(codes) / self.noise_variance_,
            of_groups(posterior.loading, codes, 0.0) / std,
        )


def _warn(read, columns, model, at, optimum):
    """Say what the data could not tell: at most one warning where there are groups."""
    exact = is_exact(at.noise_variance, model.floor)
    if exact:
        std = np.sqrt(at.noise_variance)
        warn(exact_fit_message(model.n, columns.rank, std), UserWarning)
    if read.labels is None:
        warn(NO_GROUPS)
    elif not exact and (len(read.labels) == 1 or not optimum.identified):
        message = why_not_identified(read.labels, read.n_rows, columns)
        if message:
            warn(message)
