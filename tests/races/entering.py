"""
The pages of these tests on which people sign in, and on which they are put out.

Owns what these do.  Who asks for it, and what may come of it, is the driver's.
"""

from __future__ import annotations

from txsessions.errors import SessionError, SessionGone

OPEN = frozenset({"begin", "enter", "endprincipal", "endsession"})
"""What is done for somebody without a session too."""


def outcomeOf(done):
    """
    Say how something ended.  What is unknown is the product's to answer.
    """

    def failed(failure):
        failure.trap(SessionError)
        return "gone" if failure.check(SessionGone) else failure.type.__name__

    return done.addCallbacks(lambda told: "" if told is None else told, failed)


class Entering:
    """
    The pages.  Each reads at once, and gives what is to be done when it may go on.

    @ivar site: The site that serves them.
    """

    site = None

    def do_enter(self, request, session, who):
        """
        Sign in on a new session, with something of each kind in it.
        """

        def enter():
            self.fill(session)
            return outcomeOf(session.login(request, who))

        return enter

    def do_signin(self, request, session, who, level="1", keep=""):
        """
        Sign in.
        """
        kept = {"yes": True, "no": False}.get(keep)
        return lambda: outcomeOf(
            session.login(request, who, level=int(level), keep=kept)
        )

    def do_signout(self, request, session):
        """
        Sign out.
        """
        return lambda: outcomeOf(session.logout(request))

    def do_endothers(self, request, session):
        """
        End the other sessions of who is signed in.
        """
        return lambda: outcomeOf(session.endOthers(request))

    def do_endprincipal(self, request, session, who):
        """
        End all sessions of somebody.
        """
        return lambda: outcomeOf(self.site.endPrincipal(who))

    def do_endsession(self, request, session, who, handle):
        """
        End one session of somebody.
        """
        return lambda: outcomeOf(self.site.endSession(who, handle))

    async def sessionsOf(self, who):
        """
        The handles of the sessions of somebody, and how much is wrong in the index.
        """
        site, handles, after = self.site, [], None
        while found := await site.sessionsOf(who, after):
            handles += [each.handle for each in found]
            after = handles[-1]
        return handles, await site.verifyPrincipals()


__all__ = ["OPEN", "Entering", "outcomeOf"]
