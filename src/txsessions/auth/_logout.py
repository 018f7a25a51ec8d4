"""
The page to sign out.

Owns that it takes a form of this session to do so: else another site could sign its
visitors out, by an image.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.web.resource import Resource

from txsessions.auth._page import logoutPage
from txsessions.auth._places import Places, addressOf
from txsessions.auth._showing import Redirect, demandStyle, harden
from txsessions.errors import SessionUnavailable
from txsessions.live import tokens
from txsessions.web.asking import Asking
from txsessions.web.csrf import CSRFProtected


class Logout(Resource):
    """
    The page to sign out: shows a button, or does it.
    """

    isLeaf = True

    def __init__(self, places: Places, clear: Sequence[str]) -> None:
        """
        @param clear: As for C{request.logout}.
        """
        super().__init__()
        self._places = places
        self._clear = clear

    def render_GET(self, request: Any) -> bytes:
        """
        Show the button, to who is signed in.
        """
        base, session = addressOf(request.prepath[:-1]), request.getSession()
        if session._signIn is None:
            return Redirect(base).render(request)
        harden(request)
        demandStyle(request)
        action = self._places.logoutAt(base).decode("ascii")
        return logoutPage(action, tokens.makeToken(session))

    def render_POST(self, request: Any) -> bytes:
        """
        Sign out.
        """
        # An application's request may have something else under that name.
        _ = Asking.logout(request, clear=self._clear)
        return Redirect(addressOf(request.prepath[:-1])).render(request)


class ProtectedLogout(CSRFProtected):
    """
    That page, out of reach of other sites.
    """

    def _passes(self, request: Any) -> bool:
        """
        See L{CSRFProtected._passes}.  While the store does not answer, nobody knows the
        tokens of an id that was renewed: it is enough then that the browser says where
        the request is from.
        """
        try:
            return super()._passes(request)
        except SessionUnavailable:
            if self._isFromHere(request):
                return True
            raise


class StaleLogout(Resource):
    """
    What is shown if the form was not of this session: the button once more, or, if
    nobody is signed in any more, nothing.
    """

    isLeaf = True

    def __init__(self, page: Logout) -> None:
        super().__init__()
        self._page = page

    def render(self, request: Any) -> bytes:
        """
        See C{IResource.render}.
        """
        return self._page.render_GET(request)


__all__ = ["Logout", "ProtectedLogout", "StaleLogout"]
