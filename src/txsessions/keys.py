"""
C{python -m txsessions.keys}: changing the keys that seal sessions, and ending the sessions
of everybody.

Owns the command line: which step is taken on which file, what the store is asked
before, and what is said.  What a step does to the file is the business of
L{txsessions.core.keysteps}, how the file is written of
L{txsessions.core.keyfile}.  A key is never shown; its id is.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txsessions.core import keysteps
from txsessions.core.keyfile import (
    changeKeyFile,
    createKeyFile,
    readKeyFile,
    readKeyText,
)
from txsessions.core.keyring import KEY_BYTES
from txsessions.core.principals import PrincipalHashes
from txsessions.core.seal import keyIdOf
from txsessions.errors import ConfigurationError, SessionError
from txsessions.stores import openStore

if TYPE_CHECKING:
    from txsessions.interfaces import ISessionStore

_Found = TypeVar("_Found")

PAGE = 100
"""How many records are looked at at a time."""

_DESCRIPTION = """\
Change the keys that seal sessions, with nobody logged out and no downtime.

A process knows the keys that were in the file when it started, so the steps are
taken one by one, with a restart of each process after each:

  1. add      a new key is made, which opens and does not seal yet
              (restart each process)
  2. promote  it seals from now on, and the former one still opens
              (restart each process)
  3. count    until no record is under the old key any more: records are sealed
              anew when they change, and run out after the longest lifetime of a
              session at the latest
  4. retire   the old key is dropped
              (restart each process when it suits)

