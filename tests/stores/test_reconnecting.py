"""
Tests of L{txsessions.stores._reconnecting}: who is told of a new connection.
"""

from __future__ import annotations

import gc

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txsessions.interfaces import IConnectionListener, IReconnectingStore
from txsessions.live.tombstones import Tombstones
from txsessions.stores import openStore
from txsessions.stores._reconnecting import Reconnecting


@implementer(IConnectionListener)
class Hears:
    """
    Counts what it hears.
    """

    count = 0

    def storeConnected(self):
        """
        See L{IConnectionListener.storeConnected}.
        """
        self.count += 1


class ReconnectingTests(SynchronousTestCase):
    """
    L{Reconnecting}.
    """

    def test_told(self):
        """
        All who listen are told, each time; a store keeps none of them in memory.
        """
        store = Reconnecting()
        store._tellConnected()
        hears = [Hears(), Hears()]
        for listener in hears:
            store.addConnectionListener(listener)
        store._tellConnected()
        del hears[0], listener
        gc.collect()
        self.assertEqual(len(store._listeners), 1)
        store._tellConnected()
        self.assertEqual(hears[0].count, 2)

    def test_which(self):
        """
        The stores tell that may go on with another server, and no others.
        """
        for address, tells in (
            ("redis://127.0.0.1/0", True),
            ("postgresql://127.0.0.1/one", True),
            ("sqlite:never-made.sqlite", False),
            ("memory:", False),
        ):
            store = openStore(address)
            self.assertEqual(IReconnectingStore.providedBy(store), tells, address)
            if tells:
                verifyObject(IReconnectingStore, store)
        self.assertTrue(IConnectionListener.implementedBy(Tombstones))
