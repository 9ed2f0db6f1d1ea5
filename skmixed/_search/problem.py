"""From moments to the heteroscedastic likelihood: its columns, its rows, its parameters
(docs/math.md, 9.1).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from .._likelihood.row_variances import Heteroscedastic, gram_at
from .._messages import count, why_not_identified
from .._rows.columns import (
    Columns,
    choose_columns,
    choose_within,
    noise_floor,
    rank_tolerance,
    ungrouped,
    without_lost,
)
from .._rows.grouped import Rows, Trend, arrange, columns_of_parts
from .._rows.parts import ByGroup, Each, join_groups
from .._rows.qr import column_norms
from .starts import Constant, best_constant

# The noise variance of a row lies within these multiples of that of the same model with
# one noise variance: a thousandth of a percent to 100,000 times in standard deviation.
LOWEST, HIGHEST = 1e-10, 1e10
# The largest known log-variance in size: variances between 1e-100 and 1e100.
LARGEST_OFFSET = 230.0
SMALL_GROUP = 10  # rows; the bias of a log-variance under ML is then some -0.2


@dataclass(frozen=True)
class Structure:
    """The structure of a heteroscedastic model: effects, columns, ridge.

    Attributes
    ----------
    reml : bool
    random, fixed : bool
        Whether the groups have random intercepts, or fixed effects, in the mean.
    effects : bool
        Whether they have fixed effects on the log-variance.
    mean, variance : ndarray of int
        Positions among the features of the columns of the mean and the log-variance.
    offset : int or None
        Position among the features of a known part of the log-variance.
    fit_intercept, fit_variance_intercept : bool
    alpha, variance_alpha : float
    """

    reml: bool
    random: bool
    fixed: bool
    effects: bool
    mean: np.ndarray
    variance: np.ndarray
    offset: int | None
    fit_intercept: bool
    fit_variance_intercept: bool
    alpha: float
    variance_alpha: float


@dataclass(frozen=True)
class Problem:
    """A likelihood, and the way back to the user's units.

    Attributes
    ----------
    model : Heteroscedastic
    structure : Structure
    mean_columns, variance_columns : Columns
        From the user's columns of the mean and the log-variance to working columns.
    mean_moments, variance_moments : Moments
        Of the user's columns, and y.
    constant : Constant
        The best constant noise variance.
    floor : float
        The least noise variance that is not rounding.
    """

    model: Heteroscedastic
    structure: Structure
    mean_columns: Columns
    variance_columns: Columns
    mean_moments: object
    variance_moments: object
    constant: Constant
    floor: float

    @property
    def rank(self):
        """Number of coefficients of the mean, fixed effects of groups included."""
        return self.mean_columns.rank + self.model.rows.n_groups * self.structure.fixed


def state_problem(sample, structure):
    """The likelihood of a sample.

    Parameters
    ----------
    sample : Sample
        Its moments are those of all features and y.
    structure : Structure
    """
    read, moments = sample.statistics, sample.statistics.moments
    n_features = len(read.features)
    tolerance = rank_tolerance(read.n_rows, n_features, read.is_sparse)
    free = np.empty(0, dtype=int)
    if structure.effects:
        arguments = Each(sample.groups), structure.mean
        free = np.flatnonzero(sample.parts.reduce(_likeness, *arguments).differs)
    told = replace(structure, effects=len(free) > 0)
    mean_moments = moments.columns(np.append(structure.mean, n_features))
    variance_moments = moments.columns(np.append(structure.variance, n_features))
    mean_columns = _mean_columns(mean_moments, told, tolerance)
    variance_columns = _variance_columns(variance_moments, told, tolerance)
    share = _share(told, free, moments.size)
    rows = _arranged(sample, told, share, (mean_columns, variance_columns))
    model = _model(rows, told, free, mean_columns, variance_columns)
    floor = noise_floor(mean_moments, structure.fixed or mean_columns.has_constant)
    gram = mean_columns.gram(mean_moments)
    if structure.offset is not None:
        model = replace(model, average_offset=_average_offset(rows))
        gram = gram_at(model, Trend(np.zeros(variance_columns.rank)))
        floor *= np.exp(-model.average_offset)
    constant = best_constant(model, gram, floor)
    model = replace(
        model,
        log_bounds=log_bounds(constant, around_one=not _has_level(model)),
        random=structure.random and constant.identified,
    )
    return Problem(
        model,
        structure,
        mean_columns,
        variance_columns,
        mean_moments,
        variance_moments,
        constant,
        floor,
    )


def _average_offset(rows):
    """Weighted mean of the known part of the log-variance."""
    total, largest = rows.reduce(_offset_figures, join=_join_offsets)
    if largest > LARGEST_OFFSET:
        raise ValueError(
            f"variance_offset has values up to {largest:.3g} in size, which are no "
            "logarithms of variances: these lie within "
            f"{LARGEST_OFFSET:g}. Give the logarithm of the known variance."
        )
    return float(total / rows.n)


def _offset_figures(part):
    return part.weight @ part.offset, np.abs(part.offset).max()


def _join_offsets(one, other):
    return one[0] + other[0], max(one[1], other[1])


def _arranged(sample, structure, share, columns):
    """The sample's rows, in order and in working columns."""
    read, groups = sample.statistics, sample.groups
    size = read.moments.size
    held = np.bincount(np.concatenate(groups), minlength=len(size))
    split = [held[some] > 1 if held.max() > 1 else None for some in groups]
    parts = sample.parts.map(
        arrange,
        Each(groups),
        Each(tuple(split)),
        Each(tuple(None if share is None else share[some] for some in groups)),
        structure,
        columns,
        len(size),
        read.is_sparse,
    )
    mean_columns = columns_of_parts(columns, read.is_sparse)[0]
    rows = Rows(parts, size, read.n_rows, mean_columns, columns[1])
    return rows.divided()


