"""
Tests for L{txsessions.core.merge}.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txsessions.core.codec import BACK_REFERENCE, decodeValue, encodeValue
from txsessions.core.merge import Merged, Merger, mergeParts

PART = b"npart"
GONE = object()

atoms = st.sampled_from([None, 0, 1, True, 1.0, "a", b"a", (1,), [1], [1, 2]])
trees = st.recursive(
    atoms | st.sets(st.integers(0, 4)),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=8,
)
sides = st.dictionaries(st.sampled_from([b"nx", b"ny", b"az"]), trees)


def written(parts: dict[bytes, Any]) -> dict[bytes, bytes]:
    """
    Encode each part.
    """
    return {name: encodeValue(value) for name, value in parts.items()}


def merge(base: Any, mine: Any, theirs: Any) -> tuple[Any, bool]:
    """
    Merge one part; L{GONE} stands for its absence.

    @return: What is merged, and whether there was a conflict.
    """
    merged = mergeParts(
        *(
            {} if value is GONE else {PART: encodeValue(value)}
            for value in (base, mine, theirs)
        )
    )
    value = decodeValue(merged.parts[PART]) if merged.parts else GONE
    return value, merged.conflicts == (PART,)


class PartTests(SynchronousTestCase):
    """
    Parts, whatever is in them.
    """

    def test_oneSided(self) -> None:
        """
        Parts that only one side changed, added or removed are as that side has
        them.
        """
        base = {b"n1": b"a", b"n2": b"a", b"n3": b"a", b"n4": b"a", b"n0": b"a"}
        mine = {b"n1": b"mine", b"n2": b"a", b"n4": b"a", b"n5": b"mine", b"n0": b"a"}
        theirs = {
            b"n1": b"a",
            b"n2": b"theirs",
            b"n3": b"a",
            b"n6": b"theirs",
            b"n0": b"a",
        }
        self.assertEqual(
            mergeParts(base, mine, theirs),
            Merged(
                parts={
                    b"n1": b"mine",
                    b"n2": b"theirs",
                    b"n5": b"mine",
                    b"n6": b"theirs",
                    b"n0": b"a",
                }
            ),
        )

    def test_agreed(self) -> None:
        """
        What both sides set to the same, or took away, is no conflict.
        """
        for value in (None, True, "a", b"a", (1,), [], GONE):
            self.assertEqual(merge(1, value, value), (value, False))
            self.assertEqual(merge(GONE, value, value), (value, False))
            self.assertEqual(
                merge({"a": 1, "b": 1}, {"a": value, "b": 1}, {"a": value, "b": 2})
                if value is not GONE
                else merge({"a": 1, "b": 1}, {"b": 1}, {"b": 2}),
                ({"b": 2} if value is GONE else {"a": value, "b": 2}, False),
            )

    def test_bothAdded(self) -> None:
        """
        What both sides may have added to is a conflict though they have the same
        now, since one of two additions is missing.
        """
        for base, both in ((1, 2), (GONE, 1), (1.0, 2.5), ([], [1]), (GONE, [1])):
            self.assertEqual(merge(base, both, both), (both, True))
            was = {} if base is GONE else {"a": base}
            self.assertEqual(merge(was, {"a": both}, {"a": both}), ({"a": both}, True))

    def test_bothChanged(self) -> None:
        """
        One value that both sides changed is a conflict, and mine is taken.
        """
        for base in (1, GONE, [1], "x", {"a": 1}):
            self.assertEqual(merge(base, 2, 3), (2, True))
            self.assertEqual(merge(base, [1, 2], [1, 3]), ([1, 2], True))
            self.assertEqual(merge(base, {"a": 2}, {2}), ({"a": 2}, True))

    def test_deleted(self) -> None:
        """
        A deletion against a change is a conflict, and mine is taken.
        """
        self.assertEqual(merge(1, GONE, 2), (GONE, True))
        self.assertEqual(merge(1, 2, GONE), (2, True))

    def test_exact(self) -> None:
        """
        What Python takes for equal is a change all the same.
        """
        value, conflict = merge(1, True, 1.0)
        self.assertIs(value, True)
        self.assertTrue(conflict)
        value, conflict = merge({"a": 1, "b": 0}, {"a": 1, "b": 1}, {"a": 1.0, "b": 0})
        self.assertEqual((type(value["a"]), value["b"], conflict), (float, 1, False))
        value, conflict = merge({"a": 1, "b": 0}, {"a": True, "b": 0}, {"a": 1, "b": 1})
        self.assertEqual((type(value["a"]), value["b"], conflict), (bool, 1, False))

    def test_unreadable(self) -> None:
        """
        A part that cannot be read is one value, and why is told.
        """
        merged = mergeParts({b"n": b"\xc1"}, {b"n": b"\xc1\1"}, {b"n": b"\xc1\2"})
        self.assertEqual(merged.parts, {b"n": b"\xc1\1"})
        self.assertEqual(merged.conflicts, (b"n",))
        [(name, error)] = merged.failures
        self.assertEqual((name, type(error)), (b"n", ValueError))

    def test_shown(self) -> None:
        """
        The representation of the outcome shows no data.
        """
        self.assertNotIn("secret", repr(mergeParts({}, {b"n": b"secret"}, {})))


class DictTests(SynchronousTestCase):
    """
    Dicts are merged key by key.
    """

    def test_differentKeys(self) -> None:
        """
        What each side set, changed and removed is so.
        """
        self.assertEqual(
            merge(
                {"a": 1, "b": 1, "c": 1, "d": 1},
                {"a": 2, "b": 1, "d": 1, "e": 5},
                {"a": 1, "b": 2, "c": 1, "f": 6},
            ),
            ({"a": 2, "b": 2, "e": 5, "f": 6}, False),
        )

    def test_sameKey(self) -> None:
        """
        The same key changed on both sides is a conflict; the rest is merged
        nevertheless.
        """
        self.assertEqual(
            merge({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 3}),
            ({"a": 2, "b": 3}, True),
        )

    def test_deleted(self) -> None:
        """
        A deletion holds against changes elsewhere; clearing against setting is a
        conflict.
        """
        self.assertEqual(
            merge({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 2})[0], {"b": 2}
        )
        self.assertEqual(merge({"a": 1, "b": 1}, {}, {"a": 1, "b": 2}), ({}, True))
        self.assertEqual(merge({"a": 1}, {"a": 2}, {}), ({"a": 2}, True))

    def test_anew(self) -> None:
        """
        Dicts that both sides made anew, or in place of something else.
        """
        for base in (GONE, 5, [1]):
            self.assertEqual(
                merge(base, {"a": 1, "c": "c"}, {"b": 2, "c": "c"}),
                ({"b": 2, "c": "c", "a": 1}, False),
            )
            self.assertEqual(merge(base, {"a": 1}, {"a": 2}), ({"a": 1}, True))

    def test_nested(self) -> None:
        """
        One rule, however deep.
        """
        self.assertEqual(
            merge(
                {"x": {"y": {"a": 1, "s": {1, 2}}}},
                {"x": {"y": {"a": 2, "s": {1, 2, 3}}}},
                {"x": {"y": {"a": 1, "s": {2}, "b": 4}}, "z": 0},
            ),
            ({"x": {"y": {"a": 2, "s": {2, 3}, "b": 4}}, "z": 0}, False),
        )
        self.assertEqual(
            merge({"x": {"l": [1]}}, {"x": {"l": [1, 2]}}, {"x": {"l": [1, 3]}}),
            ({"x": {"l": [1, 2]}}, True),
        )

    def test_tooMany(self) -> None:
        """
        What became too large by merging is one value.
        """
        mine = {f"m{number}": 0 for number in range(600)}
        theirs = {f"t{number}": 0 for number in range(600)}
        self.assertEqual(merge({}, mine, theirs), (mine, True))


class SetTests(SynchronousTestCase):
    """
    Sets are merged member by member.
    """

    def test_members(self) -> None:
        """
        Added is what either side added, removed what either removed.
        """
        self.assertEqual(merge({1, 2, 3}, {2, 3, 4}, {1, 3, 5}), ({3, 4, 5}, False))
        self.assertEqual(merge(GONE, {1}, {2}), ({1, 2}, False))
        self.assertEqual(merge([1], {1}, {2}), ({1, 2}, False))
        value, conflict = merge(frozenset({1}), frozenset({1, 2}), frozenset({1, 3}))
        self.assertEqual((type(value), value), (frozenset, {1, 2, 3}))
        self.assertFalse(conflict)

    def test_kinds(self) -> None:
        """
        A set and a frozenset are two kinds of value.
        """
        value, conflict = merge({1}, {2}, frozenset({3}))
        self.assertEqual((type(value), value, conflict), (set, {2}, True))


class Thing:
    """
    An object of an application.
    """

    def __init__(self, state: object, name: str = "Thing", version: int = 1) -> None:
        """
        Take what it is kept as.
        """
        self.kept = (name, version, state)


def part(value: object) -> dict[bytes, bytes]:
    """
    A component as its part.
    """

    def reduce(found: object) -> Any:
        """
        Take a L{Thing} apart.
        """
        return found.kept if isinstance(found, Thing) else BACK_REFERENCE

    return {} if value is GONE else {b"cIThing": encodeValue(value, reduce=reduce)}


class ObjectTests(SynchronousTestCase):
    """
    Components merge themselves, or count as one value.
    """

    def merged(
        self, base: object, mine: object, theirs: object, merger: Merger | None
    ) -> Merged:
        """
        Merge a component.
        """
        asked = []

        def mergers(name: bytes) -> Merger | None:
            """
            Know one merger.
            """
            asked.append(name)
            return merger

        merged = mergeParts(part(base), part(mine), part(theirs), mergers)
        self.assertEqual(asked, [b"cIThing"])
        return merged

    def test_oneValue(self) -> None:
        """
        Without a merger an object is one value, even if its state is a dict.
        """
        mine = Thing({"a": 1})
        for base in (Thing({}), GONE):
            for theirs in (Thing({"b": 2}), Thing({"a": 1})):
                self.assertEqual(
                    self.merged(base, mine, theirs, None),
                    Merged(parts=part(mine), conflicts=(b"cIThing",)),
                )

    def test_itself(self) -> None:
        """
        With one it is as that says, of the states.
        """

        def add(base: Any, mine: Any, theirs: Any) -> Any:
            """
            Add up what was added.
            """
            was = 0 if base is None else base["n"]
            return {"n": mine["n"] + theirs["n"] - was}

        for base, total in ((Thing({"n": 1}), 6), (GONE, 7), (Thing({"n": 0}), 7)):
            self.assertEqual(
                self.merged(base, Thing({"n": 3}), Thing({"n": 4}), add),
                Merged(parts=part(Thing({"n": total}))),
            )
        self.assertEqual(
            self.merged(Thing({"n": 3}), Thing({"n": 4}), Thing({"n": 4}), add),
            Merged(parts=part(Thing({"n": 5}))),
        )
        self.assertEqual(
            self.merged(5, Thing({"n": 3}), Thing({"n": 4}), add),
            Merged(parts=part(Thing({"n": 7}))),
        )

    def test_carried(self) -> None:
        """
        Objects within the state, and the session, are carried through.
        """

        def take(base: Any, mine: Any, theirs: Any) -> Any:
            """
            Take some of each.
            """
            return {"mine": mine["x"], "theirs": theirs["y"], "s": mine["s"]}

        state = {"x": Thing("x", "X", 7), "s": BACK_REFERENCE}
        self.assertEqual(
            self.merged(GONE, Thing(state), Thing({"y": {Thing("y")}}), take).parts,
            part(
                Thing(
                    {
                        "mine": Thing("x", "X", 7),
                        "theirs": {Thing("y")},
                        "s": BACK_REFERENCE,
                    }
                )
            ),
        )

    def test_otherClass(self) -> None:
        """
        States of two classes or versions are not given to one merger.
        """

        def never(base: Any, mine: Any, theirs: Any) -> Any:
            """
            Fail the test.
            """
            raise AssertionError

        mine = Thing(1)
        for base, theirs in (
            (GONE, Thing(2, name="Other")),
            (GONE, Thing(2, version=2)),
            (Thing(0, version=0), Thing(2)),
            (Thing(0, name="Other"), Thing(2)),
            (Thing(0), 5),
        ):
            self.assertEqual(
                self.merged(base, mine, theirs, never),
                Merged(parts=part(mine), conflicts=(b"cIThing",)),
            )
        self.assertEqual(
            self.merged(Thing(0), 5, Thing(2), never),
            Merged(parts=part(5), conflicts=(b"cIThing",)),
        )

    def test_failing(self) -> None:
        """
        A merger that raises, or makes what cannot be kept, is told, and mine is
        taken.
        """

        def failing(base: Any, mine: Any, theirs: Any) -> Any:
            """
            Fail as applications do.
            """
            raise LookupError("x")

        mine = Thing(1)
        for merger, kind in (
            (failing, "LookupError"),
            (lambda *states: object(), "CannotBeKept"),
        ):
            merged = self.merged(GONE, mine, Thing(2), merger)
            self.assertEqual(merged.parts, part(mine))
            self.assertEqual(merged.conflicts, (b"cIThing",))
            [(name, error)] = merged.failures
            self.assertEqual((name, type(error).__name__), (b"cIThing", kind))

    def test_within(self) -> None:
        """
        Equal objects in dicts and sets are taken for equal, others are one
        value.
        """
        one, two = Thing("one"), Thing("two")
        merged = mergeParts(
            part({"s": {one}, "o": Thing(1), "p": 1}),
            part({"s": {Thing("one"), two}, "o": Thing(1), "p": 1}),
            part({"s": {Thing("one"), Thing(3)}, "o": Thing(2), "p": 1}),
        )
        self.assertEqual(
            merged,
            Merged(
                parts=part({"s": {one, two, Thing(3)}, "o": Thing(2), "p": 1}),
            ),
        )


class LawTests(SynchronousTestCase):
    """
    What holds of every merge.
    """

    @settings(deadline=None)
    @given(sides, sides)
    def test_oneSideOnly(self, base: Any, changed: Any) -> None:
        """
        If one side changed nothing, the other's is the outcome.
        """
        was, now = written(base), written(changed)
        for merged in (mergeParts(was, now, was), mergeParts(was, was, now)):
            self.assertEqual(merged, Merged(parts=now))
        self.assertEqual(mergeParts(was, now, now).parts, now)

    @settings(deadline=None, max_examples=150)
    @given(sides, sides, sides)
    def test_nothingSilent(self, base: Any, mine: Any, theirs: Any) -> None:
        """
        Where there is no conflict it does not matter who comes first, and every
        change of either side is there.
        """
        sides = [written(side) for side in (base, mine, theirs)]
        merged = mergeParts(*sides)
        swapped = mergeParts(sides[0], sides[2], sides[1])
        self.assertEqual(set(merged.conflicts), set(swapped.conflicts))
        self.assertEqual(merged.failures, ())
        for name in {*mine, *theirs, *base} - set(merged.conflicts):
            found = plain(merged.parts, name)
            self.assertEqual(found, plain(swapped.parts, name))
            for side in (mine, theirs):
                self.changes(base.get(name, GONE), side.get(name, GONE), found)

    def changes(self, base: Any, side: Any, found: Any) -> None:
        """
        Check that whatever one side changed is found.
        """
        if type(side) is dict and type(found) is dict:
            was = base if type(base) is dict else {}
            for key in {*was, *side}:
                self.changes(
                    was.get(key, GONE), side.get(key, GONE), found.get(key, GONE)
                )
        elif type(side) is set and type(found) is set:
            was = base if type(base) is set else set()
            self.assertLessEqual(side - was, found)
            self.assertFalse((was - side) & found)
        elif repr(base) != repr(side):
            self.assertEqual(repr(found), repr(side))

    @settings(deadline=None)
    @given(sides, sides, sides)
    def test_mineStays(self, base: Any, mine: Any, theirs: Any) -> None:
        """
        Every change of mine is in the outcome, conflict or not.
        """
        merged = mergeParts(written(base), written(mine), written(theirs))
        for name in {*mine, *base}:
            self.changes(
                base.get(name, GONE),
                mine.get(name, GONE),
                plain(merged.parts, name),
            )


def plain(parts: dict[bytes, bytes], name: bytes) -> Any:
    """
    Read a part, or L{GONE}.
    """
    return decodeValue(parts[name]) if name in parts else GONE
