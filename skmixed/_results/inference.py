"""Degrees of freedom of coefficients and new observations (docs/math.md, section 10).

Satterthwaite's: 2 f^2 / (g'A g), f the variance that is estimated, g its gradient in
the variance parameters, and A their asymptotic covariance.  These are the degrees of
freedom of a chi-squared variable with the same mean and variance as the estimate of f
(Satterthwaite 1946; Kuznetsova, Brockhoff and Christensen 2017, Journal of Statistical
Software 82).
"""

from dataclasses import dataclass, replace

import numpy as np

from .._likelihood.criterion import residual_freedom
from .._likelihood.heteroscedastic.residuals import (
    groups_at,
    local_posterior,
    residuals,
)
from .._likelihood.random_intercept import evaluate
from .._rows.gram import pool

# The slopes of the coefficients' covariance in the log-variance are kept up to this
# many numbers; where they are more, the noise counts as known beside the groups.
MOST_SLOPES = 2_000_000


@dataclass(frozen=True)
class CoefficientUncertainty:
    """The uncertainty of the covariance of (intercept, coefficients).

    Attributes
    ----------
    root : ndarray of shape (1 + p, k)
        The covariance is root root'.
    slopes : ndarray of shape (q, k, k)
        Its derivative in a variance parameter is root slopes_i root'.
    covariance : ndarray of shape (q, q)
        Of the estimated variance parameters; NaN where they are not estimated.
    """

    root: np.ndarray
    slopes: np.ndarray
    covariance: np.ndarray

    @classmethod
    def untold(cls, root):
        """That of an exact fit: nothing is left to tell the variances from."""
        return cls(root, np.eye(root.shape[1])[None], np.full((1, 1), np.nan))

    def freedom(self, contrasts):
        """Satterthwaite's degrees of freedom of linear combinations, math.md (35).

        Parameters
        ----------
        contrasts : ndarray of shape (n, 1 + p)
            NaN comes back for a row whose combination has no variance.
        """
        half = contrasts @ self.root
        with np.errstate(invalid="ignore", divide="ignore"):
            unit = half / np.linalg.norm(half, axis=1, keepdims=True)
            g = np.einsum("ik,qkl,il->iq", unit, self.slopes, unit, optimize=True)
            return 2 / np.einsum("iq,qr,ir->i", g, self.covariance, g)


def one_variance_uncertainty(model, ratio, to_user):
    """`CoefficientUncertainty` of a random-intercept fit.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    to_user : ndarray of shape (1 + p, k)
        From working coefficients to (intercept, coefficients).
    """
    model = replace(model, gram=pool(model.gram))
    at = evaluate(model, ratio)
    root = np.sqrt(at.noise_variance) * to_user @ at.factor.root_inverse
    if at.at_floor:
        return CoefficientUncertainty.untold(root)
    slopes = np.eye(root.shape[1])[None]
    information, _, C = curvature(model, at)
    # At 0 the variance is flat in sigma_b, and only sigma^2 is uncertain.
    if not ratio or np.linalg.det(information) <= 0:
        return CoefficientUncertainty(root, slopes, 1 / information[:1, :1])
    slopes = np.stack([slopes[0], C])
    return CoefficientUncertainty(root, slopes, np.linalg.inv(information))


def row_variance_uncertainty(model, point, root, covariance, with_noise):
    """`CoefficientUncertainty` of a heteroscedastic fit, by math.md (35b).  Its
    log-variance has no effects of groups.

    Parameters
    ----------
    model : Heteroscedastic
    point : HeteroscedasticPoint
    root : ndarray of shape (1 + p, k)
        Of the covariance of (intercept, coefficients).
    covariance : ndarray of shape (q, q)
        Of the parameters [gamma, psi], without psi where that is 0.
    with_noise : bool
        Whether to visit the rows for the slopes in gamma.
    """
    groups = groups_at(model, point)
    n_gamma, k = len(model.variance_penalty), root.shape[1]
    has_psi = len(covariance) > n_gamma
    slopes = np.zeros((len(covariance), k, k))
    if has_psi:
        slopes[-1] = groups.k.T @ groups.k
    if with_noise and n_gamma * k * k <= MOST_SLOPES:
        trend = model.trend(point.theta)
        arguments = trend, groups, point.posterior
        slopes[:n_gamma] = model.rows.reduce(_slopes_in_gamma, *arguments)
    return CoefficientUncertainty(root, slopes, covariance)


