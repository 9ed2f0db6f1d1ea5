"""The variance of predictions by estimated weights, against n x n matrices."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.stats import t as student

from skmixed import LinearMixedRegressor
from skmixed._estimator import fit_of
from skmixed._results.estimated_weights import added_by_weights, estimated_weights
from skmixed._results.mixed_inference import all_variance_parameters

STEP = 1e-5


def simulate(n_groups=7, n_rows=6, n_columns=2):
    rng = np.random.default_rng(1)
    n = n_groups * n_rows
    a = np.repeat(np.arange(n_groups), n_rows)
    table = pd.DataFrame({"a": a, "b": 2 * a + np.arange(n) % 2, "c": np.arange(n) % 5})
    X = rng.normal(size=(n, n_columns))
    b, slopes = rng.normal(size=(2, n_groups))
    y = 1 + X[:, 0] * (1 + slopes[a]) + b[a] + rng.normal(size=n)
    y += 0.9 * rng.normal(size=5)[table["c"]] + 0.8 * rng.normal(size=99)[table["b"]]
    return X, y, table


def weights(Psis, design, new):
    """Weights (n, n_new) of y in the predictions of new rows, V0 and all."""
    A, Zs, same = design
    V0, cross = np.eye(len(A)), 0.0
    for Psi, Z, Z_new, equal, known in zip(Psis, Zs, new[1], same, new[2], strict=True):
        V0 = V0 + (Z @ Psi @ Z.T) * equal
        cross = cross + (Z @ Psi @ Z_new.T) * known
    inverse = np.linalg.inv(V0)
    of_beta = np.linalg.solve(A.T @ inverse @ A, A.T @ inverse)
    residual = new[0] - cross.T @ inverse @ A
    return (residual @ of_beta + cross.T @ inverse).T, V0


@pytest.mark.parametrize(
    "terms", ["(x0 | a)", "(x0 + x1 || a)", "(x0 | a) + (1 | c)", "(1 | a/b)"]
)
@pytest.mark.parametrize("method", ["ml", "reml"])
def test_it_is_that_of_differences_of_dense_weights(terms, method):
    """math.md (207)."""
    X, y, table = simulate()
    model = LinearMixedRegressor(terms, method=method).fit(X, y, groups=table)
    fit = fit_of(model)
    point = fit.point()
    parameters = all_variance_parameters(point)
    some = np.arange(0, len(X), 5)
    rows = [table[factor.name[-1]].to_numpy() for factor in fit.factors]
    Zs = [
        np.column_stack([np.ones(len(X)) if j < 0 else X[:, j] for j in factor.columns])
        for factor in fit.factors
    ]
    codes = [code[some].copy() for code in rows]
    codes[0][0] = -1  # a new level
    same = [code[:, None] == code for code in rows]
    known = [code[:, None] == own for code, own in zip(rows, codes, strict=True)]
    A = np.column_stack([np.ones(len(X)), X])
    new = A[some], [Z[some] for Z in Zs], known

    def at(t, E):
        Psis = [None] * len(fit.factors)
        for position, of_user in enumerate(fit.order):
            L = point.Lambdas[position]
            Psi = L @ L.T + (E if position == t else 0.0)
            Psis[of_user] = fit.reduced.coordinates[position].to_user(Psi)
        return weights(Psis, (A, Zs, same), new)

    V0, slopes = at(None, None)[1], []
    for t, directions in enumerate(parameters.directions):
        for E in STEP * directions / np.abs(directions).max(axis=(1, 2), keepdims=True):
            slopes.append((at(t, E)[0] - at(t, -E)[0]) / (2 * STEP))
    scale = [np.abs(E).max() for some in parameters.directions for E in some]
    slopes = np.array(slopes) * np.array(scale)[:, None, None]
    C = parameters.covariance[1:, 1:]
    expected = np.einsum("ij,iar,ab,jbr->r", C, slopes, V0, slopes, optimize=True)
    forms = estimated_weights(point, fit.reduced.places)
    found = added_by_weights(forms, fit.posterior, X[some], codes)
    assert_allclose(found, fit.noise * expected, rtol=1e-5)


def test_student_intervals_of_many_variances_are_wider():
    """math.md (207): no integral is offered for more than ten of them."""
    X, y, table = simulate(n_columns=4)
    groups, codes = table[["a"]], [table["a"].to_numpy()]
    for terms, adds in (("x0 + x1 + x2 + x3 | a", True), ("x0 + x1 + x2 | a", False)):
        model = LinearMixedRegressor(f"({terms})").fit(X, y, groups=groups)
        fit = fit_of(model)
        std = model.predict(X, groups=groups, return_std=True)[1]
        ends = model.predict_interval(X, groups=groups, distribution="t")
        added = fit.added_variance(X, codes)
        assert (added > 0).all() == adds
        half = student.ppf(0.95, fit.freedom_of(X, codes)) * np.sqrt(std**2 + added)
        assert_allclose(np.ptp(ends, axis=1), 2 * half, rtol=1e-8)
        if adds:
            forms = fit._estimated_weights
            once = added_by_weights(forms, fit.posterior, X, codes)
            assert_allclose(added, 2 * once)
            model.update_random_effects(X[:3], y[:3], groups=groups[:3])
            assert (fit_of(model).added_variance(X, codes) == 0).all()
