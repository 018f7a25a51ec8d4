"""
All targets, by name.
"""

from __future__ import annotations

from tests.fuzz import headers, pages, places, records
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (headers, records, places, pages)
    for target in module.TARGETS
}

__all__ = ["TARGETS"]
