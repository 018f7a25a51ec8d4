"""
Filling stores with many expired sessions, faster than by their own verbs.

Owns the records, and the way of each kind of store to be filled and counted.  The
store has been open once, so that its tables are there.
"""

from __future__ import annotations

import itertools
import os
import socket
import sqlite3

from txsessions.core.record import Record
from txsessions.core.seal import Sealer
from txsessions.core.state import State, packState
from txsessions.stores import _sqlite_verbs

PARTS = {b"nuser": b"\\xa4some"}
"""What is in each session."""

TOGETHER = 500
"""How many are sent to a server at a time."""


def records(count, ring, now):
    """
    Make records that have run out.
    """
    sealer = Sealer(ring, b"")
    createdAt = now - 5000.0
    packed = packState(
        State(
            createdAt=createdAt,
            idle=900.0,
            lifetime=43200.0,
            secure=False,
            cookieName=b"sid",
            parts=PARTS,
        )
    )
    for _ in range(count):
        key = os.urandom(32)
        yield Record(
            key=key,
            version=1,
            createdAt=createdAt,
            touchedAt=createdAt,
            expiresAt=createdAt + 960.0,
            payload=sealer.seal(key, 1, packed),
        )


class SQLite:
    """
    A database file.
    """

    def __init__(self, address):
        self._path = address.removeprefix("sqlite:").partition("?")[0]

    def fill(self, made):
        """
        Fill it: all in one transaction, and no sync.
        """
        connection = sqlite3.connect(self._path, isolation_level=None)
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        cursor = connection.cursor()
        for record in made:
            _sqlite_verbs.insert(cursor, record)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        connection.close()

    def left(self):
        """
        How many records are there.
        """
        connection = sqlite3.connect(self._path)
        try:
            return connection.execute("SELECT count(*) FROM sessions").fetchone()[0]
        finally:
            connection.close()


class Redis:
    """
    A server behind its socket.
    """

    def __init__(self, address):
        self._address = address

    def fill(self, made):
        """
        Fill it: the commands that L{txsessions.stores._redis_scripts.INSERT} calls,
        many at a time.
        """
        from txsessions.stores._redis_address import readAddress
        from txsessions.stores._redis_keys import Keys
        from txsessions.stores._redis_resp import pack
        from txsessions.stores._redis_rows import GRACE, encode

        keys = Keys(readAddress(self._address, {}).prefix)
        while some := list(itertools.islice(made, TOGETHER)):
            calls = []
            for record in some:
                name, due, _, index = keys.all(record.key)
                drop = b"%d" % ((record.expiresAt + GRACE) * 1000)
                at = b"%.17g" % record.expiresAt
                calls += (
                    [b"SET", name, encode(record, 0.0), b"PXAT", drop],
                    [b"ZADD", due, at, record.key],
                    [b"ZADD", index, b"0", record.key],
                )
            self._ask(b"".join(pack(call) for call in calls), len(calls))

    def left(self):
        """
        How many keys are there: none, where all records are gone.
        """
        return int(self._ask(b"*1\r\n$6\r\nDBSIZE\r\n", 1)[1:])

    def _ask(self, sent, count):
        """
        Send commands over a connection of their own, and wait for so many lines.
        """
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self._address.removeprefix("redis+unix://"))
            link.sendall(sent)
            received = b""
            while received.count(b"\n") < count:
                received += link.recv(1 << 16)
        if b"-" in received:
            raise AssertionError(received[:200])
        return received


class PostgreSQL:
    """
    A database.
    """

    def __init__(self, address):
        self._address = address

    def fill(self, made):
        """
        Fill it: all in one C{COPY}.
        """
        import psycopg

        from txsessions.stores._postgresql_rows import checksumOf, instant

        columns = (
            "key, version, created_at, touched_at, expires_at, span, due, checksum, "
            "payload"
        )
        with psycopg.connect(self._address, autocommit=True) as connection:
            with (
                connection.cursor() as cursor,
                cursor.copy(f"COPY txsessions ({columns}) FROM STDIN") as copy,
            ):
                for record in made:
                    created, touched, expires = (
                        instant(at, 0)
                        for at in (
                            record.createdAt,
                            record.touchedAt,
                            record.expiresAt,
                        )
                    )
                    checksum = checksumOf(
                        record.key, record.version, created, None, None, record.payload
                    )
                    span = expires - touched
                    times = (created, touched, expires, span, expires)
                    copy.write_row(
                        (record.key, record.version, *times, checksum, record.payload)
                    )
            connection.execute("ANALYZE txsessions")

    def left(self):
        """
        How many records are there.
        """
        import psycopg

        with psycopg.connect(self._address) as connection:
            return connection.execute("SELECT count(*) FROM txsessions").fetchone()[0]


FILLS = {"sqlite": SQLite, "redis": Redis, "postgresql": PostgreSQL}
"""How to fill each kind of store, given its address."""


__all__ = ["FILLS", "records"]
