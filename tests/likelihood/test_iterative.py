"""Conjugate gradients, probes and draws against dense matrices: docs/math.md, 19."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import block_diag

from skmixed import LinearMixedRegressor, inference
from skmixed._input.table import Data
from skmixed._likelihood import iterative
from skmixed._likelihood.mixed import evaluate, sampled_gradients
from skmixed._rows import crossed
from skmixed._rows.iterative import N_DRAWS
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import CONSTANT, Term
from skmixed._search.mixed import likelihood_of

# Conjugate gradients end at a relative error of 1e-10 of the preconditioned residual.
SOLVED = 1e-8
N, K, J, M = 600, 40, 15, 6
RNG = np.random.default_rng(3)
X = RNG.normal(size=(N, 2)) + np.array([0.0, 1.0])
CODES = [RNG.integers(0, size, N).astype(np.int32) for size in (K, J, M)]
SLOPES = RNG.normal(size=(K, 2)), RNG.normal(size=(J, 2)), RNG.normal(size=M)
Y = X @ [1.0, 0.5] + RNG.normal(size=N) + SLOPES[2][CODES[2]]
Y += SLOPES[0][CODES[0], 0] + 0.5 * X[:, 0] * SLOPES[0][CODES[0], 1]
Y += 0.4 * SLOPES[1][CODES[1], 0] + 0.3 * X[:, 1] * SLOPES[1][CODES[1], 1]
TERMS = (
    Term("g", np.arange(K), CODES[0], np.array([CONSTANT, 0]), ((0, 1),)),
    Term("h", np.arange(J), CODES[1], np.array([CONSTANT, 1]), ((0,), (1,))),
    Term("k", np.arange(M), CODES[2], np.array([CONSTANT]), ((0,),)),
)
LAMBDAS = (
    np.array([[0.9, 0.0], [0.2, 0.4]]),
    np.diag([0.3, 0.5]),
    np.array([[0.7]]),
)
WEIGHT = RNG.uniform(0.5, 2.0, N)


@pytest.fixture(scope="module", autouse=True)
def blocks_of_levels():
    """The preconditioner of large problems: of these S itself is small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iterative, "MOST_ENTRIES", 0)
        yield


def point(solver, Lambdas=LAMBDAS, weight=WEIGHT, alpha=0.0, seed=0):
    data = Data(X, np.arange(2), None, Y, weight)
    how = {"alpha": alpha, "solver": (solver, seed)}
    reduced = reduce_terms(data, TERMS, np.arange(2), **how)
    return evaluate(likelihood_of(reduced, TERMS, True, alpha), Lambdas)


@pytest.fixture(scope="module")
def both():
    return point("iterative"), point("direct")


def test_solutions(both):
    """All but the traces and the determinant, math.md (151) and (152)."""
    got, want = both
    assert_allclose(got.noise_variance, want.noise_variance, rtol=SOLVED)
    assert_allclose(got.factor.beta, want.factor.beta, rtol=SOLVED)
    T, U = got.factor.root_inverse, want.factor.root_inverse
    assert_allclose(T @ T.T, U @ U.T, rtol=SOLVED)
    for one, other in zip(got.modes, want.modes, strict=True):
        assert_allclose(one, other, atol=SOLVED)
    for u, v in zip(got.residual_pulls, want.residual_pulls, strict=True):
        assert_allclose(u, v, atol=100 * SOLVED)
    pairs = zip(got.coefficient_pulls, want.coefficient_pulls, strict=True)
    for k, m in pairs:
        products = [(A @ np.swapaxes(A, 1, 2)) for A in (k, m)]
        assert_allclose(*products, atol=100 * SOLVED)
    xs = [RNG.normal(size=(*size, 3)) for size in got.model.gram.sizes]
    products = [each.factor.variates(xs) for each in both]
    assert_allclose(*products, rtol=1e-6)
    assert np.isnan(got.value)


