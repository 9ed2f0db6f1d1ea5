"""Predictions with any number of factors against the joint normal distribution."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles import mixed
from scipy import sparse
from scipy.stats import multivariate_normal

from skmixed._likelihood import mixed_posterior
from skmixed._likelihood.conditional import Conditional
from skmixed._likelihood.mixed_posterior import (
    Effects,
    MixedPosterior,
    error_products,
    make_room,
    observe,
)
from skmixed._rows.sparse_matrix import sparse_matrix

# Both sides solve with matrices of condition up to 1e4; figures are of order 1.
DENSE = 1e-9
# Structure, columns of every term, number of terms that are eliminated before the dense
# ones.  The first term of a structure is the finest.
CASES = [
    ("one", (1,), 1),
    ("one", (3,), 1),
    ("nested", (1, 1), 2),
    ("nested", (2, 3), 2),
    ("nested3", (2, 1, 2), 3),
    ("crossed", (1, 1), 1),
    ("crossed", (2, 2), 1),
    ("crossed3", (1, 2, 1), 1),
    ("mixed", (1, 1, 1), 2),
    ("mixed", (2, 1, 2), 2),
]


def before_rows(at, n_sparse, order=None):
    """The posterior of a problem's beta, with no level known."""
    beta, covariance = mixed.coefficients(at)
    k = len(beta)
    root = np.linalg.cholesky(covariance)
    shift = np.linspace(0.5, 1.0, k - 1)
    terms = []
    for term in at.terms:
        q = len(term.Psi)
        # z = (1, (x - origin) / unit) where effects covary freely.
        origin = np.r_[0.0, shift[: q - 1]] * (len(term.blocks) == 1)
        unit = np.r_[1.0, np.full(q - 1, 2.0)]
        bare = Effects(
            np.r_[-1, np.arange(q - 1)],
            origin,
            unit,
            np.empty((q, q)),
            np.empty((0, q)),
            np.empty((0, q, k)),
        )
        inner = np.linalg.inv(bare.basis)
        terms.append(mixed_posterior.replace(bare, Psi=inner @ term.Psi @ inner.T))
    order = tuple(range(len(terms))) if order is None else order
    sizes = tuple((0, len(terms[t].Psi)) for t in order)
    own = tuple(np.empty((0, q, q)) for _, q in sizes[:n_sparse])
    chain = sparse_matrix(sparse.csr_array((0, 0))) if n_sparse > 1 else None
    conditional = Conditional(sizes, own, np.empty((0, 0)), chain, None, own)
    return MixedPosterior(
        shift,
        beta[0] + shift @ beta[1:],
        beta[1:],
        root[0] + shift @ root[1:],
        root[1:],
        tuple(terms),
        order,
        conditional,
    )


def posterior_of(at, n_sparse, order=None):
    """The posterior of a problem."""
    before = before_rows(at, n_sparse, order)
    n_levels = [int(term.codes.max()) + 1 for term in at.terms]
    empty = [np.empty(0, dtype=int)] * len(n_levels)
    room = make_room(before, empty, n_levels)
    codes = [term.codes for term in at.terms]
    return observe(room, at.X[:, 1:], at.y, codes, at.noise / at.weight)


def new_rows(at, seed=0, n=12):
    """New rows: of the oracle, their features, codes and owners."""
    new = mixed.random_rows(at, seed, n)
    owners = [term.codes for term in new.terms]
    codes = [
        np.where(own < term.codes.max() + 1, own, -1)
        for own, term in zip(owners, at.terms, strict=True)
    ]
    return new, new.X[:, 1:], codes, owners


@pytest.fixture(params=CASES, ids=str)
def case(request):
    structure, q, n_sparse = request.param
    at = mixed.random_problem(1, structure, q, weights=structure == "crossed")
    return at, posterior_of(at, n_sparse)


