"""
The avatars that the sessions of this process have.

Owns when a realm is asked for one, how long it is kept, and that its logout is called
once.  An avatar is no state: it goes when its session leaves this memory, and is asked
for again when that comes back, here or in another process.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import Anonymous
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from twisted.web.resource import IResource

from txsessions.auth._names import Names
from txsessions.errors import ConfigurationError, SessionUnavailable
from txsessions.live.callbacks import runCallbacks
from txsessions.live.session import Session


class Avatar:
    """
    What a realm has given, or will give.

    @ivar principal: Whose it is; L{None} for nobody's.
    @ivar resource: The resource, once it is there.
    @ivar failure: Why there is none.
    """

    resource: Any = None
    failure: Failure | None = None

    def __init__(self, principal: str | None, asked: Deferred[Any]) -> None:
        """
        @param asked: What the realm answers.
        """
        self.principal = principal
        self._isOver = False
        self._logout: Any = None
        self._waiting: list[Deferred[None]] = []
        _ = asked.addCallback(self._came).addErrback(self._failed)

    def ready(self) -> Deferred[None]:
        """
        Wait for an avatar that is not there yet.

        @return: Fires when the realm has answered; fails if it has given none.
            Cancelling it stops the waiting alone: what the realm gives has to be told
            when it is over.
        """
        done: Deferred[None] = Deferred(self._waiting.remove)
        if self.failure is not None:
            done.errback(self.failure)
        else:
            self._waiting.append(done)
        return done

    def _came(self, found: Any) -> None:
        """
        The realm has given one.
        """
        _, resource, logout = found
        if resource is None:
            raise ConfigurationError("the realm gave no resource")
        self._logout = logout
        if self._isOver:
            self._end()
        else:
            self.resource = resource
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.callback(None)

    def _failed(self, failure: Failure) -> None:
        """
        The realm has given none.
        """
        self.failure = failure
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done.errback(failure)

    def __call__(self) -> None:
        """
        The session has left memory, or is somebody else's.
        """
        self._isOver = True
        self._end()

    def _end(self) -> None:
        """
        Call what the realm wants to be called, once.
        """
        self.resource = None
        logout, self._logout = self._logout, None
        if logout is not None:
            runCallbacks([logout])


class Avatars:
    """
    The avatars of one portal.
    """

    def __init__(self, portal: Any, names: Names) -> None:
        """
        @param portal: A C{twisted.cred.portal.Portal}.
        @param names: What its users are called.
        """
        self._portal = portal
        self._names = names
        self._nobodys: Avatar | None = None

    def of(self, session: Session, principal: str) -> Avatar:
        """
        The avatar of who is signed in on a session, which is asked for if it is not
        there.
        """
        beside = self._beside(session)
        avatar = beside.get(self)
        if (
            isinstance(avatar, Avatar)
            and avatar.principal == principal
            and avatar.failure is None
        ):
            return avatar
        asked = maybeDeferred(
            self._portal.realm.requestAvatar,
            self._names.avatarIdOf(principal),
            None,
            IResource,
        )
        return self.keep(session, Avatar(principal, asked))

    def keep(self, session: Session, avatar: Avatar) -> Avatar:
        """
        Keep an avatar with a session, in the place of the one that it had.
        """
        beside = self._beside(session)
        former = beside.get(self)
        if former is not None:
            former()
        beside[self] = avatar
        return avatar

    def _beside(self, session: Session) -> dict[object, Any]:
        """
        What stands beside a session.

        @raise SessionUnavailable: The site has let it go, since it is closing.
        """
        table = session._table()
        assert table is not None
        if table.sessions.get(session._uid) is not session:
            raise SessionUnavailable
        return table.companions.of(session)

    def ofNobody(self) -> Avatar:
        """
        The avatar of those who are not signed in: one for all.
        """
        avatar = self._nobodys
        if avatar is None or avatar.failure is not None:
            asked = maybeDeferred(self._portal.login, Anonymous(), None, IResource)
            # A realm may answer by a coroutine, which the portal hands on as it is.
            _ = asked.addCallback(lambda found: maybeDeferred(lambda: found))
            self._nobodys = avatar = Avatar(None, asked)
        return avatar


__all__ = ["Avatar", "Avatars"]
