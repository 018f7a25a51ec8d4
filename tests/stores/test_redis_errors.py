"""
What each error of a Redis server means.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.proxies import Scripted
from tests.stores.redis_case import RedisTestCase
from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_errors import (
    Verdict,
    adviceOn,
    codeOf,
    storeError,
    verdictOn,
)
from txsessions.stores._redis_resp import ReplyError
from txsessions.testing._case import steps

GONE, STAYS = Verdict.RECONNECT, Verdict.UNAVAILABLE

SAID = {
    "READONLY You can't write against a read only replica.": (GONE, "primary"),
    "LOADING Redis is loading the dataset in memory": (GONE, "loading"),
    "MASTERDOWN Link with MASTER is down": (GONE, "lost its primary"),
    "CLUSTERDOWN Hash slot not served": (GONE, "cluster"),
    "MOVED 3999 127.0.0.1:6381": (GONE, "cluster"),
    "ASK 3999 127.0.0.1:6381": (GONE, "cluster"),
    "CROSSSLOT Keys in request don't hash to the same slot": (STAYS, "cluster"),
    "TRYAGAIN Multiple keys request during rehashing of slot": (STAYS, "moving"),
    "NOAUTH Authentication required.": (GONE, "password"),
    "BUSY Redis is busy running a script.": (STAYS, "SCRIPT KILL"),
    "UNKILLABLE Sorry the script already executed write commands": (STAYS, "script"),
    "OOM command not allowed when used memory > 'maxmemory'.": (STAYS, "maxmemory"),
    "MISCONF Redis is configured to save RDB snapshots": (STAYS, "disk"),
    "NOPERM User x has no permissions to run the 'get' command": (STAYS, "ACL"),
    "ERR ACL failure in script: User me has no permissions": (STAYS, "ACL"),
    "ERR The user executing the script can't run this command": (STAYS, "ACL"),
    "WRONGPASS invalid username-password pair": (STAYS, "password is wrong"),
    "NOREPLICAS Not enough good replicas to write.": (STAYS, "replicas"),
    "NOSCRIPT No matching script.": (Verdict.LOAD_SCRIPT, "forgotten"),
    "WRONGTYPE Operation against a key": (Verdict.DAMAGED, "something else"),
    "ERR max number of clients reached": (STAYS, "maxclients"),
    "ERR DB index is out of range": (STAYS, "databases"),
    "ERR invalid password": (STAYS, "password is wrong"),
    "ERR AUTH <password> called without any password configured": (STAYS, "no pass"),
    "ERR unknown command 'EVALSHA'": (STAYS, "6.2"),
    "ERR SELECT is not allowed in cluster mode": (STAYS, "cluster"),
    "ERR invalid expire time in 'set' command": (STAYS, "time"),
    "ERR something else": (STAYS, "ERR"),
    "SOMENEW thing": (STAYS, "SOMENEW"),
    "": (STAYS, "ERR"),
    "no code at all": (STAYS, "ERR"),
}


class TableTests(SynchronousTestCase):
    """
    The table.
    """

    def test_each(self):
        """
        Each code has its consequence, and an advice.
        """
        for said, (verdict, word) in SAID.items():
            error = ReplyError(said)
            self.assertIs(verdictOn(error), verdict, said)
            self.assertIn(word, adviceOn(error), said)

    def test_insideAScript(self):
        """
        Redis 6.2 puts the error of a command inside that of the script.
        """
        for code in ("OOM", "WRONGTYPE", "READONLY", "MISCONF", "NOPERM"):
            for dash in ("", "-"):
                error = ReplyError(
                    "ERR Error running script (call to f_0123): @user_script:3: "
                    f"@user_script: 3: {dash}{code} command not allowed"
                )
                self.assertEqual(codeOf(error), code)
        strange = (
            "ERR Error running script (call to f_0123): @user_script:3: SOME thing"
        )
        self.assertEqual(codeOf(ReplyError(strange)), "ERR")

    def test_neverTheServersWords(self):
        """
        An old server repeats what it did not understand, the password with it.
        """
        error = ReplyError(
            "ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, "
            "`default`, `a secret`, "
        )
        shown = str(storeError(error, "redis://host:1/0"))
        self.assertIn("redis://host:1/0", shown)
        self.assertNotIn("secret", shown)


class ConsequenceTests(RedisTestCase):
    """
    What a store does when a server says so.
    """

    def scripted(self, **answers):
        """
        Make such a server.
        """
        server = Scripted(**answers)
        self.addCleanup(server.stop)
        return server

    @steps
    async def test_inACall(self):
        """
        Each error fails the call, and takes the connection with it or leaves it.
        """
        server = self.scripted()
        store = await self.opened(server.address)
        for said, (verdict, word) in SAID.items():
            if verdict not in {GONE, STAYS}:
                continue
            await self.until(lambda: store.delete(b"x"))
            before = server.count
            server.answers["GETRANGE"] = server.answers["EVALSHA"] = (
                f"-{said}\r\n".encode()
            )
            error = await self.fails(store.load(b"x", self.now), StoreUnavailable)
            self.assertIn(word, str(error))
            isOpen = store._calls.client.connection is not None and (
                not store._calls.client.connection.reason
            )
            self.assertEqual(isOpen, verdict is STAYS, said)
            server.answers["EVALSHA"] = b":0\r\n"
            await self.until(lambda: store.delete(b"x"))
            self.assertEqual(server.count - before, int(verdict is GONE), said)

    @steps
    async def test_whileGreeting(self):
        """
        A server that is not ready is not used; one that is only shy is.
        """
        for command in ("SELECT", "ROLE", "SCRIPT", "INFO", "HELLO"):
            for said in ("LOADING wait", "MASTERDOWN no link", "NOAUTH who"):
                server = self.scripted(**{command: f"-{said}\r\n".encode()})
                store = self.store(server.address)
                await self.fails(store.open(), StoreUnavailable)
        for command in ("ROLE", "SCRIPT", "INFO", "CLIENT", "CONFIG"):
            server = self.scripted(**{command: b"-NOPERM you may not\r\n"})
            await self.opened(server.address)

    @steps
    async def test_forgottenForEver(self):
        """
        A server that knows no script although it was sent is asked once more, not
        for ever.
        """
        server = self.scripted(
            EVALSHA=b"-NOSCRIPT none\r\n", EVAL=b"-NOSCRIPT none\r\n"
        )
        store = await self.opened(server.address)
        record = self.record()
        for call in (
            lambda: store.delete(b"x"),
            lambda: store.load(b"x", self.now),
            lambda: store.insert(record, self.now),
            lambda: store.replace(record, 1, self.now),
            lambda: store.touch(b"x", self.now, self.now, self.now),
        ):
            error = await self.fails(call(), StoreUnavailable)
            self.assertIn("forgotten", str(error))

    @steps
    async def test_cancelledIsNotSentAgain(self):
        """
        Who has cancelled a write does not want it sent once more, because the server
        had forgotten the script.
        """
        server = self.scripted(EVALSHA=b"-NOSCRIPT none\r\n", EVAL=b":1\r\n")
        store = await self.opened(server.address)
        record = self.record()
        await store.replace(record, 1, self.now)
        self.assertEqual(server.asked.count(b"EVAL"), 1)
        for call in (
            store.replace(record, 1, self.now),
            store.load(record.key, self.now),
        ):
            call.cancel()
            await self.fails(call, CancelledError)
        self.assertIsNone(await store.replace(record, 1, self.now))
        self.assertEqual(server.asked.count(b"EVALSHA"), 4)
        self.assertEqual(server.asked.count(b"EVAL"), 2)
