"""
A failed save: the held answer becomes a 503, the live object is dropped, and the
next request loads afresh.
"""

from __future__ import annotations

import io

from twisted.internet.error import ConnectionLost
from twisted.web.resource import EncodingResourceWrapper
from twisted.web.server import NOT_DONE_YET, GzipEncoderFactory

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change, count


def decorated(request):
    """
    A page that says much in its headers.
    """
    session = change(request)
    request.setHeader(b"X-Mine", b"mine")
    request.setHeader(b"Content-Type", b"application/json")
    request.setHeader(b"Content-Language", b"de")
    request.setETag(b'"mine"')
    request.setLastModified(1.0)
    request.addCookie("mine", "1")
    request.responseHeaders.addRawHeader(b"Set-Cookie", b"raw=1")
    request.setResponseCode(201)
    return b"count %d" % session["count"]


class FailingCase(WebCase):
    """
    A store that takes its time and then fails.
    """

    def refuse(self, client, *args, **how):
        """
        Send a request whose save fails.

        @return: The answer.
        """
        self.store.hold()
        client.send(*args, **how)
        self.assertTrue(client.silent)
        self.store.fail(OUTAGE)
        self.store.pass_()
        return client.answer()


class UnavailableTests(FailingCase):
    """
    503.
    """

    def test_insert(self):
        """
        Nothing of the application's answer is left; no cookie is set.
        """
        self.serve(decorated)
        client = self.client()
        answer = self.refuse(client)
        self.assertEqual(answer.code, 503)
        for name in ("x-mine", "content-language", "etag", "last-modified", "vary"):
            self.assertIsNone(answer.get(name), name)
        self.assertEqual(answer.get("content-type"), "text/html; charset=utf-8")
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertIn("Twisted", answer.get("server"))
        self.assertIsNotNone(answer.get("date"))
        self.assertEqual(self.stored(), 0)
        self.assertEqual(dict(self.site.sessions), {})
        # The next one starts afresh, on the same connection.
        answer = client.fetch()
        self.assertEqual((answer.code, answer.body), (201, b"count 1"))
        self.assertEqual(len(answer.all("set-cookie")), 3)

    def test_replace(self):
        """
        What was not saved is gone, the cookie still good.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        self.assertEqual(self.refuse(client).code, 503)
        self.assertEqual(client.fetch().body, b"count 2")

    def test_unknownOutcome(self):
        """
        A write of which only the answer was lost is read again, and not made
        twice.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        self.store.hold()
        client.send()
        self.store.fail(OUTAGE, done=True)
        self.store.pass_()
        self.assertEqual(client.answer().code, 503)
        self.assertEqual(client.fetch().body, b"count 3")

    def test_atOnce(self):
        """
        A store that fails at once makes a 503 within C{write()}: what the page
        does afterwards is without effect.
        """
        after = []

        class Producer:
            def stopProducing(self):
                after.append("stopped")

            def pauseProducing(self):
                after.append("paused")

            def resumeProducing(self):
                after.append("resumed")

        def page(request):
            change(request)
            request.write(b"one")
            request.write(b"two")
            request.registerProducer(Producer(), True)
            request.unregisterProducer()
            request.finish()
            request.finish()
            return b"three"

        self.serve(page)
        self.store.down = OUTAGE
        client = self.client()
        self.assertEqual(client.fetch().code, 503)
        self.assertEqual(client.fetch().code, 503)
        self.assertEqual(after, ["stopped"] * 2)
        self.assertEqual(self.flushWarnings(), [])

    def test_bugInTheStore(self):
        """
        An unexpected error of the store is logged and answered as an outage.
        """
        self.serve(count)
        self.store.down = ZeroDivisionError()
        self.assertEqual(self.client().fetch().code, 503)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_head(self):
        """
        HEAD gets the headers only.
        """
        self.serve(count)
        client = self.client()
        answer = self.refuse(client, method="HEAD")
        self.assertEqual((answer.code, answer.body), (503, b""))
        self.assertGreater(int(answer.get("content-length")), 0)
        self.assertEqual(client.fetch().code, 200)

    def test_http10(self):
        """
        HTTP/1.0 gets it and is closed.
        """
        self.serve(count)
        client = self.client()
        self.assertEqual(self.refuse(client, version="HTTP/1.0").code, 503)
        self.assertTrue(client.wire.disconnecting)

    def test_connectionClose(self):
        """
        C{Connection: close} is said as it was.
        """
        self.serve(count)
        answer = self.refuse(self.client(), headers=("Connection: close",))
        self.assertEqual(answer.get("connection"), "close")

    def test_notModified(self):
        """
        A body that a 304 would not have had is sent with the 503.
        """

        def page(request):
            change(request)
            request.setETag(b'"one"')
            return b"body"

        self.serve(page)
        answer = self.refuse(self.client(), headers=('If-None-Match: "one"',))
        self.assertEqual(answer.code, 503)
        self.assertIn(b"Unavailable", answer.body)

    def test_chunkedAnswer(self):
        """
        The chunks of a held answer leave no trace.
        """

        def page(request):
            change(request)
            request.write(b"one")
            request.write(b"two")
            request.finish()
            return NOT_DONE_YET

        self.serve(page)
        answer = self.refuse(self.client())
        self.assertEqual(answer.code, 503)
        self.assertIsNone(answer.get("transfer-encoding"))

    def test_gzip(self):
        """
        The encoder is taken off.
        """
        self.serve(EncodingResourceWrapper(Page(count), [GzipEncoderFactory()]))
        client = self.client()
        answer = self.refuse(client, headers=("Accept-Encoding: gzip",))
        self.assertEqual(answer.code, 503)
        self.assertIsNone(answer.get("content-encoding"))
        self.assertTrue(answer.body.startswith(b"<!DOCTYPE"))
        answer = client.fetch(headers=("Accept-Encoding: gzip",))
        self.assertEqual(answer.get("content-encoding"), "gzip")

    def test_accessLog(self):
        """
        The access log says 503 and its size.
        """
        self.serve(count)
        self.site.logFile = io.StringIO()
        answer = self.refuse(self.client())
        lines = self.site.logFile.getvalue().splitlines()
        self.assertEqual(len(lines), 1)
        self.assertIn(f'" 503 {len(answer.body)} "', lines[0])

    def test_notifyFinish(self):
        """
        A page that waits for the end hears of it, and may finish after it.
        """
        requests, ends = [], []

        def page(request):
            change(request)
            requests.append(request)
            request.notifyFinish().addBoth(ends.append)
            request.write(b"one")
            return NOT_DONE_YET

        self.serve(page)
        self.assertEqual(self.refuse(self.client()).code, 503)
        self.assertEqual(ends, [None])
        requests[0].write(b"two")
        requests[0].finish()

    def test_allWhoWait(self):
        """
        All answers that wait for the write that fails are 503.
        """
        self.serve(count)
        first = self.client()
        first.fetch()
        second = self.client(jar=first.jar)
        self.store.hold()
        first.send()
        second.send()
        self.store.fail(OUTAGE)
        self.store.pass_()
        self.assertEqual(first.answer().code, 503)
        self.assertEqual(second.answer().code, 503)
        self.assertEqual(first.fetch().body, b"count 2")

    def test_unsavedReadersWait(self):
        """
        A page that only reads what another request changed and has not saved
        waits for that, and fails with it.
        """
        self.serve(
            lambda request: (
                b"%d" % request.getSession()["count"]
                if request.args
                else count(request)
            )
        )
        writer = self.client()
        writer.fetch()
        reader = self.client(jar=writer.jar)
        for fails in (False, True):
            self.store.hold()
            writer.send()
            reader.send("/?read=1")
            self.assertTrue(reader.silent)
            self.assertEqual(self.store.names(), ["replace"], "they share one write")
            if fails:
                self.store.fail(OUTAGE)
            self.store.pass_()
            writer.answer()
            answer = reader.answer()
            self.assertEqual(answer.code, 503 if fails else 200)
        self.assertEqual(reader.fetch("/?read=1").body, b"2")


