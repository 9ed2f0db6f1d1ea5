"""Crossed factors, of which some are nested around the first (docs/math.md, 11.7).

A level of the first factor belongs to one level of each factor around it.  So the
matrices of all other effects are block diagonal in those of the factors around, which
are linked to the effects that cross them, and dense in these alone.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from .._input.blocks import slices_of
from .crossed import (
    PAIRS_AT_ONCE,
    RIDGE,
    SPANNED,
    CrossedGram,
    Links,
    left_of_effects,
)
from .memory import check_memory
from .qr import EPS
from .sparse_matrix import sparse_matrix
from .threads import products_of

# Links whose values change at every step are worked on as dense rows where products of
# these cost less: one takes this fraction of the time of a pair of such links.
DENSE = 1 / 400
# Bytes of an entry of a sparse matrix, and of a pair of links with its product.
BYTES_OF_ENTRY, BYTES_OF_PAIR = 12, 16


class ChangingLinks(Links):
    """Links of a factor around the first, whose values are others at every step."""

    @cached_property
    def is_dense(self):
        """Whether dense rows cost less than pairs of links."""
        n_levels, d = self.shape
        return n_levels * d**2 * DENSE < self.partners.sum()


@dataclass(frozen=True)
class Around:
    """The rows of a symmetric matrix that one factor around the first has.

    Attributes
    ----------
    own : ndarray of shape (K, q, q)
        The block of every level with itself; with other levels it has none.
    up : ndarray of shape (K, q, w)
        That with the effects of the factors further out which it belongs to.
    links : ChangingLinks
        Those with the effects of the factors that cross.
    parent : ndarray of shape (K_inside,)
        The level of this factor of every level of the next one inside.
    place : ndarray of shape (E_inside,)
        The link of this factor that each link of the next one inside is a part of.
    """

    own: np.ndarray
    up: np.ndarray
    links: ChangingLinks
    parent: np.ndarray
    place: np.ndarray


@dataclass(frozen=True)
class AroundGram(CrossedGram):
    """A `CrossedGram` of which W22 and `links` are about the effects of the factors
    that cross; other arrays have the effects of the factors around before these.

    Attributes beside those of `CrossedGram`
    -----------------------------------------
    around : ndarray of shape (K, q, w)
        R12 of the effects of the factors around, from the inside out.
    outer : tuple of Around
        The rows of Z_2'Z_2 after the elimination, of every factor around.
    """

    around: np.ndarray
    outer: tuple[Around, ...] = ()

    def W22_times(self, x):
        """W22 x of some columns, (D, m), of all effects but those of the first."""
        return Coupled(self.outer, self.W22) @ x

    @property
    def W22_diagonal(self):
        """The diagonal of such a W22, (D,)."""
        return Coupled(self.outer, self.W22).diagonal()


@dataclass(frozen=True)
class Coupled:
    """A symmetric matrix of the effects of factors around each other, from the inside
    out, and of d effects that cross them.

    Vectors (D, k) have the effects of a factor level by level, one factor after the
    other, and the d others last.

    Attributes
    ----------
    outer : tuple of Around
    dense : ndarray of shape (d, d)
    """

    outer: tuple
    dense: np.ndarray

    def __matmul__(self, x):
        parts, rest = split_vector(self.outer, x)
        found = [np.zeros(part.shape) for part in parts]
        of_rest = (rest.T @ self.dense).T  # twice as fast in this order
        for at, stage in enumerate(self.outer):
            part, further = parts[at], self.outer[at + 1 :]
            values = stage.links.values
            found[at] += stage.own @ part + stage.links.forth(values, rest)
            if further:
                found[at] += stage.up @ gathered(further, parts[at + 1 :])
                told = summed(further, np.swapaxes(stage.up, 1, 2) @ part)
                for total, more in zip(found[at + 1 :], told, strict=True):
                    total += more
            of_rest += stage.links.back(values, part)
        return joined(found, of_rest)

    def diagonal(self):
        """The diagonal, (D,)."""
        own = [np.einsum("gii->gi", stage.own).ravel() for stage in self.outer]
        return np.concatenate([*own, np.diag(self.dense)])

    def scaled(self, unit):
        """The matrix with its rows and columns divided by `unit` (D,), a new one."""
        parts, rest = split_vector(self.outer, unit[:, None])
        dense, outer = self.dense / rest[:, 0], []
        dense /= rest
        for at, stage in enumerate(self.outer):
            u, further = parts[at], self.outer[at + 1 :]
            group, column = stage.links.group, stage.links.column
            values = stage.links.values / u[group, :, 0] / rest[column]
            up = stage.up / u
            if further:
                up = up / np.swapaxes(gathered(further, parts[at + 1 :]), 1, 2)
            own, links = stage.own / u, stage.links.with_values(values)
            own = own / np.swapaxes(u, 1, 2)
            outer.append(replace(stage, own=own, up=up, links=links))
        return Coupled(tuple(outer), dense)

    def raised(self, figures):
        """The matrix with figures (D,) added to its diagonal, which is overwritten."""
        parts, rest = split_vector(self.outer, figures[:, None])
        for stage, part in zip(self.outer, parts, strict=True):
            np.einsum("gii->gi", stage.own)[...] += part[:, :, 0]
        self.dense[np.diag_indices_from(self.dense)] += rest[:, 0]
        return self


@dataclass(frozen=True)
class Step:
    """The elimination of one factor around.

    Attributes
    ----------
    before : Around
        Its rows without the effects of the factors inside.
    C : ndarray of shape (K, q, q)
    half : ndarray of shape (K, q, q)
    up : ndarray of shape (K, q, w)
        half times that of `before`.
    values : ndarray of shape (E, q)
        half times those of its links.
    """

    before: Around
    C: np.ndarray
    half: np.ndarray
    up: np.ndarray
    values: np.ndarray


def eliminate_around(matrix, links, turn):
    """Eliminate the factors around from a matrix, one after the other, without fill:
    math.md (200).

    Parameters
    ----------
    matrix : Coupled
        Its dense part is overwritten.
    links : sequence of Links
        Of every factor around, which keep what they find about their pairs.
    turn : callable
        ``turn(at, own)`` gives C (K, q, q) of a factor and `half` (K, q, q): half'half
        is the inverse of its block.

    Returns
    -------
    steps : list of Step
    dense : ndarray of shape (d, d)
        The dense part, less all of them.
    """
    steps, outer, dense = [], matrix.outer, matrix.dense
    for at, of_pattern in enumerate(links):
        first, *further = outer
        C, half = turn(at, first.own)
        up, values = half @ first.up, by_level(half, first.links)
        steps.append(Step(first, C, half, up, values))
        dense -= of_pattern.scatter(values)
        outer = with_rows(further, up, of_pattern.with_values(values), -1.0)
    return steps, dense


def with_rows(outer, around, links, sign=1.0):
    """Rows of factors around with those of a factor inside added to them, or taken
    from them: `around` (K, q, w) and the values of `links` are rows of its levels.
    """
    found, place = [], None
    for stage, level, some in from_inside(outer):
        place = stage.place if place is None else stage.place[place]
        mine, n_levels = around[:, :, some], len(stage.own)
        turned, own = np.swapaxes(mine, 1, 2), by_level(mine, links, transposed=True)
        blocks, up = sums_by(level, turned @ mine, n_levels), stage.up
        if up.shape[2]:
            further = around[:, :, some.stop :]
            up = up + sign * sums_by(level, turned @ further, n_levels)
        values = stage.links.values
        values = values + sign * sums_by(place, own, len(values))
        more = stage.links.with_values(values)
        found.append(replace(stage, own=stage.own + sign * blocks, up=up, links=more))
    return tuple(found)


def forward(steps, x):
    """A vector (D, k) after the elimination: the parts (K, q, k) of the factors around,
    in units in which they are independent, and what is left of the rest (d, k).
    """
    outer = [step.before for step in steps]
    parts, rest = split_vector(outer, x)
    rest, found = rest.copy(), []
    for at, step in enumerate(steps):
        part, further = step.half @ parts[at], outer[at + 1 :]
        found.append(part)
        told = summed(further, np.swapaxes(step.up, 1, 2) @ part) if further else []
        parts[at + 1 :] = [a - b for a, b in zip(parts[at + 1 :], told, strict=True)]
        rest -= step.before.links.back(step.values, part)
    return found, rest


def backward(steps, parts, rest):
    """The solution (K, q, k) of every factor around, which is half' times the second
    result, from the parts of `forward` and the solution (d, k) of the rest: math.md
    (201).
    """
    outer, found, whites = [step.before for step in steps], [], []
    for at in reversed(range(len(steps))):
        step, further = steps[at], outer[at + 1 :]
        white = parts[at] - step.before.links.forth(step.values, rest)
        if further:
            white -= step.up @ gathered(further, found)
        whites.insert(0, white)
        found.insert(0, np.swapaxes(step.half, 1, 2) @ white)
    return found, whites


# Vectors of all these effects, and products with links.


def from_inside(outer):
    """Each factor around, its level (K,) of every level of the factor inside `outer`,
    and a slice, its effects among the w ones that such a level belongs to.
    """
    level, places = None, slices_of(stage.own.shape[1] for stage in outer)
    for stage, some in zip(outer, places, strict=True):
        level = stage.parent if level is None else stage.parent[level]
        yield stage, level, some


def split_vector(outer, x):
    """The parts (K, q, k) of the factors around, and the rest (d, k)."""
    sizes = [stage.own.shape[:2] for stage in outer]
    places = slices_of(K * q for K, q in sizes)
    pairs = zip(places, sizes, strict=True)
    parts = [x[here].reshape(K, q, -1) for here, (K, q) in pairs]
    return parts, x[sum(K * q for K, q in sizes) :]


def joined(parts, rest):
    """The vector (D, k) of such parts."""
    k = rest.shape[1]
    return np.concatenate([*(part.reshape(-1, k) for part in parts), rest])


def gathered(outer, parts):
    """The effects (K, w, k) that each level of the factor inside `outer` belongs to."""
    pairs = zip(from_inside(outer), parts, strict=True)
    return np.concatenate([part[level] for (_, level, _), part in pairs], axis=1)


def summed(outer, figures):
    """Figures (K, w, k) of the levels of the factor inside `outer`, added up for the
    levels of each factor that they belong to.
    """
    return [
        sums_by(level, figures[:, some], len(stage.own))
        for stage, level, some in from_inside(outer)
    ]


def sums_by(level, figures, n_levels):
    """Sums of figures (K, ...) by the level of each."""
    flat = figures.reshape(len(figures), -1)
    found = np.empty((n_levels, flat.shape[1]))
    for j, column in enumerate(flat.T):
        found[:, j] = np.bincount(level, column, n_levels)
    return found.reshape(n_levels, *figures.shape[1:])


def by_level(A, links, transposed=False):
    """A_g (K, r, q) of the level of each link times its values, (E, r); or A_g'."""
    values, group = links.values, links.group
    if transposed:
        A = np.swapaxes(A, 1, 2)
    if A.shape[1] == A.shape[2] == 1:
        return A[:, 0, 0].take(group)[:, None] * values
    return np.einsum("era,ea->er", A[group], values)