def count_products(monkeypatch):
    """A list that grows with every product with S."""
    products, schur = [], iterative.Equations.schur

    def counted(equations, x):
        products.append(x)
        return schur(equations, x)

    monkeypatch.setattr(iterative.Equations, "schur", counted)
    return products


@pytest.mark.parametrize("ratio", [1.0, 1e4])
def test_a_small_matrix_of_effects_is_its_own_preconditioner(monkeypatch, ratio):
    """Effects far above the noise took as many iterations as there are effects and
    more, half a second a step of 87 rows: math.md (151).
    """
    Lambdas = tuple(ratio * L for L in LAMBDAS)
    want = point("direct", Lambdas)
    products = count_products(monkeypatch)
    by_blocks = point("iterative", Lambdas)
    n_by_blocks = len(products)
    monkeypatch.setattr(iterative, "MOST_ENTRIES", 2 * K * (2 * J + M))
    got = point("iterative", Lambdas)
    m = got.model.gram.root.shape[1]
    assert len(products) - n_by_blocks <= 5 * m < n_by_blocks
    assert by_blocks.factor.equations.whole is None
    assert got.factor.converged
    error = SOLVED * ratio  # in units of the noise, and not of the effects
    assert_allclose(got.noise_variance, want.noise_variance, rtol=error)
    assert_allclose(got.factor.beta, want.factor.beta, rtol=error)
    for one, other in zip(got.modes, want.modes, strict=True):
        assert_allclose(one, other, atol=error)


def test_no_variance_and_a_ridge():
    zero = tuple(np.zeros_like(L) for L in LAMBDAS)
    for Lambdas, alpha in ((zero, 0.0), (LAMBDAS, 2.0)):
        got, want = (point(s, Lambdas, None, alpha) for s in ("iterative", "direct"))
        assert_allclose(got.factor.beta, want.factor.beta, rtol=SOLVED, atol=SOLVED)
        assert_allclose(got.noise_variance, want.noise_variance, rtol=SOLVED)
        if Lambdas is zero:
            for one, other in zip(got.scores, want.scores, strict=True):
                assert_allclose(one, other, atol=SOLVED * np.abs(other).max())
            pairs = [each.factor.products_at_zero() for each in (got, want)]
            for key in pairs[1]:
                assert_allclose(pairs[0][key], pairs[1][key], atol=1e-6)


def test_scores_are_right_within_the_error_of_the_probes(both):
    """The mean over many sets of probes, and its error: math.md (153) and (156)."""
    got, want = both
    bases = [c.symmetric for c in want.model.covariances]

    def slopes(at):
        pairs = zip(bases, at.scores, strict=True)
        return np.concatenate([np.einsum("kab,ab->k", E, S) for E, S in pairs])

    truth, gaps, errors = slopes(want), [], []
    for seed in range(40):
        gram = replace(got.model.gram, seed=seed)
        at = evaluate(replace(got.model, gram=gram), LAMBDAS)
        gradients = sampled_gradients(at, bases)
        assert gradients.shape == (5, len(truth))  # sets of four, for three effects
        errors.append(gradients.std(axis=0, ddof=1) / np.sqrt(len(gradients)))
        gaps.append(slopes(at) - truth)
    gaps, error = np.array(gaps), np.sqrt(np.mean(np.square(errors), axis=0))
    assert 0.6 < np.mean((gaps / error) ** 2) < 1.6
    assert np.abs(gaps.mean(axis=0) / error).max() < 0.6


