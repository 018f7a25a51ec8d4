"""
Logging out by whole requests, in two sites on a store of each kind: late requests, ids
that are dead, and who is nobody.
"""

from __future__ import annotations

from tests.web.stored import StoredCase, inEveryStore
from txsessions.core.lifetime import TOUCH_LIMIT
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionGone

IDLE = 900


class LogoutTests(StoredCase):
    """
    Somebody who signs out.
    """

    # Servers have clocks of their own, which do not pass with that of a test.
    tolerance = 1e9

    async def test_late(self):
        """
        Whatever a request does that was there before the logout, and in whichever site,
        nothing comes back: it hands out no cookie, what it would save is gone, and the
        id is dead in both.
        """
        for what in ("nothing", "touch", "change", "save", "rotate", "login", "flash"):
            for site in (self.site, self.there):
                client = await self.visitor("/in", "/count")
                uid = client.sent()[0].partition(b"=")[2]
                old = self.client(like=client)
                late, request, session = await self.pending(client, site)
                await self.body(client, "/out")
                done = self.do(what, request, session)
                request.write(b"late")
                request.finish()
                answer = await self.answered(late)
                self.assertEqual((answer.code, answer.sets), (200, False), what)
                if done is not None:
                    error = await self.failureOf(done)
                    self.assertIsInstance(error, SessionGone, what)
                self.assertEqual(await self.who(old), ["nobody"], what)
                self.assertEqual(await self.handles(), [])
                self.assertIsNone(await self.recordOf(uid))

    def do(self, what, request, session):
        """
        Do something with a session that has ended, though nobody here may know.

        @return: What comes of it, if that can be waited for.
        """
        if what == "touch":
            # In the site of the logout it is known.
            if session.uid in request.site.sessions:
                session.touch()
        elif what == "flash":
            session.flash("a message")
        elif what != "nothing":
            session["count"] = 100
        if what == "save":
            return session.save()
        if what == "rotate":
            return session.rotate(request)
        if what == "login":
            return session.login(request, "ann", level=2)
        return None

    async def failureOf(self, done):
        """
        Wait for something that fails.
        """
        outcomes = []
        done.addBoth(outcomes.append)
        await self.until(lambda: outcomes)
        return getattr(outcomes[0], "value", outcomes[0])

    async def recordOf(self, uid):
        """
        What the store has of an id.
        """
        key = storeKeyOf(b"", uid)
        store = await self.storeOf(self.there)
        found = await store.load(key, self.clock.seconds())
        return found if hasattr(found, "payload") else None

    async def test_ranOut(self):
        """
        So it is where the session has run out before a late request saves, and was
        swept or not.
        """
        for seconds in (IDLE + TOUCH_LIMIT, 10 * IDLE):
            client = await self.visitor("/in")
            late, request, session = await self.pending(client, self.there)
            await self.goBy(seconds)
            session["late"] = True
            request.finish()
            self.assertFalse((await self.answered(late)).sets)
            self.assertEqual(await self.who(client), ["nobody"])
            self.assertEqual(await self.handles(), [])

    async def test_nobody(self):
        """
        Who has no session, or a dead one, or none of ours, signs out as often as he
        likes; that makes nothing.
        """
        client = await self.visitor("/in")
        (dead,) = (each.decode() for each in client.sent())
        await self.body(client, "/out")
        # By then its id is one that never was.
        await self.goBy(100)
        await self.visitor("/in?who=bob")
        held = self.place.held()
        for _ in range(20):
            for site in (self.site, self.there):
                for cookie in (None, dead, f"sid={'5a' * 32}", "sid=x"):
                    headers = () if cookie is None else (f"Cookie: {cookie}",)
                    answer = await self.fetch(
                        self.client(site), "/out", headers=headers, cookies=False
                    )
                    self.assertEqual((answer.code, answer.sets), (200, False))
        self.assertEqual(self.place.held(), held)

    async def test_overtaken(self):
        """
        A cookie that comes after the logout, of an answer that was faster to be made, is
        one of a dead session.
        """
        client = self.client()
        answer = await self.fetch(client, "/in")
        late = answer.all("set-cookie")[0]
        await self.body(client, "/out", self.there)
        self.assertEqual(client.sent(), [])
        client.jar.receive(late.encode(), host="example.org", path="/", https=False)
        self.assertEqual(len(client.sent()), 1)
        self.assertEqual(await self.who(client), ["nobody"])


inEveryStore(LogoutTests, globals())
del LogoutTests
