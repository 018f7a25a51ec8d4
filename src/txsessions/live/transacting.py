"""
Transactions: exact changes of a session, whoever else changes it meanwhile.

Owns the running of a function on a session until what it made of it is committed,
and that the transactions of one process on one session take turns.  Knows no HTTP.

Theory of operation.  Requests of this process share one live object, and what they
change in it is merged with what others saved, which is no way to count.  So a
transaction does not use the live object: the store is asked, what the live object
has yet to save is saved, and the function gets a I{draft}, a session of its own with
the parts that the store has acknowledged.  What it made of them replaces exactly the
version that they came from, and nothing is merged; if that is no longer the version
in the store, be it that another process or a request of this one has saved
something, the draft is thrown away and the function gets another.  Once it is
committed, the live object takes it over as it does what other processes commit: in
place, merged with what requests changed meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure

from txsessions.core.uid import isUid
from txsessions.errors import (
    CannotBeKept,
    SessionConflict,
    SessionError,
    SessionGone,
    StoreUnavailable,
    TransactionTooLong,
)
from txsessions.live import gathering
from txsessions.live.adopting import adopt
from txsessions.live.drafting import DraftEntry, makeDraft
from txsessions.live.flight import MAX_TRIES, sealed
from txsessions.live.phases import ENDED, STALE
from txsessions.live.timing import demandThread

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

    from txsessions.core.record import Record
    from txsessions.live.entry import Entry
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable

MAX_QUEUED = 1000
"""How many transactions may wait for their turn on one session."""

FIRST_PAUSE, LAST_PAUSE = 0.004, 0.25
"""Up to how many seconds pass before a function is called again, at first and at
last; how many, chance says."""

_CLOSED = "the session store has been closed"


class Transactions:
    """
    The transactions of a live table.
    """

    def __init__(self, table: LiveTable) -> None:
        self._table = table
        self._lines: dict[bytes, _Line] = {}

    def run(
        self,
        uid: bytes,
        function: Callable[[Any], Any],
        entropy: Callable[[int], bytes],
        deadline: float,
    ) -> Deferred[Any]:
        """
        Run a function on a session; see L{Site.transact<txsessions.Site.transact>}.

        @param entropy: Gives as many bytes of chance as it is asked for.
        """
        demandThread()
        if not isUid(uid):
            return fail(SessionGone())
        line = self._lines.get(uid)
        if line is None:
            line = self._lines[uid] = _Line(self._lines, uid)
        elif len(line.waiting) > MAX_QUEUED:
            return fail(StoreUnavailable("too many transactions wait on one session"))
        transaction = Transaction(self._table, line, uid, function, entropy, deadline)
        line.waiting.append(transaction)
        line.goOn()
        return transaction.done

    def stop(self) -> None:
        """
        The sessions are let go of: end what is under way, but for what the store has
        been given already.
        """
        for line in list(self._lines.values()):
            for transaction in list(line.waiting):
                transaction.giveUp(StoreUnavailable(_CLOSED))


class _Line:
    """
    The transactions on one session, of which the first is under way.
    """

    def __init__(self, lines: dict[bytes, _Line], uid: bytes) -> None:
        self._lines = lines
        self._uid = uid
        self._isGoing = False
        self.waiting: deque[Transaction] = deque()

    def goOn(self) -> None:
        """
        Begin the first, if it has not begun; and so on, if it ends at once.
        """
        if self._isGoing:
            return
        self._isGoing = True
        while self.waiting and not self.waiting[0].hasBegun:
            self.waiting[0].begin()
        self._isGoing = False
        if not self.waiting:
            self._lines.pop(self._uid, None)


class Transaction:
    """
    One function, called until what it did is committed.

    @ivar done: What the caller has.
    @ivar hasBegun: Whether its turn has come.
    """

    def __init__(
        self,
        table: LiveTable,
        line: _Line,
        uid: bytes,
        function: Callable[[Any], Any],
        entropy: Callable[[int], bytes],
        deadline: float,
    ) -> None:
        self._table = table
        self._line = line
        self._uid = uid
        self._function = function
        self._entropy = entropy
        self.done: Deferred[Any] = Deferred(self._cancel)
        self.hasBegun = False
        self._isOver = self._isCommitting = self._isCancelled = False
        self._tries = 0
        self._draft: Entry | None = None
        self._running: Deferred[Any] | None = None
        self._pause: IDelayedCall | None = None
        self._conflict: SessionConflict | None = None
        self._queuedFor = inf
        self._due: float | None = table.seconds() + deadline
        table.deadlines.watch(self)

    # -- forth

    def begin(self) -> None:
        """
        Its turn has come.
        """
        self.hasBegun = True
        self._try()

    def _try(self) -> None:
        """
        Begin with what the store has now.
        """
        self._pause = None
        self._tries += 1
        table = self._table
        found = (table.rotated.renewing or table.loader).fetch(self._uid)
        _ = found.addCallback(self._found).addErrback(self._failed)

    def _found(self, session: Session | None) -> Deferred[None] | None:
        """
        The store has answered: save what it does not have yet.
        """
        if self._isOver:
            return None
        if session is None or session._hasOutlived():
            raise SessionGone(self._table.tagOf(self._uid))
        self._uid = session._uid
        return self._table.save(session).addCallback(self._call, session)

    def _call(self, _: object, session: Session) -> Deferred[None] | None:
        """
        All is saved: call the function.
        """
        if self._isOver:
            return None
        if session._phase >= ENDED or session._uid != self._uid:
            # Under another id it may be somebody else's.
            raise SessionGone(self._table.tagOf(self._uid))
        entry, subject = session._entry, session
        if entry is not None:
            self._draft = makeDraft(entry, self._uid, DraftEntry)
            subject = self._draft.session
        self._running = maybeDeferred(self._function, subject)
        return self._running.addCallback(self._called, session)

    def _called(self, result: Any, session: Session) -> Deferred[None] | None:
        """
        The function has returned: commit what it did.
        """
        self._running = None
        draft = self._draft
        if draft is None:
            # There is no store, or it has taken too long.
            self._end(result)
            return None
        if draft.session._phase == ENDED:
            done = session._end("expire")
            return done.addCallback(lambda _: self._end(result))
        gathered = gathering.gather(draft.session, draft.parts)
        if gathered.unkeepable:
            where, error = gathered.unkeepable[0]
            raise CannotBeKept(where, error.reason)
        if gathered.parts == draft.parts and draft.terms == draft.storedTerms:
            self._end(result)
            return None
        record = sealed(draft, draft.key, gathered.parts, draft.terms)
        self._isCommitting = True
        self._table.writes.underWay += 1
        store, now = self._table.store, self._table.seconds()
        sent = maybeDeferred(store.replace, record, draft.version, now)
        return sent.addBoth(self._answered, record, session, result)

    def _answered(
        self, answer: Any, record: Record, session: Session, result: Any
    ) -> None:
        """
        The store has answered.
        """
        self._isCommitting = False
        try:
            if not isinstance(answer, Failure):
                self._share(record)
                self._end(result)
            elif isinstance(answer.value, SessionConflict):
                self._conflicted(answer.value)
            elif not self._follows(answer, session):
                self._refused(answer, session)
                self._failed(answer)
        finally:
            self._table.writes.oneEnded()

    def _share(self, record: Record) -> None:
        """
        Let the requests of this process see what was committed.
        """
        entry = self._liveEntry()
        if entry is None or entry.version >= record.version:
            return
        if entry.flight is not None:
            # The answer to that will tell, or the next request asks.
            entry.seen = None
            return
        try:
            adopt(entry, record)
        except SessionError:
            # What they have changed cannot be kept.
            entry.drop()

    def _liveEntry(self) -> Entry | None:
        """
        The account of the live session, if there is one now.
        """
        table = self._table
        session = table.sessions.get(self._uid)
        if session is None:
            session = table.resting.departed.get(self._uid)
        if session is None or session._phase >= ENDED:
            return None
        return session._entry

    def _conflicted(self, conflict: SessionConflict) -> None:
        """
        Somebody was faster: try again, but not all at the same moment.
        """
        self._conflict = conflict
        if self._due is None or self._tries >= MAX_TRIES:
            self._failed(Failure(conflict))
            return
        self._discard()
        chance = int.from_bytes(self._entropy(4), "big") / 2**32
        most = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(self._tries, 10))
        self._pause = self._table.reactor.callLater(chance * most, self._try)

    def _follows(self, failure: Failure, session: Session) -> bool:
        """
        Begin again if another process has renewed the session.
        """
        renewing, draft = self._table.rotated.renewing, self._draft
        if renewing is None or draft is None or not failure.check(SessionGone):
            return False
        looked = renewing.lookFor(session, draft.key)
        _ = looked.addCallbacks(self._again, self._failed)
        return True

    def _again(self, _: object) -> None:
        """
        It may live under another uid.
        """
        if not self._isOver:
            self._discard()
            self._try()

    def _refused(self, failure: Failure, session: Session) -> None:
        """
        The store did not take it, or it is unknown whether it did.
        """
        entry = session._entry
        assert entry is not None
        if not failure.check(SessionGone):
            current = self._liveEntry()
            if current is not None:
                current.seen = None
            self._table.broken(failure, current)
        elif (
            session._phase < ENDED
            and session._uid == self._uid
            and entry.flight is None
        ):
            entry.endedElsewhere()

    # -- the end

    def _end(self, result: Any) -> None:
        """
        It is over.

        @param result: What the caller gets, be it a L{Failure}.
        """
        if self._isOver:
            return
        self._isOver = True
        self._table.deadlines.forget(self)
        if self._pause is not None:
            self._pause.cancel()
        self._discard()
        self._line.waiting.remove(self)
        if not self._isCancelled:
            self.done.callback(result)
        self._line.goOn()

    def _failed(self, failure: Failure) -> None:
        """
        It has failed.
        """
        self._end(failure)

    def _discard(self) -> None:
        """
        Nobody is to use the draft any more.
        """
        draft, self._draft = self._draft, None
        if draft is not None:
            draft.session._close()
            draft.session._phase = STALE

    def giveUp(self, error: SessionError) -> None:
        """
        End it, unless the store has been given it already: then what the store says
        counts, and nothing more is tried.
        """
        self._table.deadlines.forget(self)
        if not self._isCommitting:
            running, self._running = self._running, None
            self._end(Failure(error))
            if running is not None:
                running.cancel()

    def _cancel(self, _: object) -> None:
        """
        The caller does not care any more, and is told so by the Deferred itself.
        """
        self._isCancelled = True
        self._deadlinePassed()

    def _deadlinePassed(self) -> None:
        """
        It has taken too long.
        """
        tag = self._table.tagOf(self._uid)
        self.giveUp(self._conflict or TransactionTooLong(tag))


__all__ = ["FIRST_PAUSE", "LAST_PAUSE", "MAX_QUEUED", "Transaction", "Transactions"]
