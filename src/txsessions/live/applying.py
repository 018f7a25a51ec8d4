"""
How what was kept comes back.

Owns the way from stored parts into a live session, in place.  A component stays
encoded until it is first asked for, since only then is it known which interface,
and so which class, it belongs to.  A part whose class this process does not know
is carried byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.python import reflect
from twisted.python.failure import Failure

from txsessions.core.codec import decodeValue
from txsessions.core.state import ATTRIBUTE, COMPONENT, NAMESPACE, splitPart
from txsessions.live.classes import (
    NotHere,
    classFor,
    fillIn,
    isInterface,
    keptByName,
    restoreWith,
    stateOf,
)
from txsessions.live.gathering import ALIAS, aliasTo, componentPart

if TYPE_CHECKING:
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")

_MAX_REPORTED = 1000

_reported: set[str] = set()


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
        if kind == COMPONENT:
            _applyComponent(session, name.decode("utf-8"), part, encoded)
            continue
        try:
            value = decodeValue(encoded, partial(restoreWith, keptByName), session)
        except Exception as error:
            _remove(session, kind, name, part)
            _carry(session, part, encoded, error)
            continue
        if kind == NAMESPACE:
            holder, key = session.sessionNamespaces, decodeValue(name)
        else:
            holder, key = session.__dict__, name.decode("utf-8")
        holder[key] = inPlace(holder.get(key), value)
        if session._dormant:
            session._dormant.pop(part, None)


def checkNames(parts: Iterable[bytes]) -> None:
    """
    See that the names of stored parts can be read.

    @raise ValueError: One cannot.
    """
    for part in parts:
        kind, name = splitPart(part)
        if kind != NAMESPACE:
            name.decode("utf-8")
            continue
        try:
            hash(decodeValue(name))
        except TypeError:
            raise ValueError("a key of a namespace cannot be one") from None


def _carry(session: Session, part: bytes, encoded: bytes, error: Exception) -> None:
    """
    Carry a part that cannot be remade, and say so once for each reason.
    """
    _putAside(session, part, encoded)
    _report(session, error)


def _report(session: Session, error: Exception) -> None:
    """
    Say once why something is carried unread.
    """
    known = isinstance(error, NotHere)
    reason = str(error) if known else f"{type(error)} at {_innermost(error)}"
    if reason in _reported or len(_reported) >= _MAX_REPORTED:
        return
    _reported.add(reason)
    if known:
        _log.warn(
            "a part of session {tag} is carried unread: {reason}",
            tag=session._tag(),
            reason=reason,
        )
    else:
        _log.failure(
            "a part of session {tag} is carried unread, since it could not be remade",
            failure=Failure(error),
            tag=session._tag(),
        )


def _innermost(error: Exception) -> tuple[str, int] | None:
    """
    Where something was raised.
    """
    frames = extract_tb(error.__traceback__)
    return (frames[-1].filename, frames[-1].lineno or 0) if frames else None


def _putAside(session: Session, part: bytes, encoded: bytes) -> None:
    """
    Keep a part as it is.
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
    elif session._components:
        session._adapterCache.pop(name.decode("utf-8"), None)


def _applyComponent(session: Session, name: str, part: bytes, encoded: bytes) -> None:
    """
    Change the component that is in use, or put the state aside until one is
    asked for.
    """
    current = session._adapterCache.get(name) if session._components else None
    if current is None:
        _putAside(session, part, encoded)
        return
    try:
        fresh = _remake(session, name, encoded, type(current))
        inUse = any(fresh is other for other in session._adapterCache.values())
        if type(fresh) is type(current) and not inUse:
            fillIn(current, stateOf(fresh))
        else:
            session._adapterCache[name] = fresh
    except Exception as error:
        _carry(session, part, encoded, error)
        return
    if session._dormant:
        session._dormant.pop(part, None)


def _remake(session: Session, name: str, encoded: bytes, inUse: type | None) -> Any:
    """
    Make the component for the interface C{name}.

    @param inUse: The class of the one that is there now.
    @raise NotHere: The program did not name its class.
    """
    known = dict(keptByName)
    for cls in (classFor(session, name), inUse):
        if cls is not None:
            known[reflect.qual(cls)] = cls

    def restore(className: str, version: int, state: object) -> object:
        if className != ALIAS:
            return restoreWith(known, className, version, state)
        other = str(state)
        if isInterface(other) and (
            other in session._adapterCache or wake(session, other)
        ):
            return session._adapterCache[other]
        raise NotHere(f"it is that for {other}, which is not here")

    return decodeValue(encoded, restore, session)


def wake(session: Session, name: str) -> bool:
    """
    Make the component that lies encoded under the interface C{name}, and put it
    under the others that it is kept for too.

    @return: Whether there was one and its class is known.
    """
    dormant = session._dormant
    part = componentPart(name)
    if not dormant or part not in dormant:
        return False
    try:
        component = _remake(session, name, dormant[part], None)
    except Exception as error:
        _report(session, error)
        return False
    # Making it may have woken this one too, if it is an alias.
    dormant.pop(part, None)
    session._adapterCache[name] = component
    for other in _aliasesOf(dormant, name):
        del dormant[other]
        session._adapterCache[splitPart(other)[1].decode("utf-8")] = component
    return True


def _aliasesOf(dormant: Mapping[bytes, bytes], name: str) -> list[bytes]:
    """
    The parts that say that their component is the one of C{name}.
    """
    alias = aliasTo(name)
    return [part for part, encoded in dormant.items() if encoded == alias]


def dropDormant(session: Session, name: str) -> bool:
    """
    Forget the component that lies encoded under the interface C{name}, but not
    for the others that it is kept for too.

    @return: Whether there was one.
    """
    dormant = session._dormant
    encoded = None if dormant is None else dormant.pop(componentPart(name), None)
    if dormant is None or encoded is None:
        return False
    heirs = _aliasesOf(dormant, name)
    for heir in heirs:
        dormant[heir] = aliasTo(splitPart(heirs[0])[1].decode("utf-8"))
    if heirs:
        dormant[heirs[0]] = encoded
    return True


def mergerFor(session: Session, part: bytes) -> Any:
    """
    What merges a component that was changed on both sides: the C{mergeState} of
    the one that is in use, or L{None}.
    """
    kind, name = splitPart(part)
    if kind != COMPONENT or not session._components:
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


__all__ = ["apply", "checkNames", "dropDormant", "inPlace", "mergerFor", "wake"]
