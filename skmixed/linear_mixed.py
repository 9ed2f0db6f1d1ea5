"""The linear mixed model: random slopes, and several grouping factors."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state

from ._estimator import GaussianRegressor, LinearMean, NewRows, fit_of
from ._input.factors import CONSTANT, merge_terms, read_labels
from ._input.features import (
    are_columns,
    column_names,
    feature_positions,
    offset_position,
)
from ._input.label_table import LabelTable, index_columns, open_table
from ._input.labels import GroupsWarning
from ._input.messages import (
    LABELS_IGNORED,
    NO_GROUPS,
    NO_LABELS,
    NOISY,
    NOT_JOINED,
    NOTHING_LEARNED,
    at_bounds_message,
    column_name,
    count,
    exact_fit_message,
    noisy_message,
)
from ._input.notation import RandomEffects, read_terms
from ._input.parameters import (
    check_choice,
    check_common,
    check_count,
    check_coverage,
    check_distribution,
    check_flag,
    check_group_features,
    check_nonnegative,
    warn,
    warn_of_forgotten,
    warn_of_population,
)
from ._input.table import read_fit_data, read_new_data
from ._input.typing import ColumnLike, Floats, MatrixLike
from ._likelihood.criterion import RANGE
from ._results.factor_facts import why_not_told
from ._results.mixed_fit import LinearMixedFit, fit_factors
from ._results.mixed_profile import mixed_profile_intervals, refuse_modelled_noise
from ._results.mixed_summary import effects_table, summarize_mixed
from ._results.profile import refuse_profile
from ._results.summary import MixedSummary, Table
from ._rows.cells import equivalent_rows, join_cells, sum_cells
from ._rows.columns import check_range
from ._rows.dask import (
    fetch_few,
    is_partitioned,
    keep_partitions,
    predict_partitions,
    reduce_partitions,
    table_like,
)
from ._rows.threads import one_blas_thread
from ._search.modelled_noise import Noise


@dataclass(frozen=True)
class NewMixedRows(NewRows):
    """Rows to predict by a model with any number of factors.

    Attributes beside those of `NewRows`
    ------------------------------------
    codes : list of ndarray of shape (n,)
        Position of each row's level, factor by factor; -1 for a new one.
    owner : list of ndarray of shape (n,)
        Rows with the same owner share the effects of a level.
    """

    owner: list


class LinearMixedRegressor(LinearMean, GaussianRegressor):
    """Linear mixed model: random intercepts and slopes of any grouping factors.

    The model of an observation y with features x is ::

        y = intercept + x'coef + sum over factors of z'b[level] + e
        b[level] ~ N(0, Psi),   e ~ N(0, noise_variance)

    or, with `variance_features`, ::

        e ~ N(0, v),   log v = variance_intercept + x'variance_coef

    A *factor* is a column of group labels, or a combination of several.  Each of its
    levels has random effects b: an intercept, slopes of some columns z of X, or both.
    `random_effects` says which, in lme4's notation.  Factors may be nested or crossed.
    Variances and covariances maximise the (restricted) likelihood; coefficients are
    generalised least squares, and `random_effects_` are the conditional modes of b.

    Parameters
    ----------
    random_effects : str, RandomEffects or list of these, default=None
        Terms such as ``"(days | subject) + (1 | item)"``: left of the bar the columns
        of X that have random slopes, beside a random intercept, which is ``1`` alone
        and which ``0 +`` takes away; right of it a label column, a combination ``a:b``,
        or nested ones ``a/b``, which is ``a`` and ``a:b``.  Effects of ``|`` covary
        freely, those of ``||`` not at all.  Names with other signs than letters,
        digits, ``_`` and ``.`` stand in backticks; columns of an X without names are
        x0, x1, ...  None is a random intercept for every label column, and ``""`` no
        random effects.
    method : {"reml", "ml"}, default="reml"
        Restricted maximum likelihood, whose variances allow for the estimation of the
        coefficients, or maximum likelihood.
    fit_intercept : bool, default=True
        Whether to fit an intercept.
    alpha : float, default=0.0
        Ridge penalty: adds ``alpha / (2 noise_variance) * sum(coef ** 2)`` to the
        negative log-likelihood.  Intercept and random effects are not penalised.
    mean_features : "all" or list of str, int or bool, default="all"
        Names, indices or a mask of the columns of X that enter the mean.  A column with
        random slopes need not be among them.
    variance_features : "all", None, or list of str, int or bool, default=()
        Names, indices or a mask of the columns of X that the logarithm of the noise
        variance depends on, beside an intercept.  Without any the noise is constant;
        None means all, as in :class:`HeteroscedasticGaussianRegressor`.
    variance_alpha : float, default=0.0
        Ridge penalty on the coefficients of the log-variance: adds ``variance_alpha / 2
        * sum(variance_coef ** 2)``.
    variance_offset : str or int, default=None
        Name or index of a column of X that is a known part of the log-variance: it has
        the coefficient 1, and does not enter the mean.  Precision weights w of other
        programs are -log(w).  Variances are known up to a common factor, which is
        estimated; :class:`HeteroscedasticGaussianRegressor` can hold them at their
        values.  Keep a scaler from it.
    group_features : list of str or int, default=None
        Names or indices of the columns of X that hold group labels, for tools that
        cannot route `groups`.  None means that labels are passed as `groups`.
    solver : {"auto", "direct", "iterative"}, default="auto"
        The way to solve for the effects of factors that cross.  "direct" has a matrix
        of all effects beside those of the largest factor and, with constant noise, of
        the factors that it is nested in.  "iterative" multiplies by
        sparse matrices, for any number of effects: the search needs no likelihood, so
        that there is none, and `summary` says by how much its random probes may have
        moved the variances.  "auto" is "direct" up to 5,000 such effects.  A single
        factor, and nested ones, are solved directly in any case.
    max_iter : int, default=100
        The most iterations of the search, from each of its starts.
    random_state : int, RandomState instance or None, default=None
        Seed of the random starts, which small data get beside the usual one, and of the
        probes and draws of the iterative solver.  None is a fixed seed.
    n_jobs : int, default=None
        How many workers read the rows of a dense X; see :term:`n_jobs`.  It is meant
        for a memory-mapped X on a slow disk: a fit of rows in memory is no faster by
        several workers than by one, so leave it at None there.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,)
        Coefficients, in units of y per unit of the feature; 0 for columns that are not
        in the mean.  Where columns of X are linearly dependent, those of minimal norm.
    intercept_ : float
        Intercept, in the units of y.
    coef_covariance_ : ndarray of shape (1 + n_features, 1 + n_features)
        Covariance of the estimated (intercept, coefficients).
    coef_std_ : ndarray of shape (n_features,)
        Standard errors of `coef_`.
    intercept_std_ : float
        Standard error of `intercept_`, in the units of y.
    noise_variance_ : float
        Variance of e, in squared units of y.  Absent where it is modelled.
    variance_coef_ : ndarray of shape (n_features,)
        Coefficients of the log-variance, per unit of the feature; 0 for columns that do
        not enter.  This and the next two are there only where the noise is modelled, by
        `variance_features` or `variance_offset`.
    variance_intercept_ : float
        Intercept of the log-variance: the logarithm of squared units of y.
    variance_coef_covariance_ : ndarray of shape (1 + n_features, 1 + n_features)
        Covariance of (`variance_intercept_`, `variance_coef_`): the inverse observed
        information, or the average one (of the observed and the expected) where
        several factors have more than 400 random effects.
    group_names_in_ : ndarray of shape (n_label_columns,)
        Names of the label columns that the model uses.
    groups_ : dict of str to ndarray of shape (n_levels,)
        Labels of the levels, by factor; tuples for a combination.
    random_effects_ : dict of str to ndarray of shape (n_levels, n_effects)
        Conditional modes of b in the order of `groups_`, in units of y per unit of the
        effect's column.
    random_effects_std_ : dict of str to ndarray of shape (n_levels, n_effects)
        Standard deviation of the prediction error of `random_effects_`; by the
        iterative solver from random draws, whose error `summary` tells.
    random_effects_conditional_std_ : dict of str to ndarray (n_levels, n_effects)
        The same with the coefficients taken as known.
    random_effects_covariance_ : dict of str to ndarray of shape (n_effects, n_effects)
        Psi, in squared units of y per units of the two columns.
    random_effects_names_ : dict of str to ndarray of shape (n_effects,)
        Names of the effects: ``"intercept"``, if there is one, and columns of X.
    at_boundary_ : bool
        Whether any Psi is singular: a variance of 0, or a correlation of 1.  This is a
        result; `summary` says which.
    log_likelihood_ : float
        The maximised criterion, constants included, the ridge penalty left out.  REML
        criteria are comparable only between models with the same features.  NaN by the
        iterative solver.
    n_iter_ : int
        Number of evaluations of the criterion in the search.
    converged_ : bool
        Whether the search ended at an optimum.
    n_features_in_ : int
        Number of columns of X, label columns included.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if all of them are strings.

    See Also
    --------
    RandomEffects : A term as an object.
    RandomInterceptRegressor : The model with one random intercept; its search is
        global.

    Notes
    -----
    `sample_weight` counts repetitions: a weight of 2 is the same as the row twice, and
    rows of weight 0 are absent.  (The weights of lme4 are precisions.)

    Effects that the data cannot tell apart (one row per label, two factors that divide
    the rows in the same way) get a variance of 0, with a `GroupsWarning`.  A modelled
    noise tells the variance of labels of one row each by how it differs from row to
    row, if the features of the log-variance have more distinct values than parameters.

    Where effects are not free to covary (``||``, ``0 +``), the model depends on where
    a column has its zero: scaling it by :class:`~sklearn.preprocessing.StandardScaler`
    is then another model.

    Examples
    --------
    People react more slowly with every day without sleep; how much, differs:

    >>> from skmixed import LinearMixedRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> d = load_sleepstudy(as_frame=True).frame
    >>> model = LinearMixedRegressor("(Days | Subject)")
    >>> model = model.fit(d[["Days"]], d["Reaction"], groups=d["Subject"])
    >>> print(f"{model.log_likelihood_:.4f}")
    -871.8141
    >>> model.random_effects_covariance_["Subject"].round(2)
    array([[612.09,   9.6 ],
           [  9.6 ,  35.07]])

    and with every day each of them reacts less evenly:

    >>> modelled = LinearMixedRegressor("(Days | Subject)", variance_features=["Days"])
    >>> modelled = modelled.fit(d[["Days"]], d["Reaction"], groups=d["Subject"])
    >>> modelled.predict_noise_std(d[["Days"]])[[0, 9]].round(1)
    array([16.6, 35.7])
    """

    __metadata_request__partial_fit = {"groups": True}
    _fit_kind: ClassVar[type] = LinearMixedFit

    noise_variance_: float
    variance_coef_: Floats
    variance_intercept_: float
    variance_coef_covariance_: Floats
    group_names_in_: NDArray[np.object_]
    groups_: dict[str, NDArray[Any]]
    random_effects_: dict[str, Floats]
    random_effects_std_: dict[str, Floats]
    random_effects_conditional_std_: dict[str, Floats]
    random_effects_covariance_: dict[str, Floats]
    random_effects_names_: dict[str, NDArray[np.object_]]

    def __init__(
        self,
        random_effects: str
        | RandomEffects
        | Sequence[str | RandomEffects]
        | None = None,
        *,
        method: Literal["reml", "ml"] = "reml",
        fit_intercept: bool = True,
        alpha: float = 0.0,
        mean_features: Literal["all"] | ColumnLike = "all",
        variance_features: Literal["all"] | ColumnLike = (),
        variance_alpha: float = 0.0,
        variance_offset: str | int | None = None,
        group_features: Sequence[str | int] | None = None,
        solver: Literal["auto", "direct", "iterative"] = "auto",
        max_iter: int = 100,
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.random_effects = random_effects
        self.method = method
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.mean_features = mean_features
        self.variance_features = variance_features
        self.variance_alpha = variance_alpha
        self.variance_offset = variance_offset
        self.group_features = group_features
        self.solver = solver
        self.max_iter = max_iter
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: MatrixLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Fit by (restricted) maximum likelihood.

        Parameters
        ----------
        X : {array-like, sparse matrix, Dask collection} of shape (n_rows, n_features)
            Features; label columns among them if `group_features` is set.  Partitions
            of a Dask array or dataframe are summed where they are, as batches of
            `partial_fit` are, and y, groups and weights are collections with the same
            partitions.  A modelled noise asks for such sums at every step, and fetches
            rows of less than four million numbers.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,) or table of shape (n_rows, n_columns), \
default=None
            One column of labels, which serves the one factor whatever either is called,
            or a table with the columns that `random_effects` names: a frame of pandas,
            polars or pyarrow, a structured array, or a plain array, whose columns are
            g0, g1, ...  Labels are positional: an index is ignored.  Without labels no
            random effects are fitted, with a `GroupsWarning`.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.

        Returns
        -------
        self : LinearMixedRegressor

        Raises
        ------
        ValueError
            If `random_effects` is no notation of terms, names columns that are not
            there, or has an effect twice; if the input is of the wrong length or shape,
            not finite, or out of the range in which squares are representable; if
            labels are missing; if both doors for groups are used; if under REML the
            weights sum to less than the number of coefficients.
        TypeError
            If `groups` is neither a column nor a table.  After any error, and if it is
            interrupted, the model stays as it was.

        Warns
        -----
        GroupsWarning
            If there are no labels, or the data cannot tell a variance.
        ConvergenceWarning
            If the search ends before the optimum.
        """
        return self._become(*self._fitted(X, y, groups, sample_weight))

    def partial_fit(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: MatrixLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> Self:
        """Fit to these rows and all that were fitted before.

        Exact: after any sequence of batches, in whatever order and with labels spread
        over them, the model is that of `fit` on all the rows.  What is kept of the rows
        is, for every combination of labels that they have, a figure per column of X
        and random effect, and the square of the columns.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `fit`.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,) or table, default=None
            Labels, as in `fit`; either all batches have them, or none.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.

        Returns
        -------
        self : LinearMixedRegressor

        Raises
        ------
        ValueError
            As `fit`, or if the columns, the label columns, the slopes or the kind of
            labels are not those of the rows before.  Then, and if it is interrupted,
            the model stays as it was.

        Warns
        -----
        GroupsWarning
            If the model was fitted by `fit` in memory, which keeps no sums of its rows
            that others could join: these rows are then the first.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> model = LinearMixedRegressor("(x0 | subject)")
        >>> for rows in (slice(0, 50), slice(50, 180)):
        ...     model = model.partial_fit(X[rows], y[rows], groups=subjects[rows])
        >>> print(f"{model.log_likelihood_:.4f}")
        -871.8141
        """
        return self._become(*self._fitted_further(X, y, groups, sample_weight))

    @overload
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: MatrixLike | None = None,
        factors: Sequence[str] | None = None,
        return_std: Literal[False] = False,
    ) -> Floats: ...

    @overload
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: MatrixLike | None = None,
        factors: Sequence[str] | None = None,
        return_std: Literal[True],
    ) -> tuple[Floats, Floats]: ...

    @one_blas_thread
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: MatrixLike | None = None,
        factors: Sequence[str] | None = None,
        return_std: bool = False,
    ) -> Floats | tuple[Floats, Floats]:
        """Predict the expected value of y in each row.

        The value is that of the row's levels, or of an average level of the factors
        that are left out: a missing label asks for *some* level, which nobody knows,
        and a factor left out for the average one.  It is lme4's ``re.form``.  The
        standard deviation counts the errors of coefficients and effects, and neither
        the noise nor the variance of the factors that are left out.

        Behind a Pipeline:
        ``pipe[-1].predict_mean(pipe[:-1].transform(X), groups=groups)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features.
        groups : array-like of shape (n_rows,) or table, default=None
            Group labels, as in `predict`; those of the factors that count.
        factors : list of str, default=None
            Names of the factors whose effects count; None means all of them, and an
            empty list the population.
        return_std : bool, default=False
            Whether to return the standard deviation of the expected value.

        Returns
        -------
        y_mean : ndarray of shape (n_rows,)
            Expected value, in the units of y.
        mean_std : ndarray of shape (n_rows,)
            Standard deviation of the expected value, in the units of y.  Only if
            ``return_std=True``.

        Raises
        ------
        ValueError, TypeError
            As `predict`, and if `factors` is no list of factors of the model.

        Warns
        -----
        PopulationPredictionWarning
            As `predict`, unless `factors` is empty.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> model = LinearMixedRegressor("(x0 | subject)").fit(X, y, groups=subjects)
        >>> for factors in (["subject"], []):
        ...     mean, std = model.predict_mean(
        ...         [[5.0]], groups=[308], factors=factors, return_std=True
        ...     )
        ...     print(f"{mean[0]:.1f} +- {std[0]:.1f} ms")
        352.0 +- 8.0 ms
        303.7 +- 9.6 ms
        """
        check_flag(return_std, "return_std")
        here = copy(self)  # of one fit, whatever other threads do
        fit = fit_of(here)
        some = positions_of(factors, fit.names_of_factors)
        if is_partitioned(X):
            how = {"factors": factors}
            return here._predict_lazily("predict_mean", X, groups, return_std, **how)
        new = here._read_new(X, groups, None, some)
        mean = fit.posterior.mean(new.X, new.codes, some)
        if return_std:
            return mean, np.sqrt(fit.posterior.variance(new.X, new.codes, some))
        return mean

    def summary(
        self,
        coverage: float = 0.95,
        distribution: Literal["t", "integrated"] = "t",
    ) -> MixedSummary:
        """Estimates, their uncertainty, and how well the model describes the data.

        Coefficients have t tests and intervals with Satterthwaite's degrees of freedom.
        Intervals of standard deviations are normal for their logarithms, those of
        correlations for Fisher's z.  With a ridge penalty there is z, and the
        components have no intervals.

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.
        distribution : {"t", "integrated"}, default="t"
            The intervals of coefficients and components: as above, or those of the
            distribution that is integrated over the variances, as in
            `predict_interval`; it is recommended where levels are fewer than 20.

        Returns
        -------
        summary : MixedSummary
            Prints as text, and as HTML in a notebook; its figures are attributes, and
            its tables give DataFrames by `to_frame`.

        Raises
        ------
        ValueError
            If `coverage` is no probability; if `distribution` is "integrated" and the
            model offers none.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> model = LinearMixedRegressor("(x0 | subject)").fit(X, y, groups=subjects)
        >>> model.summary().variance_components
                                          std      corr       low    high
        intercept | subject             24.74         -    15.582  39.283
        x0 | subject                   5.9221         -    3.9183  8.9508
        corr(intercept, x0 | subject)       -  0.065551  -0.51839  0.6078
        noise                          25.592         -      22.8  28.725
        """
        fit = fit_of(self)
        check_coverage(coverage)
        check_distribution(distribution, ("t", "integrated"))
        return summarize_mixed(fit, coverage, distribution)

    def random_effects_interval(
        self,
        factor: str,
        coverage: float = 0.9,
        distribution: Literal["integrated", "normal"] = "integrated",
    ) -> Floats:
        """Intervals of the random effects of the known levels of a factor.

        Parameters
        ----------
        factor : str
            Name of the factor, a key of `groups_`.
        coverage : float, default=0.9
            Probability of the intervals, above 0 and below 1.
        distribution : {"integrated", "normal"}, default="integrated"
            The integrated distribution counts the uncertainty of the variances, as in
            `predict_interval`.  The normal one takes them as known: with `z` its
            quantile it is ``random_effects_ +- z * random_effects_std_``, which holds
            too little where levels are few.

        Returns
        -------
        interval : ndarray of shape (n_levels, n_effects, 2)
            In the order of `groups_` and `random_effects_names_`, in units of y per
            unit of the effect's column.

        Raises
        ------
        ValueError
            If the model has no such factor, or `coverage` is no probability; if
            `distribution` is "integrated" and the model offers none.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> model = LinearMixedRegressor("(x0 | subject)").fit(X, y, groups=subjects)
        >>> intercept, slope = model.random_effects_interval("subject")[0]
        >>> slope.round()
        array([ 5., 14.])
        """
        fit = fit_of(self)
        (t,) = positions_of([factor], fit.names_of_factors)
        check_coverage(coverage)
        check_distribution(distribution, ("integrated", "normal"))
        return fit.effects_interval(t, coverage, distribution == "integrated")

    def profile_intervals(
        self, coverage: float = 0.95, parameters: str | Sequence[str] | None = None
    ) -> dict[str, Floats]:
        """Profile-likelihood intervals.

        The values of a parameter that the likelihood, at its best over all other
        parameters, does not reject at the level ``1 - coverage``.  Those of standard
        deviations and correlations are of the likelihood that was maximised; those of
        the coefficients always of the full one, as in lme4.  (lme4 takes that one for
        all parameters: ``method="ml"`` gives its figures.)

        Parameters
        ----------
        coverage : float, default=0.95
            Probability of the intervals.
        parameters : str or sequence of str, default=None
            Those of the parameters below that are asked for; the name of a column of X
            asks for its coefficient alone.  None means all but single columns.

        Returns
        -------
        intervals : dict of str to ndarray
            Of every effect ``"std(Days | Subject)"``, in units of y per unit of its
            column; of effects that covary ``"corr(intercept, Days | Subject)"``;
            `noise_std` and `intercept`, all of shape (2,); `coef` of shape
            (n_features, 2).  A standard deviation may begin at 0, and a correlation
            reach from -1 to 1; NaN is the interval of what the data do not tell.

        Raises
        ------
        ValueError
            If `coverage` is no probability, if `parameters` has a name that is not
            known, or if the model has a ridge penalty or a modelled noise.

        Notes
        -----
        A parameter takes some 60 to 100 evaluations of the likelihood, from the figures
        that the fit keeps: about 0.1 s with a few thousand levels, and as much time as
        several fits where factors cross in thousands of levels each.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, g = load_sleepstudy(return_X_y_groups=True, as_frame=True)
        >>> model = LinearMixedRegressor("(Days | Subject)", method="ml")
        >>> model = model.fit(X, y, groups=g)
        >>> names = ["std(Days | Subject)", "corr(intercept, Days | Subject)", "Days"]
        >>> for name, ends in model.profile_intervals(parameters=names).items():
        ...     print(name, ends.round(4))
        std(Days | Subject) [3.8012 8.7534]
        corr(intercept, Days | Subject) [-0.4815  0.685 ]
        Days [ 7.3587 13.5759]
        """
        fit = fit_of(self)
        check_coverage(coverage)
        refuse_profile(fit.alpha)
        refuse_modelled_noise(fit)
        return mixed_profile_intervals(fit, coverage, parameters)

    def random_effects_table(self, factor: str, *, total: bool = False) -> Table:
        """The effects of every level of a factor, with their standard deviations.

        Parameters
        ----------
        factor : str
            Name of the factor, a key of `groups_`.
        total : bool, default=False
            Whether to add the coefficients of the same columns: the intercept and the
            slopes of each level, as lme4's ``coef()``.

        Returns
        -------
        table : Table
            One row per level; for each effect its conditional mode and the standard
            deviation of its error, ``std(...)``.  It prints, and gives a DataFrame by
            `to_frame`.

        Raises
        ------
        ValueError
            If the model has no such factor.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> model = LinearMixedRegressor("(x0 | subject)").fit(X, y, groups=subjects)
        >>> table = model.random_effects_table("subject", total=True)
        >>> table.to_frame().head(3).round(2)
             intercept  std(intercept)     x0  std(x0)
        308     253.66           12.25  19.67     2.34
        309     211.01           12.25   1.85     2.34
        310     212.44           12.25   5.02     2.34
        """
        fit = fit_of(self)
        check_flag(total, "total")
        (t,) = positions_of([factor], fit.names_of_factors)
        return effects_table(fit, t, bool(total))

    @one_blas_thread
    def update_random_effects(
        self, X: MatrixLike, y: ColumnLike, *, groups: MatrixLike | None = None
    ) -> Self:
        """Learn the effects of levels from further rows, without a new fit.

        Variance components and coefficients stay as they are, and so do their standard
        errors; given those, the effects of all levels become the modes on the rows of
        the fit and of all updates.  The same rows twice count twice.  By the iterative
        solver all effects are solved for anew, which takes part of the time of a fit.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Observations.
        groups : array-like of shape (n_rows,) or table, default=None
            Group labels, known or new; none of them missing.  In X if `group_features`
            is set.

        Returns
        -------
        self : LinearMixedRegressor
            The same model, with `groups_`, `random_effects_` and their standard
            deviations updated.

        Raises
        ------
        ValueError
            If the model has no random effects, or the rows are not as in `predict`.
            Then, and if it is interrupted, the model stays as it was.

        Warns
        -----
        GroupsWarning
            If all variances are 0, so that nothing can be learned.

        Examples
        --------
        >>> from skmixed import LinearMixedRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> old = subjects != 372
        >>> model = LinearMixedRegressor("(x0 | subject)")
        >>> model = model.fit(X[old], y[old], groups=subjects[old])
        >>> new = (subjects == 372) & (X[:, 0] < 5)
        >>> model = model.update_random_effects(X[new], y[new], groups=subjects[new])
        >>> mean, std = model.predict([[9.0]], groups=[372], return_std=True)
        >>> print(f"{mean[0]:.0f} +- {std[0]:.0f} ms")
        358 +- 45 ms
        """
        return self._updated(X, y, groups)

    def _check_parameters(self):
        """The terms, after the checks of all parameters."""
        check_common(self)
        check_nonnegative(self.variance_alpha, "variance_alpha")
        check_choice(self.solver, "solver", ("auto", "direct", "iterative"))
        check_count(self.max_iter, "max_iter")
        check_random_state(self.random_state)
        check_group_features(self.group_features)
        return read_terms(self.random_effects)

    @one_blas_thread
    def _fitted(self, X, y, groups=None, sample_weight=None):
        """A fitted copy, and the warnings about it."""
        terms = self._check_parameters()
        new = copy(self)
        if is_partitioned(X):
            rows, partitions = (X, y, groups, sample_weight), None
            if _models_noise(self):
                few = fetch_few(*rows)
                if few is not None:
                    return self._fitted(*few)
            how = partial(_sum_rows, terms, True)
            cells = reduce_partitions(new, *rows, how, join_cells)
            if _models_noise(self):
                how = partial(_read_rows, terms, False)
                partitions = keep_partitions(new, *rows, how)
            return new._estimate(cells, terms, table_like(X), partitions)
        data = _read_rows(terms, True, new, X, y, groups, sample_weight)
        return new._fit_rows(data, terms, X)

    @one_blas_thread
    def _fitted_further(self, X, y, groups, sample_weight):
        """A copy that is fitted to these rows and those before, and the warnings."""
        terms, new = self._check_parameters(), copy(self)
        _refuse_modelled_noise(self)
        fit = getattr(new, "_fit", None)
        before = None if fit is None else fit.cells
        if before is None and fit is not None:
            warn(NOT_JOINED)
        cells = _sum_rows(terms, before is None, new, X, y, groups, sample_weight)
        if before is not None:
            cells = join_cells(before, cells)
            if fit.is_updated:
                labels = fit.known.labels, cells.labels
                warn_of_forgotten(*labels, "update_random_effects")
        return new._estimate(cells, terms, X)

    def _estimate(self, cells, terms, X, partitions=None):
        """The estimator with the fit of these sums, and the warnings about it; X is a
        table with the columns of the rows, which workers hold if the noise is modelled.
        """
        check_range(cells.sums.moments(), partial(column_name, self, cells.features))
        data = equivalent_rows(cells)
        new, messages = self._fit_rows(data, terms, X, partitions)
        return new._keep(replace(new._fit, cells=cells)), messages

    def _fit_rows(self, data, terms, X, partitions=None):
        """The estimator with the fit of these rows, and the warnings about it."""
        factors = _factors_of(self, data, terms)
        offset = offset_position(self.variance_offset, X, data.features)
        seed = _seed(self.random_state)
        where = X, data.features, "mean_features", offset
        fit, found = fit_factors(
            data,
            factors,
            feature_positions(self.mean_features, *where),
            self._names(),
            noise=_noise_of(self, X, data, offset, partitions),
            uses_groups=terms is None or len(terms) > 0,
            method=self.method,
            alpha=float(self.alpha),
            fit_intercept=bool(self.fit_intercept),
            search=(self.max_iter, seed),
            solver=(self.solver, seed),
            n_jobs=self.n_jobs,
            names=partial(column_name, self, data.features),
        )
        return self._keep(fit), list(_messages(found, fit))

    def _predict_lazily(self, method, X, groups, return_std, **flags):
        fit = fit_of(self)
        if groups is None and self.group_features is None and fit.factors:
            warn_of_population(max(fit.n_levels), fit.known.names)
        flags["return_std"] = return_std
        return predict_partitions(copy(self), method, X, groups, flags)

    def _read_new(self, X, groups, y, factors=None):
        """Rows to predict, of which labels of some factors are read; None is all."""
        fit, n_factors = self._fit, len(self._fit.factors)
        some = range(n_factors) if factors is None else factors
        known = fit.known.of(some)
        read = partial(_read_later, known, fit.uses_groups and not n_factors)
        data = read_new_data(self, X, groups, y, read)
        if data.index is None and len(some):
            warn_of_population(max(fit.n_levels[t] for t in some), known.names)
        codes = [np.full(data.n_rows, -1, dtype=np.int32)] * n_factors
        owner = [np.arange(data.n_rows)] * n_factors
        if data.index is not None:
            for t, levels in zip(some, known.locate(data.index), strict=True):
                codes[t], owner[t] = levels
        return NewMixedRows(fit, data, codes, n_factors, owner)

    def _observe(self, X, y, groups):
        """Take the fit after further rows."""
        fit = self._fit
        read = partial(_read_later, fit.known, False)
        data = read_new_data(self, X, groups, y, read)
        if data.index is None:
            raise ValueError(NO_LABELS)
        data.index.check_present()
        if not fit.factors:
            raise ValueError(
                "The model has no random effects (it was fitted without `groups`, or "
                "without terms); fit it anew with these rows."
            )
        if not any(covariance.any() for covariance in fit.covariances):
            warn(NOTHING_LEARNED)
        known, moved, codes = fit.known.join(data.index)
        return self._keep(fit.observed(data.X, data.y, codes, known, moved))


