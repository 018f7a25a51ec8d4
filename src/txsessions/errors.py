"""
Every exception that txsessions raises, in one tree under L{SessionError}.

An error names what was expected, what was found and what to do about it.  None
of them ever holds a uid, a key or session data: a session is named by its tag,
the first sixteen hexadecimal characters of its store key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from txsessions.core.record import Record


class SessionError(Exception):
    """
    The root of everything that goes wrong in txsessions.
    """


class ConfigurationError(SessionError, ValueError):
    """
    The program was told something that cannot work: a cookie policy that
    browsers refuse, a limit that is not positive, a missing key.
    """


class AddressError(ConfigurationError):
    """
    A store address that cannot be read, or that names an unknown kind of store.
    """


class KeyFileError(ConfigurationError):
    """
    The key file is missing, malformed, or readable by others.  The message
    names the fault and the file, never the bytes.
    """


class WrongThread(SessionError, RuntimeError):
    """
    A session was used outside the reactor's thread: use
    C{reactor.callFromThread}.
    """


class _AboutSession(SessionError):
    """
    An error about one session, which it names by its tag.

    @ivar tag: Sixteen hexadecimal characters of the store key, or the empty
        string where the session has none yet.
    """

    explanation = "something is wrong with this session"

    def __init__(self, tag: str = "", explanation: str | None = None) -> None:
        self.tag = tag
        said = explanation or self.explanation
        super().__init__(f"{said} (session {tag})" if tag else said)


class SessionExists(_AboutSession):
    """
    The store already holds a session with this key.
    """

    explanation = "a session with this key is already stored"


class SessionGone(_AboutSession):
    """
    The session has ended, here or elsewhere: it was logged out, it expired, or
    it was rotated away.
    """

    explanation = "the session has ended"


class SessionConflict(_AboutSession):
    """
    Somebody else changed the session since it was loaded.

    @ivar current: The record as it stands in the store.
    """

    explanation = "the session was changed elsewhere since it was loaded"

    def __init__(self, current: Record) -> None:
        self.current = current
        super().__init__(current.tag)


class TooManySessions(_AboutSession):
    """
    Nobody was signed in: the principal has as many sessions as it may have.

    @ivar most: How many that are.
    """

    def __init__(self, tag: str, most: int) -> None:
        self.most = most
        super().__init__(
            tag,
            f"whoever would sign in has {most} sessions already, which is the limit: "
            "one of them has to end first",
        )


class TooManyNewSessions(_AboutSession):
    """
    A new session was not kept: visitors of this network have been given as many as
    they may have, see C{NetworkBudget}.  The response is 429.

    @ivar network: The network.
    @ivar retryAfter: Seconds after which there may be another.
    """

    def __init__(self, tag: str, network: str, retryAfter: int) -> None:
        self.network = network
        self.retryAfter = retryAfter
        super().__init__(
            tag,
            f"visitors of {network} have been given as many new sessions as they may "
            f"have; the next one in {retryAfter} s",
        )


class TransactionTooLong(_AboutSession, TimeoutError):
    """
    A transaction was not over in time: its function took long, or others that were
    before it did.  Nothing of it was saved.
    """

    explanation = (
        "the transaction was not over in time, and nothing of it was saved: do what "
        "takes long before it, and start none on the same session inside of it"
    )


class SessionStale(_AboutSession):
    """
    This session object was dropped because its changes could not be saved; the
    next request loads it afresh.
    """

    explanation = (
        "this session object was dropped because saving it failed; "
        "call request.getSession() in a new request"
    )


class SessionTooLarge(_AboutSession):
    """
    The state of the session is larger than its store may be given.

    @ivar size: What it would take, in bytes.
    @ivar limit: What is allowed, in bytes.
    """

    def __init__(self, tag: str, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            tag,
            f"the session's state takes {size} bytes and the limit is {limit}: "
            "keep large things elsewhere and only their names in the session",
        )


class CannotBeKept(SessionError, TypeError):
    """
    A value cannot be kept with the session.

    @ivar where: The way to the value, such as C{sessionNamespaces['cart'][3]}.
    @ivar reason: Why it cannot be kept, for people.
    """

    def __init__(self, where: str, reason: str) -> None:
        self.where = where
        self.reason = reason
        super().__init__(f"{where or 'the value'} cannot be kept: {reason}")


class SessionUnavailable(SessionError):
    """
    Sessions cannot be read now, because their store does not answer.  Left
    uncaught by a resource it answers 503 with C{Retry-After}.

    @ivar retryAfter: Seconds after which it is worth trying again.
    """

    def __init__(self, retryAfter: int = 2) -> None:
        self.retryAfter = retryAfter
        super().__init__(
            "the session store does not answer; nobody has been logged out, "
            f"try again in {retryAfter} s"
        )


class SignInNeeded(_AboutSession):
    """
    What is asked for wants a sign-in that this session does not have: have the
    visitor sign in, again or more surely, and come back.  Left uncaught by a resource
    it answers 403.

    @ivar seconds: How long ago it may be at most.
    @ivar level: How sure it has to be.
    @ivar authenticatedAt: When the visitor did sign in, in seconds since the epoch;
        L{None} if nobody is signed in.
    """

    explanation = "this wants the visitor to sign in, again or more surely"

    def __init__(
        self,
        tag: str,
        seconds: float,
        level: int,
        authenticatedAt: float | None,
    ) -> None:
        self.seconds = seconds
        self.level = level
        self.authenticatedAt = authenticatedAt
        super().__init__(tag)


class ResponseStarted(SessionError, RuntimeError):
    """
    The headers have been sent, so the cookie can no longer be changed: rotate
    or sign in before the first C{request.write()}.
    """

    def __init__(self) -> None:
        super().__init__(
            "the response has started, so its cookie can no longer change: "
            "call this before the first request.write()"
        )


class CSRFRefused(SessionError):
    """
    A request that would change something does not show that it comes from a page of
    this session.  Left uncaught by a resource it answers 403.

    @ivar reason: What is wrong: C{"missing"}, C{"repeated"} or C{"wrong"} for the
        token, C{"query"} if it came in the URL, C{"site"} or C{"origin"} if the
        browser says that another site sent the request.
    """

    _explanations: ClassVar[dict[str, str]] = {
        "missing": "it has no token: put session.csrfToken into the form or the header",
        "repeated": "it has more than one token",
        "wrong": "its token is not one of this session: the page is older than the "
        "session, or was not ours",
        "query": "its token is in the URL, which others get to see: send it in the "
        "body, as a form does that has method=post",
        "site": "the browser says that another site sent it (Sec-Fetch-Site)",
        "origin": "the browser says that another site sent it (Origin)",
    }

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"the request is refused: {self._explanations[reason]}")


class StoreError(SessionError):
    """
    A store is broken or out of reach.  Never raised for a session that is
    merely absent.
    """


class StoreUnavailable(StoreError):
    """
    The store did not answer in time, is full, is closed, or refuses.  What a
    write that ends so did to the store is unknown.
    """


class StoreCorrupt(StoreError):
    """
    The store itself is damaged, or was written by a newer version.
    """


class RecordDamaged(_AboutSession):
    """
    A record does not carry the seal that it should: damaged, swapped, planted,
    or older than its version says.
    """

    explanation = "the record's seal is broken, so it is not used"


class UnknownKey(SessionError):
    """
    A record was sealed under a key that this process does not have: a broken
    deployment, not a damaged record.

    @ivar keyId: The id of the missing key, 16 hexadecimal characters.
    """

    def __init__(self, keyId: str) -> None:
        self.keyId = keyId
        super().__init__(
            f"a record is sealed under key {keyId}, which is not in the key "
            "file: give this process the same keys as the others"
        )


__all__ = [
    "AddressError",
    "CSRFRefused",
    "CannotBeKept",
    "ConfigurationError",
    "KeyFileError",
    "RecordDamaged",
    "ResponseStarted",
    "SessionConflict",
    "SessionError",
    "SessionExists",
    "SessionGone",
    "SessionStale",
    "SessionTooLarge",
    "SessionUnavailable",
    "SignInNeeded",
    "StoreCorrupt",
    "StoreError",
    "StoreUnavailable",
    "TooManyNewSessions",
    "TooManySessions",
    "TransactionTooLong",
    "UnknownKey",
    "WrongThread",
]
