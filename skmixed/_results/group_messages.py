"""Warnings of the heteroscedastic model about groups that the data cannot tell."""

import numpy as np

from .._input.messages import count, why_not_identified
from .._rows.parts import ByGroup
from .._rows.qr import column_norms

SMALL_GROUP = 10  # Rows; with fewer the bias of a log-variance under ML is some -0.2.


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
    total = moments.spread[:-1]
    return set(positions[(within == 0) & (total > 0)].tolist())
