"""
Whether what many saw of one session can have happened in some order.

Owns what a session is to its users, a register that can be given a new id and that
can end, and the search of Wing and Gong for an order of the operations in which each
takes effect at one moment between its beginning and its end.  Knows no server.
"""

from __future__ import annotations

from math import inf

from attrs import define, evolve

GONE = "gone"
"""The result where an id was refused."""

UNKNOWN = None
"""The result where there was no answer, or one that says that it is unknown."""


@define(kw_only=True)
class Operation:
    """
    Something that somebody did.

    @ivar kind: C{"read"}, C{"put"}, C{"swap"}, C{"rotate"} or C{"expire"}.
    @ivar uid: The id that was shown.
    @ivar value: What was put.
    @ivar result: What came of it: what was read, what was there before a swap, the
        new id, L{GONE}, L{UNKNOWN}, or C{"nothing"} where nothing was done.
    @ivar begun: When it was sent.
    @ivar ended: When it was answered.
    """

    kind: str
    uid: object
    value: str = ""
    result: object = UNKNOWN
    begun: float = 0.0
    ended: float = inf


def after(state, operation):
    """
    Say what a session is after an operation.

    @param state: Its value, and the id that is alive or L{None}.
    @return: That, or L{None} if the operation cannot have had this result then.
    """
    value, alive = state
    kind, result = operation.kind, operation.result
    if result == "nothing" or (result is UNKNOWN and kind == "read"):
        return state
    if kind == "expire" and result != GONE:
        # By whichever of its ids; of two at once each has seen the session.
        return value, None
    if operation.uid != alive:
        return state if result in (GONE, UNKNOWN) else None
    if result == GONE:
        return None
    if kind == "rotate":
        # An id that nobody was told is no other's.
        return value, operation.begun if result is UNKNOWN else result
    if kind in {"read", "swap"} and result not in (value, UNKNOWN):
        return None
    return (value if kind == "read" else operation.value), alive


def excuse(operations):
    """
    Leave out what is promised only once an end is acknowledged.  While a session is
    being ended or given a new id, the process that does so refuses the old one, and
    others may serve it yet, also where somebody else turns out to have been faster;
    and what is put meanwhile and comes too late may have been read in its process.
    An end by one id is an end of all.

    @return: The operations, those without what they saw.
    """
    ends = [each for each in operations if each.kind in {"expire", "rotate"}]
    refused = {each.value for each in operations if each.result == GONE} - {""}

    def isExcused(operation):
        return (
            operation.result == GONE
            or (operation.kind == "read" and operation.result in refused)
        ) and any(
            (end.kind == "expire" or end.uid == operation.uid)
            and end.begun < operation.ended
            and operation.begun < end.ended
            for end in ends
        )

    return [
        evolve(each, result="nothing") if isExcused(each) else each
        for each in operations
    ]


def join(operations):
    """
    Make one of the rotations that were one: where several requests of a process have
    the session and each asks for a new id, all may be answered with the last one.  It
    was drawn when the last of them had begun, and known before the first was answered.

    @return: The operations, the others of these without what they did.
    """
    joined, firsts = [], {}
    for each in sorted(operations, key=lambda each: each.begun):
        place = firsts.get(each.result) if each.kind == "rotate" else None
        if place is not None and each.begun < joined[place].ended:
            ended = min(each.ended, joined[place].ended)
            joined[place] = evolve(joined[place], begun=each.begun, ended=ended)
            joined.append(evolve(each, result="nothing"))
        else:
            if each.kind == "rotate" and each.result not in (GONE, UNKNOWN, "nothing"):
                firsts[each.result] = len(joined)
            joined.append(each)
    return joined


def isPossible(operations, state):
    """
    Find an order.

    @param operations: What was done to one session.
    @param state: What it was at first, see L{after}.
    @return: Whether there is one.
    """
    operations = sorted(join(excuse(operations)), key=lambda each: each.begun)
    answered = 0
    for number, operation in enumerate(operations):
        if operation.ended != inf:
            answered |= 1 << number
    seen = set()
    todo = [(0, state)]
    while todo:
        done, now = todo.pop()
        if done & answered == answered:
            return True
        if (done, now) in seen:
            continue
        seen.add((done, now))
        left = [
            (number, each)
            for number, each in enumerate(operations)
            if not done >> number & 1
        ]
        first = min(each.ended for _, each in left)
        for number, each in reversed(left):
            if each.begun <= first:
                then = after(now, each)
                if then is not None:
                    todo.append((done | 1 << number, then))
    return False


__all__ = ["GONE", "UNKNOWN", "Operation", "after", "excuse", "isPossible", "join"]
