"""
How sessions get in from the store.

Owns the question whether a live session is still as the store has it, the
loading of those that are not live, and the making of a session from its record.

An answer counts only for who had come before the question was sent: an older one
may not know of a logout that the visitor has seen acknowledged by another process.
So a load under way is never joined.  Who comes while one is waits for the next,
and all these share it.
"""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.python.reflect import safe_str

from txsessions.core import lifetime as rules
from txsessions.core.record import DELETED, FORMER, ROTATED, UNCHANGED, Record
from txsessions.core.state import State, unpackState
from txsessions.core.telling import shortWay
from txsessions.core.uid import storeKeyOf
from txsessions.errors import RecordDamaged, StoreError, StoreUnavailable
from txsessions.live import applying
from txsessions.live.adopting import adopt, setLimits, usedAt
from txsessions.live.entry import Entry
from txsessions.live.events import EventKind
from txsessions.live.phases import ENDED, STORED
from txsessions.live.questions import Answered, Question
from txsessions.live.waiting import tellAll

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable


class Loader:
    """
    Finds sessions for a live table.

    @ivar asked: What the store is being asked, by uid.
    @ivar next: What it is to be asked after that.
    """

    def __init__(self, table: LiveTable) -> None:
        self.table = table
        self.asked: dict[bytes, Question] = {}
        self.next: dict[bytes, Question] = {}

    def find(self, uid: bytes) -> Session | None:
        """
        Look a session up that is here and as the store has it.

        @return: The session, or L{None}: then L{fetch} tells, if there is a
            store.
        """
        session = self.table.liveSession(uid)
        if session is None:
            return None
        entry = session._entry
        return session if entry is None or entry.isCurrent() else None

    def fetch(self, uid: bytes) -> Deferred[Session | None]:
        """
        Look a session up in the store, and refresh the live one if there is
        one.

        @return: Fires with the session, with L{None} if there is none, or fails
            with a C{StoreError}.
        """
        done: Deferred[Session | None] = Deferred()
        self.ask(uid, done.callback)
        return done

    def ask(self, uid: bytes, answered: Answered) -> None:
        """
        Do what L{fetch} does, for the hot path, which has no time for a Deferred.

        @param answered: Called once, maybe at once.  It does not raise.
        """
        table = self.table
        isUsual = table.lifecycle.isOpen and not table.rotated.at.noted
        if not isUsual and self._isAnswered(uid, answered):
            return
        live = table.sessions.get(uid)
        if live is None:
            live = table.resting.departed.get(uid)
        entry = None if live is None else live._entry
        if entry is None:
            key = storeKeyOf(table.siteName, uid)
        else:
            key = entry._key or entry.key
        if key in table.tombstones.refused:
            del uid
            answered(None)
            return
        if self.next and uid in self.next:
            self.next[uid].waiting.append(answered)
            return
        known = None if entry is None else entry.version
        question = Question(self, uid, key, [answered], live, known)
        if uid in self.asked:
            self.next[uid] = question
            return
        self.asked[uid] = question
        del uid
        self._send(question)

    def _isAnswered(self, uid: bytes, answered: Answered) -> bool:
        """
        Answer where the store cannot be asked, or need not be.

        @return: Whether that was done, or will be.
        """
        table = self.table
        if table.store is None or table.isRotated(uid):
            found = table.rotated.found(table.sessions.get(uid))
            del uid  # a traceback of the application may show what variables hold
            answered(found)
            return True
        if table.lifecycle.isOpen:
            return False
        opened = table.lifecycle.whenOpen()
        _ = opened.addCallbacks(self._askLate, answered, callbackArgs=([uid], answered))
        return True

    def _inMemory(self, uid: bytes) -> Session | None:
        """
        The session of that uid, if it is in memory, live or not.
        """
        live = self.table.sessions.get(uid)
        return self.table.resting.departed.get(uid) if live is None else live

    def _askLate(self, _: object, uids: list[bytes], answered: Answered) -> None:
        """
        The store is open now.

        @param uids: The one uid; afterwards nothing.
        """
        self.ask(uids.pop(), answered)

    def _sendLate(self, question: Question) -> None:
        """
        Ask the store what was not to be asked at once, of what is in memory now.
        """
        live = question.live = self._inMemory(question.uid)
        entry = None if live is None else live._entry
        question.known = None if entry is None else entry.version
        self._send(question)

    def _send(self, question: Question) -> None:
        """
        Ask the store.
        """
        table, live, known = self.table, question.live, question.known
        store, seconds = table.store, table.seconds
        now = seconds()
        if live is not None and known is not None:
            due, clock = live._due, live._clock
            there = now if clock is table.reactor else clock.seconds()
            if (due is None or there >= due) and live._hasOutlived():
                # It was maybe touched in another process, which its version does not
                # tell.
                question.known = known = None
        try:
            seen, load = store.changes(), store.load
            if seen != question.seen:
                question.seen = seen
            tell = shortWay(load)
            if tell is not None:
                tell(load.__self__, question, question.key, now, known)
                return
            loaded = maybeDeferred(load, question.key, now, known)
        except BaseException:
            question.errback(Failure())
            return
        _ = loaded.addCallbacks(question.callback, question.errback)

    def judge(self, answer: Any, question: Question) -> Any:
        """
        See what an answer that is not the usual one says.

        @return: The session, or L{None}; or else the question, for which the answer was
            not the end.
        """
        try:
            if question.live is not None and question.isOutdatedBy(answer):
                self._sendLate(question)
                return question
            return self._take(answer, question)
        except BaseException:
            self.notLoaded(Failure(), question)
            return question

    def sendNext(self, uid: bytes) -> None:
        """
        Ask for those who have come while the store was asked.
        """
        following = self.next.get(uid)
        if following is not None and uid not in self.asked:
            self.asked[uid] = self.next.pop(uid)
            self._sendLate(following)

    def notLoaded(self, failure: Failure, question: Question) -> None:
        """
        The store could not answer.
        """
        self.asked.pop(question.uid, None)
        # Who has come meanwhile need not find out for himself: nobody is served on
        # the strength of a failure.
        following = self.next.pop(question.uid, None)
        waiting = question.waiting
        if following is not None:
            waiting = waiting + following.waiting
        self.table.broken(failure, None)
        if not failure.check(StoreError):
            failure = Failure(StoreUnavailable(safe_str(failure.value)))
        tellAll(waiting, methodcaller("__call__", failure))

    def _take(self, answer: Any, question: Question) -> Session | None:
        """
        Make of the store's answer a session.
        """
        table, uid, live = self.table, question.uid, question.live
        if table.rotated.at.noted and table.isRotated(uid):
            # Here, since the store was asked: the answer may be from before.
            return table.rotated.found(table.sessions.get(uid))
        if live is not None and live._phase >= ENDED:
            return None
        entry = None if live is None else live._entry
        if answer is ROTATED or answer is FORMER:
            table.rotated.noteElsewhere(uid, table.seconds(), answer)
            if entry is not None and entry.isStoredAs(uid):
                table.rotated.lost(entry)
                return None
        if answer is not UNCHANGED:
            if not isinstance(answer, Record):
                return self._absent(answer, uid, entry)
            entry = self._refreshed(answer, uid, entry)
            if entry is None:
                return None
        assert entry is not None
        session = entry.session
        if session._phase >= ENDED or session._uid != uid:
            # It was ended, or given another uid, in between.
            return None
        if entry.flight is None:
            # Else this is ours, or what ours will be merged with.
            entry.seen = question.seen
        # Of one that is unchanged this was asked already, by isOutdatedBy.
        if answer is not UNCHANGED and session._hasOutlived():
            session._runOut()
            return None
        if uid not in table.sessions:
            table.enter(uid, session)
        return session

    def _absent(self, answer: Any, uid: bytes, entry: Entry | None) -> Session | None:
        """
        The store does not have it.
        """
        found = self._missing(uid, entry)
        if answer is DELETED:
            self.table.rotated.noteEnd(uid, self.table.seconds())
        return found

    def _missing(self, uid: bytes, entry: Entry | None) -> Session | None:
        """
        Find what is here instead, after somebody else has ended the session.
        """
        table = self.table
        if entry is None:
            parked = table.parked.get(storeKeyOf(table.siteName, uid))
            if parked is not None and not table.isRotated(uid):
                parked.gone()
            return None
        if not entry.isStoredAs(uid):
            # It is on its way there, or has a new id.
            return table.sessions.get(uid)
        entry.endedElsewhere(isGone=not table.isRotated(uid))
        return None

    def _refreshed(
        self, record: Record, uid: bytes, entry: Entry | None
    ) -> Entry | None:
        """
        Make of a record a live session, or bring the live one up to it.
        """
        try:
            if entry is None:
                ended = self.table.tombstones.refuses(record)
                return None if ended else self._revive(record, uid)
            if entry.flight is None:
                adopt(entry, record)
        except RecordDamaged:
            if entry is not None:
                entry.drop()
            return None
        return entry

    def unseal(self, record: Record) -> State:
        """
        Open a record.

        @raise RecordDamaged: Its seal is broken, or what is in it.
        @raise UnknownKey: The key is not here.
        """
        try:
            return self.open(record)
        except RecordDamaged:
            self._refuse(record, "damaged")
            raise

    def open(self, record: Record) -> State:
        """
        Open a record, and tell nobody what is wrong with it.

        @raise RecordDamaged: Its seal is broken, or what is in it.
        @raise UnknownKey: The key is not here.
        """
        sealer = self.table.sealer
        plaintext = sealer.open(record.key, record.version, record.payload)
        try:
            state = unpackState(plaintext)
            applying.checkNames(state.parts)
        except ValueError:
            raise RecordDamaged(record.tag) from None
        times = 0 <= record.touchedAt <= rules.MAX_SECONDS
        if not times or not self.table.principals.fits(state.signIn, record):
            raise RecordDamaged(record.tag)
        return state

    def _refuse(self, record: Record, reason: str) -> None:
        """
        Tell that something is wrong with a record.
        """
        table = self.table
        table.announcer.tell(EventKind.REFUSED, record.tag, table.seconds(), reason)

    def _revive(self, record: Record, uid: bytes) -> Entry | None:
        """
        Make a live session of a record.
        """
        table = self.table
        state = self.unseal(record)
        renewing = table.rotated.renewing
        if renewing is not None:
            moved = renewing.adopted(record, state, uid)
            if moved is not None or renewing.isOutdated(record, uid):
                return moved
        now = table.seconds()
        touchedAt, idle = record.touchedAt, state.idle
        end = rules.storedDeadline(state.createdAt, touchedAt, idle, state.lifetime)
        if now >= end:
            return None
        if rules.fromFuture(now, state.createdAt):
            self._refuse(record, "future")
        session = self.remake(uid, state, usedAt(touchedAt, idle, now))
        entry = Entry(table, session)
        entry.storedKey = record.key
        entry.isKnown = True
        entry.version = record.version
        entry.parts, entry.principal = dict(state.parts), record.principal
        session._entry = entry
        # What its class makes and the store lacks stays: the class may be newer.
        applying.apply(session, entry.parts, {})
        entry.storedTerms = entry.terms
        return entry

    def remake(self, uid: bytes, state: State, usedAt: float) -> Session:
        """
        Make a session object as it was, but for its parts.

        @param usedAt: When it was last used.
        """
        session: Session = self.table.makeObject(uid)
        session._uid, session._uidRead = uid, False
        session._createdAt = state.createdAt
        session.lastModified = usedAt
        session._phase, session._isNew = STORED, False
        session._signIn = state.signIn
        setLimits(session, state)
        if state.cookieName:
            session._scheme = (state.secure, state.cookieName)
        return session


__all__ = ["Loader"]
