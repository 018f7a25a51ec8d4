"""
The key file: where the root keys are, from one start to the next.

Owns the form of the file, who may read it, and how it is made and changed; what it
is changed to is the business of L{txsessions.core.keysteps}.  The only part of
C{core} that touches the disk.  Errors name the fault and the file, never
what is in it.

The form
========

Text.  The first line names the form and its version; then there is one key a
line, its state and 64 hexadecimal digits; empty lines and lines that begin with
C{#} say nothing::

    txsessions keys 1
    # made for shop.example
    active  (64 hexadecimal digits)
    old     (64 hexadecimal digits)

C{active} seals, and there is exactly one; C{next} and C{old} open; C{revoked}
opens nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import stat
from collections.abc import Callable
from typing import Final

from txsessions.core.keyring import KeyRing, RootKey, faultOf
from txsessions.errors import ConfigurationError, KeyFileError

FIRST_LINE: Final = b"txsessions keys 1"
"""What a key file begins with."""

STATES: Final = (b"active", b"next", b"old", b"revoked")
"""What a key may be."""

MAX_FILE: Final = 65536
"""How large a key file may be, in bytes."""

_VERSIONED = re.compile(rb"txsessions keys ([0-9]{1,9})").fullmatch
_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2})*").fullmatch


def parseKeyFile(data: bytes, path: str) -> KeyRing:
    """
    Read the text of a key file.

    @param data: The text.
    @param path: Where it is from, for errors.
    @raise KeyFileError: The text is not as described above, or a key is unfit.
    """
    found: dict[bytes, list[RootKey]] = {state: [] for state in STATES}
    seen: set[bytes] = set()
    for number, (_, state, key) in enumerate(keyLines(data, path), 1):
        if key is None:
            continue
        if key.id in seen:
            raise _fault(path, f"has the key of line {number} twice")
        seen.add(key.id)
        found[state].append(key)
    if len(found[b"active"]) != 1:
        raise _fault(
            path,
            f"has {len(found[b'active'])} active keys, and exactly one is needed",
        )
    return KeyRing(
        active=found[b"active"][0],
        others=(*found[b"next"], *found[b"old"]),
        revoked=frozenset(key.id for key in found[b"revoked"]),
    )


def keyLines(data: bytes, path: str) -> list[tuple[bytes, bytes, RootKey | None]]:
    """
    Take the text of a key file apart.

    @return: For each line what it is, its state and its key, L{None} where it has
        none.
    @raise KeyFileError: See L{parseKeyFile}.
    """
    lines = data.splitlines()
    if not any(line.strip() for line in lines):
        raise _fault(path, "is empty")
    _checkFirst(lines[0].strip(), path)
    found: list[tuple[bytes, bytes, RootKey | None]] = [(lines[0], b"", None)]
    for number, line in enumerate(lines[1:], 2):
        text = line.strip()
        if not text or text.startswith(b"#"):
            found.append((line, b"", None))
        else:
            found.append((line, *_parseLine(text, f"line {number}", path)))
    return found


def _checkFirst(line: bytes, path: str) -> None:
    """
    Refuse another form, or another version of it.
    """
    if line == FIRST_LINE:
        return
    versioned = _VERSIONED(line)
    if versioned is None:
        raise _fault(path, f"does not begin with the line {FIRST_LINE.decode()!r}")
    raise _fault(
        path,
        f"is of version {versioned[1].decode()}, which is not known here: "
        "it was written by a newer txsessions",
    )


def _parseLine(line: bytes, where: str, path: str) -> tuple[bytes, RootKey]:
    """
    Read the state and the key of one line.
    """
    words = line.split()
    if words[0] not in STATES:
        known = ", ".join(state.decode() for state in STATES)
        raise _fault(path, f"has in {where} none of the states {known}")
    if len(words) != 2 or _HEX(words[1]) is None:
        raise _fault(path, f"has in {where} no key of 64 hexadecimal digits")
    secret = bytes.fromhex(words[1].decode("ascii"))
    fault = faultOf(secret)
    if fault is not None:
        raise _fault(path, f"has in {where} a key that cannot be used: {fault}")
    return words[0], RootKey(secret=secret)


def readKeyFile(path: str) -> KeyRing:
    """
    Read the keys, if nobody else can.

    A symbolic link is followed, since that is how secrets are mounted; what
    counts is the file that it leads to.

    @raise KeyFileError: The file is missing, malformed, readable by others, or
        somebody else's.
    """
    return parseKeyFile(readKeyText(path), path)


def readKeyText(path: str) -> bytes:
    """
    Read the text, if nobody else can: see L{readKeyFile}.
    """
    fd = _open(path)
    try:
        return _read(fd, path)
    finally:
        os.close(fd)


def _open(path: str) -> int:
    """
    Open the file for reading.
    """
    try:
        # A pipe that nobody writes to would be waited for otherwise.
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise _fault(
            path,
            "is missing: put back the one that was there; if there never was one, "
            f"python -m txsessions.keys new {path} makes it",
        ) from None
    except (OSError, ValueError) as error:
        raise _fault(path, f"cannot be opened ({_said(error)})") from None


def _read(fd: int, path: str) -> bytes:
    """
    Read the text, if nobody else can.
    """
    try:
        _checkStat(os.fstat(fd), path)
        with open(fd, "rb", closefd=False) as opened:
            data = opened.read(MAX_FILE + 1)
    except OSError as error:
        raise _fault(path, f"cannot be read ({_said(error)})") from None
    if len(data) > MAX_FILE:
        raise _fault(path, f"is larger than {MAX_FILE} bytes")
    return data


def _checkStat(found: os.stat_result, path: str) -> None:
    """
    Refuse a file that is none, or that others than its owner can read, or
    whose owner is neither us nor root.  Of one that root has given us we may be the
    group, which is how Kubernetes and systemd hand out secrets.
    """
    if not stat.S_ISREG(found.st_mode):
        raise _fault(path, "is not a regular file")
    isGiven = found.st_uid == 0 != os.geteuid()
    if found.st_mode & (0o037 if isGiven else 0o077):
        raise _fault(
            path,
            f"can be used by others (mode {stat.S_IMODE(found.st_mode):04o}): "
            "chmod it to 0600, and consider the keys in it as known",
        )
    if found.st_uid not in (os.geteuid(), 0):
        raise _fault(
            path,
            f"belongs to user {found.st_uid}, and this process is user "
            f"{os.geteuid()}: chown it to the latter",
        )


def createKeyFile(path: str, entropy: Callable[[int], bytes] = os.urandom) -> KeyRing:
    """
    Make a key file with one new key, which appears whole or not at all and is
    on the disk when this returns.

    @param path: Where; its directory is there.
    @param entropy: Gives as many unpredictable bytes as it is asked for.
    @raise FileExistsError: Something is there.
    @raise KeyFileError: It cannot be made there, or the entropy is unfit.
    """
    try:
        ring = KeyRing.random(entropy)
    except ConfigurationError as error:
        raise _fault(path, f"cannot be made: {error}") from None
    text = b"%b\nactive %b\n" % (FIRST_LINE, ring.active.secret.hex().encode())
    draft = f"{path}.{entropy(8).hex()}.new"
    try:
        try:
            _write(draft, text)
            # Unlike renaming, linking fails if something is there already.
            os.link(draft, path)
        finally:
            with contextlib.suppress(OSError, ValueError):
                os.unlink(draft)
        _syncDirectory(os.path.dirname(os.path.abspath(path)))
    except FileExistsError:
        raise
    except (OSError, ValueError) as error:
        raise _fault(path, f"cannot be made ({_said(error)})") from None
    return ring


def changeKeyFile(
    path: str,
    change: Callable[[bytes], bytes],
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """
    Put another text in the place of the one in a key file, which whoever reads it
    finds as it was or as it is to be, and which is on the disk when this returns.  A
    symbolic link stays; mode and group of the file stay too.

    @param change: Makes of the text another one.  What it raises leaves the file as
        it is.
    @param entropy: Gives as many unpredictable bytes as it is asked for.
    @raise KeyFileError: See L{readKeyFile}; or somebody else is changing it, or it
        belongs to somebody else, or it cannot be written.
    """
    target = os.path.realpath(path)
    fd = _open(target)
    try:
        before = _own(fd, target)
        text = change(_read(fd, path))
        parseKeyFile(text, path)
        draft = f"{target}.{entropy(8).hex()}.new"
        try:
            _write(draft, text, before)
            os.replace(draft, target)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(draft)
            raise
        _syncDirectory(os.path.dirname(target))
    except OSError as error:
        raise _fault(path, f"cannot be changed ({_said(error)})") from None
    finally:
        os.close(fd)


def _own(fd: int, path: str) -> os.stat_result:
    """
    See to it that nobody else changes the file meanwhile.

    @return: What is known about it.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise _fault(path, "is being changed by somebody else") from None
    found, named = os.fstat(fd), os.stat(path)
    if not os.path.samestat(found, named):
        raise _fault(path, "was changed just now: look at it, and try again")
    if found.st_uid != os.geteuid():
        raise _fault(
            path,
            f"belongs to user {found.st_uid}, and this process is user "
            f"{os.geteuid()}: change it as the former",
        )
    return found


