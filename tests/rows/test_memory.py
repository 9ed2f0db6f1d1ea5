"""Memory of fits to sparse rows: what is kept, and what is refused in time."""

import pickle
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.reference import simulate
from scipy import sparse

from skmixed import (
    HeteroscedasticGaussianRegressor,
    LinearMixedRegressor,
    RandomInterceptRegressor,
)
from skmixed._estimator import fit_of
from skmixed._rows import memory, reduction
from skmixed._rows.moments import SparseMeans, sparse_means

# Sums of sparse and of dense rows, in another order.
SAME = 1e-9
# Of the dense figures of groups: those that a posterior keeps, and blocks beside them.
AT_MOST = 1.3


def random_rows(rng, n, p, density):
    """A sparse matrix with about this share of entries, uniform ones."""
    number = int(n * p * density)
    entries = rng.integers(n, size=number), rng.integers(p, size=number)
    matrix = sparse.csr_array((rng.random(number), entries), shape=(n, p))
    matrix.sum_duplicates()
    return matrix


def sparse_problem(n=3000, p=60, n_groups=1500, seed=0):
    rng = np.random.default_rng(seed)
    X = random_rows(rng, n, p, 1.5 / p)
    groups = rng.permutation(np.arange(n) % n_groups)
    y = np.asarray(X.sum(axis=1)).ravel() + rng.normal(size=n_groups)[groups]
    return X, y + rng.normal(size=n), groups


def test_sparse_means_are_an_array():
    rng = np.random.default_rng(0)
    matrix = random_rows(rng, 7, 4, 0.4)
    offset, weight = rng.normal(size=4), rng.random(7)
    means = sparse_means(matrix, offset)
    dense = matrix.toarray() + offset
    assert means.shape == dense.shape
    assert len(means) == 7
    assert_allclose(np.asarray(means), dense)
    assert_allclose(means[2:5], dense[2:5])
    assert_allclose(means[np.array([3, 1])], dense[[3, 1]])
    assert_allclose(means[:, [2, 0]][:], dense[:, [2, 0]])
    assert_allclose(means[:, :2] @ np.eye(2), dense[:, :2])
    assert_allclose(weight @ means, weight @ dense)
    assert_allclose(means + offset, dense + offset)
    assert_allclose((means * weight[:4])[:], dense * weight[:4])
    means -= weight[:4]
    assert_allclose(means[:], dense - weight[:4])
    with pytest.raises(IndexError, match="one after the other"):
        means[1:, 0]


@pytest.mark.parametrize("weighted", [False, True])
def test_sparse_figures_of_groups_make_the_same_fit(weighted, monkeypatch):
    X, y, groups = sparse_problem(n=900, p=25, n_groups=300)
    weight = 1.0 + np.arange(900) % 3 if weighted else None
    model = RandomInterceptRegressor().fit(X, y, groups=groups, sample_weight=weight)
    assert isinstance(fit_of(model).statistics.moments.mean, SparseMeans)
    monkeypatch.setattr(reduction, "DENSE", 0.0)
    expected = RandomInterceptRegressor()
    expected.fit(X, y, groups=groups, sample_weight=weight)
    assert isinstance(fit_of(expected).statistics.moments.mean, np.ndarray)
    again = pickle.loads(pickle.dumps(model))
    for one in (model, again):
        assert_allclose(one.coef_, expected.coef_, rtol=SAME)
        assert_allclose(one.log_likelihood_, expected.log_likelihood_, rtol=SAME)
        assert str(one.summary()) == str(expected.summary())
    for one in (model, again, expected):
        one.partial_fit(X[:50], y[:50], groups=groups[:50] + 280)
    assert_allclose(again.coef_, expected.coef_, rtol=SAME)
    assert_allclose(again.random_intercepts_, expected.random_intercepts_, atol=SAME)


