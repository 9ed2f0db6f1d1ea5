"""The effects of one factor eliminated from sparse rows (docs/math.md, section 11.2).

X is never made dense.  The columns of the effects are, with y and the constant: they
give the orthonormal columns Q, and all that X has to do with these are products.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from .elimination import Reader, about_mean, eliminate_beside, origin_of
from .qr import EPS, ROUNDINGS, as_rows
from .reduction import SPARSE_TOLERANCE, root_of_scatter, without_offsets


@dataclass(frozen=True)
class SparseRows:
    """Sparse rows, and a factor to be eliminated from them.

    Attributes
    ----------
    X : csr_array of shape (n, p)
    y : ndarray of shape (n,)
    weight : ndarray of shape (n,) or None
    codes : ndarray of shape (n,)
    n_levels : int
    positions : ndarray of shape (q,)
        The columns of the effects among those of A = [1 X y].
    """

    X: object
    y: np.ndarray
    weight: np.ndarray | None
    codes: np.ndarray
    n_levels: int
    positions: np.ndarray

    @property
    def has_constant(self):
        """Whether one of the effects is a random intercept."""
        return bool(self.positions[0] == 0)

    @cached_property
    def root_weight(self):
        """Roots of the weights, (n,)."""
        return np.ones(len(self.y)) if self.weight is None else np.sqrt(self.weight)

    @cached_property
    def counted(self):
        """X with its full columns counted from their first entries, and these."""
        return without_offsets(self.X)

    @cached_property
    def dense(self):
        """R, Q and the origin of the columns [1, Z, y], Z without the constant."""
        features = self.positions[self.positions > 0] - 1
        read = Reader(self.X[:, features].toarray(), self.y)
        first = [0] if self.has_constant else []
        among = np.concatenate([first, 1 + np.arange(len(features))]).astype(int)
        origin = origin_of(read, among)
        origin[-1] = np.median(self.y)  # squares have no digits beside an outlier's
        nothing = sparse.csr_array((len(self.y), 0))
        how = (self.codes, self.n_levels, among, origin, self.weight, nothing, None)
        R, _, axes, _ = eliminate_beside(read, *how)
        return R, axes, origin

    @cached_property
    def axes(self):
        """Products with W^1/2 Q: for each effect a csr_array (K, n)."""
        starts = np.arange(len(self.y) + 1)
        shape = self.n_levels, len(self.y)
        return [
            sparse.csc_array((axis * self.root_weight, self.codes, starts), shape=shape)
            for axis in self.dense[1].T
        ]

    @cached_property
    def left(self):
        """The rest of [1, y] times W^1/2 beside the factor, (n, 2)."""
        origin = np.array([0.0, self.dense[2][-1]])
        left = np.column_stack([np.ones(len(self.y)), self.y]) - origin
        root = self.root_weight[:, None]
        for _ in range(2):  # once more, for the digits
            for Q, axis in zip(self.axes, self.dense[1].T, strict=True):
                left = left - (axis / root[:, 0])[:, None] * (Q @ left)[self.codes]
        left *= root
        rounding = ROUNDINGS * EPS * np.linalg.norm(self.dense[0][:, :, -1])
        if np.linalg.norm(left[:, 1]) <= rounding:  # its products with X are no scatter
            left[:, 1] = 0.0
        if self.has_constant:
            left[:, 0] = 0.0
        return left

    @cached_property
    def R(self):
        """Q'W^1/2 A of every level, (K, q, m), about `origin`."""
        X, _ = self.counted
        of_dense = self.dense[0]
        R = np.empty((self.n_levels, len(self.positions), X.shape[1] + 2))
        for a, Q in enumerate(self.axes):
            R[:, a, 1:-1] = (Q @ X).toarray()
        R[:, :, [0, -1]] = of_dense[:, :, [0, -1]]
        R[:, :, self.positions[self.positions > 0]] = of_dense[:, :, 1:-1]
        return R

    @cached_property
    def origin(self):
        """The origin of the columns of A, (m,)."""
        origin = np.concatenate([[0.0], self.counted[1], [self.dense[2][-1]]])
        origin[self.positions[self.positions > 0]] = self.dense[2][1:-1]
        return origin

    def eliminate(self, nests=()):
        """The `Elimination` of the factor, by cross-products of X; its effects span the
        columns of those of `nests`.
        """
        X, _ = self.counted
        root = self.root_weight
        weighted = X.multiply(root[:, None]).tocsr()
        m = X.shape[1] + 2
        scatter = np.zeros((m, m))
        of_X = as_rows(self.R[:, :, 1:-1])
        scatter[1:-1, 1:-1] = (weighted.T @ weighted).toarray() - of_X.T @ of_X
        product = weighted.T @ self.left
        scatter[1:-1, [0, -1]], scatter[[0, -1], 1:-1] = product, product.T
        ends = np.ix_([0, m - 1], [0, m - 1])
        scatter[ends] = self.left.T @ self.left
        scatter[self.positions] = scatter[:, self.positions] = 0.0
        squares = np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel()
        n = float(np.sum(root**2))
        scale = np.sqrt(np.concatenate([[n], squares, [scatter[-1, -1]]]))
        rest = root_of_scatter(scatter, scale, X.shape[0])
        rest[:, self.positions] = 0.0
        upper = (None,) * len(nests)
        found = about_mean(self.origin, self.R.copy(), rest, self.positions, n, upper)
        size = np.sqrt(np.sum(found.total**2, axis=0))
        constant = size <= SPARSE_TOLERANCE * scale
        constant[[0, m - 1]] = False
        found.R[:, :, constant] = found.rest[:, constant] = 0.0
        return found

    def product_with(self, Z, links):
        """Z'W^1/2 times W^1/2 A after the elimination, (d, m), about `origin`."""
        X, _ = self.counted
        root = self.root_weight[:, None]
        product = np.empty((Z.shape[1], X.shape[1] + 2))
        whole = Z.T @ X.multiply(root**2)
        back = links.back(links.values, self.R[:, :, 1:-1])
        product[:, 1:-1] = whole.toarray() - back
        product[:, [0, -1]] = Z.T @ (root * self.left)
        product[:, self.positions] = 0.0
        return product
