"""
Bodies that are sent piece by piece: what is changed while they are is saved before
their last byte is let go, and no complete answer stands for an unsaved change.
"""

from __future__ import annotations

import gzip

from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import GzipEncoderFactory

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, Stream, change
from txsessions.errors import StoreUnavailable


class StreamingCase(WebCase):
    """
    A client of a page that streams, with a session that is saved.
    """

    def stream(self, *, headers=(), method="GET", version="HTTP/1.1", wrap=None):
        """
        Begin a response.

        @return: The client and the stream.
        """
        stream = Stream()
        page = Page(stream)
        self.serve(page if wrap is None else wrap(page))
        client = self.client()
        client.send(headers=headers, method=method, version=version)
        return client, stream


class SettledAgainTests(StreamingCase):
    """
    Changes after the first byte.
    """

    def test_chunked(self):
        """
        Chunks go out as they are written; the last chunk waits for what was
        changed meanwhile.
        """
        client, stream = self.stream()
        stream.request.write(b"one ")
        self.assertIn(b"one ", client.wire.value())
        stream.session["more"] = 1
        self.store.hold()
        stream.request.write(b"two")
        self.assertIn(b"two", client.wire.value())
        stream.request.finish()
        self.assertEqual(self.store.names(), ["replace"])
        self.assertFalse(client.wire.value().endswith(b"0\r\n\r\n"))
        self.store.release()
        self.assertEqual(client.answer().body, b"one two")

    def test_unchanged(self):
        """
        Where nothing was changed, nothing waits.
        """
        client, stream = self.stream()
        stream.request.write(b"one")
        self.store.hold()
        stream.request.finish()
        self.assertEqual(client.answer().body, b"one")

    def test_announcedLength(self):
        """
        Of a body whose length was announced it is the last write that waits,
        since the client takes the body for complete then.
        """
        client, stream = self.stream()
        request = stream.request
        request.setHeader(b"Content-Length", b"9")
        request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        request.write(b"two")
        self.assertEqual(self.store.names(), [])
        request.write(b"six")
        self.assertEqual(self.store.names(), ["replace"])
        self.assertTrue(client.wire.value().endswith(b"onetwo"))
        request.finish()
        self.store.release()
        self.assertEqual(client.answer().body, b"onetwosix")

    def test_changedAfterTheLastByte(self):
        """
        What is changed between the last byte and C{finish()} is saved too.
        """
        client, stream = self.stream()
        request = stream.request
        request.setHeader(b"Content-Length", b"6")
        request.write(b"one")
        request.write(b"two")
        stream.session["more"] = 1
        replaced = self.store.calls.count("replace")
        request.finish()
        self.assertEqual(self.store.calls.count("replace"), replaced + 1)
        self.assertEqual(client.answer().body, b"onetwo")

    def test_oddLength(self):
        """
        A length that is no number, or that the body exceeds, is the page's own
        business.
        """
        for length in (b"", b"many", b"2"):
            client, stream = self.stream()
            request = stream.request
            request.setHeader(b"Content-Length", length)
            request.write(b"one")
            stream.session["more"] = 1
            request.write(b"two")
            request.write(b"six")
            request.finish()
            self.assertTrue(client.rest().endswith(b"onetwosix"))
            self.site = None

    def test_http10(self):
        """
        HTTP/1.0 ends the body by closing, which waits.
        """
        client, stream = self.stream(version="HTTP/1.0")
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        stream.request.finish()
        self.assertFalse(client.wire.disconnecting)
        self.store.release()
        self.assertTrue(client.wire.disconnecting)
        self.assertEqual(client.answer().body, b"one")

    def test_head(self):
        """
        HEAD has no body to hold; changes are saved nevertheless.
        """
        client, stream = self.stream(method="HEAD")
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        stream.request.write(b"two")
        stream.request.finish()
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(client.answer().body, b"")

    def test_gzip(self):
        """
        An encoder's last bytes wait as well.
        """
        client, stream = self.stream(
            headers=("Accept-Encoding: gzip",),
            wrap=lambda page: EncodingResourceWrapper(page, [GzipEncoderFactory()]),
        )
        stream.request.setHeader(b"Content-Length", b"6")
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        stream.request.write(b"two")
        stream.request.finish()
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        answer = client.answer()
        self.assertEqual(gzip.decompress(answer.body), b"onetwo")

    def test_heldFromTheStart(self):
        """
        A response that is still held for its first byte waits for both saves.
        """
        stream = Stream()
        self.serve(stream)
        client = self.client()
        self.store.hold()
        client.send()
        stream.request.write(b"one")
        stream.session["more"] = 1
        stream.request.finish()
        self.store.release()
        self.assertTrue(client.silent)
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(client.answer().body, b"one")

    def test_releasedBetween(self):
        """
        A response that is released before it is finished goes on as it is
        written.
        """
        stream = Stream()
        self.serve(stream)
        client = self.client()
        self.store.hold()
        client.send()
        stream.request.write(b"one")
        stream.request.write(b"two")
        self.assertTrue(client.silent)
        self.store.release()
        self.assertIn(b"two", client.wire.value())
        stream.request.write(b"six")
        self.assertIn(b"six", client.wire.value())
        stream.request.finish()
        self.assertEqual(client.answer().body, b"onetwosix")

    def test_expired(self):
        """
        A logout while the body streams holds its end until the record is gone.
        """
        client, stream = self.stream()
        stream.request.write(b"bye")
        self.store.hold()
        stream.session.expire()
        stream.request.finish()
        self.assertFalse(client.wire.value().endswith(b"0\r\n\r\n"))
        self.assertEqual(self.store.names(), ["delete"])
        self.store.release()
        self.assertEqual(client.answer().body, b"bye")
        self.assertEqual(self.stored(), 0)


