"""
The two commands of the README, as they are typed: C{python .ci/readme.py serve}
prints the one that serves, C{python .ci/readme.py test} the one that tests.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def commands(text: str) -> dict[str, str]:
    """
    Find the marked block and its two commands.

    @param text: The README.
    @return: The commands by what they do, C{"serve"} and C{"test"}.
    """
    block = re.search(
        r"<!-- two commands -->\n```sh\n(.*?)```\n<!-- end -->", text, re.DOTALL
    )
    if block is None:
        raise SystemExit("README.md: the marked block of two commands is missing")
    lines = [
        line for line in block[1].splitlines() if line and not line.startswith("#")
    ]
    if len(lines) != 2:
        raise SystemExit(f"README.md: expected two commands, found {len(lines)}")
    return dict(zip(("serve", "test"), lines, strict=True))


if __name__ == "__main__":
    print(commands(README.read_text())[sys.argv[1]])
