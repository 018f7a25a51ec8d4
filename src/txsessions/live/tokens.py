"""
A session's tokens against forged requests.

Owns which secret a session's tokens are made of.  As a rule it is derived from the
uid and kept nowhere: showing a form writes nothing, forms that two processes show
at once agree, and a new uid means new tokens.  Only where a uid changes for its age
alone, so that nobody signs in and forms that are open should go on to work, is the
secret kept in the state: L{keepSecret}.

Knows no HTTP.
"""

from __future__ import annotations

import os
from typing import Any

from txsessions.core import csrf
from txsessions.errors import SessionUnavailable

_KEPT = "txsessions.csrf"
"""
Under which name the secret is kept among the attributes: no application can have an
attribute of that name by accident.
"""


def secretOf(session: Any) -> bytes:
    """
    What a session's tokens are made of.
    """
    kept = session.__dict__.get(_KEPT)
    return kept if isinstance(kept, bytes) else csrf.secretOf(session._uid)


def makeToken(session: Any) -> str:
    """
    Make a token.  The session will be kept, and its cookie set: the form comes back
    with both.

    @raise SessionUnavailable: There is no chance to be had.
    """
    pad = drawChance(session, csrf.SECRET_BYTES)
    session._uidRead = True
    return csrf.mask(secretOf(session), pad)


def isTokenOf(session: Any, token: bytes) -> bool:
    """
    Tell whether a token is one of this session's.

    @param token: Whatever a client sent.
    """
    return csrf.isTokenOf(secretOf(session), token)


def keepSecret(session: Any) -> None:
    """
    Keep the tokens of a session good, whose uid is about to change for its age
    alone.
    """
    session.__dict__[_KEPT] = secretOf(session)


def dropSecret(session: Any) -> None:
    """
    Make the tokens of a session void, whose uid changes because of what its visitor
    does, as at each sign-in.
    """
    session.__dict__.pop(_KEPT, None)


def drawChance(session: Any, size: int) -> bytes:
    """
    Draw bytes from the source of the session's site.

    @raise SessionUnavailable: It fails.
    """
    draw = getattr(session.site, "_entropy", os.urandom)
    try:
        drawn: bytes = draw(size)
    except Exception:
        raise SessionUnavailable from None
    return drawn


__all__ = ["drawChance", "dropSecret", "isTokenOf", "keepSecret", "makeToken"]
