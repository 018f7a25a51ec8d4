"""
Clients over real sockets, plain and TLS, for what only sockets do: they are shut
down by halves, reset, and filled up.
"""

from __future__ import annotations

from functools import wraps

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.filepath import FilePath

from tests.web.pages import OUTAGE, Page, Waiting, count
from tests.web.sockets import SocketCase
from tests.web.test_producers import Watched


def asynchronous(test):
    """
    Let trial run a coroutine.
    """

    @wraps(test)
    def run(self):
        return Deferred.fromCoroutine(test(self))

    return run


class Cases:
    """
    What holds with TLS and without.
    """

    async def begin(self, page, method=b"POST"):
        """
        Serve a page and send one request for it, whose session is being loaded.

        @return: The client.
        """
        await self.serve(page if hasattr(page, "render") else Page(page))
        client = await self.connect()
        self.store.hold("load", "replace", "insert")
        client.transport.write(
            b"%s / HTTP/1.1\r\nHost: x\r\nCookie: %s=%s\r\n\r\n"
            % (method, self.name, self.uid)
        )
        await self.until(lambda: self.store.names() == ["load"])
        return client

    async def goOn(self):
        """
        Let the session be loaded, and wait for the save.
        """
        self.store.release()
        await self.until(lambda: self.store.names() == ["replace"])

    @asynchronous
    async def test_fireAndForget(self):
        """
        What a client posts that leaves at once is carried out.
        """
        client = await self.begin(count)
        client.transport.loseConnection()
        await client.ended
        await self.turns(5)
        await self.goOn()
        self.store.pass_()
        await self.turns(5)

    @asynchronous
    async def test_reset(self):
        """
        Also if its connection is reset.
        """
        client = await self.begin(count)
        client.transport.abortConnection()
        await client.ended
        await self.turns(5)
        await self.goOn()
        self.store.pass_()
        await self.turns(5)

    @asynchronous
    async def test_longPoll(self):
        """
        A page that waits hears that its client has left, though that happened
        while the session was being loaded.
        """
        page = Waiting()
        client = await self.begin(page)
        client.transport.loseConnection()
        await client.ended
        await self.turns(5)
        self.store.pass_()
        await self.until(lambda: page.ends)
        page.ends[0].trap(ConnectionDone, ConnectionLost)

    @asynchronous
    async def test_largeFile(self):
        """
        A file larger than all buffers comes whole to a client that reads
        slowly, though it was held.
        """
        content = bytes(range(256)) * 8192
        path = FilePath(self.mktemp())
        path.setContent(content)
        file = Watched(path.path)
        client = await self.begin(Page(file.render), b"GET")
        client.transport.pauseProducing()
        await self.goOn()
        await self.turns(5)
        self.assertLessEqual(file.opened.tell(), 65536)
        self.store.release()
        # The system may have room for all of it, and then the file is closed.
        await self.until(lambda: file.opened.closed or file.opened.tell() > 65536)
        await self.turns(10)
        client.transport.resumeProducing()
        await self.until(lambda: len(client.received) > len(content))
        self.assertTrue(client.received.endswith(content))
        client.transport.loseConnection()
        await client.ended
        await self.turns(5)

    @asynchronous
    async def test_abort(self):
        """
        A save that fails when bytes are out cuts the connection before the
        end.
        """
        page = Waiting()
        client = await self.begin(page)
        self.store.pass_()
        await self.until(lambda: page.requests)
        request = page.requests[0]
        request.write(b"one")
        await self.until(lambda: b"one" in client.received)
        request.getSession()["more"] = 1
        self.store.down = OUTAGE
        request.finish()
        await client.ended
        self.assertFalse(client.received.endswith(b"0\r\n\r\n"))
        await self.until(lambda: page.ends)
        page.ends[0].trap(Exception)


class TCPTests(Cases, SocketCase):
    """
    Plain sockets.
    """

    name = b"sid"

    @asynchronous
    async def test_shutdown(self):
        """
        A client that shuts down its writing, as C{nc -N} does, is answered.
        """
        client = await self.begin(count)
        client.transport.loseWriteConnection()
        await self.turns(5)
        await self.goOn()
        await self.turns(5)
        self.assertEqual(client.received, b"")
        self.store.release()
        await client.ended
        self.assertTrue(client.received.endswith(b"\r\n\r\ncount 2"))


class TLSTests(Cases, SocketCase):
    """
    TLS, where a client cannot end one half only.
    """

    secure = True
    name = b"__Host-sid"
