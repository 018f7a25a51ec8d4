"""
The server of these tests: a few pages that read a session, stop, and change it.

Owns the pages, and what the driver can ask of a process besides them over a second
port: to stop requests, to let them go on, to count.  C{python -m tests.races.server}
forks one server for each line of L{Options}, as L{tests.crash.server} does.
"""

from __future__ import annotations

import json
import os
from functools import partial

from attrs import frozen
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineOnlyReceiver
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from tests.crash.server import nurse
from tests.races.entering import OPEN, Entering, outcomeOf
from tests.races.gates import Gate, GatedStore
from tests.races.leaping import leaping
from tests.races.wrong import plant
from txsessions import Session, Site, openStore
from txsessions.interfaces import ISessionListener


@frozen(kw_only=True)
class Options:
    """
    How to serve.

    @ivar address: The store's address.
    @ivar keys: The key file.
    @ivar log: The file that takes what is said.
    @ivar idle: The sessions' idle time, in seconds.
    @ivar fault: What is wrong on purpose, see L{tests.races.wrong}.
    @ivar leaps: Whether time goes by when the driver says so, see
        L{tests.races.leaping}.
    """

    address: str
    keys: str
    log: str
    idle: float = 900.0
    fault: str = ""
    leaps: bool = False


@implementer(ISessionListener)
class Counts:
    """
    How many events of which kind there were; of ends by the reason.
    """

    def __init__(self):
        self.kinds = {}

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        kind = event.kind.value
        if kind == "ended":
            kind = f"ended {event.reason}"
        self.kinds[kind] = self.kinds.get(kind, 0) + 1


def plain(value):
    """
    Say something in JSON's words: a set is a sorted list.
    """
    if isinstance(value, set):
        return sorted(value)
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


class Pages(Entering, Resource):
    """
    What is served.  The path says what is to be done; nobody but L{OPEN} does
    anything with a session that was made just now.
    """

    isLeaf = True

    def __init__(self, gate):
        super().__init__()
        self._gate = gate
        self.site = None

    def render(self, request):
        """
        Read, stop, and do what the path says.
        """
        name = request.path[1:].decode()
        session = request.getSession()
        if name == "begin":
            return self.begin(request, session)
        if session.isNew and name not in OPEN:
            return self.page(gone=True)
        arguments = {
            key.decode(): values[0].decode() for key, values in request.args.items()
        }
        change = getattr(self, "do_" + name)(request, session, **arguments)
        if not self._gate.isArmed:
            outcome = change()
            if not isinstance(outcome, Deferred):
                return self._told(session, name, outcome)
            done = outcome
        else:
            done = self._gate.hold("page").addCallback(lambda _: change())
        done.addCallback(partial(self._answer, request, session, name))
        done.addErrback(request.processingFailed)
        return NOT_DONE_YET

    def _told(self, session, name, outcome):
        """
        Make the page of what was done.
        """
        return self.page(
            did=name,
            outcome=outcome,
            state=plain(session.sessionNamespaces),
            who=[session.principal, session.level, session.handle],
        )

    def _answer(self, request, session, name, outcome):
        """
        Answer late.
        """
        body = self._told(session, name, outcome)
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()

    def page(self, **told):
        """
        Put something into a body.
        """
        return json.dumps(told).encode()

    def begin(self, request, session):
        """
        Make a session with something of each kind in it.
        """
        self.fill(session, request.args.get(b"value", [b""])[0].decode())
        if b"idle" in request.args:
            session.sessionTimeout = float(request.args[b"idle"][0])
        return self._told(session, "begin", "")

    def fill(self, session, value=""):
        """
        Put something of each kind into a session.
        """
        session.sessionNamespaces.update(
            user="me",
            cart={"apples": True, "pears": True, "plums": True},
            marks={"red", "green", "blue"},
            notes={},
            value=value,
        )

    # Each of these reads at once, and gives what is to be done when it may go on.

    def do_look(self, request, session):
        """
        Change nothing.
        """
        return lambda: ""

    def do_touch(self, request, session):
        """
        Change nothing, a minute after the last use.
        """
        session._entry.touchedAt -= 61.0
        return lambda: ""

    def do_bump(self, request, session, key):
        """
        Count under a key of the session.
        """
        return self._bump(session.sessionNamespaces, key)

    def do_note(self, request, session, key):
        """
        Count under a key of a dict in the session.
        """
        return self._bump(session.sessionNamespaces["notes"], key)

    def _bump(self, counts, key):
        """
        Count in a dict.
        """
        number = counts.get(key, 0) + 1

        def bump():
            counts[key] = number

        return bump

    def do_cart(self, request, session, put="", drop=""):
        """
        Put something into a dict and take something out.
        """
        cart = session.sessionNamespaces["cart"]

        def change():
            if put:
                cart[put] = True
            cart.pop(drop, None)

        return change

    def do_mark(self, request, session, put="", drop=""):
        """
        Put something into a set and take something out.
        """
        marks = session.sessionNamespaces["marks"]

        def change():
            marks.update([put] if put else [])
            marks.discard(drop)

        return change

    def do_rotate(self, request, session):
        """
        Give a new id.
        """

        def rotate():
            session.rotate(request)

        return rotate

    def do_login(self, request, session, name="you"):
        """
        Sign in as somebody else, which gives a new id.
        """

        def login():
            session.sessionNamespaces["user"] = name
            session.rotate(request)

        return login

    def do_logout(self, request, session):
        """
        Sign out.
        """

        def logout():
            session.expire()

        return logout

    def do_transact(self, request, session, key):
        """
        Count under a key of its own exactly.
        """

        async def count(own):
            number = own.sessionNamespaces.get(key, 0) + 1
            await self._gate.hold("transaction")
            own.sessionNamespaces[key] = number
            return number

        return lambda: outcomeOf(self.site.transact(session.uid, count))

    def do_put(self, request, session, value):
        """
        Set the value, and have it saved before saying so.
        """

        def put():
            session.sessionNamespaces["value"] = value
            return outcomeOf(session.save())

        return put

    def do_swap(self, request, session, value):
        """
        Set the value exactly, and tell what it was.
        """

        def swap(own):
            was = own.sessionNamespaces["value"]
            own.sessionNamespaces["value"] = value
            return was

        return lambda: outcomeOf(self.site.transact(session.uid, swap))


