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

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.web.http_headers import Headers

from txsessions.web.headers import copyOf

if TYPE_CHECKING:
    from twisted.internet.interfaces import IProducer


class Recorder:
    """
    Stands in the place of a request's channel.

    @ivar channel: The real one.
    @ivar head: The status line and headers, if they were written here: version,
        code, reason and a copy of the headers.
    """

    head: tuple[bytes, bytes, bytes, Headers] | None = None
    _closes = False
    _producer: Any = None
    _streaming = False

    def __init__(self, channel: Any) -> None:
        self.channel = channel
        self._chunks: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        """
        Everything else is the real channel's.
        """
        return getattr(self.channel, name)

    def writeHeaders(
        self, version: bytes, code: bytes, reason: bytes, headers: Any
    ) -> None:
        """
        See C{HTTPChannel.writeHeaders}.
        """
        if not isinstance(headers, Headers):
            headers = Headers(_collect(headers))
        self.head = version, code, reason, copyOf(headers)

    def write(self, data: bytes) -> None:
        """
        See C{HTTPChannel.write}.

        @raise TypeError: As the transport would raise.
        """
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        self._chunks.append(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """
        See C{HTTPChannel.writeSequence}.

        @raise TypeError: As the transport would raise.
        """
        chunks = list(iovec)
        for data in chunks:
            if not isinstance(data, bytes):
                raise TypeError("Data must be bytes")
        self._chunks += chunks

    def loseConnection(self) -> None:
        """
        See C{HTTPChannel.loseConnection}.
        """
        self._closes = True

    # -- producers

    def takeOver(self, producer: IProducer, streaming: bool) -> None:
        """
        Stop a producer that the real channel has: all of a file would come here.
        """
        self._producer, self._streaming = producer, streaming
        if streaming:
            self._producer.pauseProducing()
        self.channel.unregisterProducer()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """
        See C{HTTPChannel.registerProducer}.
        """
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer "
                f"{self._producer} was never unregistered."
            )
        self._producer, self._streaming = producer, streaming
        if streaming:
            self._producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """
        See C{HTTPChannel.unregisterProducer}.
        """
        self._producer = None

    def stopProducing(self) -> None:
        """
        The client is gone: nothing is wanted from the producer any more.
        """
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()

    # -- the way back

    def drop(self) -> None:
        """
        Forget what was recorded.
        """
        self.head = None
        self._chunks = []
        self._closes = False

    def replay(self) -> None:
        """
        Send it all.

        The producer comes afterwards, and goes on where it was, unless the
        transport is full: then it waits.  It is paused once and resumed once,
        since there are producers that count.
        """
        channel = self.channel
        producer, self._producer = self._producer, None
        comesFirst = producer is not None and getattr(channel, "producerFirst", False)
        if comesFirst:
            channel.registerProducer(producer, self._streaming)
        if self.head is not None:
            channel.writeHeaders(*self.head)
        chunks = self._chunks
        if len(chunks) == 1:
            channel.write(chunks[0])
        elif chunks:
            channel.writeSequence(chunks)
        if producer is not None:
            if not comesFirst:
                channel.registerProducer(producer, self._streaming)
            isFull = getattr(channel, "_waitingForTransport", False)
            if isFull and not self._streaming:
                channel.pauseProducing()
            elif self._streaming and not isFull:
                producer.resumeProducing()
        if self._closes:
            channel.loseConnection()


def _collect(pairs: Iterable[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """
    Sort headers that came as pairs.
    """
    collected: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        collected.setdefault(name, []).append(value)
    return collected


__all__ = ["Recorder"]
