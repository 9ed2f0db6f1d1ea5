"""Rows of a linear mixed model whose noise variances are parameters: they are reduced
anew at every one of their values (docs/math.md, 16).

The rows are put in the order of the levels of the first factor, in working columns and
in the columns of the effects of the search, once; a reduction reads them as they are.
Partitions that workers hold are reduced to sums over the cells, and these to the Gram.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._input.label_table import LabelTable
from .._input.labels import GroupIndex
from .._input.table import Data
from .cells import equivalent_rows, join_cells, sum_cells
from .columns import Columns
from .crossed import (
    CrossedGram,
    Pattern,
    indicator,
    left_of_effects,
    pattern,
)
from .elimination import eliminate_about, eliminate_beside
from .gram import Gram
from .mixed import arrange_terms
from .nested import Chain, join_chain
from .parts import Parts
from .sparse_matrix import as_array
from .term import effect_columns


class LogVarianceRows:
    """Rows with columns S of the log-variance, and a known part of it, `offset`."""

    def log_variance(self, gamma):
        """The log-variance of each row, of mean 0, (n,)."""
        return self.offset + self.S @ gamma

    def spread(self, gamma):
        """The estimated part of the log-variance in size, (n,)."""
        return np.abs(self.S @ gamma)


@dataclass(frozen=True)
class ModelledNoiseRows(LogVarianceRows):
    """The rows of a fit, in the order of the levels of the first factor.

    Attributes
    ----------
    A : ndarray of shape (n, w)
        A constant, the columns of the slopes of the factors of the chain, and working
        columns [1 X y]; where factors cross, these are counted as A~ of a
        `CrossedGram`.
    kept : ndarray of shape (m,)
        Positions of the working columns.
    constant : ndarray
        Positions among the working columns of those that are constant within levels of
        the first factor.
    positions : tuple of ndarray of shape (q,)
        Of the columns of the effects of every factor of the chain; 0 is the constant.
    moves : tuple of ndarray of shape (q,)
    units : tuple of ndarray of shape (q,)
        The columns of the effects of the search are those of A, plus the constant times
        `moves`, in these units.
    chain : Chain
        The factors that are eliminated row by row.
    codes : tuple of ndarray of shape (n,)
        The level of each row, of all factors in the order of elimination.
    Z : tuple of ndarray of shape (n, q)
        The columns of their effects.
    equal_gram : Gram, NestedGram or CrossedGram
        Of equal variances.
    beside : csr_array of shape (n, d), or None
        The columns of the effects of the other factors, where factors cross.
    links : Pattern or None
    S : ndarray of shape (n, k)
        Working columns of the log-variance, of mean 0, without a constant.
    offset : ndarray of shape (n,)
        The known part of the log-variance, of mean 0.
    weight : ndarray of shape (n,)
        Sample weights.
    n_jobs : int or None
    """

    A: np.ndarray
    kept: np.ndarray
    constant: np.ndarray
    positions: tuple
    moves: tuple
    units: tuple
    chain: Chain
    codes: tuple
    Z: tuple
    equal_gram: Gram | CrossedGram
    beside: object
    links: Pattern | None
    S: np.ndarray
    offset: np.ndarray
    weight: np.ndarray
    n_jobs: int | None

    @property
    def n_rows(self):
        """Number of rows."""
        return len(self.A)

    @property
    def parts(self):
        """The rows as one part."""
        return Parts((self,))

    @property
    def work(self):
        """The working columns [1 X y], (n, m), a new array."""
        return self.A[:, self.kept]

    def gram(self, gamma):
        """The Gram of the rows, divided by their noise standard deviations."""
        weight = self.weight * np.exp(-self.log_variance(gamma))
        if isinstance(self.equal_gram, CrossedGram):
            return self._crossed(weight)
        R, rest, upper = self._eliminated(weight)
        kept, R11 = self.kept, self._effects(R, 0)
        if len(self.chain.terms) == 1:
            return Gram(R11, R[:, :, kept], rest[:, kept], self.equal_gram.multiplicity)
        n_terms, of_upper = len(self.positions), []
        for at, E in enumerate(upper, start=1):
            if E is not None:
                own = [self._effects(E, t) for t in range(at, n_terms)]
                E = np.concatenate([*own, E[:, :, kept]], axis=2)
            of_upper.append(E)
        around = [self._effects(R, t) for t in range(1, n_terms)]
        R12 = np.concatenate([*around, R[:, :, kept]], axis=2)
        return join_chain(self.chain, R11, R12, of_upper, rest[:, kept])

    def _effects(self, R, t):
        """The columns of the effects of a factor, of some rows."""
        columns = R[:, :, self.positions[t]] + R[:, :, :1] * self.moves[t]
        return columns / self.units[t]

    def _read(self, rows):
        return self.A[rows].copy()

    def _first(self):
        """Arguments of an elimination of the first factor."""
        first = self.chain.terms[0]
        return self._read, self.codes[0], first.n_levels, self.positions[0]

    def _eliminated(self, weight):
        nests = tuple(
            replace(nest, positions=place)
            for nest, place in zip(self.chain.nests, self.positions[1:], strict=True)
        )
        origin = np.zeros(self.A.shape[1])
        R, rest, upper = eliminate_about(
            origin, *self._first(), weight, self.n_jobs, nests
        )
        self._clear(R, rest)
        return R, rest, upper

    def _clear(self, R, rest):
        """A working column that is constant within levels by arithmetic shall be so to
        the last digit.
        """
        columns = self.kept[self.constant]
        rest[:, columns] = 0.0
        R[:, 1:, columns] = 0.0

    def _crossed(self, weight):
        equal_gram, origin = self.equal_gram, np.zeros(self.A.shape[1])
        R, rest, axes, product = eliminate_beside(
            *self._first(), origin, weight, self.beside, self.n_jobs
        )
        self._clear(R, rest)
        links = equal_gram.links.with_values(self.links.values(axes, weight))
        W2A = product[:, self.kept]
        W2A[:, self.constant] = 0.0
        W22, _ = left_of_effects(self.beside, weight, links, W2A)
        return replace(
            equal_gram,
            R11=self._effects(R, 0),
            R12=R[:, :, self.kept],
            R22=rest[:, self.kept],
            links=links,
            W22=W22,
            W2A=W2A,
        )


@dataclass(frozen=True)
class ModelledNoisePart(LogVarianceRows):
    """The rows of a partition, in the order of the levels of the first factor.

    Attributes
    ----------
    data : Data
        The rows, with a `LabelTable` of levels, as `with_levels` makes it.
    slopes : ndarray
        Positions among the features of the columns that have random slopes.
    work : ndarray of shape (n, m)
        As that of `ModelledNoiseRows`.
    codes, Z, S, offset, weight
        As those of `ModelledNoiseRows`.
    """

    data: Data
    slopes: np.ndarray
    work: np.ndarray
    codes: tuple
    Z: tuple
    S: np.ndarray
    offset: np.ndarray
    weight: np.ndarray

    def cells(self, gamma):
        """The sums over the cells of the rows, divided by their variances."""
        weight = self.weight * np.exp(-self.log_variance(gamma))
        return sum_cells(replace(self.data, weight=weight), self.slopes)


@dataclass(frozen=True)
class RowsInPartitions:
    """The rows of a fit, which workers hold.

    Attributes
    ----------
    parts : LazyParts
        Of `ModelledNoisePart`.
    n_rows : int
    terms : tuple of Term
        Their codes are about other rows.
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    reduced : Reduced
        Of the rows with equal variances.
    """

    parts: object
    n_rows: int
    terms: tuple
    mean: np.ndarray
    reduced: object

    def gram(self, gamma):
        """The Gram of the rows, divided by their noise standard deviations."""
        data = equivalent_rows(self.parts.reduce(_cells, gamma, join=join_cells))
        columns = () if data.index is None else data.index.columns
        terms = tuple(
            replace(term, codes=index.codes)
            for term, index in zip(self.terms, columns, strict=True)
        )
        rows = modelled_noise_rows(data, terms, self.mean, self.reduced)
        return rows.gram(np.zeros(0))


def _cells(part, gamma):
    return part.cells(gamma)


def rows_in_partitions(parts, terms, mean, reduced, of_variance):
    """The `RowsInPartitions` of partitions with levels, which `with_levels` makes.

    The other parameters are those of `modelled_noise_rows`, about equivalent rows.
    """
    terms = tuple(replace(term, codes=term.codes[:0]) for term in terms)
    how = terms, mean, reduced
    parts = parts.map(modelled_noise_part, *how, of_variance)
    return RowsInPartitions(parts, parts.reduce(_length), *how)


def _length(part):
    return len(part.weight)


def with_levels(data, known):
    """Rows of a partition, with the levels of all factors in the place of labels.

    Parameters
    ----------
    data : Data
        With a `LabelTable` as its index, or None.
    known : KnownLabels
        Of all partitions.
    """
    if not known.factors:
        return replace(data, index=None)
    found, number = known.locate(data.index), range(len(known.factors))
    columns = tuple(
        GroupIndex(np.arange(len(levels)), codes)
        for (codes, _), levels in zip(found, known.levels, strict=True)
    )
    names, of_terms = tuple(map(str, number)), tuple((j,) for j in number)
    return replace(data, index=LabelTable(names, columns, of_terms))


def modelled_noise_part(data, terms, mean, reduced, of_variance):
    """The rows of a partition, to be reduced again under other variances.

    Parameters
    ----------
    data : Data
        As `with_levels` gives it.
    terms : tuple of Term
        Their codes are about other rows.
    mean, reduced, of_variance
        As those of `modelled_noise_rows`.
    """
    pairs = list(zip(reduced.order, reduced.places, strict=True))
    ordered = [
        replace(terms[t], codes=place[data.index.columns[t].codes])
        for t, place in pairs
    ]
    rows, codes, Z, beside = _effects(data, ordered, reduced)
    first = not ordered or ordered[0].has_constant
    work, kept, _ = _working(data, mean, reduced, rows, beside, first)
    work = np.column_stack([work, np.ones(len(rows))])[:, kept]
    S, offset, weight = _of_variance(data, of_variance, rows)
    slopes = {j for term in terms for j in term.columns if j >= 0}
    index = None if data.index is None else data.index.take(rows)
    sorted_data = replace(data, X=data.X[rows], y=data.y[rows], index=index)
    return ModelledNoisePart(
        data=sorted_data,
        slopes=np.array(sorted(slopes), dtype=int),
        work=work,
        codes=codes,
        Z=Z,
        S=S,
        offset=offset,
        weight=weight,
    )


def _effects(data, ordered, reduced):
    """The rows in the order of the first of some terms, their levels by term, columns
    of effects, and where factors cross those of all but the first, (n, d).
    """
    rows, beside = np.arange(data.n_rows), None
    if ordered:
        rows = np.argsort(ordered[0].codes, kind="stable")
    codes = tuple(term.codes[rows] for term in ordered)
    coordinates = reduced.coordinates or (None,) * len(ordered)
    pairs = zip(ordered, coordinates, strict=True)
    Z = tuple(_effect_columns(data.X, term, c, rows) for term, c in pairs)
    if isinstance(reduced.gram, CrossedGram):
        parts = zip(ordered[1:], Z[1:], codes[1:], strict=True)
        parts = [indicator(code, term.n_levels, z) for term, z, code in parts]
        beside = sparse.hstack(parts, format="csr")
    return rows, codes, Z, beside


def modelled_noise_rows(data, terms, mean, reduced, of_variance=None, n_jobs=None):
    """The rows of a reduction, to be reduced again under other variances.

    Parameters
    ----------
    data : Data
    terms : tuple of Term
    mean : ndarray of shape (p,)
        Positions of the columns of the mean among the features.
    reduced : Reduced
        Of these rows, with equal variances.
    of_variance : tuple, default=None
        Columns, from some of the features to working columns of the log-variance, the
        positions of these features, that of its known part, or None, and the weighted
        mean of this.
    n_jobs : int, default=None
    """
    order, chain, _ = arrange_terms(terms, data, dense=True)
    ordered = [*chain.terms, *(terms[t] for t in order[len(chain.terms) :])]
    rows, codes, Z, beside = _effects(data, ordered, reduced)
    links = None
    if beside is not None:
        links = pattern(codes[0], ordered[0].n_levels, beside)
    slopes, places = _slopes(data, chain, reduced.coordinates or (None,), rows)
    has_constant = chain.terms[0].has_constant
    work, kept, constant = _working(data, mean, reduced, rows, beside, has_constant)
    S, offset, weight = _of_variance(data, of_variance, rows)
    A = np.column_stack([np.ones(len(rows)), slopes, work])
    return ModelledNoiseRows(
        A=A,
        kept=np.where(kept < 0, 0, 1 + slopes.shape[1] + kept),
        constant=constant,
        **places,
        chain=chain,
        codes=codes,
        Z=Z,
        equal_gram=reduced.gram,
        beside=beside,
        links=links,
        S=S,
        offset=offset,
        weight=weight,
        n_jobs=n_jobs,
    )


def _slopes(data, chain, coordinates, rows):
    """Columns of the slopes of a chain, and fields of `ModelledNoiseRows` about them.

    Factors share the column of a feature: what the first one leaves of it is nothing
    to the last digit.  It is centred if the first factor has random intercepts.
    """
    features = sorted({j for term in chain.terms for j in term.columns if j >= 0})
    columns = as_array(data.X[:, features])[rows].astype(float)
    shift = np.zeros(1 + len(features))  # the last one is that of the constant
    for term, c in zip(chain.terms, coordinates, strict=False):
        for j, origin in zip(term.columns, () if c is None else c.origin, strict=False):
            if j >= 0 and origin and chain.terms[0].has_constant:
                shift[features.index(j)] = origin
    centred = chain.terms[0].has_constant & (shift[:-1] == 0)
    if len(rows) and centred.any():
        shift[:-1][centred] = columns[:, centred].mean(axis=0)
    columns -= shift[:-1]
    places = [
        np.array([features.index(j) if j >= 0 else -1 for j in term.columns])
        for term in chain.terms
    ]
    units, moves = [np.ones(1)], [np.zeros(1)]
    if coordinates[0] is not None:
        some = list(zip(places, coordinates, strict=False))
        units = [c.unit for _, c in some]
        moves = [shift[place] - c.origin for place, c in some]
    positions = tuple(1 + place for place in places)
    fields = {"positions": positions, "moves": tuple(moves), "units": tuple(units)}
    return columns, fields


def _effect_columns(X, term, coordinates, rows):
    """The columns of the effects of the search, (n, q)."""
    Z = effect_columns(X, term.columns)[rows]
    return Z if coordinates is None else coordinates.apply(Z)


def _working(data, mean, reduced, rows, beside, has_constant):
    """Working columns that are not the constant of the rows, the place of each working
    column among these, -1 for that constant, and those that are constant within levels.
    """
    columns: Columns = reduced.columns
    X = columns.apply(data.X[:, mean])[rows]
    ones = np.ones((len(rows), int(columns.has_constant)))
    work = np.column_stack([ones, X, data.y[rows] - columns.y_shift])
    constant, first = np.empty(0, dtype=int), int(columns.has_constant)
    if has_constant:
        constant = first + np.flatnonzero(~columns.within)
    if beside is not None:
        gram = reduced.gram
        work[:, -1] -= work[:, :-1] @ gram.origin
        work -= beside @ gram.a0
    kept = np.arange(work.shape[1])
    if columns.has_constant and has_constant:
        work, kept = work[:, 1:], kept - 1
    return work, kept, constant


def _of_variance(data, of_variance, rows):
    """S, the offset and the weights of the rows."""
    weight = data.weights[rows]
    if of_variance is None:
        return np.zeros((len(rows), 0)), np.zeros(len(rows)), weight
    columns, positions, at, average = of_variance
    S, offset = columns.apply(data.X[:, positions])[rows], np.zeros(len(rows))
    if at is not None:
        offset = known_part(data, at)[rows] - average
    return S, offset, weight


def known_part(data, at):
    """The known part of the log-variance of each row, a feature at this position."""
    return as_array(data.X[:, [at]])[:, 0].astype(float)
