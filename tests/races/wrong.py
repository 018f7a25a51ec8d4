"""
What is wrong on purpose, one fault for each promise: the tests have to find it.

Owns stores that break the contract, whatever the engine inside, and changes of the
product in a server's process.  A server has a fault where its options name one.
"""

from __future__ import annotations

import time

from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.internet.task import deferLater

from tests.slowstore import SlowStore
from txsessions.core.record import ROTATED
from txsessions.errors import (
    SessionConflict,
    SessionExists,
    SessionGone,
    StoreUnavailable,
)


def _reactor():
    """
    The reactor of this process.
    """
    from twisted.internet import reactor

    return reactor


class BlindStore(SlowStore):
    """
    Writes over what somebody else has written.
    """

    def replace(self, record, expected, now):
        """
        See L{ISessionStore.replace}; not so.
        """

        def again(failure):
            failure.trap(SessionConflict)
            return self.replace(record, failure.value.current.version, now)

        return self.inner.replace(record, expected, now).addErrback(again)


class UnmarkedStore(SlowStore):
    """
    Leaves no marker of what has ended, which would stand in the way of what follows.
    """

    def delete(self, key, now=None):
        """
        See L{ISessionStore.delete}.
        """
        return self.inner.delete(key)


class RevivingStore(UnmarkedStore):
    """
    Brings back what has ended, in a late write.
    """

    def replace(self, record, expected, now):
        """
        See L{ISessionStore.replace}; an upsert instead.
        """

        def bringBack(failure):
            failure.trap(SessionGone)
            return self.inner.insert(record, now)

        return self.inner.replace(record, expected, now).addErrback(bringBack)


class TouchingStore(UnmarkedStore):
    """
    Brings back what has ended, in a late touch.
    """

    def load(self, key, now, known=None):
        """
        See L{ISessionStore.load}; it is remembered.
        """
        # Never asked for less, so that there is something to remember.
        return self.inner.load(key, now).addCallback(self._remember)

    def _remember(self, found):
        """
        Remember the last record.
        """
        self._last = found
        return found

    def touch(self, key, touchedAt, expiresAt, now):
        """
        See L{ISessionStore.touch}; an upsert instead.
        """

        def bringBack(failure):
            failure.trap(SessionGone)
            last = getattr(self, "_last", None)
            if getattr(last, "key", None) == key:
                return self.inner.insert(last, now)
            return failure

        return self.inner.touch(key, touchedAt, expiresAt, now).addErrback(bringBack)


class CachedStore(SlowStore):
    """
    Never notices what other processes do.
    """

    def changes(self):
        """
        See L{ISessionStore.changes}; not so.
        """
        return 1


class TwoIdsStore(SlowStore):
    """
    Leaves the old id of a rotation alive.
    """

    def rename(self, oldKey, record, expected, now, limit=None, marks=60.0):
        """
        See L{ISessionStore.rename}; half of it.
        """
        return self.inner.insert(record, now, limit)


class DeadEndStore(SlowStore):
    """
    Ends nothing where a logout comes by an id that was rotated away.
    """

    def delete(self, key, now=None):
        """
        See L{ISessionStore.delete}; not under a marker.
        """

        def delete(found):
            return False if found is ROTATED else self.inner.delete(key, now)

        return self.inner.load(key, time.time()).addCallback(delete)


class OrphanStore(SlowStore):
    """
    Leaves a record behind where a rotation came too late.
    """

    def rename(self, oldKey, record, expected, now, limit=None, marks=60.0):
        """
        See L{ISessionStore.rename}; not so.
        """

        def keep(failure):
            failure.trap(SessionGone)
            kept = self.inner.insert(record, now)
            return kept.addCallback(lambda _: failure)

        renamed = self.inner.rename(oldKey, record, expected, now, limit, marks)
        return renamed.addErrback(keep)


class LyingStore(SlowStore):
    """
    Acknowledges what it has yet to write.
    """

    def replace(self, record, expected, now):
        """
        See L{ISessionStore.replace}; not so.
        """
        _reactor().callLater(0.05, self._late, record, expected, now)
        return succeed(None)

    def _late(self, *args):
        """
        Write at last, whatever comes of it.
        """
        self.inner.replace(*args).addErrback(lambda _: None)


class LaggingStore(SlowStore):
    """
    Answers with what it has seen before, now and then.
    """

    def load(self, key, now, known=None):
        """
        See L{ISessionStore.load}; not so.
        """
        before = self.__dict__.setdefault("_before", {})
        count = self._count = getattr(self, "_count", 0) + 1
        if count % 5 == 0 and key in before:
            return succeed(before.pop(key))

        def remember(found):
            if hasattr(found, "version"):
                before.setdefault(key, found)
            return found

        return self.inner.load(key, now).addCallback(remember)


class PatientStore(SlowStore):
    """
    Tries again for some seconds to delete what it cannot.
    """

    def delete(self, key, now=None, left=8):
        """
        See L{ISessionStore.delete}; without a deadline.
        """

        def again(failure):
            failure.trap(StoreUnavailable)
            if not left:
                return failure
            return deferLater(_reactor(), 0.1, self.delete, key, now, left - 1)

        return self.inner.delete(key, now).addErrback(again)


