"""
Resources that look at the token of a request.
"""

from __future__ import annotations

import os

from twisted.web import server
from twisted.web.server import NOT_DONE_YET
from twisted.web.test.requesthelper import DummyRequest

from tests.web.forms import BOUNDARY, FORM, FormsCase, page
from tests.web.pages import OUTAGE, change, look
from txsessions import Site, checkCSRF
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.errors import ConfigurationError, CSRFRefused


class ShopSession(server.Session):
    """
    A class of the application's, with an attribute called as a member of ours.
    """

    sessionTimeout = 300
    csrfToken = "the application's own"


class TokenTests(FormsCase):
    """
    Tokens in requests.
    """

    def setUp(self):
        """
        Serve forms.
        """
        super().setUp()
        self.serve()
        self.visitor = self.client()

    def test_form(self):
        """
        A form is accepted with the token that it was shown with, more than once, and
        no two showings have the same.
        """
        tokens = [self.token(self.visitor) for _ in range(5)]
        self.assertEqual(len({token[32:] for token in tokens}), 5)
        self.assertEqual(len({token[:32] for token in tokens}), 5)
        for token in [*tokens, *tokens]:
            self.assertDone(self.post(self.visitor, token, name="Ada"))

    def test_multipart(self):
        """
        So is one with a file in it.
        """
        token = self.token(self.visitor).encode("ascii")
        kind = "Content-Type: multipart/form-data; boundary=x"
        for body, fine in [(token, True), (token[::-1], False)]:
            answer = self.visitor.fetch(
                method="POST",
                headers=(kind,),
                body=BOUNDARY % (b"csrf_token", body),
            )
            (self.assertDone if fine else self.assertRefused)(answer)

    def test_header(self):
        """
        A script sends it in a header, with any method and anything else.
        """
        token = self.token(self.visitor)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = self.visitor.fetch(
                "/?a=b",
                method,
                headers=(f"x-csrf-token: {token}", "Content-Type: application/json"),
                body=b'{"a": 1}',
            )
            self.assertDone(answer)

    def test_missing(self):
        """
        Without a token nothing is done, and what Twisted does not read as a form is
        none.
        """
        token = self.token(self.visitor)
        self.assertRefused(self.post(self.visitor, name="Eve"))
        self.assertRefused(self.post(self.visitor, token, method="PUT"))
        self.assertRefused(self.visitor.fetch(method="POST"))
        plain = ("Content-Type: text/plain",)
        body = f"csrf_token={token}".encode("ascii")
        self.assertRefused(self.visitor.fetch(method="POST", headers=plain, body=body))
        self.assertNotIn("count", self.only())

    def test_wrong(self):
        """
        Whatever else comes in its place is refused, and nothing breaks.
        """
        token = self.token(self.visitor)
        uid = self.visitor.jar.send(host="example.org", path="/", https=False)
        for wrong in (
            "",
            "x",
            token[:-1],
            token + "A",
            token.swapcase(),
            "A" * 64,
            "\N{SNOWMAN}" * 64,
            "\x00" * 64,
            "=" * 64,
            uid[0].decode().partition("=")[2],
            self.only().tag,
            token * 2000,
        ):
            self.assertRefused(self.post(self.visitor, wrong))
            if wrong.isprintable() and wrong.isascii() and len(wrong) < 1000:
                answer = self.visitor.fetch(
                    method="POST", headers=(f"X-CSRF-Token: {wrong}",)
                )
                self.assertRefused(answer)

    def test_another(self):
        """
        The token of another visitor's session is none of this one's.
        """
        mine, theirs = self.token(self.visitor), self.token(self.client())
        self.assertRefused(self.post(self.visitor, theirs), self.tagOfVisitor())
        self.assertDone(self.post(self.visitor, mine))

    def tagOfVisitor(self):
        """
        The tag of the session that the visitor has.
        """
        [(cookie)] = self.visitor.sent()
        uid = cookie.partition(b"=")[2]
        return self.site.sessions[uid].tag

    def test_rotated(self):
        """
        A sign-in makes the tokens void that were shown before, in all tabs.
        """
        token = self.token(self.visitor)
        self.assertEqual(self.post(self.visitor, token, "/sign-in").body, b"signed in")
        del self.heard.events[:]
        self.assertRefused(self.post(self.visitor, token))
        self.assertDone(self.post(self.visitor, self.token(self.visitor)))

    def test_signedOut(self):
        """
        So does the end of the session.
        """
        token = self.token(self.visitor)
        self.only().expire()
        del self.heard.events[:]
        self.assertRefused(self.post(self.visitor, token), "")

    def test_query(self):
        """
        A token in the URL, which others get to see, does not count; the field of
        the body does not make up for it.
        """
        token = self.token(self.visitor)
        for path in (
            f"/?csrf_token={token}",
            f"/?a=1&csrf%5Ftoken={token}",
            f"/?a=1;csrf_token={token}",
        ):
            self.assertRefused(self.post(self.visitor, name="Eve", path=path))
            self.assertRefused(self.post(self.visitor, token, path=path))
            self.assertRefused(self.post(self.visitor, path=path, method="PUT"))
        self.assertRefused(self.post(self.visitor, token, path="/?csrf_token="))
        self.assertDone(self.post(self.visitor, token, path="/?other_token=1"))

    def test_anyQuery(self):
        """
        A query may be in any language, and in none.
        """
        token = self.token(self.visitor)
        for query in ("q=%E6%97%A5%E6%9C%AC", "q=%FF%00", "%E6=%E6", "%", ";"):
            path = f"/?{query}"
            self.assertDone(self.post(self.visitor, token, path=path))
            self.assertRefused(self.post(self.visitor, path=path))

    def test_repeated(self):
        """
        One of several tokens is not chosen.
        """
        token = self.token(self.visitor)
        double = f"csrf_token={token}&csrf_token={token}".encode("ascii")
        answer = self.visitor.fetch(method="POST", headers=(FORM,), body=double)
        self.assertRefused(answer)
        header = f"X-CSRF-Token: {token}"
        answer = self.visitor.fetch(method="POST", headers=(header, header))
        self.assertRefused(answer)
        answer = self.post(self.visitor, token, headers=("X-CSRF-Token: x",))
        self.assertRefused(answer)

    def test_loginForm(self):
        """
        A visitor who only looks at a form gets a cookie, and is known when the form
        comes back, also after a restart.
        """
        answer = self.visitor.fetch()
        self.assertTrue(answer.sets)
        self.assertEqual(self.stored(), 1)
        visitor = self.again(self.visitor, self.restart(page))
        self.assertDone(self.post(visitor, answer.body.decode("ascii")))

    def test_withoutSession(self):
        """
        A request without a cookie is refused, with whatever token, and leaves
        nothing behind.
        """
        token = self.token(self.visitor)
        stranger = self.client()
        for sent in (None, token):
            answer = self.post(stranger, sent)
            self.assertRefused(answer, "")
            self.assertEqual(answer.all("set-cookie"), [])
        self.assertEqual(self.stored(), 1)

    def test_writesNothing(self):
        """
        To show a form to somebody who has a session writes nothing.
        """
        self.token(self.visitor)
        del self.store.calls[:]
        self.token(self.visitor)
        self.assertEqual(self.store.calls, [])

    def test_keysChanged(self):
        """
        A form that was shown under the old keys is good under the new ones, and in
        all processes meanwhile.
        """
        token = self.token(self.visitor)
        old, new = self.keys.active, RootKey(secret=os.urandom(32))
        for ring in (
            KeyRing(active=old, others=(new,)),
            KeyRing(active=new, others=(old,)),
        ):
            self.keys = ring
            visitor = self.again(self.visitor, self.serveElsewhere(page))
            self.assertDone(self.post(visitor, token))

    def test_outage(self):
        """
        Where it cannot be known whose the request is, it is not refused for good.
        """
        token = self.token(self.visitor)
        self.store.sharedWithOthers = True
        self.store.down = OUTAGE
        self.assertEqual(self.post(self.visitor, token).code, 503)
        self.store.down = None
        self.assertDone(self.post(self.visitor, token))

    def test_outageOfTheSession(self):
        """
        The token of an id is known without the store, for who needs no session: then
        any other is not refused for good, nor is one that came without an id.
        """

        def page(request):
            if request.method == b"POST":
                checkCSRF(request)
                return b"done"
            return request.getSession().csrfToken.encode("ascii")

        site = self.serveElsewhere(page)
        visitor, other = self.client(site=site), self.client(site=site)
        token, others = self.token(visitor), self.token(other)
        site.slow.down = OUTAGE
        self.assertDone(self.post(visitor, token))
        for wrong in (others, token[::-1], "", token[:-1]):
            self.assertEqual(self.post(visitor, wrong).code, 503)
        self.assertEqual(self.post(other, others).body, b"done")
        self.assertRefused(self.post(self.client(site=site), token), "")


