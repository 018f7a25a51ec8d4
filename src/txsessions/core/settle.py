"""
Settling: what a session needs of its store, decided at the first byte of a
response.

Owns one table.  Knows neither session nor store: what is true of the session
comes in as facts, and who decides carries nothing out.

The first rule whose facts hold decides.  That the end comes first is what makes
a logout final: whatever else has happened to a session that has ended, nothing
is written to it.
"""

from __future__ import annotations

import enum
from itertools import product
from typing import Final

from attrs import fields, frozen


class Need(enum.Enum):
    """
    What a session needs of its store.
    """

    NOTHING = "nothing"
    """The store knows all there is to know."""

    INSERT = "insert"
    """It is new, and to be kept."""

    TOUCH = "touch"
    """The store should hear that it is in use."""

    REPLACE = "replace"
    """It has changed."""

    RENAME = "rename"
    """It has another uid."""

    DELETE = "delete"
    """It has ended, and the store still has it."""

    DROP = "drop"
    """It is to be forgotten, and the store has never heard of it."""


@frozen(kw_only=True)
class Facts:
    """
    What is true of a session when a response begins.

    @ivar stored: The store has it, as far as this process knows.
    @ivar ended: It was logged out, or expired.
    @ivar empty: It is new, and nothing in it is worth keeping.
    @ivar changed: Its parts are not those that the store acknowledged.
    @ivar renamed: It was given another uid.
    @ivar touchDue: The last use that the store heard of is long ago.
    """

    stored: bool
    ended: bool = False
    empty: bool = False
    changed: bool = False
    renamed: bool = False
    touchDue: bool = False


@frozen
class Rule:
    """
    One line of the table.

    @ivar when: Which facts must hold.
    @ivar need: What is needed then.
    @ivar why: The reason, for people.
    """

    when: tuple[str, ...]
    need: Need
    why: str

    def holds(self, facts: Facts) -> bool:
        """
        Tell whether this rule is about these facts.
        """
        return all(getattr(facts, name) for name in self.when)


RULES: Final = (
    Rule(
        ("ended", "stored"),
        Need.DELETE,
        "a logout is final, whatever else was changed",
    ),
    Rule(
        ("ended",),
        Need.DROP,
        "a session that ended is never written for the first time",
    ),
    Rule(
        ("stored", "renamed"),
        Need.RENAME,
        "the old uid must stop working before the new one is shown",
    ),
    Rule(
        ("stored", "changed"),
        Need.REPLACE,
        "what the client will have seen must be kept",
    ),
    Rule(
        ("stored", "touchDue"),
        Need.TOUCH,
        "a session in use must not expire; a change says so too, more dearly",
    ),
    Rule(
        ("stored",),
        Need.NOTHING,
        "an unchanged session is never written",
    ),
    Rule(
        ("empty",),
        Need.DROP,
        "a visitor who left nothing costs nothing",
    ),
    Rule(
        (),
        Need.INSERT,
        "what is worth keeping is kept before its cookie is sent",
    ),
)
"""The table.  Its last rule holds always."""

_NAMES = tuple(attribute.name for attribute in fields(Facts))

_DECIDED: Final = {
    values: next(
        rule.need
        for rule in RULES
        if rule.holds(Facts(**dict(zip(_NAMES, values, strict=True))))
    )
    for values in product((False, True), repeat=len(_NAMES))
}


DECISIONS: Final = _DECIDED
"""What L{decide} says of every combination of facts, in the order of L{Facts}:
for the hot path, which has no time to make one."""


def decide(facts: Facts) -> Need:
    """
    Say what a session needs, as L{RULES} has it.
    """
    return _DECIDED[
        (
            facts.stored,
            facts.ended,
            facts.empty,
            facts.changed,
            facts.renamed,
            facts.touchDue,
        )
    ]


def renderRules() -> str:
    """
    Write the table for the documentation, as Markdown.
    """
    lines = ["| if the session is | it needs | because |", "|---|---|---|"]
    lines += [
        f"| {', '.join(rule.when) or 'anything else'} | {rule.need.value} | "
        f"{rule.why} |"
        for rule in RULES
    ]
    return "\n".join(lines) + "\n"


__all__ = ["DECISIONS", "RULES", "Facts", "Need", "Rule", "decide", "renderRules"]
