"""
The state: all of a session that outlives the process, as one value.

Owns the form of the bytes that are sealed, and what is refused of them.  What a
part holds are bytes here: L{txsessions.core.codec} knows how to read them.
Knows no encryption and no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import field, frozen
from msgspec import MsgspecError
from msgspec.msgpack import Decoder, Encoder

from txsessions.core.lifetime import MAX_SECONDS
from txsessions.core.plain import MAX_PAYLOAD
from txsessions.core.signin import SignIn, checkSignIn, writtenSignIn
from txsessions.errors import CannotBeKept, SessionTooLarge

FORMAT: Final = 1
"""The version of the form of the bytes, their first value."""

MAX_PARTS: Final = 1000
"""How many parts a session may have."""

NAMESPACE: Final = b"n"
"""The kind of a part that is one key of C{sessionNamespaces}."""

ATTRIBUTE: Final = b"a"
"""The kind of a part that is one attribute of the session."""

COMPONENT: Final = b"c"
"""The kind of a part that is one component, named by its interface."""

_KINDS: Final = frozenset({NAMESPACE, ATTRIBUTE, COMPONENT})

_ONE_MORE: Final = b"\x98"
"""How MessagePack begins an array of eight values: the seven of the head and the
parts."""

_toBytes = Encoder().encode
_fromBytes = Decoder(
    tuple[int, float, float, float, bool, bytes, SignIn | None, dict[bytes, bytes]]
).decode


@frozen(kw_only=True)
class State:
    """
    All of a session that outlives the process.

    @ivar createdAt: When the session was made, in seconds since the epoch.
    @ivar idle: How long it lives unused, in seconds.
    @ivar lifetime: How long it lives at most, in seconds.
    @ivar secure: Whether its cookie is only for HTTPS.
    @ivar cookieName: The name of the cookie that its uid comes in.
    @ivar signIn: Who is signed in, if anybody is.
    @ivar parts: The encoded value of each part, by the part's name.
    """

    createdAt: float
    idle: float
    lifetime: float
    secure: bool
    cookieName: bytes
    signIn: SignIn | None = None
    parts: Mapping[bytes, bytes] = field(repr=False)


def partName(kind: bytes, name: bytes) -> bytes:
    """
    Name a part.

    @param kind: L{NAMESPACE}, L{ATTRIBUTE} or L{COMPONENT}.
    @param name: What it is called among its kind.
    """
    if kind not in _KINDS:
        raise ValueError(f"there is no kind of part named {kind!r}")
    return kind + name


def splitPart(name: bytes) -> tuple[bytes, bytes]:
    """
    Undo L{partName}.

    @return: The kind, and what the part is called among its kind.
    """
    kind = name[:1]
    if kind not in _KINDS:
        raise ValueError("a part is of no kind that is known")
    return kind, name[1:]


def packState(state: State, tag: str = "") -> bytes:
    """
    Write a state as bytes: the same bytes for equal states whose parts have the
    same order.

    @param tag: Names the session in errors.
    @raise SessionTooLarge: They would be more than L{MAX_PAYLOAD}.
    @raise CannotBeKept: It has too many parts, or a principal that is no text.
    @raise ValueError: L{unpackState} would refuse it.
    """
    parts = state.parts if type(state.parts) is dict else dict(state.parts)
    if len(parts) <= MAX_PARTS:
        _checkNames(parts)
    head = packHead(
        state.createdAt,
        state.idle,
        state.lifetime,
        state.secure,
        state.cookieName,
        state.signIn,
    )
    data = packParts(head, parts)
    if len(data) > MAX_PAYLOAD:
        raise SessionTooLarge(tag, len(data), MAX_PAYLOAD)
    return data


def packHead(
    createdAt: float,
    idle: float,
    lifetime: float,
    secure: bool,
    cookieName: bytes,
    signIn: SignIn | None,
) -> bytes:
    """
    Write what L{packState} begins with: all but the parts.  It seldom changes, so that
    who writes a session again has it at hand.

    @raise CannotBeKept: The principal is no text.
    @raise ValueError: L{unpackState} would refuse it.
    """
    _check(createdAt, idle, lifetime)
    if signIn is not None:
        checkSignIn(signIn)
    fields = FORMAT, float(createdAt), float(idle), float(lifetime), secure, cookieName
    try:
        head = _toBytes((*fields, writtenSignIn(signIn)))
    except UnicodeEncodeError:
        raise CannotBeKept(
            "the principal", "it holds a lone surrogate, which is no character"
        ) from None
    return _ONE_MORE + head[1:]


def packParts(head: bytes, parts: dict[bytes, bytes]) -> bytes:
    """
    Write the rest: together they are what L{packState} writes, for who sees to it that
    that is no more than L{MAX_PAYLOAD}.

    @param head: What L{packHead} has written.
    @param parts: By names of L{partName}'s.
    @raise CannotBeKept: There are too many parts.
    """
    if len(parts) > MAX_PARTS:
        raise CannotBeKept(
            "the session", f"it has {len(parts)} parts, and {MAX_PARTS} may be"
        )
    return head + _toBytes(parts)


def unpackState(data: bytes) -> State:
    """
    Read what L{packState} wrote.

    @raise ValueError: These are not bytes that L{packState} would write.
    """
    if len(data) > MAX_PAYLOAD:
        raise ValueError("a kept session is larger than we would write it")
    try:
        fields = _fromBytes(data)
    except (MsgspecError, UnicodeError, RecursionError):
        raise ValueError("a kept session is malformed") from None
    # Written again it is the same, unless a part stands twice or a number is
    # written in another way than we would.
    version, createdAt, idle, lifetime, secure, cookieName, signIn, parts = fields
    again = _toBytes((*fields[:-2], writtenSignIn(signIn), parts))
    if version != FORMAT or again != data:
        raise ValueError("a kept session is not written as we would")
    if len(parts) > MAX_PARTS:
        raise ValueError("a kept session has more parts than we would write")
    _check(createdAt, idle, lifetime)
    if signIn is not None:
        checkSignIn(signIn)
    _checkNames(parts)
    return State(
        createdAt=createdAt,
        idle=idle,
        lifetime=lifetime,
        secure=secure,
        cookieName=cookieName,
        signIn=signIn,
        parts=parts,
    )


def _check(createdAt: float, idle: float, lifetime: float) -> None:
    """
    Refuse what no session of ours has; neither does a NaN pass.
    """
    if not 0 <= createdAt <= MAX_SECONDS:
        raise ValueError("a session was made before 1970 or after 9999")
    if not 0 < idle <= MAX_SECONDS or not 0 < lifetime <= MAX_SECONDS:
        raise ValueError("a session's idle time or lifetime is out of range")


def _checkNames(parts: Mapping[bytes, bytes]) -> None:
    """
    Refuse parts of a kind that is not known.
    """
    for name in parts:
        if name[:1] not in _KINDS:
            raise ValueError("a part is of no kind that is known")


__all__ = [
    "ATTRIBUTE",
    "COMPONENT",
    "FORMAT",
    "MAX_PARTS",
    "MAX_PAYLOAD",
    "NAMESPACE",
    "State",
    "packHead",
    "packParts",
    "packState",
    "partName",
    "splitPart",
    "unpackState",
]