def _slopes_in_gamma(part, trend, groups, posterior):
    """sum a s / v h h' over the rows of a part, for every column s of the log-variance;
    a row at a bound of its log-variance has no slope.
    """
    local, k = local_posterior(part, posterior), posterior.coef_root.shape[1]
    slopes = np.zeros((len(trend.gamma), k, k))
    for rows, S, eta in part.visit(trend):
        found = residuals(
            part, rows, eta, trend, groups, local, reml=False, with_h=True
        )
        weight = found.w * found.inside
        for slope, column in zip(slopes, S.T, strict=True):
            slope += found.h.T @ ((weight * column)[:, None] * found.h)
    return slopes


def curvature(model, at):
    """The curvature at an evaluation of the criterion (without a penalty).

    The derivatives of its terms are those of math.md (33).

    Returns
    -------
    observed : ndarray of shape (2, 2)
        Second derivatives of -log-likelihood in log sigma^2 and lambda^2: math.md (34).
    expected : ndarray of shape (2, 2)
        Their expectation, math.md (34a), positive definite wherever it is invertible.
    C : ndarray of shape (k, k)
        d (X'V0^-1X)^-1 / d lambda^2 is T C T', T the factor's inverse root.
    """
    gram, factor = model.gram, at.factor
    multiplicity, S = gram.multiplicity, gram.group_size
    projection = factor.projection()[:, 0]
    shrunk = S / (1 + S * at.ratio)
    u, k = projection @ factor.to_residual, projection[:, :-1] @ factor.root_inverse
    C, pulled = k.T @ k, u @ k
    slope, second = multiplicity @ shrunk, -multiplicity @ shrunk**2
    if model.reml:
        slope -= np.trace(C)
        second += 2 * np.sum(k**2 * shrunk[:, None]) - np.sum(C**2)
    slope_rss = -np.sum(u**2) / at.noise_variance
    second_rss = 2 * np.sum(u**2 * shrunk) - 2 * np.sum(pulled**2)
    second_rss /= at.noise_variance
    freedom = residual_freedom(model, factor)
    observed = [[freedom, -slope_rss], [-slope_rss, second_rss + second]]
    expected = [[freedom, slope], [slope, -second]]
    return 0.5 * np.array(observed), 0.5 * np.array(expected), C


def slope_in_group_variance(psi, h, variance, loading, C):
    """d (c_g + |h|^2) / d psi, of each row; arguments as in `predictive_freedom`, but
    psi in the units of `variance`.

    The derivative of c is 1 / D_g^2, and h changes by -k_g / D_g and with C.
    A loading is psi k_g / D_g, so that at psi = 0 it does not tell k_g: the rows of
    known groups then have the slope of new ones, which is larger.
    """
    if not psi:
        return 1 + np.sum((h @ C) * h, axis=1)
    shrunk, k = variance / psi, loading / psi
    return shrunk**2 + np.sum((h @ C - 2 * shrunk[:, None] * k) * h, axis=1)


def predictive_freedom(model, ratio, h, variance, loading):
    """Degrees of freedom of the variance of new observations, math.md (35a).

    Satterthwaite's, of f = sigma^2 (1 + c + |h|^2).  At a ratio of 0 the observed
    information may be as good as singular, since there the criterion has a slope; the
    expected one takes its place.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty.
    ratio : float
        At the optimum.
    h : ndarray of shape (n, k)
        Rows whose squared lengths are the variances due to the coefficients.
    variance : ndarray of shape (n,)
        c of each row's group: lambda^2 for a new one.
    loading : ndarray of shape (n, k)
        - d b_g / d beta of each row's group, in the basis of h; 0 for a new one.

    All of them in units of sigma.
    """
    at = evaluate(model, ratio)
    if at.at_floor:
        return np.full(len(h), np.inf)
    observed, expected, C = curvature(model, at)
    f = 1 + variance + np.sum(h**2, axis=1)
    slope = slope_in_group_variance(ratio, h, variance, loading, C)
    g = np.column_stack([f, slope])
    is_optimum = ratio > 0 and np.linalg.det(observed) > 0
    information = observed if is_optimum else expected
    if np.linalg.det(information) <= 0:  # the data do not tell the ratio
        g, information = g[:, :1], information[:1, :1]
    return 2 * f**2 / np.einsum("ij,ji->i", g, np.linalg.solve(information, g.T))
