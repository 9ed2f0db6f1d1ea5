"""Fits of a chain of nested factors beside crossed ones, against the joint normal
distribution at their variances and against a dense matrix of all other effects.
"""

import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import mixed
from scipy import sparse
from scipy.stats import multivariate_normal

from skmixed import LinearMixedRegressor
from skmixed._likelihood import conditional
from skmixed._rows import mixed as rows

# Matrices of condition up to 1e4, in double precision; figures are of order 1.
DENSE = 1e-9
# Optima of two ways to one likelihood, whose searches end by rounding.
SAME = 1e-6
N, N_NEW = 240, 40
FACTORS = "district", "school", "cls", "rater", "item"
# Columns of X with an effect (-1 is the constant), by name of the factor.
MODELS = {
    "(1 | school/cls) + (1 | rater)": {
        "school": [-1],
        "school:cls": [-1],
        "rater": [-1],
    },
    "(1 + x | school) + (1 | school:cls) + (1 + z | rater)": {
        "school": [-1, 0],
        "school:cls": [-1],
        "rater": [-1, 1],
    },
    "(1 | district/school) + (1 + x | cls) + (1 | rater) + (0 + x | item)": {
        "district": [-1],
        "district:school": [-1],
        "cls": [-1, 0],
        "rater": [-1],
        "item": [0],
    },
}


def simulate(seed=0, n=N):
    """X, y, labels and weights; classes have labels of their own."""
    rng = np.random.default_rng(seed)
    cls = rng.integers(0, 30, n)
    codes = [cls // 9, cls // 3, cls, rng.integers(0, 12, n), rng.integers(0, 5, n)]
    X = pd.DataFrame({"x": rng.normal(size=n) + 1, "z": rng.normal(size=n)})
    y = X.sum(axis=1).to_numpy() + rng.normal(size=n)
    effects = np.random.default_rng(7)
    for code in codes:
        y = y + effects.normal(size=30)[code]
    y = y + X["x"].to_numpy() * effects.normal(size=30)[codes[1]]
    labels = pd.DataFrame(dict(zip(FACTORS, codes, strict=True)))
    return X, y, labels, rng.integers(1, 4, n).astype(float)


def codes_of(labels, name):
    """Levels of a factor, those of a combination of labels too."""
    return number([labels[part].to_numpy() for part in name.split(":")])


def number(level):
    """A number for one label or a combination of them, below 1000 each."""
    level = level if isinstance(level, list | tuple) else [level]
    return sum(1000**i * part for i, part in enumerate(level))


def dense_problem(model, text, X, y, labels, weight):
    """The oracle's problem at the fitted variances."""
    A = np.column_stack([np.ones(len(X)), X])
    terms = [
        mixed.Term(
            A[:, np.array(columns) + 1],
            codes_of(labels, name),
            model.random_effects_covariance_[name],
        )
        for name, columns in MODELS[text].items()
    ]
    return mixed.problem(A, y, terms, model.noise_variance_, weight)


@pytest.mark.parametrize("text", MODELS)
def test_predictions_are_those_of_the_joint_normal_distribution(text):
    """math.md (82), (83), (202)."""
    X, y, labels, weight = simulate()
    model = LinearMixedRegressor(text).fit(X, y, groups=labels, sample_weight=weight)
    at = dense_problem(model, text, X, y, labels, weight)
    log_likelihood = mixed.log_likelihood(at, True)
    assert_allclose(model.log_likelihood_, log_likelihood, rtol=DENSE)
    for name in MODELS[text]:
        levels = [number(level) for level in model.groups_[name]]
        k = list(MODELS[text]).index(name)
        modes, known, error = mixed.random_effects(at, k, levels)
        assert_allclose(model.random_effects_[name], modes, atol=1e-7)
        std = np.sqrt(np.diagonal(error, axis1=1, axis2=2))
        assert_allclose(model.random_effects_std_[name], std, rtol=1e-7)
        std = np.sqrt(np.diagonal(known, axis1=1, axis2=2))
        got = model.random_effects_conditional_std_[name]
        assert_allclose(got, std, rtol=1e-7)
    X, y, labels, _ = simulate(seed=1, n=N_NEW)
    labels.loc[:5, "rater"], labels.loc[3:8, ["cls", "item"]] = 77, 99
    labels.loc[6:11, ["cls", "school", "district"]] = 88
    new = dense_problem(model, text, X, y, labels, None)
    mean, covariance = mixed.predict(at, new)
    got, std = model.predict(X, groups=labels, return_std=True)
    assert_allclose(got, mean, atol=1e-7)
    variance = np.diag(covariance) + model.noise_variance_
    assert_allclose(std**2, variance, rtol=1e-7)
    noise = model.noise_variance_ * np.eye(N_NEW)
    got = model.predict(X, groups=labels, return_cov=True)[1]
    assert_allclose(got, covariance + noise, atol=1e-7)
    density = multivariate_normal(mean, covariance + noise).logpdf(y)
    got = model.log_predictive_density(X, y, groups=labels)
    assert_allclose(got, density, rtol=1e-7)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict(X, groups=labels, return_std=True)[1], std)