def _model(rows, structure, free, mean_columns, variance_columns):
    """The likelihood without bounds on the log-variance."""
    back, has_constant = variance_columns.back, int(variance_columns.has_constant)
    axes = np.zeros(back.T.shape)
    axes[has_constant:] = _directions(back[:, has_constant:])
    total = rows.reduce(_column_sums, len(free) > 0)
    return Heteroscedastic(
        rows=rows,
        reml=structure.reml,
        random=structure.random,
        fixed=structure.fixed,
        free=free,
        average=_average(rows, free, total),
        centres=(total.values / rows.size[:, None])[free] if len(free) else total[:0],
        farthest=rows.reduce(_column_extremes, join=np.maximum),
        axes=axes,
        log_bounds=(-np.inf, np.inf),
        alpha=structure.alpha,
        penalty=mean_columns.penalty(structure.alpha),
        variance_penalty=structure.variance_alpha * back.T @ back,
        effect_penalty=structure.variance_alpha,
    )


def _directions(back):
    """Which way the working coefficients go along each of the user's columns.

    The lengths are arbitrary, so that columns of any units may be together.
    """
    unit = np.linalg.norm(back, axis=1)
    unit[unit == 0] = 1.0
    return np.linalg.pinv(back / unit[:, None])


def _has_level(model):
    """Whether the log-variance goes up and down with the units of y."""
    free_effects = len(model.free) > 0 and not model.effect_penalty
    return model.rows.variance_columns.has_constant or free_effects


def log_bounds(constant, around_one):
    """Least and largest log-variance of a row.

    Without an intercept the log-variance may be about 0, wherever y is.
    """
    typical = np.array([constant.noise_variance])
    if around_one:
        typical = np.append(typical, 1.0)
    return np.log(LOWEST * typical.min()), np.log(HIGHEST * typical.max())


def _mean_columns(moments, structure, tolerance):
    """Working columns of the mean; free effects take the place of a constant."""
    if structure.fixed and not structure.alpha:
        norm = column_norms(moments.total)[:-1]
        moments = ungrouped(moments, absorbed=True, has_constant=False)
        columns = choose_within(moments, norm, has_constant=False, tolerance=tolerance)
    else:
        columns = choose_columns(
            moments,
            fit_intercept=structure.fit_intercept,
            alpha=structure.alpha,
            tolerance=tolerance,
        )
    return columns.whitened(moments)


def _variance_columns(moments, structure, tolerance):
    absorbed = structure.effects and not structure.variance_alpha
    has_constant = structure.fit_variance_intercept and not absorbed
    norm = column_norms(moments.total)[:-1]
    moments = ungrouped(moments, absorbed=absorbed, has_constant=has_constant)
    # The information of the log-variance of a row is 1/2.
    left = without_lost(moments, 2 * structure.variance_alpha, has_constant=True)
    columns = choose_within(
        left,
        norm,
        has_constant=has_constant,
        tolerance=tolerance,
        alpha=structure.variance_alpha,
    )
    return columns.whitened(moments)


@dataclass(frozen=True)
class Likeness:
    """Whether the rows of each group differ: rows that are all the same, or one row,
    leave nothing beside an effect of the group on the mean.

    Attributes
    ----------
    groups : ndarray of shape (g,)
    differs : ndarray of shape (g,)
    X, y : {ndarray, sparse matrix} of shape (g, p), ndarray of shape (g,)
        A row of each group, columns of the mean.
    """

    groups: np.ndarray
    differs: np.ndarray
    X: object
    y: np.ndarray

    def __add__(self, other):
        groups, (mine, theirs) = join_groups(self.groups, other.groups)
        differs = np.zeros(len(groups), dtype=bool)
        differs[mine] = self.differs
        differs[theirs] |= other.differs
        row = np.empty(len(groups), dtype=int)
        row[theirs] = len(mine) + np.arange(len(theirs))
        row[mine] = np.arange(len(mine))
        stack = sparse.vstack if sparse.issparse(self.X) else np.vstack
        X, y = stack([self.X, other.X])[row], np.append(self.y, other.y)[row]
        differs[theirs] |= (y[theirs] != other.y) | _unequal(X[theirs], other.X)
        return Likeness(groups, differs, X, y)


