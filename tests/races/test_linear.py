"""
Tests of the search for an order.
"""

from __future__ import annotations

from math import inf

from twisted.trial.unittest import SynchronousTestCase

from tests.races.linear import GONE, UNKNOWN, Operation, isPossible

FIRST = "first", "a"
"""What the session is at first."""


def did(kind, begun, ended, result, *, uid="a", value=""):
    """
    Write an operation down.
    """
    return Operation(
        kind=kind, uid=uid, value=value, result=result, begun=begun, ended=ended
    )


class OrderTests(SynchronousTestCase):
    """
    Histories that can be and such that cannot.
    """

    def assertPossible(self, *operations):
        """
        There is an order.
        """
        self.assertTrue(isPossible(operations, FIRST))

    def assertImpossible(self, *operations):
        """
        There is none.
        """
        self.assertFalse(isPossible(operations, FIRST))

    def test_reads(self):
        """
        What was put is read afterwards; while it is being put, maybe.
        """
        put = did("put", 1, 4, "did", value="x")
        self.assertPossible()
        self.assertPossible(put, did("read", 5, 6, "x"))
        self.assertPossible(put, did("read", 2, 3, "x"))
        self.assertPossible(put, did("read", 2, 3, "first"))
        self.assertImpossible(put, did("read", 5, 6, "first"))
        self.assertImpossible(put, did("read", 2, 3, "x"), did("read", 3.5, 6, "first"))
        self.assertImpossible(did("read", 1, 2, "y"))

    def test_swaps(self):
        """
        Two that saw the same before them cannot both be.
        """
        one = did("swap", 1, 3, "first", value="x")
        self.assertPossible(one, did("swap", 1, 3, "x", value="y"))
        self.assertImpossible(one, did("swap", 1, 3, "first", value="y"))

    def test_ends(self):
        """
        What has ended stays so, and so does what was rotated away.
        """
        expire = did("expire", 1, 2, "did")
        self.assertPossible(expire, did("expire", 1, 2, "did"), did("read", 3, 4, GONE))
        self.assertImpossible(expire, did("read", 3, 4, "first"))
        self.assertImpossible(did("read", 3, 4, GONE))
        rotate = did("rotate", 1, 2, "b")
        self.assertPossible(rotate, did("read", 3, 4, "first", uid="b"))
        self.assertPossible(rotate, did("read", 3, 4, GONE))
        self.assertImpossible(rotate, did("read", 3, 4, "first"))
        self.assertImpossible(rotate, did("rotate", 1, 2, "c"))
        self.assertImpossible(rotate, expire, did("put", 3, 4, "did", value="x"))

    def test_endsByAFormerId(self):
        """
        A logout by any id that the session had is one of the session.
        """
        rotate, again = did("rotate", 1, 2, "b"), did("rotate", 3, 4, "c", uid="b")
        expire = did("expire", 5, 6, "did")
        self.assertPossible(rotate, expire, did("read", 7, 8, GONE, uid="b"))
        self.assertImpossible(rotate, expire, did("read", 7, 8, "first", uid="b"))
        self.assertImpossible(
            rotate, again, expire, did("read", 7, 8, "first", uid="c")
        )
        self.assertPossible(rotate, again, did("read", 7, 8, "first", uid="c"))
        self.assertPossible(
            rotate, did("expire", 5, 6, GONE), did("read", 7, 8, "first", uid="b")
        )
        unknown = did("expire", 5, inf, UNKNOWN)
        read = did("read", 7, 8, "first", uid="b")
        self.assertPossible(rotate, unknown, read, did("read", 9, 9.5, GONE, uid="b"))
        # Before the rotation was acknowledged: then it was refused, or came first.
        during = did("expire", 1, 1.5, "did")
        self.assertPossible(rotate, during, did("read", 7, 8, GONE, uid="b"))
        self.assertImpossible(rotate, during, did("read", 7, 8, "first", uid="b"))
        self.assertPossible(during, did("rotate", 1, 2, GONE))

    def test_oneRotationOfTwo(self):
        """
        Two requests may be answered with one new id, if they overlap.
        """
        one, two = did("rotate", 1, 4, "b"), did("rotate", 2, 3, "b")
        self.assertPossible(one, two, did("read", 5, 6, "first", uid="b"))
        self.assertPossible(one, two, did("rotate", 1.5, 5, "b"))
        self.assertImpossible(one, two, did("read", 3.5, 3.8, "first"))
        self.assertImpossible(one, did("rotate", 2, 3, "c"))
        self.assertImpossible(one, did("rotate", 5, 6, "b"))

    def test_unknown(self):
        """
        What was not answered has happened, at any time, or not.
        """
        put = did("put", 1, inf, UNKNOWN, value="x")
        self.assertPossible(put, did("read", 3, 4, "first"), did("read", 5, 6, "x"))
        self.assertPossible(put, did("read", 3, 4, "first"), did("read", 5, 6, "first"))
        self.assertImpossible(put, did("read", 3, 4, "x"), did("read", 5, 6, "first"))
        rotate = did("rotate", 1, inf, UNKNOWN)
        self.assertPossible(rotate, did("read", 3, 4, "first"), did("read", 5, 6, GONE))
        self.assertImpossible(rotate, did("read", 3, 4, GONE), did("read", 5, 6, "x"))

    def test_ending(self):
        """
        While it is being ended it may be refused here and served there, and what was
        put too late may be seen; afterwards not.
        """
        expire = did("expire", 1, 5, "did")
        refused = did("put", 2, 3, GONE, value="x")
        self.assertPossible(expire, refused, did("read", 3.5, 4, "first"))
        self.assertPossible(expire, refused, did("read", 3.5, 4, "x"))
        self.assertImpossible(expire, refused, did("read", 6, 7, "first"))
        self.assertImpossible(expire, refused, did("read", 6, 7, "x"))
        self.assertImpossible(expire, did("read", 3.5, 4, "y"))

    def test_nothing(self):
        """
        What could not be done changes nothing.
        """
        swap = did("swap", 1, 2, "nothing", value="x")
        self.assertPossible(swap, did("read", 3, 4, "first"))
        self.assertImpossible(swap, did("read", 3, 4, "x"))
