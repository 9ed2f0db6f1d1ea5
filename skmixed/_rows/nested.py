"""Nested factors, the effects of the innermost eliminated (docs/math.md, 11)."""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import numpy as np

from .coordinates import choose_coordinates
from .elimination import Nest
from .qr import level_last


@dataclass(frozen=True)
class NestedGram:
    """Blocks of a chain of nested factors, from the inside out.

    The columns beside the effects of a factor are those of the effects of all factors
    around it, and A = [X y]: (Z_2, ..., Z_c, A) for the first.

    Attributes
    ----------
    R11 : ndarray of shape (K, q, q)
        Of the first factor.
    R12 : ndarray of shape (K, q, q_2 + ... + q_c + m)
    upper : tuple of ndarray of shape (K_l, k_l, q_l + ... + q_c + m), or None
        Of each of the other factors, the rows of its levels that no effect of a factor
        inside has a part in; None where there are none.
    R22 : ndarray of shape (k, m)
        Root of the rows that no effect has a part in.
    parents : tuple of ndarray of shape (K_l,)
        The level of the next factor that each level of a factor belongs to, in
        ascending order; not for the last factor.
    sizes : tuple of (int, int)
        Number of levels and of effects of every factor.
    closed : tuple of bool
        Of each factor, whether its effects span the columns of all around it within
        each of its levels.
    """

    R11: np.ndarray
    R12: np.ndarray
    upper: tuple
    R22: np.ndarray
    parents: tuple
    sizes: tuple
    closed: tuple

    origin = 0.0  # the coefficients that y is counted from

    @property
    def widths(self):
        """Number of columns of the effects around each factor."""
        q = [size[1] for size in self.sizes]
        return tuple(sum(q[i + 1 :]) for i in range(len(q)))

    @cached_property
    def bounds(self):
        """The first level of the factor before that each level of a factor has, and the
        end; not for the first factor.
        """
        pairs = zip(self.parents, self.sizes[1:], strict=True)
        return [np.searchsorted(p, np.arange(K + 1)) for p, (K, _) in pairs]


@dataclass(frozen=True)
class Chain:
    """Nested factors, from the inside out.

    Attributes
    ----------
    terms : tuple of Term
        Their levels are in the order of those of the next factor.
    places : tuple of ndarray of shape (K,)
        Position of each level of the user's terms among these.
    nests : tuple of Nest
        All factors but the first.
    """

    terms: tuple
    places: tuple
    nests: tuple


def nest(terms):
    """The chain of some terms, from the largest to the smallest; None if they are not
    nested.
    """
    if len(terms) == 1:
        return Chain(tuple(terms), (np.arange(terms[0].n_levels),), ())
    owners = []
    for inner, outer in pairwise(terms):
        owner = _owner(inner, outer)
        if (owner[inner.codes] != outer.codes).any():
            return None
        owners.append(owner)
    # From the outside in, levels come in the order of those that they belong to.
    places = [np.arange(terms[-1].n_levels)]
    for owner in reversed(owners):
        order = np.argsort(places[0][owner], kind="stable")
        place = np.empty(len(order), dtype=np.intp)
        place[order] = np.arange(len(order))
        places.insert(0, place)
    ordered, nests, of_first = [], [], None
    for at, (term, place) in enumerate(zip(terms, places, strict=True)):
        ordered.append(replace(term, codes=place.astype(np.int32)[term.codes]))
        if at == 0:
            of_first = np.empty(term.n_levels, dtype=np.intp)
            of_first[place] = np.arange(term.n_levels)
            continue
        of_first = owners[at - 1][of_first]
        nests.append(Nest(place[of_first], term.n_levels, term.columns + 1))
    return Chain(tuple(ordered), tuple(places), tuple(nests))


def _owner(inner, outer):
    """A level of the outer term that each level of the inner one meets."""
    owner = np.empty(inner.n_levels, dtype=np.intp)
    owner[inner.codes] = outer.codes
    return owner


def is_nested(inner, outer):
    """Whether each level of the inner term belongs to one level of the outer one."""
    return bool((_owner(inner, outer)[inner.codes] == outer.codes).all())


def nested_gram(elimination, columns, mean, chain):
    """The blocks of a chain, and the coordinates of each of its terms.

    Parameters
    ----------
    elimination : Elimination
        Of the first factor.
    columns : Columns
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among those of A.
    chain : Chain

    Returns
    -------
    gram : Gram or NestedGram
    coordinates : tuple of Coordinates
    """
    gram, total = elimination.gram(columns, mean), elimination.total
    pairs = [_effects(elimination, total, term) for term in chain.terms]
    effects, coordinates = zip(*pairs, strict=True)
    R11 = level_last(gram.R11 @ coordinates[0].change)
    if len(chain.terms) == 1:
        return replace(gram, R11=R11), coordinates
    work = elimination.work(columns, mean)
    around, upper = [read(elimination.R) for read in effects[1:]], []
    for at, E in enumerate(elimination.upper):
        if E is not None:
            E = np.concatenate([*(read(E) for read in effects[at + 1 :]), work(E)], 2)
        upper.append(E)
    R12 = np.concatenate([*around, gram.R12], axis=2)
    return join_chain(chain, R11, R12, upper, gram.R22), coordinates


def join_chain(chain, R11, R12, upper, R22):
    """The Gram of a chain from its blocks."""
    spans = [set(term.columns) for term in chain.terms]
    closed = [set().union(*spans[at + 1 :]) <= spans[at] for at in range(len(spans))]
    return NestedGram(
        R11=R11,
        R12=R12,
        upper=tuple(upper),
        R22=R22,
        parents=_parents(chain.nests),
        sizes=tuple((term.n_levels, term.n_columns) for term in chain.terms),
        closed=tuple(closed),
    )


def _parents(nests):
    """The level of the next factor that each level of a factor belongs to."""
    parents = [nest.owner for nest in nests[:1]]
    for inner, outer in pairwise(nests):
        owner = np.empty(inner.n_levels, dtype=np.intp)
        owner[inner.owner] = outer.owner
        parents.append(owner)
    return tuple(parents)


def _effects(elimination, total, term):
    """A function that turns rows of A into rows of the columns of a term's effects in
    the search, and their coordinates.
    """
    positions = term.columns + 1
    shift = elimination.shift[positions]

    def raw(R):
        Z = R[..., positions]
        return Z if term.has_constant else Z + R[..., :1] * shift

    origin = shift * term.has_constant
    found = choose_coordinates(raw(total), origin, term.blocks, elimination.n)
    return lambda R: raw(R) @ found.change, found