class GoneTests(FailingCase):
    """
    A session that has ended meanwhile: no failure.
    """

    def test_endedElsewhere(self):
        """
        The answer goes out without a cookie; the id is dead; an event tells.
        """
        self.serve(count)
        client = self.client()
        client.fetch()
        self.store.hold()
        client.send()
        key = next(iter(self.store.inner._slots))
        self.successResultOf(self.store.inner.delete(key))
        self.store.pass_()
        answer = client.answer()
        self.assertEqual((answer.code, answer.body), (200, b"count 2"))
        self.assertIsNone(answer.cookie)
        self.assertEqual(self.counted("ended"), 1)
        self.assertEqual(client.fetch().body, b"count 1")

    def test_conflict(self):
        """
        A session that was changed elsewhere meanwhile is merged and written
        again, and only then is the answer let go.
        """
        self.serve(count)
        there = self.serveElsewhere(self.other)
        client = self.client()
        client.fetch()
        self.store.hold()
        client.send()
        self.assertEqual(self.client(site=there, jar=client.jar).fetch().code, 200)
        self.store.release()
        self.assertTrue(client.silent)
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.assertEqual(client.answer().body, b"count 2")
        self.store.pass_()
        client.fetch()
        self.assertEqual(
            self.client(site=there, jar=client.jar).fetch("/?look=1").body, b"3 there"
        )

    def other(self, request):
        """
        A page that changes something else.
        """
        session = request.getSession()
        if request.args:
            return b"%d %s" % (session["count"], session["other"])
        session["other"] = b"there"
        return b"changed"

    def test_clientGone(self):
        """
        A client that has left when the save fails is of no interest.
        """
        self.serve(count)
        client = self.client()
        self.store.hold()
        client.send()
        client.wire.lose()
        self.store.fail(OUTAGE)
        self.assertTrue(client.silent)
        self.assertEqual(self.flushLoggedErrors(ConnectionLost), [])


__all__ = ["FailingCase"]
