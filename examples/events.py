"""
Server-sent events that belong to a session: run C{python examples/events.py}, open
its page twice, and end the session in one window: in the other the clock stops.
"""

import sys

from twisted.internet import endpoints, reactor
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txsessions import Site

PAGE = """<!DOCTYPE html>visit {visits} <a href="/out">end</a><p id="clock"><script>
new EventSource("/events").onmessage = it => clock.textContent = it.data</script>"""


class Pages(Resource):
    """A page, its events, and the end of the session."""

    isLeaf = True

    def render_GET(self, request):
        """Count, stream or end."""
        session = request.getSession()
        if request.path == b"/events":
            return self.stream(request, session)
        if request.path == b"/out":
            session.expire()
            return b"bye"
        session["visits"] = session.sessionNamespaces.get("visits", 0) + 1
        return PAGE.format(visits=session["visits"]).encode()

    def stream(self, request, session):
        """Tell the time, for as long as there is the session and the client."""
        if "visits" not in session:
            request.setResponseCode(204)  # the browser need not come again
            return b""
        session.closes(request)
        request.setHeader("Content-Type", "text/event-stream")
        ticking = LoopingCall(
            lambda: request.write(b"data: %d\n\n" % reactor.seconds())
        )
        request.notifyFinish().addErrback(lambda _: ticking.stop())
        ticking.start(1)
        return NOT_DONE_YET


def main(port="8080"):
    """Serve on a port of this machine; 0 takes a free one."""
    where = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    where.listen(Site(Pages(), store="sqlite:sessions.sqlite")).addCallback(
        lambda it: print(f"http://127.0.0.1:{it.getHost().port}/", flush=True)
    )
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
