"""
PostgreSQL addresses.
"""

from __future__ import annotations

import os

from psycopg.conninfo import conninfo_to_dict
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import AddressError, ConfigurationError
from txsessions.stores import openStore
from txsessions.stores.postgresql import PostgreSQLStore, fromAddress


class AddressTests(SynchronousTestCase):
    """
    L{fromAddress}.
    """

    def setUp(self) -> None:
        """
        Have an environment without PostgreSQL in it.
        """
        before = dict(os.environ)

        def restore() -> None:
            os.environ.clear()
            os.environ.update(before)

        self.addCleanup(restore)
        for name in list(os.environ):
            if name.startswith("PG"):
                del os.environ[name]

    def told(self, address: str, **options) -> dict[str, object]:
        """
        What libpq is told.
        """
        store = fromAddress(address, None, options)
        return conninfo_to_dict(store._settings.conninfo)

    def test_libpqReads(self) -> None:
        """
        All that libpq understands is libpq's.
        """
        told = self.told(
            "postgresql://us%65r:p%40ss@h1:5433,h2/da%20ta?sslmode=verify-full"
            "&keepalives_idle=7&target_session_attrs=any&connect_timeout=9"
        )
        self.assertEqual(told["user"], "user")
        self.assertEqual(told["password"], "p@ss")
        self.assertEqual(told["host"], "h1,h2")
        self.assertEqual(told["dbname"], "da ta")
        self.assertEqual(told["sslmode"], "verify-full")
        self.assertEqual(told["keepalives_idle"], "7")
        self.assertEqual(told["connect_timeout"], "9")

    def test_whatWeAdd(self) -> None:
        """
        A bound on connecting, and that the server can be written to; unless the
        address or the environment says something else.
        """
        told = self.told("postgres://h/d?deadline=3.5")
        self.assertEqual(told["connect_timeout"], "4")
        self.assertEqual(told["target_session_attrs"], "read-write")
        self.assertEqual(told["fallback_application_name"], "txsessions")
        os.environ["PGTARGETSESSIONATTRS"] = "primary"
        os.environ["PGCONNECT_TIMEOUT"] = "11"
        told = self.told("postgres://h/d")
        self.assertNotIn("target_session_attrs", told)
        self.assertNotIn("connect_timeout", told)

    def test_environment(self) -> None:
        """
        What the address leaves out comes from the environment.
        """
        os.environ.update(PGHOST="a,b", PGPORT="1,2", PGDATABASE="web")
        store = fromAddress("postgresql://", None, {})
        self.assertEqual(
            store.address, "postgresql://a:1,b:2/web?schema=public&table=txsessions"
        )

    def test_ours(self) -> None:
        """
        Our own options are taken out, wherever they stand; those beside the address
        win.
        """
        address = (
            "postgresql://h/d?schema=web&sslmode=require&table=s&deadline=0.5"
            "&prepare=1&unlogged=true&durability=normal"
        )
        settings = fromAddress(address, None, {"deadline": 7})._settings
        self.assertEqual((settings.names.schema, settings.names.table), ("web", "s"))
        self.assertEqual(settings.deadline, 7.0)
        self.assertTrue(settings.prepare)
        self.assertTrue(settings.unlogged)
        self.assertEqual(settings.durability, "normal")
        self.assertEqual(self.told(address)["sslmode"], "require")
        self.assertEqual(
            self.told("postgres://h/d", sslmode="prefer")["sslmode"], "prefer"
        )

    def test_shown(self) -> None:
        """
        The address for people has neither user nor password in it.
        """
        tail = "schema=public&table=txsessions"
        for address, shown in (
            ("postgresql://u:secret@h/d", f"postgresql://h:5432/d?{tail}"),
            ("postgresql://u:secret@[::1]:7/d", f"postgresql://[::1]:7/d?{tail}"),
            (
                "postgresql://u@/d?host=/run/x&password=secret",
                f"postgresql:///d?host=/run/x&{tail}",
            ),
        ):
            store = fromAddress(address, None, {})
            self.assertEqual(store.address, shown)
            self.assertNotIn("secret", repr(store) + repr(store._settings))
            self.assertIn("not asked yet", store.durability)

    def test_bad(self) -> None:
        """
        A bad address is refused, and not repeated.
        """
        for address, word in (
            ("postgresql://u:secret%zz@h/d", "libpq cannot read"),
            ("postgresql://u:secret@h:port?/d", "libpq cannot read"),
            ("postgresql://h/d?speed=secret", "libpq cannot read"),
            ("postgresql://u:secret@h/\udcff", "libpq cannot read"),
            ("postgresql://u:secret@h/%ff", "libpq cannot read"),
            ("postgresql://u:secret@secret@h/d", "no @"),
            ("postgresql://h/d?table=a&table=b", "twice"),
            ("postgresql://h/d?deadline=soon", "number of seconds"),
            ("postgresql://h/d?deadline=0", "positive"),
            ("postgresql://h/d?prepare=maybe", "1 or 0"),
            ("postgresql://h/d?unlogged=", "1 or 0"),
            ("postgresql://h/d?durability=fast", "'fast'"),
            ("postgresql://h/d?table=a;drop", "table is letters"),
            ('postgresql://h/d?schema=a"b', "schema is letters"),
            (f"postgresql://h/d?table={'t' * 49}", "table is letters"),
        ):
            error = self.assertRaises(AddressError, fromAddress, address, None, {})
            self.assertIn(word, str(error), address)
            self.assertNotIn("secret", str(error))
        options = {"speed": 1}
        self.assertRaises(AddressError, fromAddress, "postgres://h/d", None, options)

    def test_openStore(self) -> None:
        """
        Both schemes lead here, and the store can be made without an address.
        """
        for scheme in ("postgres", "postgresql"):
            store = openStore(f"{scheme}://h/d?table=web")
            self.assertIsInstance(store, PostgreSQLStore)
        store = PostgreSQLStore("host=h dbname=d", table="web")
        self.assertEqual(store.address, "postgresql://h:5432/d?schema=public&table=web")
        self.assertRaises(ConfigurationError, PostgreSQLStore, "host=h", deadline=0)
