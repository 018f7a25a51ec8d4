"""
Tests of L{txsessions.auth._leaving}: what hangs keeps no request whose client has left.
"""

from __future__ import annotations

import gc
import weakref

from twisted.cred.checkers import AllowAnonymousAccess
from twisted.internet.defer import Deferred

from tests.auth.guarding import LoginCase
from txsessions.auth import SessionGuard, Throttle


class Watching(SessionGuard):
    """
    A guard that knows which of its requests are there yet.
    """

    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.requests = weakref.WeakSet()

    def getChildWithDefault(self, name, request):
        """
        See C{IResource.getChildWithDefault}.
        """
        self.requests.add(request)
        return super().getChildWithDefault(name, request)


class LeavingTests(LoginCase):
    """
    Clients that leave what hangs.
    """

    def begin(self, **how):
        """
        See L{LoginCase.begin}.
        """
        self.guard = Watching(self.portal, **how)
        self.serve(self.guard)

    def left(self, client):
        """
        Have a client leave, and see that nothing of its request stays.
        """
        gc.collect()
        self.assertEqual(len(self.guard.requests), 1)
        client.leave()
        # Its connection knows it, as long as anybody knows that.
        self.clients.remove(client)
        vars(client).clear()
        gc.collect()
        self.assertEqual(list(self.guard.requests), [])

    def test_realm(self):
        """
        A realm that hangs, for somebody who is signed in; there is one question, and
        its answer is let go with the session, as ever.
        """
        self.begin()
        client = self.signedIn()
        self.clock.pump([30, 31])
        client.leave()
        home, self.realm.left = self.realm.answer, []
        answers = []
        self.realm.answer = lambda avatarId: answers.append(Deferred()) or answers[-1]
        for _ in range(3):
            other = self.client(jar=client.jar)
            other.send("/a")
            self.left(other)
        [avatar] = next(iter(self.site._live.companions.values())).values()
        self.assertEqual(avatar._waiting, [])
        [answer] = answers
        answer.callback(home(b"ann"))
        self.assertEqual(self.client(jar=client.jar).fetch("/a").body, b"ann at a")
        self.clock.pump([30, 31])
        self.assertEqual(self.realm.left, [b"ann"])

    def test_nobodys(self):
        """
        So it is where the avatar is nobody's.
        """
        self.portal.registerChecker(AllowAnonymousAccess())
        self.realm.answer = lambda avatarId: Deferred()
        self.begin()
        client = self.client()
        client.send("/a")
        self.left(client)

    def test_checker(self):
        """
        A checker that hangs.  What it says at last counts all the same: one who was
        right has guessed nothing, and the realm hears that nobody wants its avatar.
        """
        waiting = Deferred()
        self.asking(lambda: waiting, throttle=Throttle(perName=1))
        client = self.client()
        self.enter(client)
        self.left(client)
        self.assertEqual(self.signIn(self.client()).code, 429)
        waiting.callback(b"ann")
        self.assertEqual(self.realm.left, [b"ann"])
        self.asked.answer = None
        self.enter(self.client())
        self.assertEqual(len(self.asked.asked), 2)

    def test_check(self):
        """
        Nothing is lost by that to who stays.
        """
        waiting = Deferred()
        self.asking(lambda: waiting)
        client = self.client()
        self.enter(client)
        waiting.callback(b"ann")
        self.assertEqual(client.answer().code, 303)
        self.assertEqual(client.fetch("/a").body, b"ann at a")
        self.assertEqual(self.realm.left, [])
