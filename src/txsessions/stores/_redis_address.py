"""
Redis addresses, and what stands in them.

Owns the reading of C{redis://}, C{rediss://}, C{redis+unix://},
C{redis+sentinel://} and C{rediss+sentinel://}.  Nothing that it says of a bad address
repeats the address: it may hold a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from attrs import field, frozen

from txsessions.errors import AddressError

PORT, SENTINEL_PORT = 6379, 26379
"""Where Redis and its sentinels listen unless told otherwise."""

_TCP = frozenset({"redis", "valkey"})
_TLS = frozenset({"rediss", "valkeys", "rediss+sentinel", "valkeys+sentinel"})
_UNIX = frozenset({"redis+unix", "valkey+unix"})
_SENTINEL = frozenset(
    {"redis+sentinel", "valkey+sentinel", "rediss+sentinel", "valkeys+sentinel"}
)
SCHEMES = _TCP | _TLS | _UNIX | _SENTINEL
"""Every scheme that is read here."""

_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


@frozen(kw_only=True)
class Settings:
    """
    What an address says.

    @ivar hosts: Hosts and ports: of the server, or of the sentinels.
    @ivar path: The socket's file, instead.
    @ivar service: What the sentinels call the primary, or the empty string.
    @ivar user: Who signs in at the server.
    @ivar sentinelUser: Who signs in at the sentinels.
    @ivar tls: Whether all of them are spoken to over TLS.
    @ivar deadline: After how many seconds a call fails.
    @ivar prefix: What all keys begin with.
    @ivar wait: How many replicas must have a write before it is acknowledged.
    @ivar maxQueue: How many calls may be under way.
    """

    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    service: str = ""
    database: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    sentinelUser: str = ""
    sentinelPassword: str = field(default="", repr=False)
    tls: bool = False
    cafile: str = ""
    certfile: str = ""
    keyfile: str = ""
    deadline: float = 2.0
    prefix: str = "txsessions"
    wait: int = 0
    maxQueue: int = 10_000

    @property
    def where(self) -> str:
        """
        The address for people, without user and password.
        """
        hosts = ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            for host, port in self.hosts
        )
        if self.path:
            return f"redis+unix://{self.path}?db={self.database}"
        scheme = "rediss" if self.tls else "redis"
        if self.service:
            return f"{scheme}+sentinel://{hosts}/{self.service}/{self.database}"
        return f"{scheme}://{hosts}/{self.database}"


def readAddress(address: str, options: Mapping[str, object]) -> Settings:
    """
    Read an address.

    @param options: Given beside the address; these win.
    @raise AddressError: It cannot be read.
    """
    try:
        parts = urlsplit(address)
    except ValueError:
        raise AddressError(
            "the address of the Redis server cannot be read: write "
            "redis://host:port/database, with an IPv6 address in brackets and every "
            "special character of a password as %XX"
        ) from None
    scheme = parts.scheme
    rest = parts.query if scheme in _UNIX else parts.path + parts.query
    if parts.fragment or "@" in rest:
        # What looks like the rest may be the end of a password.
        raise AddressError(
            "special characters in a password are written %XX: '#' is %23, '/' is "
            "%2F, '?' is %3F, and so is an '@' behind the host, %40"
        )
    if not address.startswith(f"{scheme}://"):
        raise AddressError(f"{scheme}: is followed by two slashes, as in {scheme}://")
    given: dict[str, object] = {**_options(parts.query), **options}
    found = _place(scheme, parts, given)
    user, colon, password = parts.netloc.rpartition("@")[0].partition(":")
    if user and not colon:
        raise AddressError(
            "a user is given without a password: write user:password@host, or "
            ":password@host for the default user"
        )
    found["user"], found["password"] = unquote(user), unquote(password)
    for name, value in given.items():
        read = _READ.get(name)
        if read is None:
            raise AddressError(f"{scheme}: has no option {name!r}")
        found[name] = read(name, value)
    return _checked(Settings(**found))


def _place(scheme: str, parts: SplitResult, given: dict[str, object]) -> dict[str, Any]:
    """
    Read where the server is.
    """
    hosts = parts.netloc.rpartition("@")[2]
    if scheme in _UNIX:
        if hosts or parts.path in {"", "/"}:
            raise AddressError(
                f"{scheme}: names a socket by its absolute path, as in "
                f"{scheme}:///run/redis/redis.sock?db=0"
            )
        database = _natural("db", given.pop("db", 0))
        return {"path": unquote(parts.path), "database": database}
    if scheme in _SENTINEL:
        service, _, name = parts.path.lstrip("/").partition("/")
        if not service or not hosts:
            raise AddressError(
                f"{scheme}: names the sentinels and what they call the primary, as "
                f"in {scheme}://host1:26379,host2:26379/mymaster/0"
            )
        return {
            "hosts": tuple(_host(h, SENTINEL_PORT) for h in hosts.split(",")),
            "service": unquote(service),
            "database": _database(name),
            "tls": scheme in _TLS,
        }
    if "," in hosts:
        raise AddressError(f"{scheme}: takes one host; several are sentinels")
    return {
        "hosts": (_host(hosts or "localhost", PORT),),
        "database": _database(parts.path.lstrip("/")),
        "tls": scheme in _TLS,
    }


def _host(text: str, usual: int) -> tuple[str, int]:
    """
    Read a host and port.
    """
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^:\[\]\s]+))(?::([0-9]+))?", text)
    port = int(found[3] or usual) if found else 0
    if not found or not 0 < port < 1 << 16:
        raise AddressError(
            "a host is written name:port or [IPv6 address]:port, with a port of "
            "1 to 65535"
        )
    return unquote(found[1] or found[2]), port


def _database(text: str) -> int:
    """
    Read the number of the database that ends a path.
    """
    return _natural("the path, a database,", text or 0)


def _options(query: str) -> dict[str, object]:
    """
    Read the options that stand in an address.
    """
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise AddressError(
            "options are written ?name=value&name=value; a '?' in a password is "
            "written %3F"
        ) from None
    if len(dict(pairs)) != len(pairs):
        raise AddressError("an option is given twice")
    return dict(pairs)


def _natural(name: str, value: object) -> int:
    """
    Read a number of things.
    """
    text = str(value)
    if not re.fullmatch("[0-9]{1,9}", text):
        raise AddressError(f"{name} is a number, 0 or more, not {text!r}")
    return int(text)


def _seconds(name: str, value: object) -> float:
    """
    Read a number of seconds.
    """
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise AddressError(f"{name} is a positive number of seconds, not {value!r}")
    return seconds


def _text(name: str, value: object) -> str:
    """
    Read a path, or another text.
    """
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise AddressError(f"{name} cannot be {value!r}")
    return os.fspath(value)


def _secret(name: str, value: object) -> str:
    """
    Read a password: what is wrong with it is told without it.
    """
    if not isinstance(value, str) or not value:
        raise AddressError(f"{name} is a text, and not empty")
    return value


_READ = {
    "deadline": _seconds,
    "prefix": _text,
    "wait": _natural,
    "maxQueue": _natural,
    "cafile": _text,
    "certfile": _text,
    "keyfile": _text,
    "sentinelUser": _text,
    "sentinelPassword": _secret,
}


def _checked(settings: Settings) -> Settings:
    """
    Look whether it all goes together.

    @raise AddressError: It does not.
    """
    if not _PREFIX.fullmatch(settings.prefix):
        raise AddressError(
            "prefix is 1 to 64 letters, digits or any of '_.:-', not "
            f"{settings.prefix!r}"
        )
    if settings.maxQueue < 1:
        raise AddressError("maxQueue is at least 1")
    if settings.keyfile and not settings.certfile:
        raise AddressError("keyfile needs the certificate as well: give certfile")
    for name in ("cafile", "certfile", "keyfile"):
        if getattr(settings, name) and not settings.tls:
            raise AddressError(
                f"{name} is for TLS: write rediss:// or rediss+sentinel:// for it"
            )
    if settings.sentinelPassword and not settings.service:
        raise AddressError("sentinelPassword is for redis+sentinel://")
    if settings.sentinelUser and not settings.sentinelPassword:
        raise AddressError("sentinelUser needs sentinelPassword as well")
    return settings


__all__ = ["PORT", "SCHEMES", "SENTINEL_PORT", "Settings", "readAddress"]
