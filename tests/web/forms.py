"""
A site with a form on each of its pages, and a visitor who fills it in.
"""

from __future__ import annotations

from urllib.parse import urlencode

from tests.live.sites import Listener
from tests.web.again import AgainCase
from tests.web.pages import change
from txsessions import checkCSRF
from txsessions.live.events import EventKind

REFUSED = EventKind.REFUSED

FORM = "Content-Type: application/x-www-form-urlencoded"

BOUNDARY = b"""--x\r
Content-Disposition: form-data; name="%s"\r
\r
%s\r
--x--\r
"""


def page(request):
    """
    Show a form, or do what it asks for.
    """
    session = request.getSession()
    if request.method == b"GET":
        return session.csrfToken.encode("ascii")
    if request.path == b"/sign-in":
        checkCSRF(request)
        session.rotate(request)
        return b"signed in"
    checkCSRF(request)
    return b"done %d" % change(request)["count"]


class FormsCase(AgainCase):
    """
    A site with forms.
    """

    def serve(self, root=page, *args, **how):
        """
        See L{WebCase.serve}; hears what is told.
        """
        site = super().serve(root, *args, **how)
        self.heard = Listener()
        site.addSessionListener(self.heard)
        return site

    def token(self, client):
        """
        Get a form, and the token in it.
        """
        answer = client.fetch()
        self.assertEqual(answer.code, 200)
        return answer.body.decode("ascii")

    def post(self, client, token=None, path="/", headers=(), method="POST", **fields):
        """
        Send a form.
        """
        if token is not None:
            fields["csrf_token"] = token
        return client.fetch(
            path,
            method,
            headers=(FORM, *headers),
            body=urlencode(fields).encode("ascii"),
        )

    def assertRefused(self, answer, tag=None):
        """
        See that a request was refused with a page that says so, and that this was
        told.

        @param tag: Of which session; of the only one, if not given.
        """
        self.assertEqual(answer.code, 403)
        self.assertIn(b"reload the page", answer.body)
        self.assertEqual(answer.get("cache-control"), "no-store")
        told = [(e.reason, e.tag) for e in self.heard.events if e.kind is REFUSED]
        del self.heard.events[:]
        if tag is None:
            tag = self.only().tag
        self.assertEqual(told, [("csrf", tag)])

    def assertDone(self, answer):
        """
        See that a request was heard.
        """
        self.assertEqual((answer.code, answer.body[:4]), (200, b"done"))
        del self.heard.events[:]


__all__ = ["BOUNDARY", "FORM", "FormsCase", "page"]
