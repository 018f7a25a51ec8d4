"""
Tests that nothing acknowledged is lost, whatever ends the process.

L{tests.crash.rounds} has what a round is.  The environment variable
C{TXSESSIONS_KILLS} says how many there are of each kind.
"""

from __future__ import annotations

import os
import signal
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.kinds import KINDS
from tests.crash.nursery import makeFolder, startServer
from tests.crash.rounds import Rounds
from tests.crash.visiting import Broken, Connection, ask

KILLS = int(os.environ.get("TXSESSIONS_KILLS", "20"))
"""How often a server is killed."""

ENDINGS = max(5, KILLS // 4)
"""How often a server is asked to end."""

SHARE = max(3, KILLS // 4)
"""How often one is killed that has its sessions elsewhere."""


class RoundTests(SynchronousTestCase):
    """
    The end at a moment of chance, under load.
    """

    def run_(self, times, how, kind="sqlite", **options):
        """
        Run rounds.

        @return: What was counted.
        """
        rounds = Rounds(self, KINDS[kind](self), **options)
        rounds.run(times, how)
        return rounds.tally

    def test_killedFull(self):
        """
        C{kill -9}, every commit synced: what was acknowledged is there, never half,
        and what was dead stays dead.
        """
        tally = self.run_(KILLS, signal.SIGKILL)
        self.assertEqual(tally.faults, [])
        self.assertGreater(tally.acknowledged, KILLS * 2)
        self.assertGreater(tally.cut, KILLS / 2)

    def test_killedNormal(self):
        """
        So it is where commits are not synced: the end of a process is no power cut.
        """
        tally = self.run_(KILLS, signal.SIGKILL, "sqlite-normal")
        self.assertEqual(tally.faults, [])
        self.assertGreater(tally.acknowledged, KILLS * 2)
        self.assertGreater(tally.cut, KILLS / 2)

    def test_killedOnServers(self):
        """
        So it is where the sessions are on a server: what a process had sent is done
        or not, and what was acknowledged was done.
        """
        for kind in ("redis", "postgresql"):
            tally = self.run_(SHARE, signal.SIGKILL, kind)
            self.assertEqual(tally.faults, [])
            self.assertGreater(tally.acknowledged, SHARE * 2)
            self.assertGreater(tally.cut, SHARE / 2)

    def test_terminated(self):
        """
        C{SIGTERM}: nothing is lost either, and the process ends by itself.
        """
        halves = {"sqlite": ENDINGS - ENDINGS // 2, "sqlite-normal": ENDINGS // 2}
        for kind, times in halves.items():
            tally = self.run_(times, signal.SIGTERM, kind)
            self.assertEqual(tally.faults, [])
            self.assertGreater(tally.acknowledged, times * 2)

    def test_liar(self):
        """
        A store that acknowledges before it writes is caught by the same rounds.
        """
        tally = self.run_(5, signal.SIGKILL, store="lying")
        self.assertTrue(
            any("a look; cut off" in fault for fault in tally.faults), tally.faults
        )


class BetweenTests:
    """
    The end at the worst moments: just before a commit, and between the commit and
    the reply.

    @cvar kind: Where the sessions are, one of L{KINDS}.
    @cvar ways: To a new id.
    """

    kind = ""
    ways = ("login",)

    def setUp(self):
        """
        Start what keeps the sessions.
        """
        self.place = KINDS[self.kind](self)

    def start(self, **how):
        """
        Start a server.
        """
        return startServer(self, self.place.folder, **how, **self.place.options)

    def die(self, do, when):
        """
        Have a server die while a visitor who has counted once asks for something,
        and start it again.

        @return: What the new server says to the visitor's id, how many sessions
            there are, and a function that asks it for more.
        """
        server = self.start(store="mortal")
        first = ask(server.port, "count").uid
        others = len(self.place.payloads()) - 1
        uid = ask(server.port, "login?name=me", first).uid
        self.assertRaises(
            Broken, ask, server.port, f"dying?do={do}&when={when}&name=you", uid
        )
        self.assertEqual(server.wait(), -signal.SIGKILL)
        port = self.start().port
        answer = ask(port, "look", uid)
        self.assertEqual(answer.status, 200)
        self.assertIsNone(answer.uid)
        self.assertEqual(answer.told["count"], answer.told["twin"])
        found = answer.told["isNew"], answer.told["count"], answer.told["user"]
        return found, len(self.place.payloads()) - others, partial(ask, port)

    def test_rotation(self):
        """
        The old id is as it was, or dead; never are there two that are valid.  Where
        it is dead nobody knows the new one, and the visitor can sign in again.
        """
        for do in self.ways:
            found, living, _ = self.die(do, "before")
            self.assertEqual((found, living), ((False, 1, "me"), 1))
            found, living, again = self.die(do, "after")
            self.assertEqual((found, living), ((True, 0, ""), 1))
            first = again("count")
            second = again("login?name=me", first.uid)
            self.assertTrue(again("look", first.uid).told["isNew"])
            told = again("look", second.uid).told
            self.assertEqual((told["count"], told["user"]), (1, "me"))


class SQLiteBetweenTests(BetweenTests, SynchronousTestCase):
    """
    On SQLite.
    """

    kind = "sqlite"
    ways = ("rotate", "login")

    def test_count(self):
        """
        Who tries again sees what was committed, and what was not is as it was.
        """
        found, living, _ = self.die("count", "before")
        self.assertEqual((found, living), ((False, 1, "me"), 1))
        found, living, _ = self.die("count", "after")
        self.assertEqual((found, living), ((False, 2, "me"), 1))

    def test_logout(self):
        """
        A logout is done or not.
        """
        found, living, _ = self.die("logout", "before")
        self.assertEqual((found, living), ((False, 1, "me"), 1))
        found, living, _ = self.die("logout", "after")
        self.assertEqual((found, living), ((True, 0, ""), 0))


class RedisBetweenTests(BetweenTests, SynchronousTestCase):
    """
    On Valkey.
    """

    kind = "redis"


class PostgreSQLBetweenTests(BetweenTests, SynchronousTestCase):
    """
    On PostgreSQL.
    """

    kind = "postgresql"


class EndTests(SynchronousTestCase):
    """
    The end that was asked for.
    """

    def test_changedLater(self):
        """
        What was changed after a response, and saved by nobody, is saved at the end.
        """
        folder = makeFolder(self)
        server = startServer(self, folder)
        uid = ask(server.port, "count").uid
        ask(server.port, "later", uid)
        self.assertEqual(server.end(signal.SIGTERM), 0)
        server = startServer(self, folder)
        self.assertEqual(ask(server.port, "look", uid).told["count"], 2)

    def test_answering(self):
        """
        A response that is still being made when the end begins is no reason to lose
        what its session holds already.
        """
        folder = makeFolder(self)
        server = startServer(self, folder)
        uid = ask(server.port, "count").uid
        connection = Connection(server.port)
        connection.send(("slow?seconds=30&count=first", uid))
        # The one is being answered when the other is.
        self.assertEqual(ask(server.port, "look", uid).told["count"], 2)
        self.assertEqual(server.end(signal.SIGTERM), 0)
        self.assertRaises(Broken, connection.receive)
        connection.close()
        server = startServer(self, folder)
        self.assertEqual(ask(server.port, "look", uid).told["count"], 2)
