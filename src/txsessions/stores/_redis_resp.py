"""
The bytes that go to and from a Redis server: RESP2 and RESP3.

Owns the packing of commands and the parser of replies: that of hiredis where it is
installed, or else the one here.  Both take any cutting of the stream and give the
same values: bytes, int, float, bool, L{None}, list, dict, L{ReplyError} for an error
and L{Push} for what nobody asked for.  Knows no connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

try:
    import hiredis
except ImportError:  # pragma: no cover - one of the two in each installation
    hiredis = None  # type: ignore[assignment]  # mypy sees a module

MAX_LINE = 1 << 16
"""How long a line of a reply may be, in bytes: only bulk strings are longer."""

MAX_DEPTH = 32
"""How deep the parser here lets replies be nested."""

MAX_ITEMS = 1 << 20
"""How many items one reply may announce to the parser here, and how many bytes
times sixteen a string may."""


class ReplyError(Exception):
    """
    The server answered with an error.
    """


class ProtocolError(Exception):
    """
    What was received is not what a Redis server sends.
    """


class _Incomplete:
    """
    The reply has not arrived as a whole.
    """


INCOMPLETE = _Incomplete()


class IReader(Protocol):
    """
    An incremental parser.
    """

    def feed(self, data: bytes) -> object:
        """
        Take what was received.
        """

    def gets(self) -> Any:
        """
        Give the next whole reply.

        @return: L{INCOMPLETE} if there is none.
        @raise Exception: The stream is broken, and stays so.
        """


def purePack(arguments: Sequence[bytes]) -> bytes:
    """
    Write a command.  Lengths are told, so any bytes may stand in an argument.
    """
    parts = [b"*%d\r\n" % len(arguments)]
    parts += [b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments]
    return b"".join(parts)


class Push(list[Any]):
    """
    Something that the server said unasked.
    """


_INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_BIG = re.compile(rb"-?[0-9]+")
_DOUBLE = re.compile(rb"-?(?:inf|nan|[0-9]+(?:\.[0-9]*)?(?:[eE][-+]?[0-9]+)?)")
_KINDS = b"+-:,#(_$=*%~>"
_OPENED = object()


class _Open:
    """
    A list or a map whose items are arriving.
    """

    __slots__ = ("items", "kind", "size")

    def __init__(self, kind: bytes, size: int) -> None:
        self.kind = kind
        self.size = size
        self.items: list[Any] = []

    def whole(self) -> Any:
        """
        Make the value, now that all items are there.
        """
        if self.kind == b"%":
            try:
                return dict(zip(self.items[::2], self.items[1::2], strict=True))
            except TypeError:
                raise ProtocolError("a map has a key that is a list") from None
        return Push(self.items) if self.kind == b">" else self.items


class PureReader:
    """
    The parser for where there is no hiredis.  It never recurses, and looks at
    no byte of a long string twice.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._have = 0
        self._need = 1
        self._buffer = b""
        self._at = 0
        self._stack: list[_Open] = []

    def feed(self, data: bytes) -> None:
        """
        See L{IReader.feed}.
        """
        self._pieces.append(data)
        self._have += len(data)

    def gets(self) -> Any:
        """
        See L{IReader.gets}.
        """
        if self._have < self._need:
            return INCOMPLETE
        if self._pieces:
            self._buffer = b"".join([self._buffer[self._at :], *self._pieces])
            self._pieces, self._at = [], 0
        stack = self._stack
        while True:
            value = self._next()
            if value is INCOMPLETE:
                return value
            if value is _OPENED:
                continue
            while stack:
                stack[-1].items.append(value)
                if len(stack[-1].items) < stack[-1].size:
                    break
                value = stack.pop().whole()
            else:
                return value

    def _next(self) -> Any:
        """
        Read one value, or the head of a list.
        """
        at, buffer = self._at, self._buffer
        kind = buffer[at : at + 1]
        if kind not in _KINDS:
            raise ProtocolError(f"a reply cannot begin with {kind!r}")
        end = buffer.find(b"\r\n", at)
        if end < 0:
            if len(buffer) - at > MAX_LINE:
                raise ProtocolError("a line of the reply does not end")
            return self._more(len(buffer) - at + 1)
        text = buffer[at + 1 : end]
        if kind in b"$=":
            return self._string(kind, _size(text), end + 2)
        self._taken(end + 2)
        read = _SCALARS.get(kind)
        return read(text) if read else self._open(kind, _size(text))

    def _string(self, kind: bytes, size: int, start: int) -> Any:
        """
        Read a string of known size.
        """
        if size < 0:
            self._taken(start)
            return None
        end = start + size
        if end + 2 > len(self._buffer):
            return self._more(end + 2 - self._at)
        text = self._buffer[start:end]
        if self._buffer[end : end + 2] != b"\r\n":
            raise ProtocolError("a string is longer than it said")
        self._taken(end + 2)
        if kind == b"$":
            return text
        if text[3:4] != b":":
            raise ProtocolError("a verbatim string has no kind")
        return text[4:]

    def _open(self, kind: bytes, size: int) -> Any:
        """
        Begin a list or a map.
        """
        if size < 0:
            return None
        opened = _Open(kind, 2 * size if kind == b"%" else size)
        if not size:
            return opened.whole()
        if len(self._stack) >= MAX_DEPTH or opened.size > MAX_ITEMS:
            raise ProtocolError("a reply is too deep or too large")
        self._stack.append(opened)
        return _OPENED

    def _taken(self, at: int) -> None:
        """
        So far the stream has been read.
        """
        self._have -= at - self._at
        self._at = at
        self._need = 1

    def _more(self, need: int) -> Any:
        """
        Wait until there are so many bytes.
        """
        self._need = need
        return INCOMPLETE


