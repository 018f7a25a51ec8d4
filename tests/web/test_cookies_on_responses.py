"""
What responses say because of the session: the cookie, who may cache them, and on
what they depend.
"""

from __future__ import annotations

import gc
import tracemalloc

from twisted.web.server import NOT_DONE_YET
from zope.interface import Interface

from tests.web.oracle import WebCase
from tests.web.pages import change, count
from txsessions import CookiePolicy


class WhichCookieTests(WebCase):
    """
    Which of the two cookies.
    """

    def test_secure(self):
        """
        Over TLS it is the hardened one, else the other; the two are two
        sessions.
        """
        self.serve(count)
        for secure, name in ((True, "__Host-sid"), (False, "sid")):
            client = self.client(secure=secure)
            cookie = client.fetch().cookie
            self.assertEqual(cookie.name, name)
            self.assertEqual("Secure" in cookie.attributes, secure)
            self.assertEqual(cookie.attributes["SameSite"], "Lax")
            self.assertEqual(cookie.attributes["Path"], "/")
            self.assertIn("HttpOnly", cookie.attributes)
            self.assertEqual(client.fetch().body, b"count 2")

    def test_both(self):
        """
        A page over TLS may use both, and both are saved and set.
        """

        def page(request):
            secure = request.getSession()
            insecure = request.getSession(forceNotSecure=True)
            self.assertIsNot(secure, insecure)
            self.assertIs(request.session, secure)
            for session in (secure, insecure):
                session["n"] = session.sessionNamespaces.get("n", 0) + 1
            return b"%d %d" % (secure["n"], insecure["n"])

        self.serve(page)
        client = self.client(secure=True)
        self.store.hold()
        client.send()
        self.assertEqual(self.store.names(), ["insert", "insert"])
        self.store.release(1)
        self.assertTrue(client.silent)
        self.store.release()
        answer = client.answer()
        self.assertEqual(set(answer.cookies), {"sid", "__Host-sid"})
        self.store.pass_()
        self.assertEqual(client.fetch().body, b"2 2")

    def test_forced(self):
        """
        One that only wants the insecure one gets that alone.
        """

        def page(request):
            session = request.getSession(forceNotSecure=True)
            session["n"] = session.sessionNamespaces.get("n", 0) + 1
            self.assertIsNone(request.session)
            return b"%d" % session["n"]

        self.serve(page)
        client = self.client(secure=True)
        self.assertEqual(list(client.fetch().cookies), ["sid"])
        self.assertEqual(client.fetch().body, b"2")

    def test_policyDecides(self):
        """
        Under C{always} and C{never} there is one cookie.
        """
        for secure, name in (("always", "__Host-sid"), ("never", "sid")):
            site = self.serve(self.same, cookies=CookiePolicy(secure=secure))
            client = self.client(site=site, secure=True)
            self.assertEqual(list(client.fetch().cookies), [name])

    def same(self, request):
        """
        The two ways to ask give one session.
        """
        self.assertIs(request.getSession(), request.getSession(forceNotSecure=True))
        return count(request)


class LinesTests(WebCase):
    """
    The C{Set-Cookie} lines.
    """

    def test_onlyOnce(self):
        """
        The cookie is set on the first response, and not again.
        """
        self.serve(count)
        client = self.client()
        self.assertTrue(client.fetch().sets)
        for _ in range(3):
            self.assertIsNone(client.fetch().cookie)

    def test_inRequestCookies(self):
        """
        It is in C{request.cookies} from C{getSession()} on, where applications
        and their tests look for it.
        """
        seen = []

        def page(request):
            request.getSession()
            seen.append(list(request.cookies))
            request.getSession()
            self.assertEqual(seen[0], request.cookies)
            change(request)
            return b""

        self.serve(page)
        answer = self.client().fetch()
        self.assertEqual([line.decode() for line in seen[0]], answer.all("set-cookie"))

    def test_applicationsOwn(self):
        """
        Cookies that the application sets, by C{addCookie} with text or bytes or
        as raw headers, stand beside ours.
        """

        def page(request):
            request.addCookie("text", "1", path="/")
            request.addCookie(b"bytes", b"2", httpOnly=True)
            request.responseHeaders.addRawHeader(b"Set-Cookie", b"raw=3")
            change(request)
            request.addCookie("late", "4")
            request.responseHeaders.addRawHeader("Set-Cookie", "rawer=5")
            return b""

        self.serve(page)
        client = self.client()
        for ours in (1, 0):
            self.store.hold()
            client.send()
            self.store.pass_()
            answer = client.answer()
            names = [line.partition("=")[0] for line in answer.all("set-cookie")]
            self.assertEqual(
                sorted(names),
                sorted(["text", "bytes", "raw", "late", "rawer"] + ["sid"] * ours),
            )

    def test_ownRawOnly(self):
        """
        Raw ones alone are left alone.
        """

        def page(request):
            request.responseHeaders.addRawHeader(b"Set-Cookie", b"raw=3")
            request.getSession()
            return b""

        self.serve(page)
        self.assertEqual(self.client().fetch().all("set-cookie"), ["raw=3"])

    def test_removed(self):
        """
        An application may take our line out again.
        """

        def page(request):
            change(request)
            del request.cookies[:]
            return b""

        self.serve(page)
        self.assertEqual(self.client().fetch().all("set-cookie"), [])


