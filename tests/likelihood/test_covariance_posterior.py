"""The distribution that is integrated over several variances, against brute force."""

import pickle
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.integrated import conditional_t, log_density_of
from scipy.stats import t as student

from skmixed import GroupsWarning, LinearMixedRegressor, RandomInterceptRegressor
from skmixed._estimator import fit_of
from skmixed._likelihood.covariance_posterior import (
    Parameters,
    importance_nodes,
)
from skmixed._search.mixed import likelihood_of

# In probability, of the end of an interval by 128 quasi-random nodes.
NODES = 0.01
INTEGRATED = {"distribution": "integrated"}


def simulate(n_groups=7, n_rows=6, seed=1):
    rng = np.random.default_rng(seed)
    n = n_groups * n_rows
    groups = np.repeat(np.arange(n_groups), n_rows)
    table = np.column_stack([groups, 2 * groups + np.arange(n) % 2, np.arange(n) % 5])
    X = rng.normal(size=(n, 2))
    y = 1 + X[:, 0] + 0.7 * rng.normal(size=n_groups)[groups]
    y += 0.6 * X[:, 0] * rng.normal(size=n_groups)[groups] + rng.normal(size=n)
    y += 0.5 * rng.normal(size=5)[table[:, 2]]
    return X, y, table


def fitted(terms, **options):
    X, y, table = simulate()
    names = ["a", "b", "c"]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(table, columns=names)
    return LinearMixedRegressor(terms, **options).fit(X, y, groups=frame), frame


def dense(fit, Lambdas, X, table):
    """V0 of the rows, the factors being columns of the table by their names."""
    V0 = np.eye(len(X))
    for position, t in enumerate(fit.order):
        factor, L = fit.factors[t], Lambdas[position]
        Psi = fit.reduced.coordinates[position].to_user(L @ L.T)
        Z = np.column_stack(
            [np.ones(len(X)) if j < 0 else X[:, j] for j in factor.columns]
        )
        codes = table[factor.name[-1]].to_numpy()  # "a:b" is "b", as labels are here
        V0 += (Z @ Psi @ Z.T) * (codes[:, None] == codes)
    return V0


@pytest.mark.parametrize("weights", [None, "weights"])
def test_one_variance_is_that_of_random_intercepts(weights):
    X, y, table = simulate()
    groups = table[:, 0]
    w = None if weights is None else 1.0 + np.arange(len(y)) % 3
    one = RandomInterceptRegressor().fit(X, y, groups=groups, sample_weight=w)
    mixed = LinearMixedRegressor().fit(X, y, groups=groups, sample_weight=w)
    (factor,) = mixed.groups_
    new = np.array([0, 0, 1, 99, 99])
    for model in (one, mixed):
        model.found = [
            model.predict_interval(X[:5], groups=new, **INTEGRATED),
            model.predict_interval(X[:5], groups=new, average=True, **INTEGRATED),
            model.log_predictive_density(X[:5], y[:5], groups=new, **INTEGRATED),
        ]
        table = model.summary(**INTEGRATED)
        model.found += [table.coefficients["low"], table.variance_components["high"]]
    for first, second in zip(one.found, mixed.found, strict=True):
        assert_allclose(first, second, rtol=1e-8)
    of_effects = mixed.random_effects_interval(factor)
    assert_allclose(one.random_intercepts_interval(), of_effects[:, 0], rtol=1e-8)


TERMS = ["(x0 | a)", "(x0 + x1 || a)", "(1 | a/b)", "(x0 | a) + (1 | c)"]


@pytest.mark.parametrize(
    "terms, columns", [*((t, []) for t in TERMS), ("(x0 | a)", [1]), ("(1 | a)", [0])]
)
def test_the_density_is_that_of_dense_matrices(terms, columns):
    """math.md (140) and (141)."""
    model, table = fitted(terms, variance_features=columns)
    fit, (X, y, _) = fit_of(model), simulate()
    likelihood = likelihood_of(fit.reduced, fit.factors, True, 0.0)
    parameters = Parameters(likelihood, fit.noise_rows)
    A, rng = np.column_stack([np.ones(len(X)), X]), np.random.default_rng(0)
    gamma = np.zeros(len(columns))

    def V0_at(x):
        gamma, theta = parameters.split(x)
        V0 = dense(fit, parameters.Lambdas(theta), X, table)
        noise = fit.noise_at(gamma, X, None) if columns else np.ones(len(X))
        return V0 + np.diag(noise - 1)

    found, expected, k = [], [], len(parameters.start(fit.Lambdas, gamma))
    for x in rng.normal(scale=0.7, size=(3, k)):
        found.append(parameters.log_densities(x[None])[0][0])
        step = 1e-5 * np.eye(k)
        V0, *moved = map(V0_at, (x, *(x + step), *(x - step)))
        slopes = [(u - d) / 2e-5 for u, d in zip(moved[:k], moved[k:], strict=True)]
        expected.append(log_density_of(A, y, V0, slopes)[0])
    # Differences of V0 are good for some 1e-9.
    assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6)


