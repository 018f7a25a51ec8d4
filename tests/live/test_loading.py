"""
Tests of L{txsessions.live.loading}: how sessions get in from the store.
"""

from __future__ import annotations

from math import inf, nan

from attrs import evolve
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.web import server

from tests.live.sites import KEYS, NOW, OTHER_KEYS, Holds, LiveCase
from txsessions import keep
from txsessions.core.seal import Sealer
from txsessions.core.state import packState
from txsessions.errors import SessionStale, SessionUnavailable, StoreUnavailable
from txsessions.live.phases import ENDED


class EndsItself:
    """
    Ends the session that it gets into.
    """

    def __init__(self, session):
        self.session = session

    def __getstate__(self):
        return {"session": self.session}

    def __setstate__(self, state):
        state["session"].expire()


class LoadCase(LiveCase):
    """
    Has a session in the store, and another process.
    """

    def setUp(self):
        """
        Make them.
        """
        super().setUp()
        self.live = self.site()
        self.session = self.saved(self.live, a=1)
        self.process = self.another()
        self.theirs = self.process._live.store
        del self.theirs.calls[:]

    def change(self, **changes):
        """
        Change the record in the store.
        """
        record = self.record(self.session)
        slot = self.inner._slots[record.key]
        slot.record = replace(record, **changes)
        slot.expiresAt = slot.record.expiresAt

    def reseal(self, plaintext):
        """
        Put something else into the record, under a good seal.
        """
        record = self.record(self.session)
        sealer = Sealer(KEYS, b"")
        self.change(payload=sealer.seal(record.key, record.version, plaintext))

    def state(self, **changes):
        """
        The state in the record, changed.
        """
        return evolve(self.live._live.loader.open(self.record(self.session)), **changes)

    def assertRefused(self, *told):
        """
        The record is not used, and that is told; it stays where it is.
        """
        self.assertIs(self.load(self.process, self.session), None)
        self.assertEqual(self.process.heard.told(), list(told))
        self.assertTrue(self.record(self.session))
        self.assertEqual(dict(self.process.sessions), {})


