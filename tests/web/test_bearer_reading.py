"""
Tests of how L{txsessions.web.bearer} reads C{Authorization}.
"""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from txsessions.web.bearer import readBearer
from txsessions.web.cookie import Refusal

UID = b"0123456789abcdef" * 4
OTHER = b"fedcba9876543210" * 4


class ReadingTests(SynchronousTestCase):
    """
    The reader alone.
    """

    def test_fine(self):
        """
        The scheme's name in any case, spaces, the uid; other schemes beside it.
        """
        for values in (
            [b"Session " + UID],
            [b"session " + UID],
            [b"SESSION    " + UID],
            [b"Session " + UID, b"Session  " + UID][:1] * 3,
            [b"Basic dXNlcjpwYXNz", b"Session " + UID],
            [b"Session " + UID, b"Negotiate session"],
        ):
            self.assertEqual(readBearer(values), UID, values)

    def test_new(self):
        """
        Without a uid it asks for a new session.
        """
        for value in (b"Session", b"session", b"Session  "):
            self.assertEqual(readBearer([value]), b"", value)

    def test_otherSchemes(self):
        """
        What is of another scheme is none of ours.
        """
        for value in (
            b"",
            b"Basic " + UID,
            b"Bearer " + UID,
            b"Sessions " + UID,
            b"Session-Id " + UID,
            b"X Session " + UID,
            b" Session " + UID,
            UID,
            b"sid=" + UID,
        ):
            self.assertIs(readBearer([value]), None, value)

    def test_malformed(self):
        """
        Anything else than one uid is malformed.
        """
        for said in (
            b" " + UID[:-1],
            b" " + UID + b"0",
            b" " + UID.upper(),
            b"\t" + UID,
            b" \t" + UID,
            b"=" + UID,
            b":" + UID,
            b', "' + UID + b'"',
            b' "' + UID + b'"',
            b" " + UID + b", Session " + UID,
            b" " + UID + b" ",
            b" " + UID + b"\n",
            b" uid=" + UID,
            b" " + b"%30" * 64,
            b" ' OR 1=1--",
            b" " + b"x" * 16_000,
            b"\x00" + UID,
        ):
            self.assertIs(readBearer([b"Session" + said]), Refusal.MALFORMED, said)

    def test_duplicates(self):
        """
        Copies that differ are refused, whatever they are; those that agree are one.
        """
        given = [b"Session " + UID, b"Session " + OTHER, b"Session", b"Session x"]
        for one, two in product(given, given):
            found = readBearer([one, b"Basic eDp5", two])
            self.assertEqual(found is Refusal.DUPLICATE, one != two, (one, two))
