"""
One connection over a real socket, without a reactor: its part is done by hand.
"""

from __future__ import annotations

import socket

from twisted.internet import tcp, unix
from twisted.python.failure import Failure


class Watching:
    """
    As much of a reactor as a transport asks.

    @ivar writers: Who wants to be told that he can write.
    """

    def __init__(self):
        self.writers = []
        self.calls = []

    def addReader(self, reader):
        """
        See C{IReactorFDSet.addReader}.
        """

    removeReader = addReader

    def addWriter(self, writer):
        """
        See C{IReactorFDSet.addWriter}.
        """
        if writer not in self.writers:
            self.writers.append(writer)

    def removeWriter(self, writer):
        """
        See C{IReactorFDSet.removeWriter}.
        """
        if writer in self.writers:
            self.writers.remove(writer)

    def callLater(self, delay, function, *args):
        """
        See C{IReactorTime.callLater}.
        """
        self.calls.append((function, args))


class Wire:
    """
    A server's end of a connection, as Twisted's transport, and its peer, a socket.

    @ivar reactor: What the transport takes for its reactor.
    """

    def __init__(self, case, protocol, kind=tcp.Server):
        """
        @param kind: The class of the transport.
        """
        self.reactor = Watching()
        ours, self.peer = socket.socketpair()
        for each in (ours, self.peer):
            case.addCleanup(each.close)
            each.setblocking(False)
        client = ("127.0.0.1", 1)
        port = tcp.Port(0, None, reactor=self.reactor)
        if issubclass(kind, unix.Server):
            client, port = "", unix.Port("nowhere", None, reactor=self.reactor)
        self.transport = kind(ours, protocol, client, port, 1, self.reactor)

    def received(self):
        """
        What is there for the peer.
        """
        found = b""
        try:
            while data := self.peer.recv(1 << 16):
                found += data
        except BlockingIOError:
            pass
        return found

    def turn(self):
        """
        Do what a reactor does in a turn, for all but those who want to read.
        """
        calls, self.reactor.calls = self.reactor.calls, []
        for function, args in calls:
            function(*args)
        for writer in list(self.reactor.writers):
            failed = writer.doWrite()
            if failed is not None:
                self.reactor.removeWriter(writer)
                writer.connectionLost(Failure(failed))
