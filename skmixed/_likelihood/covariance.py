"""The covariance of the effects of one term (docs/math.md, section 11).

Psi = sigma^2 Lambda Lambda', Lambda lower triangular within the blocks of the term; its
free entries are the parameters theta that a search moves.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# The order of pivots changes where another effect has so many times the variance left.
PIVOT = 4.0
# A direction of Psi with less than this fraction of the largest variance has none.
NULL = 1e-12


@dataclass(frozen=True)
class Covariance:
    """The pattern of Lambda of one term.

    Attributes
    ----------
    q : int
        Number of effects of a level.
    blocks : tuple of tuples
        Effects of one block covary freely, those of different blocks not at all; those
        of none have no variance.  Lambda is lower triangular in the order in which
        the effects of a block are named.
    """

    q: int
    blocks: tuple

    def without(self, effects):
        """The pattern in which some effects have no variance."""
        kept = [tuple(i for i in block if i not in effects) for block in self.blocks]
        return Covariance(self.q, tuple(block for block in kept if block))

    @cached_property
    def effects(self):
        """The effects that have a variance, (n_effects,)."""
        return np.array(sorted(i for block in self.blocks for i in block), dtype=int)

    @cached_property
    def entries(self):
        """Row and column of every free entry of Lambda, two arrays."""
        pairs = [
            (block[i], block[j])
            for block in self.blocks
            for j in range(len(block))
            for i in range(j, len(block))
        ]
        return tuple(np.array(pairs, dtype=int).reshape(-1, 2).T)

    def pack(self, Lambda):
        """theta, the free entries of Lambda."""
        return Lambda[self.entries]

    def unpack(self, theta):
        """Lambda (q, q) from its free entries."""
        Lambda = np.zeros((self.q, self.q))
        Lambda[self.entries] = theta
        return Lambda

    def root(self, Psi):
        """Lambda of the pattern with Lambda Lambda' = Psi, a covariance that may
        be singular.
        """
        Lambda = np.zeros((self.q, self.q))
        for block in self.blocks:
            some = np.ix_(block, block)
            values, vectors = np.linalg.eigh(Psi[some])
            half = vectors * np.sqrt(np.maximum(values, 0.0))
            R = np.linalg.qr(half.T, mode="r")
            Lambda[some] = (R * np.where(np.diag(R) < 0, -1.0, 1.0)[:, None]).T
        return Lambda

    def straight(self, Lambda, change):
        """Lambda after a change of it that moves Psi as far as it does to first order:
        math.md (222).  Columns keep their signs.
        """
        half = Lambda @ change.T
        root = self.root(Lambda @ Lambda.T + half + half.T)
        return root * np.where(np.diag(Lambda) < 0, -1.0, 1.0)

    @cached_property
    def symmetric(self):
        """A basis of the covariances of the pattern, (n_theta, q, q)."""
        rows, columns = self.entries
        number = np.arange(len(rows))
        basis = np.zeros((len(rows), self.q, self.q))
        basis[number, rows, columns] = basis[number, columns, rows] = 1.0
        return basis

    def project(self, Psi):
        """The entries of Psi that the pattern has."""
        return np.where(self.symmetric.any(axis=0), Psi, 0.0)

    def pivoted(self, Psi):
        """The same pattern, each block in the order of pivots of Psi: next is the
        effect of which those before leave most, unless the old order's next has a
        good part of that.
        """
        blocks = []
        for block in self.blocks:
            left, order, rest = Psi.copy(), [], list(block)
            while rest:
                variances = [left[i, i] for i in rest]
                largest = int(np.argmax(variances))
                chosen = 0 if variances[0] * PIVOT >= variances[largest] else largest
                i = rest.pop(chosen)
                order.append(i)
                if left[i, i] > 0:
                    left = left - np.outer(left[:, i] / left[i, i], left[i])
            blocks.append(tuple(order))
        return Covariance(self.q, tuple(blocks))

    def directions(self, Lambda):
        """d (Lambda Lambda') / d theta, (n_theta, q, q)."""
        rows, columns = self.entries
        number = np.arange(len(rows))
        half = np.zeros((len(rows), self.q, self.q))
        half[number, rows] = Lambda.T[columns]
        return half + np.swapaxes(half, 1, 2)

    def curvature(self, S):
        """Second derivatives of tr(S Lambda Lambda') in theta, (n_theta, n_theta)."""
        rows, columns = self.entries
        same = columns[:, None] == columns
        return 2 * S[np.ix_(rows, rows)] * same
