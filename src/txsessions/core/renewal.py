"""
Renewal: ids that follow one from another while nobody signs in.

Owns the rule that a site gives, how the next uid is made of the one before, and what
a session's state says of the way that it has come.  Knows no session and no store.

The next uid is an HMAC of the one before and a nonce, under a key that only the site
has.  The nonce is sealed in the session's state.  So a process that is shown the old
uid, and finds the state, can tell the new one to a client that never heard of it; who
has the old uid alone, or all that is in a store but no key, cannot.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from attrs import frozen

from txsessions.core.keyring import KeyRing
from txsessions.core.lifetime import MAX_SECONDS, validSeconds
from txsessions.core.uid import storeKeyOf
from txsessions.errors import ConfigurationError

NONCE_BYTES: Final = 32
"""How long a nonce is, in bytes."""

MAX_STEPS: Final = 8
"""How many renewals a state tells of at most, the last ones."""


@frozen(kw_only=True)
class Renewal:
    """
    When a session gets a new id without a sign-in, and what becomes of the old one.

    @ivar interval: How old an id becomes, in seconds.
    @ivar grace: How long the old id can be used for reading, once a client has come
        with the new one.
    @ivar watch: How long the old id is known for what it is, so that its use is told.
    @ivar ends: Whether a use after the grace ends the session.
    """

    interval: float = 900.0
    grace: float = 60.0
    watch: float = 3600.0
    ends: bool = False

    def __attrs_post_init__(self) -> None:
        """
        Refuse what cannot work.

        @raise ConfigurationError: It cannot.
        """
        for name in ("interval", "grace", "watch"):
            seconds = validSeconds(getattr(self, name), f"Renewal({name}=...)")
            object.__setattr__(self, name, seconds)
        if not self.grace <= min(self.interval, self.watch):
            raise ConfigurationError(
                "Renewal(grace=...) is at most as long as interval and watch, and "
                f"{self.grace:g} is longer than {min(self.interval, self.watch):g}"
            )

    @property
    def steps(self) -> int:
        """
        How many former ids can be marked at a time.
        """
        return min(MAX_STEPS, 1 + int(self.watch // self.interval))


class Step(NamedTuple):
    """
    One renewal.

    @ivar keyId: Of which root key the new uid was made.
    @ivar nonce: And of what besides the old uid.
    @ivar formerKey: The store key before.
    """

    keyId: bytes
    nonce: bytes
    formerKey: bytes


class Trail(NamedTuple):
    """
    What a session's state says of its renewals.

    @ivar steps: The last ones, since the last sign-in or other change of the id.
    @ivar renewedAt: When the id was changed last, or a client first came with it, in
        seconds since the epoch.
    @ivar isConfirmed: Whether a client has come with the new id.
    """

    steps: tuple[Step, ...]
    renewedAt: float
    isConfirmed: bool

    @property
    def kept(self) -> tuple[object, ...]:
        """
        The same as plain data.
        """
        return tuple(map(tuple, self.steps)), self.renewedAt, self.isConfirmed


def readTrail(kept: object) -> Trail | None:
    """
    Read what L{Trail.kept} gave.

    @return: L{None} if it is something else.
    """
    if type(kept) is not tuple or [*map(type, kept)] != [tuple, float, bool]:
        return None
    steps, renewedAt, isConfirmed = kept
    isInTime = 0 <= renewedAt <= MAX_SECONDS
    if not isInTime or len(steps) > MAX_STEPS or not all(map(_isStep, steps)):
        return None
    return Trail(tuple(Step(*step) for step in steps), renewedAt, isConfirmed)


def _isStep(step: object) -> bool:
    """
    Whether this can be one.
    """
    return type(step) is tuple and [*map(type, step)] == [bytes] * 3


class Chain:
    """
    Makes the next uid of the one before.
    """

    def __init__(self, ring: KeyRing, siteName: bytes) -> None:
        """
        @param ring: The keys; the active one makes new uids.
        @param siteName: Whose uids they are.
        """
        self._active = ring.active.id
        self._keys = {key.id: key.derive(b"renewal") for key in ring.keys}
        self._site = siteName

    def extend(
        self, trail: Trail | None, uid: bytes, nonce: bytes, now: float, most: int
    ) -> tuple[bytes, Trail]:
        """
        Make the next uid.

        @param trail: What the state says until now.
        @param uid: The uid that the session has.
        @param nonce: L{NONCE_BYTES} bytes of chance.
        @param most: How many steps the state tells of.
        @return: The new uid, and what the state says then.
        """
        step = Step(self._active, nonce, storeKeyOf(self._site, uid))
        before = () if trail is None else trail.steps
        steps = (*before, step)[-most:]
        made = self._make(self._keys[self._active], uid, nonce)
        return made, Trail(steps, now, isConfirmed=False)

    def reach(self, trail: Trail, uid: bytes, key: bytes) -> tuple[bytes, int] | None:
        """
        Go the way from a former uid to what it has become by renewals alone.

        @param key: The store key that the session has now.
        @return: The uid of now and how many steps it took; L{None} if the way does
            not lead there, or a key that it needs is not here.
        """
        former = storeKeyOf(self._site, uid)
        for at, step in enumerate(trail.steps):
            if step.formerKey == former:
                for following in trail.steps[at:]:
                    secret = self._keys.get(following.keyId)
                    if secret is None:
                        return None
                    uid = self._make(secret, uid, following.nonce)
                isThere = storeKeyOf(self._site, uid) == key
                return (uid, len(trail.steps) - at) if isThere else None
        return None

    def _make(self, key: bytes, uid: bytes, nonce: bytes) -> bytes:
        """
        Make a uid of the one before.
        """
        made = hmac.digest(key, uid + nonce + self._site, "sha256")
        return made.hex().encode("ascii")


__all__ = [
    "MAX_STEPS",
    "NONCE_BYTES",
    "Chain",
    "Renewal",
    "Step",
    "Trail",
    "readTrail",
]