class EmptyStore(SlowStore):
    """
    Says that it has nothing where it should say that it cannot tell.
    """

    def load(self, key, now, known=None):
        """
        See L{ISessionStore.load}; not so.
        """

        def nothing(failure):
            failure.trap(StoreUnavailable)

        return self.inner.load(key, now, known).addErrback(nothing)


class EagerStore(SlowStore):
    """
    Sweeps away what is still in use.
    """

    def claimExpired(self, now, limit, lease):
        """
        See L{ISessionStore.claimExpired}; not so.
        """
        return self.inner.claimExpired(now + 0.3, limit, lease)

    def acknowledge(self, keys):
        """
        See L{ISessionStore.acknowledge}; without looking again.
        """
        done = [self.inner.delete(key) for key in keys]
        return gatherResults(done).addCallback(lambda _: None)


class DoublingStore(SlowStore):
    """
    Makes a second record of each new session.
    """

    def insert(self, record, now, limit=None):
        """
        See L{ISessionStore.insert}; and once more.
        """
        from msgspec.structs import replace as evolve

        def twice(_):
            other = bytes(255 - byte for byte in record.key)
            again = self.inner.insert(evolve(record, key=other), now)
            return again.addErrback(lambda failure: failure.trap(SessionExists))

        return self.inner.insert(record, now, limit).addCallback(twice)


class ForgivingStore(SlowStore):
    """
    Takes a late write of a session that was ended with all of its principal's.
    """

    def replace(self, record, expected, now):
        """
        See L{ISessionStore.replace}; an upsert instead, under today's epoch.
        """

        def bringBack(failure):
            failure.trap(SessionGone)
            removed = self.inner.delete(record.key)
            return removed.addCallback(lambda _: self.inner.insert(record, now))

        return self.inner.replace(record, expected, now).addErrback(bringBack)


class FirstPageStore(SlowStore):
    """
    Ends those sessions of a principal that are on the first page.
    """

    def endPrincipal(self, principal, now, but=None):
        """
        See L{ISessionStore.endPrincipal}; one by one, and not all.
        """

        async def endSome():
            records, _ = await self.inner.sessionsOf(principal, now)
            found = [each.key for each in records if each.key != but]
            return sum([await self.inner.delete(key) for key in found])

        return Deferred.fromCoroutine(endSome())


class IdleStore(SlowStore):
    """
    Says that it has ended a session, and has not.
    """

    def endSession(self, principal, handle, now):
        """
        See L{ISessionStore.endSession}; not so.
        """
        return succeed(True)


STORES = {
    "blind": BlindStore,
    "reviving": RevivingStore,
    "touching": TouchingStore,
    "cached": CachedStore,
    "two ids": TwoIdsStore,
    "dead end": DeadEndStore,
    "orphan": OrphanStore,
    "lying": LyingStore,
    "lagging": LaggingStore,
    "patient": PatientStore,
    "empty": EmptyStore,
    "eager": EagerStore,
    "doubling": DoublingStore,
    "forgiving": ForgivingStore,
    "first page": FirstPageStore,
    "idle": IdleStore,
}
"""The stores by the names of their faults."""


def _giveCookies(pages):
    """
    Answer a dead id with a cookie.
    """
    page = pages.page

    def withCookie(**told):
        current = pages.site._live.current
        if "gone" in told and current is not None:
            current.addCookie(b"sid", b"", path=b"/")
        return page(**told)

    pages.page = withCookie


def _forgetLogouts(pages):
    """
    Forget a logout that could not be told to the store.
    """
    from txsessions.live.rotating import Rotated
    from txsessions.live.tombstones import Tombstones

    Rotated.noteEnd = lambda self, uid, now: None
    Tombstones.refuse = lambda self, keys, **how: None


def _noticeLate(pages):
    """
    Think that nobody else can have ended a session that was made just now.
    """
    from txsessions.live.flight import Flight

    note = Flight._note

    def andForget(flight, record):
        note(flight, record)
        flight._entry.seen = flight._entry.table.store.changes()

    Flight._note = andForget


def _signInTwice(pages):
    """
    Take a second factor for a sign-in from the beginning, where another request was
    faster.
    """
    from txsessions.web.signin import SigningIn

    goOn = SigningIn._goOn

    def andRepeat(signing, visit, session):
        signing._mayRepeat = True
        goOn(signing, visit, session)

    SigningIn._goOn = andRepeat


PATCHES = {
    "cookies": _giveCookies,
    "forgetful": _forgetLogouts,
    "late": _noticeLate,
    "twice": _signInTwice,
}
"""What is changed in a server, by the names of the faults."""


def plant(fault, store, pages):
    """
    Make something wrong.

    @param fault: One of L{STORES} or L{PATCHES}; empty for nothing.
    @return: The store to use.
    """
    if fault in PATCHES:
        PATCHES[fault](pages)
    elif fault:
        return STORES[fault](store)
    return store


__all__ = ["PATCHES", "STORES", "plant"]