def test_mean_variance_and_covariance(case):
    """math.md (82) and (83)."""
    at, posterior = case
    new, X, codes, owners = new_rows(at)
    mean, covariance = mixed.predict(at, new)
    assert_allclose(posterior.mean(X, codes), mean, rtol=DENSE)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)
    noise = np.linspace(0.5, 1.5, len(X))
    got = posterior.joint_covariance(X, codes, owners, noise)
    assert_allclose(got, covariance + np.diag(noise), rtol=DENSE, atol=DENSE)


def test_factors_that_are_left_out_have_no_effect_and_no_variance(case):
    at, posterior = case
    new, X, codes, _ = new_rows(at)
    for factors in ([], [0], [len(codes) - 1]):
        mean, covariance = mixed.predict(at, new, factors)
        assert_allclose(posterior.mean(X, codes, factors), mean, rtol=DENSE)
        variance = posterior.variance(X, codes, factors)
        assert_allclose(variance, np.diag(covariance), rtol=DENSE)


def test_modes_and_their_covariances(case):
    """math.md (80) and (81)."""
    at, posterior = case
    for t, term in enumerate(at.terms):
        levels = range(term.codes.max() + 1)
        modes, known, error = mixed.random_effects(at, t, levels)
        assert_allclose(posterior.modes(t), modes, rtol=DENSE, atol=DENSE)
        got = posterior.conditional_covariance(t)
        assert_allclose(got, known, rtol=DENSE, atol=DENSE)
        assert_allclose(posterior.error_covariance(t), error, rtol=DENSE, atol=DENSE)


def test_one_row_alone_is_predicted_as_among_others(case):
    at, posterior = case
    _, X, codes, owners = new_rows(at)
    whole = posterior.variance(X, codes)
    for i in range(len(X)):
        one = [code[i : i + 1] for code in codes]
        assert_allclose(posterior.variance(X[i : i + 1], one), whole[i], rtol=1e-12)
        own = [owner[i : i + 1] for owner in owners]
        joint = posterior.joint_covariance(X[i : i + 1], one, own, np.zeros(1))
        assert_allclose(joint[0, 0], whole[i], rtol=1e-12)


def test_sparse_features_and_blocks_of_rows(case, monkeypatch):
    at, posterior = case
    _, X, codes, _ = new_rows(at, n=600)
    mean, variance = posterior.mean(X, codes), posterior.variance(X, codes)
    sparsely = posterior.mean(sparse.csr_array(X), codes)
    # Sums of some figures of order 1, which may cancel.
    assert_allclose(sparsely, mean, rtol=1e-12, atol=1e-14)
    wide = posterior.variance(sparse.csr_array(X), codes)
    assert_allclose(wide, variance, rtol=1e-12)
    monkeypatch.setattr("skmixed._input.blocks.BLOCK_SIZE", 1)
    monkeypatch.setattr("skmixed._likelihood.conditional.PAIRS_AT_ONCE", 7)
    assert_allclose(posterior.variance(X, codes), variance, rtol=1e-12)


# ------------------------------------------------------------------------ further rows


def further_rows(at, seed=5, n=9):
    """Rows to learn from: two new levels of every factor, and missing labels."""
    new, X, _, owners = new_rows(at, seed, n)
    K = [int(term.codes.max()) + 1 for term in at.terms]
    levels = [np.where(own < k + 2, own, -1) for own, k in zip(owners, K, strict=True)]
    y = np.random.default_rng(seed).normal(size=n)
    return new, X, y, levels, np.linspace(0.4, 1.2, n)


def learn(at, posterior, seed=5):
    """The posterior after further rows."""
    _, X, y, levels, noise = further_rows(at, seed)
    known = [int(term.codes.max()) + 1 for term in at.terms]
    n_levels = [k + 2 for k in known]
    if len(posterior.terms[0].modes) == known[0]:
        places = [np.arange(k) for k in known]
        posterior = make_room(posterior, places, n_levels)
    return observe(posterior, X, y, levels, noise)