A key that somebody else may know is revoked, which ends the sessions under it, after a
restart of each process.  Where no key is known to others, but everybody who is signed in
is to sign in again, "end" does that at once and without a restart.
"""

_STEPS = {
    "new": "make a key file with one key, where there is none",
    "show": "list the keys by their ids, and say which step is next",
    "add": "add a new key, to be promoted later",
    "promote": "seal with the key that was added",
    "retire": "drop the old keys under which there are no records",
    "revoke": "end all sessions that a key has sealed",
    "count": "say how many sessions are under each key",
    "end": "end all sessions on which somebody is signed in, at once",
}

_STORE = "the address of the store, such as sqlite:sessions.sqlite"
_FILE = "the key file"


def main(arguments: Sequence[str] | None = None, out: TextIO | None = None) -> int:
    """
    Run the command.

    @param arguments: What stands behind its name.
    @param out: Takes what is said.
    @return: The exit status.
    """
    out = out or sys.stdout
    given = _parser().parse_args(arguments)
    try:
        getattr(_Steps(given, out), given.step)()
    except (SessionError, OSError) as error:
        sys.stderr.write(f"keys: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """
    Describe the command line.
    """
    parser = argparse.ArgumentParser(
        prog="python -m txsessions.keys",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    of = {
        name: steps.add_parser(name, help=text, description=f"{text.capitalize()}.")
        for name, text in _STEPS.items()
    }
    for name in ("count", "end"):
        of[name].add_argument("store", metavar="STORE", help=_STORE)
    of["retire"].add_argument("store", metavar="STORE", nargs="?", help=_STORE)
    for each in of.values():
        each.add_argument("file", metavar="FILE", help=_FILE)
    of["retire"].add_argument(
        "--without-counting",
        action="store_true",
        help="the longest lifetime has gone by since the last process was restarted "
        "after promote: do not look into the store",
    )
    of["end"].add_argument(
        "--site-name",
        default="",
        metavar="NAME",
        help="as in Site(siteName=...), where that is given",
    )
    of["revoke"].add_argument("key", metavar="KEY", help="the id of the key")
    of["revoke"].add_argument(
        "--end-sessions",
        action="store_true",
        help="yes, log those out whose sessions the key has sealed",
    )
    return parser


class _Steps:
    """
    The steps, by their names on the command line.
    """

    def __init__(self, given: argparse.Namespace, out: TextIO) -> None:
        """
        @param given: What the command line said.
        @param out: Takes what is said.
        """
        self._given = given
        self._path: str = given.file
        self._out = out

    def new(self) -> None:
        """
        Make the file.

        @raise ConfigurationError: There is one.
        """
        try:
            createKeyFile(self._path)
        except FileExistsError:
            raise ConfigurationError(
                f"{self._path!r} is there already: add makes a further key"
            ) from None
        self.show()

    def show(self) -> None:
        """
        List the keys.
        """
        text = readKeyText(self._path)
        for key in keysteps.listKeys(text, self._path):
            self._say(f"{key.id} {key.state}")
        self._say(f"next: {keysteps.nextStep(text, self._path)}")

    def add(self) -> None:
        """
        Add a key.
        """
        secret = os.urandom(KEY_BYTES)
        self._change(lambda text: keysteps.addNext(text, self._path, secret))

    def promote(self) -> None:
        """
        Seal with it.
        """
        self._change(lambda text: keysteps.promote(text, self._path))

    def retire(self) -> None:
        """
        Drop the former one.

        @raise ConfigurationError: Whether that logs people out is unknown.
        """
        counts: Mapping[str, int] = {}
        if self._given.store is not None:
            counts = _inStore(self._given.store, countRecords)
        elif not self._given.without_counting:
            raise ConfigurationError(
                "who has a record under an old key would be shut out: give the "
                "address of the store too, so that these are counted; or say "
                "--without-counting, if the longest lifetime has gone by since the "
                "last process was restarted after promote"
            )
        self._change(lambda text: keysteps.retire(text, self._path, counts))

    def revoke(self) -> None:
        """
        End what a key has sealed.

        @raise ConfigurationError: That was not said.
        """
        if not self._given.end_sessions:
            raise ConfigurationError(
                "this logs out whose sessions that key has sealed, which is right if "
                "somebody else may know it: then add --end-sessions. A key that is "
                "merely old is retired when no records are under it"
            )
        self._change(lambda text: keysteps.revoke(text, self._path, self._given.key))

    def count(self) -> None:
        """
        Say how many sessions are under each key.
        """
        keys = keysteps.listKeys(readKeyText(self._path), self._path)
        counts = _inStore(self._given.store, countRecords)
        for key in keys:
            self._say(f"{key.id} {key.state} {counts.pop(key.id, 0)}")
        for keyId, count in sorted(counts.items()):
            self._say(f"{keyId} not-in-this-file {count}")

    def end(self) -> None:
        """
        End the sessions of everybody.
        """
        site = os.fsencode(self._given.site_name)
        hashes = PrincipalHashes(readKeyFile(self._path), site)

        async def end(store: ISessionStore, now: float) -> tuple[int, int]:
            before = await store.countSessions(now)
            for prefix in hashes.prefixes:
                await store.endEverybody(prefix)
            return before, await store.countSessions(now)

        before, after = _inStore(self._given.store, end)
        self._say(
            f"sessions before: {before}, and after: {after}, of visitors who are not "
            "signed in, of sites with another name or key, and of who has just signed in"
        )

    def _change(self, change: Callable[[bytes], bytes]) -> None:
        """
        Take a step, and show what has come of it.
        """
        changeKeyFile(self._path, change)
        self.show()

    def _say(self, text: str) -> None:
        """
        Write a line.
        """
        self._out.write(f"{text}\n")


async def countRecords(store: ISessionStore, now: float) -> Counter[str]:
    """
    Count the records that are alive, by the ids of the keys that they are under.

    @param store: An open store.
    """
    counts: Counter[str] = Counter()
    cursor: bytes | None = None
    while True:
        records, cursor = await store.scan(cursor, PAGE)
        for record in records:
            keyId = keyIdOf(record.payload)
            if keyId is not None and record.expiresAt > now:
                counts[keyId.hex()] += 1
        if cursor is None:
            return counts


def _inStore(
    address: str, work: Callable[[ISessionStore, float], Coroutine[Any, Any, _Found]]
) -> _Found:
    """
    Open the store of that address, and do something there.

    @param work: Takes the open store and the time.
    @return: What that returns.
    @raise ConfigurationError: There is no such database, or it is somebody else's.
    """
    store = openStore(address)
    path: str | None = getattr(store, "path", None)
    if path is not None:
        _checkDatabase(path)
    from twisted.internet import reactor

    running: Any = reactor
    found: list[Any] = []

    async def go() -> _Found:
        await store.open()
        try:
            return await work(store, running.seconds())
        finally:
            await store.close()

    def begin() -> None:
        done = Deferred.fromCoroutine(go()).addBoth(found.append)
        _ = done.addBoth(lambda _: running.stop())

    running.callWhenRunning(begin)
    running.run()
    if not found:
        raise KeyboardInterrupt
    answer: _Found | Failure = found[0]
    if isinstance(answer, Failure):
        answer.raiseException()
    return answer


def _checkDatabase(path: str) -> None:
    """
    Refuse to make a database by looking for one, or files beside one that its user
    could not use.
    """
    try:
        owner = os.stat(path).st_uid
    except FileNotFoundError:
        raise ConfigurationError(f"there is no database at {path}") from None
    if owner != os.geteuid():
        raise ConfigurationError(
            f"the database {path} belongs to user {owner}, and this process is user "
            f"{os.geteuid()}: look into it as the former"
        )


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["PAGE", "countRecords", "main"]
