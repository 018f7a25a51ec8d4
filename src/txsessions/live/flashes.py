"""
Messages for the page that is shown next.

Owns how they are kept: one dict among the attributes, a key of chance for each
message, so that what two processes add and take is merged key by key.  It is
emptied and not removed, since a part that one side removes and the other changes
is a conflict, and a message that came meanwhile would be lost.  Knows no HTTP.

Two requests of one process have one dict, so that one of them takes a message.  In
two processes both may find it, and both have written it into their pages before the
store has let one of them have it.  The other one's changes are then merged with what
stands in the store: a message that is gone on both sides was taken twice, and the
request that took it here is told, see L{noticeTakenTwice}.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from txsessions.core.codec import decodeValue
from txsessions.core.state import ATTRIBUTE, partName
from txsessions.live.tokens import drawChance

MAX_FLASHES: Final = 20
"""How many messages wait at most; then the oldest goes."""

MAX_TEXT: Final = 1000
"""How long a message may be, in characters; what is longer is cut."""

MAX_LEVEL: Final = 32
"""How long the name of a level may be, in characters."""

KEPT: Final = "txsessions.flashes"
"""
Under which name they are kept among the attributes: no application can have an
attribute of that name by accident.
"""

_PART: Final = partName(ATTRIBUTE, KEPT.encode("utf-8"))


@frozen
class Flash:
    """
    A message that is shown once.

    @ivar text: What it says; plain text, to be escaped like any other.
    @ivar level: What kind it is, such as C{"info"} or C{"error"}: the application's
        own word.
    """

    text: str
    level: str = "info"


def add(session: Any, text: str, level: str) -> None:
    """
    Let a message wait; see L{Session.flash<txsessions.Session>}.
    """
    if not isinstance(text, str) or not isinstance(level, str):
        raise TypeError(
            f"flash() takes text and a level as str, not {text!r}, {level!r}"
        )
    if len(level) > MAX_LEVEL:
        raise ValueError(f"a level is a word of at most {MAX_LEVEL} characters")
    if len(text) > MAX_TEXT:
        text = text[: MAX_TEXT - 1] + "\N{HORIZONTAL ELLIPSIS}"
    # Half of a pair, as broken input has it, could not be kept.
    said = text.encode("utf-8", "replace").decode("utf-8")
    key = drawChance(session, 8)
    waiting = session.__dict__.setdefault(KEPT, {})
    while len(waiting) >= MAX_FLASHES:
        del waiting[next(iter(waiting))]
    waiting[key] = (said, level)


def take(session: Any) -> list[Flash]:
    """
    Take what waits; see L{Session.takeFlashes<txsessions.Session>}.
    """
    waiting = session.__dict__.get(KEPT)
    if not waiting:
        return []
    taken = [Flash(text, level) for text, level in waiting.values()]
    _noteTakers(session, frozenset(waiting))
    waiting.clear()
    entry = session._entry
    if entry is None or not entry.isKnown:
        # Nobody else can know of them, and the session may be empty again.
        del session.__dict__[KEPT]
    return taken


def _noteTakers(session: Any, keys: frozenset[bytes]) -> None:
    """
    Note who takes messages: the request that is being rendered or, if that is none
    of this session's, whoever holds the session.
    """
    visits = [visit for held in session._visits or () if (visit := held()) is not None]
    if visits:
        current = session._table().current
        mine = [visit for visit in visits if visit.exchange.request is current]
        for visit in mine or visits:
            visit.tookFlashes(keys)


def noticeTakenTwice(
    session: Any,
    base: Mapping[bytes, bytes],
    mine: Mapping[bytes, bytes],
    theirs: Mapping[bytes, bytes],
) -> None:
    """
    Somebody else has changed the session: tell the requests that have taken messages
    here which were taken there too.

    @param base: The parts that the store had.
    @param mine: The parts as they are here.
    @param theirs: The parts that the store has now.
    """
    was, my, their = base.get(_PART), mine.get(_PART), theirs.get(_PART)
    if was in (None, my, their):
        return
    twice = _keysIn(was) - _keysIn(my) - _keysIn(their)
    if twice:
        for held in list(session._visits or ()):
            visit = held()
            if visit is not None:
                visit.flashesWereTaken(twice)


def _keysIn(part: bytes | None) -> frozenset[bytes]:
    """
    The keys of the messages in a part.
    """
    waiting: Any = {} if part is None else decodeValue(part)
    return frozenset(waiting)


__all__ = [
    "KEPT",
    "MAX_FLASHES",
    "MAX_LEVEL",
    "MAX_TEXT",
    "Flash",
    "add",
    "noticeTakenTwice",
    "take",
]