@pytest.mark.parametrize("method", ["ml", "reml"])
@pytest.mark.parametrize("text", MODELS)
def test_a_dense_matrix_of_all_other_effects_has_the_same_fit(
    text, method, monkeypatch
):
    X, y, labels, _ = simulate()
    more = simulate(seed=1, n=300)
    fits, arrange = [], rows.arrange_terms
    for dense in (False, True):
        how = partial(
            lambda terms, data, _, dense: arrange(terms, data, dense), dense=dense
        )
        monkeypatch.setattr(rows, "arrange_terms", how)
        monkeypatch.setattr("skmixed._likelihood.mixed.FEW_EFFECTS", 0)
        fits.append(LinearMixedRegressor(text, method=method).fit(X, y, groups=labels))
    monkeypatch.undo()
    got, expected = fits
    assert_allclose(got.log_likelihood_, expected.log_likelihood_, rtol=1e-11)
    for _ in range(2):
        density = expected.log_predictive_density(*more[:2], groups=more[2])
        found = got.log_predictive_density(*more[:2], groups=more[2])
        assert_allclose(found, density, rtol=SAME)
        std = expected.predict(more[0], groups=more[2], return_std=True)[1]
        found = got.predict(more[0], groups=more[2], return_std=True)[1]
        assert_allclose(found, std, rtol=SAME)
        for model in fits:
            model.update_random_effects(X[:50], y[:50], groups=labels[:50])


def test_sparse_rows_have_the_fit_of_dense_ones():
    X, y, labels, weight = simulate()
    how = {"groups": labels, "sample_weight": weight}
    X = X.to_numpy()
    for text in list(MODELS)[:2]:
        text = text.replace("x", "x0").replace("z", "x1")
        model = LinearMixedRegressor(text).fit(X, y, **how)
        again = LinearMixedRegressor(text).fit(sparse.csr_array(X), y, **how)
        assert_allclose(again.log_likelihood_, model.log_likelihood_, rtol=1e-11)
        got = again.predict(sparse.csr_array(X), groups=labels, return_std=True)
        expected = model.predict(X, groups=labels, return_std=True)
        assert_allclose(got, expected, rtol=SAME, atol=SAME)


@pytest.mark.parametrize("outer", [1, 4])
@pytest.mark.parametrize("text", ["0 + x0 + x1", "0 + x1 + x0 + x2", "0 + x0"])
def test_sparse_slopes_without_a_random_or_fixed_intercept(text, outer):
    """Of their columns in the mean rounding is left, which was scaled up and mixed with
    the other columns: 16 lower in log-likelihood, in silence.
    """
    rng = np.random.default_rng(1)
    X, inner = rng.normal(size=(33, 5)), rng.integers(2, size=33)
    labels = pd.DataFrame({"h": rng.integers(outer, size=33), "g": inner})
    y = 2.5 + rng.normal(size=33)
    model = LinearMixedRegressor(f"(1 | h) + ({text} | g)", fit_intercept=False)
    values = [
        model.fit(rows, y, groups=labels).log_likelihood_
        for rows in (X, sparse.csr_array(X))
    ]
    assert_allclose(values[1], values[0], rtol=SAME)


def test_pairs_of_long_sparse_rows_are_those_of_short_ones(monkeypatch):
    """math.md (83): by their entries, and by products of whole rows."""
    rng = np.random.default_rng(0)
    A, B = (rng.normal(size=(m, 9)) * (rng.random((m, 9)) < 0.6) for m in (20, 6))
    C = np.cov(rng.normal(size=(9, 30)))
    i, j = rng.integers(0, 20, 50), rng.integers(0, 6, 50)
    expected, A, B = (A @ C @ B.T)[i, j], sparse.csr_array(A), sparse.csr_array(B)
    for cost in (0.0, np.inf):
        monkeypatch.setattr(conditional, "PRODUCT", cost)
        monkeypatch.setattr(conditional, "PAIRS_AT_ONCE", 20)
        assert_allclose(conditional._bilinear(A, i, B, j, C), expected, atol=1e-13)
