"""
Asking a server for a while, from another process.

Owns the choice of the load generator: C{wrk} where it is installed, for it takes
little of the machine, else L{benchmarks.load}.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from attrs import asdict

from benchmarks import ROOT
from benchmarks.load import LoadFailed, Order, Outcome

SCRIPT = """\
local cookies = {%s}
local requests, n = {}, 0
function init()
  for i, cookie in ipairs(cookies) do
    requests[i] = wrk.format("GET", "/", {["Cookie"] = cookie})
  end
  if #requests == 0 then requests[1] = wrk.format("GET", "/") end
end
function request()
  n = n %% #requests + 1
  return requests[n]
end
"""
"""What C{wrk} runs: the clients, taken in turn."""


def generatorName() -> str:
    """
    Which load generator is used.
    """
    return "wrk" if shutil.which("wrk") else "benchmarks.load"


def generate(order: Order) -> Outcome:
    """
    Ask for C{order.seconds}.

    @raise LoadFailed: The server does not answer.
    """
    return _wrk(order) if generatorName() == "wrk" else _own(order)


def _run(command: Sequence[str], given: str = "") -> str:
    """
    Run a generator to its end.
    """
    done = subprocess.run(
        command, cwd=ROOT, input=given, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise LoadFailed((done.stderr or done.stdout).strip()[-2000:])
    return done.stdout


def _own(order: Order) -> Outcome:
    """
    Ask by our own.
    """
    said = _run([sys.executable, "-m", "benchmarks.load"], json.dumps(asdict(order)))
    return Outcome(**json.loads(said))


def _wrk(order: Order) -> Outcome:
    """
    Ask by C{wrk}.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "clients.lua"
        cookies = ", ".join(json.dumps(cookie) for cookie in order.cookies)
        script.write_text(SCRIPT % cookies)
        connections = str(order.connections)
        duration = f"{max(1, round(order.seconds))}s"
        where = f"http://127.0.0.1:{order.port}/"
        options = ["-t1", "-c", connections, "-d", duration, "-s", str(script)]
        return readWrk(_run(["wrk", *options, where]))


def readWrk(said: str) -> Outcome:
    """
    Read what C{wrk} says.

    @raise LoadFailed: It says nothing of requests.
    """
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if requests is None or rate is None or not int(requests[1]):
        raise LoadFailed(f"wrk had no answers: {said.strip()}")
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    errors = 0 if refused is None else int(refused[1])
    broken = re.search(r"Socket errors: (.*)", said)
    if broken is not None:
        errors += sum(int(number) for number in re.findall(r"\d+", broken[1]))
    count = int(requests[1])
    return Outcome(requests=count, seconds=count / float(rate[1]), errors=errors)


__all__ = ["generate", "generatorName", "readWrk"]
