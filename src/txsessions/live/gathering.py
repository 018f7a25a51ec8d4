"""
What of a session is kept, as parts.

Owns the way from a live session to the encoded values that are sealed and
stored: attributes, C{sessionNamespaces} and components.  What comes out of its
adapter the same each time is not worth keeping until it changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from twisted.logger import Logger

from txsessions.core.codec import encodeValue
from txsessions.core.state import partName
from txsessions.errors import CannotBeKept
from txsessions.live.classes import UnknownClass, classFor, reduceFor

if TYPE_CHECKING:
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")

NAMESPACE, ATTRIBUTE, COMPONENT = b"n", b"a", b"c"

LIMITS = frozenset({"sessionTimeout", "sessionLifetime"})
"""Attributes that are kept as what they are, and not among the parts."""

ALIAS = "="
"""In place of a class name: the component is the one of another interface."""

_NAMES_KEPT = 4096

_partNames: dict[str, bytes] = {}
_reported: set[type] = set()
_fresh: dict[type, bytes | None] = {}


def namespacePart(key: object) -> bytes:
    """
    The name of the part that holds one key of C{sessionNamespaces}.
    """
    if type(key) is not str:
        return partName(NAMESPACE, encodeValue(key))
    name = _partNames.get(key)
    if name is None:
        name = partName(NAMESPACE, encodeValue(key))
        if len(_partNames) < _NAMES_KEPT:
            _partNames[key] = name
    return name


class Gathered:
    """
    The parts of a session as it is now.

    @ivar parts: The encoded parts by name.
    @ivar unkeepable: What cannot be kept and so stays in this process: pairs of
        the way to it and the error.
    """

    __slots__ = ("parts", "unkeepable")

    def __init__(self) -> None:
        self.parts: dict[bytes, bytes] = {}
        self.unkeepable: list[tuple[str, UnknownClass]] = []


def gather(session: Session, acknowledged: Mapping[bytes, bytes]) -> Gathered:
    """
    Encode what there is to keep of a session.

    @param acknowledged: The parts that the store has.  A component that is as
        its adapter makes it, and that the store does not have, is no part.
    @raise CannotBeKept: Something is beyond the limits of the codec.
    """
    gathered = Gathered()
    parts = gathered.parts
    reduce = partial(reduceFor, session, None)
    for key, value in session.sessionNamespaces.items():
        try:
            parts[namespacePart(key)] = encodeValue(value, "", reduce)
        except CannotBeKept as error:
            _notKept(gathered, f"sessionNamespaces[{key!r}]", error)
    attributes = session.__dict__
    if attributes:
        for name, value in attributes.items():
            if name in LIMITS:
                continue
            try:
                part = partName(ATTRIBUTE, name.encode("utf-8"))
                parts[part] = encodeValue(value, "", reduce)
            except CannotBeKept as error:
                _notKept(gathered, f"session.{name}", error)
    if session._hasComponents():
        _gatherComponents(session, acknowledged, gathered)
    dormant = session._dormant
    if dormant:
        for part, encoded in dormant.items():
            parts.setdefault(part, encoded)
    return gathered


def _notKept(gathered: Gathered, where: str, error: CannotBeKept) -> None:
    """
    Note what stays here because of its class; raise for all else.
    """
    if isinstance(error, UnknownClass):
        gathered.unkeepable.append((where + error.where, error))
        return
    raise CannotBeKept(where + error.where, error.reason) from None


def _gatherComponents(
    session: Session, acknowledged: Mapping[bytes, bytes], gathered: Gathered
) -> None:
    """
    Encode the components.
    """
    seen: dict[int, str] = {}
    for name, component in session._adapterCache.items():
        part = partName(COMPONENT, name.encode("utf-8"))
        first = seen.setdefault(id(component), name)
        if first != name:
            gathered.parts[part] = encodeValue(component, "", partial(_alias, first))
            continue
        try:
            encoded = encodeComponent(session, name, component)
        except CannotBeKept as error:
            _notKept(gathered, f"the component for {name}", error)
            continue
        baseline = session._baseline
        if (
            part not in acknowledged
            and baseline
            and baseline.get(name) == encoded
            and _fresh.get(type(component)) == encoded
        ):
            continue
        gathered.parts[part] = encoded


def _alias(first: str, _: object) -> tuple[str, int, object]:
    """
    What the codec is told of a component that stands under C{first} already.
    """
    return ALIAS, 0, first


def encodeComponent(session: Session, name: str, component: object) -> bytes:
    """
    Encode one component.

    @param name: The name of its interface.
    @raise CannotBeKept: Its class is none that the program named for it, or
        what it holds is no plain data.
    """
    cls = type(component)
    allowed = cls if classFor(session, name) is cls else None
    if cls.__module__ == "builtins":
        return encodeValue(component, "", partial(reduceFor, session, None))
    return encodeValue(component, "", partial(reduceFor, session, allowed))


def report(gathered: Gathered) -> None:
    """
    Say once a class what stays in this process because of it.
    """
    for where, error in gathered.unkeepable:
        if error.found not in _reported:
            _reported.add(error.found)
            _log.warn(
                "{where} stays in this process and is lost with it: {reason}",
                where=where,
                reason=error.reason,
            )


def noteFresh(session: Session, name: str, component: object) -> None:
    """
    A component was just made by its adapter: remember how it came out.  If all
    of its class come out alike, there is nothing to keep until it changes; one
    that comes out different each time, such as a token, is kept at once.
    """
    cls = type(component)
    try:
        encoded = encodeComponent(session, name, component)
        if cls not in _fresh:
            _fresh[cls] = _probe(session, name, cls)
    except Exception:
        # Whatever is wrong with it is said when it is to be kept.
        return
    if _fresh[cls] != encoded:
        _fresh[cls] = None
    if session._baseline is None:
        session._baseline = {}
    session._baseline[name] = encoded


def _probe(session: Session, name: str, cls: type) -> bytes | None:
    """
    See how another instance comes out, on a session that is nobody's.
    """
    scratch = session.__class__.__new__(session.__class__)
    scratch.site, scratch._reactor = session.site, session._reactor
    scratch._uid, scratch.lastModified = b"0" * 64, session.lastModified
    try:
        return encodeComponent(scratch, name, cls(scratch))
    except Exception:
        return None


__all__ = [
    "ALIAS",
    "ATTRIBUTE",
    "COMPONENT",
    "NAMESPACE",
    "Gathered",
    "encodeComponent",
    "gather",
    "noteFresh",
    "report",
]
