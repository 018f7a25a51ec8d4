"""
What a session can be.
"""

from __future__ import annotations

from typing import Final

NEW: Final = 0
"""Made here; whether it is worth keeping is still open."""

STORED: Final = 1
"""In the store or, where there is none, kept by this process."""

ENDED: Final = 2
"""Logged out, expired, or gone elsewhere."""

STALE: Final = 3
"""Dropped because it could not be saved."""


__all__ = ["ENDED", "NEW", "STALE", "STORED"]
