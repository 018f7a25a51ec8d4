"""
The end of everybody's sessions in PostgreSQL: what the contract cannot see of it.
"""

from __future__ import annotations

from tests.stores.postgres_case import record
from tests.stores.test_postgresql_principals import (
    EVERYBODY,
    PrincipalCase,
    signedIn,
)
from txsessions.stores._postgresql_principal_verbs import lockOf
from txsessions.stores._postgresql_statements import namesOf
from txsessions.testing._case import steps


class EverybodyTests(PrincipalCase):
    """
    Somebody else's transaction is under way.
    """

    @steps
    async def test_everybodysEndWaitsForNobody(self) -> None:
        """
        A sign-in that is under way while everybody ends has ended when it is there,
        and whoever signs in has no lock of another's.
        """
        store = await self.open(deadline=20.0)
        anonymous = record("anonymous")
        await store.insert(anonymous, self.now)
        who = EVERYBODY + b"w" * 24
        made, renamed = signedIn("made", who), signedIn("renamed", who, version=2)
        there = await self.open()
        calls = (
            (lambda: store.insert(made, self.now), made),
            (lambda: store.rename(anonymous.key, renamed, 1, self.now), renamed),
        )
        for turn, (call, signed) in enumerate(calls):
            with self.server.connect() as other, other.transaction():
                # It has the lock and has looked at the epochs, and waits for its key.
                other.execute(
                    f"INSERT INTO {self.table} SELECT %s, 1, 0, 0, 0, 0, 0, NULL, 0, "
                    "NULL, 'p'",
                    [signed.key],
                )
                signing = call()
                await self.until(self.waiting)
                await there.endEverybody(EVERYBODY)
                other.execute(f"DELETE FROM {self.table} WHERE key = %s", [signed.key])
            await signing
            self.assertEqual(self.count(f"handle IS NOT NULL AND epoch = {turn}"), 1)
            self.assertIsNone(await store.load(signed.key, self.now))
            self.assertEqual(await store.sessionsOf(who, self.now), ([], None))
            await store.delete(signed.key)
        names = namesOf("public", self.table)
        neighbours = [EVERYBODY + bytes([n]) * 24 for n in range(9)]
        locks = {lockOf(names, each) for each in (EVERYBODY, *neighbours)}
        self.assertEqual(len(locks), 10)