@pytest.mark.parametrize("terms", ["(x0 | a)", "(x0 + x1 || a)", "(0 + x1 | a)"])
@pytest.mark.parametrize("units", [1.0, 100.0])
def test_nodes_at_once_are_those_one_by_one(terms, units):
    """math.md (141): columns that are hardly independent have their roots by QR."""
    X, y, table = simulate()
    X[:, 1] += units * X[:, 0]
    w = 1.0 + np.arange(len(y)) % 3
    groups = {"groups": table[:, 0], "sample_weight": w}
    fit = fit_of(LinearMixedRegressor(terms.replace("a", "g")).fit(X, y, **groups))
    parameters = Parameters(likelihood_of(fit.reduced, fit.factors, True, 0.0))
    k = len(parameters.start(fit.Lambdas, np.empty(0)))
    nodes = np.random.default_rng(0).normal(size=(9, k))
    values, noise = parameters.log_densities(nodes)
    one_by_one = np.array([parameters._log_density(x) for x in nodes]).T
    assert_allclose(np.diff(values), np.diff(one_by_one[0]), rtol=1e-8)
    assert_allclose(noise, one_by_one[1], rtol=1e-9)


def test_nodes_beside_a_log_variance_are_those_one_by_one():
    """math.md (206)."""
    X, y, table = simulate()
    w = 1.0 + np.arange(len(y)) % 3
    model = LinearMixedRegressor("(1 | g)", variance_features=[0, 1])
    fit = fit_of(model.fit(X, y, groups=table[:, 2], sample_weight=w))
    likelihood = likelihood_of(fit.reduced, fit.factors, True, 0.0)
    parameters = Parameters(likelihood, fit.noise_rows)
    assert parameters._rows is not None
    nodes = 0.5 * np.random.default_rng(0).normal(size=(5, 3))
    values, noise = parameters.log_densities(nodes)
    one_by_one = np.array([parameters._log_density(x) for x in nodes]).T
    assert_allclose(np.diff(values), np.diff(one_by_one[0]), rtol=1e-8)
    assert_allclose(noise, one_by_one[1], rtol=1e-9)
    nodes[0, 0] = 1e4  # noise variances too far apart
    beside = parameters.log_densities(nodes)[0]
    assert beside[0] == -np.inf
    assert_allclose(beside[1:], values[1:])


@pytest.mark.parametrize("terms", ["(x0 | a)", "(x0 + x1 | a)", "(1 | a)"])
def test_rows_at_all_nodes_are_those_of_each(terms, monkeypatch):
    """math.md (205)."""
    model, _ = fitted(terms)
    integrated, X = fit_of(model).integrated, simulate()[0]
    codes = [np.arange(len(X)) % 8 - 1]
    found = integrated.observations(X, codes)
    assert integrated._maps is not None
    monkeypatch.setitem(vars(integrated), "_maps", None)
    expected = integrated.observations(X, codes)
    assert_allclose(found.mean, expected.mean, rtol=1e-10, atol=1e-10)
    assert_allclose(found.std, expected.std, rtol=1e-10)


def test_coordinates_go_there_and_back():
    """math.md (140)."""
    model, _ = fitted("(x0 + x1 | a)")
    fit = fit_of(model)
    pattern = Parameters(likelihood_of(fit.reduced, fit.factors, True, 0.0))
    theta = np.array([0.3, -1.0, 0.5, 0.2, -0.7, 0.9])
    (L,) = pattern.Lambdas(theta)
    again = pattern.coordinates([L @ L.T], [1e-8])
    assert_allclose(again[:3], theta[:3])
    (shrunk,) = pattern.Lambdas(again)
    corr, wanted = (
        M @ M.T / np.sqrt(np.outer(*2 * [np.diag(M @ M.T)])) for M in (shrunk, L)
    )
    assert_allclose(corr, np.where(np.eye(3, dtype=bool), 1.0, 0.9 * wanted))
    E = pattern.directions(theta)[0]
    for i, h in enumerate(1e-6 * np.eye(6)):
        up, down = (pattern.Lambdas(theta + s)[0] for s in (h, -h))
        assert_allclose((up @ up.T - down @ down.T) / 2e-6, E[i], atol=1e-8)


