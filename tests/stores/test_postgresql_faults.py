"""
The PostgreSQL store and a server that fails.
"""

from __future__ import annotations

import os
import signal
import threading
import time

import psycopg
from msgspec.structs import replace as evolve
from twisted.internet import reactor
from twisted.logger import capturedLogs

from tests.stores.postgres_case import (
    DEADLINE,
    SLACK,
    PostgresCase,
    Unwatching,
    pause,
    record,
)
from tests.stores.postgres_servers import PGBOUNCER, Pooler, Server
from txsessions.errors import SessionGone, StoreCorrupt, StoreUnavailable
from txsessions.stores import _postgresql_line
from txsessions.stores._postgresql_link import WatchedLink
from txsessions.stores._postgresql_thread import ThreadedLink
from txsessions.testing._case import steps


class BackendTests(PostgresCase):
    """
    The server ends or freezes single connections.
    """

    @steps
    async def test_terminated(self) -> None:
        """
        What is under way when an administrator ends the connections fails, nothing
        hangs, and all is well again at once.
        """
        store = await self.open()
        records = [record(str(number)) for number in range(20)]
        calls = [store.insert(each, self.now) for each in records]
        calls += [store.load(each.key, self.now) for each in records]
        self.server.terminate()
        for outcome in await self.outcomes(calls):
            if isinstance(outcome, Exception):
                self.assertIsInstance(outcome, StoreUnavailable)
        self.assertLess(await self.healed(store), 2.0)

    @steps
    async def test_terminatedWhileIdle(self) -> None:
        """
        It is libpq that closes its descriptor then; the reactor is not left with it.
        """
        with capturedLogs() as events:
            store = await self.open()
            lines = [store._database.reads, store._database.writes]
            descriptors = [line._link.fileno() for line in lines]
            links = [line._link for line in lines]
            self.server.terminate()
            await self.until(lambda: all(line._link not in links for line in lines))
            await self.healed(store)
        readers = [each for each in reactor.getReaders() if each in links]
        self.assertEqual(readers, [])
        self.assertEqual(self.flushLoggedErrors(), [])
        said = [each for each in events if "ended before" in str(each.get("said"))]
        self.assertEqual(len(said), 2)
        await store.close()
        for descriptor in descriptors:
            self.assertRaises(OSError, os.fstat, descriptor)
        mine = [each for each in reactor.getReaders() if isinstance(each, WatchedLink)]
        self.assertEqual(mine, [])

    @steps
    async def test_frozen(self) -> None:
        """
        A connection that does not answer is dropped at the deadline, and what it
        says later is nobody's answer.
        """
        store = await self.open(deadline=DEADLINE)
        kept = record()
        await store.insert(kept, self.now)
        pids = [self.pidOf(each) for each in self.lines(store)]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = reactor.seconds()
            calls = [
                store.load(kept.key, self.now),
                store.load(record("other").key, self.now),
                store.touch(kept.key, self.now + 9, self.now + 999, self.now),
                store.delete(record("other").key),
            ]
            for outcome in await self.outcomes(calls):
                self.assertIsInstance(outcome, StoreUnavailable)
            self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
            await self.healed(store)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        for _ in range(20):
            self.assertIsNone(await store.load(record("third").key, self.now))
            found = await store.load(kept.key, self.now)
            self.assertEqual(found.payload, kept.payload)
        self.assertNotEqual([self.pidOf(each) for each in self.lines(store)], pids)

    def lines(self, store) -> list:
        """
        The two lines of a store.
        """
        return [store._database.reads, store._database.writes]

    @steps
    async def test_boundedQueue(self) -> None:
        """
        However many wait, no more than a bound do: the others fail at once.
        """
        self.patch(_postgresql_line, "QUEUE_LIMIT", 500)
        store = await self.open(deadline=DEADLINE)
        await store.load(b"", self.now)
        pid = self.pidOf(store._database.reads)
        os.kill(pid, signal.SIGSTOP)
        try:
            began = reactor.seconds()
            calls = [store.load(b"%d" % number, self.now) for number in range(2000)]
            failed = [each for each in calls if each.called]
            self.assertEqual(len(failed), 1500)
            found = await self.outcomes(calls)
            self.assertEqual({type(each) for each in found}, {StoreUnavailable})
            self.assertIn("500 calls", str(found[-1]))
            self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
        finally:
            os.kill(pid, signal.SIGCONT)
        await self.healed(store)
        self.assertEqual(store._database.reads._count, 0)

    @steps
    async def test_canceledCalls(self) -> None:
        """
        Callers that no longer wait shift nobody's answer.
        """
        store = await self.open()
        records = [record(str(number)) for number in range(30)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        for turn in range(5):
            calls = [store.load(each.key, self.now) for each in records]
            for number in range(turn, 30, 4):
                calls[number].addErrback(lambda _: None)
                calls[number].cancel()
            for call, each in zip(calls, records, strict=True):
                found = await call
                self.assertIn(found, (each, None))

    @steps
    async def test_noValue(self) -> None:
        """
        A call whose value cannot be sent has nobody be told another's answer, and those
        of its turn fail at once.
        """
        store = await self.open()
        one = record("one")
        await store.insert(one, self.now)
        began = reactor.seconds()
        calls = [store.load(key, self.now) for key in (b"nobody", "no bytes", one.key)]
        await pause(0)
        calls += [store.load(b"nobody", self.now) for _ in range(2)]
        found = await self.outcomes(calls)
        self.assertEqual({type(each) for each in found}, {StoreUnavailable})
        self.assertLess(reactor.seconds() - began, 2.0)
        await self.healed(store)
        self.assertEqual(await store.load(one.key, self.now), one)
        calls = [store.delete(key) for key in (b"nobody", "no bytes", one.key)]
        found = await self.outcomes(calls)
        self.assertEqual({type(each) for each in found}, {StoreUnavailable})
        await self.healed(store)
        await store.delete(one.key)


class ThreadedBackendTests(PostgresCase):
    """
    The same where a thread watches each connection.
    """

    async def openThreaded(self, **options):
        """
        Open a store whose reactor cannot watch descriptors.
        """
        store = self.make(**options)
        store._reactor = Unwatching()
        await store.open()
        self.assertIsInstance(store._database.reads._link, ThreadedLink)
        return store

    def threads(self) -> list[str]:
        """
        The names of the threads of stores.
        """
        names = [each.name for each in threading.enumerate()]
        return [name for name in names if name.startswith("txsessions-postgresql")]

    @steps
    async def test_terminated(self) -> None:
        """
        Ended connections fail what is under way, and are made again.
        """
        store = await self.openThreaded()
        calls = [store.insert(record(str(n)), self.now) for n in range(20)]
        calls += [store.load(record(str(n)).key, self.now) for n in range(20)]
        self.server.terminate()
        for outcome in await self.outcomes(calls):
            if isinstance(outcome, Exception):
                self.assertIsInstance(outcome, StoreUnavailable)
        await self.healed(store)
        await store.close()
        await self.until(lambda: not self.threads())

    @steps
    async def test_frozen(self) -> None:
        """
        A frozen connection is dropped at the deadline, and its thread ends.
        """
        store = await self.openThreaded(deadline=DEADLINE)
        await store.load(b"", self.now)
        pid = self.server.do(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'txsessions' "
            "AND query LIKE '%clock_timestamp%' OR query LIKE '%version =%'"
        )
        pids = [row[0] for row in pid if row[0] in self.server.backends()]
        self.assertTrue(pids)
        for each in pids:
            os.kill(each, signal.SIGSTOP)
        try:
            began = reactor.seconds()
            await self.fails(store.load(b"x", self.now))
            self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
            await self.healed(store)
        finally:
            for each in pids:
                os.kill(each, signal.SIGCONT)
        await store.close()
        await self.until(lambda: not self.threads())

    @steps
    async def test_noValue(self) -> None:
        """
        A value that cannot be sent ends the connection, not the thread before it could
        say so.
        """
        store = await self.openThreaded()
        calls = [store.load(key, self.now) for key in (b"one", "no bytes")]
        found = await self.outcomes(calls)
        self.assertEqual({type(each) for each in found}, {StoreUnavailable})
        await self.healed(store)

    @steps
    async def test_large(self) -> None:
        """
        What does not fit into the socket's buffers goes through.
        """
        store = await self.openThreaded()
        records = [record(str(n), payload=b"x" * 900_000) for n in range(4)]
        calls = [store.insert(each, self.now) for each in records]
        self.assertEqual(await self.outcomes(calls), [None] * 4)
        calls = [store.load(each.key, self.now) for each in records]
        self.assertEqual(await self.outcomes(calls), records)


class ServerTests(PostgresCase):
    """
    The whole server goes.
    """

    @steps
    async def test_downAtTheStart(self) -> None:
        """
        Opening fails, with what is wrong, and leaves nothing; later it succeeds.
        """
        server = self.own()
        server.halt()
        store = self.make(server.address)
        error = await self.fails(store.open())
        self.assertIn("cannot be reached", str(error))
        self.assertEqual(self.timers(), [])
        await self.fails(store.load(b"", self.now))
        server.start()
        await store.open()
        self.assertIsNone(await store.load(b"", self.now))

    @steps
    async def test_restarted(self) -> None:
        """
        After an immediate shutdown calls fail at once, and work again when the
        server does; what was acknowledged is there.
        """
        server = self.own("fsync=on")
        store = await self.open(server.address)
        kept = record()
        await store.insert(kept, self.now)
        server.halt()
        await self.until(lambda: store._database.reads._link is None)
        for call in (store.load(kept.key, self.now), store.delete(kept.key)):
            self.failureResultOf(call, StoreUnavailable)
        server.start()
        await self.healed(store)
        self.assertEqual(await store.load(kept.key, time.time()), kept)

    @steps
    async def test_hung(self) -> None:
        """
        A server that is frozen altogether: each call ends at its deadline or at
        once, nothing grows, and it heals.
        """
        server = self.own()
        store = await self.open(server.address, deadline=DEADLINE)
        await store.load(b"", self.now)
        pids = [*server.backends(), server.process.pid]
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for _ in range(3):
                began = reactor.seconds()
                calls = [store.load(b"%d" % n, self.now) for n in range(50)]
                calls += [store.delete(b"%d" % n) for n in range(50)]
                found = await self.outcomes(calls)
                self.assertEqual({type(each) for each in found}, {StoreUnavailable})
                self.assertLess(reactor.seconds() - began, DEADLINE + SLACK)
            self.assertEqual(store._database.reads._count, 0)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        await self.healed(store)

    @steps
    async def test_closedWhileItIsDown(self) -> None:
        """
        Closing ends the reconnecting, and leaves no timer.
        """
        server = self.own()
        store = await self.open(server.address)
        server.halt()
        await self.until(lambda: store._database.writes._link is None)
        await store.close()
        self.assertEqual(self.timers(), [])
        self.assertNotIn("txsessions-postgresql-connect", self.threads())

    def threads(self) -> list[str]:
        """
        The names of all threads.
        """
        return [each.name for each in threading.enumerate()]

    @steps
    async def test_failover(self) -> None:
        """
        The primary is killed and the standby promoted: the store goes there, and
        not before.
        """
        primary = self.own()
        standby = self.own(primary=primary)
        hosts = f"host={primary.folder},{standby.folder}"
        ports = f"port={primary.port},{standby.port}"
        address = f"postgresql://postgres@/postgres?{hosts}&{ports}"
        store = await self.open(address)
        kept = record()
        await store.insert(kept, self.now)
        await self.until(lambda: self.arrived(standby, kept.key))
        primary.kill()
        await self.until(lambda: store._database.writes._link is None)
        await self.fails(store.load(kept.key, self.now))
        standby.promote()
        await self.healed(store)
        self.assertEqual(await store.load(kept.key, time.time()), kept)
        await store.replace(evolve(kept, version=2), 1, time.time())

    def arrived(self, standby: Server, key: bytes) -> bool:
        """
        Has the standby got this session?
        """
        statement = f"SELECT count(*) FROM {self.table} WHERE key = %s"
        try:
            return standby.do(statement, key) == [(1,)]
        except psycopg.errors.UndefinedTable:
            return False

    @steps
    async def test_readOnly(self) -> None:
        """
        A server that has become read-only is left, by the reads too, and not taken
        again until it is writable.
        """
        server = self.own()
        store = await self.open(server.address)
        kept = record()
        await store.insert(kept, self.now)
        reads = self.pidOf(store._database.reads)
        server.do("ALTER SYSTEM SET default_transaction_read_only = on")
        server.do("SELECT pg_reload_conf()")
        await pause(0.1)
        error = await self.fails(store.delete(kept.key))
        self.assertIn("25006", str(error))
        await self.fails(store.load(kept.key, self.now))
        await pause(0.3)
        await self.fails(store.load(kept.key, self.now))
        with server.connect() as connection:
            connection.execute("SET default_transaction_read_only = off")
            connection.execute("ALTER SYSTEM RESET default_transaction_read_only")
            connection.execute("SELECT pg_reload_conf()")
        await self.healed(store)
        self.assertNotEqual(self.pidOf(store._database.reads), reads)
        self.assertTrue(await store.delete(kept.key))


class TableTests(PostgresCase):
    """
    Somebody does something to the table.
    """

    @steps
    async def test_truncated(self) -> None:
        """
        All sessions are gone, and nothing fails.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        self.server.do(f"TRUNCATE {self.table}")
        self.assertIsNone(await store.load(kept.key, self.now))
        replaced = store.replace(evolve(kept, version=2), 1, self.now)
        await self.fails(replaced, SessionGone)
        await store.insert(kept, self.now)

    @steps
    async def test_dropped(self) -> None:
        """
        A table that was dropped is said to be so, and made again.
        """
        store = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        self.server.do(f"DROP TABLE {self.table}")
        error = await self.fails(store.load(kept.key, self.now), StoreCorrupt)
        self.assertIn("42P01", str(error))
        await self.fails(store.delete(kept.key), StoreCorrupt)
        await self.healed(store)
        self.assertIsNone(await store.load(kept.key, self.now))
        await store.insert(kept, self.now)

    @steps
    async def test_locked(self) -> None:
        """
        A row that somebody's open transaction holds fails by itself; its neighbours
        of the same unit are written.
        """
        store = await self.open(deadline=1.2)
        records = [record(str(number)) for number in range(6)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        with self.server.connect() as connection, connection.transaction():
            connection.execute(
                f"UPDATE {self.table} SET due = due WHERE key = %s", [records[2].key]
            )
            calls = [
                store.replace(evolve(each, version=2), 1, self.now) for each in records
            ]
            found = await self.outcomes(calls)
        self.assertIn("55P03", str(found.pop(2)))
        self.assertEqual(found, [None] * 5)
        self.assertEqual(self.count("version = 2"), 5)
        await store.replace(evolve(records[2], version=2), 1, self.now)

    @steps
    async def test_overtakenWhileWaiting(self) -> None:
        """
        Where a change waits for another transaction, it answers by what that one
        left: a conflict with the record that is there then.
        """
        store = await self.open()
        other = await self.open()
        kept = record()
        await store.insert(kept, self.now)
        theirs = evolve(kept, version=2, payload=b"theirs")
        with self.server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(f"DELETE FROM {self.table} WHERE key = %s", [kept.key])
            mine = store.touch(kept.key, self.now + 5, self.now + 999, self.now)
            await self.until(self.somebodyWaits)
            connection.execute("COMMIT")
            await self.fails(mine, SessionGone)
        await store.insert(kept, self.now)
        with self.server.connect() as connection:
            connection.execute("BEGIN")
            connection.execute(
                f"SELECT 1 FROM {self.table} WHERE key = %s FOR UPDATE", [kept.key]
            )
            calls = [other.replace(theirs, 1, self.now)]
            await self.until(self.somebodyWaits)
            calls.append(store.replace(evolve(kept, version=2), 1, self.now))
            await self.until(lambda: self.somebodyWaits(2))
            connection.execute("COMMIT")
            found = await self.outcomes(calls)
        lost = next(each for each in found if each is not None)
        self.assertEqual(found.count(None), 1)
        self.assertEqual(lost.current, await store.load(kept.key, self.now))
        self.assertEqual(lost.current.version, 2)

    def somebodyWaits(self, many: int = 1) -> bool:
        """
        Does a store wait for a lock?
        """
        statement = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE wait_event_type = 'Lock' AND application_name = 'txsessions'"
        )
        return self.server.do(statement)[0][0] >= many

    @steps
    async def test_innocent(self) -> None:
        """
        Of 204 inserts made in one turn 4 cannot be done: 200 are acknowledged, and
        200 are there.
        """
        store = await self.open()
        self.server.do(f"ALTER TABLE {self.table} ADD CHECK (payload <> 'bad')")
        bad = {17, 60, 61, 203}
        records = [
            record(str(number), payload=b"bad" if number in bad else b"good")
            for number in range(204)
        ]
        found = await self.outcomes([store.insert(each, self.now) for each in records])
        failed = {n for n, each in enumerate(found) if each is not None}
        self.assertEqual(failed, bad)
        self.assertEqual(self.count(), 200)
        for number in bad:
            self.assertIn("23514", str(found[number]))
            self.assertNotIn("bad", str(found[number]))


if PGBOUNCER is not None:

    class PoolerTests(PostgresCase):
        """
        A pooler stands between.
        """

        @steps
        async def test_behindThePooler(self) -> None:
            """
            The connections behind the pooler are ended: it heals, and nothing is
            lost that was acknowledged.
            """
            server = self.own()
            pooler = Pooler(server)
            self.addCleanup(pooler.stop)
            store = await self.open(pooler.address)
            kept = record()
            await store.insert(kept, self.now)
            server.do(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )
            await self.healed(store)
            self.assertEqual(await store.load(kept.key, time.time()), kept)
            server.halt()
            await self.fails(store.delete(kept.key))
            server.start()
            await self.healed(store)
            self.assertEqual(await store.load(kept.key, time.time()), kept)
