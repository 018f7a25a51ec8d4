"""
Tests for L{txsessions.core.settle}.
"""

from __future__ import annotations

from itertools import product

from attrs import asdict, fields
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.settle import RULES, Facts, Need, decide, renderRules

NAMES = [attribute.name for attribute in fields(Facts)]
ALL = [
    Facts(**dict(zip(NAMES, values, strict=True)))
    for values in product((False, True), repeat=len(NAMES))
]


class DecisionTests(SynchronousTestCase):
    """
    What a session needs.
    """

    def test_plain(self) -> None:
        """
        The cases that everybody meets.
        """
        for need, facts in (
            (Need.NOTHING, Facts(stored=True)),
            (Need.TOUCH, Facts(stored=True, touchDue=True)),
            (Need.REPLACE, Facts(stored=True, changed=True)),
            (Need.REPLACE, Facts(stored=True, changed=True, touchDue=True)),
            (Need.RENAME, Facts(stored=True, renamed=True)),
            (Need.RENAME, Facts(stored=True, renamed=True, changed=True)),
            (Need.DELETE, Facts(stored=True, ended=True)),
            (Need.INSERT, Facts(stored=False)),
            (Need.INSERT, Facts(stored=False, changed=True)),
            (Need.INSERT, Facts(stored=False, renamed=True)),
            (Need.DROP, Facts(stored=False, empty=True)),
            (Need.DROP, Facts(stored=False, ended=True)),
        ):
            self.assertIs(decide(facts), need, facts)

    def test_final(self) -> None:
        """
        Whatever else is true, nothing is written to a session that has ended.
        """
        for facts in ALL:
            if facts.ended:
                need = Need.DELETE if facts.stored else Need.DROP
                self.assertIs(decide(facts), need, facts)

    def test_storeAgrees(self) -> None:
        """
        The store is never asked to change what it does not have, nor to insert
        what it has.
        """
        there = {Need.TOUCH, Need.REPLACE, Need.RENAME, Need.DELETE, Need.NOTHING}
        for facts in ALL:
            self.assertEqual(decide(facts) in there, facts.stored, facts)

    def test_nothingLost(self) -> None:
        """
        No change of a living session that is worth keeping goes unwritten.
        """
        for facts in ALL:
            worth = facts.changed or facts.renamed
            kept = facts.stored or not facts.empty
            if worth and kept and not facts.ended:
                self.assertIn(
                    decide(facts), {Need.INSERT, Need.REPLACE, Need.RENAME}, facts
                )

    def test_asTheTable(self) -> None:
        """
        The first rule that holds decides.
        """
        for facts in ALL:
            known = asdict(facts)
            first = next(
                rule for rule in RULES if all(known[name] for name in rule.when)
            )
            self.assertIs(decide(facts), first.need, facts)


class TableTests(SynchronousTestCase):
    """
    The table as people read it.
    """

    def test_everyRule(self) -> None:
        """
        Every rule decides something, and every need is somewhere.
        """
        used = {next(rule for rule in RULES if rule.holds(facts)) for facts in ALL}
        self.assertEqual(used, set(RULES))
        self.assertEqual({rule.need for rule in RULES}, set(Need))

    def test_last(self) -> None:
        """
        The last rule holds always.
        """
        self.assertEqual(RULES[-1].when, ())

    def test_rendered(self) -> None:
        """
        There is one line for each rule, in order.
        """
        lines = renderRules().splitlines()
        self.assertEqual(lines[1], "|---|---|---|")
        self.assertEqual(lines[2], f"| ended, stored | delete | {RULES[0].why} |")
        self.assertEqual(lines[-1], f"| anything else | insert | {RULES[-1].why} |")
        self.assertEqual(len(lines), len(RULES) + 2)
        self.assertTrue(renderRules().endswith("|\n"))
