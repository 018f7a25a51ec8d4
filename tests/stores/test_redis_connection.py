"""
One connection to a Redis server: order, deadline, bounds.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.unix import Server
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.wires import Wire
from txsessions.errors import StoreUnavailable
from txsessions.stores import _redis_connection
from txsessions.stores._redis_connection import TOGETHER, Connection, Reading
from txsessions.stores._redis_resp import PureReader, ReplyError, makeReader


class Transport(StringTransport):
    """
    Tells the protocol of an abort in the next turn, as a socket does.
    """

    aborted = False

    def abortConnection(self):
        """
        Note it.
        """
        self.aborted = True


class ConnectionTests(SynchronousTestCase):
    """
    L{Connection}, over no network.
    """

    makeReader = staticmethod(makeReader)

    def setUp(self):
        """
        Connect.
        """
        self.clock = Clock()
        self.connection = self.connect()

    def connect(self, maxQueue=10):
        """
        Make a connection.
        """
        connection = Connection(
            self.clock, "redis://h:1/0", 2.0, maxQueue, self.makeReader
        )
        self.transport = Transport()
        connection.makeConnection(self.transport)
        return connection

    def unavailable(self, *deferreds):
        """
        These have failed.

        @return: What the last one said.
        """
        for deferred in deferreds:
            error = self.failureResultOf(deferred, StoreUnavailable).value
            self.assertIn("redis://h:1/0", str(error))
        return str(error)

    def test_inOrder(self):
        """
        Replies go to the commands in the order of sending; an error is one too.
        """
        calls = [self.connection.call(b"GET", b"%d" % n) for n in range(3)]
        self.assertEqual(
            self.transport.value(),
            b"".join(b"*2\r\n$3\r\nGET\r\n$1\r\n%d\r\n" % n for n in range(3)),
        )
        self.connection.dataReceived(b"+a\r\n-ERR no\r\n$1\r")
        self.assertEqual(self.successResultOf(calls[0]), b"a")
        self.failureResultOf(calls[1], ReplyError)
        self.assertNoResult(calls[2])
        self.connection.dataReceived(b"\nc\r\n")
        self.assertEqual(self.successResultOf(calls[2]), b"c")

    def test_pushesAreNoReplies(self):
        """
        What the server says unasked as RESP3 has it goes to nobody.
        """
        call = self.connection.call(b"GET", b"x")
        self.connection.dataReceived(b">2\r\n+invalidate\r\n*0\r\n$1\r\nx\r\n")
        self.assertEqual(self.successResultOf(call), b"x")

    def test_cancelledKeepsItsPlace(self):
        """
        The reply of a cancelled command goes to nobody else.
        """
        calls = [self.connection.call(b"GET", b"%d" % n) for n in range(3)]
        calls[1].cancel()
        self.failureResultOf(calls[1], CancelledError)
        self.connection.dataReceived(b":0\r\n:1\r\n:2\r\n")
        self.assertEqual(self.successResultOf(calls[0]), 0)
        self.assertEqual(self.successResultOf(calls[2]), 2)

    def test_deadline(self):
        """
        One late reply ends all that is under way; later bytes mean nothing.
        """
        first = self.connection.call(b"GET", b"1")
        self.clock.advance(1.5)
        second = self.connection.call(b"GET", b"2")
        self.clock.advance(0.5)
        self.assertIn("2 s", self.unavailable(first, second))
        self.assertTrue(self.transport.aborted)
        self.connection.dataReceived(b"+late\r\n")
        self.unavailable(self.connection.call(b"GET", b"3"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_deadlineOfTheWholeReply(self):
        """
        A reply that comes in drops is late as well.
        """
        call = self.connection.call(b"GET", b"1")
        for byte in b"$900\r\n":
            self.connection.dataReceived(bytes([byte]))
            self.clock.advance(0.3)
        self.assertNoResult(call)
        self.connection.dataReceived(b"x")
        self.clock.advance(0.3)
        self.unavailable(call)

    def test_oneTimer(self):
        """
        A thousand commands share one timer, and each has its own deadline.
        """
        connection = self.connect(maxQueue=1000)
        calls = []
        for n in range(1000):
            calls.append(connection.call(b"GET", b"%d" % n))
            self.clock.advance(0.001)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        connection.dataReceived(b"+x\r\n" * 999)
        self.clock.advance(1.5)
        self.assertNoResult(calls[-1])
        self.clock.advance(0.5)
        self.unavailable(calls[-1])

    def test_timerGoesWhenIdle(self):
        """
        Where nothing is under way nothing ticks.
        """
        self.connection.call(b"GET", b"1")
        self.connection.dataReceived(b"+x\r\n")
        self.clock.advance(2)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertFalse(self.transport.aborted)

    def test_boundedQueue(self):
        """
        Beyond the bound a call fails at once, the others go on.
        """
        calls = [self.connection.call(b"GET", b"1") for _ in range(10)]
        self.unavailable(self.connection.call(b"GET", b"1"))
        self.connection.dataReceived(b"+x\r\n" * 5)
        self.assertEqual(self.successResultOf(calls[4]), b"x")
        self.connection.call(b"GET", b"1")

    def test_boundedBytes(self):
        """
        The same for the bytes of all commands.
        """
        self.patch(_redis_connection, "MAX_PENDING", 1000)
        self.connection.call(b"SET", b"x" * 900)
        self.unavailable(self.connection.call(b"SET", b"x" * 900))
        self.connection.dataReceived(b"+x\r\n")
        self.assertNoResult(self.connection.call(b"SET", b"x" * 900))

    def test_boundedReply(self):
        """
        A reply without an end is not kept.
        """
        self.patch(_redis_connection, "MAX_REPLY", 1000)
        call = self.connection.call(b"GET", b"1")
        self.connection.dataReceived(b"$5000\r\n" + b"x" * 990)
        self.assertNoResult(call)
        self.connection.dataReceived(b"x" * 20)
        self.assertIn("over 1000 bytes", self.unavailable(call))

    def test_noRedis(self):
        """
        Something that is no Redis server.
        """
        for said in (b"HTTP/1.1 400 Bad\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"):
            connection = self.connect()
            call = connection.call(b"HELLO", b"3")
            connection.dataReceived(said)
            self.assertIn("rediss://", self.unavailable(call))
            self.assertTrue(self.transport.aborted)

    def test_saidUnasked(self):
        """
        A reply too many means that the order is lost.
        """
        self.connection.dataReceived(b"-ERR max number of clients reached\r\n")
        said = self.unavailable(self.connection.call(b"GET", b"1"))
        self.assertIn("maxclients", said)

    def test_lost(self):
        """
        With the connection all that is under way fails, and its timer goes.
        """
        lost = []
        self.connection.whenLost(lambda: lost.append(True))
        calls = [self.connection.call(b"GET", b"1") for _ in range(3)]
        self.connection.dataReceived(b"+x\r\n$9\r\nhal")
        self.connection.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(calls[0]), b"x")
        self.unavailable(*calls[1:])
        self.assertEqual(lost, [True])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_droppedByACallback(self):
        """
        Whoever gets a reply may drop the connection: then nobody gets the next.
        """
        first, second = (self.connection.call(b"GET", b"1") for _ in range(2))
        first.addErrback(lambda _: self.connection.drop("is a replica now"))
        self.connection.dataReceived(b"-READONLY no\r\n+old\r\n")
        self.assertIn("replica", self.unavailable(second))

    def test_calledFromACallback(self):
        """
        Whoever gets a reply may send the next command.
        """
        again = []
        first = self.connection.call(b"GET", b"1")
        first.addCallback(lambda _: again.append(self.connection.call(b"GET", b"2")))
        second = self.connection.call(b"GET", b"3")
        self.connection.dataReceived(b":1\r\n:3\r\n:2\r\n")
        self.assertEqual(self.successResultOf(second), 3)
        self.assertEqual(self.successResultOf(again[0]), 2)

    def test_oneWriteATurn(self):
        """
        With nothing under way a command leaves at once, but after a turn with several;
        what is sent while something is leaves at the end of the turn, in order and in
        one write.
        """
        writes, write = [], self.transport.write
        self.patch(
            self.transport, "write", lambda data: (writes.append(data), write(data))
        )
        calls = [self.connection.send(b"%d;" % n) for n in range(4)]
        self.assertEqual(writes, [b"0;"])
        self.clock.advance(0)
        self.assertEqual(writes, [b"0;", b"1;2;3;"])
        calls += [self.connection.send(b"%d;" % n) for n in range(4, 6)]
        self.clock.advance(0)
        self.assertEqual(writes[2:], [b"4;5;"])
        self.connection.dataReceived(b":0\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n")
        self.assertEqual([self.successResultOf(call) for call in calls], list(range(6)))

    def test_aloneAgain(self):
        """
        After a turn with several commands one waits for others, also with nothing under
        way; after one with no other it does not.
        """
        self.connection.send(b"0;")
        for number in (1, 2):
            self.connection.send(b"%d;" % number)
        self.clock.advance(0)
        self.connection.dataReceived(b":0\r\n:1\r\n:2\r\n")
        self.connection.send(b"3;")
        self.assertEqual(self.transport.value(), b"0;1;2;")
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), b"0;1;2;3;")
        self.connection.dataReceived(b":3\r\n")
        self.connection.send(b"4;")
        self.assertEqual(self.transport.value(), b"0;1;2;3;4;")

    def test_someGoAhead(self):
        """
        Of very many commands in one turn some go ahead, and all in order.
        """
        connection = self.connect(maxQueue=100)
        sent = []
        self.patch(self.transport, "write", sent.append)
        calls = [connection.send(b"%d;" % n) for n in range(1 + 2 * TOGETHER + 3)]
        # The deadline, and the end of the turn.
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.assertEqual([part.count(b";") for part in sent], [1, TOGETHER, TOGETHER])
        self.clock.advance(0)
        self.assertEqual(len(sent), 4)
        self.assertEqual(
            b"".join(sent), b"".join(b"%d;" % n for n in range(len(calls)))
        )
        connection.dataReceived(b"".join(b":%d\r\n" % n for n in range(len(calls))))
        found = [self.successResultOf(call) for call in calls]
        self.assertEqual(found, list(range(len(calls))))
        # Just so many that nothing is left for the end of the turn.
        for _ in range(TOGETHER):
            connection.send(b"x;")
        self.assertEqual(sent[4:], [b"x;" * TOGETHER])
        self.clock.advance(0)
        self.assertEqual(len(sent), 5)
        connection.dataReceived(b":1\r\n" * TOGETHER)
        connection.send(b"y;")
        self.assertEqual(len(sent), 5)

    def test_leavesNow(self):
        """
        What leaves does so at once, and not when the reactor comes to write.
        """
        wire = Wire(self, self.connection, Server)
        self.connection.makeConnection(wire.transport)
        for number in range(3):
            self.connection.send(b"%d;" % number)
        self.assertEqual(wire.received(), b"0;")
        self.clock.advance(0)
        self.assertEqual(wire.received(), b"1;2;")

    def test_atOnce(self):
        """
        A command that is to leave at once takes along those that came before it.
        """
        for command in (b"0;", b"1;", b"2;"):
            self.connection.send(command)
        self.connection.call(b"PING")
        sent = self.transport.value()
        self.assertEqual(sent, b"0;1;2;*1\r\n$4\r\nPING\r\n")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(0)
        self.assertEqual(self.transport.value(), sent)

    def test_droppedWithinTheTurn(self):
        """
        What was to leave at the end of the turn fails and does not.
        """
        calls = [self.connection.send(b"%d;" % n) for n in range(3)]
        self.connection.drop("is a replica now")
        self.unavailable(*calls, self.connection.call(b"PING"))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.transport.value(), b"0;")

    def test_deadlineOfATurn(self):
        """
        What leaves at the end of a turn has a deadline too: from its first command on.
        """
        self.connection.send(b"0;")
        self.clock.advance(1.5)
        second = self.connection.send(b"1;")
        self.connection.dataReceived(b":0\r\n")
        self.clock.advance(1.0)
        self.assertNoResult(second)
        self.clock.advance(0.9)
        self.assertNoResult(second)
        self.clock.advance(0.2)
        self.unavailable(second)

    def test_reading(self):
        """
        The usual reply means what it means; any other, an error too, is read before
        the caller gets what is made of it.
        """
        read = []

        def other(reply, deferred, *about):
            read.append((reply, about))
            deferred.callback("other")

        reading = Reading(usual=1, meaning="usual", read=other)
        calls = [self.connection.send(b"x", reading, (n, "y")) for n in range(3)]
        self.connection.dataReceived(b":1\r\n:2\r\n-ERR no\r\n")
        found = [self.successResultOf(call) for call in calls]
        self.assertEqual(found, ["usual", "other", "other"])
        self.assertEqual(read[0], (2, (1, "y")))
        self.assertIsInstance(read[1][0], ReplyError)

    def test_readingFails(self):
        """
        A reply that cannot be read is the failure of its caller only, whatever is
        wrong with it.
        """

        def wrong(reply, deferred):
            raise TypeError(reply)

        calls = [self.connection.send(b"x", Reading(read=wrong)) for _ in range(2)]
        last = self.connection.call(b"GET", b"1")
        self.connection.dataReceived(b":1\r\n-ERR no\r\n:3\r\n")
        for call in calls:
            self.failureResultOf(call, TypeError)
        self.assertEqual(self.successResultOf(last), 3)
        self.assertEqual(self.connection.reason, "")

    def test_cancelledIsNotRead(self):
        """
        Nothing is made of the reply of a cancelled command, nor of one that is lost.
        """
        read = []
        reading = Reading(usual=1, read=lambda reply, deferred: read.append(reply))
        calls = [self.connection.send(b"x", reading) for _ in range(3)]
        for call in calls[:2]:
            call.cancel()
            self.failureResultOf(call, CancelledError)
        self.connection.dataReceived(b":1\r\n-NOSCRIPT none\r\n")
        self.connection.drop("is a replica now")
        self.unavailable(calls[2])
        self.assertEqual(read, [])

    def test_drain(self):
        """
        An end can wait for what is under way.
        """
        self.successResultOf(self.connection.drain())
        self.connection.call(b"GET", b"1")
        drained = self.connection.drain()
        self.assertNoResult(drained)
        self.connection.dataReceived(b":1\r\n")
        self.successResultOf(drained)
        call = self.connection.call(b"GET", b"1")
        drained = self.connection.drain()
        self.clock.advance(2)
        self.unavailable(call)
        self.successResultOf(drained)


class PureConnectionTests(ConnectionTests):
    """
    The same without hiredis.
    """

    makeReader = PureReader
