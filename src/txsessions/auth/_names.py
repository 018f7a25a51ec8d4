"""
What C{twisted.cred} calls somebody, and what a session does.

Owns the way between an avatar id, which is bytes, and a principal, which is text.
"""

from __future__ import annotations

from txsessions.core.signin import MAX_PRINCIPAL
from txsessions.errors import ConfigurationError


def principalOf(avatarId: object) -> str:
    """
    What a session calls somebody whom a checker has recognised.

    @raise ConfigurationError: No session can be signed in as that.  The message does
        not say who it is.
    """
    principal: object = avatarId
    if isinstance(avatarId, bytes):
        try:
            principal = avatarId.decode("utf-8")
        except UnicodeDecodeError:
            raise ConfigurationError(
                "the checker gave an avatar id that is not UTF-8: a session is signed "
                "in as a text"
            ) from None
    if not isinstance(principal, str):
        raise ConfigurationError(
            "the checker gave an avatar id that is not bytes, such as that of nobody, "
            "for a name and a password"
        )
    if not 0 < len(principal) <= MAX_PRINCIPAL:
        raise ConfigurationError(
            f"the checker gave an avatar id that has not 1 to {MAX_PRINCIPAL} characters"
        )
    return principal


def avatarIdOf(principal: str) -> bytes:
    """
    What a realm is asked for.
    """
    return principal.encode("utf-8")


__all__ = ["avatarIdOf", "principalOf"]