def _write(path: str, text: bytes, like: os.stat_result | None = None) -> None:
    """
    Make a file that only we can read, and wait for the disk.

    @param like: Of a file with whose mode and group it is to be made.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "wb") as made:
        if like is not None:
            if os.fstat(made.fileno()).st_gid != like.st_gid:
                os.fchown(made.fileno(), -1, like.st_gid)
            os.fchmod(made.fileno(), stat.S_IMODE(like.st_mode))
        made.write(text)
        made.flush()
        os.fsync(made.fileno())


def _syncDirectory(path: str) -> None:
    """
    Wait until the names in a directory are on the disk.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def readOrCreateKeyFile(
    path: str, mayCreate: bool, entropy: Callable[[int], bytes] = os.urandom
) -> KeyRing:
    """
    Read the key file, or make it on the first run.

    @param mayCreate: Whether there may be none yet; not so where there are
        sessions already.
    @raise KeyFileError: See L{readKeyFile} and L{createKeyFile}.
    """
    # A link that leads nowhere is a fault to be told, not a first run.
    if mayCreate and not os.path.lexists(path):
        try:
            return createKeyFile(path, entropy)
        except FileExistsError:
            pass  # Another process was first: its key counts.
    return readKeyFile(path)


def _fault(path: str, fault: str) -> KeyFileError:
    """
    Say what is wrong with the file.
    """
    return KeyFileError(f"the key file {path!r} {fault}")


def _said(error: Exception) -> str:
    """
    Say what the system said, without the path.
    """
    return getattr(error, "strerror", None) or str(error)


__all__ = [
    "FIRST_LINE",
    "MAX_FILE",
    "STATES",
    "changeKeyFile",
    "createKeyFile",
    "keyLines",
    "parseKeyFile",
    "readKeyFile",
    "readKeyText",
    "readOrCreateKeyFile",
]
