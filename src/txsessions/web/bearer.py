"""
Ids that programs send: C{Authorization: Session UID}.

Owns the reading of that header, as strictly as a cookie is read, and what is different
in a request that has it: it is about that session alone, whatever cookies came along,
and its response says nothing of cookies.  Where the policy has no C{bearer}, requests
are of classes that know nothing of this.

Browsers add neither this header by themselves nor let another site's page add it, so
that a request which has it needs no token against forgery.  That holds because a
session is of one kind for its life: the name that stands in its record is the name of
no cookie, and a cookie's name is not that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from txsessions.core.uid import isUid
from txsessions.live.events import EventKind
from txsessions.web.arrival import load
from txsessions.web.cookie import Refusal
from txsessions.web.exchange import Exchange
from txsessions.web.headers import varyByAuthorization
from txsessions.web.visit import Visit

_OURS = re.compile(
    rb"session(?![!#$%&'*+.^_`|~0-9a-z-])(.*)\Z", re.IGNORECASE | re.DOTALL
)
"""An C{Authorization} of our scheme, which is not case-sensitive (RFC 9110, 11.1), and
what follows: spaces and a uid."""


def readBearer(values: Sequence[bytes]) -> bytes | Refusal | None:
    """
    Find the uid that a request brings.

    @param values: The values of all C{Authorization} headers.
    @return: The uid; empty bytes if none is given, by which a program asks for a new
        session; L{None} if no header is of our scheme; the reason why not if one is but
        cannot be used.  Copies that agree are one.
    """
    found = {match[1] for match in map(_OURS.match, values) if match}
    if not found:
        return None
    if len(found) > 1:
        return Refusal.DUPLICATE
    uid = found.pop().lstrip(b" ")
    return uid if not uid or isUid(uid) else Refusal.MALFORMED


def readBearing(
    request: Any, site: Any, sitepath: Sequence[bytes] = ()
) -> BearerExchange | None:
    """
    Begin with the session that the header of a request names.

    @return: L{None} if the request has no such header.
    """
    values = request.requestHeaders.getRawHeaders(b"authorization")
    found = None if values is None else readBearer(values)
    if found is None:
        return None
    table = site._live
    if isinstance(found, Refusal):
        table.announcer.tell(EventKind.REFUSED, "", table.seconds(), found.value)
        found = b""
    exchange = BearerExchange(request, site, table, [], sitepath)
    if found:
        exchange.begin(found)
    return exchange


class BearerVisit(Visit):
    """
    What a request has to do with the session that its header names: no cookie.
    """

    def say(self, line: bytes | None) -> None:
        """
        See L{Visit.say}.
        """

    @property
    def deletes(self) -> bool:
        """
        See L{Visit.deletes}.
        """
        return False


class BearerExchange(Exchange):
    """
    A request with the one session that its header names.
    """

    @property
    def carrier(self) -> str:
        """
        See L{Visits.carrier<txsessions.web.visits.Visits.carrier>}.
        """
        return "bearer"

    def begin(self, uid: bytes | None) -> Visit:
        """
        Make the only visit.

        @param uid: What came in the header.
        """
        site = self.site
        secure = site._scheme
        if secure is None:
            secure = self.request.isSecure()
        name = site.cookies.bearerName(self._sitepath)
        visit = BearerVisit(secure, name, uid)
        visit.exchange = self
        self.visits.append(visit)
        return visit

    def visit(self, secure: bool) -> Visit:
        """
        See L{Visits.visit<txsessions.web.visits.Visits.visit>}.
        """
        if not self.visits:
            return self.begin(None)
        self.visits[0].exchange = self
        return self.visits[0]

    def givesOut(self) -> bool:
        """
        Whether the response may tell an id that the client did not know.
        """
        return any(
            visit.rotatedHere or (visit.session is not None and visit.session._isNew)
            for visit in self._acquired()
        )


class Bearing:
    """
    What requests get in addition where a policy says C{bearer}: a mixin that comes
    first.
    """

    def process(self: Any) -> None:
        """
        See C{Request.process}; the session that the header names is loaded first.
        """
        if self._exchange is None:
            exchange = readBearing(self, self.channel.site)
            if exchange is not None:
                self._exchange = exchange
                if not load(exchange, self._processLoaded):
                    return
        super().process()  # type: ignore[misc]

    def write(self: Any, data: bytes) -> None:
        """
        See C{Request.write}.  What depends on a session depends on this header too.
        """
        exchange = self._exchange
        if exchange is not None and not self.startedWriting:
            if any(v.acquired or v.failure is not None for v in exchange.visits):
                varyByAuthorization(self.responseHeaders)
            if isinstance(exchange, BearerExchange) and exchange.givesOut():
                exchange._forbidStoring(self.responseHeaders)
        super().write(data)  # type: ignore[misc]


__all__ = ["BearerExchange", "Bearing", "readBearer", "readBearing"]
