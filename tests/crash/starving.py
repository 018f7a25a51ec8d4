"""
A server whose process may run out of file descriptors: C{python -m
tests.crash.starving FOLDER}.

It counts in a session at C{/count}, says how the store is at C{/health}, opens the
store anew at C{/reopen}; C{/starve} lets it open no file and no connection any more,
C{/feed} ends that.  Where it serves is told on the standard output; its end is that of
the standard input.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txsessions import HealthResource, Site

LIMITS = resource.getrlimit(resource.RLIMIT_NOFILE)


class Page(Resource):
    """
    A page that a function renders.
    """

    isLeaf = True

    def __init__(self, render):
        super().__init__()
        self.render = render


def count(request):
    """
    Count.
    """
    session = request.getSession()
    number = session.sessionNamespaces.get("count", 0) + 1
    session["count"] = number
    return json.dumps({"count": number}).encode()


def starve(request, more=0):
    """
    Let no more than so many files be opened.
    """
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + more, LIMITS[1]))
    return b"{}"


def feed(request):
    """
    Let all be as before.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, LIMITS)
    return b"{}"


def reopen(request):
    """
    Close the store, and open it again where its keys can be read, and no more.
    """

    def again(_):
        starve(request, 1)
        request.site.startSessions()
        request.write(b"{}")
        request.finish()

    request.setHeader("Content-Length", b"2")
    request.site.closed().addCallback(again)
    return NOT_DONE_YET


class Ending(Protocol):
    """
    Ends this process with its standard input.
    """

    def connectionLost(self, reason):
        """
        It has ended.
        """
        reactor.stop()


def main(folder):
    """
    Serve.
    """
    root = Resource()
    for page in (count, starve, feed, reopen):
        root.putChild(page.__name__.encode(), Page(page))
    root.putChild(b"health", HealthResource(details=True))
    site = Site(root, store=f"sqlite:{folder}/sessions.sqlite")
    port = reactor.listenTCP(0, site, interface="127.0.0.1")
    told = json.dumps({"port": port.getHost().port}).encode() + b"\n"
    stdio.StandardIO(Ending())
    reactor.callWhenRunning(os.write, 1, told)
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
