"""
Tests for L{txsessions.errors}.
"""

from __future__ import annotations

import inspect

from twisted.trial.unittest import SynchronousTestCase

from txsessions import errors
from txsessions.core.record import Record

TAG = "0011223344556677"
KEY = bytes.fromhex(TAG) + b"the rest, which is nobody's"[:24]
RECORD = Record(
    key=KEY,
    version=2,
    createdAt=1.0,
    touchedAt=1.0,
    expiresAt=2.0,
    payload=b"sealed",
)


class TreeTests(SynchronousTestCase):
    """
    All errors are in one tree.
    """

    def test_tree(self) -> None:
        """
        Every public exception is listed, documented, and a L{SessionError}.
        """
        found = {
            name
            for name, value in vars(errors).items()
            if inspect.isclass(value)
            and issubclass(value, Exception)
            and not name.startswith("_")
        }
        self.assertEqual(found, set(errors.__all__))
        for name in found:
            kind = getattr(errors, name)
            self.assertTrue(issubclass(kind, errors.SessionError), name)
            self.assertTrue(kind.__doc__, name)

    def test_builtins(self) -> None:
        """
        Code that knows only Python's exceptions catches them as what they are.
        """
        for kind, builtin in (
            (errors.ConfigurationError, ValueError),
            (errors.AddressError, ValueError),
            (errors.KeyFileError, ValueError),
            (errors.WrongThread, RuntimeError),
            (errors.CannotBeKept, TypeError),
            (errors.ResponseStarted, RuntimeError),
        ):
            self.assertTrue(issubclass(kind, builtin), kind)

    def test_stores(self) -> None:
        """
        An absent session is no fault of its store.
        """
        for kind in (errors.StoreUnavailable, errors.StoreCorrupt):
            self.assertTrue(issubclass(kind, errors.StoreError))
        for kind in (
            errors.SessionGone,
            errors.SessionExists,
            errors.SessionConflict,
            errors.RecordDamaged,
            errors.UnknownKey,
        ):
            self.assertFalse(issubclass(kind, errors.StoreError))


class MessageTests(SynchronousTestCase):
    """
    What the errors say.
    """

    def test_tag(self) -> None:
        """
        An error about a session names it by its tag, if it has one.
        """
        for kind in (
            errors.SessionGone,
            errors.SessionExists,
            errors.SessionStale,
            errors.RecordDamaged,
        ):
            error = kind(TAG)
            self.assertEqual(error.tag, TAG)
            self.assertEqual(str(error), f"{kind.explanation} (session {TAG})")
            self.assertEqual(str(kind()), kind.explanation)
            self.assertEqual(kind().tag, "")

    def test_explained(self) -> None:
        """
        The explanation may be another.
        """
        self.assertEqual(
            str(errors.SessionGone(TAG, "it was closed")),
            f"it was closed (session {TAG})",
        )

    def test_conflict(self) -> None:
        """
        A conflict carries the record, and does not show it.
        """
        error = errors.SessionConflict(RECORD)
        self.assertIs(error.current, RECORD)
        self.assertEqual(error.tag, TAG)
        self.assertIn(TAG, str(error))
        for shown in (str(error), repr(error)):
            self.assertNotIn(KEY.hex(), shown)
            self.assertNotIn("sealed", shown)

    def test_tooLarge(self) -> None:
        """
        How much it is and how much may be, and what to do.
        """
        error = errors.SessionTooLarge(TAG, 70000, 65536)
        self.assertEqual((error.tag, error.size, error.limit), (TAG, 70000, 65536))
        for words in ("70000 bytes", "65536", "keep large things elsewhere", TAG):
            self.assertIn(words, str(error))

    def test_cannotBeKept(self) -> None:
        """
        Where it is and why.
        """
        error = errors.CannotBeKept("session.user", "it is a socket")
        self.assertEqual(
            (error.where, error.reason), ("session.user", "it is a socket")
        )
        self.assertEqual(str(error), "session.user cannot be kept: it is a socket")
        self.assertIn("the value cannot", str(errors.CannotBeKept("", "x")))

    def test_unavailable(self) -> None:
        """
        When to try again.
        """
        self.assertEqual(errors.SessionUnavailable().retryAfter, 2)
        error = errors.SessionUnavailable(7)
        self.assertEqual(error.retryAfter, 7)
        self.assertIn("try again in 7 s", str(error))

    def test_responseStarted(self) -> None:
        """
        What to do instead.
        """
        self.assertIn("before the first", str(errors.ResponseStarted()))

    def test_unknownKey(self) -> None:
        """
        Which key is missing.
        """
        error = errors.UnknownKey("8899aabbccddeeff")
        self.assertEqual(error.keyId, "8899aabbccddeeff")
        self.assertIn("8899aabbccddeeff", str(error))
