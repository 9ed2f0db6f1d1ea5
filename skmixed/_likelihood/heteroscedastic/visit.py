"""One visit to the rows: sums over the columns of the log-variance at one point
(docs/math.md, 9.3 to 9.5).
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from ..._rows.parts import add_by_group, join_groups
from ..._rows.pieces import weighted_sums
from .residuals import local_posterior, residuals

# Numbers that may hold the coupling of all pairs of variance effects through the
# leverages (REML); if it takes more, the effects' share of it is left out.
MOST_COUPLING = 2e7


@dataclass(frozen=True)
class Asked:
    """The sums that a visit has to collect.

    Attributes
    ----------
    reml, expected : bool
    effects : bool
        Whether groups have effects on the log-variance.
    grouped : bool
        Whether groups matter at all.
    coefficients : bool
        Whether to collect the part of the uncertain coefficients: K.
    leverages : bool
        Whether to collect the part of the changes of the leverages (REML): C, and H.
    effect_leverages : bool
        Whether to keep those of the effects.
    """

    reml: bool
    expected: bool
    effects: bool
    grouped: bool
    coefficients: bool
    leverages: bool
    effect_leverages: bool


@dataclass
class Sums:
    """Sums over the rows about the columns s_j of the log-variance.

    With t_j = a s_j / v, e the residuals, h the rows of X~L, and 1_g ahead of the
    columns where groups have effects on the log-variance (then k counts it).

    Attributes
    ----------
    score : ndarray of shape (k,)
        sum s (a - e2 a / v), e2 the expected squared noise.
    square : ndarray of shape (k, k)
        sum q s s', q as in `_row_figures`.
    K : ndarray of shape (r, k) or None
        sum h e t'.
    C : ndarray of shape (k, r, r)
        sum t h h' (REML).
    E, Ek : ndarrays of shapes (k, k), (k,)
        sum_g c_g H_g H_g' and sum_g H_g k_g / D_g, H_g = sum t h' of a group (REML).
    t, te : ndarrays of shape (G, k)
        Sums of t and of e t of every group.
    effect_score, effect_square, effect_residual : shape (G, ...)
        score, square and K of the columns 1_g, one row for each group.
    effect_leverage, effect_mean, effect_between : shape (G, ...)
        C, H_g and E of the same.
    groups : ndarray of shape (G,)
        Which groups these are.
    split_groups : ndarray of shape (s,)
        Groups with rows in several parts.
    split : ndarray of shape (s, k, r)
        H_g of those, which are not in the figures made of H_g before all parts are
        together.
    """

    score: np.ndarray
    square: np.ndarray
    K: np.ndarray
    C: np.ndarray | None
    E: np.ndarray
    Ek: np.ndarray
    t: np.ndarray
    te: np.ndarray
    effect_score: np.ndarray
    effect_square: np.ndarray
    effect_residual: np.ndarray
    effect_leverage: np.ndarray | None
    effect_mean: np.ndarray
    effect_between: np.ndarray
    groups: np.ndarray
    split_groups: np.ndarray
    split: np.ndarray

    def __add__(self, other):
        added = {}
        for groups, names in OF_GROUPS.items():
            mine, theirs = getattr(self, groups), getattr(other, groups)
            added[groups], positions = join_groups(mine, theirs)
            for name in names:
                both = getattr(self, name), getattr(other, name)
                added[name] = both[0]
                if both[0] is not None and len(both[0]) == len(mine):
                    n_groups = len(added[groups])
                    added[name] = add_by_group(both, positions, n_groups)
        for name in TOTALS:
            mine, theirs = getattr(self, name), getattr(other, name)
            added[name] = None if mine is None else mine + theirs
        return Sums(**added)


TOTALS = ("score", "square", "K", "C", "E", "Ek")
OF_GROUPS = {
    "groups": (
        "t",
        "te",
        "effect_score",
        "effect_square",
        "effect_residual",
        "effect_leverage",
        "effect_mean",
        "effect_between",
    ),
    "split_groups": ("split",),
}


def visit(model, point, groups, expected, known_coefficients):
    """`Sums` over all rows; parameters as in `derivatives`."""
    rows, own, r = model.rows, len(model.free) > 0, len(point.factor.root_inverse)
    leverages = model.reml and not known_coefficients
    asked = Asked(
        reml=model.reml,
        expected=expected,
        effects=own,
        grouped=rows.n_groups > 1 or model.random or model.fixed or own,
        coefficients=not known_coefficients,
        leverages=leverages,
        effect_leverages=own and leverages and rows.n_groups * r * r <= MOST_COUPLING,
    )
    trend = model.trend(point.theta)
    sums = rows.reduce(_visit_part, trend, groups, point.posterior, asked)
    if len(sums.split_groups):
        _add_between(sums, sums.split_groups, groups, sums.split)
    return sums


def _visit_part(part, trend, groups, posterior, asked):
    """Sums over the rows of one part."""
    local = local_posterior(part, posterior)
    k, r = len(trend.gamma) + asked.effects, local[0].shape[1] - 1
    sums = _no_sums(part, k, r, asked)
    for run, slices in part.runs(k + r, k * r if asked.leverages else k):
        H = None
        if asked.leverages and asked.grouped:
            H = np.zeros((run.stop - run.start, k, r))
        for some in slices:
            S = part.variance_rows(some, asked.effects)
            figures = _row_figures(part, S, some, trend, groups, local, asked)
            found, score, q = figures
            sums.score += score @ S
            sums.square += S.T @ (q[:, None] * S)
            if asked.coefficients:
                sums.K += found.h.T @ ((found.w * found.e)[:, None] * S)
            if asked.grouped:
                _add_by_group(sums, part, run, some, S, figures, asked)
            if asked.leverages:
                _add_leverages(sums.C, found, S)
            if H is not None:
                places = part.codes[some] - run.start
                t = found.w[:, None] * S
                H += _products_by_group(places, t, found.h, len(H))
        if H is not None:
            _add_whole(sums, part, run, groups, H)
    return sums


def _row_figures(part, S, some, trend, groups, local, asked):
    """Figures of some rows, whose columns of the log-variance are S: their `Residuals`,
    the score a - e2 a / v, and the weight q of s s' in the information.

    q is e2 a / 2v where that is observed, and a / 2 - (e2 - e^2) a / v where it is
    expected.  Weights, scores and q are 0 where the log-variance is at a bound.
    """
    eta = trend.at(S[:, int(asked.effects) :], part.codes[some])
    with_h = asked.coefficients
    found = residuals(
        part, some, eta, trend, groups, local, reml=asked.reml, with_h=with_h
    )
    w, counted = found.w, found.counted
    if not found.inside.all():
        w, counted = w * found.inside, counted * found.inside
        found = replace(found, w=w)
    noise = w * found.square
    q = 0.5 * counted - w * found.uncertain if asked.expected else 0.5 * noise
    return found, counted - noise, q


def _no_sums(part, k, r, asked):
    n_groups, leverages = part.n_groups, asked.leverages
    effects = n_groups if asked.effects else 0
    n_split, leverage = 0, None
    if asked.effect_leverages:
        leverage = np.zeros((effects, r, r))
    if leverages and asked.grouped and part.split is not None:
        n_split = int(part.split.sum())
    return Sums(
        score=np.zeros(k),
        square=np.zeros((k, k)),
        K=np.zeros((r, k)) if asked.coefficients else None,
        C=np.zeros((k, r, r)) if leverages else None,
        E=np.zeros((k, k)),
        Ek=np.zeros(k),
        t=np.zeros((n_groups, k)),
        te=np.zeros((n_groups, k)),
        effect_score=np.zeros(effects),
        effect_square=np.zeros((effects, k)),
        effect_residual=np.zeros((effects, r)),
        effect_leverage=leverage,
        effect_mean=np.zeros((effects, r)),
        effect_between=np.zeros((effects, k)),
        groups=part.groups,
        split_groups=part.groups[part.split] if n_split else np.empty(0, dtype=int),
        split=np.zeros((n_split, k, r)),
    )


def _add_by_group(sums, part, run, some, S, figures, asked):
    """Add sums over the groups of a `run`, of `some` of their rows."""
    bounds = np.clip(part.bounds[run.start : run.stop + 1] - some.start, 0, len(S))
    found, score, q = figures
    w, we = found.w, found.w * found.e
    weights = [w, we, q, score] if asked.effects else [w, we]
    of_S = weighted_sums(np.stack(weights), bounds) @ S
    of_S = of_S.reshape(len(weights), len(bounds) - 1, S.shape[1])
    sums.t[run] += of_S[0]
    sums.te[run] += of_S[1]
    if asked.effects:
        sums.effect_square[run] += of_S[2]
        sums.effect_score[run] += of_S[3, :, 0]
    if asked.effects and asked.coefficients:
        sums.effect_residual[run] += weighted_sums(we, bounds) @ found.h
    if asked.effect_leverages:
        places, wh = part.codes[some] - run.start, w[:, None] * found.h
        n_groups = run.stop - run.start
        sums.effect_leverage[run] += _products_by_group(places, wh, found.h, n_groups)


def _add_leverages(C, found, S):
    """Add sum t h h' for each column of the log-variance; no product of a single row is
    made, of which there are r^2 numbers.
    """
    by_column = np.ascontiguousarray(found.h.T)
    for of_column, s in zip(C, S.T, strict=True):
        of_column += (by_column * (found.w * s)) @ found.h


def _products_by_group(codes, A, B, n_groups):
    """sum a_j b_j' over the rows j of each group, (n_groups, k, r).

    Row j of A is spread over the k places of its group: one sparse product, which
    makes no product of a single row.
    """
    n, k = A.shape
    places = (k * codes[:, None] + np.arange(k, dtype=codes.dtype)).ravel()
    spread = (A.ravel(), places, k * np.arange(n + 1, dtype=codes.dtype))
    spread = sparse.csc_array(spread, shape=(k * n_groups, n))
    return (spread @ B).reshape(n_groups, k, B.shape[1])


def _add_whole(sums, part, run, groups, H):
    """Add the products of the sums H_g, of groups that have all their rows here."""
    if len(sums.effect_mean):
        sums.effect_mean[run] = H[:, 0]
    if len(sums.split):
        split = part.split[run]
        place = np.cumsum(part.split)[run][split] - 1
        sums.split[place] = H[split]
        H[split] = 0.0
    _add_between(sums, run, groups, H)


def _add_between(sums, some, groups, H):
    """Add the products of the sums H_g of `some` groups."""
    scaled = np.sqrt(groups.c[some, None, None]) * H
    by_column = scaled.transpose(1, 0, 2).reshape(H.shape[1], len(H) * H.shape[2])
    sums.E += by_column @ by_column.T
    sums.Ek += np.einsum("gir,gr->i", H, groups.k[some] / groups.D[some, None])
    if len(sums.effect_between):
        sums.effect_between[some] = np.einsum("gr,gir->gi", scaled[:, 0], scaled)
