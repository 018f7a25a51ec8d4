"""
A site behind a guard, with a realm that remembers what it was asked, and visitors who
fill in its form.
"""

from __future__ import annotations

import re
from html import unescape
from urllib.parse import urlencode

from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource, Resource
from zope.interface import implementer

from tests.live.sites import Listener
from tests.web.forms import FORM
from tests.web.oracle import WebCase
from txsessions.auth import SessionGuard

_FIELD = re.compile(r'<input[^>]*name="([^"]*)"[^>]*>')
_VALUE = re.compile(r'value="([^"]*)"')


def fieldsOf(answer):
    """
    See what is in the form of an answer.

    @return: The values by the names of the fields.
    """
    found = {}
    for field in _FIELD.finditer(answer.body.decode("utf-8")):
        value = _VALUE.search(field[0])
        found[field[1]] = unescape(value[1]) if value else ""
    return found


class Home(Resource):
    """
    What somebody has: pages that say whose they are.
    """

    def __init__(self, who):
        super().__init__()
        self.who = who

    def getChild(self, path, request):
        """
        See C{Resource.getChild}.
        """
        return self

    def render_GET(self, request):
        """
        Say whose it is, and what was asked for.
        """
        return b"%s at %s" % (self.who, b"/".join(request.prepath))

    def render_POST(self, request):
        """
        The same.
        """
        return b"posted to " + self.render_GET(request)


@implementer(IRealm)
class Realm:
    """
    Gives everybody a home, and remembers for whom, and who has left.

    @ivar asked: The avatar ids that it was asked for.
    @ivar left: Those whose logout was called.
    """

    def __init__(self, make=Home):
        self.asked = []
        self.left = []
        self.make = make

    def requestAvatar(self, avatarId, mind, *interfaces):
        """
        See C{IRealm.requestAvatar}.
        """
        self.asked.append(avatarId)
        assert mind is None
        assert interfaces == (IResource,)
        return self.answer(avatarId)

    def answer(self, avatarId):
        """
        What is given.
        """
        who = avatarId if avatarId != () else b"nobody"
        return IResource, self.make(who), lambda: self.left.append(avatarId)


class GuardCase(WebCase):
    """
    A site behind a guard.
    """

    def setUp(self):
        """
        Make a realm with two users.
        """
        super().setUp()
        self.realm = Realm()
        self.checker = InMemoryUsernamePasswordDatabaseDontUse(
            ann=b"sesame", bob=b"hunter2"
        )
        self.portal = Portal(self.realm, [self.checker])

    def begin(self, **how):
        """
        Begin to serve.
        """
        self.guard = SessionGuard(self.portal, **how)
        self.serve(self.guard)

    def form(self, client, path="/login", code=200):
        """
        Get the login page, and see what is in its form.

        @return: The fields, by name.
        """
        answer = client.fetch(path)
        self.assertEqual(answer.code, code)
        return self.fields(answer)

    def fields(self, answer):
        """
        See what is in the form of an answer.
        """
        return fieldsOf(answer)

    def post(self, client, path, fields, *headers):
        """
        Send a form.
        """
        body = urlencode(fields).encode("ascii")
        client.send(path, "POST", headers=(FORM, *headers), body=body)

    def enter(self, client, name="ann", password="sesame", path="/login", **more):
        """
        Get the login page, fill it in and send it; the answer is not read.
        """
        fields = self.form(client, path)
        fields.pop("remember", None)
        fields.update(username=name, password=password, **more)
        self.post(client, path.partition("?")[0], fields)

    def signIn(self, client, *args, **more):
        """
        Sign in.

        @return: The answer to the form.
        """
        self.enter(client, *args, **more)
        return client.answer()

    def signedIn(self, *args, **more):
        """
        A client that has signed in.
        """
        client = self.client()
        answer = self.signIn(client, *args, **more)
        self.assertEqual(answer.code, 303, answer.body)
        return client

    def signOut(self, client):
        """
        Sign out.

        @return: The answer.
        """
        self.post(client, "/logout", self.form(client, "/logout"))
        return client.answer()


class Asked:
    """
    A checker that a test answers for.

    @ivar asked: The names and passwords.
    """

    credentialInterfaces = (IUsernamePassword,)

    def __init__(self, answer=None):
        self.asked = []
        self.answer = answer

    def requestAvatarId(self, credentials):
        """
        See C{ICredentialsChecker.requestAvatarId}.
        """
        self.asked.append((credentials.username, credentials.password))
        return Deferred() if self.answer is None else self.answer()


class LoginCase(GuardCase):
    """
    A login page.
    """

    def setUp(self):
        """
        Have a checker whose answers a test gives.
        """
        super().setUp()
        self.asked = Asked()

    def check(self, answer):
        """
        See L{GuardCase.check}; no page of these is kept by a cache.
        """
        super().check(answer)
        self.assertIn("no-store", answer.get("cache-control"))

    def asking(self, answer=None, **how):
        """
        Serve with a checker of the test's.
        """
        self.asked.answer = answer
        self.portal = Portal(self.realm, [self.asked])
        self.begin(**how)
        return self.asked

    def listen(self):
        """
        Hear what is told.
        """
        heard = Listener()
        self.site.addSessionListener(heard)
        return heard


__all__ = ["Asked", "GuardCase", "Home", "LoginCase", "Realm", "fieldsOf"]
