"""Any regressor as the mean of a random-intercept model."""

from __future__ import annotations

import numbers
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from sklearn import get_config
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GroupKFold, KFold
from sklearn.utils import Tags, check_random_state, get_tags
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import has_fit_parameter

from ._estimator import (
    GroupedRegressor,
    check_learns,
    fit_of,
    observed,
)
from ._evaluation.calibration import Calibrated, calibrate, join_features, log_noise
from ._evaluation.cross_fit import collect_folds, fit_fold, fit_known_fold
from ._evaluation.folds import Observations, complete_splits, run_all, unseen_share
from ._evaluation.limits import check_scale, check_weights
from ._evaluation.split_rows import split_rows
from ._input.any_table import (
    TableReader,
    check_any_table,
    table_reader,
)
from ._input.features import are_columns
from ._input.messages import column_name
from ._input.parameters import METHODS, check_choice, check_flag, check_jobs, warn
from ._input.typing import ColumnLike, EstimatorLike, MatrixLike, SplitsLike
from ._rows.dask import is_partitioned
from .heteroscedastic import HeteroscedasticGaussianRegressor
from .model_selection import WithinGroupKFold
from .random_intercept import RandomInterceptRegressor

SMALL_TREES = {"max_leaf_nodes": 8, "early_stopping": False}
# Ranges of the slope of the predictions.  Predictions that are the level of the group
# and nothing else, as those of a regressor that has learned little, would be stretched
# without the upper end, until they take the place of the random intercepts.
KNOWN_SLOPES = 0.0, 1.0
NEW_SLOPES = 0.0, np.inf
SEEDS = np.iinfo(np.int32).max  # seeds are below this
# Largest share of rows held out as those of known groups whose group is not known.
# And of those held out as new ones whose group is known.
MOST_UNSEEN, MOST_SEEN = 0.5, 0.01
CV_UNSEEN = (
    "cv holds out {:.0%} of the rows together with all rows of their group, though it "
    "stands for known groups: their predictions come out too uncertain. Use "
    "WithinGroupKFold, or a number of folds."
)
CV_NEW_SEEN = (
    "cv_new holds out {:.1%} of the rows while others of their group are trained on, "
    "though it stands for new groups: their intervals come out too narrow. Use "
    "GroupKFold, or a number of folds."
)


@dataclass(frozen=True, eq=False)
class MixedEffectsFit:
    """The results of a fit, which everything after `fit` reads.

    Attributes
    ----------
    reader : TableReader
    labels : ndarray of shape (n_groups,)
        Of the known groups; empty if the model was fitted without groups.
    known, new : Calibrated
        The predictors of rows of known groups, and of all others.
    """

    reader: TableReader
    labels: np.ndarray
    known: Calibrated
    new: Calibrated

    @property
    def has_random_intercepts(self):
        """Whether there are random intercepts, those of a variance of 0 included."""
        return len(self.labels) > 0

    @property
    def uses_groups(self):
        """Whether a model of this kind depends on groups where it gets them."""
        return True

    @property
    def noise_differs_by_group(self):
        """Whether the noise of a row depends on its group being known."""
        return True

    def attributes(self):
        """Public attributes of the estimator."""
        model, fit = self.known.model, fit_of(self.known.model)
        return {
            "known_model_": model,
            "new_model_": self.new.model,
            "known_regressors_": self.known.regressors.regressors,
            "new_regressors_": self.new.regressors.regressors,
            "known_slope_": self.known.total_slope,
            "new_slope_": self.new.total_slope,
            "group_variance_": fit.group_variance,
            "noise_variance_": fit.noise,
            "intraclass_correlation_": fit.intraclass_correlation,
            "at_boundary_": fit.at_boundary,
            "groups_": model.groups_,
            "random_intercepts_": model.random_intercepts_,
            "random_intercepts_std_": model.random_intercepts_std_,
            "random_intercepts_conditional_std_": (
                model.random_intercepts_conditional_std_
            ),
        }


