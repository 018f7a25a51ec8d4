"""
What comes after a class in the order in which methods are looked up.

Owns a C{super()} that costs nothing: that one makes an object for each call.
"""

from __future__ import annotations

from typing import Any


def beyond(cls: type, last: type) -> Any:
    """
    Find the class that is next in the order of another one.  What is called of it is to be
    looked up each time, since a program may replace it, and is given the object.

    @param cls: Whose order.
    @param last: After which of its classes.
    @return: The class, or what finds methods of it and those behind it.
    """
    order = cls.__mro__
    rest = order[order.index(last) + 1 :]
    return rest[0] if rest[0].__mro__ == rest else super(last, cls)


__all__ = ["beyond"]