class LoadTests(LoadCase):
    """
    Loading what is there.
    """

    def test_load(self):
        """
        A session that is not live is loaded, with its times.
        """
        self.clock.advance(30)
        other = self.load(self.process, self.session)
        self.assertIsNot(other, self.session)
        self.assertEqual(other._uid, self.session._uid)
        self.assertEqual(other["a"], 1)
        self.assertEqual(other.tag, self.session.tag)
        self.assertEqual(other.lastModified, NOW)
        self.assertEqual(other._createdAt, NOW)
        self.assertEqual(other._expireCall.getTime(), NOW + 900)
        self.assertIs(self.process.getSession(self.session._uid), other)

    def test_once(self):
        """
        Loads of one session at once are one, and all get the same object.
        """
        self.theirs.hold("load")
        loads = [self.process.loadSession(self.session._uid) for _ in range(5)]
        self.assertEqual(self.theirs.names(), ["load"])
        self.theirs.pass_()
        found = {id(self.successResultOf(load)) for load in loads}
        self.assertEqual(len(found), 1)

    def test_unchanged(self):
        """
        A live session is asked for by its version, and not read again.
        """
        other = self.load(self.process, self.session)
        entry = other._entry
        entry.parts = {**entry.parts}
        before = entry.parts
        self.assertIs(self.load(self.process, self.session), other)
        self.assertIs(entry.parts, before)
        self.assertEqual(self.theirs.calls, ["load", "load"])

    def test_refreshed(self):
        """
        If it was changed elsewhere it is refreshed, in place, while requests
        hold it.
        """
        other = self.load(self.process, self.session)
        holds = Holds(other)
        namespaces = other.sessionNamespaces
        self.session["a"] = {"b": 2}
        self.successResultOf(self.session.save())
        self.assertIs(self.load(self.process, self.session), other)
        self.assertIs(other.sessionNamespaces, namespaces)
        self.assertEqual(namespaces, {"a": {"b": 2}})
        holds.release()

    def test_refreshedWithChanges(self):
        """
        What was changed here and is not saved yet is kept.
        """
        other = self.load(self.process, self.session)
        other["mine"] = 1
        self.session["theirs"] = 2
        self.successResultOf(self.session.save())
        self.load(self.process, self.session)
        self.assertEqual(other.sessionNamespaces, {"a": 1, "mine": 1, "theirs": 2})
        self.successResultOf(other.save())
        self.assertEqual(self.theirs.calls[-1], "replace")
        third = self.load(self.another(), self.session)
        self.assertEqual(third.sessionNamespaces, {"a": 1, "mine": 1, "theirs": 2})

    def test_whileWriting(self):
        """
        While it is being written it is not refreshed: the write will tell.
        """
        other = self.load(self.process, self.session)
        self.theirs.hold("replace")
        other["mine"] = 1
        saved = other.save()
        self.session["theirs"] = 2
        self.successResultOf(self.session.save())
        found = self.process._live.loader.fetch(self.session._uid)
        self.assertIs(self.successResultOf(found), other)
        self.assertNotIn("theirs", other)
        self.theirs.pass_()
        self.successResultOf(saved)
        self.assertEqual(other.sessionNamespaces, {"a": 1, "mine": 1, "theirs": 2})

    def test_absent(self):
        """
        What the store does not have is absent; nothing is adopted.
        """
        for uid in (b"ab" * 32, b"0" * 64, b"f" * 64, b"", b"A" * 64, b"a" * 63, "a"):
            self.assertIs(self.successResultOf(self.live.loadSession(uid)), None)
        self.assertEqual(self.store.calls.count("load"), 1)
        self.assertEqual(list(self.live.sessions), [self.session._uid])

    def test_goneElsewhere(self):
        """
        A live session that the store has no more ends.
        """
        other = self.load(self.process, self.session)
        ended = []
        other.notifyOnExpire(lambda: ended.append(1))
        self.session.expire()
        self.assertIs(self.load(self.process, self.session), None)
        self.assertEqual(other._phase, ENDED)
        self.assertEqual(ended, [1])
        self.assertEqual(self.process.heard.told(), ["ended elsewhere"])

    def test_rotatedElsewhere(self):
        """
        So does one that was given a new uid elsewhere, and the old one is known
        as rotated for a minute.
        """
        other = self.load(self.process, self.session)
        old = self.session._uid
        self.successResultOf(self.live._live.rotate(self.session))
        found = self.process.loadSession(old)
        self.assertIs(self.successResultOf(found), None)
        self.assertEqual(other._phase, ENDED)
        self.assertTrue(self.process._live.isRotated(old))
        self.assertEqual(self.load(self.process, self.session)["a"], 1)
        calls = len(self.theirs.calls)
        self.assertIs(self.successResultOf(self.process.loadSession(old)), None)
        self.assertEqual(len(self.theirs.calls), calls)

    def test_rotatedHereMeanwhile(self):
        """
        One that gets a new uid here while it is being loaded lives on.
        """
        other = self.load(self.process, self.session)
        old = other._uid
        self.theirs.hold("load")
        found = self.process.loadSession(old)
        self.successResultOf(self.process._live.rotate(other))
        self.theirs.pass_()
        self.assertIs(self.successResultOf(found), None)
        self.assertIs(self.load(self.process, other), other)

    def test_endedMeanwhile(self):
        """
        One that ends while it is being loaded is gone.
        """
        other = self.load(self.process, self.session)
        self.theirs.hold("load")
        found = self.process.loadSession(self.session._uid)
        other.expire()
        self.theirs.pass_()
        self.assertIs(self.successResultOf(found), None)

    def test_runsOutMeanwhile(self):
        """
        If its time is up while the store says that it is unchanged, the store is
        asked for its last use.
        """
        for used in (True, False):
            session = self.saved(self.live, a=1)
            process = self.another()
            other = self.load(process, session)
            store = process._live.store
            del store.calls[:]
            store.hold("load")
            found = process.loadSession(session._uid)
            self.clock.rightNow += 500
            if used:
                session.touch()
            self.clock.rightNow += 400
            store.pass_()
            self.assertEqual(store.calls[:2], ["load", "load"])
            self.assertIs(self.successResultOf(found), other if used else None)

    def test_endsItself(self):
        """
        One that ends while it is brought up to what others made of it has
        ended.
        """
        keep(EndsItself)
        other = self.load(self.process, self.session)
        self.session["last"] = EndsItself(self.session)
        self.successResultOf(self.session.save())
        self.assertIs(self.load(self.process, self.session), None)
        self.assertEqual(other._phase, ENDED)
        self.assertEqual(dict(self.process.sessions), {})

    def test_buriedMeanwhile(self):
        """
        So is one whose deletion has begun before it is there.
        """
        self.theirs.hold("load", "delete")
        found = self.process.loadSession(self.session._uid)
        key = self.record(self.session).key
        self.process._live.tombstones.bury([key])
        self.theirs.release(1)
        self.assertIs(self.successResultOf(found), None)

    def test_unavailable(self):
        """
        A store that does not answer is no answer: everybody who waits hears so,
        and nothing is ended.
        """
        other = self.load(self.process, self.session)
        self.theirs.hold("load")
        loads = [self.process.loadSession(self.session._uid) for _ in range(3)]
        self.theirs.fail(StoreUnavailable("down"))
        for load in loads:
            self.failureResultOf(load, SessionUnavailable)
        self.assertEqual(self.process.heard.told(), ["unavailable down"])
        self.theirs.holding = frozenset()
        self.assertIs(self.load(self.process, self.session), other)

    def test_unexpected(self):
        """
        So is one that raises what it should not.
        """
        self.theirs.hold("load")
        load = self.process._live.loader.fetch(self.session._uid)
        self.theirs.fail(ZeroDivisionError("bug"))
        self.failureResultOf(load, StoreUnavailable)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_factoryRaises(self):
        """
        A session class that cannot be made is no reason to end anything.
        """

        class Broken(server.Session):
            """
            Cannot be made.
            """

            def __init__(self, site, uid):
                raise ZeroDivisionError

        self.process.sessionFactory = Broken
        self.failureResultOf(
            self.process.loadSession(self.session._uid), SessionUnavailable
        )
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertTrue(self.record(self.session))

    def test_constructed(self):
        """
        What its class makes is there, though what was kept is older than it.
        """

        class Newer(server.Session):
            """
            Has an attribute more.
            """

            def __init__(self, *args):
                server.Session.__init__(self, *args)
                self.theme = "dark"
                self.a = "fresh"

        self.session.a = "kept"
        self.successResultOf(self.session.save())
        self.process.sessionFactory = Newer
        other = self.load(self.process, self.session)
        self.assertEqual((other.theme, other.a), ("dark", "kept"))

    def test_waitsForTheStore(self):
        """
        While the store is being opened a load waits.
        """
        self.store.hold("open")
        site = self.site(siteName=b"slow")
        load = site.loadSession(b"ab" * 32)
        self.assertNoResult(load)
        self.store.pass_()
        self.assertIs(self.successResultOf(load), None)

    def test_deferred(self):
        """
        It always gives a Deferred.
        """
        for uid in (self.session._uid, b"ab" * 32, b""):
            self.assertIsInstance(self.live.loadSession(uid), Deferred)


