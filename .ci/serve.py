"""
The README's serving command, really run: C{python .ci/serve.py SCRIPT}.

Starts the script, waits until the page answers, follows a session over two
requests and over a C{kill -9}, and ends what it started.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from http.cookiejar import CookieJar

URL = "http://127.0.0.1:8080/"
SECONDS = 180


def fetch(opener: urllib.request.OpenerDirector) -> tuple[str, str]:
    """
    Get the page.

    @return: Its text, and what it says about cookies.
    """
    with opener.open(URL, timeout=5) as answer:
        return answer.read().decode(), answer.headers.get("Set-Cookie") or ""


def waitFor(process: subprocess.Popen[bytes], opener: urllib.request.OpenerDirector):
    """
    Wait until the page answers.
    """
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise SystemExit(f"the command ended by itself: {process.returncode}")
        try:
            return fetch(opener)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit(f"no answer from {URL} within {SECONDS} s")


def start(script: str) -> subprocess.Popen[bytes]:
    """
    Start the script in a process group of its own.
    """
    return subprocess.Popen(["bash", script], start_new_session=True)


def end(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    """
    End the process group.
    """
    try:
        os.killpg(process.pid, how)
    except ProcessLookupError:
        return
    process.wait(30)


def main(script: str) -> int:
    """
    Run it twice, with the same visitor.
    """
    try:
        urllib.request.urlopen(URL, timeout=1)
    except (urllib.error.URLError, ConnectionError):
        pass
    else:
        raise SystemExit(f"something else answers at {URL}: end it first")
    jar = CookieJar()
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    process = start(script)
    try:
        first, setCookie = waitFor(process, visitor)
        assert re.search("httponly", setCookie, re.IGNORECASE), setCookie
        second, _ = fetch(visitor)
        end(process, signal.SIGKILL)
        process = start(script)
        third, again = waitFor(process, visitor)
        assert not again, f"a new session after the restart: {len(again)} bytes"
        print("sizes of the three pages:", len(first), len(second), len(third))
    finally:
        end(process, signal.SIGTERM)
    print("3 passed, 0 failed")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
