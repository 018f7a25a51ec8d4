"""
What C{twisted.cred} calls somebody, and what a session does.

Owns the way between an avatar id, which is bytes, and a principal, which is text and may
have something before it; and which principals are the users of which guard.

Theory of operation.  Who is signed in is so for all of a site.  So where one guard has
other users than the next one, an C{ann} of the one must not be served what an C{ann} of
the other has.  Each guard knows its own by what stands before their names.  It is
refused to serve beside one that may have other users, as long as the names of the one
could be names of the other: nobody has to know of this to be safe.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary, WeakSet

from twisted.cred.credentials import IAnonymous
from twisted.internet.defer import Deferred, maybeDeferred

from txsessions.core.signin import MAX_PRINCIPAL
from txsessions.errors import ConfigurationError
from txsessions.live.table import LiveTable

_met: WeakKeyDictionary[LiveTable, WeakSet[Names]] = WeakKeyDictionary()

_CLASH = (
    "two SessionGuards of one site have different checkers, so that each would take the "
    "other's users for its own: give each a prefix, of which none begins with another, "
    "or, if they do mean the same users, the same one"
)


class Names:
    """
    The names of a guard's users.
    """

    def __init__(self, portal: Any, prefix: str) -> None:
        """
        @param portal: A C{twisted.cred.portal.Portal}.
        @param prefix: What stands before each name in C{session.principal}.
        @raise ConfigurationError: It cannot stand there.
        """
        if not isinstance(prefix, str) or not prefix.isprintable():
            raise ConfigurationError(f"a prefix is a printable text, not {prefix!r}")
        self._portal = portal
        self._prefix = prefix

    def principalOf(self, avatarId: object) -> str:
        """
        What a session calls somebody whom a checker has recognised.

        @raise ConfigurationError: No session can be signed in as that.  The message
            does not say who it is.
        """
        name: object = avatarId
        if isinstance(avatarId, bytes):
            try:
                name = avatarId.decode("utf-8")
            except UnicodeDecodeError:
                raise ConfigurationError(
                    "the checker gave an avatar id that is not UTF-8: a session is "
                    "signed in as a text"
                ) from None
        if not isinstance(name, str):
            raise ConfigurationError(
                "the checker gave an avatar id that is not bytes, such as that of "
                "nobody, for a name and a password"
            )
        most = MAX_PRINCIPAL - len(self._prefix)
        if not 0 < len(name) <= most:
            raise ConfigurationError(
                f"the checker gave an avatar id that has not 1 to {most} characters"
            )
        return self._prefix + name

    def nameOf(self, principal: str) -> str | None:
        """
        What the checkers call a principal.

        @return: L{None} for somebody who is none of these users.
        """
        if not principal.startswith(self._prefix):
            return None
        return principal[len(self._prefix) :] or None

    def avatarIdOf(self, principal: str) -> bytes:
        """
        What a realm is asked for.
        """
        return principal[len(self._prefix) :].encode("utf-8")

    def meet(self, table: LiveTable) -> None:
        """
        Serve on a site.

        @raise ConfigurationError: Another one does that may have other users of the
            same names.
        """
        here = _met.setdefault(table, WeakSet())
        if self not in here:
            if any(self._clashesWith(other) for other in here):
                raise ConfigurationError(_CLASH)
            here.add(self)

    def _clashesWith(self, other: Names) -> bool:
        """
        Whether a name of the one may be somebody else's with the other.
        """
        mine, its = self._prefix, other._prefix
        if mine == its:
            return not mine and self._checkers() != other._checkers()
        return mine.startswith(its) or its.startswith(mine)

    def _checkers(self) -> set[int]:
        """
        Who knows these users.
        """
        checkers: dict[Any, object] = self._portal.checkers
        return {id(one) for kind, one in checkers.items() if kind is not IAnonymous}


class Naming:
    """
    A realm that tells with an avatar whose it is, which C{Portal.login} does not.
    """

    def __init__(self, realm: Any, names: Names) -> None:
        """
        @param realm: The one that has the avatars.
        """
        self._realm = realm
        self._names = names

    def requestAvatar(
        self, avatarId: Any, mind: object, *interfaces: Any
    ) -> Deferred[Any]:
        """
        See C{IRealm.requestAvatar}.

        @return: Fires with the principal, and what the realm has answered.
        @raise ConfigurationError: No session can be signed in as this.
        """
        principal = self._names.principalOf(avatarId)
        asked: Deferred[Any] = maybeDeferred(
            self._realm.requestAvatar,
            self._names.avatarIdOf(principal),
            mind,
            *interfaces,
        )
        return asked.addCallback(lambda found: (principal, found))


__all__ = ["Names", "Naming"]
