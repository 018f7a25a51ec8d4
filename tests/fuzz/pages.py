"""
Targets that are whole requests: bytes of a client's, and records of a store's, through
a site in memory.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from tests.core.test_keyring import key
from tests.core.test_state import STATE, states
from tests.fuzz import headers, records
from tests.fuzz.target import Target, demand, demandSame
from tests.web.browsing import NOW, Wire
from tests.web.pages import Page, change
from tests.web.test_cookie import slowly
from txsessions import Site
from txsessions.core.codec import encodeValue
from txsessions.core.keyring import KeyRing
from txsessions.core.record import Record
from txsessions.core.seal import Sealer
from txsessions.core.state import State, packState
from txsessions.core.uid import storeKeyOf
from txsessions.errors import SessionTooLarge
from txsessions.live.events import EventKind
from txsessions.stores.memory import MemoryStore

UID = headers.UID
FINE = frozenset({b"200", b"400", b"404", b"405", b"413", b"414", b"417", b"501"})
"""What may be answered to whatever a client sends."""

RING = KeyRing(active=key(0))
NAME = b"sid"


@contextlib.contextmanager
def noErrors() -> Iterator[None]:
    """
    See that no error is logged meanwhile.
    """
    logged: list[dict[str, Any]] = []
    globalLogPublisher.addObserver(logged.append)
    try:
        yield
    finally:
        globalLogPublisher.removeObserver(logged.append)
    for event in logged:
        if "carried unread" in str(event.get("log_format")):
            # What is well sealed, and was never written here, stays as it is.
            continue
        failure = event.get("log_failure")
        if failure is not None:
            failure.raiseException()
        demand(event["log_level"] < LogLevel.error, event.get("log_format"))


class Served:
    """
    A site in memory, and what its page was asked.

    @ivar clock: Its reactor.
    @ivar site: It.
    """

    def __init__(self, page: Callable[[Any], bytes], **how: Any) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.site = Site(Page(page), reactor=self.clock, **how)
        self.site.noisy = False
        self.site.startFactory()

    def send(self, data: bytes) -> bytes:
        """
        Send bytes over a connection of their own.

        @return: What was answered.
        """
        with noErrors():
            wire = Wire(self.clock)
            wire.protocol = self.site.buildProtocol(None)
            wire.protocol.makeConnection(wire)
            wire.protocol.dataReceived(data)
            answer: bytes = wire.value()
            wire.lose()
        return answer

    def counted(self, kind: EventKind) -> int:
        """
        How often an event was told.
        """
        count: int = self.site._live.announcer.counts[kind.value]
        return count


class Looked:
    """
    The site that the bytes of clients go to: it has one session, and its page tells
    whose that is.
    """

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.served = Served(change)
        site, ordinary = self.served.site, self.served.site._entropy
        site._entropy = lambda count: bytes.fromhex(UID.decode())[:count]
        demand(UID in self.served.send(b"GET / HTTP/1.0\r\n\r\n"), "no session")
        site._entropy = ordinary
        self.served.site.resource = Page(self.look)

    def look(self, request: Any) -> bytes:
        """
        Render the page.
        """
        self.asked.append(request)
        return b"[%d]" % request.getSession().sessionNamespaces.get("count", 0)


_looked: list[Looked] = []


def checkRequest(data: bytes) -> str:
    """
    Bytes in the place of a C{Cookie} header, through a real channel: whatever is asked
    is answered, no cookie is set by looking, and the session is that of the cookie by
    the plain rules.
    """
    if not _looked:
        _looked.append(Looked())
    looked = _looked[0]
    served, looked.asked = looked.served, []
    refused = served.counted(EventKind.REFUSED)
    left = len(served.clock.getDelayedCalls()), len(served.site.sessions)
    answer = served.send(b"GET / HTTP/1.1\r\nHost: h\r\nCookie: %b\r\n\r\n" % data)
    codes = re.findall(rb"^HTTP/1\.[01] ([0-9]{3})", answer, re.MULTILINE)
    demand(FINE.issuperset(codes), f"answered {codes}")
    demand(b"set-cookie" not in answer.lower(), "a cookie is set")
    demand(UID not in answer, "an id is shown")
    now = len(served.clock.getDelayedCalls()), len(served.site.sessions)
    demandSame(now, left, "how many timers and sessions there are")
    expected, wrong = [], 0
    for request in looked.asked:
        cookies = request.requestHeaders.getRawHeaders(b"cookie")
        found = slowly(cookies or [], NAME)
        expected.append(b"[1]" if found == UID else b"[0]")
        wrong += found is not None and not isinstance(found, bytes)
    shown = re.findall(rb"\[[0-9]+\]", answer)
    demandSame(shown, expected[: len(shown)], "whose session it is")
    told = served.counted(EventKind.REFUSED) - refused
    demand(told >= wrong, f"of {wrong} bad cookies {told} were told")
    return "read" if b"[1]" in shown else "refused" if wrong else "nothing"


def kept(parts: dict[str, object]) -> bytes:
    """
    Pack a state of some namespace.
    """
    encoded = {b"n" + encodeValue(name): encodeValue(it) for name, it in parts.items()}
    return packState(
        State(
            createdAt=NOW - 5,
            idle=900.0,
            lifetime=86400.0,
            secure=False,
            cookieName=NAME,
            parts=encoded,
        )
    )


def checkRecord(data: bytes) -> str:
    """
    A state, sealed under the right key, in the store: the request that it belongs to is
    answered, with the session or with a new one, which can be changed and saved; no
    error gets into the application or the log.
    """
    storeKey = storeKeyOf(b"", UID)
    try:
        payload = Sealer(RING, b"").seal(storeKey, 1, data)
    except SessionTooLarge:
        return "refused"
    served = Served(_change, store=(store := MemoryStore()), keys=RING)
    record = Record(
        key=storeKey,
        version=1,
        createdAt=NOW - 5,
        touchedAt=NOW - 5,
        expiresAt=NOW + 500,
        payload=payload,
    )
    store.insert(record, NOW)
    asked = b"GET / HTTP/1.1\r\nHost: h\r\nCookie: sid=%b\r\n\r\n" % UID
    answer = served.send(asked)
    demand(answer.startswith(b"HTTP/1.1 200 "), "no 200")
    isNew = b"set-cookie: sid=" in answer.lower()
    demandSame(isNew, b"[new]" in answer, "a cookie for a new session alone")
    demand(UID not in answer, "an id is shown")
    refused = served.counted(EventKind.REFUSED)
    if not isNew:
        demand(b"[changed]" in served.send(asked), "what was changed was not kept")
    served.site.stopFactory()
    return "refused" if refused else "nothing" if isNew else "read"


def _change(request: Any) -> bytes:
    """
    Render a page that looks at all of the session and changes it.
    """
    session = request.getSession()
    found = dict(session.sessionNamespaces)
    repr(found)
    session["was"] = "changed"
    wasChanged = found.get("was") == "changed"
    return (
        b"[new]" if session._isNew else b"[changed]" if wasChanged else b"[as it was]"
    )


COOKIES = next(t for t in headers.TARGETS if t.name == "cookie")
STATES = next(t for t in records.TARGETS if t.name == "state")

TARGETS = (
    Target(
        name="request",
        check=checkRequest,
        seeds=(
            *(seed.replace(b"\n", b"\r\nCookie: ") for seed in COOKIES.seeds),
            b"sid=" + UID,
            b"a=1; sid=" + UID + b"; b=2",
            b"a=1\r\ncookie: sid=" + UID,
            b"sid=" + UID + b"\r\nContent-Length: 3\r\n\r\nabc",
            b"a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nCookie: sid=" + UID,
        ),
        pieces=(
            *COOKIES.pieces,
            *(b"\r\nCookie: ", b"\r\n", b"\r\n ", b"\r\n\r\n", b"\r\nCookie2: ", b":"),
            *(b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nCookie: ", b"sid=" + UID),
        ),
        steps=60,
        fixed=10_000,
    ),
    Target(
        name="record",
        check=checkRecord,
        seeds=(
            kept({"user": "ann", "cart": [1, {2, 3}, (4,)]}),
            kept({}),
            kept({"was": b"here"}),
            kept({"seen": "yes"}).replace(b"n\xa4seen", b"acolor"),
            kept({"seen": "yes"}).replace(b"n\xa4seen", b"ca.Cart"),
            packState(STATE),
        ),
        pieces=(
            *STATES.pieces,
            *records.MARKS,
            *(
                b"\xc4\x02nx\xc4\x01\xc1",
                b"\xc4\x07a_phase\xc4\x01\x01",
                b"\xc4\x04auid",
            ),
            *(
                b"\xc4\x0dasessionNames",
                b"\xc4\x01c",
                b"\xc4\x05cI.No",
                b"\xc4\x02n\xff",
            ),
        ),
        steps=600,
        fixed=60_000,
        more=states.map(packState),
    ),
)

__all__ = ["TARGETS"]