class RecordTests(LoadCase):
    """
    Records that are not as they should be.
    """

    def test_damaged(self):
        """
        A record whose seal is broken is absent, and that is told.
        """
        payload = self.record(self.session).payload
        for bad in (
            payload[:-1] + bytes([payload[-1] ^ 1]),
            b"",
            payload[:40],
            payload + b"x",
            b"\x02" + payload[1:],
        ):
            self.change(payload=bad)
            self.assertRefused("refused damaged")

    def test_olderUnderANewerVersion(self):
        """
        So is an older record under a newer version, and one of another session.
        """
        self.change(version=9)
        self.assertRefused("refused damaged")
        other = self.saved(self.live, a=2)
        self.change(version=1, payload=self.record(other).payload)
        self.assertRefused("refused damaged")

    def test_badState(self):
        """
        A good seal over what we would not write is no better.
        """
        good = packState(self.state())
        for bad in (b"", b"\xc0", good[:-1], good + b"\xc0", b"\x80" * 10):
            self.reseal(bad)
            self.assertRefused("refused damaged")

    def test_badNames(self):
        """
        Nor is one whose parts have names that cannot be read, so that they cannot be
        put anywhere.
        """
        good = self.state()
        for name in (b"n", b"n\xc1", b"n\x90", b"n\x80", b"a\xff", b"c\xff"):
            self.reseal(packState(evolve(good, parts={name: b"\xc0"})))
            self.assertRefused("refused damaged")

    def test_badTimes(self):
        """
        Nor are times that no session has.
        """
        for at in (nan, inf, -1.0, 1e15):
            self.change(touchedAt=at)
            self.assertRefused("refused damaged")

    def test_damagedWhileLive(self):
        """
        If the record of a live session is damaged the object is dropped.
        """
        other = self.load(self.process, self.session)
        self.process.heard.told()
        self.change(version=2, payload=b"damaged")
        self.assertRefused("refused damaged")
        self.assertRaises(SessionStale, other.save)

    def test_unknownKey(self):
        """
        A record under a key that is not here is no damage but a broken
        deployment: nobody is logged out, and the log says which key.
        """
        process = self.another(keys=OTHER_KEYS, siteName=b"other")
        theirs = self.saved(process, a=1)
        mine = self.another(siteName=b"other")
        self.failureResultOf(mine.loadSession(theirs._uid), SessionUnavailable)
        self.assertEqual(len(mine.heard.told()), 1)
        self.assertTrue(self.logs(OTHER_KEYS.active.id.hex()))
        self.assertTrue(self.record(theirs, mine))

    def test_future(self):
        """
        A session that was made in the future by more than clocks may differ is
        told of, and used.
        """
        for ahead, told in ((300, []), (301, ["refused future"])):
            self.reseal(packState(self.state(createdAt=NOW + ahead)))
            process = self.another()
            other = self.load(process, self.session)
            self.assertEqual(other["a"], 1)
            self.assertEqual(process.heard.told(), told)

    def test_storeIsLate(self):
        """
        The limits are checked here, whatever the store thinks.
        """
        self.change(expiresAt=NOW + 10**9)
        self.clock.rightNow += 960
        self.assertIs(self.load(self.process, self.session), None)
        self.clock.rightNow -= 960
        self.reseal(packState(self.state(lifetime=5.0)))
        self.clock.rightNow += 5
        self.assertIs(self.load(self.process, self.session), None)

    def test_used(self):
        """
        A touched record counts from its touch, and a use of which the store
        need not know is assumed where it matters.
        """
        self.change(touchedAt=NOW + 500, expiresAt=NOW + 1460)
        self.clock.rightNow += 1000
        other = self.load(self.process, self.session)
        self.assertEqual(other._expireCall.getTime(), NOW + 1400)
        self.clock.rightNow += 430
        third = self.another()
        other = self.load(third, self.session)
        self.assertEqual(other._expireCall.getTime(), NOW + 1460)
        self.successResultOf(other.save())
        self.assertEqual(self.record(self.session).touchedAt, NOW + 500)

    def test_scheme(self):
        """
        A record knows by which cookie its session came.
        """
        self.assertIs(self.load(self.process, self.session)._scheme, None)
        self.session._scheme = (True, b"__Host-sid")
        self.successResultOf(self.session.save())
        other = self.load(self.another(), self.session)
        self.assertEqual(other._scheme, (True, b"__Host-sid"))

    def test_otherSite(self):
        """
        A uid of another site on the same store is unknown here.
        """
        site = self.another(siteName=b"other")
        self.assertIs(self.load(site, self.session), None)
        self.change(key=b"x" * 32)
        slot = self.inner._slots
        slot[b"y" * 32] = slot.pop(next(iter(slot)))
        self.assertIs(self.load(self.process, self.session), None)
