"""
How the PostgreSQL store reads answers that contradict each other: the second statement
of a call sees what others have committed since the first.
"""

from __future__ import annotations

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from tests.stores.postgres_case import record
from txsessions.core.record import Record, SignInLimit
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    TooManySessions,
)
from txsessions.stores._postgresql_exchange import Call
from txsessions.stores._postgresql_outcomes import Again
from txsessions.stores._postgresql_rows import valuesOf
from txsessions.stores._postgresql_statements import Statements, namesOf
from txsessions.stores._postgresql_values import number
from txsessions.stores._postgresql_verbs import EASY, FINAL, USUAL, Verbs


@frozen
class Result:
    """
    What libpq makes of an answer, as far as it is read here.
    """

    command_tuples: int = 0
    rows: tuple[tuple[bytes | None, ...], ...] = ()

    @property
    def ntuples(self) -> int:
        """
        How many rows there are.
        """
        return len(self.rows)

    def get_value(self, row: int, column: int) -> bytes | None:
        """
        One value.
        """
        return self.rows[row][column]


NOTHING = Result()


def rowOf(stored: Record, epoch: int = 0) -> Result:
    """
    What the server answers who looks at a record.
    """
    version, *times, checksum, payload = valuesOf(stored, 0)
    sealed = number(epoch)[4:] + checksum[4:]
    span = number(round((stored.expiresAt - stored.touchedAt) * 1e6))
    signed = (stored.principal, sealed, stored.handle, number(epoch))
    return Result(0, ((version, *times, span, *signed, payload),))


def read(call: Call, result: Result) -> object:
    """
    Have a call read an answer.
    """
    about = call.about
    return call.decode(result) if about is None else call.decode(result, about)


