"""
The API pages, warnings being errors: C{python .ci/docs.py FOLDER}.

pydoctor warns of each link that it cannot follow.  It cannot follow those to names of
the standard library and of Twisted without inventories, which have to be downloaded,
nor those to second names such as C{ROTATED} for C{Answer.ROTATED}.  So such a name is
looked up by importing it, and only a link to a name that does not exist is an error.
"""

from __future__ import annotations

import builtins
import pydoc
import re
import subprocess
import sys

LINK = re.compile(r'Cannot find link target for "([\w.]+)"')


def isThere(name: str) -> bool:
    """
    Whether a name can be imported.
    """
    return hasattr(builtins, name) or pydoc.locate(name) is not None


def main(folder: str) -> int:
    """
    Make the pages and tell what is wrong.
    """
    done = subprocess.run(
        [sys.executable, "-m", "pydoctor", "-q", "--html-output", folder],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    warnings = []
    for line in done.stdout.splitlines():
        link = LINK.search(line)
        if not (link and isThere(link[1])):
            warnings.append(line)
    print("\n".join(warnings))
    # 3 is pydoctor's exit status for warnings, which were looked at above.
    return 1 if warnings or done.returncode not in {0, 3} else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
