"""
Faults that are planted, and found: what says that nothing is wrong can say otherwise.
"""

from __future__ import annotations

import contextlib
import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import headers, places, records, running
from tests.fuzz.running import run
from tests.fuzz.targets import TARGETS
from tests.fuzz.tracing import HOME
from txsessions.core import csrf, scalars
from txsessions.core.seal import Sealer
from txsessions.errors import KeyFileError, RecordDamaged
from txsessions.live import applying
from txsessions.stores import _redis_resp as resp
from txsessions.web import arrival
from txsessions.web.cookie import readCookie
from txsessions.web.forwarded import addressOf, followXForwarded, parseForwarded

EXAMPLES = 4000
"""How many inputs may pass until a fault is found."""

SLOW = """
def slow(headers, name):
    for one in b"".join(headers)[:200]:
        for other in b"".join(headers)[:200]:
            pass
    return readCookie(headers, name)
"""


def firstCookie(headers, name):
    """
    Take the first of several.
    """
    found = [readCookie([crumb], name) for crumb in b";".join(headers).split(b";")]
    return next((uid for uid in found if uid is not None), None)


class LooseReader(resp.PureReader):
    """
    Forgets where it is when a line comes in pieces.
    """

    def _next(self):
        """
        See L{PureReader._next}.
        """
        if self._buffer[self._at :] == b"*":
            self._taken(self._at + 1)
            return resp.INCOMPLETE
        return super()._next()


class PlantedTests(SynchronousTestCase):
    """
    One fault for each thing that is looked at.
    """

    def found(self, name, module, attribute, broken, examples=EXAMPLES):
        """
        Plant a fault, and find it.

        @return: What is said of it.
        """
        self.patch(module, attribute, broken)
        self.patch(running, "TRIES", 30)
        self.patch(running, "GATHERED", 20)
        for seed in range(5):
            report = run(TARGETS[name], seed, examples=examples, once=True)
            if report.found:
                for data, _ in report.found.values():
                    self.assertIsNotNone(running.faultIn(TARGETS[name], data))
                return "\n".join(said for _, said in report.found.values())
        raise self.failureException(f"nothing was found of {name}")

    def test_cookie(self):
        """
        The first of several cookies is taken; in whole requests, too.
        """
        said = self.found("cookie", headers, "readCookie", firstCookie)
        self.assertIn("not as the plain rules say", said)
        self.found("request", arrival, "readCookie", firstCookie)

    def test_slow(self):
        """
        A reader takes time that grows with the square of what it reads.
        """
        names = {"readCookie": readCookie}
        exec(compile(SLOW, f"{HOME}planted.py", "exec"), names)
        self.patch(headers, "readCookie", names["slow"])
        self.patch(running, "TRIES", 0)
        target = TARGETS["cookie"]
        report = run(target, 0, examples=50, once=True)
        faults = [said for _, said in report.found.values()]
        self.assertTrue(any("it takes too long" in said for said in faults), faults)

    def test_bearer(self):
        """
        An id is taken with a blank behind it.
        """
        real = headers.readBearer
        self.found(
            "bearer", headers, "readBearer", lambda v: real([one.rstrip() for one in v])
        )

    def test_token(self):
        """
        What follows a token is not looked at.
        """
        real = csrf.isTokenOf
        self.found("token", csrf, "isTokenOf", lambda s, token: real(s, token[:64]))

    def test_forwarded(self):
        """
        A backslash hides nothing.
        """
        self.found(
            "forwarded",
            headers,
            "parseForwarded",
            lambda line: parseForwarded(line.replace(b"\\", b"")),
        )

    def test_xForwarded(self):
        """
        The one on the left is believed.
        """

        def leftmost(trusted, nearest, lines, schemes):
            first = b",".join(lines).split(b",")[0].strip(b" \t")
            return followXForwarded(trusted, addressOf(first) or nearest, [], schemes)

        self.found("x-forwarded", headers, "followXForwarded", leftmost)

    def test_value(self):
        """
        What is written otherwise is read; another error is raised; a module is
        loaded.
        """
        real = records.decodeValue

        def lenient(data, *how):
            with contextlib.suppress(ValueError):
                return real(data, *how)
            return real(data[:-1], *how)

        def careless(data, *how):
            if data[:1] == b"\xc1":
                raise KeyError(data)
            return real(data, *how)

        def loads(data, *how):
            sys.modules.pop("colorsys", None)
            value = real(data, *how)
            __import__("colorsys")
            return value

        said = self.found("value", records, "decodeValue", lenient)
        self.assertIn("written again", said)
        self.assertIn("KeyError", self.found("value", records, "decodeValue", careless))
        self.found("value", records, "decodeValue", loads)

    def test_scalar(self):
        """
        A large integer may have bytes too many.
        """
        real = records.unpackScalar

        def lenient(code, data):
            if code == scalars.INT and len(data) > 9:
                return int.from_bytes(data, "big", signed=True)
            return real(code, data)

        self.found("scalar", records, "unpackScalar", lenient)

    def test_state(self):
        """
        What follows a state is not looked at.
        """
        real = records.unpackState

        def lenient(data):
            try:
                return real(data)
            except ValueError:
                return real(data[:-1])

        self.found("state", records, "unpackState", lenient)

    def test_sealed(self):
        """
        A payload is opened under another version, too; or nothing is refused.
        """
        real = Sealer.open

        def anyVersion(self, key, version, payload):
            try:
                return real(self, key, version, payload)
            except RecordDamaged:
                return real(self, key, records.VERSION, payload)

        self.found("sealed", Sealer, "open", anyVersion)
        self.found("sealed", Sealer, "open", lambda *given: b"", 50)

    def test_keyFile(self):
        """
        An error shows the line.
        """
        real = records.parseKeyFile

        def telling(data, path):
            try:
                return real(data, path)
            except KeyFileError:
                raise KeyFileError(f"bad: {data!r}") from None

        said = self.found("keyfile", records, "parseKeyFile", telling)
        self.assertIn("a key is shown", said)

    def test_address(self):
        """
        Another error is raised; a password is shown.
        """
        real = places.openStore

        def careless(address, **how):
            address.encode("utf-8")
            return real(address, **how)

        def telling(address, **how):
            store = real(address, **how)
            if "@" in address and address.startswith("redis"):
                store.address += address
            return store

        said = self.found("address", places, "openStore", careless)
        self.assertIn("UnicodeEncodeError", said)
        said = self.found("address", places, "openStore", telling)
        self.assertIn("a password is shown", said)

    def test_replies(self):
        """
        A line that comes in pieces is forgotten.
        """
        said = self.found("resp", resp, "PureReader", LooseReader, 200)
        self.assertIn("byte by byte", said)

    def test_record(self):
        """
        Names of parts are taken as they come.
        """
        self.found("record", applying, "checkNames", lambda _: None, 500)
        self.flushLoggedErrors()
