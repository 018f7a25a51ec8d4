"""
What a sign-in does to a session.

Owns who is signed in, the lifetime and the tokens that begin anew, and
that one session can take the place of another.  Knows no HTTP: which response
carries the new cookie is the business of L{txsessions.web.signin}.

Theory of operation.  Who is signed in changes only together with the uid, in one
write.  So no two processes ever have to agree on it: whoever still has the old uid
finds that it was rotated away.  Where the state is not to be kept, another session
object takes over the account with the store, for a rename leaves a marker under the
old key, which an insert and a delete would not.  Nothing is taken out of the old
object, so that what one user left is never seen where another is signed in.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from txsessions.core.signin import SignIn, checkSignIn
from txsessions.errors import ConfigurationError
from txsessions.live import tokens
from txsessions.live.events import EventKind

if TYPE_CHECKING:
    from txsessions.live.session import Session
    from txsessions.live.table import LiveTable


def signInAs(
    principal: object,
    level: object,
    now: float,
    handle: bytes,
    client: tuple[str | None, str | None] = (None, None),
    remember: int | None = None,
) -> SignIn:
    """
    Make a sign-in of what the application says.

    @param handle: One of chance.
    @param client: The user agent and the address, as far as the site keeps them.
    @param remember: For how long the session is to last, if not as others.
    @raise ConfigurationError: It cannot be kept as one; the message does not say who
        it is.
    """
    name = str.__str__(principal) if isinstance(principal, str) else principal
    # What is wrong with it is found below.
    signIn = SignIn(name, level, float(now), handle, *client, remember)  # type: ignore[arg-type]
    try:
        checkSignIn(signIn)
        signIn.principal.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError(
            "the principal holds a lone surrogate, which is no character"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"nobody can be signed in so: {error}") from None
    return signIn


def begin(session: Session, signIn: SignIn) -> None:
    """
    Have somebody signed in.  The caller gives the session another uid, or has just
    made it.
    """
    before, entry = session._signIn, session._entry
    if before is not None and before.principal == signIn.principal:
        signIn = signIn._replace(handle=before.handle)
    if entry is not None:
        entry.principal = None
    session._signIn = signIn
    if signIn.remember is not None:
        session._sessionTimeout = session._sessionLifetime = float(signIn.remember)
    elif before is not None and before.remember is not None:
        session._sessionTimeout = session._sessionLifetime = None
    session._createdAt = session._clock.seconds()
    session._reschedule()
    tokens.dropSecret(session)


def rememberedFor(session: Session) -> int | None:
    """
    For how many more seconds a browser is to keep the session's cookie, if it is to
    keep it longer than it does by itself.
    """
    signIn = session._signIn
    if signIn is None or signIn.remember is None:
        return None
    age: float = session._clock.seconds() - session._createdAt
    return max(1, min(signIn.remember, ceil(signIn.remember - age)))


def supersede(table: LiveTable, old: Session, new: Session) -> None:
    """
    End a session and have another take its place, in the store too.

    @param new: One that was just made.
    """
    entry, fresh, uid = old._entry, new._entry, old._uid
    if entry is not None and fresh is not None and entry.isKnown:
        moved, _ = entry.movedFrom or (uid, True)
        entry.movedFrom, entry.principal = (moved, False), None
        entry.session, fresh.session = new, old
        new._entry, old._entry = entry, fresh
        entry.renamed()
        # What is left of it is what its end is told with.
        fresh.isKnown = fresh.ending.isOver = True
        fresh.parts = entry.parts
    table.rotated.note(uid, table.seconds())
    _ = old._end("login")


def tell(table: LiveTable, session: Session, signIn: SignIn | None, tag: str) -> None:
    """
    Tell that somebody has signed in.
    """
    table.announcer.tell(
        EventKind.SIGNED_IN,
        tag,
        table.seconds(),
        createdAt=session._createdAt,
        signIn=signIn,
    )


__all__ = ["begin", "rememberedFor", "signInAs", "supersede", "tell"]
