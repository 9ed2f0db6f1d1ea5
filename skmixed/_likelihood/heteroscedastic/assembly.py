"""From a sample to the heteroscedastic likelihood: columns, rows and parameters
(docs/math.md, 9.1).
"""

from dataclasses import dataclass, replace

import numpy as np

from ..._rows.columns import (
    choose_columns,
    choose_within,
    rank_tolerance,
    ungrouped,
    without_lost,
)
from ..._rows.grouped import Rows, arrange, columns_of_parts
from ..._rows.likeness import likeness
from ..._rows.parts import ByGroup, Each
from .criterion import Heteroscedastic

# The largest known log-variance in size: variances between 1e-100 and 1e100.
LARGEST_OFFSET = 230.0


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


def assemble(sample, structure):
    """The likelihood of a sample, without bounds on the log-variance.

    Parameters
    ----------
    sample : Sample
        Its moments are those of all features and y.
    structure : Structure

    Returns
    -------
    likelihood : Heteroscedastic
    columns : pair of Columns
        From the user's columns of the mean and the log-variance to working columns.
    moments : pair of Moments
        Of the user's columns of the mean, and of the log-variance, and y.
    """
    read, moments = sample.statistics, sample.statistics.moments
    n_features = len(read.features)
    tolerance = rank_tolerance(read.n_rows, n_features, read)
    free = np.empty(0, dtype=int)
    if structure.effects:
        arguments = Each(sample.groups), structure.mean
        free = np.flatnonzero(sample.parts.reduce(likeness, *arguments).differs)
    structure = replace(structure, effects=len(free) > 0)
    of_mean = moments.columns(np.append(structure.mean, n_features))
    of_variance = moments.columns(np.append(structure.variance, n_features))
    mean_columns = _mean_columns(of_mean, structure, tolerance)
    variance_columns = variance_columns_of(of_variance, structure, tolerance)
    share, columns = (
        _share(structure, free, moments.size),
        (mean_columns, variance_columns),
    )
    rows = _arranged(sample, structure, share, columns)
    likelihood = _likelihood(rows, structure, free, *columns)
    if structure.offset is not None:
        likelihood = replace(likelihood, average_offset=_average_offset(rows))
    return likelihood, columns, (of_mean, of_variance)


def _average_offset(rows):
    """Weighted mean of the known part of the log-variance."""
    total, largest = rows.reduce(_offset_figures, join=_join_offsets)
    check_offset(largest)
    return float(total / rows.n)


def check_offset(largest):
    """Refuse known log-variances of which the largest in size is none."""
    if largest > LARGEST_OFFSET:
        raise ValueError(
            f"variance_offset has values up to {largest:.3g} in size, which are no "
            "logarithms of variances: these lie within "
            f"{LARGEST_OFFSET:g}. Give the logarithm of the known variance."
        )


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


def _likelihood(rows, structure, free, mean_columns, variance_columns):
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


def _mean_columns(moments, structure, tolerance):
    """Working columns of the mean; free effects take the place of a constant."""
    if structure.fixed and not structure.alpha:
        norm = moments.spread[:-1]
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


def variance_columns_of(moments, structure, tolerance):
    """Working columns of the log-variance, whose scatter is n times the identity."""
    absorbed = structure.effects and not structure.variance_alpha
    has_constant = structure.fit_variance_intercept and not absorbed
    norm = moments.spread[:-1]
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
