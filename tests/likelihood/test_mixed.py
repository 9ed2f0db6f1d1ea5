"""The likelihood of linear mixed models against dense matrices and differences."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import mixed as oracle
from scipy import sparse

from skmixed._input.table import Data
from skmixed._likelihood import mixed
from skmixed._likelihood.covariance import Covariance
from skmixed._likelihood.crossed import LARGE_COMPONENT, CrossedFactor, _inverse_of
from skmixed._likelihood.factor import BlockCholesky, whitener
from skmixed._likelihood.held import Roots, derivatives, evaluate_held
from skmixed._likelihood.mixed import (
    coefficient_slopes,
    evaluate,
    second,
)
from skmixed._likelihood.nested import NestedFactor
from skmixed._rows.mixed import reduce_terms
from skmixed._rows.term import Term
from skmixed._search.mixed import likelihood_of

# The dense oracle inverts matrices of condition up to 1e4, in double precision.
DENSE = 1e-9
# Central differences with this step, of functions of order 100.
STEP, DIFFERENCES = 1e-5, 1e-6

N, FEATURES, LEVELS = 110, 4, 16
BLOCKS = {
    1: ((0,),),
    2: ((0, 1),),
    "diagonal": ((0,), (1,)),
    3: ((0, 1, 2),),
    "mixed": ((0, 2), (1,)),
    4: ((0, 1), (2, 3)),
}
FIRST = np.arange(N) % LEVELS
AROUND, OUTER = FIRST // 3, FIRST // 9
CROSSING = np.random.default_rng(5).permutation(np.arange(N) % 7)
INSIDE = 3 * AROUND + CROSSING % 3
# Each: codes, columns (-1 is the constant), blocks.
STRUCTURES = {
    "intercept": [(FIRST, [-1], 1)],
    "slope alone": [(FIRST, [1], 1)],
    "one slope": [(FIRST, [-1, 0], 2)],
    "diagonal": [(FIRST, [-1, 0], "diagonal")],
    "slopes without intercept": [(FIRST, [0, 1], 2)],
    "two slopes": [(FIRST, [-1, 2, 1], 3)],
    "slope apart": [(FIRST, [-1, 0, 2], "mixed")],
    "two blocks": [(FIRST, [-1, 0, 1, 2], 4)],
    "nested": [(FIRST, [-1], 1), (AROUND, [-1], 1)],
    "nested slopes": [(FIRST, [-1], 1), (AROUND, [-1, 0], 2)],
    "nested slopes inside": [(FIRST, [-1, 0], 2), (AROUND, [1], 1)],
    "nested slopes alone": [(FIRST, [0], 1), (AROUND, [1, 0], 2)],
    "three nested slopes": [
        (OUTER, [-1, 1], 2),
        (FIRST, [0], 1),
        (AROUND, [1], 1),
    ],
    "three nested": [(OUTER, [-1, 1], "diagonal"), (FIRST, [-1], 1), (AROUND, [0], 1)],
    "crossed": [(FIRST, [-1], 1), (CROSSING, [-1], 1)],
    "crossed slopes": [(FIRST, [-1, 0], 2), (CROSSING, [-1, 1], "diagonal")],
    "crossed slope alone": [(FIRST, [1], 1), (CROSSING, [-1], 1)],
    "crossed slopes of both": [(FIRST, [-1, 0], 2), (CROSSING, [-1, 1], 2)],
    "nested and crossed": [(FIRST, [-1], 1), (AROUND, [-1, 0], 2), (CROSSING, [0], 1)],
    "chain and crossed": [(FIRST, [-1], 1), (AROUND, [-1], 1), (CROSSING, [-1], 1)],
    "chain of slopes and crossed": [
        (FIRST, [-1, 0], 2),
        (AROUND, [-1, 0], "diagonal"),
        (CROSSING, [-1, 1], 2),
    ],
    "two inside a third": [
        (FIRST, [-1, 0], 2),
        (INSIDE, [-1, 1], 2),
        (AROUND, [-1, 2], 2),
    ],
    "two inside a third, plain": [(FIRST, [-1], 1), (INSIDE, [-1], 1)],
    "chain of three and two crossed": [
        (OUTER, [-1, 1], 2),
        (CROSSING, [0], 1),
        (FIRST, [-1], 1),
        (AROUND, [-1], 1),
        (CROSSING // 2 * 3 % 5, [-1], 1),
    ],
}
# Parameters of terms of one effect that are neither the first nor around it.
N_FREE = {
    "crossed": 1,
    "chain and crossed": 1,
    "chain of three and two crossed": 2,
    "one slope": 0,
}
SINGLE = [name for name, parts in STRUCTURES.items() if len(parts) == 1]


def simulate(name, weighted=False, seed=0):
    """Data and terms of one structure."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(N, FEATURES)) + 3
    X[:, 3] = rng.normal(size=LEVELS)[FIRST]
    y = X.sum(axis=1) + rng.normal(size=N)
    terms = []
    for codes, columns, blocks in STRUCTURES[name]:
        levels, codes = np.unique(codes, return_inverse=True)
        y = y + rng.normal(size=len(levels))[codes]
        columns = np.array(columns)
        term = Term("f", levels, codes.astype(np.int32), columns, BLOCKS[blocks])
        terms.append(term)
    order = rng.permutation(N)
    terms = [replace(term, codes=term.codes[order]) for term in terms]
    weight = rng.integers(1, 4, size=N).astype(float) if weighted else None
    return Data(X[order], np.arange(FEATURES), None, y[order], weight), tuple(terms)


