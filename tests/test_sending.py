"""
Tests of L{txsessions._sending}, over real sockets of which a test moves the reactor's
part by hand.
"""

from __future__ import annotations

import socket

from twisted.internet import tcp, unix
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.wires import Wire
from txsessions._sending import sendNow


class SocketTests(SynchronousTestCase):
    """
    Over TCP's transport.
    """

    kind = tcp.Server

    def setUp(self):
        """
        Connect.
        """
        wire = Wire(self, Protocol(), self.kind)
        self.transport, self.peer = wire.transport, wire.peer
        self.reactor = wire.reactor
        self.received, self.turn = wire.received, wire.turn

    def test_atOnce(self):
        """
        It leaves at once, and the reactor is asked for nothing; what is written to the
        transport itself waits for a turn.
        """
        sendNow(self.transport, b"now")
        self.assertEqual(self.received(), b"now")
        self.assertEqual(self.reactor.writers, [])
        self.transport.write(b"later")
        self.assertEqual(self.received(), b"")

    def test_inOrder(self):
        """
        What was written before leaves before, and what is written then after it.
        """
        self.transport.write(b"1")
        sendNow(self.transport, b"2")
        self.transport.write(b"3")
        self.assertEqual(self.received(), b"")
        self.turn()
        self.assertEqual(self.received(), b"123")
        sendNow(self.transport, b"4")
        self.transport.write(b"5")
        self.assertEqual(self.received(), b"4")
        self.turn()
        self.assertEqual(self.received(), b"5")

    def test_tooMuch(self):
        """
        Of more than the system takes, the rest follows in order.
        """
        data = b"".join(b"%07d\n" % number for number in range(16_000))
        data = data[: self.transport.SEND_LIMIT]
        self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 13)
        sendNow(self.transport, data)
        sendNow(self.transport, b"more")
        found = self.received()
        self.assertTrue(found)
        self.assertEqual(self.reactor.writers, [self.transport])
        self.turn()
        found += self.received()
        sendNow(self.transport, b"end")
        while self.reactor.writers:
            self.turn()
            found += self.received()
        found += self.received()
        self.assertEqual(found, data + b"more" + b"end")

    def test_veryLong(self):
        """
        A very long one is left to the transport as it is.
        """
        data = bytes(self.transport.SEND_LIMIT + 1)
        sendNow(self.transport, data)
        self.assertEqual(self.received(), b"")
        self.assertIs(self.transport._tempDataBuffer[0], data)

    def test_blocked(self):
        """
        Where the system takes nothing, all of it follows.
        """
        before = 0
        while (sent := self.transport.writeSomeData(b"x" * 65536)) > 0:
            before += sent
        sendNow(self.transport, b"end")
        found = self.received()
        self.turn()
        self.assertEqual(found + self.received(), b"x" * before + b"end")

    def test_closing(self):
        """
        A connection that is to be closed sends what was written first, and no more is
        sent by one that is closed.
        """
        sendNow(self.transport, b"1")
        self.transport.loseConnection()
        sendNow(self.transport, b"2")
        self.turn()
        self.assertEqual(self.received(), b"12")
        self.assertFalse(self.transport.connected)
        sendNow(self.transport, b"3")
        self.assertEqual(self.reactor.writers, [])

    def test_halfClosed(self):
        """
        Nothing goes out behind the end of what is sent.
        """
        self.transport.write(b"1")
        self.transport.loseWriteConnection()
        self.turn()
        sendNow(self.transport, b"2")
        self.turn()
        self.assertEqual(self.received(), b"1")

    def test_aborted(self):
        """
        Nothing goes out by a connection that is being given up.
        """
        self.transport.abortConnection()
        sendNow(self.transport, b"1")
        self.turn()
        self.assertEqual(self.received(), b"")

    def test_lost(self):
        """
        That the peer is gone the transport is told, in the next turn and once, and why.
        """
        reasons = []
        self.transport.protocol.connectionLost = reasons.append
        self.peer.close()
        sendNow(self.transport, b"1")
        sendNow(self.transport, b"2")
        self.assertEqual(reasons, [])
        self.turn()
        self.assertFalse(self.transport.connected)
        self.assertEqual([reason.type for reason in reasons], [ConnectionLost])

    def test_encrypted(self):
        """
        What goes through TLS does not get past it.
        """
        through = []
        self.transport.protocol.write = through.append
        self.transport.TLS = True
        sendNow(self.transport, b"secret")
        self.turn()
        self.assertEqual(self.received(), b"")
        self.assertEqual(through, [b"secret"])

    def test_own(self):
        """
        A transport that writes in a way of its own, by its class or by itself, does.
        """
        written = []
        self.transport.write = written.append
        sendNow(self.transport, b"1")
        del self.transport.write

        class Own(self.kind):
            def write(self, data):
                written.append(data)

        self.transport.__class__ = Own
        sendNow(self.transport, b"2")
        self.assertEqual(written, [b"1", b"2"])
        self.assertEqual(self.received(), b"")

    def test_patched(self):
        """
        So does all of Twisted, where somebody has put something in the place of that.
        """
        written = []
        self.patch(self.kind, "write", lambda _, data: written.append(data))
        sendNow(self.transport, b"1")
        self.assertEqual((written, self.received()), ([b"1"], b""))


class UNIXTests(SocketTests):
    """
    Over that of sockets in the file system.
    """

    kind = unix.Server


class OtherTests(SynchronousTestCase):
    """
    Over what is no socket.
    """

    def test_written(self):
        """
        It is written.
        """
        transport = StringTransport()
        sendNow(transport, b"1")
        sendNow(transport, b"2")
        self.assertEqual(transport.value(), b"12")
