"""
Pages that the tests of the request path serve, and the ways to look at what they
answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, UnsupportedMethod

from txsessions.errors import StoreUnavailable

OUTAGE = StoreUnavailable("pulled the plug")
"""What a store says that is out of order."""


class Page(Resource):
    """
    A page for all methods that a function renders.
    """

    isLeaf = True

    def __init__(self, render: Callable[[Any], Any]) -> None:
        Resource.__init__(self)
        self.render = render


class GetPage(Page):
    """
    A page that knows C{GET} and C{POST} only, so that Twisted fakes C{HEAD}.
    """

    def __init__(self, render: Callable[[Any], Any]) -> None:
        def known(request: Any) -> Any:
            if request.method not in {b"GET", b"POST"}:
                raise UnsupportedMethod((b"GET", b"POST"))
            return render(request)

        Page.__init__(self, known)


def change(request):
    """
    Change the session of a request.

    @return: It.
    """
    session = request.getSession()
    session["count"] = session.sessionNamespaces.get("count", 0) + 1
    return session


def count(request):
    """
    A page that counts.
    """
    return b"count %d" % change(request)["count"]


def look(request):
    """
    A page that reads the session.
    """
    return b"count %d" % request.getSession().sessionNamespaces.get("count", 0)


class Waiting:
    """
    A page that answers when the test does.
    """

    def __init__(self):
        self.requests = []
        self.ends = []

    def __call__(self, request):
        """
        Render.
        """
        change(request)
        self.requests.append(request)
        request.notifyFinish().addBoth(self.ends.append)
        return NOT_DONE_YET


class Stream:
    """
    A page that leaves its request to the test.
    """

    def __init__(self, begin=change):
        self.begin = begin
        self.request = None

    def __call__(self, request):
        """
        Render.
        """
        self.begin(request)
        self.request = request
        return NOT_DONE_YET

    @property
    def session(self):
        """
        The session in use.
        """
        return self.request.getSession()


__all__ = ["OUTAGE", "GetPage", "Page", "Stream", "Waiting", "change", "count", "look"]
