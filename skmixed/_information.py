"""Score and information of the heteroscedastic criterion (docs/math.md, 9.3 to 9.5).

One visit to the rows collects `Sums`; what follows is algebra of groups and columns.
The observed information is exact (but see MOST_COUPLING).  Coordinates are
theta = [delta, gamma, psi].
"""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ._arrow import assemble_arrow
from ._gram import weighted_sums
from ._heteroscedastic_criterion import NEXT_TO
from ._parts import ByGroup, add_by_group, join_groups

# How many numbers may hold the coupling of all pairs of variance effects through the
# leverages (REML); where it takes more, the effects' share of it is left out.
MOST_COUPLING = 2e7


@dataclass(frozen=True)
class Groups:
    """Figures of every group at one point.

    Attributes
    ----------
    c : ndarray of shape (G,)
        Variance of the group's effect, coefficients known; 0 without effects.
    in_trace : bool
        Whether c counts as noise: the effects are integrated out.
    S, D, u : ndarray of shape (G,)
        sum a / v, 1 + psi S, and Z'V^-1 r; of use for random intercepts only.
    k : ndarray of shape (G, r)
        Z'V^-1 X L, where (X'V^-1 X)^-1 = L L'; likewise.
    """

    c: np.ndarray
    in_trace: bool
    S: np.ndarray
    D: np.ndarray
    u: np.ndarray
    k: np.ndarray

    def part(self, groups):
        """The figures of some groups."""
        c, S, D = self.c[groups], self.S[groups], self.D[groups]
        return Groups(c, self.in_trace, S, D, self.u[groups], self.k[groups])


@dataclass(frozen=True)
class Asked:
    """What a visit is to collect.

    Attributes
    ----------
    reml, expected : bool
    effects : bool
        Whether groups have effects on the log-variance.
    grouped : bool
        Whether groups matter at all.
    coefficients : bool
        Whether to collect what is due to the coefficients' not being known: K.
    leverages : bool
        Whether to collect what changes of the leverages add (REML): C, and H.
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
    """What the rows say about the columns s_j of the log-variance.

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
    C : ndarray of shape (k, r (r + 1) / 2)
        sum t h h' (REML), the upper triangle row by row.
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


def derivatives(model, point, expected=False, known_coefficients=False):
    """Gradient of the criterion at a point, and its observed or expected information.

    Parameters
    ----------
    model : Heteroscedastic
    point : Point
    expected : bool, default=False
    known_coefficients : bool, default=False
        Whether the information of gamma is as if the coefficients of the mean were
        known. That is half the work under REML, and what it leaves out is of the order
        of the number of coefficients over that of rows.

    Returns
    -------
    gradient : ndarray of shape (n_parameters,)
        Of `Point.value`, minus the penalised log-likelihood.
    information : Arrow
    """
    groups = _groups(model, point)
    sums = _visit(model, point, groups, expected, known_coefficients)
    gradient = _gradient(model, point, groups, sums)
    uncoupled = _uncoupled(model, groups, sums, expected)
    return gradient, _assemble(model, point, groups, sums, uncoupled, expected)


def _groups(model, point):
    factor, root_inverse = point.factor, point.factor.root_inverse
    n_groups, r = model.rows.n_groups, len(root_inverse)
    c, S = point.posterior.modes_variance, factor.gram.R11[:, 0, 0] ** 2
    D, u, k = np.ones(n_groups), np.zeros(n_groups), np.zeros((n_groups, r))
    if model.random:
        projection = factor.projection()[:, 0]
        D = 1 + S * point.posterior.group_variance
        u, k = projection @ factor.contrast, projection[:, :-1] @ root_inverse
    return Groups(c, model.integrated, S, D, u, k)


# ------------------------------------------------------------------------ the visit


