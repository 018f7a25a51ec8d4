"""
One connection to a Redis server.

Owns the order of commands and replies.  Whatever is sent in one turn of the reactor
leaves together at its end, for a write costs much more than the rest; where that is
much, some goes ahead, so that the server is at work meanwhile.  One timer watches over
the oldest command; where it is late the connection is dropped with all that is under
way, so that a late reply can never be taken for that of another command.  A command
whose caller has cancelled it keeps its place.  What is made of a reply is made before
whoever waits is told.  Knows no command and no session.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from txsessions._sending import sendNow
from txsessions.core.telling import Told
from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_errors import adviceOn
from txsessions.stores._redis_resp import (
    INCOMPLETE,
    PUSHES,
    IReader,
    ProtocolError,
    ReplyError,
    pack,
)
from txsessions.stores._telling import deferredOf

MAX_REPLY = 32 << 20
"""How large one reply may be, in bytes."""

MAX_PENDING = 64 << 20
"""How large all commands under way may be, in bytes."""

TOGETHER = 8
"""How many commands leave together, at most."""

NO_REPLY = object()
"""What no server says."""


@frozen(kw_only=True)
class Reading:
    """
    What is made of a reply, an error too.

    @ivar usual: The one that most commands of this kind get.
    @ivar meaning: What the caller gets for it.
    @ivar read: Is called with any other, with whom it tells now or later, and with
        what was handed over with the command.
    """

    usual: object = NO_REPLY
    meaning: object = None
    read: Callable[..., object]


def _tell(reply: Any, told: Told) -> None:
    """
    Hand out a reply as it is.
    """
    if isinstance(reply, ReplyError):
        told.errback(reply)
    else:
        told.callback(reply)


_PLAIN = Reading(read=_tell)

_UnderWay = tuple[Told, float, int, Reading, tuple[Any, ...]]
"""A command: whom to tell, when it is late, its size, what is made of its reply, and
what for."""


class Connection(Protocol):
    """
    Sends commands and hands out replies.

    @ivar reason: Why the connection is of no use any more, or the empty string.
    @ivar hint: What may be wrong if the server never says a word.
    """

    def __init__(
        self,
        reactor: Any,
        where: str,
        deadline: float,
        maxQueue: int,
        makeReader: Callable[[], IReader],
        explain: Callable[[Failure], str] = lambda failure: "",
    ) -> None:
        """
        @param where: The server, for messages.
        @param deadline: In how many seconds each reply has to be there, as a
            whole.
        @param maxQueue: How many commands may be under way.
        @param explain: Tells, as far as it can, why a connection was lost.
        """
        self._explain = explain
        self.reason = ""
        self.hint = ""
        self._seconds = reactor.seconds
        self._callLater = reactor.callLater
        self._where = where
        self._deadline = deadline
        self._room = maxQueue
        reader = makeReader()
        self._feed = reader.feed
        self._gets = reader.gets
        self._waiting: deque[_UnderWay] = deque()
        # What is to leave in this turn, and whether there were several in the last.
        self._turn: list[bytes] = []
        self._isBusy = False
        self._leaving: IDelayedCall | None = None
        self._due = 0.0
        self._pending = 0
        self._received = 0
        self._timer: IDelayedCall | None = None
        self._lost: Deferred[None] = Deferred()
        self._drained: Deferred[None] | None = None

    def connectionMade(self) -> None:
        """
        Have a command sent at once, also while the reply to another is awaited, and
        an idle connection watched by the system.
        """
        transport = self.transport
        if not ITCPTransport.providedBy(transport):
            return
        if not isinstance(transport.getPeer(), UNIXAddress):  # older Twisted's lie
            transport.setTcpNoDelay(True)
            transport.setTcpKeepAlive(True)

    def call(self, *arguments: bytes) -> Deferred[Any]:
        """
        Send a command at once, with all that is to leave before it.

        @return: Its reply; fails with C{ReplyError} if that is an error, or with
            C{StoreUnavailable}, and then whether it was done is unknown.
        """
        called = self.send(pack(arguments))
        if self._turn:
            self._leave()
        return called

    def send(
        self,
        command: bytes,
        reading: Reading = _PLAIN,
        about: tuple[Any, ...] = (),
    ) -> Deferred[Any]:
        """
        Send a command that was packed before, at the end of this turn: see L{call}
        and L{tell}.
        """
        return deferredOf(self.tell, command, reading, about)

    def tell(
        self,
        told: Told,
        command: bytes,
        reading: Reading = _PLAIN,
        about: tuple[Any, ...] = (),
    ) -> None:
        """
        Do what L{send} does, for somebody who wants no Deferred.

        @param reading: What is made of the reply, if the command is not cancelled
            until then.
        @param about: For that.
        """
        waiting, turn, size = self._waiting, self._turn, len(command)
        pending = self._pending + size
        if len(waiting) >= self._room or pending > MAX_PENDING:
            told.errback(self._full())
            return
        if self._leaving is None:
            self._begin()
        waiting.append((told, self._due, size, reading, about))
        self._pending = pending
        turn.append(command)
        if self._leaving is None or len(turn) >= TOGETHER:
            self._send()

    def _begin(self) -> None:
        """
        There is the first command of a turn, whose deadline is that of all that follow.
        """
        self._due = self._seconds() + self._deadline
        if self._timer is None:
            self._timer = self._callLater(self._deadline, self._look)
        # Else it may well stay alone, and a timer costs more than a write.
        if self._waiting or self._isBusy:
            # Reactors call this before they wait for anything.
            self._leaving = self._callLater(0, self._leave)

    def _leave(self) -> None:
        """
        The turn is over: send its commands, or what is left of them.
        """
        self._stopLeaving()
        self._isBusy = len(self._turn) != 1
        if self._turn:
            self._send()

    def _send(self) -> None:
        """
        Send the commands that there are.
        """
        turn = self._turn
        data = b"".join(turn)
        turn.clear()
        sendNow(self.transport, data)

    def _stopLeaving(self) -> None:
        """
        Nothing is to be written at the end of this turn.
        """
        leaving, self._leaving = self._leaving, None
        if leaving is not None and leaving.active():
            leaving.cancel()

    def dataReceived(self, data: bytes) -> None:
        """
        Hand out the replies that are whole.
        """
        if self.reason:
            return
        self._received += len(data)
        self.hint = ""
        gets, waiting = self._gets, self._waiting
        try:
            self._feed(data)
            while (reply := gets()) is not INCOMPLETE:
                self._received = 0
                kind = type(reply)
                if kind is not int and kind in PUSHES:
                    continue
                if not waiting:
                    self.drop(f"said something unasked{self._saying(reply)}")
                    return
                told, _, size, reading, about = waiting.popleft()
                self._pending -= size
                if told.called:
                    pass  # cancelled
                elif reply == reading.usual:
                    told.callback(reading.meaning)
                else:
                    try:
                        reading.read(reply, told, *about)
                    except Exception:
                        told.errback(Failure())
        except (ProtocolError, TypeError, ValueError, MemoryError):
            self.drop(
                "does not speak Redis' protocol: is that its port, and does it want "
                "TLS (rediss://)?"
            )
            return
        if self._received > MAX_REPLY:
            self.drop(f"sends a reply of over {MAX_REPLY} bytes")
        elif not waiting and self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """
        The connection is gone, by whosever doing.
        """
        self._end(self._explain(reason) or "closed the connection")
        self._lost.callback(None)

    def drop(self, reason: str) -> None:
        """
        Give the connection up at once; all that is under way fails.

        @param reason: What the server does or did.
        """
        if not self.reason:
            self._end(reason)
            self.transport.abortConnection()  # type: ignore[union-attr]

    def drain(self) -> Deferred[None]:
        """
        Wait until nothing is under way, which takes no longer than the deadline.
        """
        drained: Deferred[None] = Deferred()
        if self._waiting:
            self._drained = drained
        else:
            drained.callback(None)
        return drained

    def whenLost(self, callable: Callable[[], object]) -> None:  # noqa: A002
        """
        Have this called when the connection is gone, at once if it is.
        """
        _ = self._lost.addCallback(lambda _: callable() and None)

    def _look(self) -> None:
        """
        Look whether the oldest command is late.
        """
        self._timer = None
        if self._waiting:
            left = self._waiting[0][1] - self._seconds()
            if left <= 0:
                self.drop(f"has not answered for {self._deadline:g} s{self.hint}")
            else:
                self._timer = self._callLater(left, self._look)

    def _end(self, reason: str) -> None:
        """
        Fail what is under way.
        """
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._stopLeaving()
        self._turn.clear()
        if self.reason:
            return
        # There is no room for another, so that none waits when the next reply comes.
        self.reason, self._room = reason, 0
        waiting = list(self._waiting)
        self._waiting.clear()
        self._pending = 0
        for told, *_ in waiting:
            told.errback(self._unavailable(reason))
        if self._drained is not None:
            drained, self._drained = self._drained, None
            drained.callback(None)

    def _saying(self, reply: object) -> str:
        """
        Tell of an error that came unasked, such as that there are too many
        clients.
        """
        return f": {adviceOn(reply)}" if isinstance(reply, ReplyError) else ""

    def _full(self) -> StoreUnavailable:
        """
        Say why no command is taken.
        """
        return self._unavailable(
            self.reason or f"has {len(self._waiting)} calls under way and takes no more"
        )

    def _unavailable(self, reason: str) -> StoreUnavailable:
        """
        Make the error of a call that failed.
        """
        return StoreUnavailable(f"the session store {self._where} {reason}")


__all__ = ["MAX_PENDING", "MAX_REPLY", "NO_REPLY", "Connection", "Reading"]
