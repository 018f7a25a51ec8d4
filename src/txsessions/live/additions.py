"""
What a session has beyond Twisted's.

Owns the new members.  They give way to an application's own attributes of the
same names, so that nothing else of ours uses them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txsessions.errors import ConfigurationError, SessionGone, SessionStale
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
            session has ended.
        @raise ResponseStarted: The headers have been sent.
        @raise SessionStale: It was dropped because it could not be saved.
        """
        table = _demandUse(self)
        change = getattr(request, "_sessionRotates", None)
        if table is None or change is None:
            raise ConfigurationError(
                "rotate() needs a session of a txsessions Site and the request "
                "that is to carry the new cookie"
            )
        if self._phase == ENDED:
            return _gone(self)
        change(self)
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


def _gone(session: Any) -> Deferred[None]:
    """
    What comes of saving a session that has ended.
    """
    gone = IgnorableDeferred()
    gone.fail(Failure(SessionGone(session._tag())))
    return gone


__all__ = ["Additions", "Offered"]