def _visit(model, point, groups, expected, known_coefficients):
    """Sums over all rows."""
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
    local = _local_posterior(part, posterior)
    k, r = len(trend.gamma) + asked.effects, local.into.shape[1] - 1
    sums = _no_sums(part, k, r, asked)
    for run, slices in part.runs(k + r, k * r if asked.leverages else k):
        H = None
        if asked.leverages and asked.grouped:
            H = np.zeros((run.stop - run.start, k, r))
        for some in slices:
            S = part.variance_rows(some, asked.effects)
            found = _row_figures(part, S, trend, groups, local, some, asked)
            sums.score += found.score @ S
            sums.square += S.T @ (found.q[:, None] * S)
            if asked.coefficients:
                sums.K += found.h.T @ ((found.w * found.e)[:, None] * S)
            if asked.grouped:
                _add_by_group(sums, part, run, some, S, found, asked)
            if asked.leverages:
                t, places = found.w[:, None] * S, part.codes[some] - run.start
                _add_leverages(sums, places, t, found.h, H)
        if H is not None:
            _add_whole(sums, part, run, groups, H)
    return sums


@dataclass(frozen=True)
class Local:
    """The posterior for rows that are counted from their group's origin.

    [y - e, h] = X into + offset of the group.
    """

    into: np.ndarray
    offset: np.ndarray

    def residuals(self, part, rows, with_h):
        """e and h of some rows; h has no columns where it is not asked for."""
        into, offset = self.into, self.offset
        if not with_h:
            into, offset = into[:, :1], offset[:, :1]
        figures = part.X[rows] @ into
        figures += offset.take(part.codes[rows], axis=0)
        return part.y[rows] - figures[:, 0], figures[:, 1:]


def _local_posterior(part, posterior):
    shift = part.origins[:, :-1] - posterior.shift
    offset = posterior.level + shift @ posterior.coef + posterior.modes
    offset -= part.origins[:, -1]
    root_offset = posterior.level_root + shift @ posterior.coef_root - posterior.loading
    into = np.column_stack([posterior.coef, posterior.coef_root])
    return Local(into, np.column_stack([offset, root_offset]))


