"""
Tests for L{txsessions.core.lifetime}.
"""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.lifetime import (
    IDLE,
    LIFETIME,
    MAX_SECONDS,
    SKEW,
    TOUCH_LIMIT,
    fromFuture,
    isAlive,
    lifetimeOf,
    localDeadline,
    storedDeadline,
    touchDue,
    touchInterval,
    validSeconds,
)
from txsessions.errors import ConfigurationError

NOW = 1_800_000_000.0
HOUR = 3600.0
YEAR = 365 * 24 * HOUR

instants = st.floats(min_value=0, max_value=1e11)
spans = st.floats(min_value=1, max_value=1e9)


class LimitTests(SynchronousTestCase):
    """
    When a session is dead.
    """

    def test_defaults(self) -> None:
        """
        A quarter of an hour unused, half a day in all.
        """
        self.assertEqual((IDLE, LIFETIME), (15 * 60, 12 * HOUR))

    def test_idle(self) -> None:
        """
        Alive a second before the idle time is over, dead from then on.
        """
        for age, alive in ((IDLE - 1, True), (IDLE, False), (IDLE + 1, False)):
            self.assertIs(isAlive(NOW + age, NOW, NOW, IDLE, LIFETIME), alive)

    def test_active(self) -> None:
        """
        A session in use every half idle time lives beyond its idle time.
        """
        touchedAt = NOW
        for use in range(1, 7):
            now = NOW + use * IDLE / 2
            self.assertTrue(isAlive(now, NOW, touchedAt, IDLE, LIFETIME))
            touchedAt = now

    def test_absolute(self) -> None:
        """
        No use of it moves the absolute limit.
        """
        for age, alive in ((LIFETIME - 1, True), (LIFETIME, False)):
            now = NOW + age
            self.assertIs(isAlive(now, NOW, now, IDLE, LIFETIME), alive)
            self.assertLessEqual(
                storedDeadline(NOW, now, IDLE, LIFETIME), NOW + LIFETIME
            )

    def test_clockJumps(self) -> None:
        """
        A clock that goes forward ends sessions early, one that goes back by J
        makes them live J longer, and negative ages raise nothing.
        """
        for jump in (HOUR, 10 * YEAR):
            self.assertFalse(isAlive(NOW + jump, NOW, NOW, IDLE, LIFETIME))
            back = NOW - jump
            self.assertTrue(isAlive(back, NOW, NOW, IDLE, LIFETIME))
            # By the time that has really passed it is dead.
            self.assertFalse(isAlive(back + jump + IDLE, NOW, NOW, IDLE, LIFETIME))
            self.assertFalse(touchDue(back, NOW, IDLE))

    def test_year2038(self) -> None:
        """
        Nothing happens when 32 bits run over.
        """
        before = 2.0**31 - 1
        self.assertTrue(isAlive(before + 2, before, before, IDLE, LIFETIME))
        self.assertEqual(localDeadline(before, before, IDLE, LIFETIME), before + IDLE)

    def test_fromFuture(self) -> None:
        """
        It is remarkable only when a session is made later than clocks that
        agree would have it.
        """
        self.assertFalse(fromFuture(NOW, NOW - HOUR))
        self.assertFalse(fromFuture(NOW, NOW + SKEW))
        self.assertTrue(fromFuture(NOW, NOW + SKEW + 1))

    def test_stored(self) -> None:
        """
        The store hands it out one touch interval longer than its holder.
        """
        self.assertEqual(storedDeadline(NOW, NOW + 5, IDLE, LIFETIME), NOW + 965)
        self.assertEqual(localDeadline(NOW, NOW + 5, IDLE, LIFETIME), NOW + 905)
        self.assertEqual(storedDeadline(NOW, NOW + 5, 30.0, LIFETIME), NOW + 37)

    @settings(deadline=None)
    @given(instants, instants, spans, spans)
    def test_neverEarly(
        self, createdAt: float, touchedAt: float, idle: float, lifetime: float
    ) -> None:
        """
        The stored deadline is never before the local one, and at most one touch
        interval later.
        """
        local = localDeadline(createdAt, touchedAt, idle, lifetime)
        stored = storedDeadline(createdAt, touchedAt, idle, lifetime)
        self.assertLessEqual(local, stored)
        self.assertLessEqual(stored - local, touchInterval(idle) + 1e-3)
        self.assertFalse(isAlive(local, createdAt, touchedAt, idle, lifetime))


class TouchTests(SynchronousTestCase):
    """
    How often use is written down.
    """

    def test_interval(self) -> None:
        """
        A fifteenth of the idle time, a minute at most.
        """
        self.assertEqual(touchInterval(15.0), 1.0)
        self.assertEqual(touchInterval(IDLE), TOUCH_LIMIT)
        self.assertEqual(touchInterval(100 * IDLE), 60.0)

    def test_due(self) -> None:
        """
        Due from the moment that the interval is over.
        """
        for age, due in ((59.0, False), (60.0, True), (61.0, True)):
            self.assertIs(touchDue(NOW + age, NOW, IDLE), due)


class ChoiceTests(SynchronousTestCase):
    """
    What a program may ask for.
    """

    def test_lifetimeOf(self) -> None:
        """
        Half a day, or the idle time where it is longer, or what was asked for.
        """
        self.assertEqual(lifetimeOf(IDLE, None), LIFETIME)
        self.assertEqual(lifetimeOf(2 * LIFETIME, None), 2 * LIFETIME)
        self.assertEqual(lifetimeOf(IDLE, 5.0), 5.0)

    def test_valid(self) -> None:
        """
        Positive finite numbers become floats.
        """
        for value in (1, 900, 0.5, MAX_SECONDS, int(MAX_SECONDS)):
            found = validSeconds(value, "sessionTimeout")
            self.assertEqual(found, value)
            self.assertIs(type(found), float)

    def test_invalid(self) -> None:
        """
        Anything else is refused, with its name, what was given, and what
        would do.
        """
        for value, found in (
            (0, "0"),
            (-1, "-1"),
            (-0.0, "-0"),
            (math.inf, "more"),
            (-math.inf, f"{-MAX_SECONDS:g}"),
            (math.nan, "nan"),
            (10**5000, "more"),
            (-(10**5000), f"{-MAX_SECONDS:g}"),
            (MAX_SECONDS + 1, "more"),
            (True, "a bool"),
            ("900", "a str"),
            (None, "a NoneType"),
        ):
            error = self.assertRaises(
                ConfigurationError, validSeconds, value, "sessionTimeout"
            )
            self.assertIn("sessionTimeout is a number of seconds", str(error))
            self.assertTrue(str(error).endswith(f"was given {found}"), str(error))
