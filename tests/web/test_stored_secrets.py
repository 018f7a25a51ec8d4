"""
No id, no key and nobody's name gets out, whatever the store: each is looked for in what
the store was given, byte for byte where that goes over a wire, in what it keeps, in what
is logged and answered, and in what objects and errors show.
"""

from __future__ import annotations

from twisted.internet.defer import maybeDeferred
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from tests.live.sites import Listener
from tests.searching import Search, objectsOfOurs, saidOf, variablesOfOurs
from tests.web.stored import StoredCase, inEveryStore
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionError

WHO = "grace.hopper@example.org"
LEFT = b"a message for nobody else"
AGENT = b"a browser with a very long name"


class SecretTests(StoredCase):
    """
    Two people's sessions from the first visit to the last, and an outage.
    """

    isWatched = True

    def setUp(self):
        """
        Serve, and hear all that is said.
        """
        super().setUp()
        self.events, self.texts, self.sent = [], [], b""
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.addCleanup(self.flushLoggedErrors)
        self.heard = Listener()
        for site in (self.site, self.there):
            site.displayTracebacks = site.keepsClients = True
            site.addSessionListener(self.heard)
        self.page("enter", self.enter)
        self.page("leave", self.leave)
        self.page("others", self.others)
        self.page("fails", self.fails)
        self.ids, self.secrets, self.contents = [], Search(), Search()
        self.contents.add("who", WHO.encode())
        self.contents.add("what", LEFT)
        self.contents.add("the browser", AGENT)
        for key in (self.keys.active, *self.keys.others):
            self.secrets.add("a root key", key.secret)
            for purpose in (b"record", b"csrf", b"index"):
                self.secrets.add(f"the key for {purpose!r}", key.derive(purpose))

    def enter(self, request):
        """
        Sign in, so that no access log has the name.
        """
        level = int(request.args.get(b"level", [b"1"])[0])
        request.getSession().login(request, WHO, level=level)
        return b""

    def leave(self, request):
        """
        Leave something, and see what a traceback would show from here.
        """
        session = request.getSession()
        session["text"] = LEFT.decode()
        self.texts += [
            *variablesOfOurs(),
            repr(session),
            str(request),
            repr(vars(session)),
        ]
        return b""

    def others(self, request):
        """
        Sign the others out.
        """
        request.getSession().endOthers(request).addErrback(lambda _: None)
        return b""

    def fails(self, request):
        """
        Fail with a session at hand.
        """
        session = request.getSession()
        raise ValueError(f"trouble with {session!r}")

    def check(self, answer):
        """
        Keep all of an answer but the line that gives the cookie.
        """
        shown = [f"{n}: {v}" for n, v in answer.headers.items() if n != "Set-Cookie"]
        self.texts += [answer.body, "\n".join(shown)]
        for cookie in answer.cookies.values():
            if cookie.value:
                self.ids.append(cookie.value.encode())

    async def go(self, client, path, site=None):
        """
        Go to a page, and see what the store has by then.
        """
        headers = (f"User-Agent: {AGENT.decode()}",)
        connection = self.client(site or self.there)
        connection.jar = client.jar
        answer = await self.fetch(connection, path, headers=headers)
        self.sent += self.place.sent()
        return answer

    async def live(self):
        """
        Two browsers that go everywhere.
        """
        one, two = self.client(), self.client()
        for path in (
            "leave",
            "count",
            "enter",
            "enter?level=2",
            "fails",
        ):
            for client in (one, two):
                await self.go(client, f"/{path}")
        await self.go(one, "/others")
        await self.go(two, "/enter", self.site)
        handles = await self.handles(WHO)
        self.assertEqual(len(handles), 2)
        self.texts += [repr(await self.site.sessionsOf(WHO)), *handles]
        await self.site.endSession(WHO, handles[0])
        for client in (one, two):
            await self.go(client, "/enter")
        await self.go(two, "/out")
        await self.there.endPrincipal(WHO)
        await self.go(one, "/enter")
        self.look()
        await self.there.erasePrincipal(WHO)
        # What is dead, and what never was, is said nothing of either.
        for uid in self.ids[:2]:
            for value in (uid, uid.upper(), storeKeyOf(b"", uid).hex().encode()):
                stranger = self.client()
                await self.fetch(
                    stranger, "/count", headers=(f"Cookie: sid={value.decode()}",)
                )
        self.sent += self.place.sent()

    def look(self):
        """
        See what all objects show of themselves.
        """
        for site in (self.site, self.there):
            for each in objectsOfOurs(site):
                self.texts += [repr(each), str(each), f"{each!r:>10}"]
        for event in self.heard.events:
            self.texts += [repr(event), str(event)]

    async def outage(self):
        """
        A store that is closed under the site.
        """
        client = await self.visitor("/enter")
        uid = client.sent()[0].partition(b"=")[2]
        session = self.site.sessions[uid]
        store = await self.storeOf(self.site)
        (record,) = await self.site.sessionsOf(WHO)
        await store.close()
        for call in (
            lambda: store.load(storeKeyOf(b"", uid), self.clock.seconds()),
            lambda: self.site.endPrincipal(WHO),
            lambda: self.site.endSession(WHO, record.handle),
            lambda: self.site.sessionsOf(WHO),
            session.expire,
        ):
            try:
                await maybeDeferred(call)
            except SessionError:
                failure = Failure(captureVars=True)
                self.texts += [repr(failure), str(failure.value)]
                self.texts += [
                    failure.getTraceback(detail=d) for d in ("brief", "default")
                ]
            else:
                self.fail("there is no outage")
        answer = await self.fetch(self.client(), "/leave")
        self.assertEqual(answer.code, 503)

    async def test_nothing(self):
        """
        Nothing of it is found anywhere, and what is looked through is what there is.
        """
        await self.live()
        await self.outage()
        ids = set(self.ids)
        self.assertGreater(len(ids), 10)
        for number, uid in enumerate(ids):
            self.secrets.add(f"id {number}", uid)
            self.secrets.add(f"id {number}", bytes.fromhex(uid.decode()))
        (name,) = self.site._live.principals.hashes.all(WHO)
        held = b"|".join([*self.place.held(), self.sent])
        for there in (name, storeKeyOf(b"", self.ids[0])):
            self.assertIn(there, held)
        self.assertEqual(self.secrets.find(held), [])
        self.assertEqual(self.contents.find(held), [])
        said = [*saidOf(self.events)]
        self.assertTrue(any("Traceback" in each for each in said))
        names = Search()
        names.add("who", WHO.encode())
        for search, texts in ((self.secrets, [*said, *self.texts]), (names, said)):
            for text in dict.fromkeys(texts):
                self.assertEqual(search.find(text), [], text)


inEveryStore(SecretTests, globals())
del SecretTests
