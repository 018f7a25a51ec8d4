"""
The kinds of stores that many processes are tried on.

Owns what differs between them in a test: what a server is started with, and how to
look at the records from outside.  L{tests.races.engines} starts the stores.
"""

from __future__ import annotations

from tests.crash.nursery import Database
from tests.races.engines import start


class Kind:
    """
    A store of one kind, with its key file.

    @cvar engine: Which of L{tests.races.engines.ENGINES}.
    @ivar place: Where it is, see L{tests.races.engines.Place}.
    @ivar folder: Where the logs of servers go.
    @ivar options: What a server is started with, see
        L{tests.crash.server.Options}.
    """

    engine = ""

    def __init__(self, case):
        """
        Start it.
        """
        self.place = start(case, self.engine)
        self.folder = self.place.folder
        self.options = {"keys": self.place.keys, "address": self.place.address}

    def payloads(self):
        """
        What is sealed in each record, by its key.
        """
        raise NotImplementedError

    def damage(self):
        """
        What the engine finds wrong with its files; empty, if nothing is.
        """
        return ""


class SQLite(Kind):
    """
    A database file, every commit synced.
    """

    engine = "sqlite"
    durability = "full"

    def __init__(self, case):
        super().__init__(case)
        # By its path, so that it can be one of the stores that do something wrong.
        self.options = {"keys": self.place.keys, "durability": self.durability}

    def payloads(self):
        """
        See L{Kind.payloads}.
        """
        statement = "SELECT key, payload FROM sessions WHERE version IS NOT NULL"
        return dict(Database(self.folder).ask(statement))

    def damage(self):
        """
        See L{Kind.damage}.
        """
        found = Database(self.folder).integrity()
        return "" if found == "ok" else found


class SQLiteNormal(SQLite):
    """
    A database file, only ends synced.
    """

    engine = "sqlite-normal"
    durability = "normal"


class Redis(Kind):
    """
    Valkey, every write synced.
    """

    engine = "redis"

    def payloads(self):
        """
        See L{Kind.payloads}.
        """
        from txsessions.core.record import Record
        from txsessions.stores._redis_rows import decode

        server = self.place.server
        names = [name for name in server.names() if b"}:s:" in name]
        texts = server.command("MGET", *names) if names else []
        keys = [name.partition(b"}:s:")[2] for name in names]
        found = [
            decode(key, text, 0.0, None)
            for key, text in zip(keys, texts, strict=True)
            if text is not None
        ]
        return {each.key: each.payload for each in found if isinstance(each, Record)}


class PostgreSQL(Kind):
    """
    PostgreSQL, every commit synced.
    """

    engine = "postgresql"

    def payloads(self):
        """
        See L{Kind.payloads}.
        """
        import psycopg

        statement = "SELECT key, payload FROM txsessions WHERE version IS NOT NULL"
        with psycopg.connect(self.place.address) as connection:
            return dict(connection.execute(statement).fetchall())


KINDS = {
    "sqlite": SQLite,
    "sqlite-normal": SQLiteNormal,
    "redis": Redis,
    "postgresql": PostgreSQL,
}
"""The kinds by name: each is given the test after which the store ends."""


__all__ = ["KINDS", "Kind"]
