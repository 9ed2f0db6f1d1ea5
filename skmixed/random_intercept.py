"""The Gaussian random-intercept model."""

import warnings
from functools import partial

import numpy as np
from scipy import sparse

from ._base import (
    GroupedRegressor,
    check_flag,
    check_method,
    check_penalty,
    warn_groups,
)
from ._criterion import (
    Optimum,
    RandomIntercept,
    best_ratio,
    degrees_of_freedom,
    deviance,
    evaluate,
)
from ._design import check_range, choose_columns, noise_floor
from ._gram import EPS, reduce_rows, reduce_sparse
from ._input import read_fit_data
from ._posterior import condition

# Cross-products square the condition number, so that a sparse X can tell dependent
# columns only to about the root of double precision.
SPARSE_TOLERANCE = 1e-7


class RandomInterceptRegressor(GroupedRegressor):
    """Linear regression with a random intercept for every group.

    y = x'beta + b_g + e with b_g ~ N(0, sigma_b^2) for each group and e ~ N(0, sigma^2)
    for each row: the observations of a group share b_g, so that their covariance is the
    block sigma^2 I + sigma_b^2 11'.
    """

    def __init__(
        self,
        *,
        method="reml",
        fit_intercept=True,
        alpha=0.0,
        group_feature=None,
        n_jobs=None,
    ):
        self.method = method
        self.fit_intercept = fit_intercept
        self.alpha = alpha
        self.group_feature = group_feature
        self.n_jobs = n_jobs

    def fit(self, X, y, *, groups=None, sample_weight=None):
        """Fit by (restricted) maximum likelihood."""
        reml = check_method(self.method)
        check_flag(self.fit_intercept, "fit_intercept")
        check_penalty(self.alpha, "alpha")
        data = read_fit_data(self, X, y, groups, sample_weight)
        moments = _reduce(data, self.n_jobs)
        check_range(moments, partial(_column_name, self, data))
        columns = choose_columns(
            moments,
            fit_intercept=self.fit_intercept,
            penalised=self.alpha > 0,
            tolerance=_rank_tolerance(data.X),
        )
        model = RandomIntercept(
            gram=columns.gram(moments),
            n=moments.n,
            reml=reml,
            floor=noise_floor(moments),
            penalty=columns.penalty(self.alpha),
            logdet_basis=columns.logdet_basis,
        )
        _check_freedom(model)
        grouped = data.index is not None
        optimum = best_ratio(model) if grouped else Optimum(0.0, True, 0)
        at = evaluate(model, optimum.ratio)
        n_groups = len(data.index) if grouped else 0
        posterior = condition(columns, at.factor, at.noise_variance, n_groups)
        self._set_posterior(posterior, data)
        self.noise_variance_ = float(at.noise_variance)
        total_variance = self.group_variance_ + self.noise_variance_
        self.intraclass_correlation_ = self.group_variance_ / total_variance
        self.log_likelihood_ = float(-0.5 * deviance(model, at))
        self.at_boundary_ = bool(grouped and optimum.identified and not optimum.ratio)
        self.n_iter_ = optimum.n_evaluations
        self.converged_ = True
        _warn(data, columns, model, at, optimum)
        return self

    def _noise_variance(self, data):
        return np.full(data.X.shape[0], self.noise_variance_)


def _reduce(data, n_jobs):
    """Moments of [X y]; without groups all rows are one block."""
    n, p = data.X.shape
    if data.index is None:
        codes, n_groups = np.zeros(n, dtype=np.int32), 1
    else:
        codes, n_groups = data.index.codes, len(data.index)
    if sparse.issparse(data.X):
        return reduce_sparse(data.X, data.y, codes, n_groups, data.weight)

    def read(rows):
        # `take` copies whole rows several times faster than indexing does.
        X, y = data.X, data.y
        sliced = isinstance(rows, slice)
        y_rows = y[rows] if sliced else y.take(rows)
        block = np.empty((len(y_rows), p + 1))
        block[:, :p] = X[rows] if sliced else X.take(rows, axis=0)
        block[:, p] = y_rows
        return block

    return reduce_rows(read, codes, n_groups, data.weight, n_jobs)


def _rank_tolerance(X):
    return SPARSE_TOLERANCE if sparse.issparse(X) else max(X.shape) * EPS


def _column_name(estimator, data, j):
    """What to call column j of [X y] in a message."""
    if j == len(data.features):
        return "y"
    position = data.features[j]
    names = getattr(estimator, "feature_names_in_", None)
    return f"Column {position if names is None else names[position]!r} of X"


def _check_freedom(model):
    free = degrees_of_freedom(model, evaluate(model, 0.0).factor)
    if free < -1e-8 * model.n:
        raise ValueError(
            f"The weights sum to {model.n:g}, fewer than the {model.n - free:g} "
            "coefficients that REML has to allow for. Weights count repetitions of a "
            "row: multiply them, e.g. so that they sum to the number of rows."
        )


def _warn(data, columns, model, at, optimum):
    """Say what the data could not tell: at most one warning where there are groups."""
    if at.at_floor:
        exact = "y is fitted exactly"
        if model.n <= columns.rank:
            exact = (
                f"{model.n:g} rows, {columns.rank} coefficients: no degrees of freedom "
                "left for the variance"
            )
        message = (
            f"{exact}. The noise variance is set to its floor, {model.floor:.3g}, and "
            "standard deviations mean nothing. Use more rows, fewer features or a "
            "larger alpha."
        )
        warnings.warn(message, UserWarning, stacklevel=3)
    if data.index is None:
        warn_groups(
            "No `groups` were given, so no random intercepts are fitted: pass `groups=` "
            "(inside scikit-learn's tools with enable_metadata_routing=True) or set "
            "`group_feature`.",
            stacklevel=4,
        )
    elif not at.at_floor and (len(data.index) == 1 or not optimum.identified):
        cause = _why_not_identified(data, columns)
        if cause:
            warn_groups(f"{cause} Their variance is set to 0.", stacklevel=4)


def _why_not_identified(data, columns):
    labels = data.index.labels
    if len(labels) == 1:
        if not columns.has_constant:
            return None
        return (
            f"There is one group only, {labels[0]!r}, and its random intercept "
            "duplicates the intercept. At least two groups are needed."
        )
    if len(labels) == len(data.y):
        return (
            f"All {len(labels)} groups have one row each, so that the variance between "
            "groups cannot be told from the noise. Use coarser groups."
        )
    return (
        f"The features explain all differences between the {len(labels)} groups, which "
        "leaves nothing to estimate a variance between groups from."
    )
