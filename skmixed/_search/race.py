"""Searches from several starts that take turns (docs/math.md, 11.6).

One that comes to an optimum that is known is given up, and so is one that creeps above
it.  None is for its value alone: steps have a longest length, so that a start far from
an optimum is behind for many turns.
"""

from dataclasses import dataclass, replace

import numpy as np

from .descent import Descent, Optimum, leave_boundary, search_from

# Steps of every search in its turn.
TURN = 2
# All of them together have so many times the steps of one search, if steps are not
# dear, and the one that goes on alone no fewer steps than the second figure.
MOST_SEARCHES, LEAST_ALONE = 8, 20
# A point with a deviance above that of an optimum by less than this may be on its way
# there, and is, if a step has led it nearer by so much.
WITHIN, NEARER = 1.0, 0.75
# A search creeps whose steps have decrements below the first figure.  It will gain so
# many of these at most, and a gain below the third figure is none.
CREEPING, GAINS, NO_GAIN = 1e-4, 5, 1e-5


@dataclass(frozen=True)
class Basin:
    """The surroundings of an optimum.

    Attributes
    ----------
    point : MixedPoint
        The optimum.
    root : ndarray of shape (n, n)
        |root' (x - x of the optimum)|^2 is twice the rise of the value, nearly.
    """

    point: object
    root: np.ndarray

    def distance(self, point):
        """From the optimum, in units of its second derivatives."""
        return np.linalg.norm((self.point.place(point) - self.point.x) @ self.root)

    def draws(self, before, after):
        """Whether a step from one point to another leads there: math.md (197)."""
        rise = after.value - self.point.value
        if not -self.point.rounding <= rise <= WITHIN:
            return False
        far = self.distance(after)
        return far**2 <= 2 * WITHIN and far <= NEARER * self.distance(before)


def creeps_above(before, after, lowest):
    """Whether a search that is nearly at its end has come to no lower value than the
    lowest of the optima that are known, and will not: math.md (221).
    """
    above = after.point.value - lowest
    decrement = max(before.decrement, after.decrement)
    return (
        above >= -after.point.rounding
        and decrement <= CREEPING
        and GAINS * decrement <= max(above, NO_GAIN)
    )


def basin_of(optimum):
    """The `Basin` of the end of a search."""
    point = optimum.point.pivoted()
    unit = point.units
    values, vectors = np.linalg.eigh(point.hessian()[0] * np.outer(unit, unit))
    return Basin(point, vectors * np.sqrt(np.abs(values)) / unit[:, None])


def race(known, starts, max_iter, share=1.0):
    """The ends of searches from some points, and the number of evaluations.

    Parameters
    ----------
    known : Optimum
    starts : list of MixedPoint
    max_iter : int
        Most steps of one search.
    share : float, default=1.0
        All together have this share of the steps of eight searches, or of four where
        the optimum that is known is none, but no less than the steps of two.

    Returns
    -------
    found : list of Optimum
    n_evaluations : int
    """
    basins = [basin_of(known)] if known.converged else []
    runners, found, spent = [Descent(start) for start in starts], [], len(starts)
    # Others mostly come to no optimum where the first search has come to none.
    n_searches = share * MOST_SEARCHES / (1 if known.converged else 2)
    left = max(2, n_searches) * max_iter
    while runners and left > 0:
        here, lowest = [], _lowest([known, *found])
        for runner in runners:
            runner, n_steps, extra = _turn(runner, basins, lowest)
            left, spent = left - n_steps, spent + n_steps + extra
            if runner is not None and runner.ended:
                found.append(Optimum(runner.point, 0, runner.converged))
                basins += [basin_of(found[-1])] if runner.converged else []
            elif runner is not None:
                here.append(runner)
        runners = sorted(here, key=lambda runner: runner.point.value)
    best = min([known, *found], key=lambda optimum: optimum.point.value)
    for runner in runners[:1]:
        if runner.point.value < best.point.value:
            found.append(search_from(runner.point, max(max_iter, LEAST_ALONE)))
            spent += found[-1].n_evaluations
    return found, spent


def _lowest(optima):
    """The lowest value of an optimum, infinite if there is none; an exact fit is the
    end of a way without bound.
    """
    regular = (end for end in optima if end.converged and not end.is_exact)
    return min((end.point.value for end in regular), default=np.inf)


def _turn(runner, basins, lowest):
    """A search after some steps, None if they lead to an optimum that is known, the
    number of steps, and that of further evaluations.
    """
    n_steps = 0
    while n_steps < TURN:
        before, runner = runner, runner.next()
        n_steps += 1
        creeps = not runner.ended and creeps_above(before, runner, lowest)
        if runner.ended or creeps:
            point, away, extra = leave_boundary(runner.point)
            ended = None if creeps else replace(runner, point=point)
            return ended if away is None else Descent(away), n_steps, extra
        if any(basin.draws(before.point, runner.point) for basin in basins):
            return None, n_steps, 0
    return runner, n_steps, 0
