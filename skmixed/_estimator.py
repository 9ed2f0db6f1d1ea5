"""The part that estimators share: the doors for groups and everything after `fit`."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import check_is_fitted

from ._input.labels import check_present, join_labels
from ._input.messages import LABELS_IGNORED, NO_LABELS, NOTHING_LEARNED
from ._input.parameters import (
    check_count,
    check_coverage,
    check_distribution,
    check_flag,
    population_is_meant,
    warn,
    warn_all,
    warn_of_population,
)
from ._input.table import (
    Data,
    check_weight,
    in_memory,
    read_column,
    read_new_data,
    second_door,
)
from ._input.typing import ColumnLike, Floats, MatrixLike
from ._likelihood.normal import normal_interval, t_interval
from ._results.fit import Fit
from ._results.state import from_plain, read_only, to_plain
from ._rows.dask import is_partitioned, predict_partitions
from ._rows.threads import one_blas_thread, products_of

# To be raised when models that were stored before cannot be read any more.
STATE_FORMAT = 2


@dataclass(frozen=True)
class NewRows:
    """Rows to predict, and the fit that predicts them.

    Attributes
    ----------
    fit : Fit
        As it was when the estimator was asked: another thread may refit that.
    data : Data
    codes : ndarray of shape (n,)
        Position of the row's group among those of the fit; -1 for a new group.
    n_known : int
        Number of groups of the fit.
    """

    fit: Fit
    data: Data
    codes: np.ndarray
    n_known: int

    @property
    def X(self):
        """Features, (n, p)."""
        return self.data.X

    @property
    def noise_variance(self):
        """Variance of each row's noise, (n,), a new array."""
        return self.fit.noise_variance_of(self.data.X, self.codes)

    def mean(self):
        """Expected y of each row, (n,)."""
        return self.fit.posterior.mean(self.X, self.codes)

    def mean_std(self):
        """Standard deviation of the expected y of each row, (n,)."""
        return np.sqrt(self.fit.posterior.variance(self.X, self.codes))

    def std(self):
        """Standard deviation of a new y in each row, (n,)."""
        variance = self.fit.posterior.variance(self.X, self.codes)
        variance += self.noise_variance
        return np.sqrt(variance, out=variance)

    def freedom(self):
        """Degrees of freedom of the variance of a new y in each row, (n,)."""
        return self.fit.freedom_of(self.X, self.codes)

    def added_variance(self):
        """Variance of each row's prediction since its weights are estimated, (n,)."""
        return self.fit.added_variance(self.X, self.codes)

    def covariance(self):
        """Joint covariance of new observations, (n, n)."""
        where = self.X, self.codes, self.owner, self.noise_variance
        with products_of(self.data.n_rows):
            return self.fit.posterior.joint_covariance(*where)

    def sample(self, n_samples, random_state):
        """Draws of new observations, (n, n_samples)."""
        where = self.X, self.codes, self.owner, self.noise_variance
        return self.fit.posterior.sample(*where, n_samples, random_state)

    def log_density(self, y):
        """Joint log-density of observations."""
        where = self.codes, self.owner, self.noise_variance
        return self.fit.posterior.joint_log_density(self.X, y, *where)

    def integrated_interval(self, coverage):
        """Intervals (n, 2) of the distribution that is integrated over variances."""
        return self.fit.integrated.interval(self.X, self.codes, coverage)

    def integrated_sample(self, n_samples, random_state):
        """Draws of new observations from that distribution, (n, n_samples)."""
        rows = self.X, self.codes, self.owner
        return self.fit.integrated.sample(*rows, n_samples, random_state)

    def integrated_log_density(self, y):
        """Joint log-density of observations under that distribution."""
        rows = self.X, y, self.codes, self.owner
        return self.fit.integrated.log_density(*rows)

    @property
    def offers_integrated(self):
        """Whether there is a distribution that is integrated over variances."""
        return self.fit.offers_integrated

    def integrated_row_density(self, y):
        """Log-density of each observation under that distribution, (n,)."""
        return self.fit.integrated.observations(self.X, self.codes).log_density(y)

    def average_interval(self, weight, coverage, distribution):
        """Intervals (m, 2) of sums of the new observations, whose weights are the rows
        of `weight`.
        """
        if distribution == "t":
            raise ValueError(
                "A sum of observations has no degrees of freedom for "
                "distribution='t'. Use 'integrated', or 'normal'."
            )
        rows = weight, self.X, self.codes, self.owner
        if distribution == "integrated":
            return self.fit.integrated.averages(*rows).interval(coverage)
        rows = *rows, self.noise_variance
        mean, variance = self.fit.posterior.weighted_sums_of(*rows)
        return np.column_stack(normal_interval(mean, np.sqrt(variance), coverage))

    @cached_property
    def owner(self):
        """Rows with the same owner share a random intercept, (n,)."""
        n, index = len(self.codes), self.data.index
        alone = np.arange(n)
        if index is None or not self.n_known:
            return alone
        no_label = self.n_known + len(index) + alone
        new_label = self.n_known + index.codes
        known = np.where(self.codes < 0, new_label, self.codes)
        return np.where(index.codes < 0, no_label, known)


