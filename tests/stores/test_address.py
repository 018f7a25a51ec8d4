"""
Store addresses.
"""

from __future__ import annotations

import importlib
import os

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import AddressError, ConfigurationError
from txsessions.stores import MemoryStore, SQLiteStore, openStore
from txsessions.stores import address as address_module
from txsessions.stores.address import GOOD_ADDRESSES
from txsessions.stores.redis import RedisStore
from txsessions.web.keys import keySource

import_ = importlib.import_module


class OpenStoreTests(SynchronousTestCase):
    """
    L{openStore}.
    """

    def test_memory(self) -> None:
        """
        C{memory:} is a store of its own each time.
        """
        one, two = openStore("memory:"), openStore("memory:")
        self.assertIsInstance(one, MemoryStore)
        self.assertIsNot(one, two)

    def test_sqlite(self) -> None:
        """
        C{sqlite:PATH} is made absolute at once, and nothing is opened.
        """
        for address, path in (
            ("sqlite:some.sqlite", os.path.abspath("some.sqlite")),
            ("sqlite:a/b c/ü:1.db", os.path.abspath("a/b c/ü:1.db")),
            ("sqlite:/tmp/some.sqlite", "/tmp/some.sqlite"),
            ("sqlite:~/some.sqlite", os.path.expanduser("~/some.sqlite")),
        ):
            store = openStore(address)
            self.assertIsInstance(store, SQLiteStore)
            self.assertEqual(store.path, path)
            self.assertEqual(store.address, f"sqlite:{path}")
            self.assertFalse(os.path.exists(path))

    def test_options(self) -> None:
        """
        Options stand in the address or beside it; those beside it win.
        """
        normal = SQLiteStore("x", durability="normal").durability
        clock = Clock()
        store = openStore("sqlite:x?durability=normal&deadline=0.5", reactor=clock)
        self.assertEqual(store.durability, normal)
        self.assertEqual(store._deadline, 0.5)
        self.assertIs(store._reactor, clock)
        store = openStore("sqlite:x?deadline=5", deadline=7, durability="normal")
        self.assertEqual(store.durability, normal)
        self.assertEqual(store._deadline, 7.0)
        store = openStore("sqlite:x")
        self.assertEqual(store._deadline, 2.0)
        self.assertNotEqual(store.durability, normal)

    def test_bad(self) -> None:
        """
        Every bad address is refused, with all the good ones.
        """
        for address, word in (
            ("", "no colon"),
            ("sessions.sqlite", "no colon"),
            (":", "kind of store"),
            ("mysql://localhost/sessions", "'mysql'"),
            ("redis:localhost", "two slashes"),
            ("redis://localhost/x", "a number"),
            ("redis://localhost/0?speed=9", "'speed'"),
            ("SQLite:x", "'SQLite'"),
            (b"memory:", "bytes"),
            (None, "NoneType"),
            ("memory:x", "no path"),
            ("memory:?a=b", "no path"),
            ("sqlite:", "path of a file"),
            ("sqlite:?durability=normal", "path of a file"),
            ("sqlite::memory:", "not shared"),
            ("sqlite:///tmp/x", "two slashes"),
            ("sqlite://x", "two slashes"),
            ("sqlite:/", "directory"),
            ("sqlite:x/", "directory"),
            ("sqlite:.", "directory"),
            ("sqlite:a\0b", "name a file"),
            ("sqlite:~\0/b", "name a file"),
            ("sqlite:~", "directory"),
            ("sqlite:not-there/..", "directory"),
            ("sqlite:x?", "nothing follows"),
            ("sqlite:x?x", "no options"),
            ("sqlite:x?speed=9", "'speed'"),
            ("sqlite:x?deadline=1&deadline=2", "twice"),
            ("sqlite:x?deadline=soon", "'soon'"),
            ("sqlite:x?deadline=0", "positive"),
            ("sqlite:x?deadline=nan", "positive"),
            ("sqlite:x?durability=FULL", "'FULL'"),
            ("sqlite:x?durability=", "''"),
        ):
            error = self.assertRaises(AddressError, openStore, address)
            self.assertIn(word, str(error), address)
            for form, meaning in GOOD_ADDRESSES:
                self.assertIn(form, str(error))
                self.assertIn(meaning, str(error))

    def test_badOptions(self) -> None:
        """
        Options beside the address are looked at as well.
        """
        for address, options in (
            ("memory:", {"deadline": 1}),
            ("sqlite:x", {"speed": 1}),
            ("sqlite:x", {"deadline": None}),
            ("sqlite:x", {"durability": None}),
        ):
            self.assertRaises(AddressError, openStore, address, **options)

    def test_redis(self) -> None:
        """
        Every scheme of Redis makes its store, and connects to nothing.
        """
        for scheme in ("redis", "valkey", "rediss", "valkeys"):
            store = openStore(f"{scheme}://somewhere:1/2", deadline=3)
            self.assertIsInstance(store, RedisStore)
            shown = "rediss" if scheme in {"rediss", "valkeys"} else "redis"
            self.assertEqual(store.address, f"{shown}://somewhere:1/2")
            store = openStore(f"{scheme}+sentinel://a,b:2/main/3")
            place = "a:26379,b:2/main/3"
            self.assertEqual(store.address, f"{shown}+sentinel://{place}")
        for scheme in ("redis", "valkey"):
            store = openStore(f"{scheme}+unix:///some/where?db=3")
            self.assertEqual(store.address, "redis+unix:///some/where?db=3")

    def test_postgresqlNotInstalled(self) -> None:
        """
        Where PostgreSQL's library is missing it is said how to get it.
        """
        self.patch(
            address_module.importlib, "import_module", lambda name: import_(f"{name}_")
        )
        for scheme in ("postgresql", "postgres"):
            error = self.assertRaises(
                ConfigurationError, openStore, f"{scheme}://localhost/sessions"
            )
            self.assertIn("pip install 'txsessions[postgresql]'", str(error))

    def test_postgresql(self) -> None:
        """
        PostgreSQL's addresses go to its module, as they are.
        """
        given = []

        class Module:
            """
            In place of the engine.
            """

            @staticmethod
            def fromAddress(*arguments):
                """
                Note what was asked for.
                """
                given.append(arguments)
                return MemoryStore()

        self.patch(address_module.importlib, "import_module", lambda name: Module)
        openStore("postgres://u:p@h/d?x=1", reactor="the reactor", deadline=3)
        expected = ("postgres://u:p@h/d?x=1", "the reactor", {"deadline": 3})
        self.assertEqual(given, [expected])

    def test_sharedStoresNeedKeys(self) -> None:
        """
        A site on a store that machines share must be given its keys.
        """
        error = self.assertRaises(
            ConfigurationError, keySource, openStore("redis://localhost/0"), None
        )
        self.assertIn("keys='sessions.key'", str(error))
