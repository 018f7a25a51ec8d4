"""
Tests of L{txsessions.web.reply}: what a recorder sends, and through what.  When it is
asked to is in L{tests.web.test_hold} and L{tests.web.test_producers}.
"""

from __future__ import annotations

from types import FunctionType
from unittest import mock

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from txsessions.web import reply
from txsessions.web.reply import Recorder, StandIn

HEAD = b"HTTP/1.1 200 OK\r\n"


class Counting(StringTransport):
    """
    A transport that counts.

    @ivar calls: How often something was written.
    """

    calls = 0

    def write(self, data):
        """
        See C{ITransport.write}.
        """
        self.calls += 1
        super().write(data)

    def writeSequence(self, data):
        """
        See C{ITransport.writeSequence}.
        """
        self.calls += 1
        super().write(b"".join(data))


class Telling(HTTPChannel):
    """
    A channel that adds a header to each response.
    """

    def writeHeaders(self, version, code, reason, headers):
        """
        See C{HTTPChannel.writeHeaders}.
        """
        headers.addRawHeader(b"Added", b"yes")
        super().writeHeaders(version, code, reason, headers)


class Shouting(HTTPChannel):
    """
    A channel that changes each body.
    """

    def write(self, data):
        """
        See C{HTTPChannel.write}.
        """
        super().write(data.upper())


class Spelling(Headers):
    """
    Headers that are told in another spelling.
    """

    def getAllRawHeaders(self):
        """
        See C{Headers.getAllRawHeaders}.
        """
        for name, values in super().getAllRawHeaders():
            yield name.lower(), values


