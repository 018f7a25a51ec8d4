"""
What of a session is kept, as parts.

Owns the way from a live session to the encoded values that are sealed and
stored: attributes, C{sessionNamespaces} and components.  Knows neither the store
nor what becomes of the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import is_
from typing import TYPE_CHECKING

from twisted.logger import Logger
from twisted.python.reflect import qual

from txsessions.core.codec import encodePlain, encodeScalar, encodeValue
from txsessions.core.plain import SCALARS
from txsessions.core.state import ATTRIBUTE, COMPONENT, NAMESPACE, partName
from txsessions.errors import CannotBeKept, SessionError
from txsessions.live.classes import Reducer, Unkeepable, classFor
from txsessions.live.timing import NAMES

if TYPE_CHECKING:
    from txsessions.live.session import Session

_log = Logger(namespace="txsessions")

ALIAS = "="
"""In place of a class name: the component is the one of another interface."""

_NAMES_KEPT = 4096

_SHOWN = 40
"""How much of a key an error shows, in characters."""

_partNames: dict[str, bytes] = {}
_partNamed = _partNames.__getitem__
_areText = frozenset({str}).issuperset
_areScalars = SCALARS.issuperset
_reported: set[type] = set()
_usual: type | None = None


def knowUsual(cls: type) -> None:
    """
    Know the class whose sessions have C{sessionNamespaces} in a slot, which a class
    derived from it may not.  To ask a property takes as long as all else of a glance.
    """
    global _usual  # noqa: PLW0603
    _usual = cls


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


def componentPart(name: str) -> bytes:
    """
    The name of the part that holds the component for an interface.
    """
    return partName(COMPONENT, name.encode("utf-8"))


def aliasTo(name: str) -> bytes:
    """
    What is kept for an interface whose component is that of another one.
    """
    return encodeValue(_ALIASED, "", lambda _: (ALIAS, 0, name))


_ALIASED = object()

_THEN = bytes(bytearray(b"then"))
"""Between the keys and the attributes of a session: an object that is in none."""

_END = bytes(bytearray(b"end"))
"""After all that a session is made of: another one."""


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
        self.unkeepable: list[tuple[str, Unkeepable]] = []

    def staying(self) -> list[tuple[str, type]]:
        """
        What stays in this process, by the ways to it and the classes.
        """
        return [(where, error.found) for where, error in self.unkeepable]


def gather(session: Session, acknowledged: Mapping[bytes, bytes]) -> Gathered:
    """
    Encode what there is to keep of a session.

    @param acknowledged: The parts that the store has.  A component that is as
        its adapter makes it, and that the store does not have, is no part.
    @raise CannotBeKept: Something is beyond the limits of the codec, or raised
        while it was taken apart.
    @raise SessionTooLarge: There is more than could be kept.
    """
    gathered = Gathered()
    parts = gathered.parts
    try:
        for key, value in list(session.sessionNamespaces.items()):
            # By far most keys are text that was seen before, and most values
            # plain.
            part = _partNames.get(key) if type(key) is str else None
            encoded = encodePlain(value)
            if part is None or encoded is None:
                _gatherNamespace(session, key, value, gathered)
            else:
                parts[part] = encoded
        attributes = session.__dict__
        if attributes:
            _gatherAttributes(session, attributes, gathered)
        if session._components:
            _gatherComponents(session, acknowledged, gathered)
    except SessionError:
        raise
    except BaseException as error:
        _log.failure("the state of session {tag} cannot be taken", tag=session._tag())
        raise CannotBeKept(
            "the session", f"taking its state raised {qual(type(error))}"
        ) from error
    dormant = session._dormant
    if dormant:
        for part, encoded in dormant.items():
            parts.setdefault(part, encoded)
    return gathered


def plainParts(session: Session) -> dict[bytes, bytes] | None:
    """
    Do what L{gather} does for the usual session, which has scalars under keys of text
    that were seen before: without a step of Python's for each.

    @return: Its parts, or L{None} if that takes more.
    """
    names = session._sessionNamespaces if type(session) is _usual else None
    if names is None:
        names = session.sessionNamespaces
    if (
        type(names) is dict
        and not session.__dict__
        and not session._components
        and not session._dormant
        and _areText(map(type, names))
        and _areScalars(map(type, names.values()))
    ):
        encoded = map(encodeScalar, names.values())
        try:
            return dict(zip(map(_partNamed, names), encoded))  # noqa: B905 - it is slow
        except (KeyError, OverflowError, UnicodeEncodeError):
            # A key that is new, a number too big, or text that is none.
            pass
    return None


def fixedObjects(session: Session, parts: Mapping[bytes, bytes]) -> list[object]:
    """
    List the objects that a session is made of, if none of them can change: while it is
    made of the same, it has the same parts, and need not be encoded.

    @param parts: Its parts, as they were gathered.
    @return: Nothing if something in it can change and be the same object.
    """
    objects = _objects(session, parts)
    return objects if _areScalars(map(type, objects[1:])) else []


def areSame(
    session: Session, parts: Mapping[bytes, bytes], objects: list[object]
) -> bool:
    """
    Whether a session is still made of what L{fixedObjects} has listed for these parts.
    Equal objects are not the same: True equals 1.

    @param objects: Something.
    """
    names = session._sessionNamespaces if type(session) is _usual else None
    if names is None:
        names = session.sessionNamespaces
    if (
        session.__dict__
        or session._components
        or session._dormant
        or type(names) is not dict
    ):
        # What is at the end of the shorter one is nowhere in the other.
        return all(map(is_, _objects(session, parts) or [_END], objects))
    # As by far most are; L{_objects} would say the same.
    return all(map(is_, [parts, *names, *names.values(), _END], objects))


def _objects(session: Session, parts: Mapping[bytes, bytes]) -> list[object]:
    """
    List some parts and what they are made of, if that can be seen at a glance.
    """
    names, attributes = session.sessionNamespaces, session.__dict__
    if session._components or session._dormant or type(names) is not dict:
        return []
    more = [_THEN, *attributes, *attributes.values()] if attributes else []
    return [parts, *names, *names.values(), *more, _END]


def _gatherNamespace(
    session: Session, key: object, value: object, gathered: Gathered
) -> None:
    """
    Encode one key of C{sessionNamespaces}.
    """
    reduce = Reducer(session)
    try:
        gathered.parts[namespacePart(key)] = encodeValue(value, "", reduce)
    except CannotBeKept as error:
        where = f"sessionNamespaces[{repr(key)[:_SHOWN]}]"
        _notKept(gathered, where, error, reduce)


def _gatherAttributes(
    session: Session, attributes: Mapping[str, object], gathered: Gathered
) -> None:
    """
    Encode the attributes.
    """
    reduce = Reducer(session)
    for name, value in list(attributes.items()):
        if name in NAMES:
            continue
        try:
            part = partName(ATTRIBUTE, name.encode("utf-8"))
            gathered.parts[part] = encodeValue(value, "", reduce)
        except CannotBeKept as error:
            _notKept(gathered, f"session.{name}", error, reduce)


def _notKept(
    gathered: Gathered, where: str, error: CannotBeKept, reduce: Reducer
) -> None:
    """
    Note what stays here because of its class; raise for all else.
    """
    stuck, reduce.stuck = reduce.stuck, None
    if stuck is None:
        raise CannotBeKept(where + error.where, error.reason) from None
    stuck.part = where
    gathered.unkeepable.append((where + error.where, stuck))


def _gatherComponents(
    session: Session, acknowledged: Mapping[bytes, bytes], gathered: Gathered
) -> None:
    """
    Encode the components.
    """
    seen: dict[int, str] = {}
    dormant = session._dormant or ()
    baseline = session._baseline or {}
    for name, component in list(session._adapterCache.items()):
        part = componentPart(name)
        if part in dormant:
            # What is in use stands in for something that cannot be remade here,
            # and that is not given up for it.
            continue
        first = seen.setdefault(id(component), name)
        if first != name:
            if componentPart(first) in gathered.parts:
                gathered.parts[part] = aliasTo(first)
            continue
        reduce = reducerFor(session, name, component)
        try:
            encoded = encodeValue(component, "", reduce)
        except CannotBeKept as error:
            _notKept(gathered, f"the component for {name}", error, reduce)
            continue
        if part in acknowledged or baseline.get(name) != encoded:
            gathered.parts[part] = encoded


def reducerFor(session: Session, name: str, component: object) -> Reducer:
    """
    What takes a component apart.

    @param name: The name of its interface.
    """
    cls = type(component)
    return Reducer(session, cls if classFor(session, name) is cls else None)


def report(gathered: Gathered) -> None:
    """
    Say once a class what stays in this process because of it.
    """
    for where, error in gathered.unkeepable:
        if error.found not in _reported:
            _reported.add(error.found)
            part = error.part
            if where != part:
                part += f", all of it, because of {where.removeprefix(part)},"
            _log.warn(
                "{where} stays in this process and is lost with it: {reason}",
                where=part,
                reason=error.reason,
            )


__all__ = [
    "ALIAS",
    "Gathered",
    "aliasTo",
    "areSame",
    "componentPart",
    "fixedObjects",
    "gather",
    "knowUsual",
    "namespacePart",
    "plainParts",
    "reducerFor",
    "report",
]
