"""Parts of the rows: a function is called with each of them, and its sums are added up.

Parts in memory are worked on by `n_jobs` workers.  Those of a Dask collection are in
`dask`, and have the same methods.
"""

from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from .._input.blocks import map_jobs, n_workers


@dataclass(frozen=True)
class Each:
    """An argument with a value of its own for every part."""

    values: tuple


def own_arguments(arguments, number):
    """The arguments for one part."""
    return [a.values[number] if isinstance(a, Each) else a for a in arguments]


class Parts:
    """Parts in memory.

    Parameters
    ----------
    values : sequence
        The parts.
    n_jobs : int, default=None
    """

    def __init__(self, values, n_jobs=None):
        self.values, self.n_jobs = tuple(values), n_jobs

    @property
    def n_workers(self):
        """Number of parts that can be worked on at a time."""
        return n_workers(self.n_jobs)

    def map(self, function, *arguments):
        """The parts ``function(part, *arguments)``."""
        return Parts(self._call(function, arguments), self.n_jobs)

    def reduce(self, function, *arguments, join=add):
        """The sum of ``function(part, *arguments)``; `join` adds two of its terms."""
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
    """Groups of both, ascending, and the positions of each of the two among them."""
    groups = np.union1d(first, second)
    return groups, [np.searchsorted(groups, one) for one in (first, second)]


def add_by_group(both, positions, n_groups):
    """Figures of the groups of both, added."""
    total = np.zeros((n_groups, *both[0].shape[1:]), dtype=both[0].dtype)
    for values, places in zip(both, positions, strict=True):
        total[places] += values
    return total