def model_of(data, terms, reml, alpha=0.0, fit_intercept=True):
    """The likelihood of some rows, and these reduced."""
    reduced = reduce_terms(
        data,
        terms,
        np.arange(data.X.shape[1]),
        fit_intercept=fit_intercept,
        alpha=alpha,
        n_jobs=None,
    )
    return likelihood_of(reduced, terms, reml, alpha), reduced


def random_point(model, seed=1):
    rng = np.random.default_rng(seed)
    size = sum(len(c.entries[0]) for c in model.covariances)
    return model.unpack(rng.normal(size=size))


def dense_problem(data, terms, reduced, point, alpha=0.0):
    """The oracle's problem at the covariances of a point."""
    X = np.column_stack([np.ones(data.n_rows), data.X])
    of_user = {
        t: point.noise_variance * c.to_user(L @ L.T)
        for t, c, L in zip(
            reduced.order, reduced.coordinates, point.Lambdas, strict=True
        )
    }
    dense = [
        oracle.Term(X[:, term.columns + 1], term.codes, of_user[t])
        for t, term in enumerate(terms)
    ]
    penalty = alpha / point.noise_variance * np.diag([0.0] + [1.0] * FEATURES)
    return oracle.problem(X, data.y, dense, point.noise_variance, data.weight, penalty)


def differences(function, theta, step=STEP):
    """Central differences of a function of theta."""
    moves = step * np.eye(len(theta))
    return np.array(
        [(function(theta + m) - function(theta - m)) / (2 * step) for m in moves]
    )


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_value_is_that_of_the_dense_density(name, reml, weighted):
    """math.md (3), (4), (39) to (41)."""
    data, terms = simulate(name, weighted)
    model, reduced = model_of(data, terms, reml)
    point = evaluate(model, random_point(model))
    dense = dense_problem(data, terms, reduced, point)
    assert_allclose(point.value, -2 * oracle.log_likelihood(dense, reml), rtol=DENSE)
    noise = oracle.profiled_noise(dense, reml)
    assert_allclose(point.noise_variance, noise, rtol=DENSE)
    J, offset = reduced.columns.to_user(True)
    beta, covariance = oracle.coefficients(dense)
    assert_allclose(J @ point.factor.beta + offset, beta, rtol=1e-7)
    root = np.sqrt(point.noise_variance) * J @ point.factor.root_inverse
    assert_allclose(root @ root.T, covariance, rtol=1e-6)


