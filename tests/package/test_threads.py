"""The number of BLAS threads during a fit or a prediction, and after it."""

import threading

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import ThreadpoolController

from skmixed import LinearMixedRegressor, RandomInterceptRegressor
from skmixed._input import table
from skmixed._likelihood.posterior import Posterior
from skmixed._rows import threads

CONTROLLER = ThreadpoolController()


def blas_threads():
    """Of every BLAS library of this process."""
    some = CONTROLLER.select(user_api="blas").lib_controllers
    return {one.num_threads for one in some}


@pytest.fixture
def two_threads():
    if not CONTROLLER.select(user_api="blas").lib_controllers:
        pytest.skip("threadpoolctl knows no BLAS of this process")
    with CONTROLLER.limit(limits=2, user_api="blas"):
        if blas_threads() != {2}:
            pytest.skip("BLAS has one thread only")
        yield


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize(
    "model", [RandomInterceptRegressor(), LinearMixedRegressor()], ids=repr
)
def test_a_fit_has_one_and_gives_the_others_back(
    model, method, two_threads, monkeypatch
):
    seen, check = [], table.check_table

    def watched(X):
        seen.append(blas_threads())
        return check(X)

    monkeypatch.setattr(table, "check_table", watched)
    rng = np.random.default_rng(0)
    X, groups = rng.normal(size=(60, 2)), np.arange(60) % 6
    y = X[:, 0] + groups + rng.normal(size=60)
    getattr(clone(model), method)(X, y, groups=groups)
    assert seen == [{1}]
    assert blas_threads() == {2}


@pytest.mark.parametrize("method", ["predict", "predict_interval", "predict_mean"])
def test_predictions_take_one_thread(method, two_threads, monkeypatch):
    """With two, those of a million rows took 5 s on a busy machine, in place of 0.3."""
    seen, variance = [], Posterior.variance

    def watched(self, *rows):
        seen.append(blas_threads())
        return variance(self, *rows)

    monkeypatch.setattr(Posterior, "variance", watched)
    X, groups = np.arange(12.0)[:, None], np.arange(12) % 3
    model = RandomInterceptRegressor().fit(X, np.sin(X[:, 0]), groups=groups)
    flags = {} if method == "predict_interval" else {"return_std": True}
    getattr(model, method)(X, groups=groups, **flags)
    assert seen
    assert all(threads == {1} for threads in seen)
    assert blas_threads() == {2}


def test_a_large_covariance_takes_all_of_them(two_threads, monkeypatch):
    seen, joint = [], Posterior.joint_covariance

    def watched(self, *rows):
        seen.append(blas_threads())
        return joint(self, *rows)

    monkeypatch.setattr(Posterior, "joint_covariance", watched)
    monkeypatch.setattr(threads, "LARGE", 10)
    X, groups = np.arange(12.0)[:, None], np.arange(12) % 3
    model = RandomInterceptRegressor().fit(X, np.sin(X[:, 0]), groups=groups)
    for n_rows in (9, 12):
        model.predict(X[:n_rows], groups=groups[:n_rows], return_cov=True)
    assert seen == [{1}, {2}]


def test_an_error_gives_them_back(two_threads):
    with pytest.raises(ValueError, match="NaN"):
        RandomInterceptRegressor().fit([[np.nan]] * 4, [1.0] * 4, groups=[0, 0, 1, 1])
    assert blas_threads() == {2}


def test_many_columns_keep_them(two_threads):
    with threads.small_products(np.empty((3, threads.MANY_COLUMNS))):
        assert blas_threads() == {2}
    with threads.small_products(np.empty((3, 2))):
        assert blas_threads() == {1}
        with threads.products_of(threads.LARGE - 1):
            assert blas_threads() == {1}
        with threads.products_of(threads.LARGE):
            assert blas_threads() == {2}
        assert blas_threads() == {1}


def test_a_fit_in_another_thread_leaves_them_alone(two_threads):
    """Whoever sets the number puts it back, whatever began or ended meanwhile."""
    inside, leave = threading.Event(), threading.Event()

    def other():
        with threads.small_products(None):
            inside.set()
            leave.wait(timeout=60)
            with threads.products_of(threads.LARGE):
                pass

    for _ in range(2):
        inside.clear(), leave.clear()
        with threads.small_products(None):
            thread = threading.Thread(target=other)
            thread.start()
            assert inside.wait(timeout=60)
            assert blas_threads() == {1}
        assert blas_threads() == {2}
        leave.set()
        thread.join(timeout=60)
        assert blas_threads() == {2}
