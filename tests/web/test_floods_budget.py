"""
How many new sessions the visitors of one network are given: whole requests, from many
addresses.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

import twisted.internet
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import NOT_DONE_YET

from tests.live.sites import Listener
from tests.web.pages import change, count, look
from tests.web.proxying import PROXY, STRANGER, ProxyCase
from tests.web.test_http2 import H2Client, Patient
from txsessions import CookiePolicy, NetworkBudget
from txsessions.errors import ConfigurationError, TooManyNewSessions
from txsessions.web import budget
from txsessions.web.networks import networkOf

BUDGET = NetworkBudget(most=2, seconds=60)


class Front:
    """
    A page that does what its path says.
    """

    def __init__(self):
        self.waiting = []
        self.errors = []

    def __call__(self, request):
        """
        Render.
        """
        request.setHeader(b"X-Page", b"1")
        request.addCookie(b"other", b"1")
        name = request.path.strip(b"/").decode() or "count"
        return getattr(self, name, count)(request)

    def look(self, request):
        """
        Only look.
        """
        return look(request)

    def login(self, request):
        """
        Make a session and sign in.
        """
        change(request).login(request, "somebody")
        return b"in"

    def later(self, request):
        """
        Make a session, and wait for the test to go on.
        """
        change(request)
        self.waiting.append(request)
        return NOT_DONE_YET

    def save(self, request):
        """
        Save before the response.
        """
        session = change(request)
        session.save().addErrback(lambda failure: self.errors.append(failure.value))
        return b"saved"

    def demand(self, request):
        """
        Save, and let an error pass.
        """
        done = Deferred.fromCoroutine(self._demand(request))
        done.addErrback(lambda failure: bool(request.processingFailed(failure)))
        return NOT_DONE_YET

    async def _demand(self, request):
        """
        Save, then answer.
        """
        await change(request).save()
        request.finish()

    def again(self, request):
        """
        End the session, and begin another.
        """
        request.getSession().logout(request)
        return count(request)


class BudgetCase(ProxyCase):
    """
    A site with a budget.
    """

    def setUp(self) -> None:
        """
        Serve.
        """
        super().setUp()
        self.page = Front()
        self.front = self.serve(self.page)
        self.front.networkBudget = BUDGET
        self.heard = Listener()
        self.front.addSessionListener(self.heard)

    def codes(self, *hosts: str | None, path: str = "/") -> list[int]:
        """
        Have new visitors come from these addresses.
        """
        return [self.come(host).fetch(path).code for host in hosts]


class RefusalTests(BudgetCase):
    """
    What who is refused gets, and who is not.
    """

    def test_theAnswer(self) -> None:
        """
        429 and when to come again, with nothing of the application's; nothing is kept.
        """
        self.assertEqual(self.codes(STRANGER, STRANGER), [200, 200])
        self.clock.advance(10.5)
        answer = self.come(STRANGER).fetch()
        self.assertEqual(answer.code, 429)
        self.assertEqual(answer.get("retry-after"), "50")
        self.assertEqual(answer.get("cache-control"), "no-store")
        self.assertEqual(answer.all("set-cookie"), [])
        self.assertIsNone(answer.get("x-page"))
        self.assertIn(b"Too many new visitors", answer.body)
        self.assertEqual(self.stored(), 2)
        self.assertEqual(len(self.front.sessions), 2)
        self.clock.advance(49.5)
        self.assertEqual(self.codes(STRANGER), [200])

    def test_others(self) -> None:
        """
        Other networks have a budget of their own.
        """
        same = ["203.0.113.9", "203.0.113.250", STRANGER]
        self.assertEqual(self.codes(*same, "203.0.112.5"), [200, 200, 429, 200])
        near = ["2001:db8:0:ff::1", "2001:db8:0:1::2", "2001:db8:0:ab::"]
        self.assertEqual(self.codes(*near, "2001:db8:0:100::1"), [200, 200, 429, 200])

    def test_whoIsThereIsNotAsked(self) -> None:
        """
        Sessions that exist are never affected, whether somebody is signed in or not;
        nor is who only looks.
        """
        known, signed = self.come(STRANGER), self.come(STRANGER)
        known.fetch()
        signed.fetch("/login")
        self.assertEqual(self.codes(STRANGER, STRANGER, STRANGER), [200, 429, 429])
        for client in (known, signed):
            self.assertEqual(client.fetch().body, b"count 2")
        self.assertEqual(self.codes(STRANGER, path="/look"), [200])
        self.assertEqual(known.fetch("/login").code, 200)
        self.assertEqual(self.stored(), 3)

    def test_aSignInIsNotAnonymous(self) -> None:
        """
        Who signs in with the request that makes the session needs no budget, at once
        or later; and takes none from others.
        """
        self.assertEqual(self.codes(*[STRANGER] * 5, path="/login"), [200] * 5)
        self.assertEqual(self.codes(*[STRANGER] * 3), [200, 200, 429])
        self.assertEqual(self.codes(STRANGER, path="/login"), [200])
        client = self.come(STRANGER)
        client.send("/later")
        request = self.page.waiting.pop()
        request.getSession().login(request, "somebody")
        request.finish()
        self.assertEqual(client.answer().code, 200)
        client = self.come(STRANGER)
        client.send("/later")
        self.assertTrue(client.silent)
        self.page.waiting.pop().finish()
        self.assertEqual(client.answer().code, 429)
        self.assertEqual(self.stored(), 5 + 2 + 1 + 1)

    def test_whoSavesByHand(self) -> None:
        """
        Is told by the error, and the response is the same, whether it is caught or not.
        """
        self.codes(STRANGER, STRANGER)
        answer = self.come(STRANGER).fetch("/save")
        self.assertEqual((answer.code, answer.get("retry-after")), (429, "60"))
        (error,) = self.page.errors
        self.assertIsInstance(error, TooManyNewSessions)
        self.assertEqual((error.network, error.retryAfter), ("203.0.113.0/24", 60))
        self.assertEqual(self.codes(STRANGER, path="/demand"), [429])
        self.assertEqual(len(self.flushLoggedErrors(TooManyNewSessions)), 0)
        self.assertEqual(self.stored(), 2)

    def test_aLogoutStays(self) -> None:
        """
        Who logs out and begins another in one request is logged out, and refused.
        """
        client = self.come(STRANGER)
        client.fetch()
        self.codes(STRANGER)
        answer = client.fetch("/again")
        self.assertEqual(answer.code, 429)
        self.assertTrue(answer.deletes)
        self.assertEqual(self.stored(), 1)

    def test_whoLeaves(self) -> None:
        """
        A visitor who leaves before the answer is not kept either, and fills no log.
        """
        self.codes(STRANGER, STRANGER)
        client = self.come(STRANGER)
        client.send("/later")
        client.leave()
        self.assertEqual(self.stored(), 2)
        self.assertEqual(self.warned("cannot be saved"), 0)
        self.page.waiting.pop()

    def test_whileTheStoreOpens(self) -> None:
        """
        Who waits for the store is counted once.
        """
        self.front.stopFactory()
        self.successResultOf(self.front.closed())
        self.store.hold("open")
        self.front.startFactory()
        clients = [self.come(STRANGER) for _ in range(3)]
        for client in clients:
            client.send()
        self.store.release()
        self.store.pass_()
        self.assertEqual([c.answer().code for c in clients], [200, 200, 429])

    def test_http2(self) -> None:
        """
        The same over HTTP/2, whose timers are those of the one reactor.
        """
        from twisted.internet import reactor  # noqa: F401 - so that there is one

        self.patch(twisted.internet, "reactor", Patient(self.clock))
        client = H2Client(self)
        self.clients.append(client)
        client.wire.peerAddr = IPv4Address("TCP", STRANGER, 4711)
        numbers = [client.send(cookies=(b"no=1",)) for _ in range(3)]
        client.receive()
        codes = [client.streams[number].code for number in numbers]
        self.assertEqual(codes, [200, 200, 429])
        last = client.streams[numbers[-1]]
        self.assertEqual(last.all(b"retry-after"), [b"60"])
        self.assertEqual(last.all(b"set-cookie"), [])
        self.assertTrue(last.ended)


class WithoutStoreTests(BudgetCase):
    """
    Where there is no store, the budget is the same.
    """

    def setUp(self) -> None:
        """
        Serve.
        """
        super().setUp()
        self.front = self.site = self.serve(self.page, store=None)
        self.front.networkBudget = BUDGET

    def test_all(self) -> None:
        """
        New ones are refused, sign-ins and those that are there are not.
        """
        first = self.come(STRANGER)
        first.fetch()
        self.assertEqual(self.codes(*[STRANGER] * 3), [200, 429, 429])
        self.assertEqual(self.codes(STRANGER, path="/login"), [200])
        self.assertEqual(self.codes(STRANGER, path="/save"), [429])
        self.assertEqual(first.fetch().body, b"count 2")
        self.assertEqual(len(self.front.sessions), 3)
        self.assertEqual(self.front.floods.refused, 3)
        for _ in range(5):
            self.front.makeSession()


class CountingTests(BudgetCase):
    """
    What is counted, told and remembered.
    """

    def test_whatIsTold(self) -> None:
        """
        One event and one line for each network and window; counters for the rest.
        """
        self.codes(*[STRANGER] * 7, *["198.51.100.7"] * 3)
        told = [e.reason for e in self.heard.events if e.kind.value == "refused"]
        expected = ["network 203.0.113.0/24", "network 198.51.100.0/24"]
        self.assertEqual(told, expected)
        self.assertEqual(sum(self.warned(each) for each in expected), 2)
        floods = self.front.floods
        self.assertEqual((floods.refused, floods.networks), (6, 2))
        self.assertEqual(floods.inserted, 4)
        self.clock.advance(60)
        self.codes(*[STRANGER] * 4)
        self.assertEqual(self.warned(expected[0]), 2)
        self.assertEqual(self.front.floods.networks, 3)

    def test_whoHasNoAddress(self) -> None:
        """
        Is not counted.
        """
        self.assertEqual(self.codes(*[None] * 5), [200] * 5)
        self.assertEqual(len(self.front._live.anonymous.budget), 0)

    def test_theTableIsBounded(self) -> None:
        """
        The longest known networks are forgotten first.
        """
        self.patch(budget, "MAX_NETWORKS", 3)
        hosts = [f"198.51.{n}.1" for n in range(5)]
        self.codes(*hosts, *hosts[3:])
        self.assertEqual(len(self.front._live.anonymous.budget), 3)
        self.assertEqual(self.codes(hosts[4], hosts[0]), [429, 200])

    def test_theClockGoesBack(self) -> None:
        """
        Nobody is shut out until then.
        """
        self.clock.advance(1000)
        self.codes(*[STRANGER] * 3)
        self.clock.rightNow -= 500
        self.assertEqual(self.codes(STRANGER), [200])

    def test_off(self) -> None:
        """
        There is none unless said; and nonsense is refused.
        """
        self.front.networkBudget = None
        self.assertEqual(self.codes(*[STRANGER] * 5), [200] * 5)
        self.assertIsNone(self.front.networkBudget)
        self.front.networkBudget = BUDGET
        self.assertEqual(self.front.networkBudget, BUDGET)
        with self.assertRaises(ConfigurationError):
            self.front.networkBudget = 5
        for most, seconds in ((0, 60), (True, 60), (1.5, 60), (1, 0), (1, None)):
            with self.assertRaises(ConfigurationError):
                NetworkBudget(most=most, seconds=seconds)


class ProxyTests(BudgetCase):
    """
    Behind proxies.
    """

    def setUp(self) -> None:
        """
        Serve.
        """
        super().setUp()
        policy = CookiePolicy(trustedProxies=[PROXY])
        self.front = self.site = self.serve(self.page, cookies=policy)
        self.front.networkBudget = BUDGET

    def told(self, host: str, *clients: str) -> list[int]:
        """
        Have visitors come of whom a peer says where they are.
        """
        lines = [(f"X-Forwarded-For: {client}",) for client in clients]
        return [self.come(host).fetch(headers=line).code for line in lines]

    def test_trusted(self) -> None:
        """
        A trusted proxy is believed: the visitors count, not the proxy.
        """
        visitors = [f"198.51.{n}.1" for n in range(5)]
        self.assertEqual(self.told(PROXY, *visitors), [200] * 5)
        same = ["192.0.2.1", "192.0.2.2", "9.9.9.9, 192.0.2.3"]
        self.assertEqual(self.told(PROXY, *same), [200, 200, 429])
        mapped = ["203.0.113.1", "::ffff:203.0.113.2", "[::ffff:203.0.113.3]:80"]
        self.assertEqual(self.told(PROXY, *mapped), [200, 200, 429])

    def test_notTrusted(self) -> None:
        """
        Nobody else is: who makes addresses up is counted as who he is.
        """
        visitors = [f"198.51.{n}.1" for n in range(4)]
        self.assertEqual(self.told(STRANGER, *visitors), [200, 200, 429, 429])

    def test_unknown(self) -> None:
        """
        Of whom the proxy does not know from where counts as the proxy.
        """
        self.assertEqual(self.told(PROXY, *["unknown"] * 3), [200, 200, 429])


class NetworkTests(SynchronousTestCase):
    """
    L{networkOf}.
    """

    @settings(deadline=None)
    @given(st.ip_addresses())
    def test_anyAddress(self, address) -> None:
        """
        Is in its network, which has the right size and no other name.
        """
        if address.version == 6 and address.ipv4_mapped:
            address = address.ipv4_mapped
        network = ip_network(networkOf(address))
        self.assertIn(address, network)
        self.assertEqual(network.prefixlen, 24 if address.version == 4 else 56)

    @settings(deadline=None)
    @given(st.ip_addresses(v=4), st.integers(0, 2**32 - 1))
    def test_mapped(self, address, other) -> None:
        """
        An IPv4 address is in the same network if it is mapped into IPv6; any two are in
        one network if their first 24 bits are the same.
        """
        mapped = ip_address(f"::ffff:{address}")
        self.assertEqual(networkOf(mapped), networkOf(address))
        same = int(address) >> 8 == other >> 8
        found = networkOf(ip_address(other)) == networkOf(address)
        self.assertEqual(found, same)

    @settings(deadline=None)
    @given(st.ip_addresses(v=6), st.integers(0, 127))
    def test_oneBit(self, address, bit) -> None:
        """
        A bit of the first 56 makes another network, any other does not.
        """
        other = IPv6Address(int(address) ^ 1 << bit)
        if not (address.ipv4_mapped or other.ipv4_mapped):
            same = networkOf(other) == networkOf(address)
            self.assertEqual(same, bit < 72)
