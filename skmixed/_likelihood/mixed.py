"""The criterion of a linear mixed model with constant noise, and its derivatives in
the covariances of its terms (docs/math.md, section 11).

No row is in sight: a model has the blocks that are left of them.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .._rows.gram import Gram
from .factor import BlockCholesky, factorize
from .one_variance import degrees_of_freedom, deviance, profile


@dataclass(frozen=True)
class LinearMixed:
    """One likelihood of a linear mixed model.

    Attributes
    ----------
    gram : Gram
        Of the working columns [X y] and the effects of the search.
    covariances : tuple of Covariance
        One for each term.
    n : float
        Number of observations, the sum of the sample weights.
    reml : bool
    floor : float
        The least noise variance, in the squared units of y.
    penalty : ndarray of shape (k, m) or None
        Rows of the ridge penalty, sqrt(alpha) times the coefficients in user's units.
    logdet_basis : float
        What to add to log|X'V^-1X| of the working columns for that of the user's.
    noise_variance : float or None
        None if it is not known, and profiled.
    """

    gram: Gram
    covariances: tuple
    n: float
    reml: bool
    floor: float
    penalty: np.ndarray | None = None
    logdet_basis: float = 0.0
    noise_variance: float | None = None

    def unpack(self, theta):
        """Lambda of every term from all their free entries."""
        sizes = [len(c.entries[0]) for c in self.covariances]
        parts = np.split(theta, np.cumsum(sizes)[:-1])
        return tuple(
            c.unpack(part) for c, part in zip(self.covariances, parts, strict=True)
        )

    def pack(self, Lambdas):
        """All free entries of the Lambdas."""
        pairs = zip(self.covariances, Lambdas, strict=True)
        return np.concatenate([c.pack(Lambda) for c, Lambda in pairs])


@dataclass(frozen=True)
class Point:
    """The criterion at one value of the covariances.

    Attributes
    ----------
    model : LinearMixed
    Lambdas : tuple of ndarray of shape (q, q)
        Psi / sigma^2 = Lambda Lambda' of every term.
    factor : BlockCholesky
    noise_variance : float
        sigma^2, known or profiled, not below the floor.
    at_floor : bool
    rss : float
        Residual sum of squares in units of V0, without the penalty.
    """

    model: LinearMixed
    Lambdas: tuple
    factor: BlockCholesky
    noise_variance: float
    at_floor: bool
    rss: float

    @cached_property
    def value(self):
        """What is minimised: the deviance, with the penalty if there is one."""
        penalty = self.factor.rss - self.rss
        return deviance(self.model, self) + penalty / self.noise_variance

    @cached_property
    def freedom(self):
        """What the profiled noise variance divides by; None where it is held."""
        if self.at_floor or self.model.noise_variance is not None:
            return None
        return degrees_of_freedom(self.model, self.factor)

    @cached_property
    def pulls(self):
        """u (K, q) = Z'V0^-1 r / sigma and k (K, q, p) = Z'V0^-1 X R^-1 of every term,
        in the order of the terms.
        """
        contrast = self.factor.contrast / np.sqrt(self.noise_variance)
        found = []
        for projection in self.factor.projections:
            k = projection[..., :-1] @ self.factor.root_inverse
            found.append((projection @ contrast, k))
        return found

    @cached_property
    def scores(self):
        """d value / d (Psi / sigma^2) of every term, (q, q): S of (41)."""
        found = []
        for D, (u, k) in zip(self.factor.spreads, self.pulls, strict=True):
            S = D.sum(axis=0) - u.T @ u
            if self.model.reml:
                S -= np.einsum("gip,gjp->ij", k, k)
            found.append(S)
        return found

    def gradient(self):
        """d value / d theta: (46)."""
        triples = zip(self.model.covariances, self.scores, self.Lambdas, strict=True)
        return np.concatenate([c.pack(2 * S @ L) for c, S, L in triples])


def evaluate(model, Lambdas):
    """Factor and profiled noise variance at one value of the covariances."""
    factor = factorize(model.gram, Lambdas[0], model.penalty)
    return Point(model, Lambdas, factor, *profile(model, factor))


@dataclass(frozen=True)
class Second:
    """Second derivatives of the value in Psi / sigma^2, along some directions.

    Attributes
    ----------
    traces : ndarray of shape (k, k)
        tr(N E_i N E_j).
    squares : ndarray of shape (k, k)
        x_i'N x_j, x_i = E_i u.
    trace, square : ndarray of shape (k,)
        tr(N E_i) and u'E_i u.
    freedom : float or None
        What the profiled noise variance divides by; None where it is held.
    """

    traces: np.ndarray
    squares: np.ndarray
    trace: np.ndarray
    square: np.ndarray
    freedom: float | None

    def exact(self):
        """The second derivatives: (43)."""
        return 2 * self.squares - self.traces - self._profiled(self.square)

    def expected(self):
        """Their expectation: (44)."""
        return self.traces - self._profiled(self.trace)

    def _profiled(self, of_noise):
        if self.freedom is None:
            return 0.0
        return np.outer(of_noise, of_noise) / self.freedom


def second(point, directions):
    """Second derivatives along directions of one term, (k, q, q), symmetric each."""
    (D,), ((u, k),) = point.factor.spreads, point.pulls
    q = D.shape[1]

    def products(A, B):
        """sum_g A_da B_bc as a matrix of (ab, cd)."""
        flat = A.reshape(-1, q * q).T @ B.reshape(-1, q * q)
        return np.einsum("dabc->abcd", flat.reshape(4 * (q,))).reshape(q * q, q * q)

    E = directions.reshape(-1, q * q)
    uu, kk = u[:, :, None] * u[:, None, :], k @ np.swapaxes(k, 1, 2)
    reml = point.model.reml
    # Of X, its part in the direction: C_ab = sum_g k_ga k_gb', w_ab = sum_g k_ga u_gb.
    w = np.einsum("kab,abp->kp", directions, np.einsum("gap,gb->abp", k, u))
    squares = E @ products(uu, D) @ E.T - w @ w.T
    traces = E @ products(D, D) @ E.T
    trace = E @ D.sum(axis=0).ravel()
    if reml:
        C = coefficient_slopes(point, directions)
        traces += np.einsum("ipr,jrp->ij", C, C) - 2 * E @ products(kk, D) @ E.T
        trace = trace - np.einsum("ipp->i", C)
    return Second(traces, squares, trace, E @ uu.sum(axis=0).ravel(), point.freedom)


def coefficient_slopes(point, directions):
    """The change of R (X'V0^-1X)^-1 R' along directions, (k, p, p): sum_g k_g'E k_g."""
    ((_, k),) = point.pulls
    n_levels, q, p = k.shape
    C = k.reshape(n_levels, q * p).T @ k.reshape(n_levels, q * p)
    return np.einsum("kab,apbr->kpr", directions, C.reshape(q, p, q, p))
