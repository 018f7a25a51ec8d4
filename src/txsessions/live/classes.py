"""
Which classes may be kept, and what of their instances is.

Owns the classes that the program named: those found through its adapter
registry, and those declared with L{keep}.  Only these are ever made again;
nothing is imported by a name that a record holds.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from types import FunctionType
from typing import TYPE_CHECKING, Any, TypeVar, overload

import attrs
import msgspec
from twisted.python import reflect

from txsessions.core.codec import BACK_REFERENCE
from txsessions.errors import CannotBeKept, ConfigurationError

if TYPE_CHECKING:
    from txsessions.live.session import Session

_Kept = TypeVar("_Kept")

keptByName: dict[str, type] = {}
"""The declared classes by their qualified names."""

_keptFor: dict[str, type] = {}
_interfaces: dict[str, Any] = {}


_GENERATED = frozenset({"attr._make", "dataclasses"})
"""Where attrs and dataclasses define the C{__getstate__} that a slotted class
gets from them: its fields say the same, by name."""


_MORE = (
    *(dict, list, set, frozenset, tuple, str, bytes, bytearray, int, float, complex),
    *(BaseException, enum.Enum),
)
"""Classes whose instances are more than their attributes."""


class Unkeepable(CannotBeKept):
    """
    A value is of a class that cannot be kept, so that it stays in this process.

    @ivar found: The class.
    @ivar part: What stays here because of it: a key of the namespaces, an attribute, a
        component.
    """

    part = ""

    def __init__(self, found: type, reason: str) -> None:
        self.found = found
        super().__init__("", f"{reflect.qual(found)} {reason}")


class NotHere(LookupError):
    """
    Something was kept by a program that knows more classes than this one, or a
    newer version of one.
    """


@overload
def keep(interfaceOrClass: type[_Kept]) -> type[_Kept]: ...


@overload
def keep(interfaceOrClass: Any, componentClass: type[_Kept]) -> type[_Kept]: ...


def keep(interfaceOrClass: Any, componentClass: type | None = None) -> Any:
    """
    Declare a class whose instances are to be kept with sessions.  With a class alone
    it is also a decorator.

    @param interfaceOrClass: The interface under which C{session.setComponent}
        puts instances of C{componentClass}; or, given alone, a class whose
        instances are attributes of sessions or lie in their namespaces.
    @param componentClass: The class for that interface.
    @return: The class.
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
    return kept


def noteInterface(interface: Any) -> str:
    """
    Remember an interface that the program uses.

    @return: Its name, which is what the adapter cache knows it by.
    """
    name = reflect.qual(interface)
    _interfaces[name] = interface
    return name


def isInterface(name: str) -> bool:
    """
    Whether the program uses an interface of that name.
    """
    return name in _interfaces


def interfaceNamed(name: str) -> Any:
    """
    The interface of that name, which the program has used.
    """
    interface = _interfaces.get(name)
    # Else the program put it into the adapter cache by name.
    return reflect.namedObject(name) if interface is None else interface


def _hook(cls: type, name: str) -> Any:
    """
    A method about keeping that somebody wrote for a class.
    """
    found = getattr(cls, name, None)
    if found is getattr(object, name, None):
        return None
    return None if getattr(found, "__module__", "") in _GENERATED else found


def _slotsOf(cls: type) -> list[str]:
    """
    What the instances of a class have besides a C{__dict__}.
    """
    names: list[str] = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            private = slot.startswith("__") and not slot.endswith("__")
            names.append(f"_{base.__name__.lstrip('_')}{slot}" if private else slot)
    return [name for name in names if name not in {"__dict__", "__weakref__"}]


def _demandWhole(value: Any) -> None:
    """
    Demand that an instance is no more than its attributes, as it would be if it
    derived from dict, or were made by an extension module.

    @raise Unkeepable: It is more.
    """
    cls: Any = type(value)
    whole = not isinstance(value, _MORE)
    if whole and cls.__reduce__ is object.__reduce__:
        try:
            # Python knows the size that its attributes account for.
            object.__reduce_ex__(value, 2)
        except TypeError:
            whole = False
    elif whole:
        whole = isinstance(cls.__reduce__, FunctionType)
    if not whole:
        raise Unkeepable(
            cls, "is more than its attributes: give it __getstate__ and __setstate__"
        )


