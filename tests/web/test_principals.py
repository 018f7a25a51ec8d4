"""
The sessions of one principal: found, ended, and limited.
"""

from __future__ import annotations

import os

from msgspec.structs import replace as evolve

from tests.slowstore import SlowStore
from tests.web.pages import OUTAGE
from tests.web.signing import SignInCase
from txsessions import SignInLimit
from txsessions.core.keyring import KeyRing, RootKey
from txsessions.errors import (
    ConfigurationError,
    SignInNeeded,
    StoreUnavailable,
    TooManySessions,
)
from txsessions.live.events import EventKind


class Heard:
    """
    A listener that keeps what it hears.
    """

    def __init__(self):
        self.events = []

    def sessionEvent(self, event):
        """
        See L{ISessionListener.sessionEvent}.
        """
        self.events.append(event)


class PrincipalCase(SignInCase):
    """
    A site on which people sign in more than once, and another on the same store.
    """

    def setUp(self):
        """
        Serve.
        """
        super().setUp()
        self.there = self.serveElsewhere(self.root)

    def enter(self, who="ann", site=None):
        """
        A client on which somebody has signed in.
        """
        return self.visitor(f"/in?who={who}", site=site)

    def handles(self, who="ann", site=None):
        """
        The handles of the sessions of somebody.
        """
        found = (site or self.site).sessionsOf(who)
        return [each.handle for each in self.successResultOf(found)]

    def who(self, *clients):
        """
        Who is signed in on each client.
        """
        return [self.seen(client).split()[0].decode() for client in clients]


class ListTests(PrincipalCase):
    """
    Finding them.
    """

    def test_all(self):
        """
        Those of all processes are found, and nobody else's.
        """
        self.assertEqual(self.handles(), [])
        self.enter()
        self.enter(site=self.there)
        self.enter("bob")
        self.visitor()
        found = self.handles()
        self.assertEqual(len(found), 2)
        self.assertEqual(found, sorted(found))
        self.assertEqual(self.handles(site=self.there), found)
        self.assertEqual(len(self.handles("bob")), 1)
        self.assertEqual(self.handles("an"), [])

    def test_told(self):
        """
        They are told by when they began and were last used, here or as far as the
        store knows.
        """
        began = self.clock.seconds()
        client = self.enter()
        self.clock.advance(100)
        self.assertEqual(self.seen(client), b"ann 1 0")
        (here,) = self.successResultOf(self.site.sessionsOf("ann"))
        self.assertEqual((here.signedInAt, here.level), (began, 1))
        self.assertEqual(here.lastSeenAt, began + 100)
        self.assertIsNone(here.userAgent)
        self.assertIsNone(here.address)
        (elsewhere,) = self.successResultOf(self.there.sessionsOf("ann"))
        self.assertEqual(elsewhere, here)

    def test_pages(self):
        """
        They come page by page.
        """
        for _ in range(5):
            self.enter()
        every, found, after = self.handles(), [], None
        while page := self.successResultOf(self.site.sessionsOf("ann", after, 2)):
            self.assertLessEqual(len(page), 2)
            found += [each.handle for each in page]
            after = found[-1]
        self.assertEqual(found, every)
        for nonsense in ("", "x", "../..", every[0].upper(), every[0][2:]):
            self.assertEqual(
                self.successResultOf(self.site.sessionsOf("ann", nonsense)), []
            )

    def test_handle(self):
        """
        A session knows its handle, and keeps it when its id changes and when the same
        one signs in again; nothing about it is of use as a cookie.
        """
        client, handles = self.enter(), []

        def page(request):
            session = request.getSession()
            handles.append(session.handle)
            session.rotate(request)
            return b""

        self.page(page)
        client.fetch("/page")
        client.fetch("/in?level=2")
        client.fetch("/page")
        self.assertEqual(handles, self.handles() * 2)
        self.assertNotIn(handles[0], client.sent()[0].decode())
        client.fetch("/in?who=bob")
        client.fetch("/page")
        self.assertNotEqual(handles[-1], handles[0])
        self.assertEqual((self.handles(), self.handles("bob")), ([], handles[-1:]))

    def test_anonymous(self):
        """
        Where nobody is signed in there is no handle.
        """
        client, seen = self.visitor(), []
        self.page(lambda request: seen.append(request.getSession().handle) or b"")
        client.fetch("/page")
        self.assertEqual(seen, [None])

    def test_clients(self):
        """
        Browser and address are kept where the site wants it, up to a limit, and
        never where it does not.
        """
        self.site.keepsClients = True
        self.assertTrue(self.site.keepsClients)
        for agent in ("Mozilla/5.0 (X11)", "x" * 5000):
            self.client().fetch("/in", headers=(f"User-Agent: {agent}",))
        self.client().fetch("/in")
        found = self.successResultOf(self.there.sessionsOf("ann"))
        agents = {each.userAgent for each in found}
        self.assertEqual(agents, {"Mozilla/5.0 (X11)", "x" * 256, None})
        self.assertEqual({each.address for each in found}, {"192.168.1.1"})

    def test_ended(self):
        """
        A logout and the end of its time take a session off the list.
        """
        clients = [self.enter() for _ in range(3)]
        clients[0].fetch("/out")
        self.assertEqual(len(self.handles()), 2)
        self.clock.advance(800)
        self.seen(clients[1])
        self.clock.advance(800)
        self.assertEqual(len(self.handles(site=self.there)), 1)

    def test_outage(self):
        """
        A store that fails is not a principal without sessions.
        """
        self.enter()
        self.store.hold("sessionsOf")
        found = self.site.sessionsOf("ann")
        self.store.fail(OUTAGE)
        self.failureResultOf(found, StoreUnavailable)