def test_further_rows_are_learnt_as_if_they_had_been_there(case):
    """math.md (85)."""
    at, posterior = case
    more, _, y, _, noise = further_rows(at)
    learnt = learn(at, posterior)
    new, X, codes, owners = new_rows(at, seed=8)
    K = [len(term.modes) for term in learnt.terms]
    codes = [np.where(own < k, own, -1) for own, k in zip(owners, K, strict=True)]
    mean, covariance = mixed.predict_after(at, more, y, noise, new)
    assert_allclose(learnt.mean(X, codes), mean, rtol=DENSE, atol=DENSE)
    got = learnt.joint_covariance(X, codes, owners, np.zeros(len(X)))
    assert_allclose(got, covariance, rtol=DENSE, atol=DENSE)
    assert_allclose(learnt.variance(X, codes), np.diag(covariance), rtol=DENSE)
    both = mixed.stack(at, more, y, noise)
    for t, k in enumerate(K):
        modes, known, error = mixed.random_effects(at, t, range(k), after=both)
        assert_allclose(learnt.modes(t), modes, rtol=DENSE, atol=DENSE)
        got = learnt.conditional_covariance(t)
        assert_allclose(got, known, rtol=DENSE, atol=DENSE)
        assert_allclose(learnt.error_covariance(t), error, rtol=DENSE, atol=DENSE)


def test_a_level_that_meets_a_second_level_of_the_outermost_factor():
    """The terms inside that factor stay nested."""
    at = mixed.random_problem(1, "nested3", (2, 1, 2))
    n, n_inner = 8, int(at.terms[0].codes.max()) + 1
    middle = np.arange(n) % 4
    outer = at.terms[2].codes[[np.argmax(at.terms[1].codes == m) for m in middle]]
    codes = [n_inner + np.arange(n), middle, 1 - outer]
    rng = np.random.default_rng(0)
    X, y = np.column_stack([np.ones(n), rng.normal(size=(n, 3))]), rng.normal(size=n)
    more = mixed.rows(at, X, [X[:, :2], X[:, :1], X[:, :2]], codes)
    known = [int(term.codes.max()) + 1 for term in at.terms]
    places = [np.arange(k) for k in known]
    room = make_room(posterior_of(at, 3), places, [n_inner + n, *known[1:]])
    learnt = observe(room, X[:, 1:], y, codes, np.full(n, 0.7))
    new, X, codes, owners = new_rows(at, seed=8)
    mean, covariance = mixed.predict_after(at, more, y, 0.7, new)
    codes[0] = np.where(owners[0] < n_inner + n, owners[0], -1)
    assert_allclose(learnt.mean(X, codes), mean, rtol=DENSE, atol=DENSE)
    assert_allclose(learnt.variance(X, codes), np.diag(covariance), rtol=DENSE)


@pytest.mark.parametrize("n_rows", [24, 240])
@pytest.mark.parametrize("n_times", [1, 2])
def test_effects_far_larger_than_the_noise_keep_what_no_row_tells(n_times, n_rows):
    """math.md (212): rows of all pairs of levels tell all but a shift of one factor
    against the other, which has a part of 1 / (K_0 + K_1) in every effect.  More than
    100 rows had their cross-products, which left 2 % too much of it.
    """
    pairs = np.resize(np.indices((6, 4)).reshape(2, -1).T, (n_rows, 2))
    first, second = pairs.T
    own = (np.ones((6, 1, 1)),)
    known = Conditional(
        ((6, 1), (4, 1)), own, np.eye(4), None, None, (np.zeros((6, 1, 1)),)
    )
    z, n, noise = np.full((n_rows, 1), 0.7), n_rows, 1e-13
    for _ in range(n_times):
        rows = known.rows([z, z], [first, second], n)
        known, _ = known.observed(rows, np.full(n, 1 / noise), np.ones((n, 1)))
    for t in range(2):
        assert_allclose(known.level_covariance(t), 0.1, rtol=1e-8)


