"""
Tests for L{txsessions.core.renewal}.
"""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.codec import decodeValue, encodeValue
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.core.renewal import (
    MAX_STEPS,
    Chain,
    Renewal,
    Step,
    Trail,
    readTrail,
)
from txsessions.core.uid import isUid, mintUid, storeKeyOf
from txsessions.errors import ConfigurationError

OLD, NEW = (RootKey(secret=os.urandom(32)) for _ in range(2))
SITE = b"site"
NOW = 1_800_000_000.0


class RuleTests(SynchronousTestCase):
    """
    What a site says.
    """

    def test_usual(self) -> None:
        """
        Numbers are seconds, and of former ids there are as many as are marked.
        """
        rule = Renewal(interval=900, grace=60)
        self.assertEqual((rule.interval, rule.grace, rule.watch), (900.0, 60.0, 3600.0))
        self.assertFalse(rule.ends)
        self.assertEqual(rule.steps, 5)
        self.assertEqual(Renewal(interval=4000).steps, 1)
        self.assertEqual(Renewal(interval=60).steps, MAX_STEPS)
        self.assertEqual(rule, Renewal(interval=900.0))

    def test_refused(self) -> None:
        """
        What cannot work is refused, with a word that says what.
        """
        for wrong, part in (
            ({"interval": 0}, "interval"),
            ({"grace": "60"}, "grace"),
            ({"watch": float("nan")}, "watch"),
            ({"grace": 901}, "interval and watch"),
            ({"grace": 60, "watch": 59}, "interval and watch"),
        ):
            error = self.assertRaises(ConfigurationError, lambda w=wrong: Renewal(**w))
            self.assertIn(part, str(error))


class TrailTests(SynchronousTestCase):
    """
    What a state says.
    """

    def test_kept(self) -> None:
        """
        It comes back from plain data.
        """
        for steps in ((), (Step(b"k", b"n", b"f"),) * 2):
            trail = Trail(steps, NOW, isConfirmed=True)
            kept = decodeValue(encodeValue(trail.kept))
            self.assertEqual(readTrail(kept), trail)
            self.assertTrue(all(type(step) is Step for step in readTrail(kept).steps))

    def test_refused(self) -> None:
        """
        Nothing else does.
        """
        step = (b"k", b"n", b"f")
        for wrong in (
            None,
            [],
            (),
            ((step,), NOW),
            ((step,), int(NOW), True),
            ((step,), NOW, 1),
            ([step], NOW, True),
            ((step[:2],), NOW, True),
            (([*step],), NOW, True),
            (((b"k", b"n", "f"),), NOW, True),
            ((step,), -1.0, True),
            ((step,), float("nan"), True),
            ((step,) * (MAX_STEPS + 1), NOW, True),
        ):
            self.assertIsNone(readTrail(wrong), wrong)


class ChainTests(SynchronousTestCase):
    """
    One uid of another.
    """

    def setUp(self) -> None:
        """
        Make a chain and a uid.
        """
        self.chain = Chain(KeyRing(active=OLD), SITE)
        self.uid = mintUid(os.urandom)

    def walk(self, count: int, most: int = MAX_STEPS) -> tuple[list[bytes], Trail]:
        """
        Renew some times.

        @return: All uids, and what the state says at last.
        """
        uids, trail = [self.uid], None
        for _ in range(count):
            uid, trail = self.chain.extend(trail, uids[-1], os.urandom(32), NOW, most)
            uids.append(uid)
        assert trail is not None
        return uids, trail

    def test_uids(self) -> None:
        """
        They are uids, others each time, and depend on all that they are made of.
        """
        nonces = [os.urandom(32) for _ in range(2)]
        made = {
            Chain(ring, site).extend(None, uid, nonce, NOW, 1)[0]
            for ring in (KeyRing(active=OLD), KeyRing(active=NEW))
            for site in (SITE, b"other")
            for uid in (self.uid, mintUid(os.urandom))
            for nonce in nonces
        }
        self.assertEqual(len(made), 16)
        self.assertTrue(all(map(isUid, made)))

    def test_reach(self) -> None:
        """
        Each former uid leads to the one of now, in as many steps as it took.
        """
        uids, trail = self.walk(4)
        self.assertFalse(trail.isConfirmed)
        self.assertEqual(trail.renewedAt, NOW)
        key = storeKeyOf(SITE, uids[-1])
        for at, uid in enumerate(uids[:-1]):
            reached = self.chain.reach(trail, uid, key)
            self.assertEqual(reached, (uids[-1], 4 - at))
        self.assertIsNone(self.chain.reach(trail, uids[-1], key))

    def test_nowhere(self) -> None:
        """
        A uid that is none of them leads nowhere; nor does the way to another key, or
        one whose nonces are others.
        """
        uids, trail = self.walk(2)
        key = storeKeyOf(SITE, uids[-1])
        self.assertIsNone(self.chain.reach(trail, mintUid(os.urandom), key))
        other = storeKeyOf(SITE, uids[1])
        self.assertIsNone(self.chain.reach(trail, uids[0], other))
        steps = [step._replace(nonce=bytes(32)) for step in trail.steps]
        forged = trail._replace(steps=tuple(steps))
        self.assertIsNone(self.chain.reach(forged, uids[0], key))

    def test_forgotten(self) -> None:
        """
        Of many only the last are told.
        """
        uids, trail = self.walk(5, most=3)
        self.assertEqual(len(trail.steps), 3)
        key = storeKeyOf(SITE, uids[-1])
        self.assertIsNone(self.chain.reach(trail, uids[1], key))
        self.assertEqual(self.chain.reach(trail, uids[2], key), (uids[-1], 3))

    def test_keys(self) -> None:
        """
        While keys change each process goes the way that another began, as long as
        the key of each step is there.
        """
        uids, trail = self.walk(1)
        both = Chain(KeyRing(active=NEW, others=(OLD,)), SITE)
        last, trail = both.extend(trail, uids[-1], os.urandom(32), NOW, MAX_STEPS)
        key = storeKeyOf(SITE, last)
        for chain in (both, Chain(KeyRing(active=OLD, others=(NEW,)), SITE)):
            self.assertEqual(chain.reach(trail, uids[0], key), (last, 2))
        self.assertIsNone(self.chain.reach(trail, uids[0], key))
        after = Chain(KeyRing(active=NEW), SITE)
        self.assertIsNone(after.reach(trail, uids[0], key))
        self.assertEqual(after.reach(trail, uids[1], key), (last, 1))