class EndTests(PrincipalCase):
    """
    Ending them.
    """

    def test_one(self):
        """
        One is ended by its handle, in every process, and only by its principal.
        """
        ann, other = self.enter(), self.enter(site=self.there)
        bob = self.enter("bob")
        self.seen(other)
        handles = self.handles()
        (bobs,) = self.handles("bob")
        self.assertFalse(self.successResultOf(self.site.endSession("ann", bobs)))
        for nonsense in ("", "x", "é", handles[0].upper()):
            done = self.site.endSession("ann", nonsense)
            self.assertFalse(self.successResultOf(done))
        for handle in handles:
            self.assertTrue(self.successResultOf(self.site.endSession("ann", handle)))
            self.assertFalse(self.successResultOf(self.site.endSession("ann", handle)))
        self.assertEqual(self.who(ann, other, bob), ["nobody", "nobody", "bob"])

    def test_all(self):
        """
        All are ended at once, in every process; whoever signs in afterwards is in.
        """
        clients = [self.enter() for _ in range(3)]
        clients += [self.enter(site=self.there) for _ in range(3)]
        bob, heard = self.enter("bob"), Heard()
        self.site.addSessionListener(heard)
        self.assertEqual(self.successResultOf(self.site.endPrincipal("ann")), 6)
        self.assertEqual(self.who(*clients), ["nobody"] * 6)
        self.assertEqual(self.who(bob), ["bob"])
        self.assertEqual(self.handles(), [])
        self.assertEqual(self.who(self.enter()), ["ann"])
        told = [e for e in heard.events if e.kind is EventKind.PRINCIPAL_ENDED]
        self.assertEqual([e.principal for e in told], ["ann"])
        self.assertEqual(self.successResultOf(self.site.endPrincipal("nemo")), 0)
        self.assertNotIn("ann", repr(told))

    def test_callbacks(self):
        """
        Who waits for the end of a session here learns of it without a request.
        """
        client, ends = self.enter(), []

        def page(request):
            request.getSession().notifyOnExpire(lambda: ends.append(1))
            return b""

        self.page(page)
        client.fetch("/page")
        self.successResultOf(self.site.endPrincipal("ann"))
        self.assertEqual(ends, [1])

    def test_running(self):
        """
        A request that runs meanwhile brings nothing back.
        """
        client = self.enter()
        client.send("/wait")
        request, session = self.waiting[0]
        self.successResultOf(self.there.endPrincipal("ann"))
        session["more"] = 1
        self.finish(request)
        self.assertFalse(client.answer().sets)
        self.assertEqual(self.who(client), ["nobody"])
        self.assertEqual(self.handles(), [])

    def test_justMade(self):
        """
        One that was stored and is ended before its own process has heard of the first
        does not live on there, whether the process asks the store each time or only
        when others have written to it.
        """
        for shared in (True, False):
            client = self.client()
            self.store.late = True
            self.store.hold("insert")
            client.send("/in")
            self.store.sharedWithOthers = shared
            self.assertEqual(self.successResultOf(self.there.endPrincipal("ann")), 1)
            self.store.pass_()
            client.answer()
            self.assertEqual(self.who(client), ["nobody"])

    def test_others(self):
        """
        The others end, this one stays and gets a new id.
        """
        others = [self.enter(), self.enter(site=self.there)]
        client, counts = self.enter(), []

        def page(request):
            done = request.getSession().endOthers(request)
            done.addCallback(counts.append)
            return b"done"

        self.page(page)
        before = self.twin(client)
        self.store.hold("endPrincipal")
        client.send("/page")
        self.assertTrue(client.silent)
        self.store.pass_()
        self.assertTrue(client.answer().sets)
        self.assertEqual(counts, [2])
        self.assertEqual(self.who(client, before, *others), ["ann"] + ["nobody"] * 3)
        self.assertEqual(len(self.handles()), 1)

    def test_othersOutage(self):
        """
        Where the store fails nobody is told that the others have ended.
        """
        other, client, fails = self.enter(), self.enter(), []

        def page(request):
            done = request.getSession().endOthers(request)
            done.addErrback(lambda failure: fails.append(failure.type))
            return b"done"

        self.page(page)
        self.store.hold("endPrincipal")
        client.send("/page")
        self.store.fail(OUTAGE)
        self.store.pass_()
        self.assertEqual(client.answer().code, 503)
        self.assertEqual(fails, [StoreUnavailable])
        self.assertEqual(self.who(other), ["ann"])

    def test_othersOfNobody(self):
        """
        Somebody has to be signed in.
        """
        raised = []

        def page(request):
            session = request.getSession()
            raised.append(self.assertRaises(SignInNeeded, session.endOthers, request))
            return b""

        self.page(page)
        self.visitor("/page")
        self.assertEqual(len(raised), 1)

    def test_erased(self):
        """
        Nothing is left of a principal that is erased, and nobody else is touched.
        """
        client, bob = self.enter(), self.enter("bob")
        self.enter(site=self.there)
        self.assertEqual(self.successResultOf(self.site.erasePrincipal("ann")), 2)
        self.assertEqual(self.who(client, bob), ["nobody", "bob"])
        self.assertEqual(self.stored(), 1)
        self.assertEqual(self.who(self.enter()), ["ann"])
        self.assertEqual(self.successResultOf(self.site.verifyPrincipals()), 0)


