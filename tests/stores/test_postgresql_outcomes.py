"""
Which calls become a unit, and what becomes of them.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txsessions.errors import SessionExists, SessionGone, StoreUnavailable
from txsessions.stores import _postgresql_outcomes
from txsessions.stores._postgresql_exchange import Call, Unit
from txsessions.stores._postgresql_outcomes import Again, gather, settle
from txsessions.stores._postgresql_statements import (
    Names,
    Statements,
    setupOf,
)
from txsessions.stores._postgresql_values import keysOf

STATEMENT = Statements(Names("public", "sessions")).delete


def call(
    *keys: bytes, decode=lambda result: result, size: int = 1, alone=False
) -> Call:
    """
    Make a call.
    """
    made = Call(STATEMENT, [], decode, 9.0, keys, alone=alone, size=size)
    made.told = Deferred()
    return made


def outcome(unit: Unit) -> tuple[list[tuple[Call, object]], list[Call]]:
    """
    Settle a unit.

    @return: The calls with what whoever waits for them was told, an answer or an
        error; and those that are to be made again.
    """
    told: list[tuple[Call, object]] = []
    for each in unit.calls:
        each.told.addErrback(lambda failure: failure.value)
        each.told.addCallback(lambda answer, each=each: told.append((each, answer)))
    again = settle(unit, "the place")
    return told, again


class GatherTests(SynchronousTestCase):
    """
    L{gather}.
    """

    def sizes(self, *calls: Call) -> list[int]:
        """
        How many calls the units have.
        """
        queue = deque(calls)
        sizes = []
        while queue:
            sizes.append(len(gather(queue)))
        return sizes

    def test_together(self) -> None:
        """
        Calls go together, also those with one key, whose order is kept.
        """
        calls = [call(b"b"), call(b"a"), call(b"b"), call()]
        self.assertEqual(gather(deque(calls)), calls)

    def test_twoKeys(self) -> None:
        """
        A call with two keys shares neither with another of its unit, for sorting
        would change their order.
        """
        move = call(b"a", b"b")
        self.assertEqual(self.sizes(call(b"c"), move, call(b"d")), [3])
        self.assertEqual(self.sizes(call(b"b"), move), [1, 1])
        self.assertEqual(self.sizes(call(b"a"), move), [1, 1])
        self.assertEqual(self.sizes(move, call(b"b")), [1, 1])
        self.assertEqual(self.sizes(move, call(b"a")), [1, 1])
        self.assertEqual(self.sizes(move, call(b"b", b"c")), [1, 1])
        self.assertEqual(self.sizes(move, call(b"c", b"d"), call(b"d")), [2, 1])

    def test_alone(self) -> None:
        """
        What is long goes alone.
        """
        long = call(alone=True)
        self.assertEqual(self.sizes(call(b"a"), long, call(b"b")), [1, 1, 1])

    def test_bounded(self) -> None:
        """
        A unit is no larger than its bounds, unless one call alone is.
        """
        calls = [call(b"%d" % number) for number in range(300)]
        self.assertEqual(self.sizes(*calls), [128, 128, 44])
        self.patch(_postgresql_outcomes, "UNIT_BYTES", 100)
        self.assertEqual(self.sizes(*[call(size=40) for _ in range(5)]), [2, 2, 1])
        self.assertEqual(self.sizes(call(size=400), call(size=400)), [1, 1])


class OutcomeTests(SynchronousTestCase):
    """
    L{settle}.
    """

    def failed(self, code: str, at: int, *calls: Call):
        """
        The outcome of a unit that met an error.
        """
        unit = Unit(calls, setupOf(500, "on"))
        unit.failed, unit.code, unit.said = at, code, "the words"
        return outcome(unit)

    def test_committed(self) -> None:
        """
        Each gets its answer, its error, or is made again.
        """

        def gone(result):
            raise SessionGone("tag")

        def again(result):
            raise Again

        def broken(result):
            raise ZeroDivisionError

        calls = [call(decode=each) for each in (str, gone, again, broken)]
        unit = Unit(calls, None)
        unit.results = [1, 2, 3, 4]
        answers, repeated = outcome(unit)
        self.assertEqual(answers[0], (calls[0], "1"))
        self.assertIsInstance(answers[1][1], SessionGone)
        self.assertEqual(repeated, [calls[2]])
        self.assertIsInstance(answers[2][1], StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_guilty(self) -> None:
        """
        The guilty one is told, the others are made again.
        """
        one, two, three = call(b"1"), call(b"2"), call(b"3")
        answers, again = self.failed("53100", 2, one, two, three)
        self.assertEqual([each for each, _ in answers], [two])
        self.assertIn("disk_full", str(answers[0][1]))
        self.assertEqual(again, [one, three])
        answers, _ = self.failed("23505", 1, call(b"k" * 32))
        self.assertIsInstance(answers[0][1], SessionExists)

    def test_retried(self) -> None:
        """
        What may succeed at once is made again, once.
        """
        one, two = call(b"1"), call(b"2")
        answers, again = self.failed("40P01", 2, one, two)
        self.assertEqual((answers, again), ([], [one, two]))
        answers, again = self.failed("40001", 2, one, two)
        self.assertEqual(([each for each, _ in answers], again), ([two], [one]))

    def test_everybodysFault(self) -> None:
        """
        An error of the setup or of the commit is everybody's.
        """
        for at in (0, 3):
            one, two = call(b"1"), call(b"2")
            answers, again = self.failed("53100", at, one, two)
            self.assertEqual([each for each, _ in answers], [one, two])
            one, two = call(b"1"), call(b"2")
            answers, again = self.failed("40001", at, one, two)
            self.assertEqual((answers, again), ([], [one, two]))

    def test_instead(self) -> None:
        """
        A call that goes on with another statement is made again with that, and alone
        if it says so; what it waits for stays the same.
        """
        other = Statements(Names("public", "sessions")).end

        def goOn(result):
            raise Again(other, [b"y"], str, alone=alone)

        for alone in (False, True):
            one = call(b"1", decode=goOn)
            waited = one.told
            unit = Unit([one], setupOf(500, "on"))
            unit.results = ["setup", 1]
            self.assertEqual(outcome(unit), ([], [one]))
            self.assertEqual(
                (one.statement, one.values, one.decode, one.alone),
                (other, [b"y"], str, alone),
            )
            self.assertIs(one.told, waited)

    def test_noLongerWaiting(self) -> None:
        """
        Who no longer waits is told nothing, and shifts nobody's answer.
        """
        one, two = call(b"1"), call(b"2")
        one.told.addErrback(lambda _: None)
        one.told.cancel()
        unit = Unit([one, two], setupOf(500, "on"))
        unit.results = ["setup", 1, 2]
        self.assertEqual(settle(unit, "the place"), [])
        self.assertEqual(self.successResultOf(two.told), 2)

    def test_shifted(self) -> None:
        """
        Where there are not as many answers as statements, nobody gets one.
        """
        unit = Unit([call(b"1"), call(b"2")], setupOf(500, "on"))
        unit.results = ["setup", 1]
        self.assertRaises(ValueError, lambda: list(unit.answers()))

    def test_repr(self) -> None:
        """
        A call shows none of its values.
        """
        self.assertEqual(repr(call(b"secret")), "<txsessions_delete>")

    def test_keys(self) -> None:
        """
        An array of keys, as it travels.
        """
        self.assertEqual(keysOf([]).hex(), "000000000000000000000011")
        self.assertEqual(
            keysOf([b"ab"]).hex(),
            "0000000100000000000000110000000100000001000000026162",
        )