def _integer(text: bytes) -> int:
    """
    Read an integer of 64 bits.
    """
    if _INTEGER.fullmatch(text):
        value = int(text)
        if -(1 << 63) <= value < 1 << 63:
            return value
    raise ProtocolError("a number is no number")


def _size(text: bytes) -> int:
    """
    Read a size, -1 for nothing.
    """
    size = _integer(text)
    if not -1 <= size < MAX_ITEMS << 4:
        raise ProtocolError("a size is out of range")
    return size


def _line(text: bytes) -> bytes:
    """
    Read a simple string.
    """
    if b"\r" in text or b"\n" in text:
        raise ProtocolError("a line ends in the middle")
    return text


def _double(text: bytes) -> float:
    """
    Read a floating point number.
    """
    if not _DOUBLE.fullmatch(text):
        raise ProtocolError("a double is no number")
    return float(text)


def _bool(text: bytes) -> bool:
    """
    Read a truth value.
    """
    if text not in {b"t", b"f"}:
        raise ProtocolError("a truth value is neither")
    return text == b"t"


def _big(text: bytes) -> bytes:
    """
    Read a number of any size, which stays text.
    """
    if not _BIG.fullmatch(text):
        raise ProtocolError("a large number is no number")
    return text


def _null(text: bytes) -> None:
    """
    Read nothing.
    """
    if text:
        raise ProtocolError("nothing is followed by something")


def _error(text: bytes) -> ReplyError:
    """
    Read an error.
    """
    return ReplyError(_line(text).decode("utf-8", "replace"))


_SCALARS: dict[bytes, Callable[[bytes], Any]] = {
    b"+": _line,
    b"-": _error,
    b":": _integer,
    b",": _double,
    b"#": _bool,
    b"(": _big,
    b"_": _null,
}


def _hiredisReader() -> IReader:
    """
    Make hiredis' parser.
    """
    reader: IReader = hiredis.Reader(
        protocolError=ProtocolError, replyError=ReplyError, notEnoughData=INCOMPLETE
    )
    return reader


def _hiredisPack(arguments: Sequence[bytes]) -> bytes:
    """
    Have hiredis write a command.
    """
    packed: bytes = hiredis.pack_command(tuple(arguments))  # type: ignore[arg-type]
    return packed  # the stub speaks of one argument


PUSHES: tuple[type, ...] = (Push,)
"""The types of what nobody asked for."""

makeReader: Callable[[], IReader] = PureReader
"""Makes the faster of the two parsers."""

pack: Callable[[Sequence[bytes]], bytes] = purePack
"""Writes a command, in the faster way."""

if hiredis is not None:  # pragma: no branch
    pack = _hiredisPack
    PUSHES = (Push, hiredis.PushNotification)
    makeReader = _hiredisReader


__all__ = [
    "INCOMPLETE",
    "MAX_DEPTH",
    "MAX_ITEMS",
    "MAX_LINE",
    "PUSHES",
    "IReader",
    "ProtocolError",
    "PureReader",
    "Push",
    "ReplyError",
    "makeReader",
    "pack",
    "purePack",
]
