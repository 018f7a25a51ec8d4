"""
The first words on a connection to a Redis server.

Owns what is asked before any session is: who we are, which database, whether it is
the primary, the scripts, and what the server promises about what it keeps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_connection import Connection
from txsessions.stores._redis_errors import adviceOn, codeOf
from txsessions.stores._redis_resp import ReplyError

if TYPE_CHECKING:
    from txsessions.stores._redis_address import Settings

_log = Logger(namespace="txsessions")

_NOT_YET = frozenset({"LOADING", "MASTERDOWN", "NOAUTH"})
"""Refusals that no other answer makes good."""

_OLD = frozenset({"ERR", "NOPROTO"})
"""How a server says that it does not know HELLO or RESP3."""


@frozen(kw_only=True)
class Promises:
    """
    What a server says of how well it keeps things.  The empty string, or L{None},
    where it does not say.
    """

    log: bool | None = None
    sync: str = ""
    policy: str = ""

    @property
    def durability(self) -> str:
        """
        In words for people.
        """
        if self.log is None:
            return (
                "what the Redis server promises, which it does not say to this user: "
                "see its settings appendonly and appendfsync"
            )
        if not self.log:
            return (
                "the Redis server keeps sessions in its memory (appendonly no): if "
                "it crashes, all changes since its last snapshot are lost"
            )
        if self.sync == "always":
            return (
                "the Redis server syncs every write to its disk before it "
                "acknowledges it (appendfsync always)"
            )
        if self.sync == "everysec":
            return (
                "the Redis server syncs its log once a second (appendfsync "
                "everysec): if its machine crashes, about the last second is lost"
            )
        return (
            "the Redis server writes a log: a crash of its machine may lose what "
            f"was not synced yet (appendfsync {self.sync or 'unknown'})"
        )

    def warn(self, where: str) -> None:
        """
        Tell the operator if the server may drop sessions by itself.
        """
        if self.policy.startswith(("allkeys", "volatile")):
            _log.warn(
                "the session store {where} may drop live sessions when its memory "
                "is full: set its maxmemory-policy to noeviction, it is {policy}",
                where=where,
                policy=self.policy,
            )


async def greet(
    connection: Connection, settings: Settings, scripts: Iterable[bytes]
) -> Promises:
    """
    Make a connection ready for sessions.

    @return: What the server promises.
    @raise StoreUnavailable: The server is not fit for it, or does not let us.
    """
    try:
        await _introduce(connection, settings)
        if settings.database:
            await connection.call(b"SELECT", b"%d" % settings.database)
        await _checkRole(connection, settings)
    except ReplyError as error:
        raise StoreUnavailable(
            f"the session store {settings.where} does not let us in: {adviceOn(error)}"
        ) from None
    await _politely([connection.call(b"SCRIPT", b"LOAD", script) for script in scripts])
    return await _promises(connection)


async def _introduce(connection: Connection, settings: Settings) -> None:
    """
    Agree on the protocol, and sign in.
    """
    user, password = settings.user.encode(), settings.password.encode()
    signIn = [b"AUTH", user or b"default", password] if password else []
    try:
        await connection.call(b"HELLO", b"3", *signIn)
    except ReplyError as error:
        if codeOf(error) not in _OLD or "max number" in str(error):
            raise
        if password:
            await connection.call(b"AUTH", *([user] if user else []), password)
    await _politely([connection.call(b"CLIENT", b"SETNAME", b"txsessions")])


async def _checkRole(connection: Connection, settings: Settings) -> None:
    """
    Refuse a replica: it takes no writes, and reads from it may be old.
    """
    (role,) = await _politely([connection.call(b"ROLE")])
    if isinstance(role, list) and role and role[0] != b"master":
        what = role[0].decode("ascii", "replace")[:16]
        raise StoreUnavailable(
            f"the session store {settings.where} is a {what}, and sessions need the "
            "primary: give its address, or those of the sentinels (redis+sentinel://)"
        )


async def _promises(connection: Connection) -> Promises:
    """
    Ask what the server promises.
    """
    persistence, memory, sync = await _politely(
        [
            connection.call(b"INFO", b"persistence"),
            connection.call(b"INFO", b"memory"),
            connection.call(b"CONFIG", b"GET", b"appendfsync"),
        ]
    )
    logs = _field(persistence, b"aof_enabled")
    return Promises(
        log=logs == "1" if logs else None,
        sync=_setting(sync, b"appendfsync"),
        policy=_field(memory, b"maxmemory_policy"),
    )


async def _politely(calls: list[Deferred[object]]) -> list[object]:
    """
    Wait for what may be forbidden to us.

    @return: The replies, L{None} for a refusal.
    """
    replies: list[object] = []
    try:
        for call in calls:
            try:
                replies.append(await call)
            except ReplyError as error:
                if codeOf(error) in _NOT_YET:
                    raise StoreUnavailable(
                        f"the session store cannot be used yet: {adviceOn(error)}"
                    ) from None
                replies.append(None)
    finally:
        # Also where it takes too long, and this is cancelled.
        _forget(calls)
    return replies


def _forget(calls: list[Deferred[object]]) -> None:
    """
    Nobody waits for these any more.
    """
    for call in calls:
        _ = call.addErrback(lambda _: None)


def _field(info: object, name: bytes) -> str:
    """
    Find a field of what INFO says.
    """
    if not isinstance(info, bytes):
        return ""
    for line in info.splitlines():
        key, _, value = line.partition(b":")
        if key == name:
            return value.decode("ascii", "replace")
    return ""


def _setting(found: object, name: bytes) -> str:
    """
    Find a setting: a map in RESP3, a list in RESP2.
    """
    if isinstance(found, list):
        found = dict(zip(found[::2], found[1::2], strict=False))
    value = found.get(name) if isinstance(found, dict) else None
    return value.decode("ascii", "replace") if isinstance(value, bytes) else ""


__all__ = ["Promises", "greet"]
