"""
What a store has to have done, step by step.

Owns what each verb does to the sessions of a meeting, one after another, as the
interface says; so that it is known what has to be alive afterwards, to the last one,
whatever the order was.  Knows no server, and no id: a session goes by whose it was, or
by the request that gave it a new id.
"""

from __future__ import annotations

from attrs import define


@define(eq=False)
class Line:
    """
    One session, by whatever ids it goes.

    @ivar key: By which it goes now, L{None} when it has ended.
    @ivar who: Who is signed in, or L{None}.
    @ivar level: How sure that is.
    @ivar first: Whose it was before, or the request that has made it.
    """

    key: object
    who: str | None
    level: int
    first: object


class Ledger:
    """
    The sessions of a meeting.
    """

    def __init__(self, me, mine, *, isIn):
        """
        @param me: The principal of C{mine} and C{other}.
        @param mine: The handle of C{mine}.
        @param isIn: Whether he is signed in on C{mine}.
        """
        self._me, self._mine = me, mine
        self._lines = [
            Line("mine", me if isIn else None, int(isIn), "mine"),
            Line("other", me, 1, "other"),
        ]
        self._outcomes = {}
        self._said = []

    def __str__(self):
        """
        All that was done.
        """
        return "; ".join(self._said)

    def alive(self):
        """
        The sessions that have not ended, by what they go by.
        """
        return {line.key: line for line in self._lines if line.key is not None}

    def outcome(self, action):
        """
        What a request has to tell of itself, or L{None} where that is open.
        """
        if action.does in {"signin", "enter"}:
            return self._outcomes.get(action, "gone")
        return self._outcomes.get(action)

    def add(self, action, verb, outcome):
        """
        A verb has come to something.

        @param action: Who called it.
        @return: What is wrong with that, or an empty text.
        """
        self._said.append(f"{action.text}: {verb} {outcome!r}")
        found = getattr(self, f"_{verb}", None)
        return (found and found(action, outcome)) or ""

    def _lineOf(self, action):
        """
        The session that a request came by or has made, whatever has become of it.
        """
        for line in reversed(self._lines):
            if line.first in (action, action.by):
                return line
        raise AssertionError(f"{action.text} writes of nothing: {self}")

    def _isThere(self, action):
        """
        Whether that is to be found by an id that the request knows.
        """
        return self._lineOf(action).key in (action.by, action)

    def _taken(self, action, outcome):
        """
        Find out if a write was taken just where it should be.
        """
        if outcome is None or outcome == "":
            return "" if self._isThere(action) else "a late write was taken"
        if outcome == "SessionGone" and self._isThere(action):
            return "a live session was not found"
        return ""

    _replace = _touch = _taken

    def _rename(self, action, outcome):
        """
        A new id.
        """
        wrong = self._taken(action, outcome)
        if outcome == "":
            line = self._lineOf(action)
            line.key = action
            self._enter(action, line)
        return wrong

    def _insert(self, action, outcome):
        """
        A new session.
        """
        if outcome == "":
            line = Line(action, None, 0, action)
            self._lines.append(line)
            self._enter(action, line)

    def _enter(self, action, line):
        """
        Somebody signs in, if that is what is done.
        """
        if action.does in {"signin", "enter"}:
            line.who = action.argument("who")
            line.level = int(action.argument("level") or 1)
            self._outcomes[action] = ""

    def _delete(self, action, outcome):
        """
        The end of one, by whatever id.
        """
        self._lineOf(action).key = None

    def _endPrincipal(self, action, outcome):
        """
        The end of all, or of all others.
        """
        kept = self._lineOf(action) if action.does == "endothers" else None
        ended = [
            line
            for line in self._lines
            if line.key is not None and line.who == self._me and line is not kept
        ]
        for line in ended:
            line.key = None
        self._outcomes[action] = outcome
        return "" if outcome == len(ended) else f"{len(ended)} had to end"

    def _endSession(self, action, outcome):
        """
        The end of one, by its handle.
        """
        first = "mine" if action.argument("handle") == self._mine else "other"
        line = next(each for each in self._lines if each.first == first)
        has = line.key is not None and line.who == self._me
        if has:
            line.key = None
        self._outcomes[action] = outcome
        return "" if outcome is has else "the wrong one has ended, or none"


__all__ = ["Ledger", "Line"]
