"""
The last state of a session, for those who hear of its end.

Owns the way from parts to plain data that nobody mistakes for a session: no class of
the application is made.  Nothing is decoded before somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from txsessions.core.codec import decodeValue
from txsessions.core.state import ATTRIBUTE, COMPONENT, NAMESPACE, splitPart
from txsessions.live.gathering import ALIAS, gather

if TYPE_CHECKING:
    from txsessions.live.session import Session

_KINDS = {"namespaces": NAMESPACE, "attributes": ATTRIBUTE, "components": COMPONENT}


class LastState(Mapping[str, Mapping[Any, Any]]):
    """
    What was in a session: C{"namespaces"} by their keys, C{"attributes"} by their
    names, C{"components"} by the names of their interfaces.  Instances of classes
    are the plain data that is kept of them.  Its looks show nothing.
    """

    __slots__ = ("_decoded", "_source")

    def __init__(self, source: Callable[[], Mapping[bytes, bytes]]) -> None:
        """
        @param source: Gives the parts when they are first looked at.
        """
        self._source = source
        self._decoded: dict[str, Mapping[Any, Any]] | None = None

    def _look(self) -> dict[str, Mapping[Any, Any]]:
        """
        Decode, once.
        """
        if self._decoded is None:
            parts = self._source()
            self._decoded = {
                name: MappingProxyType(_decodeKind(parts, kind))
                for name, kind in _KINDS.items()
            }
        return self._decoded

    def __getitem__(self, name: str) -> Mapping[Any, Any]:
        return self._look()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(_KINDS)

    def __len__(self) -> int:
        return len(_KINDS)

    def __repr__(self) -> str:
        return "<LastState>"


def _decodeKind(parts: Mapping[bytes, bytes], kind: bytes) -> dict[Any, Any]:
    """
    Decode the parts of one kind.  One that cannot be is left out.
    """
    found: dict[Any, Any] = {}
    others: dict[Any, Any] = {}
    for part, encoded in parts.items():
        partKind, name = splitPart(part)
        if partKind != kind:
            continue
        aliases: list[object] = []

        def restore(
            className: str,
            version: int,
            state: object,
            aliases: list[object] = aliases,
        ) -> object:
            if className == ALIAS:
                aliases.append(state)
            return state

        try:
            key = decodeValue(name) if kind == NAMESPACE else name.decode("utf-8")
            value = decodeValue(encoded, restore, None)
        except Exception:  # noqa: S112 - what is left out may be damaged
            continue
        if kind == COMPONENT and aliases:
            others[key] = value
        else:
            found[key] = value
    for key, other in others.items():
        if other in found:
            found[key] = found[other]
    return found


def lastStateOf(session: Session) -> LastState:
    """
    The last state of a session that is in memory: what was last saved or, where
    there is no store, what is in it.
    """
    entry = session._entry
    if entry is None:
        return LastState(lambda: gather(session, {}).parts)
    parts = entry.parts
    return LastState(lambda: parts)


__all__ = ["LastState", "lastStateOf"]