class RecorderTests(SynchronousTestCase):
    """
    What is recorded, and how it comes out.
    """

    def setUp(self):
        """
        Have a transport.
        """
        self.transport = Counting()

    def recorder(self, kind=HTTPChannel):
        """
        A recorder before a channel of this class.
        """
        channel = kind()
        channel.transport = self.transport
        return Recorder(channel, [])

    def record(self, recorder, headers, *chunks):
        """
        Write a response.
        """
        standIn = StandIn(recorder)
        standIn.writeHeaders(b"HTTP/1.1", b"200", b"OK", headers)
        for chunk in chunks:
            standIn.write(chunk)

    def test_asWritten(self):
        """
        What is sent is what was written, in order and in one call, whatever becomes of
        the headers meanwhile.
        """
        headers = Headers({b"Vary": [b"Cookie"], b"Warning": [b"1", b"2"]})
        recorder = self.recorder()
        self.record(recorder, headers, b"a")
        StandIn(recorder).writeSequence([b"b", b"c"])
        headers.addRawHeader(b"Vary", b"Origin")
        headers.setRawHeaders(b"Late", [b"yes"])
        self.assertEqual(self.transport.value(), b"")
        recorder.replay(atOnce=True)
        self.assertEqual(
            self.transport.value(),
            HEAD + b"Vary: Cookie\r\nWarning: 1\r\nWarning: 2\r\n\r\nabc",
        )
        self.assertEqual(self.transport.calls, 1)

    def test_keepsNothing(self):
        """
        Nothing of a response stays behind once it was sent.
        """
        self.record(self.recorder(), Headers({b"Set-Cookie": [b"secret"]}))
        self.assertEqual(reply._taker.taken, ())

    def test_pairs(self):
        """
        Headers may come as pairs, as Twisted's channel takes them.
        """
        for kind in (HTTPChannel, Telling):
            recorder = self.recorder(kind)
            self.record(recorder, [(b"One", b"1"), (b"Two", b"2")])
            recorder.replay(atOnce=True)
            self.assertIn(HEAD + b"One: 1\r\nTwo: 2\r\n", self.transport.value())
            self.transport.clear()

    def test_ownHeaders(self):
        """
        A channel that writes headers in a way of its own writes them.
        """
        headers = Headers({b"One": [b"1"]})
        recorder = self.recorder(Telling)
        self.record(recorder, headers, b"body")
        recorder.replay(atOnce=True)
        self.assertEqual(
            self.transport.value(), HEAD + b"One: 1\r\nAdded: yes\r\n\r\nbody"
        )
        self.assertEqual(list(headers.getAllRawHeaders()), [(b"One", [b"1"])])

    def test_ownWriting(self):
        """
        A channel that writes in a way of its own writes the body, and not the head.
        """
        recorder = self.recorder(Shouting)
        self.record(recorder, Headers({b"One": [b"one"]}), b"body")
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), HEAD + b"One: one\r\n\r\nBODY")

    def test_otherTwisted(self):
        """
        Where Twisted cuts a head in another way, its channel is left to.
        """
        self.patch(reply, "_cuts", None)
        recorder = self.recorder()
        self.record(recorder, Headers({b"One": [b"1"]}), b"body")
        recorder.headers().setRawHeaders(b"Two", [b"2"])
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), HEAD + b"One: 1\r\nTwo: 2\r\n\r\nbody")
        self.assertEqual(self.transport.calls, 2)

    def test_changed(self):
        """
        Headers can be changed until they are sent, and keep their spelling.
        """
        for kind in (HTTPChannel, Telling):
            for headers, spelt in (
                (Headers, b"WWW-Authenticate"),
                (Spelling, b"www-authenticate"),
            ):
                recorder = self.recorder(kind)
                names = {b"www-authenticate": [b"Basic"], b"set-cookie": [b"a", b"b"]}
                self.record(recorder, headers(names), b"body")
                found = recorder.headers()
                self.assertEqual(found.getRawHeaders(b"set-cookie"), [b"a", b"b"])
                found.setRawHeaders(b"Set-Cookie", [b"c"])
                self.assertIs(recorder.headers(), found)
                recorder.replay(atOnce=True)
                lines = self.transport.value().split(b"\r\n")
                self.assertIn(spelt + b": Basic", lines)
                self.assertIn(b"set-cookie: c", [line.lower() for line in lines])
                self.assertEqual(lines[0] + b"\r\n", HEAD)
                self.assertEqual(lines[-2:], [b"", b"body"])
                self.transport.clear()

    def test_patched(self):
        """
        What a program puts before a channel's own methods is called, be it on the
        channel, its class, or Twisted's, and whenever.
        """
        named = Headers({b"One": [b"1"]})
        for name in ("writeHeaders", "write"):
            recorder = self.recorder()
            channel = recorder.channel
            for where in (channel, type(channel), HTTPChannel):
                recorder = self.recorder(type(channel))
                recorder.channel = channel
                with mock.patch.object(
                    where, name, side_effect=getattr(channel, name)
                ) as called:
                    self.record(recorder, named, b"body")
                    recorder.replay(atOnce=True)
                self.assertEqual(called.call_count, 1)
                sent = HEAD + b"One: 1\r\n\r\nbody"
                self.assertEqual(self.transport.value(), sent)
                self.transport.clear()
            recorder = self.recorder(type(channel))
            self.record(recorder, named, b"body")
            recorder.replay(atOnce=True)
            self.assertEqual(self.transport.value(), sent)
            self.transport.clear()

    def test_replacedBefore(self):
        """
        So is what has taken the place of Twisted's method before we come, or what a
        later Twisted may have there.
        """

        def wants(channel, version, code, reason, headers):
            channel.factory()

        for other in (wants, Telling.writeHeaders, mock.Mock()):
            self.patch(reply, "_USUAL", (other, HTTPChannel.write, HTTPChannel.write))
            self.assertFalse(reply._cutsAsKnown())
        real = HTTPChannel.writeHeaders
        for other in (wants, lambda *args: real(*args[:3], b"other", args[4])):
            moved = FunctionType(other.__code__, vars(http), closure=other.__closure__)
            self.patch(reply, "_USUAL", (moved, HTTPChannel.write, HTTPChannel.write))
            self.assertFalse(reply._cutsAsKnown())

    def test_strangeName(self):
        """
        A header that got into the table past Twisted's checks goes out as it does there,
        also where another one is changed.
        """
        headers = Headers({b"One": [b"1"]})
        headers._rawHeaders[b"X y"] = [b"z"]
        recorder = self.recorder()
        self.record(recorder, headers)
        recorder.headers().setRawHeaders(b"One", [b"2"])
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), HEAD + b"One: 2\r\nX y: z\r\n\r\n")

    def test_none(self):
        """
        A response without a head has no headers.
        """
        recorder = self.recorder()
        StandIn(recorder).write(b"raw")
        self.assertIsNone(recorder.headers())
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), b"raw")

    def test_bodyFirst(self):
        """
        The head comes first, and the last one counts, as a channel has one response.
        """
        recorder = self.recorder()
        StandIn(recorder).write(b"body")
        self.record(recorder, Headers({b"One": [b"1"], b"Two": [b"2"]}))
        self.record(recorder, Headers({b"Three": [b"3"]}))
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), HEAD + b"Three: 3\r\n\r\nbody")

    def test_dropped(self):
        """
        What was dropped is not sent.
        """
        recorder = self.recorder()
        self.record(recorder, Headers({b"One": [b"1"]}), b"one")
        StandIn(recorder).loseConnection()
        recorder.drop()
        self.record(recorder, Headers({b"Two": [b"2"]}), b"two")
        recorder.replay(atOnce=True)
        self.assertEqual(self.transport.value(), HEAD + b"Two: 2\r\n\r\ntwo")
        self.assertFalse(self.transport.disconnecting)
