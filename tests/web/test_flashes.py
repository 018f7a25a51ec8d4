"""
Messages that survive a redirect, and are shown once.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web import server
from twisted.web.server import NOT_DONE_YET

from tests.web.again import AgainCase
from tests.web.pages import OUTAGE, change
from txsessions import Session


def page(request):
    """
    Leave a message and redirect, or show what waits and count.
    """
    session = request.getSession()
    if request.method == b"POST":
        session.flash("saved", "success")
        request.setResponseCode(303)
        request.setHeader(b"location", b"/shown")
        return b""
    change(request)
    return show(session)


def show(session):
    """
    Show what waits.
    """
    flashes = session.takeFlashes()
    shown = " ".join(f"{flash.level}:{flash.text}" for flash in flashes)
    return (shown or "nothing").encode()


class ShopSession(server.Session):
    """
    A class of the application's, with a method called as one of ours.
    """

    def flash(self):
        """
        Its own.
        """
        return "lightning"


class OneProcessTests(AgainCase):
    """
    Messages in one process.
    """

    def test_redirect(self):
        """
        A message is left before a redirect, and shown after it, once.
        """
        self.serve(page)
        client = self.client()
        answer = client.fetch(method="POST")
        self.assertEqual((answer.code, answer.get("location")), (303, "/shown"))
        self.assertEqual(client.fetch("/shown").body, b"success:saved")
        self.assertEqual(client.fetch("/shown").body, b"nothing")

    def test_restart(self):
        """
        It waits over a restart, and in the memory of a site without a store.
        """
        self.serve(page)
        client = self.client()
        client.fetch(method="POST")
        client = self.again(client, self.restart(page))
        self.assertEqual(client.fetch().body, b"success:saved")
        client = self.client(site=self.serve(page, store=None))
        client.fetch(method="POST")
        self.assertEqual(client.fetch().body, b"success:saved")
        self.assertEqual(client.fetch().body, b"nothing")

    def test_twoTabs(self):
        """
        Of two pages that are rendered at the same time, and whose answers wait for
        the same store, one shows it.
        """
        self.serve(page)
        client = self.client()
        client.fetch(method="POST")
        tabs = [self.client(jar=client.jar) for _ in range(4)]
        self.store.hold()
        for tab in tabs:
            tab.send()
        self.assertTrue(all(tab.silent for tab in tabs))
        self.store.pass_()
        shown = sorted(tab.answer().body for tab in tabs)
        self.assertEqual(shown, [b"nothing"] * 3 + [b"success:saved"])

    def test_slowTab(self):
        """
        A page that takes its time leaves it to a faster one.
        """
        waiting = []

        def slow(request):
            if request.path != b"/slow":
                return page(request)
            session = request.getSession()

            def answer(_):
                request.write(show(session))
                request.finish()

            waiting.append(Deferred().addCallback(answer))
            return NOT_DONE_YET

        self.serve(slow)
        client = self.client()
        client.fetch(method="POST")
        tab = self.client(jar=client.jar)
        tab.send("/slow")
        self.assertEqual(client.fetch().body, b"success:saved")
        waiting[0].callback(None)
        self.assertEqual(tab.answer().body, b"nothing")

    def test_outage(self):
        """
        If it cannot be saved that a message was taken, it was not shown, and waits.
        """
        self.serve(page)
        client = self.client()
        client.fetch(method="POST")
        self.store.hold()
        client.send()
        self.store.fail(OUTAGE)
        self.assertEqual(client.answer().code, 503)
        self.store.pass_()
        self.assertEqual(client.fetch().body, b"success:saved")

    def test_signedOut(self):
        """
        After a logout, the message belongs to the session that comes next.
        """

        def render(request):
            if request.path == b"/out":
                request.getSession().expire()
                request.getSession().flash("signed out")
                return b""
            return page(request)

        self.serve(render)
        client = self.client()
        client.fetch(method="POST")
        client.fetch("/out")
        self.assertEqual(client.fetch().body, b"info:signed out")

    def test_ownClass(self):
        """
        An application's class of sessions may have a name for itself; the rest is
        there, and is kept.
        """

        def render(request):
            session = request.getSession()
            if request.path == b"/own":
                return session.flash().encode()
            if request.method == b"POST":
                Session.flash(session, "saved")
                return b""
            return show(session)

        site = self.serve(render)
        site.sessionFactory = ShopSession
        client = self.client()
        client.fetch(method="POST")
        self.assertEqual(client.fetch("/own").body, b"lightning")
        site = self.restart(render)
        site.sessionFactory = ShopSession
        self.assertEqual(self.again(client, site).fetch().body, b"info:saved")

    def test_klein(self):
        """
        Klein's routes leave and show them.
        """
        from klein import Klein

        app = Klein()

        @app.route("/", methods=["POST"])
        def leave(request):
            request.getSession().flash("saved")
            request.redirect(b"/")

        @app.route("/", methods=["GET"])
        async def look(request):
            return show(request.getSession())

        self.serve(app.resource())
        client = self.client()
        client.fetch(method="POST")
        self.assertEqual(client.fetch().body, b"info:saved")
        self.assertEqual(client.fetch().body, b"nothing")


class TwoProcessesTests(AgainCase):
    """
    Messages that two processes take at the same moment.
    """

    def begin(self, render=page):
        """
        Let a message wait in two processes, that know the session.

        @return: The sites and their clients, which have one visitor.
        """
        self.here, self.there = self.serve(render), self.serveElsewhere(render)
        client = self.client(site=self.here)
        client.fetch(method="POST")
        return client, self.client(site=self.there, jar=client.jar)

    def letLoad(self, store, write="replace"):
        """
        Let a store that is held answer until it is to write.
        """
        while set(store.names()) != {write}:
            self.assertTrue(store.pending)
            store.release()

    def race(self, one, two, path="/", method="GET"):
        """
        Have both take it before the store has heard of either.

        @return: What the first one got, and the second.
        """
        self.store.hold()
        self.there.slow.hold()
        for client in (one, two):
            client.send(path, method)
        # Both load before either writes.
        self.letLoad(self.store)
        self.letLoad(self.there.slow)
        self.store.pass_()
        self.there.slow.pass_()
        self.turn(3)
        return one.answer(), two.answer()

    def test_race(self):
        """
        One page shows it; the other is asked for once more, and then does not.
        """
        one, two = self.begin()
        first, second = self.race(one, two, "/a/b?c=d&e")
        self.assertEqual(first.body, b"success:saved")
        self.assertEqual((second.code, second.body), (307, b""))
        self.assertEqual(second.get("location"), "./b?c=d&e")
        self.assertEqual(second.get("cache-control"), "no-store")
        self.assertEqual(second.get("vary"), "Cookie")
        self.assertEqual(second.all("set-cookie"), [])
        self.assertEqual(two.fetch("/a/b?c=d&e").body, b"nothing")
        self.assertEqual(one.fetch().body, b"nothing")

    def test_location(self):
        """
        The page is found again, whatever its path is like, and no other host.
        """
        for path, location in [
            ("/", "./"),
            ("/?", "./?"),
            ("/a/", "./"),
            ("//evil.example", "./evil.example"),
            ("//evil.example/x?//y", "./x?//y"),
            ("/javascript:x", "./javascript:x"),
        ]:
            _, second = self.race(*self.begin(), path)
            self.assertEqual(second.get("location"), location)

    def test_head(self):
        """
        C{HEAD} asks for the same page.
        """
        _, second = self.race(*self.begin(), method="HEAD")
        self.assertEqual(second.code, 307)

    def test_nothingLost(self):
        """
        What another process adds while all is taken here waits; the answer that
        showed only its own is not asked for again.
        """
        one, two = self.begin()
        self.store.hold()
        one.send()
        self.letLoad(self.store)
        self.assertEqual(two.fetch(method="POST").code, 303)
        self.store.pass_()
        self.assertEqual(one.answer().body, b"success:saved")
        self.assertEqual(two.fetch().body, b"success:saved")
        self.assertEqual(one.fetch().body, b"nothing")

    def test_others(self):
        """
        A request that took nothing is not asked for again, though another one of its
        process is.
        """

        def render(request):
            if request.path == b"/count":
                return b"%d" % change(request)["count"]
            return page(request)

        one, two = self.begin(render)
        third = self.client(site=self.there, jar=one.jar)
        self.store.hold()
        self.there.slow.hold()
        third.send("/count")
        one.send()
        two.send()
        self.letLoad(self.store)
        self.letLoad(self.there.slow)
        self.store.pass_()
        self.there.slow.pass_()
        self.turn(3)
        self.assertEqual(one.answer().body, b"success:saved")
        self.assertEqual(two.answer().code, 307)
        self.assertEqual(third.answer().code, 200)

    def test_cookies(self):
        """
        What the other page did to cookies stays: its own, and that of a rotation.
        """

        def render(request):
            if request.method == b"GET":
                request.addCookie(b"seen", b"yes")
                if request.site is self.there:
                    request.getSession().rotate(request)
            return page(request)

        one, two = self.begin(render)
        self.store.hold()
        self.there.slow.hold()
        one.send()
        two.send()
        self.letLoad(self.store)
        self.letLoad(self.there.slow, "rename")
        self.store.pass_()
        self.assertEqual(one.answer().body, b"success:saved")
        self.there.slow.pass_()
        self.turn(3)
        answer = two.answer()
        self.assertEqual(answer.code, 307)
        self.assertTrue(answer.sets)
        self.assertEqual(len(answer.all("set-cookie")), 2)
        two.send()
        self.turn(3)
        self.assertEqual(two.answer().body, b"nothing")

    def test_post(self):
        """
        A page that answers a POST is not asked for again: both show it.
        """

        def render(request):
            if request.path == b"/show":
                return show(request.getSession())
            return page(request)

        for answer in self.race(*self.begin(render), "/show", "POST"):
            self.assertEqual(answer.body, b"success:saved")

    def test_incomplete(self):
        """
        Nor is one that goes on when the store has answered; there is no end to some.
        """
        requests = []

        def render(request):
            if request.path == b"/show":
                request.write(show(request.getSession()))
                requests.append(request)
                return NOT_DONE_YET
            return page(request)

        one, two = self.begin(render)
        self.store.hold()
        self.there.slow.hold()
        one.send("/show")
        two.send("/show")
        self.letLoad(self.store)
        self.letLoad(self.there.slow)
        self.store.pass_()
        self.there.slow.pass_()
        for request in requests:
            request.finish()
        for client in (one, two):
            self.assertEqual(client.answer().body, b"success:saved")

    def test_later(self):
        """
        A page that takes them after it has waited for something is known by its
        session.
        """
        waiting = []

        def render(request):
            if request.method == b"POST":
                return page(request)
            session = request.getSession()

            def answer(_):
                request.write(show(session))
                request.finish()

            waiting.append(Deferred())
            waiting[-1].addCallback(answer)
            return NOT_DONE_YET

        one, two = self.begin(render)
        for client in (one, two):
            client.send()
        self.store.hold()
        self.there.slow.hold()
        for wait in waiting:
            wait.callback(None)
        self.store.pass_()
        self.there.slow.pass_()
        self.turn(3)
        self.assertEqual(one.answer().body, b"success:saved")
        self.assertEqual(two.answer().code, 307)
