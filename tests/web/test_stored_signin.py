"""
Signing in by whole requests, in two sites on a store of each kind.
"""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.web.server import NOT_DONE_YET

from tests.web.signing import look
from tests.web.stored import StoredCase, inEveryStore
from txsessions import CookiePolicy, checkCSRF
from txsessions.errors import CSRFRefused, SessionGone, SignInNeeded
from txsessions.live.watching import WATCH_INTERVAL


class SignInTests(StoredCase):
    """
    Signing in and out.
    """

    async def test_everywhere(self):
        """
        Who signs in is known in both sites at once, what was in the session goes along
        but not to somebody else, and the id from before is dead in both.
        """
        client = await self.visitor()
        for path, told in (
            ("/in", b"ann 1 1"),
            ("/in?level=2", b"ann 2 1"),
            ("/in?who=bob", b"bob 1 0"),
            ("/out", b"nobody 0 0"),
        ):
            old = [self.client(site, like=client) for site in (self.site, self.there)]
            for each in old:
                # Both have it in memory.
                await self.body(each)
            await self.body(client, path, self.there)
            for site in (self.site, self.there):
                self.assertEqual(await self.body(client, site=site), told)
            for each in old:
                answer = await self.fetch(each, "/look")
                self.assertEqual((answer.body, answer.sets), (b"nobody 0 0", False))

    async def test_secondFactor(self):
        """
        A second factor that is sent to both sites at once: one has it, and the other
        is told that its session is gone, and sets no cookie.
        """
        client = await self.visitor("/in")
        both = [await self.pending(client, site) for site in (self.site, self.there)]
        outcomes = []
        for _, request, session in both:
            done = session.login(request, "ann", level=2)
            done.addBoth(outcomes.append)
            request.finish()
        answers = [await self.answered(connection) for connection, *_ in both]
        self.assertEqual(sorted(answer.sets for answer in answers), [False, True])
        await self.until(lambda: len(outcomes) == 2)
        (failed,) = [one for one in outcomes if one is not None]
        self.assertTrue(failed.check(SessionGone))
        (winner,) = [c for (c, *_), a in zip(both, answers, strict=True) if a.sets]
        self.assertEqual(await self.who(winner, client), ["ann", "nobody"])
        self.assertEqual(len(await self.handles()), 1)

    async def test_logoutByEveryId(self):
        """
        A logout by an id that another site has given up meanwhile ends the session
        under the new one, and one by the new id leaves none of the old.
        """
        for isLate in (True, False):
            client = await self.visitor("/in")
            old = self.client(self.there, like=client)
            connection, request, session = await self.pending(client, self.there)
            await self.body(client, "/in?level=2")
            if isLate:
                done = session.logout(request)
                request.finish()
                await self.answered(connection)
                await done
            else:
                request.finish()
                await self.answered(connection)
                await self.body(client, "/out", self.there)
            self.assertEqual(await self.who(client, old), ["nobody"] * 2)
            self.assertEqual(await self.handles(), [])

    async def test_requireFresh(self):
        """
        Every site knows when somebody has signed in, and how.
        """

        def page(request):
            try:
                request.getSession().requireFresh(60, level=2)
            except SignInNeeded as error:
                return str(error.authenticatedAt is not None).encode()
            return b"fresh"

        self.page("fresh", page)
        client = await self.visitor()
        for path, told in (
            ("/look", b"False"),
            ("/in", b"True"),
            ("/in?level=2", b"fresh"),
        ):
            await self.body(client, path)
            for site in (self.site, self.there):
                self.assertEqual(await self.body(client, "/fresh", site), told)
        self.clock.advance(61)
        for site in (self.site, self.there):
            self.assertEqual(await self.body(client, "/fresh", site), b"True")

    async def test_tokens(self):
        """
        A form of one site is accepted by the other, until somebody signs in.
        """

        def form(request):
            return request.getSession().csrfToken.encode()

        def act(request):
            try:
                checkCSRF(request)
            except CSRFRefused:
                return b"refused"
            return b"done"

        async def send(token):
            headers = (f"X-CSRF-Token: {token.decode()}",)
            return [
                await self.body(client, "/act", site, method="POST", headers=headers)
                for site in (self.site, self.there)
            ]

        self.page("form", form)
        self.page("act", act)
        client = await self.visitor()
        token = await self.body(client, "/form")
        self.assertEqual(await send(token), [b"done"] * 2)
        await self.body(client, "/in", self.there)
        self.assertEqual(await send(token), [b"refused"] * 2)
        token = await self.body(client, "/form", self.there)
        self.assertEqual(await send(token), [b"done"] * 2)

    async def test_flash(self):
        """
        A message that is left in one site is shown once, where two pages in both are
        rendered at the same time.
        """

        def leave(request):
            request.getSession().flash("saved")
            return b""

        def show(request):
            flashes = request.getSession().takeFlashes()
            return b" ".join(flash.text.encode() for flash in flashes) or b"nothing"

        self.page("leave", leave)
        self.page("show", show)
        client = await self.visitor("/in")
        await self.body(client, site=self.there)
        for _ in range(5):
            await self.body(client, "/leave")
            tabs = [self.client(s, like=client) for s in (self.there, self.site)]
            for tab in tabs:
                tab.send("/show")
            answers = [await self.answered(tab) for tab in tabs]
            # The one that was slower is asked for anew, unless it has found none.
            shown = [
                await self.body(tab, "/show") if answer.code == 307 else answer.body
                for tab, answer in zip(tabs, answers, strict=True)
            ]
            self.assertEqual(sorted(shown), [b"nothing", b"saved"])

    async def test_stream(self):
        """
        A stream ends when its session is ended in another site, by whatever: a sign-out,
        an end of all of the principal's, of this one, or of the others.
        """

        def others(request):
            request.getSession().endOthers(request)
            return b""

        def stream(request):
            request.getSession().closes(request)
            request.notifyFinish().addBoth(ends.append)
            request.write(b"data: 1\n\n")
            return self.wait(request)

        self.page("others", others)
        self.page("stream", stream)
        ends = []
        for way in range(4):
            client = await self.visitor("/in")
            listener = self.client(self.there, like=client)
            listener.send("/stream")
            await self.until(lambda: self.waiting)
            self.waiting.clear()
            if way == 0:
                await self.body(client, "/out")
            elif way == 1:
                await self.site.endPrincipal("ann")
            elif way == 2:
                await self.site.endSession("ann", (await self.handles())[0])
            else:
                await self.body(await self.visitor("/in"), "/others")
            self.clock.advance(WATCH_INTERVAL)
            await self.until(lambda way=way: len(ends) > way)
            self.assertFalse(listener.wire.connected)

    async def test_loaded(self):
        """
        A session that is loaded by its id in one site, and given to a request there,
        is the one that signed in in the other; and it ends with that.
        """

        async def choose(request):
            chosen = await self.there.loadSession(uids[0])
            if chosen is None:
                request.write(b"gone")
            else:
                request.setSession(chosen)
                request.write(look(request))
            request.finish()

        def render(request):
            Deferred.fromCoroutine(choose(request)).addErrback(request.processingFailed)
            return NOT_DONE_YET

        self.page("choose", render)
        uids = []
        client = await self.visitor()
        self.page("id", lambda request: uids.append(request.getSession().uid) or b"")
        await self.body(client, "/in")
        await self.body(client, "/id")
        chooser = self.client(self.there)
        self.assertEqual(await self.body(chooser, "/choose"), b"ann 1 1")
        await self.site.endPrincipal("ann")
        self.assertEqual(await self.body(chooser, "/choose"), b"gone")


