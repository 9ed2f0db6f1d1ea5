"""Results of a fit as plain arrays and numbers, and back."""

from dataclasses import dataclass, field

import numpy as np
from numpy.testing import assert_array_equal

from skmixed._results.state import from_plain, to_plain


@dataclass(frozen=True)
class Inner:
    """A part of a state."""

    figures: np.ndarray


@dataclass(frozen=True)
class Outer:
    """A state of parts, and of dicts that stand for themselves."""

    part: Inner
    parts: tuple[Inner, ...]
    absent: Inner | None
    by_name: dict = field(default_factory=dict)
    numbers: tuple = ()


def test_a_state_comes_back():
    inner = Inner(np.arange(3.0))
    state = Outer(inner, (inner, inner), None, {"figures": 1}, (1, 2))
    found = from_plain(Outer, to_plain(state))
    assert type(found.part) is Inner
    assert [type(part) for part in found.parts] == [Inner, Inner]
    assert_array_equal(found.parts[1].figures, inner.figures)
    assert found.absent is None
    assert found.by_name == {"figures": 1}
    assert found.numbers == (1, 2)
