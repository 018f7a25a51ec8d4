"""
No uid and no key gets out: a site that meets all kinds of trouble is searched for
each of its secrets, in each form, in everything that it leaves behind.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import pprint
import sqlite3
import traceback

from twisted.internet.defer import maybeDeferred
from twisted.logger import globalLogPublisher, textFileLogObserver
from twisted.python.components import registerAdapter
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import Interface, implementer

import txsessions
from tests.searching import PACKAGE, Search, saidOf, variablesOfOurs
from tests.web.durable import DurableCase
from tests.web.oracle import WebCase
from txsessions.core.keyfile import readKeyFile
from txsessions.core.uid import storeKeyOf
from txsessions.interfaces import ISessionListener

PURPOSES = (b"record", b"csrf", b"index")


class IDiary(Interface):
    """
    Something that refers to its session.
    """


@implementer(IDiary)
class Diary:
    """
    See L{IDiary}.
    """

    def __init__(self, session):
        """
        @param session: Whose diary.
        """
        self.session = session
        self.pages = []


registerAdapter(Diary, txsessions.Session, IDiary)


@implementer(ISessionListener)
class Careless:
    """
    Shows everything that it is told.

    @ivar told: The events.
    """

    def __init__(self):
        self.told = []

    def sessionEvent(self, event):
        """
        See C{ISessionListener}.

        @raise ZeroDivisionError: Always, now and then.
        """
        self.told.append(repr(event))
        if len(self.told) % 3 == 0:
            raise ZeroDivisionError("a listener")


class Trouble(Resource):
    """
    All kinds of pages.

    @ivar seen: What their objects say of themselves.
    """

    isLeaf = True

    def __init__(self, case):
        """
        @param case: The test.
        """
        super().__init__()
        self.case = case
        self.seen = []

    def render(self, request):
        """
        See C{IResource}.
        """
        return getattr(self, f"do_{request.postpath[0].decode()}")(request)

    def show(self, *things):
        """
        Note how things look, and what is seen from here of our variables.
        """
        self.seen += variablesOfOurs()
        for thing in things:
            self.seen += [
                repr(thing),
                str(thing),
                f"{thing!r:>10}",
                pprint.pformat(thing),
            ]

    def do_count(self, request):
        """
        Use all places where a session keeps things.
        """
        session = request.getSession()
        session["count"] = session.sessionNamespaces.get("count", 0) + 1
        session.user = "alice"
        IDiary(session).pages.append("a page")
        self.show(
            session,
            session._entry,
            session._expireCall,
            vars(session),
            session.sessionNamespaces,
            request,
            request._exchange,
            request._exchange.visits,
            request.session,
            request.site,
        )
        return b"%d" % session["count"]

    def do_error(self, request):
        """
        Fail, with a session at hand.
        """
        session = request.getSession()
        session["count"] = 0
        raise ValueError(f"trouble with {session} of {request.site}")

    def do_late(self, request):
        """
        Fail later.
        """
        session = request.getSession()
        session["late"] = True

        def fail():
            request.processingFailed(Failure(ValueError(f"late with {session!r}")))

        self.case.clock.callLater(0, fail)
        return NOT_DONE_YET

    def do_unkeepable(self, request):
        """
        Keep what cannot be kept.
        """
        session = request.getSession()
        session.socket = object()
        return b""

    def do_large(self, request):
        """
        Keep too much.
        """
        request.getSession()["large"] = "x" * 70_000
        return b""

    def do_rotate(self, request):
        """
        Sign in.
        """
        request.getSession().rotate(request)
        return b""

    def do_end(self, request):
        """
        Sign out, with a callback that fails.
        """
        session = request.getSession()

        def fails():
            raise ZeroDivisionError(f"at the end of {session!r}")

        session.notifyOnExpire(fails)
        session.expire()
        return b""

    def do_dead(self, request):
        """
        Use a session that has ended.
        """
        session = request.getSession()
        session.expire()
        session.touch()
        return b""

    def do_foreign(self, request):
        """
        Ask for a session that is not there, as strangers to the site do.
        """
        return repr(request.site.getSession(b"f0" * 32)).encode()


class LeakTests(DurableCase):
    """
    A site in trouble.
    """

    def setUp(self):
        """
        Listen to everything that is said.
        """
        super().setUp()
        self.search = Search()
        self.uids = []
        self.text = io.StringIO()
        self.events = []
        self.reprs = []
        observer = textFileLogObserver(self.text)
        for each in (observer, self.events.append):
            globalLogPublisher.addObserver(each)
            self.addCleanup(globalLogPublisher.removeObserver, each)
        self.bodies = []
        self.codes = set()
        self.disk = []
        self.listener = Careless()
        self.addCleanup(self.flushLoggedErrors)

    def prepare(self, site):
        """
        Note the secrets as they are drawn.
        """
        site.displayTracebacks = True
        draw = site._entropy

        def drawAndNote(size):
            drawn = draw(size)
            self.uids.append(drawn.hex().encode())
            self.search.add(f"uid {len(self.uids)}", drawn)
            self.search.add(f"uid {len(self.uids)}", drawn.hex().encode())
            return drawn

        site._entropy = drawAndNote
        site.addSessionListener(self.listener)

    def noteKeys(self):
        """
        Learn the keys.
        """
        ring = readKeyFile(f"{self.database}.key")
        for key in (ring.active, *ring.others):
            self.search.add("root key", key.secret)
            for purpose in PURPOSES:
                self.search.add(f"{purpose.decode()} key", key.derive(purpose))
        self.reprs += [repr(ring), str(ring), repr(ring.active), pprint.pformat(ring)]

    def check(self, answer):
        """
        Keep an answer, but for the line that gives the cookie.
        """
        headers = [
            f"{name}: {value}"
            for name, value in answer.headers.items()
            if name.lower() != "set-cookie"
        ]
        self.bodies += [answer.body, "\n".join(headers)]
        self.codes.add(answer.code)

    def readDisk(self):
        """
        Read everything beside the key file.
        """
        for name in sorted(os.listdir(self.folder)):
            path = self.folder / name
            if path.is_file() and not name.endswith(".key"):
                self.disk.append((name, path.read_bytes()))

    def assertNothing(self, where, texts):
        """
        No secret is in any of these.
        """
        for text in texts:
            found = self.search.find(text)
            if found:
                self.fail(f"{found} in {where}: {text!r}")

    def said(self):
        """
        All that was logged, in all forms.
        """
        yield self.text.getvalue()
        yield from saidOf(self.events)

    async def run_(self):
        """
        Go through all kinds of trouble.
        """
        trouble = Trouble(self)
        self.begin(trouble, logPath=str(self.folder / "access.log"))
        pages = (
            "count error count late count unkeepable count dead count large count "
            "rotate count foreign end count"
        )
        client = self.visitor()
        for page in pages.split():
            await self.fetch(client, f"/{page}")
        self.readDisk()
        self.noteKeys()
        await self.attack(client)
        self.show(trouble)
        await self.end()
        self.readDisk()
        self.begin(trouble, logPath=str(self.folder / "access.log"))
        again = self.visitor(client)
        await self.fetch(again, "/count")
        self.damage()
        await self.end()
        self.begin(trouble)
        await self.fetch(self.visitor(client), "/count")
        self.clock.advance(5000)
        await self.until(lambda: True)
        await self.breakStore()
        await self.fetch(self.visitor(client), "/count")
        self.readDisk()
        self.reprs += trouble.seen + self.listener.told

    async def attack(self, client):
        """
        Send cookies of all kinds.
        """
        mine = client.sent()[0].decode()
        name = mine.partition("=")[0]
        for cookie in (
            f"{mine}; {name}={self.uids[0].decode()}",
            f"{name}={self.uids[0].decode()}",
            f"{name}={self.uids[-1].decode()}x",
            f"{name}={self.uids[-1].decode().upper()}",
            f"__Host-{mine}",
        ):
            stranger = self.visitor()
            await self.fetch(
                stranger, "/count", headers=(f"Cookie: {cookie}",), cookies=False
            )

    def show(self, trouble):
        """
        Look at all objects, and at what fails with a uid in hand.
        """
        site = self.site
        live = site._live
        trouble.show(
            site,
            site.sessions,
            live,
            live.store,
            live.announcer,
            live.announcer.counts,
            live.lifecycle,
            live.loader,
            live.resting,
            live.resting.departed,
            live.tombstones,
            live.sealer,
            site.cookies,
            list(site.sessions.values()),
            vars(site)["sessions"],
        )
        for uid in [self.uids[0], b"x"]:
            for call in (
                lambda uid=uid: site.getSession(uid),
                lambda uid=uid: site.sessions[uid],
                lambda uid=uid: site.sessions.pop(uid),
                lambda uid=uid: site.sessions.__delitem__(uid),
            ):
                try:
                    call()
                except KeyError as error:
                    failure = Failure(captureVars=True)
                    trouble.seen += [str(error), repr(error), repr(failure)]
                    trouble.seen += traceback.format_exc().splitlines()
                    self.noteFrames(failure)
        for session in list(site.sessions.values())[:1]:
            record = self.recordOf(session)
            trouble.show(record)

    def recordOf(self, session):
        """
        The stored record of a live session.
        """
        key = storeKeyOf(b"", session._uid)
        done = self.site._live.store.load(key, self.clock.seconds())
        return self.successResultOf(maybeDeferred(lambda: done))

    def noteFrames(self, failure):
        """
        Keep what a failure shows of the variables in our frames.
        """
        for _, file, _, variables, _ in failure.frames:
            if file.startswith(PACKAGE):
                self.reprs += [f"{n}={v!r}" for n, v in variables]

    def damage(self):
        """
        Spoil all records.
        """
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            rows = connection.execute(
                "SELECT rowid, payload FROM sessions WHERE payload <> x''"
            ).fetchall()
            for row, payload in rows:
                spoilt = payload[:-1] + bytes([payload[-1] ^ 1])
                connection.execute(
                    "UPDATE sessions SET payload = ? WHERE rowid = ?", (spoilt, row)
                )
            connection.commit()

    async def breakStore(self):
        """
        Take the database away.
        """
        done = self.site._live.store.close()
        state = []
        done.addBoth(state.append)
        await self.until(lambda: state)

    async def test_nothingLeaks(self):
        """
        Neither logs, events, pages, headers, files nor objects hold a secret.
        """
        await self.run_()
        self.assertGreater(len(self.uids), 8)
        self.assertNothing("the log", self.said())
        self.assertNothing("a response", self.bodies)
        self.assertNothing("an object", self.reprs)
        for name, data in self.disk:
            self.assertNothing(name, [data])

    async def test_allKindsOfTrouble(self):
        """
        The run above has met what it is meant to meet.
        """
        await self.run_()
        self.assertEqual(self.codes, {200, 500, 503})
        files = {name for name, _ in self.disk}
        self.assertLessEqual({"sessions.sqlite-wal", "access.log"}, files)
        told = "".join(self.listener.told)
        for word in (
            "created",
            "rotated",
            "ended",
            "expired",
            "duplicate",
            "malformed",
        ):
            self.assertIn(word, told)
        self.assertIn("unavailable", told)
        self.assertIn("damaged", self.text.getvalue())
        self.assertIn("Traceback", self.text.getvalue())
        pages = [body for body in self.bodies if isinstance(body, bytes)]
        self.assertTrue(any(b"web.Server Traceback" in page for page in pages))

    def test_search(self):
        """
        The search itself finds each form.
        """
        secret = bytes(range(200, 232))
        search = Search()
        search.add("it", secret)
        surrounded = b"ab" + secret + b"cd"
        for text in (
            surrounded,
            surrounded.hex(),
            surrounded.hex().upper(),
            base64.b64encode(surrounded),
            base64.urlsafe_b64encode(surrounded[1:]),
            base64.b64encode(surrounded[2:]),
            repr(surrounded),
            f"{list(surrounded)}",
        ):
            self.assertEqual(search.find(text), ["it"], text)
        self.assertEqual(search.find(b"nothing of it"), [])


class SlowLeakTests(WebCase):
    """
    A page that is rendered when a slow store has answered.
    """

    def test_variables(self):
        """
        What the variables of the functions that lead to it hold is no secret
        either.
        """
        seen = []

        def render(request):
            request.getSession()["seen"] = True
            seen.extend(variablesOfOurs())
            return b""

        self.serve(render)
        client = self.client()
        client.fetch()
        self.store.sharedWithOthers = True
        self.store.hold("load")
        client.send()
        del seen[:]
        self.store.pass_()
        self.assertEqual(client.answer().code, 200)
        search = Search()
        for uid in self.uids:
            search.add("uid", uid)
        self.assertTrue(seen)
        self.assertEqual([text for text in seen if search.find(text)], [])