def test_intervals_are_those_of_brute_force():
    """math.md (141), on a grid of all three coordinates with n x n matrices."""
    X, y, table = simulate(n_groups=6, n_rows=5)
    groups = table[:, 0]
    model = LinearMixedRegressor("(x0 | g)").fit(X, y, groups=groups)
    A, z = np.column_stack([np.ones(len(X)), X]), np.array([1.0, 0.8])
    Z = np.column_stack([np.ones(len(X)), X[:, 0]])
    same, first = groups[:, None] == groups, groups == 0
    grid = [np.linspace(-4, 3, 15), np.linspace(-5, 3, 15), np.linspace(-3, 3, 12)]
    components = []
    for u, v, w in product(*grid):
        s, rho = np.exp([u, v]), np.tanh(w)
        Psi = np.outer(s, s) * np.array([[1, rho], [rho, 1]])
        turn = np.outer(s, s) * np.array([[0, 1], [1, 0]]) * (1 - rho**2)
        moves = [np.diag(e) @ Psi + Psi @ np.diag(e) for e in np.eye(2)] + [turn]
        V0 = np.eye(len(X)) + (Z @ Psi @ Z.T) * same
        slopes = [(Z @ E @ Z.T) * same for E in moves]
        value, rss = log_density_of(A, y, V0, slopes)
        cross = first * (Z @ Psi @ z)
        x, own = np.array([1.0, 0.8, 0.0]), z @ Psi @ z
        targets = [
            conditional_t(A, y, V0, cross, 1 + own, x),
            conditional_t(A, y, V0, 0 * cross, 1 + own, x),
            conditional_t(A, y, V0, first * (Z @ Psi[:, 1]), Psi[1, 1], 0 * x),
        ]
        components.append((value, rss, *np.ravel(targets)))
    value, rss, *targets = np.array(components).T
    p = np.exp(value - value.max())
    freedom = len(y) - 3
    ends = model.predict_interval([[0.8, 0.0]] * 2, groups=[0, 99], **INTEGRATED)
    slope = model.random_effects_interval(next(iter(model.groups_)))[0, 1]
    for k, interval in enumerate([*ends, slope]):
        mean, std = targets[2 * k], np.sqrt(rss / freedom * targets[2 * k + 1])
        for end, level in zip(interval, (0.05, 0.95), strict=True):
            below = p @ student.cdf((end - mean) / std, freedom) / p.sum()
            assert abs(below - level) < NODES


@pytest.mark.parametrize(
    "terms, columns", [("(x0 | a)", []), ("(1 | a) + (1 | c)", []), ("(1 | a)", [1])]
)
def test_density_draws_and_intervals_agree(terms, columns):
    model, frame = fitted(terms, variance_features=columns)
    row, where = [[0.7, 0.1]], frame.iloc[[0]]
    options = {"groups": where, **INTEGRATED}
    low, high = model.predict_interval(row, coverage=0.9, **options)[0]
    grid, weight = np.polynomial.legendre.leggauss(12)
    grid, weight = low + 0.5 * (high - low) * (1 + grid), 0.5 * (high - low) * weight
    density = [model.log_predictive_density(row, [v], **options) for v in grid]
    assert_allclose(weight @ np.exp(density), 0.9, atol=1e-6)
    draws = model.sample_y(row, n_samples=4000, **options)
    inside = np.mean((low < draws) & (draws < high))
    assert abs(inside - 0.9) < 4 * np.sqrt(0.9 * 0.1 / 4000)


def test_the_interval_is_kept_with_the_fit_and_not_stored():
    model, frame = fitted("(x0 | a)")
    before = len(pickle.dumps(model))
    X = simulate()[0]
    ends = model.predict_interval(X[:2], groups=frame[:2], **INTEGRATED)
    assert fit_of(model).integrated is fit_of(model).integrated
    assert len(pickle.dumps(model)) == before
    again = pickle.loads(pickle.dumps(model))
    found = again.predict_interval(X[:2], groups=frame[:2], **INTEGRATED)
    assert_allclose(found, ends, rtol=1e-12)