def test_scores_are_a_function_of_the_covariances():
    """Of whatever root, next to the boundary too: products of different effects, whose
    mean over few probes is not 0, were multiplied by the ratio of their standard
    deviations, so that the search wandered: math.md (198).
    """
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(2, 2)))[0]
    terms = tuple(
        replace(t, blocks=((0, 1),)) if len(t.columns) == 2 else t for t in TERMS
    )
    data, how = Data(X, np.arange(2), None, Y, WEIGHT), {"solver": ("iterative", 0)}
    reduced = reduce_terms(data, terms, np.arange(2), alpha=0.0, **how)
    model = likelihood_of(reduced, terms, True, 0.0)
    narrow = np.array([[0.9, 0.0], [0.9, 1e-2]])
    turned = [LAMBDAS[0], narrow @ turn, LAMBDAS[2]]
    pair = evaluate(model, (LAMBDAS[0], narrow, LAMBDAS[2])), evaluate(model, turned)
    for one, other in zip(*(point.scores for point in pair), strict=True):
        assert_allclose(one, other, atol=1e-3 * np.abs(other).max())


LABELS = pd.DataFrame(dict(zip("ghk", CODES, strict=True)))
TABLE = pd.DataFrame(X, columns=["x", "z"])
TEXT = "(x | g) + (z || h) + (1 | k)"


@pytest.fixture(scope="module")
def models():
    return [
        LinearMixedRegressor(TEXT, solver=solver).fit(TABLE, Y, groups=LABELS)
        for solver in ("iterative", "direct")
    ]


def test_components_within_their_reported_errors(models):
    got, want = (m.summary().variance_components for m in models)
    error = got["mc_error"]
    moved = np.abs(got["std"] - want["std"])
    some = ~np.isnan(moved)
    assert (moved[some] < 5 * error[some]).all()
    width = (want["high"] - want["low"])[some]
    assert (error[some] < 0.05 * width).all()
    assert_allclose(got["low"][some], want["low"][some], rtol=0.05)
    coefficients = [m.summary().coefficients for m in models]
    assert_allclose(coefficients[0]["df"], coefficients[1]["df"], rtol=0.1)


def test_predictions(models):
    """Means, and standard deviations by draws: math.md (154) and (155)."""
    got, want = models
    labels = LABELS.astype(object)
    labels.loc[::7, "g"] = labels.loc[::5, "h"] = labels.loc[::3, "k"] = None
    mean, std = got.predict_mean(TABLE, groups=labels, return_std=True)
    exact, exact_std = want.predict_mean(TABLE, groups=labels, return_std=True)
    assert_allclose(mean, exact, atol=0.02)
    assert_allclose(std, exact_std, rtol=0.15)
    posterior = got._fit.posterior
    codes = [np.where(labels[f].isna(), -1, LABELS[f]).astype(np.int32) for f in "ghk"]
    error = posterior.variance_error(X, codes)
    # The covariances differ as well, by the error of the probes.
    slack = 5 * error + 0.03 * exact_std**2
    assert (np.abs(std**2 - exact_std**2) < slack).all()
    assert len(posterior.conditional.drawn[0]) == N_DRAWS
    for factor in "ghk":
        pair = [m.random_effects_std_[factor] for m in models]
        assert_allclose(*pair, rtol=0.05 if factor == "k" else 0.4)


def covariance_of_effects(posterior, Z):
    """Cov(b | y, beta) of all effects after rows Z (n, D), by a dense inverse."""
    conditional = posterior.conditional
    pairs = zip(conditional.sizes, conditional.Lambdas, strict=True)
    L = block_diag(*(np.kron(np.eye(K), L) for (K, _), L in pairs))
    C = np.eye(len(L)) + L.T @ (Z.T @ Z) @ L
    return conditional.scale * L @ np.linalg.solve(C, L.T)


def level_blocks(covariance, sizes):
    start = 0
    for K, q in sizes:
        some = [slice(start + g * q, start + g * q + q) for g in range(K)]
        yield np.array([covariance[own, own] for own in some])
        start += K * q


def design(posterior, codes):
    Z, codes = posterior._effects(X, codes)
    return posterior.conditional.rows(*posterior._ordered(Z, codes), N).toarray()


