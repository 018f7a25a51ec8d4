"""
Components that come back.

Owns what a session does besides C{Componentized}: it remembers which interfaces
the program uses, makes a kept component when it is first asked for, and notes
how an adapter makes a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.python.components import Componentized
from zope.interface.declarations import providedBy

from txsessions.live import applying, classes, gathering


class Offered:
    """
    A read-only member that gives way to an application's own attribute of the
    same name, which a property would not.
    """

    def __init__(self, read: Callable[[Any], Any]) -> None:
        self._read = read
        self.__doc__ = read.__doc__

    def __get__(self, session: Any, owner: type) -> Any:
        return self if session is None else self._read(session)


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
        name = classes.noteInterface(interface)
        cache = self._adapterCache
        if name in cache:
            return cache[name]
        if self._dormant and applying.wake(self, name):
            return cache[name]
        component = Componentized.getComponent(self, interface, default)
        if name in cache and self._entry is not None:
            gathering.noteFresh(self, name, component)
        return component

    def setComponent(self: Any, interfaceClass: Any, component: Any) -> None:
        """
        See C{Componentized.setComponent}.
        """
        name = classes.noteInterface(interfaceClass)
        if self._dormant:
            applying.dropDormant(self, name)
        self._adapterCache[name] = component

    def addComponent(self: Any, component: Any, ignoreClass: Any = 0) -> None:
        """
        See C{Componentized.addComponent}.
        """
        for interface in providedBy(component):
            classes.noteInterface(interface)
        Componentized.addComponent(self, component, ignoreClass)

    def unsetComponent(self: Any, interfaceClass: Any) -> None:
        """
        See C{Componentized.unsetComponent}.
        """
        name = classes.noteInterface(interfaceClass)
        if self._dormant and applying.dropDormant(self, name):
            self._adapterCache.pop(name, None)
            return
        del self._adapterCache[name]


__all__ = ["KeptComponents", "Offered"]