def test_effects_of_two_factors_that_divide_the_rows_alike():
    """Those of one span what those of the other do: a column of X of which nothing is
    left beside them used to take from what is left of y.
    """
    rng = np.random.default_rng(0)
    for seed in range(5):
        data, terms = simulate("crossed slopes of both", seed=seed)
        first, crossing = terms
        again = rng.permutation(LEVELS).astype(np.int32)[first.codes]
        terms = first, crossing, replace(first, codes=again, blocks=BLOCKS["diagonal"])
        model, reduced = model_of(data, terms, reml=True)
        for sizes in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 1, 1), (1, 0, 1)):
            Lambdas = [size * np.diag([2.0, 0.5]) for size in sizes]
            point = evaluate(model, tuple(Lambdas))
            dense = dense_problem(data, terms, reduced, point)
            expected = -2 * oracle.log_likelihood(dense, reml=True)
            assert_allclose(point.value, expected, rtol=DENSE)


@pytest.mark.parametrize("name", STRUCTURES)
def test_powers_of_a_year_are_those_of_decades(name):
    """Nearly dependent columns of the mean: beside crossed factors their sums of
    squares lost all digits, and a quartic in the years 2000 to 2020 was an exact fit.
    """
    data, terms = simulate(name)
    year = np.random.default_rng(0).integers(2000, 2021, size=N)
    values = []
    for t in (year.astype(float), (year - 2010) / 10):
        X = np.column_stack([data.X, t, t**2, t**3])
        model, _ = model_of(replace(data, X=X), terms, reml=False)
        values.append(evaluate(model, random_point(model)).value)
    assert_allclose(values[0], values[1], rtol=DENSE)


@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_derivatives_are_those_of_differences(name, reml):
    """math.md (42), (45), (46)."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, reml)
    theta = model.pack(random_point(model))

    def at(theta):
        return evaluate(model, model.unpack(theta))

    gradient = differences(lambda theta: at(theta).value, theta)
    scale = np.abs(gradient).max()
    assert_allclose(at(theta).gradient(), gradient, atol=DIFFERENCES * scale)
    H, is_exact = at(theta).hessian()
    assert is_exact
    numerical = differences(lambda theta: at(theta).gradient(), theta)
    assert_allclose(H, numerical, atol=DIFFERENCES * np.abs(H).max())


@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize(
    "name",
    ["crossed", "chain and crossed", "chain of three and two crossed", "one slope"],
)
def test_second_derivatives_of_crossed_terms_are_free(name, reml, monkeypatch):
    """math.md (210): what exact ones have beside the average information."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, reml)
    Lambdas = model.unpack(model.pack(random_point(model)))
    exact = evaluate(model, Lambdas).hessian()[0]
    monkeypatch.setattr(mixed, "FEW_EFFECTS", 0)
    point = evaluate(model, Lambdas)
    average, is_exact = point.hessian()
    known = point.known()
    some = np.ix_(*[np.arange(len(exact)) >= len(exact) - N_FREE[name]] * 2)
    left = exact - (average * (not is_exact) + exact * is_exact)
    assert_allclose(known[some], left[some], atol=1e-9 * np.abs(exact).max())
    known[some] = 0.0
    assert not known.any()


@pytest.mark.parametrize("name", STRUCTURES)
def test_gradient_is_that_of_differences_where_covariances_are_nearly_singular(name):
    data, terms = simulate(name)
    model, _ = model_of(data, terms, reml=True)
    Lambdas = [np.tril(np.full((c.q, c.q), 0.7)) for c in model.covariances]
    for Lambda in Lambdas:
        Lambda[-1, -1] = 1e-3
    theta = model.pack(Lambdas)

    def at(theta):
        return evaluate(model, model.unpack(theta))

    gradient = differences(lambda theta: at(theta).value, theta)
    scale = np.abs(gradient).max()
    assert_allclose(at(theta).gradient(), gradient, atol=DIFFERENCES * scale)


