"""
How a run of the tests ended: C{python .ci/summary.py SUITE REPORT COUNT}.

Reads the text that trial prints or the XML that pytest writes, because a skipped
test is a failure here unless C{.ci/skips.txt} names its suite and its reason.
Writes the number of passed and failed tests to the file C{COUNT}.
"""

from __future__ import annotations

import fnmatch
import re
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

RULE = "=" * 79


class Summary(NamedTuple):
    """
    How many tests passed and failed, and why which were skipped.
    """

    passed: int
    failed: int
    skipped: list[tuple[str, str]]


def readTrial(text: str) -> Summary:
    """
    Read what trial printed.
    """
    ends = re.findall(r"^(?:PASSED|FAILED)(?: \((.*)\))?$", text, re.MULTILINE)
    if not ends:
        return Summary(0, 1, [])
    counts = {
        name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", ends[-1] or "")
    }
    passed = counts.pop("successes", 0)
    skips = counts.pop("skips", 0)
    skipped = []
    for block in text.split(RULE)[1:]:
        # A reason may have many lines; the tests stand below it.
        found = re.match(
            r"\n\[SKIPPED\]\n(.*?)\n\n(.*?)(?:\n-{79}|$)", block, re.DOTALL
        )
        if found:
            skipped += [(test, found[1]) for test in found[2].split()]
    if len(skipped) != skips:
        skipped.append(("?", f"{skips} were skipped, {len(skipped)} reasons were read"))
    # Whatever else is counted is nothing that we want: failures, errors, tests
    # marked as to do.
    return Summary(passed, sum(counts.values()), skipped)


def readPytest(text: str) -> Summary:
    """
    Read pytest's C{--junitxml}.
    """
    passed = failed = 0
    skipped = []
    for case in ET.fromstring(text).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif skip is None:
            passed += 1
        else:
            name = f"{case.get('classname')}.{case.get('name')}"
            skipped.append((name, skip.get("message") or ""))
    return Summary(passed, failed, skipped)


def allowed(suite: str, reason: str, rules: str) -> bool:
    """
    Whether a line of C{.ci/skips.txt} allows the skip.
    """
    for line in rules.splitlines():
        if line.strip() and not line.startswith("#"):
            suites, pattern = line.split(None, 1)
            if fnmatch.fnmatch(suite, suites) and re.search(pattern, reason):
                return True
    return False


def main(suite: str, report: str, count: str) -> int:
    """
    Tell how the suite ended.
    """
    path = Path(report)
    text = path.read_text(errors="replace") if path.exists() else ""
    if path.suffix == ".xml":
        summary = readPytest(text) if text else Summary(0, 1, [])
    else:
        summary = readTrial(text)
    rules = Path(__file__).with_name("skips.txt").read_text()
    bad = [skip for skip in summary.skipped if not allowed(suite, skip[1], rules)]
    failed = summary.failed + len(bad)
    if summary.passed == 0:
        print(f"error: {suite} ran no test that passed")
        failed = failed or 1
    for test, reason in bad:
        print(f"error: {test} was skipped: {reason}")
    Path(count).write_text(f"{summary.passed} {failed}\n")
    print(
        f"{summary.passed} passed, {failed} failed, "
        f"{len(summary.skipped) - len(bad)} skipped as allowed"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
