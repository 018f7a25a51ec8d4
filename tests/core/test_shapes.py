"""
Tests of L{txsessions.core.shapes}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.shapes import MOST, Shaped, namesOf
from txsessions.web.bearer import BearerExchange, BearerVisit
from txsessions.web.exchange import Exchange
from txsessions.web.renewing import RenewingExchange, RenewingVisit
from txsessions.web.visit import Visit

KINDS = (
    *(Exchange, BearerExchange, RenewingExchange),
    *(Visit, BearerVisit, RenewingVisit),
)


class NamesTests(SynchronousTestCase):
    """
    What a class names.
    """

    def test_names(self):
        """
        Annotations and defaults, of its bases too; no methods, and nothing with a rule
        for being looked up.
        """

        class Base(Shaped):
            one: int
            two = 2

        class Derived(Base):
            three: object = object()

            def method(self):
                pass

            @property
            def computed(self):
                return 4

        self.assertEqual(sorted(namesOf(Derived)), ["one", "three", "two"])
        self.assertEqual(Derived.two, 2)
        self.assertFalse(hasattr(Derived(), "one"))

    def test_notTooMany(self):
        """
        CPython has room for all of them, and for those that are set in the making.
        """
        for kind in KINDS:
            self.assertLess(len(namesOf(kind)), MOST - 3, kind.__name__)
