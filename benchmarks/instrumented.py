"""
The same application with instruments: what counts and what profiles is here, so
that nothing of it is in what is timed.

C{python -m benchmarks.instrumented KIND MODE PORT}, as L{benchmarks.counter}.  In
addition C{/-/calls} tells how often each verb of the store was called,
C{/-/start} starts cProfile in the reactor's thread, and C{/-/stop} ends it and
answers with the functions that took longest.
"""

from __future__ import annotations

import cProfile
import io
import json
import os
import pstats
import sys
from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

from twisted.web import resource, server
from zope.interface.interface import Method

from benchmarks.counter import Counter, makeSite, run

TOP = 40
"""How many functions a profile shows."""


class CountingStore:
    """
    A store around another, that counts the calls by the name of the verb.

    @ivar calls: How many there were.
    """

    def __init__(self, store: Any, verbs: frozenset[str]) -> None:
        self.calls: Tally[str] = Tally()
        self._store = store
        self._verbs = verbs

    def __getattr__(self, name: str) -> Any:
        """
        Everything is the other's; verbs are counted on the way.
        """
        found = getattr(self._store, name)
        return self._counted(name, found) if name in self._verbs else found

    def _counted(self, name: str, verb: Callable[..., Any]) -> Callable[..., Any]:
        """
        Make a verb count itself.
        """

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.calls[name] += 1
            return verb(*args, **kwargs)

        return counting


class Instruments(resource.Resource):
    """
    The counter, and the instruments below C{/-/}.

    @ivar store: What counts, where there is a store.
    """

    isLeaf = True
    store: CountingStore | None = None

    def __init__(self, counter: Counter) -> None:
        super().__init__()
        self._counter = counter
        self._profile = cProfile.Profile()

    def render_GET(self, request: Any) -> bytes:
        """
        Count the visit, or show an instrument.
        """
        if request.path.startswith(b"/-/"):
            return self._instrument(request.path[3:]).encode()
        return self._counter.render_GET(request)

    def _instrument(self, name: bytes) -> str:
        """
        Show or set one.
        """
        if name == b"calls":
            return json.dumps({} if self.store is None else self.store.calls)
        if name == b"start":
            self._profile.enable()
            return "profiling"
        self._profile.disable()
        out = io.StringIO()
        stats = pstats.Stats(self._profile, stream=out)
        stats.sort_stats("tottime").print_stats(TOP)
        return out.getvalue()


def instrumentedSite(kind: str, mode: str, size: int, folder: str) -> server.Site:
    """
    The site, with instruments.
    """
    root = Instruments(Counter(kind, mode, size))
    if kind in {"bare", "builtin", "memory"}:
        return makeSite(kind, root, folder)
    from txsessions.core.keyring import KeyRing
    from txsessions.interfaces import ISessionStore

    verbs = frozenset(
        name
        for name, what in ISessionStore.namesAndDescriptions()
        if isinstance(what, Method)
    )

    def wrap(store: Any) -> CountingStore:
        root.store = CountingStore(store, verbs)
        return root.store

    return makeSite(kind, root, folder, wrap, keys=KeyRing.random(os.urandom))


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[1:], "benchmarks.instrumented", instrumentedSite))