def _likeness(data, groups, mean):
    n_rows, n_groups = len(data.y), len(groups)
    codes = np.zeros(n_rows, int) if data.index is None else data.index.codes
    size, first = np.bincount(codes, minlength=n_groups), np.empty(n_groups, np.intp)
    first[codes[::-1]] = np.arange(n_rows)[::-1]
    tells = np.bincount(codes, data.y != data.y[first][codes], n_groups) > 0
    rows = np.flatnonzero((~tells & (size > 1))[codes])
    if len(rows):
        X, of_first = data.X[rows][:, mean], data.X[first[codes[rows]]][:, mean]
        tells[codes[rows[_unequal(X, of_first)]]] = True
    return Likeness(groups, tells, data.X[first][:, mean], data.y[first])


def _unequal(A, B):
    """Which rows of two matrices are not the same."""
    return np.asarray((A != B).sum(axis=1)).ravel() > 0


def _share(structure, free, size):
    """Share of each group's weight that carries information about variances, or None.

    Free effects of a group leave nothing of its rows.  Under REML one row's worth of
    each such group stays, which the information of its effect takes up.
    """
    if structure.alpha or not (structure.fixed and structure.effects):
        return None
    share = (1.0 if structure.reml else 0.0) / size
    share[free] = 1.0
    return share


def _column_sums(part, by_group):
    """Weighted sums of the columns of the log-variance, of every group or of all."""
    total = np.zeros((part.n_groups if by_group else 1, part.n_variance_columns))
    for rows in part.blocks(total.shape[1]):
        weighted = part.weight[rows][:, None] * part.variance_rows(rows)
        if not by_group:
            total += weighted.sum(axis=0)
            continue
        for column, sums in zip(weighted.T, total.T, strict=True):
            sums += np.bincount(part.codes[rows], column, part.n_groups)
    return ByGroup(part.groups, total) if by_group else total


def _column_extremes(part):
    largest = np.zeros(part.n_variance_columns)
    for rows in part.blocks(len(largest)):
        values = np.abs(part.variance_rows(rows)).max(axis=0)
        largest = np.maximum(largest, values)
    return largest


def _average(rows, free, total):
    """Weighted mean of the log-variance as a function of [delta, gamma]."""
    if not len(free):
        return total[0] / rows.n
    tied = np.delete(rows.size, free).sum()
    effects = rows.size[free] + tied / len(free)
    return np.concatenate([effects, total.values.sum(axis=0)]) / rows.n


def group_messages(read, problem, name):
    """Warnings about groups that the data do not identify; `read` are `Statistics`.

    ``name(j)`` is the name of feature j in a message.
    """
    structure, model = problem.structure, problem.model
    if read.labels is None:
        return
    if structure.random and not model.random:
        message = why_not_identified(read.labels, read.n_rows, problem.mean_columns)
        if message:
            yield message
    if structure.effects:
        yield from _effects_messages(problem)
    constant = set()
    if structure.fixed and not structure.alpha:
        constant |= _constant_within(problem.mean_moments, structure.mean)
    if len(model.free) and not structure.variance_alpha:
        constant |= _constant_within(problem.variance_moments, structure.variance)
    if constant:
        names = ", ".join(name(j) for j in sorted(constant))
        yield (
            f"Constant within groups, and not identified beside fixed effects of the "
            f"groups: {names}. Coefficients and effects share the differences between "
            "groups such that their sum of squares is least, which depends on units. "
            'Use "random", a ridge penalty, or leave such columns out.'
        )


def _effects_messages(problem):
    model, structure = problem.model, problem.structure
    n_groups = model.rows.n_groups
    n_tied = n_groups - len(model.free)
    if n_tied == n_groups:
        yield (
            f"All {n_groups} groups have one row, or rows that are all alike, which "
            "tells nothing about their variances: the log-variance has no effects of "
            "groups. Use coarser groups, or variance_groups=None."
        )
    elif n_tied:
        yield (
            f"{n_tied} of {count(n_groups, 'group')} have one row, or rows that are "
            "all alike, which tells nothing about a variance: their log-variance is "
            "the average of the other groups'. Use coarser groups, or "
            "variance_groups=None."
        )
    n_small = 0
    if structure.fixed and not structure.reml:
        n_small = int(np.sum(model.rows.reduce(_lengths).values < SMALL_GROUP))
    if n_small:
        yield (
            f"{n_small} of {count(n_groups, 'group')} have fewer than {SMALL_GROUP} "
            "rows: with fixed effects in mean and variance, maximum likelihood makes "
            "the variances of small groups too small, and has no maximum where rows "
            'can be fitted exactly. Use method="reml".'
        )


def _lengths(part):
    return ByGroup(part.groups, np.diff(part.bounds))


def _constant_within(moments, positions):
    """Features that vary between groups only."""
    within = column_norms(moments.within)[:-1]
    total = column_norms(moments.total)[:-1]
    return set(positions[(within == 0) & (total > 0)].tolist())