def test_few_effects_are_solved_for(models):
    """Their covariance is exact; that of many has a reported error: math.md (155)."""
    got, _ = models
    posterior = got._fit.posterior
    exact = covariance_of_effects(posterior, design(posterior, CODES))
    blocks = list(level_blocks(exact, posterior.conditional.sizes))
    for t, factor in enumerate("ghk"):
        found = posterior.conditional.level_covariance(posterior.order.index(t))
        error = posterior.conditional.level_variance_error(
            posterior.order.index(t), np.eye(found.shape[1])
        )
        moved = np.diagonal(found - blocks[posterior.order.index(t)], 0, 1, 2)
        if factor == "g":
            assert 0.5 < np.sqrt(np.mean((moved / error) ** 2)) < 2.0
        else:
            assert not error.any()
            assert_allclose(moved, 0.0, atol=SOLVED)
    errors = got._fit.sampled.effect_errors
    assert 0.0 < errors[0] < 0.2
    assert errors[1:] == (0.0, 0.0)
    text = " ".join(str(got.summary()).split())
    assert f"those of random effects of {errors[0]:.1g} (g), 0 (h), 0 (k)." in text


def test_updates_are_solved_for():
    """Known levels and new ones, in two updates, math.md (157), by dense matrices."""
    known = (CODES[0] < K - 1) & (np.arange(N) < 400)
    model = LinearMixedRegressor(TEXT, solver="iterative")
    model.fit(TABLE[known], Y[known], groups=LABELS[known])
    before = model._fit.posterior
    rest = np.flatnonzero(~known)
    for some in (rest[:50], rest[50:]):
        model.update_random_effects(TABLE.iloc[some], Y[some], groups=LABELS.iloc[some])
    posterior = model._fit.posterior
    assert [len(model.groups_[factor]) for factor in "ghk"] == [K, J, M]
    Z = design(posterior, CODES)
    exact = covariance_of_effects(posterior, Z)
    level, slopes = posterior.population_mean(X), posterior.population_rows(X)
    right = np.column_stack([Y - level, slopes])
    want = exact @ Z.T @ right / model.noise_variance_
    found = [
        np.concatenate([term.modes[:, :, None], term.loading], axis=2)
        for term in posterior._ordered(posterior.terms)[0]
    ]
    found = np.concatenate([part.reshape(-1, right.shape[1]) for part in found])
    assert_allclose(found, want, atol=1e-6)  # modes of the fit end at 1e-8
    sizes = posterior.conditional.sizes
    for t, block in enumerate(level_blocks(exact, sizes)):
        got = posterior.conditional.level_covariance(t)
        assert_allclose(*(np.diagonal(C, 0, 1, 2) for C in (got, block)), rtol=0.4)
    variance = posterior.variance(X, CODES)
    known_beta = np.einsum("ij,jk,ik->i", Z, exact, Z)
    h = slopes - Z @ want[:, 1:]
    wanted = known_beta + np.sum(h**2, axis=1)
    error = posterior.variance_error(X, CODES)
    assert np.mean(((variance - wanted) / error) ** 2) < 4.0
    old = [codes[known] for codes in CODES]
    assert np.abs(before.variance(X[known], old) / wanted[known] - 1).max() > 0.1


def test_several_rows_are_solved_for(models):
    got, _ = models
    some = slice(0, 30)
    rows = {"X": TABLE[some], "groups": LABELS[some]}
    covariances = [m.predict(**rows, return_cov=True)[1] for m in models]
    assert_allclose(*covariances, atol=0.03)
    densities = [m.log_predictive_density(y=Y[some], **rows) for m in models]
    assert_allclose(*densities, atol=0.2)
    assert got.sample_y(**rows, n_samples=3).shape == (30, 3)
    intervals = [m.predict_interval(**rows, average=True) for m in models]
    assert_allclose(*intervals, atol=0.02)


