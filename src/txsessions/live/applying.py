"""
How what was kept comes back.

Owns the way from stored parts into a live session, in place.  A component stays
encoded until it is first asked for, since only then is it known which interface,
and so which class, it belongs to.  A part whose class this process does not know
is carried byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python import reflect

from txsessions.core.codec import decodeValue
from txsessions.core.state import partName, splitPart
from txsessions.live.classes import (
    classFor,
    fillIn,
    keptByName,
    restoreWith,
    stateOf,
)
from txsessions.live.gathering import ALIAS, ATTRIBUTE, COMPONENT, NAMESPACE

if TYPE_CHECKING:
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")


def apply(
    session: Session, parts: Mapping[bytes, bytes], before: Mapping[bytes, bytes]
) -> None:
    """
    Bring a live session to a stored state, in place: the same dicts, lists and
    components, so that no request holds a stale copy.

    @param parts: The stored parts.
    @param before: The parts as they are in the session now.
    """
    for part in before.keys() - parts.keys():
        _remove(session, *splitPart(part), part)
    for part, encoded in parts.items():
        if before.get(part) == encoded:
            continue
        kind, name = splitPart(part)
        try:
            if kind == NAMESPACE:
                key = decodeValue(name)
                value = _decodePlain(session, encoded)
                namespaces = session.sessionNamespaces
                namespaces[key] = inPlace(namespaces.get(key), value)
            elif kind == ATTRIBUTE:
                attribute = name.decode("utf-8")
                value = _decodePlain(session, encoded)
                fields = session.__dict__
                fields[attribute] = inPlace(fields.get(attribute), value)
            else:
                _applyComponent(session, name.decode("utf-8"), part, encoded)
        except Exception:
            _log.failure(
                "a part of session {tag} is carried unread: its class is not known "
                "to this process, or could not be remade",
                tag=session.tag,
            )
            _putAside(session, part, encoded)


def _decodePlain(session: Session, encoded: bytes) -> Any:
    """
    Decode a value that holds no classes but those declared.
    """
    return decodeValue(encoded, partial(restoreWith, keptByName), session)


def _putAside(session: Session, part: bytes, encoded: bytes) -> None:
    """
    Carry a part as it is.
    """
    if session._dormant is None:
        session._dormant = {}
    session._dormant[part] = encoded


def _remove(session: Session, kind: bytes, name: bytes, part: bytes) -> None:
    """
    Take a part out of a live session.
    """
    if session._dormant:
        session._dormant.pop(part, None)
    if kind == NAMESPACE:
        session.sessionNamespaces.pop(decodeValue(name), None)
    elif kind == ATTRIBUTE:
        session.__dict__.pop(name.decode("utf-8"), None)
    elif session._hasComponents():
        session._adapterCache.pop(name.decode("utf-8"), None)


def _applyComponent(session: Session, name: str, part: bytes, encoded: bytes) -> None:
    """
    Change the component that is in use, or put the state aside until one is
    asked for.
    """
    current = session._adapterCache.get(name) if session._hasComponents() else None
    if current is None:
        _putAside(session, part, encoded)
        return
    known = {**keptByName, reflect.qual(type(current)): type(current)}
    fresh = decodeValue(encoded, partial(restoreWith, known), session)
    if type(fresh) is type(current):
        fillIn(current, stateOf(fresh))
    else:
        session._adapterCache[name] = fresh


def wake(session: Session, name: str) -> bool:
    """
    Make the component that lies encoded under the interface C{name}.

    @return: Whether there was one and its class is known.
    """
    dormant = session._dormant
    part = partName(COMPONENT, name.encode("utf-8"))
    if not dormant or part not in dormant:
        return False
    cls = classFor(session, name)
    known = dict(keptByName)
    if cls is not None:
        known[reflect.qual(cls)] = cls

    def restore(className: str, version: int, state: object) -> object:
        if className == ALIAS:
            other = str(state)
            wake(session, other)
            return session._adapterCache[other]
        return restoreWith(known, className, version, state)

    try:
        component = decodeValue(dormant[part], restore, session)
    except Exception:
        _log.failure(
            "the component for {name} of session {tag} is carried unread: its class "
            "is not known to this process, or could not be remade",
            name=name,
            tag=session.tag,
        )
        return False
    del dormant[part]
    session._adapterCache[name] = component
    return True


def dropDormant(session: Session, name: str) -> bool:
    """
    Forget the component that lies encoded under the interface C{name}.

    @return: Whether there was one.
    """
    part = partName(COMPONENT, name.encode("utf-8"))
    dormant = session._dormant
    return dormant is not None and dormant.pop(part, None) is not None


def mergerFor(session: Session, part: bytes) -> Any:
    """
    What merges a component that was changed on both sides: the C{mergeState} of
    the one that is in use, or L{None}.
    """
    kind, name = splitPart(part)
    if kind != COMPONENT or not session._hasComponents():
        return None
    component = session._adapterCache.get(name.decode("utf-8"))
    return getattr(component, "mergeState", None)


def inPlace(current: Any, fresh: Any) -> Any:
    """
    Give a container that is in use the content of a fresh one, where they are
    of one kind.

    @return: What is to be used from now on.
    """
    kind = type(fresh)
    if type(current) is not kind:
        return fresh
    if kind is dict:
        merged = {key: inPlace(current.get(key), item) for key, item in fresh.items()}
        current.clear()
        current.update(merged)
        return current
    if kind is list:
        current[:] = fresh
        return current
    if kind is set:
        current.clear()
        current |= fresh
        return current
    return fresh


__all__ = ["apply", "dropDormant", "mergerFor", "wake"]
