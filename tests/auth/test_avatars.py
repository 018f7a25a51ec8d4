"""
Tests of L{txsessions.auth._avatars}: what becomes of one avatar.  How they are kept is
in L{tests.auth.test_guard_avatars}.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, Resource

from txsessions.auth._avatars import Avatar


class AvatarTests(SynchronousTestCase):
    """
    One avatar.
    """

    def setUp(self):
        """
        Ask for one.
        """
        self.asked = Deferred()
        self.avatar = Avatar("ann", self.asked)
        self.left = []
        self.found = IResource, Resource(), lambda: self.left.append("ann")

    def test_once(self):
        """
        Its logout is called once, however often it is let go.
        """
        self.asked.callback(self.found)
        self.assertIs(self.avatar.resource, self.found[1])
        self.avatar()
        self.avatar()
        self.assertEqual(self.left, ["ann"])
        self.assertIsNone(self.avatar.resource)

    def test_tooLate(self):
        """
        One that comes when nobody wants it is let go at once, and whoever waited hears
        that there was an answer.
        """
        ready = self.avatar.ready()
        self.avatar()
        self.assertNoResult(ready)
        self.asked.callback(self.found)
        self.successResultOf(ready)
        self.assertEqual(self.left, ["ann"])
        self.assertIsNone(self.avatar.resource)

    def test_none(self):
        """
        If there is none, all who waited hear why, and who comes later too.
        """
        waiting = [self.avatar.ready() for _ in range(2)]
        self.asked.errback(KeyError("ann"))
        for ready in (*waiting, self.avatar.ready()):
            self.failureResultOf(ready, KeyError)
