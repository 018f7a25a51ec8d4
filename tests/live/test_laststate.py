"""
Tests of L{txsessions.live.laststate}: what events say of sessions that have ended.
"""

from __future__ import annotations

from unittest import mock

from msgspec.structs import replace as evolve
from zope.interface import implementer

from tests.live.sites import NOW, ICart, IOther, LiveCase
from txsessions import keep
from txsessions.live import laststate
from txsessions.live.laststate import LastState


@implementer(ICart)
class Cart:
    """
    A component.
    """

    made = 0

    def __init__(self, session=None):
        Cart.made += 1
        self.items = ["book"]
        self.session = session


FULL = {
    "namespaces": {"user": "me", 5: {"a": [1, {2, 3}]}, (1, 2): b"x"},
    "attributes": {"theme": "dark"},
    "components": {
        "tests.live.sites.ICart": {"items": ["book"], "session": None},
        "tests.live.sites.IOther": {"items": ["book"], "session": None},
    },
}
"""What is in the session of these tests."""


class LastStateCase(LiveCase):
    """
    Has a full session, with a store or without.
    """

    def make(self, store=...):
        """
        Make it.
        """
        keep(ICart, Cart)
        keep(IOther, Cart)
        self.live = self.site(store)
        session = self.live.makeSession()
        session.sessionNamespaces.update({"user": "me", 5: {"a": [1, {2, 3}]}})
        session.sessionNamespaces[1, 2] = b"x"
        session.theme = "dark"
        cart = Cart(session)
        session.setComponent(ICart, cart)
        session.setComponent(IOther, cart)
        self.successResultOf(session.save())
        del self.heard.events[:]
        return session

    def event(self):
        """
        What was told.
        """
        (event,) = self.heard.events
        return event

    def assertFull(self, event):
        """
        It holds all that was in the session.
        """
        made = Cart.made
        found = {name: dict(kind) for name, kind in event.state.items()}
        self.assertEqual(found, FULL)
        self.assertEqual(Cart.made, made)


class EventTests(LastStateCase):
    """
    Ended and expired sessions.
    """

    def test_ended(self):
        """
        A session that is ended leaves its last state, as plain data, and its times.
        """
        for store in (self.store, None):
            session = self.make(store)
            self.clock.advance(50)
            session.touch()
            self.clock.advance(50)
            session.expire()
            event = self.event()
            self.assertFull(event)
            now = self.clock.seconds()
            self.assertEqual(
                (event.at, event.createdAt, event.touchedAt), (now, now - 100, now - 50)
            )

    def test_expired(self):
        """
        So does one whose time is up, in this process, or in the store where the
        sweeper finds it.
        """
        self.make()
        self.advance(1100, 60)
        event = self.event()
        self.assertEqual((event.kind.value, event.reason), ("expired", "idle"))
        self.assertFull(event)
        self.assertEqual((event.createdAt, event.touchedAt), (NOW, NOW))
        session = self.make(None)
        self.clock.advance(session.sessionTimeout)
        self.assertFull(self.event())

    def test_elsewhere(self):
        """
        So does one that another process has ended, as it was known here.
        """
        session = self.make()
        self.load(self.another(), session).expire()
        self.load(self.live, session)
        event = self.event()
        self.assertEqual(event.reason, "elsewhere")
        self.assertFull(event)

    def test_saved(self):
        """
        What was never saved is not in it; what is done to the session afterwards
        neither.
        """
        session = self.make()
        session["user"] = "you"
        session.expire()
        session["user"] = "nobody"
        self.assertFull(self.event())

    def test_otherEvents(self):
        """
        Other events hold none.
        """
        session = self.make()
        self.live._live.rotate(session)
        self.assertIs(self.event().state, None)

    def test_unreadable(self):
        """
        Nor do those of records that this process cannot read.
        """
        self.make()
        self.clock.advance(61)
        slot = next(iter(self.inner._slots.values()))
        slot.record = evolve(slot.record, payload=b"damaged")
        del self.heard.events[:]
        self.advance(1100, 60)
        event = self.event()
        self.assertEqual((event.kind.value, event.reason), ("expired", ""))
        self.assertIs(event.state, None)
        self.assertEqual((event.createdAt, event.touchedAt), (NOW, NOW))

    def test_lazy(self):
        """
        Nothing is decoded, and without listeners nothing is made, until somebody
        looks; and then once.
        """
        session = self.make()
        decode = mock.Mock(side_effect=laststate.decodeValue)
        self.patch(laststate, "decodeValue", decode)
        session.expire()
        event = self.event()
        self.assertIn("ended", repr(event.kind))
        self.assertFalse(decode.called)
        self.assertEqual(event.state["attributes"], {"theme": "dark"})
        calls = decode.call_count
        self.assertFull(event)
        self.assertEqual(decode.call_count, calls)

    def test_nobodyListens(self):
        """
        Where nobody listens no state is held.
        """
        session = self.make()
        self.live.removeSessionListener(self.heard)
        made = mock.Mock()
        self.patch(laststate, "LastState", made)
        session.expire()
        self.assertFalse(made.called)

    def test_notShown(self):
        """
        Neither the looks of an event nor the log show what was in the session; two
        events are equal without it, and can be put into a set.
        """
        session = self.make()
        session.expire()
        event = self.event()
        self.assertFull(event)
        for text in (repr(event), repr(event.state), str(event.state), *self.logged):
            self.assertNotIn("dark", text)
            self.assertNotIn("book", text)
        self.assertEqual(len({event, event}), 1)

    def test_readOnly(self):
        """
        It cannot be changed.
        """
        session = self.make()
        session.expire()
        state = self.event().state
        with self.assertRaises(TypeError):
            state["namespaces"] = {}
        with self.assertRaises(TypeError):
            state["namespaces"]["user"] = "you"


class DamagedTests(LastStateCase):
    """
    L{LastState} by itself.
    """

    def test_damagedPart(self):
        """
        A part that cannot be read is left out.
        """
        state = LastState(
            lambda: {b"atheme": b"\xc1", b"nbad": b"\xc0", b"aa": b"\x01"}
        )
        self.assertEqual(state["attributes"], {"a": 1})
        self.assertEqual(len(state), 3)
        self.assertEqual(list(state), ["namespaces", "attributes", "components"])
        self.assertRaises(KeyError, lambda: state["other"])


__all__ = ["DamagedTests", "EventTests"]
