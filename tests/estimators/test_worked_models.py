"""The models that the documentation teaches, as it writes them, with the restricted
log-likelihoods of lme4 (worked/README.md).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmixed import LinearMixedRegressor, RandomEffects, RandomInterceptRegressor
from skmixed.datasets import load_sleepstudy

WORKED = Path(__file__).parents[1] / "worked"
PRINTED = 1e-6  # lme4's optimiser stops some 1e-9 below the optimum; 6 digits are kept


def read(name):
    if name == "sleepstudy":
        return load_sleepstudy(as_frame=True).frame
    return pd.read_csv(WORKED / f"{name}.csv")


def levels_of_subjects():
    d = read("sleepstudy")
    return LinearMixedRegressor().fit(
        d[["Days"]], d["Reaction"], groups=d["Subject"]
    ), -893.232543


def levels_and_slopes():
    d = read("sleepstudy")
    return LinearMixedRegressor("(Days | Subject)").fit(
        d[["Days"]], d["Reaction"], groups=d["Subject"]
    ), -871.814136


def uncorrelated():
    d = read("sleepstudy")
    return LinearMixedRegressor("(Days || Subject)").fit(
        d[["Days"]], d["Reaction"], groups=d["Subject"]
    ), -871.834647


def crossed():
    d = read("Penicillin")
    X0 = np.empty((len(d), 0))
    return LinearMixedRegressor().fit(
        X0, d["diameter"], groups=d[["plate", "sample"]]
    ), -165.430294


def nested():
    d = read("Pastes")
    X0 = np.empty((len(d), 0))
    return LinearMixedRegressor("(1 | batch/cask)").fit(
        X0, d["strength"], groups=d[["batch", "cask"]]
    ), -123.495373


def nested_written_as_crossed():
    d = read("Pastes")
    X0 = np.empty((len(d), 0))
    return LinearMixedRegressor("(1 | batch) + (1 | cask)").fit(
        X0, d["strength"], groups=d[["batch", "cask"]]
    ), -150.735457


def split_plot():
    d = read("Oats")
    return LinearMixedRegressor("(1 | Block/Variety)").fit(
        d[["nitro"]], d["yield"], groups=d[["Block", "Variety"]]
    ), -296.520877


def slopes_of_dogs_and_levels_of_their_sides():
    d = read("Pixel")
    return LinearMixedRegressor("(day | Dog) + (1 | Dog:Side)").fit(
        d[["day", "day2"]], d["pixel"], groups=d[["Dog", "Side"]]
    ), -412.605097


def effect_of_a_category():
    d = read("Machines")
    pipe = make_pipeline(
        OneHotEncoder(drop="first", sparse_output=False),
        LinearMixedRegressor("(Machine_B + Machine_C | Worker)"),
    ).set_output(transform="pandas")
    pipe.fit(d[["Machine"]], d["score"], linearmixedregressor__groups=d["Worker"])
    return pipe[-1], -104.155609


def machines_in_workers():
    d = read("Machines")
    X = OneHotEncoder(drop="first", sparse_output=False).fit_transform(d[["Machine"]])
    return LinearMixedRegressor("(1 | Worker) + (1 | Worker:Machine)").fit(
        X, d["score"], groups=d[["Worker", "Machine"]]
    ), -107.843784


def subjects_and_items():
    d = read("rt")
    return LinearMixedRegressor("(cond | subject) + (cond | item)").fit(
        d[["cond"]], d["rt"], groups=d[["subject", "item"]]
    ), -588.833302


def a_slope_that_is_not_in_the_mean():
    d = read("sleepstudy")
    return LinearMixedRegressor("(0 + Days | Subject)", mean_features=[]).fit(
        d[["Days"]], d["Reaction"], groups=d["Subject"]
    ), -894.614490


def a_combination_only():
    d = read("cake")
    encode = ColumnTransformer(
        [("recipe", OneHotEncoder(drop="first", sparse_output=False), ["recipe"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    X = encode.fit_transform(d[["recipe", "temp"]])
    return LinearMixedRegressor("(1 | recipe:replicate)").fit(
        X, d["angle"], groups=d
    ), -846.922156


MODELS = [
    levels_of_subjects,
    levels_and_slopes,
    uncorrelated,
    crossed,
    nested,
    nested_written_as_crossed,
    split_plot,
    slopes_of_dogs_and_levels_of_their_sides,
    effect_of_a_category,
    machines_in_workers,
    subjects_and_items,
    a_slope_that_is_not_in_the_mean,
    a_combination_only,
]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_log_likelihood(model):
    fitted, expected = model()
    assert abs(fitted.log_likelihood_ - expected) < PRINTED
    assert fitted.converged_


def test_the_old_estimator_is_the_first_model():
    d = read("sleepstudy")
    old = RandomInterceptRegressor()
    old.fit(d[["Days"]], d["Reaction"], groups=d["Subject"])
    assert abs(old.log_likelihood_ - levels_of_subjects()[1]) < PRINTED


def test_unique_labels_of_a_nested_factor_are_the_same_model():
    """Casks a, b, c of every batch, or casks of 30 names."""
    d = read("Pastes")
    unique = d.assign(cask=d["batch"] + d["cask"])
    X0 = np.empty((len(d), 0))
    reused, _ = nested()
    fits = [
        LinearMixedRegressor(terms).fit(X0, d["strength"], groups=unique)
        for terms in ("(1 | batch/cask)", "(1 | batch) + (1 | cask)")
    ]
    for fit in fits:
        assert abs(fit.log_likelihood_ - reused.log_likelihood_) < 1e-9
    assert reused.groups_["batch:cask"][:2].tolist() == [("A", "a"), ("A", "b")]
    assert list(fits[1].groups_["cask"][:2]) == ["Aa", "Ab"]


def test_a_diagonal_covariance_depends_on_the_zero_of_its_columns():
    d = read("sleepstudy")
    centred = d[["Days"]] - d[["Days"]].mean()
    found = [
        LinearMixedRegressor(terms).fit(X, d["Reaction"], groups=d["Subject"])
        for terms in ("(Days | Subject)", "(Days || Subject)")
        for X in (d[["Days"]], centred)
    ]
    values = [model.log_likelihood_ for model in found]
    expected = [-871.8141, -871.8141, -871.8346, -876.7744]
    assert np.allclose(values, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("library", ["default", "pandas", "polars"])
def test_names_that_survive_a_scaler(library):
    d = read("sleepstudy")
    term = "(x0 | Subject)" if library == "default" else "(Days | Subject)"
    pipe = make_pipeline(StandardScaler(), LinearMixedRegressor(term))
    pipe.set_output(transform=library)
    X = d[["Days"]].astype(float)
    pipe.fit(X, d["Reaction"], linearmixedregressor__groups=d["Subject"])
    # The slope's unit is the column's, and the Jacobian of the coefficient is REML's.
    scale = np.log(pipe[0].scale_[0])
    assert abs(pipe[-1].log_likelihood_ - scale - levels_and_slopes()[1]) < PRINTED


def test_an_object_is_the_text():
    d = read("Pixel")
    terms = [RandomEffects("Dog", ["day"]), RandomEffects(("Dog", "Side"))]
    model = LinearMixedRegressor(terms)
    model.fit(d[["day", "day2"]], d["pixel"], groups=d)
    text, _ = slopes_of_dogs_and_levels_of_their_sides()
    assert model.log_likelihood_ == text.log_likelihood_