class MixedEffectsRegressor(GroupedRegressor):
    """Any regressor as the mean of a model with a random intercept for every group.

    The regressor, boosted trees by default, is fitted to folds of the data, and a
    random-intercept model of y on its predictions of rows that it has not seen (the
    calibrator) tells how far the predictions can be trusted: it gives their scale, the
    variances and the random intercepts [1]_.  Two questions are answered by two ways of
    holding out:

    - Rows of *known groups* are held out row by row.  Beside the regressor the mean has
      a linear part and a random intercept, and the regressor is fitted to their
      residuals; it also sees the level of the row's group, so that effects of the
      features may differ between groups.  Where it finds nothing, the model is
      :class:`RandomInterceptRegressor`.
    - Rows of *new groups* are held out group by group.  The regressor is fitted to y,
      and predicts with the variance that groups have about its predictions.

    `predict` answers each row by the one that it asks for, and so does everything else:
    intervals, joint distributions, draws, densities.

    Parameters
    ----------
    regressor : estimator, default=None
        Anything with `fit` and `predict` that can be cloned: a Pipeline or a search
        included.  None is a :class:`~sklearn.ensemble.HistGradientBoostingRegressor` of
        100 trees of 8 leaves.
    variance_regressor : estimator, default=None
        A regressor of the logarithm of the noise variance.  None leaves it constant.
    linear_features : array-like of str, int or bool, default=None
        Columns of X in the linear part of the mean of known groups: names, indices or a
        mask.  None means all columns of numeric type, or of objects that are numbers,
        the label column excepted.  The other columns, which only the regressor reads,
        may be categories or have missing values, as far as it can do with them; ``[]``
        means that all are such.
    group_level : bool, default=True
        Whether the regressor gets the level of the row's group, as estimated from the
        training rows, as a last column beside those of X (`group_level` in a frame).
    cv : int, cross-validator or iterable of (train, test), default=5
        How rows of known groups are held out; an int is the number of folds of a
        shuffled :class:`~skmixed.model_selection.WithinGroupKFold`.  Without groups
        it is how rows are held out.
    cv_new : int, cross-validator or iterable of (train, test), default=None
        How new groups are held out; an int is the number of folds of a
        :class:`~sklearn.model_selection.GroupKFold`.  None means as many as in `cv`, 5
        if that is no int.  Intervals of known and of new groups are as wide as these
        two say, so that a splitter for the other question gives a warning.
    method : {"reml", "ml"}, default="reml"
        Restricted maximum likelihood or maximum likelihood, for the calibrators.
    group_feature : str or int, default=None
        Name or index of the column of X that holds the group labels, for tools that
        cannot route `groups`; -1 is the last column.  None means that labels are passed
        as `groups`.
    n_jobs : int, default=None
        How many folds are fitted at a time; see :term:`n_jobs`.
    random_state : int, RandomState instance or None, default=None
        Deals the rows to the folds, and seeds those random states of the regressors
        that are None; see :term:`random_state`.
    verbose : int, default=1
        0 silences the progress that long work reports on the standard error output.

    Attributes
    ----------
    known_model_ : RandomInterceptRegressor or HeteroscedasticGaussianRegressor
        The calibrator of known groups: of y on (predictions, linear part); the second
        if there is a `variance_regressor`, whose predictions are its last feature.
    new_model_ : RandomInterceptRegressor or HeteroscedasticGaussianRegressor
        The calibrator of new groups: of y on the predictions.
    known_regressors_ : tuple of estimators
        The regressors of the folds, whose mean predicts for known groups.
    new_regressors_ : tuple of estimators
        The same for new groups.
    known_slope_ : float
        How much y changes with the prediction, between 0 and 1 for known groups: 1
        where predictions of rows that it has not seen hold, 0 where they say nothing.
        At an end of the range the coefficient of the calibrator is 0, and the
        predictions, times the slope, are taken off y before it is fitted.
    new_slope_ : float
        The same for new groups, at least 0.
    group_variance_ : float
        Variance of the random intercepts of known groups, in squared units of y.
    noise_variance_ : float
        Variance of the noise, in squared units of y; with a `variance_regressor` its
        geometric mean over the rows of the fit.
    intraclass_correlation_ : float
        ``group_variance_ / (group_variance_ + noise variance)`` of `known_model_`.
    at_boundary_ : bool
        Whether the group variance of `known_model_` is best at 0.
    groups_ : ndarray of shape (n_groups,)
        The labels of the known groups, sorted if they can be sorted; empty if the model
        was fitted without groups.
    random_intercepts_ : ndarray of shape (n_groups,)
        Conditional modes of the random intercepts, in the units of y.
    random_intercepts_std_ : ndarray of shape (n_groups,)
        Standard deviation of their prediction errors, in the units of y.
    random_intercepts_conditional_std_ : ndarray of shape (n_groups,)
        The same with the coefficients of the calibrator taken as known.
    n_features_in_ : int
        Number of columns of X, the label column included.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the columns of X, if all of them are strings.

    See Also
    --------
    RandomInterceptRegressor : A linear mean, with exact inference.
    skmixed.metrics.joint_gaussian_nll_gradient : The likelihood as a loss.

    Notes
    -----
    Nothing is maximised as a whole, so that there is no likelihood, no test and no
    `partial_fit`.  Standard deviations allow for the calibrator's estimates; those
    for new groups have no part that grows far from the data.

    Rows of known groups and of new ones are independent in joint distributions
    (`predict` with ``return_cov=True``, `sample_y`, `log_predictive_density`): they are
    predicted by different models.  `update_random_intercepts` takes rows of a known
    group to `known_model_`, and those of a new group to `new_model_`, to which the
    group is then known.

    A group all of whose rows are in one fold has the level 0 there, as a new one.  With
    fewer rows or groups than folds there are as many folds as these.  A single group
    cannot be held out: then the predictions for new groups hold out rows, and have no
    variance between groups.  Without groups, rows are held out, and that is all.

    `sample_weight` counts repetitions, and goes to the regressors as well.  With
    metadata routing it needs two requests, that of this estimator and that of the
    regressor; other metadata go to `fit` of the regressor that requests them.  `groups`
    are this estimator's own: a regressor that needs groups requests them by another
    name, such as ``GroupKFold().set_split_request(groups="clinic")`` in a search.

    References
    ----------
    .. [1] docs/math.md, section 15; docs/any_mean.md has a study beside other packages.

    Examples
    --------
    >>> from skmixed import MixedEffectsRegressor
    >>> from skmixed.datasets import load_hsb82
    >>> X, y, schools = load_hsb82(return_X_y_groups=True)
    >>> model = MixedEffectsRegressor(random_state=0).fit(X, y, groups=schools)
    >>> print(f"std of the noise {model.noise_variance_ ** 0.5:.0f}")
    std of the noise 6
    """

    _fit_kind = MixedEffectsFit
    _fit: MixedEffectsFit
    known_model_: RandomInterceptRegressor | HeteroscedasticGaussianRegressor
    new_model_: RandomInterceptRegressor | HeteroscedasticGaussianRegressor
    known_regressors_: tuple[Any, ...]
    new_regressors_: tuple[Any, ...]
    known_slope_: float
    new_slope_: float
    noise_variance_: float

    def __init__(
        self,
        regressor: EstimatorLike = None,
        *,
        variance_regressor: EstimatorLike = None,
        linear_features: ColumnLike | None = None,
        group_level: bool = True,
        cv: SplitsLike = 5,
        cv_new: SplitsLike | None = None,
        method: Literal["reml", "ml"] = "reml",
        group_feature: str | int | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 1,
    ) -> None:
        self.regressor = regressor
        self.variance_regressor = variance_regressor
        self.linear_features = linear_features
        self.group_level = group_level
        self.cv = cv
        self.cv_new = cv_new
        self.method = method
        self.group_feature = group_feature
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        if not are_columns(self.linear_features, "linear_features"):
            inner = [get_tags(each).input_tags for each in self._inner().values()]
            tags.input_tags.allow_nan = all(each.allow_nan for each in inner)
        return tags

    def get_metadata_routing(self) -> MetadataRouter:
        """The estimator's metadata requests and those of its regressors.

        Returns
        -------
        routing : MetadataRouter
        """
        own = super().get_metadata_routing()
        mapping = MethodMapping().add(caller="fit", callee="fit")
        router = MetadataRouter(owner=self).add_self_request(own)
        return router.add(method_mapping=mapping, **self._inner())

    def fit(
        self,
        X: MatrixLike,
        y: ColumnLike,
        *,
        groups: ColumnLike | None = None,
        sample_weight: ColumnLike | None = None,
        **fit_params: Any,
    ) -> Self:
        """Fit the regressor to folds, and the models of y on its predictions.

        Parameters
        ----------
        X : array-like of shape (n_rows, n_features)
            Features; the label column among them if `group_feature` is set.  A frame
            reaches the regressor as a frame.
        y : array-like of shape (n_rows,)
            Target.
        groups : array-like of shape (n_rows,), default=None
            One label per row: numbers, strings, dates or other scalars.  Labels are
            positional: the index of a Series is ignored.  Without labels there are no
            random intercepts, with a `GroupsWarning`.
        sample_weight : array-like of shape (n_rows,), default=None
            How many times each row counts, at least 0.
        **fit_params : dict
            Metadata for `fit` of the regressors that request them, with metadata
            routing; metadata with one entry per row are split with the rows.

        Returns
        -------
        self : MixedEffectsRegressor

        Raises
        ------
        ValueError
            If the input is of the wrong length or shape, or not finite where it has to
            be; if labels are missing; if both doors for groups are used; if figures are
            so large or small that squares of predictions are out of range; if under
            REML the weights, or those of the rows of a fold, sum to less than the
            number of coefficients; if a cross-validator does not test every row once;
            if a regressor predicts anything else than finite numbers.
        TypeError
            If `groups` is not a column of labels, or metadata are not requested.  After
            any error, and if it is interrupted, the model stays as it was.
        """
        self._check_parameters()
        new, random_state = copy(self), check_random_state(self.random_state)
        given = new._route(sample_weight, fit_params)
        reader, rows, metadata = new._read(X, y, groups, sample_weight, given)
        inner = new._seeded(metadata, random_state)
        within, between = new._splits(rows, metadata["regressor"], random_state)
        new._check_rows(rows.data, reader, inner, within)
        known, F, unknown, F0 = new._cross_fit(inner, rows, within, between)
        unknown, messages = new._calibrate(
            unknown, F0, between, NEW_SLOPES, inner, rows
        )
        unknown = new._named(unknown, reader)
        if known is None:  # without groups
            known = unknown
        else:
            known, more = new._calibrate(
                known, F, within, KNOWN_SLOPES, inner, rows, X=rows.data.X
            )
            known, messages = new._named(known, reader), more + messages
        labels = np.empty(0) if rows.data.index is None else rows.data.index.labels
        new._keep(MixedEffectsFit(reader, labels, known, unknown))
        return self._become(new, messages)

    def _cross_fit(self, inner, rows, within, between):
        """Fit the regressor to the folds of both questions: math.md (100) and (101).

        Returns
        -------
        known : FoldRegressors
            Fitted to the residuals of the linear part and the random intercepts; None,
            as are their predictions, without groups.
        F : ndarray of shape (n,)
            Their predictions of the rows that they have not seen.
        new : FoldRegressors
            Fitted to y.
        F0 : ndarray of shape (n,)
        """
        regressor, params = inner["regressor"]
        y, how = rows.data.y, (self.method, self.group_level)
        calls = [
            (fit_known_fold, regressor, rows, params, split, *how) for split in within
        ]
        calls += [(fit_fold, regressor, rows, y, params, split) for split in between]
        folds = run_all(calls, self.n_jobs, self.verbose)
        known = None, None
        if within:
            known = collect_folds(folds[: len(within)], within, y)
        return *known, *collect_folds(folds[len(within) :], between, y)

    def _calibrate(self, regressors, predicted, splits, slopes, inner, rows, X=None):
        """Fit the model of y on predictions, and on the linear part X if that is given:
        math.md (102).

        Returns
        -------
        calibrated : Calibrated
        messages : list of (str, category of warning)
        """
        model = RandomInterceptRegressor(method=self.method)
        slope, model, messages = calibrate(model, predicted, rows, slopes, X=X)
        noise = None
        if "variance_regressor" in inner:
            regressor, params = inner["variance_regressor"]
            features, offset = join_features(predicted, X), slope * predicted
            target = log_noise(model, features, rows, offset)
            levels = regressors.levels or [None] * len(splits)
            calls = [
                (fit_fold, regressor, rows, target, params, *each)
                for each in zip(splits, levels, strict=True)
            ]
            folds = run_all(calls, self.n_jobs, self.verbose)
            noise, V = collect_folds(folds, splits, target)
            found = self._calibrate_noise(predicted, V, rows, slopes, X)
            slope, model, messages = found
        return Calibrated(regressors, noise, X is not None, slope, model), messages

    def _calibrate_noise(self, predicted, V, rows, slopes, X):
        """The calibrator whose log-variance follows V, with a slope of 0 or more."""
        p = 1 if X is None else 1 + X.shape[1]
        model = HeteroscedasticGaussianRegressor(
            method=self.method, mean_features=list(range(p)), variance_features=[p]
        )
        fitted = calibrate(model, predicted, rows, slopes, X=X, noise=V)
        if fitted[1].variance_coef_[-1] < 0:
            V = np.zeros(len(V))
            fitted = calibrate(model, predicted, rows, slopes, X=X, noise=V)
        return fitted

    def _named(self, calibrated, reader):
        """The same, whose figures have the names of the columns of X."""
        names = ["prediction"]
        if calibrated.linear:
            names += [self._names()[j] for j in reader.linear]
        if calibrated.noise_regressors is not None:
            names.append("predicted log-variance")
        fit = fit_of(calibrated.model).renamed(tuple(names))
        return replace(calibrated, model=copy(calibrated.model)._keep(fit))

    def _inner(self):
        """The regressors by the names of their parameters."""
        regressor = self.regressor
        if regressor is None:
            regressor = HistGradientBoostingRegressor(**SMALL_TREES)
            if get_config()["enable_metadata_routing"]:
                regressor.set_fit_request(sample_weight=True)
        inner = {"regressor": regressor}
        if self.variance_regressor is not None:
            inner["variance_regressor"] = self.variance_regressor
        return inner

    def _seeded(self, metadata, random_state):
        """The regressors, whose unset random states are drawn from `random_state`, each
        beside the metadata of its `fit`.
        """
        inner = {}
        for name, regressor in self._inner().items():
            seeded = clone(regressor)
            found = seeded.get_params()
            unset = [
                key
                for key in sorted(found)
                if key.split("__")[-1] == "random_state" and found[key] is None
            ]
            if self.random_state is not None and unset:
                seeds = {key: random_state.randint(SEEDS) for key in unset}
                seeded.set_params(**seeds)
            inner[name] = seeded, metadata[name]
        return inner

    def _route(self, sample_weight, fit_params):
        """Metadata of `fit` of each regressor, as the user gave them."""
        inner, given = self._inner(), dict(fit_params)
        if sample_weight is not None:
            given["sample_weight"] = sample_weight
        if not given:
            return {name: {} for name in inner}
        if get_config()["enable_metadata_routing"]:
            routed = process_routing(self, "fit", **given)
            return {name: dict(routed[name].fit) for name in inner}
        if fit_params:
            raise TypeError(
                f"fit got {', '.join(map(repr, fit_params))}, which can reach a "
                "regressor only with enable_metadata_routing=True."
            )
        for name, regressor in inner.items():
            if not has_fit_parameter(regressor, "sample_weight"):
                raise TypeError(
                    f"{name} is a {type(regressor).__name__}, whose fit takes no "
                    "sample_weight. Use one that does, or route it inside a Pipeline "
                    "with enable_metadata_routing=True."
                )
        return {name: dict(given) for name in inner}

    def _read(self, X, y, groups, sample_weight, metadata):
        """The `TableReader` of X, its rows, and the metadata of these rows."""
        if is_partitioned(X):
            raise TypeError(
                f"{type(self).__name__} does not fit Dask collections; pass "
                "X.compute(), and y and groups likewise."
            )
        if y is None:
            raise ValueError("fit requires y to be passed, but the target y is None.")
        X = check_any_table(self, X, reset=True)
        reader = table_reader(X, self.group_feature, self.linear_features)
        rows = reader.read_fit(X, y, groups, sample_weight)
        read = {}
        for name, given in metadata.items():
            others = {k: v for k, v in given.items() if v is not sample_weight}
            taken = Observations(rows.kept, rows.kept, others).take(rows.kept).metadata
            if len(others) < len(given) and rows.data.weight is not None:
                taken["sample_weight"] = rows.data.weight
            read[name] = taken
        return reader, rows, read

    def _check_rows(self, data, reader, inner, within):
        """Refuse figures out of range, and weights that are no counts; without groups
        there is no linear part.
        """
        if not within:
            data = replace(data, X=data.X[:, :0], features=data.features[:0])
        check_scale(
            data,
            partial(column_name, self, reader.linear[: data.X.shape[1]]),
            fourth_powers="variance_regressor" in inner,
            single=isinstance(inner["regressor"][0], HistGradientBoostingRegressor),
        )
        if self.method == "reml":
            check_weights(data, within)

    def _splits(self, rows, params, random_state):
        """(train, test) of the folds of known groups, and of those of new ones.

        Without groups the first are none, and the second hold out rows.
        """
        n, index = rows.data.n_rows, rows.data.index
        sample = Observations(rows.table, rows.data.y, {**params, "groups": rows.codes})
        seed = random_state.randint(SEEDS)
        within = self.cv
        if is_number := isinstance(within, numbers.Integral):
            kind = KFold if index is None else WithinGroupKFold
            within = kind(min(within, n), shuffle=True, random_state=seed)
        within = user_splits(within, sample, rows.kept)
        if index is None:
            return [], within
        unseen = unseen_share(within, [rows.codes])
        if unseen > MOST_UNSEEN and not is_number:
            warn(CV_UNSEEN.format(unseen))
        return within, self._splits_of_groups(rows, sample, within)

    def _splits_of_groups(self, rows, sample, within):
        """(train, test) of the folds of new groups."""
        between, n_groups = self.cv_new, len(rows.data.index)
        if between is None:
            between = self.cv if isinstance(self.cv, numbers.Integral) else 5
        if not isinstance(between, numbers.Integral):
            between = user_splits(between, sample, rows.kept)
            seen = 1 - unseen_share(between, [rows.codes])
            if seen > MOST_SEEN and n_groups > 1:
                warn(CV_NEW_SEEN.format(seen))
            return between
        if n_groups == 1:
            return within
        return user_splits(GroupKFold(min(between, n_groups)), sample, rows.kept)

    def _read_new(self, X, groups, y):
        return self._split_rows(self._read_rows(X, groups, y))

    def _read_rows(self, X, groups, y):
        """`AnyRows` of a prediction."""
        X = check_any_table(self, X, reset=False)
        return self._fit.reader.read_new(X, groups, y)

    def _split_rows(self, rows):
        """`SplitRows`: each row by the model that answers it."""
        fit, data = self._fit, rows.data
        codes = np.full(data.n_rows, -1)
        if data.index is not None and fit.has_random_intercepts:
            codes = np.append(data.index.positions_in(fit.labels), -1)[data.index.codes]
        return split_rows(rows, codes, fit.known, fit.new)

    def _observe(self, X, y, groups):
        """Take the fit after further rows."""
        fit, rows = self._fit, self._read_rows(X, groups, y)
        check_learns(rows.data.index, fit.has_random_intercepts)
        for part in self._split_rows(rows).parts:
            calibrated = getattr(fit, part.name)
            target = rows.data.y[part.rows] - part.offset
            seen = observed(part.new.fit, replace(part.new.data, y=target))
            model = copy(calibrated.model)._keep(seen)
            fit = replace(fit, **{part.name: replace(calibrated, model=model)})
        return self._keep(fit)

    def _check_parameters(self):
        check_choice(self.method, "method", METHODS)
        check_flag(self.group_level, "group_level")
        check_jobs(self.n_jobs)
        for name in ("cv", "cv_new"):
            cv = getattr(self, name)
            if isinstance(cv, numbers.Integral) and (cv is True or cv < 2):
                raise ValueError(f"{name}={cv!r}, but two folds are the least.")
        for name, regressor in self._inner().items():
            if isinstance(regressor, type) or not hasattr(regressor, "predict"):
                raise TypeError(
                    f"{name} is an estimator with fit and predict, got "
                    f"{regressor!r:.60}."
                )


def user_splits(cv, sample, kept):
    """(train, test) among the rows that are kept, each of which is tested once.

    Given lists are of positions among all the user's rows.
    """
    if hasattr(cv, "split"):
        return complete_splits(cv, sample)
    n = len(kept)
    place = np.cumsum(kept) - 1
    everything = Observations(np.empty((n, 0)), np.zeros(n), {"groups": np.zeros(n)})
    return [
        (place[train[kept[train]]], place[test[kept[test]]])
        for train, test in complete_splits(cv, everything)
    ]
