"""
The limits of sessions, and clocks that jump, by whole requests in two sites on a store of
each kind.
"""

from __future__ import annotations

from tests.live.sites import Listener
from tests.web.signing import look
from tests.web.stored import StoredCase, inEveryStore
from txsessions.core.lifetime import TOUCH_LIMIT
from txsessions.errors import SignInNeeded
from txsessions.live.events import EventKind

IDLE = 900
HOUR = 3600
YEARS = 10 * 365 * 24 * HOUR


class LimitTests(StoredCase):
    """
    Time that passes.
    """

    # Servers have clocks of their own, which do not pass with that of a test.
    tolerance = 1e9

    @property
    def both(self):
        """
        The two sites, the one where the session was made last.
        """
        return self.there, self.site

    async def told(self, client):
        """
        What both say, one after the other, of a browser as it is now.
        """
        clients = [self.client(site, like=client) for site in self.both]
        return [await self.body(each) for each in clients]

    async def test_idle(self):
        """
        A session that nobody uses is alive a second before its time is over, in each
        site; it is dead a touch interval after that at the latest, and a cookie that
        comes then is nobody's, however often.
        """
        for site in self.both:
            client = await self.visitor("/in")
            await self.goBy(IDLE - 1)
            self.assertEqual(await self.body(client, site=site), b"ann 1 0")
        client = await self.visitor("/in")
        await self.goBy(IDLE + TOUCH_LIMIT)
        for _ in range(3):
            self.assertEqual(await self.told(client), [b"nobody 0 0"] * 2)
        self.assertEqual(await self.handles(), [])

    async def test_used(self):
        """
        One that is used every half of that time lives on, wherever it is used.
        """
        client = await self.visitor("/in")
        for number in range(7):
            await self.goBy(IDLE / 2)
            found = await self.body(client, site=self.both[number % 2])
            self.assertEqual(found, b"ann 1 0")

    async def test_lifetime(self):
        """
        The limit in all is exact in both, however busy the session is, and moved by no
        new id.
        """

        def begin(request):
            request.getSession().sessionLifetime = 2000
            return look(request)

        def rotate(request):
            request.getSession().rotate(request)
            return look(request)

        self.page("begin", begin)
        self.page("rotate", rotate)
        client = await self.visitor("/in", "/begin")
        for number, path in enumerate(("/look", "/rotate", "/count", "/rotate")):
            await self.goBy(450)
            await self.body(client, path, self.both[number % 2])
        await self.goBy(199)
        self.assertEqual(await self.told(client), [b"ann 1 1"] * 2)
        await self.goBy(1)
        self.assertEqual(await self.told(client), [b"nobody 0 0"] * 2)
        self.assertEqual(await self.handles(), [])

    async def test_forward(self):
        """
        A clock that is set forward may end sessions, and makes none live longer.
        """
        for jump in (HOUR, YEARS):
            client = await self.visitor("/in")
            await self.goBy(jump)
            self.assertEqual(await self.told(client), [b"nobody 0 0"] * 2)
        self.assertEqual((await self.fetch(self.client(), "/in")).code, 200)

    async def test_back(self):
        """
        One that is set back makes nothing fail, and brings nobody back; who is there
        lives by as much longer at most.
        """
        gone, client = await self.visitor("/in"), await self.visitor("/in?who=bob")
        old = self.client(like=gone)
        await self.body(gone, "/out")
        for jump in (HOUR, 5 * HOUR):
            await self.goBy(-jump)
            self.assertEqual(await self.told(client), [b"bob 1 0"] * 2)
            self.assertEqual(await self.told(old), [b"nobody 0 0"] * 2)
        await self.goBy(6 * HOUR + IDLE + TOUCH_LIMIT)
        self.assertEqual(await self.told(client), [b"nobody 0 0"] * 2)

    async def test_fresh(self):
        """
        Nor does it make a sign-in fresh that is not.
        """

        def page(request):
            try:
                request.getSession().requireFresh(300)
            except SignInNeeded:
                return b"stale"
            return b"fresh"

        self.page("fresh", page)
        client = await self.visitor("/in")
        for site in self.both:
            self.assertEqual(await self.body(client, "/fresh", site), b"fresh")
        await self.goBy(400)
        for jump in (0, 350, 100):
            await self.goBy(-jump)
            for site in self.both:
                found = await self.body(client, "/fresh", site)
                self.assertEqual(found, b"stale", jump)

    async def test_orphans(self):
        """
        A session whose visitor never got its cookie, and one that nobody uses any more,
        are swept out of the store when their time is over, and told of once; those that
        are used are not.
        """
        heard = Listener()
        for site in self.both:
            site.addSessionListener(heard)
        user = await self.visitor("/in?who=bob")
        before = self.place.held()
        await self.visitor("/in")
        gone = self.client()
        gone.send("/count")
        gone.leave()
        await self.goBy(IDLE / 2)
        self.assertGreaterEqual(len(self.place.held()), len(before) + 2)

        def isSwept():
            return len(self.place.held()) == len(before)

        for number in range(3):
            await self.body(user, site=self.both[number % 2])
            await self.goBy(IDLE / 2)
            # Who has claimed them tells of them before his lease is over.
            await self.until(isSwept if number else lambda: True)
        expired = [e.tag for e in heard.events if e.kind is EventKind.EXPIRED]
        self.assertEqual(len(set(expired)), 2)
        self.assertEqual(len(expired), 2)
        self.assertEqual(await self.told(user), [b"bob 1 0"] * 2)

    async def test_slowRequest(self):
        """
        A request that takes an hour hinders no other, in no site, while the session is
        used, changed and given another id; what it says at last takes nothing back.
        """
        client = await self.visitor("/in", "/count")
        slow, request, session = await self.pending(client, self.there)
        for number in range(2, 9):
            await self.goBy(500)
            site = self.both[number % 2]
            self.assertEqual(
                await self.body(client, "/count", site), b"count %d" % number
            )
            self.assertEqual(await self.who(await self.visitor("/in?who=bob")), ["bob"])
        (before,) = await self.site.sessionsOf("ann")
        session["slow"] = True
        request.finish()
        self.assertFalse((await self.answered(slow)).sets)
        (after,) = await self.site.sessionsOf("ann")
        self.assertGreaterEqual(after.lastSeenAt, before.lastSeenAt)
        self.assertEqual(await self.told(client), [b"ann 1 8"] * 2)


inEveryStore(LimitTests, globals())
del LimitTests
