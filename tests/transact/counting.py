"""
Two processes that count in one session, whatever the store.

Owns the processes, and the sums.
"""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tests.crash.nursery import environment

PROGRAM = [sys.executable, "-m", "tests.transact.child"]
"""What is run."""


class Child:
    """
    One process.
    """

    def __init__(self, case, address, keys):
        self._process = subprocess.Popen(
            [*PROGRAM, address, keys],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        case.addCleanup(self._close)

    def ask(self, do, **order):
        """
        Give an order, and wait for what comes of it.
        """
        pipes = self._process
        pipes.stdin.write(json.dumps({"do": do, **order}).encode() + b"\n")
        pipes.stdin.flush()
        told = pipes.stdout.readline()
        if not told:
            raise AssertionError(f"a process has ended: {pipes.wait()}")
        return json.loads(told)

    def _close(self):
        """
        End it.
        """
        with self._process as process:
            process.stdin.close()
            if process.wait(60):
                raise AssertionError("a process has failed")


STEP = 200
"""How many each adds between two words on how far it is."""


def countTogether(case, address, keys, times, lines=4, step=lambda count: None):
    """
    Have two processes count in one session at the same time.

    @param address: The store's.
    @param keys: The path of the key file.
    @param times: How often each adds one.
    @param lines: How many in each process at the same time.
    @param step: Called with how many more were added, or failed.
    @return: How far the session was counted, and what the two have told.
    """

    def count(child):
        added = 0
        for start in range(0, times, STEP):
            part = min(STEP, times - start)
            told = child.ask("count", uid=uid, times=part, lines=lines)
            added += told["added"]
            step(part)
        return {**told, "added": added}

    children = [Child(case, address, keys) for _ in range(2)]
    uid = children[0].ask("make")["uid"]
    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(count, child) for child in children]
        told = [each.result() for each in running]
    looks = {child.ask("look", uid=uid)["count"] for child in children}
    if len(looks) != 1:
        raise AssertionError(f"the two do not see the same: {looks}")
    return looks.pop(), told