def _no_sums(part, k, r, asked):
    n_groups, leverages = part.n_groups, asked.leverages
    effects = n_groups if asked.effects else 0
    n_split, leverage = 0, None
    if asked.effect_leverages:
        leverage = np.zeros((effects, r * (r + 1) // 2))
    if leverages and asked.grouped and part.split is not None:
        n_split = int(part.split.sum())
    return Sums(
        score=np.zeros(k),
        square=np.zeros((k, k)),
        K=np.zeros((r, k)) if asked.coefficients else None,
        C=np.zeros((k, r * (r + 1) // 2)) if leverages else None,
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


@dataclass(frozen=True)
class RowFigures:
    """Figures of some rows.

    All but e and h are 0 where the log-variance is at one of its bounds.

    Attributes
    ----------
    w, e : ndarray of shape (n,)
        a / v, and the residuals.
    h : ndarray of shape (n, r), or (n, 0) where it is not asked for
    score : ndarray of shape (n,)
        a - e2 a / v.
    q : ndarray of shape (n,)
        What weighs s s' in the information: e2 a / 2v where it is observed, and
        a / 2 - (e2 - e^2) a / v where it is expected.
    """

    w: np.ndarray
    e: np.ndarray
    h: np.ndarray
    score: np.ndarray
    q: np.ndarray


def _row_figures(part, S, trend, groups, local, some, asked):
    w, counted, inside, e, h, uncertain = _at_rows(
        part, S, trend, groups, local, some, asked
    )
    if not inside.all():
        w, counted = w * inside, counted * inside
    noise = w * (e * e + uncertain)
    q = 0.5 * counted - w * uncertain if asked.expected else 0.5 * noise
    return RowFigures(w, e, h, counted - noise, q)


def _at_rows(part, S, trend, groups, local, some, asked):
    """a / v of some rows, what counts of a, whether the log-variance is within its
    bounds, e, h, and e2 - e^2.
    """
    codes = part.codes[some]
    eta = trend.at(S[:, int(asked.effects) :], codes)
    log_v = np.clip(eta, *trend.bounds)
    w = np.exp(-log_v)
    w *= part.weight[some]
    e, h = local.residuals(part, some, asked.reml or asked.coefficients)
    uncertain = np.einsum("ij,ij->i", h, h) if asked.reml else 0.0
    if groups.in_trace:
        uncertain = uncertain + groups.c.take(codes)
    return w, part.counted(some), eta == log_v, e, h, uncertain


def gain_by_exact_rows(model, point):
    """How much the log-likelihood gains for each unit by which the log-variances of
    rows at the lower bound fall: 1/2 for a row that is fitted exactly, but nothing for
    one whose coefficient, or group, does the same for no other row.
    """
    asked = _asked_of_rows(model.reml)
    groups, trend = _groups(model, point), model.trend(point.theta)
    gain = model.rows.reduce(_gain_of_part, trend, groups, point.posterior, asked)
    return max(float(gain), 0.0)


def _gain_of_part(part, trend, groups, posterior, asked):
    local, gain, (low, _) = _local_posterior(part, posterior), 0.0, trend.bounds
    for rows, S, eta in part.visit(trend):
        w, counted, _, e, _, uncertain = _at_rows(
            part, S, trend, groups, local, rows, asked
        )
        drive = 0.5 * (counted - w * (e * e + uncertain))
        gain += drive[eta < low + NEXT_TO].sum()
    return gain


def expected_noise(model, point, known_coefficients=False):
    """a e2 of every row, 0 at the bounds of the log-variance; parts of it are where
    the rows are.
    """
    asked = _asked_of_rows(model.reml and not known_coefficients)
    groups = _groups(model, point)
    trend = model.trend(point.theta)
    return model.rows.map(_noise_of_part, trend, groups, point.posterior, asked)


def spread_within_groups(model, point):
    """Weighted variance of the residuals of each group about their mean."""
    sums = model.rows.reduce(_residual_sums, point.posterior).values
    size, mean = model.rows.size, sums[:, 0] / model.rows.size
    return np.maximum(sums[:, 1] / size - mean**2, 0.0)


def _residual_sums(part, posterior):
    local, sums = _local_posterior(part, posterior), np.zeros((part.n_groups, 2))
    for rows in part.blocks(part.X.shape[1]):
        e, _ = local.residuals(part, rows, with_h=False)
        a, codes = part.weight[rows], part.codes[rows]
        sums += np.column_stack(
            [np.bincount(codes, a * power, part.n_groups) for power in (e, e * e)]
        )
    return ByGroup(part.groups, sums)


def _asked_of_rows(reml):
    """Nothing but figures of single rows."""
    return Asked(
        reml=reml,
        expected=False,
        effects=False,
        grouped=True,
        coefficients=False,
        leverages=False,
        effect_leverages=False,
    )


def _noise_of_part(part, trend, groups, posterior, asked):
    local, noise = _local_posterior(part, posterior), np.empty(len(part.y))
    for rows, S, eta in part.visit(trend):
        found = _row_figures(part, S, trend, groups, local, rows, asked)
        noise[rows] = 2 * found.q * np.exp(np.clip(eta, *trend.bounds))
    return noise


def _add_by_group(sums, part, run, some, S, found, asked):
    """Add sums over the groups of a `run`, of `some` of their rows."""
    bounds = np.clip(part.bounds[run.start : run.stop + 1] - some.start, 0, len(S))
    w, we = found.w, found.w * found.e
    weights = [w, we, found.q, found.score] if asked.effects else [w, we]
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
        sums.effect_leverage[run] += weighted_sums(w, bounds) @ _pairs(found.h).T


def _add_leverages(sums, places, t, h, H):
    """Add to C, and to the sums H_g = sum t h' of groups, (groups, k, r)."""
    sums.C += (_pairs(h) @ t).T
    if H is not None:
        H += _products_by_group(places, t, h, len(H))


def _pairs(h):
    """h h' of every row, the upper triangle row by row, (r (r + 1) / 2, n)."""
    r, by_column = h.shape[1], np.ascontiguousarray(h.T)
    products, last = np.empty((r * (r + 1) // 2, len(h))), 0
    for a in range(r):
        first, last = last, last + r - a
        np.multiply(by_column[a], by_column[a:], out=products[first:last])
    return products


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
    """Add what needs the sums H_g of groups, of those whose rows are all here."""
    if len(sums.effect_mean):
        sums.effect_mean[run] = H[:, 0]
    if len(sums.split):
        split = part.split[run]
        place = np.cumsum(part.split)[run][split] - 1
        sums.split[place] = H[split]
        H[split] = 0.0
    _add_between(sums, run, groups, H)


def _add_between(sums, some, groups, H):
    """Add what is made of the sums H_g of `some` groups."""
    scaled = np.sqrt(groups.c[some, None, None]) * H
    by_column = scaled.transpose(1, 0, 2).reshape(H.shape[1], len(H) * H.shape[2])
    sums.E += by_column @ by_column.T
    sums.Ek += np.einsum("gir,gr->i", H, groups.k[some] / groups.D[some, None])
    if len(sums.effect_between):
        sums.effect_between[some] = np.einsum("gr,gir->gi", scaled[:, 0], scaled)


# ----------------------------------------------------------------------- the algebra


def _gradient(model, point, groups, sums):
    delta, gamma, _ = model.split(point.theta)
    own = len(model.free) > 0
    gradient = 0.5 * sums.score[own:] + model.variance_penalty @ gamma
    if own:
        effect = _tie(model, 0.5 * sums.effect_score + model.effect_penalty * delta)
        gradient = np.concatenate([effect, gradient])
    if model.penalty is not None and not model.reml:
        gradient = gradient - 0.5 * point.shrinkage * model.average
    if model.random:
        slope = groups.u**2 - groups.S / groups.D
        if model.reml:
            slope = slope + np.sum(groups.k**2, axis=1)
        gradient = np.append(gradient, -0.5 * slope.sum())
    return gradient


def _tie(model, figures):
    """Figures of the free groups, those of the tied groups shared among them."""
    tied = np.delete(figures, model.free, axis=0).sum(axis=0)
    return figures[model.free] + tied / len(model.free)


def _uncoupled(model, groups, sums, expected):
    """Information without what couples all groups: diagonal, border, corner.

    The diagonal is that of all groups, tied ones included.
    """
    sign, own = (1.0 if expected else -1.0), len(model.free) > 0
    c, t, te = groups.c[:, None], sums.t, sums.te
    square, border = sums.square.copy(), sums.effect_square.copy()
    if not expected:
        square -= te.T @ (c * te)
    if groups.in_trace:
        square += sign * 0.5 * t.T @ (c**2 * t)
    if model.reml:
        square += sign * sums.E
    if own:
        if not expected:
            border -= c * te[:, :1] * te
        if groups.in_trace:
            border += sign * 0.5 * c**2 * t[:, :1] * t
        if model.reml:
            border += sign * sums.effect_between
    if model.random:
        mixed = sign * 0.5 * t / groups.D[:, None] / groups.D[:, None]
        if not expected:
            mixed += te * (groups.u / groups.D)[:, None]
        with_psi = mixed.sum(axis=0) - sign * sums.Ek
        if own:
            mixed_effect = mixed[:, :1]
            if model.reml:
                inner = np.sum(sums.effect_mean * groups.k, axis=1) / groups.D
                mixed_effect = mixed_effect - sign * inner[:, None]
            border = np.hstack([border, mixed_effect])
        square = np.block(
            [[square, with_psi[:, None]], [with_psi, _psi_psi(model, groups, sign)]]
        )
    if not own:
        return np.empty(0), np.empty((0, len(square))), square
    return border[:, 0], border[:, 1:], square[1:, 1:]


def _psi_psi(model, groups, sign):
    ratio = groups.S / groups.D
    value = sign * 0.5 * np.sum(ratio**2)
    if model.reml:
        value -= sign * np.sum(ratio[:, None] * groups.k**2)
    if sign < 0:
        value += np.sum(groups.u**2 * ratio)
    return value


def _psi_by_coefficients(model, groups, expected):
    """What is due to the coefficients' not being known in the information of psi, which
    needs no visit, and is of the order of their number over that of groups.
    """
    value = 0.0 if expected else -np.sum((groups.u @ groups.k) ** 2)
    if model.reml:
        value += (0.5 if expected else -0.5) * np.sum((groups.k.T @ groups.k) ** 2)
    return value


def _assemble(model, point, groups, sums, uncoupled, expected):
    """The information of the parameters, what couples all groups included."""
    diagonal, border, corner = uncoupled
    k, n_free = len(model.variance_penalty), len(model.free)
    corner[:k, :k] += model.variance_penalty
    if sums.K is None and model.random:
        corner[-1, -1] += _psi_by_coefficients(model, groups, expected)
    couplings = []
    if sums.C is not None:
        couplings.append(_leverage_coupling(model, groups, sums, expected))
    if sums.K is not None and not expected:
        couplings.append(_coefficient_coupling(model, point, groups, sums))
    if model.penalty is not None and not model.reml:
        couplings.append(_ridge_coupling(model, point, groups, sums, expected))
    if n_free:
        diagonal = diagonal + model.effect_penalty
        tied = np.delete(diagonal, model.free).sum()
        diagonal, border = diagonal[model.free], _tie(model, border)
        if tied:
            average = np.zeros((n_free + len(corner), 1))
            average[:n_free] = 1 / n_free
            couplings.append((average, tied))
    return assemble_arrow(diagonal, border, corner, couplings)


def _stack(model, effect, columns, psi):
    """Rows of a coupling: those of the effects if there are any, the columns, psi."""
    rows = [columns]
    if len(model.free):
        rows = [columns[1:]] if effect is None else [_tie(model, effect), columns[1:]]
    if model.random:
        rows.append(psi[None])
    return np.vstack(rows)


def _coefficient_coupling(model, point, groups, sums):
    """-K'K: the coefficients follow the variances."""
    U = _stack(model, sums.effect_residual, sums.K.T, groups.u @ groups.k)
    if model.penalty is not None and not model.reml:
        U = U + np.outer(_average(model), _ridge_residuals(model, point))
    return U, -1.0


def _leverage_coupling(model, groups, sums, expected):
    """-+ 1/2 tr(C_i C_j): the information of the coefficients follows too."""
    of_psi = groups.k.T @ groups.k
    first, second = np.triu_indices(len(of_psi))
    twice = np.where(first == second, 1.0, np.sqrt(2.0))
    effect = sums.effect_leverage
    if effect is not None:
        effect = effect * twice
    U = _stack(model, effect, sums.C * twice, of_psi[first, second] * twice)
    return U, 0.5 if expected else -0.5


def _average(model):
    return np.append(model.average, np.zeros(int(model.random)))


def _ridge_residuals(model, point):
    """sum kappa h e over the penalty's rows, whose variance is the average one."""
    factor = point.factor
    P = model.penalty[:, :-1] * np.sqrt(point.kappa / model.alpha)
    value = -(P @ factor.root_inverse).T @ (P @ factor.beta)
    if model.fixed:
        value += point.kappa * point.posterior.modes @ point.posterior.loading
    return value


def _ridge_coupling(model, point, groups, sums, expected):
    """What the ridge's dependence on the average variance adds (ML)."""
    average = _average(model)[:, None]
    own = 0.5 * point.shrinkage
    if expected or not model.fixed:
        return np.sqrt(own) * average, 1.0
    pull = -point.kappa * point.posterior.modes
    weighted = (groups.c * pull)[:, None] * sums.te
    mixed = _stack(model, weighted[:, :1], weighted.sum(axis=0)[:, None], np.zeros(1))
    square = own - groups.c @ pull**2
    return np.hstack([mixed, average]), np.array([[0.0, -1.0], [-1.0, square]])