@pytest.mark.parametrize("n_times", [1, 30])
def test_effects_far_larger_than_the_noise_move_as_far_as_the_rows_say(n_times):
    """math.md (212a): effects of as many rows as they can fit went by as much as the
    noise, since sums of values over its variance cancelled; and of more than 100 rows.
    """
    first = np.tile([0, 0, 0, 1, 2, 3], n_times)
    second = np.tile([0, 1, 2, 0, 1, 2], n_times)
    own, none = np.ones((6, 1, 1)), np.zeros((6, 1, 1))
    known = Conditional(((6, 1), (4, 1)), (own,), np.eye(4), None, None, (none,))
    z, values = np.random.default_rng(0).normal(size=(2, 6, 1))
    z, values, n = np.tile(z, (n_times, 1)), np.tile(values, (n_times, 1)), 6 * n_times
    rows = known.rows([z, np.ones((n, 1))], [first, second], n)
    _, moved = known.observed(rows, np.full(n, 1e13), values)
    assert_allclose(rows @ moved, values, rtol=1e-9)


def test_products_of_errors_are_derivatives_of_variances(case):
    """math.md (89): in the covariances, that of the coefficients held."""
    at, posterior = case
    new, X, codes, _ = new_rows(at)
    _, of_beta = mixed.coefficients(at)

    def variance(t, Psi):
        moved = [term.Psi for term in at.terms]
        moved[t] = Psi
        here = mixed.with_psi(at, moved)
        terms = tuple(
            mixed.replace(term, Psi=P) for term, P in zip(new.terms, moved, strict=True)
        )
        cross = mixed.shared(terms, here.terms)
        gain = np.linalg.solve(here.V, cross.T).T
        lever = new.X - gain @ at.X
        total = mixed.shared(terms, terms) - gain @ cross.T + lever @ of_beta @ lever.T
        return np.diag(total)

    for t, G in enumerate(error_products(posterior, X, codes)):
        Psi, inner = at.terms[t].Psi, np.linalg.inv(posterior.terms[t].basis)
        for i, j in zip(*np.tril_indices(len(Psi)), strict=True):
            E = np.zeros_like(Psi)
            E[i, j] = E[j, i] = 1.0
            slope = mixed.gradient(
                lambda x, E=E, t=t, P=Psi: variance(t, P + x * E), [0]
            )
            expected = np.einsum("nab,ab->n", G, inner @ E @ inner.T)
            # Differences of variances of order 1.
            assert_allclose(expected, slope[0], rtol=1e-7, atol=1e-7)


def assert_same(first, second, **tolerance):
    for a, b in zip(first.terms, second.terms, strict=True):
        assert_allclose(a.modes, b.modes, **tolerance)
        assert_allclose(a.loading, b.loading, **tolerance)
    for t in range(len(first.terms)):
        a, b = (p.conditional_covariance(t) for p in (first, second))
        assert_allclose(a, b, **tolerance)


def test_the_order_of_two_updates_does_not_matter(case):
    at, posterior = case
    one = learn(at, learn(at, posterior, seed=5), seed=6)
    other = learn(at, learn(at, posterior, seed=6), seed=5)
    assert_same(one, other, rtol=DENSE, atol=DENSE)


def test_the_same_rows_twice_count_twice(case):
    at, posterior = case
    _, X, y, levels, noise = further_rows(at)
    # Missing labels are of another level each time, so that only the others double.
    known = np.all([level >= 0 for level in levels], axis=0)
    room = learn(at, posterior)
    once = observe(room, X[known], y[known], [c[known] for c in levels], noise[known])
    again = observe(once, X[known], y[known], [c[known] for c in levels], noise[known])
    half = observe(
        room, X[known], y[known], [c[known] for c in levels], noise[known] / 2
    )
    assert_same(again, half, rtol=DENSE, atol=DENSE)
    assert np.abs(again.terms[0].modes - once.terms[0].modes).max() > 1e-3


