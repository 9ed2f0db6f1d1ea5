"""The posterior distribution of the variance ratio of a random-intercept model
(docs/math.md, section 14).

With a flat prior on the coefficients, d sigma^2 / sigma^2 on the noise variance and the
reference prior on the ratio r = sigma_b^2 / sigma^2, coefficients and noise variance
integrate in closed form, and one dimension is left.  Ratios below 0, at which the
covariance V0 = I + r ZZ' is still positive definite, belong to it: in balanced data the
posterior of 1 + n r is then the pivot of the F test, so that intervals are exact.
"""

from dataclasses import replace
from functools import partial

import numpy as np

from .._rows.gram import pool
from .criterion import has_freedom
from .mixture import Components
from .node_densities import in_chunks

# Distance in log r of the nodes of the trapezoidal rule, where the density is wide.
STEP = 0.75
# The fewest and the most of these nodes.
N_NODES = (24, 96)
# Points of a scan where the density counts, from which on its range is known.
FEWEST_SEEN = 5
# Gauss-Legendre nodes below 0, where most of the probability is seldom.
NODES_BELOW = 16
# Logarithm of a density, relative to the highest, from which on it is left out.
LEFT_OUT = -12.0
# log(r S) where the scan for the highest density begins and ends.
FIRST, LAST = -12.0, 46.0
# The scan looks so far below 0, in -log(1 + r max S).
DEEPEST = 30.0
# Numbers in the blocks of all ratios that are factored at once.
NUMBERS = 32_000
# Probability of a component below which it is left out of mixtures.
NEGLIGIBLE = 1e-6
# Information about the ratio, relative to that of known coefficients, that is rounding.
ROUNDING = 1e-10


def integrate_ratio(model):
    """The posterior distribution of the ratio, on nodes.

    Where the data say nothing about the ratio (one group, groups of one row, columns
    that tell all groups apart) it is 0 with probability 1.

    Parameters
    ----------
    model : RandomIntercept
        Without a penalty; whether by ML or REML does not matter.

    Returns
    -------
    Components
        Their keys are the ratios, at least 0.
    """
    model = replace(model, gram=pool(model.gram), penalty=None)
    freedom = model.n - (model.gram.R12.shape[2] - 1)
    least = max(float(freedom), 1.0)  # an exact fit has none
    density, rss = _densities(model, np.zeros(1), least)
    if not has_freedom(model, freedom) or not np.isfinite(density[0]):
        scale = np.maximum(rss / least, model.floor)
        return Components(np.zeros(1), scale, np.ones(1), least)
    above, below = _above(model, freedom), _below(model, freedom)
    return _components(model, above, below, freedom)


def _components(model, above, below, freedom):
    """One half of the probability of ratios below 0 is put at 0, where each keeps its
    noise variance; the other is spread over the ratios above 0, whose noise variances
    take their share of those below 0: math.md (142).
    """
    highest = max(above[1].max(), below[1].max())
    p_above, p_below = np.exp(above[1] - highest), np.exp(below[1] - highest)
    moved = 0.5 * p_below.sum() / p_above.sum()
    share = np.exp(below[1] - below[1].max())
    typical = np.exp(share @ np.log(below[2]) / share.sum())
    shared = (above[2] + moved * typical) / (1 + moved)
    probability = np.concatenate([0.5 * p_below, (1 + moved) * p_above])
    probability /= probability.sum()
    ratio = np.concatenate([np.zeros(len(p_below)), above[0]])
    noise = np.concatenate([below[2], shared]) / freedom
    kept = probability > NEGLIGIBLE
    return Components(
        ratio[kept],
        np.maximum(noise[kept], model.floor),
        probability[kept] / probability[kept].sum(),
        float(freedom),
    )


