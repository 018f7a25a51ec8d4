"""
Whether this process was forked since.

Owns that question, which every call of a store asks: asking the system for the
process's number costs more than the rest of a cheap call.
"""

from __future__ import annotations

import os


class Forks:
    """
    @ivar count: How many forks lie between this process and the one that imported
        this module.
    """

    count = 0


def _forked() -> None:
    """
    In the child: it is another process.
    """
    Forks.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


__all__ = ["Forks"]
