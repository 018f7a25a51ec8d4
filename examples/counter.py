"""
A visit counter: a plain twisted.web resource, its Site with a store.

Run C{python examples/counter.py}, open the address that it prints, and reload.
Kill the program in whatever way you like and start it again: it goes on counting.
"""

import sys

from twisted.internet import endpoints, reactor
from twisted.web.resource import Resource

from txsessions import Site


class Counter(Resource):
    """
    Tells each visitor how often they have been here.
    """

    isLeaf = True

    def render_GET(self, request):
        """
        Count.  The dict is kept with the session; nothing has to be saved by hand.
        """
        kept = request.getSession().sessionNamespaces
        kept["visits"] = kept.get("visits", 0) + 1
        request.setHeader("Content-Type", "text/plain")
        return f"visit {kept['visits']}\n".encode()


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
