"""
A form that other sites cannot send, and a message that survives the redirect.

Run C{python examples/forms.py}, open the address that it prints, and leave a name.
"""

import sys
from html import escape

from twisted.internet import endpoints, reactor
from twisted.web.resource import Resource

from txsessions import CSRFProtected, Site

PAGE = """<!DOCTYPE html><meta charset="utf-8"><title>Guests</title>
%s<p>visit %d</p>
<form method="post"><input type="hidden" name="csrf_token" value="%s">
<input name="guest"><button>Sign the book</button></form>"""


class Book(Resource):
    """
    A guest book that forgets who was there.
    """

    isLeaf = True

    def render_GET(self, request):
        """
        Show the form, and what there is to say.
        """
        session = request.getSession()
        session["visits"] = session.sessionNamespaces.get("visits", 0) + 1
        messages = "".join(f"<p>{escape(f.text)}</p>" for f in session.takeFlashes())
        return (PAGE % (messages, session["visits"], session.csrfToken)).encode()

    def render_POST(self, request):
        """
        Whoever gets here has sent our own form.
        """
        guest = request.args.get(b"guest", [b""])[0].decode("utf-8", "replace")
        request.getSession().flash(f"Thank you, {guest}.")
        request.redirect(b"/")
        return b""


def main(port="8080"):
    """
    Serve on a port of this machine; 0 takes a free one.
    """
    site = Site(CSRFProtected(Book()), store="sqlite:sessions.sqlite")
    where = endpoints.serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
    where.listen(site).addCallback(
        lambda it: print(f"http://127.0.0.1:{it.getHost().port}/", flush=True)
    )
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
