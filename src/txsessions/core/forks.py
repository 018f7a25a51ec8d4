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

    count = 0


def forked() -> None:
    """
    In the child: it is another process.
    """
    Forks.count += 1


# Where there is no such function, there are no forks.
getattr(os, "register_at_fork", lambda **_: None)(after_in_child=forked)


__all__ = ["Forks", "forked"]
