"""
Every program in examples/, run as its docstring says.

The convention, which all but C{login.py} keep to: C{python examples/NAME.py PORT} prints its address once it listens,
port 0 takes a free one, and its page says C{visit N}, where N grows by one with each
visit of one visitor, also after the program was killed and started again.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.client import ResponseFailed

from tests.served import ROOT, Program, Visitor

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

LONGER = {"login.py": 300}
"""Which may have more than 60 lines, and how many."""

COUNTING = [path for path in EXAMPLES if path.name not in LONGER]
"""Those of the convention; L{tests.test_login_browser} runs the other one."""


class FormTests(SynchronousTestCase):
    """
    What an example looks like.
    """

    def test_there(self):
        """
        There are examples.
        """
        self.assertGreaterEqual(len(EXAMPLES), 3)

    def test_short(self):
        """
        An example has at most 60 lines, but for those that are a whole application,
        and says at its top what it shows.
        """
        for path in EXAMPLES:
            text = path.read_text()
            most = LONGER.get(path.name, 60)
            self.assertLessEqual(len(text.splitlines()), most, path.name)
            said = ast.get_docstring(ast.parse(text)) or ""
            self.assertIn(f"python examples/{path.name}", said, path.name)


class RunTests(TestCase):
    """
    Each example, with one visitor, over a C{kill -9}.
    """

    timeout = 60

    async def visit(self, address, visitor):
        """
        Look at the page.

        @return: How often this visitor has been there, as the page says.
        """
        status, text = await visitor.get(address)
        self.assertEqual(status, 200, text)
        found = re.search(r"visit (\d+)", text)
        self.assertIsNotNone(found, text)
        return int(found[1])

    async def check(self, path):
        """
        Two visits, a kill, and a third; another visitor starts at one.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        visitor = Visitor(reactor)
        counts = []
        for visits in (2, 1):
            program = Program.start(reactor, path, folder, "0")
            self.addCleanup(program.end)
            address = await program.ready
            counts += [await self.visit(address, visitor) for _ in range(visits)]
            if visits == 1:
                self.assertEqual(await self.visit(address, Visitor(reactor)), 1)
            await program.end("KILL")
        self.assertEqual(counts, [1, 2, 3])


class Told(Protocol):
    """
    Reads a body that does not end by itself.

    @ivar begun: Fires when something has come.
    @ivar ended: Fails with the reason of the end.
    """

    def __init__(self):
        self.begun = Deferred()
        self.ended = Deferred()

    def dataReceived(self, data):
        """
        See C{IProtocol}.
        """
        begun, self.begun = self.begun, None
        if begun is not None:
            begun.callback(data)

    def connectionLost(self, reason):
        """
        See C{IProtocol}.
        """
        self.ended.errback(reason)


class EventsTests(TestCase):
    """
    What else the example of a stream does.
    """

    timeout = 60

    async def test_end(self):
        """
        The stream ends with the session, and there is none without.
        """
        folder = Path(self.mktemp())
        folder.mkdir(parents=True)
        path = ROOT / "examples" / "events.py"
        program = Program.start(reactor, path, folder, "0")
        self.addCleanup(program.end)
        address = await program.ready
        visitor, told = Visitor(reactor), Told()
        self.assertEqual((await visitor.get(address + b"events"))[0], 204)
        await visitor.get(address)
        begun = told.begun
        (await visitor.ask(address + b"events")).deliverBody(told)
        self.assertTrue((await begun).startswith(b"data: "))
        self.assertEqual(await visitor.get(address + b"out"), (200, "bye"))
        with self.assertRaises(ResponseFailed):  # it has no proper end
            await told.ended
        self.assertEqual((await visitor.get(address + b"events"))[0], 204)


def _testOf(path):
    """
    Make the test of one example.
    """

    async def test(self):
        await self.check(path)

    test.__doc__ = f"{path.name} goes on where it was killed."
    return test


for _path in COUNTING:
    setattr(RunTests, f"test_{_path.stem}", _testOf(_path))
