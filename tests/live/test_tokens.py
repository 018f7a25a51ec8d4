"""
Tests of L{txsessions.live.tokens}.
"""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.live.sites import LiveCase
from tests.live.test_additions import Request
from txsessions import Session
from txsessions.core.uid import mintUid
from txsessions.errors import SessionUnavailable
from txsessions.live import tokens


class TokenTests(LiveCase):
    """
    A session's tokens.
    """

    def assertGood(self, session, token, good=True):
        """
        See whether a token is one of the session's.
        """
        self.assertIs(tokens.isTokenOf(session, token.encode("ascii")), good)

    def test_readings(self):
        """
        Each reading is another one, and all are good.
        """
        session = self.site().makeSession()
        read = {session.csrfToken for _ in range(20)}
        self.assertEqual(len(read), 20)
        for token in read:
            self.assertGood(session, token)
        self.assertGood(self.site().makeSession(), read.pop(), good=False)

    def test_costsNothing(self):
        """
        Reading it writes nothing, and makes a new session worth keeping.
        """
        session = self.saved(self.site(), a=1)
        del self.store.calls[:]
        self.assertTrue(session.csrfToken)
        self.successResultOf(session.save())
        self.assertEqual(self.calls(), [])
        new = self.site().makeSession()
        self.assertTrue(new._isBare())
        self.assertTrue(new.csrfToken)
        self.assertFalse(new._isBare())

    def test_processes(self):
        """
        What one process shows, another one knows.
        """
        session = self.saved(self.site(), a=1)
        other = self.load(self.another(), session)
        self.assertGood(other, session.csrfToken)
        self.assertGood(session, other.csrfToken)

    def test_rotated(self):
        """
        A new uid makes the tokens void.
        """
        session = self.saved(self.site(), a=1)
        token = session.csrfToken
        self.successResultOf(session.rotate(Request()))
        self.assertGood(session, token, good=False)
        self.assertGood(session, session.csrfToken)

    def test_renewed(self):
        """
        Where the uid changes for its age alone, tokens stay good, in all processes
        and after that again, until the session is rotated.
        """
        site = self.site()
        session = self.saved(site, a=1)
        token = session.csrfToken
        for _ in range(2):
            tokens.keepSecret(session)
            self.successResultOf(site._live.rotate(session))
        self.assertGood(session, token)
        other = self.load(self.another(), session)
        self.assertGood(other, token)
        self.assertGood(other, session.csrfToken)
        self.successResultOf(session.rotate(Request()))
        self.assertGood(session, token, good=False)

    def test_withoutSite(self):
        """
        A session without a site has tokens too.
        """
        session = Session(None, mintUid(lambda size: bytes(range(size))), Clock())
        self.assertGood(session, session.csrfToken)

    def test_noChance(self):
        """
        Without chance there is no token, and no other source.
        """
        site = self.site()
        session = site.makeSession()

        def fail(size):
            raise OSError

        site._entropy = fail
        self.assertRaises(SessionUnavailable, lambda: session.csrfToken)
