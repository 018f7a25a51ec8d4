"""
Klein: its routes use the session as they always did, only the Site is ours.

Run C{python examples/klein_app.py} (with klein installed), open the address that
it prints, and reload.
"""

import sys

from klein import Klein
from twisted.internet import endpoints, reactor

from txsessions import Site

app = Klein()


@app.route("/")
def visit(request):
    """
    Count the visits.
    """
    kept = request.getSession().sessionNamespaces
    kept["visits"] = kept.get("visits", 0) + 1
    return f'visit {kept["visits"]} <form action="/leave" method="post"><button>leave</button></form>\n'


@app.route("/leave", methods=["POST"])
def leave(request):
    """
    Log out: the session ends in the store before the reply is sent.
    """
    request.getSession().expire()
    request.setResponseCode(303)
    request.setHeader(b"Location", b"/")


def main(port="8080"):
    """
    Serve on a port of this machine; 0 takes a free one.
    """
    site = Site(app.resource(), store="sqlite:sessions.sqlite")
    where = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    where.listen(site).addCallback(
        lambda it: print(f"http://127.0.0.1:{it.getHost().port}/", flush=True)
    )
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
