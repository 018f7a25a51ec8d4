"""
Which classes may be kept, and what of their instances is.

Owns the classes that the program named: those found through its adapter
registry, and those declared with L{keep}.  Only these are ever made again;
nothing is imported by a name that a record holds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import attrs
import msgspec
from twisted.python import reflect

from txsessions.core.codec import BACK_REFERENCE
from txsessions.errors import CannotBeKept, ConfigurationError

if TYPE_CHECKING:
    from txsessions.live.session import Session

keptByName: dict[str, type] = {}
"""The declared classes by their qualified names."""

_keptFor: dict[str, type] = {}
_interfaces: dict[str, Any] = {}


class UnknownClass(CannotBeKept):
    """
    A value's class was not named by the program.

    @ivar found: The class.
    """

    def __init__(self, where: str, found: type) -> None:
        self.found = found
        super().__init__(
            where,
            f"{reflect.qual(found)} is neither plain data nor a class that was "
            "declared with txsessions.keep()",
        )


def keep(interfaceOrClass: Any, componentClass: type | None = None) -> None:
    """
    Declare a class whose instances are to be kept with sessions.

    @param interfaceOrClass: The interface under which C{session.setComponent}
        puts instances of C{componentClass}; or, given alone, a class whose
        instances are attributes of sessions or lie in their namespaces.
    @param componentClass: The class for that interface.
    @raise ConfigurationError: What is to be kept is not a class.
    """
    kept = interfaceOrClass if componentClass is None else componentClass
    if not isinstance(kept, type):
        raise ConfigurationError(
            f"txsessions.keep() takes a class, or an interface and a class, not {kept!r}"
        )
    keptByName[reflect.qual(kept)] = kept
    if componentClass is not None:
        noteInterface(interfaceOrClass)
        _keptFor[reflect.qual(interfaceOrClass)] = componentClass


def noteInterface(interface: Any) -> str:
    """
    Remember an interface that the program uses.

    @return: Its name, which is what the adapter cache knows it by.
    """
    name = reflect.qual(interface)
    _interfaces[name] = interface
    return name


def stateOf(value: Any) -> Any:
    """
    The plain data of an instance: what its C{__getstate__} gives, else its
    fields, else its C{__dict__}.
    """
    cls = type(value)
    getstate = getattr(cls, "__getstate__", None)
    if getstate is not None and getstate is not getattr(object, "__getstate__", None):
        return value.__getstate__()
    if attrs.has(cls):
        return {a.name: getattr(value, a.name) for a in attrs.fields(cls)}
    if dataclasses.is_dataclass(cls):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(cls)}
    if isinstance(value, msgspec.Struct):
        return {name: getattr(value, name) for name in cls.__struct_fields__}
    return dict(vars(value))


def fillIn(value: Any, state: Any) -> None:
    """
    The way back from L{stateOf}, into an instance that may be in use.
    """
    cls = type(value)
    if hasattr(cls, "__setstate__") and not isinstance(value, msgspec.Struct):
        value.__setstate__(state)
        return
    if not isinstance(state, dict):
        raise TypeError(f"the kept state of {reflect.qual(cls)} is not a dict")
    fields = getattr(value, "__dict__", None)
    if fields is not None:
        for name in [name for name in fields if name not in state]:
            del fields[name]
    for name, item in state.items():
        object.__setattr__(value, name, item)


def remake(cls: type, version: int, state: Any) -> Any:
    """
    Make an instance from its kept state, brought up to date by its
    C{upgradeToVersionN} methods where it is older than its class.

    @raise ValueError: It is newer than its class.
    """
    current = getattr(cls, "persistenceVersion", 0)
    if version > current:
        raise ValueError(
            f"kept by version {version} of {reflect.qual(cls)}, this is {current}"
        )
    made: Any = cast("Any", cls).__new__(cls)
    fillIn(made, state)
    for step in range(version + 1, current + 1):
        upgrade = getattr(made, f"upgradeToVersion{step}", None)
        if upgrade is not None:
            upgrade()
    return made


def reduceFor(session: Session, allowed: type | None, value: object) -> Any:
    """
    What the codec asks about a value that is not plain.

    @param allowed: A class that may stand here though it was not declared.
    """
    if value is session:
        return BACK_REFERENCE
    cls = type(value)
    name = reflect.qual(cls)
    if cls is not allowed and keptByName.get(name) is not cls:
        raise UnknownClass("", cls)
    return name, getattr(cls, "persistenceVersion", 0), stateOf(value)


def restoreWith(
    known: Mapping[str, type], name: str, version: int, state: object
) -> object:
    """
    What the codec asks for an object.

    @raise LookupError: The program did not name that class.
    """
    return remake(known[name], version, state)


def classFor(session: Session, name: str) -> type | None:
    """
    The class that the program named for an interface: by L{keep}, or by
    registering an adapter.
    """
    declared = _keptFor.get(name)
    if declared is not None:
        return declared
    interface = _interfaces.get(name)
    if interface is None:
        return None
    found = session.locateAdapterClass(session.__class__, interface, None)
    return found if isinstance(found, type) else None


__all__ = [
    "UnknownClass",
    "classFor",
    "fillIn",
    "keep",
    "keptByName",
    "noteInterface",
    "reduceFor",
    "restoreWith",
    "stateOf",
]
