"""
Merging: two processes changed one session, and neither change may be lost
without notice.

Owns the three-way merge, part by part: what was loaded, what this process made
of it, what stands in the store now.  Knows no session, no store, and no class
of an application: objects are merged as the plain data that they are kept as.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

from txsessions.core.codec import (
    BACK_REFERENCE,
    Reduced,
    decodeValue,
    encodeValue,
)

Merger = Callable[[Any, Any, Any], Any]
"""Merges the states of one component: base (L{None} where both sides made the
component anew), mine, theirs."""


@frozen(kw_only=True)
class Merged:
    """
    What came of a merge.

    @ivar parts: The parts as they should be now.
    @ivar conflicts: The names of the parts in which something was changed on
        both sides, so that the other side's change may not be in C{parts}.
    @ivar failures: What was raised while merging a part, by its component's
        C{mergeState} or because the outcome cannot be kept; mine was taken,
        and the part is a conflict too.
    """

    parts: dict[bytes, bytes] = field(repr=False)
    conflicts: tuple[bytes, ...] = ()
    failures: tuple[tuple[bytes, Exception], ...] = ()


class _Absent(enum.Enum):
    """
    What stands for a key that is not there.
    """

    ABSENT = "absent"


_ABSENT: Final = _Absent.ABSENT

_SETS: Final = (set, frozenset)


@frozen
class _Kept:
    """
    An object as the plain data that it is kept as.

    @ivar written: Its state as bytes, which is what two of them are compared
        by.
    """

    name: str
    version: int
    state: object = field(eq=False)
    written: bytes


_ADDED: Final = (int, float, list, _Kept)


def mergeParts(
    base: Mapping[bytes, bytes],
    mine: Mapping[bytes, bytes],
    theirs: Mapping[bytes, bytes],
    mergers: Callable[[bytes], Merger | None] | None = None,
) -> Merged:
    """
    Merge three ways.

    A part that only one side changed is as that side has it.  In one that both
    changed, dicts are merged key by key and sets member by member; anything
    else is one value, for which mine, the later write, is taken, and the part
    is a conflict.  That both made the same of it is no excuse where they may
    have added to it: two visits counted at once are two.

    @param base: The parts that were loaded.
    @param mine: What this process has made of them.
    @param theirs: What stands in the store now.
    @param mergers: Gives the C{mergeState} of the component in a part, if it
        has one.
    """
    parts: dict[bytes, bytes] = {}
    conflicts: list[bytes] = []
    failures: list[tuple[bytes, Exception]] = []
    for name in dict.fromkeys((*theirs, *mine)):
        was, my, their = base.get(name), mine.get(name), theirs.get(name)
        if my == was:
            part = their
        elif their == was:
            part = my
        elif my is None or their is None:
            part = my
            conflicts.append(name)
        else:
            try:
                merger = None if mergers is None else mergers(name)
                part, clean = _mergePart(was, my, their, merger)
            except Exception as error:  # whatever a merger raises
                part, clean = my, False
                failures.append((name, error))
            if not clean:
                conflicts.append(name)
        if part is not None:
            parts[name] = part
    return Merged(parts=parts, conflicts=tuple(conflicts), failures=tuple(failures))


def _mergePart(
    base: bytes | None, mine: bytes, theirs: bytes, merger: Merger | None
) -> tuple[bytes, bool]:
    """
    Merge one part that both sides changed.

    @return: The part, and whether nothing was lost.
    """
    was = _ABSENT if base is None else _read(base)
    my, their = _read(mine), _read(theirs)
    if merger is not None and isinstance(my, _Kept) and isinstance(their, _Kept):
        made = _mergeObjects(was, my, their, merger)
        return (mine, False) if made is None else (_write(made), True)
    value, clean = _mergeValues(was, my, their)
    return _write(value), clean


def _mergeObjects(
    base: object, mine: _Kept, theirs: _Kept, merger: Merger
) -> _Kept | None:
    """
    Merge two states of one component, as it does itself.

    @return: L{None} if the two are not of the same class and version.
    """
    if (mine.name, mine.version) != (theirs.name, theirs.version):
        return None
    was = None
    if isinstance(base, _Kept):
        if (base.name, base.version) != (mine.name, mine.version):
            return None
        was = base.state
    state = merger(was, mine.state, theirs.state)
    return _keep(mine.name, mine.version, state)


def _mergeValues(base: object, mine: object, theirs: object) -> tuple[object, bool]:
    """
    Merge two values that differ from what they were; each may be absent.

    @return: The value, and whether nothing was lost.
    """
    if type(mine) is dict and type(theirs) is dict:
        return _mergeDicts(base if type(base) is dict else {}, mine, theirs)
    if isinstance(mine, _SETS) and type(mine) is type(theirs):
        was = base if isinstance(base, _SETS) else frozenset()
        return (theirs - (was - mine)) | (mine - was), True
    return mine, not _mayAdd(mine) and _same(mine, theirs)


def _mayAdd(value: object) -> bool:
    """
    Tell whether a value may have come from adding to what it was, so that two of
    the same are two changes: a number may have been counted up, a list be longer
    by one, and an object may hold either.
    """
    return type(value) in _ADDED and value != []


def _mergeDicts(
    base: dict[object, object], mine: dict[object, object], theirs: dict[object, object]
) -> tuple[dict[object, object], bool]:
    """
    Merge two dicts key by key.
    """
    made: dict[object, object] = {}
    clean = True
    for key in dict.fromkeys((*theirs, *mine)):
        was, my, their = (side.get(key, _ABSENT) for side in (base, mine, theirs))
        if _same(my, was):
            value = their
        elif _same(their, was):
            value = my
        else:
            value, kept = _mergeValues(was, my, their)
            clean = clean and kept
        if value is not _ABSENT:
            made[key] = value
    return made, clean


def _same(one: object, other: object) -> bool:
    """
    Tell whether two values are kept as the same bytes, or both not there.
    Equality will not do: 1, 1.0 and True are equal.
    """
    if one is _ABSENT or other is _ABSENT:
        return one is other
    return _write(one) == _write(other)


def _keep(name: str, version: int, state: object) -> _Kept:
    """
    Stand in for an object.
    """
    return _Kept(name, version, state, _write(state))


def _reduce(value: object) -> Reduced:
    """
    Take apart what L{_read} put together.
    """
    if value is BACK_REFERENCE:
        return BACK_REFERENCE
    if isinstance(value, _Kept):
        return value.name, value.version, value.state
    return None


def _read(data: bytes) -> object:
    """
    Read a part, without making objects.
    """
    return decodeValue(data, _keep, BACK_REFERENCE)


def _write(value: object) -> bytes:
    """
    Write what L{_read} read.
    """
    return encodeValue(value, reduce=_reduce)


__all__ = ["Merged", "Merger", "mergeParts"]
