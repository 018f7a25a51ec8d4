"""
Where a request stops until the driver lets it go on.

Owns the stops: before and after a store's verb, and wherever a page says.  Knows
neither pages nor engines.
"""

from __future__ import annotations

from collections import deque

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from tests.slowstore import SlowStore

WRITES = frozenset(
    {"insert", "replace", "touch", "rename", "delete", "endPrincipal", "endSession"}
)
"""The verbs before which there is a stop, and after which there is one."""

READS = frozenset({"load"})
"""The verbs after which there is one: before would be before the request."""

SWEEPS = frozenset({"claimExpired", "acknowledge"})
"""The verbs that stop both times while a sweep is asked for."""


class Gate:
    """
    The stops of one process.

    @ivar isArmed: Whether anybody has to stop.
    @ivar isSweeping: Whether sweeps have to stop too.
    @ivar pending: How many are stopped, or in the store.
    @ivar changed: Called when any of this has changed.
    @ivar witnessed: What calls of the store have come to where one has to stop, in
        order: the verb's name and the outcome.
    """

    def __init__(self):
        self.witnessed = []
        self.isArmed = self.isSweeping = False
        self.pending = 0
        self.changed = lambda: None
        self._held = deque()

    @property
    def held(self):
        """
        The names of the stops where somebody waits.
        """
        return [name for name, _ in self._held]

    def begin(self):
        """
        Somebody goes into the store.
        """
        self.pending += 1
        self.changed()

    def over(self, result=None):
        """
        He has come out.
        """
        self.pending -= 1
        self.changed()
        return result

    def witness(self, result, name):
        """
        A call of the store has come to something.
        """
        outcome = result
        if isinstance(result, Failure):
            outcome = result.type.__name__
        elif isinstance(result, list):
            outcome = len(result)
        elif not isinstance(result, int):
            outcome = "" if result is None else "found"
        self.witnessed.append((name, outcome))
        return result

    def hold(self, name):
        """
        Stop here.

        @return: Fires when one may go on; at once, if nobody has to stop.
        """
        if not self.isArmed:
            return succeed(None)
        stopped = Deferred()
        self._held.append((name, stopped))
        self.changed()
        return stopped

    def letGo(self):
        """
        Let the one go on who has waited longest.
        """
        _, stopped = self._held.popleft()
        self.changed()
        stopped.callback(None)

    def disarm(self):
        """
        Let all go on, and stop nobody any more.
        """
        self.isArmed = self.isSweeping = False
        while self._held:
            self.letGo()


class GatedStore(SlowStore):
    """
    A store before and behind which one stops.
    """

    def __init__(self, inner, gate):
        super().__init__(inner)
        self._gate = gate

    def _call(self, name, *args):
        """
        Call the store inside, with stops.
        """
        gate, verb = self._gate, getattr(self.inner, name)
        stopsBefore = WRITES | (SWEEPS if gate.isSweeping else frozenset())
        if not gate.isArmed or name not in stopsBefore | READS:
            return verb(*args)
        gate.begin()
        before = gate.hold(f"before {name}") if name in stopsBefore else succeed(None)
        done = before.addCallback(lambda _: verb(*args))
        done.addBoth(gate.witness, name)
        done.addBoth(
            lambda result: gate.hold(f"after {name}").addCallback(lambda _: result)
        )
        return done.addBoth(gate.over)


__all__ = ["READS", "SWEEPS", "WRITES", "Gate", "GatedStore"]