@pytest.mark.parametrize("known", [False, True], ids=["noise free", "noise held"])
@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", ["one slope", "nested slopes", "crossed slopes"])
def test_derivatives_where_roots_are_free_in_part(name, reml, known):
    """math.md (130) to (132): roots that are affine in two parameters a term."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, reml)
    rng = np.random.default_rng(2)
    qs = [c.q for c in model.covariances]
    roots = Roots(
        fixed=tuple(np.eye(q) for q in qs),
        free=tuple(rng.normal(size=(2, q, q)) / 2 for q in qs),
        noise_variance=0.8 if known else None,
    )
    x = rng.normal(size=2 * len(qs) + (not known)) / 2

    gradient = differences(lambda x: evaluate_held(model, roots, x).value, x)
    found, H = derivatives(evaluate_held(model, roots, x))
    assert_allclose(found, gradient, atol=DIFFERENCES * np.abs(gradient).max())
    numerical = differences(lambda x: derivatives(evaluate_held(model, roots, x))[0], x)
    assert_allclose(H, numerical, atol=DIFFERENCES * np.abs(H).max())


@pytest.mark.parametrize("name", ["one slope", "crossed slopes"])
@pytest.mark.parametrize("log_variance", [-800.0, -700.0, 800.0])
def test_held_points_beyond_double_precision_have_no_value(name, log_variance):
    """A trust region around a noise variance of next to nothing gave NumPy's warnings
    in `profile_intervals`.
    """
    model, _ = model_of(*simulate(name), True)
    qs = [c.q for c in model.covariances]
    roots = Roots(tuple(map(np.eye, qs)), tuple(np.ones((1, q, q)) for q in qs))
    x = np.append(np.full(len(qs), 1e5), log_variance)
    with pytest.raises(np.linalg.LinAlgError, match="noise variance"):
        evaluate_held(model, roots, x)


def test_derivatives_beyond_double_precision_are_refused():
    """Their products overflowed with NumPy's warning in `profile_intervals`."""
    model, _ = model_of(*simulate("one slope"), True)
    (c,) = model.covariances
    roots = Roots((np.eye(c.q),), (1e200 * np.eye(c.q)[None],))
    at = evaluate_held(model, roots, np.array([1e-200, 0.0]))
    with pytest.raises(np.linalg.LinAlgError, match="double precision"):
        derivatives(at)


@pytest.mark.parametrize("reml", [False, True], ids=["ml", "reml"])
@pytest.mark.parametrize("name", ["one slope", "nested slopes", "crossed slopes"])
def test_a_ridge_is_part_of_value_and_gradient(name, reml):
    """(22); under REML at a noise variance that is held."""
    data, terms = simulate(name)
    alpha = 5.0
    model, reduced = model_of(data, terms, reml, alpha)
    if reml:
        model = replace(model, noise_variance=1.3)
    theta = model.pack(random_point(model))

    def at(theta):
        return evaluate(model, model.unpack(theta))

    point = at(theta)
    dense = dense_problem(data, terms, reduced, point, alpha)
    J, offset = reduced.columns.to_user(True)
    beta = oracle.coefficients(dense)[0]
    assert_allclose(J @ point.factor.beta + offset, beta, rtol=1e-7)
    penalised = -2 * oracle.log_likelihood(dense, reml)
    penalised += alpha * np.sum(beta[1:] ** 2) / point.noise_variance
    assert_allclose(point.value, penalised, rtol=DENSE)
    gradient = differences(lambda theta: at(theta).value, theta)
    scale = np.abs(gradient).max()
    assert_allclose(point.gradient(), gradient, atol=DIFFERENCES * scale)
    numerical = differences(lambda theta: at(theta).gradient(), theta)
    H = point.hessian()[0]
    assert_allclose(H, numerical, atol=DIFFERENCES * np.abs(H).max())