def test_levels_keep_their_figures_where_others_are_put_between_them(case):
    at, posterior = case
    _, X, codes, _ = new_rows(at)
    known = [len(term.modes) for term in posterior.terms]
    places = [2 * np.arange(k) + 1 for k in known]
    room = make_room(posterior, places, [2 * k + 1 for k in known])
    moved = [np.where(code < 0, -1, 2 * code + 1) for code in codes]
    assert_allclose(room.mean(X, moved), posterior.mean(X, codes))
    assert_allclose(room.variance(X, moved), posterior.variance(X, codes))
    unknown = [np.where(code < 0, 0, 2 * code + 1) for code in codes]
    assert_allclose(room.variance(X, unknown), posterior.variance(X, codes))


# ---------------------------------------------------------------- joint distributions


@pytest.mark.parametrize("n", [30, 400])
def test_log_density_is_that_of_mean_and_covariance(case, n):
    """math.md (84)."""
    at, posterior = case
    _, X, codes, owners = new_rows(at, n=n)
    y = np.random.default_rng(2).normal(scale=3, size=n)
    noise = np.linspace(0.3, 0.9, n)
    covariance = posterior.joint_covariance(X, codes, owners, noise)
    expected = multivariate_normal(posterior.mean(X, codes), covariance).logpdf(y)
    got = posterior.joint_log_density(X, y, codes, owners, noise)
    assert_allclose(got, expected, rtol=1e-9)


def test_draws_have_the_joint_distribution(case):
    at, posterior = case
    _, X, codes, owners = new_rows(at)
    noise, n = np.linspace(0.5, 1.5, len(X)), 20_000
    rng = np.random.RandomState(0)
    draws = posterior.sample(X, codes, owners, noise, n, rng)
    covariance = posterior.joint_covariance(X, codes, owners, noise)
    std = np.sqrt(np.diag(covariance))
    # Five standard errors of a mean and of a covariance of normal draws.
    error = np.abs(draws.mean(axis=1) - posterior.mean(X, codes))
    assert (error < 5 * std / np.sqrt(n)).all()
    error = np.abs(np.cov(draws) - covariance)
    assert (error < 5 * np.sqrt(2 / n) * np.outer(std, std)).all()


def test_the_order_of_elimination_is_not_that_of_the_user():
    at = mixed.random_problem(3, "crossed", (2, 1))
    posterior = posterior_of(at, 1, order=(1, 0))
    assert_same(posterior, posterior_of(at, 1), rtol=DENSE, atol=DENSE)
    new, X, codes, _ = new_rows(at)
    _, covariance = mixed.predict(at, new)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)


def test_a_ridge_is_a_prior_of_the_coefficients():
    at = mixed.random_problem(4, "crossed", 1)
    penalty = np.diag([0.0, 2.0, 2.0, 2.0])
    at = mixed.problem(at.X, at.y, at.terms, at.noise, penalty=penalty)
    new, X, codes, _ = new_rows(at)
    mean, covariance = mixed.predict(at, new)
    posterior = posterior_of(at, 1)
    assert_allclose(posterior.mean(X, codes), mean, rtol=DENSE)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)


@pytest.mark.parametrize("structure", ["one", "nested", "crossed"])
def test_singular_covariances(structure):
    at = mixed.random_problem(2, structure, 2)
    psi = [np.outer([1.0, 0.5], [1.0, 0.5]), np.zeros((2, 2))][: len(at.terms)]
    at = mixed.with_psi(at, psi)
    posterior = posterior_of(at, 2 if structure == "nested" else 1)
    new, X, codes, owners = new_rows(at)
    mean, covariance = mixed.predict(at, new)
    assert_allclose(posterior.mean(X, codes), mean, rtol=DENSE)
    assert_allclose(posterior.variance(X, codes), np.diag(covariance), rtol=DENSE)
    learnt = learn(at, posterior)
    assert np.isfinite(learnt.variance(X, codes)).all()
    y = np.zeros(len(X))
    density = posterior.joint_log_density(X, y, codes, owners, np.ones(len(X)))
    expected = multivariate_normal(mean, covariance + np.eye(len(X))).logpdf(y)
    assert_allclose(density, expected, rtol=1e-9)
