"""A user's program for type checkers, which runs as well.

mypy reads this file strictly (.ci/run): `assert_type` says what a result has to be for
it, and a marked line has to be an error, as it is at run time.
"""

import inspect
from typing import Any, assert_type, get_args, get_origin, get_type_hints

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import GroupKFold

import skmixed
from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    MixedEffectsRegressor,
    RandomEffects,
    RandomInterceptRegressor,
    datasets,
    inference,
    inspection,
    metrics,
    model_selection,
)
from skmixed._evaluation.comparison import GroupsComparison
from skmixed._results.hypotheses import Contrast
from skmixed._results.summary import (
    LikelihoodRatioTest,
    MixedSummary,
    Summary,
    Table,
)

# Predictions without labels are the population's here, on purpose.
pytestmark = pytest.mark.filterwarnings("ignore::skmixed.PopulationPredictionWarning")

Floats = NDArray[np.float64]
matplotlib.use("agg")

X, y, groups = datasets.load_sleepstudy(return_X_y_groups=True)
RANDOM = RandomInterceptRegressor(method="ml").fit(X, y, groups=groups)
UNEVEN = HeteroscedasticGaussianRegressor(variance_groups="fixed").fit(
    X, y, groups=groups
)
SLOPES = LinearMixedRegressor("(x0 | subject)").fit(X, y, groups=groups)
TREES = MixedEffectsRegressor(BayesianRidge(), random_state=0).fit(X, y, groups=groups)


def some_of(flag: bool) -> bool:
    """A value that no type checker knows."""
    return flag


def test_what_predict_returns() -> None:
    for model in (RANDOM, UNEVEN, TREES):
        assert_type(model.predict(X), Floats)
        assert_type(model.predict(X, groups=groups), Floats)
        mean, std = assert_type(
            model.predict(X, return_std=True), tuple[Floats, Floats]
        )
        cov = assert_type(model.predict(X, return_cov=True), tuple[Floats, Floats])[1]
        assert (mean.shape, std.shape, cov.shape) == ((180,), (180,), (180, 180))
        either = model.predict(X, return_std=some_of(True))
        assert_type(either, Floats | tuple[Floats, Floats])


def test_what_the_other_methods_return() -> None:
    for model in (RANDOM, UNEVEN, TREES):
        assert_type(model.predict_mean(X, groups=groups), Floats)
        pair = model.predict_mean(X, groups=groups, return_std=True)
        assert_type(pair, tuple[Floats, Floats])
        assert_type(model.predict_noise_std(X, groups=groups), Floats)
        assert_type(model.predict_interval(X, groups=groups, coverage=0.5), Floats)
        assert_type(
            model.sample_y(X, groups=groups, n_samples=2, random_state=None), Floats
        )
        assert_type(model.log_predictive_density(X, y, groups=groups), float)
        assert_type(model.score(X, y, groups=groups, sample_weight=y), float)
    assert_type(RANDOM.profile_intervals()["group_std"], Floats)
    again = RandomInterceptRegressor()
    assert_type(again.fit(X, y, groups=groups), RandomInterceptRegressor)
    assert_type(again.partial_fit(X, y, groups=groups), RandomInterceptRegressor)
    updated = again.update_random_intercepts(X, y, groups=groups)
    assert_type(updated, RandomInterceptRegressor)


