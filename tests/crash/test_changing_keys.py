"""
Tests that keys can be changed with no logout and no downtime, by the documented steps,
on three servers under load.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import time

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.fleet import CLIENTS, Fleet, load
from tests.crash.kinds import KINDS
from tests.crash.nursery import PATIENCE, environment
from tests.crash.visiting import ask
from txsessions.core.keyfile import readKeyFile
from txsessions.keys import main

SERVERS = 3
"""How many processes there are."""

SLEEPERS = 5
"""How many sessions are not used meanwhile."""


class ChangeCase(SynchronousTestCase):
    """
    Three servers with one key file.
    """

    def serve(self, kind):
        """
        Start them on a kind of store.
        """
        self.kind = KINDS[kind](self)
        self.keys, self.address = self.kind.place.keys, self.kind.place.address
        self.fleet = Fleet(self, self.kind.folder, SERVERS, **self.kind.options)

    def step(self, name, *more):
        """
        Take a step that needs no store.
        """
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(main([name, *more]), 0)

    def run_(self, name, *more, status=0):
        """
        Run the command as operators do.

        @return: What it said.
        """
        done = subprocess.run(
            [sys.executable, "-m", "txsessions.keys", name, *more],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stdout)
        return done.stdout

    def active(self):
        """
        The id of the key that seals.
        """
        return readKeyFile(self.keys).active.id

    def sealedUnder(self, keyId):
        """
        The keys of the records that a key has sealed.
        """
        payloads = self.kind.payloads()
        return {key for key, payload in payloads.items() if payload[1:9] == keyId}

    def until(self, condition):
        """
        Wait for what the clients will bring about.
        """
        end = time.monotonic() + PATIENCE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.02)

    def ask(self, number, path, uid=None):
        """
        Ask a server.
        """
        answer = ask(self.fleet.servers[number % SERVERS].port, path, uid)
        self.assertEqual(answer.status, 200)
        return answer


class StepsCase(ChangeCase):
    """
    A case that takes the documented steps.
    """

    def change(self, kind, count=CLIENTS):
        """
        Nobody notices anything but the restarts themselves; what was sealed before
        is read, and sealed anew when it changes; all that is new is under the new
        key; the old one is not dropped while there is anything under it.
        """
        self.serve(kind)
        old = self.active()
        sleepers = [self.ask(n, "count").uid for n in range(SLEEPERS)]
        with load(self.fleet, count) as clients:
            self.until(lambda: all(client.answered for client in clients))
            self.step("add", self.keys)
            self.fleet.restart()
            self.assertEqual(self.active(), old)
            self.step("promote", self.keys)
            new = self.active()
            self.assertNotEqual(new, old)
            self.fleet.restart()
            self.checkNew(new)
            self.until(lambda: len(self.sealedUnder(old)) == SLEEPERS)
            if kind == "sqlite":
                said = self.run_("retire", self.address, self.keys, status=1)
                self.assertIn(f"{SLEEPERS} records are under", said)
            self.checkSleepers(sleepers, old)
            if kind == "sqlite":
                said = self.run_("count", self.address, self.keys)
                self.assertIn(f"{old.hex()} old 0\n", said)
            self.run_("retire", self.address, self.keys)
            self.fleet.restart()
            before = [client.answered for client in clients]
            self.until(
                lambda: all(
                    client.answered > count + SERVERS
                    for client, count in zip(clients, before, strict=True)
                )
            )
        self.assertEqual([fault for client in clients for fault in client.faults], [])
        self.assertGreater(sum(client.answered for client in clients), 100)
        said = self.fleet.servers[0].said
        self.assertNotIn("Traceback", said)
        self.assertNotIn("is not in the key file", said)

    def checkNew(self, keyId):
        """
        What any server makes now is under this key.
        """
        before = set(self.kind.payloads())
        for number in range(2 * SERVERS):
            self.ask(number, "count")
        made = set(self.kind.payloads()) - before
        self.assertGreaterEqual(len(made), 2 * SERVERS)
        self.assertEqual(made & self.sealedUnder(keyId), made)

    def checkSleepers(self, uids, old):
        """
        Who was away is known, and what is under the old key comes under the new one
        by a change, not by a look.
        """
        for number, uid in enumerate(uids):
            left = len(self.sealedUnder(old))
            told = self.ask(number, "look", uid).told
            self.assertEqual((told["count"], told["isNew"]), (1, False))
            self.assertEqual(len(self.sealedUnder(old)), left)
            self.assertEqual(self.ask(number + 1, "count", uid).told["count"], 2)
            self.assertEqual(len(self.sealedUnder(old)), left - 1)


class ChangeTests(StepsCase):
    """
    The documented steps; on servers they take long, and are in
    L{tests.crash.changing_keys_on_servers}.
    """

    def test_sqlite(self):
        """
        On SQLite.
        """
        self.change("sqlite")


class ShortcutTests(ChangeCase):
    """
    What goes wrong where steps are left out, which is how it is known that the tests
    above would notice.
    """

    def faults(self, *steps):
        """
        Take steps all at once, and restart the servers.

        @return: What clients met.
        """
        self.serve("sqlite")
        with load(self.fleet) as clients:
            self.until(lambda: all(client.answered for client in clients))
            for name, *more in steps:
                self.step(name, self.keys, *more)
            for number in range(SERVERS):
                self.fleet.restartOne(number)
                before = [client.answered for client in clients]
                self.until(
                    lambda before=before: any(
                        client.answered > count or client.faults
                        for client, count in zip(clients, before, strict=True)
                    )
                )
        return [fault for client in clients for fault in client.faults]

    def test_withoutNext(self):
        """
        Servers that do not know the key yet say 503 to those whose sessions others
        have sealed with it; nobody is logged out.
        """
        faults = self.faults(["add"], ["promote"])
        self.assertIn("refused by a server that runs", "".join(faults))
        self.assertNotIn("logged out", "".join(faults))

    def test_withoutWaiting(self):
        """
        Servers that do not know the old key any more say 503 to all whose sessions
        have not changed since; nobody is logged out.
        """
        faults = self.faults(["add"], ["promote"], ["retire", "--without-counting"])
        self.assertIn("refused by a server that runs", "".join(faults))
        self.assertNotIn("logged out", "".join(faults))

    def test_revoked(self):
        """
        A key that is revoked ends what it has sealed.
        """
        self.serve("sqlite")
        uid = self.ask(0, "count").uid
        old = self.active()
        self.step("add", self.keys)
        self.step("promote", self.keys)
        self.step("revoke", self.keys, old.hex(), "--end-sessions")
        self.fleet.restart()
        told = self.ask(0, "look", uid).told
        self.assertEqual((told["isNew"], told["count"]), (True, 0))
