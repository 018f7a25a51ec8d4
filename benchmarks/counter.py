"""
The application that is measured: a visit counter in the session.

C{python -m benchmarks.counter KIND MODE PORT} serves it on 127.0.0.1, on a free
port where PORT is 0, and prints its address once it listens.  The kinds are those of
L{benchmarks.alternatives}; MODE is C{read} or C{write}.  In the environment,
C{STATE_BYTES} is the size of the rest of the session, 300 if not given, and
C{STORE_FOLDER} where the database goes; else it goes with the process.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

if not __package__:
    # Run by its path: the folder of this file would hide modules of Python's.
    sys.path[0] = str(Path(__file__).resolve().parent.parent)
    import benchmarks  # noqa: F401 - finds txsessions

from twisted.internet import reactor as _reactor
from twisted.web import resource, server

from benchmarks.alternatives import KINDS, MODES
from benchmarks.engines import addressOf, keysOf

reactor: Any = _reactor


class Counter(resource.Resource):
    """
    Counts visits, or looks how many there were.
    """

    isLeaf = True

    def __init__(self, kind: str, mode: str, size: int) -> None:
        super().__init__()
        self.bare = kind == "bare"
        self.writes = mode == "write"
        self.rest = "x" * size

    def render_GET(self, request: Any) -> bytes:
        """
        Answer with the count.
        """
        if self.bare:
            return b"hello"
        session = request.getSession().sessionNamespaces
        if "n" not in session:
            session["rest"] = self.rest
            session["n"] = 1
        elif self.writes:
            session["n"] += 1
        return b"%d" % session["n"]


def makeSite(
    kind: str,
    root: resource.Resource,
    folder: str,
    wrap: Callable[[Any], Any] = lambda store: store,
    keys: Any = None,
) -> server.Site:
    """
    The site to be measured.

    @param folder: Where its database goes, if it has one.
    @param wrap: What to put around its store, if it has one.
    @param keys: What its sessions are sealed with, if that is not given by itself.
    """
    if kind in {"bare", "builtin"}:
        return server.Site(root)
    from txsessions import Site, openStore

    if kind == "memory":
        return Site(root)
    store = openStore(addressOf(kind, folder), reactor=reactor)
    return Site(root, store=wrap(store), keys=keys or keysOf(kind, folder))


def serve(site: server.Site, port: int) -> None:
    """
    Serve until told to stop.
    """
    where = reactor.listenTCP(port, site, interface="127.0.0.1", backlog=256)
    print(f"http://127.0.0.1:{where.getHost().port}/", flush=True)
    reactor.run()


def run(
    arguments: list[str],
    name: str,
    make: Callable[[str, str, int, str], server.Site],
) -> int:
    """
    Read the command line, and serve what is to be made of it.

    @param name: What the program is called.
    @param make: Makes a site of a kind, a mode, a size and a folder.
    @return: The exit status.
    """
    size = os.environ.get("STATE_BYTES", "300")
    if (
        len(arguments) != 3
        or arguments[0] not in KINDS
        or arguments[1] not in (*MODES, "bare")
        or not arguments[2].isdigit()
        or not size.isdigit()
    ):
        print(
            f"usage: [STATE_BYTES=300] python -m {name} "
            f"{'|'.join(KINDS)} {'|'.join(MODES)} PORT",
            file=sys.stderr,
        )
        return 2
    kind, mode, port = arguments
    with tempfile.TemporaryDirectory(prefix="txsessions-") as own:
        folder = os.environ.get("STORE_FOLDER") or own
        serve(make(kind, mode, int(size), folder), int(port))
    return 0


def _site(kind: str, mode: str, size: int, folder: str) -> server.Site:
    """
    The site, as it is.
    """
    return makeSite(kind, Counter(kind, mode, size), folder)


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:], "benchmarks.counter", _site))
