"""
What is built: its contents, its lowest requirements, and whether it is installed.

Usage::

    python .ci/wheel.py check WHEEL SDIST      what they must and must not hold
    python .ci/wheel.py lowest WHEEL           constraints: each core dependency
                                               at its lowest declared version
    python .ci/wheel.py same WHEEL             this Python has exactly the
                                               wheel's files installed
"""

from __future__ import annotations

import re
import sys
import sysconfig
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

PLUGIN = "twisted/plugins/txsessions_plugin.py"


def wheelNames(path: str) -> list[str]:
    """
    The names of what a wheel holds.
    """
    with zipfile.ZipFile(path) as wheel:
        return wheel.namelist()


def check(paths: list[str]) -> list[str]:
    """
    Look into the wheel and the sdist.

    @return: The faults, in words.
    """
    (wheel,) = (path for path in paths if path.endswith(".whl"))
    (sdist,) = (path for path in paths if path.endswith(".tar.gz"))
    faults = []
    names = wheelNames(wheel)
    root = Path(__file__).parent.parent
    wanted = {
        path.relative_to(root / "src").as_posix()
        for path in (root / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    } | {PLUGIN}
    faults += [f"the wheel lacks {name}" for name in sorted(wanted - set(names))]
    faults += [
        f"the wheel holds {name}, which is not ours to install"
        for name in names
        if not (name in wanted or re.match(r"txsessions-[^/]+\.dist-info/", name))
    ]
    if not any(name.endswith("licenses/LICENSE") for name in names):
        faults.append("the wheel lacks the licence")
    with tarfile.open(sdist) as archive:
        folders = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    for name in [
        "src",
        "tests",
        "examples",
        "docs",
        "benchmarks",
        ".ci",
        "twisted",
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "NEWS.md",
        "LICENSE",
    ]:
        if name not in folders:
            faults.append(f"the sdist lacks {name}")
    return faults


def lowest(wheel: str) -> list[str]:
    """
    Each dependency that is no extra, at its lowest version.
    """
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    return [
        requirement.replace(">=", "==")
        for requirement in metadata.get_all("Requires-Dist", [])
        if "extra ==" not in requirement
    ]


def same(wheel: str) -> list[str]:
    """
    Compare the wheel with what is installed here, byte for byte.
    """
    site = Path(sysconfig.get_path("purelib"))
    faults = []
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if ".dist-info/" in name:
                continue
            installed = site / name
            if not installed.is_file() or installed.read_bytes() != archive.read(name):
                faults.append(f"{installed} is not the wheel's")
    return faults


def main(command: str, *paths: str) -> int:
    """
    Do what the command line asks, and tell the faults.
    """
    if command == "lowest":
        print("\n".join(lowest(*paths)))
        return 0
    faults = check(list(paths)) if command == "check" else same(*paths)
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
