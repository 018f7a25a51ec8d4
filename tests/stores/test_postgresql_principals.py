"""
Who is signed in, in PostgreSQL: what the contract cannot see of it.  What it costs, which
indexes find it, and what happens where somebody else's transaction is under way.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve

from tests.stores.postgres_case import PostgresCase, record
from txsessions.core.record import PREFIX_BYTES, ROTATED, Record, SignInLimit
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    StoreUnavailable,
    TooManySessions,
)
from txsessions.stores._postgresql_exchange import Unit
from txsessions.stores._postgresql_principal_verbs import lockOf
from txsessions.stores._postgresql_statements import (
    LOCK_ALONE,
    LOCK_SHARED,
    Statement,
    namesOf,
)
from txsessions.testing._case import steps

SOMEBODY = b"s" * 32
EVERYBODY = SOMEBODY[:PREFIX_BYTES]
EVICTS = SignInLimit(most=2, refuses=False)


def signedIn(name: str, principal: bytes = SOMEBODY, **changes) -> Record:
    """
    Make a record of a session in which somebody is signed in.
    """
    plain = record(name)
    return evolve(plain, principal=principal, handle=plain.key[:16], **changes)


class PrincipalCase(PostgresCase):
    """
    A server, a table, and somebody who signs in.
    """

    def statements(self, line) -> list[list[Statement]]:
        """
        Have a list of what a line sends from now on, by unit.
        """
        sent: list[list[Statement]] = []
        take = line.takeUnit

        def taken() -> Unit | None:
            unit = take()
            if unit is not None:
                sent.append([step.statement for step in unit.steps])
            return unit

        self.patch(line, "takeUnit", taken)
        return sent

    def place(self, principal: bytes = SOMEBODY) -> int:
        """
        The number of the lock on a principal.
        """
        return lockOf(namesOf("public", self.table), principal)

    def waiting(self) -> int:
        """
        How many wait for a lock on the tables of this test, or on the principal.
        """
        return self.server.do("SELECT count(*) FROM pg_locks WHERE NOT granted")[0][0]


class TableTests(PrincipalCase):
    """
    What the statements do to the tables.
    """

    @steps
    async def test_touchesAreHot(self) -> None:
        """
        A touch and a change touch no index of a session that is signed in either.
        """
        store = await self.open()
        records = [signedIn(str(n), payload=b"p" * 300) for n in range(20)]
        await self.outcomes([store.insert(each, self.now) for each in records])
        for turn in range(1, 6):
            at = self.now + turn
            calls = [store.touch(each.key, at, at + 900, at) for each in records]
            self.assertEqual(await self.outcomes(calls), [None] * 20)
            changed = [evolve(each, version=turn + 1) for each in records]
            calls = [store.replace(each, turn, at) for each in changed]
            self.assertEqual(await self.outcomes(calls), [None] * 20)
        await store.endPrincipal(SOMEBODY, self.now, records[0].key)
        await store.close()
        statement = (
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables "
            "WHERE relname = %s"
        )
        await self.until(lambda: self.server.do(statement, self.table)[0][0] == 201)
        hot = self.server.do(statement, self.table)[0][1]
        self.assertGreaterEqual(hot, 160)

    @steps
    async def test_epochsOutliveACrash(self) -> None:
        """
        The table of the epochs is logged even where the sessions are not.
        """
        await self.open(unlogged="1")
        found = self.server.do(
            "SELECT relpersistence::text FROM pg_class WHERE relname = %s",
            f"{self.table}_epochs",
        )
        self.assertEqual(found, [("p",)])

    @steps
    async def test_aFlippedEpoch(self) -> None:
        """
        A row whose epoch was changed behind the store's back is damaged, and absent.
        """
        store = await self.open()
        ended = signedIn("ended")
        await store.insert(ended, self.now)
        await store.endPrincipal(SOMEBODY, self.now)
        self.server.do(f"UPDATE {self.table} SET epoch = 1")
        self.assertIsNone(await store.load(ended.key, self.now))
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertEqual(await store.sessionsOf(SOMEBODY, self.now), ([], None))

    @steps
    async def test_indexesAreUsed(self) -> None:
        """
        No statement of a request, a sign-in or an end reads all the sessions.
        """
        store = await self.open()
        self.server.do(
            f"INSERT INTO {self.table} SELECT sha256(n::text::bytea), 1, 0, 0, 9, 9, "
            "9, NULL, 0, CASE WHEN n % 3 = 0 THEN sha256((n % 99)::text::bytea) END, "
            "'p', substring(sha256(n::text::bytea) for 16), 0 "
            "FROM generate_series(1, 6000) AS n"
        )
        self.server.do(f"ANALYZE {self.table}")
        all_ = store._statements
        uses = {"load": "pkey", "replace": "pkey", "touch": "pkey"}
        uses |= {"renameSignedIn": "pkey", "rename": "pkey", "signIn": "principal"}
        uses |= {"sessionsOf": "principal", "endPrincipal": "principal"}
        uses |= {"endSession": "principal", "erasePrincipal": "principal"}
        uses |= {"forgetEpoch": "principal"}
        names = {17: "bytea", 20: "bigint"}
        with self.server.connect() as connection:
            for name, index in uses.items():
                statement = getattr(all_, name)
                types = ", ".join(names[each] for each in statement.types)
                values = ", ".join(
                    "'x'" if each == 17 else "1" for each in statement.types
                )
                text = statement.text.decode()
                connection.execute(f"PREPARE p{name} ({types}) AS {text}")
                rows = connection.execute(f"EXPLAIN EXECUTE p{name} ({values})")
                plan = "\n".join(row[0] for row in rows)
                self.assertNotIn(f"Seq Scan on {self.table} ", plan, name)
                self.assertIn(f"{self.table}_{index} on {self.table} ", plan, name)

    @steps
    async def test_verifyIndex(self) -> None:
        """
        Where somebody dropped the index nobody who is signed in fits.
        """
        store = await self.open()
        for name in ("one", "two"):
            await store.insert(signedIn(name), self.now)
        await store.insert(record("anonymous"), self.now)
        self.assertEqual(await store.verifyIndex(), (0, None))
        self.server.do(f"DROP INDEX {self.table}_principal")
        self.assertEqual(await store.verifyIndex(), (2, None))
        error = await self.fails(self.make(table="absent").verifyIndex())
        self.assertIn("not open", str(error))


class CostTests(PrincipalCase):
    """
    What is sent, and what an anonymous session pays.
    """

    @steps
    async def test_anonymousNeedNotBeAsked(self) -> None:
        """
        Nothing about an anonymous session looks an epoch up.
        """
        store = await self.open()
        plain, signed = record("plain"), signedIn("signed")
        for each in (plain, signed):
            await store.insert(each, self.now)
        self.server.do(
            f"CREATE OR REPLACE FUNCTION {self.table}_epoch_of (whose bytea) "
            "RETURNS bigint LANGUAGE plpgsql STABLE AS "
            "$$ BEGIN RAISE EXCEPTION 'asked'; END $$"
        )
        self.assertEqual(await store.load(plain.key, self.now), plain)
        await store.touch(plain.key, self.now + 1, self.now + 901, self.now)
        await store.replace(evolve(plain, version=2), 1, self.now)
        await store.rename(plain.key, record("new", version=3), 2, self.now)
        self.assertTrue(await store.delete(plain.key))
        for call in (
            store.load(signed.key, self.now),
            store.touch(signed.key, self.now + 1, self.now + 901, self.now),
            store.replace(evolve(signed, version=2), 1, self.now),
        ):
            error = await self.fails(call)
            self.assertIn("P0001", str(error))

    @steps
    async def test_roundTrips(self) -> None:
        """
        Each is one round trip: an anonymous session's statements are as many as ever,
        and whoever signs in sends the lock ahead.
        """
        store = await self.open()
        await store.insert(record("first"), self.now)
        all_ = store._statements
        sent = self.statements(store._database.writes)
        read = self.statements(store._database.reads)
        plain, signed = record("plain"), signedIn("signed")
        second = signedIn("second", version=3)
        for call, expected in (
            (lambda: store.insert(plain, self.now), [all_.insert]),
            (
                lambda: store.replace(evolve(plain, version=2), 1, self.now),
                [all_.replace],
            ),
            (
                lambda: store.rename(plain.key, second, 2, self.now),
                [LOCK_SHARED, all_.renameSignedIn],
            ),
            (lambda: store.insert(signed, self.now), [LOCK_SHARED, all_.signIn]),
            (
                lambda: store.replace(evolve(signed, version=2), 1, self.now),
                [all_.replace],
            ),
            (
                lambda: store.touch(signed.key, self.now + 1, self.now + 9, self.now),
                [all_.touch],
            ),
            (
                lambda: store.rename(signed.key, record("out", version=3), 2, self.now),
                [all_.rename],
            ),
            (
                lambda: store.insert(signedIn("third"), self.now, EVICTS),
                [LOCK_ALONE, all_.signIn],
            ),
            (
                lambda: store.endSession(SOMEBODY, second.handle, self.now),
                [LOCK_ALONE, all_.endSession],
            ),
            (
                lambda: store.endPrincipal(SOMEBODY, self.now),
                [LOCK_ALONE, all_.endPrincipal],
            ),
            (
                lambda: store.endEverybody(EVERYBODY),
                [LOCK_ALONE, all_.endEverybody],
            ),
            (
                lambda: store.erasePrincipal(SOMEBODY),
                [LOCK_ALONE, all_.erasePrincipal],
            ),
        ):
            await call()
            self.assertEqual([unit[1:] for unit in sent], [expected])
            del sent[:]
        await store.load(plain.key, self.now)
        await store.sessionsOf(SOMEBODY, self.now)
        self.assertEqual(read, [[all_.load], [all_.sessionsOf]])

    @steps
    async def test_lookingWhy(self) -> None:
        """
        Only a change or a touch that met no row looks why.
        """
        store = await self.open()
        all_, kept = store._statements, record("kept")
        await store.insert(kept, self.now)
        sent = self.statements(store._database.writes)
        other = evolve(kept, version=9)
        await self.fails(store.replace(other, 8, self.now), SessionConflict)
        await store.touch(kept.key, kept.touchedAt, kept.expiresAt, self.now)
        self.assertEqual(
            [statements[1:] for statements in sent],
            [[all_.replace], [all_.current], [all_.touch], [all_.touched]],
        )

    @steps
    async def test_makingRoom(self) -> None:
        """
        Only where the oldest have to go it goes to the server twice.
        """
        store = await self.open()
        for name in ("one", "two"):
            await store.insert(signedIn(name), self.now, EVICTS)
        sent = self.statements(store._database.writes)
        await store.insert(signedIn("three"), self.now, EVICTS)
        expected = [LOCK_ALONE, store._statements.signIn]
        self.assertEqual([unit[1:] for unit in sent], [expected, expected])
        del sent[:]
        refuses = SignInLimit(most=2, refuses=True)
        refused = store.insert(signedIn("four"), self.now, refuses)
        await self.fails(refused, TooManySessions)
        self.assertEqual(len(sent), 1)


class OthersTests(PrincipalCase):
    """
    Somebody else's transaction is under way.
    """

    @steps
    async def test_theEndWaitsForASignIn(self) -> None:
        """
        Who ends all waits for those who are signing in, and counts them.
        """
        store = await self.open()
        await store.insert(signedIn("one"), self.now)
        with self.server.connect() as other, other.transaction():
            other.execute("SELECT pg_advisory_xact_lock_shared(%s)", [self.place()])
            other.execute(
                f"INSERT INTO {self.table} SELECT 'k', version, created_at, "
                "touched_at, expires_at, span, due, NULL, checksum, principal, payload "
                f"FROM {self.table}"
            )
            ended = store.endPrincipal(SOMEBODY, self.now)
            await self.until(self.waiting)
        self.assertEqual(await ended, 2)
        self.assertEqual(await store.countSessions(self.now), 0)

    @steps
    async def test_aSignInWaitsForTheEnd(self) -> None:
        """
        Who signs in while all are being ended signs in under the new epoch.
        """
        store = await self.open()
        anonymous = record("anonymous")
        await store.insert(anonymous, self.now)
        made, renamed = signedIn("made"), signedIn("renamed", version=2)
        for call, kept in (
            (lambda: store.insert(made, self.now), made),
            (lambda: store.rename(anonymous.key, renamed, 1, self.now), renamed),
        ):
            with self.server.connect() as other, other.transaction():
                other.execute("SELECT pg_advisory_xact_lock(%s)", [self.place()])
                raised = other.execute(f"UPDATE {self.table}_epochs SET epoch = 9")
                if not raised.rowcount:
                    other.execute(
                        f"INSERT INTO {self.table}_epochs VALUES (%s, 7, %s)",
                        [SOMEBODY, 1 << 60],
                    )
                signing = call()
                await self.until(self.waiting)
            await signing
            self.assertEqual(await store.load(kept.key, self.now), kept)
        self.assertEqual(self.count("epoch = 7"), 1)
        self.assertEqual(self.count("epoch = 9"), 1)

    @steps
    async def test_whatWaitsForItsRow(self) -> None:
        """
        What waited for a row while all were ended does not bring it back, whatever it
        is told.
        """
        store, ending = await self.open(), await self.open()
        for turn in ("replace", "touch", "rename"):
            old = signedIn(turn)
            await store.insert(old, self.now)
            new = signedIn(f"new {turn}", version=2)
            # As both would see it, were they a moment later: an end of all but for it.
            calls = {
                "replace": lambda old=old: store.replace(
                    evolve(old, version=2), 1, self.now
                ),
                "touch": lambda old=old: store.touch(
                    old.key, self.now + 1, self.now + 901, self.now
                ),
                "rename": lambda old=old, new=new: store.rename(
                    old.key, evolve(new, principal=None, handle=None), 1, self.now
                ),
            }
            with self.server.connect() as other, other.transaction():
                other.execute(
                    f"SELECT FROM {self.table} WHERE key = %s FOR UPDATE", [old.key]
                )
                waits = calls[turn]()
                await self.until(self.waiting)
                self.assertEqual(await ending.endPrincipal(SOMEBODY, self.now), 1)
            found = (await self.outcomes([waits]))[0]
            self.assertTrue(found is None or isinstance(found, SessionGone), found)
            self.assertIsNone(
                await store.load(old.key, self.now) if turn != "rename" else None
            )
            self.assertEqual(await store.sessionsOf(SOMEBODY, self.now), ([], None))
            late = (await self.outcomes([calls[turn]()]))[0]
            self.assertIsInstance(late, SessionGone)

    @steps
    async def test_aWaitBlamesNobodyElse(self) -> None:
        """
        Where a principal's lock is held for long only its own sign-ins fail.
        """
        store = await self.open()
        await store.insert(record("first"), self.now)
        with self.server.connect() as other, other.transaction():
            other.execute("SELECT pg_advisory_xact_lock(%s)", [self.place()])
            calls = [
                store.insert(record("anonymous"), self.now),
                store.insert(signedIn("waits"), self.now),
                store.insert(signedIn("else", b"e" * 32), self.now),
            ]
            found = await self.outcomes(calls)
        self.assertEqual([type(each) for each in found[::2]], [type(None)] * 2)
        self.assertIsInstance(found[1], StoreUnavailable)
        self.assertIn("55P03", str(found[1]))

    @steps
    async def test_nobodyWaitsInACircle(self) -> None:
        """
        Sign-ins that make others go, rotations and touches of these, and ends of all,
        in two processes: nobody is refused for a lock.
        """
        stores = [await self.open(), await self.open()]
        limit = SignInLimit(most=4, refuses=False)
        for turn in range(6):
            principals = [b"%d" % n * 32 for n in range(3)]
            records = [
                signedIn(f"{turn} {n}", principals[n % 3], createdAt=self.now - n)
                for n in range(12)
            ]
            plain = [record(f"plain {turn} {n}") for n in range(6)]
            made = [stores[0].insert(each, self.now) for each in (*records, *plain)]
            self.assertEqual(set(await self.outcomes(made)), {None})
            calls = []
            for n, old in enumerate(plain):
                one, two = stores[:: 1 if n % 2 else -1]
                touched = [*records[n:], *plain, *records[:n]]
                at = self.now + 1 + n
                calls += [
                    one.touch(each.key, at, at + 900, self.now) for each in touched
                ]
                new = signedIn(f"new {turn} {n}", principals[n % 3], version=2)
                calls.append(two.rename(old.key, new, 1, self.now, limit))
                more = signedIn(f"more {turn} {n}", principals[n % 3])
                calls.append(one.insert(more, self.now, limit))
                if n % 3 == 2:
                    calls.append(one.endPrincipal(principals[0], self.now, new.key))
                    calls.append(two.erasePrincipal(principals[1]))
            found = await self.outcomes(calls)
            wrong = [each for each in found if isinstance(each, StoreUnavailable)]
            self.assertEqual(wrong, [])

    @steps
    async def test_anotherIsolation(self) -> None:
        """
        A role that sees what was there when its transaction began would miss what was
        committed while it waited: nobody signs in then, and it is told why.
        """
        role = f"repeating_{self.table}"
        self.server.do(f"CREATE ROLE {role} LOGIN SUPERUSER")
        self.server.do(
            f"ALTER ROLE {role} SET default_transaction_isolation = 'repeatable read'"
        )
        store = await self.open(self.server.address.replace("postgres@", f"{role}@"))
        await store.insert(record("plain"), self.now)
        error = await self.fails(store.insert(signedIn("signed"), self.now))
        self.assertIn("'read committed'", str(error))

    @steps
    async def test_aSweepForgetsNobodyWhoSignsIn(self) -> None:
        """
        The epoch of somebody who is signing in, whom nobody can see yet, is not
        forgotten; and the claim hands out what it has.
        """
        store = await self.open()
        ended, over = signedIn("ended"), record("over", expiresAt=self.now)
        for each in (ended, over):
            await store.insert(each, self.now)
        await store.endPrincipal(SOMEBODY, self.now)
        await store.delete(ended.key)
        late = self.now + 2000
        with self.server.connect() as other, other.transaction():
            other.execute("SELECT pg_advisory_xact_lock_shared(%s)", [self.place()])
            self.assertEqual(await store.claimExpired(late, 9, 60.0), [over])
        left = f"SELECT epoch FROM {self.table}_epochs"
        self.assertEqual(self.server.do(left), [(1,)])
        await store.claimExpired(late, 9, 60.0)
        self.assertEqual(self.server.do(left), [])

    @steps
    async def test_whoMakesRoomSignsOut(self) -> None:
        """
        Where the oldest is given a new key as nobody's meanwhile, its marker stays.
        """
        store = await self.open()
        one = SignInLimit(most=1, refuses=False)
        anonymous = record("anonymous")
        await store.insert(anonymous, self.now)
        renamed = signedIn("renamed", version=2)
        for name, call in (
            ("insert", lambda: store.insert(signedIn("made"), self.now, one)),
            (
                "rename",
                lambda: store.rename(anonymous.key, renamed, 1, self.now, one),
            ),
        ):
            old = signedIn(name, createdAt=self.now - 99)
            await store.insert(old, self.now, one)
            with self.server.connect() as other, other.transaction():
                other.execute(
                    f"UPDATE {self.table} SET version = NULL, created_at = 0, principal = NULL "
                    "WHERE key = %s",
                    [old.key],
                )
                signing = call()
                await self.until(self.waiting)
            await signing
            self.assertIs(await store.load(old.key, self.now), ROTATED)

    @steps
    async def test_whoLosesTheKeyEvictsNobody(self) -> None:
        """
        Where somebody else takes the key meanwhile nobody has to go.
        """
        store = await self.open()
        one = SignInLimit(most=1, refuses=False)
        anonymous = record("anonymous")
        for each in (anonymous, signedIn("old")):
            await store.insert(each, self.now)
        for name, call in (
            ("made", lambda: store.insert(signedIn("made"), self.now, one)),
            (
                "renamed",
                lambda: store.rename(
                    anonymous.key, signedIn("renamed", version=2), 1, self.now, one
                ),
            ),
        ):
            with self.server.connect() as other, other.transaction():
                other.execute(
                    f"INSERT INTO {self.table} SELECT %s, version, created_at, "
                    "touched_at, expires_at, span, due, NULL, checksum, NULL, payload "
                    f"FROM {self.table} WHERE key = %s",
                    [record(name).key, anonymous.key],
                )
                signing = call()
                await self.until(self.waiting)
            await self.fails(signing, SessionExists)
            found = await store.load(signedIn("old").key, self.now)
            self.assertIsInstance(found, Record)
        self.assertEqual(await store.load(anonymous.key, self.now), anonymous)