class _Pair(tuple):
    """A mean and its std or covariance: a tuple that says why it has no `ndim`, which
    TransformedTargetRegressor asks of whatever is predicted.
    """

    __slots__ = ()

    @property
    def ndim(self):
        raise AttributeError(
            "A standard deviation does not come back through the inverse function of "
            "TransformedTargetRegressor: call skmixed.inspection.predict_interval for "
            "bounds in the units of y."
        )


class GroupRoutingMixin:
    """Requests for the metadata `groups`, so that no user has to set them.

    With `group_feature` (or `group_features`) set the labels come inside X, and
    `groups` is not requested: a splitter's groups must not reach a model that has its
    own.
    """

    __metadata_request__fit = {"groups": True}
    __metadata_request__score = {"groups": True}
    __metadata_request__predict = {
        "groups": True,
        "return_std": True,
        "return_cov": True,
    }

    def get_metadata_routing(self) -> MetadataRequest:
        """The estimator's metadata requests; see scikit-learn's metadata routing.

        Returns
        -------
        routing : MetadataRequest
        """
        request = super().get_metadata_routing()
        if second_door(self)[1] is not None:
            for method in ("fit", "partial_fit", "score", "predict"):
                if hasattr(self, method):
                    getattr(request, method).add_request(param="groups", alias=False)
        return request