class LimitTests(PrincipalCase):
    """
    No more than so many.
    """

    def test_evicts(self):
        """
        The oldest makes room.
        """
        self.site.signInLimit = SignInLimit(most=2, refuses=False)
        clients = []
        for _ in range(4):
            self.clock.advance(1)
            clients.append(self.enter())
        self.assertEqual(self.who(*clients), ["nobody", "nobody", "ann", "ann"])
        self.assertEqual(len(self.handles()), 2)
        self.assertEqual(self.who(self.enter("bob")), ["bob"])

    def test_refuses(self):
        """
        One more is refused with a page that says so, and stays who he was.
        """
        self.site.signInLimit = SignInLimit(most=1, refuses=True)
        first, second = self.enter(), self.visitor()
        answer = second.fetch("/in")
        self.assertEqual((answer.code, answer.cookie), (409, None))
        self.assertIn(b"sign out elsewhere", answer.body)
        self.assertEqual(self.seen(second), b"nobody 0 1")
        self.assertEqual(self.who(first), ["ann"])
        self.assertEqual(self.counted("unavailable"), 0)
        first.fetch("/out")
        self.assertEqual(second.fetch("/in").code, 200)

    def test_refusesTheNew(self):
        """
        So is one who had no session, and one who was somebody else.
        """
        self.site.signInLimit = SignInLimit(most=1, refuses=True)
        self.enter()
        self.assertEqual(self.client().fetch("/in").code, 409)
        bob = self.enter("bob")
        self.assertEqual(bob.fetch("/in").code, 409)
        self.assertEqual(self.who(bob), ["bob"])
        self.assertEqual(self.stored(), 2)

    def test_told(self):
        """
        Whoever called C{login()} is told why.
        """
        self.site.signInLimit = SignInLimit(most=1, refuses=True)
        self.enter()
        fails = []

        def page(request):
            done = request.getSession().login(request, "ann")
            done.addErrback(lambda failure: fails.append(failure.value))
            return b""

        self.page(page)
        self.client().fetch("/page")
        self.assertEqual([type(each) for each in fails], [TooManySessions])
        self.assertEqual(fails[0].most, 1)

    def test_again(self):
        """
        Who signs in once more on the same session is none more.
        """
        self.site.signInLimit = SignInLimit(most=1, refuses=True)
        client = self.enter()
        self.assertEqual(client.fetch("/in?level=2").body, b"ann 2 0")
        self.assertEqual(client.fetch("/in?level=2&keep=no").body, b"ann 2 0")