class OtherTests(FormsCase):
    """
    Other sites and pages.
    """

    def test_withoutStore(self):
        """
        Sessions in memory have tokens too.
        """
        self.serve(store=None)
        visitor = self.client()
        token = self.token(visitor)
        self.assertDone(self.post(visitor, token))
        self.assertRefused(self.post(visitor, token[::-1]))

    def test_names(self):
        """
        The field and the header may be called otherwise.
        """

        def render(request):
            if request.method == b"GET":
                return page(request)
            checkCSRF(request, field="märk", header="X-Token")
            return b"done"

        self.serve(render)
        visitor = self.client()
        token = self.token(visitor)
        self.assertDone(self.post(visitor, märk=token))
        self.assertDone(self.post(visitor, headers=(f"X-Token: {token}",)))
        self.assertRefused(self.post(visitor, token))

    def test_ownClass(self):
        """
        An application's class of sessions may have the name for itself; ours does
        the rest.
        """
        from txsessions import Session

        def render(request):
            session = request.getSession()
            if request.method == b"GET":
                return Session.csrfToken.__get__(session, None).encode("ascii")
            return page(request)

        site = self.serve(render)
        site.sessionFactory = ShopSession
        visitor = self.client()
        token = self.token(visitor)
        self.assertEqual(self.only().csrfToken, "the application's own")
        self.assertEqual(self.only().sessionTimeout, 300)
        self.assertDone(self.post(visitor, token))
        self.assertRefused(self.post(visitor, token[::-1]))

    def test_changesStay(self):
        """
        What was changed before a request was refused is kept, as for any other
        error of the application's, and what it had written into the answer is not.
        """

        def render(request):
            if request.method == b"GET":
                return look(request)
            change(request)
            request.setHeader(b"x-answer", b"yes")
            checkCSRF(request)
            return b"done"

        self.serve(render)
        visitor = self.client()
        visitor.fetch()
        answer = self.post(visitor)
        self.assertEqual(answer.code, 403)
        self.assertTrue(answer.sets)
        self.assertIsNone(answer.get("x-answer"))
        self.assertEqual(visitor.fetch().body, b"count 1")

    def test_tooLate(self):
        """
        Once the answer has begun, the refusal is an error of the application's; if
        it is still held, it is not too late.
        """

        def render(request):
            if request.method == b"GET":
                return page(request)
            if request.path == b"/held":
                change(request)
            request.write(b"early")
            checkCSRF(request)
            return b"done"

        self.serve(render)
        visitor = self.client()
        self.token(visitor)
        self.store.hold()
        visitor.send("/held", "POST")
        self.assertTrue(visitor.silent)
        self.store.pass_()
        self.assertRefused(visitor.answer())
        self.assertIn(b"early", self.post(visitor).body)
        self.assertEqual(len(self.flushLoggedErrors(CSRFRefused)), 1)

    def test_clientLeaves(self):
        """
        Nobody is left to be answered.
        """
        requests = []

        def render(request):
            requests.append(request)
            return NOT_DONE_YET

        self.serve(render)
        visitor = self.client()
        visitor.send("/", "POST")
        visitor.leave()
        [request] = requests
        from twisted.python.failure import Failure

        request.processingFailed(Failure(CSRFRefused("missing")))

    def test_strangers(self):
        """
        It takes requests of our own sites.
        """
        self.assertRaises(ConfigurationError, checkCSRF, DummyRequest([]))
        seen = []

        def render(request):
            try:
                checkCSRF(request)
            except ConfigurationError as error:
                seen.append(str(error))
            return b""

        root = self.serve(render).resource
        plain = server.Site(root)
        plain.requestFactory = Site.requestFactory
        self.client(site=plain).fetch(method="POST")
        self.assertIn("txsessions Site", seen[0])

    def test_message(self):
        """
        The error says what to do, and nothing of the token.
        """
        for reason in ("missing", "repeated", "wrong", "query", "site", "origin"):
            error = CSRFRefused(reason)
            self.assertEqual(error.reason, reason)
            self.assertIn("refused: ", str(error))
