"""
What the PostgreSQL store does beyond the contract.
"""

from __future__ import annotations

import os
import struct
import time

from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError
from twisted.logger import capturedLogs

from tests.stores.postgres_case import DEADLINE, PostgresCase, record
from txsessions.core.forks import FORKS
from txsessions.core.record import UNCHANGED
from txsessions.errors import SessionConflict, SessionGone, StoreUnavailable
from txsessions.stores import postgresql
from txsessions.testing._case import steps


class TableTests(PostgresCase):
    """
    What the table is like, and what the statements do to it.
    """

    @steps
    async def test_shape(self) -> None:
        """
        Payloads are not compressed, pages have room for updates, and there are four
        indexes, one of them over those who are signed in, one over those who are not.
        """
        await self.open()
        found = self.server.do(
            "SELECT attstorage::text, reloptions, relpersistence::text "
            "FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid "
            "WHERE relname = %s AND attname = 'payload'",
            self.table,
        )
        self.assertEqual(found, [("e", ["fillfactor=60"], "p")])
        found = self.server.do(
            "SELECT indexdef FROM pg_indexes WHERE tablename = %s ORDER BY 1",
            self.table,
        )
        self.assertEqual(
            [row[0].partition("btree ")[2] for row in found],
            [
                "(due) WHERE ((principal IS NULL) AND (epoch = 0) AND "
                "(due IS NOT NULL))",
                "(due)",
                "(principal, handle) WHERE (principal IS NOT NULL)",
                "(key)",
            ],
        )

    @steps
    async def test_touchesAreHot(self) -> None:
        """
        A touch, and a change of the payload, touch no index.
        """
        store = await self.open()
        records = [record(str(n), payload=b"p" * 300) for n in range(20)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        for turn in range(1, 6):
            at = self.now + turn
            calls = [store.touch(each.key, at, at + 900, at) for each in records]
            self.assertEqual(await self.outcomes(calls), [None] * 20)
            changed = [evolve(each, version=turn + 1) for each in records]
            calls = [store.replace(each, turn, at) for each in changed]
            self.assertEqual(await self.outcomes(calls), [None] * 20)
        await store.close()
        statement = (
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE relname = %s"
        )
        await self.until(lambda: self.server.do(statement, self.table)[0][0] == 200)
        hot = self.server.do(statement, self.table)[0][1]
        self.assertGreaterEqual(hot, 160)

    @steps
    async def test_unlogged(self) -> None:
        """
        By choice the table is unlogged, and C{durability} says so.
        """
        store = await self.open(unlogged="1")
        found = self.server.do(
            "SELECT relpersistence::text FROM pg_class WHERE relname = %s", self.table
        )
        self.assertEqual(found, [("u",)])
        self.assertIn("unlogged", store.durability)

    @steps
    async def test_namesAreQuoted(self) -> None:
        """
        A schema and a table that are words of SQL, in letters of both cases.
        """
        store = await self.open(schema="Select", table="User")
        self.addCleanup(self.server.do, 'DROP SCHEMA "Select" CASCADE')
        kept = record()
        await store.insert(kept, self.now)
        self.assertEqual(await store.load(kept.key, self.now), kept)
        found = self.server.do('SELECT count(*) FROM "Select"."User"')
        self.assertEqual(found, [(1,)])

    @steps
    async def test_unknownTimes(self) -> None:
        """
        Times of all sizes are kept; those that are beyond all measure become far.
        """
        store = await self.open()
        odd = record(createdAt=-1e11, expiresAt=2.5e11)
        await store.insert(odd, self.now)
        self.assertEqual(await store.load(odd.key, self.now), odd)
        forever = record("forever", expiresAt=float("inf"), createdAt=-1e300)
        await store.insert(forever, self.now)
        found = await store.load(forever.key, 1e11)
        self.assertGreater(found.expiresAt, 4e12)

    @steps
    async def test_exactTimes(self) -> None:
        """
        Times come back as they went in, to the microsecond that is kept.
        """
        store = await self.open()
        for number in range(50):
            at = round(self.now + number / 7, 6)
            kept = record(str(number), touchedAt=at, expiresAt=at + 900)
            await store.insert(kept, self.now)
            self.assertEqual(await store.load(kept.key, self.now), kept)


class CommitTests(PostgresCase):
    """
    How units are committed.
    """

    def watch(self) -> None:
        """
        Have the table write down how each change is committed.
        """
        name = f"{self.table}_seen"
        self.server.do(
            f"CREATE TABLE {name} (n serial, what text, how text, tx text, k bytea);"
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"INSERT INTO {name} (what, how, tx, k) VALUES (TG_OP, current_setting("
            f"'synchronous_commit'), pg_current_xact_id()::text, "
            f"COALESCE(NEW.key, OLD.key)); RETURN NULL; END $$;"
            f"CREATE TRIGGER {name} AFTER INSERT OR UPDATE OR DELETE ON {self.table} "
            f"FOR EACH ROW EXECUTE FUNCTION {name}()"
        )

    def seen(self) -> list[tuple]:
        """
        What was written down, and forget it.
        """
        name = f"{self.table}_seen"
        found = self.server.do(f"SELECT what, how, tx, k FROM {name} ORDER BY n")
        self.server.do(f"TRUNCATE {name}")
        return found

    async def changes(self, store) -> dict[str, set[str]]:
        """
        Make one change of each kind, each by itself.

        @return: How each was committed.
        """
        kept, new = record(os.urandom(8).hex()), record(os.urandom(8).hex(), version=3)
        at = kept.touchedAt + 1
        found = {}
        for name, call in (
            ("insert", lambda: store.insert(kept, self.now)),
            ("touch", lambda: store.touch(kept.key, at, at + 900, at)),
            ("replace", lambda: store.replace(evolve(kept, version=2), 1, at)),
            ("rename", lambda: store.rename(kept.key, new, 2, at)),
            ("delete", lambda: store.delete(new.key)),
        ):
            await call()
            found[name] = {row[1] for row in self.seen()}
        return found

    @steps
    async def test_whatTheServerSets(self) -> None:
        """
        By default changes are committed as the server is set, touches without
        waiting, and what is final always waits.
        """
        for setting, usual, final in (
            ("on", "on", "on"),
            ("local", "local", "local"),
            ("remote_apply", "remote_apply", "remote_apply"),
            ("off", "off", "on"),
        ):
            self.server.do(
                f"ALTER ROLE postgres SET synchronous_commit = {setting}",
            )
            self.addCleanup(self.server.do, "ALTER ROLE postgres RESET ALL")
            store = await self.open()
            if setting == "on":
                self.watch()
            found = await self.changes(store)
            self.assertEqual(found["insert"], {usual}, setting)
            self.assertEqual(found["replace"], {usual}, setting)
            self.assertEqual(found["touch"], {"off"}, setting)
            self.assertEqual(found["rename"], {final}, setting)
            self.assertEqual(found["delete"], {final}, setting)
            await store.close()

    @steps
    async def test_whatTheStoreIsTold(self) -> None:
        """
        C{full} always waits; C{normal} only for what is final.
        """
        store = await self.open(durability="full")
        self.watch()
        found = await self.changes(store)
        self.assertEqual(set().union(*found.values()), {"on"})
        store = await self.open(durability="normal")
        found = await self.changes(store)
        self.assertEqual(found["insert"] | found["touch"] | found["replace"], {"off"})
        self.assertEqual(found["rename"] | found["delete"], {"on"})

    @steps
    async def test_oneTransaction(self) -> None:
        """
        What is written in one turn is one transaction, and in the order of keys;
        one with something final in it waits as a whole.
        """
        store = await self.open()
        self.watch()
        records = [record(str(number)) for number in range(40)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        self.seen()
        calls = [
            store.touch(each.key, self.now + 1, self.now + 999, self.now)
            for each in records[1:]
        ]
        calls.append(store.delete(records[0].key))
        await self.outcomes(calls)
        seen = self.seen()
        self.assertEqual(len({row[2] for row in seen}), 1)
        self.assertEqual({row[1] for row in seen}, {"on"})
        keys = [row[3] for row in seen]
        self.assertEqual(keys, sorted(keys))

    @steps
    async def test_durability(self) -> None:
        """
        What is promised is what the server does.
        """
        store = await self.open()
        self.assertIn("fsync is off", store.durability)
        server = self.own("fsync=on", "synchronous_commit=off")
        server.settings = ("fsync=on",)
        store = await self.open(server.address)
        self.assertIn("may lose the last commits", store.durability)
        store = await self.open(server.address, durability="full")
        self.assertIn("flushed to the database server's disk", store.durability)
        self.assertIn("= on", store.durability)


class DamageTests(PostgresCase):
    """
    Rows that are not as they were written.
    """

    @steps
    async def test_flipped(self) -> None:
        """
        A record whose columns were changed behind our back is absent, is told, and
        stays; nothing else is disturbed.
        """
        store = await self.open()
        damages = (
            "payload = set_byte(payload, 0, 0)",
            "payload = ''",
            "version = version + 1",
            "created_at = created_at + 1",
            "expires_at = expires_at + 1",
            "touched_at = touched_at - 1",
            "principal = 'somebody'",
            "checksum = 0",
        )
        for number, damage in enumerate(damages):
            kept = record(str(number), expiresAt=self.now + 100)
            await store.insert(kept, self.now)
            self.server.do(f"UPDATE {self.table} SET {damage} WHERE key = %s", kept.key)
            with capturedLogs() as events:
                self.assertIsNone(await store.load(kept.key, self.now), damage)
            self.assertIn(kept.tag, [event.get("tag") for event in events])
            replaced = store.replace(evolve(kept, version=9), 8, self.now)
            await self.fails(replaced, SessionGone)
        good = record("good", expiresAt=self.now + 100)
        await store.insert(good, self.now)
        self.assertEqual((await store.scan(None, 100))[0], [good])
        late = self.now + 200
        self.assertEqual(await store.claimExpired(late, 100, 10.0), [good])
        await self.until(lambda: self.count("due IS NULL") == len(damages))
        self.assertEqual(await store.claimExpired(late + 100, 100, 10.0), [good])
        self.assertEqual(self.count(), len(damages) + 1)
        self.assertTrue(await store.delete(record("0").key))


class SweepTests(PostgresCase):
    """
    Sweeping and counting many.
    """

    @steps
    async def test_slices(self) -> None:
        """
        A sweep of many goes slice by slice, past sessions that were used meanwhile.
        """
        self.patch(postgresql, "SLICE", 10)
        store = await self.open()
        records = [record(str(n), expiresAt=self.now + 1 + n) for n in range(35)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        used = records[:12]
        calls = [
            store.touch(e.key, self.now + 1, self.now + 999, self.now) for e in used
        ]
        await self.outcomes(calls)
        claimed = await store.claimExpired(self.now + 100, 100, 60.0)
        self.assertEqual(len(claimed), 23)
        self.assertEqual(await store.claimExpired(self.now + 101, 100, 60.0), [])
        await store.acknowledge([each.key for each in claimed])
        self.assertEqual(self.count(), 12)

    @steps
    async def test_twoSweepersDoNotWait(self) -> None:
        """
        Rows that another sweeper is at are passed over.
        """
        store = await self.open(deadline=1.0)
        records = [record(str(n), expiresAt=self.now - 1) for n in range(10)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        with self.server.connect() as connection, connection.transaction():
            connection.execute(
                f"SELECT 1 FROM {self.table} ORDER BY key LIMIT 4 FOR UPDATE"
            )
            claimed = await store.claimExpired(self.now, 100, 60.0)
        self.assertEqual(len(claimed), 6)

    @steps
    async def test_countingDelaysNobody(self) -> None:
        """
        A count that hangs hangs alone.
        """
        store = await self.open(deadline=DEADLINE)
        kept = record()
        await store.insert(kept, self.now)
        self.assertEqual(await store.countSessions(self.now), 1)
        aside = await store._database.aside()
        self.assertIsNot(aside, store._database.reads)
        self.assertIs(await store._database.aside(), aside)
        await store.close()
        self.assertIsNone(aside._link)
        await store.open()
        counts = [store.countSessions(self.now) for _ in range(5)]
        self.assertEqual(await self.outcomes(counts), [1] * 5)


class ClockTests(PostgresCase):
    """
    The server's clock is the one that counts.
    """

    def near(self, found: float, wanted: float, delta: float) -> None:
        """
        Check that two numbers differ by no more than this.
        """
        self.assertLessEqual(abs(found - wanted), delta)

    @steps
    async def test_twoMachines(self) -> None:
        """
        Two machines whose clocks are ten minutes wrong, each in another direction,
        see one session alike: it ends for both at the same moment.
        """
        slow, fast = await self.open(), await self.open()
        early, ahead = self.now - 600, self.now + 600
        await fast.load(b"", ahead)
        await slow.load(b"", early)
        kept = record(createdAt=early, touchedAt=early, expiresAt=early + 900)
        await slow.insert(kept, early)
        self.assertEqual(await slow.load(kept.key, early + 899), kept)
        found = await fast.load(kept.key, ahead + 898)
        self.near(found.expiresAt, ahead + 900, delta=1.0)
        self.near(found.createdAt, ahead, delta=1.0)
        self.assertIs(await fast.load(kept.key, ahead, 1), UNCHANGED)
        self.assertIsNone(await fast.load(kept.key, ahead + 902))
        self.assertIsNone(await slow.load(kept.key, early + 900))
        await fast.touch(kept.key, ahead + 50, ahead + 950, ahead + 50)
        found = await slow.load(kept.key, early + 920)
        self.near(found.expiresAt, early + 950, delta=1.0)
        stored = self.server.do(
            f"SELECT expires_at / 1000000 - extract(epoch FROM now()) FROM {self.table}"
        )
        self.near(float(stored[0][0]), 950, delta=15)

    @steps
    async def test_goodClocksAreLeftAlone(self) -> None:
        """
        A clock that is right to a fifth of a second needs no correction; one that
        goes wrong is followed at the next look, within a minute.
        """
        store = await self.open()
        await store.load(b"", time.time())
        clock = store._database.clock
        self.assertEqual(clock.offset, 0)
        await store.load(b"", time.time() - 100)
        self.assertEqual(clock.offset, 0)
        clock.nextAt = reactor.seconds()
        call = store.load(b"", time.time() - 100)
        self.assertEqual(clock.offset, 0)
        await call
        await self.until(lambda: clock.offset)
        self.near(clock.offset / 1e6, 100, delta=0.5)

    @steps
    async def test_measuredAgainAfterALoss(self) -> None:
        """
        A new connection may lead to another server.
        """
        store = await self.open()
        await store.load(b"", self.now)
        clock = store._database.clock
        self.assertTrue(clock.isKnown)
        self.server.terminate()
        await self.until(lambda: not clock.isKnown)
        await self.healed(store)
        self.assertTrue(clock.isKnown)

    @steps
    async def test_cancelledWhileHeld(self) -> None:
        """
        What is cancelled before the offset is known is never done.
        """
        store = await self.open()
        there = record(createdAt=self.now, touchedAt=self.now, expiresAt=self.now + 900)
        inserted = store.insert(there, self.now)
        replaced = store.replace(there, 1, self.now)
        loaded = store.load(there.key, self.now)
        for call in (inserted, replaced):
            call.addErrback(lambda failure: failure.trap(CancelledError))
            call.cancel()
        self.assertIsNone(await loaded)
        self.assertIsNone(await store.load(there.key, self.now))

    @steps
    async def test_cannotBeMade(self) -> None:
        """
        A call that is held and cannot be made fails, and those behind it are made.
        """
        store = await self.open()
        there = record(createdAt=self.now, touchedAt=self.now, expiresAt=self.now + 900)
        wrong = store.insert(evolve(there, version=1 << 70), self.now)
        right = store.insert(there, self.now)
        await right
        with self.assertRaises(struct.error):
            await wrong
        self.assertEqual(await store.load(there.key, self.now), there)

    @steps
    async def test_firstCallsAreHeld(self) -> None:
        """
        What is called before the offset is known waits for it, in order.
        """
        store = await self.open()
        slow = self.now - 300
        records = [
            record(str(n), createdAt=slow, touchedAt=slow, expiresAt=slow + 60)
            for n in range(30)
        ]
        calls = [store.insert(each, slow) for each in records]
        calls += [store.insert(records[0], slow)]
        found = await self.outcomes(calls)
        self.assertEqual(found[:30], [None] * 30)
        self.assertIsInstance(found[30], Exception)
        self.assertEqual(self.count("expires_at > extract(epoch FROM now()) * 1e6"), 30)


class LifeTests(PostgresCase):
    """
    Opening and closing.
    """

    @steps
    async def test_closeFinishesWhatWasAccepted(self) -> None:
        """
        Calls made before C{close} are answered, those after it are refused.
        """
        store = await self.open()
        await store.load(b"", self.now)
        calls = [store.insert(record(str(n)), self.now) for n in range(300)]
        closed = store.close()
        await self.fails(store.load(b"", self.now), StoreUnavailable)
        self.assertEqual(await self.outcomes(calls), [None] * 300)
        await closed
        self.assertEqual(self.count(), 300)
        self.assertEqual(self.timers(), [])

    @steps
    async def test_openAndCloseInAnyOrder(self) -> None:
        """
        Opening while closing, closing while opening.
        """
        store = self.make()
        first = store.open()
        closing = store.close()
        second = store.open()
        await self.outcomes([first, closing])
        await second
        self.assertIsNone(await store.load(b"", self.now))
        await self.outcomes([store.close(), store.close()])
        self.assertEqual(self.timers(), [])

    @steps
    async def test_forked(self) -> None:
        """
        In the child of a fork the connections are the parent's: every call fails
        until the store is opened again, and the parent's stay whole.
        """
        store = await self.open()
        await store.load(b"", self.now)
        theirs = store._database
        FORKS.count += 1
        try:
            error = await self.fails(store.load(b"", self.now), StoreUnavailable)
            self.assertIn("after the fork", str(error))
            await self.fails(store.countSessions(self.now), StoreUnavailable)
            await store.close()
            await store.open()
            self.assertIsNot(store._database, theirs)
            await store.close()
        finally:
            FORKS.count -= 1
        self.assertIsNotNone(theirs.reads._link)
        await theirs.close()

    @steps
    async def test_conflictCarriesTheRecord(self) -> None:
        """
        One answer tells that it is a conflict, and with what.
        """
        store = await self.open()
        kept = record(payload=b"x" * 50_000)
        await store.insert(kept, self.now)
        replaced = store.replace(evolve(kept, version=9), 8, self.now)
        error = await self.fails(replaced, SessionConflict)
        self.assertEqual(error.current, kept)
        self.assertIsNone(store.changes())

    @steps
    async def test_conflictWithOneself(self) -> None:
        """
        A change that is already there, as after a reply that was lost, is a
        conflict with it; and what is gone is gone.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        changed = evolve(kept, version=2, payload=b"changed")
        await store.replace(changed, 1, self.now)
        replaced = store.replace(changed, 1, self.now)
        error = await self.fails(replaced, SessionConflict)
        self.assertEqual(error.current, changed)
        await store.delete(kept.key)
        await self.fails(store.replace(changed, 1, self.now), SessionGone)
