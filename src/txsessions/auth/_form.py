"""
What a login page has to show.

Owns the value that a page is made of, the names of its fields, and what is said of what
went wrong.  Knows no HTML.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen

from txsessions.web.csrf import FIELD

NAME: Final = "username"
"""What the field is called that has the name."""

PASSWORD: Final = "password"  # noqa: S105 - the name of a field
"""What the field is called that has the password."""

RETURN: Final = "next"
"""What the field is called that has the return address, and the query's."""

REMEMBER: Final = "remember"
"""What the checkbox is called."""

MESSAGES: Final = {
    "needed": "Please sign in first. What you sent before was not accepted.",
    "wrong": "That name and password do not go together. Please try again.",
    "stale": "This page was out of date. Please sign in now.",
    "throttled": "There were too many tries. Please wait a while before the next one.",
    "unavailable": "Nobody can sign in at the moment. Please try again in a little while.",
}
"""What is said, by what went wrong."""


@frozen(kw_only=True)
class LoginForm:
    """
    What a login page is to show.  It is posted to C{action} with the fields
    C{csrf_token}, C{username}, C{password}, C{next} and, if C{remembers}, C{remember}.

    The texts come from whoever sent the request: escape them.

    @ivar action: The path that the form is posted to.
    @ivar csrfToken: For the hidden field C{csrf_token}.
    @ivar returnTo: For the hidden field C{next}: a path of this site.
    @ivar error: What went wrong, if anything did: C{"wrong"} (there is no such name
        with such a password), C{"throttled"} (too many tries), C{"unavailable"} (nobody
        could check it), C{"stale"} (the form was not of this session, or not ours) or
        C{"needed"} (something was posted by somebody who is not signed in).
    @ivar username: For the field C{username}: what was entered before.
    @ivar remembers: Whether there is to be a checkbox C{remember}.
    @ivar retryAfter: Seconds after which it is worth trying again, if that is so.
    """

    action: str
    csrfToken: str = field(repr=False)
    returnTo: str
    error: str | None = None
    username: str = field(default="", repr=False)
    remembers: bool = False
    retryAfter: int | None = None

    @property
    def message(self) -> str:
        """
        What went wrong, in English, or the empty string.
        """
        return MESSAGES.get(self.error or "", "")

    @classmethod
    def of(cls, request: Any) -> LoginForm:
        """
        What a resource is to show that was given to the guard as its page.

        @param request: The request that it renders.
        """
        form = request.getComponent(cls)
        assert isinstance(form, cls), "the guard has not asked for this page"
        return form


__all__ = ["FIELD", "MESSAGES", "NAME", "PASSWORD", "REMEMBER", "RETURN", "LoginForm"]
