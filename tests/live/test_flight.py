"""
Tests of L{txsessions.live.flight}: a write of a session that is under way.
"""

from __future__ import annotations

from msgspec.structs import replace as evolve
from twisted.internet.defer import fail

from tests.live.sites import KEYS, NOW, OTHER_KEYS, LiveCase, Waits
from txsessions.errors import (
    CannotBeKept,
    SessionExists,
    SessionGone,
    SessionUnavailable,
    StoreUnavailable,
)
from txsessions.live.flight import MAX_TRIES
from txsessions.live.phases import ENDED, STALE, STORED


class FlightTests(LiveCase):
    """
    A write, and what comes of it.
    """

    def setUp(self):
        """
        Have a new session.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.live.makeSession()
        self.session["a"] = 1
        self.entry = self.session._entry

    def settle(self):
        """
        Settle.

        @return: The waiter.
        """
        waiter = Waits()
        self.entry.settle(waiter)
        return waiter

    def test_insert(self):
        """
        A new session is inserted, once, and that is told with when it was made.
        """
        self.clock.advance(5)
        waiter = self.settle()
        self.assertEqual(waiter.heard, ["saved"])
        self.assertEqual(self.session._phase, STORED)
        (event,) = self.heard.events
        self.assertEqual(
            (event.kind.value, event.tag, event.at, event.createdAt),
            ("created", self.session.tag, NOW + 5, NOW),
        )
        record = self.record(self.session)
        self.assertEqual(
            (record.version, record.createdAt, record.touchedAt, record.expiresAt),
            (1, NOW, NOW, NOW + 960),
        )

    def test_sealed(self):
        """
        Neither the uid nor what is in the session can be read in the record.
        """
        self.session["secret"] = "pineapple"
        self.settle()
        record = self.record(self.session)
        for hidden in (b"pineapple", b"secret", self.session._uid):
            self.assertNotIn(hidden, record.payload)
        self.assertNotEqual(record.key, bytes.fromhex(self.session._uid.decode()))

    def test_stateFollows(self):
        """
        What stands beside the parts is that of now in each write.
        """
        loader = self.live._live.loader
        seen = []

        def rename():
            self.session._scheme = True, b"name"
            self.session._entry.termsChanged()

        for change in (
            lambda: None,
            lambda: setattr(self.session, "sessionTimeout", 100),
            lambda: setattr(self.session, "sessionLifetime", 5000),
            rename,
            lambda: setattr(self.session, "_createdAt", NOW - 10),
        ):
            change()
            self.session["a"] += 1
            self.assertEqual(self.settle().heard, ["saved"])
            state = loader.open(self.record(self.session))
            seen.append(
                (
                    state.idle,
                    state.lifetime,
                    state.secure,
                    state.cookieName,
                    state.createdAt,
                )
            )
        self.assertEqual(
            seen,
            [
                (900, 43200, False, b"", NOW),
                (100, 43200, False, b"", NOW),
                (100, 5000, False, b"", NOW),
                (100, 5000, True, b"name", NOW),
                (100, 5000, True, b"name", NOW - 10),
            ],
        )

    def test_shown(self):
        """
        A write under way is shown by its tag alone.
        """
        self.settle()
        self.store.hold()
        self.session["a"] = "pineapple"
        self.settle()
        self.assertEqual(
            repr(self.entry.flight), f"<Flight replace {self.session.tag}>"
        )
        self.store.pass_()

    def test_exists(self):
        """
        A uid that is taken in the store is given up for another one; who has it
        is not disturbed.
        """
        other = self.saved(self.another(), a="theirs")
        self.live._live.rekey(self.session, other._uid)
        waiter = self.settle()
        self.assertEqual(waiter.heard, ["saved"])
        self.assertNotEqual(self.session._uid, other._uid)
        self.assertIs(self.live.getSession(self.session._uid), self.session)
        self.assertNotIn(other._uid, self.live.sessions)
        process = self.another()
        self.assertEqual(self.load(process, other)["a"], "theirs")
        self.assertEqual(self.load(process, self.session)["a"], 1)

    def test_existsAlways(self):
        """
        That is tried so often, and no more.
        """
        self.inner.insert = lambda record, *_: fail(SessionExists(record.tag))
        waiter = self.settle()
        self.assertEqual(waiter.heard, ["SessionExists"])
        self.assertEqual(self.store.calls.count("insert"), MAX_TRIES + 1)

    def test_noOtherUid(self):
        """
        If none can be drawn the write has failed.
        """
        self.inner.insert = lambda record, *_: fail(SessionExists(record.tag))

        def dry(size):
            raise OSError("no entropy")

        self.live._entropy = dry
        waiter = self.settle()
        self.assertEqual(waiter.heard, [SessionUnavailable.__name__])
        self.assertEqual(self.session._phase, STALE)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_gone(self):
        """
        A session that was ended elsewhere is not written back: it ends here.
        """
        self.settle()
        self.load(self.another(), self.session).expire()
        self.heard.told()
        ended = []
        self.session.notifyOnExpire(lambda: ended.append(1))
        self.session["a"] = 2
        self.store.hold()
        waiter = self.settle()
        self.session["a"] = 3
        second = self.settle()
        self.store.pass_()
        self.assertEqual(waiter.heard + second.heard, ["gone", "gone"])
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(ended, [1])
        self.assertEqual(self.heard.told(), ["ended elsewhere"])
        self.assertIs(self.record(self.session), None)
        self.assertEqual(self.calls()[-1], "replace")
        self.assertNotIn(self.session._uid, self.live.sessions)

    def test_expiredMeanwhile(self):
        """
        Nor is one whose record has run out.
        """
        self.settle()
        self.clock.rightNow += 960
        self.session._due = None
        self.session["a"] = 2
        self.session.lastModified = self.clock.seconds()
        waiter = self.settle()
        self.assertEqual(waiter.heard, ["gone"])

    def test_unavailable(self):
        """
        After any other failure it is unknown what the store has: the object is
        dropped, and the next load tells.
        """
        for done, value in ((True, 2), (False, 1)):
            session = self.saved(self.live, a=1)
            self.heard.told()
            self.store.hold()
            session["a"] = 2
            waiter = Waits()
            session._entry.settle(waiter)
            session["a"] = 3
            second = Waits()
            session._entry.settle(second)
            self.store.fail(StoreUnavailable("it hangs"), done=done)
            self.assertEqual(waiter.heard + second.heard, ["StoreUnavailable"] * 2)
            self.assertEqual(session._phase, STALE)
            self.assertEqual(self.heard.told(), ["unavailable it hangs"])
            self.store.holding = frozenset()
            again = self.load(self.live, session)
            self.assertIsNot(again, session)
            self.assertEqual(again["a"], value)

    def test_unexpected(self):
        """
        What a store should not raise is logged, and treated so too.
        """
        self.store.hold()
        waiter = self.settle()
        self.store.fail(ZeroDivisionError("bug"))
        self.assertEqual(waiter.heard, ["ZeroDivisionError"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_expiredWhileInserted(self):
        """
        A session that ends while it is on its way to the store does not stay
        there, in whatever order the two get there.
        """
        self.store.hold()
        waiter = self.settle()
        gone = self.session.expire()
        self.assertEqual(self.store.names(), ["insert"])
        self.store.release()
        self.assertEqual(waiter.heard, ["saved"])
        self.assertNoResult(gone)
        self.assertEqual(self.store.names(), ["delete"])
        self.store.release()
        self.successResultOf(gone)
        self.assertIs(self.record(self.session), None)
        self.assertEqual(sorted(self.heard.told()), ["created", "ended expire"])
        self.assertEqual(self.session._phase, ENDED)
        self.assertEqual(self.live._live.byKey, {})

    def test_expiredWhileWritten(self):
        """
        The same with one that is changed, or given a new uid.
        """
        for rotate in (False, True):
            session = self.saved(self.live, a=1)
            old = session._uid
            self.store.hold()
            session["a"] = 2
            if rotate:
                self.live._live.rotate(session)
            waiter = Waits()
            session._entry.settle(waiter)
            gone = session.expire()
            self.store.pass_()
            self.successResultOf(gone)
            self.assertEqual(waiter.heard, ["saved"])
            process = self.another()
            for uid in (old, session._uid):
                self.assertIs(self.successResultOf(process.loadSession(uid)), None)
            self.assertEqual(len(self.live._live.tombstones), 0)

    def test_expiredAndRefused(self):
        """
        Whatever becomes of the write, who waits hears that the session is gone.
        """
        for error in (SessionExists("x"), StoreUnavailable("down"), SessionGone("x")):
            session = self.live.makeSession()
            session["a"] = 1
            self.store.hold("insert")
            waiter = Waits()
            session._entry.settle(waiter)
            gone = session.expire()
            self.store.fail(error)
            self.store.pass_()
            self.successResultOf(gone)
            self.assertEqual(waiter.heard, ["gone"])

    def test_notOpenYet(self):
        """
        While the store is being opened the write waits, and then writes what is
        there.
        """
        self.store.hold("open")
        site = self.site(siteName=b"slow")
        session = site.makeSession()
        session["a"] = 1
        waiter, second = Waits(), Waits()
        self.assertFalse(session._entry.settle(waiter))
        session["a"] = 2
        self.assertFalse(session._entry.settle(second))
        site._live.renew(session)
        self.assertNotIn("insert", self.store.calls)
        self.store.pass_()
        self.assertEqual(waiter.heard + second.heard, ["saved", "saved"])
        self.assertEqual(self.store.calls.count("insert"), 1)
        self.assertTrue(self.record(session, site))

    def test_notOpened(self):
        """
        If it cannot be opened the write has failed.
        """
        self.store.hold("open")
        site = self.site(siteName=b"slow")
        session = site.makeSession()
        session["a"] = 1
        waiter = Waits()
        session._entry.settle(waiter)
        self.store.fail(StoreUnavailable("no"))
        self.assertEqual(waiter.heard, ["StoreUnavailable"])
        self.assertEqual(session._phase, STALE)
        self.assertEqual(self.logs("cannot be opened"), 1)

    def test_endsBeforeItIsOpen(self):
        """
        A session that ends before that is never written.
        """
        self.store.hold("open")
        site = self.site(siteName=b"slow")
        session = site.makeSession()
        session["a"] = 1
        waiter = Waits()
        session._entry.settle(waiter)
        self.successResultOf(session.expire())
        self.store.pass_()
        self.assertEqual(waiter.heard, ["gone"])
        self.assertNotIn("insert", self.store.calls)

    def test_oddLimits(self):
        """
        Limits that a class computes wrong are an error like others.
        """
        self.settle()
        self.session._createdAt = -5.0
        self.session["a"] = 2
        self.assertRaises(CannotBeKept, self.entry.settle, Waits())
        self.assertEqual(self.session._phase, STALE)


class LateRequestTests(LiveCase):
    """
    A logout is final, whatever was under way.
    """

    def setUp(self):
        """
        Have a session that two processes hold.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.process = self.another()
        self.other = self.load(self.process, self.session)

    def finish(self):
        """
        The session is gone for everybody.
        """
        self.assertIs(self.record(self.session), None)
        for site in (self.live, self.process, self.another()):
            self.assertIs(self.load(site, self.session), None)

    def test_write(self):
        """
        A late request that has changed the session does not bring it back.
        """
        self.store.hold()
        self.session["late"] = 1
        saved = self.session.save()
        self.successResultOf(self.other.expire())
        self.store.pass_()
        self.failureResultOf(saved, SessionGone)
        self.finish()

    def test_touch(self):
        """
        Nor does one that has only used it.
        """
        self.clock.advance(59)
        self.store.hold()
        self.clock.advance(1)
        self.session.touch()
        self.successResultOf(self.other.expire())
        self.store.pass_()
        self.assertEqual(self.session._phase, ENDED)
        self.finish()

    def test_rotate(self):
        """
        Nor does one that gives it another uid.
        """
        self.store.hold()
        old = self.session._uid
        rotated = self.live._live.rotate(self.session)
        self.successResultOf(self.other.expire())
        self.store.pass_()
        self.failureResultOf(rotated, SessionGone)
        self.finish()
        self.assertIs(self.successResultOf(self.another().loadSession(old)), None)

    def test_conflictThenGone(self):
        """
        Nor one whose write conflicts first.
        """
        self.store.hold()
        self.session["late"] = 1
        saved = self.session.save()
        self.other["early"] = 1
        self.successResultOf(self.other.save())
        self.store.release()
        self.successResultOf(self.other.expire())
        self.store.pass_()
        self.failureResultOf(saved, SessionGone)
        self.finish()

    def test_damagedMeanwhile(self):
        """
        A conflict with a record that is damaged, or under a key that is not
        here, is a failure.
        """
        stored = self.record(self.session)
        slot = self.inner._slots[stored.key]
        slot.record = evolve(stored, version=7, payload=stored.payload[:-1] + b"x")
        self.heard.told()
        self.session["a"] = 2
        self.failureResultOf(self.session.save())
        self.assertEqual(self.session._phase, STALE)
        told = self.heard.told()
        self.assertEqual(told[0], "refused damaged")
        stranger = self.another(siteName=b"x", keys=OTHER_KEYS)
        theirs = self.saved(stranger, a=1)
        mine = self.site(siteName=b"x", keys=KEYS)
        self.failureResultOf(mine.loadSession(theirs._uid), SessionUnavailable)
        self.assertTrue(self.logs("which is not in the key"))
