"""
Which attributes the objects of a class may have.

Owns how CPython is told.  It keeps the attributes of an object in a row, in an order that
all of its class share and that it learns from the first of them, thirty at most.  An
object that later gets one that these never had has a dictionary of its own, and then all
that is looked for in it takes ten times as long, methods too.  So the first one has all.
"""

from __future__ import annotations

from inspect import get_annotations
from typing import Any

MOST = 30
"""How many attributes CPython 3.11 keeps so."""


class Shaped:
    """
    A base of classes whose objects have what a class names: by an annotation, or by a
    default that is neither a function nor a descriptor.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """
        Make one object that has all, and forget it.
        """
        super().__init_subclass__(**kwargs)
        first = object.__new__(cls)
        for name in namesOf(cls):
            setattr(first, name, None)


def namesOf(cls: type) -> list[str]:
    """
    List the attributes that a class names.
    """
    names: dict[str, None] = {}
    for base in cls.__mro__[:-1]:
        names.update(dict.fromkeys(get_annotations(base)))
        names.update(dict.fromkeys(vars(base)))
    return [name for name in names if not _isOfTheClass(cls, name)]


def _isOfTheClass(cls: type, name: str) -> bool:
    """
    Whether something is looked for in the class alone.
    """
    found = getattr(cls, name, None)
    return name.startswith("__") or callable(found) or hasattr(found, "__get__")


__all__ = ["MOST", "Shaped", "namesOf"]
