"""Rows in partitions that workers hold: Dask arrays and dataframes.

A fit asks every partition for sums, one figure per group and column.  Nothing else
travels, and the sums are added up as a tree.  Dask is imported by functions only, which
run when a collection of Dask is passed.
"""

from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import is_dataclass
from functools import partial
from itertools import pairwise
from operator import add, itemgetter

import numpy as np
from scipy import sparse

from .._input.labels import GroupIndex
from .._input.parameters import population_is_meant
from .._input.table import Data, read_fit_data
from .parts import Each, Parts, own_arguments
from .statistics import Sample, join, summarize

# Numbers (of X and y) up to which the rows of a search are fetched.  It asks for sums a
# hundred times, and a round trip takes longer than that much work.
FITS_IN_MEMORY = 4_000_000


class LazyParts:
    """Parts that workers hold; see `Parts`."""

    n_workers = 1  # the partitions are the parts: none is divided further

    def __init__(self, values):
        self.values = tuple(values)

    def map(self, function, *arguments):
        """Parts ``function(part, *arguments)``, computed and kept by the workers."""
        from dask import persist

        return LazyParts(persist(*self._call(function, arguments)))

    def reduce(self, function, *arguments, join=add):
        """The sum of ``function(part, *arguments)``; `join` adds two of its terms."""
        return _compute_tree(self._call(function, arguments), join)

    def in_memory(self):
        """The values that the workers hold, in this process."""
        from dask import compute

        return compute(*self.values)

    def as_argument(self):
        """These parts as an argument for others."""
        return Each(self.values)

    def _call(self, function, arguments):
        """The graph holds the arguments, so that the cluster computes results again
        that are lost with a worker.
        """
        from dask import delayed

        arguments = [_in_graph(argument) for argument in arguments]
        return [
            delayed(function)(part, *own_arguments(arguments, number))
            for number, part in enumerate(self.values)
        ]