class Control(LineOnlyReceiver):
    """
    The driver's line.  Each order is a line of JSON, and so is what is told; how
    things are at the gate is told with it, and when that changes.
    """

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, pages, gate, store, counts):
        self._pages = pages
        self._gate = gate
        self._store = store
        self._counts = counts
        self._isTelling = False
        gate.changed = self._soon

    def connectionMade(self):
        """
        Waste no time.
        """
        self.transport.setTcpNoDelay(True)

    def lineReceived(self, line):
        """
        Carry out an order.
        """
        order = json.loads(line)
        serial = order.pop("serial")
        done = maybeDeferred(getattr(self, "do_" + order.pop("do")), **order)
        done.addErrback(lambda failure: f"failed: {failure.type.__name__}")
        done.addCallback(
            lambda told: self._reactor().callLater(0, self._tell, serial, told)
        )

    def _reactor(self):
        """
        The reactor of this process.
        """
        from twisted.internet import reactor

        return reactor

    def _soon(self):
        """
        Tell how it is when this turn is over.
        """
        if not self._isTelling:
            self._isTelling = True
            self._reactor().callLater(0, self._tell)

    def _tell(self, serial=None, told=None):
        """
        Tell how it is.
        """
        self._isTelling = False
        gate = self._gate
        state = {
            "held": gate.held,
            "pending": gate.pending,
            "serial": serial,
            "told": told,
        }
        self.sendLine(json.dumps(state).encode())

    def do_arm(self, sweeps=False):
        """
        Stop everybody from now on.
        """
        self._gate.isArmed, self._gate.isSweeping = True, sweeps

    def do_rest(self):
        """
        Stop nobody for a while; who is stopped stays so.
        """
        self._gate.isArmed = False

    def do_disarm(self):
        """
        Stop nobody any more.
        """
        self._gate.disarm()

    def do_go(self):
        """
        Let one go on.
        """
        self._gate.letGo()

    def do_sync(self):
        """
        Just tell how it is.
        """

    def do_events(self):
        """
        Tell what has happened to sessions.
        """
        return self._counts.kinds

    def do_principal(self, who):
        """
        Tell of the sessions of somebody.
        """
        return Deferred.fromCoroutine(self._pages.sessionsOf(who))

    def do_count(self):
        """
        Count the sessions that are alive.
        """
        return self._store.inner.countSessions(self._pages.site.reactor.seconds())

    def do_sweep(self):
        """
        Sweep once.
        """
        return self._pages.site._live.lifecycle._sweeper.sweepSlice()

    def do_leap(self, seconds):
        """
        Have some time gone by.
        """
        self._pages.site.reactor.leap(seconds)

    def do_witnessed(self):
        """
        Tell what calls of the store have come to since that was asked.
        """
        witnessed, self._gate.witnessed = self._gate.witnessed, []
        return witnessed

    def do_records(self):
        """
        Count all records, expired ones too.
        """

        def more(page, before=0):
            records, cursor = page
            if cursor is None:
                return before + len(records)
            following = self._store.inner.scan(cursor, 500)
            return following.addCallback(more, before + len(records))

        return self._store.inner.scan(None, 500).addCallback(more)


def serve(given, writing):
    """
    Serve until told to end.

    @param given: L{Options}.
    @param writing: The descriptor that takes where.
    """
    options = Options(**given)
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    log = os.open(options.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    observer = textFileLogObserver(open(options.log, "a", encoding="utf-8"))  # noqa: SIM115
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    gate, counts = Gate(), Counts()
    pages = Pages(gate)
    inner = plant(options.fault, openStore(options.address, reactor=reactor), pages)
    store = GatedStore(inner, gate)
    clock = leaping(reactor) if options.leaps else reactor
    site = pages.site = Site(pages, store=store, keys=options.keys, reactor=clock)
    site.log = lambda request: None
    site.addSessionListener(counts)
    if options.idle != Session.sessionTimeout:
        site.sessionFactory = type("S", (Session,), {"sessionTimeout": options.idle})
    port = reactor.listenTCP(0, site, interface="127.0.0.1", backlog=128)
    line = Factory.forProtocol(lambda: Control(pages, gate, store, counts))
    line.noisy = False
    control = reactor.listenTCP(0, line, interface="127.0.0.1")
    told = {
        "pid": os.getpid(),
        "port": port.getHost().port,
        "control": control.getHost().port,
    }

    reactor.callWhenRunning(os.write, writing, json.dumps(told).encode() + b"\n")
    reactor.callWhenRunning(os.close, writing)
    reactor.run()


if __name__ == "__main__":
    nurse(serve)