@pytest.mark.parametrize("name", STRUCTURES)
def test_modes_and_their_covariance_are_those_of_the_dense_normal(name):
    """math.md (14), (15), (43), (44)."""
    data, terms = simulate(name, weighted=True)
    model, reduced = model_of(data, terms, True)
    point = evaluate(model, random_point(model))
    dense = dense_problem(data, terms, reduced, point)
    inverse = np.linalg.inv(dense.V)
    beta, _ = oracle.coefficients(dense)
    r = dense.y - dense.X @ beta
    for at, t in enumerate(reduced.order):
        term, basis = dense.terms[t], reduced.coordinates[at].basis
        modes = point.modes[at][reduced.places[at]] @ basis.T
        conditional = point.factor.conditional_of(at)[reduced.places[at]]
        conditional = point.noise_variance * (basis @ conditional @ basis.T)
        for level in range(terms[t].n_levels):
            H = term.Z * (term.codes == level)[:, None] @ term.Psi
            assert_allclose(modes[level], H.T @ inverse @ r, atol=1e-7)
            expected = term.Psi - H.T @ inverse @ H
            scale = np.abs(term.Psi).max()
            assert_allclose(conditional[level], expected, atol=1e-8 * scale)


CHAINED = ["chain of slopes and crossed", "chain of three and two crossed"]


@pytest.mark.parametrize("name", ["nested slopes", "crossed slopes", *CHAINED])
def test_average_information_is_what_the_exact_one_has_in_common(name, monkeypatch):
    """math.md (45): the mean of observed and expected information at an optimum."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, True)
    point = evaluate(model, random_point(model))
    bases = [c.symmetric for c in model.covariances]
    exact = second(point, bases)
    monkeypatch.setattr("skmixed._likelihood.mixed.FEW_EFFECTS", 0)
    average = second(point, bases)
    assert not average.is_exact
    assert_allclose(average.squares, exact.squares, rtol=1e-8, atol=1e-8)
    assert_allclose(average.trace, exact.trace, rtol=1e-8)
    assert_allclose(average.square, exact.square, rtol=1e-8)


@pytest.mark.parametrize(
    "name", ["one slope", "nested slopes", "crossed slopes", *CHAINED]
)
def test_slopes_of_the_coefficients_covariance(name):
    """math.md (47)."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, True)
    theta = model.pack(random_point(model))

    def covariance(theta):
        T = evaluate(model, model.unpack(theta)).factor.root_inverse
        return T @ T.T

    point = evaluate(model, model.unpack(theta))
    pairs = zip(model.covariances, point.Lambdas, strict=True)
    C = coefficient_slopes(point, [c.directions(L) for c, L in pairs])
    T = point.factor.root_inverse
    numerical = differences(covariance, theta)
    scale = np.abs(numerical).max()
    assert_allclose(T @ C @ T.T, numerical, atol=DIFFERENCES * scale)


def test_each_structure_has_the_factor_it_is_meant_to_test():
    kinds = {"nested": NestedFactor, "three nested": NestedFactor}
    kinds |= {"crossed": CrossedFactor, "nested and crossed": CrossedFactor}
    for name, kind in {**kinds, "one slope": BlockCholesky}.items():
        data, terms = simulate(name)
        model, _ = model_of(data, terms, True)
        assert type(evaluate(model, random_point(model)).factor) is kind
    n_around = {"crossed": 0, "nested and crossed": 1, CHAINED[0]: 1, CHAINED[1]: 2}
    for name, n in n_around.items():
        data, terms = simulate(name)
        assert len(model_of(data, terms, True)[0].gram.outer) == n


@pytest.mark.parametrize("name", ["two inside a third", "two inside a third, plain"])
def test_effects_that_no_rows_connect_are_solved_for_apart(name):
    """Their matrix was factored as a whole: 3,400 effects, of which at most some tens
    are connected, took 0.4 s at every step.
    """
    data, terms = simulate(name)
    model, _ = model_of(data, terms, True)
    factor = evaluate(model, random_point(model)).factor
    components = model.gram.components
    assert sum(map(len, components)) == len(np.unique(AROUND))
    d = len(model.gram.W22)
    assert_allclose(np.sort(np.concatenate([*map(np.ravel, components)])), np.arange(d))
    whole = replace(model.gram)
    whole.__dict__["components"] = [np.arange(d)[None]]
    expected = evaluate(replace(model, gram=whole), factor.Lambdas).factor
    assert_allclose(factor.L, expected.L, atol=1e-12)
    assert_allclose(factor.B_inverse(), expected.B_inverse(), atol=1e-12)
    for A, B in zip(factor.spread_sums, expected.spread_sums, strict=True):
        assert_allclose(A, B, rtol=1e-9)
    some = slice(0, model.gram.sizes[-1][0])
    size = some.stop, 1
    if len(model.gram.sizes) == 2:
        told = [f._few_told(some, size, f.B_inverse()) for f in (factor, expected)]
        assert_allclose(*told, rtol=1e-9)