def test_ml_and_reml_fits_have_the_same():
    X = simulate()[0]
    ends = []
    for method in ("ml", "reml"):
        model, frame = fitted("(x0 | a)", method=method)
        ends.append(model.predict_interval(X[:9], groups=frame[:9], **INTEGRATED))
    # The nodes begin at the optimum, which differs.
    assert_allclose(*ends, atol=0.02 * np.ptp(ends))


def test_modelled_noise():
    """A noise that grows with a feature has intervals that do."""
    X, _, table = simulate(n_rows=20)
    noise = np.random.default_rng(2).normal(size=len(X))
    y = X[:, 0] + table[:, 0] + np.exp(X[:, 1]) * noise
    model = LinearMixedRegressor("(1 | g)", variance_features=[1])
    model.fit(X, y, groups=table[:, 0])
    rows, options = [[0.0, -1.0], [0.0, 1.0]], {"groups": [0, 0], "coverage": 0.9}
    normal = np.ptp(model.predict_interval(rows, **options), axis=1)
    found = np.ptp(model.predict_interval(rows, **options, **INTEGRATED), axis=1)
    assert found[1] > 3 * found[0]
    assert_allclose(found, normal, rtol=0.25)
    again = pickle.loads(pickle.dumps(model))
    with pytest.raises(ValueError, match="which are kept up to 20000 of them, and not"):
        again.predict_interval(rows, **options, **INTEGRATED)
    ridge = LinearMixedRegressor("(1 | g)", variance_features=[1], variance_alpha=1.0)
    ridge.fit(X, y, groups=table[:, 0])
    with pytest.raises(
        ValueError, match=r"variance_alpha=1\.0: the variances of a pen"
    ):
        ridge.predict_interval(rows, **options, **INTEGRATED)


def test_modelled_noise_without_random_effects():
    X, _, _ = simulate()
    rng = np.random.default_rng(1)
    y = X[:, 0] + np.exp(0.5 * X[:, 1]) * rng.normal(size=len(X))
    model = LinearMixedRegressor("", variance_features=[1]).fit(X, y)
    rows = [[0.0, -1.0], [0.0, 1.0]]
    normal = np.ptp(model.predict_interval(rows), axis=1)
    found = np.ptp(model.predict_interval(rows, **INTEGRATED), axis=1)
    assert ((found > 1.02 * normal) & (found < 1.5 * normal)).all()


def test_the_normal_interval_of_effects():
    model, _ = fitted("(x0 | a)")
    found = model.random_effects_interval("a", 0.9, "normal")
    half = 1.6448536269514722 * model.random_effects_std_["a"]
    assert_allclose(found[..., 1], model.random_effects_["a"] + half)
    wider = model.random_effects_interval("a", 0.9)
    assert np.mean(np.ptp(wider, axis=-1) / np.ptp(found, axis=-1)) > 1.05


def test_the_summary_has_intervals_of_the_same_distribution():
    model, _ = fitted("(x0 | a)")
    found = model.summary(0.9, "integrated")
    assert "integrated over variances" in found.notes[0]
    fit = fit_of(model)
    over, Psi = fit.integrated.over, fit.integrated.covariances(0)
    rng = np.random.default_rng(0)
    i = rng.choice(len(over.keys), size=100_000, p=over.probability)
    noise = over.noise_variance[i] * over.freedom / rng.chisquare(over.freedom, len(i))
    std = np.sqrt(noise * Psi[i, 1, 1])
    corr = Psi[i, 0, 1] / np.sqrt(Psi[i, 0, 0] * Psi[i, 1, 1])
    table = found.variance_components
    for row, draws in ((1, std), (2, corr), (3, np.sqrt(noise))):
        below = [np.mean(draws < table[end][row]) for end in ("low", "high")]
        assert_allclose(below, (0.05, 0.95), atol=0.01)


def test_no_integral_without_a_likelihood_of_all_rows():
    X, y, _ = simulate()
    ridge, frame = fitted("(x0 | a)", alpha=1.0)
    options = {"groups": frame[:2], **INTEGRATED}
    with pytest.raises(ValueError, match=r"alpha=1\.0: the variances of a penalised"):
        ridge.predict_interval(X[:2], **options)
    model, _ = fitted("(x0 | a)")
    with pytest.raises(ValueError, match="The model has no factor 'b'"):
        model.random_effects_interval("b")
    model.update_random_effects(X[:2], y[:2], groups=frame[:2])
    with pytest.raises(ValueError, match="effects were updated since"):
        model.predict_interval(X[:2], **options)
    several = LinearMixedRegressor("(1 | a) + (1 | b)")
    rng, n = np.random.default_rng(0), 900
    labels = np.column_stack([rng.integers(0, 150, n), rng.integers(0, 300, n)])
    labels = type(frame)(labels, columns=["a", "b"])
    several.fit(rng.normal(size=(n, 1)), rng.normal(size=n), groups=labels)
    with pytest.raises(
        ValueError, match=r"offered for up to 400 random effects.* 4\d\d"
    ):
        several.predict_interval([[0.0]], groups=labels[:1], **INTEGRATED)
    many = LinearMixedRegressor("(x0 + x1 + x2 + x3 | a)")
    wide = np.random.default_rng(0).normal(size=(len(y), 4))
    many.fit(wide, y, groups=frame)
    with pytest.raises(ValueError, match=r"up to 10 variances, covariances.* 15"):
        many.predict_interval(wide[:2], **options)


