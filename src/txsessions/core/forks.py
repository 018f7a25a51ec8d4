"""
Whether this process was forked since.

Owns that question, which every call of a store and every sealing asks: asking the
system for the process's number costs more than the rest of a cheap call.
"""

from __future__ import annotations

import os


class Forks:
    """
    @ivar count: How many forks lie between this process and the one that imported
        this module.
    """

    def __init__(self) -> None:
        self.count = 0


FORKS = Forks()
"""Those of this process.  An object's attribute is found faster than a class's."""


def forked() -> None:
    """
    In the child: it is another process.
    """
    FORKS.count += 1


# Where there is no such function, there are no forks.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=forked)


__all__ = ["FORKS", "forked"]