def test_components_of_many_effects_are_inverted_one_by_one():
    """As those of few are together."""
    rng = np.random.default_rng(0)
    order = rng.permutation(2 * LARGE_COMPONENT + 12)
    many, few = order[10:].reshape(2, -1), order[:10].reshape(2, 5)
    components = [np.sort(some, axis=1) for some in (few, many)]
    B = np.zeros((len(order),) * 2)
    for some in (*components[0], *components[1]):
        A = rng.normal(size=(len(some), 2 * len(some)))
        B[np.ix_(some, some)] = A @ A.T
    found = _inverse_of(np.linalg.cholesky(B), components)
    assert_allclose(found, np.triu(np.linalg.inv(B)), atol=1e-12)


def test_pieces_of_long_levels_are_one_level(monkeypatch):
    """(9) for effects of any number: levels longer than a block."""
    for name in ("two slopes", "nested slopes", "slopes without intercept"):
        data, terms = simulate(name, weighted=True)
        model, _ = model_of(data, terms, True)
        whole = evaluate(model, random_point(model))
        for module in ("elimination", "qr", "reduction"):
            monkeypatch.setattr(
                f"skmixed._rows.{module}.block_rows", lambda n_columns: 4
            )
        model, _ = model_of(data, terms, True)
        in_pieces = evaluate(model, random_point(model))
        monkeypatch.undo()
        assert_allclose(in_pieces.value, whole.value, rtol=1e-12)
        assert_allclose(in_pieces.gradient(), whole.gradient(), rtol=1e-8, atol=1e-8)


def test_the_whitener_keeps_the_digits_of_rows_in_different_units():
    """(10), where I + K K' as a matrix would have lost the second pivot."""
    K = np.array([[[1e9, 0.0], [1e9, 1.0]]])
    C = whitener(K)[0]
    # By hand, |I + K K'| = (1 + 1e18) (2 + 1e18) - 1e36.
    determinant = (C[0, 0] * C[1, 1]) ** 2
    assert_allclose(determinant, 2 + 3e18, rtol=1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-4, 1e-2])
@pytest.mark.parametrize("name", ["crossed slopes", "nested slopes", "two slopes"])
def test_scores_next_to_a_singular_covariance(name, size):
    """math.md (42) and (44), where I - B^-1 has lost digits and where it has not."""
    data, terms = simulate(name)
    model, _ = model_of(data, terms, True)
    theta = model.pack(random_point(model))
    Lambdas = [L.copy() for L in model.unpack(theta)]
    for L in Lambdas:
        L[-1, -1] *= size
    theta = model.pack(Lambdas)

    def at(theta):
        return evaluate(model, model.unpack(theta))

    gradient = differences(lambda theta: at(theta).value, theta)
    scale = np.abs(gradient).max()
    assert_allclose(at(theta).gradient(), gradient, atol=DIFFERENCES * scale)
    H = at(theta).hessian()[0]
    numerical = differences(lambda theta: at(theta).gradient(), theta)
    assert_allclose(H, numerical, atol=DIFFERENCES * np.abs(H).max())