def _read_rows(terms, reset, estimator, X, y, groups, sample_weight):
    """Validated rows of a fit; `estimator` takes the attributes of their columns."""
    if groups is None and estimator.group_features is None:
        _refuse_labels_in(X, terms)
    read = partial(read_labels, terms)
    how = {"reset": reset, "read_labels": read}
    data = read_fit_data(estimator, X, y, groups, sample_weight, **how)
    if data.index is not None:
        data.index.check_present()
    return data


def _refuse_labels_in(X, terms):
    """Refuse labels that are a column of X, and would be a feature."""
    columns, named = column_names(X), [c for t in terms or () for c in t.label_columns]
    found = [name for name in named if isinstance(name, str) and name in columns]
    if found:
        raise ValueError(
            f"random_effects names {found[0]!r}, which is a column of X, and `groups` "
            "is None: it would be a feature beside no random effects. Pass "
            f"group_features={[*dict.fromkeys(found)]!r}, or take the column out of X "
            "and pass it as `groups`."
        )


def _sum_rows(terms, reset, estimator, X, y, groups, sample_weight):
    """The sums over the cells of some rows."""
    data = _read_rows(terms, reset, estimator, X, y, groups, sample_weight)
    factors = _factors_of(estimator, data, terms)
    columns = {j for factor in factors for j in factor.columns if j != CONSTANT}
    return sum_cells(data, np.array(sorted(columns), dtype=int), estimator.n_jobs)


