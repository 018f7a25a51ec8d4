"""
Tests of L{txsessions.auth._names}: avatar ids and principals.
"""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.cred.checkers import ANONYMOUS
from twisted.trial.unittest import SynchronousTestCase

from txsessions.auth._names import avatarIdOf, principalOf
from txsessions.errors import ConfigurationError


class NameTests(SynchronousTestCase):
    """
    The way there and back.
    """

    @settings(deadline=None)
    @given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=256))
    def test_roundTrip(self, name):
        """
        Bytes come back as they were.
        """
        avatarId = name.encode("utf-8")
        self.assertEqual(avatarIdOf(principalOf(avatarId)), avatarId)
        self.assertEqual(principalOf(name), name)

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
            error = self.assertRaises(ConfigurationError, principalOf, wrong)
            self.assertNotIn("ann", str(error).replace("channel", ""))