class AbortTests(StreamingCase):
    """
    A save that fails when bytes are out.
    """

    def setUp(self):
        """
        Begin a response.
        """
        super().setUp()
        self.ends = []

    def begin(self, **how):
        """
        Begin a response and change the session again.
        """
        client, stream = self.stream(**how)
        stream.request.notifyFinish().addBoth(self.ends.append)
        return client, stream

    def checkAborted(self, client):
        """
        The connection was cut, and the page heard of it.
        """
        self.assertTrue(client.wire.aborted)
        self.turn()
        self.assertNotIn(b"HTTP/1.1 503", client.wire.value())
        self.assertEqual(len(self.ends), 1)
        self.ends[0].trap(Exception)

    def test_chunked(self):
        """
        The last chunk is never sent.
        """
        client, stream = self.begin()
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        stream.request.finish()
        self.store.fail(OUTAGE)
        self.checkAborted(client)
        self.assertFalse(client.wire.value().endswith(b"0\r\n\r\n"))

    def test_atOnce(self):
        """
        The same with a store that fails at once.
        """
        client, stream = self.begin()
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.down = OUTAGE
        stream.request.finish()
        stream.request.finish()
        self.checkAborted(client)
        self.assertFalse(client.wire.value().endswith(b"0\r\n\r\n"))
        self.assertRaises(RuntimeError, stream.request.finish)

    def test_announcedLength(self):
        """
        The last byte of an announced length is never sent.
        """
        client, stream = self.begin()
        stream.request.setHeader(b"Content-Length", b"6")
        stream.request.write(b"one")
        stream.session["more"] = 1
        self.store.hold()
        stream.request.write(b"two")
        stream.request.finish()
        self.store.fail(OUTAGE)
        self.checkAborted(client)
        self.assertTrue(client.wire.value().endswith(b"one"))

    def test_tooLarge(self):
        """
        A state that cannot be saved cuts the answer as well.
        """
        client, stream = self.begin()
        stream.request.write(b"one")
        stream.session["more"] = b"x" * 70_000
        stream.request.finish()
        self.checkAborted(client)

    def test_whileStreaming(self):
        """
        An answer that was let go is cut as soon as a save that it waits for has
        failed, not only at its end.
        """
        client, stream = self.begin()
        request = stream.request
        request.write(b"one")
        self.store.down = OUTAGE
        stream.session["more"] = 1
        errors = []
        stream.session.save().addErrback(lambda f: errors.append(f.type))
        self.assertEqual(errors, [StoreUnavailable])
        request.write(b"two")
        request.finish()
        self.checkAborted(client)

    def test_afterTheRelease(self):
        """
        The same for an answer that was held at first.
        """
        stream = Stream()
        self.serve(stream)
        client = self.client()
        self.store.hold()
        client.send()
        stream.request.notifyFinish().addBoth(self.ends.append)
        stream.request.write(b"one")
        self.store.release()
        stream.session["more"] = 1
        stream.request.finish()
        self.store.fail(OUTAGE)
        self.checkAborted(client)

    def test_raisesWithBytesOut(self):
        """
        A page that raises when bytes are out ends as in plain Twisted.
        """

        def page(request):
            change(request)
            request.write(b"partial ")
            return 1 / 0

        self.serve(page)
        client = self.client()
        answer = client.fetch()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(answer.code, 200)
        self.assertTrue(answer.body.startswith(b"partial <html>"))


__all__ = ["StreamingCase"]
