"""
How guesses at passwords are slowed down.

Owns how many wrong tries there may be, and how long the next one then has to wait.
Knows no request and no clock.

Theory of operation.  A try counts from when it begins, so that a thousand at once are a
thousand; one that was right is taken back, and so is one that could not be checked.
They count for the name that was tried, be there such a user or not, and for the network
that they came from.  All spellings of a name count as one, for many checkers take them
for one; others do not, so one that was right takes back itself and none of the others:
else whoever has an account C{Ann} could guess at that of C{ann} for ever.  After some
free ones each has to wait, twice as long each time, up to a limit; what comes earlier is
refused, is not checked and does not count, so that whoever keeps trying makes the wait
no longer.

What is counted has a bound, and yet nothing is pushed out: whoever had tried enough
other names would else be given new guesses at one.  There are so many places to count
in, and what has the same place by its hash is counted together.  So who tries many
names makes others wait, if they are very many, and never himself less.  Nobody can
find out what has the place of what: the hash has a key of chance.  Else who may choose
his own name, or network, could have that forgotten which counts for another, by being
right himself, or make another wait by being wrong.

Nobody can be locked out by that where he has been before: who tries a name from a
network from which it was right lately, or in a session that is signed in as that, in
this very spelling, counts by himself, and does not wait for what strangers have done.
For others the wait is bounded, and what was counted is forgotten after a while.
"""

from __future__ import annotations

import os
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Hashable
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Any, Final

from attrs import frozen

from txsessions.core.lifetime import validSeconds
from txsessions.errors import ConfigurationError

PLACES: Final = 65_536
"""In how many places tries are counted."""

SECRET_BYTES: Final = 32
"""How long the key of the hash is that finds the place."""

MAX_KNOWN: Final = 10_000
"""How many names that were right are known at a time."""

MAX_NETWORKS: Final = 16
"""From how many networks one name is known: who has an account pushes out nobody else."""

MAX_LENGTH: Final = 256
"""How many characters of a name are told apart: some become many when they are folded."""

_NETWORK: Final = 64
"""How many bits of an IPv6 address are not the network's."""


@frozen(kw_only=True)
class Throttle:
    """
    How guesses at passwords are slowed down.

    @ivar perName: How many wrong tries of one name are free.
    @ivar perAddress: How many from one address (IPv4), or one /64 network (IPv6).
    @ivar firstDelay: How long the next try has to wait then, in seconds; the one after
        it waits twice as long, and so on.
    @ivar longestDelay: The longest wait, in seconds.
    @ivar window: How long after the last wrong try all is forgotten, in seconds.
    """

    perName: int = 5
    perAddress: int = 50
    firstDelay: float = 2.0
    longestDelay: float = 900.0
    window: float = 3600.0

    def __attrs_post_init__(self) -> None:
        """
        @raise ConfigurationError: One of these cannot be, or they do not go together.
        """
        for count in (self.perName, self.perAddress):
            if type(count) is not int or count < 1:
                raise ConfigurationError(
                    f"a Throttle counts in whole numbers from 1, not {count!r}"
                )
        names = ("firstDelay", "longestDelay", "window")
        first, longest, window = (validSeconds(getattr(self, n), n) for n in names)
        if not first <= longest < window:
            raise ConfigurationError(
                "a Throttle's firstDelay is at most its longestDelay, and that is less "
                "than its window, or nothing would be counted for long enough; found "
                f"{first:g}, {longest:g} and {window:g}"
            )


class _Counts:
    """
    Wrong tries, by whatever they count for.
    """

    def __init__(self, throttle: Throttle, free: int, secret: bytes) -> None:
        """
        @param free: How many tries are.
        @param secret: The key of the hash.
        """
        self._throttle = throttle
        self._free = free
        self._secret = secret
        self._counted: dict[int, tuple[int, float]] = {}

    def waits(self, key: Hashable, now: float) -> float:
        """
        How long the next try has to wait yet, in seconds.
        """
        count, last = self._counted.get(placeOf(key, self._secret), (0, now))
        delay = self._delayAfter(count)
        # Not longer, if the clock was set back.
        return min(delay, last + delay - now)

    def _delayAfter(self, count: int) -> float:
        """
        How long the try after so many has to wait.
        """
        throttle, beyond = self._throttle, count - self._free
        if beyond < 0:
            return 0.0
        # No float has more doublings.
        longer = throttle.firstDelay * 2.0 ** min(beyond, 500)
        return min(longer, throttle.longestDelay)

    def add(self, key: Hashable, now: float) -> None:
        """
        Count one try.
        """
        place = placeOf(key, self._secret)
        count, last = self._counted.get(place, (0, now))
        if now - last >= self._throttle.window:
            count = 0
        self._counted[place] = count + 1, now

    def takeBack(self, key: Hashable) -> None:
        """
        One try does not count.
        """
        place = placeOf(key, self._secret)
        count, last = self._counted.get(place, (0, 0.0))
        if count > 1:
            self._counted[place] = count - 1, last
        else:
            self._counted.pop(place, None)

    def forget(self, key: Hashable) -> None:
        """
        None of them counts.
        """
        self._counted.pop(placeOf(key, self._secret), None)


