"""
A page for load balancers and for monitoring: can sessions be kept now?

Owns what it says.  What there is to say comes from
L{txsessions.live.checking}.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

if TYPE_CHECKING:
    from twisted.python.failure import Failure

    from txsessions.live.checking import StoreCheck

RETRY_AFTER = b"2"
"""Seconds after which it is worth asking again."""


class HealthResource(Resource):
    """
    Answers GET with 200 if sessions can be kept, else with 503; in JSON for those
    who accept it, else in text.  Has no session, and no cookie.
    """

    isLeaf = True

    def __init__(self, site: Any = None, *, details: bool = False) -> None:
        """
        @param site: The L{Site<txsessions.Site>} whose store is meant, if it is not
            the one that this page is served by.
        @param details: Say also where the sessions are and what is wrong, which may
            name files and machines: not for pages that anybody can read.
        """
        super().__init__()
        self._site = site
        self._details = details

    def render_GET(self, request: Any) -> int:
        """
        Say how it is.  All who ask at the same time, or within a second, share one
        look at the store.
        """
        site = request.site if self._site is None else self._site
        gone: list[Failure] = []
        request.notifyFinish().addErrback(gone.append)

        def answer(check: StoreCheck) -> None:
            if not gone:
                self._answer(request, check)

        _ = site._live.checks.recent(site._entropy).addCallback(answer)
        return NOT_DONE_YET

    def _answer(self, request: Any, check: StoreCheck) -> None:
        """
        Say it.
        """
        accept = request.getHeader(b"accept") or b""
        isJSON = b"application/json" in accept.lower()
        told = self._told(check)
        body = json.dumps(told) if isJSON else _asText(told)
        if not check.isGood:
            request.setResponseCode(503)
            request.setHeader(b"Retry-After", RETRY_AFTER)
        kind = b"application/json" if isJSON else b"text/plain; charset=utf-8"
        request.setHeader(b"Content-Type", kind)
        request.setHeader(b"Cache-Control", b"no-store")
        data = body.encode() + b"\n"
        request.setHeader(b"Content-Length", b"%d" % len(data))
        request.write(data)
        request.finish()

    def _told(self, check: StoreCheck) -> dict[str, Any]:
        """
        What may be told.
        """
        told: dict[str, Any] = {
            "good": check.isGood,
            "reachable": check.reachable,
            "writable": check.writable,
            "readable": check.readable,
            "openSeconds": check.openSeconds,
            "writeSeconds": check.writeSeconds,
            "readSeconds": check.readSeconds,
        }
        if self._details:
            told["address"] = check.address
            told["durability"] = check.durability
            told["why"] = check.why
        return told


def _asText(told: dict[str, Any]) -> str:
    """
    A line for each.
    """
    return "\n".join(f"{name}: {_shown(value)}" for name, value in told.items())


def _shown(value: Any) -> str:
    """
    A value, for people.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6f}"
    return "" if value is None else str(value)


__all__ = ["HealthResource"]
