"""The Gaussian likelihood of grouped rows as a loss of predictions, and its
derivatives (docs/math.md, section 12).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BlockResiduals:
    """Residuals r whose covariance is diag(v) + psi 11' for rows of one owner.

    Attributes
    ----------
    owner : ndarray of shape (n,)
        Positions of the owners, from 0 to n_owners - 1.
    v : ndarray of shape (n,)
        Noise variances.
    psi : ndarray of shape (n_owners,)
        Variance of the effect that the rows of an owner share.
    S, D : ndarray of shape (n_owners,)
        S_g = sum_j 1 / v_j and D_g = 1 + psi_g S_g.
    level : ndarray of shape (n_owners,)
        Mean residual of an owner, weighted by 1 / v.
    within : ndarray of shape (n,)
        Residuals less that mean.
    """

    owner: np.ndarray
    v: np.ndarray
    psi: np.ndarray
    S: np.ndarray
    D: np.ndarray
    level: np.ndarray
    within: np.ndarray

    def loss(self):
        """Negative log-likelihood, constants included: math.md (61)."""
        rss = np.sum(self.within**2 / self.v) + np.sum(self.S * self.level**2 / self.D)
        logdet = np.sum(np.log(self.v)) + np.sum(np.log(self.D))
        return 0.5 * (len(self.v) * np.log(2 * np.pi) + logdet + rss)

    def gradient(self):
        """Derivatives by each row's mean and log-variance, and by the logarithm of each
        owner's psi: math.md (60) and (62).
        """
        e = self.within + (self.level / self.D)[self.owner]
        by_noise = 0.5 * (self.freedom() - e**2 / self.v)
        total = self.S * self.level / self.D  # sums of V^-1 r over the rows of owners
        by_group = 0.5 * self.psi * (self.S / self.D - total**2)
        return -e / self.v, by_noise, by_group

    def hessian(self):
        """Second derivatives by each row's mean, and expected ones by its log-variance:
        math.md (63).
        """
        freedom = self.freedom()
        return freedom / self.v, 0.5 * freedom**2

    def freedom(self):
        """v_j times the diagonal of V^-1: the share of its noise that a residual keeps
        where the mode of its group is taken off, (n,).
        """
        return 1 - (self.psi / self.D)[self.owner] / self.v


def block_residuals(residual, owner, v, psi):
    """The `BlockResiduals` of rows; `psi` has one entry for each owner."""
    S = np.bincount(owner, 1 / v, len(psi))
    # Each row is counted from one of its group: a large level takes no digits away.
    first = np.empty(len(psi))
    first[owner] = residual
    within = residual - first[owner]
    shift = np.bincount(owner, within / v, len(psi)) / S
    within -= shift[owner]
    return BlockResiduals(owner, v, psi, S, 1 + psi * S, first + shift, within)
