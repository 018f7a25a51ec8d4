"""
The held reply: what a response wrote, kept back until its session is saved.

Owns a stand-in for the channel, which records instead of sending, and the way
back to the real one.  Knows no session.

The reply is held at the channel and not by queueing C{write()} and C{finish()}:
status, headers, chunking, C{HEAD}, 304 and encoders then work by themselves,
because they have all been applied when the bytes get here.  What a resource writes
to C{request.transport} itself, past its response, does not come here: it goes out at
once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from txsessions._sending import sendNow
from txsessions.web.headers import KNOWN, copyOf, headersOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProducer


_FIRST, _EACH = 6, 4
"""How many of the bytes that L{HTTPChannel} sends are the status line's, and how many
each header's; an empty line follows."""


class _Taker:
    """
    A channel, and its transport, as far as L{HTTPChannel.writeHeaders} knows either.
    """

    def __init__(self) -> None:
        self.transport = self
        self.taken: Sequence[bytes] = ()

    def writeSequence(self, pieces: Sequence[bytes]) -> None:
        """
        See C{ITransport.writeSequence}.
        """
        self.taken = pieces


_taker: Any = _Taker()
_USUAL: Any = HTTPChannel.writeHeaders, HTTPChannel.write, HTTPChannel.writeSequence


def _cutsAsKnown() -> bool:
    """
    Whether L{HTTPChannel.writeHeaders} is Twisted's, and sends pieces in which the headers
    are found again.
    """
    if any(getattr(each, "__globals__", None) is not vars(http) for each in _USUAL):
        return False
    try:
        _USUAL[0](_taker, b"v", b"c", b"r", Headers({b"n": [b"1", b"2"]}))
    except Exception:
        return False
    lines = b"v| |c| |r|\r\n|N|: |1|\r\n|N|: |2|\r\n|\r\n"
    return b"|".join(_taker.taken) == lines


_cuts = KNOWN if _cutsAsKnown() else None
"""Of which class headers are that L{HTTPChannel} cuts as is known, if it does."""


def _isUsual(channel: Any) -> bool:
    """
    Whether a channel sends just what Twisted's for HTTP/1 does.
    """
    writeHeaders, write, writeSequence = _USUAL
    try:
        return (
            channel.writeHeaders.__func__ is writeHeaders
            and channel.write.__func__ is write
            and channel.writeSequence.__func__ is writeSequence
        )
    except AttributeError:
        return False


