"""Pairs of links of one level of a factor, for one effect of it (docs/math.md, 11.3).

They are in the order of the column of the first link, so that sums over them fill a
matrix row by row.  Sums over the pairs of each place of some rows, and sums over those
of each link, are products of one sparse matrix.
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

# Places of the matrix that are worked on at once: 1 megabyte, which stays in cache.
PLACES_AT_ONCE = 2**17
# Fewer columns than this are sorted by their digits.
SHORT = 2**16
# Rows and columns of a square that is transposed at once: two of them are in cache.
TILE = 64


@dataclass(frozen=True)
class PairBlock:
    """The pairs of consecutive rows of a (d, d) matrix.

    Attributes
    ----------
    rows : slice
        Of the matrix.
    links : slice
        The first links of the pairs, in the order of columns.
    bounds : ndarray of shape (n_links + 1,)
        The first pair of each of them, which is with itself, and the end.
    place : ndarray of shape (n_pairs,)
        Of each pair in these rows, flat; the column is not before the row.
    """

    rows: slice
    links: slice
    bounds: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class LinkPairs:
    """Each link with itself and with all after it of its level.

    Attributes
    ----------
    order : ndarray of shape (E,)
        The links in the order of columns.
    level, column : ndarray of shape (E,)
        Of the links in this order.
    parts : tuple of PairBlock
    shape : tuple of int
        (K, d).
    """

    order: np.ndarray
    level: np.ndarray
    column: np.ndarray
    parts: tuple
    shape: tuple

    def products(self, values):
        """The products of the values of each pair, from those of the links, (E,): for
        each part a csr_array whose rows are links and whose columns are places.
        """
        found = []
        for part in self.parts:
            first = self.order[part.links]
            counts = np.diff(part.bounds)
            product = np.repeat(values[first], counts)
            product *= values[_seconds(first, part.bounds)]
            shape = len(first), (part.rows.stop - part.rows.start) * self.shape[1]
            entries = product, part.place, part.bounds
            found.append(sparse.csr_array(entries, shape))
        return tuple(found)

    def add_scatter(self, A, products, weight):
        """A (d, d), to whose upper triangle the sum of the products, times the `weight`
        of levels (K,), of the pairs of each place is added in place.
        """
        for part, product in zip(self.parts, products, strict=True):
            sums = product.T @ weight[self.level[part.links]]
            A[part.rows] += sums.reshape(-1, self.shape[1])
        return A

    def forms(self, products, C, scale):
        """Sum of the products times C (d, d), its rows and columns times the `scale`
        (d,), over the pairs of each level, a pair of two links counted twice, (K,); of
        C the upper triangle is read.
        """
        d, found = self.shape[1], np.empty(len(self.order))
        of_links, of_own = scale[self.column], np.diag(C) * scale
        scaled = np.empty((max(p.rows.stop - p.rows.start for p in self.parts), d))
        for part, product in zip(self.parts, products, strict=True):
            rows, links = part.rows, part.links
            some = scaled[: rows.stop - rows.start]
            np.multiply(C[rows], scale, out=some)
            own = product.data[part.bounds[:-1]] * of_own[self.column[links]]
            found[links] = (2 * (product @ some.ravel()) - own) * of_links[links]
        return np.bincount(self.level, found, self.shape[0])


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
    of_rows = np.searchsorted(column[order], np.arange(d + 1))
    step, parts = max(PLACES_AT_ONCE // max(d, 1), 1), []
    for start in range(0, d, step):
        rows = slice(start, min(start + step, d))
        links = slice(int(of_rows[start]), int(of_rows[rows.stop]))
        first = order[links]
        bounds = np.concatenate([[0], np.cumsum(partners[first])])
        row = column[first].astype(np.int32) - np.int32(start)
        place = np.repeat(row * np.int32(d), np.diff(bounds))
        place += column[_seconds(first, bounds)]
        parts.append(PairBlock(rows, links, bounds.astype(np.int32), place))
    figures = (A[order].astype(np.int32) for A in (group, column))
    return LinkPairs(order, *figures, tuple(parts), shape)


def _seconds(first, bounds):
    """The second link of each pair, from the first links and the bounds of their
    pairs.
    """
    counts = np.diff(bounds)
    second = np.arange(bounds[-1], dtype=np.int32)
    second += np.repeat((first - bounds[:-1]).astype(np.int32), counts)
    return second


def mirror(A):
    """A (d, d), its upper triangle copied to the lower one in place."""
    d = len(A)
    for start in range(0, d, TILE):
        rows = slice(start, start + TILE)
        for other in range(start + TILE, d, TILE):
            columns = slice(other, other + TILE)
            A[columns, rows] = A[rows, columns].T
        square = A[rows, rows]
        square[...] = np.triu(square) + np.triu(square, 1).T
    return A
