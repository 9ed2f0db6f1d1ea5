"""Every error and every warning: its type, its figures, its remedy, its place."""

import copy
import datetime
import pickle
import warnings
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.exceptions import NotFittedError

from skmixed import (
    GroupsWarning,
    HeteroscedasticGaussianRegressor,
    RandomInterceptRegressor,
    heteroscedastic,
    random_intercept,
)
from skmixed.datasets import load_hsb82, load_machines, load_sleepstudy

N, N_GROUPS = 24, 6
_rng = np.random.default_rng(0)
GROUPS = np.repeat(np.arange(N_GROUPS), N // N_GROUPS)
X = _rng.normal(size=(N, 2))
Y = X @ [1.0, 2.0] + 2.0 * _rng.normal(size=N_GROUPS)[GROUPS] + _rng.normal(size=N)
ONES = np.ones(N)
NAMES = np.array([f"school {code}" for code in GROUPS], dtype=object)

FRAME = pd.DataFrame(X, columns=["age", "size"])
WITH_SCHOOL = FRAME.assign(school=NAMES)
LISTS = pd.ArrowDtype(pyarrow.list_(pyarrow.int64()))

ESTIMATORS = {
    random_intercept: RandomInterceptRegressor,
    heteroscedastic: HeteroscedasticGaussianRegressor,
}
METHODS = [
    "predict",
    "predict_noise_std",
    "predict_interval",
    "sample_y",
    "log_predictive_density",
    "score",
]


def fit(parameters=None, estimator=RandomInterceptRegressor, **arguments):
    arguments = {"X": X, "y": Y, "groups": GROUPS} | arguments
    return estimator(**(parameters or {})).fit(**arguments)


def call(model, method, X=X, groups=GROUPS, **arguments):
    """Call a method that reads new rows, with y where it needs one."""
    if method in ("log_predictive_density", "score"):
        arguments = {"y": Y} | arguments
    return getattr(model, method)(X, groups=groups, **arguments)


def assert_says(actual, message):
    """`message` is in `actual`; its dots stand for any text."""
    actual, rest = str(actual), str(actual)
    for part in message.split("..."):
        assert part in rest, f"{part!r} is missing from {actual!r}"
        rest = rest.split(part, 1)[1]


def assert_unchanged(array, before):
    if isinstance(array, pd.DataFrame):
        pd.testing.assert_frame_equal(array, before)
    else:
        assert_array_equal(array, before)


# --- fit refuses its input before it works ------------------------------------


def refused(id, error, message, parameters=None, **arguments):
    return pytest.param(parameters, arguments, error, message, id=id)


def refused_values(parameter, values, error, message, **arguments):
    """One case per value; its representation takes the place of %r."""
    return [
        refused(
            f"{parameter}={value!r}",
            error,
            message.replace("%r", repr(value)),
            {parameter: value},
            **arguments,
        )
        for value in values
    ]


PARAMETERS = [
    *refused_values(
        "method",
        ["REML", "", None, True],
        ValueError,
        "method is 'reml' or 'ml', got %r.",
    ),
    *refused_values(
        "alpha",
        [np.nan, np.inf, -1e-9, -1, True, np.bool_(False), "1", None, 1j],
        ValueError,
        "alpha is a finite number of at least 0, got %r.",
    ),
    *refused_values(
        "n_jobs",
        [0, 1.5, True, "all"],
        ValueError,
        "n_jobs is None or an integer other than 0, got %r.",
    ),
    *refused_values(
        "fit_intercept",
        [0, 1.0, "yes", None],
        TypeError,
        "fit_intercept is True or False, got %r.",
    ),
    *refused_values(
        "group_feature",
        [True, np.bool_(False), 1.0, ("age",), [0]],
        TypeError,
        "group_feature is the name or the index of a column of X, got %r.",
        groups=None,
    ),
    *refused_values(
        "group_feature",
        [2, -3],
        ValueError,
        "group_feature=%r but X has 2 columns; indices run from -2 to 1.",
        groups=None,
    ),
    refused(
        "group_feature without names",
        ValueError,
        "group_feature='school' but X has no column names; its columns are x0, x1 and "
        "so on. Give one of these, or an index such as -1. Transformers keep column "
        'names with .set_output(transform="pandas") and '
        "verbose_feature_names_out=False.",
        {"group_feature": "school"},
        groups=None,
    ),
    refused(
        "group_feature that is no name",
        ValueError,
        "group_feature='room' is not among the columns of X, ['age', 'size', 'school']."
        ' Transformers ... .set_output(transform="pandas") and '
        "verbose_feature_names_out=False.",
        {"group_feature": "room"},
        X=WITH_SCHOOL,
        groups=None,
    ),
    refused(
        "group_feature with a prefix",
        ValueError,
        "group_feature='school' is not among the columns of X, ['age', 'size', "
        "'remainder__school']. Did you mean 'remainder__school'? Transformers ... "
        '.set_output(transform="pandas") and verbose_feature_names_out=False.',
        {"group_feature": "school"},
        X=WITH_SCHOOL.rename(columns={"school": "remainder__school"}),
        groups=None,
    ),
    refused(
        "both doors",
        ValueError,
        "Both doors for groups are open: group_feature=0 takes the labels from X, and "
        "`groups` was passed as well. Use one of them.",
        {"group_feature": 0},
    ),
]

NOT_A_COLUMN = (
    "`groups` must be a column with one label per row, got %s. Pass the column, e.g. "
    "groups=df['school'], or name it with group_feature='school'."
)
JOIN = (
    "has one grouping factor. Use LinearMixedRegressor(), or one column; "
    "'(1 | a/b)' there is for nested labels. (Joining the columns into one label per "
    "row takes the rooms of one school for independent, and standard errors between "
    "schools are too small.)"
)
MISSING = " group labels are missing. Drop those rows, or give them a label of "

LABELS = [
    refused(
        "a name", TypeError, NOT_A_COLUMN % "'school' of type str", groups="school"
    ),
    refused("a number", TypeError, NOT_A_COLUMN % "3 of type int", groups=3),
    refused(
        "a dict", TypeError, NOT_A_COLUMN % "{'a': 1} of type dict", groups={"a": 1}
    ),
    refused("a set", TypeError, NOT_A_COLUMN % "{1} of type set", groups={1}),
    refused(
        "too few labels",
        ValueError,
        "`groups` has 22 labels but X has 24 rows; it needs one label per row.",
        groups=GROUPS[2:],
    ),
    refused(
        "two columns",
        ValueError,
        JOIN,
        groups=np.column_stack([GROUPS, GROUPS]),
    ),
    refused(
        "tuples",
        ValueError,
        "The group label ('school 0', 0) is compound, but the model " + JOIN,
        groups=list(zip(NAMES, GROUPS.tolist(), strict=True)),
    ),
    refused(
        "a list as a label",
        TypeError,
        "The group label ['school 0'] is of type list; labels are scalars such as "
        "numbers, strings or dates.",
        groups=[[NAMES[0]], *([name, name] for name in NAMES[1:])],
    ),
    refused(
        "complex labels",
        ValueError,
        "The group labels are complex numbers. Use real numbers, strings or dates.",
        groups=GROUPS * 1j,
    ),
    refused(
        "instants out of range",
        ValueError,
        "The group label 9999-01-02 is out of the range that datetime64[ns] holds, the "
        "finest unit among the labels. Round them to a coarser unit.",
        groups=[datetime.date(9999, 1, 2), *[np.datetime64("2020", "ns")] * (N - 1)],
    ),
    refused(
        "missing labels",
        ValueError,
        f"4 of 24{MISSING}",
        groups=np.where(GROUPS == 1, np.nan, GROUPS),
    ),
    refused(
        "missing labels beside weights of zero",
        ValueError,
        f"4 of 20{MISSING}",
        groups=np.where(GROUPS < 2, None, GROUPS),
        sample_weight=1.0 * (GROUPS > 0),
    ),
    refused("only missing labels", ValueError, f"24 of 24{MISSING}", groups=[None] * N),
    refused(
        "missing labels in X",
        ValueError,
        f"4 of 24{MISSING}",
        {"group_feature": -1},
        X=np.column_stack([X, np.where(GROUPS == 1, np.nan, GROUPS)]),
        groups=None,
    ),
]


def first_two_masked(array):
    rows = np.arange(N).reshape(-1, *[1] * (array.ndim - 1))
    return np.ma.masked_array(array, mask=np.broadcast_to(rows < 2, array.shape))


MASKED = (
    " masked entries, which would be read as numbers. Impute them or drop their rows."
)
IF_IT_NAMES_THE_GROUPS = (
    "is not a number. If it names the groups, say so with group_feature=%r or pass it "
    "as `groups`; otherwise encode it, e.g. with OneHotEncoder."
)
LEAVE_IT_OUT = "is not a number. Leave it out or encode it, e.g. with OneHotEncoder."

FEATURES_AND_TARGET = [
    refused(
        "masked X",
        ValueError,
        f"X is a masked array with 4{MASKED}",
        X=first_two_masked(X),
    ),
    refused(
        "masked y",
        ValueError,
        f"y is a masked array with 2{MASKED}",
        y=first_two_masked(Y),
    ),
    refused(
        "text in a frame",
        ValueError,
        "Column 'school' of X holds 'school 0', which "
        + IF_IT_NAMES_THE_GROUPS % "school",
        X=WITH_SCHOOL,
        groups=None,
    ),
    refused(
        "text in a category",
        ValueError,
        "Column 'school' of X holds 'school 0', which "
        + IF_IT_NAMES_THE_GROUPS % "school",
        X=WITH_SCHOOL.astype({"school": "category"}),
        groups=None,
    ),
    refused(
        "text in a polars frame",
        ValueError,
        "Column 'school' of X holds 'school 0', which "
        + IF_IT_NAMES_THE_GROUPS % "school",
        X=pl.DataFrame({"age": X[:, 0], "school": list(NAMES)}),
        groups=None,
    ),
    refused(
        "text in an array",
        ValueError,
        f"Column 2 of X holds 'school 0', which {IF_IT_NAMES_THE_GROUPS % 2}",
        X=WITH_SCHOOL.to_numpy(),
        groups=None,
    ),
    refused(
        "text beside groups",
        ValueError,
        f"Column 'school' of X holds 'school 0', which {LEAVE_IT_OUT}",
        X=WITH_SCHOOL,
    ),
    refused(
        "text beside a label column",
        ValueError,
        f"Column 2 of X holds 'blue', which {LEAVE_IT_OUT}",
        {"group_feature": 0},
        X=WITH_SCHOOL.assign(colour="blue")[["school", "age", "colour"]].to_numpy(),
        groups=None,
    ),
    refused(
        "text beside missing numbers",
        ValueError,
        f"Column 'b' of X holds 'school 1', which {LEAVE_IT_OUT}",
        X=pd.DataFrame(
            {
                "a": pd.array([None] * N, dtype="string"),
                "b": pd.array([None, "1.5", *NAMES[4:], *["nan"] * 2], dtype="string"),
            }
        ),
    ),
    refused(
        "text as y",
        ValueError,
        "y holds 'school 0', which is not a number; a regression needs a numeric ",
        y=NAMES,
    ),
    refused(
        "missing y",
        ValueError,
        "Input y contains NaN in 1 of ... rows, first in row ... Drop these rows.",
        y=pd.array([None, *Y[1:]], dtype="Float64"),
    ),
    refused(
        "no column as y",
        TypeError,
        "y is of type dict, which is no column of numbers. Pass one number per row",
        y=dict(enumerate(Y)),
    ),
    refused(
        "a number as y",
        TypeError,
        "y is the number 1.5. Pass a column, one number per row.",
        y=1.5,
    ),
    refused(
        "one missing number",
        ValueError,
        "Input X contains NaN: column 'size' in 1 of 24 rows, first in row 3. Impute",
        X=FRAME.assign(size=np.where(np.arange(N) == 3, np.nan, X[:, 1])),
    ),
    refused(
        "infinity beside labels",
        ValueError,
        "Input X contains infinity: column 'size' in 2 of 24 rows, first in row 0 and "
        "1 other column too.",
        {"group_feature": "school"},
        X=WITH_SCHOOL.assign(size=np.where(np.arange(N) < 2, np.inf, 1.0), z=np.inf),
        groups=None,
    ),
    refused(
        "a missing number of a sparse matrix",
        ValueError,
        "Input X contains NaN: column 1 in 24 of 24 rows, first in row 0.",
        X=sparse.csr_array(X * [1.0, np.nan]),
    ),
    refused(
        "labels that are lists",
        TypeError,
        "The group label [0] is of type list; labels are scalars",
        groups=pd.Series(GROUPS.reshape(-1, 1).tolist(), dtype=LISTS),
    ),
    refused(
        "sparse y",
        TypeError,
        "Sparse data was passed for y, but dense data is required.",
        y=sparse.csr_array(Y[:, None]),
    ),
    refused(
        "one-dimensional X with a label column",
        ValueError,
        "Expected 2D array, got 1D array instead",
        {"group_feature": 0},
        X=X[:, 0],
        groups=None,
    ),
    refused(
        "no columns and no groups",
        ValueError,
        "0 feature(s) ... while a minimum of 1 is required",
        X=X[:, :0],
        groups=None,
    ),
]
WEIGHTS = [
    refused(
        "weights in a column",
        ValueError,
        "`sample_weight` has shape (24, 1) but X has 24 rows; it needs one weight per ",
        sample_weight=ONES[:, None],
    ),
    refused(
        "too few weights",
        ValueError,
        "`sample_weight` has shape (22,) but X has 24 rows; it needs one weight per ",
        sample_weight=ONES[2:],
    ),
    refused(
        "masked weights",
        ValueError,
        f"`sample_weight` is a masked array with 2{MASKED}",
        sample_weight=first_two_masked(ONES),
    ),
    refused(
        "negative weights",
        ValueError,
        "`sample_weight` has 2 negative weights; weights count repetitions of a row "
        "and are at least 0.",
        sample_weight=np.where(np.arange(N) < 2, -0.5, 1.0),
    ),
    refused(
        "weights of zero",
        ValueError,
        "All weights in `sample_weight` are zero: there is no data.",
        sample_weight=0 * ONES,
    ),
    refused(
        "NaN among weights",
        ValueError,
        "sample_weight contains NaN",
        sample_weight=np.where(np.arange(N) < 2, np.nan, 1.0),
    ),
]


def assert_fit_refuses(parameters, arguments, error, message, **estimator):
    given = {"X": X, "y": Y, "groups": GROUPS} | arguments
    before = copy.deepcopy(given)
    with pytest.raises(error) as caught:
        fit(parameters, **estimator, **arguments)
    assert_says(caught.value, message)
    for name, array in given.items():
        if isinstance(array, (np.ndarray, pd.DataFrame)):
            assert_unchanged(array, before[name])


@pytest.mark.parametrize(
    "parameters, arguments, error, message",
    PARAMETERS + LABELS + FEATURES_AND_TARGET + WEIGHTS,
)
@pytest.mark.parametrize("module", [random_intercept, heteroscedastic])
def test_fit_refuses_before_any_work(
    parameters, arguments, error, message, module, monkeypatch
):
    def work(*_):
        raise AssertionError("the rows were read before the input was refused")

    worker = "summarize" if module is random_intercept else "sample_in_memory"
    monkeypatch.setattr(module, worker, work)
    estimator = ESTIMATORS[module]
    assert_fit_refuses(parameters, arguments, error, message, estimator=estimator)


def test_columns_are_required_again_after_a_fit_without():
    model = fit(X=X[:, :0])
    with pytest.raises(ValueError, match=r"0 feature\(s\)"):
        model.fit(X[:, :0], Y)


def test_column_of_dates_is_named_in_a_note():
    """The error is scikit-learn's or NumPy's own; what it lacks is the column."""
    with pytest.raises(TypeError) as caught:
        fit(X=FRAME.assign(day=datetime.date(2020, 1, 1)))
    (note,) = caught.value.__notes__
    assert_says(note, f"Column 'day' of X holds ...2020..., which {LEAVE_IT_OUT}")


@pytest.mark.parametrize(
    "parameters, plain",
    [
        ({"alpha": 1}, {"alpha": 1.0}),
        ({"alpha": np.float64(0.5)}, {"alpha": 0.5}),
        ({"alpha": np.float32(0.5)}, {"alpha": 0.5}),
        ({"alpha": Fraction(1, 2)}, {"alpha": 0.5}),
        ({"fit_intercept": np.bool_(False)}, {"fit_intercept": False}),
        ({"method": np.str_("ml")}, {"method": "ml"}),
    ],
    ids=["int", "float64", "float32", "fraction", "bool_", "str_"],
)
def test_other_types_of_parameters_are_accepted(parameters, plain):
    assert_array_equal(fit(parameters).coef_, fit(plain).coef_)
    assert fit(parameters).group_variance_ == fit(plain).group_variance_


@pytest.mark.parametrize("value", [2, np.int64(2), -1, np.int8(-1), "school"], ids=repr)
def test_names_and_indices_for_group_feature_are_accepted(value):
    model = fit({"group_feature": value}, X=WITH_SCHOOL, groups=None)
    assert model.coef_[2] == 0
    assert len(model.groups_) == N_GROUPS


# --- fit refuses what only its sums can tell ----------------------------------

OUT_OF_RANGE = (
    "; squares of figures beyond 1e-140 to 1e+140 leave the range of double precision. "
    "Rescale it."
)
BIG, SMALL = 10 * 1e150 / np.abs(X).max(axis=0)[1], 1e-150


@pytest.mark.parametrize(
    "parameters, arguments, error, message",
    [
        refused(
            "large X",
            ValueError,
            f"Column 1 of X is of order ...e+15...{OUT_OF_RANGE}",
            X=X * [1.0, BIG],
        ),
        refused(
            "small X",
            ValueError,
            f"Column 0 of X is of order ...e-1...{OUT_OF_RANGE}",
            X=X * [SMALL, 1.0],
        ),
        refused(
            "large X in a frame",
            ValueError,
            f"Column 'size' of X is of order ...{OUT_OF_RANGE}",
            X=FRAME * [1.0, BIG],
        ),
        refused(
            "large X beside a label column",
            ValueError,
            f"Column 2 of X is of order ...{OUT_OF_RANGE}",
            {"group_feature": 0},
            X=np.column_stack([GROUPS, X * [1.0, BIG]]),
            groups=None,
        ),
        refused(
            "large y",
            ValueError,
            f"y is of order ...e+15...{OUT_OF_RANGE}",
            y=Y * BIG,
        ),
        refused(
            "large weights",
            ValueError,
            "The weights in `sample_weight` sum to 1e+302, so that Column 0 of X, "
            "weighted, is of order ...e+15...; squares of figures beyond 1e-140 to "
            "1e+140 leave the range of double precision. Rescale the weights.",
            sample_weight=np.full(len(Y), 1e302 / len(Y)),
        ),
        refused(
            "steep",
            ValueError,
            "y is of order ...e+10... and Column 0 of X of order ...e-...; the square "
            "of a coefficient between them leaves the range of double precision. "
            "Rescale one of them.",
            X=X * 1e-100,
            y=Y * 1e100,
        ),
        refused(
            "weights that sum to too little",
            ValueError,
            "The weights sum to 1.2, fewer than the 3 coefficients that REML has to "
            "allow for. Weights count repetitions of a row: multiply them, e.g. so "
            "that they sum to the number of rows.",
            sample_weight=0.05 * ONES,
        ),
    ],
)
def test_fit_refuses(parameters, arguments, error, message):
    assert_fit_refuses(parameters, arguments, error, message)


# --- what follows fit refuses, and leaves the model as it was -----------------


def refused_later(id, method, error, message, **arguments):
    return pytest.param(method, arguments, error, message, id=f"{method}, {id}")


@pytest.mark.parametrize(
    "method, arguments, error, message",
    [
        refused_later(
            "both flags",
            "predict",
            ValueError,
            "return_std and return_cov are both True; ask for one of them (the "
            "standard deviations are the roots of the covariance's diagonal).",
            return_std=True,
            return_cov=True,
        ),
        *(
            refused_later(
                repr(value),
                "predict_interval",
                ValueError,
                f"coverage is a probability between 0 and 1, got {value!r}.",
                coverage=value,
            )
            for value in [0, 1, -0.1, 90, True, np.nan, np.inf, "0.9", None]
        ),
        *(
            refused_later(
                repr(value),
                "sample_y",
                ValueError,
                f"n_samples is a positive integer, got {value!r}.",
                n_samples=value,
            )
            for value in [0, -1, 1.0, True, np.nan, "1", None]
        ),
        *(
            refused_later(
                "kind",
                method,
                ValueError,
                "The group labels are of kind string, those of the fit were of kind "
                "number; they can never match. Convert them to the kind used in fit; "
                "for a new group pass None or a number that was not in the data.",
                groups=NAMES,
            )
            for method in METHODS
        ),
        *(
            refused_later(
                "length",
                method,
                ValueError,
                "`groups` has 23 labels but X has 24 rows; it needs one label per row.",
                groups=GROUPS[1:],
            )
            for method in METHODS
        ),
        refused_later(
            "a name",
            "predict",
            TypeError,
            NOT_A_COLUMN % "'school' of type str",
            groups="school",
        ),
        refused_later(
            "masked X",
            "predict",
            ValueError,
            f"X is a masked array with 4{MASKED}",
            X=first_two_masked(X),
        ),
        refused_later(
            "text",
            "predict",
            ValueError,
            f"Column 0 of X holds 'school 0', which {LEAVE_IT_OUT}",
            X=WITH_SCHOOL[["school", "age"]].to_numpy(),
        ),
        refused_later(
            "masked y",
            "log_predictive_density",
            ValueError,
            f"y is a masked array with 2{MASKED}",
            y=first_two_masked(Y),
        ),
        refused_later(
            "no y",
            "log_predictive_density",
            ValueError,
            "y is None; the density is that of observations y.",
            y=None,
        ),
        refused_later(
            "two columns of y",
            "log_predictive_density",
            ValueError,
            "y should be a 1d array, got an array of shape (24, 2)",
            y=np.column_stack([Y, Y]),
        ),
        refused_later(
            "one number as y",
            "log_predictive_density",
            ValueError,
            "y should be a 1d array, got an array of shape ()",
            y=1.0,
        ),
        refused_later(
            "text as y",
            "log_predictive_density",
            ValueError,
            "y holds 'school 0', which is not a number",
            y=NAMES,
        ),
        refused_later(
            "short y",
            "log_predictive_density",
            ValueError,
            "inconsistent numbers of samples: [24, 23]",
            y=Y[1:],
        ),
    ],
)
def test_refusals_leave_the_model_as_it_was(method, arguments, error, message):
    model = fit()
    mean, cov = model.predict(X, groups=GROUPS, return_cov=True)
    state = pickle.dumps(model)
    with pytest.raises(error) as caught:
        call(model, method, **arguments)
    assert_says(caught.value, message)
    assert pickle.dumps(model) == state
    mean_again, cov_again = model.predict(X, groups=GROUPS, return_cov=True)
    assert_array_equal(mean_again, mean)
    assert_array_equal(cov_again, cov)


@pytest.mark.parametrize("method", METHODS)
def test_both_doors_after_fit(method):
    model = fit({"group_feature": "school"}, X=WITH_SCHOOL, groups=None)
    with pytest.raises(ValueError, match=r"Both doors .* group_feature='school' takes"):
        call(model, method, X=WITH_SCHOOL, groups=NAMES)


OLD_SKLEARN = tuple(map(int, sklearn.__version__.split(".")[:2])) < (1, 9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "table",
    {
        "records": [{"age": 1.0, "size": 2.0}] * N,
        "ragged": [[1.0], *X[1:].tolist()],
        "mixed names": FRAME.rename(columns={"age": 0}),
        "a name twice": FRAME.rename(columns={"age": "size"}),
        "infinity": FRAME.replace(FRAME.iloc[0, 0], np.inf),
    }.items(),
    ids=lambda item: item[0],
)
def test_unreadable_tables_have_the_error_of_fit(table, method):
    """Without y they were told that y holds None."""
    name, table = table
    if name == "a name twice" and OLD_SKLEARN:
        pytest.skip("scikit-learn 1.8 reads a frame with a name twice")
    model = fit(X=FRAME if isinstance(table, pd.DataFrame) else X)
    with pytest.raises((TypeError, ValueError)) as of_fit:
        fit(X=table)
    with pytest.raises((TypeError, ValueError)) as caught:
        call(model, method, X=table)
    assert caught.type is of_fit.type
    assert str(caught.value) == str(of_fit.value)


@pytest.mark.parametrize("iterator", [iter, lambda y: map(float, y)])
def test_columns_that_are_read_only_once_are_refused(iterator):
    model = fit()
    with pytest.raises(TypeError, match=r"y is of type .* no column of num"):
        fit(y=iterator(Y))
    with pytest.raises(TypeError, match=r"y is of type .* no column of num"):
        model.score(X, iterator(Y), groups=GROUPS)
    with pytest.raises(TypeError, match=r"`sample_weight` is of type .* no column"):
        fit(sample_weight=iterator(ONES))


@pytest.mark.parametrize("method", METHODS)
def test_methods_need_a_fit(method):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        call(RandomInterceptRegressor(), method)


# --- warnings -----------------------------------------------------------------

NO_GROUPS = (
    "No `groups` were given, so the model has no group effects: pass `groups=` ..."
    "enable_metadata_routing=True) or set `group_feature`."
)
IGNORED = (
    "Group labels are ignored: the model was fitted without `groups`, so it knows "
    "no groups."
)
NO_FREEDOM = (
    "3 rows, 3 coefficients: no degrees of freedom left for the variance. ... Use more "
    "rows, fewer features or a larger alpha."
)
FITTED_EXACTLY = (
    "y is fitted exactly: it is constant, or features and groups determine it. ... Use "
    "more rows, fewer features or a larger alpha."
)


def recorded(function, *args, **kwargs):
    """The result of the call, and the warnings that it gave."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        result = function(*args, **kwargs)
    return result, record


FEATURES_TELL_GROUPS = (
    "The features explain all differences between the 6 groups: nothing is left for "
    "the group variance, which is set to 0. Leave out features that are constant "
    "within groups."
)


def warned(id, category, message, **arguments):
    return pytest.param(arguments, category, message, id=id)


@pytest.mark.parametrize(
    "arguments, category, message",
    [
        warned("no groups", GroupsWarning, NO_GROUPS, groups=None),
        warned(
            "one group",
            GroupsWarning,
            "There is one group only, 'school 0': its random intercept duplicates the "
            "intercept, and the group variance is set to 0. Use two groups or more.",
            groups=["school 0"] * N,
        ),
        warned(
            "one group left by the weights",
            GroupsWarning,
            "There is one group only, 2: ",
            sample_weight=1.0 * (GROUPS == 2),
        ),
        warned(
            "one row per group",
            GroupsWarning,
            "All 24 groups have one row each: their variance cannot be told from the "
            "noise, and is set to 0. Use coarser groups.",
            groups=np.arange(N),
        ),
        warned(
            "features that tell all groups apart",
            GroupsWarning,
            FEATURES_TELL_GROUPS,
            X=np.eye(N_GROUPS)[GROUPS],
        ),
        warned(
            "features that tell all groups apart beside others",
            GroupsWarning,
            FEATURES_TELL_GROUPS,
            X=np.column_stack([X, np.eye(N_GROUPS)[GROUPS]]),
        ),
        warned(
            "features that together tell all groups apart",
            GroupsWarning,
            FEATURES_TELL_GROUPS,
            X=np.column_stack([X, np.eye(N_GROUPS)[GROUPS][:, 1:] + X[:, :1]]),
        ),
        warned("constant y", UserWarning, FITTED_EXACTLY, y=0 * Y + 3),
        warned("linear y", UserWarning, FITTED_EXACTLY, y=X @ [1, 2] + 3),
        warned(
            "as many coefficients as rows",
            UserWarning,
            NO_FREEDOM,
            X=X[::8],
            y=Y[::8],
            groups=[0, 1, 1],
        ),
        warned(
            "as many coefficients as rows in one group",
            UserWarning,
            NO_FREEDOM,
            X=X[:3],
            y=Y[:3],
            groups=[0, 0, 0],
        ),
    ],
)
def test_fit_warns_once_and_names_the_caller(arguments, category, message):
    arguments = {"X": X, "y": Y, "groups": GROUPS} | arguments
    model, (warning,) = recorded(RandomInterceptRegressor().fit, **arguments)
    assert warning.category is category
    assert_says(warning.message, message)
    assert warning.filename == __file__
    if category is GroupsWarning:
        assert model.group_variance_ == 0
        assert not model.at_boundary_


def test_fit_without_groups_and_without_freedom_says_both():
    _, (no_freedom, no_groups) = recorded(fit, X=X[::8], y=Y[::8], groups=None)
    assert no_freedom.category is UserWarning
    assert_says(no_freedom.message, NO_FREEDOM)
    assert no_groups.category is GroupsWarning
    assert_says(no_groups.message, NO_GROUPS)


@pytest.mark.parametrize("method", METHODS)
def test_ignored_labels_warn_once(method):
    model, _ = recorded(fit, groups=None)
    _, (warning,) = recorded(call, model, method)
    assert warning.category is GroupsWarning
    assert_says(warning.message, IGNORED)


@pytest.mark.parametrize("method", METHODS)
def test_ignored_labels_name_the_caller(method):
    model, _ = recorded(fit, groups=None)
    _, (warning,) = recorded(call, model, method)
    assert warning.filename == __file__


def test_ignored_labels_are_ignored():
    model, _ = recorded(fit, groups=None)
    labelled, _ = recorded(model.predict, X, groups=NAMES, return_std=True)
    assert_array_equal(labelled, model.predict(X, return_std=True))


def test_groups_warnings_can_be_filtered():
    assert issubclass(GroupsWarning, UserWarning)
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", GroupsWarning)
        fit(groups=None).predict(X, groups=GROUPS)
    assert not record


# --- silence ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("load", [load_sleepstudy, load_hsb82, load_machines])
def test_good_fits_are_silent(load, method):
    X, y, groups = load(return_X_y_groups=True)

    def use():
        model = RandomInterceptRegressor(method=method).fit(X, y, groups=groups)
        for labels in (groups, -1 - groups, np.full(len(y), np.nan)):
            model.predict(X, groups=labels, return_std=True)
            model.predict_interval(X, groups=labels)
            model.sample_y(X, groups=labels)
            model.log_predictive_density(X, y, groups=labels)
            model.score(X, y, groups=labels)
        model.predict(X[:20], groups=groups[:20], return_cov=True)

    _, record = recorded(use)
    assert not record


def test_one_group_without_intercept_is_silent():
    """Its random intercept stands in for the intercept."""
    _, record = recorded(fit, {"fit_intercept": False}, groups=[1] * N)
    assert not record


def test_groups_that_do_not_differ_are_a_result_and_no_warning():
    """Group means that differ less than the noise alone makes them."""
    noise = np.tile([-1.0, 1.0, -1.0, 1.0], N_GROUPS)
    model, record = recorded(fit, X=X[:, :0], y=noise)
    assert not record
    assert model.at_boundary_


# --- the caller's arrays ------------------------------------------------------


@pytest.mark.parametrize(
    "container",
    [
        np.ascontiguousarray,
        np.asfortranarray,
        lambda X: X.astype(np.float32),
        sparse.csr_array,
    ],
    ids=["C", "Fortran", "float32", "sparse"],
)
@pytest.mark.parametrize("group_feature", [None, -1])
def test_arrays_are_only_read(container, group_feature):
    """Arrays that cannot be written to are good enough for everything."""
    weights = ONES + GROUPS
    columns = container(X if group_feature is None else np.column_stack([X, GROUPS]))
    y, groups = Y.copy(), GROUPS.copy()
    buffers = [columns.data, columns.indices] if sparse.issparse(columns) else [columns]
    for array in [*buffers, y, groups, weights]:
        array.flags.writeable = False

    groups = groups if group_feature is None else None
    model = RandomInterceptRegressor(group_feature=group_feature)
    model.fit(columns, y, groups=groups, sample_weight=weights)
    model.predict(columns, groups=groups, return_cov=True)
    model.sample_y(columns, groups=groups)
    model.log_predictive_density(columns, y, groups=groups)
    model.score(columns, y, groups=groups, sample_weight=weights)


def test_frames_are_only_read():
    frame, before = WITH_SCHOOL.copy(), WITH_SCHOOL.copy()
    fit({"group_feature": "school"}, X=frame, groups=None).predict(frame)
    pd.testing.assert_frame_equal(frame, before)
