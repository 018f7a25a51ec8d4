"""
ASVS 7.3.1: a session that is not used for a while ends, and its user has to sign in again.

The limit is looked at on the server, by whoever holds the session and by the store at
each read.  It is exact while a session is in memory; where the store has to be asked,
because another process was used or because the session has left memory, it may be late by
the touch interval, a minute at most, and it is never early.
"""

from __future__ import annotations

import gc

from twisted.internet.defer import succeed

from tests.asvs.world import SHARED, AuditCase
from tests.slowstore import SlowStore
from tests.web.browsing import NOW
from txsessions import Session, Site
from txsessions.core import lifetime
from txsessions.core.lifetime import IDLE, TOUCH_LIMIT

ALIVE = "ann 1 0"
DEAD = "nobody 0 0"


class TimelessSession(Session):
    """
    Does not run out in the process that holds it.
    """

    def _hasOutlived(self):
        """
        See L{Session._hasOutlived}.
        """
        return False

    def _runOut(self):
        """
        See L{Session._runOut}.
        """


class TimelessSite(Site):
    """
    Its sessions do not run out.
    """

    sessionFactory = TimelessSession


class TimelessStore(SlowStore):
    """
    Hands out what has run out.
    """

    def load(self, key, now, known=None):
        """
        See L{ISessionStore.load}.
        """
        return self.inner.load(key, 0.0, known)

    def claimExpired(self, now, limit, lease):
        """
        See L{ISessionStore.claimExpired}.
        """
        return succeed([])


class IdleTests(AuditCase):
    """
    Sessions that nobody uses.
    """

    async def unused(self, world):
        """
        Use moves the limit, and without use it comes.
        """
        late = 0 if world.kind == "nowhere" else TOUCH_LIMIT
        ann = await world.signedIn()
        for _ in range(4):
            await world.goBy(IDLE - 1)
            self.assertEqual(await ann.told(), ALIVE)
        await world.goBy(IDLE + late)
        # What has left memory is gone.
        gc.collect()
        self.assertEqual(await ann.told(), DEAD)
        self.assertEqual(await ann.told(), DEAD)
        self.assertEqual(await world.stored(), 0)

    async def watched(self, world):
        """
        To the second, while the session stays in memory because somebody waits for its
        end.
        """
        ann = await world.signedIn()
        ann.send("/wait")
        await world.until(lambda: world.waiting)
        ends, (_, session) = [], world.waiting[0]
        session.notifyOnExpire(lambda: ends.append(world.clock.seconds() - NOW))
        await world.goBy(IDLE - 1)
        self.assertEqual(ends, [])
        await world.goBy(1)
        await world.until(lambda: ends)
        self.assertEqual(ends, [IDLE])
        self.assertEqual(await ann.told(), DEAD)

    async def unusedElsewhere(self, world):
        """
        Never early, and a minute late at most, whichever process was used last.
        """
        ann = await world.signedIn()
        self.assertEqual(await ann.told(1), ALIVE)
        for _ in range(3):
            await world.goBy(IDLE - 1)
            self.assertEqual(await ann.told(0), ALIVE)
        await world.goBy(IDLE - 1)
        self.assertEqual(await ann.told(1), ALIVE)
        await world.goBy(IDLE + TOUCH_LIMIT)
        self.assertEqual(await ann.told(0), DEAD)
        self.assertEqual(await ann.told(1), DEAD)

    async def unusedMeanwhile(self, world):
        """
        Also while nothing runs.
        """
        ann, bob = await world.signedIn(), await world.signedIn("bob")
        await world.restart()
        await world.goBy(IDLE - 1)
        self.assertEqual(await ann.told(), ALIVE)
        await world.restart()
        await world.goBy(TOUCH_LIMIT + 1)
        self.assertEqual(await bob.told(), DEAD)

    async def test_idle(self):
        """
        In one process.
        """
        await self.holds(self.unused)
        await self.holds(self.watched)

    async def test_elsewhere(self):
        """
        In two.
        """
        await self.holds(self.unusedElsewhere, SHARED, processes=2)

    async def test_restart(self):
        """
        In one after the other.
        """
        await self.holds(self.unusedMeanwhile, SHARED)

    async def test_fault(self):
        """
        The checks find a site and a store that do not look.
        """
        await self.isFound(self.unused, "nowhere", factory=TimelessSite)
        self.patch(lifetime, "storedDeadline", lambda *_: lifetime.MAX_SECONDS)
        wrong = {"factory": TimelessSite, "plant": TimelessStore}
        for kind in SHARED:
            await self.isFound(self.unused, kind, **wrong)
            await self.isFound(self.unusedElsewhere, kind, processes=2, **wrong)
            await self.isFound(self.unusedMeanwhile, kind, **wrong)

    async def test_oneIsEnough(self):
        """
        Of the two that look, either notices it alone.
        """
        await self.holds(self.unused, SHARED, factory=TimelessSite)
        await self.holds(self.unused, SHARED, plant=TimelessStore)
