"""
The bytes of commands that are not packed part by part.
"""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from txsessions.stores._redis_functions import script
from txsessions.stores._redis_keys import Keys, asked, bulk, lead
from txsessions.stores._redis_resp import purePack
from txsessions.stores._redis_rows import packVersion


class PackedTests(SynchronousTestCase):
    """
    L{Keys.part}, L{Keys.parts}, L{asked} and the commands of scripts.
    """

    def test_parts(self):
        """
        What is prepared for each shard says the same as packing it part by part,
        whatever the key holds and however long it is.
        """
        keys = Keys("a.b_c:d-e")
        for key in (b"", b"x", b"%b%d\r\n$3\r\n", bytes(range(256)), b"\xff" * 32):
            whole = purePack((*keys.all(key)[:3], key))
            self.assertEqual(b"*4\r\n" + keys.parts(key), whole)
            one = purePack((keys.record(key),))
            self.assertEqual(b"*1\r\n" + keys.part(key), one)

    def test_everyShard(self):
        """
        Each key goes to its own shard.
        """
        keys = Keys("txsessions")
        for first in range(256):
            key = bytes([first]) * 32
            packed = keys.parts(key)
            for name in keys.all(key)[:3]:
                self.assertIn(b"\r\n" + name + b"\r\n", b"\r\n" + packed)

    def test_asked(self):
        """
        A version stands behind the time, but for one that no record can have.
        """
        for version in (0, 1, (1 << 63) - 1, -(1 << 63)):
            said = struct.pack("<d", 2.5) + packVersion(version)
            self.assertEqual(asked(2.5, version), bulk(said))
        for version in (1 << 63, -(1 << 63) - 1):
            self.assertEqual(asked(2.5, version), bulk(struct.pack("<d", 2.5)))
        for size in (0, 9, 10, 5000):
            text = b"x" * size
            self.assertEqual(lead(size) + text + b"\r\n", bulk(text))

    def test_inFull(self):
        """
        A command in full has the same parts behind the script.
        """
        one = script("return 1")
        rest = (b"2", b"k", one.lead, b"", b"\r\n")
        command = one.command(rest[1:3], rest[3:])
        self.assertEqual(command, purePack((b"EVALSHA", one.name, *rest)))
        self.assertEqual(one.inFull(command), purePack((b"EVAL", one.text, *rest)))
