"""Rows in partitions that workers hold: Dask arrays and dataframes.

Every worker reduces its partitions to `Statistics`; those, one figure per group and
column, are all that travels, and they are joined as a tree.  Dask is not imported
here: a collection brings what is needed with it.
"""

from copy import copy

import numpy as np

from ._input import read_fit_data
from ._statistics import join, summarize


def is_partitioned(X):
    """Whether X is a Dask collection."""
    return hasattr(X, "__dask_graph__") and hasattr(X, "to_delayed")


def summarize_partitions(estimator, X, y, groups, sample_weight, reset):
    """The statistics of rows in partitions.

    Sets `n_features_in_`, and `feature_names_in_` where columns have names, as
    scikit-learn's validation does.
    """
    from dask import compute, delayed

    blocks = _blocks(X, y, groups, sample_weight)
    reduce_part = delayed(_reduce_part)
    parts = [
        reduce_part(delayed(estimator), *block, number, len(blocks), reset)
        for number, block in enumerate(blocks)
    ]
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [delayed(_join_parts)(*pair) for pair in pairs]
    ((statistics, columns),) = compute(parts[0])
    if statistics is None:
        raise ValueError(f"The {len(blocks)} partitions of X have no rows of weight.")
    vars(estimator).update(columns)
    return statistics


def predict_partitions(model, X, groups, flags):
    """Lazy predictions, a Dask array for each that `predict` returns."""
    from dask import array, delayed

    many = bool(flags.get("return_std"))
    blocks = _blocks(X, None, groups, None)
    lengths = _lengths(X) or [np.nan] * len(blocks)
    shared = delayed(model)
    predicted = [
        delayed(_predict_part, nout=1 + many)(shared, block[0], block[2], flags)
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


def _reduce_part(estimator, X, y, groups, weight, number, n_parts, reset):
    """Statistics of one partition, or None if it has no rows, and its columns."""
    reader = copy(estimator)
    if not len(X) or (weight is not None and len(weight) and not np.any(weight)):
        return None, {}
    try:
        data = read_fit_data(reader, X, y, groups, weight, reset=reset)
    except (TypeError, ValueError) as error:
        error.add_note(f"This happened in partition {number} of {n_parts}.")
        raise
    names = ("n_features_in_", "feature_names_in_")
    columns = {name: vars(reader)[name] for name in names if name in vars(reader)}
    return summarize(data), columns


def _join_parts(*parts):
    read = [part for part in parts if part[0] is not None]
    if len(read) < 2:
        return read[0] if read else parts[0]
    (first, columns), (second, others) = read
    if columns["n_features_in_"] != others["n_features_in_"]:
        raise ValueError(
            f"Partitions of X have {columns['n_features_in_']} and "
            f"{others['n_features_in_']} columns; they need the same."
        )
    return join(first, second), columns


def _predict_part(model, X, groups, flags):
    if not len(X):
        return (np.empty(0),) * 2 if flags.get("return_std") else np.empty(0)
    return model.predict(X, groups=groups, **flags)


def _blocks(X, *columns):
    """Tuples of the delayed partitions of X and of columns, None for one that is not
    there.
    """
    if hasattr(X, "rechunk"):
        X = X.rechunk({1: -1})
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

    column = np.asarray(column)
    if len(column) != sum(lengths):
        raise ValueError(
            f"X has {sum(lengths)} rows and another argument {len(column)}; all need "
            "one entry per row."
        )
    return array.from_array(column, chunks=(X.chunks[0], *column.shape[1:]))


def _lengths(X):
    """Lengths of the partitions; None where they are not known."""
    lengths = getattr(X, "chunks", [[np.nan]])[0]
    return None if np.isnan(lengths).any() else list(lengths)
