"""Rows of several factors in batches: sums over the cells (docs/math.md, section 17).

A cell is a combination of labels, one of each label column.  Within a cell all levels
are the same, so that QR of its rows on the columns of all effects leaves all that a
likelihood needs of them.  Cells of several batches join exactly, and a few weighted
rows have the same sums: they are fitted in the place of the rows themselves.
"""

from dataclasses import dataclass

import numpy as np

from .._input.features import EPS
from .._input.label_table import LabelTable, combine
from .._input.labels import GroupIndex, join_labels
from .._input.table import Data
from .elimination import Elimination, Reader, about_mean, eliminate, join_pieces
from .qr import stacked_root
from .sparse_rows import SparseRows


@dataclass(frozen=True, eq=False)
class Cells:
    """Sums over the cells of rows; their size depends on cells and columns only.

    Attributes
    ----------
    names : tuple of str
        Names of the label columns; none without labels, when all rows are one cell.
    labels : tuple of ndarray
        Distinct labels of each column.
    of_terms : tuple of tuple of int
        Positions of the label columns of each term.
    codes : ndarray of shape (C, n_columns)
        Positions of the labels of each cell, in their order.
    features : ndarray of shape (p,)
        Positions of the features among the columns of the user's X.
    slopes : ndarray of shape (q - 1,)
        Positions among the features of the columns that have random slopes.
    is_sparse : bool
        Whether any of the rows came as a sparse matrix.
    sums : Elimination
        Of the constant and the slopes within every cell.
    n_rows : int
        Number of rows, whatever their weights; 0 in models that were stored without.
    precision : float
        Relative precision of the entries of X, the coarsest of any rows.
    """

    names: tuple
    labels: tuple
    of_terms: tuple
    codes: np.ndarray
    features: np.ndarray
    slopes: np.ndarray
    is_sparse: bool
    sums: Elimination
    n_rows: int = 0
    precision: float = EPS


def sum_cells(data, slopes, n_jobs=None):
    """The sums of validated rows.

    Parameters
    ----------
    data : Data
        With a `LabelTable` as its index, or None.
    slopes : ndarray of shape (q - 1,)
    n_jobs : int, default=None
        See `skmixed._input.blocks.map_runs`.

    Returns
    -------
    Cells
    """
    table = data.index or LabelTable((), ())
    labels = tuple(index.labels for index in table.columns)
    levels, cell = np.zeros((1, 0), int), np.zeros(data.n_rows, dtype=np.int32)
    if labels:
        codes = np.column_stack([index.codes for index in table.columns])
        levels, cell = combine(codes, list(map(len, labels)))
    how = cell, len(levels), np.append(0, 1 + slopes)
    if data.is_sparse:
        sums = SparseRows(data.X, data.y, data.weight, *how).eliminate()
    else:
        sums = eliminate(Reader(data.X, data.y), *how, data.weight, n_jobs)
    where = table.names, labels, table.of_terms, levels, data.features
    how = slopes, data.is_sparse, sums, data.n_observed, data.precision
    return Cells(*where, *how)


def join_cells(first, second, any_kind=False):
    """The sums of the rows of both.

    `any_kind` allows labels of different kinds, as within the rows of one fit.

    Raises
    ------
    ValueError
        If they have other label columns, other slopes, or labels of a kind that can
        never match.
    """
    _check_alike(first, second)
    labels, codes = [], [[], []]
    for j, (one, other) in enumerate(zip(first.labels, second.labels, strict=True)):
        both, places = join_labels(one, other, any_kind)
        labels.append(both)
        for part, cells, place in zip(codes, (first, second), places, strict=True):
            part.append(place[cells.codes[:, j]])
    levels = first.codes
    owner = np.zeros(len(first.codes) + len(second.codes), dtype=int)
    if labels:
        both = np.vstack([np.column_stack(part) for part in codes])
        levels, owner = combine(both, list(map(len, labels)))
    return Cells(
        names=first.names,
        labels=tuple(labels),
        of_terms=second.of_terms,
        codes=levels,
        features=first.features,
        slopes=first.slopes,
        is_sparse=first.is_sparse or second.is_sparse,
        sums=_join_sums(first.sums, second.sums, owner, len(levels)),
        n_rows=first.n_rows + second.n_rows,
        precision=max(first.precision, second.precision),
    )