class BearerTests(StoredCase):
    """
    Programs that sign in.
    """

    options = {"cookies": CookiePolicy(bearer=True)}  # noqa: RUF012 - a constant

    async def test_program(self):
        """
        A program signs in in one site and is known in both by its new id alone, until
        all sessions of its principal are ended.
        """

        def enter(request):
            session = request.getSession()

            def tell(_):
                told = {"id": request.getSession().uid.decode()}
                request.write(json.dumps(told).encode())
                request.finish()

            session.login(request, "ann").addCallback(tell)
            return NOT_DONE_YET

        async def ask(path, uid, site):
            headers = (f"Authorization: Session {uid}".strip(),)
            answer = await self.fetch(self.client(site), path, headers=headers)
            self.assertEqual(answer.all("set-cookie"), [])
            return answer

        self.page("enter", enter)
        first = json.loads((await ask("/enter", "", self.site)).body)["id"]
        uid = json.loads((await ask("/enter", first, self.there)).body)["id"]
        for site in (self.site, self.there):
            self.assertEqual((await ask("/look", uid, site)).body, b"ann 1 0")
            self.assertEqual((await ask("/look", first, site)).body, b"nobody 0 0")
        await self.there.endPrincipal("ann")
        for site in (self.site, self.there):
            self.assertEqual((await ask("/look", uid, site)).body, b"nobody 0 0")


inEveryStore(SignInTests, globals())
inEveryStore(BearerTests, globals())
del SignInTests, BearerTests
