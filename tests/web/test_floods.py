"""
Visitors who are nobody, and too many: whole requests.
"""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests import floods
from tests.live.sites import Listener
from tests.web.browsing import NOW
from tests.web.oracle import WebCase
from tests.web.pages import OUTAGE, change, count, look
from txsessions import Site
from txsessions.core.keyring import KeyRing
from txsessions.errors import ConfigurationError
from txsessions.stores import MemoryStore


def front(request):
    """
    A page by whose path one signs in, or only looks.
    """
    if request.path == b"/in":
        change(request).login(request, "somebody")
    elif request.path == b"/look":
        return look(request)
    return count(request)


class FloodCase(WebCase):
    """
    A site, and many visitors.
    """

    def setUp(self) -> None:
        """
        Serve.
        """
        super().setUp()
        self.front = self.serve(front)
        self.heard = Listener()
        self.front.addSessionListener(self.heard)

    def come(self, number: int, path: str = "/", seconds: float = 0.0) -> list:
        """
        Have new visitors come, one after the other.

        @return: Their browsers.
        """
        visitors = []
        for _ in range(number):
            client = self.client()
            self.assertEqual(client.fetch(path).code, 200)
            visitors.append(client)
            self.clock.advance(seconds)
        return visitors

    def whoIsThere(self, visitors: list) -> list[int]:
        """
        Which of them still have what they left.
        """
        answers = [each.fetch("/look") for each in visitors]
        return [n for n, each in enumerate(answers) if each.body != b"count 0"]


class ShareTests(SynchronousTestCase):
    """
    A share of what L{tests.floods} does as a program.
    """

    def test_lookingCostsNothing(self) -> None:
        """
        Of 4,000 visitors who look, each on a connection of his own, nothing is left:
        no record, no cookie, no timer, nothing in memory.
        """
        left = floods.look(4000)
        # What the largest size ever was says little in a process that runs tests.
        del left["kilobytes"]
        self.assertLess(left.pop("objects"), 100)
        self.assertEqual(left, {"records": 0, "cookies": 0, "timers": 0, "sessions": 0})

    def test_whoIsSignedInStays(self) -> None:
        """
        2,000 visitors write where 200 may be; 50 who are signed in are all there at the
        end, on two sites with one store, and there are never more than may be.
        """
        clock, store = Clock(), MemoryStore()
        clock.advance(NOW)
        keys = KeyRing.random(lambda size: bytes(range(100, 100 + size)))
        sites = [
            Site(floods.Front(), store=store, keys=keys, reactor=clock)
            for _ in range(2)
        ]
        for site in sites:
            site.startFactory()
        told = self.successResultOf(
            Deferred.fromCoroutine(floods.write(sites[0], 2000, 200, sites[1]))
        )
        self.assertEqual(sites[1].maxAnonymous, 200)
        self.assertEqual(told["signed in and whole"], 50)
        self.assertLessEqual(told["at most"], 200)
        self.assertGreaterEqual(told["left"], 195)
        self.assertEqual(told["inserted"], 2000)
        self.assertEqual(told["evicted"], 2000 - told["left"])
        self.assertEqual(len(store._anonymous), told["left"])
        for site in sites:
            site.stopFactory()


