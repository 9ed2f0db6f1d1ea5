"""From rows and terms to all that a likelihood needs of them (docs/math.md, 11).

The largest factor is eliminated row by row.  If it is nested in all others, which are
nested in each other, so are they in turn; else the others are solved for together, but
for those that are nested around it.
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy import sparse

from .around import AroundGram, Nesting
from .columns import Columns, check_range, choose_columns, noise_floor, rank_tolerance
from .coordinates import Coordinates
from .crossed import CrossedGram, Dense, check_size, crossed_gram, is_large
from .elimination import Reader, eliminate
from .gram import Gram
from .iterative import IterativeGram, iterative_gram
from .nested import Chain, NestedGram, is_nested, nest, nested_gram
from .sparse_rows import SparseRows
from .term import CONSTANT, Term, effect_columns

# Crossed factors: sums of squares keep so many digits less, and the least variance of
# the noise is so many times that of other models.
CROSSED_FLOOR = 1e12
# A column of effects is far from zero if its level is so many times what it varies by;
# with no more effects than the second figure dense products of all of them cost little.
FAR_FROM_ZERO, FEW_DENSE = 1e3, 1_000


@dataclass(frozen=True)
class Reduced:
    """Rows of a linear mixed model, swept and summed, and the way back to the user's
    columns and levels; tuples are by terms in the order of elimination.

    Attributes
    ----------
    gram : Gram, NestedGram, CrossedGram, AroundGram or IterativeGram
        Of the working columns [X y] and the effects of the search.
    columns : Columns
    coordinates : tuple of Coordinates
    n : float
        Sum of the weights.
    floor : float
        The least noise variance, in the squared units of y.
    order : tuple of int
        Positions of the terms among the user's.
    places : tuple of ndarray of shape (K,)
        Position of each of the user's levels among those of the Gram.
    total : pair of ndarray, (m,) and (k, m), or None
        Means of the columns A = [1 X y] of all rows, 0 for the constant, and the root
        of the scatter about them, of the constant about 0; not stored.
    """

    gram: Gram | NestedGram | CrossedGram | AroundGram | IterativeGram
    columns: Columns
    coordinates: tuple[Coordinates, ...]
    n: float
    floor: float
    order: tuple
    places: tuple
    total: tuple | None = field(default=None, metadata={"stored": False})


class Solver(NamedTuple):
    """The way to solve for the effects of factors that cross.

    Attributes
    ----------
    name : str
        "auto", "direct" or "iterative".
    seed : int
        Seed of the draws of the iterative one.
    is_dense : bool
        Whether the direct one has a dense matrix of all effects but those of the first
        factor, those of factors around it too.
    """

    name: str = "auto"
    seed: int = 0
    is_dense: bool = False


def reduce_terms(
    data,
    terms,
    mean,
    *,
    alpha,
    fit_intercept=True,
    n_jobs=None,
    names=str,
    solver=(),
):
    """Reduce rows to the sums that the likelihood of a linear mixed model needs.

    Parameters
    ----------
    data : Data
    terms : tuple of Term
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    alpha : float
        Ridge penalty.
    fit_intercept : bool, default=True
    n_jobs : int, default=None
        See `skmixed._input.blocks.map_runs`.
    names : callable, default=str
        ``names(j)`` is the name of column j of X in messages, y being the last.
    solver : Solver or tuple of its first fields, default=()

    Returns
    -------
    Reduced
    """
    solver = Solver(*solver)
    is_dense = solver.is_dense or _lose_digits(terms, data)
    order, chain, n_around = arrange_terms(terms, data, is_dense)
    elimination = _eliminate(data, chain, n_jobs)
    moments = elimination.moments()
    check_range(moments, names)
    n, p = data.X.shape
    columns = choose_columns(
        moments.columns(np.append(mean, p)),
        fit_intercept=fit_intercept,
        alpha=alpha,
        tolerance=rank_tolerance(n, len(mean), data),
    )
    if len(chain.terms) < len(order):  # sums of squares, below and in the likelihood
        columns = columns.whitened(moments.columns(np.append(mean, p)))
    floor = noise_floor(moments, columns.has_constant)
    moments = None  # frees its memory
    gram, coordinates = nested_gram(elimination, columns, mean + 1, chain)
    places = chain.places
    if len(chain.terms) < len(order):
        some = [terms[t] for t in order]
        rows = data, some, elimination
        if _is_iterative(some[1 + n_around :], solver.name):
            gram, coordinates = iterative_gram(*rows, columns, mean + 1, solver.seed)
        else:
            how = columns, mean + 1, n_jobs, _others(some, n_around)
            gram, of_others = crossed_gram(*rows, gram, *how)
            coordinates += of_others
        floor *= CROSSED_FLOOR
        places = tuple(np.arange(term.n_levels) for term in some)
    if not terms:
        order = places = coordinates = ()
    n, total = elimination.n, (elimination.shift, elimination.total)
    return Reduced(gram, columns, coordinates, n, floor, order, places, total)


def without_pairs(reduced):
    """The same without the pairs of links, which are found again where needed."""
    gram = reduced.gram
    if not isinstance(gram, CrossedGram):
        return reduced
    changed = {"links": replace(gram.links)}
    if gram.outer:
        changed["outer"] = tuple(
            replace(stage, links=replace(stage.links)) for stage in gram.outer
        )
    return replace(reduced, gram=replace(gram, **changed))


def _others(terms, n_around):
    """The matrices of all effects but those of the first of some terms."""
    if not n_around:
        return Dense()
    around = terms[1 : 1 + n_around]
    return Nesting(tuple((term.n_levels, term.n_columns) for term in around))


def _is_iterative(terms, solver):
    """Whether crossed terms, of which these would be dense, are solved iteratively."""
    if solver == "iterative" or (solver == "auto" and is_large(terms)):
        return True
    check_size(terms)
    return False


def _eliminate(data, chain, n_jobs):
    """The elimination of the first term of a chain."""
    first = chain.terms[0]
    how = (first.codes, first.n_levels, first.columns + 1)
    if sparse.issparse(data.X):
        return SparseRows(data.X, data.y, data.weight, *how).eliminate(chain.nests)
    read = Reader(data.X, data.y)
    return eliminate(read, *how, data.weight, n_jobs, chain.nests)


def _nobody(data):
    """A term of one level, that all rows are in."""
    codes = np.zeros(data.X.shape[0], dtype=np.int32)
    return Term("", [None], codes, np.array([CONSTANT]), ((0,),))


def arrange_terms(terms, data, dense=False):
    """The order of elimination, and the chain of terms that it begins with: all of them
    if they are nested, else the largest alone.  Of sparse rows only the effects of the
    innermost factor are eliminated, so that they need to span those of the others.

    Without any term there is one of a single level, that all rows are in.

    Returns
    -------
    order : tuple of int
    chain : Chain
    n_around : int
        Number of terms after the first, each nested in the next, that others cross; 0
        if these are to be `dense` too.
    """
    terms, is_sparse = terms or (_nobody(data),), sparse.issparse(data.X)
    order = sorted(range(len(terms)), key=lambda t: (-terms[t].n_levels, t))
    chain = nest([terms[t] for t in order])
    if chain is not None and is_sparse:
        inner = set(chain.terms[0].columns)
        chain = chain if all(inner.issuperset(t.columns) for t in terms) else None
    if chain is not None:
        return tuple(order), chain, 0
    some = () if dense else _largest_chain(terms, order)
    order.sort(key=lambda t: (-terms[t].size, t))
    some = some if len(some) > 1 else order[:1]
    order = [*some, *(t for t in order if t not in some)]
    first = terms[order[0]]
    chain = Chain((first,), (np.arange(first.n_levels),), ())
    return tuple(order), chain, len(some) - 1


def _lose_digits(terms, data):
    """Whether few effects of a factor without a random intercept have a column far from
    zero, which another origin would make another model: what a factor around it leaves
    of them is a difference of sums that are the square of its level.
    """
    if sum(term.size for term in terms) > FEW_DENSE or sparse.issparse(data.X):
        return False
    for term in terms:
        if not term.has_constant:
            Z = effect_columns(data.X, term.columns)
            if np.any(np.abs(Z.mean(axis=0)) > FAR_FROM_ZERO * Z.std(axis=0)):
                return True
    return False


def _largest_chain(terms, order):
    """Positions of terms, each nested in the next, that leave the fewest effects to
    others, of which there is one.  `order` has those of more levels first.
    """
    chains = {}
    for t in order if len(order) > 2 else ():
        inside = [c for s, c in chains.items() if is_nested(terms[s], terms[t])]
        inside = [c for c in inside if len(c) < len(order) - 1]
        best = max(inside, key=lambda c: sum(terms[s].size for s in c), default=())
        chains[t] = (*best, t)
    return max(chains.values(), key=lambda c: sum(terms[s].size for s in c), default=())
