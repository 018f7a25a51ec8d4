"""
Long walks of several browsers, by whole requests in two sites on a store of each kind:
people sign in and out, and end each other's sessions, by the ids that they have and by
old ones, until it is looked at what every id that ever was is good for.

Owns the model of who has to be in: L{Known} is one session as it should be.
"""

from __future__ import annotations

import random

from attrs import define

from tests.slowstore import SlowStore
from tests.web.signing import look
from tests.web.stored import InMemory, StoredCase, inEveryStore

STEPS = 60
"""How long a walk is."""

BROWSERS = 4
NAMES = ("ann", "bob")
NOBODY = ("nobody", 0, 0)


@define(eq=False)
class Known:
    """
    A session as it should be.

    @ivar ids: The ids that it has had; the last is good as long as it is alive.
    """

    ids: list[str]
    who: str = "nobody"
    level: int = 0
    count: int = 0
    isAlive: bool = True


class Walk:
    """
    One walk.

    @ivar past: What was done.
    """

    def __init__(self, case, seed):
        """
        @param case: The test, which has the sites.
        """
        self.case, self.chance = case, random.Random(seed)
        self.browsers = [None] * BROWSERS
        self.known = {}
        self.past = [f"seed {seed}"]

    async def run(self):
        """
        Walk, and look at the end.
        """
        ways = [name for name in dir(self) if name.startswith("do_")]
        for who in NAMES:
            await self.case.site.erasePrincipal(who)
        for _ in range(STEPS):
            way, number = self.chance.choice(ways), self.chance.randrange(BROWSERS)
            uid = self.browsers[number]
            if self.known and self.chance.random() < 0.15:
                uid = self.chance.choice(list(self.known))
            site = self.anySite()
            self.past.append(f"{way} {number} {uid} {site is self.case.site}")
            await getattr(self, way)(site, number, uid)
        await self.do_lookAtAll(None, None, None)

    # -- what there is

    def anySite(self):
        """
        One of the two.
        """
        return self.chance.choice((self.case.site, self.case.there))

    def good(self, uid):
        """
        The session that an id is good for, or L{None}.
        """
        found = self.known.get(uid)
        isGood = found is not None and found.isAlive and found.ids[-1] == uid
        return found if isGood else None

    def alive(self, who):
        """
        The sessions of somebody.
        """
        every = set(self.known.values())
        return [each for each in every if each.isAlive and each.who == who]

    def got(self, number, uid, session=None):
        """
        A browser was given an id: of a new session, or another of one that was.

        @return: The session.
        """
        self.agree(uid is not None and uid not in self.known, f"it got {uid}")
        if session is None:
            session = Known([])
        session.ids.append(uid)
        self.known[uid] = session
        self.browsers[number] = uid
        return session

    def agree(self, isSo, what):
        """
        Compare.
        """
        if not isSo:
            self.case.fail("\n".join([*self.past, str(what)]))

    async def ask(self, site, path, uid):
        """
        Ask with an id.

        @return: The body, the id that was given out, and whether the cookie goes.
        """
        client = self.case.client(site)
        headers = (f"Cookie: sid={uid}",) if uid else ()
        answer = await self.case.fetch(client, path, headers=headers, cookies=False)
        self.agree(answer.code == 200, answer.code)
        cookie = answer.cookie
        given = cookie.value if answer.sets else None
        return answer.body.decode(), given, answer.deletes

    async def isSo(self, site, uid):
        """
        Look what an id is good for.
        """
        found = self.good(uid)
        so = (found.who, found.level, found.count) if found else NOBODY
        body, given, _ = await self.ask(site, "/look", uid)
        self.agree((body, given) == ("{} {} {}".format(*so), None), (uid, body, so))

    # -- what is done

    async def do_look(self, site, _, uid):
        """
        Look.
        """
        await self.isSo(site, uid)

    async def do_count(self, site, number, uid):
        """
        Count.
        """
        found = self.good(uid)
        body, given, _ = await self.ask(site, "/count", uid)
        if found is None and given:
            found = self.got(number, given)
        elif found is not None:
            self.agree(given is None, "a cookie for nothing")
        count = 1 if found is None else found.count + 1
        self.agree(body == f"count {count}", (body, count))
        if found is not None:
            found.count = count

    async def do_signIn(self, site, number, uid):
        """
        Sign in.
        """
        who, level = self.chance.choice(NAMES), self.chance.choice((1, 2))
        found = self.good(uid)
        _, given, _ = await self.ask(site, f"/in?who={who}&level={level}", uid)
        if found is not None and found.who not in ("nobody", who):
            found.isAlive, found = False, None
        found = self.got(number, given, found)
        found.who, found.level = who, level

    async def do_signOut(self, site, number, uid):
        """
        Sign out.
        """
        found = self.good(uid)
        _, given, goes = await self.ask(site, "/out", uid)
        self.agree(given is None and (goes or found is None), "the cookie stays")
        if found is not None:
            found.isAlive = False
        if goes:
            self.browsers[number] = None

    async def do_rotate(self, site, number, uid):
        """
        Take another id.
        """
        found = self.good(uid)
        _, given, _ = await self.ask(site, "/rotate", uid)
        if found is not None or given:
            self.got(number, given, found)

    async def do_endOthers(self, site, number, uid):
        """
        Sign the others out.
        """
        found = self.good(uid)
        if found is not None and found.who != "nobody":
            _, given, _ = await self.ask(site, "/others", uid)
            for each in self.alive(found.who):
                each.isAlive = each is found
            self.got(number, given, found)

    async def do_endOne(self, site, *_):
        """
        End one by its handle.
        """
        who = self.chance.choice(NAMES)
        before, handles = self.alive(who), await self.case.handles(who)
        self.agree(len(handles) == len(before), (len(handles), len(before)))
        if handles:
            handle = self.chance.choice(handles)
            self.agree(await site.endSession(who, handle), "nothing has ended")
            bodies = [await self.ask(site, "/look", each.ids[-1]) for each in before]
            ended = [
                each
                for each, (body, *_) in zip(before, bodies, strict=True)
                if body == "nobody 0 0"
            ]
            self.agree(len(ended) == 1, f"{len(ended)} have ended")
            ended[0].isAlive = False

    async def do_endAll(self, site, *_):
        """
        End all of somebody's, or have them forgotten.
        """
        who = self.chance.choice(NAMES)
        before = self.alive(who)
        if self.chance.random() < 0.5:
            count = await site.endPrincipal(who)
            self.agree(count == len(before), (count, len(before)))
        else:
            await site.erasePrincipal(who)
        for each in before:
            each.isAlive = False

    async def do_wait(self, *_):
        """
        Let a moment pass, in which markers may run out, and sessions do not.
        """
        await self.case.goBy(self.chance.choice((0.5, 5, 30, 61, 70)))

    async def do_lookAtAll(self, *_):
        """
        Look what every id that ever was is good for, in both sites.
        """
        for uid in self.known:
            for site in (self.case.site, self.case.there):
                await self.isSo(site, uid)
        for who in NAMES:
            found, so = len(await self.case.handles(who)), len(self.alive(who))
            self.agree(found == so, (who, found, so))


