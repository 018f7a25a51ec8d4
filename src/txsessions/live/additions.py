"""
What a session has beyond Twisted's.

Owns the new members.  They give way to an application's own attributes of the
same names, so that nothing else of ours uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txsessions.core.lifetime import validSeconds
from txsessions.core.signin import isFresh
from txsessions.errors import (
    ConfigurationError,
    SessionGone,
    SessionStale,
    SignInNeeded,
)
from txsessions.live import flashes, tokens
from txsessions.live.closing import Closing, closeLater
from txsessions.live.ignorable import IgnorableDeferred
from txsessions.live.phases import ENDED, STALE
from txsessions.live.timing import demandThread

if TYPE_CHECKING:
    from txsessions.live.table import LiveTable


class Offered:
    """
    A read-only member that gives way to an application's own attribute of the
    same name, which a property would not.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, session: Any, owner: type) -> Any:
        return self if session is None else self._read(session)


class Additions:
    """
    The new members of a session.
    """

    __slots__ = ()

    @Offered
    def tag(self: Any) -> str:
        """
        What logs and operators know this session by: 16 hexadecimal characters.
        """
        tag: str = self._tag()
        return tag

    @Offered
    def isNew(self: Any) -> bool:
        """
        Whether the session was made in this request.
        """
        return bool(self._isNew)

    @Offered
    def csrfToken(self: Any) -> str:
        """
        What a form of this session brings along, to be told from one that another
        site sends in the visitor's name: 64 characters, others at each reading and
        all of them good until the session gets a new uid by L{rotate}, or ends.
        L{checkCSRF<txsessions.checkCSRF>} looks at them.

        A new session is kept for it, and its cookie set.
        """
        return tokens.makeToken(self)

    def flash(self: Any, text: str, level: str = "info") -> None:
        """
        Let a message wait for the page that is shown next, be it after a redirect.
        Twenty may wait; then the oldest goes.

        On a session that has ended it is lost with it: after C{expire()}, ask
        C{request.getSession()} for another one.

        @param text: Plain text; what is longer than a thousand characters is cut.
        @param level: A word of the application's own.
        """
        demandThread()
        flashes.add(self, text, level)

    def takeFlashes(self: Any) -> list[flashes.Flash]:
        """
        Take the messages that wait, in their order; nobody else gets them.

        Two pages of one process never show the same.  Where pages of two processes
        take it at the same moment, the store lets one of them have it, and the
        other page, if it was asked for by GET and nothing of it has been sent, is
        asked for once more.  A message goes with the answer that shows it: if that
        cannot be saved, it waits on; if the client does not get it, it is lost.

        @return: L{Flash<txsessions.Flash>} values.
        """
        demandThread()
        return flashes.take(self)

    @Offered
    def principal(self: Any) -> str | None:
        """
        Who is signed in, as L{login} was told; L{None} if nobody is.
        """
        signIn = self._signIn
        return None if signIn is None else signIn.principal

    @Offered
    def level(self: Any) -> int:
        """
        How sure it is who that is: what L{login} was told, and 0 if nobody is
        signed in.
        """
        signIn = self._signIn
        return 0 if signIn is None else signIn.level

    @Offered
    def authenticatedAt(self: Any) -> float | None:
        """
        When L{login} was last called, in seconds since the epoch; L{None} if nobody
        is signed in.
        """
        signIn = self._signIn
        return None if signIn is None else signIn.authenticatedAt

    @Offered
    def handle(self: Any) -> str | None:
        """
        What the session is called in C{site.sessionsOf(principal)}; L{None} if
        nobody is signed in.
        """
        signIn = self._signIn
        return None if signIn is None else signIn.handle.hex()

    def save(self: Any) -> Deferred[None]:
        """
        Save what has changed, now: for code that works outside a request, or
        never finishes its response.

        @return: Fires when the store has acknowledged it; may be ignored.  Fails
            with C{StoreUnavailable}, C{SessionTooLarge} or C{CannotBeKept}, and
            with C{SessionGone} if the session has ended.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        table = _demandUse(self)
        if self._phase == ENDED:
            return _gone(self)
        return succeed(None) if table is None else table.save(self)

    def rotate(self: Any, request: Any) -> Deferred[None]:
        """
        Give the session a new uid, as is due at each sign-in, and keep its
        state.  The old uid is dead from now on; the new cookie goes out on the
        response to C{request} only.

        @return: Fires when the store has acknowledged it; may be ignored, since
            the response waits for it too.  Fails with C{SessionGone} if the
            session has ended, or another request has given it a new uid since
            C{request} came: only one of the two can hand it out.
        @raise ResponseStarted: The headers have been sent.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        table, change = _demandRequest(
            _demandUse(self), request, "_sessionRotates", "rotate"
        )
        if self._phase == ENDED:
            return _gone(self)
        if not change(self):
            return _gone(self)
        tokens.dropSecret(self)
        return table.rotate(self)

    def closes(self: Any, connection: Any) -> None:
        """
        Close a connection when this session ends, in whatever process that is: here
        at once, else within C{site.watchInterval} seconds.

        A request's response is cut short, as if its client had left; other things get
        C{loseConnection()}.  When the connection goes first nothing is left to undo.
        That it is open does not keep the session alive: C{touch()} does.

        @param connection: A request, or a transport such as that of a WebSocket.
        @raise SessionGone: The session has ended.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        table = _demandUse(self)
        if self._phase == ENDED:
            raise SessionGone(self._tag())
        make = getattr(connection, "_closesWithSession", None)
        closing = Closing(connection) if make is None else make()
        closeLater(self.expireCallbacks, closing)
        if table is not None and self._entry is not None:
            table.watching.begin(self._entry)

    def login(
        self: Any,
        request: Any,
        principal: str,
        *,
        level: int = 1,
        keep: bool | None = None,
        remember: int | None = None,
    ) -> Deferred[None]:
        """
        Somebody has proved who he or she is, at first or once more: give the session
        a new uid, of which nobody can know, and remember who it is.  The old uid is
        dead from now on in every process; the new cookie goes out on the response to
        C{request} only.  The session's lifetime begins anew.

        It is the same session object if the state is kept.  If not, it ends, and
        another one begins; and so it is where another request has signed somebody in
        on it, or it is gone, since C{request} came: each of two sign-ins that were
        sent at once has a session then.  So from now on use
        C{request.getSession()}.

        @param principal: What the application calls the one who signed in.
        @param level: How sure it is, from now on: 1 for one factor, 2 for two, or
            what steps the application has.  Say so at each step.
        @param keep: Whether what is in the session stays.  If not given, it does,
            unless somebody else was signed in: the cart of a visitor becomes that
            of the user, and never that of one user another's.
        @param remember: For how many seconds the session lasts, used or not, and the
            browser keeps its cookie, over its own end: 400 days at most.  If not given,
            the session's limits are those of its class, and its cookie the policy's,
            also if it was remembered before.
        @return: Fires when the store has acknowledged it; may be ignored, since the
            response waits for it too.  Fails with C{SessionGone} if the client has
            left, or if the principal was signed in already and this is no longer so:
            a second factor does not undo a logout.
        @raise ResponseStarted: The headers have been sent.
        @raise SessionStale: It was dropped because it could not be saved.
        @raise ConfigurationError: The principal is no text of 1 to 256 characters,
            the level no whole number from 1 to 1000, C{remember} no whole number of
            seconds, or C{request} did not get the session by C{request.getSession()}.
        """
        _, change = _demandRequest(
            _demandUse(self), request, "_sessionSignsIn", "login"
        )
        done: Deferred[None] = change(self, principal, level, keep, remember)
        return done

    def endOthers(self: Any, request: Any) -> Deferred[int]:
        """
        End all other sessions of who is signed in on this one, in every process, and
        give this one a new uid: for a new password, and for whoever suspects
        something.

        @return: How many have ended; may be ignored, since the response waits for
            it.  Fails with C{StoreUnavailable}: then that is unknown, and this one is
            lost too if it has its new uid already; or with C{SessionGone}, and the
            answer is 503, if another request has given it a new uid since C{request}
            came.
        @raise SignInNeeded: Nobody is signed in.
        @raise ResponseStarted: The headers have been sent.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        _, change = _demandRequest(
            _demandUse(self), request, "_sessionEndsOthers", "endOthers"
        )
        if self._signIn is None or self._phase == ENDED:
            raise SignInNeeded(self._tag(), 0.0, 1, None)
        done: Deferred[int] = change(self)
        return done

    def logout(self: Any, request: Any, *, clear: Sequence[str] = ()) -> Deferred[None]:
        """
        End the session, as C{expire} does, and delete the cookie on the response to
        C{request}.  The next C{request.getSession()} begins a new one.  C{request.logout()}
        does so also where the store does not answer and there is no session to be had.

        @param clear: What else the browser is to forget of this site, by
            C{Clear-Site-Data} (which browsers heed over TLS only): C{["cache"]},
            C{["cache", "storage"]}, C{["*"]}.
        @return: As C{expire} does.
        @raise ConfigurationError: C{request} did not get the session by
            C{request.getSession()}: use C{expire} for that of somebody else.  Or a
            browser would not know what to clear.
        """
        demandThread()
        _, change = _demandRequest(
            self._table(), request, "_sessionLogsOut", "logout", "delete the cookie"
        )
        done: Deferred[None] = change(self, clear)
        return done

    def requireFresh(self: Any, seconds: float, *, level: int = 1) -> None:
        """
        Go on only if somebody has signed in on this session lately, for what wants
        to be sure of that: a new password, a payment.

        @param seconds: How long ago it may be.
        @param level: How sure it has to be who it is.
        @raise SignInNeeded: It is not so, or the clock says nonsense.
        """
        demandThread()
        validSeconds(seconds, "requireFresh")
        signIn, table, entry = self._signIn, self._table(), self._entry
        if signIn is not None and table is not None and self._phase < ENDED:
            used = self.lastModified if entry is None else entry.touchedAt
            at = signIn.authenticatedAt
            if signIn.level >= level and isFresh(table.seconds(), at, used, seconds):
                return
        at = None if signIn is None else signIn.authenticatedAt
        raise SignInNeeded(self._tag(), seconds, level, at)

    def __getitem__(self: Any, name: Any) -> Any:
        return self.sessionNamespaces[name]

    def __setitem__(self: Any, name: Any, value: Any) -> None:
        self.sessionNamespaces[name] = value

    def __delitem__(self: Any, name: Any) -> None:
        del self.sessionNamespaces[name]

    def __contains__(self: Any, name: Any) -> bool:
        return name in self.sessionNamespaces

    def __iter__(self: Any) -> Iterator[Any]:
        return iter(self.sessionNamespaces)

    def __bool__(self) -> bool:
        """
        A session is true, also an empty one.
        """
        return True


