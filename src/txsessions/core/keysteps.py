"""
The steps of a change of keys.

Owns what each step makes of the text of a key file, which steps are refused because
people would be logged out or the site be down, and which step is next.  Knows no disk
and no store.  Comments and order of the file stay.

The order
=========

A process knows the keys that were in the file when it started.  Nobody notices a
change of keys if every process can open what any other seals:

  1. L{addNext}: a new key that opens and does not seal yet.  Restart each process.
  2. L{promote}: it seals, and the former one opens.  Restart each process.
  3. Wait: records are sealed anew when they change, and run out at the latest when
     the longest lifetime has gone by.
  4. L{retire}: drop the former one.  Restart each process when it suits.

A key that somebody else may know is L{revoke}d: what it sealed ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from attrs import frozen

from txsessions.core.keyfile import keyLines, parseKeyFile
from txsessions.core.keyring import RootKey
from txsessions.errors import KeyFileError

_RESTART = "restart each process, one at a time; when all have been"
_NEXT_STEP: Final = {
    "add": "nothing; add, whenever the key is to be changed",
    "promote": f"{_RESTART}: promote",
    "retire": (
        f"{_RESTART}, and no record is under the old key any more, which takes as "
        "long as the longest lifetime of a session at most: retire"
    ),
}


@frozen(kw_only=True)
class ListedKey:
    """
    A key as people may see it.

    @ivar id: Its id, 16 hexadecimal digits.
    @ivar state: C{"active"}, C{"next"}, C{"old"} or C{"revoked"}.
    """

    id: str
    state: str


def listKeys(text: bytes, path: str) -> list[ListedKey]:
    """
    List the keys of a file, in its order.

    @raise KeyFileError: It is not as it should be.
    """
    parseKeyFile(text, path)
    return [
        ListedKey(id=key.id.hex(), state=state.decode("ascii"))
        for _, state, key in keyLines(text, path)
        if key is not None
    ]


def nextStep(text: bytes, path: str) -> str:
    """
    Say what is to be done next, for people.
    """
    states = {key.state for key in listKeys(text, path)}
    if "next" in states:
        return _NEXT_STEP["promote"]
    return _NEXT_STEP["retire" if "old" in states else "add"]


def addNext(text: bytes, path: str, secret: bytes) -> bytes:
    """
    Add a key that is to be the active one.

    @param secret: 32 bytes of chance.
    @raise KeyFileError: There is one already.
    @raise ConfigurationError: The secret is unfit.
    """
    if any(key.state == "next" for key in listKeys(text, path)):
        raise _refused(
            path,
            "has a next key already",
            "promote that one, once each process has been restarted since it was added",
        )
    key = RootKey(secret=secret)
    end = b"" if text.endswith(b"\n") else b"\n"
    return text + end + _line(b"next", key) + b"\n"


def promote(text: bytes, path: str) -> bytes:
    """
    Make the next key the active one, and that an old one.

    @raise KeyFileError: There is no next key: one that not all processes have would
        shut those out that do not.
    """
    waiting = [key.id for key in listKeys(text, path) if key.state == "next"]
    if len(waiting) != 1:
        raise _refused(
            path,
            f"has {len(waiting) or 'no'} next key{'s' if waiting else ''}",
            "leave one of them" if waiting else "add one, and restart each process",
        )

    def change(state: bytes, key: RootKey) -> bytes:
        return {b"next": b"active", b"active": b"old"}.get(state, state)

    return _changed(text, path, change)


def retire(text: bytes, path: str, counts: Mapping[str, int]) -> bytes:
    """
    Drop the old and the revoked keys that are of no more use.

    @param counts: How many records are under each key, by its id.
    @raise KeyFileError: There is none, or all have records: who has these would be
        shut out.
    """
    spent = [k for k in listKeys(text, path) if k.state in {"old", "revoked"}]
    if not spent:
        raise _refused(path, "has no old key", "promote a new one first")
    dropped = {key.id for key in spent if not counts.get(key.id)}
    if not dropped:
        count = sum(counts[key.id] for key in spent)
        raise _refused(
            path,
            f"has old keys that {count} record{'s are' if count > 1 else ' is'} under",
            "wait until they have changed or run out, which takes as long as the "
            "longest lifetime of a session at most",
        )

    def change(state: bytes, key: RootKey) -> bytes | None:
        return None if key.id.hex() in dropped else state

    return _changed(text, path, change)


def revoke(text: bytes, path: str, keyId: str) -> bytes:
    """
    Have a key open nothing any more.

    @param keyId: Its id, 16 hexadecimal digits.
    @raise KeyFileError: There is none of that id, or it is the active one.
    """
    states = {key.id: key.state for key in listKeys(text, path)}
    found = states.get(keyId)
    if found is None:
        raise _refused(path, f"has no key {keyId}", f"its keys are {', '.join(states)}")
    if found == "active":
        raise _refused(
            path,
            "seals with that key",
            "add and promote another one first; if there is no time for these, do so "
            "without restarting in between",
        )

    def change(state: bytes, key: RootKey) -> bytes:
        return b"revoked" if key.id.hex() == keyId else state

    return _changed(text, path, change)


def _changed(
    text: bytes, path: str, change: Callable[[bytes, RootKey], bytes | None]
) -> bytes:
    """
    Change the states of keys.

    @param change: Gives for a state and a key another state, or L{None} to drop it.
    """
    lines = []
    for line, state, key in keyLines(text, path):
        after = state if key is None else change(state, key)
        if after == state:
            lines.append(line)
        elif after is not None and key is not None:
            lines.append(_line(after, key))
    return b"\n".join(lines) + b"\n"


def _line(state: bytes, key: RootKey) -> bytes:
    """
    Write the line of a key.
    """
    return b"%b %b" % (state, key.secret.hex().encode("ascii"))


def _refused(path: str, found: str, instead: str) -> KeyFileError:
    """
    Say why a step is not taken.
    """
    return KeyFileError(f"the key file {path!r} {found}: {instead}")


__all__ = [
    "ListedKey",
    "addNext",
    "listKeys",
    "nextStep",
    "promote",
    "retire",
    "revoke",
]
