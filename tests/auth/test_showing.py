"""
Tests of L{txsessions.auth._showing}: the headers of a login page, and pages that an
application brings.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.template import tags

from tests.auth.guarding import GuardCase
from tests.web.pages import Page
from txsessions.auth import LoginForm


class HeaderTests(GuardCase):
    """
    What is said beside the page.
    """

    def test_headers(self):
        """
        No cache keeps it, no page frames it, nothing gets into it, and its address goes
        to no other site.
        """
        self.begin()
        client = self.client()
        for answer in (client.fetch("/login"), self.signIn(client, password="wrong")):
            self.assertEqual(answer.get("content-type"), "text/html; charset=utf-8")
            self.assertEqual(answer.get("cache-control"), "no-store")
            self.assertEqual(answer.get("x-content-type-options"), "nosniff")
            self.assertEqual(answer.get("x-frame-options"), "DENY")
            self.assertEqual(answer.get("referrer-policy"), "same-origin")
            self.assertIn("default-src 'none'", answer.get("content-security-policy"))
            self.assertEqual(answer.get("vary"), "Cookie")


class OwnPageTests(GuardCase):
    """
    Pages that an application brings.
    """

    def setUp(self):
        """
        Remember what is to be shown.
        """
        super().setUp()
        self.forms = []

    def assertShown(self):
        """
        See that a page is shown, at first and after a wrong password; it has our
        headers, but its own style.
        """
        client = self.client(site=self.sites[-1])
        del self.forms[:]
        answer = client.fetch("/login?next=/a")
        self.assertEqual(answer.code, 200)
        self.assertIn(b"<p>None</p>", answer.body)
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertEqual(answer.get("content-security-policy"), None)
        [form] = self.forms
        self.assertEqual((form.action, form.returnTo), ("/login", "/a"))
        fields = {"csrf_token": form.csrfToken, "username": "ann", "password": "a"}
        self.post(client, "/login", fields)
        self.turn()
        answer = client.answer()
        self.assertEqual(answer.code, 403)
        self.assertIn(b"<p>wrong</p>", answer.body)
        self.assertEqual(self.forms[1].username, "ann")
        self.post(client, "/login", {**fields, "password": "sesame"})
        self.assertEqual(client.answer().code, 303)

    def show(self, form):
        """
        Remember it.
        """
        self.forms.append(form)
        return f"<p>{form.error}</p>"

    def test_text(self):
        """
        A function may make text, or bytes.
        """
        self.begin(page=self.show)
        self.assertShown()
        self.begin(page=lambda form: self.show(form).encode())
        self.assertShown()

    def test_template(self):
        """
        It may make what C{twisted.web.template} makes pages of.
        """

        def page(form):
            self.show(form)
            return tags.html(tags.p(str(form.error)))

        self.begin(page=page)
        self.assertShown()

    def test_resource(self):
        """
        It may be a resource.
        """
        self.begin(page=Page(lambda r: self.show(LoginForm.of(r)).encode()))
        self.assertShown()

    def test_slowResource(self):
        """
        Also one that answers later.
        """

        class Slow(Resource):
            def render(this, request):
                page = self.show(LoginForm.of(request)).encode()
                self.clock.callLater(0, self.send, request, page)
                return NOT_DONE_YET

        self.begin(page=Slow())
        client = self.client()
        client.send("/login")
        self.turn()
        self.assertEqual(client.answer().body, b"<p>None</p>")
        client.send("/other", "POST")
        self.turn()
        self.assertEqual(client.answer().body, b"<p>needed</p>")

    def send(self, request, page):
        """
        Answer.
        """
        request.write(page)
        request.finish()

    def test_slowTemplate(self):
        """
        And a template that waits for something; whose client has left meanwhile is
        sent nothing.
        """
        for leaves in (False, True):
            for fails in (False, True):
                waiting = Deferred()
                self.begin(page=lambda form, waiting=waiting: tags.p(waiting))
                client = self.client(site=self.sites[-1])
                client.send("/login")
                self.assertTrue(client.silent)
                if leaves:
                    client.leave()
                self.expects500 = fails
                if fails:
                    waiting.errback(KeyError("a"))
                    waiting.addErrback(lambda _: None)
                else:
                    waiting.callback("late")
                if leaves:
                    continue
                if fails:
                    self.assertEqual(client.answer().code, 500)
                    self.flushLoggedErrors()
                else:
                    self.assertIn(b"<p>late</p>", client.answer().body)

    def test_raises(self):
        """
        One that raises is an error like any other.
        """
        self.expects500 = True
        self.begin(page=lambda form: self.show(form) if form.error is None else 1 / 0)
        client = self.client()
        client.fetch("/login")
        fields = {"csrf_token": self.forms[0].csrfToken, "username": "ann"}
        self.post(client, "/login", fields)
        self.assertEqual(client.answer().code, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