class OvertakenTests(SynchronousTestCase):
    """
    What was overtaken looks again.
    """

    def setUp(self) -> None:
        """
        Make verbs.
        """
        self.statements = Statements(namesOf("public", "sessions"))
        self.verbs = Verbs(self.statements, "server")

    def again(self, call: Call, *results: Result) -> None:
        """
        Have a call read these answers, and go on after each as it wants to.
        """
        for result in results:
            self.assertRaises(Again, read, call, result).change(call)

    def test_replace(self) -> None:
        """
        A change that met no row, though now there is one at the version that it
        expected, is made again.
        """
        call = self.verbs.replace(record(version=3), 2, 0.0, 0, 9.0)
        before = (call.statement, call.values)
        self.assertIsNone(read(call, Result(1)))
        self.again(call, NOTHING)
        self.assertIs(call.statement, self.statements.current)
        self.again(call, rowOf(record(version=2)))
        self.assertEqual((call.statement, call.values), before)
        self.assertIsNone(read(call, Result(1)))

    def test_replaceOfAnother(self) -> None:
        """
        One whose record has another principal than what is stored is made again with
        that one.
        """
        stored = record(version=2, principal=b"p" * 32, handle=b"h" * 16)
        call = self.verbs.replace(record(version=3), 2, 0.0, 0, 9.0)
        self.again(call, NOTHING, rowOf(stored, 5))
        self.assertEqual(call.values[-2:], [stored.principal, stored.handle])

    def test_replaceOfTheDamaged(self) -> None:
        """
        One that meets a row whose epoch does not fit its checksum is over.
        """
        stored = record(version=2, principal=b"p" * 32, handle=b"h" * 16)
        row = rowOf(stored, 5).rows[0]
        damaged = Result(0, ((*row[:8], number(6), row[9]),))
        call = self.verbs.replace(record(version=3), 2, 0.0, 0, 9.0)
        self.again(call, NOTHING)
        self.assertRaises(SessionGone, read, call, damaged)

    def test_signIn(self) -> None:
        """
        A sign-in that made nothing though there was room lost its key to somebody; one
        that found too many makes room, alone, if it may.
        """
        signed = record(principal=b"p" * 32, handle=b"h" * 16)
        no, two, three = number(0), number(2), number(3)
        for refuses, refusal in ((True, TooManySessions), (False, Again)):
            limit = SignInLimit(most=3, refuses=refuses)
            for verb in (
                lambda limit=limit: self.verbs.insert(signed, 0.0, limit, 0, 9.0),
                lambda limit=limit: self.verbs.rename(
                    b"k", signed, 1, 0.0, limit, 60.0, 0, 9.0
                ),
            ):
                call = verb()
                before = ()
                if call.statement is self.statements.renameSignedIn:
                    before = rowOf(record()).rows[0]
                self.assertEqual((call.alone, call.lock[1]), (False, True))
                answer = Result(1, ((*before, no, two, no),))
                self.assertRaises(SessionExists, read, call, answer)
                answer = Result(1, ((*before, no, three, number(1)),))
                self.assertRaises(SessionExists, read, call, answer)
                answer = Result(1, ((*before, no, three, no),))
                self.assertRaises(refusal, read, call, answer)
                self.assertEqual(call.alone, not refuses)
                self.assertEqual(call.values[-1], number(int(not refuses)))
                if not refuses:
                    self.assertRaises(SessionExists, read, call, answer)

    def test_replaceOfNothing(self) -> None:
        """
        One that met no row, and no other record either, says that there is none; one
        that finds what it wanted to write is in conflict with that.
        """
        one = record(version=3)
        call = self.verbs.replace(one, 2, 0.0, 0, 9.0)
        self.again(call, NOTHING)
        self.assertRaises(SessionGone, read, call, NOTHING)
        error = self.assertRaises(SessionConflict, read, call, rowOf(one))
        self.assertEqual(error.current, one)

    def test_touch(self) -> None:
        """
        A touch that met no row, though now there is one to be touched, is made
        again; one that is touched already is well.
        """
        call = self.verbs.touch(b"k", (50.0, 60.0), 40.0, 0, 9.0)
        before = (call.statement, call.values)
        earlier = Result(0, ((number(49_000_000),),))
        later = Result(0, ((number(50_000_000),),))
        self.assertIsNone(read(call, Result(1)))
        self.again(call, NOTHING)
        self.assertIs(call.statement, self.statements.touched)
        self.assertIsNone(read(call, later))
        self.assertRaises(SessionGone, read, call, NOTHING)
        self.again(call, earlier)
        self.assertEqual((call.statement, call.values), before)

    def test_delete(self) -> None:
        """
        A delete that met no row looks for a marker, alone; where what that leads to
        was there and then was not, it looks again.
        """
        call = self.verbs.delete(b"k", None, 0, 9.0)
        self.assertIs(read(call, Result(1)), True)
        self.assertIs(call.statement, self.statements.delete)
        self.again(call, NOTHING)
        self.assertEqual(
            (call.statement, call.alone), (self.statements.deleteFollowed, True)
        )
        none, one = number(0), number(1)
        self.assertRaises(Again, read, call, Result(1, ((one, none),)))
        self.assertIs(read(call, Result(1, ((one, one),))), True)
        self.assertIs(read(call, Result(1, ((none, none),))), False)

    def test_commits(self) -> None:
        """
        What is final waits for the disk in every durability.
        """
        one = record()
        for durability, usual, easy in (
            ("server", USUAL, EASY),
            ("full", FINAL, FINAL),
            ("normal", EASY, EASY),
        ):
            verbs = Verbs(self.statements, durability)
            self.assertEqual(verbs.insert(one, 0.0, None, 0, 9.0).commit, usual)
            self.assertEqual(verbs.replace(one, 1, 0.0, 0, 9.0).commit, usual)
            self.assertEqual(verbs.touch(b"k", (1.0, 2.0), 0.0, 0, 9.0).commit, easy)
            self.assertEqual(verbs.delete(b"k", None, 0, 9.0).commit, FINAL)
            self.assertEqual(
                verbs.rename(b"k", one, 1, 0.0, None, 60.0, 0, 9.0).commit, FINAL
            )
            self.assertEqual(verbs.acknowledge([b"k"], 0, 9.0).commit, FINAL)
            for call in (
                verbs.endPrincipal(b"p" * 32, 0.0, None, 0, 9.0),
                verbs.endSession(b"p" * 32, b"h" * 16, 0.0, 0, 9.0),
                verbs.erasePrincipal(b"p" * 32, 0, 9.0),
            ):
                self.assertEqual((call.commit, call.alone), (FINAL, True))
                self.assertEqual(call.lock[1], True)
