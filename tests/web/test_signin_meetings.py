"""
Sign-ins that meet other requests of the same session: one that somebody else may have
sent, who knows the old id, and one that the same form sent twice.
"""

from __future__ import annotations

from tests.web.pages import OUTAGE
from tests.web.signing import SignInCase
from txsessions.errors import SessionGone


class PendingTests(SignInCase):
    """
    A request that came with the old id and still waits when somebody signs in.
    """

    def pending(self, keep="yes"):
        """
        Have an attacker wait with an id that he put into a victim's browser, and the
        victim sign in.

        @return: The attacker's client, request and session, and the victim.
        """
        attacker = self.visitor()
        attacker.send("/wait")
        victim = self.twin(attacker)
        self.assertTrue(victim.fetch(f"/in?keep={keep}").sets)
        request, session = self.waiting.pop()
        return attacker, request, session, victim

    def checkVictim(self, victim, count):
        """
        The victim is signed in still, and nobody has the cookie.
        """
        self.assertEqual(self.seen(victim), b"ann 1 %d" % count)

    def test_sees(self):
        """
        What it asks for is an empty session without a cookie, also after more than a
        minute: the cookie of the sign-in is not overwritten.
        """
        for keep in ("yes", "no"):
            for seconds in (0, 50, 100):
                attacker, request, session, victim = self.pending(keep)
                self.clock.advance(seconds)
                self.assertIsNot(request.getSession(), session)
                self.assertIsNone(request.getSession().principal)
                request.getSession()["count"] = 7
                self.finish(request, b"seen")
                self.assertIsNone(attacker.answer().cookie)
                self.checkVictim(victim, keep == "yes")
        self.assertEqual(self.stored(), 6)

    def test_rotates(self):
        """
        It can give the session no other id, and is told so.
        """
        for keep in ("yes", "no"):
            attacker, request, session, victim = self.pending(keep)
            self.failureResultOf(session.rotate(request), SessionGone)
            self.finish(request, b"late")
            self.assertIsNone(attacker.answer().cookie)
            self.checkVictim(victim, keep == "yes")

    def test_signsIn(self):
        """
        Who signs in by it does so on a session of his own, whether it is called by
        the old object or by the one that is there now.
        """
        for keep in ("yes", "no"):
            for ask in (False, True):
                attacker, request, session, victim = self.pending(keep)
                subject = session
                if ask:
                    subject = request.getSession()
                    subject["count"] = 5
                self.successResultOf(subject.login(request, "eve"))
                own = request.getSession()
                self.assertIsNot(own, session)
                self.assertEqual(own.principal, "eve")
                self.successResultOf(own.login(request, "eve", level=2))
                self.assertIs(request.getSession(), own)
                self.finish(request, b"late")
                answer = attacker.answer()
                self.assertTrue(answer.sets)
                told = b"eve 2 5" if ask else b"eve 2 0"
                self.assertEqual(self.seen(attacker), told)
                self.checkVictim(victim, keep == "yes")
                self.assertNotEqual(attacker.sent(), victim.sent())

    def test_afterRotation(self):
        """
        The same where the victim was signed in by C{rotate}, as programs did before
        there was more: only one request hands out the new id.
        """

        def page(request):
            session = request.getSession()
            session["count"] = 9
            session.rotate(request)
            return b""

        self.page(page)
        for signIn in (False, True):
            for ends in (False, True):
                attacker = self.visitor()
                attacker.send("/wait")
                victim = self.twin(attacker)
                victim.fetch("/page")
                request, session = self.waiting.pop()
                if ends:
                    victim.fetch("/out")
                    session = request.getSession()
                    session["count"] = 4
                if signIn:
                    self.successResultOf(session.login(request, "eve"))
                    own = request.getSession()
                    self.assertEqual(own is session, ends)
                    self.successResultOf(own.login(request, "eve", level=2))
                    self.assertIs(request.getSession(), own)
                elif not ends:
                    self.failureResultOf(session.rotate(request), SessionGone)
                self.finish(request, b"late")
                self.assertEqual(attacker.answer().sets, signIn)
                kept = b"nobody 0 0" if ends else b"nobody 0 9"
                self.assertEqual(self.seen(victim), kept)
                told = b"eve 2 %d" % (4 * ends) if signIn else b"nobody 0 0"
                self.assertEqual(self.seen(attacker), told)

    def test_cannotBeKept(self):
        """
        What it had changed in the session that is another's now cannot be kept: it is
        told so, and nobody is signed in.
        """
        self.page(lambda request: request.getSession().rotate(request) and b"")
        self.expects500 = True
        attacker = self.visitor()
        attacker.send("/wait")
        victim = self.twin(attacker)
        victim.fetch("/page")
        request, session = self.waiting.pop()
        session["large"] = "x" * 100_000
        self.failureResultOf(session.login(request, "eve"), SessionGone)
        self.assertEqual(attacker.answer().code, 500)
        self.assertEqual(self.seen(victim), b"nobody 0 1")
        self.assertEqual(self.stored(), 1)

    def test_changeIsSaved(self):
        """
        What it had changed before is saved before it is answered, as what anybody
        was shown.
        """
        client = self.visitor()
        client.send("/wait")
        twin = self.twin(client)
        request, session = self.waiting.pop()
        session["count"] = 5
        self.store.hold()
        twin.send("/in")
        self.finish(request, b"changed")
        self.assertTrue(client.silent)
        self.store.pass_()
        self.assertIsNone(client.answer().cookie)
        twin.answer()
        self.assertEqual(self.seen(twin), b"ann 1 5")

    def test_failsTogether(self):
        """
        If that fails, so does its answer.
        """
        client = self.visitor()
        client.send("/wait")
        twin = self.twin(client)
        request, session = self.waiting.pop()
        session["large"] = "x" * 100_000
        self.expects500 = True
        self.assertIn(twin.fetch("/in").code, {500, 503})
        self.finish(request, b"changed")
        answer = client.answer()
        self.assertIn(answer.code, {500, 503})
        self.assertNotIn(b"changed", answer.body)
        self.assertEqual(self.seen(client), b"nobody 0 1")

    def test_logsOut(self):
        """
        Who logs out by the old id ends the session that it has become.
        """
        for ask in (False, True):
            client, request, session, victim = self.pending()
            subject = request.getSession() if ask else session
            self.store.hold()
            done = subject.logout(request)
            self.assertNoResult(done)
            self.assertEqual(self.store.names(), ["delete"])
            self.finish(request, b"out")
            self.assertTrue(client.silent)
            self.store.pass_()
            self.successResultOf(done)
            self.assertTrue(client.answer().deletes)
            self.assertEqual(self.seen(victim), b"nobody 0 0")
        self.assertEqual(self.stored(), 0)

    def test_logsOutElsewhere(self):
        """
        So it is in another process, whether it knows yet that the id was rotated away
        or not.
        """
        there = self.serveElsewhere(self.root)
        for keep in ("yes", "no"):
            for knows in (False, True):
                client = self.visitor()
                late = self.twin(client, there)
                late.send("/wait")
                request, session = self.waiting.pop()
                client.fetch(f"/in?keep={keep}")
                if knows:
                    self.seen(self.twin(late, there))
                    session = request.getSession()
                self.successResultOf(session.logout(request))
                self.finish(request, b"out")
                self.assertTrue(late.answer().deletes)
                self.assertEqual(self.stored(), 0)
                self.assertEqual(self.seen(client), b"nobody 0 0")


