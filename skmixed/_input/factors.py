"""From terms to factors: which label columns, which effects, which of them covary.

All terms of one factor become one, with a block-diagonal covariance.
"""

from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain, combinations

import numpy as np

from .label_table import index_columns, open_table
from .notation import RandomEffects

CONSTANT = -1  # position of the random intercept's column of ones
INTERCEPT = "intercept"  # its name


@dataclass(frozen=True)
class Factor:
    """A grouping factor and its effects.

    Attributes
    ----------
    name : str
        Names of its label columns, with ``:`` between them.
    labels : tuple of int
        Positions of the label columns.
    columns : tuple of int
        Positions of the effects' columns among the features, -1 for the intercept,
        which is always first.
    effects : tuple of str
        Names of the effects.
    blocks : tuple of tuple of int
        Positions of the effects that covary.
    """

    name: str
    labels: tuple
    columns: tuple
    effects: tuple
    blocks: tuple

    @property
    def n_columns(self):
        """Number of effects of a level."""
        return len(self.columns)

    @property
    def n_parameters(self):
        """Number of variances and covariances."""
        return sum(len(block) * (len(block) + 1) // 2 for block in self.blocks)

    @property
    def pairs(self):
        """Pairs (i, j) of effects that covary."""
        pairs = [combinations(sorted(block), 2) for block in self.blocks]
        return list(chain.from_iterable(pairs))

    def std_name(self, i):
        """The name of the standard deviation of effect i."""
        return f"std({self.effects[i]} | {self.name})"

    def correlation_name(self, i, j):
        """The name of the correlation of effects i and j."""
        return f"corr({self.effects[i]}, {self.effects[j]} | {self.name})"


def read_labels(terms, groups, n_rows, names=None):
    """Read the label columns that terms name; without terms, all of them.

    Parameters
    ----------
    terms : tuple of RandomEffects or None
    groups, n_rows, names
        As in `open_table`.

    Returns
    -------
    LabelTable
        With the positions of the label columns of each term.
    """
    columns = open_table(groups, n_rows, names)
    wanted = _wanted(terms, columns)
    used = list(dict.fromkeys(j for positions in wanted for j in positions))
    table = index_columns(columns, used, n_rows)
    of_terms = tuple(tuple(map(used.index, positions)) for positions in wanted)
    if terms is None and columns.is_table and names is None:
        _refuse_fractions(table)
    if terms and not columns.is_table:
        given = [c for term in terms for c in term.label_columns if isinstance(c, str)]
        table = replace(table, names=tuple(given[:1]) or table.names)
    return replace(table, of_terms=of_terms)


def _wanted(terms, columns):
    """Positions of the label columns of each term."""
    if terms is None:
        twice = [name for name in columns.names if columns.names.count(name) > 1]
        if twice:
            raise ValueError(
                f"{columns.parameter} has {columns.names.count(twice[0])} columns "
                f"called {twice[0]!r}. Rename them."
            )
        return [(j,) for j in range(len(columns.names))]
    if not columns.is_table:
        named = list(dict.fromkeys(c for term in terms for c in term.label_columns))
        if len(set(named) - {0, -1}) + (0 in named or -1 in named) > 1:
            raise ValueError(
                f"`groups` is one column but random_effects names {len(named)}: "
                f"{named}. Pass a table of them, e.g. groups=df[{named}]."
            )
        columns = replace(columns, names=tuple(map(str, named[:1])) or columns.names)
    return [_label_positions(term, columns) for term in terms]


def _label_positions(term, columns):
    positions = [columns.position(c, "random_effects") for c in term.label_columns]
    if len(set(positions)) < len(positions):
        raise ValueError(f"'{term}' combines a label column with itself.")
    return tuple(positions)


def _refuse_fractions(table):
    """Refuse numbers with fractions where nobody said that they are labels."""
    for name, index in zip(table.names, table.columns, strict=True):
        labels = index.labels
        if labels.dtype.kind == "f" and (labels != np.rint(labels)).any():
            raise ValueError(
                f"Column {name!r} of `groups` holds numbers with fractions, such as "
                f"{labels[labels != np.rint(labels)][0]}, and every column is a factor "
                "by default. Name the factors in random_effects, e.g. '(1 | "
                f"{table.names[0]})'."
            )


def merge_terms(terms, table, features, names, n_columns):
    """The factors of a model.

    Parameters
    ----------
    terms : tuple of RandomEffects or None
    table : LabelTable or None
        None where there are no labels, and so no factors; terms are checked all the
        same.
    features : ndarray of shape (p,)
        Positions of the features among the columns of X.
    names : sequence of str or None
        Names of the columns of X, if they have names.
    n_columns : int
        Number of columns of X.

    Returns
    -------
    tuple of Factor
    """
    if table is None:
        for term in terms or ():
            _slope_positions(term, features, names, n_columns)
        return ()
    if terms is None:
        terms = tuple(map(RandomEffects, table.names))
    shown = [f"x{j}" for j in range(n_columns)] if names is None else names
    by_labels = {}
    for term, labels in zip(terms, table.of_terms, strict=True):
        slopes = _slope_positions(term, features, names, n_columns)
        columns = [CONSTANT] * term.intercept + slopes
        by_labels.setdefault(frozenset(labels), []).append((term, labels, columns))
    effect_names = [shown[j] for j in features] + [INTERCEPT]  # the last is at -1
    factors = [_merge(same, table.names, effect_names) for same in by_labels.values()]
    found = [factor.name for factor in factors]
    if len(set(found)) < len(found):
        twice = next(name for name in found if found.count(name) > 1)
        raise ValueError(
            f"Two factors are called {twice!r}: a combination of label columns, and a "
            "label column of that name. Rename the column."
        )
    return tuple(factors)


def _merge(same, label_names, effect_names):
    """The factor of terms with the same label columns."""
    columns = [j for _, _, own in same for j in own]
    name = ":".join(label_names[j] for j in same[0][1])
    for j in columns:
        if columns.count(j) > 1:
            having = [term for term, _, own in same if j in own]
            _refuse_twice(name, effect_names[j], j == CONSTANT, having)
    order = sorted(range(len(columns)), key=lambda i: columns[i] != CONSTANT)
    place = {columns[i]: k for k, i in enumerate(order)}
    blocks = []
    for term, _, own in same:
        places = [place[j] for j in own]
        full = term.covariance == "full"
        blocks += [tuple(places)] if full else [(k,) for k in places]
    columns = tuple(columns[i] for i in order)
    effects = tuple(effect_names[j] for j in columns)
    if CONSTANT in columns and effects.count(INTERCEPT) > 1:
        raise ValueError(
            f"A column of X with random slopes is called {INTERCEPT!r}, as the random "
            f"intercept of {name!r} is in all results. Rename the column."
        )
    return Factor(name, same[0][1], columns, effects, tuple(sorted(blocks)))


def _refuse_twice(name, effect, is_intercept, terms):
    """Refuse an effect that two terms of a factor have."""
    term = max(terms, key=lambda t: len(t.features) + t.intercept)
    remedy = "leave it out of the other"
    if term.covariance == "full" and len(term.features) + term.intercept > 1:
        remedy = f"for an uncorrelated one write '{_uncorrelated(term)}'"
    kind = "intercepts" if is_intercept else f"slopes of {effect!r}"
    raise ValueError(
        f"{name!r} has two random {kind}, which no data can tell apart. '{term}' has "
        f"one already; {remedy}."
    )


def _uncorrelated(term):
    """The same term with uncorrelated effects."""
    return RandomEffects(
        term.groups, term.features, intercept=term.intercept, covariance="diagonal"
    )


def _slope_positions(term, features, names, n_columns):
    """Positions of the slopes' columns among the features."""
    given = term.features
    if given and isinstance(given[0], bool):
        if len(given) != n_columns:
            raise ValueError(
                f"'{term}' of random_effects has a mask of {len(given)} columns, but X "
                f"has {n_columns}."
            )
        given = np.flatnonzero(given).tolist()
    at = [_column_position(column, term, names, n_columns) for column in given]
    labels = [j for j in at if j not in features]
    if labels:
        shown = f"x{labels[0]}" if names is None else names[labels[0]]
        raise ValueError(
            f"'{term}' of random_effects has a slope of column {shown!r} of X, which "
            "holds group labels. Label columns stand right of the bar, and X has "
            f"{n_columns} feature(s)."
        )
    if len(set(at)) < len(at):
        raise ValueError(f"'{term}' of random_effects names a column of X twice.")
    return np.searchsorted(features, at).tolist()


def _column_position(column, term, names, n_columns):
    """Position among the columns of X of one that a term has left of the bar."""
    if not isinstance(column, str):
        if -n_columns <= column < n_columns:
            return column % n_columns
        raise ValueError(
            f"random_effects names column {column}, but X has {n_columns} columns; "
            f"indices run from {-n_columns} to {n_columns - 1}."
        )
    generic = [f"x{j}" for j in range(n_columns)]
    known = generic if names is None else list(names)
    if known.count(column) == 1:
        return known.index(column)
    if column in known:
        raise ValueError(
            f"random_effects names {column!r}, which X has {known.count(column)} "
            "times. Give the index in a RandomEffects, or rename the columns."
        )
    if names is None:
        first = generic[:1] if generic else ()
        instead = RandomEffects(term.groups, first, covariance=term.covariance)
        columns = ", ".join(generic if n_columns < 9 else [*generic[:3], "..."])
        raise ValueError(
            f"random_effects names {column!r}, but X has no column names; its columns "
            f"are {columns or 'none'}. Write '{instead}', or keep names with "
            '.set_output(transform="pandas").'
        )
    raise ValueError(
        f"random_effects names {column!r}, which is not among the columns of X, "
        f"{known}.{_hint(column, known)}"
    )


def _hint(column, known):
    """A sentence about a name that may have been meant, or nothing."""
    suffixed = [name for name in known if name.endswith(f"__{column}")]
    start = f"{column}_"
    encoded = [name for name in known if name.rpartition("__")[2].startswith(start)]
    stem = f"{column.rpartition('_')[0]}_"
    if suffixed:
        return f" Did you mean {suffixed[0]!r}?"
    if len(encoded) > 1:
        return f" Did you mean its columns, {' + '.join(encoded)!r}?"
    if stem != "_" and any(name.startswith(stem) for name in known):
        return " If a fold lacks the category, give OneHotEncoder its categories."
    close = get_close_matches(column, known, 1)
    return f" Did you mean {close[0]!r}?" if close else ""
