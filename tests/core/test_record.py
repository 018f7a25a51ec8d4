"""
Tests for L{txsessions.core.record}.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.record import (
    DELETED,
    FORMER,
    ROTATED,
    UNCHANGED,
    Answer,
    Record,
    neverBack,
    sameSignIn,
    tagOf,
)

KEY = bytes(range(32))


class RecordTests(SynchronousTestCase):
    """
    What people see of a record.
    """

    def test_tag(self) -> None:
        """
        Logs see sixteen characters of the key.
        """
        self.assertEqual(tagOf(KEY), "0001020304050607")

    def test_shown(self) -> None:
        """
        Its representation shows the tag, and neither the key nor what is in it.
        """
        record = Record(
            key=KEY,
            version=1,
            createdAt=1.0,
            touchedAt=1.0,
            expiresAt=2.0,
            principal=b"somebody",
            payload=b"something",
        )
        self.assertEqual(record.tag, tagOf(KEY))
        self.assertIn(tagOf(KEY), repr(record))
        self.assertNotIn(KEY[8:].hex(), repr(record))
        self.assertNotIn("some", repr(record))

    def test_neverBack(self) -> None:
        """
        The last touch never goes back, nor the deadline with it; a later one
        is taken as it is, be its deadline nearer.
        """

        def made(touchedAt: float, expiresAt: float) -> Record:
            return Record(
                key=KEY,
                version=1,
                createdAt=1.0,
                touchedAt=touchedAt,
                expiresAt=expiresAt,
                payload=b"",
            )

        later = made(3.0, 4.0)
        self.assertIs(neverBack(later, made(3.0, 9.0)), later)
        self.assertEqual(neverBack(made(2.0, 4.0), made(3.0, 9.0)), made(3.0, 9.0))
        self.assertEqual(neverBack(made(2.0, 9.0), made(3.0, 4.0)), made(3.0, 9.0))

    def test_sameSignIn(self) -> None:
        """
        A change under the same key changes neither the principal nor the handle.
        """

        def made(principal: bytes | None, handle: bytes | None, version=1) -> Record:
            return Record(
                key=KEY,
                version=version,
                createdAt=1.0,
                touchedAt=1.0,
                expiresAt=2.0,
                principal=principal,
                handle=handle,
                payload=b"",
            )

        stored = made(b"p", b"h")
        same = made(b"p", b"h", 2)
        self.assertIs(sameSignIn(same, stored), same)
        for forged in (made(None, None, 2), made(b"q", b"h", 2), made(b"p", b"i", 2)):
            self.assertEqual(sameSignIn(forged, stored), same)

    def test_answers(self) -> None:
        """
        The answers are three.
        """
        self.assertEqual(list(Answer), [UNCHANGED, ROTATED, FORMER, DELETED])