class Guess:
    """
    A try that is under way.
    """

    def __init__(
        self,
        guesses: Guesses,
        mine: tuple[_Counts, Hashable],
        network: Hashable | None,
        known: tuple[str, Hashable] | None,
    ) -> None:
        """
        @param mine: Where it counts for the name.
        @param network: The network that it counts for, if it does.
        @param known: What is known from now on if it was right.
        """
        self._guesses = guesses
        self._mine = mine
        self._network = network
        self._known = known

    def wasRight(self) -> None:
        """
        The name and the password go together.  The tries of other names from the same
        network still count: else whoever has an account could guess at all others.
        """
        guesses, (counts, key) = self._guesses, self._mine
        if counts is guesses.own:
            counts.forget(key)
        else:
            counts.takeBack(key)
        self._takeBackNetwork()
        if self._known is not None:
            guesses.learn(*self._known)

    def wasNotChecked(self) -> None:
        """
        Nobody knows.
        """
        counts, key = self._mine
        counts.takeBack(key)
        self._takeBackNetwork()

    def _takeBackNetwork(self) -> None:
        """
        It does not count for its network.
        """
        if self._network is not None:
            self._guesses.networks.takeBack(self._network)


class Guesses:
    """
    The tries at one guard, in this process.

    @ivar own: The counts of those whom strangers do not concern.
    @ivar networks: The counts by network.
    """

    def __init__(
        self, throttle: Throttle, draw: Callable[[int], bytes] = os.urandom
    ) -> None:
        """
        @param draw: Gives as many bytes of chance as it is asked for.
        """
        secret = draw(SECRET_BYTES)
        self._names = _Counts(throttle, throttle.perName, secret)
        self.own = _Counts(throttle, throttle.perName, secret)
        self.networks = _Counts(throttle, throttle.perAddress, secret)
        self._known: OrderedDict[str, OrderedDict[Hashable, None]] = OrderedDict()

    def begin(
        self, name: str, address: str | None, handle: bytes | None, now: float
    ) -> Guess | float:
        """
        Somebody tries a password.

        @param name: The name that is tried, as it was entered.
        @param address: The client's address, if it has one.
        @param handle: The handle of a session that is signed in by this name, if the
            request has one.
        @param now: The time, in seconds.
        @return: The try, or for how many seconds there may be none.
        """
        network = None if address is None else networkOf(address)
        known = None if network is None else (name, network)
        if handle is not None or network in self._known.get(name, ()):
            mine: tuple[_Counts, Hashable] = (self.own, handle or known)
            network = None
        else:
            mine = self._names, normalised(name)
        counts, key = mine
        waits = counts.waits(key, now)
        if network is not None:
            waits = max(waits, self.networks.waits(network, now))
        if waits > 0:
            return float(waits)
        counts.add(key, now)
        if network is not None:
            self.networks.add(network, now)
        return Guess(self, mine, network, known)

    def learn(self, name: str, network: Hashable) -> None:
        """
        Remember from where a name was right.
        """
        networks = self._known.setdefault(name, OrderedDict())
        _latest(networks, network, MAX_NETWORKS)
        _latest(self._known, name, MAX_KNOWN)


def _latest(kept: OrderedDict[Any, Any], key: Hashable, most: int) -> None:
    """
    Have something be the latest, and no more be kept than may be.
    """
    kept[key] = kept.get(key)
    kept.move_to_end(key)
    if len(kept) > most:
        kept.popitem(last=False)


def placeOf(key: Hashable, secret: bytes) -> int:
    """
    Where the tries are counted that count for this.

    @param secret: L{SECRET_BYTES} of chance.
    """
    digest = blake2b(ascii(key).encode("ascii"), digest_size=8, key=secret).digest()
    return int.from_bytes(digest, "big") % PLACES


def normalised(name: str) -> str:
    """
    A name as it is counted: many checkers take several spellings for one.  Databases
    fold case and accents, directories skip what is not seen, and blanks.
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    seen = (
        character
        for character in unicodedata.normalize("NFKD", folded)
        # No marks, controls and separators.
        if unicodedata.category(character)[0] not in "MCZ"
    )
    return "".join(seen)[:MAX_LENGTH]


def networkOf(address: str) -> Hashable:
    """
    What an address counts for: who has one of IPv6 has all of its network.
    """
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        return int(found) >> _NETWORK
    return address


__all__ = [
    "MAX_KNOWN",
    "MAX_NETWORKS",
    "PLACES",
    "SECRET_BYTES",
    "Guess",
    "Guesses",
    "Throttle",
    "networkOf",
    "normalised",
    "placeOf",
]
