"""
Tests of L{txsessions.web.bearer}: programs that send their id by C{Authorization}.
"""

from __future__ import annotations

import io
import json

import twisted.internet
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import IRealm, Portal
from twisted.web import server
from twisted.web.guard import BasicCredentialFactory, HTTPAuthSessionWrapper
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from tests.web.browsing import NOW
from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, count, look
from tests.web.test_http2 import H2Client, Patient
from txsessions import CookiePolicy, CSRFProtected, Request
from txsessions.errors import ConfigurationError
from txsessions.web.bearer import Bearing

UID = b"0123456789abcdef" * 4
OTHER = b"fedcba9876543210" * 4
BASIC = "Authorization: Basic dXNlcjpwYXNz"
BEARING = CookiePolicy(bearer=True)


def login(request):
    """
    A page where a program signs in: it is told its id.
    """
    session = request.getSession()
    session["user"] = "robot"
    return json.dumps({"id": session.uid.decode("ascii")}).encode("ascii")


def renew(request):
    """
    A page where it gets another one.
    """
    session = request.getSession()
    session.rotate(request)
    return json.dumps({"id": session.uid.decode("ascii")}).encode("ascii")


def logout(request):
    """
    A page where it signs out.
    """
    request.getSession().expire()
    return b"bye"


def carrier(request):
    """
    A page that says by what the id came.
    """
    return repr(request.sessionCarrier).encode("ascii")


class BearerCase(WebCase):
    """
    A site for programs and for browsers.
    """

    tellsIds = True

    def setUp(self):
        """
        Make its pages.
        """
        super().setUp()
        self.root = Resource()
        for name, render in {
            b"login": login,
            b"renew": renew,
            b"logout": logout,
            b"count": count,
            b"look": look,
            b"carrier": carrier,
            b"plain": lambda request: b"plain",
        }.items():
            self.root.putChild(name, Page(render))

    def ask(self, path, uid=b"", *, site=None, secure=False, **how):
        """
        Ask as a program does.

        @param uid: Its id; empty for none yet, L{None} to send no header.
        """
        header = b"Authorization: Session " + (uid or b"")
        headers = () if uid is None else (header.decode("latin-1").strip(),)
        headers += how.pop("headers", ())
        return self.client(site=site, secure=secure).fetch(path, headers=headers, **how)

    def idOf(self, answer):
        """
        What the page has told.
        """
        return json.loads(answer.body)["id"].encode("ascii")

    def signedIn(self, **how):
        """
        The id of a program that has signed in.
        """
        return self.idOf(self.ask("/login", **how))

    def browser(self, **how):
        """
        A browser with a session in which C{count} is 1, and its id.
        """
        client = self.client(**how)
        cookie = client.fetch("/count").cookie
        return client, cookie.value.encode("ascii")