def _factors_of(estimator, data, terms):
    """The factors of a model of these rows."""
    names = getattr(estimator, "feature_names_in_", None)
    where = data.features, names, estimator.n_features_in_
    return merge_terms(terms, data.index, *where)


def _noise_of(estimator, X, data, offset, partitions):
    """The log-variance of a model of these rows; None where the noise is constant."""
    where = X, data.features, "variance_features", offset
    variance = feature_positions(estimator.variance_features, *where)
    if offset is None and not len(variance):
        return None
    return Noise(variance, offset, float(estimator.variance_alpha), partitions)


def _models_noise(estimator):
    """Whether the noise is not constant."""
    has_columns = are_columns(estimator.variance_features, "variance_features")
    return has_columns or estimator.variance_offset is not None


def _refuse_modelled_noise(estimator):
    """Refuse batches where the noise is modelled, which depends on each row."""
    if _models_noise(estimator):
        raise ValueError(
            "variance_features and variance_offset need all rows at once: batches are "
            "reduced to sums, in which the noise of a row is lost. Call fit with "
            "arrays or a Dask collection, or leave the noise constant."
        )


def _seed(random_state):
    """An integer; None is a fixed one, so that fits can be repeated."""
    if random_state is None or isinstance(random_state, numbers.Integral):
        return int(random_state or 0)
    return int(check_random_state(random_state).randint(2**31 - 1))


