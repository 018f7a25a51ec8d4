"""
A site whose sessions get new ids in time.

Owns the rule that the tests take, and the ways to have ids of every age.
"""

from __future__ import annotations

from tests.live.sites import Listener
from tests.web.pages import Page
from tests.web.signing import SignInCase
from txsessions import Renewal, checkCSRF
from txsessions.live.events import EventKind

INTERVAL, GRACE, WATCH = 300.0, 60.0, 1800.0

RULE = Renewal(interval=INTERVAL, grace=GRACE, watch=WATCH)


def form(request):
    """
    A page with a form, or what it does.
    """
    if request.method == b"GET":
        return request.getSession().csrfToken.encode("ascii")
    checkCSRF(request)
    return b"accepted"


class RenewalCase(SignInCase):
    """
    A site with a rule, and all that is told.

    @cvar rule: The rule.
    """

    rule = RULE

    def begin(self):
        """
        Begin to serve.
        """
        self.root.putChild(b"form", Page(form))
        self.heard = Listener()
        super().begin()

    def serve(self, *args, **how):
        """
        See L{WebCase.serve}.
        """
        how.setdefault("timeout", None)
        site = super().serve(*args, **how)
        site.renewal = self.rule
        site.addSessionListener(self.heard)
        return site

    def told(self, kind=EventKind.REPLAYED):
        """
        What was told of a kind.
        """
        return [event for event in self.heard.events if event.kind is kind]

    def due(self, *paths, site=None):
        """
        A client whose id is as old as may be, and one that has the same id.

        @return: The client, and what it sends.
        """
        client = self.visitor(*paths, site=site)
        self.clock.advance(INTERVAL)
        return client, self.cookieOf(client)

    def cookieOf(self, client):
        """
        What a client sends.
        """
        return client.sent()[0].decode()

    def renewed(self, *paths, confirmed=True, site=None):
        """
        A client that has a new id.

        @return: The client, and what it sent before.
        """
        client, old = self.due(*paths, site=site)
        self.assertTrue(client.fetch("/look").sets)
        if confirmed:
            self.assertFalse(client.fetch("/look").sets)
        return client, old

    def names(self, store=None):
        """
        What the store has been asked to write since this was last asked.
        """
        store = store or self.store
        calls = [name for name in store.calls if name in store.WRITES]
        del store.calls[:]
        return calls


class ElsewhereCase(RenewalCase):
    """
    Two processes.

    @ivar there: The site of the second.
    """

    def begin(self):
        """
        Begin to serve.
        """
        super().begin()
        self.there = self.serveElsewhere(self.root)

    def poll(self, client, site=None):
        """
        Have a page wait.

        @return: The client that waits, the request and its session.
        """
        other = self.twin(client, site=site or self.there)
        other.send("/wait")
        return other, *self.waiting.pop()

    def heldThere(self, *paths):
        """
        A client with a session that is in the memory of both, and as old as may be.

        @return: It, the client that waits there, its request and the session there.
        """
        client, _ = self.due(*paths)
        return client, *self.poll(client)


__all__ = ["GRACE", "INTERVAL", "RULE", "WATCH", "ElsewhereCase", "RenewalCase", "form"]
