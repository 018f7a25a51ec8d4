"""
Tests of L{txsessions.auth._throttling}: how guesses are slowed down.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.auth import Throttle
from txsessions.auth import _throttling as throttling
from txsessions.auth._throttling import Guesses, networkOf, normalised, placeOf
from txsessions.errors import ConfigurationError

NOW = 1_700_000_000.0
HERE = "192.0.2.1"
THERE = "198.51.100.7"


class GuessCase(SynchronousTestCase):
    """
    Some who guess.  What shares a place is always the same.
    """

    def setUp(self):
        """
        Begin.
        """
        self.now = NOW
        self.guesses = Guesses(
            Throttle(
                perName=3, perAddress=6, firstDelay=10, longestDelay=60, window=600
            ),
            bytes,
        )

    def guess(self, name="ann", address=HERE, handle=None):
        """
        Guess.

        @return: The try, or how long to wait.
        """
        return self.guesses.begin(name, address, handle, self.now)

    def wrong(self, *args, times=1, **how):
        """
        Guess wrong.
        """
        for _ in range(times):
            self.assertNotIsInstance(self.guess(*args, **how), float)

    def right(self, *args, **how):
        """
        Guess right.
        """
        guess = self.guess(*args, **how)
        self.assertNotIsInstance(guess, float)
        guess.wasRight()

    def assertWaits(self, seconds, *args, **how):
        """
        See that there is a wait.
        """
        waits = self.guess(*args, **how)
        self.assertIsInstance(waits, float)
        self.assertEqual(waits, seconds)


class NameTests(GuessCase):
    """
    What counts for a name.
    """

    def test_delays(self):
        """
        After the free ones each try waits twice as long as the one before, up to the
        limit; those that come too early do not count.
        """
        self.wrong(times=3)
        for delay in (10, 20, 40, 60, 60, 60):
            self.assertWaits(delay, address=None)
            self.now += delay - 1
            self.assertWaits(1, address=None)
            self.now += 1
            self.wrong(address=None)

    def test_anyAddress(self):
        """
        Whoever tries it, from wherever.
        """
        for host in range(3):
            self.wrong(address=f"192.0.2.{host}")
        self.assertWaits(10, address=THERE)
        self.wrong("bob", address=THERE)

    def test_spellings(self):
        """
        However it is written.
        """
        for name in ("Ann", "ANN ", "\N{FULLWIDTH LATIN SMALL LETTER A}nn"):
            self.wrong(name)
        self.assertWaits(10, "ann")
        for name in (
            "a\N{COMBINING GRAPHEME JOINER}nn",
            "an\N{ZERO WIDTH SPACE}n",
            "\N{LATIN SMALL LETTER A WITH ACUTE}nn",
            "a nn",
            "ann\0",
        ):
            self.assertWaits(10, name)
        self.assertEqual(
            normalised("STRASSE"), normalised("stra\N{LATIN SMALL LETTER SHARP S}e")
        )

    def test_atOnce(self):
        """
        Tries count before they are answered.
        """
        under = [self.guess() for _ in range(3)]
        self.assertWaits(10)
        under[0].wasNotChecked()
        self.wrong()
        self.assertWaits(10)

    def test_right(self):
        """
        One that was right makes up for none before, but from there on counts by itself.
        """
        self.wrong(times=2)
        self.right()
        self.wrong(address=THERE)
        self.assertWaits(10, address=THERE)
        self.wrong(times=3)

    def test_otherSpelling(self):
        """
        Where two spellings are two accounts, who has one of them cannot guess at the
        other for ever: neither from where his own was right, nor between his own.
        """
        for host in range(3):
            self.right("Ann", address=f"192.0.2.{host}")
            self.wrong("ann", address=f"192.0.2.{host}")
        self.right("Ann")
        self.assertWaits(10, "ann")
        self.assertWaits(10, "an\N{ZERO WIDTH SPACE}n")

    def test_long(self):
        """
        A name that is much longer when it is folded takes no more room.
        """
        longest = "\N{ARABIC LIGATURE SALLALLAHOU ALAYHE WASALLAM}" * 256
        self.assertEqual(len(normalised(longest)), 256)

    def test_window(self):
        """
        Some time after the last one all is forgotten.
        """
        self.wrong(times=3)
        self.now += 599
        self.wrong(address=THERE)
        self.assertWaits(20, address=THERE)
        self.now += 600
        self.wrong(address=THERE, times=3)
        self.assertWaits(10, address=THERE)

    def test_setBack(self):
        """
        A clock that is set back makes no wait longer.
        """
        self.wrong(times=3)
        self.now -= 100_000
        self.assertWaits(10)

    def test_huge(self):
        """
        There is no end to it that would be an error.
        """
        self.guesses._names._counted[placeOf("ann", bytes(32))] = (100_000, self.now)
        self.assertWaits(60)


class NetworkTests(GuessCase):
    """
    What counts for a network.
    """

    def test_manyNames(self):
        """
        Tries of many names count together.
        """
        for name in "abcdef":
            self.wrong(name)
        self.assertWaits(10, "g")
        self.wrong("g", address=THERE)

    def test_rightOnes(self):
        """
        What was right does not count, but takes nothing of the others away: who has an
        account cannot guess at others for ever.
        """
        for name in "abcdef":
            self.right(f"mallory{name}")
            self.wrong(name)
        self.assertWaits(10, "g")

    def test_notChecked(self):
        """
        What could not be checked does not count.
        """
        for _ in range(10):
            self.guess().wasNotChecked()
        self.wrong()

    def test_six(self):
        """
        Of IPv6 all of a /64 is one; its neighbour is another.
        """
        for host in range(6):
            self.wrong(f"n{host}", address=f"2001:db8::{host:x}:1")
        self.assertWaits(10, "g", address="2001:db8::ffff")
        self.wrong("g", address="2001:db8:0:1::1")
        self.assertNotEqual(networkOf("::1"), networkOf("0.0.0.1"))

    def test_none(self):
        """
        Who has no address counts for none.
        """
        for name in "abcdefghijkl":
            self.wrong(name, address=None)
        self.right("m", address=None)


class KnownTests(GuessCase):
    """
    That nobody is locked out by strangers.
    """

    def test_network(self):
        """
        From where a name was right before, the tries of strangers do not count, neither
        for the name nor for the network; own ones do.
        """
        self.right()
        self.wrong(address=THERE, times=3)
        for name in "abcdef":
            self.wrong(name, address=HERE)
        self.assertWaits(10, address=THERE)
        self.assertWaits(10, "g", address=HERE)
        self.wrong(times=3)
        self.assertWaits(10)
        self.now += 10
        self.right()
        self.wrong(times=3)

    def test_otherNames(self):
        """
        It is known for that name alone.
        """
        self.right("mallory")
        self.wrong(times=3)
        self.assertWaits(10)

    def test_session(self):
        """
        Nor do they count in a session that is signed in by that name.
        """
        self.wrong(address=THERE, times=3)
        self.wrong(handle=b"h" * 16, times=3)
        self.assertWaits(10, handle=b"h" * 16)
        self.wrong(handle=b"i" * 16)

    def test_cleared(self):
        """
        A right one from a known place takes nothing away of what strangers did.
        """
        self.right()
        self.wrong(address=THERE, times=3)
        self.right()
        self.assertWaits(10, address=THERE)


class BoundTests(GuessCase):
    """
    What it takes, and that nobody gains by that.
    """

    def flood(self, names):
        """
        Guess once at each of many names, each from a network of its own.
        """
        for number in range(names):
            self.guess(f"n{number}", address=f"2001:db8:0:{number:x}::")

    def test_pushedOut(self):
        """
        Who tries many other names, from as many networks, gets no more guesses at one;
        and makes hardly anybody wait.
        """
        self.wrong("ann", address=None, times=3)
        self.flood(30_000)
        self.assertWaits(10, "ann", address=None)
        guesses = [self.guess(f"new {n}", address=None) for n in range(100)]
        waiting = [each for each in guesses if isinstance(each, float)]
        self.assertLess(len(waiting), 5)

    def test_others(self):
        """
        However many there are, and however often each was tried before.
        """
        self.patch(throttling, "PLACES", 4)
        for number in range(50):
            self.guess(f"n{number}", address=None)
        self.assertIsInstance(self.guess("ann", address=None), float)

    def test_known(self):
        """
        Who has an account, and many networks, does not make others unknown.
        """
        self.patch(throttling, "MAX_KNOWN", 4)
        self.right()
        for number in range(40):
            self.right("mallory", address=f"203.0.113.{number}")
        self.wrong(address=THERE, times=3)
        self.assertWaits(10, address=THERE)
        self.right()
        self.wrong("mallory", address=THERE, times=3)
        self.right("mallory", address="203.0.113.39")
        self.assertWaits(10, "mallory", address="203.0.113.0")

    def test_most(self):
        """
        There is an end to what is kept.
        """
        self.patch(throttling, "PLACES", 4)
        self.patch(throttling, "MAX_KNOWN", 4)
        for number in range(40):
            self.now += 600
            self.right(f"k{number}", address=f"192.0.2.{number}")
            self.wrong(f"k{number}", address=f"192.0.2.{number}")
            self.wrong(f"n{number}", address=f"192.0.2.{number}")
        guesses = self.guesses
        for counts in (guesses._names, guesses.networks, guesses.own):
            self.assertIn(len(counts._counted), range(1, 5))
        self.assertEqual(len(guesses._known), 4)

    def test_places(self):
        """
        Nobody can find a name, or a network, that has the place of another: each guard
        has places of its own.
        """
        places = []
        for _ in range(2):
            guesses = Guesses(Throttle())
            for number in range(5):
                network = f"192.0.2.{number}"
                guesses.learn("ann", network)
                guesses.begin("ann", network, None, NOW)
                guesses.begin(f"n{number}", network, None, NOW)
            counts = guesses._names, guesses.networks, guesses.own
            places.append([each._counted.keys() for each in counts])
        for one, other in zip(*places, strict=True):
            self.assertNotEqual(one, other)


class ThrottleTests(SynchronousTestCase):
    """
    What can be said of it.
    """

    def test_value(self):
        """
        It is a value; the defaults are good.
        """
        self.assertEqual(Throttle(), Throttle(perName=5, perAddress=50))
        self.assertLess(Throttle().longestDelay, Throttle().window)

    def test_wrong(self):
        """
        What cannot work is refused.
        """
        for how in (
            {"perName": 0},
            {"perName": "5"},
            {"perAddress": 0},
            {"perAddress": True},
            {"firstDelay": 0},
            {"firstDelay": 901},
            {"longestDelay": 3600},
            {"window": 900},
            {"window": float("inf")},
        ):
            self.assertRaises(ConfigurationError, Throttle, **how)
