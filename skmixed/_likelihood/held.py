"""The likelihood of a linear mixed model as a function of roots of its covariances that
are free in part only (docs/math.md, section 18).

With a parameter held, the roots are affine in those parameters that stay free.
"""

from dataclasses import dataclass, replace

import numpy as np

from .._input.blocks import slices_of
from .mixed import MixedPoint, evaluate, second


@dataclass(frozen=True)
class Roots:
    """Roots M_t of the covariances Psi_t = M_t M_t', affine in free parameters.

    Attributes
    ----------
    fixed : tuple of ndarray of shape (q, q)
        M_t where all free parameters are 0, in units of y.
    free : tuple of ndarray of shape (k_t, q, q)
        The derivatives of M_t in the free parameters of the term.
    noise_variance : float or None
        None if its logarithm is the last of the free parameters.
    """

    fixed: tuple
    free: tuple
    noise_variance: float | None = None

    def at(self, x):
        """M_t of every term."""
        parts = np.split(x, np.cumsum([len(A) for A in self.free]))
        triples = zip(self.fixed, parts[:-1], self.free, strict=True)
        return [M + np.einsum("k,kab->ab", part, A) for M, part, A in triples]


@dataclass(frozen=True)
class HeldPoint:
    """The likelihood at one value of the free parameters; a point of `minimise`.

    Attributes
    ----------
    x : ndarray of shape (n,)
    roots : Roots
    point : MixedPoint
    """

    x: np.ndarray
    roots: Roots
    point: MixedPoint
    kinked = False

    @property
    def M(self):
        """The roots of every term."""
        return self.roots.at(self.x)

    @property
    def value(self):
        """The deviance, with the penalty if there is one."""
        return self.point.value

    @property
    def rounding(self):
        """Rounding error of the value."""
        return self.point.rounding


@np.errstate(all="ignore")
def evaluate_held(model, roots, x):
    """The likelihood at some free parameters: math.md (130).

    Raises
    ------
    numpy.linalg.LinAlgError
        If it has no value there in double precision.
    """
    variance = roots.noise_variance
    variance = float(np.exp(x[-1])) if variance is None else variance
    if 0 < variance < np.inf:
        Lambdas = tuple(M / np.sqrt(variance) for M in roots.at(x))
        point = evaluate(replace(model, noise_variance=variance), Lambdas)
        if np.isfinite(point.value):
            return HeldPoint(x, roots, point)
    raise np.linalg.LinAlgError(f"No value at a noise variance of {variance}.")


@np.errstate(over="ignore", invalid="ignore")
def derivatives(at):
    """Gradient and Hessian of the value in the free parameters, math.md (131), (132);
    with the average information in the place of traces where these cost too much.

    Raises
    ------
    numpy.linalg.LinAlgError
        If they are beyond double precision.
    """
    point, free = at.point, at.roots.free
    scores = point.scores if free else ()
    std, n = np.sqrt(point.noise_variance), sum(map(len, free))
    E, curvatures, own = [], np.zeros((n + 1, n + 1)), slices_of(map(len, free))
    for A, Lambda, S, some in zip(free, point.Lambdas, scores, own, strict=True):
        half = A @ Lambda.T / std
        # The last direction is that of log sigma^2, at fixed roots.
        E.append(
            np.concatenate(
                [half + np.swapaxes(half, -1, -2), -(Lambda @ Lambda.T)[None]]
            )
        )
        inner = np.einsum("iab,ac,jcb->ij", A, S, A)
        curvatures[some, some] = 2 * inner / point.noise_variance
        curvatures[some, -1] = curvatures[-1, some] = -np.tensordot(E[-1][:-1], S)
        curvatures[-1, -1] -= np.sum(E[-1][-1] * S)
    found, J = second(point, E), _parameters_to_directions(list(map(len, free)))
    slopes = [np.tensordot(e, S) for e, S in zip(E, scores, strict=True)]
    gradient = J.T @ np.concatenate([np.empty(0), *slopes])
    traces = found.squares - found.traces if found.is_exact else 0.0
    hessian = J.T @ (found.squares + traces) @ J + curvatures
    border = J.T @ found.square
    relative = point.factor.rss / point.noise_variance
    gradient[-1] += point.factor_freedom - relative
    hessian[-1] += border
    hessian[:, -1] += border
    hessian[-1, -1] += relative
    if not (np.isfinite(gradient).all() and np.isfinite(hessian).all()):
        raise np.linalg.LinAlgError("Derivatives are beyond double precision.")
    kept = n + (at.roots.noise_variance is None)
    return gradient[:kept], hessian[:kept, :kept]


def _parameters_to_directions(sizes):
    """J (n + T, n + 1), from the n free parameters and log sigma^2 to the directions of
    Psi / sigma^2 of T terms, each of which ends with one for log sigma^2.
    """
    n = sum(sizes)
    J = np.zeros((n + len(sizes), n + 1))
    for t, own in enumerate(slices_of(sizes)):
        J[t + own.start : t + own.stop, own] = np.eye(sizes[t])
        J[t + own.stop, -1] = 1.0
    return J
