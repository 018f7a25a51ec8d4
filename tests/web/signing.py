"""
A site on which people sign in, and who they are then.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.oracle import WebCase
from tests.web.pages import Page, count

KEEP = {b"yes": True, b"no": False}


def tell(session):
    """
    Say who is signed in on a session, how sure it is, and what it counts.
    """
    counted = session.sessionNamespaces.get("count", 0)
    return b"%s %d %d" % (
        (session.principal or "nobody").encode(),
        session.level,
        counted,
    )


def look(request):
    """
    A page that says so.
    """
    return tell(request.getSession())


def signIn(request, session=None):
    """
    A page on which people sign in.

    @param session: The session, if it is not to be asked for.
    """
    if session is None:
        session = request.getSession()
    who, level, keep = (
        request.args.get(name, [default])[0]
        for name, default in ((b"who", b"ann"), (b"level", b"1"), (b"keep", b""))
    )
    done = session.login(request, who.decode(), level=int(level), keep=KEEP.get(keep))
    request.done = done
    return look(request)


def signOut(request):
    """
    A page on which they sign out.
    """
    clear = [what.decode() for what in request.args.get(b"clear", [])]
    request.getSession().logout(request, clear=clear)
    return b"out"


class SignInCase(WebCase):
    """
    A site with a counter, a sign-in, a sign-out, and a page that waits.

    @ivar waiting: The requests that wait, with their sessions.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.waiting = []
        self.root = Resource()
        self.root.putChild(b"count", Page(count))
        self.root.putChild(b"look", Page(look))
        self.root.putChild(b"in", Page(signIn))
        self.root.putChild(b"out", Page(signOut))
        self.root.putChild(b"wait", Page(self.wait))
        self.begin()

    def begin(self):
        """
        Begin to serve.
        """
        self.serve(self.root)

    def wait(self, request):
        """
        A page that answers when the test does.
        """
        self.waiting.append((request, request.getSession()))
        return NOT_DONE_YET

    def page(self, render):
        """
        Serve one more page, as C{/page}.
        """
        self.root.putChild(b"page", Page(render))

    def visitor(self, *paths, site=None):
        """
        A client that has been to some pages.
        """
        client = self.client(site=site)
        for path in paths or ("/count",):
            client.fetch(path)
        return client

    def twin(self, client, site=None):
        """
        Another client that has the cookies which a client has now.
        """
        other = self.client(site=site)
        other.jar.cookies.update(client.jar.cookies)
        return other

    def seen(self, client, path="/look"):
        """
        What a client is told, by a connection of its own.
        """
        other = self.client(jar=client.jar, site=client.protocol.site)
        return other.fetch(path).body

    def asked(self, cookie, site=None, path="/look"):
        """
        The answer to somebody with this C{Cookie} header.
        """
        client = self.client(site=site)
        return client.fetch(path, headers=(f"Cookie: {cookie}",), cookies=False)

    def finish(self, request, body=b""):
        """
        Answer a request that waits.
        """
        if body:
            request.write(body)
        request.finish()


__all__ = ["SignInCase", "look", "signIn", "signOut", "tell"]
