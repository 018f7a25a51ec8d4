"""
The server of these tests: a counter with login, logout and new ids.

Owns the resource and the two ways to be run.  With one argument, C{python -m
tests.crash.server OPTIONS}, it serves; without, it reads one C{OPTIONS} a line and
forks a server for each, which is a good deal faster than the start of a program.
C{OPTIONS} is JSON, see L{Options}.  Where it serves is told on the standard output,
as JSON too.

Knows nothing of the tests, and imports no reactor before it serves.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time

from attrs import Factory, frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tests.crash.heart import Heart
from tests.crash.telling import Heard, Telling
from tests.crash.wrong import STORES, makeMortal
from txsessions import Session, Site, openStore
from txsessions.interfaces import ISessionListener


@frozen(kw_only=True)
class Options:
    """
    How to serve.

    @ivar path: The database.
    @ivar log: The file that takes what is said besides the port.
    @ivar durability: The store's.
    @ivar store: The name of a class in L{STORES}.
    @ivar idle: The sessions' idle time, in seconds.
    @ivar address: The store's address, where that is not the database.
    @ivar keys: The key file, where that is not the one beside the database.
    @ivar constants: Constants of the product that are to be others here, by their
        full names.
    """

    path: str
    log: str
    durability: str = "full"
    store: str = "right"
    idle: float = 900.0
    address: str = ""
    keys: str | None = None
    constants: dict = Factory(dict)

    def makeStore(self):
        """
        Make the store.
        """
        if self.address:
            store = openStore(self.address)
            return makeMortal(store) if self.store == "mortal" else store
        return STORES[self.store](self.path, durability=self.durability)

    def setConstants(self):
        """
        Give the constants their values.
        """
        for name, value in self.constants.items():
            module, _, constant = name.rpartition(".")
            setattr(importlib.import_module(module), constant, value)


@implementer(ISessionListener)
class Counts:
    """
    How many events of which kind there were.
    """

    def __init__(self):
        self.kinds = {}

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        kind = event.kind.value
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


class Counter(Telling, Resource):
    """
    What is served.  The path says what is to be done.

    @ivar counts: What has happened to sessions.
    """

    isLeaf = True

    def __init__(self, store):
        super().__init__()
        self._store = store
        self._heart = None
        self.counts = Counts()
        self.heard = Heard()
        self.site = None

    def render(self, request):
        """
        Do what the path says.
        """
        return getattr(self, "do_" + request.path[1:].decode())(request)

    def _argument(self, request, name, otherwise=""):
        """
        Find an argument in the query.
        """
        return request.args.get(name.encode(), [otherwise.encode()])[0].decode()

    def _tell(self, request, session):
        """
        Tell what is in a session, and the tag that the client gave its request.
        """
        kept = session.sessionNamespaces
        return self._answer(
            count=kept.get("count", 0),
            twin=getattr(session, "twin", 0),
            user=kept.get("user", ""),
            named=kept.get("named", {}),
            isNew=session.isNew,
            tag=self._argument(request, "tag"),
        )

    def _answer(self, **told):
        """
        Put something into a body.
        """
        return json.dumps(told).encode()

    def _count(self, session):
        """
        Count in two places, which must always be of one mind.
        """
        kept = session.sessionNamespaces
        session.twin = kept["count"] = kept.get("count", 0) + 1

    def do_look(self, request):
        """
        Change nothing.
        """
        return self._tell(request, request.getSession())

    def do_count(self, request):
        """
        Count.
        """
        session = request.getSession()
        self._count(session)
        return self._tell(request, session)

    def do_add(self, request):
        """
        Count under a name.
        """
        session = request.getSession()
        named = session.sessionNamespaces.setdefault("named", {})
        name = self._argument(request, "name")
        named[name] = named.get(name, 0) + 1
        return self._tell(request, session)

    def do_login(self, request):
        """
        Sign in, which gives a new id.
        """
        session = request.getSession()
        session.sessionNamespaces["user"] = self._argument(request, "name")
        session.rotate(request)
        return self._tell(request, session)

    def do_rotate(self, request):
        """
        Give a new id.
        """
        session = request.getSession()
        session.rotate(request)
        return self._tell(request, session)

    def do_logout(self, request):
        """
        Sign out.
        """
        session = request.getSession()
        session.expire()
        return self._answer(tag=self._argument(request, "tag"))

    def do_dying(self, request):
        """
        Do something during which this process ends.
        """
        request.getSession()
        self._store.dies = self._argument(request, "when")
        return getattr(self, "do_" + self._argument(request, "do"))(request)

    def do_later(self, request):
        """
        Count after the response, and save nothing by hand.
        """
        from twisted.internet import reactor

        session = request.getSession()
        body = self._tell(request, session)
        request.notifyFinish().addCallback(
            lambda _: reactor.callLater(0, self._count, session)
        )
        return body

    def do_slow(self, request):
        """
        Take the session, and answer when some seconds have gone by; count C{first}
        or C{last}.
        """
        from twisted.internet import reactor

        session = request.getSession()
        when = self._argument(request, "count")
        if when == "first":
            self._count(session)

        def finish():
            if when == "last":
                self._count(session)
            body = self._tell(request, session)
            request.setHeader("Content-Length", str(len(body)))
            request.write(body)
            request.finish()

        reactor.callLater(float(self._argument(request, "seconds")), finish)
        return NOT_DONE_YET

    def do_events(self, request):
        """
        Tell what has happened to sessions.
        """
        return self._answer(**self.counts.kinds)

    def do_beat(self, request):
        """
        Start the heart; tell how late it was since the last time.
        """
        from twisted.internet import reactor

        heart = self._heart
        if heart is None:
            heart = self._heart = Heart(reactor)
        told = self._answer(late=heart.late, busy=heart.busy, beats=heart.beats)
        heart.begin()
        return told

    def do_fork(self, request):
        """
        Fork, try all in the child that a session needs, and tell what came of it.
        """
        reading, writing = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                os.write(writing, json.dumps(self._tryAll(request)).encode())
            finally:
                os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:
            told = pipe.read()
        os.waitpid(pid, 0)
        return told

    def _tryAll(self, request):
        """
        Call what a request calls, and see how it ends.
        """
        session = request.getSession()
        record = session._entry.key, b"a payload", 1e9
        store = self._store
        tries = {
            "load": lambda: store.load(record[0], 0.0),
            "delete": lambda: store.delete(record[0]),
            "countSessions": lambda: store.countSessions(0.0),
            "scan": lambda: store.scan(None, 10),
            "save": lambda: (self._count(session), session.save())[1],
            "loadSession": lambda: self.site.loadSession(b"01" * 32),
            "changes": lambda: maybeDeferred(store.changes),
        }
        told = {}
        for name, attempt in tries.items():
            result = []
            done = maybeDeferred(attempt)
            assert isinstance(done, Deferred)
            done.addBoth(result.append)
            value = getattr(result[0], "value", result[0]) if result else "pending"
            told[name] = type(value).__name__, str(value)
        return told


def serve(options, telling=1):
    """
    Serve until told to end.

    @param telling: The descriptor that takes where that is.
    """
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    telling = os.dup(telling)
    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    observer = textFileLogObserver(open(options.log, "a", encoding="utf-8"))  # noqa: SIM115
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    options.setConstants()
    store = options.makeStore()
    counter = Counter(store)
    site = counter.site = Site(counter, store=store, keys=options.keys)
    site.addSessionListener(counter.counts)
    site.addSessionListener(counter.heard)

    if options.idle != Session.sessionTimeout:
        site.sessionFactory = type("S", (Session,), {"sessionTimeout": options.idle})
    port = reactor.listenTCP(0, site, interface="127.0.0.1", backlog=128)
    told = {"pid": os.getpid(), "port": port.getHost().port}
    reactor.callWhenRunning(os.write, telling, json.dumps(told).encode() + b"\n")
    reactor.callWhenRunning(os.close, telling)
    reactor.run()


def nurse(begin=lambda given, writing: serve(Options(**given), writing)):
    """
    Fork a server for each line of C{OPTIONS}; where a line is C{{"wait": PID}},
    tell how that one has ended.  All are ended when there are no more lines.

    @param begin: What serves, given the line and where to tell the port.
    """
    assert "twisted.internet.reactor" not in sys.modules
    children = set()
    for line in sys.stdin:
        given = json.loads(line)
        if "wait" in given:
            told = {"status": _waitFor(given["wait"], given["patience"])}
            children.discard(given["wait"])
        else:
            reading, writing = os.pipe()
            pid = os.fork()
            if not pid:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                return begin(given, writing)
            children.add(pid)
            os.close(writing)
            with open(reading, encoding="utf-8") as pipe:
                told = json.loads(pipe.readline() or "{}")
        os.write(1, json.dumps(told).encode() + b"\n")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    return None


def _waitFor(pid, patience):
    """
    Wait for the end of a child.

    @return: Its exit status as C{subprocess} has it, or L{None} where it does not
        end.
    """
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    return None


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(Options(**json.loads(sys.argv[1])))
    else:
        nurse()
