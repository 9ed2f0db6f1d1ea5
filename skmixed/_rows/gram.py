"""The Gram: the rows in the blocks that the factor uses (docs/math.md, section 3), for
any number q of random-effect columns.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._input.blocks import row_blocks
from .qr import rows_root, scatter_roots

# Numbers in the rows of all groups up to which they are not pooled: an evaluation of
# the criterion takes less time.
FEW_NUMBERS = 20_000


@dataclass(frozen=True)
class Gram:
    """Blocks of the orthogonal factor of sqrt(W) [Z | A], A = [X y].

    For every group, QR of sqrt(w) [Z_g A_g] leaves [R11_g R12_g] on top; R22 is the
    root of all rows below, for all groups together: math.md (7).

    Attributes
    ----------
    R11 : ndarray of shape (K, q, q)
    R12 : ndarray of shape (K, q, m)
    R22 : ndarray of shape (k, m)
    multiplicity : ndarray of shape (K,)
        Number of groups for which a block stands in log-determinants: 1, except in a
        pooled Gram.
    """

    R11: np.ndarray
    R12: np.ndarray
    R22: np.ndarray
    multiplicity: np.ndarray

    origin = 0.0  # the coefficients that y is counted from

    @property
    def group_size(self):
        """S_g, sums of the weights of the groups of a random intercept, (K,)."""
        return self.R11[:, 0, 0] ** 2

    @property
    def sizes(self):
        """Number of levels and of effects of the only term."""
        return (self.R11.shape[:2],)

    def take(self, levels):
        """The Gram of some of the levels; what the levels leave of the rows stays."""
        return replace(
            self,
            R11=self.R11[levels],
            R12=self.R12[levels],
            multiplicity=self.multiplicity[levels],
        )


def random_intercept_gram(size, mean, within):
    """The Gram of Z_g = 1 from the moments of the columns A: math.md (8).

    `mean` is overwritten.
    """
    root_size = np.sqrt(size)
    mean *= root_size[:, None]
    return Gram(
        R11=root_size[:, None, None],
        R12=mean[:, None, :],
        R22=within,
        multiplicity=np.broadcast_to(1.0, len(size)),
    )


def scale(gram, factor):
    """The Gram of the same rows under weights that are `factor` times as large."""
    root = np.sqrt(factor)
    return replace(gram, R11=root * gram.R11, R12=root * gram.R12, R22=root * gram.R22)


def pool(gram, resolution=0.0):
    """The Gram with one block for many groups (q = 1).

    Groups of equal size S enter every likelihood through the scatter of their rows of
    R12 alone, so a class of more than m of them is replaced by the m rows of its root,
    where that spares half of many rows.  This is exact, and the cost of an evaluation
    no longer depends on the number of groups.  With ``resolution > 0`` sizes within
    that relative distance share a class, and each is replaced by the mean of its class.
    This approximation finds the neighbourhood of optima.
    """
    root_size, multiplicity = gram.R11[:, 0, 0], gram.multiplicity

    def read(groups):
        return gram.R12[groups, 0]

    pooled = pool_rows(read, root_size, multiplicity, gram.R22, resolution)
    return gram if pooled is None else pooled


def pool_rows(read, root_size, multiplicity, R22, resolution=0.0):
    """The pooled Gram of rows R12 that are read some at a time; None where pooling does
    not pay.

    Parameters
    ----------
    read : callable
        ``read(groups)`` gives the rows R12 of groups, (len(groups), m).
    root_size : ndarray of shape (K,)
        R11.
    multiplicity : ndarray of shape (K,)
    R22 : ndarray of shape (k, m)
    resolution : float, default=0.0
    """
    m = R22.shape[1]
    if not resolution and m * len(root_size) <= FEW_NUMBERS:
        return None
    log_size = 2 * np.log(root_size)
    level = np.round(log_size / resolution) if resolution else root_size
    order = np.argsort(level, kind="stable")
    starts = np.flatnonzero(np.diff(level[order], prepend=-np.inf))
    counts = np.diff(starts, append=len(order))
    if not resolution and 2 * np.minimum(counts, m).sum() > len(order):
        return None
    multiplicity = multiplicity[order]
    total = np.add.reduceat(multiplicity, starts)
    log_mean = np.add.reduceat(multiplicity * log_size[order], starts) / total
    member = np.repeat(np.arange(len(counts)), counts)
    few = (counts <= m)[member]
    large = np.flatnonzero(counts > m)
    members = [order[starts[k] : starts[k] + counts[k]] for k in large]
    roots = _roots_of(read, members, m)
    lengths = np.array([len(root) for root in roots], dtype=int)
    classes = np.concatenate([member[few], np.repeat(large, lengths)])
    return Gram(
        R11=np.exp(log_mean / 2)[classes, None, None],
        R12=np.concatenate([read(order[few]), *roots])[:, None, :],
        R22=R22,
        multiplicity=(total / np.bincount(classes))[classes],
    )


def _roots_of(read, classes, m):
    """Roots of the rows of classes of groups."""
    if not classes:
        return []
    scatter = np.zeros((len(classes), m, m))
    bounds = np.cumsum([0, *map(len, classes)])
    groups = np.concatenate(classes)
    for rows in row_blocks(len(groups), m):
        A = read(groups[rows])
        first = np.searchsorted(bounds, rows.start, side="right") - 1
        last = np.searchsorted(bounds, rows.stop, side="left")
        for k in range(first, last):
            start, stop = np.clip(bounds[k : k + 2] - rows.start, 0, len(A))
            scatter[k] += A[start:stop].T @ A[start:stop]
    roots, is_exact = scatter_roots(scatter)
    pairs = zip(classes, roots, is_exact, strict=True)
    return [root if exact else _root_of(read, some, m) for some, root, exact in pairs]


def _root_of(read, groups, m):
    """Root of the rows of some groups, a block at a time."""
    root = np.empty((0, m))
    for some in row_blocks(len(groups), m):
        root = rows_root(np.vstack([root, read(groups[some])]))
    return root