class BearerTests(BearerCase):
    """
    Programs, where the policy lets them.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.serve(self.root, cookies=BEARING)

    def test_whole(self):
        """
        A program gets an id, comes back with it, also to another process, is given
        another one, and signs out: the response never speaks of cookies.
        """
        there = self.serveElsewhere(self.root, cookies=BEARING)
        first = self.ask("/login")
        uid = self.idOf(first)
        self.assertEqual(first.get("cache-control"), "no-store")
        answers = [first, self.ask("/count", uid), self.ask("/count", uid, site=there)]
        self.assertEqual([a.body for a in answers[1:]], [b"count 1", b"count 2"])
        self.assertEqual([a.get("cache-control") for a in answers[1:]], [None] * 2)
        answers.append(self.ask("/renew", uid))
        renewed = self.idOf(answers[-1])
        self.assertNotEqual(renewed, uid)
        self.assertEqual(answers[-1].get("cache-control"), "no-store")
        for site in (self.site, there):
            self.assertEqual(self.ask("/look", uid, site=site).body, b"count 0")
            self.assertEqual(self.ask("/look", renewed, site=site).body, b"count 2")
        answers.append(self.ask("/logout", renewed, site=there))
        for site in (self.site, there):
            self.assertEqual(self.ask("/look", renewed, site=site).body, b"count 0")
        self.assertEqual(self.stored(), 0)
        for answer in answers:
            self.assertEqual(answer.all("set-cookie"), [])
            varied = ", ".join(answer.all("vary")).split(", ")
            self.assertEqual(sorted(varied), ["Authorization", "Cookie"])

    def test_untouched(self):
        """
        A program whose page uses no session, or only reads a new one, leaves nothing;
        a page that uses none depends on nothing.
        """
        answer = self.ask("/plain", self.signedIn())
        self.assertEqual((answer.body, answer.all("vary")), (b"plain", []))
        self.ask("/look")
        self.ask("/look", OTHER)
        self.assertEqual(self.stored(), 1)

    def test_neverAdopted(self):
        """
        An id that a client made up is not used.
        """
        self.assertNotEqual(self.signedIn(uid=UID), UID)
        self.assertEqual(self.ask("/look", UID).body, b"count 0")

    def test_browsers(self):
        """
        To browsers nothing changes, but that caches are told.
        """
        client, _ = self.browser()
        answer = client.fetch("/count")
        self.assertEqual(answer.body, b"count 2")
        self.assertEqual(answer.all("vary"), ["Authorization", "Cookie"])
        client.fetch("/logout")
        self.assertEqual(client.fetch("/look").body, b"count 0")
        self.assertEqual(client.fetch("/plain").all("vary"), [])

    def test_carrier(self):
        """
        The application can tell by what the id came.
        """
        client, _ = self.browser()
        uid = self.signedIn()
        self.assertEqual(client.fetch("/carrier").body, b"'cookie'")
        self.assertEqual(self.ask("/carrier", None).body, b"None")
        for given in (uid, b"", b"rubbish"):
            self.assertEqual(self.ask("/carrier", given).body, b"'bearer'")
            header = f"Authorization: Session {given.decode()}".strip()
            body = client.fetch("/carrier", headers=(header,)).body
            self.assertEqual(body, b"'bearer'", "whatever cookies came along")
        self.assertEqual(client.fetch("/carrier", headers=(BASIC,)).body, b"'cookie'")

    def test_both(self):
        """
        A request that has the header is about that alone: its cookie is neither used
        nor changed, also where the header is of no use.
        """
        client, _ = self.browser()
        uid = self.signedIn()
        for given in (uid.decode(), "", "rubbish", OTHER.decode()):
            header = f"Authorization: Session {given}".strip()
            for path in ("/look", "/logout", "/renew"):
                answer = client.fetch(path, headers=(header,))
                self.assertEqual(answer.all("set-cookie"), [])
                self.assertNotEqual(answer.body, b"count 1")
        self.assertEqual(client.fetch("/look").body, b"count 1")
        self.assertEqual(self.counted("refused"), 3)

    def test_duplicates(self):
        """
        Two ids that differ are refused, and the event tells; other schemes count not.
        """
        uid = self.signedIn()
        self.ask("/count", uid)
        more = (f"Authorization: Session {self.signedIn().decode()}",)
        self.assertEqual(self.ask("/look", uid, headers=more).body, b"count 0")
        self.assertEqual(self.counted("refused"), 1)
        same = (f"Authorization: session {uid.decode()}", BASIC)
        self.assertEqual(self.ask("/look", uid, headers=same).body, b"count 1")
        self.assertEqual(self.counted("refused"), 1)

    def test_elsewhere(self):
        """
        Nothing is taken from other places of a request.
        """
        uid = self.signedIn()
        self.ask("/count", uid)
        text = uid.decode()
        self.uids.remove(uid)  # an access log has the query
        before = len(self.store.calls)
        for header in (
            f"X-Session: {text}",
            f"Session: {text}",
            f"Proxy-Authorization: Session {text}",
            f"Authorization: Bearer {text}",
        ):
            path = f"/look?Authorization=Session%20{text}&Session={text}"
            answer = self.ask(path, None, headers=(header,), body=uid, method="POST")
            self.assertEqual(answer.body, b"count 0")
        self.assertEqual(len(self.store.calls), before)

    def test_basic(self):
        """
        A page behind HTTP's own authentication is reached as before, and with it the
        session of the cookie.
        """

        @implementer(IRealm)
        class Realm:
            """
            Has one page.
            """

            def requestAvatar(self, who, mind, *interfaces):
                """
                See C{IRealm}.
                """
                return IResource, Page(count), lambda: None

        checker = InMemoryUsernamePasswordDatabaseDontUse(user=b"pass")
        guarded = HTTPAuthSessionWrapper(
            Portal(Realm(), [checker]), [BasicCredentialFactory(b"here")]
        )
        self.root.putChild(b"guarded", guarded)
        client, _ = self.browser()
        self.check = lambda answer: None  # 401 is right
        self.assertEqual(client.fetch("/guarded").code, 401)
        self.assertEqual(client.fetch("/guarded", headers=(BASIC,)).body, b"count 2")
        self.assertEqual(self.ask("/guarded", self.signedIn()).code, 401)

    def test_held(self):
        """
        The answer waits for the store; if that fails nothing of it goes out.
        """
        self.store.hold()
        client = self.client()
        client.send("/login", headers=("Authorization: Session",))
        self.assertTrue(client.silent)
        self.store.fail(OUTAGE)
        answer = client.answer()
        self.assertEqual((answer.code, answer.get("cache-control")), (503, "no-store"))
        self.store.pass_()
        uid = self.signedIn()
        there = self.serveElsewhere(self.root, cookies=BEARING)
        there.slow.down = OUTAGE
        self.assertEqual(self.ask("/look", uid, site=there).code, 503)
        self.assertEqual(self.ask("/plain", uid, site=there).body, b"plain")
        there.slow.down = None
        self.assertEqual(self.ask("/look", uid, site=there).body, b"count 0")

    def test_loading(self):
        """
        The page is rendered when the store has answered, and finds its session also
        where it asks for the one that needs no TLS.
        """
        rendered = []

        def page(request):
            self.assertIs(request.session, None)
            session = request.getSession(forceNotSecure=True)
            self.assertIs(request.session, session)
            self.assertIs(request.getSession(), session)
            rendered.append(request)
            return count(request)

        self.root.putChild(b"page", Page(page))
        there = self.serveElsewhere(self.root, cookies=BEARING)
        there.slow.hold("load")
        uid = self.signedIn(secure=True)
        client = self.client(site=there, secure=True)
        client.send("/page", headers=(f"Authorization: Session {uid.decode()}",))
        self.assertEqual(rendered, [])
        there.slow.pass_()
        self.assertEqual(client.answer().body, b"count 1")
        self.assertEqual(self.ask("/look", uid, secure=True).body, b"count 1")

    def test_lateLogin(self):
        """
        The program's answer after an error is told to caches too.
        """
        self.expects500 = True

        def broken(request):
            look(request)
            raise RuntimeError(request.getSession())

        self.root.putChild(b"broken", Page(broken))
        answer = self.ask("/broken", self.signedIn())
        self.assertEqual(answer.code, 500)
        self.assertIn("Authorization", answer.all("vary"))
        self.flushLoggedErrors(RuntimeError)

    def test_logs(self):
        """
        No log holds the id: neither the access log nor what is told of an error.
        """
        self.expects500, self.tellsIds = True, False
        self.site.displayTracebacks = True
        self.site.logFile = kept = io.StringIO()

        def broken(request):
            request.getSession()
            raise RuntimeError(request)

        self.root.putChild(b"broken", Page(broken))
        session = self.site.makeSession()
        session["count"] = 7
        self.successResultOf(session.save())
        self.assertEqual(self.ask("/look", session.uid).body, b"count 7")
        self.assertEqual(self.ask("/broken", session.uid).code, 500)
        self.flushLoggedErrors(RuntimeError)
        self.assertIn("/broken", kept.getvalue())
        self.assertNotIn(session.uid.decode(), kept.getvalue())
        # The oracle has looked at the answers, and looks at the log.


class WrappedTests(BearerCase):
    """
    Programs, where something else looks at requests too.
    """

    def test_forms(self):
        """
        What keeps out forged requests lets programs pass, and nobody who says only
        that he is one.
        """
        self.serve(CSRFProtected(self.root), cookies=BEARING)
        uid = self.signedIn()
        self.assertEqual(self.ask("/count", uid, method="POST").body, b"count 1")
        self.assertEqual(self.ask("/count", uid, method="POST").body, b"count 2")
        browser, _ = self.browser()
        self.assertEqual(browser.fetch("/count", "POST").code, 403)
        answer = browser.fetch("/count", "POST", headers=(BASIC,))
        self.assertEqual(answer.code, 403)
        answer = browser.fetch("/count", "POST", headers=("Authorization: Session",))
        self.assertEqual(answer.body, b"count 1")

    def test_formsWithoutBearers(self):
        """
        Where the site takes no id from the header it says nothing.
        """
        self.serve(CSRFProtected(self.root))
        browser, uid = self.browser()
        for header in (b"Authorization: Session", b"Authorization: Session " + uid):
            answer = browser.fetch("/count", "POST", headers=(header.decode(),))
            self.assertEqual(answer.code, 403)

    def test_behindAProxy(self):
        """
        Behind a trusted proxy the id is of TLS where the client came so.
        """
        policy = CookiePolicy(bearer=True, trustedProxies=["192.168.1.1"])
        self.serve(self.root, cookies=policy)
        https = ("X-Forwarded-Proto: https",)
        uid = self.signedIn(headers=https)
        self.assertEqual(self.ask("/count", uid, headers=https).body, b"count 1")
        self.assertEqual(self.ask("/look", uid, headers=https).body, b"count 1")
        self.assertEqual(self.ask("/look", uid).body, b"count 0")


class KindTests(BearerCase):
    """
    An id is good for one way to carry it only.
    """

    def refuses(self, **how):
        """
        Try each id in each other place.
        """
        self.serve(self.root, cookies=BEARING, **how)
        found = {}
        for secure in (False, True):
            _, found["cookie", secure] = self.browser(secure=secure)
            uid = found["bearer", secure] = self.signedIn(secure=secure)
            self.assertEqual(self.ask("/count", uid, secure=secure).body, b"count 1")
        before = self.counted("refused")
        names = {False: "sid", True: "__Host-sid"}
        for (kind, made), uid in found.items():
            for secure in (False, True):
                cookie = f"Cookie: {names[secure]}={uid.decode()}"
                byCookie = self.ask("/look", None, secure=secure, headers=(cookie,))
                byHeader = self.ask("/look", uid, secure=secure)
                for way, answer in (("cookie", byCookie), ("bearer", byHeader)):
                    right = (way, secure) == (kind, made)
                    expected = b"count 1" if right else b"count 0"
                    self.assertEqual(answer.body, expected, (kind, made, way, secure))
        self.assertEqual(self.counted("refused") - before, 12)

    def test_stored(self):
        """
        So it is with a store,
        """
        self.refuses()

    def test_inMemory(self):
        """
        And without one.
        """
        self.refuses(store=None)

    def test_noSuchCookie(self):
        """
        No cookie can have the name that stands for the header.
        """
        name = BEARING.bearerName()
        for option in ("secureName", "insecureName"):
            with self.assertRaises(ConfigurationError):
                CookiePolicy(**{option: name})
        joined = CookiePolicy(bearer=True, perSitePath=True)
        self.assertEqual(joined.bearerName((b"a",)), name + b"_a")
        self.assertEqual(BEARING.bearerName((b"a",)), name)

    def test_always(self):
        """
        Where the policy says that all is secure, so are programs.
        """
        policy = CookiePolicy(bearer=True, secure="always")
        self.serve(self.root, cookies=policy)
        uid = self.signedIn()
        self.ask("/count", uid)
        self.assertEqual(self.ask("/look", uid, secure=True).body, b"count 1")

    def test_choice(self):
        """
        It is a choice between yes and no.
        """
        with self.assertRaises(ConfigurationError):
            CookiePolicy(bearer="Session")


class OffTests(BearerCase):
    """
    Where the policy says nothing.
    """

    def test_ignored(self):
        """
        The header names no session, and asks for none.
        """
        self.serve(self.root)
        self.serve(self.root, store=self.store, cookies=BEARING, keys=self.keys)
        uid = self.signedIn(site=self.sites[1])
        before = len(self.store.calls)
        answer = self.ask("/look", uid)
        self.assertEqual((answer.body, answer.all("vary")), (b"count 0", ["Cookie"]))
        self.assertEqual(self.ask("/carrier", uid).body, b"None")
        self.assertEqual(len(self.store.calls), before)
        self.assertEqual(self.counted("refused"), 0)
        self.assertTrue(self.ask("/count", b"").sets)

    def test_costsNothing(self):
        """
        Requests know nothing of it.
        """
        self.serve(self.root)
        made = []
        self.root.putChild(b"made", Page(lambda request: made.append(request) or b""))
        self.ask("/made", UID)
        self.assertIs(type(made[0]), Request)


class FactoryTests(BearerCase):
    """
    An application's own classes of requests.
    """

    def test_own(self):
        """
        They stay what they are, be they known by their class or made by a function.
        """

        class Own(server.Request):
            """
            Knows Twisted's only.
            """

        class Derived(Request):
            """
            Knows ours.
            """

        def make(*args, **kwargs):
            return Own(*args, **kwargs)

        for factory, expected in ((Own, Own), (Derived, Derived), (make, Own)):
            site = self.serve(self.root, requestFactory=factory, cookies=BEARING)
            made = []
            page = Page(lambda request, made=made: made.append(request) or b"")
            self.root.putChild(b"made", page)
            uid = self.signedIn(site=site)
            self.ask("/made", uid, site=site)
            self.assertIsInstance(made[0], expected)
            self.assertIsInstance(made[0], Bearing)
            self.assertEqual(self.ask("/count", uid, site=site).body, b"count 1")


class HTTP2Tests(BearerCase):
    """
    Streams of one connection, each with an id of its own.
    """

    def test_streams(self):
        """
        They have nothing to do with one another.
        """
        from twisted.internet import reactor  # noqa: F401 - so that there is one

        self.patch(twisted.internet, "reactor", Patient(self.clock))
        self.serve(self.root, cookies=BEARING)
        client = H2Client(self)
        self.clients.append(client)

        def ask(path, uid):
            header = (b"authorization", (b"session " + uid).strip())
            return client.streams[client.send(path, more=(header,))]

        logins = [ask("/login", b"") for _ in range(2)]
        client.receive()
        uids = [self.idOf(stream) for stream in logins]
        asked = [ask("/count", uids[0]), ask("/count", uids[1]), ask("/count", uids[0])]
        client.receive()
        bodies = [stream.body for stream in asked]
        self.assertEqual(bodies, [b"count 1", b"count 1", b"count 2"])
        for stream in (*logins, *asked):
            self.assertEqual(stream.all(b"set-cookie"), [])
        self.assertEqual(client.jar.send(host="example.org", path="/", https=True), [])
        self.assertGreaterEqual(self.clock.seconds(), NOW)