def test_a_linear_mixed_model() -> None:
    slope = RandomEffects("subject", ["x0"], covariance="diagonal")
    terms: list[RandomEffects | str] = [slope, "(1 | week)"]
    model = LinearMixedRegressor(terms, mean_features=[0], random_state=1)
    table = pd.DataFrame({"subject": groups, "week": X[:, 0] // 7})
    fitted = model.fit(pd.DataFrame(X, columns=["x0"]), y, groups=table)
    assert_type(fitted, LinearMixedRegressor)
    frame = pd.DataFrame(X[:3], columns=["x0"])
    mean, std = assert_type(
        fitted.predict(frame, groups=table[:3], return_std=True), tuple[Floats, Floats]
    )
    assert (mean.shape, std.shape) == ((3,), (3,))
    assert_type(fitted.predict_mean(frame, factors=[]), Floats)
    both = fitted.predict_mean(
        frame, groups=table[:3], factors=["week"], return_std=True
    )
    assert_type(both, tuple[Floats, Floats])
    assert_type(fitted.random_effects_["subject"], Floats)
    assert_type(fitted.random_effects_covariance_, dict[str, Floats])
    assert_type(fitted.groups_["week"], NDArray[Any])
    assert_type(fitted.random_effects_table("subject", total=True), Table)
    assert_type(fitted.summary(), MixedSummary)
    assert_type(fitted.summary().level_sizes["week"], tuple[float, ...])
    updated = fitted.update_random_effects(frame, y[:3], groups=table[:3])
    assert_type(updated, LinearMixedRegressor)
    assert_type(RandomEffects("g").label_columns, tuple[str | int, ...])
    with pytest.raises(TypeError):
        LinearMixedRegressor("(1 | g)", "ml")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="random_effects is text such as"):
        LinearMixedRegressor({"g": ["x"]}).fit(X, y)  # type: ignore[arg-type]


def test_fitted_attributes() -> None:
    assert_type(RANDOM.coef_, Floats)
    assert_type(RANDOM.intercept_, float)
    assert_type(RANDOM.coef_covariance_, Floats)
    assert_type(RANDOM.groups_, NDArray[Any])
    assert_type(RANDOM.at_boundary_, bool)
    assert_type(RANDOM.noise_variance_, float)
    assert_type(UNEVEN.random_intercepts_std_, Floats)
    assert_type(UNEVEN.variance_coef_, Floats)
    assert_type(UNEVEN.variance_intercept_, float)
    assert_type(UNEVEN.n_iter_, int)
    assert_type(UNEVEN.group_feature, str | int | None)
    assert_type(SLOPES.noise_variance_, float)
    assert_type(SLOPES.coef_covariance_, Floats)
    assert_type(SLOPES.profile_intervals(parameters="noise_std"), dict[str, Floats])


def test_any_regressor() -> None:
    model = MixedEffectsRegressor(
        variance_regressor=BayesianRidge(), linear_features=[], cv_new=GroupKFold(2)
    )
    fitted = model.fit(X, y, groups=groups, sample_weight=None)
    assert_type(fitted, MixedEffectsRegressor)
    updated = TREES.update_random_intercepts(X, y, groups=groups)
    assert_type(updated, MixedEffectsRegressor)
    assert_type(TREES.noise_variance_, float)
    assert_type(TREES.known_slope_, float)
    assert_type(TREES.random_intercepts_, Floats)
    assert_type(TREES.known_regressors_, tuple[Any, ...])
    assert TREES.known_model_.predict(np.zeros((1, 2))).shape == (1,)


def test_a_summary() -> None:
    summary = assert_type(RANDOM.summary(), Summary)
    assert_type(UNEVEN.summary(0.9), Summary)
    assert_type(summary.aic, float)
    assert_type(summary.group_sizes, tuple[float, ...])
    assert_type(summary.log_variance, Table | None)
    assert_type(summary.group_test, LikelihoodRatioTest | None)
    assert_type(summary.coefficients["coef"], Floats)
    assert_type(summary.coefficients.names, tuple[str, ...])
    assert_type(summary.coefficients.to_frame(), pd.DataFrame)


def test_statements_about_models() -> None:
    assert_type(inference.summary(RANDOM, coverage=0.9), Summary | MixedSummary)
    found = assert_type(inference.contrast(RANDOM, {"x0": 1.0}), Contrast)
    assert_type(inference.contrast(RANDOM, [[0.0, 1.0]], 0.9), Contrast)
    assert_type(found.estimates, Table)
    assert_type(found.df, tuple[float, float])
    alone = HeteroscedasticGaussianRegressor(method="ml", mean_groups=None)
    alone = alone.set_params(variance_features=[]).fit(X, y)
    test = inference.likelihood_ratio_test(alone, RANDOM)
    assert_type(test, LikelihoodRatioTest)
    assert_type(test.df, int)
    assert_type(RANDOM.profile_intervals(parameters="coef"), dict[str, Floats])


def test_what_fits() -> None:
    """Whatever may be passed is no error: frames, sparse matrices, lists, None."""
    model = RandomInterceptRegressor(group_feature=None, n_jobs=1, alpha=1)
    frame = pd.DataFrame(X, columns=["Days"])
    model.fit(frame, pd.Series(y), groups=pd.Series(groups).astype("category"))
    model.fit(sparse.csr_array(X), y.tolist(), groups=pd.Index(groups))
    model.fit(X.tolist(), y, groups=groups.astype(str).tolist(), sample_weight=y)
    assert_type(model.predict([[1.0], [2.0]], groups=["308", None]), Floats)
    rows = [["a", 1.0], ["a", 2.5], ["b", 2.0], ["b", 4.5], ["c", 0.0]]
    model = RandomInterceptRegressor(group_feature=0).fit(rows, [1, 2, 3, 4, 5.5])
    modelled = HeteroscedasticGaussianRegressor(
        mean_features=["Days"], variance_features=np.array([True]), mean_groups=None
    )
    modelled.set_params(method="ml").fit(frame, y)


def test_scores() -> None:
    mean, std = RANDOM.predict(X, groups=groups, return_std=True)
    assert_type(metrics.gaussian_nll(y, mean, std, eps=0), float)
    assert_type(metrics.gaussian_crps(y.tolist(), 300.0, std), float)
    assert_type(metrics.interval_coverage(y, mean, std, coverage=0.5), float)
    assert_type(metrics.interval_score(y, mean, std, sample_weight=y), float)
    assert_type(metrics.pit_values(y, mean, std), Floats)
    joint = metrics.joint_gaussian_nll(y, mean, std**2, 0.0, None, normalize=True)
    assert_type(joint, float)
    gradient = metrics.joint_gaussian_nll_gradient
    _, by_mean, *_ = assert_type(
        gradient(y, mean, std**2, 1.0, groups), tuple[float, Floats, Floats, Floats]
    )
    assert_type(by_mean, Floats)
    assert len(gradient(y, mean, 1.0, 1.0, groups, return_hessian=True)) == 6
    scorer = metrics.make_distribution_scorer(metrics.interval_score, coverage=0.5)
    for each in (scorer.set_score_request(groups="subject"), metrics.neg_nll_scorer):
        assert_type(each(RANDOM, X, y, groups=groups), float)


def test_model_selection() -> None:
    cv = model_selection.WithinGroupKFold(3, shuffle=True, random_state=0)
    for train, test in cv.split(X, groups=groups):
        assert_type(train, NDArray[np.intp])
        assert len(train) + len(test) == 180
    predict = model_selection.cross_val_predict_groups
    assert_type(predict(RANDOM, X, y, groups=groups, cv=cv), Floats)
    splits = GroupKFold(3)
    both = predict(RANDOM, X, y, groups=groups, cv=splits, return_std=True)
    assert_type(both, tuple[Floats, Floats])
    models = {"ours": RANDOM, "theirs": BayesianRidge()}
    compared = model_selection.cross_validate_groups(
        models, X, y, groups=groups, cv_known=list(cv.split(X, y, groups)), cv_new=2
    )
    assert_type(compared, GroupsComparison)
    assert_type(compared.scores["new", "ours"]["crps"], Floats)
    assert_type(compared.to_frame(), pd.DataFrame)


def test_pictures() -> None:
    assert_type(inspection.predict_interval(RANDOM, X, groups=groups), Floats)
    intercepts = inspection.RandomInterceptsDisplay.from_estimator(RANDOM)
    assert_type(intercepts, inspection.RandomInterceptsDisplay)
    pit = inspection.PredictiveCalibrationDisplay.from_estimator(
        RANDOM, X, y, groups=groups, kind="coverage", ax=intercepts.ax_
    )
    assert pit.figure_ is intercepts.figure_
    assert_type(pit.plot(), inspection.PredictiveCalibrationDisplay)
    inspection.ResidualScaleDisplay.from_predictions(y, RANDOM.predict(X), y, n_bins=3)
    inspection.LikelihoodProfileDisplay.from_estimator(RANDOM).ax_.set_title("profile")
    lines = inspection.GroupLinesDisplay.from_estimator(RANDOM, X, y, 0, groups=groups)
    assert_type(lines, inspection.GroupLinesDisplay)
    effects = inspection.EffectsCorrelationDisplay.from_estimator(SLOPES)
    assert_type(effects.correlation, float)
    pyplot.close("all")


def test_datasets() -> None:
    assert_type((X, y, groups), tuple[Floats, Floats, NDArray[np.int64]])
    frame, _, _ = datasets.load_machines(return_X_y_groups=True, as_frame=True)
    assert_type(frame, pd.DataFrame)
    assert datasets.load_hsb82(as_frame=True).data.shape == (7185, 6)


def test_what_is_an_error_for_both() -> None:
    model = RandomInterceptRegressor()
    with pytest.raises(TypeError):
        model.fit(X, y, groups)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        model.fit(X, y, groups={"Subject": groups})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Expected 2D array"):
        model.fit(5, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="method is 'reml' or 'ml'"):
        RandomInterceptRegressor(method="REML").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="mean_groups is"):
        HeteroscedasticGaussianRegressor(mean_groups="one").fit(X, y)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        RandomInterceptRegressor("ml")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="coverage is a probability"):
        RANDOM.summary("95%")  # type: ignore[arg-type]
    with pytest.raises(AttributeError):
        RANDOM.predict(X).compute()  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="loss is a function of"):
        metrics.make_distribution_scorer(0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        model_selection.cross_validate_groups(RANDOM, X, y)  # type: ignore[call-arg]


# ------------------------------------------------------- annotations and what they say

MODULES = (skmixed, datasets, inference, inspection, metrics, model_selection)
RESULTS = (
    Contrast,
    GroupsComparison,
    LikelihoodRatioTest,
    MixedSummary,
    Summary,
    Table,
)


def public_functions() -> dict[str, Any]:
    """All public callables, methods of results and scorers included."""
    public = [getattr(module, name) for module in MODULES for name in module.__all__]
    functions = {f.__qualname__: f for f in public if inspect.isfunction(f)}
    owners = {p if isinstance(p, type) else type(p) for p in public} - {type(min)}
    for owner in {*owners, *RESULTS}:
        for base in owner.__mro__:
            for name, value in vars(base).items():
                function = getattr(value, "__func__", value)
                ours = base.__module__.startswith("skmixed")
                named = not name.startswith("_") or name in ("__init__", "__call__")
                if ours and named and inspect.isfunction(function):
                    functions[function.__qualname__] = function
    return functions


def test_whatever_is_public_is_annotated() -> None:
    functions = public_functions()
    assert len(functions) >= 59
    for name, function in functions.items():
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        bare = [
            p.name for p in parameters if p.annotation is p.empty and p.name != "cls"
        ]
        assert not bare, f"{name}: {bare}"
        assert signature.return_annotation is not signature.empty, name


# A model has the first where its noise is constant, and the others where it is not.
OF_NOISE = (
    "noise_variance_",
    "variance_coef_",
    "variance_intercept_",
    "variance_coef_covariance_",
)


def is_a(value: Any, hint: Any) -> bool:
    """Whether a value is what an annotation says."""
    if get_origin(hint) is np.ndarray:
        scalar = get_args(get_args(hint)[1])[0]
        right = scalar is Any or np.issubdtype(value.dtype, scalar)
        return isinstance(value, np.ndarray) and right
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(
            is_a(v, hint.__args__[0]) for v in value
        )
    if get_origin(hint) is dict:
        return all(is_a(v, get_args(hint)[1]) for v in value.values())
    return hint is Any or isinstance(value, get_args(hint) or hint)


@pytest.mark.filterwarnings("ignore:No `groups` were given:skmixed.GroupsWarning")
@pytest.mark.parametrize("labels", [groups, None], ids=["groups", "none"])
@pytest.mark.parametrize(
    "model",
    [
        RandomInterceptRegressor(),
        RandomInterceptRegressor(alpha=1),
        HeteroscedasticGaussianRegressor(),
        HeteroscedasticGaussianRegressor(mean_groups="fixed", variance_groups="fixed"),
        LinearMixedRegressor(),
        LinearMixedRegressor(variance_features="all"),
        MixedEffectsRegressor(BayesianRidge()),
        MixedEffectsRegressor(BayesianRidge(), variance_regressor=BayesianRidge()),
    ],
    ids=str,
)
def test_attributes_are_what_annotations_say(model: Any, labels: Any) -> None:
    model.fit(pd.DataFrame(X, columns=["Days"]), y, groups=labels)
    instances = [model]
    if hasattr(model, "summary"):
        instances += [model.summary(), model.summary().coefficients]
    for instance in instances:
        hints = get_type_hints(type(instance))
        assert len(hints) >= 2
        for name, hint in hints.items():
            if name in OF_NOISE and not hasattr(instance, name):
                continue
            value = getattr(instance, name)
            assert is_a(value, hint), f"{name} is a {type(value)}, not {hint}"
