"""Residuals and squared noise of the rows at one point (docs/math.md, 9.3 and 9.10).

The uncertainty of the groups' effects and of the coefficients counts as noise.
"""

from dataclasses import dataclass

import numpy as np

from ..criterion import BOUND_MARGIN


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


def groups_at(model, point):
    """`Groups` at one point."""
    factor, root_inverse = point.factor, point.factor.root_inverse
    n_groups, r = model.rows.n_groups, len(root_inverse)
    c, S = point.posterior.modes_variance, factor.gram.group_size
    D, u, k = np.ones(n_groups), np.zeros(n_groups), np.zeros((n_groups, r))
    if model.random:
        projection = factor.projection()[:, 0]
        D = 1 + S * point.posterior.group_variance
        u, k = projection @ factor.to_residual, projection[:, :-1] @ root_inverse
    return Groups(c, model.integrated, S, D, u, k)


def local_posterior(part, posterior):
    """The posterior for rows that are counted from their group's origin: two arrays,
    [y - e, h] = X into + offset of the group.
    """
    shift = part.origins[:, :-1] - posterior.shift
    offset = posterior.level + shift @ posterior.coef + posterior.modes
    offset -= part.origins[:, -1]
    root_offset = posterior.level_root + shift @ posterior.coef_root - posterior.loading
    into = np.column_stack([posterior.coef, posterior.coef_root])
    return into, np.column_stack([offset, root_offset])


def _local_residuals(part, rows, local, with_h):
    """e and h of some rows; h has no columns where it is not asked for."""
    into, offset = local
    if not with_h:
        into, offset = into[:, :1], offset[:, :1]
    figures = part.X[rows] @ into
    figures += offset.take(part.codes[rows], axis=0)
    return part.y[rows] - figures[:, 0], figures[:, 1:]


@dataclass(frozen=True)
class Residuals:
    """Figures of some rows.

    Attributes
    ----------
    w, counted : ndarray of shape (n,)
        a / v, and the part of a that counts for variances.
    inside : ndarray of shape (n,)
        Whether the log-variance is within its bounds.
    e : ndarray of shape (n,)
    h : ndarray of shape (n, r), or (n, 0) where it is not asked for
    uncertain : ndarray of shape (n,) or float
        e2 - e^2 of math.md (29): variances of the group's effect and coefficients.
    """

    w: np.ndarray
    counted: np.ndarray
    inside: np.ndarray
    e: np.ndarray
    h: np.ndarray
    uncertain: object

    @property
    def square(self):
        """e2, the expected squared noise."""
        return self.e * self.e + self.uncertain


def residuals(part, rows, eta, trend, groups, local, *, reml, with_h=False):
    """`Residuals` of some rows of a part, with the log-variances `eta`."""
    log_v = np.clip(eta, *trend.bounds)
    w = np.exp(-log_v)
    w *= part.known_precision(rows)
    e, h = _local_residuals(part, rows, local, reml or with_h)
    uncertain = np.einsum("ij,ij->i", h, h) if reml else 0.0
    if groups.in_trace:
        uncertain = uncertain + groups.c.take(part.codes[rows])
    return Residuals(w, part.counted(rows), eta == log_v, e, h, uncertain)


def gain_by_exact_rows(model, point):
    """The gain in log-likelihood if the lower bound of log-variances falls by one unit,
    and with it the rows there: math.md (31a).

    It is 1/2 for a row that is fitted exactly, and 0 for one that has a coefficient, or
    a group, of its own.
    """
    groups, trend = groups_at(model, point), model.trend(point.theta)
    arguments = trend, groups, point.posterior, model.reml
    return max(float(model.rows.reduce(_gain_of_part, *arguments)), 0.0)


def _gain_of_part(part, trend, groups, posterior, reml):
    local, gain, (low, _) = local_posterior(part, posterior), 0.0, trend.bounds
    for rows, _, eta in part.visit(trend):
        found = residuals(part, rows, eta, trend, groups, local, reml=reml)
        rate = 0.5 * (found.counted - found.w * found.square)
        gain += rate[eta < low + BOUND_MARGIN].sum()
    return gain
