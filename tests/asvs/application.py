"""
An application as an auditor would find one: people sign in and out, see their sessions
and end them, change a password and pay.

It makes the calls that docs/security.md says are to be made, and nothing else.
"""

from __future__ import annotations

from twisted.internet.defer import ensureDeferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from tests.web.pages import Page, count
from tests.web.signing import look, signIn

MINUTES = 60.0


class LaterPage(Page):
    """
    A page that a coroutine renders.
    """

    def __init__(self, render):
        """
        @param render: Takes the request, and returns the body at last.
        """

        def begin(request):
            rendered = ensureDeferred(render(request))
            rendered.addCallbacks(request.write, request.processingFailed)
            rendered.addBoth(lambda _: request.finished or request.finish())
            return NOT_DONE_YET

        super().__init__(begin)


def argument(request, name):
    """
    What a form or a link says.
    """
    return request.args[name][0].decode("ascii")


def signOut(request):
    """
    A page on which people sign out.
    """
    request.logout()
    return b"out"


def rotate(request):
    """
    A page that asks for a new id without a sign-in.
    """
    request.getSession().rotate(request)
    return look(request)


async def devices(request):
    """
    A page with the sessions of who is signed in, a line each, and this one marked.
    """
    session = request.getSession()
    mine = await request.site.sessionsOf(session.principal)
    lines = [
        f"{each.handle} {'this' if each.handle == session.handle else 'other'}"
        for each in mine
    ]
    return "\n".join(lines).encode("ascii")


async def end(request):
    """
    A page on which they end one of them.
    """
    session = request.getSession()
    session.requireFresh(5 * MINUTES)
    handle = argument(request, b"handle")
    ended = await request.site.endSession(session.principal, handle)
    return b"ended" if ended else b"none of yours"


def password(request):
    """
    A page for a new password: all other sessions end.
    """
    session = request.getSession()
    session.requireFresh(5 * MINUTES)
    session.endOthers(request)
    return b"changed"


def pay(request):
    """
    A page for what is most sensitive: a second factor, a minute ago at most.
    """
    request.getSession().requireFresh(MINUTES, level=2)
    return b"paid"


async def close(request):
    """
    A page for administrators: an account is closed.
    """
    ended = await request.site.endPrincipal(argument(request, b"who"))
    return b"%d ended" % ended


async def closeAll(request):
    """
    A page for administrators: everybody has to sign in again.
    """
    await request.site.endEverybody()
    return b"all ended"


def newId(request):
    """
    A page where a program signs in, which is told its id in the body.
    """
    session = request.getSession()

    async def tell(_):
        await session.login(request, "robot")
        return request.getSession().uid

    return LaterPage(tell).render(request)


class Application(Resource):
    """
    The pages.

    @ivar waiting: The requests that wait until the test goes on, each with its session.
    """

    PAGES = (
        (b"look", Page(look)),
        (b"count", Page(count)),
        (b"in", Page(signIn)),
        (b"out", Page(signOut)),
        (b"rotate", Page(rotate)),
        (b"devices", LaterPage(devices)),
        (b"end", LaterPage(end)),
        (b"password", Page(password)),
        (b"pay", Page(pay)),
        (b"close", LaterPage(close)),
        (b"closeall", LaterPage(closeAll)),
        (b"program", Page(newId)),
        (b"plain", Page(lambda _: b"nothing of a session")),
    )

    def __init__(self):
        """
        Put them in their places.
        """
        super().__init__()
        self.waiting = []
        for path, page in self.PAGES:
            self.putChild(path, page)
        self.putChild(b"wait", Page(self.wait))

    def wait(self, request):
        """
        A page that takes its time.
        """
        self.waiting.append((request, request.getSession()))
        return NOT_DONE_YET


__all__ = ["Application", "LaterPage"]
