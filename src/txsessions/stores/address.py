"""
Store addresses: C{"memory:"} and C{"sqlite:PATH"}.

Owns the reading of an address, and what is said of one that cannot be read.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
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
    """
    if not isinstance(address, str):
        raise _bad(f"a store address is text, not {type(address).__name__}")
    scheme, colon, rest = address.partition(":")
    place, _, query = rest.partition("?")
    if not colon:
        raise _bad(f"{address!r} is not a store address: it has no colon")
    if scheme == "memory":
        if rest or options:
            raise _bad("memory: takes no path and no options")
        return MemoryStore(reactor=reactor)
    if scheme != "sqlite":
        raise _bad(f"there is no kind of store called {scheme!r}")
    given = {**_read(query, "?" in rest), **options}
    for name in given:
        if name not in _KNOWN:
            raise _bad(f"sqlite: has no option {name!r}")
    try:
        return SQLiteStore(
            _path(place),
            reactor=reactor,
            durability=str(given.get("durability", "full")),
            deadline=_seconds(given.get("deadline", 2.0)),
        )
    except AddressError:
        raise
    except ConfigurationError as error:
        raise _bad(str(error)) from None


def _path(place: str) -> str:
    """
    Read the path of a database.
    """
    if not place:
        raise _bad("sqlite: must be followed by the path of a file")
    if place == ":memory:":
        raise _bad("SQLite's own :memory: is not shared by its connections")
    if place.startswith("//"):
        raise _bad(
            "a path does not begin with two slashes: write sqlite:/absolute/path or "
            "sqlite:relative/path"
        )
    if place.endswith("/") or os.path.isdir(place):
        raise _bad(f"{place!r} is a directory, not a file")
    return os.path.expanduser(place)


def _read(query: str, there: bool) -> dict[str, object]:
    """
    Read the options of an address.

    @param there: Whether there was a question mark.
    """
    if not there:
        return {}
    if not query:
        raise _bad("nothing follows the question mark, where options should be")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    except ValueError:
        raise _bad(f"{query!r} are no options: write name=value&name=value") from None
    if len(dict(pairs)) != len(pairs):
        raise _bad(f"an option is given twice in {query!r}")
    return dict(pairs)


def _seconds(value: object) -> float:
    """
    Read a number of seconds.
    """
    try:
        return float(str(value))
    except ValueError:
        raise _bad(f"deadline is a number of seconds, not {value!r}") from None


def _bad(fault: str) -> AddressError:
    """
    Make the error for a bad address, with all the good ones.
    """
    width = max(len(form) for form, _ in GOOD_ADDRESSES)
    lines = [f"  {form:<{width}}  {meaning}" for form, meaning in GOOD_ADDRESSES]
    return AddressError("\n".join([f"{fault}; good store addresses are", *lines]))


__all__ = ["GOOD_ADDRESSES", "openStore"]
