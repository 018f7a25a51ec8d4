"""
The attack on real servers, which hold, and on one that does not.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests._serving import Example, Server, freePort, makeFolder
from tests.attacks.__main__ import main
from tests.attacks.client import Answer, Place, SetCookie, Unusable
from tests.attacks.redirects import NASTY, whereTo
from tests.attacks.scene import Scene
from tests.attacks.table import ATTACKS, BROKEN, tryOne
from tests.attacks.target import DEMO, LOGIN, TARGETS, readTarget
from tests.attacks.vulnerable import VULNERABLE, serve
from tests.served import ROOT
from tests.stores.certificates import Authority
from tests.test_login import loadExample

LACKS = {
    "demo": {"redirects: after sign in", "redirects: in the form"}
    | {"redirects: who is in already", "guessing: names", "guessing: passwords"}
    | {"replay: remembered"}
    | {attack.name for attack in ATTACKS if attack.name.startswith("devices: ")},
    "login": set(),
}
"""What cannot be tried where there is no such thing to attack."""


def attack(*words):
    """
    Run the command.

    @return: Its exit status and what it printed.
    """
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            status = main(words)
        except SystemExit as ended:
            status = ended.code
    return status, said.getvalue()


def needTLS():
    """
    Skip the test where C{--listen ssl:} cannot be.
    """
    try:
        import OpenSSL  # noqa: F401 - what Twisted's ssl needs
    except ImportError:
        raise SkipTest("pyOpenSSL is not installed") from None


class HeldTests(SynchronousTestCase):
    """
    All attacks on servers as processes, over HTTP and TLS.
    """

    def setUp(self):
        """
        Make a certificate, and find two ports.
        """
        needTLS()
        self.folder = makeFolder(self)
        certificate, key = Authority(str(self.folder)).issue("server")
        self.plain, self.secure = freePort(), freePort()
        there = "interface=127.0.0.1"
        self.listening = [
            f"tcp:{self.plain}:{there}",
            f"ssl:{self.secure}:privateKey={key}:certKey={certificate}:{there}",
        ]

    def check(self, target, server, log):
        """
        Start a server, attack it, and see that it holds.

        @param log: The file that it logs to.
        """
        server.start()
        status, said = attack(
            f"--target={target}",
            f"--log={self.folder / log}",
            f"http://127.0.0.1:{self.plain}",
            f"https://127.0.0.1:{self.secure}",
        )
        self.assertEqual(status, 0, said)
        written = (self.folder / log).read_text()
        for trouble in ("Traceback", "Unhandled", "CRITICAL"):
            self.assertNotIn(trouble, written)
        row = r"(?m)^(\w.*: .*)\n(?: +.*\n)+? {4}(held|not tried) "
        rows = re.findall(row, said)
        self.assertEqual([name for name, _ in rows], [each.name for each in ATTACKS])
        lacks = {name for name, verdict in rows if verdict == "not tried"}
        self.assertEqual(lacks, LACKS[target])

    def test_demo(self):
        """
        The demonstration of C{twistd web --sessions} holds.
        """
        listening = [f"--listen={each}" for each in self.listening]
        server = Server(self, *listening, "--sessions", folder=self.folder)
        self.check("demo", server, "output")

    def test_login(self):
        """
        C{examples/login.py} holds, and there is nothing that was not tried.
        """
        server = Example(self, "login.py", *self.listening, folder=self.folder)
        self.check("login", server, "log")


class BrokenTests(SynchronousTestCase):
    """
    Every attack succeeds where nobody has thought of it: it is able to.
    """

    def check(self, attack):
        """
        Attack the vulnerable server, by either scheme.
        """
        folder = makeFolder(self)
        certificate = Authority(str(folder)).issue("server")
        one, two = map(Place.parse, serve(self, folder, certificate))
        for place, other in ((one, two), (two, one)):
            scene = Scene(VULNERABLE, place, other, f"{folder}/log")
            outcome = tryOne(attack, scene)
            self.assertEqual(
                outcome.verdict, BROKEN, f"{place.scheme}: {outcome.happened}"
            )


def _testOf(attack):
    """
    Make the test of one attack.
    """

    def test(self):
        self.check(attack)

    test.__doc__ = f"{attack.name}: it finds what is broken."
    return test


for _attack in ATTACKS:
    _name = _attack.run.__module__.rpartition(".")[2]
    setattr(BrokenTests, f"test_{_name}_{_attack.run.__name__}", _testOf(_attack))


class CommandTests(SynchronousTestCase):
    """
    The command, what it says and how it ends.
    """

    def test_help(self):
        """
        C{--help} tells how to begin, what it takes, and what its end means.
        """
        done = subprocess.run(
            [sys.executable, "-m", "tests.attacks", "--help"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        for word in ("how to begin", "--target", "exit status", "BROKEN", *TARGETS):
            self.assertIn(word, done.stdout)

    def test_broken(self):
        """
        The exit status is 1 if something is broken, and the table says what.
        """
        folder = makeFolder(self)
        (address,) = serve(self, folder)
        description = folder / "site.json"
        description.write_text(
            json.dumps(
                {
                    "home": "/",
                    "shown": VULNERABLE.shown,
                    "login": "/login",
                    "signIn": "/login",
                    "user": "user",
                    "password": "password",
                    "people": VULNERABLE.people,
                    "signOut": "/logout",
                    "pages": ["/"],
                    "forms": [{"action": "/note", "fields": {"note": "PROBE"}}],
                    "devices": {"page": "/", "action": "/", "field": "handle"},
                }
            )
        )
        status, said = attack(
            f"--target={description}", "--only=fixation: own id", address
        )
        self.assertEqual(status, 1)
        self.assertEqual(
            said,
            "fixation: own id\n"
            "    The attacker's own id is put into the victim's browser, who signs in.\n"
            "    BROKEN     http         the id is the same after the sign-in\n\n"
            "0 held, 1 BROKEN, 0 not tried\n",
        )

    def test_unusable(self):
        """
        It is 2 where nobody answers, where people cannot sign in or out, where a form is
        refused, and where the words are wrong: none of these is a site that held.
        """
        folder = makeFolder(self)
        (address,) = serve(self, folder)
        wrong = folder / "wrong.json"
        wrong.write_text("{}")
        for words, expected in [
            ([f"http://127.0.0.1:{freePort()}"], "does not answer"),
            ([address], "ann cannot sign in"),
            (["--target=nothing", address], "nothing' is neither one of demo"),
            ([f"--target={wrong}", address], "nor a JSON file that describes"),
            (["ftp://127.0.0.1"], "is no address of a site"),
            ([], "it takes the address of a site"),
        ]:
            status, said = attack(*words)
            self.assertEqual(status, 2, words)
            self.assertIn(expected, said)

    def test_list(self):
        """
        C{--list} attacks nothing, and says what would be tried.
        """
        status, said = attack("--list")
        self.assertEqual(status, 0)
        for each in ATTACKS:
            self.assertIn(f"{each.name}\n    ", said)

    def test_targets(self):
        """
        The descriptions name one another's words only, and each has two people.
        """
        self.assertEqual(readTarget("demo"), DEMO)
        self.assertEqual(LOGIN.people, loadExample().USERS)
        for target in TARGETS.values():
            self.assertGreaterEqual(len(target.people), 2)


class ReadingTests(SynchronousTestCase):
    """
    What the attack makes of answers.
    """

    def test_smuggled(self):
        """
        A header that was smuggled in is found behind whatever ends a line for somebody.
        """
        for end in ("\r\n", "\n", "\r"):
            raw = f"HTTP/1.1 200 OK\r\nLocation: /x{end}X-Evil: 1\r\n\r\nbody"
            answer = Answer.parse(raw.encode())
            self.assertEqual(answer.all("X-Evil"), ["1"])
            self.assertEqual(answer.body, "body")

    def test_pieces(self):
        """
        A body in pieces is put together; no answer at all is status 0.
        """
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = Answer.parse(head + b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n")
        self.assertEqual((answer.status, answer.body), (200, "abcde"))
        self.assertEqual(Answer.parse(b"").status, 0)
        self.assertTrue(Answer.parse(b"").refused)

    def test_cookie(self):
        """
        Attributes are read in any case; a deletion is one.
        """
        cookie = SetCookie.parse("a=b; PATH=/; httponly; Max-Age=0")
        self.assertEqual((cookie.name, cookie.value), ("a", "b"))
        self.assertEqual(cookie.attributes["path"], "/")
        self.assertIn("httponly", cookie.attributes)
        self.assertTrue(cookie.deletes)
        self.assertNotIn("'b'", repr(cookie))

    def test_place(self):
        """
        Addresses are taken apart and put together again.
        """
        place = Place.parse("https://[::1]:8443/")
        self.assertEqual((place.secure, place.host, place.port), (True, "::1", 8443))
        self.assertEqual(place.origin, "https://[::1]:8443")
        self.assertEqual(Place.parse("http://a.example").origin, "http://a.example")
        for wrong in ("a.example", "http://", "http://a/b"):
            self.assertRaises(ValueError, Place.parse, wrong)
        self.assertRaises(Unusable, Place(False, "127.0.0.1", freePort()).open)

    def test_whereTo(self):
        """
        Addresses lead where browsers go.
        """
        base = "https://here.example:8443/login"
        own, evil = "https://here.example:8443", "https://evil.example"
        for where, expected in {
            "": own,
            "/": own,
            "a/b": own,
            "?//evil.example": own,
            "#//evil.example": own,
            "/a//evil.example": own,
            "./\\evil.example": own,
            "@evil.example": own,
            "%2f%2fevil.example": own,
            "/%5cevil.example": own,
            "https:a": own,
            "https:/a": own,
            "https://here.example:8443/x": own,
            "https://HERE.example:8443": own,
            "//evil.example/": evil,
            "///evil.example": evil,
            "/\\evil.example": evil,
            "\\\\evil.example": evil,
            "/\t/evil.example": evil,
            " \n//evil.example": evil,
            "\x00//evil.example": evil,
            "https://evil.example#here.example": evil,
            "https:\\\\evil.example": evil,
            "https://here.example:8443@evil.example": evil,
            "ht\ntps://evil.example\\here.example": evil,
            "http:evil.example": "http://evil.example",
            "http://here.example:8443": "http://here.example:8443",
            "https://here.example": "https://here.example",
            "JavaScript:x": "javascript:",
            "java\nscript:x": "javascript:",
            "data:text/html,x": "data:",
        }.items():
            self.assertEqual(whereTo(base, where), expected, repr(where))

    def test_nasty(self):
        """
        Most of the nasty addresses lead away from a site that believes them, in all the
        ways that whoever checks them might forget.
        """
        base = "https://here.example/login"
        led = [whereTo(base, each) for each in NASTY]
        self.assertGreater(sum(each != "https://here.example" for each in led), 30)

    def test_description(self):
        """
        What is written down of a site is found again, and does not show passwords.
        """
        path = Path(makeFolder(self)) / "site.json"
        path.write_text(json.dumps({"home": "/"}))
        self.assertRaisesRegex(ValueError, "describes a site", readTarget, str(path))
        self.assertNotIn("one", repr(VULNERABLE.people and VULNERABLE).split())


__all__ = ["BrokenTests", "CommandTests", "HeldTests", "ReadingTests"]
