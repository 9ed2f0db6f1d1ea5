"""Blocks of rows, and the one way to work on several of them at a time."""

from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed, effective_n_jobs, wrap_non_picklable_objects

# Numbers in one block: 832 KB, so that a block and its temporaries stay in the cache of
# a core.  From 896 KB on the C library gives the memory of a block back after it and
# takes it anew for the next, page by page, which makes a fit of 10,000 rows a third
# longer where nothing else in the process has made the library keep more.  With 512 KB
# slopes take longer, as the overhead of a block counts.
BLOCK_SIZE = 106_496


def block_rows(n_columns):
    """Number of rows of `n_columns` numbers that make one block.

    It is several times the number of columns, so that a root is smaller than its rows.
    """
    return max(BLOCK_SIZE // max(n_columns, 1), 4 * n_columns, 256)


def row_blocks(n_rows, n_columns):
    """Consecutive slices of at most `block_rows` rows that cover `n_rows` rows."""
    return _slices(n_rows, block_rows(n_columns))


def short_blocks(n_rows, width, size=0):
    """Consecutive slices that cover `n_rows` rows of `width` numbers each, of a single
    row where that is as long as a block; a block is as long as `size` if that is more.
    """
    return _slices(n_rows, max(max(BLOCK_SIZE, size) // max(width, 1), 1))


def _slices(n_rows, step):
    return [slice(i, min(i + step, n_rows)) for i in range(0, n_rows, step)]


def slices_of(lengths):
    """Consecutive slices of these lengths."""
    ends = np.cumsum([0, *lengths], dtype=int).tolist()
    return [slice(*pair) for pair in pairwise(ends)]


def cut(bounds, max_rows, max_pieces=None):
    """Runs of consecutive pieces with at most `max_rows` rows and `max_pieces` pieces.

    Piece k holds the rows ``bounds[k]:bounds[k + 1]``.  A longer piece is a run of its
    own.  The result has the positions in `bounds` at which runs begin, and the end.
    """
    cuts = [0]
    while cuts[-1] < len(bounds) - 1:
        first = cuts[-1]
        last = np.searchsorted(bounds, bounds[first] + max_rows, side="right") - 1
        if max_pieces is not None:
            last = min(last, first + max_pieces)
        cuts.append(int(max(last, first + 1)))
    return cuts


def n_workers(n_jobs):
    """Number of workers that `n_jobs` stands for."""
    return effective_n_jobs(n_jobs)


def map_jobs(function, calls, n_jobs, *, writes=False):
    """``function(*call)`` of every call, in order, by `n_jobs` workers.

    The backend is joblib's choice (threads unless `joblib.parallel_config` says
    otherwise: the work happens in code that releases the interpreter lock).  The
    function may be local: processes get it by cloudpickle.  One that `writes` into
    arrays of the caller is run by threads in any case.
    """
    if len(calls) == 1 or n_workers(n_jobs) == 1:
        return [function(*call) for call in calls]
    require = "sharedmem" if writes else None
    parallel = Parallel(n_jobs=n_jobs, prefer="threads", require=require)
    function = delayed(wrap_non_picklable_objects(function))
    return parallel(function(*call) for call in calls)


def map_runs(function, bounds, n_jobs, *, writes=False):
    """``function(bounds of a run)`` for `n_jobs` runs of pieces, in order; `writes` is
    that of `map_jobs`.
    """
    n_runs = min(n_workers(n_jobs), len(bounds) - 1)
    if n_runs <= 1:
        return [function(bounds)]
    cuts = cut(bounds, -(-int(bounds[-1] - bounds[0]) // n_runs))
    runs = [(bounds[i : j + 1],) for i, j in pairwise(cuts)]
    return map_jobs(function, runs, n_jobs, writes=writes)
