"""
Programs that serve, run as their users run them.

Owns the starting of a process, the address that it prints, a visitor with cookies,
and the end.  Knows nothing of sessions.
"""

from __future__ import annotations

import os
import sys
from http.cookiejar import CookieJar
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.web.client import Agent, CookieAgent, HTTPConnectionPool, readBody

import txsessions

ROOT = Path(__file__).parent.parent
"""The checkout, or what was unpacked from the sdist."""


class Program(ProcessProtocol):
    """
    A program that prints C{http://...} on a line of its own once it listens.

    @ivar ready: Fires with that address, or fails with what the program said
        before it ended.
    @ivar ended: Fires when the process is gone.
    """

    def __init__(self):
        self.ready = Deferred()
        self.ended = Deferred()
        self.said = b""

    @classmethod
    def start(cls, reactor, path, folder, *arguments):
        """
        Run a Python file in a folder.
        """
        program = cls()
        # Where txsessions is a checkout and is not installed, it is on no path.
        packages = str(Path(txsessions.__file__).resolve().parent.parent)
        before = [p for p in [os.environ.get("PYTHONPATH")] if p]
        reactor.spawnProcess(
            program,
            sys.executable,
            [sys.executable, str(path), *arguments],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([packages, *before])},
            path=str(folder),
        )
        return program

    def outReceived(self, data):
        """
        Look for the address.
        """
        self.said += data
        for line in self.said.splitlines(keepends=True):
            whole = line.startswith(b"http://") and line.endswith(b"\n")
            if whole and not self.ready.called:
                self.ready.callback(line.strip())

    def errReceived(self, data):
        """
        Keep what goes wrong, for the message.
        """
        self.said += data

    def processEnded(self, reason):
        """
        The process is gone.
        """
        if not self.ready.called:
            self.ready.errback(
                RuntimeError(f"it ended by itself: {self.said.decode()}")
                if reason.check(ProcessDone)
                else RuntimeError(f"{reason.value}: {self.said.decode()}")
            )
        self.ended.callback(None)

    def end(self, how="KILL"):
        """
        End the process.

        @return: A L{Deferred} that fires when it is gone.
        """
        if not self.ended.called:
            self.transport.signalProcess(how)
        return self.ended


class Visitor:
    """
    A browser as far as it matters here: it keeps its cookies.

    @ivar jar: The cookies.
    """

    def __init__(self, reactor):
        self.jar = CookieJar()
        pool = HTTPConnectionPool(reactor, persistent=False)
        self._agent = CookieAgent(
            Agent(reactor, connectTimeout=10, pool=pool), self.jar
        )

    async def ask(self, address):
        """
        Ask for a page.

        @return: The response, whose body is yet to be read.
        """
        return await self._agent.request(b"GET", address)

    async def get(self, address):
        """
        Fetch a page.

        @return: Its status and its text.
        """
        response = await self.ask(address)
        return response.code, (await readBody(response)).decode()