def test_the_seed_decides(models):
    got, _ = models
    again, other = (
        LinearMixedRegressor(TEXT, solver="iterative", random_state=seed)
        for seed in (0, 1)
    )
    again.fit(TABLE, Y, groups=LABELS)
    other.fit(TABLE, Y, groups=LABELS)
    for name in ("noise_variance_", "coef_", "coef_std_"):
        assert_array_equal(getattr(again, name), getattr(got, name))
        assert np.any(getattr(other, name) != getattr(got, name))
    assert_allclose(other.coef_, got.coef_, rtol=1e-2)


def test_a_variance_of_zero():
    """Nothing is left between the levels of a factor that has no effects."""
    levels = np.eye(M)[CODES[2]]
    y = X @ [1.0, 0.5] + RNG.normal(size=N) + SLOPES[0][CODES[0], 0]
    fitted = np.linalg.lstsq(np.hstack([X, levels]), y, rcond=None)[0]
    y = y - levels @ fitted[2:]
    got, want = (
        LinearMixedRegressor("(1 | g) + (1 | k)", solver=s).fit(TABLE, y, groups=LABELS)
        for s in ("iterative", "direct")
    )
    for model in (got, want):
        assert model.random_effects_covariance_["k"][0, 0] == 0.0
        assert model.random_effects_covariance_["g"][0, 0] > 0.0
        assert model.at_boundary_
    assert_allclose(got.coef_, want.coef_, rtol=1e-3)
    assert "Every variance of k is 0" in " ".join(str(got.summary()).split())


def test_what_the_iterative_solver_does_not_have(models):
    got, want = models
    assert np.isnan(got.log_likelihood_)
    assert "There is no log-likelihood." in " ".join(str(got.summary()).split())
    with pytest.raises(ValueError, match="iterative solver, which has no likelihood"):
        inference.likelihood_ratio_test(got, want)
    rows = {"X": TABLE, "groups": LABELS}
    with pytest.raises(ValueError, match="distribution='t' needs the covariance"):
        got.predict_interval(**rows, distribution="t")
    with pytest.raises(ValueError, match="'integrated' needs the likelihood"):
        got.predict_interval(**rows, distribution="integrated")
    two = {"X": pd.concat([TABLE] * 2), "groups": pd.concat([LABELS] * 2)}
    with pytest.raises(ValueError, match="joint distribution of 1,200 rows"):
        got.predict(**two, return_cov=True)
    model = LinearMixedRegressor(TEXT, solver="iterative", variance_features=["x"])
    with pytest.raises(ValueError, match="need solver='direct'"):
        model.fit(y=Y, **rows)
    with pytest.raises(ValueError, match="solver is 'auto', 'direct' or 'iterative'"):
        LinearMixedRegressor(solver="cg").fit(y=Y, **rows)


def test_many_effects_are_solved_for_iteratively(models, monkeypatch):
    got, _ = models
    monkeypatch.setattr(crossed, "MOST_CROSSED", 10)
    model = LinearMixedRegressor(TEXT).fit(TABLE, Y, groups=LABELS)
    assert_array_equal(model.coef_, got.coef_)
    nested = LinearMixedRegressor("(1 | g)", solver="iterative")
    assert np.isfinite(nested.fit(TABLE, Y, groups=LABELS).log_likelihood_)


def test_sparse_rows(models):
    from scipy import sparse

    got, _ = models
    text = "(x0 | g) + (x1 || h) + (1 | k)"
    model = LinearMixedRegressor(text, solver="iterative")
    model.fit(sparse.csr_array(X), Y, groups=LABELS)
    assert_allclose(model.coef_, got.coef_, rtol=1e-6)
    assert_allclose(model.noise_variance_, got.noise_variance_, rtol=1e-6)


def test_progress_is_logged(caplog):
    with caplog.at_level("INFO", logger="skmixed"):
        LinearMixedRegressor(solver="iterative").fit(
            TABLE, Y, groups=LABELS[["g", "h"]]
        )
    assert caplog.messages[0].startswith("evaluation 2: decrement ")
