"""From moments to the heteroscedastic likelihood: its columns, its rows, its parameters
(docs/math.md, 9.1).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from ._design import (
    Columns,
    choose_columns,
    choose_within,
    noise_floor,
    ungrouped,
)
from ._gram import column_norms
from ._heteroscedastic_criterion import Heteroscedastic
from ._preparation import count, rank_tolerance, why_not_identified
from ._rows import arrange
from ._starts import Constant, best_constant

# The noise variance of a row lies within these multiples of that of the same model with
# one noise variance: a thousandth of a percent to 100,000 times in standard deviation.
LOWEST, HIGHEST = 1e-10, 1e10
SMALL_GROUP = 10  # rows; the bias of a log-variance under ML is then some -0.2


@dataclass(frozen=True)
class Structure:
    """What depends on what.

    Attributes
    ----------
    reml : bool
    random, fixed : bool
        Whether the groups have random intercepts, or fixed effects, in the mean.
    effects : bool
        Whether they have fixed effects on the log-variance.
    mean, variance : ndarray of int
        Positions among the features of the columns of the mean and the log-variance.
    fit_intercept, fit_variance_intercept : bool
    alpha, variance_alpha : float
    """

    reml: bool
    random: bool
    fixed: bool
    effects: bool
    mean: np.ndarray
    variance: np.ndarray
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


def state_problem(data, moments, structure, n_jobs):
    """The likelihood of validated data.

    Parameters
    ----------
    data : Data
    moments : Moments
        Of all features and y.
    structure : Structure
    n_jobs : int or None
    """
    n_features = len(data.features)
    tolerance = rank_tolerance(data.n_rows, n_features, sparse.issparse(data.X))
    n_groups, codes = len(moments.size), np.zeros(len(data.y), dtype=np.int32)
    if data.index is not None:
        codes = data.index.codes
    free = np.empty(0, dtype=int)
    if structure.effects:
        free = np.flatnonzero(_tells_variance(data, codes, n_groups, structure.mean))
    told = replace(structure, effects=len(free) > 0)
    mean_moments = moments.columns(np.append(structure.mean, n_features))
    variance_moments = moments.columns(np.append(structure.variance, n_features))
    mean_columns = _mean_columns(mean_moments, told, tolerance)
    variance_columns = _variance_columns(variance_moments, told, tolerance)
    rows = arrange(data, codes, n_groups, told, mean_columns, variance_columns)
    model = _model(rows, told, free, mean_columns, variance_columns, n_jobs)
    floor = noise_floor(mean_moments, structure.fixed or mean_columns.has_constant)
    gram = mean_columns.gram(mean_moments)
    constant = best_constant(model, np.zeros(len(data.y)), floor, gram)
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


def _model(rows, structure, free, mean_columns, variance_columns, n_jobs):
    """The likelihood without bounds on the log-variance."""
    back, has_constant = variance_columns.back, int(variance_columns.has_constant)
    axes = np.zeros(back.T.shape)
    axes[has_constant:] = np.linalg.pinv(back[:, has_constant:])
    return Heteroscedastic(
        rows=rows,
        reml=structure.reml,
        random=structure.random,
        fixed=structure.fixed,
        free=free,
        counted=_counted(rows, structure, free),
        average=_average(rows, free, back.shape[1]),
        centres=_centres(rows, free, back.shape[1]),
        axes=axes,
        log_bounds=(-np.inf, np.inf),
        alpha=structure.alpha,
        penalty=mean_columns.penalty(structure.alpha),
        variance_penalty=structure.variance_alpha * back.T @ back,
        effect_penalty=structure.variance_alpha,
        n_jobs=n_jobs,
    )


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
            penalised=structure.alpha > 0,
            tolerance=tolerance,
        )
    return columns.whitened(moments)


def _variance_columns(moments, structure, tolerance):
    absorbed = structure.effects and not structure.variance_alpha
    has_constant = structure.fit_variance_intercept and not absorbed
    norm = column_norms(moments.total)[:-1]
    moments = ungrouped(moments, absorbed=absorbed, has_constant=has_constant)
    columns = choose_within(
        moments, norm, has_constant=has_constant, tolerance=tolerance
    )
    return columns.whitened(moments)


def _tells_variance(data, codes, n_groups, mean):
    """Whether the rows of each group differ: rows that are all the same, or one row,
    leave nothing beside an effect of the group on the mean.
    """
    size = np.bincount(codes, minlength=n_groups)
    first = np.empty(n_groups, dtype=np.intp)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    differs = data.y != data.y[first][codes]
    tells = np.bincount(codes, differs, n_groups) > 0
    rows = np.flatnonzero((~tells & (size > 1))[codes])
    if len(rows):
        X, of_first = data.X[rows][:, mean], data.X[first[codes[rows]]][:, mean]
        differs = np.asarray((of_first != X).sum(axis=1)).ravel() > 0
        tells[codes[rows[differs]]] = True
    return tells


def _counted(rows, structure, free):
    """The weights, without rows that free effects of their group leave nothing of.

    Under REML one row's worth of each such group stays, which the information of its
    effect takes up.
    """
    if structure.alpha or not (structure.fixed and structure.effects):
        return rows.weight
    size = np.bincount(rows.codes, rows.weight, rows.n_groups)
    share = np.full(rows.n_groups, 1.0 if structure.reml else 0.0) / size
    share[free] = 1.0
    return rows.weight * share[rows.codes]


def _centres(rows, free, k):
    """Weighted means of the columns of the log-variance in the groups with effects."""
    if not len(free):
        return np.empty((0, k))
    total = np.zeros((rows.n_groups, k))
    for j, axis in enumerate(np.eye(k)):
        s = rows.weight * rows.log_variance(axis)
        total[:, j] = np.bincount(rows.codes, s, rows.n_groups)
    size = np.bincount(rows.codes, rows.weight, rows.n_groups)
    return (total / size[:, None])[free]


def _average(rows, free, k):
    """Weighted mean of the log-variance as a function of [delta, gamma]."""
    columns = np.zeros(k)
    for _, slices in rows.runs(k):
        for some in slices:
            columns += rows.weight[some] @ rows.variance_rows(some)
    effects = np.empty(0)
    if len(free):
        size = np.bincount(rows.codes, rows.weight, rows.n_groups)
        tied = np.delete(size, free).sum()
        effects = size[free] + tied / len(free)
    return np.concatenate([effects, columns]) / rows.n


def group_messages(data, problem, name):
    """What the data could not tell about groups, with counts.

    ``name(j)`` is what to call feature j in a message.
    """
    structure, model = problem.structure, problem.model
    if data.index is None:
        return
    if structure.random and not model.random:
        message = why_not_identified(data.labels, data.n_rows, problem.mean_columns)
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
    n_small = int(np.sum(np.diff(model.rows.bounds) < SMALL_GROUP))
    if structure.fixed and not structure.reml and n_small:
        yield (
            f"{n_small} of {count(n_groups, 'group')} have fewer than {SMALL_GROUP} "
            "rows: with fixed effects in mean and variance, maximum likelihood makes "
            "the variances of small groups too small, and has no maximum where rows "
            'can be fitted exactly. Use method="reml".'
        )


def _constant_within(moments, positions):
    """Features that vary between groups only."""
    within = column_norms(moments.within)[:-1]
    total = column_norms(moments.total)[:-1]
    return set(positions[(within == 0) & (total > 0)].tolist())
