"""The density of a random intercept beside a log-variance at many nodes at once
(docs/math.md, 14.1): one node has too little arithmetic to be worth its calls.
"""

from dataclasses import dataclass
from functools import partial

import numpy as np

from .factor import transpose
from .node_densities import NUMBERS, in_chunks, roots_of_scatter


@dataclass(frozen=True)
class GroupedRows:
    """Rows in the order of their groups.

    Attributes
    ----------
    A : ndarray of shape (n, m)
        Working columns [1 X y], each counted from the `origins` of the row's group.
    origins : ndarray of shape (G, m)
    starts : ndarray of shape (G,)
        The first row of each group.
    S : ndarray of shape (n, k)
        Columns of the log-variance, a constant the first.
    precision : ndarray of shape (n,)
        Weights over the known part of the variances.
    counted : ndarray of shape (n,)
        Weights that count for variances.
    random : bool
        Whether there are random intercepts.
    """

    A: np.ndarray
    origins: np.ndarray
    starts: np.ndarray
    S: np.ndarray
    precision: np.ndarray
    counted: np.ndarray
    random: bool

    @property
    def freedom(self):
        """N - p."""
        return self.counted.sum() - (self.A.shape[1] - 1)

    def sums(self, figures):
        """Sums over groups, (c, G, ...), of figures of rows (c, n, ...)."""
        return np.add.reduceat(figures, self.starts, axis=1)

    def spread(self, figures):
        """Figures of groups (c, G, ...) for their rows."""
        sizes = np.diff(self.starts, append=len(self.A))
        return np.repeat(figures, sizes, axis=1)

    def in_chunks(self, function, gamma, psi):
        """``function(rows, gamma, psi)`` of nodes, so many at once as the cache
        holds.
        """
        n_chunks = -(-len(gamma) * self.A.size // NUMBERS)
        return in_chunks(partial(function, self), n_chunks, gamma, psi)


def whole_rows(work, code, S, weight, offset):
    """The `GroupedRows` of a random intercept, from working columns [1 X y] of rows in
    the order of their levels; the columns S are without a constant.
    """
    starts = np.flatnonzero(np.diff(code, prepend=-1))
    origins = work[starts]
    sizes = np.diff(starts, append=len(work))
    return GroupedRows(
        A=work - np.repeat(origins, sizes, axis=0),
        origins=origins,
        starts=starts,
        S=np.column_stack([np.ones(len(S)), S]),
        precision=weight * np.exp(-offset),
        counted=weight,
        random=True,
    )


def reduce_nodes(rows, gamma, psi):
    """Sizes (c, G) and means (c, G, m) of groups under the weights a / v, and the roots
    (c, m, m) of math.md (13); `psi` are group variances.
    """
    w = _weights(rows, gamma)
    size = rows.sums(w)
    means = rows.sums(w[:, :, None] * rows.A) / size[:, :, None]
    within = np.sqrt(w)[:, :, None] * (rows.A - rows.spread(means))
    means += rows.origins
    shrunk = np.sqrt(size / (1 + psi[:, None] * size))
    return size, means, roots_of_scatter(within, shrunk[:, :, None] * means)


def log_densities(rows, gamma, psi):
    """math.md (141) of the coordinates gamma, but for the constant, and log psi / 2, up
    to a constant; and residual sums of squares.

    Parameters
    ----------
    rows : GroupedRows
    gamma : ndarray of shape (c, k)
    psi : ndarray of shape (c,)
    """
    size, means, root = reduce_nodes(rows, gamma, psi)
    diagonal = np.abs(np.diagonal(root, axis1=1, axis2=2))
    rss, D = diagonal[:, -1] ** 2, 1 + psi[:, None] * size
    told = (diagonal[:, :-1] > 0).all(axis=1)  # all coefficients, in double precision
    root[~told] = np.eye(root.shape[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = (gamma @ rows.S.T) @ rows.counted + np.log(D).sum(axis=1)
        deviance += 2 * np.log(diagonal[:, :-1]).sum(axis=1)
        deviance += rows.freedom * np.log(rss)
        information = _information(rows, gamma, psi, size, means, root)
        sign, prior = np.linalg.slogdet(information)
        values = 0.5 * (prior - deviance)
        values += np.log(psi) if rows.random else 0.0
    values[~(told & (sign > 0) & np.isfinite(values))] = -np.inf
    return values, rss


def _weights(rows, gamma):
    w = gamma @ rows.S.T
    np.exp(-w, out=w)
    w *= rows.precision
    return w


def _information(rows, gamma, psi, size, means, root):
    """REML information of gamma and psi, times 2: math.md (206)."""
    inverse = np.linalg.inv(root[:, :-1, :-1])
    D = 1 + psi[:, None] * size
    at_means = means[:, :, :-1] @ inverse / D[:, :, None]
    local = rows.A[:, :-1] - rows.spread(means - rows.origins)[:, :, :-1]
    h = local @ inverse + rows.spread(at_means)
    k, c = size[:, :, None] * at_means, psi[:, None] / D
    w = _weights(rows, gamma)
    uncertain = rows.spread(c) + np.sum(h * h, axis=2)
    t = w[:, :, None] * rows.S
    q = rows.counted - 2 * w * uncertain
    of_gamma = rows.S.T @ (q[:, :, None] * rows.S)
    scaled, C, H = c[:, :, None] * rows.sums(t), [], []
    for column in np.moveaxis(t, 2, 0):
        th = column[:, :, None] * h
        C.append(transpose(th) @ h)
        H.append(rows.sums(th))
    C, H = np.stack(C, axis=1), np.stack(H, axis=1)
    flat_C = C.reshape(*C.shape[:2], -1)
    flat_H = (np.sqrt(c)[:, None, :, None] * H).reshape(*C.shape[:2], -1)
    of_gamma += transpose(scaled) @ scaled + flat_C @ transpose(flat_C)
    of_gamma += 2 * flat_H @ transpose(flat_H)
    if not rows.random:
        return of_gamma
    products = transpose(k) @ k
    squares = np.sum(products**2, axis=(1, 2))
    shrunk = size / D
    of_psi = np.sum(shrunk**2 - 2 * shrunk * np.sum(k * k, axis=2), axis=1) + squares
    mixed = np.einsum("zgi,zg->zi", rows.sums(t), D**-2.0)
    mixed -= 2 * np.einsum("zigr,zgr->zi", H, k / D[:, :, None])
    mixed += np.einsum("zirs,zrs->zi", C, products)
    below = np.concatenate([mixed, of_psi[:, None]], axis=1)[:, None, :]
    beside = np.concatenate([of_gamma, mixed[:, :, None]], axis=2)
    return np.concatenate([beside, below], axis=1)