class CachingTests(WebCase):
    """
    C{Cache-Control} and C{Vary}.
    """

    def fetch(self, page, *, cookies=None):
        """
        Fetch a page of its own site.
        """
        site = self.serve(page)
        return self.client(site=site, jar=cookies).fetch()

    def test_noStore(self):
        """
        A response that sets the cookie may not be stored, whatever the page
        says; one that is stricter is left as it is.
        """
        for own, said in (
            (None, "no-store"),
            (b"public, max-age=3600", "no-store"),
            (b"no-store, no-cache", "no-store, no-cache"),
            (b"private, No-Store", "private, No-Store"),
        ):

            def page(request, own=own):
                change(request)
                if own is not None:
                    request.setHeader(b"Cache-Control", own)
                return b""

            answer = self.fetch(page)
            self.assertTrue(answer.sets)
            # The oracle's own look at it does not regard case.
            self.assertEqual(answer.all("cache-control"), [said])

    def check(self, answer):
        """
        See L{WebCase.check}.
        """
        value = answer.get("cache-control")
        if value:
            answer.headers.replace_header("cache-control", value.lower())
        super().check(answer)
        if value:
            answer.headers.replace_header("cache-control", value)

    def test_unsetIsThePagesOwn(self):
        """
        One that does not is the page's own business.
        """

        def page(request):
            change(request)
            request.setHeader(b"Cache-Control", b"max-age=3600")
            return b""

        self.serve(page)
        client = self.client()
        client.fetch()
        answer = client.fetch()
        self.assertIsNone(answer.cookie)
        self.assertEqual(answer.get("cache-control"), "max-age=3600")

    def test_vary(self):
        """
        Whoever uses the session, in whichever way, depends on the cookie.
        """

        def byRequest(request):
            return bytes(request.getSession() is not None)

        def byInterface(request):
            class INothing(Interface):
                """
                Nobody is one.
                """

            request.getSession(INothing)
            return b""

        def logsOut(request):
            request.getSession().expire()
            return b""

        def insecure(request):
            request.getSession(forceNotSecure=True)
            return b""

        for page in (byRequest, byInterface, logsOut, insecure, count):
            self.assertEqual(self.fetch(page).all("vary"), ["Cookie"])
        self.assertEqual(self.fetch(lambda request: b"").all("vary"), [])

    def test_varyOfOthers(self):
        """
        What the page says besides is kept; it is not said twice.
        """
        for own, said in (
            (["Accept"], ["Accept", "Cookie"]),
            (["accept, COOKIE"], ["accept, COOKIE"]),
            (["*"], ["*"]),
            (["Accept", "Origin"], ["Accept", "Origin", "Cookie"]),
            (["X-Cookie-Consent"], ["X-Cookie-Consent", "Cookie"]),
        ):

            def page(request, own=own):
                request.getSession()
                request.responseHeaders.setRawHeaders("Vary", own)
                return b""

            self.assertEqual(self.fetch(page).all("vary"), said)

    def test_kinds(self):
        """
        All of it holds for every kind of response.
        """
        self.expects500 = True

        def finishes(request):
            change(request)
            request.finish()
            return NOT_DONE_YET

        def code(number):
            def page(request):
                change(request)
                request.setResponseCode(number)
                return b""

            return page

        def raises(request):
            change(request)
            return 1 / 0

        def redirects(request):
            change(request)
            request.redirect(b"/x")
            return b""

        pages = [finishes, redirects, raises, code(204), code(304), code(404)]
        for page in pages:
            answer = self.fetch(page)
            self.assertTrue(answer.sets, page)
            self.assertEqual(answer.all("vary"), ["Cookie"])
            self.assertEqual(answer.all("cache-control"), ["no-store"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        site = self.serve(count)
        answer = self.client(site=site).fetch(method="HEAD")
        self.assertTrue(answer.sets)
        self.assertEqual(answer.all("cache-control"), ["no-store"])


class EmptyCostsNothingTests(WebCase):
    """
    A session that is new and empty.
    """

    def test_nothing(self):
        """
        A thousand visitors whose session is only read cost no record, no
        cookie, no timer and no memory.
        """
        self.serve(lambda request: b"%d" % len(request.getSession().sessionNamespaces))
        self.site.log = lambda request: None
        client = self.client()
        request = client.render()
        timers = len(self.clock.getDelayedCalls())

        def visit(times):
            for _ in range(times):
                client.sendBytes(request)
                self.assertNotIn(b"Set-Cookie", client.wire.value())
                client.wire.clear()
                self.uids.clear()
                self.logged.clear()

        visit(1200)
        gc.collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        before = tracemalloc.get_traced_memory()[0]
        visit(1000)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
        self.assertLess(grown, 25_000)
        self.assertEqual(len(self.clock.getDelayedCalls()), timers)
        self.assertEqual(self.store.calls, ["open"])
        self.assertEqual(dict(self.site.sessions), {})
        self.assertEqual(self.site.counter, 2200)

    def test_kept(self):
        """
        Whatever somebody may rely on makes it worth keeping: a value, an
        attribute, a callback, the uid having been read.
        """

        def value(session):
            session["a"] = None

        def attribute(session):
            session.user = "ada"

        def callback(session):
            session.notifyOnExpire(lambda: None)

        def uid(session):
            self.assertTrue(session.uid)

        for use in (value, attribute, callback, uid):

            def page(request, use=use):
                use(request.getSession())
                return b""

            site = self.serve(page)
            before = self.stored()
            self.assertTrue(self.client(site=site).fetch().sets, use)
            self.assertEqual(self.stored(), before + 1, use)

    def test_emptied(self):
        """
        One that was filled and emptied again is as good as new.
        """

        def page(request):
            session = request.getSession()
            session["a"] = 1
            del session["a"]
            return b""

        self.serve(page)
        self.assertIsNone(self.client().fetch().cookie)
        self.assertEqual(self.store.calls, ["open"])

    def test_withoutAStore(self):
        """
        The same without a store.
        """
        site = self.serve(
            lambda request: (
                count(request) if request.args else bytes(request.getSession().isNew)
            ),
            store=None,
        )
        client = self.client(site=site)
        self.assertIsNone(client.fetch().cookie)
        self.assertEqual(dict(site.sessions), {})
        self.assertTrue(client.fetch("/?a=1").sets)
        self.assertEqual(client.fetch("/?a=1").body, b"count 2")
        self.assertEqual(len(site.sessions), 1)

    def test_anotherRequestTookIt(self):
        """
        An empty session that another request has come by meanwhile is kept
        while that holds it.
        """
        waiting = []

        def page(request):
            session = request.getSession()
            waiting.append((request, session))
            return NOT_DONE_YET

        self.serve(page)
        first = self.client()
        first.send()
        uid = next(iter(self.site.sessions)).decode()
        second = self.client()
        second.send(headers=(f"Cookie: sid={uid}",))
        self.assertIs(waiting[0][1], waiting[1][1])
        waiting[0][0].finish()
        answer = first.answer()
        waiting[1][1]["late"] = 1
        waiting[1][0].finish()
        self.assertIsNone(second.answer().cookie)
        self.assertTrue(answer.sets)
        self.assertEqual(self.stored(), 1)
