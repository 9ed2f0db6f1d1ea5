"""Scores of predictive distributions: losses, and scorers that carry `groups`.

The losses judge a normal distribution for each row, given by its mean and standard
deviation.  `joint_gaussian_nll` judges all the rows together, with errors that are
correlated within groups: row by row, a model with random intercepts and one with
independent errors can promise the same, and only jointly do they differ.

The scorers go where scikit-learn takes a `scoring`.  They hand `groups` to `predict`,
which the ready-made ones of scikit-learn do not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Self, overload

import numpy as np
from sklearn.metrics import r2_score, root_mean_squared_error
from sklearn.utils.metadata_routing import MetadataRequest

from ._evaluation.any_model import (
    joint_log_density,
    predict_distribution,
    predict_mean,
    unwrap,
    warn_of_lost_labels,
)
from ._input.labels import index_groups, unique
from ._input.parameters import check_coverage, check_flag, check_nonnegative
from ._input.table import check_weight, read_column
from ._input.typing import ColumnLike, EstimatorLike, Floats, MatrixLike
from ._likelihood.joint_gradient import block_residuals
from ._likelihood.normal import (
    nll_per_row,
    normal_cdf,
    normal_covers,
    normal_crps,
    normal_interval,
    normal_nll,
)

# Variances beyond this and its inverse leave the range in which sums of their inverses
# and products are representable.
LARGEST_VARIANCE = 1e150

__all__ = [
    "gaussian_crps",
    "gaussian_nll",
    "interval_coverage",
    "interval_score",
    "joint_gaussian_nll",
    "joint_gaussian_nll_gradient",
    "make_distribution_scorer",
    "neg_crps_scorer",
    "neg_joint_nll_scorer",
    "neg_nll_scorer",
    "neg_rmse_scorer",
    "pit_values",
    "r2_scorer",
]


# ------------------------------------------------------------------------------ losses


def gaussian_nll(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    std: ColumnLike | float,
    *,
    sample_weight: ColumnLike | None = None,
    eps: float = 1e-6,
) -> float:
    """Mean negative log-likelihood of independent normal predictions.

    PyTorch's ``GaussianNLLLoss(full=True)`` of the variances ``std**2``.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    std : array-like of shape (n_rows,) or float
        Predicted standard deviations of observations, in the units of y.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights of the rows in the mean.
    eps : float, default=1e-6
        Smaller variances are replaced by this one, in squared units of y.  Use 0 where
        the units of y are large, as `neg_nll_scorer` does: then the loss changes with
        the units by a constant only.

    Returns
    -------
    loss : float
        In nats per row; lower is better.

    Raises
    ------
    ValueError
        If `std` has negative values, or zeros while `eps` is 0.

    Examples
    --------
    >>> from skmixed.metrics import gaussian_nll
    >>> round(gaussian_nll([1.0, 2.0], [0.0, 2.5], [1.0, 0.5]), 4)
    1.0724
    """
    floor = np.sqrt(check_nonnegative(eps, "eps"))
    y, mean, std, weight = _read(y_true, mean, std, sample_weight, positive=not floor)
    return _average(normal_nll(y, mean, np.maximum(std, floor)), weight)


def gaussian_crps(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    std: ColumnLike | float,
    *,
    sample_weight: ColumnLike | None = None,
) -> float:
    """Mean continuous ranked probability score of normal predictions.

    The integral of the squared difference between the predicted distribution function
    and the step at the observation; the absolute error where the std is 0.  It is less
    strict with outliers than the log-likelihood, and in the units of y [1]_.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    std : array-like of shape (n_rows,) or float
        Predicted standard deviations of observations, in the units of y.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights of the rows in the mean.

    Returns
    -------
    loss : float
        In the units of y; lower is better.

    References
    ----------
    .. [1] T. Gneiting and A. E. Raftery (2007), Strictly proper scoring rules,
       prediction, and estimation, Journal of the American Statistical Association
       102, 359-378.

    Examples
    --------
    >>> from skmixed.metrics import gaussian_crps
    >>> round(gaussian_crps([1.0, 2.0], [0.0, 2.5], [1.0, 0.5]), 4)
    0.4518
    """
    y, mean, std, weight = _read(y_true, mean, std, sample_weight)
    return _average(normal_crps(y, mean, std), weight)


def interval_coverage(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    std: ColumnLike | float,
    *,
    coverage: float = 0.9,
    sample_weight: ColumnLike | None = None,
) -> float:
    """Share of observations inside their central normal prediction interval.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    std : array-like of shape (n_rows,) or float
        Predicted standard deviations of observations, in the units of y.
    coverage : float, default=0.9
        Nominal probability of the intervals, above 0 and below 1.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights of the rows in the share.

    Returns
    -------
    share : float
        Close to `coverage` where the predictions are calibrated.

    Examples
    --------
    >>> from skmixed.metrics import interval_coverage
    >>> interval_coverage([1.0, 2.0], [0.0, 2.5], [1.0, 0.2])
    0.5
    """
    check_coverage(coverage)
    y, mean, std, weight = _read(y_true, mean, std, sample_weight)
    return _average(normal_covers(y, mean, std, coverage), weight)


def interval_score(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    std: ColumnLike | float,
    *,
    coverage: float = 0.9,
    sample_weight: ColumnLike | None = None,
) -> float:
    """Mean interval score of central normal prediction intervals.

    The width of the interval, plus ``2 / (1 - coverage)`` times the distance of an
    observation that lies outside; narrow intervals that keep their coverage score
    best (Gneiting and Raftery 2007, equation 43).

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    std : array-like of shape (n_rows,) or float
        Predicted standard deviations of observations, in the units of y.
    coverage : float, default=0.9
        Nominal probability of the intervals, above 0 and below 1.
    sample_weight : array-like of shape (n_rows,), default=None
        Weights of the rows in the mean.

    Returns
    -------
    loss : float
        In the units of y; lower is better.

    Examples
    --------
    >>> from skmixed.metrics import interval_score
    >>> round(interval_score([1.0, 2.0], [0.0, 2.5], [1.0, 0.2]), 4)
    3.6841
    """
    check_coverage(coverage)
    y, mean, std, weight = _read(y_true, mean, std, sample_weight)
    low, high = normal_interval(mean, std, coverage)
    outside = np.maximum(low - y, 0) + np.maximum(y - high, 0)
    return _average(high - low + 2 / (1 - coverage) * outside, weight)


def pit_values(
    y_true: ColumnLike, mean: ColumnLike | float, std: ColumnLike | float
) -> Floats:
    """Probability integral transform: the predicted probability of less than y.

    Uniform between 0 and 1 where the predictions are calibrated: a histogram with a
    hump says that the stds are too large, one with horns that they are too small.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    std : array-like of shape (n_rows,) or float
        Predicted standard deviations of observations, in the units of y; positive.

    Returns
    -------
    pit : ndarray of shape (n_rows,)
        Probabilities.

    Examples
    --------
    >>> from skmixed.metrics import pit_values
    >>> pit_values([1.0, 2.0], [0.0, 2.5], [1.0, 0.5]).round(3)
    array([0.841, 0.159])
    """
    y, mean, std, _ = _read(y_true, mean, std, None, positive=True)
    return normal_cdf(y, mean, std)


def joint_gaussian_nll(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    noise_variance: ColumnLike | float,
    group_variance: ColumnLike | float,
    groups: ColumnLike | None,
    *,
    normalize: bool = False,
) -> float:
    """Negative log-likelihood of normal predictions with errors that groups share.

    The Gaussian likelihood that does not assume independent errors: the covariance of
    the rows of a group is ``diag(noise_variance) + group_variance * 11'``.  Of any
    model's predictions, in time proportional to the number of rows; with
    ``group_variance=0`` it is the sum over rows of the independent one.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means, in the units of y.
    noise_variance : array-like of shape (n_rows,) or float
        Variance that each row has for itself, in squared units of y; positive.
    group_variance : array-like of shape (n_rows,) or float
        Variance of the effect that the rows of a group share, in squared units of y.
        It may differ between groups, not within one.
    groups : array-like of shape (n_rows,) or None
        Group labels.  A row whose label is missing, and every row where `groups` is
        None, is a group of its own.
    normalize : bool, default=False
        Whether to divide by the number of rows, which makes it comparable with
        `gaussian_nll`.

    Returns
    -------
    loss : float
        In nats; lower is better.

    Examples
    --------
    >>> from scipy.stats import multivariate_normal
    >>> from skmixed.metrics import joint_gaussian_nll
    >>> y, mean, groups = [1.0, 2.0, 0.5], [0.0, 1.5, 1.0], ["a", "a", "b"]
    >>> round(joint_gaussian_nll(y, mean, 1.0, 2.0, groups), 4)
    4.3275
    >>> cov = [[3, 2, 0], [2, 3, 0], [0, 0, 3]]
    >>> print(round(-multivariate_normal(mean, cov).logpdf(y), 4))
    4.3275
    """
    check_flag(normalize, "normalize")
    of_rows = _read_joint(y_true, mean, noise_variance, group_variance, groups)
    return float(of_rows.loss()) / (len(of_rows.v) if normalize else 1)


@overload
def joint_gaussian_nll_gradient(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    noise_variance: ColumnLike | float,
    group_variance: ColumnLike | float,
    groups: ColumnLike | None,
    *,
    return_hessian: Literal[False] = False,
) -> tuple[float, Floats, Floats, Floats]: ...


@overload
def joint_gaussian_nll_gradient(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    noise_variance: ColumnLike | float,
    group_variance: ColumnLike | float,
    groups: ColumnLike | None,
    *,
    return_hessian: Literal[True],
) -> tuple[float, Floats, Floats, Floats, Floats, Floats]: ...


def joint_gaussian_nll_gradient(
    y_true: ColumnLike,
    mean: ColumnLike | float,
    noise_variance: ColumnLike | float,
    group_variance: ColumnLike | float,
    groups: ColumnLike | None,
    *,
    return_hessian: bool = False,
) -> tuple[Floats | float, ...]:
    """Value and derivatives of `joint_gaussian_nll`, for whatever learns by gradients.

    A network with a head for the mean and one for the logarithm of the noise variance,
    or a boosting library with an objective of its own, is trained by it.  With linear
    heads the optimum is that of :class:`~skmixed.HeteroscedasticGaussianRegressor` with
    ``method="ml"``.  Values and derivatives of mini-batches add up to those of all rows
    where no group is spread over several batches.

    Parameters
    ----------
    y_true : array-like of shape (n_rows,)
        Observations.
    mean : array-like of shape (n_rows,) or float
        Predicted means without the effects of groups, in the units of y.
    noise_variance : array-like of shape (n_rows,) or float
        Variance that each row has for itself, in squared units of y; positive.
    group_variance : array-like of shape (n_rows,) or float
        Variance of the effect that the rows of a group share, in squared units of y.
        It may differ between groups, not within one.
    groups : array-like of shape (n_rows,) or None
        Group labels.  A row whose label is missing, and every row where `groups` is
        None, is a group of its own.
    return_hessian : bool, default=False
        Whether to return second derivatives, for boosting by Newton's method.

    Returns
    -------
    loss : float
        Sum over the rows, in nats: ``joint_gaussian_nll`` of the same arguments.
    by_mean : ndarray of shape (n_rows,)
        Derivative with respect to each row's mean, in nats per unit of y.
    by_log_noise_variance : ndarray of shape (n_rows,)
        Derivative with respect to the logarithm of each row's noise variance.
    by_log_group_variance : ndarray of shape (n_rows,)
        Derivative with respect to the logarithm of each group's variance, an equal part
        of it for each of its rows: that of one variance for all groups is the sum.
    hessian_mean : ndarray of shape (n_rows,)
        Second derivative with respect to each row's mean.  Only if
        ``return_hessian=True``.
    hessian_log_noise_variance : ndarray of shape (n_rows,)
        The expected second derivative with respect to the logarithm of each row's noise
        variance, which is never negative.  Only if ``return_hessian=True``.

    Raises
    ------
    ValueError
        If a variance is negative, a noise variance is 0, or a group variance differs
        within a group.

    Examples
    --------
    >>> from skmixed.metrics import joint_gaussian_nll_gradient
    >>> y, mean, groups = [1.0, 2.0, 0.5], [0.0, 1.5, 1.0], ["a", "a", "b"]
    >>> loss, by_mean, *_ = joint_gaussian_nll_gradient(y, mean, 1.0, 2.0, groups)
    >>> round(loss, 4), by_mean.round(3)
    (4.3275, array([-0.4  ,  0.1  ,  0.167]))
    """
    check_flag(return_hessian, "return_hessian")
    of_rows = _read_joint(y_true, mean, noise_variance, group_variance, groups)
    by_mean, by_noise, by_group = of_rows.gradient()
    by_group = (by_group / np.bincount(of_rows.owner))[of_rows.owner]
    gradient = float(of_rows.loss()), by_mean, by_noise, by_group
    return (*gradient, *of_rows.hessian()) if return_hessian else gradient


def _read_joint(y_true, mean, noise_variance, group_variance, groups):
    """The `BlockResiduals` of the arguments of the joint loss."""
    y = _column(y_true, "y_true")
    mean = _column(mean, "mean", len(y))
    noise_variance = _spread(noise_variance, "noise_variance", len(y), positive=True)
    group_variance = _spread(group_variance, "group_variance", len(y))
    _check_representable(noise_variance, group_variance)
    owner = np.arange(len(y))
    if groups is not None:
        index = index_groups(groups, len(y))
        _check_shared(group_variance, index)
        owner = np.where(index.codes < 0, len(index) + owner, index.codes)
    owners, owner = unique(owner)
    variance = np.empty(len(owners))
    variance[owner] = group_variance
    return block_residuals(y - mean, owner, noise_variance, variance)


def _read(y_true, mean, std, sample_weight, positive=False):
    """The arguments of a loss as float64 arrays (n,); the weights may be None."""
    y = _column(y_true, "y_true")
    mean = _column(mean, "mean", len(y))
    std = _spread(std, "std", len(y), positive)
    return y, mean, std, check_weight(sample_weight, len(y))


def _column(values, name, n_rows=None):
    """One finite number per row; a single one stands for all `n_rows` rows."""
    if n_rows is not None and np.ndim(values) == 0:
        values = np.full(n_rows, values)
    values = read_column(values, name)
    if values.ndim == 2 and values.shape[1] != 1:
        raise ValueError(f"`{name}` has shape {values.shape}; it needs one column.")
    values = values.ravel()
    if n_rows is not None and len(values) != n_rows:
        raise ValueError(
            f"`{name}` has {len(values)} values but y_true has {n_rows}; it needs one "
            "per observation, or a single one for all."
        )
    return values


def _spread(values, name, n_rows, positive=False):
    """One standard deviation or variance per row."""
    values = _column(values, name, n_rows)
    wrong = values <= 0 if positive else values < 0
    if wrong.any():
        raise ValueError(
            f"`{name}` has {np.sum(wrong)} values that are not "
            f"{'positive' if positive else 'at least 0'}, the least {values.min():g}."
        )
    return values


def _check_shared(group_variance, index):
    """Refuse a variance that differs within a group."""
    labelled = index.codes >= 0
    codes, values = index.codes[labelled], group_variance[labelled]
    shared = np.empty(len(index))
    shared[codes] = values
    differs = ~np.isclose(values, shared[codes], rtol=1e-9, atol=0)
    if differs.any():
        code, value = codes[differs][0], values[differs][0]
        raise ValueError(
            f"`group_variance` is {value:g} and {shared[code]:g} within group "
            f"{index.labels.tolist()[code]!r}; the rows of a group share one variance."
        )


def _check_representable(noise_variance, group_variance):
    least, most = noise_variance.min(), max(noise_variance.max(), group_variance.max())
    if least < 1 / LARGEST_VARIANCE or most > LARGEST_VARIANCE:
        raise ValueError(
            f"The variances range from {least:.0e} to {most:.0e}; beyond "
            f"{1 / LARGEST_VARIANCE:.0e} and {LARGEST_VARIANCE:.0e} they leave the "
            "range of double precision. Rescale y."
        )


def _average(values, weight):
    return float(np.average(values, weights=weight))


# ----------------------------------------------------------------------------- scorers


@dataclass(frozen=True, eq=False)
class _Scorer:
    """A loss of any fitted model, as scikit-learn calls it; subclasses have `_loss`.

    It hands the `groups` of the rows to the model's `predict`, and does not change:
    `set_score_request` returns another one, so that the ready-made scorers stay as
    they are.
    """

    kind: ClassVar[str]
    loss: Callable[..., Any]
    sign: int
    options: dict[str, Any] = field(default_factory=dict)
    requests: dict[str, bool | str | None] = field(
        default_factory=lambda: {"groups": True, "sample_weight": None}
    )

    def __call__(
        self,
        estimator: EstimatorLike,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        sample_weight: ColumnLike | None = None,
    ) -> float:
        """Score a fitted estimator; greater is better.

        Parameters
        ----------
        estimator : fitted estimator
            A model, or a Pipeline or search around one.
        X : array-like of shape (n_rows, n_features)
            Features.
        y : array-like of shape (n_rows,)
            Observations.
        groups : array-like of shape (n_rows,), default=None
            Group labels.
        sample_weight : array-like of shape (n_rows,), default=None
            Weights of the rows in the loss.

        Returns
        -------
        score : float
        """
        metadata = {}
        if groups is not None:
            # A tool around the model may know them by the name that the user gave.
            alias = self.requests["groups"]
            metadata = dict.fromkeys(
                {"groups", alias if isinstance(alias, str) else "groups"}, groups
            )
        model, X = unwrap(estimator, X, metadata)
        warn_of_lost_labels(model, metadata)
        options = dict(self.options)
        if sample_weight is not None:
            options["sample_weight"] = check_weight(sample_weight, len(y))
        loss = self._loss(model, X, y, metadata, options)
        if np.ndim(loss):
            raise TypeError(
                f"{self} got a loss of shape {np.shape(loss)}; it must be one number."
            )
        return self.sign * float(loss)

    def _loss(self, model, X, y, metadata, options):
        """The loss of an unwrapped model; lower is better if `sign` is -1."""
        raise NotImplementedError

    def set_score_request(self, **requests: bool | str | None) -> Self:
        """A scorer with other metadata requests.

        Parameters
        ----------
        **requests : bool, None or str
            For `groups` and `sample_weight`, as in scikit-learn's `set_score_request`.

        Returns
        -------
        scorer : scorer
            A new one; this one keeps its requests.
        """
        unknown = requests.keys() - self.requests.keys()
        if unknown:
            raise TypeError(
                f"The scorer takes {' and '.join(self.requests)}, not "
                f"{', '.join(sorted(unknown))}."
            )
        return replace(self, requests={**self.requests, **requests})

    def get_metadata_routing(self) -> MetadataRequest:
        """The scorer's metadata requests; see scikit-learn's metadata routing.

        Returns
        -------
        routing : MetadataRequest
        """
        request = MetadataRequest(owner=self)
        for name, alias in self.requests.items():
            request.score.add_request(param=name, alias=alias)
        return request

    def __repr__(self) -> str:
        name = getattr(self.loss, "__name__", repr(self.loss))
        options = "".join(f", {key}={value!r}" for key, value in self.options.items())
        return f"{self.kind} scorer({'-' if self.sign < 0 else ''}{name}{options})"


class _MeanScorer(_Scorer):
    """Scorer by a loss of (y_true, mean)."""

    kind = "mean"

    def _loss(self, model, X, y, metadata, options):
        y = read_column(y, "y")
        return self.loss(y, predict_mean(model, X, metadata), **options)


class _DistributionScorer(_Scorer):
    """Scorer by a loss of (y_true, mean, std)."""

    kind = "distribution"

    def _loss(self, model, X, y, metadata, options):
        return self.loss(y, *predict_distribution(model, X, metadata), **options)


class _JointScorer(_Scorer):
    """Scorer by the joint density of all rows, a function of (density, n_rows)."""

    kind = "joint"

    def _loss(self, model, X, y, metadata, options):
        if options:
            raise TypeError("The joint likelihood takes no sample_weight.")
        density = joint_log_density(model, X, y, metadata)
        if np.isnan(density):
            raise ValueError(
                f"{type(model).__name__} gives {len(y)} predictions whose covariance "
                "is not positive definite, and so no joint density."
            )
        return self.loss(density, len(y))


# Stored searches name the loss of their scorer, which stays where they find it.
def joint_nll_per_row(density: float, n_rows: int) -> float:
    """Joint negative log-likelihood per row, comparable with that row by row."""
    return nll_per_row(density, n_rows)


def make_distribution_scorer(
    loss: Callable[..., float], *, greater_is_better: bool = False, **options: Any
) -> _Scorer:
    """Make a scorer from a loss of predictive distributions.

    The scorer asks for `groups` by itself, hands them to the model's `predict` where
    that takes them, and asks for the standard deviation.  It works on any estimator
    whose `predict` has `return_std`, alone, in a Pipeline, or in a search, with
    metadata routing on or off (then the groups are a column of X, `group_feature`).

    Parameters
    ----------
    loss : callable
        ``loss(y_true, mean, std, **options)``, such as `gaussian_crps`.  It gets
        `sample_weight` where that is requested and passed.
    greater_is_better : bool, default=False
        Whether the loss is a score already; otherwise the scorer changes its sign.
    **options
        Further arguments of the loss.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y, *, groups=None, sample_weight=None)``; greater is
        better.  Its `set_score_request` returns a new scorer.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.model_selection import cross_val_score
    >>> from skmixed import RandomInterceptRegressor
    >>> from skmixed.datasets import load_sleepstudy
    >>> from skmixed.metrics import interval_score, make_distribution_scorer
    >>> days, y, subjects = load_sleepstudy(return_X_y_groups=True)
    >>> X = np.column_stack([days, subjects])
    >>> model = RandomInterceptRegressor(group_feature=-1)
    >>> scorer = make_distribution_scorer(interval_score, coverage=0.5)
    >>> cross_val_score(model, X, y, scoring=scorer, cv=3).shape
    (3,)
    """
    check_flag(greater_is_better, "greater_is_better")
    if not callable(loss):
        raise TypeError(f"loss is a function of (y_true, mean, std), got {loss!r}.")
    try:
        inspect.signature(loss).bind(None, None, None, **options)
    except ValueError:
        pass  # a function that does not tell its arguments
    except TypeError as error:
        raise TypeError(
            f"The loss {loss!r} is called as loss(y_true, mean, std, **{options}), "
            f"which it refuses: {error}."
        ) from None
    return _DistributionScorer(loss, 1 if greater_is_better else -1, options)


#: Scorer: minus the mean negative log-likelihood of single rows, each from its own mean
#: and standard deviation (`gaussian_nll`).  A model has to have ``return_std``.  It
#: asks for ``groups`` by itself.  (A score must not depend on the units of y, hence no
#: floor ``eps`` of the standard deviation.)
neg_nll_scorer: _Scorer = _DistributionScorer(gaussian_nll, -1, {"eps": 0.0})
#: Scorer: minus the mean continuous ranked probability score of single rows, in units
#: of y (`gaussian_crps`).  It asks for ``groups`` by itself.
neg_crps_scorer: _Scorer = _DistributionScorer(gaussian_crps, -1)
#: Scorer: minus the negative log-likelihood of all test rows together, for each row.
#: It alone sees that rows of a new group are alike.  It asks for ``groups`` by itself.
neg_joint_nll_scorer: _Scorer = _JointScorer(
    joint_nll_per_row, -1, {}, {"groups": True}
)
#: Scorer: the coefficient of determination of predictions that know their ``groups``,
#: which scikit-learn's own ``scoring="r2"`` does not hand on.
r2_scorer: _Scorer = _MeanScorer(r2_score, 1)
#: Scorer: minus the root mean squared error, in units of y, of predictions that know
#: their ``groups``.
neg_rmse_scorer: _Scorer = _MeanScorer(root_mean_squared_error, -1)
