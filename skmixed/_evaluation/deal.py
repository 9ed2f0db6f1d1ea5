"""Dealing rows, and labels, to the folds of a cross-validation."""

import numbers

import numpy as np

from .._input.parameters import check_flag


def check_splits(n_splits, shuffle, random_state):
    """`n_splits` as an int; an error where the parameters of a splitter are wrong."""
    if not isinstance(n_splits, numbers.Integral) or n_splits < 2:
        raise ValueError(f"n_splits is an integer of at least 2, got {n_splits!r}.")
    check_flag(shuffle, "shuffle")
    if random_state is not None and not shuffle:
        raise ValueError(
            f"random_state={random_state!r} has no effect with shuffle=False; "
            "leave it out, or set shuffle=True."
        )
    return int(n_splits)


def deal_labels(codes, n_splits, name, rng):
    """The fold of each row (n,), the same for all rows of a label.

    The labels with the most rows come first, each to the fold with the fewest rows;
    with a random generator equal ones come in random order.
    """
    n_labels = int(codes.max()) + 1
    if n_splits > n_labels:
        raise ValueError(
            f"n_splits={n_splits} folds need as many labels of {name!r}; there are "
            f"{n_labels}."
        )
    size = np.bincount(codes, minlength=n_labels)
    order = np.arange(n_labels) if rng is None else rng.permutation(n_labels)
    order = order[np.argsort(-size[order], kind="stable")]
    load, fold = np.zeros(n_splits), np.empty(n_labels, dtype=int)
    for label in order:
        fold[label] = np.argmin(load)
        load[fold[label]] += size[label]
    return fold[codes]


def deal_rows(columns, n_splits):
    """The fold of each row (n,), such that every label of every column is spread.

    Rows are dealt one after the other, each to the fold that has the fewest rows of its
    labels, and of those to the one with the fewest rows.

    Parameters
    ----------
    columns : list of ndarray of shape (n,)
        Codes of labels.
    """
    counts = [np.zeros((int(codes.max()) + 1, n_splits)) for codes in columns]
    load, fold = np.zeros(n_splits), np.empty(len(columns[0]), dtype=int)
    for i, labels in enumerate(zip(*columns, strict=True)):
        own = [count[label] for count, label in zip(counts, labels, strict=True)]
        # Fewer rows of a label weigh more than fewer rows of all.
        k = int(np.argmin(sum(own) + load / (1 + load.sum())))
        for count in own:
            count[k] += 1
        load[k] += 1
        fold[i] = k
    return fold
