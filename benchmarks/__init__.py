"""
What sessions cost, measured side by side in one run.

Run from a checkout in which txsessions is not installed, it takes the sources.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

if importlib.util.find_spec("txsessions") is None:
    sys.path.insert(0, str(ROOT / "src"))
