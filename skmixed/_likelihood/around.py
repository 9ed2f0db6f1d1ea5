"""Covariances of effects that crossed factors have beside nested ones (docs/math.md,
11.7).

The first factor, and those that are nested around it, are eliminated one after the
other; the rest is dense.
"""

from dataclasses import dataclass

import numpy as np

from .._rows.around import Around, by_level, products_at, sums_by
from .._rows.crossed import Links
from .._rows.qr import EPS
from .factor import bordered, solve_lower, times, transpose, whitener


@dataclass(frozen=True)
class Stage:
    """One factor that has been eliminated.

    Attributes
    ----------
    psi : ndarray of shape (q, q)
        Lambda Lambda'.
    D : ndarray of shape (K, q, q)
        (Z'V^-1 Z)_gg, V being that of this factor and those inside.
    F_around : ndarray of shape (K, q, w)
        Z'V^-1 Z_around of each level and of the levels that it belongs to.
    F : ndarray of shape (E, q)
        Z'V^-1 Z_rest of the links.
    own : ndarray of shape (K, q, q)
        Covariance of the effects given those of the factors around and of the rest.
    links : Links
    outside : Around or None
        The next factor around; None for the last one.
    """

    psi: np.ndarray
    D: np.ndarray
    F_around: np.ndarray
    F: np.ndarray
    own: np.ndarray
    links: Links
    outside: Around | None

    @property
    def carry_around(self):
        """d b / d (effects around), (K, q, w)."""
        return times(-self.psi, self.F_around)

    @property
    def carry(self):
        """d b / d (effects of the rest) of the links, (E, q)."""
        return -self.F @ self.psi


def stage_of(step, Lambda, links, outside):
    """The stage of a step of `eliminate_around`."""
    before, psi = step.before, Lambda @ Lambda.T
    turn, D = _turned(before.own, Lambda)
    return Stage(
        psi=psi,
        D=D,
        F_around=turn @ before.up,
        F=by_level(turn, before.links),
        own=times(transpose(step.half), step.half),
        links=links,
        outside=outside,
    )


def _turned(own, Lambda):
    """(I + own psi)^-1 (K, q, q) on the range of `own`, and this times `own`.

    With own = S S' it is S (I + S'psi S)^-1 S^+, in units in which the diagonal of
    `own` is 1: I + own psi may be singular in double precision.
    """
    q = len(Lambda)
    if q == 1:
        turn = 1 / (1 + own * Lambda**2)
        return turn, turn * own
    unit = np.sqrt(np.maximum(np.einsum("gii->gi", own), 0.0))[:, :, None]
    unit = np.where(unit > 0, unit, 1.0)
    squares, S = np.linalg.eigh(own / unit / transpose(unit))
    size = np.sqrt(np.where(squares > q * EPS, squares, 0.0))[:, :, None]
    across = transpose(unit * S) * size
    C = whitener(across @ Lambda)
    half = solve_lower(C, across)
    size = np.where(size > 0, size, np.inf)
    turn = transpose(half) @ solve_lower(C, transpose(S / unit) / size)
    return turn, times(transpose(half), half)


def forms_around(stages, covariance, of_first):
    """F Cov F' (K, q, q) of every stage, Cov being that of the effects around and of
    the rest: math.md (202).

    Parameters
    ----------
    stages : sequence of Stage
        From the inside out.
    covariance : ndarray of shape (d, d)
        Of the rest.
    of_first : ndarray of shape (K, q, q)
        F Cov F' of the first stage by the effects of the rest alone.
    """
    found, known = [], None
    for at in reversed(range(len(stages))):
        stage, told = stages[at], None
        if at:
            told = products_at(stage.links, stage.F, covariance)
            product = stage.F[:, :, None] * told[:, None, :]
            of_rest = sums_by(stage.links.group, product, len(stage.D))
        else:
            of_rest = of_first
        X, cross = _form(stage, of_rest, known)
        found.insert(0, X)
        if at:
            known = _joint(stage, X, cross, told, known)
            inside = stages[at - 1].outside
            known = known[0][inside.parent], known[1][inside.place]
    return found


def _form(stage, of_rest, known):
    """F Cov F' of a stage from the part of the rest, and what F Cov is at the effects
    around, (K, q, w).

    `known` are covariances of the effects around: (K, w, w) for every level, and (E, w)
    with the effect of the rest for every link.
    """
    cross = np.zeros(stage.F_around.shape)
    if known is None:
        return of_rest, cross
    joint, with_rest = known
    met = stage.F[:, :, None] * with_rest[:, None, :]
    of_links = sums_by(stage.links.group, met, len(cross))
    half = stage.F_around @ transpose(of_links)
    cross = stage.F_around @ joint + of_links
    X = of_rest + cross @ transpose(stage.F_around) + transpose(half)
    return (X + transpose(X)) / 2, cross


def _joint(stage, X, cross, told, known):
    """`known` of `_form` for the next stage inside, in the order of this stage."""
    psi = stage.psi
    own, cross = stage.own + psi @ X @ psi, -psi @ cross
    mine = -told @ psi
    if known is None:
        return own, mine
    joint, with_rest = known
    links = stage.links.with_values(with_rest)
    mine = mine - by_level(stage.F_around, links) @ psi
    return bordered(own, cross, joint), np.hstack([mine, with_rest])
