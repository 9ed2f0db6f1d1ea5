"""Pairs of links of one level of a factor, for one effect of it (docs/math.md, 11.3).

They are in the order of the column of the first link, so that sums over them fill a
matrix row by row.
"""

from dataclasses import dataclass

import numpy as np

# Pairs that are worked on at once: with the rows that they fill they stay in cache.
PAIRS_AT_ONCE = 2**16
# Fewer columns than this are sorted by their digits.
SHORT = 2**16


@dataclass(frozen=True)
class LinkPairs:
    """Each link with itself and with all after it of its level.

    Attributes
    ----------
    order : ndarray of shape (E,)
        The links in the order of columns.
    level : ndarray of shape (E,)
        Of the links in this order.
    counts : ndarray of shape (E,)
        Number of pairs of each of them.
    place : ndarray of shape (n_pairs,)
        Of each pair in a (d, d) matrix, flat; the column is not before the row.
    parts : tuple of (slice, slice, slice)
        Consecutive rows of the matrix, their links, and the pairs of these.
    d : int
    """

    order: np.ndarray
    level: np.ndarray
    counts: np.ndarray
    place: np.ndarray
    parts: tuple
    d: int

    def products(self, values):
        """values_i values_j of each pair, from those of the links, (E,)."""
        found = np.empty(len(self.place))
        for _, links, pairs, second in self._seconds():
            product = np.repeat(values[self.order[links]], self.counts[links])
            np.multiply(product, values[second], out=found[pairs])
        return found

    def scatter(self, products, weight):
        """Sum of the products, times the `weight` of levels (K,), of the pairs of each
        place, (d, d) and symmetric.
        """
        d = self.d
        found = np.zeros((d, d))
        for rows, links, pairs in self.parts:
            values = np.repeat(weight[self.level[links]], self.counts[links])
            values *= products[pairs]
            place = self.place[pairs] - rows.start * d
            sums = np.bincount(place, values, (rows.stop - rows.start) * d)
            found[rows] = sums.reshape(-1, d)
        return mirror(found)

    def forms(self, products, C, scale):
        """Sum of the products times C (d, d), its rows and columns times the `scale`
        (d,), over the pairs of each level, a pair of two links counted twice, (K,); of
        C the upper triangle is read.
        """
        d, n_levels = self.d, int(self.level.max(initial=-1)) + 1
        of_links, own = np.empty(len(self.level)), np.empty(len(self.level))
        for rows, links, pairs in self.parts:
            scaled = (C[rows] * scale[rows, None] * scale).ravel()
            values = scaled.take(self.place[pairs] - rows.start * d)
            values *= products[pairs]
            starts = np.cumsum(self.counts[links]) - self.counts[links]
            own[links] = values[starts]  # the first pair is with itself
            of_links[links] = np.add.reduceat(values, starts)
        return np.bincount(self.level, 2 * of_links - own, n_levels)

    def _seconds(self):
        """The parts, and the second link of each of their pairs."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        move = self.order - (ends - self.counts)
        for rows, links, pairs in self.parts:
            second = np.arange(pairs.start, pairs.stop)
            second += np.repeat(move[links], self.counts[links])
            yield rows, links, pairs, second


def link_pairs(group, column, partners, d):
    """The pairs of links.

    Parameters
    ----------
    group, column : ndarray of shape (E,)
        As those of `Links`.
    partners : ndarray of shape (E,)
        Number of links of the same level that are not before each link.
    d : int
    """
    key = column.astype(np.uint16) if d <= SHORT else column
    order = np.argsort(key, kind="stable")
    counts = partners[order]
    first = np.searchsorted(column[order], np.arange(d + 1))
    ends = np.concatenate([[0], np.cumsum(counts)])[first]
    place = np.empty(int(ends[-1]), dtype=np.int32 if d * d < 2**31 else np.int64)
    parts, start = [], 0
    while start < d:
        end = np.searchsorted(ends, ends[start] + PAIRS_AT_ONCE, side="right") - 1
        end = min(max(int(end), start + 1), d)
        if ends[end] > ends[start]:
            links = slice(int(first[start]), int(first[end]))
            pairs = slice(int(ends[start]), int(ends[end]))
            parts.append((slice(start, end), links, pairs))
        start = end
    figures = (A.astype(np.int32) for A in (order, group[order], counts))
    found = LinkPairs(*figures, place, tuple(parts), d)
    for _, links, pairs, second in found._seconds():
        row = np.repeat(column[order[links]] * d, counts[links])
        place[pairs] = row + column[second]
    return found


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
