"""
Components that come back.

Owns what a session does besides C{Componentized}: it remembers which interfaces
the program uses, makes a kept component when it is first asked for, and notes
how an adapter makes a fresh one.
"""

from __future__ import annotations

from typing import Any

from twisted.python.components import Componentized
from zope.interface.declarations import providedBy

from txsessions.live import applying, classes
from txsessions.live.fresh import noteFresh
from txsessions.live.phases import NEW
from txsessions.live.timing import demandThread


class KeptComponents:
    """
    The members of C{Componentized} that have more to do in a session.
    """

    __slots__ = ()

    def getComponent(self: Any, interface: Any, default: Any = None) -> Any:
        """
        See C{Componentized.getComponent}.  A component that was kept comes back
        here.
        """
        demandThread()
        name = classes.noteInterface(interface)
        cache = self._adapterCache
        if name in cache:
            return cache[name]
        if self._dormant and applying.wake(self, name):
            return cache[name]
        component = Componentized.getComponent(self, interface, default)
        if name in cache and (self._entry is not None or self._phase == NEW):
            noteFresh(self, interface, component)
        return component

    def setComponent(self: Any, interfaceClass: Any, component: Any) -> None:
        """
        See C{Componentized.setComponent}.
        """
        demandThread()
        name = classes.noteInterface(interfaceClass)
        if self._dormant:
            applying.dropDormant(self, name)
        self._adapterCache[name] = component

    def addComponent(self: Any, component: Any, ignoreClass: Any = 0) -> None:
        """
        See C{Componentized.addComponent}.
        """
        for interface in providedBy(component):
            if ignoreClass or (
                self.locateAdapterClass(self.__class__, interface, None)
                == component.__class__
            ):
                KeptComponents.setComponent(self, interface, component)

    def unsetComponent(self: Any, interfaceClass: Any) -> None:
        """
        See C{Componentized.unsetComponent}.
        """
        name = classes.noteInterface(interfaceClass)
        if self._dormant and applying.dropDormant(self, name):
            self._adapterCache.pop(name, None)
            return
        del self._adapterCache[name]

    def removeComponent(self: Any, component: Any) -> list[Any]:
        """
        See C{Componentized.removeComponent}.  Nothing is imported for it: the
        interfaces are those that the program has used.
        """
        cache = self._adapterCache
        names = [name for name, other in cache.items() if other is component]
        for name in names:
            del cache[name]
            if self._dormant:
                applying.dropDormant(self, name)
        return [classes.interfaceNamed(name) for name in names]


__all__ = ["KeptComponents"]
