"""Score and information of the heteroscedastic criterion (docs/math.md, 9.3 to 9.5).

One visit to the rows collects sums; the rest is algebra of groups and columns.
The observed information is exact (but see `visit.MOST_COUPLING`).  Coordinates are
theta = [delta, gamma, psi].
"""

from dataclasses import replace

import numpy as np
from scipy.linalg import block_diag

from ..arrow import Arrow, assemble_arrow
from ..criterion import UNTOLD, generic_log_variance
from .criterion import evaluate
from .residuals import groups_at
from .visit import visit


def derivatives(model, point, expected=False, known_coefficients=False):
    """Gradient of the criterion at a point, math.md (30), and its observed information,
    math.md (31), or the expected one.

    Parameters
    ----------
    model : Heteroscedastic
    point : HeteroscedasticPoint
    expected : bool, default=False
    known_coefficients : bool, default=False
        Whether the information of gamma is as if the coefficients of the mean were
        known. That is half the work under REML, and the rest is of the order
        of the number of coefficients over that of rows.

    Returns
    -------
    gradient : ndarray of shape (n_parameters,)
        Of `HeteroscedasticPoint.value`, minus the penalised log-likelihood.
    information : Arrow
    """
    groups = groups_at(model, point)
    sums = visit(model, point, groups, expected, known_coefficients)
    gradient = _gradient(model, point, groups, sums)
    uncoupled = _uncoupled(model, groups, sums, expected)
    return gradient, _assemble(model, point, groups, sums, uncoupled, expected)


def tells_psi(model):
    """Whether the data tell psi from a noise that varies by row, by the rank of the
    expected information at a generic gamma: math.md (214).

    Beside effects of groups on the log-variance it is not asked, nor where weights
    leave no degree of freedom.
    """
    k, rows = len(model.variance_penalty), model.rows
    if len(model.free) or rows.n <= model.reml * rows.mean_columns.rank:
        return False
    gamma = generic_log_variance(k, lambda gamma: model.farthest @ np.abs(gamma))
    none = np.zeros_like(model.variance_penalty)
    model = replace(model, random=True, variance_penalty=none)
    point = evaluate(model, np.append(gamma, 0.0))
    F = derivatives(model, point, expected=True)[1].toarray()
    # Weights below 1 leave fewer degrees of freedom than there are rows to tell by.
    F[:k, :k] += 0.5 * max(rows.n_rows - rows.n, 0.0) * np.eye(k)
    parts, *_ = np.linalg.lstsq(F[:k, :k], F[:k, k], rcond=None)
    least = 0.5 * (rows.n / rows.n_groups) ** 2  # of an average group
    return bool(F[k, k] - F[k, :k] @ parts > UNTOLD * max(F[k, k], least))


def complete_information(model, point):
    """The diagonal of the complete-data information: that if b and e were observed."""
    rows = model.rows
    diagonal = [0.5 * rows.size[model.free], np.full(len(model.farthest), 0.5 * rows.n)]
    if model.random:
        S = point.factor.gram.group_size
        ratio = S / (1 + point.theta[-1] * S)
        diagonal.append([0.5 * ratio @ ratio])
    return np.concatenate(diagonal)


def metric(model, point):
    """The metric of steps of theta: math.md (31d).

    It is the mean square of the change of a row's log-variance, groups of rows moving
    with their effects, plus that of the change of log(psi + 1 / S_g) of the groups.
    """
    rows, k = model.rows, len(model.farthest)
    share = rows.size[model.free] / rows.n
    border = share[:, None] * model.centres.reshape(len(share), k)
    corner = np.eye(k) + border.T @ model.centres.reshape(len(share), k)
    if model.random:
        S = point.factor.gram.group_size
        of_psi = np.mean((S / (1 + point.theta[-1] * S)) ** 2)
        corner = block_diag(corner, of_psi)
        border = np.pad(border, ((0, 0), (0, 1)))
    size = len(share) + len(corner)
    return Arrow(share, border, corner, np.empty((size, 0)), np.empty((0, 0)))


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
    """Information without the coupling of all groups: diagonal, border, corner.

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
    """The part of the uncertain coefficients in the information of psi.

    It needs no visit, and is of the order of their number over that of groups.
    """
    value = 0.0 if expected else -np.sum((groups.u @ groups.k) ** 2)
    if model.reml:
        value += (0.5 if expected else -0.5) * np.sum((groups.k.T @ groups.k) ** 2)
    return value


def _assemble(model, point, groups, sums, uncoupled, expected):
    """The information of the parameters, with the coupling of all groups."""
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
    first, second = np.triu_indices(groups.k.shape[1])
    twice = np.where(first == second, 1.0, np.sqrt(2.0))

    def elements(C):
        """Entries of symmetric matrices, scaled so that their products are traces."""
        return C[..., first, second] * twice

    effect = sums.effect_leverage
    if effect is not None:
        effect = elements(effect)
    U = _stack(model, effect, elements(sums.C), elements(groups.k.T @ groups.k))
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
    """The part of the ridge's dependence on the average variance (ML)."""
    average = _average(model)[:, None]
    own = 0.5 * point.shrinkage
    if expected or not model.fixed:
        return np.sqrt(own) * average, 1.0
    pull = -point.kappa * point.posterior.modes
    weighted = (groups.c * pull)[:, None] * sums.te
    mixed = _stack(model, weighted[:, :1], weighted.sum(axis=0)[:, None], np.zeros(1))
    square = own - groups.c @ pull**2
    return np.hstack([mixed, average]), np.array([[0.0, -1.0], [-1.0, square]])
