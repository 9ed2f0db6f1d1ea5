"""Rows in one part or in several, and what can be done with them: to make other parts,
and to add up what each of them says.

Parts in memory are worked on by `n_jobs` workers; `_partitions` has those that a
cluster holds.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from .._blocks import map_jobs, n_workers


@dataclass(frozen=True)
class Each:
    """An argument of which every part has its own."""

    values: tuple


def own_arguments(arguments, number):
    """The arguments for one part."""
    return [a.values[number] if isinstance(a, Each) else a for a in arguments]


class Parts:
    """Parts in memory.

    Parameters
    ----------
    values : sequence
    n_jobs : int, default=None
    """

    def __init__(self, values, n_jobs=None):
        self.values, self.n_jobs = tuple(values), n_jobs

    @property
    def n_workers(self):
        """How many parts are worth having."""
        return n_workers(self.n_jobs)

    def map(self, function, *arguments):
        """Parts ``function(part, *arguments)``."""
        return Parts(self._call(function, arguments), self.n_jobs)

    def reduce(self, function, *arguments, join=add):
        """The sum, or what `join` makes of two, of ``function(part, *arguments)``."""
        return reduce(join, self._call(function, arguments))

    def as_argument(self):
        """These parts as an argument for others."""
        return Each(self.values)

    def _call(self, function, arguments):
        calls = [
            (part, *own_arguments(arguments, number))
            for number, part in enumerate(self.values)
        ]
        return map_jobs(function, calls, self.n_jobs)


@dataclass(frozen=True)
class ByGroup:
    """Sums over the rows of some groups.

    Attributes
    ----------
    groups : ndarray of shape (g,)
        Positions of the groups, each once.
    values : ndarray of shape (g, ...)
    """

    groups: np.ndarray
    values: np.ndarray

    def __add__(self, other):
        groups, positions = join_groups(self.groups, other.groups)
        both = (self.values, other.values)
        return ByGroup(groups, add_by_group(both, positions, len(groups)))


def join_groups(first, second):
    """Groups of both, ascending, and where those of each are among them."""
    groups = np.union1d(first, second)
    return groups, [np.searchsorted(groups, one) for one in (first, second)]


def add_by_group(both, positions, n_groups):
    """Figures of the groups of both, added."""
    total = np.zeros((n_groups, *both[0].shape[1:]), dtype=both[0].dtype)
    for values, places in zip(both, positions, strict=True):
        total[places] += values
    return total
