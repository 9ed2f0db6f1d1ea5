"""Sufficient statistics of the rows of a fit, which may come in batches
(docs/math.md, section 3).
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._input.features import EPS
from .._input.labels import join_labels
from .moments import Moments, join_moments
from .parts import Parts
from .reduction import reduce_data


@dataclass(frozen=True)
class Statistics:
    """Sufficient statistics of rows; their size depends on groups and columns only.

    Attributes
    ----------
    labels : ndarray of shape (n_groups,) or None
        The groups of `moments`; None without groups, when all rows are one block.
    features : ndarray of shape (p,)
        Positions of the features among the columns of the user's X.
    n_rows : int
    is_sparse : bool
        Whether any of the rows came as a sparse matrix.
    moments : Moments
        Of [X y].
    precision : float
        Relative precision of the entries of X, the coarsest of any rows.
    """

    labels: np.ndarray | None
    features: np.ndarray
    n_rows: int
    is_sparse: bool
    moments: Moments
    precision: float = EPS


@dataclass(frozen=True)
class Sample:
    """Rows, in memory or on a cluster, and their statistics.

    Attributes
    ----------
    statistics : Statistics
    parts : Parts
        Of validated rows, `Data`.
    groups : tuple
        The positions of the groups of every part among the labels of the statistics.
    """

    statistics: Statistics
    parts: Parts
    groups: tuple


def sample_in_memory(data, n_jobs=None):
    """The sample of validated rows."""
    statistics = summarize(data, n_jobs)
    groups = np.arange(len(statistics.moments.size))
    return Sample(statistics, Parts([data], n_jobs), (groups,))


def summarize(data, n_jobs=None):
    """The statistics of validated rows."""
    return Statistics(
        labels=data.labels,
        features=data.features,
        n_rows=data.n_rows,
        is_sparse=sparse.issparse(data.X),
        moments=reduce_data(data, n_jobs),
        precision=data.precision,
    )


def join(first, second, any_kind=False):
    """The statistics of the rows of both.

    `any_kind` allows labels of different kinds, as within the rows of one fit.

    Raises
    ------
    ValueError
        If one of them has groups and the other has not, or labels of a kind that can
        never match.
    """
    labels, positions = None, [np.zeros(1, dtype=int)] * 2
    if (first.labels is None) != (second.labels is None):
        with_groups = "earlier" if second.labels is None else "new"
        raise ValueError(
            f"Only the {with_groups} rows have `groups`; rows that join others need "
            "labels if and only if those have them."
        )
    if first.labels is not None:
        labels, positions = join_labels(first.labels, second.labels, any_kind)
    return Statistics(
        labels=labels,
        features=first.features,
        n_rows=first.n_rows + second.n_rows,
        is_sparse=first.is_sparse or second.is_sparse,
        moments=join_moments(first.moments, second.moments, positions),
        precision=max(first.precision, second.precision),
    )
