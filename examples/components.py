"""
Components: an adapter registered for Session is kept like any other state.

Run C{python examples/components.py}, open the address that it prints, and reload.
"""

import sys

from twisted.internet import endpoints, reactor
from twisted.python.components import registerAdapter
from twisted.web.resource import Resource
from twisted.web.server import Session
from zope.interface import Interface, implementer

from txsessions import Site


class IVisits(Interface):
    """How often somebody has been here."""


@implementer(IVisits)
class Visits:
    """Starts at none; what its C{__dict__} holds is kept with the session."""

    def __init__(self, session):
        self.count = 0


registerAdapter(Visits, Session, IVisits)


class Counter(Resource):
    """Tells each visitor how often they have been here."""

    isLeaf = True

    def render_GET(self, request):
        """Count in the component."""
        visits = IVisits(request.getSession())
        visits.count += 1
        request.setHeader("Content-Type", "text/plain")
        return f"visit {visits.count}\n".encode()


def main(port="8080"):
    """
    Serve on a port of this machine; 0 takes a free one.
    """
    site = Site(Counter(), store="sqlite:sessions.sqlite")
    where = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    where.listen(site).addCallback(
        lambda it: print(f"http://127.0.0.1:{it.getHost().port}/", flush=True)
    )
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
