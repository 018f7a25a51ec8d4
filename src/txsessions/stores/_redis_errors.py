"""
What a Redis server says went wrong, in the words of a session store.

Owns the table of error codes.  The server's own words are not passed on: an old
server repeats the arguments of a command that it does not know, and with C{HELLO}
they are a password.
"""

from __future__ import annotations

import enum
import re

from txsessions.errors import StoreUnavailable
from txsessions.stores._redis_resp import ReplyError


class Verdict(enum.Enum):
    """
    What to do about an error.
    """

    UNAVAILABLE = "the call fails with StoreUnavailable"
    RECONNECT = "it does, and the connection is dropped to look for another server"
    DAMAGED = "what is stored there is no session: it is absent, and reported"
    LOAD_SCRIPT = "the script is sent once more, in full"


_KNOWN: dict[str, tuple[Verdict, str]] = {
    "READONLY": (
        Verdict.RECONNECT,
        "it is a replica now; the primary is being looked for",
    ),
    "LOADING": (Verdict.RECONNECT, "it is loading its data; wait until it has"),
    "MASTERDOWN": (Verdict.RECONNECT, "it has lost its primary"),
    "CLUSTERDOWN": (Verdict.RECONNECT, "its cluster is down"),
    "MOVED": (Verdict.RECONNECT, "it is part of a cluster, which is not supported"),
    "ASK": (Verdict.RECONNECT, "it is part of a cluster, which is not supported"),
    "CROSSSLOT": (
        Verdict.UNAVAILABLE,
        "it is part of a cluster, which is not supported",
    ),
    "TRYAGAIN": (Verdict.UNAVAILABLE, "it is moving its data"),
    "NOAUTH": (Verdict.RECONNECT, "it wants a password: put it into the address"),
    "UNKILLABLE": (Verdict.UNAVAILABLE, "a script of somebody else does not end"),
    "BUSY": (
        Verdict.UNAVAILABLE,
        "a script of somebody else does not end: SCRIPT KILL ends it",
    ),
    "OOM": (
        Verdict.UNAVAILABLE,
        "its maxmemory is used up: raise it, or look for who uses it",
    ),
    "MISCONF": (
        Verdict.UNAVAILABLE,
        "it cannot write to its disk and so takes no writes: look at its log",
    ),
    "NOPERM": (
        Verdict.UNAVAILABLE,
        "its ACL forbids a command or key to this user: see the rights that are "
        "needed in txsessions.stores.redis",
    ),
    "WRONGPASS": (Verdict.UNAVAILABLE, "the user name or password is wrong"),
    "NOREPLICAS": (Verdict.UNAVAILABLE, "it has fewer replicas than it wants"),
    "NOSCRIPT": (Verdict.LOAD_SCRIPT, "it has forgotten a script"),
    "WRONGTYPE": (Verdict.DAMAGED, "a key of the sessions holds something else"),
}
"""What each code means, and what to do about it."""

_PLAIN = (
    ("max number of clients", "its maxclients is reached: raise it, or close some"),
    ("unknown command", "it does not know a command: Redis 6.2 or Valkey is needed"),
    ("invalid password", "the password is wrong"),
    ("without any password", "it wants no password: take it out of the address"),
    ("index is out of range", "it does not have that many databases"),
    ("SELECT is not allowed", "it is part of a cluster, which is not supported"),
    ("invalid expire", "it cannot keep a time that is so far away"),
    ("Protocol error", "it did not understand a command"),
    ("ACL failure in script", _KNOWN["NOPERM"][1]),
    ("The user executing the script can't", _KNOWN["NOPERM"][1]),
)
"""Errors that only their text tells apart."""

_CODE = re.compile(r"[A-Z][A-Z0-9]+")
_INSIDE = re.compile(r"@user_script:.*?-?\b([A-Z]{3,}) ", re.DOTALL)


def codeOf(error: ReplyError) -> str:
    """
    The code of an error; of one inside a script, as Redis 6.2 wraps it, that of
    what went wrong there.
    """
    said = str(error)
    found = _CODE.match(said)
    code = found[0] if found else "ERR"
    if code == "ERR" and "running script" in said:
        inside = _INSIDE.search(said)
        if inside and inside[1] in _KNOWN:
            return inside[1]
    return code


def verdictOn(error: ReplyError) -> Verdict:
    """
    What is to be done about an error.
    """
    return _KNOWN.get(codeOf(error), (Verdict.UNAVAILABLE, ""))[0]


def adviceOn(error: ReplyError) -> str:
    """
    What people are told of an error, and what to do about it.
    """
    code = codeOf(error)
    if code in _KNOWN:
        return f"{_KNOWN[code][1]} ({code})"
    said = str(error)
    for words, advice in _PLAIN:
        if words in said:
            return f"{advice} ({code})"
    return f"it refused a command ({code}): look at its log"


def storeError(error: ReplyError, where: str) -> StoreUnavailable:
    """
    Make the error that a caller sees.

    @param where: The server, without a password.
    """
    return StoreUnavailable(f"the session store {where} failed: {adviceOn(error)}")


__all__ = ["Verdict", "adviceOn", "codeOf", "storeError", "verdictOn"]
