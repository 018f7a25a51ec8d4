"""
Store addresses, such as C{"memory:"}, C{"sqlite:PATH"} and C{"redis://HOST/0"}.

Owns the table of schemes, the reading of C{memory:} and C{sqlite:} addresses, and
what is said of one that cannot be read.  Engines that need more than the program has
loaded are loaded when their scheme is met.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from txsessions.errors import AddressError, ConfigurationError
from txsessions.stores.memory import MemoryStore
from txsessions.stores.sqlite import SQLiteStore

if TYPE_CHECKING:
    from txsessions.interfaces import ISessionStore
    from txsessions.stores._reactor import IStoreReactor

GOOD_ADDRESSES = (
    ("memory:", "in this process only, gone with it"),
    ("sqlite:PATH", "in a file on a local disk, such as sqlite:sessions.sqlite"),
    (
        "sqlite:PATH?durability=normal&deadline=2",
        "with options: durability full or normal, deadline in seconds",
    ),
    (
        "redis://[USER:PASSWORD@]HOST[:PORT]/[DB]",
        "in a Redis or Valkey server, shared by machines; also valkey://",
    ),
    (
        "rediss://HOST/[DB]?cafile=&certfile=&keyfile=",
        "the same over TLS, always verified; also valkeys://",
    ),
    ("redis+unix:///PATH?db=DB", "the same over a socket of this machine"),
    (
        "redis+sentinel://HOST[:PORT],HOST/SERVICE/[DB]?sentinelPassword=",
        "the primary that sentinels name; rediss+sentinel:// with TLS to all",
    ),
    (
        "redis://HOST/0?deadline=2&prefix=txsessions&wait=1&maxQueue=10000",
        "with options: wait is the number of replicas that must have a write",
    ),
    (
        "postgresql://[USER:PASSWORD@]HOST[:PORT]/DATABASE",
        "in a PostgreSQL database, shared by machines; also postgres://",
    ),
)
"""Every form of an address, with what it means."""

_KNOWN = ("durability", "deadline")


def openStore(
    address: str, *, reactor: IStoreReactor | None = None, **options: object
) -> ISessionStore:
    """
    Make the store that an address names.  It is not connected yet: call its
    C{open()}, or give it to a L{Site<txsessions.Site>}, which does.

    @param address: One of L{GOOD_ADDRESSES}.  A relative path is taken from the
        directory that is current now.
    @param reactor: By default the program's own.
    @param options: As in the address; these win.
    @raise AddressError: It cannot be read; the message lists the good forms.
    @raise ConfigurationError: What the engine needs is not installed.
    """
    if not isinstance(address, str):
        raise _bad(f"a store address is text, not {type(address).__name__}")
    scheme, colon, _ = address.partition(":")
    if not colon:
        raise _bad("that is not a store address: it has no colon")
    make = _SCHEMES.get(scheme)
    if make is None:
        raise _bad(f"there is no kind of store called {scheme!r}")
    try:
        return make(address, reactor, options)
    except AddressError as error:
        raise _bad(str(error)) from None


def _memory(address: str, reactor: Any, options: Mapping[str, object]) -> ISessionStore:
    """
    Read C{memory:}.
    """
    if address != "memory:" or options:
        raise AddressError("memory: takes no path and no options")
    return MemoryStore(reactor=reactor)


def _sqlite(address: str, reactor: Any, options: Mapping[str, object]) -> ISessionStore:
    """
    Read C{sqlite:PATH}.
    """
    place, mark, query = address.partition(":")[2].partition("?")
    given = {**_read(query, bool(mark)), **options}
    for name in given:
        if name not in _KNOWN:
            raise AddressError(f"sqlite: has no option {name!r}")
    path, deadline = _path(place), _seconds(given.get("deadline", 2.0))
    durability = str(given.get("durability", "full"))
    try:
        return SQLiteStore(
            path, reactor=reactor, durability=durability, deadline=deadline
        )
    except ConfigurationError as error:
        raise AddressError(str(error)) from None


def _redis(address: str, reactor: Any, options: Mapping[str, object]) -> ISessionStore:
    """
    Read the addresses of Redis.
    """
    return _engine("redis", address, reactor, options)


def _postgresql(
    address: str, reactor: Any, options: Mapping[str, object]
) -> ISessionStore:
    """
    Read the addresses of PostgreSQL.
    """
    try:
        return _engine("postgresql", address, reactor, options)
    except ImportError:
        raise ConfigurationError(
            "PostgreSQL needs psycopg: pip install 'txsessions[postgresql]'"
        ) from None


def _engine(
    name: str, address: str, reactor: Any, options: Mapping[str, object]
) -> ISessionStore:
    """
    Load an engine, and have it read the address.
    """
    module = importlib.import_module(f"txsessions.stores.{name}")
    store: ISessionStore = module.fromAddress(address, reactor, dict(options))
    return store


_Make = Callable[[str, Any, Mapping[str, object]], "ISessionStore"]

_SCHEMES: dict[str, _Make] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "redis": _redis,
    "rediss": _redis,
    "redis+unix": _redis,
    "redis+sentinel": _redis,
    "rediss+sentinel": _redis,
    "valkey": _redis,
    "valkeys": _redis,
    "valkey+unix": _redis,
    "valkey+sentinel": _redis,
    "valkeys+sentinel": _redis,
    "postgresql": _postgresql,
    "postgres": _postgresql,
}


def _path(place: str) -> str:
    """
    Read the path of a database.
    """
    if not place:
        raise AddressError("sqlite: must be followed by the path of a file")
    if place == ":memory:":
        raise AddressError("SQLite's own :memory: is not shared by its connections")
    if place.startswith("//"):
        raise AddressError(
            "a path does not begin with two slashes: write sqlite:/absolute/path or "
            "sqlite:relative/path"
        )
    if "\0" in place:
        raise AddressError("a path holds no NUL: name a file")
    path = os.path.expanduser(place)
    if path.endswith("/") or os.path.isdir(os.path.abspath(path)):
        raise AddressError(f"{place!r} is a directory, not a file")
    return path


def _read(query: str, there: bool) -> dict[str, object]:
    """
    Read the options of an address.

    @param there: Whether there was a question mark.
    """
    if not there:
        return {}
    if not query:
        raise AddressError("nothing follows the question mark, where options should be")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise AddressError(
            f"{query!r} are no options: write name=value&name=value"
        ) from None
    if len(dict(pairs)) != len(pairs):
        raise AddressError(f"an option is given twice in {query!r}")
    return dict(pairs)


def _seconds(value: object) -> float:
    """
    Read a number of seconds.
    """
    try:
        return float(str(value))
    except ValueError:
        raise AddressError(f"deadline is a number of seconds, not {value!r}") from None


def _bad(fault: str) -> AddressError:
    """
    Make the error for a bad address, with all the good ones.
    """
    width = max(len(form) for form, _ in GOOD_ADDRESSES)
    lines = [f"  {form:<{width}}  {meaning}" for form, meaning in GOOD_ADDRESSES]
    return AddressError("\n".join([f"{fault}; good store addresses are", *lines]))


__all__ = ["GOOD_ADDRESSES", "openStore"]
