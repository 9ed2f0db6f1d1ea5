"""The number of BLAS threads; the only module that knows threadpoolctl.

Products of blocks of rows are small: threads of BLAS wait for each other in thousands
of them, and if another process is busy, for its turn too.  So fits and predictions run
them with one thread, and large products with all.
"""

import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from threadpoolctl import ThreadpoolController

# Columns of X from which on products of a block of rows gain from several threads.
MANY_COLUMNS = 100
# Rows of a square matrix from which on its factorisation does, though a neighbour may
# be busy: it takes a tenth of a second.
LARGE = 2_000


Method = TypeVar("Method", bound=Callable[..., Any])


class _Limit:
    """One BLAS thread while the first who asks for it is at work.

    The number is that of the process.  Whoever sets it puts the old one back: OpenBLAS
    lets no other thread of Python raise it again.  Those who ask meanwhile do nothing,
    and may find more threads before they end.
    """

    def __init__(self):
        self.lock, self.owner, self.before = threading.Lock(), None, 1

    @contextmanager
    def one(self):
        with self.lock:
            limits = self.owner is None and _most_threads() > 1
            if limits:
                self.owner, self.before = threading.get_ident(), _most_threads()
        if not limits:
            yield
            return
        try:
            with _controller().limit(limits=1, user_api="blas"):
                yield
        finally:
            self.owner = None

    @contextmanager
    def all(self):
        if self.owner != threading.get_ident():
            yield
            return
        with _controller().limit(limits=self.before, user_api="blas"):
            yield


@lru_cache
def _controller():
    """The BLAS libraries of this process: looking for them takes milliseconds."""
    import scipy.linalg  # noqa: F401  which loads one of its own

    return ThreadpoolController()


def _most_threads():
    found = (one.num_threads for one in _controller().lib_controllers)
    return max(found, default=1)


_LIMIT = _Limit()


@contextmanager
def small_products(X):
    """One BLAS thread, unless X has many columns."""
    shape = getattr(X, "shape", ())
    if len(shape) == 2 and shape[1] >= MANY_COLUMNS:
        yield
        return
    with _LIMIT.one():
        yield


def one_blas_thread(method: Method) -> Method:
    """Decorate a method whose first argument is X: it runs within `small_products`."""

    @wraps(method)
    def run(self, X, *args, **kwargs):
        with small_products(X):
            return method(self, X, *args, **kwargs)

    return cast("Method", run)


@contextmanager
def products_of(n):
    """All BLAS threads, even within `small_products`, for large matrices of order n."""
    if n < LARGE:
        yield
        return
    with _LIMIT.all():
        yield