def test_a_variance_that_nothing_tells_is_left_out():
    X, y, table = simulate()
    alone = np.column_stack([table[:, 0], np.arange(len(y))])
    terms = ["(1 | a)", "(1 | a) + (1 | row)"]
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(alone, columns=["a", "row"])
    ends = []
    for some in terms:
        model = LinearMixedRegressor(some)
        if "row" in some:
            with pytest.warns(GroupsWarning):
                model.fit(X, y, groups=frame)
        else:
            model.fit(X, y, groups=frame[["a"]])
        labels = frame[:5] if "row" in some else frame[["a"]][:5]
        ends.append(model.predict_interval(X[:5], groups=labels, **INTEGRATED))
    # One of them has a rule of its own below 0, the other nodes.
    assert_allclose(*ends, atol=0.05 * np.ptp(ends))


def test_an_exact_fit_is_its_own_interval():
    X, _, table = simulate()
    y = 2 * X[:, 0] + table[:, 0]
    with pytest.warns(UserWarning, match="fitted exactly"):
        model = LinearMixedRegressor("(x1 | g)").fit(X, y, groups=table[:, 0])
    ends = model.predict_interval(X, groups=table[:, 0], **INTEGRATED)
    # Effects whose variances are 1e26 times the noise keep some digits.
    assert_allclose(ends, np.column_stack([y, y]), atol=1e-5)


def test_groups_that_do_not_differ_have_finite_intervals():
    X, _, table = simulate()
    y = X[:, 0] + np.random.default_rng(5).normal(size=len(X))
    model = LinearMixedRegressor("(x0 | g)").fit(X, y, groups=table[:, 0])
    assert model.at_boundary_
    (factor,) = model.groups_
    width = np.ptp(model.random_effects_interval(factor), axis=-1)
    assert ((width > 0.01) & (width < 5)).all()
    ends = model.predict_interval(X[:2], groups=[0, 99], **INTEGRATED)
    assert ((np.ptp(ends, axis=1) > 2) & (np.ptp(ends, axis=1) < 9)).all()


@pytest.mark.parametrize("terms", ["(1 | g)", "(x0 | g)"])
@pytest.mark.parametrize("n_groups", [1, 2])
def test_one_group_and_two_with_a_feature_between_them(terms, n_groups):
    X, y, _ = simulate()
    groups = np.arange(len(y)) % n_groups
    X[:, 1] = groups if n_groups > 1 else X[:, 1]
    with pytest.warns(GroupsWarning):
        model = LinearMixedRegressor(terms).fit(X, y, groups=groups)
    ends = model.predict_interval(X[:9], groups=groups[:9], **INTEGRATED)
    assert np.isfinite(ends).all()
    assert (np.ptp(ends, axis=1) < 20).all()


@pytest.mark.parametrize("constant", [0.0, 2000.0, -2000.0])
def test_nodes_have_the_moments_of_a_density_known_up_to_a_constant(constant):
    mean, root = np.array([1.0, -2.0]), np.array([[0.5, 0.0], [0.3, 0.2]])
    inverse = np.linalg.inv(root)

    def density(nodes):
        squares = np.sum(((nodes - mean) @ inverse.T) ** 2, axis=1)
        return constant - 0.5 * squares, nodes[:, 0]

    nodes, kept, probability = importance_nodes(density, np.zeros(2))
    assert_allclose(probability.sum(), 1)
    assert_allclose(kept, nodes[:, 0])
    # Monte Carlo errors of some hundred nodes, which are spread evenly.
    centre = probability @ nodes
    assert_allclose(centre, mean, atol=0.05)
    covariance = (probability[:, None] * (nodes - centre)).T @ (nodes - centre)
    assert_allclose(covariance, root @ root.T, atol=0.05)
