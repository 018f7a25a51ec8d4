"""
Lifetimes: when a session ends, and when its use is worth writing down.

Owns the two limits of a session, idle and absolute, and the arithmetic on them.
Knows no clock: what time it is, is always an argument, in seconds since the
epoch.  An instant at which a session ends is the first at which it is dead.
"""

from __future__ import annotations

from typing import Final

from txsessions.errors import ConfigurationError

IDLE: Final = 900.0
"""How long a session lives unused, unless told otherwise, in seconds."""

LIFETIME: Final = 43200.0
"""How long a session lives at most, unless told otherwise, in seconds."""

TOUCH_LIMIT: Final = 60.0
"""The longest that a touch may wait to be written, in seconds."""

TOUCHES_PER_IDLE: Final = 15
"""How often a session in constant use is written within one idle time."""

SKEW: Final = 300.0
"""How far the clocks of two machines may differ before it is remarkable, in
seconds."""

MAX_SECONDS: Final = 253402300799.0
"""The last second of the year 9999: no instant and no span is longer."""


def touchInterval(idle: float) -> float:
    """
    Say how long a touch may wait to be written to the store, in seconds.
    """
    return min(idle / TOUCHES_PER_IDLE, TOUCH_LIMIT)


def lifetimeOf(idle: float, lifetime: float | None) -> float:
    """
    Say how long a session may live at most, in seconds.

    @param idle: Its idle time.
    @param lifetime: What was asked for; by default 12 hours, or the idle time
        where that is longer.
    """
    return max(LIFETIME, idle) if lifetime is None else lifetime


def storedDeadline(
    createdAt: float, touchedAt: float, idle: float, lifetime: float
) -> float:
    """
    Say when a store may no longer hand the session out.

    Later than L{localDeadline} by one touch interval, since the store may not
    have been told of the last touch yet: a session never ends early.
    """
    # With what touchInterval says, written out for the hot path.
    touch = idle / TOUCHES_PER_IDLE
    idleEnd = touchedAt + idle + (touch if touch < TOUCH_LIMIT else TOUCH_LIMIT)  # noqa: FURB136
    end = createdAt + lifetime
    return idleEnd if idleEnd < end else end  # noqa: FURB136


def localDeadline(
    createdAt: float, touchedAt: float, idle: float, lifetime: float
) -> float:
    """
    Say when the session ends as far as the process that holds it knows.
    """
    return min(touchedAt + idle, createdAt + lifetime)


def isAlive(
    now: float, createdAt: float, touchedAt: float, idle: float, lifetime: float
) -> bool:
    """
    Tell whether neither limit has been reached.  A clock that was set back
    makes ages negative; that is alive, for as long as the clock went back.
    """
    return now < localDeadline(createdAt, touchedAt, idle, lifetime)


def touchDue(now: float, touchedAt: float, idle: float) -> bool:
    """
    Tell whether the store should hear that the session is in use.

    @param touchedAt: The last use that the store was told of.
    """
    return now - touchedAt >= touchInterval(idle)


def fromFuture(now: float, createdAt: float) -> bool:
    """
    Tell whether a session claims to be made later than the clocks of two
    machines that agree would allow.
    """
    return createdAt - now > SKEW


def validSeconds(value: object, name: str) -> float:
    """
    Check a span that the program was given.

    @param value: The span, in seconds.
    @param name: What the program calls it, for the error.
    @raise ConfigurationError: It is no number, or not positive and finite.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        # Compared before it is made a float: an int may be too big for one.
        if 0 < value <= MAX_SECONDS:
            return float(value)
        found = "more"
        if not value > MAX_SECONDS:
            found = f"{float(max(value, -MAX_SECONDS)):g}"
    else:
        found = f"a {type(value).__name__}"
    raise ConfigurationError(
        f"{name} is a number of seconds above zero and before the year 10000, "
        f"and was given {found}"
    )


__all__ = [
    "IDLE",
    "LIFETIME",
    "MAX_SECONDS",
    "SKEW",
    "TOUCHES_PER_IDLE",
    "TOUCH_LIMIT",
    "fromFuture",
    "isAlive",
    "lifetimeOf",
    "localDeadline",
    "storedDeadline",
    "touchDue",
    "touchInterval",
    "validSeconds",
]