class UnreadableTests(PrincipalCase):
    """
    Records that cannot be read.
    """

    def test_damaged(self):
        """
        One that is damaged does not hide those behind it.
        """
        for _ in range(3):
            self.enter(site=self.there)
        every, found, after = self.handles(), [], None
        for slot in self.store.inner._slots.values():
            record = slot.record
            if record is not None and record.handle.hex() == every[0]:
                *kept, last = record.payload
                slot.record = evolve(record, payload=bytes([*kept, last ^ 1]))
        while page := self.successResultOf(self.site.sessionsOf("ann", after, 1)):
            found += [each.handle for each in page]
            after = found[-1]
        self.assertEqual(found, every[1:])

    def test_unknownKey(self):
        """
        One that is sealed with a key that is not here does not keep the others away.
        """
        client = self.enter()
        self.enter()
        more = RootKey(secret=os.urandom(32))
        ring = KeyRing(active=more, others=(self.keys.active,))
        slow = SlowStore(self.store.inner)
        slow.sharedWithOthers = True
        self.stores.append(slow)
        site = self.serve(self.root, store=slow, keys=ring)
        self.twin(client, site=site).fetch("/count")
        self.assertEqual(len(self.handles(site=site)), 2)
        self.assertEqual(len(self.handles()), 1)


class WithoutAStoreTests(PrincipalCase):
    """
    A site whose sessions live in this process.
    """

    def begin(self):
        """
        Serve without a store.
        """
        self.serve(self.root, store=None)

    def test_all(self):
        """
        It finds and ends those of a principal too.
        """
        clients = [self.enter(), self.enter(), self.enter("bob")]
        handles = self.handles()
        self.assertEqual(len(handles), 2)
        page = self.successResultOf(self.site.sessionsOf("ann", handles[0]))
        self.assertEqual([each.handle for each in page], handles[1:])
        self.assertEqual(self.successResultOf(self.site.verifyPrincipals()), 0)
        done = self.site.endSession("bob", handles[0])
        self.assertFalse(self.successResultOf(done))
        done = self.site.endSession("ann", handles[0])
        self.assertTrue(self.successResultOf(done))
        self.assertEqual(self.handles(), handles[1:])
        self.assertEqual(self.successResultOf(self.site.endPrincipal("ann")), 1)
        self.assertEqual(self.who(*clients), ["nobody", "nobody", "bob"])
        self.assertEqual(self.successResultOf(self.site.erasePrincipal("bob")), 1)
        self.assertEqual(self.who(*clients), ["nobody"] * 3)

    def test_limit(self):
        """
        Nobody would keep to a limit.
        """
        limit = SignInLimit(most=1, refuses=False)
        error = self.assertRaises(
            ConfigurationError, setattr, self.site, "signInLimit", limit
        )
        self.assertIn("memory:", str(error))
        self.site.signInLimit = None
        self.assertIsNone(self.site.signInLimit)

    def test_others(self):
        """
        The others end, this one stays.
        """
        other, client, counts = self.enter(), self.enter(), []

        def page(request):
            request.getSession().endOthers(request).addCallback(counts.append)
            return b""

        self.page(page)
        self.assertTrue(client.fetch("/page").sets)
        self.assertEqual(counts, [1])
        self.assertEqual(self.who(other, client), ["nobody", "ann"])


__all__ = ["PrincipalCase"]


class NamelessTests(PrincipalCase):
    """
    What is asked of those who cannot have signed in.
    """

    def test_nobody(self):
        """
        Where nobody is signed in there are no sessions to be listed.
        """
        self.enter()
        self.assertEqual(self.handles(None), [])

    def test_wrong(self):
        """
        Whoever is not called by a text is refused, since to have ended nothing would
        look like success.
        """
        self.enter()
        (handle,) = self.handles()
        for wrong in (None, b"ann", 7):
            for done in (
                self.site.endPrincipal(wrong),
                self.site.erasePrincipal(wrong),
                self.site.endSession(wrong, handle),
            ):
                error = self.failureResultOf(done, ConfigurationError).value
                self.assertIn(type(wrong).__name__, str(error))
        done = self.site.sessionsOf(b"ann")
        self.failureResultOf(done, ConfigurationError)
        self.assertEqual(self.handles(), [handle])

    def test_noCharacter(self):
        """
        A lone surrogate, as in what a client sent, is in nobody's name.
        """
        self.enter()
        self.assertEqual(self.handles("ann\ud800"), [])
        self.assertEqual(self.successResultOf(self.site.endPrincipal("ann\ud800")), 0)