class GaussianRegressor(GroupRoutingMixin, RegressorMixin, BaseEstimator):
    """Predictions of a Gaussian model of grouped data.

    `fit` of a subclass makes a `Fit` and ends with ``self._become(new._keep(fit),
    messages)``, `new` being a copy of the estimator that has read the columns of X.
    `_fit_kind` is the class of that fit, which stored models are read into.
    """

    _fit_kind: ClassVar[type]
    at_boundary_: bool
    n_features_in_: int
    feature_names_in_: NDArray[np.object_]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    @overload
    def predict(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: Literal[False] = False,
        return_cov: Literal[False] = False,
    ) -> Floats: ...

    @overload
    def predict(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: Literal[True],
        return_cov: Literal[False] = False,
    ) -> tuple[Floats, Floats]: ...

    @overload
    def predict(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: Literal[False] = False,
        return_cov: Literal[True],
    ) -> tuple[Floats, Floats]: ...

    @overload
    def predict(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: bool = False,
        return_cov: bool = False,
    ) -> Floats | tuple[Floats, Floats]: ...

    @one_blas_thread
    def predict(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: bool = False,
        return_cov: bool = False,
    ) -> Floats | tuple[Floats, Floats]:
        """Predict new observations.

        The prediction includes the random effects of every group that was seen in
        `fit`.  A row of another group, a row whose label is missing, and every row
        where there are no labels gets the population mean, and a standard deviation
        that includes the variance of random effects (but nothing for differences
        between fixed effects).  With several factors, known and new are told factor by
        factor.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, in a container that `fit` takes: `MixedEffectsRegressor` takes no
            sparse matrix.
        groups : array-like of shape (n_rows,), default=None
            Group labels, matched by value with those of `fit`.  Labels are positional:
            the index of a Series is ignored.  For a model with several label columns, a
            table with all of them; a label that is not known is missing.
        return_std : bool, default=False
            Whether to return the standard deviation of a new observation.
        return_cov : bool, default=False
            Whether to return the joint covariance of new observations.

        Returns
        -------
        y_mean : ndarray of shape (n_rows,)
            Predictive mean, in the units of y.  Of a Dask collection X, it and `y_std`
            are Dask arrays.
        y_std : ndarray of shape (n_rows,)
            Standard deviation of a new observation, in the units of y: noise, random
            intercept and coefficients.  Only if ``return_std=True``.
        y_cov : ndarray of shape (n_rows, n_rows)
            Covariance of new observations, in squared units of y, noise on the
            diagonal.  Rows with the same unseen label share one new random intercept;
            rows without label have one each.  Only if ``return_cov=True``.

        Raises
        ------
        ValueError
            If both flags are set, if both doors for groups are used, or if the labels
            are of a kind that cannot match those of the fit.
        TypeError
            If a flag is neither True nor False.

        Warns
        -----
        PopulationPredictionWarning
            If the model was fitted with `groups` and is asked without.  Missing labels
            that are given as such, ``groups=np.full(len(X), None)``, are silent.
        """
        check_flag(return_std, "return_std")
        check_flag(return_cov, "return_cov")
        if return_std and return_cov:
            raise ValueError(
                "return_std and return_cov are both True; ask for one of them (the "
                "standard deviations are the roots of the covariance's diagonal)."
            )
        if is_partitioned(X) and not return_cov:
            return self._predict_lazily("predict", X, groups, return_std)
        new = read_new(self, X, groups)
        mean = new.mean()
        if return_std:
            return _Pair((mean, new.std()))
        return _Pair((mean, new.covariance())) if return_cov else mean

    @one_blas_thread
    def predict_noise_std(
        self, X: MatrixLike, *, groups: ColumnLike | None = None
    ) -> Floats:
        """Predict the standard deviation of the noise alone.

        It is the scatter of repeated observations of the same group with the same
        features, without the uncertainty of coefficients and random effects that
        ``predict(X, return_std=True)`` includes.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.

        Returns
        -------
        noise_std : ndarray of shape (n_rows,)
            In the units of y.
        """
        if fit_of(self).noise_differs_by_group:
            return np.sqrt(read_new(self, X, groups).noise_variance)
        with population_is_meant():
            return np.sqrt(read_new(self, X, groups).noise_variance)

    @one_blas_thread
    def predict_interval(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        coverage: float = 0.9,
        distribution: Literal["normal", "t", "integrated"] = "normal",
        average: bool | MatrixLike = False,
    ) -> Floats:
        """Predict the interval that holds a new observation with a given probability.

        The interval is central; mean and standard deviation are those of
        ``predict(X, groups=groups, return_std=True)``.  Where groups are fewer than
        20, ``distribution="integrated"`` is recommended.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.
        coverage : float, default=0.9
            Probability of the interval, above 0 and below 1.
        distribution : {"normal", "t", "integrated"}, default="normal"
            The normal distribution takes the variances as known, as scores of
            predictions do.  Student's t allows for their estimation, by Satterthwaite's
            degrees of freedom of each row's variance: wider intervals, which matter for
            new groups where the groups of the fit are few.  With more than ten
            variances and covariances, which are not integrated over, the variance too
            is larger, since the weights of predictions are estimated.  The integrated
            distribution averages over the variances that are compatible with the data,
            and holds its promise from some five groups on; models with a linear mean
            offer it, unless they are penalised.
        average : bool, array-like or sparse matrix, default=False
            Whether the interval is that of the mean of the new observations of all
            rows, in place of one interval a row.  A matrix of shape (n_sums, n_rows)
            has the weights of other sums: ``[[1, -1]]`` is the difference of two new
            observations.

        Returns
        -------
        interval : ndarray of shape (n_rows, 2)
            Lower and upper bound, in the units of y; (2,) if ``average=True``, and
            (n_sums, 2) of weights.

        Raises
        ------
        ValueError
            If `coverage` is no probability; if `distribution` is not "normal" and the
            model is penalised; if it is "integrated" and the model offers none; if it
            is "t" and `average` is not False; if `average` is neither a truth value
            nor a finite array of shape (n_sums, n_rows).
        """
        check_coverage(coverage)
        check_distribution(distribution, ("normal", "t", "integrated"))
        new = read_new(self, X, groups)
        if (weight := read_weights(average, new.data.n_rows)) is not None:
            interval = new.average_interval(weight, coverage, distribution)
            return interval if np.ndim(average) else interval[0]
        if distribution == "integrated":
            return new.integrated_interval(coverage)
        mean, std = new.mean(), new.std()
        if distribution == "normal":
            return np.column_stack(normal_interval(mean, std, coverage))
        freedom = new.freedom()
        std = np.sqrt(std**2 + new.added_variance())
        return np.column_stack(t_interval(mean, std, coverage, freedom))

    @one_blas_thread
    def sample_y(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = 0,
        distribution: Literal["normal", "integrated"] = "normal",
    ) -> Floats:
        """Draw new observations from their joint predictive distribution.

        Exact draws from the normal distribution whose mean and covariance `predict`
        returns, in time and memory proportional to the number of rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.
        n_samples : int, default=1
            Number of draws for every row.
        random_state : int, RandomState instance or None, default=0
            See :term:`random_state`.
        distribution : {"normal", "integrated"}, default="normal"
            As in `predict_interval`.

        Returns
        -------
        y_samples : ndarray of shape (n_rows, n_samples)
            Draws, in the units of y.
        """
        check_distribution(distribution, ("normal", "integrated"))
        check_count(n_samples, "n_samples")
        new = read_new(self, X, groups)
        random_state = check_random_state(random_state)
        if distribution == "integrated":
            return new.integrated_sample(n_samples, random_state)
        return new.sample(n_samples, random_state)

    @one_blas_thread
    def log_predictive_density(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        distribution: Literal["normal", "integrated"] = "normal",
    ) -> float:
        """Joint log-density of observations under the predictive distribution.

        The log-density of the normal distribution with the mean and the covariance
        that `predict` returns, computed in time proportional to the number of rows.
        It treats `y` as new observations: on the rows of the fit it is not
        `log_likelihood_`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        y : array-like of shape (n_rows,)
            Observations.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.
        distribution : {"normal", "integrated"}, default="normal"
            As in `predict_interval`.

        Returns
        -------
        log_density : float
            Natural logarithm of the joint density of all the rows.
        """
        check_distribution(distribution, ("normal", "integrated"))
        if y is None:
            raise ValueError("y is None; the density is that of observations y.")
        new = read_new(self, X, groups, y)
        if distribution == "integrated":
            return new.integrated_log_density(new.data.y)
        return float(new.log_density(new.data.y))

    def score(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> float:
        """Coefficient of determination R^2 of ``predict(X, groups=groups)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        y : array-like of shape (n_rows,)
            Observations.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the score.

        Returns
        -------
        score : float
            R^2, at most 1.
        """
        mean = in_memory(self.predict(X, groups=groups))
        y = read_column(in_memory(y), "y")
        return r2_score(y, mean, sample_weight=check_weight(sample_weight, len(mean)))

    def _predict_lazily(self, method, X, groups, return_std):
        """Dask arrays of the predictions of a method for the partitions of X."""
        fit = fit_of(self)
        if groups is None and second_door(self)[1] is None and fit.uses_groups:
            warn_of_population(len(fit.labels))
        flags = {"return_std": return_std}
        return predict_partitions(copy(self), method, X, groups, flags)

    def _keep(self, fit):
        """Take a fit, and copy the public attributes from it in the place of those of
        the fit before, which may have others.
        """
        before = self._fit.attributes() if hasattr(self, "_fit") else {}
        kept = {name: vars(self)[name] for name in vars(self) if name not in before}
        fit = read_only(fit)
        self.__dict__ = _public_read_only(kept | {"_fit": fit} | fit.attributes())
        return self

    def _become(self, other, messages=()):
        """Warn, and take over the attributes of another estimator, which has kept its
        fit.

        In one step, so that whoever interrupts it, or predicts in another thread, finds
        the old state or the new one and never parts of both.
        """
        warn_all(messages)
        self.__dict__ = vars(other).copy()
        return self

    def _updated(self, X, y, groups):
        """The estimator after it has taken in further rows."""
        check_is_fitted(self)
        if y is None:
            raise ValueError("y is None; an update needs observations y.")
        return self._become(copy(self)._observe(X, y, groups))

    def __copy__(self):
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __getstate__(self):
        state = {**super().__getstate__(), "_state_format": STATE_FORMAT}
        if "_fit" in state:
            state["_fit"] = to_plain(state["_fit"])
        return state

    def __setstate__(self, state):
        found = state.get("_state_format")
        if found != STATE_FORMAT:
            raise ValueError(
                f"This {type(self).__name__} was stored by another version of skmixed "
                f"(its state has format {found}, this version reads {STATE_FORMAT}). "
                "Fit it anew, or load it with the version that stored it."
            )
        attributes = {name: state[name] for name in state if name != "_state_format"}
        if "_fit" in attributes:
            attributes["_fit"] = read_only(from_plain(self._fit_kind, state["_fit"]))
        super().__setstate__(_public_read_only(attributes))

    def _names(self):
        """Names of the columns of X in tables."""
        names = [f"x{j}" for j in range(self.n_features_in_)]
        return tuple(map(str, getattr(self, "feature_names_in_", names)))


class GroupedRegressor(GaussianRegressor):
    """A model with one grouping factor, whose effects are random intercepts."""

    group_feature: str | int | None
    group_variance_: float
    intraclass_correlation_: float
    groups_: NDArray[Any]
    random_intercepts_: Floats
    random_intercepts_std_: Floats
    random_intercepts_conditional_std_: Floats

    @overload
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: Literal[False] = False,
    ) -> Floats: ...

    @overload
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: Literal[True],
    ) -> tuple[Floats, Floats]: ...

    @one_blas_thread
    def predict_mean(
        self,
        X: MatrixLike,
        *,
        groups: ColumnLike | None = None,
        return_std: bool = False,
    ) -> Floats | tuple[Floats, Floats]:
        """Predict the expected value of y in each row: the mean of its group.

        The value is that of `predict`.  Its standard deviation is smaller: it counts
        the errors of the coefficients and of the group's effect, which more data would
        reduce, and not the noise of a single observation.  It is the `se.fit` of lme4
        and glmmTMB for a known group.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        groups : array-like of shape (n_rows,), default=None
            Group labels, as in `predict`.  The expected value of a group that was not
            seen is as uncertain as groups differ: its standard deviation includes the
            variance of random intercepts.
        return_std : bool, default=False
            Whether to return the standard deviation of the expected value.

        Returns
        -------
        y_mean : ndarray of shape (n_rows,)
            Expected value, in the units of y.  Of a Dask collection X, it and the
            standard deviation are Dask arrays.
        mean_std : ndarray of shape (n_rows,)
            Standard deviation of the expected value, in the units of y.  Only if
            ``return_std=True``.

        Raises
        ------
        ValueError, TypeError
            As `predict`.

        Warns
        -----
        PopulationPredictionWarning
            As `predict`.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
        >>> mean, std = model.predict_mean([[5.0]], groups=[308], return_std=True)
        >>> print(f"{mean[0]:.1f} +- {std[0]:.1f} ms")
        344.5 +- 9.5 ms
        """
        check_flag(return_std, "return_std")
        if is_partitioned(X):
            return self._predict_lazily("predict_mean", X, groups, return_std)
        new = read_new(self, X, groups)
        return (new.mean(), new.mean_std()) if return_std else new.mean()

    @one_blas_thread
    def update_random_intercepts(
        self, X: MatrixLike, y: ColumnLike, *, groups: ColumnLike | None = None
    ) -> Self:
        """Learn the levels of groups from further rows, without a new fit.

        A model in use takes in the first measurements of a new group, or more of one
        that it knows.  Variance components and coefficients stay as they are, and so do
        their standard errors; given those, the random intercepts become the modes on
        the rows of the fit and of all updates.  The same rows twice count
        twice.  A later `partial_fit` knows nothing of the rows of updates.

        Inside a fitted Pipeline:
        ``pipe[-1].update_random_intercepts(pipe[:-1].transform(X), y, groups=groups)``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            Features, as in `predict`.
        y : array-like of shape (n_rows,)
            Observations.
        groups : array-like of shape (n_rows,), default=None
            Group labels, known or new; none of them missing.  In X if `group_feature`
            is set.

        Returns
        -------
        self : object
            The same model, with `groups_`, `random_intercepts_` and their standard
            deviations updated.

        Raises
        ------
        ValueError
            If the model has no random intercepts, or the rows are not as in `predict`.
            Then, and if it is interrupted, the model stays as it was.

        Warns
        -----
        GroupsWarning
            If the group variance is 0, so that rows say nothing about levels of groups.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, subjects = load_sleepstudy(return_X_y_groups=True)
        >>> old = subjects != 372
        >>> model = RandomInterceptRegressor().fit(X[old], y[old], groups=subjects[old])
        >>> mean, std = model.predict([[9.0]], groups=[372], return_std=True)
        >>> print(f"{mean[0]:.0f} +- {std[0]:.0f} ms")
        344 +- 51 ms
        >>> new = (subjects == 372) & (X[:, 0] < 3)
        >>> model = model.update_random_intercepts(X[new], y[new], groups=subjects[new])
        >>> mean, std = model.predict([[9.0]], groups=[372], return_std=True)
        >>> print(f"{mean[0]:.0f} +- {std[0]:.0f} ms")
        360 +- 36 ms
        """
        return self._updated(X, y, groups)

    def _observe(self, X, y, groups):
        """Take the fit after further rows."""
        data, fit = read_new_data(self, X, groups, y), self._fit
        check_learns(data.index, fit.has_random_intercepts)
        return self._keep(observed(fit, data))

    def _read_new(self, X, groups, y):
        return new_rows(self._fit, read_new_data(self, X, groups, y))


