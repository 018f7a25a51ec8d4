"""
The part of the store contract that is about what is left of a principal, and for how
long.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from txsessions.errors import SessionGone
from txsessions.testing._case import SOMEBODY, SOMEONE_ELSE, ContractCase, steps


class ErasingContract(ContractCase):
    """
    What is left of a principal, and for how long.
    """

    @steps
    async def test_erasePrincipal(self) -> None:
        """
        Nothing is left of whom was erased: alive, ended or expired.
        """
        ended = await self.signIn("ended")
        await self.store.endPrincipal(SOMEBODY, self.now)
        alive = await self.signIn("alive")
        expired = await self.signIn("expired", expiresAt=self.now)
        other = await self.signIn("other", SOMEONE_ELSE)
        rotated = await self.signIn("rotated")
        new = await self.rename(rotated)
        self.assertIn(self.remembers(SOMEBODY), (True, None))
        self.assertEqual(await self.other.erasePrincipal(SOMEBODY), 4)
        self.assertIn(self.remembers(SOMEBODY), (False, None))
        self.assertEqual(await self.listOf(), [])
        for record in (ended, alive, expired, new):
            await self.isDead(record)
            self.assertFalse(await self.store.delete(record.key))
        self.assertEqual((await self.store.scan(None, 10))[0], [other])
        self.assertEqual(await self.store.erasePrincipal(SOMEBODY), 0)
        self.assertEqual(await self.misfits(), 0)
        again = await self.signIn("ended")
        self.assertEqual(await self.load(again), again)
        self.assertEqual(await self.store.endPrincipal(SOMEBODY, self.now), 1)
        self.assertEqual(await self.load(other), other)

    @steps
    async def test_eraseTheClaimed(self) -> None:
        """
        What a sweeper was handed out is erased, too.
        """
        record = await self.signIn(expiresAt=self.now)
        self.assertEqual(await self.claimAll(self.now, 30.0), [record])
        self.assertEqual(await self.store.erasePrincipal(SOMEBODY), 1)
        await self.store.acknowledge([record.key])
        self.assertEqual(await self.claimAll(self.now + 1000), [])
        self.assertIn(self.remembers(SOMEBODY), (False, None))
        self.assertEqual(await self.misfits(), 0)

    @steps
    async def test_theEpochStaysWithTheEnded(self) -> None:
        """
        However late it is by the clock of a sweeper: what has ended does not come back
        for a slower clock.
        """
        record = await self.signIn(expiresAt=self.now + 10)
        await self.store.endPrincipal(SOMEBODY, self.now)
        for passed in (10, 100, 1e5):
            claimed = await self.other.claimExpired(self.now + passed, 10, 60.0)
            self.assertEqual(claimed, [record])
        self.assertEqual(await self.other.claimExpired(self.now + 1e5, 10, 60.0), [])
        await self.isDead(record)

    @steps
    async def test_theEpochStaysWithTheLiving(self) -> None:
        """
        Nor is it forgotten while somebody lives who signed in under it: the next end
        would not reach them.
        """
        late = self.now + 4e5
        brief = await self.signIn("brief", expiresAt=self.now + 10)
        await self.store.endPrincipal(SOMEBODY, self.now)
        long = await self.signIn("long", expiresAt=late)
        for passed in (10, 100, 1e5, 2e5, 3e5):
            await self.claimAll(self.now + passed)
            await self.store.acknowledge([brief.key])
        self.assertEqual(await self.load(long, self.now + 3e5), long)
        self.assertEqual(await self.other.endPrincipal(SOMEBODY, self.now + 3e5), 1)
        await self.isDead(long, self.now + 3e5)

    @steps
    async def test_theEpochGoesInTheEnd(self) -> None:
        """
        When the last record of a principal is gone, some sweep forgets the epoch.
        """
        record = await self.signIn(expiresAt=self.now + 10)
        await self.store.endPrincipal(SOMEBODY, self.now)
        for days in range(1, 5):
            await self.claimAll(self.now + days * 1e5)
            await self.store.acknowledge([record.key])
        self.assertIn(self.remembers(SOMEBODY), (False, None))
        again = await self.signIn(expiresAt=self.now + 10)
        self.assertEqual(await self.load(again), again)

    @steps
    async def test_writesUnderWayWithTheErased(self) -> None:
        """
        No late request brings back whom was erased.
        """
        record = await self.signIn()
        calls = await self.outcomes(
            [
                self.other.erasePrincipal(SOMEBODY),
                self.other.replace(evolve(record, version=2), 1, self.now),
            ]
        )
        self.assertEqual(calls[0], 1)
        self.assertIn(type(calls[1]), (type(None), SessionGone))
        await self.isDead(record)
        self.assertIn(self.remembers(SOMEBODY), (False, None))


__all__ = ["ErasingContract"]
