"""
Tests of a process that forks while it serves.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.crash.nursery import Database, makeFolder, startServer
from tests.crash.visiting import ask


class ForkTests(SynchronousTestCase):
    """
    The child of a fork has its parent's memory and not its connections.
    """

    def test_refused(self):
        """
        In the child everything that needs the store is refused and says why; the
        parent, and its database, are none the worse.
        """
        folder = makeFolder(self)
        server = startServer(self, folder)
        uid = ask(server.port, "count").uid
        for number in range(3):
            told = ask(server.port, "fork", uid).told
            self.assertEqual(told.pop("changes"), ["NoneType", "None"])
            self.assertEqual(told.pop("loadSession")[0], "SessionUnavailable")
            self.assertEqual(
                set(told), {"load", "delete", "countSessions", "scan", "save"}
            )
            for name, (kind, said) in told.items():
                self.assertEqual(kind, "StoreUnavailable", name)
                self.assertIn("was opened before this process was forked", said)
                self.assertIn("open stores after the fork", said)
            answer = ask(server.port, "count", uid)
            self.assertEqual(answer.told["count"], number + 2)
        database = Database(folder)
        self.assertEqual((database.integrity(), database.living()), ("ok", 1))
