"""
Accounts that are closed while people sign in.

Owns a principal with many sessions in all processes, the end of all or of all others
at once, and what must be so afterwards: every session from before has ended in every
process and was counted, every one that began afterwards lives, and of those that began
meanwhile all say the same.
"""

from __future__ import annotations

import itertools
import secrets
from select import select

from attrs import Factory, define

from tests.races.fleet import PATIENCE
from tests.races.meetings import isGone

_numbers = itertools.count()


@define
class Closed:
    """
    What was counted.

    @ivar closed: How many accounts were closed, or lost all sessions but one.
    @ivar sessions: How many sessions these had before.
    @ivar counted: How many ends the store told of.
    @ivar meanwhile: How many sign-ins were under way.
    @ivar faults: What must not be.
    """

    closed: int = 0
    sessions: int = 0
    counted: int = 0
    meanwhile: int = 0
    faults: list = Factory(list)


def askAll(member, requests):
    """
    Ask a server for many pages, over one connection.

    @param requests: For each the path and the id.
    @return: The answers.
    """
    connection = member.connect()
    answers = [connection.ask(*each) for each in requests]
    member.giveBack(connection)
    return answers


def enter(fleet, who, size):
    """
    Have somebody sign in so often, in all processes in turn.

    @return: The ids.
    """
    members = itertools.cycle(fleet.members)
    return [next(members).ask(f"enter?who={who}").uid for _ in range(size)]


def race(fleet, who, path, uid):
    """
    Ask for an end in one process while somebody signs in in the others.

    @return: The answer, and the ids that were given out meanwhile.
    """
    first, *others = fleet.members
    connections = {member.connect(): member for member in others}
    ending = first.connect()
    for connection in connections:
        connection.send((f"enter?who={who}", None))
    ending.send((path, uid))
    ids, answer = [], None
    while connections or answer is None:
        waiting = [*connections, *([ending] if answer is None else [])]
        ready = select(waiting, [], [], PATIENCE)[0]
        if not ready:
            raise AssertionError(f"no answer to {path}")
        for each in ready:
            if each is ending:
                answer = ending.receive()
                first.giveBack(ending)
                continue
            ids.append(each.receive().uid)
            if answer is None:
                each.send((f"enter?who={who}", None))
            else:
                connections.pop(each).giveBack(each)
    return answer, ids


def close(fleet, found, size, *, isOthers):
    """
    Close one account, or end all sessions of it but one.
    """
    who = f"acc{secrets.token_hex(4)}.{next(_numbers)}"
    before = enter(fleet, who, size)
    for number, member in enumerate(fleet.members):
        # Each has a share of them in memory that others have made.
        askAll(member, [("look", uid) for uid in before[(number + 1) % 4 :: 4]])
    path = "endothers" if isOthers else f"endprincipal?who={who}"
    mine = before[0] if isOthers else None
    answer, during = race(fleet, who, path, mine)
    after = enter(fleet, who, len(fleet.members))

    def fault(text):
        found.faults.append(f"accounts: {path.partition('?')[0]}: {text}")

    if answer.status != 200 or bool(answer.uid) is not isOthers:
        fault(f"was answered {answer}")
        return
    kept = [answer.uid] if isOthers else []
    alive = None
    for member in fleet.members:
        served = askAll(member, [("look", uid) for uid in before])
        left = sum(not isGone(each) for each in served)
        if left:
            fault(f"{left} of {size} are served")
        for uid in (*kept, *after):
            if member.get("look", uid).told.get("who", [None])[0] != who:
                fault("one that has to live does not")
        meanwhile = {uid for uid in during if not isGone(member.get("look", uid))}
        if alive not in (None, meanwhile):
            fault("the processes do not say the same of who came meanwhile")
        alive = meanwhile
    count = answer.told["outcome"]
    if count != size - len(kept) + len(during) - len(alive):
        fault(f"{count} were counted, of {size}, {len(during)}, {len(alive)}")
    handles, wrong = fleet.members[-1].sessionsOf(who)
    if len(handles) != len(kept) + len(after) + len(alive) or wrong:
        fault(f"{len(handles)} are in the index, {wrong} are wrong")
    found.closed += 1
    found.sessions += size
    found.counted += count
    found.meanwhile += len(during)
    fleet.members[0].ask(f"endprincipal?who={who}")


def closeAccounts(fleet, times, size):
    """
    Close accounts, every other one but for one session.

    @param size: How many sessions each has.
    @return: What was counted.
    """
    found = Closed()
    for number in range(times):
        close(fleet, found, size, isOthers=number % 2 == 1)
    return found


__all__ = ["Closed", "closeAccounts"]