class LinearMean:
    """Attributes of a model with a linear mean, whose likelihood was maximised."""

    _fit: Fit
    coef_: Floats
    intercept_: float
    coef_std_: Floats
    intercept_std_: float
    log_likelihood_: float
    n_iter_: int
    converged_: bool

    @property
    def coef_covariance_(self) -> Floats:
        """Covariance of the estimated (intercept, coefficients), in squared units of y
        per units of the features, (1 + n_features, 1 + n_features).
        """
        check_is_fitted(self)
        root = self._fit.coefficients_root
        return read_only(root @ root.T)


class LinearGroupedRegressor(LinearMean, GroupedRegressor):
    """A `GroupedRegressor` with a linear mean."""

    def random_intercepts_interval(
        self,
        coverage: float = 0.9,
        distribution: Literal["integrated", "normal"] = "integrated",
    ) -> Floats:
        """Intervals of the random intercepts of the known groups.

        Parameters
        ----------
        coverage : float, default=0.9
            Probability of the intervals, above 0 and below 1.
        distribution : {"integrated", "normal"}, default="integrated"
            The integrated distribution counts the uncertainty of the variances, as in
            `predict_interval`.  The normal one takes them as known: with `z` its
            quantile it is ``random_intercepts_ +- z * random_intercepts_std_``, which
            holds too little where groups are few.

        Returns
        -------
        interval : ndarray of shape (n_groups, 2)
            In the order of `groups_` and the units of y.

        Raises
        ------
        ValueError
            If `coverage` is no probability; if `distribution` is "integrated" and the
            model offers none; if groups have other effects than random intercepts.

        Examples
        --------
        >>> from skmixed import RandomInterceptRegressor
        >>> from skmixed.datasets import load_sleepstudy
        >>> X, y, groups = load_sleepstudy(return_X_y_groups=True)
        >>> model = RandomInterceptRegressor().fit(X, y, groups=groups)
        >>> model.random_intercepts_interval()[:2].round()
        array([[  19.,   63.],
               [-100.,  -56.]])
        """
        fit = fit_of(self)
        check_coverage(coverage)
        check_distribution(distribution, ("integrated", "normal"))
        if len(fit.labels) and not fit.is_random:
            raise ValueError("The model has no random intercepts, but other effects.")
        return fit.intercepts_interval(coverage, distribution == "integrated")