def _demandUse(session: Any) -> LiveTable | None:
    """
    The live table, for what has to do with the store.

    @raise SessionStale: The session was dropped because it could not be saved.
    """
    demandThread()
    if session._phase == STALE:
        raise SessionStale(session._tag())
    table: LiveTable | None = session._table()
    return table


def _demandRequest(
    table: LiveTable | None,
    request: Any,
    method: str,
    name: str,
    purpose: str = "carry the new cookie",
) -> tuple[LiveTable, Callable[..., Any]]:
    """
    What it takes to do something that shows in the response to a request.

    @param method: What the request's part of it is called.
    @param name: What the application calls, and C{purpose} what for; for the error.
    @return: The table, and the request's part.
    @raise ConfigurationError: The session, or the request, is none of a site of ours.
    """
    change: Callable[..., Any] | None = getattr(request, method, None)
    if table is None or change is None:
        raise ConfigurationError(
            f"{name}() needs a session of a txsessions Site and the request that is "
            f"to {purpose}"
        )
    return table, change


def _gone(session: Any) -> Deferred[None]:
    """
    What comes of saving a session that has ended.
    """
    gone: IgnorableDeferred[None] = IgnorableDeferred()
    gone.fail(Failure(SessionGone(session._tag())))
    return gone


__all__ = ["Additions", "Offered"]
