"""
C{twistd web}, run as its users run it, and a visitor.

Owns the starting and ending of real processes and real requests to them, in plain
blocking calls: nothing else goes on in a test meanwhile.  Knows nothing of
sessions but that a visitor keeps cookies.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from http.client import HTTPConnection, HTTPResponse
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

from twisted.trial.unittest import SkipTest

import txsessions
from tests.served import ROOT

PLUGIN = "txsessions_plugin.py"
"""The dropin's file name."""

COMMANDS = {
    "twistd": "from twisted.scripts.twistd import run; sys.exit(run())",
    "twist": "from twisted.application.twist._twist import Twist; Twist.main()",
}
"""What the scripts of these names do."""

LOGGED = """
import hashlib, runpy, sys
from twisted.python import log
log.startLogging(open("log", "a"), setStdout=False)
scrypt = hashlib.scrypt
hashlib.scrypt = lambda *given, **named: scrypt(*given, **{**named, "n": 2})
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a Python file as a program that keeps a log, and that takes no time to hash a
password: some tests sign in hundreds of times."""

PATIENCE = 30.0
"""Seconds after which a test gives up on a process."""


def program(name):
    """
    Write the Python program that the script C{twistd} or C{twist} is.
    """
    return f"import sys; sys.argv[0] = {name!r}; {COMMANDS[name]}"


def findPlugin():
    """
    Find the dropin: beside Twisted's own where txsessions was installed as a
    wheel, else in the checkout.
    """
    package = Path(txsessions.__file__).parent
    for root in (package.parent, package.parent.parent):
        plugin = root / "twisted" / "plugins" / PLUGIN
        if plugin.exists():
            return plugin
    raise SkipTest("the dropin is neither installed nor in this checkout")


def freePort():
    """
    Find a TCP port that nobody listens on.
    """
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def accepts(where):
    """
    Whether somebody listens.

    @param where: A TCP port of this machine, or the path of a UNIX socket.
    """
    tcp = isinstance(where, int)
    with socket.socket(socket.AF_INET if tcp else socket.AF_UNIX) as client:
        return client.connect_ex(("127.0.0.1", where) if tcp else str(where)) == 0


def waitFor(condition, what):
    """
    Wait until something outside this process has come about.
    """
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"waited {PATIENCE:.0f} s in vain for {what}")
        time.sleep(0.02)
    return found


def makeFolder(case):
    """
    Make a folder that is gone after the test; its path is short enough for a
    UNIX socket.
    """
    folder = Path(tempfile.mkdtemp(prefix="txs-"))
    case.addCleanup(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Server:
    """
    C{twistd web} or C{twist web} in a folder of its own.

    @ivar folder: Where it runs.
    @ivar process: The process that was started, if any was.
    """

    def __init__(self, case, *arguments, name="twistd", options=None, folder=None):
        """
        @param case: The test, after which the server is ended.
        @param arguments: What stands after C{web}.
        @param name: C{"twistd"} or C{"twist"}.
        @param options: What stands before C{web}.
        """
        self.folder = folder or makeFolder(case)
        if options is None:
            options = ["-n", "--pidfile="] if name == "twistd" else []
        self.line = [
            sys.executable,
            "-c",
            program(name),
            *options,
            "web",
            *map(str, arguments),
        ]
        roots = [findPlugin().parents[2], Path(txsessions.__file__).parent.parent]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(self.folder), *map(str, roots)]),
        }
        self.process = None
        case.addCleanup(self.kill)

    @property
    def output(self):
        """
        What it wrote to its terminal in all of its runs.
        """
        return (self.folder / "output").read_text()

    def launch(self):
        """
        Start the process.
        """
        with (self.folder / "output").open("ab") as output:
            self.process = subprocess.Popen(
                self.line,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def start(self):
        """
        Start it, and wait until it listens, on all of its ports.
        """
        ports = sum(word.startswith("--listen=") for word in self.line) or 1
        self.launchUntil(" starting on ", ports)
        # Which it says right before it listens.
        for word in self.line:
            if place := re.match(r"--listen=(?:tcp:([0-9]+)|unix:([^:]+))", word):
                port, path = place.groups()
                where = int(port) if port else self.folder / path
                waitFor(functools.partial(accepts, where), f"{where} to listen")

    def launchUntil(self, words, times):
        """
        Start it, and wait until it has said something so often in this run.
        """
        output = self.folder / "output"
        before = len(self.output) if output.exists() else 0
        self.launch()

        def listening():
            said = self.output[before:]
            if self.process.poll() is not None:
                raise AssertionError(f"it ended by itself: {said}")
            return said.count(words) >= times

        waitFor(listening, "the server to listen")

    def run(self):
        """
        Let it run to its end.

        @return: Its exit status.
        """
        self.launch()
        return self.process.wait(PATIENCE)

    def kill(self, how=signal.SIGKILL):
        """
        End it.

        @return: Its exit status.
        """
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(PATIENCE)


class Example(Server):
    """
    A program of examples/.  What it logs goes into a file C{log}.
    """

    def __init__(self, case, name, *arguments, folder=None):
        """
        @param name: The name of its file.
        @param arguments: What stands behind it, one for each port.
        """
        super().__init__(case, folder=folder)
        path = ROOT / "examples" / name
        self.line = [sys.executable, "-c", LOGGED, str(path), *map(str, arguments)]
        self._ports = len(arguments)

    @property
    def log(self):
        """
        What it logged in all of its runs.
        """
        return (self.folder / "log").read_text()

    def start(self):
        """
        Start it, and wait until it has said where it listens.
        """
        self.launchUntil("://", self._ports)


class _UNIXConnection(HTTPConnection):
    """
    HTTP over a UNIX socket.
    """

    def __init__(self, path):
        """
        @param path: Where the socket is.
        """
        super().__init__("localhost")
        self._path = str(path)

    def connect(self):
        """
        See L{HTTPConnection.connect}.
        """
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self._path)


class Answer:
    """
    What the server said.

    @ivar status: The status code.
    @ivar headers: The headers.
    @ivar text: The body.
    """

    def __init__(self, response: HTTPResponse) -> None:
        """
        @param response: What was received.
        """
        self.status = response.status
        self.headers = response.headers
        self.text = response.read().decode("utf-8")


class Visitor:
    """
    A browser as far as it matters here.

    @ivar cookies: Its cookies, by name.
    """

    def __init__(self, where):
        """
        @param where: A TCP port of this machine, or the path of a UNIX socket.
        """
        self._where = where
        self.cookies = {}

    def exchange(self, method, path, body, headers):
        """
        Send bytes there and back.
        """
        if isinstance(self._where, int):
            connection = HTTPConnection("127.0.0.1", self._where, timeout=PATIENCE)
        else:
            connection = _UNIXConnection(self._where)
        try:
            connection.request(method, path, body, headers)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def request(self, method, path, body=None, headers=()):
        """
        Send one request, with cookies, and take what cookies come back.
        """
        sent = dict(headers)
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{k}={v}" for k, v in self.cookies.items())
        answer = self.exchange(method, path, body, sent)
        for header in answer.headers.get_all("Set-Cookie", []):
            for name, cookie in SimpleCookie(header).items():
                self.cookies[name] = cookie.value
                if cookie["max-age"] == "0":
                    del self.cookies[name]
        return answer

    def get(self, path="/"):
        """
        Fetch a page.
        """
        return self.request("GET", path)

    def post(self, path, **fields):
        """
        Send a form.
        """
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.request("POST", path, urlencode(fields), kind)