def is_partitioned(X):
    """Whether X is a Dask collection."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def table_like(X):
    """A table without rows that has the columns of a collection."""
    return X if hasattr(X, "columns") else np.empty((0, X.shape[1]))


def summarize_partitions(estimator, X, y, groups, sample_weight, reset):
    """The statistics of rows in partitions.

    Sets `n_features_in_`, and `feature_names_in_` where columns have names, as
    scikit-learn's validation does.
    """
    blocks = _blocks(X, y, groups, sample_weight)
    read = partial(read_fit_data, reset=reset)
    return _summary(estimator, _read_parts(estimator, blocks, read))


def reduce_partitions(estimator, X, y, groups, sample_weight, summarize, join):
    """The joined sums of rows in partitions.

    Parameters
    ----------
    estimator, X, y, groups, sample_weight
        Sets the attributes of `estimator` that `summarize_partitions` sets.
    summarize : callable
        ``summarize(reader, X, y, groups, weight)`` gives the sums of a partition, and
        sets these attributes of `reader`, a copy of the estimator.
    join : callable
        ``join(first, second, any_kind=True)`` gives the sums of both.
    """
    blocks = _blocks(X, y, groups, sample_weight)
    return _joined(estimator, _read_parts(estimator, blocks, summarize), join)


def keep_partitions(estimator, X, y, groups, sample_weight, read):
    """Validated rows in partitions, which the workers keep; none are empty.

    ``read(reader, X, y, groups, weight)`` gives the rows of a partition, and the other
    parameters are those of `reduce_partitions`, which has set the attributes.
    """
    from dask import compute, delayed, persist

    blocks = _blocks(X, y, groups, sample_weight)
    parts = persist(*_read_parts(estimator, blocks, read))
    present = compute(*(delayed(_has_rows)(part) for part in parts))
    some = [part for part, has_rows in zip(parts, present, strict=True) if has_rows]
    return LazyParts(persist(*(delayed(itemgetter(0))(part) for part in some)))


def _n_rows(part):
    return part.shape[0]


def _has_rows(read):
    return read[0] is not None


def fetch_few(X, *columns):
    """X and columns of its rows in memory, None if that is many numbers."""
    from dask import compute, delayed

    parts = [delayed(_n_rows)(part) for part in _partitions(X)]
    n_rows = sum(_lengths(X) or compute(*parts))
    return compute(X, *columns) if n_rows * (X.shape[1] + 1) <= FITS_IN_MEMORY else None


def read_partitions(estimator, X, y, groups, sample_weight, need_labels):
    """The `Sample` of rows in partitions, which the workers keep.

    Sets the attributes that `summarize_partitions` sets.
    """
    from dask import compute, delayed, persist

    blocks = _blocks(X, y, groups, sample_weight)
    validated = partial(read_fit_data, need_labels=need_labels)
    read = persist(*_read_parts(estimator, blocks, validated))
    statistics = _summary(estimator, read)
    labels = _in_graph(statistics.labels)
    groups = compute(*(delayed(_groups_of_part)(part, labels) for part in read))
    parts = [
        delayed(itemgetter(0))(part)
        for part, present in zip(read, groups, strict=True)
        if present is not None
    ]
    groups = tuple(present for present in groups if present is not None)
    sample = Sample(statistics, LazyParts(persist(*parts)), groups)
    small = statistics.n_rows * (len(statistics.features) + 1) <= FITS_IN_MEMORY
    return _gathered(sample) if small else sample


def _gathered(sample):
    """The same rows in one part in memory."""
    statistics, labels = sample.statistics, sample.statistics.labels
    parts = sample.parts.in_memory()
    stack = sparse.vstack if statistics.is_sparse else np.vstack
    index, weight = None, None
    if labels is not None:
        codes = zip(sample.groups, parts, strict=True)
        codes = np.concatenate([known[part.index.codes] for known, part in codes])
        index = GroupIndex(labels, codes.astype(np.int32))
    if any(part.weight is not None for part in parts):
        weight = np.concatenate([part.weights for part in parts])
    X = stack([part.X for part in parts])
    y = np.concatenate([part.y for part in parts])
    X = sparse.csr_array(X) if statistics.is_sparse else X
    data = Data(X, statistics.features, index, y, weight)
    return Sample(statistics, Parts([data]), (np.arange(len(statistics.moments.size)),))


def _read_parts(estimator, blocks, read):
    """``read(reader, X, y, groups, weight)`` of every partition, with its columns."""
    from dask import delayed

    shared = delayed(estimator)
    return [
        delayed(_read_part)(shared, read, block, number, len(blocks))
        for number, block in enumerate(blocks)
    ]


def _summary(estimator, read):
    from dask import delayed

    return _joined(estimator, [delayed(_summarize_part)(part) for part in read], join)


def _joined(estimator, parts, join):
    """The sums of all parts; the estimator takes the attributes of the columns."""
    statistics, columns = _compute_tree(parts, partial(_join_parts, join))
    if statistics is None:
        raise ValueError(f"The {len(parts)} partitions of X have no rows of weight.")
    vars(estimator).update(columns)
    return statistics


def _compute_tree(parts, join):
    from dask import compute, config, delayed

    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [delayed(join)(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    # The package puts its defaults into Dask's configuration when it is first imported:
    # within `config.set` they would vanish with the key that is set here.
    with suppress(ImportError):
        import distributed  # noqa: F401
    # Figures of many groups make a large graph, which is no reason for a warning.
    with config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"}):
        return compute(parts[0])[0]


def _in_graph(argument):
    """Wrap figures of groups as one node of the graph, which all parts share; return
    other arguments as they are.
    """
    from dask import delayed

    large = hasattr(argument, "part") or isinstance(argument, np.ndarray)
    if large or (is_dataclass(argument) and not isinstance(argument, Each)):
        return delayed(argument, traverse=False)
    return argument


def predict_partitions(model, method, X, groups, flags):
    """Lazy predictions, a Dask array for each that the method returns."""
    from dask import array, delayed

    many = bool(flags.get("return_std"))
    blocks = _blocks(X, None, groups, None)
    lengths = _lengths(X) or [np.nan] * len(blocks)
    shared = delayed(model)
    predicted = [
        delayed(_predict_part, nout=1 + many)(shared, method, block[0], block[2], flags)
        for block in blocks
    ]
    outputs = [
        array.concatenate(
            [
                array.from_delayed(part[k] if many else part, (length,), float)
                for part, length in zip(predicted, lengths, strict=True)
            ]
        )
        for k in range(1 + many)
    ]
    return tuple(outputs) if many else outputs[0]


def _read_part(estimator, read, block, number, n_parts):
    """One partition, as it was read, or None if it has no rows; and its columns."""
    reader = copy(estimator)
    if _is_empty(block):
        return None, {}
    with _about(number, n_parts):
        found = read(reader, *block)
    return found, _columns_of(reader)


def _is_empty(block):
    """Whether a partition has no rows of weight."""
    X, _, _, weight = block
    none = weight is not None and len(weight) and not np.any(weight)
    return not _n_rows(X) or none


@contextmanager
def _about(number, n_parts):
    """Name the partition in errors."""
    try:
        yield
    except (TypeError, ValueError) as error:
        error.add_note(f"This happened in partition {number} of {n_parts}.")
        raise


def _columns_of(reader):
    """The attributes of the columns that an estimator has read."""
    names = ("n_features_in_", "feature_names_in_")
    return {name: vars(reader)[name] for name in names if name in vars(reader)}


def _summarize_part(read):
    data, columns = read
    return None if data is None else summarize(data), columns


def _groups_of_part(read, labels):
    """Positions of a partition's groups; None if it has no rows."""
    data, _ = read
    if data is None:
        return None
    return (
        np.zeros(1, int)
        if labels is None
        else data.index.positions_in(labels, any_kind=True)
    )