def fit_of(estimator):
    """The frozen result of a fitted estimator, `Fit`.

    Raises
    ------
    NotFittedError
    """
    check_is_fitted(estimator)
    return estimator._fit


def fitted_copy(estimator, X, y, groups=None, sample_weight=None):
    """A fitted copy, and the (message, category) of each warning about it."""
    return estimator._fitted(X, y, groups, sample_weight)


def check_learns(index, has_random_intercepts):
    """Refuse an update without labels, or of a model without random intercepts."""
    if index is None:
        raise ValueError(NO_LABELS)
    check_present(index)
    if not has_random_intercepts:
        raise ValueError(
            "The model has no random intercepts (it was fitted without `groups`, "
            "or with other effects of them); fit it anew with these rows."
        )


def observed(fit, data):
    """The fit after further rows, all of which have labels."""
    if not fit.group_variance:
        warn(NOTHING_LEARNED)
    labels, (known, mine) = join_labels(fit.labels, data.labels)
    return fit.observed(data.X, data.y, mine[data.index.codes], labels, known)


def read_new(estimator, X, groups, y=None):
    """Validated rows beside the fit that is to predict them, `NewRows` or alike."""
    check_is_fitted(estimator)
    return copy(estimator)._read_new(X, groups, y)  # which no other thread changes


