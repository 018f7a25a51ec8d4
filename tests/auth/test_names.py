"""
Tests of L{txsessions.auth._names}: avatar ids and principals.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.portal import Portal
from twisted.trial.unittest import SynchronousTestCase

from txsessions.auth._names import Names
from txsessions.errors import ConfigurationError


class NameTests(SynchronousTestCase):
    """
    The way there and back.
    """

    names = Names(Portal(None), "")
    staff = Names(Portal(None), "staff/")

    @settings(deadline=None)
    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=250))
    def test_roundTrip(self, name):
        """
        Bytes come back as they were.
        """
        avatarId = name.encode("utf-8")
        for names in (self.names, self.staff):
            principal = names.principalOf(avatarId)
            self.assertEqual(names.avatarIdOf(principal), avatarId)
            self.assertEqual(names.nameOf(principal), name)
            self.assertEqual(names.principalOf(name), principal)
        self.assertEqual(self.names.principalOf(name), name)
        self.assertEqual(self.staff.principalOf(name), "staff/" + name)

    def test_others(self):
        """
        Who has not the prefix is not one of these, nor is who has nothing else.
        """
        for principal in ("ann", "staf", "staff", "staff/", " staff/ann", "Staff/ann"):
            self.assertIsNone(self.staff.nameOf(principal))

    def test_refused(self):
        """
        What no session can be signed in as is refused, by a message that does not say
        who it is.
        """
        for wrong in (
            b"",
            b"ann\xff",
            b"ann" * 86,
            "",
            ANONYMOUS,
            None,
            7,
            b"ann\xed\xa0\x80",
        ):
            error = self.assertRaises(ConfigurationError, self.names.principalOf, wrong)
            self.assertNotIn("ann", str(error).replace("channel", ""))
        longest = "a" * 250
        self.assertEqual(self.staff.principalOf(longest), "staff/" + longest)
        self.assertRaises(ConfigurationError, self.staff.principalOf, longest + "a")
