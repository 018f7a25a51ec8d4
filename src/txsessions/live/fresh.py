"""
What comes out the same each time is no state.

Owns the question whether a new session, or a component that an adapter has just
made, is as any other would be: then there is nothing to keep until it changes.
To find out, one more is made on nobody's behalf, once a class; what comes out
different, such as a token, is kept at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from txsessions.core.codec import encodeValue
from txsessions.errors import SessionError
from txsessions.live.classes import noteInterface
from txsessions.live.gathering import gather, reducerFor

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

NOBODY = b"0" * 64
"""The uid of sessions that are nobody's: no cookie is read that holds it."""

_NOTHING: Mapping[bytes, bytes] = {}

_Made = tuple[dict[bytes, bytes], list[tuple[str, type]]]

_sessions: dict[type, _Made | None] = {}
_components: dict[type, bytes | None] = {}


def isAsMade(session: Session) -> bool:
    """
    Tell whether a session is as its class makes each.
    """
    cls, table = session.__class__, session._table()
    if table is None:
        return False
    if cls not in _sessions:
        try:
            _sessions[cls] = _lookAt(_nobodys(table, cls))
        except Exception:
            _sessions[cls] = None
    made = _sessions[cls]
    try:
        return made is not None and _lookAt(session) == made
    except SessionError:
        return False


def _lookAt(session: Session) -> _Made:
    """
    What there is in a session, and what cannot be looked into.
    """
    gathered = gather(session, _NOTHING)
    return gathered.parts, gathered.staying()


def _nobodys(table: LiveTable, cls: type) -> Any:
    """
    Another session of a class, that is nobody's.

    @raise LookupError: Sessions of this class are not made any more.
    """
    made = table.makeObject(NOBODY)
    if type(made) is not cls:
        raise LookupError("the site makes sessions of another class")
    return made


def noteFresh(session: Session, interface: Any, component: object) -> None:
    """
    A component was just made by its adapter: remember how it came out, if each
    comes out so.
    """
    table = session._table()
    if table is None:
        return
    name = noteInterface(interface)
    cls = type(component)
    try:
        encoded = _encode(session, name, component)
        if cls not in _components:
            # Known first, lest making one asks for another without end.
            _components[cls] = None
            _components[cls] = _another(table, session.__class__, interface)
    except Exception:
        # Whatever is wrong with it is said when it is to be kept.
        return
    if _components[cls] == encoded:
        if session._baseline is None:
            session._baseline = {}
        session._baseline[name] = encoded


def _another(table: LiveTable, cls: type, interface: Any) -> bytes:
    """
    See how another instance comes out.
    """
    scratch = _nobodys(table, cls)
    adapter = scratch.locateAdapterClass(cls, interface, None)
    return _encode(scratch, noteInterface(interface), adapter(scratch))


def _encode(session: Session, name: str, component: object) -> bytes:
    """
    Encode a component.

    @raise CannotBeKept: It cannot be.
    """
    return encodeValue(component, "", reducerFor(session, name, component))


__all__ = ["NOBODY", "isAsMade", "noteFresh"]
