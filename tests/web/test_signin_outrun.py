"""
Requests that were overtaken by a sign-in: what they get of it, which is nothing, and
what they can still end.
"""

from __future__ import annotations

from twisted.web.server import NOT_DONE_YET

from tests.web.pages import Page
from tests.web.test_principals import Heard, PrincipalCase
from txsessions.errors import SessionGone
from txsessions.live.events import EventKind


class OverTests(PrincipalCase):
    """
    A request that is over, of which something goes on in the background.
    """

    def over(self, *, leaves):
        """
        A request with an id on which somebody signs in afterwards.

        @param leaves: Whether its client leaves, or else it is answered.
        @return: It, and the client of who has signed in.
        """
        victim = self.visitor()
        other = self.twin(victim)
        other.send("/wait")
        request, _ = self.waiting[0]
        if leaves:
            other.leave()
        else:
            self.finish(request, b"x")
        victim.fetch("/in")
        return request, victim

    def test_asks(self):
        """
        It does not become the one who has signed in.
        """
        for leaves in (True, False):
            request, victim = self.over(leaves=leaves)
            self.waiting.clear()
            session = request.getSession()
            self.assertIsNone(session.principal)
            session["count"] = 7
            self.assertEqual(self.seen(victim), b"ann 1 1")

    def test_rotates(self):
        """
        Nor does it take the session away.
        """
        request, victim = self.over(leaves=True)
        done = request.getSession().rotate(request)
        self.failureResultOf(done, SessionGone)
        self.assertEqual(self.seen(victim), b"ann 1 1")

    def test_endsOthers(self):
        """
        One whose client has left gives up no id, since nobody is told the next one.
        """
        client = self.enter()
        client.send("/wait")
        request, session = self.waiting[0]
        client.leave()
        self.failureResultOf(session.endOthers(request), SessionGone)
        self.assertEqual(self.who(client), ["ann"])

    def test_transacts(self):
        """
        A change that waits for its turn on the old id does not get to see who has
        signed in.
        """
        victim, seen = self.visitor(), []
        other = self.twin(victim)
        other.send("/wait")
        request, session = self.waiting[0]
        session["a"] = 1
        self.store.hold("replace")
        session.save()
        session["a"] = 2
        done = self.site.transact(session.uid, lambda own: seen.append(own.principal))
        victim.send("/in")
        self.store.pass_()
        self.turn(200)
        self.failureResultOf(done, SessionGone)
        self.assertEqual(seen, [])
        self.finish(request)


class EndingTests(PrincipalCase):
    """
    What they can still end.
    """

    def meets(self, path, *, asks):
        """
        Who is signed in where a logout waits and something else comes before it.

        @param asks: Whether the page asks for the session once more.
        """
        client = self.enter()
        twin = self.twin(client)
        twin.send("/wait")
        request, session = self.waiting.pop()
        client.fetch(path)
        (request.getSession() if asks else session).logout(request)
        self.finish(request, b"out")
        self.assertTrue(twin.answer().deletes)
        return self.who(client)

    def test_logout(self):
        """
        A logout ends what the id has become, whether the state was kept or not.
        """
        for path in ("/in?level=2", "/in?level=2&keep=no"):
            for asks in (True, False):
                self.assertEqual(self.meets(path, asks=asks), ["nobody"], path)

    def test_endOthers(self):
        """
        Where another request was faster nobody is told that the others have ended.
        """
        other, client = self.enter(), self.enter()
        thief, requests = self.twin(client), []

        def page(request):
            request.getSession()
            requests.append(request)
            return NOT_DONE_YET

        def rotate(request):
            request.getSession().rotate(request)
            return b""

        self.page(page)
        self.root.putChild(b"rotate", Page(rotate))
        client.send("/page")
        thief.fetch("/rotate")
        done = requests[0].getSession().endOthers(requests[0])
        self.failureResultOf(done, SessionGone)
        requests[0].write(b"the others have ended")
        requests[0].finish()
        self.assertEqual(client.answer().code, 503)
        self.assertEqual(self.who(other), ["ann"])

    def test_told(self):
        """
        Two sign-ins in one request are told as what they were.
        """
        heard = Heard()
        self.site.addSessionListener(heard)

        def page(request):
            for who in ("ann", "bob"):
                request.getSession().login(request, who)
            return b""

        self.page(page)
        client = self.visitor()
        self.store.hold("rename")
        client.send("/page")
        self.store.pass_()
        client.answer()
        told = [e.principal for e in heard.events if e.kind is EventKind.SIGNED_IN]
        self.assertEqual(told, ["ann", "bob"])