class WalkTests(StoredCase):
    """
    Walks.
    """

    # Servers have clocks of their own, which do not pass with that of a test.
    tolerance = 1e9

    def setUp(self):
        """
        Serve two pages more.
        """
        super().setUp()
        self.page("rotate", self.rotate)
        self.page("others", self.others)

    def rotate(self, request):
        """
        Take another id.
        """
        request.getSession().rotate(request)
        return look(request)

    def others(self, request):
        """
        Sign the others out.
        """
        request.getSession().endOthers(request)
        return b""

    async def test_walk(self):
        """
        Every id is good for what it should be, at every moment, in both.
        """
        await Walk(self, random.randrange(2**32)).run()


class ForgivingStore(SlowStore):
    """
    Leaves one session alive where all of a principal are to end.
    """

    def endPrincipal(self, principal, now, but=None):
        """
        See L{ISessionStore.endPrincipal}.
        """
        keys = self.inner._principals.keysOf(principal)
        return super().endPrincipal(principal, now, but or min(keys, default=None))


class InForgiving(InMemory):
    """
    A store in memory that does so.
    """

    def open(self):
        """
        Make the store of one process.
        """
        store = ForgivingStore(self._inner)
        store.sharedWithOthers = True
        return store


class FaultTests(WalkTests):
    """
    A walk on a store that does wrong.
    """

    kind = InForgiving

    async def test_walk(self):
        """
        It is found.
        """
        for seed in range(20):
            try:
                await Walk(self, seed).run()
            except self.failureException:
                return
        self.fail("it was not found")


inEveryStore(WalkTests, globals())
del WalkTests