def _join_parts(join, *parts):
    read = [part for part in parts if part[0] is not None]
    if len(read) < 2:
        return read[0] if read else parts[0]
    (first, columns), (second, others) = read
    if columns["n_features_in_"] != others["n_features_in_"]:
        raise ValueError(
            f"Partitions of X have {columns['n_features_in_']} and "
            f"{others['n_features_in_']} columns; they need the same."
        )
    return join(first, second, any_kind=True), columns


def _predict_part(model, method, X, groups, flags):
    if not _n_rows(X):
        return (np.empty(0),) * 2 if flags.get("return_std") else np.empty(0)
    with population_is_meant():
        return getattr(model, method)(X, groups=groups, **flags)


def _blocks(X, *columns):
    """Tuples of the delayed partitions of X and of columns, None for absent columns."""
    parts = _partitions(X)
    others = [
        [None] * len(parts) if column is None else _partitions(_like(column, X))
        for column in columns
    ]
    for other in others:
        if len(other) != len(parts):
            raise ValueError(
                f"X has {len(parts)} partitions and another argument {len(other)}; "
                "y, groups and sample_weight need the partitions of X."
            )
    return list(zip(parts, *others, strict=True))


def _partitions(collection):
    if isinstance(collection, list):
        return collection
    if getattr(collection, "ndim", 1) == 2 and hasattr(collection, "rechunk"):
        collection = collection.rechunk({1: -1})  # whole rows
    return np.ravel(np.array(collection.to_delayed(), dtype=object)).tolist()


def _like(column, X):
    """A column in the partitions of X."""
    lengths = _lengths(X)
    if is_partitioned(column):
        if lengths and hasattr(column, "rechunk") and column.chunks[0] != X.chunks[0]:
            column = column.rechunk({0: X.chunks[0]})
        return column
    if not lengths:
        raise TypeError(
            "X is a Dask collection whose partitions have unknown lengths; y, groups "
            "and sample_weight need to be Dask collections with the same partitions."
        )
    from dask import array

    is_frame = hasattr(column, "columns")
    column = column if is_frame else np.asarray(column)
    if len(column) != sum(lengths):
        raise ValueError(
            f"X has {sum(lengths)} rows and another argument {len(column)}; all need "
            "one entry per row."
        )
    if is_frame:  # which an array would take the names from
        rows, ends = getattr(column, "iloc", column), np.cumsum([0, *lengths])
        return [rows[a:b] for a, b in pairwise(ends)]
    return array.from_array(column, chunks=(X.chunks[0], *column.shape[1:]))


def _lengths(X):
    """Lengths of the partitions; None if they are not known."""
    lengths = getattr(X, "chunks", [[np.nan]])[0]
    return None if np.isnan(lengths).any() else list(lengths)