@pytest.mark.parametrize(
    "options", [{}, {"mean_groups": "fixed"}, {"variance_groups": "fixed"}], ids=str
)
def test_so_does_the_other_estimator(options, monkeypatch):
    rng = np.random.default_rng(0)
    X = random_rows(rng, 600, 8, 0.05)
    groups = rng.integers(60, size=600)
    y = np.asarray(X.sum(axis=1)).ravel() + rng.normal(size=60)[groups]
    y = y + rng.normal(size=600)
    estimator = HeteroscedasticGaussianRegressor(variance_features=[0], **options)
    model = estimator.fit(X, y, groups=groups)
    got = model.coef_, model.log_likelihood_
    monkeypatch.setattr(reduction, "DENSE", 0.0)
    expected = estimator.fit(X, y, groups=groups)
    assert_allclose(got[0], expected.coef_, rtol=1e-6)
    assert_allclose(got[1], expected.log_likelihood_, rtol=SAME)


def test_a_fit_to_sparse_rows_holds_the_figures_of_groups_once():
    """It took four times as much."""
    X, y, groups = sparse_problem(n=60_000, p=120, n_groups=30_000)
    tracemalloc.start()
    RandomInterceptRegressor().fit(X, y, groups=groups)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < AT_MOST * 8 * 30_000 * 120 + 10e6  # the rest: X, codes and blocks


def test_more_sparse_columns_than_rows_need_no_cross_products():
    X, y, groups = sparse_problem(n=60, p=3000, n_groups=12)
    tracemalloc.start()
    model = RandomInterceptRegressor(alpha=1.0).fit(X, y, groups=groups)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 3000**2 / 3
    expected = RandomInterceptRegressor(alpha=1.0).fit(X.toarray(), y, groups=groups)
    assert_allclose(model.coef_, expected.coef_, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(
    "estimator", [RandomInterceptRegressor(), HeteroscedasticGaussianRegressor()]
)
def test_a_fit_that_memory_cannot_hold_is_refused_before_it_begins(
    estimator, monkeypatch
):
    """Linux ended the process: 30,000 x 30,000 with 30,000 groups."""
    n = 30_000
    X = sparse.eye_array(n, format="csr")
    with monkeypatch.context() as patch:
        patch.setattr(memory, "free_memory", lambda: 12e9)
        message = (
            "A sparse X of 30000 rows and 30000 columns with 30000 groups needs about "
            "43.2 GB for the fit, and 12 GB can be had. Use fewer columns"
        )
        with pytest.raises(MemoryError, match=message):
            estimator.fit(X, np.arange(float(n)), groups=np.arange(n))
    assert not hasattr(estimator, "coef_")


def test_crossed_factors_too_large_for_a_dense_matrix_are_refused(monkeypatch):
    """The message has the size, the factors, and the solver that can."""
    n = 24_000
    X, y = np.zeros((n, 1)), np.arange(float(n))
    groups = np.column_stack([np.arange(n) % 9000, np.arange(n) * 7 % 8000])
    monkeypatch.setattr(memory, "free_memory", lambda: 1e9)
    model = LinearMixedRegressor("(1 | g0) + (1 | g1)", solver="direct")
    message = (
        r"solver='direct' with 8,000 random effects beside those of the largest factor "
        r"\(g1 \(8,000\)\) needs about [1-9]\.?\d* GB for the fit, and 1 GB can be "
        "had. Use solver='iterative', or 'auto'."
    )
    with pytest.raises(MemoryError, match=message):
        model.fit(X, y, groups=groups)
    assert not hasattr(model, "coef_")


def test_free_memory_is_the_least_that_the_system_tells(monkeypatch, tmp_path):
    files = {
        "meminfo": "MemTotal: 9 kB\nMemAvailable:   2000 kB\n",
        "max": "1500000\n",
        "current": "500000\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "LIMITS", ())
    assert memory.free_memory() == 2000 * 1024
    limits = (tmp_path / "max", tmp_path / "current")
    monkeypatch.setattr(memory, "LIMITS", (limits,))
    assert memory.free_memory() == 1_000_000
    (tmp_path / "max").write_text("max\n")  # no limit
    assert memory.free_memory() == 2000 * 1024
    # macOS tells how much there is, and Windows nothing.
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "absent")
    sizes = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1000}
    monkeypatch.setattr("os.sysconf", sizes.__getitem__)
    assert memory.free_memory() == 4_096_000
    monkeypatch.delattr("os.sysconf")
    assert memory.free_memory() is None
    X, y, groups = simulate()
    RandomInterceptRegressor().fit(sparse.csr_array(X), y, groups=groups)
