"""
A site on which people sign out by C{request.logout()}, with a store that can be down.
"""

from __future__ import annotations

import gc

from tests.live.sites import Listener
from tests.web.pages import Page
from tests.web.signing import SignInCase
from txsessions import CookiePolicy
from txsessions.live.events import EventKind
from txsessions.live.resting import LINGER


def leave(request):
    """
    A page on which people sign out, whether or not their session can be read.
    """
    request.logout(clear=[what.decode() for what in request.args.get(b"clear", [])])
    return b"left"


class LeavingCase(SignInCase):
    """
    A site with such a page, all events, and a store that can be down.
    """

    expectsDeletion = True
    policy: CookiePolicy | None = None

    def begin(self):
        """
        Begin to serve.
        """
        self.root.putChild(b"leave", Page(leave))
        self.heard = Listener()
        self.serve(self.root, cookies=self.policy)
        self.site.addSessionListener(self.heard)

    def ends(self):
        """
        Of which ends was told: for each why, and who was signed in.
        """
        kinds = {EventKind.ENDED, EventKind.EXPIRED}
        told = [event for event in self.heard.events if event.kind in kinds]
        return [(event.reason, event.principal) for event in told]

    def away(self, **how):
        """
        A client that has signed in, and whose session has left memory.
        """
        client = self.client(**how)
        client.fetch("/in")
        self.goBy(LINGER)
        return self.again(client)

    def goBy(self, seconds):
        """
        Let time pass, so that connections are closed and sessions leave memory.
        """
        self.clock.advance(seconds)
        gc.collect()
        self.assertEqual(dict(self.site.sessions), {})

    def again(self, client):
        """
        The same browser, by another connection.
        """
        return self.client(jar=client.jar, secure=client.https)

    def uncertain(self):
        """
        A client that has signed in, and whose session is in memory but may have been
        changed by others.
        """
        client = self.visitor("/in")
        self.store.sharedWithOthers = True
        return client

    def calls(self, name="delete"):
        """
        How often the store was asked for something.
        """
        return self.store.calls.count(name)

    def assertLeft(self, client, path="/leave"):
        """
        A client signs out while the store is down, and is told that this is not
        certain yet.
        """
        answer = client.fetch(path)
        self.assertEqual(answer.code, 503)
        self.assertTrue(answer.deletes)
        return answer


__all__ = ["LeavingCase", "leave"]