class Recorder(Struct, eq=False):
    """
    What a response wrote.  Each that is held has one, so it is of a kind that is made in
    C.

    @ivar channel: The real one.
    @ivar chunks: What is to be sent.  Where the channel is Twisted's for HTTP/1, that
        begins with the status line and the headers as they were, in as many pieces as
        C{headPieces} says: nothing else has to be made of them.
    @ivar head: For any other channel: version, code, reason and a copy of the headers.
    @ivar closes: Whether the connection is to be closed.
    @ivar producer: Who writes more, whenever it is asked to.
    @ivar isStreaming: Whether it goes on by itself.
    """

    channel: Any
    chunks: list[bytes]
    head: tuple[bytes, bytes, bytes, Headers] | None = None
    headPieces: int = 0
    closes: bool = False
    producer: Any = None
    isStreaming: bool = False

    # What it holds is for the client only.
    __repr__ = object.__repr__

    def headers(self) -> Headers | None:
        """
        The headers that were written, if they were: what is changed in them is sent so.
        """
        count = self.headPieces
        if count:
            version, _, code, _, reason, *_ = head = self.chunks[: count - 1]
            names, values = head[_FIRST::_EACH], head[_FIRST + 2 :: _EACH]
            told = headersOf(zip(names, values, strict=True))
            self.head = version, code, reason, told
            del self.chunks[:count]
            self.headPieces = 0
        return None if self.head is None else self.head[3]

    def takeOver(self, producer: IProducer, streaming: bool) -> None:
        """
        Stop a producer that the real channel has: all of a file would come here.
        """
        self.producer, self.isStreaming = producer, streaming
        if streaming:
            self.producer.pauseProducing()
        self.channel.unregisterProducer()

    def stopProducing(self) -> None:
        """
        The client is gone: nothing is wanted from the producer any more.
        """
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()

    def drop(self) -> None:
        """
        Forget what was recorded.
        """
        self.head = None
        self.chunks = []
        self.headPieces = 0
        self.closes = False

    def replay(self, *, atOnce: bool) -> None:
        """
        Send it all.

        @param atOnce: Whether nothing follows that had better leave with it.
        """
        channel = self.channel
        if self.headPieces and self.producer is None:
            # By far most are so.  A transport looks at each piece that it is given.
            data = b"".join(self.chunks)
            if atOnce:
                sendNow(channel.transport, data)
            else:
                channel.write(data)
        else:
            self._sendAll(channel)
        if self.closes:
            channel.loseConnection()

    def _sendAll(self, channel: Any) -> None:
        """
        Send what takes more than one call.

        The producer comes afterwards, and goes on where it was, unless the
        transport is full: then it waits.  It is paused once and resumed once,
        since there are producers that count.
        """
        producer, self.producer = self.producer, None
        comesFirst = producer is not None and getattr(channel, "producerFirst", False)
        if comesFirst:
            channel.registerProducer(producer, self.isStreaming)
        if self.head is not None:
            channel.writeHeaders(*self.head)
        chunks = self.chunks
        if len(chunks) == 1:
            channel.write(chunks[0])
        elif chunks:
            channel.writeSequence(chunks)
        if producer is not None:
            if not comesFirst:
                channel.registerProducer(producer, self.isStreaming)
            isFull = getattr(channel, "_waitingForTransport", False)
            if isFull and not self.isStreaming:
                channel.pauseProducing()
            elif self.isStreaming and not isFull:
                producer.resumeProducing()


class StandIn(Struct, eq=False, weakref=True):
    """
    Stands in the place of a request's channel.  What is not about writing is the real
    channel's.
    """

    _recorder: Recorder

    __repr__ = object.__repr__

    def __getattr__(self, name: str) -> Any:
        """
        Find what only the real channel has.
        """
        return getattr(self._recorder.channel, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """
        Change the real channel.
        """
        setattr(self._recorder.channel, name, value)

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Any
    ) -> None:
        """
        See C{HTTPChannel.writeHeaders}.
        """
        # A class that has a __getattr__ finds all that it has in the slow way, so this
        # is asked for once.
        recorder = self._recorder
        if type(headers) is _cuts and _isUsual(recorder.channel):
            _USUAL[0](_taker, version, code, reason, headers)
            pieces, _taker.taken = _taker.taken, ()
            recorder.chunks[: recorder.headPieces] = pieces
            recorder.headPieces = len(pieces)
            return
        if not isinstance(headers, Headers):
            headers = Headers(_collect(headers))
        recorder.head = version, code, reason, copyOf(headers)

    def write(self, data: bytes) -> None:
        """
        See C{HTTPChannel.write}.

        @raise TypeError: As the transport would raise.
        """
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        self._recorder.chunks.append(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{HTTPChannel.writeSequence}.

        @raise TypeError: As the transport would raise.
        """
        chunks = list(iovec)
        for data in chunks:
            if not isinstance(data, bytes):
                raise TypeError("Data must be bytes")
        self._recorder.chunks.extend(chunks)

    def loseConnection(self) -> None:
        """
        See C{HTTPChannel.loseConnection}.
        """
        self._recorder.closes = True

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See C{HTTPChannel.registerProducer}.
        """
        recorder = self._recorder
        if recorder.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer "
                f"{recorder.producer} was never unregistered."
            )
        recorder.producer, recorder.isStreaming = producer, streaming
        if streaming:
            recorder.producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        See C{HTTPChannel.unregisterProducer}.
        """
        self._recorder.producer = None


def _collect(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """
    Sort headers that came as pairs.
    """
    collected: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected


__all__ = ["Recorder", "StandIn"]