def products_at(links, values, C):
    """Values C (E, q) at the places of the links, for a symmetric C (d, d)."""
    found, (K, d) = np.empty(values.shape), links.shape
    if links.is_dense:
        for A, levels in links.dense_blocks(values):
            some = slice(links.bounds[levels.start], links.bounds[levels.stop])
            group = links.group[some] - levels.start
            found[some] = (A @ C)[:, group, links.column[some]].T
        return found
    step, matrices = max(PAIRS_AT_ONCE // d, 1), links.matrices(values)
    for start in range(0, K, step):
        end = min(start + step, K)
        some = slice(links.bounds[start], links.bounds[end])
        group, column = links.group[some] - start, links.column[some]
        for a, M in enumerate(matrices):
            found[some, a] = (M[start:end] @ C)[group, column]
    return found


# From rows to the Gram.


class Nesting:
    """The matrices of the effects beside those of the first factor, and a fit of them,
    where some factors are around the first; as `crossed.Dense`.

    Parameters
    ----------
    sizes : tuple of (int, int)
        Levels and effects of the factors around, from the inside out.
    """

    def __init__(self, sizes):
        self.sizes = sizes

    def left(self, Z, weight, links, product):
        """W22, and the squares of the columns of Z; as `left_of_effects`."""
        n = sum(K * q for K, q in self.sizes)
        self.around, self.links, column = self.apart(links)
        of_rest, outer = self.links, self.structure(self.links, column)
        _check_pairs(of_rest, outer)
        dense, size = left_of_effects(Z[:, n:], weight, of_rest, product[n:])
        first = Z[:, :n]
        weighted = first if weight is None else first.multiply(weight[:, None]).tocsr()
        whole = (weighted.T @ Z).tocsr()
        size = np.concatenate([whole.diagonal(), size])
        for M in links.matrices(links.values):
            whole = whole - M[:, :n].T @ M
        left = np.concatenate([whole.diagonal(), np.diag(dense)])
        spanned = left <= SPANNED * size
        product[spanned] = 0.0
        filled = tuple(_filled(outer, whole.tocsr(), spanned))
        return Coupled(filled, dense), size

    def fit(self, W22, size, W2A):
        """Nearly a solution of W22 a = W2A; as of `crossed.Dense`."""
        unit = np.sqrt(np.maximum(W22.diagonal(), 0.0))
        unit = np.where(unit > 0, unit, 1.0)
        scaled = W22.scaled(unit).raised(RIDGE + len(unit) * EPS * size / unit**2)

        def turn(_, own):
            C = np.linalg.cholesky(own)
            return C, np.linalg.inv(C)

        links = [stage.links for stage in W22.outer]
        steps, dense = eliminate_around(scaled, links, turn)
        with products_of(len(dense)):
            factor = cho_factor(dense, overwrite_a=True, check_finite=False)
        a = np.zeros_like(W2A)
        for _ in range(2):  # once more for the ridge
            parts, rest = forward(steps, (W2A - W22 @ a) / unit[:, None])
            rest = cho_solve(factor, rest, check_finite=False)
            a += joined(backward(steps, parts, rest)[0], rest) / unit[:, None]
        return a

    def gram(self, _, W22, **parts):
        """The Gram of the W22 that `left` has made."""
        return AroundGram(
            links=self.links,
            W22=W22.dense,
            around=self.around,
            outer=W22.outer,
            **parts,
        )

    def apart(self, links):
        """R12 of the effects of the factors around, (K, q, w), links with all others,
        and the effects (K, w) of factors around that each level of the first has.
        """
        n_levels, n = links.shape[0], sum(K * q for K, q in self.sizes)
        rest = links.column >= n
        column = links.column[~rest].reshape(n_levels, -1)
        rows = links.values[~rest].reshape(*column.shape, -1)
        of_rest = Links(
            links.group[rest],
            links.column[rest] - n,
            links.values[rest],
            (n_levels, links.shape[1] - n),
        )
        return np.ascontiguousarray(np.swapaxes(rows, 1, 2)), of_rest, column

    def structure(self, inside, column):
        """The `Around` of each factor, whose figures are 0, from the links of the first
        factor and the effects around its levels.
        """
        outer, start, first, owner = [], 0, 0, None
        for K, q in self.sizes:
            level = (column[:, first] - start) // q
            parent = level
            if owner is not None:
                parent = np.empty(owner.max() + 1, dtype=np.intp)
                parent[owner] = level
            start, first = start + K * q, first + q
            outer.append(_around(parent, inside, (K, q), column.shape[1] - first))
            inside, owner = outer[-1].links, level
        return outer


def _around(parent, inside, size, width):
    """An `Around` of zeros, from the links of the factor inside."""
    (K, q), d = size, inside.shape[1]
    key = parent[inside.group].astype(np.int64) * d + inside.column
    present, place = np.unique(key, return_inverse=True)
    group, column = np.divmod(present, max(d, 1))
    links = ChangingLinks(group, column, np.zeros((len(group), q)), (K, d))
    up = np.zeros((K, q, width))
    return Around(np.zeros((K, q, q)), up, links, parent, place.ravel())


def _filled(outer, whole, spanned):
    """The figures of rows of factors around from a sparse matrix of these; what is
    `spanned` by the first factor has none.
    """
    entries, n = sparse_matrix(whole, is_sorted=True), whole.shape[0]

    def at(rows, columns):
        kept = ~(spanned[rows] | spanned[columns])
        return np.where(kept, entries.at(rows, columns), 0.0)

    parts, _ = split_vector(outer, np.arange(n)[:, None])
    effects = [part[:, :, 0] for part in parts]
    for number, stage in enumerate(outer):
        mine, links, further = effects[number], stage.links, effects[number][:, :0]
        if outer[number + 1 :]:
            further = gathered(outer[number + 1 :], effects[number + 1 :])
        values = at(mine[links.group], n + links.column[:, None])
        yield replace(
            stage,
            own=at(mine[:, :, None], mine[:, None, :]),
            up=at(mine[:, :, None], further[:, None, :]),
            links=links.with_values(values),
        )


def _check_pairs(links, outer):
    """Refuse sparse matrices that memory cannot hold: pairs of links, and the effects
    that each level reaches through the factors around it.
    """
    bytes_, reached = 0.0, np.diff(outer[-1].links.bounds)
    for stage in reversed(outer):
        bytes_ += BYTES_OF_ENTRY * stage.own.shape[1] * reached.sum()
        if not stage.links.is_dense:
            bytes_ += BYTES_OF_PAIR * stage.links.partners.sum()
        reached = reached[stage.parent]
    bytes_ += BYTES_OF_ENTRY * links.values.shape[1] * reached.sum()
    check_memory(
        bytes_,
        f"A chain of {len(outer) + 1} nested factors beside {links.shape[1]:,} random "
        "effects that cross it",
        "Use solver='iterative'.",
    )