def _check_alike(first, second):
    """Refuse rows that have no sums in common."""
    if first.names != second.names:
        some = [", ".join(cells.names) or "none" for cells in (first, second)]
        raise ValueError(
            f"The label columns of the earlier rows are {some[0]}, those of the new "
            f"ones {some[1]}; rows that join others need the same."
        )
    if not np.array_equal(first.slopes, second.slopes):
        raise ValueError(
            "random_effects has slopes of other columns than for the earlier rows, "
            "whose sums do not tell about these. Begin anew by `fit`."
        )


def _join_sums(first, second, owner, n_cells):
    """The sums of all cells, of which `owner` are those of the first and second."""
    move = second.shift - first.shift
    R = np.concatenate([first.R, second.R + second.R[:, :, :1] * move])
    order = np.argsort(owner, kind="stable")
    R, (left, _) = join_pieces(R[order], owner[order], n_cells, first.positions)
    # Rows below the cells have no constant, so that no move is seen in them.
    rest = stacked_root([first.rest, second.rest, left])
    how = first.positions, first.n + second.n
    return about_mean(first.shift, R, rest, *how)


def equivalent_rows(cells):
    """A few weighted rows with the same sums: math.md (150).

    Parameters
    ----------
    cells : Cells

    Returns
    -------
    Data
        At most q rows of each cell, and those of the largest cell with as many more as
        there are columns.
    """
    sums = cells.sums
    size = sums.R[:, 0, 0] ** 2
    mean = sums.R[:, 0, 1:] / sums.R[:, 0, :1] + sums.shift[1:]
    deviations = sums.R[:, 1:, 1:].reshape(-1, mean.shape[1])
    owner = np.repeat(np.arange(len(size)), sums.R.shape[1] - 1)
    deviations = np.vstack([deviations, sums.rest[:, 1:]])
    owner = np.append(owner, np.full(len(sums.rest), np.argmax(size)))
    told = deviations.any(axis=1)
    order = np.argsort(owner[told], kind="stable")
    deviations, owner = deviations[told][order], owner[told][order]
    rows, weight, cell = _points(size, mean, deviations, owner)
    index = None
    if cells.names:
        codes = cells.codes[cell].astype(np.int32).T
        columns = map(GroupIndex, cells.labels, codes)
        index = LabelTable(cells.names, tuple(columns), cells.of_terms)
    columns = rows[:, :-1], cells.features, index, rows[:, -1], weight
    return Data(
        *columns,
        from_sparse=cells.is_sparse,
        stands_for=cells.n_rows,
        precision=cells.precision,
    )


def _points(size, mean, deviations, owner):
    """Points of all cells with these means and deviations, their weights and cells.

    k deviations are spread over k + 1 points of equal weight, by contrasts that are
    orthonormal and sum to 0.
    """
    counts = np.bincount(owner, minlength=len(size))
    starts = np.cumsum(counts) - counts
    rows, weight, cell = [], [], []
    for k in np.unique(counts):
        some = np.flatnonzero(counts == k)
        own = deviations[starts[some][:, None] + np.arange(k)]
        spread = np.sqrt((k + 1) / size[some])[:, None, None] * (_contrasts(k) @ own)
        rows.append((mean[some][:, None] + spread).reshape(-1, mean.shape[1]))
        weight.append(np.repeat(size[some] / (k + 1), k + 1))
        cell.append(np.repeat(some, k + 1))
    return np.vstack(rows), np.concatenate(weight), np.concatenate(cell)


def _contrasts(k):
    """Helmert's contrasts (k + 1, k): orthonormal columns that sum to 0."""
    j = np.arange(1, k + 1)
    H = np.where(np.arange(k + 1)[:, None] < j, 1.0, 0.0)
    H[j, j - 1] = -j
    return H / np.sqrt(j * (j + 1.0))
