"""
What Twisted's manual shows of sessions, done by programs that know nothing but
Twisted: it works as it is told there, and outlives the process.
"""

from __future__ import annotations

from twisted.python.components import registerAdapter
from twisted.web.resource import Resource
from twisted.web.server import Session
from zope.interface import Attribute, Interface, implementer

from tests.web.durable import DurableCase


class Badge(Resource):
    """
    Shows the id of the session.
    """

    def render_GET(self, request):
        """
        See C{Resource}.
        """
        return b"badge " + request.getSession().uid


class Leave(Resource):
    """
    Ends the session.
    """

    def render_GET(self, request):
        """
        See C{Resource}.
        """
        request.getSession().expire()
        return b"left"


class ICounter(Interface):
    """
    Something that counts.
    """

    value = Attribute("How far it has come.")


@implementer(ICounter)
class Counter:
    """
    See L{ICounter}.
    """

    def __init__(self, session):
        """
        @param session: Whose counter.
        """
        self.value = 0


registerAdapter(Counter, Session, ICounter)


class Turnstile(Resource):
    """
    Counts the visits of each visitor.
    """

    isLeaf = True

    def render_GET(self, request):
        """
        See C{Resource}.
        """
        counter = ICounter(request.getSession())
        counter.value += 1
        return b"%d" % counter.value


class BriefSession(Session):
    """
    A session that ends soon.
    """

    sessionTimeout = 5


class Register(Resource):
    """
    Notes who comes, and who stays away.

    @ivar present: Who is here.
    @ivar gone: Who has gone.
    """

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.present = set()
        self.gone = []

    def render_GET(self, request):
        """
        See C{Resource}.
        """
        session = request.getSession()
        if session.uid not in self.present:
            self.present.add(session.uid)
            session.notifyOnExpire(lambda: self.leaves(session.uid))
        return session.uid

    def leaves(self, uid):
        """
        Somebody's session has ended.
        """
        self.present.remove(uid)
        self.gone.append(uid)


class BasicsTests(DurableCase):
    """
    The id of a session, and its end.
    """

    def serve(self):
        """
        Serve both pages.
        """
        root = Resource()
        root.putChild(b"show", Badge())
        root.putChild(b"expire", Leave())
        self.begin(root)

    async def test_show(self):
        """
        The id stays the same from one visit to the next, and is the cookie's.
        """
        self.serve()
        client = self.visitor()
        first = await self.fetch(client, "/show")
        self.assertEqual(first.body, b"badge " + first.cookie.value.encode())
        second = await self.fetch(client, "/show")
        self.assertEqual(second.body, first.body)
        other = await self.fetch(self.visitor(), "/show")
        self.assertNotEqual(other.body, first.body)

    async def test_expire(self):
        """
        After its end there is another.
        """
        self.serve()
        client = self.visitor()
        first = await self.fetch(client, "/show")
        answer = await self.fetch(client, "/expire")
        self.assertEqual(answer.body, b"left")
        second = await self.fetch(client, "/show")
        self.assertNotEqual(second.body, first.body)

    async def test_restart(self):
        """
        The id is the same after a restart, and what has ended stays so.
        """
        self.serve()
        stays, leaves = self.visitor(), self.visitor()
        first = await self.fetch(stays, "/show")
        left = await self.fetch(leaves, "/show")
        # As a browser that missed the end of its session.
        jar = leaves.sent()
        await self.fetch(leaves, "/expire")
        await self.end()
        self.serve()
        second = await self.fetch(self.visitor(stays), "/show")
        self.assertEqual(second.body, first.body)
        late = self.visitor()
        headers = tuple(f"Cookie: {header.decode()}" for header in jar)
        third = await self.fetch(late, "/show", headers=headers, cookies=False)
        self.assertNotEqual(third.body, left.body)


class StoreTests(DurableCase):
    """
    An object of the application's, kept with the session by an adapter.
    """

    async def test_counts(self):
        """
        Each visitor has a counter.
        """
        self.begin(Turnstile())
        first, second = self.visitor(), self.visitor()
        bodies = [(await self.fetch(c)).body for c in (first, first, second, first)]
        self.assertEqual(bodies, [b"1", b"2", b"1", b"3"])

    async def test_restart(self):
        """
        It counts on after a restart.
        """
        self.begin(Turnstile())
        client = self.visitor()
        await self.fetch(client)
        await self.fetch(client)
        await self.end()
        self.begin(Turnstile())
        self.assertEqual((await self.fetch(self.visitor(client))).body, b"3")


class EndingsTests(DurableCase):
    """
    A session class with a time of its own, and a callback at its end.
    """

    def serve(self):
        """
        Serve the page.
        """
        self.register = Register()
        self.begin(self.register).sessionFactory = BriefSession

    async def test_endsByItself(self):
        """
        The callback is called when the visitor has stayed away too long, and not
        before.
        """
        self.serve()
        client = self.visitor()
        uid = (await self.fetch(client)).body
        self.clock.advance(4)
        self.assertEqual((await self.fetch(client)).body, uid)
        self.clock.advance(4.5)
        self.assertEqual(self.register.gone, [])
        self.clock.advance(1)
        await self.until(lambda: self.register.gone)
        self.assertEqual((self.register.gone, self.register.present), ([uid], set()))
        self.assertNotEqual((await self.fetch(self.visitor(client))).body, uid)

    async def test_restart(self):
        """
        The session and its time go on after a restart.
        """
        self.serve()
        client = self.visitor()
        uid = (await self.fetch(client)).body
        await self.end()
        self.clock.advance(2)
        self.serve()
        after = await self.fetch(self.visitor(client))
        self.assertEqual(after.body, uid)
        self.clock.advance(4.5)
        self.assertEqual(self.register.gone, [])
        self.clock.advance(1)
        await self.until(lambda: self.register.gone)
        self.assertEqual(self.register.gone, [uid])
