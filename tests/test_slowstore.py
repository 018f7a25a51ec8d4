"""
Tests of L{tests.slowstore}: it keeps the contract of a store, however late it
answers.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.slowstore import SlowStore
from txsessions.core.record import Record
from txsessions.errors import StoreUnavailable
from txsessions.stores.memory import MemoryStore
from txsessions.testing import StoreContract

RECORD = Record(
    key=b"k" * 32,
    version=1,
    createdAt=1.0,
    touchedAt=1.0,
    expiresAt=100.0,
    payload=b"sealed",
)


class _NextTurn(SlowStore):
    """
    Holds every call until the reactor's next turn.
    """

    def _call(self, name, *args):
        """
        Hold a call, and release it soon.
        """
        self.holding = frozenset({name})
        answer = super()._call(name, *args)
        reactor.callLater(0, self.release, 1)
        return answer


class PassingTests(StoreContract, TestCase):
    """
    A L{SlowStore} that holds nothing.
    """

    def makeStore(self):
        """
        See L{StoreContract.makeStore}.
        """
        return SlowStore(MemoryStore())


class HoldingTests(StoreContract, TestCase):
    """
    A L{SlowStore} that holds everything for a while.
    """

    def makeStore(self):
        """
        See L{StoreContract.makeStore}.
        """
        return _NextTurn(MemoryStore())


class StringsTests(SynchronousTestCase):
    """
    What the test that has it can do.
    """

    def setUp(self):
        """
        Open a store that holds its writes.
        """
        self.store = SlowStore(MemoryStore())
        self.successResultOf(self.store.open())
        self.store.hold()

    def stored(self):
        """
        How many sessions there are.
        """
        return self.successResultOf(self.store.countSessions(2.0))

    def test_late(self):
        """
        It carries a call out at once, if told so, and only the answer waits.
        """
        self.store.late = True
        self.store.hold("insert")
        inserted = self.store.insert(RECORD, 2.0)
        self.assertNoResult(inserted)
        self.assertEqual(self.store.names(), ["insert"])
        self.assertEqual(self.stored(), 1)
        self.store.pass_()
        self.successResultOf(inserted)
        self.assertEqual(self.stored(), 1)

    def test_release(self):
        """
        A write that is held is made when it is released, in order.
        """
        first = self.store.insert(RECORD, 2.0)
        second = self.store.delete(RECORD.key)
        self.assertEqual(self.store.names(), ["insert", "delete"])
        self.assertEqual(self.stored(), 0)
        self.assertEqual(self.store.release(1), 1)
        self.successResultOf(first)
        self.assertNoResult(second)
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.store.release(), 1)
        self.assertTrue(self.successResultOf(second))

    def test_fail(self):
        """
        One that is failed was not made, or was, as the test says.
        """
        for done in (False, True):
            answer = self.store.insert(RECORD, 2.0)
            self.store.fail(StoreUnavailable("no"), done=done)
            self.failureResultOf(answer, StoreUnavailable)
            self.assertEqual(self.stored(), int(done))

    def test_down(self):
        """
        A store that is down fails what it does not hold.
        """
        self.store.down = StoreUnavailable("no")
        self.failureResultOf(self.store.load(RECORD.key, 2.0), StoreUnavailable)
        self.assertNoResult(self.store.insert(RECORD, 2.0))
        self.assertEqual(self.store.calls, ["open", "load", "insert"])
        self.store.pass_()
        self.store.down = None
        self.assertEqual(self.stored(), 1)