def positions_of(factors, names):
    """Positions of some factors among those of a model; None of None."""
    if factors is None:
        return None
    if isinstance(factors, str) or not hasattr(factors, "__len__"):
        raise TypeError(f"factors is a list of names of factors, got {factors!r:.60}.")
    for name in factors:
        if name not in names:
            raise ValueError(f"The model has no factor {name!r}; it has {names}.")
    return sorted({names.index(name) for name in factors})


def _read_later(known, ignored, groups, n_rows, names=None):
    """The labels of rows after the fit."""
    columns = open_table(groups, n_rows, names)
    if known.names:
        return index_columns(columns, known.positions_in(columns), n_rows)
    if ignored:
        warn(LABELS_IGNORED)
    return LabelTable((), ())


def _messages(found, fit):
    """Warnings about the fit, (message, category) each."""
    if fit.uses_groups and not fit.factors:
        yield NO_GROUPS.replace("group_feature", "group_features"), GroupsWarning
    lost, point = list(why_not_told(found.terms, fit.factors, found)), found.noise_point
    if found.exact:
        std = np.sqrt(found.noise_variance)
        message = exact_fit_message(fit.n_rows, found.columns.rank, std)
        yield message, UserWarning
        return
    if lost:
        yield " ".join(lost), GroupsWarning
    elif point is not None and (n_at_bounds := point.n_at_bounds):
        where = n_at_bounds, fit.n_rows, RANGE
        remedy = "the geometric mean", "fewer random effects"
        others = ", and the noise of all other rows comes out too small"
        yield at_bounds_message(*where, *remedy, others), UserWarning
        return
    elif point is not None and (n_noisy := _n_noisy(point, fit)):
        yield noisy_message(n_noisy, fit.n_rows), UserWarning
        return
    if not found.converged:
        yield (
            f"The search stopped after {count(found.n_iter, 'evaluation')} of the "
            "likelihood, before its optimum. Raise max_iter, or scale the columns of "
            "the slopes.",
            ConvergenceWarning,
        )


def _n_noisy(point, fit):
    """Number of rows whose noise is far beyond the spread of y."""
    _, scatter = fit.response
    if not scatter:
        return 0
    highest = np.log(NOISY**2 * scatter / fit.n_rows / point.noise_variance)
    return point.n_above(highest)
