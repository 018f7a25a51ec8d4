"""
How guesses at passwords are slowed down.

Owns how many failures there may be, and how long the next try then has to wait.  Knows
no request and no clock.
"""

from __future__ import annotations

from attrs import frozen


@frozen(kw_only=True)
class Throttle:
    """
    How guesses are slowed down.
    """


__all__ = ["Throttle"]
