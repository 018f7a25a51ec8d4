"""
Sessions that a function has for itself.

Owns the making of a draft: a session object beside the live one, with what the store
has acknowledged of it, that no request holds and that nothing but a transaction
saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from txsessions.core.state import State
from txsessions.errors import ConfigurationError
from txsessions.live import applying
from txsessions.live.entry import Entry

if TYPE_CHECKING:
    from txsessions.live.waiting import Waiter


AnyEntry = TypeVar("AnyEntry", bound=Entry)


class DraftEntry(Entry):
    """
    The account of a session that a function has for itself.
    """

    __slots__ = ()

    def settle(self, waiter: Waiter, tries: int = 0) -> bool:
        """
        Refuse.

        @raise ConfigurationError: Always.
        """
        raise ConfigurationError(
            "a transaction saves its session when the function has returned: "
            "save() and rotate() have no place in it"
        )


def makeDraft(live: Entry, uid: bytes, kind: type[AnyEntry]) -> AnyEntry:
    """
    Make a session of its own of what the store has acknowledged of a live one.

    @param kind: Of what kind its account is.
    @return: That.
    """
    table, session = live.table, live.session
    idle, lifetime, secure, cookieName, signIn = live.storedTerms
    state = State(
        createdAt=session._createdAt,
        idle=idle,
        lifetime=lifetime,
        secure=secure,
        cookieName=cookieName,
        signIn=signIn,
        parts=live.parts,
    )
    own = table.loader.remake(uid, state, session.lastModified)
    draft = own._entry = kind(table, own)
    draft.version = live.version
    draft.parts = live.parts
    draft.storedTerms = live.storedTerms
    applying.apply(own, live.parts, {})
    return draft


__all__ = ["DraftEntry", "makeDraft"]