def read_weights(average, n_rows):
    """Weights (n_sums, n_rows) of sums of rows, a sparse array; None where no sum is
    asked for.
    """
    if not sparse.issparse(average):
        if np.ndim(average) == 0:
            check_flag(average, "average")
            average = np.full((1, n_rows), 1 / n_rows) if average else None
            return None if average is None else sparse.csr_array(average)
        average = np.asarray(average, dtype=float)
    shape = average.shape
    weight = sparse.csr_array(average) if len(shape) == 2 else None
    if weight is None or shape[1] != n_rows or not np.isfinite(weight.data).all():
        raise ValueError(
            f"average has shape {shape}; weights of sums of rows are finite numbers of "
            f"shape (n_sums, {n_rows})."
        )
    return weight.astype(float)


def new_rows(fit, data):
    """Rows beside the fit that is to predict them, `NewRows`."""
    codes, known = np.full(data.n_rows, -1, dtype=np.int32), fit.labels
    if not fit.uses_groups:
        return NewRows(fit, data, codes, 0)
    if data.index is None:
        warn_of_population(len(known))
        return NewRows(fit, data, codes, 0)
    if not len(known):
        warn(LABELS_IGNORED)
    else:
        position = np.append(data.index.positions_in(known), -1)
        codes = position.astype(np.int32)[data.index.codes]
    return NewRows(fit, data, codes, len(known))


def _public_read_only(attributes):
    """The attributes, with those read-only that a fit has set."""
    return {
        name: read_only(value) if name.endswith("_") else value
        for name, value in attributes.items()
    }
