"""
The bytes that go to and from a Redis server: both parsers, which must agree.
"""

from __future__ import annotations

import itertools

import hiredis
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.stores._redis_resp import (
    INCOMPLETE,
    MAX_DEPTH,
    MAX_LINE,
    PUSHES,
    ProtocolError,
    PureReader,
    ReplyError,
    makeReader,
    pack,
    purePack,
)

LINES = st.text(st.characters(min_codepoint=32, max_codepoint=126)).map(str.encode)
SCALARS = st.one_of(
    st.binary().map(lambda b: b"$%d\r\n%b\r\n" % (len(b), b)),
    st.binary().map(lambda b: b"=%d\r\ntxt:%b\r\n" % (len(b) + 4, b)),
    LINES.map(lambda b: b"+%b\r\n" % b),
    LINES.map(lambda b: b"-ERR %b\r\n" % b),
    st.integers(-(2**63), 2**63 - 1).map(lambda n: b":%d\r\n" % n),
    st.integers().map(lambda n: b"(%d\r\n" % n),
    st.floats(allow_nan=False).map(lambda f: b",%b\r\n" % repr(f).encode()),
    st.sampled_from([b"_\r\n", b"#t\r\n", b"#f\r\n", b"$-1\r\n", b"*-1\r\n"]),
)
KEYS = st.binary().map(lambda b: b"$%d\r\n%b\r\n" % (len(b), b))


def lists(inner):
    """
    Lists, sets, pushes and maps of replies.
    """
    items = st.lists(inner, max_size=4)
    several = st.tuples(st.sampled_from(b"*~>"), items).map(
        lambda pair: b"%c%d\r\n%b" % (pair[0], len(pair[1]), b"".join(pair[1]))
    )
    maps = st.lists(
        st.tuples(KEYS, inner), max_size=3, unique_by=lambda pair: pair[0]
    ).map(lambda m: b"%%%d\r\n%b" % (len(m), b"".join(k + v for k, v in m)))
    return several | maps


REPLIES = st.recursive(SCALARS, lists, max_leaves=12)


def cut(stream, places):
    """
    Cut a stream to pieces.
    """
    bounds = sorted({0, len(stream), *(place % (len(stream) + 1) for place in places)})
    return [stream[a:b] for a, b in itertools.pairwise(bounds)]


def read(reader, pieces):
    """
    Read all replies, and say why it ended if it did.
    """
    found = []
    for piece in pieces:
        reader.feed(piece)
        while (reply := reader.gets()) is not INCOMPLETE:
            found.append(reply)
    return found


def plain(value):
    """
    A reply that can be compared: errors by their text, pushes as such.
    """
    if isinstance(value, ReplyError):
        return ("error", str(value))
    if type(value) in PUSHES:
        return ("push", [plain(item) for item in value])
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return (type(value), value)


class AgreementTests(SynchronousTestCase):
    """
    hiredis and the parser of our own.
    """

    @settings(deadline=None)
    @given(st.lists(REPLIES, max_size=6), st.lists(st.integers(0, 10**6)))
    def test_anyStream(self, replies, places):
        """
        However a stream is cut, both give the same, and every reply.
        """
        stream = b"".join(replies)
        pure = read(PureReader(), cut(stream, places))
        other = read(makeReader(), cut(stream, places))
        self.assertEqual([plain(r) for r in pure], [plain(r) for r in other])
        self.assertEqual(len(pure), len(replies))

    def test_byteByByte(self):
        """
        The same where each byte comes alone.
        """
        stream = b"*3\r\n$5\r\na\r\nbc\r\n%1\r\n+k\r\n_\r\n-ERR no\r\n:5\r\n"
        bytewise = [stream[i : i + 1] for i in range(len(stream))]
        for reader in (PureReader(), makeReader()):
            array, five = read(reader, bytewise)
            self.assertEqual(array[:2], [b"a\r\nbc", {b"k": None}])
            self.assertIsInstance(array[2], ReplyError)
            self.assertEqual(five, 5)

    def test_broken(self):
        """
        What no server sends ends the stream, with either.
        """
        for stream in (
            b"x\r\n",
            b"\r\n",
            b":\r\n",
            b":+5\r\n",
            b":007\r\n",
            b":99999999999999999999\r\n",
            b"$-2\r\n",
            b"$x\r\n",
            b"*-2\r\n",
            b"*99999999999\r\n",
            b"_x\r\n",
            b"#x\r\n",
            b",x\r\n",
            b"(x\r\n",
            b"=2\r\nab\r\n",
            b"+a\rb\r\n",
            b"+a\nb\r\n",
            b"!5\r\nERR x\r\n",
            b"%1\r\n*0\r\n:1\r\n",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b"\x15\x03\x03\x00\x02\x02\x28\r\n",
        ):
            for reader in (PureReader(), makeReader()):
                with self.assertRaises((ProtocolError, TypeError), msg=stream):
                    read(reader, [stream])

    def test_fasterOneIsTaken(self):
        """
        Where hiredis is installed, it is used.
        """
        self.assertIsInstance(makeReader(), hiredis.Reader)


class BoundTests(SynchronousTestCase):
    """
    What the parser of our own refuses to hold.
    """

    def test_longLine(self):
        """
        A line without an end.
        """
        reader = PureReader()
        reader.feed(b"+" + b"x" * (MAX_LINE + 9))
        self.assertRaises(ProtocolError, reader.gets)

    def test_claims(self):
        """
        A size that nothing has.
        """
        for stream in (b"$536870912\r\n", b"*1048577\r\n", b"%600000\r\n"):
            reader = PureReader()
            reader.feed(stream)
            self.assertRaises(ProtocolError, reader.gets)

    def test_depth(self):
        """
        Lists in lists, without an end: refused, and no recursion.
        """
        reader = PureReader()
        reader.feed(b"*1\r\n" * MAX_DEPTH + b":1\r\n")
        self.assertIsInstance(reader.gets(), list)
        reader = PureReader()
        reader.feed(b"*1\r\n" * 100_000)
        self.assertRaises(ProtocolError, reader.gets)

    def test_longStringInSmallPieces(self):
        """
        A long string is put together once, however many pieces it comes in.
        """
        reader = PureReader()
        reader.feed(b"$1000000\r\n")
        self.assertIs(reader.gets(), INCOMPLETE)
        for _ in range(1000):
            reader.feed(b"x" * 1000)
            self.assertIs(reader.gets(), INCOMPLETE)
        self.assertGreater(len(reader._pieces), 900)
        reader.feed(b"\r\n")
        self.assertEqual(reader.gets(), b"x" * 1_000_000)


class PackTests(SynchronousTestCase):
    """
    L{pack}.
    """

    @settings(deadline=None)
    @given(st.lists(st.binary(), min_size=1))
    def test_anyBytes(self, arguments):
        """
        A command is a list of strings, whatever is in them.
        """
        self.assertEqual(read(PureReader(), [pack(arguments)]), [arguments])
        self.assertEqual(purePack(arguments), pack(arguments))
