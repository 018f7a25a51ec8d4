"""
Bodies that come from producers: they are stopped while the reply is held, and go
on where they were.
"""

from __future__ import annotations

from twisted.python.filepath import FilePath
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import File

from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, Page, change

CONTENT = bytes(range(256)) * 1024
"""256 kB: four times what one pull of a file takes."""


class Watched(File):
    """
    A file whose reading is watched, on a page that changes the session.
    """

    type = "application/octet-stream"
    encoding = None
    made = None

    def __init__(self, path, when=change):
        File.__init__(self, path)
        self.when = when
        self.stopped = 0

    def render_GET(self, request):
        """
        See L{File.render_GET}.
        """
        self.when(request)
        return File.render_GET(self, request)

    def makeProducer(self, request, fileForReading):
        """
        See L{File.makeProducer}.
        """
        producer = self.made = File.makeProducer(self, request, fileForReading)
        self.opened = fileForReading
        stop = producer.stopProducing

        def stopProducing():
            self.stopped += 1
            stop()

        producer.stopProducing = stopProducing
        return producer


class FileTests(WebCase):
    """
    C{static.File}, a pull producer.
    """

    def setUp(self):
        """
        Write a file.
        """
        super().setUp()
        path = FilePath(self.mktemp())
        path.setContent(CONTENT)
        self.file = Watched(path.path)

        class Root(Page):
            def __init__(self, file):
                Page.__init__(self, file.render)

        self.serve(Root(self.file))

    def test_unheld(self):
        """
        Nothing to wait for: the file comes as it does in plain Twisted.
        """
        client = self.client()
        client.send()
        self.turn(10)
        answer = client.answer()
        self.assertEqual((answer.code, answer.body), (200, CONTENT))
        self.assertTrue(self.opened.closed)

    def test_held(self):
        """
        While the reply is held the file is not read; afterwards all of it
        comes.
        """
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(10)
        self.assertTrue(client.silent)
        self.assertLessEqual(self.opened.tell(), len(CONTENT) // 4)
        self.store.release()
        self.turn(10)
        answer = client.answer()
        self.assertEqual((answer.code, answer.body), (200, CONTENT))
        self.assertTrue(answer.sets)
        self.assertTrue(self.opened.closed)
        self.assertEqual(self.stopped(), 1)
        # The connection is in step.
        client.send()
        self.turn(10)
        self.store.release()
        self.turn(10)
        self.assertEqual(client.answer().body, CONTENT)

    def stopped(self):
        """
        How often the producer was stopped.
        """
        return self.file.stopped

    @property
    def opened(self):
        """
        The file that is being read.
        """
        return self.file.opened

    def test_transportWaits(self):
        """
        A client that reads slowly holds the file back, also after the release.
        """
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(3)
        client.pause()
        self.store.release()
        self.turn(10)
        self.assertLess(len(client.wire.value()), len(CONTENT) // 2)
        client.resume()
        self.turn(10)
        self.assertEqual(client.answer().body, CONTENT)

    def test_transportFillsUp(self):
        """
        The flush of what was held may fill the transport, which pauses the
        producer that has just been registered.
        """
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(3)
        write = client.wire.write

        def writeAndPause(data):
            write(data)
            if len(data) > 1000:
                client.pause()

        client.wire.write = writeAndPause
        self.store.release()
        for _ in range(10):
            self.turn(3)
            client.resume()
        self.turn(3)
        self.assertEqual(client.answer().body, CONTENT)

    def test_changedMeanwhile(self):
        """
        A change while the file is sent holds its last piece.
        """
        sessions = []
        self.file.when = lambda request: sessions.append(change(request))
        client = self.client()
        client.send()
        self.turn(2)
        sessions[0]["more"] = 1
        self.store.hold()
        self.turn(10)
        sent = len(client.wire.value())
        self.assertLess(sent, len(CONTENT))
        self.assertEqual(self.store.names(), ["replace"])
        self.store.release()
        self.turn(10)
        self.assertEqual(client.answer().body, CONTENT)

    def test_ranges(self):
        """
        One range, several, and one that cannot be had.
        """
        for header, code in (
            ("bytes=1000-199999", 206),
            ("bytes=0-9,100000-239999", 206),
            ("bytes=999999-", 416),
        ):
            client = self.client()
            self.store.hold()
            client.send(headers=(f"Range: {header}",))
            self.turn(10)
            self.assertTrue(client.silent)
            self.store.release()
            self.turn(10)
            answer = client.answer()
            self.assertEqual(answer.code, code)
            self.assertTrue(answer.sets)
            if header == "bytes=1000-199999":
                self.assertEqual(answer.body, CONTENT[1000:200_000])
            elif code == 206:
                self.assertIn(CONTENT[100_000:240_000], answer.body)

    def test_rangesFail(self):
        """
        The producers of ranges survive that the save fails at any moment.
        """
        for header in ("bytes=1000-199999", "bytes=0-9,100000-239999", "bytes=1-9"):
            for atOnce in (True, False):
                client = self.client()
                if atOnce:
                    self.store.down = OUTAGE
                else:
                    self.store.hold()
                client.send(headers=(f"Range: {header}",))
                self.turn(5)
                if not atOnce:
                    self.store.fail(OUTAGE)
                self.store.down = None
                self.store.pass_()
                self.turn(5)
                self.assertEqual(client.answer().code, 503)
                self.assertTrue(self.opened.closed)

    def test_failing(self):
        """
        A failed save stops the producer, once, and closes the file.
        """
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(10)
        self.store.fail(OUTAGE)
        self.turn(10)
        self.assertEqual(client.answer().code, 503)
        self.assertTrue(self.opened.closed)
        self.assertEqual(self.stopped(), 1)

    def test_failingAtOnce(self):
        """
        So does one that fails within the producer's own first write.
        """
        client = self.client()
        self.store.down = OUTAGE
        client.send()
        self.turn(10)
        self.assertEqual(client.answer().code, 503)
        self.assertTrue(self.opened.closed)
        self.assertEqual(self.stopped(), 1)

    def test_failingAtTheEnd(self):
        """
        One that fails when most of the file is out cuts the connection.
        """
        for atOnce in (True, False):
            sessions = []
            self.file.when = lambda request, found=sessions: found.append(
                change(request)
            )
            client = self.client()
            client.send()
            self.turn(2)
            sessions[0]["more"] = 1
            if atOnce:
                self.store.down = OUTAGE
            else:
                self.store.hold()
            self.turn(10)
            if not atOnce:
                self.store.fail(OUTAGE)
            self.turn(3)
            self.assertTrue(client.wire.aborted)
            self.assertLess(len(client.wire.value()), len(CONTENT))
            self.assertTrue(self.opened.closed)
            self.store.down = None
            self.store.pass_()

    def test_clientLeavesWhileHeld(self):
        """
        A client that leaves while the reply is held stops the producer; nothing
        is sent or finished, and the save goes on.
        """
        client = self.client()
        self.store.hold()
        client.send()
        self.turn(10)
        client.leave()
        self.assertEqual(self.stopped(), 1)
        self.assertTrue(self.opened.closed)
        self.store.release()
        self.turn(10)
        self.assertTrue(client.silent)
        self.assertEqual(self.stored(), 1)

    def test_clientLeavesWhileLoading(self):
        """
        One that leaves while its session is being loaded stops the producer
        when the page has been rendered.
        """
        client = self.client()
        client.send()
        self.turn(10)
        client.answer()
        self.store.sharedWithOthers = True
        self.store.hold("load")
        client.send()
        client.leave()
        self.file.stopped = 0
        self.store.release()
        self.assertEqual(self.stopped(), 1)
        self.assertTrue(self.opened.closed)
        self.turn(10)


class Push:
    """
    A push producer.
    """

    def __init__(self, request):
        self.request = request
        self.log = []

    def resumeProducing(self):
        """
        See C{IPushProducer}.
        """
        self.log.append("resume")

    def pauseProducing(self):
        """
        See C{IPushProducer}.
        """
        self.log.append("pause")

    def stopProducing(self):
        """
        See C{IProducer}.
        """
        self.log.append("stop")

    def end(self):
        """
        Finish the response.
        """
        self.request.unregisterProducer()
        self.request.finish()


class PushTests(WebCase):
    """
    Push producers.
    """

    def begin(self, *, early):
        """
        Hold a reply with a push producer.

        @param early: Whether it is registered before the first byte.
        """
        made = []

        def page(request):
            change(request)
            producer = Push(request)
            made.append(producer)
            if early:
                request.registerProducer(producer, True)
                request.write(b"one")
            else:
                request.write(b"one")
                request.registerProducer(producer, True)
            return NOT_DONE_YET

        if self.site is None:
            self.serve(page)
        else:
            self.site.resource = Page(page)
        client = self.client()
        self.store.hold()
        client.send()
        self.assertTrue(client.silent)
        return client, made[0]

    def test_held(self):
        """
        It is paused at the hold, and resumed when all that was held is out.
        """
        for early in (True, False):
            client, producer = self.begin(early=early)
            self.assertEqual(producer.log, ["pause"])
            out = []
            producer.resumeProducing = lambda c=client, o=out: o.append(c.wire.value())
            self.store.release()
            self.assertEqual(len(out), 1)
            self.assertIn(b"one", out[0])
            producer.request.write(b"two")
            producer.end()
            self.assertEqual(client.answer().body, b"onetwo")
            self.store.pass_()

    def test_transportWaits(self):
        """
        It is not resumed as long as the transport waits.
        """
        client, producer = self.begin(early=True)
        client.pause()
        self.store.release()
        self.assertNotIn("resume", producer.log)
        client.resume()
        self.assertEqual(producer.log[-1], "resume")
        client.pause()
        self.assertEqual(producer.log[-1], "pause")
        producer.end()
        client.answer()

    def test_twoProducers(self):
        """
        A second producer is refused, held or not.
        """
        _, producer = self.begin(early=True)
        self.assertRaises(
            ValueError, producer.request.registerProducer, Push(None), True
        )

    def test_replacedWhileHeld(self):
        """
        One that goes while the reply is held is not registered later.
        """
        client, producer = self.begin(early=True)
        producer.request.unregisterProducer()
        second = Push(producer.request)
        producer.request.registerProducer(second, True)
        self.store.release()
        self.assertEqual(producer.log, ["pause"])
        self.assertEqual(second.log, ["pause", "resume"])
        second.end()
        client.answer()

    def test_finishedWhileHeld(self):
        """
        One that is done while the reply is held leaves no trace.
        """
        client, producer = self.begin(early=True)
        producer.request.write(b"two")
        producer.end()
        self.store.release()
        self.assertEqual(client.answer().body, b"onetwo")
        self.assertEqual(producer.log, ["pause"])

    def test_clientLeaves(self):
        """
        It is stopped once when the client leaves, held or not.
        """
        for release in (False, True):
            client, producer = self.begin(early=True)
            if release:
                self.store.release()
            client.leave()
            self.assertEqual(producer.log.count("stop"), 1)
            self.store.pass_()

    def test_failing(self):
        """
        It is stopped once when the save fails.
        """
        for early in (True, False):
            client, producer = self.begin(early=early)
            self.store.fail(OUTAGE)
            self.turn()
            self.assertEqual(producer.log, ["pause", "stop"])
            self.assertEqual(client.answer().code, 503)
            producer.request.write(b"two")
            producer.end()
            self.assertTrue(client.silent)
            self.store.pass_()