@pytest.mark.parametrize("weighted", [False, True], ids=["rows", "weights"])
@pytest.mark.parametrize("name", STRUCTURES)
def test_sparse_rows_have_the_same_likelihood(name, weighted):
    data, terms = simulate(name, weighted)
    X = data.X.copy()
    X[::3, 2] = 0.0
    values = []
    for rows in (X, sparse.csr_array(X)):
        model, _ = model_of(replace(data, X=rows), terms, True)
        point = evaluate(model, random_point(model))
        values.append([point.value, *point.gradient()])
    assert_allclose(values[1], values[0], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("name", [n for n in STRUCTURES if n not in SINGLE])
def test_products_at_zero_are_those_of_the_whole_matrix(name):
    """math.md (45): tr N E_i N E_j at Psi = 0, without a mean."""
    data, terms = simulate(name, weighted=True)
    model, reduced = model_of(data, terms, True)
    zero = evaluate(model, tuple(0 * L for L in random_point(model)))
    X = np.column_stack([np.ones(N), data.X])
    Zs = []
    for at, t in enumerate(reduced.order):
        Z = X[:, terms[t].columns + 1] @ reduced.coordinates[at].basis
        member = terms[t].codes[:, None] == np.arange(terms[t].n_levels)
        columns = (member[:, :, None] * Z[:, None]).reshape(N, -1)
        Zs.append(np.sqrt(data.weight)[:, None] * columns)
    found = zero.factor.products_at_zero()
    for (s, t), T in found.items():
        (K, q), (L, r) = model.gram.sizes[s], model.gram.sizes[t]
        cross = (Zs[s].T @ Zs[t]).reshape(K, q, L, r)
        expected = np.einsum("gahb,gchd->acbd", cross, cross)
        assert_allclose(T, expected, rtol=1e-8, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("name", SINGLE)
def test_sums_over_levels_are_those_of_the_blocks(name):
    """math.md (186)."""
    model, _ = model_of(*simulate(name), True)
    point = evaluate(model, random_point(model))
    D, (u,) = point.factor.spread, point.residual_pulls
    (k,) = point.coefficient_pulls
    found = point.level_sums
    expected = {
        "spread": D.sum(axis=0),
        "squares": np.einsum("ga,gb->ab", u, u),
        "loadings": np.einsum("gai,gbj->iajb", k, k),
        "mixed": np.einsum("gai,gb->iab", k, u),
        "of_u": np.einsum("ga,gb,gcd->abcd", u, u, D),
        "of_spread": np.einsum("gab,gcd->abcd", D, D),
        "of_k": np.einsum("gai,gbi,gcd->abcd", k, k, D),
    }
    for figure, value in expected.items():
        unit = np.abs(value).max()
        assert_allclose(getattr(found, figure), value, atol=1e-13 * unit)


@pytest.mark.parametrize("name", ["intercept", "nested", "nested slopes"])
def test_rounding_of_y_is_that_of_the_value_where_the_noise_is_held(name):
    """A value at a held noise variance counted as exact however long y is beside its
    residuals, and steps were cut in half 17 times for less than its rounding.
    """
    data, terms = simulate(name)
    rng, values, told = np.random.default_rng(0), [], []
    for _ in range(5):
        y = data.y + 1e9 * data.X[:, 0] * (1 + 1e-16 * rng.normal(size=N))
        model, _ = model_of(replace(data, y=y), terms, reml=True)
        held = replace(model, noise_variance=1.0)
        point = mixed.evaluate(held, random_point(model))
        values.append(point.value)
        told.append(point.rounding)
    error = np.ptp(values)
    assert min(told) / 100 < error < 10 * max(told)  # of a few draws


@pytest.mark.parametrize("blocks", [((0, 1, 2),), ((0, 2), (1,))])
def test_a_straight_step_moves_psi_as_theta_does_to_first_order(blocks):
    """math.md (222)."""
    covariance, rng = Covariance(3, blocks), np.random.default_rng(0)
    k = len(covariance.entries[0])
    Lambda = covariance.unpack(rng.normal(size=k)) + np.diag([2.0, -3.0, 4.0])
    change = covariance.unpack(rng.normal(size=k))
    Psi, signs = Lambda @ Lambda.T, np.sign(np.diag(Lambda))
    straight = Lambda @ change.T + change @ Lambda.T
    for part in (1e-3, 1e-6):
        new = covariance.straight(Lambda, part * change)
        assert_allclose(new @ new.T, Psi + part * straight, rtol=1e-12, atol=1e-12)
        assert_allclose(new, Lambda + part * change, atol=20 * part**2)
        assert_allclose(np.sign(np.diag(new)), signs)
    beyond = covariance.straight(Lambda, -Lambda)  # to -Psi
    assert_allclose(beyond, 0.0, atol=1e-7)