class WritingTests(FloodCase):
    """
    Those who leave something.
    """

    def test_whoOnlyLooksIsNotCounted(self) -> None:
        """
        Nor kept.
        """
        self.come(5, "/look")
        self.assertEqual(self.front.floods.inserted, 0)
        self.assertEqual(self.stored(), 0)

    def test_theLongestUnusedGo(self) -> None:
        """
        The oldest go first; who comes back in time stays, and who comes back too late
        begins anew, with an answer as any other and another cookie.
        """
        self.front.maxAnonymous = 5
        early = self.come(3, seconds=15.0)
        self.assertEqual(early[0].fetch().body, b"count 2")
        self.come(4, seconds=1.0)
        self.assertEqual(self.stored(), 5)
        before = early[1].sent()
        self.assertEqual(self.whoIsThere(early), [0])
        again = early[1].fetch()
        self.assertEqual((again.code, again.body), (200, b"count 1"))
        self.assertNotEqual(early[1].sent(), before)

    def test_theNumberOverAllProcesses(self) -> None:
        """
        Two processes on one store keep to it together, but for a batch each.
        """
        other = self.serveElsewhere(front)
        for site in (self.front, other):
            site.maxAnonymous = 100
        for number in range(300):
            site = (self.front, other)[number % 2]
            self.client(site=site).fetch()
            self.assertLessEqual(self.stored(), 100 + 2)
        self.assertGreaterEqual(self.stored(), 95)
        total = self.front.floods.evicted + other.floods.evicted
        self.assertEqual(total, 300 - self.stored())

    def test_whatIsTold(self) -> None:
        """
        Each end is told to listeners with what was in the session, to the log in one
        line a minute, and counted.
        """
        self.front.maxAnonymous = 3
        self.come(8)
        ended = [e for e in self.heard.events if e.kind.value == "ended"]
        self.assertEqual([event.reason for event in ended], ["evicted"] * 5)
        self.assertEqual({len(event.tag) for event in ended}, {16})
        for event in ended:
            self.assertEqual(event.state["namespaces"], {"count": 1})
            self.assertIsNone(event.principal)
        self.assertEqual(self.counted("ended"), 5)
        floods = self.front.floods
        self.assertEqual((floods.inserted, floods.evicted), (8, 5))
        self.assertEqual((floods.refused, floods.networks), (0, 0))
        self.assertEqual(self.warned("there are more than 3 anonymous"), 1)
        loud = [e for e in self.logged if e["log_level"].name not in {"debug", "info"}]
        self.assertEqual(len(loud), 1)
        said = [e["log_level"].name for e in self.logged if e.get("reason")]
        self.assertEqual(said, ["debug"] * 5)
        self.clock.advance(60)
        self.come(1)
        self.assertEqual(self.warned("there are more than 3 anonymous"), 2)

    def test_aLiveSessionHasEnded(self) -> None:
        """
        One that is in memory, here or in another process, has ended as if somebody
        else had ended it: the callbacks run, and no late write brings it back.
        """
        other = self.serveElsewhere(front)
        self.front.maxAnonymous = other.maxAnonymous = 2
        visitor = self.come(1)[0]
        ended: list[str] = []
        for site in (self.front, other):
            client = self.client(site=site, jar=visitor.jar)
            client.fetch()
            session = next(iter(site.sessions.values()))
            session.notifyOnExpire(partial(ended.append, site))
        self.clock.advance(1)
        self.come(2)
        self.assertEqual(self.stored(), 2)
        self.assertEqual(ended, [])
        self.clock.advance(11)
        self.assertCountEqual(ended, [self.front, other])
        self.assertEqual(visitor.fetch().body, b"count 1")

    def test_aWriteUnderWay(self) -> None:
        """
        A request that was there before, and that saves after, finds its session gone
        and brings nothing back.
        """
        self.front.maxAnonymous = 2
        visitor = self.come(1)[0]
        self.clock.advance(1)
        self.store.hold("replace")
        visitor.send()
        self.come(2)
        self.store.release()
        self.assertEqual(visitor.answer().code, 200)
        self.assertEqual(self.stored(), 2)
        self.assertEqual(self.whoIsThere([visitor]), [])

    def test_aSignInLeavesTheCrowd(self) -> None:
        """
        Who signs in, on a session that was there or on a new one, is none of them from
        then on.
        """
        self.front.maxAnonymous = 2
        visitor = self.come(1)[0]
        visitor.fetch("/in")
        self.come(1, "/in")
        self.assertEqual(self.front.floods.inserted, 1)
        crowd = self.come(5, seconds=1.0)
        self.assertEqual(self.whoIsThere(crowd), [3, 4])
        self.assertEqual(self.stored(), 4)
        self.assertEqual(self.whoIsThere([visitor]), [0])

    def test_noCap(self) -> None:
        """
        Without a cap there is none.
        """
        self.front.maxAnonymous = None
        self.come(20)
        self.assertEqual(self.stored(), 20)
        self.assertNotIn("evictAnonymous", self.store.calls)
        self.assertEqual(self.front.floods.inserted, 20)
        self.front.maxAnonymous = 10
        self.come(1)
        self.assertEqual(self.stored(), 10)

    def test_theStoreIsAskedSeldom(self) -> None:
        """
        Once for each hundredth of what there may be, and then for all of a batch.
        """
        self.front.maxAnonymous = 1000
        self.come(35)
        asked = [call for call in self.store.calls if call == "evictAnonymous"]
        self.assertEqual(len(asked), 3)

    def test_theDefault(self) -> None:
        """
        Fifty thousand, unless said; and nonsense is refused.
        """
        self.assertEqual(self.front.maxAnonymous, 50_000)
        for wrong in (0, -1, "5", 5.0, True):
            with self.assertRaises(ConfigurationError):
                self.front.maxAnonymous = wrong
        self.assertEqual(self.front.maxAnonymous, 50_000)

    def test_theStoreFails(self) -> None:
        """
        That costs no visitor his answer; the next batch tries again.
        """
        self.front.maxAnonymous = 3
        self.come(3)
        self.store.hold("evictAnonymous")
        self.come(2)
        self.assertEqual(len(self.store.pending), 1)
        self.store.fail(OUTAGE)
        self.assertEqual(self.counted("unavailable"), 1)
        # Those who came meanwhile have it asked again.
        self.assertEqual(len(self.store.pending), 1)
        self.store.pass_()
        self.assertEqual(self.stored(), 3)
        self.come(2)
        self.assertEqual(self.stored(), 3)

    def test_aStoreWithoutTheVerb(self) -> None:
        """
        Is told to the operator, and serves all the same.
        """
        self.front.maxAnonymous = 3
        error = AttributeError("no such verb")
        self.patch(self.store, "evictAnonymous", lambda *args: fail(error))
        self.come(2)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 2)
        self.assertEqual(self.stored(), 2)

    def test_theEndWaits(self) -> None:
        """
        A site that closes waits for what is under way, and begins nothing more.
        """
        self.front.maxAnonymous = None
        self.come(350)
        self.front.maxAnonymous = 5
        self.store.hold("evictAnonymous")
        self.come(1)
        self.front.stopFactory()
        closed = self.front.closed()
        self.assertNoResult(closed)
        self.store.release()
        self.successResultOf(closed)
        asked = [call for call in self.store.calls if call == "evictAnonymous"]
        self.assertEqual(len(asked), 1)
        self.assertGreater(self.front.floods.evicted, 0)

    def test_theProbeMayBeTheOldest(self) -> None:
        """
        A look whether the store is well that is taken for an anonymous session too
        many does not make it ill.
        """
        self.front.maxAnonymous = 3
        self.come(3)
        self.store.hold("load")
        checked = self.front.checkStore()
        self.come(1)
        self.store.pass_()
        check = self.successResultOf(checked)
        self.assertTrue(check.isGood, check.why)
        self.assertEqual(self.stored(), 3)
        self.assertEqual(self.front.floods.evicted, 1)
        self.assertEqual(self.heard.told().count("ended evicted"), 1)


