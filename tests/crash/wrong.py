"""
Stores that do something wrong, on purpose: what the tests must find out, and deaths
at chosen moments.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from twisted.internet.defer import Deferred, succeed

from txsessions.stores import _sqlite_connection
from txsessions.stores.sqlite import SQLiteStore


def _die(_=None):
    """
    Die as of C{kill -9}.
    """
    os.kill(os.getpid(), signal.SIGKILL)


class LyingStore(SQLiteStore):
    """
    Acknowledges a change before it has written it.
    """

    def replace(self, record, expected, now):
        """
        See L{SQLiteStore.replace}; not so.
        """
        from twisted.internet import reactor

        reactor.callLater(0.05, super().replace, record, expected, now)
        return succeed(None)


class UnsyncedStore(SQLiteStore):
    """
    Commits without waiting for the disk.
    """

    def open(self):
        """
        See L{SQLiteStore.open}; the writing connection never syncs.
        """
        connect = _sqlite_connection._sqlite_schema.connectWriter

        def connectUnsynced(*args):
            connection = connect(*args)
            connection.execute("PRAGMA synchronous = OFF")
            return connection

        _sqlite_connection._sqlite_schema.connectWriter = connectUnsynced
        return super().open()


def makeMortal(store):
    """
    Have a store take its process along when it is told to: when its C{dies} is
    C{"before"} or C{"after"} the commit of the next change.

    @return: The store.
    """

    def mortally(change, *args):
        dies, store.dies = store.dies, ""
        if dies == "before":
            _die()
        done = change(*args)
        if dies == "after":
            done.addCallback(_die)
        return done

    store.dies = ""
    for name in ("replace", "rename", "delete"):
        setattr(store, name, partial(mortally, getattr(store, name)))
    return store


class DyingSweeper(SQLiteStore):
    """
    Takes its process along when it is to acknowledge what was told.
    """

    def acknowledge(self, keys):
        """
        See L{SQLiteStore.acknowledge}; not so.
        """
        _die()


class HungStore(SQLiteStore):
    """
    Neither answers a change nor closes.
    """

    def replace(self, record, expected, now):
        """
        See L{SQLiteStore.replace}; not so.
        """
        return Deferred()

    def close(self):
        """
        See L{SQLiteStore.close}; not so.
        """
        return Deferred()


STORES = {
    "right": SQLiteStore,
    "lying": LyingStore,
    "unsynced": UnsyncedStore,
    "mortal": lambda *args, **kwargs: makeMortal(SQLiteStore(*args, **kwargs)),
    "dyingSweeper": DyingSweeper,
    "hung": HungStore,
}
"""The stores by name."""


__all__ = ["STORES", "LyingStore", "UnsyncedStore", "makeMortal"]
