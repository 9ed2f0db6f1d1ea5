"""Results of a fit as plain arrays and numbers, and arrays that nobody writes into.

A stored model holds no class of this package but the estimator's own: dataclasses are
stored as dicts of their fields, so that private modules and classes are free to move.
"""

from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import get_args, get_type_hints

import numpy as np


def to_plain(value):
    """Dataclasses as dicts of their fields, in tuples too, and NumPy's scalars as
    Python's numbers; all else as it is.  A field with ``"stored": False`` in its
    metadata is left out.
    """
    if is_dataclass(value):
        return {name: to_plain(getattr(value, name)) for name in _stored(value)}
    if isinstance(value, np.generic):
        return value.item()
    return tuple(map(to_plain, value)) if type(value) is tuple else value


@lru_cache
def _fields(kind):
    """Names of the fields of a dataclass, for which Python takes as long as for an
    array that is made read-only.
    """
    return [f.name for f in fields(kind)]


def _stored(kind):
    """Names of the fields that are stored, of a dataclass or of its class."""
    return [f.name for f in fields(kind) if f.metadata.get("stored", True)]


def from_plain(kind, state):
    """The dataclass that `to_plain` made a dict of.

    Parameters
    ----------
    kind : type
        The dataclass.  A field that holds a dataclass, one of several, a tuple of them
        or None is annotated with it: ``Posterior``, ``Gram | NestedGram``,
        ``tuple[Term, ...]``, ``Statistics | None``.
    state : dict
        Figures that `kind` has no field for are left out: an earlier version may have
        stored what is computed when it is asked for.
    """
    hints = get_type_hints(kind)
    known = [name for name in state if name in hints]
    return kind(**{name: _revive(hints[name], state[name]) for name in known})


def _revive(hint, value):
    kinds = [kind for kind in (hint, *get_args(hint)) if is_dataclass(kind)]
    if kinds and isinstance(value, dict):
        # An earlier version may have stored a field more or less.
        unlike = [len(set(_stored(kind)) ^ set(value)) for kind in kinds]
        return from_plain(kinds[int(np.argmin(unlike))], value)
    if kinds and isinstance(value, tuple):
        return tuple(from_plain(kinds[0], entry) for entry in value)
    return value


def read_only(value):
    """The same arrays, numbers, tuples, dicts and dataclasses, but with arrays that
    cannot be written into.

    They are views, so that an array that the caller shares with others stays writable
    for them.
    """
    if isinstance(value, np.ndarray):
        if value.flags.writeable:
            value = value.view()
            value.flags.writeable = False
    elif value is None or isinstance(value, (str, bool, int, float)):
        return value
    elif is_dataclass(value):
        changed = {}
        for name in _fields(type(value)):
            part = getattr(value, name)
            if (kept := read_only(part)) is not part:
                changed[name] = kept
        return replace(value, **changed) if changed else value
    elif type(value) is tuple:
        kept = tuple(map(read_only, value))
        changed = any(a is not b for a, b in zip(kept, value, strict=True))
        return kept if changed else value
    elif type(value) is dict:
        return {key: read_only(part) for key, part in value.items()}
    return value