def stateOf(value: Any) -> Any:
    """
    The plain data of an instance: what its C{__getstate__} gives, else its
    fields, else its C{__dict__} and what it has in slots.

    @raise Unkeepable: That is not all there is of it.
    """
    cls = type(value)
    if _hook(cls, "__getstate__") is not None:
        return value.__getstate__()
    if attrs.has(cls):
        names = [attribute.name for attribute in attrs.fields(cls)]
    elif dataclasses.is_dataclass(cls):
        names = [field.name for field in dataclasses.fields(cls)]
    elif isinstance(value, msgspec.Struct):
        names = list(cls.__struct_fields__)
    else:
        _demandWhole(value)
        names = [*getattr(value, "__dict__", ()), *_slotsOf(cls)]
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def fillIn(value: Any, state: Any) -> None:
    """
    The way back from L{stateOf}, into an instance that may be in use.
    """
    cls = type(value)
    if _hook(cls, "__setstate__") is not None:
        value.__setstate__(state)
        return
    if type(state) is not dict:
        raise TypeError(f"the kept state of {reflect.qual(cls)} is not a dict")
    put: Any = object.__setattr__
    remove = object.__delattr__
    if isinstance(value, msgspec.Struct):
        put = msgspec.structs.force_setattr
    for name in [*getattr(value, "__dict__", ()), *_slotsOf(cls)]:
        if name not in state and hasattr(value, name):
            remove(value, name)
    for name, item in state.items():
        put(value, name, item)


def _make(cls: Any, state: Any) -> Any:
    """
    Make an instance without running its C{__init__}.
    """
    if issubclass(cls, msgspec.Struct):
        # It has no other way; what the state lacks has its default.
        fields = cls.__struct_fields__
        return cls(**{name: state[name] for name in fields if name in state})
    made = cls.__new__(cls)
    fillIn(made, state)
    return made


def remake(cls: type, version: int, state: Any) -> Any:
    """
    Make an instance from its kept state, brought up to date by its
    C{upgradeToVersionN} methods where it is older than its class.

    @raise NotHere: It is newer than its class.
    """
    current = getattr(cls, "persistenceVersion", 0)
    if version > current:
        raise NotHere(
            f"{reflect.qual(cls)} is of version {current} here, and {version} was kept"
        )
    made = _make(cls, state)
    for step in range(version + 1, current + 1):
        upgrade = getattr(made, f"upgradeToVersion{step}", None)
        if upgrade is not None:
            upgrade()
    return made


class Reducer:
    """
    Takes objects apart for the codec.

    @ivar stuck: Why the last one that could not be taken apart stays in this
        process.
    """

    __slots__ = ("_allowed", "_session", "stuck")

    def __init__(self, session: Session, allowed: type | None = None) -> None:
        """
        @param allowed: A class that may stand here though it was not declared.
        """
        self._session = session
        self._allowed = allowed
        self.stuck: Unkeepable | None = None

    def __call__(self, value: object) -> Any:
        """
        What the codec asks about a value that is not plain.
        """
        if value is self._session:
            return BACK_REFERENCE
        cls = type(value)
        name = reflect.qual(cls)
        try:
            if cls is not self._allowed and keptByName.get(name) is not cls:
                raise Unkeepable(
                    cls,
                    "is neither plain data nor a class that was declared with "
                    "txsessions.keep()",
                )
            state = stateOf(value)
        except Unkeepable as error:
            self.stuck = error
            return None
        except Exception as error:
            said = f"does not give its state: {reflect.qual(type(error))}"
            self.stuck = Unkeepable(cls, said)
            return None
        return name, getattr(cls, "persistenceVersion", 0), state


def restoreWith(
    known: Mapping[str, type], name: str, version: int, state: object
) -> object:
    """
    What the codec asks for an object.

    @raise NotHere: The program did not name that class, or knows an older
        version of it.
    """
    cls = known.get(name)
    if cls is None:
        raise NotHere(f"{name} is no class that this program named")
    return remake(cls, version, state)


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
    "NotHere",
    "Reducer",
    "Unkeepable",
    "classFor",
    "fillIn",
    "interfaceNamed",
    "isInterface",
    "keep",
    "keptByName",
    "noteInterface",
    "restoreWith",
    "stateOf",
]
