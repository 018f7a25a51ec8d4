"""
Redis addresses.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import AddressError
from txsessions.stores._redis_address import SCHEMES, Settings, readAddress


class GoodTests(SynchronousTestCase):
    """
    What can be read.
    """

    def reads(self, address, **expected):
        """
        An address says just this.
        """
        self.assertEqual(readAddress(address, {}), Settings(**expected))

    def test_servers(self):
        """
        TCP and TLS.
        """
        for scheme, tls in (
            ("redis", False),
            ("valkey", False),
            ("rediss", True),
            ("valkeys", True),
        ):
            for rest, host, database in (
                ("", ("localhost", 6379), 0),
                ("/", ("localhost", 6379), 0),
                ("h", ("h", 6379), 0),
                ("h:1/2", ("h", 1), 2),
                ("[::1]:7/0", ("::1", 7), 0),
                ("[fe80::1]", ("fe80::1", 6379), 0),
                ("10.0.0.1/15", ("10.0.0.1", 6379), 15),
            ):
                self.reads(
                    f"{scheme}://{rest}", hosts=(host,), database=database, tls=tls
                )

    def test_users(self):
        """
        Names and passwords, with every character in some form.
        """
        hosts = (("h", 6379),)
        for given_, user, password in (
            ("me:pw@", "me", "pw"),
            (":pw@", "", "pw"),
            ("me:p%40%3A%2F%3F%23%25w@", "me", "p@:/?#%w"),
            ("me:p@w@", "me", "p@w"),
            ("me:%C3%BC@", "me", "ü"),
        ):
            self.reads(f"redis://{given_}h", hosts=hosts, user=user, password=password)

    def test_sockets(self):
        """
        Sockets in the file system.
        """
        self.reads("redis+unix:///a/b.sock", path="/a/b.sock")
        self.reads("valkey+unix:///a%20b?db=3", path="/a b", database=3)
        self.reads("redis+unix://:pw@/a", path="/a", password="pw")

    def test_sentinels(self):
        """
        Several sentinels, and a name.
        """
        hosts = (("a", 26379), ("b", 2), ("::1", 3))
        self.reads(
            "redis+sentinel://:pw@a,b:2,[::1]:3/main/4",
            hosts=hosts,
            service="main",
            database=4,
            password="pw",
        )
        self.reads(
            "rediss+sentinel://:pw@a/main?cafile=/c&sentinelUser=u"
            "&sentinelPassword=p%40%26",
            hosts=(("a", 26379),),
            service="main",
            password="pw",
            sentinelUser="u",
            sentinelPassword="p@&",
            tls=True,
            cafile="/c",
        )

    def test_options(self):
        """
        In the address, and beside it, where they win.
        """
        settings = readAddress(
            "rediss://h/0?deadline=0.5&prefix=a.b&wait=2&maxQueue=7&cafile=/ca",
            {"deadline": 9, "certfile": Path("/c"), "keyfile": "/k"},
        )
        self.assertEqual(
            settings,
            Settings(
                hosts=(("h", 6379),),
                tls=True,
                deadline=9.0,
                prefix="a.b",
                wait=2,
                maxQueue=7,
                cafile="/ca",
                certfile="/c",
                keyfile="/k",
            ),
        )

    def test_where(self):
        """
        What people see can be read again.
        """
        for address in (
            "redis://h:1/2",
            "rediss://[::1]:1/2",
            "redis+unix:///a/b?db=1",
            "redis+sentinel://a:1,[::1]:2/main/3",
            "rediss+sentinel://a:1/main/3",
        ):
            settings = readAddress(address, {})
            self.assertEqual(settings.where, address)
            self.assertEqual(readAddress(settings.where, {}), settings)


class BadTests(SynchronousTestCase):
    """
    What cannot.
    """

    def test_each(self):
        """
        Each mistake is named, and no secret is repeated.
        """
        for address, word in (
            ("redis:h", "two slashes"),
            ("redis:/h", "two slashes"),
            ("redis://h:0", "port"),
            ("redis://h:99999", "port"),
            ("redis://h:secret", "port"),
            ("redis://[::1", "cannot be read"),
            ("redis://a b", "host"),
            ("redis://a,b/0", "one host"),
            ("redis://h/x", "a number"),
            ("redis://h/-1", "a number"),
            ("redis://h/0/1", "a number"),
            ("redis://secret@h/0", "user:password"),
            ("redis://:secret#1@h/0", "%23"),
            ("redis://:secret?1@h/0", "%3F"),
            ("redis://me:1?secret=1@h/0", "%3F"),
            ("redis://me:1/secret@h/0", "%2F"),
            ("redis+sentinel://me:1/secret@h/0", "%2F"),
            ("redis://h?deadline", "name=value"),
            ("redis://h?deadline=0", "positive"),
            ("redis://h?deadline=soon", "positive"),
            ("redis://h?deadline=inf", "positive"),
            ("redis://h?deadline=1&deadline=1", "twice"),
            ("redis://h?speed=1", "'speed'"),
            ("redis://h?db=1", "'db'"),
            ("redis://h?wait=-1", "wait"),
            ("redis://h?maxQueue=0", "maxQueue"),
            ("redis://h?prefix=a{b}", "prefix"),
            ("redis://h?prefix=", "prefix"),
            ("redis://h?cafile=/x", "rediss://"),
            ("rediss://h?keyfile=/x", "certfile"),
            ("redis+unix://h/x", "absolute path"),
            ("redis+unix:///", "absolute path"),
            ("redis+unix:///x?db=a", "db"),
            ("redis+sentinel://a/", "sentinels"),
            ("redis+sentinel:///main", "sentinels"),
            ("redis+sentinel://a/main/x", "a number"),
            ("redis+sentinel://a/main?cafile=/x", "rediss+sentinel://"),
            ("redis+sentinel://a/main?sentinelUser=u", "sentinelPassword"),
            ("redis+sentinel://a/main?sentinelPassword=", "not empty"),
            ("redis+sentinel://a/main?sentinelPassword=a#secret", "%23"),
            ("redis://a/0?sentinelPassword=secret", "redis+sentinel://"),
        ):
            error = self.assertRaises(AddressError, readAddress, address, {})
            self.assertIn(word, str(error), address)
            self.assertNotIn("secret", str(error), address)

    def test_badOptions(self):
        """
        Options beside the address are looked at as well.
        """
        for options in ({"deadline": None}, {"prefix": 3}, {"wait": 1.5}, {"x": 1}):
            self.assertRaises(AddressError, readAddress, "redis://h", options)
        with self.assertRaises(AddressError) as caught:
            readAddress("redis+sentinel://h/s", {"sentinelPassword": b"secret"})
        self.assertNotIn("secret", str(caught.exception))

    @settings(deadline=None)
    @given(st.sampled_from(sorted(SCHEMES)), st.text())
    def test_anything(self, scheme, rest):
        """
        Nothing raises another error.
        """
        with contextlib.suppress(AddressError):
            readAddress(f"{scheme}://{rest}", {})
