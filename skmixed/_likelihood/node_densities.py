"""The density of the covariances of one factor at many nodes at once (docs/math.md,
14.1): one node has too little arithmetic to be worth its calls.
"""

from functools import partial

import numpy as np

from .._rows.qr import scatter_roots
from .factor import solve_lower, transpose, whitener

# Numbers of a stack of nodes that are worked on at once.
NUMBERS = 32_768


def log_densities_of_one(model, Lambda, directions):
    """math.md (141) up to a constant, and the profiled noise variances.

    Parameters
    ----------
    model : LinearMixed
        By REML, of one factor.
    Lambda : ndarray of shape (c, q, q)
    directions : ndarray of shape (c, k, q, q)
        d (Lambda Lambda') / d theta.

    Returns
    -------
    values, noise_variances : ndarray of shape (c,)
    """
    K, q, m = model.gram.R12.shape
    n_chunks = -(-len(Lambda) * K * q * (q + m) // NUMBERS)
    return in_chunks(partial(_at_once, model), n_chunks, Lambda, directions)


def in_chunks(function, n_chunks, *of_nodes):
    """The arrays of ``function(*of_nodes)``, from so many chunks of the nodes."""
    nodes = np.arange(len(of_nodes[0]))
    chunks = np.array_split(nodes, min(n_chunks, len(nodes)))
    found = [function(*(figures[some] for figures in of_nodes)) for some in chunks]
    return tuple(map(np.concatenate, zip(*found, strict=True)))


def _at_once(model, Lambda, directions):
    """The same of some nodes, whose levels are one stack (c, K, ...)."""
    gram = model.gram
    C = whitener(gram.R11 @ Lambda[:, None])
    half, rows = solve_lower(C, gram.R11), solve_lower(C, gram.R12)
    pivots = np.abs(np.diagonal(C, axis1=2, axis2=3))
    logdet = 2 * np.log(pivots).sum(axis=2) @ gram.multiplicity
    root = roots_of_scatter(rows.reshape(len(rows), -1, rows.shape[3]), gram.R22)
    diagonal = np.abs(np.diagonal(root, axis1=1, axis2=2))
    freedom, rss = model.n - (root.shape[1] - 1), diagonal[:, -1] ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        logdet += 2 * np.log(diagonal[:, :-1]).sum(axis=1)
        information = _information(half, rows[..., :-1], root, directions, freedom)
        sign, prior = np.linalg.slogdet(information)
        values = 0.5 * (prior - logdet - freedom * np.log(rss))
    values[~((sign > 0) & np.isfinite(values))] = -np.inf
    return values, np.maximum(rss / freedom, model.floor)


def roots_of_scatter(*parts):
    """Roots (c, m, m) of the cross-products of all rows of the parts, (c, n, m) or
    (n, m) each: math.md (12).
    """
    root, is_exact = scatter_roots(sum(transpose(rows) @ rows for rows in parts))
    if is_exact.all():
        return root
    c, m = root.shape[:2]
    n_rows = sum(rows.shape[-2] for rows in parts)
    missing = np.zeros((max(m - n_rows, 0), m))  # for a square root
    whole = [np.broadcast_to(A, (c, *A.shape[-2:])) for A in (*parts, missing)]
    return np.linalg.qr(np.concatenate(whole, axis=1), mode="r")


def _information(half, rows, root, directions, freedom):
    """REML information of theta, sigma^2 profiled, times 2, (c, k, k): by the sums of
    math.md (186).
    """
    c, K, q, p = rows.shape
    inverse = np.linalg.inv(root[:, :-1, :-1])
    D = transpose(half) @ half
    k = transpose(half) @ (rows.reshape(c, K * q, p) @ inverse).reshape(rows.shape)
    flat, own = D.reshape(c, K, q * q), (k @ transpose(k)).reshape(c, K, q * q)
    E = directions.reshape(c, -1, q * q)
    whole = transpose(flat) @ (flat - 2 * own)
    # Sums of A_ab B_cd are turned to those that E_bc and E_da meet.
    whole = np.einsum("zabcd->zbcad", whole.reshape(c, q, q, q, q))
    traces = E @ whole.reshape(c, q * q, q * q) @ transpose(E)
    loadings = k.reshape(c, K, q * p)
    loadings = (transpose(loadings) @ loadings).reshape(c, q, p, q, p)
    loadings = np.einsum("zapbr->zabpr", loadings).reshape(c, q * q, p * p)
    flat_slopes = E @ loadings  # k'E k, summed over levels
    slopes = flat_slopes.reshape(*flat_slopes.shape[:2], p, p)
    traces = traces + flat_slopes @ transpose(flat_slopes)  # E is symmetric
    trace = (E @ flat.sum(axis=1)[:, :, None])[:, :, 0]
    trace = trace - np.trace(slopes, axis1=2, axis2=3)
    return traces - trace[:, :, None] * trace[:, None, :] / freedom
