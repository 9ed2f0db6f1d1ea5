"""Pairs of links of one level of a factor, for one effect of it (docs/math.md, 11.3).

They are in the order of the places of a matrix, so that sums over the pairs of each
place, and sums over those of each level, are products of one sparse matrix.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from .._blocks import short_blocks

# Pairs that are put in order at once: with the rows that they fill they stay in cache.
PAIRS_AT_ONCE = 2**16
# Places of the matrix that they may have, for the same reason.
PLACES_AT_ONCE = 2**20
# Fewer columns than this are sorted by their digits.
SHORT = 2**16


@dataclass(frozen=True)
class LinkPairs:
    """Each link with itself and with all after it of its level.

    Attributes
    ----------
    order : ndarray of shape (E,)
        The links in the order of columns.
    counts : ndarray of shape (E,)
        Number of pairs of each of them.
    parts : tuple of (slice, slice)
        Links of consecutive rows of the matrix, and the pairs of these.
    turn : ndarray of shape (n_pairs,)
        Positions within the part of the pairs of links in this order, so that they are
        in the order of places.
    level : ndarray of shape (n_pairs,)
        Of each pair in the order of places.
    place : ndarray of shape (n_places,)
        Places in a (d, d) matrix, flat, that have pairs; the column is not before the
        row.
    starts : ndarray of shape (n_places + 1,)
        The first pair of each place, and the end.
    own : ndarray of shape (n_columns,)
        Those of the places that are on the diagonal.
    shape : tuple of int
        (K, d).
    """

    order: np.ndarray
    counts: np.ndarray
    parts: tuple
    turn: np.ndarray
    level: np.ndarray
    place: np.ndarray
    starts: np.ndarray
    own: np.ndarray
    shape: tuple

    def products(self, values):
        """The products of the values of each pair, from those of the links, (E,): a
        csr_array of shape (n_places, K).
        """
        found = np.empty(len(self.turn))
        for links, pairs, second in _seconds(self.order, self.counts, self.parts):
            product = np.repeat(values[self.order[links]], self.counts[links])
            product *= values[second]
            np.take(product, self.turn[pairs], out=found[pairs])
        shape = len(self.place), self.shape[0]
        return sparse.csr_array((found, self.level, self.starts), shape)

    def add_scatter(self, A, products, weight):
        """A (d, d), in C order, to whose upper triangle the sum of the products, times
        the `weight` of levels (K,), of the pairs of each place is added in place.
        """
        flat, sums = A.reshape(-1), products @ weight
        for _, some in self._blocks():
            flat[self.place[some]] += sums[some]
        return A

    def forms(self, products, C, scale):
        """Sum of the products times C (d, d), its rows and columns times the `scale`
        (d,), over the pairs of each level, a pair of two links counted twice, (K,); of
        C the upper triangle is read.
        """
        d, figures = self.shape[1], np.empty(len(self.place))
        for rows, some in self._blocks():
            scaled = (C[rows] * scale[rows, None] * scale).ravel()
            scaled.take(self.place[some] - rows.start * d, out=figures[some])
        figures[self.own] /= 2
        return 2 * (products.T @ figures)

    def _blocks(self):
        """Slices of rows of the matrix that fit into the cache, and of their places."""
        for rows in short_blocks(self.shape[1], self.shape[1]):
            ends = np.array([rows.start, rows.stop]) * self.shape[1]
            yield rows, slice(*np.searchsorted(self.place, ends))


def link_pairs(group, column, partners, shape):
    """The pairs of links.

    Parameters
    ----------
    group, column : ndarray of shape (E,)
        As those of `Links`.
    partners : ndarray of shape (E,)
        Number of links of the same level that are not before each link.
    shape : tuple of int
        (K, d).
    """
    d = shape[1]
    column = column.astype(np.uint16 if d <= SHORT else np.int32)
    order = np.argsort(column, kind="stable").astype(np.int32)
    counts = partners[order].astype(np.int32)
    first = np.searchsorted(column[order], np.arange(d + 1))
    ends = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])[first]
    rows, parts = _parts(first, ends)
    longest = max((pairs.stop - pairs.start for _, pairs in parts), default=0)
    turn = np.empty(int(ends[-1]), np.uint16 if longest <= SHORT else np.int32)
    level, place, starts = np.empty(len(turn), np.int32), [], []
    seconds = _seconds(order, counts, parts)
    for some, (links, pairs, second) in zip(rows, seconds, strict=True):
        by_place = _by_place(column, order[links], counts[links], second, some, d)
        turn[pairs] = by_place.data
        np.take(group[order[links]], by_place.indices, out=level[pairs], mode="clip")
        has_pairs = np.flatnonzero(np.diff(by_place.indptr))
        place.append(some.start * d + has_pairs)
        starts.append(pairs.start + by_place.indptr[has_pairs])
    place, starts = (np.concatenate([np.empty(0, int), *A]) for A in (place, starts))
    starts = np.append(starts, len(turn)).astype(_index_type(len(turn)))
    own = np.flatnonzero(place % (d + 1) == 0)
    place = place.astype(_index_type(d * d))
    return LinkPairs(order, counts, parts, turn, level, place, starts, own, shape)


def _index_type(most):
    """The type of integers up to `most`."""
    return np.int32 if most < 2**31 else np.int64


def _by_place(column, order, counts, second, rows, d):
    """The positions of the pairs of some links in a csc_array, whose rows are these
    links and whose columns are the places of the `rows` of the matrix.
    """
    start = (column[order].astype(np.int32) - rows.start) * np.int32(d)
    place = np.repeat(start, counts) + column.take(second)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    positions = np.arange(len(place), dtype=np.int32)
    shape = len(order), (rows.stop - rows.start) * d
    return sparse.csr_array((positions, place, bounds), shape).tocsc()


def _parts(first, ends):
    """Slices of consecutive rows of a (d, d) matrix that have pairs, and of their links
    and pairs, of which the first of each row are given.
    """
    d, rows, parts, start = len(first) - 1, [], [], 0
    most = max(PLACES_AT_ONCE // max(d, 1), 1)
    while start < d:
        end = np.searchsorted(ends, ends[start] + PAIRS_AT_ONCE, side="right") - 1
        end = min(max(int(end), start + 1), start + most, d)
        if ends[end] > ends[start]:
            rows.append(slice(start, end))
            links = slice(int(first[start]), int(first[end]))
            parts.append((links, slice(int(ends[start]), int(ends[end]))))
        start = end
    return rows, tuple(parts)


def _seconds(order, counts, parts):
    """The parts, and the second link of each of their pairs."""
    ends = np.cumsum(counts, dtype=np.int64)
    first = ends - counts
    for links, pairs in parts:
        move = (order[links] - (first[links] - pairs.start)).astype(np.int32)
        second = np.arange(pairs.stop - pairs.start, dtype=np.int32)
        second += np.repeat(move, counts[links])
        yield links, pairs, second


def mirror(A):
    """A (d, d), its upper triangle copied to the lower one in place."""
    d, step = len(A), 256
    for start in range(0, d, step):
        rows = slice(start, min(start + step, d))
        A[rows.stop :, rows] = A[rows, rows.stop :].T
        square = A[rows, rows]
        low = np.tril_indices(len(square), -1)
        square[low] = square.T[low]
    return A
