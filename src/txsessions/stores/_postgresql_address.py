"""
PostgreSQL addresses, and what stands in them.

Owns the taking apart: our own options are taken out of the query, and all that is
left is libpq's to read, environment included.  Nothing that is said of a bad address
repeats it, for it may hold a password.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Conninfo

from txsessions.errors import AddressError

OURS = ("deadline", "durability", "prepare", "schema", "table", "unlogged")
"""The options that are not libpq's."""

SECRETS = ("password", "sslpassword")
"""What libpq is told and nobody else."""

_YES = {"1": True, "true": True, "0": False, "false": False}


def takeApart(
    address: str, options: Mapping[str, object]
) -> tuple[str, dict[str, object]]:
    """
    Read an address.

    @param options: As in the address; these win.  All of libpq's are known, too.
    @return: What libpq is told, and our own options.
    @raise AddressError: It cannot be read.
    """
    place, _, query = address.partition("?")
    ours: dict[str, object] = {}
    theirs = []
    for part in query.split("&") if query else ():
        name, _, value = part.partition("=")
        if unquote(name) not in OURS:
            theirs.append(part)
        elif name in ours:
            raise AddressError(f"the option {name!r} is given twice")
        else:
            ours[name] = unquote(value)
    url = "?".join([place, "&".join(theirs)]) if theirs else place
    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    params = _parse(url)
    for name, given in options.items():
        if name in OURS:
            ours[name] = given
        elif name in known:
            params[name] = given
        else:
            raise AddressError(f"postgresql: has no option {name!r}")
    return make_conninfo("", **params), _read(ours)


def _parse(conninfo: str) -> dict[str, Any]:
    """
    Have libpq read its part.

    @raise AddressError: It cannot.
    """
    try:
        params: dict[str, Any] = conninfo_to_dict(conninfo)
    except (psycopg.Error, UnicodeError):
        # libpq's message would quote what it stumbled over.
        raise AddressError(
            "libpq cannot read the address: write postgresql://USER:PASSWORD@HOST/"
            "DATABASE?OPTION=VALUE with the options of libpq, and percent-encode what "
            "is not a letter or digit"
        ) from None
    if "@" in str(params.get("host", "")):
        raise AddressError("a host has no @ in it: write %40 for one in the password")
    return params


def _read(ours: Mapping[str, object]) -> dict[str, object]:
    """
    Read our own options.
    """
    read: dict[str, object] = dict(ours)
    if "deadline" in ours:
        try:
            read["deadline"] = float(str(ours["deadline"]))
        except ValueError:
            raise AddressError(
                f"deadline is a number of seconds, not {ours['deadline']!r}"
            ) from None
    for name in ("prepare", "unlogged"):
        if name in ours:
            value = str(ours[name]).lower()
            if value not in _YES:
                raise AddressError(f"{name} is 1 or 0, not {ours[name]!r}")
            read[name] = _YES[value]
    for name in ("durability", "schema", "table"):
        if name in ours:
            read[name] = str(ours[name])
    return read


def completed(conninfo: str, deadline: float) -> tuple[str, tuple[str, ...]]:
    """
    Add what we want of libpq where neither the address nor the environment says
    something else.

    @return: What libpq is told, and the secrets in it.
    @raise AddressError: libpq cannot read it.
    """
    params = _parse(conninfo)
    given = {**defaults(), **params}
    wanted = {
        "connect_timeout": max(2, math.ceil(deadline)),
        "target_session_attrs": "read-write",
        "fallback_application_name": "txsessions",
    }
    for name, value in wanted.items():
        # "any" is what libpq itself would take.
        if name not in params and given.get(name, "any") == "any":
            params[name] = value
    secrets = [str(params[name]) for name in SECRETS if params.get(name)]
    return make_conninfo("", **params), tuple(secrets)


def defaults() -> dict[str, str]:
    """
    What libpq takes where an address says nothing: the environment, the service
    file, and its own.
    """
    return {
        option.keyword.decode(): option.val.decode(errors="replace")
        for option in Conninfo.get_defaults()
        if option.val
    }


def shown(conninfo: str, schema: str, table: str) -> str:
    """
    The address for people: hosts, database and table; neither user nor password.
    """
    params = {**defaults(), **_parse(conninfo)}
    hosts = str(params.get("host") or params.get("hostaddr") or "").split(",")
    ports = str(params.get("port") or "").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    database = quote(str(params.get("dbname") or params.get("user") or ""))
    query = [f"schema={schema}", f"table={table}"]
    if any(host.startswith("/") for host in hosts):
        query.insert(0, f"host={quote(','.join(hosts), safe='/,')}")
        return f"postgresql:///{database}?{'&'.join(query)}"
    pairs = [
        f"[{host}]:{port}" if ":" in host else f"{host}:{port}" if host else ""
        for host, port in zip(hosts, ports, strict=False)
    ]
    return f"postgresql://{','.join(pairs)}/{database}?{'&'.join(query)}"


__all__ = ["OURS", "SECRETS", "completed", "defaults", "shown", "takeApart"]