class TwiceTests(SignInCase):
    """
    A form that is sent twice, and is dealt with for a while.
    """

    def both(self, client, there=None, **how):
        """
        Send a form twice, and sign in when both have come.

        @return: For each the client, the request, and the session.
        """
        found = []
        for site in (self.site, there or self.site):
            twin = self.twin(client, site)
            twin.send("/wait")
            found.append((twin, *self.waiting.pop()))
        return found

    def checkLive(self, *clients, told=b"ann 1 "):
        """
        Whichever answer a browser hears last, it has a live cookie.
        """
        self.assertNotEqual(clients[0].sent(), clients[1].sent())
        for client in clients:
            self.assertTrue(self.seen(client).startswith(told))

    def test_first(self):
        """
        Both sign-ins succeed, in one process and in two, and each has its own
        session; what the visitor had is in that of the first.
        """
        there = self.serveElsewhere(self.root)
        for other in (None, there):
            both = self.both(self.visitor(), other)
            for _, request, session in both:
                self.successResultOf(session.login(request, "ann"))
                self.assertEqual(request.getSession().principal, "ann")
                self.finish(request, b"in")
            clients = [client for client, *_ in both]
            for client in clients:
                self.assertEqual(len(client.answer().all("set-cookie")), 1)
            self.checkLive(*clients)
            self.assertEqual(self.seen(clients[0]), b"ann 1 1")
            self.assertEqual(self.seen(clients[1]), b"ann 1 0")

    def test_atOnce(self):
        """
        The same in two processes, where the store refuses the second while its reply
        is held.
        """
        there = self.serveElsewhere(self.root)
        for keep in (None, False):
            both = self.both(self.visitor(), there)
            there.slow.hold("rename")
            (one, first, mine), (two, second, its) = both
            late = its.login(second, "ann", keep=keep)
            self.finish(second, b"in")
            self.assertTrue(two.silent)
            self.successResultOf(mine.login(first, "ann", keep=keep))
            self.finish(first, b"in")
            there.slow.pass_()
            self.successResultOf(late)
            answer = two.answer()
            self.assertEqual(answer.body, b"in")
            self.assertEqual(len(answer.all("set-cookie")), 1)
            one.answer()
            self.checkLive(one, two)

    def test_itsSessionFails(self):
        """
        If the session of its own cannot be saved, that is a 503 without a cookie.
        """
        there = self.serveElsewhere(self.root)
        (one, first, mine), (two, second, its) = self.both(self.visitor(), there)
        there.slow.hold()
        its.login(second, "ann")
        self.finish(second, b"in")
        mine.login(first, "ann")
        self.finish(first, b"in")
        one.answer()
        there.slow.release()
        self.assertEqual(there.slow.names(), ["insert"])
        there.slow.fail(OUTAGE)
        there.slow.pass_()
        self.assertEqual(two.answer().code, 503)

    def test_leavesMeanwhile(self):
        """
        If the client has left by then, nobody is signed in for it.
        """
        there = self.serveElsewhere(self.root)
        (one, first, mine), (two, second, its) = self.both(self.visitor(), there)
        there.slow.hold("rename")
        late = its.login(second, "ann")
        self.finish(second, b"in")
        mine.login(first, "ann")
        self.finish(first, b"in")
        one.answer()
        two.leave()
        there.slow.pass_()
        self.failureResultOf(late, SessionGone)
        self.assertEqual(self.stored(), 1)

    def test_again(self):
        """
        Who is signed in and proves it once more, twice at once: both succeed in one
        process.  In two the one that is late is told that its session is gone, since
        its process cannot know whether that was a logout.
        """
        there = self.serveElsewhere(self.root)
        for other in (None, there):
            both = self.both(self.visitor("/count", "/in"), other)
            (one, first, mine), (two, second, its) = both
            self.successResultOf(mine.login(first, "ann", level=2))
            late = its.login(second, "ann", level=2)
            self.finish(first, b"in")
            self.finish(second, b"in")
            if other is None:
                self.successResultOf(late)
            else:
                self.failureResultOf(late, SessionGone)
            one.answer()
            self.assertEqual(two.answer().sets, other is None)
            self.assertEqual(self.seen(one), b"ann 2 1")

    def test_others(self):
        """
        Two people who sign in on one browser at once: neither has anything of the
        other.
        """
        there = self.serveElsewhere(self.root)
        for other in (None, there):
            (one, first, mine), (two, second, its) = self.both(self.visitor(), other)
            self.successResultOf(mine.login(first, "ann"))
            self.successResultOf(its.login(second, "bob"))
            first.getSession()["count"] = 10
            second.getSession()["count"] = 20
            self.finish(first, b"in")
            self.finish(second, b"in")
            one.answer()
            two.answer()
            self.assertEqual(self.seen(one), b"ann 1 10")
            self.assertEqual(self.seen(two), b"bob 1 20")

    def test_logout(self):
        """
        A logout wins over a second factor that is under way, in whichever process,
        and whichever object it is called by; what it logged out does not come back
        by a sign-in from the beginning either.
        """
        there = self.serveElsewhere(self.root)
        for site in (self.site, there):
            for ask in (False, True):
                for who, told in (("ann", b"nobody 0 0"), ("bob", b"bob 2 0")):
                    client = self.visitor("/count", "/in")
                    client.send("/wait")
                    request, session = self.waiting.pop()
                    self.assertTrue(self.twin(client, site).fetch("/out").deletes)
                    if ask and site is self.site:
                        session = request.getSession()
                    done = session.login(request, who, level=2)
                    if who == "ann":
                        self.failureResultOf(done, SessionGone)
                    else:
                        self.successResultOf(done)
                    self.finish(request, b"in")
                    self.assertEqual(client.answer().sets, who == "bob")
                    self.assertEqual(self.seen(client), told)

    def test_logoutBefore(self):
        """
        A visitor who was nobody, whose session ends elsewhere before he signs in,
        does so on another one.
        """
        there = self.serveElsewhere(self.root)
        for site in (self.site, there):
            client = self.visitor()
            client.send("/wait")
            request, session = self.waiting.pop()
            self.twin(client, site).fetch("/out")
            self.successResultOf(session.login(request, "ann"))
            self.finish(request, b"in")
            self.assertTrue(client.answer().sets)
            self.assertEqual(self.seen(client), b"ann 1 0")

    def test_logoutBetween(self):
        """
        Of a form that was sent twice, the second is dealt with after the first has
        signed in and somebody has logged out again: it is a sign-in like any other.
        """
        (one, first, mine), (two, second, its) = self.both(self.visitor())
        mine.login(first, "ann")
        self.finish(first, b"in")
        one.answer()
        one.fetch("/out")
        self.successResultOf(its.login(second, "ann"))
        self.finish(second, b"in")
        self.assertTrue(two.answer().sets)
        self.assertEqual(self.seen(two), b"ann 1 0")

    def again(self):
        """
        Somebody signed in who proves it once more, twice at once, of which one is
        dealt with.
        """
        (one, first, mine), *second = self.both(self.visitor("/count", "/in"))
        self.successResultOf(mine.login(first, "ann", level=2))
        self.finish(first, b"in")
        one.answer()
        return one, *second[0]

    def test_logoutAfterAnother(self):
        """
        A second factor that another has overtaken does not undo a logout either.
        """
        for ask in (False, True):
            one, two, second, its = self.again()
            one.fetch("/out")
            session = second.getSession() if ask else its
            self.failureResultOf(session.login(second, "ann", level=2), SessionGone)
            self.finish(second, b"in")
            self.assertFalse(two.answer().sets)
            self.assertEqual(self.stored(), 0)

    def test_logoutThenSteps(self):
        """
        One that has a session of its own by then goes on with that.
        """
        one, two, second, its = self.again()
        self.successResultOf(its.login(second, "ann", level=2))
        one.fetch("/out")
        self.successResultOf(second.getSession().login(second, "ann", level=3))
        self.finish(second, b"in")
        self.assertTrue(two.answer().sets)
        self.assertEqual(self.seen(two), b"ann 3 0")

    def test_logoutAndThrownAway(self):
        """
        What a logout of another request has ended does not come back by way of a new
        session that this one ends itself.
        """
        client = self.visitor("/count", "/in")
        client.send("/wait")
        request, _ = self.waiting.pop()
        self.twin(client).fetch("/out")
        request.getSession().expire()
        done = request.getSession().login(request, "ann", level=2)
        self.failureResultOf(done, SessionGone)
        self.finish(request, b"in")
        self.assertFalse(client.answer().sets)

    def test_switched(self):
        """
        Nor does a second factor count where somebody else has signed in on the
        session meanwhile, and kept what is in it.
        """
        both = self.both(self.visitor("/count", "/in"))
        (one, first, mine), (two, second, its) = both
        self.successResultOf(mine.login(first, "bob", keep=True))
        self.finish(first, b"in")
        one.answer()
        self.failureResultOf(its.login(second, "ann", level=2), SessionGone)
        self.finish(second, b"in")
        self.assertFalse(two.answer().sets)
        self.assertEqual(self.seen(one), b"bob 1 1")

    def test_ownLogout(self):
        """
        A request that signs somebody in and out again has signed him out, also where
        the store refuses the sign-in in between.
        """
        there = self.serveElsewhere(self.root)
        for early in (True, False):
            both = self.both(self.visitor(), there)
            (one, first, mine), (two, second, its) = both
            there.slow.hold("rename")
            its.login(second, "ann")
            its.logout(second)
            if early:
                self.finish(second, b"out")
            mine.login(first, "ann")
            self.finish(first, b"in")
            there.slow.pass_()
            if not early:
                self.finish(second, b"out")
            self.assertTrue(two.answer().deletes)
            one.answer()
            self.assertEqual(self.seen(one), b"nobody 0 0")
            self.assertEqual(self.seen(two), b"nobody 0 0")
            self.assertEqual(self.stored(), 0)