def _above(model, freedom):
    """Ratios above 0, logarithms of their probabilities, and rss: trapezoidal rule in
    log r over the range in which the density counts.
    """
    S = model.gram.group_size
    low, high, step = FIRST - np.log(S.max()), LAST - np.log(S.min()), 2.0
    while True:
        scan = np.arange(low, high + 0.5 * step, step)
        found = _densities(model, np.exp(scan), freedom)[0] + scan
        counts = np.flatnonzero(found > found.max() + LEFT_OUT)
        low, high = scan[counts[0]] - step, scan[counts[-1]] + step
        if len(counts) >= FEWEST_SEEN:
            break
        step = (high - low) / (4 * FEWEST_SEEN)
    n_nodes = int(np.clip(np.ceil((high - low) / STEP) + 1, *N_NODES))
    nodes = np.linspace(low, high, n_nodes)
    density, rss = _densities(model, np.exp(nodes), freedom)
    return np.exp(nodes), density + nodes + np.log(nodes[1] - nodes[0]), rss


def _below(model, freedom):
    """The same below 0, with Gauss-Legendre nodes in u = -log(1 + r max S)."""
    most = model.gram.R11.max() ** 2
    depth = np.arange(0.0, DEEPEST)
    found = _densities(model, np.expm1(-depth) / most, freedom)[0] - depth
    counts = np.flatnonzero(found > found.max() + LEFT_OUT)
    end = depth[counts[-1]] + 1.0
    x, w = np.polynomial.legendre.leggauss(NODES_BELOW)
    u = 0.5 * end * (1 + x)
    density, rss = _densities(model, np.expm1(-u) / most, freedom)
    return u, density - u + np.log(0.5 * end * w / most), rss


def _densities(model, ratios, freedom):
    """Log-densities of ratios, up to a constant, and residual sums of squares."""
    n_numbers = model.gram.R12.size + model.gram.R22.size
    n_chunks = -(-len(ratios) * n_numbers // NUMBERS)
    return in_chunks(partial(_densities_at_once, model, freedom), n_chunks, ratios)


def _densities_at_once(model, freedom, ratios):
    """math.md (71) and rss, of all ratios at once."""
    gram, S = model.gram, model.gram.group_size
    D = 1 + ratios[:, None] * S
    rows, root = roots(gram, ratios)
    k = (np.sqrt(S / D)[:, :, None] * rows)[:, :, :-1]
    k = k @ np.linalg.inv(root[:, :-1, :-1])
    diagonal = np.abs(np.diagonal(root, axis1=1, axis2=2))
    rss = diagonal[:, -1] ** 2
    with np.errstate(divide="ignore"):
        density = 0.5 * np.log(_information(gram.multiplicity, S / D, k, freedom))
        density -= 0.5 * freedom * np.log(rss)
    density -= 0.5 * np.log(D) @ gram.multiplicity
    return density - np.log(diagonal[:, :-1]).sum(axis=1), rss


def roots(gram, ratios):
    """The rows of math.md (12), (c, K, m), and their roots (13), (c, m, m), of all
    ratios at once.
    """
    m = gram.R12.shape[2]
    D = 1 + ratios[:, None] * gram.group_size
    rows = gram.R12[:, 0] / np.sqrt(D)[:, :, None]
    missing = max(m - len(gram.R12) - len(gram.R22), 0)  # for a square root
    fixed = np.vstack([gram.R22, np.zeros((missing, m))])
    fixed = np.broadcast_to(fixed, (len(ratios), *fixed.shape))
    return rows, np.linalg.qr(np.concatenate([fixed, rows], axis=1), mode="r")


def _information(multiplicity, shrunk, k, freedom):
    """REML information of ratios, sigma^2 profiled: the square of math.md (70)."""
    length = np.sum(k**2, axis=2)
    known = shrunk**2 @ multiplicity
    trace = shrunk @ multiplicity - length.sum(axis=1)
    inner = np.swapaxes(k, 1, 2) @ k
    square = known - 2 * np.sum(shrunk * length, axis=1) + np.sum(inner**2, axis=(1, 2))
    information = 0.5 * (square - trace**2 / freedom)
    return np.where(information > ROUNDING * known, information, 0.0)