class WithoutStoreTests(FloodCase):
    """
    Where there is no store, memory is all there is.
    """

    def setUp(self) -> None:
        """
        Serve.
        """
        super().setUp()
        self.front = self.serve(front, store=None)
        self.front.addSessionListener(self.heard)
        self.site = self.front

    def test_theLongestUnusedEnd(self) -> None:
        """
        With their callbacks, and never one in which somebody is signed in.
        """
        self.front.maxAnonymous = 5
        ended: list[str] = []
        signed = self.come(3, "/in", seconds=1.0)
        early = self.come(3, seconds=1.0)
        early[0].fetch()
        for session in self.front.sessions.values():
            session.notifyOnExpire(partial(ended.append, session.uid))
        self.come(4, seconds=1.0)
        self.assertEqual(len(self.front.sessions), 3 + 5)
        self.assertEqual(len(ended), 2)
        self.assertEqual(self.whoIsThere(early), [0])
        self.assertEqual(self.whoIsThere(signed), [0, 1, 2])
        self.assertEqual(self.heard.told().count("ended evicted"), 2)
        self.assertEqual(self.front.floods.evicted, 2)

    def test_thoseThatProgramsMake(self) -> None:
        """
        Count as well.
        """
        self.front.maxAnonymous = 3
        for _ in range(7):
            self.front.makeSession()
            self.clock.advance(1)
        self.assertEqual(len(self.front.sessions), 3)
        self.assertEqual(self.front.floods.inserted, 7)
